"""One timer of the event loop for the earliest of many deadlines. What is due is not known here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class DeadlineTimer:
    """Calls `act` once, at the earliest deadline that it was told of since the last call.

    The deadline is kept here and not read from the loop's handle: what a loop gives back for a time that has nearly come
    need not know when that is (on uvloop, whose clock ticks in milliseconds, it is a plain handle).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
        self._loop = loop
        self._act = act
        self._handle: asyncio.Handle | None = None
        self._at = 0.0

    def by(self, at: float) -> None:
        """Acts at `at` (of the loop's time) or before it."""
        if self._handle is not None:
            if self._at <= at:
                return
            self._handle.cancel()
        self._at = at
        self._handle = self._loop.call_at(at, self._due)

    def cancel(self) -> None:
        """Forgets every deadline. Harmless twice."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _due(self) -> None:
        self._handle = None
        self._act()
