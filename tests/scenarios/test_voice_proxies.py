"""Calls over proxies: Kamailio between us and sipp, several proxies, redirects, forks and reliable ringing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from channels.outcome import Report
from channels.voice.channel import VoiceChannel
from channels.voice.settings import SipSettings
from gateway.pins import SALT_BYTES, hashed
from tests.peers.kamailio import PASSWORD, USERNAME, Algorithm, Kamailio, self_signed
from tests.peers.ports import free_port
from tests.peers.sipp import (
    Sipp,
    answers,
    calls,
    dials,
    expects,
    hangs_up,
    invited,
    invited_with_password,
    pause,
    presses,
    presses_until_bye,
    refuses,
    reply,
    sdp,
)
from tests.peers.waiting import eventually
from tests.scenarios.conftest import OpenDesk
from tests.scenarios.desk import PlacedAlert, SeenDelivery, open_desk
from tests.scenarios.installation import Table, sip

ANNA = "voice:+33612345678"
URGENT: dict[str, Any] = {"priority": "emergency", "acknowledgement": {"rule": "any"}}
ONCE = {"attempts_max": 1}
LINE = "33100000000"
PEOPLE = [
    {"name": "Anna", "language": "fr", "addresses": [ANNA], "number": "4725", "pin": hashed("1369", b"s" * SALT_BYTES)}
]
OWN_CONTACT = "Contact: <sip:phone@[local_ip]:[local_port];transport=[transport]>"


@contextlib.asynccontextmanager
async def running(provider: Table) -> AsyncIterator[VoiceChannel]:
    """A channel alone: for trunks that are not to come up, which a desk waits for."""

    async def ignore(_: Sequence[Report]) -> None:
        """Voice makes no reports."""

    channel = VoiceChannel(SipSettings(**provider))
    task = asyncio.create_task(channel.run(ignore))
    try:
        yield channel
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def tried(alert: PlacedAlert) -> SeenDelivery:
    """Waits for the first attempt. A trunk that cannot now is tried again, whatever the limit of attempts."""

    async def once() -> SeenDelivery | None:
        (delivery,) = await alert.deliveries()
        return delivery if delivery.attempts and delivery.attempts[0][1] else None

    return await eventually(once, what="an attempt")


def secured(port: int, certificate: Path, **keys: Any) -> Table:
    """A provider over TLS. We take no connections, but tell a port in Via and Contact all the same."""
    listen = f"127.0.0.1:{free_port()}"
    return sip("pbx", port, transport="tls", tls_ca=str(certificate), listen=listen, **keys)


def trunk(proxy: Kamailio, transport: str, certificate: Path, **keys: Any) -> Table:
    """The proxy as a provider, by any transport."""
    if transport == "tls":
        return secured(proxy.tls_port, certificate, **keys)
    return sip("pbx", proxy.port, transport=transport, **keys)


def by_way_of(port: int, transport: str = "UDP") -> str:
    """What a request has in it that the proxy on the port passed on."""
    return f"Via: SIP/2.0/{transport} 127.0.0.1:{port};branch"


def acknowledges(folder: Path, *checks: str) -> str:
    """A key while we introduce ourselves, and then the one that counts, until there is a BYE that matches `checks`."""
    return pause(300) + presses("2") + pause(600) + presses_until_bye(folder, *checks)


# --- through a proxy -------------------------------------------------------------------------------------------------


async def test_everything_of_a_call_goes_through_the_proxy(desk_with: OpenDesk, tmp_path: Path) -> None:
    phone_port = free_port()
    with Kamailio(tmp_path, callee=phone_port) as proxy:
        through = by_way_of(proxy.port)
        phone = Sipp(
            tmp_path, invited("Record-Route:.*lr", through), reply("180 Ringing"), pause(100),
            reply("200 OK", body=sdp(), again=True), expects("ACK", through), acknowledges(tmp_path, through),
            reply("200 OK"), port=phone_port,
        )  # fmt: skip
        with phone:
            desk = await desk_with(sip("pbx", proxy.port))
            alert = await desk.alert("Fire", to=ANNA, **URGENT)
            await alert.became("acknowledged")
            await phone.done()
    await desk.ledger_adds_up(spent="0.10")


async def test_who_hangs_up_behind_the_proxy_is_heard(desk_with: OpenDesk, tmp_path: Path) -> None:
    phone_port = free_port()
    with Kamailio(tmp_path, callee=phone_port) as proxy:
        routed = "Route: <sip:127.0.0.1:" + str(proxy.port) + ";lr>"
        bye = hangs_up().replace("Max-Forwards: 70", f"Max-Forwards: 70\n{routed}")
        with Sipp(tmp_path, invited(), answers(), pause(4_000), bye, port=phone_port) as phone:
            desk = await desk_with(sip("pbx", proxy.port))
            alert = await desk.alert("Fire", to=ANNA, **URGENT)
            seen = await alert.only("delivered")
            await phone.done()
    assert seen.code == "answered_no_key"
    assert proxy.took("BYE") == 1


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_the_proxy_asks_for_a_password(desk_with: OpenDesk, tmp_path: Path, algorithm: Algorithm) -> None:
    phone_port = free_port()
    with (
        Kamailio(tmp_path, callee=phone_port, digest=algorithm) as proxy,
        Sipp(tmp_path, invited(), answers(), acknowledges(tmp_path), reply("200 OK"), port=phone_port) as phone,
    ):
        desk = await desk_with(sip("pbx", proxy.port, password=PASSWORD))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.became("acknowledged")
        await phone.done()
        assert proxy.took("INVITE") == 2


async def test_a_password_that_the_proxy_does_not_take(desk_with: OpenDesk, tmp_path: Path) -> None:
    with Kamailio(tmp_path, digest="SHA-256") as proxy:
        desk = await desk_with(sip("pbx", proxy.port, password="Falsch"), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await alert.only("failed")
        assert proxy.took("INVITE") == 2
    assert [attempt[2] for attempt in seen.attempts] == ["authentication_failed"]


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_by_a_connection_to_the_proxy(desk_with: OpenDesk, tmp_path: Path, transport: str, host: str) -> None:
    phone_port = free_port()
    tls = self_signed(tmp_path / "tls")
    with Kamailio(tmp_path, callee=phone_port, tls=tls, digest="SHA-256", nat=True) as proxy:
        through = by_way_of(proxy.port)
        phone = Sipp(
            tmp_path, invited(through), reply("180 Ringing"), answers(), acknowledges(tmp_path, through),
            reply("200 OK"), port=phone_port,
        )  # fmt: skip
        with phone:
            desk = await desk_with(trunk(proxy, transport, tls.certificate, host=host, password=PASSWORD))
            alert = await desk.alert("Fire", to=ANNA, **URGENT)
            await alert.became("acknowledged")
            await phone.done()
        assert f"took INVITE of {transport}:" in proxy.process.output


async def test_who_hangs_up_behind_tls_is_heard(desk_with: OpenDesk, tmp_path: Path) -> None:
    """We listen for no connection: the BYE comes over ours, to which the proxy has noted our Contact."""
    phone_port = free_port()
    tls = self_signed(tmp_path / "tls")
    with Kamailio(tmp_path, callee=phone_port, tls=tls, nat=True) as proxy:
        bye = hangs_up().replace("Max-Forwards: 70", "Max-Forwards: 70\n[routes]")
        came = invited().replace("<recv ", '<recv rrs="true" ')
        with Sipp(tmp_path, came, answers(), pause(4_000), bye, port=phone_port) as phone:
            desk = await desk_with(secured(proxy.tls_port, tls.certificate))
            alert = await desk.alert("Fire", to=ANNA, **URGENT)
            seen = await alert.only("delivered")
            await phone.done()
    assert seen.code == "answered_no_key"


async def test_a_certificate_that_nobody_vouches_for(desk_with: OpenDesk, tmp_path: Path) -> None:
    tls, other = self_signed(tmp_path / "tls"), self_signed(tmp_path / "other")
    with Kamailio(tmp_path, tls=tls) as proxy:
        desk = await desk_with(secured(proxy.tls_port, other.certificate), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await tried(alert)
        async with running(secured(proxy.tls_port, other.certificate, options_s=1)) as channel:
            await eventually(
                lambda: channel.health().links == 1 and not channel.health().up, what="the link to go down"
            )
        assert proxy.took("INVITE") == proxy.took("OPTIONS") == 0
    assert seen.attempts[0] == ("pbx", "retry_later", "trunk_down")


# --- registered ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_registered_with_a_password(desk_with: OpenDesk, tmp_path: Path, algorithm: Algorithm) -> None:
    with Kamailio(tmp_path, digest=algorithm) as proxy:
        desk = await desk_with(sip("pbx", proxy.port, register=True, password=PASSWORD))
        listens = await desk.listens("pbx")
        assert proxy.contacts() == [f"sip:{USERNAME}@127.0.0.1:{listens}"]
        assert proxy.took("REGISTER") == 2


async def test_a_desk_that_closes_is_registered_no_more(tmp_path: Path) -> None:
    with Kamailio(tmp_path) as proxy:
        async with open_desk(tmp_path, sip("pbx", proxy.port, register=True)):
            assert proxy.contacts()
        await eventually(lambda: not proxy.contacts(), what="the farewell")


async def test_a_registration_with_a_wrong_password_is_an_alarm(tmp_path: Path) -> None:
    with Kamailio(tmp_path, digest="SHA-256") as proxy:
        async with running(sip("pbx", proxy.port, register=True, password="Falsch")) as channel:
            await eventually(lambda: channel.health().alarm, what="the alarm")
            assert not channel.health().up
            assert "not registered: 401" in channel.health().detail
        assert proxy.contacts() == []
        assert proxy.took("REGISTER") == 2


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_call_to_the_registered_contact(desk_with: OpenDesk, tmp_path: Path, transport: str) -> None:
    tls = self_signed(tmp_path / "tls")
    with Kamailio(tmp_path, digest="SHA-256", number=LINE, tls=tls, nat=transport != "udp") as proxy:
        desk = await desk_with(
            trunk(proxy, transport, tls.certificate, register=True, password=PASSWORD, first_response_s=0.5),
            people=PEOPLE, delivery={"backoff_first_s": 600, "backoff_max_s": 600},
        )  # fmt: skip
        alert = await desk.alert("Fire", to=[{"name": "Anna", "addresses": [ANNA]}], **URGENT)
        caller = Sipp(
            tmp_path, *_calls_through(LINE), pause(300), dials("4725*1369#", tmp_path), pause(1_500),
            presses_until_bye(tmp_path, by_way_of(proxy.port)), reply("200 OK"), towards=proxy.port,
        )  # fmt: skip
        with caller:
            await alert.became("acknowledged")
            await caller.done()


def _calls_through(user: str) -> tuple[str, ...]:
    """As `calls`, over a proxy: the ACK goes by the route set of the answer."""
    sent, heard, ack = calls(user)
    heard = heard.replace('<recv response="200"/>', '<recv response="200" rrs="true"/>')
    ack = ack.replace(f"ACK sip:{user}@[remote_ip]:[remote_port] ", "ACK [next_url] ")
    return sent, heard, ack.replace("Max-Forwards: 70", "Max-Forwards: 70\n[routes]")


# --- several proxies -------------------------------------------------------------------------------------------------


async def test_a_dead_proxy_is_passed_over(desk_with: OpenDesk, tmp_path: Path) -> None:
    with Sipp(tmp_path, invited(), answers(), acknowledges(tmp_path), reply("200 OK")) as phone:
        desk = await desk_with(sip("pbx", free_port(), proxies=[f"127.0.0.1:{phone.port}"], first_response_s=0.5))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.became("acknowledged")
        await phone.done()
        seen = await alert.only("delivered")
    assert [attempt[2] for attempt in seen.attempts] == ["acknowledged"]


async def test_a_proxy_that_is_not_there_for_tcp_is_passed_over_at_once(desk_with: OpenDesk, tmp_path: Path) -> None:
    with Sipp(tmp_path, invited(), answers(), acknowledges(tmp_path), reply("200 OK"), transport="t1") as phone:
        proxies = [f"127.0.0.1:{phone.port}"]
        desk = await desk_with(sip("pbx", free_port(), proxies=proxies, transport="tcp", first_response_s=30))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.became("acknowledged", within_s=25)
        await phone.done()


async def test_a_proxy_that_is_overloaded_is_passed_over(desk_with: OpenDesk, tmp_path: Path) -> None:
    with (
        Sipp(tmp_path, invited(), refuses("503 Service Unavailable")) as first,
        Sipp(tmp_path, invited(), answers(), acknowledges(tmp_path), reply("200 OK")) as second,
    ):
        desk = await desk_with(sip("pbx", first.port, proxies=[f"127.0.0.1:{second.port}"], first_response_s=30))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.became("acknowledged", within_s=25)
        await first.done()
        await second.done()
        seen = await alert.only("delivered")
    assert [attempt[2] for attempt in seen.attempts] == ["acknowledged"]


async def test_both_proxies_are_overloaded(desk_with: OpenDesk, tmp_path: Path) -> None:
    with (
        Sipp(tmp_path, invited(), refuses("503 Service Unavailable")) as first,
        Sipp(tmp_path, invited(), refuses("503 Service Unavailable")) as second,
    ):
        desk = await desk_with(sip("pbx", first.port, proxies=[f"127.0.0.1:{second.port}"]), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await first.done()
        await second.done()
        seen = await tried(alert)
    assert seen.attempts[0] == ("pbx", "retry_later", "congested")


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_proxy_that_goes_and_comes_back_is_seen(desk_with: OpenDesk, tmp_path: Path, transport: str) -> None:
    tls = self_signed(tmp_path / "tls")
    with Kamailio(tmp_path, tls=tls) as proxy:
        desk = await desk_with(trunk(proxy, transport, tls.certificate, options_s=1))
        await eventually(lambda: proxy.took("OPTIONS"), what="the first question")
        assert (await desk.provider("pbx"))["up"]
        proxy.kill()
        await desk.link_down("pbx")
        assert (await desk.provider("pbx"))["detail"]
        proxy.start()
        await desk.link_up("pbx")


# --- redirects, forks and reliable ringing ---------------------------------------------------------------------------


def _redirects(port: int, host: str) -> str:
    elsewhere = f"Contact: <sip:+33612345678@{host}:{port}>"
    return refuses("302 Moved Temporarily").replace(OWN_CONTACT, elsewhere)


async def test_a_redirect_within_the_allowed_domains_is_followed(desk_with: OpenDesk, tmp_path: Path) -> None:
    phone_port = free_port()
    with (
        Sipp(tmp_path, invited(), answers(), acknowledges(tmp_path), reply("200 OK"), port=phone_port) as phone,
        Sipp(tmp_path, invited(), _redirects(phone_port, "127.0.0.1")) as first,
    ):
        desk = await desk_with(sip("pbx", first.port, host="localhost", allowed_domains=["127.0.0.1"]))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.became("acknowledged")
        await first.done()
        await phone.done()


@pytest.mark.parametrize("allowed", [[], ["example.org"]])
async def test_a_redirect_to_anywhere_else_is_not_followed(
    desk_with: OpenDesk, tmp_path: Path, allowed: list[str]
) -> None:
    phone_port = free_port()
    with (
        Sipp(tmp_path, invited(), refuses("486 Busy Here"), port=phone_port),
        Sipp(tmp_path, invited(), _redirects(phone_port, "127.0.0.1")) as first,
    ):
        desk = await desk_with(sip("pbx", first.port, host="localhost", allowed_domains=allowed), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await alert.only("failed")
        await first.done()
    assert [attempt[2] for attempt in seen.attempts] == ["redirected"]


def _keeps_via(step: str) -> str:
    """The step, and the Via of its request for answers that are sent after another request came."""
    return step.replace("<action>", '<action><ereg regexp=".*" search_in="hdr" header="Via:" assign_to="5"/>', 1)


def _answers_the_invite(step: str) -> str:
    """A reply to the INVITE though another request came since; the last To has a tag already."""
    tagged = step.replace("[last_Via:]", "Via:[$5]", 1).replace("[last_CSeq:]", "CSeq: 1 INVITE", 1)
    return tagged.replace("[last_To:];tag=[pid]T[call_number]", "[last_To:]", 1)


async def test_the_second_answer_of_a_fork_is_hung_up(desk_with: OpenDesk, tmp_path: Path) -> None:
    second = _answers_the_invite(reply("200 OK", body=sdp())).replace("[last_To:]", "To:[$3];tag=fork")
    ok = reply("200 OK").replace(";tag=[pid]T[call_number]", "")
    with Sipp(
        tmp_path, _keeps_via(invited()), answers(), second, expects("ACK", "tag=fork"), expects("BYE", "tag=fork"), ok,
        acknowledges(tmp_path, "To:.*tag=[0-9]+T1"), ok,
    ) as phone:  # fmt: skip
        desk = await desk_with(sip("pbx", phone.port))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.became("acknowledged")
        await phone.done()
    await desk.ledger_adds_up(spent="0.10")


@pytest.mark.parametrize("early", [False, True], ids=["without sound", "with an answer in it"])
async def test_ringing_that_wants_to_be_acknowledged(desk_with: OpenDesk, tmp_path: Path, early: bool) -> None:
    offered = sdp() if early else ""
    ringing = reply("183 Session Progress", "Require: 100rel", "RSeq: 7001", body=offered)
    again = _answers_the_invite(reply("180 Ringing", "Require: 100rel", "RSeq: 7002"))
    prack_ok = reply("200 OK").replace(";tag=[pid]T[call_number]", "")
    final = _answers_the_invite(reply("200 OK", body="" if early else sdp(), again=True))
    with Sipp(
        tmp_path, _keeps_via(invited("Supported:.*100rel")), ringing, expects("PRACK", "RAck: 7001 1 INVITE"), prack_ok,
        again, expects("PRACK", "RAck: 7002 1 INVITE"), prack_ok, final, expects("ACK"), acknowledges(tmp_path),
        reply("200 OK"),
    ) as phone:  # fmt: skip
        desk = await desk_with(sip("pbx", phone.port))
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        await alert.became("acknowledged")
        await phone.done()


async def test_ringing_is_acknowledged_through_the_proxy(desk_with: OpenDesk, tmp_path: Path) -> None:
    phone_port = free_port()
    with Kamailio(tmp_path, callee=phone_port) as proxy:
        prack = expects("PRACK", "RAck: 1 1 INVITE", by_way_of(proxy.port))
        found = '<action><ereg regexp=".*" search_in="hdr" header='
        route, ours = f'{found}"Record-Route:" assign_to="6"/>', f'{found}"Via:" occurrence="2" assign_to="7"/>'
        came = _keeps_via(invited()).replace("<action>", route, 1).replace("<action>", ours, 1)
        final = _answers_the_invite(reply("200 OK", body=sdp(), again=True)).replace("Via:[$5]", "Via:[$5]\nVia:[$7]")
        phone = Sipp(
            tmp_path, came, reply("180 Ringing", "Require: 100rel", "RSeq: 1"), prack,
            reply("200 OK").replace(";tag=[pid]T[call_number]", ""),
            final.replace("[last_Record-Route:]", "Record-Route:[$6]"), expects("ACK", by_way_of(proxy.port)),
            acknowledges(tmp_path), reply("200 OK"), port=phone_port,
        )  # fmt: skip
        with phone:
            desk = await desk_with(sip("pbx", proxy.port))
            alert = await desk.alert("Fire", to=ANNA, **URGENT)
            await alert.became("acknowledged")
            await phone.done()


async def test_the_second_proxy_asks_for_the_password_as_well(desk_with: OpenDesk, tmp_path: Path) -> None:
    """Each has nonces of its own: what the first one took is nothing to the second."""

    def asks(nonce: str) -> str:
        return refuses("401 Unauthorized", f'WWW-Authenticate: Digest realm="trunk", nonce="{nonce}", qop="auth"')

    with (
        Sipp(
            tmp_path, invited(), asks("47ebe028"), invited_with_password("tocsin", PASSWORD),
            refuses("503 Service Unavailable"),
        ) as first,
        Sipp(
            tmp_path, invited(), asks("b9a01f77"), invited('nonce="b9a01f77"'), refuses("486 Busy Here"),
        ) as second,
    ):  # fmt: skip
        proxies = [f"127.0.0.1:{second.port}"]
        desk = await desk_with(sip("pbx", first.port, proxies=proxies, password=PASSWORD), delivery=ONCE)
        alert = await desk.alert("Fire", to=ANNA, **URGENT)
        seen = await alert.only("failed")
        assert [attempt[2] for attempt in seen.attempts] == ["busy"]
        await first.done()
        await second.done()
