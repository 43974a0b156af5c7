"""The OpenAPI document as the page for people shows it: operations by tag, fields in words, requests as curl. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.api.examples import DEPTH_MAX, Schema, example_of, resolved, variants
from gateway.api.problems import KINDS
from gateway.api.roles import INSTALLATION, Permission, roles_that_may

Json = dict[str, Any]
EXAMPLE_CHARS_MAX: Final = 160  # of one field; longer ones are in the example of the whole
LINE_CHARS_MAX: Final = 60  # of a body on one line of an example
BODIES: Final[Mapping[str, Any]] = {
    "submit_alert": {
        "text": "Pump 3 has stopped",
        "priority": "high",
        "recipients": [
            "sms:+33612345678",
            {"name": "Anne", "language": "fr", "addresses": ["sms:+33687654321", "email:anne@example.org"]},
        ],
        "steps": [{"after_s": 0, "channels": ["sms"]}, {"after_s": 300, "repeat": 2, "every_s": 120}],
        "acknowledgement": {"rule": "any"},
        "reference": "PUMP-3",
    },
}
"""Bodies that show more than the members that are needed."""

CHECK: Final = """import hashlib
import hmac


def genuine(secret: str, headers: dict[str, str], body: bytes) -> bool:
    signed = headers["Tocsin-Timestamp"].encode() + b"." + body
    expected = "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, headers["Tocsin-Signature"])
