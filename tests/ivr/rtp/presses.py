"""Keys as gateways send them in RTP (RFC 4733), whatever else they do than it says; and what becomes of packets on the way."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ivr.rtp.packet import RtpPacket
from ivr.rtp.telephone_event import END, EVENTS, SEGMENT

CLOCK_MS = 8
"""Timestamp units of a millisecond."""
EVENT_TYPE = 101
REORDERED_S = 0.1
"""Packets overtake each other by some milliseconds; this is long."""
BEGAN_AT = 0xFFFF_F000
"""Timestamps and numbers wrap within the first keys."""
BEGAN_WITH = 0xFFF0


@dataclass(frozen=True, kw_only=True, slots=True)
class Press:
    """A key, held for so long, and the pause behind it."""

    key: str
    held_ms: int = 100
    pause_ms: int = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A packet, when it was sent, and of which press it is."""

    packet: RtpPacket
    at_s: float
    press: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Gateway:
    """One way to send keys. `starts`: how often the first packet; `zero_first`: with duration 0, as one that has just begun;
    `timestamps`: `kept` is the clause's, `same` for all keys, `moving` with each packet, `ends` with each repetition of the end;
    `numbered_pauses`: sound goes on between keys and takes numbers; `saturates`: a long key stays at the longest duration."""

    step_ms: int = 20
    starts: int = 1
    zero_first: bool = False
    ends: int = 3
    marker: Literal["first", "none", "all"] = "first"
    timestamps: Literal["kept", "same", "moving", "ends"] = "kept"
    numbered_pauses: bool = True
    sound_between_ends: int = 0
    segment: int = SEGMENT
    saturates: bool = False

    def sends(self, presses: Sequence[Press]) -> list[Sent]:
        """All packets of these presses, in order."""
        sent: list[Sent] = []
        now_ms, sequence = 0, BEGAN_WITH
        for number, press in enumerate(presses):
            packets = self._press(press, now_ms)
            for n, (at_ms, timestamp, duration, ended) in enumerate(packets):
                marked = self.marker == "all" or (self.marker == "first" and n == 0)
                payload = struct.pack("!BBH", EVENTS.index(press.key), 10 | (END if ended else 0), duration)
                packet = RtpPacket(EVENT_TYPE, marked, sequence, timestamp, 0xABCD, payload)
                sent.append(Sent(packet=packet, at_s=at_ms / 1_000, press=number))
                sequence = (sequence + 1 + (self.sound_between_ends if ended else 0)) & 0xFFFF
            now_ms = max(packets[-1][0], now_ms + press.held_ms) + press.pause_ms
            if self.numbered_pauses:
                sequence = (sequence + press.pause_ms // 20) & 0xFFFF
        return sent

    def _press(self, press: Press, now_ms: int) -> list[tuple[int, int, int, bool]]:
        """(ms, timestamp, duration, ended) of each packet."""
        began = 0 if self.timestamps == "same" else now_ms * CLOCK_MS
        first = 0 if self.zero_first else self.step_ms * CLOCK_MS
        packets = [(now_ms, 0, first, False)] * self.starts
        held = press.held_ms * CLOCK_MS
        for passed_ms in range(self.step_ms * (1 if self.zero_first else 2), press.held_ms, self.step_ms):
            begin, lasted = divmod(passed_ms * CLOCK_MS, self.segment) if not self.saturates else (0, 0)
            duration = min(passed_ms * CLOCK_MS, SEGMENT) if self.saturates else lasted
            packets.append((now_ms + passed_ms, begin * self.segment, duration, False))
        begin, lasted = (0, min(held, SEGMENT)) if self.saturates else divmod(held, self.segment)
        step = {"moving": self.step_ms * CLOCK_MS, "ends": max(lasted, 320)}.get(self.timestamps, 0)
        for n in range(self.ends):
            moved = begin * self.segment + (n * step if self.timestamps == "ends" else 0)
            packets.append((now_ms + press.held_ms, moved, lasted, True))
        if self.timestamps == "moving":
            packets = [(at_ms, n * step, duration, ended) for n, (at_ms, _, duration, ended) in enumerate(packets)]
        return [
            (at_ms, (BEGAN_AT + began + moved) & 0xFFFF_FFFF, duration, ended)
            for at_ms, moved, duration, ended in packets
        ]


GATEWAYS = {
    "by the clause": Gateway(),
    "every 50 ms": Gateway(step_ms=50),
    "the first packet three times, of no duration": Gateway(starts=3, zero_first=True, step_ms=50),
    "a marker in each packet": Gateway(marker="all"),
    "no marker": Gateway(marker="none"),
    "one end": Gateway(ends=1),
    "ten ends": Gateway(ends=10),
    "no numbers in pauses": Gateway(numbered_pauses=False),
    "one timestamp for all keys": Gateway(timestamps="same"),
    "one timestamp for all keys, no numbers in pauses": Gateway(timestamps="same", numbered_pauses=False),
    "a timestamp for each packet": Gateway(timestamps="moving", numbered_pauses=False),
    "a timestamp for each packet, no marker": Gateway(timestamps="moving", marker="none"),
    "a timestamp for each end": Gateway(timestamps="ends"),
    "a timestamp for each end, a marker in each packet": Gateway(timestamps="ends", marker="all"),
    "a timestamp for each end, sound between them": Gateway(timestamps="ends", sound_between_ends=2),
    "no duration at the beginning": Gateway(zero_first=True),
    "long keys end at the longest duration": Gateway(saturates=True),
    "segments of a second": Gateway(segment=8_000),
    "segments of 8,191": Gateway(segment=8_191),
}


def reordered(sent: Sequence[Sent], places: Iterable[tuple[int, int]]) -> list[Sent]:
    """Each of these packets comes so many places later, and not much later in time; when something comes is not changed."""
    moved = list(sent)
    for place, later in places:
        if place + later < len(moved) and sent[place + later].at_s - sent[place].at_s <= REORDERED_S:
            packet = moved.pop(place)
            moved.insert(place + later, packet)
    return [replace(one, at_s=slot.at_s) for one, slot in zip(moved, sent, strict=True)]


def repeated(sent: Sequence[Sent], places: Iterable[tuple[int, int]]) -> list[Sent]:
    """Each of these packets comes once more, so many places later."""
    more = list(sent)
    for place, later in sorted(places, reverse=True):
        if place < len(more):
            at = min(place + later, len(more) - 1)
            more.insert(at + 1, replace(more[place], at_s=more[at].at_s))
    return more


def from_another_source(sent: Sequence[Sent], since: int) -> list[Sent]:
    """From this packet on they have another SSRC and other numbers, as behind a relay that was replaced."""
    return [
        replace(one, packet=replace(one.packet, ssrc=0xBEEF, sequence=(one.packet.sequence + 30_000) & 0xFFFF))
        if n >= since
        else one
        for n, one in enumerate(sent)
    ]
