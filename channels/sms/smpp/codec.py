"""Whole PDUs to octets and back: parse and print are inverse. No conversation lives here."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType

from channels.sms.smpp.errors import LocalProtocolError, MalformedBodyError, OutOfStepError, UnknownCommandError
from channels.sms.smpp.pdu import (
    AlertNotification,
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
    GenericNack,
    Outbind,
    Pdu,
    ShortMessage,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from channels.sms.smpp.wire import HEADER_OCTETS, PDU_OCTETS_MAX, RINVCMDLEN, SHORT_MESSAGE_OCTETS_MAX

_HEADER = struct.Struct("!IIII")

COMMANDS: Mapping[int, type[Pdu]] = MappingProxyType(
    {
        kind.command_id: kind
        for kind in (
            *(BindReceiver, BindReceiverResp, BindTransmitter, BindTransmitterResp),
            *(BindTransceiver, BindTransceiverResp, Outbind, Unbind, UnbindResp),
            *(SubmitSm, SubmitSmResp, DeliverSm, DeliverSmResp, DataSm, DataSmResp),
            *(EnquireLink, EnquireLinkResp, GenericNack, AlertNotification),
        )
    }
)
"""Every command spoken here by its command_id (section 5.1.2.1)."""


def read_header(octets: bytes, at: int) -> tuple[int, int, int, int]:
    """command_length, command_id, command_status and sequence_number of the PDU that begins at `at`.

    Needs 16 octets there. Raises OutOfStepError when the length is shorter than a header or longer than any PDU taken.
    """
    header = _HEADER.unpack_from(octets, at)
    if not HEADER_OCTETS <= header[0] <= PDU_OCTETS_MAX:
        raise OutOfStepError(f"command_length {header[0]}")
    return header


def decode(octets: bytes) -> Pdu:
    """The PDU in exactly these octets. Raises only subclasses of RemoteProtocolError."""
    if len(octets) < HEADER_OCTETS:
        raise OutOfStepError(f"{len(octets)} octets")
    length, command_id, status, sequence = read_header(octets, 0)
    if length != len(octets):
        raise OutOfStepError(f"command_length {length} of {len(octets)} octets")
    return decode_body(command_id, status, sequence, octets[HEADER_OCTETS:])


def decode_body(command_id: int, status: int, sequence: int, body: bytes) -> Pdu:
    """The PDU with this header and body. Raises UnknownCommandError, MalformedBodyError."""
    kind = COMMANDS.get(command_id)
    if kind is None:
        raise UnknownCommandError(f"command_id 0x{command_id:08x}")
    try:
        return kind.read(body, status, sequence)
    except (ValueError, IndexError) as error:
        raise MalformedBodyError(f"{kind.__name__} ends early", RINVCMDLEN) from error


def encode(pdu: Pdu, sequence: int | None = None) -> bytes:
    """The octets of a PDU, with `sequence` in place of its own where given.

    Raises LocalProtocolError when a field does not fit: a text beyond Latin-1 or holding NUL, an octet above 255,
    a short_message above 254 octets (section 5.2.22), a PDU above the longest that is taken.
    """
    try:
        body = pdu.body()
        number = pdu.sequence if sequence is None else sequence
        octets = _HEADER.pack(HEADER_OCTETS + len(body), pdu.command_id, pdu.status, number) + body
    except (ValueError, OverflowError, struct.error) as error:
        raise LocalProtocolError(f"{type(pdu).__name__} does not fit: {error}") from error
    if len(octets) > PDU_OCTETS_MAX or (
        isinstance(pdu, ShortMessage) and len(pdu.short_message) > SHORT_MESSAGE_OCTETS_MAX
    ):
        raise LocalProtocolError(f"{type(pdu).__name__} is too long")
    return octets
