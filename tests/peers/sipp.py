"""sipp as a phone, a trunk or a caller: scenarios put together from steps, and the program that plays them."""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ivr.audio import g711
from ivr.audio.sound import FRAME_SAMPLES, Sound
from tests.peers.ports import LOOPBACK, free_port, free_ports, listens
from tests.peers.processes import ChildProcess, find_binary

PCAPS = Path("/usr/share/sip-tester")
"""RFC 4733 events, one file for each key, as the Debian package brings them."""
DONE_WITHIN_S = 60.0
STARTS_MAX = 3
MEDIA_PORTS = 4
"""That one call takes: sound and pictures, each with a port for RTCP."""
AGAIN_MS = 8_000
"""Whoever hears no answer to a key presses it again. That is long after the BYE where there is one: what comes between two
steps is nothing that sipp expects."""
PRESSES_MAX = 5
_dialled = itertools.count(1)
_NAMES = {"*": "star", "#": "pound"}
_ANSWERED = (
    "[last_Via:]\n[last_From:]\n[last_To:];tag=[pid]T[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n[last_Record-Route:]"
)


# --- steps -----------------------------------------------------------------------------------------------------------


def message(start: str, *headers: str, body: str = "") -> str:
    """The octets of a message in sipp's spelling."""
    tail = (
        [f"Content-Type: {'application/sdp' if body.startswith('v=0') else 'application/dtmf-relay'}"] if body else []
    )
    length = "Content-Length: [len]" if body else "Content-Length: 0"
    return f"<![CDATA[\n{chr(10).join([start, *headers, *tail, length])}\n\n{body}\n]]>"


def sdp(*, events: bool = True, version: int = 1, direction: str = "sendrecv") -> str:
    """An offer or answer with PCMU, and telephone events where `events`."""
    formats = "0 101" if events else "0"
    lines = ["a=rtpmap:0 PCMU/8000", *(["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15"] if events else [])]
    return "\n".join(
        ["v=0", f"o=sipp 1 {version} IN IP4 [media_ip]", "s=-", "c=IN IP4 [media_ip]", "t=0 0",
         f"m=audio [auto_media_port] RTP/AVP {formats}", *lines, "a=ptime:20", f"a={direction}"]
    )  # fmt: skip


def invited(*checks: str) -> str:
    """Waits for an INVITE, and keeps what requests of our own need. `checks`: regular expressions that the message must match."""
    found = "".join(f'<ereg regexp="{one}" search_in="msg" check_it="true" assign_to="9"/>' for one in checks)
    return (
        '<recv request="INVITE"><action>'
        '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="1"/>'
        '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="3"/>'
        '<ereg regexp="sip:[^>]*" search_in="hdr" header="Contact:" assign_to="4"/>'
        f"{found}</action></recv>"
    )


def invited_with_password(username: str, password: str) -> str:
    """Waits for an INVITE with an Authorization that fits; refuses another one."""
    return (
        f'<recv request="INVITE"><action><verifyauth assign_to="8" username="{username}" password="{password}"/></action>'
        f'</recv><nop hide="true" test="8" next="right"/>{refuses("403 Forbidden")}<label id="right"/>'
    )


def reply(status: str, *headers: str, body: str = "", again: bool = False) -> str:
    """Answers the last request, a final answer to an INVITE until it is acknowledged."""
    contact = "Contact: <sip:phone@[local_ip]:[local_port];transport=[transport]>"
    resend = ' retrans="500"' if again else ""
    return f"<send{resend}>{message(f'SIP/2.0 {status}', _ANSWERED, contact, *headers, body=body)}</send>"


def answers(*headers: str, events: bool = True) -> str:
    """200 with SDP, and the ACK."""
    return reply("200 OK", *headers, body=sdp(events=events), again=True) + expects("ACK")


def answers_to(port: int, *, events: bool = True) -> str:
    """200 with SDP that sends the audio to another port of this machine, and the ACK."""
    return answers(events=events).replace("[auto_media_port]", str(port))


