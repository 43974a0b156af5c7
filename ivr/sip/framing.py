"""SIP over connections (RFC 3261, 18.3): a stream of bytes cut into messages by their Content-Length. Nothing is parsed."""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD_BYTES_MAX = 32 * 1024
"""A head without its end beyond this is none."""

_LENGTH = re.compile(rb"\n(?:content-length|l)[ \t]*:(?:[ \t]|\r\n[ \t])*([0-9]{1,9})[ \t]*(?=\r?\n)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ping:
    """Two line ends: the other side asks for one back (RFC 5626, 4.4.1)."""


@dataclass(frozen=True, slots=True)
class FramingError:
    """Where one message ends is not known any more: the connection is of no use."""

    reason: str


class StreamFramer:
    """Cuts one connection's bytes into messages. After a FramingError it takes nothing more."""

    def __init__(self, message_max: int) -> None:
        self._message_max = message_max
        self._buffer = bytearray()
        self._broken = False

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
        while buffer.startswith((b"\0", b"\n")):  # some keep their way open with these
            del buffer[:1]
        if buffer.startswith(b"\r\n\r\n"):
            del buffer[:4]
            return Ping()
        if buffer.startswith(b"\r\n") and len(buffer) > 2 and buffer[2:3] != b"\r":
            del buffer[:2]  # a pong, or a line end between messages (RFC 3261, 7.5)
            return self._next()
        if not buffer or bytes(buffer) in (b"\r", b"\r\n", b"\r\n\r"):
            return None
        if buffer.startswith(b"\r"):
            return FramingError("a line end that is none")
        self._mend_line_ends()
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return FramingError("a head that does not end") if len(buffer) > HEAD_BYTES_MAX else None
        head = bytes(buffer[: end + 4])
        lengths = {int(found) for found in _LENGTH.findall(head)}
        if len(lengths) != 1:  # RFC 3261, 20.14: it must be there on a stream
            return FramingError("Content-Length is missing, or there are two")
        size = end + 4 + lengths.pop()
        if size > self._message_max:
            return FramingError(f"a message of more than {self._message_max} bytes")
        if len(buffer) < size:
            return None
        message = bytes(buffer[:size])
        del buffer[:size]
        return message

    def _mend_line_ends(self) -> None:
        """A head without any carriage return is of somebody who ends all lines with line feeds. In another head it ends nothing:
        whoever passes messages on writes line ends as they should be, and what is hidden in a line stays hidden."""
        head, empty_line, rest = self._buffer.partition(b"\n\n")
        if empty_line and b"\r" not in head:
            self._buffer[:] = head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + rest
