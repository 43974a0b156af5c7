"""Numbers, strings and optional parameters of SMPP 3.4 as they stand in octets. No PDU lives here."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType

HEADER_OCTETS = 16
"""command_length, command_id, command_status, sequence_number: four 32-bit numbers (section 3.2)."""

PDU_OCTETS_MAX = HEADER_OCTETS + 65_536
"""Longest PDU taken: message_payload holds at most 64 KiB (section 5.3.2.32), and nothing else comes near it."""

SEQUENCE_MAX = 0x7FFF_FFFF
"""Sequence numbers run from 1 to this (section 5.1.4)."""

RESPONSE = 0x8000_0000
"""The bit of command_id that marks a response (section 5.1.2)."""

ROK, RINVMSGLEN, RINVCMDLEN, RINVCMDID, RINVBNDSTS, RALYBND = 0x00, 0x01, 0x02, 0x03, 0x04, 0x05
RSYSERR, RBINDFAIL, RINVPASWD, RINVSYSID, RMSGQFUL = 0x08, 0x0D, 0x0E, 0x0F, 0x14
RTHROTTLED, RX_T_APPN = 0x58, 0x64
"""The values of command_status that the session and the simulator themselves send or look for (section 5.1.3)."""

TLV_RECEIPTED_MESSAGE_ID, TLV_SC_INTERFACE_VERSION = 0x001E, 0x0210
TLV_SAR_REFERENCE, TLV_SAR_TOTAL, TLV_SAR_SEQUENCE = 0x020C, 0x020E, 0x020F
TLV_MESSAGE_PAYLOAD, TLV_MESSAGE_STATE = 0x0424, 0x0427
"""Tags of the optional parameters used here (section 5.3.1)."""

ESM_UDH, ESM_RECEIPT = 0x40, 0x04
"""Bits of esm_class: a user data header leads the text; an SMSC delivery receipt (section 5.2.12)."""

SHORT_MESSAGE_OCTETS_MAX = 254
"""Longest short_message (section 5.2.22); a longer text goes into message_payload."""

INTERFACE_VERSION = 0x34
"""SMPP 3.4 (section 5.2.4)."""

_TLV = struct.Struct("!HH")

Tlvs = Mapping[int, bytes]
"""Optional parameters by tag. None of those used here may repeat; of one that does, the last is kept."""

NO_TLVS: Tlvs = MappingProxyType({})


def no_tlvs() -> Tlvs:
    """No optional parameters; the default of every PDU that can have some."""
    return NO_TLVS


def latin1(text: str) -> bytes:
    if not text:  # as most strings of a message are
        return b""
    octets = text.encode("latin-1")
    if 0 in octets:
        raise ValueError("NUL inside a string")
    return octets


def c_octets(text: str) -> bytes:
    return latin1(text) + b"\0"


def read_string(body: bytes, at: int) -> tuple[str, int]:
    """A C-octet string from `at` and where the next field begins. Raises ValueError without its NUL."""
    end = body.index(0, at)
    return body[at:end].decode("latin-1"), end + 1


def read_lenient_string(body: bytes) -> tuple[str, int]:
    """The leading string of a response, whose NUL or whole self may be missing."""
    end = body.find(0)
    if end < 0:
        return body.decode("latin-1"), len(body)
    return body[:end].decode("latin-1"), end + 1


def print_tlvs(tlvs: Tlvs) -> bytes:
    if not tlvs:
        return b""
    return b"".join(_TLV.pack(tag, len(value)) + value for tag, value in tlvs.items())


def read_tlvs(body: bytes, at: int) -> Tlvs:
    """The optional parameters from `at` (section 3.2.4), whole ones; never raises.

    A tail that is none is dropped, in every PDU alike: refusing it would lose the message or receipt before it, which
    would come again for ever. Of a message_payload that is cut short its beginning is kept, since that is the text.
    """
    length = len(body)
    if at >= length:
        return NO_TLVS
    tlvs: dict[int, bytes] = {}
    while at + 4 <= length:
        tag, octets = _TLV.unpack_from(body, at)
        at += 4
        if at + octets > length:
            if tag == TLV_MESSAGE_PAYLOAD and at < length:
                tlvs.setdefault(tag, body[at:])
            break
        tlvs[tag] = body[at : at + octets]
        at += octets
    return MappingProxyType(tlvs)
