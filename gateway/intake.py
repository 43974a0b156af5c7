"""Commands that take alerts in: accepting one with its idempotency key and hold, writing its deliveries, activating its steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any

from billing import ledger
from billing.ledger import InsufficientCredit
from gateway import delivery as machine
from gateway.alert import Alert, Priority, Status, next_look
from gateway.attempts import Claim, claim_one
from gateway.clock import rfc3339, to_micros
from gateway.delivery import ANNOUNCED_AGAIN, Delivery
from gateway.escalation import Occurrence, due_at
from gateway.frozen import replace
from gateway.ids import new_id
from gateway.joining import How, Join, Request, best, join, notice
from gateway.joining_aside import LargeJoinError, WorkedOut, delivery_rows, is_large, known_joins, tried
from gateway.planning import PlannedDelivery
from gateway.policy import RetryPolicy
from gateway.progress import RAISED, Announced, Tariffs, change_alert, change_delivery
from gateway.queue.port import Urgency
from gateway.store.unit import Unit, Wants
from gateway.words import ask_anew

CHUNK = 125  # deliveries written by one command: a broadcast never holds up an emergency for longer than that takes
SHOWN_MAX = 100  # deliveries in the answer to POST /v1/alerts
TOLD_MAX = 20  # addresses on the line of the timeline that says who was added
REPEATED_CHARS_MAX = 500  # of the text of what joined, on the timeline
EXPAND_AGAIN = timedelta(seconds=10)  # a broadcast whose writer died is taken up again after this


class Shortfall(Enum):
    """What becomes of an alert whose first step is not wholly affordable."""

    REFUSE = "refuse"
    """402, nothing is sent: normal and bulk."""
    REFUSE_IF_NOTHING_GOES = "refuse_if_nothing_goes"
    """402 only where nothing of the step could go out: high."""
    TAKE = "take"
    """The alert is taken, what cannot be paid fails: emergencies, intakes that cannot read a 402, later steps."""


class IdempotencyConflict(Exception):  # noqa: N818 - the name of its problem
    """The same key came before with another body."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IdempotencyKey:
    """What makes a request the same one: account, route and key, and the digest of its raw body."""

    account_id: str
    route: str
    key: str
    digest: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """The answer to an accepted request, as JSON. `replayed`: it was answered before with the same key."""

    answer: str
    alert_id: str
    replayed: bool = False
    join: dict[str, Any] | None = None
    """How it joined an open alert, and what became of each field of the request."""

    @property
    def joined(self) -> bool:
        """Whether it joined an open alert."""
        return self.join is not None


