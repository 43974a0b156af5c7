"""Reads returned mail, pure: delivery reports (RFC 3464, 6533) and plain bounces into receipts, the rest into inbound messages.

Nothing here opens a socket, and nothing raises for what a mail contains.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, message_from_string
from email.header import decode_header
from email.message import Message as Mail
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime
from html import unescape
from itertools import islice

from channels.email.bounce import read_plain
from channels.email.envelope import tag_of, xtext_decoded
from channels.outcome import (
    Inbound,
    Receipt,
    ReceiptDelivered,
    ReceiptEnded,
    ReceiptFailed,
    ReceiptIntermediate,
    ReceiptResult,
    Report,
    Spelling,
)
from channels.printable import TEXT_MAX as DETAIL_MAX
from channels.printable import printable

READ_BYTES_MAX = 256 * 1024
"""As much of a mail as is read: the status part comes before the returned message (RFC 3462 2), which may be large."""
LINES_MAX = 4_000
"""As many lines of it: what a server says comes first, and takes a hundred."""
NESTING_MAX = 32
"""Composite types a mail may name: the standard parser's work grows with nesting times lines; reports need three."""
LOOKS_MAX = 24_000
"""Nesting times lines: each line is compared with the boundary of every multipart that it may be in."""
FIELD_BYTES_MAX = 1_000
"""Of a field that says how a part is made (RFC 2045): the standard parser takes time with the square of its parameters."""
PARTS_MAX = 100
"""Body parts looked at; a report has three."""
RECIPIENTS_MAX = 50
"""Per-recipient blocks read from one report: we send to one recipient, an alias may expand it."""
TEXT_MAX = 10_000
"""Characters of an inbound text that are kept."""

# The standard parser reads what is inside a message part as a message, and that of a status part as one header after another,
# whatever its transfer encoding (RFC 6533 allows base64 there). As texts they are decoded first, and read here.
_STATUS_TYPE = re.compile(
    rb"(?im)^(content-type:[ \t]*(?:\r?\n[ \t]+)?)(?:message|text|application)/(?:x-|global-)*delivery-status"
)
_RETURNED_TYPE = re.compile(
    rb"(?im)^(content-type:[ \t]*(?:\r?\n[ \t]+)?)(?:message|text)/(?:global-headers|rfc822-headers?|global|rfc822)(?![\w-])"
)
_STATUS_PART, _RETURNED_PART = "text/x-delivery-status", "text/x-returned"
_STATUS_FIELDS = (
    re.compile(r"^(?:Original|Final|X-Actual)-Recipient[ \t]*:", re.I | re.M),
    re.compile(r"^(?:Action|Status)[ \t]*:", re.I | re.M),
)
_MADE = re.compile(
    rb"(?im)^(content-(?:type|disposition|transfer-encoding)[^\n]{%d})[^\n]*+(?:\n[ \t][^\n]*+)*+" % FIELD_BYTES_MAX
)
_MADE_FOLDED = re.compile(
    rb"(?im)^(content-(?:type|disposition|transfer-encoding)[^\n]*(?:\n[ \t][^\n]*){,8})(?:\n[ \t][^\n]*+)*+"
)
"""A field on more lines than anybody folds it."""
_READABLE = ("text/plain", "text/html")
_TAG = re.compile(r"<[^<>]{0,2000}>")
_RELAYED_WORD = re.compile(r"\brelayed\b", re.I)
_COMPOSITE = re.compile(rb"(?:multipart|message)/", re.I)
_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})")
_ADDRESS = re.compile(r"[^\s<>@,;:()\"]{1,64}@[^\s<>@,;:()\"]{1,255}")
_MESSAGE_ID = re.compile(r"<([^<>@\s]{1,200})@[^<>@\s]{1,255}>")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipientReport:
    """The per-recipient fields of a report (RFC 3464 2.3), as written; "" where missing. `action` is in lower case."""

    action: str
    status: str = ""
    recipient: str = ""
    diagnostic: str = ""
    last_attempt_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryReport:
    """A delivery status notification: whose message it speaks of, and how each recipient fared."""

    envelope_id: str
    """Original-Envelope-Id (RFC 3464 2.2.1); "" where missing."""
    message_id: str
    """Left side of the Message-ID in the returned headers; "" where missing."""
    text: str
    """The part for people."""
    recipients: tuple[RecipientReport, ...]


