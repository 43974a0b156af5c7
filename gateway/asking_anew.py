"""A provider is at its work again: urgent deliveries that wait for another one, or are in doubt, are asked anew over it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, or_, select

from gateway import delivery as machine
from gateway.backoff import NOT_BEFORE_S_MAX
from gateway.clock import to_micros
from gateway.delivery import Delivery, Event, State
from gateway.patience import ANSWER_S, DOUBT_S_MAX, URGENT, WAIT_S_MAX
from gateway.policy import RetryPolicy
from gateway.progress import Tariffs, change_delivery
from gateway.store import tables
from gateway.store.unit import Unit, Wants

SLICE = 100
"""Deliveries asked anew at once, twice a second: a provider that has just come back is not overrun."""
LOOKED_AT = timedelta(seconds=max(NOT_BEFORE_S_MAX, *(DOUBT_S_MAX[urgency] for urgency in range(URGENT + 1))))
"""What waits or is in doubt is looked at within this: the search leaves out most of what only awaits its receipt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AskAnew:
    """Command: those of the urgent deliveries that may go over `provider` do so now. Gives how many did."""

    provider: str
    delivery_ids: tuple[str, ...]
    policy: RetryPolicy
    tariffs: Tariffs

    @property
    def weight(self) -> int:
        return len(self.delivery_ids)

    def prefetch(self, wants: Wants) -> None:
        wants.deliveries.update(self.delivery_ids)

    def apply(self, unit: Unit) -> int:
        changed = 0
        for delivery_id in self.delivery_ids:
            delivery = unit.delivery(delivery_id)
            event = None if delivery is None else self._event(unit, delivery)
            if delivery is not None and event is not None:
                with suppress(machine.Ignored):
                    change_delivery(unit, delivery, event, self.tariffs)
                    changed += 1
        return changed

    def _event(self, unit: Unit, delivery: Delivery) -> Event | None:
        now, here = unit.now, delivery.provider == self.provider
        open_to_it = self.provider in self.policy.route_of(delivery) and self.provider not in delivery.exhausted
        if not open_to_it or delivery.urgency > URGENT or now >= delivery.deadline_at:
            return None
        if delivery.state is State.UNSURE and delivery.resend:
            if here:  # what it had may be answered now; if not, it is lost
                until = min(delivery.look_at, now + timedelta(seconds=ANSWER_S))
                return machine.AttemptUnknown(epoch=delivery.epoch, code=delivery.code, until=until)
            return machine.DoubtLapsed(decision=machine.NextAttempt(at=now, provider=self.provider))
        waits = delivery.state is State.QUEUED and delivery.epoch > 0 and delivery.due_at > now
        longest = timedelta(seconds=WAIT_S_MAX[delivery.urgency])  # beyond it a provider had asked for a pause
        if waits and not here and (delivery.due_at > now + longest or not self.policy.available(delivery.provider)):
            return machine.Rerouted(provider=self.provider, at=now)
        return None


def urgent_waiting(connection: Connection, now: datetime, after: tuple[int, str]) -> list[tuple[int, str]]:
    """A slice of the urgent deliveries in doubt, or waiting for their next attempt, emergencies first: those after `after`."""
    t = tables.deliveries.c
    urgency, delivery_id = after
    found = (
        select(t.urgency, t.id)
        .where(
            t.settled_at.is_(None),
            t.look_at > to_micros(now),
            t.look_at <= to_micros(now + LOOKED_AT),
            t.urgency <= URGENT,
            or_(t.state == "unsure", and_(t.state == "queued", t.due_at > to_micros(now), t.epoch > 0)),
            or_(t.urgency > urgency, and_(t.urgency == urgency, t.id > delivery_id)),
        )
        .order_by(t.urgency, t.id)
        .limit(SLICE)
    )
    return [(row.urgency, row.id) for row in connection.execute(found)]
