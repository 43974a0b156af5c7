"""Alarms that people raise by phone: a line of the settings becomes an alert by the rules with ``source = "phone"``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog

from billing.ledger import InsufficientCredit
from gateway.administration import get_account
from gateway.broker import Broker
from gateway.frozen import replace
from gateway.held import until_written
from gateway.ids import new_id
from gateway.intake import IdempotencyKey, Shortfall, Taken
from gateway.rules import NotTaken, request_of
from gateway.settings import LineSettings, RuleSettings
from gateway.settings_rules import PHONE, rule_for_line
from gateway.store.errors import StoreError, StoreUnavailable
from gateway.store.unit import Unit, Wants
from gateway.submission import ATTACHMENT_BYTES_MAX, FieldError, Submissions

log = structlog.get_logger(__name__)

RECORDING = "recording.wav"


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachRecording:
    """Command: adds what the caller said to the alert; what leaves from now on by e-mail carries it."""

    alert_id: str
    wav: bytes
    weight: int = 4

    def prefetch(self, wants: Wants) -> None:
        wants.alerts.add(self.alert_id)

    def apply(self, unit: Unit) -> bool:
        alert = unit.alert(self.alert_id)
        if alert is None or len(self.wav) > ATTACHMENT_BYTES_MAX:
            return False
        n = alert.files + 1
        unit.insert("attachments", alert.id, n, RECORDING, "audio/wav", self.wav)
        unit.put(replace(alert, files=n))
        unit.event(alert.id, "recorded", RECORDING)
        return True


class PhoneAlarms:
    """Raises the alarms of lines."""

    def __init__(self, broker: Broker, submissions: Submissions) -> None:
        self._broker = broker
        self._submissions = submissions
        self._raising: dict[str, asyncio.Task[str | None]] = {}
        """By line: so many may wait for the store, and no more."""

    def rule_for(self, line: LineSettings) -> RuleSettings | None:
        """The first rule that is for this line."""
        return rule_for_line(self._broker.settings.rules, line.name)

    async def raise_alarm(self, line: LineSettings) -> str | None:
        """The id of the alert once it is on disk, however long the store is away (`gateway.held`); None where there is none, and
        the log says why. Whoever raises it while it is being raised means the same one."""
        raising = self._raising.get(line.name)
        if raising is None:
            raising = asyncio.get_running_loop().create_task(self._raise(line))
            self._raising[line.name] = raising
            raising.add_done_callback(lambda _: self._raising.pop(line.name))
        return await asyncio.shield(raising)

    async def _raise(self, line: LineSettings) -> str | None:
        rule = self.rule_for(line)
        if rule is None:
            log.error("alarm_not_raised", line=line.name, error='no rule with source = "phone" is for this line')
            return None
        # one key for all tries: one that seemed to fail may have been written
        key = IdempotencyKey(account_id=rule.account, route=PHONE, key=new_id("alarm"), digest=b"")
        try:
            taken = await until_written(partial(self._accept, line, rule, key), self._broker.clock)
        except (NotTaken, FieldError, StoreError, InsufficientCredit) as error:
            log.error("alarm_not_raised", line=line.name, rule=rule.name, error=str(error))
            return None
        except asyncio.CancelledError:
            log.error("alarm_not_raised", line=line.name, rule=rule.name, error="the process ended")
            raise
        except Exception:
            log.exception("alarm_not_raised", line=line.name, rule=rule.name)
            return None
        log.warning("alarm_raised", line=line.name, rule=rule.name, alert=taken.alert_id)
        return taken.alert_id

    async def _accept(self, line: LineSettings, rule: RuleSettings, key: IdempotencyKey) -> Taken:
        try:
            if await self._broker.store.read(lambda connection: get_account(connection, rule.account)) is None:
                raise NotTaken("unknown_account", f"the rule charges the account {rule.account}: there is none")
            request, _ = request_of(rule, self._broker.planner)
            changes = {"text": line.text, "language": rule.language or line.language}
            submission = self._submissions.prepare(
                request.model_copy(update=changes), account_id=rule.account, key_id="", source=PHONE
            )
            return await self._submissions.accept(submission, idempotency=key, shortfall=Shortfall.TAKE)
        except StoreUnavailable as error:
            log.error("alarm_not_raised_yet", line=line.name, rule=rule.name, error=str(error))
            raise

    async def attach(self, alert_id: str, wav: bytes) -> bool:
        """Whether the recording is with the alert now."""
        try:
            return await self._broker.journal.do(AttachRecording(alert_id=alert_id, wav=wav))
        except StoreError as error:
            log.warning("recording_not_attached", alert=alert_id, error=str(error))
            return False
