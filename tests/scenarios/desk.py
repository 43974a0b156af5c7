"""The desk: a whole gateway with an account that has credit. Alerts are submitted and watched here.

It is `tocsin serve` with its settings file, started as anybody starts it. Only where a scenario moves the clock or looks at
what no API shows, it is a gateway in this process: everything is real then but the process boundary and the start. The
scenarios beside this file say what has to happen; how it is found out (the store, asked every few milliseconds) is
written here once.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection, Row, Select, select

from billing.money import format_amount, parse_amount
from gateway import administration
from gateway.api import application
from gateway.app import build_channels, build_queue, load_settings
from gateway.attending import attend
from gateway.books import verify_ledger
from gateway.broker import Broker
from gateway.clock import SystemClock
from gateway.store import tables
from gateway.store.engine import SqliteStore, Store, open_store
from tests.peers.processes import ChildProcess
from tests.peers.waiting import eventually
from tests.scenarios.installation import Table, write_settings

ANNA = "sms:+33612345678"
ACCOUNT = "acme"
CREDIT = "1000.00"
SMS_PRICE = "0.045"
MAIL_PRICE = "0.001"
CALL_PRICE = "0.10"
"""Of a started minute."""
WITHIN_S = 30.0
"""Everything that a scenario waits for takes a second or two; a loaded machine may need more."""

STARTS_WITHIN_S, STOPS_WITHIN_S = 60.0, 40.0
"""It takes two seconds to start, and to end as long as its calls; a loaded machine may need more."""

QUICK = {"backoff_first_s": 0.1, "backoff_max_s": 1, "unsure_s": 1}
"""Waits of an installation under test: as short as the settings allow."""


def numbers(count: int, first: int = 600_000_000) -> list[str]:
    """So many French mobile numbers."""
    return [f"sms:+33{first + n}" for n in range(count)]


class MovedClock(SystemClock):
    """The system's clock, which a scenario moves on instead of waiting. Monotonic time is left alone."""

    def __init__(self) -> None:
        super().__init__()
        self._moved = timedelta()

    def now(self) -> datetime:
        return super().now() + self._moved

    def move(self, **by: float) -> None:
        """Moves the wall clock on, as ``move(hours=2)``."""
        self._moved += timedelta(**by)


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenDelivery:
    """A delivery as it stands, with its attempts as (provider, outcome, code), oldest first."""

    id: str
    address: str
    state: str
    code: str
    provider: str
    units: int
    tries: int
    charged: str
    attempts: tuple[tuple[str, str, str], ...]


class Refused(Exception):  # noqa: N818 - the API's verdict
    """An answer other than 202: `status`, and the problem it came with."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(f"{answer.status_code} {answer.text}")
        self.status = answer.status_code
        self.problem: dict[str, Any] = answer.json()


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """What opens the API: a submitter's key and an administrator's, and the secret of callbacks."""

    submitter: str
    administrator: str
    callback_secret: str

    @property
    def headers(self) -> dict[str, str]:
        """A submitter's."""
        return {"Authorization": f"Bearer {self.submitter}"}


