"""Who has a port: every kind of socket, of ours and of others, and nobody."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.port_holder import holder_of, taken_by
from tests.peers.ports import free_port

KINDS = [socket.SOCK_STREAM, socket.SOCK_DGRAM]
FAMILIES = [
    (socket.AF_INET, "127.0.0.1"),
    (socket.AF_INET, "0.0.0.0"),
    (socket.AF_INET6, "::1"),
    (socket.AF_INET6, "::"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_the_process_that_listens_is_named(family: socket.AddressFamily, host: str, kind: socket.SocketKind) -> None:
    with socket.socket(family, kind) as taken:
        taken.bind((host, 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        assert holder_of(taken.getsockname()[1], kind).endswith(f"(process {os.getpid()})")
        other = KINDS[1 - KINDS.index(kind)]
        assert not holder_of(taken.getsockname()[1], other).endswith(f"(process {os.getpid()})")


def test_nobody_is_nobody() -> None:
    port = free_port()
    assert holder_of(port) == ""
    assert taken_by(port) == "taken by another program"


LISTENS = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["demo", "--exit"], "tocsin demo"),
        (["--config", "x.toml", "simulate", "smsc", "--password", "secret"], "tocsin simulate smsc"),
        (["serve", "--config", "demo/tocsin.toml"], "tocsin serve"),
    ],
)
def test_a_command_of_ours_is_told_by_its_name_without_its_options(tmp_path: Path, words: list[str], name: str) -> None:
    program = tmp_path / "tocsin"
    program.write_text(LISTENS)
    with subprocess.Popen(
        [sys.executable, program, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        assert holder_of(port) == f"{name} (process {child.pid})"
        child.communicate("")
