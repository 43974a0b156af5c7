"""`tocsin say`: what a person hears and reads before the night."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import say
from ivr.audio.sound import read_wav
from tests.gateway.cli_desk import Terminal, terminal_in

VOICE = Path(__file__).parents[1] / "vectors" / "piper" / "tone.onnx"
PBX = """
[[providers]]
name = "pbx"
channel = "voice"
kind = "sip"
host = "127.0.0.1"
port = 1
listen = "127.0.0.1:0"
language = "fr"
words_per_minute = 100
first_response_s = 0.5
"""


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with terminal_in(tmp_path, capsys) as one:
        yield one


def add(terminal: Terminal, text: str) -> None:
    terminal.config.write_text(terminal.config.read_text() + text)


def test_writes_what_a_call_would_play(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "said.wav"
    answer = terminal.run("say", "Pump three is down", "--language", "en", "--out", str(file))
    assert (answer.status, answer.err) == (0, "")
    assert "Pump three is down" in answer.out
    assert "spoken by espeak" in answer.out
    assert 0.8 < read_wav(file.read_bytes()).duration_s < 4


def test_speaks_the_language_and_speed_of_the_voice_provider(terminal: Terminal, tmp_path: Path) -> None:
    text, file = "La pompe trois est à l'arrêt.", tmp_path / "said.wav"
    quick = terminal.run("say", text, "--language", "fr", "--out", str(file), "--json").document
    add(terminal, PBX)
    slow = terminal.run("say", text, "--out", str(file), "--json").document
    assert (quick["language"], slow["language"]) == ("fr", "fr")
    assert slow["seconds"] > 1.2 * quick["seconds"]


def test_needs_no_settings_file(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    file = tmp_path / "said.wav"
    assert terminal.run("say", "Hello.", "--out", str(file), config=False).status == 0
    assert read_wav(file.read_bytes()).duration_s > 0.2


def test_words_alone(terminal: Terminal) -> None:
    answer = terminal.run("say", "Hello", "--words", "--json")
    assert answer.status == 0
    assert answer.document == {"language": "en", "words": "Hello."}


def test_a_natural_voice_from_its_file(terminal: Terminal, tmp_path: Path) -> None:
    add(terminal, f'\n[speech]\nengine = "piper"\nvoices = {{fr = "{VOICE}"}}\nanswer_s = 30\n')
    file = tmp_path / "said.wav"
    assert terminal.run("say", "pompe", "--language", "fr", "--out", str(file), "--json").document["engine"] == "piper"
    told = terminal.run("say", "pump", "--language", "en", "--out", str(file))
    assert "WARNING: piper did not speak it" in told.out


def test_engine_that_fails_is_named(terminal: Terminal, tmp_path: Path) -> None:
    add(terminal, f'\n[speech]\nengine = "command"\ncommand = ["{sys.executable}", "-c", "raise SystemExit(1)"]\n')
    answer = terminal.run("say", "Hello.", "--out", str(tmp_path / "said.wav"))
    assert answer.status == 0
    assert "WARNING: command did not speak it" in answer.out
    assert "status 1" in answer.err


def test_file_that_cannot_be_written(terminal: Terminal) -> None:
    answer = terminal.run("say", "Hello.", "--out", "/nowhere/said.wav")
    assert answer.status == 1
    assert "cannot write /nowhere/said.wav: No such file or directory" in answer.err


def player(folder: Path, code: str) -> None:
    file = folder / "aplay"
    file.write_text(f"#!{sys.executable}\n{code}\n")
    file.chmod(0o755)


def test_is_played_by_what_is_there(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(say, "PLAYERS", (("aplay", "-q"),))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    player(
        tmp_path,
        f"import shutil, sys; assert sys.argv[1] == '-q'; shutil.copy(sys.argv[2], {str(tmp_path / 'heard')!r})",
    )
    assert terminal.run("say", "Hello.").status == 0
    assert read_wav((tmp_path / "heard").read_bytes()).duration_s > 0.2
    player(tmp_path, "raise SystemExit('no sound card')")
    answer = terminal.run("say", "Hello.")
    assert answer.status == 1
    assert "aplay could not play it (no sound card); --out" in answer.err


def test_nothing_plays_here(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(say, "PLAYERS", (("no-such-player",),))
    answer = terminal.run("say", "Hello.")
    assert answer.status == 1
    assert "no program here plays sound" in answer.err


def test_check_connect_lets_the_engine_speak(terminal: Terminal) -> None:
    add(terminal, PBX)
    assert "ok      speech            espeak speaks" in terminal.run("check", "--connect").out
    add(terminal, f'\n[speech]\nengine = "command"\ncommand = ["{sys.executable}", "-c", "raise SystemExit(1)"]\n')
    answer = terminal.run("check", "--connect")
    assert "FAILED  speech            command does not speak en; espeak would" in answer.out
    assert "speech" in answer.err
