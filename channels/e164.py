"""Telephone numbers in international form, parsed once: the channel that checks one and the rules for where it may go share it."""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, ValidationResult

E164_DIGITS_MAX = 15
"""ITU-T E.164 clause 6.2.1, country code included."""
_E164 = re.compile(rf"\+[1-9][0-9]{{6,{E164_DIGITS_MAX - 1}}}")

PARSED_MAX = 32_768  # parsing takes 20 µs; this many hold the largest broadcast (10,000 recipients) three times over


@lru_cache(maxsize=PARSED_MAX)
def parsed(number: str) -> PhoneNumber:
    """The number, written with ``+`` and its country code (ITU-T E.164). Raises phonenumbers.NumberParseException.

    The value is shared: it is not to be changed.
    """
    return phonenumbers.parse(number)


def is_e164(text: str) -> bool:
    """Whether it is written as numbers are stored."""
    return _E164.fullmatch(text) is not None


def stored(number: PhoneNumber) -> str | None:
    """How the number is stored: ``+``, country code, subscriber. None where no number of that country is so long.

    A number that is possible only within its area says nothing about the area: with ``+`` it would be somebody else's. So would
    one with several national zeros behind the country code: each reading takes one off.
    """
    text = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    possible = phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE
    if not possible or not is_e164(text):
        return None
    return text if phonenumbers.format_number(parsed(text), PhoneNumberFormat.E164) == text else None