# RFC 3464 2.3.3. `relayed`: handed to a server that gives none; `expanded`: to a list; no more comes.
_RESULTS: dict[str, ReceiptResult] = {
    "delivered": ReceiptDelivered(),
    "failed": ReceiptFailed(),
    "delayed": ReceiptIntermediate(),
    "relayed": ReceiptEnded(),
    "expanded": ReceiptEnded(),
}
# What servers write for these; the standard has just the five.
_ACTIONS = {
    **{action: action for action in _RESULTS},
    **dict.fromkeys(
        ("failure", "fail", "fails", "undeliverable", "undelivered", "bounced", "rejected", "error"), "failed"
    ),
    **dict.fromkeys(("delay", "deferred", "warning"), "delayed"),
    **dict.fromkeys(("relay", "forwarded"), "relayed"),
}
_ACTION_OF_CLASS = {"5": "failed", "4": "delayed"}
"""What a status without a known action says (RFC 3463 2); success without one proves nothing."""


def read_mail(content: bytes, *, sender: str, recipients: Sequence[str], bounce_address: str) -> tuple[Report, ...]:
    """What one mail to the bounce address says: receipts, or else one Inbound; empty if not addressed to it.

    `sender` and `recipients` are those of the envelope. The candidates for a receipt's id are, best first, the
    envelope id as given and decoded, the tag of the recipient address, and the returned Message-ID. A mail without a
    sender that names a message of ours and is no report is judged by its words; if they do not say that it failed, or is
    delayed, it is an Inbound and a receipt that decides nothing. Never raises, whatever the octets.
    """
    tags = [tag for r in recipients if (tag := tag_of(r, bounce_address)) is not None]
    if not tags:
        return ()
    bounced = sender in ("", "<>")
    source = "" if bounced else printable(sender)
    destination = printable(recipients[0])
    head = _beginning(content)
    if head is not None:
        with contextlib.suppress(
            Exception
        ):  # the library promises little about damaged mail; some of it recurses too deep
            mail = message_from_bytes(_as_texts(head))
            named = [tag for tag in tags if tag]
            report = parse_report(mail)
            receipts = () if report is None else _receipts(report, named)
            if receipts:
                return receipts
            return _plain(mail, named, source, destination) if bounced else (_inbound(mail, source, destination),)
    return (Inbound(source=source, destination=destination, text=""),)


