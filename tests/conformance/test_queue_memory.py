"""The queue in memory: the suite for every queue, and what only this one promises."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.queue.memory import MemoryQueue
from gateway.queue.port import Queue, QueueUnavailable, Urgency
from gateway.queue.shares import WEIGHTS, Shares
from tests.conformance.queue_suite import QueueSuite, ids, many, take, tickets

OTHERS_MAX: dict[Urgency, int] = {Urgency.HIGH: 2, Urgency.NORMAL: 4, Urgency.BULK: 14}
"""How many tickets of other urgencies below emergency can at most go before one that waits, so that none starves.
Between two tickets of an urgency the positions move by its stride, in which another goes stride / its own + 1 times."""


@pytest.fixture
async def queue() -> AsyncIterator[Queue]:
    queue = MemoryQueue()
    await queue.start()
    yield queue
    await queue.close()


class TestMemoryQueue(QueueSuite):
    def test_is_private(self, queue: Queue) -> None:
        assert not queue.shared

    async def test_waiting_once_is_enough(self, queue: Queue) -> None:
        for _ in range(3):
            await queue.announce("carrier-a", tickets(Urgency.NORMAL, 1, 2))
        assert ids(await take(queue, 10)) == ["dlv_1", "dlv_2"]

    async def test_ping_after_close(self, queue: Queue) -> None:
        await queue.close()
        with pytest.raises(QueueUnavailable):
            await queue.ping()


async def test_flood_is_dropped_and_counted_and_shuts_out_no_emergency() -> None:
    queue = MemoryQueue(waiting_max=100)
    await queue.announce("carrier-a", many(Urgency.BULK, 130))
    await queue.announce("carrier-a", many(Urgency.EMERGENCY, 1))
    assert queue.dropped == 30
    assert await queue.depth("carrier-a") == 101
    assert (await take(queue, 1))[0].urgency is Urgency.EMERGENCY


async def test_ten_thousand_in_and_out_in_20_ms() -> None:
    work = [ticket for urgency in Urgency for ticket in many(urgency, 2500)]

    async def once() -> float:
        queue = MemoryQueue()
        began = time.process_time()
        await queue.announce("carrier-a", work)
        taken = await queue.take("carrier-a", len(work))
        await queue.done("carrier-a", taken)
        return time.process_time() - began

    assert min([await once() for _ in range(5)]) < 0.020


waits = st.lists(st.integers(0, 40), min_size=4, max_size=4)


@given(st.lists(st.tuples(waits, st.integers(1, 300)), max_size=30))
def test_shares_give_what_waits_up_to_the_limit(takes: list[tuple[list[int], int]]) -> None:
    shares = Shares()
    for waiting, limit in takes:
        granted = shares.split(waiting, limit)
        assert sum(granted) == min(limit, sum(waiting))
        assert all(0 <= gone <= there for gone, there in zip(granted, waiting, strict=True))
        assert granted[Urgency.EMERGENCY] == min(limit, waiting[Urgency.EMERGENCY])


@given(st.data(), st.sampled_from(list(WEIGHTS)))
def test_what_waits_goes_after_a_bounded_number_of_others(data: st.DataObject, patient: Urgency) -> None:
    """Others come and go as they like before and meanwhile, and takes are of one ticket, the hardest case."""
    shares = Shares()
    below_emergency = st.lists(st.integers(0, 3), min_size=len(WEIGHTS), max_size=len(WEIGHTS))
    for others in data.draw(st.lists(below_emergency, max_size=40)):
        shares.split([0, *others], 1)
    for _ in range(OTHERS_MAX[patient] + 1):
        waiting = [0, *data.draw(below_emergency)]
        waiting[patient] = 1
        if shares.split(waiting, 1)[patient]:
            return
    pytest.fail(f"{patient.name} starved")


@given(st.integers(1, 2000), st.sets(st.sampled_from(list(WEIGHTS)), min_size=1), st.integers(1, 50))
def test_shares_are_the_weights_over_any_run(total: int, active: set[Urgency], limit: int) -> None:
    shares = Shares()
    waiting = [10_000 if urgency in active else 0 for urgency in Urgency]
    granted = [0] * len(Urgency)
    for _ in range(0, total, limit):
        granted = [had + got for had, got in zip(granted, shares.split(waiting, limit), strict=True)]
    for urgency in active:
        fair = sum(granted) * WEIGHTS[urgency] / sum(WEIGHTS[other] for other in active)
        assert abs(granted[urgency] - fair) < 3
