"""The line finder against tomllib: every key of any document is found, and on the right line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings_location import KeyPath, lines_of, nearest_line, written

DOCUMENT = """\
# a comment with [brackets] and = signs
title = "x # no comment"  # a comment

[store]
url = 'a\\'
"quoted key" . 'an other'.third = 1
[[providers]]
name = "a"
ports = [
  1, # one
  2,
  [3,
   { x = 4, y.z = [5] }],
]
[providers.tls]
text = \"\"\"
[not.a.table]
x = 1 \\\"\"\" still text
\"\"\"\"\"
after = '''
''quotes'''''
  [[providers]] # indented
when = 2026-01-01 10:00:00Z
[[providers.nets]]
a=1
[[providers.nets]]
a=2
[a.b.c]
d = {}
"""


def paths_of(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths_of(inner, (*path, key))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("store",), 4),
        (("store", "url"), 5),
        (("store", "quoted key", "an other", "third"), 6),
        (("providers",), 7),
        (("providers", 0), 7),
        (("providers", 0, "name"), 8),
        (("providers", 0, "ports", 0), 10),
        (("providers", 0, "ports", 1), 11),
        (("providers", 0, "ports", 2, 0), 12),
        (("providers", 0, "ports", 2, 1, "y", "z", 0), 13),
        (("providers", 0, "tls"), 15),
        (("providers", 0, "tls", "text"), 16),
        (("providers", 0, "tls", "after"), 20),
        (("providers", 1), 22),
        (("providers", 1, "when"), 23),
        (("providers", 1, "nets", 0, "a"), 25),
        (("providers", 1, "nets", 1), 26),
        (("providers", 1, "nets", 1, "a"), 27),
        (("a", "b"), 28),
        (("a", "b", "c", "d"), 29),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_each_key_has_its_line(path: KeyPath, line: int, line_end: str) -> None:
    assert lines_of(DOCUMENT.replace("\n", line_end))[path] == line


def test_every_key_is_found() -> None:
    assert set(lines_of(DOCUMENT)) == set(paths_of(tomllib.loads(DOCUMENT)))


KEYS = st.sampled_from(["a", "b-c", "1", '"d.e"', "'f]'", '"\\u0067\\""', '""'])
STRINGS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from("[]{}=#,'\\\""), max_size=8
)
SCALARS = (
    st.integers(0, 9).map(str)
    | st.sampled_from(["true", "-inf", "1979-05-27 07:32:00", "'''x\n''y'''", '"""\\"""x"""', "''", '""'])
    | STRINGS.map(json.dumps)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[ # ]\n{' ,'.join(parts)}\n]")
        | st.dictionaries(KEYS, inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + " }"
        )
    ),
    max_leaves=6,
)
LINES = (
    st.tuples(st.lists(KEYS, min_size=1, max_size=3).map(" . ".join), VALUES).map(" = ".join)
    | st.lists(KEYS, min_size=1, max_size=3).map(".".join).map("[ {} ]".format)
    | st.lists(KEYS, min_size=1, max_size=2).map(".".join).map("[[{}]]".format)
)


@given(st.lists(LINES, max_size=8))
def test_the_finder_sees_what_tomllib_sees(lines: list[str]) -> None:
    kept: list[str] = []
    for line in lines:  # of random lines those are kept that tomllib accepts after the former ones
        try:
            tomllib.loads("\n".join([*kept, line]))
        except tomllib.TOMLDecodeError:
            continue
        kept.append(line)
    text = "\n".join(kept)
    found = lines_of(text)
    assert set(found) == set(paths_of(tomllib.loads(text)))
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())


def test_a_key_that_is_not_there_has_the_line_of_its_table() -> None:
    lines = lines_of(DOCUMENT)
    assert nearest_line(lines, ("providers", 1, "port")) == 22
    assert nearest_line(lines, ("nowhere", "at", "all")) == 1
    assert nearest_line(lines, ()) == 1


def test_paths_are_written_as_people_do() -> None:
    assert written(("providers", 0, "tls", "names", 2)) == "providers[0].tls.names[2]"
    assert written(()) == ""
