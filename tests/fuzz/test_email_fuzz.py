"""Fuzzing of what the e-mail channel reads from others: returned mail, addresses, server replies."""

from __future__ import annotations

import contextlib
import re

from hypothesis import given
from hypothesis import strategies as st

from channels.channel import InvalidAddressError
from channels.email.address import parse_address
from channels.email.dsn import TEXT_MAX, read_mail
from channels.email.status import Reply, Stage, classify
from channels.outcome import Inbound, PermanentFailure, Receipt, RetryLater

BOUNCES = "bounces@example.org"

# Whole lines and fragments that steer the parser into every corner, to be mixed with noise.
LINES = st.sampled_from(
    [
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"',
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: message/delivery-status",
        b"Content-Type: message/rfc822",
        b"Content-Type: text/rfc822-headers",
        b"Content-Type: text/plain; charset=utf-7",
        b"Content-Type: text/plain; charset*0*=x''%; charset*1=y",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Content-Transfer-Encoding: x-uuencode",
        b"Original-Envelope-Id: dlv_01",
        b"Original-Envelope-Id: +FF+zz",
        b"Original-Recipient: rfc822;a+40b",
        b"Final-Recipient: ;;;",
        b"Action: failed",
        b"Action: delivered",
        b"Status: 5.1.1",
        b"Status: 5.999999999999",
        b"Last-Attempt-Date: Mon, 99 Foo 99999 99:99:99 +9999",
        b"Diagnostic-Code: smtp; \xff\0\x1b",
        b"Message-ID: <dlv_01@example.org>",
        b"Subject: =?utf-8?b?!!!!?= =?nope?q?=ZZ?=",
        b"From: =?utf-8?q?a?= <a@[b>",
        b"--b",
        b"--b--",
        b"",
        b" folded",
        b"\tfolded",
        b"begin 644 x",
        b"=",
    ]
)
STRUCTURED = st.lists(LINES | st.binary(max_size=40), max_size=40).map(b"\r\n".join)
RECIPIENTS = st.sampled_from([BOUNCES, "bounces+dlv_01@example.org", "other@example.org"]) | st.text(max_size=40)


@given(content=st.binary(max_size=2000) | STRUCTURED, sender=st.text(max_size=40) | st.just("<>"), recipient=RECIPIENTS)
def test_any_mail_is_read_without_an_exception(content: bytes, sender: str, recipient: str) -> None:
    reports = read_mail(content, sender=sender, recipients=[recipient], bounce_address=BOUNCES)
    assert reports or "bounces" not in recipient.lower()
    for report in reports:
        if isinstance(report, Receipt):
            assert report.provider_message_ids
            assert all(report.provider_message_ids)
            assert re.fullmatch(r"[a-z_]+|[245]\.\d{1,3}\.\d{1,3}", report.code)
            assert len(report.raw) <= 500
            assert len(report.detail) <= 500
        else:
            assert isinstance(report, Inbound)
            assert len(report.text) <= TEXT_MAX
        repr(report).encode()  # what cannot be encoded cannot be stored


@given(st.text(max_size=300) | st.from_regex(r"[!-~]{1,70}@[a-zé\u4e00.\-]{1,60}", fullmatch=True))
def test_any_text_is_an_address_or_refused_as_one(text: str) -> None:
    with contextlib.suppress(InvalidAddressError):
        address = parse_address(text)
        assert address.isascii()
        assert len(address) <= 254
        assert not re.search(r"[\s<>\"\\,:;()\[\]]", address)
        assert parse_address(address) == address


@given(code=st.integers(-1, 999), text=st.text(max_size=600), stage=st.sampled_from(list(Stage)))
def test_any_reply_is_classified(code: int, text: str, stage: Stage) -> None:
    outcome = classify(Reply(code=code, text=text), stage)
    assert isinstance(outcome, RetryLater | PermanentFailure)
    assert str(code) in outcome.reason.detail
    assert outcome.reason.detail.isprintable()
    assert len(outcome.reason.detail) <= 500
