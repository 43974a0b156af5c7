"""Every role against every route: the table in `gateway.api.roles` is what HTTP does, and no route is left out of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.administration import UNBOUND_ROLES, Role
from gateway.api.roles import INSTALLATION, MATRIX, Caller, Permission
from tests.gateway.api_desk import ApiDesk, alert, problem, running

P = Permission
R = Role


@dataclass(frozen=True)
class Call:
    """One route, as it is called here, and what it takes."""

    method: str
    path: str
    permission: Permission
    body: dict[str, Any] | None = None
    asked: str = ""

    @property
    def route(self) -> tuple[str, str]:
        return self.method, self.path


CALLS = [
    Call("POST", "/v1/alerts", P.SUBMIT, alert(dry_run=True), "?account=acme"),
    Call("POST", "/v1/intake/alertmanager", P.SUBMIT, {}),
    Call("GET", "/v1/alerts", P.READ_ALERTS),
    Call("GET", "/v1/alerts/{alert_id}", P.READ_ALERTS),
    Call("GET", "/v1/alerts/{alert_id}/timeline", P.READ_ALERTS),
    Call("GET", "/v1/alerts/{alert_id}/deliveries", P.READ_ALERTS),
    Call("GET", "/v1/deliveries/{delivery_id}", P.READ_ALERTS),
    Call("POST", "/v1/alerts/{alert_id}/acknowledge", P.ACKNOWLEDGE, {"by": "x"}),
    Call("POST", "/v1/alerts/{alert_id}/release", P.END_ALERTS),
    Call("POST", "/v1/alerts/{alert_id}/resolve", P.END_ALERTS),
    Call("POST", "/v1/alerts/{alert_id}/cancel", P.END_ALERTS),
    Call("GET", "/v1/accounts", P.READ_ACCOUNTS),
    Call("POST", "/v1/accounts", P.CREATE_ACCOUNTS, {}),
    Call("GET", "/v1/accounts/{account_id}", P.READ_ACCOUNTS),
    Call("PATCH", "/v1/accounts/{account_id}", P.CREATE_ACCOUNTS, {}),
    Call("GET", "/v1/accounts/{account_id}/callback-secret", P.READ_CALLBACK_SECRET),
    Call("GET", "/v1/accounts/{account_id}/entries", P.READ_ENTRIES),
    Call("POST", "/v1/accounts/{account_id}/topups", P.MOVE_MONEY, {}),
    Call("POST", "/v1/accounts/{account_id}/refunds", P.MOVE_MONEY, {}),
    Call("POST", "/v1/accounts/{account_id}/reversals", P.MOVE_MONEY, {}),
    Call("GET", "/v1/tariffs", P.READ_TARIFFS),
    Call("PUT", "/v1/tariffs", P.SET_TARIFFS, {}),
    Call("DELETE", "/v1/tariffs", P.SET_TARIFFS, None, "?channel=sms&prefix=x"),
    Call("GET", "/v1/keys", P.READ_KEYS),
    Call("POST", "/v1/keys", P.GIVE_KEYS, {}),
    Call("DELETE", "/v1/keys/{key_id}", P.GIVE_KEYS),
    Call("GET", "/v1/callbacks", P.READ_CALLBACKS),
    Call("POST", "/v1/callbacks/{alert_id}/{number}/retry", P.RETRY_CALLBACKS),
    Call("GET", "/v1/inbound", P.READ_INBOUND),
    Call("GET", "/v1/providers", P.READ_PROVIDERS),
    Call("POST", "/v1/providers/{name}/probe", P.TEST_PROVIDERS),
    Call("POST", "/v1/providers/{name}/test", P.TEST_PROVIDERS, {}),
]
OPEN = {("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/health"), ("GET", "/metrics")}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    async with running(tmp_path) as found:
        yield found


def filled(path: str) -> str:
    values = {"account_id": "acme", "number": "1", "name": "nobody", "alert_id": "x", "delivery_id": "x", "key_id": "x"}
    return path.format(**values)


async def test_every_route_is_in_the_matrix(desk: ApiDesk) -> None:
    document = (await desk.anonymous().get("/openapi.json")).json()
    routes = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert routes == {call.route for call in CALLS} | OPEN


async def test_every_role_may_what_the_table_says_and_nothing_else(desk: ApiDesk) -> None:
    holders = [(role, "acme") for role in Role] + [(role, None) for role in UNBOUND_ROLES]
    for role, account_id in holders:
        client = desk.client(await desk.key(role, account_id))
        caller = Caller(key_id="", role=role, account_id=account_id)
        for call in CALLS:
            answer = await client.request(call.method, filled(call.path) + call.asked, json=call.body)
            refused = answer.status_code == 403
            assert refused != caller.may(call.permission), (role, account_id, call, answer.text)
            if refused:
                problem(answer, 403, "forbidden")


async def test_without_a_key_nothing_but_health_answers(desk: ApiDesk) -> None:
    client = desk.anonymous()
    for call in CALLS:
        answer = await client.request(call.method, filled(call.path), json=call.body)
        problem(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    for method, path in OPEN:
        assert (await client.request(method, path)).status_code == 200


def test_the_table_in_words() -> None:
    assert set(MATRIX) == set(Role)
    assert MATRIX[R.ADMINISTRATOR] == frozenset(Permission)
    submitter = {P.SUBMIT, P.READ_ALERTS, P.ACKNOWLEDGE, P.END_ALERTS, P.READ_ACCOUNTS}
    assert MATRIX[R.SUBMITTER] == submitter
    changing = {P.SUBMIT, P.ACKNOWLEDGE, P.END_ALERTS, P.CREATE_ACCOUNTS, P.MOVE_MONEY, P.SET_TARIFFS, P.GIVE_KEYS,
                P.GIVE_ANY_KEYS, P.RETRY_CALLBACKS, P.TEST_PROVIDERS, P.READ_CALLBACK_SECRET}  # fmt: skip
    assert not MATRIX[R.AUDITOR] & changing
    money = {P.MOVE_MONEY, P.CREATE_ACCOUNTS, P.SET_TARIFFS, P.GIVE_ANY_KEYS}
    assert all(not MATRIX[role] & money for role in Role if role is not R.ADMINISTRATOR)


@pytest.mark.parametrize("role", list(Role))
def test_a_bound_key_never_acts_for_the_installation(role: Role) -> None:
    caller = Caller(key_id="", role=role, account_id="acme")
    assert not any(caller.may(permission) for permission in INSTALLATION)
    assert caller.sees("acme")
    assert not caller.sees("other")
