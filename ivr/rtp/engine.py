"""The sockets of all calls' audio and the one clock they share: every 20 ms all that came is read, then each call sends a packet."""

from __future__ import annotations

import asyncio
import random
import select
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog
from prometheus_client import Counter, Gauge, Histogram

from ivr.notices import Notices
from ivr.rtp.packet import PACKET_BYTES_MAX
from ivr.rtp.sources import Network
from ivr.rtp.stream import MediaEvent, MediaStream

log = structlog.get_logger(__name__)

TICK_S = 0.02
STALL_S = 1.0
"""After a longer stall the schedule starts anew: what should have been said meanwhile is not sent in one burst."""
OPENING_S = 0.1
"""So long a port is listened to before anybody is told of it: whoever is still in a call that is over sends every 20 ms. Early
media (RFC 3960) may come right after the INVITE, so later the two cannot be told apart."""
READS_MAX = 8
"""Packets of one call read in one tick: 20 ms bring one or two; more wait for the next, and floods for ever."""
FLOOD_READS_MAX = 400
"""Packets read in one tick beyond two of each socket: some 4 ms. Every call is read once, whatever comes to the others."""
RECEIVE_BUFFER_BYTES = 64 * 1024
"""Some 30 packets a socket (the kernel counts 2 kB for each)."""

CALLS = Gauge("tocsin_rtp_streams", "Calls with audio")
LATE = Histogram(
    "tocsin_rtp_tick_late_seconds",
    "How late the 20 ms tick began",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5),
)
STALLS = Counter("tocsin_rtp_stalls_total", "Times the audio of all calls stood still for a second or more")
UNSENT = Counter("tocsin_rtp_unsent_total", "Packets that the system did not take")
DROPPED = Counter(
    "tocsin_rtp_dropped_total", "Packets of calls that were not believed, or were none that was agreed", ["reason"]
)
for _reason in ("foreign", "broken"):
    DROPPED.labels(_reason)  # there from the start, at 0
FOREIGN_TOLD = 50
"""Packets of one call from elsewhere, a second's worth, that are a line of the log: a phone that moves sends fewer."""


class NoPortError(RuntimeError):
    """All ports for audio are in use."""


class Listener(Protocol):
    """Hears the sound of many calls at once, tick by tick (in-band keys, answering machines, recordings)."""

    def hear(self, heard: Sequence[tuple[MediaStream, Sequence[tuple[str, bytes]]]]) -> None:
        """(stream, its frames as (codec, payload)) of every stream that is listened to and of which something came."""
        ...


class MediaPort:
    """One call's socket and stream."""

    __slots__ = ("_engine", "_socket", "port", "reports", "stream")

    def __init__(self, engine: MediaEngine, sock: socket.socket, stream: MediaStream) -> None:
        self._engine = engine
        self._socket = sock
        self.port: int = sock.getsockname()[1]
        self.stream = stream
        self.reports: socket.socket | None = None
        """Where RTCP comes, once somebody wants to hear it."""

    @property
    def socket(self) -> socket.socket:
        """The socket, for the engine."""
        return self._socket

    def hear_reports(self) -> None:
        """Listens for RTCP too, at the odd port behind this one. Harmless twice."""
        self._engine.hear_reports(self)

    def close(self) -> None:
        """Nothing is sent or heard any more. Harmless twice."""
        self._engine.forget(self)


