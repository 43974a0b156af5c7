"""One SIP endpoint: the only place where sockets, clocks and the machines of calls meet. It places calls and takes them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog
from prometheus_client import Counter, Gauge

from ivr.audio.prompts import Prompts
from ivr.audio.sound import Sound
from ivr.audio.speech import Speech
from ivr.call import Call, CallResult
from ivr.driver import Driver, GuardedAgent
from ivr.flow import FAILED
from ivr.listening import Ears
from ivr.menu import Dialogue, Segment
from ivr.narrator import Narrator
from ivr.orders import Conversation, EndpointConfig, Order
from ivr.rtp.engine import MediaEngine, MediaPort, NoPortError
from ivr.rtp.srtp import crypto_attributes, transform_of
from ivr.rtp.stream import KeyHeard, MediaEvent, PlaybackEnded
from ivr.rtp.telephone_event import Path
from ivr.sip.agent import Doorkeeper, LocalSide, UserAgent
from ivr.sip.digest import Authenticator
from ivr.sip.events import (
    Answered,
    CallEvent,
    Ended,
    KeySignalled,
    Lost,
    MediaChanged,
    Offered,
    Refusal,
    Refused,
    Ringing,
)
from ivr.sip.hop import Hop
from ivr.sip.incoming import IncomingCall
from ivr.sip.layer import OverloadedError
from ivr.sip.message import Request, Response
from ivr.sip.negotiation import Negotiation
from ivr.sip.outgoing import Invitation, OutgoingCall
from ivr.sip.sdp import CryptoAttribute
from ivr.sip.session import Session
from ivr.transports import Knows, Trouble, nobody, own_address
from ivr.turns import Turn, Turns

log = structlog.get_logger(__name__)

FAREWELL_S = 0.2
"""After the last BYE: its answer, and those of what was cancelled."""

CALLS = Counter("tocsin_calls_total", "Calls by direction and what became of them", ["direction", "result"])
UP = Gauge("tocsin_calls_up", "Calls that are answered and not over")

Leg = OutgoingCall | IncomingCall
"""A call as SIP sees it."""


class Handle:
    """A call that was placed, for whoever may want it back."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.leg: OutgoingCall | None = None
        self.call: Call | None = None
        self.stopped = False
        self.turn: Turn | None = None
        self.answering: Callable[[], None] = lambda: None
        self.result: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()

    def hang_up(self, reason: str = "") -> None:
        """Ends it wherever it stands: not placed yet, ringing, or up."""
        self.stopped = True
        if self.turn is not None:
            self.turn.cancel()
        if self.leg is not None:
            with self._endpoint.guarded(self.leg):
                self.leg.hang_up(self._endpoint.now(), reason=reason)
            self._endpoint.wake()

    def hasten(self) -> None:
        """It is urgent now, where it still waits for its turn."""
        if self.turn is not None:
            self._endpoint.turns.hasten(self.turn)

    def interrupt(self, by: str) -> None:
        """Tells whoever is on the line that somebody else has it, then hangs up. Only of a call that is up."""
        if self.call is not None:
            with self._endpoint.guarded(self.call.leg):
                self.call.interrupt(by)

    @property
    def up(self) -> bool:
        """Whether it was answered."""
        return self.call is not None


@dataclass(slots=True)
class _Line:
    """A call that was answered. `over` tells its result, once; `faulty`: something of ours went wrong in it."""

    call: Call
    over: Callable[[CallResult], None]
    faulty: bool = False


IncomingHandler = Callable[[IncomingCall], Awaitable[Conversation | int]]
"""What is talked about with somebody who calls us, or the status that refuses them."""


