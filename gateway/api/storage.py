"""Whether there is room to accept anything: alerts stop before the disk is full, so that receipts and ends still fit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from gateway.api.problems import Problem
from gateway.clock import Clock

log = structlog.get_logger(__name__)

FREE_BYTES_MIN: Final = 32 * 1024 * 1024
"""What the ends of deliveries under way need at the most: the write-ahead log is folded back at 16 MiB, and folding
it back may need as much again."""
FRESH_S: Final = 1.0  # a look costs a system call; at a thousand alerts a second a second is a few MB


def free_bytes(folder: Path) -> int:
    """What an unprivileged writer may still write to the folder's file system. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class Storage:
    """The file system that the store writes to, where it is this machine's."""

    def __init__(self, store_url: str, clock: Clock, free: Callable[[Path], int] = free_bytes) -> None:
        self._folder = Path(store_url.removeprefix("sqlite:///")).parent if store_url.startswith("sqlite:///") else None
        self._clock = clock
        self._free = free
        self._until = float("-inf")
        self._full = False

    def full(self) -> bool:
        """Whether less than `FREE_BYTES_MIN` is free; never for a database on another machine. At most a second old."""
        if self._folder is None:
            return False
        now = self._clock.monotonic()
        if now >= self._until:
            self._until = now + FRESH_S
            self._look(self._folder)
        return self._full

    def _look(self, folder: Path) -> None:
        try:
            left = self._free(folder)
        except OSError as error:
            log.warning("free_space_not_known", folder=str(folder), error=str(error))
            return  # the commit will tell
        if (left < FREE_BYTES_MIN) != self._full:
            self._full = not self._full
            log.warning("storage_filled" if self._full else "storage_freed", free_bytes=left)

    def require_room(self) -> None:
        """Raises Problem (503) where nothing more is to be accepted."""
        if self.full():
            raise Problem("storage-full", f"less than {FREE_BYTES_MIN // 1024**2} MiB are free")
