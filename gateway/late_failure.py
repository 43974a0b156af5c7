"""What follows when a delivery that was settled turns out not to have arrived: another one over the next provider, in time."""

from __future__ import annotations

from gateway import alert as alerts
from gateway.alert import Status
from gateway.delivery import ANNOUNCED_AGAIN, Decision, Delivery, NextAttempt, State
from gateway.frozen import replace
from gateway.ids import new_id
from gateway.progress import Announced, change_alert
from gateway.queue.port import Urgency
from gateway.store.unit import Unit

SENT_ANEW = "sent_anew"  # a line of the timeline: the delivery that takes the place of one that failed late


def try_elsewhere(unit: Unit, failed: Delivery, decision: Decision) -> None:
    """Writes the delivery that takes the failed one's place, if there is somewhere to go, time left, and somebody to tell.

    The money of the failed one is final, so this one costs nothing. An alert that was completed by the failed one is active
    again. Where nothing can follow, the end of the batch corrects what the alert ended as (`alerts.settled`).
    """
    alert = unit.alert(failed.alert_id)
    if alert is None or not isinstance(decision, NextAttempt) or failed.cancel_requested:
        return
    if unit.now >= failed.deadline_at or (alert.ended_at is not None and alert.status is not Status.COMPLETED):
        return
    if alert.status is Status.COMPLETED:
        change_alert(unit, alert, alerts.reopened(alert))
    anew = replace(
        failed,
        id=new_id("dlv"),
        state=State.QUEUED,
        code="",
        provider=decision.provider,
        exhausted=tuple(dict.fromkeys((*failed.exhausted, failed.provider))),
        epoch=0,
        chain=0,
        tries=0,
        price_micros=0,
        hold_micros=0,
        captured_micros=0,
        tariff_id=None,
        created_at=unit.now,
        due_at=decision.at,
        look_at=min(unit.now + ANNOUNCED_AGAIN, failed.deadline_at),
        settled_at=None,
    )
    unit.add(anew)
    unit.event(alert.id, SENT_ANEW, anew.id, failed.id)
    unit.signal(Announced(anew.provider, anew.id, Urgency(anew.urgency), anew.due_at))
