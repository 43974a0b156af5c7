"""Accounts, money, tariffs and keys over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import administration
from gateway.books import verify_ledger
from tests.gateway.api_desk import ApiDesk, alert, problem, running


@pytest.fixture(params=["sqlite", "postgresql"])
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ApiDesk]:
    url = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else None
    async with running(tmp_path, store_url=url) as found:
        yield found


async def test_an_account_is_made_and_shown(desk: ApiDesk) -> None:
    client = desk.client()
    body = {"id": "plant", "currency": "EUR", "floor": "-20.00"}
    answer = await client.post("/v1/accounts", json=body)
    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["id"], shown["name"], shown["currency"]) == ("plant", "plant", "EUR")
    assert (shown["balance"], shown["held"], shown["floor"]) == ("0.00", "0.00", "-20.00")
    assert (await client.get("/v1/accounts/plant")).json() == shown
    problem(await client.post("/v1/accounts", json=body), 409, "account-exists")
    assert [one["id"] for one in (await client.get("/v1/accounts")).json()["items"]] == ["acme", "plant"]
    first = (await client.get("/v1/accounts?limit=1")).json()
    rest = (await client.get("/v1/accounts", params={"cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in rest["items"]] == ["plant"]


async def test_what_an_account_refuses(desk: ApiDesk) -> None:
    client = desk.client()
    for body, field in (
        ({"currency": "EUR"}, "id"),
        ({"id": "a b", "currency": "EUR"}, "id"),
        ({"id": "a", "currency": "euro"}, "currency"),
        ({"id": "a", "currency": "EUR", "floor": "5"}, "floor"),
        ({"id": "a", "currency": "EUR", "name": "x\x00"}, "name"),
    ):
        assert (
            problem(await client.post("/v1/accounts", json=body), 422, "invalid-request")["errors"][0]["field"] == field
        )


async def test_a_payment_arrives_once(desk: ApiDesk) -> None:
    client = desk.client()
    body = {"amount": "50.00", "reference": "INV-1"}
    here = "/v1/accounts/acme/topups"
    key = {"Idempotency-Key": "pay-1"}
    answers = await asyncio.gather(*(client.post(here, json=body, headers=key) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["balance"] for answer in answers} == {"60.00"}
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 4
    problem(await client.post(here, json={**body, "amount": "51"}, headers=key), 409, "idempotency-conflict")
    problem(await client.post(here, json={**body, "amount": "51"}), 409, "top-up-conflict")
    assert (await client.post(here, json=body)).json()["balance"] == "60.00"
    entries = (await client.get("/v1/accounts/acme/entries")).json()["items"]
    assert [(one["kind"], one["amount"], one["cause"]["id"]) for one in entries] == [
        ("topup", "50.00", "INV-1"),
        ("topup", "10.00", "first"),
    ]
    for amount in ("0", "-5", "1e3", "0.0000001", 5):
        wrong = await client.post(here, json={"amount": amount, "reference": "x"})
        assert problem(wrong, 422, "invalid-request")["errors"][0]["field"] == "amount"
    problem(await client.post("/v1/accounts/nobody/topups", json=body), 404, "not-found")
    assert await desk.store.read(verify_ledger) == []


async def test_a_capture_is_given_back_once(desk: ApiDesk) -> None:
    client = desk.client()
    taken = (await client.post("/v1/alerts?account=acme", json=alert())).json()
    await desk.settled(client, taken["id"])
    entries = (await client.get("/v1/accounts/acme/entries")).json()["items"]
    capture = next(one for one in entries if one["kind"] == "capture")
    body = {"entry": capture["id"], "reason": "never arrived"}
    first, again = [(await client.post("/v1/accounts/acme/refunds", json=body)).json() for _ in range(2)]
    assert first["balance"] == again["balance"] == "10.00"
    assert (first["booked"], again["booked"], again["entry"]) == (True, False, first["entry"])
    other = await client.post("/v1/accounts/acme/refunds", json={**body, "reason": "another"})
    problem(other, 409, "refund-conflict")
    hold = next(one for one in entries if one["kind"] == "hold")
    wrong = await client.post("/v1/accounts/acme/refunds", json={**body, "entry": hold["id"]})
    problem(wrong, 409, "refund-conflict")
    problem(await client.post("/v1/accounts/acme/refunds", json={**body, "entry": 10**9}), 422, "invalid-request")
    lines = (await client.get(f"/v1/alerts/{taken['id']}/timeline")).json()["items"]
    assert "refund" in [line["kind"] for line in lines]
    assert await desk.store.read(verify_ledger) == []


async def test_a_mistyped_payment_is_taken_back_once(desk: ApiDesk) -> None:
    client, here = desk.client(), "/v1/accounts/acme/reversals"
    await client.post("/v1/accounts/acme/topups", json={"amount": "500", "reference": "INV-1"})
    entry = (await client.get("/v1/accounts/acme/entries")).json()["items"][0]["id"]
    body = {"entry": entry, "reason": "typed 500 for 50"}
    for _ in range(2):
        answer = await client.post(here, json=body)
        assert (answer.status_code, answer.json()["balance"]) == (201, "10.00")
    problem(await client.post(here, json={**body, "reason": "another"}), 409, "reversal-conflict")
    last = (await client.get("/v1/accounts/acme/entries")).json()["items"][0]
    assert (last["kind"], last["reverses"], last["amount"]) == ("reversal", entry, "500.00")
    assert (last["cause"]["type"], last["cause"]["id"]) == ("reversal", f"{entry}:typed 500 for 50")
    assert (last["change"], last["balance"], last["currency"]) == ("-500.00", "10.00", "EUR")
    problem(await client.post(here, json={**body, "entry": last["id"]}), 409, "reversal-conflict")
    problem(await client.post(here, json={**body, "entry": 10**9}), 422, "invalid-request")
    problem(await client.post(here, json={**body, "allow_debt": "yes"}), 422, "invalid-request")
    problem(await client.post("/v1/accounts/nobody/reversals", json=body), 404, "not-found")
    first = (await client.get("/v1/accounts/acme/entries")).json()["items"][-1]
    await client.post("/v1/alerts?account=acme", json=alert())  # some of it is spent, or held
    spent = {"entry": first["id"], "reason": "a test"}
    assert "spent or held" in problem(await client.post(here, json=spent), 409, "reversal-conflict")["detail"]
    assert (await client.post(here, json={**spent, "allow_debt": True})).json()["balance"].startswith("-")
    assert await desk.store.read(verify_ledger) == []


async def test_a_payment_says_whether_it_was_booked(desk: ApiDesk) -> None:
    client, here = desk.client(), "/v1/accounts/acme/topups"
    body = {"amount": "50", "reference": "INV-1"}
    first, again = [(await client.post(here, json=body)).json() for _ in range(2)]
    assert (first["booked"], again["booked"]) == (True, False)
    assert first["entry"] == again["entry"] == (await client.get("/v1/accounts/acme/entries")).json()["items"][0]["id"]
    for amount, currency, taken in (
        ("50.123", "EUR", False), ("10.5", "JPY", False), ("10", "JPY", True), ("1.234", "KWD", True), ("1.2345", "KWD", False),
        ("0.000001", "credit", True),
    ):  # fmt: skip
        account = {"id": currency.lower(), "currency": currency}
        await client.post("/v1/accounts", json=account)
        answer = await client.post(f"/v1/accounts/{account['id']}/topups", json={"amount": amount, "reference": amount})
        assert answer.status_code == (201 if taken else 422), answer.text
        if not taken:
            assert problem(answer, 422, "invalid-request")["errors"][0]["field"] == "amount"


async def test_name_and_floor_can_be_changed(desk: ApiDesk) -> None:
    client, here = desk.client(), "/v1/accounts/acme"
    changed = (await client.patch(here, json={"floor": "-20.00"})).json()
    assert changed["floor"] == "-20.00"
    changed = (await client.patch(here, json={"name": "Acme Foods"})).json()
    assert (changed["name"], changed["floor"]) == ("Acme Foods", "-20.00")
    assert (await client.patch(here, json={"floor": None})).json()["floor"] is None
    for wrong in ({}, {"floor": "5"}, {"name": ""}, {"currency": "USD"}):
        problem(await client.patch(here, json=wrong), 422, "invalid-request")
    problem(await client.patch("/v1/accounts/nobody", json={"name": "x"}), 404, "not-found")


async def test_a_price_can_be_removed_and_one_that_never_counts_is_refused(desk: ApiDesk) -> None:
    client, here = desk.client(), "/v1/tariffs"
    narrow = {"channel": "sms", "prefix": "+336", "price": "0.09"}
    assert (await client.put(here, json=narrow)).status_code == 200
    dry = alert(dry_run=True)
    dear = (await client.post("/v1/alerts?account=acme", json=dry)).json()["total"]
    assert (await client.delete(here + "?channel=sms&prefix=%2B336")).json()["price"] == "0.09"
    assert (await client.post("/v1/alerts?account=acme", json=dry)).json()["total"] != dear
    problem(await client.delete(here + "?channel=sms&prefix=%2B336"), 404, "not-found")
    assert "+336" not in {one["prefix"] for one in (await client.get(here)).json()["items"]}
    assert (await client.put(here, json=narrow)).json()["version"] == 3
    for channel, prefix, field in (
        ("sms", "33", "prefix"), ("sms", "0033", "prefix"), ("voice", "00", "prefix"), ("sms", "+999", "prefix"),
        ("fax", "", "channel"), ("email", "@example.org", "prefix"),
    ):  # fmt: skip
        answer = await client.put(here, json={"channel": channel, "prefix": prefix, "price": "1"})
        assert problem(answer, 422, "invalid-request")["errors"][0]["field"] == field, (channel, prefix)


async def test_a_price_counts_at_once_and_is_kept_in_versions(desk: ApiDesk) -> None:
    client = desk.client()
    body = {"channel": "sms", "prefix": "+33", "price": "0.05"}
    assert (await client.put("/v1/tariffs", json=body)).json()["version"] == 2
    assert (await client.put("/v1/tariffs", json=body)).json()["version"] == 2
    plan = (await client.post("/v1/alerts?account=acme", json=alert(dry_run=True))).json()
    assert plan["total"] == "0.05"
    assert (await client.get("/v1/tariffs")).json()["items"] == [
        {**body, "version": 2, "charged_on": "accepted", "unknown_end": "capture"}
    ]
    for wrong, field in (
        ({**body, "price": "-1"}, "price"),
        ({**body, "price": "2000000"}, "price"),
        ({**body, "charged_on": "sent"}, "charged_on"),
        ({**body, "channel": ""}, "channel"),
    ):
        answer = await client.put("/v1/tariffs", json=wrong)
        assert problem(answer, 422, "invalid-request")["errors"][0]["field"] == field


async def test_a_key_works_until_it_is_revoked(desk: ApiDesk) -> None:
    client = desk.client()
    made = (await client.post("/v1/keys", json={"role": "submitter", "account": "acme", "label": "plc 4"})).json()
    assert made["key"].startswith("tok_")
    holder = desk.client(made["key"])
    assert (await holder.get("/v1/alerts")).status_code == 200
    listed = (await client.get("/v1/keys?account=acme")).json()["items"]
    assert [one["id"] for one in listed] == [made["id"]]
    assert "key" not in listed[0]
    revoked = (await client.delete(f"/v1/keys/{made['id']}")).json()
    assert revoked["revoked_at"]
    problem(await holder.get("/v1/alerts"), 401, "unauthorized")
    assert (await client.delete(f"/v1/keys/{made['id']}")).json() == revoked
    problem(await client.delete("/v1/keys/key_nothing"), 404, "not-found")


async def test_a_key_revoked_elsewhere_is_refused_within_five_seconds(
    desk: ApiDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node revoked it: this one finds out by itself."""
    client = desk.client()
    made = (await client.post("/v1/keys", json={"role": "submitter", "account": "acme"})).json()
    holder = desk.client(made["key"])
    assert (await holder.get("/v1/alerts")).status_code == 200
    await desk.write(lambda c: administration.revoke_key(c, desk.broker.clock.now(), made["id"]))
    monotonic = desk.broker.clock.monotonic
    monkeypatch.setattr(desk.broker.clock, "monotonic", lambda: monotonic() + 5)
    problem(await holder.get("/v1/alerts"), 401, "unauthorized")


