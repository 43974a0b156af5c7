"""An example of whatever a schema of the OpenAPI document describes, made of the examples of its parts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]
DEPTH_MAX: Final = 12  # no schema of ours is a quarter as deep; one that holds itself would have no end

_FORMATS: Final = {"date-time": "2026-03-01T06:00:00.000Z"}
_PLAIN: Final[Mapping[str, Any]] = {
    "boolean": False,
    "integer": 0,
    "number": 0,
    "string": "",
    "object": {},
    "null": None,
}


def resolved(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    """The schema itself, or the one that it refers to, with what is said beside the reference."""
    if "$ref" not in schema:
        return schema
    beside = {name: value for name, value in schema.items() if name != "$ref"}
    return {**resolved(schemas[schema["$ref"].rpartition("/")[2]], schemas), **beside}


def variants(schema: Schema, schemas: Mapping[str, Schema]) -> list[Schema]:
    """What a value may be; null is left out."""
    found = resolved(schema, schemas)
    members = [*found.get("anyOf", ()), *found.get("oneOf", ())]
    if not members:
        return [found]
    every = [variant for member in members for variant in variants(member, schemas)]
    return [variant for variant in every if variant.get("type") != "null"]


def example_of(schema: Schema, schemas: Mapping[str, Schema], *, needed: bool = False, depth: int = 0) -> Any:
    """A value that the schema allows. With `needed` an object has only the members that it must have, or all where none has to be."""
    found = resolved(schema, schemas)
    if found.get("examples"):
        return found["examples"][0]
    for told in ("const", "default"):
        if found.get(told) is not None:
            return found[told]
    if found.get("enum"):
        return found["enum"][0]
    if depth > DEPTH_MAX:
        return None
    one = variants(found, schemas)[0]
    if one is not found and one != found:
        return example_of(one, schemas, needed=needed, depth=depth + 1)
    if found.get("type") == "array":
        return [example_of(found["items"], schemas, needed=needed, depth=depth + 1)] if "items" in found else []
    if found.get("type") == "object" and found.get("properties"):
        wanted = found.get("required", ()) if needed else ()
        return {
            name: example_of(member, schemas, needed=needed, depth=depth + 1)
            for name, member in found["properties"].items()
            if not member.get("deprecated") and (name in wanted or not wanted)
        }
    return _FORMATS.get(found.get("format", ""), _PLAIN.get(found.get("type", "null")))
