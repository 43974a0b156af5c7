"""SIP messages (RFC 3261, 7): read with goodwill, without ever raising on what the network sends, and written. No meaning is given
to them. What is read with goodwill, and what is not, is listed in docs/reference/goodwill.md."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ivr.sip.headers import CSeq, Headers, NameAddr, Via, known_method, parse_cseq, parse_party, parse_via
from ivr.sip.uri import without_blanks

VERSION = "SIP/2.0"
MESSAGE_BYTES_MAX = 65_535
"""What a UDP datagram can carry (RFC 3261, 18.1.1)."""
HEADER_LINES_MAX = 256
"""A message through a dozen proxies has fewer than a hundred; more is work that somebody wants us to do."""
HEAD_BYTES_MAX = 32 * 1024
"""Of a datagram's head, as of a stream's (`framing`): work that strangers may have done before anybody knows who they are."""
FIELD_CHARS_MAX = 8_192
"""Of one field, folded ones included; a certificate's signature (RFC 8224) takes one or two thousand."""
START_LINE_CHARS_MAX = 4_096
"""Request-URIs end well below this."""
NEEDED_ONCE = ("from", "to", "call-id", "cseq")
"""Fields that name the dialog and the transaction: which of two that differ would count is for an attacker to choose (RFC 3261,
7.3.1). Others that come twice and should not are read by their first: nothing hangs on them."""
GIVEN_BACK = ("From", "To", "Call-ID", "CSeq")
"""What a response repeats of its request, beside the Via (RFC 3261, 8.2.6.2); of one that is broken as far as it is there."""
FLAWS_MAX = 4
"""Told of one message: whoever mends the other side needs an example, not a list."""

