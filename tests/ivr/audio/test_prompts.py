"""The fixed prompts: every one in every language, made of its present text; an installation's own go first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ivr.audio.numeric import np
from ivr.audio.prompts import MANIFEST, OWN, PromptError, Prompts, digest, manifest, texts
from ivr.audio.sound import Sound, read_wav, silence, write_wav
from ivr.audio.tones import tone

LANGUAGES = ["en", "fr"]
FLOWS = OWN.parent / "flows"


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return Prompts()


def own_folder(tmp_path: Path, **files: Sound) -> Path:
    for name, sound in files.items():
        path = tmp_path / f"{name.replace('__', '/')}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(write_wav(sound))
    return tmp_path


def test_languages(prompts: Prompts) -> None:
    assert prompts.languages == tuple(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_prompt_is_there(prompts: Prompts, language: str) -> None:
    files = {path.stem for path in (OWN / language).glob("*.wav")}
    assert files == set(texts(language)) == set(texts("en")) == prompts.names


@pytest.mark.parametrize("language", LANGUAGES)
def test_files_are_made_of_the_present_texts(language: str) -> None:
    assert manifest(language) == {name: digest(text) for name, text in texts(language).items()}


def test_texts_are_translated() -> None:
    english, french = texts("en"), texts("fr")
    assert all(text.strip() == text and text for text in (*english.values(), *french.values()))
    assert [name for name in english if english[name] == french[name]] == []
    # the same keys are spoken of
    assert all(re.findall(r"\d+", english[name]) == re.findall(r"\d+", french[name]) for name in english)


@pytest.mark.parametrize("language", LANGUAGES)
def test_files_are_speech(prompts: Prompts, language: str) -> None:
    for name, text in texts(language).items():
        data = (OWN / language / f"{name}.wav").read_bytes()
        sound = prompts.sound(name, language)
        assert sound == read_wav(data)
        # a file of another text would be of another length
        assert 0.03 * len(text) < sound.duration_s < 0.13 * len(text) + 0.7, name
        values = np.frombuffer(sound.samples, dtype="<i2").astype(np.float64)
        assert float(np.sqrt(np.mean(values**2))) > 500, name
        assert len(sound.frames("PCMA")) == -(-len(sound.samples) // 320)


def test_flows_use_every_prompt_but_those_of_the_channel(prompts: Prompts) -> None:
    used = {name for path in FLOWS.glob("*.toml") for name in re.findall(r'"([a-z_]+)"', path.read_text("utf-8"))}
    assert prompts.names - used <= {"text_unreadable"}


@pytest.mark.parametrize(
    ("language", "nearest"), [("en", "en"), ("fr", "fr"), ("fr-CA", "fr"), ("FR", "fr"), ("de", "en"), ("", "en")]
)
def test_nearest_language(prompts: Prompts, language: str, nearest: str) -> None:
    assert prompts.nearest(language) == nearest
    assert prompts.sound("goodbye", language) == prompts.sound("goodbye", nearest)


def test_read_once(prompts: Prompts) -> None:
    assert prompts.sound("goodbye", "fr") is prompts.sound("goodbye", "fr")


def test_prompt_that_is_not_there(prompts: Prompts) -> None:
    with pytest.raises(PromptError, match="hullo"):
        prompts.sound("hullo", "en")


def test_own_prompts_go_first(tmp_path: Path) -> None:
    beep, swiss = tone([440], 0.5), tone([600], 0.5)
    prompts = Prompts(own_folder(tmp_path, en__goodbye=beep, de__goodbye=swiss, en__jingle=beep))
    assert prompts.sound("goodbye", "en").duration_s == 0.5
    assert prompts.sound("goodbye", "de-CH") == prompts.sound("goodbye", "de") != prompts.sound("goodbye", "en")
    assert prompts.sound("goodbye", "fr") == Prompts().sound("goodbye", "fr")
    assert prompts.sound("greeting", "de") == Prompts().sound("greeting", "en")
    assert prompts.languages == ("de", "en", "fr")
    assert prompts.names == Prompts().names | {"jingle"}


def test_broken_file_shows_at_the_start(tmp_path: Path) -> None:
    own_folder(tmp_path, en__goodbye=silence(0.1))
    broken = tmp_path / "en" / "greeting.wav"
    broken.write_bytes(b"RIFF")
    with pytest.raises(PromptError, match=re.escape(str(broken))):
        Prompts(tmp_path)


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="nowhere"):
        Prompts(tmp_path / "nowhere")


def test_no_manifest() -> None:
    assert manifest("xx") == {}
    assert (OWN / "en" / MANIFEST).is_file()
