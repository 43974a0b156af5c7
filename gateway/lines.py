"""Which line answers under which number: trunks write one and the same number in many ways. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from channels.conversation import Line
from gateway.settings import LineSettings

SIGNIFICANT_MIN = 7
"""Digits that have to be the same at the end of two spellings of one number; shorter ones are extensions, and compared whole."""

_PREFIX = re.compile(r"^(\+|00|0)")


class Lines:
    """The lines of the settings. `anybody`: there are people who may call in, so that what is no line of its own is theirs."""

    def __init__(self, lines: Sequence[LineSettings], *, anybody: bool) -> None:
        self._lines = tuple(lines)
        told = any(line.kind == "acknowledgement" for line in lines)
        self._otherwise = Line(kind="acknowledgement", name="") if anybody and not told else None

    def called(self, numbers: Sequence[str]) -> Line | None:
        """The line that one of the numbers is; `numbers` are what the caller's network says was dialled, the likeliest first."""
        for number in numbers:
            for same in (_equal, _same_number):
                found = [line for line in self._lines if same(number, line.number)]
                if found:
                    line = max(found, key=lambda one: len(one.number))  # with its area code it says more than without
                    return Line(kind=line.kind, name=line.name, language=line.language, record_s=line.record_s)
        return self._otherwise

    def settings_of(self, line: Line) -> LineSettings | None:
        """The table that a line comes from."""
        return next((one for one in self._lines if one.name == line.name), None)


def _equal(one: str, other: str) -> bool:
    return one == other


def _same_number(one: str, other: str) -> bool:
    """Whether two spellings (+33140…, 0033140…, 0140…, 140…) can be of one number."""
    first, second = (_PREFIX.sub("", text) for text in (one, other))
    shorter, longer = sorted((first, second), key=len)
    return len(shorter) >= SIGNIFICANT_MIN and longer.endswith(shorter)
