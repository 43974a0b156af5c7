"""Times as stored and shown, and the clock that a step of the system's clock cannot throw."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import clock
from gateway.clock import SystemClock, from_micros, rfc3339, to_micros

times = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


@given(at=times)
def test_stored_and_read_to_the_microsecond(at: datetime) -> None:
    assert from_micros(to_micros(at)) == at


def test_shown() -> None:
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == "2026-01-02T03:04:05.000Z"
    assert rfc3339(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000Z"


@given(one=times, other=times)
def test_shown_times_sort_as_they_are(one: datetime, other: datetime) -> None:
    cut, other_cut = (at.replace(microsecond=at.microsecond // 1000 * 1000) for at in (one, other))
    assert (rfc3339(one) < rfc3339(other)) == (cut < other_cut)
    assert (rfc3339(one) == rfc3339(other)) == (cut == other_cut)


class Hands:
    """The two clocks of the machine, moved by hand."""

    def __init__(self) -> None:
        self.wall = 1_767_225_600.0
        self.mono = 50.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.mono += seconds


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(clock, "time", hands)
    return hands


def test_it_follows_the_system_while_that_runs_evenly(hands: Hands) -> None:
    ours = SystemClock()
    for _ in range(100):
        hands.run(7.3)
    assert abs((ours.now() - datetime.fromtimestamp(hands.wall, UTC)).total_seconds()) < 1e-3
    assert ours.monotonic() == hands.mono


@pytest.mark.parametrize("step_s", [3_600.0, -3_600.0, 10.0 * 86_400, -10.0 * 86_400])
def test_a_step_of_the_system_clock_is_walked_off_slowly(hands: Hands, step_s: float) -> None:
    ours = SystemClock()
    before = ours.now()
    hands.wall += step_s
    assert ours.now() == before
    hands.run(100.0)
    elapsed = (ours.now() - before).total_seconds()
    assert abs(elapsed - 100.0) <= 100.0 * SystemClock.SLEW + 1e-6
    assert elapsed > 0


def test_it_never_runs_backwards_and_arrives(hands: Hands) -> None:
    ours = SystemClock()
    hands.wall -= 60.0
    seen = ours.now()
    for _ in range(200):
        hands.run(10.0)
        now = ours.now()
        assert now > seen
        seen = now
    assert abs(seen - datetime.fromtimestamp(hands.wall, UTC)) < timedelta(milliseconds=1)


def test_a_clock_that_stands_still_gives_the_same_time(hands: Hands) -> None:
    ours = SystemClock()
    assert ours.now() == ours.now()
