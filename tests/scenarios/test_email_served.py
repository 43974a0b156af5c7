"""E-mail through `tocsin serve`: what mail servers do differently from each other, and what they report back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.peers.smtp_script import SmtpSession, scripted_smtp
from tests.scenarios.installation import smtp
from tests.scenarios.served import serving

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
