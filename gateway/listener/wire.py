"""Between the socket and the protocol: reads in small pieces, and closes so that our last words arrive. Knows no HTTP."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, cast

from gateway.listener.bounds import READ_BYTES

_SHARED = memoryview(bytearray(READ_BYTES))
"""What was read is used up before anything else is read, so that one buffer serves all connections."""


class Reader(Protocol):
    """The protocol behind a wire."""

    def connection_made(self, transport: asyncio.Transport) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def unread(self) -> bool:
        """Whether the sender is in the middle of something, or has just been refused."""

    def closing(self) -> None:
        """We have closed: nothing more is read but to be thrown away."""


class Wire(asyncio.BufferedProtocol, asyncio.Transport):
    """The loop's protocol, and the transport of the protocol behind it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._closing = False
        self._ended = False  # the peer sends no more
        self._held = 0

    # --- from the socket ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._reader.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._reader.connection_lost(exc)
        self._reader = cast(Reader, None)  # they hold each other, and the collector would be long in coming

    def get_buffer(self, _sizehint: int) -> memoryview:
        return _SHARED

    def buffer_updated(self, nbytes: int) -> None:
        self._reader.data_received(cast(bytes, _SHARED[:nbytes]))

    def eof_received(self) -> bool | None:
        self._ended = True
        return None if self._closing else self._reader.eof_received()

    def pause_writing(self) -> None:
        self._reader.pause_writing()

    def resume_writing(self) -> None:
        self._reader.resume_writing()

    # --- to the socket ---

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not self._closing:
            self._held = len(data) + (self._held if self._transport.get_write_buffer_size() else 0)
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Says that no more comes. Where the sender is in the middle of something it may end it, into nothing: to close
        at once would have the system take back what the sender has not read yet (RFC 9112 9.6)."""
        if self._closing:
            return
        self._closing = True
        if self._reader.unread() and not self._ended and not self._transport.is_closing():
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()
        self._reader.closing()

    def close_now(self) -> None:
        """Closes; what was written still goes out."""
        self._closing = True
        self._transport.close()

    def abort(self) -> None:
        self._closing = True
        self._transport.abort()

    def unsent(self) -> int:
        """Bytes that the peer has not taken."""
        return self._transport.get_write_buffer_size()

    def held(self) -> int:
        """Bytes that are kept for what the peer has not taken: a piece is kept whole until its last byte is sent."""
        return self._held if self.unsent() else 0

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)
