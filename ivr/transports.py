"""SIP's sockets (RFC 3261, 18): datagrams and connections in, whole messages out to the agent. What they say is not known here."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import structlog
from prometheus_client import Counter as Metric

from ivr.notices import Notices
from ivr.sip.framing import FramingError, StreamFramer
from ivr.sip.hop import Hop, Transport
from ivr.sip.unicast import why_not

log = structlog.get_logger(__name__)

MESSAGE_BYTES_MAX = 65_535
"""The largest message, over connections as by UDP (RFC 3261, 18.1.1)."""
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""A thousand phones may answer within one turn of the loop: some 2,000 messages of 1.5 kB, and as much again."""
INCOMING_MAX = 200
"""Connections to us at once. Those that we open are not among them: whoever takes all of these stops no call of ours."""
INCOMING_OF_ONE_MAX = 20
"""Of these, from one network (one address of IPv4) over which nobody came in yet."""
ADMISSION_S = 10.0
"""So long a connection to us is kept for strangers: it is closed unless a request came that may come in."""
MESSAGE_S = 32.0
"""A message that has begun is whole by then (64 times T1, RFC 3261, 17.1.1.2): later nobody waits for its answer."""
BACKLOG = 512
"""Connections that the system keeps until they are judged: all places of one turn, and as many again."""
ACCEPT_AGAIN_S = 0.2
"""After none could be accepted: descriptors come free within a turn or not for long."""
KNOWN = "known"
"""In place of the network of a connection of whoever may come in by the address: as many again, that no stranger can take."""
ADMITTED = "admitted"
"""In place of the network of a connection over which somebody came in: it does not count against others from there."""
TROUBLES_MAX = 200
"""Hops remembered to which no connection could be opened."""
TLS_PORT = 5061
"""What we say where we listen on no port (RFC 3261, 19.1.2)."""
CONNECT_S = 5.0
"""An open connection takes three trips; after this long the next proxy is the better choice."""
PENDING_BYTES_MAX = 1024 * 1024
"""What may wait for a connection to open or to drain: hundreds of messages. A peer that takes none of it is dead."""
WATCHED = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
"""How connections are watched (tcp(7)): after 60 s without a packet, less than any firewall forgets in, the system asks every
10 s; what was sent and not acknowledged for 20 s (here in ms, RFC 5482), in which TCP repeats it six times, ends them."""

CLOSED = Metric(
    "tocsin_sip_connections_closed_total",
    "Connections that we closed: too many, no handshake, nobody that may come in, messages that are broken or too slow",
    ["reason"],
)
for _reason in ("too_many", "handshake", "stranger", "broken", "too_slow"):
    CLOSED.labels(_reason)  # there from the start, at 0

Knows = Callable[[Hop], bool]


def nobody(_hop: Hop) -> bool:
    """Everybody is a stranger."""
    return False


