"""Texts of every kind arrive as they were written: what the SMSC received, put together as a phone does it, is the same."""

from __future__ import annotations

from typing import Any

import pytest

from tests.peers.smsc import NodeSmsc, reassembled
from tests.scenarios.conftest import OpenDesk
from tests.scenarios.installation import smpp

PHONE = "33612345678"

TEN_PARTS = ("Evacuate by the north stairs. " * 60)[: 153 * 10]
TEXTS: dict[str, tuple[str, int]] = {
    "one full part": ("a" * 160, 1),
    "one septet too many": ("a" * 161, 2),
    "ten parts": (TEN_PARTS, 10),
    "an extension character at every border": (("b" * 152 + "€") * 6, 7),
    "brackets only": ("[{~^|\\}]€" * 40, 5),
    "the whole alphabet": ("@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà\n\r", 1),
    "one full part of UCS-2": ("ж" * 70, 1),
    "Cyrillic": ("Пожар в третьем цехе. " * 10, 4),
    "emoji": ("🔥" * 100, 4),
    "emoji at every border": (("火" * 66 + "🚨") * 4, 5),
    "families and flags": ("👩‍👩‍👧‍👦🇫🇷👍🏽 " * 20, 6),
    "Arabic": ("حريق في القاعة ٣", 1),
}


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"reference_octets": 2},
        {"concatenation": "sar"},
        {"concatenation": "payload"},
    ],
    ids=["udh", "udh of 16 bits", "sar", "payload"],
)
async def test_what_arrives_is_what_was_sent(smsc: NodeSmsc, desk_with: OpenDesk, keys: dict[str, Any]) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port, **keys))
    units = 0
    expected = {}
    for n, (name, (text, parts)) in enumerate(TEXTS.items()):
        phone = str(33612345678 + n)
        (delivery,) = await (await desk.alert(text, to=f"sms:+{phone}")).delivered()
        expected[phone] = [text]
        if "reference_octets" not in keys:  # a longer reference leaves less room; what is charged is what was sent
            assert (name, delivery.units) == (name, parts)
        units += delivery.units
    messages = await smsc.messages()
    assert reassembled(messages) == expected
    assert len(messages) == (len(TEXTS) if keys.get("concatenation") == "payload" else units)
    await desk.ledger_adds_up(spent=f"{units * 45 / 1000:.3f}")


async def test_parts_travel_as_the_provider_asks(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port, concatenation="sar"))
    await (await desk.alert(TEN_PARTS, to=f"sms:+{PHONE}")).delivered()
    messages = await smsc.messages()
    assert all(message.sar is not None and not message.udh for message in messages)
    assert [message.concatenation[1:] for message in messages if message.concatenation] == [
        (10, n) for n in range(1, 11)
    ]


async def test_a_long_message_that_is_throttled_goes_on_where_it_stopped(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    await smsc.behave(throttle=300)
    desk = await desk_with(smpp("carrier-a", smsc.port))
    (delivery,) = await (await desk.alert(TEN_PARTS, to=f"sms:+{PHONE}")).delivered(within_s=60)
    assert len(delivery.attempts) > 1
    stats = await smsc.stats()
    assert (stats["accepted"], stats["duplicates"]) == (10, 0)
    assert reassembled(await smsc.messages())[PHONE] == [TEN_PARTS]
    await desk.ledger_adds_up(spent="0.45")


async def test_a_long_message_in_doubt_is_sent_again_as_a_whole(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    await smsc.behave(drop_every=4, drop_unanswered=True)
    desk = await desk_with(smpp("carrier-a", smsc.port, window=2))
    alert = await desk.alert(TEN_PARTS[: 153 * 5], to=f"sms:+{PHONE}")
    await smsc.received(4)
    await smsc.behave(drop_every=0)
    (delivery,) = await alert.delivered()
    assert [outcome for _, outcome, _ in delivery.attempts] == ["unsure", "accepted"]
    whole = [message for message in await smsc.messages() if message.outcome == "accepted"][-5:]
    assert reassembled(whole)[PHONE] == [TEN_PARTS[: 153 * 5]]
    await desk.ledger_adds_up(spent="0.225")
