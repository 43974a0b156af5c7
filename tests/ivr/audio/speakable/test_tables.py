"""Each language's words: all are there, they are heard, and no two of them sound alike."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from itertools import combinations

import pytest

from ivr.audio.speakable import LANGUAGES
from ivr.audio.speakable.symbols import NAMES, PICTURES
from ivr.audio.speakable.units import NAMES as UNITS
from ivr.audio.speakable.units import PREFIXES
from tests.ivr.audio.speakable.phonemes import phonemes, sounds

OF_A_LANGUAGE = sorted(tag for tag in LANGUAGES if "-" not in tag)
languages = pytest.mark.parametrize("tag", OF_A_LANGUAGE)
_OPEN = str.maketrans("ɛɔɪʊʏɾj", "eoiuyri", "ː")
"""How wide a vowel is open, how long it is, how an r is rolled."""
_AS_WELL: dict[str, Callable[[str], str]] = {
    "en": lambda said: said.replace("and", "n").replace("ɐ", "").replace("ə", ""),
    "de": lambda said: said.translate(_OPEN),
    "es": lambda said: said.translate(_OPEN).replace("ð", "d").replace("β", "b").replace("unomil", "unmil"),
    "it": lambda said: said.translate(_OPEN).replace("md", "nd").replace("w", "u").replace("z", "s"),
    "fr": lambda said: re.sub("t+", "t", said).replace("ə", "").replace("katʁvɛ̃t", "katʁvɛ̃").replace("sɛ̃k", "sɛ̃"),
}
"""Of the two ways in which the engine says one number, what does not matter."""


@languages
def test_a_language_names_every_sign_every_picture_and_every_unit(tag: str) -> None:
    language = LANGUAGES[tag]
    assert set(language.symbols) == set(NAMES)
    assert set(language.pictures) == set(PICTURES)
    assert set(language.units) >= set(UNITS)
    assert set(language.prefixes) == set(PREFIXES)
    assert len(language.digits) == 10


@languages
def test_no_two_words_of_a_table_sound_alike(tag: str) -> None:
    language = LANGUAGES[tag]
    units = {name: noun.many for name, noun in language.units.items()}
    for table in (language.symbols, language.pictures, units, language.prefixes, dict(enumerate(language.digits))):
        heard: dict[str, object] = {}
        for name, words in table.items():
            sound = sounds(words, tag)
            assert sound, name
            assert heard.setdefault(sound, name) == name, (heard[sound], name)


@languages
def test_numbers_are_said_as_the_engine_says_their_digits(tag: str) -> None:
    language, dice = LANGUAGES[tag], random.Random(7)
    same = _AS_WELL.get(tag, str)
    numbers = [
        *range(1_101),
        *range(2_000, 2_101),
        *(dice.randrange(10**6) for _ in range(300)),
        10**3,
        10**4,
        80_000,
        200_000,
    ]
    for number in numbers:
        if tag == "en" and number % 10_000 // 100 in range(11, 20):
            continue  # nineteen hundred
        assert same(sounds(language.cardinal(number, False), tag)) == same(sounds(str(number), tag)), number


@languages
def test_numbers_never_sound_alike(tag: str) -> None:
    language, dice = LANGUAGES[tag], random.Random(11)
    numbers = {*range(1_200), *(dice.randrange(10**9) for _ in range(500)), *(10**n for n in range(15))}
    heard = {sounds(language.cardinal(number, False), tag) for number in numbers}
    assert len(heard) == len(numbers)


@languages
def test_days_and_times_never_sound_alike(tag: str) -> None:
    language = LANGUAGES[tag]
    dates = [
        language.date(day, month, year)
        for day in range(1, 29, 3)
        for month in range(1, 13)
        for year in ("", "2025", "2026")
    ]
    clocks = [language.clock(hour, minute) for hour in range(25) for minute in range(60)]
    assert len({sounds(one, tag) for one in dates}) == len(dates)
    assert len({sounds(one, tag) for one in clocks}) == len(clocks)


@languages
def test_letters_and_digits_never_sound_alike(tag: str) -> None:
    language = LANGUAGES[tag]
    said = [*(language.letters.get(one, one) for one in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"), *language.digits]
    heard = [phonemes(f"{one} {one}", tag) for one in said]
    assert [pair for pair in combinations(range(len(said)), 2) if heard[pair[0]] == heard[pair[1]]] == []