def refuses(status: str, *headers: str) -> str:
    """A final answer and its ACK."""
    return reply(status, *headers, again=True) + expects("ACK")


def expects(request: str, *checks: str, within_ms: int = 40_000) -> str:
    """Waits for a request that matches the regular expressions."""
    found = "".join(f'<ereg regexp="{one}" search_in="msg" check_it="true" assign_to="9"/>' for one in checks)
    timeout = "" if request == "ACK" else f' timeout="{within_ms}"'
    return f'<recv request="{request}"{timeout}>' + (f"<action>{found}</action>" if found else "") + "</recv>"


def pause(milliseconds: int) -> str:
    """Waits."""
    return f'<pause milliseconds="{milliseconds}"/>'


def marks(path: Path) -> str:
    """Makes a file, so that somebody else may know how far it has come."""
    return f'<nop><action><exec command="touch {path}"/></action></nop>'


def presses(keys: str, *, between_ms: int = 400) -> str:
    """RFC 4733 events."""
    steps = []
    for key in keys:
        path = PCAPS / f"dtmf_2833_{_NAMES.get(key, key)}.pcap"
        steps.append(f'<nop><action><exec play_pcap_audio="{path}"/></action></nop>' + pause(between_ms))
    return "".join(steps)


def plays(pcap: Path) -> str:
    """Sends the audio of a file."""
    return f'<nop><action><exec play_pcap_audio="{pcap}"/></action></nop>'


def until_bye(steps: Sequence[str], *checks: str) -> str:
    """One step after the other, `AGAIN_MS` apart, until there is a BYE that matches `checks`. A reply is to follow.

    One key alone would not do: on a machine that stands still for seconds it may come before what it answers was told.
    """
    over, parts = f"over{next(_dialled)}", []
    for step in steps:
        again, bye = f"again{next(_dialled)}", expects("BYE", *checks, within_ms=AGAIN_MS)
        parts += [step, bye.replace("<recv ", f'<recv ontimeout="{again}" next="{over}" ', 1), f'<label id="{again}"/>']
    return "\n".join([*parts, expects("BYE", *checks), f'<label id="{over}"/>'])


def released() -> str:
    """Waits for the BYE and answers it."""
    return expects("BYE") + reply("200 OK")


def _request(method: str, cseq: int, *headers: str, body: str = "") -> str:
    return message(
        f"{method} [$4] SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
        "From:[$3];tag=[pid]T[call_number]",
        "To:[$1]",
        "[last_Call-ID:]",
        f"CSeq: {cseq} {method}",
        "Max-Forwards: 70",
        "Contact: <sip:phone@[local_ip]:[local_port];transport=[transport]>",
        *headers,
        body=body,
    )


def hangs_up() -> str:
    """A BYE of the phone."""
    return f'<send retrans="500">{_request("BYE", 90)}</send><recv response="200"/>'


def informs(key: str, cseq: int) -> str:
    """A key by INFO (application/dtmf-relay)."""
    sent = _request("INFO", cseq, body=f"Signal={key}\nDuration=160")
    return f'<send retrans="500">{sent}</send><recv response="200"/>'


def offers_again(cseq: int, direction: str) -> str:
    """A re-INVITE, its answer and ACK."""
    sent = _request("INVITE", cseq, body=sdp(version=cseq, direction=direction))
    return (
        f'<send retrans="500">{sent}</send>'
        '<recv response="100" optional="true"/><recv response="200"/>'
        f"<send>{_request('ACK', cseq)}</send>"
    )


_CALLER = (
    "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
    "From: <sip:33612@[local_ip]:[local_port]>;tag=[pid]T[call_number]",
)


def _invite(user: str, cseq: int) -> str:
    return message(
        f"INVITE sip:{user}@[remote_ip]:[remote_port] SIP/2.0", *_CALLER, f"To: <sip:{user}@[remote_ip]>",
        "Call-ID: [call_id]", f"CSeq: {cseq} INVITE", "Contact: <sip:33612@[local_ip]:[local_port];transport=[transport]>",
        "Max-Forwards: 70", body=sdp(),
    )  # fmt: skip


