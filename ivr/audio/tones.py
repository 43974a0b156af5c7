"""Tones made: the keys' pairs (ITU-T Q.23), a beep, silence between them. Hearing them is in `dtmf` and `machine`."""

from __future__ import annotations

from collections.abc import Sequence

from ivr.audio.numeric import np
from ivr.audio.sound import RATE_HZ, Sound, from_array, join, silence

LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)
PAD = ("123A", "456B", "789C", "*0#D")
KEYS = "0123456789*#ABCD"
"""In the order of their event numbers (RFC 4733, 3.2)."""
FULL_SCALE_DBM0 = 3.14
"""The level of the loudest sine that G.711 carries (A-law; mu-law has 3.17)."""
EDGE_S = 0.002
"""Tones begin and end softly, else they click."""


def frequencies(key: str) -> tuple[int, int]:
    """The low and the high frequency of a key. Raises ValueError for what is none."""
    for low, row in zip(LOW_HZ, PAD, strict=True):
        if len(key) == 1 and key in row:
            return low, HIGH_HZ[row.index(key)]
    raise ValueError(f"expected one of {KEYS}")


def tone(hz: Sequence[float], duration_s: float, *, level_dbm0: float = -9.0) -> Sound:
    """Sines together, each at this level."""
    at = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    amplitude = 10 ** ((level_dbm0 - FULL_SCALE_DBM0) / 20)
    wave = sum((amplitude * np.sin(2 * np.pi * one * at) for one in hz), np.zeros(len(at)))
    edge = min(round(EDGE_S * RATE_HZ), len(at) // 2)
    if edge:
        ramp = np.linspace(0, 1, edge)
        wave[:edge] *= ramp
        wave[-edge:] *= ramp[::-1]
    return from_array(wave)


def keys(pressed: str, *, tone_s: float = 0.1, pause_s: float = 0.1, level_dbm0: float = -9.0) -> Sound:
    """Keys pressed one after the other."""
    parts = []
    for key in pressed:
        parts += [tone(frequencies(key), tone_s, level_dbm0=level_dbm0), silence(pause_s)]
    return join(parts)


BEEP_S = 0.4


def beep(duration_s: float = BEEP_S, hz: float = 1_000.0) -> Sound:
    """What an answering machine asks to speak after."""
    return tone([hz], duration_s)
