"""A gateway for tests of the API: broker, simulated SMSC and HTTP server in this process, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from sqlalchemy import Connection
from starlette.types import ASGIApp

from billing.money import parse_amount
from channels.sms.smpp.behaviour import SmscBehaviour
from channels.sms.smpp.simulator import SmscSimulator
from gateway import administration as admin
from gateway.api import application
from gateway.app import build_channels, build_queue, load_settings
from gateway.broker import Broker
from gateway.clock import SystemClock
from gateway.listener.server import HttpServer
from gateway.settings_http import HttpSettings
from gateway.store.engine import Store, open_store
from tests.peers.waiting import eventually

T = TypeVar("T")
SOON_S = 20.0
"""Nothing here takes long; this only ends a test that would wait for ever."""

SETTINGS = """
[store]
url = "{store}"
[callbacks]
allow_private = true
attempts_max = 1
[[providers]]
name = "carrier-a"
channel = "sms"
kind = "smpp"
host = "127.0.0.1"
port = {port}
system_id = "user"
password = "pw"
source = "ALERT"
{more}
"""


@dataclass(kw_only=True)
class ApiDesk:
    """A running gateway with an account ``acme`` and a price of 0.045 for +33; keys and clients on demand."""

    url: str
    broker: Broker
    store: Store
    smsc: SmscSimulator
    administrator: str = ""
    _clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, key: str | None = None, **headers: str) -> httpx.AsyncClient:
        """A client that sends this key; without one the administrator's."""
        sent = {"Authorization": f"Bearer {key or self.administrator}", **headers}
        made = httpx.AsyncClient(base_url=self.url, headers=sent, timeout=SOON_S, trust_env=False)
        self._clients.append(made)
        return made

    def anonymous(self) -> httpx.AsyncClient:
        """A client without a key."""
        made = httpx.AsyncClient(base_url=self.url, timeout=SOON_S, trust_env=False)
        self._clients.append(made)
        return made

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self.store.write(work)

    async def account(self, account_id: str, credit: str = "0") -> None:
        """A new account with this credit."""
        now = self.broker.clock.now()
        await self.write(lambda c: admin.create_account(c, now, account_id=account_id, name=account_id, currency="EUR"))
        amount = parse_amount(credit)
        if amount:
            await self.write(
                lambda c: admin.top_up(c, now, account_id=account_id, amount_micros=amount, reference="first")
            )

    async def key(self, role: str, account_id: str | None = None) -> str:
        """A new key."""
        now = self.broker.clock.now()
        _, text = await self.write(lambda c: admin.create_key(c, now, account_id=account_id, role=role))
        return text

    async def price(self, price: str, prefix: str = "+33") -> None:
        """What one SMS part costs."""
        now, micros = self.broker.clock.now(), parse_amount(price)
        await self.write(lambda c: admin.set_tariff(c, now, channel="sms", prefix=prefix, price_micros=micros))
        await self.broker.reload_tariffs()

    async def until(self, ask: Callable[[], Awaitable[T]], done: Callable[[T], bool]) -> T:
        """What `ask` gives as soon as it is what is waited for."""
        async with asyncio.timeout(SOON_S):
            while True:
                found = await ask()
                if done(found):
                    return found
                await asyncio.sleep(0.02)

    async def settled(self, client: httpx.AsyncClient, alert_id: str) -> dict[str, Any]:
        """The alert once it is no longer active."""

        async def ask() -> dict[str, Any]:
            found: dict[str, Any] = (await client.get(f"/v1/alerts/{alert_id}")).json()
            return found

        return await self.until(ask, lambda alert: alert["status"] != "active")

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


def alert(**members: Any) -> dict[str, Any]:
    """A body for POST /v1/alerts."""
    return {"text": "Pump 3 has stopped", "recipients": ["sms:+33612345678"], **members}


@contextlib.asynccontextmanager
async def running(
    folder: Path, *, store_url: str | None = None, behaviour: SmscBehaviour | None = None, more: str = ""
) -> AsyncIterator[ApiDesk]:
    """A gateway that is ready, on a port of its own."""
    async with contextlib.AsyncExitStack() as started:
        smsc = SmscSimulator(behaviour or SmscBehaviour())
        port = await smsc.start()
        started.push_async_callback(smsc.stop)
        path = folder / "tocsin.toml"
        path.write_text(SETTINGS.format(store=store_url or f"sqlite:///{folder}/t.db", port=port, more=more))
        settings = load_settings(path)
        store = await open_store(settings.store.url.get_secret_value())
        started.push_async_callback(store.close)
        broker = Broker(
            settings=settings,
            store=store,
            queue=build_queue(settings),
            channels=build_channels(settings),
            clock=SystemClock(),
        )
        await started.enter_async_context(_working(broker))
        await smsc.wait_for(lambda s: s.links > 0)
        url = await started.enter_async_context(serving(application(broker)))
        desk = ApiDesk(url=url, broker=broker, store=store, smsc=smsc)
        started.push_async_callback(desk.close)
        desk.administrator = await desk.key("administrator")
        await desk.account("acme", "10")
        await desk.price("0.045")
        yield desk


@contextlib.asynccontextmanager
async def _working(broker: Broker) -> AsyncIterator[None]:
    ready = asyncio.Event()
    work = asyncio.create_task(broker.run(ready.set))
    try:
        async with asyncio.timeout(SOON_S):
            await _first(ready.wait(), work)
        yield
    finally:
        died = work.done()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work  # raises what the broker died of
        assert not died


async def _first(event: Awaitable[Any], work: asyncio.Task[None]) -> None:
    """Waits for the event, or for the broker to have died first."""
    waiting = asyncio.ensure_future(event)
    await asyncio.wait({waiting, work}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """The URL of the application on a port of its own."""
    server = HttpServer(app, HttpSettings(listen="127.0.0.1:0"))
    task = asyncio.create_task(server.serve())
    listening = asyncio.create_task(_listening(server))
    await asyncio.wait({listening, task}, timeout=SOON_S, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.should_exit = True
        await task


async def _listening(server: HttpServer) -> None:
    await eventually(lambda: server.started, what="the server")


def problem(response: httpx.Response, status: int, name: str) -> Mapping[str, Any]:
    """The problem in the answer, which has to be this one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == f"/problems/{name}", body
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    return body
