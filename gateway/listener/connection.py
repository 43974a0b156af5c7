"""One connection to the HTTP listener: uvicorn's protocol, which counts what comes and ends what is too much or too slow."""

from __future__ import annotations

import asyncio
import re
from enum import Enum
from typing import Any, Final, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.api.boundary import METHODS, REQUESTS
from gateway.api.context import CALLER
from gateway.api.problems import Problem
from gateway.ids import new_id
from gateway.listener.bounds import (
    BODY_BYTES_PER_S,
    CHUNK_LINE_BYTES,
    DISCARDED_BYTES_MAX,
    FIELDS_MAX,
    HEAD_BYTES_MAX,
    LINGER_S,
    PIPELINED_MAX,
    READ_BYTES,
    End,
)
from gateway.listener.crowd import Crowd
from gateway.listener.wire import Wire

_WORD: Final = re.compile(rb"[\r\n]*[!#$%&'*+.^_`|~0-9A-Za-z-]+ ")
"""What a request begins with, whatever the method (RFC 9112 3)."""
_VERSION_ERRORS: Final = (
    "Invalid HTTP version",
    "Pause on PRI/Upgrade",
)  # llhttp's words, and a table of tests holds them
_AUTHORITY: Final = re.compile(rb"[a-z]+://[^/?]*", re.IGNORECASE)
_WATCHED: Final = frozenset({b"expect", b"transfer-encoding", b"host"})


class Reading(Enum):
    """Where the reader is."""

    BETWEEN = "between two requests, or before the first"
    HEAD = "in a request's head"
    BODY = "in a body, trailers included"
    OVER = "nothing more is read, but to be thrown away"


_BETWEEN, _HEAD, _BODY, _OVER = Reading
_LINE_BYTES: Final = 4  # ": " and the end of the line


class _Stop(Exception):  # noqa: N818 - ends the parser's work from within; what for is in `_ending`
    pass


