"""A bounded pool of SMTP connections (aiosmtplib has none): borrow, use alone, give back or throw away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import structlog

from channels.email.connection import Connection, LostError, RefusedError, open_connection
from channels.email.settings import SmtpSettings
from channels.email.status import Stage, blames_session

log = structlog.get_logger(__name__)

CLOSE_S = 5.0
"""How long `close` waits for letters under way: an answer that is coming gets in, an operator is not kept."""


class NotLentError(LostError):
    """The pool had no connection to lend; the server had no part in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """A borrowed connection. `reused`: it has carried a letter before, so it may have died unnoticed."""

    connection: Connection
    reused: bool


class Pool:
    """At most `connections` connections at once, each with one borrower; the most recently used idle one goes first."""

    def __init__(
        self,
        settings: SmtpSettings,
        *,
        opener: Callable[[SmtpSettings], Awaitable[Connection]] = open_connection,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._opener = opener
        self._monotonic = monotonic
        self._free = asyncio.Semaphore(settings.connections)
        self._idle: deque[tuple[Connection, float]] = deque()
        self._borrowed = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closed = False

    @property
    def open_count(self) -> int:
        """Connections that are open, idle or borrowed."""
        return len(self._idle) + self._borrowed

    @property
    def borrowed_count(self) -> int:
        """Connections in use."""
        return self._borrowed

    def reopen(self) -> None:
        """Lets a closed pool lend again."""
        self._closed = False

    @contextlib.asynccontextmanager
    async def borrow(self, *, fresh: bool = False) -> AsyncIterator[Lease]:
        """A connection for one letter; `fresh` never takes an idle one.

        It goes back when the block ends well. After a refusal of this one mail it is reset and kept; after one that may be of
        the session (`status.blames_session`), and anything else, a cancellation too, it is thrown away. Raises NotLentError
        (no connection free within `response_s`, pool closed) and what opening one raises.
        """
        await self._enter()
        try:
            connection = None if fresh else self._take_idle()
            lease = Lease(connection=connection or await self._opener(self._settings), reused=connection is not None)
            try:
                yield lease
            except RefusedError as error:
                await self._after_refusal(lease.connection, error)
                raise
            except BaseException as error:
                self._discard(lease.connection, type(error).__name__)
                raise
            self._keep(lease.connection)
        finally:
            self._leave()

    async def expire_idle(self) -> None:
        """Takes leave of the connections that were idle for `idle_s`."""
        while self._idle and self._is_old(self._idle[0][1]):
            connection, _ = self._idle.popleft()
            await connection.quit()

    async def close(self) -> None:
        """Lends no more, waits at most CLOSE_S for letters under way, and takes leave of the idle connections."""
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._quiet.wait()
        idle = [connection for connection, _ in self._idle]
        self._idle.clear()
        await asyncio.gather(*(connection.quit() for connection in idle))

    async def _enter(self) -> None:
        if not self._closed:
            try:
                async with asyncio.timeout(self._settings.response_s):
                    await self._free.acquire()
            except TimeoutError as error:
                raise NotLentError(Stage.CONNECT, "pool_exhausted", "no connection became free in time") from error
            if not self._closed:
                self._borrowed += 1
                self._quiet.clear()
                return
            self._free.release()
        raise NotLentError(Stage.CONNECT, "channel_stopped", "the channel is stopping")

    def _leave(self) -> None:
        self._borrowed -= 1
        if self._borrowed == 0:
            self._quiet.set()
        self._free.release()

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection, since = self._idle.pop()
            if connection.alive and not self._is_old(since):
                return connection
            connection.close()
        return None

    def _is_old(self, since: float) -> bool:
        return self._monotonic() - since >= self._settings.idle_s

    def _keep(self, connection: Connection) -> None:
        if self._closed or not connection.alive:
            connection.close()
        else:
            self._idle.append((connection, self._monotonic()))

    async def _after_refusal(self, connection: Connection, error: RefusedError) -> None:
        # After 421 the server is closing, though aiosmtplib may still think the link is up (RFC 5321 3.8).
        of_session = blames_session(error.stage, error.reply)
        if error.reply.code // 100 in (4, 5) and error.reply.code != 421 and not of_session:
            try:
                fit = await connection.reset()
            except BaseException:
                connection.close()
                raise
            if fit:
                self._keep(connection)
                return
        self._discard(connection, f"reply_{error.reply.code}")

    def _discard(self, connection: Connection, cause: str) -> None:
        connection.close()
        log.info("smtp_connection_discarded", provider=self._settings.name, cause=cause)
