"""Who may speak in a call: the address that was agreed, or one behind a NAT that nobody could know before it sent something.

A call's port may have been another call's, and who was in that one may still be sending: after a crash nobody has told them. Their
keys would acknowledge an alert that they have never heard of.
"""

from __future__ import annotations

Address = tuple[str, int]
LATCH_AFTER_S = 0.2
"""The agreed address goes first; only where it has sent nothing for ten packets' time is another one the phone behind its NAT."""
EARLY_S = 1.0
"""Whoever sent so long before anything was agreed cannot mean this call; audio overtakes its answer by much less."""
EARLY_MAX = 8
"""Senders remembered before the answer: there is one, if any."""


class Sources:
    """Judges where packets come from. One for each call; it reads no clock."""

    __slots__ = ("_agreed", "_agreed_at", "_early", "_left_over")

    def __init__(self) -> None:
        self._agreed: Address | None = None
        self._agreed_at = 0.0
        self._early: dict[Address, float] = {}
        self._left_over: frozenset[Address] = frozenset()

    def came_early(self, source: Address, now: float) -> None:
        """A packet came before anything was agreed."""
        if len(self._early) < EARLY_MAX:
            self._early.setdefault(source, now)

    def agree(self, address: Address, now: float) -> bool:
        """Takes the address that offer and answer name; whether it is another than before."""
        if address == self._agreed:
            return False
        if self._agreed is None:
            self._left_over = frozenset(one for one, first in self._early.items() if now - first >= EARLY_S)
            self._early.clear()
        self._agreed, self._agreed_at = address, now
        return True

    def is_agreed(self, source: Address) -> bool:
        """Whether it is the address that was agreed."""
        return source == self._agreed

    def may_latch(self, source: Address, now: float) -> bool:
        """Whether it may be the other side, while nothing has come from the agreed address."""
        return now - self._agreed_at >= LATCH_AFTER_S and source not in self._left_over
