"""Amounts of money as integers and as decimal text, and currency names. Prices and movements do not live here."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Micros: TypeAlias = int
"""Millionths of one currency unit or credit. Always an integer: no float ever touches money."""

MICROS_PER_UNIT: Final = 1_000_000
DECIMALS_MAX: Final = 6
"""Digits after the point that a millionth can hold; more are refused, never rounded."""
UNITS_MAX: Final = 10**12
"""Largest amount, in whole units. In micros it fits a signed 64-bit column with room for a sum of nine."""
MICROS_MAX: Final = UNITS_MAX * MICROS_PER_UNIT
CREDIT: Final = "credit"
"""The currency of accounts that are kept in credits instead of money."""

USUAL_DECIMALS: Final = 2
_MINOR_UNITS: Final = {
    0: [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ],
    3: ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"],
    4: ["CLF", "UYW"],
}
"""Decimals of the currencies that do not have two (ISO 4217, list one)."""

# [0-9] and not \d: other scripts' digits are not amounts. 13 digits are enough to reach past UNITS_MAX by one.
_AMOUNT: Final = re.compile(r"(-?)([0-9]{1,13})(?:\.([0-9]{1,6}))?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_SHOWN_CHARS_MAX: Final = 40  # a refusal quotes this much of what was sent, and no more


class AmountError(ValueError):
    """The text or number is not an amount that can be taken. The text says what was expected."""


class CurrencyError(ValueError):
    """The text is not a currency. The text says what was expected."""


def parse_amount(text: str, *, allow_negative: bool = False) -> Micros:
    """The micros of a decimal string such as ``50.00`` or ``0.045``; the inverse of `format_amount`.

    Exact or refused: no rounding, no exponent, no spaces, no thousands separators, no ``+``; a leading ``-`` only with
    `allow_negative`. Raises AmountError, also beyond `UNITS_MAX` units on either side.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None or (match[1] and not allow_negative):
        sign = "" if allow_negative else " without a sign"
        raise AmountError(
            f"expected a decimal number{sign} with at most {DECIMALS_MAX} decimals, such as 50.00 or 0.045, "
            f"not {_quoted(text)}"
        )
    sign_text, units, fraction = match.groups(default="")
    micros = int(units) * MICROS_PER_UNIT + int(fraction.ljust(DECIMALS_MAX, "0"))
    if micros > MICROS_MAX:
        raise AmountError(f"expected an amount of at most {UNITS_MAX}, not {_quoted(text)}")
    return -micros if sign_text else micros


def format_amount(micros: Micros) -> str:
    """The decimal string of an amount: at least two decimals, no zeros after those: ``50.00``, ``0.045``, ``-1.50``."""
    units, fraction = divmod(abs(micros), MICROS_PER_UNIT)
    decimals = f"{fraction:0{DECIMALS_MAX}d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}{units}.{decimals}"


def decimals_of(currency: str) -> int:
    """How many decimals a payment in the currency can have: the minor unit of ISO 4217, two for a currency of the installation's own,
    and for credits as many as an amount can hold."""
    if currency == CREDIT:
        return DECIMALS_MAX
    return next((decimals for decimals, names in _MINOR_UNITS.items() if currency in names), USUAL_DECIMALS)


def parse_currency(text: str) -> str:
    """The currency itself if it is three upper-case letters (the form of ISO 4217 codes) or ``credit``.

    The letters are not looked up: an installation may keep a currency of its own. Raises CurrencyError.
    """
    if text == CREDIT or _CURRENCY.fullmatch(text) is not None:
        return text
    raise CurrencyError(f'expected three upper-case letters such as EUR, or "{CREDIT}", not {_quoted(text)}')


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "…")
