"""What the OpenAPI document says beyond what the routes say by themselves: problems, security, the body of an alert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.administration import Role
from gateway.api.problems import KINDS, MEDIA_TYPE
from gateway.submission import AlertRequest

ResponseDocs = dict[int | str, dict[str, Any]]
ALWAYS: Final = ("unauthorized", "forbidden", "invalid-request", "internal-error", "unavailable")
"""Problems of every route that takes a key."""
WITH_BODY: Final = ("invalid-json", "too-large", "unsupported-media-type")
HEADERS: Final = {
    401: ("WWW-Authenticate", "how to authenticate (RFC 6750)", "string"),
    503: ("Retry-After", "seconds to wait", "integer"),
}
DESCRIPTION: Final = """Alerts in, people reached, acknowledgements and proof out.

Every error is a problem (RFC 9457) with a stable `type`. Amounts are decimal strings, times RFC 3339 in UTC, ids opaque.
"""


def documented(*names: str, always: bool = True, body: bool = False) -> ResponseDocs:
    """The problems of a route, by status, as FastAPI's `responses` wants them."""
    every = [*names, *(ALWAYS if always else ()), *(WITH_BODY if body else ())]
    found: ResponseDocs = {}
    for name in every:
        kind = KINDS[name]
        line = f"`/problems/{name}`: {kind.meaning}"
        known = found.get(kind.status)
        if known is not None:
            known["description"] += f"\n\n{line}"
            continue
        found[kind.status] = {
            "description": line,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if kind.status in HEADERS:
            header, description, kind_of = HEADERS[kind.status]
            found[kind.status]["headers"] = {header: {"description": description, "schema": {"type": kind_of}}}
    return found


PROBLEM: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "enum": [f"/problems/{name}" for name in KINDS]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "each wrong field, named as `recipients[3].addresses[0]`",
            "items": {
                "type": "object",
                "required": ["field", "code", "detail"],
                "properties": {name: {"type": "string"} for name in ("field", "code", "detail")},
            },
        },
        "required": {"type": "string", "description": "with insufficient-credit: what the hold needs"},
        "available": {"type": "string", "description": "with insufficient-credit: what could have been held"},
        "roles": {
            "type": "array",
            "description": "with forbidden: the roles that may",
            "items": {"type": "string", "enum": [str(role) for role in Role]},
        },
        "reasons": {
            "type": "array",
            "description": "with not-ready",
            "items": {"type": "object", "properties": {"code": {"type": "string"}, "detail": {"type": "string"}}},
        },
    },
}


def alert_body() -> dict[str, Any]:
    """The request body of POST /v1/alerts, whose route reads it by itself."""
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AlertRequest"}}},
        }
    }


def openapi_of(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The application's OpenAPI document, made once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    return openapi


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes, tags=app.openapi_tags
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    request = AlertRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(request.pop("$defs"))
    schemas["AlertRequest"] = request
    schemas["Problem"] = PROBLEM
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values() if path.startswith("/v1/") else ():
            operation["security"] = [{"key": []}]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    _allow_addresses(schemas)
    return document


def _allow_addresses(schemas: dict[str, Any]) -> None:
    """A recipient may be written as its only address: the model makes one of it before it looks, its schema cannot say."""
    address = schemas["RecipientIn"]["properties"]["addresses"]["items"]
    either = {"anyOf": [{**address, "examples": ["sms:+33612345678"]}, {"$ref": "#/components/schemas/RecipientIn"}]}
    for model in ("AlertRequest", "StepIn"):
        recipients = schemas[model]["properties"]["recipients"]
        for variant in (recipients, *recipients.get("anyOf", ())):
            if variant.get("type") == "array":
                variant["items"] = either
