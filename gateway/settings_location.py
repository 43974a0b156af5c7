"""Finds the line on which each key of a TOML text stands; reads no meaning into it (tomllib has accepted it before)."""

from __future__ import annotations

import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
"""A key's place in the parsed text: names of tables and keys, and positions in arrays counted from 0."""

_BLANK = " \t"
_BARE_KEY_END = " \t.=]"
_BARE_VALUE_END = ",]}#\n"


def lines_of(text: str) -> Mapping[KeyPath, int]:
    """The line (from 1) of every table, key and array element of `text`, a TOML document that tomllib accepts.

    For text that tomllib refuses the answer is undefined, and an exception may escape.
    """
    return _Scanner(text.replace("\r\n", "\n")).scan()


def nearest_line(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of `path`, or of the closest table around it that is written down; 1 when none is."""
    for length in range(len(path), 0, -1):
        line = lines.get(path[:length])
        if line is not None:
            return line
    return 1


def written(path: KeyPath) -> str:
    """The path as a person writes it: ``providers[0].port``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubled:
    """A key or table that stands a second time."""

    path: KeyPath
    first_line: int
    line: int
    is_table: bool


def first_doubled(text: str, line: int) -> Doubled | None:
    """The first key or table in the lines up to `line` that stands there a second time; None where none is found. The text need not be
    right behind that."""
    return next(iter(_scanned(text, line).doubled), None)


def key_on(text: str, line: int) -> KeyPath:
    """The key that begins in the line, or in one before it and has not ended; () where none is found."""
    return tuple(part.rstrip(":") if isinstance(part, str) else part for part in _scanned(text, line).last)


def _scanned(text: str, line: int) -> _Scanner:
    """The scanner as far as it came: the lines may be wrong in every way."""
    scanner = _Scanner("\n".join(text.replace("\r\n", "\n").split("\n")[:line]))
    with suppress(
        IndexError, tomllib.TOMLDecodeError, RecursionError
    ):  # it ends in the middle, or is what tomllib refused
        scanner.scan()
    return scanner


class _Scanner:
    """Walks the text once from left to right. `_elements` counts the tables of each array of tables so far."""

    def __init__(self, text: str) -> None:
        self.doubled: list[Doubled] = []
        self.last: KeyPath = ()
        self._declared: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._line_starts = [0, *(i + 1 for i, character in enumerate(text) if character == "\n")]
        self._elements: dict[KeyPath, int] = {}
        self._lines: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip_to_content():
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._key_and_value(table)
        return self._lines

    def _header(self) -> KeyPath:
        start = self._at
        is_array = self._text.startswith("[[", start)
        self._at += 2 if is_array else 1
        names = self._dotted_key()
        self._at += 2 if is_array else 1
        path: KeyPath = ()
        for name in names[:-1]:
            path = self._current((*path, name), start)
        path = (*path, names[-1])
        if not is_array:
            self._declare(path, start, is_table=True)
            return self._current(path, start)
        self._note(path, start)
        self._elements[path] = self._elements.get(path, 0) + 1
        return self._current(path, start)

    def _current(self, path: KeyPath, start: int) -> KeyPath:
        """The path itself, or its latest element where it is an array of tables."""
        self._note(path, start)
        if path in self._elements:
            path = (*path, self._elements[path] - 1)
            self._note(path, start)
        return path

    def _key_and_value(self, table: KeyPath) -> None:
        start = self._at
        path = table
        for name in self._dotted_key():
            path = (*path, name)
            self._note(path, start)
        self.last = path
        self._skip(_BLANK)
        self._declare(path, start, is_table=False)
        self._at += 1  # the equals sign
        self._skip(_BLANK)
        self._value(path)

    def _dotted_key(self) -> list[str]:
        names = []
        while True:
            self._skip(_BLANK)
            names.append(self._key())
            self._skip(_BLANK)
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _key(self) -> str:
        start = self._at
        if self._text[start] in "\"'":
            self._skip_string()
            return str(tomllib.loads(f"key = {self._text[start : self._at]}")["key"])
        while self._text[self._at] not in _BARE_KEY_END:
            self._at += 1
        return self._text[start : self._at]

    def _value(self, path: KeyPath) -> None:
        first = self._text[self._at]
        if first in "\"'":
            self._skip_string()
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            while self._at < len(self._text) and self._text[self._at] not in _BARE_VALUE_END:
                self._at += 1

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        n = 0
        while self._skip_to_content() and self._text[self._at] != "]":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            start = self._at
            self._note((*path, n), start)
            self._value((*path, n))
            if self._at == start:
                raise IndexError("no value and no end of the array: the text is no TOML")
            n += 1
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while self._skip_to_content() and self._text[self._at] != "}":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._key_and_value(path)
        self._at += 1

    def _skip_string(self) -> None:
        quote = self._text[self._at]
        if self._text.startswith(quote * 3, self._at):
            self._skip_long_string(quote)
            return
        self._at += 1
        while self._text[self._at] != quote:
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
        self._at += 1

    def _skip_long_string(self, quote: str) -> None:
        self._at += 3
        while not self._text.startswith(quote * 3, self._at):
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
        self._at += 3
        for _ in range(2):  # up to two quotes may stand directly before the closing three
            if self._text.startswith(quote, self._at):
                self._at += 1

    def _skip(self, characters: str) -> None:
        while self._at < len(self._text) and self._text[self._at] in characters:
            self._at += 1

    def _skip_to_content(self) -> bool:
        """Over blanks, line ends and comments; False at the end of the text."""
        while self._at < len(self._text):
            self._skip(" \t\n")
            if not self._text.startswith("#", self._at):
                break
            end = self._text.find("\n", self._at)
            self._at = len(self._text) if end < 0 else end
        return self._at < len(self._text)

    def _declare(self, path: KeyPath, at: int, *, is_table: bool) -> None:
        """Keys and plain tables may stand once."""
        first = self._declared.setdefault(path, at)
        if first != at:
            lines = [bisect_right(self._line_starts, place) for place in (first, at)]
            self.doubled.append(Doubled(path=path, first_line=lines[0], line=lines[1], is_table=is_table))

    def _note(self, path: KeyPath, at: int) -> None:
        self._lines.setdefault(path, bisect_right(self._line_starts, at))
