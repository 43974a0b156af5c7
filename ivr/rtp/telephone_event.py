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
END = 0x80
VOLUME = 10
"""-10 dBm0, what most phones say."""
REMEMBERED = 32
"""Events remembered, so that a late or repeated packet makes no second key: keys of several seconds."""
SEGMENT = 0xFFFF
"""The longest duration; what is longer goes on in a segment with a later timestamp (RFC 4733, 2.5.1.3)."""
STEP = 160
"""Timestamp units of 20 ms at 8 kHz."""
DURATION_MAX_MS = SEGMENT // 8
"""The longest key that we send, in one segment."""
SKIPPED = 5 * STEP
"""A key goes on in another source where at most so much of it was lost between."""
SHORTEST = 2 * STEP
"""No key is shorter (ITU-T Q.24: 40 ms), so no next one begins sooner."""
SAME_KEY_S = 2.0
"""So much later than in the sound a key may come by INFO or RFC 4733: gateways tell of some when they are let go."""
END_PACKETS = 3
"""RFC 4733, 2.5.1.4."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What a packet tells of a key."""

    ssrc: int
    timestamp: int
    event: int
    duration: int
    ended: bool

    def goes_on_in(self, other: _Told) -> bool:
        """Whether the other packet, of another (SSRC, timestamp), tells of the same press: RFC 4733, 2.5.1.2 keeps the timestamp of
        a key, but some move it on with each packet, and some change their SSRC in the middle of a key. In both the duration goes
        on where it was. That of a real next key begins anew, and its timestamp is behind the whole of this one."""
        if other.event != self.event or (self.ended and not other.ended):
            return False
        if other.ssrc != self.ssrc:
            return not self.ended and self.duration < other.duration <= self.duration + SKIPPED
        moved = (other.timestamp - self.timestamp) & 0xFFFFFFFF
        if self.ended:
            return other.duration == self.duration and moved <= SHORTEST
        return other.duration >= self.duration and moved <= max(self.duration, SHORTEST)


class EventReceiver:
    """Makes keys of one stream's telephone events: a key is an (SSRC, timestamp), whatever of its packets came."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)
        self._long: tuple[int, int, int] | None = None
        self._last: _Told | None = None

    def receive(self, ssrc: int, timestamp: int, payload: bytes, *, marker: bool = False) -> str | None:
        """The key that begins with this packet; None where it tells nothing new, or nothing that we know. `marker`: it says itself
        that it is the first one of a key (RFC 4733, 2.5.1.1)."""
        if len(payload) < 4:
            return None
        event, flags, duration = _PAYLOAD.unpack_from(payload)
        if event >= len(EVENTS):
            return None
        name, last = (ssrc, timestamp), self._last
        told = _Told(ssrc, timestamp, event, duration, bool(flags & END))
        new = name not in self._seen
        if new:
            self._seen.append(name)
            self._last = told
            # the next segment of a key that is held down, or the same key under another name
            if self._long == (*name, event) or (last is not None and not marker and last.goes_on_in(told)):
                new = False
        elif last is not None and name == (last.ssrc, last.timestamp):
            self._last = replace(last, duration=max(last.duration, duration), ended=last.ended or told.ended)
        if duration == SEGMENT:
            self._long = (ssrc, (timestamp + SEGMENT) & 0xFFFFFFFF, event)
        return EVENTS[event] if new else None


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
        if self.owner is None or self.owner is Path.INBAND:
            self.owner = path
        if self.owner is not path:
            return False
        if path is Path.INBAND:
            self._sounded.append((key, now))
            return True
        return not self._was_heard(key, now)

    def media_changed(self) -> None:
        """Other media were agreed: keys may come another way from now on."""
        self.owner = None

    def _was_heard(self, key: str, now: float) -> bool:
        """Whether the key was counted from the sound just before, which it was once."""
        same = next((one for one in self._sounded if one[0] == key and now - one[1] <= SAME_KEY_S), None)
        if same is not None:
            self._sounded.remove(same)
        return same is not None
