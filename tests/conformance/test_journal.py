"""The journal on both databases: answered after the commit, one verdict a command, bounds, an absent database, its own end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select

from gateway.store import tables
from gateway.store.errors import StoreConflict, StoreUnavailable
from gateway.store.journal import PENDING_MAX, REPLAYS, Command
from gateway.store.unit import Unit, Wants
from tests.gateway import desk as desks
from tests.gateway.answers import accepted, delivered
from tests.gateway.desk import Desk
from tests.peers.postgresql import PostgresqlServer

desk = desks.desk
store_url = desks.store_url


@dataclass(frozen=True)
class Note:
    """Command: a line of a timeline."""

    text: str
    weight: int = 1

    def prefetch(self, wants: Wants) -> None:
        pass

    def apply(self, unit: Unit) -> str:
        unit.event("alt_1", "note", self.text)
        return self.text


@dataclass(frozen=True)
class Poison:
    """Command: a row that the database does not take."""

    how: str
    weight: int = 1

    def prefetch(self, wants: Wants) -> None:
        pass

    def apply(self, unit: Unit) -> None:
        unit.event("alt_1", "note", "of the poison itself")
        match self.how:
            case "constraint":
                ack = ("ack_1", "alt_unknown", "by", "", "api", "key", unit.now_micros, "by", 0)
                unit.insert("acknowledgements", *ack)
            case "overdraft":
                unit.insert("entries", "acme", "capture", "delivery", "dlv_1", "held:acme", "revenue:acme", 1, None, 1)
            case "number":
                unit.insert("events", "alt_1", None, "note", "", 2**70)
            case "surrogate":
                unit.event("alt_1", "note", "\ud800")


class Verdict(Exception):  # noqa: N818 - what a command of the test raises
    pass


@dataclass(frozen=True)
class Refusing:
    """Command: changes much and then refuses."""

    weight: int = 1

    def prefetch(self, wants: Wants) -> None:
        wants.balances.add("acme")

    def apply(self, unit: Unit) -> None:
        balance = unit.balance("acme")
        assert balance is not None
        unit.event("alt_1", "note", "of the refusing one")
        unit.answer("acme", "route", "key", b"digest", "answer")
        unit.signal("signal of the refusing one")
        unit.touch("alt_unknown")
        unit.note("alt_unknown", {"type": "x"})
        raise Verdict


async def notes(desk: Desk) -> list[str]:
    t = tables.events.c
    statement = select(t.detail).where(t.kind == "note").order_by(t.id)
    return list(await desk.store.read(lambda connection: connection.scalars(statement).all()))


def together(desk: Desk, *commands: Command[Any]) -> list[asyncio.Task[Any]]:
    """Tasks whose commands arrive before the journal looks: one batch."""
    return [asyncio.ensure_future(desk.do(command)) for command in commands]


async def verdicts(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


class Gate:
    """Holds the journal's commits back until it is opened."""

    def __init__(self, desk: Desk) -> None:
        self.opened = asyncio.Event()
        self.batches: list[int] = []
        self.waiting = asyncio.Event()
        write = desk.journal._write

        async def gated(commands: list[Command[Any]]) -> Any:
            self.waiting.set()
            await self.opened.wait()
            self.batches.append(len(commands))
            return await write(commands)

        desk.journal._write = gated  # type: ignore[method-assign]  # to see batches as they are made


async def test_everything_that_arrived_during_a_commit_is_committed_together(desk: Desk) -> None:
    gate = Gate(desk)
    first = together(desk, Note("first"))
    await gate.waiting.wait()
    rest = together(desk, *(Note(str(n)) for n in range(50)))
    await asyncio.sleep(0)
    assert not any(task.done() for task in (*first, *rest))
    gate.opened.set()
    assert await verdicts([*first, *rest]) == ["first", *(str(n) for n in range(50))]
    assert gate.batches == [1, 50]


async def test_the_answer_comes_after_the_commit(desk: Desk) -> None:
    """Whoever is answered can be seen by another connection at once."""
    for n in range(5):
        await desk.do(Note(str(n)))
        assert await desk.count("events", detail=str(n)) == 1