@dataclass(frozen=True, slots=True)
class ClaimedAtOnce:
    """Signal: the attempt of a delivery that was just accepted is on record and may begin, in a reserved slot."""

    claim: Claim
    reservation: object


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptAlert:
    """Command: takes an alert in. `planned` are the deliveries of its first occurrence, empty where that is later.

    Raises InsufficientCredit as `shortfall` says, also where it joins and those whom it adds cannot be paid, and IdempotencyConflict.
    """

    alert: Alert
    plan: Sequence[Occurrence]
    planned: Sequence[PlannedDelivery]
    idempotency: IdempotencyKey | None
    shortfall: Shortfall
    tariffs: Tariffs
    attachments: Sequence[tuple[str, str, bytes]] = ()
    claim: RetryPolicy | None = None
    """Set where slots are reserved for all of `planned`: the deliveries are claimed in the same commit."""
    reservation: object = None
    """Handed back with the signals of the claims."""
    given: frozenset[str] = frozenset()
    """The fields that were written in the request."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Those of people by their addresses."""
    worked: Mapping[str, WorkedOut] = field(default_factory=dict)
    """How it joins each alert of the trouble, by its id, where that was worked out before."""
    aside: bool = False
    """A large join is not worked out here: raises LargeJoinError."""

    @property
    def weight(self) -> int:
        return 5 + min(len(self.planned), CHUNK)

    def prefetch(self, wants: Wants) -> None:
        wants.balances.add(self.alert.account_id)
        if self.idempotency is not None:
            wants.idempotency.add(self.idempotency.key)
        if self.alert.reference is not None:
            wants.references.add(self.alert.reference)
        if self.alert.group_key is not None:
            wants.group_keys.add(self.alert.group_key)

    def apply(self, unit: Unit) -> Taken:
        known = self._answered(unit)
        if known is not None:
            return known
        joined = self._join(unit)
        if joined is not None:
            told = frozenset(joined.told)
            first = [delivery for delivery in self.planned if delivery.address in told]
            _affordable(unit, joined.alert, first, self.shortfall)  # held once the step begins, in a moment
            return self._joined(unit, joined)
        alert = self.alert
        unit.add(alert)
        self._attach(unit, alert.id)
        written: list[Delivery] = []
        if self.planned:
            alert, written = activate(
                unit, alert, self.plan, self.planned, self.tariffs, self.shortfall, announce=self.claim is None
            )
        else:
            waiting = replace(alert, step_at=due_at(self.plan, 0, alert.start_at))
            alert = replace(waiting, look_at=next_look(waiting))
            unit.put(alert)
        if self.claim is not None:
            self._claim(unit, alert, written, self.claim)
        return self._answer(unit, alert, written)

    def _claim(self, unit: Unit, alert: Alert, written: Sequence[Delivery], policy: RetryPolicy) -> None:
        """Puts the first attempts on record together with the alert: their providers have slots free."""
        for delivery in written:
            if delivery.settled_at is None:
                claim = claim_one(unit, delivery, alert, delivery.provider, policy, self.tariffs)
                if claim is None:
                    _announce(unit, delivery)
                else:
                    unit.signal(ClaimedAtOnce(claim, self.reservation))

    def _answered(self, unit: Unit) -> Taken | None:
        key = self.idempotency
        if key is None:
            return None
        known = unit.answered(key.account_id, key.route, key.key)
        if known is None:
            return None
        digest, answer = known
        if digest != key.digest:
            raise IdempotencyConflict(key.key)
        return Taken(answer=answer, alert_id=json.loads(answer)["id"], replayed=True)

    def _join(self, unit: Unit) -> Join | None:
        """How this joins an alert that already tells of the trouble, if one can see to all that is asked."""
        mine = self.alert
        found = [
            alert for alert in unit.same_trouble(mine.account_id, mine.reference, mine.group_key) if same(alert, mine)
        ]
        if not found:
            return None
        joins = known_joins(self.worked, found, unit.now)
        if joins is None:
            if self.aside and is_large((mine, *found)):
                raise LargeJoinError(found)
            unit.flush()  # what this batch has written counts
            joins = [
                join(alert, self.request, tried(delivery_rows(unit.connection, alert.id)), unit.now) for alert in found
            ]
        return best([each for each in joins if each is not None])

    @property
    def request(self) -> Request:
        """It as an alert of its own."""
        return Request(alert=self.alert, given=self.given, names=self.names)

    def _joined(self, unit: Unit, joined: Join) -> Taken:
        """Writes what the request made of the open alert, and a line of it on the timeline."""
        before = unit.alert(joined.alert.id)
        assert before is not None, "it was read just now"
        unit.event(before.id, "repeated", self.alert.text[:REPEATED_CHARS_MAX])
        after = joined.alert
        if joined.how is How.RAISED:
            unit.event(before.id, RAISED, self.alert.priority.name.lower())
            ask_anew(unit, before.id)
        elif joined.how is How.WIDENED:
            unit.event(before.id, "widened", ", ".join(joined.told[:TOLD_MAX]))
        if after.files > before.files:
            self._attach(unit, before.id, before.files)
        if after != before:
            after = change_alert(unit, before, after)
            unit.rewrite(after)
        return self._answer(unit, after, [], joined=joined)

    def _attach(self, unit: Unit, alert_id: str, before: int = 0) -> None:
        for n, (name, content_type, content) in enumerate(self.attachments, before + 1):
            unit.insert("attachments", alert_id, n, name, content_type, content)

    def _answer(self, unit: Unit, alert: Alert, written: Sequence[Delivery], *, joined: Join | None = None) -> Taken:
        answer: dict[str, Any] = {
            "id": alert.id,
            "status": str(alert.status),
            "priority": alert.priority.name.lower(),
            "reference": alert.reference,
            "created_at": rfc3339(alert.created_at),
            "expires_at": rfc3339(alert.expires_at),
            "deliveries": [
                {"id": d.id, "state": str(d.state), "address": d.address, "code": d.code, "units": d.units}
                for d in written[:SHOWN_MAX]
            ],
            "deliveries_total": alert.expanding,
            "links": {"self": f"/v1/alerts/{alert.id}", "timeline": f"/v1/alerts/{alert.id}/timeline"},
        }
        if joined is not None:
            answer["joined"] = True
            answer["notice"] = notice(joined)
            answer["join"] = join_of(joined)
        text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
        key = self.idempotency
        if key is not None:
            unit.answer(key.account_id, key.route, key.key, key.digest, text)
        return Taken(answer=text, alert_id=alert.id, join=None if joined is None else join_of(joined))


