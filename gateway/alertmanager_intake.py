"""Takes Alertmanager's notifications in: an alert for a group that fires, its end when it is resolved. HTTP is elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from sqlalchemy import select

from gateway import lifecycle
from gateway.alert import Alert, Status
from gateway.alert_request import AlertRequest
from gateway.alertmanager import (
    SOURCE,
    TEXT_CHARS_MAX,
    Notification,
    group_values,
    matching_rule,
    member_values,
)
from gateway.broker import Broker
from gateway.intake import Shortfall
from gateway.large_work import LARGE, give_way
from gateway.last_resort import SOURCE as LAST_RESORT
from gateway.progress import change_alert
from gateway.rendering import render_alertmanager, shortened
from gateway.rules import NotTaken, reachable, request_of
from gateway.settings import RuleSettings
from gateway.store import tables
from gateway.store.unit import Unit, Wants
from gateway.submission import Submission, Submissions, Trouble

log = structlog.get_logger(__name__)

AT_ONCE = 200  # members accepted together: a few commits, and never more in the journal than others can bear
KEYS_AT_ONCE = 500  # keys looked up by one command
REPEATED_CHARS_MAX = 500  # of the text, as the timeline keeps it

Values = dict[str, object]
Outcome = Literal["accepted", "joined", "resolved"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Concerned:
    """One alert that a notification concerns."""

    id: str
    outcome: Outcome
    join: dict[str, Any] | None = None
    """How it joined an open alert, as `gateway.intake` tells it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a notification comes from: the key it came with, the group, and the rule that it falls under."""

    key_id: str
    group: str
    rule: RuleSettings | None

    @property
    def sender(self) -> str:
        """Whom the rule says that it is from; else the key. A cluster shares both, while each of it calls itself otherwise."""
        return self.key_id if self.rule is None or not self.rule.sender else self.rule.sender

    def trouble(self, key: str) -> Trouble:
        """The identity of a trouble: a group's, whichever rule it falls under, or a member's under this rule."""
        if self.rule is None or self.rule.per == "group" or key == self.group:
            return Trouble(sender=self.sender, key=key)
        return Trouble(sender=self.sender, key=key, ruled_by=self.rule.name, within=self.group)

    def made(self, alert: Alert) -> bool:
        """Whether the alert of the group, or of one of its members, is from here. The rule may be another one by now."""
        named = "" if self.rule is None else self.rule.sender
        if alert.sender not in (self.key_id, named) and not (self.rule is None and alert.key_id == self.key_id):
            return False
        of_rule = self.rule is not None and alert.ruled_by == self.rule.name
        return alert.within in ("", self.group) or of_rule


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What became of a notification. `skipped` says which of the rule's recipients cannot be reached, and why."""

    firing: bool
    rule: str = ""
    alerts: tuple[Concerned, ...] = ()
    skipped: tuple[str, ...] = ()
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeTroubles:
    """Command: `verb` on every open alert of the account that this intake made for one of the keys and that is this sender's. Gives
    their ids."""

    account_id: str
    keys: Sequence[str]
    whose: Callable[[Alert], bool]
    verb: Callable[[Unit, Alert], Alert]

    @property
    def weight(self) -> int:
        return 2 * len(self.keys)

    def prefetch(self, wants: Wants) -> None:
        wants.group_keys.update(self.keys)

    def apply(self, unit: Unit) -> list[str]:
        changed = []
        for key in self.keys:
            for alert in unit.same_trouble(self.account_id, None, key):
                if alert.source != SOURCE or alert.status not in (Status.ACTIVE, Status.ACKNOWLEDGED):
                    continue
                if not self.whose(alert):
                    continue
                after = self.verb(unit, alert)
                if after != alert:
                    change_alert(unit, alert, after)
                changed.append(alert.id)
        return changed


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolveMembers:
    """Command: ends those of the alerts that are open and that are this sender's. Gives their ids."""

    alert_ids: Sequence[str]
    whose: Callable[[Alert], bool]

    @property
    def weight(self) -> int:
        return 2 * len(self.alert_ids)

    def prefetch(self, wants: Wants) -> None:
        wants.alerts.update(self.alert_ids)

    def apply(self, unit: Unit) -> list[str]:
        resolved = []
        for alert_id in self.alert_ids:
            alert = unit.alert(alert_id)
            if alert is not None and alert.status in (Status.ACTIVE, Status.ACKNOWLEDGED) and self.whose(alert):
                change_alert(unit, alert, _resolve(unit, alert))
                resolved.append(alert_id)
        return resolved


def _resolve(unit: Unit, alert: Alert) -> Alert:
    unit.event(alert.id, "by", SOURCE)
    return lifecycle.resolve(unit, alert)


