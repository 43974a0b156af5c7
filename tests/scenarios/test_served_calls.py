"""Calls by TCP through `tocsin serve`, as anybody starts it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from gateway import administration
from gateway.clock import SystemClock
from gateway.store.engine import open_store
from tests.peers.sipp import Sipp, answers, invited, pause, presses, presses_until_bye, reply
from tests.peers.waiting import eventually
from tests.proofs.server import Server
from tests.scenarios.installation import sip

ANNA = "voice:+33612345678"
WITHIN_S = 60.0


def _price(connection: Connection) -> None:
    administration.set_tariff(connection, SystemClock().now(), channel="voice", prefix="", price_micros=100_000)


async def test_case_0_1_a_key_acknowledges_in_a_call_by_tcp(tmp_path: Path) -> None:
    said = (pause(300), presses("2"), pause(600), presses_until_bye(tmp_path), reply("200 OK"))
    with Sipp(tmp_path, invited(), answers(), *said, transport="t1") as phone:
        server = Server(tmp_path, [sip("pbx", phone.port, transport="tcp")])
        await server.set_up()
        store = await open_store(server.store_url)
        await store.write(_price)
        await store.close()
        await server.start()
        try:
            async with server.client() as client:
                order = {
                    "text": "Fire",
                    "recipients": [ANNA],
                    "priority": "emergency",
                    "acknowledgement": {"rule": "any"},
                }
                async with client.post("/v1/alerts", json=order) as answer:
                    alert = (await answer.json())["id"]

                async def acknowledged() -> bool:
                    async with client.get(f"/v1/alerts/{alert}") as answer:
                        return bool((await answer.json())["status"] == "acknowledged")

                await eventually(acknowledged, WITHIN_S, what="an acknowledgement")
                await phone.done()
        finally:
            await server.stop()