def join_of(joined: Join) -> dict[str, Any]:
    """How a request joined, as the answer tells it."""
    return {
        "how": str(joined.how),
        "fields": {name: str(fate) for name, fate in joined.fields.items()},
        "told": list(joined.told[:SHOWN_MAX]),
        "told_total": len(joined.told),
    }


def same(opened: Alert, asked: Alert) -> bool:
    """Whether an alert with this reference or key is of the same trouble: told by the same sender and, for a member of a group, by the
    same rule. An exercise is never a real one. Which rule it was is not known of alerts that were open when that began to be kept."""
    rule = asked.ruled_by == opened.ruled_by or (opened.ruled_by == "" and opened.within == "" and bool(asked.ruled_by))
    return (
        opened.source == asked.source and opened.sender == asked.sender and rule and opened.exercise == asked.exercise
    )


def activate(
    unit: Unit,
    alert: Alert,
    plan: Sequence[Occurrence],
    planned: Sequence[PlannedDelivery],
    tariffs: Tariffs,
    shortfall: Shortfall,
    *,
    announce: bool = True,
) -> tuple[Alert, list[Delivery]]:
    """Makes the alert's next occurrence active: one hold for all of it, and the first chunk of its deliveries.

    Raises InsufficientCredit as `shortfall` says; otherwise what fits is held, in order, and the rest will fail.
    """
    held = _hold(unit, alert, planned, shortfall)
    step = alert.step
    alert = replace(
        alert,
        step=step + 1,
        step_at=due_at(plan, step + 1, alert.start_at),
        expanded=0,
        expanding=len(planned),
        hold_left_micros=alert.hold_left_micros + held,
        look_at=unit.now + EXPAND_AGAIN,
    )
    return expand(unit, alert, step, planned[:CHUNK], tariffs, announce=announce)


def _hold(unit: Unit, alert: Alert, planned: Sequence[PlannedDelivery], shortfall: Shortfall) -> int:
    affordable = _affordable(unit, alert, planned, shortfall)
    if affordable is None:
        return 0
    wanted, after, entries = affordable
    unit.move(after, entries)
    return wanted


def _affordable(
    unit: Unit, alert: Alert, planned: Sequence[PlannedDelivery], shortfall: Shortfall
) -> tuple[int, ledger.Balance, tuple[ledger.Entry, ...]] | None:
    """What can be held for the deliveries, and how; None where they are free. Raises InsufficientCredit as `shortfall` says."""
    wanted = sum(delivery.hold_micros for delivery in planned)
    if wanted == 0:
        return None
    balance = unit.balance(alert.account_id)
    assert balance is not None, "the account of a key has balances"
    negative = alert.priority is Priority.EMERGENCY and not alert.exercise
    try:
        after, entries = _step_hold(balance, alert, wanted, negative=negative)
    except InsufficientCredit as short:
        fitting = _fitting(planned, short.available_micros)
        something_goes = fitting > 0 or any(delivery.hold_micros == 0 for delivery in planned)
        if shortfall is Shortfall.REFUSE or (shortfall is Shortfall.REFUSE_IF_NOTHING_GOES and not something_goes):
            raise
        wanted = fitting
        after, entries = _step_hold(balance, alert, wanted, negative=negative)
    return wanted, after, entries


def _step_hold(
    balance: ledger.Balance, alert: Alert, amount: int, *, negative: bool
) -> tuple[ledger.Balance, tuple[ledger.Entry, ...]]:
    return ledger.hold(
        balance,
        cause_type=ledger.CAUSE_ALERT,
        cause_id=f"{alert.id}:{alert.step}@{to_micros(alert.start_at)}",  # a repeat that escalates anew starts anew
        amount_micros=amount,
        may_go_negative=negative,
    )


