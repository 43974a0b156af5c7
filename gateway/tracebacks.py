"""What is logged of an exception: bounded whatever it is, and quick. No source lines, no variables; nothing is read from disk."""

from __future__ import annotations

from collections import deque
from types import TracebackType

from channels.printable import visible

FRAMES_FIRST = 5
FRAMES_LAST = 20
"""Of one exception. What went wrong is at the end, how it came there at the beginning; a recursion has a thousand between."""
CHAIN_MAX = 4
"""Exceptions told of one another: the cause of the cause of the cause explains nothing more."""
GROUP_MAX = 5
"""Members told of an exception group."""
TEXT_MAX = 1_000
"""Characters of an exception's own text: a validator writes a line for each of ten thousand faults."""

CAUSED = "The above exception was the direct cause of the following exception:"
DURING = "During handling of the above exception, another exception occurred:"


def told(error: BaseException) -> str:
    """The traceback as Python writes it, without the lines of the source. Never raises, and is at most some 40 kB."""
    parts: list[str] = []
    seen: set[int] = set()
    link = ""
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        parts[:0] = [_one(current), *([link] if link else [])]
        if len(seen) >= CHAIN_MAX:
            break
        if current.__cause__ is not None:
            current, link = current.__cause__, CAUSED
        else:
            current, link = (None if current.__suppress_context__ else current.__context__), DURING
    return "\n\n".join(parts)


def _one(error: BaseException) -> str:
    lines = ["Traceback (most recent call last):", *_frames(error.__traceback__)] if error.__traceback__ else []
    lines.append(summary(error))
    if isinstance(error, BaseExceptionGroup):
        lines += [f"  with {summary(one)}" for one in error.exceptions[:GROUP_MAX]]
        if len(error.exceptions) > GROUP_MAX:
            lines.append(f"  and {len(error.exceptions) - GROUP_MAX} more")
    return "\n".join(lines)


def summary(error: BaseException) -> str:
    """The class and text of an exception, in at most some 1,000 characters."""
    kind = type(error).__qualname__
    try:
        text = str(error)
    except Exception:  # an exception of a library that cannot say what it is
        text = "<no text>"
    if len(text) > TEXT_MAX:
        text = f"{text[:TEXT_MAX]}… ({len(text) - TEXT_MAX} more)"
    return visible(f"{kind}: {text}" if text else kind, keep="\n\t")


def _frames(trace: TracebackType) -> list[str]:
    first: list[TracebackType] = []
    last: deque[TracebackType] = deque(maxlen=FRAMES_LAST)
    left_out = -FRAMES_LAST
    current: TracebackType | None = trace
    while current is not None:
        if len(first) < FRAMES_FIRST:
            first.append(current)
        else:
            last.append(current)
            left_out += 1
        current = current.tb_next
    between = [f"  … {left_out} frames left out"] if left_out > 0 else []
    return [*map(_place, first), *between, *map(_place, last)]


def _place(trace: TracebackType) -> str:
    code = trace.tb_frame.f_code
    return f'  File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}'
