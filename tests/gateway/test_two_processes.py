"""Two processes on one PostgreSQL: what they do at the same moment ends as if one had been first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.delivery import State
from tests.gateway import desk as desks
from tests.gateway.answers import accepted, delivered
from tests.gateway.desk import Desk


@pytest.fixture
async def pair(postgresql_url: str) -> AsyncIterator[tuple[Desk, Desk]]:
    """Two desks on the same database, each with a journal of its own."""
    async with desks.seeded(postgresql_url) as one:
        two = await one.beside()
        try:
            yield one, two
        finally:
            await two.close()


async def test_the_same_trouble_told_to_both_is_one_alert(pair: tuple[Desk, Desk]) -> None:
    for k in range(5):
        told = (desk.accept("sms:+33600000001", reference=f"r{k}") for desk in pair)
        assert len(set(await asyncio.gather(*told))) == 1


async def test_a_receipt_committed_beside_its_answer_is_matched(pair: tuple[Desk, Desk]) -> None:
    one, two = pair
    sent = []
    for k in range(5):
        delivery = await one.one()
        claim = await one.claimed(delivery)
        await asyncio.gather(one.record(claim, accepted(f"i{k}")), two.report(delivered(f"i{k}")))
        sent.append(delivery)
    await one.tick()
    assert {await one.state(delivery) for delivery in sent} == {State.DELIVERED}
    assert await one.count("early_receipts") == 0


async def test_the_last_deliveries_settled_by_both_end_the_alert(pair: tuple[Desk, Desk]) -> None:
    one, two = pair
    for k in range(5):
        alert = await one.accept("sms:+33600000001", "sms:+33600000002")
        first, second = [delivery.id for delivery in await one.deliveries(alert)]
        await one.sent(first, f"a{k}")
        await one.sent(second, f"b{k}")
        await asyncio.gather(one.report(delivered(f"a{k}")), two.report(delivered(f"b{k}")))
        assert (await one.alert_row(alert)).status == "completed"