class MediaEngine:
    """All audio of one endpoint. Its schedule is absolute: a late tick does not make the next ones late."""

    def __init__(
        self, *, host: str, ports: tuple[int, int], listeners: Sequence[Listener] = (), trusted: Sequence[Network] = ()
    ) -> None:
        """`trusted`: networks from which the other side's media may come, whatever was agreed."""
        self._host = host
        self._trusted = tuple(trusted)
        self._first, self._last = ports[0] + ports[0] % 2, ports[1]
        # not at the first one: after a crash, people whom nobody told still send to the ports of their calls
        self._next_port = self._first + 2 * (random.getrandbits(16) % max(1, self._pairs))
        self._listeners = tuple(listeners)
        self._ports: dict[int, MediaPort] = {}
        self._reporting: dict[int, MediaPort] = {}
        self._epoll: select.epoll | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._packets: list[bytes] = []
        self._notices = Notices()

    def start(self) -> None:
        """Starts the clock."""
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._next = self._loop.time() + TICK_S
        self._timer = self._loop.call_at(self._next, self._tick)

    def stop(self) -> None:
        """Ends everything."""
        if self._timer is not None:
            self._timer.cancel()
        for port in list(self._ports.values()):
            port.close()
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None

    async def open_secret(self, on_event: Callable[[MediaEvent], None]) -> MediaPort:
        """`open` for a call of ours: whoever sends there already is left over from another call, and is heard before our offer
        tells anybody of the port. Raises NoPortError."""
        port = self.open(on_event, secret=True)
        try:
            await asyncio.sleep(OPENING_S)
        except asyncio.CancelledError:
            port.close()
            raise
        port.stream.announced()
        return port

    def open(self, on_event: Callable[[MediaEvent], None], *, secret: bool = False) -> MediaPort:
        """A port for one call, with a stream whose beginnings nobody can guess (RFC 3550, 5.1). Raises NoPortError."""
        assert self._loop is not None, "the engine runs"
        assert self._epoll is not None
        sock = self._bind()
        stream = MediaStream(
            ssrc=random.getrandbits(32), sequence=random.getrandbits(15), timestamp=random.getrandbits(32),
            on_event=on_event, secret=secret, trusted=self._trusted,
        )  # fmt: skip
        port = MediaPort(self, sock, stream)
        self._ports[sock.fileno()] = port
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        CALLS.inc()
        return port

    def forget(self, port: MediaPort) -> None:
        """Closes a port."""
        number = port.socket.fileno()
        if number >= 0 and self._ports.pop(number, None) is not None:
            CALLS.dec()
            if self._epoll is not None:
                with suppress(OSError):
                    self._epoll.unregister(number)
            port.socket.close()
            self._forget_reports(port)
            self._tell_of_strangers(port)

    def _tell_of_strangers(self, port: MediaPort) -> None:
        """What came to a call and was not believed, or nothing that was agreed."""
        counts = port.stream.counts
        DROPPED.labels("foreign").inc(counts.foreign)
        DROPPED.labels("broken").inc(counts.broken)
        if counts.foreign < FOREIGN_TOLD or self._loop is None:
            return
        told = self._notices.tell("audio_of_strangers", "", self._loop.time())
        if told is not None:
            log.warning("audio_of_strangers", port=port.port, packets=counts.foreign, left_out=told[1])

    def hear_reports(self, port: MediaPort) -> None:
        """Opens the port of a call's RTCP (RFC 3550, 11): only for one that brings no audio, so that others take one socket each."""
        number = port.socket.fileno()
        if number not in self._ports or port.reports is not None or self._epoll is None:
            return
        with suppress(OSError):  # somebody else has it: then the call is known by other signs
            sock = socket.socket(port.socket.family, socket.SOCK_DGRAM)
            port.reports = sock
            sock.setblocking(False)
            sock.bind((self._host, port.port + 1))
            self._epoll.register(sock.fileno(), select.EPOLLIN)
            self._reporting[sock.fileno()] = port

    def _forget_reports(self, port: MediaPort) -> None:
        sock = port.reports
        if sock is not None:
            self._reporting.pop(sock.fileno(), None)
            sock.close()  # which takes it from the epoll as well

    def _read_reports(self, number: int, now: float) -> None:
        port = self._reporting.get(number)
        if port is not None and port.reports is not None:
            with suppress(OSError):
                data, source = port.reports.recvfrom(PACKET_BYTES_MAX)
                port.stream.reported(data, source[:2], now)

    @property
    def _pairs(self) -> int:
        """Even ports: the odd one behind each is its RTCP's (RFC 3550, 11)."""
        return (self._last - self._first) // 2 + 1

    def _bind(self) -> socket.socket:
        """The next free even port, so that one that was given back is not used again at once."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        for _ in range(self._pairs):
            number = self._next_port
            self._next_port = number + 2 if number + 2 <= self._last else self._first
            try:
                sock = socket.socket(family, socket.SOCK_DGRAM)
            except OSError as error:
                raise NoPortError(f"no socket for audio: {error.strerror}") from error
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
                sock.bind((self._host, number))
            except OSError:
                sock.close()
                continue
            return sock
        raise NoPortError(f"no free port for audio from {self._first} to {self._last}")

    # --- every 20 ms -------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        assert self._loop is not None
        now = self._loop.time()
        late = now - self._next
        LATE.observe(late)
        if late > STALL_S:
            STALLS.inc()
            log.warning("audio_stood_still", seconds=round(late, 2), calls=len(self._ports))
            self._next = now
        try:
            self._read(now)
            self._send()
        except Exception:
            log.exception("audio_tick_failed")  # the clock goes on
        self._next += TICK_S
        self._timer = self._loop.call_at(self._next, self._tick)

    def _read(self, now: float) -> None:
        assert self._epoll is not None
        heard: dict[MediaStream, None] = {}
        left = 2 * (len(self._ports) + len(self._reporting)) + FLOOD_READS_MAX
        for _ in range(READS_MAX):
            # who has sent more than one packet is ready again: nobody is asked for what has not come
            ready = self._epoll.poll(0, left)
            left -= len(ready)
            if not ready:
                break
            for number, _ in ready:
                port = self._ports.get(number)
                if port is None:
                    self._read_reports(number, now)
                    continue
                stream = port.stream
                try:
                    data, source = port.socket.recvfrom(PACKET_BYTES_MAX)
                    stream.receive(data, source[:2], now)
                except OSError:
                    continue  # an ICMP error, or a socket that was closed by what its last packet meant
                except Exception:  # a fault of ours in one call must not silence the others
                    log.exception("audio_tick_failed")
                if stream.frames_heard:
                    heard[stream] = None
            if left <= 0:
                break
        if heard:
            self._tell([(stream, stream.take_heard()) for stream in heard])

    def _tell(self, heard: Sequence[tuple[MediaStream, Sequence[tuple[str, bytes]]]]) -> None:
        for listener in self._listeners:
            try:
                listener.hear(heard)
            except Exception:  # what one of them does not hear, the others do
                log.exception("audio_tick_failed")

    def _send(self) -> None:
        packets = self._packets
        unsent = 0
        for port in list(self._ports.values()):
            stream = port.stream
            try:
                stream.tick(packets)
            except Exception:  # a fault of ours in one call must not silence the others
                log.exception("audio_tick_failed")
                packets.clear()
            if packets and stream.remote is not None:
                remote, send = stream.remote, port.socket.sendto
                for packet in packets:
                    try:
                        send(packet, remote)
                    except OSError:
                        unsent += 1
                packets.clear()
        if unsent:
            UNSENT.inc(unsent)
