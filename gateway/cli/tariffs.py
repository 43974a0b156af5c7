"""`tocsin tariffs`: what a unit of a channel costs."""

from __future__ import annotations

from typing import cast, get_args

import click

from billing.tariff import ChargedOn, UnknownEnd
from gateway.cli.access import access_options
from gateway.cli.groups import Group
from gateway.cli.installation import installation
from gateway.cli.invocation import common_options, table, this_invocation


@click.group(cls=Group)
@common_options
def tariffs() -> None:
    """Set, remove and list prices."""


@tariffs.command(name="set")
@click.option("--channel", required=True, help="The channel, such as sms.")
@click.option("--prefix", default="", help="How addresses begin, such as +33; the longest prefix counts. Default: all.")
@click.option("--price", required=True, help="The price of one unit (an SMS part, an e-mail), such as 0.045.")
@click.option(
    "--charged-on",
    type=click.Choice(get_args(ChargedOn)),
    default="accepted",
    show_default=True,
    help="Charge what a provider took, or only what is proven to have arrived.",
)
@click.option(
    "--unknown-end",
    type=click.Choice(get_args(UnknownEnd)),
    default=None,
    help="What becomes of the price of a unit whose end is never known. Default: capture, for voice release.",
)
@access_options
@common_options
def set_(channel: str, prefix: str, price: str, charged_on: str, unknown_end: str | None) -> None:
    """Set the price of a unit from now on. What is held already keeps its price."""
    invocation = this_invocation()
    with installation(invocation) as there:
        document = there.set_tariff(
            channel=channel,
            prefix=prefix,
            price=price,
            charged_on=cast(ChargedOn, charged_on),
            unknown_end=cast(UnknownEnd | None, unknown_end),
        )
    told = f"{channel}:{prefix or '*'} costs {document['price']} a unit (version {document['version']})"
    invocation.show(document, told)


@tariffs.command()
@click.option("--channel", required=True, help="The channel, such as sms.")
@click.option("--prefix", default="", help="The prefix that the price was set for. Default: the price of all others.")
@access_options
@common_options
def remove(channel: str, prefix: str) -> None:
    """Remove a price: a shorter prefix counts from now on, or such addresses are free. What is held already keeps its price."""
    invocation = this_invocation()
    with installation(invocation) as there:
        document = there.remove_tariff(channel=channel, prefix=prefix)
    invocation.show(
        document, f"{channel}:{prefix or '*'} has no price of its own any more (it was {document['price']})"
    )


@tariffs.command(name="list")
@access_options
@common_options
def list_() -> None:
    """List the prices in force."""
    invocation = this_invocation()
    with installation(invocation) as there:
        found = there.tariffs()
    rows = [
        [one["channel"], one["prefix"] or "*", one["price"], one["charged_on"], one["unknown_end"], str(one["version"])]
        for one in found
    ]
    lines = table(rows, ["CHANNEL", "PREFIX", "PRICE", "CHARGED ON", "UNKNOWN END", "VERSION"])
    invocation.show({"tariffs": found}, lines if found else "no tariffs: every channel is free")
