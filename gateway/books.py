"""The audit of the books: from the file to balances, entries and what caused them, and back. Nothing is corrected or written here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from gateway import causes
from gateway.causes import amount, rows
from gateway.findings import Finding, FindingKind, named
from gateway.store import soundness
from gateway.store.soundness import DamagedFile


def _unheld_balances(connection: Connection) -> Iterator[Finding]:
    """Accounts without their four balances, and balances of no account."""
    four = " union all ".join(f"select '{kind}' as kind" for kind in ("prepaid", "held", "revenue", "topups"))
    for row in rows(
        connection,
        f"""
        select a.id, k.kind from accounts a cross join ({four}) k
        left join balances b on b.name = k.kind || ':' || a.id and b.account_id = a.id
        where b.name is null order by a.id
        """,  # noqa: S608 - constants of ours
    ):
        yield Finding(FindingKind.ACCOUNT, f"account {row.id}", f"its balance {row.kind}:{row.id} is not there")
    for row in rows(
        connection,
        """
        select b.name, b.account_id from balances b
        where b.name not in ('prepaid:' || b.account_id, 'held:' || b.account_id, 'revenue:' || b.account_id,
            'topups:' || b.account_id)
        order by b.name
        """,
    ):
        yield Finding(FindingKind.ACCOUNT, f"balance {row.name}", f"account {row.account_id} has no such balance")
    for row in rows(
        connection,
        """
        select id, currency, floor_micros from accounts where currency <> 'credit' and not (length(currency) = 3
            and substr(currency, 1, 1) between 'A' and 'Z' and substr(currency, 2, 1) between 'A' and 'Z'
            and substr(currency, 3, 1) between 'A' and 'Z' and currency = upper(currency)) or floor_micros > 0 order by id
        """,
    ):
        floor = "none" if row.floor_micros is None else amount(row.floor_micros)
        yield Finding(FindingKind.ACCOUNT, f"account {row.id}", f"its currency is {row.currency!r}, its floor {floor}")


def _unbalanced(connection: Connection) -> Iterator[Finding]:
    for row in rows(
        connection,
        """
        select account_id, sum(amount_micros) as total from balances group by account_id
        having sum(amount_micros) <> 0 order by account_id
        """,
    ):
        text = f"its balances sum to {amount(row.total)}, not to zero"
        yield Finding(FindingKind.BALANCE, f"account {row.account_id}", text)


def _astray(connection: Connection) -> Iterator[Finding]:
    """Balances that are not the sum of their entries, or that another entry than the last one moved last."""
    for row in rows(
        connection,
        """
        with moves as (
            select debit, credit, sum(amount_micros) as amount, max(id) as last from entries group by debit, credit
        ), sums as (
            select name, sum(amount) as total, max(last) as last from (
                select credit as name, amount, last from moves union all select debit, -amount, last from moves
            ) sides group by name
        )
        select b.name, b.amount_micros, b.through_entry, coalesce(s.total, 0) as total, coalesce(s.last, 0) as last
        from balances b left join sums s on s.name = b.name
        where b.amount_micros <> coalesce(s.total, 0) or b.through_entry <> coalesce(s.last, 0) order by b.name
        """,
    ):
        if row.amount_micros != row.total:
            text = f"stands at {amount(row.amount_micros)}, its entries sum to {amount(row.total)}"
        else:
            text = f"was moved last by entry {row.through_entry}, its last entry is {row.last}"
        yield Finding(FindingKind.BALANCE, row.name, text)


def _misheld(connection: Connection) -> Iterator[Finding]:
    """Accounts whose held amount is not that of their open holds: of deliveries, and of broadcasts being written."""
    for row in rows(
        connection,
        """
        with open_deliveries as (
            select account_id, sum(hold_micros) as total from deliveries where settled_at is null group by account_id
        ), open_alerts as (
            select account_id, sum(hold_left_micros) as total from alerts group by account_id
        )
        select a.id, b.amount_micros, coalesce(d.total, 0) + coalesce(s.total, 0) as total
        from accounts a join balances b on b.name = 'held:' || a.id
        left join open_deliveries d on d.account_id = a.id left join open_alerts s on s.account_id = a.id
        where b.amount_micros <> coalesce(d.total, 0) + coalesce(s.total, 0) order by a.id
        """,
    ):
        text = f"{amount(row.amount_micros)} is held, its open holds sum to {amount(row.total)}"
        yield Finding(FindingKind.HOLD, f"account {row.id}", text)


CHECKS: tuple[Callable[[Connection], Iterable[Finding]], ...] = (
    soundness.missing_guards,
    soundness.broken_rules,
    soundness.lost_references,
    _unheld_balances,
    _unbalanced,
    _astray,
    _misheld,
    causes.malformed_entries,
    causes.entries_without_deliveries,
    causes.entries_without_alerts,
    causes.entries_taken_back_wrongly,
    causes.missettled_deliveries,
    causes.mispriced_deliveries,
    causes.misheld_alerts,
    causes.broken_tariffs,
)
"""From what everything else rests on to what follows from it. Each is a few statements that name what is wrong: rows stay in the
database, which sorts in files, so that a million entries take no more memory than a thousand."""


def audit(connection: Connection) -> list[Finding]:
    """What is wrong with the ledger in this database; nothing, hopefully. One snapshot, so it may be in use meanwhile.

    Call it first in its transaction.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")  # SQLite reads a snapshot anyway
    return findings(connection)


def findings(connection: Connection) -> list[Finding]:
    """What `audit` finds, in the transaction that is open."""
    return list(chain.from_iterable(named(check(connection)) for check in CHECKS))


def verify_ledger(connection: Connection) -> list[str]:
    """What `audit` finds, in sentences."""
    return [str(finding) for finding in audit(connection)]


async def examine(url: str) -> list[Finding]:
    """The audit of the database at `url`, its file first. It is opened for reading alone. Raises NotAuditable."""
    try:
        return await soundness.read_only(url, _examine)
    except DamagedFile as damaged:
        return damaged.findings


def _examine(connection: Connection) -> list[Finding]:
    found: list[Finding] = []
    try:
        found += named(soundness.damages(connection))
        if any(finding.kind is FindingKind.FILE for finding in found):
            return found  # what is counted in a broken file means nothing
        found += soundness.missing_tables(connection)
        if any(finding.kind is FindingKind.SCHEMA for finding in found):
            return found
        found += findings(connection)
    except DBAPIError as error:
        if not found:
            raise
        found.append(Finding(FindingKind.FILE, "database", f"could not be read further: {error.orig}"))
    return found
