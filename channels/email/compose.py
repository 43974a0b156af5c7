"""A message as RFC 5322 octets, pure: headers, text, attachments. The envelope and the sending live elsewhere."""

from __future__ import annotations

import re
import unicodedata
from base64 import b64encode
from datetime import datetime
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from typing import Any

from channels.channel import Attachment, Message
from channels.email.address import domain_of
from channels.email.envelope import envelope_id

SUBJECT_MAX = 150
"""Characters of a subject that are kept: phones show far less, and the whole text follows anyway."""
ATTACHMENTS_MAX = 20
"""The API bounds their octets; so many parts are the most that mail programs list sensibly."""
FILE_NAME_MAX = 100
"""Characters of an attachment's name: common file systems take 255 octets."""

ENCODED_WORD_OCTETS = 45
"""Octets of text in one encoded word: 60 characters of base64, and 75 is the most in all (RFC 2047 2)."""

_CONTENT_TYPE = re.compile(r"([a-z0-9][a-z0-9!#$&^_.+-]{0,63})/([a-z0-9][a-z0-9!#$&^_.+-]{0,63})")  # RFC 6838 4.2
_COMPOSITE_TYPES = frozenset({"multipart", "message"})  # RFC 2046 5: may not be base64
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}")  # RFC 5646 2.1
_UNSAFE_IN_NAME = re.compile(r'[/\\:*?"<>|]')


class _Policy(EmailPolicy):
    """The standard library's policy, with subjects encoded by `encoded_words`: its own folding loses blanks, and it
    decodes what only looks like an encoded word, line ends and all."""

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        """A subject is kept as the plain text it is."""
        return (name, value) if name == "Subject" else super().header_store_parse(name, value)

    def fold_binary(self, name: str, value: Any) -> bytes:
        """One header as octets."""
        if name == "Subject":
            return f"Subject: {encoded_words(value)}\r\n".encode("ascii")
        return super().fold_binary(name, value)


# Seven-bit bodies throughout: no relay on the way has to convert them (RFC 6152), and none can break them.
_POLICY = _Policy(linesep="\r\n", cte_type="7bit", max_line_length=78)


class TooManyAttachmentsError(ValueError):
    """The message has more attachments than ATTACHMENTS_MAX."""


def compose(message: Message, *, sender: str, recipient: str, now: datetime) -> bytes:
    """The message as 7-bit octets with CRLF line ends, ready for DATA (not yet dot-stuffed).

    `sender` and `recipient` are canonical addresses, `now` is the aware time for the Date header. No content of the
    message can add a header: every value is cleaned of line ends and control characters first. The
    Message-ID is made from the reference, so that mail programs show a second attempt once. Auto-Submitted (RFC 3834
    5) keeps vacation responders quiet; Importance, Priority (RFC 4021 2.1.53, 2.1.54) and X-Priority mark what is
    urgent. Raises TooManyAttachmentsError.
    """
    if len(message.attachments) > ATTACHMENTS_MAX:
        raise TooManyAttachmentsError(f"expected at most {ATTACHMENTS_MAX} attachments")
    text = clean_text(message.text)
    mail = EmailMessage(policy=_POLICY)
    mail["Date"] = format_datetime(now)
    mail["From"] = sender
    mail["To"] = recipient
    mail["Subject"] = subject_line(message.subject, text)
    mail["Message-ID"] = f"<{envelope_id(message.reference)}@{domain_of(sender)}>"
    mail["Auto-Submitted"] = "auto-generated"
    if message.urgent:
        mail["Importance"] = "high"
        mail["Priority"] = "urgent"
        mail["X-Priority"] = "1"
    mail.set_content(text, charset="utf-8")
    if _LANGUAGE.fullmatch(message.language):
        mail["Content-Language"] = message.language  # set_content would have removed it
    for attachment in message.attachments:
        _attach(mail, attachment)
    return mail.as_bytes()


def subject_line(subject: str, text: str) -> str:
    """The subject, or else the first line of the text that has words: one line, at most SUBJECT_MAX characters."""
    line = _header_words(subject) or next(filter(None, map(_header_words, text.split("\n", 50)[:50])), "")
    return line if len(line) <= SUBJECT_MAX else line[: SUBJECT_MAX - 1].rstrip() + "…"


def clean_text(text: str) -> str:
    """The text with line feeds only and at its end, no control characters (RFC 5322 2.3), no lone surrogates."""
    unified = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode("utf-8")
    kept = "".join(c for c in unified if c in "\n\t" or unicodedata.category(c) != "Cc")
    return kept if kept.endswith("\n") else kept + "\n"


def encoded_words(line: str) -> str:
    """One line of text as a header carries it: plain if ASCII, else encoded words in UTF-8 (RFC 2047), folded."""
    if line.isascii() and "=?" not in line:
        return line
    words, octets = [], b""
    for character in line:
        encoded = character.encode("utf-8")
        if len(octets) + len(encoded) > ENCODED_WORD_OCTETS:
            words.append(octets)
            octets = b""
        octets += encoded
    words.append(octets)
    return "\r\n ".join(f"=?utf-8?b?{b64encode(word).decode('ascii')}?=" for word in words)


def _header_words(raw: str) -> str:
    """One line that a header can carry: no line ends, no control characters, no lone surrogates, single blanks."""
    valid = raw[: 20 * SUBJECT_MAX].encode("utf-8", "replace").decode("utf-8")
    visible = "".join(c for c in valid if c.isspace() or unicodedata.category(c) != "Cc")
    return " ".join(visible.split())


def _attach(mail: EmailMessage, attachment: Attachment) -> None:
    match = _CONTENT_TYPE.fullmatch(attachment.content_type.strip().lower())
    main, sub = (match[1], match[2]) if match and match[1] not in _COMPOSITE_TYPES else ("application", "octet-stream")
    name = _UNSAFE_IN_NAME.sub("_", _header_words(attachment.name))[-FILE_NAME_MAX:].strip(" .") or "attachment"
    mail.add_attachment(attachment.content, maintype=main, subtype=sub, filename=name)
