"""Durations of one alert: whatever is taken can all happen, what cannot is refused by its field, and a dry run lists the truth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.alert import Status, lapsed
from gateway.alert_request import AlertRequest, StepIn
from gateway.durations import Turn, contradictions
from gateway.submission import FieldError, Submissions
from tests.gateway.api_desk import ApiDesk, alert, running
from tests.gateway.settings_desk import CARRIER, Desk

RULE = """
[[rules]]
name = "night"
account = "acme"
recipients = ["sms:+33612345678"]
"""
DEFAULT = {"emergency": 4 * 3600, "high": 4 * 3600, "normal": 86_400, "bulk": 2 * 86_400}
HOURS = st.integers(0, 200) | st.integers(0, 7 * 86_400)
TURNS = st.builds(Turn, after_s=HOURS, repeat=st.integers(0, 12), every_s=st.integers(10, 40_000))
PLANS = st.lists(TURNS, max_size=6)
LIVES = st.integers(10, 30 * 86_400) | st.integers(10, 300)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    async with running(tmp_path) as desk:
        yield desk


async def refused(desk: ApiDesk, **members: Any) -> str:
    """The field that is refused with 422; "" where the alert would be taken."""
    answer = await desk.client(await desk.key("submitter", "acme")).post(
        "/v1/alerts", json=alert(dry_run=True, **members)
    )
    if answer.status_code == 200:
        return ""
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    (error,) = answer.json()["errors"]
    assert error["code"] == "too_late"
    assert "expected" in error["detail"]
    return str(error["field"])


async def test_case_1_12_a_step_after_the_end_of_its_alert_is_refused_by_its_field(api: ApiDesk) -> None:
    five_hours = {"after_s": 5 * 3600}
    assert await refused(api, priority="high", steps=[{}, five_hours]) == "steps[1].after_s"
    assert await refused(api, priority="high", steps=[{}, five_hours], expires_after_s=6 * 3600) == ""
    assert await refused(api, priority="normal", steps=[{}, five_hours]) == ""
    assert await refused(api, priority="high", steps=[{"after_s": 4 * 3600}]) == "steps[0].after_s"
    assert await refused(api, priority="high", steps=[{"after_s": 4 * 3600 - 1}]) == ""
    assert await refused(api, steps=[{"repeat": 3, "every_s": 100}], expires_after_s=300) == "steps[0].repeat"
    assert await refused(api, steps=[{"repeat": 2, "every_s": 100}], expires_after_s=300) == ""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert await refused(api, send_at=tomorrow, steps=[five_hours], priority="high") == "steps[0].after_s"
    assert await refused(api, send_at=tomorrow, steps=[five_hours]) == ""


async def test_case_1_12_a_time_to_take_in_charge_that_outlasts_the_alert_is_refused(api: ApiDesk) -> None:
    for seconds, field in ((600, "acknowledgement.confirm_within_s"), (599, "")):
        asked = {"rule": "any", "confirm_within_s": seconds}
        assert await refused(api, acknowledgement=asked, expires_after_s=600) == field
    asked = {"rule": "any", "confirm_within_s": 500}
    late = [{"after_s": 100}]
    assert await refused(api, acknowledgement=asked, steps=late, expires_after_s=600) == (
        "acknowledgement.confirm_within_s"
    )


@pytest.mark.parametrize(
    ("more", "line", "key"),
    [
        ("[[rules.steps]]\nafter_s = 18000\n", 13, "rules[0].steps[0].after_s"),
        ("expires_after_s = 60\n[[rules.steps]]\n[[rules.steps]]\nafter_s = 60\n", 15, "rules[0].steps[1].after_s"),
        ("[[rules.steps]]\nrepeat = 10\nevery_s = 1440\n", 13, "rules[0].steps[0].repeat"),
        ("expires_after_s = 100\n[[rules.steps]]\nrepeat = 2\n", 14, "rules[0].steps[0].repeat"),
        (
            'acknowledgement = {rule = "any", confirm_within_s = 14400}\n',
            12,
            "rules[0].acknowledgement.confirm_within_s",
        ),
        ('priority = "bulk"\n[[rules.steps]]\nafter_s = 172800\n', 14, "rules[0].steps[0].after_s"),
        ("[[rules.steps]]\nafter_s = 700\n[delivery.expires_after_s]\nhigh = 600\n", 13, "rules[0].steps[0].after_s"),
    ],
)
def test_case_1_12_a_rule_that_promises_what_comes_after_its_end_is_a_problem_of_the_file(
    tmp_path: Path, more: str, line: int, key: str
) -> None:
    (problem,) = Desk(tmp_path).problems(CARRIER + RULE + more)
    assert problem.startswith(f"tocsin.toml:{line}: {key}: expected ")


def test_case_1_12_a_rule_that_can_be_kept_is_no_problem(tmp_path: Path) -> None:
    steps = "[[rules.steps]]\n[[rules.steps]]\nafter_s = 14399\n[[rules.steps]]\nrepeat = 9\nevery_s = 1440\n"
    Desk(tmp_path).load(CARRIER + RULE + 'acknowledgement = {rule = "any", confirm_within_s = 600}\n' + steps)


@given(PLANS, LIVES, st.none() | st.integers(10, 86_400))
def test_what_is_not_named_begins_before_the_end_and_what_is_named_does_not(
    turns: list[Turn], lasts_s: int, confirm_within_s: int | None
) -> None:
    named = {
        found.field
        for found in contradictions(turns, lasts_s=lasts_s, confirm_within_s=confirm_within_s, life="expires_after_s")
    }
    for n, turn in enumerate(turns):
        begins = [turn.after_s + m * turn.every_s for m in range(turn.repeat + 1)]
        late = any(at >= lasts_s for at in begins)
        assert late == (("steps", n, "after_s") in named or ("steps", n, "repeat") in named)
        assert (begins[0] >= lasts_s) == (("steps", n, "after_s") in named)
    first_s = min((turn.after_s for turn in turns), default=0)
    if confirm_within_s is not None and ("acknowledgement", "confirm_within_s") not in named and first_s < lasts_s:
        assert first_s + confirm_within_s < lasts_s


async def test_a_dry_run_lists_what_begins_before_the_deadline_or_the_request_is_refused_by_its_field(
    api: ApiDesk,
) -> None:
    submissions = Submissions(api.broker)

    @settings(deadline=None, max_examples=150)
    @given(PLANS, st.none() | LIVES, st.sampled_from(sorted(DEFAULT)))
    def true(turns: list[Turn], expires_after_s: int | None, priority: str) -> None:
        steps = tuple(StepIn(after_s=t.after_s, repeat=t.repeat, every_s=t.every_s) for t in turns)
        body = AlertRequest.model_validate(alert(priority=priority, expires_after_s=expires_after_s) | {"steps": steps})
        life_s = expires_after_s or DEFAULT[priority]
        late = [t for t in turns if t.last_s >= life_s]
        try:
            submission = submissions.prepare(body, account_id="acme", key_id="key")
        except FieldError as error:
            refusal: tuple[str, str] | None = (error.code, error.field.partition("[")[0])
        else:
            refusal = None
        assert refusal == (("too_late", "steps") if late else None)
        if refusal is not None:
            return
        one = submission.alert
        foreseen = submissions.dry_run(submission)
        assert foreseen["deliveries_total"] == sum(t.repeat + 1 for t in turns) or not turns
        for delivery in foreseen["deliveries"]:
            at = datetime.fromisoformat(delivery["at"])
            assert at < one.expires_at
            assert lapsed(one, at).status is Status.ACTIVE  # what the escalation asks before it begins a step

    true()
