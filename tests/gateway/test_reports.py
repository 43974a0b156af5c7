"""Receipts on both databases: early, late, twice, out of order, for parts, for former attempts; state and money are right."""

from __future__ import annotations

import asyncio

import pytest

from channels.outcome import PermanentFailure, Reason
from gateway.alert import Status
from gateway.delivery import State
from tests.gateway import desk as desks
from tests.gateway.answers import accepted, delivered, enroute, parts, throttled, unanswered, undelivered
from tests.gateway.desk import EXPIRES_S, LEASE_S, UNSURE_S, A, B, Desk

desk = desks.desk
store_url = desks.store_url

TWO = "x" * 200  # two parts of an SMS
ALONE = "sms:+44600000001"  # one provider, charged when accepted, an unknown end is free
OTHER = "sms:+44600000002"
PROVED = "sms:+32600000001"  # one provider, charged when delivered, an unknown end is free


# --- one part --------------------------------------------------------------------------------------------------------


async def test_delivered_after_the_answer(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1")
    assert await desk.state(one) == State.ACCEPTED
    assert await desk.spent() == (1, 0)
    await desk.report(delivered("id-1"))
    settled = await desk.delivery(one)
    assert (settled.state, settled.code, settled.captured_micros) == (State.DELIVERED, "delivered", desks.PRICE_MICROS)
    assert await desk.spent() == (0, 1)
    assert (await desk.alert_row(settled.alert_id)).status is Status.COMPLETED


async def test_before_the_answer(desk: Desk) -> None:
    one = await desk.one()
    claim = await desk.claimed(one)
    await desk.report(delivered("id-1"))
    assert await desk.state(one) == State.SENDING
    await desk.record(claim, accepted("id-1"))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.count("early_receipts") == 0
    assert await desk.spent() == (0, 1)


async def test_before_the_answer_in_the_same_commit(desk: Desk) -> None:
    one = await desk.one()
    claim = await desk.claimed(one)
    await asyncio.gather(
        desk.do(desk.reporting(enroute("id-1"), delivered("id-1"))), desk.do(desk.recording(claim, accepted("id-1")))
    )
    assert await desk.state(one) == State.DELIVERED
    assert await desk.count("early_receipts") == 0


async def test_after_the_answer_in_the_same_commit(desk: Desk) -> None:
    one = await desk.one()
    claim = await desk.claimed(one)
    await asyncio.gather(
        desk.do(desk.recording(claim, accepted("id-1"))),
        desk.do(desk.reporting(undelivered("id-1"), delivered("id-1"))),
    )
    assert await desk.state(one) == State.DELIVERED


@pytest.mark.parametrize("at_once", [True, False], ids=["one commit", "two commits"])
async def test_twice(desk: Desk, at_once: bool) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1")
    if at_once:
        await desk.report(delivered("id-1"), delivered("id-1"))
    else:
        await desk.report(delivered("id-1"))
        await desk.report(delivered("id-1"))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.spent() == (0, 1)


async def test_early_twice_and_contradicting(desk: Desk) -> None:
    one = await desk.one()
    claim = await desk.claimed(one)
    await desk.report(undelivered("id-1"))
    await desk.report(delivered("id-1"))
    await desk.record(claim, accepted("id-1"))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.count("early_receipts") == 0
    assert await desk.spent() == (0, 1)


async def test_hexadecimal_and_decimal_names_of_one_part(desk: Desk) -> None:
    one = await desk.one()
    claim = await desk.claimed(one)
    await desk.report(delivered("255", "ff", address="33600000001"))  # before the answer: kept under both names
    await desk.record(claim, accepted("ff"))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.count("early_receipts") == 0


async def test_intermediate_changes_nothing(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1")
    await desk.report(enroute("id-1"))
    assert await desk.state(one) == State.ACCEPTED
    assert await desk.count("events", delivery_id=one, kind="receipt") == 1
    await desk.report(delivered("id-1"), enroute("id-1"))
    assert await desk.state(one) == State.DELIVERED


async def test_undelivered_goes_to_the_next_provider(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1")
    await desk.report(undelivered("id-1"))
    waiting = await desk.delivery(one)
    assert (waiting.state, waiting.provider, waiting.exhausted) == (State.QUEUED, B, (A,))
    assert await desk.spent() == (1, 0)
    await desk.sent(one, "id-2")
    await desk.report(delivered("id-2"), provider=B)
    assert await desk.state(one) == State.DELIVERED
    assert await desk.spent() == (0, 1)  # both providers charge, the account pays what it agreed to
    assert await desk.count("events", delivery_id=one, kind="absorbed") == 1


async def test_undelivered_by_the_only_provider_fails(desk: Desk) -> None:
    one = await desk.one(ALONE)
    await desk.sent(one, "id-1")
    await desk.report(undelivered("id-1"))
    failed = await desk.delivery(one)
    assert (failed.state, failed.code) == (State.FAILED, "undeliverable")
    assert await desk.spent() == (0, 1)  # charged when accepted
    assert (await desk.alert_row(failed.alert_id)).status is Status.FAILED


async def test_undelivered_costs_nothing_where_delivery_is_charged(desk: Desk) -> None:
    one = await desk.one(PROVED)
    await desk.sent(one, "id-1")
    await desk.report(undelivered("id-1"))
    assert await desk.state(one) == State.FAILED
    assert await desk.spent() == (0, 0)


async def test_delivered_then_undelivered_stays_delivered(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1")
    await desk.report(delivered("id-1"))
    await desk.report(undelivered("id-1"))
    assert await desk.state(one) == State.DELIVERED
    assert [part.state for part in await desk.parts(one)] == ["delivered"]


async def test_late_proof_after_the_end_changes_state_and_no_money(desk: Desk) -> None:
    one = await desk.one(PROVED)
    await desk.sent(one, "id-1")
    desk.clock.move(EXPIRES_S)
    await desk.tick()
    assert await desk.state(one) == State.EXPIRED
    assert await desk.spent() == (0, 0)
    await desk.report(delivered("id-1"))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.spent() == (0, 0)


async def test_late_disproof_after_the_end_changes_nothing(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1")
    desk.clock.move(EXPIRES_S)
    await desk.tick()
    await desk.report(undelivered("id-1"))
    assert await desk.state(one) == State.EXPIRED


async def test_a_bounce_after_a_settled_acceptance_fails_it_and_keeps_the_money(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1", receipts=False)
    assert await desk.spent() == (0, 1)
    assert (await desk.alert_row((await desk.delivery(one)).alert_id)).status is Status.COMPLETED
    await desk.report(undelivered("id-1"))
    assert await desk.state(one) == State.FAILED
    assert await desk.spent() == (0, 1)


# --- ids -------------------------------------------------------------------------------------------------------------


async def test_unknown_id_is_kept_and_then_forgotten(desk: Desk) -> None:
    await desk.report(delivered("nobody-knows"))
    assert await desk.count("early_receipts") == 1
    desk.clock.move(25 * 3_600)
    await desk.tick()
    assert await desk.count("early_receipts") == 0


async def test_the_same_id_of_another_provider_is_another_part(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1")
    await desk.report(delivered("id-1"), provider=B)
    assert await desk.state(one) == State.ACCEPTED


async def test_used_again_the_latest_is_meant(desk: Desk) -> None:
    first, second = await desk.one(ALONE), await desk.one(OTHER)
    await desk.sent(first, "7")
    desk.clock.move(60)
    await desk.sent(second, "7")
    await desk.report(delivered("7"))
    assert [await desk.state(first), await desk.state(second)] == [State.ACCEPTED, State.DELIVERED]


@pytest.mark.parametrize("written", ["+44600000001", "44600000001"])
async def test_used_again_the_address_tells_which(desk: Desk, written: str) -> None:
    first, second = await desk.one(ALONE), await desk.one(OTHER)
    await desk.sent(first, "7")
    desk.clock.move(60)
    await desk.sent(second, "7")
    await desk.report(delivered("7", address=written))
    assert [await desk.state(first), await desk.state(second)] == [State.DELIVERED, State.ACCEPTED]


async def test_used_again_before_the_answer(desk: Desk) -> None:
    """The id names an older part, to another address and at its end: this receipt is for the message that is being sent."""
    first, second = await desk.one(ALONE), await desk.one(OTHER)
    await desk.sent(first, "7")
    await desk.report(undelivered("7"))
    claim = await desk.claimed(second)
    await desk.report(delivered("7", address="+44600000002"))
    await desk.record(claim, accepted("7"))
    assert [await desk.state(first), await desk.state(second)] == [State.FAILED, State.DELIVERED]


async def test_kept_for_another_address_is_not_matched(desk: Desk) -> None:
    """A receipt of a message that this gateway never sent must not prove the next one that is given its id."""
    await desk.report(delivered("7", address="+44699999999"))
    one = await desk.one(ALONE)
    await desk.sent(one, "7")
    assert await desk.state(one) == State.ACCEPTED
    await desk.report(delivered("7", address="+44600000001"))
    assert await desk.state(one) == State.DELIVERED


async def test_one_early_receipt_settles_one_part(desk: Desk) -> None:
    """Two deliveries whose answers name the same id, with one receipt before: only the one it is addressed to."""
    first, second = await desk.one(ALONE), await desk.one(OTHER)
    claims = [await desk.claimed(first), await desk.claimed(second)]
    await desk.report(delivered("7", address="+44600000002"))
    await asyncio.gather(*(desk.do(desk.recording(claim, accepted("7"))) for claim in claims))
    assert [await desk.state(first), await desk.state(second)] == [State.ACCEPTED, State.DELIVERED]


# --- several parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("at_once", [True, False], ids=["one commit", "two commits"])
async def test_all_parts_have_to_arrive(desk: Desk, order: tuple[str, str], at_once: bool) -> None:
    one = await desk.one(text=TWO)
    await desk.sent(one, "a", "b")
    assert await desk.spent() == (2, 0)
    if at_once:
        await desk.report(*(delivered(name) for name in order))
    else:
        await desk.report(delivered(order[0]))
        assert await desk.state(one) == State.ACCEPTED
        await desk.report(delivered(order[1]))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.spent() == (0, 2)


async def test_all_parts_before_the_answer(desk: Desk) -> None:
    one = await desk.one(text=TWO)
    claim = await desk.claimed(one)
    await desk.report(delivered("b"))
    await desk.report(delivered("a"))
    await desk.record(claim, accepted("a", "b"))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.spent() == (0, 2)


@pytest.mark.parametrize("order", ["failed first", "failed last"])
async def test_one_failed_part_fails_the_message(desk: Desk, order: str) -> None:
    one = await desk.one(ALONE, text=TWO)
    await desk.sent(one, "a", "b")
    receipts = [undelivered("a"), delivered("b")]
    for receipt in receipts if order == "failed first" else reversed(receipts):
        await desk.report(receipt)
    assert await desk.state(one) == State.FAILED
    assert await desk.spent() == (0, 2)


async def test_one_failed_part_is_charged_for_the_other_alone_where_delivery_is_charged(desk: Desk) -> None:
    one = await desk.one(PROVED, text=TWO)
    await desk.sent(one, "a", "b")
    await desk.report(delivered("b"))
    await desk.report(undelivered("a"))
    assert await desk.spent() == (0, 1)


async def test_a_failed_part_that_arrives_after_all(desk: Desk) -> None:
    one = await desk.one(ALONE, text=TWO)
    await desk.sent(one, "a", "b")
    await desk.report(undelivered("a"), delivered("b"))
    await desk.report(delivered("a"))
    assert await desk.state(one) == State.DELIVERED


async def test_the_whole_message_goes_to_the_next_provider(desk: Desk) -> None:
    one = await desk.one(text=TWO)
    await desk.sent(one, "a", "b")
    await desk.report(undelivered("a"), undelivered("b"))
    claim = await desk.claimed(one)
    assert claim.attempt.provider == B
    assert claim.parts_sent == frozenset()


async def test_parts_that_were_taken_are_not_sent_again(desk: Desk) -> None:
    one = await desk.one(text=TWO)
    await desk.record(await desk.claimed(one), throttled("a"))
    desk.clock.move(2)
    again = await desk.claimed(one)
    assert again.parts_sent == {1}
    await desk.report(delivered("a"))
    assert await desk.state(one) == State.SENDING
    await desk.record(again, accepted("b", first=2))
    assert await desk.state(one) == State.ACCEPTED
    await desk.report(delivered("b"))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.spent() == (0, 2)


async def test_a_part_taken_before_a_throttle_fails_while_the_rest_waits(desk: Desk) -> None:
    """The message can no longer arrive whole this way: it is sent anew, not completed."""
    one = await desk.one(text=TWO)
    await desk.record(await desk.claimed(one), throttled("a"))
    await desk.report(undelivered("a"))
    desk.clock.move(2)
    again = await desk.claimed(one)
    assert again.parts_sent == frozenset()
    await desk.record(again, accepted("c", "d"))
    await desk.report(delivered("c"), delivered("d"))
    assert await desk.state(one) == State.DELIVERED


async def test_a_part_taken_before_a_throttle_fails_while_the_rest_is_sent(desk: Desk) -> None:
    one = await desk.one(text=TWO)
    await desk.record(await desk.claimed(one), throttled("a"))
    desk.clock.move(2)
    again = await desk.claimed(one)
    assert again.parts_sent == {1}
    await desk.report(undelivered("a"))
    await desk.record(again, accepted("b", first=2))
    waiting = await desk.delivery(one)
    assert (waiting.state, waiting.provider) == (State.QUEUED, B)


# --- doubt and former attempts ---------------------------------------------------------------------------------------


async def test_proof_of_a_lost_attempt_after_the_answer_came_late(desk: Desk) -> None:
    one = await desk.one()
    claim = await desk.claimed(one)
    desk.clock.move(LEASE_S)
    await desk.tick()
    assert await desk.state(one) == State.UNSURE
    await desk.report(delivered("id-1"))
    await desk.record(claim, accepted("id-1"))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.spent() == (0, 1)


async def test_a_part_of_a_doubtful_message_proves_nothing(desk: Desk) -> None:
    one = await desk.one(text=TWO)
    await desk.record(await desk.claimed(one), unanswered("a"))
    await desk.report(delivered("a"))
    assert await desk.state(one) == State.UNSURE
    desk.clock.move(UNSURE_S)
    await desk.tick()
    assert await desk.state(one) == State.QUEUED


async def test_an_intermediate_receipt_does_not_end_the_doubt_about_another_part(desk: Desk) -> None:
    one = await desk.one(text=TWO)
    await desk.record(await desk.claimed(one), unanswered("a"))
    await desk.report(enroute("a"))
    await desk.report(delivered("a"))
    assert await desk.state(one) == State.UNSURE
    desk.clock.move(UNSURE_S)
    await desk.tick()
    assert await desk.state(one) == State.QUEUED


async def test_an_intermediate_receipt_of_a_former_attempt_does_not_end_the_doubt(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1")
    await desk.report(undelivered("id-1"))
    await desk.record(await desk.claimed(one), unanswered())
    assert await desk.state(one) == State.UNSURE
    await desk.report(enroute("id-1"))
    assert await desk.state(one) == State.UNSURE


async def test_proof_of_a_former_attempt_counts_while_the_next_one_waits(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1")
    await desk.report(undelivered("id-1"))
    await desk.report(delivered("id-1"))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.claim(one, B) is None
    assert await desk.spent() == (0, 1)


async def test_proof_of_a_former_attempt_counts_while_the_next_one_is_sent(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1")
    await desk.report(undelivered("id-1"))
    claim = await desk.claimed(one)
    await desk.report(delivered("id-1"))
    assert await desk.state(one) == State.DELIVERED
    await desk.record(claim, accepted("id-2"))  # evidence all the same
    assert [attempt.outcome for attempt in await desk.attempts(one)] == ["accepted", "accepted"]
    assert await desk.state(one) == State.DELIVERED


async def test_disproof_of_a_former_attempt_does_not_count(desk: Desk) -> None:
    one = await desk.one()
    await desk.record(await desk.claimed(one), unanswered())
    desk.clock.move(UNSURE_S)
    await desk.tick()
    desk.clock.move(2)
    second = await desk.claimed(one)
    assert second.attempt.epoch == 2
    await desk.record(second, accepted("id-2"))
    await desk.report(undelivered("id-2"))
    third = await desk.claimed(one)
    await desk.record(third, accepted("id-3"))
    await desk.report(undelivered("id-2"), provider=A)
    assert await desk.state(one) == State.ACCEPTED
    await desk.report(delivered("id-3"), provider=B)
    assert await desk.state(one) == State.DELIVERED


async def test_a_former_run_whose_parts_all_arrive_proves_it(desk: Desk) -> None:
    one = await desk.one(text=TWO)
    await desk.sent(one, "a", "b")
    await desk.report(undelivered("a"))
    await desk.sent(one, "c", "d")
    await desk.report(delivered("c"), provider=B)
    await desk.report(delivered("b"))
    assert await desk.state(one) == State.ACCEPTED  # one part of each run: nobody can read that
    await desk.report(delivered("a"))
    assert await desk.state(one) == State.DELIVERED


async def test_parts_taken_before_a_refusal_cost_money(desk: Desk) -> None:
    one = await desk.one(ALONE, text=TWO)
    refused = PermanentFailure(reason=Reason(code="smpp_0x0b"), parts=parts("a"))
    await desk.record(await desk.claimed(one), refused)
    assert await desk.state(one) == State.FAILED
    assert await desk.spent() == (0, 1)


async def test_what_may_have_left_beside_known_parts_has_an_unknown_end(desk: Desk) -> None:
    """+33 charges an unknown end: the part that was taken and the one that was not answered."""
    desk.down.add(B)
    one = await desk.one(text=TWO, resend=False)
    await desk.record(await desk.claimed(one), unanswered("a"))
    desk.clock.move(UNSURE_S)
    await desk.tick()
    assert await desk.state(one) == State.FAILED
    assert await desk.spent() == (0, 2)
