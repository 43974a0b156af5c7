"""Routes of the pages for people: `/`, `/docs`, `/problems/NAME`, and the two files that they load."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request
from markupsafe import Markup, escape
from starlette.responses import RedirectResponse, Response

from gateway.api.pages.reference import reference
from gateway.api.problems import KINDS, not_found

if TYPE_CHECKING:
    from jinja2 import Environment

Json = dict[str, Any]
HTML: Final = "text/html"
SECURITY: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Nothing runs in these pages, nothing comes from elsewhere, and nobody frames them."""
FILES: Final = {"tocsin.css": "text/css", "icon.svg": "image/svg+xml"}
FILE_S: Final = 300  # how long a browser may keep a file: an upgrade is seen soon after

_TICKS: Final = re.compile(r"`([^`]+)`")


def wants_json(accept: str) -> bool:
    """Whether an Accept header (RFC 9110, 12.5.1) prefers JSON to a page; what asks for neither gets the page."""
    weights = {"html": 0.0, "json": 0.0}
    exact = set()
    for each in accept.lower().split(","):
        kind, _, parameters = each.partition(";")
        weight = _weight(parameters)
        match kind.strip():
            case "text/html" | "application/xhtml+xml":
                weights["html"] = weight
                exact.add("html")
            case "application/json" | "application/problem+json":
                weights["json"] = weight
                exact.add("json")
            case "*/*":
                for name in weights.keys() - exact:
                    weights[name] = weight
    return weights["json"] > weights["html"] or (weights["json"] == weights["html"] > 0 and exact == {"json"})


def _weight(parameters: str) -> float:
    found = re.search(r"(?:^|;)\s*q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)", parameters)
    return 1.0 if found is None else float(found[1])


def router(version: str, url: str, ready: Callable[[], Awaitable[bool]], document: Callable[[], Json]) -> APIRouter:
    """The routes. `url` is where examples are sent, `ready` says whether alerts are taken, `document` gives the OpenAPI document."""
    routes = APIRouter(include_in_schema=False)
    told = cache(lambda: reference(document(), url))
    docs_page = cache(lambda: rendered("docs.html.j2", up="", **told()))

    root_page = cache(lambda up: rendered("root.html.j2", up="", version=version, ready=up))
    root_json = cache(lambda up: _document({"name": "tocsin", "version": version, "ready": up, "links": LINKS}))
    problem_page = cache(lambda name: _problem_page(name, told()))

    openapi = cache(lambda: json.dumps(document(), ensure_ascii=False, separators=(",", ":")).encode())

    @routes.get("/openapi.json")
    async def described() -> Response:
        # made once: it is large, anybody may ask for it, and who does not read it holds no copy
        return Response(await asyncio.to_thread(openapi), media_type="application/json")

    @routes.get("/")
    async def root(request: Request) -> Response:
        up = await ready()
        if wants_json(request.headers.get("accept", "")):
            return _json(root_json(up))
        return _page(root_page(up))

    @routes.get("/docs")
    async def docs() -> Response:
        # made once, in a tenth of a second or three that alerts do not wait for
        return Response(await asyncio.to_thread(docs_page), media_type=HTML, headers=SECURITY)

    @routes.get("/docs/")
    async def slash() -> Response:
        return RedirectResponse("../docs", 308)

    @routes.get("/docs/{name}")
    async def file(name: str) -> Response:
        if name not in FILES:
            raise not_found("file", name)
        headers = {**SECURITY, "Cache-Control": f"max-age={FILE_S}"}
        return Response(_file(name), media_type=FILES[name], headers=headers)

    @routes.get("/problems/{name}")
    async def problem(name: str, request: Request) -> Response:
        if name not in KINDS:
            raise not_found("kind of problem", name)
        if wants_json(request.headers.get("accept", "")):
            return _json(_problem_json(name))
        return _page(await asyncio.to_thread(problem_page, name))

    return routes


LINKS: Final = {
    "docs": "/docs",
    "openapi": "/openapi.json",
    "health": "/health",
    "live": "/health/live",
    "ready": "/health/ready",
    "metrics": "/metrics",
}


def _json(document: bytes) -> Response:
    return Response(document, media_type="application/json", headers={"Vary": "Accept"})


def _page(page: bytes) -> Response:
    return Response(page, media_type=HTML, headers={**SECURITY, "Vary": "Accept"})


def _document(document: Json) -> bytes:
    return json.dumps(document).encode()


@cache
def _problem_json(name: str) -> bytes:
    kind = KINDS[name]
    return _document({"type": f"/problems/{name}", "title": kind.title, "status": kind.status, "meaning": kind.meaning})


def _problem_page(name: str, told: Json) -> bytes:
    """The page of a kind of problem, with the operations that answer with it."""
    kind = KINDS[name]
    operations = [
        one for tag in told["tags"] for one in tag["operations"] if any(row["name"] == name for row in one["problems"])
    ]
    return rendered(
        "problem.html.j2",
        up="../",
        name=name,
        title=kind.title,
        status=kind.status,
        meaning=kind.meaning,
        operations=operations,
    )


def rendered(template: str, **values: Any) -> bytes:
    """A page, whole."""
    return _environment().get_template(template).render(**values).encode()


@cache
def _file(name: str) -> bytes:
    return files("gateway.api.pages").joinpath(name).read_bytes()


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    made = Environment(
        loader=FunctionLoader(lambda name: _file(name).decode()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["ticks"] = ticks
    made.filters["sentence"] = sentence
    return made


def ticks(text: str) -> Markup:
    """The text for a page; what stands in backticks is code."""
    return Markup(_TICKS.sub(r"<code>\1</code>", str(escape(text))).replace("\n\n", "<br>"))  # noqa: S704 - escaped before


def sentence(text: str) -> str:
    """The text as a sentence: descriptions begin with a small letter and have no stop."""
    text = text[:1].upper() + text[1:] if not text.startswith("`") else text
    return text if not text or text[-1] in ".!?" else f"{text}."
