"""The HTTP server: uvicorn around an application, with our connections. What runs beside it is in `gateway.app`."""

from __future__ import annotations

import asyncio
import contextlib

import uvicorn
from starlette.types import ASGIApp

from gateway.listener.bounds import SWEEP_S
from gateway.listener.connection import protocol_of
from gateway.listener.crowd import Crowd
from gateway.settings_http import HttpSettings

DRAIN_S = 5  # a graceful stop waits this long for requests under way
TICKS = round(SWEEP_S / 0.1)  # uvicorn looks ten times a second whether it should end


class HttpServer(uvicorn.Server):
    """uvicorn without its own signal handlers: the broker ends after the last request, not beside it."""

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        self._crowd = Crowd(connections_max=settings.connections_max, wait_s=settings.wait_s, idle_s=settings.idle_s)
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
