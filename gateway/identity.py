"""Who is who among the people of an alert: names that are spelled differently and are one, strangers. Pure; whom an alert
reaches is told in `gateway.escalation`."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Reached = tuple[str, str]
"""An address of an alert and the person whom the alert calls there."""


def folded(name: str) -> str:
    """The name as it is compared: compatible forms, cases, blanks and invisible characters are one (Unicode's NFKC_Casefold, with runs
    of white space as one blank). "" for what is only white space. For comparison alone, never for show."""
    if name.isascii():  # as most are: there are no other forms of it, and nothing invisible
        return " ".join(name.casefold().split())
    visible = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", " ".join(visible.casefold().split()))


class Names:
    """Who is who, within one alert: one human is one identity, whatever the alert calls them and whichever of their phones it is.
    `names` are those of people by their addresses; `reached` are the addresses of the alert, each with its person."""

    def __init__(self, names: Mapping[str, str], reached: Iterable[Reached]) -> None:
        owners: dict[str, set[str]] = {}
        for address, person in reached:
            if address in names:
                owners.setdefault(folded(person), set()).add(folded(names[address]))
        self._by_address = names
        self._by_person = {person: who for person, (who, *more) in owners.items() if not more}

    def of(self, person: str, address: str = "") -> str:
        """The identity of the person at the address."""
        known = self._by_address.get(address)
        name = folded(person)
        return self._by_person.get(name, name) if known is None else folded(known)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who says who they are: the identity that counts, "" for a stranger, and how they are called."""

    identity: str
    called: str


def claimed(by: str, names: Mapping[str, str], reached: Iterable[Reached]) -> Person:
    """Whom the alert takes somebody for who says that they are `by`: one of its people, by name or address. Where it names nobody, but
    only addresses, whoever they say they are; else they are a stranger."""
    everybody = tuple(reached)
    who = Names(names, everybody)
    said = folded(by)
    addresses = {folded(address) for address, _ in everybody}
    people: dict[str, Person] = {}
    for address, person in everybody:
        called = names.get(address, person)
        identity = who.of(person, address)
        people.setdefault(folded(address), Person(identity, called))
        people.setdefault(identity, Person(identity, called))
    found = people.get(said) or people.get(who.of(by))
    if found is not None:
        return found
    anonymous = all(folded(person) in addresses and address not in names for address, person in everybody)
    return Person(said if anonymous else "", by)
