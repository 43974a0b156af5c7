"""The HTTP server: uvicorn around an application, with our connections. What runs beside it is in `gateway.app`."""

from __future__ import annotations

import asyncio
import contextlib
import resource

import structlog
import uvicorn
from starlette.types import ASGIApp

from gateway.listener.bounds import SWEEP_S
from gateway.listener.connection import protocol_of
from gateway.listener.crowd import Crowd
from gateway.settings_http import HttpSettings

DRAIN_S = 5  # a graceful stop waits this long for requests under way
TICKS = round(SWEEP_S / 0.1)  # uvicorn looks ten times a second whether it should end

FILES_SHARE = 2
"""Connections to the API take at most one file descriptor in two: links to providers, calls and the database need the rest, and
strangers who hold connections shall not keep an alarm from going out."""

log = structlog.get_logger(__name__)


def places(wanted: int, files: int) -> int:
    """How many connections there may be, of those wanted, where the process may have so many files open; -1: any number."""
    return wanted if files < 0 else min(wanted, max(1, files // FILES_SHARE))


class HttpServer(uvicorn.Server):
    """uvicorn without its own signal handlers: the broker ends after the last request, not beside it."""

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        connections_max = places(settings.connections_max, files)
        if connections_max < settings.connections_max:
            log.warning("few_file_descriptors", files=files, connections_max=connections_max)
        self._crowd = Crowd(connections_max=connections_max, wait_s=settings.wait_s, idle_s=settings.idle_s)
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=protocol_of(self._crowd),
                ws="none",
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=DRAIN_S,
                server_header=False,
                proxy_headers=False,  # nothing here trusts a caller's address
            )
        )

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # the base declares a generator of None
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS == 0:
            self._crowd.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    @property
    def port(self) -> int:
        """Where it listens, once it has `started`."""
        found: int = self.servers[0].sockets[0].getsockname()[1]
        return found