async def test_an_account_admin_gives_keys_of_its_account_and_no_higher_ones(desk: ApiDesk) -> None:
    await desk.account("other")
    admin = desk.client(await desk.key("account_admin", "acme"))
    made = (await admin.post("/v1/keys", json={"role": "operator"})).json()
    assert (made["account"], made["role"]) == ("acme", "operator")
    for role in ("account_admin", "administrator", "auditor"):
        problem(await admin.post("/v1/keys", json={"role": role}), 403, "forbidden")
    elsewhere = await admin.post("/v1/keys", json={"role": "submitter", "account": "other"})
    assert problem(elsewhere, 422, "invalid-request")["errors"][0]["field"] == "account"
    keys = (await admin.get("/v1/keys")).json()["items"]
    assert {one["account"] for one in keys} == {"acme"}
    own = next(one for one in keys if one["role"] == "account_admin")
    problem(await admin.delete(f"/v1/keys/{own['id']}"), 403, "forbidden")
    assert (await admin.get("/v1/keys")).status_code == 200  # and nothing was written
    assert (await admin.delete(f"/v1/keys/{made['id']}")).status_code == 200
    everyones = (await desk.client().get("/v1/keys")).json()["items"]
    administrator = next(one for one in everyones if one["account"] is None)
    problem(await admin.delete(f"/v1/keys/{administrator['id']}"), 404, "not-found")
    bound = desk.client(await desk.key("administrator", "acme"))
    assert (await bound.post("/v1/keys", json={"role": "auditor"})).json()["account"] == "acme"


