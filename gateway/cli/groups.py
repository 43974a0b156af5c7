"""Groups of commands: their help says each command's whole first sentence, however long it is."""

from __future__ import annotations

import click


class Group(click.Group):
    """Like click's own, which cuts sentences off to fit one line."""

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
