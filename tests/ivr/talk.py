"""A talk with the dialogue machine: scripts drive a shipped flow, and a transcript keeps what it wanted to be done."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import pytest

from ivr.audio.prompts import Prompts
from ivr.flow import Flow, parse_flow
from ivr.menu import (
    EFFECT_S,
    Action,
    Dialogue,
    EffectDone,
    Event,
    HangUp,
    HungUp,
    Interrupted,
    KeyPressed,
    Perform,
    PlaybackEnded,
    Prompt,
    Record,
    RecordingEnded,
    Say,
    Started,
    StopRecording,
    StopSaying,
    Variable,
)

SHIPPED = Path(__file__).parents[2] / "ivr" / "flows"
ALL_KEYS = "0123456789*#ABCD"
CALL_MAX_S = 600.0


@functools.cache
def flow_of(kind: str) -> Flow:
    text = (SHIPPED / f"{kind}.toml").read_text(encoding="utf-8")
    return parse_flow(text, name=kind, prompts=Prompts().names)


class Talk:
    """A dialogue, its clock, and a transcript of what it wanted to be done."""

    def __init__(
        self, kind: str, *, variables: Mapping[str, Variable] | None = None, call_max_s: float = CALL_MAX_S
    ) -> None:
        known = {"text": Variable("TEXT")} if kind == "alert" else {}
        self.dialogue = Dialogue(
            flow_of(kind),
            languages=["en", "fr"],
            variables=known if variables is None else variables,
            call_max_s=call_max_s,
        )
        self.now = 1_000.0
        self.pending = ""
        """The effect that is being carried out."""
        self.transcript: list[str] = []
        self.said: list[Say] = []

    def feed(self, event: Event) -> list[Action]:
        self.now += 0.01
        self.pending = "" if isinstance(event, EffectDone) else self.pending
        self.dialogue.receive(event, self.now)
        return self.take()

    def due(self) -> list[Action]:
        """Time passes to the next deadline."""
        deadline = self.dialogue.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline)
        self.pending = ""
        self.dialogue.handle_deadline(self.now)
        return self.take()

    def take(self) -> list[Action]:
        actions = []
        while (action := self.dialogue.next_action()) is not None:
            actions.append(action)
            self.transcript.append(written(action))
            if isinstance(action, Perform):
                self.pending = action.effect
            if isinstance(action, Say):
                self.said.append(action)
        return actions

    def run(self, script: str, **variables: str) -> None:
        """Carries out the words of a script: events by name, keys by themselves, ``EFFECT=OUTCOME``, ``EFFECT!``."""
        for word in script.split():
            match word:
                case "start":
                    self.feed(Started())
                case "heard":
                    self.feed(PlaybackEnded())
                case "silence":
                    self.due()
                case "recorded":
                    self.feed(RecordingEnded())
                case "hang-up":
                    self.feed(HungUp())
                case _ if word.startswith("by:"):
                    self.feed(Interrupted(word[3:]))
                case _ if word.endswith("!"):
                    assert self.pending == word[:-1]
                    before = self.now
                    self.due()
                    assert self.now == pytest.approx(before + EFFECT_S, abs=0.1)
                case _ if "=" in word:
                    effect, _, outcome = word.partition("=")
                    assert self.pending == effect
                    self.feed(EffectDone(outcome, {name: Variable(text) for name, text in variables.items()}))
                case _:
                    for key in word:
                        assert key in ALL_KEYS
                        self.feed(KeyPressed(key))

    @property
    def outcome(self) -> tuple[str, str]:
        return self.dialogue.state, self.dialogue.result


def written(action: Action) -> str:
    """An action as the tables of talks write it; only languages other than English are named."""
    match action:
        case Say():
            names = []
            for segment in action.segments:
                name = segment.name if isinstance(segment, Prompt) else segment.text
                names.append(name if segment.language == "en" else f"{name}:{segment.language}")
            return "say " + " ".join(names)
        case StopSaying():
            return "hush"
        case Perform():
            return f"do {action.effect} {action.digits}".strip()
        case Record():
            return f"record {action.seconds:g}"
        case StopRecording():
            return "record no more"
        case HangUp():
            return "hang up"