_REQUEST_LINE = re.compile(r"([A-Za-z0-9\-.!%*_+`'~]+)[ \t]+(\S(?:.*\S)?)[ \t]+(SIP/[0-9.]+)\s*", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/2\.0[ \t]+([1-9][0-9]{2})(?:[ \t]+(.*))?", re.IGNORECASE)
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
    """What requests and responses share. `via` and `cseq` can be read in every message that `parse` gives. Of From and To only the
    tag is needed (RFC 3261, 12): whatever else stands there, they can be read."""

    headers: Headers

    @property
    def via(self) -> Via:
        """The top Via."""
        via = self.top_via
        assert via is not None
        return via

    @property
    def top_via(self) -> Via | None:
        """The top Via; None where it cannot be read, which only a message that is answered as broken has."""
        return parse_via(next(iter(self.headers.elements("Via")), ""))

    @property
    def from_(self) -> NameAddr:
        """Who sent the request."""
        return parse_party(self.headers.get("From") or "")

    @property
    def to(self) -> NameAddr:
        """Whom it is for."""
        return parse_party(self.headers.get("To") or "")

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Request(_Message):
    """A request. `uri` is as written, but for brackets and blanks; `flaws` says what was read with goodwill."""

    method: str
    uri: str
    headers: Headers
    body: bytes = b""
    flaws: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Response(_Message):
    """A response; `flaws` says what was read with goodwill."""

    status: int
    reason: str
    headers: Headers
    body: bytes = b""
    flaws: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Malformed:
    """No message that anything can be done with. `request` is set where an answer (with `status`) reaches its sender: there is a
    Via to be given back. The rest may be missing (RFC 3261, 8.2.6; RFC 4475, 3.3.1); silence would only have it sent again."""

    reason: str
    status: int = 400
    request: Request | None = None


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Line ends alone: somebody keeps a way through a NAT open (RFC 5626, 3.5.1)."""


def parse(data: bytes, *, framed: bool = False) -> Request | Response | Malformed | KeepAlive:
    """What one datagram, or one message of a stream (`framed`), says. Never raises; takes time in proportion to its size.

    What is not needed may be broken (RFC 3261, 8.2.2): such a line is left out. Where one message of a stream ends is another
    matter: over a connection that calls share, a message that is read longer or shorter than its sender meant smuggles another one
    in. So there the lengths have to be right (18.3).
    """
    if len(data) > MESSAGE_BYTES_MAX:
        return Malformed(reason=f"more than {MESSAGE_BYTES_MAX} bytes", status=513)
    data = data.lstrip(b"\r\n")
    if not data.strip(b"\r\n\t \0"):  # some keep their NAT open with NULs
        return KeepAlive()
    head, rest = _framed(data) if framed else split(data)
    if len(head) > HEAD_BYTES_MAX:
        return Malformed(reason=f"a head of more than {HEAD_BYTES_MAX} bytes", status=513)
    start, *lines = head.decode("utf-8", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    pairs, flaws = fields(lines[:HEADER_LINES_MAX])
    headers = Headers(pairs)
    if len(start) > START_LINE_CHARS_MAX:
        method = start.partition(" ")[0]
        return _broken("the start line is too long", method if _NAME.fullmatch(method) else "", headers, status=414)
    status = _STATUS_LINE.fullmatch(start.rstrip())
    line = None if status is not None else _REQUEST_LINE.fullmatch(start)
    if status is None and line is None:
        return Malformed(reason="the start line is none of SIP's")
    method = "" if line is None else known_method(line[1])
    if len(lines) > HEADER_LINES_MAX:
        return _broken(f"more than {HEADER_LINES_MAX} header lines", method, headers)
    if line is not None and line[3].upper() != VERSION:
        return _broken("another version of SIP", method, headers, status=505)
    wrong = _wrong(headers, method)
    body = _body(headers, rest, flaws, framed=framed)
    if wrong or body is None:
        return _broken(wrong or "Content-Length is wrong", method, headers)
    told = tuple(flaws[:FLAWS_MAX])
    if line is None:
        assert status is not None
        return Response(status=int(status[1]), reason=(status[2] or "").strip(), headers=headers, body=body, flaws=told)
    # RFC 4475, 3.1.2.7 and 3.1.2.8: brackets around the Request-URI and blanks within it mislead nobody who is its last reader
    return Request(method=method, uri=without_blanks(line[2].strip("<> \t")), headers=headers, body=body, flaws=told)


def _broken(reason: str, method: str, headers: Headers, *, status: int = 400) -> Malformed:
    """A message that nothing can be done with; `method` "" is a response, which is never answered."""
    answerable = bool(method) and "Via" in headers
    return Malformed(
        reason=reason, status=status, request=Request(method=method, uri="", headers=headers) if answerable else None
    )


def _framed(data: bytes) -> tuple[bytes, bytes]:
    """The head and the body of a message that was cut from a stream: at the empty line that the framing knows."""
    head, _, body = data.partition(b"\r\n\r\n")
    return head.rstrip(b"\r\n"), body


def split(data: bytes) -> tuple[bytes, bytes]:
    """The head and what follows the empty line; some peers end lines with a line feed alone."""
    ends = [(at, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (at := data.find(mark)) >= 0]
    if not ends:
        return data.rstrip(b"\r\n"), b""
    at, length = min(ends)
    return data[:at], data[at + length :]


def fields(lines: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The header fields of these lines, and what was left out of them: a line that is no header field says nothing that anybody
    needs, nor does what is folded behind it (RFC 3261, 7.3.1)."""
    pairs, flaws, kept = list[tuple[str, str]](), list[str](), False
    for n, line in enumerate(lines, 2):
        if line[:1] in (" ", "\t"):
            if kept:
                name, value = pairs[-1]
                pairs[-1] = (name, f"{value} {line.strip()}".strip()[:FIELD_CHARS_MAX])
            elif line.strip():
                flaws.append(f"line {n} is folded behind nothing")
            continue
        name, colon, value = line.partition(":")
        name = name.rstrip()
        kept = bool(colon) and _NAME.fullmatch(name) is not None
        if kept and len(value) > FIELD_CHARS_MAX:
            kept = False
            flaws.append(f"line {n} is longer than {FIELD_CHARS_MAX} characters: {_beginning(line)}")
        elif kept:
            pairs.append((name, value.strip()))
        else:
            flaws.append(f"line {n} is no header field: {_beginning(line)}")
    return pairs, flaws


def _beginning(line: str) -> str:
    """How the line begins, printable: the name of a field, not what it says."""
    return ascii(re.split(r"[:\s=]", line, maxsplit=1)[0][:24])


def _wrong(headers: Headers, method: str) -> str:
    """What is missing or broken among the fields that are needed; "" where all is right. An answer is known by its branch and its
    CSeq (RFC 3261, 17.1.3) and makes a dialog by the tag of its To; From and Call-ID are only our own words given back."""
    once = NEEDED_ONCE if method else ("to", "cseq")
    for name in once:
        values = headers.all(name)
        if len(set(values)) > 1 and (method or name != "to"):  # an answer is known without its To: the first one counts
            return f"several {name} that differ"
    if parse_via(next(iter(headers.elements("Via")), "")) is None:
        return "no Via that can be read"
    for name in once:
        if not (headers.get(name) or "").strip():
            return f"no {name}"
    cseq = parse_cseq(headers.get("CSeq") or "")
    if cseq is None:
        return "no CSeq that can be read"
    return "CSeq names another method" if method and cseq.method != method else ""


def _body(headers: Headers, rest: bytes, flaws: list[str], *, framed: bool) -> bytes | None:
    """The body; None where its length is wrong on a stream. A datagram ends where it ends, so a length that cannot be right counts
    for nothing there: one that says more than there is (against RFC 3261, 18.3: what counts lines ends wrong, or changes addresses
    on the way, changes no length), no number, several that differ, and one that cuts the body in the midst of a line."""
    written = set(headers.all("Content-Length"))
    number = next(iter(written), "")
    length = int(number) if number.isascii() and number.isdigit() and len(number) <= 9 else None
    if framed:
        return rest if len(written) < 2 and (length == len(rest) or not written) else None
    if not written or (len(written) == 1 and length == len(rest)):
        return rest
    if len(written) > 1 or length is None or length > len(rest):
        flaws.append("Content-Length is not the length of the body")
        return rest
    cut, after = rest[:length], rest[length:]
    if (not cut and "Content-Type" not in headers) or cut.endswith(b"\n") or after[:1] in (b"\r", b"\n"):
        return cut
    if cut and after.strip(b"\r\n\0 \t") == b"":
        return cut
    flaws.append("Content-Length is less than the body")
    return rest


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
    if to and to_tag and request.to.tag is None:
        to = f"{to};tag={to_tag}"
    given_back = ((name, to if name == "To" else request.headers.get(name)) for name in GIVEN_BACK)
    copied += [(name, value) for name, value in given_back if value]
    return Response(
        status=status, reason=reason or REASONS.get(status, ""), headers=Headers([*copied, *headers]), body=body
    )
