"""What stands in the body of a message (RFC 3261, 7.4; RFC 5621): the session description, whatever else comes with it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ivr.sip.headers import Headers
from ivr.sip.message import HEADER_LINES_MAX, Request, Response, fields, split
from ivr.sip.uri import parse_params

SDP_TYPE = "application/sdp"
PARTS_MAX = 16
"""Parts of one multipart that are looked at; gateways send two or three: a description, ISUP or GTD or QSIG, a location."""
DEPTH_MAX = 2
"""A multipart within a multipart: alternatives beside ISUP. Deeper ones are not looked into."""
_BEGINS_SDP = re.compile(rb"\s*v=0[ \t]*[\r\n]+o=")
"""RFC 8866, 5."""
BOUNDARY_CHARS_MAX = 70
"""RFC 2046, 5.1.1."""
_LOOKS_LIKE_BOUNDARY = re.compile(rb"(?:\A|\n)--([^\s][^\r\n]{0,69}?)[ \t]*(?=\r?\n)")


@dataclass(frozen=True, slots=True)
class _Part:
    """One part with its own header fields; a body that is no multipart is one part."""

    headers: Headers
    body: bytes

    @property
    def is_sdp(self) -> bool:
        """Whether it is a session description. A body that names no type is taken for one: nothing else is expected. So is one that
        begins like one, whatever type it names."""
        typed = self.headers.content_type in ("", SDP_TYPE)
        return bool(self.body) and (typed or _BEGINS_SDP.match(self.body) is not None)

    def handling(self) -> str:
        """`optional`, `required`, or "" where it says neither (RFC 3261, 20.11)."""
        params = parse_params((self.headers.get("Content-Disposition") or "").partition(";")[2])
        return ((params or {}).get("handling") or "").strip().lower()


def sdp_of(message: Request | Response) -> bytes | None:
    """The session description that the message brings: its body, or the first such part of a multipart. None where there is
    none. Never raises."""
    for part in _leaves(_Part(message.headers, message.body), DEPTH_MAX):
        if part.is_sdp:
            return part.body
    return None


def understood(message: Request) -> bool:
    """Whether there is nothing in the body that has to be understood and is not (RFC 3261, 8.2.3; RFC 5621, 8). A whole body
    has to be, unless it says that it is optional; a part beside others only where it says so: gateways do not always write
    `handling=optional` beside what they add, and a call without it is better than none."""
    whole = _Part(message.headers, message.body)
    if not whole.body or whole.is_sdp or whole.handling() == "optional":
        return True
    parts = list(_leaves(whole, DEPTH_MAX))
    if not whole.headers.content_type.startswith("multipart/") or not parts:
        return False
    if any(part.is_sdp for part in parts) and whole.headers.content_type == "multipart/alternative":
        return True  # one of them is enough (RFC 2046, 5.1.4)
    return not any(part.handling() == "required" and not part.is_sdp for part in parts)


def _leaves(part: _Part, depth: int) -> Iterator[_Part]:
    """The parts that are no multiparts, in order; of a multipart that cannot be read none. Kinds of multipart that are not
    known are read as mixed (RFC 2046, 5.1.7)."""
    if not part.headers.content_type.startswith("multipart/"):
        yield part
    elif depth:
        for inner in _parts(part):
            yield from _leaves(inner, depth - 1)


def _parts(part: _Part) -> list[_Part]:
    """The parts between the boundaries (RFC 2046, 5.1.1). One whose end is missing goes to the end of the body."""
    params = parse_params((part.headers.get("Content-Type") or "").partition(";")[2])
    boundary = ((params or {}).get("boundary") or "").encode("utf-8", "surrogateescape")
    line = _boundary_line(boundary)
    if not 0 < len(boundary) <= BOUNDARY_CHARS_MAX or line.search(part.body) is None:
        # none is named, or one that is not there: then the first line that looks like one is it
        seen = _LOOKS_LIKE_BOUNDARY.search(part.body)
        if seen is None:
            return [_Part(Headers(), part.body)] if _BEGINS_SDP.match(part.body) else []
        line = _boundary_line(seen[1])
    found: list[_Part] = []
    start: int | None = None
    for boundary_line in line.finditer(part.body):
        if start is not None:
            found.append(_part(part.body[start : boundary_line.start()]))
        start = None if boundary_line[1] else boundary_line.end()
        if start is None or len(found) == PARTS_MAX:
            return found
    if start is not None:
        found.append(_part(part.body[start:]))
    return found


def _boundary_line(boundary: bytes) -> re.Pattern[bytes]:
    """The line end before a boundary belongs to it, the one behind it only ends its line."""
    return re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")


def _part(data: bytes) -> _Part:
    """One part, from the line end behind its boundary. One without header fields is plain text."""
    data = data.removeprefix(b"\r").removeprefix(b"\n")
    head, body = (b"", data) if data[:1] in (b"\r", b"\n") else split(data)
    lines = head.decode("utf-8", "surrogateescape").replace("\r\n", "\n").split("\n") if head else []
    headers = Headers(fields(lines[:HEADER_LINES_MAX])[0])
    if not headers.content_type:
        headers = headers.set("Content-Type", "text/plain")
    return _Part(headers, body)
