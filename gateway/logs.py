"""How the gateway writes about itself: structlog to stderr, as text for people or JSON for machines. It says nothing itself.

The loop writes its lines itself, and the sound of every call waits meanwhile. So a line is bounded, whoever wrote it and
whatever is in it, and an exception is told by `gateway.tracebacks`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from channels.plainly import is_raw, plainly
from channels.printable import visible
from gateway.tracebacks import told

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]

QUIET_LIBRARIES = ("alembic", "aiosmtpd", "mail", "asyncio", "uvicorn", "sqlalchemy", "aiohttp")
"""Loggers of libraries that tell of every step: only their warnings are of use (`mail` is the one of aiosmtpd)."""

EVENT_MAX = 4_000
"""Characters of what happened. Ours are words; a library's may hold what somebody sent to it."""
VALUE_MAX = 1_000
"""Characters of one value."""
ITEMS_MAX = 20
"""Members told of a list, a set or a table, and values of one line."""
DEPTH_MAX = 3
"""Lists in lists."""
DIGITS_MAX_BITS = 256
"""An integer with more of them is told by its size: writing out a large one takes seconds, or raises."""

FRAME = ("timestamp", "level", "logger", "exception")
"""What is put around a line here, small already."""


class _Stderr:
    """stderr as it is at the time of writing: tests and daemons exchange it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure(level: Level = "info", form: Format = "text", *, to: TextIO | None = None) -> None:
    """Sets up structlog, and the standard library's logging the same way. `to` is stderr unless it says otherwise."""
    stream: Any = to if to is not None else _Stderr()
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ends = _ends(form, colors=to is None and sys.stderr.isatty())
    structlog.configure(
        processors=[*(step for step in shared if step is not structlog.stdlib.add_logger_name), *ends],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ends]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _ends(form: Format, *, colors: bool) -> list[Processor]:
    ends: list[Processor] = [structlog.processors.ExceptionRenderer(_exception), _bounded]
    if form == "json":
        return [*ends, structlog.processors.JSONRenderer(default=_told)]
    return [*ends, structlog.dev.ConsoleRenderer(colors=colors)]


def _exception(exc_info: ExcInfo) -> str:
    return told(exc_info[1])


def _bounded(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """The line with everything in it cut to a size that takes no time to write. What is cut says so."""
    bounded: EventDict = {}
    values = 0
    for key, value in line.items():
        if key == "event":
            bounded[key] = _cut(value if isinstance(value, str) else _told(value), EVENT_MAX)
        elif key in FRAME:
            bounded[key] = value
        elif values < ITEMS_MAX:
            values += 1
            bounded[key] = _small(value, DEPTH_MAX)
    if len(line) > len(bounded):
        bounded["left_out"] = len(line) - len(bounded)
    return bounded


def _small(value: Any, depth: int) -> Any:
    """A value of a line, bounded in length and depth."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= DIGITS_MAX_BITS else f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return _cut(value, VALUE_MAX)
    if isinstance(value, bytes | bytearray | memoryview):
        return _cut(repr(bytes(value[: VALUE_MAX + 1])), VALUE_MAX)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _some(value, depth) if depth else f"{type(value).__name__} of {len(value)}"
    return _told(value)


def _some(value: Any, depth: int) -> Any:
    """The first members of a container; of more the last one says how many were left out."""
    left_out = len(value) - ITEMS_MAX
    if isinstance(value, Mapping):
        table: dict[str, Any] = {
            _cut(str(key), VALUE_MAX): _small(one, depth - 1) for key, one in islice(value.items(), ITEMS_MAX)
        }
        if left_out > 0:
            table["left_out"] = left_out
        return table
    found = [_small(one, depth - 1) for one in islice(value, ITEMS_MAX)]
    return [*found, f"… {left_out} more"] if left_out > 0 else found


def _told(value: object) -> str:
    """Whatever else was put into a line. One that cannot say what it is must not cost the line."""
    try:
        return _cut(repr(value), VALUE_MAX)
    except Exception:
        return f"<{type(value).__name__}>"


def _cut(text: str, most: int) -> str:
    cut = text[:most]
    seen = visible(plainly(cut) if is_raw(cut) else cut, keep="\n\t")
    return seen if len(text) <= most else f"{seen}… ({len(text) - most} more)"