def _acknowledge(user: str, cseq: int) -> str:
    sent = message(
        f"ACK sip:{user}@[remote_ip]:[remote_port] SIP/2.0", *_CALLER, f"To: <sip:{user}@[remote_ip]>[peer_tag_param]",
        "Call-ID: [call_id]", f"CSeq: {cseq} ACK", "Max-Forwards: 70",
    )  # fmt: skip
    return f"<send>{sent}</send>"


def calls(user: str) -> tuple[str, ...]:
    """Calls and is answered."""
    return (
        f'<send retrans="500">{_invite(user, 1)}</send>',
        '<recv response="100" optional="true"/><recv response="180" optional="true"/><recv response="200"/>',
        _acknowledge(user, 1),
    )


def refused_with(status: str, user: str) -> tuple[str, ...]:
    """Calls and is refused."""
    return (
        f'<send retrans="500">{_invite(user, 1)}</send>',
        '<recv response="100" optional="true"/><recv response="180" optional="true"/>',
        f'<recv response="{status}"/>',
        _acknowledge(user, 1),
    )


def hangs_up_as_caller(user: str = "tocsin") -> str:
    """A BYE of the caller."""
    sent = message(
        f"BYE sip:{user}@[remote_ip]:[remote_port] SIP/2.0", *_CALLER, "[last_To:]", "Call-ID: [call_id]",
        "CSeq: 9 BYE", "Max-Forwards: 70",
    )  # fmt: skip
    return f'<send retrans="500">{sent}</send><recv response="200"/>'


def scenario(*steps: str) -> str:
    """The whole file."""
    body = "\n".join(steps)
    used = ",".join(n for n in ("1", "3", "4", "9") if f'assign_to="{n}"' in body)
    reference = f'<Reference variables="{used}"/>' if used else ""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="call">\n{body}\n{reference}\n</scenario>\n'


# --- sound -----------------------------------------------------------------------------------------------------------


def pcap_of(sounds: Sequence[Sound], path: Path) -> Path:
    """A capture of RTP packets (PCMU, 20 ms) that carry the sounds; sipp puts its own addresses in."""
    frames = [frame for sound in sounds for frame in _frames(sound)]
    packets = [
        struct.pack("!BBHII", 0x80, 0, n & 0xFFFF, n * FRAME_SAMPLES, 0x5150) + one for n, one in enumerate(frames)
    ]
    return _capture(path, packets)


EVENT_PACKETS, END_PACKETS, GAP_PACKETS = 5, 3, 4
"""Of one key: 100 ms of it, its end three times (RFC 4733, 2.5.1.4), 80 ms of nothing."""


def dials(keys: str, folder: Path) -> str:
    """RFC 4733 events, each key with a time of its own; sipp's files all have the same, so that a key pressed twice is one."""
    path, packets = _events(keys, folder)
    return plays(path) + pause(packets * 20)


def presses_until_bye(folder: Path, *checks: str, key: str = "1") -> str:
    """The key, again and again until there is a BYE; see `until_bye`."""
    return until_bye([plays(_events(key, folder)[0]) for _ in range(PRESSES_MAX)], *checks)


def _events(keys: str, folder: Path) -> tuple[Path, int]:
    """A file with the keys, and for how many packets it goes on."""
    packets: list[bytes | None] = []
    for key in keys:
        number = next(_dialled)
        event = "0123456789*#".index(key)
        for n in range(EVENT_PACKETS + END_PACKETS):
            end = n >= EVENT_PACKETS
            length = min(n + 1, EVENT_PACKETS) * FRAME_SAMPLES
            sequence = (number * 20 + n) & 0xFFFF
            head = struct.pack("!BBHII", 0x80, 101 | (0x80 if n == 0 else 0), sequence, number * 8_000, 0x5150)
            packets.append(head + struct.pack("!BBH", event, 10 | (0x80 if end else 0), length))
        packets += [None] * GAP_PACKETS
    return _capture(folder / f"keys-{next(_dialled)}.pcap", packets), len(packets)


