"""`tocsin accounts`: tenants and their prepaid credit."""

from __future__ import annotations

from typing import Any

import click

from gateway.cli.access import access_options
from gateway.cli.groups import Group, stands_for
from gateway.cli.installation import installation
from gateway.cli.invocation import common_options, table, this_invocation
from gateway.cli.moments import read_span, shown_time, zone_here

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
@click.option(
    "--floor", metavar="AMOUNT", help="How far below zero an emergency may take it, such as -20.00; default: any."
)
@access_options
@common_options
@stands_for(id="account_id")
def create(account_id: str, currency: str, name: str, floor: str | None) -> None:
    """Create the account ID, with nothing on it."""
    invocation = this_invocation()
    with installation(invocation) as there:
        document = there.create_account(account_id, name=name or account_id, currency=currency, floor=floor)
    invocation.show(document, f"account {account_id} created, balance {_balance(document)}")


@accounts.command(name="set")
@click.argument("account_id", metavar="ID")
@click.option("--name", help="What people call it.")
@click.option("--floor", metavar="AMOUNT", help="How far below zero an emergency may take it, such as -20.00.")
@click.option("--no-floor", is_flag=True, help="An emergency may take it any distance below zero.")
@access_options
@common_options
def set_(account_id: str, name: str | None, floor: str | None, no_floor: bool) -> None:
    """Change the name or the floor of the account ID."""
    if floor is not None and no_floor:
        raise click.UsageError("say --floor or --no-floor, not both")
    changed: dict[str, Any] = {} if name is None else {"name": name}
    if floor is not None or no_floor:
        changed["floor"] = floor
    if not changed:
        raise click.UsageError("say what to change: --name, --floor or --no-floor")
    invocation = this_invocation()
    with installation(invocation) as there:
        document = there.change_account(account_id, changed)
    told = f"account {account_id}: name {document['name']}, floor {_floor(document)}"
    invocation.show(document, told)


@accounts.command()
@click.argument("account_id", metavar="ID")
@click.argument("amount")
@click.option("--reference", required=True, help="The payment; the same one twice counts once.")
@access_options
@common_options
def topup(account_id: str, amount: str, reference: str) -> None:
    """Add AMOUNT, such as 50.00, to the account ID. `accounts reverse` takes back what was mistyped."""
    invocation = this_invocation()
    with installation(invocation) as there:
        document = there.top_up(account_id, amount=amount, reference=reference)
    done = _done(document, "booked")
    invocation.show(document, f"account {account_id}: {amount} by {reference} {done}, balance {_balance(document)}")


@accounts.command()
@click.argument("account_id", metavar="ID")
@click.argument("entry", type=click.IntRange(1))
@click.option("--reason", required=True, help="Why it is given back; the same one twice counts once.")
@access_options
@common_options
def refund(account_id: str, entry: int, reason: str) -> None:
    """Give the charge ENTRY, a capture, back to the account ID, whole. `accounts entries` shows ids."""
    invocation = this_invocation()
    with installation(invocation) as there:
        document = there.refund(account_id, entry=entry, reason=reason)
    done = _done(document, "refunded")
    invocation.show(document, f"account {account_id}: capture {entry} {done}, balance {_balance(document)}")


@accounts.command()
@click.argument("account_id", metavar="ID")
@click.argument("entry", type=click.IntRange(1))
@click.option("--reason", required=True, help="Why it is taken back; the same one twice counts once.")
@click.option("--allow-debt", is_flag=True, help="Take back what is spent too: below zero, down to the floor.")
@access_options
@common_options
def reverse(account_id: str, entry: int, reason: str, allow_debt: bool) -> None:
    """Take the mistyped top-up ENTRY of the account ID back, whole. `accounts entries` shows ids."""
    invocation = this_invocation()
    with installation(invocation) as there:
        document = there.reverse(account_id, entry=entry, reason=reason, allow_debt=allow_debt)
    done = _done(document, "reversed")
    invocation.show(document, f"account {account_id}: top-up {entry} {done}, balance {_balance(document)}")


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
    facts += [("held", f"{document['held']} {document['currency']}"), ("floor", _floor(document))]
    facts += [("created", shown_time(document["created_at"], zone_here()))]
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
@click.option(
    "--from", "since", metavar="TIME", help="Made then or later: 2h, 3d, 14:30, 2026-11-30, 2026-11-30T14:30."
)
@click.option("--to", "until", metavar="TIME", help="Made before then, in the same forms, or on that day.")
@click.option(
    "--limit", type=click.IntRange(1, ENTRIES_MAX), default=ENTRIES_SHOWN, show_default=True, help="The most listed."
)
@access_options
@common_options
def entries(account_id: str, since: str | None, until: str | None, limit: int) -> None:
    """List what moved on the account ID, the latest first.

    CHANGE is what an entry did to what is free to use, BALANCE what was free after it; HELD was set aside then.
    """
    invocation = this_invocation()
    zone = zone_here()
    first, last = read_span(since, until, zone)
    with installation(invocation) as there:
        found = there.entries(account_id, limit + 1, first, last)
    shown, older = found[:limit], len(found) > limit
    rows = [
        [
            str(one["id"]),
            shown_time(one["at"], zone),
            one["kind"],
            _signed(one["change"]),
            one["balance"],
            one["held"],
            _cause(one["cause"]),
        ]
        for one in shown
    ]
    lines = table(rows, ["ENTRY", "AT", "KIND", "CHANGE", "BALANCE", "HELD", "CAUSE"])
    if shown:
        lines = [f"account {account_id}, amounts in {shown[0]['currency']}", *lines]
    if older:
        lines.append(f"there are older ones: --limit {limit * 10}, or --to a day")
    nothing = "nothing moved on this account" + (" then" if since or until else " yet")
    invocation.show({"entries": shown}, lines if shown else nothing)


def _done(document: dict[str, Any], what: str) -> str:
    """Whether it was done, or there before; and its entry."""
    done = what if document["booked"] else f"was {what} before, nothing moved"
    return f"{done} (entry {document['entry']})"


def _cause(cause: dict[str, Any]) -> str:
    if cause["address"] is not None:
        return f"{cause['address']} x{cause['units']}, alert {cause['alert']}"
    return f"{cause['type']} {cause['alert'] or cause['id']}"


def _signed(amount: str) -> str:
    """With its sign, whichever way the money went."""
    return amount if amount.startswith("-") or not float(amount) else f"+{amount}"


def _floor(document: dict[str, Any]) -> str:
    return "none" if document["floor"] is None else f"{document['floor']} {document['currency']}"


def _balance(document: dict[str, Any]) -> str:
    return f"{document['balance']} {document['currency']}"
