"""Whom the steps of an alert try: everybody who is named, or the request and the rule are refused by the field."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.alert_request import RecipientIn, StepIn
from gateway.escalation import Occurrence, Recipient, targets
from gateway.reach import gaps
from tests.gateway.api_desk import ApiDesk, alert, running
from tests.gateway.settings_desk import CARRIER, Desk

ANN, BOSS = "sms:+33612345678", "sms:+33612345679"
RULE = """
[[rules]]
name = "night"
account = "acme"
recipients = [{name = "Ann", addresses = ["sms:+33612345678"]}, "sms:+33612345679"]
"""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    async with running(tmp_path) as desk:
        yield desk


async def refused(desk: ApiDesk, recipients: list[Any], *steps: dict[str, Any]) -> str:
    """The field that is refused, and the code; "" where the alert is taken."""
    client = desk.client(await desk.key("submitter", "acme"))
    answers = [
        await client.post("/v1/alerts", json=alert(dry_run=dry_run, recipients=recipients, steps=list(steps)))
        for dry_run in (True, False)
    ]
    if [answer.status_code for answer in answers] == [200, 202]:
        return ""
    assert [answer.status_code for answer in answers] == [422, 422]
    (error,) = answers[0].json()["errors"]
    assert "expected" in error["detail"]
    return f"{error['field']} {error['code']}"


async def test_case_1_15_a_step_that_would_try_nobody_is_refused_by_its_field(api: ApiDesk) -> None:
    for channels in (["email"], ["emial"], ["SMS"]):
        assert await refused(api, [ANN], {"channels": channels}) == "steps[0].channels nobody_to_reach"
        assert await refused(api, [ANN], {}, {"channels": channels}) == "steps[1].channels nobody_to_reach"
        own = {"recipients": [BOSS], "channels": channels}
        assert await refused(api, [ANN], {}, own) == "steps[1].channels nobody_to_reach"
    assert await refused(api, [ANN], {"channels": ["voice", "sms"]}) == ""


async def test_case_1_15_a_recipient_whom_no_step_tries_is_refused_by_the_field(api: ApiDesk) -> None:
    later = {"after_s": 300, "recipients": [BOSS]}
    assert await refused(api, [ANN], later) == "recipients[0] never_tried"
    assert await refused(api, [BOSS, ANN], later) == "recipients[1] never_tried"
    assert await refused(api, [ANN], {}, later) == ""
    assert await refused(api, [BOSS], later) == ""
    assert await refused(api, ["sms:+33 6 12 34 56 79"], later) == ""  # one address, however it is written
    named = {"name": "Ann", "addresses": [ANN]}
    assert await refused(api, [named], {"recipients": [{"name": "ann ", "addresses": [BOSS]}]}) == ""


@pytest.mark.parametrize(
    ("steps", "line", "key"),
    [
        ('[[rules.steps]]\nchannels = ["email"]\n', 13, "rules[0].steps[0].channels"),
        ('[[rules.steps]]\n[[rules.steps]]\nchannels = ["smss"]\n', 14, "rules[0].steps[1].channels"),
        ('[[rules.steps]]\nafter_s = 300\nrecipients = ["sms:+33612345679"]\n', 11, "rules[0].recipients[0]"),
    ],
)
def test_case_1_15_a_rule_whose_steps_pass_somebody_over_is_a_problem_of_the_file(
    tmp_path: Path, steps: str, line: int, key: str
) -> None:
    problems = Desk(tmp_path).problems(CARRIER + RULE + steps)
    assert any(problem.startswith(f"tocsin.toml:{line}: {key}: expected ") for problem in problems)


def test_case_1_15_a_rule_whose_steps_try_everybody_is_no_problem(tmp_path: Path) -> None:
    later = '[[rules.steps]]\nafter_s = 300\nrecipients = ["sms:+33612345670"]\n'
    Desk(tmp_path).load(CARRIER + RULE + '[[rules.steps]]\nchannels = ["sms"]\n' + later)


ADDRESSES = st.sampled_from(["sms:1", "sms:2", "voice:1", "email:a", "email:b"])
PEOPLE = st.lists(st.builds(RecipientIn, addresses=st.lists(ADDRESSES, min_size=1, max_size=2)), min_size=1, max_size=3)
STEPS = st.lists(
    st.builds(
        StepIn,
        channels=st.lists(st.sampled_from(["sms", "voice", "email", "fax"]), max_size=2),
        recipients=st.none() | PEOPLE,
    ),
    max_size=3,
)


@given(PEOPLE, STEPS)
def test_where_no_gap_is_named_every_step_tries_somebody_and_everybody_is_tried(
    people: list[RecipientIn], steps: list[StepIn]
) -> None:
    def of(given: list[RecipientIn] | tuple[RecipientIn, ...]) -> tuple[Recipient, ...]:
        return tuple(Recipient(person=one.addresses[0], addresses=one.addresses) for one in given)

    plan = [
        Occurrence(
            after_s=0, channels=step.channels, recipients=None if step.recipients is None else of(step.recipients)
        )
        for step in steps
    ] or [Occurrence(after_s=0)]
    tried = [{address for _, _, address in targets(occurrence, of(people))} for occurrence in plan]
    expected = {("steps", n, "channels") for n, addresses in enumerate(tried) if not addresses} | {
        ("recipients", n) for n, one in enumerate(people) if not set().union(*tried) & set(one.addresses)
    }
    assert {gap.field for gap in gaps(people, steps)} == expected
