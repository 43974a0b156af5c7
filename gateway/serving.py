"""The gateway as a process: what `tocsin serve` and the demo put around the composition root, local access included."""

from __future__ import annotations

import os
import resource
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
from gateway.settings import Settings
from gateway.store.engine import SqliteStore
from gateway.store.errors import StoreError
from gateway.store.reading import accounts_among
from gateway.surroundings import AddressTakenError, ensure_free

log = structlog.get_logger(__name__)
T = TypeVar("T")


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
        await _tell_missing_accounts(brokers[0])
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


async def _tell_missing_accounts(broker: Broker) -> None:
    """Says which rules name an account that the store does not have: their alarms are refused until somebody creates it. Others work
    meanwhile, so it is no reason not to start."""
    rules = broker.settings.rules
    known = await broker.store.read(accounts_among({rule.account for rule in rules}))
    for n, rule in enumerate(rules):
        if rule.account not in known:
            log.error(
                "rule_without_account",
                rule=rule.name,
                account=rule.account,
                key=f"rules[{n}].account",
                detail=f"its alarms are refused; create it: tocsin accounts create {rule.account}",
            )


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
