"""The alert machine: acknowledgement rules, ends and what they cause, as pure functions. Deliveries have their own machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

from gateway.frozen import replace


class Status(StrEnum):
    """Where an alert stands."""

    ACTIVE = "active"
    """Somebody is still to be reached, or to acknowledge."""
    ACKNOWLEDGED = "acknowledged"
    """The rule is met, or somebody received it and has still to take it in charge."""
    COMPLETED = "completed"
    """No acknowledgement was asked for and every delivery is settled, at least one of them well. A late bounce can take that
    back."""
    RESOLVED = "resolved"
    """The trouble itself is over."""
    CANCELLED = "cancelled"
    """Upstream or an operator called it off."""
    FAILED = "failed"
    """Nobody was reached and nothing is left to try."""
    EXPIRED = "expired"
    """Its deadline passed without the acknowledgement it asked for."""


ENDED = frozenset({Status.COMPLETED, Status.RESOLVED, Status.CANCELLED, Status.FAILED, Status.EXPIRED})
"""Nothing more is sent in these. `failed` and `expired` still take a late human."""


class Priority(IntEnum):
    """How urgent an alert is; the lower goes first. Stored as the number, shown as the lower-case name."""

    EMERGENCY = 0
    HIGH = 1
    NORMAL = 2
    BULK = 3


class Rule(StrEnum):
    """Who has to acknowledge."""

    NONE = "none"
    ANY = "any"
    ALL = "all"
    QUORUM = "quorum"


ENDS_BY_ITSELF = frozenset({"api", "last_resort"})
"""Sources that never say that a trouble is over, but by name of the alert."""


def default_rule(priority: Priority) -> Rule:
    """Emergency and high ask for anybody, the rest for nobody."""
    return Rule.ANY if priority <= Priority.HIGH else Rule.NONE


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """One accepted request from upstream. `recipients` and `steps` hold the request's own JSON, planned step by step.

    `step` is the next step to become active, at `step_at`. `expanded` counts the recipients of the active step whose
    deliveries are written, of `expanding` in all. `hold_left_micros` is the part of the step's hold not yet given to deliveries.
    `look_at` is when the rescuer looks at it next.

    `sender` is who told of the trouble, and `ruled_by` the rule by which one member of the group `within` became an alert: with the
    account, the source and the reference or key they are the identity of the trouble. `retold_at` is since when it says what it
    says, where other requests have joined it and changed that.
    """

    id: str
    account_id: str
    key_id: str
    status: Status = Status.ACTIVE
    priority: Priority = Priority.NORMAL
    subject: str = ""
    text: str
    language: str = ""
    reference: str | None = None
    source: str = "api"
    group_key: str | None = None
    rule: Rule = Rule.NONE
    quorum: int = 0
    confirm_within_s: int | None = None
    confirm_by_at: datetime | None = None
    resend: bool = True
    exercise: bool = False
    sensitive: bool = False
    callback_url: str | None = None
    callback_n: int = 0
    people: int = 0
    files: int = 0
    recipients: str = "[]"
    steps: str = "[]"
    step: int = 0
    step_at: datetime | None = None
    expanded: int = 0
    expanding: int = 0
    hold_left_micros: int = 0
    created_at: datetime
    start_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    look_at: datetime
    sender: str = ""
    ruled_by: str = ""
    within: str = ""
    retold_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What the deliveries of an alert amount to. `open`: some are not settled, or not all are written yet. `reached`: at
    least one was taken or delivered."""

    open: bool
    reached: bool


def next_look(alert: Alert) -> datetime:
    """When the rescuer has to look at the alert: its next step, its confirmation or its deadline, whichever comes first."""
    times = [alert.expires_at]
    if alert.expanded < alert.expanding:
        times.append(alert.look_at)
    if alert.step_at is not None and alert.status is Status.ACTIVE:
        times.append(alert.step_at)
    if alert.confirm_by_at is not None:
        times.append(alert.confirm_by_at)
    return min(times)


def _end(alert: Alert, status: Status, now: datetime) -> Alert:
    ended_at = (
        now if alert.ended_at is None else alert.ended_at
    )  # since when nothing goes out: what comes later does not move it
    return replace(alert, status=status, ended_at=ended_at, step_at=None, confirm_by_at=None)


def _stays_open(alert: Alert) -> bool:
    """Whether the alert stands for a trouble that upstream will tell the end of: repeats join it until then."""
    return alert.group_key is not None and alert.source not in ENDS_BY_ITSELF


def settled(alert: Alert, standing: Standing, now: datetime) -> Alert:
    """The alert after its deliveries changed. It ends when nothing is left to try and no acknowledgement can come any more. What
    was completed by a delivery that turned out not to have arrived, and reached nobody else, has failed."""
    if alert.status is Status.COMPLETED and not standing.open and not standing.reached:
        return _end(alert, Status.FAILED, now)
    if alert.status is not Status.ACTIVE or standing.open or alert.step_at is not None:
        return alert
    if not standing.reached:
        return _end(alert, Status.FAILED, now)
    if not asks(alert) and not _stays_open(alert):
        return _end(alert, Status.COMPLETED, now)
    return alert  # somebody was reached: a human may still act, until the deadline


