"""The gateway as a process: what `tocsin serve` and the demo put around the composition root, local access included."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import structlog
from starlette.types import ASGIApp

from gateway import app, local_access, loop
from gateway.api import application
from gateway.broker import Broker, Role
from gateway.clock import SystemClock
from gateway.local_access import LocalAccess, connectable
from gateway.port_holder import taken_by
from gateway.settings import Settings
from gateway.store.engine import SqliteStore
from gateway.store.errors import StoreError

log = structlog.get_logger(__name__)
T = TypeVar("T")


class AddressTakenError(OSError):
    """Nobody can listen at the address; the text says which and why."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs the coroutine on the event loop that the gateway is measured with. Raises AddressTakenError where somebody
    took the address after it was found free: the HTTP server would end the process then."""
    try:
        return loop.run(work)
    except SystemExit as error:
        raise AddressTakenError("cannot listen at http.listen: somebody was quicker; try again") from error


async def run_gateway(
    settings: Settings, started: Callable[[str, Broker], Awaitable[None]], *, role: Role = "all"
) -> None:
    """The gateway with its API, until SIGINT, SIGTERM or cancellation; `started` gets the URL that others can use.

    Meanwhile a file beside a SQLite database lets the command line in. Raises AddressTakenError, and StoreError where
    the database cannot be opened.
    """
    ensure_free(settings.http.host, settings.http.port)
    allow_many_files()
    path = local_access.own_path(settings.store.url.get_secret_value())
    brokers: list[Broker] = []
    given: list[LocalAccess] = []

    def http_app(broker: Broker) -> ASGIApp:
        brokers.append(broker)
        return application(broker)

    async def on_started(url: str) -> None:
        url = connectable(settings.http.host, int(url.rpartition(":")[2]))
        if path is not None:
            given.append(await _let_in(brokers[0], url, path))
        await started(url, brokers[0])

    try:
        await app.serve(settings, http_app, started=on_started, role=role)
    finally:
        if path is not None and given:
            given[0].remove(path)
            await _shut_out(settings)


def allow_many_files() -> None:
    """Takes as many file descriptors as the system grants: a call has a socket of its own, and the usual 1,024 are soon gone."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def ensure_free(host: str, port: int) -> None:
    """Raises AddressTakenError where nobody can listen at the address: the HTTP server would not say so."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        why = taken_by(port) if error.errno == errno.EADDRINUSE else error.strerror or error
        raise AddressTakenError(f"cannot listen at {host}:{port} (http.listen): {why}") from error


async def _let_in(broker: Broker, url: str, path: Path) -> LocalAccess:
    token = await broker.store.write(local_access.grant(broker.clock.now()))
    access = LocalAccess(url=url, token=token, pid=os.getpid())
    access.write(path)
    return access


async def _shut_out(settings: Settings) -> None:
    """Revokes the key of the command line. Where that fails the next start does it; nobody has its text any more."""
    with suppress(StoreError):
        store = SqliteStore(settings.store.url.get_secret_value().removeprefix("sqlite:///"))
        try:
            store.lock()
            await store.write(local_access.withdraw(SystemClock().now()))
        finally:
            await store.close()
