"""Receipts on both databases: early, late, twice, out of order, for parts, for former attempts; state and money are right."""

from __future__ import annotations

import pytest

from channels.outcome import PermanentFailure, Reason
from gateway.delivery import State
from tests.gateway import desk as desks
from tests.gateway.desk import (
    B,
    LEASE_S,
    UNSURE_S,
    Desk,
    accepted,
    delivered,
    enroute,
    throttled,
    unanswered,
    undelivered,
)

desk = desks.desk
store_url = desks.store_url
TWO_PARTS = "x" * 200
ALONE = "sms:+44600000001"


async def test_delivered_after_the_answer(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1")
    assert await desk.state(one) == State.ACCEPTED
    assert await desk.spent() == (1, 0)
    await desk.report(delivered("id-1"))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.spent() == (0, 1)
