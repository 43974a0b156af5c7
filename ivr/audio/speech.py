"""Texts become sound, remembered by text and language: which engine is asked, and what is kept. Engines live beside it."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import structlog
from prometheus_client import Counter

from ivr.audio.engines import (
    ANSWER_S,
    ESPEAK_ANSWER_S,
    ChildEngine,
    CommandEngine,
    EngineError,
    SpeechEngine,
    espeak_installed,
)
from ivr.audio.sound import Sound
from ivr.audio.speakable import speakable

log = structlog.get_logger(__name__)

CACHE_BYTES_MAX = 64 * 1024 * 1024
"""Over an hour of speech: the alerts of a bad day, each spoken to many."""
WAITING_MAX = 500
"""Texts that wait at once; at some 10 ms each the last one waits five seconds."""
REQUESTS = Counter("tocsin_speech_requests_total", "Texts asked for", ["result"])
for _result in ("cached", "made", "failed", "refused"):
    REQUESTS.labels(_result)  # there from the start, at 0
SPOKEN = Counter("tocsin_speech_texts_total", "Texts spoken, by engine", ["engine"])


class SpeechUnavailable(Exception):  # noqa: N818 - a state that calls live with
    """The text cannot be spoken now; the text of the error says why."""


class Speech(Protocol):
    """Makes texts audible."""

    async def say(self, text: str, language: str) -> Sound:
        """The text as sound, within a bounded time. Raises SpeechUnavailable."""
        ...


LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
"""Tags (RFC 5646, 2.1) of which a voice can be chosen; for any other the engine's own is taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechPlan:
    """Which engine speaks, and how: the settings of an installation."""

    engine: Literal["espeak", "piper", "command"] = "espeak"
    voices: Mapping[str, Path] = field(default_factory=dict)
    """Piper's voice files by language."""
    command: tuple[str, ...] = ()
    """The program and its arguments, see `CommandEngine`."""
    abbreviations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By language: what is written, and what is said for it."""
    answer_s: float | None = None
    """How long a text may take; None: as long as the engine usually needs."""

    def words(self, text: str, language: str) -> str:
        """What an engine is given of a text: the words of its language."""
        tag = language.lower()  # tags have no case (RFC 5646, 2.1.1)
        own_by_tag = {each.lower(): own for each, own in self.abbreviations.items()}
        own = own_by_tag.get(tag) or own_by_tag.get(tag.partition("-")[0])
        return speakable(text, language, own)

    def engines(self) -> tuple[SpeechEngine, ...]:
        """The engine chosen, and eSpeak NG after any other: a robot's voice is better than none."""
        chosen: SpeechEngine
        if self.engine == "piper":
            command = (*ChildEngine().command[:-1], "piper")
            chosen = ChildEngine("piper", command, self.voices, self.answer_s or ANSWER_S)
        elif self.engine == "command":
            chosen = CommandEngine(self.command, self.answer_s or ANSWER_S)
        else:
            return (ChildEngine(answer_s=self.answer_s or ESPEAK_ANSWER_S),)
        return (chosen, ChildEngine()) if espeak_installed() else (chosen,)

    def speaker(self, words_per_minute: int) -> Speaker:
        """Somebody who speaks so. It has to be closed."""
        return Speaker(words_per_minute=words_per_minute, engines=self.engines(), words=self.words)


@dataclass(slots=True)
class Speaker:
    """Speaks one text after the other, by the first engine that can."""

    words_per_minute: int = 150
    engines: tuple[SpeechEngine, ...] = field(default_factory=SpeechPlan().engines)
    words: Callable[[str, str], str] = SpeechPlan().words
    """What an engine is given of a text in a language."""
    _cache: OrderedDict[tuple[str, str], Sound] = field(default_factory=OrderedDict, init=False, repr=False)
    _cached_bytes: int = field(default=0, init=False)
    _making: dict[tuple[str, str], asyncio.Task[Sound]] = field(default_factory=dict, init=False, repr=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)
    _closed: bool = field(default=False, init=False)
    engine: str = field(default="", init=False)
    """The name of the engine that spoke last."""

    def __post_init__(self) -> None:
        for engine in self.engines:
            SPOKEN.labels(engine.name)  # there from the start, at 0

    async def say(self, text: str, language: str) -> Sound:
        """The text as sound; the same text is made once, however many ask for it. Raises SpeechUnavailable."""
        key = (self.words(text, language), language if LANGUAGE.fullmatch(language) else "")
        known = self._cache.get(key)
        if known is not None:
            self._cache.move_to_end(key)
            REQUESTS.labels("cached").inc()
            return known
        if self._closed:
            raise SpeechUnavailable("speech is closed")
        task = self._making.get(key)
        if task is None:
            if len(self._making) >= WAITING_MAX:
                REQUESTS.labels("refused").inc()
                raise SpeechUnavailable(f"{WAITING_MAX} texts are waiting already")
            task = self._making[key] = asyncio.get_running_loop().create_task(self._make(key))
            task.add_done_callback(lambda done: self._made(key, done))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and self._closed:
                raise SpeechUnavailable("speech is closed") from None
            raise

    async def close(self) -> None:
        """Ends the child."""
        self._closed = True
        making = list(self._making.values())
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)
        for engine in self.engines:
            await engine.close()

    # --- one text ----------------------------------------------------------------------------------------------------

    async def _make(self, key: tuple[str, str]) -> Sound:
        text, language = key
        why = "no engine speaks this language"
        async with self._turn:
            for engine in self.engines:
                if not engine.speaks(language):
                    continue
                try:
                    sound = await engine.speak(text, language, self.words_per_minute)
                except EngineError as error:
                    why = str(error)
                    log.warning("speech_failed", engine=engine.name, error=why)
                else:
                    SPOKEN.labels(engine.name).inc()
                    self.engine = engine.name
                    return sound
        raise SpeechUnavailable(why)

    def _made(self, key: tuple[str, str], task: asyncio.Task[Sound]) -> None:
        self._making.pop(key, None)
        if task.cancelled() or task.exception() is not None:
            REQUESTS.labels("failed").inc()
            return
        REQUESTS.labels("made").inc()
        sound = task.result()
        self._cache[key] = sound
        self._cached_bytes += len(sound.samples)
        while self._cached_bytes > CACHE_BYTES_MAX and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._cached_bytes -= len(dropped.samples)
