"""A desk for tests of the core: a fresh store of either kind, the journal on it, accounts with credit, a clock moved by hand.

No HTTP and no wire: what providers answer is told by the test, command by command.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, select

from billing.tariff import ChargedOn, TariffTable, UnknownEnd
from channels.outcome import Outcome, Report
from channels.sms.channel import SmsChannel
from channels.sms.settings import SmppSettings
from gateway import administration
from gateway.alert import Alert, Priority, default_rule
from gateway.answered import spare
from gateway.attempts import Claim, ClaimDeliveries, RecordOutcome
from gateway.backoff import BackoffPolicy
from gateway.books import verify_ledger
from gateway.decisions import follow_declines
from gateway.delivery import Delivery
from gateway.escalation import Occurrence, Recipient, plan_from_json, plan_to_json, recipients_to_json
from gateway.escalator import Escalator
from gateway.ids import new_id
from gateway.intake import AcceptAlert, IdempotencyKey, Shortfall, Taken
from gateway.lifecycle import Acknowledge, ChangeAlert
from gateway.planning import PlannedDelivery, Planner
from gateway.policy import RetryPolicy
from gateway.progress import AlertEnded, Announced, Tariffs, finish
from gateway.rendering import text_for
from gateway.reports import ApplyReports
from gateway.rescuer import Rescuer
from gateway.routing import Route, Routes
from gateway.store import rows, tables
from gateway.store.engine import PostgresStore, SqliteStore, open_store
from gateway.store.journal import Command, Journal
from gateway.store.reading import read_tariffs
from gateway.store.rows import Attempt, Part
from gateway.store.unit import Unit
from tests.gateway.answers import accepted
from tests.peers.postgresql import PostgresqlServer

T = TypeVar("T")
START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
LEASE_S = 30.0
UNSURE_S = 60.0
EXPIRES_S = 3_600
ATTEMPTS_MAX = 3
PRICE_MICROS = 45_000
CREDIT_MICROS = 1_000_000_000
A, B = "carrier-a", "carrier-b"
# one prefix for each way to charge; +33 has two providers, the others one, and +49 costs nothing
PRICED: dict[str, tuple[ChargedOn, UnknownEnd]] = {
    "+33": ("accepted", "capture"),
    "+44": ("accepted", "release"),
    "+31": ("delivered", "capture"),
    "+32": ("delivered", "release"),
}
ROUTES = Routes(
    [Route(channel="sms", prefix="+33", providers=(A, B)), Route(channel="sms", prefix="", providers=(A,))], {}
)

Opened = SqliteStore | PostgresStore


class MovedClock:
    """Stands still until it is moved; both readings move together."""

    def __init__(self) -> None:
        self.at = START
        self.seconds = 1_000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds


def channels() -> dict[str, SmsChannel]:
    """The real channel of two providers, not started: for what a text comes to."""
    made = {}
    for name in (A, B):
        settings = SmppSettings(name=name, host="127.0.0.1", system_id="user", password=SecretStr("pw"), source="ALERT")
        made[name] = SmsChannel(settings)
    return made


@dataclass
class Desk:
    """One process's store, journal and loops; `beside` opens another one on the same database."""

    store: Opened
    url: str
    clock: MovedClock
    policy: RetryPolicy
    tariffs: Tariffs
    planner: Planner
    signals: list[object] = field(default_factory=list)
    down: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.names: dict[str, str] = {}
        self.journal = Journal(self.store, self.clock, finish=self._finish, signalled=self._signalled)
        self.escalator = self.new_escalator()
        self.rescuer = Rescuer(
            store=self.store,
            journal=self.journal,
            policy=self.policy,
            tariffs=self.tariffs,
            clock=self.clock,
            look_after_alert=self.look_after,
        )
        self._running: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, url: str, clock: MovedClock | None = None) -> Self:
        """A desk on the database; its journal runs until `close`."""
        down: set[str] = set()
        policy = RetryPolicy(
            routes=ROUTES,
            providers=frozenset(channels()),
            backoff=BackoffPolicy(attempts_max=ATTEMPTS_MAX, first_s=2.0, max_s=60.0),
            lease_s=LEASE_S,
            unsure_s=UNSURE_S,
            available=lambda provider: provider not in down,
            jitter=lambda: 0.0,
        )
        planner = Planner(
            channels=channels(), routes=ROUTES, destinations={}, available=policy.available, text_for=text_for
        )
        desk = cls(
            store=await open_store(url),
            url=url,
            clock=clock or MovedClock(),
            policy=policy,
            tariffs=Tariffs(),
            planner=planner,
            down=down,
        )
        desk.start()
        return desk

    def start(self) -> None:
        """Starts the journal's loop."""
        self._running = asyncio.get_running_loop().create_task(self.journal.run())

    async def close(self) -> None:
        """Ends the journal's loop and closes the store."""
        await self.escalator.drain()
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        await self.store.close()

    async def beside(self) -> Desk:
        """Another process on the same database (PostgreSQL), with the same clock."""
        desk = await Desk.open(self.url, self.clock)
        await desk.load_tariffs()
        return desk

    def new_escalator(self) -> Escalator:
        """An escalator that knows of nothing under way: what a restarted process has."""
        return Escalator(
            store=self.store,
            journal=self.journal,
            planner=self.planner,
            tariffs=self.tariffs,
            clock=self.clock,
            names=lambda: self.names,
        )

    async def look_after(self, alert_id: str) -> None:
        await self.escalator.look_after(alert_id)

    def _finish(self, unit: Unit) -> None:
        spare(unit, self.names, self.tariffs)
        follow_declines(unit, finish(unit), self.names)

    def _signalled(self, signals: Sequence[object]) -> None:
        """What the broker does with signals, as far as it concerns the store; announcements are only noted."""
        self.signals += signals
        for signal in signals:
            if isinstance(signal, AlertEnded) and signal.status != "completed":
                self.escalator.stop(signal.alert_id)

    # --- accounts ----------------------------------------------------------------------------------------------------

    async def seed(self) -> None:
        """The account `acme` with credit, and the tariffs of `PRICED`."""

        def work(connection: Connection) -> None:
            for prefix, (charged_on, unknown_end) in PRICED.items():
                administration.set_tariff(
                    connection,
                    self.clock.now(),
                    channel="sms",
                    prefix=prefix,
                    price_micros=PRICE_MICROS,
                    charged_on=charged_on,
                    unknown_end=unknown_end,
                )

        await self.store.write(work)
        await self.load_tariffs()
        await self.open_account("acme", CREDIT_MICROS)

    async def load_tariffs(self) -> None:
        """What the broker does at its start."""
        every = await self.store.read(read_tariffs)
        self.tariffs.learn(every)
        self.planner.tariffs = TariffTable({(t.channel, t.prefix): t for t in every}.values())

    async def open_account(self, account_id: str, credit_micros: int = 0, floor_micros: int | None = None) -> None:
        def work(connection: Connection) -> None:
            administration.create_account(
                connection,
                self.clock.now(),
                account_id=account_id,
                name=account_id,
                currency="EUR",
                floor_micros=floor_micros,
            )

        await self.store.write(work)
        if credit_micros:
            await self.top_up(credit_micros, "INV-1", account_id=account_id)

    async def top_up(self, amount_micros: int, reference: str, account_id: str = "acme") -> None:
        await self.store.write(
            lambda connection: administration.top_up(
                connection,
                self.clock.now(),
                account_id=account_id,
                amount_micros=amount_micros,
                reference=reference,
            )
        )

    async def money(self, account_id: str = "acme") -> tuple[int, int, int]:
        """(prepaid, held, revenue) in micros."""
        b = tables.balances.c
        statement = select(b.name, b.amount_micros).where(b.account_id == account_id)
        balances = await self.store.read(lambda connection: connection.execute(statement).all())
        found = {row.name: row.amount_micros for row in balances}
        return found[f"prepaid:{account_id}"], found[f"held:{account_id}"], found[f"revenue:{account_id}"]

    async def spent(self, account_id: str = "acme") -> tuple[int, int]:
        """(held, revenue) in units of PRICE_MICROS; the rest of what came in is prepaid."""
        _, held, revenue = await self.money(account_id)
        assert held % PRICE_MICROS == 0
        assert revenue % PRICE_MICROS == 0
        return held // PRICE_MICROS, revenue // PRICE_MICROS

    async def verify(self) -> None:
        """The audit of the books finds nothing."""
        assert await self.store.read(verify_ledger) == []

    # --- alerts ------------------------------------------------------------------------------------------------------

    def alert(
        self,
        *addresses: str,
        account_id: str = "acme",
        text: str = "Fire",
        priority: Priority = Priority.NORMAL,
        plan: Sequence[Occurrence] = (Occurrence(after_s=0),),
        expires_s: float = EXPIRES_S,
        start_s: float = 0,
        people: Sequence[str] = (),
        **changes: Any,
    ) -> Alert:
        """An alert to one recipient for each address; `people` names them."""
        now = self.clock.now()
        start_at = now + timedelta(seconds=start_s)
        names = people or addresses
        recipients = tuple(
            Recipient(person=person, addresses=(address,)) for person, address in zip(names, addresses, strict=True)
        )
        fields: dict[str, Any] = {"rule": default_rule(priority), **changes}
        return Alert(
            id=new_id("alt"),
            account_id=account_id,
            key_id="key_test",
            text=text,
            priority=priority,
            people=len(set(names)),
            recipients=recipients_to_json(recipients),
            steps=plan_to_json(tuple(plan)),
            created_at=now,
            start_at=start_at,
            expires_at=start_at + timedelta(seconds=expires_s),
            look_at=now,
            **fields,
        )

    def plan(self, alert: Alert, step: int = 0) -> list[PlannedDelivery]:
        return self.escalator.planned(alert, step)  # what the escalator itself will plan

    def accepting(
        self, alert: Alert, *, idempotency: IdempotencyKey | None = None, shortfall: Shortfall = Shortfall.REFUSE
    ) -> AcceptAlert:
        """The command that takes the alert in, as `Submissions.accept` makes it."""

        plan = plan_from_json(alert.steps)
        now = self.clock.now()
        due = alert.start_at + timedelta(seconds=plan[0].after_s) <= now
        return AcceptAlert(
            alert=alert,
            plan=plan,
            planned=self.plan(alert) if due else [],
            idempotency=idempotency,
            shortfall=shortfall,
            tariffs=self.tariffs,
        )

    async def accept(self, *addresses: str, shortfall: Shortfall = Shortfall.REFUSE, **fields: Any) -> str:
        """Takes an alert in; gives its id."""
        alert = self.alert(*addresses, **fields)
        taken = await self.do(self.accepting(alert, shortfall=shortfall), urgent=alert.priority == 0)
        assert isinstance(taken, Taken)
        return taken.alert_id

    async def one(self, address: str = "sms:+33600000001", **fields: Any) -> str:
        """Takes an alert to one address in; gives the id of its delivery."""
        alert_id = await self.accept(address, **fields)
        (delivery,) = await self.deliveries(alert_id)
        return delivery.id

    async def do(self, command: Command[T], *, urgent: bool = False) -> T:
        return await self.journal.do(command, urgent=urgent)

    async def change(self, alert_id: str, verb: Callable[..., Alert]) -> Alert:
        """A verb of `gateway.lifecycle`, and what follows from it."""
        changed = await self.do(ChangeAlert(alert_id=alert_id, account_id=None, verb=verb))
        await self.escalator.drain()
        return changed

    async def acknowledge(self, alert_id: str, by: str = "night-duty", *, taken: bool = False) -> Alert:
        command = Acknowledge(
            alert_id=alert_id,
            account_id="acme",
            by=by,
            comment="",
            via="api",
            key_id="key_test",
            taken=taken,
            names=self.names,
        )
        changed = await self.do(command)
        await self.escalator.drain()
        return changed

    async def tick(self) -> None:
        """The rescuer looks until nothing more is due now, and the background work it began is done."""
        while await self.rescuer.tick():
            pass
        await self.escalator.drain()

    # --- attempts and receipts ---------------------------------------------------------------------------------------

    async def claim(self, delivery_id: str, provider: str | None = None) -> Claim | None:
        """Claims the delivery over `provider` (its own); None where it is not to be sent."""
        if provider is None:
            provider = (await self.delivery(delivery_id)).provider
        claims = await self.do(self.claiming(delivery_id, provider=provider))
        return claims[0] if claims else None

    def claiming(self, *delivery_ids: str, provider: str = A) -> ClaimDeliveries:
        return ClaimDeliveries(provider=provider, delivery_ids=delivery_ids, policy=self.policy, tariffs=self.tariffs)

    async def claimed(self, delivery_id: str, provider: str | None = None) -> Claim:
        claim = await self.claim(delivery_id, provider)
        assert claim is not None
        return claim

    def recording(self, claim: Claim, outcome: Outcome, *, receipts: bool = True) -> RecordOutcome:
        return RecordOutcome(claim=claim, outcome=outcome, receipts=receipts, policy=self.policy, tariffs=self.tariffs)

    async def record(self, claim: Claim, outcome: Outcome, *, receipts: bool = True) -> Delivery:
        return await self.do(self.recording(claim, outcome, receipts=receipts))

    async def sent(self, delivery_id: str, *names: str, receipts: bool = True) -> Claim:
        """One attempt that the provider takes, its parts under `names`."""
        claim = await self.claimed(delivery_id)
        await self.record(claim, accepted(*names), receipts=receipts)
        return claim

    def reporting(self, *reports: Report, provider: str = A) -> ApplyReports:
        return ApplyReports(provider=provider, channel="sms", reports=reports, policy=self.policy, tariffs=self.tariffs)

    async def report(self, *reports: Report, provider: str = A) -> None:
        await self.do(self.reporting(*reports, provider=provider))

    # --- reading -----------------------------------------------------------------------------------------------------

    async def alert_row(self, alert_id: str) -> Alert:
        statement = select(*rows.alerts.columns).where(tables.alerts.c.id == alert_id)
        return rows.alerts.from_row(await self.store.read(lambda connection: connection.execute(statement).one()))

    async def deliveries(self, alert_id: str) -> list[Delivery]:
        t = tables.deliveries.c
        statement = select(*rows.deliveries.columns).where(t.alert_id == alert_id).order_by(t.id)
        found = await self.store.read(lambda connection: connection.execute(statement).all())
        return [rows.deliveries.from_row(row) for row in found]

    async def delivery(self, delivery_id: str) -> Delivery:
        statement = select(*rows.deliveries.columns).where(tables.deliveries.c.id == delivery_id)
        return rows.deliveries.from_row(await self.store.read(lambda connection: connection.execute(statement).one()))

    async def state(self, delivery_id: str) -> str:
        return str((await self.delivery(delivery_id)).state)

    async def attempts(self, delivery_id: str) -> list[Attempt]:
        t = tables.attempts.c
        statement = select(*rows.attempts.columns).where(t.delivery_id == delivery_id).order_by(t.epoch)
        found = await self.store.read(lambda connection: connection.execute(statement).all())
        return [rows.attempts.from_row(row) for row in found]

    async def parts(self, delivery_id: str) -> list[Part]:
        t = tables.parts.c
        statement = select(*rows.parts.columns).where(t.delivery_id == delivery_id).order_by(t.chain, t.n)
        found = await self.store.read(lambda connection: connection.execute(statement).all())
        return [rows.parts.from_row(row) for row in found]

    async def count(self, table: str, **where: Any) -> int:
        """How many rows of the table have these values."""
        t = tables.metadata.tables[table]
        statement = select(t).where(*(t.c[name] == value for name, value in where.items()))
        return len(await self.store.read(lambda connection: connection.execute(statement).all()))

    def announced(self, delivery_id: str) -> int:
        """How often the delivery was announced."""
        return sum(isinstance(s, Announced) and s.delivery_id == delivery_id for s in self.signals)


