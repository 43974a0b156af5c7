"""What the OpenAPI document says beyond what the routes say by themselves: problems, security, the body of an alert."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from gateway.administration import Role
from gateway.alert_request import AlertRequest
from gateway.alertmanager import Notification
from gateway.api.callback_shapes import CallbackBody, callbacks
from gateway.api.examples import resolved
from gateway.api.problems import KINDS, MEDIA_TYPE
from gateway.api.roles import INSTALLATION, Permission, roles_that_may

ResponseDocs = dict[int | str, dict[str, Any]]
ALWAYS: Final = ("unauthorized", "forbidden", "invalid-request", "internal-error", "unavailable")
"""Problems of every route that takes a key."""
WITH_BODY: Final = ("invalid-json", "too-large", "unsupported-media-type")
HEADERS: Final = {
    401: (
        "WWW-Authenticate",
        "how to authenticate (RFC 6750)",
        {"type": "string", "examples": ['Bearer realm="tocsin"']},
    ),
    429: ("Retry-After", "seconds to wait", {"type": "integer", "examples": [5]}),
    503: ("Retry-After", "seconds to wait", {"type": "integer", "examples": [5]}),
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
            header, description, schema = HEADERS[kind.status]
            found[kind.status]["headers"] = {header: {"description": description, "schema": schema}}
    return found


PROBLEM: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {
            "type": "string",
            "enum": [f"/problems/{name}" for name in KINDS],
            "description": "which kind of problem: stable, and a page that tells more",
        },
        "title": {"type": "string", "description": "the kind in words", "examples": ["Invalid request"]},
        "status": {"type": "integer", "description": "the status of the answer", "examples": [422]},
        "detail": {
            "type": "string",
            "description": "what happened this time, for people",
            "examples": ["recipients[3].addresses[0]: expected channel:value, such as sms:+33612345678"],
        },
        "errors": {
            "type": "array",
            "description": "each wrong field, the first 20",
            "items": {
                "title": "WrongField",
                "description": "One wrong field.",
                "type": "object",
                "required": ["field", "code", "detail"],
                "properties": {
                    "field": {
                        "type": "string",
                        "description": "the field by its place in the body, a parameter or a header. An address that is written alone "
                        "is the only one of its recipient",
                        "examples": ["recipients[3].addresses[0]"],
                    },
                    "code": {"type": "string", "description": "a short word for why", "examples": ["invalid_address"]},
                    "detail": {
                        "type": "string",
                        "description": "what was expected, for people",
                        "examples": ["expected channel:value, such as sms:+33612345678"],
                    },
                },
            },
        },
        "required": {
            "type": "string",
            "description": "with insufficient-credit: what the hold needs",
            "examples": ["0.90"],
        },
        "available": {
            "type": "string",
            "description": "with insufficient-credit: what could have been held",
            "examples": ["0.45"],
        },
        "roles": {
            "type": "array",
            "description": "with forbidden: the roles that may",
            "items": {"type": "string", "enum": [str(role) for role in Role]},
            "examples": [["operator", "administrator"]],
        },
        "reasons": {
            "type": "array",
            "description": "with not-ready: why",
            "items": {
                "title": "Reason",
                "description": "One reason.",
                "type": "object",
                "properties": {
                    "code": {"type": "string", "description": "a short word for it", "examples": ["store"]},
                    "detail": {
                        "type": "string",
                        "description": "the same for people",
                        "examples": ["the store did not answer within 2 s"],
                    },
                },
            },
        },
    },
}

TAGS: Final[Mapping[str, str]] = {
    "alerts": "Submit alerts, look at them, and say the words that end them.",
    "deliveries": "One address of one recipient: what was tried, and what came of it.",
    "intake": "Upstreams that speak a form of their own.",
    "accounts": "Who pays: balances, payments, the ledger.",
    "tariffs": "What a unit costs.",
    "keys": "Who may do what.",
    "callbacks": "Signed notices to an alert's `callback_url`.",
    "inbound": "What people sent to the gateway.",
    "providers": "The systems at the other end of each channel.",
    "health": "For whoever watches the gateway: no key.",
}
SUMMARIES: Final[Mapping[str, str]] = {
    "submit_alert": "Submit an alert",
    "list_alerts": "List alerts",
    "get_alert": "Show an alert",
    "get_timeline": "Show the timeline of an alert",
    "list_deliveries": "List the deliveries of an alert",
    "get_delivery": "Show a delivery",
    "acknowledge_alert": "Acknowledge an alert",
    "release_alert": "Hand an alert back",
    "resolve_alert": "Resolve an alert",
    "cancel_alert": "Cancel an alert",
    "take_notification": "Take a notification of Alertmanager",
    "list_accounts": "List accounts",
    "create_account": "Create an account",
    "change_account": "Change an account",
    "get_account": "Show an account",
    "get_callback_secret": "Show the secret of an account's callbacks",
    "list_entries": "List the entries of an account",
    "top_up": "Top an account up",
    "refund": "Refund a capture",
    "reverse": "Reverse a top-up",
    "list_tariffs": "List tariffs",
    "remove_tariff": "Remove a price",
    "set_tariff": "Set a tariff",
    "list_keys": "List keys",
    "create_key": "Create a key",
    "revoke_key": "Revoke a key",
    "list_callbacks": "List callbacks",
    "retry_callback": "Retry a callback",
    "list_inbound": "List inbound messages",
    "list_providers": "List providers and their health",
    "probe_provider": "Probe a provider",
    "test_provider": "Send a test message",
    "health": "Ask for the health",
    "live": "Ask whether the process answers",
    "ready": "Ask whether alerts are taken",
    "metrics": "Read the metrics",
}
"""What each operation does, as a command: by the name of its function. The page and the document say the same."""


def alert_body() -> dict[str, Any]:
    """The request body of POST /v1/alerts, whose route reads it by itself."""
    return body_of("AlertRequest")


def body_of(schema: str) -> dict[str, Any]:
    """A request body that the route reads by itself, since a large one is read beside the event loop."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"requestBody": {"required": True, "content": content}}