class AlertmanagerIntake:
    """Applies the rules of the settings to notifications. One alert for a group, or for each member where the rule says so.

    What is already told joins its open alert; what is resolved ends it, whatever rule would match now.
    """

    def __init__(self, broker: Broker, submissions: Submissions) -> None:
        self._broker = broker
        self._submissions = submissions
        self._rules = tuple(rule for rule in broker.settings.rules if rule.source == SOURCE)

    async def take(self, notification: Notification, *, account_id: str | None, key_id: str) -> Verdict:
        """Takes a notification that came with a key, bound to an account or to none. Once it returns, all is on disk.

        Raises NotTaken, and StoreError where nothing can be written now: Alertmanager then tries again, and what was
        already written joins.
        """
        rule = matching_rule(self._rules, notification.labels, account_id)
        origin = Origin(key_id=key_id, group=notification.key, rule=rule)
        resolved = await self._end(notification, account_id, origin)
        if notification.status == "resolved":
            detail = "" if resolved else "nothing to resolve: no open alert of this group"
            return Verdict(firing=False, alerts=_all(resolved, "resolved"), detail=detail)
        if rule is None:
            try:
                return await self._join_without_rule(notification, account_id, origin)
            except NotTaken as refusal:
                if not notification.unread:  # what rules leave out is meant to be left out
                    raise
                return await self._tell_last_resort(notification, account_id, origin, refusal)
        if account_id is None:
            await self._check_account(rule)
        try:
            request, skipped = request_of(rule, self._broker.planner)
        except NotTaken as refusal:
            return await self._tell_last_resort(notification, rule.account, origin, refusal)
        taken = await self._accept_all(request, rule, origin, _troubles(notification, rule))
        return Verdict(
            firing=True,
            rule=rule.name,
            alerts=(*taken, *_all(resolved, "resolved")),
            skipped=tuple(skipped),
            detail="" if not notification.truncated_alerts or rule.per == "group" else _truncated(notification),
        )

    async def _tell_last_resort(
        self, notification: Notification, account_id: str | None, origin: Origin, refusal: NotTaken
    ) -> Verdict:
        """Nobody else would hear of it: Alertmanager reads no answers. Raises the refusal where there is no last resort."""
        accounts = tuple(self._accounts(account_id))
        recipients = reachable(self._broker.planner, self._broker.settings.last_resort.recipients)
        if not accounts or not recipients:
            log.error("notification_told_to_nobody", group=notification.key, error=str(refusal))
            raise refusal
        subject, text = _said(group_values(notification), "")
        request = AlertRequest(
            subject=subject,
            text=shortened(f"{text}\n{refusal}", TEXT_CHARS_MAX),
            priority="high",
            recipients=recipients,
        )
        submission = self._submissions.prepare(
            request,
            account_id=accounts[0],
            key_id=origin.key_id,
            source=LAST_RESORT,
            trouble=Trouble(sender=origin.sender, key=f"{LAST_RESORT}:{notification.key}"),
        )
        taken = await self._submissions.accept(submission, shortfall=Shortfall.TAKE)
        told = Concerned(id=taken.alert_id, outcome="joined" if taken.joined else "accepted", join=taken.join)
        return Verdict(firing=True, alerts=(told,), detail=f"the last resort is told: {refusal}")

    # --- ends --------------------------------------------------------------------------------------------------------

    def _accounts(self, account_id: str | None) -> Iterable[str]:
        return (account_id,) if account_id is not None else sorted({rule.account for rule in self._rules})

    async def _end(self, notification: Notification, account_id: str | None, origin: Origin) -> list[str]:
        """Resolves the alerts of the members that are resolved, and the group's when all of them are."""
        keys = []
        if notification.status == "resolved":
            keys.append(notification.key)
        if any(rule.per == "member" for rule in self._rules):
            keys += [member.key for member in notification.resolved]
        resolved = await self._change(keys, account_id, origin.made, _resolve)
        return resolved + await self._end_members(notification, account_id, origin)

    async def _end_members(self, notification: Notification, account_id: str | None, origin: Origin) -> list[str]:
        """With its group every member is over, whether this notification names it, an earlier one did, or `max_alerts` cut it off."""
        if notification.status != "resolved":
            return []
        a = tables.alerts.c
        open_members = (
            select(a.id)
            .where(
                a.within == notification.key,
                a.within != "",  # as the index has it
                a.account_id.in_(tuple(self._accounts(account_id))),
                a.source == SOURCE,
                a.status.in_((Status.ACTIVE.value, Status.ACKNOWLEDGED.value)),
            )
            .order_by(a.id)
        )
        ids = list(await self._broker.store.read(lambda connection: connection.scalars(open_members).all()))
        resolved: list[str] = []
        for start in range(0, len(ids), KEYS_AT_ONCE):
            command = ResolveMembers(alert_ids=ids[start : start + KEYS_AT_ONCE], whose=origin.made)
            resolved += await self._broker.journal.do(command)
        return resolved

    async def _change(
        self,
        keys: Sequence[str],
        account_id: str | None,
        whose: Callable[[Alert], bool],
        verb: Callable[[Unit, Alert], Alert],
    ) -> list[str]:
        changed: list[str] = []
        for account in self._accounts(account_id):
            for start in range(0, len(keys), KEYS_AT_ONCE):
                some = keys[start : start + KEYS_AT_ONCE]
                command = ChangeTroubles(account_id=account, keys=some, whose=whose, verb=verb)
                changed += await self._broker.journal.do(command)
        return changed

    async def _join_without_rule(self, notification: Notification, account_id: str | None, origin: Origin) -> Verdict:
        """Labels that members share come and go with the members: an alert that is open goes on without its rule."""
        _, text = _said(group_values(notification), "")

        def repeat(unit: Unit, alert: Alert) -> Alert:
            unit.event(alert.id, "repeated", text[:REPEATED_CHARS_MAX])
            return alert

        joined = await self._change([notification.key], account_id, origin.made, repeat)
        if not joined:
            raise NotTaken("no_rule", self._no_rule(notification, account_id))
        return Verdict(
            firing=True, alerts=_all(joined, "joined"), detail="no rule matches any more; the open alert goes on"
        )

    def _no_rule(self, notification: Notification, account_id: str | None) -> str:
        own = [rule for rule in self._rules if account_id in (None, rule.account)]
        whose = "" if account_id is None else f" of the account {account_id}"
        if not own:
            return f'the settings have no rule{whose} with source = "{SOURCE}"'
        labels = ", ".join(f"{name}={value!r}" for name, value in sorted(notification.labels.items()))
        return shortened(f"none of {len(own)} rules{whose} matches the labels {labels or '(none)'}", TEXT_CHARS_MAX)

    # --- beginnings --------------------------------------------------------------------------------------------------

    async def _check_account(self, rule: RuleSettings) -> None:
        statement = select(tables.accounts.c.id).where(tables.accounts.c.id == rule.account)
        if await self._broker.store.read(lambda connection: connection.scalar(statement)) is None:
            raise NotTaken("unknown_account", f"the rule {rule.name} charges the account {rule.account}: there is none")

    async def _accept_all(
        self, request: AlertRequest, rule: RuleSettings, origin: Origin, troubles: Sequence[tuple[str, Values]]
    ) -> list[Concerned]:
        taken: list[Concerned] = []
        urgently = request.priority == "emergency"
        for start in range(0, len(troubles), AT_ONCE):
            some = troubles[start : start + AT_ONCE]
            prepared = self._prepared(request, rule, origin, some)
            if len(troubles) * request.tries > LARGE:
                ready = await self._broker.large.do(lambda prepared=prepared: list(prepared), urgently=urgently)  # type: ignore[misc]
            else:
                ready = list(prepared)
            taken += await asyncio.gather(*map(self._accept, ready))
        return taken

    def _prepared(
        self, request: AlertRequest, rule: RuleSettings, origin: Origin, troubles: Sequence[tuple[str, Values]]
    ) -> Iterator[Submission]:
        for key, values in troubles:
            give_way()
            yield self._prepare(request, rule, origin, key, values)

    def _prepare(
        self, request: AlertRequest, rule: RuleSettings, origin: Origin, key: str, values: Values
    ) -> Submission:
        settings = self._broker.settings
        subject, text = _said(values, rule.language or settings.messages.language, settings.alerts.text_max)
        return self._submissions.prepare(
            request.model_copy(update={"subject": subject, "text": text}),
            account_id=rule.account,
            key_id=origin.key_id,
            source=SOURCE,
            trouble=origin.trouble(key),
        )

    async def _accept(self, submission: Submission) -> Concerned:
        taken = await self._submissions.accept(submission, shortfall=Shortfall.TAKE)
        return Concerned(id=taken.alert_id, outcome="joined" if taken.joined else "accepted", join=taken.join)


def _troubles(notification: Notification, rule: RuleSettings) -> list[tuple[str, Values]]:
    """(key, values of the template) of every alert that the notification is."""
    if rule.per == "group":
        return [(notification.key, group_values(notification))]
    troubles = [(member.key, member_values(member)) for member in notification.firing]
    if notification.truncated_alerts or notification.unread or not troubles:  # nobody would be told of the rest
        troubles.append((notification.key, group_values(notification)))
    return troubles


def _said(values: Values, language: str, chars_max: int = TEXT_CHARS_MAX) -> tuple[str, str]:
    subject, text = render_alertmanager(values, language)
    return subject, shortened(text, min(TEXT_CHARS_MAX, max(chars_max, 3)))


def _all(ids: Sequence[str], outcome: Outcome) -> tuple[Concerned, ...]:
    return tuple(Concerned(id=alert_id, outcome=outcome) for alert_id in ids)


def _truncated(notification: Notification) -> str:
    return f"{notification.truncated_alerts} members were left out: the alert of the group stands for them"
