"""The section [speech]: engines that are there, files and programs that can be used, and nothing that has no meaning."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

import pytest

from gateway import settings_speech
from gateway.app import load_settings
from gateway.settings_problems import SettingsError

VOICE = Path(__file__).parents[1] / "vectors" / "piper" / "tone.onnx"


def loaded(folder: Path, text: str) -> settings_speech.SpeechSettings:
    file = folder / "tocsin.toml"
    file.write_text("[speech]\n" + text)
    return load_settings(file).speech


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(SettingsError) as refused:
        loaded(folder, text)
    return str(refused.value).replace(f"{folder}/", "")


def test_espeak_speaks_without_a_word(tmp_path: Path) -> None:
    plan = loaded(tmp_path, "").plan()
    assert [engine.name for engine in plan.engines()] == ["espeak"]


def test_piper_with_its_voices(tmp_path: Path) -> None:
    plan = loaded(tmp_path, f'engine = "piper"\nvoices = {{fr = "{VOICE}"}}\nanswer_s = 20').plan()
    assert [engine.name for engine in plan.engines()] == ["piper", "espeak"]
    assert plan.voices == {"fr": VOICE}
    assert plan.answer_s == 20


def test_program_of_somebody(tmp_path: Path) -> None:
    plan = loaded(tmp_path, f'engine = "command"\ncommand = ["{sys.executable}", "{{text}}"]').plan()
    assert [engine.name for engine in plan.engines()] == ["command", "espeak"]
    assert plan.command == (sys.executable, "{text}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('engine = "festival"', 'tocsin.toml:2: speech.engine: expected one of "espeak", "piper", "command", got "festival"'),
        ('engine = "piper"', 'speech.voices: engine = "piper" needs a voice file'),
        ('engine = "piper"\nvoices = {fr = "/nowhere/fr.onnx"}', "tocsin.toml:3: speech.voices.fr: the file /nowhere/fr.onnx cannot"),
        ('engine = "piper"\nvoices = {"../fr" = "x"}', "speech.voices"),
        ('voices = {fr = "/nowhere/fr.onnx"}', 'tocsin.toml:2: speech.voices: voices have a meaning only with engine = "piper"'),
        ('engine = "command"', 'speech.command: engine = "command" needs the program'),
        ('command = ["say"]', 'tocsin.toml:2: speech.command: command has a meaning only with engine = "command"'),
        ('engine = "command"\ncommand = ["/nowhere/say"]', "tocsin.toml:3: speech.command: there is no program /nowhere/say"),
        ('engine = "command"\ncommand = ["{text}"]', "tocsin.toml:3: speech.command: the program itself is a fixed path"),
        ("answer_s = 0", "tocsin.toml:2: speech.answer_s: expected a number from 0.5 to 60, got 0"),
        ("[speech.abbreviations]\nfr = 3", "tocsin.toml:3: speech.abbreviations.fr"),
        ('[speech.abbreviations.fr]\n"Ch." = ""', "tocsin.toml:3: speech.abbreviations.fr"),
        ("engines = 1", "speech.engines: unknown key, did you mean"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


def test_piper_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_speech, "find_spec", lambda name: None if name == "piper" else util.find_spec(name))
    told = refusal(tmp_path, f'engine = "piper"\nvoices = {{fr = "{VOICE}"}}')
    assert 'speech.engine: engine = "piper" needs the package piper-tts' in told


def test_voice_file_without_its_json(tmp_path: Path) -> None:
    voice = tmp_path / "fr.onnx"
    voice.write_bytes(VOICE.read_bytes())
    assert "fr.onnx.json cannot be read" in refusal(tmp_path, f'engine = "piper"\nvoices = {{fr = "{voice}"}}')


def test_abbreviations_of_a_site(tmp_path: Path) -> None:
    speech = loaded(
        tmp_path, '[speech.abbreviations.fr]\n"Ch." = "chambre"\n[speech.abbreviations.de]\n"Geb." = "Gebäude"'
    )
    assert speech.abbreviations == {"fr": {"Ch.": "chambre"}, "de": {"Geb.": "Gebäude"}}
