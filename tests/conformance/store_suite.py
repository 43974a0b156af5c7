"""What every store must do, whichever database it is: one suite, run by a test file for each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, insert, inspect, select, text

from gateway.store import tables
from gateway.store.engine import open_store
from gateway.store.errors import StoreConflict, StoreUnavailable
from tests.gateway.desk import Opened

ACCOUNT = {"id": "acme", "name": "acme", "currency": "EUR", "callback_secret": "x", "created_at": 1}
ALERT: dict[str, Any] = {
    "id": "alt_1",
    "account_id": "acme",
    "key_id": "key_1",
    "status": "active",
    "priority": 2,
    "subject": "",
    "text": "Fire",
    "language": "",
    "source": "api",
    "rule": "none",
    "quorum": 0,
    "callback_n": 0,
    "people": 1,
    "files": 0,
    "recipients": "[]",
    "steps": "[]",
    "step": 1,
    "expanded": 1,
    "expanding": 1,
    "hold_left_micros": 0,
    "created_at": 1,
    "start_at": 1,
    "expires_at": 9,
    "look_at": 9,
}
DELIVERY: dict[str, Any] = {
    "id": "dlv_1",
    "alert_id": "alt_1",
    "account_id": "acme",
    "step": 0,
    "recipient": 0,
    "person": "ada",
    "address": "sms:+33600000001",
    "urgency": 2,
    "state": "queued",
    "code": "",
    "provider": "a",
    "exhausted": "",
    "epoch": 0,
    "chain": 0,
    "tries": 0,
    "units": 1,
    "price_micros": 5,
    "hold_micros": 5,
    "captured_micros": 0,
    "resend": 1,
    "language": "",
    "created_at": 1,
    "due_at": 1,
    "look_at": 1,
    "deadline_at": 9,
}
ATTEMPT: dict[str, Any] = {
    "delivery_id": "dlv_1",
    "epoch": 1,
    "chain": 1,
    "provider": "a",
    "started_at": 1,
    "outcome": "",
    "code": "",
    "detail": "",
}
PART: dict[str, Any] = {
    "delivery_id": "dlv_1",
    "chain": 1,
    "n": 1,
    "epoch": 1,
    "provider": "a",
    "provider_message_id": "id-1",
    "receipt_id": "id-1",
    "units": 1,
    "state": "accepted",
    "code": "",
    "raw": "",
    "sent_at": 1,
}
TARIFF: dict[str, Any] = {
    "channel": "sms",
    "prefix": "+33",
    "version": 1,
    "price_micros": 5,
    "charged_on": "accepted",
    "unknown_end": "capture",
    "created_at": 1,
}
KEY: dict[str, Any] = {"id": "key_1", "digest": b"d", "account_id": "acme", "role": "submitter", "created_at": 1}
CALLBACK: dict[str, Any] = {
    "alert_id": "alt_1",
    "n": 1,
    "account_id": "acme",
    "url": "https://example.org",
    "body": "{}",
    "state": "pending",
    "tries": 0,
    "code": "",
    "due_at": 1,
    "created_at": 1,
}

LEGAL: list[tuple[str, dict[str, Any]]] = [
    *(("deliveries", {"state": state}) for state in ("queued",)),
    *(("deliveries", {"state": state, "epoch": 1}) for state in ("sending", "unsure", "accepted")),
    ("deliveries", {"state": "accepted", "epoch": 1, "settled_at": 2, "captured_micros": 5}),
    *(
        ("deliveries", {"state": state, "settled_at": 2, "captured_micros": captured})
        for state in ("delivered", "failed", "expired", "cancelled")
        for captured in (0, 5)
    ),
    ("alerts", {"id": "alt_2", "status": "acknowledged", "ended_at": 2}),
    ("alerts", {"id": "alt_2", "status": "completed", "ended_at": 2}),
    ("attempts", {"outcome": "accepted", "at": 2}),
]
ILLEGAL: list[tuple[str, dict[str, Any]]] = [
    ("deliveries", {"state": "sent"}),
    *(
        ("deliveries", {"state": state, "epoch": 1, "settled_at": None})
        for state in ("delivered", "failed", "expired", "cancelled")
    ),
    *(("deliveries", {"state": state, "epoch": 1, "settled_at": 2}) for state in ("queued", "sending", "unsure")),
    *(("deliveries", {"state": state, "epoch": 0}) for state in ("sending", "unsure")),
    ("deliveries", {"state": "delivered", "settled_at": 2, "captured_micros": 6}),
    ("deliveries", {"state": "delivered", "settled_at": 2, "captured_micros": -1}),
    ("deliveries", {"units": 0}),
    ("deliveries", {"alert_id": "alt_unknown"}),
    ("deliveries", {"address": None}),
    ("alerts", {"id": "alt_2", "status": "open"}),
    ("alerts", {"id": "alt_2", "status": "active", "ended_at": 2}),
    ("alerts", {"id": "alt_2", "priority": 4}),
    ("alerts", {"id": "alt_2", "priority": -1}),
    ("alerts", {"id": "alt_2", "rule": "some"}),
    ("alerts", {"id": "alt_2", "expanded": 2}),
    ("alerts", {"id": "alt_2", "hold_left_micros": -1}),
    ("alerts", {"id": "alt_2", "account_id": "nobody"}),
    ("attempts", {"outcome": "sent", "at": 2}),
    ("attempts", {"outcome": "accepted"}),
    ("attempts", {"at": 2}),
    ("attempts", {"delivery_id": "dlv_unknown"}),
    ("parts", {"state": "sent"}),
    ("parts", {"delivery_id": "dlv_unknown"}),
    ("tariffs", {"price_micros": -1}),
    ("tariffs", {"charged_on": "sent"}),
    ("tariffs", {"unknown_end": "keep"}),
    ("keys", {"role": "owner"}),
    ("keys", {"account_id": None}),
    ("keys", {"account_id": None, "role": "account_admin"}),
    ("callbacks", {"state": "lost"}),
    ("accounts", {"id": "other", "floor_micros": 1}),
    ("accounts", {}),
]
_ROWS = {
    "accounts": ACCOUNT,
    "alerts": ALERT,
    "deliveries": DELIVERY,
    "attempts": ATTEMPT,
    "parts": PART,
    "tariffs": TARIFF,
    "keys": KEY,
    "callbacks": CALLBACK,
}
_BEFORE: dict[str, tuple[str, ...]] = {"attempts": ("deliveries",), "parts": ("deliveries",)}


def put(connection: Connection, table: str, change: dict[str, Any] | None = None) -> None:
    """Inserts the example row of the table with some columns changed."""
    connection.execute(insert(tables.metadata.tables[table]).values({**_ROWS[table], **(change or {})}))


async def write(store: Opened, table: str, change: dict[str, Any], *, raising: bool = False) -> None:
    """An alert, what the row depends on, and the row; `raising` takes them back by a ZeroDivisionError."""

    def work(connection: Connection) -> None:
        for one in ("accounts", "alerts", *_BEFORE.get(table, ())):
            put(connection, one)
        put(connection, table, change)
        if raising:
            raise ZeroDivisionError

    await store.write(work)


async def count(store: Opened, table: str) -> int:
    statement = select(tables.metadata.tables[table])
    return len(await store.read(lambda connection: connection.execute(statement).all()))


class StoreSuite:
    async def test_every_legal_row_is_taken(self, store: Opened) -> None:
        for table, change in LEGAL:
            with pytest.raises(ZeroDivisionError):  # nothing refused it; the next one is to find an empty table
                await write(store, table, change, raising=True)

    async def test_every_illegal_row_is_refused(self, store: Opened) -> None:
        taken = []
        for table, change in ILLEGAL:
            try:
                await write(store, table, change, raising=True)
            except StoreConflict:
                continue
            except ZeroDivisionError:
                taken.append((table, change))
        assert taken == []

    async def test_what_raises_writes_nothing(self, store: Opened) -> None:
        def work(connection: Connection) -> None:
            put(connection, "accounts")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await store.write(work)
        assert await count(store, "accounts") == 0

    async def test_a_read_sees_what_was_committed_and_writes_nothing(self, store: Opened) -> None:
        await store.write(lambda connection: put(connection, "accounts"))
        assert await count(store, "accounts") == 1

    async def test_a_statement_that_is_none_is_the_stores_failure_and_it_goes_on(self, store: Opened) -> None:
        with pytest.raises(StoreUnavailable):
            await store.write(lambda connection: connection.execute(text("select nothing from nowhere")).close())
        await store.write(lambda connection: put(connection, "accounts"))

    async def test_many_readers_beside_a_writer(self, store: Opened) -> None:
        await store.write(lambda connection: put(connection, "accounts"))
        reads = [count(store, "accounts") for _ in range(30)]
        changes = [
            store.write(lambda c, n=n: put(c, "accounts", {"id": f"other-{n}"}))  # type: ignore[misc]  # bound now
            for n in range(5)
        ]
        found = await asyncio.gather(*reads, *changes)
        assert all(n is None or 1 <= n <= 6 for n in found)
        assert await count(store, "accounts") == 6

    async def test_large_numbers_and_any_text_come_back_as_they_were(self, store: Opened) -> None:
        odd = {"name": "É🔥\u202e'\"%s?:x", "floor_micros": -(2**62), "created_at": 2**62}
        await store.write(lambda connection: put(connection, "accounts", odd))
        row = await store.read(lambda connection: connection.execute(select(tables.accounts)).one())
        assert {name: row._mapping[name] for name in odd} == odd

    async def test_opening_again_changes_nothing(self, store: Opened, url: str) -> None:
        await store.write(lambda connection: put(connection, "accounts"))
        before = await store.read(schema)
        await store.close()
        again = await open_store(url)
        try:
            assert await again.read(schema) == before
            assert await count(again, "accounts") == 1
        finally:
            await again.close()


def schema(connection: Connection) -> dict[str, Any]:
    """Tables with their columns, and the revision."""
    found = inspect(connection)
    names = sorted(found.get_table_names())
    columns = {name: sorted(column["name"] for column in found.get_columns(name)) for name in names}
    return {**columns, "revision": connection.execute(text("select version_num from alembic_version")).scalar_one()}
