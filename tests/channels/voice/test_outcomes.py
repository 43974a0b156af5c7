"""What the broker is told of a call: every verdict of one that was refused, every end of one that was answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from channels.conversation import Briefing, Decision, Stop
from channels.outcome import Delivered, PermanentFailure, RetryLater
from channels.voice import outcomes
from channels.voice.outcomes import cancelled, refused
from channels.voice.phone import Item
from ivr.call import CallResult
from ivr.causes import CAUSES, LOSSES, RETRY_AFTER_MAX_S, Kind, verdict
from ivr.sip.events import Lost, Refusal
from ivr.sip.headers import Reason
from tests.conformance.channel_suite import CODE

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
UP = CallResult(call_id="c1", result="no_key", duration_s=61.0)


def call(**refusal: Any) -> CallResult:
    return CallResult(call_id="c1", refusal=Refusal(**refusal))


def item(**fields: Any) -> Item:
    return Item(Briefing(reference="dlv_1", text="Fire"), **({"chosen": True, "begun": True, "heard": True} | fields))


def answered(result: CallResult, item: Item, *, unproved: bool = False, billed: bool = True) -> Delivered | RetryLater:
    return outcomes.answered(result, item, unproved=unproved, billed=billed, at=NOW)


def every_refusal() -> list[Refusal]:
    found = [Refusal(status=status, phrase="No") for status in range(300, 700)]
    found += [Refusal(status=480, reasons=(Reason("Q.850", cause),)) for cause in range(128)]
    found += [Refusal(lost=lost) for lost in Lost]
    return [*found, Refusal(), Refusal(status=200)]


@pytest.mark.parametrize("kind", Kind)
def test_every_refusal_is_an_outcome_of_its_kind(kind: Kind) -> None:
    of_kind = [one for one in every_refusal() if verdict(one).kind is kind]
    assert of_kind
    for refusal in of_kind:
        outcome, found = refused(CallResult(call_id="c1", refusal=refusal), foreign=False), verdict(refusal)
        assert CODE.fullmatch(outcome.reason.code)
        assert outcome.reason.code == found.code
        assert outcome.reason.alarm is (kind in (Kind.TRUNK, Kind.BROKEN))
        assert outcome.parts == ()
        if isinstance(outcome, RetryLater):
            assert kind in (Kind.LATER, Kind.TRUNK)
            assert outcome.unreachable is outcome.elsewhere is (kind is Kind.TRUNK)
            assert outcome.not_before_s == found.retry_after_s
            assert not outcome.maybe_sent
            assert not outcome.throttled
        else:
            assert kind in (Kind.NEVER, Kind.NUMBER, Kind.BROKEN)
            assert outcome.everywhere is (kind is Kind.NEVER)


@pytest.mark.parametrize("status", [500, 503])
def test_what_fails_at_somebody_else_s_domain_says_nothing_of_the_trunk(status: int) -> None:
    outcome = refused(call(status=status), foreign=True)
    assert isinstance(outcome, RetryLater)
    assert (outcome.unreachable, outcome.elsewhere, outcome.reason.alarm) == (False, True, False)


def test_every_loss_and_every_cause_has_a_kind() -> None:
    assert set(LOSSES) == set(Lost)
    assert {row.kind for row in (*CAUSES.values(), *LOSSES.values())} == set(Kind)


@pytest.mark.parametrize(
    ("refusal", "detail"),
    [
        ({"status": 486, "phrase": "Busy Here"}, "486 Busy Here"),
        ({"status": 486}, "486"),
        ({"lost": Lost.NO_RESPONSE, "phrase": "no answer from 192.0.2.1"}, "no answer from 192.0.2.1"),
        ({"lost": Lost.STOPPED}, ""),
        (
            {"status": 480, "phrase": "Gone", "reasons": (Reason("Q.850", 18, "no user"), Reason("SIP", 480))},
            '480 Gone (Q.850;cause=18;text="no user", SIP;cause=480)',
        ),
    ],
)
def test_the_detail_is_what_the_network_said(refusal: dict[str, Any], detail: str) -> None:
    assert refused(call(**refusal), foreign=False).reason.detail == detail


def test_no_retry_after_keeps_an_alarm_for_hours() -> None:
    outcome = refused(call(status=503, retry_after_s=86_400.0), foreign=False)
    assert isinstance(outcome, RetryLater)
    assert outcome.not_before_s == RETRY_AFTER_MAX_S
    again = refused(call(status=486, retry_after_s=1.0), foreign=False)
    assert isinstance(again, RetryLater)
    assert again.not_before_s == 60.0


def test_called_off_and_completed_elsewhere() -> None:
    assert cancelled("Bert").reason.detail == "completed elsewhere by Bert"
    assert cancelled("").reason.detail == "called off"
    assert cancelled("").reason.code == "cancelled"
    assert not cancelled("Bert").reason.alarm


@pytest.mark.parametrize(
    ("decision", "code"),
    [
        (Decision.ACKNOWLEDGED, "acknowledged"),
        (Decision.TAKEN, "taken_in_charge"),
        (Decision.DECLINED, "declined"),
    ],
)
@pytest.mark.parametrize("changes", [{}, {"media_lost": True}, {"spoken": False}, {"machine": True}, {"result": "x"}])
def test_a_decision_counts_whatever_happened_to_the_call(
    decision: Decision, code: str, changes: dict[str, Any]
) -> None:
    outcome = answered(replace(UP, **changes), item(decision=decision, pressed=True))
    assert isinstance(outcome, Delivered)
    assert (outcome.code, outcome.at) == (code, NOW)


def test_every_decision_has_a_code() -> None:
    for decision in Decision:
        assert isinstance(answered(UP, item(decision=decision)), Delivered)


@pytest.mark.parametrize(
    ("result", "fields", "code"),
    [
        ({}, {}, "answered_no_key"),
        ({"result": "completed_elsewhere"}, {}, "completed_elsewhere"),
        ({"result": "completed_elsewhere"}, {"stopped": Stop(by="Bert")}, "completed_elsewhere"),
        ({}, {"stopped": Stop()}, "completed_elsewhere"),
        ({"result": "pin_wrong"}, {"pressed": True}, "answered"),
        ({}, {"pressed": True}, "answered"),
        ({}, {"pressed": True, "spoken": False}, "answered"),
        ({"spoken": False}, {}, "answered_no_key"),  # it was being told again
        ({}, {"begun": False, "heard": False}, "answered_no_key"),
        ({"machine": True}, {}, "answered_no_key"),
        ({"result": "anything_else"}, {}, "answered_no_key"),
        ({"result": "hung_up", "by_remote": True}, {"heard": False}, "answered_no_key"),  # they had enough of it
        ({"result": "hung_up"}, {}, "answered_no_key"),  # cut off by us, after the text
        ({"result": "too_long"}, {}, "answered_no_key"),
        ({"result": "hung_up", "by_remote": True}, {"begun": False, "heard": False, "pressed": True}, "answered"),
    ],
)
def test_answered_without_a_decision(result: dict[str, Any], fields: dict[str, Any], code: str) -> None:
    outcome = answered(replace(UP, **result), item(**fields))
    assert isinstance(outcome, Delivered)
    assert outcome.code == code
    assert CODE.fullmatch(outcome.code)


@pytest.mark.parametrize(
    ("result", "fields", "code"),
    [
        ({"media_lost": True}, {}, "no_audio"),
        ({"unanswered": True}, {}, "no_answer"),
        ({}, {"spoken": False}, "text_not_spoken"),
        ({"spoken": False}, {"begun": False}, "text_not_spoken"),
        ({"result": "failed"}, {}, "text_not_spoken"),
        ({"result": "pin_wrong"}, {"begun": False}, "answered_wrong_pin"),
        ({"result": "hung_up", "by_remote": True}, {"begun": False}, "hung_up_early"),
        ({"result": "hung_up", "by_remote": True, "machine": True}, {"begun": False}, "hung_up_early"),
        ({"result": "too_long"}, {"begun": False}, "hung_up_early"),
        ({"result": "hung_up"}, {"begun": False}, "hung_up_early"),
        ({"result": "hung_up"}, {"heard": False}, "cut_off"),  # we were stopped
        ({}, {"pressed": True, "unrecorded": True}, "key_not_recorded"),
        ({"result": "failed"}, {"pressed": True, "unrecorded": True}, "key_not_recorded"),
    ],
)
def test_a_call_in_which_nothing_could_be_told_is_tried_again(
    result: dict[str, Any], fields: dict[str, Any], code: str
) -> None:
    outcome = answered(replace(UP, **result), item(**fields))
    assert isinstance(outcome, RetryLater)
    assert outcome.reason.code == code
    assert not outcome.unreachable  # it counts as an attempt: it cost one


@pytest.mark.parametrize("result", ["hung_up", "pin_wrong", "too_long"])
def test_who_was_asked_for_a_pin_and_gave_none_was_told_nothing(result: str) -> None:
    for by_remote in (True, False):
        ended = replace(UP, result=result, by_remote=by_remote)
        outcome = answered(ended, item(begun=False, heard=False), unproved=True)
        assert isinstance(outcome, RetryLater)
        assert outcome.reason.code == "answered_wrong_pin"


def test_the_detail_tells_length_machine_and_what_was_heard() -> None:
    def detail(*, heard: bool = True, **changes: Any) -> str:
        outcome = answered(replace(UP, **changes), item(heard=heard))
        assert isinstance(outcome, Delivered)
        return outcome.detail

    assert detail() == "61 s"
    assert detail(machine=True) == "61 s, an answering machine"
    assert detail(heard=False) == "61 s, the text was not heard to its end"


@pytest.mark.parametrize(
    ("seconds", "minutes"), [(0.0, 1), (0.5, 1), (59.9, 1), (60.0, 1), (60.1, 2), (119.0, 2), (121.0, 3), (300.0, 5)]
)
def test_started_minutes_are_billed_once(seconds: float, minutes: int) -> None:
    result = replace(UP, duration_s=seconds)
    for billed, units in ((True, minutes), (False, 0)):
        outcome = answered(result, item(), billed=billed)
        assert isinstance(outcome, Delivered)
        assert [(part.n, part.provider_message_id, part.units) for part in outcome.parts] == [(1, "c1", units)]


def test_a_refused_call_costs_nothing() -> None:
    outcome = refused(call(status=603), foreign=False)
    assert isinstance(outcome, PermanentFailure)
    assert outcome.parts == ()
    assert call(status=603).started_minutes == 0
