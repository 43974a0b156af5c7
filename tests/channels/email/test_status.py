"""SMTP replies to outcomes: the whole domain, and the rows that carry a meaning of their own."""

from __future__ import annotations

import re

import pytest

from channels.email.status import SESSION_STAGES, Reply, Stage, blames_session, classify, lost
from channels.outcome import PermanentFailure, RetryLater

DETAILS = [*range(13), 27, 28, 29, 499, 500, 501, 599, 600, 650, 999]
ENHANCED = [f".{subject}.{detail}" for subject in range(8) for detail in (0, 1, 2, 3, 4, 7, 8, 11, 28, 500, 999)]


@pytest.mark.parametrize("stage", list(Stage))
def test_every_code_and_every_enhanced_code_ends_in_an_outcome(stage: Stage) -> None:
    for code in range(200, 600):
        for text in ["", "text", *(f"{code // 100}{enhanced} text" for enhanced in ENHANCED)]:
            outcome = classify(Reply(code=code, text=text), stage)
            reason = outcome.reason
            assert re.fullmatch(r"[a-z][a-z0-9_]*", reason.code)
            assert str(code) in reason.detail
            if isinstance(outcome, PermanentFailure):
                assert code >= 500
                assert stage not in SESSION_STAGES
                continue
            assert not (outcome.unreachable and outcome.throttled)
            assert not (outcome.unreachable and outcome.maybe_sent)
            assert outcome.maybe_sent == (code < 400 and stage is Stage.FINAL)
            if code >= 500:
                assert stage in SESSION_STAGES
                assert reason.alarm
                assert outcome.unreachable
            elif code >= 400:
                assert not reason.alarm
                assert stage in SESSION_STAGES or code == 421 or not outcome.unreachable
            else:
                assert reason.code == "smtp_protocol_error"


@pytest.mark.parametrize("stage", list(Stage))
def test_case_4_4_only_words_and_the_registers_of_two_receivers_are_about_pace(stage: Stage) -> None:
    for code in range(400, 500):
        for subject in range(8):
            for detail in DETAILS:
                outcome = classify(Reply(code=code, text=f"4.{subject}.{detail} not now"), stage)
                assert isinstance(outcome, RetryLater)
                paced = subject == 7 and (detail == 28 or 500 <= detail < 600) and stage is not Stage.AUTH
                assert outcome.throttled is paced
                before_mail = stage in SESSION_STAGES or (code == 421 and stage is Stage.MAIL)
                assert outcome.unreachable is (before_mail and not outcome.throttled)
                assert not outcome.reason.alarm
        assert retried(f"{code} Too many connections from your host", stage).throttled


def retried(reply: str, stage: Stage) -> RetryLater:
    outcome = classify(Reply(code=int(reply[:3]), text=reply[4:]), stage)
    assert isinstance(outcome, RetryLater)
    return outcome


def test_what_may_be_the_sessions_fault() -> None:
    """Over every code and stage: only where the message certainly was not taken, and never for one refused recipient."""
    for stage in Stage:
        assert blames_session(stage, None) is (stage in (Stage.MAIL, Stage.RCPT, Stage.DATA))
        for code in range(200, 600):
            blamed = blames_session(stage, Reply(code=code, text="text"))
            if stage in SESSION_STAGES:
                assert not blamed
            elif stage is Stage.FINAL:
                assert blamed is (400 <= code < 500)
            elif stage is Stage.RCPT:
                assert blamed is (code < 400 or code in (421, 452))
            else:
                assert blamed
    for text, blamed in (
        ("4.5.3 too many", True),
        ("4.3.2 not now", True),
        ("4.7.1 greylisted", False),
        ("4.2.0 busy", False),
    ):
        assert blames_session(Stage.RCPT, Reply(code=450, text=text)) is blamed
    assert not blames_session(Stage.RCPT, Reply(code=550, text="5.1.1 User unknown"))


@pytest.mark.parametrize(
    ("reply", "stage", "code", "alarm"),
    [
        ("550 5.1.1 User unknown", Stage.RCPT, "invalid_destination", False),
        ("550 No such user", Stage.RCPT, "invalid_destination", False),
        ("553 5.1.3 bad syntax", Stage.RCPT, "invalid_destination", False),
        ("556 5.1.10 null MX", Stage.RCPT, "invalid_destination", False),
        ("550 5.2.1 disabled", Stage.RCPT, "mailbox_disabled", False),
        ("552 5.2.2 over quota", Stage.RCPT, "mailbox_full", False),
        ("552 too much", Stage.RCPT, "mailbox_full", False),
        ("552 5.3.4 too big", Stage.MAIL, "message_too_big", False),
        ("552 too big", Stage.FINAL, "message_too_big", False),
        ("554 5.6.0 bad content", Stage.FINAL, "content_refused", False),
        ("554 rejected", Stage.FINAL, "content_refused", False),
        ("550 5.7.1 relaying denied", Stage.RCPT, "refused_by_policy", True),
        ("550 5.7.26 unauthenticated mail", Stage.FINAL, "refused_by_policy", True),
        ("550 5.7.1 sender not allowed", Stage.MAIL, "refused_by_policy", True),
        ("553 5.1.8 sender domain", Stage.MAIL, "sender_refused", True),
        ("550 go away", Stage.MAIL, "sender_refused", True),
        ("530 5.7.0 Must issue STARTTLS", Stage.MAIL, "auth_failed", True),
        ("535 5.7.8 bad password", Stage.MAIL, "auth_failed", True),
        ("538 5.7.11 encryption needed", Stage.MAIL, "auth_failed", True),
        ("503 sequence", Stage.DATA, "smtp_503", False),
        ("550 4.1.1 the digits contradict each other", Stage.FINAL, "content_refused", False),
    ],
)
def test_permanent_refusals(reply: str, stage: Stage, code: str, alarm: bool) -> None:
    outcome = classify(Reply(code=int(reply[:3]), text=reply[4:]), stage)
    assert isinstance(outcome, PermanentFailure)
    assert (outcome.reason.code, outcome.reason.alarm) == (code, alarm)
    assert outcome.reason.detail == reply


