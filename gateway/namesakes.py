"""Recipients of one name are as many people as they are listed, within one request. Pure; how names are compared is `identity`'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.escalation import Recipient
from gateway.frozen import replace
from gateway.identity import folded


@dataclass(slots=True, eq=False)
class _Person:
    called: str
    addresses: set[str] = field(default_factory=set)


class Namesakes:
    """Tells the recipients of one request apart, list by list: the alert's own, then those of its steps.

    Who is listed twice in one list is two people, unless they share an address. Who is in another list as well is the one there: the
    one with the same address, else the next of that name. The second of a name is called ``Anne (2)``.
    """

    def __init__(self) -> None:
        self._people: dict[str, list[_Person]] = {}
        self._taken: set[str] = set()

    def told_apart(self, recipients: Sequence[Recipient]) -> tuple[Recipient, ...]:
        """The recipients of one list, each called as the person that they are."""
        listed: set[_Person] = set()
        return tuple(self._called(recipient, listed) for recipient in recipients)

    def _called(self, recipient: Recipient, listed: set[_Person]) -> Recipient:
        name = folded(recipient.person)
        if name not in self._people and name not in self._taken:  # the first of this name, as nearly everybody is
            first = _Person(recipient.person, set(recipient.addresses))
            self._people[name] = [first]
            self._taken.add(name)
            listed.add(first)
            return recipient
        known = self._people.setdefault(name, [])
        person = next((one for one in known if not one.addresses.isdisjoint(recipient.addresses)), None)
        person = person or next((one for one in known if one not in listed), None)
        if person is None:
            person = _Person(self._free(recipient.person))
            known.append(person)
        person.addresses.update(recipient.addresses)
        listed.add(person)
        return recipient if person.called == recipient.person else replace(recipient, person=person.called)

    def _free(self, name: str) -> str:
        """A name that nobody has: the name itself, or with a number behind it."""
        called, n = name, 1
        while folded(called) in self._taken:
            n += 1
            called = f"{name.strip()} ({n})"
        self._taken.add(folded(called))
        return called
