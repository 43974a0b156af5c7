"""docs/reference/api.md against the code: every route, every problem, the table of roles, the check of a signature."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.administration import Role
from gateway.api.problems import KINDS
from gateway.api.roles import INSTALLATION, MATRIX, Permission
from gateway.callbacks import signature
from tests.gateway.test_api_roles import CALLS, OPEN

PAGE = (Path(__file__).parents[2] / "docs/reference/api.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    part = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_route_is_on_the_page() -> None:
    told = {tuple(row[0].strip("`").split(" ", 1)) for row in rows("Routes")}
    assert told == {call.route for call in CALLS} | OPEN


def test_every_problem_is_on_the_page() -> None:
    told = {(row[0].strip("`").removeprefix("/problems/"), int(row[1])) for row in rows("Problems")}
    assert told == {(name, kind.status) for name, kind in KINDS.items()}


def test_the_table_of_roles_is_the_matrix() -> None:
    head = next(line for line in PAGE.splitlines() if line.startswith("| may |"))
    roles = [Role(cell.strip()) for cell in head.strip("|").split("|")[1:]]
    told = {}
    for name, *marks in rows("Roles"):
        permission = Permission(name.removesuffix("*").strip())
        told[permission] = {role for role, mark in zip(roles, marks, strict=True) if mark == "✓"}
        assert name.endswith("*") == (permission in INSTALLATION), permission
    assert told == {each: {role for role in Role if each in MATRIX[role]} for each in Permission}


def test_the_check_of_a_signature_works_as_it_is_written() -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE, re.S)[0]
    names: dict[str, Callable[[str, Mapping[str, str], bytes], bool]] = {}
    exec(code, names)  # the page's own words
    headers = {"Tocsin-Timestamp": "1767268800"}
    headers["Tocsin-Signature"] = "sha256=" + signature("secret", headers["Tocsin-Timestamp"], b"{}")
    assert names["genuine"]("secret", headers, b"{}")
    assert not names["genuine"]("other", headers, b"{}")
    assert not names["genuine"]("secret", headers, b"{ }")
