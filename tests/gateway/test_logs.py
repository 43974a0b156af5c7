"""Log lines: whatever is written, by whomever, is bounded and takes next to no time, as text and as JSON."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from gateway import logs, tracebacks
from gateway.logs import Format

HELD_MAX_S = 0.005
"""So long a line may hold the loop: a quarter of the 20 ms after which the next piece of sound is due."""
LINE_MAX = 100_000
"""Characters of the longest line that there can be."""
TRIES = 5
"""The quickest counts: what the machine does meanwhile is not ours."""
HUGE = "x" * 3_000_000


@pytest.fixture(params=["text", "json"])
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Where the lines of this test go."""
    form: Format = request.param
    stream = io.StringIO()
    logs.configure("info", form, to=stream)
    yield stream
    logs.configure()


def held(write: Callable[[], None]) -> float:
    """For how long the processor was busy with a line, at best."""
    best = float("inf")
    for _ in range(TRIES):
        began = time.thread_time()
        write()
        best = min(best, time.thread_time() - began)
    return best


class Unspeakable(Exception):  # noqa: N818 - what it is, not how it ends
    """A library's, that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Model(BaseModel):
    """Refuses ten thousand values with a line for each."""

    values: list[int]


def recursing(depth: int, crowd: list[str]) -> None:
    """Raises below `depth` frames, each with much in it."""
    much = [HUGE[:1000]] * 100
    if depth:
        recursing(depth - 1, much)
    raise ValueError("at the bottom")


def chained() -> None:
    """Raises the last of fifty, one for the other."""
    error: Exception = ValueError("first")
    for n in range(50):
        try:
            raise KeyError(n) from error
        except KeyError as later:
            error = later
    raise error


def grouped() -> None:
    """Raises many at once."""
    raise ExceptionGroup("many", [ValueError(f"{n} {HUGE[:5000]}") for n in range(1_000)])


def refused() -> None:
    """Raises with a text of a megabyte."""
    TypeAdapter(Model).validate_python({"values": ["no"] * 10_000})


def long_text() -> None:
    """Raises with all that somebody sent."""
    raise ValueError(HUGE)


def unspeakable() -> None:
    """Raises what cannot be told."""
    raise Unspeakable


def circle() -> None:
    """Raises what is its own cause."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


RAISERS = [lambda: recursing(900, []), chained, grouped, long_text, unspeakable, circle]
NAMES = ["a deep recursion", "a long chain", "a large group", "a long text", "no text", "a circle"]


def caught(raiser: Callable[[], None]) -> Exception:
    """What it raises."""
    try:
        raiser()
    except Exception as error:
        return error
    raise AssertionError("it raises")


@pytest.mark.parametrize("raiser", RAISERS, ids=NAMES)
def test_an_exception_is_told_in_no_time_and_in_few_words(written: io.StringIO, raiser: Callable[[], None]) -> None:
    assert importlib.util.find_spec("rich"), "with it there, some would render the source and all variables"
    error = caught(raiser)
    ours, theirs = structlog.get_logger("ours"), logging.getLogger("theirs")
    assert held(lambda: ours.error("it_failed", exc_info=error)) < HELD_MAX_S
    assert held(lambda: theirs.error("it failed", exc_info=error)) < HELD_MAX_S
    lines = written.getvalue()
    assert len(lines) < 2 * TRIES * LINE_MAX
    assert type(error).__name__ in lines
    assert "much = " not in lines


def test_faults_of_a_model_are_told_in_few_words(written: io.StringIO) -> None:
    """pydantic itself takes its time for the text of ten thousand faults; how much is its affair and not asked here."""
    error = caught(refused)
    assert isinstance(error, ValidationError)
    structlog.get_logger().error("it_failed", exc_info=error)
    assert "more)" in written.getvalue()
    assert len(written.getvalue()) < LINE_MAX


VALUES: dict[str, Any] = {
    "a long text": HUGE,
    "octets": HUGE.encode(),
    "a long list": ["x" * 100] * 100_000,
    "a large table": {n: n for n in range(100_000)},
    "a set": set(range(100_000)),
    "a large number": 10**100_000,
    "lists in lists": [[[[[["deep"] * 50] * 50] * 50] * 50] * 50],
    "no text": Unspeakable(),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_is_told_in_no_time_and_in_few_words(written: io.StringIO, value: Any) -> None:
    assert held(lambda: structlog.get_logger().info("seen", value=value)) < HELD_MAX_S
    assert len(written.getvalue()) < TRIES * LINE_MAX


@pytest.mark.parametrize("message", [HUGE, "line\n" * 100_000], ids=["long", "many lines"])
def test_what_a_library_says_is_bounded(written: io.StringIO, message: str) -> None:
    assert held(lambda: logging.getLogger("library").warning("%s", message)) < HELD_MAX_S
    assert len(written.getvalue()) < TRIES * LINE_MAX


def test_a_line_with_many_values_keeps_what_happened(written: io.StringIO) -> None:
    structlog.get_logger().info("much_happened", **{f"value_{n}": n for n in range(1_000)})
    line = written.getvalue()
    assert "much_happened" in line
    assert "info" in line
    assert "left_out" in line
    assert len(line) < LINE_MAX


async def test_a_fault_in_a_callback_of_the_loop_is_bounded_too(written: io.StringIO) -> None:
    done = asyncio.Event()

    def fails() -> None:
        done.set()
        recursing(900, [])

    asyncio.get_running_loop().call_soon(fails)
    await done.wait()
    await asyncio.sleep(0)
    assert "at the bottom" in written.getvalue()
    assert len(written.getvalue()) < LINE_MAX


def test_small_values_are_written_as_they_are() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", to=stream)
    values = {
        "text": "Öl",
        "number": -3,
        "share": 0.5,
        "truth": True,
        "nothing": None,
        "some": [1, "two"],
        "of": {"a": 1},
    }
    structlog.get_logger().info("seen", **values)
    logs.configure()
    line = json.loads(stream.getvalue())
    assert {key: line[key] for key in values} == values
    assert (line["event"], line["level"]) == ("seen", "info")


def test_where_it_failed_is_told_from_both_ends() -> None:
    lines = tracebacks.told(caught(lambda: recursing(100, []))).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith("in caught")
    assert any("frames left out" in line for line in lines)
    assert lines[-2].endswith("in recursing")
    assert lines[-1] == "ValueError: at the bottom"
    assert len(lines) == 1 + tracebacks.FRAMES_FIRST + 1 + tracebacks.FRAMES_LAST + 1


def test_causes_are_told_first() -> None:
    text = tracebacks.told(caught(chained))
    assert text.count(tracebacks.CAUSED) == tracebacks.CHAIN_MAX - 1
    assert text.splitlines()[-1] == "KeyError: 49"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
)


@given(
    values=st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), ANYTHING),
    form=st.sampled_from(["text", "json"]),
)
def test_every_line_is_written(values: dict[str, Any], form: Format) -> None:
    stream = io.StringIO()
    logs.configure("info", form, to=stream)
    values.pop("event", None)
    structlog.get_logger().info("seen", **values)
    logs.configure()
    assert "seen" in stream.getvalue()


def test_errors_of_the_system_are_written_in_words(written: io.StringIO) -> None:
    refused = ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 25)")
    structlog.get_logger().warning("lost", error=str(refused), hops=[str(refused)])
    logging.getLogger("library").warning("%s", refused)
    assert "Errno" not in written.getvalue()
    assert written.getvalue().count("nobody listens at 127.0.0.1:25") == 3
