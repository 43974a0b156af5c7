"""The store on SQLite: the suite for every store, and what is particular to this one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.engine import CHECKPOINT_BYTES, SqliteStore, open_store
from gateway.store.errors import StoreLocked, StoreUnavailable
from tests.conformance.store_suite import StoreSuite, count, put


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/tocsin.db"


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqliteStore]:
    opened = await open_store(url)
    assert isinstance(opened, SqliteStore)
    yield opened
    with contextlib.suppress(RuntimeError):  # the test has closed it
        await opened.close()


class TestSqliteStore(StoreSuite):
    async def test_a_second_process_is_refused(self, store: SqliteStore, url: str) -> None:
        with pytest.raises(StoreLocked):
            await open_store(url)
        await store.close()
        await (await open_store(url)).close()

    async def test_a_commit_is_on_disk(self, store: SqliteStore) -> None:
        def pragmas(connection: object) -> dict[str, object]:
            ask = connection.exec_driver_sql  # type: ignore[attr-defined]  # a Connection
            names = ("journal_mode", "synchronous", "foreign_keys")
            return {name: ask(f"PRAGMA {name}").scalar_one() for name in names}

        full = 2
        assert await store.write(pragmas) == {"journal_mode": "wal", "synchronous": full, "foreign_keys": 1}

    async def test_readers_cannot_write(self, store: SqliteStore) -> None:
        with pytest.raises(StoreUnavailable):
            await store.read(lambda connection: put(connection, "accounts"))
        assert await count(store, "accounts") == 0

    async def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailable, match="does not exist"):
            await open_store(f"sqlite:///{tmp_path}/nowhere/tocsin.db")

    async def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "tocsin.db").write_bytes(b"this is not SQLite" * 100)
        with pytest.raises(StoreUnavailable):
            await open_store(f"sqlite:///{tmp_path}/tocsin.db")

    async def test_the_log_is_folded_back_although_somebody_reads(self, store: SqliteStore, tmp_path: Path) -> None:
        reading, done = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow_read(connection: object) -> None:
            connection.exec_driver_sql("select count(*) from accounts").scalar_one()  # type: ignore[attr-defined]
            loop.call_soon_threadsafe(reading.set)
            asyncio.run_coroutine_threadsafe(done.wait(), loop).result()

        reader = asyncio.ensure_future(store.read(slow_read))
        await reading.wait()
        big = "x" * 1_000_000
        for n in range(CHECKPOINT_BYTES // 1_000_000 + 2):
            await store.write(lambda c, n=n: put(c, "accounts", {"id": f"a{n}", "name": big}))  # type: ignore[misc]
        wal = tmp_path / "tocsin.db-wal"
        assert wal.stat().st_size > CHECKPOINT_BYTES  # the reader is in the way, and nobody waits for it
        done.set()
        await reader
        await store.write(lambda connection: put(connection, "accounts"))
        assert wal.stat().st_size == 0
