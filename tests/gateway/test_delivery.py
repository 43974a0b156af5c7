"""The delivery machine against its table: every event in every state, the fence, money exactly once, the drawn diagram."""

from __future__ import annotations

import itertools
import typing
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway import delivery as machine
from gateway.delivery import (
    ANNOUNCED_AGAIN,
    ENDED,
    TRANSITIONS,
    Announce,
    Decision,
    Delivery,
    Event,
    Fenced,
    GiveUp,
    Ignored,
    NextAttempt,
    Settle,
    State,
    advance,
)
from gateway.diagram import delivery_diagram

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
DEADLINE = NOW + timedelta(hours=1)
SOON = NOW + timedelta(seconds=30)
EPOCH = 3
EVENTS: tuple[type[Event], ...] = typing.get_args(Event)
UNDER_WAY = (State.SENDING, State.UNSURE, State.ACCEPTED)


def a_delivery(state: State = State.QUEUED, **changes: object) -> Delivery:
    """A delivery in the state, at its third claim, settled where it has ended."""
    plain = Delivery(
        id="dlv_1",
        alert_id="alt_1",
        account_id="acme",
        step=0,
        recipient=0,
        person="night-duty",
        address="sms:+33600000001",
        urgency=2,
        state=state,
        provider="a",
        epoch=EPOCH,
        chain=EPOCH,
        tries=1,
        created_at=NOW,
        due_at=NOW,
        look_at=NOW + ANNOUNCED_AGAIN,
        deadline_at=DEADLINE,
        settled_at=NOW - timedelta(minutes=1) if state in ENDED else None,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # the tests say what they change


def an_event(kind: type[Event], decision: Decision | None = None, epoch: int = EPOCH) -> Event:
    """An event of the kind, of the current claim."""
    values: dict[str, object] = {
        "epoch": epoch,
        "code": "code",
        "provider": "a",
        "receipt": True,
        "decision": decision or NextAttempt(at=SOON, provider="a"),
        "until": SOON,
        "lease_until": SOON,
        "look_at": SOON,
    }
    return kind(**{field.name: values[field.name] for field in fields(kind) if field.name in values})  # type: ignore[arg-type]


DECISIONS: tuple[Decision, ...] = (
    NextAttempt(at=SOON, provider="a"),
    NextAttempt(at=NOW, provider="b"),
    GiveUp(),
)


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("cancel_requested", [False, True])
def test_every_event_in_every_state_goes_where_the_table_says(
    state: State, kind: type[Event], cancel_requested: bool
) -> None:
    before = a_delivery(state, cancel_requested=cancel_requested)
    for decision in DECISIONS:
        event = an_event(kind, decision)
        try:
            after, effects = advance(before, event, NOW)
        except Ignored:
            claiming = kind is machine.Claimed and state is State.QUEUED and cancel_requested
            assert kind not in TRANSITIONS[state] or claiming
            continue
        assert after.state in TRANSITIONS[state][kind]
        assert (after.settled_at is not None) >= (after.state in ENDED)
        assert (Settle() in effects) == (before.settled_at is None and after.settled_at is not None)
        if after.state is State.QUEUED and state is not State.QUEUED:
            assert Announce(provider=after.provider) in effects


def test_every_arrow_of_the_table_can_be_walked() -> None:
    """No state is named that no event leads to."""
    for state, arrows in TRANSITIONS.items():
        for kind, targets in arrows.items():
            reached = set()
            for decision in DECISIONS:
                for cancel_requested, settled, now in itertools.product((False, True), (None, NOW), (NOW, DEADLINE)):
                    before = a_delivery(state, cancel_requested=cancel_requested)
                    if state is State.ACCEPTED:
                        before = replace(before, settled_at=settled)
                    try:
                        reached.add(advance(before, an_event(kind, decision), now)[0].state)
                    except Ignored:
                        continue
            assert reached == targets, f"{kind.__name__} while {state}"


def test_the_table_names_every_state_and_every_event() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {kind for arrows in TRANSITIONS.values() for kind in arrows} == set(EVENTS)


def test_delivered_is_final_and_the_other_ends_take_late_proof_alone() -> None:
    assert TRANSITIONS[State.DELIVERED] == {}
    for state in ENDED - {State.DELIVERED}:
        assert TRANSITIONS[state] == {machine.Proved: frozenset({State.DELIVERED})}


@pytest.mark.parametrize(
    "kind", [k for k in EVENTS if "epoch" in {f.name for f in fields(k)}], ids=lambda k: k.__name__
)
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("epoch", [EPOCH - 1, EPOCH + 1])
def test_a_writer_of_another_claim_is_fenced_off(state: State, kind: type[Event], epoch: int) -> None:
    with pytest.raises(Fenced):
        advance(a_delivery(state), an_event(kind, epoch=epoch), NOW)


# --- claiming --------------------------------------------------------------------------------------------------------


def test_a_claim_counts_the_epoch_and_begins_a_run() -> None:
    claimed, effects = advance(a_delivery(chain=1), machine.Claimed(provider="a", lease_until=SOON), NOW)
    assert (claimed.state, claimed.epoch, claimed.chain, claimed.look_at) == (State.SENDING, EPOCH + 1, EPOCH + 1, SOON)
    assert effects == ()


def test_a_claim_that_continues_keeps_the_run() -> None:
    event = machine.Claimed(provider="a", lease_until=SOON, continues=True)
    claimed, _ = advance(a_delivery(chain=1), event, NOW)
    assert (claimed.epoch, claimed.chain) == (EPOCH + 1, 1)


@pytest.mark.parametrize(
    "delivery",
    [
        a_delivery(provider="b"),
        a_delivery(cancel_requested=True),
        a_delivery(deadline_at=NOW),
        a_delivery(due_at=NOW + timedelta(microseconds=1)),
    ],
    ids=["another provider's", "to be cancelled", "too late", "too early"],
)
def test_what_is_not_to_be_sent_is_not_claimed(delivery: Delivery) -> None:
    with pytest.raises(Ignored):
        advance(delivery, machine.Claimed(provider="a", lease_until=SOON), NOW)


def test_no_look_but_at_a_lease_is_planned_beyond_the_deadline() -> None:
    late = DEADLINE + timedelta(hours=1)
    sending = a_delivery(State.SENDING)
    unknown = machine.AttemptUnknown(epoch=EPOCH, code="no_answer", until=late)
    assert advance(sending, unknown, NOW)[0].look_at == DEADLINE
    postponed = machine.AttemptPostponed(epoch=EPOCH, code="busy", decision=NextAttempt(at=late, provider="a"))
    assert advance(sending, postponed, NOW)[0].look_at == DEADLINE
    lost = machine.LeaseLost(until=late)
    assert advance(sending, lost, NOW)[0].look_at == DEADLINE


# --- money -----------------------------------------------------------------------------------------------------------


def test_accepted_without_receipts_is_settled_and_what_follows_moves_no_money() -> None:
    event = machine.AttemptAccepted(epoch=EPOCH, code="ok", receipt=False)
    accepted, effects = advance(a_delivery(State.SENDING), event, NOW)
    assert (accepted.state, accepted.settled_at, effects) == (State.ACCEPTED, NOW, (Settle(),))
    later = NOW + timedelta(minutes=5)
    for follow in (
        machine.Disproved(epoch=EPOCH, code="undeliverable", decision=NextAttempt(at=NOW, provider="b")),
        machine.Proved(code="delivered"),
    ):
        ended, effects = advance(accepted, follow, later)
        assert ended.state in (State.FAILED, State.DELIVERED)
        assert (ended.settled_at, effects) == (NOW, ())


@pytest.mark.parametrize("state", sorted(ENDED - {State.DELIVERED}))
def test_late_proof_changes_the_state_and_moves_no_money(state: State) -> None:
    before = a_delivery(state, captured_micros=7, hold_micros=9)
    after, effects = advance(before, machine.Proved(code="delivered"), NOW)
    assert (after.state, after.code, effects) == (State.DELIVERED, "delivered", ())
    assert (after.settled_at, after.captured_micros) == (before.settled_at, 7)


# --- cancelling ------------------------------------------------------------------------------------------------------


def test_what_waits_is_cancelled_at_once() -> None:
    after, effects = advance(a_delivery(), machine.CancelRequested(), NOW)
    assert (after.state, effects) == (State.CANCELLED, (Settle(),))


@pytest.mark.parametrize("state", UNDER_WAY)
def test_what_is_under_way_is_only_asked_to_stop(state: State) -> None:
    after, effects = advance(a_delivery(state), machine.CancelRequested(), NOW)
    assert (after.state, after.cancel_requested, effects) == (state, True, ())


@pytest.mark.parametrize("kind", [machine.AttemptPostponed, machine.AttemptRefused])
@pytest.mark.parametrize("decision", DECISIONS)
def test_a_cancellation_asked_for_in_time_is_carried_out(kind: type[Event], decision: Decision) -> None:
    asked = a_delivery(State.SENDING, cancel_requested=True)
    after, effects = advance(asked, an_event(kind, decision), NOW)
    assert (after.state, effects) == (State.CANCELLED, (Settle(),))


def test_a_cancellation_that_comes_too_late_does_not_undo_an_acceptance() -> None:
    asked = a_delivery(State.SENDING, cancel_requested=True)
    after, _ = advance(asked, an_event(machine.AttemptAccepted), NOW)
    assert after.state is State.ACCEPTED


# --- the deadline ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [machine.Claimed, machine.LeaseRenewed])
def test_a_lease_goes_on_beyond_the_deadline(kind: type[Event]) -> None:
    state = State.QUEUED if kind is machine.Claimed else State.SENDING
    before = a_delivery(state, deadline_at=NOW + timedelta(seconds=1))
    assert advance(before, an_event(kind), NOW)[0].look_at == SOON


@pytest.mark.parametrize("kind", [machine.AttemptPostponed, machine.AttemptRefused, machine.DoubtLapsed])
@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("cancel_requested", [False, True])
def test_nothing_is_tried_again_after_the_deadline(
    kind: type[Event], decision: Decision, cancel_requested: bool
) -> None:
    before = a_delivery(State.UNSURE, cancel_requested=cancel_requested)
    after, effects = advance(before, an_event(kind, decision), DEADLINE)
    assert (after.state, effects) == (State.EXPIRED, (Settle(),))


# --- trying again ----------------------------------------------------------------------------------------------------


def test_an_attempt_that_counts_and_one_that_does_not() -> None:
    sending = a_delivery(State.SENDING, tries=1)
    again = NextAttempt(at=SOON, provider="a")
    counted = machine.AttemptPostponed(epoch=EPOCH, code="busy", decision=again)
    assert advance(sending, counted, NOW)[0].tries == 2
    throttled = machine.AttemptPostponed(epoch=EPOCH, code="throttled", decision=again, counts=False)
    assert advance(sending, throttled, NOW)[0].tries == 1


def test_the_next_provider_starts_with_no_tries_and_the_one_that_refused_is_used_up() -> None:
    refused = machine.AttemptRefused(epoch=EPOCH, code="no", decision=NextAttempt(at=NOW, provider="b", used_up=True))
    after, effects = advance(a_delivery(State.SENDING, exhausted=("z",)), refused, NOW)
    assert (after.provider, after.tries, after.exhausted) == ("b", 0, ("z", "a"))
    assert effects == (Announce(provider="b"),)


@pytest.mark.parametrize("counts", [False, True])
def test_a_provider_that_had_a_bad_minute_is_not_used_up(counts: bool) -> None:
    """It may be the one that delivers once it is well again."""
    moved = machine.AttemptPostponed(
        epoch=EPOCH, code="link_down", decision=NextAttempt(at=NOW, provider="b"), counts=counts
    )
    after, _ = advance(a_delivery(State.SENDING), moved, NOW)
    assert (after.provider, after.exhausted) == ("b", ())


def test_a_reroute_uses_up_no_provider() -> None:
    after, effects = advance(a_delivery(), machine.Rerouted(provider="b"), NOW)
    assert (after.provider, after.exhausted, after.tries) == ("b", (), 0)
    assert effects == (Announce(provider="b"),)


def test_what_waits_is_looked_after_when_it_is_due_or_after_its_announcement() -> None:
    sending = a_delivery(State.SENDING)
    later = machine.AttemptPostponed(epoch=EPOCH, code="busy", decision=NextAttempt(at=SOON, provider="a"))
    assert advance(sending, later, NOW)[0].look_at == SOON
    at_once = machine.AttemptPostponed(epoch=EPOCH, code="busy", decision=NextAttempt(at=NOW, provider="a"))
    assert advance(sending, at_once, NOW)[0].look_at == NOW + ANNOUNCED_AGAIN


def test_a_disproof_while_the_next_attempt_waits_or_runs_changes_nothing() -> None:
    for state in (State.QUEUED, State.SENDING):
        before = a_delivery(state)
        assert advance(before, an_event(machine.Disproved), NOW) == (before, ())


# --- the diagram -----------------------------------------------------------------------------------------------------


def test_the_committed_diagram_is_drawn_from_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "explanation" / "delivery-machine.md"
    assert delivery_diagram() in page.read_text(), (
        "run `python -m gateway.diagram docs/explanation/delivery-machine.md`"
    )
