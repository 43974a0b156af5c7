"""What is done around every request: its id, its caller, the bounds of its body, the problem it ends in. No route lives here."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import structlog
from prometheus_client import Counter
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.context import CALLER, ApiContext
from gateway.api.large_bodies import READ_IN_PART, read_in_part
from gateway.api.problems import KINDS, Problem, problem_of
from gateway.api.roles import Permission
from gateway.ids import new_id
from gateway.masking import masked

log = structlog.get_logger(__name__)

BODY_BYTES_MAX: Final = 64 * 1024
"""The largest body of all routes but those that take alerts: nothing they take is a tenth of it, and what somebody
sends who may not even call the route is never worth more memory."""
REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")

REQUESTS = Counter("tocsin_http_requests_total", "HTTP requests answered", ["method", "status"])
WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Whose body some route reads, and which is therefore bounded."""
METHODS: Final = WITH_BODY | {"GET", "HEAD", "DELETE"}  # others are counted as one: a label is no free text
for _status in {kind.status for kind in KINDS.values() if kind.status >= 500}:
    for _method in (*METHODS, "other"):
        REQUESTS.labels(_method, str(_status))  # there from the start, at 0: the first of them is an alarm's

_ROOT: Final = logging.getLogger()

Hot = Callable[[Scope, Receive], Awaitable[Response]]


class Boundary:
    """The outermost ASGI application. `hot` answers POST /v1/alerts past the framework's machinery, which would cost
    a third of what the request may."""

    def __init__(self, inner: ASGIApp, api: ApiContext, hot: Hot) -> None:
        self._inner = inner
        self._api = api
        self._hot = hot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        structlog.contextvars.bind_contextvars(request=exchange.request_id)
        try:
            await self._answer(scope, receive, exchange.send)
        except asyncio.CancelledError:  # the server stops, and has waited for long enough
            if exchange.status == 0:
                stopping = Problem(
                    "unavailable", "the gateway stops before it could answer", headers={"Connection": "close"}
                )
                await stopping.response()(scope, receive, exchange.send)
            raise
        except Exception as error:  # the last stop: whatever it is, the sender gets an answer
            problem = problem_of(error)
            if problem is None or exchange.status == 500:
                log.exception("request_failed", method=scope["method"], path=masked(scope["path"]))
                problem = Problem("internal-error", f"the log knows more of request {exchange.request_id}")
            if exchange.status == 0:
                await problem.response()(scope, receive, exchange.send)
        if _ROOT.isEnabledFor(logging.DEBUG):  # the log would find out by itself, ten times slower
            log.debug("request_answered", method=scope["method"], path=masked(scope["path"]), status=exchange.status)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        method: str = scope["method"]
        if method == "HEAD":  # whatever GET says, without its body: the server leaves that out (RFC 9110 9.3.2)
            scope = {**scope, "method": "GET"}
        if path.startswith("/v1/"):
            scope[CALLER] = await self._api.keys.caller(scope["headers"])
        if method in WITH_BODY:
            limit = self._api.settings.http.max_body_bytes
            if path != "/v1/alerts" and not path.startswith("/v1/intake/"):
                limit = min(limit, BODY_BYTES_MAX)
            if path in READ_IN_PART and scope[CALLER].may(Permission.SUBMIT):
                _check_headers(scope, None)
                receive = read_in_part(receive, limit)
            else:
                _check_headers(scope, limit)
                receive = _bounded(receive, limit)
        if path == "/v1/alerts" and method == "POST":
            response = await self._hot(scope, receive)
            await response(scope, receive, send)
        else:
            await self._inner(scope, receive, send)


class _Exchange:
    """One request and its answer: gives the answer the request's id and knows whether it has begun."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._method = scope["method"] if scope["method"] in METHODS else "other"
        self._send = send
        self.status = 0
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        self.request_id = given.decode() if REQUEST_ID.fullmatch(given) else new_id("req")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            REQUESTS.labels(self._method, str(self.status)).inc()
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.request_id.encode())]
        await self._send(message)


def _check_headers(scope: Scope, limit: int | None) -> None:
    """Refuses a body by what is said of it; None is any length. Raises Problem (413, 415)."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            if limit is not None and int(value) > limit:  # the server has seen that it is a number
                raise too_large(limit)
        elif name == b"content-type":
            kind = value.partition(b";")[0].strip().lower()
            if kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
                raise Problem("unsupported-media-type", "expected Content-Type: application/json")
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise Problem("unsupported-media-type", "expected a body without Content-Encoding")


def _bounded(receive: Receive, limit: int) -> Receive:
    taken = 0

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise too_large(limit)
        return message

    return bounded


def too_large(limit: int) -> Problem:
    """413. The server reads the rest of the body and throws it away, so that the sender gets to read this."""
    return Problem("too-large", f"expected a body of at most {limit} bytes")
