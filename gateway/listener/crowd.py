"""All connections to the HTTP listener: how many there may be, which of them goes first, which has waited for too long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Counter, Gauge

from gateway.listener.bounds import HEADS_BYTES_MAX, UNREAD_BYTES_MAX, End
from ivr.notices import Notices

if TYPE_CHECKING:
    from gateway.listener.connection import Connection

log = structlog.get_logger(__name__)

OPEN: Final = Gauge("tocsin_http_connections", "Connections to the API that are open")
ENDED: Final = Counter(
    "tocsin_http_ended_total", "Requests and connections that ended at a bound or could not be read", ["reason"]
)
for _end in End:
    ENDED.labels(_end.name.lower())  # there from the start, at 0


class Crowd:
    """Every connection is in it from its beginning to its end, and among those that may go while nobody works for it.

    Strangers go before those whose key was good on this connection, and who has waited longest before the others: whoever
    comes and asks at once is served, however many hold connections and ask for nothing. Addresses do not count: behind a
    proxy all have the same one.
    """

    def __init__(self, *, connections_max: int, wait_s: float, idle_s: float) -> None:
        self.connections_max = connections_max
        self.wait_s = wait_s
        self.idle_s = idle_s
        self._all: set[Connection] = set()
        self.strangers: dict[Connection, None] = {}
        self.known: dict[Connection, None] = {}
        self._heads: dict[Connection, int] = {}
        self._heads_bytes = 0
        self._unread: dict[Connection, int] = {}
        self._unread_bytes = 0
        self._notices = Notices()

    def enter(self, connection: Connection) -> bool:
        """A new one; False where there is no room, and none can be made."""
        room = len(self._all) < self.connections_max or self._make_room()
        self._all.add(connection)
        OPEN.inc()
        connection.queue[connection] = None
        return room

    def leave(self, connection: Connection) -> None:
        """It is closed."""
        if connection in self._all:
            self._all.discard(connection)
            OPEN.dec()
        self.engage(connection)
        self.head(connection, 0)
        self.unread(connection, 0)

    def engage(self, connection: Connection) -> None:
        """Somebody works for it: it stays."""
        connection.queue.pop(connection, None)

    def release(self, connection: Connection) -> None:
        """Nobody works for it: it may go, as the last of those that may."""
        connection.queue.pop(connection, None)
        connection.queue[connection] = None

    def know(self, connection: Connection) -> None:
        """A key was good on it."""
        connection.queue.pop(connection, None)
        connection.known, connection.queue = True, self.known

    def head(self, connection: Connection, size: int) -> None:
        """So much of its next head is here and waits for the rest; 0: none is."""
        self._heads_bytes += size - self._heads.pop(connection, 0)
        if size:
            self._heads[connection] = size
            if self._heads_bytes > HEADS_BYTES_MAX:
                max(self._heads, key=self._heads.__getitem__).end(End.TOO_MANY_HEADS)

    def unread(self, connection: Connection, size: int) -> None:
        """So much is kept of answers for a reader who takes them slowly; 0: they were taken. Where all that is too much, strangers go
        first: nobody without a key shall take an answer from one who has one."""
        self._count_unread(connection, size)
        if self._unread_bytes <= UNREAD_BYTES_MAX:
            return
        for one in list(self._unread):  # some of it may have been taken meanwhile
            self._count_unread(one, one.wire.held())
        while self._unread_bytes > UNREAD_BYTES_MAX:
            most = max(self._unread, key=lambda one: (not one.known, self._unread[one]))
            self._count_unread(most, 0)
            most.abandon(End.TOO_MANY_UNREAD)

    def _count_unread(self, connection: Connection, size: int) -> None:
        self._unread_bytes += size - self._unread.pop(connection, 0)
        if size:
            self._unread[connection] = size

    def sweep(self, now: float) -> None:
        """Ends what has waited for too long."""
        for connection in list(self._all):
            connection.look(now)

    def ended(self, end: End, peer: str) -> None:
        """Counts it, and tells the log once a minute for each reason and peer."""
        ENDED.labels(end.name.lower()).inc()
        if not end.value.logged:
            return
        told = self._notices.tell(end.name, peer, asyncio.get_running_loop().time())
        if told is not None:
            peer, left_out = told
            log.warning("http_ended", reason=end.name.lower(), peer=peer, left_out=left_out, open=len(self._all))

    def _make_room(self) -> bool:
        for candidates in (self.strangers, self.known):
            for connection in candidates:
                connection.push_out()
                self.engage(connection)
                return True
        return False
