"""The pictures of the pages: whole, small, with nothing from elsewhere, and readable by day and by night."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.docs.reader import ROOT

PICTURES = sorted((ROOT / "docs" / "pictures").iterdir())
BYTES_MAX = 40_000
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_whole_small_and_for_both_lights(picture: Path) -> None:
    text = picture.read_text()
    assert picture.suffix == ".svg"
    assert len(text.encode()) < BYTES_MAX
    root = ElementTree.fromstring(text)
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    assert not re.search(r"<script|href=|url\(|@import|<image", text)
    assert "prefers-color-scheme:dark" in text
    assert "animation" not in text or "prefers-reduced-motion" in text
    assert "tok_" not in text.replace("tok_…", "")


def test_every_picture_is_shown_with_words_for_those_who_do_not_see_it() -> None:
    shown = {
        (page.parent / name).resolve(): words
        for page in PAGES
        for words, name in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text())
    }
    assert set(shown) == set(PICTURES)
    assert all(len(words) > 20 for words in shown.values())
