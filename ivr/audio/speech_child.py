"""The process that speaks: texts come in, sound goes out, in frames with their length before them. Nothing of a call is known here.

It stands alone because an engine (eSpeak NG and Piper are GPL, and native code) may crash or hang on a text: then only this
process does. Run as ``python -m ivr.audio.speech_child espeak`` or ``… piper``.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import sys
from typing import Any, BinaryIO, Protocol

LENGTH = struct.Struct("!I")
"""Before a request, which is JSON: ``[text, language, words a minute, voice file]``."""
ANSWER = struct.Struct("!II")
"""Before an answer: its rate in Hz, and the octets that follow (samples of 16 bits, little endian)."""
READY = b"TOCSIN/1"
"""The first word of a child that can speak."""
REQUEST_BYTES_MAX = 64 * 1024
SYNCHRONOUS = 2
"""espeak_AUDIO_OUTPUT: AUDIO_OUTPUT_SYNCHRONOUS, samples by callback."""
CHARS_UTF8 = 1
RATE_PARAMETER = 1
"""espeak_PARAMETER: espeakRATE, words a minute."""
NICENESS = 5
"""Sound that is being played goes before sound that is being made: a neural voice takes all cores that it gets."""
PIPER_WORDS_PER_MINUTE = 160
"""How fast Piper's voices speak at length_scale 1, roughly: they differ by a tenth."""

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Voice(Protocol):
    """What an engine does in this process."""

    def speak(self, text: str, language: str, words_per_minute: int, voice: str) -> tuple[int, bytes]:
        """The rate in Hz, and samples of 16 bits."""
        ...


class Espeak:
    """espeak-ng by ctypes."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self._pieces: list[bytes] = []
        self._callback = _Callback(self._took)  # the library keeps no reference: we have to
        folder = os.fsencode(espeakng_loader.get_data_path())
        self.rate_hz = int(self._library.espeak_Initialize(SYNCHRONOUS, 200, folder, 0))
        if self.rate_hz <= 0:
            raise RuntimeError("espeak-ng could not be initialised")
        self._library.espeak_SetSynthCallback(self._callback)

    def _took(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            self._pieces.append(ctypes.string_at(samples, count * 2))
        return 0

    def speak(self, text: str, language: str, words_per_minute: int, voice: str = "") -> tuple[int, bytes]:
        """A language that is not known is spoken as its base language, then as English."""
        del voice
        for name in (language, language.partition("-")[0], "en"):
            if name and self._library.espeak_SetVoiceByName(name.lower().encode()) == 0:
                break
        self._library.espeak_SetParameter(RATE_PARAMETER, words_per_minute, 0)
        self._pieces = []
        data = text.encode("utf-8", "replace") + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 1, 0, CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        return self.rate_hz, b"".join(self._pieces)


class Piper:
    """Piper's neural voices, each a file that is loaded once."""

    def __init__(self) -> None:
        from piper import PiperVoice, SynthesisConfig

        self._load = PiperVoice.load
        self._config = SynthesisConfig
        self._voices: dict[str, Any] = {}

    def speak(self, text: str, language: str, words_per_minute: int, voice: str) -> tuple[int, bytes]:
        """With the voice of that file; the language is the voice's own."""
        del language
        loaded = self._voices.get(voice)
        if loaded is None:
            loaded = self._voices[voice] = self._load(voice)
        scale = loaded.config.length_scale * PIPER_WORDS_PER_MINUTE / words_per_minute
        chunks = loaded.synthesize(text, self._config(length_scale=scale))
        return loaded.config.sample_rate, b"".join(chunk.audio_int16_bytes for chunk in chunks)


ENGINES: dict[str, type[Espeak] | type[Piper]] = {"espeak": Espeak, "piper": Piper}


def _read(stream: BinaryIO, size: int) -> bytes | None:
    data = stream.read(size)
    return data if len(data) == size else None


def main() -> None:
    """Answers requests until the other end of stdin is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end is ours
    os.nice(NICENESS)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever a library prints is no part of an answer
    engine: Voice = ENGINES[sys.argv[1]]()
    sink.write(READY)
    sink.flush()
    while (head := _read(source, LENGTH.size)) is not None:
        size = LENGTH.unpack(head)[0]
        body = _read(source, size) if size <= REQUEST_BYTES_MAX else None
        if body is None:
            return
        text, language, words_per_minute, voice = json.loads(body)
        rate_hz, samples = engine.speak(text, language, words_per_minute, voice)
        sink.write(ANSWER.pack(rate_hz, len(samples)) + samples)
        sink.flush()


if __name__ == "__main__":
    main()
