"""What an SMTP reply or a lost link means for an attempt: one table over every code. Pure; it sends nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from channels.outcome import PermanentFailure, Reason, RetryLater
from channels.printable import printable


class Stage(StrEnum):
    """Where in the dialogue something happened. Up to AUTH no message is concerned, up to DATA nothing of it left."""

    CONNECT = "connect"
    HELLO = "hello"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    FINAL = "final"
    """From the first octet of the message to the answer to its final dot (RFC 5321 4.1.1.4)."""


SESSION_STAGES = frozenset({Stage.CONNECT, Stage.HELLO, Stage.TLS, Stage.AUTH})

# RFC 2034 4: the enhanced code opens the text; RFC 3463 2: class.subject.detail of 1, 1..3 and 1..3 digits.
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One reply of a server (RFC 5321 4.2): three digits, and text whose lines are joined by line feeds."""

    code: int
    text: str = ""

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463) such as ``5.1.1``; "" if missing or contradicting the reply."""
        match = _ENHANCED.match(self.text)
        return match[0] if match and match[1] == str(self.code // 100) else ""

    def __str__(self) -> str:
        """One printable line, bounded."""
        return printable(f"{self.code} {self.text}")


# RFC 3463 3, "subject.detail" -> stable code.
_ENHANCED_NAMES = {
    "1.1": "invalid_destination",
    "1.2": "invalid_destination",
    "1.3": "invalid_destination",
    "1.4": "invalid_destination",
    "1.6": "invalid_destination",
    "1.10": "invalid_destination",  # RFC 7505: the domain takes no mail
    "1.7": "sender_refused",
    "1.8": "sender_refused",
    "2.1": "mailbox_disabled",
    "2.2": "mailbox_full",
    "2.3": "message_too_big",
    "3.1": "system_full",
    "3.2": "service_unavailable",
    "3.4": "message_too_big",
    "7.8": "auth_failed",  # RFC 4954 6
    "7.9": "auth_failed",
    "7.11": "auth_failed",
    "7.12": "auth_failed",
}
_SUBJECT_NAMES = {"6": "content_refused", "7": "refused_by_policy"}

# RFC 5321 4.2.3 and 4.3.2, RFC 4954 6: what a bare code means, by the stage it answers.
_AUTH_CODES = frozenset({530, 534, 535, 538})
_BARE_NAMES = {
    (Stage.TLS, 454): "tls_unavailable",  # RFC 3207 4
    (Stage.AUTH, 454): "auth_unavailable",  # RFC 4954 4.7
    (Stage.MAIL, 501): "sender_refused",
    (Stage.MAIL, 550): "sender_refused",
    (Stage.MAIL, 551): "sender_refused",
    (Stage.MAIL, 553): "sender_refused",
    (Stage.MAIL, 452): "system_full",
    (Stage.MAIL, 552): "message_too_big",
    (Stage.RCPT, 450): "mailbox_busy",
    (Stage.RCPT, 452): "mailbox_full",
    (Stage.RCPT, 550): "invalid_destination",
    (Stage.RCPT, 551): "invalid_destination",
    (Stage.RCPT, 552): "mailbox_full",
    (Stage.RCPT, 553): "invalid_destination",
    (Stage.DATA, 452): "system_full",
    (Stage.DATA, 552): "message_too_big",
    (Stage.DATA, 554): "content_refused",
    (Stage.FINAL, 452): "system_full",
    (Stage.FINAL, 550): "content_refused",
    (Stage.FINAL, 552): "message_too_big",
    (Stage.FINAL, 554): "content_refused",
}

_ALARMS = frozenset({"auth_failed", "sender_refused", "refused_by_policy"})
"""Permanent refusals that concern us rather than the recipient: an operator should look."""

# Subject 7 is security (RFC 3463 3.8), and 4.7.0 no more than that. 4.7.28 (Google) and 4.7.500 to 4.7.599 (Microsoft) speak
# of pace in their own registers; everybody else says so in words.
_THROTTLING = re.compile(r"4\.7\.(?:28|5\d\d)")
_PACE_WORDS = re.compile(
    r"rate[ -]?limit|too (?:many (?:messages|connections|mails)|quickly|much mail)|at a rate", re.I
)
_GREYLIST_WORDS = re.compile(r"gr[ea]y[ -]?list", re.I)


def classify(reply: Reply, stage: Stage) -> RetryLater | PermanentFailure:
    """What a reply other than the hoped-for one means for the attempt. Total over all codes and stages.

    4xx is RetryLater and 5xx PermanentFailure (RFC 5321 4.2.1), except before MAIL FROM: there every refusal is about
    the link, so it is RetryLater and `unreachable` (another provider may serve), with `alarm` for 5xx. 421 before
    RCPT is `unreachable` too: the server is leaving, whoever asks. A reply that is neither 4xx nor 5xx is a protocol
    error; after the message has left it makes the attempt `maybe_sent`.
    """
    if reply.code // 100 not in (4, 5):
        return _unexpected(reply, stage)
    code = _name(reply, stage)
    permanent = reply.code >= 500
    reason = Reason(code=code, detail=str(reply), alarm=permanent and (code in _ALARMS or stage in SESSION_STAGES))
    if permanent and stage not in SESSION_STAGES:
        return PermanentFailure(reason=reason)
    throttled = code == "throttled"
    link_down = stage in SESSION_STAGES or (reply.code == 421 and stage is Stage.MAIL)
    return RetryLater(
        reason=reason,
        throttled=throttled,
        unreachable=link_down and not throttled,
        destination=stage is Stage.RCPT and not throttled,  # a mailbox that is full or greylisted; others are not
    )


def lost(stage: Stage, code: str, detail: str, *, alarm: bool = False) -> RetryLater:
    """What a link means that died, or an answer that never came, at `stage`.

    Up to DATA certainly nothing left (`unreachable`); from the first octet of the message on, only the server knows
    (`maybe_sent`; RFC 1047 is about just this gap).
    """
    reason = Reason(code=code, detail=printable(detail), alarm=alarm)
    return RetryLater(reason=reason, maybe_sent=stage is Stage.FINAL, unreachable=stage is not Stage.FINAL)


def blames_session(stage: Stage, reply: Reply | None) -> bool:
    """Whether a refusal, or with no reply the end of the link, may be of this session rather than of this mail: servers bound
    the mails, recipients and errors of one session. On a connection that has carried mail before it is worth one try over a
    fresh one. Never after the message may have been taken.
    """
    if stage in SESSION_STAGES:
        return False
    if reply is None or reply.code // 100 not in (4, 5):
        return stage is not Stage.FINAL
    match stage:
        case Stage.RCPT:  # 452 is too many recipients (RFC 5321 4.5.3.1.10), subject 5 the protocol, 3.2 not now
            return reply.code in (421, 452) or reply.enhanced[1:4] == ".5." or reply.enhanced[1:] == ".3.2"
        case Stage.FINAL:
            return reply.code < 500
        case _:
            return True


def _unexpected(reply: Reply, stage: Stage) -> RetryLater:
    return lost(stage, "smtp_protocol_error", f"unexpected reply to {stage.value}: {reply}")


def _name(reply: Reply, stage: Stage) -> str:
    if reply.code in _AUTH_CODES:
        return "auth_failed"
    if reply.code < 500 and _GREYLIST_WORDS.search(reply.text):
        return "greylisted"
    if reply.code < 500 and _is_about_pace(reply, stage):
        return "throttled"
    _, _, subject_detail = reply.enhanced.partition(".")
    named = _ENHANCED_NAMES.get(subject_detail)
    by_subject = _SUBJECT_NAMES.get(subject_detail.partition(".")[0])
    bare = "service_unavailable" if reply.code == 421 else _BARE_NAMES.get((stage, reply.code))
    # A server that turns everybody away says more by its bare code than by a subject.
    of_service = reply.code < 500 and (reply.code == 421 or stage in SESSION_STAGES)
    by_rank = (named, bare, by_subject) if of_service else (named, by_subject, bare)
    return next(filter(None, by_rank), f"smtp_{reply.code}")


def _is_about_pace(reply: Reply, stage: Stage) -> bool:
    # RFC 4954 6: 454 4.7.0 to AUTH is a failing password store.
    by_status = stage is not Stage.AUTH and _THROTTLING.fullmatch(reply.enhanced) is not None
    return by_status or _PACE_WORDS.search(reply.text) is not None
