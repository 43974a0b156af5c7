"""Turns to begin a call: so many a second, the urgent ones first. A trunk that is asked for more refuses them."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

Turn = asyncio.Future[None]


class Turns:
    """Gives turns, `per_s` of them a second. Runs on the loop in which it is asked."""

    def __init__(self, per_s: float, clock: Callable[[], float]) -> None:
        self._every_s = 1 / per_s
        self._clock = clock
        self._free_at = 0.0
        self._waiting: list[tuple[bool, int, Turn]] = []
        self._count = count()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, *, urgent: bool) -> Turn:
        """A turn, done when it has come. Whoever cancels it gives it up, and delays nobody."""
        turn: Turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (not urgent, next(self._count), turn))
        self._give()
        return turn

    def hasten(self, turn: Turn) -> None:
        """Makes a turn an urgent one."""
        if not turn.done():
            heapq.heappush(self._waiting, (False, next(self._count), turn))
            self._give()

    def _give(self) -> None:
        """Gives the turns that are due, and sets the clock for the next one."""
        while self._waiting and (self._waiting[0][2].done() or self._free_at <= self._clock()):
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                self._free_at = max(self._free_at, self._clock()) + self._every_s
                turn.set_result(None)
        if self._waiting and self._timer is None:
            delay_s = max(0.0, self._free_at - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._due)

    def _due(self) -> None:
        self._timer = None
        self._give()
