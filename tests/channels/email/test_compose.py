"""Composed mails: headers, text, attachments, and that no content can break out of its place."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.channel import Attachment, Message
from channels.email.compose import (
    ATTACHMENTS_MAX,
    SUBJECT_MAX,
    TooManyAttachmentsError,
    clean_text,
    compose,
    subject_line,
)

NOW = datetime(2025, 3, 1, 12, 0, 5, tzinfo=UTC)


def octets(**fields: Any) -> bytes:
    message = Message(**({"address": "duty@example.org", "text": "Fire", "reference": "dlv_01"} | fields))
    return compose(message, sender="tocsin@example.com", recipient=message.address, now=NOW)


def read(content: bytes) -> EmailMessage:
    return message_from_bytes(content, policy=default)


def test_the_headers_of_an_ordinary_mail() -> None:
    mail = read(octets(subject="Hall 3", language="de-AT"))
    assert dict(mail.items()) == {
        "Date": "Sat, 01 Mar 2025 12:00:05 +0000",
        "From": "tocsin@example.com",
        "To": "duty@example.org",
        "Subject": "Hall 3",
        "Message-ID": "<dlv_01@example.com>",
        "Auto-Submitted": "auto-generated",
        "Content-Language": "de-AT",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "7bit",
        "MIME-Version": "1.0",
    }
    assert mail.get_content() == "Fire\r\n"


def test_an_urgent_mail_is_marked() -> None:
    mail = read(octets(urgent=True))
    assert (mail["Importance"], mail["Priority"], mail["X-Priority"]) == ("high", "urgent", "1")


def test_the_message_id_is_the_same_on_a_second_attempt() -> None:
    assert octets() == octets()


@pytest.mark.parametrize("language", ["", "de\r\nBcc: x@y.zz", "not a language", "é"])
def test_a_language_that_is_none_is_left_out(language: str) -> None:
    assert read(octets(language=language))["Content-Language"] is None


@pytest.mark.parametrize(
    ("subject", "text", "line"),
    [
        ("Hall 3", "Fire", "Hall 3"),
        ("", "Fire in hall 3\nAll leave", "Fire in hall 3"),
        ("  ", "\n \t\n Fire \n", "Fire"),
        ("", "", ""),
        ("a\r\nBcc: x@y.zz", "t", "a Bcc: x@y.zz"),
        ("a\u2028b\x85c\x0bd\x00e\x1bf", "t", "a b c def"),
        ("=?utf-8?q?a=0D=0ABcc:x@y.zz?=", "t", "=?utf-8?q?a=0D=0ABcc:x@y.zz?="),
        ("x" * 151, "t", "x" * 149 + "…"),
        ("x" * 150, "t", "x" * 150),
    ],
)
def test_subjects_are_one_clean_bounded_line(subject: str, text: str, line: str) -> None:
    assert subject_line(subject, text) == line
    assert (read(octets(subject=subject, text=text))["Subject"] or "") == line


def test_texts_of_every_script_arrive_as_they_were() -> None:
    text = "Größe: 日本語 🔥 مرحبا\n.\n..dots\nFrom here\n" + "long " * 400 + "\n"
    content = octets(text=text)
    assert content.isascii()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert read(content).get_content().replace("\r\n", "\n") == text


def test_control_characters_and_foreign_line_ends_do_not_arrive() -> None:
    assert clean_text("a\r\nb\rc\0\x1b\td\ud800") == "a\nb\nc\td?\n"


def test_attachments_keep_name_type_and_content() -> None:
    image = Attachment(name="Plan Halle 3 – größer.png", content_type="image/png", content=bytes(range(256)))
    note = Attachment(name="note.txt", content_type="Text/Plain", content="é\n".encode())
    parts = list(read(octets(attachments=(image, note))).iter_attachments())
    assert [part.get_filename() for part in parts] == [image.name, note.name]
    assert [part.get_content_type() for part in parts] == ["image/png", "text/plain"]
    assert [part.get_payload(decode=True) for part in parts] == [image.content, note.content]


@pytest.mark.parametrize(
    ("content_type", "seen"),
    [("message/rfc822", "application/octet-stream"), ("multipart/mixed", "application/octet-stream")]
    + [(bad, "application/octet-stream") for bad in ("", "x", "a/b/c", "text/html\r\nX: y", "é/é")],
)
def test_types_that_could_break_the_mail_are_plain_octets(content_type: str, seen: str) -> None:
    attachment = Attachment(name="a.bin", content_type=content_type, content=b"From x\r\n\r\n--b")
    (part,) = read(octets(attachments=(attachment,))).iter_attachments()
    assert part.get_content_type() == seen
    assert part.get_payload(decode=True) == attachment.content


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("../../etc/passwd", "_.._etc_passwd"),
        ("", "attachment"),
        ("..", "attachment"),
        ('a"\r\nX: y', "a_ X_ y"),
        ("C:\\x", "C__x"),
    ],
)
def test_file_names_cannot_leave_their_folder_or_their_header(name: str, seen: str) -> None:
    (part,) = read(
        octets(attachments=(Attachment(name=name, content_type="image/png", content=b"x"),))
    ).iter_attachments()
    assert part.get_filename() == seen


def test_too_many_attachments_are_refused() -> None:
    one = Attachment(name="a", content_type="image/png", content=b"x")
    assert octets(attachments=(one,) * ATTACHMENTS_MAX)
    with pytest.raises(TooManyAttachmentsError, match="at most 20"):
        octets(attachments=(one,) * (ATTACHMENTS_MAX + 1))


@given(
    subject=st.text(max_size=400), text=st.text(max_size=400), language=st.text(max_size=20), name=st.text(max_size=150)
)
def test_whatever_is_sent_the_headers_are_ours_and_the_text_is_whole(
    subject: str, text: str, language: str, name: str
) -> None:
    attachment = Attachment(name=name, content_type=name, content=b"x")
    content = octets(subject=subject, text=text, language=language, attachments=(attachment,))
    assert content.isascii()
    assert b"\0" not in content
    assert max(map(len, content.split(b"\r\n"))) <= 998
    mail = read(content)
    assert [name for name in mail if name not in ("Content-Language",)] == [
        "Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert mail["To"] == "duty@example.org"
    assert len(mail["Subject"]) <= SUBJECT_MAX
    assert mail["Subject"] == subject_line(subject, clean_text(text))
    body = mail.get_body()
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == clean_text(text)
