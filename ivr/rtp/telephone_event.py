"""Keys in RTP (RFC 4733), both ways, and the rule that each key counts from one path only. Pure."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

EVENTS = "0123456789*#ABCD"
"""Events 0 to 15 (RFC 4733, table 3)."""
_PAYLOAD = struct.Struct("!BBH")
EVENT_BYTES = 4
"""What a packet of one event has (RFC 4733, 2.3)."""
END = 0x80
VOLUME = 10
"""-10 dBm0, what most phones say."""
REMEMBERED = 64
"""Packets remembered, so that a late or repeated one makes no second key: more than a second of them."""
SEGMENT = 0xFFFF
"""The longest duration; what is longer goes on in a segment with a later timestamp (RFC 4733, 2.5.1.3)."""
STEP = 160
"""Timestamp units of 20 ms at 8 kHz."""
CLOCK_HZ = 8_000
DURATION_MAX_MS = SEGMENT // 8
"""The longest key that we send, in one segment."""
SKIPPED = 5 * STEP
"""A key goes on in another source where at most so much of it was lost between."""
SHORTEST = 2 * STEP
"""No key is shorter (ITU-T Q.24: 40 ms), so no next one begins sooner."""
AGAIN_S = 0.2
"""Copies and repetitions of a packet come sooner than that; what comes later with the same numbers was pressed anew."""
LOST_BETWEEN_MIN = 3 * STEP
"""A key of so much has more than one packet before its end, so two ends with one packet between them are of one key."""
MISORDER_MAX = 100
"""A sequence number at most so much behind is late or repeated (RFC 3550, A.1); one further back is of a sender who counts anew."""
NEWER = 0x8000
"""Sequence numbers wrap: what is behind by half of them or more is ahead."""
SAME_KEY_S = 2.0
"""So much later than in the sound a key may come by INFO or RFC 4733: gateways tell of some when they are let go."""
END_PACKETS = 3
"""RFC 4733, 2.5.1.4."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What a packet tells of a key, and when it came."""

    ssrc: int
    sequence: int
    timestamp: int
    event: int
    duration: int
    ended: bool
    marker: bool
    moving: bool
    """Of a gateway that moves the timestamp with each packet."""
    at: float

    def same_as(self, other: _Told) -> bool:
        """Whether it is the other packet once more, sent or copied on the way."""
        return replace(self, at=other.at, marker=other.marker, moving=other.moving) == other

    def goes_on_in(self, other: _Told) -> bool:
        """Whether `other`, which was sent later, tells of the same press. The timestamp alone does not say so: RFC 4733, 2.5.1.2
        keeps it for a key and gives the next one another, but there are gateways that keep it for all keys, that move it with each
        packet, or that change their SSRC in the middle of a key."""
        if other.event != self.event or (self.ended and not other.ended and not self._is_segment_before(other)):
            return False
        if other.ssrc != self.ssrc:
            return self._goes_on_elsewhere(other)
        moved = (other.timestamp - self.timestamp) & 0xFFFFFFFF
        if moved == 0:
            return not (other.marker and self._begins_anew(other))
        if self._is_segment_before(other):
            return True
        if self.ended:
            return self._repeats_its_end(other, moved)
        return (not other.marker or self._is_too_soon_for(other, moved)) and self._moves(other, moved)

    def _begins_anew(self, other: _Told) -> bool:
        """Whether a marker with the same timestamp is the first packet of a key, and not that of a gateway which repeats the first
        one, or sets the marker in all of them."""
        grown = other.duration - self.duration
        return (grown < 0 and not other.ended) or other.at - self.at > AGAIN_S + max(0, grown) / CLOCK_HZ

    def _is_too_soon_for(self, other: _Told, moved: int) -> bool:
        """Whether a marker with a later timestamp is that of a gateway which sets it in all packets, since no key could begin there:
        this one began just before, or goes on by just as much."""
        return moved < SHORTEST or (self._packets_to(other) == 1 and moved == other.duration - self.duration)

    def _goes_on_elsewhere(self, other: _Told) -> bool:
        """In another SSRC: the duration goes on where it was, or the end is told once more."""
        kept = other.timestamp == self.timestamp
        if other.marker and not kept:
            return False
        if self.ended:
            return other.duration == self.duration and other.at - self.at <= AGAIN_S
        return other.duration >= self.duration if kept else self.duration < other.duration <= self.duration + SKIPPED

    def _is_segment_before(self, other: _Told) -> bool:
        """Whether the other begins the next segment of a key that is held down: it begins where this one ended, without a marker
        (RFC 4733, 2.5.1.3). Its first packets may be lost, and so may this one's last."""
        moved = (other.timestamp - self.timestamp) & 0xFFFFFFFF
        if other.ssrc != self.ssrc or other.marker or moved == 0:
            return False
        if self.duration == SEGMENT and moved == SEGMENT:
            return True
        if self.ended or other.duration >= self.duration:
            return False
        next_one = self._packets_to(other) == 1
        in_a_row = next_one and self.duration <= moved <= self.duration + STEP
        moving = next_one and self.duration >= SEGMENT - SKIPPED and moved <= SKIPPED
        longest = SEGMENT - SKIPPED <= moved <= SEGMENT and self.duration >= moved - 2 * SKIPPED
        return moved == self.duration or in_a_row or moving or longest

    def _repeats_its_end(self, other: _Told, moved: int) -> bool:
        """Whether it is the end once more, with a later timestamp: the next key cannot begin while this one lasts. Of three ends the
        second may be lost."""
        packets = self._packets_to(other)
        lasted = max(self.duration, SHORTEST)
        between = 1 if self.moving else moved // STEP  # sound may go on between the ends
        if packets > max(END_PACKETS, between + 1) or other.duration - self.duration not in (0, moved):
            return False
        if moved <= lasted:
            return not other.marker or moved <= self.duration
        return packets == 2 and self.duration >= LOST_BETWEEN_MIN and moved <= 2 * lasted and not other.marker

    def _moves(self, other: _Told, moved: int) -> bool:
        """Whether the timestamp moved on with the packets of one key. A real next one is behind the whole of this one, and its
        duration begins anew."""
        grown = other.duration - self.duration
        if grown < 0:
            return False
        by_packet = moved == STEP * self._packets_to(other) and moved <= grown + (END_PACKETS - 1) * STEP
        at_its_end = other.ended and moved <= other.duration and self._packets_to(other) <= END_PACKETS
        return moved <= max(self.duration, SHORTEST) or moved == grown or by_packet or at_its_end

    def _packets_to(self, other: _Told) -> int:
        return (other.sequence - self.sequence) & 0xFFFF


