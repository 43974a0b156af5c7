"""RTP packets (RFC 3550, 5.1): read without raising, and the header that ours have. Streams and clocks live elsewhere."""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER = struct.Struct("!BBHII")
VERSION_BYTE = 0x80
"""Version 2, no padding, no extension, no contributing sources."""
MARKER = 0x80
PACKET_BYTES_MAX = 2_048
"""60 ms of G.711 are 492 bytes."""
RTCP = range(192, 224)
"""RTCP packet types: where both come to one port they are told apart by these (RFC 5761, 4)."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet, its padding and extension taken away."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse_rtp(data: bytes) -> RtpPacket | None:
    """The packet; None where it is none (or RTCP)."""
    size = len(data)
    if size < 12 or size > PACKET_BYTES_MAX or data[0] >> 6 != 2 or data[1] in RTCP:
        return None
    first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    start, end = 12 + 4 * (first & 0x0F), size
    if first & 0x10:
        if start + 4 > end:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if first & 0x20:
        end -= data[-1]
        if data[-1] == 0:
            return None
    if start > end:
        return None
    return RtpPacket(second & 0x7F, bool(second & MARKER), sequence, timestamp, ssrc, data[start:end])


def written(packet: RtpPacket) -> bytes:
    """The packet as bytes; the inverse of `parse_rtp`."""
    second = packet.payload_type | (MARKER if packet.marker else 0)
    return HEADER.pack(VERSION_BYTE, second, packet.sequence, packet.timestamp, packet.ssrc) + packet.payload
