"""What is tried next for a delivery, as one value: the only place that decides on retries and fail-over."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.backoff import NOT_BEFORE_S_MAX, BackoffPolicy, GiveUp
from gateway.backoff import RetryAt as SameProvider
from gateway.backoff import decide as decide_same
from gateway.delivery import Decision, Delivery, NextAttempt
from gateway.routing import Routes, next_provider

THROTTLED_WAIT_S = (
    1.0  # a provider that asked for a slower pace is slowed by its pace; the message goes back first in line
)
UNREACHABLE_WAIT_S = 2.0  # while a link is down and no other provider is there: waiting is not failing


def always_available(_provider: str) -> bool:
    """Availability where nothing is known of the providers."""
    return True


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Routes, limits and what is known of the providers' health, applied to one delivery at a time.

    `providers` are all that are configured, `deaf` those of them that give no receipts; `available` tells whether one's circuit is
    closed; `jitter` gives a number in [0, 1).
    """

    routes: Routes
    providers: frozenset[str]
    backoff: BackoffPolicy
    lease_s: float
    unsure_s: float
    deaf: frozenset[str] = frozenset()
    available: Callable[[str], bool] = always_available
    jitter: Callable[[], float] = random.random

    def lease_until(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self.lease_s)

    def doubt_until(self, provider: str, now: datetime) -> datetime:
        """Until when a receipt may clear a doubt: at once over, where the provider gives none."""
        return now if provider in self.deaf else now + timedelta(seconds=self.unsure_s)

    def route_of(self, delivery: Delivery) -> tuple[str, ...]:
        channel, _, value = delivery.address.partition(":")
        return self.routes.providers_for(channel, value)

    def orphaned(self, delivery: Delivery) -> str | None:
        """Where a delivery goes whose provider is no longer configured; None where no route takes it."""
        known = [provider for provider in self.route_of(delivery) if provider in self.providers]
        return next_provider(tuple(known), delivery.exhausted, self.available)

    def failed(self, delivery: Delivery, now: datetime, *, not_before_s: float | None = None) -> Decision:
        """After an attempt that counts: the same provider again after a wait, or the next one when its attempts are used up."""
        decision = decide_same(now, delivery.tries + 1, self.backoff, self.jitter(), not_before_s)
        if isinstance(decision, SameProvider) and decision.at < delivery.deadline_at:
            elsewhere = self._available_elsewhere(delivery)
            if elsewhere is not None:  # its circuit opened meanwhile: no use in waiting for it
                return NextAttempt(at=now, provider=elsewhere)
            return NextAttempt(at=decision.at, provider=delivery.provider)
        return self.refused(delivery, now)

    def refused(self, delivery: Delivery, now: datetime) -> Decision:
        """After a refusal for good, or the last attempt: the next provider of the route at once, or nothing."""
        exhausted = {*delivery.exhausted, delivery.provider}
        provider = next_provider(self.route_of(delivery), exhausted, self.available)
        return GiveUp() if provider is None else NextAttempt(at=now, provider=provider)

    def throttled(self, delivery: Delivery, now: datetime, *, not_before_s: float | None = None) -> Decision:
        """After an attempt that the provider only wanted later: the same provider, soon; it does not count."""
        wait_s = THROTTLED_WAIT_S * (0.5 + self.jitter())
        if not_before_s is not None and math.isfinite(not_before_s):
            wait_s = min(max(wait_s, not_before_s), NOT_BEFORE_S_MAX)
        return NextAttempt(at=now + timedelta(seconds=wait_s), provider=delivery.provider)

    def unreachable(self, delivery: Delivery, now: datetime) -> Decision:
        """After an attempt for which there was no link: another provider that has one, else this one again."""
        elsewhere = self._available_elsewhere(delivery)
        if elsewhere is not None:
            return NextAttempt(at=now, provider=elsewhere)
        wait_s = UNREACHABLE_WAIT_S * (0.5 + self.jitter())
        return NextAttempt(at=now + timedelta(seconds=wait_s), provider=delivery.provider)

    def elsewhere(self, delivery: Delivery, now: datetime, *, not_before_s: float | None = None) -> Decision:
        """After an attempt for which this provider could do nothing: the next one of the route at once. When all of them were
        tried, the first one again after a wait, so that trunks which are all busy are not called in a circle."""
        route = [provider for provider in self.route_of(delivery) if provider not in delivery.exhausted]
        here = route.index(delivery.provider) if delivery.provider in route else len(route)
        following = [provider for provider in route[here + 1 :] if self.available(provider)]
        if following:
            return NextAttempt(at=now, provider=following[0])
        wait_s = UNREACHABLE_WAIT_S * (0.5 + self.jitter())
        if not_before_s is not None and math.isfinite(not_before_s):
            wait_s = min(max(wait_s, not_before_s), NOT_BEFORE_S_MAX)
        first = next((provider for provider in route if self.available(provider)), delivery.provider)
        return NextAttempt(at=now + timedelta(seconds=wait_s), provider=first)

    def doubtful(self, delivery: Delivery, now: datetime) -> Decision:
        """When no receipt cleared the doubt: for an alarm a duplicate is better than a loss, for bulk it is not."""
        if not delivery.resend:
            return GiveUp()
        if delivery.tries + 1 >= self.backoff.attempts_max:
            return self.refused(delivery, now)
        return NextAttempt(at=now, provider=self._available_elsewhere(delivery) or delivery.provider)

    def _available_elsewhere(self, delivery: Delivery) -> str | None:
        """Another provider of the route that is available, where the present one is not."""
        if self.available(delivery.provider):
            return None
        provider = next_provider(self.route_of(delivery), {*delivery.exhausted, delivery.provider}, self.available)
        return provider if provider is not None and self.available(provider) else None