class PlacedAlert:
    """An alert that was answered 202."""

    def __init__(self, desk: Desk, answer: Mapping[str, Any]) -> None:
        self._desk = desk
        self.answer = answer
        self.id: str = answer["id"]

    async def deliveries(self) -> list[SeenDelivery]:
        """All of its deliveries, in the order of its recipients."""
        return await self._desk.store.read(lambda connection: _deliveries(connection, self.id))

    async def status(self) -> str:
        """Where the alert stands."""
        t = tables.alerts.c
        found = await self._desk.store.read(lambda c: c.scalar(select(t.status).where(t.id == self.id)))
        return str(found)

    async def timeline(self) -> list[tuple[str, str]]:
        """The (kind, detail) of its events, oldest first."""
        t = tables.events.c
        query = select(t.kind, t.detail).where(t.alert_id == self.id).order_by(t.id)
        return [(row.kind, row.detail) for row in await self._desk.rows(query)]

    async def became(self, status: str, within_s: float = WITHIN_S) -> None:
        """Waits until the alert has this status."""

        async def so() -> bool:
            return await self.status() == status

        await eventually(so, within_s, what=f"{status} of alert {self.id}")

    async def all_are(self, state: str, within_s: float = WITHIN_S) -> list[SeenDelivery]:
        """Waits until every delivery is in this state, and gives them."""
        seen: list[SeenDelivery] = []

        async def so() -> bool:
            seen[:] = await self.deliveries()
            return bool(seen) and all(delivery.state == state for delivery in seen)

        try:
            await eventually(so, within_s, what=f"all deliveries {state}")
        except AssertionError as error:
            others = [delivery for delivery in seen if delivery.state != state]
            raise AssertionError(f"{error}; {len(others)} of {len(seen)} are not, as {others[:3]}") from None
        return seen

    async def delivered(self, within_s: float = WITHIN_S) -> list[SeenDelivery]:
        """Waits until every recipient has proof of delivery and the alert is completed."""
        seen = await self.all_are("delivered", within_s)
        await self.became("completed")
        return seen

    async def only(self, state: str, within_s: float = WITHIN_S) -> SeenDelivery:
        """As `all_are`, for an alert with one delivery."""
        (delivery,) = await self.all_are(state, within_s)
        return delivery

    async def cancel(self) -> None:
        """Calls the alert off."""
        answer = await self._desk.http.post(f"/v1/alerts/{self.id}/cancel")
        assert answer.status_code == 200, answer.text

    async def shown(self, *path: str) -> dict[str, Any]:
        """What the API shows of it, or of what lies below it, as ``shown("timeline")``."""
        return await self._desk.shown("/".join(("/v1/alerts", self.id, *path)))

    async def callbacks(self) -> list[tuple[int, str, int, str]]:
        """Its callbacks as (number, state, tries, code)."""
        t = tables.callbacks.c
        query = select(t.n, t.state, t.tries, t.code).where(t.alert_id == self.id).order_by(t.n)
        return [(row.n, row.state, row.tries, row.code) for row in await self._desk.rows(query)]


class Desk:
    """Made by `open_desk`. `http` speaks to the API with a submitter's key, `store` reads what the gateway writes."""

    def __init__(self, store: Store, http: httpx.AsyncClient, keys: Keys, *, credit: str) -> None:
        self.store = store
        self.http = http
        self.callback_secret = keys.callback_secret
        self._administrator = keys.administrator
        self._credit = credit

    async def alert(
        self, text: str, *, to: str | Sequence[str | Mapping[str, Any]], idempotency_key: str | None = None, **more: Any
    ) -> PlacedAlert:
        """Submits an alert as upstream does. Raises Refused."""
        body = {"text": text, "recipients": [to] if isinstance(to, str) else list(to), **more}
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        answer = await self.http.post("/v1/alerts", json=body, headers=headers)
        if answer.status_code != 202:
            raise Refused(answer)
        return PlacedAlert(self, answer.json())

    @property
    def administrator(self) -> dict[str, str]:
        """The headers of an administrator's request."""
        return {"Authorization": f"Bearer {self._administrator}"}

    async def shown(self, path: str) -> dict[str, Any]:
        """What the API answers an administrator to a GET."""
        answer = await self.http.get(path, headers=self.administrator)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """The rows of a query."""
        return await self.store.read(lambda connection: connection.execute(query).all())

    async def balance(self) -> str:
        """What the account has free to use."""
        return format_amount((await self._account()).balance_micros)

    async def held(self) -> str:
        """What is set aside for deliveries under way."""
        return format_amount((await self._account()).held_micros)

    async def spent(self) -> str:
        """What was captured."""
        t = tables.balances.c
        query = select(t.amount_micros).where(t.name == f"revenue:{ACCOUNT}")
        found = await self.store.read(lambda connection: connection.scalar(query))
        return format_amount(int(found or 0))

    async def ledger_adds_up(self, *, spent: str | None = None, topped_up: str = "0") -> None:
        """Checks the books: every rule of `tocsin ledger verify`, and that no credit came or went but what was spent or `topped_up`.

        With `spent` also the exact amount, and that nothing is held any more.
        """
        assert await self.store.read(verify_ledger) == []
        t = tables.balances.c
        names = [f"{one}:{ACCOUNT}" for one in ("prepaid", "held", "revenue")]
        query = select(t.name, t.amount_micros).where(t.name.in_(names))  # all at once: something may be under way
        amounts = {row.name: row.amount_micros for row in await self.rows(query)}
        balance, held, revenue = (int(amounts.get(name, 0)) for name in names)
        assert balance + held + revenue == parse_amount(self._credit) + parse_amount(topped_up)
        if spent is not None:
            assert (format_amount(revenue), held) == (format_amount(parse_amount(spent)), 0)

    async def provider(self, name: str) -> dict[str, Any]:
        """How a provider stands."""
        found = await self.shown("/v1/providers")
        (one,) = [item for item in found["items"] if item["name"] == name]
        return dict(one)

    async def listens(self, provider: str) -> int:
        """The port of SIP at which the provider's trunk reaches us."""
        return int((await self.provider(provider))["facts"]["listens"])

    async def link_up(self, provider: str, within_s: float = WITHIN_S) -> None:
        """Waits until the provider is connected."""

        async def up() -> bool:
            return bool((await self.provider(provider))["up"])

        await eventually(up, within_s, what=f"link of {provider}")

    async def link_down(self, provider: str, within_s: float = WITHIN_S) -> None:
        """Waits until the provider's connections are seen to be lost."""

        async def down() -> bool:
            return not (await self.provider(provider))["up"]

        await eventually(down, within_s, what=f"loss of {provider}")

    async def inbound(self, count: int) -> list[Row[Any]]:
        """Waits for so many messages from phones, and gives them, oldest first."""
        query = select(tables.inbound_messages).order_by(tables.inbound_messages.c.id)

        async def enough() -> Sequence[Row[Any]] | None:
            found = await self.rows(query)
            return found if len(found) >= count else None

        return list(await eventually(enough, WITHIN_S, what=f"{count} inbound messages"))

    async def _account(self) -> administration.Account:
        account = await self.store.read(lambda connection: administration.get_account(connection, ACCOUNT))
        assert account is not None
        return account


