"""Who may speak in a call: the address that was agreed, or one behind a NAT that nobody could know before it sent something.

A call's port may have been another call's, and who was in that one may still be sending: after a crash nobody has told them. Their
keys would acknowledge an alert that they have never heard of.
"""

from __future__ import annotations

from ivr.sip.sdp import NOWHERE

Address = tuple[str, int]
LATCH_AFTER_S = 0.2
"""The agreed address goes first; only where it has sent nothing for ten packets' time is another one the phone behind its NAT."""
RETURN_AFTER_S = 1.0
"""Who was in the call before another address was agreed still sends for a moment, and is not the phone that comes after him."""
EARLY_MAX = 8
"""Senders remembered of the time before anybody knew the port: there is one, if any."""


class Sources:
    """Judges where packets come from. One for each call; it reads no clock."""

    __slots__ = ("_agreed", "_agreed_at", "_before", "_left_over")

    def __init__(self) -> None:
        self._agreed: Address | None = None
        self._agreed_at = 0.0
        self._before: Address | None = None
        self._left_over: set[Address] = set()

    def came_unasked(self, source: Address) -> None:
        """A packet came before anybody knew the port: its sender is left over from another call, and never the phone."""
        if len(self._left_over) < EARLY_MAX:
            self._left_over.add(source)

    def agree(self, address: Address, now: float, before: Address | None) -> bool:
        """Takes the address that offer and answer name; whether it is another than the one before it. `before`: where packets went
        until now. An old hold's address (RFC 3264, 8.4) says nothing of where they come from."""
        if address == self._agreed or (self._agreed is not None and address[0] in NOWHERE):
            return False
        self._agreed, self._agreed_at, self._before = address, now, before
        return True

    def is_agreed(self, source: Address) -> bool:
        """Whether it is the address that was agreed."""
        return source == self._agreed

    def may_latch(self, source: Address, now: float) -> bool:
        """Whether it may be the other side, while nothing has come from the agreed address."""
        wait_s = RETURN_AFTER_S if source == self._before else LATCH_AFTER_S
        return now - self._agreed_at >= wait_s and source not in self._left_over
