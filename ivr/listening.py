"""Who hears the sound of calls: keys in it, all calls at once, and each call's own greeting listener or recorder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from ivr.audio import g711
from ivr.audio.dtmf import KeyBank
from ivr.audio.numeric import np
from ivr.audio.sound import FRAME_SAMPLES
from ivr.rtp.stream import MediaStream

log = structlog.get_logger(__name__)

T = TypeVar("T")
Frames = Sequence[tuple[str, bytes]]


class _Ear:
    """One stream that is heard. `slot` is its detector's, where keys are looked for."""

    __slots__ = ("_failed", "_heard", "_pressed", "slot")

    def __init__(
        self, heard: Callable[[Frames], None], pressed: Callable[[str], None], failed: Callable[[], None]
    ) -> None:
        self._heard = heard
        self._pressed = pressed
        self._failed = failed
        self.slot: int | None = None

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
                if ear.slot is not None:
                    looked.append((ear, frames))
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
