"""The audit of the books: whether balances, entries, holds and settled deliveries agree. Nothing is corrected here."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, and_, case, func, literal, or_, select

from billing import ledger
from billing.ledger import EntryKind
from billing.money import format_amount
from gateway.store import tables

PROBLEMS_MAX: Final = 100  # of one kind that are named: whoever reads them starts with the first


def verify_ledger(connection: Connection) -> list[str]:
    """What is wrong with the ledger, in sentences; nothing, hopefully. One snapshot, so it may be in use meanwhile.

    Call it first in its transaction.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")  # SQLite reads a snapshot anyway
    return [*_unbalanced(connection), *_astray(connection), *_misheld(connection), *_missettled(connection)]


def _unbalanced(connection: Connection) -> list[str]:
    b = tables.balances.c
    total = func.sum(b.amount_micros)
    found = connection.execute(
        select(b.account_id, total.label("total")).group_by(b.account_id).having(total != 0).limit(PROBLEMS_MAX)
    )
    return [f"account {row.account_id}: its balances sum to {_amount(row.total)}, not to zero" for row in found]


def _astray(connection: Connection) -> list[str]:
    """Balances that are not the sum of their entries."""
    b, e = tables.balances.c, tables.entries.c
    arrived = select(e.credit.label("name"), e.amount_micros.label("amount"))
    left = select(e.debit.label("name"), (-e.amount_micros).label("amount"))
    moves = arrived.union_all(left).subquery()
    sums = select(moves.c.name, func.sum(moves.c.amount).label("total")).group_by(moves.c.name).subquery()
    total = func.coalesce(sums.c.total, 0)
    found = connection.execute(
        select(b.name, b.amount_micros, total.label("total"))
        .outerjoin(sums, sums.c.name == b.name)
        .where(b.amount_micros != total)
        .order_by(b.name)
        .limit(PROBLEMS_MAX)
    )
    return [
        f"{row.name}: stands at {_amount(row.amount_micros)}, its entries sum to {_amount(row.total)}" for row in found
    ]


def _misheld(connection: Connection) -> list[str]:
    """Accounts whose held amount is not that of their open holds: of deliveries, and of broadcasts being written."""
    a, b, d, s = tables.accounts.c, tables.balances.c, tables.deliveries.c, tables.alerts.c
    deliveries = (
        select(d.account_id, func.sum(d.hold_micros).label("total"))
        .where(d.settled_at.is_(None))
        .group_by(d.account_id)
        .subquery()
    )
    alerts = select(s.account_id, func.sum(s.hold_left_micros).label("total")).group_by(s.account_id).subquery()
    total = func.coalesce(deliveries.c.total, 0) + func.coalesce(alerts.c.total, 0)
    found = connection.execute(
        select(a.id, b.amount_micros, total.label("total"))
        .join(tables.balances, b.name == literal("held:") + a.id)
        .outerjoin(deliveries, deliveries.c.account_id == a.id)
        .outerjoin(alerts, alerts.c.account_id == a.id)
        .where(b.amount_micros != total)
        .order_by(a.id)
        .limit(PROBLEMS_MAX)
    )
    return [
        f"account {row.id}: {_amount(row.amount_micros)} is held, its open holds sum to {_amount(row.total)}"
        for row in found
    ]


def _missettled(connection: Connection) -> list[str]:
    """Deliveries not settled exactly once: the whole hold captured or released, and not before the end."""
    d, e = tables.deliveries.c, tables.entries.c
    captures = func.sum(case((e.kind == EntryKind.CAPTURE.value, e.amount_micros), else_=0))
    moves = (
        select(e.cause_id, func.sum(e.amount_micros).label("settled"), captures.label("captured"))
        .where(e.cause_type == ledger.CAUSE_DELIVERY, e.kind.in_((EntryKind.CAPTURE.value, EntryKind.RELEASE.value)))
        .group_by(e.cause_id)
        .subquery()
    )
    settled, captured = func.coalesce(moves.c.settled, 0), func.coalesce(moves.c.captured, 0)
    wrong = or_(
        and_(d.settled_at.is_not(None), or_(settled != d.hold_micros, captured != d.captured_micros)),
        and_(d.settled_at.is_(None), settled != 0),
    )
    found = connection.execute(
        select(d.id, d.state, d.hold_micros, settled.label("settled"), captured.label("captured"))
        .outerjoin(moves, moves.c.cause_id == d.id)
        .where(wrong)
        .order_by(d.id)
        .limit(PROBLEMS_MAX)
    )
    return [
        f"delivery {row.id} ({row.state}): {_amount(row.hold_micros)} was held, {_amount(row.captured)} captured, "
        f"{_amount(row.settled)} captured and released"
        for row in found
    ]


def _amount(micros: Any) -> str:
    return format_amount(int(micros))  # PostgreSQL sums to a numeric
