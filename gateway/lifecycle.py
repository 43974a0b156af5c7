"""Commands on whole alerts: acknowledge, release, resolve, cancel, and what time does to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select

from gateway import alert as machine
from gateway import delivery as deliveries
from gateway.alert import Alert, Rule, Status
from gateway.clock import rfc3339
from gateway.delivery import Ignored, State
from gateway.frozen import replace
from gateway.ids import new_id
from gateway.progress import Announced, Tariffs, change_alert, change_delivery
from gateway.queue.port import Urgency
from gateway.store import tables
from gateway.store.unit import Unit, Wants

CANCEL_CHUNK = 500  # deliveries stopped by one command; a broadcast takes several


class AlertNotFound(LookupError):  # noqa: N818 - the name of its problem
    """No such alert, or not this account's."""


def _mine(unit: Unit, alert_id: str, account_id: str | None) -> Alert:
    alert = unit.alert(alert_id)
    if alert is None or (account_id is not None and alert.account_id != account_id):
        raise AlertNotFound(alert_id)
    return alert


@dataclass(frozen=True, slots=True)
class Taken:
    """Signal: somebody acknowledged an alert. Where its rule is met by it, `AlertEnded` follows in the same commit."""

    alert_id: str
    by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledge:
    """Command: a human confirmed. `by` is their claim, `key_id` the authenticated key; `taken`: they also take it in charge.
    Raises AlertNotFound, AlreadyEnded."""

    alert_id: str
    account_id: str | None
    by: str
    comment: str
    via: str
    key_id: str
    taken: bool = False
    weight: int = 3

    def prefetch(self, wants: Wants) -> None:
        wants.alerts.add(self.alert_id)

    def apply(self, unit: Unit) -> Alert:
        alert = _mine(unit, self.alert_id, self.account_id)
        unit.flush()  # acknowledgements of this batch count
        people = acknowledgers(unit, alert.id) | {self.by}
        after = machine.acknowledged(alert, people, unit.now, taken=self.taken)
        write_acknowledgement(unit, alert.id, self.by, via=self.via, comment=self.comment, key_id=self.key_id)
        return change_alert(unit, alert, after)


def write_acknowledgement(unit: Unit, alert_id: str, by: str, *, via: str, comment: str = "", key_id: str = "") -> None:
    """Puts an acknowledgement on record; what it makes of the alert is the caller's to write."""
    acknowledgement_id = new_id("ack")
    unit.insert("acknowledgements", acknowledgement_id, alert_id, by, comment, via, key_id, unit.now_micros)
    unit.note(
        alert_id,
        {"type": "acknowledgement", "id": acknowledgement_id, "by": by, "via": via, "at": rfc3339(unit.now)},
    )
    unit.signal(Taken(alert_id, by))


def acknowledgers(unit: Unit, alert_id: str) -> set[str]:
    """The distinct people who have acknowledged."""
    t = tables.acknowledgements.c
    return set(unit.connection.scalars(select(t.by).where(t.alert_id == alert_id)))


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeAlert:
    """Command: `verb` (a function of gateway.alert) on one alert. Raises AlertNotFound, AlreadyEnded."""

    alert_id: str
    account_id: str | None
    verb: Callable[[Unit, Alert], Alert]
    by: str = ""
    weight: int = 2

    def prefetch(self, wants: Wants) -> None:
        wants.alerts.add(self.alert_id)

    def apply(self, unit: Unit) -> Alert:
        alert = _mine(unit, self.alert_id, self.account_id)
        after = self.verb(unit, alert)
        if after == alert:
            return alert
        if self.by:
            unit.event(alert.id, "by", self.by)
        after = change_alert(unit, alert, after)
        if alert.status is Status.ACKNOWLEDGED and after.status is Status.ACTIVE:
            _announce_suspended(unit, after)
        return after


def _announce_suspended(unit: Unit, alert: Alert) -> None:
    """What waited while somebody had the alert goes on at once; of a broadcast the rest follows with the rescuer."""
    t = tables.deliveries.c
    queued = (
        select(t.id, t.provider, t.urgency)
        .where(t.alert_id == alert.id, t.state == State.QUEUED.value, t.due_at <= unit.now_micros)
        .order_by(t.id)
        .limit(CANCEL_CHUNK)
    )
    for row in unit.connection.execute(queued):
        unit.signal(Announced(row.provider, row.id, Urgency(row.urgency), unit.now))


def cancel(unit: Unit, alert: Alert) -> Alert:
    """Called off by upstream or an operator."""
    return machine.cancelled(alert, unit.now)


def resolve(unit: Unit, alert: Alert) -> Alert:
    """The trouble is over."""
    return machine.resolved(alert, unit.now)


def release(unit: Unit, alert: Alert) -> Alert:
    """Handed back."""
    return machine.released(alert, unit.now)


def lapse(unit: Unit, alert: Alert) -> Alert:
    """Its deadline, or the time for taking it in charge, has passed."""
    if alert.status is Status.ACTIVE and alert.rule is Rule.NONE and unit.now >= alert.expires_at:
        unit.flush()
        if unit.open_alerts([alert.id]):  # these have the same deadline, and what becomes of them tells how it ended
            return alert
    after = machine.lapsed(machine.confirmation_lapsed(alert, unit.now), unit.now)
    return after if after != alert else replace(alert, look_at=machine.next_look(alert))


@dataclass(frozen=True, kw_only=True, slots=True)
class StopDeliveries:
    """Command: cancels the next chunk of an ended alert's deliveries that have not left. True while there may be more.

    A delivery that is under way is only asked to stop; what a provider has taken goes on to its receipt.
    """

    alert_id: str
    tariffs: Tariffs
    weight: int = CANCEL_CHUNK

    def prefetch(self, wants: Wants) -> None:
        wants.alerts.add(self.alert_id)

    def apply(self, unit: Unit) -> bool:
        t = tables.deliveries.c
        unit.flush()
        statement = (
            select(t.id)
            .where(
                t.alert_id == self.alert_id,
                t.settled_at.is_(None),
                t.cancel_requested == 0,
                t.state.in_((State.QUEUED.value, State.SENDING.value, State.UNSURE.value)),
            )
            .order_by(t.id)
            .limit(CANCEL_CHUNK)
        )
        found = list(unit.connection.scalars(statement))
        unit.prefetch(Wants(deliveries=set(found)))
        for delivery_id in found:
            delivery = unit.delivery(delivery_id)
            if delivery is None:
                continue
            try:
                change_delivery(unit, delivery, deliveries.CancelRequested(), self.tariffs)
            except Ignored:
                continue
        return len(found) == CANCEL_CHUNK
