"""Person or machine: listens to how a call is answered, only to choose when to begin to speak. It decides nothing else. Pure."""

from __future__ import annotations

from ivr.audio.numeric import np
from ivr.audio.progress import FRAME_S, Line, Tones

SPEECH_LEVEL = 400.0
"""Root mean square of 16-bit samples above which somebody speaks: some -38 dBm0."""
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
BEEP_END_S = 0.3
"""A beep is a tone alone, that lasts and then ends in silence."""
RING_S = 35.0
"""How long a line may ring where nobody says otherwise."""
GAP_S = 0.2
"""Without a packet for so long there is silence at the other end."""
AFTER_MACHINE_S = 2.5
"""The pause after which a machine without a beep is taken to be listening."""


class GreetingListener:
    """Hears the other side from the answer on. `may_speak` tells when our turn has come, `unanswered` that it never will: the call
    was answered by a network that goes on ringing."""

    def __init__(self, now: float, *, ring_s: float = RING_S) -> None:
        """`ring_s`: for so long a line may ring, be busy or be called dead by its network."""
        self.machine: bool | None = None
        """True once it was plainly a machine, False once it was plainly a person."""
        self._ring_s = ring_s
        self._answered_at = self._begun_at = now
        self._speech_s = 0.0
        self._silence_s = 0.0
        self._unbroken_s = 0.0
        self._last_at = now
        self._tones = Tones()
        self._rang = False

    def hear(self, samples: np.ndarray, now: float) -> None:
        """20 ms of sound that came at `now`."""
        gap_s = self._gap_s(now)
        self._silence_s += gap_s
        self._last_at = now
        values = samples.astype(np.float64)
        level = float(np.sqrt(np.mean(values * values))) if len(values) else 0.0
        loud = level > SPEECH_LEVEL
        spoken_s = self._tones.hear(values, now, loud=loud, missed_s=gap_s)
        if self._tones.line(now) in (Line.RINGING, Line.DEAD):
            self._rings(now)
            return
        if self._rang and spoken_s:
            self._picked_up(now)
        self._speech_s += spoken_s
        if loud:
            self._unbroken_s = FRAME_S + (self._unbroken_s if self._silence_s < BREATH_S else 0.0)
            self._silence_s = 0.0
        else:
            self._silence_s += FRAME_S
        if self._speech_s > LONG_GREETING_S:
            self.machine = True

    def _rings(self, now: float) -> None:
        """Nobody is there yet: whatever was heard before was no greeting, or not the last one."""
        self._rang = True
        self._begun_at = now
        self._speech_s = self._silence_s = self._unbroken_s = 0.0
        self.machine = None

    def _picked_up(self, now: float) -> None:
        """It rang, and somebody speaks now."""
        self._rang = False
        self._begun_at = now

    def _gap_s(self, now: float) -> float:
        """Since the last frame, where nothing came any more: who suppresses silence sends none of it."""
        gap_s = now - self._last_at
        return gap_s if gap_s > GAP_S else 0.0

    def unanswered(self, now: float) -> bool:
        """Whether nobody is there and nobody will be: the line has rung for long enough, is busy, or its network says so."""
        line = self._tones.line(now)
        return line is Line.DEAD or (line is Line.RINGING and now - self._answered_at >= self._ring_s)

    def may_speak(self, now: float) -> bool:
        """Whether we begin to speak now."""
        elapsed_s = now - self._begun_at
        silence_s = self._silence_s + self._gap_s(now)
        line = self._tones.line(now)
        if line in (Line.RINGING, Line.DEAD):
            return False
        if line is Line.BEEPED:
            self.machine = True
            return silence_s >= BEEP_END_S or elapsed_s > LONGEST_S
        if self._unbroken_s >= NOISE_S:
            self.machine = None
            return True
        if elapsed_s > LONGEST_S:
            return True
        if line is Line.UNSURE:
            return False
        if self._speech_s == 0.0:
            return elapsed_s >= QUIET_START_S
        if self.machine:
            return silence_s >= AFTER_MACHINE_S
        if silence_s >= PAUSE_S:
            self.machine = False
            return True
        return False
