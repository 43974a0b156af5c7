"""The command line as tests call it: within this process, with a folder of its own; no tests."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.cli import main
from tests.peers.processes import ChildProcess

TOCSIN = Path(sys.executable).parent / "tocsin"
READY_WITHIN_S = 60.0  # on a machine that runs many tests at once

SETTINGS = """\
[store]
url = "sqlite:///{folder}/tocsin.db"
[http]
listen = "127.0.0.1:{port}"
[callbacks]
allow_private = true
[last_resort]
recipients = ["sms:+33612345600"]
[[providers]]
name = "carrier"
channel = "sms"
kind = "smpp"
host = "127.0.0.1"
port = {smsc}
system_id = "user"
password = "pw"
source = "ALERT"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a command did: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


@dataclass(kw_only=True)
class Terminal:
    """A folder with a settings file, and the command line in it."""

    folder: Path
    _capsys: pytest.CaptureFixture[str]

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.folder / "tocsin.toml"

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.folder / "tocsin.db"

    def write_settings(self, *, port: int = 0, smsc: int = 1) -> None:
        """A whole settings file; port 1 is one where nobody listens."""
        self.config.write_text(SETTINGS.format(folder=self.folder, port=port, smsc=smsc))

    def run(self, *words: str, config: bool = True) -> Answer:
        """Runs `tocsin WORDS`, in this process, with --config of this folder unless told otherwise."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([*(["--config", str(self.config)] if config else []), *words])
        printed = self._capsys.readouterr()
        assert "Traceback" not in printed.err
        return Answer(status=int(end.value.code or 0), out=printed.out, err=printed.err)

    def json(self, *words: str) -> Any:
        """The document that the command prints; it has to work."""
        answer = self.run(*words, "--json")
        assert answer.status == 0, answer.err
        return answer.document

    def child(self, *words: str, ready_line: str) -> ChildProcess:
        """`tocsin WORDS` as a process of its own, ready when it says so."""
        return ChildProcess(
            [TOCSIN, *words],
            name=f"tocsin {words[0]}",
            cwd=self.folder,
            ready_line=ready_line,
            ready_within_s=READY_WITHIN_S,
        )

    def server(self) -> ChildProcess:
        """`tocsin serve` on the settings of this folder."""
        return self.child("serve", "--config", str(self.config), "--json", ready_line='"ready": true')

    def smsc(self, *options: str) -> ChildProcess:
        """`tocsin simulate smsc` on a free port, which `matched_line` tells."""
        return self.child("simulate", "smsc", "--port", "0", "--json", *options, ready_line=r'"port": (\d+)')


@contextmanager
def terminal_in(folder: Path, capsys: pytest.CaptureFixture[str], *, fresh: bool = True) -> Iterator[Terminal]:
    """A terminal, in a folder with new settings unless it has some; the logging that commands set up is undone at its end."""
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    terminal = Terminal(folder=folder, _capsys=capsys)
    if fresh:
        terminal.write_settings()
    try:
        yield terminal
    finally:
        root.handlers[:], root.level = handlers, level
        structlog.configure(**config)
