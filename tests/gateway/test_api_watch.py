"""What operators watch over HTTP: health, metrics, providers, inbound messages, callbacks that were given up."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from gateway.api import health
from gateway.api.pages import router as pages
from gateway.api.problems import KINDS
from gateway.backlog import Backlog, queued_by_provider
from gateway.queue.memory import MemoryQueue
from gateway.queue.port import Ticket, Urgency
from gateway.store.errors import StoreUnavailable
from tests.gateway.api_desk import ApiDesk, alert, problem, running, serving

KINDS_OF_ANSWER = ("text/html", "application/json")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    async with running(tmp_path) as found:
        yield found


class Receiver:
    """Upstream's end of the callbacks: keeps what came and answers as it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.came: asyncio.Queue[tuple[Mapping[str, str], bytes]] = asyncio.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        await self.came.put((request.headers, await request.body()))
        await Response(status_code=self.status)(scope, receive, send)

    async def next(self) -> tuple[Mapping[str, str], bytes]:
        async with asyncio.timeout(20):
            return await self.came.get()


async def test_the_process_lives_and_is_ready(desk: ApiDesk) -> None:
    client = desk.anonymous()
    assert (await client.get("/health/live")).json() == {"status": "live"}
    assert (await client.get("/health/ready")).json() == {"status": "ready", "warnings": []}


async def test_a_link_that_is_down_is_a_warning(desk: ApiDesk) -> None:
    client = desk.client()
    await desk.smsc.stop()

    async def ask() -> Any:
        return (await client.get("/health/ready")).json()["warnings"]

    assert await desk.until(ask, bool) == [{"code": "provider_down", "detail": "carrier-a"}]
    provider = (await client.get("/v1/providers")).json()["items"][0]
    assert (provider["up"], provider["links_up"]) == (False, 0)


async def test_a_broker_that_has_ended_is_not_ready(desk: ApiDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.broker, "ready", False)
    client = desk.anonymous()
    answer = await client.get("/health/ready")
    reasons = problem(answer, 503, "not-ready")["reasons"]
    assert [reason["code"] for reason in reasons] == ["broker"]
    assert "tocsin_ready 0.0" in (await client.get("/metrics")).text
    assert (await client.get("/health/live")).status_code == 200


