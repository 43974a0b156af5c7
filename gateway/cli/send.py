"""`tocsin send`: an alert, submitted to the running server as any upstream would."""

from __future__ import annotations

from typing import Any

import click

from gateway.cli.failures import Refused
from gateway.cli.installation import api_access
from gateway.cli.invocation import common_options, this_invocation
from gateway.ids import new_id

PRIORITIES = ("emergency", "high", "normal", "bulk")


@click.command()
@click.option("--to", required=True, multiple=True, metavar="ADDRESS", help="sms:+33612345678, email:ann@example.org …")
@click.option("--text", required=True, help="What the alert says.")
@click.option("--subject", default="", help="Its subject, where a channel shows one.")
@click.option("--priority", type=click.Choice(PRIORITIES), default="normal", show_default=True)
@click.option("--account", help="Who pays; needed unless --key belongs to an account or there is only one.")
@click.option("--reference", help="Your name for the trouble; the same one again joins an open alert.")
@click.option("--exercise", is_flag=True, help="Every rendering says EXERCISE first.")
@click.option("--dry-run", is_flag=True, help="Only say who would be tried when, and at what price.")
@click.option("--idempotency-key", help="Repeated with the same key and content, it is one alert.")
@click.option("--url", envvar="TOCSIN_URL", help="A server elsewhere; also TOCSIN_URL.")
@click.option(
    "--key", envvar="TOCSIN_KEY", help="An API key for it; also TOCSIN_KEY, which no list of processes shows."
)
@common_options
def send(
    to: tuple[str, ...],
    text: str,
    subject: str,
    priority: str,
    account: str | None,
    reference: str | None,
    exercise: bool,
    dry_run: bool,
    idempotency_key: str | None,
    url: str | None,
    key: str | None,
) -> None:
    """Submit an alert to the running server. It is on disk when this returns; who got it is on its timeline."""
    invocation = this_invocation()
    body: dict[str, Any] = {"text": text, "priority": priority, "recipients": list(to)}
    optional = {"subject": subject, "reference": reference, "exercise": exercise, "dry_run": dry_run}
    body |= {name: value for name, value in optional.items() if value}
    with api_access(invocation, url=url, key=key) as api:
        whose = account if account is not None or key is not None else _only_account(api.get("v1", "accounts"))
        document = api.post("v1", "alerts", body=body, idempotency_key=idempotency_key or new_id("cli"), account=whose)
    invocation.show(document, _told(document))


def _only_account(answer: dict[str, Any]) -> str:
    found = [one["id"] for one in answer["items"]]
    if len(found) == 1:
        return str(found[0])
    raise Refused("say with --account who pays" if found else "there is no account yet: tocsin accounts create ID")


def _told(document: dict[str, Any]) -> list[str]:
    if document.get("dry_run"):
        lines = [
            f"{one['at']}  {one['address']} over {one['provider']}, {one['hold']}" for one in document["deliveries"]
        ]
        return [*lines, f"nothing was sent; it would hold {document['total']}"]
    lines = [f"{one['id']}  {one['state']}  {one['address']}" for one in document["deliveries"]]
    return [f"{document['id']}  {document['status']}", *_joined(document.get("join")), *lines]


def _joined(join: dict[str, Any] | None) -> list[str]:
    """What became of a request that joined an open alert."""
    if join is None:
        return []
    by_fate: dict[str, list[str]] = {}
    for name, fate in join["fields"].items():
        by_fate.setdefault(fate, []).append(name)
    fates = [f"{fate}: {', '.join(names)}" for fate, names in by_fate.items()]
    told = [f"is told: {', '.join(join['told'])}"] if join["told"] else ["nobody is told anew"]
    if join["told_total"] > len(join["told"]):
        told.append(f"and {join['told_total'] - len(join['told'])} more")
    return [f"joined this open alert: {join['how']}", *told, *fates]
