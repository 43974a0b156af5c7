"""Backoff: waits grow, stay bounded, honour what a provider asked for, and end."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backoff import NOT_BEFORE_S_MAX, BackoffPolicy, next_due

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = BackoffPolicy(attempts_max=5, first_s=2, max_s=300)


def wait_s(attempt_n: int, jitter: float, not_before_s: float | None = None) -> float:
    return (next_due(NOW, attempt_n, POLICY, jitter, not_before_s) - NOW).total_seconds()


@pytest.mark.parametrize(
    ("attempt_n", "shortest_s", "longest_s"),
    [(1, 1, 2), (2, 2, 4), (3, 4, 8), (8, 128, 256), (9, 150, 300), (50, 150, 300), (1_000_000, 150, 300)],
)
def test_the_wait_doubles_up_to_its_bound(attempt_n: int, shortest_s: float, longest_s: float) -> None:
    assert wait_s(attempt_n, 0.0) == shortest_s
    assert wait_s(attempt_n, 0.999999) == pytest.approx(longest_s, rel=1e-5)


@pytest.mark.parametrize(
    ("not_before_s", "shortest_s", "longest_s"),
    [
        (None, 1, 2),
        (0.5, 1, 2),  # our own wait is longer
        (30, 30, 32),  # spread, so that all who were told the same do not come back together
        (86_400, NOT_BEFORE_S_MAX, NOT_BEFORE_S_MAX + 2),
        (-5, 1, 2),
        (math.nan, 1, 2),
        (math.inf, 1, 2),
    ],
)
def test_a_pause_asked_for_is_honoured_within_an_hour(
    not_before_s: float | None, shortest_s: float, longest_s: float
) -> None:
    assert wait_s(1, 0.0, not_before_s) == shortest_s
    assert wait_s(1, 0.999999, not_before_s) == pytest.approx(longest_s, rel=1e-5)


@given(
    st.integers(min_value=-5, max_value=10**9),
    st.floats(min_value=0, max_value=1, exclude_max=True),
    st.none() | st.floats(allow_nan=True, allow_infinity=True),
)
def test_every_wait_is_in_the_future_and_bounded(attempt_n: int, jitter: float, not_before_s: float | None) -> None:
    assert POLICY.first_s / 2 <= wait_s(attempt_n, jitter, not_before_s) <= NOT_BEFORE_S_MAX + POLICY.first_s
