"""Steps as occurrences in time, whom each tries, and their stored form."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.escalation import (
    OCCURRENCES_MAX,
    Occurrence,
    Recipient,
    Step,
    TooManyOccurrencesError,
    due_at,
    is_repeat,
    is_repeat_in,
    occurrences,
    plan_from_json,
    plan_to_json,
    recipients_from_json,
    recipients_to_json,
    targets,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA = Recipient(person="ada", language="fr", addresses=("sms:+331", "email:ada@example.org"))
BOB = Recipient(person="bob", addresses=("sms:+332",))

recipients = st.lists(
    st.builds(
        Recipient,
        person=st.text(),
        language=st.text(max_size=5),
        addresses=st.lists(st.text(min_size=1), min_size=1, max_size=3).map(tuple),
    ),
    max_size=3,
).map(tuple)
plans = st.lists(
    st.builds(
        Occurrence,
        after_s=st.integers(0, 10**6),
        channels=st.lists(st.text(), max_size=2).map(tuple),
        recipients=st.none() | recipients,
    ),
    max_size=4,
).map(tuple)


def test_without_steps_everybody_is_tried_at_once() -> None:
    assert occurrences([]) == (Occurrence(after_s=0),)


def test_repeats_and_steps_are_one_line_in_time() -> None:
    steps = [Step(after_s=0, channels=("sms",), repeat=2, every_s=60), Step(after_s=90, channels=("voice",))]
    found = [(one.after_s, one.channels[0]) for one in occurrences(steps)]
    assert found == [(0, "sms"), (60, "sms"), (90, "voice"), (120, "sms")]


def test_steps_of_one_time_keep_their_order() -> None:
    steps = [Step(channels=("voice",)), Step(channels=("sms",))]
    assert [one.channels[0] for one in occurrences(steps)] == ["voice", "sms"]


def test_occurrences_are_bounded() -> None:
    assert len(occurrences([Step(repeat=OCCURRENCES_MAX - 1)])) == OCCURRENCES_MAX
    with pytest.raises(TooManyOccurrencesError):
        occurrences([Step(repeat=OCCURRENCES_MAX)])


def test_when_each_is_due() -> None:
    plan = occurrences([Step(after_s=5, repeat=1, every_s=10)])
    assert [due_at(plan, n, NOW) for n in range(3)] == [NOW + timedelta(seconds=5), NOW + timedelta(seconds=15), None]


def test_whom_an_occurrence_tries() -> None:
    everybody = targets(Occurrence(after_s=0), (ADA, BOB))
    assert [(n, address) for n, _, address in everybody] == [
        (0, "sms:+331"),
        (0, "email:ada@example.org"),
        (1, "sms:+332"),
    ]
    by_mail = targets(Occurrence(after_s=0, channels=("email",)), (ADA, BOB))
    assert [address for _, _, address in by_mail] == ["email:ada@example.org"]
    others = targets(Occurrence(after_s=0, recipients=(BOB,)), (ADA,))
    assert [recipient for _, recipient, _ in others] == [BOB]
    assert targets(Occurrence(after_s=0, recipients=()), (ADA,)) == []


@given(plan=plans)
def test_a_plan_is_stored_and_read(plan: tuple[Occurrence, ...]) -> None:
    assert plan_from_json(plan_to_json(plan)) == plan


@given(everybody=recipients)
def test_recipients_are_stored_and_read(everybody: tuple[Recipient, ...]) -> None:
    assert recipients_from_json(recipients_to_json(everybody)) == everybody


@given(plans, st.lists(st.integers(0, 3), max_size=3), st.integers(0, 8))
def test_a_repeat_is_told_by_how_it_is_stored(plan: tuple[Occurrence, ...], again: list[int], n: int) -> None:
    whole = (*plan, *(replace(plan[one], after_s=10**7) for one in again if one < len(plan)))
    with mock.patch("gateway.escalation.LARGE_CHARS", 0):
        assert is_repeat_in(plan_to_json(whole), n) is is_repeat(whole, n)
    assert is_repeat_in(plan_to_json(whole), n) is is_repeat(whole, n)
