"""Who may issue which request in which state of a session: the matrix of SMPP 3.4 section 2.3 as data. No session."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from channels.sms.smpp.pdu import (
    AlertNotification,
    BindMode,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Outbind,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)


class Role(Enum):
    """The two sides of a session."""

    ESME = "esme"
    """The client, which binds: us towards a provider."""
    SMSC = "smsc"
    """The server, which is bound to."""

    __hash__ = object.__hash__  # a member is only itself; the hash of Enum is Python, and each message asks for it


class State(Enum):
    """The states of section 2.2."""

    OPEN = "open"
    """Connected, no bind accepted yet."""
    BOUND_TX = "bound_tx"
    """The ESME may send messages."""
    BOUND_RX = "bound_rx"
    """The ESME may receive messages and receipts."""
    BOUND_TRX = "bound_trx"
    """Both."""
    CLOSED = "closed"
    """Nothing more will be said."""

    __hash__ = object.__hash__


BOUND_AS: Mapping[BindMode, State] = MappingProxyType(
    {
        BindMode.TRANSMITTER: State.BOUND_TX,
        BindMode.RECEIVER: State.BOUND_RX,
        BindMode.TRANSCEIVER: State.BOUND_TRX,
    }
)

_OPEN = frozenset({State.OPEN})
_BOUND = frozenset({State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX})
_SENDING = frozenset({State.BOUND_TX, State.BOUND_TRX})
_RECEIVING = frozenset({State.BOUND_RX, State.BOUND_TRX})
_ALIVE = _OPEN | _BOUND
_NEVER: frozenset[State] = frozenset()

RESPONSE_TO: Mapping[type[Pdu], type[Pdu]] = MappingProxyType(
    {
        BindReceiver: BindReceiverResp,
        BindTransmitter: BindTransmitterResp,
        BindTransceiver: BindTransceiverResp,
        Unbind: UnbindResp,
        SubmitSm: SubmitSmResp,
        DeliverSm: DeliverSmResp,
        DataSm: DataSmResp,
        EnquireLink: EnquireLinkResp,
    }
)
"""The response that belongs to each request that has one."""

ISSUED_IN: Mapping[tuple[type[Pdu], Role], frozenset[State]] = MappingProxyType(
    {
        (BindTransmitter, Role.ESME): _OPEN,
        (BindReceiver, Role.ESME): _OPEN,
        (BindTransceiver, Role.ESME): _OPEN,
        (Outbind, Role.SMSC): _OPEN,
        (Unbind, Role.ESME): _BOUND,
        (Unbind, Role.SMSC): _BOUND,
        (SubmitSm, Role.ESME): _SENDING,
        (DeliverSm, Role.SMSC): _RECEIVING,
        (DataSm, Role.ESME): _SENDING,
        (DataSm, Role.SMSC): _RECEIVING,
        (AlertNotification, Role.SMSC): _RECEIVING,
        # The table has enquire_link only in bound states; a peer that asks earlier is answered too, which harms nobody.
        (EnquireLink, Role.ESME): _ALIVE,
        (EnquireLink, Role.SMSC): _ALIVE,
    }
)


def may_issue(request: type[Pdu], role: Role, state: State) -> bool:
    """Whether `role` may issue this request in `state` (section 2.3, tables 2-1 to 2-4). False for every response."""
    return state in ISSUED_IN.get((request, role), _NEVER)
