"""Identifiers: opaque, prefixed, time-ordered, unique without coordination between nodes."""

from __future__ import annotations

import os
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: no i, l, o, u
_lock = threading.Lock()
_last_ms = 0
_tail = 0


def _base32(value: int, length: int) -> str:
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(5 * (length - 1), -1, -5))


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
    return f"{prefix}_{_base32(ms, 10)}{_base32(tail, 16)}"
