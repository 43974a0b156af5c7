"""Tariffs: which one an address finds, and which make no sense."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.tariff import PREFIX_CHARS_MAX, PRICE_MICROS_MAX, Tariff, TariffError, TariffTable


def tariff(number: int, prefix: str, *, channel: str = "sms", price_micros: int = 45_000) -> Tariff:
    return Tariff(id=number, channel=channel, prefix=prefix, price_micros=price_micros)


@pytest.mark.parametrize(
    ("channel", "address", "expected"),
    [
        ("sms", "+33612345678", 3),
        ("sms", "+33712345678", 2),
        ("sms", "+33", 2),
        ("sms", "+336", 3),
        ("sms", "+3361", 3),
        ("sms", "+33699", 4),
        ("sms", "+33698", 3),
        ("sms", "+3", 1),
        ("sms", "+491701234567", 1),
        ("sms", "38000", 1),
        ("sms", "", 1),
        ("voice", "sip:desk@pbx.example", 6),
        ("voice", "+33612345678", 5),
        ("voice", "+49301234567", None),
        ("email", "a@example.org", None),
    ],
)
def test_the_longest_prefix_wins_and_no_prefix_is_free(channel: str, address: str, expected: int | None) -> None:
    table = TariffTable(
        [
            tariff(2, "+33"),
            tariff(1, ""),
            tariff(4, "+33699"),
            tariff(3, "+336"),
            tariff(5, "+33", channel="voice"),
            tariff(6, "sip:", channel="voice"),
        ]
    )
    found = table.price_for(channel, address)
    assert (found.id if found else None) == expected


def test_without_tariffs_everything_is_free() -> None:
    assert TariffTable([]).price_for("sms", "+33612345678") is None


def test_a_table_takes_any_iterable_once() -> None:
    table = TariffTable(tariff(n, f"+{n}") for n in range(1, 4))
    assert [table.price_for("sms", f"+{n}99") for n in range(1, 4)] == [tariff(n, f"+{n}") for n in range(1, 4)]


def test_two_tariffs_for_one_prefix_are_refused() -> None:
    with pytest.raises(TariffError, match=r"one tariff for sms:\+33, not both 1 .* and 2"):
        TariffTable([tariff(1, "+33"), tariff(2, "+33")])


@given(
    st.dictionaries(st.text("+12", max_size=5), st.integers(1, 99), max_size=12),
    st.text("+12", max_size=8),
)
def test_the_table_agrees_with_looking_at_every_tariff(prefixes: dict[str, int], address: str) -> None:
    found = TariffTable(tariff(number, prefix) for prefix, number in prefixes.items()).price_for("sms", address)
    fitting = [prefix for prefix in prefixes if address.startswith(prefix)]
    assert (found.prefix if found else None) == max(fitting, key=len, default=None)


def test_a_tariff_charges_what_was_accepted_unless_told_otherwise() -> None:
    plain = tariff(1, "+33")
    assert (plain.charged_on, plain.unknown_end, plain.version) == ("accepted", "capture", 1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"channel": ""}, "name of a channel"),
        ({"prefix": "9" * (PREFIX_CHARS_MAX + 1)}, "prefix of at most"),
        ({"price_micros": -1}, "price from 0 to 1000000.00, not -0.000001"),
        ({"price_micros": PRICE_MICROS_MAX + 1}, "price from 0"),
        ({"charged_on": "sent"}, "charged_on"),
        ({"unknown_end": "keep"}, "unknown_end"),
        ({"version": 0}, "version from 1"),
    ],
)
def test_a_tariff_that_makes_no_sense_is_refused(change: dict[str, Any], expected: str) -> None:
    fields: dict[str, Any] = {"id": 1, "channel": "sms", "prefix": "+33", "price_micros": 45_000}
    with pytest.raises(TariffError, match=expected):
        Tariff(**(fields | change))


@pytest.mark.parametrize("price_micros", [0, 1, PRICE_MICROS_MAX])
def test_every_price_within_the_bounds_is_taken(price_micros: int) -> None:
    assert tariff(1, "", price_micros=price_micros).price_micros == price_micros
