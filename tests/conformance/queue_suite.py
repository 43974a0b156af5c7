"""What every queue must do, whichever it is: one suite, run by a test file for each implementation."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from gateway.queue.port import Queue, Ticket, Urgency

SOON_S = 30.0
"""Nothing here takes long; this only ends a test that would wait for ever."""


def tickets(urgency: Urgency, *names: str | int) -> list[Ticket]:
    return [Ticket(delivery_id=f"dlv_{name}", urgency=urgency) for name in names]


def many(urgency: Urgency, n: int) -> list[Ticket]:
    return tickets(urgency, *(f"{urgency.name.lower()}_{i}" for i in range(n)))


def ids(taken: Sequence[Ticket]) -> list[str]:
    return [ticket.delivery_id for ticket in taken]


async def take(queue: Queue, limit: int, *, provider: str = "carrier-a", urgent_only: bool = False) -> list[Ticket]:
    async with asyncio.timeout(SOON_S):
        return await queue.take(provider, limit, urgent_only=urgent_only)


async def take_all(queue: Queue, n: int, limit: int = 100) -> list[Ticket]:
    """Takes until `n` tickets are here, handing each batch to done."""
    taken: list[Ticket] = []
    while len(taken) < n:
        batch = await take(queue, limit)
        await queue.done("carrier-a", batch)
        taken += batch
    return taken


class QueueSuite:
    async def test_announced_is_taken(self, queue: Queue) -> None:
        await queue.announce("carrier-a", tickets(Urgency.NORMAL, 1, 2, 3))
        taken = await take(queue, 10)
        assert ids(taken) == ["dlv_1", "dlv_2", "dlv_3"]
        assert {ticket.urgency for ticket in taken} == {Urgency.NORMAL}

    async def test_limit_is_kept_and_the_rest_stays(self, queue: Queue) -> None:
        await queue.announce("carrier-a", many(Urgency.NORMAL, 10))
        assert [len(await take(queue, 4)) for _ in range(3)] == [4, 4, 2]

    async def test_providers_are_apart(self, queue: Queue) -> None:
        await queue.announce("carrier-a", tickets(Urgency.NORMAL, "a"))
        await queue.announce("carrier-b", tickets(Urgency.NORMAL, "b"))
        assert ids(await take(queue, 10, provider="carrier-b")) == ["dlv_b"]
        assert ids(await take(queue, 10, provider="carrier-a")) == ["dlv_a"]

    async def test_announcing_nothing_is_harmless(self, queue: Queue) -> None:
        await queue.announce("carrier-a", [])
        assert await queue.depth("carrier-a") == 0

    async def test_take_waits_for_the_first(self, queue: Queue) -> None:
        waiting = asyncio.create_task(take(queue, 10))
        await asyncio.sleep(0)
        assert not waiting.done()
        await queue.announce("carrier-a", tickets(Urgency.BULK, 1))
        assert ids(await waiting) == ["dlv_1"]

    async def test_cancelled_take_loses_nothing(self, queue: Queue) -> None:
        """Takes are cancelled at every point between waiting and having, while tickets arrive one by one."""
        announced, taken = [], []
        for i in range(60):
            taking = asyncio.create_task(queue.take("carrier-a", 1))
            for _ in range(i % 7):
                await asyncio.sleep(0)
            announced += tickets(Urgency.NORMAL, i)
            announcing = asyncio.create_task(queue.announce("carrier-a", announced[-1:]))
            for _ in range(i % 11):
                await asyncio.sleep(0)
            taking.cancel()
            done, _ = await asyncio.wait([taking])
            taken += [ticket for task in done if not task.cancelled() for ticket in task.result()]
            await announcing
        while len(taken) < len(announced):
            taken += await take(queue, 100)
        assert sorted(ids(taken)) == sorted(ids(announced))

    async def test_duplicates_are_harmless(self, queue: Queue) -> None:
        for _ in range(3):
            await queue.announce("carrier-a", tickets(Urgency.NORMAL, 1, 2))
        await queue.announce("carrier-a", tickets(Urgency.BULK, "last"))
        seen: Counter[str] = Counter()
        while await queue.depth("carrier-a"):
            taken = await take(queue, 10)
            seen.update(ids(taken))
            await queue.done("carrier-a", taken)
        assert set(seen) == {"dlv_1", "dlv_2", "dlv_last"}
        assert max(seen.values()) <= 3

    async def test_announced_again_while_in_hand_comes_again(self, queue: Queue) -> None:
        await queue.announce("carrier-a", tickets(Urgency.NORMAL, 1))
        first = await take(queue, 1)
        await queue.announce("carrier-a", tickets(Urgency.NORMAL, 1))
        assert ids(await take(queue, 1)) == ids(first)

    async def test_emergency_first_then_by_urgency(self, queue: Queue) -> None:
        for urgency in reversed(Urgency):
            await queue.announce("carrier-a", many(urgency, 2))
        assert [ticket.urgency for ticket in await take(queue, 8)] == sorted([*Urgency, *Urgency])

    async def test_emergency_passes_a_flood(self, queue: Queue) -> None:
        for urgency in (Urgency.BULK, Urgency.NORMAL, Urgency.HIGH):
            await queue.announce("carrier-a", many(urgency, 1500))
        await take(queue, 10)
        await queue.announce("carrier-a", tickets(Urgency.EMERGENCY, "fire"))
        assert ids(await take(queue, 10))[0] == "dlv_fire"

    async def test_reserved_slots_find_the_emergency_behind_a_flood(self, queue: Queue) -> None:
        await queue.announce("carrier-a", many(Urgency.HIGH, 1500))
        waiting = asyncio.create_task(take(queue, 10, urgent_only=True))
        await take(queue, 10)
        assert not waiting.done()
        await queue.announce("carrier-a", tickets(Urgency.EMERGENCY, "fire"))
        assert ids(await waiting) == ["dlv_fire"]

    async def test_raised_urgency_is_not_held_back(self, queue: Queue) -> None:
        await queue.announce("carrier-a", [*many(Urgency.BULK, 50), *tickets(Urgency.BULK, 1)])
        await queue.announce("carrier-a", tickets(Urgency.EMERGENCY, 1))
        first = (await take(queue, 1))[0]
        assert (first.delivery_id, first.urgency) == ("dlv_1", Urgency.EMERGENCY)

    async def test_nothing_starves(self, queue: Queue) -> None:
        for urgency in (Urgency.HIGH, Urgency.NORMAL, Urgency.BULK):
            await queue.announce("carrier-a", many(urgency, 200))
        for limit in (13, 26, 130):
            seen = Counter(ticket.urgency for ticket in await take(queue, limit))
            assert seen == {Urgency.HIGH: limit // 13 * 8, Urgency.NORMAL: limit // 13 * 4, Urgency.BULK: limit // 13}

    async def test_nothing_starves_one_by_one(self, queue: Queue) -> None:
        for urgency in (Urgency.HIGH, Urgency.NORMAL, Urgency.BULK):
            await queue.announce("carrier-a", many(urgency, 40))
        seen = Counter([(await take(queue, 1))[0].urgency for _ in range(39)])
        assert seen == {Urgency.HIGH: 24, Urgency.NORMAL: 12, Urgency.BULK: 3}

    async def test_concurrent_takers_get_different_tickets(self, queue: Queue) -> None:
        takers = [asyncio.create_task(take_all(queue, 25, limit=5)) for _ in range(4)]
        for first in range(0, 140, 20):
            await queue.announce("carrier-a", tickets(Urgency.NORMAL, *range(first, first + 20)))
        taken = [ticket for batch in await asyncio.gather(*takers) for ticket in batch]
        assert len(set(ids(taken))) == len(taken) >= 100

    async def test_depth_counts_until_done(self, queue: Queue) -> None:
        await queue.announce("carrier-a", many(Urgency.NORMAL, 5))
        await queue.announce("carrier-a", many(Urgency.EMERGENCY, 2))
        assert await queue.depth("carrier-a") == 7
        taken = await take(queue, 3)
        assert await queue.depth("carrier-a") == 7
        await queue.done("carrier-a", taken)
        assert await queue.depth("carrier-a") == 4
        await queue.done("carrier-a", taken)
        assert await queue.depth("carrier-a") == 4
        assert await queue.depth("carrier-b") == 0

    async def test_ten_thousand_pass(self, queue: Queue) -> None:
        await queue.announce("carrier-a", many(Urgency.BULK, 10_000))
        taken = await take_all(queue, 10_000, limit=1000)
        assert len(set(ids(taken))) == 10_000
        assert await queue.depth("carrier-a") == 0

    async def test_subscribers_hear_their_topic(self, queue: Queue) -> None:
        first, second, other = queue.subscribe("cancel"), queue.subscribe("cancel"), queue.subscribe("live")
        await queue.publish("cancel", b"\x00dlv_1")
        await queue.publish("nobody", b"?")
        await queue.publish("live", b"")
        async with asyncio.timeout(SOON_S):
            assert [await anext(first), await anext(second), await anext(other)] == [b"\x00dlv_1", b"\x00dlv_1", b""]

    async def test_slow_subscriber_loses_the_oldest(self, queue: Queue) -> None:
        slow = queue.subscribe("live")
        for i in range(1030):
            await queue.publish("live", str(i).encode())
        async with asyncio.timeout(SOON_S):
            assert await anext(slow) == b"6"

    async def test_closing_ends_takes_and_subscriptions(self, queue: Queue) -> None:
        taking = asyncio.create_task(queue.take("carrier-a", 1))
        hearing = queue.subscribe("live")
        await asyncio.sleep(0)
        await queue.close()
        async with asyncio.timeout(SOON_S):
            (result,) = await asyncio.gather(taking, return_exceptions=True)
            assert isinstance(result, Exception)
            assert type(result).__name__ == "QueueUnavailable"
            assert [payload async for payload in hearing] == []
        await queue.close()

    async def test_ping(self, queue: Queue) -> None:
        await queue.ping()
