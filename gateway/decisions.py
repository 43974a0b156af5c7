"""What a person on the line decides about one alert: acknowledged, taken in charge, declined. Committed before it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select

from channels.conversation import Decision, Reply, Standing
from gateway.alert import Alert, Status
from gateway.clock import rfc3339
from gateway.delivery import Delivery, State
from gateway.frozen import replace
from gateway.identity import Names, Person, folded
from gateway.progress import DECLINED, RAISED
from gateway.store import tables
from gateway.store.unit import Unit, Wants
from gateway.words import Word, hear, said, who_has_it

_OVER = frozenset({Status.RESOLVED, Status.CANCELLED, Status.COMPLETED})


ALL_DECLINED = "everybody_declined"
"""A line of the timeline, as DECLINED is."""


@dataclass(frozen=True, slots=True)
class EverybodyDeclined:
    """Signal: nobody is left to try, and whoever was reached declined."""

    alert_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decide:
    """Command: a person pressed a key for the alert of a delivery. `names` are those of people by their addresses: one human
    counts once, whichever of their phones it was."""

    delivery_id: str
    decision: Decision
    via: str
    pressed_at: datetime | None = None
    """When it was pressed, where that may be long before it is written."""
    names: Mapping[str, str] = field(default_factory=dict)
    weight: int = 4

    def prefetch(self, wants: Wants) -> None:
        wants.deliveries.add(self.delivery_id)

    def apply(self, unit: Unit) -> Reply:
        delivery = unit.delivery(self.delivery_id)
        alert = None if delivery is None else unit.alert(delivery.alert_id)
        if delivery is None or alert is None or alert.status in _OVER:
            return Reply(standing=Standing.OVER)
        by = self.names.get(delivery.address, delivery.person)
        if self._of_the_milder(unit, delivery, alert):
            unit.event(alert.id, "key_before_the_rise", by, delivery.id)
            return Reply(standing=Standing.RECORDED)
        unit.flush()  # acknowledgements of this batch count
        has_it = alert.status is Status.ACKNOWLEDGED and alert.ended_at is not None
        if has_it and folded(by) not in said(unit, alert.id):
            return Reply(standing=Standing.ELSEWHERE, by=who_has_it(unit, alert.id))
        if self.decision is Decision.DECLINED:
            if has_it:  # they have it, and cannot give it back by a key: nobody would be called for it
                return Reply(standing=Standing.ELSEWHERE, by=by)
            _decline(unit, alert, delivery, by, self.via, self.names)
        else:
            self._acknowledge(unit, alert, by)
        return Reply(standing=Standing.RECORDED)

    def _of_the_milder(self, unit: Unit, delivery: Delivery, alert: Alert) -> bool:
        """Whether the person has heard the alert as it was before its priority rose: they are asked anew, and this does not count."""
        if alert.retold_at is None or delivery.urgency <= alert.priority:
            return False
        if self.pressed_at is not None and self.pressed_at < alert.retold_at:
            return True
        attempt = unit.attempt(delivery.id, delivery.epoch)
        return delivery.state is State.SENDING and attempt is not None and attempt.started_at < alert.retold_at

    def _acknowledge(self, unit: Unit, alert: Alert, by: str) -> None:
        word = Word(
            by=by,
            person=Person(folded(by), by),
            taken=self.decision is Decision.TAKEN,
            via=self.via,
            comment=str(self.decision),
        )
        hear(unit, alert, word)


def _decline(unit: Unit, alert: Alert, delivery: Delivery, by: str, via: str, names: Mapping[str, str]) -> None:
    """The person cannot act: where nobody else is being tried, the next step begins now, or the last resort is told."""
    unit.event(alert.id, DECLINED, by, delivery.id)
    unit.note(alert.id, {"type": DECLINED, "by": by, "via": via, "delivery": delivery.id, "at": rfc3339(unit.now)})
    if not _tries_others(unit, delivery):
        _go_on(unit, alert, names)


def follow_declines(unit: Unit, quiet: Sequence[Alert], names: Mapping[str, str]) -> None:
    """At the end of a batch: alerts for which nothing is under way any more go on at once where whoever was reached declined."""
    if not quiet:
        return
    e = tables.events.c
    statement = select(e.alert_id).where(e.alert_id.in_([alert.id for alert in quiet]), e.kind == DECLINED).distinct()
    declined = set(unit.connection.scalars(statement))
    for alert in quiet:
        if alert.id in declined:
            _go_on(unit, alert, names)
    if declined:
        unit.flush()


def _go_on(unit: Unit, alert: Alert, names: Mapping[str, str]) -> None:
    """The next step now, where everybody who was reached has declined; without one, a word to the last resort, once."""
    if alert.status is not Status.ACTIVE or alert.expanded < alert.expanding:
        return
    unit.flush()
    raised, raised_at = _raised(unit, alert.id)
    told = _events(unit, alert.id, raised)
    reached, who = _reached(unit, alert.id, names, raised_at)
    if not reached <= {who.of(detail) for kind, detail in told if kind == DECLINED}:
        return
    if alert.step_at is None:
        if all(kind != ALL_DECLINED for kind, _ in told):
            unit.event(alert.id, ALL_DECLINED)
            unit.signal(EverybodyDeclined(alert.id))
    elif alert.step_at > unit.now:
        unit.put(replace(alert, step_at=unit.now, look_at=unit.now))


def _raised(unit: Unit, alert_id: str) -> tuple[int, int]:
    """(line of the timeline, time) at which the priority rose last; what was answered before is asked anew."""
    e = tables.events.c
    statement = select(e.id, e.at).where(e.alert_id == alert_id, e.kind == RAISED).order_by(e.id.desc()).limit(1)
    found = unit.connection.execute(statement).first()
    return (0, 0) if found is None else (found.id, found.at)


def _events(unit: Unit, alert_id: str, after: int) -> list[tuple[str, str]]:
    e = tables.events.c
    statement = select(e.kind, e.detail).where(
        e.alert_id == alert_id, e.kind.in_((DECLINED, ALL_DECLINED)), e.id > after
    )
    return [(row.kind, row.detail) for row in unit.connection.execute(statement)]


def _tries_others(unit: Unit, delivery: Delivery) -> bool:
    """Whether anybody else of the alert is still being tried: who declined on one address is not called at another."""
    t = tables.deliveries.c
    others = select(func.count()).where(
        t.alert_id == delivery.alert_id, t.settled_at.is_(None), t.id != delivery.id, t.person != delivery.person
    )
    return bool(unit.connection.scalar(others))


def _reached(unit: Unit, alert_id: str, names: Mapping[str, str], since: int) -> tuple[set[str], Names]:
    """The people who were reached by what was made since then; and who is who among all of the alert."""
    t = tables.deliveries.c
    statement = select(t.address, t.person, t.state, t.created_at).where(t.alert_id == alert_id)
    found = unit.connection.execute(statement).all()
    who = Names(names, ((row.address, row.person) for row in found))
    reached = [row for row in found if row.state in ("accepted", "delivered") and row.created_at >= since]
    return {who.of(row.person, row.address) for row in reached}, who
