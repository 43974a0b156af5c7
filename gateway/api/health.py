"""Routes for whoever watches the gateway: alive, ready, metrics. They take no key and tell nothing of any account."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final, Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge, generate_latest
from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response

from gateway.api.context import ApiContext
from gateway.api.documentation import documented
from gateway.api.problems import Problem
from gateway.api.storage import FREE_BYTES_MIN
from gateway.api.views import View
from gateway.breaker import Circuit
from gateway.clock import rfc3339
from gateway.patience import HELD_AGAINST
from gateway.queue.port import QueueUnavailable
from gateway.store.errors import StoreError
from gateway.store.journal import PENDING_MAX

FRESH_S: Final = 1.0  # how old an answer may be: the routes are open, and a look takes the writer's time
STORE_S: Final = 2.0  # a writer that is busy for longer than this makes nobody's alert durable in time
SCRAPES_PER_S: Final = 10
"""So often the metrics are made anew: some milliseconds each, so a flood of requests costs the alerts next to nothing."""
Reason = dict[str, str]


class Live(View):
    """The process answers."""

    status: Literal["live"] = Field(default="live", description="the process answers")


class Ready(View):
    """Alerts are taken. `warnings` is what an operator should look at all the same."""

    status: Literal["ready"] = Field(default="ready", description="alerts are taken")
    warnings: list[dict[str, str]] = Field(
        description="what an operator should look at all the same",
        examples=[[{"code": "provider_down", "detail": "carrier-a"}]],
    )


class Readiness:
    """Looks whether alerts can be taken; one look serves everybody who asks within a second."""

    def __init__(self, api: ApiContext) -> None:
        self._api = api
        self._until = float("-inf")
        self._looking = asyncio.Lock()
        self._reasons: list[Reason] = []

    async def reasons(self) -> list[Reason]:
        """Why no alert can be taken; none, hopefully."""
        async with self._looking:
            if self._api.clock.monotonic() >= self._until:
                self._reasons = await self._look()
                self._until = self._api.clock.monotonic() + FRESH_S
            return self._reasons

    async def _look(self) -> list[Reason]:
        api = self._api
        found = []
        if not api.broker.ready:
            found.append({"code": "broker", "detail": "the broker is starting or stopping"})
        if api.journal.pending >= PENDING_MAX:
            found.append({"code": "journal", "detail": "the journal is full"})
        if api.storage.full():
            found.append({"code": "storage", "detail": f"less than {FREE_BYTES_MIN // 1024**2} MiB are free"})
        try:
            async with asyncio.timeout(STORE_S):
                await api.store.write(_nothing)
        except TimeoutError:
            found.append({"code": "store", "detail": f"the store did not answer within {STORE_S:g} s"})
        except StoreError as error:
            found.append({"code": "store", "detail": f"the store cannot be written to: {error}"[:200]})
        return found

    async def warnings(self) -> list[Reason]:
        """What does not keep alerts from being taken, but from going out."""
        api = self._api
        found = []
        for name, channel in api.broker.channels.items():
            health = channel.health()
            if not health.up:
                found.append({"code": "provider_down", "detail": name})
            standing = api.broker.breakers[name].standing(api.clock.monotonic())
            if standing is not None:
                since = rfc3339(api.clock.now() - timedelta(seconds=standing.for_s))
                found.append({"code": f"provider_{standing.trouble.name.lower()}", "detail": f"{name} since {since}"})
        try:
            await api.broker.queue.ping()
        except QueueUnavailable:
            found.append({"code": "queue", "detail": "the queue cannot be reached; due work is found in the store"})
        return found


def _nothing(connection: Connection) -> None:
    """Takes the write lock and gives it back: enough for a database that is read-only, locked or gone to say so."""
    connection.exec_driver_sql("select 1")


class Scrape:
    """Gauges that are read when they are asked for; what is counted as it happens is in the process's own registry."""

    def __init__(self, api: ApiContext) -> None:
        self._api = api
        self._registry = CollectorRegistry()

        def gauge(name: str, text: str, labels: tuple[str, ...] = ("provider",)) -> Gauge:
            return Gauge(name, text, labels, registry=self._registry)

        self._depth = gauge("tocsin_queue_depth", "Deliveries that wait: announced, or between two tries")
        self._up = gauge("tocsin_provider_up", "1 while a link of the provider is up")
        self._outstanding = gauge("tocsin_provider_outstanding", "Requests that the provider has not answered yet")
        self._open = gauge("tocsin_provider_circuit_open", "1 while the provider's circuit is open")
        self._trouble = gauge(
            "tocsin_provider_trouble_seconds",
            "How long the provider has not done its work, by what it did instead; 0 while it does",
            ("provider", "trouble"),
        )
        self._pending = gauge("tocsin_journal_pending", "Commands that wait for a commit", ())
        self._ready = gauge("tocsin_ready", "1 while alerts are taken", ())
        self._making = asyncio.Lock()
        self._made = b""
        self._made_from = float("-inf")
        self._left, self._left_at = float(SCRAPES_PER_S), api.clock.monotonic()

    async def text(self, readiness: Readiness) -> bytes:
        """Everything, in Prometheus's text format. One is made at a time; whoever waited for it has it too, and so has whoever comes
        while `SCRAPES_PER_S` of them have been made within a second."""
        monotonic = self._api.clock.monotonic
        asked_at = monotonic()
        async with self._making:
            if self._made_from >= asked_at:
                return self._made
            now = monotonic()
            self._left = min(SCRAPES_PER_S, self._left + (now - self._left_at) * SCRAPES_PER_S)
            self._left_at = now
            if self._left >= 1 or not self._made:
                self._left -= 1
                self._made, self._made_from = await self._text(not await readiness.reasons()), now
            return self._made

    async def _text(self, ready: bool) -> bytes:
        broker = self._api.broker
        for name, channel in broker.channels.items():
            health = channel.health()
            self._up.labels(name).set(health.up)
            self._outstanding.labels(name).set(health.outstanding)
            self._open.labels(name).set(broker.breakers[name].circuit is not Circuit.CLOSED)
            standing = broker.breakers[name].standing(self._api.clock.monotonic())
            for trouble in HELD_AGAINST:
                lasted_s = standing.for_s if standing is not None and standing.trouble is trouble else 0.0
                self._trouble.labels(name, trouble.name.lower()).set(lasted_s)
            depth = await self._api.backlog.depth(name)
            self._depth.labels(name).set(float("nan") if depth is None else depth)
        self._pending.set(self._api.journal.pending)
        self._ready.set(ready)
        return generate_latest(REGISTRY) + generate_latest(self._registry)


def router(api: ApiContext, readiness: Readiness) -> APIRouter:
    """The routes under /health, and /metrics."""
    routes = APIRouter(tags=["health"])
    scrape = Scrape(api)
    metrics_text: dict[int | str, dict[str, Any]] = {
        200: {"description": "Prometheus's text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    }

    @routes.get("/health/live", responses=documented("internal-error", always=False))
    async def live() -> Live:
        """The process answers. Restart it when this fails."""
        return Live()

    @routes.get("/health", responses=documented("not-ready", "internal-error", always=False))
    @routes.get("/health/ready", responses=documented("not-ready", "internal-error", always=False))
    async def ready() -> Ready:
        """Alerts are taken. Send them elsewhere while this fails."""
        reasons = await readiness.reasons()
        if reasons:
            raise Problem("not-ready", "; ".join(reason["detail"] for reason in reasons), reasons=reasons)
        return Ready(warnings=await readiness.warnings())

    @routes.get(
        "/metrics", response_class=Response, responses={**metrics_text, **documented("internal-error", always=False)}
    )
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(await scrape.text(readiness), media_type=CONTENT_TYPE_LATEST)

    return routes
