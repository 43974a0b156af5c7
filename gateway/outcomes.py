"""What one outcome means for its delivery, and how it is put on record: in time by the worker, or late as evidence."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from channels.outcome import Accepted, Delivered, Outcome, PermanentFailure, RetryLater, SentPart
from gateway import delivery as machine
from gateway.delivery import Delivery, Event, State
from gateway.frozen import replace
from gateway.patience import COSTS, trouble_of
from gateway.policy import RetryPolicy
from gateway.progress import Tariffs, change_delivery
from gateway.spelling import normal_form
from gateway.store.rows import Attempt, Part
from gateway.store.unit import Unit

DETAIL_MAX = 500  # characters of a provider's own words that are kept
INTERRUPTED = "interrupted"
"""The code of an attempt whose worker is gone: Tocsin stopped in the middle of it. Whoever made it may still come back."""
NO_RECEIPT_CODES = frozenset({"accepted_no_receipt"})  # a provider that took it and said that no receipt will come


def event_of(outcome: Outcome, delivery: Delivery, unit: Unit, policy: RetryPolicy, *, receipts: bool) -> Event:
    """The event that the outcome of the delivery's present attempt is. `receipts`: its provider gives some."""
    epoch, now = delivery.epoch, unit.now
    if delivery.state in machine.ENDED and isinstance(outcome, Delivered):
        # a call that was answered was answered, whatever had lapsed meanwhile
        return machine.Proved(code=outcome.code)
    match outcome:
        case Accepted():
            receipt = receipts and outcome.code not in NO_RECEIPT_CODES
            return machine.AttemptAccepted(epoch=epoch, code=outcome.code, receipt=receipt)
        case Delivered():
            return machine.AttemptDelivered(epoch=epoch, code=outcome.code)
        case RetryLater(maybe_sent=True):
            attempt = unit.attempt(delivery.id, epoch)
            until = policy.doubt_until(delivery, now, attempt.started_at if attempt else None)
            return machine.AttemptUnknown(epoch=epoch, code=outcome.reason.code, until=until)
        case RetryLater():
            trouble = trouble_of(outcome)
            decision = policy.after(delivery, trouble, now, not_before_s=outcome.not_before_s)
            counts = COSTS[trouble].counts
            return machine.AttemptPostponed(epoch=epoch, code=outcome.reason.code, decision=decision, counts=counts)
        case PermanentFailure():
            decision = policy.after(delivery, trouble_of(outcome), now)
            return machine.AttemptRefused(epoch=epoch, code=outcome.reason.code, decision=decision)


def take(unit: Unit, delivery: Delivery, event: Event, policy: RetryPolicy, tariffs: Tariffs) -> Delivery:
    """Has the delivery go on as the event says; a doubt that nothing can clear, or that nobody waits for, is over at once. Raises
    Ignored or Fenced, and then nothing is changed."""
    changed = change_delivery(unit, delivery, event, tariffs)
    if changed.state is State.UNSURE and changed.look_at <= unit.now < changed.deadline_at:
        lapsed = machine.DoubtLapsed(decision=policy.doubtful(changed, unit.now))
        changed = change_delivery(unit, changed, lapsed, tariffs)
    return changed


def not_told(attempt: Attempt) -> bool:
    """Whether nothing is known of the attempt yet: it is under way, or was interrupted."""
    return not attempt.outcome or attempt.code == INTERRUPTED


def interrupt(unit: Unit, delivery: Delivery, changed: Delivery) -> None:
    """Puts on record that the attempt at `delivery`, which was being sent, was interrupted, and what follows: `changed` is how it goes
    on."""
    attempt = unit.attempt(delivery.id, delivery.epoch)
    if attempt is None or attempt.outcome:
        return
    follows = {
        State.QUEUED: "; it is tried again",
        State.UNSURE: "; a receipt is waited for, and "
        + ("then it is tried again" if changed.resend else "it is not sent twice"),
    }.get(changed.state, "")
    detail = f"Tocsin stopped in the middle of it{follows}"
    unit.put(replace(attempt, outcome="unsure", code=INTERRUPTED, detail=detail, at=unit.now))


def record(unit: Unit, attempt: Attempt, outcome: Outcome) -> list[Part]:
    """Puts the attempt's outcome on record, and the parts that the provider took in it."""
    return _write(unit, attempt, outcome, outcome.parts)


def learn(
    unit: Unit, delivery: Delivery, attempt: Attempt, outcome: Outcome, policy: RetryPolicy, tariffs: Tariffs
) -> list[Part]:
    """Takes what is told of an attempt that was given up, its answer or its worker being late: evidence at any time, and the
    attempt's own word where the delivery still stands in doubt of it. The parts it names, which receipts may have waited for.

    Raises Ignored where nothing new is told.
    """
    if attempt.outcome not in ("", "unsure"):
        raise machine.Ignored("its outcome is known")
    known = {part.n for part in unit.parts_of(delivery.id) if part.chain == attempt.chain}
    fresh = [sent for sent in outcome.parts if sent.n not in known]
    doubtful = isinstance(outcome, RetryLater) and outcome.maybe_sent
    if doubtful and (not fresh or not_told(attempt)):
        raise machine.Ignored("it is as much in doubt as before")
    parts = _write(unit, attempt, outcome, fresh)
    if not doubtful and delivery.epoch == attempt.epoch and delivery.state in (State.SENDING, State.UNSURE):
        event = event_of(outcome, delivery, unit, policy, receipts=attempt.provider not in policy.deaf)
        with suppress(machine.Ignored):
            take(unit, delivery, event, policy, tariffs)
    return parts


def _write(unit: Unit, attempt: Attempt, outcome: Outcome, sent_parts: Iterable[SentPart]) -> list[Part]:
    word, code, detail = _told(outcome)
    unit.put(replace(attempt, outcome=word, code=code, detail=detail[:DETAIL_MAX], at=unit.now))
    delivered: dict[str, Any] = {}
    if isinstance(outcome, Delivered):
        delivered = {"state": "delivered", "code": code, "at": unit.now}
    parts = []
    for sent in sent_parts:
        part = Part(
            delivery_id=attempt.delivery_id,
            chain=attempt.chain,
            n=sent.n,
            epoch=attempt.epoch,
            provider=attempt.provider,
            provider_message_id=sent.provider_message_id,
            receipt_id=normal_form(sent.provider_message_id),
            units=sent.units,
            sent_at=unit.now,
            **delivered,
        )
        unit.add(part)
        unit.name_part(part)
        parts.append(part)
    return parts


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