def reopened(alert: Alert) -> Alert:
    """Completed by a delivery that turned out not to have arrived, while there is another way to try."""
    return replace(alert, status=Status.ACTIVE, ended_at=None)


def lapsed(alert: Alert, now: datetime) -> Alert:
    """The deadline passed: an alert that asked for a word and has none is expired, also where somebody received it and nobody
    took it in charge. One that asked for none ends once its deliveries, whose deadline is the same, are settled. One that only
    waited for the end of its trouble is completed."""
    if alert.ended_at is not None or now < alert.expires_at:
        return alert
    if alert.status in (Status.ACTIVE, Status.ACKNOWLEDGED):
        told = not asks(alert) and _stays_open(alert)
        return _end(alert, Status.COMPLETED if told else Status.EXPIRED, now)
    return alert


class AlreadyEnded(Exception):  # noqa: N818 - a verdict, not a fault
    """The alert has ended in a way that this verb cannot change."""


def asks(alert: Alert) -> bool:
    """Whether the alert wants a word from people: else it is over when they are told."""
    return alert.rule is not Rule.NONE or alert.confirm_within_s is not None


def required(alert: Alert) -> int:
    """How many distinct people have to acknowledge for the rule to be met; 0 where nobody has to."""
    match alert.rule:
        case Rule.NONE | Rule.ANY:
            return 1  # a `none` alert that is acknowledged all the same needs one person
        case Rule.ALL:
            return max(1, alert.people)
        case Rule.QUORUM:
            return max(1, alert.quorum)


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """What people have said since everybody was last asked: how many different people who count, and whether one of them took it
    in charge."""

    people: int = 0
    taken: bool = False


def acknowledged(alert: Alert, before: Words, after: Words, now: datetime) -> Alert:
    """The alert after one more word, `before` and `after` being all words without it and with it.

    Where the rule is met for good the alert has ended, so that what is queued is cancelled. With `confirm_within_s` only an explicit
    *taken in charge* of somebody who counts meets it; *received* suspends the alert at most once, when there are enough for the first
    time. Raises AlreadyEnded where the alert was resolved, cancelled or completed.
    """
    if alert.status in (Status.RESOLVED, Status.CANCELLED, Status.COMPLETED):
        raise AlreadyEnded(f"the alert is {alert.status}")
    needed = required(alert)
    if after.people < needed:
        return alert
    if alert.confirm_within_s is None or after.taken:
        met = replace(alert, status=Status.ACKNOWLEDGED, confirm_by_at=None)  # `step_at` stays: it may be handed back
        return replace(met, ended_at=now if met.ended_at is None else met.ended_at)
    if alert.status is not Status.ACTIVE or before.people >= needed:
        return alert  # received once more, or too late
    by = now + timedelta(seconds=alert.confirm_within_s)
    return replace(alert, status=Status.ACKNOWLEDGED, confirm_by_at=by)


def confirmation_lapsed(alert: Alert, now: datetime) -> Alert:
    """Received but not taken in charge in time: the alert is active again and goes on from where it was."""
    if alert.status is Status.ACKNOWLEDGED and alert.confirm_by_at is not None and now >= alert.confirm_by_at:
        return replace(alert, status=Status.ACTIVE, confirm_by_at=None)
    return alert


def released(alert: Alert, now: datetime) -> Alert:
    """Handed back by whoever had it: active again, while the deadline has not passed. Raises AlreadyEnded otherwise."""
    if alert.status is not Status.ACKNOWLEDGED:
        raise AlreadyEnded(f"the alert is {alert.status}: nobody has it in charge")
    if now >= alert.expires_at:
        raise AlreadyEnded("the alert's deadline has passed")
    return replace(alert, status=Status.ACTIVE, confirm_by_at=None, ended_at=None)


def resolved(alert: Alert, now: datetime) -> Alert:
    """The trouble is over. Raises AlreadyEnded where the alert ended otherwise."""
    if alert.status not in (Status.ACTIVE, Status.ACKNOWLEDGED):
        raise AlreadyEnded(f"the alert is {alert.status}")
    return _end(alert, Status.RESOLVED, now)


def cancelled(alert: Alert, now: datetime) -> Alert:
    """Called off. Raises AlreadyEnded where the alert has ended or somebody has it in charge."""
    if alert.status is Status.ACKNOWLEDGED:
        raise AlreadyEnded("the alert is acknowledged: resolve it, or release it and cancel it then")
    if alert.status is not Status.ACTIVE:
        raise AlreadyEnded(f"the alert is {alert.status}")
    return _end(alert, Status.CANCELLED, now)
