"""Whether a database is whole, and opening it for nothing but reading: the file, its tables, guards and references. No money here."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar
from urllib.parse import quote

from sqlalchemy import (
    CheckConstraint,
    Connection,
    ForeignKey,
    Table,
    case,
    create_engine,
    event,
    inspect,
    literal,
    literal_column,
    not_,
    select,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from gateway.findings import PROBLEMS_MAX, Finding, FindingKind
from gateway.store import tables
from gateway.store.engine import BUSY_MS, SCHEMA_VERSION, another_version

T = TypeVar("T")

_HEAD: Final = b"SQLite format 3\x00"
_HEAD_BYTES: Final = 100
_CACHE_KIB: Final = (
    65_536  # of the file that an audit keeps in memory; what it sorts beyond that goes to temporary files
)
_CONNECT_S: Final = 10
_STARTS_MAX: Final = 3  # how often it is read anew because a server started meanwhile: it does not start every minute
_RULES: Final = ("NULL value in", "CHECK constraint failed")
"""What SQLite's own examination says of rows that were written against the schema: the file itself is whole."""

GUARDS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({
    "sqlite": MappingProxyType({
        "accounts_are_made_once": "2b933e7ab767", "accounts_keep_their_currency": "9aed82ac8ae9",
        "accounts_remain": "06d06f5653bf", "alerts_keep_their_account": "66acfc285859", "alerts_remain": "d12ad92fe6a5",
        "balances_are_four": "47d6f5b9b827", "balances_follow_entries": "21dfc5edafd7", "balances_remain": "78c12fe375a4",
        "balances_start_empty": "bb2173d46d22", "deliveries_have_alerts": "ea4cecc363a2",
        "deliveries_keep_their_hold": "e36f11aa2c37", "deliveries_remain": "d198609e3c7f",
        "deliveries_stay_settled": "876b8c6cf76a", "entries_have_causes": "d9acf7f275e9", "entries_move_balances": "2dfc4acef57d",
        "entries_remain": "2ebf53edf920", "entries_stay": "206b3e68031c",
        "tariffs_are_removed": "63c4717819f8", "tariffs_follow": "bc47a0e1e340",
        "tariffs_remain": "f58f6e39706b", "tariffs_stay": "a6737aec7baa",
    }),
    "postgresql": MappingProxyType({
        "accounts_keep_their_currency": "842cc93d9cc9", "accounts_remain": "6bfc7929b555",
        "alerts_keep_their_account": "1bee40baaa12", "alerts_remain": "7545502c66b9", "balances_are_four": "684685162624",
        "balances_follow_entries": "d3ce4af5d280", "deliveries_have_alerts": "59381f1a3ef0",
        "deliveries_keep_their_hold": "73b8225b9ebb", "deliveries_remain": "8e9c9e50fa78",
        "deliveries_remain_together": "64497dcc9179", "deliveries_stay_settled": "2f64d87b0410",
        "entries_have_causes": "ce6992afca43", "entries_move_balances": "05c8711ccbf1", "entries_remain": "920afd4ec134",
        "entries_stay": "8871276230fb",
        "tariffs_are_removed": "37fd1aabbcc4", "tariffs_follow": "c646f3994256", "tariffs_remain": "56a2a672dfeb",
        "tariffs_stay": "0c52feef0b5c",
    }),
})  # fmt: skip
"""The triggers of each kind of database by name, with the digest of what they do. A migration that changes one writes it here."""

_GUARDED: Final = ("accounts", "balances", "entries", "deliveries", "alerts", "tariffs")


def guards_of(dialect: str) -> frozenset[str]:
    """The triggers that this kind of database has."""
    return frozenset(GUARDS[dialect])


def guards_there(connection: Connection) -> dict[str, str]:
    """The triggers that are there, with the digest of what each does: one that was put back as an empty one is another."""
    if connection.dialect.name == "sqlite":
        statement = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'"
    else:
        statement = """
            SELECT t.tgname, c.relname, t.tgtype, t.tgqual IS NULL, p.proname, p.prosrc FROM pg_trigger t
            JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
            WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
        """
    found = connection.exec_driver_sql(statement)
    return {
        name: hashlib.sha256(" ".join(" ".join(str(part) for part in parts).split()).encode()).hexdigest()[:12]
        for name, *parts in found
        if name in guards_of(connection.dialect.name) or parts[0] in _GUARDED
    }


