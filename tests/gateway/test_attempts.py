"""Claims and outcomes on both databases: attempt first, fence, doubt, what is recorded twice, cancelling, insufficient credit."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from billing.ledger import InsufficientCredit
from channels.outcome import Delivered, Outcome, PermanentFailure, Reason, RetryLater, SentPart
from gateway.alert import Priority, Status
from gateway.delivery import Ignored, State
from gateway.intake import Shortfall
from gateway.lifecycle import cancel
from tests.gateway import desk as desks
from tests.gateway.answers import accepted, delivered, throttled, unanswered
from tests.gateway.desk import CREDIT_MICROS, EXPIRES_S, LEASE_S, PRICE_MICROS, UNSURE_S, A, B, Desk

desk = desks.desk
store_url = desks.store_url

ALONE = "sms:+44600000001"
BUSY = RetryLater(reason=Reason(code="smpp_0x58"))
LINK_DOWN = RetryLater(reason=Reason(code="link_down"), unreachable=True)
DELIVERED = Delivered(at=desks.START, code="acknowledged", parts=(SentPart(n=1, provider_message_id="call"),))
REFUSED = PermanentFailure(reason=Reason(code="invalid_destination", detail="no such number"))


# --- claiming --------------------------------------------------------------------------------------------------------


async def test_the_attempt_is_on_record_before_anything_is_sent(desk: Desk) -> None:
    one = await desk.one()
    claim = await desk.claimed(one)
    (attempt,) = await desk.attempts(one)
    assert (attempt.epoch, attempt.provider, attempt.outcome, attempt.at) == (1, A, "", None)
    assert claim.delivery == await desk.delivery(one)
    assert await desk.state(one) == State.SENDING


async def test_of_many_who_claim_one_has_it(desk: Desk) -> None:
    one = await desk.one()
    claims = await asyncio.gather(*(desk.claim(one, A) for _ in range(5)))
    assert sum(claim is not None for claim in claims) == 1


async def test_another_provider_does_not_get_it(desk: Desk) -> None:
    one = await desk.one()
    assert await desk.claim(one, B) is None


async def test_what_is_due_later_is_not_claimed(desk: Desk) -> None:
    one = await desk.one()
    await desk.record(await desk.claimed(one), BUSY)
    waiting = await desk.delivery(one)
    assert (waiting.state, waiting.tries) == (State.QUEUED, 1)
    assert await desk.claim(one) is None
    desk.clock.move(1)
    assert await desk.claim(one) is not None


# --- outcomes --------------------------------------------------------------------------------------------------------


async def test_attempts_on_one_provider_and_then_on_the_next_and_round_until_the_deadline(desk: Desk) -> None:
    one = await desk.one()
    seen = []
    for _ in range(3 * desks.ATTEMPTS_MAX):
        claim = await desk.claimed(one)
        seen.append(claim.attempt.provider)
        await desk.record(claim, BUSY)
        desk.clock.move(60)
    assert seen == [A] * desks.ATTEMPTS_MAX + [B] * desks.ATTEMPTS_MAX + [A] * desks.ATTEMPTS_MAX
    assert await desk.state(one) == State.QUEUED
    assert await desk.spent() == (1, 0)
    desk.clock.move(EXPIRES_S)
    await desk.tick()
    expired = await desk.delivery(one)
    assert (expired.state, expired.code) == (State.EXPIRED, "smpp_0x58")
    assert await desk.spent() == (0, 0)


async def test_a_person_who_is_not_reached_by_any_provider_in_attempts_max_calls_is_given_up(desk: Desk) -> None:
    one = await desk.one()
    for _ in range(2 * desks.ATTEMPTS_MAX):
        await desk.record(await desk.claimed(one), replace(BUSY, everywhere=True))
        desk.clock.move(60)
    assert await desk.state(one) == State.FAILED
    assert await desk.spent() == (0, 0)


async def test_a_refusal_goes_to_the_next_provider_and_then_it_failed(desk: Desk) -> None:
    one = await desk.one()
    await desk.record(await desk.claimed(one), REFUSED)
    assert (await desk.delivery(one)).provider == B
    await desk.record(await desk.claimed(one), REFUSED)
    failed = await desk.delivery(one)
    assert (failed.state, failed.code) == (State.FAILED, "invalid_destination")
    assert (await desk.alert_row(failed.alert_id)).status is Status.FAILED


async def test_throttling_counts_for_nothing(desk: Desk) -> None:
    one = await desk.one()
    for _ in range(3 * desks.ATTEMPTS_MAX):
        await desk.record(await desk.claimed(one), throttled())
        desk.clock.move(30)
    assert (await desk.delivery(one)).tries == 0


@pytest.mark.parametrize("asked_s", [1e300, float("nan"), float("inf"), -1e300, 0.0])
async def test_a_pause_that_makes_no_sense_is_bounded(desk: Desk, asked_s: float) -> None:
    one = await desk.one(ALONE)
    asking = RetryLater(reason=Reason(code="throttled"), throttled=True, not_before_s=asked_s)
    waiting = await desk.record(await desk.claimed(one), asking)
    assert desk.clock.now() < waiting.due_at
    assert (waiting.due_at - desk.clock.now()).total_seconds() <= EXPIRES_S


async def test_a_dead_link_moves_it_to_a_provider_that_is_up_and_back_again(desk: Desk) -> None:
    one = await desk.one()
    desk.down.add(A)
    await desk.record(await desk.claimed(one), LINK_DOWN)
    moved = await desk.delivery(one)
    assert (moved.provider, moved.tries, moved.exhausted) == (B, 0, ())
    desk.down.clear()
    await desk.record(await desk.claimed(one), REFUSED)
    assert (await desk.delivery(one)).provider == A  # it was down, not used up


async def test_delivered_by_the_attempt_itself(desk: Desk) -> None:
    one = await desk.one()
    await desk.record(await desk.claimed(one), Delivered(at=desk.clock.now(), code="answered"))
    assert await desk.state(one) == State.DELIVERED


async def test_without_receipts_accepted_is_the_end(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1", receipts=False)
    ended = await desk.delivery(one)
    assert (ended.state, ended.settled_at) == (State.ACCEPTED, desk.clock.now())
    assert await desk.spent() == (0, 1)
    assert (await desk.alert_row(ended.alert_id)).status is Status.COMPLETED


# --- the fence -------------------------------------------------------------------------------------------------------


async def test_a_worker_that_wakes_up_late_is_fenced_off(desk: Desk) -> None:
    one = await desk.one()
    slow = await desk.claimed(one)
    desk.clock.move(LEASE_S)
    await desk.tick()
    assert await desk.state(one) == State.UNSURE
    desk.clock.move(UNSURE_S)
    await desk.tick()
    desk.clock.move(2)
    again = await desk.claimed(one)
    assert again.attempt.epoch == 2
    fenced = await desk.record(slow, accepted("id-1"))
    assert (fenced.epoch, fenced.state) == (2, State.SENDING)  # it went on without this worker
    assert [attempt.outcome for attempt in await desk.attempts(one)] == ["accepted", ""]  # whose word is evidence
    await desk.record(again, accepted("id-2"))
    assert await desk.state(one) == State.ACCEPTED
    await desk.report(delivered("id-1"))
    assert await desk.state(one) == State.DELIVERED


async def test_a_worker_that_wakes_up_while_it_is_unsure_is_believed(desk: Desk) -> None:
    one = await desk.one()
    slow = await desk.claimed(one)
    desk.clock.move(LEASE_S)
    await desk.tick()
    await desk.record(slow, accepted("id-1"))
    assert await desk.state(one) == State.ACCEPTED
    await desk.report(delivered("id-1"))
    assert await desk.state(one) == State.DELIVERED


async def test_an_outcome_after_the_deadline_is_evidence_and_moves_no_money(desk: Desk) -> None:
    one = await desk.one(ALONE)
    slow = await desk.claimed(one)
    desk.clock.move(EXPIRES_S)
    await desk.tick()
    assert await desk.state(one) == State.EXPIRED
    assert await desk.spent() == (0, 0)
    await desk.record(slow, accepted("id-1"))
    assert await desk.state(one) == State.EXPIRED
    assert [part.provider_message_id for part in await desk.parts(one)] == ["id-1"]
    await desk.report(delivered("id-1"))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.spent() == (0, 0)


async def test_what_is_under_way_at_the_deadline_is_settled_by_its_outcome(desk: Desk) -> None:
    one = await desk.one(ALONE, priority=Priority.EMERGENCY, expires_s=LEASE_S / 2)
    talking = await desk.claimed(one)
    desk.clock.move(LEASE_S / 2)
    await desk.tick()
    ended = await desk.delivery(one)
    assert (ended.state, ended.cancel_requested) == (State.SENDING, True)
    assert (await desk.alert_row(ended.alert_id)).status is Status.EXPIRED  # not failed: somebody may be listening
    assert await desk.spent() == (1, 0)
    await desk.record(talking, DELIVERED)
    assert await desk.state(one) == State.DELIVERED
    assert await desk.spent() == (0, 1)


@pytest.mark.parametrize("outcome", [BUSY, REFUSED], ids=lambda o: type(o).__name__)
async def test_what_is_under_way_at_the_deadline_and_fails_is_expired(desk: Desk, outcome: Outcome) -> None:
    one = await desk.one(ALONE, expires_s=LEASE_S / 2)
    ringing = await desk.claimed(one)
    desk.clock.move(LEASE_S / 2)
    await desk.tick()
    alert_id = (await desk.delivery(one)).alert_id
    assert (await desk.alert_row(alert_id)).status is Status.ACTIVE  # what becomes of it tells how it ends
    await desk.record(ringing, outcome)
    assert await desk.state(one) == State.EXPIRED
    assert await desk.spent() == (0, 0)
    assert (await desk.alert_row(alert_id)).status is Status.FAILED


async def test_a_call_whose_lease_was_lost_before_its_deadline_is_proved_by_its_outcome(desk: Desk) -> None:
    one = await desk.one(ALONE)
    slow = await desk.claimed(one)
    desk.clock.move(EXPIRES_S)
    await desk.tick()
    assert await desk.state(one) == State.EXPIRED
    await desk.record(slow, DELIVERED)
    assert await desk.state(one) == State.DELIVERED
    assert await desk.spent() == (0, 0)  # it was settled when it lapsed


@pytest.mark.parametrize(
    "outcome", [accepted("id-1"), BUSY, REFUSED, throttled("id-1")], ids=lambda o: type(o).__name__
)
async def test_an_outcome_recorded_twice_counts_once(desk: Desk, outcome: object) -> None:
    """The commit went through and its answer was lost: the worker tells it again."""
    one = await desk.one(text="x" * 200)
    claim = await desk.claimed(one)
    command = desk.recording(claim, outcome)  # type: ignore[arg-type]  # every outcome is one
    await desk.do(command)
    before = await desk.delivery(one)
    with pytest.raises(Ignored):
        await desk.do(command)
    assert await desk.delivery(one) == before


async def test_an_outcome_recorded_twice_in_one_commit_counts_once(desk: Desk) -> None:
    one = await desk.one()
    claim = await desk.claimed(one)
    command = desk.recording(claim, accepted("id-1"))
    first, second = await asyncio.gather(desk.do(command), desk.do(command), return_exceptions=True)
    assert (getattr(first, "state", first), type(second)) == (State.ACCEPTED, Ignored)


# --- doubt -----------------------------------------------------------------------------------------------------------


async def test_doubt_that_nothing_clears_is_sent_again(desk: Desk) -> None:
    one = await desk.one()
    await desk.record(await desk.claimed(one), unanswered())
    assert await desk.state(one) == State.UNSURE
    desk.clock.move(UNSURE_S - 1)
    await desk.tick()
    assert await desk.state(one) == State.UNSURE
    desk.clock.move(1)
    await desk.tick()
    waiting = await desk.delivery(one)
    assert (waiting.state, waiting.provider, waiting.tries) == (State.QUEUED, A, 1)
    assert desk.announced(one) == 2


async def test_doubt_that_nothing_clears_is_given_up_where_the_alert_waits(desk: Desk) -> None:
    one = await desk.one(resend=False)
    await desk.record(await desk.claimed(one), unanswered())
    desk.clock.move(UNSURE_S)
    await desk.tick()
    failed = await desk.delivery(one)
    assert (failed.state, failed.code) == (State.FAILED, "no_answer")
    assert await desk.spent() == (0, 1)  # +33: an unknown end is charged


async def test_doubt_about_an_unknown_end_that_is_free(desk: Desk) -> None:
    one = await desk.one(ALONE, resend=False)
    await desk.record(await desk.claimed(one), unanswered())
    desk.clock.move(UNSURE_S)
    await desk.tick()
    assert await desk.state(one) == State.FAILED
    assert await desk.spent() == (0, 0)


async def test_doubts_move_on_after_attempts_max(desk: Desk) -> None:
    one = await desk.one()
    for _ in range(desks.ATTEMPTS_MAX):
        assert (await desk.delivery(one)).provider == A
        await desk.record(await desk.claimed(one), unanswered())
        desk.clock.move(10 * UNSURE_S)
        await desk.tick()
        desk.clock.move(60)
    assert (await desk.delivery(one)).provider == B


# --- cancelling ------------------------------------------------------------------------------------------------------


async def test_cancelled_while_it_waits(desk: Desk) -> None:
    one = await desk.one()
    alert_id = (await desk.delivery(one)).alert_id
    await desk.change(alert_id, cancel)
    assert await desk.state(one) == State.CANCELLED
    assert await desk.spent() == (0, 0)
    assert await desk.claim(one) is None


async def test_cancelled_while_it_is_sent_and_not_taken(desk: Desk) -> None:
    one = await desk.one()
    claim = await desk.claimed(one)
    await desk.change(claim.alert.id, cancel)
    asked = await desk.delivery(one)
    assert (asked.state, asked.cancel_requested) == (State.SENDING, True)
    await desk.record(claim, BUSY)
    assert await desk.state(one) == State.CANCELLED
    assert await desk.spent() == (0, 0)


async def test_cancelled_while_it_is_sent_and_taken_all_the_same(desk: Desk) -> None:
    one = await desk.one()
    claim = await desk.claimed(one)
    await desk.change(claim.alert.id, cancel)
    await desk.record(claim, accepted("id-1"))
    await desk.report(delivered("id-1"))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.spent() == (0, 1)
    assert (await desk.alert_row(claim.alert.id)).status is Status.CANCELLED


async def test_cancelled_while_in_doubt(desk: Desk) -> None:
    one = await desk.one(ALONE)
    claim = await desk.claimed(one)
    await desk.record(claim, unanswered())
    await desk.change(claim.alert.id, cancel)
    desk.clock.move(UNSURE_S)
    await desk.tick()
    assert await desk.state(one) == State.CANCELLED
    assert await desk.spent() == (0, 0)


@pytest.mark.parametrize("how", ["cancelled", "acknowledged"])
async def test_a_claim_finds_what_a_crash_left_of_an_ended_alert(desk: Desk, how: str) -> None:
    """The process died between the end of the alert and the stopping of its deliveries: the hold comes back all the same."""
    one = await desk.one(priority=Priority.EMERGENCY)
    alert_id = (await desk.delivery(one)).alert_id
    desk.escalator.stop = lambda alert_id: None  # type: ignore[method-assign]  # the crash
    await (desk.acknowledge(alert_id) if how == "acknowledged" else desk.change(alert_id, cancel))
    assert await desk.state(one) == State.QUEUED
    assert await desk.claim(one) is None
    assert await desk.state(one) == State.CANCELLED
    assert await desk.spent() == (0, 0)


# --- credit ----------------------------------------------------------------------------------------------------------


async def test_refused_where_credit_is_short_by_a_micro_and_nothing_is_written(desk: Desk) -> None:
    await desk.open_account("poor", 2 * PRICE_MICROS - 1)
    with pytest.raises(InsufficientCredit) as short:
        await desk.accept("sms:+33600000001", "sms:+33600000002", account_id="poor")
    assert (short.value.required_micros, short.value.available_micros) == (2 * PRICE_MICROS, 2 * PRICE_MICROS - 1)
    assert await desk.count("alerts") == await desk.count("deliveries") == 0
    await desk.top_up(1, "the last micro", account_id="poor")
    await desk.accept("sms:+33600000001", "sms:+33600000002", account_id="poor")
    assert await desk.money("poor") == (0, 2 * PRICE_MICROS, 0)


async def test_high_goes_out_as_far_as_the_credit_does(desk: Desk) -> None:
    await desk.open_account("poor", PRICE_MICROS)
    addresses = ("sms:+33600000001", "sms:+33600000002", "sms:+49600000003")
    alert_id = await desk.accept(
        *addresses, account_id="poor", priority=Priority.HIGH, shortfall=Shortfall.REFUSE_IF_NOTHING_GOES
    )
    found = [(d.state, d.code) for d in await desk.deliveries(alert_id)]
    assert found == [(State.QUEUED, ""), (State.FAILED, "insufficient_credit"), (State.QUEUED, "")]


async def test_high_is_refused_where_nothing_could_go_out(desk: Desk) -> None:
    await desk.open_account("poor", PRICE_MICROS - 1)
    with pytest.raises(InsufficientCredit):
        await desk.accept(
            "sms:+33600000001",
            account_id="poor",
            priority=Priority.HIGH,
            shortfall=Shortfall.REFUSE_IF_NOTHING_GOES,
        )


async def test_an_emergency_goes_into_debt_down_to_the_floor(desk: Desk) -> None:
    await desk.open_account("poor", floor_micros=-PRICE_MICROS)
    alert_id = await desk.accept(
        "sms:+33600000001",
        "sms:+33600000002",
        account_id="poor",
        priority=Priority.EMERGENCY,
        shortfall=Shortfall.TAKE,
    )
    assert [d.code for d in await desk.deliveries(alert_id)] == ["", "insufficient_credit"]
    assert await desk.money("poor") == (-PRICE_MICROS, PRICE_MICROS, 0)


async def test_a_retry_keeps_the_hold(desk: Desk) -> None:
    one = await desk.one()
    await desk.record(await desk.claimed(one), BUSY)
    await desk.top_up(5, "INV-2")
    assert await desk.money() == (CREDIT_MICROS - PRICE_MICROS + 5, PRICE_MICROS, 0)
