"""Calls to us over the real wire: sipp calls the acknowledgement line and the alarm line."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import socket
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway.pins import SALT_BYTES, hashed
from gateway.store import tables
from ivr.audio import tones
from ivr.audio.sound import silence
from tests.peers.ports import LOOPBACK, free_port
from tests.peers.sipp import (
    Sipp,
    calls,
    dials,
    hangs_up_as_caller,
    pause,
    pcap_of,
    plays,
    presses_until_bye,
    refused_with,
    released,
    reply,
)
from tests.peers.waiting import eventually
from tests.scenarios.conftest import OpenDesk
from tests.scenarios.desk import ACCOUNT, WITHIN_S
from tests.scenarios.installation import sip

URGENT: dict[str, Any] = {"priority": "emergency", "acknowledgement": {"rule": "any"}}
ANNA = "voice:+33612345678"


def hash_of(pin: str) -> str:
    return hashed(pin, secrets.token_bytes(SALT_BYTES))


PEOPLE = [{"name": "Anna", "language": "fr", "addresses": [ANNA], "number": "4725", "pin": hash_of("1369")}]
WHOM = {"name": "Anna", "addresses": [ANNA]}
FIRE = {
    "name": "fire", "number": "+33140000018", "kind": "alarm", "pin": hash_of("9753"), "text": "Fire, raised by phone",
    "record_s": 2,
}  # fmt: skip
FIRE_RULE = {
    "name": "fire", "source": "phone", "account": ACCOUNT, "match": {"line": "fire"}, "recipients": [ANNA],
    "priority": "emergency",
}  # fmt: skip
SAID = [tones.keys("5"), silence(0.5)] * 20
"""Goes on for long enough, whenever the recording begins."""
IN_VAIN = {"backoff_first_s": 600, "backoff_max_s": 600}
"""Nobody answers at the trunk; nobody is to try again meanwhile."""


async def test_a_caller_with_number_and_pin_acknowledges_what_is_open(desk_with: OpenDesk, tmp_path: Path) -> None:
    port = free_port()
    desk = await desk_with(sip("pbx", port, first_response_s=0.5), people=PEOPLE, delivery=IN_VAIN)
    alert = await desk.alert("Fire", to=[WHOM], **URGENT)
    caller = Sipp(
        tmp_path, *calls("33100000000"), pause(300), dials("4725*1369#", tmp_path), pause(1_500),
        presses_until_bye(tmp_path), reply("200 OK"), port=port, towards=await desk.listens("pbx"),
    )  # fmt: skip
    with caller:
        await alert.became("acknowledged")
        await caller.done()
    (acknowledgement,) = await desk.rows(select(tables.acknowledgements))
    assert (acknowledgement.by, acknowledgement.via) == ("Anna", "voice")


@pytest.mark.parametrize("entered", ["4725*8642#", "8642#", "4725#"])
async def test_wrong_numbers_and_pins_get_nowhere(desk_with: OpenDesk, tmp_path: Path, entered: str) -> None:
    port = free_port()
    desk = await desk_with(sip("pbx", port, first_response_s=0.5), people=PEOPLE, delivery=IN_VAIN)
    alert = await desk.alert("Fire", to=[WHOM], **URGENT)
    tries = [step for _ in range(3) for step in (dials(entered, tmp_path), pause(900))]
    with Sipp(
        tmp_path,
        *calls("33100000000"),
        pause(300),
        *tries,
        dials("1", tmp_path),
        released(),
        port=port,
        towards=await desk.listens("pbx"),
    ) as caller:
        await caller.done()
    assert await alert.status() == "active"
    # not even the right PIN is taken now
    with Sipp(
        tmp_path, *calls("33100000000"), pause(300), dials("4725*1369#", tmp_path), pause(500), dials("1", tmp_path), released(),
        port=port, towards=await desk.listens("pbx"),
    ) as caller:  # fmt: skip
        await caller.done()
    assert await alert.status() == "active"


async def test_an_alarm_is_raised_by_phone_with_what_was_said(desk_with: OpenDesk, tmp_path: Path) -> None:
    port = free_port()
    said = pcap_of(SAID, tmp_path / "said.pcap")
    desk = await desk_with(sip("pbx", port, first_response_s=0.5), lines=[FIRE], rules=[FIRE_RULE], delivery=IN_VAIN)
    with Sipp(
        tmp_path, *calls("0140000018"), pause(300), dials("9753#", tmp_path), pause(4_500), plays(said), released(),
        port=port, towards=await desk.listens("pbx"),
    ) as caller:  # fmt: skip
        await caller.done()
    (alert,) = await desk.rows(select(tables.alerts))
    assert (alert.source, alert.text, alert.account_id, alert.files) == ("phone", FIRE["text"], ACCOUNT, 1)
    (recording,) = await desk.rows(select(tables.attachments))
    assert recording.content.startswith(b"RIFF")
    assert len(recording.content) > 8_000


async def test_who_hangs_up_after_saying_it_is_heard_all_the_same(desk_with: OpenDesk, tmp_path: Path) -> None:
    port = free_port()
    said = pcap_of(SAID, tmp_path / "said.pcap")
    line = FIRE | {"record_s": 60}
    desk = await desk_with(sip("pbx", port, first_response_s=0.5), lines=[line], rules=[FIRE_RULE], delivery=IN_VAIN)
    with Sipp(
        tmp_path, *calls("0140000018"), pause(300), dials("9753#", tmp_path), pause(5_500), plays(said), pause(4_000),
        hangs_up_as_caller(), port=port, towards=await desk.listens("pbx"),
    ) as caller:  # fmt: skip
        await caller.done()

    async def attached() -> bool:
        return len(await desk.rows(select(tables.attachments))) == 1

    await eventually(attached, what="the recording")
    (recording,) = await desk.rows(select(tables.attachments))
    assert len(recording.content) > 4_000


async def test_who_hangs_up_after_the_pin_has_raised_the_alarm(desk_with: OpenDesk, tmp_path: Path) -> None:
    port = free_port()
    desk = await desk_with(sip("pbx", port, first_response_s=0.5), lines=[FIRE], rules=[FIRE_RULE], delivery=IN_VAIN)
    with Sipp(
        tmp_path, *calls("+33140000018"), pause(300), dials("9753#", tmp_path), pause(3_500), hangs_up_as_caller(),
        port=port, towards=await desk.listens("pbx"),
    ) as caller:  # fmt: skip
        await caller.done()

    async def raised() -> bool:
        return len(await desk.rows(select(tables.alerts))) == 1

    await eventually(raised, what="the alarm")


async def test_a_number_that_is_no_line_is_refused(desk_with: OpenDesk, tmp_path: Path) -> None:
    port = free_port()
    desk = await desk_with(sip("pbx", port), lines=[FIRE], rules=[FIRE_RULE])
    with Sipp(tmp_path, *refused_with("404", "33155555555"), port=port, towards=await desk.listens("pbx")) as caller:
        await caller.done()


async def test_who_is_not_the_trunk_gets_no_answer(desk_with: OpenDesk, tmp_path: Path) -> None:
    desk = await desk_with(sip("pbx", free_port(), host="127.0.0.2"), people=PEOPLE)
    stranger = Sipp(
        tmp_path, *refused_with("404", "1"), towards=await desk.listens("pbx"), options=["-recv_timeout", "1500"]
    )
    with stranger, pytest.raises(AssertionError, match="sipp"):
        await stranger.done()
    assert (await desk.provider("pbx"))["up"]


async def test_a_stranger_with_the_password_is_taken(desk_with: OpenDesk) -> None:
    desk = await desk_with(
        sip("pbx", free_port(), host="127.0.0.2", inbound_username="branch", inbound_password="Gehe1m"),
        people=PEOPLE,
    )
    assert await _statuses(await desk.listens("pbx"), "branch", "Gehe1m") == [401, 200]
    assert await _statuses(await desk.listens("pbx"), "branch", "Falsch") == [401, 401]


async def _statuses(port: int, username: str, password: str) -> list[int]:
    """The final answers to an INVITE and to the same with credentials, which are computed here (RFC 2617, 3.2.2)."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    loop = asyncio.get_running_loop()
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((LOOPBACK, 0))
        here, uri, more = f"{LOOPBACK}:{sock.getsockname()[1]}", f"sip:ack@{LOOPBACK}:{port}", ""
        for cseq in (1, 2):
            body = f"v=0\r\no=- 1 1 IN IP4 {LOOPBACK}\r\ns=-\r\nc=IN IP4 {LOOPBACK}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
            request = (
                f"INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{password}{cseq}\r\nFrom: <sip:b@x>;tag=1\r\n"
                f"To: <{uri}>\r\nCall-ID: {password}\r\nCSeq: {cseq} INVITE\r\nContact: <sip:b@{here}>\r\n{more}"
                f"Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            )
            sock.sendto(request.encode(), (LOOPBACK, port))
            status, answer = 0, ""
            async with asyncio.timeout(WITHIN_S):
                while status < 200:
                    answer = (await loop.sock_recv(sock, 65_535)).decode()
                    status = int(answer.split()[1])
            found.append(status)
            offered = re.search(r'Digest realm="([^"]+)", nonce="([^"]+)", algorithm=MD5, qop="auth"', answer)
            if offered is not None:
                realm, nonce = offered.groups()
                proof = md5(f"{md5(f'{username}:{realm}:{password}')}:{nonce}:00000001:c:auth:{md5(f'INVITE:{uri}')}")
                more = (
                    f'Authorization: Digest username="{username}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
                    f'response="{proof}", algorithm=MD5, qop=auth, nc=00000001, cnonce="c"\r\n'
                )
    return found
