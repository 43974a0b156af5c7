"""`make bench`: measures the paths one after the other and prints the table. The paths are in the file beside this one."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import logs
from tests.bench import table
from tests.bench.paths import (
    SMOKE,
    Bench,
    Scale,
    acknowledgement,
    broadcast,
    latency_with_history,
    many_calls,
    raw_submits,
    single,
    single_on_postgresql,
    start_and_idle,
)
from tests.bench.table import Row, Verdict
from tests.bench.tools import InvalidRunError, Sink, ToolMissingError, compiled

STORED_FULL = 1_000_000
STATUS_MISSED = 1
STATUS_INVALID = 2

PATHS: dict[str, Callable[[Bench], list[Row]]] = {
    "start": start_and_idle,
    "single": single,
    "broadcast": broadcast,
    "history": latency_with_history,
    "smpp": raw_submits,
    "calls": many_calls,
    "keys": acknowledgement,
    "postgresql": single_on_postgresql,
}
ASKED_FOR = frozenset({"postgresql"})  # measured only with its option


def main(words: Sequence[str]) -> int:
    """Measures and prints; 0, or 1 where a target was missed and --strict asked for it, or 2 where a run was invalid."""
    options = _options(words)
    scale = SMOKE if options.smoke else Scale()
    if options.full:
        scale = replace(scale, stored_many=STORED_FULL)
    try:
        for tool in ("smsc_sink", "http_load"):
            compiled(tool)
    except ToolMissingError as error:
        print(error, file=sys.stderr)
        return STATUS_INVALID
    logs.configure("error", "text")
    print(table.machine(), flush=True)
    try:
        rows = measure(options.only or _default_paths(postgresql=options.postgres), scale, _progress)
    except pytest.fail.Exception as missing:  # how tests.peers says what to install
        print(missing, file=sys.stderr)
        return STATUS_INVALID
    if options.smoke:
        rows = [
            row if row.verdict is Verdict.INVALID else replace(row, must_reach="", verdict=Verdict.NONE) for row in rows
        ]
    print("\n".join(table.lines(rows, verbose=options.verbose)))
    verdicts = {row.verdict for row in rows}
    if Verdict.INVALID in verdicts:
        return STATUS_INVALID
    return STATUS_MISSED if options.strict and Verdict.MISSED in verdicts else 0


def measure(names: Sequence[str], scale: Scale, progress: Callable[[str], None] = lambda _: None) -> list[Row]:
    """The rows of the named paths, measured in this order; one that says why for a path with an invalid run.

    The databases are removed afterwards, those of an invalid run are left for whoever looks for the reason.
    """
    rows: list[Row] = []
    with Sink() as sink:
        for name in names:
            progress(name)
            folder = Path(tempfile.mkdtemp(prefix=f"tocsin-bench-{name}-"))
            try:
                rows += PATHS[name](Bench(sink=sink, folder=folder, scale=scale))
            except InvalidRunError as error:
                notes = [*str(error).splitlines(), f"its databases are left in {folder}"]
                rows.append(Row(path=name, measured="-", verdict=Verdict.INVALID, notes=notes))
            else:
                shutil.rmtree(folder)
        progress("")
    return rows


def _default_paths(*, postgresql: bool) -> list[str]:
    return [name for name in PATHS if postgresql or name not in ASKED_FOR]


def _progress(name: str) -> None:
    """What is measured now, on a terminal only, gone when the table comes."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{name}{' …' if name else ''}", end="", file=sys.stderr, flush=True)


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description="Measures the gateway and prints a table.")
    parser.add_argument("only", nargs="*", metavar="PATH", help=f"only these: {', '.join(PATHS)}")
    parser.add_argument("--postgres", action="store_true", help="also one message a request on PostgreSQL")
    parser.add_argument("--full", action="store_true", help=f"latency with {STORED_FULL:,} stored alerts")
    parser.add_argument("--verbose", action="store_true", help="every run, not only the best")
    parser.add_argument("--strict", action="store_true", help="status 1 when a target is missed")
    parser.add_argument("--smoke", action="store_true", help="a few hundred messages: whether it works, no figures")
    options = parser.parse_args(words)
    unknown = [name for name in options.only if name not in PATHS]
    if unknown:
        parser.error(f"unknown path {unknown[0]}: expected one of {', '.join(PATHS)}")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