# --- fixtures --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database of each kind in turn, migrated and with the account `acme`: a copy of one made once."""
    if request.param == "sqlite":
        source = request.getfixturevalue("tmp_path_factory").getbasetemp() / "tocsin-template.db"
        if not source.exists():
            asyncio.run(_prepare(f"sqlite:///{source}"))
        shutil.copyfile(source, tmp_path / "tocsin.db")
        yield f"sqlite:///{tmp_path}/tocsin.db"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    if server.port not in _TEMPLATES:
        template = server.create_database()
        asyncio.run(_prepare(template))
        _TEMPLATES[server.port] = template
    template = _TEMPLATES[server.port]
    url = f"{template.rpartition('/')[0]}/test_{uuid4().hex}"
    names = (one.rpartition("/")[2] for one in (url, template))
    server.execute('CREATE DATABASE "{}" TEMPLATE "{}"'.format(*names))
    yield url
    server.drop_database(url)


_TEMPLATES: dict[int, str] = {}


async def _prepare(url: str) -> None:
    async with seeded(url):
        pass


@pytest.fixture
async def desk(store_url: str) -> AsyncIterator[Desk]:
    """A desk with the account `acme`; whatever a test did, the books agree at its end."""
    desk = await Desk.open(store_url)
    try:
        await desk.load_tariffs()
        yield desk
        await desk.escalator.drain()
        await desk.verify()
    finally:
        await desk.close()


@contextlib.asynccontextmanager
async def seeded(url: str) -> AsyncIterator[Desk]:
    """A desk on a fresh database, closed at the end."""
    desk = await Desk.open(url)
    try:
        await desk.seed()
        yield desk
    finally:
        await desk.close()
