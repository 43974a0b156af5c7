"""Finds in the store what nobody looks after: lost leases, doubts, passed deadlines, due steps, lost announcements, old rows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter
from sqlalchemy import Connection, delete, select

from gateway import delivery as machine
from gateway.asking_anew import SLICE, AskAnew, urgent_waiting
from gateway.clock import Clock, to_micros
from gateway.delivery import ANNOUNCED_AGAIN, Delivery, Event, Ignored, State
from gateway.outcomes import interrupt, take
from gateway.policy import RetryPolicy
from gateway.progress import Announced, Tariffs
from gateway.queue.port import Urgency
from gateway.reports import MatchEarly
from gateway.store import rows, tables
from gateway.store.engine import Store
from gateway.store.errors import StoreError, StoreUnavailable
from gateway.store.journal import Journal
from gateway.store.unit import Unit, Wants

log = structlog.get_logger(__name__)

TICK_S = 0.5  # how late a retry or a step may be
PAGE = 500  # deliveries looked after by one command
SWEEP_S = 600.0  # how often old rows are deleted
SWEEP_CHUNK = 1_000  # rows of a table deleted by one transaction
EARLY_KEPT = timedelta(hours=24)  # receipts of which nothing was ever known
IDEMPOTENCY_KEPT = timedelta(hours=48)  # the contract says 24 h at least
INBOUND_PARTS_KEPT = timedelta(hours=48)  # parts of a message of which others never came

RESCUED = Counter("tocsin_rescued_total", "Deliveries that the rescuer moved on", ["event"])
ASKED_ANEW = "AskedAnew"
EVENTS = (machine.Lapsed, machine.LeaseLost, machine.DoubtLapsed, machine.LookedAfter, machine.Rerouted,
          machine.RefusedBeforeSending)  # fmt: skip
for _event in (*(event.__name__ for event in EVENTS), ASKED_ANEW):
    RESCUED.labels(_event)  # there from the start, at 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LookAfter:
    """Command: moves on the deliveries whose `look_at` has come. `orphaned`: no worker of this installation can still
    have the lease of what is sending, since this process has just started and is the only one."""

    delivery_ids: tuple[str, ...]
    policy: RetryPolicy
    tariffs: Tariffs
    orphaned: bool = False

    @property
    def weight(self) -> int:
        return len(self.delivery_ids)

    def prefetch(self, wants: Wants) -> None:
        wants.deliveries.update(self.delivery_ids)
        if self.orphaned:
            wants.attempts.update(self.delivery_ids)

    def apply(self, unit: Unit) -> None:
        for delivery_id in self.delivery_ids:
            delivery = unit.delivery(delivery_id)
            if delivery is None or delivery.settled_at is not None:
                continue
            if delivery.look_at > unit.now and not (self.orphaned and delivery.state is State.SENDING):
                continue
            event = self._event(unit, delivery)
            if event is None:
                continue
            try:
                changed = take(unit, delivery, event, self.policy, self.tariffs)
            except Ignored:
                continue
            if delivery.state is State.SENDING:
                interrupt(unit, delivery, changed)
            RESCUED.labels(type(event).__name__).inc()
            if isinstance(event, machine.LookedAfter):
                unit.signal(Announced(changed.provider, changed.id, Urgency(changed.urgency), changed.due_at))

    def _event(self, unit: Unit, delivery: Delivery) -> Event | None:
        now = unit.now
        if now >= delivery.deadline_at:  # what is being sent is looked at only once its lease is lost
            return machine.Lapsed()
        match delivery.state:
            case State.QUEUED if delivery.provider not in self.policy.providers:
                provider = self.policy.orphaned(delivery)
                if provider is None:
                    return machine.RefusedBeforeSending(code="no_route")
                return machine.Rerouted(provider=provider)
            case State.QUEUED:
                return machine.LookedAfter(look_at=now + ANNOUNCED_AGAIN)
            case State.SENDING:
                return machine.LeaseLost(until=self.policy.doubt_until(delivery, now))
            case State.UNSURE:
                return machine.DoubtLapsed(decision=self.policy.doubtful(delivery, now))
        return None


class Rescuer:
    """The loop over everything that is due. `look_after_alert` brings one alert forward (its steps need planning)."""

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        policy: RetryPolicy,
        tariffs: Tariffs,
        clock: Clock,
        look_after_alert: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._journal = journal
        self._policy = policy
        self._tariffs = tariffs
        self._clock = clock
        self._look_after_alert = look_after_alert
        self._swept = clock.monotonic()
        self._recovered: dict[str, tuple[int, str]] = {}
        """Providers that are at their work again, and the urgent delivery up to which those that wait were asked anew."""

    def recovered(self, provider: str) -> None:
        """The provider is at its work again: urgent deliveries that wait, or are in doubt, go to it."""
        self._recovered[provider] = (-1, "")

    async def run(self) -> None:
        """Looks after what is due until cancelled."""
        while True:
            try:
                busy = await self.tick()
            except StoreError as error:
                log.warning("rescue_failed", error=str(error))
                busy = False
            if not busy:
                await asyncio.sleep(TICK_S)

    async def tick(self) -> bool:
        """Looks once; True where there is more."""
        now = self._clock.now()
        ids = await self._store.read(lambda connection: _due_deliveries(connection, now))
        if ids:
            await self._look_after(ids)
        for provider in tuple(self._recovered):
            await self._ask_anew(provider, now)
        if not self._store.exclusive:
            await self._match_early()
        alerts = await self._store.read(lambda connection: _due_alerts(connection, now))
        for alert_id in alerts:
            try:
                await self._look_after_alert(alert_id)
            except StoreUnavailable:
                raise
            except Exception:
                log.exception("alert_not_looked_after", alert=alert_id)  # the others must not wait for this one
        if self._clock.monotonic() - self._swept > SWEEP_S:
            self._swept = self._clock.monotonic()
            while await self._store.write(lambda connection: _sweep(connection, now)):
                pass  # chunk by chunk: what is accepted meanwhile does not wait for all of it
        return len(ids) == PAGE

    async def _look_after(self, ids: Sequence[str]) -> None:
        """All in one command; where that fails one by one, so that one of them does not hold up the others."""
        try:
            await self._journal.do(LookAfter(delivery_ids=tuple(ids), policy=self._policy, tariffs=self._tariffs))
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("deliveries_not_looked_after", deliveries=len(ids))
            for delivery_id in ids:
                command = LookAfter(delivery_ids=(delivery_id,), policy=self._policy, tariffs=self._tariffs)
                try:
                    await self._journal.do(command)
                except StoreUnavailable:
                    raise
                except Exception:
                    log.exception("delivery_not_looked_after", delivery=delivery_id)

    async def _ask_anew(self, provider: str, now: datetime) -> None:
        """One slice, emergencies first; the next one with the next tick, while the provider is well."""
        after = self._recovered[provider]
        if not self._policy.available(provider):
            del self._recovered[provider]
            return
        found = await self._store.read(lambda connection: urgent_waiting(connection, now, after))
        if found:
            ids = tuple(delivery_id for _, delivery_id in found)
            command = AskAnew(provider=provider, delivery_ids=ids, policy=self._policy, tariffs=self._tariffs)
            RESCUED.labels(ASKED_ANEW).inc(await self._journal.do(command, urgent=True))
        if self._recovered.get(provider) != after:
            return  # it was lost and found meanwhile
        if len(found) == SLICE:
            self._recovered[provider] = found[-1]
        else:
            del self._recovered[provider]

    async def _match_early(self) -> None:
        """Receipts that another process stored while this one, or a third, was committing the answer that names them."""
        found = await self._store.read(_early_with_parts)
        for provider, forms in found.items():
            command = MatchEarly(
                provider=provider, receipt_ids=tuple(forms), policy=self._policy, tariffs=self._tariffs
            )
            await self._journal.do(command)

    async def adopt_orphans(self) -> None:
        """At the start of the only process: what was being sent has no worker any more, its doubt begins now."""
        after = ""
        while True:
            ids = await self._store.read(lambda connection, after=after: _sending(connection, after))  # type: ignore[misc]
            if not ids:
                return
            command = LookAfter(delivery_ids=tuple(ids), policy=self._policy, tariffs=self._tariffs, orphaned=True)
            await self._journal.do(command)
            after = ids[-1]


def _due_deliveries(connection: Connection, now: datetime) -> list[str]:
    t = tables.deliveries.c
    due = select(t.id).where(t.settled_at.is_(None), t.look_at <= to_micros(now)).order_by(t.look_at).limit(PAGE)
    return list(connection.scalars(due))


def _due_alerts(connection: Connection, now: datetime) -> list[str]:
    t = tables.alerts.c
    due = (
        select(t.id)
        .where(t.ended_at.is_(None), t.look_at <= to_micros(now))
        .order_by(t.priority, t.look_at)
        .limit(PAGE)
    )
    return list(connection.scalars(due))


def _early_with_parts(connection: Connection) -> dict[str, list[str]]:
    """By provider, the forms of the ids of early receipts whose answers are stored by now."""
    early, part = tables.early_receipts.c, tables.parts.c
    found = connection.execute(
        select(early.provider, early.receipt_id)
        .distinct()
        .join(
            tables.parts,
            (part.provider == early.provider) & (part.receipt_id == early.receipt_id),
        )
        .where(part.state == "accepted")
        .limit(PAGE)
    )
    by_provider: dict[str, list[str]] = {}
    for provider, name in found:
        by_provider.setdefault(provider, []).append(name)
    return by_provider


def _sending(connection: Connection, after: str) -> list[str]:
    t = tables.deliveries.c
    found = select(t.id).where(t.settled_at.is_(None), t.state == "sending", t.id > after).order_by(t.id).limit(PAGE)
    return list(connection.scalars(found))


def queued(connection: Connection, now: datetime, after: str) -> list[Delivery]:
    """A page of the deliveries that wait for a slot: what the in-memory queue is rebuilt from."""
    t = tables.deliveries.c
    found = (
        select(*rows.deliveries.columns)
        .where(t.settled_at.is_(None), t.state == "queued", t.due_at <= to_micros(now), t.id > after)
        .order_by(t.id)
        .limit(PAGE)
    )
    return [rows.deliveries.from_row(row) for row in connection.execute(found)]


def _sweep(connection: Connection, now: datetime) -> bool:
    """Deletes a chunk of the rows that are too old; True where there are more."""
    more = False
    for table, column, kept in (
        (tables.early_receipts, tables.early_receipts.c.at, EARLY_KEPT),
        (tables.idempotency, tables.idempotency.c.created_at, IDEMPOTENCY_KEPT),
        (tables.inbound_parts, tables.inbound_parts.c.at, INBOUND_PARTS_KEPT),
    ):
        until = to_micros(now - kept)
        last = select(column).where(column < until).order_by(column).offset(SWEEP_CHUNK - 1).limit(1)
        boundary = connection.scalar(last)
        if boundary is None:
            gone = connection.execute(delete(table).where(column < until)).rowcount
        else:
            gone = connection.execute(delete(table).where(column <= boundary)).rowcount
            more = True
        if (
            gone and table is not tables.idempotency
        ):  # somebody wrote to us, or a provider told something, and nobody will know
            log.warning("swept_unmatched", table=table.name, count=gone)
    return more
