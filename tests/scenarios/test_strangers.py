"""What a key must not open, and what a request must not reach, asked of the running server: the tables are what `serve` does."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter

import httpx
import pytest

from gateway.administration import UNBOUND_ROLES, Role
from gateway.api.roles import MATRIX, Caller
from tests.gateway.test_api_roles import CALLS, OPEN, filled
from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.scenarios.conftest import OpenDesk
from tests.scenarios.desk import ACCOUNT, ANNA, WITHIN_S, Desk, PlacedAlert, Refused, numbers
from tests.scenarios.installation import smpp
from tests.scenarios.receiver import receiving

NOT_REACHED = [
    "https://localhost/", "https://a.localhost./", "https://127.0.0.1/", "https://127.9.9.9/", "https://10.1.2.3/",
    "https://172.16.0.1/", "https://192.168.1.1/", "https://100.64.0.1/", "https://169.254.169.254/latest/meta-data/",
    "https://0.0.0.0/", "https://224.0.0.1/", "https://240.0.0.1/", "https://[::1]/", "https://[::]/", "https://[fe80::1]/",
    "https://[fd00::1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[64:ff9b::a01:203]/",
    "https://[2002:7f00:1::]/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/",
    "https://user:pw@example.org/", "https://example.org\\@127.0.0.1/", "https://example.org:0/", "http://example.org/",
    "ftp://example.org/", "file:///etc/passwd", "gopher://127.0.0.1:25/_HELO", "https://example.org/\r\nX: y", "//example.org/",
]  # fmt: skip


async def key_of(desk: Desk, role: Role, account: str | None) -> dict[str, str]:
    """The headers of a new key."""
    asked = {"role": role.value, "label": "stranger"} | ({} if account is None else {"account": account})
    answer = await desk.http.post("/v1/keys", json=asked, headers=desk.administrator)
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['key']}"}


async def test_roles_open_what_the_table_says_at_the_running_server(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    holders = [(role, ACCOUNT) for role in Role] + [(role, None) for role in UNBOUND_ROLES]
    tried = Counter[int]()
    for role, account in holders:
        headers = await key_of(desk, role, account)
        caller = Caller(key_id="", role=role, account_id=account)
        for call in CALLS:
            path = filled(call.path) + call.asked
            answer = await desk.http.request(call.method, path, json=call.body, headers=headers)
            assert (answer.status_code == 403) != caller.may(call.permission), (role, account, call, answer.text)
            assert answer.status_code < 500, (role, call, answer.text)
            tried[answer.status_code] += 1
    assert set(MATRIX) == set(Role)
    assert tried[403] > 50
    for wrong in ({"Authorization": ""}, {"Authorization": "Bearer tok_" + "a" * 40}, {"Authorization": "Basic dDp0"}):
        for call in CALLS:
            answer = await desk.http.request(call.method, filled(call.path), json=call.body, headers=wrong)
            assert (answer.status_code, answer.headers["Content-Type"]) == (401, "application/problem+json"), call
    assert OPEN


async def test_a_key_of_one_account_never_sees_another_s(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port))
    alert = await desk.alert("Pump 3 stopped", to=ANNA)
    (delivery,) = await alert.delivered()
    paths = [
        f"/v1/alerts/{alert.id}", f"/v1/alerts/{alert.id}/timeline", f"/v1/alerts/{alert.id}/deliveries",
        f"/v1/deliveries/{delivery.id}", f"/v1/accounts/{ACCOUNT}", f"/v1/accounts/{ACCOUNT}/entries",
        f"/v1/accounts/{ACCOUNT}/callback-secret",
    ]  # fmt: skip
    posts = [f"/v1/alerts/{alert.id}/{word}" for word in ("acknowledge", "release", "resolve", "cancel")]
    other = {"id": "other", "name": "Other", "currency": "EUR"}
    assert (await desk.http.post("/v1/accounts", json=other, headers=desk.administrator)).status_code == 201
    for role in Role:
        headers = await key_of(desk, role, "other")
        for path in paths:
            assert (await desk.http.get(path, headers=headers)).status_code in (403, 404), (role, path)
        for path in posts:
            answer = await desk.http.post(path, headers=headers, json={"by": "x"} if path.endswith("edge") else None)
            assert answer.status_code in (403, 404), (role, path, answer.text)
        for path in ("/v1/alerts", "/v1/callbacks"):
            answer = await desk.http.get(path, headers=headers)
            assert answer.status_code == 403 or answer.json()["items"] == [], (role, path)
    assert await alert.status() == "completed"


async def test_no_callback_reaches_what_is_not_public(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port), callbacks={"allow_private": False})
    for url in NOT_REACHED:
        with pytest.raises(Refused) as refused:
            await desk.alert("Smoke", to=ANNA, callback_url=url)
        assert refused.value.status == 422, url
        assert refused.value.problem["errors"][0]["field"] == "callback_url", url
    async with receiving() as upstream:
        # a public-looking name whose address is not: known only when it is looked up
        port = httpx.URL(upstream.url).port
        alert = await desk.alert("Smoke", to=ANNA, callback_url=f"https://{socket.gethostname()}:{port}/")

        async def tried() -> bool:
            return any(tries for _, _, tries, _ in await alert.callbacks())

        await eventually(tried, WITHIN_S, what="a try of the callback")
        assert upstream.calls == []
        assert {code for _, _, tries, code in await alert.callbacks() if tries} == {"address_refused"}


async def test_races_for_one_key_and_one_credit_have_one_winner(smsc: NodeSmsc, desk_with: OpenDesk) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port), credit="0.45")  # ten texts
    asked = [desk.alert(f"text {n % 2}", to=ANNA, idempotency_key="k-1") for n in range(20)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert {answer.status for answer in refused} == {409}
    assert len(refused) == 10  # those with the other text
    assert len({answer.id for answer in answers if isinstance(answer, PlacedAlert)}) == 1

    async def topped_up() -> int:
        paid = {"amount": "0.45", "reference": "INV-9"}
        path = f"/v1/accounts/{ACCOUNT}/topups"
        return (await desk.http.post(path, json=paid, headers=desk.administrator)).status_code

    payments = asyncio.gather(*(topped_up() for _ in range(10)))
    others = [desk.alert(f"alert {n}", to=one) for n, one in enumerate(numbers(40, 620_000_000))]
    results = await asyncio.gather(*others, return_exceptions=True)
    assert set(await payments) == {201}
    sent = [result for result in results if isinstance(result, PlacedAlert)]
    assert {result.status for result in results if isinstance(result, Refused)} == {402}
    assert 9 <= len(sent) <= 19  # whoever came before the payment; never more than can be paid
    for alert in sent:
        await alert.delivered()
    await desk.ledger_adds_up(topped_up="0.45")
