"""What an SMPP session tells its owner, as frozen values. Nothing is decided here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from channels.sms.smpp.pdu import Bind, BindMode, DataSm, DeliverSm, SubmitSm


class CloseCause(Enum):
    """Why a session ended."""

    UNBOUND = "unbound"
    """We unbound and the peer agreed, or had its time to."""
    UNBOUND_BY_PEER = "unbound_by_peer"
    BIND_REFUSED = "bind_refused"
    BIND_UNANSWERED = "bind_unanswered"
    """No bind, or no answer to ours, came in time."""
    ENQUIRY_UNANSWERED = "enquiry_unanswered"
    """The peer said nothing in the time it had for enquire_link_resp."""
    WORK_UNANSWERED = "work_unanswered"
    """The peer is there, and answers no message of ours."""
    OUT_OF_STEP = "out_of_step"
    """A PDU of impossible length, or a generic_nack without a sequence number: the stream can no longer be followed."""
    EOF = "eof"
    """The peer or the network closed the connection."""
    GIVEN_UP = "given_up"
    """Our own side dropped the connection without ceremony."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """The SMSC took our bind; `system_id` is its own name."""

    mode: BindMode
    system_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BindRefused:
    """The SMSC refused our bind with this command_status. `Closed` follows."""

    status: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BindRequested:
    """An ESME asks to bind; the owner answers with `respond(request.sequence, status, name)`."""

    request: Bind


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageReceived:
    """A message or receipt came in; answered by `respond(request.sequence, status, name)` once it is safe."""

    request: SubmitSm | DeliverSm | DataSm


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """The peer answered our message. `nacked`: by a generic_nack, so that it understood nothing of it. `late`: `Unanswered` was told
    of it before."""

    sequence: int
    status: int
    message_id: str
    nacked: bool = False
    late: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Unanswered:
    """Our message will get no answer. `maybe_sent` is False only if its bytes certainly never left the session."""

    sequence: int
    timed_out: bool
    maybe_sent: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class OutbindReceived:
    """The SMSC asks to be bound to as a receiver (section 2.2.1)."""

    system_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerLeaving:
    """The peer said unbind: no more messages are taken. `Closed` follows once those under way are answered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed:
    """The session is over; every unanswered message was handed back before. The last event of all."""

    cause: CloseCause
    detail: str = ""


Event = (
    Bound
    | BindRefused
    | BindRequested
    | MessageReceived
    | Answered
    | Unanswered
    | OutbindReceived
    | PeerLeaving
    | Closed
)