class NotAuditable(Exception):  # noqa: N818 - a verdict: there is nothing to be read, whatever is in it
    """The database cannot be read at all, or not by this version; the text says why."""


class DamagedFile(Exception):  # noqa: N818 - a verdict
    """The file is no database, or not a whole one."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__()
        self.findings = findings


async def read_only(url: str, work: Callable[[Connection], T]) -> T:
    """What `work` finds in one transaction that only reads. Nothing is created, migrated or locked, and nothing is left beside the
    file. Raises NotAuditable and, for a file that is no database, DamagedFile."""
    if url.startswith("sqlite:///"):
        return await asyncio.to_thread(_read_sqlite, Path(url.removeprefix("sqlite:///")), work)
    return await _read_postgresql(url, work)


def _read_sqlite(path: Path, work: Callable[[Connection], T]) -> T:
    path = path.resolve()  # SQLite looks for the log beside what a symbolic link names
    _require_database(path)
    for _ in range(_STARTS_MAX):
        alone = not Path(f"{path}-wal").exists()
        found = _read_once(path, work)
        if not alone or not Path(f"{path}-wal").exists():
            break  # else a server has started meanwhile, and what was read is not of one moment
    return found


def _read_once(path: Path, work: Callable[[Connection], T]) -> T:
    with _opened(path) as options:
        uri = f"file:{quote(str(path.absolute()))}?{options}"

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(uri, uri=True, check_same_thread=False)

        engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))
        try:
            with engine.connect() as connection:
                return work(connection)
        except DBAPIError as error:
            raise _translated(path, error) from error
        finally:
            engine.dispose()


def _require_database(path: Path) -> None:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise NotAuditable(f"{path}: {error.strerror}") from error
    if size == 0:
        raise DamagedFile([Finding(FindingKind.FILE, str(path), "the file is empty")])
    if not head.startswith(_HEAD):
        raise DamagedFile([Finding(FindingKind.FILE, str(path), "it is not a SQLite database")])
    page = int.from_bytes(head[16:18], "big")
    if size % (65_536 if page == 1 else page or 1):
        text = f"it was cut off, or something was added: {size} bytes are no whole pages of {page}"
        raise DamagedFile([Finding(FindingKind.FILE, str(path), text)])


@contextmanager
def _opened(path: Path) -> Iterator[str]:
    """How the file is opened, so that it looks afterwards as it did before.

    A reader of a write-ahead log makes files beside the database where there are none. Where there is no log, nobody has the
    database open, and it can be read as one that does not change. A log without its index is what a copied folder has: the index
    that the reader makes is removed again.
    """
    log, index = Path(f"{path}-wal"), Path(f"{path}-shm")
    if not log.exists():
        yield "mode=ro&immutable=1"
        return
    had_index = index.exists()
    try:
        yield "mode=ro"
    finally:
        if not had_index:
            with suppress(OSError):
                index.unlink()


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.text_factory = functools.partial(
        str, encoding="utf-8", errors="replace"
    )  # whatever a hand has put there is shown
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    cursor.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    cursor.execute("PRAGMA temp_store=FILE")
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _translated(path: Path, error: DBAPIError) -> Exception:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedFile([Finding(FindingKind.FILE, str(path), str(error.orig))])
    return NotAuditable(f"{path}: {error.orig}")


async def _read_postgresql(url: str, work: Callable[[Connection], T]) -> T:
    from sqlalchemy.ext.asyncio import create_async_engine  # not needed, and not small, on SQLite

    # no bound of time for a statement: a million entries take what they take
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        poolclass=NullPool,
        connect_args={"timeout": _CONNECT_S},
        isolation_level="REPEATABLE READ",
    )
    try:
        async with engine.connect() as connection:
            await connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            return await connection.run_sync(work)
    except DBAPIError as error:
        raise NotAuditable(f"the database: {error.orig}") from error
    except OSError as error:
        raise NotAuditable(f"the database does not answer: {error.strerror or error}") from error
    finally:
        await engine.dispose()


# --- is it whole -----------------------------------------------------------------------------------------------------


def damages(connection: Connection) -> Iterator[Finding]:
    """What the database says of its own file: pages, indexes, and the rules of the schema (SQLite; PostgreSQL enforces its own)."""
    if connection.dialect.name != "sqlite":
        return
    for (text,) in connection.exec_driver_sql(f"PRAGMA integrity_check({PROBLEMS_MAX + 1})"):
        if text == "ok":
            continue
        if text.startswith(_RULES):
            yield Finding(FindingKind.RULE, f"table {text.rpartition(' ')[2]}", text)
        else:
            yield Finding(FindingKind.FILE, "database", " ".join(text.split()))


def missing_tables(connection: Connection) -> list[Finding]:
    """Tables and columns that are not there. Raises NotAuditable for the schema of another version."""
    found = inspect(connection)
    names = set(found.get_table_names())
    if "alembic_version" not in names:
        return [Finding(FindingKind.SCHEMA, "alembic_version", "the table is not there: no schema of Tocsin")]
    version = ", ".join(connection.exec_driver_sql("SELECT version_num FROM alembic_version ORDER BY 1").scalars())
    if version != SCHEMA_VERSION:
        raise NotAuditable(another_version(version or "none"))
    missing = [
        Finding(FindingKind.SCHEMA, name, "the table is not there")
        for name in tables.metadata.tables
        if name not in names
    ]
    for name, table in tables.metadata.tables.items():
        if name in names:
            columns = {column["name"] for column in found.get_columns(name)}
            missing += [
                Finding(FindingKind.SCHEMA, f"{name}.{column.name}", "the column is not there")
                for column in table.columns
                if column.name not in columns
            ]
    return missing


def missing_guards(connection: Connection) -> Iterator[Finding]:
    """Triggers that somebody dropped, disabled or replaced, and those on the tables of money that are not Tocsin's."""
    there, ours = guards_there(connection), GUARDS[connection.dialect.name]
    for name in sorted(ours.keys() | there.keys()):
        if name not in there:
            yield Finding(FindingKind.GUARD, f"guard {name}", "the trigger is not there, or it is disabled")
        elif name not in ours:
            yield Finding(FindingKind.GUARD, f"trigger {name}", "it is not Tocsin's, and works on the tables of money")
        elif there[name] != ours[name]:
            yield Finding(FindingKind.GUARD, f"guard {name}", "the trigger is another one than Tocsin's")


