"""Keys heard in sound (ITU-T Q.23, Q.24), for many calls at once: a matrix product a window. It knows slots, not calls."""

from __future__ import annotations

from collections.abc import Sequence

from ivr.audio.numeric import np
from ivr.audio.sound import FRAME_SAMPLES, RATE_HZ
from ivr.audio.tones import HIGH_HZ, LOW_HZ, PAD

HOP = FRAME_SAMPLES // 2
"""Windows of 20 ms begin every 10 ms, so that a key of 40 ms fills two of them wherever it begins."""
LEVEL_MIN = 32_768 * 10 ** (-31 / 20) / np.sqrt(2)
"""-31 dBm0 for both tones together: Q.24 asks for -25 dBm of each."""
PURITY_MIN = 0.52
"""How much of the energy the two tones must have; speech spreads it."""
REST_MAX = 0.15
"""And the six other frequencies, beside the two."""
TWIST_MAX = 10 ** (10 / 10)
"""The high tone may be as much stronger than the low one, or weaker: Q.24 has administrations from 4 to 10 dB."""
DEVIATION_MAX = 0.025
"""Between the 1.5 % that must be taken and the 3.5 % that must not."""
KEY_WINDOWS = 3
"""A key of 40 ms shows in three windows at least, wherever it begins; one of 20 ms nearly never."""
PAUSE_WINDOWS = 2
"""A pause of 40 ms holds two windows without a tone; an interruption of 7 ms holds none."""

_HZ = np.array(LOW_HZ + HIGH_HZ, dtype=np.float64)
_PROBE = np.exp(-2j * np.pi * np.outer(np.arange(FRAME_SAMPLES), _HZ) / RATE_HZ)
_COS, _SIN = _PROBE.real.astype(np.float32), _PROBE.imag.astype(np.float32)
_STEP = 2 * np.pi * _HZ * HOP / RATE_HZ
"""How far the phase of each exact tone goes from one window to the next."""
_NONE = -1


class KeyBank:
    """Detectors for many calls. A slot is one call's."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._tail = np.zeros((0, HOP), dtype=np.float32)
        self._phase = np.zeros((0, 8), dtype=np.complex64)
        self._last = np.zeros(0, dtype=np.int16)
        self._run = np.zeros(0, dtype=np.int16)
        self._pause = np.zeros(0, dtype=np.int16)
        self._held = np.zeros(0, dtype=np.int16)

    def add(self) -> int:
        """A slot for one more call."""
        if not self._free:
            size = len(self._last)
            more = max(16, size)
            self._free = list(range(size + more - 1, size - 1, -1))
            self._tail = np.vstack([self._tail, np.zeros((more, HOP), dtype=np.float32)])
            self._phase = np.vstack([self._phase, np.zeros((more, 8), dtype=np.complex64)])
            for name in ("_last", "_run", "_pause", "_held"):
                setattr(self, name, np.concatenate([getattr(self, name), np.zeros(more, dtype=np.int16)]))
        slot = self._free.pop()
        self._tail[slot] = 0
        self._phase[slot] = 0
        self._last[slot] = self._held[slot] = _NONE
        self._run[slot] = self._pause[slot] = 0
        return slot

    def remove(self, slot: int) -> None:
        """The call is over."""
        self._free.append(slot)

    def push(self, slots: Sequence[int], frames: np.ndarray) -> list[tuple[int, str]]:
        """Takes 20 ms of each of these calls (each at most once), `frames` being (calls, 160) samples; gives the keys that
        were pressed now."""
        if not slots:
            return []
        index = np.asarray(slots)
        now = np.asarray(frames, dtype=np.float32)
        crossing = np.hstack([self._tail[index], now[:, :HOP]])
        self._tail[index] = now[:, HOP:]
        return self._window(index, crossing) + self._window(index, now)

    def _window(self, index: np.ndarray, window: np.ndarray) -> list[tuple[int, str]]:
        energy = np.einsum("ij,ij->i", window, window)
        loud = energy > FRAME_SAMPLES * LEVEL_MIN**2
        if not loud.any():  # most of the time nobody speaks: the sum is a tenth of the products
            self._phase[index] = 0
            return self._count(index, np.full(len(index), _NONE))
        if not loud.all():
            quiet = index[~loud]
            self._phase[quiet] = 0
            return self._count(quiet, np.full(len(quiet), _NONE)) + self._window(index[loud], window[loud])
        real, imaginary = window @ _COS, window @ _SIN
        power = real * real + imaginary * imaginary
        low, high = power[:, :4].argmax(1), power[:, 4:].argmax(1)
        rows = np.arange(len(index))
        low_power, high_power = power[rows, low], power[rows, 4 + high]
        both = low_power + high_power
        tone = (
            (both * 2 > PURITY_MIN * FRAME_SAMPLES * energy)
            & (power.sum(1) - both < REST_MAX * both)
            & (high_power < TWIST_MAX * low_power)
            & (low_power < TWIST_MAX * high_power)
        )
        phase = real + 1j * imaginary
        for n in np.flatnonzero(tone):  # few at a time: whether both tones are where they belong
            tone[n] = self._exact(self._phase[index[n]], phase[n], int(low[n]), 4 + int(high[n]))
        self._phase[index] = phase
        return self._count(index, np.where(tone, low * 4 + high, _NONE))

    @staticmethod
    def _exact(before: np.ndarray, after: np.ndarray, low: int, high: int) -> bool:
        """Whether the phases went on as those of the exact frequencies do; the first window of a tone cannot tell."""
        for n in (low, high):
            if abs(before[n]) < 0.1 * abs(after[n]):
                continue
            drift = np.angle(after[n] / before[n] * np.exp(-1j * _STEP[n]))
            if abs(drift) * RATE_HZ / (2 * np.pi * HOP) > DEVIATION_MAX * _HZ[n]:
                return False
        return True

    def _count(self, index: np.ndarray, found: np.ndarray) -> list[tuple[int, str]]:
        """A key counts when enough windows in a row agree on it, and once until a pause or another key."""
        same = found == self._last[index]
        run = np.where(same, self._run[index] + 1, 1)
        self._run[index], self._last[index] = run, found
        nothing = found == _NONE
        pause = np.where(nothing, self._pause[index] + 1, 0)
        self._pause[index] = pause
        held = np.where(pause >= PAUSE_WINDOWS, _NONE, self._held[index])
        pressed = ~nothing & (run >= KEY_WINDOWS) & (found != held)
        self._held[index] = np.where(pressed, found, held)
        return [(int(index[n]), PAD[found[n] // 4][found[n] % 4]) for n in np.flatnonzero(pressed)]
