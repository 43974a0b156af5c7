"""Checks what one table of the settings says about another: names of providers, channels of routes; no single values.

Works on the raw tables, so that one wrong key does not hide what is wrong elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.destinations import PHONE_CHANNELS, countries_of_prefixes
from gateway.settings_location import KeyPath
from gateway.settings_problems import Examination, shown, suggestion

PIN_ALONE_MAX = 50
"""People who may be known by a PIN alone: each entry is compared with all of theirs, some 40 ms each, and is right for any."""
_NO_COUNTRY = "001"  # global services and satellites, which `allow_satellite` judges
_LISTED_MAX = 12
_PHONE_PREFIX = re.compile(r"\+[0-9]{0,15}|[0-9]{0,15}")


def check_references(examination: Examination, raw: Mapping[str, Any], providers: Iterable[Mapping[str, Any]]) -> None:
    """Adds every reference that leads nowhere. `raw` is the file without its providers, `providers` are those."""
    channel_of = {
        table["name"]: table["channel"]
        for table in providers
        if isinstance(table.get("name"), str) and isinstance(table.get("channel"), str)
    }
    routes = list(tables_in(raw, "routes"))
    _check_routes(examination, routes, channel_of, _Allowed.of(raw))
    _check_names(examination, "rules", list(tables_in(raw, "rules")), "name")
    lines = list(tables_in(raw, "lines"))
    for key in ("name", "number"):
        _check_names(examination, "lines", lines, key)
    people = list(tables_in(raw, "people"))
    for key in ("name", "number"):
        _check_names(examination, "people", people, key)
    _check_pins_alone(examination, people)
    for path, address in addresses_in(raw):
        channel = address.partition(":")[0]
        if ":" in address and channel not in channel_of.values():
            examination.add(path, f"no provider serves the channel {shown(channel)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Allowed:
    """What [destinations] lets out, as it is written."""

    countries: frozenset[str]
    short_codes: tuple[str, ...]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> _Allowed:
        table = raw.get("destinations")
        table = table if isinstance(table, dict) else {}
        return cls(countries=frozenset(_texts(table, "countries")), short_codes=tuple(_texts(table, "short_codes")))


def _texts(table: Mapping[str, Any], key: str) -> list[str]:
    found = table.get(key)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _check_routes(
    examination: Examination,
    routes: list[tuple[KeyPath, Mapping[str, Any]]],
    channel_of: Mapping[str, str],
    allowed: _Allowed,
) -> None:
    first_at: dict[tuple[str, str], int] = {}
    for n, (path, route) in enumerate(routes):
        channel, prefix = route.get("channel"), route.get("prefix", "")
        if not isinstance(channel, str) or not isinstance(prefix, str):
            continue
        first = first_at.setdefault((channel, prefix), n)
        if first != n:
            examination.add((*path, "prefix"), f"routes[{first}] has the channel {channel} and this prefix already")
        refusal = _prefix_refusal(channel, prefix, allowed)
        if refusal:
            examination.add((*path, "prefix"), refusal)
        _check_route_providers(examination, path, route, channel_of)


def _prefix_refusal(channel: str, prefix: str, allowed: _Allowed) -> str:
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


def _country_prefix_refusal(prefix: str, allowed: _Allowed) -> str:
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


def _check_route_providers(
    examination: Examination, path: KeyPath, route: Mapping[str, Any], channel_of: Mapping[str, str]
) -> None:
    named = route.get("providers")
    for n, name in enumerate(named if isinstance(named, list) else []):
        place = (*path, "providers", n)
        if not isinstance(name, str):
            continue
        if name not in channel_of:
            examination.add(place, f"no provider is called {shown(name)}{suggestion(name, channel_of)}")
        elif channel_of[name] != route["channel"]:
            examination.add(
                place, f"expected a provider of the channel {route['channel']}, {name} serves {channel_of[name]}"
            )
        elif isinstance(named, list) and name in named[:n]:
            examination.add(place, f"{shown(name)} is named twice")


def _check_names(
    examination: Examination, what: str, entries: list[tuple[KeyPath, Mapping[str, Any]]], key: str
) -> None:
    """No two entries of a list may have the same name, or number."""
    first_at: dict[str, int] = {}
    for n, (path, entry) in enumerate(entries):
        name = entry.get(key)
        if isinstance(name, str) and name and first_at.setdefault(name, n) != n:
            first = f"{what}[{first_at[name]}]"
            said = "is called" if key == "name" else f"has the {key}"
            examination.add((*path, key), f"{first} {said} {shown(name)} already")


def _check_pins_alone(examination: Examination, people: list[tuple[KeyPath, Mapping[str, Any]]]) -> None:
    """Whoever calls in is not kept waiting, and does not guess one of too many."""
    alone = [path for path, person in people if person.get("pin") and not person.get("number")]
    if len(alone) > PIN_ALONE_MAX:
        text = f"missing: at most {PIN_ALONE_MAX} people may have a PIN and no number, and {len(alone)} have; give them numbers"
        examination.add((*alone[PIN_ALONE_MAX], "number"), text)


def tables_in(raw: Mapping[str, Any], key: str) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    found = raw.get(key)
    for n, table in enumerate(found if isinstance(found, list) else []):
        if isinstance(table, dict):
            yield (key, n), table


def addresses_in(raw: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Every address written in rules, their steps, the last resort and of people."""
    for path, person in tables_in(raw, "people"):
        addresses = person.get("addresses")
        for n, address in enumerate(addresses if isinstance(addresses, list) else []):
            if isinstance(address, str):
                yield (*path, "addresses", n), address
    for path, rule in tables_in(raw, "rules"):
        yield from _addresses_of(rule, path)
        for step_path, step in tables_in(rule, "steps"):
            yield from _addresses_of(step, (*path, *step_path))
    if isinstance(raw.get("last_resort"), dict):
        yield from _addresses_of(raw["last_resort"], ("last_resort",))


def _addresses_of(table: Mapping[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    recipients = table.get("recipients")
    for n, recipient in enumerate(recipients if isinstance(recipients, list) else []):
        place = (*path, "recipients", n)
        if isinstance(recipient, str):
            yield place, recipient
        elif isinstance(recipient, dict) and isinstance(recipient.get("addresses"), list):
            for m, address in enumerate(recipient["addresses"]):
                if isinstance(address, str):
                    yield (*place, "addresses", m), address
