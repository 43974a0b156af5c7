"""Credit: nothing is sent that cannot be paid, nothing is paid twice, and the books say so."""

from __future__ import annotations

import asyncio

import pytest

from tests.peers.smsc import NodeSmsc
from tests.scenarios.conftest import OpenDesk
from tests.scenarios.desk import ANNA, Refused, numbers
from tests.scenarios.installation import smpp

TOLD = ["accepted", "hold", "queued", "attempt", "sent", "outcome", "receipt", "settled", "capture", "completed"]


async def test_without_credit_nothing_is_sent(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port), credit="0.10")
    with pytest.raises(Refused) as refused:
        await desk.alert("The canteen is closed", to=numbers(3))
    assert refused.value.status == 402
    assert refused.value.problem["type"] == "/problems/insufficient-credit"
    assert (await smsc.stats())["submits"] == 0
    await desk.ledger_adds_up(spent="0")
    await (await desk.alert("The canteen is closed", to=numbers(2))).delivered()  # two can be paid
    await desk.ledger_adds_up(spent="0.09")


async def test_an_emergency_goes_out_all_the_same(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port), credit="0.05")
    alert = await desk.alert("FIRE", to=numbers(3), priority="emergency", acknowledgement={"rule": "none"})
    await alert.delivered()
    assert await desk.balance() == "-0.085"
    await desk.ledger_adds_up(spent="0.135")


async def test_the_same_request_twice_is_one_alert(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    asked = [desk.alert("Pump 3 stopped", to=ANNA, idempotency_key="sensor-17") for _ in range(20)]
    alerts = await asyncio.gather(*asked)
    assert len({alert.id for alert in alerts}) == 1
    assert all(alert.answer == alerts[0].answer for alert in alerts)
    await alerts[0].delivered()
    assert (await smsc.stats())["submits"] == 1
    await desk.ledger_adds_up(spent="0.045")
    with pytest.raises(Refused) as refused:
        await desk.alert("Pump 4 stopped", to=ANNA, idempotency_key="sensor-17")
    assert (refused.value.status, refused.value.problem["type"]) == (409, "/problems/idempotency-conflict")


async def test_credit_is_exact_at_any_speed(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port), credit="4.50")
    asked = [desk.alert(f"alert {n}", to=numbers(1, 610_000_000 + n)) for n in range(120)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    taken = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert (len(taken), len(refused)) == (100, 20)
    assert {answer.status for answer in refused} == {402}
    for alert in taken:
        await alert.delivered()
    assert await desk.balance() == "0.00"
    await desk.ledger_adds_up(spent="4.50")


async def test_the_api_tells_the_whole_story(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    alert = await desk.alert("Door open", to=ANNA, reference="door-7")
    (delivery,) = await alert.delivered()
    shown = await alert.shown()
    assert (shown["status"], shown["reference"], shown["priority"]) == ("completed", "door-7", "normal")
    (summary,) = shown["deliveries"]
    assert (summary["state"], summary["address"], summary["units"]) == ("delivered", ANNA, 1)
    whole = await desk.shown(f"/v1/deliveries/{delivery.id}")
    (attempt,) = whole["attempts"]
    assert (attempt["provider"], attempt["outcome"]) == ("carrier-a", "accepted")
    lines = (await alert.shown("timeline"))["items"]
    assert [line["kind"] for line in lines] == TOLD
    times = [line["at"] for line in lines]
    assert times == sorted(times)
    account = await desk.shown("/v1/accounts/acme")
    assert (account["balance"], account["held"]) == ("999.955", "0.00")
