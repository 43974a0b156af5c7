"""Calls out over the real wire: sipp is the phone, everything from the request to the ledger is ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ivr.audio import tones
from ivr.audio.prompts import Prompts
from ivr.audio.sound import silence
from tests.peers.sipp import (
    AGAIN_MS,
    PRESSES_MAX,
    Sipp,
    answers,
    expects,
    hangs_up,
    informs,
    invited,
    invited_with_password,
    marks,
    offers_again,
    pause,
    pcap_of,
    plays,
    presses,
    presses_until_bye,
    refuses,
    released,
    reply,
    until_bye,
)
from tests.peers.waiting import eventually
from tests.scenarios.conftest import OpenDesk
from tests.scenarios.installation import sip

ANNA = "voice:+33612345678"
URGENT: dict[str, Any] = {"priority": "emergency", "acknowledgement": {"rule": "any"}}
ONCE = {"attempts_max": 1}
SKIPS_GREETING = presses("2") + pause(600)
"""A key while we introduce ourselves: what is told begins at once."""


async def test_a_key_by_telephone_event_acknowledges_and_one_minute_is_charged(
    desk_with: OpenDesk, tmp_path: Path
) -> None:
    phone = Sipp(
        tmp_path, invited("INVITE sip:.33612345678@"), reply("180 Ringing"), pause(200), answers(), pause(300),
        SKIPS_GREETING, presses_until_bye(tmp_path), reply("200 OK"),
    )  # fmt: skip
    with phone:
        desk = await desk_with(sip("pbx", phone.port))
        alert = await desk.alert("Fire in hall three", to=ANNA, **URGENT)
        await alert.became("acknowledged")
        await phone.done()
        seen = await alert.only("delivered")
    assert (seen.code, seen.units, seen.charged) == ("acknowledged", 1, "0.10")
    await desk.ledger_adds_up(spent="0.10")


async def test_a_key_by_info_acknowledges(desk_with: OpenDesk, tmp_path: Path) -> None:
    presses_1 = until_bye([informs("1", cseq) for cseq in range(2, 2 + PRESSES_MAX)])
    with Sipp(
        tmp_path, invited(), answers(events=False), pause(300), informs("2", 1), pause(500), presses_1, reply("200 OK")
    ) as phone:
        desk = await desk_with(sip("pbx", phone.port))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.became("acknowledged")
        await phone.done()


async def test_a_key_in_the_sound_acknowledges(desk_with: OpenDesk, tmp_path: Path) -> None:
    presses_1 = [tones.keys("1"), silence(AGAIN_MS / 1_000)] * PRESSES_MAX
    keys = pcap_of([silence(0.3), tones.keys("2"), silence(1.0), *presses_1], tmp_path / "keys.pcap")
    with Sipp(tmp_path, invited(), answers(events=False), plays(keys), released()) as phone:
        desk = await desk_with(sip("pbx", phone.port))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.became("acknowledged")
        await phone.done()


@pytest.mark.parametrize(
    ("status", "state", "code"),
    [
        ("486 Busy Here", "failed", "busy"),
        ("600 Busy Everywhere", "failed", "busy"),
        ("603 Decline", "failed", "call_rejected"),
        ("480 Temporarily Unavailable", "failed", "unreachable"),
        ("404 Not Found", "failed", "unknown_number"),
    ],
)
async def test_a_refusal_is_told_apart_and_costs_nothing(
    desk_with: OpenDesk, tmp_path: Path, status: str, state: str, code: str
) -> None:
    with Sipp(tmp_path, invited(), reply("180 Ringing"), pause(100), refuses(status)) as phone:
        desk = await desk_with(sip("pbx", phone.port), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await alert.only(state)
        await phone.done()
    assert [attempt[2] for attempt in seen.attempts] == [code]
    await desk.ledger_adds_up(spent="0.00")


async def test_a_cause_of_the_telephone_network_is_more_precise_than_the_status(
    desk_with: OpenDesk, tmp_path: Path
) -> None:
    with Sipp(tmp_path, invited(), refuses("503 Service Unavailable", "Reason: Q.850;cause=17")) as phone:
        desk = await desk_with(sip("pbx", phone.port), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await alert.only("failed")
        await phone.done()
    assert [attempt[2] for attempt in seen.attempts] == ["busy"]


async def test_nobody_answers_and_the_call_is_taken_back(desk_with: OpenDesk, tmp_path: Path) -> None:
    with Sipp(
        tmp_path, invited(), reply("180 Ringing"), expects("CANCEL"), reply("200 OK"),
        refuses("487 Request Terminated").replace("[last_CSeq:]", "CSeq: 1 INVITE"),
    ) as phone:  # fmt: skip
        desk = await desk_with(sip("pbx", phone.port, ring_s=5), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await alert.only("failed")
        await phone.done()
    assert [attempt[2] for attempt in seen.attempts] == ["no_answer"]


async def test_an_answer_that_crosses_the_cancel_is_hung_up(desk_with: OpenDesk, tmp_path: Path) -> None:
    rings = tmp_path / "rings"
    with Sipp(
        tmp_path, invited(), reply("180 Ringing"), marks(rings), expects("CANCEL", "Call completed elsewhere"),
        answers().replace("[last_CSeq:]", "CSeq: 1 INVITE", 1), expects("BYE"), reply("200 OK"),
    ) as phone:  # fmt: skip
        desk = await desk_with(sip("pbx", phone.port), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await eventually(rings.exists, what="a phone that rings")
        await alert.cancel()
        await phone.done()
        await alert.became("cancelled")


async def test_an_answer_without_ringing(desk_with: OpenDesk, tmp_path: Path) -> None:
    presses_1 = presses_until_bye(tmp_path)
    with Sipp(tmp_path, invited(), answers(), pause(300), SKIPS_GREETING, presses_1, reply("200 OK")) as phone:
        desk = await desk_with(sip("pbx", phone.port))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.became("acknowledged")
        await phone.done()


@pytest.mark.parametrize("more", [', algorithm=MD5, qop="auth"', ""], ids=["with qop", "without qop"])
async def test_credentials_are_shown_where_they_are_asked_for(desk_with: OpenDesk, tmp_path: Path, more: str) -> None:
    challenge = f'WWW-Authenticate: Digest realm="trunk", nonce="47ebe028cda1"{more}'
    with Sipp(
        tmp_path, invited(), refuses("401 Unauthorized", challenge), invited_with_password("tocsin", "Gehe1m"),
        refuses("486 Busy Here"),
    ) as phone:  # fmt: skip
        desk = await desk_with(sip("pbx", phone.port, password="Gehe1m"), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await alert.only("failed")
        await phone.done()
    assert [attempt[2] for attempt in seen.attempts] == ["busy"]


async def test_a_proxy_that_prefers_sha_256_gets_it(desk_with: OpenDesk, tmp_path: Path) -> None:
    challenges = [
        f'Proxy-Authenticate: Digest realm="trunk", nonce="47ebe028cda1", algorithm={name}, qop="auth,auth-int"'
        for name in ("MD5", "SHA-256")
    ]
    with Sipp(
        tmp_path, invited(), refuses("407 Proxy Authentication Required", *challenges),
        invited("Proxy-Authorization: Digest .*algorithm=SHA-256"), refuses("486 Busy Here"),
    ) as phone:  # fmt: skip
        desk = await desk_with(sip("pbx", phone.port, password="Gehe1m"), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.only("failed")
        await phone.done()


async def test_a_wrong_password_is_an_alarm(desk_with: OpenDesk, tmp_path: Path) -> None:
    challenge = 'WWW-Authenticate: Digest realm="trunk", nonce="47ebe028cda1", qop="auth"'
    with Sipp(
        tmp_path, invited(), refuses("401 Unauthorized", challenge), invited(), refuses("401 Unauthorized", challenge)
    ) as phone:
        desk = await desk_with(sip("pbx", phone.port, password="Falsch"), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await alert.only("failed")
        await phone.done()
    assert [attempt[2] for attempt in seen.attempts] == ["authentication_failed"]


async def test_who_hangs_up_before_the_text_is_called_again(desk_with: OpenDesk, tmp_path: Path) -> None:
    with Sipp(tmp_path, invited(), answers(), pause(100), hangs_up()) as phone:
        desk = await desk_with(sip("pbx", phone.port), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await alert.only("failed")
        await phone.done()
    assert [attempt[2] for attempt in seen.attempts] == ["hung_up_early"]
    await desk.ledger_adds_up(spent="0.00")


async def test_who_hangs_up_before_a_key_has_acknowledged_nothing(desk_with: OpenDesk, tmp_path: Path) -> None:
    with Sipp(tmp_path, invited(), answers(), pause(4_000), hangs_up()) as phone:
        desk = await desk_with(sip("pbx", phone.port))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await alert.only("delivered")
        await phone.done()
    assert seen.code == "answered_no_key"
    assert await alert.status() == "active"
    await desk.ledger_adds_up(spent="0.10")


async def test_a_held_call_goes_on(desk_with: OpenDesk, tmp_path: Path) -> None:
    with Sipp(
        tmp_path, invited(), answers(), pause(200), offers_again(1, "sendonly"), pause(300),
        offers_again(2, "sendrecv"), pause(200), SKIPS_GREETING, presses_until_bye(tmp_path), reply("200 OK"),
    ) as phone:  # fmt: skip
        desk = await desk_with(sip("pbx", phone.port))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.became("acknowledged")
        await phone.done()


async def test_an_answering_machine_acknowledges_nothing(desk_with: OpenDesk, tmp_path: Path) -> None:
    said = Prompts().sound("alert_unreadable", "en")
    greeting = pcap_of([silence(0.4), said, silence(0.2), tones.beep(), silence(4)], tmp_path / "greeting.pcap")
    with Sipp(tmp_path, invited(), answers(), plays(greeting), pause(9_000), hangs_up()) as phone:
        desk = await desk_with(sip("pbx", phone.port, wait_for_beep=True))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await alert.only("delivered")
        await phone.done()
    assert seen.code == "answered_no_key"
    assert await alert.status() == "active"


async def test_silence_acknowledges_nothing(desk_with: OpenDesk, tmp_path: Path) -> None:
    quiet = pcap_of([silence(60)], tmp_path / "quiet.pcap")
    with Sipp(tmp_path, invited(), answers(), plays(quiet), released()) as phone:
        desk = await desk_with(sip("pbx", phone.port, call_max_s=15))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await alert.only("delivered", within_s=60)
        await phone.done()
    assert seen.code == "answered_no_key"
    assert await alert.status() == "active"


@pytest.mark.parametrize(
    ("keys", "seen"),
    [
        ({"dial": "00"}, ["INVITE sip:0033612345678@"]),
        ({"dial": "0", "country": "FR"}, ["INVITE sip:0612345678@"]),
        ({"identity": "p-asserted"}, ["P-Asserted-Identity: .*sip:.33100000000@", "From: .*sip:tocsin@"]),
        ({"identity": "p-preferred", "caller_name": "Tocsin"}, ["P-Preferred-Identity: .*Tocsin.*sip:.33100000000@"]),
        ({"public_address": "203.0.113.7"}, ["c=IN IP4 203.0.113.7", "Contact: .sip:tocsin@203.0.113.7", "rport"]),
    ],
    ids=["00", "0", "asserted", "preferred", "behind NAT"],
)
async def test_how_the_trunk_wants_it(
    desk_with: OpenDesk, tmp_path: Path, keys: dict[str, Any], seen: list[str]
) -> None:
    with Sipp(tmp_path, invited(*seen), refuses("486 Busy Here")) as phone:
        desk = await desk_with(sip("pbx", phone.port, **keys), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.only("failed")
        await phone.done()


async def test_by_tcp(desk_with: OpenDesk, tmp_path: Path) -> None:
    presses_1 = presses_until_bye(tmp_path)
    with Sipp(
        tmp_path, invited(), answers(), pause(300), SKIPS_GREETING, presses_1, reply("200 OK"), transport="t1"
    ) as phone:
        desk = await desk_with(sip("pbx", phone.port, transport="tcp"))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.became("acknowledged")
        await phone.done()
