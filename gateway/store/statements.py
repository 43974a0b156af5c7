"""The statements of the write path, built once from the tables by SQLAlchemy Core and run on many rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, insert, update
from sqlalchemy.sql import Executable

from gateway.store.rows import Mapper, Row


class Statement:
    """One compiled statement with positional parameters in the order of `names`.

    Compiling once and handing tuples to the driver saves two thirds of what Core costs on every execution; the text is
    still Core's own, for whichever database it is.
    """

    def __init__(self, dialect: Any, statement: Executable, names: Sequence[str]) -> None:
        compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined]  # Executable of Core compiles
        self.sql = str(compiled)
        order = list(compiled.positiontup)
        wanted = list(names)
        if order != wanted:
            raise AssertionError(f"{self.sql}: parameters {order}, not {wanted}")

    def run(self, connection: Connection, rows: list[Row]) -> None:
        """Executes for each row."""
        if rows:
            connection.exec_driver_sql(self.sql, rows)


def insert_of(dialect: Any, table: Table, names: Sequence[str]) -> Statement:
    """``insert into table (names) values …``"""
    return Statement(
        dialect, insert(table).values({name: bindparam(name) for name in names}), _table_order(table, names)
    )


def _table_order(table: Table, names: Sequence[str]) -> list[str]:
    wanted = set(names)
    return [column.name for column in table.columns if column.name in wanted]


def update_of(dialect: Any, mapper: Mapper[Any]) -> Statement:
    """``update … set every changing column where key``"""
    table = mapper.table
    statement = update(table).values({name: bindparam(name) for name in mapper.changing})
    for name in mapper.key:
        statement = statement.where(table.c[name] == bindparam(f"key_{name}"))
    return Statement(dialect, statement, [*mapper.changing, *(f"key_{name}" for name in mapper.key)])
