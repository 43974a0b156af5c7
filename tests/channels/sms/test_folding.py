"""Look-alike folding: the whole table, and the promise that it never makes a message dearer or a word different."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.sms.encoding import GSM7_CHARACTERS, Alphabet, billable_parts, segment
from channels.sms.folding import FOLDED, fold_lookalikes


def test_every_look_alike_becomes_gsm_and_is_not_gsm_itself() -> None:
    for like, to in FOLDED.items():
        assert like not in GSM7_CHARACTERS
        assert GSM7_CHARACTERS.issuperset(to)
        # A text in which it stands for one character less and is still cheaper in GSM 7-bit is folded.
        assert fold_lookalikes(f"Alarm{like}!") == f"Alarm{to}!"


def test_no_letter_of_a_word_is_replaced() -> None:
    letters = [like for like, to in FOLDED.items() if unicodedata.category(like) in ("Ll", "Lu", "Lo", "Lt")]
    for letter in letters:  # ligatures and full-width forms are compatible with what they become
        assert unicodedata.normalize("NFKC", letter) == FOLDED[letter]
    for kept in "çÁêžŁß°ª€№":
        assert kept not in FOLDED


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("“Feu” – zone 3…", '"Feu" - zone 3...'),
        ("l’alarme\u00a0!\tici", "l'alarme ! ici"),
        ("• pompe\n• vanne", "- pompe\n- vanne"),
        ("cafe\u0301", "café"),
        ("100\u2009%", "100 %"),
        ("ＡＬＡＲＭ　１", "ALARM 1"),
        ("\ufeffok", "ok"),
        ("`x´", "'x'"),
    ],
)
def test_folded(text: str, folded: str) -> None:
    assert fold_lookalikes(text) == folded
    assert segment(fold_lookalikes(text)).alphabet is Alphabet.GSM7


@pytest.mark.parametrize("text", ["", "Feu [zone 3] €", "“Žarko”", "ça va – non", "21 °C…", "“\ud800”", "火災…"])
def test_unchanged(text: str) -> None:
    assert fold_lookalikes(text) == text


def test_a_text_that_would_grow_is_left_alone() -> None:
    assert fold_lookalikes("…" * 70) == "…" * 70  # one part as it stands, 210 septets as dots
    assert fold_lookalikes("…" * 53) == "..." * 53
    too_long = "–" * (153 * 255)  # as it stands
    assert fold_lookalikes(too_long) == "-" * (153 * 255)


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from(sorted(FOLDED) + sorted(GSM7_CHARACTERS) + ["ç", "\u0301"]), max_size=300))
def test_folding_never_costs_a_part_and_folds_once(text: str) -> None:
    folded = fold_lookalikes(text)
    assert billable_parts(folded) <= billable_parts(text)
    assert fold_lookalikes(folded) == folded
    assert folded == text or GSM7_CHARACTERS.issuperset(folded)
