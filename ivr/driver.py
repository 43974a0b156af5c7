"""Where a SIP user agent meets sockets and a clock: bytes in, bytes out, deadlines kept, events told. It knows no call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from ivr.notices import Notices
from ivr.sip.agent import Admission, Admitted, Doorkeeper, LocalSide, UserAgent
from ivr.sip.digest import Authenticator
from ivr.sip.events import NOTICES, Alarm, CallEvent, Lost
from ivr.sip.hop import Hop, Transport
from ivr.sip.message import Request, Response
from ivr.transports import Knows, TlsContexts, Transports, Trouble, nobody

log = structlog.get_logger(__name__)

NOTICED = Counter("tocsin_sip_notices_total", "Messages that were refused, dropped or read with goodwill", ["kind"])
for _kind in NOTICES:
    NOTICED.labels(_kind)  # there from the start, at 0


class GuardedAgent(UserAgent):
    """A user agent whose alarms keep their faults to themselves: `failed` hears whose method it was that raised."""

    def __init__(
        self,
        *,
        local: LocalSide,
        tokens: Callable[[], str],
        admit: Doorkeeper,
        incoming_max: int,
        authenticator: Callable[[], Authenticator] | None,
        failed: Callable[[object], None],
    ) -> None:
        super().__init__(
            local=local, tokens=tokens, admit=admit, incoming_max=incoming_max, authenticator=authenticator
        )
        self._failed = failed

    def at(self, when: float, action: Callable[[float], None]) -> Alarm:
        """See `UserAgent.at`."""

        def guarded(now: float) -> None:
            try:
                action(now)
            except Exception:
                log.exception("call_alarm_failed")
                self._failed(getattr(action, "__self__", None))

        return super().at(when, guarded)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Hears of one request's final answer."""

    answer: asyncio.Future[Response | None]

    def on_response(self, _key: str, response: Response, _source: Hop, _now: float) -> None:
        """A final answer ends the waiting."""
        if response.status >= 200 and not self.answer.done():
            self.answer.set_result(response)

    def on_lost(self, _key: str, _lost: Lost, _now: float) -> None:
        """There will be none."""
        if not self.answer.done():
            self.answer.set_result(None)


class Driver:
    """Drives one agent from the running loop. `told` hears of everything that happens; it may ask the agent for more."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        transport: Transport,
        tls: TlsContexts | None,
        told: Callable[[CallEvent], None],
        knows: Knows = nobody,
    ) -> None:
        self._told = told
        self._transports = Transports(
            host=host, port=port, transport=transport, tls=tls, received=self._received, failed=self._failed,
            knows=knows,
        )  # fmt: skip
        self._agent: UserAgent | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waking = False
        self._notices = Notices()

    async def open(self, made: Callable[[int], UserAgent]) -> None:
        """Binds the sockets; `made` gives the agent, once the port is known. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        try:
            await self._transports.open()
            self._agent = made(self._transports.port)
        except BaseException:
            await self._transports.close()
            raise

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

    async def until_lost(self, hop: Hop) -> None:
        """See `Transports.until_lost`."""
        await self._transports.until_lost(hop)

    def noting(self, admit: Doorkeeper) -> Doorkeeper:
        """The same door, which notes who came in: their connection is kept."""

        def asked(request: Request, hop: Hop, now: float) -> Admission:
            admission = admit(request, hop, now)
            if isinstance(admission, Admitted):
                self._transports.admit(hop)
            return admission

        return asked

    async def ask(self, request: Request, hop: Hop, *, within_s: float) -> Response | None:
        """Sends a request outside a dialog; its final answer, or None where there is none in time."""
        waiting = _Waiting(asyncio.get_running_loop().create_future())
        key = self.agent.transact(request, hop, waiting, self.now())
        self.pump()
        try:
            async with asyncio.timeout(within_s):
                return await waiting.answer
        except TimeoutError:
            self.agent.unanswered(key)
            self.wake()
            return None
        finally:
            self.agent.forget(key)

    def wake(self) -> None:
        """Something was asked of the agent from outside its own events: it is driven in the next turn of the loop."""
        if not self._waking and self._loop is not None:
            self._waking = True
            self._loop.call_soon(self._woken)

    def pump(self) -> None:
        """Sends what is to be sent, tells what has happened, until both are nothing; then waits for the next deadline."""
        try:
            self._send_and_tell()
        finally:
            self._await_deadline()

    def _send_and_tell(self) -> None:
        agent = self.agent
        for notice in agent.notices():
            NOTICED.labels(notice.kind).inc()
            told = self._notices.tell(notice.kind, notice.peer, self.now())
            if told is not None:
                peer, left_out = told
                log.warning(notice.kind, peer=peer, what=notice.what, left_out=left_out)
        while True:
            for hop, since in agent.silent():
                if self._transports.give_up(hop, since):
                    self._failed(hop)
            for hop, data in agent.messages_to_send():
                self._transports.send(hop, data)
            event = agent.next_event()
            if event is None:
                break
            try:
                self._told(event)
            except Exception:  # a fault of ours in one call
                log.exception("call_event_failed", what=type(event).__name__, call=event.call.call_id)

    def _await_deadline(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.agent.next_deadline()
        if deadline is not None and self._loop is not None:
            self._timer = self._loop.call_at(deadline, self._due)

    def _drive(self, step: Callable[[float], None]) -> None:
        """Has the agent do one thing. A fault of ours in it touches no other call: what was left undone is done next."""
        try:
            step(self.now())
        except Exception:
            log.exception("sip_step_failed")
            asyncio.get_running_loop().call_soon(self._due)
        finally:
            self.pump()

    def _woken(self) -> None:
        self._waking = False
        self.pump()

    def _received(self, data: bytes, source: Hop) -> None:
        self._drive(lambda now: self.agent.receive(data, source, now))

    def _failed(self, hop: Hop) -> None:
        self._drive(lambda now: self.agent.transport_failed(hop, now))

    def _due(self) -> None:
        self._drive(self.agent.handle_deadline)
