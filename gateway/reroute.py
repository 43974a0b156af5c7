"""The command that moves queued deliveries away from a provider that is not available, where another one is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gateway import delivery as machine
from gateway.delivery import Delivery, Event, Ignored, State
from gateway.patience import URGENT
from gateway.policy import RetryPolicy
from gateway.progress import Tariffs, change_delivery
from gateway.routing import next_provider
from gateway.store.unit import Unit, Wants

WAIT_FOR_PROVIDER = timedelta(seconds=5)  # when no provider is available, deliveries are announced again after this


@dataclass(frozen=True, kw_only=True, slots=True)
class RerouteDeliveries:
    """Command: each delivery goes to the first available provider of its route, or waits where it is. No attempt is counted. Gives
    the urgent ones that have nowhere else to go; with `trial` one of them is left that others refused before, to try this one."""

    provider: str
    delivery_ids: tuple[str, ...]
    policy: RetryPolicy
    tariffs: Tariffs
    trial: bool = False

    @property
    def weight(self) -> int:
        return len(self.delivery_ids)

    def prefetch(self, wants: Wants) -> None:
        wants.deliveries.update(self.delivery_ids)

    def apply(self, unit: Unit) -> tuple[str, ...]:
        stuck: list[str] = []
        for delivery_id in self.delivery_ids:
            delivery = unit.delivery(delivery_id)
            if delivery is None or delivery.state is not State.QUEUED or delivery.provider != self.provider:
                continue
            on_trial = self.trial and not stuck and delivery.urgency <= URGENT and delivery.epoch > 0
            event = self._wait(unit) if on_trial else self._event(unit, delivery)
            try:
                change_delivery(unit, delivery, event, self.tariffs)
            except Ignored:
                continue
            if isinstance(event, machine.LookedAfter) and delivery.urgency <= URGENT and delivery.due_at <= unit.now:
                stuck.append(delivery.id)
        return tuple(stuck)

    def _event(self, unit: Unit, delivery: Delivery) -> Event:
        route = self.policy.route_of(delivery)
        provider = next_provider(route, {*delivery.exhausted, delivery.provider}, self.policy.available)
        if provider is not None and self.policy.available(provider):
            return machine.Rerouted(provider=provider)
        return self._wait(unit)

    def _wait(self, unit: Unit) -> machine.LookedAfter:
        return machine.LookedAfter(look_at=unit.now + WAIT_FOR_PROVIDER)
