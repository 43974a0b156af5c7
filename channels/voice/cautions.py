"""What a voice provider's settings allow and still hurts one day, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from channels.listening import Listening
from channels.voice.caller_ids import objection
from channels.voice.settings import SipSettings
from ivr.audio.prompts import DEFAULT_LANGUAGE, Prompts


def cautions(settings: SipSettings, *, languages: Iterable[str], answered: bool) -> Iterator[str]:
    """Why networks may refuse our calls, what is not heard as somebody set it, why nobody can call us.

    `languages`: those that people and lines have (BCP 47 tags); `answered`: whether anything would answer calls to us.
    """
    said = objection(settings.caller_id, settings.country)
    if said:
        yield f"caller_id {settings.caller_id}: {said}"
    prompts = Prompts(settings.prompts)
    for language in sorted({settings.language, *languages}):
        if language and not prompts.has(language):
            yield (
                f"language {language}: there are no fixed prompts in it (only in {', '.join(prompts.languages)}): "
                f"menus are spoken in {DEFAULT_LANGUAGE}; `prompts` may name a folder that has them"
            )
    if answered and settings.transport == "tls" and settings.incoming_max and settings.tls_certificate is None:
        yield "no tls_certificate: calls to us are only taken over connections that we opened"


def cautions_of_neighbours(providers: Sequence[SipSettings]) -> Iterator[tuple[str, str]]:
    """(provider, what it shares with another and when that hurts). Two that listen on one address are refused at loading."""
    for n, one in enumerate(providers):
        for other in providers[:n]:
            if _share_audio(one, other):
                said = f"rtp_ports {one.rtp_ports} overlap with those of provider {other.name}: calls of both take from the same"
                yield one.name, f"{said} ports, and fail once these are all taken"
        for other in providers:
            if other is not one and _listens_among_audio(one, other):
                said = f"the port of listen, {one.listen_port}, is among the rtp_ports of provider {other.name}: this trunk"
                yield one.name, f"{said} cannot be opened while a call there has that port"


def _share_audio(one: SipSettings, other: SipSettings) -> bool:
    (first, last), (other_first, other_last) = one.rtp_port_range, other.rtp_port_range
    return first <= other_last and other_first <= last and _audio_of(one).overlaps(_audio_of(other))


def _listens_among_audio(one: SipSettings, other: SipSettings) -> bool:
    (first, last), ours = other.rtp_port_range, one.listening
    return ours is not None and first <= ours.port <= last and ours.overlaps(_audio_of(other))


def _audio_of(settings: SipSettings) -> Listening:
    """The address on which audio is listened for; its ports are many."""
    return Listening(key="rtp_ports", protocol="udp", host=settings.listen_host, port=0)
