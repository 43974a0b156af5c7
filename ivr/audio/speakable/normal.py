"""One spelling for what is written in many: dashes, blanks, digits, superscripts, widths, line ends. Meaning is kept."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final

TEXT_CHARS_MAX: Final = 4_000
"""Twice what two minutes hold: what is behind is in the other channels' messages."""

_SUPERSCRIPT: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ", "0123456789+-=()n")
_SUPERSCRIPTS: Final = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ"
_SQUARED: Final = re.compile(r"(?<=[A-Za-zµΩ])[²³](?![⁰¹²³⁴⁵⁶⁷⁸⁹])")
"""Of a unit: it stays as it is."""
_RAISED: Final = re.compile(rf"(?<=[\w)\]])[{_SUPERSCRIPTS}]+")
_CHARS: Final = {
    **dict.fromkeys(map(ord, "‐‑⁃﹣－˗"), "-"),
    **dict.fromkeys(map(ord, "‒–—―﹘⸺"), "–"),
    **dict.fromkeys(map(ord, "−➖﹣⁻₋"), "−"),
    **dict.fromkeys(map(ord, "’‘‛ʼ´`"), "'"),
    **dict.fromkeys(map(ord, "“”„‟«»‹›″〝〞"), '"'),
    **dict.fromkeys(map(ord, "\u202f\u2009\u2007\u2008\u200a"), "\xa0"),
    **dict.fromkeys(map(ord, "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u205f\u3000\u1680"), " "),
    **dict.fromkeys(map(ord, "\v\f\x1c\x1d\x1e\x85\u2028\u2029\r"), "\n"),
    **{ord("₀") + n: str(n) for n in range(10)},
    **{ord(one): "+" for one in "➕₊﹢＋"},
    ord("✖"): "×",
    ord("➗"): "÷",
    ord("μ"): "µ",
    ord("Ω"): "Ω",
    ord("˚"): "°",
    ord("℃"): "°C",
    ord("℉"): "°F",
    ord("…"): "...",
    ord("·"): "·",
    ord("⁄"): "⁄",
    ord("℅"): "c/o",
    ord("″"): "″",
}
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#x[0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
"""Those of pages that a sender left in; what is none stays as it is."""
_BREAK: Final = re.compile(r"</?(?:br|p|li|tr|div|ul|ol|h[1-6]|table)(?: [^<>]{0,200})?/?>", re.I)
_TAG: Final = re.compile(r"</?(?:b|i|u|em|strong|span|a|td|th|font|code|small)(?: [^<>]{0,500})?>", re.I)
"""Markup of pages that a sender left in; a single letter is a tag only where one is closed."""
_FRACTION: Final = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_WIDE: Final = re.compile(
    "[\uff01-\uffee\u2100-\u2121\u2123-\u218f\u2460-\u24ff\u3250-\u33ff\U0001d400-\U0001d7ff\ufb00-\ufb06¼-¾]"
)
"""Characters that are another spelling of ordinary ones (NFKC)."""
_REGIONAL: Final = re.compile("[\U0001f1e6-\U0001f1ff]{2}")
_SHY: Final = re.compile(r"(?<![^\s(\[{=<>:;,\"'])\xad(?=[.,]?\d)")
"""A soft hyphen before a number where nothing is to be divided: somebody's minus."""
_TIMES: Final = re.compile(r"(?<=[\d°)])( ?)(?<!\b0)[xX]\1(?=\d)")
_CELSIUS: Final = re.compile(r"°[ \xa0](?=[CFK]\b)")


def _narrow(char: str) -> str:
    value = unicodedata.numeric(char, None) if "\u2160" <= char <= "\u2188" else None  # Roman numerals
    return unicodedata.normalize("NFKC", char) if value is None else str(int(value))


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category in ("Cf", "Cs", "Me") or "\ufe00" <= char <= "\ufe0f" or "\U0001f3fb" <= char <= "\U0001f3ff":
        return ""  # joiners, directions, variants, halves of characters: nothing to be seen
    if category == "Cc" and char not in "\n\t":
        return " "
    return char


def normal(text: str) -> tuple[str, bool]:
    """The text in one spelling, and whether all of it: a text that is too long is cut between two words."""
    whole = len(text) <= TEXT_CHARS_MAX
    if not whole:
        end = max(text.rfind(blank, 0, TEXT_CHARS_MAX + 1) for blank in " \n\t")
        text = text[: end if end >= 0 else 0]
    if text.isascii():
        return _ascii(text), whole
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n"))
    text = _SHY.sub("-", text)
    text = _REGIONAL.sub(lambda flag: " " + " ".join(chr(ord(one) - 0x1F1E6 + 65) for one in flag[0]) + " ", text)
    text = _SQUARED.sub(lambda one: "\ue002" if one[0] == "²" else "\ue003", _FRACTION.sub(" + ", text))
    text = _RAISED.sub(lambda run: "^" + run[0].translate(_SUPERSCRIPT), text)
    text = _WIDE.sub(lambda one: _CHARS.get(ord(one[0])) or _narrow(one[0]), text.translate(_CHARS))
    text = text.replace("\ue002", "²").replace("\ue003", "³")
    if not text.isascii():
        text = "".join([one if (one.isascii() and one >= " ") or one.isalpha() else _visible(one) for one in text])
    return _ascii(text), whole


def _ascii(text: str) -> str:
    if "&" in text:
        text = _ENTITY.sub(lambda one: html.unescape(one[0]).translate(_CHARS), text)
    text = "".join(
        [one if one >= " " or one in "\n\t" else "\n" if one in "\r\v\f\x1c\x1d\x1e" else " " for one in text]
    )
    if "<" in text:
        text = _BREAK.sub("\n", text)
        if "</" in text:
            text = _TAG.sub("", text)
    return _CELSIUS.sub("°", _TIMES.sub(r"\1×\1", text))
