"""Where sound may be sent: to one host. Multicast, broadcast and ports of services are refused. Pure.

A session description is written by somebody else: fifty packets a second go where it says.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

NOWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
"""How RFC 2543 said "on hold" (RFC 3264, 8.4): nothing is sent there."""
PORT_MIN = 1024
"""Below are the ports of services (RFC 6335, 6), and none is for sound."""
DISCARD = 9
"""What is sent there is thrown away (RFC 863): so somebody writes who does not know the port yet (RFC 8840, 4.1.1)."""
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_RESERVED = ipaddress.ip_network("240.0.0.0/4")

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@lru_cache(maxsize=4_096)
def why_not(address: str) -> str:
    """Why no packet may be sent to the address, with the clause; "" where it may, and for what is no address."""
    parsed = _parsed(address)
    if parsed is None or address in NOWHERE:
        return ""
    if parsed.is_multicast:
        return "a multicast address (RFC 1112, 4; RFC 4291, 2.7)"
    if parsed in _RESERVED:
        return "a broadcast or reserved address (RFC 919, 7; RFC 1112, 4)"
    if parsed in _THIS_NETWORK or parsed.is_unspecified:
        return "an address of no host (RFC 1122, 3.2.1.3)"
    return ""


def why_no_port(port: int) -> str:
    """Why no sound may be sent to the port, with the clause; "" where it may, and for the port 0 that refuses a stream."""
    return "a port of a service (RFC 6335, 6)" if 0 < port < PORT_MIN and port != DISCARD else ""


def seen_from(address: str, peer: str) -> str:
    """The address as it is meant by a peer: a loopback address of another machine is not ours (RFC 1122, 3.2.1.3), and says
    nothing. Then its sound goes to the peer."""
    mine, theirs = _parsed(address), _parsed(peer)
    outside = mine is not None and mine.is_loopback and theirs is not None and not theirs.is_loopback
    return peer if outside or not address else address


def _parsed(address: str) -> IpAddress | None:
    """The address; that of IPv4 where it is one in IPv6's clothes (RFC 4291, 2.5.5.2)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
