"""The migrations lead to the tables that the statements are built from, on both databases, however often they run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Connection, MetaData, insert, inspect, select, text

from channels.outcome import Spelling
from gateway.administration import create_key, remove_tariff, set_tariff
from gateway.alert import Rule
from gateway.alertmanager import SOURCE
from gateway.alertmanager_intake import Origin, ResolveMembers
from gateway.frozen import replace
from gateway.intake import IdempotencyKey, Taken
from gateway.lifecycle import Acknowledge
from gateway.local_access import LABEL
from gateway.store import engine, tables
from gateway.store.engine import PostgresStore, SqliteStore
from gateway.store.errors import StoreConflict, StoreOfAnotherVersion
from tests.gateway import desk as desks
from tests.gateway.answers import accepted, delivered
from tests.gateway.desk import Desk

desk = desks.desk
store_url = desks.store_url
MIGRATIONS = Path(engine.__file__).parent / "migrations"
FIRST_CHECKOUTS = "0003"  # the oldest schema that alerts may be open in
ONE, TWO, THREE = "sms:+33600000001", "sms:+33600000002", "sms:+33600000003"


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


@pytest.mark.parametrize(
    ("version", "upward", "told"),
    [
        ("0008", False, "forward, for good; for a backup use the program that made it"),
        ("0010", False, "start the newer program"),
        ("0010", True, "restore the backup from before the upgrade"),
    ],
)
async def test_tables_of_another_version_are_left_as_they_are(
    desk: Desk, version: str, upward: bool, told: str
) -> None:
    def looked_at(connection: Connection) -> None:
        connection.execute(text("update alembic_version set version_num = :version"), {"version": version})
        assert ("newer program" in engine.schema_refusal(connection)) == (version > engine.SCHEMA_VERSION)
        engine._upgrade(connection, upward=upward)

    with pytest.raises(StoreOfAnotherVersion, match=told):
        await desk.store.write(looked_at)
    assert await desk.store.read(engine.schema_refusal) == ""


def test_the_revisions_are_one_line() -> None:
    folder = ScriptDirectory(str(MIGRATIONS))
    assert folder.get_heads() == [engine.SCHEMA_VERSION]
    assert len(folder.get_bases()) == 1


# --- what was open when the schema changed ----------------------------------------------------------------------------


def _from_before(connection: Connection, found: dict[str, list[dict[str, Any]]], since: str) -> None:
    """Makes the old tables and fills them with the columns that they had. Entries make the balances."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, since)
    old = MetaData()
    old.reflect(connection)
    for name in (table.name for table in tables.metadata.sorted_tables if found[table.name]):
        empty = {"amount_micros": 0, "through_entry": 0} if name == "balances" else {}
        table = old.tables[name]
        some = [{column.name: row[column.name] for column in table.columns} | empty for row in found[name]]
        connection.execute(insert(table), some)
        if connection.dialect.name == "postgresql" and (serial := table.autoincrement_column) is not None:
            last = f"select setval(pg_get_serial_sequence('{name}', '{serial.name}'), max({serial.name})) from {name}"
            connection.execute(text(last))


@pytest.fixture
def old_url(store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if store_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path}/old.db"
    return str(request.getfixturevalue("postgresql").create_database())


class Upgrades:
    """A desk that works, and `upgraded`: the same installation after a stop, with an old schema that the start migrates."""

    def __init__(self, desk: Desk, url: str) -> None:
        self.before = desk
        self._url = url
        self.after: Desk | None = None
        self.since = FIRST_CHECKOUTS

    async def upgraded(self) -> Desk:
        def everything(connection: Connection) -> dict[str, list[dict[str, Any]]]:
            found = {}
            for name, table in tables.metadata.tables.items():
                rows = connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
                found[name] = [dict(row) for row in rows]
            return found

        await self.before.escalator.drain()
        found = await self.before.store.read(everything)
        path = self._url.removeprefix("sqlite:///")
        old = PostgresStore(self._url) if path == self._url else SqliteStore(path)
        await old.write(lambda connection: _from_before(connection, found, self.since))
        await old.close()
        self.after = await Desk.open(self._url, self.before.clock)
        await self.after.load_tariffs()
        assert await self.after.money() == await self.before.money()
        await self.after.verify()
        return self.after


@pytest.fixture
async def upgrades(desk: Desk, old_url: str) -> AsyncIterator[Upgrades]:
    """Whatever a test did after the upgrade, the books agree at its end."""
    upgrades = Upgrades(desk, old_url)
    try:
        yield upgrades
        if upgrades.after is not None:
            await upgrades.after.verify()
    finally:
        if upgrades.after is not None:
            await upgrades.after.close()


async def test_receipts_that_are_awaited_come_and_those_that_came_early_are_found(upgrades: Upgrades) -> None:
    before = upgrades.before
    exact, spelled, early = [await before.one(address) for address in (ONE, TWO, THREE)]
    await before.sent(exact, "4711")
    await before.sent(spelled, "00AB12")
    claim = await before.claimed(early)
    await before.report(delivered("99", address="33600000003"))
    after = await upgrades.upgraded()
    await after.report(delivered("4711"), replace(delivered("ab12", address="33600000002"), spelling=Spelling.FORM))
    await after.record(claim, accepted("99"))
    assert [await after.state(each) for each in (exact, spelled, early)] == ["delivered"] * 3
    assert await after.spent() == (0, 3)


