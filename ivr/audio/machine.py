"""Person or machine: listens to how a call is answered, only to choose when to begin to speak. It decides nothing else. Pure."""

from __future__ import annotations

from ivr.audio.numeric import np
from ivr.audio.sound import FRAME_SAMPLES, RATE_HZ

SPEECH_LEVEL = 400.0
"""Root mean square of 16-bit samples above which somebody speaks: some -38 dBm0."""
FRAME_S = FRAME_SAMPLES / RATE_HZ
QUIET_START_S = 2.5
"""Nobody says anything: a person who waits, or a line that is bad. We speak."""
PAUSE_S = 0.8
"""Silence after a greeting: it is over."""
LONG_GREETING_S = 3.5
"""People say a word or two; who speaks for longer without a pause, or goes on after pauses, is a machine."""
NOISE_S = 8.0
BREATH_S = 0.06
"""Speech has pauses, if only of some frames. Sound without any for so long is a ward, a car, music: there is no end to wait for."""
LONGEST_S = 30.0
"""After so long we speak, whatever is heard."""
BEEP_MIN_S = 0.12
BEEP_END_S = 0.3
"""A beep is a tone alone, that lasts and then ends in silence."""
BEEP_HZ = (380.0, 2_300.0)
PURITY_MIN = 0.75
"""How much of the energy stands at one frequency."""
GAP_S = 0.2
"""Without a packet for so long there is silence at the other end."""
AFTER_MACHINE_S = 2.5
"""The pause after which a machine without a beep is taken to be listening."""

_WINDOW = np.hanning(FRAME_SAMPLES)
_BINS_HZ = np.fft.rfftfreq(FRAME_SAMPLES, 1 / RATE_HZ)


class GreetingListener:
    """Hears the other side from the answer on. `may_speak` tells when our turn has come."""

    def __init__(self, now: float) -> None:
        self.machine: bool | None = None
        """True once it was plainly a machine, False once it was plainly a person."""
        self._begun_at = now
        self._speech_s = 0.0
        self._silence_s = 0.0
        self._unbroken_s = 0.0
        self._tone_s = 0.0
        self._tone_hz = 0.0
        self._fading = False
        self._last_at = now
        self._beeped = False

    def hear(self, samples: np.ndarray, now: float) -> None:
        """20 ms of sound that came at `now`."""
        self._silence_s += self._gap_s(now)
        self._last_at = now
        values = samples.astype(np.float64)
        level = float(np.sqrt(np.mean(values * values))) if len(values) else 0.0
        self._follow_tone(level, _tone(values) if level > SPEECH_LEVEL else 0.0)
        if level > SPEECH_LEVEL:
            self._unbroken_s = FRAME_S + (self._unbroken_s if self._silence_s < BREATH_S else 0.0)
            self._speech_s += FRAME_S
            self._silence_s = 0.0
        else:
            self._silence_s += FRAME_S
        if self._speech_s > LONG_GREETING_S:
            self.machine = True

    def _follow_tone(self, level: float, tone_hz: float) -> None:
        """A beep ends in silence, mostly in the middle of a frame: that one is loud and no tone, and belongs to it."""
        long_enough = self._tone_s >= BEEP_MIN_S
        if tone_hz and abs(tone_hz - self._tone_hz) < 60:
            self._tone_s += FRAME_S
        elif not tone_hz and long_enough and level <= SPEECH_LEVEL:
            self._beeped, self._tone_s = True, 0.0
        elif not tone_hz and long_enough and not self._fading:
            self._fading = True
            return
        else:
            self._tone_s = FRAME_S if tone_hz else 0.0
        self._fading = False
        self._tone_hz = tone_hz

    def _gap_s(self, now: float) -> float:
        """Since the last frame, where nothing came any more: who suppresses silence sends none of it."""
        gap_s = now - self._last_at
        return gap_s if gap_s > GAP_S else 0.0

    def may_speak(self, now: float) -> bool:
        """Whether we begin to speak now."""
        elapsed_s = now - self._begun_at
        silence_s = self._silence_s + self._gap_s(now)
        if self._beeped:
            self.machine = True
            return silence_s >= BEEP_END_S or elapsed_s > LONGEST_S
        if self._unbroken_s >= NOISE_S:
            self.machine = None
            return True
        if elapsed_s > LONGEST_S:
            return True
        if self._speech_s == 0.0:
            return elapsed_s >= QUIET_START_S
        if self.machine:
            return silence_s >= AFTER_MACHINE_S
        if silence_s >= PAUSE_S:
            self.machine = False
            return True
        return False


def _tone(values: np.ndarray) -> float:
    """The frequency of a tone alone; 0 where it is something else."""
    if len(values) != FRAME_SAMPLES:
        return 0.0
    power = np.abs(np.fft.rfft(values * _WINDOW)) ** 2
    top = int(power.argmax())
    hz = float(_BINS_HZ[top])
    near = float(power[max(0, top - 2) : top + 3].sum())
    pure = near >= PURITY_MIN * float(power.sum())
    return hz if pure and BEEP_HZ[0] <= hz <= BEEP_HZ[1] else 0.0
