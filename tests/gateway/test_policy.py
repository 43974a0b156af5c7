"""What is tried next for a delivery: the one place that decides on retries and fail-over, row by row of its table."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.outcome import PermanentFailure, Reason, RetryLater
from gateway.backoff import NOT_BEFORE_S_MAX, BackoffPolicy
from gateway.delivery import Decision, Delivery, GiveUp, NextAttempt
from gateway.patience import (
    ANEW_SHARE,
    ANSWER_S,
    COSTS,
    DOUBT_S_MAX,
    FREE_WAIT_S_MAX,
    URGENT,
    URGENT_DOUBT_S,
    URGENT_TRIAL_S,
    WAIT_S_MAX,
    Move,
    Trouble,
    Wait,
    trouble_of,
)
from gateway.policy import RetryPolicy
from gateway.routing import Route, Routes
from tests.gateway.test_delivery import DEADLINE, NOW, a_delivery

ATTEMPTS_MAX = 3
LAST = ATTEMPTS_MAX - 1  # tries of a delivery whose present attempt is the last one
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "patience.md"
EVERY_TROUBLE = pytest.mark.parametrize("trouble", Trouble)
GOES_ON = [trouble for trouble, cost in COSTS.items() if not cost.gives_up]
SINGLE_S = 3_000.0  # no wait of the table is longer


def policy(*down: str, providers: tuple[str, ...] = ("a", "b", "c"), **changes: Any) -> RetryPolicy:
    plain = RetryPolicy(
        routes=Routes([Route(channel="sms", prefix="+33", providers=providers)], {}),
        providers=frozenset(providers),
        backoff=BackoffPolicy(attempts_max=ATTEMPTS_MAX, first_s=2.0, max_s=300.0),
        lease_s=30.0,
        unsure_s=60.0,
        available=lambda provider: provider not in down,
        jitter=lambda: 0.5,
    )
    return replace(plain, **changes)


def tried(tries: int = 0, *, epoch: int = 1, **changes: Any) -> Delivery:
    return a_delivery(tries=tries, epoch=epoch, chain=epoch, **changes)


def next_of(decision: Decision) -> str | None:
    return decision.provider if isinstance(decision, NextAttempt) else None


def wait_s(decision: Decision) -> float:
    assert isinstance(decision, NextAttempt)
    return (decision.at - NOW).total_seconds()


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_page_says_what_the_table_says() -> None:
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")]
        for row in re.findall(r"^\| \*\*.*$", PAGE.read_text(), re.M)
    ]
    assert rows == [
        [
            f"**{trouble.value}**",
            "yes" if cost.counts else "no",
            cost.urgent.value,
            cost.others.value,
            cost.wait.value,
            "failed" if cost.gives_up else "waits on, until the deadline",
            cost.link.value,
        ]
        for trouble, cost in COSTS.items()
    ]


def test_the_page_says_the_bounds() -> None:
    text = PAGE.read_text()
    for bound_s in (ANSWER_S, URGENT_DOUBT_S, FREE_WAIT_S_MAX, *WAIT_S_MAX.values(), *DOUBT_S_MAX.values()):
        assert f"{bound_s:,.0f} s".replace(",", " ") in text.replace(",", " ")


def test_every_trouble_has_a_row_and_every_outcome_a_trouble() -> None:
    assert set(COSTS) == set(Trouble)
    flags = ("maybe_sent", "throttled", "unreachable", "elsewhere", "destination", "everywhere", "joined")
    found = set()
    for values in itertools.product([False, True], repeat=len(flags)):
        marks: dict[str, Any] = dict(zip(flags, values, strict=True))
        found.add(trouble_of(RetryLater(reason=Reason(code="x"), **marks)))
    for everywhere in (False, True):
        found.add(trouble_of(PermanentFailure(reason=Reason(code="x"), everywhere=everywhere)))
    assert found == set(Trouble)


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ({}, Trouble.REFUSING),
        ({"throttled": True}, Trouble.THROTTLED),
        ({"unreachable": True}, Trouble.UNREACHABLE),
        ({"unreachable": True, "elsewhere": True}, Trouble.UNABLE),
        ({"maybe_sent": True, "throttled": True}, Trouble.UNANSWERED),
        ({"destination": True}, Trouble.DESTINATION),
        ({"everywhere": True}, Trouble.NOT_REACHED),
    ],
)
def test_what_an_outcome_ran_into(marks: dict[str, Any], expected: Trouble) -> None:
    assert trouble_of(RetryLater(reason=Reason(code="x"), **marks)) is expected


# --- moving on -------------------------------------------------------------------------------------------------------


@EVERY_TROUBLE
@pytest.mark.parametrize("urgency", range(4))
@pytest.mark.parametrize("worn", [False, True])
@pytest.mark.parametrize("opened", [False, True])
def test_when_the_next_provider_is_asked(trouble: Trouble, urgency: int, worn: bool, opened: bool) -> None:
    cost = COSTS[trouble]
    move = cost.urgent if urgency <= URGENT else cost.others
    decision = policy(*("a" if opened else "")).after(tried(LAST if worn else 0, urgency=urgency), trouble, NOW)
    if move is Move.NEVER:
        assert decision == GiveUp()
    elif move is Move.AT_ONCE or opened or (worn and cost.counts):
        assert decision == NextAttempt(at=NOW, provider="b", used_up=cost.gives_up and (worn or cost.wait is Wait.NONE))
    else:
        assert next_of(decision) == "a"
        assert wait_s(decision) > 0


@pytest.mark.parametrize("trouble", GOES_ON)
@pytest.mark.parametrize("urgency", range(4))
@pytest.mark.parametrize("down", [("b", "c"), ("a", "b", "c")])
def test_where_no_other_is_available_it_waits_for_the_same(
    trouble: Trouble, urgency: int, down: tuple[str, ...]
) -> None:
    for tries in (0, LAST, 50):
        decision = policy(*down).after(tried(tries, epoch=tries + 1, urgency=urgency), trouble, NOW)
        round_the_route = "a" in down and urgency <= URGENT and COSTS[trouble].urgent is Move.AT_ONCE
        assert next_of(decision) == ("b" if round_the_route else "a")
        assert wait_s(decision) > 0


@pytest.mark.parametrize("trouble", [trouble for trouble in GOES_ON if COSTS[trouble].urgent is Move.AT_ONCE])
@pytest.mark.parametrize("urgency", range(4))
def test_an_urgent_one_without_another_tries_a_circuit_that_was_open_for_some_seconds(
    trouble: Trouble, urgency: int
) -> None:
    all_down = policy("a", "b", "c", tried_by_urgent=lambda provider: provider == "c")
    decision = all_down.after(tried(urgency=urgency), trouble, NOW)
    assert (next_of(decision), wait_s(decision) == 0) == (("c", True) if urgency <= URGENT else ("a", False))


def test_a_pause_that_one_asks_for_does_not_keep_an_urgent_one_from_the_others() -> None:
    for urgency in range(4):
        lasting = replace(tried(urgency=urgency), deadline_at=NOW + timedelta(days=1))
        decision = policy("b", "c").after(lasting, Trouble.UNABLE, NOW, not_before_s=3_000)
        assert next_of(decision) == ("b" if urgency <= URGENT else "a")
        assert wait_s(decision) == (URGENT_TRIAL_S if urgency <= URGENT else pytest.approx(3_000, abs=10))


@pytest.mark.parametrize("waited_s", [0, 60, 96, 600, 4 * 3_600])
def test_where_all_are_in_trouble_copies_become_rarer_as_it_lasts(waited_s: int) -> None:
    for urgency in range(URGENT + 1):
        delivery = replace(tried(urgency=urgency), created_at=NOW - timedelta(seconds=waited_s))
        apart_s = max(ANSWER_S, waited_s / ANEW_SHARE)
        assert doubt_s(policy("a", "b", "c"), delivery) == apart_s
        begun = policy("a", "b", "c").doubt_until(delivery, NOW, NOW - timedelta(seconds=ANSWER_S))
        assert (begun - NOW).total_seconds() == apart_s - ANSWER_S  # the attempt's own time is part of it


@pytest.mark.parametrize("trouble", GOES_ON)
@pytest.mark.parametrize("urgency", range(4))
def test_nothing_but_a_refusal_ends_it_while_there_is_time(trouble: Trouble, urgency: int) -> None:
    """However often it was tried, and over however many providers."""
    for providers, tries, epoch in itertools.product((("a",), ("a", "b")), (0, LAST, 99), (1, 100, 100_000)):
        for exhausted in ((), ("b",)):
            delivery = tried(tries, epoch=epoch, urgency=urgency, exhausted=exhausted)
            assert isinstance(policy(providers=providers).after(delivery, trouble, NOW), NextAttempt)


def test_an_urgent_one_goes_round_the_route_and_then_waits() -> None:
    decisions = []
    delivery = tried(urgency=0)
    for n in range(6):
        decision = policy().after(delivery, Trouble.REFUSING, NOW)
        assert isinstance(decision, NextAttempt)
        decisions.append((decision.provider, decision.at > NOW))
        delivery = replace(delivery, provider=decision.provider, epoch=n + 2)
    assert decisions == [("b", False), ("c", False), ("a", True)] * 2


@pytest.mark.parametrize(
    ("exhausted", "down", "expected"),
    [((), (), "b"), ((), ("b",), "c"), (("b",), (), "c"), ((), ("b", "c"), "b"), (("b", "c"), (), None)],
)
def test_after_a_refusal(exhausted: tuple[str, ...], down: tuple[str, ...], expected: str | None) -> None:
    decision = policy(*down).after(tried(exhausted=exhausted), Trouble.REFUSED, NOW)
    assert next_of(decision) == expected
    assert isinstance(decision, GiveUp) == (expected is None)


def test_a_wait_beyond_the_deadline_goes_to_the_next_provider() -> None:
    short = replace(tried(), deadline_at=NOW + timedelta(seconds=1))
    assert policy().after(short, Trouble.REFUSING, NOW) == NextAttempt(at=NOW, provider="b")


def test_without_a_route_nothing_is_left() -> None:
    assert policy().refused(tried(LAST, address="sms:+44"), NOW) == GiveUp()


@pytest.mark.parametrize(("providers", "expected"), [(("b", "c"), "b"), ((), None)])
def test_a_provider_that_is_no_longer_configured(providers: tuple[str, ...], expected: str | None) -> None:
    assert policy(providers=providers).orphaned(tried()) == expected


# --- waiting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", GOES_ON)
@pytest.mark.parametrize("urgency", range(4))
def test_waits_grow_up_to_a_bound(trouble: Trouble, urgency: int) -> None:
    waits = []
    for n in range(1, 40):
        delivery = tried(n - 1 if COSTS[trouble].counts else 0, epoch=n, urgency=urgency)
        waits.append(wait_s(policy(providers=("a",)).after(delivery, trouble, NOW)))
    assert waits == sorted(waits)
    assert waits[2] > waits[0]
    longest_s = min(WAIT_S_MAX[urgency], FREE_WAIT_S_MAX if COSTS[trouble].wait is Wait.SHORT else math.inf)
    assert longest_s / 2 <= waits[-1] <= longest_s


def test_the_longest_wait_of_the_settings_counts_where_it_is_shorter() -> None:
    quick = policy(providers=("a",), backoff=BackoffPolicy(attempts_max=1, first_s=0.1, max_s=1.0))
    assert wait_s(quick.after(tried(99, epoch=100, urgency=0), Trouble.REFUSING, NOW)) <= 1.0


@pytest.mark.parametrize(
    ("asked_s", "least_s", "most_s"),
    [
        (None, 0.5, 1.0),
        (0.0, 0.5, 1.0),
        (-5.0, 0.5, 1.0),
        (20.0, 20.0, 21.0),
        (1e12, NOT_BEFORE_S_MAX, NOT_BEFORE_S_MAX + 1),
        (math.inf, 0.5, 1.0),
        (math.nan, 0.5, 1.0),
    ],
)
def test_a_pause_that_a_provider_asks_for(asked_s: float | None, least_s: float, most_s: float) -> None:
    lasting = replace(tried(), deadline_at=NOW + timedelta(days=1))
    decision = policy().after(lasting, Trouble.THROTTLED, NOW, not_before_s=asked_s)
    assert next_of(decision) == "a"
    assert least_s <= wait_s(decision) <= most_s


# --- doubt -----------------------------------------------------------------------------------------------------------


def doubt_s(chosen: RetryPolicy, delivery: Delivery) -> float:
    return (chosen.doubt_until(delivery, NOW) - NOW).total_seconds()


def test_times() -> None:
    assert policy().lease_until(NOW) == NOW + timedelta(seconds=30)
    assert doubt_s(policy(), tried()) == 60
    assert doubt_s(policy(deaf=frozenset({"a"})), tried()) == 0


@pytest.mark.parametrize("urgency", range(4))
@pytest.mark.parametrize("down", [(), ("b", "c")])
@pytest.mark.parametrize("resend", [False, True])
def test_how_long_an_answer_is_waited_for(urgency: int, down: tuple[str, ...], resend: bool) -> None:
    delivery = tried(urgency=urgency, resend=resend)
    urgent_with_another = urgency <= URGENT and resend and not down
    assert policy(*down).answer_s(delivery) == (ANSWER_S if urgent_with_another else None)
    assert (doubt_s(policy(*down), delivery) == 0) is urgent_with_another


@pytest.mark.parametrize("urgency", range(4))
@pytest.mark.parametrize("deaf", [frozenset(), frozenset({"a"})])
def test_doubts_double_up_to_a_bound(urgency: int, deaf: frozenset[str]) -> None:
    alone = policy(providers=("a",), deaf=deaf)
    doubts = [doubt_s(alone, tried(n - 1, epoch=n, urgency=urgency)) for n in range(1, 30)]
    first_s = URGENT_DOUBT_S if urgency <= URGENT else 60
    assert doubts[:3] == ([0, first_s, 2 * first_s] if deaf else [first_s, 2 * first_s, 4 * first_s])
    assert doubts[-1] == DOUBT_S_MAX[urgency]
    lasting = sum(itertools.takewhile(lambda total: total <= 4 * 3_600, itertools.accumulate(doubts)))
    assert lasting > 0
    copies = sum(1 for total in itertools.accumulate(doubts) if total <= 4 * 3_600)
    assert copies <= 25  # a provider that swallows everything and says nothing does not get one a minute


@pytest.mark.parametrize(
    ("resend", "tries", "urgency", "down", "expected"),
    [
        (False, 0, 2, (), None),
        (False, 0, 0, (), None),
        (True, 0, 2, (), "a"),
        (True, 0, 2, ("a",), "b"),
        (True, LAST, 2, (), "b"),
        (True, 0, 0, (), "b"),
        (True, 0, 0, ("b", "c"), "a"),
    ],
)
def test_after_a_doubt(resend: bool, tries: int, urgency: int, down: tuple[str, ...], expected: str | None) -> None:
    assert next_of(policy(*down).doubtful(tried(tries, resend=resend, urgency=urgency), NOW)) == expected


# --- everything at once ----------------------------------------------------------------------------------------------


@given(
    trouble=st.sampled_from(Trouble),
    urgency=st.integers(0, 3),
    provider=st.sampled_from(["a", "b", "c", "gone"]),
    exhausted=st.lists(st.sampled_from(["a", "b", "c"]), unique=True).map(tuple),
    down=st.frozensets(st.sampled_from(["a", "b", "c"])),
    tries=st.integers(0, 10),
    epoch=st.integers(1, 10**6),
    asked_s=st.none() | st.floats(),
)
def test_whatever_happens_it_goes_on_soon_or_ends_for_a_reason(
    trouble: Trouble,
    urgency: int,
    provider: str,
    exhausted: tuple[str, ...],
    down: frozenset[str],
    tries: int,
    epoch: int,
    asked_s: float | None,
) -> None:
    delivery = tried(tries, epoch=epoch, urgency=urgency, provider=provider, exhausted=exhausted)
    decision = policy(*down).after(delivery, trouble, NOW, not_before_s=asked_s)
    if isinstance(decision, GiveUp):
        assert COSTS[trouble].gives_up
        return
    assert decision.provider == provider or decision.provider not in exhausted
    assert NOW <= decision.at <= NOW + timedelta(seconds=NOT_BEFORE_S_MAX + SINGLE_S)
    assert decision.at > NOW or decision.provider != provider  # nobody is asked again and again without a pause
    assert NOW <= policy(*down).doubt_until(delivery, NOW) <= DEADLINE
