"""SIP header fields (RFC 3261, 7.3 and 20): the ordered list of a message, and those whose inside matters, one type each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ivr.sip.uri import (
    parse_host_port,
    parse_params,
    quoted,
    split_outside_quotes,
    unquoted,
    without_blanks,
    written_params,
)

COMPACT = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
}
"""Compact forms (RFC 3261, 7.3.3; the IANA registry of header fields)."""

CSEQ_MAX = 2**31 - 1
"""RFC 3261, 8.1.1.5."""

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_VIA = re.compile(r"SIP\s*/\s*2\.0\s*/\s*([A-Za-z0-9\-.!%*_+`'~]+)\s+(.+)", re.IGNORECASE | re.DOTALL)
_CSEQ = re.compile(r"\s*0*([0-9]{1,10})\s+([A-Za-z0-9\-.!%*_+`'~]+)(?:\s.*)?", re.DOTALL)
_BRACKETED = re.compile(r"<\s*([A-Za-z][A-Za-z0-9+.\-]{0,31}:[^<>]*)>")
_BARE = re.compile(r"(?:sips?|tel):[^;<>]*", re.IGNORECASE)
_TAG = re.compile(r";\s*tag\s*=\s*([^\s;,<>\"=]+)", re.IGNORECASE)
ANONYMOUS = "sip:anonymous@anonymous.invalid"
"""Who calls where nobody can be read (RFC 3323, 4.1.1.3)."""
_METHODS = frozenset(
    ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "PRACK", "UPDATE", "REGISTER", "SUBSCRIBE", "NOTIFY", "MESSAGE",
     "REFER", "PUBLISH")
)  # fmt: skip


class Headers:
    """The header fields of a message, in order. Immutable: what changes it gives another one. Names are compared without
    case, and compact names stand for their long ones."""

    __slots__ = ("_index", "_pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs: tuple[tuple[str, str], ...] = tuple(
            (COMPACT.get(name.lower(), name) if len(name) == 1 else name, value) for name, value in pairs
        )
        index: dict[str, list[str]] = {}
        for name, value in self._pairs:
            index.setdefault(name.lower(), []).append(value)
        self._index = index

    def get(self, name: str) -> str | None:
        """The value of the first field of this name."""
        found = self._index.get(name.lower())
        return found[0] if found else None

    def all(self, name: str) -> tuple[str, ...]:
        """The values of all fields of this name, one a line."""
        return tuple(self._index.get(name.lower(), ()))

    def elements(self, name: str) -> tuple[str, ...]:
        """The elements of a list header, over all its lines (RFC 3261, 7.3.1)."""
        found = []
        for value in self._index.get(name.lower(), ()):
            found += [part.strip() for part in split_outside_quotes(value, ",")]
        return tuple(part for part in found if part)

    def set(self, name: str, value: str) -> Headers:
        """With this field instead of all of its name, at the place of the first."""
        pairs, done = [], False
        for old, old_value in self._pairs:
            if old.lower() != name.lower():
                pairs.append((old, old_value))
            elif not done:
                pairs.append((name, value))
                done = True
        if not done:
            pairs.append((name, value))
        return Headers(pairs)

    def added(self, name: str, value: str) -> Headers:
        """With one more field at the end."""
        return Headers((*self._pairs, (name, value)))

    def prepended(self, name: str, value: str) -> Headers:
        """With one more field at the front."""
        return Headers(((name, value), *self._pairs))

    def without(self, name: str) -> Headers:
        """Without the fields of this name."""
        return Headers(pair for pair in self._pairs if pair[0].lower() != name.lower())

    @property
    def content_type(self) -> str:
        """The media type of the body, in lower case and without parameters; "" where none is given."""
        return (self.get("Content-Type") or "").partition(";")[0].strip().lower()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._index

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._pairs == other._pairs

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        return f"Headers({list(self._pairs)!r})"


@dataclass(frozen=True, slots=True)
class Via:
    """One hop of a message's way (RFC 3261, 20.42)."""

    transport: str
    host: str
    port: int | None
    params: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def branch(self) -> str | None:
        """The transaction's name, without a comment that RFC 2543 allowed behind it."""
        branch = self.params.get("branch")
        return branch.split()[0] if branch else branch

    @property
    def received(self) -> str | None:
        """Where the request really came from."""
        return self.params.get("received")

    @property
    def rport(self) -> int | None:
        """The port it really came from (RFC 3581); None where none is given."""
        value = self.params.get("rport")
        return int(value) if value is not None and value.isascii() and value.isdigit() and len(value) <= 5 else None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {host}{port}{written_params(self.params)}"


def parse_via(text: str) -> Via | None:
    """One Via value; None where it is broken. Answers are known by the branch, and go where the request came from: a host or a port
    that cannot be read goes back as it was written."""
    found = _VIA.fullmatch(text.strip())
    if found is None:
        return None
    sent_by, _, rest = found[2].partition(";")
    place = parse_host_port(sent_by)
    params = parse_params(rest)
    if place is None:
        place = (sent_by.strip(), None) if params and params.get("branch") else None
    if place is None or params is None:
        return None
    return Via(found[1].upper(), place[0], place[1], params)


