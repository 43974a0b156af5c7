"""What happens next for an alert, and when: its steps as a list of occurrences in time. Pure; who is reached is planned elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from gateway.identity import folded
from gateway.turns import turns

OCCURRENCES_MAX = 500  # steps times repeats of one alert: a step a minute for a working day
DELIVERIES_MAX = 200_000
"""Of one alert, over all steps and repeats: twice the most recipients, so that each can be tried again."""


LARGE_CHARS = 16 * 1024
"""Of recipients and steps as they are stored, from which planning and joining is large work: some 500 numbers."""
AT_ONCE = 500  # recipients that are written as JSON in one call
READ_AT_ONCE_CHARS = 64 * 1024  # of JSON that is read in one call: a millisecond
_BETWEEN = re.compile(r"[\s,]*")
_OCCURRENCE = '{"after_s": '
_read = json.JSONDecoder().raw_decode

PLANS_REMEMBERED = 64  # as JSON: nearly all alerts have one of a few plans


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipient:
    """A person or a device to reach, at addresses written ``channel:value``. `person` is what counts for a quorum."""

    person: str
    language: str = ""
    addresses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Part of an alert's escalation. Empty `channels` are all; `recipients` None are the alert's own."""

    after_s: int = 0
    channels: tuple[str, ...] = ()
    recipients: tuple[Recipient, ...] | None = None
    repeat: int = 0
    every_s: int = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Occurrence:
    """One time at which a step becomes active. `part` are the alert's own recipients from the first number up to the second, where not
    all of them are meant: those of one of the requests that the alert is made of."""

    after_s: float
    channels: tuple[str, ...] = ()
    recipients: tuple[Recipient, ...] | None = None
    part: tuple[int, int] | None = None

    def chosen(self, recipients: Sequence[Recipient]) -> Sequence[Recipient]:
        """Whom this occurrence tries, of an alert with these recipients."""
        if self.recipients is not None:
            return self.recipients
        return recipients if self.part is None else recipients[slice(*self.part)]


class TooManyOccurrencesError(ValueError):
    """The steps and their repeats come to more than OCCURRENCES_MAX."""


def occurrences(steps: Sequence[Step]) -> tuple[Occurrence, ...]:
    """All occurrences in the order of their times; without steps, one at once for everybody. Raises TooManyOccurrencesError."""
    if not steps:
        return (Occurrence(after_s=0),)
    if sum(1 + step.repeat for step in steps) > OCCURRENCES_MAX:
        raise TooManyOccurrencesError(f"expected at most {OCCURRENCES_MAX} steps, repeats included")
    found = [
        Occurrence(after_s=step.after_s + n * step.every_s, channels=step.channels, recipients=step.recipients)
        for step in steps
        for n in range(step.repeat + 1)
    ]
    return tuple(sorted(found, key=lambda occurrence: occurrence.after_s))


def due_at(plan: Sequence[Occurrence], n: int, start_at: datetime) -> datetime | None:
    """When occurrence `n` becomes active; None after the last."""
    return start_at + timedelta(seconds=plan[n].after_s) if n < len(plan) else None


def is_repeat(plan: Sequence[Occurrence], n: int) -> bool:
    """Whether occurrence `n` only tries again what an earlier one has tried."""
    tried = {(earlier.channels, earlier.recipients, earlier.part) for earlier in plan[:n]}
    return n < len(plan) and (plan[n].channels, plan[n].recipients, plan[n].part) in tried


def is_repeat_in(stored: str, n: int) -> bool:
    """As `is_repeat`, of a plan as it is stored. A long one is compared as it stands: reading it takes seconds."""
    if len(stored) < LARGE_CHARS:
        return is_repeat(plan_from_json(stored), n)
    _, *found = stored.split(_OCCURRENCE)  # in a text the quotes would be escaped
    tried = [one.partition(", ")[2].rstrip(", ]") for one in found[: n + 1]]  # without its time
    return n < len(found) and tried[n] in tried[:n]


def targets(occurrence: Occurrence, recipients: Sequence[Recipient]) -> list[tuple[int, Recipient, str]]:
    """(number of the recipient, recipient, address) for all whom this occurrence tries, in order."""
    return [
        (n, recipient, address)
        for n, recipient in enumerate(occurrence.chosen(recipients))
        for address in recipient.addresses
        if not occurrence.channels or address.partition(":")[0] in occurrence.channels
    ]


