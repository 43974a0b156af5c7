"""Identifiers: opaque, prefixed, time-ordered, unique without coordination between nodes."""

from __future__ import annotations

import os
import threading
import time

MS_MAX = 2**48 - 1
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
"""Base 32 with the extended hex alphabet (RFC 4648, 7), which keeps the order of the bits."""
_PAIRS = tuple(first + second for first in _DIGITS for second in _DIGITS)
_SHIFTS = tuple(range(120, -10, -10))

_lock = threading.Lock()
_last_ms = 0
_tail = 0


def new_id(prefix: str) -> str:
    """``prefix_`` and 26 characters: 48 bits of milliseconds, then 80 bits that start random and count up within one
    millisecond, so that ids made by one process sort in the order they were made."""
    global _last_ms, _tail  # noqa: PLW0603 - one sequence for the whole process is the point
    with _lock:
        ms = time.time_ns() // 1_000_000
        if ms > _last_ms:
            _last_ms = ms
            _tail = int.from_bytes(os.urandom(10), "big") >> 1  # half the space is left to count in
        else:
            _tail += 1
        ms, tail = _last_ms, _tail
    return _named(prefix, ms, tail)


def first_id(prefix: str, micros: int) -> str:
    """The least id that can have been made at this time, in microseconds since 1970, by the clock that names ids."""
    return _named(prefix, max(0, min(micros // 1000, MS_MAX)), 0)


def _named(prefix: str, ms: int, tail: int) -> str:
    bits = (ms << 80 | tail) << 2  # 128, and 2 that fill the last digit up
    return f"{prefix}_{''.join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])}"
