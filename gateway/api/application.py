"""The ASGI application: every router put together, errors turned into problems, the boundary around all of it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Scope

from gateway.api import accounts, alertmanager, alerts, callbacks, health, inbound, keys, providers, tariffs
from gateway.api.boundary import Boundary
from gateway.api.context import ApiContext
from gateway.api.documentation import openapi_of
from gateway.api.pages import router as pages
from gateway.api.problems import KNOWN_ERRORS, Problem, invalid, problem_of
from gateway.api.submitting import Submit
from gateway.broker import Broker

UNEXPECTED: Final = "a fault of the gateway's; its log tells more under this answer's X-Request-Id"


def application(broker: Broker) -> ASGIApp:
    """The HTTP API of the broker, as `gateway.app.serve` takes it."""
    api = ApiContext(broker)
    submit = Submit(api)
    app = FastAPI(
        title="Tocsin",
        version=_version(),
        openapi_url=None,  # it would be written anew for each who asks
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
    )
    app.openapi = openapi_of(app, str(broker.settings.http.public_url or "/"))  # type: ignore[method-assign]  # FastAPI's own way to extend the document
    readiness = health.Readiness(api)

    async def ready() -> bool:
        return not await readiness.reasons()

    resources = (alertmanager, accounts, tariffs, keys, inbound, callbacks, providers)
    routers = [alerts.router(api, submit), *(resource.router(api) for resource in resources)]
    routers += [health.router(api, readiness), pages.router(app.version, _example_url(broker), ready, app.openapi)]
    app.state.routes = [route for router in routers for route in router.routes]
    for router in routers:
        app.include_router(router)
    for error in (HTTPException, *KNOWN_ERRORS):
        app.add_exception_handler(error, _answer)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(Exception, _answer_unexpected)
    return Boundary(app, api, submit)


def _example_url(broker: Broker) -> str:
    """Where the examples of the pages are sent: as others reach the API, else as it is reached on this machine."""
    http = broker.settings.http
    anywhere = http.host in ("0.0.0.0", "::")  # noqa: S104 - what is listened on, in words
    host = "127.0.0.1" if anywhere else f"[{http.host}]" if ":" in http.host else http.host
    return str(http.public_url or f"http://{host}:{http.port}")


def _version() -> str:
    try:
        return version("tocsin")
    except PackageNotFoundError:
        return "0"  # run from a tree that is not installed


async def _answer(request: Request, error: Exception) -> Response:
    problem = problem_of(error) or Problem("internal-error", UNEXPECTED)
    if problem.status_code == 405:
        allow = ", ".join(sorted(_methods(request.scope)))
        problem = Problem("method-not-allowed", f"expected {allow.replace(', ', ' or ')}", headers={"Allow": allow})
    elif type(error) is HTTPException and problem.status_code == 404:
        problem = Problem("not-found", "there is nothing at this path")
    return problem.response()


def _methods(scope: Scope) -> set[str]:
    """Every method that some route takes at this path (RFC 9110 15.5.6): a router names those of the first only."""
    found: set[str] = set()
    for route in scope["app"].state.routes:
        match, _ = route.matches(scope)
        if match is not Match.NONE:
            found.update(getattr(route, "methods", None) or ())
    return found | {"HEAD"} if "GET" in found else found


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    route = request.scope.get("route")
    models = [field.field_info.annotation for field in route.dependant.body_params] if route is not None else []
    model = models[0] if models else None
    return invalid(error.errors(), body=error.body, model=model, located=True).response()


async def _answer_unexpected(_request: Request, _error: Exception) -> Response:
    return Problem("internal-error", UNEXPECTED).response()  # the boundary gets the error itself, and logs it
