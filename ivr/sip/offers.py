"""Offers, answers, and what they agree on (RFC 3264), as far as a telephone call needs it. How they are written is in `sdp`. Pure.

A call that somebody has just answered ends only where there is no codec in common: see docs/reference/goodwill.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ivr.sip.sdp import (
    CLOCK,
    SRTP_SUITES,
    STATIC,
    AudioSession,
    CryptoAttribute,
    Direction,
    Media,
    Rejected,
    SessionDescription,
)
from ivr.sip.unicast import NOWHERE, why_no_port, why_not

EVENT_PAYLOAD_TYPE = 101
"""What everybody uses for telephone events (RFC 4733), and some expect without reading."""
DYNAMIC = range(96, 128)
"""RFC 3551, 6."""
EVENTS = "0-15"
_MIRRORED: dict[Direction, Direction] = {
    "sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive",
}  # fmt: skip


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
    taken, refusal = False, ""
    for media in remote.media:
        line = None if taken else _answer_line(remote, media, port, codecs, crypto, events=events)
        taken = taken or line is not None
        lines.append(line or _refused(media))
        refusal = refusal or (why_not(_where(remote, media)[0]) or why_no_port(media.port) if media.port else "")
    if not taken and refusal:
        return Rejected(refusal)
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
    if media.kind != "audio" or media.port == 0 or media.secure != bool(crypto) or not (media.plain or media.secure):
        return None
    if why_not(_where(remote, media)[0]) or why_no_port(media.port):
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
    address, host = _where(remote, theirs)
    if refusal := why_not(address) or why_no_port(theirs.port):
        return Rejected(refusal)
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
        host=host,
        maxptime_ms=theirs.maxptime_ms,
    )


def _pair(local: SessionDescription, remote: SessionDescription) -> tuple[Media, Media] | None:
    """The audio lines of both sides that belong together: by their place (RFC 3264, 6), else the first that will do."""
    by_place = list(zip(local.media, remote.media, strict=False))
    others = [(ours, theirs) for ours in local.media for theirs in remote.media]
    for ours, theirs in (*by_place, *others):
        usable = ours.kind == "audio" and theirs.kind == "audio" and ours.port and theirs.port
        if usable and ours.secure == theirs.secure and (theirs.plain or theirs.secure):
            return ours, theirs
    return None


def _where(remote: SessionDescription, theirs: Media) -> tuple[str, str]:
    """(address, name) of their audio. Where no c= counts for it, that of another line does, then the host of o=, for the time that a
    name is looked up too. ("", "") where nothing is said: then it is learnt from what comes."""
    for address, host in ((theirs.address, theirs.host), (remote.address, remote.host)):
        if address:
            return address, ""
        if host:
            return _origin(remote), host
    return next((media.address for media in remote.media if media.address), _origin(remote)), ""


def _origin(remote: SessionDescription) -> str:
    return "" if remote.origin in NOWHERE or why_not(remote.origin) else remote.origin


def _events(ours: Media, theirs: Media) -> tuple[int, ...]:
    """Their payload types of keys. Some answer with our own number alone: a dynamic type that they do not name again (RFC 3264, 6.1)
    is what the offer says."""
    unnamed = tuple(one for one in ours.events() if one in theirs.payload_types and one not in theirs.names)
    return (*theirs.events(), *unnamed)


def _unlisted(ours: Media, theirs: Media) -> frozenset[int]:
    """The types that somebody uses for keys who has agreed to none, or who has agreed to another one: any dynamic type but those
    that one of us says are something else."""
    named = {**ours.names, **theirs.names}
    return frozenset(one for one in DYNAMIC if named.get(one, "TELEPHONE-EVENT").startswith("TELEPHONE-EVENT"))


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


def _effective(session: SessionDescription, media: Media) -> Direction:
    return media.direction or session.direction or "sendrecv"
