"""Tones on a line, frame by frame: which is a mailbox's beep, and which say that it rings, is busy or cannot be reached. Pure.

A gateway may answer a call before the phone does. What its network plays then is no person and no machine: the tones of ITU-T E.180,
supplement 2, in any country's frequencies and cadence.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from ivr.audio.numeric import np
from ivr.audio.sound import FRAME_SAMPLES, RATE_HZ

FRAME_S = FRAME_SAMPLES / RATE_HZ
WINDOW_FRAMES = 4
"""80 ms: enough to tell two tones that are 50 Hz apart from a voice, whose harmonics are more and wander."""
_SPECTRUM = WINDOW_FRAMES * FRAME_SAMPLES
BIN_HZ = RATE_HZ / _SPECTRUM
PURITY_MIN = 0.85
"""How much of the energy one tone or two have: 8 dB above the noise of the whole line."""
SAME_HZ = 25.0
"""A tone stays where it is; a voice does not."""
PROGRESS_HZ = (300.0, 680.0)
"""Tones of call progress are in here everywhere (E.180: 400 to 450 Hz; 350 to 620 in pairs, where exchanges differ)."""
BEEP_HZ = (300.0, 2_300.0)
BEEP_MIN_S, BEEP_MAX_S = 0.12, 1.3
SHORT_BREAK_S = 0.06
"""So much within a tone is its own trembling: two tones beat, and some are modulated."""
RING_GAP_S = 6.5
"""The longest pause of a ringing tone is 5 s; after this the line has stopped ringing."""
BUSY_GAP_S = 1.0
"""And of a busy or congestion tone 0.75 s."""
RING_MIN_S = 0.9
"""A tone of a second may be the first one of a ringing line, whose next comes after seconds."""
SPOKEN_MIN_S = 0.3
"""Who has said so much was there before the tone."""
SPOKEN_AFTER_S = 0.16
"""So much sound that is no tone, after tones, is somebody who has picked up."""
BUSY_BURSTS = 8
"""A busy tone of so many bursts is no ringing any more."""
BUSY_ON_MAX_S = 0.8
SPECIAL_HZ = ((880.0, 1_020.0), (1_330.0, 1_470.0), (1_730.0, 1_870.0))
"""The special information tone: three tones, each higher (E.180, 7)."""
FAX_HZ = (2_075.0, 2_125.0)
FAX_MIN_S = 2.0
"""A fax or a modem answers with 2,100 Hz for 2.6 s and more (ITU-T T.30, 4.3.3.2; V.25, 3.1); no beep is so long."""
BURSTS_KEPT = 16

_SHAPES = tuple(np.hanning(n * FRAME_SAMPLES) for n in range(1, WINDOW_FRAMES + 1))
_BINS_HZ = np.fft.rfftfreq(_SPECTRUM, 1 / RATE_HZ)


class Line(Enum):
    """What the tones say."""

    OPEN = auto()
    """Nothing against speaking."""
    UNSURE = auto()
    """A tone that may be a beep, or the first one of several."""
    BEEPED = auto()
    """A tone alone, and silence after it: somebody's machine listens."""
    RINGING = auto()
    """Call progress: nobody is there yet."""
    DEAD = auto()
    """Busy for good, a fax, or the network says that the call cannot be completed."""


@dataclass(slots=True)
class _Burst:
    """One tone from its beginning to its end."""

    hz: tuple[float, ...]
    began_at: float
    spoken: bool
    """Whether somebody spoke before it."""
    ended_at: float = 0.0
    frames: int = 1

    @property
    def duration_s(self) -> float:
        return self.frames * FRAME_S

    def same_tone(self, hz: tuple[float, ...]) -> bool:
        """Whether these frequencies are this burst's; of two that lie close together a short look sees one."""
        return all(min(abs(one - other) for other in self.hz) <= 2 * SAME_HZ for one in hz)

    @property
    def says_progress(self) -> bool:
        """Whether it is no beep for certain: a beep is short, and comes after a greeting."""
        return self.of_progress and (not self.spoken or self.duration_s > BEEP_MAX_S)

    @property
    def of_fax(self) -> bool:
        """Whether a fax or a modem has answered."""
        return self.duration_s >= FAX_MIN_S and all(FAX_HZ[0] <= one <= FAX_HZ[1] for one in self.hz)

    @property
    def of_progress(self) -> bool:
        """Whether a network's tones are like this."""
        return all(PROGRESS_HZ[0] <= one <= PROGRESS_HZ[1] for one in self.hz)


