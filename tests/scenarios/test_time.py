"""Alerts for later, alerts that come too late, and alerts that are called off. Time is moved, not waited for."""

from __future__ import annotations

from datetime import timedelta

from gateway.clock import rfc3339
from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.scenarios.conftest import OpenInsideDesk
from tests.scenarios.desk import ANNA, numbers
from tests.scenarios.installation import smpp


async def test_an_alert_for_later_goes_out_then(smsc: NodeSmsc, inside_desk_with: OpenInsideDesk) -> None:
    desk = await inside_desk_with(smpp("carrier-a", smsc.port))
    alert = await desk.alert("Siren test", to=ANNA, send_at=rfc3339(desk.clock.now() + timedelta(hours=3)))
    assert await alert.deliveries() == []
    assert await desk.held() == "0.00"  # held when its step becomes active
    desk.clock.move(hours=2, minutes=59)
    now = await desk.alert("Something else", to=ANNA)
    await now.delivered()
    assert [message.text for message in await smsc.messages()] == ["Something else"]
    desk.clock.move(minutes=1)
    await alert.delivered()
    await desk.ledger_adds_up(spent="0.09")


async def test_an_alert_that_could_not_be_sent_in_time_expires_and_costs_nothing(
    smsc: NodeSmsc, inside_desk_with: OpenInsideDesk
) -> None:
    desk = await inside_desk_with(smpp("carrier-a", smsc.port, link_wait_s=0.1))
    smsc.kill()
    await desk.link_down("carrier-a")
    alert = await desk.alert("Meeting in ten minutes", to=ANNA, expires_after_s=600)
    desk.clock.move(minutes=10)
    await alert.only("expired")
    await alert.became("failed")  # it reached nobody
    await desk.ledger_adds_up(spent="0")
    smsc.start()
    await desk.link_up("carrier-a")
    await (await desk.alert("Back again", to=ANNA)).delivered()
    assert [message.text for message in await smsc.messages()] == ["Back again"]


async def test_late_proof_makes_an_expired_delivery_delivered_and_moves_no_money(
    smsc: NodeSmsc, inside_desk_with: OpenInsideDesk
) -> None:
    await smsc.behave(receipt_delay_ms=5_000)
    desk = await inside_desk_with(smpp("carrier-a", smsc.port))
    alert = await desk.alert("Meeting in ten minutes", to=ANNA, expires_after_s=600)
    await smsc.received(1)
    await alert.only("accepted")
    desk.clock.move(minutes=10)
    await alert.only("expired")
    await desk.ledger_adds_up(spent="0.045")
    await alert.only("delivered")
    assert await alert.status() == "failed"  # nobody was reached in time
    await desk.ledger_adds_up(spent="0.045")


async def test_what_is_queued_can_be_called_off(smsc: NodeSmsc, inside_desk_with: OpenInsideDesk) -> None:
    await smsc.behave(answer_delay_ms=1_000)
    desk = await inside_desk_with(smpp("carrier-a", smsc.port, window=1))
    alert = await desk.alert("Leave the building", to=numbers(30))
    await smsc.received(1)
    await alert.cancel()
    assert await alert.status() == "cancelled"
    await smsc.behave(answer_delay_ms=0)

    async def none_left() -> bool:
        return all(delivery.state in ("cancelled", "delivered") for delivery in await alert.deliveries())

    await eventually(none_left, 20, what="the end of all deliveries")
    sent = [delivery for delivery in await alert.deliveries() if delivery.state == "delivered"]
    assert len(sent) <= 2
    assert (await smsc.stats())["submits"] == len(sent)
    await desk.ledger_adds_up(spent=f"{len(sent) * 0.045:.3f}")


async def test_an_alert_for_later_can_be_called_off(smsc: NodeSmsc, inside_desk_with: OpenInsideDesk) -> None:
    desk = await inside_desk_with(smpp("carrier-a", smsc.port))
    alert = await desk.alert("Siren test", to=ANNA, send_at=rfc3339(desk.clock.now() + timedelta(hours=3)))
    await alert.cancel()
    desk.clock.move(hours=4)
    await (await desk.alert("Another one", to=ANNA)).delivered()
    assert await alert.status() == "cancelled"
    assert [message.text for message in await smsc.messages()] == ["Another one"]
    await desk.ledger_adds_up(spent="0.045")
