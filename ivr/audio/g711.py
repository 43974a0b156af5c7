"""G.711 (ITU-T G.711): A-law and mu-law, both ways, by tables. Samples are linear 16-bit values."""

from __future__ import annotations

from typing import Literal

from ivr.audio.numeric import np

Codec = Literal["PCMA", "PCMU"]
SILENCE: dict[str, bytes] = {"PCMA": b"\xd5", "PCMU": b"\xff"}
"""The octet of the smallest positive value."""


def _mu_law_decode() -> np.ndarray:
    octets = ~np.arange(256) & 0xFF
    exponent, mantissa = (octets >> 4) & 7, octets & 15
    magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84
    return np.where(octets & 0x80, -magnitude, magnitude).astype(np.int16)


def _a_law_decode() -> np.ndarray:
    octets = np.arange(256) ^ 0x55
    exponent, mantissa = (octets >> 4) & 7, octets & 15
    low = (mantissa << 4) + 8
    magnitude = np.where(exponent == 0, low, (low + 0x100) << np.maximum(exponent - 1, 0))
    return np.where(octets & 0x80, magnitude, -magnitude).astype(np.int16)


def _mu_law_encode() -> np.ndarray:
    values = np.arange(-32768, 32768)
    magnitude = np.minimum(np.abs(values), 32635) + 0x84
    exponent = np.maximum(np.floor(np.log2(magnitude)).astype(int) - 7, 0)
    octets = np.where(values < 0, 0x80, 0) | (exponent << 4) | ((magnitude >> (exponent + 3)) & 15)
    encoded: np.ndarray = (~octets & 0xFF).astype(np.uint8)
    return encoded


def _a_law_encode() -> np.ndarray:
    values = np.arange(-32768, 32768)
    magnitude = np.minimum(np.where(values < 0, -values - 1, values), 32767)
    exponent = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(int) - 7, 0)
    mantissa = np.where(exponent == 0, magnitude >> 4, magnitude >> (exponent + 3)) & 15
    octets = np.where(values < 0, 0, 0x80) | (exponent << 4) | mantissa
    encoded: np.ndarray = (octets ^ 0x55).astype(np.uint8)
    return encoded


_DECODE = {"PCMU": _mu_law_decode(), "PCMA": _a_law_decode()}
_ENCODE = {"PCMU": _mu_law_encode(), "PCMA": _a_law_encode()}


def encode(samples: bytes, codec: str) -> bytes:
    """Octets of 16-bit little-endian samples."""
    values = np.frombuffer(samples, dtype="<i2").astype(np.int32) + 32768
    octets: bytes = _ENCODE[codec][values].tobytes()
    return octets


def decode(octets: bytes, codec: str) -> bytes:
    """16-bit little-endian samples of octets."""
    samples: bytes = decoded(octets, codec).astype("<i2").tobytes()
    return samples


def decoded(octets: bytes, codec: str) -> np.ndarray:
    """The samples as an array of int16."""
    return _DECODE[codec][np.frombuffer(octets, dtype=np.uint8)]
