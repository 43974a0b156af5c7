"""What is spoken of texts, row by row: each language has a file here of what is written and what is said.

Judged by what the engine makes of it too: each word of a row is heard, since without it the row would sound different.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ivr.audio.speakable import speakable
from tests.ivr.audio.speakable.phonemes import phonemes
from tests.ivr.audio.speakable.test_tables import OF_A_LANGUAGE

FOLDER = Path(__file__).parent
LEAST = {"en": 300, "fr": 300}
"""So many rows; any other language has sixty."""


def rows(tag: str) -> Iterator[tuple[str, str]]:
    """(what is written, what is said) in a language."""
    for section in tomllib.loads((FOLDER / f"{tag}.toml").read_text()).values():
        yield from section.items()


@pytest.mark.parametrize("tag", OF_A_LANGUAGE)
def test_there_are_enough_rows(tag: str) -> None:
    assert len(list(rows(tag))) >= LEAST.get(tag, 60)


@pytest.mark.parametrize("tag", OF_A_LANGUAGE)
def test_each_text_is_said_as_its_row_says(tag: str) -> None:
    wrong = [
        (text, said, words)
        for text, words in rows(tag)
        if (said := speakable(text, tag).removesuffix(".")) != words or phonemes(said, tag) != phonemes(words, tag)
    ]
    assert wrong == []


@pytest.mark.parametrize("tag", OF_A_LANGUAGE)
def test_words_stay_as_they_are(tag: str) -> None:
    said = [words for _, words in rows(tag) if not re.search(r"\b[A-Z]\b", words)]  # letters come one by one
    assert [words for words in said if speakable(words, tag).removesuffix(".") != words] == []


@pytest.mark.parametrize("tag", OF_A_LANGUAGE)
def test_each_word_is_heard(tag: str) -> None:
    unheard = []
    for _, said in rows(tag):
        words = said.split()
        for n, one in enumerate(words):
            without = " ".join(words[:n] + words[n + 1 :])
            if phonemes(without, tag) == phonemes(said, tag):
                unheard.append((said, one))
    assert unheard == []


def test_the_page_on_what_is_spoken_is_true() -> None:
    page = (FOLDER.parents[3] / "docs" / "reference" / "what-is-spoken.md").read_text()
    examples = re.findall(r"^\| `(.+)` \| (.+) \| (.+) \|$", page, re.M)
    assert len(examples) > 20
    for text, english, french in examples:
        assert speakable(text, "en").removesuffix(".") == english
        assert speakable(text, "fr").removesuffix(".") == french
