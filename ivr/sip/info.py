"""Keys by SIP INFO: the bodies in use, none of them registered for it. What is said of events in RTP is in RFC 4733."""

from __future__ import annotations

import re
from dataclasses import dataclass

RELAY, PLAIN = "application/dtmf-relay", "application/dtmf"
EVENT, NORTEL = "audio/telephone-event", "application/vnd.nortelnetworks.digits"
CONTENT_TYPES = (RELAY, PLAIN, EVENT, NORTEL)
BODY_BYTES_MAX = 256
"""A body of a few short lines; anything longer is no key."""
_KEYS = frozenset("0123456789*#ABCD")
_NUMBERS = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}
"""Some gateways send the event's number (RFC 4733, 3.2) instead of its character."""
_NAMED = re.compile(r"\s*(signal|digit|d)\s*[=:]\s*(\S{1,2})\s*", re.IGNORECASE | re.ASCII)
"""``Signal=5``; and of Nortel ``d=5``, among ``p=Digit-Collection`` and others."""
_HEX = re.compile(r"\s*(?:[0-9A-Fa-f]{2}\s*){4}")
EVENT_BYTES = 4
"""RFC 4733, 2.3."""


@dataclass(slots=True)
class InfoKeys:
    """The keys of one call. An event (RFC 4733, 2.5.1) may come several times, while it is held and at its end: it is one key."""

    _held: tuple[str, int] | None = None

    def pressed(self, content_type: str, body: bytes) -> str | None:
        """The key that this body presses; None where it names none, or one that is still held. Never raises."""
        event = _event(content_type, body[:BODY_BYTES_MAX])
        if event is None:
            self._held = None
            return _signalled(content_type, body[:BODY_BYTES_MAX])
        key, end, duration = event
        again = self._held is not None and self._held[0] == key and duration > self._held[1] - end
        self._held = None if end or key is None else (key, duration)
        return None if again else key


def info_body(key: str, *, duration_ms: int = 160) -> bytes:
    """The ``application/dtmf-relay`` body of one key."""
    return f"Signal={key}\r\nDuration={duration_ms}\r\n".encode("ascii")


def _event(content_type: str, body: bytes) -> tuple[str | None, bool, int] | None:
    """(key, whether it is its end, duration) of the four octets of an event, or of their digits; None where it is something else."""
    if content_type != EVENT:
        return None
    octets = body
    if _HEX.fullmatch(body.decode("latin-1")):
        octets = bytes.fromhex("".join(body.decode("latin-1").split()))
    if len(octets) != EVENT_BYTES or octets[0] > 16:
        return None
    return _key(str(octets[0])), bool(octets[1] & 0x80), int.from_bytes(octets[2:4], "big")


def _signalled(content_type: str, body: bytes) -> str | None:
    """The key that a text names."""
    text = body.decode("ascii", "replace")
    for line in text.splitlines():
        named = _NAMED.fullmatch(line)
        if named is not None and (named[1].lower() != "d" or content_type in (NORTEL, EVENT)):
            return _key(named[2])
    return _key(text) if content_type in (PLAIN, EVENT) else None


def _key(text: str) -> str | None:
    key = text.strip().upper()
    key = _NUMBERS.get(key, key)
    return key if key in _KEYS else None
