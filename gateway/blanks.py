"""Texts in which there is nothing to read: blanks, controls and marks that nobody sees. Pure."""

from __future__ import annotations

import unicodedata
from typing import Final

_NOTHING = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Mn", "Me", "Zl", "Zp", "Zs"})
"""Unicode categories of characters that show nothing by themselves."""
_EMPTY = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that are drawn as nothing: fillers of Hangul, the Braille pattern without dots."""


BLANK: Final = "expected a text to read: these are blanks and invisible marks alone"


def is_blank(text: str) -> bool:
    """Whether there is nothing in the text to read or to say aloud."""
    for character in text:  # the first one decides nearly always
        if character.isalnum() and character not in _EMPTY:
            return False
        if unicodedata.category(character) not in _NOTHING and character not in _EMPTY:
            return False
    return True


def readable(text: str) -> str:
    """The text itself, "" too. Raises ValueError where it is there and nothing of it can be read."""
    if text and is_blank(text):
        raise ValueError(BLANK)
    return text
