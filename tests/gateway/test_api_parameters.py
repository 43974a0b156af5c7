"""The query of a request: nothing in it is passed over in silence, and times are asked for by `from` and `to`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.api.parameters import Period, pairs_of, period, require_known
from gateway.api.problems import Problem
from gateway.clock import to_micros
from gateway.ids import first_id, new_id
from tests.gateway.api_desk import ApiDesk, alert, problem, running
from tests.gateway.test_api_roles import CALLS, filled

READ = ("status", "account", "reference", "from", "to", "cursor", "limit")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    async with running(tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("since", "from"), ("until", "to"), ("After", "from"), ("before", "to"), ("state", "status"), ("stat", "status"),
        ("acount", "account"), ("account_id", "account"), ("Limit", "limit"), ("page", "cursor"), ("refrence", "reference"),
    ],
)  # fmt: skip
def test_a_parameter_that_is_not_known_is_told_with_what_was_meant(written: str, meant: str) -> None:
    with pytest.raises(Problem) as refused:
        require_known([(written, "x"), ("limit", "5")], READ)
    told = refused.value.body
    assert told["errors"][0]["field"] == written
    assert told["errors"][0]["code"] == "unknown_parameter"
    assert f"did you mean {meant}?" in told["detail"]


def test_a_parameter_counts_once_and_an_empty_query_is_none() -> None:
    require_known(pairs_of(b""), ())
    require_known(pairs_of(b"limit=5&from=2026-03-01"), READ)
    for query, code in (
        (b"limit=5&limit=6", "repeated_parameter"),
        (b"=", "unknown_parameter"),
        (b"x&y", "unknown_parameter"),
    ):
        with pytest.raises(Problem) as refused:
            require_known(pairs_of(query), READ)
        assert refused.value.body["errors"][0]["code"] == code
    with pytest.raises(Problem, match="at most"):
        pairs_of(b"&".join(b"a=%d" % n for n in range(1_000)))
    with pytest.raises(Problem, match="takes no parameter"):
        require_known([("pretty", "")], ())


DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("from_", "to", "first", "before"),
    [
        (None, None, None, None),
        ("2026-03-01", "2026-03-01", DAY, DAY + timedelta(days=1)),
        ("2026-03-01T00:00:00Z", "2026-03-01T06:00:00z", DAY, DAY + timedelta(hours=6)),
        ("2026-03-01T01:00:00+01:00", None, DAY, None),
        ("2026-03-01T01:00:00 01:00", None, DAY, None),
        ("2026-03-01t00:00:00.250z", None, DAY + timedelta(milliseconds=250), None),
        (None, "9998-12-31", None, datetime(9999, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_period_is_read(from_: str | None, to: str | None, first: datetime | None, before: datetime | None) -> None:
    expected = Period(*(None if at is None else to_micros(at) for at in (first, before)))
    assert period(from_, to) == expected


@pytest.mark.parametrize(
    ("from_", "to", "field"),
    [
        ("yesterday", None, "from"), ("", None, "from"), ("2026-02-30", None, "from"), (None, "2026-03-01T06:00:00", "to"),
        ("2026-03-02", "2026-03-01", "to"), ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "to"),
        (None, "9999-12-31", "to"), (None, "9999-12-31T23:59:59-23:59", "to"), ("0001-01-01", None, "from"),
        ("0001-01-01T00:00:00+23:00", None, "from"), ("2026-W10-1", None, "from"), ("\x00" * 10, None, "from"),
    ],
)  # fmt: skip
def test_a_period_that_is_none_is_told_by_its_parameter(from_: str | None, to: str | None, field: str) -> None:
    with pytest.raises(Problem) as refused:
        period(from_, to)
    assert refused.value.body["errors"][0]["field"] == field
    assert refused.value.status_code == 422


def test_ids_are_found_by_the_time_in_them() -> None:
    now = to_micros(datetime.now(UTC))
    made = new_id("alt")
    assert first_id("alt", now - 60_000_000) < made < first_id("alt", now + 60_000_000)
    assert first_id("alt", -5) == first_id("alt", 0) <= first_id("alt", 2**70)


async def test_no_route_passes_a_parameter_over(desk: ApiDesk) -> None:
    """Every route of the API but the intake, whose sender reads no answer."""
    client = desk.client()
    for call in CALLS:
        asked = f"{filled(call.path)}{call.asked}{'&' if call.asked else '?'}sincee=1"
        answer = await client.request(call.method, asked, json=call.body)
        if "/intake/" in call.path:
            assert "sincee" not in answer.text
            continue
        told = problem(answer, 422, "invalid-request")
        assert told["errors"][0] | {"detail": ""} == {"field": "sincee", "code": "unknown_parameter", "detail": ""}, (
            call
        )
    assert (await desk.anonymous().get("/health/ready?nocache=1")).status_code == 200


async def test_lists_are_asked_for_by_time(desk: ApiDesk) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    made = []
    for n in range(3):
        made.append((await client.post("/v1/alerts", json=alert(text=f"{n}"))).json())
    watching = desk.client()

    async def found(path: str, **asked: Any) -> list[str]:
        answer = await watching.get(path, params=asked)
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["items"]]

    at = [one["created_at"] for one in made]
    ids = [one["id"] for one in made]
    day = at[0][:10]
    assert await found("/v1/alerts", **{"from": at[1]}) == [ids[2], ids[1]]
    assert await found("/v1/alerts", to=at[1]) == [ids[0]]
    assert await found("/v1/alerts", **{"from": at[0], "to": at[2], "account": "acme"}) == [ids[1], ids[0]]
    assert await found("/v1/alerts", **{"from": day}) == [*reversed(ids)]
    assert await found("/v1/alerts", to="2020-01-01") == []
    deliveries = f"/v1/alerts/{ids[0]}/deliveries"
    assert len(await found(deliveries, **{"from": day})) == 1
    assert await found(deliveries, to=at[0]) == []
    for path in ("/v1/inbound", "/v1/callbacks"):
        assert (await watching.get(path, params={"from": day, "to": day})).json()["items"] == []


async def test_a_refusal_says_which_roles_may(desk: ApiDesk) -> None:
    told = problem(
        await desk.client(await desk.key("submitter", "acme")).get("/v1/accounts/acme/entries"), 403, "forbidden"
    )
    assert told["detail"] == (
        "a key of the role submitter may not read the entries of accounts; operator, account_admin, administrator and auditor may"
    )
    assert told["roles"] == ["operator", "account_admin", "administrator", "auditor"]
    bound = desk.client(await desk.key("administrator", "acme"))
    told = problem(await bound.put("/v1/tariffs", json={}), 403, "forbidden")
    assert told["detail"] == (
        "a key that is bound to an account (acme) may not set tariffs; of the keys of the installation administrator may"
    )
    giver = desk.client(await desk.key("account_admin", "acme"))
    told = problem(await giver.post("/v1/keys", json={"role": "auditor"}), 403, "forbidden")
    assert told["roles"] == ["administrator"]
