"""`tocsin demo`: a whole alert on simulated providers, told as it happens."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from gateway.cli.failures import Refused
from gateway.cli.invocation import common_options, this_invocation
from gateway.demo import run_demo
from gateway.demo_story import DemoFailedError, Json
from gateway.serving import run


@click.command()
@click.option(
    "--exit", "leave", is_flag=True, help="End after the alert: status 0 if it was delivered and charged once."
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Where its settings, database and log are kept.",
)
@common_options
def demo(leave: bool, directory: Path) -> None:
    """Run the gateway with simulated providers, send an alert and tell what happens. Nothing leaves this machine.

    It writes a settings file of its own; --config has no meaning here.
    """
    invocation = this_invocation()

    def show(document: Json, lines: Sequence[str]) -> None:
        invocation.show(dict(document), lines)
        sys.stdout.flush()  # somebody watches, or a pipe does

    try:
        run(run_demo(directory, show, program=_program(), leave=leave))
    except DemoFailedError as error:
        raise Refused(str(error)) from error


def _program() -> str:
    """How this command line was called, so that a step can be pasted."""
    called = Path(sys.argv[0])
    return os.path.relpath(called) if called.is_absolute() and called.is_relative_to(Path.cwd()) else str(called)