@pytest.mark.parametrize(
    ("reply", "stage", "code", "flags"),
    [
        ("450 4.2.0 busy", Stage.RCPT, "mailbox_busy", ""),
        ("450 4.7.1 Greylisted, see http://x", Stage.RCPT, "greylisted", ""),
        ("451 4.7.0 Graylisting in action", Stage.RCPT, "greylisted", ""),
        ("450 4.2.1 receiving mail at a rate that", Stage.RCPT, "throttled", "throttled"),
        ("421 4.7.0 try again", Stage.MAIL, "service_unavailable", "unreachable"),
        ("421 4.7.0 try again", Stage.HELLO, "service_unavailable", "unreachable"),
        ("454 4.7.0 TLS not available due to local problem", Stage.TLS, "tls_unavailable", "unreachable"),
        ("451 4.7.0 try again", Stage.RCPT, "refused_by_policy", ""),
        ("451 4.7.0 try again", Stage.FINAL, "refused_by_policy", ""),
        ("451 4.7.500 server busy", Stage.RCPT, "throttled", "throttled"),
        ("451 4.7.5 cryptographic failure", Stage.RCPT, "refused_by_policy", ""),
        ("421 4.7.28 unusual rate", Stage.FINAL, "throttled", "throttled"),
        ("451 4.7.651 temporarily rate limited", Stage.RCPT, "throttled", "throttled"),
        ("451 4.7.651 reputation", Stage.RCPT, "refused_by_policy", ""),
        ("421 4.7.0 too many connections from you", Stage.CONNECT, "throttled", "throttled"),
        ("450 4.7.1 policy", Stage.RCPT, "refused_by_policy", ""),
        ("452 4.2.2 full", Stage.RCPT, "mailbox_full", ""),
        ("452 4.3.1 disk full", Stage.MAIL, "system_full", ""),
        ("421 4.3.2 shutting down", Stage.MAIL, "service_unavailable", "unreachable"),
        ("421 closing", Stage.CONNECT, "service_unavailable", "unreachable"),
        ("421 closing", Stage.RCPT, "service_unavailable", ""),
        ("421 closing", Stage.FINAL, "service_unavailable", ""),
        ("451 local error", Stage.FINAL, "smtp_451", ""),
        ("454 4.7.0 temporary authentication failure", Stage.AUTH, "auth_unavailable", "unreachable"),
        ("535 5.7.8 bad password", Stage.AUTH, "auth_failed", "unreachable alarm"),
        ("554 no service for you", Stage.CONNECT, "smtp_554", "unreachable alarm"),
        ("250 what?", Stage.DATA, "smtp_protocol_error", "unreachable"),
        ("354 what?", Stage.FINAL, "smtp_protocol_error", "maybe_sent"),
    ],
)
def test_refusals_for_now(reply: str, stage: Stage, code: str, flags: str) -> None:
    outcome = classify(Reply(code=int(reply[:3]), text=reply[4:]), stage)
    assert isinstance(outcome, RetryLater)
    assert outcome.reason.code == code
    seen = {"throttled": outcome.throttled, "unreachable": outcome.unreachable, "maybe_sent": outcome.maybe_sent}
    assert " ".join(name for name, is_set in [*seen.items(), ("alarm", outcome.reason.alarm)] if is_set) == flags


@pytest.mark.parametrize("code", [-1, 0, 99, 100, 199, 600, 999])
def test_codes_outside_the_protocol(code: int) -> None:
    for stage in Stage:
        outcome = classify(Reply(code=code, text="x"), stage)
        assert isinstance(outcome, RetryLater)
        assert outcome.maybe_sent == (stage is Stage.FINAL)


@pytest.mark.parametrize("stage", list(Stage))
def test_a_lost_link_may_have_sent_only_after_the_message_began(stage: Stage) -> None:
    outcome = lost(stage, "connection_lost", "gone")
    assert outcome.maybe_sent is (stage is Stage.FINAL)
    assert outcome.unreachable is (stage is not Stage.FINAL)


@pytest.mark.parametrize(
    ("text", "enhanced"),
    [
        ("5.1.1 x", "5.1.1"),
        ("5.1.1", "5.1.1"),
        ("5.1.1\n5.1.1 y", "5.1.1"),
        ("4.1.1 x", ""),
        ("5.1.1x", ""),
        ("x 5.1.1", ""),
    ],
)
def test_enhanced_codes_are_found_at_the_start_and_must_agree(text: str, enhanced: str) -> None:
    assert Reply(code=550, text=text).enhanced == enhanced
