"""What gateways do to keys and sound on their way, through `tocsin serve`: sipp signals, the sound comes from sockets of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.pins import SALT_BYTES, hashed
from ivr.audio import g711, tones
from ivr.audio.g711 import SILENCE
from ivr.audio.numeric import np
from ivr.audio.sound import FRAME_SAMPLES
from ivr.rtp.packet import written
from tests.ivr.audio.line_sounds import Samples
from tests.ivr.audio.test_progress import RINGING, cadenced
from tests.ivr.rtp.presses import GATEWAYS, Gateway, Press
from tests.peers.ports import LOOPBACK
from tests.peers.rtp import RtpSocket
from tests.peers.sipp import Sipp, answers_to, expects, invited, reply
from tests.peers.waiting import eventually
from tests.scenarios.installation import sip
from tests.scenarios.served import Served, serving

ANNA = "voice:+33612345678"
URGENT: dict[str, Any] = {"priority": "emergency", "acknowledgement": {"rule": "any"}}
PIN = "4711"
PEOPLE = [{"name": "Anna", "language": "en", "addresses": [ANNA], "pin": hashed(PIN, b"s" * SALT_BYTES)}]
OTHER_HOST = "127.0.0.2"
SPRAYED = 8
"""Keys that a stranger presses: enough for a greeting to be cut short, and for the alert to be acknowledged."""
AGAIN_S = 1.5
"""Between two presses of a key by somebody who does not know when they are asked."""


def encoded(samples: Samples) -> list[bytes]:
    """Frames of PCMU."""
    octets = g711.encode(np.round(samples).astype("<i2").tobytes(), "PCMU")
    return [octets[at : at + FRAME_SAMPLES] for at in range(0, len(octets) - FRAME_SAMPLES + 1, FRAME_SAMPLES)]


@asynccontextmanager
async def called(
    folder: Path,
    *,
    events: bool = True,
    people: list[dict[str, Any]] | None = None,
    delivery: dict[str, Any] | None = None,
    **provider: Any,
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
            trunk = sip("pbx", sipp.port, **provider)
            async with serving(folder, trunk, delivery=delivery, people=people or []) as gateway:
                alert = await gateway.alert(ANNA, "Fire in hall three", **URGENT)
                yield gateway, alert, phone, await phone.heard()


async def test_case_3_8_a_phone_whose_sound_comes_from_elsewhere_in_mid_call_is_heard_there(tmp_path: Path) -> None:
    async with called(tmp_path) as (gateway, alert, phone, far):
        await phone.says([b"\xff" * 160] * 25, far)
        with RtpSocket() as moved, RtpSocket(OTHER_HOST) as elsewhere:
            moved.ssrc = elsewhere.ssrc = phone.ssrc
            for one in (moved, elsewhere):  # another port, then another host
                async with one.talking(far):
                    await one.heard(5)
            async with elsewhere.talking(far):
                await acknowledges(gateway, alert, elsewhere, far, Gateway())


@pytest.mark.parametrize("host", [OTHER_HOST, LOOPBACK], ids=["another host", "the phone's host"])
async def test_case_7_1_who_was_not_named_acknowledges_nothing_and_locks_nobody_out(tmp_path: Path, host: str) -> None:
    async with called(tmp_path) as (gateway, alert, phone, far):
        with RtpSocket(host) as stranger:
            for press in range(SPRAYED):
                for one in Gateway().sends([Press(key="1")])[-4:]:
                    packet = replace(
                        one.packet, timestamp=8_000 * press, sequence=one.packet.sequence + 50 * press & 0xFFFF
                    )
                    for port in range(far[1] - far[1] % 200, far[1] + 200, 2):
                        stranger.send(written(packet), (far[0], port))
                await phone.heard(20)
            assert (await gateway.shown(f"/v1/alerts/{alert}"))["status"] == "active"
            assert stranger.hush() == 0
        await acknowledges(gateway, alert, phone, far, Gateway())  # it has never sent any sound: its address was agreed


async def test_case_3_10_a_line_that_rings_after_its_network_answered_is_not_told_the_text(tmp_path: Path) -> None:
    once = {"attempts_max": 1}
    async with called(tmp_path, delivery=once, wait_for_beep=True, ring_s=5) as (gateway, alert, phone, far):
        hz, cadence = RINGING["North America"]
        await phone.says(encoded(cadenced(hz, cadence, 8.0)), far)
        delivery = await gateway.only(alert, "failed")
        assert [(one["outcome"], one["code"]) for one in delivery["attempts"]] == [("retry_later", "no_answer")]
        assert {packet.payload for packet in phone.everything()} == {SILENCE["PCMU"] * FRAME_SAMPLES}


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


async def test_case_3_6_keys_that_come_as_tones_are_heard_though_events_were_agreed(tmp_path: Path) -> None:
    def tones_of(keys: str) -> Sequence[bytes]:
        return tones.keys(keys, tone_s=0.1, pause_s=0.2).frames("PCMU")

    async with called(tmp_path, people=PEOPLE) as (gateway, alert, phone, far):
        await phone.says(tones_of(PIN + "#"), far)
        done = asyncio.create_task(gateway.became(alert, "acknowledged"))
        while not done.done():
            await phone.says(tones_of("1"), far)
            await asyncio.wait([done], timeout=AGAIN_S)
        await done


async def test_case_3_7_keys_of_the_type_that_we_offered_are_heard_though_the_answer_lists_none(tmp_path: Path) -> None:
    async with called(tmp_path, events=False, people=PEOPLE) as (gateway, alert, phone, far), phone.talking(far):
        await phone.presses(PIN + "#", far)
        await acknowledges(gateway, alert, phone, far, Gateway())


FLOOD = 40_000
RUBBISH = (
    b"",
    b"\x80",
    b"\xff" * 1_400,
    b"\x80\xc8\0\1" * 300,
    b"\x80\x65\0\1" + b"\0\0\0\1" * 2 + b"\1\x8a\3\x20",
    b"\x9f" + b"\0" * 160,
)
"""What is no sound of any call: nothing, halves, reports that have no end, keys, sources that do not fit."""
CALLS = 20
BEHIND_NAT = "127.0.0.9"
"""What a phone says of itself that sends from somewhere else."""


@pytest.mark.parametrize("said", ["[media_ip]", BEHIND_NAT], ids=["as agreed", "behind a NAT"])
async def test_case_7_1_a_spray_over_every_port_acknowledges_none_of_twenty_calls(tmp_path: Path, said: str) -> None:
    with RtpSocket() as phone, RtpSocket(OTHER_HOST) as stranger:
        answer = answers_to(phone.port).replace("c=IN IP4 [media_ip]", f"c=IN IP4 {said}")
        steps = [invited(), reply("180 Ringing"), answer, expects("BYE"), reply("200 OK")]
        with Sipp(tmp_path, *steps, calls=CALLS) as sipp:
            trunk = sip("pbx", sipp.port)
            first, last = map(int, trunk["rtp_ports"].split("-"))
            async with serving(tmp_path, trunk) as gateway:
                alerts = [
                    await gateway.alert(f"voice:+336123456{n:02}", "Fire in hall three", **URGENT) for n in range(CALLS)
                ]

                async def answered() -> bool:
                    return await gateway.metric("tocsin_calls_up") == CALLS

                await eventually(answered, 60, what="twenty calls")
                for press in range(SPRAYED):
                    for one in Gateway().sends([Press(key="1")])[-4:]:
                        sequence = one.packet.sequence + 50 * press & 0xFFFF
                        event = written(replace(one.packet, timestamp=8_000 * press, sequence=sequence))
                        for port in range(first, last, 2):
                            stranger.send(event, (LOOPBACK, port))
                    await asyncio.sleep(0.25)
                for at in range(FLOOD // 100):
                    for n in range(100):
                        stranger.send(RUBBISH[n % len(RUBBISH)], (LOOPBACK, first + (100 * at + n) % (last - first)))
                    await asyncio.sleep(0)
                if said != BEHIND_NAT:  # whoever is behind one is heard only once it has spoken
                    phone.hush()
                    await phone.heard(10 * CALLS)
                assert await gateway.metric("tocsin_calls_up") == CALLS
                statuses = [(await gateway.shown(f"/v1/alerts/{alert}"))["status"] for alert in alerts]
                assert statuses == ["active"] * CALLS
                assert stranger.hush() == 0
                ports = [(LOOPBACK, port) for port in range(first, last, 2)]  # each of them may be a call's
                done = [asyncio.create_task(gateway.became(alert, "acknowledged")) for alert in alerts]
                while not all(one.done() for one in done):
                    for far in ports:
                        phone.send(phone.packet(b"\xff" * 160), far)
                    await asyncio.gather(*(phone.presses("1", far) for far in ports))
                    await asyncio.wait(done, timeout=AGAIN_S)
                await asyncio.gather(*done)
