"""Replaces typographic look-alikes by characters of GSM 7-bit, to save parts. The alphabet is chosen elsewhere."""

from __future__ import annotations

import unicodedata

from channels.sms.concatenation import PARTS_MAX
from channels.sms.encoding import GSM7_CHARACTERS, MessageTooLongError, billable_parts

_FOLDED_TO = {
    "'": "\u2018\u2019\u201a\u201b\u2032\u02b9\u02bb\u02bc\u00b4\u0060",  # quotes, prime, acute, backtick
    '"': "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb",  # quotes, double prime, guillemets
    "<": "\u2039",
    ">": "\u203a",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"  # hyphens, dashes, minus
    "\u2022\u2023\u2043\u25aa\u25cf\u25e6",  # bullets
    ".": "\u00b7\u2024",
    "..": "\u2025",
    "...": "\u2026",
    "/": "\u2044\u2215",
    "|": "\u00a6",
    "x": "\u00d7",
    "^": "\u02c6",
    "~": "\u02dc",
    " ": "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
    "\n": "\x0b\x85\u2028\u2029",
    "": "\u00ad\u200b\u200c\u200e\u200f\u2060\ufeff",  # soft hyphen, zero-width space, direction marks: nothing to see
    "ff": "\ufb00",
    "fi": "\ufb01",
    "fl": "\ufb02",
    "ffi": "\ufb03",
    "ffl": "\ufb04",
}
FOLDED: dict[str, str] = {like: to for to, likes in _FOLDED_TO.items() for like in likes} | {
    chr(0xFF00 + code - 0x20): "'" if chr(code) == "`" else chr(code)  # full-width forms
    for code in range(0x21, 0x7F)
}
"""Every look-alike and what it becomes. No letter loses an accent and no sign its meaning: ç, ž, ° are not here."""

_TABLE = str.maketrans(FOLDED)


def fold_lookalikes(text: str) -> str:
    """The text with look-alikes replaced, if that makes it writable in GSM 7-bit at no more parts; else unchanged.

    A text with even one character that has no honest replacement goes as UCS-2 anyway and keeps its typography.
    Decomposed letters are composed first (Unicode NFC), which changes no meaning: e and U+0301 become é.
    """
    if GSM7_CHARACTERS.issuperset(text):
        return text
    folded = unicodedata.normalize("NFC", text).translate(_TABLE)
    if not GSM7_CHARACTERS.issuperset(folded) or _parts(folded) > _parts(text):
        return text
    return folded


def _parts(text: str) -> int:
    try:
        return billable_parts(text)
    except MessageTooLongError:
        return PARTS_MAX + 1
