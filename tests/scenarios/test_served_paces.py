"""Paced SMPP through `tocsin serve`, as anybody starts it: each text once, over links that are kept."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from channels.sms.smpp.wire import RTHROTTLED
from tests.peers.rust_smsc import RustSmsc
from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.proofs.server import Server
from tests.scenarios.conftest import StartSmsc
from tests.scenarios.installation import Table, smpp

WITHIN_S = 90.0
"""The slowest of these takes five seconds on an idle machine."""
PACES = {1: 3, 10: 20, 50: 100, 100: 200, 200: 600, 1_000: 1_500}
"""How many texts at each rate a second: the slow ones few, the quick ones for more than a second."""


@contextlib.asynccontextmanager
async def serving(folder: Path, *providers: Table) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of `tocsin serve` with these providers, the n-th for the numbers that begin with +336n.

    `unsure_s` is long: a text that is in doubt would be seen as such, and not be sent again in time.
    """
    routes = [{"channel": "sms", "prefix": f"+336{n}", "providers": [one["name"]]} for n, one in enumerate(providers)]
    server = Server(folder, providers, routes=routes, delivery={"unsure_s": 60})
    await server.set_up()
    try:
        await server.start()
        async with server.client() as client:
            yield client
    finally:
        await server.stop()


async def submit(client: aiohttp.ClientSession, count: int, *, over: int = 0, first: int = 0) -> str:
    """One alert to so many numbers of the provider. Gives its id."""
    recipients = [f"sms:+336{over}{first + n:07}" for n in range(count)]
    async with client.post("/v1/alerts", json={"text": "Water in hall 3", "recipients": recipients}) as answer:
        assert answer.status == 202, await answer.text()
        alert_id: str = (await answer.json())["id"]
        return alert_id


async def completed(client: aiohttp.ClientSession, *alerts: str) -> None:
    """Waits for the end of alerts."""

    async def over() -> bool:
        async with client.get(f"/v1/alerts/{alert_id}") as answer:
            return bool((await answer.json())["status"] == "completed")

    for alert_id in alerts:
        await eventually(over, WITHIN_S, what=f"the end of {alert_id}")


async def came_once(smsc: NodeSmsc | RustSmsc, count: int) -> None:
    """Checks that the SMSC took so many texts, each for another number, over one session."""
    if isinstance(smsc, NodeSmsc):
        destinations = [one.destination for one in await smsc.messages() if one.outcome == "accepted"]
        binds = (await smsc.stats())["binds"]
    else:
        destinations, binds = [one.destination for one in smsc.taken], smsc.binds
    assert (len(destinations), len(set(destinations)), binds) == (count, count, 1)


def nothing_was_doubted(folder: Path, count: int) -> None:
    """Checks what the gateway wrote down: of so many attempts each was accepted, or told to come later, and none is in doubt."""
    with contextlib.closing(sqlite3.connect(folder / "tocsin.db")) as books:
        outcomes = Counter(
            row[0] for row in books.execute("select outcome from attempts where outcome != 'retry_later'")
        )
    assert outcomes == {"accepted": count}


@pytest.mark.parametrize("kind", ["npm", "rust"])
async def test_case_0_2_paced_links_send_each_text_once_and_are_kept(
    start_smsc: StartSmsc, tmp_path: Path, kind: str
) -> None:
    async with contextlib.AsyncExitStack() as started:
        smscs: list[NodeSmsc | RustSmsc] = [
            start_smsc(answer_delay_ms=3) if kind == "npm" else await started.enter_async_context(RustSmsc())
            for _ in PACES
        ]
        paced = zip(PACES, smscs, strict=True)
        providers = [smpp(f"carrier-{rate}", smsc.port, rate_per_s=rate) for rate, smsc in paced]
        client = await started.enter_async_context(serving(tmp_path, *providers))
        alerts = [await submit(client, count, over=n) for n, count in enumerate(PACES.values())]
        await completed(client, *alerts)
        for smsc, count in zip(smscs, PACES.values(), strict=True):
            await came_once(smsc, count)
        nothing_was_doubted(tmp_path, sum(PACES.values()))


async def test_case_0_2_requests_of_one_text_each_at_a_pace(start_smsc: StartSmsc, tmp_path: Path) -> None:
    count, at_once = 400, 20
    smsc = start_smsc(answer_delay_ms=3)
    async with serving(tmp_path, smpp("carrier", smsc.port, rate_per_s=500)) as client:
        alerts: list[str] = []
        for begin in range(0, count, at_once):
            alerts += await asyncio.gather(*(submit(client, 1, first=begin + n) for n in range(at_once)))
        await completed(client, *alerts)
        await came_once(smsc, count)
        nothing_was_doubted(tmp_path, count)


async def test_case_0_2_one_throttle_slows_a_link_and_doubles_nothing(start_smsc: StartSmsc, tmp_path: Path) -> None:
    npm = start_smsc()
    async with RustSmsc(lambda n: RTHROTTLED if n == 250 else 0) as rust:
        async with serving(tmp_path, smpp("npm", npm.port), smpp("rust", rust.port)) as client:
            await npm.behave(throttle=1_000)
            throttled = await submit(client, 1, first=1_000)

            async def seen() -> bool:
                return (await npm.stats())["throttled"] > 0

            await eventually(seen, WITHIN_S, what="a throttled text")
            await npm.behave(throttle=0)
            alerts = [await submit(client, 100), await submit(client, 300, over=1)]
            await completed(client, throttled, *alerts)
            await came_once(npm, 101)
            await came_once(rust, 300)
            assert rust.refused == {RTHROTTLED: 1}
        nothing_was_doubted(tmp_path, 401)
