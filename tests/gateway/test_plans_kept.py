"""What is taken in happens: every step and repeat of a plan that fits into the life of its alert begins, and none twice."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from gateway.alert import Priority
from gateway.durations import Turn, contradictions
from gateway.escalation import Step, due_at, occurrences
from tests.gateway import desk as desks
from tests.gateway.desk import Desk

desk = desks.desk
store_url = desks.store_url


@pytest.mark.parametrize(
    ("turns", "life_s"),
    [
        ([Turn()], 10),
        ([Turn(), Turn(after_s=59)], 60),
        ([Turn(after_s=7, repeat=5, every_s=10)], 60),
        ([Turn(repeat=3, every_s=1000), Turn(after_s=500, repeat=2, every_s=1000), Turn(after_s=3599)], 3600),
    ],
)
async def test_every_step_of_a_plan_that_is_taken_begins(desk: Desk, turns: list[Turn], life_s: int) -> None:
    """The dry run against what really happens, second by second where something is due."""
    assert list(contradictions(turns, lasts_s=life_s, confirm_within_s=None, life="")) == []
    plan = occurrences([Step(after_s=t.after_s, repeat=t.repeat, every_s=t.every_s) for t in turns])
    alert_id = await desk.accept("sms:+33600000001", priority=Priority.HIGH, plan=plan, expires_s=life_s)
    clock = desk.clock
    start = clock.now()
    for n in range(len(plan)):
        at = due_at(plan, n, start)
        assert at is not None
        clock.move((at - clock.now()) / timedelta(seconds=1))
        await desk.tick()
    written = Counter(delivery.step for delivery in await desk.deliveries(alert_id))
    assert written == Counter(range(len(plan)))
