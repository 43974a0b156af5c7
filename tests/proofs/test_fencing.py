"""A worker that is stopped, loses its lease and wakes up late changes nothing: the delivery has moved on without it."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import Connection, select

from gateway.books import verify_ledger
from gateway.store import tables
from gateway.store.engine import open_store
from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.proofs.load import all_ended
from tests.proofs.server import ACCOUNT, PRICE_MICROS, Server
from tests.scenarios.conftest import StartSmsc
from tests.scenarios.installation import smpp

LEASES = {"lease_s": 5, "unsure_s": 1}
ANSWER_MS = 5_000
"""As long as the lease, which has to be lost anyway: the worker is stopped well before."""


@pytest.mark.timeout(180)
async def test_a_stopped_worker_that_goes_on_is_fenced_off(
    start_smsc: StartSmsc, durable_postgresql_url: str, tmp_path: Path
) -> None:
    slow, quick = start_smsc(answer_delay_ms=ANSWER_MS), start_smsc()
    first = _server(tmp_path / "a", slow, durable_postgresql_url)
    second = _server(tmp_path / "b", quick, durable_postgresql_url)
    await first.set_up()
    second.key = first.key
    try:
        await first.start()
        await second.start()
        async with first.client() as to_first, second.client() as to_second:
            alert_id = await _taken(to_first, "one")
            await slow.received(1)
            first.pause()  # its attempt is under way, the answer will wait in its socket
            await all_ended(to_second, 60)
            assert (await quick.stats())["accepted"] == 1
            first.resume()
            await eventually(lambda: "outcome_fenced" in first.output, 30, what="the fence")
            await slow.behave(answer_delay_ms=0)
            await _taken(to_first, "two")  # it works on as before
            await all_ended(to_first, 60)
    finally:
        await first.stop()
        await second.stop()
    store = await open_store(durable_postgresql_url)
    try:
        assert await store.read(lambda connection: _attempts(connection, alert_id)) == [
            ("delivered", 1, "accepted", PRICE_MICROS),
            ("delivered", 2, "accepted", PRICE_MICROS),
        ]
        revenue = select(tables.balances.c.amount_micros).where(tables.balances.c.name == f"revenue:{ACCOUNT}")
        assert await store.read(lambda connection: connection.scalar(revenue)) == 2 * PRICE_MICROS
        assert await store.read(verify_ledger) == []
    finally:
        await store.close()


def _server(folder: Path, smsc: NodeSmsc, store_url: str) -> Server:
    folder.mkdir()
    return Server(folder, [smpp("carrier-a", smsc.port)], store_url=store_url, delivery=LEASES)


async def _taken(session: aiohttp.ClientSession, text: str) -> str:
    async with session.post("/v1/alerts", json={"text": text, "recipients": ["sms:+33612345678"]}) as answer:
        assert answer.status == 202, await answer.text()
        return str((await answer.json())["id"])


def _attempts(connection: Connection, alert_id: str) -> list[tuple[str, int, str, int]]:
    """(state, epoch, outcome, charged) of the delivery's attempts."""
    d, a = tables.deliveries.c, tables.attempts.c
    found = (
        select(d.state, a.epoch, a.outcome, d.captured_micros)
        .join(tables.attempts, a.delivery_id == d.id)
        .where(d.alert_id == alert_id)
        .order_by(a.epoch)
    )
    return [(row.state, row.epoch, row.outcome, row.captured_micros) for row in connection.execute(found)]
