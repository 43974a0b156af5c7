"""The fixed prompts: their names, their texts by language, and the WAV files made of them: calls need no speech engine for these.

``python -m ivr.audio.prompts --make`` makes the files anew where a text has changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

from ivr.audio.sound import Sound, WavError, read_wav, write_wav

OWN = Path(__file__).parent.parent / "prompts"
DEFAULT_LANGUAGE = "en"
FILES_MAX = 1_000
MANIFEST = "made-of.toml"
"""Beside the files of a language: the digest of the text that each was made of."""


class PromptError(ValueError):
    """A prompt is missing or cannot be played. The text names the file."""


class Prompts:
    """The prompts of all languages. `extra` is an installation's own folder of ``LANGUAGE/NAME.wav`` files, which go before ours."""

    def __init__(self, extra: Path | None = None) -> None:
        self._files: dict[tuple[str, str], Path] = {}
        self._sounds: dict[Path, Sound] = {}
        for folder in (OWN, *([extra] if extra is not None else [])):
            self._add(folder)
        if extra is not None:
            for path in self._files.values():
                if extra in path.parents:
                    self._read(path)  # a broken file shows at the start, not in a call
        self.names = frozenset(name for language, name in self._files if language == DEFAULT_LANGUAGE)
        self.languages = tuple(sorted({language for language, _ in self._files}))

    def _add(self, folder: Path) -> None:
        if not folder.is_dir():
            raise PromptError(f"{folder}: expected a folder of LANGUAGE/NAME.wav")
        paths = sorted(folder.glob("*/*.wav"))
        if len(paths) > FILES_MAX:
            raise PromptError(f"{folder}: expected at most {FILES_MAX} files")
        self._files.update({(path.parent.name.lower(), path.stem): path for path in paths})

    def _read(self, path: Path) -> Sound:
        sound = self._sounds.get(path)
        if sound is None:
            try:
                sound = read_wav(path.read_bytes())
            except (OSError, WavError) as error:
                raise PromptError(f"{path}: {error}") from error
            self._sounds[path] = sound
        return sound

    def sound(self, name: str, language: str) -> Sound:
        """The prompt in the language nearest to the one asked for. Raises PromptError where no language has it."""
        for tag in (*_tags(language), DEFAULT_LANGUAGE):
            path = self._files.get((tag, name))
            if path is not None:
                return self._read(path)
        raise PromptError(f"there is no prompt {name}")

    def nearest(self, language: str) -> str:
        """The language that prompts are spoken in for somebody who speaks this one."""
        return next((tag for tag in _tags(language) if tag in self.languages), DEFAULT_LANGUAGE)

    def has(self, language: str) -> bool:
        """Whether there are prompts in this language or in the one that it is a variety of."""
        return any(tag in self.languages for tag in _tags(language))


def _tags(language: str) -> tuple[str, str]:
    """As folders are named: the language itself, and without its region."""
    return language.lower(), language.lower().partition("-")[0]


def texts(language: str) -> Mapping[str, str]:
    """The texts of our prompts in a language."""
    with (OWN / f"{language}.toml").open("rb") as file:
        return {name: str(text) for name, text in tomllib.load(file).items()}


def digest(text: str) -> str:
    """What the manifest holds of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def manifest(language: str) -> Mapping[str, str]:
    """The digests of the texts that the files of a language were made of."""
    path = OWN / language / MANIFEST
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        return {name: str(one) for name, one in tomllib.load(file).items()}


async def make() -> list[Path]:
    """Speaks every prompt whose text has changed; gives the files written."""
    from ivr.audio.speech import Speaker

    speaker, written = Speaker(words_per_minute=150), []
    try:
        for source in sorted(OWN.glob("*.toml")):
            language = source.stem
            folder, wanted, made = OWN / language, texts(language), manifest(language)
            folder.mkdir(exist_ok=True)
            for path in folder.glob("*.wav"):
                if path.stem not in wanted:
                    path.unlink()
            for name, text in wanted.items():
                path = folder / f"{name}.wav"
                if made.get(name) != digest(text) or not path.exists():
                    path.write_bytes(write_wav(await speaker.say(text, language), codec="PCMA"))
                    written.append(path)
            lines = [f'{name} = "{digest(text)}"\n' for name, text in wanted.items()]
            (folder / MANIFEST).write_text("".join(lines))
    finally:
        await speaker.close()
    return written


if __name__ == "__main__":
    if sys.argv[1:] != ["--make"]:
        sys.exit("usage: python -m ivr.audio.prompts --make")
    for one in asyncio.run(make()):
        print(one)
