"""Errors of requests in plain words: every field of the OpenAPI document fed with what is wrong for it, over a running API."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.alert_request import AlertRequest
from gateway.api.problems import invalid
from gateway.api.wording import CODES, NAMES, PATTERNS, WORDS, as_written, place_of
from gateway.masking import MASK, masked_in
from tests.gateway.api_desk import ApiDesk, alert, problem, running

WRONG: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10**30, "", " ", "x\x00", "a\nb", "x" * 3_000, "^$", [], [[]], ["x"], [None], {}, {"x": 1}, {"": []},
    [{}] * 3, [{"nmae": "x"}], "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "NaN",
)  # fmt: skip
PYTHONS = re.compile(
    r"[Tt]uple|[Dd]ictionar|should|Input|Extra|permitted|validation|\bitems?\b|None|regex|pattern|\^|\\|\[\^|valid |what fits"
)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    async with running(tmp_path) as found:
        yield found


def patterns_in(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        if isinstance(document.get("pattern"), str):
            yield document["pattern"]
        for member in document.values():
            yield from patterns_in(member)
    elif isinstance(document, list):
        for member in document:
            yield from patterns_in(member)


def bodies(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Any]:
    """Bodies with one wrong value at each place that the schema has, deeper ones inside what is right around them."""
    schema = resolved(schema, document)
    yield from WRONG
    for variant in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from bodies(variant, document)
    for name, member in schema.get("properties", {}).items():
        for value in bodies(member, document):
            yield {name: value}
    if "items" in schema:
        for value in bodies(schema["items"], document):
            yield [value]


def resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def plain(told: Mapping[str, Any], sent: Any) -> None:
    for error in told["errors"]:
        assert not PYTHONS.search(error["detail"]), (sent, error)
        assert "{" not in error["detail"].replace("{ … }", ""), (sent, error)
        assert "tuple" not in error["code"], (sent, error)
        assert error["detail"], (sent, error)
    places = [error["field"] for error in told["errors"]]
    assert len(places) == len(set(places)), (sent, told)
    if not places:
        return
    first = told["errors"][0]
    assert told["detail"] == f"{first['field'] or 'the body'}: {first['detail']}"


def _refused(content: str, body: Any) -> Mapping[str, Any] | None:
    """What the route answers to the body of an alert, as far as its form goes."""
    try:
        AlertRequest.model_validate_json(content)
    except ValidationError as error:
        found = invalid(error.errors(include_url=False, include_input=False), body=body, model=AlertRequest)
        return found.body if found.status_code == 422 else None
    return None


async def test_every_field_of_every_route_is_refused_in_plain_words(desk: ApiDesk) -> None:
    client = desk.client()
    document = (await client.get("/openapi.json")).json()
    refused = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/v1/") or method not in ("post", "put") or "intake" in path:
                continue
            where = re.sub(r"\{[^}]*\}", "acme", path) + ("?account=acme" if path == "/v1/alerts" else "")
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            known: set[str] = set()
            for body in () if schema is None else bodies(schema, document):
                content = json.dumps(body)
                if content in known or len(content) > 20_000:
                    continue
                known.add(content)
                if path == "/v1/alerts":  # most of them by far: without the wire
                    told = _refused(content, body)
                    refused += told is not None
                    plain(told or {"errors": []}, body)
                    continue
                answer = await client.request(
                    method.upper(), where, content=content, headers={"Content-Type": "application/json"}
                )
                if answer.status_code == 422:
                    refused += 1
                    plain(answer.json(), body)
                assert answer.status_code < 500, (where, body)
            for parameter in operation.get("parameters", ()) if method == "get" else ():
                assert parameter["name"]
    assert refused > 500


async def test_every_parameter_is_refused_in_plain_words(desk: ApiDesk) -> None:
    client = desk.client()
    document = (await client.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for parameter in operations.get("get", {}).get("parameters", ()) if path.startswith("/v1/") else ():
            for value in ("", "x\x00y", "a b", "%", "x" * 600, "-1", "10000000", "1.5", "[]"):
                filled = re.sub(r"\{[^}]*\}", "acme", path)
                answer = await client.get(filled, params={parameter["name"]: value})
                if answer.status_code == 422:
                    plain(answer.json(), (path, parameter["name"], value))


async def test_every_pattern_has_its_words(desk: ApiDesk) -> None:
    document = (await desk.client().get("/openapi.json")).json()
    asked = {path: {**operations} for path, operations in document["paths"].items()}
    assert set(patterns_in(asked)) - set(PATTERNS) == set()
    inputs = {name: one for name, one in document["components"]["schemas"].items() if not name.endswith("View")}
    found = set(patterns_in(inputs)) - {r"^-?[0-9]+\.[0-9]{2,6}$"}  # of answers
    assert found - set(PATTERNS) == set()
    for words in (*PATTERNS.values(), *WORDS.values()):
        assert not PYTHONS.search(words), words
    assert set(CODES) <= set(WORDS)


AS_WRITTEN: tuple[tuple[Any, str, str], ...] = (
    (alert(recipients=["sms:0612345678"]), "recipients[0]", "expected a number"),
    (alert(recipients=["sms:+33612345678", "x"]), "recipients[1]", "expected at least 3 characters"),
    (alert(recipients=[{"addresses": ["sms:0612345678"]}]), "recipients[0].addresses[0]", "expected a number"),
    (alert(steps=[{"recipients": ["pigeon:1"]}]), "steps[0].recipients[0]", "channel"),
    (alert(recipients="sms:+33612345678"), "recipients", "expected a list, written [ … ]"),
    (alert(recipients=[]), "recipients", "expected at least 1, not 0"),
    (alert(recipient=["x"]), "recipient", 'no such field, did you mean "recipients"?'),
    (alert(message="x"), "message", 'no such field, did you mean "text"?'),
    (
        alert(recipients=[{"nmae": "x", "addresses": ["sms:+33612345678"]}]),
        "recipients[0].nmae",
        'did you mean "name"?',
    ),
    (alert(steps=[{"afters": 1}]), "steps[0].afters", 'did you mean "after_s"?'),
    (alert(template="test", variables={"note": [1]}), "variables.note", "expected text or "),
    (alert(priority="urgent"), "priority", "expected one of emergency, high, normal, bulk"),
    (alert(text="x\x00"), "text", "expected text without NUL characters"),
    (alert(language="français"), "language", "expected the tag of a language"),
    (alert(exercise="maybe"), "exercise", "expected true or false"),
    (alert(expires_after_s="soon"), "expires_after_s", "expected a whole number"),
    (alert(send_at="2026-01-01T00:00:00"), "send_at", "with its offset from UTC"),
    ({"text": "x"}, "recipients", "missing"),
    ([], "", "expected an object, written { … }"),
)


async def test_a_field_is_named_as_it_was_written(desk: ApiDesk) -> None:
    client = desk.client()
    for body, field, detail in AS_WRITTEN:
        told = problem(await client.post("/v1/alerts?account=acme", json=body), 422, "invalid-request")
        found = {error["field"]: error["detail"] for error in told["errors"]}
        assert detail in found.get(field, ""), told


async def test_a_key_in_the_place_of_an_id_is_not_answered_back(desk: ApiDesk) -> None:
    client, key = desk.client(), "tok_Mky1aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789-_A"
    for answer in (
        await client.delete(f"/v1/keys/{key}"),
        await client.get(f"/v1/accounts/{key}"),
        await client.get(f"/v1/alerts/{key}"),
        await client.get("/v1/alerts", params={key: "1"}),
        await client.post("/v1/alerts?account=acme", json=alert(**{key: 1})),
        await client.post(f"/v1/alerts?account={key}", json=alert()),
        await client.post("/v1/accounts", json={"id": "acme", "currency": key}),
    ):
        assert answer.status_code in (404, 422)
        assert key[4:] not in answer.text


def test_what_is_masked_and_what_is_not() -> None:
    token = "tok_" + "a" * 43
    assert masked_in({"x": [f"no key {token}!", ("tok_",)], token: 1}) == {"x": [f"no key {MASK}!", ["tok_"]], MASK: 1}
    assert masked_in("a token") == "a token"


def test_places_are_read_as_they_are_written() -> None:
    assert place_of("steps[0].recipients[12].addresses[3]") == ("steps", 0, "recipients", 12, "addresses", 3)
    assert as_written(("recipients", 0, "addresses", 0), {"recipients": ["x"]}) == ("recipients", 0)
    assert as_written(("variables", "a", "str"), {"variables": {"a": []}}) == ("variables", "a")
    assert as_written(("text",), {}, missing=True) == ("text",)
    assert as_written(("text",), None) == ("text",)
    assert set(NAMES.values()) - set(AlertRequest.model_fields) == {"addresses", "by"}
