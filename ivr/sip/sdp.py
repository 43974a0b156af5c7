"""Session descriptions (RFC 8866) and what an offer and its answer agree on (RFC 3264), as far as a telephone call needs it. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

BYTES_MAX = 16 * 1024
LINES_MAX = 500
MEDIA_MAX = 16
"""Bounds far beyond a telephone's description; what is larger is not for us."""

STATIC = {"PCMU": 0, "PCMA": 8}
"""RFC 3551, table 4."""
CLOCK = 8_000
EVENT_PAYLOAD_TYPE = 101
"""What everybody uses for telephone events (RFC 4733), and some expect without reading."""
EVENTS = "0-15"
NOWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
"""How RFC 2543 said "on hold" (RFC 3264, 8.4)."""
SRTP_SUITES = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
"""RFC 4568, 6.2."""

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
_DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")
_MIRRORED: dict[Direction, Direction] = {
    "sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive",
}  # fmt: skip
_MEDIA = re.compile(r"([a-zA-Z0-9.-]+) +([0-9]{1,5})(?:/([0-9]{1,3}))? +(\S+)((?: +\S+)*)")
_RTPMAP = re.compile(r"([0-9]{1,3}) +([^/ ]+)/([0-9]{1,6})(?:/[0-9]+)?", re.IGNORECASE)
_CRYPTO = re.compile(
    r"([0-9]{1,9}) +(\S+) +inline:([A-Za-z0-9+/]{40})(?:\|(?:2\^)?[0-9]++)?(?: +(?:WSH=[0-9]+|-\S+))*+", re.ASCII
)
"""One key of 30 octets, perhaps its lifetime, and parameters that change no packet (a window's size, optional ones). With any other
(RFC 4568, 6.1 and 6.3: an MKI, more keys, KDR, UNENCRYPTED_SRTP, what is mandatory and unknown) we could not open what comes: such
a line is as good as not there (5.1.2)."""
_ADDRESS = re.compile(r"IN +IP([46]) +([^ /]+)\S*", re.IGNORECASE)


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
    ptime_ms: int | None = None
    crypto: tuple[CryptoAttribute, ...] = ()

    @property
    def secure(self) -> bool:
        """Whether it is SRTP."""
        return self.protocol.upper() == "RTP/SAVP"

    @property
    def payload_types(self) -> tuple[int, ...]:
        """The formats as numbers, in the order preferred."""
        return tuple(
            int(one) for one in self.formats if one.isascii() and one.isdigit() and len(one) <= 3 and int(one) < 128
        )

    def codec_of(self, payload_type: int) -> str | None:
        """The codec that we know by this number: PCMA or PCMU at 8 kHz."""
        named = self.names.get(payload_type)
        for codec, static in STATIC.items():
            if named == f"{codec}/{CLOCK}" or (named is None and payload_type == static):
                return codec
        return None

    def events(self) -> tuple[int, ...]:
        """The payload types of telephone events at our clock rate."""
        return tuple(one for one in self.payload_types if self.names.get(one) == f"TELEPHONE-EVENT/{CLOCK}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionDescription:
    """A whole description. `address` is the session's, which media without one of their own share."""

    user: str = "-"
    session_id: int
    version: int
    origin: str
    address: str = ""
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
    did not agree to and may use for keys all the same. `local_crypto` and `remote_crypto` are both there, or neither."""

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

    @property
    def held(self) -> bool:
        """Whether the call is on hold (RFC 3264, 8.4): one of us is not to send, and who holds the other need not play music."""
        return not (self.may_send and self.may_receive)


# --- reading ---------------------------------------------------------------------------------------------------------


def parse(data: bytes) -> SessionDescription | None:
    """The description; None where it is none, or beyond the bounds. Never raises."""
    if len(data) > BYTES_MAX:
        return None
    lines = data.decode("utf-8", "replace").splitlines()
    if len(lines) > LINES_MAX:
        return None
    sections: list[list[tuple[str, str]]] = [[]]
    for line in lines:
        if not line.strip():
            continue
        kind, equals, value = line.partition("=")
        if not equals or len(kind.strip()) != 1:
            return None
        if kind.strip() == "m":
            if len(sections) > MEDIA_MAX:
                return None
            sections.append([])
        sections[-1].append((kind.strip(), value.strip()))
    head, *rest = sections
    origin = next((value for kind, value in head if kind == "o"), None)
    if not head or head[0][0] != "v" or origin is None:
        return None
    media = [_media(section) for section in rest]
    if any(one is None for one in media):
        return None
    return _session(head, origin, tuple(one for one in media if one is not None))


def _session(head: list[tuple[str, str]], origin: str, media: tuple[Media, ...]) -> SessionDescription | None:
    parts = origin.split()
    if len(parts) != 6:
        return None
    numbers = [int(part) if part.isascii() and part.isdigit() and len(part) <= 20 else 0 for part in parts[1:3]]
    return SessionDescription(
        user=parts[0],
        session_id=numbers[0],
        version=numbers[1],
        origin=parts[5],
        address=_connection(head),
        direction=_direction(head),
        media=media,
    )


def _media(section: list[tuple[str, str]]) -> Media | None:
    line = _MEDIA.fullmatch(section[0][1])
    if line is None or int(line[2]) > 65_535:
        return None
    names, parameters, crypto = dict[int, str](), dict[int, str](), list[CryptoAttribute]()
    ptime_ms = None
    for kind, value in section[1:]:
        name, _, text = value.partition(":")
        if kind != "a":
            continue
        if name == "rtpmap" and (mapped := _RTPMAP.fullmatch(text.strip())):
            names[int(mapped[1])] = f"{mapped[2]}/{mapped[3]}".upper()
        elif name == "fmtp":
            number, _, said = text.strip().partition(" ")
            if number.isascii() and number.isdigit() and len(number) <= 3:
                parameters[int(number)] = said.strip()
        elif name == "crypto" and (found := _CRYPTO.fullmatch(text.strip())):
            crypto.append(CryptoAttribute(tag=int(found[1]), suite=found[2], key=found[3]))
        elif name == "ptime" and text.strip().isascii() and text.strip().isdigit() and len(text.strip()) <= 4:
            ptime_ms = int(text)
    return Media(
        kind=line[1].lower(),
        port=int(line[2]),
        protocol=line[4],
        formats=tuple(line[5].split()),
        names=names,
        parameters=parameters,
        address=_connection(section[1:]),
        direction=_direction(section[1:]),
        ptime_ms=ptime_ms,
        crypto=tuple(crypto),
    )


def _connection(lines: Sequence[tuple[str, str]]) -> str:
    for kind, value in lines:
        if kind == "c" and (found := _ADDRESS.fullmatch(value)) and (address := _numeric(found[2])):
            return address
    return ""


def _numeric(text: str) -> str:
    """The address, spelt as the system spells that of a packet; "" for a name, which would have to be looked up while the call
    waits, and none is ever sent."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _direction(lines: Sequence[tuple[str, str]]) -> Direction | None:
    for kind, value in lines:
        if kind == "a":
            for direction in _DIRECTIONS:
                if value == direction:
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


# --- offer and answer ------------------------------------------------------------------------------------------------


def offer(
    *,
    address: str,
    port: int,
    session_id: int,
    version: int,
    codecs: Sequence[str],
    crypto: Sequence[CryptoAttribute] = (),
    events: bool = True,
    before: SessionDescription | None = None,
) -> SessionDescription:
    """Our offer: these codecs in this order, keys as telephone events where `events`, 20 ms; SRTP where there is `crypto`.
    In a call, `before` is our last description, offer or answer: its lines stay in their places (RFC 3264, 8)."""
    types = [STATIC[codec] for codec in codecs]
    names = {STATIC[codec]: f"{codec}/{CLOCK}" for codec in codecs}
    parameters: dict[int, str] = {}
    if events:
        types.append(EVENT_PAYLOAD_TYPE)
        names[EVENT_PAYLOAD_TYPE] = f"TELEPHONE-EVENT/{CLOCK}"
        parameters[EVENT_PAYLOAD_TYPE] = EVENTS
    media = Media(
        port=port,
        protocol="RTP/SAVP" if crypto else "RTP/AVP",
        formats=tuple(str(one) for one in types),
        names=names,
        parameters=parameters,
        crypto=tuple(crypto),
        ptime_ms=20,
        direction="sendrecv",
    )
    lines = (media,) if before is None else tuple(media if line.port else _refused(line) for line in before.media)
    return SessionDescription(session_id=session_id, version=version, origin=address, address=address, media=lines)


def _refused(media: Media) -> Media:
    """The line with port 0 (RFC 3264, 6 and 8.2): no such stream."""
    return Media(kind=media.kind, port=0, protocol=media.protocol, formats=media.formats or ("0",))


def answer(
    remote: SessionDescription,
    *,
    address: str,
    port: int,
    session_id: int,
    version: int,
    codecs: Sequence[str],
    crypto: Sequence[CryptoAttribute] = (),
    events: bool = True,
) -> SessionDescription | Rejected:
    """Our answer to an offer: its first audio that we can do, with its own numbers; every other line with port 0 (RFC 3264, 6)."""
    lines: list[Media] = []
    taken = False
    for media in remote.media:
        line = None if taken else _answer_line(remote, media, port, codecs, crypto, events=events)
        taken = taken or line is not None
        lines.append(line or _refused(media))
    if not taken:
        return Rejected("no audio with PCMA or PCMU at 8 kHz" + (" and SRTP" if crypto else ""))
    return SessionDescription(
        session_id=session_id, version=version, origin=address, address=address, media=tuple(lines)
    )


def _answer_line(
    remote: SessionDescription,
    media: Media,
    port: int,
    codecs: Sequence[str],
    crypto: Sequence[CryptoAttribute],
    *,
    events: bool,
) -> Media | None:
    if media.kind != "audio" or media.port == 0 or media.secure != bool(crypto) or not _rtp(media):
        return None
    known = [one for one in media.payload_types if media.codec_of(one) in codecs]
    if not known:
        return None
    keys: tuple[CryptoAttribute, ...] = ()
    if crypto:
        theirs = next((one for one in media.crypto if one.suite in SRTP_SUITES), None)
        ours = next((one for one in crypto if theirs is not None and one.suite == theirs.suite), None)
        if theirs is None or ours is None:
            return None
        keys = (replace(ours, tag=theirs.tag),)
    keys_as = media.events()[:1] if events else ()
    numbers = (known[0], *keys_as)
    names = {known[0]: f"{media.codec_of(known[0])}/{CLOCK}", **dict.fromkeys(keys_as, f"TELEPHONE-EVENT/{CLOCK}")}
    return Media(
        port=port,
        protocol=media.protocol,
        formats=tuple(str(one) for one in numbers),
        names=names,
        parameters=dict.fromkeys(keys_as, EVENTS),
        crypto=keys,
        ptime_ms=20,
        direction=_MIRRORED[_effective(remote, media)],
    )


def agreed(local: SessionDescription, remote: SessionDescription) -> AudioSession | Rejected:
    """What follows for us from our description and theirs, whichever was the offer."""
    found = _pair(local, remote)
    if found is None:
        return Rejected("the audio was refused")
    ours, theirs = found
    address = theirs.address or remote.address
    if not address:
        return Rejected("no address for the audio")
    send = next((one for one in theirs.payload_types if theirs.codec_of(one) and _ours(ours, theirs, one)), None)
    if send is None:
        return Rejected("no codec in common")
    codec = theirs.codec_of(send)
    assert codec is not None
    crypto = _crypto(ours, theirs)
    if isinstance(crypto, Rejected):
        return crypto
    accepts = {
        number: name for media in (ours, theirs) for number in media.payload_types if (name := media.codec_of(number))
    }
    events = _events(ours, theirs)
    way = _effective(remote, theirs)
    held = address in NOWHERE
    return AudioSession(
        address=address,
        port=theirs.port,
        codec=codec,
        payload_type=send,
        accepts=accepts,
        event_payload_type=events[0] if events and ours.events() else None,
        events=frozenset((*events, *ours.events())) if events else frozenset(),
        unlisted_events=_unlisted(ours, theirs) - frozenset(accepts),
        may_send=way in ("sendrecv", "recvonly") and not held,
        may_receive=way in ("sendrecv", "sendonly"),
        local_crypto=crypto[0],
        remote_crypto=crypto[1],
    )


def _pair(local: SessionDescription, remote: SessionDescription) -> tuple[Media, Media] | None:
    """The audio lines of both sides that belong together (RFC 3264, 6: by their place)."""
    for ours, theirs in zip(local.media, remote.media, strict=False):
        usable = ours.kind == "audio" and theirs.kind == "audio" and ours.port and theirs.port
        if usable and _rtp(theirs) and ours.secure == theirs.secure:
            return ours, theirs
    return None


def _events(ours: Media, theirs: Media) -> tuple[int, ...]:
    """Their payload types of keys. Some answer with our own number alone: a dynamic type that they do not name again (RFC 3264, 6.1)
    is what the offer says."""
    unnamed = tuple(one for one in ours.events() if one in theirs.payload_types and one not in theirs.names)
    return (*theirs.events(), *unnamed)


def _unlisted(ours: Media, theirs: Media) -> frozenset[int]:
    """The types that somebody uses for keys who has agreed to none: those of our offer, or what everybody uses. Not those that they
    say are something else."""
    types = ours.events() or (EVENT_PAYLOAD_TYPE,)
    return frozenset(one for one in types if theirs.names.get(one, "TELEPHONE-EVENT").startswith("TELEPHONE-EVENT"))


def _ours(ours: Media, theirs: Media, number: int) -> bool:
    codec = theirs.codec_of(number)
    return any(ours.codec_of(one) == codec for one in ours.payload_types)


def _crypto(ours: Media, theirs: Media) -> tuple[CryptoAttribute | None, CryptoAttribute | None] | Rejected:
    if not ours.secure:
        return None, None
    """The answer is to one of the offer's lines: it has its tag and its suite (RFC 4568, 5.1.3)."""
    for remote in theirs.crypto:
        for local in ours.crypto:
            if (remote.tag, remote.suite) == (local.tag, local.suite) and remote.suite in SRTP_SUITES:
                return local, remote
    return Rejected("no way to encrypt in common")


def _rtp(media: Media) -> bool:
    return media.protocol.upper() in ("RTP/AVP", "RTP/SAVP")


def _effective(session: SessionDescription, media: Media) -> Direction:
    return media.direction or session.direction or "sendrecv"
