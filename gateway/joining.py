"""What becomes of a request whose trouble has an open alert already: one table, field by field. Pure; `gateway.intake` writes it.

Whoever the request names is told, or has been: where the open alert cannot see to that, the request becomes an alert of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from gateway.alert import Alert, Status, asks
from gateway.escalation import (
    OCCURRENCES_MAX,
    deciding,
    due_at,
    plan_from_json,
    plan_to_json,
    recipients_from_json,
    recipients_to_json,
)
from gateway.frozen import replace
from gateway.merging import Escalation, added, asked_first, planned_first, taken_over
from gateway.turns import turns

TRIED_AGAIN: Final = timedelta(minutes=5)
"""Somebody whose delivery failed is tried anew by a repeat, no sooner than this: repeats may come every few seconds."""
RECIPIENTS_MAX: Final = 100_000  # of an alert that others joined: as many as one request may have at the most
FILES_MAX: Final = 20  # of an alert that others joined: twice those of one request


class How(StrEnum):
    """How a request joins."""

    RAISED = "raised"
    """It is more urgent: the alert goes on as the request says, and asks everybody anew."""
    WIDENED = "widened"
    """It names people whom the alert does not reach: they are added."""
    REPEATED = "repeated"
    """Nobody is to be told anything new."""


class Fate(StrEnum):
    """What became of a field of the request."""

    TOLD = "told"
    """It goes out from now on."""
    TAKEN = "taken"
    """It is in force from now on."""
    SAME = "same"
    """It is what the alert has anyway."""
    REACHED = "reached"
    """These people are reached by the alert as it is."""
    NOTED = "noted"
    """It is a line on the timeline, and is told to nobody."""
    KEPT = "kept"
    """The alert keeps its own; the request's is not used."""
    DROPPED = "dropped"
    """It is not used and not kept."""


TABLE: Final[Mapping[str, tuple[Fate, Fate, Fate, Fate]]] = {
    "text": (Fate.TOLD, Fate.TOLD, Fate.NOTED, Fate.NOTED),
    "template": (Fate.TOLD, Fate.TOLD, Fate.NOTED, Fate.NOTED),
    "variables": (Fate.TOLD, Fate.TOLD, Fate.NOTED, Fate.NOTED),
    "subject": (Fate.TOLD, Fate.TOLD, Fate.KEPT, Fate.KEPT),
    "language": (Fate.TOLD, Fate.TOLD, Fate.KEPT, Fate.KEPT),
    "attachments": (Fate.TOLD, Fate.TOLD, Fate.DROPPED, Fate.DROPPED),
    "recipients": (Fate.TOLD, Fate.TOLD, Fate.TOLD, Fate.REACHED),
    "steps": (Fate.TAKEN, Fate.TAKEN, Fate.TAKEN, Fate.KEPT),
    "priority": (Fate.TAKEN, Fate.KEPT, Fate.KEPT, Fate.KEPT),
    "acknowledgement": (Fate.TAKEN, Fate.TAKEN, Fate.TAKEN, Fate.KEPT),
    "on_unknown": (Fate.TAKEN, Fate.KEPT, Fate.KEPT, Fate.KEPT),
    "sensitive": (Fate.TAKEN, Fate.TAKEN, Fate.KEPT, Fate.KEPT),
    "expires_after_s": (Fate.TAKEN, Fate.TAKEN, Fate.TAKEN, Fate.KEPT),
    "callback_url": (Fate.TAKEN, Fate.TAKEN, Fate.TAKEN, Fate.TAKEN),
    "exercise": (Fate.SAME, Fate.SAME, Fate.SAME, Fate.SAME),
    "reference": (Fate.SAME, Fate.SAME, Fate.SAME, Fate.SAME),
    "send_at": (Fate.SAME, Fate.SAME, Fate.SAME, Fate.SAME),
}
"""What becomes of each field where the alert is raised, widened, widened by a milder request, repeated. A value that the alert has
anyway is SAME; TAKEN is KEPT where the alert's own asks for more (`_taken_over` says of which fields)."""

