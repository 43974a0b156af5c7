"""`tocsin ledger`: whether the books add up."""

from __future__ import annotations

import click

from gateway.cli.failures import Refused
from gateway.cli.groups import Group
from gateway.cli.installation import ledger_problems
from gateway.cli.invocation import common_options, this_invocation


@click.group(cls=Group)
@common_options
def ledger() -> None:
    """Verify the books."""


@ledger.command()
@common_options
def verify() -> None:
    """Add everything up: entries, balances, holds, deliveries. Status 1 and the list of problems where they disagree."""
    invocation = this_invocation()
    problems = ledger_problems(invocation.settings())
    if problems:
        raise Refused("\n".join(["the ledger does not add up:", *problems]), problems=problems)
    invocation.show({"ok": True, "problems": []}, "the ledger adds up")
