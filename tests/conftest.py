"""Fixtures shared by all tests: the real counterparts, started on demand. What each one is lives in tests/peers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from gateway import logs
from tests.peers import ports
from tests.peers.alertmanager import Alertmanager
from tests.peers.postgresql import PostgresqlServer
from tests.peers.smsc import NodeSmsc

# a machine that stands still for a moment has found no fault
settings.register_profile("patient", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

ROOT = Path(__file__).parents[1]
WIRE = ("tests/channels/**", "tests/ivr/**", "tests/conformance/test_channel_*.py")
"""Where tests open our own sockets: they run on both event loops, whatever is added to them."""

LoopFactories = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> LoopFactories:
    """Every asynchronous test runs on the loop that the gateway runs on (`gateway.serving.run`), wire tests on asyncio's too.

    The loops differ in what they do not promise: classes of transports, handles of timers, how fine the clock is.
    """
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    name = item.path.relative_to(ROOT).as_posix()
    if any(fnmatch(name, pattern) for pattern in WIRE):
        loops["asyncio"] = asyncio.new_event_loop
    return loops


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays until the end: nobody looks for garbage in it meanwhile."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """The tests themselves, thousands of them, are no garbage: who measures the processor does not look through them each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _logs_as_the_gateway_does() -> None:
    """What is logged costs what it costs the product, and can go wrong as it does there."""
    logs.configure()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the client of tests, which tells of every request


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives a free TCP port of 127.0.0.1, another one at every call."""
    return ports.free_port


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A private PostgreSQL for this test process, without fsync: for what it does, not for what it survives."""
    with contextlib.closing(PostgresqlServer()) as server:
        yield server.start()


@pytest.fixture(scope="session")
def durable_postgresql() -> Iterator[PostgresqlServer]:
    """A private PostgreSQL that writes to disk what it commits: for tests that kill."""
    with contextlib.closing(PostgresqlServer(durable=True)) as server:
        yield server.start()


@pytest.fixture
def postgresql_url(postgresql: PostgresqlServer) -> Iterator[str]:
    """A fresh, empty database: ``postgresql://tocsin@127.0.0.1:PORT/NAME``, removed after the test."""
    url = postgresql.create_database()
    yield url
    postgresql.drop_database(url)


@pytest.fixture
def durable_postgresql_url(durable_postgresql: PostgresqlServer) -> Iterator[str]:
    """As `postgresql_url`, on the server that keeps its word after a power cut."""
    url = durable_postgresql.create_database()
    yield url
    durable_postgresql.drop_database(url)


@pytest.fixture
def start_smsc() -> Iterator[Callable[..., NodeSmsc]]:
    """Starts SMSCs: ``start_smsc(throttle=250, ids="hex_answer")``. All of them end with the test."""
    with contextlib.ExitStack() as started:

        def start(**behaviour: object) -> NodeSmsc:
            smsc = NodeSmsc(behaviour=behaviour)
            started.callback(smsc.stop)
            return smsc.start()

        yield start


@pytest.fixture
def smsc(start_smsc: Callable[..., NodeSmsc]) -> NodeSmsc:
    """An SMSC that takes everything and sends the receipts that are asked for."""
    return start_smsc()


@pytest.fixture
def start_alertmanager() -> Iterator[Callable[..., Alertmanager]]:
    """Starts Alertmanagers: ``start_alertmanager(webhook_url, bearer_token=key)``. All of them end with the test."""
    with contextlib.ExitStack() as started:

        def start(webhook_url: str, **settings: Any) -> Alertmanager:
            alertmanager = Alertmanager(webhook_url, **settings)
            started.callback(alertmanager.stop)
            return alertmanager.start()

        yield start
