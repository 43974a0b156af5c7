"""Whose word ends an alarm, through the gateway: what is only received is loud at the deadline."""

from __future__ import annotations

from typing import Any

import pytest

from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.scenarios.conftest import OpenInsideDesk
from tests.scenarios.desk import ANNA, WITHIN_S, PlacedAlert
from tests.scenarios.installation import smpp

BOSS = "sms:+33612345699"


async def say(alert: PlacedAlert, http: Any, **body: Any) -> dict[str, Any]:
    answer = await http.post(f"/v1/alerts/{alert.id}/acknowledge", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("confirm_within_s", [60, 600, 3_600])
async def test_case_1_9_received_and_never_taken_in_charge_is_loud_at_the_deadline(
    smsc: NodeSmsc, inside_desk_with: OpenInsideDesk, confirm_within_s: int
) -> None:
    desk = await inside_desk_with(smpp("carrier-a", smsc.port), last_resort={"recipients": [BOSS]})
    asked = {"rule": "any", "confirm_within_s": min(confirm_within_s, 590)}
    alert = await desk.alert("Boiler", to=ANNA, priority="high", expires_after_s=600, acknowledgement=asked)
    await smsc.received(1)
    desk.clock.move(seconds=599 - min(confirm_within_s, 500))
    said = await say(alert, desk.http, by="Anna")
    assert (said["status"], said["ended_at"]) == ("acknowledged", None)
    desk.clock.move(seconds=600)
    await alert.became("expired")

    async def told() -> str | None:
        return next((sms.text for sms in await smsc.messages() if sms.destination.endswith("99")), None)

    text = await eventually(told, WITHIN_S, what="a word to the last resort")
    assert text.startswith("Nobody took it in charge in time")
    # a late human may still take it, and only that is a good end
    assert (await say(alert, desk.http, by="Anna"))["status"] == "expired"
    assert (await say(alert, desk.http, by="Anna", taken=True))["status"] == "acknowledged"
