"""What pydantic found wrong in a request, in plain words for whoever wrote it: no type of Python's, no regular expression."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel

from gateway.settings_problems import suggestion

NAME: Final = "expected 1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit"
AMOUNT: Final = "expected a decimal number without a sign with at most 6 decimals, such as 50.00 or 0.045"
NO_NUL: Final = "expected text without NUL characters"
ONE_LINE: Final = "expected text on one line, without control characters"

PATTERNS: Final[Mapping[str, str]] = {
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": NAME,
    r"^[A-Za-z0-9._-]{1,64}$": "expected 1 to 64 letters, digits, dots, dashes or underscores",
    r"^[A-Za-z0-9_-]+$": "expected next_cursor of a page of this list",
    r"^[0-9]{1,12}(\.[0-9]{1,6})?$": AMOUNT,
    r"^(-[0-9]{1,12}(\.[0-9]{1,6})?|0)$": "expected 0, or a negative decimal number with at most 6 decimals, such as -20.00",
    r"^([A-Z]{3}|credit)$": 'expected three upper-case letters such as EUR, or "credit"',
    r"^[^\x00]*$": NO_NUL,
    r"^[^\x00\r\n]*$": "expected text on one line",
    r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$": ONE_LINE,
    r"^[^\x00-\x1f/\\]+$": "expected the name of a file, without folders and control characters",
    r"^[A-Za-z0-9-]*$": "expected the tag of a language, such as fr or de-AT",
    r"^[\w.+-]+/[\w.+-]+$": "expected a media type, such as application/pdf",
    r"^[a-z][a-z0-9_]*$": "expected the name of a template: lower-case letters, digits and underscores",
    "^[!-~]([ -~]*[!-~])?$": "expected 1 to 200 printable ASCII characters, without blanks at the ends",
}
"""What every pattern of the API means to people. A test holds this and the OpenAPI document together."""

_WHOLE: Final = "expected a whole number"
_NUMBER: Final = "expected a number"
_BOOLEAN: Final = "expected true or false"
_LIST: Final = "expected a list, written [ … ]"
_OBJECT: Final = "expected an object, written {{ … }}"
_TIME: Final = "expected a time such as 2026-03-01T07:00:00+01:00"

WORDS: Final[Mapping[str, str]] = {
    "missing": "missing",
    "string_type": "expected text",
    "string_sub_type": "expected text",
    "string_unicode": "expected text in UTF-8",
    "string_too_short": "expected at least {min_length} characters",
    "string_too_long": "expected at most {max_length} characters",
    "int_type": _WHOLE, "int_parsing": _WHOLE, "int_parsing_size": _WHOLE, "int_from_float": _WHOLE,
    "float_type": _NUMBER, "float_parsing": _NUMBER, "finite_number": _NUMBER,
    "decimal_type": _NUMBER, "decimal_parsing": _NUMBER,
    "bool_type": _BOOLEAN, "bool_parsing": _BOOLEAN,
    "greater_than": "expected more than {gt}", "greater_than_equal": "expected {ge} or more",
    "less_than": "expected less than {lt}", "less_than_equal": "expected {le} or less",
    "literal_error": "expected one of {expected}", "enum": "expected one of {expected}",
    "tuple_type": _LIST, "list_type": _LIST, "set_type": _LIST, "frozen_set_type": _LIST, "iterable_type": _LIST,
    "too_short": "expected at least {min_length}, not {actual_length}",
    "too_long": "expected at most {max_length}, not {actual_length}",
    "dict_type": _OBJECT, "mapping_type": _OBJECT, "model_type": _OBJECT, "model_attributes_type": _OBJECT,
    "datetime_type": _TIME, "datetime_parsing": _TIME, "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "timezone_aware": f"{_TIME}, with its offset from UTC",
    "none_required": "expected null",
    "recursion_loop": "nested too deeply",
}  # fmt: skip
"""The words of every type of error that the models of requests have."""

CODES: Final[Mapping[str, str]] = {
    "tuple_type": "list_type", "set_type": "list_type", "frozen_set_type": "list_type",
    "dict_type": "object_type", "model_type": "object_type", "model_attributes_type": "object_type",
}  # fmt: skip
"""The code of an error, where pydantic's is a word of Python's."""

_STEP: Final = re.compile(r"\[([0-9]+)\]|([^.\[\]]+)")
_LISTED: Final = re.compile(r"'([^']*)'")
NAMES: Final[Mapping[str, str]] = {
    "to": "recipients", "recipient": "recipients", "message": "text", "body": "text", "msg": "text", "title": "subject",
    "ref": "reference", "urgency": "priority", "lang": "language", "callback": "callback_url", "webhook": "callback_url",
    "address": "addresses", "ack": "acknowledgement", "user": "by", "person": "by", "name": "by",
}  # fmt: skip
"""What other interfaces call a field, where the spelling does not lead to it."""

Place = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrong:
    """One field that is wrong: where it stands in what was sent, a code for programs, and what was expected."""

    place: Place
    code: str
    detail: str


def wrong_fields(errors: Iterable[Mapping[str, Any]], body: Any = None, model: Any = None) -> list[Wrong]:
    """Each wrong field once, in plain words. `body` is what was sent, where it is known, `model` what it was to be."""
    found: dict[Place, Wrong] = {}
    errors = list(errors)
    inner = {error["loc"][:n] for error in errors for n in range(len(error["loc"]))}
    for error in errors:
        if error["type"] == "too_short" and error["loc"] in inner:
            continue  # its elements are wrong, and were not counted
        place = as_written(error["loc"], body, missing=error["type"] == "missing")
        detail = _detail(error, model)
        before = found.get(place)
        if before is not None and detail not in before.detail:  # one of several forms, none of which it has
            detail = f"{before.detail} or {detail.removeprefix('expected ')}"
        elif before is not None:
            continue
        code = before.code if before is not None else str(error["type"])
        found[place] = Wrong(place=place, code=CODES.get(code, code), detail=detail)
    return list(found.values())


def as_written(place: Sequence[str | int], body: Any, *, missing: bool = False) -> Place:
    """The part of a place that is in the body: what the models make of a plain address, and the forms of a union, are not. A missing
    or unknown member is named where it would be."""
    if body is None:
        return tuple(place)
    path: list[str | int] = []
    value: Any = body
    for n, step in enumerate(place):
        inner = _member(value, step)
        if inner is not _NOT_THERE:
            value = inner
        elif not (missing and n == len(place) - 1 and isinstance(value, dict)):
            continue
        path.append(step)
    return tuple(path)


_NOT_THERE: Final = object()


def _member(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(step, _NOT_THERE)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return _NOT_THERE


def place_of(field: str) -> Place:
    """The place that ``recipients[3].addresses[0]`` names."""
    return tuple(int(number) if number else name for number, name in _STEP.findall(field))


def _detail(error: Mapping[str, Any], model: Any) -> str:
    kind, context = str(error["type"]), error.get("ctx") or {}
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(str(context.get("pattern")), "expected another form")
    if kind == "extra_forbidden":
        return _unknown(str(error["loc"][-1]), sorted(_names_at(model, error["loc"][:-1])))
    if kind in ("value_error", "assertion_error"):
        return str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    words = WORDS.get(kind)
    if words is None:
        return "expected another value"
    if "expected" in context:
        names = _LISTED.findall(str(context["expected"]))
        context = {**context, "expected": ", ".join(names) or context["expected"]}
    detail = words.format_map(_Context(context))
    return re.sub(r"\b1 characters", "1 character", detail)


class _Context(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "what fits"


def _unknown(name: str, known: Sequence[str]) -> str:
    meant = NAMES.get(name.lower(), "")
    if meant in known:
        return f'no such field, did you mean "{meant}"?'
    return f"no such field{suggestion(name, known)}"


def _names_at(model: Any, place: Sequence[str | int]) -> set[str]:
    """The names of the fields that the model has at a place."""
    models = list(_models_in(model))
    for step in place:
        if isinstance(step, str):
            fields = [one.model_fields[step].annotation for one in models if step in one.model_fields]
            models = [inner for annotation in fields for inner in _models_in(annotation)]
    return {field.alias or name for one in models for name, field in one.model_fields.items()}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type is made of: those of its union, of its elements."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for inner in get_args(annotation):
        yield from _models_in(inner)
