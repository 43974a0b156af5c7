"""A real Alertmanager posts to a real server, an SMSC that no one here wrote gets the SMS; and the how-to is right."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Connection, select

from billing.money import parse_amount
from gateway import administration
from gateway.alertmanager import Notification, matching_rule
from gateway.api import application
from gateway.api.alertmanager import PATH
from gateway.app import load_settings, serve
from gateway.broker import Broker
from gateway.lifecycle import Acknowledge
from gateway.settings import Settings
from gateway.store import tables
from tests.peers.alertmanager import Alertmanager
from tests.peers.processes import find_binary
from tests.peers.smsc import NodeSmsc, reassembled
from tests.peers.waiting import eventually
from tests.scenarios.installation import settings_text, smpp, smtp

yaml: Any = importlib.import_module("yaml")  # it ships no types

HOW_TO = (Path(__file__).parents[2] / "docs" / "how-to" / "alertmanager.md").read_text()
WITHIN_S = 30.0
LABELS = {"alertname": "InstanceDown", "team": "database", "severity": "critical"}
ANNOTATIONS = {"summary": "A machine does not answer"}


def snippet(language: str) -> str:
    """The first block of that language in the how-to."""
    found = re.search(rf"^```{language}\n(.*?)^```$", HOW_TO, re.M | re.S)
    assert found is not None
    return found[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Tocsin, listening."""

    url: str
    key: str
    broker: Broker

    @property
    def webhook(self) -> str:
        return self.url + PATH

    async def post(self, body: object, key: str | None = None) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.post(self.webhook, json=body) as answer:
            return answer.status, await answer.json(content_type=None)

    async def alerts(self) -> list[str]:
        """The status of every alert, oldest first."""
        statement = select(tables.alerts.c.status).order_by(tables.alerts.c.id)
        return list(await self.broker.store.read(lambda connection: connection.scalars(statement).all()))

    async def ids(self) -> list[str]:
        """The ids of the alerts, oldest first."""
        statement = select(tables.alerts.c.id).order_by(tables.alerts.c.id)
        return list(await self.broker.store.read(lambda connection: connection.scalars(statement).all()))

    async def another_key(self) -> str:
        """A second key of the account."""
        now, role = self.broker.clock.now(), administration.Role.SUBMITTER
        made = await self.broker.store.write(
            lambda connection: administration.create_key(connection, now, account_id="acme", role=role)
        )
        return made[1]

    async def alerts_become(self, *status: str) -> None:
        async def so() -> bool:
            return await self.alerts() == list(status)

        await eventually(so, WITHIN_S, what=f"alerts that are {status}")

    async def repeats(self) -> int:
        """How often something joined an open alert."""
        statement = select(tables.events.c.id).where(tables.events.c.kind == "repeated")
        return len(await self.broker.store.read(lambda connection: connection.scalars(statement).all()))


@asynccontextmanager
async def open_server(folder: Path, smsc_port: int, rules: str) -> AsyncIterator[Server]:
    path = folder / "tocsin.toml"
    store, http = {"url": f"sqlite:///{folder}/tocsin.db"}, {"listen": "127.0.0.1:0"}
    providers = [smpp("carrier-a", smsc_port), smtp("mail", 9)]  # nobody listens there: only SMS matter here
    path.write_text(settings_text(providers, store=store, http=http) + rules)
    brokers: list[Broker] = []
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def http_app(broker: Broker) -> Any:
        brokers.append(broker)
        return application(broker)

    async def started(url: str) -> None:
        listening.set_result(url)

    task = asyncio.create_task(serve(load_settings(path), http_app, started=started))
    try:
        either: set[asyncio.Future[Any]] = {listening, task}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        key = await brokers[0].store.write(lambda connection: open_account(connection, brokers[0]))
        yield Server(url=listening.result(), key=key, broker=brokers[0])
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def open_account(connection: Connection, broker: Broker) -> str:
    now = broker.clock.now()
    administration.create_account(connection, now, account_id="acme", name="Acme", currency="EUR")
    administration.top_up(connection, now, account_id="acme", amount_micros=parse_amount("100"), reference="INV-1")
    administration.set_tariff(connection, now, channel="sms", prefix="+33", price_micros=45_000)
    _, key = administration.create_key(connection, now, account_id="acme", role=administration.Role.SUBMITTER)
    return key


StartServer = Callable[[str], Awaitable[Server]]
StartAlertmanager = Callable[..., Alertmanager]

ON_CALL = """
[[rules]]
name = "database"
account = "acme"
recipients = ["sms:+33612345678"]
[rules.match]
team = "database"
"""


@pytest.fixture
async def start_server(tmp_path: Path, smsc: NodeSmsc) -> AsyncIterator[StartServer]:
    """``server = await start_server(rules)``; it ends with the test."""
    async with AsyncExitStack() as opened:

        async def start(rules: str) -> Server:
            return await opened.enter_async_context(open_server(tmp_path, smsc.port, rules))

        yield start


