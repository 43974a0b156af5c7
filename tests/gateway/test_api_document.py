"""The OpenAPI document: everything in it is described, every example is one, and the page of the docs says the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from gateway.api.documentation import SUMMARIES, TAGS
from gateway.api.examples import example_of
from gateway.api.roles import INSTALLATION, roles_that_may
from gateway.api.timeline_lines import EVENTS, SHAPES
from tests.gateway.api_document import DOCUMENT
from tests.gateway.test_api_docs import PAGE, rows
from tests.gateway.test_api_roles import CALLS

SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
EXACT = {"boolean", "null", "object", "array"}


def parts(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within the value, with its place."""
    if isinstance(value, list):
        for n, each in enumerate(value):
            yield from parts(each, f"{place}[{n}]")
    elif isinstance(value, dict):
        if any(name in value for name in ("type", "anyOf", "oneOf", "$ref", "enum", "const")) and "in" not in value:
            yield place, value
        for name, each in value.items():
            if name not in ("examples", "default", "discriminator", "enum"):
                yield from parts(each, f"{place}.{name}")


def members() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every member of every object that is described."""
    for place, schema in parts(DOCUMENT["paths"], "paths"):
        for name, member in schema.get("properties", {}).items():
            yield f"{place}.{name}", member
    for place, schema in parts(SCHEMAS, "schemas"):
        for name, member in schema.get("properties", {}).items():
            yield f"{place}.{name}", member


def wrong(schema: dict[str, Any], example: Any) -> list[str]:
    """What the schema says against the example."""
    found = Draft202012Validator({**schema, "components": DOCUMENT["components"]}, validate_formats=True)
    return [error.message for error in found.iter_errors(example)]


def test_nothing_is_without_a_description() -> None:
    bare = [place for place, member in members() if not member.get("description")]
    bare += [
        name for name, schema in SCHEMAS.items() if not schema.get("description") and schema.get("type") == "object"
    ]
    for name, operation in OPERATIONS:
        bare += [name for what in ("summary", "description") if not operation.get(what)]
        bare += [f"{name} {each['name']}" for each in operation.get("parameters", ()) if not each.get("description")]
        for status, answer in operation["responses"].items():
            described = answer["description"] not in ("", "Successful Response")
            bare += [] if described else [f"{name} {status}"]
            bare += [
                f"{name} {status} {header}"
                for header, told in answer.get("headers", {}).items()
                if not told["description"]
            ]
    assert not bare


def test_every_number_and_text_has_an_example_or_a_set_of_values() -> None:
    bare = []
    for place, member in members():
        resolved = [one for one in (member, *member.get("anyOf", ())) if one.get("type") not in EXACT]
        shown = any(
            "examples" in one or "enum" in one or "const" in one or "$ref" in one for one in (member, *resolved)
        )
        if resolved and not shown and not any(one.get("oneOf") for one in resolved):
            bare.append(place)
    for name, operation in OPERATIONS:
        for each in operation.get("parameters", ()):
            schema = each["schema"]
            inner = (schema, *schema.get("anyOf", ()))
            if each["in"] != "path" and not any("examples" in one or "enum" in one for one in inner):
                bare.append(f"{name} {each['name']}")
    assert not bare


def test_every_example_is_one() -> None:
    for place, schema in [*parts(SCHEMAS, "schemas"), *parts(DOCUMENT["paths"], "paths")]:
        for example in schema.get("examples", ()) if isinstance(schema.get("examples"), list) else ():
            assert not wrong(schema, example), place


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_what_is_made_of_the_examples_is_what_the_schema_allows(name: str) -> None:
    for needed in (True, False):
        made = example_of(SCHEMAS[name], SCHEMAS, needed=needed)
        if name == "AlertRequest" and not needed:
            continue  # text or template, never both: what only a sentence says
        assert not wrong(SCHEMAS[name], made), made


def test_summaries_are_commands_in_one_style() -> None:
    told = [operation["summary"] for _, operation in OPERATIONS]
    assert set(told) == set(SUMMARIES.values())
    for summary in told:
        first, _, rest = summary.partition(" ")
        assert re.fullmatch(r"[A-Z][a-z]*[a-rt-z]", first), summary
        assert not re.search(r" [A-Z][a-z]", rest.replace("Alertmanager", "")), summary
        assert not summary.endswith("."), summary
    assert all(operation["description"].rstrip().endswith(".") for _, operation in OPERATIONS)


def test_tags_and_servers_are_told() -> None:
    assert {tag["name"] for tag in DOCUMENT["tags"]} == set(TAGS)
    assert {tag for _, operation in OPERATIONS for tag in operation["tags"]} == set(TAGS)
    assert all(tag["description"] for tag in DOCUMENT["tags"])
    assert DOCUMENT["servers"] == [{"url": "https://tocsin.example.org/", "description": "this gateway"}]


def test_every_operation_says_which_roles_may() -> None:
    told = {name: operation for name, operation in OPERATIONS if "security" in operation}
    assert set(told) == {" ".join(call.route) for call in CALLS}
    for call in CALLS:
        operation = told[" ".join(call.route)]
        assert operation["x-roles"] == [str(role) for role in roles_that_may(call.permission)]
        assert operation["x-installation"] == (call.permission in INSTALLATION)


def test_a_line_of_the_timeline_is_one_of_its_shapes() -> None:
    page = next(schema for name, schema in SCHEMAS.items() if "AcceptedLine" in name and name.startswith("Page"))
    items = page["properties"]["items"]["items"]
    assert items["discriminator"]["propertyName"] == "kind"
    assert set(items["discriminator"]["mapping"]) == set(SHAPES)
    assert len(items["oneOf"]) == len(set(SHAPES.values()))
    assert set(EVENTS) == {kind for kind, shape in SHAPES.items() if shape.__name__ == "EventLine"}


def test_the_page_names_the_parameters_of_every_route() -> None:
    told = {row[0].strip("`"): set(re.findall(r"`\?(\w+)=", row[1])) for row in rows("Routes")}
    for name, operation in OPERATIONS:
        query = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
        assert told[name] == query - {"cursor", "limit"} - ({"account"} if name == "POST /v1/alerts" else set()), name


def test_the_page_names_every_kind_of_line() -> None:
    part = PAGE.split("**A line of the timeline**", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"^\| `(\w+)` \|", part, re.M)) == set(SHAPES)
