"""Upstream under a server that dies all the time: clients that ask again with the same key, and hear the callbacks."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from tests.peers.waiting import eventually

BROADCAST_EVERY = 25  # every so many alerts one goes to 30 recipients
BROADCAST = 30
CALLED_BACK_EVERY = 3
PRIORITIES = ("normal", "normal", "high", "bulk", "emergency")
ASK_AGAIN_S = 0.2
TRIES_AGAIN = (429, 500, 502, 503, 504)
FIRST_NUMBER = 600_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One alert that upstream wants: its idempotency key and its body, the same at every try."""

    key: str
    body: bytes
    recipients: int
    called_back: bool


@dataclass(slots=True)
class Promises:
    """What was answered 202: alert id by idempotency key, and the order."""

    taken: dict[str, str] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    asked_again: int = 0
    replays: int = 0

    @property
    def deliveries(self) -> int:
        """How many deliveries were promised."""
        return sum(self.orders[key].recipients for key in self.taken)

    @property
    def called_back(self) -> set[str]:
        """The ids of the alerts whose end upstream wants to hear of."""
        return {alert_id for key, alert_id in self.taken.items() if self.orders[key].called_back}


class Callbacks:
    """A web server that takes callbacks: the numbers that came for each alert, and whether it was told of the end."""

    def __init__(self) -> None:
        self.numbers: dict[str, list[int]] = defaultdict(list)
        self.ended: set[str] = set()
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listens on a free loopback port."""
        application = web.Application()
        application.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"

    async def stop(self) -> None:
        """Ends it."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        self.numbers[body["alert"]].append(body["number"])
        if body["status"] == "completed":
            self.ended.add(body["alert"])
        return web.Response(status=204)


class Load:
    """`clients` that submit at `rate_per_s` together until told to stop, each asking until its order is answered 202."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        clients: int,
        rate_per_s: float,
        callback_url: str,
        chance: random.Random,
    ) -> None:
        self.promises = Promises()
        self._session = session
        self._clients = clients
        self._pause_s = clients / rate_per_s
        self._callback_url = callback_url
        self._chance = chance
        self._n = 0
        self._number = FIRST_NUMBER
        self._stopping = False

    async def run(self) -> None:
        """Submits until `stop`; what was begun is answered."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._clients):
                group.create_task(self._client())

    def stop(self) -> None:
        """No new orders."""
        self._stopping = True

    async def _client(self) -> None:
        while not self._stopping:
            order = self._order()
            self.promises.orders[order.key] = order
            alert_id = await self._until_taken(order)
            self.promises.taken[order.key] = alert_id
            if self._chance.random() < 0.05:  # upstream forgot that it was answered
                assert await self._until_taken(order) == alert_id, f"{order.key} made two alerts"
                self.promises.replays += 1
            await asyncio.sleep(self._chance.uniform(0, 2 * self._pause_s))

    def _order(self) -> Order:
        self._n += 1
        recipients = BROADCAST if self._n % BROADCAST_EVERY == 0 else 1
        first, self._number = self._number, self._number + recipients
        body: dict[str, Any] = {
            "text": f"alert {self._n}",
            "recipients": [f"sms:+33{number}" for number in range(first, first + recipients)],
            "priority": PRIORITIES[self._n % len(PRIORITIES)],
            "acknowledgement": {"rule": "none"},
            "on_unknown": "resend",
        }
        called_back = self._n % CALLED_BACK_EVERY == 0
        if called_back:
            body["callback_url"] = self._callback_url
        return Order(
            key=f"order-{self._n}", body=json.dumps(body).encode(), recipients=recipients, called_back=called_back
        )

    async def _until_taken(self, order: Order) -> str:
        headers = {"Idempotency-Key": order.key, "Content-Type": "application/json"}
        while True:
            try:
                async with self._session.post("/v1/alerts", data=order.body, headers=headers) as answer:
                    text = await answer.text()
                    if answer.status == 202:
                        alert_id: str = json.loads(text)["id"]
                        return alert_id
                    assert answer.status in TRIES_AGAIN, f"{answer.status}: {text}"
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass  # killed: before it took the order, or after it, before or amid the answer
            self.promises.asked_again += 1
            await asyncio.sleep(ASK_AGAIN_S)


async def all_ended(session: aiohttp.ClientSession, within_s: float) -> None:
    """Waits until the account has no active alert any more."""

    async def none() -> bool:
        async with session.get("/v1/alerts", params={"status": "active", "limit": "1"}) as answer:
            body = await answer.json()
            assert answer.status == 200, body
            return not body["items"]

    await eventually(none, within_s, what="the end of all alerts")