def openapi_of(app: FastAPI, url: str = "/") -> Callable[[], dict[str, Any]]:
    """The application's OpenAPI document, made once. `url` is where others reach it."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, url)
        return app.openapi_schema

    return openapi


def _document(app: FastAPI, url: str) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": told} for name, told in TAGS.items()],
        servers=[{"url": url, "description": "this gateway"}],
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (AlertRequest, Notification):
        request = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(request.pop("$defs"))
        schemas[model.__name__] = request
    schemas["Problem"] = PROBLEM
    posted = CallbackBody.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(posted.pop("$defs"))
    schemas["CallbackBody"] = posted
    document["paths"]["/v1/alerts"]["post"]["callbacks"] = callbacks()
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key: `tocsin keys create` prints one."}
    }
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    _allow_addresses(schemas)
    for route in app.state.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                _describe(document["paths"][route.path_format][method.lower()], route, schemas)
    for name, schema in schemas.items():
        if "required" in schema:  # who begins today is to read the new names
            old = {member for member, told in schema["properties"].items() if told.get("deprecated")}
            schema["required"] = [member for member in schema["required"] if member not in old]
        if name.startswith("Page_"):
            schema["description"] = "One page of the list."
            schema["title"] = f"Page of {name.removeprefix('Page_').strip('_').partition('_')[0]}"
    return document


def _describe(operation: dict[str, Any], route: APIRoute, schemas: Mapping[str, Any]) -> None:
    """What the framework cannot know of an operation: its summary, its roles, what its answer is."""
    name = "health" if route.path_format == "/health" else route.name  # it is /health/ready once more
    operation["summary"] = SUMMARIES[name]
    operation["operationId"] = name
    permission = permission_of(route)
    if permission is not None:
        operation["security"] = [{"key": []}]
        operation["x-permission"] = str(permission)
        operation["x-roles"] = [str(role) for role in roles_that_may(permission)]
        operation["x-installation"] = permission in INSTALLATION
    for status, response in operation["responses"].items():
        if response["description"] == "Successful Response":
            content: dict[str, Any] = next(iter(response.get("content", {}).values()), {})
            shape = resolved(content.get("schema", {}), schemas)
            response["description"] = shape.get("description") or f"Answered with {status}."


def permission_of(route: APIRoute) -> Permission | None:
    """What a key needs for this route; None where none is asked for."""
    if route.name == "submit_alert":  # the hot path asks by itself
        return Permission.SUBMIT
    for each in route.dependant.dependencies:
        found = getattr(each.call, "permission", None)
        if isinstance(found, Permission):
            return found
    return None


def _allow_addresses(schemas: dict[str, Any]) -> None:
    """A recipient may be written as its only address: the model makes one of it before it looks, its schema cannot say."""
    address = schemas["RecipientIn"]["properties"]["addresses"]["items"]
    either = {"anyOf": [{**address, "examples": ["sms:+33612345678"]}, {"$ref": "#/components/schemas/RecipientIn"}]}
    for model in ("AlertRequest", "StepIn"):
        recipients = schemas[model]["properties"]["recipients"]
        for variant in (recipients, *recipients.get("anyOf", ())):
            if variant.get("type") == "array":
                variant["items"] = either