@pytest.mark.parametrize("how", ["constraint", "overdraft", "number", "surrogate"])
async def test_one_command_that_the_schema_refuses_spoils_no_other(desk: Desk, how: str) -> None:
    replayed = REPLAYS._value.get()
    tasks = together(desk, Note("before"), Poison(how), Note("after"), Refusing(), Note("last"))
    before, poison, after, refusing, last = await verdicts(tasks)
    assert [before, after, last] == ["before", "after", "last"]
    assert isinstance(poison, StoreConflict)
    assert isinstance(refusing, Verdict)
    assert await notes(desk) == ["before", "after", "last"]
    assert REPLAYS._value.get() == replayed + 1
    assert await desk.do(Note("and on")) == "and on"


async def test_commands_of_a_replayed_batch_see_each_other(desk: Desk) -> None:
    """The outcome, its receipts and the next claim come in one batch with a poisoned command."""
    one, two = await desk.one(), await desk.one("sms:+33600000002")
    claim = await desk.claimed(one)
    results = await verdicts(
        together(
            desk,
            desk.recording(claim, accepted("id-1")),
            Poison("constraint"),
            desk.reporting(delivered("id-1")),
            desk.reporting(delivered("id-1")),
            desk.claiming(two),
            desk.claiming(two),
        )
    )
    assert isinstance(results[1], StoreConflict)
    assert await desk.state(one) == "delivered"
    assert [len(results[4]), len(results[5])] == [1, 0]
    assert await desk.spent() == (1, 1)
    await desk.record(results[4][0], accepted("id-2"))
    await desk.report(delivered("id-2"))
    assert await desk.spent() == (0, 2)


async def test_a_verdict_of_its_own_leaves_no_trace(desk: Desk) -> None:
    before = await desk.money()
    (refused,) = await verdicts(together(desk, Refusing()))
    assert isinstance(refused, Verdict)
    assert await notes(desk) == []
    assert await desk.count("idempotency") == 0
    assert "signal of the refusing one" not in desk.signals
    assert await desk.money() == before


async def test_emergencies_jump_the_line(desk: Desk) -> None:
    gate = Gate(desk)
    first = together(desk, Note("first"))
    await gate.waiting.wait()
    later = [asyncio.ensure_future(desk.do(Note(str(n)))) for n in range(3)]
    urgent = asyncio.ensure_future(desk.do(Note("emergency"), urgent=True))
    await asyncio.sleep(0)
    gate.opened.set()
    await verdicts([*first, *later, urgent])
    assert await notes(desk) == ["first", "emergency", "0", "1", "2"]


async def test_large_work_is_cut(desk: Desk) -> None:
    gate = Gate(desk)
    gate.opened.set()
    await verdicts(together(desk, *(Note(str(n), weight=1_000) for n in range(5))))
    assert gate.batches == [2, 2, 1]


async def test_what_may_wait_is_bounded(desk: Desk) -> None:
    gate = Gate(desk)
    first = together(desk, Note("first"))
    await gate.waiting.wait()
    desk.journal._waiting.extend([_pending(Note("x")) for _ in range(PENDING_MAX)])
    with pytest.raises(StoreUnavailable, match="full"):
        await desk.do(Note("one too many"))
    assert await verdicts(first[:0]) == []
    desk.journal._waiting.clear()
    gate.opened.set()
    await verdicts(first)


def _pending(command: Command[Any]) -> Any:
    from gateway.store.journal import _Pending

    return _Pending(command, asyncio.get_running_loop().create_future())


async def test_a_caller_that_gave_up_before_its_turn_writes_nothing(desk: Desk) -> None:
    gate = Gate(desk)
    first = together(desk, Note("first"))
    await gate.waiting.wait()
    given_up, stays = together(desk, Note("given up"), Note("stays"))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    gate.opened.set()
    await verdicts([*first, stays])
    assert await notes(desk) == ["first", "stays"]


