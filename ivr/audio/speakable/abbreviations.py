"""What is said for words that are written short: the site's own, then those that a language knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from ivr.audio.speakable.language import Language
from ivr.audio.speakable.pieces import Piece, Spelled, Word

Read = tuple[list[Piece], int]

_LETTERED: Final = re.compile("[A-Z]( [A-Z])+")
_NUMBER_FOLLOWS: Final = re.compile(r"[ \xa0]?[#]?\d")


class Abbreviations:
    """What is said for words that are written short, the site's before the language's."""

    def __init__(self, language: Language, own: Mapping[str, str], read: Callable[[str], list[Piece]]) -> None:
        """`read` is how the site's words are read, which may hold numbers themselves."""
        self._own = {key.strip(): said for key, said in own.items() if key.strip()}
        self._own_lowered = {key.lower(): said for key, said in self._own.items() if not key.isupper()}
        self._language = language
        self._read = read
        self._pattern = _pattern(
            frozenset([*self._own, *language.abbreviations, *language.abbreviations_before_numbers])
        )

    def at(self, text: str, pos: int) -> Read | None:
        """What is said for the abbreviation that begins here."""
        match = self._pattern.match(text, pos)
        if match is None:
            return None
        written, lowered, language = match[0], match[0].lower(), self._language
        own = self._own.get(written) or self._own_lowered.get(lowered)
        if own is not None:
            return self._read(own), match.end()
        if lowered in language.abbreviations_before_numbers and _NUMBER_FOLLOWS.match(text, match.end()):
            return [Word(language.abbreviations_before_numbers[lowered])], match.end()
        said = language.abbreviations.get(written) or language.abbreviations.get(lowered)
        if said is None or (
            text[match.end() : match.end() + 1] == "-" and not re.match(r"-[\d.]", text[match.end() : match.end() + 2])
        ):
            return None
        return [Spelled(said.replace(" ", "")) if _LETTERED.fullmatch(said) else Word(said)], match.end()


@lru_cache(maxsize=64)
def _pattern(keys: frozenset[str]) -> re.Pattern[str]:
    longest = sorted(keys, key=len, reverse=True)
    return re.compile(
        "(?:"
        + "|".join(re.escape(key) for key in longest)
        + r")(?!(?<=\w)\w|(?<=\w)['@]\w|(?<=[\w.])\.\w|(?<=\.)[^\W\d_]\.)",
        re.IGNORECASE,
    )
