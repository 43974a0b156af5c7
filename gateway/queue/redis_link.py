"""The connection to Redis as the queue needs it: bounded round trips, a breaker, a pub/sub ear. No tickets here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from channels.plainly import plainly
from gateway.queue.port import QueueUnavailable

log = structlog.get_logger(__name__)

COMMAND_S = 2.0
"""Longest wait for one round trip, connecting included: a caller with an alert in hand cannot wait for Redis."""
PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 2.0
"""Pauses between tries double from the first to the longest: a restart is noticed at once, an outage costs little."""
PING_EVERY_S = 5.0
"""A silent ear asks after this long whether the other side lives, and gives up after as long again without answer."""

LOST = (RedisError, OSError)
"""What redis-py and the sockets below it raise when an exchange fails; a time-out is an OSError."""

Command = tuple[str | bytes | int, ...]


def in_words(error: Exception) -> str:
    """What went wrong: whether Redis could not be reached, or answered and refused us (password, rights, database)."""
    refused = isinstance(error, AuthenticationError | AuthorizationError | ResponseError)
    return f"Redis {'refused' if refused else 'cannot be reached'}: {plainly(error)}"


class RedisLink:
    """One Redis, reached or not. After a failure nothing is tried until a pause is over; callers are told at once."""

    def __init__(self, url: str, *, command_s: float = COMMAND_S) -> None:
        """`url` as redis-py reads it: ``redis://[user:password@]host:port``, ``rediss://…``, ``unix://…``."""
        self._command_s = command_s
        # RESP2: its answers look the same on every Redis from 6.2. One retry, for a pooled connection that died.
        self._redis: Redis = Redis.from_url(
            url,
            protocol=2,
            socket_timeout=command_s,
            socket_connect_timeout=command_s,
            retry=Retry(NoBackoff(), 1),
        )
        self._failures = 0
        self._why = ""
        """What went wrong last: whoever is told during a pause hears the same as whoever tried."""
        self._retry_at = 0.0
        self._closed = False

    async def close(self) -> None:
        """Closes every connection; from now on everything raises QueueUnavailable."""
        self._closed = True
        await self._redis.aclose()

    def pause_s(self) -> float:
        """Seconds until the next try is allowed; 0 while Redis answers."""
        if not self._failures:
            return 0.0
        return max(0.0, self._retry_at - asyncio.get_running_loop().time())

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to some commands, in one round trip; a command that Redis refused has its error as the answer.

        Raises QueueUnavailable, at once while a pause lasts, else within `command_s`.
        """
        if self._closed:
            raise QueueUnavailable("the queue is closed")
        if self.pause_s() > 0:
            raise QueueUnavailable(self._why)
        try:
            async with asyncio.timeout(self._command_s):
                pipeline = self._redis.pipeline(transaction=False)
                for command in commands:
                    pipeline.execute_command(*command)
                answers: list[Any] = await pipeline.execute(raise_on_error=False)
        except LOST as error:
            self._failed(error)
            raise QueueUnavailable(self._why) from error
        self._answered()
        return answers

    async def listen(
        self,
        patterns: Sequence[str],
        subscribed: Callable[[], None],
        heard: Callable[[bytes, bytes], None],
    ) -> None:
        """Subscribes to patterns and stays subscribed, through every loss of the link, until cancelled.

        Calls `subscribed` whenever a subscription is confirmed anew (before it payloads may have been missed), and
        `heard` with each channel and payload.
        """
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    async with asyncio.timeout(self._command_s):
                        await pubsub.psubscribe(*patterns)
                    await _hear(pubsub, subscribed, heard)
            except LOST as error:
                self._failed(error)
            await asyncio.sleep(max(self.pause_s(), PAUSE_FIRST_S))

    def _failed(self, error: Exception) -> None:
        self._why = in_words(error)
        if not self._failures:
            log.warning("queue_link_lost", error=self._why)
        if self.pause_s() == 0:  # several callers fail together: that is one failure
            pause = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2 ** min(self._failures, 10))
            self._retry_at = asyncio.get_running_loop().time() + pause
            self._failures += 1

    def _answered(self) -> None:
        if self._failures:
            self._failures = 0
            log.info("queue_link_restored")


async def _hear(pubsub: PubSub, subscribed: Callable[[], None], heard: Callable[[bytes, bytes], None]) -> None:
    asked = False
    while True:
        message = await pubsub.get_message(timeout=PING_EVERY_S)
        if message is None:
            if asked:
                raise RedisConnectionError("no answer on the subscribed connection")
            await pubsub.ping()
            asked = True
            continue
        asked = False
        if message["type"] == "psubscribe":
            subscribed()
        elif message["type"] == "pmessage":
            heard(message["channel"], message["data"])
