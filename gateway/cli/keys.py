"""`tocsin keys`: who may use the API, and as what."""

from __future__ import annotations

import click

from gateway.cli.access import access_options
from gateway.cli.groups import Group, stands_for
from gateway.cli.installation import installation, key_with_text
from gateway.cli.invocation import common_options, table, this_invocation
from gateway.cli.moments import shown_time, zone_here

ROLES = ("submitter", "operator", "account_admin", "administrator", "auditor")
KEYS_MAX = 100_000
TEXT = "tok_"
"""What the text of every key begins with."""


@click.group(cls=Group)
@common_options
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command()
@click.option("--account", "account_id", help="The account it works for; without, it is one of the installation.")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What it may do.")
@click.option("--label", default="", help="What it is for, to tell keys apart.")
@access_options
@common_options
@stands_for(account="account_id")
def create(account_id: str | None, role: str, label: str) -> None:
    """Create a key. It is shown this once, and stored hashed."""
    invocation = this_invocation()
    with installation(invocation) as there:
        document = there.create_key(account_id=account_id, role=role, label=label)
    whose = f"account {account_id}" if account_id else "the installation"
    told = f"{document['id']}, {role} of {whose}; keep this, it is not shown again:"
    invocation.show(document, [told, document["key"]])


@keys.command(name="list")
@click.option("--account", "account_id", help="Only those of this account.")
@click.option("--all", "every", is_flag=True, help="Those that were revoked, too.")
@access_options
@common_options
def list_(account_id: str | None, every: bool) -> None:
    """List the keys in force, without their text."""
    invocation = this_invocation()
    with installation(invocation) as there:
        found = there.keys(KEYS_MAX)
    found = [one for one in found if every or not one.get("revoked_at")]
    found = [one for one in found if account_id in (None, one["account"])]
    zone = zone_here()
    rows = [
        [
            one["id"],
            one["role"],
            one["account"] or "-",
            shown_time(one["created_at"], zone),
            shown_time(one.get("revoked_at"), zone),
            one["label"],
        ]
        for one in found
    ]
    lines = table(rows, ["KEY", "ROLE", "ACCOUNT", "CREATED", "REVOKED", "LABEL"])
    invocation.show({"keys": found}, lines if found else "no keys: tocsin keys create --account ID --role submitter")


@keys.command()
@click.argument("key_id", metavar="ID")
@access_options
@common_options
def revoke(key_id: str) -> None:
    """Revoke the key ID, as `tocsin keys list` shows it; on the server's machine its text does as well."""
    invocation = this_invocation()
    if key_id.startswith(TEXT):
        key_id = key_with_text(invocation, key_id)
    with installation(invocation) as there:
        document = there.revoke_key(key_id)
    invocation.show(document, f"{key_id} revoked")
