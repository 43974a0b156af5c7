"""What the user agent tells about its calls, in the past tense, and why a call did not come about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ivr.sip.headers import Headers, Reason, parse_reason

if TYPE_CHECKING:
    from ivr.sip.incoming import IncomingCall
    from ivr.sip.outgoing import OutgoingCall


class Lost(StrEnum):
    """Why there is no final answer with a status."""

    NO_RESPONSE = "no_response"
    """Nobody answered the request in time (timers B and F, RFC 3261 17.1)."""
    TRANSPORT_FAILED = "transport_failed"
    """The request could not be sent, or its connection broke."""
    STALLED = "stalled"
    """It was only told that it is tried (100): the phone never rang, as far as anybody said."""
    RING_TIME_OVER = "ring_time_over"
    """It rang as long as we let it ring."""
    STOPPED = "stopped"
    """We took the call back before it was answered."""
    MEDIA_REFUSED = "media_refused"
    """The answer agreed to no audio that we can send."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why a call was not answered: a final `status` of the other side, or what was `lost`. `reasons` are its Reason headers
    (RFC 3326); `retry_after_s` what it asked to wait."""

    status: int | None = None
    lost: Lost | None = None
    phrase: str = ""
    reasons: tuple[Reason, ...] = ()
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ringing:
    """The far phone is alerted (a provisional answer beyond 100)."""

    call: OutgoingCall
    status: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The call is up, both ways: `call.session` tells what media were agreed."""

    call: OutgoingCall | IncomingCall


@dataclass(frozen=True, slots=True)
class Refused:
    """The outgoing call came to nothing. Told once; nothing follows."""

    call: OutgoingCall
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Offered:
    """Somebody calls us and may: to be answered or refused."""

    call: IncomingCall


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that was up, or was being offered to us, is over. `by_remote`: the other side hung up."""

    call: OutgoingCall | IncomingCall
    by_remote: bool
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class KeySignalled:
    """A key came by SIP INFO."""

    call: OutgoingCall | IncomingCall
    key: str


@dataclass(frozen=True, slots=True)
class MediaChanged:
    """A re-INVITE or UPDATE agreed on other media."""

    call: OutgoingCall | IncomingCall


CallEvent = Ringing | Answered | Refused | Offered | Ended | KeySignalled | MediaChanged


@dataclass(frozen=True, slots=True)
class Notice:
    """Something for the log of whoever looks after the other side: what kind, which host, and what was wrong, in words."""

    kind: str
    peer: str
    what: str


NOTICES = (
    "sip_overloaded",
    "sip_request_refused",
    "sip_message_dropped",
    "sip_read_with_goodwill",
    "sdp_read_with_goodwill",
)
"""Every kind of notice there is."""


@dataclass(slots=True, eq=False)
class Alarm:
    """Something to be done at a time; `cancel` takes it back."""

    at: float
    action: Callable[[float], None] | None = field(repr=False)

    def cancel(self) -> None:
        """Nothing happens at its time any more."""
        self.action = None


REASONS_MAX = 8
"""Reason values looked at in one message; each protocol has one, and there are two protocols in use."""


def reasons_of(headers: Headers) -> tuple[Reason, ...]:
    """The Reason values of a message that can be read (RFC 3326, 2)."""
    found = (parse_reason(value) for value in headers.elements("Reason")[:REASONS_MAX])
    return tuple(reason for reason in found if reason is not None)


def retry_after(headers: Headers) -> float | None:
    """Seconds of a Retry-After header (RFC 3261, 20.33): digits, then perhaps a comment or parameters."""
    value = (headers.get("Retry-After") or "").strip()
    digits = value[: len(value) - len(value.lstrip("0123456789"))]
    return float(digits[:9]) if digits else None
