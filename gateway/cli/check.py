"""`tocsin check`: what is wrong with the settings, and with --connect whether everything they name answers. Sends nothing."""

from __future__ import annotations

import click

from gateway import logs, loop
from gateway.cli.cautions import warnings_of
from gateway.cli.connecting import connect_to_everything
from gateway.cli.failures import Refused
from gateway.cli.invocation import common_options, this_invocation
from gateway.settings import Settings
from gateway.surroundings import examine_surroundings

NOT_EXAMINED = (
    "not examined: whether store, queue and providers answer, and whether the accounts of rules are there (--connect)"
)


@click.command()
@click.option("--connect", is_flag=True, help="Bind to every provider, ask store, queue and speech. Sends nothing.")
@common_options
def check(connect: bool) -> None:
    """Say what is wrong with the settings file: all that would keep `tocsin serve` from starting or from reaching people.

    Status 3 where something is wrong, 1 where a port is taken or, with --connect, a part does not work.
    """
    invocation = this_invocation()
    loaded = invocation.examined()
    settings = loaded.settings
    warnings = [*warnings_of(loaded), *examine_surroundings(loaded, beside_server=True)]
    document = {"settings": loaded.file, "warnings": warnings}
    lines = [f"{loaded.file}: {_what_there_is(settings)}"]
    if not connect:
        invocation.show({**document, "connected": False}, [*lines, NOT_EXAMINED])
        _warn(warnings)
        return
    logs.configure("error", settings.log.format)  # what a part warns of is in its line of the report
    findings = loop.run(connect_to_everything(loaded))
    facts = {**document, "connections": [{"part": one.part, "up": one.up, "detail": one.detail} for one in findings]}
    width = max(len(one.part) for one in findings)
    lines += [f"{'ok    ' if one.up else 'FAILED'}  {one.part.ljust(width)}  {one.detail}" for one in findings]
    failed = [one.part for one in findings if not one.up]
    if not (failed and invocation.json):
        invocation.show(facts, lines)
    _warn(warnings)
    if failed:
        do = "does" if len(failed) == 1 else "do"
        raise Refused(f"{len(failed)} of {len(findings)} parts {do} not work: {', '.join(failed)}", **facts)


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        click.echo(f"tocsin: WARNING: {warning}", err=True)


def _what_there_is(settings: Settings) -> str:
    counts = [("provider", settings.providers), ("route", settings.routes), ("rule", settings.rules)]
    return ", ".join(f"{len(found)} {name}{'' if len(found) == 1 else 's'}" for name, found in counts)
