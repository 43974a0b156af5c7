"""Alerts over HTTP: taken, tried, told; twice is once; who may end one and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from channels.sms.smpp.behaviour import SmscBehaviour
from gateway.books import verify_ledger
from tests.gateway.api_desk import ApiDesk, alert, problem, running


@pytest.fixture(params=["sqlite", "postgresql"])
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ApiDesk]:
    url = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else None
    async with running(tmp_path, store_url=url) as found:
        yield found


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    """A gateway whose provider takes its time: what is sent is seen under way."""
    async with running(tmp_path, behaviour=SmscBehaviour(response_delay_s=1.0)) as found:
        yield found


async def test_an_alert_goes_the_whole_way_and_everything_is_told(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    answer = await client.post("/v1/alerts", json=alert(reference="PUMP-3", subject="Pump"))
    assert answer.status_code == 202
    taken = answer.json()
    assert taken["status"] == "active"
    assert [d["address"] for d in taken["deliveries"]] == ["sms:+33612345678"]
    shown = await desk.settled(client, taken["id"])
    assert (shown["status"], shown["reference"], shown["priority"]) == ("completed", "PUMP-3", "normal")
    assert shown["deliveries"][0]["state"] == "delivered"

    delivery = (await client.get(f"/v1/deliveries/{taken['deliveries'][0]['id']}")).json()
    assert (delivery["units"], delivery["price"], delivery["charged"], delivery["held"]) == (
        1,
        "0.045",
        "0.045",
        "0.00",
    )
    attempt = delivery["attempts"][0]
    assert attempt["provider"] == "carrier-a"
    assert attempt["at"]
    assert attempt["parts"][0]["code"] == "delivered"

    lines = (await client.get(f"/v1/alerts/{taken['id']}/timeline")).json()["items"]
    kinds = [line["kind"] for line in lines]
    for earlier, later in pairwise(["accepted", "hold", "queued", "attempt", "sent", "receipt"]):
        assert kinds.index(earlier) < kinds.index(later)
    assert {"outcome", "settled", "capture", "completed"} <= set(kinds)
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)

    account = (await client.get("/v1/accounts/acme")).json()
    assert (account["balance"], account["held"]) == ("9.955", "0.00")
    assert await desk.store.read(verify_ledger) == []


async def test_a_timeline_in_pages_is_the_timeline(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    numbers = [f"sms:+3361234560{n}" for n in range(5)]
    taken = (await client.post("/v1/alerts", json=alert(recipients=numbers))).json()
    await desk.settled(client, taken["id"])
    path = f"/v1/alerts/{taken['id']}/timeline"
    whole = (await client.get(path)).json()["items"]
    paged, cursor = [], None
    while True:
        page = (await client.get(path, params={"limit": 3, **({"cursor": cursor} if cursor else {})})).json()
        paged += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert paged == whole
    assert len(whole) > 25


async def test_lists_are_paged_the_latest_first(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    made = [(await client.post("/v1/alerts", json=alert(text=str(n)))).json()["id"] for n in range(5)]
    first = (await client.get("/v1/alerts", params={"limit": 3})).json()
    await client.post("/v1/alerts", json=alert(text="later"))
    rest = (await client.get("/v1/alerts", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in first["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None
    await desk.settled(client, made[0])
    done = (await client.get("/v1/alerts", params={"status": "completed", "limit": 200})).json()["items"]
    assert made[0] in [one["id"] for one in done]
    assert (await client.get("/v1/alerts", params={"status": "failed"})).json()["items"] == []


async def test_the_same_request_again_is_answered_as_before(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    key = {"Idempotency-Key": "order 66"}
    first = await client.post("/v1/alerts", json=alert(), headers=key)
    again = await client.post("/v1/alerts", json=alert(), headers=key)
    assert again.status_code == 202
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    other = await client.post("/v1/alerts", json=alert(text="another"), headers=key)
    problem(other, 409, "idempotency-conflict")
    assert len((await client.get("/v1/alerts")).json()["items"]) == 1


async def test_duplicates_at_the_same_time_are_one_alert(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    answers = await asyncio.gather(
        *(client.post("/v1/alerts", json=alert(), headers={"Idempotency-Key": "k"}) for _ in range(10))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 9
    assert len((await client.get("/v1/alerts")).json()["items"]) == 1


async def test_idempotency_keys_are_an_accounts_own(desk: ApiDesk) -> None:
    await desk.account("other", "10")
    key = {"Idempotency-Key": "k"}
    ids = set()
    for name in ("acme", "other"):
        client = desk.client(await desk.key("submitter", name))
        ids.add((await client.post("/v1/alerts", json=alert(), headers=key)).json()["id"])
    assert len(ids) == 2


async def test_a_dry_run_writes_nothing(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    answer = await client.post("/v1/alerts", json=alert(dry_run=True, text="é" * 200))
    assert answer.status_code == 200
    plan = answer.json()
    assert plan["deliveries"][0]["provider"] == "carrier-a"
    assert plan["total"] == plan["deliveries"][0]["hold"]
    assert (await client.get("/v1/alerts")).json()["items"] == []
    assert (await client.get("/v1/accounts/acme")).json()["balance"] == "10.00"


async def test_who_cannot_pay_is_told_what_is_missing_and_nothing_is_sent(desk: ApiDesk) -> None:
    await desk.account("poor", "0.1")
    client = desk.client(await desk.key("submitter", "poor"))
    numbers = [f"sms:+3361234560{n}" for n in range(3)]
    body = problem(await client.post("/v1/alerts", json=alert(recipients=numbers)), 402, "insufficient-credit")
    assert (body["required"], body["available"]) == ("0.135", "0.10")
    assert (await client.get("/v1/alerts")).json()["items"] == []
    emergency = await client.post("/v1/alerts", json=alert(recipients=numbers, priority="emergency"))
    assert emergency.status_code == 202  # an empty account never silences an alarm


async def test_a_key_of_the_installation_names_the_account(desk: ApiDesk) -> None:
    client = desk.client()
    missing = problem(await client.post("/v1/alerts", json=alert()), 422, "invalid-request")
    assert missing["errors"][0]["field"] == "account"
    unknown = await client.post("/v1/alerts", params={"account": "nobody"}, json=alert())
    assert problem(unknown, 422, "invalid-request")["errors"][0]["code"] == "unknown_account"
    taken = await client.post("/v1/alerts", params={"account": "acme"}, json=alert())
    assert (await client.get(f"/v1/alerts/{taken.json()['id']}")).json()["account"] == "acme"
    bound = desk.client(await desk.key("submitter", "acme"))
    refused = await bound.post("/v1/alerts", params={"account": "nobody"}, json=alert())
    assert problem(refused, 422, "invalid-request")["errors"][0]["field"] == "account"


async def test_another_accounts_alert_does_not_exist(desk: ApiDesk) -> None:
    await desk.account("other", "10")
    owner, other = desk.client(await desk.key("submitter", "acme")), desk.client(await desk.key("submitter", "other"))
    taken = (await owner.post("/v1/alerts", json=alert(priority="high"))).json()
    delivery = taken["deliveries"][0]["id"]
    here = f"/v1/alerts/{taken['id']}"
    for path in (
        here,
        f"{here}/timeline",
        f"{here}/deliveries",
        f"/v1/deliveries/{delivery}",
        "/v1/alerts?account=acme",
    ):
        nothing = await other.get(path)
        problem(nothing, 404, "not-found")
    for verb in ("acknowledge", "cancel", "resolve", "release"):
        problem(await other.post(f"{here}/{verb}", json={"by": "eve"}), 404, "not-found")
    assert (await other.get("/v1/alerts")).json()["items"] == []
    assert (await owner.get(here)).json()["status"] == "active"


async def test_somebody_acknowledges_and_hands_it_back(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("operator", "acme"))
    submitter = desk.client(await desk.key("submitter", "acme"))
    taken = (await submitter.post("/v1/alerts", json=alert(priority="high"))).json()
    here = f"/v1/alerts/{taken['id']}"
    answer = await client.post(f"{here}/acknowledge", json={"by": "Anne", "comment": "on my way"})
    assert answer.status_code == 200
    shown = answer.json()
    assert shown["status"] == "acknowledged"
    acknowledgement = shown["acknowledgements"][0]
    assert (acknowledgement["by"], acknowledgement["comment"], acknowledgement["via"]) == ("Anne", "on my way", "api")
    assert acknowledgement["key_id"].startswith("key_")
    problem(await client.post(f"{here}/cancel"), 409, "alert-ended")
    assert (await client.post(f"{here}/release", json={"by": "Anne"})).json()["status"] == "active"
    assert (await client.post(f"{here}/resolve")).json()["status"] == "resolved"
    problem(await client.post(f"{here}/acknowledge", json={"by": "Bob"}), 409, "alert-ended")
    kinds = [line["kind"] for line in (await client.get(f"{here}/timeline")).json()["items"]]
    assert {"acknowledgement", "acknowledged", "active", "resolved"} <= set(kinds)


async def test_a_cancelled_alert_sends_nothing_more(slow: ApiDesk) -> None:
    client = slow.client(await slow.key("submitter", "acme"))
    body = alert(send_at="2126-01-01T00:00:00Z")
    refused = problem(await client.post("/v1/alerts", json=body), 422, "invalid-request")
    assert refused["errors"][0]["field"] == "send_at"
    taken = (await client.post("/v1/alerts", json=alert(steps=[{"after_s": 3600}]))).json()
    assert taken["deliveries"] == []
    assert (await client.post(f"/v1/alerts/{taken['id']}/cancel")).json()["status"] == "cancelled"
    problem(await client.post(f"/v1/alerts/{taken['id']}/cancel"), 409, "alert-ended")
    assert slow.smsc.counters.submits == 0


async def test_what_is_under_way_is_shown_as_such(slow: ApiDesk) -> None:
    client = slow.client(await slow.key("submitter", "acme"))
    taken = (await client.post("/v1/alerts", json=alert())).json()
    await slow.smsc.wait_for(lambda s: s.counters.submits > 0)
    delivery = (await client.get(f"/v1/deliveries/{taken['deliveries'][0]['id']}")).json()
    assert (delivery["state"], delivery["held"], delivery["settled_at"]) == ("sending", "0.045", None)
    assert delivery["attempts"][0]["outcome"] == ""
    assert delivery["attempts"][0]["at"] is None


async def test_many_recipients_are_planned_beside_the_loop(desk: ApiDesk) -> None:
    """A body that takes long to read goes through a thread; the answer shows the first hundred."""
    client = desk.client(await desk.key("submitter", "acme"))
    await desk.price("0.001")
    numbers = [{"name": f"{n:0200d}", "addresses": [f"sms:+336{n:08d}"]} for n in range(260)]
    answer = await client.post("/v1/alerts", json=alert(recipients=numbers))
    assert answer.status_code == 202
    assert answer.json()["deliveries_total"] == 260
    assert len(answer.json()["deliveries"]) == 100
    shown = await desk.settled(client, answer.json()["id"])
    assert (shown["deliveries_total"], len(shown["deliveries"])) == (260, 100)
    rest = await client.get(f"/v1/alerts/{shown['id']}/deliveries", params={"limit": 200})
    assert len(rest.json()["items"]) == 200
    last = await client.get(
        f"/v1/alerts/{shown['id']}/deliveries", params={"limit": 200, "cursor": rest.json()["next_cursor"]}
    )
    assert len(last.json()["items"]) == 60
