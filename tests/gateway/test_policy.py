"""What is tried next for a delivery: the one place that decides on retries and fail-over."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.backoff import NOT_BEFORE_S_MAX, BackoffPolicy, GiveUp
from gateway.delivery import Delivery, NextAttempt
from gateway.policy import RetryPolicy
from gateway.routing import Route, Routes
from tests.gateway.test_delivery import NOW, a_delivery

ATTEMPTS_MAX = 3
LAST = ATTEMPTS_MAX - 1  # tries of a delivery whose present attempt is the last one


def policy(*down: str, providers: tuple[str, ...] = ("a", "b", "c")) -> RetryPolicy:
    return RetryPolicy(
        routes=Routes([Route(channel="sms", prefix="+33", providers=providers)], {}),
        providers=frozenset(providers),
        backoff=BackoffPolicy(attempts_max=ATTEMPTS_MAX, first_s=2.0, max_s=60.0),
        lease_s=30.0,
        unsure_s=60.0,
        available=lambda provider: provider not in down,
        jitter=lambda: 0.5,
    )


def tried(tries: int = 0, **changes: Any) -> Delivery:
    return a_delivery(tries=tries, **changes)


def next_of(decision: object) -> str | None:
    return decision.provider if isinstance(decision, NextAttempt) else None


def test_times() -> None:
    assert policy().lease_until(NOW) == NOW + timedelta(seconds=30)
    assert policy().doubt_until("a", NOW) == NOW + timedelta(seconds=60)
    assert replace(policy(), deaf=frozenset({"a"})).doubt_until("a", NOW) == NOW


@pytest.mark.parametrize(
    ("tries", "exhausted", "down", "expected"),
    [
        (0, (), (), "a"),
        (0, (), ("b", "c"), "a"),
        (0, (), ("a",), "b"),
        (0, (), ("a", "b"), "c"),
        (0, (), ("a", "b", "c"), "a"),
        (LAST, (), (), "b"),
        (LAST, (), ("b",), "c"),
        (LAST, (), ("b", "c"), "b"),
        (LAST, ("b",), (), "c"),
        (LAST, ("b", "c"), (), None),
    ],
)
def test_after_a_failure_that_counts(
    tries: int, exhausted: tuple[str, ...], down: tuple[str, ...], expected: str | None
) -> None:
    decision = policy(*down).failed(tried(tries, exhausted=exhausted), NOW)
    assert next_of(decision) == expected
    if isinstance(decision, NextAttempt):
        assert (decision.at > NOW) == (expected == "a")


def test_a_wait_beyond_the_deadline_goes_to_the_next_provider() -> None:
    short = replace(tried(), deadline_at=NOW + timedelta(seconds=1))
    assert policy().failed(short, NOW) == NextAttempt(at=NOW, provider="b")


@pytest.mark.parametrize(
    ("exhausted", "down", "expected"),
    [((), (), "b"), ((), ("b",), "c"), (("b",), (), "c"), ((), ("b", "c"), "b"), (("b", "c"), (), None)],
)
def test_after_a_refusal(exhausted: tuple[str, ...], down: tuple[str, ...], expected: str | None) -> None:
    decision = policy(*down).refused(tried(exhausted=exhausted), NOW)
    assert next_of(decision) == expected
    assert isinstance(decision, GiveUp) == (expected is None)


@pytest.mark.parametrize(
    ("asked_s", "least_s", "most_s"),
    [
        (None, 1.0, 1.0),
        (0.0, 1.0, 1.0),
        (-5.0, 1.0, 1.0),
        (20.0, 20.0, 20.0),
        (1e12, 1.0, NOT_BEFORE_S_MAX),
        (math.inf, 1.0, NOT_BEFORE_S_MAX),
        (math.nan, 1.0, NOT_BEFORE_S_MAX),
    ],
)
def test_after_a_throttle_the_same_provider_soon(asked_s: float | None, least_s: float, most_s: float) -> None:
    decision = policy().throttled(tried(LAST), NOW, not_before_s=asked_s)
    assert isinstance(decision, NextAttempt)
    assert decision.provider == "a"
    assert least_s <= (decision.at - NOW).total_seconds() <= most_s


@pytest.mark.parametrize(("down", "expected"), [((), "a"), (("a",), "b"), (("a", "b"), "c"), (("a", "b", "c"), "a")])
def test_without_a_link(down: tuple[str, ...], expected: str) -> None:
    decision = policy(*down).unreachable(tried(LAST), NOW)
    assert isinstance(decision, NextAttempt)
    assert decision.provider == expected
    assert (decision.at > NOW) == (expected == "a")  # nobody is asked again and again without a pause


@pytest.mark.parametrize(
    ("resend", "tries", "down", "expected"),
    [
        (False, 0, (), None),
        (True, 0, (), "a"),
        (True, 0, ("a",), "b"),
        (True, LAST, (), "b"),
    ],
)
def test_after_a_doubt(resend: bool, tries: int, down: tuple[str, ...], expected: str | None) -> None:
    assert next_of(policy(*down).doubtful(tried(tries, resend=resend), NOW)) == expected


def test_without_a_route_nothing_is_left() -> None:
    stray = tried(LAST, address="sms:+44")
    assert policy().refused(stray, NOW) == GiveUp()


@pytest.mark.parametrize(("providers", "expected"), [(("b", "c"), "b"), ((), None)])
def test_a_provider_that_is_no_longer_configured(providers: tuple[str, ...], expected: str | None) -> None:
    assert policy(providers=providers).orphaned(tried()) == expected
