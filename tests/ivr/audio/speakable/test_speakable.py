"""What holds for every text in every language: nothing is lost, nothing is endless, nothing raises."""

from __future__ import annotations

import re
import string
import time
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ivr.audio.speakable import LANGUAGES, of, speakable
from ivr.audio.speakable.normal import TEXT_CHARS_MAX
from ivr.audio.speakable.speaking import CLAUSE_WORDS_MAX, SPOKEN_CHARS_MAX
from tests.ivr.audio.speakable.test_tables import OF_A_LANGUAGE

TAGS = [*OF_A_LANGUAGE, "pl"]
languages = pytest.mark.parametrize("tag", TAGS)
CUT_CHARS_MAX = 100
"""So long is the sentence that says that a text was cut."""
CHARACTERS = st.sampled_from(
    [*string.printable, *"−–—‑ \u202f\u2009°µ²³⁻⁶½±≤≥≠≈→←×÷€£«»’…\u200b\u00ad\u0301🔥⚠🇫Ωαあ漢йا٣ﬁＡ№\ud800\ue000\x1b"]
)
TEXTS = st.text(CHARACTERS, max_size=60) | st.text(max_size=60)


@given(TEXTS, st.sampled_from(TAGS))
@settings(max_examples=300, deadline=None)
@example("[[hEl'oU]]", "en")
@example("", "fr")
@example("-.", "fr")
@example("^2 ⁶ -⁶ 1e 1e- e6 0x 0xFF", "en")
def test_any_text_becomes_words_without_a_sign(text: str, tag: str) -> None:
    said = speakable(text, tag)
    letters = r"[^\W\d_]" if of(tag).digits else r"[^\W_]"
    if of(tag).digits:
        assert re.fullmatch(rf"({letters}|[\u0300-\u036f]|\w|[' ,.!?-])*", said), said
        assert not any(one.isdecimal() for one in said), said
    assert "[[" not in said
    assert "  " not in said
    assert not re.search(r"[,.!?] ?[,.!?]", said), said
    assert not re.match(r"[ ,.]", said), said


BLOCKS = [
    *range(0, 0x3400, 64),
    *range(0xFB00, 0x10000, 64),
    *range(0x1D400, 0x1D800, 64),
    *range(0x1F000, 0x1FB00, 64),
]
"""All signs and most scripts; what is left are ideographs, syllables and scripts of the past."""


@pytest.mark.parametrize("tag", ["fr", "en", "pl"])
def test_every_character_can_be_spoken_or_passed_over(tag: str) -> None:
    for begin in BLOCKS:
        block = [chr(code) for code in range(begin, begin + 64)]
        for text in (" ".join(block), "5" + "5".join(block), "A" + "a".join(block)):
            said = speakable(text, tag)
            assert not of(tag).digits or not any(one.isdecimal() for one in said), hex(begin)


ENDLESS = [
    "9",
    "a",
    "- ",
    "1.5 bar, ",
    "🔥",
    "12-",
    "a.b",
    "::",
    "(",
    "1:2:",
    "x^2",
    "a@",
    "P1T",
    " \n",
    "_",
    "1 ",
    "1\xa0000",
]
ENDLESS += [
    "-",
    ".",
    "A",
    "fe80::",
    "0 1-2 ",
    "http://a",
    "1,",
    "&amp;",
    "0.0.",
    "+1 ",
    "#1-",
    "'1",
    '"5',
    "1h",
    "1e",
    "[[",
]
ENDLESS += ["é̈", "x_1", "A-1", "10^-", "½", "²", "1/", "1'000", "<a@", "<"]


@pytest.mark.parametrize("piece", ENDLESS)
@languages
def test_no_text_takes_long_or_becomes_endless(piece: str, tag: str) -> None:
    text = (piece * TEXT_CHARS_MAX)[:TEXT_CHARS_MAX]
    begun = time.process_time()
    said = speakable(text, tag)
    assert time.process_time() - begun < 1.0
    assert len(said) <= SPOKEN_CHARS_MAX + CUT_CHARS_MAX


