"""The delivery machine: one recipient at one address within one alert, as a table and one pure function.

No clock, store or channel here: times, retry decisions and what a provider said come in as events.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from gateway.frozen import replace

ANNOUNCED_AGAIN = timedelta(seconds=60)
"""How long after its announcement a delivery that nobody claimed is announced again."""


class State(StrEnum):
    """Where a delivery stands."""

    QUEUED = "queued"
    """Waits for a provider's slot, or for its next attempt's time."""
    SENDING = "sending"
    """A worker holds the lease and an attempt is on record; bytes may be on the wire."""
    UNSURE = "unsure"
    """The link or the worker died after bytes may have left; a receipt can still settle it."""
    ACCEPTED = "accepted"
    """A provider took every part and a receipt is awaited (or never comes: then it is settled)."""
    DELIVERED = "delivered"
    """Proved to have reached the recipient. Final."""
    FAILED = "failed"
    """Every way was tried or refused. Only late proof of delivery changes it."""
    EXPIRED = "expired"
    """Its deadline passed first. Only late proof of delivery changes it."""
    CANCELLED = "cancelled"
    """Stopped on request. Only late proof of delivery changes it."""


ENDED = frozenset({State.DELIVERED, State.FAILED, State.EXPIRED, State.CANCELLED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One recipient at one address within one alert.

    `epoch` counts claims; every write about an attempt carries it. `tries` counts the attempts on `provider` that count against the
    limit. `exhausted` names the providers that refused it for good. `due_at` is not to be sent before; `look_at` is when the
    rescuer looks at it next, whatever its state. `settled_at` is set once money is settled and nothing more is expected.
    """

    id: str
    alert_id: str
    account_id: str
    step: int
    recipient: int
    person: str
    address: str
    urgency: int
    state: State = State.QUEUED
    code: str = ""
    provider: str = ""
    exhausted: tuple[str, ...] = ()
    epoch: int = 0
    chain: int = 0
    tries: int = 0
    units: int = 1
    price_micros: int = 0
    hold_micros: int = 0
    captured_micros: int = 0
    tariff_id: int | None = None
    resend: bool = True
    cancel_requested: bool = False
    language: str = ""
    created_at: datetime
    due_at: datetime
    look_at: datetime
    deadline_at: datetime
    settled_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NextAttempt:
    """Try again: not before `at`, over `provider`. `used_up`: the one that it leaves is not to be asked again."""

    at: datetime
    provider: str
    used_up: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveUp:
    """No more attempts."""


Decision = NextAttempt | GiveUp


# --- events: what happened, in the past tense -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """A worker took the delivery for one attempt over `provider`. `continues`: parts already sent are not sent again."""

    provider: str
    lease_until: datetime
    continues: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptAccepted:
    """The provider took it. `receipt` tells whether a receipt is to be expected."""

    epoch: int
    code: str
    receipt: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptDelivered:
    """The attempt itself proves delivery."""

    epoch: int
    code: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptPostponed:
    """The attempt ended and certainly nothing more of it is under way. `counts` against the limit of attempts or not."""

    epoch: int
    code: str
    decision: Decision
    counts: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRefused:
    """The provider will never take it: `decision` names the next provider, or gives up."""

    epoch: int
    code: str
    decision: Decision


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptUnknown:
    """Bytes may have left and no answer came. Receipts are awaited until `until`."""

    epoch: int
    code: str
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseLost:
    """The worker that held the lease has not been heard of. Receipts are awaited until `until`."""

    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseRenewed:
    """The worker still has it: a long attempt goes on."""

    epoch: int
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DoubtLapsed:
    """Nothing cleared the doubt in time: the alert's policy (`on_unknown`) decided."""

    decision: Decision


