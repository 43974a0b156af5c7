"""The circuit breaker of a provider: when it opens, how long, and what closes it."""

from __future__ import annotations

import pytest

from channels.outcome import Accepted, Delivered, Outcome, PermanentFailure, Reason, RetryLater, SentPart
from gateway.breaker import FAILURES_TO_OPEN, OPEN_S_FIRST, OPEN_S_MAX, Breaker, Circuit
from tests.gateway.desk import START

DEAD = RetryLater(reason=Reason(code="link_down"), unreachable=True)
SILENT = RetryLater(reason=Reason(code="no_answer"), maybe_sent=True)
ALIVE: list[Outcome] = [
    Accepted(parts=(SentPart(n=1, provider_message_id="1"),)),
    Delivered(at=START),
    PermanentFailure(reason=Reason(code="no")),
    RetryLater(reason=Reason(code="busy")),
    RetryLater(reason=Reason(code="throttled"), throttled=True),
]


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN):
        breaker.saw(DEAD, now)
    return breaker


@pytest.mark.parametrize("outcome", [DEAD, SILENT])
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
