"""People and texts as a request has them: blank texts, texts too long for a channel, two people of one name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.blanks import is_blank
from gateway.escalation import Recipient
from gateway.namesakes import Namesakes
from tests.gateway.api_desk import ApiDesk, alert, running

MAIL = """
[[providers]]
name = "mail"
channel = "email"
kind = "smtp"
host = "127.0.0.1"
port = 9
sender = "tocsin@example.org"
max_message_bytes = 16384
"""
ANNE, OTHER = "sms:+33612345678", "sms:+33612345679"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    async with running(tmp_path, more=MAIL) as one:
        yield one


async def refused(desk: ApiDesk, **members: Any) -> tuple[str, str, str]:
    """(field, code, detail) of what is wrong with the request; the same with and without dry_run."""
    client = desk.client(await desk.key("submitter", "acme"))
    found = []
    for dry_run in (False, True):
        answer = await client.post("/v1/alerts", json=alert(dry_run=dry_run, **members))
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        found.append((error["field"], error["code"], error["detail"]))
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    "text",
    [" ", "\n\t ", "\u00a0\u202f", "\u200b\u200e\ufeff", "\u202a\u2069", "\u3164\u2800", "\ufe0f", "\u00ad \u0301"],
)
async def test_case_5_4_a_text_with_nothing_to_read_is_refused(desk: ApiDesk, text: str) -> None:
    field, code, _ = await refused(desk, text=text)
    assert (field, code) == ("text", "blank")


async def test_case_5_4_a_text_too_long_for_a_channel_is_refused_with_the_limit(desk: ApiDesk) -> None:
    field, code, detail = await refused(desk, text="\U0001f525" * 9_000)
    assert (field, code) == ("text", "too_long")
    assert "255" in detail
    assert "sms" in detail
    later = [{"channels": ["email"]}, {"after_s": 600, "channels": ["sms"]}]
    people = [{"name": "Anne", "addresses": ["email:anne@example.org", ANNE]}]
    assert (await refused(desk, text="\U0001f525" * 9_000, recipients=people, steps=later))[:2] == ("text", "too_long")
    field, code, detail = await refused(desk, text="é" * 9_999, recipients=["email:anne@example.org"])
    assert (field, code) == ("text", "too_long")
    assert "16384" in detail
    file = {"name": "plan.pdf", "content": "QUJD" * 6_000}
    field, code, _ = await refused(desk, recipients=["email:anne@example.org"], attachments=[file])
    assert (field, code) == ("attachments", "too_long")


async def test_case_5_4_a_long_text_that_fits_is_taken(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    taken = await client.post("/v1/alerts", json=alert(text="x" * 9_000, dry_run=True))
    assert (taken.status_code, taken.json()["deliveries"][0]["units"]) == (200, 59)


async def test_case_5_4_two_recipients_of_one_name_are_two_people(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("operator"))
    submitter = desk.client(await desk.key("submitter", "acme"))
    people = [{"name": "Anne", "addresses": [ANNE]}, {"name": "anne ", "addresses": [OTHER]}]
    asked = {"rule": "quorum", "quorum": 2}
    taken = await submitter.post("/v1/alerts", json=alert(recipients=people, acknowledgement=asked))
    assert taken.status_code == 202, taken.text
    path = f"/v1/alerts/{taken.json()['id']}"
    deliveries = (await client.get(path)).json()["deliveries"]
    assert sorted(delivery["recipient"] for delivery in deliveries) == ["Anne", "anne (2)"]
    for by, status in (("Anne", "active"), ("ANNE", "active"), ("Anne (2)", "acknowledged")):
        answer = await client.post(f"{path}/acknowledge", json={"by": by, "taken": True})
        assert (answer.status_code, answer.json()["status"]) == (200, status)


def listed(*people: tuple[str, ...]) -> list[Recipient]:
    return [Recipient(person=name, addresses=addresses) for name, *addresses in map(list, people)]  # type: ignore[arg-type]


def called(recipients: tuple[Recipient, ...]) -> list[str]:
    return [recipient.person for recipient in recipients]


def test_who_is_in_several_lists_is_one_person() -> None:
    namesakes = Namesakes()
    assert called(namesakes.told_apart(listed(("Anne", ANNE), ("Anne", OTHER), ("Bob", "sms:3")))) == [
        "Anne", "Anne (2)", "Bob",
    ]  # fmt: skip
    assert called(namesakes.told_apart(listed(("Anne", OTHER)))) == ["Anne (2)"]  # by the address
    assert called(namesakes.told_apart(listed(("Anne", "voice:1"), ("Anne", "voice:2")))) == ["Anne", "Anne (2)"]
    assert called(namesakes.told_apart(listed(("Anne", "voice:2", "fax:1")))) == ["Anne (2)"]
    assert called(namesakes.told_apart(listed(("Anne", ANNE), ("Anne", ANNE)))) == [
        "Anne",
        "Anne",
    ]  # one, written twice


def test_a_name_that_looks_like_a_second_one_is_nobody_else_s() -> None:
    found = Namesakes().told_apart(listed(("Anne (2)", "sms:1"), ("Anne", "sms:2"), ("Anne", "sms:3")))
    assert called(found) == ["Anne (2)", "Anne", "Anne (3)"]


@given(st.lists(st.tuples(st.sampled_from(["Anne", "anne", "Bob", "Bob (2)"]), st.integers(0, 9)), max_size=8))
def test_one_list_has_as_many_people_as_addresses_that_are_not_shared(entries: list[tuple[str, int]]) -> None:
    recipients = listed(*((name, f"sms:{n}") for name, n in entries))
    people = called(Namesakes().told_apart(recipients))
    for n, (one, person) in enumerate(zip(entries, people, strict=True)):
        for other, another in zip(entries[:n], people[:n], strict=True):
            same = (one[0].casefold(), one[1]) == (other[0].casefold(), other[1])
            assert (person == another) == same


@given(st.text(max_size=20))
def test_what_has_a_letter_is_not_blank(text: str) -> None:
    assert not is_blank(text + "x")
    assert is_blank(text.translate(dict.fromkeys(map(ord, text), " \u200b")))
