"""The two commands of an attempt: the claim that puts it on record before the first byte leaves, and its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from channels.outcome import Accepted, Delivered, Outcome, PermanentFailure, RetryLater, SentPart
from gateway import delivery as machine
from gateway.alert import ENDED, Alert
from gateway.backoff import GiveUp
from gateway.delivery import Delivery, Event, State
from gateway.frozen import replace
from gateway.policy import RetryPolicy
from gateway.progress import Tariffs, change_delivery
from gateway.reports import apply_early
from gateway.store.rows import Attempt, Part
from gateway.store.unit import Unit, Wants

DETAIL_MAX = 500  # characters of a provider's own words that are kept
NO_RECEIPT_CODES = frozenset({"accepted_no_receipt"})  # a provider that took it and said that no receipt will come


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
        if chain and whole and chain[0].provider == provider and _continues(unit, delivery):
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


def _continues(unit: Unit, delivery: Delivery) -> bool:
    """Whether the last attempt certainly left some parts unsent; once a part is unsure the whole message is sent again."""
    last = unit.attempt(delivery.id, delivery.epoch)
    return last is not None and last.outcome == "retry_later"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordOutcome:
    """Command: what an attempt returned. Raises Fenced where the worker woke up too late, Ignored where a receipt was faster."""

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
            part.provider_message_id for part in sent_parts(self.outcome)
        )

    def apply(self, unit: Unit) -> Delivery:
        claimed = self.claim.delivery
        delivery = unit.delivery(claimed.id)
        if delivery is None:
            raise machine.Ignored("the delivery is gone")
        if delivery.epoch != claimed.epoch:
            raise machine.Fenced(f"epoch {claimed.epoch}, the delivery is at {delivery.epoch}")
        if delivery.state is not State.SENDING:
            stored = unit.attempt(claimed.id, claimed.epoch)
            if stored is not None and stored.outcome:
                raise machine.Ignored("on record already: the commit went through and its answer was lost")
        parts = self._record(unit)
        with suppress(machine.Ignored):  # settled meanwhile: the attempt and its parts are evidence all the same
            change_delivery(unit, delivery, self._event(delivery, unit), self.tariffs)
        if self.claim.parts_sent:
            self._disprove(unit)
        apply_early(unit, parts, self.claim.attempt.started_at, self.policy, self.tariffs)
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

    def _record(self, unit: Unit) -> list[Part]:
        attempt = self.claim.attempt
        word, code, detail = _told(self.outcome)
        unit.put(replace(attempt, outcome=word, code=code, detail=detail[:DETAIL_MAX], at=unit.now))
        parts = []
        delivered: dict[str, Any] = {}
        if isinstance(self.outcome, Delivered):
            delivered = {"state": "delivered", "code": code, "at": unit.now}
        for sent in sent_parts(self.outcome):
            part = Part(
                delivery_id=attempt.delivery_id,
                chain=attempt.chain,
                n=sent.n,
                epoch=attempt.epoch,
                provider=attempt.provider,
                provider_message_id=sent.provider_message_id,
                units=sent.units,
                sent_at=unit.now,
                **delivered,
            )
            unit.add(part)
            unit.name_part(part)
            parts.append(part)
        return parts

    def _event(self, delivery: Delivery, unit: Unit) -> Event:
        policy, now, outcome, epoch = self.policy, unit.now, self.outcome, delivery.epoch
        if delivery.state in machine.ENDED and isinstance(outcome, Delivered):
            # a call that was answered was answered, whatever had lapsed meanwhile
            return machine.Proved(code=outcome.code)
        match outcome:
            case Accepted():
                receipt = self.receipts and outcome.code not in NO_RECEIPT_CODES
                return machine.AttemptAccepted(epoch=epoch, code=outcome.code, receipt=receipt)
            case Delivered():
                return machine.AttemptDelivered(epoch=epoch, code=outcome.code)
            case PermanentFailure():
                decision = GiveUp() if outcome.everywhere else policy.refused(delivery, now)
                return machine.AttemptRefused(epoch=epoch, code=outcome.reason.code, decision=decision)
            case RetryLater(maybe_sent=True):
                return machine.AttemptUnknown(
                    epoch=epoch, code=outcome.reason.code, until=policy.doubt_until(delivery.provider, now)
                )
            case RetryLater(throttled=True):
                decision = policy.throttled(delivery, now, not_before_s=outcome.not_before_s)
                return machine.AttemptPostponed(epoch=epoch, code=outcome.reason.code, decision=decision, counts=False)
            case RetryLater(elsewhere=True):
                decision = policy.elsewhere(delivery, now, not_before_s=outcome.not_before_s)
                return machine.AttemptPostponed(epoch=epoch, code=outcome.reason.code, decision=decision, counts=False)
            case RetryLater(unreachable=True):
                decision = policy.unreachable(delivery, now)
                return machine.AttemptPostponed(epoch=epoch, code=outcome.reason.code, decision=decision, counts=False)
            case RetryLater():
                decision = policy.failed(delivery, now, not_before_s=outcome.not_before_s)
                return machine.AttemptPostponed(epoch=epoch, code=outcome.reason.code, decision=decision)


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


def sent_parts(outcome: Outcome) -> Sequence[SentPart]:
    """The parts that the provider took in this attempt."""
    return outcome.parts


def _told(outcome: Outcome) -> tuple[str, str, str]:
    match outcome:
        case Accepted():
            return "accepted", outcome.code, outcome.detail
        case Delivered():
            return "delivered", outcome.code, outcome.detail
        case PermanentFailure():
            return "failed", outcome.reason.code, outcome.reason.detail
        case RetryLater():
            word = "unsure" if outcome.maybe_sent else "retry_later"
            return word, outcome.reason.code, outcome.reason.detail
