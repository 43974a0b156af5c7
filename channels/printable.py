"""Words of others as one line that is safe to show: in a terminal, a log, a timeline, a callback. Pure."""

from __future__ import annotations

TEXT_MAX = 500
"""Characters of somebody else's words that are kept."""
UNSEEN = "?"
"""In place of a character that would not be seen, or would change how the others are: control characters (C0 with escape sequences,
C1), controls of direction (UAX 9), line and paragraph separators, lone surrogates, what Unicode has not assigned."""
_JOINERS = "\u200c\u200d"
"""Invisible, and needed to spell Persian and Indic names and to join pictures: they move nothing."""


def visible(text: str, keep: str = "") -> str:
    """The text with UNSEEN in place of what is not seen, but for the characters to `keep`; it is as long as before."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in _JOINERS or one in keep else UNSEEN for one in text)


def printable(text: str, length: int = TEXT_MAX) -> str:
    """One line of text without anything that is not seen, cut at `length`. Blanks of any kind become single spaces."""
    if len(text) <= length and text.isascii() and text.isprintable() and "  " not in text and text == text.strip():
        return text  # a code, or nothing, or one line as it should be: most are
    return visible(" ".join(text[: 4 * length].split()))[:length]


def escaped(json: str) -> str:
    """A JSON text in which what is not seen is written as escapes (RFC 8259, 7): the same document."""
    if json.isprintable():
        return json
    return "".join(one if one.isprintable() or one in _JOINERS else _escape(one) for one in json)


def _escape(one: str) -> str:
    units = one.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
