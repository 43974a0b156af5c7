"""Pages: at most so many items, and an opaque cursor that stays right whatever is added meanwhile."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from gateway.administration import PAGE, PAGE_MAX
from gateway.api.problems import wrong_field
from gateway.store.engine import Store

T = TypeVar("T")
CURSOR_CHARS_MAX: Final = 500

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="the most items of one page", examples=[50])]
Cursor = Annotated[
    str | None,
    Query(
        max_length=CURSOR_CHARS_MAX,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="`next_cursor` of the page before",
        examples=["WyJhbHRfMDZoMiJd"],
    ),
]
DEFAULT_LIMIT: Final = PAGE
PAGE_CHARS_MAX: Final = 1_000_000
"""Of the texts of one page: written as JSON in a few milliseconds. A page that would have more ends before, and its cursor goes on."""
LONG: Final = ("text", "body")
"""What may be long of an item: the text of an alert or of a message that came in, the body of a callback."""


class Page(BaseModel, Generic[T]):
    """One page of a list. `next_cursor` is null on the last one."""

    model_config = ConfigDict(frozen=True)

    items: list[T] = Field(description="what there is, at most `limit` of them")
    next_cursor: str | None = Field(
        description="hand it back as `cursor` for the page after this one; null on the last",
        examples=["WyJhbHRfMDZoMiJd"],
    )


async def page_of(
    store: Store,
    read: Callable[[Connection, int], Sequence[T]],
    limit: int,
    place: Callable[[T], Sequence[Any]],
    view: Callable[[T], Any],
) -> Page[Any]:
    """A page of at most `limit` items. `read` gives at most so many of them and is asked for one beyond: it says whether there is
    another page. `place` is where an item stands in the order."""
    found = await store.read_long(lambda connection: read(connection, limit + 1))
    items = found[: _fitting(found[:limit])]
    following = cursor_at(place(items[-1])) if len(found) > len(items) else None
    return Page[Any](items=[view(item) for item in items], next_cursor=following)


def _fitting(found: Sequence[Any]) -> int:
    """How many of the items are one page: all, unless their texts come to more than PAGE_CHARS_MAX, and at least one."""
    left = PAGE_CHARS_MAX
    for n, item in enumerate(found):
        left -= sum(len(text) for name in LONG if isinstance(text := getattr(item, name, None), str))
        if left < 0:
            return max(1, n)
    return len(found)


def cursor_at(place: Sequence[Any]) -> str:
    """The cursor that goes on after this place."""
    return base64.urlsafe_b64encode(json.dumps(list(place), separators=(",", ":")).encode()).decode().rstrip("=")


def place_at(cursor: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """The inverse of `cursor_at` for places of these kinds; None for no cursor. Raises Problem (422)."""
    if cursor is None:
        return None
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        raise _wrong_cursor() from None
    if not isinstance(place, list) or len(place) != len(kinds):
        raise _wrong_cursor()
    for value, kind in zip(place, kinds, strict=True):
        if type(value) is not kind or not _fits(value):
            raise _wrong_cursor()
    return tuple(place)


def id_at(cursor: str | None) -> str | None:
    """The place of a list that is in the order of its ids."""
    place = place_at(cursor, str)
    return None if place is None else str(place[0])


def _fits(value: object) -> bool:
    """Whether a column can hold it: PostgreSQL's text takes no NUL, integers have 64 bits."""
    return abs(value) < 2**63 if isinstance(value, int) else str(value).isprintable()


def _wrong_cursor() -> Exception:
    return wrong_field("cursor", "invalid_cursor", "expected next_cursor of a page of this list")
