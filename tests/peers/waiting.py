"""Waiting for what another process does and cannot tell us. Inside our own process wait for the event itself."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

POLL_S = 0.02  # short beside anything a peer does, long enough to leave a shared core alone


@overload
async def eventually(
    predicate: Callable[[], Awaitable[T | None]], timeout_s: float = 10.0, *, what: str = "it"
) -> T: ...
@overload
async def eventually(predicate: Callable[[], T | None], timeout_s: float = 10.0, *, what: str = "it") -> T: ...
async def eventually(predicate: Callable[[], Any], timeout_s: float = 10.0, *, what: str = "it") -> Any:
    """The first truthy value of the predicate (plain or async), asked every 20 ms.

    Raises AssertionError with `what` and the last value seen when `timeout_s` has passed.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = predicate()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what} did not happen within {timeout_s:g} s; last seen: {value!r}")
        await asyncio.sleep(POLL_S)


def eventually_sync(predicate: Callable[[], T | None], timeout_s: float = 10.0, *, what: str = "it") -> T:
    """As `eventually`, for fixtures and tests without an event loop."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what} did not happen within {timeout_s:g} s; last seen: {value!r}")
        time.sleep(POLL_S)
