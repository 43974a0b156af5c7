"""Sounds as a telephone line brings them: keys off their values, noise, echoes, spoken words. No detector is called here."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from ivr.audio import g711
from ivr.audio.numeric import np
from ivr.audio.sound import FRAME_SAMPLES, RATE_HZ, from_array
from ivr.audio.speech_child import Espeak
from ivr.audio.tones import FULL_SCALE_DBM0, frequencies

ALL_KEYS = "147*2580369#ABCD"
SPOKEN = {
    "en": (
        "Alert: the pressure of pump three in the boiler house is too low since seven minutes past four. Building B, "
        "second floor, room two hundred and fourteen. Press one to acknowledge, two to hear it again, three to take it "
        "in charge, nine to decline. Hello? Yes, speaking. Who is it? I am sorry, we cannot come to the phone right "
        "now, please leave your name and your number."
    ),
    "fr": (
        "Alerte : la pression de la pompe trois de la chaufferie est trop basse depuis quatre heures sept. Bâtiment B, "
        "deuxième étage, chambre deux cent quatorze. Appuyez sur un pour acquitter, deux pour réécouter, trois pour "
        "prendre en charge. Allô ? Oui, j'écoute. Vous êtes bien sur le répondeur de la famille Dupont, laissez-nous un "
        "message après le bip sonore."
    ),
    "de": (
        "Achtung: Der Druck der Pumpe drei im Heizungsraum ist seit sieben Minuten nach vier zu niedrig. Gebäude B, "
        "zweiter Stock, Zimmer zweihundertvierzehn. Drücken Sie die Eins zum Bestätigen, die Zwei zum Wiederholen. "
        "Hallo? Ja bitte, wer ist da? Guten Tag, wir sind im Moment nicht zu erreichen, bitte sprechen Sie nach dem "
        "Signalton."
    ),
}
Samples = np.ndarray


def amplitude(level_dbm0: float) -> float:
    """Of a sine at this level, in steps of 16-bit samples."""
    return float(32_767 * 10 ** ((level_dbm0 - FULL_SCALE_DBM0) / 20))


def sine(hz: float, duration_s: float, *, level_dbm0: float = -10.0, phase: float = 0.0) -> Samples:
    """A tone without soft edges."""
    at = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    tone: Samples = amplitude(level_dbm0) * np.sin(2 * np.pi * hz * at + phase)
    return tone


def key(
    name: str,
    duration_s: float,
    rng: np.random.Generator,
    *,
    level_dbm0: float = -10.0,
    off: float = 0.0,
    twist_db: float = 0.0,
) -> Samples:
    """A key; `off` is the relative error of both frequencies, `twist_db` how much stronger the high one is."""
    low, high = frequencies(name)
    phases = rng.uniform(0, 2 * np.pi, 2)
    both: Samples = sine(low * (1 + off), duration_s, level_dbm0=level_dbm0, phase=phases[0]) + sine(
        high * (1 + off), duration_s, level_dbm0=level_dbm0 + twist_db, phase=phases[1]
    )
    return both


def quiet(duration_s: float) -> Samples:
    """Nothing."""
    return np.zeros(round(duration_s * RATE_HZ))


def noise(length: int, rng: np.random.Generator, level_dbm0: float) -> Samples:
    """White noise of the power of a sine at this level."""
    return rng.normal(0, amplitude(level_dbm0) / np.sqrt(2), length)


def on_the_line(samples: Samples, codec: str = "PCMU") -> np.ndarray:
    """What G.711 makes of it, in whole frames: (frames, 160) of int16."""
    padded = np.concatenate([samples, np.zeros(-len(samples) % FRAME_SAMPLES)])
    linear = np.clip(np.round(padded), -32_768, 32_767).astype("<i2").tobytes()
    return g711.decoded(g711.encode(linear, codec), codec).reshape(-1, FRAME_SAMPLES)


@functools.cache
def _engine() -> Espeak:
    try:
        return Espeak()
    except ImportError as error:
        raise AssertionError("these tests speak: pip install espeakng_loader") from error


@functools.cache
def spoken(text: str, language: str, words_per_minute: int = 165) -> Samples:
    """Speech at a usual level: peaks at half of what the line carries."""
    engine = _engine()
    rate_hz, octets = engine.speak(text, language, words_per_minute)
    raw = np.frombuffer(octets, dtype="<i2")
    sound = from_array(raw.astype(np.float64) / 32_768, rate_hz)
    samples = np.frombuffer(sound.samples, dtype="<i2").astype(np.float64)
    usual: Samples = samples * (16_000 / np.abs(samples).max())
    return usual


def joined(parts: Sequence[Samples]) -> Samples:
    """One after the other."""
    return np.concatenate(list(parts))
