"""Prices: what is held for units, and what is captured for what became of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import MICROS_MAX
from billing.pricing import UNITS_MAX, SettledUnits, charge_for, hold_for
from billing.tariff import PRICE_MICROS_MAX, ChargedOn, Tariff, UnknownEnd

PRICE = 45_000
CHARGED_ON: tuple[ChargedOn, ...] = ("accepted", "delivered")
UNKNOWN_END: tuple[UnknownEnd, ...] = ("capture", "release")

counts = st.integers(0, 50)
settled_units = st.builds(SettledUnits, delivered=counts, failed=counts, unknown=counts, accepted=counts)
tariffs = st.builds(
    Tariff,
    id=st.just(1),
    channel=st.just("sms"),
    prefix=st.just("+33"),
    price_micros=st.integers(0, PRICE_MICROS_MAX),
    charged_on=st.sampled_from(CHARGED_ON),
    unknown_end=st.sampled_from(UNKNOWN_END),
)


def tariff(
    charged_on: ChargedOn = "accepted", unknown_end: UnknownEnd = "capture", price_micros: int = PRICE
) -> Tariff:
    return Tariff(
        id=1, channel="sms", prefix="+33", price_micros=price_micros, charged_on=charged_on, unknown_end=unknown_end
    )


@pytest.mark.parametrize(
    ("what_became", "settled", "on_accepted", "on_delivered", "on_accepted_release", "on_delivered_release"),
    [
        ("refused before any provider took it", SettledUnits(), 0, 0, 0, 0),
        ("three parts, all delivered", SettledUnits(delivered=3), 3, 3, 3, 3),
        ("undelivered by receipt", SettledUnits(failed=3), 3, 0, 3, 0),
        ("taken by a provider without receipts", SettledUnits(accepted=3), 3, 3, 3, 0),
        ("expired without a receipt", SettledUnits(accepted=2), 2, 2, 2, 0),
        ("unsure at the deadline", SettledUnits(unknown=2), 2, 2, 0, 0),
        ("two parts delivered, the last never answered", SettledUnits(delivered=2, unknown=1), 3, 3, 2, 2),
        ("two parts delivered, the last one undelivered", SettledUnits(delivered=2, failed=1), 3, 2, 3, 2),
        ("one of each", SettledUnits(delivered=1, failed=1, unknown=1, accepted=1), 4, 3, 3, 1),
    ],
)
def test_units_are_charged_as_the_tariff_says(
    what_became: str,
    settled: SettledUnits,
    on_accepted: int,
    on_delivered: int,
    on_accepted_release: int,
    on_delivered_release: int,
) -> None:
    for of, units in (
        (tariff("accepted", "capture"), on_accepted),
        (tariff("delivered", "capture"), on_delivered),
        (tariff("accepted", "release"), on_accepted_release),
        (tariff("delivered", "release"), on_delivered_release),
    ):
        assert charge_for(of, settled) == units * PRICE, (what_became, of)


def test_a_resend_over_a_second_provider_is_not_paid_twice() -> None:
    taken_twice = SettledUnits(failed=2, delivered=2)
    held = hold_for(2, tariff())
    assert charge_for(tariff(), taken_twice) == 2 * held


@pytest.mark.parametrize("settled", [SettledUnits(), SettledUnits(delivered=5, failed=5, unknown=5, accepted=5)])
def test_without_a_tariff_or_a_price_nothing_is_held_or_captured(settled: SettledUnits) -> None:
    for free in (None, tariff(price_micros=0)):
        assert hold_for(5, free) == 0
        assert charge_for(free, settled) == 0


@pytest.mark.parametrize(("units", "expected"), [(0, 0), (1, PRICE), (3, 3 * PRICE), (255, 255 * PRICE)])
def test_a_hold_is_units_times_price(units: int, expected: int) -> None:
    assert hold_for(units, tariff()) == expected


def test_the_dearest_hold_there_can_be_is_still_an_amount() -> None:
    assert hold_for(UNITS_MAX, tariff(price_micros=PRICE_MICROS_MAX)) == MICROS_MAX


@pytest.mark.parametrize("units", [-1, UNITS_MAX + 1])
@pytest.mark.parametrize("of", [None, tariff()])
def test_units_beyond_their_bounds_are_refused(units: int, of: Tariff | None) -> None:
    with pytest.raises(ValueError, match="units, not"):
        hold_for(units, of)


@pytest.mark.parametrize("field", ["delivered", "failed", "unknown", "accepted"])
def test_a_negative_count_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match="counts of units"):
        SettledUnits(**{field: -1})


@given(tariffs, counts)
def test_units_that_all_arrived_cost_the_same_under_every_rule(of: Tariff, delivered: int) -> None:
    assert charge_for(of, SettledUnits(delivered=delivered)) == delivered * of.price_micros


@given(st.integers(0, PRICE_MICROS_MAX), settled_units)
def test_the_gentler_rule_never_costs_more(price_micros: int, settled: SettledUnits) -> None:
    charge = {(on, end): charge_for(tariff(on, end, price_micros), settled) for on in CHARGED_ON for end in UNKNOWN_END}
    assert charge["delivered", "release"] <= charge["accepted", "release"] <= charge["accepted", "capture"]
    assert charge["delivered", "release"] <= charge["delivered", "capture"] <= charge["accepted", "capture"]
