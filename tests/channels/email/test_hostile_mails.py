"""Mails that are made to take time: whatever is in them, reading one takes a bounded part of the processor's time."""

from __future__ import annotations

import time

import pytest

from channels.email.dsn import READ_BYTES_MAX, read_mail
from channels.outcome import Receipt, ReceiptFailed

BOUNCES = "bounces@example.org"
TAGGED = "bounces+dlv_1@example.org"
SENT_BYTES = 1024 * 1024
READ_S_MAX = 0.5
"""Of the processor. They take 10 to 60 ms; without bounds on the work it is 2 to 20 s."""


def filled(beginning: str, again: str) -> bytes:
    """A mail of SENT_BYTES."""
    return (beginning + again * (SENT_BYTES // len(again))).encode()[:SENT_BYTES]


def nested(depth: int) -> str:
    """The heads of so many multiparts in each other."""
    heads = (f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n' for n in range(depth))
    return "From: a@b\n" + "".join(heads)


MULTIPART = 'Content-Type: multipart/mixed; boundary="b"\n\n'
STATUS = 'Content-Type: multipart/report; boundary="b"\n\n--b\nContent-Type: message/delivery-status\n\n'
HTML = "Content-Type: text/html\n\n"
RETURNED = "Content-Type: text/rfc822-headers\n\n"
HOSTILE = {
    "short lines within 32 multiparts": filled(nested(32), "x\n"),
    "lines like boundaries within 32 multiparts": filled(nested(32), "--\n"),
    "parts within 31 multiparts": filled(nested(31), "--b30\n\n"),
    "more multiparts than are read": filled(nested(33), "x\n"),
    "empty parts": filled(MULTIPART, "--b\n\n"),
    "parts with a field": filled(MULTIPART, "--b\nA:b\n\n"),
    "parts that are returned messages": filled(MULTIPART, "--b\n" + RETURNED + "a: b\n" * 20),
    "parts of text": filled(MULTIPART, "--b\nContent-Type: text/plain\n\nStatus:\n"),
    "header fields": filled("", "A:b\n"),
    "one header field, folded": filled("Subject: x\n", " y\n"),
    "encoded words, folded": filled("Subject: x\n", " =?utf-8?q?a?=\n"),
    "encoded words in a line": filled("Subject: ", "=?utf-8?b?QQ==?= "),
    "addresses": filled("From: x\n", " y@,<\n"),
    "comments in addresses": filled("From: ", "("),
    "parameters": filled("Content-Type: text/plain;", " a=b;"),
    "parameters in pieces": filled("Content-Type: text/plain;", " a*1=b;"),
    "parameters, folded": filled("Content-Type: text/plain;\n", " a=b;\n"),
    "parameters of every part": filled(MULTIPART, "--b\nContent-Type: text/plain;" + " a=b;" * 190 + "\n\n"),
    "quotes in a boundary": filled('Content-Type: multipart/mixed; boundary="', '\\"'),
    "blanks before a type": filled("Content-Type:", " "),
    "types and blanks": filled("", "Content-Type:" + " " * 1000 + "\n"),
    "base 64": filled("Content-Transfer-Encoding: base64\n\n", "QUJD\n"),
    "quoted-printable": filled("Content-Transfer-Encoding: quoted-printable\n\n", "=41=\n"),
    "uuencode": filled("Content-Transfer-Encoding: x-uuencode\n\nbegin 644 a\n", "#0V%T\n"),
    "tags that do not end": filled(HTML, "<a"),
    "entities that do not end": filled(HTML, "&amp"),
    "groups of a report": filled(STATUS, "A: b\n\n"),
    "failures of a report": filled(STATUS, "Final-Recipient: rfc822;a@b\nAction: failed\nStatus: 5.0.0\n\n"),
    "empty lines of a report": filled(STATUS, "\n"),
    "ids that do not end": filled(RETURNED + "Message-ID: ", "<aaaaaaaa"),
    "words that may be a failure": filled("Subject: x\n\n", "fail"),
    "words that may be a delay": filled("Subject: x\n\n", "delay mail "),
    "words that may be an address": filled("Subject: x\n\n", "a" * 64 + " "),
    "lines that may begin a copy": filled("Subject: x\n\n", "-" * 70 + "\n"),
    "one line that may begin a copy": filled("Subject: x\n\n", "-"),
    "quoted lines": filled("Subject: x\n\n", ">\n"),
    "carriage returns": filled("Subject: x\r\r", "x\r"),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_case_7_12_reading_a_mail_takes_a_bounded_time_whatever_is_in_it(content: bytes) -> None:
    began = time.process_time()
    read_mail(content, sender="", recipients=[TAGGED], bounce_address=BOUNCES)
    assert time.process_time() - began < READ_S_MAX


def test_a_report_is_read_however_much_is_returned_behind_it() -> None:
    report = (
        "From: MAILER-DAEMON@mx\nContent-Type: multipart/report; report-type=delivery-status;\n\tboundary=b\n\n"
        "--b\n\nIt did not arrive.\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\n"
        "Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n--b\nContent-Type: message/rfc822\n\n"
    )
    content = (report + nested(5) + "x" * 70 + "\n" * 20_000).encode() + b"y" * 2 * READ_BYTES_MAX
    (receipt,) = read_mail(content, sender="", recipients=[TAGGED], bounce_address=BOUNCES)
    assert isinstance(receipt, Receipt)
    assert isinstance(receipt.result, ReceiptFailed)
    assert receipt.code == "5.1.1"