@dataclass(frozen=True, kw_only=True, slots=True)
class Proved:
    """Every part of some attempt has been proved delivered."""

    code: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Disproved:
    """A part of the current attempt will not arrive."""

    epoch: int
    code: str
    decision: Decision


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptNoted:
    """The provider still works on it."""

    code: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LastWordGiven:
    """The provider passed it on and will say no more: as good as accepted without receipts."""

    code: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lapsed:
    """The deadline passed. Of an attempt that is under way nothing is heard any more either: its lease ran out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelRequested:
    """Nobody needs it any more. Carried out at once unless an attempt is under way."""

    code: str = "cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedBeforeSending:
    """It was never to be sent: no credit, no route, opted out."""

    code: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rerouted:
    """Another provider takes it, since `Delivery.provider` is not available; where `at` is given, not before that."""

    provider: str
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LookedAfter:
    """The rescuer announced it again; it looks once more at `look_at`."""

    look_at: datetime


Event = (
    Claimed
    | AttemptAccepted
    | AttemptDelivered
    | AttemptPostponed
    | AttemptRefused
    | AttemptUnknown
    | LeaseLost
    | LeaseRenewed
    | DoubtLapsed
    | Proved
    | Disproved
    | ReceiptNoted
    | LastWordGiven
    | Lapsed
    | CancelRequested
    | RefusedBeforeSending
    | Rerouted
    | LookedAfter
)

_Q, _S, _U, _A = State.QUEUED, State.SENDING, State.UNSURE, State.ACCEPTED
_D, _F, _E, _C = State.DELIVERED, State.FAILED, State.EXPIRED, State.CANCELLED

TRANSITIONS: dict[State, dict[type[Event], frozenset[State]]] = {
    _Q: {
        Claimed: frozenset({_S}),
        Proved: frozenset({_D}),
        Disproved: frozenset({_Q}),
        ReceiptNoted: frozenset({_Q}),
        RefusedBeforeSending: frozenset({_F}),
        Lapsed: frozenset({_E}),
        CancelRequested: frozenset({_C}),
        Rerouted: frozenset({_Q}),
        LookedAfter: frozenset({_Q}),
    },
    _S: {
        AttemptAccepted: frozenset({_A}),
        AttemptDelivered: frozenset({_D}),
        AttemptPostponed: frozenset({_Q, _F, _E, _C}),
        AttemptRefused: frozenset({_Q, _F, _E, _C}),
        AttemptUnknown: frozenset({_U}),
        LeaseLost: frozenset({_U}),
        LeaseRenewed: frozenset({_S}),
        Proved: frozenset({_D}),
        Disproved: frozenset({_S}),
        ReceiptNoted: frozenset({_S}),
        CancelRequested: frozenset({_S}),
        Lapsed: frozenset({_E}),
    },
    _U: {
        AttemptAccepted: frozenset({_A}),
        AttemptDelivered: frozenset({_D}),
        AttemptPostponed: frozenset({_Q, _F, _E, _C}),
        AttemptRefused: frozenset({_Q, _F, _E, _C}),
        AttemptUnknown: frozenset({_U}),
        Proved: frozenset({_D}),
        Disproved: frozenset({_Q, _F, _E, _C}),
        ReceiptNoted: frozenset({_U}),
        LastWordGiven: frozenset({_A}),
        DoubtLapsed: frozenset({_Q, _F, _E, _C}),
        Lapsed: frozenset({_E}),
        CancelRequested: frozenset({_U}),
    },
    _A: {
        Proved: frozenset({_D}),
        Disproved: frozenset({_Q, _F, _E, _C}),
        ReceiptNoted: frozenset({_A}),
        LastWordGiven: frozenset({_A}),
        Lapsed: frozenset({_E}),
        CancelRequested: frozenset({_A}),
    },
    _F: {Proved: frozenset({_D})},
    _E: {Proved: frozenset({_D})},
    _C: {Proved: frozenset({_D})},
    _D: {},
}
"""Which event may lead where. What is not here changes nothing (`Ignored`) or is fenced off (`Fenced`)."""


class Ignored(Exception):  # noqa: N818 - not an error: the event has nothing to say to a delivery in this state
    """The event does not apply in this state; nothing is to be written."""


class Fenced(Exception):  # noqa: N818 - a verdict on a late writer, not an error of ours
    """The event is about a former claim (its epoch is not the delivery's): the writer woke up too late."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settle:
    """Effect: what was held for the delivery is captured and released now, in this transaction."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Announce:
    """Effect: tell the provider's queue to look here, once the transaction is committed and `due_at` has come."""

    provider: str


Effect = Settle | Announce


def _settle(delivery: Delivery, state: State, code: str, now: datetime) -> tuple[Delivery, tuple[Effect, ...]]:
    """The end, and money with it, exactly once: after the first settlement only state and code change."""
    if delivery.settled_at is not None:
        return replace(delivery, state=state, code=code), ()
    ended = replace(delivery, state=state, code=code, settled_at=now, look_at=now)
    return ended, (Settle(),)


def _again(
    delivery: Delivery, decision: Decision, code: str, now: datetime, *, tries: int
) -> tuple[Delivery, tuple[Effect, ...]]:
    """Back to the queue as decided, or the end: expired once the deadline has passed, cancelled when that was asked for, else
    failed."""
    if now >= delivery.deadline_at:
        return _settle(delivery, State.EXPIRED, code, now)
    if delivery.cancel_requested:
        return _settle(delivery, State.CANCELLED, code, now)
    if isinstance(decision, GiveUp):
        return _settle(delivery, State.FAILED, code, now)
    moved = decision.provider != delivery.provider
    exhausted = delivery.exhausted
    if moved and decision.used_up and delivery.provider and delivery.provider not in exhausted:
        exhausted = (*exhausted, delivery.provider)
    queued = replace(
        delivery,
        state=State.QUEUED,
        code=code,
        provider=decision.provider,
        exhausted=exhausted,
        tries=0 if moved else tries,
        due_at=decision.at,
        look_at=min(decision.at if decision.at > now else now + ANNOUNCED_AGAIN, delivery.deadline_at),
    )
    return queued, (Announce(provider=decision.provider),)


def advance(delivery: Delivery, event: Event, now: datetime) -> tuple[Delivery, tuple[Effect, ...]]:
    """What `event` makes of `delivery`, and what has to be committed with it.

    Raises Fenced where the event belongs to a former claim, Ignored where it has nothing to say in this state. The
    result's state is always one that TRANSITIONS names.
    """
    epoch = getattr(event, "epoch", None)
    if epoch is not None and epoch != delivery.epoch:
        raise Fenced(f"epoch {epoch}, the delivery is at {delivery.epoch}")
    if type(event) not in TRANSITIONS[delivery.state]:
        raise Ignored(f"{type(event).__name__} while {delivery.state}")
    return _apply(delivery, event, now)


def _apply(delivery: Delivery, event: Event, now: datetime) -> tuple[Delivery, tuple[Effect, ...]]:
    match event:
        case Claimed():
            if event.provider != delivery.provider:
                raise Ignored(f"{delivery.provider} has it")
            if delivery.cancel_requested or now >= delivery.deadline_at or now < delivery.due_at:
                raise Ignored("not to be sent now")
            epoch = delivery.epoch + 1
            chain = delivery.chain if event.continues else epoch
            # while somebody has the lease, what they come back with settles it, be it after the deadline
            look_at = event.lease_until
            claimed = replace(delivery, state=State.SENDING, epoch=epoch, chain=chain, look_at=look_at)
            return claimed, ()
        case AttemptAccepted():
            if not event.receipt:
                return _settle(delivery, State.ACCEPTED, event.code, now)
            return replace(delivery, state=State.ACCEPTED, code=event.code, look_at=delivery.deadline_at), ()
        case AttemptDelivered() | Proved():
            return _settle(delivery, State.DELIVERED, event.code, now)
        case AttemptPostponed():
            tries = delivery.tries + (1 if event.counts else 0)
            return _again(delivery, event.decision, event.code, now, tries=tries)
        case AttemptRefused():
            return _again(delivery, event.decision, event.code, now, tries=delivery.tries + 1)
        case AttemptUnknown() | LeaseLost():
            code = event.code if isinstance(event, AttemptUnknown) else "interrupted"
            until = min(event.until, delivery.deadline_at)
            return replace(delivery, state=State.UNSURE, code=code, look_at=until), ()
        case LeaseRenewed():
            return replace(delivery, look_at=event.until), ()
        case DoubtLapsed():
            return _again(delivery, event.decision, delivery.code, now, tries=delivery.tries + 1)
        case Disproved():
            if delivery.state in (State.QUEUED, State.SENDING):
                return delivery, ()  # the attempt under way, or the next one, speaks for itself
            if delivery.settled_at is not None:
                return _settle(delivery, State.FAILED, event.code, now)
            return _again(delivery, event.decision, event.code, now, tries=delivery.tries + 1)
        case ReceiptNoted():
            return delivery, ()  # it is about one part; what became of the others stays in doubt
        case LastWordGiven():
            return _settle(delivery, State.ACCEPTED, event.code, now)
        case Lapsed():
            return _settle(delivery, State.EXPIRED, delivery.code or "expired", now)
        case CancelRequested():
            if delivery.state is State.QUEUED:
                return _settle(delivery, State.CANCELLED, event.code, now)
            return replace(delivery, cancel_requested=True), ()
        case RefusedBeforeSending():
            return _settle(delivery, State.FAILED, event.code, now)
        case Rerouted():
            look_at = min(now + ANNOUNCED_AGAIN, delivery.deadline_at)
            moved = replace(
                delivery, provider=event.provider, tries=0, due_at=event.at or delivery.due_at, look_at=look_at
            )
            return moved, (Announce(provider=event.provider),)
        case LookedAfter():
            return replace(delivery, look_at=min(event.look_at, delivery.deadline_at)), ()
