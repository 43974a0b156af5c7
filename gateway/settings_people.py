"""Checks the [[people]] for what the file alone does not show: addresses that are written differently and are one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.settings import PersonSettings
from gateway.settings_location import written
from gateway.settings_problems import Problem, SettingsError


def check_people(file: str, people: Sequence[PersonSettings], canonical: Callable[[str], str]) -> None:
    """Raises SettingsError where two people have one address: a key pressed there would count as that of either."""
    owners: dict[str, int] = {}
    problems = []
    for n, person in enumerate(people):
        for m, address in enumerate(person.addresses):
            first = owners.setdefault(canonical(address), n)
            if first != n:
                text = f"{person.name} has the address {address}, and people[{first}], {people[first].name}, has it already"
                problems.append(Problem(key=written(("people", n, "addresses", m)), line=None, text=text))
    if problems:
        raise SettingsError(file, problems)
