"""The migrations lead to the tables that the statements are built from, on both databases, however often they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Connection, inspect, text

from gateway.store import engine, tables
from tests.gateway import desk as desks
from tests.gateway.desk import Desk

desk = desks.desk
store_url = desks.store_url


async def test_the_migrated_schema_is_that_of_the_tables(desk: Desk) -> None:
    def compare(connection: Connection) -> list[Any]:
        defaults = connection.dialect.name == "postgresql"  # SQLite gives an empty default back in other words
        opts = {"compare_type": True, "compare_server_default": defaults}
        context = MigrationContext.configure(connection, opts=opts)
        return list(compare_metadata(context, tables.metadata))

    assert await desk.store.read(compare) == []


async def test_the_database_has_every_check_by_name(desk: Desk) -> None:
    """Alembic compares no CHECK constraints."""

    def names(connection: Connection) -> dict[str, set[str]]:
        found = inspect(connection)
        return {name: {str(c["name"]) for c in found.get_check_constraints(name)} for name in tables.metadata.tables}

    wanted = {
        name: {str(constraint.name) for constraint in table.constraints if isinstance(constraint, CheckConstraint)}
        for name, table in tables.metadata.tables.items()
    }
    assert await desk.store.read(names) == wanted


async def test_migrating_again_does_nothing(desk: Desk) -> None:
    def migrate(connection: Connection) -> str:
        engine._upgrade(connection)
        return str(connection.execute(text("select version_num from alembic_version")).scalar_one())

    before = await desk.money()
    first, second = [await desk.store.write(migrate) for _ in range(2)]
    assert first == second
    assert await desk.money() == before


def test_the_revisions_are_one_line() -> None:
    folder = ScriptDirectory(str(Path(engine.__file__).parent / "migrations"))
    assert folder.get_heads() == [engine.SCHEMA_VERSION]
    assert len(folder.get_bases()) == 1
