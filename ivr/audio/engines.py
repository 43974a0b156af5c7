"""Speech engines behind one small port: a child process that stays (eSpeak NG, Piper), or any program, run once for each text.

An engine makes one try. Which engine is asked, in what order, and what is remembered, is `ivr.audio.speech`'s.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from prometheus_client import Counter

from ivr.audio.numeric import np
from ivr.audio.sound import WAV_BYTES_MAX, Sound, WavError, from_array, read_wav
from ivr.audio.speech_child import ANSWER, READY

ESPEAK_ANSWER_S = 5.0
"""A text takes 5 to 50 ms; a child that needs seconds hangs."""
ANSWER_S = 15.0
"""Piper and other natural voices take a tenth to a third of the time that the text lasts."""
START_S = 10.0
END_S = 2.0
"""A killed process is gone in milliseconds, unless its disk hangs: then nobody waits for it."""
RESTART_S = 0.2
RESTART_MAX_S = 5.0
SAMPLES_BYTES_MAX = 32 * 1024 * 1024
"""Twelve minutes at 22,050 Hz: beyond it the child has lost its mind."""
RATES_HZ = range(8_000, 48_001)
COMPLAINT_BYTES_MAX = 300
"""What is kept of a program's complaint: one line of a log."""

RESTARTS = Counter("tocsin_speech_restarts_total", "Starts of a speech process after its first")


class EngineError(Exception):
    """The engine did not speak this text; the text of the error says why."""


class SpeechEngine(Protocol):
    """Turns words into sound. `name` is how settings and logs call it."""

    name: str

    def speaks(self, language: str) -> bool:
        """Whether it has a voice for the language (BCP 47 tag, "" is unknown)."""
        ...

    async def speak(self, text: str, language: str, words_per_minute: int) -> Sound:
        """The text as sound, within a bounded time. One at a time. Raises EngineError."""
        ...

    async def close(self) -> None:
        """Ends its processes."""
        ...


def espeak_installed() -> bool:
    """Whether eSpeak NG is there (the extra `speech`)."""
    return importlib.util.find_spec("espeakng_loader") is not None


def piper_installed() -> bool:
    """Whether Piper is there (the package `piper-tts`)."""
    return importlib.util.find_spec("piper") is not None


def nearest_voice(language: str, voices: Mapping[str, Path]) -> Path | None:
    """The voice of the language, else of the language without its region, else of another region of it."""
    by_tag = {tag.lower(): path for tag, path in voices.items()}
    wanted, base = language.lower(), language.lower().partition("-")[0]
    if wanted in by_tag or base in by_tag:
        return by_tag.get(wanted) or by_tag[base]
    return next((path for tag, path in sorted(by_tag.items()) if tag.partition("-")[0] == base), None)


