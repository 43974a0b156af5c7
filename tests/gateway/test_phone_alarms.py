"""Alarms raised by phone: the rule that is taken, what is said, what cannot be raised, and the recording."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway import held
from gateway.alert import Priority, Rule
from gateway.intake import AcceptAlert
from gateway.phone_alarms import RECORDING, AttachRecording, PhoneAlarms
from gateway.pins import hashed
from gateway.settings import LineSettings
from gateway.settings_rules import PHONE
from gateway.store import tables
from gateway.store.errors import StoreConflict, StoreError, StoreStopped, StoreUnavailable
from gateway.submission import ATTACHMENT_BYTES_MAX, Submissions
from tests.gateway.api_desk import SOON_S, ApiDesk, running

RULES = """
[[rules]]
name = "monitoring"
account = "acme"
recipients = ["sms:+33612345670"]
[[rules]]
name = "flood"
source = "phone"
account = "acme"
match = {line = "flood"}
recipients = ["sms:+33612345671"]
priority = "normal"
language = "de"
[[rules]]
name = "unpaid"
source = "phone"
account = "poor"
match = {line = "poor"}
recipients = ["sms:+33612345671"]
priority = "normal"
[[rules]]
name = "fire"
source = "phone"
account = "acme"
match = {line = {regex = "fire.*"}}
recipients = [{name = "ada", addresses = ["sms:+33612345672"]}]
priority = "emergency"
acknowledgement = {rule = "all"}
"""


def line(name: str, **more: Any) -> LineSettings:
    keys = {"name": name, "number": "4711", "kind": "alarm", "pin": hashed("1234", bytes(16)), "text": f"It is {name}"}
    return LineSettings.model_validate(keys | more)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    async with running(tmp_path, more=RULES) as one:
        await one.account("poor")
        yield one


@pytest.fixture
def alarms(desk: ApiDesk) -> PhoneAlarms:
    return PhoneAlarms(desk.broker, Submissions(desk.broker))


async def rows_of(desk: ApiDesk, table: Any) -> list[Any]:
    return list(await desk.store.read(lambda connection: connection.execute(select(table)).all()))


async def test_an_alarm_is_on_disk_before_its_reference_is_told(desk: ApiDesk, alarms: PhoneAlarms) -> None:
    reference = await alarms.raise_alarm(line("fire"))
    (alert,) = await rows_of(desk, tables.alerts)
    assert alert.id == reference
    assert (alert.text, alert.source, alert.account_id) == ("It is fire", PHONE, "acme")
    assert (alert.priority, alert.rule) == (Priority.EMERGENCY, Rule.ALL)
    found = {(one.person, one.address) for one in await rows_of(desk, tables.deliveries)}
    assert found == {("ada", "sms:+33612345672")}


@pytest.mark.parametrize(
    ("name", "language", "expected"), [("flood", "fr", "de"), ("fire", "fr", "fr"), ("fire", "", "")]
)
async def test_the_rule_s_language_goes_before_the_line_s(
    desk: ApiDesk, alarms: PhoneAlarms, name: str, language: str, expected: str
) -> None:
    await alarms.raise_alarm(line(name, language=language))
    (alert,) = await rows_of(desk, tables.alerts)
    assert alert.language == expected


async def test_two_alarms_are_two_alerts(desk: ApiDesk, alarms: PhoneAlarms) -> None:
    found = {await alarms.raise_alarm(line("fire")) for _ in range(2)}
    assert len(found) == len(await rows_of(desk, tables.alerts)) == 2


def test_the_first_rule_for_phones_that_fits_is_taken(alarms: PhoneAlarms) -> None:
    for name, rule in (("flood", "flood"), ("fire-2", "fire")):
        found = alarms.rule_for(line(name))
        assert found is not None
        assert found.name == rule
    assert alarms.rule_for(line("gas")) is None  # the rule for monitoring fits all, and is not for phones


@pytest.mark.parametrize("name", ["gas"])
async def test_what_cannot_be_raised_is_no_alarm_and_no_fault(desk: ApiDesk, alarms: PhoneAlarms, name: str) -> None:
    assert await alarms.raise_alarm(line(name)) is None
    assert await rows_of(desk, tables.alerts) == []


async def test_an_account_without_credit_does_not_silence_an_alarm(desk: ApiDesk, alarms: PhoneAlarms) -> None:
    reference = await alarms.raise_alarm(line("poor"))
    assert reference is not None
    assert [alert.id for alert in await rows_of(desk, tables.alerts)] == [reference]


@pytest.mark.parametrize("failure", [StoreConflict("no"), StoreStopped("the journal has stopped")])
async def test_a_store_that_refuses_raises_nothing(
    desk: ApiDesk, alarms: PhoneAlarms, monkeypatch: pytest.MonkeyPatch, failure: StoreError
) -> None:
    async def refuse(*_: object, **__: object) -> object:
        raise failure

    monkeypatch.setattr(desk.broker.journal, "do", refuse)
    assert await alarms.raise_alarm(line("fire")) is None
    assert not await alarms.attach("alt_1", b"RIFF")


@pytest.mark.parametrize("written", [False, True])  # whether what seemed to fail was committed all the same
async def test_an_alarm_is_raised_once_when_the_store_is_back(
    desk: ApiDesk, alarms: PhoneAlarms, monkeypatch: pytest.MonkeyPatch, *, written: bool
) -> None:
    monkeypatch.setattr(held, "AGAIN_S", 0.0)
    do, tries, thrice = desk.broker.journal.do, 0, asyncio.Event()

    async def away(command: Any, *, urgent: bool = False) -> Any:
        nonlocal tries
        if not isinstance(command, AcceptAlert):
            return await do(command, urgent=urgent)
        tries += 1
        if tries > 3:
            thrice.set()
            return await do(command, urgent=urgent)
        if written:
            await do(command, urgent=urgent)
        raise StoreUnavailable("the server has closed the connection")

    monkeypatch.setattr(desk.broker.journal, "do", away)
    calls = [
        asyncio.create_task(alarms.raise_alarm(line("fire"))) for _ in range(2)
    ]  # whoever calls again means the same
    async with asyncio.timeout(SOON_S):
        calls[1].cancel()  # and hangs up
        await thrice.wait()
        reference = await calls[0]
    assert [alert.id for alert in await rows_of(desk, tables.alerts)] == [reference]
    assert not alarms._raising


async def test_what_the_caller_said_is_attached(desk: ApiDesk, alarms: PhoneAlarms) -> None:
    reference = await alarms.raise_alarm(line("fire"))
    assert reference is not None
    assert await alarms.attach(reference, b"RIFF1")
    assert await alarms.attach(reference, b"RIFF2")
    (alert,) = await rows_of(desk, tables.alerts)
    assert alert.files == 2
    found = [(one.n, one.name, one.content_type, bytes(one.content)) for one in await rows_of(desk, tables.attachments)]
    assert sorted(found) == [(1, RECORDING, "audio/wav", b"RIFF1"), (2, RECORDING, "audio/wav", b"RIFF2")]
    events = [one.detail for one in await rows_of(desk, tables.events) if one.kind == "recorded"]
    assert events == [RECORDING, RECORDING]


async def test_an_alert_that_nobody_knows_takes_no_recording(desk: ApiDesk, alarms: PhoneAlarms) -> None:
    for reference in ("", "alt_unknown"):
        assert not await alarms.attach(reference, b"RIFF")
    assert await rows_of(desk, tables.attachments) == []


@pytest.mark.parametrize(("size", "kept"), [(ATTACHMENT_BYTES_MAX, True), (ATTACHMENT_BYTES_MAX + 1, False)])
async def test_a_recording_has_a_bound(desk: ApiDesk, alarms: PhoneAlarms, size: int, kept: bool) -> None:
    reference = await alarms.raise_alarm(line("fire"))
    assert reference is not None
    assert await desk.broker.journal.do(AttachRecording(alert_id=reference, wav=bytes(size))) is kept
    assert len(await rows_of(desk, tables.attachments)) == kept
