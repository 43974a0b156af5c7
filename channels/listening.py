"""Addresses of ours on which providers listen, and which of two leave each other no room. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True, slots=True)
class Listening:
    """One socket that a provider's settings ask for. `key` is the one that names it; `host` an IP address without brackets."""

    key: str
    protocol: Literal["udp", "tcp"]
    host: str
    port: int

    def clashes_with(self, other: Listening) -> bool:
        """Whether only one of the two can be bound. Port 0 takes any free one, and never clashes."""
        return self.port == other.port != 0 and self.overlaps(other)

    def overlaps(self, other: Listening) -> bool:
        """Whether some address belongs to both, whatever the ports."""
        return self.protocol == other.protocol and (self._takes(other) or other._takes(self))

    def _takes(self, other: Listening) -> bool:
        """Whether the other's address is this one, or all addresses are. Those of IPv4 are among all of IPv6 (RFC 3493, 5.3), but
        for TCP asyncio keeps the two apart."""
        ours, theirs = ipaddress.ip_address(self.host), ipaddress.ip_address(other.host)
        if ours.version != theirs.version:
            return self.protocol == "udp" and ours.version == 6 and ours.is_unspecified
        return ours == theirs or ours.is_unspecified


def listening_at(key: str, protocol: Literal["udp", "tcp"], host: str, port: int) -> Listening | None:
    """What is listened on at a host that may be a name; None where the name says nothing without being looked up."""
    host = "127.0.0.1" if host.lower() == "localhost" else host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    return Listening(key=key, protocol=protocol, host=host, port=port)


@runtime_checkable
class Listens(Protocol):
    """Settings of a provider that listens."""

    @property
    def listening(self) -> Listening | None:
        """Where; None where nothing is listened on as it is set."""
        ...
