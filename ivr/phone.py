"""A simulated phone, or a whole exchange of them: rings, answers, refuses, presses keys. For demonstrations, drills and tests."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ivr.audio import tones
from ivr.audio.prompts import Prompts
from ivr.audio.recording import Recording
from ivr.audio.sound import Sound, silence
from ivr.driver import Driver
from ivr.rtp.engine import MediaEngine, MediaPort
from ivr.rtp.stream import KeyHeard, MediaEvent, MediaStream
from ivr.sip.agent import Admitted, LocalSide, UserAgent
from ivr.sip.events import Answered, CallEvent, Ended, MediaChanged, Offered
from ivr.sip.headers import Reason
from ivr.sip.hop import Transport
from ivr.sip.incoming import IncomingCall
from ivr.sip.info import info_body
from ivr.sip.negotiation import Negotiation
from ivr.sip.uri import SipUri, parse_uri
from ivr.transports import TlsContexts

Keys = Literal["rfc4733", "info", "inband"]
PRESSES_MAX = 20
"""Who gets no answer to a key gives up at last."""
INCOMING_MAX = 5_000
"""Phones that ring or talk at once."""
CALLS_KEPT = 10_000
"""Calls remembered for whoever looks what happened."""
Keeper = Callable[[bytes], None]
"""Takes the recording of one call, a WAV file, at its end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Behaviour:
    """What a phone does. `status` other than 200 refuses; `answer_s` None lets it ring for ever. `greeting`: a person says a
    word, a machine speaks and beeps, `nothing` is silence. `keys` are pressed together, and again until the call ends."""

    status: int = 200
    answer_s: float | None = 0.5
    keys: str = "1"
    keys_s: float = 3.0
    again_s: float = 5.0
    path: Keys = "rfc4733"
    greeting: Literal["person", "machine", "nothing"] = "person"
    hang_up_s: float | None = None
    headers: tuple[tuple[str, str], ...] = ()


PRESETS: Mapping[str, Behaviour] = {
    "answers": Behaviour(),
    "busy": Behaviour(status=486),
    "declines": Behaviour(status=603),
    "unavailable": Behaviour(status=480),
    "unknown": Behaviour(status=404),
    "congested": Behaviour(status=503),
    "rings": Behaviour(answer_s=None),
    "machine": Behaviour(keys="", greeting="machine"),
    "silent": Behaviour(keys="", greeting="nothing"),
    "hangs-up": Behaviour(keys="", hang_up_s=6.0),
}
"""Phones that everybody knows, by a word."""


@dataclass(slots=True, eq=False)
class SimulatedCall:
    """One call that came, and what became of it: `offered`, `answered`, `pressed` (a key), `refused`,
    `cancelled`, `hung_up` (by the phone) or `ended`."""

    number: str
    caller: str
    state: str = "offered"
    reasons: tuple[Reason, ...] = ()
    keys: str = ""
    """What it presses."""
    heard: str = ""
    """The keys that it heard: an extension that was dialled after the answer."""
    packets: int = 0
    pressed: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def reached(self, *states: str) -> str:
        """Waits until it is in one of the states; gives it."""
        while self.state not in states:
            self.changed.clear()
            await self.changed.wait()
        return self.state


@dataclass(slots=True, eq=False)
class _Line:
    """A call that is going on."""

    call: SimulatedCall
    behaviour: Behaviour
    port: MediaPort | None = None
    recording: Recording | None = None
    keeper: Keeper | None = None

    def play(self, sounds: Sequence[Sound], now: float) -> None:
        """Says it, to the other side and to the recording."""
        if self.port is not None:
            self.port.stream.play(sounds)
        self.note(sounds, now)

    def note(self, sounds: Sequence[Sound], now: float) -> None:
        """What a person at the phone says or presses, for the recording."""
        if self.recording is not None:
            self.recording.say(sounds, now)


