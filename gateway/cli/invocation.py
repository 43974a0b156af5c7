"""What every command takes, --config and --json, and how it shows what it found. No command lives here."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from channels.printable import escaped, visible

if TYPE_CHECKING:
    from gateway.settings import Settings
    from gateway.settings_loading import Loaded

DEFAULT_CONFIG = "tocsin.toml"
ENVIRONMENT_CONFIG = "TOCSIN_CONFIG"

WHEREABOUTS = ("store", "http", "log")
"""The sections that tell a command where store and server are."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(kw_only=True)
class Invocation:
    """One run of the command line."""

    config: Path | None = None
    json: bool = False
    url: str | None = None
    """A server elsewhere, and the API key for it; both only for commands with `access_options`."""
    key: str | None = None

    @property
    def config_path(self) -> Path:
        """The settings file: as --config says, else the environment, else in the working directory."""
        return self.config or Path(DEFAULT_CONFIG)

    def settings(self, *more: str, secrets_of: str | None = None) -> Settings:
        """What a command needs of the settings: where store and server are, and the sections named besides.

        The others are not read, nor are providers' secrets but those of the provider `secrets_of`. Logging is set up for a command
        (warnings only). Raises SettingsError.
        """
        from gateway import logs
        from gateway.app import load_part

        settings = load_part(self._found(), (*WHEREABOUTS, *more), secrets_of=secrets_of)
        logs.configure("warning", settings.log.format)
        return settings

    def examined(self) -> Loaded:
        """The whole settings, everything in them examined. Logging is set up for a command. Raises SettingsError."""
        from gateway import logs
        from gateway.app import examine

        loaded = examine(self._found())
        logs.configure("warning", loaded.settings.log.format)
        return loaded

    def _found(self) -> Path:
        path = self.config_path
        if self.config is None and not path.exists():
            from gateway.settings_problems import Problem, SettingsError

            text = "there is no such file here: name one with --config, or begin with `tocsin demo`"
            raise SettingsError(str(path), [Problem(key="", line=None, text=text)])
        return path

    def show(self, document: dict[str, Any], text: str | Sequence[str]) -> None:
        """Prints the document as JSON or, for people, the text, a line each. What others wrote into it moves no cursor."""
        if self.json:
            print_json(listed(document))
            return
        for line in [text] if isinstance(text, str) else text:
            click.echo(visible(line))


LISTS: Final = frozenset({"accounts", "alerts", "entries", "keys", "providers", "tariffs"})


def listed(document: dict[str, Any]) -> dict[str, Any]:
    """The document; a list has its `items`, as that of the API."""
    name, *others = document or [""]
    return {"items": document[name], **{other: document[other] for other in others}} if name in LISTS else document


def print_json(document: dict[str, Any]) -> None:
    """One document on one line."""
    click.echo(escaped(json.dumps(document, ensure_ascii=False, default=str)))


def this_invocation() -> Invocation:
    """The run of the command line that is under way."""
    return click.get_current_context().ensure_object(Invocation)


def common_options(command: F) -> F:
    """Gives a command --config and --json; what stands after the subcommand wins over what stands before."""

    def take_config(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
        invocation = context.ensure_object(Invocation)
        if value is not None and (invocation.config is None or not _from_environment(context)):
            invocation.config = value

    def take_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            context.ensure_object(Invocation).json = True

    command = click.option("--json", is_flag=True, expose_value=False, callback=take_json, help="Answer in JSON.")(
        command
    )
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        envvar=ENVIRONMENT_CONFIG,
        expose_value=False,
        callback=take_config,
        help=f"The settings file; default ./{DEFAULT_CONFIG}, or what {ENVIRONMENT_CONFIG} names.",
    )(command)


def _from_environment(context: click.Context) -> bool:
    return context.get_parameter_source("config") is click.core.ParameterSource.ENVIRONMENT


def table(rows: Sequence[Sequence[str]], headings: Sequence[str]) -> list[str]:
    """Lines with columns under their headings; cells that are amounts stand to the right."""
    widths = [max(len(row[n]) for row in [headings, *rows]) for n in range(len(headings))]
    amounts = [bool(rows) and all(_is_amount(row[n]) for row in rows) for n in range(len(headings))]
    lines = []
    for row in [headings, *rows]:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, amounts, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _is_amount(cell: str) -> bool:
    return cell.lstrip("+-").replace(".", "", 1).isdigit()