def broken_rules(connection: Connection) -> Iterator[Finding]:
    """Rows against a CHECK of their table. SQLite reads no CHECK of a database that is opened for reading alone."""
    for table in tables.metadata.sorted_tables:
        checks = sorted((c for c in table.constraints if isinstance(c, CheckConstraint)), key=lambda c: str(c.name))
        if checks:
            yield from _against(connection, table, checks)


def _against(connection: Connection, table: Table, checks: Sequence[CheckConstraint]) -> Iterator[Finding]:
    rules: list[Any] = [(not_(literal_column(f"({check.sqltext})")), literal(str(check.name))) for check in checks]
    broken = case(*rules, else_=None)
    mine = list(table.primary_key.columns)
    statement = select(*mine, broken).where(broken.is_not(None)).limit(PROBLEMS_MAX + 1)
    for row in connection.execute(statement):
        place = " ".join(str(value) for value in row[:-1])
        yield Finding(FindingKind.RULE, f"{table.name} {place}", f"it is against the rule: {row[-1]}")


def lost_references(connection: Connection) -> Iterator[Finding]:
    """Rows that name a row of another table which is not there. SQLite checks references only for who asks for it."""
    for table in tables.metadata.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda one: one.parent.name):
            yield from _lost(connection, table, key)


def _lost(connection: Connection, table: Table, key: ForeignKey) -> Iterator[Finding]:
    parent = key.column.table.alias("parent")
    mine = list(table.primary_key.columns)
    named = parent.c[key.column.name]
    statement = (
        select(*mine, key.parent.label("lost"))
        .outerjoin(parent, named == key.parent)
        .where(key.parent.is_not(None), named.is_(None))
        .limit(PROBLEMS_MAX + 1)
    )
    for row in connection.execute(statement):
        place = " ".join(str(value) for value in row[: len(mine)])
        yield Finding(
            FindingKind.REFERENCE,
            f"{table.name} {place}",
            f"its {key.parent.name} is {row[-1]}, which is not in {key.column.table.name}",
        )
