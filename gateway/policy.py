"""What is tried next for a delivery, as one value: the only place that decides on retries and fail-over, by the table of
`gateway.patience`."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.backoff import BackoffPolicy, next_due
from gateway.delivery import Decision, Delivery, GiveUp, NextAttempt
from gateway.patience import (
    ANEW_SHARE,
    ANSWER_S,
    COSTS,
    DOUBT_S_MAX,
    FREE_WAIT_S,
    FREE_WAIT_S_MAX,
    URGENT,
    URGENT_DOUBT_S,
    URGENT_TRIAL_S,
    WAIT_S_MAX,
    Move,
    Trouble,
    Wait,
)
from gateway.routing import Routes, next_provider

_DOUBLINGS_MAX = 20
"""Beyond it every doubt is at its longest."""


def always_available(_provider: str) -> bool:
    """Availability where nothing is known of the providers."""
    return True


def never_tried(_provider: str) -> bool:
    """Where no circuit is known that an urgent delivery might try."""
    return False


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Routes, limits and what is known of the providers' health, applied to one delivery at a time.

    `providers` are all that are configured, `deaf` those of them that give no receipts; `available` tells whether one's circuit is
    closed, or may be tried; `tried_by_urgent` whether it may be tried by an urgent delivery that has nowhere else to go; `jitter`
    gives a number in [0, 1).
    """

    routes: Routes
    providers: frozenset[str]
    backoff: BackoffPolicy
    lease_s: float
    unsure_s: float
    deaf: frozenset[str] = frozenset()
    available: Callable[[str], bool] = always_available
    tried_by_urgent: Callable[[str], bool] = never_tried
    jitter: Callable[[], float] = random.random

    def lease_until(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self.lease_s)

    def answer_s(self, delivery: Delivery) -> float | None:
        """How long an attempt may be without an outcome before the next provider is asked; None: as long as the channel waits."""
        urgent = delivery.urgency <= URGENT and delivery.resend
        return ANSWER_S if urgent and self._at_hand(delivery) else None

    def doubt_until(self, delivery: Delivery, now: datetime, since: datetime | None = None) -> datetime:
        """Until when a receipt or a late answer may clear a doubt about the attempt that began at `since`. At once over for an urgent
        delivery with another provider at hand, and the first time where the provider gives no receipts; it grows with every copy
        that may be on its way."""
        if not delivery.resend:
            return now if delivery.provider in self.deaf else now + timedelta(seconds=self.unsure_s)
        urgent = delivery.urgency <= URGENT
        if urgent and self._others(delivery):
            following = self._following(delivery)
            if following and not self._was_asked(delivery, following[0]):
                return now
            waited_s = (now - delivery.created_at).total_seconds()
            apart_s = min(max(min(ANSWER_S, self.unsure_s), waited_s / ANEW_SHARE), DOUBT_S_MAX[delivery.urgency])
            return max(now, (since or now) + timedelta(seconds=apart_s))
        copies = self._rounds(delivery)
        if not self._others(delivery):
            copies = min(
                copies, delivery.tries + 1
            )  # what other providers had, or had no link, is no copy of this one's
        doublings = copies - (2 if delivery.provider in self.deaf else 1)
        if doublings < 0:
            return now
        first_s = min(self.unsure_s, URGENT_DOUBT_S) if urgent else self.unsure_s
        most_s = max(first_s, DOUBT_S_MAX[delivery.urgency])
        return now + timedelta(seconds=min(first_s * 2 ** min(doublings, _DOUBLINGS_MAX), most_s))

    def route_of(self, delivery: Delivery) -> tuple[str, ...]:
        channel, _, value = delivery.address.partition(":")
        return self.routes.providers_for(channel, value)

    def orphaned(self, delivery: Delivery) -> str | None:
        """Where a delivery goes whose provider is no longer configured; None where no route takes it."""
        known = [provider for provider in self.route_of(delivery) if provider in self.providers]
        return next_provider(tuple(known), delivery.exhausted, self.available)

    def after(
        self, delivery: Delivery, trouble: Trouble, now: datetime, *, not_before_s: float | None = None
    ) -> Decision:
        """What follows an attempt that ran into `trouble`. Giving up is the deadline's, but for refusals."""
        cost = COSTS[trouble]
        if cost.urgent is Move.NEVER:
            return GiveUp()
        worn = cost.counts and delivery.tries + 1 >= self.backoff.attempts_max
        if cost.wait is Wait.NONE or (worn and cost.gives_up):
            return self.refused(delivery, now)
        later = self._later(delivery, trouble, now, not_before_s)
        urgent = delivery.urgency <= URGENT
        move = cost.urgent if urgent else cost.others
        avoided = not self.available(delivery.provider)
        if move is Move.AT_ONCE or worn or avoided or later >= delivery.deadline_at:
            following = self._following(delivery)
            if following:
                again = self._was_asked(delivery, following[0]) and not avoided and self.available(following[0])
                waited = trouble is Trouble.UNANSWERED and urgent  # as long as its doubt lasted
                return NextAttempt(at=later if again and not waited else now, provider=following[0])
        others = self._others(delivery) if urgent and move is Move.AT_ONCE else []
        if others and (avoided or later > now + timedelta(seconds=WAIT_S_MAX[delivery.urgency])):
            soon = now + timedelta(seconds=URGENT_TRIAL_S)
            return NextAttempt(at=min(later, soon), provider=others[0])
        return NextAttempt(at=later, provider=delivery.provider)

    def refused(self, delivery: Delivery, now: datetime) -> Decision:
        """After a refusal for good, or the last attempt at a person: the next provider of the route at once, or nothing."""
        exhausted = {*delivery.exhausted, delivery.provider}
        provider = next_provider(self.route_of(delivery), exhausted, self.available)
        return GiveUp() if provider is None else NextAttempt(at=now, provider=provider, used_up=True)

    def doubtful(self, delivery: Delivery, now: datetime) -> Decision:
        """When nothing cleared the doubt: for an alarm a duplicate is better than a loss, for bulk it is not."""
        return self.after(delivery, Trouble.UNANSWERED, now) if delivery.resend else GiveUp()

    def _at_hand(self, delivery: Delivery) -> bool:
        return bool(self._following(delivery))

    def _following(self, delivery: Delivery) -> list[str]:
        """The other providers that may take it now, in the order in which they are asked: from the present one on, and round. An
        urgent one that has none tries those whose circuit has been open for some seconds."""
        others = self._others(delivery)
        following = [provider for provider in others if self.available(provider)]
        if not following and delivery.urgency <= URGENT:
            following = [provider for provider in others if self.tried_by_urgent(provider)]
        return following

    def _others(self, delivery: Delivery) -> list[str]:
        """The other providers that have not refused it for good, in the same order."""
        route = self.route_of(delivery)
        here = route.index(delivery.provider) if delivery.provider in route else -1
        others = (*route[here + 1 :], *route[: max(here, 0)])
        return [provider for provider in others if provider not in delivery.exhausted]

    def _was_asked(self, delivery: Delivery, provider: str) -> bool:
        """Whether the provider stands before the present one, so that the whole route has been asked."""
        route = self.route_of(delivery)
        return delivery.provider in route and route.index(provider) < route.index(delivery.provider)

    def _rounds(self, delivery: Delivery) -> int:
        """How often the route has been asked so far, the present attempt included; at least 1."""
        open_to_it = [provider for provider in self.route_of(delivery) if provider not in delivery.exhausted]
        return max(1, -(-delivery.epoch // max(1, len(open_to_it))))

    def _later(self, delivery: Delivery, trouble: Trouble, now: datetime, not_before_s: float | None) -> datetime:
        """When the same provider, or the route from its beginning, is asked again: the longer the oftener it was in vain."""
        cost, rounds = COSTS[trouble], self._rounds(delivery)
        first_s, longest_s = self.backoff.first_s, min(self.backoff.max_s, WAIT_S_MAX[delivery.urgency])
        if cost.wait is Wait.SHORT:
            first_s = min(FREE_WAIT_S, longest_s)
            longest_s = min(FREE_WAIT_S_MAX, longest_s)
        n = max(rounds, delivery.tries + 1) if cost.counts else rounds
        waits = BackoffPolicy(attempts_max=self.backoff.attempts_max, first_s=first_s, max_s=longest_s)
        return next_due(now, n, waits, self.jitter(), not_before_s)
