"""Two escalations become one: what of an open alert's plan is still to come, and what a request adds to it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gateway.escalation import Occurrence, Recipient, targets
from gateway.frozen import replace
from gateway.turns import turns

Plan = tuple[Occurrence, ...]
BEGUN = datetime.min.replace(tzinfo=UTC)
"""Before any time that is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Escalation:
    """Whom an alert tries when: `plan` counts from `start_at`, and the occurrences before `step` have begun. Of the last of these
    the first `expanded` of `expanding` deliveries are written."""

    plan: Plan
    recipients: tuple[Recipient, ...]
    start_at: datetime
    step: int = 0
    expanded: int = 0
    expanding: int = 0

    def at(self, n: int) -> datetime:
        """When occurrence `n` begins."""
        return self.start_at + timedelta(seconds=self.plan[n].after_s)

    def addresses(self, n: int) -> list[str]:
        """The addresses of occurrence `n`, each once, in order."""
        return list(dict.fromkeys(address for _, _, address in targets(self.plan[n], self.recipients)))

    def unwritten(self) -> frozenset[str]:
        """Addresses of a broadcast that is under way, and not written yet."""
        if self.step == 0 or self.expanded >= self.expanding:
            return frozenset()
        return frozenset(self.addresses(self.step - 1)[self.expanded :])


@dataclass(slots=True)
class _People:
    """The recipients of the merged alert. Lists that several occurrences share are in it once: each occurrence names its part."""

    everybody: list[Recipient]
    parts: dict[tuple[Recipient, ...], tuple[int, int]] = field(default_factory=dict)

    def part(self, chosen: tuple[Recipient, ...]) -> tuple[int, int]:
        """Where the recipients are; they are added at the end where they are not there yet."""
        known = self.parts.get(chosen)
        if known is None:
            start = len(self.everybody)
            self.everybody.extend(chosen)
            known = self.parts[chosen] = (start, len(self.everybody))
        return known


def asked_first(asked: Escalation) -> dict[str, datetime]:
    """Every address that is tried, and when it is for the first time."""
    found: dict[str, datetime] = {}
    for n in range(len(asked.plan)):
        for address in asked.addresses(n):
            turns.give_way()
            found.setdefault(address, asked.at(n))
    return found


def planned_first(opened: Escalation) -> dict[str, datetime]:
    """As `asked_first`, of an open alert: what has begun was in time for anything."""
    found: dict[str, datetime] = {}
    for n in range(len(opened.plan)):
        at = opened.at(n) if n >= opened.step else BEGUN
        for address in opened.addresses(n):
            turns.give_way()
            found[address] = min(at, found.get(address, at))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """A plan that counts from `start_at`, with `step` to come next, and all of its recipients."""

    plan: Plan
    recipients: tuple[Recipient, ...]
    start_at: datetime
    step: int


def added(opened: Escalation, asked: Escalation, told: frozenset[str], now: datetime) -> Merged:
    """The plan of the open alert, and from now on what is asked for the addresses `told` beside it."""
    people = _people(opened)
    own = people.parts[opened.recipients]
    begun = [_pinned(occurrence, own) for occurrence in opened.plan[: opened.step]]
    later = [(opened.at(n), _pinned(opened.plan[n], own)) for n in range(opened.step, len(opened.plan))]
    later += _wanted(asked, told, now, people)
    following = _counted(later, opened.start_at)
    return Merged(
        plan=(*begun, *following),
        recipients=tuple(people.everybody),
        start_at=opened.start_at,
        step=opened.step,
    )


def taken_over(opened: Escalation, asked: Escalation, now: datetime) -> Merged:
    """The plan that is asked for, from now on, and what was still to come for whoever it does not name: later steps, and what a
    broadcast had not come to yet."""
    told = frozenset(asked_first(asked))
    people = _people(opened)
    own = people.parts[opened.recipients]
    kept = _only(lambda address: address not in told)
    old = [(opened.at(n), _pinned(opened.plan[n], own)) for n in range(opened.step, len(opened.plan))]
    rest = opened.unwritten() - told
    later = _wanted(asked, told, now, people)
    later += [(at, one) for at, each in old if (one := _for(each, opened.recipients, kept, people)) is not None]
    if rest:
        last = _pinned(opened.plan[opened.step - 1], own)
        left = _for(last, opened.recipients, _only(rest.__contains__), people)
        later += [(now, left)] if left is not None else []
    return Merged(plan=_counted(later, now), recipients=tuple(people.everybody), start_at=now, step=0)


def _people(opened: Escalation) -> _People:
    return _People(list(opened.recipients), {opened.recipients: (0, len(opened.recipients))})


def _wanted(
    asked: Escalation, told: frozenset[str], now: datetime, people: _People
) -> list[tuple[datetime, Occurrence]]:
    """What is asked for some addresses, with its times, from now on."""
    only = _only(told.__contains__)
    found = []
    for occurrence in asked.plan:
        one = _for(occurrence, asked.recipients, only, people)
        if one is not None:
            found.append((now + timedelta(seconds=occurrence.after_s), one))
    return found


def _counted(later: Sequence[tuple[datetime, Occurrence]], start_at: datetime) -> Plan:
    """The occurrences in the order of their times, counted from the start; what is overdue is due at once."""
    return tuple(
        replace(occurrence, after_s=max(0, _seconds(at - start_at)))
        for at, occurrence in sorted(later, key=lambda each: each[0])
    )


def _seconds(after: timedelta) -> float:
    seconds = after.total_seconds()
    return int(seconds) if seconds == int(seconds) else seconds


def _pinned(occurrence: Occurrence, own: tuple[int, int]) -> Occurrence:
    """The occurrence with its recipients named, whoever else the alert has later."""
    if occurrence.recipients is not None or occurrence.part is not None:
        return occurrence
    return replace(occurrence, part=own)


Wanted = Callable[[str], bool]


def _only(wanted: Wanted) -> Callable[[Sequence[Recipient]], tuple[Recipient, ...]]:
    """A filter of recipients by their addresses; it remembers what it has filtered, for occurrences share their lists."""
    known: dict[tuple[Recipient, ...], tuple[Recipient, ...]] = {}

    def only(chosen: Sequence[Recipient]) -> tuple[Recipient, ...]:
        everybody = tuple(chosen)
        if everybody not in known:
            found = []
            for recipient in everybody:
                turns.give_way()
                addresses = tuple(address for address in recipient.addresses if wanted(address))
                if addresses:
                    same = addresses == recipient.addresses
                    found.append(recipient if same else replace(recipient, addresses=addresses))
            known[everybody] = tuple(found)
        return known[everybody]

    return only


def _for(
    occurrence: Occurrence,
    recipients: tuple[Recipient, ...],
    only: Callable[[Sequence[Recipient]], tuple[Recipient, ...]],
    people: _People,
) -> Occurrence | None:
    """The occurrence for some of its recipients; None where it then tries nobody."""
    chosen = occurrence.chosen(recipients)
    some = only(chosen)
    one = replace(occurrence, recipients=None, part=None)
    if not targets(one, some):
        return None
    if some == tuple(chosen) and (occurrence.recipients is not None or occurrence.part is not None):
        return occurrence
    return replace(one, part=people.part(some))
