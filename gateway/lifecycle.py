"""Commands on whole alerts: acknowledge, release, resolve, cancel, and what time does to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select

from gateway import alert as machine
from gateway import delivery as deliveries
from gateway.alert import Alert, Status
from gateway.delivery import Ignored, State
from gateway.frozen import replace
from gateway.progress import Announced, Tariffs, change_alert, change_delivery
from gateway.queue.port import Urgency
from gateway.store import tables
from gateway.store.unit import Unit, Wants
from gateway.words import Speaker, Word, ask_anew, hear, person_of

CANCEL_CHUNK = 100  # deliveries stopped by one command, in some 20 ms: a broadcast takes several, and others have their turn between


def ended_among(connection: Connection, delivery_ids: Sequence[str]) -> dict[str, str]:
    """Those of some deliveries that are not to go on, since their alert has ended or they were cancelled, each with who has
    the alert, or ""."""
    d, s, a = tables.deliveries.c, tables.alerts.c, tables.acknowledgements.c
    counts = (a.alert_id == s.id, a.handed_back == 0, a.person != "")
    by = select(a.by).where(*counts).order_by(a.taken.desc(), a.id.desc()).limit(1).scalar_subquery()
    statement = (
        select(d.id, s.status, by.label("by"))
        .join(tables.alerts, s.id == d.alert_id)
        .where(d.id.in_(delivery_ids), or_(d.cancel_requested == 1, s.ended_at.is_not(None)))
    )
    acknowledged = Status.ACKNOWLEDGED.value
    return {row.id: row.by if row.status == acknowledged else "" for row in connection.execute(statement)}


class AlertNotFound(LookupError):  # noqa: N818 - the name of its problem
    """No such alert, or not this account's."""


def _mine(unit: Unit, alert_id: str, account_id: str | None) -> Alert:
    alert = unit.alert(alert_id)
    if alert is None or (account_id is not None and alert.account_id != account_id):
        raise AlertNotFound(alert_id)
    return alert


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledge:
    """Command: somebody tells through the API that a human confirmed. `by` is their claim, `key_id` the authenticated key;
    `taken`: they take it in charge, else they have received it. `names` are those of people by their addresses. Raises
    AlertNotFound, AlreadyEnded."""

    alert_id: str
    account_id: str | None
    by: str
    comment: str
    via: str
    key_id: str
    taken: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    known: Speaker | None = None
    """Who it is, where that was found out before: among many people it takes the writer too long."""
    weight: int = 3

    def prefetch(self, wants: Wants) -> None:
        wants.alerts.add(self.alert_id)

    def apply(self, unit: Unit) -> Alert:
        alert = _mine(unit, self.alert_id, self.account_id)
        known = self.known
        person = known.person if known is not None and known.among(alert) else person_of(alert, self.by, self.names)
        word = Word(by=self.by, person=person, taken=self.taken, via=self.via, comment=self.comment, key_id=self.key_id)
        return hear(unit, alert, word)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class GoOnTo:
    """Command: of an alert whose step `step` is next, `to` is the next one instead, at `at`; None: there is none any more."""

    alert_id: str
    step: int
    to: int
    at: datetime | None
    steps: str
    """The alert's steps as they were when that was found out."""
    weight: int = 2

    def prefetch(self, wants: Wants) -> None:
        wants.alerts.add(self.alert_id)

    def apply(self, unit: Unit) -> None:
        alert = unit.alert(self.alert_id)
        if alert is None or alert.status is not Status.ACTIVE or alert.step != self.step or alert.step_at is None:
            return
        if alert.steps != self.steps:
            return  # others have joined it meanwhile
        change_alert(unit, alert, replace(alert, step=self.to, step_at=self.at))
        if self.at is None:
            unit.touch(alert.id)  # nothing may be under way either


def cancel(unit: Unit, alert: Alert) -> Alert:
    """Called off by upstream or an operator."""
    return machine.cancelled(alert, unit.now)


def resolve(unit: Unit, alert: Alert) -> Alert:
    """The trouble is over."""
    return machine.resolved(alert, unit.now)


def release(unit: Unit, alert: Alert) -> Alert:
    """Handed back: the next step begins now."""
    after = machine.released(alert, unit.now)
    ask_anew(unit, alert.id)
    if after.step_at is None:
        return _tried_anew(unit, alert, after)
    return replace(after, step_at=min(after.step_at, unit.now))


def _tried_anew(unit: Unit, before: Alert, after: Alert) -> Alert:
    """An alert that somebody had, and has not any more: where no step is left, and what was under way was stopped or is over,
    the last step begins anew. From a new start: its hold is named by that, and is another one."""
    if after.step_at is not None or after.step == 0:
        return after
    if before.ended_at is None:  # what waited goes on
        unit.flush()
        if after.expanded < after.expanding or unit.open_alerts([after.id]):
            return after
    start_at = max(unit.now, after.start_at + timedelta(microseconds=1))  # whatever another process's clock says
    return replace(after, step=after.step - 1, step_at=unit.now, start_at=start_at)


def lapse(unit: Unit, alert: Alert) -> Alert:
    """Its deadline, or the time for taking it in charge, has passed."""
    if alert.status is Status.ACTIVE and not machine.asks(alert) and unit.now >= alert.expires_at:
        unit.flush()
        if unit.open_alerts([alert.id]):  # these have the same deadline, and what becomes of them tells how it ended
            return alert
    after = machine.lapsed(machine.confirmation_lapsed(alert, unit.now), unit.now)
    if alert.status is Status.ACKNOWLEDGED and after.status is Status.ACTIVE:
        after = _tried_anew(unit, alert, after)
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
        alert = unit.alert(self.alert_id)
        if alert is not None and alert.ended_at is None:
            return False  # handed back meanwhile: what is left of it goes on
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