def instances(count: int, **more: Any) -> list[dict[str, Any]]:
    """Alerts as a monitoring system posts them, of one group."""
    return [{"labels": {**LABELS, "instance": f"db{n}"}, "annotations": ANNOTATIONS, **more} for n in range(count)]


async def texts(smsc: NodeSmsc, count: int) -> list[str]:
    """Waits for so many whole SMS, and gives them in the order of their arrival."""

    async def whole() -> list[str] | None:
        messages = await smsc.messages()
        with suppress(AssertionError):  # a part is still under way
            (found,) = reassembled(messages).values() or ([],)
            return found if len(found) >= count else None
        return None

    return await eventually(whole, WITHIN_S, what=f"{count} SMS")


# The real thing


async def test_a_group_of_200_is_one_alert_until_it_is_resolved(
    start_server: StartServer, smsc: NodeSmsc, start_alertmanager: StartAlertmanager
) -> None:
    server = await start_server(ON_CALL)
    alertmanager = start_alertmanager(server.webhook, bearer_token=server.key)
    await alertmanager.post_alerts(instances(200))
    await server.alerts_become("active")
    (first,) = await texts(smsc, 1)
    assert first.startswith("200 firing: InstanceDown\nA machine does not answer\nseverity=critical team=database\n- ")
    assert first.endswith("\nand 190 more")

    await alertmanager.post_alerts(instances(201)[200:])
    await eventually(server.repeats, WITHIN_S, what="a line on the timeline for the new member")
    assert await server.alerts() == ["active"]

    await alertmanager.post_alerts(instances(201, endsAt=datetime.now(UTC).isoformat()))
    await server.alerts_become("resolved")

    await alertmanager.post_alerts(instances(1))
    await server.alerts_become("resolved", "active")
    assert len(await texts(smsc, 2)) == 2


BY_SEVERITY = """
[[rules]]
name = "critical"
account = "acme"
priority = "emergency"
recipients = ["sms:+33612345679"]
[rules.match]
severity = "critical"
[[rules]]
name = "warning"
account = "acme"
priority = "normal"
recipients = ["sms:+33612345678"]
[rules.match]
severity = "warning"
"""


async def test_case_1_1_a_group_that_becomes_critical_is_told_to_the_people_of_that_rule(
    start_server: StartServer, smsc: NodeSmsc, start_alertmanager: StartAlertmanager
) -> None:
    server = await start_server(BY_SEVERITY)
    alertmanager = start_alertmanager(server.webhook, bearer_token=server.key, repeat_interval="1s")
    warning = {"labels": {**LABELS, "severity": "warning"}, "annotations": ANNOTATIONS}
    await alertmanager.post_alerts([warning])
    assert [sms.destination[-1] for sms in await smsc.received(1)] == ["8"]
    await alertmanager.post_alerts([{**warning, "endsAt": datetime.now(UTC).isoformat()}, *instances(1)])
    found = await smsc.received(2)
    assert (found[1].destination[-1], "severity=critical" in (found[1].text or "")) == ("9", True)
    assert await server.alerts() == ["active"]


async def test_case_1_2_two_alertmanagers_with_a_key_each_stay_apart(
    start_server: StartServer, smsc: NodeSmsc, start_alertmanager: StartAlertmanager
) -> None:
    server = await start_server(ON_CALL)
    keys = [server.key, await server.another_key()]
    sites = [start_alertmanager(server.webhook, bearer_token=key) for key in keys]
    await sites[0].post_alerts(instances(1))
    await server.alerts_become("active")
    (first,) = await server.ids()
    acknowledged = Acknowledge(alert_id=first, account_id="acme", by="Ann", comment="", via="api", key_id="key")
    await server.broker.journal.do(acknowledged)
    await sites[1].post_alerts(instances(1))  # the same group by its key
    await server.alerts_become("acknowledged", "active")
    await smsc.received(2)
    await sites[0].post_alerts(instances(1, endsAt=datetime.now(UTC).isoformat()))
    await server.alerts_become("resolved", "active")
    await sites[1].post_alerts(instances(1, endsAt=datetime.now(UTC).isoformat()))
    await server.alerts_become("resolved", "resolved")


async def test_a_cluster_of_alertmanagers_is_one_sender(
    start_server: StartServer, smsc: NodeSmsc, start_alertmanager: StartAlertmanager
) -> None:
    server = await start_server(ON_CALL)
    pair = [start_alertmanager(server.webhook, bearer_token=server.key) for _ in range(2)]  # each with its own URL
    for one in pair:
        await one.post_alerts(instances(1))
    await eventually(server.repeats, WITHIN_S, what="the second of the pair joins")
    assert await server.alerts() == ["active"]
    assert len(await smsc.messages()) == 1


