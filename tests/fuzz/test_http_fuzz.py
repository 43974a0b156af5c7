"""Whatever comes to the HTTP listener, in whatever pieces: whole answers in the contract's form, then an end; never an exception."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import uvicorn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from gateway.listener.connection import protocol_of
from gateway.listener.crowd import Crowd
from gateway.listener.wire import Wire

WORDS = (
    b"GET / HTTP/1.1\r\n", b"POST /a HTTP/1.1\r\n", b"HEAD /a?b HTTP/1.1\r\n", b"PUT http://h/x HTTP/1.0\r\n", b"BREW",
    b"GET ",
    b"CONNECT a:1 HTTP/1.1\r\n", b"OPTIONS * HTTP/1.1\r\n", b"GET / HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01",
    b"Host: a\r\n", b"Host: a\r\n\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Content-Length: 9999999999\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"X: " + b"x" * 20_000 + b"\r\n", b"A: b\r\n" * 150, b" folded\r\n", b"\r\n",
    b"\n", b"\r",
    b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nT: u\r\n\r\n", b"1;" + b"e" * 20_000 + b"\r\na\r\n", b"hello", b"0" * 20_000,
    b"\0", b"\xff",
)  # fmt: skip
PIECES = st.lists(st.sampled_from(WORDS) | st.binary(max_size=8), min_size=1, max_size=12)


class Line:
    """What a transport is to a wire, without a socket."""

    def __init__(self) -> None:
        self.said = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.said += data

    def close(self) -> None:
        self.closed = True

    abort = close
    write_eof = pause_reading = resume_reading = lambda self: None

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, _name: str, _default: object) -> None:
        return None


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads what there is, except of /a, and answers as long as somebody is there."""
    more = scope["path"] != "/a"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


async def conversation(pieces: list[bytes]) -> tuple[bytes, Crowd]:
    """All that is said to who sends these pieces, then waits for very long, and goes."""
    config = uvicorn.Config(echo, log_config=None, access_log=False, lifespan="off", ws="none", date_header=False)
    config.load()
    crowd = Crowd(connections_max=10, wait_s=30, idle_s=75)
    wire: Wire = protocol_of(crowd)(config, ServerState(), {})
    line: Any = Line()
    wire.connection_made(line)
    for piece in pieces:
        for start in range(0, len(piece), 16_384):
            if line.closed:
                break
            part = piece[start : start + 16_384]
            wire.get_buffer(-1)[: len(part)] = part
            wire.buffer_updated(len(part))
            for _ in range(3):
                await asyncio.sleep(0)
    for _ in range(40):
        await asyncio.sleep(0)
    now = asyncio.get_running_loop().time()
    for later in (31.0, 62.0, 200.0, 400.0):
        crowd.sweep(now + later)
        await asyncio.sleep(0)
    wire.eof_received()
    wire.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    assert line.closed, "it would be open for ever"
    return line.said, crowd


def statuses(said: bytes) -> list[int]:
    """The answers, each of which has to be whole and, where it is a refusal, a problem."""
    found = []
    while said:
        head, end, said = said.partition(b"\r\n\r\n")
        assert end, head
        status = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        assert status is not None, head
        length = re.search(rb"^content-length: (\d+)\r?$", head, re.M)
        if status[1] != b"100":
            assert length is not None
            body, said = said[: int(length[1])], said[int(length[1]) :]
            if status[1] != b"200" and body:
                assert json.loads(body)["status"] == int(status[1])
                assert b"application/problem+json" in head
                assert not said, "nothing follows a refusal"
        found.append(int(status[1]))
    return found


def held(crowd: Crowd) -> int:
    """What is left of connections in it: nothing has to be."""
    return len(crowd._all) + len(crowd.strangers) + len(crowd.known) + crowd._heads_bytes + len(crowd._heads)


@settings(max_examples=60)
@given(PIECES)
@example([b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"he"])
@example([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 40])
@example([b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n"])
@example([b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"])
@example([b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"])
@example([b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\nrest", b"more"])
def test_whatever_comes_is_answered_whole_and_ends(pieces: list[bytes]) -> None:
    said, crowd = asyncio.run(conversation(pieces))
    statuses(said)
    assert held(crowd) == 0


@settings(max_examples=60)
@given(PIECES, st.integers(1, 40))
def test_the_same_bytes_in_other_pieces_are_told_the_same(pieces: list[bytes], size: int) -> None:
    whole = b"".join(pieces)[:2_000]
    cut = [whole[start : start + size] for start in range(0, len(whole), size)]
    once, often = (told(statuses(asyncio.run(conversation(each))[0])) for each in ([whole], cut))
    assert once == often


def told(found: list[int]) -> list[int]:
    """What matters of them: 100 is not said where the body is there already, and which of its faults ends a request depends on
    how much of it is there."""
    return [400 if status in (431, 501, 505) else status for status in found if status != 100]
