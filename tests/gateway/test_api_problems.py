"""Every kind of problem, and requests made to break things: always a clear 4xx that names the field, never a 5xx."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from billing.ledger import InsufficientCredit
from gateway.api import storage
from gateway.api.problems import KINDS, Problem, path_of, problem_of
from gateway.api.storage import FREE_BYTES_MIN, Storage
from gateway.clock import SystemClock
from gateway.store.errors import StoreConflict, StoreUnavailable
from gateway.submission import FieldError
from tests.gateway.api_desk import ApiDesk, alert, problem, running

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    async with running(tmp_path, more="[http]\nmax_body_bytes = 200000") as found:
        yield found


async def test_wrong_fields_are_named_as_they_are_written(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    good = "sms:+33612345678"
    for body, field in (
        ({}, "recipients"),
        (alert(text=""), "text"),
        (alert(text="a\x00b"), "text"),
        (alert(text="\ud800"), ""),
        (alert(text=5), "text"),
        (alert(recipients=[]), "recipients"),
        (alert(recipients=[good, good, good, "nonsense"]), "recipients[3]"),
        (alert(recipients=[good, {"addresses": [good, "sms:112"]}]), "recipients[1].addresses[1]"),
        (alert(recipients=["sms:+33899700000"]), "recipients[0]"),
        (alert(recipients=["pigeon:7"]), "recipients[0]"),
        (alert(recipients=[{"name": "x"}]), "recipients[0].addresses"),
        (alert(steps=[{}, {"after_s": -1}]), "steps[1].after_s"),
        (alert(steps=[{"recipients": ["sms:17"]}]), "steps[0].recipients[0]"),
        (alert(priority="urgent"), "priority"),
        (alert(expires_after_s=10**30), "expires_after_s"),
        (alert(expires_after_s=1.5), "expires_after_s"),
        (alert(send_at="tomorrow"), "send_at"),
        (alert(send_at="2026-01-01T00:00:00"), "send_at"),
        (alert(callback_url="ftp://example.org/"), "callback_url"),
        (alert(acknowledgement={"rule": "quorum"}), "acknowledgement"),
        (alert(attachments=[{"name": "a", "content": "!"}]), "attachments[0].content"),
        (alert(colour="red"), "colour"),
        ([], ""),
        ("text", ""),
        (None, ""),
    ):
        answer = await client.post("/v1/alerts", content=json.dumps(body), headers=JSON)
        if field == "" and answer.status_code == 400:
            problem(answer, 400, "invalid-json")
            continue
        found = problem(answer, 422, "invalid-request")
        assert found["errors"][0]["field"] == field, (body, found)
        assert found["errors"][0]["code"]
        assert found["errors"][0]["detail"]


@pytest.mark.parametrize("path", ["/v1/alerts?account=acme", "/v1/accounts", "/v1/alerts/x/acknowledge"])
async def test_what_is_not_json_is_refused(desk: ApiDesk, path: str) -> None:
    client = desk.client()
    for body in (b"", b"{", b"\xff\xfe", b'{"text": "\xc3\x28"}', b"[" * 20_000, b'{"a":' * 5_000, b"1" * 5_000, b"NaN",
                 b'{"by": "\\ud800"}', b'{"id": "\\ud800", "currency": "EUR"}', b'{"\\ud800": 1}'):  # fmt: skip
        answer = await client.post(path, content=body, headers=JSON)
        assert answer.status_code in (400, 422), (body[:20], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


NOT_JSON = (b"", b" ", b"{", b"{'by': 1}", b"\xff\xfe{", b'{"text": "\xc3\x28"}', b"[" * 20_000, b'{"a":' * 5_000, b"{}{}",
            '{"by": "Anne"}'.encode("utf-16"), b"\xef\xbb\xbf{}", b'{"\\ud800": 1}', b'{"a": 1,}', b"// x", b"undefined")  # fmt: skip


async def test_case_7_10_what_is_not_json_has_one_answer_on_every_route_that_takes_json(desk: ApiDesk) -> None:
    routes = [
        (method, path.format_map(_Any()))
        for path, operations in (await desk.client().get("/openapi.json")).json()["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    ]
    assert len(routes) > 8
    payer = "?account=acme"
    client = desk.client()
    for method, path in routes:
        for body in NOT_JSON:
            if body == b"" and path.endswith(("/release", "/resolve", "/cancel")):
                continue  # who does it need not be said
            answer = await client.request(
                method, f"{path}{payer if path == '/v1/alerts' else ''}", content=body, headers=JSON
            )
            problem(answer, 400, "invalid-json")
        for body in (b"null", b"[]", b'"text"', b"17"):
            answer = await client.request(
                method, f"{path}{payer if path == '/v1/alerts' else ''}", content=body, headers=JSON
            )
            assert answer.status_code != 400, (method, path, body)  # JSON, whatever else it is


class _Any(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "1"


async def test_head_is_get_without_a_body_on_every_path(desk: ApiDesk) -> None:
    client = desk.client()
    paths = (await client.get("/openapi.json")).json()["paths"]
    asked = [path.format_map(_Any()) for path, operations in paths.items() if "get" in operations]
    assert "/health" in asked
    for path in (*asked, "/openapi.json", "/nothing"):
        get, head = await client.get(path), await client.request("HEAD", path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers["content-type"] == get.headers["content-type"]
        if path not in ("/metrics", "/v1/accounts"):  # what is counted, and when it was asked
            assert head.headers["content-length"] == get.headers["content-length"]
    assert (await client.get("/health")).json() == (await client.get("/health/ready")).json()


async def test_a_body_has_bounds(desk: ApiDesk) -> None:
    client = desk.client()
    large = json.dumps(alert(text="x" * 200_000)).encode()
    problem(await client.post("/v1/alerts?account=acme", content=large, headers=JSON), 413, "too-large")
    problem(await client.post("/v1/accounts", content=large, headers=JSON), 413, "too-large")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 10_000

    problem(await client.post("/v1/alerts?account=acme", content=chunks(), headers=JSON), 413, "too-large")
    problem(await client.post("/v1/accounts", content=chunks(), headers=JSON), 413, "too-large")


async def test_only_json_is_taken(desk: ApiDesk) -> None:
    client = desk.client()
    body = json.dumps(alert())
    for path in ("/v1/alerts?account=acme", "/v1/accounts"):
        for headers in (
            {"Content-Type": "application/x-www-form-urlencoded"},
            {"Content-Type": "text/plain"},
            {**JSON, "Content-Encoding": "gzip"},
        ):
            problem(await client.post(path, content=body, headers=headers), 415, "unsupported-media-type")
    assert (await client.post("/v1/alerts?account=acme", content=body)).status_code == 202  # nothing said: JSON


async def test_an_idempotency_key_is_short_and_plain(desk: ApiDesk) -> None:
    client = desk.client()
    for key in ("", "x" * 201, "é", "tab\there"):
        for path, body in (
            ("/v1/alerts?account=acme", alert()),
            ("/v1/accounts/acme/topups", {"amount": "1", "reference": "r"}),
        ):
            headers = [(b"Idempotency-Key", key.encode()), (b"Content-Type", b"application/json")]
            answer = await client.post(path, content=json.dumps(body), headers=headers)
            assert problem(answer, 400, "invalid-header")["errors"][0]["field"] == "Idempotency-Key"
    twice = [(b"Idempotency-Key", b"a"), (b"Idempotency-Key", b"b")]
    problem(await client.post("/v1/alerts?account=acme", content=b"{}", headers=twice), 400, "invalid-header")
    exactly = {"Idempotency-Key": "x" * 200}
    assert (await client.post("/v1/alerts?account=acme", json=alert(), headers=exactly)).status_code == 202


async def test_keys_that_are_none(desk: ApiDesk) -> None:
    client = desk.anonymous()
    for value in (
        b"",
        b"Bearer",
        b"Basic dTpw",
        b"Bearer tok_x",
        b"Bearer \xff\xfe",
        b"Bearer " + b"x" * 500,
    ):
        answer = await client.get("/v1/alerts", headers=[(b"Authorization", value)])
        problem(answer, 401, "unauthorized")
    lower = desk.anonymous()
    answer = await lower.get("/v1/alerts", headers={"Authorization": f"bearer {desk.administrator}"})
    assert answer.status_code == 200  # the scheme's case does not matter (RFC 9110 11.1)


async def test_paths_and_methods_that_are_not_there(desk: ApiDesk) -> None:
    client = desk.client()
    for path in ("/v1/", "/v1/alerts/", "/v2/alerts", "/docs/nothing", "/v1/%00", "/v1/alerts/x/y/z", "/é"):
        problem(await client.get(path), 404, "not-found")
    for method, path, allow in (
        ("DELETE", "/v1/alerts", "GET, HEAD, POST"),
        ("PUT", "/v1/accounts/acme", "GET, HEAD, PATCH"),
        ("POST", "/metrics", "GET, HEAD"),
        ("GET", "/v1/keys/x", "DELETE"),
    ):
        answer = await client.request(method, path)
        problem(answer, 405, "method-not-allowed")
        assert answer.headers["Allow"] == allow


async def test_ids_and_cursors_that_are_none(desk: ApiDesk) -> None:
    client = desk.client()
    for path in (
        "/v1/alerts/nothing",
        "/v1/deliveries/nothing",
        "/v1/accounts/nothing",
        "/v1/accounts/nothing/entries",
    ):
        problem(await client.get(path), 404, "not-found")
    for path in ("/v1/alerts/%00", "/v1/alerts/" + "x" * 70, "/v1/accounts/a%0Ab", "/v1/deliveries/%F0%9F%98%80"):
        problem(await client.get(path), 422, "invalid-request")
    for query in ("limit=0", "limit=201", "limit=x", "cursor=%00", "cursor=x", "cursor=WzFd", "cursor=WyJcdTAwMDAiXQ",
                  "status=lost", "account=%00", "reference=%00"):  # fmt: skip
        found = problem(await client.get(f"/v1/alerts?{query}"), 422, "invalid-request")
        assert found["errors"][0]["field"] == query.partition("=")[0]
    huge = "WzFlMzAwLDAsIiIsMCwwXQ"  # [1e300,0,"",0,0]
    taken = (await client.post("/v1/alerts?account=acme", json=alert())).json()
    problem(await client.get(f"/v1/alerts/{taken['id']}/timeline?cursor={huge}"), 422, "invalid-request")
    problem(await client.post(f"/v1/callbacks/x/{10**30}/retry"), 422, "invalid-request")


async def test_a_request_keeps_its_id(desk: ApiDesk) -> None:
    client = desk.client()
    assert (await client.get("/v1/alerts", headers={"X-Request-Id": "abc-1"})).headers["X-Request-Id"] == "abc-1"
    for given in (b"x" * 65, b"a b", b"\xff", b""):
        answer = await client.get("/nothing", headers=[(b"X-Request-Id", given)])
        assert answer.headers["X-Request-Id"].startswith("req_")


async def test_a_full_disk_takes_no_alert_and_says_when_to_come_back(
    desk: ApiDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = desk.client()
    left = FREE_BYTES_MIN - 1
    monkeypatch.setattr(os, "statvfs", lambda _: _Statvfs(left))
    monkeypatch.setattr(storage, "FRESH_S", 0.0)

    async def ask() -> Any:
        return await client.post("/v1/alerts?account=acme", json=alert())

    answer = await desk.until(ask, lambda answer: answer.status_code == 503)
    problem(answer, 503, "storage-full")
    assert int(answer.headers["Retry-After"]) > 0
    ready = await desk.until(lambda: client.get("/health/ready"), lambda answer: answer.status_code == 503)
    assert "storage" in [reason["code"] for reason in problem(ready, 503, "not-ready")["reasons"]]
    assert (await client.get("/v1/alerts")).status_code == 200
    monkeypatch.undo()
    await desk.until(ask, lambda answer: answer.status_code == 202)


class _Statvfs:
    f_frsize = 1

    def __init__(self, free: int) -> None:
        self.f_bavail = free


def test_only_a_database_on_this_machine_can_be_full() -> None:
    def full(_folder: Path) -> int:
        return 0

    def unknown(_folder: Path) -> int:
        raise OSError("gone")

    assert not Storage("postgresql://host/db", SystemClock(), full).full()
    assert not Storage("sqlite:///t.db", SystemClock(), unknown).full()
    tight = Storage("sqlite:///t.db", SystemClock(), full)
    with pytest.raises(Problem):
        tight.require_room()


async def test_a_store_that_is_away_is_a_503(desk: ApiDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    client = desk.client()
    assert (await client.get("/v1/alerts")).status_code == 200

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("disk I/O error")

    monkeypatch.setattr(desk.broker.journal, "do", away)
    monkeypatch.setattr(desk.store, "write", away)
    answers = [
        await client.post("/v1/alerts?account=acme", json=alert()),
        await client.post("/v1/alerts/x/cancel"),
        await client.put("/v1/tariffs", json={"channel": "sms", "price": "1"}),
    ]
    for answer in answers:
        problem(answer, 503, "unavailable")
        assert answer.headers["Retry-After"]


async def test_a_fault_of_ours_tells_nothing_of_itself(desk: ApiDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    client = desk.client()

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(desk.broker.journal, "do", broken)
    for path in ("/v1/alerts?account=acme", "/v1/alerts/x/cancel"):
        with capture_logs() as lines:
            answer = await client.post(path, json=alert() if "?" in path else {})
        problem(answer, 500, "internal-error")
        assert "secret" not in answer.text
        assert answer.headers["X-Request-Id"]
        assert [line["event"] for line in lines if line["log_level"] == "error"] == ["request_failed"]


async def test_a_sender_that_leaves_is_nothing_to_worry_about(desk: ApiDesk) -> None:
    host, _, port = desk.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/alerts?account=acme HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {desk.administrator}\r\n"
    writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await desk.client().get("/health/ready")).status_code == 200
    assert (await desk.client().get("/v1/alerts")).json()["items"] == []


@pytest.mark.parametrize("name", list(KINDS))
def test_every_kind_has_words_and_a_status_of_its_class(name: str) -> None:
    kind = KINDS[name]
    assert 400 <= kind.status < 600
    assert kind.title
    assert kind.meaning.endswith(".")
    answer = Problem(name, "so it is").response()
    assert answer.status_code == kind.status
    assert json.loads(bytes(answer.body))["type"] == f"/problems/{name}"


def test_errors_of_the_broker_have_answers() -> None:
    def name(error: Exception) -> str:
        found = problem_of(error)
        assert found is not None
        return str(found.body["type"]).removeprefix("/problems/")

    assert name(FieldError("text", "too_long", "less")) == "invalid-request"
    assert name(InsufficientCredit(2, 1)) == "insufficient-credit"
    assert name(StoreUnavailable("x")) == "unavailable"
    assert name(StoreConflict("x")) == "conflict"
    assert problem_of(ZeroDivisionError()) is None


def test_places_are_written_as_in_the_body() -> None:
    assert path_of(["recipients", 3, "addresses", 0]) == "recipients[3].addresses[0]"
    assert path_of([]) == ""