@dataclass(frozen=True, slots=True)
class NameAddr:
    """An address with a name and parameters (RFC 3261, 20.10). `uri` is as written: it may be of any scheme."""

    display: str
    uri: str
    params: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def tag(self) -> str | None:
        """The tag of a From or To; None where there is none, or an empty one."""
        return self.params.get("tag") or None

    def __str__(self) -> str:
        display = f"{quoted(self.display)} " if self.display else ""
        return f"{display}<{self.uri}>{written_params(self.params)}"


def parse_party(text: str) -> NameAddr:
    """A From or To, of which only the tag is needed (RFC 3261, 12 and 8.2.6.2): where no address can be read it is nobody's."""
    address = parse_name_addr(text)
    tag = _TAG.search(text.rpartition(">")[2]) or _TAG.search(text.rstrip(">").rpartition(">")[2])
    if address is None:
        return NameAddr("", ANONYMOUS, {} if tag is None else {"tag": tag[1]})
    written = address.tag
    if written is not None and tag is not None and written.startswith(tag[1]) and written != tag[1]:
        return NameAddr(address.display, address.uri, {**address.params, "tag": tag[1]})  # with something behind it
    return address


def parse_name_addr(text: str) -> NameAddr | None:
    """The address; None where there is none. Without brackets, parameters belong to the header (RFC 3261, 20). What no grammar
    allows is read as its sender meant it: quotes within a display name, blanks within the URI, a bracket that is not closed."""
    text = text.strip()
    return _name_addr(text) or _meant_name_addr(text)


def _name_addr(text: str) -> NameAddr | None:
    """The address by the grammar (RFC 3261, 25.1)."""
    display = ""
    if text.startswith('"'):
        end = _end_of_quoted(text)
        if end is None:
            return None
        display, text = unquoted(text[:end]), text[end:].lstrip()
        if not text.startswith("<"):
            return None
    opening = text.find("<")
    if opening >= 0:
        closing = text.find(">", opening)
        if closing < 0:
            return None
        display = display or text[:opening].strip()
        uri, rest = text[opening + 1 : closing].strip(), text[closing + 1 :].strip()
        if rest and not rest.startswith(";"):
            return None
        rest = rest[1:]
    else:
        uri, _, rest = text.partition(";")
        uri = uri.strip()
    params = parse_params(rest)
    if params is None or ":" not in uri or any(character.isspace() or character in "<>" for character in uri):
        return None
    return NameAddr(display, uri, params)


def _meant_name_addr(text: str) -> NameAddr | None:
    """The address where it keeps to no grammar: the last one in brackets is it, else whatever begins like one."""
    display, uri, rest = "", "", ""
    for found in _BRACKETED.finditer(text):
        display, uri, rest = text[: found.start()], found[1], text[found.end() :]
    if not uri:
        bare = _BARE.search(text)
        if bare is None:
            return None
        display, uri, rest = text[: bare.start()], bare[0], text[bare.end() :]
    params = parse_params(rest.partition(";")[2])
    uri = without_blanks(uri.strip().strip('"'))
    if params is None or ":" not in uri:
        return None
    return NameAddr(display.strip("\"'< \t").replace('\\"', '"'), uri, params)


def _end_of_quoted(text: str) -> int | None:
    """The place after the quoted string at the start."""
    skip = False
    for n, character in enumerate(text[1:], 1):
        if skip:
            skip = False
        elif character == "\\":
            skip = True
        elif character == '"':
            return n + 1
    return None


@dataclass(frozen=True, slots=True)
class CSeq:
    """A request's number within its Call-ID and direction (RFC 3261, 20.16)."""

    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_cseq(text: str) -> CSeq | None:
    """The number and the method; None where it is broken or too large. What is folded behind them by mistake is none of theirs."""
    found = _CSEQ.fullmatch(text)
    if found is None or int(found[1]) > CSEQ_MAX:
        return None
    return CSeq(int(found[1]), known_method(found[2]))


def known_method(name: str) -> str:
    """The method. Case counts (RFC 3261, 7.1), but nobody has made one that differs from another in nothing else."""
    return name.upper() if name.upper() in _METHODS else name


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a request was sent or refused (RFC 3326)."""

    protocol: str
    cause: int | None
    text: str = ""

    def __str__(self) -> str:
        cause = "" if self.cause is None else f";cause={self.cause}"
        text = f";text={quoted(self.text)}" if self.text else ""
        return f"{self.protocol}{cause}{text}"


def parse_reason(text: str) -> Reason | None:
    """One Reason value; None where it is broken."""
    protocol, _, rest = text.strip().partition(";")
    params = parse_params(rest)
    protocol = protocol.strip()
    if params is None or not _TOKEN.fullmatch(protocol):
        return None
    cause = params.get("cause") or ""
    number = int(cause) if cause.isascii() and cause.isdigit() and len(cause) <= 3 else None
    return Reason(protocol, number, params.get("text") or "")
