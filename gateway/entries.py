"""The entries of an account as somebody reads its books: what each changed, what was left after it, and what it was for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, literal, select

from billing import ledger
from billing.ledger import FLOWS
from billing.money import Micros
from gateway.administration import PAGE
from gateway.clock import from_micros
from gateway.store import tables

APART_MICROS: Final = 3_600_000_000
"""How far the clocks of two processes that write entries may be apart, for ids to be in the order of time."""


class Place(NamedTuple):
    """Where a page of entries ends: those before the entry `id` come next, and what stood in the account before it."""

    id: int
    balance_micros: Micros
    held_micros: Micros


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """What an entry was made for. Of a delivery also its alert, where it went and how many of its units this charges or gives
    back; of an alert its id alone."""

    type: str
    id: str
    alert: str | None = None
    address: str | None = None
    units: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEntry:
    """One immutable entry of the ledger; the amount left `debit` and arrived at `credit`.

    `change_micros` is what it did to what is free to use, `balance_micros` what was free after it; `held_change_micros` and
    `held_micros` are the same for what is set aside. All changes of an account sum up to how it stands.
    """

    id: int
    kind: str
    cause: Cause
    debit: str
    credit: str
    amount_micros: Micros
    currency: str
    change_micros: Micros
    balance_micros: Micros
    held_change_micros: Micros
    held_micros: Micros
    reverses: int | None
    at: datetime
    before: Place = field(repr=False)


def entries_of(
    connection: Connection,
    account_id: str,
    *,
    cursor: Place | None = None,
    limit: int = PAGE,
    first: int | None = None,
    before: int | None = None,
) -> list[StoredEntry]:
    """At most `limit` entries of the account, the latest first: those before the place `cursor`, of the time from `first` on and
    before `before` (microseconds)."""
    t, a = tables.entries.c, tables.accounts.c
    wanted = [
        t.account_id == account_id,
        *([] if cursor is None else [t.id < cursor.id]),
        *([] if first is None else [t.at >= first, t.id >= _entry_at(connection, account_id, first - APART_MICROS)]),
        *([] if before is None else [t.at < before, t.id < _entry_at(connection, account_id, before + APART_MICROS)]),
    ]
    statement = (
        select(tables.entries, a.currency)
        .join(tables.accounts, a.id == t.account_id)
        .where(*wanted)
        .order_by(t.id.desc())
    )
    rows = connection.execute(statement.limit(limit)).all()
    if not rows:
        return []
    causes = _causes(connection, rows)
    left = _left_after(connection, account_id, rows, cursor)
    return [_entry(row, causes[row.id], left[row.id]) for row in rows]


def _entry(row: Row[Any], cause: Cause, left: tuple[Micros, Micros]) -> StoredEntry:
    balance, held = left
    change, held_change = _changes(row.kind, row.amount_micros)
    return StoredEntry(
        id=row.id,
        kind=row.kind,
        cause=cause,
        debit=row.debit,
        credit=row.credit,
        amount_micros=row.amount_micros,
        currency=row.currency,
        change_micros=change,
        balance_micros=balance,
        held_change_micros=held_change,
        held_micros=held,
        reverses=row.reverses,
        at=from_micros(row.at),
        before=Place(row.id, balance - change, held - held_change),
    )


def _entry_at(connection: Connection, account_id: str, micros: int) -> int:
    """An id below which the account has no entry of this time or later. Ids are in the order of time, so that halving finds it with
    some twenty looks into the index that there is: one more would cost each message."""
    t = tables.entries.c
    mine = select(t.id, t.at).where(t.account_id == account_id)
    last = connection.execute(mine.order_by(t.id.desc()).limit(1)).first()
    low, high = 0, 1 if last is None else last.id + 1
    while low < high:
        middle = (low + high) // 2
        next_one = connection.execute(mine.where(t.id >= middle).order_by(t.id).limit(1)).first()
        if next_one is not None and next_one.at < micros:
            low = next_one.id + 1
        else:
            high = middle
    return low


# --- what was left ----------------------------------------------------------------------------------------------------

PREPAID: Final = "prepaid"
HELD: Final = "held"


def _changes(kind: str, amount_micros: Micros) -> tuple[Micros, Micros]:
    """What the entry did to what is free to use and to what is held."""
    return _sign(kind, PREPAID) * amount_micros, _sign(kind, HELD) * amount_micros


def _sign(kind: str, balance: str) -> int:
    source, target = FLOWS[ledger.EntryKind(kind)]
    return (target == balance) - (source == balance)


def _left_after(
    connection: Connection, account_id: str, rows: Sequence[Row[Any]], cursor: Place | None
) -> dict[int, tuple[Micros, Micros]]:
    """What was free and what was held after each of the entries; those between them that are not asked for count as well."""
    t = tables.entries.c
    top, bottom = rows[0].id, rows[-1].id
    balance, held = _at_the_top(connection, account_id, top, cursor)
    left = {}
    between = select(t.id, t.kind, t.amount_micros).where(t.account_id == account_id, t.id.between(bottom, top))
    for row in connection.execute(between.order_by(t.id.desc())):
        left[row.id] = (balance, held)
        change, held_change = _changes(row.kind, row.amount_micros)
        balance, held = balance - change, held - held_change
    return left


def _at_the_top(connection: Connection, account_id: str, top: int, cursor: Place | None) -> tuple[Micros, Micros]:
    """What was free and held after the entry `top`: what stands at the cursor, or now, less what came since. One statement, so that
    both are of one moment."""
    t, b = tables.entries.c, tables.balances.c
    since = and_(t.account_id == account_id, t.id > top, *([] if cursor is None else [t.id < cursor.id]))

    def then(name: str, at_cursor: Micros | None, balance: str) -> ColumnElement[int]:
        stands = (
            select(b.amount_micros).where(b.name == name).scalar_subquery() if at_cursor is None else literal(at_cursor)
        )
        return stands - select(_moved(balance)).where(since).scalar_subquery()

    place = (None, None) if cursor is None else (cursor.balance_micros, cursor.held_micros)
    found = connection.execute(
        select(
            then(ledger.prepaid(account_id), place[0], PREPAID).label(PREPAID),
            then(ledger.held(account_id), place[1], HELD).label(HELD),
        )
    ).one()
    return int(found[0]), int(found[1])


def _moved(balance: str) -> Any:
    t = tables.entries.c
    signed = case(
        *((t.kind == kind.value, t.amount_micros * _sign(kind, balance)) for kind in FLOWS if _sign(kind, balance)),
        else_=0,
    )
    return func.coalesce(func.sum(signed), 0).label(balance)


# --- what it was for --------------------------------------------------------------------------------------------------


def _causes(connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, Cause]:
    """What each of the entries was made for."""
    d = tables.deliveries.c
    ids = {row.cause_id for row in rows if row.cause_type == ledger.CAUSE_DELIVERY}
    found = connection.execute(select(d.id, d.alert_id, d.address, d.price_micros).where(d.id.in_(ids)))
    deliveries = {row.id: row for row in found}
    causes = {}
    for row in rows:
        delivery = deliveries.get(row.cause_id)
        causes[row.id] = _cause(row.cause_type, row.cause_id)
        if delivery is not None:
            # whoever was charged has a price, unless a hand took it away
            units = row.amount_micros // delivery.price_micros if delivery.price_micros else None
            causes[row.id] = replace(causes[row.id], alert=delivery.alert_id, address=delivery.address, units=units)
    return causes


def _cause(kind: str, cause_id: str) -> Cause:
    alert = cause_id.partition(":")[0] if kind == ledger.CAUSE_ALERT else None  # behind it: which step, and when
    return Cause(type=kind, id=cause_id, alert=alert)
