"""`tocsin say`: a text as it is heard in a call, for a person who listens before the night."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from channels.voice.settings import SipSettings
from gateway import files, loop
from gateway.cli.failures import Refused
from gateway.cli.invocation import common_options, this_invocation
from gateway.settings import Settings, default_settings

if TYPE_CHECKING:
    from ivr.audio.sound import Sound
    from ivr.audio.speech import SpeechPlan

PLAYERS = (
    ("pw-play",),
    ("paplay",),
    ("aplay", "-q"),
    ("play", "-q"),
    ("ffplay", "-loglevel", "error", "-nodisp", "-autoexit"),
    ("afplay",),
)
"""Programs that play a WAV file, of PipeWire, PulseAudio, ALSA, SoX, FFmpeg and macOS. The first one that is there is taken."""
LANGUAGE_DEFAULT = "en"
WORDS_PER_MINUTE_DEFAULT = 150
PLAYED_MARGIN_S = 30.0
"""A player that takes so much longer than its sound hangs: a sound card may be taken by another program."""


@click.command()
@click.argument("text")
@click.option("--language", metavar="TAG", help="fr, en, de-AT … By default the language of the first voice provider.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.wav", help="Write it there; play nothing."
)
@click.option("--words", is_flag=True, help="Print the words that would be spoken, and make no sound.")
@common_options
def say(text: str, language: str | None, out: Path | None, words: bool) -> None:
    """Speak TEXT as a call would: the same words, engine and speed, in telephone quality.

    TEXT is "-" for standard input. Without a settings file the defaults speak.
    """
    invocation = this_invocation()
    default = invocation.config is None and not invocation.config_path.exists()
    settings = default_settings() if default else invocation.settings("speech", "providers")
    if text == "-":
        text = sys.stdin.read()
    trunk = next((one.settings for one in settings.providers if isinstance(one.settings, SipSettings)), None)
    language = language or (trunk.language if trunk is not None else LANGUAGE_DEFAULT)
    words_per_minute = trunk.words_per_minute if trunk is not None else WORDS_PER_MINUTE_DEFAULT
    plan = _plan(settings)
    spoken = plan.words(text, language)
    document: dict[str, Any] = {"language": language, "words": spoken}
    if words:
        invocation.show(document, spoken)
        return
    engine, sound = loop.run(_spoken(plan, text, language, words_per_minute))
    document |= {"engine": engine, "seconds": round(sound.duration_s, 2), "file": None if out is None else str(out)}
    lines = [spoken, f"{sound.duration_s:.1f} s, spoken by {engine}"]
    if engine != plan.engine:
        lines.append(f"WARNING: {plan.engine} did not speak it; the log line above says why")
    if out is None:
        _play(sound)
    else:
        _write(sound, out)
        lines.append(f"written to {out}")
    invocation.show(document, lines)


def _plan(settings: Settings) -> SpeechPlan:
    try:
        return settings.speech.plan()
    except ImportError as error:  # numpy is left out by nobody, but its wheels are not there for every machine
        raise Refused(f"calls cannot be spoken here: {error}") from error


async def _spoken(plan: SpeechPlan, text: str, language: str, words_per_minute: int) -> tuple[str, Sound]:
    from ivr.audio.speech import SpeechUnavailable

    speaker = plan.speaker(words_per_minute)
    try:
        sound = await speaker.say(text, language)
    except SpeechUnavailable as error:
        raise Refused(f"nobody speaks it: {error}; calls would play a fixed prompt instead") from error
    finally:
        await speaker.close()
    return speaker.engine, sound


def _write(sound: Sound, out: Path) -> None:
    from ivr.audio.sound import write_wav

    try:
        files.write(out, write_wav(sound), over_links=False)
    except files.UnsafeFileError as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(f"cannot write {out}: {error.strerror}") from error


def _play(sound: Sound) -> None:
    """Raises Refused where no program plays it."""
    player = next((words for words in PLAYERS if shutil.which(words[0])), None)
    if player is None:
        names = ", ".join(words[0] for words in PLAYERS)
        raise Refused(
            f"no program here plays sound ({names}): name a file with --out FILE.wav and listen to it elsewhere"
        )
    with tempfile.NamedTemporaryFile(prefix="tocsin-say-", suffix=".wav") as file:
        _write(sound, Path(file.name))
        try:
            done = subprocess.run(  # noqa: S603 - one of the players above, with a file of ours
                [*player, file.name], timeout=sound.duration_s + PLAYED_MARGIN_S, capture_output=True, check=False
            )
        except subprocess.TimeoutExpired:
            raise Refused(f"{player[0]} plays and does not end; --out FILE.wav writes a file instead") from None
    if done.returncode != 0:
        told = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise Refused(f"{player[0]} could not play it ({told}); --out FILE.wav writes a file instead")
