"""Bounces in the dialects of many mail servers: which of them say that a mail failed, which that it waits, which nothing."""

from __future__ import annotations

import base64
import quopri
from collections.abc import Callable
from email.header import Header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.bounce import read_plain
from channels.email.dsn import read_mail
from channels.outcome import (
    Inbound,
    Receipt,
    ReceiptDelivered,
    ReceiptEnded,
    ReceiptFailed,
    ReceiptIntermediate,
    ReceiptResult,
    Report,
)

BOUNCES = "bounces@example.org"
TAGGED = "bounces+dlv_01@example.org"
COPY = (
    "Message-ID: <dlv_01@example.org>\nSubject: Delivery failed permanently\n\nThe pump was not delivered: 550 5.1.1\n"
)
"""The alert that comes back: its words are ours and say nothing of the mail."""


def mail(text: str, subject: str, sender: str = "MAILER-DAEMON@mx.example.net", **fields: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    head = f"From: {sender}\r\nTo: {TAGGED}\r\nSubject: {Header(subject, 'utf-8').encode()}\r\n{more}"
    typed = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return (head + typed + text.replace("\n", "\r\n")).encode()


def read(content: bytes, recipient: str = TAGGED) -> tuple[Report, ...]:
    return read_mail(content, sender="<>", recipients=[recipient], bounce_address=BOUNCES)


def receipt(content: bytes, recipient: str = TAGGED) -> Receipt:
    found = read(content, recipient)[0]
    assert isinstance(found, Receipt)
    return found


QMAIL = """Hi. This is the qmail-send program at mx.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<duty@example.com>:
192.0.2.7 does not like recipient.
Remote host said: 550 5.1.1 <duty@example.com>: Recipient address rejected
Giving up on 192.0.2.7.

--- Below this line is a copy of the message.

"""
QMAIL_BARE = """Hi. This is the qmail-send program at mx.example.net.

<duty@example.com>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

"""
EXIM = """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  duty@example.com
    host mx.example.com [192.0.2.7]
    SMTP error from remote mail server after RCPT TO:<duty@example.com>:
    550 5.1.1 No such user

------ This is a copy of the message, including all the headers. ------

"""
EXIM_DELAY = """This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its
recipients after more than 24 hours on the queue on mx.example.net.

The address to which the message has not yet been delivered is:

  duty@example.com
    Delay reason: Connection timed out

No action is required on your part. Delivery attempts will continue for
some time, and this warning may be repeated at intervals.
"""
SENDMAIL = """The original message was received at Fri, 20 Nov 2026 10:00:00 GMT

   ----- The following addresses had permanent fatal errors -----
<duty@example.com>
    (reason: 550 5.1.1 User unknown)

   ----- Transcript of session follows -----
550 5.1.1 <duty@example.com>... User unknown
"""
SENDMAIL_WARNING = """    **********************************************
    **      THIS IS A WARNING MESSAGE ONLY      **
    **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **
    **********************************************

   ----- The following addresses had transient non-fatal errors -----
<duty@example.com>

Warning: message still undelivered after 4 hours
Will keep trying until message is 5 days old
"""
POSTFIX_DELAY = """This is the mail system at host mx.example.net.

####################################################################
# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #
####################################################################

Your message could not be delivered for more than 4 hour(s).
It will be retried until it is 5 day(s) old.
"""
GERMAN = "Ihre Nachricht konnte nicht zugestellt werden.\n\nduty@example.com\n550 5.1.10 Der Empfänger wurde nicht gefunden\n"
FRENCH = "Votre message n'a pas pu être remis à son destinataire.\n\nduty@example.com : 550 5.1.1\n"

FAILURES = {
    "qmail": mail(QMAIL + COPY, "failure notice"),
    "qmail bare": mail(QMAIL_BARE + COPY, "notification"),
    "exim": mail(
        EXIM + COPY, "Mail delivery failed: returning message to sender", X_Failed_Recipients="duty@example.com"
    ),
    "exim without its header": mail(EXIM + COPY, "Mail delivery failed: returning message to sender"),
    "exim, odd subject": mail("", "?", X_Failed_Recipients="duty@example.com, other@example.com"),
    "sendmail": mail(SENDMAIL, "Returned mail: see transcript for details", Auto_Submitted="auto-generated (failure)"),
    "exchange": mail(
        "Your message did not reach some or all of the intended recipients.",
        "Undeliverable: Fire",
        "System Administrator <postmaster@example.com>",
    ),
    "exchange, german": mail(GERMAN, "Unzustellbar: Feuer", "postmaster@example.com"),
    "exchange, french": mail(FRENCH, "Non remis : Incendie", "postmaster@example.com"),
    "gmail": mail(
        "** Address not found **\n\nYour message wasn't delivered to duty@example.com\n550 5.1.1 no such account",
        "Delivery Status Notification (Failure)",
        "Mail Delivery Subsystem <mailer-daemon@googlemail.com>",
    ),
    "by status alone": mail("<duty@example.com>: 5.7.1 blocked", "Notice"),
    "by reply alone": mail("550 blocked by the filter", "Notice"),
}
PAGE = '<html><body><h1>Undeliverable</h1><p>Your message to <a href="mailto:x">duty@example.com</a> couldn&#39;t be delivered.</p>'
FAILURES |= {
    "expired after a delay": mail(
        "The delivery was delayed too long and the message expired. 4.4.7",
        "Undeliverable: Fire",
        "postmaster@example.com",
    ),
    "groupwise": mail(
        "The message could not be delivered.", "Message status - undeliverable", "Mailer-Daemon@example.com"
    ),
    "a page": mail(PAGE, "Mail could not be handed over").replace(b"text/plain", b"text/html"),
}
WAITING = {
    "exim": mail(EXIM_DELAY, "Warning: message 1abcde-0000Xy-01 delayed 24 hours", Auto_Submitted="auto-replied"),
    "sendmail": mail(SENDMAIL_WARNING, "Warning: could not send message for past 4 hours"),
    "postfix as text": mail(POSTFIX_DELAY, "Delayed Mail (still being retried)"),
    "gmail": mail(
        "This is an automatically generated Delivery Status Notification\n\nTHIS IS A WARNING MESSAGE ONLY.",
        "Delivery Status Notification (Delay)",
    ),
}
NO_BOUNCES = {
    "away": mail(
        "I am away until Monday. In urgent cases call 550 1234.",
        "Automatic reply: Fire",
        "duty@example.com",
        Auto_Submitted="auto-replied",
    ),
    "away, without a mark": mail(
        "I am out of the office.", "Out of Office: Delivery failed permanently", "duty@example.com"
    ),
    "away, german": mail(
        "Ich bin nicht im Haus. Mail wird nicht gelesen.", "Abwesenheitsnotiz: Feuer", "duty@example.com"
    ),
    "away, french": mail("Absent jusqu'à lundi.", "Réponse automatique : Incendie", "duty@example.com"),
    "quoting us": mail(
        "Got it.\n> Delivery failed permanently\n> 550 5.1.1 pump unknown",
        "Re: Delivery failed permanently",
        "duty@example.com",
    ),
    "read receipt": mail("Your message was deleted unread.", "Not read: Fire", "duty@example.com"),
    "a ticket system": mail(
        "Your request was opened as #5512.", "[Ticket 5512] Fire", "desk@example.com", Precedence="bulk"
    ),
    "an older vacation": mail("Back on 5.1.2027", "away from my mail", "duty@example.com", X_Autoreply="yes"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_case_4_5_every_dialect_of_a_failure_is_read_as_one(name: str) -> None:
    (found,) = read(FAILURES[name])
    assert isinstance(found, Receipt)
    assert found.result == ReceiptFailed()
    assert found.provider_message_ids == ("dlv_01",)
    assert found.address == ("duty@example.com" if "duty@" in FAILURES[name].decode() else "")


@pytest.mark.parametrize("name", WAITING)
def test_case_4_5_a_warning_that_the_server_still_tries_is_no_failure(name: str) -> None:
    found = receipt(WAITING[name])
    assert (found.result, found.code) == (ReceiptIntermediate(), "delayed")


@pytest.mark.parametrize("name", NO_BOUNCES)
def test_case_4_5_what_is_no_bounce_is_a_line_and_a_message(name: str) -> None:
    line, message = read(NO_BOUNCES[name])
    assert isinstance(line, Receipt)
    assert line.result == ReceiptIntermediate()
    assert line.code in ("auto_reply", "unread_report")
    assert isinstance(message, Inbound)


def test_a_bounce_that_names_no_message_of_ours_is_a_message() -> None:
    without_copy = mail(QMAIL, "failure notice")
    (found,) = read(without_copy, BOUNCES)
    assert isinstance(found, Inbound)


def test_the_returned_copy_names_the_message_where_the_address_does_not() -> None:
    assert receipt(FAILURES["qmail"], BOUNCES).provider_message_ids == ("dlv_01",)


def test_words_of_a_bounce_with_a_sender_prove_nothing() -> None:
    found = read_mail(FAILURES["qmail"], sender="eve@example.net", recipients=[TAGGED], bounce_address=BOUNCES)
    assert [type(report) for report in found] == [Inbound]


# -- reports in other types and encodings

STATUS = (
    "Reporting-MTA: dns; mx.example.net\r\nOriginal-Envelope-Id: dlv_01\r\n\r\n"
    "Final-Recipient: {kind}; duty@example.com\r\nAction: {action}\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {said}\r\n"
)
TYPES = [
    "message/delivery-status",
    "message/global-delivery-status",
    "message/x-delivery-status",
    "text/delivery-status",
    "Message/Global-Delivery-Status; charset=utf-8",
]
ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "7bit": lambda text: text.encode(),
    "8bit": lambda text: text.encode(),
    "base64": lambda text: base64.encodebytes(text.encode()).replace(b"\n", b"\r\n"),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()),
}


def report(
    kind: str = TYPES[0],
    encoding: str = "7bit",
    *,
    action: str = "failed",
    status: str = "5.1.1",
    said: str = "no",
    text: str = "",
) -> bytes:
    body = ENCODINGS[encoding](STATUS.format(kind="rfc822", action=action, status=status, said=said))
    return (
        b'From: MAILER-DAEMON@mx\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain\r\n\r\n" + text.encode() + b"\r\n"
        b"--b\r\nContent-Type: "
        + kind.encode()
        + b"\r\nContent-Transfer-Encoding: "
        + encoding.encode()
        + b"\r\n\r\n"
        + body
        + b"\r\n--b\r\nContent-Type: message/global-headers\r\n\r\nMessage-ID: <dlv_09@example.org>\r\n\r\n--b--\r\n"
    )


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_case_4_5_a_status_part_is_read_in_every_type_and_encoding(kind: str, encoding: str) -> None:
    found = receipt(report(kind, encoding))
    assert (found.result, found.code, found.address) == (ReceiptFailed(), "5.1.1", "duty@example.com")
    assert found.provider_message_ids == ("dlv_01", "dlv_09")


def test_a_status_part_of_the_wrong_type_is_known_by_its_fields() -> None:
    assert receipt(report("text/plain", "quoted-printable")).code == "5.1.1"


def test_a_report_in_one_block_is_read() -> None:
    assert receipt(report().replace(b"dlv_01\r\n\r\n", b"dlv_01\r\n")).result == ReceiptFailed()


EXIM_DONE = (
    "This message was created automatically by mail delivery software.\r\n<duty@example.com> (relayed {how})\r\n"
)


@pytest.mark.parametrize(
    ("text", "said", "expected"),
    [
        (EXIM_DONE.format(how="to non-DSN-aware mailer"), "250 Ok", ReceiptEnded()),
        (EXIM_DONE.format(how="via non DSN router"), "250 Ok", ReceiptEnded()),
        ("", "X-Exim; relayed via non SMTP router", ReceiptEnded()),
        ("The mail relay at mx.example.net", "250 2.0.0 saved", ReceiptDelivered()),
    ],
)
def test_case_4_12_a_report_that_speaks_of_relaying_proves_no_delivery(
    text: str, said: str, expected: ReceiptResult
) -> None:
    found = receipt(report(action="delivered", status="2.0.0", said=said, text=text))
    assert found.result == expected


@given(st.text(max_size=300), st.text(max_size=1000), st.text(max_size=100))
def test_any_words_are_read(subject: str, text: str, other: str) -> None:
    read_plain(lambda name: subject if name == "Subject" else other, text)


def test_words_made_to_hurt_take_no_time() -> None:
    for text in (
        "- " * 50_000,
        "delay " * 20_000,
        ">" * 100_000,
        "5." * 50_000,
        "a@" * 50_000,
        "-" * 100_000,
        " " * 100_000,
    ):
        read_plain(lambda _name: "", text)