Received = Callable[[bytes, Hop], None]
Failed = Callable[[Hop], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsContexts:
    """How connections are secured: `client` for those we open, `server` for those opened to us (None: none are taken).
    `server_name`: whose certificate is wanted of a hop that has no name itself."""

    client: ssl.SSLContext
    server: ssl.SSLContext | None = None
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a connection could not be opened. `untrusted`: its certificate is not to be trusted, which no waiting changes."""

    text: str
    untrusted: bool = False


class Transports:
    """The sockets of one endpoint. `received` and `failed` are called from the loop, never from within `send`."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        transport: Transport,
        received: Received,
        failed: Failed,
        tls: TlsContexts | None = None,
        knows: Knows = nobody,
    ) -> None:
        """`knows` says who may come in for sure, by the address: strangers take no place from them."""
        self.port = port
        self._knows = knows
        self._host = host
        self._transport = transport
        self._received = received
        self._failed = failed
        self._tls = tls
        self._udp: asyncio.DatagramTransport | None = None
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._entering: set[asyncio.Task[None]] = set()
        """Connections to us that have a place and are not secured yet."""
        self._links: dict[Hop, _Link] = {}
        self._incoming: dict[Hop, str] = {}
        """The connections to us, each with its network."""
        self._opening: dict[Hop, tuple[asyncio.Task[None], bytearray]] = {}
        self._troubles: dict[Hop, Trouble] = {}
        self._notices = Notices()

    async def open(self) -> None:
        """Binds the address. Raises OSError where it is taken or not ours."""
        loop = asyncio.get_running_loop()
        if self._transport == "udp":
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            udp = socket.socket(family, socket.SOCK_DGRAM)
            try:
                udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
                udp.setblocking(False)
                udp.bind((self._host, self.port))
                self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._received), sock=udp)
            except BaseException:
                udp.close()
                raise
            self.port = udp.getsockname()[1]
            return
        if self._transport == "tls" and (self._tls is None or self._tls.server is None):
            # without a certificate nobody can connect to us: what comes, comes over the connections we open
            self.port = self.port or TLS_PORT
            return
        context = self._tls.server if self._transport == "tls" and self._tls is not None else None
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._listener = socket.create_server((self._host, self.port), family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._accepting = loop.create_task(self._accept(self._listener, context))

    def send(self, hop: Hop, data: bytes) -> None:
        """Sends one message; a connection is opened where there is none. What cannot be sent is told to `failed`."""
        if hop.transport == "udp":
            # an address of the other family is one that our socket raises for
            reachable = (":" in hop.host) == (":" in self._host)
            # nor is one of many hosts a place for a message to one (a Contact or a route is written by somebody else)
            if self._udp is None or self._udp.is_closing() or not reachable or why_not(hop.host):
                asyncio.get_running_loop().call_soon(self._failed, hop)
            else:
                self._udp.sendto(data, (hop.host, hop.port))
            return
        link = self._links.get(hop)
        if link is not None:
            link.send(data)
            return
        _, waiting = self._opening.get(hop) or self._connect(hop)
        if len(waiting) + len(data) > PENDING_BYTES_MAX:
            waiting.clear()
            asyncio.get_running_loop().call_soon(self._failed, hop)
            return
        waiting += data

    def admit(self, hop: Hop) -> None:
        """Somebody came in over this connection: it is no stranger's any more."""
        if hop in self._incoming:
            if self._incoming[hop] is not KNOWN:
                self._incoming[hop] = ADMITTED
            self._links[hop].admitted()

    async def until_lost(self, hop: Hop) -> None:
        """Returns once the connection to the hop is lost, at once where there is none; never where there is nothing to lose."""
        if hop.transport == "udp":
            await asyncio.Event().wait()
        link = self._links.get(hop)
        if link is not None:
            await link.gone.wait()

    def give_up(self, hop: Hop, since: float) -> bool:
        """Whether the connection to the hop is ended: it is where nothing came over it since that time (of the loop), when an
        answer was due. The next message to the hop opens another one (RFC 5626, 4.4.1). `failed` is not told."""
        link = self._links.get(hop)
        # what came in the same tick is no answer: uvloop's clock has a thousand of them a second
        if link is None or link.heard_at > since:
            return False
        self.tell("connection_given_up", hop, "no answer came over it")
        self._forget(link, hop)
        link.abort()
        return True

    def trouble(self, hop: Hop) -> Trouble | None:
        """Why no connection to the hop could be opened the last time; None where one could, or none was tried."""
        return self._troubles.get(hop)

    async def close(self) -> None:
        """Closes everything; what is written already is sent first."""
        for task, _ in list(self._opening.values()):
            task.cancel()
        accepting = [] if self._accepting is None else [self._accepting]
        for entering in (*accepting, *self._entering):
            entering.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)  # before its socket goes: the loop looks at that one
        if self._listener is not None:
            self._listener.close()
        for link in list(self._links.values()):
            link.close()
        if self._udp is not None:
            self._udp.close()
        await asyncio.sleep(0)

    # --- connections -------------------------------------------------------------------------------------------------

    def _connect(self, hop: Hop) -> tuple[asyncio.Task[None], bytearray]:
        waiting = bytearray()
        task = asyncio.get_running_loop().create_task(self._open(hop, waiting))
        self._opening[hop] = task, waiting
        return task, waiting

    async def _open(self, hop: Hop, waiting: bytearray) -> None:
        loop = asyncio.get_running_loop()
        secured: dict[str, Any] = {}
        if hop.transport == "tls" and self._tls is not None:
            secured = {"ssl": self._tls.client, "server_hostname": hop.name or self._tls.server_name or hop.host}
        try:
            async with asyncio.timeout(CONNECT_S):
                _, link = await loop.create_connection(lambda: _Link(self, hop), hop.host, hop.port, **secured)
            link.send(bytes(waiting))
            self._troubles.pop(hop, None)
        except (OSError, ValueError) as error:  # ValueError: a name that no certificate can be for
            if len(self._troubles) < TROUBLES_MAX:
                untrusted = isinstance(error, ssl.SSLCertVerificationError)
                self._troubles[hop] = Trouble(str(error) or type(error).__name__, untrusted)
            self.tell("connection_failed", hop, str(error) or type(error).__name__)
            self._failed(hop)
        except asyncio.CancelledError:
            self._failed(hop)
            raise
        finally:
            self._opening.pop(hop, None)

    def tell(self, kind: str, hop: Hop, reason: str) -> None:
        """A line of the log, of each kind and host one a minute at most."""
        told = self._notices.tell(kind, hop.host, asyncio.get_running_loop().time())
        if told is not None:
            peer, left_out = told
            log.warning(kind, hop=str(hop) if peer == hop.host else peer, reason=reason, left_out=left_out)

    async def _accept(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        """Judges connections to us as they come, before TLS has cost anything: whoever does not end a handshake has a place too."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:  # no descriptor is left, or whoever connected is gone again
                log.warning("connection_not_accepted", error=str(error))
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            hop = Hop(self._transport, address[0], address[1])
            if self._takes(hop):
                entering = loop.create_task(self._let_in(connection, hop, context))
                self._entering.add(entering)
                entering.add_done_callback(self._entering.discard)
            else:
                connection.close()
            await asyncio.sleep(0)  # the others have their turn, however many wait

    async def _let_in(self, connection: socket.socket, hop: Hop, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + ADMISSION_S
        try:
            await loop.connect_accepted_socket(
                lambda: _Link(self, hop, admission_at=until), connection,
                ssl=context, ssl_handshake_timeout=None if context is None else ADMISSION_S,
            )  # fmt: skip
        except OSError as error:
            CLOSED.labels("handshake").inc()
            self.tell("connection_closed", hop, str(error) or type(error).__name__)
        finally:
            if hop not in self._links:
                self._incoming.pop(hop, None)

    def opened(self, link: _Link, hop: Hop) -> None:
        """A connection is there, in either direction."""
        self._links[hop] = link

    def _takes(self, hop: Hop) -> bool:
        """Whether there is a place for a connection to us, which is then taken."""
        network = KNOWN if self._knows(hop) else _network(hop.host)
        taken = Counter(self._incoming.values())
        others = sum(taken.values()) - taken[KNOWN]
        full_for_strangers = others >= INCOMING_MAX or taken[network] >= INCOMING_OF_ONE_MAX
        if taken[KNOWN] >= INCOMING_MAX if network is KNOWN else full_for_strangers:
            CLOSED.labels("too_many").inc()
            self.tell("connection_refused", hop, "too many connections")
            return False
        self._incoming[hop] = network
        return True

    def lost(self, link: _Link, hop: Hop) -> None:
        """A connection is gone."""
        if self._forget(link, hop):
            self._failed(hop)

    def _forget(self, link: _Link, hop: Hop) -> bool:
        """Whether it was a connection that is in use until now."""
        if self._links.get(hop) is not link:
            return False
        del self._links[hop]
        self._incoming.pop(hop, None)
        return True

    def message(self, data: bytes, hop: Hop) -> None:
        """A whole message came over a connection."""
        self._received(data, hop)


class _Datagrams(asyncio.DatagramProtocol):
    """One message a datagram (RFC 3261, 18.3)."""

    def __init__(self, received: Received) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._received(data, Hop("udp", addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        log.debug("datagram_refused", error=str(exc))  # an ICMP error names no request: its timer will tell


class _Link(asyncio.Protocol):
    """One connection, in either direction; `admission_at`: until when somebody has to have come in over one to us."""

    def __init__(self, owner: Transports, hop: Hop, *, admission_at: float | None = None) -> None:
        self._owner = owner
        self._hop = hop
        self._admission_at = admission_at
        self.gone = asyncio.Event()
        self._admission: asyncio.TimerHandle | None = None
        self._slow: asyncio.TimerHandle | None = None
        self._framer = StreamFramer(MESSAGE_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self.heard_at = 0.0
        """When something came over it the last time, or else when it was opened; of the loop's time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)  # no loop but asyncio's own promises this class
        self._transport = stream
        self.heard_at = asyncio.get_running_loop().time()
        _watch(stream.get_extra_info("socket"))
        self._owner.opened(self, self._hop)
        if self._admission_at is not None:
            self._admission = asyncio.get_running_loop().call_at(self._admission_at, self._not_admitted)

    def admitted(self) -> None:
        """Somebody came in over it."""
        if self._admission is not None:
            self._admission.cancel()
            self._admission = None

    def _not_admitted(self) -> None:
        self._close_for("stranger", "nobody came over it who may come in")

    def _too_slow(self) -> None:
        self._close_for("too_slow", f"a message was not whole after {MESSAGE_S:.0f} s")

    def _close_for(self, kind: str, reason: str) -> None:
        assert self._transport is not None
        CLOSED.labels(kind).inc()
        self._owner.tell("connection_closed", self._hop, reason)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        assert self._transport is not None
        pings = False
        for frame in self._framer.receive(data):
            if isinstance(frame, FramingError):
                CLOSED.labels("broken").inc()
                self._owner.tell("connection_broken", self._hop, frame.reason)
                self._transport.abort()
                return
            if isinstance(frame, bytes):
                self._owner.message(frame, self._hop)
            else:
                pings = True
            self._whole()
        if (
            pings
        ):  # one pong, however many keep-alives came at once (RFC 5626, 4.4.1): whoever reads none gets no thousand
            self.send(b"\r\n")
        if self._framer.pending and self._slow is None:
            self._slow = asyncio.get_running_loop().call_later(MESSAGE_S, self._too_slow)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.gone.set()
        self.admitted()
        self._whole()
        self._owner.lost(self, self._hop)

    def _whole(self) -> None:
        """No message is on its way."""
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def send(self, data: bytes) -> None:
        """Writes; a peer that takes nothing any more is given up."""
        assert self._transport is not None
        if self._transport.get_write_buffer_size() > PENDING_BYTES_MAX:
            self._transport.abort()
        else:
            self._transport.write(data)

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Ends the connection once everything is written."""
        if self._transport is not None:
            self._transport.close()


def _watch(connection: socket.socket | None) -> None:
    """Has the system ask whether the other side is still there, and give the connection up where it is not."""
    if connection is None:
        return
    with suppress(OSError):  # it is gone again
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in WATCHED.items():
            option = getattr(socket, name, None)  # not every system has them all
            if option is not None:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _network(host: str) -> str:
    """Whose connections are counted together: of IPv6 everybody has a /64 at least (RFC 6177)."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


def own_address(host: str, towards: Hop | None) -> str:
    """Our address as the other side sees it: of a socket that looks towards it, where we listen on all addresses."""
    if host not in ("0.0.0.0", "::") or towards is None:  # noqa: S104 - compared, not bound
        return host
    family = socket.AF_INET6 if ":" in towards.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((towards.host, towards.port))
        return str(probe.getsockname()[0])
