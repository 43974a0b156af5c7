"""SIP messages (RFC 3261, 7): parsed without ever raising on what the network sends, and written. No meaning is given to them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ivr.sip.headers import CSeq, Headers, NameAddr, Via, parse_cseq, parse_name_addr, parse_via

VERSION = "SIP/2.0"
MESSAGE_BYTES_MAX = 65_535
"""What a UDP datagram can carry (RFC 3261, 18.1.1)."""
HEADER_LINES_MAX = 256
"""A message through a dozen proxies has fewer than a hundred; more is work that somebody wants us to do."""
START_LINE_CHARS_MAX = 4_096
"""Request-URIs end well below this."""
SINGLE = ("call-id", "content-length", "cseq", "from", "to", "max-forwards", "content-type")
"""Fields that may come only once (RFC 3261, 7.3.1): which of two would count is for an attacker to choose."""

_REQUEST_LINE = re.compile(r"([A-Za-z0-9\-.!%*_+`'~]+) +(\S(?:.*\S)?) +(SIP/[0-9.]+) *", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/2\.0 +([1-9][0-9]{2})(?: +(.*))?", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]{1,128}")

REASONS = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
    200: "OK", 202: "Accepted", 300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily",
    305: "Use Proxy", 380: "Alternative Service", 400: "Bad Request", 401: "Unauthorized", 402: "Payment Required",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone", 413: "Request Entity Too Large",
    414: "Request-URI Too Long", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension",
    421: "Extension Required", 422: "Session Interval Too Small", 423: "Interval Too Brief",
    480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
    484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated",
    488: "Not Acceptable Here", 491: "Request Pending", 493: "Undecipherable", 500: "Server Internal Error",
    501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Server Time-out",
    505: "Version Not Supported", 513: "Message Too Large", 580: "Precondition Failure", 600: "Busy Everywhere",
    603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted", 608: "Rejected",
}  # fmt: skip
"""The phrases of RFC 3261, 21 and of the RFCs that added codes."""


class _Message:
    """What requests and responses share. The header fields named here are valid in every message that `parse` gives."""

    headers: Headers

    @property
    def via(self) -> Via:
        """The top Via."""
        via = parse_via(self.headers.elements("Via")[0])
        assert via is not None
        return via

    @property
    def from_(self) -> NameAddr:
        """Who sent the request."""
        return self._address("From")

    @property
    def to(self) -> NameAddr:
        """Whom it is for."""
        return self._address("To")

    @property
    def call_id(self) -> str:
        """The call's name."""
        return (self.headers.get("Call-ID") or "").strip()

    @property
    def cseq(self) -> CSeq:
        """The request's number and method."""
        cseq = parse_cseq(self.headers.get("CSeq") or "")
        assert cseq is not None
        return cseq

    def _address(self, name: str) -> NameAddr:
        address = parse_name_addr(self.headers.get(name) or "")
        assert address is not None
        return address


