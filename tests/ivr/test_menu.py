"""The dialogue machine on the shipped flows: table-driven talks, and any events in any order."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ivr.audio.prompts import Prompts
from ivr.flow import KINDS, Flow, parse_flow
from ivr.menu import (
    DEAF_S,
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
    Spoken,
    Started,
    StopRecording,
    StopSaying,
    Variable,
)

SHIPPED = Path(__file__).parents[2] / "ivr" / "flows"
ALL_KEYS = "0123456789*#ABCD"
DECISIONS = {"acknowledge": "1", "take": "3", "decline": "9"}
OFFERING = {"speak", "wrong_key"}
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
    """An action as the tables below write it; only languages other than English are named."""
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


GREETED = "start heard needs_pin=no"
GREETED_SAID = ["say greeting", "do needs_pin", "say TEXT keys_alert"]
LAST_SAID = ["do next_alert", "say goodbye", "hang up"]
ASKED = "start heard needs_pin=yes"
ASKED_SAID = ["say greeting", "do needs_pin", "say ask_pin"]
SPOKEN = "say TEXT keys_alert"

ALERT_TALKS: dict[str, tuple[str, list[str], str]] = {
    # name: (script, what was done, result)
    "1 acknowledges": (
        f"{GREETED} heard 1 acknowledge=recorded heard next_alert=none heard",
        [*GREETED_SAID, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "3 takes": (
        f"{GREETED} heard 3 take=recorded heard next_alert=none heard",
        [*GREETED_SAID, "do take", "say taken_in_charge", *LAST_SAID],
        "done",
    ),
    "9 declines": (
        f"{GREETED} heard 9 decline=recorded heard next_alert=none heard",
        [*GREETED_SAID, "do decline", "say declined", *LAST_SAID],
        "done",
    ),
    "2 repeats": (
        f"{GREETED} heard 2 heard 2 heard 1 acknowledge=recorded heard next_alert=none heard",
        [*GREETED_SAID, SPOKEN, SPOKEN, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "2 repeats as often as somebody presses it": (
        f"{GREETED} heard 2 heard 2 heard 2 heard 2 heard * heard * heard 1 acknowledge=recorded",
        [*GREETED_SAID, *[SPOKEN] * 4, "say TEXT:fr keys_alert:fr", SPOKEN, "do acknowledge", "say acknowledged"],
        "",
    ),
    "who presses 2 and then nothing is asked as often as the others": (
        f"{GREETED} heard silence heard silence heard 2 heard silence heard silence heard silence heard silence heard",
        [*GREETED_SAID, *[SPOKEN] * 6, "say goodbye", "hang up"],
        "no_key",
    ),
    "* changes the language of the prompts": (
        f"{GREETED} heard * heard * heard 1 acknowledge=recorded heard next_alert=none heard",
        [*GREETED_SAID, "say TEXT:fr keys_alert:fr", SPOKEN, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "a wrong key, then the right one": (
        f"{GREETED} heard 7 heard 1 acknowledge=recorded heard next_alert=none heard",
        [*GREETED_SAID, "say wrong_key keys_alert", "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "wrong keys to the end": (
        f"{GREETED} heard 7 heard # heard A heard 0 heard 4 heard",
        [*GREETED_SAID, *["say wrong_key keys_alert"] * 4, "say goodbye", "hang up"],
        "no_key",
    ),
    "a wrong key, then silence": (
        f"{GREETED} heard 7 heard silence heard silence heard silence heard silence heard",
        [*GREETED_SAID, "say wrong_key keys_alert", SPOKEN, SPOKEN, SPOKEN, "say goodbye", "hang up"],
        "no_key",
    ),
    "silence to the end": (
        f"{GREETED} heard silence heard silence heard silence heard silence heard",
        [*GREETED_SAID, SPOKEN, SPOKEN, SPOKEN, "say goodbye", "hang up"],
        "no_key",
    ),
    "a key breaks into what is said": (
        f"{GREETED} 1 acknowledge=recorded heard next_alert=none heard",
        [*GREETED_SAID, "hush", "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "a key breaks into the greeting, and decides nothing": (
        "start 1 needs_pin=no heard",
        ["say greeting", "hush", "do needs_pin", SPOKEN],
        "",
    ),
    "keys count for nothing while something is done": (
        f"{GREETED} heard 9 1 3 decline=recorded heard next_alert=none 1 3 9 heard",
        [*GREETED_SAID, "do decline", "say declined", *LAST_SAID],
        "done",
    ),
    "somebody else was quicker": (
        f"{GREETED} heard 1 acknowledge=elsewhere heard next_alert=none heard",
        [*GREETED_SAID, "do acknowledge", "say already_taken_by", *LAST_SAID],
        "done",
    ),
    "the alert is over": (
        f"{GREETED} heard 3 take=over heard next_alert=none heard",
        [*GREETED_SAID, "do take", "say already_over", *LAST_SAID],
        "done",
    ),
    "it could not be recorded": (
        f"{GREETED} heard 1 acknowledge=failed heard heard 1 acknowledge=recorded heard next_alert=none heard",
        [
            *GREETED_SAID, "do acknowledge", "say not_recorded", SPOKEN, "do acknowledge", "say acknowledged",
            *LAST_SAID,
        ],
        "done",
    ),
    "an outcome nobody knows is a failure": (
        f"{GREETED} heard 1 acknowledge=whatever",
        [*GREETED_SAID, "do acknowledge", "say not_recorded"],
        "",
    ),
    "recording takes too long": (
        f"{GREETED} heard 1 acknowledge!",
        [*GREETED_SAID, "do acknowledge", "say not_recorded"],
        "",
    ),
    "whether a PIN is needed is not known": (
        "start heard needs_pin! heard",
        ["say greeting", "do needs_pin", "say alert_unreadable", "hang up"],
        "failed",
    ),
    "the next alert is not known": (
        f"{GREETED} heard 1 acknowledge=recorded heard next_alert! heard",
        [*GREETED_SAID, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "PIN right": (
        f"{ASKED} heard 1234# check_pin=ok heard 1",
        [*ASKED_SAID, "do check_pin 1234", SPOKEN, "do acknowledge"],
        "",
    ),
    "PIN right, entered while it is asked for": (
        f"{ASKED} 1234# check_pin=ok",
        [*ASKED_SAID, "hush", "do check_pin 1234", SPOKEN],
        "",
    ),
    "PIN without a hash": (
        f"{ASKED} heard 1234 silence check_pin=ok",
        [*ASKED_SAID, "do check_pin 1234", SPOKEN],
        "",
    ),
    "PIN of the greatest length": (
        f"{ASKED} heard 123456789012 check_pin=ok",
        [*ASKED_SAID, "do check_pin 123456789012", SPOKEN],
        "",
    ),
    "PIN wrong, then right": (
        f"{ASKED} heard 0000# check_pin=wrong heard heard 1234# check_pin=ok",
        [*ASKED_SAID, "do check_pin 0000", "say pin_wrong", "say ask_pin", "do check_pin 1234", SPOKEN],
        "",
    ),
    "PIN wrong to the end": (
        f"{ASKED} 1111# check_pin=wrong heard 2222# check_pin=wrong heard 3333# check_pin=wrong heard heard",
        [
            *ASKED_SAID, "hush", "do check_pin 1111", "say pin_wrong", "say ask_pin", "hush", "do check_pin 2222",
            "say pin_wrong", "say ask_pin", "hush", "do check_pin 3333", "say pin_wrong", "say goodbye", "hang up",
        ],
        "pin_wrong",
    ),
    "PIN locked": (
        f"{ASKED} heard 1111# check_pin=locked heard",
        [*ASKED_SAID, "do check_pin 1111", "say pin_locked", "hang up"],
        "pin_wrong",
    ),
    "PIN too short": (
        f"{ASKED} heard 12# heard 34 silence heard 1234# check_pin=ok",
        [*ASKED_SAID, "say ask_pin", "say ask_pin", "do check_pin 1234", SPOKEN],
        "",
    ),
    "PIN too short again and again": (
        f"{ASKED} heard 12# heard 12# heard 12# heard",
        [*ASKED_SAID, "say ask_pin", "say ask_pin", "say goodbye", "hang up"],
        "pin_wrong",
    ),
    "# before the PIN says nothing": (
        f"{ASKED} heard # 1234# check_pin=ok",
        [*ASKED_SAID, "do check_pin 1234", SPOKEN],
        "",
    ),
    "PIN begun in the greeting": (
        "start 4 7 needs_pin=yes 11# check_pin=ok",
        ["say greeting", "hush", "do needs_pin", "do check_pin 4711", SPOKEN],
        "",
    ),
    "PIN entered before it is known to be needed": (
        "start 4711# needs_pin=yes check_pin=ok",
        ["say greeting", "hush", "do needs_pin", "do check_pin 4711", SPOKEN],
        "",
    ),
    "PIN too short before it is asked for": (
        "start 47#11# needs_pin=yes heard 4711# check_pin=ok",
        ["say greeting", "hush", "do needs_pin", "say ask_pin", "do check_pin 4711", SPOKEN],
        "",
    ),
    "PIN begun while it is told that the last one was wrong": (
        f"{ASKED} heard 1234# check_pin=wrong 4711# check_pin=ok",
        [*ASKED_SAID, "do check_pin 1234", "say pin_wrong", "hush", "do check_pin 4711", SPOKEN],
        "",
    ),
    "# once more while the PIN is looked at": (
        f"{ASKED} heard 123456789012 # check_pin=wrong heard heard 1234# check_pin=ok",
        [*ASKED_SAID, "do check_pin 123456789012", "say pin_wrong", "say ask_pin", "do check_pin 1234", SPOKEN],
        "",
    ),
    "keys ahead of an alert decide nothing": (
        "start 1 1 needs_pin=no heard 1 1 acknowledge=recorded heard 1 next_alert=more heard heard silence",
        ["say greeting", "hush", "do needs_pin", SPOKEN, "do acknowledge", "say acknowledged", "do next_alert",
         "say next_alert", SPOKEN, SPOKEN],
        "",
    ),
    "PIN never entered": (
        f"{ASKED} heard silence heard silence heard silence heard",
        [*ASKED_SAID, "say ask_pin", "say ask_pin", "say goodbye", "hang up"],
        "pin_wrong",
    ),
    "PIN cannot be checked": (
        f"{ASKED} heard 1234# check_pin! heard",
        [*ASKED_SAID, "do check_pin 1234", "say alert_unreadable", "hang up"],
        "failed",
    ),
    "1 as the first digit of a PIN decides nothing": (
        f"{ASKED} heard 1 silence heard 3 silence heard 9 silence heard",
        [*ASKED_SAID, "say ask_pin", "say ask_pin", "say goodbye", "hang up"],
        "pin_wrong",
    ),
    "somebody else takes it while it is told": (
        f"{GREETED} by:Anna heard",
        [*GREETED_SAID, "hush", "say completed_elsewhere Anna", "hang up"],
        "completed_elsewhere",
    ),
    "somebody else takes it while we wait for a key": (
        f"{GREETED} heard by:Anna 1 3 9 heard",
        [*GREETED_SAID, "say completed_elsewhere Anna", "hang up"],
        "completed_elsewhere",
    ),
    "somebody else takes it while the PIN is entered": (
        f"{ASKED} heard 12 by:Anna 34# heard",
        [*ASKED_SAID, "say completed_elsewhere", "hang up"],
        "completed_elsewhere",
    ),
    "somebody else takes it while ours is recorded": (
        f"{GREETED} heard 1 by:Anna acknowledge=elsewhere heard",
        [*GREETED_SAID, "do acknowledge", "say completed_elsewhere Anna", "hang up"],
        "completed_elsewhere",
    ),
    "it was they themselves who took it": (
        f"{GREETED} heard 1 by:Anna acknowledge=recorded heard next_alert=none heard",
        [*GREETED_SAID, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "somebody else takes it while ours takes too long": (
        f"{GREETED} heard 1 by:Anna acknowledge! heard",
        [*GREETED_SAID, "do acknowledge", "say completed_elsewhere Anna", "hang up"],
        "completed_elsewhere",
    ),
    "somebody else takes it while we say goodbye": (
        f"{GREETED} heard 1 acknowledge=recorded heard next_alert=none by:Anna heard",
        [*GREETED_SAID, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "told twice that somebody else has it": (
        f"{GREETED} by:Anna by:Bert heard",
        [*GREETED_SAID, "hush", "say completed_elsewhere Anna", "hang up"],
        "completed_elsewhere",
    ),
    "somebody else takes it before anything is said": ("by:Anna start", ["hang up"], "completed_elsewhere"),
    "hung up before the start": ("hang-up start 1", [], "hung_up"),
    "hung up while it is told": (f"{GREETED} hang-up heard 1", GREETED_SAID, "hung_up"),
    "hung up while something is done": (
        f"{GREETED} heard 1 hang-up acknowledge=recorded",
        [*GREETED_SAID, "do acknowledge"],
        "hung_up",
    ),
    "what does not fit changes nothing": (
        "heard 1 recorded start start recorded heard heard 1 needs_pin=no recorded start",
        GREETED_SAID,
        "",
    ),
}  # fmt: skip

LINE = "start heard 1234#"
LINE_SAID = ["say line_welcome", "do identify 1234"]
LINE_TALKS: dict[str, tuple[str, list[str], str]] = {
    "one alert": (
        f"{LINE} identify=ok next_alert=more heard 1 acknowledge=recorded heard next_alert=none heard",
        [*LINE_SAID, "do next_alert", SPOKEN, "do acknowledge", "say acknowledged", *LAST_SAID],
        "done",
    ),
    "no alert": (
        f"{LINE} identify=ok next_alert=none heard",
        [*LINE_SAID, "do next_alert", "say no_open_alerts goodbye", "hang up"],
        "done",
    ),
    "not known, then known": (
        "start 999# identify=wrong heard 1234# identify=ok next_alert=none heard",
        [
            "say line_welcome", "hush", "do identify 999", "say identify_failed", "say line_welcome", "hush",
            "do identify 1234", "do next_alert", "say no_open_alerts goodbye", "hang up",
        ],
        "done",
    ),
    "not known to the end": (
        "start 111# identify=wrong heard 222# identify=wrong heard 333# identify=wrong heard heard",
        [
            "say line_welcome", "hush", "do identify 111", "say identify_failed", "say line_welcome", "hush",
            "do identify 222", "say identify_failed", "say line_welcome", "hush", "do identify 333",
            "say identify_failed", "say goodbye", "hang up",
        ],
        "no_key",
    ),
    "locked": (f"{LINE} identify=locked heard", [*LINE_SAID, "say pin_locked", "hang up"], "pin_wrong"),
    "cannot be identified": (f"{LINE} identify! heard", [*LINE_SAID, "say line_unavailable", "hang up"], "failed"),
    "alerts cannot be read": (
        f"{LINE} identify=ok next_alert=failed heard",
        [*LINE_SAID, "do next_alert", "say line_unavailable", "hang up"],
        "failed",
    ),
    "nothing entered": (
        "start heard silence heard silence heard silence heard",
        [*["say line_welcome"] * 3, "say goodbye", "hang up"],
        "no_key",
    ),
    "somebody else took it": (f"{LINE} identify=ok next_alert=more by:Anna", [
        *LINE_SAID, "do next_alert", SPOKEN, "hang up",
    ], "completed_elsewhere"),
}  # fmt: skip

ALARM = "start heard 1234#"
ALARM_SAID = ["say alarm_welcome", "do authorise 1234"]
RAISED_SAID = [*ALARM_SAID, "do raise", "do records"]
ALARM_TALKS: dict[str, tuple[str, list[str], str]] = {
    "raised and described": (
        f"{ALARM} authorise=ok raise=raised records=yes heard recorded attach=attached heard",
        [
            *RAISED_SAID, "say alarm_sent_record", "record 30", "do attach", "say alarm_recorded goodbye",
            "hang up",
        ],
        "done",
    ),
    "described until a key": (
        f"{ALARM} authorise=ok raise=raised records=yes heard 5 recorded attach=attached heard",
        [
            *RAISED_SAID, "say alarm_sent_record", "record 30", "record no more", "do attach",
            "say alarm_recorded goodbye", "hang up",
        ],
        "done",
    ),
    "no key breaks into what is to be known first": (
        f"{ALARM} authorise=ok raise=raised records=yes 5 #",
        [*RAISED_SAID, "say alarm_sent_record"],
        "",
    ),
    "raised without a recording": (
        f"{ALARM} authorise=ok raise=raised records=no heard",
        [*RAISED_SAID, "say alarm_sent goodbye", "hang up"],
        "done",
    ),
    "whether it is recorded is not known": (
        f"{ALARM} authorise=ok raise=raised records! heard",
        [*RAISED_SAID, "say alarm_sent goodbye", "hang up"],
        "done",
    ),
    "the recording is lost": (
        f"{ALARM} authorise=ok raise=raised records=yes heard recorded attach=failed heard",
        [*RAISED_SAID, "say alarm_sent_record", "record 30", "do attach", "say alarm_sent goodbye", "hang up"],
        "done",
    ),
    "it could not be raised": (
        f"{ALARM} authorise=ok raise! heard",
        [*ALARM_SAID, "do raise", "say alarm_failed", "hang up"],
        "failed",
    ),
    "hung up while it is described": (
        f"{ALARM} authorise=ok raise=raised records=yes heard hang-up recorded",
        [*RAISED_SAID, "say alarm_sent_record", "record 30", "do attach"],
        "hung_up",
    ),
    "PIN wrong to the end": (
        "start 1111# authorise=wrong heard 2222# authorise=wrong heard 3333# authorise=wrong heard heard",
        [
            "say alarm_welcome", "hush", "do authorise 1111", "say pin_wrong", "say alarm_welcome", "hush",
            "do authorise 2222", "say pin_wrong", "say alarm_welcome", "hush", "do authorise 3333",
            "say pin_wrong", "say goodbye", "hang up",
        ],
        "no_key",
    ),
    "PIN locked": (f"{ALARM} authorise=locked heard", [*ALARM_SAID, "say pin_locked", "hang up"], "pin_wrong"),
    "PIN cannot be checked": (f"{ALARM} authorise! heard", [*ALARM_SAID, "say alarm_failed", "hang up"], "failed"),
    "nothing entered": (
        "start heard silence heard silence heard silence heard",
        [*["say alarm_welcome"] * 3, "say goodbye", "hang up"],
        "no_key",
    ),
}  # fmt: skip

TALKS = [
    pytest.param(kind, *talk, id=f"{kind}: {name}")
    for kind, talks in (("alert", ALERT_TALKS), ("line", LINE_TALKS), ("alarm", ALARM_TALKS))
    for name, talk in talks.items()
]


@pytest.mark.parametrize(("kind", "script", "done", "result"), TALKS)
def test_talk(kind: str, script: str, done: list[str], result: str) -> None:
    talk = Talk(kind)
    talk.run(script, **({"text": "TEXT"} if kind == "line" else {}))
    assert talk.transcript == done
    assert talk.dialogue.result == result
    assert (talk.dialogue.next_deadline() is None) == bool(result)


# --- what a table does not show --------------------------------------------------------------------------------------


def test_silence_never_decides() -> None:
    talk = Talk("alert")
    talk.run(GREETED)
    while not talk.dialogue.result:
        talk.run("heard")
        if not talk.dialogue.result:
            talk.run("silence")
    assert talk.dialogue.result == "no_key"
    assert not {f"do {effect}" for effect in DECISIONS} & set(talk.transcript)


def test_alerts_one_after_the_other() -> None:
    talk = Talk("alert")
    talk.run(f"{GREETED} heard 2 heard 2 heard 2 heard 1 acknowledge=recorded heard")
    for n in range(18):
        talk.run("next_alert=more", text=f"ALERT{n}")
        assert talk.transcript[-1] == "say next_alert"
        # what was repeated for the alert before does not count for this one
        talk.run("heard heard 2 heard 2 heard 2 heard 9 decline=recorded heard")
        assert talk.transcript.count(f"say ALERT{n} keys_alert") == 4
        assert talk.outcome == ("more", "")
    talk.run("next_alert=more", text="LAST")
    talk.run("heard heard 1 acknowledge=recorded heard")
    assert talk.outcome == ("more", "")
    talk.run("next_alert=more", text="ONE TOO MANY")
    talk.run("heard heard 1 acknowledge=recorded heard heard")
    assert talk.outcome == ("goodbye", "done")
    assert talk.transcript.count("do next_alert") == 20


def test_next_alert_is_told_before_its_keys_count() -> None:
    talk = Talk("alert")
    talk.run(f"{GREETED} heard 1 acknowledge=recorded heard")
    talk.run("next_alert=more", text="SECOND")
    talk.run("1")
    assert talk.transcript[-1] == "say next_alert"
    talk.run("heard 1")
    assert talk.transcript[-1] == "say SECOND keys_alert"
    assert talk.transcript.count("do acknowledge") == 1
    talk.now += DEAF_S
    talk.run("1")
    assert talk.transcript[-2:] == ["hush", "do acknowledge"]


def test_keys_in_a_row_acknowledge_one_alert() -> None:
    talk = Talk("alert")
    talk.run(f"{GREETED} 1 acknowledge=recorded 1 1 heard")
    talk.run("next_alert=more", text="SECOND")
    talk.run("1 1 heard 1 1")
    assert talk.transcript.count("do acknowledge") == 1
    assert talk.transcript[-1] == "say SECOND keys_alert"


def test_keys_during_the_first_text_count_at_once() -> None:
    talk = Talk("alert")
    talk.run(f"{GREETED} 1")
    assert talk.transcript[-1] == "do acknowledge"


def test_the_time_before_the_dialogue_is_part_of_the_call() -> None:
    talk = Talk("alert", call_max_s=30.0)
    talk.feed(Started(12.0))
    assert talk.dialogue._end_at == pytest.approx(talk.now + 18.0)


@pytest.mark.parametrize("script", ["start", ASKED, f"{ASKED} heard 0000# check_pin=wrong heard heard 4711"])
def test_nothing_is_told_before_the_pin(script: str) -> None:
    talk = Talk("alert")
    talk.run(script)
    assert not any("TEXT" in line for line in talk.transcript)
    assert not any(said.tells for said in talk.said)


def test_digits_are_not_shown() -> None:
    talk = Talk("alert")
    talk.run(f"{ASKED} heard 471")
    assert "471" not in repr(talk.dialogue)
    [perform] = [*talk.feed(KeyPressed("1")), *talk.feed(KeyPressed("#"))]
    assert isinstance(perform, Perform)
    assert perform.digits == "4711"
    assert "4711" not in repr(perform)
    assert "7" not in repr(KeyPressed("7"))


def test_what_tells_the_alert_says_so() -> None:
    talk = Talk("alert")
    talk.run(f"{GREETED} heard 5 heard 2 heard 1 acknowledge=recorded heard")
    assert [said.tells for said in talk.said] == [False, True, False, True, False]


def test_languages_of_texts_and_prompts() -> None:
    talk = Talk("alert", variables={"text": Variable("TEXT", "de")})
    talk.run(f"{GREETED} heard *")
    assert talk.transcript[-2:] == ["say TEXT:de keys_alert", "say TEXT:de keys_alert:fr"]
    assert talk.dialogue.language == "fr"


@pytest.mark.parametrize(
    ("language", "chosen"), [("fr", "fr"), ("fr-CH", "fr"), ("FR", "fr"), ("en", "en"), ("xx", "en")]
)
def test_an_effect_chooses_the_language(language: str, chosen: str) -> None:
    talk = Talk("line")
    talk.run("start 1234#")
    talk.run("identify=ok", language=language)
    talk.run("next_alert=none")
    assert talk.dialogue.language == chosen


@pytest.mark.parametrize(
    "script",
    ["start", f"{GREETED}", f"{GREETED} heard", f"{GREETED} heard 1", f"{ASKED} heard 12", f"{GREETED} by:Anna"],
)
def test_call_lasts_only_so_long(script: str) -> None:
    talk = Talk("alert", call_max_s=5.0)
    talk.run(script)
    assert talk.dialogue.next_deadline() is not None
    talk.now = 1_004.9
    talk.dialogue.handle_deadline(talk.now)
    assert talk.dialogue.result == ""
    talk.now = 1_006.0
    talk.dialogue.handle_deadline(talk.now)
    assert talk.dialogue.result == "too_long"
    assert talk.take() == [HangUp()]
    talk.run("heard 1 3 9 by:Bert hang-up start")
    talk.dialogue.handle_deadline(2_000.0)
    assert (talk.dialogue.result, talk.take()) == ("too_long", [])


def test_digits_are_waited_for_one_by_one() -> None:
    talk = Talk("alert")
    talk.run(f"{ASKED} heard")
    for digit in "123":
        talk.now += 7.9
        talk.dialogue.handle_deadline(talk.now)
        talk.run(digit)
    assert talk.transcript == ASKED_SAID
    assert talk.dialogue.next_deadline() == pytest.approx(talk.now + 8)


def test_deadline_too_early_changes_nothing() -> None:
    talk = Talk("alert")
    talk.dialogue.handle_deadline(1e9)
    assert talk.outcome == ("", "")
    talk.run(f"{GREETED} heard")
    talk.dialogue.handle_deadline(talk.now + 5.9)
    assert talk.take() == []


# --- any events ------------------------------------------------------------------------------------------------------

USUAL = {"recorded", "ok", "more", "raised", "yes"}
OUTCOMES = sorted({outcome for kind in KINDS.values() for one in kind.effects.values() for outcome in one})


BEGINNINGS = [
    ("alert", False, ""),
    ("alert", False, "start"),
    ("alert", False, GREETED),
    ("alert", False, f"{GREETED} heard 9 decline=recorded heard next_alert=more"),
    ("alert", True, "start"),
    ("alert", True, ASKED),
    ("alert", True, f"{ASKED} 1234# check_pin=ok heard"),
    ("line", False, "start"),
    ("line", False, f"{LINE} identify=ok next_alert=more"),
    ("alarm", False, "start"),
    ("alarm", False, f"{ALARM} authorise=ok raise=raised records=yes"),
]
"""Kind, whether a PIN is asked for, and what comes first: else few talks would get far."""


class AnyTalk(RuleBasedStateMachine):
    """Events and deadlines in any order: what must hold whatever happens."""

    @initialize(beginning=st.sampled_from(BEGINNINGS))
    def begin(self, beginning: tuple[str, bool, str]) -> None:
        kind, pin, script = beginning
        self.kind = kind
        self.pin = pin
        self.talk = Talk(kind)
        self.answered = False
        self.proved = False
        """Whether the alert may be told: no PIN is needed, or it was right."""
        self.result = ""
        self.hung_up = 0
        for word in script.split():
            effect, is_effect, outcome = word.partition("=")
            assert not is_effect or self.talk.pending == effect
            if is_effect:
                self.step(EffectDone(outcome, {"text": Variable("TEXT", "de")}))
            elif word in ("start", "heard"):
                self.step(Started() if word == "start" else PlaybackEnded())
            else:
                self.enter(word)

    def step(self, event: Event | None) -> None:
        """One event, or with None the next deadline; then all that it brought about is looked at."""
        dialogue, talk = self.talk.dialogue, self.talk
        state, pending, over = dialogue.state, talk.pending, bool(dialogue.result)
        if isinstance(event, EffectDone):
            told = pending, event.outcome
            proofs = {("needs_pin", "no"), ("check_pin", "ok"), ("identify", "ok"), ("authorise", "ok")}
            self.proved = self.proved or (told in proofs and not over)
        self.answered = self.answered or event == Started()
        actions = talk.due() if event is None else talk.feed(event)
        assert not (over and actions)
        for action in actions:
            match action:
                case Perform(effect) if effect in DECISIONS:
                    assert event == KeyPressed(DECISIONS[effect])
                    assert state in OFFERING
                    assert self.answered
                    assert self.proved
                case Perform("raise" | "next_alert"):
                    assert self.proved
                case Perform():
                    assert self.answered
                case Say(segments):
                    assert segments
                    assert self.proved or not any(isinstance(one, Spoken) and "TEXT" in one.text for one in segments)
                case HangUp():
                    self.hung_up += 1

    @rule()
    def start(self) -> None:
        self.step(Started())

    @rule(key=st.sampled_from(ALL_KEYS))
    def press(self, key: str) -> None:
        self.step(KeyPressed(key))

    @rule(keys=st.sampled_from(["1234#", "000#", "1", "3", "9"]))
    def enter(self, keys: str) -> None:
        for key in keys:
            self.step(KeyPressed(key))

    @rule(times=st.integers(1, 3))
    def hear(self, times: int) -> None:
        for _ in range(times):
            self.step(PlaybackEnded())

    @rule()
    def record(self) -> None:
        self.step(RecordingEnded())

    @precondition(lambda self: self.talk.pending)
    @rule(data=st.data())
    def effect(self, data: st.DataObject) -> None:
        effect = self.talk.pending
        outcomes = [*sorted(KINDS[self.kind].effects[effect]), "failed"]
        outcome = data.draw(st.sampled_from([*outcomes, *sorted(USUAL & set(outcomes))]))
        if effect == "needs_pin":
            outcome = "yes" if self.pin else "no"
        self.step(EffectDone(outcome, {"text": Variable("TEXT", "de")} if outcome == "more" else {}))

    @rule(outcome=st.sampled_from([*OUTCOMES, "", "odd"]), language=st.sampled_from(["", "fr", "xx"]))
    def any_effect(self, outcome: str, language: str) -> None:
        if self.talk.pending != "needs_pin":
            self.step(EffectDone(outcome, {"language": Variable(language)}))

    @rule(by=st.sampled_from(["Anna", ""]), really=st.integers(1, 5))
    def interrupt(self, by: str, really: int) -> None:
        if really == 5:  # else few talks would last
            self.step(Interrupted(by))

    @precondition(lambda self: self.talk.dialogue.next_deadline() is not None)
    @rule()
    def wait(self) -> None:
        self.step(None)

    @rule(seconds=st.floats(0, 10))
    def wait_a_little(self, seconds: float) -> None:
        self.talk.now += seconds
        deadline = self.talk.dialogue.next_deadline()
        if deadline is not None and deadline <= self.talk.now:
            self.step(None)

    @precondition(lambda self: self.answered)
    @rule(really=st.integers(1, 9))
    def hang_up(self, really: int) -> None:
        if really != 9:
            return
        before = self.talk.dialogue.result
        self.step(HungUp())
        assert self.talk.dialogue.result == (before or "hung_up")

    @invariant()
    def one_result(self) -> None:
        if not hasattr(self, "talk"):
            return
        dialogue = self.talk.dialogue
        if self.result:
            assert dialogue.result == self.result
        self.result = dialogue.result
        assert self.hung_up == (1 if self.result and self.result != "hung_up" else 0)
        assert (dialogue.next_deadline() is None) == (not dialogue.state or bool(self.result))
        assert self.proved or not any(said.tells for said in self.talk.said)

    def teardown(self) -> None:
        if not hasattr(self, "talk"):
            return
        if not self.answered:
            self.step(HungUp())
        began = self.talk.now
        for _ in range(200):
            if self.talk.dialogue.result:
                break
            self.step(None)
        assert self.talk.dialogue.result
        assert self.talk.now <= began + CALL_MAX_S
        self.one_result()


AnyTalk.TestCase.settings = settings(max_examples=500, stateful_step_count=50, deadline=None)
TestAnyTalk = AnyTalk.TestCase
