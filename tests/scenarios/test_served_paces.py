"""Paced SMPP through `tocsin serve`, as anybody starts it: each text once, over one link that is kept."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.proofs.server import Server
from tests.scenarios.conftest import StartSmsc
from tests.scenarios.installation import smpp

WITHIN_S = 90.0
"""The slowest of these takes five seconds on an idle machine."""


@contextlib.asynccontextmanager
async def serving(folder: Path, smsc: NodeSmsc, **keys: Any) -> AsyncIterator[tuple[Server, aiohttp.ClientSession]]:
    """`tocsin serve` with one provider towards the SMSC. `unsure_s` is long: a doubted text would be seen as such."""
    server = Server(folder, [smpp("carrier", smsc.port, **keys)], delivery={"unsure_s": 60})
    await server.set_up()
    try:
        await server.start()
        async with server.client() as client:
            yield server, client
    finally:
        await server.stop()


async def submit(client: aiohttp.ClientSession, count: int, *, first: int = 0) -> str:
    """One alert to so many numbers. Gives its id."""
    recipients = [f"sms:+336{first + n:08}" for n in range(count)]
    async with client.post("/v1/alerts", json={"text": "Water in hall 3", "recipients": recipients}) as answer:
        assert answer.status == 202, await answer.text()
        alert_id: str = (await answer.json())["id"]
        return alert_id


async def completed(client: aiohttp.ClientSession, alert_id: str) -> None:
    """Waits for the end of an alert."""

    async def over() -> bool:
        async with client.get(f"/v1/alerts/{alert_id}") as answer:
            return bool((await answer.json())["status"] == "completed")

    await eventually(over, WITHIN_S, what=f"the end of {alert_id}")


async def each_once(folder: Path, smsc: NodeSmsc, count: int) -> None:
    """Checks what the SMSC took and what the gateway wrote down of it."""
    sent = Counter(message.destination for message in await smsc.messages() if message.outcome == "accepted")
    assert (len(sent), sent.total()) == (count, count)
    with contextlib.closing(sqlite3.connect(folder / "tocsin.db")) as books:
        outcomes = Counter(
            row[0] for row in books.execute("select outcome from attempts where outcome != 'retry_later'")
        )
    assert outcomes == {"accepted": count}
    assert (await smsc.stats())["binds"] == 1


@pytest.mark.parametrize(
    ("rate_per_s", "count"), [(1, 3), (10, 20), (50, 100), (100, 200), (200, 600), (1_000, 1_500)], ids=str
)
async def test_case_0_2_a_paced_link_sends_each_text_once_and_is_kept(
    start_smsc: StartSmsc, tmp_path: Path, rate_per_s: int, count: int
) -> None:
    smsc = start_smsc(answer_delay_ms=3)
    async with serving(tmp_path, smsc, rate_per_s=rate_per_s) as (_, client):
        await completed(client, await submit(client, count))
        await each_once(tmp_path, smsc, count)


async def test_case_0_2_requests_of_one_text_each_at_a_pace(start_smsc: StartSmsc, tmp_path: Path) -> None:
    count, at_once = 400, 20
    smsc = start_smsc(answer_delay_ms=3)
    async with serving(tmp_path, smsc, rate_per_s=500) as (_, client):
        alerts: list[str] = []
        for begin in range(0, count, at_once):
            alerts += await asyncio.gather(*(submit(client, 1, first=begin + n) for n in range(at_once)))
        for alert_id in alerts:
            await completed(client, alert_id)
        await each_once(tmp_path, smsc, count)


async def test_case_0_2_one_throttle_slows_the_link_and_doubles_nothing(start_smsc: StartSmsc, tmp_path: Path) -> None:
    smsc = start_smsc()
    async with serving(tmp_path, smsc) as (_, client):
        await completed(client, await submit(client, 300))
        await smsc.behave(throttle=1_000)
        throttled = await submit(client, 1, first=1_000)

        async def seen() -> bool:
            return (await smsc.stats())["throttled"] > 0

        await eventually(seen, WITHIN_S, what="a throttled text")
        await smsc.behave(throttle=0)
        await completed(client, await submit(client, 200, first=2_000))
        await completed(client, throttled)
        await each_once(tmp_path, smsc, 501)