def _capture(path: Path, packets: Sequence[bytes | None]) -> Path:
    """A file in pcap's format, a packet every 20 ms; None is silence on the wire."""
    out = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1))
    for n, rtp in enumerate(packets):
        if rtp is None:
            continue
        udp = struct.pack("!HHHH", 7_000, 7_000, 8 + len(rtp), 0) + rtp
        ip = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), n & 0xFFFF, 0, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1"
        )
        packet = b"\0" * 12 + b"\x08\x00" + ip + udp
        at_us = n * 20_000
        out += struct.pack("<IIII", at_us // 1_000_000, at_us % 1_000_000, len(packet), len(packet)) + packet
    path.write_bytes(out)
    return path


def _frames(sound: Sound) -> list[bytes]:
    encoded = g711.encode(sound.samples, "PCMU")
    whole = len(encoded) - len(encoded) % FRAME_SAMPLES
    return [encoded[at : at + FRAME_SAMPLES] for at in range(0, whole, FRAME_SAMPLES)]


# --- the program -----------------------------------------------------------------------------------------------------


class Sipp:
    """Plays one scenario for so many calls, then ends; with `towards` it calls that port, else it is called.

    Keys come from a raw socket: as anybody else than root it cannot press any.
    """

    def __init__(
        self,
        folder: Path,
        *steps: str,
        port: int = 0,
        calls: int = 1,
        towards: int = 0,
        transport: str = "u1",
        options: Sequence[str] = (),
    ) -> None:
        path = folder / f"sipp-{next(_dialled)}.xml"
        path.write_text(scenario(*steps))
        self.errors = path.with_suffix(".errors")
        remote = [f"{LOOPBACK}:{towards}"] if towards else []
        self._folder = folder
        self._asked_for = port
        self._arguments: list[str | Path] = [
            "-sf", path, "-i", LOOPBACK, "-m", str(calls), "-mi", LOOPBACK, "-t", transport, "-nostdin", "-trace_err",
            "-error_file", self.errors, *options, *remote,
        ]  # fmt: skip
        self._udp = transport.startswith("u")
        self._caller = bool(towards)
        self.port = 0
        """Where it is; known once it runs."""
        self._process = self._program()

    def _program(self) -> ChildProcess:
        self.port = self._asked_for or free_port()
        ports = ["-p", str(self.port), "-mp", str(free_ports(MEDIA_PORTS))]
        return ChildProcess(
            [find_binary("sipp", "sip-tester"), *ports, *self._arguments],
            name="sipp",
            cwd=self._folder,
            ready=self._ready,
        )

    def _ready(self) -> bool:
        return self._caller or (_has_udp_port(self._process.pid, self.port) if self._udp else listens(self.port))

    def start(self) -> Self:
        """Starts it; it takes calls from now on, or calls. Where somebody was quicker to take its port, it takes another."""
        for left in reversed(range(STARTS_MAX)):
            try:
                self._process.start()
                break
            except AssertionError as error:
                if not left or self._asked_for or "in use" not in str(error):
                    raise
                self._process = self._program()
        return self

    async def done(self, within_s: float = DONE_WITHIN_S) -> None:
        """Waits for the end of its calls. Raises AssertionError where one of them did not go by the scenario."""
        status = await asyncio.to_thread(self._process.wait, within_s)
        assert status == 0, f"sipp: {self.errors.read_text() if self.errors.exists() else ''}\n{self._process.output}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()


def _has_udp_port(pid: int, port: int) -> bool:
    """Whether a UDP socket of this process has the port (Linux, /proc)."""
    lines = (line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:])
    sockets = {f"socket:[{words[9]}]" for words in lines if words[1].endswith(f":{port:04X}")}
    with suppress(OSError):  # it may end while we look
        return any(str(file.readlink()) in sockets for file in Path(f"/proc/{pid}/fd").iterdir())
    return False
