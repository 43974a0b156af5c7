"""Recordings of simulated calls as files: CALL.wav, CALL-2.wav and so on. What is in them is made in `ivr.audio.recording`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from gateway import files
from ivr.phone import Keeper, SimulatedCall

log = structlog.get_logger(__name__)

RECORDINGS_MAX = 20
"""Calls of one run: to listen to, not an archive. Two hundred megabytes, were each as long as a recording may be."""
Show = Callable[[dict[str, Any], str], None]


class RecordingPathError(ValueError):
    """No recording can be written there; the text says why."""


class Recordings:
    """Where the calls of one run are kept. A file of an earlier run is replaced, each at once and whole."""

    def __init__(self, path: Path, show: Show) -> None:
        """Raises RecordingPathError where nothing could be written in the end."""
        self._path, self._show = path, show
        self._begun = 0
        if not path.parent.is_dir():
            raise RecordingPathError(f"there is no folder {path.parent}")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise RecordingPathError(f"the folder {path.parent} may not be written to")
        for n in range(1, RECORDINGS_MAX + 1):
            if self._named(n).exists() and not self._named(n).is_file():
                raise RecordingPathError(f"{self._named(n)} is there, and is no file")

    def keeper(self, call: SimulatedCall) -> Keeper | None:
        """Who takes the recording of this call; nobody after RECORDINGS_MAX."""
        if self._begun == RECORDINGS_MAX:
            self._show(
                {"number": call.number, "recorded": False, "recordings_max": RECORDINGS_MAX},
                f"phone {call.number} is not recorded: {RECORDINGS_MAX} calls were",
            )
            return None
        self._begun += 1
        path = self._named(self._begun)
        return lambda wav: self._keep(call, path, wav)

    def _named(self, n: int) -> Path:
        return self._path if n == 1 else self._path.with_stem(f"{self._path.stem}-{n}")

    def _keep(self, call: SimulatedCall, path: Path, wav: bytes) -> None:
        try:
            files.write(path, wav)
        except OSError as error:
            log.warning("recording_not_written", file=str(path), error=error.strerror or str(error))
            return
        self._show(
            {"number": call.number, "recorded": True, "file": str(path)},
            f"phone {call.number} was recorded: {path}",
        )
