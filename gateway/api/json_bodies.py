"""How a route of the framework's reads its body: with the parser of the hot path, so that what is not JSON has one answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.requests import ClientDisconnect

from gateway.api.problems import LOC_CHARS_MAX, Problem


class JsonRoute(APIRoute):
    """A route whose body is JSON in UTF-8. Anything else is answered as `/problems/invalid-json`, an empty body too
    where the route needs one."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's handler, with another way to read the body."""
        handle = super().get_route_handler()
        field = self.body_field
        needed = field is not None and field.field_info.is_required()

        async def read(request: Request) -> Response:
            own = _JsonRequest(request.scope, request.receive)
            try:
                if needed and not await own.body():
                    raise not_json("expected a body of JSON")
                return await handle(own)
            except ClientDisconnect as error:
                raise Problem("bad-request", "the sender left before the body was complete") from error

        return read


class _JsonRequest(Request):
    """A request of which `json` takes neither UTF-16 nor endless nesting, and raises Problem."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = parsed(await self.body())
        return self._json


def parsed(body: bytes) -> Any:
    """What the JSON says. Raises Problem (400)."""
    try:
        return from_json(body)
    except ValueError as error:
        raise not_json(f"Invalid JSON: {error}") from error


def not_json(detail: str) -> Problem:
    """400: the body cannot be read at all."""
    return Problem("invalid-json", detail[:LOC_CHARS_MAX])
