"""Who hears the sound of calls: keys in it, all calls at once, and each call's own greeting listener or recorder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from ivr.audio import g711
from ivr.audio.dtmf import LEVEL_MIN, KeyBank
from ivr.audio.numeric import np
from ivr.audio.sound import FRAME_SAMPLES
from ivr.rtp.stream import MediaStream

log = structlog.get_logger(__name__)

T = TypeVar("T")
Frames = Sequence[tuple[str, bytes]]


QUIET = {
    codec: bytes(octet for octet in range(256) if abs(int(g711.decoded(bytes([octet]), codec)[0])) < LEVEL_MIN)
    for codec in ("PCMA", "PCMU")
}
"""Octets of samples that are softer than the softest key: in a frame of such alone there is none."""
RESTS = 2
"""Quiet frames that are looked at after sound, so that the detector knows of the pause; more of them tell it nothing."""


class _Ear:
    """One stream that is heard. `slot` is its detector's, where keys are looked for."""

    __slots__ = ("_failed", "_heard", "_pressed", "quiet", "slot")

    def __init__(
        self, heard: Callable[[Frames], None], pressed: Callable[[str], None], failed: Callable[[], None]
    ) -> None:
        self._heard = heard
        self._pressed = pressed
        self._failed = failed
        self.slot: int | None = None
        self.quiet = 0

    def worth_looking(self, frames: Frames) -> Frames:
        """Those of the frames that may hold a key, or the pause behind one. This is asked for each call 50 times a second."""
        for codec, payload in frames:
            if payload.translate(None, QUIET[codec]):
                self.quiet = 0
                return frames
        self.quiet += len(frames)
        return frames if self.quiet <= RESTS + len(frames) - 1 else ()

    def hear(self, frames: Frames) -> None:
        """Sound came."""
        self._tell(self._heard, frames)

    def press(self, key: str) -> None:
        """A key was in the sound."""
        self._tell(self._pressed, key)

    def _tell(self, whom: Callable[[T], None], what: T) -> None:
        try:
            whom(what)
        except Exception:  # a fault of ours in one call must not take the keys of the others
            log.exception("sound_not_heard")
            self._failed()


class Ears:
    """The listener of a media engine."""

    def __init__(self) -> None:
        self._bank = KeyBank()
        self._ears: dict[MediaStream, _Ear] = {}

    def add(
        self,
        stream: MediaStream,
        *,
        heard: Callable[[Frames], None],
        pressed: Callable[[str], None],
        failed: Callable[[], None],
    ) -> None:
        """Listens to a stream: frames go to `heard`, keys in them to `pressed`, where `look_for_keys` says so. `failed` is told
        when one of the two raises."""
        self._ears[stream] = _Ear(heard, pressed, failed)

    def look_for_keys(self, stream: MediaStream, wanted: bool) -> None:
        """Whether keys are looked for in this stream's sound."""
        ear = self._ears.get(stream)
        if ear is None or wanted == (ear.slot is not None):
            return
        if ear.slot is None:
            ear.slot = self._bank.add()
        else:
            self._bank.remove(ear.slot)
            ear.slot = None

    def remove(self, stream: MediaStream) -> None:
        """The call is over."""
        self.look_for_keys(stream, False)
        self._ears.pop(stream, None)

    def hear(self, heard: Sequence[tuple[MediaStream, Frames]]) -> None:
        """What came in one tick."""
        looked: list[tuple[_Ear, Frames]] = []
        for stream, frames in heard:
            ear = self._ears.get(stream)
            if ear is not None:
                ear.hear(frames)
                if ear.slot is not None and (worth := ear.worth_looking(frames)):
                    looked.append((ear, worth))
        most = max((len(frames) for _, frames in looked), default=0)
        for n in range(most):
            self._look([(ear, frames[n]) for ear, frames in looked if n < len(frames)])

    def _look(self, frames: Sequence[tuple[_Ear, tuple[str, bytes]]]) -> None:
        """One frame of each of some calls."""
        for codec in ("PCMA", "PCMU"):
            chosen = [(ear, payload) for ear, (one, payload) in frames if one == codec and ear.slot is not None]
            if not chosen:
                continue
            octets = b"".join(payload for _, payload in chosen)
            samples = g711.decoded(octets, codec).reshape(len(chosen), FRAME_SAMPLES).astype(np.float32)
            by_slot = {ear.slot: ear for ear, _ in chosen}
            for slot, key in self._bank.push([ear.slot for ear, _ in chosen if ear.slot is not None], samples):
                by_slot[slot].press(key)