_COLUMNS: Final = {"acknowledgement": ("rule", "quorum", "confirm_within_s"), "on_unknown": ("resend",)}
"""The members of an alert that hold a field, where they are not called like it."""
_HELD: Final = frozenset(
    {"text", "subject", "language", "priority", "acknowledgement", "on_unknown", "sensitive", "callback_url"}
)
"""Fields that are compared with what the alert holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """What became of an address within the open alert. `reached`: something is under way to it or has arrived, or whoever is there has
    answered; else it failed, at `at`."""

    reached: bool
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request as an alert of its own. `given` are the fields that were written in it, `names` those of people by their addresses."""

    alert: Alert
    given: Collection[str]
    names: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Join:
    """How a request joins an open alert, which is `alert` with it; `told` are the addresses that are told because of it."""

    how: How
    alert: Alert
    told: tuple[str, ...]
    fields: Mapping[str, Fate]


def join(opened: Alert, request: Request, tried: Mapping[str, Tried], now: datetime) -> Join | None:
    """How the request joins the open alert of the same trouble. None where it becomes an alert of its own: the open one has not
    begun or is over, the request is for later, it names people whom an alert that somebody has does not reach any more, or all of
    it would be too much for one alert."""
    asked = request.alert
    is_open = opened.status in (Status.ACTIVE, Status.ACKNOWLEDGED) and opened.expires_at > now
    if not is_open or max(opened.start_at, asked.start_at) > now:
        return None
    escalation, wanted = escalation_of(opened), escalation_of(asked)
    if asked.priority < opened.priority:
        return _joined(How.RAISED, opened, request, escalation, wanted, tuple(asked_first(wanted)), now)
    unreached = _unreached(escalation, wanted, tried, now, tries=opened.status is Status.ACTIVE)
    if not unreached:
        return _repeated(opened, request)
    if opened.status is not Status.ACTIVE:
        return None
    return _joined(How.WIDENED, opened, request, escalation, wanted, unreached, now)


def best(joins: Sequence[Join]) -> Join | None:
    """The one to take of several, where the trouble has several open alerts: that which tells nobody twice."""
    order = (How.REPEATED, How.WIDENED, How.RAISED)
    return min(joins, key=lambda each: (order.index(each.how), each.alert.priority), default=None)


def escalation_of(alert: Alert) -> Escalation:
    """Whom the alert tries when."""
    return Escalation(
        plan=plan_from_json(alert.steps),
        recipients=recipients_from_json(alert.recipients),
        start_at=alert.start_at,
        step=alert.step,
        expanded=alert.expanded,
        expanding=alert.expanding,
    )


def _unreached(
    opened: Escalation, asked: Escalation, tried: Mapping[str, Tried], now: datetime, *, tries: bool
) -> tuple[str, ...]:
    """The addresses of the request that the open alert neither has tried nor will try in time. `tries`: what failed is tried anew."""
    planned = planned_first(opened)

    def reached(address: str, at: datetime) -> bool:
        turns.give_way()
        known = tried.get(address)
        if known is not None and known.reached:
            return True
        if address not in planned or planned[address] > at:
            return False
        failed = known is not None and known.at is not None and known.at + TRIED_AGAIN <= now
        return not (failed and tries)

    return tuple(address for address, at in asked_first(asked).items() if not reached(address, at))


def _repeated(opened: Alert, request: Request) -> Join:
    after = replace(opened, callback_url=opened.callback_url or request.alert.callback_url)
    return Join(
        how=How.REPEATED, alert=after, told=(), fields=_fates(How.REPEATED, opened, after, request, milder=False)
    )


