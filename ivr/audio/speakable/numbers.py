"""Reads numbers with their units, powers and ranges. `1.234,5`, `1,234.5` and `1 234,5` with a fixed blank are one number each."""

from __future__ import annotations

import re
from typing import Final

from ivr.audio.speakable import units
from ivr.audio.speakable.language import Language
from ivr.audio.speakable.pieces import Number, Ordinal, Pause, Piece, Quantity, Spelled, Symbol

Read = tuple[list[Piece], int]

CARDINAL_DIGITS: Final = 6
"""So many digits in a row are a number; more of them, with no unit and no groups, a serial number: said one by one."""
DIGITS_TOGETHER: Final = 3
"""Digits that are said one by one come in groups of three: an ear keeps them."""

_NUMBER: Final = re.compile(
    r"(?P<blank>[1-9]\d{0,2}(?:\xa0\d{3})+(?!\d)|[1-9]\d{0,2}(?:'\d{3})+(?!\d))(?:(?P<bmark>[.,])(?P<bdec>\d+))?"
    r"|(?P<comma>[1-9]\d{0,2}(?:,\d{3})+)(?P<cmark>\.)(?P<cdec>\d+)"
    r"|(?P<point>[1-9]\d{0,2}(?:\.\d{3})+)(?P<pmark>,)(?P<pdec>\d+)"
    r"|(?P<many>[1-9]\d{0,2}(?:(?:,\d{3}){2,}|(?:\.\d{3}){2,}))(?![\d.,]*\d)"
    r"|(?P<whole>\d+)(?:(?P<mark>[.,])(?P<dec>\d+))?"
)
_UNIT: Final = re.compile(r"[ \xa0]?(" + units.PATTERN + r")(?!\w|[-/]\w|'\w)")
_UNIT_SHORT: Final = re.compile(rf"[ \xa0]?({units.ATOM})(?![\w²³])")
_POWER: Final = re.compile(r"[eE]([+-]?)(\d{1,3})(?![\w.,]*\w)")
_RAISED: Final = re.compile(r"[\^]\(?([+\-−]?)(\d{1,4})\)?|\*\*([+\-−]?)(\d{1,4})(?!\d)")
_CURRENCY: Final = re.compile(r"([€$£¥])[ \xa0]?(?=\d)")
_SCALE: Final = re.compile(r"[kKM](?!\w)")
_FRACTION: Final = re.compile(r"([123])⁄([24])(?!\d)")
_FRACTIONS: Final = {("1", "2"): "half", ("1", "4"): "quarter", ("3", "4"): "three_quarters"}
_COMMAS: Final = re.compile(r"\d+(?:,\d+){2,}(?![\w]|[.,]\d)")
_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3})+")
_DASHED: Final = re.compile(r"\d+(?:-\d+){2,}(?![\w]|[.,]\d)")
_ORDINAL: Final = re.compile(r"\d{1,9}")
_SIGN_FOLLOWS: Final = re.compile(r"[-–—−+±][.,]?\d")
_RANGE: Final = re.compile(r"[-–](?=\d)|\.{2,3}(?=[-−+]?\d)")
SIGNS: Final = {"-": "minus", "–": "minus", "—": "minus", "−": "minus", "+": "plus", "±": "plus_or_minus"}
_LETTER_UNITS: Final = frozenset("AVWKLlmhgts")
_JOINED_ONLY: Final = frozenset({"d", "j", "in"})
_SPACED_ONLY: Final = frozenset({"K"})
"""`300 K` is a temperature, `4K` a kind of screen."""


def by_digit(digits: str) -> list[Piece]:
    """Digits one by one, in groups."""
    groups = [digits[start : start + DIGITS_TOGETHER] for start in range(0, len(digits), DIGITS_TOGETHER)]
    if len(groups) > 1 and len(groups[-1]) == 1:
        groups[-2:] = [groups[-2] + groups[-1]]
    pieces: list[Piece] = []
    for group in groups:
        pieces += [Pause(","), Spelled(group)] if pieces else [Spelled(group)]
    return pieces


def value(number: Number, *, grouped: bool = False) -> list[Piece]:
    """A number without a unit: a serial number is not a value."""
    if len(number.whole) > CARDINAL_DIGITS and not grouped and not number.decimals:
        return [*([Symbol(number.sign)] if number.sign else []), *by_digit(number.whole)]
    return [number]


def number_at(text: str, pos: int, language: Language, sign: str = "") -> tuple[Number, int, bool] | None:
    """The number that begins here, where it ends, and whether its digits are grouped."""
    match = _NUMBER.match(text, pos)
    if match is None:
        return None
    kind = match.lastgroup
    if match["blank"] is not None:
        whole = match["blank"].replace("\xa0", "").replace("'", "")
        return Number(whole, match["bmark"] or "", match["bdec"] or "", sign), match.end(), True
    if kind == "cdec":
        return Number(match["comma"].replace(",", ""), ".", match["cdec"], sign), match.end(), True
    if kind == "pdec":
        return Number(match["point"].replace(".", ""), ",", match["pdec"], sign), match.end(), True
    if kind == "many":
        return Number(re.sub("[.,]", "", match["many"]), sign=sign), match.end(), True
    whole, mark, decimals = match["whole"], match["mark"] or "", match["dec"] or ""
    if mark and mark == language.groups_with and len(decimals) == 3 and whole[0] != "0" and len(whole) <= 3:
        return Number(whole + decimals, sign=sign), match.end(), True
    return Number(whole, mark, decimals, sign), match.end(), False


