"""Where a SIP domain is served (RFC 3263): DNS SRV, then addresses. The order of the records is a pure function."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import dns.asyncresolver
import dns.exception
import dns.resolver

from ivr.sip.hop import Hop, Transport
from ivr.sip.unicast import why_not

DNS_S = 5.0
"""How long a name server may take before the name is as good as unknown."""
HOPS_MAX = 16
"""Addresses kept of one trunk: each is a proxy that is tried for some seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    host: str
    port: int


def in_order(services: Sequence[Service], dice: Callable[[], float]) -> list[Service]:
    """The lowest priority first; within one, by weighted chance (RFC 2782). `dice` gives numbers in [0, 1)."""
    ordered = []
    for priority in sorted({one.priority for one in services}):
        left = sorted((one for one in services if one.priority == priority), key=lambda one: one.weight)
        while left:
            at = dice() * sum(one.weight for one in left)
            chosen = left[-1]
            for one in left:
                at -= one.weight
                if at < 0:
                    chosen = one
                    break
            left.remove(chosen)
            ordered.append(chosen)
    return ordered


async def hops_of(host: str, port: int | None, transport: Transport, dice: Callable[[], float]) -> tuple[Hop, ...]:
    """The addresses of a trunk in the order to be tried: of the port given, or of what DNS SRV says, or of the standard port.
    Raises OSError where there are none."""
    services: list[Service] = []
    if port is None and not _numeric(host):
        services = in_order(await _services(host, transport), dice)
    if not services:
        services = [Service(priority=0, weight=0, host=host, port=port or (5061 if transport == "tls" else 5060))]
    name = host.strip("[]") if transport == "tls" else ""
    found: list[Hop] = []
    failure: OSError | None = None
    for service in services:
        try:
            found += [Hop(transport, address, service.port, name) for address in await _addresses(service.host)]
        except OSError as error:
            failure = error
    if not found:
        raise failure or OSError(f"{host} has no address")
    return tuple(dict.fromkeys(found))[:HOPS_MAX]


async def address_of(host: str, *, within_s: float) -> str:
    """The numeric address of a host that a session description names; "" where it is not found in this time."""
    with suppress(OSError, TimeoutError, UnicodeError):
        async with asyncio.timeout(within_s):
            found = await _addresses(host)
            return next((one for one in found if not why_not(one)), "")
    return ""


async def _services(host: str, transport: Transport) -> list[Service]:
    """The SRV records; none where there are none, or no answer. A target "." says that the service is not there, and its host's
    address is not to be taken in its place (RFC 2782): OSError."""
    name = f"_sips._tcp.{host}" if transport == "tls" else f"_sip._{transport}.{host}"
    try:
        answer = await dns.asyncresolver.resolve(name, "SRV", lifetime=DNS_S)
    except (dns.exception.DNSException, OSError):
        return []
    found = [
        Service(priority=one.priority, weight=one.weight, host=str(one.target).rstrip("."), port=one.port)
        for one in answer
        if str(one.target) != "."
    ]
    if not found:
        raise OSError(f"{name} says that there is no such service")
    return found


async def _addresses(host: str) -> list[str]:
    if _numeric(host):
        return [host.strip("[]")]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(DNS_S):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except ValueError as error:  # UnicodeError: an empty label, or one of more than 63 octets (RFC 1035, 2.3.4)
        raise OSError(f"{host} is not the name of a host") from error
    # IPv4 first: trunks that have both are more often reachable by it, and RTP goes where SIP went
    return [str(one[4][0]) for one in sorted(found, key=lambda one: one[0] != socket.AF_INET)]


def _numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