@dataclass(frozen=True, kw_only=True, slots=True)
class Request(_Message):
    """A request. `uri` is as written."""

    method: str
    uri: str
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Response(_Message):
    """A response."""

    status: int
    reason: str
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Malformed:
    """No message. `request` is set where it can be answered (with `status`): its Via, From, To, Call-ID and CSeq are whole."""

    reason: str
    status: int = 400
    request: Request | None = None


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Line ends alone: somebody keeps a way through a NAT open (RFC 5626, 3.5.1)."""


def parse(data: bytes) -> Request | Response | Malformed | KeepAlive:
    """What one datagram, or one framed message of a stream, says. Never raises; takes time in proportion to its size."""
    if len(data) > MESSAGE_BYTES_MAX:
        return Malformed(reason=f"more than {MESSAGE_BYTES_MAX} bytes", status=513)
    data = data.lstrip(b"\r\n")
    if not data:
        return KeepAlive()
    head, body = split(data)
    text = head.decode("utf-8", "surrogateescape")
    start, *lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(start) > START_LINE_CHARS_MAX or "\0" in text:
        return Malformed(reason="the start line is too long, or there is a NUL")
    pairs = fields(lines)
    if isinstance(pairs, Malformed):
        return pairs
    headers = Headers(pairs)
    status = _STATUS_LINE.fullmatch(start.rstrip())
    if status is not None:
        response = Response(status=int(status[1]), reason=(status[2] or "").strip(), headers=headers, body=body)
        wrong = _wrong(headers)
        return _with_body(response, wrong)
    return _request(start, headers, body)


def split(data: bytes) -> tuple[bytes, bytes]:
    """The head and what follows the empty line; some peers end lines with a line feed alone."""
    ends = [(at, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (at := data.find(mark)) >= 0]
    if not ends:
        return data.rstrip(b"\r\n"), b""
    at, length = min(ends)
    return data[:at], data[at + length :]


def fields(lines: list[str]) -> list[tuple[str, str]] | Malformed:
    """The header fields of these lines."""
    pairs: list[tuple[str, str]] = []
    if len(lines) > HEADER_LINES_MAX:
        return Malformed(reason=f"more than {HEADER_LINES_MAX} header lines")
    for line in lines:
        if line[:1] in (" ", "\t"):  # folded: it goes on from the line before (RFC 3261, 7.3.1)
            if not pairs:
                return Malformed(reason="a folded line without one before it")
            name, value = pairs[-1]
            pairs[-1] = (name, f"{value} {line.strip()}".strip())
            continue
        name, colon, value = line.partition(":")
        name = name.rstrip()
        if not colon or not _NAME.fullmatch(name):
            return Malformed(reason="a header line without a name")
        pairs.append((name, value.strip()))
    return pairs


def _request(start: str, headers: Headers, body: bytes) -> Request | Malformed:
    line = _REQUEST_LINE.fullmatch(start)
    if line is None:
        return Malformed(reason="the start line is none of SIP's")
    uri = line[2]
    request = Request(method=line[1], uri=uri, headers=headers, body=body)
    wrong = _wrong(headers)
    if wrong:
        return Malformed(reason=wrong)
    if line[3].upper() != VERSION:
        return Malformed(reason="another version of SIP", status=505, request=request)
    if any(character.isspace() or character in "<>" for character in uri):
        return Malformed(reason="white space or brackets in the Request-URI", request=request)
    if request.cseq.method != request.method:
        return Malformed(reason="CSeq names another method", request=request)
    checked = _with_body(request, "")
    if isinstance(checked, Malformed):
        return Malformed(reason=checked.reason, status=checked.status, request=request)
    assert isinstance(checked, Request)
    return checked


def _wrong(headers: Headers) -> str:
    """What is missing or broken among the fields that every message has; "" where all is right."""
    for name in SINGLE:
        values = headers.all(name)
        if len(values) > 1 and len(set(values)) > 1:
            return f"several {name} that differ"
    vias = headers.elements("Via")
    if not vias or parse_via(vias[0]) is None:
        return "no Via that can be read"
    for name in ("From", "To"):
        if parse_name_addr(headers.get(name) or "") is None:
            return f"no {name} that can be read"
    if not (headers.get("Call-ID") or "").strip():
        return "no Call-ID"
    if parse_cseq(headers.get("CSeq") or "") is None:
        return "no CSeq that can be read"
    return ""


def _with_body(message: Request | Response, wrong: str) -> Request | Response | Malformed:
    """The message with as much of its body as Content-Length says (RFC 3261, 18.3)."""
    if wrong:
        return Malformed(reason=wrong)
    written = message.headers.get("Content-Length")
    if written is None:
        return message
    if not (written.isascii() and written.isdigit() and len(written) <= 9):
        return Malformed(reason="Content-Length is no number")
    length = int(written)
    if length > len(message.body):
        return Malformed(reason="the body is shorter than Content-Length says")
    if length == len(message.body):
        return message
    if isinstance(message, Request):
        return Request(method=message.method, uri=message.uri, headers=message.headers, body=message.body[:length])
    return Response(status=message.status, reason=message.reason, headers=message.headers, body=message.body[:length])


def encode(message: Request | Response) -> bytes:
    """The message as it goes on the wire, with its Content-Length. Raises ValueError for a line end in a header: a fault of ours."""
    if isinstance(message, Request):
        lines = [f"{message.method} {message.uri} {VERSION}"]
    else:
        lines = [f"{VERSION} {message.status} {message.reason}"]
    lines += [f"{name}: {value}" for name, value in message.headers if name.lower() != "content-length"]
    lines.append(f"Content-Length: {len(message.body)}")
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        raise ValueError("a header field with a line end in it")
    return text.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + message.body


def response_to(
    request: Request,
    status: int,
    reason: str = "",
    *,
    to_tag: str = "",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Response:
    """The response to a request (RFC 3261, 8.2.6): its Via, From, To, Call-ID and CSeq copied, the To tagged, and the Record-Route
    where a dialog can come of it (12.1.1)."""
    copied = [("Via", value) for value in request.headers.all("Via")]
    if status > 100 and status < 300:
        copied += [("Record-Route", value) for value in request.headers.all("Record-Route")]
    to = request.headers.get("To") or ""
    if to_tag and request.to.tag is None:
        to = f"{to};tag={to_tag}"
    copied += [
        ("From", request.headers.get("From") or ""),
        ("To", to),
        ("Call-ID", request.call_id),
        ("CSeq", request.headers.get("CSeq") or ""),
    ]
    return Response(
        status=status, reason=reason or REASONS.get(status, ""), headers=Headers([*copied, *headers]), body=body
    )