class InsideDesk(Desk):
    """Made by `open_inside_desk`. `clock` can be moved, `broker` is there for what only the inside knows."""

    def __init__(self, broker: Broker, clock: MovedClock, http: httpx.AsyncClient, keys: Keys, *, credit: str) -> None:
        super().__init__(broker.store, http, keys, credit=credit)
        self.broker = broker
        self.clock = clock

    async def link_up(self, provider: str, within_s: float = WITHIN_S) -> None:
        """Waits until the provider is connected and its circuit lets attempts through."""
        await super().link_up(provider, within_s)
        breaker = self.broker.breakers[provider]
        await eventually(lambda: breaker.available(self.clock.monotonic()), within_s, what=f"circuit of {provider}")


@asynccontextmanager
async def open_desk(
    folder: Path, *providers: Table, store_url: str = "", credit: str = CREDIT, **sections: Any
) -> AsyncIterator[Desk]:
    """`tocsin serve` with these providers, its links up; ended at the exit. `folder` takes its files."""
    store_url = store_url or f"sqlite:///{folder}/tocsin.db"
    path = _settings_file(folder, providers, store_url, sections)
    store = await open_store(store_url)
    keys = await store.write(lambda connection: _open_account(connection, SystemClock().now(), credit))
    await store.close()
    server = ChildProcess(
        [Path(sys.executable).with_name("tocsin"), "serve", "--config", path, "--json"],
        name="tocsin serve", cwd=folder, ready_line=r'"url": ?"(http://[^"]+)"', ready_within_s=STARTS_WITHIN_S,
    )  # fmt: skip
    async with AsyncExitStack() as opened:
        opened.push_async_callback(asyncio.to_thread, server.stop, STOPS_WITHIN_S)
        await asyncio.to_thread(server.start)
        # readers of SQLite need no lock: the server has it
        sqlite = store_url.startswith("sqlite:///")
        reader = SqliteStore(store_url.removeprefix("sqlite:///")) if sqlite else await open_store(store_url)
        opened.push_async_callback(reader.close)
        http = await opened.enter_async_context(
            httpx.AsyncClient(base_url=server.matched_line[1], headers=keys.headers, timeout=WITHIN_S, trust_env=False)
        )
        desk = Desk(reader, http, keys, credit=credit)
        for provider in providers:
            await desk.link_up(provider["name"])
        yield desk
    assert "Traceback" not in server.output, server.output


