"""The command `tocsin` itself: which subcommands there are, and how every failure becomes one line and a status."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from io import TextIOWrapper
from typing import NoReturn

import click

from channels.printable import visible
from gateway.cli.failures import Failure, failure_of
from gateway.cli.groups import Suggesting
from gateway.cli.invocation import common_options, print_json
from gateway.masking import masked, masked_in

STATUS_USAGE = 2
STATUS_INTERRUPTED = 130  # 128 and SIGINT, as shells count

COMMANDS = {
    "serve": ("gateway.cli.serve:serve", "Run the gateway until it is told to stop."),
    "check": ("gateway.cli.check:check", "Read the settings file and say what is wrong with it."),
    "send": ("gateway.cli.send:send", "Submit an alert to the running server."),
    "alerts": ("gateway.cli.alerts:alerts", "List, watch, acknowledge and end alerts."),
    "accounts": ("gateway.cli.accounts:accounts", "Create, top up and look at accounts."),
    "keys": ("gateway.cli.keys:keys", "Create, list and revoke API keys."),
    "say": ("gateway.cli.say:say", "Speak a text as a call would, to listen to it."),
    "pins": ("gateway.cli.pins:pins", "Hash the PINs of people and alarm lines."),
    "tariffs": ("gateway.cli.tariffs:tariffs", "Set, remove and list prices."),
    "ledger": ("gateway.cli.ledger:ledger", "Verify the books."),
    "providers": ("gateway.cli.providers:providers", "Look how providers stand, and try one with a real message."),
    "migrate": ("gateway.cli.migrate:migrate", "Bring the database schema up to date."),
    "simulate": ("gateway.cli.simulate:simulate", "Run a simulated provider; nothing leaves the machine."),
    "demo": ("gateway.cli.demo:demo", "Show a whole alert on simulated providers."),
}


class Root(Suggesting):
    """Loads a subcommand when it is asked for: `tocsin --help` reads no database library."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@common_options
@click.version_option(version("tocsin"), prog_name="tocsin")
def tocsin() -> None:
    """Tocsin brings alerts to people, by SMS, telephone and e-mail, until somebody answers for them.

    Every command takes --config and --json, before or after its name, and explains itself with --help. A running server shows
    its API at /docs. The manual is the folder docs of the source, of the version that --version tells; it begins at docs/index.md.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and ends the process: 0, 1 (failed), 2 (wrong usage), 3 (wrong settings file), 130 (interrupted)."""
    words = list(sys.argv[1:] if args is None else args)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter is no reason to fail
    try:
        status = tocsin.main(words, "tocsin", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(STATUS_USAGE)
    except click.UsageError as error:
        hint = f"Try '{error.ctx.command_path} --help' for help." if error.ctx is not None else ""
        _tell(Failure(text=error.format_message(), status=STATUS_USAGE, hint=hint), words)
    except (KeyboardInterrupt, click.exceptions.Abort):
        sys.exit(STATUS_INTERRUPTED)
    except BrokenPipeError:
        _forget_stdout()
        sys.exit(1)
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        _tell(failure, words)
    sys.exit(status if isinstance(status, int) else 0)


def _tell(failure: Failure, words: Sequence[str]) -> NoReturn:
    """One clear line on stderr, the same as JSON on stdout for machines, and the end."""
    if "--json" in words:
        print_json(masked_in({"error": failure.text, **failure.facts}))
    for line in failure.lines:
        click.echo(visible(f"tocsin: {masked(line)}"), err=True)
    if failure.hint:
        click.echo(failure.hint, err=True)
    sys.exit(failure.status)


def _forget_stdout() -> None:
    """The reader of our output has gone: what is still buffered goes nowhere, without a complaint at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
