"""The dialogue machine on the shipped flows: table-driven talks, and any events in any order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ivr.flow import KINDS
from ivr.menu import (
    DEAF_S,
    EffectDone,
    Event,
    HangUp,
    HungUp,
    Interrupted,
    KeyPressed,
    Perform,
    PlaybackEnded,
    RecordingEnded,
    Say,
    Spoken,
    Started,
    Variable,
)
from tests.ivr.talk import ALL_KEYS, CALL_MAX_S, Talk
from tests.ivr.talks import ALARM, ASKED, ASKED_SAID, GREETED, LINE, TALKS

DECISIONS = {"acknowledge": "1", "take": "3", "decline": "9"}
OFFERING = {"speak", "wrong_key"}


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
