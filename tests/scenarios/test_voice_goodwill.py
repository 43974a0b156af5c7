"""`tocsin serve` and peers who keep to no grammar: people are called once, and callers of the alarm line are taken."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from gateway import administration
from gateway.clock import SystemClock
from gateway.pins import SALT_BYTES, hashed
from gateway.store.engine import open_store
from tests.peers.ports import LOOPBACK, free_port
from tests.peers.sipp import (
    Sipp,
    answers,
    calls,
    dials,
    expects,
    hangs_up,
    informs,
    invited,
    pause,
    reply,
    sdp,
    until_bye,
)
from tests.peers.waiting import eventually
from tests.proofs.server import ACCOUNT, Server
from tests.scenarios.installation import sip

ANNA = "voice:+33612345678"
WITHIN_S = 30.0
UP = ("answered_no_key", "hung_up_early")
"""What is written of a call that was answered, and that the phone ended: before the text had begun, or after."""
LINE = {
    "name": "fire", "number": "+33140000018", "kind": "alarm", "pin": hashed("9753", secrets.token_bytes(SALT_BYTES)),
    "text": "Fire, raised by phone",
}  # fmt: skip
RULE = {
    "name": "fire", "source": "phone", "account": ACCOUNT, "match": {"line": "fire"}, "recipients": [ANNA],
    "priority": "emergency",
}  # fmt: skip


class Gateway:
    """`tocsin serve` with one trunk: where it listens and where the trunk is are known."""

    def __init__(self, folder: Path, **keys: Any) -> None:
        self.trunk, self.listens = free_port(), free_port()
        provider = sip("pbx", self.trunk, listen=f"{LOOPBACK}:{self.listens}", **keys)
        self.server = Server(folder, [provider], delivery={"attempts_max": 1}, lines=[LINE], rules=[RULE])

    async def open(self) -> None:
        """Starts it, with a price for calls."""
        await self.server.set_up()
        store = await open_store(self.server.store_url)
        try:
            await store.write(_price)
        finally:
            await store.close()
        await self.server.start()

    async def alert(self, text: str = "Fire") -> str:
        """Has Anna called; the alert's id."""
        order = {
            "text": text, "priority": "emergency", "recipients": [{"name": "Anna", "addresses": [ANNA]}],
            "acknowledgement": {"rule": "any"},
        }  # fmt: skip
        async with self.server.client() as http, http.post("/v1/alerts", json=order) as answer:
            assert answer.status == 202, await answer.text()
            return str((await answer.json())["id"])

    async def deliveries(self, alert: str) -> list[dict[str, Any]]:
        """What the API shows of them."""
        async with self.server.client() as http, http.get(f"/v1/alerts/{alert}") as answer:
            assert answer.status == 200, await answer.text()
            return list((await answer.json())["deliveries"])

    async def over(self, alert: str) -> dict[str, Any]:
        """Waits until its one delivery is over; gives it."""

        async def so() -> dict[str, Any] | None:
            (delivery,) = await self.deliveries(alert)
            return None if delivery["state"] in ("queued", "sending") else delivery

        return await eventually(so, WITHIN_S, what="the end of the delivery")

    def lines(self, event: str) -> list[str]:
        """The lines of its log with this event."""
        return [line for line in self.server.output.splitlines() if f" {event} " in line]


def _price(connection: Connection) -> None:
    administration.set_tariff(connection, SystemClock().now(), channel="voice", prefix="", price_micros=100_000)


Open = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Open]:
    """``served = await gateway()``; it ends with the test."""
    async with AsyncExitStack() as stack:

        async def start(**keys: Any) -> Gateway:
            served = Gateway(tmp_path, **keys)
            stack.push_async_callback(served.server.kill)
            await served.open()
            return served

        yield start


# --- 3.1: answers with broken lines ----------------------------------------------------------------------------------

