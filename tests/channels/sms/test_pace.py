"""The pace of a link under throttling, and the waits before it connects again: by the clock, without any."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.sms.smpp.pace import HOLD_FIRST_S, HOLD_MAX_S, PROBE_S, RATE_MIN_PER_S, Pace
from channels.sms.smpp.reconnect import JITTER_SHARE, Reconnect, is_alarm
from channels.sms.smpp.status import STATUSES


def submit(pace: Pace, now: float, seconds: float, limit_per_s: int) -> tuple[int, int]:
    """Submits as fast as the pace allows to an SMSC that takes so many a second; how many it took and throttled."""
    until, taken, throttled = now + seconds, 0, 0
    second, in_second = now, 0
    while now < until:
        now = max(now + 0.001, pace.next_at(now))
        if now - second >= 1:
            second, in_second = now, 0
        pace.sent(now)
        in_second += 1
        if in_second > limit_per_s:
            pace.throttled(now)
            throttled += 1
        else:
            pace.taken(now)
            taken += 1
    return taken, throttled


def test_nothing_limits_a_link_that_was_never_throttled() -> None:
    pace = Pace()
    for _ in range(1000):
        assert pace.next_at(5.0) <= 5.0
        pace.sent(5.0)
    assert pace.rate_per_s is None


def test_a_throttle_holds_the_link_and_halves_its_rate() -> None:
    pace = Pace()
    for n in range(200):
        pace.taken(10 + n / 400)
    pace.throttled(10.6)
    assert pace.next_at(10.6) == pytest.approx(10.6 + HOLD_FIRST_S)
    assert pace.rate_per_s == 100


def test_what_was_under_way_with_a_throttled_message_counts_once() -> None:
    pace = Pace(rate_max_per_s=100)
    for _ in range(50):
        pace.throttled(10.0)
    assert pace.rate_per_s == 50
    assert pace.next_at(10.0) == 11.0


def test_urgent_messages_probe_through_a_hold_two_a_second_and_one_that_is_taken_ends_it() -> None:
    pace = Pace()
    for now in (10.0, 12.0, 16.0):
        assert not pace.sent(now)
        pace.throttled(now)
    assert pace.next_at(16.1) == 20.0
    assert pace.next_at(16.1, urgent=True) == 16.0 + PROBE_S
    assert pace.sent(16.0 + PROBE_S)
    assert pace.next_at(16.6, urgent=True) == 16.0 + 2 * PROBE_S
    pace.taken(16.7)  # of a message that was under way when the hold began: it shows nothing
    assert pace.next_at(16.7) == 20.0
    pace.taken(16.8, probe=True)
    assert pace.next_at(16.8) == 16.8


def test_holds_double_up_to_the_longest_while_nothing_is_taken() -> None:
    pace, now, holds = Pace(), 0.0, []
    for _ in range(8):
        pace.throttled(now)
        holds.append(pace.next_at(now) - now)
        now = pace.next_at(now)
    assert holds == [1, 2, 4, 8, 16, 30, 30, 30]
    pace.taken(now)
    pace.throttled(now)
    assert pace.next_at(now) - now == HOLD_FIRST_S


def test_what_was_taken_of_the_old_burst_does_not_shorten_the_hold() -> None:
    pace = Pace()
    pace.throttled(0.0)
    pace.taken(0.1)
    pace.throttled(1.0)
    assert pace.next_at(1.0) == 3.0


def test_it_recovers_additively_and_in_the_end_wholly() -> None:
    pace = Pace()
    for n in range(200):
        pace.taken(n / 400)
    pace.throttled(0.6)
    rates = []
    for second in range(3, 60):
        pace.next_at(float(second))
        rates.append(pace.rate_per_s)
    steps = [b - a for a, b in itertools.pairwise(rates) if a is not None and b is not None]
    assert steps == pytest.approx([10] * len(steps))
    assert rates[-1] is None


def test_it_finds_its_place_below_the_limit_of_the_smsc() -> None:
    taken, throttled = submit(Pace(), 0.0, 120.0, limit_per_s=100)
    assert taken > 0.5 * 120 * 100
    assert throttled < 0.02 * taken


def test_the_providers_own_limit_is_kept_and_comes_back() -> None:
    pace = Pace(rate_max_per_s=50)
    taken, _ = submit(pace, 0.0, 10.0, limit_per_s=10**9)
    assert taken == pytest.approx(500, rel=0.02)
    pace.throttled(10.0)
    assert pace.rate_per_s == 25
    for second in range(11, 30):
        pace.next_at(float(second))
    assert pace.rate_per_s == 50


@given(st.lists(st.tuples(st.sampled_from("stx"), st.floats(0, 40)), max_size=200))
def test_it_never_stops(history: list[tuple[str, float]]) -> None:
    """Whatever happened, the next message may go within the longest hold and one beat of the slowest rate."""
    pace, now = Pace(), 0.0
    for what, passed in history:
        now += passed
        if what == "s":
            now = max(now, pace.next_at(now))
            pace.sent(now)
        elif what == "t":
            pace.taken(now)
        else:
            pace.throttled(now)
        assert pace.next_at(now) <= now + HOLD_MAX_S + 1 / RATE_MIN_PER_S
        assert pace.rate_per_s is None or pace.rate_per_s >= RATE_MIN_PER_S


def test_a_lost_link_comes_back_ever_more_slowly_until_it_worked() -> None:
    reconnect = Reconnect()
    assert [reconnect.after_loss(0) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    reconnect.worked()
    assert reconnect.after_loss(0) == 0.5
    assert reconnect.after_loss(1) == pytest.approx(1 + JITTER_SHARE)


@pytest.mark.parametrize("status", [0x0D, 0x0E, 0x0F])
def test_a_refused_bind_is_tried_rarely_and_is_an_alarm(status: int) -> None:
    reconnect = Reconnect()
    assert [reconnect.after_bind_status(status, 0) for _ in range(6)] == [30, 60, 120, 240, 300, 300]
    assert is_alarm(status)


def test_a_bind_that_another_session_holds_is_waited_for() -> None:
    reconnect = Reconnect()
    assert [reconnect.after_bind_status(0x05, 0) for _ in range(4)] == [5, 10, 20, 30]
    assert not is_alarm(0x05)


@pytest.mark.parametrize("status", [*STATUSES, 0x400])
def test_every_bind_status_means_a_bounded_wait(status: int) -> None:
    assert 0.5 <= Reconnect().after_bind_status(status, 0.5) <= 300 * (1 + JITTER_SHARE)
