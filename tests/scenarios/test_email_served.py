"""E-mail through `tocsin serve`: what mail servers do differently from each other, and what they report back."""

from __future__ import annotations

import asyncio
import base64
import smtplib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.peers.ports import free_port
from tests.peers.postfix import BOUNCE_DOMAIN, BOUNCING, DELIVERED, Postfix, running_postfix
from tests.peers.smtp_script import ScriptedSmtp, SmtpSession, scripted_smtp
from tests.peers.waiting import eventually
from tests.scenarios.installation import smtp
from tests.scenarios.served import Served, serving

DUTY = "email:duty@test.example"


@pytest.mark.parametrize(
    ("phase", "refusal"),
    [
        ("mail", "451 4.7.1 Too much mail in this session"),
        ("mail", "550 5.5.1 No more mail here"),
        ("rcpt", "452 4.5.3 Too many recipients"),
        ("data", "452 4.3.1 Insufficient system storage"),
        ("final", "451 4.3.0 Try later"),
    ],
)
async def test_case_1_8_a_session_that_refuses_more_mail_is_replaced_by_a_fresh_one(
    phase: str, refusal: str, tmp_path: Path
) -> None:
    def reply(asked: str, session: SmtpSession) -> str:
        return refusal if asked == phase and session.taken >= 3 else ""

    async with scripted_smtp(reply) as (server, port), serving(tmp_path, smtp("mail", port, connections=1)) as gateway:
        for n in range(8):
            delivery = await gateway.only(await gateway.alert(DUTY, text=f"Mail {n}"), "accepted")
            assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["accepted"]
        assert len(server.mails) == 8
        serving_sessions = [session for session in server.sessions if session.taken]
        assert [session.taken for session in serving_sessions] == [3, 3, 2]


@pytest.mark.parametrize(
    ("phase", "refusal", "keys", "code"),
    [
        ("tls", "454 4.7.0 TLS not available due to local problem", {"tls": "starttls"}, "tls_unavailable"),
        ("hello", "421 4.7.0 Come back later", {}, "service_unavailable"),
        ("connect", "421 4.7.0 Come back later", {}, "service_unavailable"),
    ],
)
async def test_case_4_4_a_server_that_turns_everybody_away_is_unreachable_and_the_next_one_is_asked(
    phase: str, refusal: str, keys: dict[str, Any], code: str, tmp_path: Path
) -> None:
    def reply(asked: str, _session: SmtpSession) -> str:
        return refusal if asked == phase else ""

    both = {"channel": "email", "prefix": "", "providers": ["mail-a", "mail-b"]}
    async with scripted_smtp(reply, ["STARTTLS"]) as (_, sick), scripted_smtp() as (well, port):
        providers = smtp("mail-a", sick, **keys), smtp("mail-b", port)
        async with serving(tmp_path, *providers, routes=[both]) as gateway:
            delivery = await gateway.only(await gateway.alert(DUTY, priority="emergency"), "accepted")
            tried = [(attempt["provider"], attempt["outcome"], attempt["code"]) for attempt in delivery["attempts"]]
            assert tried[-1][:2] == ("mail-b", "accepted")
            assert set(tried[:-1]) <= {("mail-a", "retry_later", code)}
            assert len(well.mails) == 1


async def test_case_4_4_a_bare_security_status_at_rcpt_counts_as_an_ordinary_refusal(tmp_path: Path) -> None:
    def reply(asked: str, _session: SmtpSession) -> str:
        return "451 4.7.0 Try again" if asked == "rcpt" else ""

    both = {"channel": "email", "prefix": "", "providers": ["mail-a", "mail-b"]}
    async with scripted_smtp(reply) as (_, sick), scripted_smtp() as (_, port):
        providers = smtp("mail-a", sick), smtp("mail-b", port)
        async with serving(tmp_path, *providers, routes=[both], delivery={"attempts_max": 2}) as gateway:
            delivery = await gateway.only(await gateway.alert(DUTY), "accepted")
            assert [(attempt["provider"], attempt["code"]) for attempt in delivery["attempts"]][:1] == [
                ("mail-a", "refused_by_policy")
            ]
            assert delivery["attempts"][-1]["provider"] == "mail-b"


async def handed_in(port: int, to: str, content: bytes) -> None:
    """A mail without a sender, as a mail server hands it to the listener."""

    def hand_in() -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as server:
            server.sendmail("", [to], content)

    await asyncio.to_thread(hand_in)


PLAIN = (
    b"From: MAILER-DAEMON@mx.example\r\nTo: %b\r\nSubject: failure notice\r\n\r\nHi. This is the qmail-send program\r\n"
    b"I'm afraid I wasn't able to deliver your message to these addresses.\r\nThis is a permanent error; I've given up.\r\n\r\n"
    b"<duty@test.example>:\r\nSorry, no mailbox here by that name. (#5.1.1)\r\n\r\n--- Below this line is a copy of the message.\r\n"
)
REPORTED = (
    b"From: MAILER-DAEMON@mx.example.net\r\nTo: %b\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/report; report-type=global-delivery-status; boundary="b"\r\n\r\n--b\r\n'
    b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n%b\r\n--b--\r\n"
)
FIELDS = (
    b"Reporting-MTA: dns; mx\r\n\r\nFinal-Recipient: utf-8; duty@test.example\r\nAction: failure\r\nStatus: 5.1.1\r\n"
)


