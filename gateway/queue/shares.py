"""Who goes next among waiting urgencies, as arithmetic: emergency first, then weighted shares. No tickets live here.

Below emergency this is stride scheduling (Waldspurger and Weihl, 1995): each urgency has a position that moves by its
stride with every ticket, and the one furthest behind goes next. It is exact over any run of takes, needs integers only,
and an urgency that slept gains no credit from sleeping.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.queue.port import Urgency

WEIGHTS: dict[Urgency, int] = {Urgency.HIGH: 8, Urgency.NORMAL: 4, Urgency.BULK: 1}
"""Tickets out of every 13 below emergency while all three wait. A third urgency may not be starved, so none is 0."""


_ROUND = 8
"""The strides' common multiple: in one round an urgency moves on by its weight in tickets."""

_STRIDES: dict[Urgency, int] = {urgency: _ROUND // weight for urgency, weight in WEIGHTS.items()}


class Shares:
    """The running account of one provider's shares. Deterministic; one per queue and provider."""

    def __init__(self) -> None:
        self._positions = dict.fromkeys(WEIGHTS, 0)
        self._now = 0

    def split(self, waiting: Sequence[int], limit: int) -> list[int]:
        """How many tickets of each urgency go now, indexed by Urgency, and moves the account on by them.

        `waiting` holds the number of tickets that wait, indexed by Urgency. The answer is never more than waits, and
        sums to min(limit, sum(waiting)). Costs a few dozen steps whatever the limit: whole rounds are granted at once.
        """
        granted = [0] * len(Urgency)
        granted[Urgency.EMERGENCY] = min(limit, waiting[Urgency.EMERGENCY])
        left = limit - granted[Urgency.EMERGENCY]
        active = [urgency for urgency in WEIGHTS if waiting[urgency] > 0]
        for urgency in active:
            self._positions[urgency] = max(self._positions[urgency], self._now)
        while left > 0 and (active := [urgency for urgency in active if granted[urgency] < waiting[urgency]]):
            rounds = min(
                left // sum(WEIGHTS[u] for u in active), *((waiting[u] - granted[u]) // WEIGHTS[u] for u in active)
            )
            if rounds > 0:
                for urgency in active:
                    granted[urgency] += rounds * WEIGHTS[urgency]
                    self._positions[urgency] += rounds * _ROUND
                left -= rounds * sum(WEIGHTS[u] for u in active)
                self._now += rounds * _ROUND
                continue
            nearest = min(active, key=lambda u: (self._positions[u], u))
            self._now = self._positions[nearest]
            self._positions[nearest] += _STRIDES[nearest]
            granted[nearest] += 1
            left -= 1
        return granted
