"""Words of others as one line that is safe to show: in a terminal, a log, a timeline, a callback. Pure."""

from __future__ import annotations

TEXT_MAX = 500
"""Characters of somebody else's words that are kept."""
UNSEEN = "?"
"""In place of a character that would not be seen, or would change how the others are: control characters (C0 with escape sequences,
C1), controls of direction (UAX 9), line and paragraph separators, lone surrogates, what Unicode has not assigned."""
_JOINERS = "\u200c\u200d"
"""Invisible, and needed to spell Persian and Indic names and to join pictures: they move nothing."""


def printable(text: str, length: int = TEXT_MAX) -> str:
    """One line of text without anything that is not seen, cut at `length`. Blanks of any kind become single spaces."""
    bounded = " ".join(text[: 4 * length].split())
    if bounded.isprintable():
        return bounded[:length]
    return "".join(one if one.isprintable() or one in _JOINERS else UNSEEN for one in bounded)[:length]
