"""Reads returned mail, pure: delivery reports (RFC 3464) into receipts, anything else into an inbound message.

Nothing here opens a socket, and nothing raises for what a mail contains.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header
from email.message import Message as Mail
from email.utils import parsedate_to_datetime

from channels.email.envelope import tag_of, xtext_decoded
from channels.email.status import DETAIL_MAX, printable
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

READ_BYTES_MAX = 1024 * 1024
"""As much of a mail as is read: the status part comes before the returned message (RFC 3462 2), which may be large."""
NESTING_MAX = 32
"""Composite types a mail may name: the standard parser's work grows with nesting times lines; reports need three."""
PARTS_MAX = 100
"""Body parts looked at; a report has three."""
RECIPIENTS_MAX = 50
"""Per-recipient blocks read from one report: we send to one recipient, an alias may expand it."""
TEXT_MAX = 10_000
"""Characters of an inbound text that are kept."""

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
    recipients: tuple[RecipientReport, ...]


# RFC 3464 2.3.3. `relayed`: handed to a server that gives none; `expanded`: to a list; no more comes.
_RESULTS: dict[str, ReceiptResult] = {
    "delivered": ReceiptDelivered(),
    "failed": ReceiptFailed(),
    "delayed": ReceiptIntermediate(),
    "relayed": ReceiptEnded(),
    "expanded": ReceiptEnded(),
}


def read_mail(content: bytes, *, sender: str, recipients: Sequence[str], bounce_address: str) -> tuple[Report, ...]:
    """What one mail to the bounce address says: receipts, or else one Inbound; empty if not addressed to it.

    `sender` and `recipients` are those of the envelope. The candidates for a receipt's id are, best first, the
    envelope id as given and decoded, the tag of the recipient address, and the returned Message-ID. Never raises,
    whatever the octets.
    """
    tags = [tag for r in recipients if (tag := tag_of(r, bounce_address)) is not None]
    if not tags:
        return ()
    source = "" if sender == "<>" else printable(sender)
    destination = printable(recipients[0])
    head = content[:READ_BYTES_MAX]
    if len(_COMPOSITE.findall(head)) <= NESTING_MAX:
        with contextlib.suppress(
            Exception
        ):  # the library promises little about damaged mail; some of it recurses too deep
            mail = message_from_bytes(head)
            report = parse_report(mail)
            receipts = () if report is None else _receipts(report, [tag for tag in tags if tag])
            return receipts or (_inbound(mail, source, destination),)
    return (Inbound(source=source, destination=destination, text=""),)


def parse_report(mail: Mail) -> DeliveryReport | None:
    """The delivery report in a mail; None if it is none. A returned original is never mistaken for one."""
    status: Mail | None = None
    message_id = ""
    for part in _parts(mail):
        kind = part.get_content_type()
        if kind == "message/delivery-status" and status is None:
            status = part
        elif kind in ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers") and not message_id:
            message_id = _returned_message_id(part)
    blocks = status.get_payload() if status is not None else None
    if not isinstance(blocks, list) or not blocks or not isinstance(blocks[0], Mail):
        return None
    per_recipient = (_recipient(block) for block in blocks[: RECIPIENTS_MAX + 1] if isinstance(block, Mail))
    return DeliveryReport(
        envelope_id=_field(blocks[0], "Original-Envelope-Id"),
        message_id=message_id,
        recipients=tuple(recipient for recipient in per_recipient if recipient is not None),
    )


def _receipts(report: DeliveryReport, tags: list[str]) -> tuple[Receipt, ...]:
    found = (report.envelope_id, xtext_decoded(report.envelope_id), *tags, report.message_id)
    candidates = tuple(dict.fromkeys(candidate for candidate in found if candidate))
    if not candidates:
        return ()
    receipts = [_receipt(recipient, candidates) for recipient in report.recipients]
    # An alias may expand one recipient into several: proof of a delivery comes before somebody else's failure.
    return tuple(sorted(receipts, key=lambda receipt: not isinstance(receipt.result, ReceiptDelivered)))


def _receipt(recipient: RecipientReport, candidates: tuple[str, ...]) -> Receipt:
    failed = recipient.action == "failed"
    words = (f"{name}: {value}" for name, value in _evidence(recipient) if value)
    return Receipt(
        provider_message_ids=candidates,
        result=_RESULTS[recipient.action],
        code=(recipient.status or "failed") if failed else recipient.action,
        detail=printable(f"{recipient.status} {recipient.diagnostic}"),
        address=recipient.recipient,
        raw="; ".join(words)[:DETAIL_MAX],
        at=recipient.last_attempt_at,
    )


def _evidence(recipient: RecipientReport) -> Iterator[tuple[str, str]]:
    yield "Recipient", recipient.recipient
    yield "Action", recipient.action
    yield "Status", recipient.status
    yield "Diagnostic-Code", recipient.diagnostic


def _recipient(block: Mail) -> RecipientReport | None:
    action = _field(block, "Action").split(" ", 1)[0].lower()  # RFC 3464 2.3.3; some add a comment
    if action not in _RESULTS:
        return None
    status = _STATUS.match(_field(block, "Status"))
    address = _field(block, "Original-Recipient") or _field(block, "Final-Recipient")
    return RecipientReport(
        action=action,
        status=status[0] if status else "",
        recipient=xtext_decoded(address.rpartition(";")[2].strip())[:320],
        diagnostic=_field(block, "Diagnostic-Code"),
        last_attempt_at=_time(_field(block, "Last-Attempt-Date")),
    )


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
    payload = part.get_payload()
    if isinstance(payload, list):
        returned = payload[0] if payload and isinstance(payload[0], Mail) else None
    else:
        returned = message_from_bytes(_octets(part).lstrip(b"\r\n"))
    match = _MESSAGE_ID.search(_field(returned, "Message-ID")) if returned is not None else None
    return match[1] if match else ""


def _inbound(mail: Mail, source: str, destination: str) -> Inbound:
    named = _ADDRESS.search(_field(mail, "From"))  # not the library's parseaddr: that recurses
    text = next((_text(part) for part in _parts(mail) if part.get_content_type() == "text/plain"), "")
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


def _text(part: Mail) -> str:
    octets = _octets(part)[: 4 * TEXT_MAX]
    try:
        text = octets.decode(part.get_content_charset("utf-8"), "replace")
    except Exception:  # an unknown or unusable charset; RFC 2231 parameters can raise too
        text = octets.decode("utf-8", "replace")
    unified = text.replace("\r\n", "\n").replace("\0", "")
    return unified.encode("utf-8", "replace").decode("utf-8")[:TEXT_MAX]
