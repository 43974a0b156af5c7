"""What each command_status means for a message (SMPP 3.4 section 5.1.3), as a table. Retrying is decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from channels.outcome import PermanentFailure, Reason, RetryLater, SentPart


class Action(StrEnum):
    """What a status asks of us."""

    OK = "ok"
    """Taken."""
    THROTTLED = "throttled"
    """Too fast: the same message again, slower, and everything else on the link with it. Not an attempt."""
    DESTINATION = "destination"
    """Not to this number now, its queue is full say: it waits, the link does not."""
    RETRY = "retry"
    """A fault over there that may pass."""
    AMBIGUOUS = "ambiguous"
    """This message was refused without a cause that we know: a few tries may help, and may not. It says nothing of the link."""
    PERMANENT = "permanent"
    """This SMSC will never take this message."""
    CONFIGURATION = "configuration"
    """As permanent, and the cause is most likely our settings: an operator should look."""
    BIND_STATE = "bind_state"
    """The session is not bound for this: bind anew, the message is unharmed."""
    ALREADY_BOUND = "already_bound"
    """Another session holds the bind: wait for it to end."""
    BIND_REFUSED = "bind_refused"
    """Name or password refused: try rarely, and tell an operator."""
    PROTOCOL = "protocol"
    """The peer could not read what we sent: a fault of ours, or a stream out of step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """One command_status: its code, its name in the specification (``0x00000400`` where it has none), its action."""

    code: int
    name: str
    action: Action


_TABLE: tuple[tuple[Action, dict[int, str]], ...] = (
    (Action.OK, {0x00: "ESME_ROK"}),
    (Action.THROTTLED, {0x58: "ESME_RTHROTTLED"}),
    (Action.DESTINATION, {0x14: "ESME_RMSGQFUL", 0xFE: "ESME_RDELIVERYFAILURE"}),
    (Action.RETRY, {0x08: "ESME_RSYSERR", 0x64: "ESME_RX_T_APPN", 0xFF: "ESME_RUNKNOWNERR"}),
    (Action.AMBIGUOUS, {0x45: "ESME_RSUBMITFAIL"}),
    (
        Action.PERMANENT,
        {
            0x01: "ESME_RINVMSGLEN",
            0x06: "ESME_RINVPRTFLG",
            0x07: "ESME_RINVREGDLVFLG",
            0x0B: "ESME_RINVDSTADR",
            0x0C: "ESME_RINVMSGID",
            0x11: "ESME_RCANCELFAIL",
            0x13: "ESME_RREPLACEFAIL",
            0x33: "ESME_RINVNUMDESTS",
            0x34: "ESME_RINVDLNAME",
            0x40: "ESME_RINVDESTFLAG",
            0x42: "ESME_RINVSUBREP",
            0x43: "ESME_RINVESMCLASS",
            0x44: "ESME_RCNTSUBDL",
            0x54: "ESME_RINVREPFLAG",
            0x55: "ESME_RINVNUMMSGS",
            0x61: "ESME_RINVSCHED",
            0x62: "ESME_RINVEXPIRY",
            0x63: "ESME_RINVDFTMSGID",
            0x65: "ESME_RX_P_APPN",
            0x66: "ESME_RX_R_APPN",
            0x67: "ESME_RQUERYFAIL",
            0xC0: "ESME_RINVOPTPARSTREAM",
            0xC1: "ESME_ROPTPARNOTALLWD",
            0xC2: "ESME_RINVPARLEN",
            0xC3: "ESME_RMISSINGOPTPARAM",
            0xC4: "ESME_RINVOPTPARAMVAL",
        },
    ),
    (
        Action.CONFIGURATION,
        {
            0x0A: "ESME_RINVSRCADR",
            0x15: "ESME_RINVSERTYP",
            0x48: "ESME_RINVSRCTON",
            0x49: "ESME_RINVSRCNPI",
            0x50: "ESME_RINVDSTTON",
            0x51: "ESME_RINVDSTNPI",
            0x53: "ESME_RINVSYSTYP",
        },
    ),
    (Action.BIND_STATE, {0x04: "ESME_RINVBNDSTS"}),
    (Action.ALREADY_BOUND, {0x05: "ESME_RALYBND"}),
    (Action.BIND_REFUSED, {0x0D: "ESME_RBINDFAIL", 0x0E: "ESME_RINVPASWD", 0x0F: "ESME_RINVSYSID"}),
    (Action.PROTOCOL, {0x02: "ESME_RINVCMDLEN", 0x03: "ESME_RINVCMDID"}),
)

STATUSES: dict[int, Status] = {
    code: Status(code=code, name=name, action=action) for action, names in _TABLE for code, name in names.items()
}
"""Every status that SMPP 3.4 names, by code."""

_DETAIL_MAX = 500  # what Reason.detail keeps


def classify(command_status: int) -> Status:
    """The status of any 32-bit code. One that the specification reserves or leaves to the vendor is worth a retry, and since
    vendors use them for numbers as well as for links, it is held against neither."""
    known = STATUSES.get(command_status)
    return known or Status(code=command_status, name=f"0x{command_status:08X}", action=Action.AMBIGUOUS)


def outcome(
    command_status: int, *, parts_sent: tuple[SentPart, ...] = (), detail: str = ""
) -> RetryLater | PermanentFailure:
    """The outcome of a message whose submission was answered with this status; `parts_sent` were taken before it.

    A status about the bind leaves the message as it was, as if the link had been down. Reason.code is ``smpp_`` and the
    name without its prefix, lower case: ``smpp_rthrottled``, ``smpp_0x00000400``. Raises ValueError for ESME_ROK.
    """
    status = classify(command_status)
    reason = Reason(
        code="smpp_" + status.name.removeprefix("ESME_").lower(),
        detail=(f"{status.name}: {detail}" if detail else status.name)[:_DETAIL_MAX],
        alarm=status.action in (Action.CONFIGURATION, Action.BIND_REFUSED, Action.PROTOCOL),
    )
    match status.action:
        case Action.OK:
            raise ValueError("ESME_ROK is no failure")
        case Action.PERMANENT | Action.CONFIGURATION:
            return PermanentFailure(reason=reason, parts=parts_sent)
        case Action.THROTTLED:
            return RetryLater(reason=reason, throttled=True, parts=parts_sent)
        case Action.BIND_STATE | Action.ALREADY_BOUND | Action.BIND_REFUSED:
            return RetryLater(reason=reason, unreachable=True, parts=parts_sent)
        case Action.DESTINATION | Action.AMBIGUOUS:
            return RetryLater(reason=reason, destination=True, parts=parts_sent)
        case Action.RETRY | Action.PROTOCOL:
            return RetryLater(reason=reason, parts=parts_sent)
