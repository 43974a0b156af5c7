"""Who may call us: the trunk, trusted networks, whoever knows the password; everybody else hears nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from channels.voice.dialling import trunk_config
from channels.voice.doorkeeper import LINE_EVERY_S, Doorkeeper
from channels.voice.settings import SipSettings
from ivr.sip.agent import Admission, Admitted, Challenged, Dropped
from ivr.sip.digest import NONCE_S, Credentials, answer, parse_challenges
from ivr.sip.headers import Headers
from ivr.sip.hop import Hop
from ivr.sip.message import Request
from ivr.trunk import Trunk

URI = "sip:+33140000018@192.0.2.10"
STRANGER = "203.0.113.9"
PROOF = {"inbound_username": "desk", "inbound_password": "hunter2"}
NOW = 1_000.0


async def doorkeeper(**more: Any) -> Doorkeeper:
    settings = SipSettings.model_validate({"name": "pbx", "host": "192.0.2.1", "port": 5060, **more})
    trunk = Trunk(trunk_config(settings))
    await trunk.resolve()
    return Doorkeeper(settings, trunk)


def invite(*authorizations: str, method: str = "INVITE", uri: str = URI) -> Request:
    headers = [("Authorization", value) for value in authorizations]
    return Request(method=method, uri=uri, headers=Headers([("From", "<sip:+33100000000@192.0.2.1>"), *headers]))


def asks(door: Doorkeeper, host: str, *authorizations: str, now: float = NOW, **more: Any) -> Admission:
    return door(invite(*authorizations, **more), Hop("udp", host, 5060), now)


def proof_for(
    admission: Admission, *, which: int = 0, username: str = "desk", password: str = "hunter2", **more: Any
) -> str:
    assert isinstance(admission, Challenged)
    challenge = parse_challenges(admission.challenges, proxy=False)[which]
    who = Credentials(username=username, password=password)
    fields: dict[str, Any] = {"method": "INVITE", "uri": URI, "nonce_count": 1, "cnonce": "abc", **more}
    return answer(challenge, who, **fields)


# --- where it comes from ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("port", [1, 5060, 65_535])
async def test_the_trunk_may_call_from_any_port(transport: Any, port: int) -> None:
    door = await doorkeeper()
    assert isinstance(door(invite(), Hop(transport, "192.0.2.1", port), NOW), Admitted)


async def test_further_proxies_of_the_trunk_may_call() -> None:
    door = await doorkeeper(proxies=["192.0.2.7:5060"])
    assert isinstance(asks(door, "192.0.2.7"), Admitted)
    assert isinstance(asks(door, "192.0.2.8"), Dropped)


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER", "MESSAGE"])
async def test_strangers_hear_nothing(method: str) -> None:
    door = await doorkeeper()
    assert isinstance(asks(door, STRANGER, method=method), Dropped)
    assert isinstance(asks(door, STRANGER, 'Digest username="desk"'), Dropped)


async def test_what_a_request_says_to_come_from_proves_nothing() -> None:
    door = await doorkeeper(trusted=["192.0.2.0/24"])
    asserted = Headers([("P-Asserted-Identity", "<sip:1@192.0.2.1>"), ("Via", "SIP/2.0/UDP 192.0.2.1")])
    request = Request(method="INVITE", uri=URI, headers=asserted)
    assert isinstance(door(request, Hop("udp", STRANGER, 5060), NOW), Dropped)


@pytest.mark.parametrize(
    ("trusted", "host", "let_in"),
    [
        ("203.0.113.0/24", "203.0.113.9", True),
        ("203.0.113.9", "203.0.113.9", True),
        ("203.0.113.9", "203.0.113.10", False),
        ("203.0.113.0/29", "203.0.113.8", False),
        ("2001:db8::/32", "2001:db8::5", True),
        ("2001:db8::/32", "2001:db9::5", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("203.0.113.0/24", "2001:db8::5", False),
        ("2001:db8::/32", "203.0.113.9", False),
        ("203.0.113.0/24", "pbx.example.org", False),
        ("203.0.113.0/24", "", False),
    ],
)
async def test_trusted_networks(trusted: str, host: str, let_in: bool) -> None:
    door = await doorkeeper(trusted=[trusted])
    assert isinstance(asks(door, host), Admitted if let_in else Dropped)


# --- what is told of strangers ---------------------------------------------------------------------------------------


def not_admitted(provider: str, reason: str) -> float:
    return REGISTRY.get_sample_value("tocsin_sip_not_admitted_total", {"provider": provider, "reason": reason}) or 0.0


@pytest.mark.parametrize(
    ("more", "authorization", "event", "reason"),
    [
        ({}, "", "sip_request_dropped", "dropped"),
        (PROOF, 'Digest username="desk"', "sip_password_wrong", "wrong_password"),
    ],
)
async def test_many_strangers_are_counted_and_told_of_once_a_minute(
    more: dict[str, Any], authorization: str, event: str, reason: str
) -> None:
    door = await doorkeeper(**more)
    before = not_admitted("pbx", reason)
    with capture_logs() as lines:
        for n in range(1_000):
            asks(door, STRANGER, authorization, now=NOW + n / 1_000)
        asks(door, "198.51.100.4", authorization, now=NOW + LINE_EVERY_S)
    assert not_admitted("pbx", reason) - before == 1_001
    assert [(line["event"], line["source"], line["left_out"]) for line in lines] == [
        (event, f"udp:{STRANGER}:5060", 0), (event, "udp:198.51.100.4:5060", 999),
    ]  # fmt: skip


# --- what it proves --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [0, 1])
async def test_the_right_password_lets_in_once(which: int) -> None:
    door = await doorkeeper(**PROOF)
    challenged = asks(door, STRANGER)
    assert isinstance(challenged, Challenged)
    assert [re.search(r"algorithm=([^,]+)", one)[1] for one in challenged.challenges] == ["SHA-256", "MD5"]  # type: ignore[index]
    assert all('realm="192.0.2.1"' in one and "stale" not in one for one in challenged.challenges)
    proof = proof_for(challenged, which=which)
    assert isinstance(asks(door, STRANGER, proof), Admitted)
    replayed = asks(door, "203.0.113.66", proof)
    assert isinstance(replayed, Challenged)
    assert all("stale=true" in one for one in replayed.challenges)
    assert isinstance(asks(door, STRANGER, proof_for(challenged, which=which, nonce_count=2)), Admitted)


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "hunter3"},
        {"password": ""},
        {"username": "desk2"},
        {"username": ""},
        {"method": "REGISTER"},
        {"uri": "sip:+33140000019@192.0.2.10"},
    ],
)
async def test_a_wrong_proof_is_asked_again_and_not_called_stale(wrong: dict[str, Any]) -> None:
    door = await doorkeeper(**PROOF)
    again = asks(door, STRANGER, proof_for(asks(door, STRANGER), **wrong))
    assert isinstance(again, Challenged)
    assert not any("stale" in one for one in again.challenges)


async def test_a_proof_for_one_number_does_not_open_another() -> None:
    door = await doorkeeper(**PROOF)
    proof = proof_for(asks(door, STRANGER))
    assert isinstance(asks(door, STRANGER, proof, uri="sip:4711@192.0.2.10"), Challenged)
    assert isinstance(asks(door, STRANGER, proof, method="MESSAGE"), Challenged)


async def test_an_old_nonce_is_stale() -> None:
    door = await doorkeeper(**PROOF)
    proof = proof_for(asks(door, STRANGER))
    late = asks(door, STRANGER, proof, now=NOW + NONCE_S + 2)
    assert isinstance(late, Challenged)
    assert all("stale=true" in one for one in late.challenges)
    fresh = parse_challenges(late.challenges, proxy=False)[0]
    assert fresh.stale
    again = answer(
        fresh, Credentials(username="desk", password="hunter2"), method="INVITE", uri=URI, nonce_count=1, cnonce="d"
    )
    assert isinstance(asks(door, STRANGER, again, now=NOW + NONCE_S + 2), Admitted)


async def test_a_wrong_password_with_an_old_nonce_is_not_told_that_only_the_nonce_was_old() -> None:
    door = await doorkeeper(**PROOF)
    late = asks(door, STRANGER, proof_for(asks(door, STRANGER), password="no"), now=NOW + NONCE_S + 2)
    assert isinstance(late, Challenged)
    assert not any("stale" in one for one in late.challenges)


async def test_a_nonce_of_another_door_or_of_the_future_is_none() -> None:
    door, other = await doorkeeper(**PROOF), await doorkeeper(**PROOF)
    assert isinstance(asks(door, STRANGER, proof_for(asks(other, STRANGER))), Challenged)
    ahead = proof_for(asks(door, STRANGER, now=NOW + 60))
    assert isinstance(asks(door, STRANGER, ahead, now=NOW), Challenged)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Digest",
        "Digest ",
        "Basic ZGVzazpodW50ZXIy",
        "Digest username=desk",
        "Digest " + "x=1," * 5_000,
        "Digest \x00=",
    ],
)
async def test_what_is_no_proof_is_asked_again(value: str) -> None:
    door = await doorkeeper(**PROOF)
    assert isinstance(asks(door, STRANGER, value), Challenged)


async def test_one_right_proof_among_wrong_ones_is_enough() -> None:
    door = await doorkeeper(**PROOF)
    challenged = asks(door, STRANGER)
    assert isinstance(asks(door, STRANGER, proof_for(challenged, password="no"), proof_for(challenged)), Admitted)


async def test_the_trunk_need_not_prove_anything() -> None:
    door = await doorkeeper(**PROOF, trusted=["203.0.113.0/24"], domain="example.org")
    assert isinstance(asks(door, "192.0.2.1"), Admitted)
    assert isinstance(asks(door, STRANGER), Admitted)
    challenged = asks(door, "198.51.100.1")
    assert isinstance(challenged, Challenged)
    assert 'realm="example.org"' in challenged.challenges[0]
