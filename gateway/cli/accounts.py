"""`tocsin accounts`: tenants and their prepaid credit."""

from __future__ import annotations

from typing import Any

import click

from gateway.cli.access import access_options
from gateway.cli.groups import Group, stands_for
from gateway.cli.installation import installation
from gateway.cli.invocation import common_options, table, this_invocation

ENTRIES_SHOWN = 50
ENTRIES_MAX = 100_000
ACCOUNTS_MAX = 100_000


@click.group(cls=Group)
@common_options
def accounts() -> None:
    """Create, top up and look at accounts."""


@accounts.command()
@click.argument("account_id", metavar="ID")
@click.option("--currency", default="EUR", show_default=True, help='Three letters, or "credit".')
@click.option("--name", default="", help="What people call it; default: its ID.")
@access_options
@common_options
@stands_for(id="account_id")
def create(account_id: str, currency: str, name: str) -> None:
    """Create the account ID, with nothing on it."""
    invocation = this_invocation()
    with installation(invocation) as there:
        document = there.create_account(account_id, name=name or account_id, currency=currency)
    invocation.show(document, f"account {account_id} created, balance {_balance(document)}")


@accounts.command()
@click.argument("account_id", metavar="ID")
@click.argument("amount")
@click.option("--reference", required=True, help="The payment; the same one twice counts once.")
@access_options
@common_options
def topup(account_id: str, amount: str, reference: str) -> None:
    """Add AMOUNT, such as 50.00, to the account ID."""
    invocation = this_invocation()
    with installation(invocation) as there:
        document = there.top_up(account_id, amount=amount, reference=reference)
    invocation.show(document, f"account {account_id}: {amount} by {reference}, balance {_balance(document)}")


@accounts.command()
@click.argument("account_id", metavar="ID")
@click.argument("entry", type=click.IntRange(1))
@click.option("--reason", required=True, help="Why it is taken back; the same one twice counts once.")
@click.option("--allow-debt", is_flag=True, help="Take back what is spent too: below zero, down to the floor.")
@access_options
@common_options
def reverse(account_id: str, entry: int, reason: str, allow_debt: bool) -> None:
    """Take the mistyped top-up ENTRY of the account ID back, whole. `accounts entries --json` shows ids."""
    invocation = this_invocation()
    with installation(invocation) as there:
        document = there.reverse(account_id, entry=entry, reason=reason, allow_debt=allow_debt)
    invocation.show(document, f"account {account_id}: top-up {entry} reversed, balance {_balance(document)}")


@accounts.command()
@click.argument("account_id", metavar="ID")
@access_options
@common_options
def show(account_id: str) -> None:
    """Show the account ID: what is free to use, and what is held for alerts under way."""
    invocation = this_invocation()
    with installation(invocation) as there:
        document = there.account(account_id)
    facts = [("account", document["id"]), ("name", document["name"]), ("balance", _balance(document))]
    facts += [("held", f"{document['held']} {document['currency']}"), ("created", document["created_at"])]
    invocation.show(document, [f"{what:<8} {value}" for what, value in facts])


@accounts.command(name="list")
@access_options
@common_options
def list_() -> None:
    """List all accounts."""
    invocation = this_invocation()
    with installation(invocation) as there:
        found = there.accounts(ACCOUNTS_MAX)
    rows = [[one["id"], one["balance"], one["held"], one["currency"], one["name"]] for one in found]
    lines = table(rows, ["ACCOUNT", "BALANCE", "HELD", "CURRENCY", "NAME"])
    invocation.show({"accounts": found}, lines if found else "no accounts yet: tocsin accounts create ID")


@accounts.command()
@click.argument("account_id", metavar="ID")
@click.option("--limit", type=click.IntRange(1, ENTRIES_MAX), default=ENTRIES_SHOWN, show_default=True)
@access_options
@common_options
def entries(account_id: str, limit: int) -> None:
    """List what moved on the account ID, the latest first."""
    invocation = this_invocation()
    with installation(invocation) as there:
        found = there.entries(account_id, limit)
    rows = [[one["at"], one["kind"], one["amount"], f"{one['cause']['type']} {one['cause']['id']}"] for one in found]
    lines = table(rows, ["AT", "KIND", "AMOUNT", "CAUSE"])
    invocation.show({"entries": found}, lines if found else "nothing moved on this account yet")


def _balance(document: dict[str, Any]) -> str:
    return f"{document['balance']} {document['currency']}"
