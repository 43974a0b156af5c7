"""One name for one thing: what the request calls it, the answer does. What is old is still there, what joins is loud, an end stays."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from pydantic import BaseModel

import gateway
from gateway.alert import Status
from gateway.api.callback_shapes import AlertChanged, DeliveryChanged, WordDeclined, WordSaid
from gateway.api.timeline_lines import EVENTS, SHAPES, line_of, shown
from gateway.cli.invocation import LISTS, listed
from tests.gateway.api_desk import ApiDesk, alert, problem, running
from tests.gateway.api_document import DOCUMENT

BLANKS = (
    " ",
    "\t",
    "\u00a0",
    "\u200b\u200d",
    "\u2060\ufeff",
    "\u3164",
    "\u2800",
    "\u0001\u001f",
    "\u202e",
    "  \u00ad ",
    "\u0301",
    "\U000e0041",
)
"""Texts in which there is nothing to read: blanks, controls, fillers, marks of direction, accents of nothing, tags."""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    async with running(tmp_path) as found:
        yield found


def times(value: Any) -> list[str]:
    """Every member that is a time."""
    if isinstance(value, dict):
        own = [each for name, each in value.items() if (name == "at" or name.endswith("_at")) and each is not None]
        return own + [time for each in value.values() for time in times(each)]
    return [time for each in value for time in times(each)] if isinstance(value, list) else []


async def test_what_was_asked_for_is_shown_again_by_its_name(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    asked = alert(
        priority="high",
        language="fr",
        recipients=[
            {"name": "Anne", "addresses": ["sms:+33612345678"]},
            {"name": "Bob", "addresses": ["sms:+33687654321"]},
        ],
        steps=[
            {"channels": ["sms"]},
            {"after_s": 60, "recipients": [{"name": "Cleo", "addresses": ["sms:+33655555555"]}]},
        ],
        acknowledgement={"rule": "quorum", "quorum": 2, "confirm_within_s": 600},
        on_unknown="wait",
        callback_url="http://127.0.0.1:9/hook",
    )
    foreseen = (await client.post("/v1/alerts", json={**asked, "dry_run": True})).json()["deliveries"]
    assert [one["recipient"] for one in foreseen] == ["Anne", "Bob", "Cleo"]
    assert all((one["person"], one["hold"]) == (one["recipient"], one["held"]) for one in foreseen)
    taken = (await client.post("/v1/alerts", json=asked)).json()
    found = (await client.get(f"/v1/alerts/{taken['id']}")).json()
    assert found["acknowledgement"] == asked["acknowledgement"]
    assert (found["rule"], found["confirm_within_s"]) == ("quorum", 600)
    assert found["send_at"] == found["start_at"] == found["created_at"]
    shown_again = ("language", "on_unknown", "callback_url", "sensitive")
    assert [found[name] for name in shown_again] == ["fr", "wait", "http://127.0.0.1:9/hook", False]
    assert found["steps"] == [
        {"after_s": 0, "channels": ["sms"], "recipients": None},
        {"after_s": 60, "channels": [], "recipients": ["Cleo"]},
    ]
    long = [{"name": f"{n} " + "x" * 150, "addresses": [f"sms:+3361{n:07}"]} for n in range(1_000)]
    large = (await client.post("/v1/alerts", json={**asked, "steps": [{}, {"after_s": 60, "recipients": long}]})).json()
    assert (await client.get(f"/v1/alerts/{large['id']}")).json()["steps"] is None
    said = (await client.post(f"/v1/alerts/{taken['id']}/acknowledge", json={"by": "Anne"})).json()["acknowledgements"]
    assert said[0]["key"] == said[0]["key_id"]
    every = times([found, said, foreseen, (await client.get(f"/v1/alerts/{taken['id']}/timeline")).json()])
    assert len(every) > 10
    assert all(TIME.fullmatch(time) for time in every), every


async def test_a_callback_is_as_the_document_says(desk: ApiDesk) -> None:
    client, watcher = desk.client(await desk.key("submitter", "acme")), desk.client()
    people = [{"name": "Anne", "addresses": ["sms:+33612345678"]}, {"name": "Bob", "addresses": ["sms:+33687654321"]}]
    told = alert(
        priority="high", recipients=people, acknowledgement={"rule": "any"}, callback_url="http://127.0.0.1:9/hook"
    )
    made = (await client.post("/v1/alerts", json=told)).json()["id"]
    await client.post(f"/v1/alerts/{made}/acknowledge", json={"by": "Anne"})
    await client.post(f"/v1/alerts/{made}/resolve")

    async def bodies() -> list[dict[str, Any]]:
        found = []
        for state in ("parked", "pending"):
            found += (await watcher.get("/v1/callbacks", params={"state": state, "alert": made})).json()["items"]
        return [json.loads(one["body"]) for one in found]

    def complete(found: list[dict[str, Any]]) -> bool:
        types = {event["type"] for body in found for event in body["events"]}
        return types >= {"acknowledgement", "alert.acknowledged", "alert.resolved"} and any(
            "delivery" in one for one in types
        )

    schema = {**DOCUMENT["components"]["schemas"]["CallbackBody"], "components": DOCUMENT["components"]}
    for body in await desk.until(bodies, complete):
        assert not [error.message for error in Draft202012Validator(schema, validate_formats=True).iter_errors(body)], (
            body
        )
        for event in body["events"]:
            shape = CALLBACK_SHAPES[event["type"].partition(".")[0]]
            assert set(event) == set(shape.model_fields), event


CALLBACK_SHAPES: dict[str, type[BaseModel]] = {
    "alert": AlertChanged,
    "delivery": DeliveryChanged,
    "acknowledgement": WordSaid,
    "declined": WordDeclined,
}


async def test_an_end_is_set_once(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    made = (await client.post("/v1/alerts", json=alert(priority="high"))).json()
    path = f"/v1/alerts/{made['id']}"
    acknowledged = (await client.post(f"{path}/acknowledge", json={"by": "Anne"})).json()
    assert (acknowledged["status"], acknowledged["ended_at"] is not None) == ("acknowledged", True)
    told = problem(await client.post(f"{path}/cancel"), 409, "alert-ended")
    assert "resolve it" in told["detail"]
    assert "ended" not in told["title"]
    resolved = (await client.post(f"{path}/resolve")).json()
    assert (resolved["status"], resolved["ended_at"]) == ("resolved", acknowledged["ended_at"])
    handed = (await client.post("/v1/alerts", json=alert(priority="high"))).json()
    path = f"/v1/alerts/{handed['id']}"
    await client.post(f"{path}/acknowledge", json={"by": "Anne"})
    assert (await client.post(f"{path}/release")).json()["ended_at"] is None


async def test_what_joins_says_so_in_a_sentence(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    first = (await client.post("/v1/alerts", json=alert(priority="high", reference="PUMP-3"))).json()
    assert "notice" not in first
    again = (await client.post("/v1/alerts", json=alert(priority="high", reference="PUMP-3", text="still"))).json()
    assert again["notice"].startswith(
        f"no new alert was made: the request joined {first['id']}, which is open; nobody is told"
    )
    wider = alert(priority="high", reference="PUMP-3", text="you too", recipients=["sms:+33687654321"], subject="P")
    wide = (await client.post("/v1/alerts", json=wider)).json()
    assert "are added" in wide["notice"]
    raised = (await client.post("/v1/alerts", json=alert(priority="emergency", reference="PUMP-3", text="fire"))).json()
    assert "took over" in raised["notice"]


async def test_what_holds_nothing_to_read_is_refused_in_every_field(desk: ApiDesk) -> None:
    client, watcher = desk.client(await desk.key("submitter", "acme")), desk.client()
    named = {"name": "", "addresses": ["sms:+33612345678"]}

    def bodies(blank: str) -> dict[str, dict[str, Any]]:
        return {
            "text": alert(text=blank),
            "subject": alert(subject=blank),
            "reference": alert(reference=blank),
            "recipients[0].name": alert(recipients=[{**named, "name": blank}]),
            "steps[0].recipients[0].name": alert(steps=[{"recipients": [{**named, "name": blank}]}, {}]),
        }

    for blank in BLANKS:
        for field, body in bodies(blank).items():
            told = problem(await client.post("/v1/alerts", json=body), 422, "invalid-request")
            assert told["errors"][0]["field"] == field, (field, repr(blank))
    made = (await client.post("/v1/alerts", json=alert(priority="high"))).json()["id"]
    for blank in BLANKS:
        for verb, body, field in (
            ("acknowledge", {"by": blank}, "by"),
            ("acknowledge", {"by": "Anne", "comment": blank}, "comment"),
            ("resolve", {"by": blank}, "by"),
        ):
            told = problem(await client.post(f"/v1/alerts/{made}/{verb}", json=body), 422, "invalid-request")
            assert told["errors"][0]["field"] == field, (verb, repr(blank))
        told = problem(
            await watcher.post("/v1/providers/carrier-a/test", json={"to": "+33612345678", "text": blank}),
            422,
            "invalid-request",
        )
        assert told["errors"][0]["field"] == "text"
    assert (await client.post("/v1/alerts", json=alert(text="🔥", subject="", recipients=[named]))).status_code == 202


async def test_entries_are_asked_for_by_time(desk: ApiDesk) -> None:
    client = desk.client()
    for n in range(4):
        body = {"amount": "1.00", "reference": f"INV-{n}"}
        assert (await client.post("/v1/accounts/acme/topups", json=body)).status_code == 201
    every = (await client.get("/v1/accounts/acme/entries")).json()["items"]
    assert len(every) == 5

    async def found(**asked: str) -> list[int]:
        answer = await client.get("/v1/accounts/acme/entries", params=asked)
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["items"]]

    ids = [one["id"] for one in every]
    middle = every[2]["at"]
    after = await found(**{"from": middle})
    before = await found(to=middle)
    assert after + before == ids
    assert after[-1] <= ids[2]
    day = middle[:10]
    assert await found(**{"from": day, "to": day}) == ids
    assert await found(to="2020-01-01") == await found(**{"from": "2090-01-01"}) == []


# --- the timeline ----------------------------------------------------------------------------------------------------


def line_schema() -> dict[str, Any]:
    """What the document says of one line."""
    page = next(
        s for name, s in DOCUMENT["components"]["schemas"].items() if name.startswith("Page") and "AcceptedLine" in name
    )
    return {**page["properties"]["items"]["items"], "components": DOCUMENT["components"]}


async def test_the_lines_of_a_real_timeline_are_as_the_document_says(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    made = (await client.post("/v1/alerts", json=alert(priority="high", reference="P"))).json()["id"]
    await client.post("/v1/alerts", json=alert(priority="high", reference="P", text="again"))
    path = f"/v1/alerts/{made}"
    await desk.until(lambda: client.get(path), lambda answer: answer.json()["deliveries"][0]["state"] == "delivered")
    await client.post(f"{path}/acknowledge", json={"by": "Anne", "comment": "on my way"})
    await client.post(f"{path}/release", json={"by": "Anne"})
    await client.post(f"{path}/resolve")
    lines = (await client.get(f"{path}/timeline")).json()["items"]
    validator = Draft202012Validator(line_schema(), validate_formats=True)
    for line in lines:
        assert not [error.message for error in validator.iter_errors(line)], line
        shape = SHAPES[line["kind"]]
        assert set(line) <= set(shape.model_fields), line
        assert None not in line.values()
    kinds = {line["kind"] for line in lines}
    assert kinds >= {
        "accepted", "hold", "queued", "attempt", "sent", "outcome", "receipt", "settled", "capture", "repeated", "acknowledgement",
        "acknowledged", "by", "active", "resolved",
    }  # fmt: skip


def test_a_kind_of_another_version_is_told_all_the_same() -> None:
    told = shown(line_of("sung", "2026-03-01T06:00:00.000Z", {"detail": "a song", "delivery": "dlv_1"}))
    assert told == {"at": "2026-03-01T06:00:00.000Z", "kind": "event", "detail": "sung a song", "delivery": "dlv_1"}
    assert not list(Draft202012Validator(line_schema()).iter_errors(told))


def written_kinds() -> set[str]:
    """The kind of every event that some line of the source writes; the status of an alert stands for all of them."""
    found = set()
    folder = Path(gateway.__path__[0])
    for path in folder.rglob("*.py"):
        module = (
            import_module(".".join(["gateway", *path.relative_to(folder).with_suffix("").parts]))
            if ".event(" in (text := path.read_text())
            else None
        )
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "event":
                match node.args[1:2]:
                    case [ast.Constant(value=str() as kind)]:
                        found.add(kind)
                    case [ast.Name(id=name)]:
                        found.add(str(getattr(module, name)))
                    case [ast.Call()]:
                        found.update(str(status) for status in Status)
    return found


def test_every_event_that_is_written_is_described() -> None:
    written = written_kinds()
    assert len(written) > 15
    assert written - {"receipt"} == set(EVENTS) - {"event"}


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(LISTS))
def test_the_command_line_lists_as_the_api_does(name: str) -> None:
    assert listed({name: [1], "next_cursor": None}) == {"items": [1], "next_cursor": None}


def test_what_is_no_list_is_left_alone() -> None:
    for document in ({}, {"ready": True, "providers": ["a"]}, {"id": "acme"}):
        assert listed(document) == document