def _fitting(planned: Sequence[PlannedDelivery], available: int) -> int:
    """The sum of the holds that fit, taken in order."""
    left = max(0, available)
    for delivery in planned:
        if delivery.hold_micros <= left:
            left -= delivery.hold_micros
    return max(0, available) - left


def expand(
    unit: Unit,
    alert: Alert,
    step: int,
    planned: Sequence[PlannedDelivery],
    tariffs: Tariffs,
    *,
    announce: bool = True,
) -> tuple[Alert, list[Delivery]]:
    """Writes the next deliveries of the active occurrence, each with its share of the hold. `announce`: to their queues."""
    written = []
    left = alert.hold_left_micros
    for delivery in planned:
        payable = delivery.hold_micros <= left
        hold_micros = delivery.hold_micros if payable else 0
        left -= hold_micros
        refusal = "" if payable else "insufficient_credit"
        if not delivery.provider:
            refusal = "no_route"
        new = _written(unit, alert, step, delivery, hold_micros)
        if refusal:
            new = change_delivery(unit, new, machine.RefusedBeforeSending(code=refusal), tariffs)
        elif announce:
            _announce(unit, new)
        written.append(new)
    expanded = alert.expanded + len(written)
    alert = replace(alert, expanded=expanded, hold_left_micros=left, look_at=unit.now + EXPAND_AGAIN)
    if expanded >= alert.expanding:
        alert = replace(alert, look_at=next_look(alert))
        if not written or any(delivery.settled_at is not None for delivery in written):
            unit.touch(alert.id)  # none of them may be under way
    unit.put(alert)
    return alert, written


def _announce(unit: Unit, delivery: Delivery) -> None:
    unit.signal(Announced(delivery.provider, delivery.id, Urgency(delivery.urgency), delivery.due_at))


def _written(unit: Unit, alert: Alert, step: int, planned: PlannedDelivery, hold_micros: int) -> Delivery:
    delivery = Delivery(
        id=new_id("dlv"),
        alert_id=alert.id,
        account_id=alert.account_id,
        step=step,
        recipient=planned.recipient,
        person=planned.person,
        address=planned.address,
        urgency=int(alert.priority),
        provider=planned.provider,
        units=planned.units,
        price_micros=planned.price_micros,
        hold_micros=hold_micros,
        tariff_id=planned.tariff_id,
        resend=alert.resend,
        language=planned.language or alert.language,
        created_at=unit.now,
        due_at=unit.now,
        look_at=min(unit.now + ANNOUNCED_AGAIN, alert.expires_at),
        deadline_at=alert.expires_at,
    )
    unit.add(delivery)
    return delivery


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpandAlert:
    """Command: writes the next chunk of an alert's deliveries; nothing where somebody else wrote it, or the alert ended."""

    alert_id: str
    step: int
    start: int
    planned: Sequence[PlannedDelivery]
    tariffs: Tariffs

    @property
    def weight(self) -> int:
        return len(self.planned)

    def prefetch(self, wants: Wants) -> None:
        wants.alerts.add(self.alert_id)

    def apply(self, unit: Unit) -> bool:
        alert = unit.alert(self.alert_id)
        if alert is None or alert.ended_at is not None or alert.step != self.step + 1 or alert.expanded != self.start:
            return False
        expand(unit, alert, self.step, self.planned, self.tariffs)
        return True


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivateStep:
    """Command: makes a due step of an accepted alert active. What cannot be paid fails; the alert was taken."""

    alert_id: str
    step: int
    planned: Sequence[PlannedDelivery]
    tariffs: Tariffs
    steps: str
    """The alert's steps as they were when this was planned: others may have joined it meanwhile."""
    plan: Sequence[Occurrence]
    """What they say."""

    @property
    def weight(self) -> int:
        return 2 + min(len(self.planned), CHUNK)

    def prefetch(self, wants: Wants) -> None:
        wants.alerts.add(self.alert_id)

    def apply(self, unit: Unit) -> bool:
        alert = unit.alert(self.alert_id)
        if alert is None or alert.status is not Status.ACTIVE or alert.step != self.step or alert.step_at is None:
            return False
        if alert.expanded < alert.expanding or alert.steps != self.steps:
            return False  # the step before is still being written, or it is another step by now
        unit.event(alert.id, "step", str(self.step))
        activate(unit, alert, self.plan, self.planned, self.tariffs, Shortfall.TAKE)
        return True
