"""What people did by phone while the store was away: kept in memory and tried again, since nobody else knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from channels.conversation import Reply, Standing
from gateway.clock import Clock
from gateway.decisions import Decide
from gateway.store.errors import StoreStopped, StoreUnavailable
from gateway.store.journal import Journal

log = structlog.get_logger(__name__)

AGAIN_S = 1.0
"""Pause before it is tried once more, as for the outcomes of attempts."""
HELD_S = 3_600.0
"""How long it is tried: a store that is away for longer needs somebody who repairs it, and then reads the log."""
KEYS_MAX = 1_000
"""Keys that wait at once, one of each delivery: more than people press in an hour without a store; some MB. Beyond it a key is
tried once."""

T = TypeVar("T")


async def until_written(write: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """What `write` gives, as soon as the store takes it. Raises StoreUnavailable where it did not for HELD_S, StoreStopped where
    this process ends, and at once whatever else `write` raises. A `write` that fails may have been written all the same."""
    until = clock.monotonic() + HELD_S
    while True:
        try:
            return await write()
        except StoreStopped:
            raise
        except StoreUnavailable:
            if clock.monotonic() >= until:
                raise
        await asyncio.sleep(AGAIN_S)


@dataclass(slots=True, eq=False)
class _Key:
    command: Decide
    replaced: bool = False
    """Whether the person has pressed another one since: the last one counts."""


class Keys:
    """The keys that people pressed and that are not written yet: the last one of each delivery."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._waiting: dict[str, tuple[_Key, asyncio.Task[Reply]]] = {}

    def record(self, command: Decide) -> asyncio.Task[Reply]:
        """The recording of a key; it goes on when nobody waits for it any more, and raises nothing. The same key pressed again
        meanwhile is the same recording, and another one takes its place."""
        known = self._waiting.get(command.delivery_id)
        if known is not None:
            if known[0].command.decision is command.decision:
                return known[1]
            known[0].replaced = True
        key = _Key(command)
        task = asyncio.get_running_loop().create_task(self._record(key, kept=len(self._waiting) < KEYS_MAX))
        self._waiting[command.delivery_id] = (key, task)
        task.add_done_callback(partial(self._done, command.delivery_id))
        return task

    def _done(self, delivery_id: str, task: asyncio.Task[Reply]) -> None:
        known = self._waiting.get(delivery_id)
        if known is not None and known[1] is task:
            del self._waiting[delivery_id]

    async def _record(self, key: _Key, *, kept: bool) -> Reply:
        pressed = {"delivery": key.command.delivery_id, "decision": key.command.decision}
        write = partial(self._write, key)
        try:
            return await (until_written(write, self._clock) if kept else write())
        except StoreUnavailable as error:
            log.error("decision_lost", **pressed, error=str(error))
        except asyncio.CancelledError:
            log.error("decision_lost", **pressed, error="the process ended")
            raise
        except Exception:
            log.exception("decision_refused", **pressed)
        return Reply(standing=Standing.FAILED)

    async def _write(self, key: _Key) -> Reply:
        if key.replaced:
            return Reply(standing=Standing.FAILED)
        command = key.command
        try:
            return await self._journal.do(command, urgent=True)
        except StoreUnavailable as error:
            log.warning(
                "decision_not_recorded", delivery=command.delivery_id, decision=command.decision, error=str(error)
            )
            raise