@languages
def test_a_text_that_is_cut_says_so_and_never_within_a_number(tag: str) -> None:
    words = of(tag)
    for filler in ("x ", "pump "):
        said = speakable(filler * TEXT_CHARS_MAX + "1234", tag)
        assert said.endswith(f"{words.symbols['cut']}.")
    said = speakable("a" * (TEXT_CHARS_MAX - 2) + " 1234 bar", tag)
    assert said.endswith(f"{words.symbols['cut']}.")
    assert len(said) < CUT_CHARS_MAX


@pytest.mark.parametrize("tag", OF_A_LANGUAGE)
def test_a_clause_ends_before_the_breath_does(tag: str) -> None:
    said = speakable("pump tank valve " * 100, tag)
    assert max(len(clause.split()) for clause in re.split("[,.!?]", said)) <= CLAUSE_WORDS_MAX + 1


NUMBERS = st.decimals(min_value=-(10**6), max_value=10**6, places=None, allow_nan=False).map(
    lambda one: one.quantize(Decimal("0.001")).normalize()
)


@given(
    NUMBERS,
    NUMBERS,
    st.sampled_from(TAGS),
    st.sampled_from(["{}", "Temp. {} °C", "x={}", "({})", "seuil {}", "{} bar, 3"]),
)
@settings(max_examples=300, deadline=None)
def test_numbers_that_differ_are_said_differently(one: Decimal, other: Decimal, tag: str, frame: str) -> None:
    first, second = frame.format(f"{one:f}"), frame.format(f"{other:f}")
    assert (speakable(first, tag) == speakable(second, tag)) == (first == second)


@given(
    st.integers(min_value=0, max_value=10**6),
    st.sampled_from("-–—−‑‐"),
    st.sampled_from(TAGS),
    st.sampled_from(["{}", "seuil {}", "x={}", "({})", "t:{}", "\n{}", "«{}»", "[{};4]", "5 {}", "> {}"]),
)
@settings(max_examples=400, deadline=None)
def test_a_sign_is_said_whatever_dash_was_typed(number: int, dash: str, tag: str, frame: str) -> None:
    minus = of(tag).symbols["minus"]
    assert minus in speakable(frame.format(f"{dash}{number}"), tag).lower()
    assert minus not in speakable(frame.format(f"{number}"), tag).lower()


@given(
    st.lists(st.integers(min_value=0, max_value=10**5), min_size=2, max_size=2, unique=True),
    st.sampled_from(TAGS),
    st.sampled_from(["\n", " ", "\n\n", ", "]),
)
@settings(max_examples=300, deadline=None)
def test_numbers_side_by_side_stay_two(numbers: list[int], tag: str, between: str) -> None:
    apart = speakable(f"{numbers[0]}{between}{numbers[1]}", tag)
    assert apart != speakable(f"{numbers[0]}{numbers[1]}", tag)
    assert re.search("[,.]", apart[:-1])


def test_a_language_without_a_file_says_its_own_signs_or_english_ones() -> None:
    assert speakable("T = -18,5", "pl") == "T równa się minus 18 przecinek 5."
    assert speakable("-3", "nl-BE") == "min 3."
    assert speakable("-3", "ja") == "minus 3."
    for odd in ("", "x" * 300, "../../etc", "fr_FR", "EN-us", "-"):
        assert speakable("-3", odd) in ("minus three.", "moins trois.")


def test_a_site_has_abbreviations_of_its_own() -> None:
    own = {
        "P-101A": "pompe de gavage",
        "TGBT": "tableau général",
        "Temp.": "thermomètre 2",
        "": "nothing",
        "poste": "local",
    }
    said = speakable("P-101A et tgbt, TGBT, Temp. 3 poste 4", "fr", own)
    assert said == "pompe de gavage et T G B T, tableau général, thermomètre deux, trois local quatre."


def test_a_text_of_five_hundred_characters_takes_less_than_five_milliseconds() -> None:
    text = (
        "Temp. chambre froide 3 : -18,5 °C depuis 02:35, seuil -20. Pompe P-101A arrêtée, voir https://grafana.example.org/d. "
        * 5
    )[:500]
    for tag in LANGUAGES:
        speakable(text, tag)
        took = []
        for _ in range(20):
            begun = time.process_time()
            speakable(text, tag)
            took.append(time.process_time() - begun)
        assert min(took) < 0.005
