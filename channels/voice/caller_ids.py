"""Numbers that a country's rules forbid as the caller id of a call from a trunk. Pure; what cannot be judged is let pass."""

from __future__ import annotations

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType

_NEVER = {
    PhoneNumberType.PREMIUM_RATE: "premium-rate numbers are no caller ids: networks block such calls",
    PhoneNumberType.SHARED_COST: "shared-cost numbers are no caller ids in many networks, which block such calls",
}
_BY_COUNTRY = {
    ("FR", PhoneNumberType.MOBILE): (
        "the numbering plan forbids 06 and 07 numbers as caller ids of automated calls from a trunk (Arcep, decision "
        "2022-1583): use a geographic number or one of 09"
    ),
    (
        "GB",
        PhoneNumberType.PERSONAL_NUMBER,
    ): "070 numbers are no caller ids in the United Kingdom (Ofcom, General Condition C6)",
}
"""Country and kind of number -> why not."""


SHORT_DIGITS_MAX = 6
"""So few digits may be an extension of any exchange; numbers of telephone networks have more."""


def objection(caller_id: str, country: str | None) -> str:
    """Why networks may refuse calls that show this number; "" where nothing is known against it, or where it may be an extension
    of the exchange. `country` is where the trunk is: there 06…, 336… and 00336… are numbers too."""
    written = "+" + caller_id[2:] if caller_id.startswith("00") and _may_be_a_number(caller_id) else caller_id
    if not written.startswith("+"):
        number = _without_plus(written, country)
        return "" if number is None else _objection(number)
    try:
        number = phonenumbers.parse(written)
    except phonenumbers.NumberParseException:
        return "this is no telephone number"
    if not phonenumbers.is_valid_number(number):
        return "no such number is assigned: networks that check caller ids block it"
    return _objection(number)


def _may_be_a_number(written: str) -> bool:
    return written.isascii() and written.isdigit() and len(written) > SHORT_DIGITS_MAX


def _without_plus(written: str, country: str | None) -> PhoneNumber | None:
    """The number as it is written within the country, or with the country's code and no plus; None where it is neither."""
    if country is None or not _may_be_a_number(written):
        return None
    code = str(phonenumbers.country_code_for_region(country))
    for text in (written, f"+{written}" if written.startswith(code) else ""):
        try:
            number = phonenumbers.parse(text, country)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return number
    return None


def _objection(number: PhoneNumber) -> str:
    kind = phonenumbers.number_type(number)
    country = phonenumbers.region_code_for_number(number) or ""
    return _BY_COUNTRY.get((country, kind)) or _NEVER.get(kind, "")
