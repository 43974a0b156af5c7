"""`tocsin send`: an alert, submitted to the running server as any upstream would."""

from __future__ import annotations

import sys
from typing import Any

import click

from gateway.cli.access import access_options, api_access
from gateway.cli.failures import Refused
from gateway.cli.following import Following, wait_options
from gateway.cli.groups import Command, stands_for
from gateway.cli.invocation import common_options, this_invocation
from gateway.cli.moments import shown_time, zone_here
from gateway.ids import new_id

ACCOUNTS_NAMED = 5
PRIORITIES = ("emergency", "high", "normal", "bulk")


@click.command(cls=Command)
@click.option("--to", required=True, multiple=True, metavar="ADDRESS", help="sms:+33612345678, email:ann@example.org …")
@click.option("--text", required=True, help="What the alert says.")
@click.option(
    "--name", default="", metavar="NAME", help="Whose addresses they are: with it all --to are those of one person."
)
@click.option("--language", default="", metavar="TAG", help="fr, en, de-AT …; default: that of [messages].")
@click.option("--subject", default="", help="Its subject, where a channel shows one.")
@click.option("--priority", type=click.Choice(PRIORITIES), default="normal", show_default=True)
@click.option("--account", help="Who pays; needed unless --key belongs to an account or there is only one.")
@click.option("--reference", help="Your name for the trouble; the same one again joins an open alert.")
@click.option("--exercise", is_flag=True, help="Every message says EXERCISE first.")
@click.option("--dry-run", is_flag=True, help="Only say who would be tried when, and at what price.")
@click.option("--idempotency-key", help="Repeated with the same key and content, it is one alert.")
@click.option(
    "--wait", is_flag=True, help="Tell what happens until it has ended. Ctrl-C ends the watching, not the alert."
)
@wait_options("--wait")
@access_options
@common_options
@stands_for(recipients="to")
def send(
    to: tuple[str, ...],
    text: str,
    name: str,
    language: str,
    subject: str,
    priority: str,
    account: str | None,
    reference: str | None,
    exercise: bool,
    dry_run: bool,
    idempotency_key: str | None,
    wait: bool,
    timeout_s: float | None,
) -> None:
    """Submit an alert to the running server. It is on disk when this returns; `tocsin alerts timeline ID` tells who got it.

    With --wait status 0 when it was acknowledged or is over, 4 when it ended without an answer, 5 after --timeout.
    """
    invocation = this_invocation()
    if timeout_s is not None and not wait:
        raise click.UsageError("--timeout is for --wait")
    body: dict[str, Any] = {"text": text, "priority": priority, "recipients": list(to)}
    if name:
        body["recipients"] = [{"name": name, "addresses": list(to)}]
    optional = {
        "subject": subject,
        "language": language,
        "reference": reference,
        "exercise": exercise,
        "dry_run": dry_run,
    }
    body |= {name: value for name, value in optional.items() if value}
    with api_access(invocation) as api:
        own = invocation.key is not None
        whose = account if account is not None or own else _only_account(api.get("v1", "accounts"))
        document = api.post("v1", "alerts", body=body, idempotency_key=idempotency_key or new_id("cli"), account=whose)
        invocation.show(document, _told(document))
        if wait and not document.get("dry_run"):
            sys.stdout.flush()
            click.get_current_context().exit(Following(invocation, api, document["id"]).until_ended(timeout_s))


def _only_account(answer: dict[str, Any]) -> str:
    found = [one["id"] for one in answer["items"]]
    if len(found) == 1:
        return str(found[0])
    if not found:
        raise Refused("there is no account yet: tocsin accounts create ID")
    named = ", ".join(map(str, found[:ACCOUNTS_NAMED])) + (" …" if len(found) > ACCOUNTS_NAMED else "")
    raise Refused(f"--account: say which account pays, there are several: {named}")


def _told(document: dict[str, Any]) -> list[str]:
    if document.get("dry_run"):
        lines = [
            f"{shown_time(one['at'], zone_here())}  {one['address']} over {one['provider']}, {one['hold']}"
            for one in document["deliveries"]
        ]
        return [*lines, f"nothing was sent; it would hold {document['total']}"]
    lines = [f"{one['id']}  {one['state']}  {one['address']}" for one in document["deliveries"]]
    return [f"{document['id']}  {document['status']}", *_joined(document.get("join")), *lines]


FATES = {"reached": "asked already"}
"""What became of a field of the request, where the API's word would say too much: whoever is asked may still be ringing."""


def _joined(join: dict[str, Any] | None) -> list[str]:
    """What became of a request that joined an open alert."""
    if join is None:
        return []
    by_fate: dict[str, list[str]] = {}
    for name, fate in join["fields"].items():
        by_fate.setdefault(fate, []).append(name)
    fates = [f"{FATES.get(fate, fate)}: {', '.join(names)}" for fate, names in by_fate.items()]
    told = [f"is told: {', '.join(join['told'])}"] if join["told"] else ["nobody is told anew"]
    if join["told_total"] > len(join["told"]):
        told.append(f"and {join['told_total'] - len(join['told'])} more")
    return [f"joined this open alert: {join['how']}", *told, *fates]
