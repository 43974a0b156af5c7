"""Commands and their groups: help that is whole, and errors in the words of the options that were typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import click

from gateway.cli.failures import Refused

F = TypeVar("F", bound=Callable[..., Any])
_NAME = re.compile(r"[A-Za-z_-]+")
_BELOW_ZERO = re.compile(r"-[0-9.]")
_NUMBERS = re.compile(r"\[([0-9]+)\]")
BEGINNING_CHARS_MIN: Final = 3
"""Fewer letters are the beginning of too many commands."""
MEANT_MAX: Final = 3


def stands_for(**options: str) -> Callable[[F], F]:
    """Says which parameter of a command a field of the request is given by, where the names differ: ``recipients="to"``."""

    def mark(command: F) -> F:
        command.__dict__["stands_for"] = options
        return command

    return mark


class Command(click.Command):
    """Says what is wrong with a request in the words of the command line: `--to` and ID, not `recipients[0]` and `id`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the words. Raises UsageError that says what is wrong with a number below zero, which looks like an option."""
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            number = next(
                (word for word in words if _BELOW_ZERO.match(word) and word.startswith(error.option_name)), None
            )
            if number is None:
                raise
            raise click.UsageError(f"no number below zero is taken here: {number}", ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. Raises Refused instead of an ApiError that names fields."""
        from gateway.client import ApiError

        try:
            return super().invoke(ctx)
        except ApiError as error:
            if not error.fields:
                raise
            raise Refused(self._told(ctx, error.fields), status=error.status, problem=error.problem) from error

    def _told(self, ctx: click.Context, fields: Iterable[tuple[str, str]]) -> str:
        told = [f"{self._option(ctx, field)}: {detail}" if field else detail for field, detail in fields]
        return "; ".join(dict.fromkeys(told))

    def _option(self, ctx: click.Context, field: str) -> str:
        """The option or argument that the field was given by; the field itself where there is none."""
        name = _NAME.match(field)
        if name is None:
            return field
        names: dict[str, str] = getattr(self.callback, "stands_for", {})
        own = {one.name: one for one in self.params}
        asked = name[0].lower().replace("-", "_")
        parameter = own.get(names.get(asked, asked))
        if "." in field:  # the name of a recipient may be given by an option of its own
            parameter = own.get(field.rpartition(".")[2], parameter)
        if parameter is None:
            return field
        called = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.make_metavar(ctx)
        given = ctx.params.get(parameter.name or "")
        numbers = _NUMBERS.findall(field)
        if isinstance(given, tuple) and numbers and int(numbers[-1]) < len(given):
            return f"{called} {given[int(numbers[-1])]}"
        return called


class Suggesting(click.Group):
    """Names the command that may be meant where there is none of that name, also one of a group below: `ack`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's own. Raises UsageError."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            meant = _meant(args[0], self._paths(ctx))
            did = f" Did you mean {' or '.join(f'{path!r}' for path in meant)}?" if meant else ""
            raise click.UsageError(f"No such command {args[0]!r}.{did}", ctx) from error

    def _paths(self, ctx: click.Context) -> list[str]:
        """All commands, each as it is typed after the name of this group."""
        paths = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            paths.append(name)
            if isinstance(command, click.Group):
                paths += [f"{name} {below}" for below in command.list_commands(ctx)]
        return paths


def _meant(word: str, paths: list[str]) -> list[str]:
    """Those whose last word begins so, else those that are spelled alike."""
    word = word.lower()
    last = {path: path.rpartition(" ")[2] for path in paths}
    begins = [path for path in paths if len(word) >= BEGINNING_CHARS_MIN and last[path].startswith(word)]
    alike = get_close_matches(word, last.values(), n=MEANT_MAX)
    return (begins or [path for path in paths if last[path] in alike])[:MEANT_MAX]


class Group(Suggesting):
    """Like click's own, which cuts sentences off to fit one line."""

    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Every command with what it is for; the terminal's width wraps it."""
        rows = [
            (name, _sentence(command)) for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _sentence(command: click.Command) -> str:
    first = (command.help or "").strip().partition("\n\n")[0]
    return " ".join(first.split())