class EventReceiver:
    """Makes keys of one stream's telephone events: each press one key, whatever of its packets comes, how often and in which order.

    The packets of late are kept as they were sent. One that goes on from the packet before it, or in the one after it, tells of a
    press that was told already.
    """

    def __init__(self) -> None:
        self._recent: list[_Told] = []
        self._latest: _Told | None = None
        self._marks_all = self._moving = False

    def receive(
        self, ssrc: int, timestamp: int, payload: bytes, *, sequence: int, now: float, marker: bool = False
    ) -> str | None:
        """The key that begins with this packet; None where it tells nothing new, or nothing that we know. `marker`: it says itself
        that it is the first one of a key (RFC 4733, 2.5.1.1)."""
        if len(payload) < EVENT_BYTES:
            return None
        event, flags, duration = _PAYLOAD.unpack_from(payload)
        if event >= len(EVENTS):
            return None
        first = marker and not self._marks_all
        told = _Told(ssrc, sequence, timestamp, event, duration, bool(flags & END), first, self._moving, now)
        new = self._is_new(told)
        latest, self._latest = self._latest, told
        self._marks_all = self._marks_all and marker
        if not new and latest is not None and latest.event == event and latest.duration < duration:
            self._learn(latest, told, marker=marker)
        return EVENTS[event] if new else None

    def _learn(self, before: _Told, after: _Told, *, marker: bool) -> None:
        """What the sender does otherwise than the clause says, from two packets of one key of which the second goes on."""
        self._marks_all = self._marks_all or marker
        if after.ssrc == before.ssrc and after.timestamp != before.timestamp and not after.ended:
            self._moving = True

    def _is_new(self, told: _Told) -> bool:
        """Puts the packet where it was sent; whether a press begins with it."""
        latest, place = self._latest, self._place(told)
        if place is None:
            return False
        recent = self._recent
        earlier = next((one for one in reversed(recent[:place]) if one.ssrc == told.ssrc), None)
        later = next((one for one in recent[place:] if one.ssrc == told.ssrc), None)
        recent.insert(place, told)
        del recent[:-REMEMBERED]
        goes_on = earlier is not None and earlier.goes_on_in(told)
        if later is not None and told.goes_on_in(later):
            # it begins a press that was told with the later packet, but where that one was taken for the end of the press before
            return earlier is not None and not goes_on and earlier.goes_on_in(later)
        elsewhere = latest is not None and later is None and (earlier is None or latest.ssrc != told.ssrc)
        return not goes_on and not (elsewhere and latest is not None and latest.goes_on_in(told))

    def _place(self, told: _Told) -> int | None:
        """Behind which of the packets it was sent, by its number; None where it is there already. A number far behind, or one that
        comes again much later, is of a sender who counts anew: what he sent before says nothing of the order any more."""
        place = len(self._recent)
        for n in range(len(self._recent) - 1, -1, -1):
            one = self._recent[n]
            if one.ssrc != told.ssrc:
                continue
            behind = (one.sequence - told.sequence) & 0xFFFF
            if behind == 0:
                again = self._latest is not None and told.at - self._latest.at > AGAIN_S
                if one.same_as(told) and not again:
                    return None
                self._recent = []
                return 0
            if behind >= NEWER:
                break
            if behind > MISORDER_MAX:
                self._recent = []
                return 0
            place = n
        return place