async def test_a_caller_that_gives_up_during_its_commit_harms_nobody(desk: Desk) -> None:
    gate = Gate(desk)
    given_up, stays = together(desk, Note("written all the same"), Note("stays"))
    await gate.waiting.wait()
    given_up.cancel()
    gate.opened.set()
    assert await stays == "stays"
    assert await notes(desk) == ["written all the same", "stays"]


async def test_at_its_end_everything_that_waits_is_committed_and_answered(desk: Desk) -> None:
    gate = Gate(desk)
    first = together(desk, Note("under way"))
    await gate.waiting.wait()
    rest = together(desk, *(Note(str(n)) for n in range(3)))
    await asyncio.sleep(0)
    assert desk._running is not None
    desk._running.cancel()
    await asyncio.sleep(0)
    gate.opened.set()
    await asyncio.wait([desk._running])
    assert await verdicts([*first, *rest]) == ["under way", "0", "1", "2"]
    assert await notes(desk) == ["under way", "0", "1", "2"]
    with pytest.raises(StoreUnavailable, match="stopped"):
        await desk.do(Note("too late"))


async def test_nobody_waits_for_a_writer_that_died(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(commands: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.journal, "_write", broken)
    results = await verdicts(together(desk, *(Note(str(n), weight=1_000) for n in range(5))))
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert desk._running is not None
    await asyncio.wait([desk._running])
    assert isinstance(desk._running.exception(), ZeroDivisionError)


# --- the database is away ---------------------------------------------------------------------------------------------


@pytest.fixture
async def own_server() -> AsyncIterator[PostgresqlServer]:
    """A server of this test's own, since it is stopped and started again."""
    server = PostgresqlServer()
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.close)


async def test_while_postgresql_is_away_everybody_is_told_and_then_it_goes_on(own_server: PostgresqlServer) -> None:
    url = await asyncio.to_thread(own_server.create_database)
    async with desks.seeded(url) as desk:
        one = await desk.one()
        assert await desk.do(Note("before")) == "before"
        await asyncio.to_thread(own_server.stop)
        for _ in range(2):
            results = await verdicts(together(desk, Note("lost"), desk.claiming(one), Note("lost too")))
            assert [type(result) for result in results] == [StoreUnavailable] * 3
        await asyncio.to_thread(own_server.start)
        assert await desk.do(Note("after")) == "after"
        assert await desk.claim(one) is not None
        assert await notes(desk) == ["before", "after"]
        await desk.verify()


async def test_postgresql_stopped_under_load_loses_nothing_that_was_answered(own_server: PostgresqlServer) -> None:
    url = await asyncio.to_thread(own_server.create_database)
    async with desks.seeded(url) as desk:
        answered: list[str] = []
        stopping = asyncio.Event()

        async def caller(name: str) -> None:
            for n in range(60):
                try:
                    answered.append(await desk.do(Note(f"{name}-{n}")))
                except StoreUnavailable:
                    await asyncio.sleep(0.05)
                if n == 10:
                    stopping.set()

        async def operator() -> None:
            await stopping.wait()
            await asyncio.to_thread(own_server.stop)
            await asyncio.to_thread(own_server.start)

        await asyncio.gather(operator(), *(caller(str(c)) for c in range(4)))
        assert await desk.do(Note("after")) == "after"
        written = await notes(desk)
        assert set(answered) <= set(written)
        assert len(written) == len(set(written))


async def test_sqlite_without_room_refuses_and_goes_on(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database may not grow any more: nothing is accepted, nothing that was is lost, and later it goes on."""
    async with desks.seeded(f"sqlite:///{tmp_path}/tocsin.db") as desk:
        await desk.do(Note("before"))

        def limit(pages: int) -> Callable[[Any], None]:
            return lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").close()

        await desk.store.write(limit(1))  # SQLite does not go below what is there: no page more
        big = [Note("x" * 200_000) for _ in range(3)]
        results = await verdicts(together(desk, *big))
        assert [type(result) for result in results] == [StoreUnavailable] * 3
        await desk.store.write(limit(1_000_000))
        assert await desk.do(Note("after")) == "after"
        assert await notes(desk) == ["before", "after"]
