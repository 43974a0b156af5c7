"""Accounts, keys, tariffs, top-ups, refunds and the audit of the books, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from billing.money import MICROS_PER_UNIT, AmountError, CurrencyError
from billing.tariff import Tariff, TariffError
from gateway import administration as admin
from gateway import reversals
from gateway.administration import Role
from gateway.entries import entries_of
from gateway.store import tables
from gateway.store.engine import Store, open_store
from tests.conformance.store_suite import ALERT, DELIVERY

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EUR = MICROS_PER_UNIT


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url = f"sqlite:///{tmp_path}/t.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    opened = await open_store(url)
    yield opened
    await opened.close()


async def acme(store: Store) -> admin.Account:
    return await store.write(
        lambda c: admin.create_account(c, NOW, account_id="acme", name="Acme", currency="EUR", floor_micros=-5 * EUR)
    )


async def pay(store: Store, amount_micros: int, reference: str) -> admin.Account:
    topup = await store.write(
        lambda c: admin.top_up(c, NOW, account_id="acme", amount_micros=amount_micros, reference=reference)
    )
    return topup.account


async def captured(store: Store, amount_micros: int) -> int:
    """Entries as a delivery leaves them: a hold, and its capture, whose number it gives."""

    def write(c: Connection) -> int:
        tariff = admin.set_tariff(c, NOW, channel="sms", prefix="", price_micros=amount_micros)
        held = {"price_micros": amount_micros, "hold_micros": amount_micros, "captured_micros": amount_micros}
        held["tariff_id"] = tariff.id
        c.execute(insert(tables.alerts).values(ALERT))
        c.execute(insert(tables.deliveries).values({**DELIVERY, **held, "state": "delivered", "settled_at": 2}))
        rows = [
            {"account_id": "acme", "kind": kind, "cause_type": cause, "cause_id": cause_id,
             "debit": f"{debit}:acme", "credit": f"{credit}:acme", "amount_micros": amount_micros, "at": 0}
            for kind, cause, cause_id, debit, credit in (
                ("hold", "alert", "alt_1:0@1", "prepaid", "held"), ("capture", "delivery", "dlv_1", "held", "revenue")
            )
        ]  # fmt: skip
        for row in rows:
            number = c.scalar(insert(tables.entries).values(row).returning(tables.entries.c.id))
        assert number is not None
        return int(number)

    return await store.write(write)


async def test_an_account_starts_empty_and_is_found(store: Store) -> None:
    made = await acme(store)
    assert (made.balance_micros, made.held_micros, made.currency, made.floor_micros) == (0, 0, "EUR", -5 * EUR)
    assert await store.read(lambda c: admin.get_account(c, "acme")) == made
    assert await store.read(lambda c: admin.get_account(c, "other")) is None
    secret = await store.read(lambda c: admin.callback_secret(c, "acme"))
    assert secret is not None
    assert len(secret) >= 43


async def test_an_account_is_made_once(store: Store) -> None:
    await acme(store)
    with pytest.raises(admin.AccountExistsError):
        await acme(store)
    assert len(await store.read(lambda c: admin.list_accounts(c))) == 1


@pytest.mark.parametrize("account_id", ["", "-a", "a:b", "a b", "é", "a" * 65, "a\n"])
async def test_an_account_id_stays_out_of_trouble(store: Store, account_id: str) -> None:
    with pytest.raises(admin.InvalidFieldError):
        await store.write(lambda c: admin.create_account(c, NOW, account_id=account_id, name="x", currency="EUR"))


async def test_what_an_account_refuses(store: Store) -> None:
    with pytest.raises(CurrencyError):
        await store.write(lambda c: admin.create_account(c, NOW, account_id="a", name="x", currency="euro"))
    for wrong in ({"name": "a\x00"}, {"name": ""}, {"floor_micros": 1}):
        asked = {"account_id": "a", "name": "x", "currency": "EUR", **wrong}
        with pytest.raises(admin.InvalidFieldError):
            await store.write(lambda c, asked=asked: admin.create_account(c, NOW, **asked))  # type: ignore[misc]


async def test_accounts_are_paged_in_order(store: Store) -> None:
    for name in ("c", "a", "b"):
        await store.write(lambda c, name=name: admin.create_account(c, NOW, account_id=name, name=name, currency="EUR"))  # type: ignore[misc]
    first = await store.read(lambda c: admin.list_accounts(c, limit=2))
    rest = await store.read(lambda c: admin.list_accounts(c, cursor=first[-1].id, limit=2))
    assert [account.id for account in (*first, *rest)] == ["a", "b", "c"]


async def test_a_payment_arrives_once(store: Store) -> None:
    await acme(store)
    assert (await pay(store, 50 * EUR, "INV-1")).balance_micros == 50 * EUR
    assert (await pay(store, 50 * EUR, "INV-1")).balance_micros == 50 * EUR
    with pytest.raises(admin.TopUpConflict):
        await pay(store, 51 * EUR, "INV-1")
    assert (await pay(store, 1 * EUR, "INV-2")).balance_micros == 51 * EUR
    entries = await store.read(lambda c: entries_of(c, "acme"))
    assert [(e.kind, e.cause.id, e.amount_micros) for e in entries] == [
        ("topup", "INV-2", 1 * EUR),
        ("topup", "INV-1", 50 * EUR),
    ]
    assert await store.read(admin.verify_ledger) == []


async def test_the_same_payment_ten_times_at_once_arrives_once(store: Store) -> None:
    await acme(store)
    await asyncio.gather(*(pay(store, 7 * EUR, "INV-1") for _ in range(10)))
    assert len(await store.read(lambda c: entries_of(c, "acme"))) == 1


async def test_what_a_top_up_refuses(store: Store) -> None:
    with pytest.raises(admin.NotFoundError):
        await pay(store, EUR, "INV-1")
    await acme(store)
    for amount in (0, -EUR, 10**19):
        with pytest.raises(AmountError):
            await pay(store, amount, "INV-1")
    for reference in ("", "x" * 201, "a\x00b"):
        with pytest.raises(admin.InvalidFieldError):
            await pay(store, EUR, reference)


async def test_a_capture_is_refunded_once(store: Store) -> None:
    await acme(store)
    await pay(store, 10 * EUR, "INV-1")
    number = await captured(store, 3 * EUR)

    async def give_back(reason: str, account_id: str | None = None) -> admin.Booking:
        return await store.write(
            lambda c: reversals.refund(c, NOW, entry_id=number, reason_id=reason, account_id=account_id)
        )

    first, again = await give_back("T-1"), await give_back("T-1")
    assert (first.account.balance_micros, first.booked, again.booked) == (10 * EUR, True, False)
    assert (again.account.balance_micros, again.entry) == (10 * EUR, first.entry)
    with pytest.raises(reversals.RefundConflict):
        await give_back("T-2")
    with pytest.raises(admin.NotFoundError):
        await give_back("T-1", account_id="other")
    entries = await store.read(lambda c: entries_of(c, "acme", limit=1))
    assert (entries[0].kind, entries[0].reverses) == ("refund", number)


async def test_only_captures_are_refunded(store: Store) -> None:
    await acme(store)
    await pay(store, EUR, "INV-1")
    topup = (await store.read(lambda c: entries_of(c, "acme")))[0].id
    with pytest.raises(reversals.RefundConflict):
        await store.write(lambda c: reversals.refund(c, NOW, entry_id=topup, reason_id="T"))
    for number in (topup + 1, 0, -1, 2**70):
        with pytest.raises(admin.InvalidFieldError, match="expected the id of an entry"):
            await store.write(lambda c, n=number: reversals.refund(c, NOW, entry_id=n, reason_id="T"))  # type: ignore[misc]


async def reversed_topup(
    store: Store, number: int, reason: str, *, allow_debt: bool = False, account_id: str = "acme"
) -> admin.Booking:
    return await store.write(
        lambda c: reversals.reverse(
            c, NOW, entry_id=number, reason_id=reason, allow_debt=allow_debt, account_id=account_id
        )
    )


async def test_a_mistyped_top_up_is_reversed_once_and_whole(store: Store) -> None:
    await acme(store)
    await pay(store, 500 * EUR, "INV-1")
    (wrong,) = await store.read(lambda c: entries_of(c, "acme"))
    assert (await reversed_topup(store, wrong.id, "typed 500 for 50")).account.balance_micros == 0
    assert (await reversed_topup(store, wrong.id, "typed 500 for 50")).account.balance_micros == 0
    with pytest.raises(reversals.ReversalConflict, match="was reversed before"):
        await reversed_topup(store, wrong.id, "another reason")
    for amount, says in (
        (50 * EUR, "was reversed: give the right one another reference"),
        (500 * EUR, "by entry 2: use an"),
    ):
        with pytest.raises(admin.TopUpConflict, match=says):
            await pay(store, amount, "INV-1")
    assert (await pay(store, 50 * EUR, "INV-1a")).balance_micros == 50 * EUR
    kinds = [(e.kind, e.reverses, e.debit, e.credit) for e in await store.read(lambda c: entries_of(c, "acme"))]
    assert kinds[1] == ("reversal", wrong.id, "prepaid:acme", "topups:acme")
    assert await store.read(admin.verify_ledger) == []


async def test_what_is_spent_is_taken_back_only_into_a_debt_that_was_asked_for(store: Store) -> None:
    await acme(store)  # its floor is -5
    await pay(store, 10 * EUR, "INV-1")
    (wrong,) = await store.read(lambda c: entries_of(c, "acme"))
    await captured(store, 6 * EUR)
    with pytest.raises(reversals.ReversalConflict, match=r"brought 10\.00 EUR, and 4\.00 is free to use"):
        await reversed_topup(store, wrong.id, "T")
    with pytest.raises(reversals.ReversalConflict, match=r"may go no lower than -5\.00"):
        await reversed_topup(store, wrong.id, "T", allow_debt=True)
    await pay(store, 1 * EUR, "INV-2")
    assert (await reversed_topup(store, wrong.id, "T", allow_debt=True)).account.balance_micros == -5 * EUR
    assert await store.read(admin.verify_ledger) == []


async def test_only_top_ups_of_the_account_are_reversed(store: Store) -> None:
    await acme(store)
    await pay(store, 10 * EUR, "INV-1")
    capture = await captured(store, EUR)
    for number, says in ((capture, "is given back by a refund"), (capture - 1, "only a top-up can be reversed")):
        with pytest.raises(reversals.ReversalConflict, match=says):
            await reversed_topup(store, number, "T")
    with pytest.raises(admin.NotFoundError):
        await reversed_topup(store, 1, "T", account_id="other")
    for number in (capture + 1, 0, -1, 2**70):
        with pytest.raises(admin.InvalidFieldError, match="expected the id of an entry"):
            await reversed_topup(store, number, "T")
    with pytest.raises(admin.InvalidFieldError, match="1 to 200 characters"):
        await reversed_topup(store, 1, "")


async def test_a_changed_price_is_a_new_version(store: Store) -> None:
    async def priced(prefix: str, price: int) -> Tariff:
        return await store.write(lambda c: admin.set_tariff(c, NOW, channel="sms", prefix=prefix, price_micros=price))

    first = await priced("+33", 45_000)
    assert await priced("+33", 45_000) == first
    second = await priced("+33", 50_000)
    await priced("", 90_000)
    assert (first.version, second.version) == (1, 2)
    in_force = await store.read(admin.list_tariffs)
    assert [(t.prefix, t.price_micros) for t in in_force] == [("", 90_000), ("+33", 50_000)]
    with pytest.raises(TariffError):
        await priced("+33", -1)


async def test_a_key_is_known_by_its_digest_until_it_is_revoked(store: Store) -> None:
    await acme(store)
    key, text = await store.write(lambda c: admin.create_key(c, NOW, account_id="acme", role="submitter", label="plc"))
    assert text.startswith("tok_")
    assert len(text) == 47
    digest = admin.digest_of(text)
    assert await store.read(lambda c: admin.authenticate(c, digest)) == key
    assert await store.read(lambda c: admin.authenticate(c, admin.digest_of("tok_x"))) is None
    with pytest.raises(admin.NotFoundError):
        await store.write(lambda c: admin.revoke_key(c, NOW, key.id, account_id="other"))
    revoked = await store.write(lambda c: admin.revoke_key(c, NOW, key.id))
    assert revoked.revoked_at == NOW
    assert await store.read(lambda c: admin.authenticate(c, digest)) is None
    assert await store.read(lambda c: admin.list_keys(c, account_id="acme")) == [revoked]


async def test_what_a_key_refuses(store: Store) -> None:
    for account_id, role, refusal in (
        (None, "submitter", admin.InvalidFieldError),
        (None, "account_admin", admin.InvalidFieldError),
        (None, "king", admin.InvalidFieldError),
        ("nobody", "submitter", admin.NotFoundError),
    ):
        with pytest.raises(refusal):
            await store.write(lambda c, a=account_id, r=role: admin.create_key(c, NOW, account_id=a, role=r))  # type: ignore[misc]
    for role in admin.UNBOUND_ROLES:
        key, _ = await store.write(lambda c, r=role: admin.create_key(c, NOW, account_id=None, role=r))  # type: ignore[misc]
        assert key.role is Role(role)