def _beginning(content: bytes) -> bytes | None:
    """As much of a mail as is read, so that reading takes some tens of milliseconds whatever is in it; None where nothing is."""
    head = content[:READ_BYTES_MAX].replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # the standard parser's ends of lines
    nesting = len(_COMPOSITE.findall(head))
    if nesting > NESTING_MAX:
        return None
    lines_max = min(LINES_MAX, LOOKS_MAX // (nesting + 1))
    head = b"\n".join(head.split(b"\n", lines_max)[:lines_max])
    return _MADE.sub(rb"\1", _MADE_FOLDED.sub(rb"\1", head))


def parse_report(mail: Mail) -> DeliveryReport | None:
    """The delivery report in a mail; None if it is none. A returned original is never mistaken for one."""
    status = text = ""
    message_id = ""
    is_report = mail.get_content_type() == "multipart/report"
    for part in _parts(mail):
        kind = part.get_content_type()
        if kind == _RETURNED_PART:
            message_id = message_id or _returned_message_id(part)
        elif kind == _STATUS_PART or (is_report and kind.startswith("text/") and _has_status_fields(part)):
            status = status or _text(part)
        elif kind in _READABLE:
            text = text or _readable(part)
    # some put a blank line too many, or none between the fields of the message and those of the recipient
    written = (block for block in re.split(r"\n[ \t]*\n", status) if block.strip())
    blocks = [message_from_string(block.strip("\n")) for block in islice(written, RECIPIENTS_MAX + 1)]
    if not blocks:
        return None
    per_recipient = (_recipient(block) for block in blocks)
    return DeliveryReport(
        envelope_id=_field(blocks[0], "Original-Envelope-Id"),
        message_id=message_id,
        text=text,
        recipients=tuple(recipient for recipient in per_recipient if recipient is not None),
    )


def _as_texts(octets: bytes) -> bytes:
    """The mail with its status and returned parts declared as texts."""
    texts = _STATUS_TYPE.sub(rb"\g<1>" + _STATUS_PART.encode(), octets)
    return _RETURNED_TYPE.sub(rb"\g<1>" + _RETURNED_PART.encode(), texts)


def _has_status_fields(part: Mail) -> bool:
    text = _text(part)
    return all(fields.search(text) for fields in _STATUS_FIELDS)


def _plain(mail: Mail, tags: list[str], source: str, destination: str) -> tuple[Report, ...]:
    """A mail without a sender that is no report: what its words say of a message of ours, if it names one."""
    inbound = _inbound(mail, source, destination)
    text = _words_of(mail)
    named = (_returned_message_id(part) for part in _parts(mail) if part.get_content_type() == _RETURNED_PART)
    quoted = re.search(r"^[ \t>]*Message-ID:[ \t]*<([^<>@\s]{1,200})@", text, re.I | re.M)
    ids = dict.fromkeys(filter(None, (*tags, *named, quoted[1] if quoted else "")))
    if not ids:
        return (inbound,)
    read = read_plain(lambda name: _words(_field(mail, name)), text)
    receipt = Receipt(
        provider_message_ids=tuple(ids),
        result=read.result,
        code=read.code,
        detail=printable(read.words),
        address=read.recipient,
        raw=printable(read.words),
        spelling=Spelling.CASE,
    )
    return (receipt,) if isinstance(read.result, ReceiptFailed) else (receipt, inbound)


def _receipts(report: DeliveryReport, tags: list[str]) -> tuple[Receipt, ...]:
    found = (report.envelope_id, xtext_decoded(report.envelope_id), *tags, report.message_id)
    candidates = tuple(dict.fromkeys(candidate for candidate in found if candidate))
    if not candidates:
        return ()
    relayed = _RELAYED_WORD.search(report.text) is not None
    receipts = [_receipt(recipient, candidates, relayed=relayed) for recipient in report.recipients]
    # An alias may expand one recipient into several: proof of a delivery comes before somebody else's failure.
    return tuple(sorted(receipts, key=lambda receipt: not isinstance(receipt.result, ReceiptDelivered)))


def _receipt(recipient: RecipientReport, candidates: tuple[str, ...], *, relayed: bool) -> Receipt:
    action = recipient.action
    if action == "delivered" and (relayed or _RELAYED_WORD.search(recipient.diagnostic)):
        action = "relayed"  # Exim says `delivered` of what it only passed on, and in words what it did
    words = (f"{name}: {value}" for name, value in _evidence(recipient) if value)
    return Receipt(
        provider_message_ids=candidates,
        result=_RESULTS[action],
        code=(recipient.status or "failed") if action == "failed" else action,
        detail=printable(f"{recipient.status} {recipient.diagnostic}"),
        address=recipient.recipient,
        raw="; ".join(words)[:DETAIL_MAX],
        spelling=Spelling.CASE,
        at=recipient.last_attempt_at,
    )


def _evidence(recipient: RecipientReport) -> Iterator[tuple[str, str]]:
    yield "Recipient", recipient.recipient
    yield "Action", recipient.action
    yield "Status", recipient.status
    yield "Diagnostic-Code", recipient.diagnostic


def _recipient(block: Mail) -> RecipientReport | None:
    status = _STATUS.search(_field(block, "Status"))
    action = _action(_field(block, "Action"), status[1] if status else "")
    if not action:
        return None
    address = _field(block, "Original-Recipient") or _field(block, "Final-Recipient")
    return RecipientReport(
        action=action,
        status=status[0] if status else "",
        recipient=xtext_decoded(address.rpartition(";")[2].strip(" <>"))[:320],
        diagnostic=_field(block, "Diagnostic-Code"),
        last_attempt_at=_time(_field(block, "Last-Attempt-Date")),
    )


def _action(written: str, status_class: str) -> str:
    """One of the five actions (RFC 3464 2.3.3; some add a comment, some use another word), else what the status says, else "".
    A delivery whose own status denies it is still under way for all that is known."""
    word = re.match(r"[a-z]*", written.strip().lower())
    action = _ACTIONS.get(word[0] if word else "", "") or _ACTION_OF_CLASS.get(status_class, "")
    return "delayed" if action == "delivered" and status_class in _ACTION_OF_CLASS else action


def _time(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text)
        return None if parsed.tzinfo is None else parsed.astimezone(UTC)
    except Exception:  # TypeError, ValueError, OverflowError, IndexError: the library does not say which
        return None


def _parts(mail: Mail) -> Iterator[Mail]:
    """The leaves of the mail in order, at most PARTS_MAX; what is inside a returned message is not looked into."""
    stack, seen = [mail], 0
    while stack and seen < PARTS_MAX:
        part, seen = stack.pop(), seen + 1
        payload = part.get_payload() if part.get_content_maintype() == "multipart" else None
        if isinstance(payload, list):
            stack.extend(reversed([child for child in payload[:PARTS_MAX] if isinstance(child, Mail)]))
        else:
            yield part


def _returned_message_id(part: Mail) -> str:
    returned = BytesHeaderParser().parsebytes(_octets(part).lstrip(b"\r\n"))
    match = _MESSAGE_ID.search(_field(returned, "Message-ID"))
    return match[1] if match else ""


def _inbound(mail: Mail, source: str, destination: str) -> Inbound:
    named = _ADDRESS.search(_field(mail, "From"))  # not the library's parseaddr: that recurses
    text = _words_of(mail)
    subject = _words(_field(mail, "Subject"))
    match = _MESSAGE_ID.search(_field(mail, "Message-ID"))
    return Inbound(
        source=source or (named[0] if named else ""),
        destination=destination,
        text=(f"{subject}\n{text}" if subject else text)[:TEXT_MAX],
        provider_message_id=printable(match[0].strip("<>"), 200) if match else "",
    )


def _field(mail: Mail, name: str) -> str:
    """A header as one printable line; "" if it is missing or beyond reading."""
    try:
        return printable(str(mail.get(name, "")))
    except Exception:  # header objects of damaged mails raise a zoo of types
        return ""


def _words(raw: str) -> str:
    """RFC 2047 words decoded; as they stand where that fails."""
    try:
        pieces = [
            piece.decode(charset or "latin-1", "replace") if isinstance(piece, bytes) else piece
            for piece, charset in decode_header(raw)
        ]
    except Exception:  # HeaderParseError, binascii.Error, LookupError, ValueError
        return raw
    return printable("".join(pieces))


def _octets(part: Mail) -> bytes:
    try:
        payload = part.get_payload(decode=True)
    except Exception:  # damaged transfer encodings and charsets
        return b""
    return payload if isinstance(payload, bytes) else b""


def _words_of(mail: Mail) -> str:
    """What a person would read of the mail: its first plain text, else its first page."""
    parts = [part for part in _parts(mail) if part.get_content_type() in _READABLE]
    plain = [part for part in parts if part.get_content_type() == "text/plain"]
    return next((_readable(part) for part in (*plain, *parts)), "")


def _readable(part: Mail) -> str:
    """The text of a part; that of a page is without its tags."""
    text = _text(part)
    return unescape(_TAG.sub("\n", text)) if part.get_content_type() == "text/html" else text


def _text(part: Mail) -> str:
    octets = _octets(part)[: 4 * TEXT_MAX]
    try:
        text = octets.decode(part.get_content_charset("utf-8"), "replace")
    except Exception:  # an unknown or unusable charset; RFC 2231 parameters can raise too
        text = octets.decode("utf-8", "replace")
    unified = text.replace("\r\n", "\n").replace("\0", "")
    return unified.encode("utf-8", "replace").decode("utf-8")[:TEXT_MAX]