"""
"""How a receiver tells that a callback is ours."""


def reference(document: Json, url: str) -> Json:
    """What the template of the page is given. Examples are sent to `url`."""
    operations = list(_operations(document, url.rstrip("/")))
    return {
        "version": document["info"]["version"],
        "tags": [
            {**tag, "operations": [one for one in operations if one["tag"] == tag["name"]]} for tag in document["tags"]
        ],
        "roles": [
            {
                "permission": str(permission),
                "roles": [str(role) for role in roles_that_may(permission)],
                "installation": permission in INSTALLATION,
            }
            for permission in Permission
        ],
        "problems": [{"name": name, "status": kind.status, "meaning": kind.meaning} for name, kind in KINDS.items()],
        "posted": list(_fields(document["components"]["schemas"]["CallbackBody"], document["components"]["schemas"])),
        "check": CHECK.rstrip(),
        "first": next(one["curl"] for one in operations if one["anchor"] == "submit_alert"),
    }


def _operations(document: Json, url: str) -> Iterator[Json]:
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            anchor = operation["operationId"]
            body = _body(operation, schemas)
            yield {
                "anchor": anchor,
                "tag": operation["tags"][-1],
                "method": method.upper(),
                "path": path,
                "summary": operation["summary"],
                "description": operation["description"],
                "roles": operation.get("x-roles", ()),
                "installation": operation.get("x-installation", False),
                "parameters": [_parameter(each, schemas) for each in operation.get("parameters", ())],
                "body": [] if body is None else list(_fields(body, schemas)),
                "curl": _curl(method.upper(), url, path, operation, schemas, BODIES.get(anchor)),
                "answers": [
                    _answer(status, answer, schemas)
                    for status, answer in operation["responses"].items()
                    if status < "3"
                ],
                "problems": [
                    {"name": name, "status": kind.status}
                    for name, kind in KINDS.items()
                    if f"`/problems/{name}`" in operation["responses"].get(str(kind.status), {}).get("description", "")
                ],
            }


def _body(operation: Json, schemas: Mapping[str, Schema]) -> Schema | None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return None if content is None else variants(content["schema"], schemas)[0]


def _curl(method: str, url: str, path: str, operation: Json, schemas: Mapping[str, Schema], body: Any) -> str:
    """The request as a shell takes it, with what it needs and no more."""
    needed = {}
    for each in operation.get("parameters", ()):
        if each["in"] == "path":
            needed[each["name"]] = str(example_of(each["schema"], schemas) or each["name"].upper())
    words = [
        "curl",
        *(
            ["-X", method]
            if method in ("PUT", "PATCH", "DELETE") or (method == "POST" and _body(operation, schemas) is None)
            else []
        ),
    ]
    words.append(shlex.quote(url + path.format(**needed)))
    lines = [" ".join(words)]
    if "security" in operation:
        lines.append('-H "Authorization: Bearer $TOCSIN_KEY"')
    shape = _body(operation, schemas)
    if shape is not None:
        sent = body if body is not None else example_of(shape, schemas, needed=True)
        lines.append("--json " + shlex.quote(_spread(sent)))
    return " \\\n  ".join(lines)


def _spread(body: Json) -> str:
    """A body with one member a line, and one recipient or step a line where there are several."""
    lines = []
    for name, value in body.items():
        inner = (
            [json.dumps(each, ensure_ascii=False) for each in value]
            if isinstance(value, list) and len(value) > 1
            else []
        )
        told = "[\n      " + ",\n      ".join(inner) + "]" if inner else json.dumps(value, ensure_ascii=False)
        lines.append(f"    {json.dumps(name)}: {told}")
    whole = json.dumps(body, ensure_ascii=False)
    return whole if len(whole) <= LINE_CHARS_MAX else "{\n" + ",\n".join(lines) + "}"


def _answer(status: str, answer: Json, schemas: Mapping[str, Schema]) -> Json:
    content = answer.get("content", {}).get("application/json")
    if content is None:
        return {"status": status, "description": answer["description"], "example": "", "fields": []}
    example = example_of(content["schema"], schemas)
    return {
        "status": status,
        "description": answer["description"],
        "example": json.dumps(example, ensure_ascii=False, indent=2),
        "fields": list(_fields(content["schema"], schemas)),
    }


def _parameter(parameter: Json, schemas: Mapping[str, Schema]) -> Json:
    schema = parameter["schema"]
    told = {"query": "in the query", "path": "in the path", "header": "a header"}[parameter["in"]]
    return {
        "name": parameter["name"],
        "kind": f"{told}, {kind_of(schema, schemas)}",
        "needed": parameter.get("required", False) and parameter["in"] != "path",
        "deprecated": False,
        "description": parameter["description"],
        "example": "" if parameter["in"] == "path" else _shown(schema, schemas),
    }


def _fields(schema: Schema, schemas: Mapping[str, Schema], place: str = "", depth: int = 0) -> Iterator[Json]:
    """Every member of what the schema describes, those of its members after them, each by its place."""
    if depth > DEPTH_MAX:
        return
    for shape in variants(schema, schemas):
        if shape.get("type") == "array" and "items" in shape:
            yield from _fields(shape["items"], schemas, f"{place}[]" if place else "[]", depth + 1)
        for name, member in shape.get("properties", {}).items():
            at = f"{place}.{name}" if place else name
            whole = resolved(member, schemas)
            yield {
                "name": at,
                "kind": kind_of(member, schemas),
                "needed": name in shape.get("required", ()),
                "deprecated": bool(whole.get("deprecated")),
                "description": whole.get("description", ""),
                "example": _shown(member, schemas),
            }
            yield from _fields(member, schemas, at, depth + 1)


def _shown(schema: Schema, schemas: Mapping[str, Schema]) -> str:
    """An example of a field on one line; "" where it is long, or where its own members show it."""
    for one in (schema, *variants(schema, schemas)):
        if one.get("examples"):
            text = json.dumps(one["examples"][0], ensure_ascii=False)
            return text if len(text) <= EXAMPLE_CHARS_MAX else ""
    return ""


def kind_of(schema: Schema, schemas: Mapping[str, Schema]) -> str:
    """Type, bounds, values and default in words."""
    found = resolved(schema, schemas)
    one = variants(found, schemas)[0]
    kinds = dict.fromkeys(_kind(each, schemas) for each in variants(found, schemas))
    told = [" or ".join(kinds)]
    if any(each.get("type") == "null" for each in found.get("anyOf", ())):
        told[0] += " or null"
    if found.get("default") not in (None, "", [], {}):
        told.append(f"by default {json.dumps(found['default'], ensure_ascii=False)}")
    told += [bound for names, words in _BOUNDS if (bound := _bound(one, names, words))]
    return ", ".join(told)


def _kind(schema: Schema, schemas: Mapping[str, Schema]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(value) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    kind = schema.get("type", "anything")
    if kind == "array" and "items" in schema:
        inner = dict.fromkeys(_kind(each, schemas) for each in variants(schema["items"], schemas))
        return f"list of {' or '.join(inner)}"
    if schema.get("format") == "date-time":
        return "time"
    return {"integer": "whole number", "string": "text", "boolean": "true or false"}.get(str(kind), str(kind))


_BOUNDS: Final = (
    ("minLength maxLength", "{} to {} characters"),
    ("minItems maxItems", "{} to {} items"),
    ("minProperties maxProperties", "{} to {} members"),
    ("minimum maximum", "{} to {}"),
)


def _bound(schema: Schema, names: str, text: str) -> str:
    """A pair of bounds in words; "" where there is none."""
    low, high = (schema.get(name) for name in names.split())
    if low is None and high is None:
        return ""
    if high is None:
        told = text.format(f"at least {low:,}", "").replace(" to ", "", 1)
        return told.removesuffix("s") if low == 1 else told
    if low in (None, 0) and "minimum" not in names:
        return text.format("", f"at most {high:,}").replace(" to ", "", 1)
    return text.format(f"{low or 0:,}", f"{high:,}")
