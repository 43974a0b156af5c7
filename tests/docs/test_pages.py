"""The tutorial and every how-to, done from their own text: what a reader types works, and shows what the page says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.page import reason_not_run, steps_of
from tests.docs.reader import ROOT, compare
from tests.docs.terminal import BlockFailedError

DOCS = ROOT / "docs"
PAGES = [*sorted((DOCS / "tutorial").glob("*.md")), *sorted((DOCS / "how-to").glob("*.md"))]
ENDS_WITHIN_S = 240
"""A page takes ten seconds on an idle machine, the tutorial thirty."""


def read(page: Path, folder: Path, *words: str) -> str:
    """What happened to a reader of the page."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.reader", str(page), str(folder), *words],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ENDS_WITHIN_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(ENDS_WITHIN_S + 30)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_the_page_says_works(page: Path, tmp_path: Path) -> None:
    steps = steps_of(page)
    if reason_not_run(page):
        assert not [step for step in steps if step.verb == "run"]
        return
    assert [step for step in steps if step.verb == "run"], "no command of the page is run, and it does not say why"
    read(page, tmp_path)


@pytest.mark.timeout(ENDS_WITHIN_S + 30)
def test_the_tutorial_says_what_to_do_where_the_demo_is_still_up(tmp_path: Path) -> None:
    happened = read(DOCS / "tutorial" / "first-alert.md", tmp_path, "--demo")
    assert "--- so the demo is stopped" in happened


def test_the_readme_shows_no_command_that_nobody_runs() -> None:
    """`steps_of` refuses commands without a word on them; those of the README are other pages' first ones."""
    assert [step.verb for step in steps_of(ROOT / "README.md")] == ["not run"]
    assert any("make run" in step.text for step in steps_of(DOCS / "tutorial" / "first-alert.md"))


def test_what_is_shown_is_compared_without_what_differs_each_time() -> None:
    compare("alt_06gv…  active\n…\n3 of 3", "first\nalt_8a7s  active\nmore\n3 of 3\n")
    for shown in ("another line", "alt_06gv…  failed", "3 of 3\nalt_06gv…  active"):
        with pytest.raises(BlockFailedError):
            compare(shown, "alt_8a7s  active\n3 of 3\n")
