"""The engines behind the port: Piper with a voice file, programs that write WAV files, and who speaks where one fails."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from ivr.audio.engines import (
    ChildEngine,
    CommandEngine,
    EngineError,
    SpeechEngine,
    espeak_installed,
    nearest_voice,
    piper_installed,
)
from ivr.audio.engines import _feed as fed
from ivr.audio.numeric import np
from ivr.audio.sound import Sound, silence, write_wav
from ivr.audio.speech import Speaker, SpeechPlan, SpeechUnavailable

VOICE = Path(__file__).parents[2] / "vectors" / "piper" / "tone.onnx"
ANSWER_S = 30.0
"""Loading the library of neural voices takes seconds on a busy machine."""


def program(code: str, *arguments: str, answer_s: float = ANSWER_S) -> CommandEngine:
    """A program that does this; its arguments are `sys.argv[1:]`."""
    return CommandEngine((sys.executable, "-S", "-c", code, *arguments), answer_s)


def writes(to: str = "sys.stdout.buffer.write(wav)") -> str:
    """Code that writes a second of silence as WAV."""
    return f"import sys; wav = {write_wav(silence(1.0))!r}; {to}"


def hertz(sound: Sound) -> float:
    """The loudest tone."""
    samples = np.frombuffer(sound.samples, dtype="<i2").astype(np.float64)
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * 8_000 / len(samples))


def zombie(pid: int) -> bool:
    """Whether it is only waited for by nobody."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False


async def gone(pid: int) -> bool:
    """Whether the process ends."""
    async with asyncio.timeout(ANSWER_S):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            if zombie(pid):
                return True
            await asyncio.sleep(0.005)


@pytest_asyncio.fixture
async def speaker_for() -> AsyncIterator[Callable[[SpeechPlan], Speaker]]:
    """Makes speakers, and closes them."""
    made: list[Speaker] = []

    def make(plan: SpeechPlan) -> Speaker:
        made.append(plan.speaker(150))
        return made[-1]

    yield make
    for one in made:
        await one.close()


def test_engines_of_these_tests_are_installed() -> None:
    assert espeak_installed()
    assert piper_installed(), "pip install piper-tts (requirements/dev.txt has it)"


@pytest.mark.parametrize("tag", ["fr", "FR"])
@pytest.mark.parametrize("language", ["fr", "FR", "fr-BE", "Fr-be"])
def test_abbreviations_of_a_site_are_found_however_the_language_is_written(tag: str, language: str) -> None:
    plan = SpeechPlan(abbreviations={tag: {"ch. froide": "chambre froide"}})
    assert "hambre froide" in plan.words("ch. froide 3", language)


# --- Piper -----------------------------------------------------------------------------------------------------------


async def test_piper_speaks_with_the_voice_file(speaker_for: Callable[[SpeechPlan], Speaker]) -> None:
    speaker = speaker_for(SpeechPlan(engine="piper", voices={"fr": VOICE}, answer_s=ANSWER_S))
    sound = await speaker.say("pompe trois", "fr-FR")
    assert hertz(sound) == pytest.approx(440, abs=3)
    assert 0.3 < sound.duration_s < 3


async def test_piper_speaks_faster_when_it_is_told_to(speaker_for: Callable[[SpeechPlan], Speaker]) -> None:
    plan = SpeechPlan(engine="piper", voices={"fr": VOICE}, answer_s=ANSWER_S)
    slow, fast = plan.speaker(100), plan.speaker(200)
    try:
        slowly, quickly = await slow.say("pompe trois", "fr"), await fast.say("pompe trois", "fr")
    finally:
        await slow.close()
        await fast.close()
    assert slowly.duration_s == pytest.approx(2 * quickly.duration_s, rel=0.05)


async def test_language_without_a_voice_is_spoken_by_espeak(speaker_for: Callable[[SpeechPlan], Speaker]) -> None:
    speaker = speaker_for(SpeechPlan(engine="piper", voices={"fr": VOICE}, answer_s=ANSWER_S))
    english = await speaker.say("Pump three is down.", "en")
    assert hertz(english) != pytest.approx(440, abs=3)
    assert english.duration_s > 0.5


