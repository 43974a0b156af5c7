"""Opening the store: engines, pragmas, the process lock, migrations. What is read and written lives beside this file."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy import Connection, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool, QueuePool

from channels.plainly import plainly
from gateway.large_work import urgent
from gateway.store.errors import StoreConflict, StoreError, StoreOfAnotherVersion, StoreUnavailable
from gateway.store.locking import DatabaseLock

log = structlog.get_logger(__name__)
T = TypeVar("T")

SCHEMA_VERSION = "0009"  # the newest migration; a test holds it and the folder together
READERS = 4  # threads that read SQLite beside the writer: more would only contend for two cores
LONG_READERS = 2  # of reads that may take seconds, at once: lists of a large alert
CHECKPOINT_BYTES = 16 * 1024 * 1024  # the write-ahead log is folded back beyond this, between two batches
CHECKPOINT_WAIT_MS = 50  # how long a batch may wait for readers before the log is folded back another time
BUSY_MS = 10_000  # how long SQLite waits for another process's lock before it gives up
PG_POOL = 10  # connections of one process that read
PG_WRITERS = 2  # and that write: the journal and, beside it, administration; slow readers never stand in their way
PG_POOL_WAIT_S = 10.0
UNFIT = (OverflowError, UnicodeEncodeError)  # SQLite's driver: a number beyond 64 bits, half a surrogate pair


class Store(Protocol):
    """The open database. `read` and `write` run a function on a connection, in a transaction of its own, off the loop or
    cooperatively; they raise only StoreError and what the function raises by itself."""

    dialect: Any
    exclusive: bool
    """Only this process writes the database."""

    async def read(self, work: Callable[[Connection], T]) -> T: ...

    async def read_long(self, work: Callable[[Connection], T]) -> T:
        """As `read`, for what may take seconds: many of these at once leave the way free for the others, and
        stand behind what is urgent where this process is the database."""
        ...

    async def write(self, work: Callable[[Connection], T]) -> T: ...

    async def close(self) -> None: ...


def translated(error: Exception) -> StoreError:
    """A driver's error in the store's words. A value that the database cannot take is the command's fault, as a broken
    constraint is: SQLSTATE class 22 on PostgreSQL, and what the driver of SQLite raises by itself."""
    orig = getattr(error, "orig", error)
    if isinstance(error, (IntegrityError, *UNFIT)) or str(getattr(orig, "sqlstate", "")).startswith("22"):
        return StoreConflict(str(orig))
    return StoreUnavailable(plainly(orig))


def _behind(work: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """The same, once nothing urgent is under way: this process is the database, and its threads leave an emergency less of the
    processor."""

    def behind(connection: Connection) -> T:
        urgent.wait_until_over()
        return work(connection)

    return behind


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeout, sqlite3.Error, OSError, *UNFIT) as error:
        raise translated(error) from error


class SqliteStore:
    """SQLite: one process, one writer thread, short readers. WAL with ``synchronous=FULL``: a commit is on disk."""

    exclusive = True

    def __init__(self, path: str) -> None:
        self._lock = DatabaseLock(path)
        self.path = str(self._lock.database)
        url = f"sqlite:///{self.path}"
        self._writer_engine = create_engine(url, poolclass=NullPool, connect_args={"check_same_thread": False})
        self._reader_engine = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=READERS + LONG_READERS,
            max_overflow=0,
            connect_args={"check_same_thread": False},
        )
        event.listen(self._writer_engine, "connect", functools.partial(_prepare_sqlite, query_only=False))
        event.listen(self._reader_engine, "connect", functools.partial(_prepare_sqlite, query_only=True))
        event.listen(self._writer_engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
        event.listen(self._reader_engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))
        self.dialect = self._writer_engine.dialect
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._readers = ThreadPoolExecutor(READERS, "store-reader")
        self._long_readers = ThreadPoolExecutor(LONG_READERS, "store-long-reader")
        self._connection: Connection | None = None

    def lock(self) -> None:
        """Takes the process lock: only one process may have this database open. Raises StoreLocked, StoreUnavailable."""
        self._lock.take()

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def read_long(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._long_readers, self._read, _behind(work))

    def _read(self, work: Callable[[Connection], T]) -> T:
        with _translating(), self._reader_engine.connect() as connection:
            return work(connection)

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._write, work)

    def _write(self, work: Callable[[Connection], T]) -> T:
        try:
            with _translating():
                if self._connection is None:
                    self._connection = self._writer_engine.connect()
                with self._connection.begin():
                    result = work(self._connection)
        except StoreUnavailable:
            self._drop()  # after an I/O error only a fresh connection knows the truth
            raise
        self._checkpoint()
        return result

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _checkpoint(self) -> None:
        try:
            if Path(f"{self.path}-wal").stat().st_size < CHECKPOINT_BYTES:
                return
            assert self._connection is not None
            raw = self._connection.connection.dbapi_connection
            assert raw is not None
            cursor = raw.cursor()
            # TRUNCATE, so that the file does not stay above the bound; a reader in the way is tried again next time
            cursor.execute(f"PRAGMA busy_timeout={CHECKPOINT_WAIT_MS}")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
            cursor.close()
        except (OSError, sqlite3.Error) as error:
            log.warning("checkpoint_failed", error=str(error))

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writer, self._drop)
        self._writer.shutdown()
        self._readers.shutdown()
        self._long_readers.shutdown()
        self._reader_engine.dispose()
        self._writer_engine.dispose()
        self._lock.give_back()

    def migrate(self, *, upward: bool = True) -> None:
        """Makes the tables where there are none; `upward`: brings older ones up to date. Raises StoreError."""
        engine = create_engine(f"sqlite:///{self.path}", poolclass=NullPool)
        event.listen(engine, "connect", functools.partial(_prepare_sqlite, query_only=False))
        event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
        with _translating(), engine.begin() as connection:
            _upgrade(connection, upward=upward)
        engine.dispose()


def _prepare_sqlite(connection: Any, _record: object, *, query_only: bool) -> None:
    connection.isolation_level = None  # transactions are begun by us, not by the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA wal_autocheckpoint=0")  # we checkpoint between batches, not inside a commit
    cursor.execute("PRAGMA cache_size=-32768")
    cursor.execute("PRAGMA temp_store=MEMORY")
    if query_only:
        cursor.execute("PRAGMA query_only=ON")
    cursor.close()


class PostgresStore:
    """PostgreSQL through asyncpg: any number of processes; rows are locked in the order of their ids."""

    exclusive = False

    def __init__(self, url: str, *, pool_size: int = PG_POOL, pool_wait_s: float = PG_POOL_WAIT_S) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine  # not needed, and not small, on SQLite

        # `postgresql://` is what people write; the driver is ours to choose
        self._url = make_url(url).set(drivername="postgresql+asyncpg")
        rules: dict[str, Any] = {"max_overflow": 0, "pool_timeout": pool_wait_s, "pool_pre_ping": True}
        rules["connect_args"] = {"timeout": 10, "command_timeout": 60}
        self._engine = create_async_engine(self._url, pool_size=pool_size, **rules)
        self._writer = create_async_engine(self._url, pool_size=PG_WRITERS, **rules)
        self._long = asyncio.Semaphore(max(1, pool_size // 2))
        self.dialect = self._engine.dialect

    async def read(self, work: Callable[[Connection], T]) -> T:
        with _translating():
            async with self._engine.connect() as connection:
                return await connection.run_sync(work)

    async def read_long(self, work: Callable[[Connection], T]) -> T:
        async with self._long:
            return await self.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        with _translating():
            async with self._writer.begin() as connection:
                return await connection.run_sync(work)

    async def close(self) -> None:
        await self._engine.dispose()
        await self._writer.dispose()

    async def migrate(self, *, upward: bool = True) -> None:
        """As `SqliteStore.migrate`."""

        def upgrade(connection: Connection) -> None:
            # two nodes that start together must not both migrate
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7023614)")
            _upgrade(connection, upward=upward)

        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(self._url, poolclass=NullPool)
        try:
            with _translating():
                async with engine.begin() as connection:
                    await connection.run_sync(upgrade)
        finally:
            await engine.dispose()


def _upgrade(connection: Connection, *, upward: bool = True) -> None:
    """Brings the schema up to date. Alembic is imported only where there is something to do: it is a fifth of a start."""
    version = _schema_version(connection)
    if version == SCHEMA_VERSION:
        return
    if version is not None and (is_newer(version) or not upward):
        raise StoreOfAnotherVersion(another_version(version))
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if version is not None:
        log.info("schema_migrated", before=version, now=SCHEMA_VERSION)


def schema_refusal(connection: Connection) -> str:
    """Why a start cannot use the tables that are there; "" where it can, or makes them itself."""
    version = _schema_version(connection)
    return another_version(version) if version is not None and is_newer(version) else ""


def is_newer(version: str) -> bool:
    """Whether the tables are of a later version than this program: migrations are numbered upwards, all in four digits."""
    return version > SCHEMA_VERSION


def another_version(version: str) -> str:
    """What to do with tables of this version, in words for people."""
    told = f"the database is of version {version}, and this program knows {SCHEMA_VERSION}"
    if is_newer(version):
        return f"{told}: start the newer program, or restore the backup from before the upgrade"
    return f"{told}: `tocsin migrate` or a start of the server goes forward, for good; for a backup use the program that made it"


def can_be_brought_up(connection: Connection) -> bool:
    """Whether the tables in PostgreSQL are those of this program, or its user may make them."""
    if _schema_version(connection) == SCHEMA_VERSION:
        return True
    asked = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
    return bool(connection.exec_driver_sql(asked).scalar())


def _schema_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return version


async def open_store(
    url: str, *, pool_size: int = PG_POOL, pool_wait_s: float = PG_POOL_WAIT_S, upward: bool = True
) -> SqliteStore | PostgresStore:
    """Opens the database that `url` names (``sqlite:///PATH`` or ``postgresql://…``), takes the process lock where there is
    one, and makes its tables; `upward`: brings older ones up to date. Raises StoreError."""
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        parent = Path(path).parent
        if not parent.is_dir():
            raise StoreUnavailable(f"the folder {parent} of the database does not exist")
        sqlite = SqliteStore(path)
        try:
            sqlite.lock()
            await asyncio.to_thread(functools.partial(sqlite.migrate, upward=upward))
        except BaseException:
            await sqlite.close()
            raise
        return sqlite
    postgres = PostgresStore(url, pool_size=pool_size, pool_wait_s=pool_wait_s)
    try:
        await postgres.migrate(upward=upward)
    except BaseException:
        await postgres.close()
        raise
    return postgres
