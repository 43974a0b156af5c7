"""Reads dates, times of day, durations and distances from universal time."""

from __future__ import annotations

import calendar
import re
from typing import Final

from ivr.audio.speakable.language import Language
from ivr.audio.speakable.pieces import Clock, Date, Number, Pause, Piece, Quantity, Spelled, Symbol

_ISO: Final = re.compile(
    r"(\d{4})(?:-(\d\d)-|/(\d\d)/)(\d\d)"
    r"(?:(?:[Tt]|,?[ \xa0]+)(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
    r"(?:(?<=\d)[ ]?(Z|UTC|GMT)(?!\w)|[ ]?([+\-−])(\d\d):?(\d\d)(?!\d)(?: UTC)?)?)?"
    r"(?![\w]|[-/]\d)"
)
_BASIC: Final = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)?(Z)?(?!\w)")
_DAY_FIRST: Final = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d\d)(?!\w|[/.]\d|-(?!\d{1,2}[/.]\d{1,2}[/.])\d)")
_SHORT: Final = re.compile(r"(\d{1,2})/(\d{1,2})(?![\w/]|[.,]\d)")
_SHORT_GERMAN: Final = re.compile(r"(\d{1,2})\.(\d{1,2})\.(?!\d)")
_TIME_FOLLOWS: Final = re.compile(r"(?:,? (?:à|at|um|a las|alle(?: ore)?|ore))? ?\d{1,2}(?::\d\d|[hH]\d{0,2}(?!\w))")
_CLOCK: Final = re.compile(
    r"(\d{1,2}):([0-5]\d)(?::([0-5]\d)(?:[.,](\d+))?)?(?!\d|:[\w:])(?:[ \xa0]?([AaPp])\.?[Mm](?:\.|(?!\w)))?"
    r"(?:[ ]?(Z|UTC|GMT)(?!\w))?(?!\w)"
)
_HOURS: Final = re.compile(
    r"(\d{1,2})[ \xa0]?[hH][ \xa0]?([0-5]\d)(?:(?:[ \xa0]?(?:min|mn|m|'))?(?:[ \xa0]?([0-5]\d)(?:[ \xa0]?(?:sec|s|\"))))?"
    r"(?:[ \xa0]?(?:min|mn|m))?(?!\w|[.,:]\d)"
)
_ANOTHER_UNIT: Final = re.compile(r"[ \xa0](?:h|bar|[kM]?[VW]|[mc]?m³?|km|kg|[°º]|%)(?!\w)")
_NOON: Final = re.compile(r"(1[0-2]|[1-9])[ \xa0]?([AaPp])\.?[Mm]\b\.?")
_COMPOUND: Final = re.compile(r"(?:\d+(?:ms|min|mn|[dhjms])){2,}(?!\w)")
_PART: Final = re.compile(r"(\d+)(ms|min|mn|[dhjms])")
_ZONE: Final = re.compile(r"(UTC|GMT)[ \xa0]?([-−+–])0?(\d{1,2})(?::?([0-5]\d))?(?![\w:])")
_PARTS: Final = {"ms": "ms", "min": "min", "mn": "min", "m": "min", "d": "day", "j": "day", "h": "h", "s": "s"}
_PERIOD: Final = re.compile(r"P(?=\d|T\d)(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:[.,](\d+))?S)?)?(?!\w)")
FRACTION_DIGITS_MAX: Final = 3
"""Nobody acts on less than a thousandth of a second."""

Read = tuple[list[Piece], int]


def _is_date(day: int, month: int, year: int = 2000) -> bool:
    return 1 <= month <= 12 and 1 <= day <= calendar.monthrange(min(max(year, 1), 9999), month)[1]


def moment_at(text: str, pos: int, language: Language, before: str) -> Read | None:
    """A date, a time or a duration that begins here with a digit."""
    return (
        _iso_at(text, pos)
        or _basic_at(text, pos)
        or _day_first_at(text, pos, language)
        or _short_at(text, pos, language, before)
        or _clock_at(text, pos)
        or _hours_at(text, pos, language)
        or _compound_at(text, pos)
    )


def _time(hour: str, minute: str, second: str | None, fraction: str | None) -> Clock | None:
    if int(hour) > 24 or int(minute) > 59 or int(second or 0) > 60:
        return None
    return Clock(
        int(hour), int(minute), None if second is None else int(second), (fraction or "")[:FRACTION_DIGITS_MAX]
    )


def _offset(universal: str | None, sign: str | None, hours: str | None, minutes: str | None) -> list[Piece]:
    if universal:
        return [Pause(","), Symbol("universal")]
    if not sign or hours is None:
        return []
    if not int(hours) and not int(minutes or 0):
        return [Pause(","), Symbol("universal")]
    name = "plus" if sign == "+" else "minus"
    rest: list[Piece] = [Quantity(Number(str(int(minutes))), "min")] if minutes and int(minutes) else []
    return [Pause(","), Symbol("universal"), Quantity(Number(str(int(hours)), sign=name), "h"), *rest]


