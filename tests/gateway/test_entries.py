"""The entries of an account as its books are read: signs, running balances, pages, spans of time, and what each was for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select

from billing.ledger import FLOWS
from gateway import administration as admin
from gateway import reversals
from gateway.clock import SystemClock, to_micros
from gateway.entries import Cause, Place, StoredEntry, entries_of
from gateway.store import tables
from gateway.store.engine import Store, open_store
from tests.conformance.store_suite import ALERT, DELIVERY

NOW = SystemClock().now()
EUR = 1_000_000
COUNT = 41


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url = f"sqlite:///{tmp_path}/tocsin.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    opened = await open_store(url)
    await opened.write(_booked)
    yield opened
    await opened.close()


def _booked(c: Connection) -> None:
    """Top-ups a day apart, one of them reversed; a text that was held, charged in part and refunded; and another account's entries."""
    for account in ("acme", "other"):
        admin.create_account(c, NOW, account_id=account, name=account, currency="EUR")
    for n in range(COUNT):
        for account in ("acme", "other"):
            at = NOW + timedelta(days=n)
            admin.top_up(c, at, account_id=account, amount_micros=(n + 1) * EUR, reference=f"INV-{n}")
    wrong = c.scalar(select(tables.entries.c.id).where(tables.entries.c.cause_id == "INV-3"))
    assert wrong is not None
    reversals.reverse(c, NOW + timedelta(days=COUNT), entry_id=wrong, reason_id="typed twice", account_id="acme")
    held = {"price_micros": 2 * EUR, "hold_micros": 4 * EUR, "captured_micros": 2 * EUR, "units": 2}
    c.execute(insert(tables.alerts).values(ALERT))
    c.execute(insert(tables.deliveries).values({**DELIVERY, **held, "state": "delivered", "settled_at": 2}))
    for kind, cause, cause_id, amount in (
        ("hold", "alert", "alt_1:0@1", 4),
        ("capture", "delivery", "dlv_1", 2),
        ("release", "delivery", "dlv_1", 2),
    ):
        debit, credit = (f"{side}:acme" for side in next(flow for one, flow in FLOWS.items() if one == kind))
        row = {
            "account_id": "acme",
            "kind": kind,
            "cause_type": cause,
            "cause_id": cause_id,
            "debit": debit,
            "credit": credit,
        }
        c.execute(
            insert(tables.entries).values(
                row | {"amount_micros": amount * EUR, "at": to_micros(NOW + timedelta(days=COUNT + 1))}
            )
        )


async def all_of(store: Store, page: int, *, first: int | None = None, before: int | None = None) -> list[StoredEntry]:
    """Every entry of the account, in pages of so many."""
    found: list[StoredEntry] = []
    place: Place | None = None
    while True:
        more = await store.read(
            lambda c, at=place: entries_of(c, "acme", cursor=at, limit=page, first=first, before=before)  # type: ignore[misc]
        )
        if not more:
            return found
        found += more
        place = more[-1].before


@pytest.mark.parametrize("page", [1, 2, 7, 200])
async def test_changes_add_up_to_what_was_left_however_it_is_paged(store: Store, page: int) -> None:
    entries = await all_of(store, page)
    assert len(entries) == COUNT + 4
    balance = held = 0
    for entry in reversed(entries):
        balance += entry.change_micros
        held += entry.held_change_micros
        assert (entry.balance_micros, entry.held_micros) == (balance, held), entry
        assert entry.currency == "EUR"
    account = await store.read(lambda c: admin.stands(c, "acme"))
    assert (account.balance_micros, account.held_micros) == (balance, held)
    assert [entry.id for entry in entries] == sorted((entry.id for entry in entries), reverse=True)


@pytest.mark.parametrize("page", [1, 3, 200])
async def test_a_span_of_days_shows_its_own_entries_with_the_balances_of_then(store: Store, page: int) -> None:
    whole = {entry.id: entry for entry in await all_of(store, 200)}
    first, before = to_micros(NOW + timedelta(days=5)), to_micros(NOW + timedelta(days=9))
    found = await all_of(store, page, first=first, before=before)
    assert [entry.cause.id for entry in found] == ["INV-8", "INV-7", "INV-6", "INV-5"]
    assert all(entry == whole[entry.id] for entry in found)


async def test_each_says_what_it_was_for(store: Store) -> None:
    release, capture, hold, reversal, *_ = await all_of(store, 200)
    delivery = Cause(type="delivery", id="dlv_1", alert="alt_1", address=str(DELIVERY["address"]), units=1)
    assert release.cause == capture.cause == delivery
    assert hold.cause == Cause(type="alert", id="alt_1:0@1", alert="alt_1")
    assert reversal.cause.type == "reversal"
    signed = [
        (one.kind, one.change_micros // EUR, one.held_change_micros // EUR)
        for one in (release, capture, hold, reversal)
    ]
    assert signed == [("release", 2, -2), ("capture", 0, -2), ("hold", -4, 4), ("reversal", -4, 0)]
