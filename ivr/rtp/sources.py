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
OPENING_S = 0.1
"""Whoever is in a call that is over sends every 20 ms, so in the port's first moment too; nobody else knows the port before our
INVITE has come to him."""
EARLY_S = 1.0
"""Audio overtakes its answer by much less. Early media (RFC 3960) come longer before it, but not in the port's first moment."""
EARLY_MAX = 8
"""Senders remembered of that moment: there is one, if any."""


class Sources:
    """Judges where packets come from. One for each call; it reads no clock."""

    __slots__ = ("_agreed", "_agreed_at", "_before", "_early", "_left_over", "_opened_at")

    def __init__(self, opened_at: float) -> None:
        self._opened_at = opened_at
        self._agreed: Address | None = None
        self._agreed_at = opened_at
        self._before: Address | None = None
        self._early: dict[Address, float] = {}
        self._left_over: frozenset[Address] = frozenset()

    def came_early(self, source: Address, now: float) -> None:
        """A packet came before anything was agreed."""
        if now - self._opened_at < OPENING_S and len(self._early) < EARLY_MAX:
            self._early.setdefault(source, now)

    def agree(self, address: Address, now: float, before: Address | None) -> bool:
        """Takes the address that offer and answer name; whether it is another than the one before it. `before`: where packets went
        until now. An old hold's address (RFC 3264, 8.4) says nothing of where they come from."""
        if address == self._agreed or (self._agreed is not None and address[0] in NOWHERE):
            return False
        if self._agreed is None:
            self._left_over = frozenset(one for one, first in self._early.items() if now - first >= EARLY_S)
            self._early.clear()
        self._agreed, self._agreed_at, self._before = address, now, before
        return True

    def is_agreed(self, source: Address) -> bool:
        """Whether it is the address that was agreed."""
        return source == self._agreed

    def may_latch(self, source: Address, now: float) -> bool:
        """Whether it may be the other side, while nothing has come from the agreed address."""
        wait_s = RETURN_AFTER_S if source == self._before else LATCH_AFTER_S
        return now - self._agreed_at >= wait_s and source not in self._left_over
