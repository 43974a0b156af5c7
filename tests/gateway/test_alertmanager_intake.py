"""What becomes of Alertmanager's notifications: one alert for a group, what joins it, what ends it, what is refused."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from billing.money import parse_amount
from channels.channel import Capabilities, Channel, InvalidAddressError, Message, ReportSink
from channels.outcome import Accepted, LinkHealth, Outcome, SentPart
from gateway import administration
from gateway.alertmanager import Notification
from gateway.alertmanager_intake import AlertmanagerIntake, Verdict
from gateway.app import PROVIDER_KINDS, build_queue
from gateway.books import verify_ledger
from gateway.broker import Broker
from gateway.clock import SystemClock
from gateway.lifecycle import Acknowledge
from gateway.rules import NotTaken
from gateway.settings_loading import load
from gateway.store import tables
from gateway.store.engine import open_store
from gateway.submission import Submissions
from tests.gateway.test_alertmanager import member, posted
from tests.peers.waiting import eventually

FILE = """
[store]
url = "{url}"
[[providers]]
name = "carrier"
channel = "sms"
kind = "smpp"
host = "127.0.0.1"
system_id = "user"
password = "pw"
source = "ALERT"
"""
DATABASE = """
[[rules]]
name = "database"
account = "acme"
recipients = ["sms:+33612345678", {name = "Ann", addresses = ["sms:+33612345679"], language = "fr"}]
[rules.match]
alertname = {regex = "Disk.*"}
severity = "critical"
"""


class Paper:
    """A channel that takes everything and writes it down."""

    name = "sms"
    provider = "carrier"
    capabilities = Capabilities(receipts=True, acknowledges=False, concurrent_sends=10)

    def __init__(self) -> None:
        self.texts: list[str] = []

    def parse_address(self, raw: str) -> str:
        if not raw.startswith("+"):
            raise InvalidAddressError("expected + and a country code")
        return raw

    def billable_units(self, message: Message) -> int:
        return 1

    def refusal(self, message: Message) -> str:
        return ""

    async def send(self, message: Message) -> Outcome:
        self.texts.append(message.text)
        return Accepted(parts=(SentPart(n=1, provider_message_id=message.reference),))

    async def run(self, report: ReportSink) -> None:
        await asyncio.Event().wait()

    def health(self) -> LinkHealth:
        return LinkHealth(up=True, detail="")

    async def probe(self) -> LinkHealth:
        return self.health()


class Intake:
    """The intake of a broker that runs, and what its store holds afterwards."""

    def __init__(self, broker: Broker, paper: Paper) -> None:
        self.broker = broker
        self.paper = paper
        self._intake = AlertmanagerIntake(broker, Submissions(broker))

    async def take(self, *members: dict[str, Any], account_id: str | None = "acme", **more: Any) -> Verdict:
        notification = Notification.model_validate_json(json.dumps(posted(*members, **more)))
        return await self._intake.take(notification, account_id=account_id, key_id="key_01")

    async def refused(self, *members: dict[str, Any], **more: Any) -> NotTaken:
        with pytest.raises(NotTaken) as refusal:
            await self.take(*members, **more)
        assert await self.alerts() == []
        return refusal.value

    async def alerts(self, *columns: str) -> Sequence[Any]:
        statement = select(*(tables.alerts.c[name] for name in columns or ("status",))).order_by(tables.alerts.c.id)
        found = await self.broker.store.read(lambda connection: connection.execute(statement).all())
        return [row[0] if len(row) == 1 else tuple(row) for row in found]

    async def events(self) -> Counter[str]:
        statement = select(tables.events.c.kind)
        return Counter(await self.broker.store.read(lambda connection: connection.scalars(statement).all()))


@asynccontextmanager
async def open_intake(folder: Path, rules: str, credit: str, url: str) -> AsyncIterator[Intake]:
    path = folder / "tocsin.toml"
    path.write_text(FILE.format(url=url) + rules)
    settings = load(path, PROVIDER_KINDS)  # not as the start does, which refuses addresses that nobody has
    store = await open_store(url)
    paper = Paper()
    channels: dict[str, Channel] = {"carrier": paper}
    broker = Broker(
        settings=settings,
        store=store,
        queue=build_queue(settings),
        channels=channels,
        clock=SystemClock(),
    )
    running = asyncio.Event()
    await store.write(lambda connection: open_accounts(connection, broker, credit))
    task = asyncio.create_task(broker.run(running.set))
    try:
        await running.wait()
        yield Intake(broker, paper)
        if task.done():
            task.result()  # why the broker ended
        assert await store.read(verify_ledger) == []
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await store.close()


def open_accounts(connection: Connection, broker: Broker, credit: str) -> None:
    now = broker.clock.now()
    for name in ("acme", "globex"):
        administration.create_account(connection, now, account_id=name, name=name, currency="EUR")
        administration.top_up(connection, now, account_id=name, amount_micros=parse_amount(credit), reference="INV-1")
    administration.set_tariff(connection, now, channel="sms", prefix="+33", price_micros=45_000)


OpenIntake = Callable[..., Any]


@pytest.fixture
async def intake_with(tmp_path: Path) -> AsyncIterator[OpenIntake]:
    async with AsyncExitStack() as opened:

        async def start(rules: str = DATABASE, credit: str = "10", url: str = "") -> Intake:
            url = url or f"sqlite:///{tmp_path}/tocsin.db"
            return await opened.enter_async_context(open_intake(tmp_path, rules, credit, url))

        yield start


def outcomes(verdict: Verdict) -> list[str]:
    return [alert.outcome for alert in verdict.alerts]


def members(count: int, status: str = "firing") -> list[dict[str, Any]]:
    return [member(status, instance=f"db{n}") for n in range(count)]


# A group is one alert


async def test_a_group_is_one_alert_with_what_the_rule_says(intake_with: OpenIntake) -> None:
    rules = DATABASE.replace(
        "[rules.match]", "priority = 'emergency'\nexpires_after_s = 600\nlanguage = 'fr'\n[rules.match]"
    )
    rules += (
        "[[rules.steps]]\nafter_s = 0\n[[rules.steps]]\nafter_s = 300\nrecipients = ['sms:+33612345670']\nrepeat = 2\n"
    )
    intake = await intake_with(rules)
    verdict = await intake.take(*members(200))
    assert (verdict.firing, verdict.rule, outcomes(verdict), verdict.detail) == (True, "database", ["accepted"], "")
    (row,) = await intake.alerts("id", "source", "group_key", "priority", "rule", "language", "account_id", "key_id")
    assert row == (verdict.alerts[0].id, "alertmanager", posted()["groupKey"], 0, "any", "fr", "acme", "key_01")
    ((steps, created_at, expires_at),) = await intake.alerts("steps", "created_at", "expires_at")
    assert [step["after_s"] for step in json.loads(steps)] == [0, 300, 360, 420]
    assert expires_at - created_at == pytest.approx(600_000_000, abs=1_000_000)
    texts = await eventually(lambda: intake.paper.texts if len(intake.paper.texts) == 2 else None)
    assert all(text.startswith("200 en alarme: DiskFull\nseverity=critical\n- instance=db0\n") for text in texts)


async def test_what_still_fires_joins_what_is_resolved_ends_and_the_next_is_new(
    postgresql_url: str, intake_with: OpenIntake
) -> None:
    intake = await intake_with(url=postgresql_url)
    first = await intake.take(*members(2))
    again = await intake.take(*members(3), member("resolved", instance="db0"))
    assert (outcomes(again), again.alerts[0].id) == (["joined"], first.alerts[0].id)
    over = await intake.take(*members(3, "resolved"), status="resolved")
    assert (over.firing, outcomes(over), over.alerts[0].id) == (False, ["resolved"], first.alerts[0].id)
    assert await intake.alerts() == ["resolved"]
    anew = await intake.take(*members(1))
    assert outcomes(anew) == ["accepted"]
    assert await intake.alerts() == ["resolved", "active"]
    assert (await intake.events())["repeated"] == 1


async def test_an_acknowledged_alert_is_joined_and_resolved_too(intake_with: OpenIntake) -> None:
    intake = await intake_with()
    taken = await intake.take()
    await intake.broker.journal.do(
        Acknowledge(alert_id=taken.alerts[0].id, account_id="acme", by="Ann", comment="", via="api", key_id="key_01")
    )
    assert outcomes(await intake.take()) == ["joined"]
    assert outcomes(await intake.take(status="resolved")) == ["resolved"]
    assert await intake.alerts() == ["resolved"]


async def test_resolving_what_nobody_knows_changes_nothing_and_says_so(intake_with: OpenIntake) -> None:
    intake = await intake_with()
    for verdict in (await intake.take(status="resolved"), await intake.take(status="resolved", account_id=None)):
        assert (verdict.firing, verdict.alerts) == (False, ())
        assert verdict.detail == "nothing to resolve: no open alert of this group"


async def test_a_group_goes_on_when_its_shared_labels_change(intake_with: OpenIntake) -> None:
    """`severity` was shared by all members until one of another severity came: no rule matches any more."""
    intake = await intake_with()
    await intake.take()
    later = await intake.take(commonLabels={"alertname": "DiskFull"})
    assert (later.firing, later.rule, outcomes(later)) == (True, "", ["joined"])
    assert "goes on" in later.detail
    assert (await intake.events())["repeated"] == 1
    assert outcomes(await intake.take(status="resolved", commonLabels={})) == ["resolved"]


async def test_a_rule_of_higher_priority_raises_the_open_alert(intake_with: OpenIntake) -> None:
    urgent = (
        DATABASE.replace('"database"', '"urgent"')
        .replace("Disk.*", "DiskFull")
        .replace("[rules.match]", "priority = 'emergency'\n[rules.match]\npage = 'yes'")
    )
    intake = await intake_with(urgent + DATABASE)
    await intake.take()
    assert await intake.alerts("priority") == [1]
    common = posted()["commonLabels"] | {"page": "yes"}
    assert outcomes(await intake.take(commonLabels=common)) == ["joined"]
    assert await intake.alerts("priority") == [0]


async def test_a_rule_that_takes_over_asks_the_people_whom_it_names(intake_with: OpenIntake) -> None:
    few = DATABASE.replace(', {name = "Ann", addresses = ["sms:+33612345679"], language = "fr"}', "").replace(
        "[rules.match]", 'priority = "normal"\n[rules.match]'
    )
    urgent = (
        DATABASE.replace('"database"', '"urgent"')
        .replace("[rules.match]", '[rules.acknowledgement]\nrule = "quorum"\nquorum = 2\n[rules.match]', 1)
        .replace("[rules.acknowledgement]", 'priority = "emergency"\n[rules.acknowledgement]')
        .replace("[rules.match]", "[rules.match]\npage = 'yes'")
    )
    intake = await intake_with(urgent + few)
    await intake.take()
    await intake.take(commonLabels=posted()["commonLabels"] | {"page": "yes"})
    assert await intake.alerts("priority", "rule", "quorum") == [(0, "quorum", 2)]


async def test_the_same_twice_at_the_same_time_is_one_alert(intake_with: OpenIntake) -> None:
    """Two Alertmanagers of a cluster that do not hear each other both notify."""
    intake = await intake_with()
    both = await asyncio.gather(*(intake.take() for _ in range(10)))
    assert sorted(outcome for verdict in both for outcome in outcomes(verdict)) == ["accepted"] + ["joined"] * 9
    assert await intake.alerts() == ["active"]


async def test_long_keys_are_still_the_same_group(postgresql_url: str, intake_with: OpenIntake) -> None:
    intake = await intake_with(url=postgresql_url)
    key = '{}:{alertname="' + "Ä" * 20_000 + '"}'
    await intake.take(groupKey=key)
    assert outcomes(await intake.take(groupKey=key)) == ["joined"]
    assert outcomes(await intake.take(groupKey=key + "x")) == ["accepted"]


# Each member an alert


PER_MEMBER = DATABASE.replace("[rules.match]", 'per = "member"\n[rules.match]')


async def test_each_member_is_an_alert_where_the_rule_says_so(intake_with: OpenIntake) -> None:
    intake = await intake_with(PER_MEMBER)
    verdict = await intake.take(*members(3))
    assert (outcomes(verdict), verdict.detail) == (["accepted"] * 3, "")
    assert [text.splitlines()[:2] for text in await intake.alerts("text")] == [
        ["DiskFull", f"instance=db{n} severity=critical"] for n in range(3)
    ]
    mixed = await intake.take(*members(1, "resolved"), *members(4)[1:])
    assert sorted(outcomes(mixed)) == ["accepted", "joined", "joined", "resolved"]
    assert await intake.alerts() == ["resolved", "active", "active", "active"]
    over = await intake.take(*members(4, "resolved"), status="resolved")
    assert outcomes(over) == ["resolved"] * 3
    assert outcomes(await intake.take(*members(1))) == ["accepted"]


async def test_five_hundred_members_are_all_taken(intake_with: OpenIntake) -> None:
    intake = await intake_with(PER_MEMBER, credit="100")
    assert outcomes(await intake.take(*members(500))) == ["accepted"] * 500
    assert outcomes(await intake.take(*members(500))) == ["joined"] * 500
    assert outcomes(await intake.take(*members(500, "resolved"), status="resolved")) == ["resolved"] * 500


async def test_case_1_2_a_member_of_two_groups_with_two_rules_is_two_alerts(intake_with: OpenIntake) -> None:
    disks = PER_MEMBER.replace("+33612345678", "+33612345601").replace('severity = "critical"', 'kind = "disk"')
    hosts = PER_MEMBER.replace("+33612345678", "+33612345602").replace('severity = "critical"', 'kind = "host"')
    intake = await intake_with(disks + hosts.replace('"database"', '"hosts"'))
    groups = [
        {"groupKey": f"g-{kind}", "commonLabels": {"alertname": "DiskFull", "kind": kind}} for kind in ("disk", "host")
    ]
    for n, group in enumerate(groups):
        verdict = await intake.take(*members(1), **group)
        assert (verdict.rule, outcomes(verdict)) == (("database", "hosts")[n], ["accepted"])
        assert outcomes(await intake.take(*members(1), **group)) == ["joined"]
    assert await intake.alerts() == ["active", "active"]
    assert len(outcomes(await intake.take(*members(1, "resolved"), status="resolved", **groups[1]))) == 1
    assert await intake.alerts("status", "ruled_by") == [("active", "database"), ("resolved", "hosts")]
    assert len(outcomes(await intake.take(*members(1, "resolved"), status="resolved", **groups[0]))) == 1
    assert await intake.alerts() == ["resolved", "resolved"]


# Who tells of it


async def test_case_1_2_the_sender_is_the_key_or_what_the_rule_says(intake_with: OpenIntake) -> None:
    site_a = DATABASE.replace('severity = "critical"', 'site = "a"').replace(
        "[rules.match]", 'sender = "a"\n[rules.match]'
    )
    site_b = site_a.replace('"a"', '"b"').replace('"database"', '"database-b"')
    intake = await intake_with(site_a + site_b + DATABASE.replace('"database"', '"others"'))

    async def take(key: str, site: str, **more: Any) -> Verdict:
        labels = {"alertname": "DiskFull", **({"site": site} if site else {"severity": "critical"})}
        body = posted(member(), commonLabels=labels, groupLabels={}, **more)
        notification = Notification.model_validate_json(json.dumps(body))
        verdict: Verdict = await intake._intake.take(notification, account_id="acme", key_id=key)
        return verdict

    assert outcomes(await take("key_1", "")) == ["accepted"]
    assert outcomes(await take("key_2", "")) == ["accepted"]  # another key is another sender
    assert outcomes(await take("key_1", "", externalURL="http://other.example")) == ["joined"]
    assert outcomes(await take("key_1", "a")) == ["accepted"]  # one key, and a rule that says which site it is
    assert outcomes(await take("key_1", "b")) == ["accepted"]
    assert outcomes(await take("key_3", "a")) == ["joined"]  # a new key of the same site
    assert outcomes(await take("key_3", "a", status="resolved")) == ["resolved"]
    assert await intake.alerts("sender", "status") == [
        ("key_1", "active"),
        ("key_2", "active"),
        ("a", "resolved"),
        ("b", "active"),
    ]
    assert outcomes(await take("key_2", "", status="resolved")) == ["resolved"]
    assert outcomes(await take("key_4", "", status="resolved")) == []


async def test_a_key_that_looks_like_ours_joins_nothing_of_ours(intake_with: OpenIntake) -> None:
    intake = await intake_with()
    taken = await intake.take()
    assert outcomes(await intake.take(groupKey=f"last_resort:{taken.alerts[0].id}")) == ["accepted"]


# Money and people


async def test_an_empty_account_does_not_silence_it(intake_with: OpenIntake) -> None:
    intake = await intake_with(DATABASE.replace("[rules.match]", 'priority = "normal"\n[rules.match]'), credit="0.05")
    verdict = await intake.take()
    assert outcomes(verdict) == ["accepted"]
    await eventually(lambda: intake.paper.texts)
    statement = select(tables.deliveries.c.code).order_by(tables.deliveries.c.id)
    codes = await intake.broker.store.read(lambda connection: connection.scalars(statement).all())
    assert codes[1] == "insufficient_credit"


async def test_one_wrong_address_does_not_silence_the_others(intake_with: OpenIntake) -> None:
    rules = DATABASE.replace('"sms:+33612345679"', '"sms:112", "sms:0612345679", "sms:+33612345679"')
    rules += '[[rules.steps]]\n[[rules.steps]]\nafter_s = 60\nrecipients = ["sms:112"]\n'
    intake = await intake_with(rules)
    verdict = await intake.take()
    places = [line.partition(": ")[0] for line in verdict.skipped]
    assert places == ["recipients[1].addresses[0]", "recipients[1].addresses[1]", "steps[1].recipients[0].addresses[0]"]
    ((recipients, steps),) = await intake.alerts("recipients", "steps")
    assert json.loads(recipients) == [
        ["sms:+33612345678", "", "sms:+33612345678"],
        ["Ann", "fr", "sms:+33612345679"],
    ]
    assert len(json.loads(steps)) == 1


async def test_whoever_is_left_in_the_steps_is_reached(intake_with: OpenIntake) -> None:
    rules = DATABASE.replace("+33612345678", "112").replace("+33612345679", "112")
    intake = await intake_with(
        rules + '[[rules.steps]]\n[[rules.steps]]\nafter_s = 60\nrecipients = ["sms:+33612345670"]\n'
    )
    assert outcomes(await intake.take()) == ["accepted"]


# What is refused


async def test_labels_without_a_rule_are_told(intake_with: OpenIntake) -> None:
    intake = await intake_with()
    refusal = await intake.refused(commonLabels={"severity": "info"}, groupLabels={"alertname": "X"})
    assert refusal.code == "no_rule"
    assert str(refusal) == "none of 1 rules of the account acme matches the labels alertname='X', severity='info'"
    other = await intake.refused(account_id="globex")
    assert str(other) == 'the settings have no rule of the account globex with source = "alertmanager"'


async def test_a_key_of_the_installation_uses_every_rule_whose_account_exists(intake_with: OpenIntake) -> None:
    nobody = DATABASE.replace("acme", "nobody").replace('"database"', '"lost"').replace("critical", "page")
    intake = await intake_with(nobody + DATABASE)
    refusal = await intake.refused(account_id=None, commonLabels={"severity": "page"})
    assert refusal.code == "unknown_account"
    assert str(refusal) == "the rule lost charges the account nobody: there is none"
    assert outcomes(await intake.take(account_id=None)) == ["accepted"]
    assert outcomes(await intake.take(account_id="acme")) == ["joined"]
    assert outcomes(await intake.take(account_id="globex", status="resolved")) == []
    assert outcomes(await intake.take(account_id=None, status="resolved")) == ["resolved"]


async def test_a_rule_that_reaches_nobody_is_refused(intake_with: OpenIntake) -> None:
    intake = await intake_with(DATABASE.replace("+33612345678", "112").replace("+33612345679", "911"))
    refusal = await intake.refused()
    assert refusal.code == "nobody_to_reach"
    assert "recipients[0].addresses[0]: " in str(refusal)
