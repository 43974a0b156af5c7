"""Reads signs that stand for themselves: emoji, marks without a name here, Greek letters, letters of other scripts."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from ivr.audio.speakable.language import Language
from ivr.audio.speakable.pieces import Pause, Picture, Piece, Word
from ivr.audio.speakable.symbols import ALIKE

Read = tuple[list[Piece], int]

GREEK: Final = re.compile("[Α-Ωα-ω]")
_GREEK_WORD: Final = re.compile("[Ͱ-Ͽἀ-῿]+")


def picture_at(text: str, pos: int, language: Language) -> Read:
    """The sign that stands here, repeated or not; a letter that no rule knew is a word."""
    char = text[pos]
    end = pos + 1
    while text[end : end + 1] == char:
        end += 1
    char = ALIKE.get(char, char)
    category = unicodedata.category(char)
    if GREEK.match(char):
        return _greek(text, pos, language)
    if category[0] in "LM":
        return [Word(char)], end
    if category[0] == "N":
        return [Word(char)] if category == "Nl" else [Picture(char)], end
    if category[0] == "P" and category not in ("Po", "Pd"):
        return [Pause(",")], end
    if category[0] == "Z":
        return [], end
    return [Picture(char)], end


def _greek(text: str, pos: int, language: Language) -> Read:
    """Greek text as it is, one letter alone by its name."""
    match = _GREEK_WORD.match(text, pos)
    assert match is not None
    if len(match[0]) > 1 or language.tag == "el":
        return [Word(match[0])], match.end()
    name = unicodedata.name(match[0], "").rpartition("LETTER ")[2].partition(" ")[0].lower()
    return [Word(name.replace("lamda", "lambda"))], match.end()
