"""A stream of the tests, and what comes and goes on it."""

from __future__ import annotations

import struct

from ivr.audio.sound import FRAME_SAMPLES, Sound
from ivr.rtp.packet import RtpPacket, parse_rtp, written
from ivr.rtp.stream import KeyHeard, MediaEvent, MediaStream
from ivr.sip.sdp import AudioSession

FAR, STRANGER = ("203.0.113.9", 30_000), ("198.51.100.66", 666)
OTHER_PORT = (FAR[0], 31_500)
HOME = "192.168.1.20"
"""A phone behind a NAT says that it is there."""
BEHIND_NAT = ("203.0.113.200", 61_000)
"""And sends from here."""
TONE = Sound(struct.pack("<h", 8_000) * FRAME_SAMPLES * 3)


def session(
    *,
    address: str = FAR[0],
    codec: str = "PCMA",
    events: int | None = 101,
    may_send: bool = True,
    port: int = 30_000,
    accepts: dict[int, str] | None = None,
) -> AudioSession:
    """What was agreed."""
    return AudioSession(
        address=address, port=port, codec=codec, payload_type={"PCMA": 8, "PCMU": 0}[codec],
        accepts={8: "PCMA", 0: "PCMU"} if accepts is None else accepts, event_payload_type=events,
        events=frozenset() if events is None else frozenset({events, 101}), may_send=may_send,
    )  # fmt: skip


class Line:
    """A stream, and what it said."""

    def __init__(self, *, sequence: int = 100, timestamp: int = 1_000, agreed: AudioSession | None = None) -> None:
        self.events: list[MediaEvent] = []
        self.stream = MediaStream(ssrc=7, sequence=sequence, timestamp=timestamp, on_event=self.events.append)
        self.stream.configure(session() if agreed is None else agreed, 0.0)

    def ticks(self, n: int) -> list[list[RtpPacket]]:
        """The packets of so many ticks."""
        out = []
        for _ in range(n):
            packets: list[bytes] = []
            self.stream.tick(packets)
            read = [parse_rtp(packet) for packet in packets]
            assert all(read)
            out.append([one for one in read if one is not None])
        return out

    def hear(
        self, payload_type: int, payload: bytes = b"\xd5" * 160, *, source: tuple[str, int] = FAR, sequence: int = 1,
        timestamp: int = 1, ssrc: int = 9, now: float = 5.0, marker: bool = False,
    ) -> None:  # fmt: skip
        """A packet comes."""
        self.stream.receive(written(RtpPacket(payload_type, marker, sequence, timestamp, ssrc, payload)), source, now)

    def talk(
        self,
        source: tuple[str, int] = FAR,
        *,
        packets: int = 30,
        now: float = 5.0,
        sequence: int = 1_000,
        ssrc: int = 9,
    ) -> float:
        """Sound comes, a packet every 20 ms; the time after the last one."""
        for n in range(packets):
            self.hear(
                8, source=source, now=now + n * 0.02, sequence=sequence + n & 0xFFFF, timestamp=160 * n, ssrc=ssrc
            )
        return now + packets * 0.02

    @property
    def keys(self) -> str:
        """The keys heard."""
        return "".join(event.key for event in self.events if isinstance(event, KeyHeard))


def flat(ticks: list[list[RtpPacket]]) -> list[RtpPacket]:
    """All of them in a row."""
    return [packet for packets in ticks for packet in packets]


def event(key: int, duration: int, end: bool = False) -> bytes:
    """A payload."""
    return struct.pack("!BBH", key, 0x8A if end else 10, duration)
