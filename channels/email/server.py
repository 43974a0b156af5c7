"""An SMTP server on the running loop over aiosmtpd, bounded and stoppable. What becomes of a mail is said elsewhere."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any, cast

from aiosmtpd.smtp import SMTP

# aiosmtpd writes every line of every mail to this logger at DEBUG and every command at INFO: texts and addresses.
logging.getLogger("mail.log").setLevel(logging.WARNING)

STOP_S = 2.0
"""How long `stop` waits for connections to end by themselves after they were closed; then they are cut."""
COMMANDS_MAX = 1000
"""Times one connection may give the same command: senders re-use connections, but none needs so many."""


class TrackedSmtp(SMTP):
    """A server-side connection that its server knows of, from the first octet to the end."""

    def __init__(self, handler: Any, *, open_connections: set[TrackedSmtp], **options: Any) -> None:
        super().__init__(handler, command_call_limit=COMMANDS_MAX, **options)
        self._open_connections = open_connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Enters the connection in its server's set."""
        self._open_connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Takes it out again."""
        self._open_connections.discard(self)
        super().connection_lost(error)

    def cut(self) -> None:
        """Ends the connection at once. Harmless where it is gone."""
        if self.transport is not None:
            cast(asyncio.WriteTransport, self.transport).abort()

    @property
    def dialogue(self) -> asyncio.Task[None] | None:
        """The task that talks to the client."""
        return self._handler_coroutine


class _TurnedAway(asyncio.Protocol):
    """The answer to a connection above the bound (RFC 5321 3.8)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writing = cast(asyncio.WriteTransport, transport)  # no loop but asyncio's own promises this class
        writing.write(b"421 4.3.2 Too many connections, try again later\r\n")
        writing.close()


class SmtpServer:
    """Serves one port with `handler` (aiosmtpd's hooks), at most `connections_max` connections at once.

    `options` are those of aiosmtpd's SMTP class: size and time bounds, authentication.
    """

    def __init__(
        self, handler: Any, *, connections_max: int, protocol: type[TrackedSmtp] = TrackedSmtp, **options: Any
    ) -> None:
        self._handler = handler
        self._connections_max = connections_max
        self._protocol = protocol
        self._options = options
        self._open: set[TrackedSmtp] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listens, with TLS from the first byte if `tls` is given; gives the port (0: a free one). Raises OSError."""
        loop = asyncio.get_running_loop()
        # In two steps: cancelled in the second, which lets the loop turn, `create_server` would leave a port open that
        # nobody can close.
        self._server = await loop.create_server(self._accept, host, port, ssl=tls, start_serving=False)
        try:
            await self._server.start_serving()
        except BaseException:
            self.stop_listening()
            raise
        return int(self._server.sockets[0].getsockname()[1])

    def stop_listening(self) -> None:
        """Takes no new connections; those that are open go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def stop(self) -> None:
        """Stops listening and closes every connection, within STOP_S."""
        self.stop_listening()
        connections = list(self._open)
        for connection in connections:
            if connection.transport is not None:
                connection.transport.close()
        dialogues = [task for connection in connections if (task := connection.dialogue) is not None]
        if not dialogues:
            return
        await asyncio.wait(dialogues, timeout=STOP_S)
        for connection in list(self._open):
            connection.cut()
        await asyncio.wait(dialogues, timeout=STOP_S)

    def _accept(self) -> asyncio.Protocol:
        if len(self._open) >= self._connections_max:
            return _TurnedAway()
        loop = asyncio.get_running_loop()
        return self._protocol(self._handler, open_connections=self._open, loop=loop, **self._options)