@asynccontextmanager
async def open_inside_desk(
    folder: Path, *providers: Table, store_url: str = "", credit: str = CREDIT, **sections: Any
) -> AsyncIterator[InsideDesk]:
    """A gateway in this process with these providers, its links up; ended at the exit. `folder` takes its files."""
    settings = load_settings(_settings_file(folder, providers, store_url or f"sqlite:///{folder}/tocsin.db", sections))
    store = await open_store(settings.store.url.get_secret_value())
    clock = MovedClock()
    broker = Broker(
        settings=settings,
        store=store,
        queue=build_queue(settings),
        channels=build_channels(settings),
        clock=clock,
    )
    attend(broker)
    keys = await store.write(lambda connection: _open_account(connection, clock.now(), credit))
    http = httpx.AsyncClient(
        transport=httpx.ASGITransport(application(broker)), base_url="http://desk", headers=keys.headers
    )
    running = asyncio.Event()
    task = asyncio.create_task(broker.run(running.set))
    try:
        started = asyncio.create_task(running.wait())
        await asyncio.wait({started, task}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            started.cancel()
            task.result()
        desk = InsideDesk(broker, clock, http, keys, credit=credit)
        for provider in providers:
            await desk.link_up(provider["name"])
        yield desk
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await http.aclose()
        await store.close()


def _settings_file(folder: Path, providers: Sequence[Table], store_url: str, sections: Mapping[str, Any]) -> Path:
    """The file with these providers and sections, and short waits where the sections say nothing else."""
    more = dict(sections)
    return write_settings(
        folder / "tocsin.toml",
        providers,
        more.pop("routes", ()),
        store={"url": store_url},
        http={"listen": "127.0.0.1:0"},
        delivery={**QUICK, **more.pop("delivery", {})},
        callbacks={"allow_private": True, "backoff_first_s": 0.1, "backoff_max_s": 1, **more.pop("callbacks", {})},
        **more,
    )


def _open_account(connection: Connection, now: datetime, credit: str) -> Keys:
    """An account with credit and prices."""
    administration.create_account(connection, now, account_id=ACCOUNT, name="Acme", currency="EUR")
    if parse_amount(credit):
        administration.top_up(
            connection, now, account_id=ACCOUNT, amount_micros=parse_amount(credit), reference="INV-1"
        )
    for channel, prefix, price in (("sms", "+33", SMS_PRICE), ("email", "", MAIL_PRICE), ("voice", "", CALL_PRICE)):
        administration.set_tariff(connection, now, channel=channel, prefix=prefix, price_micros=parse_amount(price))
    _, submitter = administration.create_key(connection, now, account_id=ACCOUNT, role="submitter")
    _, administrator = administration.create_key(connection, now, account_id=None, role="administrator")
    secret = str(administration.callback_secret(connection, ACCOUNT))
    return Keys(submitter=submitter, administrator=administrator, callback_secret=secret)


def _deliveries(connection: Connection, alert_id: str) -> list[SeenDelivery]:
    d, a = tables.deliveries.c, tables.attempts.c
    tried: dict[str, list[tuple[str, str, str]]] = {}
    attempts = (
        select(a.delivery_id, a.provider, a.outcome, a.code)
        .join(tables.deliveries, d.id == a.delivery_id)
        .where(d.alert_id == alert_id)
        .order_by(a.delivery_id, a.epoch)
    )
    for row in connection.execute(attempts):
        tried.setdefault(row.delivery_id, []).append((row.provider, row.outcome, row.code))
    found = connection.execute(select(tables.deliveries).where(d.alert_id == alert_id).order_by(d.id))
    return [
        SeenDelivery(
            id=row.id,
            address=row.address,
            state=row.state,
            code=row.code,
            provider=row.provider,
            units=row.units,
            tries=row.tries,
            charged=format_amount(row.captured_micros),
            attempts=tuple(tried.get(row.id, ())),
        )
        for row in found
    ]
