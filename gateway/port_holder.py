"""Who listens at a port of this machine, for messages to people: what /proc tells to whoever asks (proc(5)). Nothing is ended here."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
TABLES = {socket.SOCK_STREAM: ("tcp", "tcp6"), socket.SOCK_DGRAM: ("udp", "udp6")}
LISTENING = {socket.SOCK_STREAM: "0A", socket.SOCK_DGRAM: "07"}
"""States of sockets that wait for somebody (Linux, tcp_states.h): LISTEN, and of UDP the one without a peer."""
WORDS_MAX = 3
"""Of a `tocsin` command that are told: its name, its command and that one's."""


def holder_of(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> str:
    """Who listens at the port, in words: ``tocsin demo (process 4711)``; "" where this user may not see it, or nobody does."""
    inodes = set(_inodes(port, kind))
    if not inodes:
        return ""
    for process in sorted(PROC.glob("[0-9]*"), key=lambda path: int(path.name)):
        if any(socket_of in inodes for socket_of in _sockets(process)):
            return f"{_name(process)} (process {process.name})"
    return ""


def taken_by(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> str:
    """The same as the rest of a sentence: ``taken by tocsin demo (process 4711)``, or ``taken by another program``."""
    return f"taken by {holder_of(port, kind) or 'another program'}"


def _inodes(port: int, kind: socket.SocketKind) -> Iterator[str]:
    """Of the sockets that listen at the port, whatever their address."""
    for name in TABLES[kind]:
        for line in _lines(PROC / "net" / name)[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == LISTENING[kind] and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _sockets(process: Path) -> Iterator[str]:
    """The inodes of a process's sockets; none of one that is another user's, or gone."""
    try:
        for each in (process / "fd").iterdir():
            target = str(each.readlink())
            if target.startswith("socket:["):
                yield target[8:-1]
    except OSError:
        return


def _name(process: Path) -> str:
    """What people call it. Of a command of ours also which one; never options, which may hold secrets."""
    words = "\0".join(_lines(process / "cmdline")).split("\0")
    at = next((n for n, word in enumerate(words[:2]) if Path(word).name == "tocsin"), None)
    if at is not None:
        return " ".join(["tocsin", *_commands(words[at + 1 :])][:WORDS_MAX])
    return "".join(_lines(process / "comm")) or Path(words[0]).name


def _commands(words: list[str]) -> Iterator[str]:
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == "--config":
            skip = True
        elif not word.startswith("-") and word.isalpha():
            yield word
        elif not word.startswith("-"):
            return
