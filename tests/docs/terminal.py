"""A reader's terminal: one shell that keeps its folder and its variables from command to command. What is typed is in the pages."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from tests.peers.processes import children_of
from tests.peers.waiting import eventually_sync

WITHIN_S = 100.0
"""For one block: the demo takes ten seconds on an idle machine."""
ENDS_WITHIN_S = 45.0
"""A gateway waits up to 35 s for what is under way."""


class BlockFailedError(AssertionError):
    """A block did not do what the page says. `shown` is what it printed."""

    def __init__(self, why: str, shown: str) -> None:
        super().__init__(f"{why}\n{shown}")
        self.shown = shown


class Terminal:
    """A shell in a folder. Blocks run one after the other, and each has to end or to say that it is up."""

    def __init__(self, folder: Path, env: Mapping[str, str], scratch: Path) -> None:
        self._scratch = scratch
        self._blocks = 0
        self._output = ""
        self._shell = subprocess.Popen(
            ["/bin/bash", "--norc", "--noprofile"], cwd=folder, env=dict(env), text=True, errors="replace",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._type("trap 'failed=$?' ERR")

    @property
    def folder(self) -> Path:
        """Where the reader is now."""
        return Path(f"/proc/{self._shell.pid}/cwd").readlink()

    def run(self, block: str) -> tuple[int, str]:
        """Types the block and waits for its end: the status of the last command that failed, and what was shown."""
        before = self._begin(block)
        shown = self._until(before, lambda shown: self._done(shown) is not None, "the end of the block")
        done = self._done(shown)
        assert done is not None
        return int(done[1]), shown[: done.start()]

    def start(self, block: str, until: str) -> str:
        """Types a block that stays up; what it has shown when it has said `until`. Raises BlockFailedError where it ends before."""
        before = self._begin(block)
        shown = self._until(before, lambda shown: until in shown or self._done(shown) is not None, until)
        if until not in shown:
            raise BlockFailedError(f"it ended before it said {until!r}", shown)
        return shown

    def interrupt(self) -> None:
        """Ctrl-C: what runs in it ends, and the shell goes on."""
        for pid in self._running():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        eventually_sync(lambda: self._done(self._output) is not None, ENDS_WITHIN_S, what="the end after Ctrl-C")

    def close(self) -> None:
        """Ends what runs in it, and the shell."""
        if self._shell.poll() is None and self._running():
            with suppress(AssertionError):
                self.interrupt()
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        self._reader.join(5.0)
        for pipe in (self._shell.stdin, self._shell.stdout):
            assert pipe is not None
            pipe.close()

    def _done(self, shown: str) -> re.Match[str] | None:
        """The mark of the end of the block that was typed last, with its status."""
        return re.search(rf"^:done-{self._blocks}-(\d+):$", shown, re.M)

    def _running(self) -> list[int]:
        found, new = [], children_of(self._shell.pid)
        while new:
            found += new
            new = [child for pid in new for child in children_of(pid)]
        return found

    def _begin(self, block: str) -> int:
        self._blocks += 1
        file = self._scratch / f"block-{self._shell.pid}-{self._blocks}.sh"
        file.write_text(block if block.endswith("\n") else f"{block}\n")
        before = len(self._output)
        self._type(f"failed=0; . {file} </dev/null; echo; echo :done-{self._blocks}-$failed:")
        return before

    def _type(self, line: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{line}\n")
        self._shell.stdin.flush()

    def _until(self, before: int, seen: Callable[[str], bool], what: str) -> str:
        def shown() -> str:
            return self._output[before:]

        try:
            eventually_sync(lambda: seen(shown()) or self._shell.poll() is not None, WITHIN_S, what=what)
        except AssertionError as error:
            raise BlockFailedError(str(error), shown()) from None
        if not seen(shown()):
            raise BlockFailedError("the terminal was closed by the block", shown())
        return shown()

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            self._output += line
