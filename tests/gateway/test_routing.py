"""Routes: the longest prefix wins, and fail-over takes the next provider that is not exhausted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing import Route, Routes, next_provider

PROVIDERS = {"sms": ("a", "b", "c"), "email": ("mail",), "pager": ("p1", "p2")}
ROUTES = [
    Route(channel="sms", prefix="+33", providers=("a", "b")),
    Route(channel="sms", prefix="+336", providers=("c",)),
    Route(channel="sms", prefix="3", providers=("b",)),
    Route(channel="pager", prefix="", providers=("p2",)),
    Route(channel="pager", prefix="47", providers=("p1", "p2")),
]


@pytest.mark.parametrize(
    ("channel", "value", "providers"),
    [
        ("sms", "+33155667788", ("a", "b")),
        ("sms", "+33612345678", ("c",)),
        ("sms", "+336", ("c",)),
        ("sms", "+3", ()),
        ("sms", "+4915112345678", ()),
        ("sms", "36179", ("b",)),
        ("sms", "", ()),
        ("email", "ann@example.org", ("mail",)),  # no route of its channel: the channel's only provider
        ("pager", "4711", ("p1", "p2")),
        ("pager", "9", ("p2",)),
        ("fax", "+33155667788", ()),  # no provider at all
    ],
)
def test_the_longest_prefix_wins(channel: str, value: str, providers: tuple[str, ...]) -> None:
    assert Routes(ROUTES, PROVIDERS).providers_for(channel, value) == providers


def test_several_providers_without_a_route_serve_in_configured_order() -> None:
    assert Routes([], PROVIDERS).providers_for("sms", "+33612345678") == ("a", "b", "c")


@given(st.lists(st.text("+12", max_size=4), unique=True), st.text("+12", max_size=6))
def test_the_route_found_is_the_longest_that_the_address_begins_with(prefixes: list[str], value: str) -> None:
    routes = Routes(
        [Route(channel="sms", prefix=prefix, providers=(prefix,)) for prefix in prefixes], {"sms": ("only",)}
    )
    matching = [prefix for prefix in prefixes if value.startswith(prefix)]
    expected = (max(matching, key=len),) if matching else (() if prefixes else ("only",))
    assert routes.providers_for("sms", value) == expected


@pytest.mark.parametrize(
    ("exhausted", "down", "chosen"),
    [
        ([], [], "a"),
        (["a"], [], "b"),
        ([], ["a"], "b"),
        (["b"], ["a"], "c"),
        (["b", "c"], ["a"], "a"),  # down, but the only one left
        ([], ["a", "b", "c"], "a"),
        (["a", "b", "c"], [], None),
    ],
)
def test_fail_over_takes_the_first_that_can_still_serve(
    exhausted: list[str], down: list[str], chosen: str | None
) -> None:
    assert next_provider(("a", "b", "c"), exhausted, lambda provider: provider not in down) == chosen


def test_an_empty_route_has_no_provider() -> None:
    assert next_provider((), []) is None
