"""What gateways do to keys and sound on their way, through `tocsin serve`: sipp signals, the sound comes from sockets of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.pins import SALT_BYTES, hashed
from tests.ivr.rtp.presses import GATEWAYS, Gateway
from tests.peers.rtp import RtpSocket
from tests.peers.sipp import Sipp, answers_to, expects, invited, reply
from tests.scenarios.installation import sip
from tests.scenarios.served import Served, serving

ANNA = "voice:+33612345678"
URGENT: dict[str, Any] = {"priority": "emergency", "acknowledgement": {"rule": "any"}}
PIN = "4711"
PEOPLE = [{"name": "Anna", "language": "en", "addresses": [ANNA], "pin": hashed(PIN, b"s" * SALT_BYTES)}]
AGAIN_S = 1.5
"""Between two presses of a key by somebody who does not know when they are asked."""


@asynccontextmanager
async def called(
    folder: Path, *, events: bool = True, people: list[dict[str, Any]] | None = None, **provider: Any
) -> AsyncIterator[tuple[Served, str, RtpSocket, tuple[str, int]]]:
    """A call that was answered: the gateway, the alert, the phone's socket, and where the gateway's sound comes from."""
    with RtpSocket() as phone:
        steps = [
            invited(),
            reply("180 Ringing"),
            answers_to(phone.port, events=events),
            expects("BYE"),
            reply("200 OK"),
        ]
        with Sipp(folder, *steps) as sipp:
            more: dict[str, Any] = {} if people is None else {"people": people}
            async with serving(folder, sip("pbx", sipp.port, **provider), **more) as gateway:
                alert = await gateway.alert(ANNA, "Fire in hall three", **URGENT)
                yield gateway, alert, phone, await phone.heard()


async def acknowledges(gateway: Served, alert: str, phone: RtpSocket, to: tuple[str, int], kind: Gateway) -> None:
    """Presses 1 until the alert is acknowledged."""
    done = asyncio.create_task(gateway.became(alert, "acknowledged"))
    while not done.done():
        await phone.presses("1", to, kind)
        await asyncio.wait([done], timeout=AGAIN_S)
    await done


@pytest.mark.parametrize(
    "kind",
    [GATEWAYS["one timestamp for all keys"], GATEWAYS["a timestamp for each end"]],
    ids=["3.4, one timestamp", "3.5, ends that move"],
)
async def test_case_3_4_a_pin_is_heard_however_a_gateway_tells_of_its_keys(tmp_path: Path, kind: Gateway) -> None:
    async with called(tmp_path, people=PEOPLE) as (gateway, alert, phone, far), phone.talking(far):
        await phone.presses(PIN + "#", far, kind)
        await acknowledges(gateway, alert, phone, far, kind)


async def test_case_3_7_keys_of_the_type_that_we_offered_are_heard_though_the_answer_lists_none(tmp_path: Path) -> None:
    async with called(tmp_path, events=False, people=PEOPLE) as (gateway, alert, phone, far), phone.talking(far):
        await phone.presses(PIN + "#", far)
        await acknowledges(gateway, alert, phone, far, Gateway())
