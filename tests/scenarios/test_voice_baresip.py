"""Calls to and from baresip, a phone that somebody else wrote."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.pins import SALT_BYTES, hashed
from tests.peers.baresip import Baresip
from tests.peers.kamailio import self_signed
from tests.scenarios.conftest import OpenDesk
from tests.scenarios.desk import PlacedAlert
from tests.scenarios.installation import sip

ANNA = "voice:+33612345678"
URGENT: dict[str, Any] = {"priority": "emergency", "acknowledgement": {"rule": "any"}}
LINE = "33100000000"
PEOPLE = [
    {"name": "Anna", "language": "fr", "addresses": [ANNA], "number": "4725", "pin": hashed("1369", b"s" * SALT_BYTES)}
]
LATER = {"backoff_first_s": 600, "backoff_max_s": 600}
"""Nobody is called again meanwhile."""
AGAIN_S = 0.7
"""Between two presses of a key: whoever does not hear whether they are asked presses again."""


async def presses_until_acknowledged(phone: Baresip, alert: PlacedAlert) -> None:
    """The first key may come while we still introduce ourselves."""
    acknowledged = asyncio.create_task(alert.became("acknowledged"))
    while not acknowledged.done():
        await phone.press("1")
        await asyncio.wait([acknowledged], timeout=AGAIN_S)
    await acknowledged


@pytest.mark.parametrize("dtmfmode", ["rtpevent", "info"])
async def test_a_key_of_baresip_acknowledges(desk_with: OpenDesk, tmp_path: Path, dtmfmode: str) -> None:
    async with Baresip(tmp_path, dtmfmode=dtmfmode) as phone:
        desk = await desk_with(sip("pbx", phone.port))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await phone.happened("CALL_ESTABLISHED")
        await presses_until_acknowledged(phone, alert)
        await phone.happened("CALL_CLOSED")
        seen = await alert.only("delivered")
    assert (seen.code, seen.charged) == ("acknowledged", "0.10")


async def test_baresip_hangs_up_and_acknowledges_nothing(desk_with: OpenDesk, tmp_path: Path) -> None:
    """At once: nothing was told, so that one further call would be made."""
    async with Baresip(tmp_path) as phone:
        desk = await desk_with(sip("pbx", phone.port), delivery={"attempts_max": 1})
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await phone.happened("CALL_ESTABLISHED")
        await phone.hang_up()
        seen = await alert.only("failed")
    ((_, _, code),) = seen.attempts
    assert code in ("hung_up_early", "text_not_spoken")  # the text may be ready by then, or not
    assert await alert.status() != "acknowledged"


@pytest.mark.parametrize(("transport", "codecs"), [("tcp", "PCMA"), ("udp", "PCMA"), ("tcp", "PCMU")])
async def test_by_transport_and_codec(desk_with: OpenDesk, tmp_path: Path, transport: str, codecs: str) -> None:
    async with Baresip(tmp_path, transport=transport, codecs=codecs) as phone:
        desk = await desk_with(sip("pbx", phone.port, transport=transport))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await phone.happened("CALL_ESTABLISHED")
        await presses_until_acknowledged(phone, alert)
        await phone.happened("CALL_CLOSED")


async def test_case_0_1_calls_out_by_tls(desk_with: OpenDesk, tmp_path: Path) -> None:
    tls = self_signed(tmp_path / "tls")
    async with Baresip(tmp_path, transport="tls", tls=tls) as phone:
        desk = await desk_with(sip("pbx", phone.port, transport="tls", tls_ca=str(tls.certificate)))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await phone.happened("CALL_ESTABLISHED")
        await presses_until_acknowledged(phone, alert)
        await phone.happened("CALL_CLOSED")


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_case_0_1_calls_to_us_by_connection(desk_with: OpenDesk, tmp_path: Path, transport: str) -> None:
    """The phone opens a connection of its own: we have none to where it calls from."""
    tls = self_signed(tmp_path / "tls")
    ours = {"tls_certificate": str(tls.certificate), "tls_key": str(tls.key), "tls_ca": str(tls.certificate)}
    async with Baresip(tmp_path, transport=transport, tls=tls) as phone:
        desk = await desk_with(
            sip("pbx", phone.port, transport=transport, **(ours if transport == "tls" else {})),
            people=PEOPLE, delivery=LATER,
        )  # fmt: skip
        alert = await desk.alert("Fire", to=[{"name": "Anna", "addresses": [ANNA]}], **URGENT)
        await phone.happened("CALL_ESTABLISHED")
        await phone.hang_up()
        await phone.happened("CALL_CLOSED")
        await phone.dial(f"sip:{LINE}@127.0.0.1:{await desk.listens('pbx')};transport={transport}")
        await phone.happened("CALL_ESTABLISHED")
        await phone.press("4725*1369#")
        await presses_until_acknowledged(phone, alert)
        await phone.hang_up()


async def test_a_key_in_encrypted_audio(desk_with: OpenDesk, tmp_path: Path) -> None:
    async with Baresip(tmp_path, encrypted=True) as phone:
        desk = await desk_with(sip("pbx", phone.port, srtp="required"))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await phone.happened("CALL_ESTABLISHED")
        await presses_until_acknowledged(phone, alert)
        await phone.happened("CALL_CLOSED")


async def test_no_call_where_one_side_alone_wants_encryption(desk_with: OpenDesk, tmp_path: Path) -> None:
    async with Baresip(tmp_path, encrypted=True) as phone:
        desk = await desk_with(sip("pbx", phone.port), delivery={"attempts_max": 1})
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await alert.only("failed")
    assert seen.code == "no_common_codec"


async def test_baresip_calls_the_acknowledgement_line(desk_with: OpenDesk, tmp_path: Path) -> None:
    async with Baresip(tmp_path) as nobody, Baresip(tmp_path) as phone:
        desk = await desk_with(sip("pbx", nobody.port), people=PEOPLE, delivery=LATER)
        alert = await desk.alert("Fire", to=[{"name": "Anna", "addresses": [ANNA]}], **URGENT)
        await nobody.happened("CALL_ESTABLISHED")
        await nobody.hang_up()
        await phone.dial(f"sip:{LINE}@127.0.0.1:{await desk.listens('pbx')}")
        await phone.happened("CALL_ESTABLISHED")
        await phone.press("4725*1369#")
        await presses_until_acknowledged(phone, alert)
        await phone.hang_up()
        await phone.happened("CALL_CLOSED")
