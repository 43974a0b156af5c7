"""What a rule of the settings asks for, as a request for an alert. Which intake it is for, and what is said, is theirs."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from gateway.addressing import AddressRefused
from gateway.alert_request import AcknowledgementIn, AlertRequest, RecipientIn, StepIn
from gateway.planning import Planner
from gateway.settings import RecipientSettings, RuleSettings

log = structlog.get_logger(__name__)


class NotTaken(Exception):  # noqa: N818 - a verdict
    """Nothing was taken. `code` is stable: ``no_rule``, ``unknown_account`` or ``nobody_to_reach``; the text says why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def request_of(rule: RuleSettings, planner: Planner) -> tuple[AlertRequest, list[str]]:
    """What the rule asks for, with the recipients that can be reached, and why the others cannot. Raises NotTaken."""
    skipped: list[str] = []
    recipients = _reachable(planner, rule.recipients, "recipients", skipped)
    steps = []
    for n, step in enumerate(rule.steps):
        own = _reachable(planner, step.recipients, f"steps[{n}].recipients", skipped) if step.recipients else None
        if own is None or own:
            repeats = {} if step.every_s is None else {"every_s": step.every_s}
            steps.append(
                StepIn(after_s=step.after_s, channels=step.channels, recipients=own, repeat=step.repeat, **repeats)
            )
    if skipped:
        log.warning("rule_recipients_skipped", rule=rule.name, skipped=len(skipped))
    recipients = recipients or next((step.recipients for step in steps if step.recipients), ())
    if not recipients:
        raise NotTaken("nobody_to_reach", f"the rule {rule.name} reaches nobody: {'; '.join(skipped)}")
    asked = rule.acknowledgement
    request = AlertRequest(
        text="-",
        priority=rule.priority,
        language=rule.language,
        recipients=recipients,
        steps=tuple(steps),
        acknowledgement=None if asked is None else AcknowledgementIn.model_validate(asked.model_dump()),
        on_unknown=rule.on_unknown,
        expires_after_s=rule.expires_after_s,
    )
    return request, skipped


def reachable(planner: Planner, recipients: Sequence[RecipientSettings]) -> tuple[RecipientIn, ...]:
    """The recipients of the settings without addresses that cannot be used."""
    return _reachable(planner, recipients, "recipients", [])


def _reachable(
    planner: Planner, given: Sequence[RecipientSettings], place: str, skipped: list[str]
) -> tuple[RecipientIn, ...]:
    """One wrong address must not silence an alarm: it is left out, and said."""
    found = []
    for n, recipient in enumerate(given):
        addresses = []
        for m, address in enumerate(recipient.addresses):
            try:
                addresses.append(planner.canonical(address))
            except AddressRefused as refused:
                skipped.append(f"{place}[{n}].addresses[{m}]: {refused}")
        if addresses:
            found.append(RecipientIn(name=recipient.name, language=recipient.language, addresses=tuple(addresses)))
    return tuple(found)