@pytest.mark.parametrize("broken", [b"", b"no voice at all"])
async def test_broken_voice_file_is_spoken_by_espeak(
    tmp_path: Path, broken: bytes, speaker_for: Callable[[SpeechPlan], Speaker]
) -> None:
    voice = tmp_path / "broken.onnx"
    voice.write_bytes(broken)
    voice.with_name("broken.onnx.json").write_text("{")
    speaker = speaker_for(SpeechPlan(engine="piper", voices={"fr": voice}, answer_s=ANSWER_S))
    assert (await speaker.say("La pompe trois.", "fr")).duration_s > 0.5


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("fr", "fr.onnx"), ("fr-BE", "fr.onnx"), ("FR-be", "fr.onnx"), ("en-GB", "gb.onnx"), ("en", "gb.onnx"), ("en-US", "gb.onnx"),
        ("de", None), ("", None),
    ],
)  # fmt: skip
def test_nearest_voice(language: str, voice: str | None) -> None:
    voices = {"fr": Path("fr.onnx"), "en-GB": Path("gb.onnx")}
    assert nearest_voice(language, voices) == (None if voice is None else Path(voice))


# --- programs --------------------------------------------------------------------------------------------------------


async def test_program_gets_the_text_on_its_input_and_writes_to_its_output() -> None:
    code = "import sys; text = sys.stdin.read(); assert text == 'À l\\'arrêt -18,5', text; " + writes()
    assert (await program(code).speak("À l'arrêt -18,5", "fr", 150)).duration_s == 1.0


async def test_program_gets_the_places_of_its_arguments_filled() -> None:
    places = "'\\x7bfile\\x7d $(id) \\x7blanguage\\x7d'"  # spelled so that they are none in the code, which is an argument too
    told = f"assert sys.argv[1:4] == ['--lang=fr-FR', {places}, '150'], sys.argv; "
    code = writes(told + "open(sys.argv[4], 'wb').write(wav)")
    engine = program(code, "--lang={language}", "{text}", "{words_per_minute}", "{file}")
    assert (await engine.speak("{file} $(id) {language}", "fr-FR", 150)).duration_s == 1.0


@pytest.mark.parametrize(
    ("engine", "why"),
    [
        (CommandEngine(("/nowhere/speaks",)), "/nowhere/speaks: No such file"),
        (program("raise SystemExit('no voice')"), "status 1: no voice"),
        (program("pass"), "no WAV file"),
        (program("pass", "{file}"), "No such file"),
        (program("print('x' * 1_000_000)"), "no WAV file"),
        (program("import sys; sys.stderr.write('x' * 1_000_000); sys.exit(3)"), "status 3: x{300}$"),
        (program("import time; time.sleep(60)", answer_s=0.3), "longer than 0.3 s"),
        (program("import sys\nwhile True: sys.stdout.write('x' * 10_000)", answer_s=1.0), "longer than 1 s"),
    ],
    ids=["is not there", "fails", "says nothing", "writes no file", "no WAV", "complains", "hangs", "never ends"],
)
async def test_program_that_fails(engine: CommandEngine, why: str) -> None:
    with pytest.raises(EngineError, match=why):
        await engine.speak("Hello.", "en", 150)


async def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    left = tmp_path / "pid"
    code = (
        "import subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"open({str(left)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    )
    with pytest.raises(EngineError, match="longer"):
        await program(code, answer_s=3.0).speak("Hello.", "en", 150)
    assert await gone(int(left.read_text()))


async def test_program_that_does_not_read_the_text_may_speak_all_the_same() -> None:
    assert (await program(writes()).speak("Hello. " * 20_000, "en", 150)).duration_s == 1.0


async def test_espeak_speaks_where_the_program_fails(speaker_for: Callable[[SpeechPlan], Speaker]) -> None:
    speaker = speaker_for(SpeechPlan(engine="command", command=(sys.executable, "-S", "-c", "raise SystemExit(1)")))
    assert [engine.name for engine in speaker.engines] == ["command", "espeak"]
    assert (await speaker.say("Pump three is down.", "en")).duration_s > 0.5


async def test_nobody_speaks_where_every_engine_fails() -> None:
    speaker = Speaker(engines=(program("raise SystemExit(1)"), ChildEngine(command=("/nowhere/espeak",))))
    with pytest.raises(SpeechUnavailable, match="espeak does not answer"):
        await speaker.say("Hello.", "en")
    await speaker.close()


async def test_engines_keep_to_the_port() -> None:
    made: list[SpeechEngine] = [ChildEngine(), CommandEngine(("speak",))]
    for engine in made:
        assert engine.speaks("fr")
        assert engine.name in ("espeak", "command")
        await engine.close()  # also where nothing was ever spoken


async def test_a_program_that_has_ended_before_it_is_given_its_text_is_no_fault_of_ours() -> None:
    process = await asyncio.create_subprocess_exec("true", stdin=asyncio.subprocess.PIPE)
    assert process.stdin is not None
    await process.wait()
    process.stdin.close()
    await fed(process.stdin, b"Fire")