def unit_at(text: str, pos: int, language: Language, before: str) -> tuple[str, int] | None:
    """The unit that begins here, behind a number with the word `before` before it."""
    for pattern in (_UNIT, _UNIT_SHORT):
        match = pattern.match(text, pos)
        if match is None:
            continue
        written = match[1]
        spaced = match.start(1) > pos
        name = None if written in units.FRENCH_BYTES and language.tag[:2] != "fr" else units.named(written)
        if (
            name is None
            or (spaced and written in _JOINED_ONLY and language.tag[:2] != "fr")
            or (spaced and written == "in")
        ):
            continue
        if not spaced and written in _SPACED_ONLY:
            continue
        if len(written) == 1 and written in _LETTER_UNITS and written.isupper() and before in language.places:
            continue
        if written == "m" and not spaced and before in language.lasting:
            name = "min"
        if text[match.end() : match.end() + 1] == "." and text[match.end() + 1 : match.end() + 2].isdecimal():
            continue
        return name, match.end()
    return None


def amount_at(
    text: str, pos: int, language: Language, *, before: str = "", sign: str = "", currency: str = ""
) -> tuple[list[Piece], int, Number | None] | None:
    """A number with its powers and unit: pieces, end, and the number itself where it has no powers."""
    found = number_at(text, pos, language, sign)
    if found is None:
        return None
    number, end, grouped = found
    power = _POWER.match(text, end)
    if power is not None and (power[1] or number.decimals or text[end] == "e"):
        exponent = Number(power[2].lstrip("0") or "0", sign="minus" if power[1] == "-" else "")
        ten: list[Piece] = [number, Symbol("times"), Number("10"), Symbol("power"), exponent]
        return _with_unit(ten, text, power.end(), language)
    raised = _RAISED.match(text, end)
    if raised is not None:
        minus = (raised[1] or raised[3] or "") in ("-", "−") and (raised[1] or raised[3])
        exponent = Number(raised[2] or raised[4], sign="minus" if minus else "")
        return _with_unit([*value(number, grouped=grouped), Symbol("power"), exponent], text, raised.end(), language)
    if currency:
        scaled = _SCALE.match(text, end)
        if scaled is not None and scaled[0].replace("K", "k") + currency in units.SPLIT:
            return [Quantity(number, scaled[0].replace("K", "k") + currency)], scaled.end(), number
        return [Quantity(number, currency)], end, number
    unit = unit_at(text, end, language, before)
    if unit is not None:
        return [Quantity(number, unit[0])], unit[1], number
    return value(number, grouped=grouped), end, number


def _with_unit(pieces: list[Piece], text: str, end: int, language: Language) -> tuple[list[Piece], int, None]:
    unit = unit_at(text, end, language, "")
    if unit is None:
        return pieces, end, None
    last = pieces.pop()
    assert isinstance(last, Number)
    return [*pieces, Quantity(last, unit[0])], unit[1], None


def currency_at(text: str, pos: int) -> tuple[str, int] | None:
    """A currency before its number: its unit, and where the number begins."""
    match = _CURRENCY.match(text, pos)
    if match is None:
        return None
    name = units.named(match[1])
    assert name is not None
    return name, match.end()


def range_at(
    text: str, end: int, first: Number, first_pieces: list[Piece], language: Language
) -> tuple[list[Piece], int] | None:
    """What a dash without blanks between two numbers joins: a range where it rises, else the dash is said."""
    mark = _RANGE.match(text, end)
    if mark is None:
        return None
    start = mark.end()
    sign = ""
    if text[start] in "-−+":
        sign, start = SIGNS[text[start]], start + 1
    second = amount_at(text, start, language, sign=sign)
    if second is None:
        return None
    pieces, end, number = second
    if text[end : end + 1].isalpha() or text[end : end + 1] == "_":
        return None
    dots = mark[0][0] == "."
    rises = number is not None and not first.sign and _size(first) < _size(number)
    if _RANGE.match(text, end):
        rises = False
    return [*first_pieces, Symbol("to" if dots or rises else "dash"), *pieces], end


def _size(number: Number) -> float:
    return float(f"{number.whole}.{number.decimals or '0'}") if len(number.whole) < 300 else float("inf")


def fraction_at(text: str, pos: int) -> Read | None:
    """A fraction that is one character: ½."""
    match = _FRACTION.match(text, pos)
    name = match and _FRACTIONS.get((match[1], match[2]))
    return ([Symbol(name)], match.end()) if match and name else None


def list_at(text: str, pos: int) -> Read | None:
    """Numbers between commas: three or more are a list, unless they are groups of one number."""
    match = _COMMAS.match(text, pos)
    if match is None or (_GROUPED.fullmatch(match[0]) and match[0][0] != "0"):
        return None
    pieces: list[Piece] = []
    for one in match[0].split(","):
        pieces += [Pause(","), *value(Number(one))]
    return pieces[1:], match.end()


def ordinal_at(text: str, pos: int, language: Language) -> Read | None:
    """A number with the ending of an ordinal."""
    pattern = language.ordinal_endings
    match = _ORDINAL.match(text, pos)
    if pattern is None or match is None:
        return None
    ending = pattern.match(text, match.end())
    if (
        ending is None
        or (ending[0] in ("e", "E") and _SIGN_FOLLOWS.match(text, ending.end()))
        or language.ordinal(int(match[0]), ending[0].lower()) is None
    ):
        return None
    return [Ordinal(int(match[0]), ending[0].lower())], ending.end()


def dashed_at(text: str, pos: int) -> Read | None:
    """Three numbers or more between dashes: neither a range nor a sign."""
    match = _DASHED.match(text, pos)
    if match is None:
        return None
    pieces: list[Piece] = []
    for group in match[0].split("-"):
        pieces += [Symbol("dash")] if pieces else []
        pieces += [Number(group)] if len(group) <= 3 and group[0] != "0" else by_digit(group)
    return pieces, match.end()
