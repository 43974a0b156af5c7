"""The settings file as text: read, decoded, taken for TOML, and slips of the pen in words. What its keys mean is not known here."""

from __future__ import annotations

import codecs
import re
import tomllib
from pathlib import Path
from typing import Any

from gateway.settings_location import Doubled, first_doubled, key_on, written
from gateway.settings_problems import Problem, SettingsError

FILE_BYTES_MAX = 1024 * 1024
"""A settings file with a thousand providers has some 300 kB; a larger one is another file named by mistake."""

_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")
_DOUBLED = re.compile(r"Cannot (overwrite|declare|mutate)")
_OTHER_ENCODINGS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SLIPS = (
    ("Invalid value", 'expected a value behind "=": text stands in quotation marks, true and false are small letters'),
    ("Invalid statement", 'expected key = value, or a table such as [http] or [[providers]]; notes begin with "#"'),
    ("Expected '='", 'expected "=" behind the key'),
    ("Expected newline or end of document", "expected nothing more on this line behind the value"),
    ("Illegal character '\\n'", "expected the text to end with its quotation mark on this line"),
    ("Unescaped '\\'", 'expected \\\\ for a backslash in "…", or the text in single quotation marks'),
    ("Unterminated string", "expected a quotation mark at the end of the text"),
    ("Unclosed array", 'expected "," between the elements of the list, and "]" at its end'),
    ("Unclosed inline table", 'expected "," between the keys of the table, and "}" at its end'),
    ("Expected ']", 'expected "]" at the end of the table\'s name, as often as "[" is at its beginning'),
)
"""What tomllib calls a slip, and what was expected."""


def read(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of the file and what it says. Raises SettingsError. A mark of byte order, which some editors write, is passed over."""
    text = _text(path)
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        raise SettingsError(str(path), [_slip(text, str(failure))]) from failure
    except RecursionError as failure:
        raise _refused(path, None, "not TOML: nested too deeply") from failure


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise _refused(path, None, "expected a settings file; this is a folder")
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as failure:
        raise _refused(path, None, f"cannot be read: {failure.strerror}") from failure
    except ValueError as failure:  # a NUL in the name
        raise _refused(path, None, f"cannot be read: {failure}") from failure
    if len(content) > FILE_BYTES_MAX:
        raise _refused(path, None, f"expected at most {FILE_BYTES_MAX} bytes")
    if content.startswith(_OTHER_ENCODINGS):
        raise _refused(path, None, "expected UTF-8 text; this is UTF-16: save it as UTF-8")
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as failure:
        line = content.count(b"\n", 0, failure.start) + 1
        raise _refused(path, line, "expected UTF-8 text: save the file as UTF-8") from failure


def _slip(text: str, told: str) -> Problem:
    """What tomllib refuses, with the key that stands there, as far as it can be known."""
    place = _PLACE.search(told)
    line = int(place[1]) if place and place[1] else text.count("\n") + 1
    bare = _PLACE.sub("", told)
    if _DOUBLED.match(bare):
        doubled = first_doubled(text, line)
        if doubled is not None:
            return Problem(key=written(doubled.path), line=doubled.line, text=_twice(doubled))
    expected = next((said for beginning, said in _SLIPS if bare.startswith(beginning)), "")
    return Problem(
        key=written(key_on(text, line)), line=line, text=f"not TOML: {bare}" + (f"; {expected}" if expected else "")
    )


def _twice(doubled: Doubled) -> str:
    what = "this table" if doubled.is_table else "this key"
    return f"not TOML: {what} stands twice, in line {doubled.first_line} and here; expected it once"


def _refused(path: Path, line: int | None, text: str) -> SettingsError:
    return SettingsError(str(path), [Problem(key="", line=line, text=text)])
