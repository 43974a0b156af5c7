"""Reads bounces that are no report by RFC 3464: plain text as qmail, Exim, sendmail and others write it. Pure, in tables.

What stands behind the returned message's beginning, or is quoted, is our own text or somebody's, and says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from channels.outcome import ReceiptFailed, ReceiptIntermediate, ReceiptResult

HEAD_MAX = 8_000
"""Characters of the text that are judged: what a server says about a failure comes first."""

AUTO_REPLY, UNREAD, DELAYED, FAILED = "auto_reply", "unread_report", "delayed", "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainBounce:
    """What a plain text to the bounce address says of the mail: `code` is an enhanced status (RFC 3463) or one of the above."""

    result: ReceiptResult
    code: str
    recipient: str = ""
    words: str = ""


_COPY_BEGINS = re.compile(
    r"^[ \t>]*+[-_=*]{2,}+.{0,60}\b(?:below this line|(?:copy of|original|returned|undelivered) .{0,30}message|message headers?)\b",
    re.I | re.M,
)
"""Where servers begin to return the message: after this line nothing is theirs."""
_QUOTED = re.compile(r"^[ \t]*>.*$", re.M)
_STATUS = re.compile(r"(?<![\d.])5\.\d{1,3}\.\d{1,3}(?![\d.])")
_REPLY = re.compile(r"(?<![\d.])5[05]\d[ -](?=#?5\.\d|\D)")
_LONE_ADDRESS = re.compile(r"^[ \t]*<?([^\s<>@,;:()\"]{1,64}@[^\s<>@,;:()\"]{1,255}?)>?[ \t]*:?[ \t]*(?:\(.*)?$", re.M)
_ANY_ADDRESS = re.compile(r"[^\s<>@,;:()\"]{1,64}@[^\s<>@,;:()\"]{1,255}")
_DAEMON = re.compile(r"mailer[-_.]?daemon|postmaster|mail delivery (?:sub)?system|mail administrator", re.I)

_AUTO_SUBJECT = re.compile(
    r"(?:auto(?:matic|mated)?[ -]?(?:re(?:ply|sponse|sponder)|antwort)|out[ -]of[ -](?:the[ -])?office|abwesen|"
    r"automatische antwort|r[ée]ponse automatique|absence|respuesta autom|risposta automatica|vacation|ooo\b)",
    re.I,
)
_CERTAIN = re.compile(
    r"this is a permanent error|i've given up|had permanent fatal errors|(?:failed|error|fail\w{0,10}) permanently|"
    r"permanent(?:ly)? (?:fail|error|deliver)|could not be delivered to one or more|all recipients? ha(?:s|ve) been refused",
    re.I,
)
"""Said of a failure for good alone, whatever else the text says of other recipients."""
_WAITING = re.compile(
    r"(?:^|\b)warning: (?:message|could not send|your (?:mail|message))|\bdelay(?:ed)?\b.{0,80}\b(?:mail|message|deliver)|"
    r"\b(?:mail|message|delivery)\b.{0,80}\b(?:been |is |was )?delayed\b|still being retried|status notification \(delay\)|"
    r"will (?:keep (?:on )?trying|be retried|continue to (?:try|be))|transient non-fatal|not yet been delivered|"
    r"still undelivered|this is a warning message only|no action is required|verz(?:ö|oe)ger|retard[ée]|retraso|in ritardo",
    re.I | re.S,
)
_FAILING_SUBJECT = re.compile(
    r"(?:undeliver(?:ed|able)|failure notice|mail delivery fail|delivery (?:has )?fail|delivery status notification \(failure|"
    r"returned mail|returning message|mail system error|message (?:could not|was not|undeliver)|non[ -]?deliver|"
    r"message status - undeliver|"
    r"unzustellbar|nicht zustellbar|non remis|[ée]chec de (?:la )?(?:remise|distribution)|no se (?:puede|pudo) entregar|"
    r"no entregado|mancato recapito|impossibile recapitare|n[ãa]o (?:foi )?entregue|onbestelbaar|niet bezorgd)",
    re.I,
)
_FAILING = re.compile(
    r"\bhi\. this is the\b|was(?:n't| not) able to deliver|could(?:n't| not| n[o']t) be delivered|unable to deliver|"
    r"did not reach|has failed to (?:these|the following)|(?:user|recipient|mailbox|address) (?:is )?(?:unknown|not found|rejected)|"
    r"(?:no such|unknown) (?:user|recipient|mailbox|address)|undeliverable|delivery (?:has )?failed|konnte nicht zugestellt|"
    r"n'a pas pu [êe]tre (?:remis|distribu)|no (?:se )?pudo (?:ser )?entrega|non [èe] stato possibile recapitare",
    re.I,
)


def read_plain(field: Callable[[str], str], text: str) -> PlainBounce:
    """What a mail without a sender says, from its header fields (by name, "" where missing) and its text. Never raises.

    A failure is one that the server says is one. A warning that it is still trying, and an answer by a machine (RFC 3834), are
    none; what is not understood is said to be so.
    """
    subject = field("Subject")
    head = _head(text)
    failed_recipients = field("X-Failed-Recipients")
    status = _STATUS.search(head)
    named = (failed_recipients.split(",")[0].strip(), *_LONE_ADDRESS.findall(head), *_ANY_ADDRESS.findall(head))
    recipient = next(filter(None, named), "")[:320]
    words = " ".join(f"{subject}: {head}".split())
    failed = PlainBounce(result=ReceiptFailed(), code=status[0] if status else FAILED, recipient=recipient, words=words)
    if _is_auto_reply(field, subject):
        return PlainBounce(result=ReceiptIntermediate(), code=AUTO_REPLY, words=words)
    if failed_recipients or _CERTAIN.search(head):
        return failed
    fails_by_subject = _FAILING_SUBJECT.match(subject) is not None and not _WAITING.search(subject)
    if not fails_by_subject and _WAITING.search(f"{subject}\n{head}"):
        return PlainBounce(result=ReceiptIntermediate(), code=DELAYED, recipient=recipient, words=words)
    from_daemon = _DAEMON.search(field("From")) is not None
    if fails_by_subject or (from_daemon and (status or _REPLY.search(head) or _FAILING.search(head))):
        return failed
    if head.lstrip().lower().startswith("hi. this is the"):  # QSBMF, the qmail-send bounce message format
        return failed
    automatic = field("Auto-Submitted").lower().startswith("auto-replied")
    return PlainBounce(result=ReceiptIntermediate(), code=AUTO_REPLY if automatic else UNREAD, words=words)


def _is_auto_reply(field: Callable[[str], str], subject: str) -> bool:
    marked = field("X-Autoreply") or field("X-Autorespond") or field("Precedence").lower() == "auto_reply"
    return bool(marked) or _AUTO_SUBJECT.match(subject) is not None


def _head(text: str) -> str:
    """What the server says itself."""
    head = text[:HEAD_MAX]
    copy = _COPY_BEGINS.search(head)
    return _QUOTED.sub("", head[: copy.start()] if copy else head)
