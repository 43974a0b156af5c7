"""The ASGI application: every router put together, errors turned into problems, the boundary around all of it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp

from gateway.api import accounts, alerts, callbacks, health, inbound, keys, providers, tariffs
from gateway.api.boundary import Boundary
from gateway.api.context import ApiContext
from gateway.api.documentation import openapi_of
from gateway.api.problems import Problem, invalid, problem_of
from gateway.api.submitting import Submit
from gateway.broker import Broker


def application(broker: Broker) -> ASGIApp:
    """The HTTP API of the broker, as `gateway.app.serve` takes it."""
    api = ApiContext(broker)
    submit = Submit(api)
    app = FastAPI(
        title="Tocsin",
        version=_version(),
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
        openapi_url=None,
    )
    for router in (
        alerts.router(api, submit),
        accounts.router(api),
        tariffs.router(api),
        keys.router(api),
        inbound.router(api),
        callbacks.router(api),
        providers.router(api),
        health.router(api, app.openapi),
    ):
        app.include_router(router)
    app.add_exception_handler(StarletteHTTPException, _answer)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.openapi = openapi_of(app)  # type: ignore[method-assign]  # FastAPI's own way to extend the document
    return Boundary(app, api, submit)