async def test_what_was_answered_503_comes_again_and_is_taken_once(
    start_server: StartServer,
    smsc: NodeSmsc,
    start_alertmanager: StartAlertmanager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk is full, and then it is not."""
    server = await start_server(ON_CALL)
    with monkeypatch.context() as full:
        full.setattr(os, "statvfs", lambda _folder: SimpleNamespace(f_bavail=0, f_frsize=4_096))
        refused = posts_answered(503)
        alertmanager = start_alertmanager(server.webhook, bearer_token=server.key)
        await alertmanager.post_alerts(instances(3))
        await eventually(lambda: posts_answered(503) >= refused + 2, WITHIN_S, what="a refusal, and another one")
        assert await server.alerts() == []
    await server.alerts_become("active")
    assert (await texts(smsc, 1))[0].startswith("3 firing: InstanceDown\n")
    assert await server.repeats() == 0


def posts_answered(status: int) -> float:
    """How many POST requests this process has answered with the status."""
    return REGISTRY.get_sample_value("tocsin_http_requests_total", {"method": "POST", "status": str(status)}) or 0.0


# Over HTTP, by hand


async def test_the_answers(start_server: StartServer) -> None:
    server = await start_server(ON_CALL)
    body = curl_body() | {"groupLabels": {"team": "database"}}
    status, taken = await server.post(body)
    (alert,) = taken.pop("alerts")
    assert (status, taken) == (202, {"rule": "database", "alerts_total": 1, "skipped": [], "detail": ""})
    assert alert["outcome"] == "accepted"
    assert await server.post(body) == (202, {**taken, "alerts": [{"id": alert["id"], "outcome": "joined"}]})
    over = body | {"status": "resolved"}
    resolved = {**taken, "rule": "", "alerts": [{"id": alert["id"], "outcome": "resolved"}]}
    assert await server.post(over) == (200, resolved)
    status, nothing = await server.post(over)
    assert (status, nothing["alerts"]) == (200, [])
    assert "no open alert" in nothing["detail"]


async def test_what_is_wrong_is_named(start_server: StartServer) -> None:
    """Nobody can be told of any of these: the settings name no last resort."""
    server = await start_server(ON_CALL)
    for change, field, told in (
        ({"version": "3"}, "version", "expected one of 4"),
        ({"groupKey": None, "alerts": "none"}, "groupKey", "expected text"),
        ({"alerts": [{"status": "firing", "labels": "all"}]}, "alerts[0].labels", "expected an object"),
        ({}, "commonLabels", "none of 1 rules of the account acme matches the labels alertname='DiskFull'"),
    ):
        answered, problem = await server.post(curl_body() | {"groupLabels": {"alertname": "DiskFull"}} | change)
        assert (answered, problem["errors"][0]["field"]) == (422, field)
        assert told in problem["errors"][0]["detail"]
    assert await server.alerts() == []


async def test_only_keys_that_may_submit_are_let_in(start_server: StartServer) -> None:
    server = await start_server(ON_CALL)
    assert (await server.post(curl_body(), key="tok_wrong"))[0] == 401
    auditor = await server.broker.store.write(
        lambda connection: administration.create_key(
            connection, server.broker.clock.now(), account_id=None, role=administration.Role.AUDITOR
        )[1]
    )
    assert (await server.post(curl_body(), key=auditor))[0] == 403


# The how-to


def curl_body() -> dict[str, Any]:
    """What the how-to posts by hand."""
    found = re.search(r"^curl .*? -d '(\{.*?\n\})'$", HOW_TO, re.M | re.S)
    assert found is not None
    body: dict[str, Any] = json.loads(found[1])
    return body


def how_to_settings(folder: Path) -> Settings:
    """The rules of the how-to, with providers for their addresses."""
    path = folder / "tocsin.toml"
    path.write_text(settings_text([smpp("carrier-a", 2775), smtp("mail", 25)]) + snippet("toml"))
    return load_settings(path)


def test_alertmanager_takes_the_receiver_of_the_how_to(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(snippet("yaml"))
    amtool = find_binary("amtool", "prometheus-alertmanager")
    checked = subprocess.run([amtool, "check-config", file], capture_output=True, text=True, timeout=20, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (webhook,) = yaml.safe_load(snippet("yaml"))["receivers"][0]["webhook_configs"]
    assert webhook["url"].endswith(PATH)
    assert webhook["http_config"]["authorization"]["type"] == "Bearer"


def test_the_groups_of_the_how_to_find_their_rules(tmp_path: Path) -> None:
    rules = how_to_settings(tmp_path).rules
    grouped = yaml.safe_load(snippet("yaml"))["route"]["group_by"]
    assert {label for rule in rules for label in rule.match} <= set(grouped)
    by_hand = Notification.model_validate(curl_body())
    assert [
        rule and rule.name
        for rule in (
            matching_rule(rules, by_hand.labels, "acme"),
            matching_rule(rules, {"alertname": "DiskFull"}, "acme"),
            matching_rule(rules, {"alertname": "DiskFull"}, "globex"),
        )
    ] == ["database", "everything-else", None]


async def test_the_rules_of_the_how_to_take_an_alert(start_server: StartServer, smsc: NodeSmsc) -> None:
    server = await start_server(snippet("toml"))
    status, taken = await server.post(curl_body())
    assert (status, taken["rule"], taken["skipped"]) == (202, "database", [])
    await smsc.received(2)
    assert {message.text for message in await smsc.messages()} == {"DiskFull\nDisk of db1 is full\ninstance=db1"}
