"""Who may speak in a call: the address that was agreed, who is likely to speak in its place, and nobody else.

A key acknowledges an alarm, so whoever is believed may end it. Audio and keys over plain RTP prove nothing about who sends them; what
is known beforehand is where the call was agreed with, and by whom. A call's port may also have been another call's, and who was in
that one may still be sending: after a crash nobody has told them.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from ivr.sip.unicast import NOWHERE

Address = tuple[str, int]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LATCH_AFTER_S = 0.2
"""The agreed address goes first; only where it has sent nothing for ten packets' time is another one the phone behind its NAT."""
RETURN_AFTER_S = 1.0
"""Who was in the call before another address was agreed still sends for a moment, and is not the phone that comes after him."""
EARLY_MAX = 8
"""Senders remembered of the time before anybody knew the port: there is one, if any."""
SILENT_S = 2.0
"""After so long without a packet the phone may have moved to another address, as behind a NAT or a media relay that was replaced."""
SUSTAINED_PACKETS, SUSTAINED_S = 25, 0.45
"""So much audio in a row, of one source, is a phone. A stranger who sprays a few packets over many ports sends less to each."""
AUDIO_GAP_MAX = 10
"""Packets that may be lost between two of them."""
CANDIDATES_MAX = 32
"""Senders whose audio is counted at a time; there is one phone. The one that was heard longest ago goes first."""
_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
)
"""Addresses that mean nothing on another network (RFC 1918, 6598, 3927, 4193, 4291): what comes from there has another one here."""


class Likeness(IntEnum):
    """How likely somebody is the other side."""

    STRANGE = 0
    """Another host, that nobody has named."""
    NEAR = 1
    """The agreed host with another port, a host that we signal with, or one in a network that is trusted."""
    AGREED = 2


@dataclass(slots=True)
class _Candidate:
    """Audio that comes from somewhere."""

    ssrc: int
    sequence: int
    began_at: float
    packets: int = 1

    def sustained(self, now: float) -> bool:
        return self.packets >= SUSTAINED_PACKETS and now - self.began_at >= SUSTAINED_S


class Sources:
    """Judges where packets come from, and remembers who was believed last. One for each call; it reads no clock."""

    __slots__ = (
        "_agreed", "_agreed_at", "_before", "_candidates", "_heard_at", "_hosts", "_left_over", "_speaker", "_ssrc", "_trusted",
    )  # fmt: skip

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        """`trusted`: networks in which the media of the other side may be."""
        self._trusted = tuple(trusted)
        self._hosts: frozenset[str] = frozenset()
        self._agreed: Address | None = None
        self._agreed_at = 0.0
        self._before: Address | None = None
        self._left_over: set[Address] = set()
        self._candidates: OrderedDict[Address, _Candidate] = OrderedDict()
        self._speaker: Address | None = None
        self._ssrc = 0
        self._heard_at = 0.0

    @property
    def speaker(self) -> Address | None:
        """Who was believed last; None before anybody was, or since another address was agreed."""
        return self._speaker

    def signalled_with(self, hosts: Collection[str]) -> None:
        """The hosts that the call's SIP comes from: a gateway's sound may come from there, whatever its description says."""
        self._hosts = frozenset(hosts)

    def came_unasked(self, source: Address) -> None:
        """A packet came before anybody knew the port: its sender is left over from another call, and never the phone."""
        if len(self._left_over) < EARLY_MAX:
            self._left_over.add(source)

    def agree(self, address: Address, now: float, before: Address | None) -> bool:
        """Takes the address that offer and answer name; whether it is another than the one before it. `before`: where packets went
        until now. An old hold's address (RFC 3264, 8.4) says nothing of where they come from."""
        if address == self._agreed or (self._agreed is not None and address[0] in NOWHERE):
            return False
        self._agreed, self._agreed_at, self._before = address, now, before
        self._speaker = None
        self._candidates.clear()
        return True

    def is_agreed(self, source: Address) -> bool:
        """Whether it is the address that was agreed."""
        return source == self._agreed

    def admits(self, source: Address, ssrc: int, sequence: int, now: float, *, audio: bool) -> bool:
        """Whether a packet is of the other side, that has not been in doubt (`believe`) and proves itself by nothing. Without
        audio before it a key is nobody's but the agreed address's."""
        if source in (self._speaker, self._agreed):
            return True
        if not audio or source in self._left_over or not self._may_come(source, now):
            return False
        sustained = self._count(source, ssrc, sequence, now)
        likeness = self._likeness(source)
        if self._speaker is None:
            return likeness is Likeness.NEAR or (sustained and self._address_says_nothing)
        if now - self._heard_at >= SILENT_S:
            return ssrc == self._ssrc or (sustained and likeness is Likeness.NEAR)
        return likeness > self._likeness(self._speaker)

    def believe(self, source: Address, ssrc: int, now: float) -> None:
        """A packet was the other side's."""
        if source != self._speaker:
            self._speaker = source
            self._candidates.clear()
        self._ssrc, self._heard_at = ssrc, now

    def _may_come(self, source: Address, now: float) -> bool:
        wait_s = RETURN_AFTER_S if source == self._before else LATCH_AFTER_S
        return now - self._agreed_at >= wait_s

    def _likeness(self, source: Address) -> Likeness:
        if source == self._agreed:
            return Likeness.AGREED
        host = source[0]
        named = host in self._hosts or (self._agreed is not None and host == self._agreed[0])
        return Likeness.NEAR if named or _is_in(host, self._trusted) else Likeness.STRANGE

    @property
    def _address_says_nothing(self) -> bool:
        """Whether the agreed address is one of a private network, or none: then the phone comes from an address nobody knows."""
        host = "" if self._agreed is None else self._agreed[0]
        return host in ("", *NOWHERE) or _is_in(host, _PRIVATE)

    def _count(self, source: Address, ssrc: int, sequence: int, now: float) -> bool:
        """Counts a packet of audio; whether there were enough of them in a row."""
        known = self._candidates.pop(source, None)
        ahead = 0 if known is None else (sequence - known.sequence) & 0xFFFF
        if known is None or known.ssrc != ssrc or not 0 < ahead <= AUDIO_GAP_MAX:
            known = _Candidate(ssrc, sequence, now)
        else:
            known.sequence, known.packets = sequence, known.packets + 1
        self._candidates[source] = known
        if len(self._candidates) > CANDIDATES_MAX:
            self._candidates.popitem(last=False)
        return known.sustained(now)


@lru_cache(maxsize=4_096)
def _is_in(host: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)
