"""SIP over connections (RFC 3261, 18.3): a stream of bytes cut into messages by their Content-Length. Nothing is parsed."""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD_BYTES_MAX = 32 * 1024
"""A head without its end beyond this is none."""

_LENGTH = re.compile(rb"\n(?:content-length|l)[ \t]*:(?:[ \t]|\r\n[ \t])*([0-9]{1,9})[ \t]*(?=\r?\n)", re.IGNORECASE)
_FILL = re.compile(rb"[\0\n]+")
"""With these some keep their way open. Nothing is copied to find their end: there may be as many ends as bytes."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Two line ends: the other side asks for one back (RFC 5626, 4.4.1)."""


_PING = Ping()


@dataclass(frozen=True, slots=True)
class FramingError:
    """Where one message ends is not known any more: the connection is of no use."""

    reason: str


class StreamFramer:
    """Cuts one connection's bytes into messages. After a FramingError it takes nothing more. What was looked at is not looked at
    again, however small the pieces are."""

    def __init__(self, message_max: int) -> None:
        self._message_max = message_max
        self._buffer = bytearray()
        self._broken = False
        self._begin()

    def _begin(self) -> None:
        """The next message."""
        self._seen = 0
        self._head = b""
        self._size = 0
        self._may_be_bare = True

    @property
    def pending(self) -> bool:
        """Whether a message has begun that is not whole. Line ends between messages are none."""
        return self._seen > 0 and not self._broken

    def receive(self, data: bytes) -> list[bytes | Ping | FramingError]:
        """The messages that are whole now."""
        if self._broken:
            return []
        self._buffer += data
        found: list[bytes | Ping | FramingError] = []
        while (one := self._next()) is not None:
            found.append(one)
            if isinstance(one, FramingError):
                self._broken = True
                self._buffer.clear()
                break
        return found

    def _next(self) -> bytes | Ping | FramingError | None:
        buffer = self._buffer
        if not self._seen:
            between = self._between()
            if between is not None or not buffer or buffer.startswith(b"\r"):
                return between
        if not self._head:
            head = self._take_head()
            if not isinstance(head, bytes):
                return head
            self._head = head
            lengths = {int(found) for found in _LENGTH.findall(head)}
            if len(lengths) != 1:  # RFC 3261, 20.14: it must be there on a stream
                return FramingError("Content-Length is missing, or there are two")
            self._size = len(head) + lengths.pop()
        if self._size > self._message_max:
            return FramingError(f"a message of more than {self._message_max} bytes")
        rest = self._size - len(self._head)
        if len(buffer) < rest:
            return None
        message = self._head + buffer[:rest]
        del buffer[:rest]
        self._begin()
        return message

    def _between(self) -> Ping | FramingError | None:
        """What may stand between two messages."""
        buffer = self._buffer
        while True:
            fill = _FILL.match(buffer)
            if fill is not None:
                end, fill = fill.end(), None  # a buffer that is looked at cannot be shortened
                del buffer[:end]
            if buffer.startswith(b"\r\n\r\n"):
                del buffer[:4]
                return _PING
            if buffer.startswith(b"\r\n") and len(buffer) > 2 and buffer[2:3] != b"\r":
                del buffer[:2]  # a pong, or a line end between messages (RFC 3261, 7.5)
                continue
            ends = bytes(buffer[:4]) in (b"\r", b"\r\n", b"\r\n\r")
            return FramingError("a line end that is none") if buffer.startswith(b"\r") and not ends else None

    def _take_head(self) -> bytes | FramingError | None:
        """The head of the message, with its empty line, taken out of the buffer; None where that has not come."""
        buffer, seen = self._buffer, self._seen
        bare = self._take_bare_head(seen)
        if bare is not None:
            return bare
        end = buffer.find(b"\r\n\r\n", max(0, seen - 3))
        self._seen = len(buffer)
        if end >= 0:
            head = bytes(buffer[: end + 4])
            del buffer[: end + 4]
            return head
        return FramingError("a head that does not end") if len(buffer) > HEAD_BYTES_MAX else None

    def _take_bare_head(self, seen: int) -> bytes | None:
        """A head without any carriage return is of somebody who ends all lines with line feeds. In another head it ends nothing:
        whoever passes messages on writes line ends as they should be, and what is hidden in a line stays hidden. Its line ends are
        mended beside the buffer: within it, all that is behind would be moved for each of thousands of messages."""
        buffer = self._buffer
        if not self._may_be_bare:
            return None
        returns = buffer.find(b"\r", seen, HEAD_BYTES_MAX)  # no further: thousands of messages may be behind this one
        end = buffer.find(b"\n\n", max(0, seen - 1), returns if returns >= 0 else HEAD_BYTES_MAX)
        if end >= 0:
            head = buffer[:end].replace(b"\n", b"\r\n") + b"\r\n\r\n"
            del buffer[: end + 2]
            self._seen = len(head)
            return bytes(head)
        if returns >= 0:
            self._may_be_bare = False
        return None
