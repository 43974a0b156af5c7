"""Where a SIP user agent meets sockets and a clock: bytes in, bytes out, deadlines kept, events told. It knows no call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from ivr.sip.agent import UserAgent
from ivr.sip.events import CallEvent
from ivr.sip.hop import Hop, Transport
from ivr.transports import TlsContexts, Transports, Trouble

log = structlog.get_logger(__name__)


class Driver:
    """Drives one agent from the running loop. `told` hears of everything that happens; it may ask the agent for more."""

    def __init__(
        self, *, host: str, port: int, transport: Transport, tls: TlsContexts | None, told: Callable[[CallEvent], None]
    ) -> None:
        self._told = told
        self._transports = Transports(
            host=host, port=port, transport=transport, tls=tls, received=self._received, failed=self._failed
        )
        self._agent: UserAgent | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waking = False

    async def open(self, made: Callable[[int], UserAgent]) -> None:
        """Binds the sockets; `made` gives the agent, once the port is known. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        await self._transports.open()
        self._agent = made(self._transports.port)

    async def close(self) -> None:
        """Closes the sockets; nothing is driven any more."""
        if self._timer is not None:
            self._timer.cancel()
        await self._transports.close()

    @property
    def opened(self) -> bool:
        """Whether there is an agent."""
        return self._agent is not None

    @property
    def agent(self) -> UserAgent:
        """The user agent, once it is open."""
        assert self._agent is not None, "it is open"
        return self._agent

    @property
    def port(self) -> int:
        """The port of SIP."""
        return self._transports.port

    def now(self) -> float:
        """The time of all machines: the loop's."""
        assert self._loop is not None, "it is open"
        return self._loop.time()

    def trouble(self, hop: Hop) -> Trouble | None:
        """Why there is no connection to the hop; None where nothing is known against it."""
        return self._transports.trouble(hop)

    def wake(self) -> None:
        """Something was asked of the agent from outside its own events: it is driven in the next turn of the loop."""
        if not self._waking and self._loop is not None:
            self._waking = True
            self._loop.call_soon(self._woken)

    def pump(self) -> None:
        """Sends what is to be sent, tells what has happened, until both are nothing; then waits for the next deadline."""
        agent = self.agent
        while True:
            for hop, data in agent.messages_to_send():
                self._transports.send(hop, data)
            event = agent.next_event()
            if event is None:
                break
            try:
                self._told(event)
            except Exception:
                log.exception("call_event_failed", event=type(event).__name__)  # a fault of ours in one call
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = agent.next_deadline()
        if deadline is not None and self._loop is not None:
            self._timer = self._loop.call_at(deadline, self._due)

    def _woken(self) -> None:
        self._waking = False
        self.pump()

    def _received(self, data: bytes, source: Hop) -> None:
        self.agent.receive(data, source, self.now())
        self.pump()

    def _failed(self, hop: Hop) -> None:
        self.agent.transport_failed(hop, self.now())
        self.pump()

    def _due(self) -> None:
        self._timer = None
        self.agent.handle_deadline(self.now())
        self.pump()
