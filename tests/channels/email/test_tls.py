"""Encryption and authentication over real sockets: what each `tls` setting demands, and how a failure is told."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from channels.email.channel import EmailChannel
from channels.email.connection import open_connection
from channels.outcome import Accepted, PermanentFailure, RetryLater
from tests.channels.email.wire import message, running_sink, self_signed, sending, settings

LOGIN = {"username": "tocsin", "password": "s3cret"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.mark.parametrize(("mode", "implicit"), [("starttls", False), ("tls", True)])
async def test_a_verified_link_with_a_login(
    mode: str, implicit: bool, certificate: tuple[Path, Path], server_context: ssl.SSLContext
) -> None:
    logins = {LOGIN["username"]: LOGIN["password"]}
    async with (
        running_sink(tls_context=server_context, logins=logins, implicit_tls=implicit) as (sink, port),
        sending(port, tls=mode, tls_ca=certificate[0], **LOGIN) as channel,
    ):
        assert isinstance(await channel.send(message("dlv_1")), Accepted)
        assert isinstance(await channel.send(message("dlv_2")), Accepted)
        assert (sink.mails[0].login, sink.mails[0].encrypted) == ("tocsin", True)
        assert channel.health().facts["protection"] == "verified"


@pytest.mark.parametrize(("mode", "implicit"), [("starttls", False), ("tls", True)])
async def test_an_unproven_certificate_is_refused_and_alarms(
    mode: str, implicit: bool, server_context: ssl.SSLContext
) -> None:
    async with running_sink(tls_context=server_context, implicit_tls=implicit) as (sink, port):
        outcome = await EmailChannel(settings(port, tls=mode)).send(message())
    assert isinstance(outcome, RetryLater)
    assert (outcome.reason.code, outcome.reason.alarm) == ("tls_certificate_refused", True)
    assert (outcome.unreachable, outcome.maybe_sent) == (True, False)
    assert sink.taken == 0


async def test_starttls_that_is_not_offered_is_refused() -> None:
    async with running_sink() as (_, port):
        outcome = await EmailChannel(settings(port, tls="starttls")).send(message())
    assert isinstance(outcome, RetryLater)
    assert (outcome.reason.code, outcome.reason.alarm, outcome.unreachable) == ("tls_not_offered", True, True)


async def test_a_wrong_password_alarms(certificate: tuple[Path, Path], server_context: ssl.SSLContext) -> None:
    async with running_sink(tls_context=server_context, logins={"tocsin": "other"}) as (_, port):
        channel = EmailChannel(settings(port, tls="starttls", tls_ca=certificate[0], **LOGIN))
        outcome = await channel.send(message())
        health = await channel.probe()
    assert isinstance(outcome, RetryLater)
    assert (outcome.reason.code, outcome.reason.alarm, outcome.unreachable) == ("auth_failed", True, True)
    assert "s3cret" not in repr(outcome)
    assert (health.up, health.alarm) == (False, True)


async def test_a_missing_login_alarms(server_context: ssl.SSLContext, certificate: tuple[Path, Path]) -> None:
    async with (
        running_sink(tls_context=server_context, logins={"tocsin": "s3cret"}) as (_, port),
        sending(port, tls="starttls", tls_ca=certificate[0]) as channel,
    ):
        outcome = await channel.send(message())
    assert isinstance(outcome, PermanentFailure)
    assert (outcome.reason.code, outcome.reason.alarm) == ("auth_failed", True)


async def test_a_login_that_is_not_offered_alarms() -> None:
    async with running_sink() as (_, port):
        outcome = await EmailChannel(settings(port, tls="none", **LOGIN)).send(message())
    assert isinstance(outcome, RetryLater)
    assert (outcome.reason.alarm, outcome.unreachable) == (True, True)


@pytest.mark.parametrize(
    ("keys", "offered", "protection"),
    [
        ({}, True, "none"),  # loopback: nothing can listen in between
        ({"tls": "none"}, True, "none"),
    ],
)
async def test_opportunistic_on_loopback(
    keys: dict[str, Any], offered: bool, protection: str, server_context: ssl.SSLContext
) -> None:
    async with running_sink(tls_context=server_context if offered else None) as (_, port):
        connection = await open_connection(settings(port, **keys))
        assert connection.protection == protection
        await connection.quit()


@pytest.mark.parametrize(("offered", "protection"), [(True, "unverified"), (False, "none")])
async def test_opportunistic_elsewhere_takes_what_is_offered(
    offered: bool, protection: str, server_context: ssl.SSLContext
) -> None:
    async with running_sink(tls_context=server_context if offered else None) as (_, port):
        connection = await open_connection(settings(port, host=ELSEWHERE))
        assert connection.protection == protection
        await connection.quit()


async def test_opportunistic_elsewhere_with_a_login_never_goes_in_the_clear() -> None:
    async with running_sink() as (_, port):
        outcome = await EmailChannel(settings(port, host=ELSEWHERE, **LOGIN)).send(message())
    assert isinstance(outcome, RetryLater)
    assert outcome.reason.code == "tls_not_offered"


async def test_a_file_that_is_no_certificate_alarms(tmp_path: Path) -> None:
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("nonsense")
    changed = settings(25, tls="tls").model_copy(
        update={"tls_ca": nonsense}
    )  # since the settings were read, which refuse it
    outcome = await EmailChannel(changed).send(message())
    assert isinstance(outcome, RetryLater)
    assert (outcome.reason.code, outcome.reason.alarm, outcome.unreachable) == ("tls_failed", True, True)


ELSEWHERE = "0.0.0.0"  # reaches this machine over loopback, and is no loopback address by name
