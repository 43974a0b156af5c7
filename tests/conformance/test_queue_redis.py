"""The queue on Redis: the suite for every queue against a real server, and the loss of that server and of its users."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.queue.port import Queue, QueueUnavailable, Urgency
from gateway.queue.redis_streams import RedisStreamsQueue
from tests.conformance.queue_suite import SOON_S, QueueSuite, ids, many, take, take_all, tickets
from tests.peers import redis as peer
from tests.peers.redis import RedisServer

redis_server = peer.redis_server

Connect = Callable[..., Awaitable[RedisStreamsQueue]]


@pytest.fixture
async def connect(redis_server: RedisServer) -> AsyncIterator[Connect]:
    """Another process's queue on the same Redis, as often as it is called."""
    async with contextlib.AsyncExitStack() as opened:

        async def connect(*, claim_idle_s: float = 60.0, command_s: float = 10.0) -> RedisStreamsQueue:
            queue = RedisStreamsQueue(redis_server.url, prefix="test:", claim_idle_s=claim_idle_s, command_s=command_s)
            await queue.start()
            opened.push_async_callback(queue.close)
            return queue

        yield connect


@pytest.fixture
async def queue(connect: Connect) -> RedisStreamsQueue:
    return await connect()


async def announced_until_taken(announcer: Queue, taking: asyncio.Task[list[str]], *names: str) -> list[str]:
    """What the rescuer does: announces due work again until it was looked at."""
    async with asyncio.timeout(SOON_S):
        while not taking.done():
            await announcer.announce("carrier-a", tickets(Urgency.NORMAL, *names))
            await asyncio.wait([taking], timeout=0.05)
    return await taking


async def taken_until(queue: Queue, wanted: set[str]) -> list[str]:
    """Takes on and on, until every wanted delivery came by."""
    taken: list[str] = []
    while not wanted <= set(taken):
        batch = await queue.take("carrier-a", 10)
        await queue.done("carrier-a", batch)
        taken += ids(batch)
    return taken


class TestRedisStreamsQueue(QueueSuite):
    def test_is_shared(self, queue: Queue) -> None:
        assert queue.shared


