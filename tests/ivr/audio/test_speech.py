"""Speech in a process of its own: it may crash or hang, and the texts are spoken all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from unittest import mock

import pytest
import pytest_asyncio

from ivr.audio import engines, speech
from ivr.audio.engines import ChildEngine, espeak_installed
from ivr.audio.numeric import np
from ivr.audio.sound import Sound
from ivr.audio.speech import Speaker, SpeechUnavailable

ANSWER_S = 20.0
"""Nothing here takes long, but a loaded machine may need more."""
HANGS_S = 3.0
LONG = "The pressure of pump three is too low. " * 40
DEAF = "import struct, sys, time; sys.stdout.buffer.write(b'TOCSIN/1'); sys.stdout.flush(); time.sleep(60)"
BABBLING = (
    "import struct, sys; out = sys.stdout.buffer; out.write(b'TOCSIN/1'); out.flush(); "
    "sys.stdin.buffer.read(4); out.write(struct.pack('!II', 22050, {size})); out.write(bytes({sent})); out.flush(); "
    "sys.stdin.buffer.read()"
)


@pytest_asyncio.fixture
async def speaker() -> AsyncIterator[Speaker]:
    one = Speaker(engines=(ChildEngine(answer_s=ANSWER_S),))
    yield one
    await one.close()


def running(pid: int | None) -> bool:
    assert pid is not None
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def child_of(speaker: Speaker) -> ChildEngine:
    (engine,) = speaker.engines
    assert isinstance(engine, ChildEngine)
    return engine


def pid_of(speaker: Speaker) -> int:
    pid = child_of(speaker).pid
    assert pid is not None
    return pid


def counted(result: str) -> float:
    return float(speech.REQUESTS.labels(result)._value.get())


def is_speech(sound: Sound) -> bool:
    values = np.frombuffer(sound.samples, dtype="<i2").astype(np.float64)
    return sound.duration_s > 0.2 and float(np.sqrt(np.mean(values**2))) > 200


async def until(true: Callable[[], bool]) -> None:
    """Turns of the loop until it is so."""
    async with asyncio.timeout(ANSWER_S):
        while True:
            if true():
                return
            await asyncio.sleep(0.002)


async def asking(speaker: Speaker, text: str) -> asyncio.Task[Sound]:
    """A text that is being spoken by a child that stands still."""
    os.kill(pid_of(speaker), signal.SIGSTOP)
    task = asyncio.create_task(speaker.say(text, "en"))
    await until(lambda: bool(speaker._making))
    await asyncio.sleep(0.005)
    assert not task.done()
    return task


def test_engine_is_installed() -> None:
    assert espeak_installed()


# --- speaking --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "language"), [("Pump three is down.", "en"), ("La pompe trois est à l'arrêt.", "fr")])
async def test_says_a_text(speaker: Speaker, text: str, language: str) -> None:
    assert child_of(speaker).pid is None
    sound = await speaker.say(text, language)
    assert is_speech(sound)
    assert 0.8 < sound.duration_s < 5
    assert running(child_of(speaker).pid)


async def test_languages_sound_different(speaker: Speaker) -> None:
    text = "Position 77, situation normale."
    english, french = await speaker.say(text, "en"), await speaker.say(text, "fr")
    assert english.duration_s != pytest.approx(french.duration_s, rel=0.02)
    assert (await speaker.say(text, "fr-FR")).duration_s == pytest.approx(french.duration_s, rel=0.1)


@pytest.mark.parametrize("language", ["xx", "", "en-XX", "e" * 300, "../../etc/passwd"])
async def test_language_that_is_not_known_is_spoken_anyway(speaker: Speaker, language: str) -> None:
    assert is_speech(await speaker.say("Pump three is down.", language))


async def test_same_text_is_made_once(speaker: Speaker) -> None:
    made, cached = counted("made"), counted("cached")
    both = await asyncio.gather(speaker.say("Pump three.", "en"), speaker.say(" Pump   3 ", "en"))
    assert both[0] is both[1]
    assert counted("made") == made + 1
    assert await speaker.say("Pump three.", "en") is both[0]
    assert (counted("made"), counted("cached")) == (made + 1, cached + 1)
    assert await speaker.say("Pump three.", "fr") is not both[0]


async def test_known_text_needs_no_child(speaker: Speaker) -> None:
    sound = await speaker.say("Pump three.", "en")
    os.kill(pid_of(speaker), signal.SIGSTOP)
    async with asyncio.timeout(1):
        assert await speaker.say("Pump three.", "en") is sound


async def test_many_at_once(speaker: Speaker) -> None:
    sounds = await asyncio.gather(*(speaker.say(f"Pump {n}.", "en") for n in range(30)))
    assert all(is_speech(sound) for sound in sounds)


async def test_cache_is_bounded(speaker: Speaker) -> None:
    first = await speaker.say("Number one.", "en")
    with mock.patch.object(speech, "CACHE_BYTES_MAX", 3 * len(first.samples)):
        for n in range(2, 12):
            await speaker.say(f"Number {n}.", "en")
        assert speaker._cached_bytes <= 3 * len(first.samples)
        assert speaker._cached_bytes == sum(len(sound.samples) for sound in speaker._cache.values())
    again = await speaker.say("Number one.", "en")
    assert again is not first
    assert again.duration_s == pytest.approx(first.duration_s, rel=0.1)


async def test_too_many_wait(speaker: Speaker) -> None:
    await speaker.say("Hello.", "en")
    with mock.patch.object(speech, "WAITING_MAX", 1):
        task = await asking(speaker, "One.")
        with pytest.raises(SpeechUnavailable, match="waiting"):
            await speaker.say("Two.", "en")
        os.kill(pid_of(speaker), signal.SIGCONT)
        assert is_speech(await task)


@pytest.mark.parametrize(
    "text",
    ["", " ", "\0", "\ud800", "[[", "<speak><break time='99s'/>", "🔥" * 3_000, "9" * 3_000, "a" * 3_000, "- " * 2_000],
)
async def test_odd_texts_harm_nobody(speaker: Speaker, text: str) -> None:
    await speaker.say("Hello.", "en")
    child = child_of(speaker).pid
    assert len((await speaker.say(text, "en")).samples) % 2 == 0
    assert child_of(speaker).pid == child


async def test_who_asked_may_go(speaker: Speaker) -> None:
    await speaker.say("Hello.", "en")
    task = await asking(speaker, "Somebody is called.")
    other = asyncio.create_task(speaker.say("Somebody is called.", "en"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    os.kill(pid_of(speaker), signal.SIGCONT)
    assert is_speech(await other)


# --- the child fails -------------------------------------------------------------------------------------------------


async def test_killed_while_speaking(speaker: Speaker) -> None:
    expected = await speaker.say(LONG, "en")
    speaker._cache.clear()
    child = pid_of(speaker)
    task = await asking(speaker, LONG)
    os.kill(child, signal.SIGKILL)
    assert (await task).duration_s == pytest.approx(expected.duration_s, rel=0.1)
    assert child_of(speaker).pid != child
    assert not running(child)


async def test_killed_between_two_texts(speaker: Speaker) -> None:
    restarts = engines.RESTARTS._value.get()
    await speaker.say("Hello.", "en")
    child = pid_of(speaker)
    os.kill(child, signal.SIGKILL)
    assert is_speech(await speaker.say("Are you still there?", "en"))
    assert child_of(speaker).pid != child
    assert engines.RESTARTS._value.get() == restarts + 1


async def test_hanging_child_is_replaced(speaker: Speaker) -> None:
    await speaker.say("Hello.", "en")
    child_of(speaker).answer_s = HANGS_S
    child = pid_of(speaker)
    begun = asyncio.get_running_loop().time()
    task = await asking(speaker, "Are you still there?")
    assert is_speech(await task)
    assert asyncio.get_running_loop().time() - begun >= HANGS_S
    assert child_of(speaker).pid != child
    assert not running(child)


async def unavailable(command: str, *, answer_s: float = ANSWER_S) -> Speaker:
    """A speaker whose child does this, and which has told so."""
    engine = ChildEngine(answer_s=answer_s, command=(sys.executable, "-S", "-c", command))
    speaker = Speaker(engines=(engine,))
    failed = counted("failed")
    with pytest.raises(SpeechUnavailable):
        await speaker.say("Hello.", "en")
    await until(lambda: not speaker._making)
    assert counted("failed") == failed + 1
    assert child_of(speaker).pid is None
    return speaker


@pytest.mark.parametrize(
    "command",
    [
        "",
        "raise SystemExit(1)",
        "print('x' * 1000)",
        BABBLING.format(size=3, sent=3),
        BABBLING.format(size=2**32 - 1, sent=10),
    ],
)
async def test_child_that_only_fails(command: str) -> None:
    await (await unavailable(command)).close()


async def test_child_that_never_answers() -> None:
    speaker = await unavailable(DEAF, answer_s=0.05)
    await speaker.close()


async def test_command_that_is_not_there() -> None:
    speaker = Speaker(engines=(ChildEngine(command=("/nowhere/espeak",)),))
    with pytest.raises(SpeechUnavailable):
        await speaker.say("Hello.", "en")
    await speaker.close()


async def test_starts_again_after_a_while() -> None:
    with mock.patch.object(engines, "RESTART_S", 0.25):  # so that the question that follows comes before
        speaker = await unavailable("raise SystemExit(1)")
    child_of(speaker).command = ChildEngine().command
    with pytest.raises(SpeechUnavailable, match="just failed"):
        await speaker.say("Hello.", "en")
    assert child_of(speaker).pid is None

    async def spoken() -> Sound:
        async with asyncio.timeout(ANSWER_S):
            while True:
                with suppress(SpeechUnavailable):
                    return await speaker.say("Hello.", "en")
                await asyncio.sleep(0.005)

    assert is_speech(await spoken())
    await speaker.close()


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_close_ends_the_child() -> None:
    speaker = Speaker()
    known = await speaker.say("Hello.", "en")
    child = child_of(speaker).pid
    await speaker.close()
    assert child_of(speaker).pid is None
    assert not running(child)
    assert await speaker.say("Hello.", "en") is known
    with pytest.raises(SpeechUnavailable, match="closed"):
        await speaker.say("Something else.", "en")
    assert child_of(speaker).pid is None
    await speaker.close()


async def test_close_while_speaking() -> None:
    speaker = Speaker()
    await speaker.say("Hello.", "en")
    child = pid_of(speaker)
    task = await asking(speaker, "Something else.")
    await speaker.close()
    assert not running(child)
    with pytest.raises((asyncio.CancelledError, SpeechUnavailable)):
        await task


async def test_child_ends_with_its_parent() -> None:
    """The end of its stdin is the end of the child: nothing is left behind when the gateway is killed."""
    speaker = Speaker()
    await speaker.say("Hello.", "en")
    process = child_of(speaker)._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(ANSWER_S):
        assert await process.wait() == 0
    await speaker.close()