class _Tape:
    """The listener of the media engine: brings what phones hear to their recordings."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.recordings: dict[MediaStream, Recording] = {}

    def hear(self, heard: Sequence[tuple[MediaStream, Sequence[tuple[str, bytes]]]]) -> None:
        """See `ivr.rtp.engine.Listener`."""
        now = self._now()
        for stream, frames in heard:
            if stream in self.recordings:
                self.recordings[stream].hear(frames, now)


class PhoneSimulator:
    """Phones behind one SIP address: what each does is told by its number."""

    def __init__(
        self,
        behaviour: Callable[[str], Behaviour],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        transport: Transport = "udp",
        tls: TlsContexts | None = None,
        rtp_ports: tuple[int, int] = (30_000, 39_999),
        told: Callable[[SimulatedCall], None] = lambda _: None,
        recorded: Callable[[SimulatedCall], Keeper | None] = lambda _: None,
    ) -> None:
        """`recorded` is asked of every call that is answered who keeps its recording, if anybody."""
        self.calls: list[SimulatedCall] = []
        self.arrived = asyncio.Event()
        """Set at every new call and every change of one."""
        self._behaviour = behaviour
        self._told = told
        self._host = host
        self._transport = transport
        self._prompts = Prompts()
        self._driver = Driver(host=host, port=port, transport=transport, tls=tls, told=self._event)
        self._recorded = recorded
        self._tape = _Tape(self._driver.now)
        self._engine = MediaEngine(host=host, ports=rtp_ports, listeners=[self._tape])
        self._lines: dict[IncomingCall, _Line] = {}

    async def open(self) -> None:
        """Binds and answers from now on. Raises OSError."""

        def agent(port: int) -> UserAgent:
            local = LocalSide(host=self._host, ports={self._transport: port}, user="phone", product="Phone")
            return UserAgent(
                local=local, tokens=lambda: secrets.token_hex(8), incoming_max=INCOMING_MAX,
                admit=self._driver.noting(lambda *_: Admitted()),
            )  # fmt: skip

        await self._driver.open(agent)
        try:
            self._engine.start()
        except BaseException:
            await self._driver.close()
            raise

    async def close(self) -> None:
        """Hangs up and closes; what was recorded until now is kept."""
        for leg, line in list(self._lines.items()):
            leg.hang_up(self._driver.now())
            self._keep(line)
        self._driver.pump()
        await asyncio.sleep(0)
        self._engine.stop()
        await self._driver.close()

    @property
    def port(self) -> int:
        """The port of SIP."""
        return self._driver.port

    async def called(self, n: int = 1) -> SimulatedCall:
        """Waits for the n-th call."""
        while len(self.calls) < n:
            self.arrived.clear()
            await self.arrived.wait()
        return self.calls[n - 1]

    # --- calls -------------------------------------------------------------------------------------------------------

    def _event(self, event: CallEvent) -> None:
        match event:
            case Offered():
                self._offered(event.call)
            case Answered(call=IncomingCall() as leg):
                self._up(leg)
            case MediaChanged(call=IncomingCall() as leg):
                self._configure(leg)
            case Ended(call=IncomingCall() as leg):
                line = self._lines.pop(leg, None)
                if line is not None:
                    self._over(line, event)

    def _offered(self, leg: IncomingCall) -> None:
        uri = parse_uri(leg.request.uri)
        number = uri.user if isinstance(uri, SipUri) else leg.request.uri
        behaviour = self._behaviour(number)
        call = SimulatedCall(number, leg.request.from_.uri, keys=behaviour.keys)
        self.calls = [*self.calls, call][-CALLS_KEPT:]
        self._lines[leg] = _Line(call, behaviour)
        self._change(call, "offered")
        now = self._driver.now()
        if behaviour.status != 200:
            self._driver.agent.at(now + (behaviour.answer_s or 0.0), lambda later: self._refuse(leg, later))
            return
        leg.ring(now)
        if behaviour.answer_s is not None:
            self._driver.agent.at(now + behaviour.answer_s, lambda later: self._answer(leg, later))

    def _refuse(self, leg: IncomingCall, now: float) -> None:
        line = self._lines.pop(leg, None)
        if line is not None:
            leg.refuse(line.behaviour.status, now, headers=line.behaviour.headers)
            self._change(line.call, "refused")

    def _answer(self, leg: IncomingCall, now: float) -> None:
        line = self._lines.get(leg)
        if line is None or line.port is not None:
            return
        line.port = self._engine.open(lambda event: self._heard(line.call, event))
        negotiation = Negotiation(
            address=self._host, port=line.port.port, session_id=secrets.randbits(31),
            events=line.behaviour.path == "rfc4733",
        )  # fmt: skip
        if not leg.answer(negotiation, now):
            line.port.close()
            self._lines.pop(leg, None)
            self._change(line.call, "refused")

    def _up(self, leg: IncomingCall) -> None:
        line = self._lines.get(leg)
        if line is None or line.port is None:
            return
        self._configure(leg)
        now = self._driver.now()
        self._record(line, line.port, now)
        self._change(line.call, "answered")
        line.play(self._greeting(line.behaviour), now)
        if line.behaviour.keys:
            self._driver.agent.at(now + line.behaviour.keys_s, lambda later: self._press(leg, later))
        if line.behaviour.hang_up_s is not None:
            self._driver.agent.at(now + line.behaviour.hang_up_s, lambda later: self._hang_up(leg, later))

    def _record(self, line: _Line, port: MediaPort, now: float) -> None:
        line.keeper = self._recorded(line.call)
        if line.keeper is not None:
            line.recording = self._tape.recordings[port.stream] = Recording(now)
            port.stream.listening = True

    def _keep(self, line: _Line) -> None:
        """Hands the recording of a call that is over to whoever keeps it. Harmless twice."""
        if line.port is not None and line.recording is not None and line.keeper is not None:
            del self._tape.recordings[line.port.stream]
            wav, line.recording = line.recording.wav(self._driver.now()), None
            line.keeper(wav)

    def _configure(self, leg: IncomingCall) -> None:
        line = self._lines.get(leg)
        if line is not None and line.port is not None and leg.session is not None:
            agreed = leg.session.negotiation.agreed
            if agreed is not None:
                line.port.stream.configure(agreed, self._driver.now())

    def _greeting(self, behaviour: Behaviour) -> Sequence[Sound]:
        match behaviour.greeting:
            case "person":
                return [silence(0.2), self._prompts.sound("goodbye", "en")]  # a short word, as people say one
            case "machine":
                said = self._prompts.sound("alert_unreadable", "en")
                return [silence(0.3), said, silence(0.3), tones.beep()]
            case "nothing":
                return []

    def _press(self, leg: IncomingCall, now: float) -> None:
        line = self._lines.get(leg)
        if line is None or line.port is None or leg.session is None:
            return
        behaviour = line.behaviour
        match behaviour.path:
            case "rfc4733":
                line.port.stream.send_keys(behaviour.keys)
                line.note([tones.keys(behaviour.keys)], now)  # as whoever presses hears them
            case "info":
                for key in behaviour.keys:
                    leg.session.inform(info_body(key), "application/dtmf-relay", now)
                line.note([tones.keys(behaviour.keys)], now)
            case "inband":
                line.play([tones.keys(behaviour.keys)], now)
        line.call.pressed += 1
        self._change(line.call, "pressed")
        if line.call.pressed < PRESSES_MAX:
            self._driver.agent.at(now + behaviour.again_s, lambda later: self._press(leg, later))

    def _hang_up(self, leg: IncomingCall, now: float) -> None:
        line = self._lines.pop(leg, None)
        if line is not None:
            leg.hang_up(now)
            self._close(line)
            self._change(line.call, "hung_up")

    def _over(self, line: _Line, event: Ended) -> None:
        line.call.reasons = event.reasons
        state = "cancelled" if line.port is None else "ended"
        self._close(line)
        self._change(line.call, state)

    def _close(self, line: _Line) -> None:
        if line.port is not None:
            line.call.packets = line.port.stream.counts.received
            self._keep(line)
            line.port.close()

    @staticmethod
    def _heard(call: SimulatedCall, event: MediaEvent) -> None:
        if isinstance(event, KeyHeard):
            call.heard += event.key

    def _change(self, call: SimulatedCall, state: str) -> None:
        call.state = state
        call.changed.set()
        self.arrived.set()
        self._told(call)
