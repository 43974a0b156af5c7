"""What the engine would say, as phonemes: one child process answers for as many texts as there are.

Run as a file it is that child: lines of JSON come in, `[text, language]`, and lines of JSON with the phonemes go out.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

SYNCHRONOUS = 2
CHARS_UTF8 = 1
IPA = 2
_STRESS = re.compile(r"[ˈˌ]|\((?:[a-z]{2,3}(?:-[a-z]+)*)\)")
"""How much a syllable is stressed, and marks of a word that another language's rules read."""


@cache
def _child() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    process.wait()


@cache
def phonemes(text: str, language: str) -> str:
    """The phonemes of one text without stress, `|` where the engine pauses."""
    child = _child()
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps([text, language]) + "\n")
    child.stdin.flush()
    answer = child.stdout.readline()
    assert answer, "the engine has ended"
    return str(json.loads(answer))


def sounds(text: str, language: str) -> str:
    """The same without pauses and blanks: what is left where somebody listens badly."""
    return re.sub(r"[\s|]", "", phonemes(text, language))


def of(texts: Iterable[str], language: str) -> list[str]:
    """Phonemes of several."""
    return [phonemes(text, language) for text in texts]


class _Engine:
    def __init__(self) -> None:
        import espeakng_loader

        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_Initialize(SYNCHRONOUS, 200, os.fsencode(espeakng_loader.get_data_path()), 0)
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]

    def phonemes(self, text: str, language: str) -> str:
        if self._library.espeak_SetVoiceByName(language.encode()):
            raise LookupError(language)
        buffer = ctypes.create_string_buffer(text.encode())
        place = ctypes.c_void_p(ctypes.addressof(buffer))
        clauses = []
        while place.value is not None:
            clause = self._library.espeak_TextToPhonemes(ctypes.byref(place), CHARS_UTF8, IPA)
            clauses.append(clause.decode() if clause else "")
        return " | ".join(" ".join(_STRESS.sub("", clause).split()) for clause in clauses)


def main() -> None:
    """Answers until stdin is closed."""
    engine = _Engine()
    for line in sys.stdin:
        text, language = json.loads(line)
        print(json.dumps(engine.phonemes(text, language)), flush=True)


if __name__ == "__main__":
    main()
