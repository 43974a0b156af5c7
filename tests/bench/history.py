"""A long past for a database: the alerts that a gateway really handled, copied many times, older than all of them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Column, Table

from billing import ledger
from gateway.store import tables

COPIED = ("alerts", "deliveries", "attempts", "parts", "events", "callbacks", "entries")
COPIED_CAUSES = (ledger.CAUSE_DELIVERY, ledger.CAUSE_ALERT)  # of entries; the top-up is not copied
IDENTIFIERS = ("id", "alert_id", "delivery_id", "cause_id")
STAMP_DIGITS = 5  # of the ten digits of time in an id: those that stay the same for two hours


def multiply(database: Path, copies: int) -> None:
    """Adds so many copies of everything that the alerts of a SQLite database left behind, with ids of their own.

    Entries pass the ledger's guards as any others, so the books are right afterwards. Nobody may have the file open.
    """
    assert copies < 10**STAMP_DIGITS
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        # no fsync: a crash would lose a file that only we need
        connection.executescript("PRAGMA synchronous=OFF; PRAGMA cache_size=-262144; PRAGMA wal_autocheckpoint=0;")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("create temp table copy (k integer primary key)")
        connection.executemany("insert into copy values (?)", [(k,) for k in range(1, copies + 1)])
        for name in COPIED:
            connection.execute(_copying(tables.metadata.tables[name]))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def _copying(table: Table) -> str:
    """One statement that inserts all copies of a table's rows, each copy's in the order of the originals."""
    columns = [column for column in table.columns if column.autoincrement is not True]
    names = ", ".join(f'"{column.name}"' for column in columns)
    values = ", ".join(_copied(column) for column in columns)
    where = f" where cause_type in {COPIED_CAUSES}" if table.name == "entries" else ""
    order = ", ".join(f'"{table.name}"."{column.name}"' for column in table.primary_key)
    return (
        f'insert into "{table.name}" ({names}) select {values} from copy cross join "{table.name}"{where} '
        f"order by copy.k, {order}"
    )


def _copied(column: Column[object]) -> str:
    """The column's value in a copy: identifiers differ by copy and sort before the original's, the rest is the same."""
    name = f'"{column.table.name}"."{column.name}"'
    if column.name in IDENTIFIERS:
        prefix_end = f"instr({name}, '_')"  # the time follows
        return (
            f"substr({name}, 1, {prefix_end}) || printf('%0{STAMP_DIGITS}d', copy.k) "
            f"|| substr({name}, {prefix_end} + {STAMP_DIGITS + 1})"
        )
    if column.name == "provider_message_id":
        return f"{name} || '.' || copy.k"
    return name
