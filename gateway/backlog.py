"""How many deliveries wait for each provider, announced or between two tries. What sends them lives elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, func, select

from gateway.clock import Clock
from gateway.delivery import State
from gateway.queue.port import Queue, QueueUnavailable
from gateway.store import tables
from gateway.store.engine import Store
from gateway.store.errors import StoreError

COUNTED_MAX: Final = 10_000
"""Open deliveries that one count looks at, those first that are looked after next: some ten milliseconds of a database, however
large a broadcast is. The queue counts what it was told of beyond them."""
FRESH_S: Final = 5.0  # how old a count may be: scrapes come every 15 s, and a count may cost a two-hundredth of this
STORE_S: Final = 2.0  # a store that is busy for longer is not waited for by whoever only wants a number


class Backlog:
    """What waits, by provider. One count of the store serves everybody who asks within five seconds."""

    def __init__(self, store: Store, queue: Queue, clock: Clock) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._counting = asyncio.Lock()
        self._until = float("-inf")
        self._counted: Mapping[str, int] | None = None

    async def depth(self, provider: str) -> int | None:
        """Deliveries that wait for the provider; None while the queue or the store cannot be asked.

        The queue forgets what is looked at and has to wait for its next try: the store knows it.
        """
        counted = await self._count()
        try:
            announced = await self._queue.depth(provider)
        except QueueUnavailable:
            return None
        return None if counted is None else max(announced, counted.get(provider, 0))

    async def _count(self) -> Mapping[str, int] | None:
        async with self._counting:
            if self._clock.monotonic() >= self._until:
                try:
                    async with asyncio.timeout(STORE_S):
                        self._counted = await self._store.read(queued_by_provider)
                except (StoreError, TimeoutError):
                    self._counted = None
                self._until = self._clock.monotonic() + FRESH_S
            return self._counted


def queued_by_provider(connection: Connection) -> Mapping[str, int]:
    """How many of the first `COUNTED_MAX` open deliveries are queued, by provider; those without any are left out."""
    t = tables.deliveries.c
    looked_at = (
        select(t.provider, t.state).where(t.settled_at.is_(None)).order_by(t.look_at).limit(COUNTED_MAX).subquery()
    )
    counted = (
        select(looked_at.c.provider, func.count())
        .where(looked_at.c.state == State.QUEUED.value)
        .group_by(looked_at.c.provider)
    )
    return {str(provider): int(n) for provider, n in connection.execute(counted)}
