"""One call, answered: the dialogue's words become sound, keys and silence become its events. SIP and RTP live below."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from ivr.audio import g711, tones
from ivr.audio.machine import RING_S, GreetingListener
from ivr.audio.sound import Sound, write_wav
from ivr.flow import FAILED
from ivr.locating import address_of
from ivr.menu import (
    EFFECT_S,
    Dialogue,
    EffectDone,
    Event,
    HangUp,
    HungUp,
    Interrupted,
    KeyPressed,
    Perform,
    PlaybackEnded,
    Record,
    RecordingEnded,
    Say,
    Segment,
    Started,
    StopRecording,
    StopSaying,
    Variable,
)
from ivr.rtp.engine import MediaPort
from ivr.rtp.stream import Transform
from ivr.rtp.telephone_event import KeyPaths, Path
from ivr.sip.events import Alarm, Refusal
from ivr.sip.incoming import IncomingCall
from ivr.sip.outgoing import OutgoingCall
from ivr.sip.sdp import AudioSession
from ivr.sip.unicast import seen_from

log = structlog.get_logger(__name__)

MEDIA_WATCH_S = 1.0
"""How often a call looks whether the other side still sends."""
GREETING_TICK_S = 0.1
"""How often it looks whether a greeting is over."""
PERFORM_S = 0.9 * EFFECT_S
"""Before the dialogue gives an effect up: no late outcome meets another one."""
DIAL_AFTER_S = 1.0
"""An extension is dialled so long after the answer: many exchanges listen for one only when their own greeting has begun."""
DIALLED_WITHIN_S = 10.0
"""Twenty keys take 4 s. Where they are not sent, for the other side holds the call, the dialogue begins all the same."""
ECHO_S = 0.5
"""After the last key of ours the line may still give it back: it must not answer what has not been said."""
NOISE_TIMEOUT_S = 180.0
"""A phone that suppresses silence sends comfort noise once and then nothing while its owner listens, or has the microphone off. The
longest text takes some two minutes."""
LIFE_S = 5.0
"""For the answer to the question whether the other side is there: a request over UDP is sent four times meanwhile."""
LOOK_UP_S = 3.0
"""A name of theirs that is not found in this time is none: the call goes on without."""
LAST_WORDS_S = 0.4
"""Between the last word and our BYE: what is on the way is still heard."""


class Effects(Protocol):
    """What the dialogue asks of the world outside the call."""

    async def perform(self, effect: str, digits: str, recording: bytes) -> tuple[str, Mapping[str, Variable]]:
        """The outcome's word and the variables it sets. `digits` are what was entered; `recording` is what was recorded, as a
        WAV file. It is carried through also where the call ends meanwhile."""
        ...

    def telling(self, *, whole: bool) -> None:
        """The alert's text begins to be played; `whole`: it could be made audible."""
        ...

    def told(self) -> None:
        """It was played to its end."""
        ...


