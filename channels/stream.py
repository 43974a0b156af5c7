"""The asyncio driver of every protocol machine that speaks over a byte stream. No protocol lives here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, cast

import structlog

from channels.deadline import DeadlineTimer

log = structlog.get_logger(__name__)

CLOSE_S = 5.0
"""How long a closing connection may take to get rid of its last bytes before it is cut: the peer may not be reading."""

EventT = TypeVar("EventT")
EventT_co = TypeVar("EventT_co", covariant=True)


class StreamMachine(Protocol[EventT_co]):
    """A protocol without I/O: bytes and `now` (monotonic seconds) in, bytes and events out. Its input never raises."""

    def receive_bytes(self, data: bytes, now: float) -> None:
        """Takes what the network brought, in pieces of any size."""
        ...

    def receive_eof(self) -> None:
        """The peer will send nothing more, or the connection is gone."""
        ...

    def bytes_to_send(self) -> bytes:
        """What must be written now; each byte is handed over once."""
        ...

    def next_event(self) -> EventT_co | None:
        """The oldest event not yet seen."""
        ...

    def next_deadline(self) -> float | None:
        """When `handle_deadline` must be called, in the time of `now`."""
        ...

    def handle_deadline(self, now: float) -> None:
        """Does what is due; harmless when nothing is."""
        ...

    @property
    def closed(self) -> bool:
        """Nothing will be said after what `bytes_to_send` still has."""
        ...

    @property
    def reading_paused(self) -> bool:
        """No more should be read from the network for now."""
        ...


class StreamDriver(asyncio.Protocol, Generic[EventT]):
    """Moves bytes and time between one connection and one machine; `on_event` gets each event as it happens.

    Whoever calls a verb of the machine calls `wake` after it. Everything that one turn of the loop brought forth is
    written at once. `on_connected` is called once there is a connection (and the TLS handshake is done). From then on
    `finished` will be set in the end: when the machine is closed and the connection is gone.
    """

    def __init__(
        self,
        machine: StreamMachine[EventT],
        on_event: Callable[[EventT], None],
        on_connected: Callable[[], None] | None = None,
    ) -> None:
        self.finished = asyncio.Event()
        self._machine = machine
        self._drain_events = _drainer(machine, on_event)
        self._on_connected = on_connected
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._flush_due = False
        self._writing_paused = False
        self._reading_paused = False
        self._timer = DeadlineTimer(self._loop, self._on_timer)
        self._cut: asyncio.TimerHandle | None = None

    # -- called by asyncio ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's
        if self._on_connected is not None:
            self._on_connected()
        self.wake()

    def data_received(self, data: bytes) -> None:
        self._machine.receive_bytes(data, self._loop.time())
        self._drain_events()
        self.wake()

    def eof_received(self) -> bool:
        self._machine.receive_eof()
        self._flush()
        return False  # the transport closes itself once what was flushed is written

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the machine knows why it ended
        self._transport = None
        self._machine.receive_eof()
        self._timer.cancel()
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None
        self._drain_events()
        self.finished.set()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self.wake()

    # -- called by the owner --------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Has the machine's bytes written and its deadlines kept, at the end of this turn of the loop."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    # -- inner workings -------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        self._flush_due = False
        self._drain_events()
        transport = self._transport
        if transport is None:
            return
        # A network that does not take bytes leaves them in the machine, which then knows that they never left.
        if not self._writing_paused or self._machine.closed:
            data = self._machine.bytes_to_send()
            if data and not transport.is_closing():
                transport.write(data)
        if self._machine.closed:
            self._close(transport)
            return
        self._apply_back_pressure(transport)
        self._arm_timer()

    def _apply_back_pressure(self, transport: asyncio.Transport) -> None:
        if self._machine.reading_paused is self._reading_paused or transport.is_closing():
            return
        self._reading_paused = not self._reading_paused
        if self._reading_paused:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def _arm_timer(self) -> None:
        """One timer for all deadlines. One that moved back is found when the timer fires."""
        deadline = self._machine.next_deadline()
        if deadline is not None:
            self._timer.by(deadline)

    def _on_timer(self) -> None:
        self._machine.handle_deadline(self._loop.time())
        self._flush()

    def _close(self, transport: asyncio.Transport) -> None:
        self._timer.cancel()
        if self._cut is None:
            transport.close()
            self._cut = self._loop.call_later(CLOSE_S, transport.abort)


def _drainer(machine: StreamMachine[EventT], on_event: Callable[[EventT], None]) -> Callable[[], None]:
    """A function that hands over every event there is, in order. Calls from within `on_event` do nothing.

    A fault of ours in one event is logged and costs that event alone: raised into the loop it would cut the connection,
    and with it everything that was sent over it and waits for its answer.
    """
    draining = False

    def drain() -> None:
        nonlocal draining
        if draining:
            return
        draining = True
        try:
            while (event := machine.next_event()) is not None:
                try:
                    on_event(event)
                except Exception:
                    log.exception("stream_event_failed", what=type(event).__name__)
        finally:
            draining = False

    return drain
