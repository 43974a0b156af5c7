"""Keys by SIP INFO: the two bodies in use, neither of them registered (``application/dtmf-relay``, ``application/dtmf``)."""

from __future__ import annotations

CONTENT_TYPES = ("application/dtmf-relay", "application/dtmf")
BODY_BYTES_MAX = 256
"""A body of two short lines; anything longer is no key."""
_KEYS = frozenset("0123456789*#ABCD")
_NUMBERS = {"10": "*", "11": "#"}
"""Some gateways send the event's number (RFC 4733, 3.2) instead of its character."""


def signalled_key(content_type: str, body: bytes) -> str | None:
    """The key that an INFO body names; None where it names none. Never raises."""
    text = body[:BODY_BYTES_MAX].decode("ascii", "replace")
    if content_type == "application/dtmf":
        return _key(text)
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip().lower() == "signal":
            return _key(value)
    return None


def info_body(key: str, *, duration_ms: int = 160) -> bytes:
    """The ``application/dtmf-relay`` body of one key."""
    return f"Signal={key}\r\nDuration={duration_ms}\r\n".encode("ascii")


def _key(text: str) -> str | None:
    key = text.strip().upper()
    key = _NUMBERS.get(key, key)
    return key if key in _KEYS else None
