"""A provider is at its work again: what urgent deliveries that wait, or are in doubt, do then, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from channels.outcome import Reason, RetryLater
from gateway import asking_anew
from gateway.alert import Priority
from gateway.delivery import State
from gateway.patience import ANSWER_S
from tests.gateway import desk as desks
from tests.gateway.desk import A, B, Desk

desk = desks.desk
store_url = desks.store_url

UNSURE = RetryLater(reason=Reason(code="trouble"), maybe_sent=True)
LONG_S = 600.0


async def in_trouble(desk: Desk, outcome: RetryLater = UNSURE, *, number: int = 1, **fields: Any) -> str:
    """A delivery that was tried over the first provider in vain, long after it began, with both down."""
    fields = {"priority": Priority.EMERGENCY, "expires_s": 4 * 3_600} | fields
    one = await desk.one(f"sms:+336000000{number:02d}", **fields)
    desk.down.update((A, B))
    desk.clock.move(LONG_S)
    await desk.record(await desk.claimed(one), outcome)
    return one


async def recovered(desk: Desk, provider: str) -> None:
    desk.down.discard(provider)
    desk.rescuer.recovered(provider)
    await desk.tick()


@pytest.mark.parametrize("priority", Priority)
async def test_an_urgent_one_in_doubt_goes_to_another_that_is_well_again(desk: Desk, priority: Priority) -> None:
    one = await in_trouble(desk, priority=priority)
    assert await desk.state(one) == State.UNSURE
    await recovered(desk, B)
    found = await desk.delivery(one)
    if priority in (Priority.EMERGENCY, Priority.HIGH):
        assert (found.state, found.provider, found.due_at) == (State.QUEUED, B, desk.clock.now())
        assert (await desk.claimed(one, B)).delivery.epoch == 2
    else:
        assert (found.state, found.provider) == (State.UNSURE, A)


async def test_its_own_provider_may_answer_first(desk: Desk) -> None:
    one = await in_trouble(desk)
    await recovered(desk, A)
    assert (await desk.delivery(one)).state == State.UNSURE
    desk.clock.move(ANSWER_S)
    await desk.tick()
    assert ((await desk.delivery(one)).state, (await desk.delivery(one)).provider) == (State.QUEUED, A)


async def test_nobody_is_asked_twice_whose_sender_forbids_it(desk: Desk) -> None:
    one = await in_trouble(desk, resend=False)
    await recovered(desk, B)
    assert (await desk.delivery(one)).state == State.UNSURE


async def test_one_that_waits_for_a_provider_that_is_down_goes_on(desk: Desk) -> None:
    one = await in_trouble(desk, RetryLater(reason=Reason(code="refused")))
    waiting = await desk.delivery(one)
    assert (waiting.state, waiting.due_at > desk.clock.now()) == (State.QUEUED, True)
    other = A if waiting.provider == B else B
    await recovered(desk, other)
    assert ((await desk.delivery(one)).provider, (await desk.delivery(one)).due_at) == (other, desk.clock.now())


async def test_what_is_not_on_its_route_stays(desk: Desk) -> None:
    one = await desk.one("sms:+447700900123", priority=Priority.EMERGENCY)
    desk.down.update((A, B))
    await desk.record(await desk.claimed(one), UNSURE)
    await recovered(desk, B)
    assert ((await desk.delivery(one)).state, (await desk.delivery(one)).provider) == (State.UNSURE, A)


async def test_many_go_in_slices_emergencies_first_while_it_is_well(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking_anew, "SLICE", 2)
    monkeypatch.setattr("gateway.rescuer.SLICE", 2)
    high = [await desk.one(f"sms:+336000001{n:02d}", priority=Priority.HIGH, expires_s=14_400) for n in range(3)]
    fire = [await desk.one(f"sms:+336000002{n:02d}", priority=Priority.EMERGENCY, expires_s=14_400) for n in range(3)]
    desk.down.update((A, B))
    desk.clock.move(LONG_S)
    for one in (*high, *fire):
        await desk.record(await desk.claimed(one), UNSURE)

    async def gone() -> int:
        return sum([await desk.state(one) == State.QUEUED for one in (*high, *fire)])

    await recovered(desk, B)
    assert (await gone(), sum([await desk.state(one) == State.QUEUED for one in fire])) == (2, 2)
    await desk.tick()
    assert (await gone(), sum([await desk.state(one) == State.QUEUED for one in fire])) == (4, 3)
    desk.down.add(B)
    await desk.tick()
    assert await gone() == 4
    await recovered(desk, B)
    for _ in range(3):
        await desk.tick()
    assert await gone() == 6
