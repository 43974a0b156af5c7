"""Numbers that a country's rules forbid as the caller id of a call from a trunk. Pure; what cannot be judged is let pass."""

from __future__ import annotations

import phonenumbers
from phonenumbers import PhoneNumberType

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


def objection(caller_id: str) -> str:
    """Why networks may refuse calls that show this number; "" where nothing is known against it."""
    if not caller_id.startswith("+"):
        return ""
    try:
        number = phonenumbers.parse(caller_id)
    except phonenumbers.NumberParseException:
        return "this is no telephone number"
    if not phonenumbers.is_valid_number(number):
        return "no such number is assigned: networks that check caller ids block it"
    kind = phonenumbers.number_type(number)
    country = phonenumbers.region_code_for_number(number) or ""
    return _BY_COUNTRY.get((country, kind)) or _NEVER.get(kind, "")
