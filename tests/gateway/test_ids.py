"""Identifiers: prefixed, in the order they were made, never twice, whoever makes them at once and whatever the clock does."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway import ids
from gateway.ids import new_id


def test_its_form() -> None:
    assert re.fullmatch(r"alt_[0-9a-z]{26}", new_id("alt"))


def test_made_one_after_the_other_they_sort_so() -> None:
    made = [new_id("dlv") for _ in range(5_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_made_by_many_threads_none_comes_twice() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: new_id("x"), range(5_000)))
    assert len(set(made)) == len(made)


def test_the_time_is_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that ids of different nodes sort by the millisecond they were made in."""
    early = new_id("x")
    monkeypatch.setattr(time, "time_ns", lambda: 4_102_444_800_000_000_000)  # 2100
    monkeypatch.setattr(ids, "_last_ms", ids._last_ms)
    monkeypatch.setattr(ids, "_tail", ids._tail)
    assert new_id("x") > early


def test_a_clock_that_steps_back_does_not_spoil_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id("x")
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    made = [before, *(new_id("x") for _ in range(100))]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
