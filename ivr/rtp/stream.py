"""The media of one call (RFC 3550, 3551): what is sent every 20 ms, what is made of what comes. No socket and no clock lives here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from ivr.audio import tones
from ivr.audio.g711 import SILENCE
from ivr.audio.sound import FRAME_SAMPLES, Sound
from ivr.rtp.packet import HEADER, MARKER, RTCP, VERSION_BYTE, RtpPacket, parse_rtp
from ivr.rtp.sources import Address, Network, Sources
from ivr.rtp.telephone_event import END_PACKETS, EVENT_BYTES, MISORDER_MAX, EventReceiver, event_payloads
from ivr.sip.sdp import AudioSession

FRAMES_HEARD_MAX = 25
"""Frames that wait for whoever listens, within one tick: half a second after a stall."""
COMFORT_NOISE = 13
"""Of a phone that sends no silence (RFC 3389, 4): no sound, but a sign that it is there."""
PAUSE_SAMPLES = 3 * FRAME_SAMPLES
"""A timestamp that goes on by more than the packets before it account for is silence that was not sent (RFC 3551, 4.1). Less than
60 ms is the trembling of a clock."""
PAUSE_FRAMES = 5
"""As much of it is heard: enough to end a key, however long it was."""


@dataclass(frozen=True, slots=True)
class KeyHeard:
    """A telephone event in RTP."""

    key: str


@dataclass(frozen=True, slots=True)
class PlaybackEnded:
    """Everything of one `play` has been sent. `playback` is what it gave."""

    playback: int


MediaEvent = KeyHeard | PlaybackEnded


class _Kind(Enum):
    """What a packet may be."""

    AUDIO = auto()
    EVENT = auto()
    NOISE = auto()


class Transform(Protocol):
    """What encrypts and decrypts packets (SRTP)."""

    def protect(self, packet: bytes) -> bytes: ...

    def unprotect(self, packet: bytes) -> bytes | None:
        """The packet; None where it is forged, replayed or damaged."""
        ...

    def follow(self, before: Transform) -> None:
        """Takes the place of another one: what has the same key goes on counting where that one was."""
        ...


PARTS_MAX = 4
"""Packets that 20 ms of sound go out in at most."""
RTCP_BYTES_MIN = 8
"""The head of a report and who sends it (RFC 3550, 6.4.1)."""


@dataclass(slots=True)
class StreamCounts:
    """What came and went."""

    sent: int = 0
    received: int = 0
    foreign: int = 0
    """Packets from another source than the call's."""
    broken: int = 0


