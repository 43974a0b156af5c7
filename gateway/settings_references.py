"""Checks what one table of the settings says about another: names of providers, channels of routes; no single values.

Works on the raw tables, so that one wrong key does not hide what is wrong elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.prefixes import Allowed, prefix_refusal
from gateway.settings_location import KeyPath
from gateway.settings_problems import Examination, shown, suggestion

PIN_ALONE_MAX = 50
"""People who may be known by a PIN alone: each entry is compared with all of theirs, some 40 ms each, and is right for any."""


def check_references(examination: Examination, raw: Mapping[str, Any], providers: Iterable[Mapping[str, Any]]) -> None:
    """Adds every reference that leads nowhere. `raw` is the file without its providers, `providers` are those."""
    channel_of = {
        table["name"]: table["channel"]
        for table in providers
        if isinstance(table.get("name"), str) and isinstance(table.get("channel"), str)
    }
    routes = list(tables_in(raw, "routes"))
    _check_routes(examination, routes, channel_of, _allowed(raw))
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


def _allowed(raw: Mapping[str, Any]) -> Allowed:
    """What [destinations] lets out, as it is written."""
    table = raw.get("destinations")
    table = table if isinstance(table, dict) else {}
    return Allowed(countries=frozenset(_texts(table, "countries")), short_codes=tuple(_texts(table, "short_codes")))


def _texts(table: Mapping[str, Any], key: str) -> list[str]:
    found = table.get(key)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _check_routes(
    examination: Examination,
    routes: list[tuple[KeyPath, Mapping[str, Any]]],
    channel_of: Mapping[str, str],
    allowed: Allowed,
) -> None:
    first_at: dict[tuple[str, str], int] = {}
    for n, (path, route) in enumerate(routes):
        channel, prefix = route.get("channel"), route.get("prefix", "")
        if not isinstance(channel, str) or not isinstance(prefix, str):
            continue
        first = first_at.setdefault((channel, prefix), n)
        if first != n:
            examination.add((*path, "prefix"), f"routes[{first}] has the channel {channel} and this prefix already")
        refusal = prefix_refusal(channel, prefix, allowed)
        if refusal:
            examination.add((*path, "prefix"), refusal)
        _check_route_providers(examination, path, route, channel_of)


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
