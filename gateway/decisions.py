"""What a person on the line decides about one alert: acknowledged, taken in charge, declined. Committed before it is told."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from channels.conversation import Decision, Reply, Standing
from gateway import alert as machine
from gateway.alert import Alert, Status
from gateway.clock import rfc3339
from gateway.delivery import Delivery
from gateway.frozen import replace
from gateway.lifecycle import acknowledgers, write_acknowledgement
from gateway.progress import change_alert
from gateway.store import tables
from gateway.store.unit import Unit, Wants

_OVER = frozenset({Status.RESOLVED, Status.CANCELLED, Status.COMPLETED})


@dataclass(frozen=True, slots=True)
class EverybodyDeclined:
    """Signal: nobody is left to try, and whoever was reached declined."""

    alert_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decide:
    """Command: a person pressed a key for the alert of a delivery. `person` where somebody else than its recipient speaks."""

    delivery_id: str
    decision: Decision
    via: str
    person: str = ""
    weight: int = 4

    def prefetch(self, wants: Wants) -> None:
        wants.deliveries.add(self.delivery_id)

    def apply(self, unit: Unit) -> Reply:
        delivery = unit.delivery(self.delivery_id)
        alert = None if delivery is None else unit.alert(delivery.alert_id)
        if delivery is None or alert is None:
            return Reply(standing=Standing.OVER)
        if alert.status in _OVER:
            return Reply(standing=Standing.OVER)
        by = self.person or delivery.person
        unit.flush()  # acknowledgements of this batch count
        people = acknowledgers(unit, alert.id)
        if alert.status is Status.ACKNOWLEDGED and alert.ended_at is not None and by not in people:
            return Reply(standing=Standing.ELSEWHERE, by=last_acknowledger(unit, alert.id))
        if self.decision is Decision.DECLINED:
            _decline(unit, alert, delivery, by, self.via)
        else:
            self._acknowledge(unit, alert, by, people)
        return Reply(standing=Standing.RECORDED)

    def _acknowledge(self, unit: Unit, alert: Alert, by: str, people: set[str]) -> None:
        taken = self.decision is Decision.TAKEN
        write_acknowledgement(unit, alert.id, by, via=self.via, comment=str(self.decision))
        if alert.confirm_by_at is not None and not taken:
            return  # received once more: who takes it in charge says so by a key of its own
        change_alert(unit, alert, machine.acknowledged(alert, people | {by}, unit.now, taken=taken))


def last_acknowledger(unit: Unit, alert_id: str) -> str:
    """Who acknowledged last; "" where nobody has."""
    t = tables.acknowledgements.c
    statement = select(t.by).where(t.alert_id == alert_id).order_by(t.id.desc()).limit(1)
    return unit.connection.scalar(statement) or ""


def _decline(unit: Unit, alert: Alert, delivery: Delivery, by: str, via: str) -> None:
    """The person cannot act: where nobody else is being tried, the next step begins now, or the last resort is told."""
    unit.event(alert.id, "declined", by, delivery.id)
    unit.note(alert.id, {"type": "declined", "by": by, "via": via, "delivery": delivery.id, "at": rfc3339(unit.now)})
    if alert.status is not Status.ACTIVE or alert.expanded < alert.expanding or _tries_others(unit, delivery):
        return
    if alert.step_at is None:
        if _all_declined(unit, alert):
            unit.signal(EverybodyDeclined(alert.id))
    elif alert.step_at > unit.now:
        unit.put(replace(alert, step_at=unit.now, look_at=unit.now))


def _tries_others(unit: Unit, delivery: Delivery) -> bool:
    """Whether anybody else of the alert is still being tried: who declined on one address is not called at another."""
    t = tables.deliveries.c
    others = select(func.count()).where(
        t.alert_id == delivery.alert_id, t.settled_at.is_(None), t.id != delivery.id, t.person != delivery.person
    )
    return bool(unit.connection.scalar(others))


def _all_declined(unit: Unit, alert: Alert) -> bool:
    """Whether every person who was reached has declined."""
    unit.flush()
    events, deliveries = tables.events.c, tables.deliveries.c
    declined = set(
        unit.connection.scalars(select(events.detail).where(events.alert_id == alert.id, events.kind == "declined"))
    )
    reached = set(
        unit.connection.scalars(
            select(deliveries.person)
            .where(deliveries.alert_id == alert.id, deliveries.state.in_(("accepted", "delivered")))
            .distinct()
        )
    )
    return reached <= declined
