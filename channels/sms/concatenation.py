"""The header that ties the parts of a long SMS together (3GPP TS 23.040). Where a text is cut is decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

ReferenceOctets = Literal[1, 2]
"""How many octets the concatenation reference has on the air: 8-bit or 16-bit."""

HEADER_OCTETS: dict[ReferenceOctets, int] = {1: 6, 2: 7}
"""Octets that `udh` takes from the 140 of a part, its own length octet included."""

PARTS_MAX = 255
"""The total and the number of a part are one octet each (TS 23.040 9.2.3.24.1)."""

_CONCATENATED_8_BIT = 0x00
_CONCATENATED_16_BIT = 0x08


@dataclass(frozen=True, kw_only=True, slots=True)
class Concatenation:
    """One part's place in a long message: number `n` (from 1) of `total`, all sharing `reference`."""

    reference: int
    total: int
    n: int


def udh(reference: int, total: int, n: int, reference_octets: ReferenceOctets) -> bytes:
    """The whole header of one part, length octet first: 6 octets with an 8-bit reference, 7 with a 16-bit one.

    TS 23.040 9.2.3.24.1 (information element 0x00) and 9.2.3.24.8 (0x08). Raises ValueError for a reference that
    does not fit or a part that is not one of 1 to `total` (at most 255).
    """
    if not 0 <= reference < 1 << (8 * reference_octets):
        raise ValueError(f"concatenation reference {reference} does not fit into {reference_octets} octet(s)")
    if not 1 <= n <= total <= PARTS_MAX:
        raise ValueError(f"part {n} of {total}: expected 1 to the total, and a total of at most {PARTS_MAX}")
    element = _CONCATENATED_8_BIT if reference_octets == 1 else _CONCATENATED_16_BIT
    value = reference.to_bytes(reference_octets, "big") + bytes((total, n))
    return bytes((len(value) + 2, element, len(value))) + value


def split_udh(octets: bytes) -> tuple[Concatenation | None, bytes]:
    """The concatenation that user data with a header names, if any, and the user data behind the header. Never raises.

    Unknown elements are skipped, the last of several concatenations counts, and one whose numbers make no sense is as
    good as absent; a header whose elements do not add up is ignored whole (TS 23.040 9.2.3.24). A length octet that
    points behind the end means that there is no header at all: everything is handed back, so that no text is lost.
    """
    if not octets or octets[0] >= len(octets):
        return None, octets
    header, rest = octets[1 : 1 + octets[0]], octets[1 + octets[0] :]
    found: Concatenation | None = None
    at = 0
    while at < len(header):
        if at + 2 > len(header) or at + 2 + header[at + 1] > len(header):
            return None, rest
        element, value = header[at], header[at + 2 : at + 2 + header[at + 1]]
        found = _concatenation(element, value) or found
        at += 2 + len(value)
    return found, rest


def _concatenation(element: int, value: bytes) -> Concatenation | None:
    """What one information element says, or None when it is another one or its numbers contradict each other."""
    if (element, len(value)) not in ((_CONCATENATED_8_BIT, 3), (_CONCATENATED_16_BIT, 4)):
        return None
    total, n = value[-2], value[-1]
    if not 1 <= n <= total:
        return None
    return Concatenation(reference=int.from_bytes(value[:-2], "big"), total=total, n=n)


def reference_for(delivery_reference: str, reference_octets: ReferenceOctets) -> int:
    """The concatenation reference of a delivery: 0 to 255, or 0 to 65535 with two octets.

    Derived from the delivery and not drawn at random, so that parts sent again after a restart join those that
    arrived before; spread evenly, so that two messages to one phone rarely share it.
    """
    text = delivery_reference.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=reference_octets).digest(), "big")
