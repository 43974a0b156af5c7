"""The two clocks of the broker and their database form; nothing here decides what a time means."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Wall time for what is written down, monotonic time for what is waited for."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps."""
        ...


class SystemClock:
    """A wall clock that a clock step cannot throw: it follows the monotonic clock between readings of the system's.

    Leases and retry times are stored as wall times. If the system clock jumped, stored leases would seem lost (or
    endless) at once, so the wall clock given out here is anchored at construction and runs on monotonic time; a step of
    the system's clock is followed at no more than `SLEW` of elapsed time, as time daemons do.
    """

    SLEW = 0.05  # 5 %: an hour's error is walked off in a day, and no lease shrinks by more than a twentieth

    def __init__(self) -> None:
        self._wall = time.time()
        self._mono = time.monotonic()

    def now(self) -> datetime:
        mono = time.monotonic()
        elapsed = mono - self._mono
        if elapsed > 0:
            self._mono = mono
            drift = time.time() - (self._wall + elapsed)
            bound = elapsed * self.SLEW
            self._wall += elapsed + max(-bound, min(bound, drift))
        return datetime.fromtimestamp(self._wall, UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def to_micros(at: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, as stored."""
    return (at - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The inverse of `to_micros`."""
    return EPOCH + timedelta(microseconds=micros)


def local_time(at: datetime, zone: tzinfo, *, seconds: bool = False) -> str:
    """A time for people in their zone, which its abbreviation and its offset name: ``2026-11-30 17:27 CET (UTC+01:00)``."""
    local = at.astimezone(zone)
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    offset = f"{local:%z}"
    name, utc = local.tzname() or "", f"UTC{offset[:3]}:{offset[3:5]}"
    if not name.isalpha():  # many zones have no abbreviation but their offset
        return f"{local:{form}} {utc}"
    return f"{local:{form}} {name}" if name == "UTC" else f"{local:{form}} {name} ({utc})"


def rfc3339(at: datetime) -> str:
    """RFC 3339 UTC with milliseconds, cut and not rounded, as the API shows times: none is later than what it shows."""
    return f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
