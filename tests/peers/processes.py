"""Child processes of the tests: found, started, awaited, killed. What each peer is lives in its own file."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pytest

from tests.peers.ports import listens

READY_WITHIN_S = 20.0  # a loaded two-core machine starts PostgreSQL in three
STOP_WITHIN_S = 5.0  # then the process group is killed
TAIL_LINES = 200  # enough to see why a process failed, bounded for one that talks much
SYSTEM_DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/local/sbin")  # not in every user's PATH


def find_binary(name: str, package: str, *directories: str | Path) -> str:
    """The full path of a program, looked for in `directories`, PATH and the system directories.

    A missing one fails the test with the Debian package to install: peers are never skipped.
    """
    path = os.pathsep.join([*map(str, directories), os.environ.get("PATH", os.defpath), *SYSTEM_DIRECTORIES])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.fail(f"{name} is missing: install the Debian package {package} (make test does it)", pytrace=False)
    return found


class ChildProcess:
    """One program under test or one peer: started in its own process group, ended by pid.

    Ready is whichever is given: `ready_port` takes a connection, `ready_line` (a regular expression) matches a line of
    its output, `ready` returns true. `user` runs it under another account (only as root). stdin is empty.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        name: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        user: str | None = None,
        ready_port: int | None = None,
        ready_line: str | None = None,
        ready: Callable[[], bool] | None = None,
        ready_within_s: float = READY_WITHIN_S,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.argv = [str(word) for word in argv]
        self.name = name or Path(self.argv[0]).name
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._user = user
        self._ready_port = ready_port
        self._ready_line = re.compile(ready_line) if ready_line is not None else None
        self._ready = ready
        self._ready_within_s = ready_within_s
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[str] | None = None
        self._group_killed = False
        self._readers: list[threading.Thread] = []
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)
        self._line_seen = threading.Event()
        self._matched: re.Match[str] | None = None

    def start(self) -> Self:
        """Starts it and returns once it is ready.

        Raises AssertionError with the end of its output when it is not ready in time or ends before.
        """
        assert not self.running, f"{self.name} runs already"
        self._reap()
        self._lines.clear()
        self._line_seen.clear()
        self._matched = None
        self._group_killed = False
        self._process = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=self._env,
            cwd=self._cwd,
            user=self._user,
            group=_primary_group(self._user),
            extra_groups=[] if self._user else None,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(pipe,), daemon=True, name=f"{self.name}-output")
            for pipe in (self._process.stdout, self._process.stderr)
        ]
        for reader in self._readers:
            reader.start()
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    @property
    def pid(self) -> int:
        """The process id. Raises AssertionError before the start."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def matched_line(self) -> re.Match[str]:
        """The match of `ready_line`: where the program said, say, on which port it listens."""
        assert self._matched is not None, f"{self.name} has not said {self._ready_line}"
        return self._matched

    @property
    def output(self) -> str:
        """The last lines of stdout and stderr, in order of arrival."""
        return "\n".join(self._lines)

    def wait(self, timeout_s: float = STOP_WITHIN_S) -> int:
        """The exit status once it has ended by itself (negative: the signal). Raises AssertionError if it does not."""
        assert self._process is not None, f"{self.name} was not started"
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {timeout_s:g} s\n{self.output}") from None
        return self._reap()

    def stop(self, within_s: float = STOP_WITHIN_S) -> int:
        """Asks it to end (SIGTERM unless told otherwise), then kills what is left of its group. Gives the status."""
        if self._process is None:
            return 0
        if self.running:
            self.send_signal(signal.SIGCONT)  # a paused process cannot end
            self.send_signal(self._stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(within_s)
        return self.kill()

    def kill(self) -> int:
        """kill -9 for it and its process group, without warning. Gives the exit status."""
        if self._process is None:
            return 0
        if not self._group_killed:
            self._group_killed = True  # later the number may belong to somebody else
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_WITHIN_S)
        return self._reap()

    def pause(self) -> None:
        """Stops it where it stands (SIGSTOP), as a machine that hangs."""
        self.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused process go on (SIGCONT)."""
        self.send_signal(signal.SIGCONT)

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process itself, not to its children."""
        assert self._process is not None, f"{self.name} was not started"
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _command(self) -> list[str]:
        """The command; started from the main thread it dies with us, so that an aborted run leaves nothing behind.

        Only there: the kernel sends the signal when the *thread* that started the child ends (PR_SET_PDEATHSIG).
        """
        setpriv = shutil.which("setpriv")
        if setpriv is None or threading.current_thread() is not threading.main_thread():
            return self.argv
        return [setpriv, "--pdeathsig", "KILL", "--", *self.argv]

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                text = line.rstrip("\n")
                self._lines.append(text)
                if self._ready_line is not None and self._matched is None:
                    self._matched = self._ready_line.search(text)
                    if self._matched is not None:
                        self._line_seen.set()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._ready_within_s
        while not self._is_ready():
            assert self._process is not None
            if self._process.poll() is not None:
                status = self._reap()
                raise AssertionError(f"{self.name} ended with status {status} before it was ready\n{self.output}")
            if time.monotonic() >= deadline:
                raise AssertionError(f"{self.name} was not ready within {self._ready_within_s:g} s\n{self.output}")
            self._line_seen.wait(0.02)

    def _is_ready(self) -> bool:
        if self._ready_line is not None and not self._line_seen.is_set():
            return False
        if self._ready_port is not None and not listens(self._ready_port):
            return False
        return self._ready is None or self._ready()

    def _reap(self) -> int:
        """Joins the readers (they close the pipes at the end of the output) and gives the exit status."""
        if self._process is None:
            return 0
        for reader in self._readers:
            reader.join(STOP_WITHIN_S)
        self._readers = []
        return self._process.wait(STOP_WITHIN_S)


def children_of(pid: int) -> list[int]:
    """The process ids of the direct children of a process (Linux, /proc)."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _primary_group(user: str | None) -> int | None:
    if user is None:
        return None
    return pwd.getpwnam(user).pw_gid
