"""A long past for a database: the alerts that a gateway really handled, copied many times, older than all of them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Column, Table

from gateway.store import tables

COPIED = ("alerts", "deliveries", "attempts", "parts", "events", "callbacks", "entries")
ALERT_CAUSES = ("delivery", "alert")  # of entries; top-ups are not copied
STAMP_DIGITS = 5  # of an id's ten digits of time: those that stay the same for two hours


def multiply(database: Path, copies: int) -> None:
    """Adds so many copies of everything that the alerts of a SQLite database left behind, with ids and references of their
    own. Entries go through the ledger's guards as any other, so the books are right afterwards. Nobody may have it open."""
    assert copies < 10**STAMP_DIGITS
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        # a crash would lose a file that only we need
        connection.executescript("PRAGMA synchronous=OFF; PRAGMA cache_size=-262144; PRAGMA wal_autocheckpoint=0;")
        originals = {
            name: connection.execute(f'select max(rowid) from "{name}"').fetchone()[0] for name in ("events", "entries")
        }
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("create temp table copy (k integer primary key)")
        connection.executemany("insert into copy values (?)", [(k,) for k in range(1, copies + 1)])
        for table in (tables.metadata.tables[name] for name in COPIED):
            connection.execute(_copying(table, originals))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def _copying(table: Table, originals: dict[str, int]) -> str:
    """One statement that inserts all copies of a table's rows."""
    columns = [column for column in table.columns if not _is_serial(column)]
    names = ", ".join(f'"{column.name}"' for column in columns)
    values = ", ".join(_copied(column) for column in columns)
    where, order = ["true"], "copy.k"
    if table.name in originals:
        where.append(f'"{table.name}".id <= {originals[table.name] or 0}')
        order += f', "{table.name}".id'  # a hold comes before its capture
    if table.name == "entries":
        where.append(f"cause_type in {ALERT_CAUSES}")
    return (
        f'insert into "{table.name}" ({names}) select {values} from copy, "{table.name}" '
        f"where {' and '.join(where)} order by {order}"
    )


def _is_serial(column: Column[object]) -> bool:
    return column.primary_key and column.autoincrement is True


def _copied(column: Column[object]) -> str:
    """The column's value in a copy: ids differ by copy and sort before the original, everything else is the same."""
    name = f'"{column.table.name}"."{column.name}"'
    if column.name in ("id", "alert_id", "delivery_id", "cause_id"):
        after = f"instr({name}, '_')"  # the time follows the prefix
        return (
            f"substr({name}, 1, {after}) || printf('%0{STAMP_DIGITS}d', copy.k) "
            f"|| substr({name}, {after} + {STAMP_DIGITS + 1})"
        )
    if column.name in ("provider_message_id", "reference"):
        return f"{name} || '.' || copy.k"
    return name