BROKEN = (
    ("this line has no colon", "Two words: x", ": no name"),
    (
        "Date: the day after tomorrow",
        "Session-Expires: soon;refresher=me",
        "Allow: @@, ;",
        "Supported: ,,",
        "Warning: 399",
    ),
    (
        "P-Asserted-Identity: <",
        'Server: "',
        "Content-Language: \u00e4\u00f6",
        "Reason: ;;",
        "Record-Route:",
        "Contact: <sip:x",
    ),
)


async def test_case_3_1_a_phone_whose_answers_have_broken_lines_is_called_once(gateway: Open, tmp_path: Path) -> None:
    served = await gateway()
    for lines in BROKEN:
        phone = Sipp(
            tmp_path, invited(), reply("180 Ringing", *lines), pause(200), answers(*lines), pause(500), hangs_up(),
            port=served.trunk,
        )  # fmt: skip
        with phone:
            alert = await served.alert()
            await phone.done()  # a second INVITE is nothing that it expects
            delivery = await served.over(alert)
        assert delivery["code"] in UP
    [told] = served.lines("sip_read_with_goodwill")  # one of a minute
    assert f"peer={LOOPBACK}" in told


# --- 3.2: answers with broken descriptions ---------------------------------------------------------------------------


def _body(name: str) -> str:
    good = sdp()
    return {
        "a host name": good.replace("c=IN IP4 [media_ip]", "c=IN IP4 localhost"),
        "a name that nobody knows": good.replace("c=IN IP4 [media_ip]", "c=IN IP4 phone.invalid"),
        "o= of five words": good.replace("o=sipp 1 1", "o=sipp 1"),
        "o= of seven words": good.replace("o=sipp 1", "o=sipp phone 1"),
        "lines of nothing": good.replace("s=-", "s\nnonsense\nx:y"),
        "no c=": good.replace("c=IN IP4 [media_ip]\n", ""),
        "out of order": good.replace("s=-\n", "").replace("v=0\n", "v=0\na=ice-lite\ns=-\n").replace("t=0 0\n", ""),
    }[name]


async def test_case_3_2_who_picks_up_is_not_hung_up_on_for_a_line_that_nobody_needs(
    gateway: Open, tmp_path: Path
) -> None:
    served = await gateway()
    for name in ("a host name", "a name that nobody knows", "o= of five words", "o= of seven words", "lines of nothing",
                 "no c=", "out of order"):  # fmt: skip
        phone = Sipp(
            tmp_path, invited(), reply("200 OK", body=_body(name), again=True) + expects("ACK"), pause(500), hangs_up(),
            port=served.trunk,
        )  # fmt: skip
        with phone:
            alert = await served.alert(name)
            await phone.done()  # a BYE is nothing that it expects
            delivery = await served.over(alert)
        assert delivery["code"] in UP, name


# --- 3.3: callers whose name no grammar allows -----------------------------------------------------------------------


class Caller:
    """Somebody who calls with octets of their own making."""

    def __init__(self, to: int) -> None:
        self._to = (LOOPBACK, to)
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sock.bind((LOOPBACK, 0))
        self.here = f"{LOOPBACK}:{self._sock.getsockname()[1]}"

    def message(
        self, method: str, from_: bytes, *, to: str = "", call_id: str, more: str = "", cseq: str = ""
    ) -> bytes:
        """A request of the call."""
        number = 2 if method == "BYE" else 1
        cseq, to = cseq or f"CSeq: {number} {method}", to or f"<sip:0140000018@{LOOPBACK}:{self._to[1]}>"
        uri = f"sip:0140000018@{LOOPBACK}:{self._to[1]}"
        body = (
            f"v=0\r\no=- 1 1 IN IP4 {LOOPBACK}\r\ns=-\r\nc=IN IP4 {LOOPBACK}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
            if method == "INVITE" else ""
        )  # fmt: skip
        head = (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {self.here};branch=z9hG4bK{method}{call_id}\r\n"
            f"To: {to}\r\nCall-ID: {call_id}\r\n{cseq}\r\n"
            f"Contact: <sip:b@{self.here}>\r\nMax-Forwards: 70\r\n{more}From: "
        )
        tail = f"\r\nContent-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        return head.encode() + from_ + tail.encode()

    async def asks(self, message: bytes, *, answered: bool = True) -> bytes:
        """Sends it; the final answer."""
        loop = asyncio.get_running_loop()
        self._sock.sendto(message, self._to)
        async with asyncio.timeout(WITHIN_S):
            while answered:
                found = await loop.sock_recv(self._sock, 65_535)
                if re.match(rb"SIP/2.0 [2-6]", found):
                    return found
        return b""

    def was_told(self, methods: tuple[bytes, ...]) -> bool:
        """Whether a request of these methods is among what came and was not looked at yet."""
        while True:
            try:
                message = self._sock.recv(65_535)
            except BlockingIOError:
                return False
            if message.startswith(methods):
                return True


