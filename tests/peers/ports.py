"""Free loopback ports for peers that cannot choose one themselves. The peers are in the files beside this one."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"

# Below the range from which Linux picks the ports of outgoing connections (32768 up): a port that was free a moment ago
# is not taken by a connection that another test opens meanwhile. Chance keeps parallel test processes apart.
_PORTS = range(20_000, 32_000)
_TRIES = 100
_handed_out: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, neither for TCP nor for UDP, and never the same one twice in this process.

    Raises RuntimeError when none could be found.
    """
    for _ in range(_TRIES):
        port = random.choice(_PORTS)
        if port not in _handed_out and _bindable(port):
            _handed_out.add(port)
            return port
    raise RuntimeError(f"no free port found in {_TRIES} tries between {_PORTS.start} and {_PORTS.stop}")


def listens(port: int, host: str = LOOPBACK) -> bool:
    """Whether something takes TCP connections on the port now."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def _bindable(port: int) -> bool:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT does not count
        try:
            tcp.bind((LOOPBACK, port))
            udp.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