async def test_what_a_key_refuses(desk: ApiDesk) -> None:
    client = desk.client()
    for body, field in (
        ({}, "role"),
        ({"role": "king"}, "role"),
        ({"role": "submitter"}, "account"),
        ({"role": "submitter", "account": "a\x00"}, "account"),
        ({"role": "auditor", "label": "a\nb"}, "label"),
    ):
        assert problem(await client.post("/v1/keys", json=body), 422, "invalid-request")["errors"][0]["field"] == field
    problem(await client.post("/v1/keys", json={"role": "submitter", "account": "nobody"}), 404, "not-found")


async def test_another_account_does_not_exist(desk: ApiDesk) -> None:
    await desk.account("other", "5")
    client = desk.client(await desk.key("account_admin", "acme"))
    for path in ("/v1/accounts/other", "/v1/accounts/other/entries", "/v1/accounts/other/callback-secret",
                 "/v1/keys?account=other", "/v1/callbacks?account=other"):  # fmt: skip
        problem(await client.get(path), 404, "not-found")
    assert [one["id"] for one in (await client.get("/v1/accounts")).json()["items"]] == ["acme"]
    bound = desk.client(await desk.key("administrator", "acme"))
    topup = {"amount": "1", "reference": "r"}
    problem(await bound.post("/v1/accounts/other/topups", json=topup), 404, "not-found")
    problem(await bound.post("/v1/accounts/other/refunds", json={"entry": 1, "reason": "r"}), 404, "not-found")
