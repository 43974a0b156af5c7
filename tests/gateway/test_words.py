"""What people say about an alert through the API: received, taken in charge; who counts as whom, and who is a stranger."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.attending import attend
from gateway.identity import Person, claimed, folded
from tests.gateway.api_desk import ApiDesk, alert, problem, running

ANNE, BOB = "sms:+33612345671", "sms:+33612345672"
NAMED: list[Any] = [{"name": "Anne", "addresses": [ANNE]}, {"name": "Bob", "addresses": [BOB]}]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    more = f'[[people]]\nname = "Robert Ödön"\naddresses = ["{BOB}"]\n'
    async with running(tmp_path, more=more) as one:
        attend(one.broker)
        yield one


async def taken_in(client: httpx.AsyncClient, **body: Any) -> str:
    """An alert to Anne and Bob; the path of its acknowledgements."""
    answer = await client.post("/v1/alerts", json=alert(recipients=NAMED, **body))
    assert answer.status_code == 202, answer.text
    return f"/v1/alerts/{answer.json()['id']}/acknowledge"


async def say(client: httpx.AsyncClient, path: str, by: str, key: str = "", **more: Any) -> dict[str, Any]:
    headers = {"Idempotency-Key": key} if key else {}
    answer = await client.post(path, json={"by": by, **more}, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def standing(view: dict[str, Any]) -> tuple[str, bool]:
    """The status, and whether it has ended."""
    return view["status"], view["ended_at"] is not None


# --- received, and taken in charge -----------------------------------------------------------------------------------


async def test_case_1_10_received_twice_takes_nothing_in_charge(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    path = await taken_in(client, acknowledgement={"rule": "any", "confirm_within_s": 600})
    first = await say(client, path, "Anne")
    assert standing(first) == ("acknowledged", False)
    for by in ("Anne", "Bob", "Eve"):
        again = await say(client, path, by)
        assert (standing(again), again["confirm_by_at"]) == (("acknowledged", False), first["confirm_by_at"])
    both = await asyncio.gather(say(client, path, "Anne"), say(client, path, "Bob"))
    assert {standing(one) for one in both} == {("acknowledged", False)}
    taken = await say(client, path, "Bob", taken=True, comment="on my way")
    assert (standing(taken), taken["confirm_by_at"]) == (("acknowledged", True), None)
    assert [(one["by"], one["taken"], one["counts"]) for one in taken["acknowledgements"]][-1] == ("Bob", True, True)


async def test_case_1_10_a_retried_request_is_one_word(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    path = await taken_in(client, acknowledgement={"rule": "any", "confirm_within_s": 600})
    sent = [client.post(path, json={"by": "Anne"}, headers={"Idempotency-Key": "one"}) for _ in range(3)]
    answers = await asyncio.gather(*sent)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert sorted(answer.headers.get("Idempotent-Replayed", "") for answer in answers) == ["", "true", "true"]
    other = await client.post(path, json={"by": "Anne", "taken": True}, headers={"Idempotency-Key": "one"})
    problem(other, 409, "idempotency-conflict")
    view = (await client.get(path.removesuffix("/acknowledge"))).json()
    assert (standing(view), len(view["acknowledgements"])) == (("acknowledged", False), 1)
    # the same key for another alert is another request
    second = await taken_in(client, acknowledgement={"rule": "any"})
    assert standing(await say(client, second, "Anne", key="one")) == ("acknowledged", True)


async def test_a_key_of_the_installation_may_repeat_itself_too(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    path = await taken_in(client, acknowledgement={"rule": "any"})
    operator = desk.client(await desk.key("operator"))
    first = await say(operator, path, "Anne", key="k")
    assert await say(operator, path, "Anne", key="k") == first
    nowhere = await operator.post(
        "/v1/alerts/alt_nowhere/acknowledge", json={"by": "x"}, headers={"Idempotency-Key": "k"}
    )
    problem(nowhere, 404, "not-found")


async def test_without_a_time_to_take_it_received_is_enough(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    path = await taken_in(client, priority="high")
    assert standing(await say(client, path, "whoever")) == ("acknowledged", True)


@pytest.mark.parametrize("by", ["", " ", "\u00a0\u2003", "\u200b\u00ad"])
async def test_nobody_is_no_name(desk: ApiDesk, by: str) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    path = await taken_in(client, priority="high")
    (wrong,) = problem(await client.post(path, json={"by": by}), 422, "invalid-request")["errors"]
    assert wrong["field"] == "by"
    (wrong,) = problem(await client.post(path, json={"by": "A", "taken": "yes"}), 422, "invalid-request")["errors"]
    assert wrong["field"] == "taken"


# --- who is who ------------------------------------------------------------------------------------------------------

SPELLINGS = ["Anne", "anne ", "\u00a0ANNE", "Ａｎｎｅ", "An\u00adne", ANNE, ANNE.upper()]


@pytest.mark.parametrize("rule", [{"rule": "quorum", "quorum": 2}, {"rule": "all"}])
async def test_case_5_3_one_person_is_one_however_spelled_and_a_stranger_is_none(
    desk: ApiDesk, rule: dict[str, Any]
) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    path = await taken_in(client, acknowledgement=rule)
    for by in SPELLINGS:
        view = await say(client, path, by)
        assert standing(view) == ("active", False)
        assert view["acknowledgements"][-1]["counts"]
    for by in ("Eve", "Mallory"):
        view = await say(client, path, by, taken=True)
        assert standing(view) == ("active", False)
        assert (view["acknowledgements"][-1]["by"], view["acknowledgements"][-1]["counts"]) == (by, False)
    by = unicodedata.normalize("NFD", "robert  ödön")  # whom the alert calls Bob
    assert standing(await say(client, path, by)) == ("acknowledged", True)


async def test_where_an_alert_names_nobody_people_are_who_they_say(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    body = alert(recipients=["sms:+33612345674", "sms:+33612345675"], acknowledgement={"rule": "quorum", "quorum": 2})
    path = f"/v1/alerts/{(await client.post('/v1/alerts', json=body)).json()['id']}/acknowledge"
    for by in ("Eve", "EVE", " eve"):
        assert standing(await say(client, path, by)) == ("active", False)
    assert standing(await say(client, path, "Mallory")) == ("acknowledged", True)


NAMES = st.sampled_from(["Anne", "Zoë Müller", "Σίσυφος", "straße 3", "İpek", "ǅ", "ﬁn", "田中", "A\u0301 b"])
FORMS = st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"])
BLANKS = st.text("\u0020\u00a0\u2003\u202f\t\u200b\u00ad\ufeff", max_size=3)


@given(NAMES, FORMS, BLANKS, BLANKS, st.sampled_from([str, str.upper, str.casefold]))
def test_a_name_is_one_in_all_its_forms(name: str, form: Any, before: str, after: str, case: Any) -> None:
    spelled = before + unicodedata.normalize(form, case(name).replace(" ", f" {after}")) + after
    assert folded(spelled) == folded(name)
    reached = [("sms:1", name), ("sms:2", "Bob")]
    assert claimed(spelled, {}, reached) == Person(folded(name), name)


@given(NAMES, NAMES)
def test_different_names_are_different_people(one: str, other: str) -> None:
    assert (folded(one) == folded(other)) == (one == other)


@given(st.text())
def test_folding_again_changes_nothing(name: str) -> None:
    assert folded(folded(name)) == folded(name)