@dataclass(slots=True)
class ChildEngine:
    """A process that stays and is asked one text after the other, as `ivr.audio.speech_child` answers.

    A text that fails twice fails; then no process is started for a moment, which grows with each failure in a row.
    """

    name: str = "espeak"
    command: tuple[str, ...] = (sys.executable, "-m", "ivr.audio.speech_child", "espeak")
    voices: Mapping[str, Path] | None = None
    """The voice file of each language; None: the engine knows its languages itself."""
    answer_s: float = ESPEAK_ANSWER_S
    _process: asyncio.subprocess.Process | None = field(default=None, init=False, repr=False)
    _started: int = field(default=0, init=False)
    _failures: int = field(default=0, init=False)
    _not_before: float = field(default=0.0, init=False)

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return None if self._process is None else self._process.pid

    def speaks(self, language: str) -> bool:
        """See `SpeechEngine`."""
        return self.voices is None or nearest_voice(language, self.voices) is not None

    async def speak(self, text: str, language: str, words_per_minute: int) -> Sound:
        """See `SpeechEngine`."""
        if self._process is None and asyncio.get_running_loop().time() < self._not_before:
            raise EngineError(f"{self.name} has just failed")
        why = ""
        for _ in (1, 2):  # the first may have met a child that was dead already
            try:
                sound = await self._ask(text, language, words_per_minute)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
                why = str(error) or type(error).__name__
                await self.close()
                self._failures += 1
            else:
                self._failures = 0
                return sound
        delay_s = min(RESTART_S * 2 ** min(self._failures, 10), RESTART_MAX_S)
        self._not_before = asyncio.get_running_loop().time() + delay_s
        raise EngineError(f"{self.name} does not answer: {why}")

    async def _ask(self, text: str, language: str, words_per_minute: int) -> Sound:
        process = await self._alive()
        voice = "" if self.voices is None else str(nearest_voice(language, self.voices) or "")
        body = json.dumps([text, language, words_per_minute, voice]).encode()
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(len(body).to_bytes(4, "big") + body)
        async with asyncio.timeout(self.answer_s):
            await stdin.drain()
            rate_hz, size = ANSWER.unpack(await stdout.readexactly(ANSWER.size))
            if size > SAMPLES_BYTES_MAX or size % 2 or rate_hz not in RATES_HZ:
                raise ValueError("the speech process talks nonsense")
            samples = await stdout.readexactly(size)
        array = np.frombuffer(samples, dtype="<i2").astype(np.float64) / 32768
        return await asyncio.get_running_loop().run_in_executor(None, from_array, array, rate_hz)

    async def _alive(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        if self._started:
            RESTARTS.inc()
        self._started += 1
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_S):
            if await self._process.stdout.readexactly(len(READY)) != READY:
                raise ValueError("the speech process talks nonsense")
        return self._process

    async def close(self) -> None:
        """See `SpeechEngine`."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                # not process.kill(), which looks for the end first and so takes it from whoever waits for it
                os.kill(process.pid, signal.SIGKILL)
        await _ended(process)


@dataclass(slots=True)
class CommandEngine:
    """Any program that writes a WAV file, run once for each text. No shell reads the words.

    In its arguments `{language}`, `{words_per_minute}`, `{text}` and `{file}` are replaced. Without `{text}` the program
    reads the text from its standard input; without `{file}` the WAV is read from its standard output.
    """

    command: tuple[str, ...]
    answer_s: float = ANSWER_S
    name: str = "command"

    def speaks(self, language: str) -> bool:
        """See `SpeechEngine`: which languages the program knows is its own affair."""
        del language
        return True

    async def speak(self, text: str, language: str, words_per_minute: int) -> Sound:
        """See `SpeechEngine`."""
        with tempfile.TemporaryDirectory(prefix="tocsin-speech-") as folder:
            file = Path(folder) / "speech.wav"
            given = {
                "{text}": text,
                "{language}": language,
                "{words_per_minute}": str(words_per_minute),
                "{file}": str(file),
            }
            words = [_filled(word, given) for word in self.command]
            by_argument = any("{text}" in word for word in self.command)
            by_file = any("{file}" in word for word in self.command)
            try:
                written = await self._run(words, b"" if by_argument else text.encode("utf-8", "replace"))
                data = await asyncio.to_thread(_head, file) if by_file else written
                return await asyncio.to_thread(read_wav, data)
            except TimeoutError:
                raise EngineError(f"{self.command[0]} took longer than {self.answer_s:g} s") from None
            except (OSError, ValueError) as error:
                raise EngineError(f"{self.command[0]}: {_reason(error)}") from error

    async def _run(self, words: Sequence[str], given: bytes) -> bytes:
        """What the program wrote to its standard output. Raises ValueError where it failed, OSError, TimeoutError."""
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # its own children end with it
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            async with asyncio.timeout(self.answer_s):
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_feed(process.stdin, given))
                    written = tasks.create_task(_drained(process.stdout, WAV_BYTES_MAX + 1))
                    complaint = tasks.create_task(_drained(process.stderr, COMPLAINT_BYTES_MAX))
                status = await process.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await _ended(process)
        if status != 0:
            raise ValueError(f"ended with status {status}: {complaint.result().decode(errors='replace').strip()}")
        return written.result()

    async def close(self) -> None:
        """See `SpeechEngine`: no process outlives its text."""


def _filled(word: str, given: Mapping[str, str]) -> str:
    """One argument with its places filled; what stands in the text is never taken for a place."""
    for place, value in given.items():
        if place in word:
            before, _, after = word.partition(place)
            return _filled(before, given) + value + _filled(after, given)
    return word


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(WAV_BYTES_MAX + 1)


async def _feed(stdin: asyncio.StreamWriter, data: bytes) -> None:
    # a program need not read all of it, nor wait for the first of it; uvloop calls a pipe whose other end is gone a RuntimeError
    with suppress(ConnectionError, RuntimeError):
        stdin.write(data)
        await stdin.drain()
    stdin.close()


async def _drained(stream: asyncio.StreamReader, size_max: int) -> bytes:
    """The first octets of a stream that is read to its end: who writes is never made to wait."""
    kept = bytearray()
    while chunk := await stream.read(64 * 1024):
        kept += chunk[: max(0, size_max - len(kept))]
    return bytes(kept)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, WavError):
        return f"wrote no WAV file that can be played: {error}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)


async def _ended(process: asyncio.subprocess.Process) -> None:
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(END_S):
            # its end is only told once its output was read: it may have said more than anybody asked for
            await process.communicate()
