"""Free loopback ports for peers that cannot choose one themselves. The peers are in the files beside this one."""

from __future__ import annotations

import os
import random
import socket

LOOPBACK = "127.0.0.1"

# Below the range from which Linux picks the ports of outgoing connections (32768 up): a port that was free a moment ago
# is not taken by a connection that another test opens meanwhile. Simulated phones (ivr.phone) take 30000 up.
_ROWS = range(10_000, 20_000)
_PORTS = range(20_000, 30_000)
_SHARES_MAX = 8
"""As many test processes as `make test` starts at most."""
_TRIES = 100
_handed_out: set[int] = set()
_rows_from = random.getrandbits(16)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, neither for TCP nor for UDP, and never the same one twice in this process.

    Test processes that run together never get each other's, also where it is not bound yet or never is. Raises
    RuntimeError when none could be found.
    """
    ports = _share(_PORTS)
    for _ in range(_TRIES):
        port = random.choice(ports)
        if port not in _handed_out and _bindable(port):
            _handed_out.add(port)
            return port
    raise RuntimeError(f"no free port found in {_TRIES} tries between {ports.start} and {ports.stop}")


def take(port: int) -> list[socket.socket]:
    """Sockets that have the port on TCP and UDP, until they are closed. Raises OSError where somebody has it."""
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((LOOPBACK, port))
    return [socket.create_server((LOOPBACK, port)), datagrams]


def free_ports(count: int) -> int:
    """The first, an even one, of so many ports in a row that nobody has: for the sound of calls.

    They are never those of `free_port`, and come round again only after all others. Raises RuntimeError as `free_port`.
    """
    global _rows_from
    ports = _share(_ROWS)
    for _ in range(_TRIES):
        at = _rows_from % (len(ports) - count)
        _rows_from = at + count
        first = ports[at] + ports[at] % 2
        if all(map(_bindable, range(first, first + count))):
            return first
    raise RuntimeError(f"no {count} free ports in a row found between {ports.start} and {ports.stop}")


def listens(port: int, host: str = LOOPBACK) -> bool:
    """Whether something takes TCP connections on the port now."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def _share(ports: range) -> range:
    """Those of this process, one of several that pytest-xdist started."""
    shares = min(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), _SHARES_MAX)
    own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % shares
    return ports[len(ports) * own // shares : len(ports) * (own + 1) // shares]


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
