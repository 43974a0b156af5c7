"""How the gateway writes about itself: structlog to stderr, as text for people or JSON for machines. It says nothing itself."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import Processor

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]

QUIET_LIBRARIES = ("alembic", "aiosmtpd", "mail", "asyncio", "uvicorn", "sqlalchemy", "aiohttp")
"""Loggers of libraries that tell of every step: only their warnings are of use (`mail` is the one of aiosmtpd)."""


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
    if form == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]
