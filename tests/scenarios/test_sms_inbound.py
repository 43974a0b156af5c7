"""Messages that people send to us: stored whole before the SMSC is told so, long ones put together."""

from __future__ import annotations

from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.scenarios.conftest import OpenDesk
from tests.scenarios.installation import smpp

ANNA, LINE = "33612345678", "33700000001"


async def test_a_reply_is_stored(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    await smsc.send_mo(source=ANNA, destination=LINE, text="OK, on my way")
    (message,) = await desk.inbound(1)
    assert (message.provider, message.channel) == ("carrier-a", "sms")
    assert (message.source.lstrip("+"), message.destination.lstrip("+")) == (ANNA, LINE)
    assert message.text == "OK, on my way"
    await _confirmed(smsc, 1)


async def test_a_reply_in_another_alphabet_is_stored(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    await smsc.send_mo(source=ANNA, destination=LINE, text="Еду 🔥")
    (message,) = await desk.inbound(1)
    assert message.text == "Еду 🔥"


async def test_parts_of_a_long_reply_come_in_any_order_and_twice(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    texts = {1: "The valve of boiler two ", 2: "is closed now, 🔥 is out, ", 3: "we wait for the brigade."}
    for n in (3, 1, 3, 1, 2):
        await smsc.send_mo(
            source=ANNA,
            destination=LINE,
            octets=texts[n].encode("utf-16-be"),
            data_coding=8,
            udh=bytes((5, 0, 3, 0x4D, 3, n)),
        )
    (message,) = await desk.inbound(1)
    assert message.text == "".join(texts.values())
    await _confirmed(smsc, 5)
    assert len(await desk.inbound(1)) == 1


async def test_two_people_with_the_same_reference_are_kept_apart(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    for n in (1, 2):
        for source in (ANNA, "33687654321"):
            await smsc.send_mo(
                source=source,
                destination=LINE,
                octets=f"{source[-1]}{n}".encode(),
                udh=bytes((6, 8, 4, 0x12, 0x34, 2, n)),
            )
    assert {(row.source.lstrip("+"), row.text) for row in await desk.inbound(2)} == {
        (ANNA, "8182"),
        ("33687654321", "1112"),
    }


async def test_a_reply_sent_while_we_were_away_comes_when_we_are_back(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    await smsc.drop()
    await desk.link_down("carrier-a")
    await smsc.send_mo(source=ANNA, destination=LINE, text="Anybody there?")
    (message,) = await desk.inbound(1)
    assert message.text == "Anybody there?"


async def _confirmed(smsc: NodeSmsc, count: int) -> None:
    """Waits until every message was answered to the SMSC; none is kept there."""

    async def all_answered() -> bool:
        return (await smsc.stats())["mo_answered"] >= count

    await eventually(all_answered, what=f"{count} answers")
    stats = await smsc.stats()
    assert (stats["mo_answered"], stats["waiting"], stats["in_flight"]) == (count, 0, 0)


async def test_the_api_shows_what_people_answered(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    await smsc.send_mo(source=ANNA, destination=LINE, text="OK, on my way")
    await desk.inbound(1)
    (shown,) = (await desk.shown("/v1/inbound"))["items"]
    assert (shown["text"], shown["channel"], shown["provider"]) == ("OK, on my way", "sms", "carrier-a")
