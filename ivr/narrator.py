"""Makes what a dialogue says audible: fixed prompts from their files, texts by the speech process."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from ivr.audio.prompts import Prompts
from ivr.audio.sound import Sound
from ivr.audio.speech import Speech, SpeechUnavailable
from ivr.menu import Prompt, Segment

log = structlog.get_logger(__name__)

UNREADABLE = "text_unreadable"
"""The prompt that is played where a text cannot be spoken."""


class Narrator:
    """One for all calls of an endpoint; what was made once is remembered by prompts and speech."""

    def __init__(self, prompts: Prompts, speech: Speech) -> None:
        self._prompts = prompts
        self._speech = speech

    async def sounds_of(self, segments: Sequence[Segment]) -> tuple[list[Sound], bool]:
        """Prompts and texts as sound, and whether all of it is there: for a text that cannot be spoken, a prompt says so."""
        sounds, whole = [], True
        for segment in segments:
            if isinstance(segment, Prompt):
                sounds.append(self._prompts.sound(segment.name, segment.language))
                continue
            try:
                sounds.append(await self._speech.say(segment.text, segment.language))
            except SpeechUnavailable as error:
                log.warning("text_not_spoken", error=str(error))
                sounds.append(self._prompts.sound(UNREADABLE, segment.language))
                whole = False
        return sounds, whole
