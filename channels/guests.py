"""Who is connected to a listener of ours: judged before a place is taken, counted in all and by network. It opens no socket."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Collection, Hashable
from enum import StrEnum

import prometheus_client
import structlog

from ivr.notices import Notices

log = structlog.get_logger(__name__)

REFUSED = prometheus_client.Counter(
    "tocsin_listener_refusals_total",
    "Connections, or what came over them, that a listener of ours refused",
    ["listener", "reason"],
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Refusal(StrEnum):
    """Why a connection, or what it brought, was refused."""

    STRANGER = "stranger"
    """It is not from a network that may come in."""
    TOO_MANY = "too_many"
    TOO_MANY_OF_ONE = "too_many_of_one"
    TOO_SLOW = "too_slow"
    """It said nothing, or not all of it, for too long."""
    TOO_LARGE = "too_large"
    TOO_MUCH_WORK = "too_much_work"
    """It asked for more than anybody needs, or made more mistakes."""


class Guests:
    """The open connections of one listener. Who is not believed takes no place, so that strangers keep nobody out."""

    def __init__(
        self, listener: str, *, most: int, most_of_one: int, believed: Collection[Network] | None = None
    ) -> None:
        """`most` connections at once, of one network `most_of_one`; `believed` None lets everybody in."""
        self._listener = listener
        self._most = most
        self._most_of_one = most_of_one
        self._believed = None if believed is None else tuple(believed)
        self._networks: dict[Hashable, str] = {}
        self._of: Counter[str] = Counter()
        self._notices = Notices()
        for refusal in Refusal:
            REFUSED.labels(listener, refusal)  # there from the start, at 0

    def judge(self, peer: str) -> Refusal | None:
        """Why a connection from this address is refused; None where it may come in."""
        if self._believed is not None and not is_in(peer, self._believed):
            return Refusal.STRANGER
        if len(self._networks) >= self._most:
            return Refusal.TOO_MANY
        return Refusal.TOO_MANY_OF_ONE if self._of[network_of(peer)] >= self._most_of_one else None

    def enter(self, guest: Hashable, peer: str) -> None:
        """The connection takes a place."""
        network = network_of(peer)
        self._networks[guest] = network
        self._of[network] += 1

    def leave(self, guest: Hashable) -> None:
        """It is over. Harmless twice."""
        network = self._networks.pop(guest, None)
        if network is not None:
            self._of[network] -= 1
            if not self._of[network]:
                del self._of[network]

    def refused(self, peer: str, refusal: Refusal, now: float) -> None:
        """Tells of a refusal: each in the metric, one a minute of each kind and network in the log."""
        REFUSED.labels(self._listener, refusal).inc()
        told = self._notices.tell(refusal, network_of(peer), now)
        if told is not None:
            log.warning(
                "listener_refused", listener=self._listener, peer=told[0], reason=refusal.value, left_out=told[1]
            )

    def reached(self, bound: str, most: int, now: float) -> None:
        """Tells that a bound on what is kept, or waits, was reached, so that something of it is gone: one line a minute of each."""
        told = self._notices.tell(f"bound {bound}", "", now)
        if told is not None:
            log.warning("listener_bound_reached", listener=self._listener, bound=bound, most=most, left_out=told[1])

    def network(self, guest: Hashable) -> str:
        """Where the connection comes from; "" where it has no place."""
        return self._networks.get(guest, "")

    def __len__(self) -> int:
        return len(self._networks)


def network_of(peer: str) -> str:
    """Whose connections are counted together: of IPv6 everybody has a /64 at least (RFC 6177)."""
    address = _address(peer)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return peer if address is None else str(address)


def is_in(peer: str, networks: Collection[Network]) -> bool:
    """Whether the address is in one of the networks. What is no address is in none."""
    address = _address(peer)
    return address is not None and any(address in network for network in networks)


def _address(peer: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; that of IPv4 where it is one in IPv6's clothes (RFC 4291, 2.5.5.2)."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