@dataclass(slots=True)
class Tones:
    """Follows the tones of one line. `hear` takes 20 ms; `line` tells where it stands."""

    _window: deque[np.ndarray] = field(default_factory=lambda: deque(maxlen=WINDOW_FRAMES))
    _burst: _Burst | None = None
    _bursts: deque[_Burst] = field(default_factory=lambda: deque(maxlen=BURSTS_KEPT))
    _quiet_s: float = 0.0
    _spoken_s: float = 0.0
    """Since the last tone: its first frame and its last one may look like speech."""
    _other_s: float = 0.0
    _progress: bool = False
    _special: bool = False

    def hear(self, values: np.ndarray, now: float, *, loud: bool, missed_s: float = 0.0) -> float:
        """Takes a frame; gives how much of what is spoken became certain with it, in seconds. `missed_s` of silence came before."""
        if missed_s:
            self._silence(missed_s, now)
        if not loud or len(values) != FRAME_SAMPLES:
            return self._silence(FRAME_S, now)
        self._window.append(values)
        hz = _tones(self._window)
        burst = self._burst
        if burst is not None and hz and burst.same_tone(hz):
            burst.frames += 1 + round(self._quiet_s / FRAME_S)
            self._quiet_s = self._other_s = 0.0
            return 0.0
        if burst is not None and self._other_s < SHORT_BREAK_S:
            self._other_s += FRAME_S  # the last frame of a tone is half one, and the first of the next is both
            self._quiet_s = 0.0
            return 0.0
        spoken_s = self._end(now) if burst is not None else 0.0
        spoken_s += self._other_s
        self._quiet_s = self._other_s = 0.0
        if hz:
            self._burst = _Burst(hz, now, spoken=self._spoken_s >= SPOKEN_MIN_S)
            return spoken_s + self._speaks(spoken_s)
        return self._speaks(spoken_s + FRAME_S)

    def line(self, now: float) -> Line:
        """Where the line stands."""
        if self._special:
            return Line.DEAD
        burst = self._burst
        latest = burst or (self._bursts[-1] if self._bursts else None)
        if latest is not None and latest.of_fax:
            return Line.DEAD
        if burst is not None and burst.duration_s >= BEEP_MIN_S and burst.says_progress:
            return Line.RINGING
        if self._progress:
            return Line.DEAD if self._is_busy else Line.RINGING if self._rings_at(now) else Line.OPEN
        last = self._bursts[-1] if self._bursts else None
        if burst is not None or last is None:
            return Line.UNSURE if burst is not None else Line.OPEN
        if not last.of_progress:
            return Line.BEEPED if last.duration_s <= BEEP_MAX_S else Line.OPEN
        wait_s = RING_GAP_S if last.duration_s >= RING_MIN_S else BUSY_GAP_S
        return Line.BEEPED if now - last.ended_at >= wait_s else Line.UNSURE

    @property
    def _is_busy(self) -> bool:
        """Whether short tones and short pauses go on and on."""
        last = list(self._bursts)[-BUSY_BURSTS:]
        pauses = (after.began_at - before.ended_at for before, after in itertools.pairwise(last))
        short = all(one.duration_s <= BUSY_ON_MAX_S for one in last) and all(pause <= BUSY_GAP_S for pause in pauses)
        return len(last) >= BUSY_BURSTS and short

    def _rings_at(self, now: float) -> bool:
        return self._burst is not None or (bool(self._bursts) and now - self._bursts[-1].ended_at < RING_GAP_S)

    def _silence(self, seconds: float, now: float) -> float:
        """Nothing is heard."""
        self._quiet_s += seconds
        if self._quiet_s < SHORT_BREAK_S:
            return 0.0
        self._window.clear()
        spoken_s = self._end(now) if self._burst is not None else self._other_s
        self._other_s = 0.0
        return self._speaks(spoken_s) if spoken_s else 0.0

    def _end(self, now: float) -> float:
        """The tone is over. Gives how long it was where it was too short for one: then it was something that somebody said."""
        burst, self._burst = self._burst, None
        assert burst is not None
        if burst.duration_s < BEEP_MIN_S:
            return burst.duration_s
        burst.ended_at = now - self._quiet_s
        before = self._bursts[-1] if self._bursts else None
        again = before is not None and before.same_tone(burst.hz) and burst.began_at - before.ended_at <= RING_GAP_S
        self._bursts.append(burst)
        self._spoken_s = 0.0
        # a mailbox may beep twice; the tones of a network are low ones
        self._progress = self._progress or (again and burst.of_progress) or burst.says_progress
        self._special = self._special or self._is_special()
        return 0.0

    def _is_special(self) -> bool:
        last = list(self._bursts)[-3:]
        rising = zip(last, SPECIAL_HZ, strict=False)
        near = all(low <= one.hz[0] <= high for one, (low, high) in rising)
        return len(last) == 3 and near and last[2].ended_at - last[0].began_at < 2.5

    def _speaks(self, seconds: float) -> float:
        """Somebody speaks: what was heard before is over, for they have picked up."""
        if seconds:
            self._spoken_s += seconds
            if self._bursts and self._spoken_s >= SPOKEN_AFTER_S:
                self._bursts.clear()
                self._progress = False
        return seconds


def _tones(frames: deque[np.ndarray]) -> tuple[float, ...]:
    """The frequencies of one tone or two that are alone in these frames; () where it is something else."""
    values = np.concatenate(frames)
    power = np.abs(np.fft.rfft(values * _SHAPES[len(frames) - 1], _SPECTRUM)) ** 2
    wide = round(2 * WINDOW_FRAMES / len(frames)) + 1
    whole = float(power.sum())
    found: list[float] = []
    energy = 0.0
    for _ in range(2):
        top = int(power.argmax())
        low, high = max(0, top - wide), top + wide + 1
        part = float(power[low:high].sum())
        if found and part < 0.1 * energy:
            break
        energy += part
        found.append(float(_BINS_HZ[top]))
        power[low:high] = 0.0
    pure = whole > 0 and energy >= PURITY_MIN * whole
    return tuple(sorted(found)) if pure and all(BEEP_HZ[0] <= one <= BEEP_HZ[1] for one in found) else ()