class MediaStream:
    """One call's audio. `tick` gives the packets of each 20 ms; `receive` takes what came; events go to `on_event`."""

    __slots__ = (
        "_codec", "_ended", "_event_pt", "_events", "_frames", "_index", "_key_at", "_last", "_marker", "_may_send", "_parts",
        "_playback", "_receiver", "_remote", "_rest", "_secret", "_sequence", "_silence", "_sounds", "_sources", "_ssrc", "_steps",
        "_timestamp", "_transform", "_unlisted", "accepts", "counts", "frames_heard", "last_received_at", "listening", "on_event",
        "payload_type", "suppresses_silence",
    )  # fmt: skip

    def __init__(
        self,
        *,
        ssrc: int,
        sequence: int,
        timestamp: int,
        on_event: Callable[[MediaEvent], None],
        secret: bool = False,
        trusted: Sequence[Network] = (),
    ) -> None:
        """`secret`: nobody knows the port yet. `trusted`: networks in which the other side's media may be."""
        self.on_event = on_event
        self.counts = StreamCounts()
        self.listening = False
        """Whether somebody takes `frames_heard`: a detector, a recorder."""
        self.frames_heard: list[tuple[str, bytes]] = []
        """(codec, 20 ms), however long the packets are that they came in."""
        self.last_received_at: float | None = None
        """When something came; a later exchange of offer and answer counts too, for it may have ended a hold."""
        self.suppresses_silence = False
        """Whether it has sent comfort noise: then it may send nothing for long, and be there all the same (RFC 3389, 4)."""
        self.accepts: dict[int, str] = {}
        self.payload_type = 0
        self._ssrc = ssrc
        self._sequence = sequence & 0xFFFF
        self._timestamp = timestamp & 0xFFFFFFFF
        self._remote: Address | None = None
        self._sources = Sources(trusted)
        self._secret = secret
        self._codec = "PCMA"
        self._silence = SILENCE["PCMA"] * FRAME_SAMPLES
        self._event_pt: int | None = None
        self._events: frozenset[int] = frozenset()
        self._unlisted: frozenset[int] = frozenset()
        self._may_send = False
        self._parts = 1
        self._transform: Transform | None = None
        self._receiver = EventReceiver()
        self._last: RtpPacket | None = None
        self._rest: tuple[str, bytes] | None = None
        self._sounds: tuple[Sound, ...] = ()
        self._frames: tuple[bytes, ...] = ()
        self._index = 0
        self._playback = 0
        self._ended = True
        self._marker = True
        self._steps: deque[tuple[bytes, bool] | None] = deque()
        self._key_at: int | None = None

    @property
    def remote(self) -> Address | None:
        """Where packets go now: what was agreed, or where they come from."""
        return self._remote

    @property
    def locked(self) -> bool:
        """Whether the source is known from packets that came."""
        return self._sources.speaker is not None

    def configure(
        self, session: AudioSession, now: float, transform: Transform | None = None, *, peers: Collection[str] = ()
    ) -> None:
        """Takes what offer and answer agreed, at any time again; with another address the source is to be learnt anew. `peers`: the
        hosts that the call's SIP comes from."""
        self._sources.signalled_with(peers)
        codec = session.codec
        if codec != self._codec:
            self._codec = codec
            self._silence = SILENCE[codec] * FRAME_SAMPLES
            self._frames = _frames(self._sounds, codec)
        self.payload_type = session.payload_type
        self.accepts = dict(session.accepts)
        self._event_pt = session.event_payload_type
        self._events = session.events
        self._unlisted = session.unlisted_events
        self._may_send = session.may_send
        self._parts = parts_of(session.maxptime_ms)
        agreed = (session.address, session.port)
        if self._sources.agree(agreed, now, self._remote):
            self._remote = agreed
            self.suppresses_silence = False
        if transform is not None and self._transform is not None:
            transform.follow(self._transform)
        self._transform = transform
        if self.last_received_at is not None:
            self.last_received_at = now

    def announced(self) -> None:
        """From now on somebody may know the port: our offer leaves. Who begins to send now may be the phone, with early media."""
        self._secret = False

    # --- out ---------------------------------------------------------------------------------------------------------

    def play(self, sounds: Sequence[Sound]) -> int:
        """Plays these instead of what is being played; gives a number that `PlaybackEnded` names."""
        self._sounds = tuple(sounds)
        self._frames = _frames(self._sounds, self._codec)
        self._index = 0
        self._playback += 1
        self._ended = False
        self._marker = True
        return self._playback

    def stop(self) -> None:
        """Silence from now on; what was cut off is not told as ended."""
        self._frames = ()
        self._sounds = ()
        self._ended = True

    def send_keys(self, keys: str, *, duration_ms: int = 100, pause_ms: int = 100) -> int:
        """Sends keys as telephone events, or as sound where the other side takes no events; gives a number that `PlaybackEnded`
        names once they, and what is being played beside events, were sent. Raises ValueError for no key."""
        if self._event_pt is None:
            return self.play([tones.keys(keys, tone_s=duration_ms / 1000, pause_s=pause_ms / 1000)])
        self._playback += 1
        self._ended = False
        for key in keys:
            self._steps.extend(event_payloads(key, duration_ms=duration_ms))
            self._steps.extend([None] * (pause_ms // 20))
        return self._playback

    def tick(self, packets: list[bytes]) -> None:
        """Appends what is to be sent in this 20 ms."""
        if not self._may_send:
            return
        self._timestamp = timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        if self._steps and self._key_packets(packets, timestamp):
            return
        index = self._index
        if index < len(self._frames):
            payload = self._frames[index]
            self._index = index + 1
        else:
            payload = self._silence
            if not self._ended and not self._steps:
                self._ended = True
                self.on_event(PlaybackEnded(self._playback))
        second = self.payload_type
        if self._marker:
            second |= MARKER
            self._marker = False
        if self._parts == 1:
            self._packet(packets, second, timestamp, payload)
            return
        size = FRAME_SAMPLES // self._parts
        for start in range(0, FRAME_SAMPLES, size):
            self._packet(packets, second, (timestamp + start) & 0xFFFFFFFF, payload[start : start + size])
            second = self.payload_type

    def _packet(self, packets: list[bytes], second: int, timestamp: int, payload: bytes) -> None:
        self._sequence = sequence = (self._sequence + 1) & 0xFFFF
        packet = HEADER.pack(VERSION_BYTE, second, sequence, timestamp, self._ssrc) + payload
        packets.append(packet if self._transform is None else self._transform.protect(packet))

    def _key_packets(self, packets: list[bytes], timestamp: int) -> bool:
        """The packets of a key under way; False in the pause after it, when sound goes on."""
        step = self._steps.popleft()
        if step is None or self._event_pt is None:
            self._key_at = None
            return False
        payload, last = step
        second = self._event_pt
        if self._key_at is None:
            self._key_at = timestamp
            second |= MARKER
        for _ in range(END_PACKETS if last else 1):
            self._packet(packets, second, self._key_at, payload)
        if last:
            self._key_at = None
            self._marker = True
        return True

    def reported(self, data: bytes, source: Address, now: float) -> None:
        """A report on our audio (RTCP, RFC 3550, 6.4), at the port for those or at this one: whoever reports hears us, and is
        there. What it says is not read. From another host than the call's it is nothing."""
        remote = self._remote
        if len(data) >= RTCP_BYTES_MIN and data[0] >> 6 == 2 and data[1] in RTCP and remote and remote[0] == source[0]:
            self.last_received_at = now

    # --- in ----------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """One packet that came. Whoever is likely to be the other side and sends audio fixes the source (symmetric RTP); see
        `Sources`. What comes from elsewhere is dropped. What proves its key (SRTP) is taken from anywhere."""
        if self._secret:
            self._sources.came_unasked(source)
        if self._transform is not None:
            opened = self._transform.unprotect(data)
            if opened is None:
                self.counts.broken += 1
                return
            data = opened
        packet = parse_rtp(data)
        kind = None if packet is None else self._kind_of(packet)
        if packet is None or kind is None:
            self.counts.broken += 1
            self.reported(data, source, now)
            return
        audio = kind is _Kind.AUDIO
        if self._transform is None and not self._sources.admits(source, packet.ssrc, packet.sequence, now, audio=audio):
            self.counts.foreign += 1
            return
        self._sources.believe(source, packet.ssrc, now)
        self._remote = source
        self.counts.received += 1
        self.last_received_at = now
        if kind is _Kind.EVENT:
            key = self._receiver.receive(
                packet.ssrc, packet.timestamp, packet.payload, sequence=packet.sequence, now=now, marker=packet.marker
            )
            if key is not None:
                self.on_event(KeyHeard(key))
            return
        if kind is _Kind.NOISE:
            self.suppresses_silence = True
        if self.listening:
            self._hear(self.accepts[packet.payload_type] if audio else None, packet)

    def _kind_of(self, packet: RtpPacket) -> _Kind | None:
        """What a packet is; None for what was not agreed."""
        number = packet.payload_type
        if number in self._events or (number in self._unlisted and len(packet.payload) == EVENT_BYTES):
            return _Kind.EVENT
        if number in self.accepts:
            return _Kind.AUDIO
        return _Kind.NOISE if number == COMFORT_NOISE else None

    def take_heard(self) -> list[tuple[str, bytes]]:
        """The sound since the last time, which begins anew."""
        taken, self.frames_heard = self.frames_heard, []
        return taken

    def _hear(self, codec: str | None, packet: RtpPacket) -> None:
        """Sound for whoever listens: repeated packets and late ones are left out, silence that was not sent is put in. `codec` None:
        comfort noise, and nothing more until there is sound again."""
        last, pause = self._last, False
        if last is not None and last.ssrc == packet.ssrc:
            if (last.sequence - packet.sequence) & 0xFFFF <= MISORDER_MAX:
                return
            pause = last.payload_type == COMFORT_NOISE or _unsent(last, packet) > PAUSE_SAMPLES
        self._last = packet
        if codec is None:
            return
        payload = SILENCE[codec] * (FRAME_SAMPLES * PAUSE_FRAMES) + packet.payload if pause else packet.payload
        frames = [payload] if len(payload) == FRAME_SAMPLES and not self._rest else self._framed(codec, payload)
        free = FRAMES_HEARD_MAX - len(self.frames_heard)
        self.frames_heard.extend((codec, frame) for frame in frames[:free])

    def _framed(self, codec: str, payload: bytes) -> list[bytes]:
        """Of 20 ms each, from packets of any length: a=ptime is a wish (RFC 4566, 6), and some send 10 or 30 ms. The rest waits."""
        rest_codec, rest = self._rest or (codec, b"")
        whole = rest + payload if rest_codec == codec else payload
        end = len(whole) - len(whole) % FRAME_SAMPLES
        self._rest = (codec, whole[end:]) if end < len(whole) else None
        return [whole[at : at + FRAME_SAMPLES] for at in range(0, end, FRAME_SAMPLES)]


def parts_of(maxptime_ms: int | None) -> int:
    """In how many packets 20 ms of sound go out, so that none carries more than the other side takes (a=maxptime, RFC 8866, 6.4).
    Less than 5 ms nobody asks for in earnest."""
    return next((parts for parts in (1, 2) if maxptime_ms is None or maxptime_ms * parts >= 20), PARTS_MAX)


def _unsent(last: RtpPacket, packet: RtpPacket) -> int:
    """The samples between two packets of sound that were never sent; those of lost packets, which their numbers tell, were."""
    moved = (packet.timestamp - last.timestamp) & 0xFFFFFFFF
    packets = (packet.sequence - last.sequence) & 0xFFFF
    return moved - packets * len(last.payload) if moved < 1 << 31 else 0


def _frames(sounds: Sequence[Sound], codec: str) -> tuple[bytes, ...]:
    return tuple(frame for sound in sounds for frame in sound.frames(codec))
