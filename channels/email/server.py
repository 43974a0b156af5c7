"""An SMTP server on the running loop over aiosmtpd, bounded and stoppable. What becomes of a mail is said elsewhere."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass, field
from typing import Any, AnyStr, cast

from aiosmtpd.smtp import SMTP, Envelope

from channels.door import Door, say_goodbye
from channels.guests import Guests, Refusal

# aiosmtpd writes every line of every mail to this logger at DEBUG, every command at INFO and every unknown one at WARNING: texts
# and addresses, and as many lines as a stranger likes.
logging.getLogger("mail.log").setLevel(logging.ERROR)

STOP_S = 2.0
"""How long `stop` waits for connections to end by themselves after they were closed; then they are cut."""
COMMANDS_MAX = 1000
"""Times one connection may give the same command: senders re-use connections, but none needs so many."""
ERRORS_MAX = 50
"""Refusals of the 500s in one connection: postfix itself sends away after 20 errors (`smtpd_hard_error_limit`)."""
ROOM_BYTES = 128 * 1024 * 1024
"""Of all mails on their way at once."""
_END = b".\r\n"
"""A mail ends with a dot alone in a line (RFC 5321 4.1.1.4)."""


class TrackedSmtp(SMTP):
    """A server-side connection that its server knows of, from the first octet to the end. What it may take is bounded."""

    def __init__(
        self, handler: Any, *, open_connections: set[TrackedSmtp], bounds: Bounds, guests: Guests, **options: Any
    ) -> None:
        super().__init__(handler, command_call_limit=COMMANDS_MAX, data_size_limit=bounds.mail_bytes_max, **options)
        self._open_connections = open_connections
        self._bounds = bounds
        self._guests = guests
        self._errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Enters the connection in its server's set."""
        self._open_connections.add(self)
        super().connection_made(transport)
        if self.dialogue is not None:
            self.dialogue.add_done_callback(_seen)

    def connection_lost(self, error: Exception | None) -> None:
        """Takes it out again."""
        self._open_connections.discard(self)
        self._guests.leave(self)
        super().connection_lost(error)

    def cut(self) -> None:
        """Ends the connection at once. Harmless where it is gone."""
        if self.transport is not None:
            cast(asyncio.WriteTransport, self.transport).abort()

    @property
    def dialogue(self) -> asyncio.Task[None] | None:
        """The task that talks to the client."""
        return self._handler_coroutine

    async def push(self, status: AnyStr) -> None:
        """Sends a reply. Whoever only makes mistakes is told so, and sent away."""
        await super().push(status)
        refused = status[:1] in ("5", b"5")
        self._errors += refused
        if refused and self._errors == ERRORS_MAX:
            self._end("421 4.7.0 Too many errors", Refusal.TOO_MUCH_WORK)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        """DATA as in RFC 5321 4.1.1.4. aiosmtpd's own reads a list of lines: sixty octets of memory for an empty one. Of this
        mail no more is held than is kept, and lines may be of any length."""
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        envelope = self.envelope
        assert envelope is not None
        if not envelope.rcpt_tos:
            await self.push("503 5.5.1 Need RCPT first")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        bounds = self._bounds
        mail = _Mail(bounds)
        try:
            while not mail.ended:
                try:
                    mail.take(await self._reader.readuntil(_END))
                except asyncio.LimitOverrunError as more:
                    mail.take(await self._reader.read(more.consumed))
            refusal = mail.refusal
            if refusal:
                self._guests.refused(self._peer, Refusal.TOO_LARGE, self.loop.time())
                self.envelope = Envelope()
                await self.push(refusal)
                return
            envelope.content = envelope.original_content = mail.content()
            status = await self.event_handler.handle_DATA(self, self.session, envelope)
        finally:
            mail.forget()
        self.envelope = Envelope()
        await self.push(status)

    def _timeout_cb(self) -> None:
        """Silence, or a mail that takes too long (RFC 5321 4.5.3.2.7)."""
        self._end("421 4.4.2 Too slow, try again later", Refusal.TOO_SLOW)

    def _end(self, reply: str, refusal: Refusal) -> None:
        """A last word, and the end; one that is not listened to waits for nobody."""
        if self.transport is None:
            return
        self._guests.refused(self._peer, refusal, self.loop.time())
        say_goodbye(cast(asyncio.WriteTransport, self.transport), reply, self.loop)

    @property
    def _peer(self) -> str:
        peer = None if self.session is None else self.session.peer
        return str(peer[0]) if peer else ""


def _seen(dialogue: asyncio.Task[None]) -> None:
    """A connection that is reset ends its dialogue with an error that nobody waits for: it is no news."""
    if not dialogue.cancelled():
        dialogue.exception()


class Room:
    """Memory for mails on their way."""

    def __init__(self) -> None:
        self.left = ROOM_BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How large a mail may be: `mail_bytes_max` as it is sent, of which the first `kept_bytes_max` are kept; `room` is shared by all
    mails that are on their way."""

    mail_bytes_max: int
    kept_bytes_max: int
    room: Room = field(default_factory=Room)


class _Mail:
    """One mail as it comes in, in pieces that end at a dot before a line end, or anywhere."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._kept = bytearray()
        self._length = 0
        self._tail = b"\r\n"  # that of the DATA command: a mail may be empty
        self._crowded = False
        self.ended = False

    def take(self, piece: bytes) -> None:
        """The next octets."""
        self._length += len(piece)
        self._tail = (self._tail + piece[-5:])[-5:]
        self.ended = self._tail == b"\r\n.\r\n"
        bounds = self._bounds
        if self._length > bounds.mail_bytes_max:
            self.forget()
        elif len(self._kept) < bounds.kept_bytes_max and not self._crowded:
            self._crowded = bounds.room.left < len(piece)
            if self._crowded:
                self.forget()
            else:
                self._kept += piece
                bounds.room.left -= len(piece)

    def forget(self) -> None:
        """Gives back the room."""
        self._bounds.room.left += len(self._kept)
        self._kept = bytearray()

    @property
    def refusal(self) -> str:
        """The reply to a mail that is not taken; "" where it is."""
        if self._length > self._bounds.mail_bytes_max:
            return "552 5.3.4 The message is too large"
        return "452 4.3.1 No room now, try again later" if self._crowded else ""

    def content(self) -> bytes:
        """What was kept, without the dots that hide dots (RFC 5321 4.5.2)."""
        whole = len(self._kept) == self._length
        lines = bytes(self._kept[: -len(_END)] if whole else self._kept)
        return (b"\r\n" + lines).replace(b"\r\n.", b"\r\n")[2:]


_TURNED_AWAY = {
    Refusal.STRANGER: "554 5.7.1 Not from this address",
    Refusal.TOO_MANY: "421 4.3.2 Too many connections, try again later",
    Refusal.TOO_MANY_OF_ONE: "421 4.7.0 Too many connections from this address, try again later",
}


class SmtpServer:
    """Serves one port with `handler` (aiosmtpd's hooks) for its guests.

    `options` are those of aiosmtpd's SMTP class: time bounds, authentication.
    """

    def __init__(
        self, handler: Any, *, guests: Guests, bounds: Bounds, protocol: type[TrackedSmtp] = TrackedSmtp, **options: Any
    ) -> None:
        self._handler = handler
        self._guests = guests
        self._bounds = bounds
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
        return Door(self._guests, self._made, _TURNED_AWAY)

    def _made(self) -> TrackedSmtp:
        loop = asyncio.get_running_loop()
        return self._protocol(
            self._handler,
            open_connections=self._open,
            bounds=self._bounds,
            guests=self._guests,
            loop=loop,
            **self._options,
        )
