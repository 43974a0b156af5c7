"""A delivery that was settled turns out not to have arrived: the next provider, or an end that is corrected and said."""

from __future__ import annotations

from gateway.alert import Status
from gateway.delivery import State
from gateway.store.rows import Part
from tests.gateway import desk as desks
from tests.gateway.answers import delivered, undelivered
from tests.gateway.desk import EXPIRES_S, A, B, Desk

desk = desks.desk
store_url = desks.store_url

ALONE = "sms:+44600000001"  # one provider


async def settled(desk: Desk, address: str = "sms:+33600000001") -> str:
    """A delivery that its provider took without promising a receipt."""
    one = await desk.one(address)
    await desk.sent(one, "id-1", receipts=False)
    assert await desk.state(one) == State.ACCEPTED
    return one


async def successor(desk: Desk, one: str) -> str:
    """The delivery that took its place."""
    alert_id = (await desk.delivery(one)).alert_id
    (other,) = [d for d in await desk.deliveries(alert_id) if d.id != one]
    return other.id


async def test_case_4_6_the_next_provider_is_asked_and_the_completed_alert_is_active_again(desk: Desk) -> None:
    one = await settled(desk)
    failed = await desk.delivery(one)
    assert (await desk.alert_row(failed.alert_id)).status is Status.COMPLETED
    spent = await desk.spent()
    await desk.report(undelivered("id-1"))
    assert await desk.state(one) == State.FAILED
    assert (await desk.alert_row(failed.alert_id)).status is Status.ACTIVE
    anew = await desk.delivery(await successor(desk, one))
    assert (anew.state, anew.provider, anew.exhausted, anew.address) == (State.QUEUED, B, (A,), failed.address)
    assert (anew.deadline_at, anew.hold_micros, anew.price_micros) == (failed.deadline_at, 0, 0)
    await desk.sent(anew.id, "id-2", receipts=False)
    assert (await desk.alert_row(failed.alert_id)).status is Status.COMPLETED
    assert await desk.spent() == spent
    await desk.verify()


async def test_case_4_6_without_another_provider_the_completed_alert_has_failed(desk: Desk) -> None:
    one = await settled(desk, ALONE)
    alert_id = (await desk.delivery(one)).alert_id
    assert (await desk.alert_row(alert_id)).status is Status.COMPLETED
    spent = await desk.spent()
    await desk.report(undelivered("id-1"))
    assert (await desk.alert_row(alert_id)).status is Status.FAILED
    assert await desk.count("events", alert_id=alert_id, kind="failed") == 1
    assert await desk.count("events", alert_id=alert_id, kind="corrected") == 1
    assert await desk.spent() == spent
    await desk.report(delivered("id-1"))  # and after all it had arrived
    assert await desk.state(one) == State.DELIVERED


async def test_both_providers_bounce_and_the_alert_has_failed(desk: Desk) -> None:
    one = await settled(desk)
    alert_id = (await desk.delivery(one)).alert_id
    await desk.report(undelivered("id-1"))
    other = await successor(desk, one)
    await desk.sent(other, "id-2", receipts=False)
    await desk.report(undelivered("id-2"), provider=B)
    assert await desk.state(other) == State.FAILED
    assert (await desk.alert_row(alert_id)).status is Status.FAILED
    assert len(await desk.deliveries(alert_id)) == 2


async def test_a_bounce_that_is_told_twice_is_followed_once(desk: Desk) -> None:
    one = await settled(desk)
    await desk.report(undelivered("id-1"), undelivered("id-1"))
    await desk.report(undelivered("id-1"))
    await successor(desk, one)


async def test_after_the_deadline_the_end_is_corrected_and_nothing_is_sent(desk: Desk) -> None:
    one = await settled(desk)
    desk.clock.move(EXPIRES_S)
    await desk.tick()
    await desk.report(undelivered("id-1"))
    alert_id = (await desk.delivery(one)).alert_id
    assert (await desk.alert_row(alert_id)).status is Status.FAILED
    assert len(await desk.deliveries(alert_id)) == 1


async def test_case_4_11_what_a_late_proof_overtakes_stays_on_the_timeline(desk: Desk) -> None:
    one = await settled(desk, ALONE)
    await desk.report(undelivered("id-1"))
    desk.clock.move(5)
    await desk.report(delivered("id-1"))
    assert await desk.count("events", delivery_id=one, kind="receipt") == 1
    assert await desk.count("events", delivery_id=one, kind="corrected") == 2
    parts: list[Part] = await desk.parts(one)
    assert [part.state for part in parts] == ["delivered"]
