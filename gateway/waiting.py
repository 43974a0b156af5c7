"""Says what a start waits for where that takes longer than a moment. What it waits for is not known here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

log = structlog.get_logger(__name__)

TOLD_AFTER_S = 2.0
"""Longer than a start takes; short enough for whoever watches it."""
TOLD_EVERY_S = 10.0
"""Then it is said again: a log that stands still looks like a process that does."""


@asynccontextmanager
async def told_when_long(
    what: str, *, after_s: float = TOLD_AFTER_S, every_s: float = TOLD_EVERY_S
) -> AsyncIterator[None]:
    """While the block lasts: a warning with what it waits for, after a moment and then again and again."""

    async def tell() -> None:
        loop = asyncio.get_running_loop()
        began, pause_s = loop.time(), after_s
        while True:
            await asyncio.sleep(pause_s)
            log.warning("start_waits", waits_for=what, since_s=round(loop.time() - began, 1))
            pause_s = every_s

    telling = asyncio.create_task(tell(), name="start_waits")
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.wait([telling])
