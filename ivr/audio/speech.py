"""Texts become sound in a process of its own, remembered by text and language. A crash or hang of that process touches no call."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import signal
import sys
import unicodedata
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from prometheus_client import Counter

from ivr.audio.numeric import np
from ivr.audio.sound import Sound, from_array
from ivr.audio.speech_child import LENGTH

log = structlog.get_logger(__name__)

TEXT_CHARS_MAX = 2_000
"""Some two minutes: nobody listens longer, and the rest is in the other channels' messages."""
SAMPLES_BYTES_MAX = 32 * 1024 * 1024
"""Twelve minutes at 22,050 Hz: beyond it the child has lost its mind."""
CACHE_BYTES_MAX = 64 * 1024 * 1024
"""Over an hour of speech: the alerts of a bad day, each spoken to many."""
WAITING_MAX = 500
"""Texts that wait at once; at some 10 ms each the last one waits five seconds."""
START_S = 10.0
ANSWER_S = 5.0
"""A text takes 5 to 50 ms; a child that needs seconds hangs."""
END_S = 2.0
"""A killed process is gone in milliseconds, unless its disk hangs: then nobody waits for it."""
RESTART_S = 0.2
RESTART_MAX_S = 5.0

REQUESTS = Counter("tocsin_speech_requests_total", "Texts asked for", ["result"])
RESTARTS = Counter("tocsin_speech_restarts_total", "Starts of the speech process after the first")


class SpeechUnavailable(Exception):  # noqa: N818 - a state that calls live with
    """The text cannot be spoken now; the text of the error says why."""


class Speech(Protocol):
    """Makes texts audible."""

    async def say(self, text: str, language: str) -> Sound:
        """The text as sound, within a bounded time. Raises SpeechUnavailable."""
        ...


def installed() -> bool:
    """Whether the speech engine is there (the extra `speech`)."""
    return importlib.util.find_spec("espeakng_loader") is not None


LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
"""Tags (RFC 5646, 2.1) of which a voice can be chosen; for any other the engine's own is taken."""


def plain(text: str) -> str:
    """What is spoken of a text: no control characters, no markup for the engine, bounded."""
    kept = "".join(" " if unicodedata.category(one)[0] == "C" else one for one in text[: 2 * TEXT_CHARS_MAX])
    kept = re.sub(r"\s+", " ", kept.replace("[[", "[ [")).strip()  # [[…]] would be phonemes
    return kept if len(kept) <= TEXT_CHARS_MAX else kept[:TEXT_CHARS_MAX] + "…"


@dataclass(slots=True)
class _Child:
    process: asyncio.subprocess.Process
    rate_hz: int


@dataclass(slots=True)
class Speaker:
    """Speaks through one child process, one text after the other."""

    words_per_minute: int = 150
    answer_s: float = ANSWER_S
    command: tuple[str, ...] = (sys.executable, "-m", "ivr.audio.speech_child")
    _cache: OrderedDict[tuple[str, str], Sound] = field(default_factory=OrderedDict, init=False, repr=False)
    _cached_bytes: int = field(default=0, init=False)
    _making: dict[tuple[str, str], asyncio.Task[Sound]] = field(default_factory=dict, init=False, repr=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)
    _child: _Child | None = field(default=None, init=False, repr=False)
    _started: int = field(default=0, init=False)
    _failures: int = field(default=0, init=False)
    _not_before: float = field(default=0.0, init=False)
    _closed: bool = field(default=False, init=False)

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return None if self._child is None else self._child.process.pid

    async def say(self, text: str, language: str) -> Sound:
        """The text as sound; the same text is made once, however many ask for it. Raises SpeechUnavailable."""
        key = (plain(text), language if LANGUAGE.fullmatch(language) else "")
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
        await self._end_child()

    # --- one text ----------------------------------------------------------------------------------------------------

    async def _make(self, key: tuple[str, str]) -> Sound:
        async with self._turn:
            for attempt in (1, 2):  # the first may have met a child that was dead already
                try:
                    sound = await self._ask(*key)
                except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
                    log.warning("speech_failed", attempt=attempt, error=str(error) or type(error).__name__)
                    await self._end_child()
                    self._failures += 1
                else:
                    self._failures = 0
                    return sound
            delay_s = min(RESTART_S * 2 ** min(self._failures, 10), RESTART_MAX_S)
            self._not_before = asyncio.get_running_loop().time() + delay_s
            raise SpeechUnavailable("the speech process does not answer")

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

    async def _ask(self, text: str, language: str) -> Sound:
        child = await self._alive()
        body = json.dumps([text, language, self.words_per_minute]).encode()
        stdin, stdout = child.process.stdin, child.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(LENGTH.pack(len(body)) + body)
        async with asyncio.timeout(self.answer_s):
            await stdin.drain()
            size = LENGTH.unpack(await stdout.readexactly(LENGTH.size))[0]
            if size > SAMPLES_BYTES_MAX or size % 2:
                raise ValueError("the speech process talks nonsense")
            samples = await stdout.readexactly(size)
        array = np.frombuffer(samples, dtype="<i2").astype(np.float64) / 32768
        return await asyncio.get_running_loop().run_in_executor(None, from_array, array, child.rate_hz)

    # --- the child ---------------------------------------------------------------------------------------------------

    async def _alive(self) -> _Child:
        if self._child is not None and self._child.process.returncode is None:
            return self._child
        if asyncio.get_running_loop().time() < self._not_before:
            raise SpeechUnavailable("the speech process has just failed")
        if self._started:
            RESTARTS.inc()
        self._started += 1
        process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._child = _Child(process, 0)
        assert process.stdout is not None
        async with asyncio.timeout(START_S):
            self._child.rate_hz = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))[0]
        if not 8_000 <= self._child.rate_hz <= 48_000:
            raise ValueError("the speech process talks nonsense")
        return self._child

    async def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.process.returncode is None:
            with suppress(ProcessLookupError):
                # not process.kill(), which looks for the end first and so takes it from whoever waits for it
                os.kill(child.process.pid, signal.SIGKILL)
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(END_S):
                # its end is only told once its output was read: it may have said more than anybody asked for
                await child.process.communicate()