SoundsOf = Callable[[Sequence[Segment]], Awaitable[tuple[Sequence[Sound], bool]]]
"""Makes prompts and texts audible, and tells whether all of it: what cannot be spoken is replaced by a prompt that says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallOptions:
    """How a call that is up behaves. `keys_after_answer`: dialled first (an extension); the dialogue begins when they were sent.
    `ring_s`: for so long a line may go on ringing that the network has answered; it is heard where greetings are listened for."""

    call_max_s: float = 600.0
    media_timeout_s: float = 20.0
    listen_for_greeting: bool = False
    ring_s: float = RING_S
    keys_after_answer: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallResult:
    """What became of a call. `refusal` tells why it was not answered; else `result` is the dialogue's own word.

    `duration_s` counts from the answer to the end; `spoken`: nothing was still being made audible when it ended; `machine`: an
    answering machine, as far as anybody can tell; `unanswered`: the network answered, and then rang, or said that it is busy;
    `started_minutes` what is billed of it.
    """

    call_id: str
    refusal: Refusal | None = None
    result: str = ""
    duration_s: float = 0.0
    spoken: bool = True
    by_remote: bool = False
    media_lost: bool = False
    machine: bool | None = None
    unanswered: bool = False

    @property
    def started_minutes(self) -> int:
        """Minutes begun, at least one of an answered call; 0 of one that was not answered."""
        return 0 if self.refusal is not None else max(1, -int(-self.duration_s // 60))


class Call:
    """Drives one answered call until its end; `ended` is told once."""

    def __init__(
        self,
        *,
        leg: OutgoingCall | IncomingCall,
        port: MediaPort,
        dialogue: Dialogue,
        effects: Effects,
        sounds_of: SoundsOf,
        options: CallOptions,
        clock: Callable[[], float],
        ended: Callable[[CallResult], None],
        wake: Callable[[], None],
        secured: Callable[[AudioSession], Transform | None],
        look_for_keys: Callable[[bool], None],
        background: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.leg = leg
        self._port = port
        self._stream = port.stream
        self._dialogue = dialogue
        self._effects = effects
        self._sounds_of = sounds_of
        self._options = options
        self._clock = clock
        self._ended = ended
        self._wake = wake
        self._secured = secured
        self._look_for_keys = look_for_keys
        self._background = background
        self._paths = KeyPaths()
        self._answered_at = 0.0
        self._over = False
        self._started = False
        self._saying = 0
        self._made = 0
        self._playback = self._dialled = -1
        self._recording: list[bytes] | None = None
        self._listener: GreetingListener | None = None
        self._media_lost = self._unanswered = False
        self._told_at_end = False
        self._looked_up = "", ""
        self._life_until: float | None = None
        self._alarm: Alarm | None = None
        self._alarms: list[Alarm] = []
        self._speaking: set[asyncio.Task[None]] = set()

    # --- from the answer to the end ----------------------------------------------------------------------------------

    def answered(self, now: float) -> None:
        """The other side can hear us: the media are agreed."""
        self._answered_at = now
        self._configure()
        self._stream.last_received_at = now
        self._at(now + MEDIA_WATCH_S, self._watch_media)
        if self._options.keys_after_answer:
            self._at(now + DIAL_AFTER_S, self._dial)
        elif self._options.listen_for_greeting:
            self._listener = GreetingListener(now, ring_s=self._options.ring_s)
            self._stream.listening = True
            self._at(now + GREETING_TICK_S, self._listen)
        else:
            self._begin(now)

    def media_changed(self) -> None:
        """Offer and answer were exchanged anew."""
        if self.leg.session is not None and not self._over:
            self._paths.media_changed()
            self._configure()

    def _configure(self) -> None:
        session = self.leg.session
        assert session is not None
        agreed = session.negotiation.agreed
        if agreed is None:
            return
        if agreed.host and agreed.host != self._looked_up[0]:
            self._background(self._look_up(agreed.host))
        known = self._looked_up[1] if agreed.host == self._looked_up[0] else ""
        agreed = replace(agreed, address=seen_from(known or agreed.address, session.peer))
        self._stream.configure(agreed, self._clock(), self._secured(agreed), peers=session.peers)
        self._hear_as_needed()

    async def _look_up(self, host: str) -> None:
        """A name in place of their address (RFC 8866, 5.7). Until it is known, audio goes where it may belong."""
        self._looked_up = host, ""
        found = await address_of(host, within_s=LOOK_UP_S)
        if found and not self._over and self._looked_up[0] == host:
            self._looked_up = host, found
            self._configure()

    @property
    def _inband(self) -> bool:
        """Keys are looked for in the sound until one has come another way: some gateways agree on events and send tones."""
        return self._paths.sound_counts

    def _hear_as_needed(self) -> None:
        self._look_for_keys(self._inband)
        self._stream.listening = self._inband or self._listening

    @property
    def _listening(self) -> bool:
        return self._recording is not None or (self._listener is not None and not self._started)

    @property
    def _dialling(self) -> bool:
        """Whether the extension is still to be dialled, or its echo to die away: nobody is there who could press keys."""
        return bool(self._options.keys_after_answer) and not self._started

    def _dial(self, now: float) -> None:
        if self._dialling and not self._over:
            self._dialled = self._stream.send_keys(self._options.keys_after_answer)
            self._at(now + DIALLED_WITHIN_S, self._begin)

    def _begin(self, now: float) -> None:
        if not self._started:
            self._started = True
            self._feed(Started(now - self._answered_at), now)

    # --- what comes --------------------------------------------------------------------------------------------------

    def key(self, key: str, path: Path) -> None:
        """A key came, on one of the paths."""
        now = self._clock()
        if self._over or self._dialling:
            return
        counts = self._paths.counts(path, key, now)
        self._hear_as_needed()
        if not counts:
            return
        if not self._started:  # somebody who presses keys is no machine that is still greeting
            self._begin(now)
            return
        self._feed(KeyPressed(key), now)

    def playback_ended(self, playback: int) -> None:
        """Everything was sent."""
        if playback == self._dialled:
            self._at(self._clock() + ECHO_S, self._begin)
        elif playback == self._playback:
            if self._told_at_end:
                self._told_at_end = False
                self._effects.told()
            self._feed(PlaybackEnded(), self._clock())

    def hear(self, frames: Sequence[tuple[str, bytes]]) -> None:
        """Sound came, for the greeting listener or the recorder."""
        now = self._clock()
        for codec, payload in frames:
            if self._recording is not None:
                self._recording.append(g711.decode(payload, codec))
            elif self._listener is not None:
                self._listener.hear(g711.decoded(payload, codec), now)

    def interrupt(self, by: str) -> None:
        """Somebody else has the alert that is being told."""
        if not self._started:
            self._begin(self._clock())
        self._feed(Interrupted(by), self._clock())

    def hang_up(self, reason: str = "") -> None:
        """Ends the call at once."""
        self.leg.hang_up(self._clock(), reason=reason)
        self._wake()

    def over(self, now: float, *, by_remote: bool) -> None:
        """The call has ended, whoever ended it."""
        if self._over:
            return
        self._over = True
        self._dialogue.receive(HungUp(), now)
        for alarm in self._alarms:
            alarm.cancel()
        for task in self._speaking:
            task.cancel()
        while (action := self._dialogue.next_action()) is not None:
            if isinstance(action, Perform):
                self._background(self._perform(action))
        self._port.close()
        self._ended(
            CallResult(
                call_id=self.leg.call_id,
                result=self._dialogue.result,
                duration_s=now - self._answered_at,
                spoken=self._made == self._saying,
                by_remote=by_remote,
                media_lost=self._media_lost,
                machine=None if self._listener is None else self._listener.machine,
                unanswered=self._unanswered,
            )
        )

    # --- the dialogue ------------------------------------------------------------------------------------------------

    def _feed(self, event: Event, now: float) -> None:
        if self._over:
            return
        self._dialogue.receive(event, now)
        self._act(now)
        self._wake()

    def _act(self, now: float) -> None:
        while (action := self._dialogue.next_action()) is not None:
            match action:
                case Say():
                    self._say(action)
                case StopSaying():
                    self._playback = -1
                    self._stream.stop()
                case Perform():
                    self._background(self._perform(action))
                case Record():
                    self._record(action, now)
                case StopRecording():
                    self._end_recording()
                case HangUp():
                    self._at(now + LAST_WORDS_S, self.leg.hang_up)
        self._schedule(now)

    def _schedule(self, now: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        deadline = self._dialogue.next_deadline()
        if deadline is not None and not self._over:
            self._alarm = self.leg.agent.at(max(deadline, now), self._due)

    def _due(self, now: float) -> None:
        self._alarm = None
        if not self._over:
            self._dialogue.handle_deadline(now)
            self._act(now)

    def _say(self, action: Say) -> None:
        self._saying += 1
        self._playback = -1
        self._told_at_end = False
        task = asyncio.get_running_loop().create_task(self._speak(action, self._saying))
        self._speaking.add(task)
        task.add_done_callback(self._speaking.discard)

    async def _speak(self, action: Say, number: int) -> None:
        sounds, whole = await self._sounds_of(action.segments)
        self._made = max(self._made, number)
        if number == self._saying and not self._over:
            self._playback = self._stream.play(sounds)
            if action.tells:
                self._told_at_end = whole
                self._effects.telling(whole=whole)

    async def _perform(self, action: Perform) -> None:
        recording, self._recording = self._recording, None
        wav = write_wav(Sound(b"".join(recording)), codec="PCMA") if recording else b""
        try:
            async with asyncio.timeout(PERFORM_S):
                outcome, variables = await self._effects.perform(action.effect, action.digits, wav)
        except Exception:
            log.exception("effect_failed", effect=action.effect, call=self.leg.call_id)
            outcome, variables = FAILED, {}
        self._feed(EffectDone(outcome, variables), self._clock())

    def _record(self, action: Record, now: float) -> None:
        self._stream.play([tones.beep()])
        self._playback = -1
        self._recording = []
        self._stream.listening = True
        self._at(now + tones.BEEP_S + action.seconds, self._recorded)

    def _recorded(self, now: float) -> None:
        self._end_recording()
        self._feed(RecordingEnded(), now)

    def _end_recording(self) -> None:
        self._stream.listening = self._inband

    # --- while it lasts ----------------------------------------------------------------------------------------------

    def _listen(self, now: float) -> None:
        """Whether the greeting is over and we may speak."""
        listener = self._listener
        if self._over or self._started or listener is None:
            return
        if listener.may_speak(now):
            self._stream.listening = self._inband
            self._begin(now)
        elif listener.unanswered(now):
            self._unanswered = True
            self.leg.hang_up(now, reason='Q.850;cause=19;text="No answer"')
        else:
            self._at(now + GREETING_TICK_S, self._listen)

    def _watch_media(self, now: float) -> None:
        if self._over:
            return
        session = self.leg.session
        agreed = None if session is None else session.negotiation.agreed
        held = agreed is not None and agreed.held
        if session is not None and not held and self._life_until is None:
            silent_s = self._silent_s(now)
            if silent_s > MEDIA_WATCH_S / 2:
                self._port.hear_reports()
            if (
                silent_s > self._patience_s
            ):  # some phones send nothing while somebody listens, and are there all the same
                self._life_until = now + LIFE_S
                session.ask_for_life(now, self._life_told)
                self._at(self._life_until, self._life_over)
        self._at(now + MEDIA_WATCH_S, self._watch_media)

    @property
    def _patience_s(self) -> float:
        timeout_s = self._options.media_timeout_s
        return max(timeout_s, NOISE_TIMEOUT_S) if self._stream.suppresses_silence else timeout_s

    def _silent_s(self, now: float) -> float:
        """For how long there was no sign of life: audio, RTCP, a request or an answer in the dialog. One that has sent audio and
        sends no more is not believed for ever: an exchange on the way may answer for a phone that is gone."""
        heard = self._stream.last_received_at
        if heard is None:
            return 0.0
        session = self.leg.session
        alive_at = None if session is None else session.alive_at
        if alive_at is not None and (not self._stream.counts.received or alive_at - heard <= NOISE_TIMEOUT_S):
            heard = max(heard, alive_at)
        return now - heard

    def _life_told(self, lives: bool, now: float) -> None:
        """What came of asking whether the other side is there."""
        if self._life_until is None or self._over:
            return
        self._life_until = None
        if not lives or self._silent_s(now) > self._patience_s:
            self._media_lost = True
            self.leg.hang_up(now, reason='Q.850;cause=102;text="No audio"')

    def _life_over(self, now: float) -> None:
        if self._life_until is not None and now >= self._life_until:
            self._life_told(self._silent_s(now) <= self._patience_s, now)

    def _at(self, when: float, action: Callable[[float], None]) -> None:
        self._alarms = [alarm for alarm in self._alarms if alarm.action is not None]
        self._alarms.append(self.leg.agent.at(when, action))