async def test_a_store_that_cannot_be_written_is_not_ready(desk: ApiDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(desk.store, "write", refuse)
    answer = await desk.anonymous().get("/health/ready")
    reasons = problem(answer, 503, "not-ready")["reasons"]
    assert [reason["code"] for reason in reasons] == ["store"]


async def test_metrics_count_and_measure(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    taken = (await client.post("/v1/alerts", json=alert())).json()
    await desk.settled(client, taken["id"])
    answer = await desk.anonymous().get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.text
    for line in (
        'tocsin_queue_depth{provider="carrier-a"} 0.0',
        'tocsin_provider_up{provider="carrier-a"} 1.0',
        'tocsin_provider_circuit_open{provider="carrier-a"} 0.0',
        "tocsin_journal_pending 0.0",
        "tocsin_ready 1.0",
    ):
        assert line in text
    assert 'tocsin_http_requests_total{method="POST",status="202"}' in text
    assert "acme" not in text


async def test_what_waits_between_two_tries_is_counted(desk: ApiDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    watcher = desk.client()
    await desk.smsc.stop()
    taken = (await client.post("/v1/alerts", json=alert())).json()

    async def waits() -> Any:
        return await desk.store.read(queued_by_provider), await desk.broker.queue.depth("carrier-a")

    async def shown() -> Any:
        return (await watcher.get("/v1/providers")).json()["items"][0]["queue_depth"]

    async def attempts() -> Any:
        lines = (await client.get(f"/v1/alerts/{taken['id']}/timeline")).json()["items"]
        return [line for line in lines if line["kind"].startswith("attempt")]

    await desk.until(attempts, bool)
    await desk.until(waits, lambda found: found == ({"carrier-a": 1}, 0))
    assert await desk.until(shown, bool) == 1
    assert 'tocsin_queue_depth{provider="carrier-a"} 1.0' in (await desk.anonymous().get("/metrics")).text

    async def refuse(*_: object) -> None:
        raise StoreUnavailable("away")

    empty = MemoryQueue()
    assert await Backlog(desk.store, empty, desk.broker.clock).depth("nobody") == 0
    await empty.announce("nobody", [Ticket(delivery_id=f"dlv_{n}", urgency=Urgency.HIGH) for n in range(3)])
    assert await Backlog(desk.store, empty, desk.broker.clock).depth("nobody") == 3
    monkeypatch.setattr(desk.store, "read", refuse)
    assert await Backlog(desk.store, empty, desk.broker.clock).depth("nobody") is None
    monkeypatch.undo()


async def test_a_flood_of_scrapes_costs_some_of_them(desk: ApiDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0

    def counted(registry: Any) -> bytes:
        nonlocal made
        made += registry is REGISTRY
        return generate_latest(registry)

    monkeypatch.setattr(health, "generate_latest", counted)
    client = desk.anonymous()
    answers = await asyncio.gather(*(client.get("/metrics") for _ in range(200)))
    assert {answer.status_code for answer in answers} == {200}
    assert all("tocsin_ready 1.0" in answer.text for answer in answers)
    began, made = desk.broker.clock.monotonic(), 0
    for _ in range(100):
        assert "tocsin_ready 1.0" in (await client.get("/metrics")).text
    lasted_s = desk.broker.clock.monotonic() - began
    assert 1 <= made <= health.SCRAPES_PER_S * (1 + lasted_s) + 1


async def test_a_page_that_cannot_change_is_made_once(desk: ApiDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(template: str, **values: Any) -> bytes:
        made.append(template)
        return rendered(template, **values)

    rendered = pages.rendered
    monkeypatch.setattr(pages, "rendered", counted)
    client = desk.anonymous()
    paths = ["/", *(f"/problems/{name}" for name in KINDS)]
    first = [await client.get(path, headers={"Accept": kind}) for path in paths for kind in KINDS_OF_ANSWER]
    again = [await client.get(path, headers={"Accept": kind}) for path in paths for kind in KINDS_OF_ANSWER]
    assert [(one.status_code, one.content) for one in again] == [(one.status_code, one.content) for one in first]
    assert {one.status_code for one in first} == {200}
    assert len(made) == len(paths)
    monkeypatch.setattr(desk.broker, "ready", False)
    assert (await client.get("/problems/not-found")).content == first[paths.index("/problems/not-found") * 2].content


async def test_a_provider_is_shown_probed_and_tested(desk: ApiDesk) -> None:
    client = desk.client()
    provider = (await client.get("/v1/providers")).json()["items"][0]
    assert (provider["name"], provider["channel"], provider["kind"]) == ("carrier-a", "sms", "smpp")
    assert (provider["up"], provider["circuit"], provider["queue_depth"]) == (True, "closed", 0)
    assert (await client.post("/v1/providers/carrier-a/probe")).json()["up"] is True
    assert desk.smsc.counters.submits == 0
    answer = await client.post("/v1/providers/carrier-a/test", json={"to": "+33612345678", "text": "only a test"})
    told = answer.json()
    assert (told["outcome"], told["address"]) == ("accepted", "sms:+33612345678")
    assert told["parts"][0]["provider_message_id"]
    assert desk.smsc.received[-1].text == "only a test"
    assert (await client.get("/v1/alerts")).json()["items"] == []
    for to in ("sms:112", "pigeon", "sms:+33899700000"):
        wrong = await client.post("/v1/providers/carrier-a/test", json={"to": to})
        assert problem(wrong, 422, "invalid-request")["errors"][0]["field"] == "to"
    problem(await client.post("/v1/providers/nobody/probe"), 404, "not-found")
    problem(await client.post("/v1/providers/nobody/test", json={"to": "+33612345678"}), 404, "not-found")


async def test_what_people_answer_is_listed(desk: ApiDesk) -> None:
    client = desk.client()
    for text in ("first", "second, and too long for one message: " + "x" * 200):
        desk.smsc.send_mo("+33612345678", "38600", text)

    async def ask() -> Any:
        return (await client.get("/v1/inbound")).json()["items"]

    found = await desk.until(ask, lambda items: len(items) == 2)
    assert {one["text"][:6] for one in found} == {"first", "second"}
    assert found[0]["provider"] == "carrier-a"
    first = (await client.get("/v1/inbound?limit=1")).json()
    rest = (await client.get("/v1/inbound", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert first["items"] + rest["items"] == found
    bound = desk.client(await desk.key("operator", "acme"))
    problem(await bound.get("/v1/inbound"), 403, "forbidden")


async def test_a_parked_callback_is_seen_and_sent_again(desk: ApiDesk) -> None:
    receiver = Receiver()
    receiver.status = 500
    async with serving(receiver) as url:
        client = desk.client(await desk.key("operator", "acme"))
        submitter = desk.client(await desk.key("submitter", "acme"))
        taken = (await submitter.post("/v1/alerts", json=alert(callback_url=f"{url}/hook"))).json()

        async def ask() -> Any:
            return (await client.get("/v1/callbacks")).json()["items"]

        parked = (await desk.until(ask, bool))[0]
        assert (parked["alert"], parked["state"], parked["code"]) == (taken["id"], "parked", "http_500")
        shown = await client.get(f"/v1/callbacks?alert={taken['id']}&account=acme")
        assert parked in shown.json()["items"]
        await desk.account("other")
        stranger = desk.client(await desk.key("operator", "other"))
        again = f"/v1/callbacks/{taken['id']}/{parked['number']}/retry"
        problem(await stranger.post(again), 404, "not-found")
        assert (await stranger.get("/v1/callbacks")).json()["items"] == []

        receiver.status = 200
        await receiver.next()
        answer = await client.post(again)
        assert answer.status_code == 202
        with contextlib.suppress(asyncio.QueueEmpty):
            while True:
                receiver.came.get_nowait()

        async def done() -> Any:
            answer = await client.get(f"/v1/callbacks?state=done&alert={taken['id']}")
            return [one["number"] for one in answer.json()["items"]]

        await desk.until(done, lambda numbers: parked["number"] in numbers)
        problem(await client.post(again), 409, "callback-not-parked")
        problem(await client.post(f"/v1/callbacks/{taken['id']}/99/retry"), 404, "not-found")
        lines = (await client.get(f"/v1/alerts/{taken['id']}/timeline")).json()["items"]
        assert {"callback_parked", "callback_retried"} <= {line["kind"] for line in lines}


def verified(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """As docs/reference/api.md tells receivers to do it."""
    signed = headers["Tocsin-Timestamp"].encode() + b"." + body
    expected = "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, headers["Tocsin-Signature"])


async def test_a_callback_is_signed_with_the_secret_that_the_account_can_read(desk: ApiDesk) -> None:
    receiver = Receiver()
    async with serving(receiver) as url:
        admin = desk.client(await desk.key("account_admin", "acme"))
        secret = (await admin.get("/v1/accounts/acme/callback-secret")).json()["callback_secret"]
        submitter = desk.client(await desk.key("submitter", "acme"))
        taken = (await submitter.post("/v1/alerts", json=alert(callback_url=f"{url}/hook", reference="R"))).json()
        headers, body = await receiver.next()
        assert verified(secret, headers, body)
        assert not verified(secret, headers, body + b" ")
        told = json.loads(body)
        assert (told["alert"], told["reference"], told["number"]) == (taken["id"], "R", 1)
