"""What an exchange or a trunk may make of the digits, stars and hashes that it is asked to dial: the numbers within them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import unquote

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

from channels.e164 import cleaned

SERVICE_DIGITS_MAX = 4
"""Digits of a service code behind its star: ``*67`` and ``*1167`` in North America, ``*31`` elsewhere (ETSI ES 200 738 names the
form, countries the codes)."""

_GROUPS = re.compile(r"\+?[0-9]+")
_NAMES = re.compile(r"[^\W\d_]")
_NO_KEY = re.compile(r"[^0-9*#+]")
_END_OF_USER = re.compile(r"[;?:@,]|(?<=[0-9*#])[pwxt](?=[0-9*#+pwxt]*$)", re.IGNORECASE)
"""A pause, a wait and an extension begin with a letter in what is otherwise keys (RFC 4967, 4): what stands before is dialled."""

_HIDING: dict[str | None, tuple[str, ...]] = {
    **dict.fromkeys(("GB", "GG", "IM", "JE"), ("1470", "141")), "IE": ("141", "142"), "FR": ("3651",),
    "JP": ("184", "186"), **dict.fromkeys(("AU", "CC", "CX"), ("1831", "1832")), "HK": ("133",), "NZ": ("0196", "0197"),
}  # fmt: skip
"""Codes without a star that hide or show the caller, by region: a number follows."""

NORTH_AMERICA = frozenset(COUNTRY_CODE_TO_REGION_CODE[1])
_NINE = NORTH_AMERICA | {"GB", "GG", "IM", "JE", "IE", "SG", "HK"}
"""Where exchanges give an outside line for a 9; a 0 does nearly everywhere."""
_INTERNATIONAL = ("00",)
_INTERNATIONAL_UNKNOWN = ("0011", "011", "00", "010", "009")
"""International prefixes where nobody said in which country the trunk is: of Europe, North America, Australia, Japan, …"""


def keys_of(user: str) -> str:
    """What is dialled for the user part of a SIP address or for an extension: digits, ``*``, ``#`` and a leading ``+``; "" for a
    name. Characters may be escaped (RFC 3261, 19.1.2), parameters follow a semicolon."""
    plain = cleaned(_END_OF_USER.split(unquote(user), maxsplit=1)[0])
    return "" if _NAMES.search(plain) else _NO_KEY.sub("", plain)


def numbers_within(keys: str, region: str | None) -> dict[str, bool]:
    """Every number that dialling `keys` may reach, the likeliest first: all of it, what stands between and behind ``*`` and ``#``,
    also without a service code of up to four digits, behind codes that hide the caller, and behind an outside line's digit. With
    each, whether it surely begins there: of one that is only supposed to, digits that follow an emergency number mean another."""
    found: dict[str, bool] = {}
    for group, surely in _groups(keys):
        found.setdefault(group, surely)
        for code in _HIDING.get(region, ()):
            if group.startswith(code):
                found.setdefault(group.removeprefix(code), False)
        for digit in ("0", "9") if region in _NINE else ("0",):
            if group.startswith(digit):
                found.setdefault(group[1:], False)
    return {number: surely for number, surely in found.items() if len(number) > 1}


def _groups(keys: str) -> Iterator[tuple[str, bool]]:
    groups = _GROUPS.findall(keys)
    yield "".join(groups), True
    marked = keys[:1] in "*#" and keys != ""
    if not marked and len(groups) < 2:
        return
    if marked and len(groups) > 1:
        groups = groups[1:]  # the first is a service code, and its number follows
    for group in groups:
        yield group, True
        if marked:
            yield from ((group[n:], False) for n in range(1, SERVICE_DIGITS_MAX + 1) if len(group) > n + 1)


def international(number: str, region: str | None) -> list[str]:
    """The numbers, with ``+``, that stand behind the international prefixes it can begin with; `region` is where it is dialled."""
    if number.startswith("+"):
        return [number]
    found = (prefix.match(number) for prefix in _prefixes(region))
    return [f"+{number[prefix.end() :]}" for prefix in found if prefix]


@lru_cache(maxsize=512)
def _prefixes(region: str | None) -> tuple[re.Pattern[str], ...]:
    known: Iterable[str] = _INTERNATIONAL_UNKNOWN
    metadata = None if region is None else PhoneMetadata.metadata_for_region(region)
    if metadata is not None:
        known = dict.fromkeys((metadata.international_prefix or "00", "00"))
    return tuple(re.compile(one) for one in known)
