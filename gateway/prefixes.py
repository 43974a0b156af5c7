"""Beginnings of addresses, as routes and tariffs name them: whether any address that may be reached begins so. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.destinations import PHONE_CHANNELS, countries_of_prefixes
from gateway.settings_problems import shown

CHANNELS = ("email", "sms", "voice")
"""Every channel there is a provider for."""
_NO_COUNTRY = "001"  # global services and satellites, which `allow_satellite` judges
_LISTED_MAX = 12
_PHONE_PREFIX = re.compile(r"\+[0-9]{0,15}|[0-9]{0,15}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """What [destinations] lets out: ISO codes of countries, none for every one, and short codes."""

    countries: frozenset[str]
    short_codes: tuple[str, ...]


def prefix_refusal(channel: str, prefix: str, allowed: Allowed) -> str:
    """Why no address can begin so, or none that does may be reached; "" where some can."""
    if channel not in PHONE_CHANNELS:
        return _name_prefix_refusal(prefix)
    if not _PHONE_PREFIX.fullmatch(prefix):
        return f'expected "+" and digits, or the digits of a short code, got {shown(prefix)}'
    if prefix.startswith("+"):
        return _country_prefix_refusal(prefix, allowed)
    meant = f"+{prefix.lstrip('0')}"
    number = f", say {shown(meant)}" if len(meant) > 1 and countries_of_prefixes([meant]) else ""
    if channel == "sms" and prefix and not any(code.startswith(prefix) for code in allowed.short_codes):
        return (
            f'expected "+" and a country code{number}: numbers are stored with "+", and none of destinations.short_codes begins'
            f" {shown(prefix)}"
        )
    if prefix.startswith("0"):
        return f'expected "+" and a country code{number}: numbers are stored with "+", and none begins {shown(prefix)}'
    return ""


def _country_prefix_refusal(prefix: str, allowed: Allowed) -> str:
    countries = countries_of_prefixes([prefix])
    if not countries:
        return f"expected a country's prefix, but no country code begins {shown(prefix)}"
    if allowed.countries and _NO_COUNTRY not in countries and countries.isdisjoint(allowed.countries):
        known = ", ".join(sorted(allowed.countries)[:_LISTED_MAX])
        return (
            f"expected a country of destinations.countries ({known}): no number that begins {shown(prefix)} is let out"
        )
    return ""


def _name_prefix_refusal(prefix: str) -> str:
    """Mail addresses are routed by how they begin, which is what stands before the @."""
    if prefix.startswith("@"):
        return f"expected how addresses begin, got {shown(prefix)}: none begins with @"
    if any(character.isspace() for character in prefix):
        return f"expected how addresses begin, got {shown(prefix)}: none has blanks"
    return ""


def tariff_refusal(channel: str, prefix: str, allowed: Allowed) -> tuple[str, str] | None:
    """Why a price for these addresses would never count, as (field, text): what it was meant for would go out free."""
    if channel not in CHANNELS:
        return "channel", f"expected a channel that is there ({', '.join(CHANNELS)}), got {shown(channel)}"
    wrong = prefix_refusal(channel, prefix, allowed)
    return ("prefix", wrong) if wrong else None
