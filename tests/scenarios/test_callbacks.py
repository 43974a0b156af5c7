"""What upstream hears of its alerts: signed, numbered, in order, again after a failure, parked when nothing helps."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.scenarios.conftest import OpenDesk
from tests.scenarios.desk import ANNA, PlacedAlert, numbers
from tests.scenarios.installation import smpp
from tests.scenarios.receiver import Receiver, receiving


@pytest.fixture
async def upstream() -> AsyncIterator[Receiver]:
    """The web server of the system that submits alerts."""
    async with receiving() as receiver:
        yield receiver


async def test_upstream_hears_of_the_end(smsc: NodeSmsc, desk_with: OpenDesk, upstream: Receiver) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    alert = await desk.alert("Smoke", to=ANNA, callback_url=upstream.url, reference="sensor-17")
    (delivery,) = await alert.delivered()
    (call,) = await upstream.called(1)
    assert call.number == 1
    assert call.signed_with(desk.callback_secret)
    assert not call.signed_with("another secret")
    assert (call.body["alert"], call.body["reference"], call.body["status"]) == (alert.id, "sensor-17", "completed")
    assert call.types == ["delivery.delivered", "alert.completed"]
    assert call.body["events"][0] | {"at": ""} == {
        "type": "delivery.delivered",
        "delivery": delivery.id,
        "address": ANNA,
        "state": "delivered",
        "code": delivery.code,
        "provider": "carrier-a",
        "at": "",
    }


async def test_callbacks_of_an_alert_come_in_order_one_at_a_time(
    smsc: NodeSmsc, desk_with: OpenDesk, upstream: Receiver
) -> None:
    await smsc.behave(answer_delay_ms=5)
    desk = await desk_with(smpp("carrier-a", smsc.port, window=3))
    alert = await desk.alert("Smoke", to=numbers(40), callback_url=upstream.url)
    await alert.delivered()

    def told_of_all() -> bool:
        told = [kind for call in upstream.calls for kind in call.types]
        return "alert.completed" in told

    await eventually(told_of_all, 20, what="the callback of the end")
    assert [call.number for call in upstream.calls] == list(range(1, len(upstream.calls) + 1))
    told = [event["delivery"] for call in upstream.calls for event in call.body["events"] if "delivery" in event]
    assert sorted(told) == sorted(delivery.id for delivery in await alert.deliveries())


async def test_a_failed_callback_is_sent_again_before_the_next_one(
    smsc: NodeSmsc, desk_with: OpenDesk, upstream: Receiver
) -> None:
    upstream.answers = [500, 503]
    desk = await desk_with(smpp("carrier-a", smsc.port, window=2))
    alert = await desk.alert("Smoke", to=numbers(6), callback_url=upstream.url)
    await alert.delivered()
    count = await _all_done(alert)
    numbers_taken = [call.number for call in upstream.calls if call.answered == 204]
    assert [call.number for call in upstream.calls[:3]] == [1, 1, 1]
    assert numbers_taken == list(range(1, count + 1))
    assert len({call.raw for call in upstream.calls[:3]}) == 1  # the same notice, however often
    assert all(call.signed_with(desk.callback_secret) for call in upstream.calls)


async def test_a_callback_nobody_takes_is_parked_and_the_next_one_goes_out(
    smsc: NodeSmsc, desk_with: OpenDesk, upstream: Receiver
) -> None:
    upstream.always = 500
    desk = await desk_with(smpp("carrier-a", smsc.port), callbacks={"attempts_max": 3})
    alert = await desk.alert("Smoke", to=ANNA, callback_url=upstream.url)
    await alert.delivered()
    assert await _callbacks_are("parked", alert) == [(1, "parked", 3, "http_500")]
    assert len(upstream.calls) == 3
    assert ("callback_parked", "1 http_500") in await alert.timeline()
    upstream.always = 204
    other = await desk.alert("Fire", to=ANNA, callback_url=upstream.url)
    await other.delivered()
    await _all_done(other)


async def test_a_callback_survives_that_nobody_listens(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    async with receiving() as gone:
        url = gone.url
    desk = await desk_with(smpp("carrier-a", smsc.port), callbacks={"attempts_max": 2})
    alert = await desk.alert("Smoke", to=ANNA, callback_url=url)
    await alert.delivered()
    await _callbacks_are("parked", alert)


async def _all_done(alert: PlacedAlert) -> int:
    """Waits until all callbacks of the alert were taken. Gives how many there are."""
    return len(await _callbacks_are("done", alert))


async def _callbacks_are(state: str, alert: PlacedAlert) -> list[tuple[int, str, int, str]]:
    found: list[tuple[int, str, int, str]] = []

    async def so() -> bool:
        found[:] = await alert.callbacks()
        return bool(found) and all(each == state for _, each, _, _ in found)

    await eventually(so, 20, what=f"all callbacks {state}")
    return found