def zone_at(text: str, pos: int) -> Read | None:
    """A zone by its distance: `UTC-5`, where the dash is a sign."""
    match = _ZONE.match(text, pos)
    if match is None:
        return None
    hours = Number(match[3], sign="plus" if match[2] == "+" else "minus")
    minutes: list[Piece] = [Quantity(Number(match[4]), "min")] if match[4] and int(match[4]) else []
    return [Spelled(match[1]), Quantity(hours, "h"), *minutes], match.end()


def _iso_at(text: str, pos: int) -> Read | None:
    match = _ISO.match(text, pos)
    if match is None:
        return None
    year, dashed, slashed, day, hour, minute, second, fraction, universal, sign, hours, minutes = match.groups()
    month = int(dashed or slashed)
    if not _is_date(int(day), month, int(year)):
        return None
    date = Date(int(day), month, year)
    if hour is None:
        return [date], match.end()
    time = _time(hour, minute, second, fraction)
    if time is None:
        return None
    return [date, Pause(","), time, *_offset(universal, sign, hours, minutes)], match.end()


def _basic_at(text: str, pos: int) -> Read | None:
    match = _BASIC.match(text, pos)
    if match is None:
        return None
    year, month, day, hour, minute, second, universal = match.groups()
    time = _time(hour, minute, second, None)
    if time is None or not _is_date(int(day), int(month), int(year)):
        return None
    return [Date(int(day), int(month), year), Pause(","), time, *_offset(universal, None, None, None)], match.end()


def _order(one: int, two: int, year: int, language: Language) -> tuple[int, int] | None:
    """Day and month, or nothing if neither order is a date or both are and the language has both."""
    day_first, month_first = _is_date(one, two, year), _is_date(two, one, year)
    if day_first and month_first and one != two:
        return None if language.month_first is None else (two, one) if language.month_first else (one, two)
    return (one, two) if day_first else (two, one) if month_first else None


def _day_first_at(text: str, pos: int, language: Language) -> Read | None:
    match = _DAY_FIRST.match(text, pos)
    if match is None:
        return None
    one, mark, two, year = match.groups()
    if len(year) == 2 and (mark == "-" or (mark == "." and (len(one) < 2 or len(two) < 2))):
        return None  # a code, a version
    if (
        mark == "/"
        and language.month_first is None
        and one != two
        and int(one) <= 12
        and int(two) <= 12
        and int(one)
        and int(two)
    ):
        return [
            Number(str(int(one))),
            Symbol("slash"),
            Number(str(int(two))),
            Symbol("slash"),
            Number(year),
        ], match.end()
    order = (
        (int(one), int(two))
        if mark == "."
        else _order(int(one), int(two), int(year) if len(year) == 4 else 2000 + int(year), language)
    )
    if order is None or not _is_date(*order):
        return None
    return [Date(*order, year)], match.end()


def _short_at(text: str, pos: int, language: Language, before: str) -> Read | None:
    german = language.tag == "de" and _SHORT_GERMAN.match(text, pos)
    if german and _is_date(int(german[1]), int(german[2])):
        return [Date(int(german[1]), int(german[2]))], german.end()
    match = _SHORT.match(text, pos)
    if match is None or not (before in language.before_dates or _TIME_FOLLOWS.match(text, match.end())):
        return None
    order = _order(int(match[1]), int(match[2]), 2000, language)
    return None if order is None else ([Date(*order)], match.end())


def _half(letter: str | None) -> list[Piece]:
    return [Spelled(f"{letter.upper()}M")] if letter else []


def _clock_at(text: str, pos: int) -> Read | None:
    match = _CLOCK.match(text, pos)
    if match is not None:
        time = _time(*match.group(1, 2, 3, 4))
        return None if time is None else ([time, *_half(match[5]), *_offset(match[6], None, None, None)], match.end())
    match = _NOON.match(text, pos)
    if match is not None:
        return [Number(match[1]), *_half(match[2])], match.end()
    return None


def _hours_at(text: str, pos: int, language: Language) -> Read | None:
    match = _HOURS.match(text, pos)
    if match is None:
        return None
    hour, minute, second = match.groups()
    if _ANOTHER_UNIT.match(text, match.end()):
        return None  # 2 h 21 h
    if language.hours_are_clock and int(hour) <= 24:
        return [Clock(int(hour), int(minute), None if second is None else int(second))], match.end()
    parts = [("h", hour), ("min", minute), ("s", second)]
    return [Quantity(Number(str(int(count))), unit) for unit, count in parts if count is not None], match.end()


def _compound_at(text: str, pos: int) -> Read | None:
    match = _COMPOUND.match(text, pos)
    if match is None:
        return None
    return [Quantity(Number(part[1]), _PARTS[part[2]]) for part in _PART.finditer(match[0])], match.end()


def period_at(text: str, pos: int) -> Read | None:
    """A duration of ISO 8601: `PT5M`."""
    match = _PERIOD.match(text, pos)
    if match is None:
        return None
    pieces: list[Piece] = []
    for unit, count in zip(("day", "h", "min", "s"), match.group(1, 2, 3, 4), strict=True):
        if count is not None:
            fraction = match[5] if unit == "s" and match[5] else ""
            pieces.append(Quantity(Number(count, "." if fraction else "", fraction), unit))
    return (pieces, match.end()) if pieces else None
