"""The statements of units of work, built once from the tables by SQLAlchemy Core and run on many rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from sqlalchemy import BindParameter, Connection, Select, Table, Text, bindparam, insert, update
from sqlalchemy.sql import Executable

from gateway.store.rows import Mapper, Row


class Statement:
    """One compiled statement with positional parameters in the order of `names`.

    Compiling once and handing tuples to the driver saves two thirds of what Core costs on every execution; the text is
    still Core's own, for whichever database it is.
    """

    def __init__(self, dialect: Any, statement: Executable, names: Sequence[str]) -> None:
        self.sql = _compiled(dialect, statement, names)

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


def update_of(dialect: Any, mapper: Mapper[Any], columns: Sequence[str]) -> Statement:
    """``update … set these columns where key``; they are in the order of the table."""
    table = mapper.table
    statement = update(table).values({name: bindparam(name) for name in columns})
    for name in mapper.key:
        statement = statement.where(table.c[name] == bindparam(f"key_{name}"))
    return Statement(dialect, statement, [*columns, *(f"key_{name}" for name in mapper.key)])


SIZES = (1, 8, 64, 512)  # lengths of IN lists; a shorter list is filled up, so that few statements serve every batch


class Lookup:
    """A SELECT for rows whose column is among some values, compiled once for each of a few sizes.

    Core expands an IN list anew at every execution, which costs more than the query; this pays once.
    """

    def __init__(
        self, dialect: Any, build: Callable[[list[BindParameter[str]]], Select[Any]], *, extra: Sequence[str] = ()
    ) -> None:
        self._dialect = dialect
        self._build = build
        self._extra = extra
        self._sql: dict[int, str] = {}

    def _of_size(self, size: int) -> str:
        """The statement for a list of this length, compiled when it is first needed: most never are."""
        if size not in self._sql:
            names = [f"v{i}" for i in range(size)]
            statement = self._build([bindparam(name, type_=Text()) for name in names])
            self._sql[size] = _compiled(self._dialect, statement, [*self._extra, *names])
        return self._sql[size]

    def rows(self, connection: Connection, values: Iterable[str], *extra: Any) -> list[tuple[Any, ...]]:
        """The rows for all of `values`, looked up in sorted chunks; `extra` are the leading parameters."""
        found: list[tuple[Any, ...]] = []
        for chunk in chunks(values):
            size = next(size for size in SIZES if size >= len(chunk))
            padded = (*extra, *chunk, *(chunk[-1:] * (size - len(chunk))))
            found.extend(cast(list[tuple[Any, ...]], connection.exec_driver_sql(self._of_size(size), padded).all()))
        return found

    def scalars(self, connection: Connection, values: Iterable[str]) -> list[Any]:
        """The first column of the rows."""
        return [row[0] for row in self.rows(connection, values)]


def chunks(values: Iterable[str]) -> Iterable[list[str]]:
    """Sorted pieces of at most the largest size."""
    ordered = sorted(values)  # rows are locked in the order of their keys, chunk by chunk
    for start in range(0, len(ordered), SIZES[-1]):
        yield ordered[start : start + SIZES[-1]]


def _compiled(dialect: Any, statement: Executable, names: Sequence[str]) -> str:
    compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined]  # Executable of Core compiles
    order = list(compiled.positiontup)
    if order != list(names):
        raise AssertionError(f"{compiled}: parameters {order}, not {list(names)}")
    return str(compiled)
