"""Lists over HTTP: whatever the number of rows and the size of a page, the cursors lead to the very end and name each row once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert

from gateway import administration as admin
from gateway.alert import Alert, Status
from gateway.api.paging import page_of, place_at
from gateway.clock import SystemClock, to_micros
from gateway.delivery import Delivery, State
from gateway.store import rows, tables
from gateway.store.engine import Store, open_store
from tests.proofs.server import ACCOUNT, Server
from tests.scenarios.installation import smpp

ROWS = 231
"""More than the largest page, and no multiple of a page."""
LIMITS = (None, 200, 199, 100, 77)
SET_UP = {"account": 1, "entry": 1, "tariff": 2}
"""Rows that the installation has besides, and the keys of the submitter, the administrator and the command line."""
Json = dict[str, Any]

LISTS: dict[str, tuple[str, int, Callable[[Json], Any]]] = {
    "/v1/accounts": ("", ROWS + SET_UP["account"], lambda one: one["id"]),
    "/v1/accounts/{account_id}/entries": ("", ROWS + SET_UP["entry"], lambda one: one["id"]),
    "/v1/alerts": ("", ROWS, lambda one: one["id"]),
    "/v1/alerts/{alert_id}/deliveries": ("", ROWS, lambda one: one["id"]),
    "/v1/alerts/{alert_id}/timeline": ("", 2 * ROWS + 1, lambda one: (one["kind"], one.get("delivery"))),
    "/v1/callbacks": ("state=done&", ROWS, lambda one: (one["alert"], one["number"])),
    "/v1/inbound": ("", ROWS, lambda one: one["id"]),
    "/v1/keys": ("", ROWS + 3, lambda one: one["id"]),
    "/v1/tariffs": ("", ROWS + SET_UP["tariff"], lambda one: (one["channel"], one["prefix"])),
}
"""Every list of the API: what to ask for, how many rows there are, and what tells one from the others."""
WHOLE = frozenset({"/v1/providers"})
"""Lists that the settings bound: they are given whole."""


class _Books:
    """An installation with more rows of everything than one page holds."""

    def __init__(self) -> None:
        self.now: datetime = SystemClock().now()
        self.administrator = ""
        self.alert = "alt_00000000000000000000000001"

    def fill(self, connection: Connection) -> None:
        """Writes them."""
        now = self.now
        _, self.administrator = admin.create_key(connection, now, account_id=None, role="administrator")
        for n in range(ROWS):
            admin.create_account(connection, now, account_id=f"a{n:03}", name="x", currency="EUR")
            admin.create_key(connection, now, account_id=ACCOUNT, role="submitter")
            admin.top_up(connection, now, account_id=ACCOUNT, amount_micros=1, reference=f"R{n}")
            admin.set_tariff(connection, now, channel="fax", prefix=f"+{n}", price_micros=1)
        alerts = [self._alert(n) for n in range(ROWS)]
        connection.execute(insert(tables.alerts), _rows(rows.alerts, alerts))
        connection.execute(insert(tables.deliveries), _rows(rows.deliveries, [self._delivery(n) for n in range(ROWS)]))
        connection.execute(insert(tables.callbacks), _rows(rows.callbacks, [self._callback(n) for n in range(ROWS)]))
        inbound = {"provider": "carrier", "channel": "sms", "source": "+33", "destination": "1", "text": "x"}
        connection.execute(
            insert(tables.inbound_messages),
            [{"id": f"inb_{n:026}", "at": to_micros(now), **inbound} for n in range(ROWS)],
        )

    def _alert(self, n: int) -> Alert:
        now = self.now
        return Alert(
            id=f"alt_{n + 1:026}", account_id=ACCOUNT, key_id="key_x", status=Status.COMPLETED, subject="", text="x",
            language="", reference=None, source="api", group_key=None, callback_url=None, people=1, files=0,
            recipients="[]", steps="[]", step=0, step_at=None, expanded=0, expanding=0, created_at=now, start_at=now,
            expires_at=now, ended_at=now, look_at=now + timedelta(days=1),
        )  # fmt: skip

    def _delivery(self, n: int) -> Delivery:
        now = self.now
        return Delivery(
            id=f"dlv_{n:026}", alert_id=self.alert, account_id=ACCOUNT, step=0, recipient=n, person="x",
            address=f"sms:+336{n:08}", urgency=2, state=State.CANCELLED, created_at=now, due_at=now, look_at=now,
            deadline_at=now, settled_at=now,
        )  # fmt: skip

    def _callback(self, n: int) -> rows.Callback:
        now = self.now
        return rows.Callback(
            alert_id=self.alert, n=n + 1, account_id=ACCOUNT, url="http://127.0.0.1/", body="{}", state="done",
            due_at=now, created_at=now, ended_at=now,
        )  # fmt: skip


def _rows(mapper: rows.Mapper[Any], values: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(zip(mapper.names, mapper.to_row(value), strict=True)) for value in values]


async def test_case_7_7_every_list_is_paged_to_its_very_end(tmp_path: Path) -> None:
    books = _Books()
    server = Server(tmp_path, [smpp("carrier", 9)])
    await server.set_up()
    store = await open_store(server.store_url)
    try:
        await store.write(books.fill)
    finally:
        await store.close()
    await server.start()
    try:
        headers = {"Authorization": f"Bearer {books.administrator}"}
        async with aiohttp.ClientSession(server.url, headers=headers) as http:
            assert await _lists_of(http) == {*LISTS, *WHOLE}, "a list that this test does not know of"
            for path, (query, total, told) in LISTS.items():
                here = path.format(account_id=ACCOUNT, alert_id=books.alert)
                for limit in LIMITS:
                    asked = f"{here}?{query}" + ("" if limit is None else f"limit={limit}&")
                    found = [told(one) for one in await _walked(http, asked)]
                    assert (len(found), len(set(found))) == (total, total), f"{asked}"
    finally:
        await server.stop()


async def _lists_of(http: aiohttp.ClientSession) -> set[str]:
    """The paths whose answer to a GET has `items`."""
    async with http.get("/openapi.json") as answer:
        document = await answer.json()
    schemas = document["components"]["schemas"]
    found = set()
    for path, operations in document["paths"].items():
        content = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        if "items" in schemas.get(reference.rpartition("/")[2], {}).get("properties", {}):
            found.add(path)
    return found


async def _walked(http: aiohttp.ClientSession, asked: str) -> list[Json]:
    items: list[Json] = []
    cursor = ""
    while True:
        async with http.get(asked + cursor) as answer:
            assert answer.status == 200, await answer.text()
            page = await answer.json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        assert page["items"], "a page that leads on has something in it"
        cursor = f"cursor={page['next_cursor']}"


class _Numbers:
    """A store that has nothing but a connection that nobody uses."""

    async def read_long(self, work: Callable[[Any], Any]) -> Any:
        return work(None)


@given(total=st.integers(0, 60), limit=st.integers(1, 61))
@settings(deadline=None)
async def test_any_number_of_rows_in_pages_of_any_size(total: int, limit: int) -> None:
    store: Store = _Numbers()  # type: ignore[assignment]
    everything = list(range(total))
    found: list[int] = []
    cursor: str | None = None
    while True:
        place = place_at(cursor, int)
        after = -1 if place is None else place[0]

        def read(_: Connection, most: int, after: int = after) -> list[int]:
            return [n for n in everything if n > after][:most]

        page = await page_of(store, read, limit, lambda n: [n], lambda n: n)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == everything