class TestSeveralProcesses:
    async def test_taken_by_one_of_them(self, connect: Connect) -> None:
        announcer, one, other = await connect(), await connect(), await connect()
        takers = [asyncio.create_task(take_all(queue, 40, limit=7)) for queue in (one, other)]
        await announcer.announce("carrier-a", many(Urgency.NORMAL, 100))
        taken = [ticket for batch in await asyncio.gather(*takers) for ticket in batch]
        assert len(set(ids(taken))) == len(taken) >= 80

    async def test_waiting_taker_is_woken_by_the_call(self, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.queue.redis_streams.POLL_S", 3600.0)
        announcer, taker = await connect(), await connect(claim_idle_s=7200.0)
        taking = asyncio.create_task(take(taker, 1))
        await asyncio.wait([taking], timeout=0.1)
        await announcer.announce("carrier-a", tickets(Urgency.EMERGENCY, 1))
        assert ids(await taking) == ["dlv_1"]

    async def test_topics_reach_the_others(self, connect: Connect) -> None:
        one, other = await connect(), await connect()
        here, there = one.subscribe("cancel"), other.subscribe("cancel")
        await one.publish("cancel", b"first")
        await one.publish("cancel", b"second")
        async with asyncio.timeout(SOON_S):
            assert [await anext(here), await anext(here)] == [b"first", b"second"]
            assert [await anext(there), await anext(there)] == [b"first", b"second"]

    async def test_dead_consumers_tickets_are_claimed(self, connect: Connect) -> None:
        dying, heir = await connect(), await connect(claim_idle_s=0.2)
        await dying.announce("carrier-a", many(Urgency.NORMAL, 600))
        in_hand = await take(dying, 600)
        assert in_hand  # and from here on the first process is never heard of again
        taken = await take_all(heir, 600)
        assert set(ids(taken)) == set(ids(many(Urgency.NORMAL, 600)))
        assert await heir.depth("carrier-a") == 0

    async def test_closing_gives_back_what_waits(self, connect: Connect) -> None:
        leaving, staying = await connect(), await connect()
        await leaving.announce("carrier-a", [*many(Urgency.HIGH, 10), *many(Urgency.BULK, 10)])
        in_hand = await take(leaving, 10)
        await leaving.done("carrier-a", in_hand)
        await leaving.close()
        taken = await take_all(staying, 10)
        assert len({*ids(in_hand), *ids(taken)}) == 20
        assert await staying.depth("carrier-a") == 0

    async def test_foreign_entries_are_removed(self, queue: RedisStreamsQueue, redis_server: RedisServer) -> None:
        await redis_server.command("XADD test:queue:carrier-a:normal * what ever")
        await queue.announce("carrier-a", tickets(Urgency.NORMAL, 1))
        taken = await take(queue, 10)
        assert ids(taken) == ["dlv_1"]
        await queue.done("carrier-a", taken)
        assert await queue.depth("carrier-a") == 0

    async def test_consumers_long_gone_are_forgotten(
        self, connect: Connect, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for i in range(3):
            monkeypatch.setattr("gateway.queue.redis_streams.CONSUMER_FORGOTTEN_S", -1.0)
            queue = await connect()
            await queue.announce("carrier-a", tickets(Urgency.BULK, i))
            await queue.done("carrier-a", await take(queue, 1))
        assert await redis_server.command("XINFO CONSUMERS test:queue:carrier-a:bulk workers") == b"*1\r\n"


class TestLosingRedis:
    async def test_flushed_in_the_middle(self, queue: RedisStreamsQueue, redis_server: RedisServer) -> None:
        await queue.announce("carrier-a", many(Urgency.NORMAL, 20))
        in_hand = await take(queue, 5)
        await redis_server.flush()
        await queue.done("carrier-a", in_hand)
        wanted = {f"dlv_again_{i}" for i in range(20)}
        taking = asyncio.create_task(taken_until(queue, wanted))
        await announced_until_taken(queue, taking, *(f"again_{i}" for i in range(20)))
        assert wanted <= set(taking.result())

    async def test_flushed_under_a_waiting_taker(self, queue: RedisStreamsQueue, redis_server: RedisServer) -> None:
        taking = asyncio.create_task(take(queue, 5))
        await asyncio.wait([taking], timeout=0.1)
        await redis_server.flush()
        await queue.announce("carrier-a", tickets(Urgency.HIGH, "after"))
        assert ids(await taking) == ["dlv_after"]

    async def test_killed_and_restarted_in_the_middle(self, connect: Connect, redis_server: RedisServer) -> None:
        announcer, taker = await connect(), await connect()
        await announcer.announce("carrier-a", many(Urgency.NORMAL, 20))
        in_hand = await take(taker, 5)
        waiting = asyncio.create_task(take(taker, 5, urgent_only=True))
        await redis_server.kill()
        await announcer.announce("carrier-a", many(Urgency.NORMAL, 3))
        assert announcer.dropped == 3
        await taker.done("carrier-a", in_hand)
        with pytest.raises(QueueUnavailable):
            await taker.ping()
        with pytest.raises(QueueUnavailable):
            await taker.depth("carrier-a")
        await redis_server.restart()
        wanted = {f"dlv_again_{i}" for i in range(20)}
        taking = asyncio.create_task(taken_until(taker, wanted))
        await announced_until_taken(announcer, taking, *(f"again_{i}" for i in range(20)))
        assert not waiting.done()
        await announcer.announce("carrier-a", tickets(Urgency.EMERGENCY, "fire"))
        assert ids(await waiting) == ["dlv_fire"]
        await taker.ping()

    async def test_topics_are_heard_again_after_a_restart(self, connect: Connect, redis_server: RedisServer) -> None:
        one, other = await connect(), await connect()
        here, there = one.subscribe("cancel"), other.subscribe("cancel")
        await redis_server.kill()
        await one.publish("cancel", b"while away")
        assert await anext(here) == b"while away", "a process hears itself without Redis"
        await redis_server.restart()
        hearing = asyncio.ensure_future(anext(there))
        async with asyncio.timeout(SOON_S):
            while not hearing.done():
                await one.publish("cancel", b"back")
                await asyncio.wait([hearing], timeout=0.05)
        assert hearing.result() == b"back"

    async def test_started_while_redis_is_away(
        self, connect: Connect, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.queue.redis_streams.START_WAIT_S", 0.1)
        await redis_server.kill()
        queue = await connect()
        taking = asyncio.create_task(taken_until(queue, {"dlv_1"}))
        await queue.announce("carrier-a", tickets(Urgency.NORMAL, 1))
        assert queue.dropped == 1
        await redis_server.restart()
        assert "dlv_1" in await announced_until_taken(queue, taking, "1")

    async def test_frozen_redis_holds_up_nobody(self, connect: Connect, redis_server: RedisServer) -> None:
        queue = await connect(command_s=0.3)
        redis_server.freeze()
        async with asyncio.timeout(SOON_S):
            await queue.announce("carrier-a", tickets(Urgency.NORMAL, 1))
            await queue.announce("carrier-a", tickets(Urgency.NORMAL, 2))
            with pytest.raises(QueueUnavailable):
                await queue.ping()
        assert queue.dropped == 2
        redis_server.thaw()
        taking = asyncio.create_task(taken_until(queue, {"dlv_3"}))
        assert "dlv_3" in await announced_until_taken(queue, taking, "3")

    async def test_full_redis_drops_and_counts(self, queue: RedisStreamsQueue, redis_server: RedisServer) -> None:
        await redis_server.command("CONFIG SET maxmemory 1")
        await queue.announce("carrier-a", many(Urgency.NORMAL, 4))
        assert queue.dropped == 4
        await queue.ping()


def test_prefix_that_would_match_others_is_refused() -> None:
    with pytest.raises(ValueError, match="prefix"):
        RedisStreamsQueue("redis://127.0.0.1:1/0", prefix="toc*")
