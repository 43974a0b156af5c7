"""The page of cases from the field against the tests that are named after them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "field-cases.md"
_ROW = re.compile(r"^\| (\d+\.\d+) \| (.+) \| (.+) \| (.+) \|$", re.M)
_TEST = re.compile(r"\[`(test_case_\w+)`\]\(\.\./\.\./(tests/[\w/]+\.py)\)")
_DEFINED = re.compile(r"^ *(?:async )?def (test_case_(\d+)_(\d+)_\w+)\(", re.M)


def _named() -> list[tuple[str, str, str]]:
    """(case, test, file) of every test that a row of the page names."""
    return [
        (case, test, file)
        for case, _, _, tests in _ROW.findall(PAGE.read_text())
        for test, file in _TEST.findall(tests)
    ]


def _defined() -> list[tuple[str, str, str]]:
    """(case, test, file) of every test whose name says that it is the test of a case."""
    return [
        (f"{section}.{number}", test, str(path.relative_to(ROOT)))
        for path in (ROOT / "tests").rglob("test_*.py")
        for test, section, number in _DEFINED.findall(path.read_text())
    ]


def test_every_case_names_its_tests_and_every_such_test_its_case() -> None:
    assert sorted(_named()) == sorted(_defined())


def test_no_case_is_there_twice_or_without_a_test() -> None:
    rows = _ROW.findall(PAGE.read_text())
    assert [case for case, count in Counter(case for case, *_ in rows).items() if count > 1] == []
    assert [case for case, _, _, tests in rows if not _TEST.search(tests)] == []


def test_every_line_of_the_tables_is_read() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| *\d", line)]
    assert [line for line in lines if not _ROW.match(line)] == []


def test_every_section_has_one_table() -> None:
    """Lines that come together from several hands: a second head within a table would be shown as a case."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.M)[1:]
    assert [
        section.splitlines()[0] for section in sections if len(re.findall(r"^\| case \|", section, re.M)) != 1
    ] == []
