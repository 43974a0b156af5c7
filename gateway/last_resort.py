"""Reaching nobody is loud: an alert that ends failed or expired raises another one, to the people the settings name for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from gateway.alert import Alert, Rule, Status
from gateway.decisions import EverybodyDeclined
from gateway.escalation import Recipient, occurrences, plan_to_json, recipients_to_json
from gateway.ids import new_id
from gateway.progress import AlertEnded
from gateway.store.unit import Unit

SOURCE = "last_resort"
LOUD = frozenset({Status.FAILED.value, Status.EXPIRED.value})
QUOTED_MAX = 300  # characters of the alert's own text in the notice: two or three SMS parts


@dataclass(frozen=True, kw_only=True)
class LastResort:
    """Whom to tell, and for how long to try. Without recipients nobody is told, and `tocsin check` says so."""

    recipients: Sequence[Recipient] = ()
    expires_after_s: int = 4 * 3600
    _plan: str = field(default_factory=lambda: plan_to_json(occurrences(())), init=False)

    def follow(self, unit: Unit) -> None:
        """Writes a notice for every alert that this unit ended without reaching anybody, or that everybody declined, in the
        same transaction."""
        if not self.recipients:
            return
        for signal in list(unit.signals):
            match signal:
                case AlertEnded() if signal.status in LOUD:
                    self._tell(unit, signal.alert_id)
                case EverybodyDeclined():
                    self._tell(unit, signal.alert_id, "Everybody declined")
        unit.flush()

    def _tell(self, unit: Unit, alert_id: str, what: str = "") -> None:
        alert = unit.alert(alert_id)
        if alert is not None and alert.source != SOURCE:
            notice = self._notice(unit, alert, what or _why(alert))
            unit.add(notice)
            unit.event(alert.id, "last_resort", notice.id)

    def _notice(self, unit: Unit, alert: Alert, what: str) -> Alert:
        quoted = alert.text if not alert.sensitive else ""
        return Alert(
            id=new_id("alt"),
            account_id=alert.account_id,
            key_id=alert.key_id,
            priority=alert.priority,
            subject=what,
            text=f"{what}, alert {alert.id}: {quoted[:QUOTED_MAX]}",
            language=alert.language,
            reference=None,
            source=SOURCE,
            group_key=f"{SOURCE}:{alert.id}",
            rule=Rule.NONE,
            exercise=alert.exercise,
            people=len(self.recipients),
            recipients=recipients_to_json(self.recipients),
            steps=self._plan,
            step_at=unit.now,
            created_at=unit.now,
            start_at=unit.now,
            expires_at=unit.now + timedelta(seconds=self.expires_after_s),
            look_at=unit.now,
        )


def _why(alert: Alert) -> str:
    """What went wrong with an alert that ended failed or expired."""
    if alert.status is Status.FAILED:
        return "Nobody was reached"
    return "Nobody acknowledged in time" if alert.confirm_within_s is None else "Nobody took it in charge in time"
