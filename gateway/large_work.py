"""Work whose size a requester chooses: one piece at a time beside the event loop, in slices that stand behind whatever is urgent.

Threads of one process share one interpreter. Several large pieces at once would each take their turn before an emergency has its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter as Count
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from prometheus_client import Counter, Gauge, Histogram

from gateway.turns import turns

T = TypeVar("T")

LARGE: Final = 500
"""Deliveries, or members, from which work is large: below, planning (10 µs each) takes the loop a few milliseconds at most."""
LARGE_BYTES: Final = 64 * 1024
"""Of a body: reading it takes a millisecond for each of these."""
SLICE_S: Final = 0.005
"""Of the processor, that a piece takes at once; then others have their turn. The interpreter would change threads as often."""
REST_S: Final = 0.0005
"""Between two slices: long enough for a thread that waits to wake up and take its turn."""
BEHIND_S_MAX: Final = 0.2
"""How long one slice stands behind what is urgent: a flood of emergencies does not end a broadcast for good."""
KEY_MAX: Final = 2
"""Large requests of one key under way, from its body to the last delivery written: one is read while the other one is written. As many
more may be emergencies."""
ALL_MAX: Final = 16
"""Large requests under way in one process: each may hold a body, and a plan of a hundred megabytes."""
RETRY_AFTER_S: Final = 5

UNDER_WAY = Gauge("tocsin_large_requests_under_way", "Large requests that are read, planned or written")
REFUSED = Counter(
    "tocsin_large_requests_refused_total", "Large requests refused, by the bound that was reached", ["bound"]
)
for _bound in ("key", "all"):
    REFUSED.labels(_bound)  # there from the start, at 0
PIECE_S = Histogram(
    "tocsin_large_work_seconds", "Duration of a piece of large work", buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
)


class TooMuchUnderWayError(Exception):
    """A bound on large requests is reached; the text names it. Nothing was taken."""


class StoppedError(Exception):
    """The work was given up in the middle."""


class _Urgent:
    """What is urgent at the moment, and who waits for it to be over. Entered on the event loop, awaited in threads."""

    def __init__(self) -> None:
        self._under_way = 0
        self._over = threading.Event()
        self._over.set()

    def __enter__(self) -> None:
        self._under_way += 1
        self._over.clear()

    def __exit__(self, *_: object) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._over.set()

    def wait_until_over(self) -> None:
        """Returns once nothing urgent is under way, and after BEHIND_S_MAX at the latest."""
        self._over.wait(BEHIND_S_MAX)


urgent: Final = _Urgent()
"""``with urgent:`` around what is not to stand behind large work; on the event loop alone."""


class _Slices(threading.local):
    """The slices of the piece that this thread works on."""

    until: float | None = None
    behind = True
    stopped: threading.Event | None = None


_slices = _Slices()


def give_way() -> None:
    """Called in every loop whose length a requester chooses. Costs next to nothing where no slice has ended."""
    until = _slices.until
    if until is not None and time.thread_time() >= until:
        time.sleep(REST_S)
        if _slices.behind:
            urgent.wait_until_over()
        if _slices.stopped is not None and _slices.stopped.is_set():
            raise StoppedError("the process ends: nobody waits for this any more")
        _slices.until = time.thread_time() + SLICE_S


turns.give_way = give_way


def _in_slices(work: Callable[[], T], behind: bool, stopped: threading.Event) -> T:
    _slices.behind, _slices.stopped = behind, stopped
    _slices.until = time.thread_time() + SLICE_S
    if behind:
        urgent.wait_until_over()
    started = time.perf_counter()
    try:
        return work()
    finally:
        _slices.until = None
        PIECE_S.observe(time.perf_counter() - started)


class LargeWork:
    """Does large pieces of work, one after the other; urgent ones beside them, and before them."""

    def __init__(self) -> None:
        self._rest = ThreadPoolExecutor(1, "large-work")
        self._urgent = ThreadPoolExecutor(1, "large-urgent-work")
        self._under_way: Count[tuple[str, bool]] = Count()
        self._stopped = threading.Event()

    async def do(self, work: Callable[[], T], *, urgently: bool = False) -> T:
        """The result of `work`, which calls `give_way` as it goes on. An urgent piece stands behind nothing."""
        loop = asyncio.get_running_loop()
        if not urgently:
            return await loop.run_in_executor(self._rest, _in_slices, work, True, self._stopped)
        with urgent:
            return await loop.run_in_executor(self._urgent, _in_slices, work, False, self._stopped)

    def admit(self, key: str, *, urgently: bool) -> Callable[[], None]:
        """One more large request of the key, until what this gives is called. Raises TooMuchUnderWayError."""
        who = (key, urgently)
        if self._under_way[who] >= KEY_MAX:
            REFUSED.labels("key").inc()
            kind = "emergencies" if urgently else "requests"
            raise TooMuchUnderWayError(
                f"expected at most {KEY_MAX} large {kind} of one key under way, until all their deliveries are written;"
                f" large is one of {LARGE_BYTES // 1024} KiB, or of {LARGE} deliveries"
            )
        if not urgently and self._under_way.total() >= ALL_MAX:
            REFUSED.labels("all").inc()
            raise TooMuchUnderWayError(f"expected at most {ALL_MAX} large requests of all keys under way")
        self._under_way[who] += 1
        UNDER_WAY.inc()
        inside = True

        def leave() -> None:
            nonlocal inside
            if inside:
                inside = False
                self._under_way -= Count({who: 1})  # keys that have none are forgotten
                UNDER_WAY.dec()

        return leave

    def close(self) -> None:
        """Nothing more is begun, and what is under way is given up."""
        self._stopped.set()
        self._rest.shutdown(wait=False, cancel_futures=True)
        self._urgent.shutdown(wait=False, cancel_futures=True)
