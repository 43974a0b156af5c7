"""The ledger on both databases: by-hand writes that are refused, and any sequence of money's ways with callers at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select, text

from billing.ledger import InsufficientCredit
from channels.outcome import PermanentFailure, Reason
from gateway import administration, reversals
from gateway.alert import Priority
from gateway.intake import IdempotencyKey, Shortfall
from gateway.lifecycle import cancel
from gateway.store import tables
from gateway.store.errors import StoreConflict
from tests.gateway import desk as desks
from tests.gateway.answers import accepted, delivered, unanswered, undelivered
from tests.gateway.desk import CREDIT_MICROS, PRICE_MICROS, A, Desk

desk = desks.desk
store_url = desks.store_url

ENTRY: dict[str, Any] = {
    "account_id": "acme",
    "kind": "hold",
    "cause_type": "alert",
    "cause_id": "alt_1",
    "debit": "prepaid:acme",
    "credit": "held:acme",
    "amount_micros": 5,
    "at": 1,
}


async def write(desk: Desk, *rows: dict[str, Any]) -> None:
    await desk.store.write(lambda connection: [connection.execute(insert(tables.entries).values(row)) for row in rows])


async def by_hand(desk: Desk, statement: str) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text(statement))

    await desk.store.write(work)


# --- what a hand may not write ---------------------------------------------------------------------------------------


NO_ENTRIES: list[dict[str, Any]] = [
    {"amount_micros": 0},
    {"amount_micros": -5},
    {"credit": None},
    {"debit": None},
    {"credit": "prepaid:acme"},
    {"debit": "held:acme", "credit": "prepaid:acme"},
    {"kind": "topup"},
    {"kind": "gift"},
    {"debit": "prepaid:other"},
    {"credit": "held:other"},
    {"account_id": "other"},
    {"debit": "prepaid:nobody", "account_id": "nobody", "credit": "held:nobody"},
    {"kind": "refund", "debit": "revenue:acme", "credit": "prepaid:acme"},
    {"reverses": 1},
]


async def test_an_entry_that_is_none_is_refused(desk: Desk) -> None:
    await desk.open_account("other", CREDIT_MICROS)
    before = await desk.money()
    for change in NO_ENTRIES:
        with pytest.raises(StoreConflict):
            await write(desk, {**ENTRY, **change})
        assert await desk.money() == before


async def test_an_entry_moves_both_balances(desk: Desk) -> None:
    paid = {
        "kind": "topup",
        "cause_type": "topup",
        "cause_id": "INV-2",
        "debit": "topups:acme",
        "credit": "prepaid:acme",
    }
    await write(desk, {**ENTRY, **paid})
    assert await desk.money() == (CREDIT_MICROS + 5, 0, 0)


async def test_an_entry_with_a_number_of_its_own_below_the_last_cannot_move_anything(desk: Desk) -> None:
    await desk.top_up(5, "INV-2")
    with pytest.raises(StoreConflict):
        await write(desk, {**ENTRY, "id": -1})


BY_HAND = [
    "update entries set amount_micros = amount_micros + 1",
    "update entries set at = 0",
    "delete from entries",
    "update balances set amount_micros = amount_micros + 1 where name = 'prepaid:acme'",
    "update balances set amount_micros = 0",
    "update balances set through_entry = through_entry + 1 where name = 'prepaid:acme'",
    "update balances set name = 'prepaid:other' where name = 'prepaid:acme'",
    "delete from balances where name = 'revenue:acme'",
    "insert into balances (name, account_id, amount_micros) values ('gift:acme', 'acme', 5)",
]


async def test_the_books_are_changed_by_entries_alone(desk: Desk) -> None:
    before = await desk.money()
    for statement in BY_HAND:
        with pytest.raises(StoreConflict):
            await by_hand(desk, statement)
        assert await desk.money() == before


async def test_entries_are_not_replaced(desk: Desk) -> None:
    """The ways around an update that each database has."""
    if desk.store.dialect.name == "sqlite":
        columns = "id, account_id, kind, cause_type, cause_id, debit, credit"
        statement = f"insert or replace into entries select {columns}, 7, reverses, at from entries"
    else:
        statement = "truncate entries cascade"
    with pytest.raises(StoreConflict):
        await by_hand(desk, statement)
    assert await desk.money() == (CREDIT_MICROS, 0, 0)


async def test_nothing_is_captured_twice(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1")
    await desk.report(delivered("id-1"))
    again = {
        "kind": "capture",
        "cause_type": "delivery",
        "cause_id": one,
        "debit": "held:acme",
        "credit": "revenue:acme",
    }
    with pytest.raises(StoreConflict):
        await write(desk, {**ENTRY, **again})


async def test_nothing_is_captured_that_is_not_held(desk: Desk) -> None:
    with pytest.raises(StoreConflict):
        await write(desk, {**ENTRY, "kind": "capture", "debit": "held:acme", "credit": "revenue:acme"})


async def test_nothing_is_refunded_twice(desk: Desk) -> None:
    one = await desk.one()
    await desk.sent(one, "id-1", receipts=False)
    t = tables.entries.c
    (capture,) = await desk.store.read(lambda c: list(c.scalars(select(t.id).where(t.kind == "capture"))))
    refund = {
        **ENTRY,
        "kind": "refund",
        "cause_type": "refund",
        "debit": "revenue:acme",
        "credit": "prepaid:acme",
        "amount_micros": PRICE_MICROS,
        "reverses": capture,
    }
    await write(desk, refund)
    assert await desk.money() == (CREDIT_MICROS, 0, 0)
    with pytest.raises(StoreConflict):
        await write(desk, {**refund, "cause_id": "another reason"})


# --- exactness under many callers ------------------------------------------------------------------------------------


async def test_of_many_callers_as_many_are_taken_as_the_credit_pays_for(desk: Desk) -> None:
    await desk.open_account("poor", 7 * PRICE_MICROS + 1)
    tries = [desk.accept(f"sms:+336{n:08d}", account_id="poor") for n in range(20)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, str) for result in results) == 7
    assert sum(isinstance(result, InsufficientCredit) for result in results) == 13
    assert await desk.money("poor") == (1, 7 * PRICE_MICROS, 0)


async def test_of_the_callers_of_two_processes_as_many_are_taken_as_the_credit_pays_for(postgresql_url: str) -> None:
    async with desks.seeded(postgresql_url) as one, contextlib.AsyncExitStack() as stack:
        await one.open_account("poor", 7 * PRICE_MICROS + 1)
        two = await one.beside()
        stack.push_async_callback(two.close)
        tries = [(one if n % 2 else two).accept(f"sms:+336{n:08d}", account_id="poor") for n in range(20)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(result, str) for result in results) == 7
        assert sum(isinstance(result, InsufficientCredit) for result in results) == 13
        assert await one.money("poor") == (1, 7 * PRICE_MICROS, 0)
        await one.verify()


async def test_one_idempotency_key_in_two_processes_is_one_alert(postgresql_url: str) -> None:

    key = IdempotencyKey(account_id="acme", route="alerts", key="k", digest=b"d")
    async with desks.seeded(postgresql_url) as one, contextlib.AsyncExitStack() as stack:
        two = await one.beside()
        stack.push_async_callback(two.close)
        commands = [
            (where, where.accepting(where.alert("sms:+33600000001"), idempotency=key)) for where in (one, two) * 4
        ]
        taken = await asyncio.gather(*(where.do(command) for where, command in commands))
        assert len({answer.alert_id for answer in taken}) == 1
        assert await one.count("alerts") == 1
        assert await one.spent() == (1, 0)


async def test_a_tariff_that_another_process_set_is_known_when_it_is_needed(postgresql_url: str) -> None:
    """One process takes an alert at the new price; the other, which has not heard of it yet, settles it."""
    async with desks.seeded(postgresql_url) as one, contextlib.AsyncExitStack() as stack:
        two = await one.beside()
        stack.push_async_callback(two.close)
        await one.store.write(
            lambda c: administration.set_tariff(c, one.clock.now(), channel="sms", prefix="+33", price_micros=9)
        )
        await one.load_tariffs()
        delivery_id = await one.one()
        await two.sent(delivery_id, "id-1")
        await two.report(delivered("id-1"))
        assert await one.money() == (CREDIT_MICROS - 9, 0, 9)


# --- any sequence ----------------------------------------------------------------------------------------------------

PREFIXES = ("+33", "+44", "+31", "+32", "+49")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("topup"), st.integers(1, 6), st.integers(0, 5)),
        st.tuples(st.just("alert"), st.sampled_from(PREFIXES), st.integers(1, 3)),
        st.tuples(st.just("emergency"), st.sampled_from(PREFIXES), st.integers(1, 2)),
        st.tuples(st.just("high"), st.sampled_from(PREFIXES), st.integers(1, 3)),
        st.tuples(st.just("accepted"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("unanswered"), st.integers(0, 9), st.integers(0, 1)),
        st.tuples(st.just("refused"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("receipt"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("cancel"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("refund"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("reverse"), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("later"), st.sampled_from([5, 61, 4_000]), st.just(0)),
    ),
    min_size=5,
    max_size=40,
)
AT_ONCE = 6  # steps that are begun together


class Till:
    """One account's life under a list of steps, several at once, over one or two processes. The model is what it may own."""

    def __init__(self, desks_of: Sequence[Desk], account_id: str) -> None:
        self.desks = desks_of
        self.account = account_id
        self.clock = desks_of[0].clock
        self.deliveries: list[str] = []
        self.alerts: list[str] = []
        self.claims: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.made = 0
        self.refused_rightly = True
        self.references: dict[str, int] = {}
        self.asked: dict[str, set[int]] = defaultdict(set)
        self.reversing: set[str] = set()
        self.taken_back: set[str] = set()

    def desk(self) -> Desk:
        """The processes in turn."""
        self.made += 1
        return self.desks[self.made % len(self.desks)]

    def picked(self, n: int) -> str | None:
        return self.deliveries[n % len(self.deliveries)] if self.deliveries else None

    async def step(self, what: str, first: Any, second: Any) -> None:
        await getattr(self, what)(first, second)

    async def topup(self, prices: int, reference: int) -> None:
        name = f"INV-{reference}"
        amount = prices * PRICE_MICROS
        self.asked[name].add(amount)
        try:
            await self.desk().top_up(amount, name, account_id=self.account)
        except administration.TopUpConflict:
            assert len(self.asked[name]) > 1 or name in self.reversing
        else:  # whichever of two that were begun together was first: the other one is refused
            assert self.references.setdefault(name, amount) == amount

    async def take(self, prefix: str, n: int, priority: Priority, shortfall: Shortfall) -> None:
        desk = self.desk()
        addresses = [f"sms:{prefix}6{self.made:04d}{k:03d}" for k in range(n)]
        try:
            alert_id = await desk.accept(
                *addresses, account_id=self.account, priority=priority, shortfall=shortfall, resend=self.made % 2 == 0
            )
        except InsufficientCredit as short:
            self.refused_rightly &= short.required_micros > short.available_micros
            self.refused_rightly &= priority is not Priority.EMERGENCY
            return
        self.alerts.append(alert_id)
        self.deliveries += [delivery.id for delivery in await desk.deliveries(alert_id)]

    async def alert(self, prefix: str, n: int) -> None:
        await self.take(prefix, n, Priority.NORMAL, Shortfall.REFUSE)

    async def high(self, prefix: str, n: int) -> None:
        await self.take(prefix, n, Priority.HIGH, Shortfall.REFUSE_IF_NOTHING_GOES)

    async def emergency(self, prefix: str, n: int) -> None:
        await self.take(prefix, n, Priority.EMERGENCY, Shortfall.TAKE)

    async def attempt(self, n: int, outcome: Any, *, receipts: bool = True, name: str = "") -> None:
        desk, delivery_id = self.desk(), self.picked(n)
        if delivery_id is None:
            return
        claim = await desk.claim(delivery_id, (await desk.delivery(delivery_id)).provider or A)
        if claim is not None:
            if name:
                self.claims[delivery_id].append((claim.attempt.provider, name))
            await desk.record(claim, outcome, receipts=receipts)

    async def accepted(self, n: int, receipts: bool) -> None:
        name = f"{self.account}-{self.made}"
        await self.attempt(n, accepted(name), receipts=receipts, name=name)

    async def unanswered(self, n: int, taken: int) -> None:
        await self.attempt(n, unanswered())

    async def refused(self, n: int, _: int) -> None:
        await self.attempt(n, PermanentFailure(reason=Reason(code="no")))

    async def receipt(self, n: int, good: bool) -> None:
        delivery_id = self.picked(n)
        if delivery_id is not None and self.claims[delivery_id]:
            provider, name = self.claims[delivery_id][n % len(self.claims[delivery_id])]
            await self.desk().report(delivered(name) if good else undelivered(name), provider=provider)

    async def cancel(self, n: int, _: int) -> None:
        if self.alerts:
            with contextlib.suppress(Exception):  # it has ended
                await self.desk().change(self.alerts[n % len(self.alerts)], cancel)

    async def refund(self, n: int, _: int) -> None:
        desk, t = self.desk(), tables.entries.c
        statement = select(t.id).where(t.account_id == self.account, t.kind == "capture").order_by(t.id)
        captures = await desk.store.read(lambda c: list(c.scalars(statement)))
        if captures:
            entry_id = captures[n % len(captures)]
            with contextlib.suppress(reversals.RefundConflict):
                await desk.store.write(
                    lambda c: reversals.refund(c, self.clock.now(), entry_id=entry_id, reason_id=f"r{self.made}")
                )

    async def reverse(self, reference: int, allow_debt: bool) -> None:
        desk, t, name = self.desk(), tables.entries.c, f"INV-{reference}"
        statement = select(t.id).where(t.account_id == self.account, t.kind == "topup", t.cause_id == name)
        entry_id = await desk.store.read(lambda c: c.scalar(statement))
        if entry_id is None:
            return
        self.reversing.add(name)

        def work(connection: Connection) -> None:
            reversals.reverse(
                connection,
                self.clock.now(),
                entry_id=entry_id,
                reason_id="typed wrongly",
                allow_debt=allow_debt,
                account_id=self.account,
            )

        with contextlib.suppress(reversals.ReversalConflict):  # what it brought is spent
            await desk.store.write(work)
            self.taken_back.add(name)

    async def later(self, seconds: int, _: int) -> None:
        self.clock.move(seconds)
        await self.desk().tick()

    async def check(self) -> None:
        desk = self.desks[0]
        await desk.verify()
        prepaid, held, revenue = await desk.money(self.account)
        assert self.refused_rightly
        owned = {name: amount for name, amount in self.references.items() if name not in self.taken_back}
        assert prepaid + held + revenue == sum(owned.values())

    async def end(self) -> None:
        """Everything comes to its end, and then nothing is held any more."""
        self.clock.move(40 * 86_400)
        for desk in self.desks:
            await desk.tick()
        await self.check()
        assert (await self.desks[0].money(self.account))[1] == 0


