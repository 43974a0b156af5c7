"""kill -9, again and again, under load: nothing that was answered 202 is lost, and the books are exact to the micro.

    python -m tests.proofs.kill_loop --kills 100 --store sqlite --seed 1

The SMSC (npm's, which no one here wrote) and upstream survive all kills; the server is started again at once. Prints
the figures, and ends with status 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import tempfile
import time
from bisect import bisect
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, func, select

from gateway.books import verify_ledger
from gateway.store import tables
from gateway.store.engine import open_store
from tests.peers.postgresql import PostgresqlServer
from tests.peers.smsc import NodeSmsc, Submitted
from tests.peers.waiting import eventually
from tests.proofs.load import Callbacks, Load, Promises, all_ended
from tests.proofs.server import ACCOUNT, CREDIT_MICROS, PRICE_MICROS, Server
from tests.scenarios.installation import smpp

WINDOW = 50
CLIENTS = 20
KEPT = 1_000_000  # messages that the SMSC remembers, to tell which came twice
ANSWER_MS = 40  # what the SMSC takes: so that there is always something under way when the kill comes
RECEIPT_MS = 80
UP_S = (0.05, 2.0)  # a kill comes this long after the server said it was ready
START_S = (0.1, 1.5)  # or, one time in eight, while it starts
KILLED_STARTING = 0.125
LEASE_S = 5  # PostgreSQL may have other processes: what a killed one was sending is taken over when its lease is lost
END_WITHIN_S = 180.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What the store says at the end, read after a graceful stop."""

    alert_ids: frozenset[str]
    alerts_not_completed: int
    deliveries: int
    deliveries_not_delivered: int
    deliveries_not_charged: int
    captured_micros: int
    balance_micros: int
    held_micros: int
    revenue_micros: int
    callbacks: list[tuple[str, int]]
    callbacks_parked: int
    left_in_flight: list[tuple[str, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The figures, and the promises that were broken."""

    store: str
    seed: int
    kills: int
    seconds: float
    alerts: int
    deliveries: int
    asked_again: int
    attempts_in_flight: int
    in_flight_per_kill: list[int]
    duplicates: int
    duplicates_per_kill: list[int]
    duplicates_bound: int
    captured_micros: int
    callbacks_heard: int
    callbacks_repeated: int
    broken: list[str]


async def kill_loop(*, kills: int, store: str, seed: int, rate_per_s: float, folder: Path) -> Verdict:
    """Runs the whole proof in `folder`. SIGTERM ends it, and what it started."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    started = time.monotonic()
    chance = random.Random(seed)
    with _store(store) as store_url, _smsc() as smsc:
        provider = smpp("carrier-a", smsc.port, window=WINDOW, link_wait_s=5)
        server = Server(folder, [provider], store_url=store_url, delivery={"attempts_max": 50, "lease_s": LEASE_S})
        await server.set_up()
        callbacks = Callbacks()
        await callbacks.start()
        try:
            async with server.client() as session:
                load = Load(session, clients=CLIENTS, rate_per_s=rate_per_s, callback_url=callbacks.url, chance=chance)
                loading = asyncio.create_task(load.run())
                killed_at = await _kill(server, kills, chance, loading)
                load.stop()
                await loading
                print(f"{len(load.promises.taken)} alerts were answered 202", file=sys.stderr)
                await all_ended(session, END_WITHIN_S)
                await eventually(
                    lambda: load.promises.called_back <= callbacks.ended, END_WITHIN_S, what="the last callbacks"
                )
            await server.stop()
            found, ledger_problems = await _found(server.store_url)
            stats, messages = await smsc.stats(), await smsc.messages()
        finally:
            await server.kill()
            await callbacks.stop()
    promises = load.promises
    heard = sum(len(numbers) for numbers in callbacks.numbers.values())
    distinct = sum(len(set(numbers)) for numbers in callbacks.numbers.values())
    left, twice = _by_kill(killed_at, found, messages)
    return Verdict(
        store=store,
        seed=seed,
        kills=kills,
        seconds=round(time.monotonic() - started, 1),
        alerts=len(promises.taken),
        deliveries=promises.deliveries,
        asked_again=promises.asked_again,
        attempts_in_flight=sum(left),
        in_flight_per_kill=left[:-1],
        duplicates=stats["duplicates"],
        duplicates_per_kill=twice[:-1],
        duplicates_bound=WINDOW * kills,
        captured_micros=found.captured_micros,
        callbacks_heard=distinct,
        callbacks_repeated=heard - distinct,
        broken=[*_broken(promises, found, stats, callbacks, left, twice), *ledger_problems],
    )


async def _kill(server: Server, kills: int, chance: random.Random, loading: asyncio.Task[None]) -> list[float]:
    """Kills and starts again; gives when it killed, as seconds since 1970."""
    killed_at: list[float] = []
    await server.start()
    while len(killed_at) < kills:
        await asyncio.sleep(chance.uniform(*UP_S))
        await server.kill()
        killed_at.append(time.time())  # whatever it began, it began before
        if chance.random() < KILLED_STARTING and len(killed_at) < kills:
            await server.start_and_kill(chance.uniform(*START_S))
            killed_at.append(time.time())
        if loading.done():
            await loading  # a client found what must not be
        await server.start()
        print(f"kill {len(killed_at)} of {kills}", file=sys.stderr)
    return killed_at


async def _found(store_url: str) -> tuple[Found, list[str]]:
    store = await open_store(store_url)
    try:
        return await store.read(_read), await store.read(verify_ledger)
    finally:
        await store.close()


def _read(connection: Connection) -> Found:
    a, d, b = tables.alerts.c, tables.deliveries.c, tables.balances.c
    t, c = tables.attempts.c, tables.callbacks.c

    def count(where: ColumnElement[bool]) -> int:
        return int(connection.scalar(select(func.count()).where(where)) or 0)

    left = (
        select(d.address, t.started_at)
        .join(tables.attempts, t.delivery_id == d.id)
        .where(t.outcome.in_(("", "unsure")))
        .order_by(t.started_at)
    )
    balances = {row.name: row.amount_micros for row in connection.execute(select(b.name, b.amount_micros))}
    return Found(
        alert_ids=frozenset(connection.scalars(select(a.id))),
        alerts_not_completed=count(a.status != "completed"),
        deliveries=count(d.id.is_not(None)),
        deliveries_not_delivered=count(d.state != "delivered"),
        deliveries_not_charged=count(d.captured_micros != PRICE_MICROS),
        captured_micros=sum(connection.scalars(select(d.captured_micros))),
        balance_micros=balances[f"prepaid:{ACCOUNT}"],
        held_micros=balances[f"held:{ACCOUNT}"],
        revenue_micros=balances[f"revenue:{ACCOUNT}"],
        callbacks=[(row.alert_id, row.n) for row in connection.execute(select(c.alert_id, c.n))],
        callbacks_parked=count(c.state == "parked"),
        left_in_flight=[(row.address, row.started_at / 10**6) for row in connection.execute(left)],
    )


def _by_kill(killed_at: list[float], found: Found, messages: list[Submitted]) -> tuple[list[int], list[int]]:
    """For each kill the attempts that it left without an outcome, and how many of them the SMSC got and got again; at the
    end what cannot be laid on any kill. Every delivery has a number of its own."""
    left, twice = [0] * (len(killed_at) + 1), [0] * (len(killed_at) + 1)
    copies = Counter(f"sms:+{message.destination}" for message in messages)
    for address, started_at in found.left_in_flight:
        kill = bisect(killed_at, started_at)
        left[kill] += 1
        if copies[address] > 1:
            copies[address] -= 1
            twice[kill] += 1
    return left, twice


def _broken(
    promises: Promises, found: Found, stats: dict[str, int], callbacks: Callbacks, left: list[int], twice: list[int]
) -> list[str]:
    """Every promise that does not hold, in words."""
    taken = set(promises.taken.values())
    owed = promises.deliveries * PRICE_MICROS
    unheard = [alert_id for alert_id, n in found.callbacks if n not in callbacks.numbers[alert_id]]
    checks = {
        f"{len(taken - found.alert_ids)} alerts answered 202 are lost": taken <= found.alert_ids,
        f"{len(found.alert_ids - taken)} alerts were made twice": found.alert_ids <= taken,
        f"{found.alerts_not_completed} alerts are not completed": found.alerts_not_completed == 0,
        f"{found.deliveries} deliveries, promised {promises.deliveries}": found.deliveries == promises.deliveries,
        f"{found.deliveries_not_delivered} are not delivered": found.deliveries_not_delivered == 0,
        f"{found.deliveries_not_charged} deliveries are not charged once": found.deliveries_not_charged == 0,
        f"captured {found.captured_micros}, owed {owed}": found.captured_micros == owed,
        f"revenue {found.revenue_micros}, owed {owed}": found.revenue_micros == owed,
        f"{found.held_micros} still held": found.held_micros == 0,
        f"balance {found.balance_micros}": found.balance_micros == CREDIT_MICROS - owed,
        f"{len(unheard)} callbacks were never heard": not unheard,
        f"{found.callbacks_parked} callbacks are parked": found.callbacks_parked == 0,
        f"the SMSC has {stats['distinct']} different messages": stats["distinct"] == promises.deliveries,
        f"{stats['duplicates']} duplicates of {sum(left)} attempts in flight": stats["duplicates"] == sum(twice),
        f"{max(twice)} duplicates of one kill": max(twice) <= WINDOW,
        f"{left[-1]} attempts without an answer after the last kill": left[-1] == 0,
    }
    return [words for words, holds in checks.items() if not holds]


@contextlib.contextmanager
def _store(kind: str) -> Iterator[str]:
    """The URL of a fresh database; empty for the server's own SQLite file."""
    if kind == "sqlite":
        yield ""
        return
    with contextlib.closing(PostgresqlServer(durable=True)) as server:
        yield server.start().create_database()


@contextlib.contextmanager
def _smsc() -> Iterator[NodeSmsc]:
    smsc = NodeSmsc(behaviour={"answer_delay_ms": ANSWER_MS, "receipt_delay_ms": RECEIPT_MS}, keep=KEPT).start()
    try:
        yield smsc
    finally:
        smsc.stop()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.kill_loop", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=100.0, help="alerts a second that upstream tries to submit")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tocsin-kill-loop-") as folder:
        work = kill_loop(
            kills=options.kills, store=options.store, seed=options.seed, rate_per_s=options.rate, folder=Path(folder)
        )
        verdict = asyncio.run(work)
    if options.json:
        print(json.dumps(asdict(verdict)))
    else:
        for name, value in asdict(verdict).items():
            print(f"{name:22} {value}")
    return 1 if verdict.broken else 0


if __name__ == "__main__":
    sys.exit(main())
