"""The HTTP listener in this process, before an application that a test holds back: who goes first, what has no room, its defaults."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.context import CALLER
from gateway.api.problems import KINDS
from gateway.listener import bounds
from gateway.listener.bounds import End
from gateway.listener.server import HttpServer, places
from gateway.settings_http import HttpSettings
from tests.peers.http_wire import HttpWire
from tests.peers.waiting import eventually

BOUNDS = Path(__file__).parents[2] / "docs/reference/bounds.md"
PLACES = 10


class Held:
    """Answers with 204: at once, of /held only once it is let go. A path with a key in it is of somebody who is known."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "key" in scope["path"]:
            scope[CALLER] = object()
        if scope["path"] == "/held":
            self.waiting += 1
            await self.go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


@contextlib.asynccontextmanager
async def listening(app: ASGIApp, **settings: float) -> AsyncIterator[int]:
    """The port of a server with the application."""
    server = HttpServer(app, HttpSettings.model_validate({"listen": "127.0.0.1:0", **settings}))
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started, what="the server")
    try:
        yield server.port
    finally:
        server.should_exit = True
        await task


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


async def asked(port: int, path: str) -> HttpWire:
    """A connection on which this was asked."""
    wire = await HttpWire.to(port)
    await wire.send(get(path))
    return wire


async def test_where_all_connections_are_busy_the_next_one_is_told_to_come_back() -> None:
    app = Held()
    async with listening(app, connections_max=PLACES) as port:
        busy = [await asked(port, "/held") for _ in range(PLACES)]
        await eventually(lambda: app.waiting == PLACES, what="that all wait")
        for _ in range(2 * PLACES):
            late = await asked(port, "/")
            answer = await late.answer()
            assert answer is not None
            assert (answer.status, answer.problem) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert await late.closed()
            await late.close()
        app.go.set()
        for wire in busy:
            answer = await wire.answer()
            assert answer is not None
            assert answer.status == 204
        after = await asked(port, "/")
        assert (await after.answer()) is not None
        for wire in (after, *busy):
            await wire.close()


async def test_who_has_a_key_goes_after_all_strangers_and_who_waited_longest_first() -> None:
    async with listening(Held(), connections_max=PLACES) as port:
        known = await asked(port, "/key")
        assert await known.answer()
        strangers = [await asked(port, "/") for _ in range(PLACES - 1)]
        for wire in strangers:
            assert await wire.answer()
        await strangers[0].send(get("/"))  # it asks again, and so the second has waited longest
        assert await strangers[0].answer()
        more = [await asked(port, "/") for _ in range(PLACES - 2)]
        for wire in (*more, *strangers[1:]):
            assert await wire.answer() or await wire.closed()
        for wire in (known, strangers[0]):
            await wire.send(get("/"))
            assert await wire.answer()
        for wire in strangers[1:]:
            assert await wire.closed()
        for wire in (known, *strangers, *more):
            await wire.close()


class Large:
    """Answers what the system does not keep for a peer that reads nothing; /key with a word."""

    body = bytes(15 * 1024 * 1024)

    def __init__(self) -> None:
        self.made = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/key":
            scope[CALLER] = object()
        body = b"word" if scope["path"] == "/key" else self.body
        self.made += body is self.body
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})


async def test_answers_that_nobody_reads_are_bounded_by_their_bytes_and_strangers_lose_theirs_first() -> None:
    app = Large()
    async with listening(app, wait_s=20) as port:
        known = [await asked(port, "/key") for _ in range(3)]
        for wire in known:
            assert await wire.answer()
            await wire.send(get("/large") * 2)
        await eventually(lambda: app.made == 3, what="an answer for each who is known")
        strangers = [await asked(port, "/large") for _ in range(3)]
        await eventually(lambda: app.made == 6, what="an answer for each")
        given = [await wire.answer() for wire in strangers]
        assert sum(answer is not None for answer in given) == 1  # four answers are 60 MiB
        assert app.made == 6  # the second answer is not made before the first is taken
        for wire in known:
            assert [answer and len(answer.body) for answer in (await wire.answer(), await wire.answer())] == [
                len(app.body)
            ] * 2
        assert app.made == 9
        for wire in (*known, *strangers):
            await wire.close()


async def test_a_server_that_stops_waits_for_nobody_who_asks_for_nothing() -> None:
    loop = asyncio.get_running_loop()
    app = Held()
    async with listening(app) as port:
        wires = [await HttpWire.to(port), await asked(port, "/"), await HttpWire.to(port), await asked(port, "/held")]
        assert await wires[1].answer()
        await wires[2].send(b"GET / HT")
        await eventually(lambda: app.waiting == 1, what="the one that waits")
        loop.call_later(0.3, app.go.set)
    answer = await wires[3].answer()
    assert answer is not None
    assert answer.headers["connection"] == "close"
    for wire in wires:
        assert await wire.closed()
        await wire.close()


@pytest.mark.parametrize(
    ("wanted", "files", "granted"), [(1_000, 65_536, 1_000), (1_000, 1_024, 512), (1_000, -1, 1_000), (10, 1, 1)]
)
def test_connections_leave_half_of_the_file_descriptors_to_providers(wanted: int, files: int, granted: int) -> None:
    assert places(wanted, files) == granted


def test_case_7_8_the_bounds_of_the_product_are_those_that_are_documented() -> None:
    settings = HttpSettings()
    assert (settings.wait_s, settings.idle_s, settings.connections_max) == (30, 75, 1_000)
    assert (bounds.HEAD_BYTES_MAX, bounds.FIELDS_MAX, bounds.HEADS_BYTES_MAX) == (64 * 1024, 200, 2 * 1024 * 1024)
    assert bounds.UNREAD_BYTES_MAX == 64 * 1024 * 1024
    assert (bounds.BODY_BYTES_PER_S, bounds.PIPELINED_MAX, bounds.DISCARDED_BYTES_MAX) == (500, 16, 64 * 1024 * 1024)
    page = BOUNDS.read_text()
    for words in ("| 64 KiB |", "| 200 |", "| 2 MiB |", "| 64 MiB |", "| 500 bytes a second", ", 64 MiB;", "| 16 |"):
        assert words in page


@pytest.mark.parametrize("end", list(End))
def test_every_ending_is_documented_by_its_name_and_its_status(end: End) -> None:
    row = next((line for line in BOUNDS.read_text().splitlines() if f"(`{end.name.lower()}`)" in line), None)
    assert row is not None
    assert end.value.detail
    if end.value.problem and end is not End.PUSHED_OUT:  # which has one where half a request was there
        status = KINDS[end.value.problem].status
        assert re.search(rf"\b{status}\b[^(]*\(`{end.name.lower()}`\)", row), (status, row)
