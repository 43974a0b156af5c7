"""Whom the rules `all` and `quorum` wait for: as many humans as can decide, counted as their keys are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from channels.conversation import Decision
from gateway.app import examine
from gateway.attending import attend
from gateway.decisions import Decide
from gateway.escalation import Occurrence, Recipient, deciding
from gateway.phone_alarms import PhoneAlarms
from gateway.store import tables
from gateway.submission import Submissions
from tests.gateway.api_desk import ApiDesk, alert, problem, running
from tests.gateway.test_phone_alarms import line

ONE, TWO, THREE = (f"sms:+3361234567{n}" for n in (1, 2, 3))
SETTINGS = f"""
[[people]]
name = "Anna"
addresses = ["{ONE}", "{TWO}"]
[[rules]]
name = "fire"
source = "phone"
account = "acme"
recipients = ["{ONE}", "{TWO}", "{THREE}"]
priority = "emergency"
acknowledgement = {{rule = "quorum", quorum = 3}}
"""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    async with running(tmp_path, more=SETTINGS) as one:
        attend(one.broker)
        yield one


async def row_of(desk: ApiDesk, alert_id: str) -> Any:
    statement = select(tables.alerts).where(tables.alerts.c.id == alert_id)
    return await desk.store.read(lambda connection: connection.execute(statement).one())


async def all_press(desk: ApiDesk, alert_id: str) -> None:
    """A key at every phone that the alert was sent to."""
    t = tables.deliveries.c
    statement = select(t.id).where(t.alert_id == alert_id)
    for delivery_id in await desk.store.read(lambda connection: connection.scalars(statement).all()):
        command = Decide(delivery_id=delivery_id, decision=Decision.ACKNOWLEDGED, via="voice", names=desk.broker.names)
        await desk.broker.journal.do(command)


@pytest.mark.parametrize(
    ("recipients", "people"),
    [
        ([ONE, TWO], 1),  # both are Anna's
        ([ONE, THREE], 2),
        ([{"name": "Ada", "addresses": [THREE]}, {"name": "Bob", "addresses": [THREE]}], 1),  # one phone, called once
        ([{"name": "Anna Martin", "addresses": [ONE, THREE]}], 1),  # whatever the alert calls her
        ([{"name": "Ada", "addresses": [THREE]}, {"name": "Bob", "addresses": ["sms:+33612345674"]}], 2),
    ],
)
async def test_all_are_those_whose_keys_count(desk: ApiDesk, recipients: list[Any], people: int) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    body = alert(recipients=recipients, priority="high", acknowledgement={"rule": "all"})
    taken = await client.post("/v1/alerts", json=body)
    assert taken.status_code == 202, taken.text
    alert_id = taken.json()["id"]
    assert (await row_of(desk, alert_id)).people == people
    await all_press(desk, alert_id)
    assert (await row_of(desk, alert_id)).status == "acknowledged"


@pytest.mark.parametrize(("recipients", "most"), [([ONE, TWO], 1), ([ONE, THREE], 2), ([THREE, "sms:+33612345674"], 2)])
async def test_a_quorum_that_cannot_be_met_is_refused(desk: ApiDesk, recipients: list[str], most: int) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    body = alert(recipients=recipients, acknowledgement={"rule": "quorum", "quorum": most + 1})
    (wrong,) = problem(await client.post("/v1/alerts", json=body), 422, "invalid-request")["errors"]
    assert (wrong["field"], wrong["code"]) == ("acknowledgement.quorum", "too_many")
    assert wrong["detail"].startswith(f"expected at most {most} people")
    body = alert(recipients=recipients, acknowledgement={"rule": "quorum", "quorum": most})
    assert (await client.post("/v1/alerts", json=body)).status_code == 202


async def test_an_alarm_by_phone_waits_for_no_more_than_there_are(desk: ApiDesk) -> None:
    reference = await PhoneAlarms(desk.broker, Submissions(desk.broker)).raise_alarm(line("fire"))
    assert reference is not None
    found = await row_of(desk, reference)
    assert (found.rule, found.quorum, found.people) == ("quorum", 2, 2)
    await all_press(desk, reference)
    assert (await row_of(desk, reference)).status == "acknowledged"


async def test_a_rule_that_waits_for_too_many_is_told_by_check_and_at_the_start(desk: ApiDesk, tmp_path: Path) -> None:
    (told,) = examine(tmp_path / "tocsin.toml").warnings
    assert "rules[0].acknowledgement.quorum: expected at most 2, the people whom this rule reaches" in told


def test_steps_add_those_whom_they_alone_try() -> None:
    ada, bob, cyd = (
        Recipient(person=name, addresses=(address, f"email:{name}@example.org"))
        for name, address in (("ada", ONE), ("bob", ONE), ("cyd", THREE))
    )
    by_sms = Occurrence(after_s=0, channels=("sms",))
    assert deciding([by_sms], (ada, bob), {}) == {"ada"}
    assert deciding([by_sms, Occurrence(after_s=60, recipients=(cyd,))], (ada, bob), {}) == {"ada", "cyd"}
    assert deciding([Occurrence(after_s=0)], (ada, bob, cyd), {ONE: "Ada L"}) == {"ada l", "cyd"}
    assert deciding([Occurrence(after_s=0, channels=("voice",))], (ada,), {}) == set()
