"""Large requests of one account and an emergency of another: nobody's work is done before the emergency is taken."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Connection

from gateway import administration as admin
from gateway.clock import SystemClock
from gateway.store.engine import open_store
from tests.proofs.server import ACCOUNT, Server
from tests.scenarios.installation import smpp

RECIPIENTS = 49_500
WRITTEN = 15_000
MEMBERS = 3_000
CPU_S_MAX = 0.5
"""Of the server's processor while one emergency waits for its answer. On a slow machine everything takes longer, and this does not:
six dry runs of 198,000 deliveries cost two seconds of it before an emergency had its turn."""
EMERGENCIES = 6
WITHIN_S = 60.0
JSON = {"Content-Type": "application/json"}


def _bulk(*, dry_run: bool, recipients: int = RECIPIENTS) -> bytes:
    numbers = [f"sms:+336{n:08}" for n in range(recipients)]
    steps = [{"after_s": 0}, {"after_s": 60}]
    body = {"text": "x", "priority": "bulk", "recipients": numbers, "steps": steps, "dry_run": dry_run}
    return json.dumps(body).encode()


def _notification() -> bytes:
    members = [
        {
            "status": "firing",
            "labels": {"alertname": "Down", "instance": f"host{n}"},
            "annotations": {"summary": "x" * 200},
        }
        for n in range(MEMBERS)
    ]
    group = {"version": "4", "groupKey": "{}:{}", "status": "firing", "receiver": "tocsin", "alerts": members}
    return json.dumps({**group, "groupLabels": {"alertname": "Down"}, "commonLabels": {"alertname": "Down"}}).encode()


@dataclass(kw_only=True)
class Keys:
    """Two accounts: one that asks for much, with several keys, and one with an emergency."""

    large: list[str]
    emergency: str = ""


def _keys(connection: Connection) -> Keys:
    now = SystemClock().now()
    admin.create_account(connection, now, account_id="ward", name="ward", currency="EUR")
    admin.top_up(connection, now, account_id="ward", amount_micros=10**9, reference="x")
    large = [admin.create_key(connection, now, account_id=ACCOUNT, role="submitter")[1] for _ in range(4)]
    return Keys(large=large, emergency=admin.create_key(connection, now, account_id="ward", role="submitter")[1])


class Hospital:
    """A server on which some ask for much."""

    def __init__(self, server: Server, keys: Keys, opened: AsyncExitStack) -> None:
        self._server = server
        self._keys = keys
        self._opened = opened

    async def client(self, key: str) -> aiohttp.ClientSession:
        headers = {"Authorization": f"Bearer {key}"}
        timeout = aiohttp.ClientTimeout(total=10 * WITHIN_S)
        session = aiohttp.ClientSession(self._server.url, headers=headers, timeout=timeout)
        return await self._opened.enter_async_context(session)

    async def large(self, n: int) -> aiohttp.ClientSession:
        return await self.client(self._keys.large[n])

    def processor_s(self) -> float:
        """What the server has used of it so far."""
        fields = Path(f"/proc/{self._server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def longest(self, under_way: Callable[[], bool]) -> float:
        """The most that the server's processor did while an emergency waited, of several, as long as there is work."""
        most, taken = 0.0, 0
        ward = await self.client(self._keys.emergency)
        body = {"text": "Fire", "priority": "emergency", "recipients": ["sms:+33699999999"]}
        while taken < EMERGENCIES and under_way():
            before = self.processor_s()
            async with ward.post("/v1/alerts", json=body) as answer:
                assert answer.status == 202, await answer.text()
            most = max(most, self.processor_s() - before)
            taken += 1
            await asyncio.sleep(0.05)  # so that large work goes on between
        assert taken > 2, "the work was over before anybody could have been in its way"
        return most


@pytest.fixture
async def hospital(tmp_path: Path) -> AsyncIterator[Hospital]:
    rule = {
        "name": "all",
        "source": "alertmanager",
        "account": ACCOUNT,
        "per": "member",
        "recipients": ["sms:+33612345678"],
    }
    server = Server(tmp_path, [smpp("carrier", 9)], alerts={"recipients_max": 100_000}, rules=[rule])
    await server.set_up()
    store = await open_store(server.store_url)
    try:
        keys = await store.write(_keys)
    finally:
        await store.close()
    await server.start()
    try:
        async with AsyncExitStack() as opened:
            yield Hospital(server, keys, opened)
    finally:
        await server.kill()  # with work of minutes under way


async def _posted(client: aiohttp.ClientSession, path: str, body: bytes) -> int:
    async with client.post(path, data=body, headers=JSON) as answer:
        await answer.read()
        return answer.status


async def test_case_7_12_an_emergency_is_taken_before_large_requests_of_others(hospital: Hospital) -> None:
    one, two, three = [await hospital.large(n) for n in range(3)]
    foreseen = _bulk(dry_run=True)
    work: list[Awaitable[Any]] = [
        *(_posted(two, "/v1/alerts", foreseen) for _ in range(2)),
        _posted(three, "/v1/alerts", _bulk(dry_run=False)),
        _posted(three, "/v1/intake/alertmanager", _notification()),
    ]
    mine = [asyncio.create_task(_answered(one, foreseen)) for _ in range(3)]
    tasks: list[asyncio.Task[Any]] = [*mine, *map(asyncio.ensure_future, work)]
    try:
        await _one_too_many(one, mine)
        most = await hospital.longest(lambda: not all(task.done() for task in tasks))
        assert most <= CPU_S_MAX
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _answered(client: aiohttp.ClientSession, body: bytes) -> tuple[int, str, Any]:
    async with client.post("/v1/alerts", data=body, headers=JSON) as answer:
        return answer.status, answer.headers.get("Retry-After", ""), await answer.json()


async def _one_too_many(client: aiohttp.ClientSession, asked: list[asyncio.Task[tuple[int, str, Any]]]) -> None:
    """Of three requests of one key two are under way; the other one is answered before them, and says why."""
    done, _ = await asyncio.wait(asked, timeout=WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
    status, again_s, told = done.pop().result()
    assert (status, told["type"]) == (429, "/problems/too-much-under-way")
    assert again_s == "5"
    assert "at most 2 large requests of one key under way" in told["detail"]
    async with client.get("/metrics") as answer:
        metrics = await answer.text()
    assert 'tocsin_large_requests_refused_total{bound="key"} 1.0' in metrics


async def test_case_7_12_an_emergency_is_taken_while_a_large_alert_is_written_and_listed(hospital: Hospital) -> None:
    client = await hospital.large(0)
    async with client.post("/v1/alerts", data=_bulk(dry_run=False, recipients=WRITTEN), headers=JSON) as answer:
        assert answer.status == 202
        alert = (await answer.json())["id"]

    async def listing(path: str) -> None:
        while True:
            async with client.get(f"/v1/alerts/{alert}{path}") as answer:
                assert answer.status == 200
                await answer.read()

    tasks = [asyncio.create_task(listing(path)) for path in ("/timeline", "/deliveries?limit=200", "") * 2]
    try:
        assert await hospital.longest(lambda: not any(task.done() for task in tasks)) <= CPU_S_MAX
        async with client.post(f"/v1/alerts/{alert}/cancel", json={}) as answer:
            assert answer.status == 200, await answer.text()
        assert await hospital.longest(lambda: not any(task.done() for task in tasks)) <= CPU_S_MAX
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
