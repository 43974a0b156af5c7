"""Telephone numbers in international form, parsed once: the channel that checks one and the rules for where it may go share it."""

from __future__ import annotations

from functools import lru_cache

import phonenumbers

PARSED_MAX = 32_768  # parsing takes 20 µs; this many hold the largest broadcast (10,000 recipients) three times over


@lru_cache(maxsize=PARSED_MAX)
def parsed(number: str) -> phonenumbers.PhoneNumber:
    """The number, written with ``+`` and its country code (ITU-T E.164). Raises phonenumbers.NumberParseException.

    The value is shared: it is not to be changed.
    """
    return phonenumbers.parse(number)
