"""`tocsin ledger`: whether the books add up."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.failures import Refused
from gateway.cli.groups import Group
from gateway.cli.invocation import common_options, this_invocation

STATUS_NOT_AUDITABLE = 6


class _Unread(Refused):
    """There is nothing to be verified, whatever is in it."""

    status = STATUS_NOT_AUDITABLE


def _warn_of_others(database: Path) -> None:
    """Names, numbers and texts are in it. Whoever verifies changes nothing, also not the mode."""
    import structlog

    from gateway.files import readable_by_others

    told = readable_by_others(database)
    if told:
        structlog.get_logger(__name__).warning("database_open_to_others", file=str(database), now=told)


@click.group(cls=Group)
@common_options
def ledger() -> None:
    """Verify the books."""


@ledger.command()
@common_options
def verify() -> None:
    """Prove the ledger from both sides: its file, entries, balances, holds, and what caused them. Nothing is written.

    Status 1 and a line for each damage where something is wrong, 6 where the database cannot be read at all.
    """
    from gateway import local_access, loop
    from gateway.books import examine
    from gateway.store.soundness import NotAuditable

    invocation = this_invocation()
    url = invocation.settings().store.url.get_secret_value()
    database = local_access.database_of(url)
    if database is not None:  # as the server calls it: its write-ahead log is beside that name
        url = f"sqlite:///{database}"
        _warn_of_others(database)
    try:
        findings = loop.run(examine(url))
    except NotAuditable as error:
        raise _Unread(f"the ledger could not be verified: {error}") from error
    if findings:
        lines = ["the ledger does not add up:"]
        for kind in dict.fromkeys(finding.kind for finding in findings):
            of_kind = [finding for finding in findings if finding.kind is kind]
            lines += [f"{finding}" for finding in of_kind]
            lines.append(f"  what to do: {of_kind[0].to_do}")
        problems = [
            {"kind": finding.kind, "row": finding.row, "text": finding.text, "to_do": finding.to_do}
            for finding in findings
        ]
        raise Refused("\n".join(lines), ok=False, problems=problems)
    invocation.show({"ok": True, "problems": []}, "the ledger adds up")
