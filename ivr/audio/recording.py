"""A recording of one call for people who listen: what was heard left, what was said right. Where it is kept is not known here."""

from __future__ import annotations

from collections.abc import Sequence

from ivr.audio import g711
from ivr.audio.sound import RATE_HZ, Sound, stereo_wav

RECORDED_MAX_S = 300.0
"""As long as the longest call of a trunk by default (`call_max_s`): ten megabytes. The rest of a longer call is not recorded."""
_BYTES_MAX = 2 * round(RECORDED_MAX_S * RATE_HZ)
TREMBLE_S = 0.1
"""Packets that come late by less follow each other without a gap, as a phone's jitter buffer plays them."""


class Recording:
    """Two tracks of 16-bit samples that grow with the call. Times are those of one clock, in seconds."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._heard, self._said = bytearray(), bytearray()

    def hear(self, frames: Sequence[tuple[str, bytes]], now: float) -> None:
        """Sound that came, as (codec, payload): it follows what came before; silence that was not sent is put in."""
        due = self._at(now) - sum(2 * len(payload) for _, payload in frames)
        if due - len(self._heard) > 2 * round(TREMBLE_S * RATE_HZ):
            self._heard.extend(bytes(due - len(self._heard)))
        for codec, payload in frames:
            self._heard += g711.decode(payload, codec)
        del self._heard[_BYTES_MAX:]

    def say(self, sounds: Sequence[Sound], now: float) -> None:
        """Sound that is played from now on, instead of what was being played."""
        at = self._at(now)
        del self._said[at:]
        self._said.extend(bytes(at - len(self._said)))
        for sound in sounds:
            self._said += sound.samples
        del self._said[_BYTES_MAX:]

    def wav(self, now: float) -> bytes:
        """The call as it was until now: a WAV file of two channels."""
        end = self._at(now)
        left, right = (bytes(track[:end]).ljust(end, b"\0") for track in (self._heard, self._said))
        return stereo_wav(Sound(left), Sound(right))

    def _at(self, now: float) -> int:
        """The byte of a track that a time belongs to; never one beyond the bound."""
        return min(2 * max(0, round((now - self._began) * RATE_HZ)), _BYTES_MAX)
