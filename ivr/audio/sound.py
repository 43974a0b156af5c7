"""Sound as calls play it: 8 kHz, one channel, 16 bits. WAV files in and out; where sounds come from is not known here."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from ivr.audio import g711
from ivr.audio.numeric import np

RATE_HZ = 8_000
FRAME_SAMPLES = 160
"""20 ms."""
WAV_BYTES_MAX = 20 * 1024 * 1024
"""Some four minutes at the highest quality: longer than any prompt."""
RATES_HZ = range(8_000, 48_001)
_PCM, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 6, 7, 0xFFFE


class WavError(ValueError):
    """No WAV file that we can play. The text says what was expected."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of sound. Its encoded frames are made once and shared by every call that plays it."""

    samples: bytes = field(repr=False)
    _frames: dict[str, tuple[bytes, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return len(self.samples) / 2 / RATE_HZ

    def frames(self, codec: str) -> tuple[bytes, ...]:
        """Payloads of 20 ms each; the last one is filled up with silence."""
        frames = self._frames.get(codec)
        if frames is None:
            octets = g711.encode(self.samples, codec)
            octets += g711.SILENCE[codec] * (-len(octets) % FRAME_SAMPLES)
            frames = tuple(octets[n : n + FRAME_SAMPLES] for n in range(0, len(octets), FRAME_SAMPLES))
            self._frames[codec] = frames
        return frames


def silence(duration_s: float) -> Sound:
    """Nothing, for a while."""
    return Sound(bytes(2 * round(duration_s * RATE_HZ)))


def join(sounds: Iterable[Sound]) -> Sound:
    """One after the other."""
    return Sound(b"".join(sound.samples for sound in sounds))


def from_array(samples: np.ndarray, rate_hz: int = RATE_HZ) -> Sound:
    """Samples between -1 and 1 at some rate."""
    resampled = resample(np.asarray(samples, dtype=np.float64), rate_hz)
    return Sound(np.clip(np.round(resampled * 32767), -32768, 32767).astype("<i2").tobytes())


def resample(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """At 8 kHz, with everything above 3.7 kHz taken away first: what it would alias to would be heard."""
    if rate_hz == RATE_HZ or len(samples) == 0:
        return samples
    taps = 2 * math.ceil(16 * rate_hz / RATE_HZ) + 1
    n = np.arange(taps) - taps // 2
    cutoff = 3_700 / rate_hz
    kernel = 2 * cutoff * np.sinc(2 * cutoff * n) * np.hamming(taps)
    filtered = np.convolve(samples, kernel / kernel.sum())[taps // 2 : taps // 2 + len(samples)]
    at = np.arange(0, len(samples), rate_hz / RATE_HZ)
    resampled: np.ndarray = np.interp(at, np.arange(len(samples)), filtered)
    return resampled


def read_wav(data: bytes) -> Sound:
    """The sound of a WAV file: PCM of 8 or 16 bits, A-law or mu-law, mono or stereo, 8 to 48 kHz. Raises WavError."""
    if len(data) > WAV_BYTES_MAX:
        raise WavError(f"expected at most {WAV_BYTES_MAX} bytes")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise WavError("expected a WAV file (RIFF/WAVE)")
    form, body = _chunks(data)
    if len(form) < 16 or body is None:
        raise WavError("expected the chunks fmt and data")
    kind, channels, rate_hz, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if kind == _EXTENSIBLE and len(form) >= 26:
        kind = struct.unpack("<H", form[24:26])[0]
    if channels not in (1, 2) or rate_hz not in RATES_HZ:
        raise WavError(f"expected 1 or 2 channels at 8000 to 48000 Hz, not {channels} at {rate_hz} Hz")
    samples = _samples(kind, bits, body)
    if channels == 2:
        samples = samples[: len(samples) // 2 * 2].reshape(-1, 2).mean(axis=1)
    return from_array(samples, rate_hz)


def _chunks(data: bytes) -> tuple[bytes, bytes | None]:
    form, body, at = b"", None, 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        content = data[at + 8 : at + 8 + size]
        if name == b"fmt ":
            form = content
        elif name == b"data":
            body = content
            break
        at += 8 + size + size % 2
    return form, body


def _samples(kind: int, bits: int, body: bytes) -> np.ndarray:
    if kind == _PCM and bits == 16:
        return np.frombuffer(body[: len(body) // 2 * 2], dtype="<i2").astype(np.float64) / 32768
    if kind == _PCM and bits == 8:
        return (np.frombuffer(body, dtype=np.uint8).astype(np.float64) - 128) / 128
    if kind in (_A_LAW, _MU_LAW) and bits == 8:
        return g711.decoded(body, "PCMA" if kind == _A_LAW else "PCMU").astype(np.float64) / 32768
    raise WavError(f"expected PCM of 8 or 16 bits, A-law or mu-law, not format {kind} with {bits} bits")


def write_wav(sound: Sound, *, codec: str | None = None) -> bytes:
    """A WAV file: PCM of 16 bits, or G.711 where a codec is named (half the size, and what telephones make of it anyway)."""
    if codec is None:
        return _riff(_PCM, 1, 16, sound.samples)
    return _riff(_A_LAW if codec == "PCMA" else _MU_LAW, 1, 8, g711.encode(sound.samples, codec), b"\0\0")


def stereo_wav(left: Sound, right: Sound) -> bytes:
    """A WAV file of two channels, PCM of 16 bits; the shorter one ends in silence."""
    samples = np.zeros((max(len(left.samples), len(right.samples)) // 2, 2), dtype="<i2")
    for n, sound in enumerate((left, right)):
        one = np.frombuffer(sound.samples, dtype="<i2")
        samples[: len(one), n] = one
    return _riff(_PCM, 2, 16, samples.tobytes())


def _riff(kind: int, channels: int, bits: int, body: bytes, extra: bytes = b"") -> bytes:
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, RATE_HZ, RATE_HZ * block, block, bits) + extra
    data = b"data" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    content = b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + data
    return b"RIFF" + struct.pack("<I", len(content)) + content
