"""Session descriptions (RFC 8866), read with goodwill and written, and what follows from two of them. How is another file's. Pure.

Somebody has just picked up, or rings the alarm line: that call does not end for a line that nobody needs. Needed are an audio line and
a codec in common; everything else is read as far as it can be (docs/reference/goodwill.md).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypedDict

BYTES_MAX = 16 * 1024
LINES_MAX = 500
MEDIA_MAX = 16
"""Bounds far beyond a telephone's description; what is larger is not for us."""

STATIC = {"PCMU": 0, "PCMA": 8}
"""RFC 3551, table 4."""
CLOCK = 8_000
SECURE = ("RTP/SAVP", "RTP/SAVPF")
"""Feedback by RTCP (AVPF) is offered, not demanded: without any the audio is the same (RFC 4585, 3.1)."""
_OTHERS = ("SAVP", "TLS", "TCP", "MSRP", "UDPTL")
"""What a transport that we cannot speak has in its name; any other name of an audio line is one for plain RTP, misspelt."""
_CODEC_NAMES = {
    "PCMA": "PCMA", "G711A": "PCMA", "G711ALAW": "PCMA", "ALAW": "PCMA",
    "PCMU": "PCMU", "G711U": "PCMU", "G711ULAW": "PCMU", "G711MULAW": "PCMU", "ULAW": "PCMU", "MULAW": "PCMU",
}  # fmt: skip
"""What G.711 is called, without marks between its letters."""
_KEYS_NAME = "TELEPHONE-EVENT"
SRTP_SUITES = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
"""RFC 4568, 6.2."""

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
_DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")
_LINE_END = re.compile(r"\r\n|\r|\n")
_RTPMAP = re.compile(r"([0-9]{1,3})\s+([^/\s]{1,64})\s*/\s*([0-9]{1,6})(?:\s*/.*)?")
_PORT = re.compile(r"\+?([0-9]{1,5})(?![0-9])", re.ASCII)
_PTIME = re.compile(r"([0-9]{1,4})(?:\.[0-9]{0,9})?")
_CRYPTO = re.compile(
    r"([0-9]{1,9}) +(\S+) +inline:([A-Za-z0-9+/]{40})(?:\|(?:2\^)?[0-9]++)?(?: +(?:WSH=[0-9]+|-\S+))*+", re.ASCII
)
"""One key of 30 octets, perhaps its lifetime, and parameters that change no packet (a window's size, optional ones). With any other
(RFC 4568, 6.1 and 6.3: an MKI, more keys, KDR, UNENCRYPTED_SRTP, what is mandatory and unknown) we could not open what comes: such
a line is as good as not there (5.1.2)."""
_HOST = re.compile(r"(?=.{1,253}\Z)(?=.*[A-Za-z])[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_-]{1,63})*\.?")
"""A name, not a number that is written oddly: which address that means is anybody's guess."""
FLAWS_MAX = 4
"""Told of one description."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CryptoAttribute:
    """One way to encrypt (RFC 4568): `key` is the master key and salt, in base 64."""

    tag: int
    suite: str
    key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """One m= line with what belongs to it. `names` maps payload types to NAME/clock in upper case."""

    kind: str = "audio"
    port: int
    protocol: str = "RTP/AVP"
    formats: tuple[str, ...]
    names: Mapping[int, str] = field(default_factory=dict)
    parameters: Mapping[int, str] = field(default_factory=dict)
    address: str = ""
    direction: Direction | None = None
    host: str = ""
    """The name that stands where an address should."""
    ptime_ms: int | None = None
    maxptime_ms: int | None = None
    crypto: tuple[CryptoAttribute, ...] = ()

    @property
    def secure(self) -> bool:
        """Whether it is SRTP."""
        return self.protocol.upper() in SECURE

    @property
    def plain(self) -> bool:
        """Whether it is RTP without encryption, however that is spelt."""
        return not self.secure and not any(other in self.protocol.upper() for other in _OTHERS)

    @property
    def payload_types(self) -> tuple[int, ...]:
        """The formats as numbers, in the order preferred, or by the codec's name; where none is listed, those that have a name,
        else those that need none."""
        listed = tuple(number for one in self.formats if (number := _payload_type(one)) is not None)
        named = tuple(one for one in self.names if one < 128)
        return listed or named or (() if set(self.formats) - {"*"} else tuple(STATIC.values()))

    def codec_of(self, payload_type: int) -> str | None:
        """The codec that we know by this number: PCMA or PCMU at 8 kHz. A static number means what it means, whatever its name
        (RFC 3551, 6), unless that is one of ours too."""
        name, _, clock = self.names.get(payload_type, "").partition("/")
        static = next((codec for codec, number in STATIC.items() if number == payload_type), None)
        named = _codec_named(name)
        if named is not None and (static is not None or clock == str(CLOCK)):
            return named
        return None if name == _KEYS_NAME else static

    def events(self) -> tuple[int, ...]:
        """The payload types of telephone events at our clock rate."""
        return tuple(one for one in self.payload_types if self.names.get(one) == f"{_KEYS_NAME}/{CLOCK}")


def _codec_named(name: str) -> str | None:
    return _CODEC_NAMES.get(re.sub(r"[^A-Z0-9]", "", name.upper()))


def _payload_type(written: str) -> int | None:
    """The number of a format of an m= line; some write the codec's name instead."""
    if written.isascii() and written.isdigit():
        return int(written) if len(written) <= 3 and int(written) < 128 else None
    codec = _codec_named(written)
    return None if codec is None else STATIC[codec]


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionDescription:
    """A whole description. `address` is the session's, which media without one of their own share, and `host` a name in its place.
    `origin` is "" where no address stands there."""

    user: str = "-"
    session_id: int
    version: int
    origin: str
    address: str = ""
    host: str = ""
    direction: Direction | None = None
    media: tuple[Media, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """Nothing can come of it: `reason` in words; the SIP answer is 488."""

    reason: str
    status: int = 488


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioSession:
    """What both ends will do. `codec` and `payload_type` are what we send; what may come is `accepts` (payload type to codec)
    and `events` (payload types of keys); `event_payload_type` None: they take no keys in RTP. `unlisted_events` are types that they
    did not agree to and may use for keys all the same. `local_crypto` and `remote_crypto`
    are both there, or neither. `address` is "" where they name none: then it is learnt from what comes. `host`: the name that they
    gave instead, to be looked up. `maxptime_ms`: what one packet may carry at most (RFC 8866, 6.4)."""

    address: str
    port: int
    codec: str
    payload_type: int
    accepts: Mapping[int, str]
    event_payload_type: int | None
    events: frozenset[int]
    unlisted_events: frozenset[int] = frozenset()
    may_send: bool = True
    may_receive: bool = True
    local_crypto: CryptoAttribute | None = None
    remote_crypto: CryptoAttribute | None = None
    host: str = ""
    maxptime_ms: int | None = None

    @property
    def held(self) -> bool:
        """Whether the call is on hold (RFC 3264, 8.4): one of us is not to send, and who holds the other need not play music."""
        return not (self.may_send and self.may_receive)


# --- reading ---------------------------------------------------------------------------------------------------------


Lines = list[tuple[str, str]]


def parse(data: bytes) -> SessionDescription | None:
    """The description; None where there is no media line in it. Never raises."""
    return _read(data)[0]


def flaws_of(data: bytes) -> tuple[str, ...]:
    """What `parse` reads with goodwill in it, in words."""
    return tuple(_read(data)[1][:FLAWS_MAX])


def _read(data: bytes) -> tuple[SessionDescription | None, list[str]]:
    flaws: list[str] = []
    if len(data) > BYTES_MAX:
        flaws.append(f"more than {BYTES_MAX} bytes: the rest is not read")
        data = data[: max(data.rfind(b"\n", 0, BYTES_MAX), data.rfind(b"\r", 0, BYTES_MAX), 0)]
    if b"\0" in data:
        flaws.append("a NUL")
    sections = _sections(data.decode("utf-8", "replace").replace("\0", ""), flaws)
    head, *rest = sections
    if not rest:
        return None, flaws
    origin = next((value for kind, value in head if kind == "o"), "").split()
    if len(origin) != 6:
        flaws.append(f"o= of {len(origin)} words")
    if not head or head[0][0] != "v":
        flaws.append("it does not begin with v=")
    numbers = [
        int(part) if part.isascii() and part.isdigit() and len(part) <= 20 else 0 for part in (*origin[1:3], "", "")
    ]
    address, host = _connection(head)
    description = SessionDescription(
        user=origin[0] if origin else "-",
        session_id=numbers[0],
        version=numbers[1],
        origin=next(filter(None, (_numeric(word) for word in reversed(origin[3:]))), ""),
        address=address,
        host=host,
        direction=_direction(head),
        media=tuple(_media(section, head, flaws) for section in rest),
    )
    if not all(media.address or address for media in description.media if media.port):
        flaws.append("no c= with an address")
    return description, flaws


def _sections(text: str, flaws: list[str]) -> list[Lines]:
    """The lines of the session, and of each m= line with what follows it. What is no line of SDP's is left out."""
    sections: list[Lines] = [[]]
    lines = _LINE_END.split(text)
    if len(lines) > LINES_MAX:
        flaws.append(f"more than {LINES_MAX} lines: the rest is not read")
    for n, line in enumerate(lines[:LINES_MAX], 1):
        kind, equals, value = line.partition("=")
        kind = kind.strip().lower()
        if not equals or len(kind) != 1:
            if line.strip():
                flaws.append(f"line {n} is none of SDP's")
            continue
        if kind == "m":
            if len(sections) > MEDIA_MAX:
                flaws.append(f"more than {MEDIA_MAX} media: the rest is not read")
                break
            sections.append([])
        sections[-1].append((kind, value.strip()))
    return sections


def _media(section: Lines, head: Lines, flaws: list[str]) -> Media:
    """One m= line. Where it cannot be read it keeps its place, with port 0: places tell which line answers which (RFC 3264, 6)."""
    kind, port_text, *words = (*section[0][1].split(), "", "")[: max(2, len(section[0][1].split()))]
    number = _PORT.match(port_text)
    port = int(number[1]) if number is not None and int(number[1]) < 65_536 else -1
    if port < 0:
        flaws.append("an m= line without a port")
    named = bool(words) and not words[0].replace(",", "").isdigit()
    attributes = _attributes([*head, *section[1:]])  # those of the session are what the m= line does not say itself
    address, host = _connection(section[1:])
    return Media(
        kind=kind.lower() or "unknown",
        port=max(port, 0),
        protocol=words[0] if named else "RTP/AVP",
        formats=tuple(one for word in words[named:] for one in word.split(",") if one),
        address=address,
        host=host,
        direction=_direction(section[1:]),
        **attributes,
    )


class _Attributes(TypedDict):
    names: dict[int, str]
    parameters: dict[int, str]
    ptime_ms: int | None
    maxptime_ms: int | None
    crypto: tuple[CryptoAttribute, ...]


def _attributes(lines: Lines) -> _Attributes:
    """What a= lines say; those that cannot be read say nothing."""
    found = _Attributes(names={}, parameters={}, ptime_ms=None, maxptime_ms=None, crypto=())
    for kind, value in lines:
        name, _, text = value.partition(":")
        name, text = name.strip().lower(), text.strip()
        if kind != "a":
            continue
        if name == "rtpmap" and (mapped := _RTPMAP.fullmatch(text)):
            found["names"][int(mapped[1])] = f"{mapped[2]}/{int(mapped[3])}".upper()
        elif name == "fmtp":
            number, _, said = text.partition(" ")
            if number.isascii() and number.isdigit() and len(number) <= 3:
                found["parameters"][int(number)] = said.strip()
        elif name == "crypto" and (line := _CRYPTO.fullmatch(text)):
            one = CryptoAttribute(tag=int(line[1]), suite=line[2], key=line[3])
            found["crypto"] = (*found["crypto"], one)
        elif name == "ptime" and (time := _PTIME.fullmatch(text)):
            found["ptime_ms"] = int(time[1])
        elif name == "maxptime" and (time := _PTIME.fullmatch(text)) and int(time[1]):
            found["maxptime_ms"] = int(time[1])
    return found


def _connection(lines: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """(address, "") of the c= lines, or ("", name) where they give a name, which has to be looked up (RFC 8866, 5.7)."""
    host = ""
    for kind, value in lines:
        if kind != "c":
            continue
        words = [word.partition("/")[0].strip("[]") for word in value.split()]
        for word in words:
            if address := _numeric(word):
                return address, ""
        if words and not host and words[-1].upper() not in ("IN", "IP4", "IP6") and _HOST.fullmatch(words[-1]):
            host = words[-1]
    return "", host


def _numeric(text: str) -> str:
    """The address, spelt as the system spells that of a packet; "" for anything else."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _direction(lines: Sequence[tuple[str, str]]) -> Direction | None:
    for kind, value in lines:
        if kind == "a":
            for direction in _DIRECTIONS:
                if value.lower() == direction:
                    return direction
    return None


# --- writing ---------------------------------------------------------------------------------------------------------


def encode(description: SessionDescription) -> bytes:
    """The inverse of `parse`, for descriptions of ours."""
    d = description
    lines = ["v=0", f"o={d.user} {d.session_id} {d.version} IN {_net(d.origin)}", "s=-"]
    if d.address:
        lines.append(f"c=IN {_net(d.address)}")
    lines.append("t=0 0")
    if d.direction is not None:
        lines.append(f"a={d.direction}")
    for media in d.media:
        lines += _media_lines(media)
    return "".join(f"{line}\r\n" for line in lines).encode()


def _media_lines(media: Media) -> list[str]:
    lines = [f"m={media.kind} {media.port} {media.protocol} {' '.join(media.formats)}"]
    if media.address:
        lines.append(f"c=IN {_net(media.address)}")
    for number, name in media.names.items():
        lines.append(f"a=rtpmap:{number} {name.replace('TELEPHONE-EVENT', 'telephone-event')}")
    lines += [f"a=fmtp:{number} {said}" for number, said in media.parameters.items()]
    lines += [f"a=crypto:{one.tag} {one.suite} inline:{one.key}" for one in media.crypto]
    if media.ptime_ms is not None:
        lines.append(f"a=ptime:{media.ptime_ms}")
    if media.direction is not None:
        lines.append(f"a={media.direction}")
    return lines


def _net(address: str) -> str:
    return f"IP6 {address}" if ":" in address else f"IP4 {address}"