class Endpoint:
    """Sockets, agent, media and calls of one provider."""

    def __init__(
        self,
        config: EndpointConfig,
        *,
        prompts: Prompts,
        speech: Speech,
        admit: Doorkeeper,
        incoming: IncomingHandler,
        knows: Knows = nobody,
    ) -> None:
        self.config = config
        self._narrator = Narrator(prompts, speech)
        self._incoming = incoming
        self._admit = admit
        self._ears = Ears()
        self._engine = MediaEngine(
            host=config.host, ports=config.rtp_ports, listeners=(self._ears,), trusted=config.trusted
        )
        self._driver = Driver(
            host=config.host, port=config.port, transport=config.transport, tls=config.tls, told=self._event,
            knows=knows,
        )  # fmt: skip
        self._lines: dict[Leg, _Line] = {}
        self._placed: dict[OutgoingCall, tuple[Handle, MediaPort, Conversation]] = {}
        self.turns = Turns(config.calls_per_s, self.now)
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    # --- opening and closing -----------------------------------------------------------------------------------------

    async def open(self, towards: Hop | None = None) -> None:
        """Binds the sockets and starts the clock; `towards` finds our own address where we listen on all. Raises OSError."""
        config = self.config
        host = config.public_address or own_address(config.host, towards)

        def agent(port: int) -> UserAgent:
            local = LocalSide(host=host, ports={config.transport: port}, user=config.user)
            return GuardedAgent(
                local=local, tokens=lambda: secrets.token_hex(8), admit=self._driver.noting(self._admit),
                incoming_max=config.incoming_max, authenticator=self._authenticator if config.credentials else None,
                failed=self._alarm_failed,
            )  # fmt: skip

        await self._driver.open(agent)
        try:
            self._engine.start()
        except BaseException:
            await self._driver.close()
            raise

    async def close(self) -> None:
        """Hangs up what is up, waits a moment for the answers, closes the sockets."""
        self._closing = True
        if self._driver.opened:
            for leg in [*self._placed, *self._lines]:
                with self.guarded(leg):
                    leg.hang_up(self.now(), reason='SIP;cause=503;text="Going down"')
            self._driver.pump()
            if self._placed or self._lines or self.agent.calls:
                await asyncio.sleep(FAREWELL_S)
                self._driver.pump()
        self._engine.stop()
        await self._driver.close()

    @property
    def agent(self) -> UserAgent:
        """The user agent, once the endpoint is open."""
        return self._driver.agent

    @property
    def port(self) -> int:
        """The port of SIP."""
        return self._driver.port

    @property
    def calls_up(self) -> int:
        """Calls that are answered."""
        return len(self._lines)

    @property
    def calls_out(self) -> int:
        """Calls of ours, ringing or answered."""
        answered = sum(isinstance(leg, OutgoingCall) for leg in self._lines)
        return len(self._placed) + answered

    def now(self) -> float:
        """The time of all machines: the loop's."""
        return self._driver.now()

    # --- calls out ---------------------------------------------------------------------------------------------------

    def prepare(self) -> Handle:
        """A handle for a call to be placed, so that it can be taken back at any time from now on."""
        return Handle(self)

    async def place(self, order: Order, handle: Handle) -> CallResult:
        """Calls, talks, and gives what became of it once it is over."""
        handle.turn = self.turns.take(urgent=order.urgent)
        try:
            await asyncio.wait({handle.turn})
        finally:
            handle.turn.cancel()
        if handle.stopped or self._closing:
            return CallResult(call_id="", refusal=Refusal(lost=Lost.STOPPED))
        try:
            port = await self._engine.open_secret(lambda event: self._media_event(handle, event))
        except NoPortError as error:
            log.error("no_port_for_audio", error=str(error))
            return CallResult(call_id="", refusal=Refusal(lost=Lost.TRANSPORT_FAILED, phrase=str(error)))
        if handle.stopped or self._closing:
            port.close()
            return CallResult(call_id="", refusal=Refusal(lost=Lost.STOPPED))
        authenticator = None if self.config.credentials is None else self._authenticator()
        invitation = Invitation(
            target=order.target, to=order.to, from_=order.from_, hops=order.hops, headers=order.headers,
            ring_s=order.ring_s, first_response_s=order.first_response_s, authenticator=authenticator,
            redirect=order.redirect,
        )  # fmt: skip
        try:
            leg = self.agent.invite(invitation, self._negotiation(port), self.now())
        except OverloadedError as error:
            port.close()
            return CallResult(call_id="", refusal=Refusal(lost=Lost.TRANSPORT_FAILED, phrase=str(error)))
        handle.leg, handle.answering = leg, order.answering
        self._placed[leg] = handle, port, order.conversation
        self._driver.pump()
        try:
            return await asyncio.shield(handle.result)
        except asyncio.CancelledError:
            handle.hang_up()
            raise

    def _authenticator(self) -> Authenticator:
        """Our credentials at the trunk, for one call."""
        assert self.config.credentials is not None
        return Authenticator(self.config.credentials, lambda: secrets.token_hex(8))

    def _negotiation(self, port: MediaPort) -> Negotiation:
        crypto: tuple[CryptoAttribute, ...] = ()
        if self.config.encrypted:
            crypto = crypto_attributes(secrets.token_bytes)
        return Negotiation(
            address=self.agent.local.host, port=port.port, session_id=secrets.randbits(31), codecs=self.config.codecs,
            crypto=crypto,
        )  # fmt: skip

    # --- other requests ----------------------------------------------------------------------------------------------

    async def ask(self, request: Request, hop: Hop, *, within_s: float) -> Response | None:
        """Sends a request outside a dialog; its final answer, or None where there is none in time."""
        return await self._driver.ask(request, hop, within_s=within_s)

    def trouble(self, hop: Hop) -> Trouble | None:
        """Why there is no connection to the hop; None where nothing is known against it."""
        return self._driver.trouble(hop)

    async def until_lost(self, hop: Hop) -> None:
        """See `Transports.until_lost`."""
        await self._driver.until_lost(hop)

    def wake(self) -> None:
        """Something was asked of a call from outside: see `Driver.wake`."""
        self._driver.wake()

    # --- what happens to calls ---------------------------------------------------------------------------------------

    def _event(self, event: CallEvent) -> None:
        with self.guarded(event.call):
            self._tell(event, self.now())

    def _tell(self, event: CallEvent, now: float) -> None:
        call = self._call_of(event.call)
        match event:
            case Ringing():
                log.debug("call_ringing", call=event.call.call_id, status=event.status)
                if event.call in self._placed:
                    self._placed[event.call][0].answering()
            case Answered(call=OutgoingCall() as leg):
                self._answered(leg, now)
            case Refused():
                self._refused(event.call, event.refusal)
            case Offered():
                self._background(event.call, self._offered(event.call))
            case Answered() if call is not None:
                call.answered(now)
            case Ended() if call is not None:
                call.over(now, by_remote=event.by_remote)
            case KeySignalled() if call is not None:
                call.key(event.key, Path.INFO)
            case MediaChanged() if call is not None:
                call.media_changed()

    def _call_of(self, leg: Leg) -> Call | None:
        line = self._lines.get(leg)
        return None if line is None else line.call

    def _answered(self, leg: OutgoingCall, now: float) -> None:
        handle, port, conversation = self._placed[leg]
        handle.answering()

        def ended(result: CallResult) -> None:
            if not handle.result.done():
                handle.result.set_result(result)

        handle.call = self._call(leg, port, conversation, ended)
        del self._placed[leg]
        handle.call.answered(now)

    def _refused(self, leg: OutgoingCall, refusal: Refusal) -> None:
        if leg not in self._placed:
            return
        handle, port, _ = self._placed.pop(leg)
        port.close()
        CALLS.labels("out", str(refusal.lost or refusal.status)).inc()
        if not handle.result.done():
            handle.result.set_result(CallResult(call_id=leg.call_id, refusal=refusal))

    async def _offered(self, leg: IncomingCall) -> None:
        leg.ring(self.now())
        self.wake()
        found: Conversation | int = 500
        try:
            found = 503 if self._closing else await self._incoming(leg)
        except Exception:
            log.exception("incoming_call_failed", call=leg.call_id)
        if isinstance(found, int):
            CALLS.labels("in", str(found)).inc()
            leg.refuse(found, self.now())
        else:
            self._take(leg, found)
        self.wake()

    def _take(self, leg: IncomingCall, found: Conversation) -> None:
        try:
            port = self._engine.open(lambda event: self._media_event(leg, event))
        except NoPortError as error:
            log.error("no_port_for_audio", error=str(error))
            leg.refuse(503, self.now())
            return

        try:
            self._call(leg, port, found, lambda _: None)
        except Exception:
            port.close()
            raise
        if not leg.answer(self._negotiation(port), self.now()):
            self._lines[leg].call.over(self.now(), by_remote=False)

    def _background(self, leg: Leg, work: Coroutine[Any, Any, None]) -> None:
        async def guarded() -> None:
            with self.guarded(leg):
                await work

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _call(self, leg: Leg, port: MediaPort, conversation: Conversation, ended: Callable[[CallResult], None]) -> Call:
        def over(result: CallResult) -> None:
            line = self._lines.pop(leg, None)
            if line is not None:
                UP.dec()
                self._ears.remove(port.stream)
                port.close()
                result = replace(result, result=FAILED) if line.faulty else result
                CALLS.labels("out" if isinstance(leg, OutgoingCall) else "in", result.result or "ended").inc()
                ended(result)

        async def sounds_of(segments: Sequence[Segment]) -> tuple[list[Sound], bool]:
            with self.guarded(leg):
                return await self._narrator.sounds_of(segments)
            return [], False  # the call is over

        dialogue = Dialogue(
            conversation.flow, languages=conversation.languages, variables=conversation.opening(),
            call_max_s=conversation.options.call_max_s,
        )  # fmt: skip
        call = Call(
            leg=leg, port=port, dialogue=dialogue, effects=conversation.effects, sounds_of=sounds_of,
            options=conversation.options, clock=self.now, ended=over, wake=self.wake, secured=transform_of,
            look_for_keys=lambda wanted: self._ears.look_for_keys(port.stream, wanted),
            background=lambda work: self._background(leg, work),
        )  # fmt: skip
        self._lines[leg] = _Line(call, over)
        UP.inc()
        self._ears.add(
            port.stream,
            heard=call.hear,
            pressed=lambda key: call.key(key, Path.INBAND),
            failed=lambda: self._give_up(leg),
        )
        return call

    def _media_event(self, whose: Handle | IncomingCall, event: MediaEvent) -> None:
        call = whose.call if isinstance(whose, Handle) else self._call_of(whose)
        if call is None:
            return
        with self.guarded(call.leg):
            match event:
                case KeyHeard():
                    call.key(event.key, Path.RTP)
                case PlaybackEnded():
                    call.playback_ended(event.playback)

    # --- faults of ours ----------------------------------------------------------------------------------------------

    @contextmanager
    def guarded(self, leg: Leg) -> Iterator[None]:
        """A fault of ours in here ends the one call that it is in."""
        try:
            yield
        except Exception:
            log.exception("call_failed", call=leg.call_id)
            self._give_up(leg)

    def _alarm_failed(self, whose: object) -> None:
        """An alarm raised: it was a method of a call, of its session or of its leg."""
        match whose:
            case Call() | Session():
                self._give_up(whose.leg if isinstance(whose, Call) else whose.call)
            case OutgoingCall() | IncomingCall():
                self._give_up(whose)

    def _give_up(self, leg: Leg) -> None:
        """Ends a call that went wrong: its result is told whatever else fails, so that its slot and its phone come free."""
        now = self.now()
        try:
            leg.hang_up(now, reason='Q.850;cause=41;text="Temporary failure"')
        except Exception:
            log.exception("call_not_hung_up", call=leg.call_id)
            self.agent.remove(leg)
        if isinstance(leg, OutgoingCall):
            self._refused(leg, Refusal(lost=Lost.TRANSPORT_FAILED, phrase="a fault of ours, see the log"))
        line = self._lines.get(leg)
        if line is not None:
            line.faulty = True
            with suppress(Exception):  # the fault may be in what ends it
                line.call.over(now, by_remote=False)
            line.over(CallResult(call_id=leg.call_id))
        self.wake()
