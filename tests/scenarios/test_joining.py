"""The same trouble again, through the gateway: who is told what, and what the answer says of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gateway.clock import rfc3339
from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.scenarios.conftest import OpenDesk, OpenInsideDesk
from tests.scenarios.desk import ANNA, WITHIN_S, Desk, PlacedAlert
from tests.scenarios.installation import smpp

OFFICE, BOB, ZOE = (f"sms:+3361234567{n}" for n in (1, 2, 3))


async def heard(smsc: NodeSmsc, address: str, count: int = 1) -> list[str | None]:
    """Waits for so many texts at the address, and gives all that came."""

    async def enough() -> list[str | None] | None:
        number = address.removeprefix("sms:+")
        found = [sms.text for sms in await smsc.messages() if sms.destination.lstrip("+") == number]
        return found if len(found) >= count else None

    return await eventually(enough, WITHIN_S, what=f"{count} texts to {address}")


async def say(desk: Desk, alert: PlacedAlert, by: str, **more: Any) -> dict[str, Any]:
    answer = await desk.http.post(f"/v1/alerts/{alert.id}/acknowledge", json={"by": by, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_case_1_1_who_is_named_when_it_gets_worse_is_told_with_the_new_text(
    smsc: NodeSmsc, inside_desk_with: OpenInsideDesk
) -> None:
    desk = await inside_desk_with(smpp("carrier-a", smsc.port))
    later = [{"after_s": 0}, {"after_s": 600}]
    mild = await desk.alert("Pump 3 is warm", to=OFFICE, reference="PUMP-3", steps=later)
    assert await heard(smsc, OFFICE) == ["Pump 3 is warm"]
    url = "http://127.0.0.1:9/hook"
    grave = await desk.alert(
        "Pump 3 is on fire",
        to=[ANNA, BOB],
        reference="PUMP-3",
        priority="emergency",
        steps=[{"after_s": 0, "recipients": [ANNA]}, {"after_s": 300, "recipients": [BOB]}],
        callback_url=url,
    )
    assert grave.id == mild.id
    assert grave.answer["joined"] is True
    assert grave.answer["join"] == {
        "how": "raised",
        "fields": {
            "text": "told",
            "recipients": "told",
            "steps": "taken",
            "priority": "taken",
            "callback_url": "taken",
            "reference": "same",
        },
        "told": [ANNA, BOB],
        "told_total": 2,
    }
    assert await heard(smsc, ANNA) == ["Pump 3 is on fire"]
    view = await grave.shown()
    assert (view["text"], view["priority"]) == ("Pump 3 is on fire", "emergency")
    desk.clock.move(seconds=300)
    assert await heard(smsc, BOB) == ["Pump 3 is on fire"]
    desk.clock.move(seconds=300)
    assert await heard(smsc, OFFICE, 2) == ["Pump 3 is warm", "Pump 3 is on fire"]  # the office keeps its second step
    assert len(await smsc.messages()) == 4
    await desk.ledger_adds_up()


async def test_case_1_1_people_whom_the_open_alert_does_not_reach_are_added(
    smsc: NodeSmsc, desk_with: OpenDesk
) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    asked: dict[str, Any] = {"reference": "PUMP-3", "priority": "high"}
    first = await desk.alert("Pump 3", to=ANNA, **asked)
    await heard(smsc, ANNA)
    again = await desk.alert("Pump 3", to=ANNA, **asked)
    assert (again.id, again.answer["join"]["how"], again.answer["join"]["told"]) == (first.id, "repeated", [])
    wider = await desk.alert("Pump 3 and 4", to=[ANNA, ZOE], **asked)
    assert (wider.id, wider.answer["join"]["how"], wider.answer["join"]["told"]) == (first.id, "widened", [ZOE])
    assert await heard(smsc, ZOE) == ["Pump 3 and 4"]
    milder = await desk.alert("Pump 5 hums", to=BOB, reference="PUMP-3")
    assert (milder.answer["join"]["how"], milder.answer["join"]["fields"]["text"]) == ("widened", "noted")
    assert await heard(smsc, BOB) == ["Pump 3 and 4"]
    await say(desk, first, "Anna")
    # somebody has it: whom it does not reach is told by an alert of their own
    other = await desk.alert("Pump 3 and 4", to=[ANNA, OFFICE], **asked)
    assert other.id != first.id
    assert "join" not in other.answer
    assert await heard(smsc, OFFICE) == ["Pump 3 and 4"]
    assert len(await smsc.messages()) == 5
    await desk.ledger_adds_up()


async def test_case_1_3_what_has_not_begun_is_not_joined(smsc: NodeSmsc, inside_desk_with: OpenInsideDesk) -> None:
    desk = await inside_desk_with(smpp("carrier-a", smsc.port))
    tomorrow = rfc3339(desk.clock.now() + timedelta(days=1))
    drill = await desk.alert("Siren test", to=ANNA, reference="SIREN", send_at=tomorrow)
    real = await desk.alert("The siren sounds", to=ANNA, reference="SIREN")
    assert real.id != drill.id
    assert await heard(smsc, ANNA) == ["The siren sounds"]
    again = await desk.alert("Siren test", to=ANNA, reference="SIREN", send_at=tomorrow)  # nor does it join what is
    assert len({drill.id, real.id, again.id}) == 3


async def test_case_1_11_who_acknowledged_the_milder_alert_has_not_acknowledged_the_graver_one(
    smsc: NodeSmsc, desk_with: OpenDesk
) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    people = [{"name": "Anne", "addresses": [ANNA]}, {"name": "Bob", "addresses": [BOB]}]
    asked: dict[str, Any] = {"reference": "PUMP-3", "acknowledgement": {"rule": "quorum", "quorum": 2}}
    mild = await desk.alert("Pump 3 is warm", to=people, **asked)
    await heard(smsc, BOB)
    assert (await say(desk, mild, "Anne"))["status"] == "active"
    raised = await desk.alert("Pump 3 burns", to=people, reference="PUMP-3", priority="emergency")
    assert (raised.id, raised.answer["join"]["how"]) == (mild.id, "raised")
    await heard(smsc, BOB, 2)
    view = await say(desk, mild, "Bob")
    assert view["status"] == "active"
    assert [(one["by"], one["counts"]) for one in view["acknowledgements"]] == [("Anne", False), ("Bob", True)]
    assert (await say(desk, mild, "Anne"))["status"] == "acknowledged"


async def test_a_rise_asks_again_whoever_had_it(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    mild = await desk.alert("Pump 3 is warm", to=ANNA, reference="PUMP-3", priority="high")
    await heard(smsc, ANNA)
    assert (await say(desk, mild, "Anna"))["status"] == "acknowledged"
    raised = await desk.alert("Pump 3 burns", to=ANNA, reference="PUMP-3", priority="emergency")
    assert (raised.id, raised.answer["status"], raised.answer["join"]["told"]) == (mild.id, "active", [ANNA])
    assert await heard(smsc, ANNA, 2) == ["Pump 3 is warm", "Pump 3 burns"]
    assert (await say(desk, mild, "Anna"))["status"] == "acknowledged"