class Connection(HttpToolsProtocol):
    """Reads, bounds and refuses; what a request means is the application's affair.

    An answer is *pending* from the end of a head to the end of its answer. Whoever has none pending may be pushed out.
    """

    def __init__(
        self,
        crowd: Crowd,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.crowd = crowd
        self.known = False  # whether a key was good on it
        self.queue = crowd.strangers  # of those that may go
        self._reading = _BETWEEN
        self._since = self.loop.time()
        self._first = True  # what is being read began in this piece, or before it
        self._answered = False
        self._running: RequestResponseCycle | None = None
        self.url, self.headers = b"", []
        self._ending: End | None = None
        self._why = ""
        self._framing = self._hosts = self._codings = 0
        self._counted = False
        self._body = self._body_before = self._discarded = 0
        self._unsent = 0
        self._unsent_since = self._closed_at = self._since

    @property
    def wire(self) -> Wire:
        return cast(Wire, self.transport)

    @property
    def pending(self) -> bool:
        """Whether an answer is owed."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _is_over(self) -> bool:
        return self._reading is _OVER

    @property
    def _peer(self) -> str:
        return self.client[0] if self.client else ""

    # --- the connection ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if not self.crowd.enter(self):
            self.end(End.TOO_MANY_CONNECTIONS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._reading = _OVER
        self.crowd.leave(self)
        self.pipeline.clear()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's drops what is pending
        """The sender says no more. What it has asked for is still answered."""
        if self._reading is _BETWEEN:
            if self.pending:
                self.cycle.keep_alive = False
            return self.pending
        if self._reading is not _OVER:
            self.end(End.UNREADABLE, "the request ended in the middle")
        return True

    def shutdown(self) -> None:
        """The server stops: what is pending is answered, and nothing else is waited for."""
        if self.pending:
            self.cycle.keep_alive = False
        else:
            self.wire.close_now()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.crowd.release(self)  # whoever does not take its answers may be pushed out
        if not self.wire.is_closing():
            self.flow.pause_reading()  # and asks for no more: one answer at a time waits for its reader
        self.crowd.unread(self, self.wire.held())

    def resume_writing(self) -> None:
        super().resume_writing()
        self.crowd.unread(self, 0)
        if self.pending:
            self.crowd.engage(self)
        self.flow.resume_reading()
        self._go_on()

    # --- what comes ---

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            self._since = self.loop.time()
            self._discard(len(data))
            return
        if self._reading is _BETWEEN:
            self._begin()
        self._framing += len(data)
        self._first = True
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._last_request()  # nothing here speaks anything else: the request is answered, and that is all
        except httptools.HttpParserError as error:
            if not self._is_over:
                self._refuse(error, data)
        else:
            if self._framing > HEAD_BYTES_MAX:
                self.end(End.HEAD_TOO_LARGE if self._reading is _BODY else self._too_large())
            elif self._reading is not _BETWEEN and len(self.headers) > FIELDS_MAX:
                self.end(End.TOO_MANY_FIELDS)
            elif self._reading is _HEAD:
                self._count(self._framing)
            elif self._framing < 0:
                self._framing = 0

    def _count(self, size: int) -> None:
        self._counted = size > 0
        self.crowd.head(self, size)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + _LINE_BYTES for name, value in self.headers)

    def _too_large(self) -> End:
        """What of a head that is too large it is."""
        return End.TARGET_TOO_LONG if len(self.url) > HEAD_BYTES_MAX // 2 else End.HEAD_TOO_LARGE

    def _refuse(self, error: httptools.HttpParserError, data: bytes) -> None:
        if self._ending is not None:
            self.end(self._ending, self._why)
        elif isinstance(error, httptools.HttpParserInvalidMethodError) and self._first and _WORD.match(data):
            self.end(End.METHOD_UNKNOWN)
        elif str(error) in _VERSION_ERRORS:
            self.end(End.VERSION_UNKNOWN)
        elif isinstance(error, httptools.HttpParserCallbackError):
            self.end(End.UNREADABLE, "the target of the request could not be read")
        else:
            self.end(End.UNREADABLE, f"the request could not be read: {error}"[:200])

    def _stop(self, end: End, why: str = "") -> None:
        """Ends the parser's work from within one of its calls."""
        self._ending, self._why = end, why
        raise _Stop

    def _begin(self) -> None:
        self._reading = _HEAD
        self._since = self.loop.time()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED_MAX:
            self.crowd.ended(End.TOO_MANY_PIPELINED, self._peer)
            self._last_request()
            raise _Stop
        super().on_message_begin()
        if self._reading is _BETWEEN:  # the second one of what was read at once
            self._begin()
        self._hosts = self._codings = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _WATCHED:
            self._watch(name, value)
        self.headers.append((name, value))

    def _watch(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts += 1
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        else:
            self._codings += 1
            if value.strip().lower() != b"chunked" or self._codings > 1:
                self._stop(End.UNREADABLE, "expected no Transfer-Encoding but chunked")

    def on_headers_complete(self) -> None:
        if len(self.headers) > FIELDS_MAX:
            self._stop(End.TOO_MANY_FIELDS)
        if self._framing > HEAD_BYTES_MAX and self._head_bytes() > HEAD_BYTES_MAX:
            self._stop(self._too_large())
        version = self.parser.get_http_version()
        if version == "1.0":
            self.expect_100_continue = False  # RFC 9110 10.1.1
            if self._codings:
                self._stop(End.UNREADABLE, "HTTP/1.0 has no Transfer-Encoding")
        elif version != "1.1":
            self._stop(End.VERSION_UNKNOWN)
        elif self._hosts != 1:
            self._stop(End.UNREADABLE, "expected one header Host")
        if self._hosts > 1:
            self._stop(End.UNREADABLE, "expected one header Host")
        if not self.url.startswith(b"/"):
            self.url = _origin_form(self.url)
        was_pending = self.pending
        super().on_headers_complete()
        if not was_pending:
            self._running = self.cycle
            self.crowd.engage(self)
        self.crowd.head(self, 0)
        if (
            self.expect_100_continue
        ):  # should the body never be asked for, then the next bytes may be it or a new request
            self.cycle.keep_alive = False
        self.headers = []  # for trailers: nothing here is told by one, least of all who is asking
        self._reading = _BODY
        self._since = self.loop.time()
        self._body = self._body_before = self._discarded = 0

    def on_chunk_header(self) -> None:
        """A part of a body follows."""
        self._framing -= CHUNK_LINE_BYTES

    def on_body(self, body: bytes) -> None:
        self._framing -= len(body)
        self._body += len(body)
        if self.cycle.response_complete:
            self._discard(len(body))
            return
        super().on_body(body)
        if len(self.cycle.body) >= READ_BYTES:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        self._framing = 0
        self._first = False
        self._reading = _BETWEEN
        if self.cycle.response_complete:
            self._since = self.loop.time()
        if self.expect_100_continue and not self.cycle.response_started:
            self.cycle.keep_alive = self.parser.should_keep_alive()
        super().on_message_complete()

    def _last_request(self) -> None:
        """What is pending is answered, and nothing after it."""
        self._over()
        self.cycle.keep_alive = False
        if not self.pending:
            self.wire.close()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > DISCARDED_BYTES_MAX:
            self.abandon(End.BODY_UNREAD)

    # --- what goes ---

    def on_response_complete(self) -> None:
        """uvicorn's, but for its timer: waits are looked at by `look`."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self.loop.call_soon(self._go_on)  # only then is it known whether this answer is taken
            return
        if not self.flow.write_paused:
            self.flow.resume_reading()
        if self.cycle.body:
            self.cycle.body = bytearray()  # what nobody asked for
        self._answered = True
        if not self.known and CALLER in self.cycle.scope:
            self.crowd.know(self)
        self._since = self.loop.time()
        self.crowd.release(self)
        if self._ending is not None:
            self._last_words(self._ending, self._why)
        elif self._reading is _BODY and self._codings:
            self.wire.close()  # chunks cost work to find their end, and who was refused may send any number

    def _go_on(self) -> None:
        """The next of the requests that wait, once the answer before it is taken."""
        answered = self._running is not None and self._running.response_complete
        if self.pipeline and answered and not self.flow.write_paused and not self.transport.is_closing():
            self._running, app = self.pipeline.pop()
            self._start_asgi_task(self._running, app)

    def abandon(self, end: End) -> None:
        """Ends the connection at once: what it has not read is not kept."""
        self.crowd.ended(end, self._peer)
        self.wire.abort()

    def end(self, end: End, why: str = "") -> None:
        """Refuses what is being read, in its turn, and reads no more."""
        self.crowd.ended(end, self._peer)
        in_body = self._reading is _BODY
        self._over()
        self._ending, self._why = end, why
        if not self.pending:
            if in_body:  # it has its answer
                self.wire.close()
            else:
                self._last_words(end, why)
        elif in_body:
            self._end_body(end, why)

    def _end_body(self, end: End, why: str) -> None:
        """The application waits for a body that does not come, or will once those before it have been answered."""
        broken = self.cycle
        broken.disconnected = True
        broken.message_event.set()
        if broken is not self._running:
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else cast(RequestResponseCycle, self._running)
        elif broken.response_started:
            self.wire.close()
        else:
            self._last_words(end, why)

    def _over(self) -> None:
        self._reading = _OVER
        self._since = self.loop.time()
        self._discarded = 0
        self._count(0)

    def _last_words(self, end: End, why: str = "") -> None:
        if end.value.problem:
            self.transport.write(self._answer(Problem(end.value.problem, why or end.value.detail)))
        self.wire.close()

    def _answer(self, problem: Problem) -> bytes:
        answer = problem.response()
        method = self.parser.get_method().decode() if self.url else "other"
        headers = [
            *self.server_state.default_headers,
            *((name.lower().encode(), value.encode()) for name, value in answer.headers.items()),
            (b"connection", b"close"),
            (b"x-request-id", new_id("req").encode()),
        ]
        REQUESTS.labels(method if method in METHODS else "other", str(problem.status_code)).inc()
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        return STATUS_LINE[problem.status_code] + lines + b"\r\n" + (b"" if method == "HEAD" else bytes(answer.body))

    def send_400_response(self, msg: str) -> None:
        self.end(End.UNREADABLE, msg)

    # --- what does not come ---

    def unread(self) -> bool:
        """Whether the sender may still be sending what we answered."""
        return self._reading is not _BETWEEN

    def closing(self) -> None:
        """We have said our last words."""
        self._over()
        self._closed_at = self._unsent_since = self._since
        self._unsent = self.wire.unsent()
        self.url, self.headers, self.parser = b"", [], cast(Any, None)  # what they hold may be large
        self.crowd.release(self)

    def push_out(self) -> None:
        """Makes room for somebody else. What is read of a half request is said; who takes no answer gets no more."""
        self.crowd.ended(End.PUSHED_OUT, self._peer)
        if self._reading is _HEAD and not self.pending:
            self.transport.write(self._answer(Problem(End.PUSHED_OUT.value.problem, End.PUSHED_OUT.value.detail)))
        if self.wire.unsent():
            self.wire.abort()
        else:
            self.wire.close_now()

    def look(self, now: float) -> None:
        """Ends the connection if something has not come, or gone, for too long."""
        unsent = self.wire.unsent()
        if unsent == 0 or unsent < self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since > self.crowd.wait_s:
            self.abandon(End.ANSWER_NOT_TAKEN)
            return
        self._unsent = unsent
        waited_s = now - self._since
        if self.wire.is_closing():
            if not unsent and (waited_s > LINGER_S or now - self._closed_at > self.crowd.wait_s):
                self.wire.abort()
        elif self.flow.read_paused:
            self._since = now  # it is we who wait
        elif self._reading is _HEAD:
            if waited_s > self.crowd.wait_s:
                self.end(End.HEAD_TOO_SLOW)
        elif self._reading is _BODY:
            if waited_s > self.crowd.wait_s:
                self._look_at_body(now)
        elif not self.pending:
            self._look_at_silence(waited_s)

    def _look_at_body(self, now: float) -> None:
        come, self._body_before, self._since = self._body - self._body_before, self._body, now
        if not self.pending:
            self.end(End.BODY_UNREAD)
        elif come < BODY_BYTES_PER_S * self.crowd.wait_s:
            self.end(End.BODY_TOO_SLOW)

    def _look_at_silence(self, waited_s: float) -> None:
        if waited_s > (self.crowd.idle_s if self._answered else self.crowd.wait_s):
            self.crowd.ended(End.IDLE if self._answered else End.SILENT, self._peer)
            self.wire.close_now()


def _origin_form(target: bytes) -> bytes:
    """The path and query of a target in whatever form (RFC 9112 3.2); that of CONNECT names a host and no path."""
    if target.startswith((b"/", b"*")):
        return target
    found = _AUTHORITY.match(target)
    rest = target[found.end() :] if found else b""
    return rest if rest.startswith(b"/") else b"/" + rest


def protocol_of(crowd: Crowd) -> Any:
    """What uvicorn calls for each connection, in place of a class of its own."""

    def made(
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> Wire:
        return Wire(Connection(crowd, config, server_state, app_state, _loop))

    return made
