"""Whether a database is whole, and opening it for nothing but reading: the file, its tables, guards and references. No money here."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
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
from gateway.store.engine import BUSY_MS, SCHEMA_VERSION

T = TypeVar("T")

_HEAD: Final = b"SQLite format 3\x00"
_CACHE_KIB: Final = (
    65_536  # of the file that an audit keeps in memory; what it sorts beyond that goes to temporary files
)
_CONNECT_S: Final = 10
_STARTS_MAX: Final = 3  # how often it is read anew because a server started meanwhile: it does not start every minute
_RULES: Final = ("NULL value in", "CHECK constraint failed")
"""What SQLite's own examination says of rows that were written against the schema: the file itself is whole."""

GUARDS: Final = frozenset({
    "entries_stay", "entries_remain", "entries_move_balances", "entries_have_causes", "balances_follow_entries",
    "balances_are_four", "accounts_keep_their_currency", "accounts_remain", "deliveries_have_alerts", "deliveries_stay_settled",
    "deliveries_keep_their_hold", "deliveries_remain", "alerts_keep_their_account", "alerts_remain", "tariffs_stay",
    "tariffs_remain", "tariffs_follow",
})  # fmt: skip
"""The triggers that both databases have, by name."""
_OF_SQLITE: Final = frozenset({"balances_start_empty", "balances_remain", "accounts_are_made_once"})
_OF_POSTGRESQL: Final = frozenset({"deliveries_remain_together"})


def guards_of(dialect: str) -> frozenset[str]:
    """The triggers that this kind of database has."""
    return GUARDS | (_OF_SQLITE if dialect == "sqlite" else _OF_POSTGRESQL)


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
            head = file.read(len(_HEAD))
    except OSError as error:
        raise NotAuditable(f"{path}: {error.strerror}") from error
    if size == 0:
        raise DamagedFile([Finding(FindingKind.FILE, str(path), "the file is empty")])
    if head != _HEAD:
        raise DamagedFile([Finding(FindingKind.FILE, str(path), "it is not a SQLite database")])


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
    version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if version != SCHEMA_VERSION:
        raise NotAuditable(
            f"the schema is of version {version}, and this program knows {SCHEMA_VERSION}: "
            "`tocsin migrate` brings an older one up to date, a newer one needs the program that made it"
        )
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
    """Triggers that somebody dropped or disabled."""
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    else:
        found = connection.exec_driver_sql(
            "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')"
        )
    there = {name for (name,) in found}
    for name in sorted(guards_of(connection.dialect.name) - there):
        yield Finding(FindingKind.GUARD, f"guard {name}", "the trigger is not there, or it is disabled")


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