@asynccontextmanager
async def caller_of(served: Gateway) -> AsyncIterator[Caller]:
    caller = Caller(served.listens)
    try:
        yield caller
    finally:
        caller._sock.close()


NAMES = (
    b'""unknown"" <sip:a@x>;tag=%d', b'"Joe "the boss" Hill" <sip:a@x>;tag=%d', b'"open <sip:a@x>;tag=%d', b"<sip:ward 3@x>;tag=%d",
    b"J\xf6hn O'Neil <sip:a@x>;tag=%d", b"<tel:+33 612 34>;tag=%d", b"<sip:a@x;tag=%d", b"Unknown;tag=%d", b"<sip:\0@x>;tag=%d",
)  # fmt: skip


async def test_case_3_3_a_caller_is_taken_whatever_stands_in_its_name(gateway: Open) -> None:
    served = await gateway()
    async with caller_of(served) as caller:
        for n, name in enumerate(NAMES):
            from_, call_id = name % n, f"call{n}"
            answer = await caller.asks(caller.message("INVITE", from_, call_id=call_id))
            assert answer.startswith(b"SIP/2.0 200"), (name, answer)
            found = re.search(rb"\r\nTo: ([^\r]*)", answer)
            assert found is not None
            to = found[1].decode()
            await caller.asks(caller.message("ACK", from_, to=to, call_id=call_id), answered=False)
            answer = await caller.asks(caller.message("BYE", from_, to=to, call_id=call_id))
            assert answer.startswith(b"SIP/2.0 200"), (name, answer)


async def test_case_3_3_a_call_that_cannot_be_read_is_answered_400_each_time(gateway: Open) -> None:
    served = await gateway()
    async with caller_of(served) as caller:
        for cseq in ("CSeq: one INVITE", "X: no CSeq", "CSeq: 1 BYE", "CSeq: 99999999999 INVITE"):
            message = caller.message("INVITE", b"<sip:a@x>;tag=1", call_id="c", cseq=cseq)
            answers = [await caller.asks(message) for _ in range(3)]
            assert {answer.split(b"\r\n")[0] for answer in answers} == {b"SIP/2.0 400 Bad Request"}
        [told] = await eventually(lambda: served.lines("sip_request_refused"), what="a line of the log")
        assert f"peer={LOOPBACK}" in told


# --- 3.9: our BYE is challenged --------------------------------------------------------------------------------------


async def test_case_3_9_a_bye_of_a_call_to_us_that_is_challenged_is_said_again_with_the_password(
    gateway: Open, tmp_path: Path
) -> None:
    served = await gateway(username="hospital", password="Gehe1m")
    challenge = 'Proxy-Authenticate: Digest realm="pbx", nonce="n1", qop=auth,auth-int'
    proof = "Proxy-Authorization: Digest username=.hospital., realm=.pbx., nonce=.n1..*qop=auth, nc=00000001"
    caller = Sipp(
        tmp_path, *calls("0140000018"), pause(300), dials("1111#", tmp_path), pause(300), dials("2222#", tmp_path), pause(300),
        dials("3333#", tmp_path), expects("BYE"), reply("407 Proxy Authentication Required", challenge), expects("BYE", proof),
        reply("200 OK"), port=served.trunk, towards=served.listens,
    )  # fmt: skip
    with caller:  # whoever enters three wrong PINs is hung up on
        await caller.done()


