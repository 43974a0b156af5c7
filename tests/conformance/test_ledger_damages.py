"""Every damage that a hand can do to the ledger is refused by the database, or found by the audit and named; on both databases."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from channels.outcome import PermanentFailure, Reason
from gateway import reversals
from gateway.books import examine, findings
from gateway.findings import PROBLEMS_MAX, TO_DO, Finding, FindingKind
from gateway.store import soundness, tables
from gateway.store.engine import open_store
from tests.conformance.damages import DAMAGES, POSTGRESQL, SQLITE, Damage
from tests.gateway import desk as desks
from tests.gateway.answers import delivered
from tests.gateway.desk import PRICE_MICROS
from tests.peers.postgresql import PostgresqlServer

T = TypeVar("T")
MONEY = Path(__file__).parents[2] / "docs" / "explanation" / "money.md"
PAID = 1_000 * PRICE_MICROS
GUARDED = ("accounts", "alerts", "attempts", "balances", "deliveries", "entries", "tariffs")
BOTH = [pytest.param(damage, store, id=f"{store} {damage.name}") for damage in DAMAGES for store in (SQLITE, POSTGRESQL)
        if damage.on(store)]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """A ledger that a life was led on, and the rows of it that damages are about, by what they are called."""

    url: str
    names: dict[str, str]
    runner: asyncio.Runner

    @property
    def store(self) -> str:
        return SQLITE if self.url.startswith("sqlite") else POSTGRESQL

    def named(self, text: str) -> str:
        return text.format_map(self.names)

    def by_hand(self, work: Callable[[Connection], T], *, unguarded: bool = False) -> T:
        """What `work` gives in a transaction that is taken back. SQLite as its shell opens it: no reference is looked at."""
        if self.store == POSTGRESQL:
            return self.runner.run(self._on_postgresql(work))
        raw = sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)
        raw.execute(f"pragma ignore_check_constraints = {int(unguarded)}")
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=NullPool)
        event.listen(engine, "begin", lambda c: c.exec_driver_sql("begin"))
        with engine.connect() as connection:
            return work(connection)

    async def _on_postgresql(self, work: Callable[[Connection], T]) -> T:
        if self.url not in _ENGINES:
            _ENGINES[self.url] = create_async_engine(
                make_url(self.url).set(drivername="postgresql+asyncpg"), pool_size=1
            )
        async with _ENGINES[self.url].connect() as connection:
            return await connection.run_sync(work)

    def without_guards(self, damage: Damage, connection: Connection) -> None:
        """Does the damage with nothing in its way but what moves balances, and puts the guards back."""
        run = connection.exec_driver_sql
        if self.store == SQLITE:
            found = run(
                "select name, sql from sqlite_master where type = 'trigger' and name <> 'entries_move_balances'"
            )
            guards = [(name, sql) for name, sql in found]
            for name, _ in guards:
                run(f"drop trigger {name}")
            for statement in damage.sql:
                run(self.named(statement))
            for _, sql in guards:
                run(sql)
            return
        for table in GUARDED:
            run(f"alter table {table} disable trigger all")
        run("alter table entries enable trigger entries_move_balances")
        for table, name in damage.unchecked:
            run(f'alter table {table} drop constraint "{name}"')
        for statement in damage.sql:
            run(self.named(statement))
        for table in GUARDED:
            run(f"alter table {table} enable trigger all")


async def _live(url: str) -> dict[str, str]:
    """Two accounts with top-ups, messages that arrived, failed and wait, a refund and a reversal; gives what damages name."""
    async with desks.seeded(url) as desk:
        await desk.top_up(PAID, "INV-2")
        await desk.top_up(7, "INV-3")
        await desk.top_up(9, "INV-4")
        await desk.open_account("other", PAID)
        done, refunded, another, failed, others = [
            await desk.one(f"sms:+3360000000{n}", account_id=account)
            for n, account in enumerate(("acme", "acme", "acme", "acme", "other"))
        ]
        for n, one in enumerate((done, refunded, another, others)):
            await desk.sent(one, f"id-{n}")
            await desk.report(delivered(f"id-{n}"))
        claim = await desk.claimed(failed, desks.A)
        await desk.record(claim, PermanentFailure(reason=Reason(code="no")))
        claim = await desk.claimed(failed, desks.B)
        await desk.record(claim, PermanentFailure(reason=Reason(code="no")))
        waiting = await desk.one("sms:+33600000009")

        async def number(kind: str, account: str, cause: str) -> int:
            t = tables.entries.c
            statement = select(t.id).where(t.kind == kind, t.account_id == account, t.cause_id == cause)
            return await desk.store.read(lambda c: int(c.execute(statement).scalar_one()))

        capture = await number("capture", "acme", refunded)
        await desk.store.write(
            lambda c: reversals.refund(c, desk.clock.now(), entry_id=capture, reason_id="never arrived")
        )
        wrong = await number("topup", "acme", "INV-3")
        await desk.store.write(
            lambda c: reversals.reverse(c, desk.clock.now(), entry_id=wrong, reason_id="typed wrongly")
        )
        t = tables.entries.c
        alerts = {name: (await desk.delivery(one)).alert_id for name, one in (
            ("alert", waiting), ("alert_of_failed", failed), ("others_alert", others))}  # fmt: skip
        hold = select(t.id).where(t.kind == "hold", t.cause_id.startswith(f"{alerts['alert']}:"))
        last = await desk.store.read(lambda c: int(c.execute(select(t.id).order_by(t.id.desc()).limit(1)).scalar_one()))
        await desk.verify()
        return {
            **alerts, "done": done, "failed": failed, "open": waiting, "others_delivery": others,
            "capture": str(await number("capture", "acme", done)), "refunded": str(capture),
            "others_capture": str(await number("capture", "other", others)),
            "topup": str(await number("topup", "acme", "INV-2")), "small": str(await number("topup", "acme", "INV-4")),
            "others_topup": str(await number("topup", "other", "INV-1")),
            "reversed": str(wrong), "reversal": str(last), "next": str(last + 1_000), "paid": str(PAID),
            "hold": str(await desk.store.read(lambda c: int(c.execute(hold).scalar_one()))),
            "tariff": str((await desk.delivery(done)).tariff_id), "price": str(PRICE_MICROS),
        }  # fmt: skip


_ENGINES: dict[str, AsyncEngine] = {}


@pytest.fixture(scope="module")
def ledger(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Ledger]]:
    """The ledger of each database, made once: damages are taken back."""
    made: dict[str, Ledger] = {}
    with asyncio.Runner() as runner:

        def of(store: str) -> Ledger:
            if store not in made:
                url = f"sqlite:///{tmp_path_factory.mktemp('damages')}/t.db"
                if store == POSTGRESQL:
                    server: PostgresqlServer = request.getfixturevalue("postgresql")
                    url = server.create_database()
                made[store] = Ledger(url=url, names=runner.run(_live(url)), runner=runner)
            return made[store]

        yield of
        for engine in _ENGINES.values():
            runner.run(engine.dispose())
        _ENGINES.clear()


@pytest.mark.parametrize(("damage", "store"), BOTH)
def test_case_7_3_a_damage_of_the_ledger_is_refused_or_found_and_named(
    damage: Damage, store: str, ledger: Callable[[str], Ledger]
) -> None:
    """With the guards there it is refused, where the table says so; with the guards out of the way it is found, and its row named."""
    books = ledger(store)

    def guarded(connection: Connection) -> None:
        for statement in damage.sql:
            connection.exec_driver_sql(books.named(statement))

    if damage.refused is not None:
        with pytest.raises(DBAPIError) as refusal:
            books.by_hand(guarded)
        if damage.refused:
            said = str(refusal.value.orig)
            assert damage.refused in said
    if damage.found is None:
        assert damage.refused is not None
        return

    def unguarded(connection: Connection) -> list[Finding]:
        if damage.found is FindingKind.GUARD:
            guarded(connection)
        else:
            books.without_guards(damage, connection)
        return findings(connection)

    found = books.by_hand(unguarded, unguarded=True)
    row = books.named(damage.row)
    assert [one for one in found if one.kind is damage.found and one.row.startswith(row)], found
    if damage.found is not FindingKind.GUARD:
        assert not [one for one in found if one.kind is FindingKind.GUARD]


@pytest.mark.parametrize("store", [SQLITE, POSTGRESQL])
def test_an_undamaged_ledger_is_found_whole(store: str, ledger: Callable[[str], Ledger]) -> None:
    assert asyncio.run(examine(ledger(store).url)) == []


@pytest.mark.parametrize("store", [SQLITE, POSTGRESQL])
def test_every_guard_is_known_by_name_and_by_what_it_does(store: str, ledger: Callable[[str], Ledger]) -> None:
    """One that is dropped would not be missed else."""

    assert ledger(store).by_hand(soundness.guards_there) == soundness.GUARDS[store]


def test_the_table_of_the_docs_has_every_damage() -> None:
    told = [line for line in MONEY.read_text().splitlines() if line.startswith(("| a", "| two"))]
    assert [line for line in DAMAGES_TOLD if line not in told] == []
    assert len(DAMAGES) == len({damage.name for damage in DAMAGES}) >= 40


DAMAGES_TOLD = [damage.line for damage in DAMAGES]


def test_of_many_damages_of_one_kind_the_first_are_named_and_the_rest_counted(ledger: Callable[[str], Ledger]) -> None:
    books = ledger(SQLITE)

    def many(connection: Connection) -> list[Finding]:
        for n in range(PROBLEMS_MAX + 5):
            connection.exec_driver_sql(f"insert into attempts values ('dlv_{n}', 1, 1, 'a', 1, '', '', '', null)")
        return findings(connection)

    found = books.by_hand(many)
    assert len(found) == PROBLEMS_MAX + 1
    assert "only the first 100" in str(found[-1])


def test_every_kind_says_what_to_do() -> None:
    assert set(TO_DO) == set(FindingKind)
    assert {damage.found for damage in DAMAGES} >= set(FindingKind) - {
        FindingKind.FILE,
        FindingKind.SCHEMA,
        FindingKind.RULE,
    }


# --- the file ----------------------------------------------------------------------------------------------------------


def _page(path: Path, number: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(4096 * number)
        file.write(content)


def _truncated(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _by_hand(statement: str) -> Callable[[Path], None]:
    def work(path: Path) -> None:
        with sqlite3.connect(path, isolation_level=None) as hand:
            hand.execute("pragma ignore_check_constraints = 1")
            hand.execute("pragma writable_schema = 1")
            hand.execute(statement)
        hand.close()

    return work


def _another(path: Path) -> None:
    path.unlink()
    _by_hand("create table x (a)")(path)


FILES: dict[str, tuple[Callable[[Path], Any], FindingKind, str]] = {
    "a page of garbage": (lambda p: _page(p, 12, b"\xa5" * 4096), FindingKind.FILE, ""),
    "pages of zeros": (lambda p: _page(p, 20, bytes(3 * 4096)), FindingKind.FILE, ""),
    "the first page of garbage": (lambda p: _page(p, 0, b"SQLite format 3\x00" + b"\xa5" * 4080), FindingKind.FILE, ""),
    "half of the file": (_truncated, FindingKind.FILE, ""),
    "a byte that is cut off": (lambda p: p.write_bytes(p.read_bytes()[:-1]), FindingKind.FILE, "cut off"),
    "an empty file": (lambda p: p.write_bytes(b""), FindingKind.FILE, "the file is empty"),
    "another file": (lambda p: p.write_bytes(b"Jan 31 02:00 backup done\n" * 99), FindingKind.FILE, "not a SQLite database"),
    "another database": (_another, FindingKind.SCHEMA, "no schema"),
    "a table dropped": (_by_hand("drop table callbacks"), FindingKind.SCHEMA, "callbacks: the table is not there"),
    "a column dropped": (_by_hand("alter table events drop column detail"), FindingKind.SCHEMA, "events.detail"),
    "an index that disagrees": (
        _by_hand("delete from sqlite_master where name = 'entries_account'"), FindingKind.FILE, ""),
    "a row against the rules": (
        _by_hand("update accounts set floor_micros = 5"), FindingKind.RULE, "accounts acme: it is against the rule: a debt floor"),
}  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path, ledger: Callable[[str], Ledger]) -> Path:
    """A backup of the ledger, as the guide makes it: a file and nothing beside it."""
    source = ledger(SQLITE).url.removeprefix("sqlite:///")
    with sqlite3.connect(source) as connection:
        connection.execute(f"vacuum into '{tmp_path}/copy.db'")
    connection.close()
    return tmp_path / "copy.db"


def _beside(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


@pytest.mark.parametrize("damage", FILES)
def test_a_damaged_file_is_named(damage: str, copy: Path) -> None:
    work, kind, text = FILES[damage]
    work(copy)
    before, content = _beside(copy), copy.read_bytes()
    found = asyncio.run(examine(f"sqlite:///{copy}"))
    assert [one for one in found if one.kind is kind and text in str(one)], found
    assert (_beside(copy), copy.read_bytes()) == (before, content)


def test_a_backup_is_read_and_nothing_is_left_beside_it(copy: Path) -> None:
    copy.chmod(0o400)
    assert asyncio.run(examine(f"sqlite:///{copy}")) == []
    assert _beside(copy) == ["copy.db"]


def test_a_copied_log_is_read_and_keeps_what_it_says(copy: Path, tmp_path: Path) -> None:
    """Somebody copied the folder of a server that was killed: the last commits are in the log, and there is no index of it."""
    with sqlite3.connect(copy, isolation_level=None) as hand:
        hand.execute("pragma journal_mode = wal")
        hand.execute("pragma wal_autocheckpoint = 0")
        hand.execute("drop trigger entries_stay")
        (tmp_path / "there").mkdir()
        for name in ("copy.db", "copy.db-wal"):
            (tmp_path / "there" / name).write_bytes((tmp_path / name).read_bytes())
    hand.close()
    there = tmp_path / "there" / "copy.db"
    assert [str(one.kind) for one in asyncio.run(examine(f"sqlite:///{there}"))] == ["guard"]
    assert _beside(there) == ["copy.db", "copy.db-wal"]


async def test_what_another_version_wrote_is_not_judged(copy: Path) -> None:
    _by_hand("update alembic_version set version_num = '0002'")(copy)
    with pytest.raises(
        soundness.NotAuditable, match=r"version 0002, and this program knows \d+: .* use the program that made it"
    ):
        await examine(f"sqlite:///{copy}")


async def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    for place, says in ((tmp_path / "t.db", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(soundness.NotAuditable, match=says):
            await examine(f"sqlite:///{place}")
    with pytest.raises(soundness.NotAuditable, match="does not answer"):
        await examine("postgresql://nobody@127.0.0.1:1/nothing")
    assert _beside(tmp_path / "t.db") == []


async def test_the_ledger_is_verified_while_it_is_written(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    async with desks.seeded(url) as desk:
        await desk.one()
        assert (tmp_path / "t.db-wal").exists()
        examined = asyncio.ensure_future(examine(url))
        await desk.one("sms:+33600000002")
        assert await examined == []
    await (await open_store(url)).close()


def test_findings_are_one_line(ledger: Callable[[str], Ledger]) -> None:
    books = ledger(SQLITE)

    def strange(connection: Connection) -> list[Finding]:
        connection.exec_driver_sql(
            "insert into balances (name, account_id) select 'x' || char(10, 27), 'acme' where 1 = 0"
        )
        connection.exec_driver_sql("drop trigger balances_are_four")
        connection.exec_driver_sql("insert into balances (name, account_id) values ('x' || char(10, 27), 'acme')")
        return findings(connection)

    assert [one for one in books.by_hand(strange) if re.search(r"[\x00-\x1f]", str(one))] == []