def deciding(plan: Sequence[Occurrence], recipients: Sequence[Recipient], names: Mapping[str, str]) -> set[str]:
    """Who can acknowledge: a person for each address that is tried, called as a key pressed there is (`gateway.decisions`). `names`
    are those of people by their addresses; whoever has one of a recipient's addresses is that recipient."""
    found: set[str] = set()
    for occurrence in plan:
        seen: set[str] = set()
        for _, recipient, address in targets(occurrence, recipients):
            turns.give_way()
            if address in seen:
                continue  # as it is planned: the first who lists it has it
            seen.add(address)
            owner = (names[one] for one in (address, *recipient.addresses) if one in names)
            found.add(folded(next(owner, recipient.person)))
    return found


def everybody(plan: Sequence[Occurrence], recipients: Sequence[Recipient]) -> Iterator[tuple[str, str]]:
    """The addresses of all occurrences, each with its person."""
    for occurrence in plan:
        for _, recipient, address in targets(occurrence, recipients):
            yield address, recipient.person


# --- as stored with the alert ----------------------------------------------------------------------------------------


def _recipient_json(recipient: Recipient) -> Any:
    return [recipient.person, recipient.language, *recipient.addresses]


def recipients_to_json(recipients: Sequence[Recipient]) -> str:
    """Recipients as the alert's row keeps them."""
    return f"[{', '.join(_texts(recipients))}]"


def _texts(recipients: Sequence[Recipient]) -> Iterator[str]:
    """Piece by piece: what is written at once cannot be interrupted by anything urgent."""
    for start in range(0, len(recipients), AT_ONCE):
        turns.give_way()
        some = [_recipient_json(recipient) for recipient in recipients[start : start + AT_ONCE]]
        yield json.dumps(some, ensure_ascii=False)[1:-1]


def _recipient(stored: Any) -> Recipient:
    person, language, *addresses = stored
    return Recipient(person=person, language=language, addresses=tuple(addresses))


def recipients_from_json(text: str) -> tuple[Recipient, ...]:
    """The inverse of `recipients_to_json`."""
    return tuple(_recipient(stored) for stored in _stored(text))


def _stored(text: str) -> Iterator[Any]:
    """The recipients in the text; of a long one each is read by itself, so that something urgent can come between."""
    if len(text) <= READ_AT_ONCE_CHARS:
        yield from json.loads(text)
        return
    at = text.index("[") + 1
    while (at := _BETWEEN.match(text, at).end()) < len(text):  # type: ignore[union-attr]  # it always matches
        if text[at] == "]":
            return
        turns.give_way()
        stored, at = _read(text, at)
        yield stored


def plan_to_json(plan: tuple[Occurrence, ...]) -> str:
    """Occurrences as the alert's row keeps them."""
    if any(o.recipients for o in plan):  # lists of people: long to compare with others, and too large to be remembered
        return _plan_to_json(plan)
    return _remembered(plan)


@lru_cache(maxsize=PLANS_REMEMBERED)
def _remembered(plan: tuple[Occurrence, ...]) -> str:
    return _plan_to_json(plan)


def _plan_to_json(plan: tuple[Occurrence, ...]) -> str:
    written: dict[int, str] = {}  # repeats share their list
    found = []
    for o in plan:
        people = "null"
        if o.recipients is not None:
            people = written.get(id(o.recipients)) or recipients_to_json(o.recipients)
            written[id(o.recipients)] = people
        rest = json.dumps({"channels": o.channels, **({} if o.part is None else {"part": o.part})}, ensure_ascii=False)
        found.append(f'{{"after_s": {json.dumps(o.after_s)}, "recipients": {people}, {rest[1:]}')
    return f"[{', '.join(found)}]"


def plan_from_json(text: str) -> tuple[Occurrence, ...]:
    """The inverse of `plan_to_json`."""
    return tuple(
        Occurrence(
            after_s=stored["after_s"],
            channels=tuple(stored["channels"]),
            recipients=None if stored["recipients"] is None else tuple(_recipient(r) for r in stored["recipients"]),
            part=None if "part" not in stored else tuple(stored["part"]),
        )
        for stored in json.loads(text)
    )