@pytest.mark.parametrize("kind", ["plain", "report"])
async def test_case_4_5_a_bounce_through_the_listener_fails_the_delivery(kind: str, tmp_path: Path) -> None:
    async with scripted_smtp(offers=["DSN"]) as (_, port):
        listen = free_port()
        keys = {"bounce_listen": f"127.0.0.1:{listen}", "bounce_address": "bounces@test.example", "verp": True}
        async with serving(tmp_path, smtp("mail", port, **keys)) as gateway:
            alert = await gateway.alert(DUTY)
            delivery = await gateway.only(alert, "accepted")
            to = f"bounces+{delivery['id']}@test.example"
            filled = PLAIN % to.encode() if kind == "plain" else REPORTED % (to.encode(), base64.b64encode(FIELDS))
            await handed_in(listen, to, filled)
            failed = await gateway.only(alert, "failed")
            assert failed["code"] == "5.1.1"
            await gateway.became(alert, "failed")


async def test_case_4_5_what_is_no_bounce_is_a_line_on_the_timeline(tmp_path: Path) -> None:
    async with scripted_smtp(offers=["DSN"]) as (_, port):
        listen = free_port()
        keys = {"bounce_listen": f"127.0.0.1:{listen}", "bounce_address": "bounces@test.example", "verp": True}
        async with serving(tmp_path, smtp("mail", port, **keys)) as gateway:
            alert = await gateway.alert(DUTY)
            delivery = await gateway.only(alert, "accepted")
            to = f"bounces+{delivery['id']}@test.example"
            await handed_in(listen, to, b"From: duty@test.example\r\nSubject: Out of office\r\n\r\nBack on Monday.\r\n")
            line = await gateway.line(alert, "receipt", delivery=delivery["id"])
            assert line["detail"].startswith("auto_reply Out of office")
            await gateway.only(alert, "accepted")


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    with running_postfix() as peer:
        yield peer


async def test_a_bounce_of_postfix_comes_through_the_listener_of_the_server(postfix: Postfix, tmp_path: Path) -> None:
    keys = {"bounce_listen": f"127.0.0.1:{postfix.bounce_port}", "bounce_address": f"tocsin@{BOUNCE_DOMAIN}"}
    async with serving(tmp_path, smtp("mail", postfix.port, **keys)) as gateway:
        bounced = await gateway.alert(f"email:{BOUNCING}")
        arrived = await gateway.alert(f"email:{DELIVERED}")
        assert (await gateway.only(bounced, "failed"))["code"] == "5.1.1"
        await gateway.only(arrived, "delivered")


@asynccontextmanager
async def two_servers(folder: Path, **more: Any) -> AsyncIterator[tuple[Served, ScriptedSmtp, ScriptedSmtp, int]]:
    """A gateway over two mail servers that give no reports, and the port where bounces are handed in."""
    async with scripted_smtp() as (first, port), scripted_smtp() as (second, other):
        listen = free_port()
        keys = {"bounce_listen": f"127.0.0.1:{listen}", "bounce_address": "bounces@test.example", "verp": True}
        providers = smtp("mail-a", port, **keys), smtp("mail-b", other)
        async with serving(folder, *providers, **more) as gateway:
            yield gateway, first, second, listen


async def test_case_4_6_a_bounce_after_the_end_goes_to_the_next_mail_server(tmp_path: Path) -> None:
    both = {"channel": "email", "prefix": "", "providers": ["mail-a", "mail-b"]}
    async with two_servers(tmp_path, routes=[both]) as (gateway, _, second, listen):
        alert = await gateway.alert(DUTY)
        await gateway.became(alert, "completed")
        (delivery,) = await gateway.deliveries(alert)
        to = f"bounces+{delivery['id']}@test.example"
        await handed_in(listen, to, PLAIN % to.encode())
        await gateway.line(alert, "sent_anew", delivery=delivery["id"])
        await gateway.became(alert, "completed")
        assert [(one["state"], one["provider"]) for one in await gateway.deliveries(alert)] == [
            ("failed", "mail-a"),
            ("accepted", "mail-b"),
        ]
        assert len(second.mails) == 1


async def test_case_4_6_a_bounce_after_the_end_with_nowhere_to_go_corrects_the_end_and_says_so(tmp_path: Path) -> None:
    one = {"channel": "email", "prefix": "duty@", "providers": ["mail-a"]}
    other = {"channel": "email", "prefix": "", "providers": ["mail-b"]}
    last_resort = {"recipients": ["email:boss@test.example"]}
    routes = [one, other]
    async with two_servers(tmp_path, routes=routes, last_resort=last_resort) as (gateway, _, second, listen):
        alert = await gateway.alert(DUTY)
        await gateway.became(alert, "completed")
        (delivery,) = await gateway.deliveries(alert)
        to = f"bounces+{delivery['id']}@test.example"
        await handed_in(listen, to, PLAIN % to.encode())
        await gateway.became(alert, "failed")
        await eventually(lambda: b"Nobody was reached" in b"".join(second.mails), what="the last resort's mail")


async def test_case_4_11_the_timeline_tells_how_it_was_settled_and_that_it_was_corrected(tmp_path: Path) -> None:
    one = {"channel": "email", "prefix": "", "providers": ["mail-a"]}
    async with two_servers(tmp_path, routes=[one]) as (gateway, _, _, listen):
        alert = await gateway.alert(DUTY)
        await gateway.became(alert, "completed")
        (delivery,) = await gateway.deliveries(alert)
        settled = await gateway.line(alert, "settled", delivery=delivery["id"])
        assert (settled["state"], settled["code"]) == ("accepted", "accepted_no_receipt")
        to = f"bounces+{delivery['id']}@test.example"
        await handed_in(listen, to, PLAIN % to.encode())
        corrected = await gateway.line(alert, "corrected", delivery=delivery["id"])
        assert corrected["detail"] == "accepted accepted_no_receipt failed 5.1.1"
        assert await gateway.line(alert, "settled", delivery=delivery["id"]) == settled
