"""How often the log tells of what other systems do wrong: once a minute for each kind and peer, with how often it was since. Pure."""

from __future__ import annotations

from collections import OrderedDict

EVERY_S = 60.0
"""A phone that sends a broken line sends it with every message: one line of the log tells of a minute."""
PEERS_MAX = 256
"""(kind, peer) pairs that are counted apart. A trunk has a handful; whoever invents sources over UDP fills neither memory nor log."""
OTHERS = "others"
"""In place of a peer where there is no more room."""


class Notices:
    """Decides which notices become lines of the log."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def tell(self, kind: str, peer: str, now: float) -> tuple[str, int] | None:
        """(peer to be named, how many were left out since its last line), or None where this one is left out too."""
        key = (kind, peer)
        known = self._told.get(key)
        if known is None and len(self._told) >= PEERS_MAX and not self._make_room(now):
            key = (kind, OTHERS)
            known = self._told.get(key)
        if known is not None and now - known[0] < EVERY_S:
            self._told[key] = known[0], known[1] + 1
            return None
        self._told[key] = now, 0
        self._told.move_to_end(key)
        return key[1], 0 if known is None else known[1]

    def _make_room(self, now: float) -> bool:
        """Forgets the pair that was told of longest ago, if its minute is over; what was left out of it counts among the others."""
        (kind, peer), (told_at, left_out) = next(iter(self._told.items()))
        if now - told_at < EVERY_S:
            return False
        del self._told[kind, peer]
        if left_out:
            others_at, others = self._told.get((kind, OTHERS), (told_at, 0))
            self._told[kind, OTHERS] = others_at, others + left_out
        return True

    def __len__(self) -> int:
        return len(self._told)
