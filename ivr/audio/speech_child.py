"""The process that speaks: texts come in, sound goes out, in frames with their length before them. Nothing of a call is known here.

It stands alone because the engine (espeak-ng, GPL, native code) may crash or hang on a text: then only this process does.
Run as ``python -m ivr.audio.speech_child``.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import sys
from typing import Any, BinaryIO

LENGTH = struct.Struct("!I")
REQUEST_BYTES_MAX = 64 * 1024
SYNCHRONOUS = 2
"""espeak_AUDIO_OUTPUT: AUDIO_OUTPUT_SYNCHRONOUS, samples by callback."""
CHARS_UTF8 = 1
RATE_PARAMETER = 1
"""espeak_PARAMETER: espeakRATE, words a minute."""

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Engine:
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

    def speak(self, text: str, language: str, words_per_minute: int) -> bytes:
        """Samples of 16 bits at `rate_hz`. A language that is not known is spoken as its base language, then as English."""
        for name in (language, language.partition("-")[0], "en"):
            if name and self._library.espeak_SetVoiceByName(name.lower().encode()) == 0:
                break
        self._library.espeak_SetParameter(RATE_PARAMETER, words_per_minute, 0)
        self._pieces = []
        data = text.encode("utf-8", "replace") + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 1, 0, CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        return b"".join(self._pieces)


def _read(stream: BinaryIO, size: int) -> bytes | None:
    data = stream.read(size)
    return data if len(data) == size else None


def main() -> None:
    """Answers requests until the other end of stdin is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end is ours
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    engine = Engine()
    sink.write(LENGTH.pack(engine.rate_hz))
    sink.flush()
    while (head := _read(source, LENGTH.size)) is not None:
        size = LENGTH.unpack(head)[0]
        body = _read(source, size) if size <= REQUEST_BYTES_MAX else None
        if body is None:
            return
        text, language, words_per_minute = json.loads(body)
        samples = engine.speak(text, language, words_per_minute)
        sink.write(LENGTH.pack(len(samples)) + samples)
        sink.flush()


if __name__ == "__main__":
    main()
