"""Amounts and currencies: what is taken, what is refused, and that parsing and formatting are inverses."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.money import (
    MICROS_MAX,
    MICROS_PER_UNIT,
    AmountError,
    CurrencyError,
    format_amount,
    parse_amount,
    parse_currency,
)

micros = st.integers(-MICROS_MAX, MICROS_MAX)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("0.00", 0),
        ("50", 50_000_000),
        ("50.00", 50_000_000),
        ("0.045", 45_000),
        ("0.000001", 1),
        ("1.5", 1_500_000),
        ("007.10", 7_100_000),
        ("0.1", 100_000),
        ("1000000000000", MICROS_MAX),
        ("1000000000000.000000", MICROS_MAX),
        ("999999999999.999999", MICROS_MAX - 1),
    ],
)
def test_an_amount_is_read_to_the_micro(text: str, expected: int) -> None:
    assert parse_amount(text) == expected
    assert parse_amount(text, allow_negative=True) == expected
    assert parse_amount(f"-{text}", allow_negative=True) == -expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1 ",
        " 1",
        "1\n",
        ".5",
        "5.",
        ".",
        "1.0000001",
        "0.0450000",
        "1e3",
        "1E-2",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "+1",
        "--1",
        "-",
        "1-",
        "1,5",
        "1,000.00",
        "1_000",
        "0x10",
        "1.2.3",
        "€5",
        "5 EUR",
        "٣",  # arabic-indic three: int() would take it
        "\uff15",  # full-width five
        "½",
        "²",
        "1\x00",
    ],
)
@pytest.mark.parametrize("allow_negative", [False, True])
def test_anything_else_is_refused_with_what_was_expected(text: str, allow_negative: bool) -> None:
    with pytest.raises(AmountError, match=r"expected a decimal number .*50\.00"):
        parse_amount(text, allow_negative=allow_negative)


def test_a_sign_is_refused_unless_asked_for() -> None:
    with pytest.raises(AmountError, match="without a sign"):
        parse_amount("-1.50")
    assert parse_amount("-1.50", allow_negative=True) == -1_500_000
    assert parse_amount("-0.00", allow_negative=True) == 0


@pytest.mark.parametrize("text", ["1000000000000.000001", "1000000000001", "9999999999999", "-1000000000000.000001"])
def test_beyond_the_bound_is_refused(text: str) -> None:
    with pytest.raises(AmountError, match="at most 1000000000000"):
        parse_amount(text, allow_negative=True)


def test_a_refusal_never_quotes_more_than_a_little() -> None:
    with pytest.raises(AmountError) as refusal:
        parse_amount("9" * 1_000_000)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.00"),
        (50_000_000, "50.00"),
        (45_000, "0.045"),
        (-1_500_000, "-1.50"),
        (1, "0.000001"),
        (-1, "-0.000001"),
        (100_000, "0.10"),
        (123_456_789, "123.456789"),
        (1_230_000, "1.23"),
        (MICROS_MAX, "1000000000000.00"),
        (-MICROS_MAX, "-1000000000000.00"),
    ],
)
def test_an_amount_is_shown_with_two_decimals_or_as_many_as_it_needs(amount: int, text: str) -> None:
    assert format_amount(amount) == text


@given(micros)
@example(0)
@example(-1)
def test_reading_what_was_shown_gives_the_same_amount(amount: int) -> None:
    text = format_amount(amount)
    assert parse_amount(text, allow_negative=True) == amount
    assert re.fullmatch(r"-?[0-9]+\.([0-9]{2}|[0-9]{2,5}[1-9])", text)
    assert Decimal(text) == Decimal(amount) / MICROS_PER_UNIT


@given(st.decimals(0, 10**12, places=6) | st.decimals(0, 1000, places=2))
def test_reading_agrees_with_decimal_arithmetic(value: Decimal) -> None:
    assert parse_amount(f"{value:f}") == value * MICROS_PER_UNIT


@given(st.text(max_size=30) | st.from_regex(r"[-+]?[0-9.eE_,]{0,20}", fullmatch=True))
def test_any_text_is_an_amount_within_the_bound_or_an_amount_error(text: str) -> None:
    try:
        amount = parse_amount(text, allow_negative=True)
    except AmountError:
        return
    assert abs(amount) <= MICROS_MAX
    assert parse_amount(format_amount(amount), allow_negative=True) == amount


@pytest.mark.parametrize("text", ["EUR", "USD", "CHF", "XTS", "credit"])
def test_a_currency_is_three_letters_or_credit(text: str) -> None:
    assert parse_currency(text) == text


@pytest.mark.parametrize(
    "text", ["", "eur", "Eur", "EURO", "EU", "E1R", "ÉUR", "EUR\n", " EUR", "CREDIT", "Credit", "€"]
)
def test_any_other_currency_is_refused(text: str) -> None:
    with pytest.raises(CurrencyError, match="three upper-case letters"):
        parse_currency(text)
