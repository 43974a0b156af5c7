"""`tocsin providers status` and `list`: which providers there are, and how the running server gets on with them."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

import click

from gateway.cli.access import access_options, api_access
from gateway.cli.groups import Command
from gateway.cli.invocation import common_options, table, this_invocation
from gateway.cli.moments import shown_time, zone_here
from gateway.settings import Settings


@click.command(cls=Command)
@access_options
@common_options
def status() -> None:
    """Show how each provider stands: its links, whether it is passed over, and what waits for it."""
    invocation = this_invocation()
    with api_access(invocation) as api:
        found = api.get("v1", "providers")["items"]
    zone = zone_here()
    rows = [_row(one, zone) for one in found]
    headings = ["PROVIDER", "CHANNEL", "KIND", "LINKS", "CIRCUIT", "QUEUE", "UNDER WAY", "WHAT IS WRONG"]
    invocation.show({"providers": found}, table(rows, headings) if found else "no [[providers]]: nothing can be sent")


@click.command(name="list", cls=Command)
@common_options
def list_() -> None:
    """List the providers of the settings and what is routed to them. No server is asked."""
    invocation = this_invocation()
    settings = invocation.settings("providers", "routes", "destinations")
    found = [
        {"name": one.name, "channel": one.channel, "kind": one.kind, "routes": _routes(settings, one.name, one.channel)}
        for one in settings.providers
    ]
    rows = [[str(one["name"]), str(one["channel"]), str(one["kind"]), ", ".join(one["routes"]) or "-"] for one in found]
    lines = table(rows, ["PROVIDER", "CHANNEL", "KIND", "TAKES"])
    invocation.show({"providers": found}, lines if found else "no [[providers]]: nothing can be sent")


def _row(one: dict[str, Any], zone: tzinfo) -> list[str]:
    depth = one["queue_depth"]
    return [
        one["name"],
        one["channel"],
        one["kind"],
        links_shown(one),
        one["circuit"].replace("_", "-"),
        "?" if depth is None else str(depth),
        str(one["outstanding"]),
        _wrong(one, zone),
    ]


def links_shown(one: dict[str, Any]) -> str:
    """A mail server's connections are opened when there is mail: none of them open is no trouble, and not called down."""
    if not one["links"]:
        return "up" if one["up"] else "down"
    opened_when_needed = one["channel"] == "email" and one["up"]
    return f"{one['links_up']} of {one['links']} {'open' if opened_when_needed else 'up'}"


def _wrong(one: dict[str, Any], zone: tzinfo) -> str:
    """What the link says, and what its messages ran into."""
    trouble = one["trouble"]
    said = one["detail"] if not one["up"] or one["alarm"] else ""
    ran_into = "" if trouble is None else f"{trouble['kind']} since {shown_time(trouble['since'], zone)}"
    return "; ".join(part for part in (said, ran_into) if part) or "-"


def _routes(settings: Settings, name: str, channel: str) -> list[str]:
    """The prefixes that a route gives to the provider; all of its channel where no route names the channel."""
    of_channel = [route for route in settings.routes if route.channel == channel]
    if not of_channel:
        return [f"{channel}:*"]
    return [f"{channel}:{route.prefix or '*'}" for route in of_channel if name in route.providers]
