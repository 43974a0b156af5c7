"""Who goes first: emergencies pass everything that waits, and bulk is slow but never stands still."""

from __future__ import annotations

from tests.peers.smsc import NodeSmsc
from tests.scenarios.conftest import OpenDesk
from tests.scenarios.desk import ANNA, numbers
from tests.scenarios.installation import smpp

BULK = 2_000
WINDOW = 20


async def test_an_emergency_passes_two_thousand_queued_bulk_messages(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    await smsc.behave(answer_delay_ms=50)
    desk = await desk_with(smpp("carrier-a", smsc.port, window=WINDOW))
    bulk = await desk.alert("The canteen is closed", to=numbers(BULK), priority="bulk")
    await smsc.received(100)
    before = (await smsc.stats())["submits"]
    emergency = await desk.alert("FIRE IN HALL 3", to=ANNA, priority="emergency", acknowledgement={"rule": "none"})
    await emergency.delivered()
    behind = (await smsc.stats())["submits"]
    assert behind < BULK / 2, "it was to overtake a queue, and the queue is gone"
    (message,) = [message for message in await smsc.messages() if message.text == "FIRE IN HALL 3"]
    assert message.number - before <= 2 * WINDOW  # what was under way, and what left while it was being accepted
    await smsc.behave(answer_delay_ms=0)
    await bulk.delivered(within_s=60)
    await desk.ledger_adds_up(spent="90.045")


async def test_bulk_goes_on_beside_more_urgent_messages(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    await smsc.behave(answer_delay_ms=20)
    desk = await desk_with(smpp("carrier-a", smsc.port, window=10))
    bulk = await desk.alert("bulk", to=numbers(200, 610_000_000), priority="bulk")
    await smsc.received(5)
    high = await desk.alert("high", to=numbers(400, 620_000_000), priority="high", acknowledgement={"rule": "none"})
    normal = await desk.alert("normal", to=numbers(400, 630_000_000), priority="normal")
    for alert in (high, normal, bulk):
        await alert.delivered(within_s=60)
    texts = [message.text for message in await smsc.messages()]
    first, last = texts.index("high"), len(texts) - texts[::-1].index("high")
    between = texts[first:last]
    assert between.count("bulk") >= len(between) // 13 - 10  # its share is one in thirteen while all three wait
    assert between.count("high") > between.count("normal") > between.count("bulk")
