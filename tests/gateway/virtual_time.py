"""An event loop on simulated time: nothing waits for a clock, and what threads do takes no time at all."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
_REAL_S = 0.05
"""How long the selector really waits at once, while a thread or a socket has something to do."""

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Lets time pass instead of waiting, unless a thread of ours is at work."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or self.loop.jobs:
            return super().select(_REAL_S if timeout is None or timeout > 0 else 0)
        found = super().select(0)
        if not found and timeout > 0:
            self.loop.seconds += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` moves on when there is nothing to do but wait."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.seconds = 1_000.0
        self.jobs = 0
        super().__init__(selector)

    def time(self) -> float:
        return self.seconds

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # the base's is generic in a way that says no more
        """Counts what threads have in hand."""
        self.jobs += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._done)
        return future

    def _done(self, _future: asyncio.Future[Any]) -> None:
        self.jobs -= 1


class VirtualClock:
    """Both readings of the loop's time."""

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic() - 1_000.0)

    def monotonic(self) -> float:
        return self._loop.time()

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs it on a loop of simulated time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
