"""Returned mail read: reports of several mail servers, damaged ones, and mail that is no report."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from channels.email.dsn import NESTING_MAX, TEXT_MAX, read_mail
from channels.outcome import (
    Inbound,
    Receipt,
    ReceiptDelivered,
    ReceiptEnded,
    ReceiptFailed,
    ReceiptIntermediate,
    Report,
)

BOUNCES = "bounces@example.org"

POSTFIX = """\
Return-Path: <>
Date: Fri, 20 Nov 2026 10:00:00 +0000 (UTC)
From: MAILER-DAEMON@mx.example.net (Mail Delivery System)
Subject: {subject}
To: bounces@example.org
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="6F1.1/mx.example.net"

This is a MIME-encapsulated message.

--6F1.1/mx.example.net
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.net.

--6F1.1/mx.example.net
Content-Description: Delivery report
Content-Type: message/delivery-status

{fields}

--6F1.1/mx.example.net
Content-Description: Message Headers
Content-Type: text/rfc822-headers

{headers}

--6F1.1/mx.example.net--
"""

PER_MESSAGE = """\
Reporting-MTA: dns; mx.example.net
Original-Envelope-Id: dlv_01
X-Postfix-Queue-ID: 6F1
Arrival-Date: Fri, 20 Nov 2026 09:59:58 +0000 (UTC)
"""

RECIPIENT = """\
Final-Recipient: rfc822; duty@example.com
Original-Recipient: rfc822;duty+2Bnight@example.com
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {diagnostic}
"""

HEADERS = "From: tocsin@example.org\nMessage-ID: <dlv_09@example.org>\nSubject: Fire"


def report(fields: str, headers: str = HEADERS) -> bytes:
    return POSTFIX.format(subject="Delivery Status", fields=fields, headers=headers).replace("\n", "\r\n").encode()


def fields(action: str, status: str = "2.0.0", diagnostic: str = "250 ok", per_message: str = PER_MESSAGE) -> str:
    return per_message + "\n" + RECIPIENT.format(action=action, status=status, diagnostic=diagnostic)


def read(content: bytes, recipient: str = BOUNCES, sender: str = "<>") -> tuple[Report, ...]:
    return read_mail(content, sender=sender, recipients=[recipient], bounce_address=BOUNCES)


def receipt(content: bytes, recipient: str = BOUNCES) -> Receipt:
    (found,) = read(content, recipient)
    assert isinstance(found, Receipt)
    return found


@pytest.mark.parametrize(
    ("action", "status", "result", "code"),
    [
        ("delivered", "2.0.0", ReceiptDelivered(), "delivered"),
        ("Delivered (to mailbox)", "2.1.5", ReceiptDelivered(), "delivered"),
        ("relayed", "2.0.0", ReceiptEnded(), "relayed"),
        ("expanded", "2.0.0", ReceiptEnded(), "expanded"),
        ("delayed", "4.4.1", ReceiptIntermediate(), "delayed"),
        ("failed", "5.1.1", ReceiptFailed(), "5.1.1"),
        ("FAILED", "4.4.7 (expired)", ReceiptFailed(), "4.4.7"),
        ("failed", "unknown", ReceiptFailed(), "failed"),
        ("failure", "5.1.1", ReceiptFailed(), "5.1.1"),
        ("Failed(permanent)", "5.1.1", ReceiptFailed(), "5.1.1"),
        ("undeliverable", "5.4.4", ReceiptFailed(), "5.4.4"),
        ("", "5.1.1", ReceiptFailed(), "5.1.1"),
        ("", "#5.1.1", ReceiptFailed(), "5.1.1"),
        ("", "4.4.7", ReceiptIntermediate(), "delayed"),
        ("exploded", "5.0.0", ReceiptFailed(), "5.0.0"),
        ("delivered", "5.1.1", ReceiptIntermediate(), "delayed"),
    ],
)
def test_every_action_of_the_standard(action: str, status: str, result: object, code: str) -> None:
    found = receipt(report(fields(action, status, "550 no such user")))
    assert (found.result, found.code) == (result, code)
    assert found.provider_message_ids == ("dlv_01", "dlv_09")
    assert found.address == "duty+night@example.com"
    assert "550 no such user" in found.detail
    assert "550 no such user" in found.raw


def test_the_time_of_the_last_attempt_is_taken_over() -> None:
    text = fields("failed", "5.1.1") + "Last-Attempt-Date: Fri, 20 Nov 2026 12:00:00 +0200\n"
    assert receipt(report(text)).at == datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "date", ["yesterday", "Fri, 20 Nov 2026 12:00:00 -0000", "Fri, 99 Nov 2026 12:00:00 +0200", "1" * 400]
)
def test_a_time_that_cannot_be_trusted_is_left_out(date: str) -> None:
    assert receipt(report(fields("failed", "5.1.1") + f"Last-Attempt-Date: {date}\n")).at is None


def test_the_tag_of_the_recipient_and_the_returned_message_id_are_candidates_too() -> None:
    bare = report(fields("failed", "5.1.1", per_message="Reporting-MTA: dns; mx\n"))
    assert receipt(bare, "bounces+dlv_07@example.org").provider_message_ids == ("dlv_07", "dlv_09")
    nothing = report(fields("failed", "5.1.1", per_message="Reporting-MTA: dns; mx\n"), headers="X: y")
    assert receipt(nothing, "bounces+dlv_07@example.org").provider_message_ids == ("dlv_07",)


def test_an_encoded_envelope_id_is_offered_raw_and_decoded() -> None:
    text = fields("delivered").replace("dlv_01", "a+2Bb")
    assert receipt(report(text)).provider_message_ids[:2] == ("a+2Bb", "a+b")


def test_a_whole_message_returned_is_looked_into_for_its_id_only() -> None:
    returned = "Message-ID: <x@y>\r\n\r\n" + report(fields("delivered")).decode()
    content = report(fields("failed", "5.1.1", per_message="Reporting-MTA: dns; mx\n"), headers=returned)
    found = receipt(content.replace(b"text/rfc822-headers", b"message/rfc822", 1))
    assert found.provider_message_ids == ("x",)
    assert isinstance(found.result, ReceiptFailed)


def test_a_report_that_somebody_forwards_is_no_report() -> None:
    forwarded = b"From: a@b.example\r\nContent-Type: message/rfc822\r\n\r\n" + report(fields("delivered"))
    assert isinstance(read(forwarded)[0], Inbound)


def test_an_alias_that_was_expanded_gives_the_delivery_first() -> None:
    text = fields("failed", "5.1.1") + "\n" + RECIPIENT.format(action="delivered", status="2.0.0", diagnostic="ok")
    results = [found.result for found in read(report(text)) if isinstance(found, Receipt)]
    assert results == [ReceiptDelivered(), ReceiptFailed()]


def test_a_report_that_names_nothing_is_handed_over_as_mail() -> None:
    content = report(fields("failed", "5.1.1", per_message="Reporting-MTA: dns; mx\n"), headers="X: y")
    (found,) = read(content)
    assert isinstance(found, Inbound)
    assert "mail system at host mx.example.net" in found.text


@pytest.mark.parametrize(
    "text", ["", "Status: 2.0.0", PER_MESSAGE, PER_MESSAGE + "\nAction: exploded\nStatus: 9.9.9\n"]
)
def test_a_report_without_a_known_action_is_handed_over_as_mail(text: str) -> None:
    line, message = read(report(text))  # the returned headers name a message of ours
    assert isinstance(line, Receipt)
    assert (line.result, line.provider_message_ids) == (ReceiptIntermediate(), ("dlv_09",))
    assert isinstance(message, Inbound)


def test_an_answer_by_a_person_is_inbound() -> None:
    content = (
        b"From: =?utf-8?q?Duty_Officer?= <duty@example.com>\r\nSubject: =?utf-8?b?UsO8Y2ttZWxkdW5n?=\r\n"
        b"Message-ID: <abc@example.com>\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\nBin unterwegs, gr=FC=DFe\r\n"
    )
    expected = Inbound(
        source="duty@example.com",
        destination="bounces+dlv_01@example.org",
        text="Rückmeldung\nBin unterwegs, grüße\n",
        provider_message_id="abc@example.com",
    )
    assert read(content, "bounces+dlv_01@example.org", sender="duty@example.com") == (expected,)
    line, message = read(
        content, "bounces+dlv_01@example.org"
    )  # no sender, but a message of ours: its timeline tells it
    assert message == expected
    assert isinstance(line, Receipt)
    assert (line.result, line.code, line.provider_message_ids) == (ReceiptIntermediate(), "unread_report", ("dlv_01",))


def test_an_inbound_text_is_bounded() -> None:
    (found,) = read(b"Subject: s\r\n\r\n" + b"x" * 100_000, sender="a@b.example")
    assert isinstance(found, Inbound)
    assert len(found.text) == TEXT_MAX


def test_mail_to_somebody_else_says_nothing() -> None:
    assert read(report(fields("delivered")), "other@example.org") == ()


def test_a_report_that_returns_a_large_message_is_read_from_its_beginning() -> None:
    content = report(fields("failed", "5.1.1"), headers=HEADERS + "\n\n" + "x" * 3_000_000)
    assert receipt(content).code == "5.1.1"


def test_nesting_beyond_the_bound_is_not_parsed() -> None:
    content = b"Content-Type: message/rfc822\r\n\r\n" * (NESTING_MAX + 1) + b"x"
    assert read(content, sender="a@b.example") == (Inbound(source="a@b.example", destination=BOUNCES, text=""),)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"\xff\xfe\0",
        b"Content-Type: multipart/report\r\n\r\nno boundary",
        b"Content-Type: message/delivery-status\r\n\r\n",
        b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!",
        b"Content-Type: text/plain; charset=\xff\r\n\r\nx",
        b"Content-Type: text/plain; charset=utf-16\r\n\r\nx",
        b"Content-Type: text/plain; charset=hex\r\n\r\nx",
        b"Content-Type: text/plain; charset=idna\r\n\r\n..",
        b"Content-Type: text/plain; charset*0*=''x; charset*" + b"9" * 5000 + b"=y\r\n\r\nx",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n!!!\r\n",
        b"Subject: =?utf-8?b?!?= =?x?q?=?=\r\nFrom: =?\xff\r\n\r\nx",
        b"Subject: =?base64?q?x?=\r\n\r\nx",
        b"From: " + b"(" * 100_000 + b"\r\n\r\nx",
        b"Content-Type: text/plain" + b"; a*0*=x" * 2000 + b"\r\n\r\nx",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 2000,
    ],
)
def test_damaged_mail_is_inbound_and_never_raises(content: bytes) -> None:
    (found,) = read(content, sender="a@b.example")
    assert isinstance(found, Inbound)
    found.text.encode()