def event_payloads(key: str, *, duration_ms: int = 100) -> Iterator[tuple[bytes, bool]]:
    """(payload, last) of each packet of a key, one every 20 ms; after the last one two more ends are to be sent at once.
    Raises ValueError for what is no key, or too long a one."""
    if len(key) != 1 or key not in EVENTS:
        raise ValueError(f"expected one of {EVENTS}")
    if duration_ms > DURATION_MAX_MS:
        raise ValueError(f"expected a key of at most {DURATION_MAX_MS} ms")
    event = EVENTS.index(key)
    total = max(STEP, duration_ms * 8)
    duration = STEP
    while duration < total:
        yield _PAYLOAD.pack(event, VOLUME, duration), False
        duration += STEP
    yield _PAYLOAD.pack(event, END | VOLUME, total), True


class Path(StrEnum):
    """How a key can come."""

    RTP = "rfc4733"
    INFO = "info"
    INBAND = "inband"


class KeyPaths:
    """Decides whether a key counts: the first path that brings one owns the call, for gateways send a key twice over.

    From the sound the other paths take over, for a voice can sound like a key. A key that was counted there just before is the
    same one where it comes again on the path that takes over.
    """

    def __init__(self) -> None:
        self.owner: Path | None = None
        self._sounded: deque[tuple[str, float]] = deque(maxlen=REMEMBERED)

    def counts(self, path: Path, key: str, now: float) -> bool:
        """Whether a key that came this way counts."""
        if self.sound_counts:
            self.owner = path
        if self.owner is not path:
            return False
        if path is Path.INBAND:
            self._sounded.append((key, now))
            return True
        return not self._was_heard(key, now)

    @property
    def sound_counts(self) -> bool:
        """Whether a key in the sound would count: no other path has brought one yet, whatever was agreed."""
        return self.owner is None or self.owner is Path.INBAND

    def media_changed(self) -> None:
        """Other media were agreed: keys may come another way from now on."""
        self.owner = None

    def _was_heard(self, key: str, now: float) -> bool:
        """Whether the key was counted from the sound just before, which it was once."""
        same = next((one for one in self._sounded if one[0] == key and now - one[1] <= SAME_KEY_S), None)
        if same is not None:
            self._sounded.remove(same)
        return same is not None
