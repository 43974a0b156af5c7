"""Who has answered is asked no more: people who declined an alert, or acknowledged one that needs others as well."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, or_, select

from gateway import delivery as machine
from gateway.alert import Status
from gateway.delivery import State
from gateway.identity import Names
from gateway.progress import DECLINED, RAISED, Tariffs, change_delivery
from gateway.store import tables
from gateway.store.unit import Unit, Wants

ACKNOWLEDGED = "acknowledgement"
"""What a callback calls one."""
ANEW = (Status.ACTIVE.value, RAISED)
"""Lines of the timeline after which everybody is asked again: handed back, not taken in time, or the trouble has grown."""


def answered_since(connection: Connection, alert_id: str) -> frozenset[str]:
    """The people who have declined or acknowledged since the alert last began anew."""
    e, a = tables.events.c, tables.acknowledgements.c
    anew = select(e.id, e.at).where(e.alert_id == alert_id, e.kind.in_(ANEW)).order_by(e.id.desc()).limit(1)
    row = connection.execute(anew).first()
    since, at = (0, 0) if row is None else (row.id, row.at)
    declined = select(e.detail).where(e.alert_id == alert_id, e.kind == DECLINED, e.id > since)
    acknowledged = select(a.person).where(a.alert_id == alert_id, a.at > at, a.person != "")
    return frozenset((*connection.scalars(declined), *connection.scalars(acknowledged)))


def spare(unit: Unit, names: Mapping[str, str], tariffs: Tariffs) -> None:
    """Before the end of a batch: cancels what still waits for people who have answered in it, at whichever address. `names` are
    those of people by their addresses."""
    answers = {
        (alert_id, note.get("person", note["by"]), note["type"])
        for alert_id, notes in unit.notes.items()
        for note in notes
        if note["type"] in (DECLINED, ACKNOWLEDGED)
    }
    if answers:
        unit.flush()
    for alert_id, by, code in sorted(answers):
        alert = unit.alert(alert_id)
        if alert is not None and alert.status is Status.ACTIVE:  # else it is over, or suspended as a whole
            _cancel_for(unit, alert_id, by, code, names, tariffs)


def _cancel_for(unit: Unit, alert_id: str, by: str, code: str, names: Mapping[str, str], tariffs: Tariffs) -> None:
    t = tables.deliveries.c
    addresses = [address for address, name in names.items() if name == by]
    called = select(t.person).where(t.alert_id == alert_id, t.address.in_(addresses))
    theirs = or_(t.person == by, t.person.in_(called))
    found = unit.connection.execute(
        select(t.id, t.address, t.person, t.state).where(t.alert_id == alert_id, theirs).order_by(t.id)
    ).all()
    who = Names(names, ((row.address, row.person) for row in found))
    waiting = [
        row.id for row in found if row.state == State.QUEUED.value and who.of(row.person, row.address) == who.of(by)
    ]
    unit.prefetch(Wants(deliveries=set(waiting)))
    for delivery_id in waiting:
        delivery = unit.delivery(delivery_id)
        if delivery is not None and delivery.state is State.QUEUED:
            change_delivery(unit, delivery, machine.CancelRequested(code=code), tariffs)
