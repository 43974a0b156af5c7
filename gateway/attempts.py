"""The two commands of an attempt: the claim that puts it on record before the first byte leaves, and its outcome."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from channels.outcome import Outcome
from gateway import delivery as machine
from gateway.alert import ENDED, Alert
from gateway.delivery import Delivery, State
from gateway.outcomes import event_of, learn, not_told, record, take
from gateway.policy import RetryPolicy
from gateway.progress import Tariffs, change_delivery
from gateway.reports import apply_early
from gateway.spelling import normal_form
from gateway.store.rows import Attempt
from gateway.store.unit import Unit, Wants


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A delivery that this worker may send now, with all that the message needs."""

    delivery: Delivery
    attempt: Attempt
    alert: Alert
    parts_sent: frozenset[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimDeliveries:
    """Command: takes those of the deliveries that are still to be sent over `provider`, and puts their attempts on record."""

    provider: str
    delivery_ids: tuple[str, ...]
    policy: RetryPolicy
    tariffs: Tariffs

    @property
    def weight(self) -> int:
        return 2 * len(self.delivery_ids)

    def prefetch(self, wants: Wants) -> None:
        wants.deliveries.update(self.delivery_ids)

    def apply(self, unit: Unit) -> list[Claim]:
        claims = []
        for delivery_id in self.delivery_ids:
            delivery = unit.delivery(delivery_id)
            alert = None if delivery is None else unit.alert(delivery.alert_id)
            if delivery is None or alert is None:
                continue
            claim = claim_one(unit, delivery, alert, self.provider, self.policy, self.tariffs)
            if claim is not None:
                claims.append(claim)
        return claims


def claim_one(
    unit: Unit, delivery: Delivery, alert: Alert, provider: str, policy: RetryPolicy, tariffs: Tariffs
) -> Claim | None:
    """Claims the delivery for one attempt over `provider`; None where it is not to be sent now."""
    if alert.status in ENDED or alert.ended_at is not None:
        if delivery.state is State.QUEUED:  # left over where the process died before it could stop them
            change_delivery(unit, delivery, machine.CancelRequested(), tariffs)
        return None
    if alert.status == "acknowledged":
        return None  # received: what is queued is suspended until it is taken in charge, or handed back
    sent = frozenset[int]()
    if delivery.epoch > 0:
        chain = [part for part in unit.parts_of(delivery.id) if part.chain == delivery.chain]
        whole = all(part.state != "failed" for part in chain)  # else it can never arrive whole: all is sent again
        if chain and whole and chain[0].provider == provider and _continues(unit, delivery, alert):
            sent = frozenset(part.n for part in chain)
    event = machine.Claimed(provider=provider, lease_until=policy.lease_until(unit.now), continues=bool(sent))
    try:
        claimed = change_delivery(unit, delivery, event, tariffs)
    except machine.Ignored:
        return None
    attempt = Attempt(
        delivery_id=claimed.id, epoch=claimed.epoch, chain=claimed.chain, provider=provider, started_at=unit.now
    )
    unit.add(attempt)
    return Claim(delivery=claimed, attempt=attempt, alert=alert, parts_sent=sent)


def _continues(unit: Unit, delivery: Delivery, alert: Alert) -> bool:
    """Whether the last attempt certainly left some parts unsent; once a part is unsure the whole message is sent again, and so it is
    where the alert says something else by now: its parts would not fit the others."""
    last = unit.attempt(delivery.id, delivery.epoch)
    if last is None or last.outcome != "retry_later":
        return False
    return alert.retold_at is None or last.started_at >= alert.retold_at


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordOutcome:
    """Command: what an attempt returned. Gives the delivery, which by its epoch shows whether it had gone on without this worker;
    what the worker has to tell is evidence all the same. Raises Ignored where it tells nothing new."""

    claim: Claim
    outcome: Outcome
    receipts: bool
    policy: RetryPolicy
    tariffs: Tariffs

    @property
    def weight(self) -> int:
        return 3

    def prefetch(self, wants: Wants) -> None:
        wants.deliveries.add(self.claim.delivery.id)
        wants.early.setdefault(self.claim.attempt.provider, set()).update(
            normal_form(part.provider_message_id) for part in self.outcome.parts
        )

    def apply(self, unit: Unit) -> Delivery:
        claimed = self.claim.delivery
        delivery = unit.delivery(claimed.id)
        if delivery is None:
            raise machine.Ignored("the delivery is gone")
        attempt = self.claim.attempt
        stored = attempt
        if delivery.epoch != claimed.epoch or delivery.state is not State.SENDING:
            stored = unit.attempt(claimed.id, claimed.epoch) or attempt
        if delivery.epoch != claimed.epoch or not not_told(stored):
            parts = learn(unit, delivery, stored, self.outcome, self.policy, self.tariffs)
        else:
            parts = record(unit, attempt, self.outcome)
            event = event_of(self.outcome, delivery, unit, self.policy, receipts=self.receipts)
            with suppress(machine.Ignored):  # settled meanwhile: the attempt and its parts are evidence all the same
                take(unit, delivery, event, self.policy, self.tariffs)
        if self.claim.parts_sent:
            self._disprove(unit)
        apply_early(unit, parts, attempt.started_at, self.policy, self.tariffs)
        return unit.delivery(claimed.id) or delivery

    def _disprove(self, unit: Unit) -> None:
        """Where a part that a former attempt of the same run had sent failed meanwhile, the message cannot arrive whole."""
        chain = self.claim.attempt.chain
        delivery = unit.delivery(self.claim.delivery.id)
        failed = [p for p in unit.parts_of(self.claim.delivery.id) if p.chain == chain and p.state == "failed"]
        if delivery is not None and delivery.state is State.ACCEPTED and failed:
            decision = self.policy.refused(delivery, unit.now)
            event = machine.Disproved(epoch=delivery.epoch, code=failed[0].code, decision=decision)
            change_delivery(unit, delivery, event, self.tariffs)


@dataclass(frozen=True, kw_only=True, slots=True)
class RenewLeases:
    """Command: this worker still has these; attempts that take long (a call, a slow server) keep their leases."""

    claims: tuple[Claim, ...]
    policy: RetryPolicy
    tariffs: Tariffs

    @property
    def weight(self) -> int:
        return len(self.claims)

    def prefetch(self, wants: Wants) -> None:
        wants.deliveries.update(claim.delivery.id for claim in self.claims)

    def apply(self, unit: Unit) -> None:
        until = self.policy.lease_until(unit.now)
        for claim in self.claims:
            delivery = unit.delivery(claim.delivery.id)
            if delivery is not None:
                with suppress(machine.Ignored, machine.Fenced):
                    event = machine.LeaseRenewed(epoch=claim.delivery.epoch, until=until)
                    change_delivery(unit, delivery, event, self.tariffs)
