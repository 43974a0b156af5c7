"""What a stranger may size at the HTTP listener, and what is said of each bound that is reached. How it is counted: `connection`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

HEAD_BYTES_MAX: Final = 64 * 1024
"""Request line and headers together; and, counted anew, trailers and extensions of chunks. A browser's cookies have 8 kB,
the largest head that a proxy passes on by default has 32 kB, and nothing of ours needs 1 kB."""
FIELDS_MAX: Final = 200
"""Header fields of one request. Each costs a hundred bytes of its own, so that 64 KiB of empty ones would cost megabytes."""
CHUNK_LINE_BYTES: Final = 12
"""Of each chunk's line this much is what it has to be: eight digits and two line ends. Only the rest is an extension."""
HEADS_BYTES_MAX: Final = 2 * 1024 * 1024
"""Heads that have begun and not ended, of all connections together: 32 of the largest. The largest goes first."""
UNREAD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Answers that nobody takes, of all connections together: twenty of the largest pages. Whoever leaves most unread goes first: time
alone would let a thousand connections with a good key hold gigabytes for `wait_s`."""
READ_BYTES: Final = 16 * 1024
"""Read from a connection at once, and kept of a body before the application asks for it: a thousand connections that send
all they can have a turn of 16 MB, not one of 256."""
PIPELINED_MAX: Final = 16
"""Requests that wait behind the one under way. Nobody is known to send more; each costs some kB before anybody is known."""
BODY_BYTES_PER_S: Final = 500
"""A body comes at least as fast, over any `wait_s`: half of what a modem of 9,600 bit/s carries."""
DISCARDED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Read and thrown away of a body that was answered before its end, so that the sender gets to read the answer: the largest
body that the settings can allow."""
LINGER_S: Final = 3.0
"""After our last words: so long after its own last byte, and `wait_s` at most, a sender may go on and then read them. To
close at once would take them back (TCP reset)."""
SWEEP_S: Final = 0.5
"""How often the waits are looked at: they are exact to this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """Why something ends: the kind of problem that its sender is told, "" for none; what it says; whether the log tells of it."""

    problem: str = ""
    detail: str
    logged: bool = True


class End(Enum):
    """Everything that ends a request, or a connection, without the application. The name is the label of the metric."""

    HEAD_TOO_LARGE = Ending(
        problem="head-too-large",
        detail=f"expected at most {HEAD_BYTES_MAX} bytes of request line and headers, or of trailers and chunk extensions",
    )
    TOO_MANY_FIELDS = Ending(problem="head-too-large", detail=f"expected at most {FIELDS_MAX} header fields")
    TARGET_TOO_LONG = Ending(
        problem="target-too-long", detail=f"expected a path and query of less than {HEAD_BYTES_MAX} bytes"
    )
    TOO_MANY_HEADS = Ending(
        problem="request-timeout",
        detail="too many requests have begun and not ended: send yours at once, and a short one",
    )
    HEAD_TOO_SLOW = Ending(problem="request-timeout", detail="the request did not come in time")
    BODY_TOO_SLOW = Ending(
        problem="request-timeout", detail=f"expected a body of at least {BODY_BYTES_PER_S} bytes a second"
    )
    UNREADABLE = Ending(problem="bad-request", detail="expected a request of HTTP/1.1")
    METHOD_UNKNOWN = Ending(problem="not-implemented", detail="expected a method of HTTP, such as GET or POST")
    VERSION_UNKNOWN = Ending(problem="version-not-supported", detail="expected HTTP/1.1 or HTTP/1.0")
    TOO_MANY_CONNECTIONS = Ending(
        problem="unavailable", detail="all connections are busy; close some that you do not need, or come back"
    )
    PUSHED_OUT = Ending(problem="request-timeout", detail="others need the connection: send the request at once")
    TOO_MANY_PIPELINED = Ending(detail=f"more than {PIPELINED_MAX} requests wait behind the one under way")
    BODY_UNREAD = Ending(detail="a body was answered before its end, and goes on for too long")
    ANSWER_NOT_TAKEN = Ending(detail="an answer is not read")
    TOO_MANY_UNREAD = Ending(
        detail=f"more than {UNREAD_BYTES_MAX >> 20} MiB of answers are not read, and most of them here"
    )
    SILENT = Ending(detail="nothing came at all")
    IDLE = Ending(detail="no further request came", logged=False)  # how every connection that is kept open may end
