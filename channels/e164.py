"""Telephone numbers: cleaned of what people type between digits, read as a country dials them, in international form, parsed once.

The channel that checks a number and the rules for where it may go share what is found here. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType, ValidationResult

from channels.national import NEIGHBOURS, PREFIXES, Neighbour

E164_DIGITS_MAX = 15
"""ITU-T E.164 clause 6.2.1, country code included."""
_E164 = re.compile(rf"\+[1-9][0-9]{{6,{E164_DIGITS_MAX - 1}}}")

PARSED_MAX = 32_768  # parsing takes 20 µs; this many hold the largest broadcast (10,000 recipients) three times over

_BETWEEN = frozenset({"Zs", "Zl", "Zp", "Cf", "Pd"})
"""Unicode categories of what stands between digits and means nothing: blanks, invisible marks, dashes."""
_DASHES = frozenset("\u2212\u2043\u00b7\u2022\u2027\u02d7\u30fb\u30fc\uff65")
"""Minus, bullets and dots that are typed for a dash or a point, and belong to other categories."""
_MARKS = frozenset(chr(code) for code in (0x034F, 0x3164, *range(0xFE00, 0xFE10), 0x20E3))
"""Invisible marks that count as letters or accents: joiners, fillers, variation selectors, the key cap of an emoji."""
_FULL_WIDTH = range(0xFF01, 0xFF5F)
"""Full-width forms of the characters from ``!`` to ``~``, in the same order."""
_SEPARATORS = re.compile(r"[\s().\-/]+")
_TRUNK = re.compile(r"0[1-9][0-9]+")


class AmbiguousNumberError(ValueError):
    """What was dialled nationally is the number of several countries. The text names them."""


def cleaned(written: str) -> str:
    """The text with the digits of all scripts as 0 to 9, and without the blanks, dashes and invisible marks that documents, web
    pages and telephones put between them. What is ASCII stays as it is."""
    if written.isascii():
        return written
    return "".join(map(_plain, written))


def _plain(character: str) -> str:
    if character.isascii():
        return character
    if ord(character) in _FULL_WIDTH:
        return chr(ord(character) - 0xFEE0)
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    return "" if category in _BETWEEN or character in _DASHES or character in _MARKS else character


def undivided(written: str) -> str:
    """The text without what separates groups of digits."""
    return _SEPARATORS.sub("", written)


@lru_cache(maxsize=PARSED_MAX)
def parsed(number: str) -> PhoneNumber:
    """The number, written with ``+`` and its country code (ITU-T E.164). Raises phonenumbers.NumberParseException.

    The value is shared: it is not to be changed.
    """
    return phonenumbers.parse(number)


@lru_cache(maxsize=PARSED_MAX)
def kind(number: str) -> int:
    """The PhoneNumberType of a number with ``+``; UNKNOWN where no numbering plan has it. Raises NumberParseException."""
    return phonenumbers.number_type(parsed(number))


def is_assigned(number: str) -> bool:
    """Whether the numbering plan of its country has this number, written with ``+``: more than its length."""
    try:
        return kind(number) != PhoneNumberType.UNKNOWN
    except NumberParseException:
        return False


def is_e164(text: str) -> bool:
    """Whether it is written as numbers are stored."""
    return _E164.fullmatch(text) is not None


def read(written: str, region: str | None) -> PhoneNumber:
    """The number that the text is where it is dialled in the region; with ``+`` it is the same everywhere.

    What a region dials as its own and what is a number of another country (`channels.national`) gets that country's code. Raises
    phonenumbers.NumberParseException, and AmbiguousNumberError where several countries have it.
    """
    if written.startswith("+"):
        return parsed(written)
    if region is not None and region in NEIGHBOURS:
        found = _abroad(undivided(written), region)
        if found is not None:
            return parsed(found)
    return phonenumbers.parse(written, region)


def _abroad(digits: str, region: str) -> str | None:
    """The number of another country, with ``+``, that these digits are where they are dialled in the region."""
    if digits.startswith(PREFIXES[region]):
        neighbour = next(one for one in NEIGHBOURS[region] if digits.startswith(one.dialled))
        found = _of_neighbour(digits, neighbour)
        if found is not None:
            return found
    home = NEIGHBOURS[region][-1]
    trunk = home.dialled == "0" and _TRUNK.fullmatch(digits)
    return _of_neighbour(digits, home) if trunk and not is_assigned(_own(digits, region)) else None


def _of_neighbour(digits: str, neighbour: Neighbour) -> str | None:
    rest = digits[neighbour.dropped :]
    numbers = [f"{code}{rest}" for code in neighbour.codes]
    assigned = [number for number in numbers if is_assigned(number)]
    if len(assigned) > 1:
        raise AmbiguousNumberError(f"{digits} is a number of several countries: expected one of {', '.join(assigned)}")
    if assigned:
        return assigned[0]
    return numbers[0] if neighbour.whole else None


def _own(digits: str, region: str) -> str:
    return f"+{phonenumbers.country_code_for_region(region)}{digits.removeprefix('0')}"


def instead(number: str) -> str:
    """The number that was likely meant by one that no plan has: written with the country code of its neighbour. "" where none is."""
    found = parsed(number)
    region = phonenumbers.region_code_for_country_code(found.country_code or 0)
    if region not in NEIGHBOURS:
        return ""
    try:
        meant = _abroad(f"0{phonenumbers.national_significant_number(found)}", region)
    except AmbiguousNumberError:
        return ""
    return meant if meant is not None and meant != number and is_assigned(meant) else ""


def stored(number: PhoneNumber) -> str | None:
    """How the number is stored: ``+``, country code, subscriber. None where no number of that country is so long.

    A number that is possible only within its area says nothing about the area: with ``+`` it would be somebody else's. So would
    one with several national zeros behind the country code: each reading takes one off.
    """
    text = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    possible = phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE
    if not possible or not is_e164(text):
        return None
    again = parsed(text)
    return text if again is number or phonenumbers.format_number(again, PhoneNumberFormat.E164) == text else None
