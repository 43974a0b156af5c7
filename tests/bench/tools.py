"""The load tools: compiled from the C files beside this one, started, asked, and their answers as values. No judgement."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.peers.ports import LOOPBACK
from tests.peers.processes import ChildProcess

SOURCES = Path(__file__).parent
COMPILE_WITHIN_S = 60
LOAD_WITHIN_S = 300  # the tool itself gives up after 30 s of silence
ANSWER_WITHIN_S = 10
POLL_S = 0.01  # times are the sink's own, so this only costs a little CPU
NUMBERS_MAX = 1_000_000  # as in smsc_sink.c
MARK = "{n}"  # what http_load replaces by the number
NUMBER_DIGITS = 7


class ToolMissingError(Exception):
    """Something that the bench needs is not installed; the text says what to install."""


class InvalidRunError(Exception):
    """A run from which no figure may be read; the text says what was wrong with it."""


@functools.cache
def compiled(name: str) -> Path:
    """The program made from ``name.c``, below the project's ``build``; compiled once for each text of it.
    Raises ToolMissingError."""
    source = SOURCES / f"{name}.c"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise ToolMissingError("make bench needs a C compiler: install the Debian package gcc")
    texts = [source, *sorted(SOURCES.glob("*.h"))]
    digest = hashlib.sha256(b"".join(text.read_bytes() for text in texts)).hexdigest()[:12]
    folder = SOURCES.parents[1] / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"{name}-{digest}"
    if not program.exists():
        fresh = Path(tempfile.mkdtemp(dir=folder)) / name
        done = subprocess.run(
            [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", fresh, source],
            capture_output=True,
            text=True,
            check=False,
            timeout=COMPILE_WITHIN_S,
        )
        if done.returncode != 0:
            raise ToolMissingError(
                f"{source.name} does not compile (are the Debian packages gcc and libc6-dev installed?)\n{done.stderr}"
            )
        fresh.replace(program)  # whole or not at all, for whoever compiles at the same time
        fresh.parent.rmdir()
    return program


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrivals:
    """What the sink counted since its last reset. Times are those of `time.monotonic`; 0 is never."""

    submits: int
    submits_unique: int
    submits_duplicated: int
    submits_foreign: int
    receipts_sent: int
    receipts_acked: int
    receipts_refused: int
    callbacks: int
    callbacks_duplicated: int
    callbacks_foreign: int
    alerts_completed: int
    protocol_errors: int
    first_submit_at: float
    last_submit_at: float
    last_receipt_acked_at: float
    last_callback_at: float

    def problems(self, messages: int, *, receipts: bool = True, callbacks: bool = True) -> list[str]:
        """Why these are not exactly so many messages, each with its receipt and its callback; nothing if they are."""
        expected = {"submits": messages, "submits_unique": messages}
        if receipts:
            expected |= {"receipts_sent": messages, "receipts_acked": messages}
        if callbacks:
            expected |= {"alerts_completed": messages}
        never = ("submits_duplicated", "submits_foreign", "receipts_refused", "callbacks_duplicated",
                 "callbacks_foreign", "protocol_errors")  # fmt: skip
        expected |= dict.fromkeys(never, 0)
        found = {name: getattr(self, name) for name in expected}
        return [f"{name} {found[name]}, not {count}" for name, count in expected.items() if found[name] != count]

    @property
    def last_at(self) -> float:
        """When the last receipt or callback was done with."""
        return max(self.last_receipt_acked_at, self.last_callback_at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One callback as it arrived."""

    timestamp: str
    signature: str
    body: str


class Sink:
    """The SMSC and the receiver of callbacks, one process of its own. Use as a context manager."""

    def __init__(self) -> None:
        ports = r"^smpp (\d+) http (\d+) control (\d+)$"
        self._process = ChildProcess([compiled("smsc_sink")], name="smsc_sink", ready_line=ports)
        self._control: socket.socket | None = None

    def __enter__(self) -> Self:
        self._process.start()
        self.smpp_port, self.http_port, control_port = (int(port) for port in self._process.matched_line.groups())
        self._control = socket.create_connection((LOOPBACK, control_port), timeout=ANSWER_WITHIN_S)
        self._answers = self._control.makefile("r", encoding="utf-8", newline="\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._control is not None:
            self._answers.close()
            self._control.close()
        self._process.stop()

    def arrivals(self) -> Arrivals:
        """What arrived so far."""
        return Arrivals(**json.loads(self._ask("stats")))

    def samples(self) -> list[Sample]:
        """Every twentieth callback, at most 200 of them."""
        found = []
        line = self._ask("samples")
        while line.strip():
            timestamp, signature, body = line.rstrip("\n").split(" ", 2)
            found.append(Sample(timestamp=timestamp, signature=signature, body=body))
            line = self._answers.readline()
        return found

    def reset(self) -> None:
        """Forgets what arrived."""
        self._ask("reset")

    def wait(self, messages: int, *, callbacks: bool, stall_s: float = 30.0) -> Arrivals:
        """What arrived, once that many receipts were answered and (`callbacks`) alerts reported as completed; or when
        nothing has come any more for `stall_s`. What is missing then is the caller's to judge."""
        last = self.arrivals()
        moved_at = time.monotonic()
        while last.receipts_acked < messages or (callbacks and last.alerts_completed < messages):
            if time.monotonic() - moved_at > stall_s:
                break
            time.sleep(POLL_S)
            seen = self.arrivals()
            if seen != last:
                last, moved_at = seen, time.monotonic()
        return last

    def _ask(self, line: str) -> str:
        assert self._control is not None, "the sink was not started"
        self._control.sendall(f"{line}\n".encode())
        return self._answers.readline()


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What came of a load: requests by their end, `time.monotonic` of begin and last answer, latencies of the accepted."""

    accepted: int
    refused: int
    failed: int
    started_at: float
    ended_at: float
    p50_ms: float
    p99_ms: float
    max_ms: float


def post_many(port: int, *, connections: int, requests: int, first: int, request: bytes) -> Load:
    """Sends the request that often, the numbers from `first` on in the place of its marks.

    Raises InvalidRunError with the first answer that was no 2xx.
    """
    words = [str(word) for word in (compiled("http_load"), port, connections, requests, first)]
    done = subprocess.run(words, input=request, capture_output=True, check=False, timeout=LOAD_WITHIN_S)
    if done.returncode != 0:
        raise InvalidRunError(f"http_load: {done.stderr.decode(errors='replace').strip()}")
    load = Load(**json.loads(done.stdout))
    if load.accepted != requests:
        answer = done.stderr.decode(errors="replace").strip()
        raise InvalidRunError(
            f"of {requests} requests {load.refused} were refused and {load.failed} got no answer\n{answer}".strip()
        )
    return load


def post_request(path: str, key: str, document: dict[str, Any]) -> bytes:
    """A whole POST, as `post_many` takes it; its document may hold marks."""
    body = json.dumps(document, separators=(",", ":"))
    length = len(body) + body.count(MARK) * (NUMBER_DIGITS - len(MARK))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
    return (head + body).encode()
