"""Keys that come while the store is away: kept, counted once it is back, bounded, and named in the log where they are lost."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
import structlog

from channels.conversation import Decision, Reply, Standing
from gateway import attendant as attending
from gateway import held as module
from gateway.alert import Priority, Status
from gateway.decisions import Decide
from gateway.held import HELD_S, Keys, until_written
from gateway.store.errors import StoreConflict, StoreStopped, StoreUnavailable
from gateway.store.journal import Journal
from tests.gateway import desk as desks
from tests.gateway.attendant_desk import ONE, SOON_S, attendant_of
from tests.gateway.desk import Desk, MovedClock

desk = desks.desk
store_url = desks.store_url

RECORDED, FAILED = Reply(standing=Standing.RECORDED), Reply(standing=Standing.FAILED)


class Away:
    """In a journal's place: takes nothing until it is back. `tries` are what it was asked to do."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self.failure: Exception | None = StoreUnavailable("the server does not answer")
        self.tries: list[Decision] = []
        self._tried = asyncio.Event()

    async def do(self, command: Decide, *, urgent: bool = False) -> Reply:
        self.tries.append(command.decision)
        self._tried.set()
        if self.failure is not None:
            raise self.failure
        return RECORDED if self._journal is None else await self._journal.do(command, urgent=urgent)

    async def tried(self, more: int = 1) -> None:
        """Waits until it was asked so often again."""
        wanted = len(self.tries) + more
        async with asyncio.timeout(SOON_S):
            while len(self.tries) < wanted:
                self._tried.clear()
                await self._tried.wait()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.0)


def keys_of(away: Away, clock: MovedClock | None = None) -> Keys:
    return Keys(cast("Journal", away), clock or MovedClock())


def pressed(decision: Decision = Decision.ACKNOWLEDGED, delivery_id: str = "dlv_1") -> Decide:
    return Decide(delivery_id=delivery_id, decision=decision, via="voice")


async def done(task: asyncio.Task[Reply]) -> Reply:
    async with asyncio.timeout(SOON_S):
        return await task


async def test_a_key_is_recorded_when_the_store_is_back_though_its_caller_has_hung_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attending, "DECIDE_S", 0.0)
    reference = await desk.one(f"sms:{ONE}", priority=Priority.EMERGENCY)
    away = Away(desk.journal)
    attendant = attendant_of(desk.store, cast("Journal", away), desk.clock)
    assert await attendant.decide(reference, Decision.ACKNOWLEDGED) == FAILED
    await away.tried(2)
    assert await desk.count("acknowledgements") == 0
    away.failure = None
    (_, task) = attendant._keys._waiting[reference]
    assert await done(task) == RECORDED
    assert await desk.count("acknowledgements", by="ada", via="sms") == 1
    alert = await desk.alert_row((await desk.delivery(reference)).alert_id)
    assert alert.status is Status.ACKNOWLEDGED
    assert not attendant._keys._waiting


async def test_who_waits_for_a_store_that_comes_back_hears_that_the_key_is_recorded(desk: Desk) -> None:
    reference = await desk.one(f"sms:{ONE}", priority=Priority.EMERGENCY)
    away = Away(desk.journal)
    attendant = attendant_of(desk.store, cast("Journal", away), desk.clock)
    deciding = asyncio.create_task(attendant.decide(reference, Decision.TAKEN))
    await away.tried(3)
    away.failure = None
    assert await done(deciding) == RECORDED


async def test_the_same_key_again_waits_with_the_first() -> None:
    away = Away()
    keys = keys_of(away)
    first = keys.record(pressed())
    await away.tried()
    assert keys.record(pressed()) is first
    assert keys.record(pressed(delivery_id="dlv_2")) is not first
    away.failure = None
    assert await done(first) == RECORDED


async def test_of_two_keys_the_last_one_counts() -> None:
    away = Away()
    keys = keys_of(away)
    first = keys.record(pressed(Decision.ACKNOWLEDGED))
    await away.tried()
    last = keys.record(pressed(Decision.DECLINED))
    assert await done(first) == FAILED
    away.failure = None
    assert await done(last) == RECORDED
    assert away.tries[-1] is Decision.DECLINED
    assert keys.record(pressed(Decision.ACKNOWLEDGED)) not in (first, last)  # the store is back: pressed anew


@pytest.mark.parametrize("failure", [StoreConflict("no"), RuntimeError("a fault")])
async def test_what_the_store_refuses_is_not_tried_again(failure: Exception) -> None:
    away = Away()
    away.failure = failure
    assert await done(keys_of(away).record(pressed())) == FAILED
    assert len(away.tries) == 1


async def test_so_many_keys_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEYS_MAX", 2)
    away = Away()
    keys = keys_of(away)
    waiting = [keys.record(pressed(delivery_id=f"dlv_{n}")) for n in range(2)]
    assert await done(keys.record(pressed(delivery_id="dlv_3"))) == FAILED
    away.failure = None
    assert [await done(task) for task in waiting] == [RECORDED, RECORDED]


async def test_a_key_waits_an_hour_and_is_then_named_in_the_log() -> None:
    away, clock = Away(), MovedClock()
    with structlog.testing.capture_logs() as logged:
        task = keys_of(away, clock).record(pressed())
        await away.tried()
        clock.move(HELD_S)
        assert await done(task) == FAILED
    (lost,) = [line for line in logged if line["event"] == "decision_lost"]
    assert (lost["log_level"], lost["delivery"], lost["decision"]) == ("error", "dlv_1", Decision.ACKNOWLEDGED)


@pytest.mark.parametrize("ended", ["journal", "loop"])
async def test_what_is_lost_when_the_process_ends_is_named_in_the_log(ended: str) -> None:
    away = Away()
    with structlog.testing.capture_logs() as logged:
        task = keys_of(away).record(pressed())
        await away.tried()
        if ended == "journal":
            away.failure = StoreStopped("the journal has stopped")
        else:
            task.cancel()
        await asyncio.wait({task})
    assert [line["delivery"] for line in logged if line["event"] == "decision_lost"] == ["dlv_1"]


async def test_whatever_else_fails_is_the_caller_s_to_hear() -> None:
    async def fails() -> None:
        raise ValueError("not mine")

    with pytest.raises(ValueError, match="not mine"):
        await until_written(fails, MovedClock())
