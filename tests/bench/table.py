"""The table that `make bench` prints: rows, verdicts, widths. Nothing is measured here."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

HEADINGS = ("path", "measured", "must reach", "verdict")


class Verdict(StrEnum):
    """What became of a path. `NONE`: nothing is demanded of it."""

    REACHED = "reached"
    MISSED = "missed"
    INVALID = "INVALID"
    NONE = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table; `notes` are further lines for whoever asked for them, or why a run was invalid."""

    path: str
    measured: str
    must_reach: str = ""
    verdict: Verdict = Verdict.NONE
    notes: Sequence[str] = ()

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """What is printed under the headings."""
        return self.path, self.measured, self.must_reach, self.verdict.value


def at_least(value: float, target: float) -> Verdict:
    """Whether a rate is high enough."""
    return Verdict.REACHED if value >= target else Verdict.MISSED


def at_most(value: float, target: float) -> Verdict:
    """Whether a duration or a size is small enough."""
    return Verdict.REACHED if value <= target else Verdict.MISSED


def machine() -> str:
    """What the figures were measured on, on one line."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} core{'' if cores == 1 else 's'} ({platform.machine()}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load average {load}"
    )


def lines(rows: Sequence[Row], *, verbose: bool) -> list[str]:
    """The table, left-aligned; the notes of a row below it when `verbose`, those of an invalid one always."""
    widths = [max(len(cells[n]) for cells in (HEADINGS, *(row.cells for row in rows))) for n in range(len(HEADINGS))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    found = [line(HEADINGS), line(["-" * width for width in widths])]
    for row in rows:
        found.append(line(row.cells))
        if verbose or row.verdict is Verdict.INVALID:
            found += [f"    {note}" for note in row.notes]
    return found
