"""The store on PostgreSQL: the suite for every store, and what is particular to this one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway.store.engine import PostgresStore, open_store
from gateway.store.errors import StoreUnavailable
from tests.conformance.store_suite import StoreSuite, count, put
from tests.peers.ports import free_port


@pytest.fixture
def url(postgresql_url: str) -> str:
    return postgresql_url


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    opened = await open_store(url)
    assert isinstance(opened, PostgresStore)
    yield opened
    with contextlib.suppress(RuntimeError):  # the test has closed it
        await opened.close()


class TestPostgresStore(StoreSuite):
    async def test_processes_that_start_together_migrate_once(self, url: str) -> None:
        stores = await asyncio.gather(*(open_store(url) for _ in range(3)))
        try:
            await stores[0].write(lambda connection: put(connection, "accounts"))
            assert [await count(store, "accounts") for store in stores] == [1, 1, 1]
        finally:
            for store in stores:
                await store.close()

    async def test_nobody_answers(self) -> None:
        with pytest.raises(StoreUnavailable):
            await open_store(f"postgresql://tocsin@127.0.0.1:{free_port()}/nowhere")

    async def test_a_database_that_is_not_there(self, url: str) -> None:
        with pytest.raises(StoreUnavailable):
            await open_store(f"{url}_not")