async def live(desks_of: Sequence[Desk], account_id: str, steps: list[tuple[str, Any, Any]]) -> None:
    await desks_of[0].open_account(account_id)
    till = Till(desks_of, account_id)
    for start in range(0, len(steps), AT_ONCE):
        at_once: list[Coroutine[Any, Any, None]] = [till.step(*step) for step in steps[start : start + AT_ONCE]]
        await asyncio.gather(*at_once)
        await till.check()
    await till.end()


def lives(url: str, processes: int, examples: int) -> None:
    """Runs examples on one database, each with an account of its own."""
    with asyncio.Runner() as runner:

        async def begin() -> list[Desk]:
            first = await Desk.open(url)
            await first.seed()
            return [first, *[await first.beside() for _ in range(processes - 1)]]

        desks_of = runner.run(begin())
        numbers = iter(range(1_000_000))

        @settings(
            max_examples=examples,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        )
        @given(steps=STEPS)
        def example(steps: list[tuple[str, Any, Any]]) -> None:
            runner.run(live(desks_of, f"account-{next(numbers)}", steps))

        try:
            example()
        finally:

            async def end() -> None:
                for desk in desks_of:
                    await desk.close()

            runner.run(end())


def test_any_life_of_an_account_on_sqlite(tmp_path: Any) -> None:
    lives(f"sqlite:///{tmp_path}/tocsin.db", 1, 40)


def test_any_life_of_an_account_on_postgresql_with_two_processes(postgresql_url: str) -> None:
    lives(postgresql_url, 2, 25)