def _joined(
    how: How,
    opened: Alert,
    request: Request,
    escalation: Escalation,
    wanted: Escalation,
    told: tuple[str, ...],
    now: datetime,
) -> Join | None:
    raised, asked = how is How.RAISED, request.alert
    whole = taken_over(escalation, wanted, now) if raised else added(escalation, wanted, frozenset(told), now)
    plan, recipients = whole.plan, whole.recipients
    if len(plan) > OCCURRENCES_MAX or len(recipients) > RECIPIENTS_MAX or opened.files + asked.files > FILES_MAX:
        return None
    milder = asked.priority > opened.priority
    after = replace(
        opened,
        recipients=recipients_to_json(recipients),
        steps=plan_to_json(plan),
        start_at=whole.start_at,
        step=whole.step,
        step_at=due_at(plan, whole.step, whole.start_at),
        expires_at=max(opened.expires_at, asked.expires_at),
        callback_url=asked.callback_url or opened.callback_url if raised else opened.callback_url or asked.callback_url,
    )
    if not milder:
        after = _said(after, asked, now)
    if raised:
        after = _raised(after, asked)
    after = _ruled(after, opened, request, raised=raised)
    people = len(deciding(plan, recipients, request.names))
    after = replace(after, people=people, quorum=min(after.quorum, max(1, people)))
    return Join(how=how, alert=after, told=told, fields=_fates(how, opened, after, request, milder=milder))


def _said(opened: Alert, asked: Alert, now: datetime) -> Alert:
    """What is told from now on. What was sensitive stays so: its files are still with the alert."""
    return replace(
        opened,
        subject=asked.subject,
        text=asked.text,
        language=asked.language,
        sensitive=opened.sensitive or asked.sensitive,
        files=opened.files + asked.files,
        retold_at=now,
    )


def _raised(opened: Alert, asked: Alert) -> Alert:
    """More urgent, and open again whoever had it."""
    return replace(
        opened,
        status=Status.ACTIVE,
        ended_at=None,
        confirm_by_at=None,
        priority=asked.priority,
        resend=asked.resend,
        expanded=0,
        expanding=0,
    )


def _ruled(after: Alert, opened: Alert, request: Request, *, raised: bool) -> Alert:
    """With the acknowledgement that is asked for. A request that says nothing of it takes nothing away from the open alert, and one
    that does not raise it takes over only where nobody was asked."""
    asked = request.alert
    if not asks(asked) or (asks(opened) and not (raised and "acknowledgement" in request.given)):
        return after
    return replace(after, rule=asked.rule, quorum=asked.quorum, confirm_within_s=asked.confirm_within_s)


def _fates(how: How, before: Alert, after: Alert, request: Request, *, milder: bool) -> dict[str, Fate]:
    """The fate of every field that was written in the request, and of its priority."""
    column = {How.RAISED: 0, How.WIDENED: 2 if milder else 1, How.REPEATED: 3}[how]
    fields = [name for name in TABLE if name in request.given or name == "priority"]
    return {name: _fate(name, TABLE[name][column], before, after, request.alert) for name in fields}


def _fate(name: str, fate: Fate, before: Alert, after: Alert, asked: Alert) -> Fate:
    if name == "expires_after_s":
        return fate if after.expires_at == asked.expires_at else Fate.KEPT
    if name == "steps" and fate is Fate.KEPT and (before.steps, before.recipients) == (asked.steps, asked.recipients):
        return Fate.SAME
    if name not in _HELD:
        return fate
    wanted = _value(name, asked)
    if _value(name, before) == wanted and fate is not Fate.TOLD:
        return Fate.SAME
    if fate is Fate.TAKEN and _value(name, after) != wanted:
        return Fate.KEPT
    return fate


def _value(name: str, alert: Alert) -> tuple[object, ...]:
    return tuple(getattr(alert, column) for column in _COLUMNS.get(name, (name,)))


_HOW_TOLD: Final[Mapping[How, str]] = {
    How.RAISED: "it took over, and everybody is asked anew",
    How.WIDENED: "the people whom it names are added, and its text goes to nobody else",
    How.REPEATED: "nobody is told anything because of it, and its text is a line on the timeline",
}


def notice(joined: Join) -> str:
    """What whoever sent the request has to know, in one sentence: it made no alert of its own."""
    unused = [name for name, fate in joined.fields.items() if fate in (Fate.KEPT, Fate.DROPPED)]
    also = f"; not used of it: {', '.join(unused)}" if unused else ""
    return f"no new alert was made: the request joined {joined.alert.id}, which is open; {_HOW_TOLD[joined.how]}{also}"
