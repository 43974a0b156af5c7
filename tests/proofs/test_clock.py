"""A clock that jumps an hour, forwards or back, does no harm to what is under way: no lease is lost, nothing expires."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.books import verify_ledger
from gateway.clock import SystemClock
from gateway.store import tables
from gateway.store.engine import open_store
from tests.peers.smsc import NodeSmsc
from tests.proofs.load import all_ended
from tests.proofs.server import Server
from tests.scenarios.installation import smpp

HOUR_S = 3_600
COUNT = 10


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_the_clock_given_out_never_jumps(monkeypatch: pytest.MonkeyPatch, step_s: int) -> None:
    wall, mono = 1_800_000_000.0, 5_000.0
    monkeypatch.setattr(time, "time", lambda: wall)
    monkeypatch.setattr(time, "monotonic", lambda: mono)
    clock = SystemClock()
    before = clock.now()
    wall, mono = wall + step_s + 10, mono + 10
    gone = clock.now() - before
    assert timedelta(seconds=10 * (1 - SystemClock.SLEW)) <= gone <= timedelta(seconds=10 * (1 + SystemClock.SLEW))
    for _ in range(HOUR_S * 24):  # a day later it has walked to where the system's clock is
        wall, mono = wall + 1, mono + 1
        clock.now()
    assert abs(clock.now().timestamp() - wall) < 0.001


async def test_a_jump_with_messages_in_flight_does_no_harm(smsc: NodeSmsc, tmp_path: Path) -> None:
    steps = tmp_path / "steps"
    steps.write_text("0")
    await smsc.behave(answer_delay_ms=700, receipt_delay_ms=700)
    server = Server(
        tmp_path,
        [smpp("carrier-a", smsc.port)],
        wrapper=[sys.executable, "-m", "tests.proofs.stepped", steps],
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        delivery={"lease_s": 5},
    )
    await server.set_up()
    await server.start()
    ids: list[str] = []
    try:
        async with server.client() as session:
            for offset_s in (HOUR_S, 0, -HOUR_S, 0):
                for n in range(COUNT):
                    body = {"text": f"alert {len(ids)}", "recipients": [f"sms:+33{600_000_000 + len(ids)}"]}
                    async with session.post("/v1/alerts", json=body | {"expires_after_s": 600}) as answer:
                        assert answer.status == 202, (n, await answer.text())
                        ids.append((await answer.json())["id"])
                await smsc.received(len(ids))
                steps.write_text(str(offset_s))  # answers and receipts are still to come
                await all_ended(session, 60)
    finally:
        await server.stop()
    store = await open_store(server.store_url)
    try:
        deliveries = select(tables.deliveries.c.state, tables.deliveries.c.epoch)
        found = await store.read(lambda connection: [tuple(row) for row in connection.execute(deliveries)])
        assert found == [("delivered", 1)] * len(ids)
        a = tables.attempts.c
        took = await store.read(lambda connection: list(connection.scalars(select(a.at - a.started_at))))
        assert all(0 < micros < 30 * 10**6 for micros in took)
        assert await store.read(verify_ledger) == []
    finally:
        await store.close()