# --- 3.11: keys by other INFOs, silent phones, no UPDATE -------------------------------------------------------------


def _info(cseq: int, content_type: str, body: str) -> str:
    return informs("1", cseq).replace("application/dtmf-relay", content_type).replace("Signal=1\nDuration=160", body)


async def test_case_3_11_keys_by_other_kinds_of_info_acknowledge(gateway: Open, tmp_path: Path) -> None:
    served = await gateway()
    for content_type, body in (
        ("audio/telephone-event", "018A0320"), ("application/vnd.nortelnetworks.digits", "p=Digit-Collection\ny=Digits\nd=1"),
    ):  # fmt: skip
        keys = until_bye([_info(cseq, content_type, body) for cseq in range(2, 6)])
        phone = Sipp(
            tmp_path, invited(), answers(events=False), pause(300), informs("2", 1), pause(500), keys, reply("200 OK"),
            port=served.trunk,
        )  # fmt: skip
        with phone:
            alert = await served.alert()
            await phone.done()
            assert (await served.over(alert))["code"] == "acknowledged"


async def test_case_3_11_a_phone_that_sends_no_packets_hears_the_text_to_its_end(gateway: Open, tmp_path: Path) -> None:
    served = await gateway(media_timeout_s=2)
    lives = [expects("OPTIONS") + reply("200 OK") for _ in range(3)]
    phone = Sipp(tmp_path, invited(), answers(events=False), *lives, hangs_up(), port=served.trunk)
    with phone:
        alert = await served.alert()
        await phone.done()
        assert (await served.over(alert))["code"] == "answered_no_key"


async def test_case_3_11_a_caller_that_only_reports_is_not_hung_up_on(gateway: Open) -> None:
    served = await gateway(media_timeout_s=2)
    async with caller_of(served) as caller, audio_of(caller, "reports") as (audio, answer):
        port = re.search(rb"m=audio ([0-9]+)", answer)
        assert port is not None
        report = struct.pack(
            "!BBHI", 0x80, 201, 1, 7
        )  # RTCP: a receiver's report, to the port behind that of the audio
        for n in range(300):  # of 20 ms each
            await asyncio.get_running_loop().sock_recv(audio, 2_000)
            if n % 25 == 0:
                audio.sendto(report, (LOOPBACK, int(port[1]) + 1))
        assert not caller.was_told((b"BYE", b"OPTIONS"))


@asynccontextmanager
async def audio_of(caller: Caller, call_id: str, *lines: str) -> AsyncIterator[tuple[socket.socket, bytes]]:
    """A call to the alarm line that is up: the socket of its audio, and the answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as audio:
        audio.setblocking(False)
        audio.bind((LOOPBACK, 0))
        message = caller.message("INVITE", b"<sip:a@x>;tag=1", call_id=call_id)
        body = "\r\n".join([f"m=audio {audio.getsockname()[1]} RTP/AVP 0", *lines])
        # longer than its Content-Length says
        answer = await caller.asks(message.replace(b"m=audio 9 RTP/AVP 0", body.encode()))
        assert answer.startswith(b"SIP/2.0 200")
        found = re.search(rb"\r\nTo: ([^\r]*)", answer)
        assert found is not None
        to = found[1].decode()
        await caller.asks(caller.message("ACK", b"<sip:a@x>;tag=1", to=to, call_id=call_id), answered=False)
        async with asyncio.timeout(WITHIN_S):
            yield audio, answer


async def test_case_3_11_packets_are_as_short_as_they_are_asked_for(gateway: Open) -> None:
    served = await gateway()
    async with caller_of(served) as caller, audio_of(caller, "short", "a=maxptime:10") as (audio, _):
        packets = [await asyncio.get_running_loop().sock_recv(audio, 2_000) for _ in range(6)]
    assert {len(packet) for packet in packets} == {12 + 80}
    times = [int.from_bytes(packet[4:8], "big") for packet in packets]
    assert [(later - first) % 2**32 for first, later in itertools.pairwise(times)] == [80] * 5
