"""The command `tocsin` in forked children of a process that has imported everything: a start costs ten times as much. No tests.

They have a network of their own, where the kernel grants one: of settings that name no port, only one at a time could listen.

Run as a program it is that process: a request a line on standard input, an answer a line on standard output, both JSON.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.peers.network import alone_on_the_network
from tests.peers.ports import take

READY = b'"ready": true'
WAIT_S = 60.0
"""For a child that says nothing and does not end: long, for a machine that runs many tests at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a command did; `status` is None where a server became ready, and was ended then."""

    status: int | None
    out: str
    err: str


class ForkServer:
    """Gives a child for each command. Use as a context manager."""

    def __init__(self, settings: Path, *, taken: int) -> None:
        """`settings`: a right file, read once so that what is needed for it is loaded. `taken`: a port in use, by the caller on
        this machine's network, and by this process on its own."""
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.gateway.forked", str(settings), str(taken)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(WAIT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def run(self, *words: str, folder: Path, **environ: str) -> Answer:
        """`tocsin WORDS` in the folder, with these variables in its environment."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(
            json.dumps({"words": words, "folder": str(folder), "environ": environ}),
            file=self._process.stdin,
            flush=True,
        )
        return Answer(**json.loads(self._process.stdout.readline()))


def main(settings: str, taken: int) -> None:
    held = take(taken) if alone_on_the_network() else []
    from gateway.app import build_channels, examine
    from gateway.cli.root import COMMANDS, Root
    from gateway.serving import run_gateway

    del run_gateway
    root = Root()
    for name in COMMANDS:
        root.get_command(None, name)  # type: ignore[arg-type]  # the context is not looked at
    build_channels(examine(Path(settings)).settings)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        print(json.dumps(_forked(json.loads(line))), flush=True)
    for each in held:
        each.close()


def _forked(request: dict[str, Any]) -> dict[str, Any]:
    out, child_out = os.pipe()
    folder = Path(request["folder"])
    err = folder / "stderr"
    pid = os.fork()
    if pid == 0:
        _become_command(request, child_out, err)
    os.close(child_out)
    status, printed = _end_of(pid, out)
    os.close(out)
    return {"status": status, "out": printed, "err": err.read_text(errors="replace")}


def _become_command(request: dict[str, Any], out: int, err: Path) -> None:
    status = 70
    try:
        os.dup2(out, 1)
        os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(request["folder"])
        os.environ.update(request["environ"])
        from gateway.cli import main as tocsin

        tocsin(request["words"])
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _end_of(pid: int, out: int) -> tuple[int | None, str]:
    """Waits until the child ends or says that it is ready."""
    printed = b""
    while READY not in printed:
        readable, _, _ = select.select([out], [], [], WAIT_S)
        piece = os.read(out, 65_536) if readable else b""
        if not piece:
            break
        printed += piece
    ready = READY in printed
    if ready or not readable:
        os.kill(pid, signal.SIGKILL)
    _, ended = os.waitpid(pid, 0)
    return None if ready else os.waitstatus_to_exitcode(ended), printed.decode(errors="replace")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
