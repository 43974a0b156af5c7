"""`tocsin migrate`: the schema of the database. A start of the server does the same, and no other command."""

from __future__ import annotations

import click

from gateway import loop
from gateway.cli.invocation import common_options, this_invocation
from gateway.opening import opened
from gateway.settings import Settings


@click.command()
@common_options
def migrate() -> None:
    """Bring the database schema up to date, and create the database file where there is none. It goes forward only."""
    invocation = this_invocation()
    loop.run(_migrate(invocation.settings()))
    invocation.show({"migrated": True}, "the database schema is up to date")


async def _migrate(settings: Settings) -> None:
    store = await opened(settings.store, upward=True)
    await store.close()
