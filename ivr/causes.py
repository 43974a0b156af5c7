"""What a call that was not answered means, by SIP status and Q.850 cause: one table, total over both. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ivr.sip.events import Lost, Refusal

RETRY_AFTER_MAX_S = 600.0
"""No Retry-After keeps an alarm longer than this."""


class Kind(StrEnum):
    """What follows for the delivery."""

    LATER = "later"
    """This phone could not take the call now: the same phone again, after a while."""
    NEVER = "never"
    """Their side refuses calls, or there is no such phone: no other trunk will do better, another channel may."""
    NUMBER = "number"
    """This trunk knows no such number; another one may."""
    TRUNK = "trunk"
    """The trunk cannot now: another one, and this one later."""
    BROKEN = "broken"
    """The trunk refuses us, or does not understand us: another one, and an operator has to look."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row: a stable code, what follows, and after how long the same phone is worth another call."""

    code: str
    kind: Kind
    retry_after_s: float | None = None


BUSY = Verdict("busy", Kind.LATER, 60.0)
NO_ANSWER = Verdict("no_answer", Kind.LATER, 60.0)
UNREACHABLE = Verdict("unreachable", Kind.LATER, 120.0)
REJECTED = Verdict("call_rejected", Kind.NEVER)
UNWANTED = Verdict("unwanted", Kind.NEVER)
BLOCKED = Verdict("blocked", Kind.NEVER)
UNKNOWN_NUMBER = Verdict("unknown_number", Kind.NUMBER)
NUMBER_CHANGED = Verdict("number_changed", Kind.NEVER)
NOWHERE = Verdict("no_such_number", Kind.NEVER)
INCOMPLETE = Verdict("incomplete_number", Kind.NUMBER)
REDIRECTED = Verdict("redirected", Kind.NUMBER)
CONGESTED = Verdict("congested", Kind.TRUNK)
TRUNK_ERROR = Verdict("trunk_error", Kind.TRUNK)
TRUNK_DOWN = Verdict("trunk_down", Kind.TRUNK)
LOOP = Verdict("routing_loop", Kind.BROKEN)
FORBIDDEN = Verdict("forbidden", Kind.BROKEN)
WRONG_PASSWORD = Verdict("authentication_failed", Kind.BROKEN)
NOT_UNDERSTOOD = Verdict("not_understood", Kind.BROKEN)
NO_MEDIA = Verdict("no_common_codec", Kind.BROKEN)
NO_ROUTE = Verdict("no_route", Kind.BROKEN)
NOT_SUBSCRIBED = Verdict("not_subscribed", Kind.BROKEN)

_CLASSES = {3: REDIRECTED, 4: NOT_UNDERSTOOD, 5: TRUNK_ERROR, 6: REJECTED}
"""A status without a row is treated as the x00 of its class (RFC 3261, 8.1.3.2)."""

STATUSES: dict[int, Verdict] = {
    401: WRONG_PASSWORD, 402: FORBIDDEN, 403: FORBIDDEN, 404: UNKNOWN_NUMBER, 407: WRONG_PASSWORD, 408: UNREACHABLE,
    410: NUMBER_CHANGED, 413: NOT_UNDERSTOOD, 414: UNKNOWN_NUMBER, 416: UNKNOWN_NUMBER, 430: UNREACHABLE,
    433: BLOCKED, 480: UNREACHABLE, 481: TRUNK_ERROR, 482: LOOP, 483: LOOP, 484: INCOMPLETE, 485: UNKNOWN_NUMBER,
    486: BUSY, 487: NO_ANSWER, 488: NO_MEDIA, 491: TRUNK_ERROR, 500: TRUNK_ERROR, 502: TRUNK_ERROR, 503: CONGESTED,
    504: TRUNK_ERROR, 580: TRUNK_ERROR, 600: BUSY, 603: REJECTED, 604: NOWHERE, 606: NO_MEDIA, 607: UNWANTED,
    608: BLOCKED,
}  # fmt: skip

CAUSES: dict[int, Verdict] = {
    1: UNKNOWN_NUMBER, 2: NO_ROUTE, 3: NO_ROUTE, 4: UNKNOWN_NUMBER, 5: UNKNOWN_NUMBER, 17: BUSY, 18: NO_ANSWER,
    19: NO_ANSWER, 20: UNREACHABLE, 21: REJECTED, 22: NUMBER_CHANGED, 23: REDIRECTED, 25: LOOP, 27: UNREACHABLE,
    28: INCOMPLETE, 29: NOT_SUBSCRIBED, 34: CONGESTED, 38: TRUNK_ERROR, 41: CONGESTED, 42: CONGESTED, 43: TRUNK_ERROR,
    44: CONGESTED, 46: CONGESTED, 47: CONGESTED, 49: CONGESTED, 50: NOT_SUBSCRIBED, 52: FORBIDDEN, 53: FORBIDDEN,
    54: BLOCKED, 55: BLOCKED, 57: FORBIDDEN, 58: CONGESTED, 62: FORBIDDEN, 63: CONGESTED, 65: NO_MEDIA,
    66: NO_MEDIA, 69: NOT_UNDERSTOOD, 70: NO_MEDIA, 79: NOT_UNDERSTOOD, 87: BLOCKED, 88: NO_MEDIA, 91: NO_ROUTE,
    95: NOT_UNDERSTOOD, 96: NOT_UNDERSTOOD, 97: NOT_UNDERSTOOD, 98: NOT_UNDERSTOOD, 99: NOT_UNDERSTOOD,
    100: NOT_UNDERSTOOD, 101: NOT_UNDERSTOOD, 102: TRUNK_ERROR, 103: NOT_UNDERSTOOD, 110: NOT_UNDERSTOOD,
    111: NOT_UNDERSTOOD,
}  # fmt: skip
"""What a Q.850 cause says where it says more than the status; 16 (normal clearing), 31 and 127 (unspecified) say nothing."""

LOSSES: dict[Lost, Verdict] = {
    Lost.NO_RESPONSE: TRUNK_DOWN,
    Lost.TRANSPORT_FAILED: TRUNK_DOWN,
    Lost.STALLED: TRUNK_ERROR,
    Lost.RING_TIME_OVER: NO_ANSWER,
    Lost.STOPPED: Verdict("cancelled", Kind.LATER),
    Lost.MEDIA_REFUSED: NO_MEDIA,
}

TELLING = frozenset({404, 480, 486, 487, 500, 502, 503, 504, 600, 603})
"""Statuses into which gateways fold many causes: there a cause is more precise. Others stand for themselves."""


def verdict(refusal: Refusal) -> Verdict:
    """What the refusal means. Total: every status from 300 to 699, every cause, every way to be lost."""
    if refusal.lost is not None:
        return LOSSES[refusal.lost]
    status = refusal.status or 0
    row = STATUSES.get(status) or _CLASSES.get(status // 100, NOT_UNDERSTOOD)
    if status in TELLING or status not in STATUSES:
        for reason in refusal.reasons:
            if reason.protocol.upper() == "Q.850" and reason.cause in CAUSES:
                row = CAUSES[reason.cause]
                break
    if refusal.retry_after_s is None:
        return row
    asked = min(refusal.retry_after_s, RETRY_AFTER_MAX_S)
    return Verdict(row.code, row.kind, max(asked, row.retry_after_s or 0.0))
