"""From a validated request to an accepted alert: addresses, plan, price, and what a dry run answers. HTTP lives in `gateway.api`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from billing.money import format_amount
from gateway.addressing import AddressRefused
from gateway.alert import Alert, Priority, default_rule
from gateway.alert_request import AlertRequest, RecipientIn
from gateway.blanks import BLANK, is_blank
from gateway.broker import Broker
from gateway.carrying import too_large
from gateway.dispatcher import Reservation
from gateway.durations import Contradiction, contradictions, life_of
from gateway.escalation import (
    DELIVERIES_MAX,
    Occurrence,
    Recipient,
    Step,
    TooManyOccurrencesError,
    deciding,
    due_at,
    occurrences,
    plan_to_json,
    recipients_to_json,
)
from gateway.ids import new_id
from gateway.intake import CHUNK, AcceptAlert, IdempotencyKey, Shortfall, Taken
from gateway.joining_aside import TRIES as JOIN_TRIES
from gateway.joining_aside import LargeJoinError, delivery_rows, work_out
from gateway.large_work import LARGE, give_way
from gateway.namesakes import Namesakes
from gateway.planning import PlannedDelivery
from gateway.reach import gaps
from gateway.rendering import TemplateError, render_named
from gateway.settings_location import written

log = structlog.get_logger(__name__)

SHOWN_MAX = 100  # deliveries that a dry run lists; the totals are of all
ATTACHMENT_BYTES_MAX = 5 * 1024 * 1024  # all attachments of an alert, decoded: most mail servers take 10 MB encoded
AT_ONCE_MAX = 20  # deliveries of one alert that may be claimed in the commit that accepts it


class FieldError(ValueError):
    """One field of the request is wrong in a way that only the installation's settings tell. `field` as ``recipients[3]``."""

    def __init__(self, field: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field
        self.code = code


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Which trouble an alert is about, within its account and source: `sender` is who tells of it, `key` what an intake calls it. A
    member of a group is told `ruled_by` one rule, `within` its group."""

    sender: str
    key: str | None = None
    ruled_by: str = ""
    within: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A request, ready to be accepted."""

    alert: Alert
    plan: tuple[Occurrence, ...]
    recipients: tuple[Recipient, ...]
    attachments: tuple[tuple[str, str, bytes], ...]
    given: frozenset[str]
    """The fields that were written in it."""


SEND_AT_MAX = timedelta(days=365)
SOURCE = "api"
"""The `source` of alerts that a client asked for, and not an intake of the settings."""


class Submissions:
    """Takes requests for alerts in, for the API and for every intake."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._settings = broker.settings
        self._large = broker.large

    def prepare(
        self,
        request: AlertRequest,
        *,
        account_id: str,
        key_id: str,
        source: str = SOURCE,
        trouble: Trouble | None = None,
    ) -> Submission:
        """Checks what needs the settings and makes the alert. `trouble` says which one it is, beside the reference; by default it is
        told by the key. Raises FieldError."""
        limits = self._settings.alerts
        subject, text = _said(request, self._settings.messages.language)
        written_in = "text" if request.template is None else "template"
        if source == SOURCE:
            _readable(request, written_in, text)
        if len(text) > limits.text_max:
            raise FieldError("text", "too_long", f"expected at most {limits.text_max} characters")
        if len(request.recipients) > limits.recipients_max:
            raise FieldError("recipients", "too_many", f"expected at most {limits.recipients_max} recipients")
        namesakes = Namesakes()
        recipients = namesakes.told_apart(self._recipients(request.recipients, "recipients"))
        lasts_s = self._lasts_s(request, source)
        plan = self._plan(request, namesakes)
        self._keep(gaps(request.recipients, request.steps, read=self._broker.planner.canonical), source)
        self._bound(recipients, plan)
        if request.callback_url is not None:
            wrong = self._broker.outbound_policy.check_url(request.callback_url)
            if wrong is not None:
                raise FieldError("callback_url", "invalid_url", wrong)
        said = (request.subject or subject, text)
        trouble = trouble or Trouble(sender=key_id)
        alert = self._alert(request, said, recipients, plan, lasts_s, account_id, key_id, source, trouble)
        attachments = _attachments(request)
        wrong_size = too_large(self._broker.planner, alert, plan, recipients, attachments) if source == SOURCE else None
        if wrong_size is not None:
            what, limit = wrong_size
            raise FieldError(written_in if what == "text" else what, "too_long", limit)
        given = frozenset(name for name in request.model_fields_set if getattr(request, name) not in (None, (), {}, ""))
        return Submission(alert=alert, plan=plan, recipients=recipients, attachments=attachments, given=given)

    def _recipients(self, given: Sequence[RecipientIn], field: str) -> tuple[Recipient, ...]:
        found = []
        for n, recipient in enumerate(given):
            give_way()
            addresses = []
            for m, raw in enumerate(recipient.addresses):
                try:
                    addresses.append(self._broker.planner.canonical(raw))
                except AddressRefused as refused:
                    place = f"{field}[{n}].addresses[{m}]"
                    raise FieldError(place, refused.code, str(refused)) from refused
            person = recipient.name or addresses[0]
            found.append(Recipient(person=person, language=recipient.language, addresses=tuple(addresses)))
        return tuple(found)

    def _bound(self, recipients: Sequence[Recipient], plan: Sequence[Occurrence]) -> None:
        """All steps and repeats together: what one request can make the gateway plan, and pay, has an end."""
        total = 0
        for occurrence in plan:
            own = recipients if occurrence.recipients is None else occurrence.recipients
            if len(own) > self._settings.alerts.recipients_max:
                most = self._settings.alerts.recipients_max
                raise FieldError("steps", "too_many", f"expected at most {most} recipients of a step")
            total += sum(len(recipient.addresses) for recipient in own)
        if total > DELIVERIES_MAX:
            raise FieldError(
                "steps", "too_many", f"expected at most {DELIVERIES_MAX} deliveries, steps and repeats included"
            )

    def _lasts_s(self, request: AlertRequest, source: str) -> int:
        """How long the alert lives. Raises FieldError where one of its durations goes beyond."""
        lasts_s = request.expires_after_s or self._settings.delivery.expires_after_s.of(request.priority)
        asked = request.acknowledgement
        beyond = contradictions(
            [step.turn for step in request.steps],
            lasts_s=lasts_s,
            confirm_within_s=None if asked is None else asked.confirm_within_s,
            life=life_of(request.priority, request.expires_after_s),
        )
        self._keep(beyond, source)
        return lasts_s

    @staticmethod
    def _keep(broken: Iterable[Contradiction], source: str) -> None:
        """Raises FieldError for the first promise that cannot be kept; what an intake asks for was examined when the settings were
        read, and an alarm is never refused."""
        for found in broken:
            if source == SOURCE:
                raise FieldError(written(found.field), found.code, found.detail)
            log.error("promise_never_kept", source=source, field=written(found.field), detail=found.detail)

    def _plan(self, request: AlertRequest, namesakes: Namesakes) -> tuple[Occurrence, ...]:
        steps = []
        for n, step in enumerate(request.steps):
            own = None
            if step.recipients is not None:
                own = namesakes.told_apart(self._recipients(step.recipients, f"steps[{n}].recipients"))
            steps.append(
                Step(
                    after_s=step.after_s,
                    channels=step.channels,
                    recipients=own,
                    repeat=step.repeat,
                    every_s=step.every_s,
                )
            )
        try:
            return occurrences(steps)
        except TooManyOccurrencesError as error:
            raise FieldError("steps", "too_many", str(error)) from error

    def _alert(
        self,
        request: AlertRequest,
        said: tuple[str, str],
        recipients: Sequence[Recipient],
        plan: tuple[Occurrence, ...],
        lasts_s: int,
        account_id: str,
        key_id: str,
        source: str,
        trouble: Trouble,
    ) -> Alert:
        now = self._broker.clock.now()
        priority = Priority[request.priority.upper()]
        start_at = self._start(request, now)
        asked = request.acknowledgement
        people = len(deciding(plan, recipients, self._broker.names))
        return Alert(
            id=new_id("alt"),
            account_id=account_id,
            key_id=key_id,
            priority=priority,
            subject=said[0],
            text=said[1],
            files=len(request.attachments),
            language=request.language or self._settings.messages.language,
            reference=request.reference,
            source=source,
            group_key=trouble.key,
            sender=trouble.sender,
            ruled_by=trouble.ruled_by,
            within=trouble.within,
            rule=asked.rule if asked is not None else default_rule(priority),
            quorum=0 if asked is None else _quorum(asked.quorum or 0, people, source),
            confirm_within_s=asked.confirm_within_s if asked is not None else None,
            resend=(request.on_unknown or ("wait" if priority is Priority.BULK else "resend")) == "resend",
            exercise=request.exercise,
            sensitive=request.sensitive,
            callback_url=request.callback_url,
            people=people,
            recipients=recipients_to_json(recipients),
            steps=plan_to_json(plan),
            created_at=now,
            start_at=start_at,
            expires_at=start_at + timedelta(seconds=lasts_s),
            look_at=now,
        )

    def able(self, request: AlertRequest) -> int:
        """How many people can acknowledge what is asked for. Raises FieldError."""
        namesakes = Namesakes()
        recipients = namesakes.told_apart(self._recipients(request.recipients, "recipients"))
        return len(deciding(self._plan(request, namesakes), recipients, self._broker.names))

    @staticmethod
    def _start(request: AlertRequest, now: datetime) -> datetime:
        if request.send_at is None or request.send_at <= now:
            return now
        if request.send_at > now + SEND_AT_MAX:
            raise FieldError("send_at", "too_far", f"expected a time within {SEND_AT_MAX.days} days")
        return request.send_at.astimezone(UTC)

    async def accept(
        self, submission: Submission, *, idempotency: IdempotencyKey | None = None, shortfall: Shortfall | None = None
    ) -> Taken:
        """Puts the alert on disk and its deliveries on their way. Raises InsufficientCredit, IdempotencyConflict, StoreError."""
        broker, alert = self._broker, submission.alert
        planned: list[PlannedDelivery] = []
        first_at = due_at(submission.plan, 0, alert.start_at)
        if first_at is not None and first_at <= alert.created_at:
            planned = await self._planned(submission)
        reservation = self._reserve(planned)
        command = AcceptAlert(
            alert=alert,
            plan=submission.plan,
            planned=planned,
            idempotency=idempotency,
            shortfall=shortfall or SHORTFALLS[alert.priority],
            tariffs=broker.tariffs,
            attachments=submission.attachments,
            claim=None if reservation is None else broker.policy,
            reservation=reservation,
            given=submission.given,
            names=broker.names,
            aside=True,
        )
        try:
            taken = await self._taken(command)
        finally:
            if reservation is not None:  # what was claimed has begun by now; the rest was not needed
                reservation.close()
        if len(planned) > CHUNK and not (taken.replayed or taken.joined):
            broker.escalator.expand(alert.id, planned)
        return taken

    async def _taken(self, command: AcceptAlert) -> Taken:
        """The command's verdict. A large join is worked out beside the writer, and anew where the open alert has changed meanwhile."""
        broker, urgent = self._broker, command.alert.priority is Priority.EMERGENCY
        read = broker.store.read if urgent else broker.store.read_long
        for left in reversed(range(JOIN_TRIES)):
            try:
                return await broker.journal.do(command, urgent=urgent)
            except LargeJoinError as large:
                found = large.found
            rows = {alert.id: await read(lambda c, alert=alert: delivery_rows(c, alert.id)) for alert in found}  # type: ignore[misc]
            now, request = broker.clock.now(), command.request
            worked = await self._large.do(partial(work_out, found, request, rows, now), urgently=urgent)
            command = replace(command, worked=worked, aside=left > 0)
        return await broker.journal.do(command, urgent=urgent)

    async def _planned(self, submission: Submission) -> list[PlannedDelivery]:
        first, recipients, alert = submission.plan[0], submission.recipients, submission.alert
        plan = self._broker.planner.plan
        if len(first.chosen(recipients)) < LARGE:
            return plan(first, recipients, alert)
        urgently = alert.priority is Priority.EMERGENCY
        return await self._large.do(lambda: plan(first, recipients, alert), urgently=urgently)

    def _reserve(self, planned: Sequence[PlannedDelivery]) -> Reservation | None:
        """Slots for all planned deliveries, or none: a few go out at once, many through the queue."""
        wanted = Counter(delivery.provider for delivery in planned if delivery.provider)
        if not planned or len(planned) > AT_ONCE_MAX or wanted.total() < len(planned):
            return None
        reservation = Reservation(self._broker.dispatchers)
        for provider, n in wanted.items():
            if not reservation.add(provider, n):
                reservation.close()
                return None
        return reservation

    def dry_run(self, submission: Submission) -> dict[str, Any]:
        """Who would be tried when, over what, at what price: the first of them, and totals of all. Nothing is written.

        Takes 10 µs for each delivery: large ones are large work.
        """
        alert = submission.alert
        shown: list[dict[str, Any]] = []
        total = count = 0
        for n, occurrence in enumerate(submission.plan):
            at = due_at(submission.plan, n, alert.start_at)
            assert at is not None
            for planned in self._broker.planner.each(occurrence, submission.recipients, alert):
                total += planned.hold_micros
                count += 1
                if count <= SHOWN_MAX:
                    shown.append(planned.foreseen(n, at))
        return {"dry_run": True, "deliveries": shown, "deliveries_total": count, "total": format_amount(total)}


def _quorum(quorum: int, people: int, source: str) -> int:
    """The quorum, which no more than all can meet: raises FieldError, or for an intake's rule gives what can be met, since an alarm
    is never refused."""
    most = max(1, people)
    if quorum <= most:
        return quorum
    if source == SOURCE:
        told = "each person counts once, whatever their addresses, and so does an address that several share"
        raise FieldError("acknowledgement.quorum", "too_many", f"expected at most {most} people: {told}")
    log.error("quorum_lowered", source=source, quorum=quorum, people=most)
    return most


SHORTFALLS = {
    Priority.EMERGENCY: Shortfall.TAKE,
    Priority.HIGH: Shortfall.REFUSE_IF_NOTHING_GOES,
    Priority.NORMAL: Shortfall.REFUSE,
    Priority.BULK: Shortfall.REFUSE,
}


def _said(request: AlertRequest, language: str) -> tuple[str, str]:
    """(subject, text) of the request: its own, or those of the template it names. Raises FieldError."""
    if request.text is not None:
        return request.subject, request.text
    assert request.template is not None
    try:
        return render_named(request.template, request.variables, request.language or language)
    except TemplateError as error:
        raise FieldError(error.field, "invalid_template", error.detail) from error


def _readable(request: AlertRequest, written_in: str, text: str) -> None:
    """Raises FieldError for a text, subject or name in which there is nothing to read; what is left out is left out."""
    named = [(f"recipients[{n}].name", one.name) for n, one in enumerate(request.recipients)]
    named += [
        (f"steps[{n}].recipients[{m}].name", one.name)
        for n, step in enumerate(request.steps)
        for m, one in enumerate(step.recipients or ())
    ]
    for field, told in (
        (written_in, text or " "),
        ("subject", request.subject),
        ("reference", request.reference),
        *named,
    ):
        if told and is_blank(told):
            raise FieldError(field, "blank", BLANK)


def _attachments(request: AlertRequest) -> tuple[tuple[str, str, bytes], ...]:
    found = []
    size = 0
    for n, attachment in enumerate(request.attachments):
        try:
            content = attachment.decoded()
        except ValueError as error:
            raise FieldError(f"attachments[{n}].content", "invalid_base64", str(error)) from error
        size += len(content)
        if size > ATTACHMENT_BYTES_MAX:
            raise FieldError("attachments", "too_large", f"expected at most {ATTACHMENT_BYTES_MAX} bytes in all")
        found.append((attachment.name, attachment.content_type, content))
    return tuple(found)
