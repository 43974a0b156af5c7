"""Turns a text into the words that an engine speaks: everything that carries the meaning of a value is written out in the language.

An engine made for reading screens leaves out signs and joins digits. Here a text that differs in meaning never sounds the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from ivr.audio.speakable.abbreviations import Abbreviations
from ivr.audio.speakable.english import AMERICAN, BRITISH, ENGLISH
from ivr.audio.speakable.french import FRENCH
from ivr.audio.speakable.german import GERMAN
from ivr.audio.speakable.italian import ITALIAN
from ivr.audio.speakable.language import Language
from ivr.audio.speakable.neutral import neutral
from ivr.audio.speakable.normal import normal
from ivr.audio.speakable.pieces import Piece, Word
from ivr.audio.speakable.reading import Reader
from ivr.audio.speakable.spanish import SPANISH
from ivr.audio.speakable.speaking import spoken

LANGUAGES: Final[Mapping[str, Language]] = {
    "en": ENGLISH,
    "en-gb": BRITISH,
    "en-us": AMERICAN,
    "fr": FRENCH,
    "de": GERMAN,
    "es": SPANISH,
    "it": ITALIAN,
}
"""The languages with a file of their own, by tag in small letters."""

_BASE: Final = re.compile("[a-z]{2,3}")


def of(tag: str) -> Language:
    """The words of a language tag (RFC 5646): of the tag, else of its language, else neutral ones."""
    lowered = tag.lower().replace("_", "-")
    base = lowered.partition("-")[0]
    return LANGUAGES.get(lowered) or LANGUAGES.get(base) or (neutral(base) if _BASE.fullmatch(base) else ENGLISH)


def speakable(text: str, language: str, abbreviations: Mapping[str, str] | None = None) -> str:
    """The words to speak, bounded; `abbreviations` are those of the site, said instead of the language's. Never raises."""
    words = of(language)
    plain = _without_own(words)

    def read(some: str) -> list[Piece]:
        return Reader(normal(some)[0], words, plain).read()

    written, whole = normal(text)
    short = Abbreviations(words, abbreviations, read) if abbreviations else plain
    return spoken(Reader(written, words, short).read(), words, whole=whole)


@lru_cache(maxsize=200)
def _without_own(language: Language) -> Abbreviations:
    return Abbreviations(language, {}, lambda text: [Word(text)])
