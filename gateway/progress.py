"""What a delivery's or an alert's change brings with it, in the same transaction: money, callbacks, announcements, the end."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from billing import ledger
from billing.pricing import SettledUnits, charge_for
from billing.tariff import Tariff
from gateway import alert as alerts
from gateway.alert import Alert, Standing, Status
from gateway.clock import rfc3339, to_micros
from gateway.delivery import Announce, Delivery, Event, Settle, advance
from gateway.escalation import is_repeat_in
from gateway.frozen import replace
from gateway.ids import new_id
from gateway.queue.port import Urgency
from gateway.store import tables
from gateway.store.reading import read_tariffs
from gateway.store.rows import Callback
from gateway.store.unit import Unit

CORRECTED = "corrected"  # a line of the timeline: state and code as they were settled, and as they are since
RAISED = "priority_raised"  # a line of the timeline: everybody is asked anew
DECLINED = "declined"  # a line of the timeline: a person was reached, and cannot act
FIRST_DUE = timedelta(seconds=60)  # a callback that its own process did not send in this time is sent by any
NOTES_MAX = 500  # events in one callback: about 100 kB; further ones make a callback of their own


@dataclass(frozen=True, slots=True)
class Announced:
    """Signal: a delivery is ready for its provider."""

    provider: str
    delivery_id: str
    urgency: Urgency
    due_at: datetime


@dataclass(frozen=True, slots=True)
class CallbackWritten:
    """Signal: an alert has a callback to be sent."""

    callback: Callback


@dataclass(frozen=True, slots=True)
class AlertEnded:
    """Signal: nothing more is to be sent for the alert; what is still queued is to be cancelled."""

    alert_id: str
    status: str


class Tariffs:
    """The tariff versions by id, as loaded; versions are immutable, so a copy is never wrong, only incomplete."""

    def __init__(self) -> None:
        self._by_id: dict[int, Tariff] = {}

    def learn(self, tariffs: list[Tariff]) -> None:
        self._by_id.update({tariff.id: tariff for tariff in tariffs})

    def knows(self, tariff_id: int | None) -> bool:
        return tariff_id is None or tariff_id in self._by_id

    def get(self, tariff_id: int | None) -> Tariff | None:
        return None if tariff_id is None else self._by_id[tariff_id]


def change_delivery(unit: Unit, delivery: Delivery, event: Event, tariffs: Tariffs) -> Delivery:
    """Advances the delivery by the event and does all that follows from it. Raises Ignored or Fenced, and then nothing is changed."""
    changed, effects = advance(delivery, event, unit.now)
    for effect in effects:
        match effect:
            case Settle():
                changed = _settle(unit, changed, tariffs)
            case Announce():
                unit.signal(
                    Announced(effect.provider, changed.id, Urgency(changed.urgency), changed.due_at),
                )
    if delivery.settled_at is not None and delivery.state is not changed.state:
        # what was settled has another end now: the timeline tells both
        then = f"{delivery.state} {delivery.code or '-'} {changed.state} {changed.code or '-'}"
        unit.event(changed.alert_id, CORRECTED, then, changed.id)
    if changed.settled_at is not None and (delivery.settled_at is None or delivery.state is not changed.state):
        unit.touch(changed.alert_id)
        tell(unit, changed)
    unit.put(changed)
    return changed


def tell(unit: Unit, delivery: Delivery) -> None:
    """Puts the delivery's state into the alert's next callback."""
    unit.note(
        delivery.alert_id,
        {
            "type": f"delivery.{delivery.state}",
            "delivery": delivery.id,
            "address": delivery.address,
            "state": delivery.state,
            "code": delivery.code,
            "provider": delivery.provider,
            "at": rfc3339(unit.now),
        },
    )


def _settle(unit: Unit, delivery: Delivery, tariffs: Tariffs) -> Delivery:
    """Captures what the settled units cost and releases the rest of the hold; both at most once for a delivery."""
    if delivery.hold_micros == 0:
        return delivery
    if not tariffs.knows(delivery.tariff_id):  # another process set it after ours were loaded
        tariffs.learn(read_tariffs(unit.connection))
    charge = charge_for(tariffs.get(delivery.tariff_id), settled_units(unit, delivery))
    balance = unit.balance(delivery.account_id)
    assert balance is not None, "a delivery's account has balances"
    after, entries, absorbed = ledger.settle(
        balance, delivery_id=delivery.id, hold_micros=delivery.hold_micros, capture_micros=charge
    )
    unit.move(after, entries)
    if absorbed:
        unit.event(delivery.alert_id, "absorbed", str(absorbed), delivery.id)
    return replace(delivery, captured_micros=min(charge, delivery.hold_micros))


def settled_units(unit: Unit, delivery: Delivery) -> SettledUnits:
    """What became of the units, over all attempts (`billing.pricing.SettledUnits` says how they are counted)."""
    if delivery.epoch == 0:
        return SettledUnits()
    found = unit.parts_of(delivery.id)
    counts = {"delivered": 0, "failed": 0, "accepted": 0}
    for part in found:
        counts[part.state] += part.units
    unknown = 0
    if delivery.epoch > 1 or sum(counts.values()) < delivery.units:
        for attempt in unit.attempts_of(delivery.id):
            if attempt.outcome in ("unsure", ""):
                taken = sum(part.units for part in found if part.chain == attempt.chain)
                unknown += max(0, delivery.units - taken)
    return SettledUnits(
        delivered=counts["delivered"], failed=counts["failed"], accepted=counts["accepted"], unknown=unknown
    )


def change_alert(unit: Unit, before: Alert, after: Alert) -> Alert:
    """Writes a changed alert: its timeline, its callback and, when it ended, the signal that stops what is under way."""
    after = replace(after, look_at=alerts.next_look(after))
    if after.status is not before.status:
        unit.event(after.id, str(after.status))
        unit.note(
            after.id,
            {"type": f"alert.{after.status}", "alert": after.id, "status": after.status, "at": rfc3339(unit.now)},
        )
    if after.ended_at is not None and (before.ended_at is None or before.status is Status.COMPLETED):
        after = _release_rest(unit, before, after)
        unit.signal(AlertEnded(after.id, after.status))
    elif after.hold_left_micros and after.expanded >= after.expanding:  # it begins anew, and plans all of them again
        after = _release_rest(unit, before, after)
    unit.put(after)
    return after


def _release_rest(unit: Unit, before: Alert, after: Alert) -> Alert:
    """What was held for deliveries that were never written goes back, and they never will be. `before` tells which step it was."""
    if after.hold_left_micros == 0:
        return replace(after, expanding=after.expanded)
    balance = unit.balance(before.account_id)
    assert balance is not None, "an alert's account has balances"
    hold_id = (
        f"{before.id}:{before.step - 1}@{to_micros(before.start_at)}"  # as `intake` named the hold: steps have one each
    )
    left, entries, _ = ledger.settle(balance, delivery_id=hold_id, hold_micros=after.hold_left_micros, capture_micros=0)
    unit.move(left, [dataclasses.replace(entry, cause_type=ledger.CAUSE_ALERT) for entry in entries])
    return replace(after, hold_left_micros=0, expanding=after.expanded)


def finish(unit: Unit) -> list[Alert]:
    """The end of a batch: writes the deliveries, ends the alerts for which nothing is left to try, writes the callbacks. Gives
    the alerts for which nothing is under way any more, and that are not over."""
    unit.flush()
    quiet: list[Alert] = []
    if unit.touched:
        still_open = unit.open_alerts(unit.touched)
        closing = [alert_id for alert_id in unit.touched if alert_id not in still_open]
        reached = unit.reached_alerts(closing) if closing else set()
        unheard = [alert_id for alert_id in closing if alert_id not in reached]
        answered = _answered(unit, unheard) if unheard else set()
        for alert_id in closing:
            alert = unit.alert(alert_id)
            if alert is None:
                continue
            by_anybody = alert_id in reached or alert_id in answered
            standing = Standing(open=alert.expanded < alert.expanding, reached=by_anybody)
            after = _brought_forward(alerts.settled(alert, standing, unit.now), standing, unit.now)
            if after is not alert:
                after = change_alert(unit, alert, after)
            if after.ended_at is None:
                quiet.append(after)
    for alert_id, notes in unit.notes.items():
        _call_back(unit, alert_id, notes)
    unit.flush()
    return quiet


def _answered(unit: Unit, ids: list[str]) -> set[str]:
    """Which of the alerts somebody declined or acknowledged: they were reached, be it that they called us."""
    e, a = tables.events.c, tables.acknowledgements.c
    declined = select(e.alert_id).where(e.alert_id.in_(ids), e.kind == DECLINED)
    acknowledged = select(a.alert_id).where(a.alert_id.in_(ids))
    return set(unit.connection.scalars(declined.union(acknowledged)))


def _brought_forward(alert: Alert, standing: Standing, now: datetime) -> Alert:
    """Where all that was tried has failed, the next step begins now. A repeat of it keeps its time: it is there to try later."""
    if alert.status is not Status.ACTIVE or standing.open or standing.reached:
        return alert
    waits = alert.step > 0 and alert.step_at is not None and alert.step_at > now
    if not waits or is_repeat_in(alert.steps, alert.step):
        return alert
    return replace(alert, step_at=now)


def _call_back(unit: Unit, alert_id: str, notes: list[dict[str, object]]) -> None:
    alert = unit.alert(alert_id)
    if alert is None or alert.callback_url is None or not notes:
        return
    n = alert.callback_n
    for start in range(0, len(notes), NOTES_MAX):
        n += 1
        body = {
            "id": new_id("cbk"),
            "number": n,
            "alert": alert.id,
            "reference": alert.reference,
            "status": alert.status,
            "events": notes[start : start + NOTES_MAX],
        }
        callback = Callback(
            alert_id=alert.id,
            n=n,
            account_id=alert.account_id,
            url=alert.callback_url,
            body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
            due_at=unit.now + FIRST_DUE if unit.exclusive else unit.now,
            created_at=unit.now,
        )
        unit.add(callback)
        unit.signal(CallbackWritten(callback))
    unit.put(replace(alert, callback_n=n))
