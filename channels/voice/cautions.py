"""What a voice provider's settings allow and still hurts one day, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from channels.voice.caller_ids import objection
from channels.voice.settings import SipSettings
from ivr.audio.prompts import DEFAULT_LANGUAGE, Prompts


def cautions(settings: SipSettings, *, languages: Iterable[str], answered: bool) -> Iterator[str]:
    """Why networks may refuse our calls, what is not heard as somebody set it, why nobody can call us.

    `languages`: those that people and lines have (BCP 47 tags); `answered`: whether anything would answer calls to us.
    """
    said = objection(settings.caller_id)
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
