"""Ids of answers and receipts: all spellings of one id match, under the rule that allows them; those of two ids never do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from channels.outcome import Receipt
from channels.sms.smpp.receipt import IdRule, parse_receipt
from gateway.spelling import alike, by_itself, likest, normal_form

NUMBERS = st.integers(0, 2**64 - 1)
ZEROS = st.integers(0, 12)
FORMS: dict[str, Callable[[int], str]] = {
    "decimal": str,
    "hexadecimal": lambda n: f"{n:x}",
    "HEXADECIMAL": lambda n: f"{n:X}",
}
PAIRS = {  # under which rule an answer in the first form and a receipt in the second are about one message
    IdRule.CASEFOLD: {("hexadecimal", "HEXADECIMAL"), ("HEXADECIMAL", "hexadecimal")},
    IdRule.STRIP_ZEROS: set[tuple[str, str]](),
    IdRule.HEX_TO_DEC: {("decimal", "hexadecimal"), ("decimal", "HEXADECIMAL")},
    IdRule.DEC_TO_HEX: {("hexadecimal", "decimal"), ("HEXADECIMAL", "decimal")},
    IdRule.ANY: {(one, other) for one in FORMS for other in FORMS},
}


def receipt_naming(name: str, rule: IdRule) -> Receipt:
    receipt = parse_receipt(esm_class=4, text=f"id:{name} stat:DELIVRD", tlvs={}, source="33612345678", id_rule=rule)
    assert receipt is not None
    return receipt


def match(answered: str, named: str, rule: IdRule) -> bool:
    """Whether a receipt with this id finds a message that was taken under that one, the address fitting."""
    receipt = receipt_naming(named, rule)
    return any(
        normal_form(read) == normal_form(answered) and alike(read, answered, receipt.spelling)
        for read in receipt.provider_message_ids
    )


@given(NUMBERS, st.sampled_from(sorted(FORMS)), st.sampled_from(sorted(FORMS)), ZEROS, ZEROS)
@example(0x1234567, "hexadecimal", "decimal", 0, 1)  # seven digits
@example(0xABCDEF, "HEXADECIMAL", "hexadecimal", 2, 0)
@example(0, "decimal", "HEXADECIMAL", 3, 0)
def test_case_4_1_every_spelling_of_a_number_matches_every_other(
    number: int, answer: str, receipt: str, zeros: int, more_zeros: int
) -> None:
    answered, named = "0" * zeros + FORMS[answer](number), "0" * more_zeros + FORMS[receipt](number)
    assert match(answered, named, IdRule.ANY)
    for rule in (IdRule.HEX_TO_DEC, IdRule.DEC_TO_HEX):
        if (answer, receipt) in PAIRS[rule]:
            assert match(answered, named, rule)
    if answer == receipt:
        assert match(answered, named, IdRule.STRIP_ZEROS)
    if zeros == more_zeros and (answer, receipt) in PAIRS[IdRule.CASEFOLD]:
        assert match(answered, named, IdRule.CASEFOLD)


@given(NUMBERS, NUMBERS, st.sampled_from([IdRule.HEX_TO_DEC, IdRule.DEC_TO_HEX]), st.data())
def test_case_4_1_spellings_of_two_numbers_never_match(one: int, other: int, rule: IdRule, data: st.DataObject) -> None:
    assume(one != other)
    answer, receipt = data.draw(st.sampled_from(sorted(PAIRS[rule])))
    answered = "0" * data.draw(ZEROS) + FORMS[answer](one)
    named = "0" * data.draw(ZEROS) + FORMS[receipt](other)
    assert not match(answered, named, rule)


WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=",;:"), min_size=1, max_size=40)
CANONICAL: dict[IdRule, Callable[[str], str]] = {
    IdRule.EXACT: lambda word: word,
    IdRule.CASEFOLD: str.lower,
    IdRule.STRIP_ZEROS: lambda word: word.lstrip("0"),
}
"""What two words have in common that a rule without a base takes for one id."""


@given(WORDS, WORDS, st.sampled_from(sorted(CANONICAL)))
@example("0A1", "a1", IdRule.CASEFOLD)
@example("0A1", "a1", IdRule.STRIP_ZEROS)
@example("A1", "a1", IdRule.EXACT)
def test_words_match_just_where_the_rule_says_so(answered: str, named: str, rule: IdRule) -> None:
    assert match(answered, named, rule) is (CANONICAL[rule](answered) == CANONICAL[rule](named))
    assert match(answered, answered, rule)


@given(WORDS, WORDS)
def test_without_a_rule_only_the_same_spelling_counts_without_the_address(answered: str, named: str) -> None:
    receipt = receipt_naming(named, IdRule.ANY)
    assert by_itself(receipt.provider_message_ids[0], answered, receipt.spelling) is (named == answered)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=64))
@example("")
@example("000")
@example("00A1")
def test_the_migration_gives_old_rows_the_same_form(message_id: str) -> None:
    form = "coalesce(nullif(ltrim(lower(:id), '0'), ''), substr(:id, 1, 1))"
    with sqlite3.connect(":memory:") as database:
        assert database.execute(f"select {form}", {"id": message_id}).fetchone() == (normal_form(message_id),)
    database.close()


def test_the_same_spelling_is_preferred() -> None:
    class Taken:
        def __init__(self, name: str) -> None:
            self.provider_message_id = name

    latest, same = Taken("00123"), Taken("123")
    assert likest([latest, same], "123") is same
    assert likest([latest, same], "0123") is latest


@pytest.mark.parametrize("rule", list(IdRule))
def test_a_receipt_names_at_most_three_ids(rule: IdRule) -> None:
    for name in ("12345678", "0012", "ab12", "0xAB12", "x", "9" * 64):
        assert 1 <= len(receipt_naming(name, rule).provider_message_ids) <= 3
