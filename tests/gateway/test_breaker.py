"""The circuit breaker of a provider: when it opens, how long, and what closes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from channels.outcome import Accepted, Delivered, Outcome, PermanentFailure, Reason, RetryLater, SentPart
from gateway.breaker import FAILURES_TO_OPEN, NOT_OPEN, OPEN_S_FIRST, OPEN_S_MAX, TRIAL_S, Breaker, Circuit, Standing
from gateway.patience import THROTTLED_S, Trouble
from tests.gateway.desk import START

DEAD = RetryLater(reason=Reason(code="link_down"), unreachable=True)
BUSY = RetryLater(reason=Reason(code="busy"))
OURS = PermanentFailure(reason=Reason(code="sender_refused", alarm=True))
THROTTLED = RetryLater(reason=Reason(code="throttled"), throttled=True)
OPENING = RetryLater(reason=Reason(code=NOT_OPEN), unreachable=True, elsewhere=True)
CANNOT_OPEN = RetryLater(reason=Reason(code=NOT_OPEN, alarm=True), unreachable=True, elsewhere=True)
SILENT = RetryLater(reason=Reason(code="no_answer"), maybe_sent=True)
ALIVE: list[Outcome] = [
    Accepted(parts=(SentPart(n=1, provider_message_id="1"),)),
    Delivered(at=START),
    PermanentFailure(reason=Reason(code="no")),
    RetryLater(reason=Reason(code="queue_full"), destination=True),
    RetryLater(reason=Reason(code="busy"), everywhere=True),
]


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN):
        breaker.saw(DEAD, now)
    return breaker


@pytest.mark.parametrize("outcome", [DEAD, SILENT, CANNOT_OPEN, BUSY, OURS])
def test_it_opens_after_several_in_a_row(outcome: Outcome) -> None:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.saw(outcome, 0.0)
    assert breaker.allows(0.0)
    breaker.saw(outcome, 0.0)
    assert breaker.circuit is Circuit.OPEN
    assert not breaker.allows(0.0)
    assert not breaker.available(0.0)


@pytest.mark.parametrize("outcome", ALIVE)
def test_any_answer_shows_that_the_provider_is_there(outcome: Outcome) -> None:
    breaker = Breaker()
    for _ in range(3 * FAILURES_TO_OPEN):
        breaker.saw(DEAD, 0.0)
        breaker.saw(outcome, 0.0)
    assert breaker.circuit is Circuit.CLOSED
    late = opened()
    late.saw(outcome, 1.0)  # of an attempt that was under way
    assert late.circuit is Circuit.CLOSED


def test_throttling_opens_it_once_it_has_lasted_and_nothing_was_taken() -> None:
    breaker = Breaker()
    for n in range(100):
        breaker.saw(THROTTLED, n * THROTTLED_S / 100)
    assert breaker.circuit is Circuit.CLOSED
    breaker.saw(ALIVE[0], THROTTLED_S)  # it had only been too fast
    for _ in range(FAILURES_TO_OPEN):
        breaker.saw(THROTTLED, THROTTLED_S)
    assert breaker.circuit is Circuit.CLOSED
    breaker.saw(THROTTLED, 2 * THROTTLED_S)
    assert breaker.circuit.value == "open"
    assert breaker.standing(3 * THROTTLED_S) == Standing(trouble=Trouble.THROTTLED, for_s=2 * THROTTLED_S)


@pytest.mark.parametrize(
    ("outcome", "trouble"),
    [
        (DEAD, Trouble.UNREACHABLE),
        (CANNOT_OPEN, Trouble.UNREACHABLE),
        (SILENT, Trouble.UNANSWERED),
        (BUSY, Trouble.REFUSING),
        (OURS, Trouble.REFUSED),
        (THROTTLED, Trouble.THROTTLED),
    ],
)
def test_it_tells_the_trouble_and_since_when(outcome: Outcome, trouble: Trouble) -> None:
    breaker = Breaker()
    assert breaker.standing(0.0) is None
    breaker.saw(outcome, 1.0)
    breaker.saw(outcome, 5.0)
    assert breaker.standing(7.0) == Standing(trouble=trouble, for_s=6.0)
    breaker.saw(ALIVE[0], 8.0)
    assert breaker.standing(9.0) is None


def test_what_is_urgent_and_has_nowhere_else_to_go_tries_after_the_shortest_pause() -> None:
    breaker, now = opened(), 0.0
    for _ in range(6):  # trials fail, and the pause has grown to a minute
        now += OPEN_S_MAX
        assert breaker.allows(now)
        breaker.saw(DEAD, now)
    assert not breaker.allows(now + OPEN_S_FIRST)
    assert not breaker.allows_urgent(now + OPEN_S_FIRST - 0.001)
    assert breaker.allows_urgent(now + OPEN_S_FIRST)
    assert not breaker.allows_urgent(now + OPEN_S_FIRST)  # one at a time
    breaker.saw(ALIVE[0], now + OPEN_S_FIRST)
    assert breaker.allows(now + OPEN_S_FIRST)


def test_with_few_slots_that_all_stand_still_it_opens_before_the_fifth() -> None:
    breaker = Breaker()
    breaker.stands_still(0.0)
    assert breaker.circuit is Circuit.CLOSED  # nothing is held against it
    breaker.saw(SILENT, 1.0)
    breaker.stands_still(1.0)
    assert breaker.circuit.value == "open"
    assert breaker.allows(1.0 + OPEN_S_FIRST)


def test_after_the_pause_it_tries() -> None:
    breaker = opened()
    assert not breaker.allows(OPEN_S_FIRST - 0.001)
    assert breaker.available(OPEN_S_FIRST)
    assert breaker.circuit.value == "open"  # asking changes nothing
    assert breaker.allows(OPEN_S_FIRST)
    assert breaker.circuit.value == "half_open"


def test_each_trial_that_fails_doubles_the_pause_up_to_a_bound() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(7):
        start = now
        while not breaker.allows(now):
            now += 0.5
        pauses.append(now - start)
        breaker.saw(DEAD, now)
    assert pauses == [OPEN_S_FIRST, 10, 20, 40, OPEN_S_MAX, OPEN_S_MAX, OPEN_S_MAX]


def test_failures_of_attempts_that_were_under_way_do_not_lengthen_the_pause() -> None:
    breaker = opened()
    for _ in range(100):
        breaker.saw(DEAD, 1.0)
    assert breaker.allows(OPEN_S_FIRST)


def test_a_trial_that_succeeds_closes_it_and_forgets_the_pauses() -> None:
    breaker = opened()
    assert breaker.allows(OPEN_S_FIRST)
    breaker.saw(DEAD, OPEN_S_FIRST)
    assert breaker.allows(OPEN_S_FIRST + 10)
    breaker.saw(ALIVE[0], OPEN_S_FIRST + 10)
    assert breaker.circuit is Circuit.CLOSED
    for _ in range(FAILURES_TO_OPEN):
        breaker.saw(DEAD, 100.0)
    assert breaker.allows(100.0 + OPEN_S_FIRST)


def test_a_channel_that_is_just_opening_has_not_tried_the_provider() -> None:
    breaker = Breaker()
    for _ in range(3 * FAILURES_TO_OPEN):
        breaker.saw(OPENING, 0.0)
    assert breaker.circuit is Circuit.CLOSED
    breaker = opened()
    assert breaker.allows(OPEN_S_FIRST)
    breaker.saw(OPENING, OPEN_S_FIRST)
    assert breaker.circuit is Circuit.HALF_OPEN
    assert breaker.allows(OPEN_S_FIRST)  # the next one tries it


def test_attempts_that_only_waited_for_another_one_count_for_nothing() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.saw(DEAD, 0.0)
        for _ in range(FAILURES_TO_OPEN):
            breaker.saw(replace(DEAD, joined=True), 0.0)
            breaker.saw(replace(BUSY, joined=True), 0.0)
    assert (breaker.failures, breaker.circuit) == (FAILURES_TO_OPEN - 1, Circuit.CLOSED)


def test_one_attempt_tries_at_a_time() -> None:
    breaker = opened()
    assert breaker.allows(OPEN_S_FIRST)
    assert not breaker.available(OPEN_S_FIRST)
    assert not breaker.allows(OPEN_S_FIRST)
    breaker.not_tried()
    assert breaker.available(OPEN_S_FIRST)
    assert breaker.allows(OPEN_S_FIRST)


def test_a_trial_that_takes_long_keeps_nobody_from_trying() -> None:
    breaker, now = opened(), OPEN_S_FIRST
    for _ in range(4):
        assert breaker.allows(now)
        assert not breaker.available(now + TRIAL_S - 0.001)
        assert not breaker.allows(now + TRIAL_S - 0.001)
        now += TRIAL_S
        assert breaker.available(now)
    breaker.saw(DEAD, now)
    assert breaker.circuit is Circuit.OPEN


def test_a_sign_of_life_lets_everybody_through_before_the_trial_has_ended() -> None:
    breaker = opened()
    assert breaker.allows(OPEN_S_FIRST)
    breaker.alive()
    assert breaker.circuit is Circuit.CLOSED
    assert all(breaker.allows(OPEN_S_FIRST) for _ in range(10))
    breaker.saw(ALIVE[0], OPEN_S_FIRST + 60)
    assert (breaker.failures, breaker.circuit) == (0, Circuit.CLOSED)


def test_a_provider_that_answers_and_then_fails_is_not_taken_for_one_that_is_back() -> None:
    breaker = opened()
    assert breaker.allows(OPEN_S_FIRST)
    breaker.alive()
    breaker.saw(DEAD, OPEN_S_FIRST)
    assert not breaker.allows(OPEN_S_FIRST + 10 - 0.001)  # the pause has doubled
    assert breaker.allows(OPEN_S_FIRST + 10)


def test_a_sign_of_life_is_for_a_provider_that_is_being_tried() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.saw(DEAD, 0.0)
        breaker.alive()  # a proxy that says 100 Trying, and 503 after it
    breaker.saw(DEAD, 0.0)
    breaker.alive()
    assert breaker.circuit is Circuit.OPEN