@pytest.mark.parametrize("local", [False, True], ids=["a key", "the command line"])
async def test_the_same_key_joins_what_it_told_before(local: bool, upgrades: Upgrades) -> None:
    """A server that was started anew has another key for the command line."""
    before = upgrades.before
    key_id = "key_test"
    if local:
        key, _ = await before.store.write(
            lambda connection: create_key(
                connection, before.clock.now(), account_id=None, role="administrator", label=LABEL
            )
        )
        key_id = key.id
    told = before.alert(ONE, reference="PUMP-1", rule=Rule.ANY)
    taken = await before.do(before.accepting(replace(told, key_id=key_id)))
    after = await upgrades.upgraded()
    again = replace(after.alert(ONE, reference="PUMP-1", rule=Rule.ANY), sender=LABEL if local else key_id)
    other = replace(again, id="alt_other", sender="key_other")
    joined, apart = [await after.do(after.accepting(alert)) for alert in (again, other)]
    assert isinstance(taken, Taken)
    assert isinstance(joined, Taken)
    assert isinstance(apart, Taken)
    assert (joined.alert_id, joined.joined) == (taken.alert_id, True)
    assert not apart.joined


async def test_resolved_ends_what_alertmanager_told_before(upgrades: Upgrades) -> None:
    before = upgrades.before
    group = await before.accept(ONE, source=SOURCE, group_key="{}:{}", rule=Rule.ANY)
    after = await upgrades.upgraded()
    for key_id, ended in (("key_other", []), ("key_test", [group])):
        origin = Origin(key_id=key_id, group="{}:{}", rule=None)
        assert await after.do(ResolveMembers(alert_ids=[group], whose=origin.made)) == ended
    assert str((await after.alert_row(group)).status) == "resolved"


async def test_the_same_request_gets_its_first_answer(upgrades: Upgrades) -> None:
    before = upgrades.before
    key = IdempotencyKey(account_id="acme", route="alerts", key="k-1", digest=b"d")
    first = await before.do(before.accepting(before.alert(ONE), idempotency=key))
    after = await upgrades.upgraded()
    again = await after.do(after.accepting(after.alert(ONE), idempotency=key))
    assert isinstance(first, Taken)
    assert isinstance(again, Taken)
    assert (again.answer, again.replayed) == (first.answer, True)


async def test_prices_that_were_removed_before_stay_so_and_new_ones_are_removed_rightly(upgrades: Upgrades) -> None:
    before = upgrades.before
    now = before.clock.now()
    upgrades.since = "0008"
    charged = await before.one(ONE)
    await before.sent(charged, "id-1")

    def remove(connection: Connection) -> None:
        set_tariff(connection, now, channel="sms", prefix="+4477", price_micros=7)
        remove_tariff(connection, now, channel="sms", prefix="+4477")

    await before.store.write(remove)
    after = await upgrades.upgraded()
    await after.report(delivered("id-1"))
    assert await after.spent() == (0, 1)
    assert await after.count("tariffs", prefix="+4477", removed=True) == 1

    def again(connection: Connection) -> None:
        set_tariff(connection, now, channel="sms", prefix="+4477", price_micros=9)
        remove_tariff(connection, now, channel="sms", prefix="+4477")

    await after.store.write(again)
    assert await after.count("tariffs", prefix="+4477") == 4
    for version, price in ((5, 9), (5, 8), (1, 9)):  # it is removed already; at another price; of a prefix without one
        row = {
            "channel": "sms",
            "prefix": "+4477" if version > 1 else "+4478",
            "version": version,
            "price_micros": price,
        }
        more = {"charged_on": "accepted", "unknown_end": "capture", "created_at": 1, "removed": True}
        wrong = insert(tables.tariffs).values(**row, **more)
        with pytest.raises(StoreConflict, match="a price that is removed was in force"):
            await after.store.write(lambda connection, wrong=wrong: connection.execute(wrong))  # type: ignore[misc]


async def test_words_that_were_said_before_count_for_whom_they_were_said(upgrades: Upgrades) -> None:
    before = upgrades.before
    everybody = await before.accept(ONE, TWO, people=["Anne", "Bob"], rule=Rule.ALL)
    await before.acknowledge(everybody, "Anne")
    after = await upgrades.upgraded()
    assert str((await after.alert_row(everybody)).status) == "active"
    assert str((await after.acknowledge(everybody, "BOB")).status) == "acknowledged"


async def test_received_before_waits_on_and_is_not_taken_in_charge(upgrades: Upgrades) -> None:
    before = upgrades.before
    received, pressed = [
        await before.accept(address, people=["Anne"], rule=Rule.ANY, confirm_within_s=600) for address in (ONE, TWO)
    ]
    await before.acknowledge(received, "Anne")
    await before.do(
        Acknowledge(
            alert_id=pressed,
            account_id="acme",
            by="Anne",
            comment="taken",
            via="voice",
            key_id="",
            taken=True,
            names={},
        )
    )
    after = await upgrades.upgraded()
    assert await after.count("acknowledgements", taken=1, alert_id=pressed) == 1
    assert await after.count("acknowledgements", taken=1, alert_id=received) == 0
    after.clock.move(601)
    await after.tick()
    assert str((await after.alert_row(received)).status) == "active"
    assert str((await after.alert_row(pressed)).status) == "acknowledged"
