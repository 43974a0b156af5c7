"""`tocsin serve` against strangers at its HTTP listener: what they may size, how long they may take, what they are answered."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from tests.peers.http_wire import Answer, HttpWire, ask
from tests.peers.ports import LOOPBACK
from tests.peers.waiting import eventually
from tests.proofs.server import Server

MIB = 2**20
FLOOD_BYTES = 60 * MIB
GROWTH_KB_MAX = 10 * 1024
PIECE = 64 * 1024
GET = b"GET /health/live HTTP/1.1\r\nHost: tocsin\r\n"
POST = b"POST /v1/alerts HTTP/1.1\r\nHost: tocsin\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@contextlib.asynccontextmanager
async def served(folder: Path, **http: Any) -> AsyncIterator[tuple[Server, int]]:
    """`tocsin serve`, and its port."""
    server = Server(folder, (), http=http)
    await server.set_up()
    try:
        await server.start()
        yield server, int(server.url.rpartition(":")[2])
    finally:
        await server.stop()


# --- 7.2 -------------------------------------------------------------------------------------------------------------

FLOODS: dict[str, tuple[bytes, bytes, set[str]]] = {
    "headers": (GET, b"Ab: cd\r\n" * (PIECE // 8), {"head-too-large"}),
    "long headers": (GET, (b"Ab: " + b"c" * 1018 + b"\r\n") * (PIECE // 1024), {"head-too-large"}),
    "one value": (GET + b"X: ", b"x" * PIECE, {"head-too-large"}),
    "one name": (GET, b"x" * PIECE, {"head-too-large"}),
    "path": (b"GET /", b"x" * PIECE, {"target-too-long"}),
    "query": (b"GET /health/live?", b"x" * PIECE, {"target-too-long"}),
    "empty lines": (b"", b"\r\n" * (PIECE // 2), {"head-too-large"}),
    "no request at all": (b"", b"x" * PIECE, {"bad-request"}),
    "trailers": (CHUNKED + b"0\r\n", b"Ab: cd\r\n" * (PIECE // 8), {"head-too-large", "unauthorized"}),
    "one trailer": (CHUNKED + b"0\r\nX: ", b"x" * PIECE, {"head-too-large", "unauthorized"}),
    "a chunk's extension": (CHUNKED + b"1;", b"x" * PIECE, {"head-too-large", "unauthorized"}),
    "chunks' extensions": (CHUNKED, (b"1;" + b"x" * 1017 + b"\r\na\r\n") * 64, {"head-too-large", "unauthorized"}),
    "a chunk's size": (CHUNKED, b"0" * PIECE, {"head-too-large", "unauthorized"}),
    "tiny chunks": (CHUNKED, b"1\r\na\r\n" * (PIECE // 6), {"unauthorized"}),
    "a body": (POST + b"Content-Length: %d\r\n\r\n" % FLOOD_BYTES, b"x" * PIECE, {"unauthorized"}),
}
"""Each: how it begins, what follows without end, which problems may be the answer to who has no key."""


def memory_kb(pid: int, line: str) -> int:
    """A line of what the system knows of the process's memory."""
    found = re.search(rf"^{line}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None
    return int(found[1])


async def flooded(port: int, begin: bytes, piece: bytes, size: int = FLOOD_BYTES) -> Answer | None:
    """What somebody is answered who sends so much of it, and looks only then, if the server lets him."""
    wire = await HttpWire.to(port)
    try:
        sending = asyncio.create_task(wire.flood([begin, *repeat(piece, size // len(piece))]))
        answer = await wire.answer()
        await sending
        return answer
    finally:
        await wire.close()


async def test_case_7_2_sixty_megabytes_without_an_end_cost_at_most_ten_and_are_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, port):
        for _ in range(20):
            await ask(port, b"GET /openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        before = memory_kb(server.pid, "VmRSS")
        for what, (begin, piece, problems) in FLOODS.items():
            answer = await flooded(port, begin, piece)
            assert answer is not None, what
            assert answer.problem in problems, (what, answer)
            assert answer.status != 200 or answer.headers["connection"] == "close"
        many = [flooded(port, *FLOODS[what][:2], size=FLOOD_BYTES // 100) for what in ("one value", "path") * 50]
        for answer in await asyncio.gather(*many):
            assert answer is None or answer.problem in {"head-too-large", "target-too-long", "request-timeout"}
        grown = memory_kb(server.pid, "VmHWM") - before
        assert grown <= GROWTH_KB_MAX, grown
        fine, _ = await ask(port, GET + b"\r\n")
        assert fine is not None
        assert fine.status == 200
        assert "http_ended" in server.output


async def test_case_7_2_a_head_is_refused_from_its_bound_on_and_not_before(tmp_path: Path) -> None:
    spaces = 65_536 - len(GET) - len(b"X: \r\n")
    async with served(tmp_path) as (_, port):
        for request, status in (
            (GET + b"X: " + b"x" * (spaces - 100) + b"\r\n\r\n", 200),
            (GET + b"X: " + b"x" * (spaces + 100) + b"\r\n\r\n", 431),
            (GET + b"".join(b"A%d: b\r\n" % n for n in range(199)) + b"\r\n", 200),
            (GET + b"".join(b"A%d: b\r\n" % n for n in range(200)) + b"\r\n", 431),
            (b"GET /" + b"x" * 65_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 404),
            (b"GET /" + b"x" * 66_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
            (b"HEAD /" + b"x" * 66_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        ):
            answer, closed = await ask(port, request)
            assert answer is not None, request[:20]
            assert answer.status == status, (request[:20], answer)
            assert closed == (status in (414, 431))


# --- 7.10 ------------------------------------------------------------------------------------------------------------

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
UNREADABLE: dict[str, bytes] = {
    "CL and TE": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE and CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "one length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": POST + b"Content-Length: +5\r\n\r\nhello",
    "a hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "an endless length": POST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "an empty length": POST + b"Content-Length: \r\n\r\n",
    "a blank before the colon": POST + b"Content-Length : 5\r\n\r\nhello",
    "a folded header": POST + b"X: a\r\n b\r\n\r\n",
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds": b"GET /health/live HTTP/1.1\nHost: a\n\n",
    "one bare line feed": POST + b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare line feed at the end": GET + b"\n",
    "a bare carriage return": POST + b"X: a\rY: b\r\n\r\n",
    "NUL": POST + b"X: a\0b\r\n\r\n",
    "no colon": POST + b"nonsense\r\n\r\n",
    "a blank before the first header": b"GET /health/live HTTP/1.1\r\n Host: a\r\n\r\n",
    "no host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "two hosts": GET + b"Host: b\r\n\r\n",
    "a coding of HTTP/1.0": b"POST /v1/alerts HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "a coding too many": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "nearly a coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "a coding behind a control": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a relative target": b"GET health HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target in UTF-8": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a blank in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
}
"""What two readers could understand in two ways, and what nobody can: 400, and nothing after it is read as a request."""

TABLE: tuple[tuple[bytes, int, str, bool], ...] = (
    (b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not-found", False),
    (b"GET http://a/nothing?x HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not-found", False),
    (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not-found", False),
    (b"PATCH /health/live HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method-not-allowed", False),
    (b"TRACE /health/live HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method-not-allowed", False),
    (b"POST /health/live HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method-not-allowed", False),
    (b"BREW /health/live HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not-implemented", True),
    (b"get /health/live HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not-implemented", True),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version-not-supported", True),
    (b"GET /health/live HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version-not-supported", True),
    (b"GET /health/live HTTP/1.2\r\nHost: a\r\n\r\n", 505, "version-not-supported", True),
    (b"GET /health/live\r\n\r\n", 505, "version-not-supported", True),
    (b"GET /nothing HTTP/1.0\r\n\r\n", 404, "not-found", True),
    (b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 404, "not-found", True),
    (b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 404, "not-found", True),
    (POST + b"Content-Length: 2\r\n\r\n{}", 401, "unauthorized", False),
    (POST + b"Content-Length: 90000000\r\nExpect: 100-continue\r\n\r\n", 401, "unauthorized", True),
    (CHUNKED + b"1\r\n", 401, "unauthorized", True),
)
WITH_KEY: tuple[tuple[bytes, int, str, bool], ...] = (
    (b"Content-Length: 2\r\n\r\n{{", 400, "invalid-json", False),
    (b"Content-Length: 2\r\n\r\n{}", 422, "invalid-request", False),
    (b"Content-Length: 90000000\r\n\r\n{}", 413, "too-large", False),
    (b"Content-Length: 90000000\r\nExpect: 100-continue\r\n\r\n", 413, "too-large", True),
    (b"Content-Length: 2\r\nContent-Type: text/plain\r\n\r\n{}", 415, "unsupported-media-type", False),
    (b"Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}", 415, "unsupported-media-type", False),
    (
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
        422,
        "invalid-request",
        False,
    ),
    (b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx", 400, "bad-request", True),
    (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "bad-request", True),
    (b"Transfer-Encoding: chunked\r\n\r\n2;" + b"x" * 70_000, 431, "head-too-large", True),
    (b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 70_000, 431, "head-too-large", True),
)


async def test_case_7_10_every_answer_is_a_problem_whoever_gives_it(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, port):
        key = f"Authorization: Bearer {server.key}\r\n".encode()
        known = tuple((POST + key + rest, status, problem, closes) for rest, status, problem, closes in WITH_KEY)
        table = TABLE + known
        told = await asyncio.gather(*(ask(port, request) for request, *_ in table))
        for (request, status, problem, closes), (answer, closed) in zip(table, told, strict=True):
            assert answer is not None, request[:200]
            assert (answer.status, answer.problem) == (status, problem), (request[:200], answer)
            assert closed == closes, (request[:200], answer)
        for method, path in ((b"HEAD", b"/nothing"), (b"HEAD", b"/v1/alerts")):
            answer, closed = await ask(port, method + b" " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            assert answer is not None
            assert answer.headers["content-type"] == "application/problem+json"
            assert not closed
        answer, _ = await ask(port, b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n")
        assert answer is not None
        assert answer.problem in ("method-not-allowed", "not-found")
        assert "Traceback" not in server.output


async def test_case_7_10_what_two_could_read_in_two_ways_is_refused_and_nothing_behind_it_is_read(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as (server, port):
        for what, request in UNREADABLE.items():
            answer, closed = await ask(port, request + SMUGGLED)
            assert answer is not None, what
            assert (answer.status, answer.problem) == (400, "bad-request"), (what, answer)
            assert answer.headers["connection"] == "close"
            assert closed, what
        assert "Traceback" not in server.output


async def test_answers_come_in_the_order_of_their_requests_and_halves_of_a_connection_end_apart(tmp_path: Path) -> None:
    live = GET + b"\r\n"
    async with served(tmp_path) as (_, port):
        for requests, statuses in (
            (live + live + b"nonsense\r\n\r\n", [200, 200, 400]),
            (live + GET + b"X: " + b"x" * 90_000, [200, 431]),
            (live * 200, [200] * 17),
            (GET + b"Connection: close\r\n\r\n" + live, [200]),
        ):
            wire = await HttpWire.to(port)
            await wire.send(requests)
            told = []
            while (answer := await wire.answer()) is not None:
                told.append(answer.status)
            assert told == statuses
            await wire.close()
        whole, closed = await ask(port, live, half_close=True)
        assert whole is not None
        assert (whole.status, closed) == (200, True)
        half, closed = await ask(port, GET, half_close=True)
        assert half is not None
        assert (half.status, half.problem, closed) == (400, "bad-request", True)


async def test_a_body_is_asked_for_only_where_it_is_wanted(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, port):
        head = (
            POST + f"Authorization: Bearer {server.key}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        wire = await HttpWire.to(port)
        for _ in range(2):  # the connection is kept where the body came
            await wire.send(head)
            asked = await wire.answer()
            assert asked is not None
            assert asked.status == 100
            await wire.send(b"{}")
            answer = await wire.answer()
            assert answer is not None
            assert answer.problem == "invalid-request"
        await wire.close()
        old, _ = await ask(port, head.replace(b"HTTP/1.1", b"HTTP/1.0") + b"{}")
        assert old is not None
        assert old.status == 422  # HTTP/1.0 knows no 100 (RFC 9110 10.1.1)


# --- 7.8 -------------------------------------------------------------------------------------------------------------

CONNECTIONS_MAX = 60


async def ended(port: int) -> dict[str, float]:
    """How often what has ended, by the metric."""
    answer, _ = await ask(port, b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer is not None
    found = re.findall(r'^tocsin_http_ended_total\{reason="(\w+)"\} (\S+)$', answer.body, re.M)
    return {reason: float(count) for reason, count in found if float(count) > 0}


async def trickle(port: int, begin: bytes, drop: bytes) -> tuple[Answer | None, bool]:
    """The end of somebody who sends a drop whenever nobody has ended him yet."""
    wire = await HttpWire.to(port)

    async def dripping() -> None:
        while True:
            await wire.send(drop)
            await asyncio.sleep(0.05)

    await wire.send(begin)
    drops = asyncio.create_task(dripping())
    try:
        return await wire.answer(), await wire.closed()
    finally:
        drops.cancel()
        await wire.close()


async def test_case_7_8_who_is_too_slow_is_told_and_closed(tmp_path: Path) -> None:
    async with served(tmp_path, wait_s=1, idle_s=1) as (server, port):
        key = f"Authorization: Bearer {server.key}\r\n".encode()
        slow: Sequence[tuple[bytes, bytes, str]] = (
            (GET, b"", "request-timeout"),
            (GET, b"X", "request-timeout"),
            (b"", b"\r\n", "request-timeout"),
            (b"GET /", b"x", "request-timeout"),
            (POST + key + b"Content-Length: 5000\r\n\r\n", b"", "request-timeout"),
            (POST + key + b"Content-Length: 5000\r\n\r\n", b" ", "request-timeout"),
            (POST + key + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", "request-timeout"),
            (b"", b"", ""),
            (POST + b"Content-Length: 5000\r\n\r\n", b" ", "unauthorized"),
        )
        for (_, _, problem), (answer, closed) in zip(
            slow, await asyncio.gather(*(trickle(port, begin, drop) for begin, drop, _ in slow)), strict=True
        ):
            assert closed
            assert (answer.problem if answer else "") == problem
        idle = await HttpWire.to(port)
        await idle.send(GET + b"\r\n")
        assert await idle.answer()
        assert await idle.closed()
        await idle.close()
        assert {"head_too_slow", "body_too_slow", "silent", "body_unread", "idle"} <= set(await ended(port))
        await takes_no_answer(port)
        fast, _ = await ask(port, POST + key + b"Content-Length: 60000\r\n\r\n" + b" " * 60_000)
        assert fast is not None
        assert fast.problem == "invalid-json"
        assert "reason=head_too_slow" in server.output.replace('"', "").replace(": ", "=")


async def takes_no_answer(port: int) -> None:
    """Asks for more than the system keeps, and reads nothing."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(deaf, (LOOPBACK, port))
    try:

        async def told() -> bool:
            with contextlib.suppress(ConnectionError, BlockingIOError):
                deaf.send(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 8)
            return "answer_not_taken" in await ended(port)

        await eventually(told, 60.0, what="the end of who takes no answer")
    finally:
        deaf.close()


async def test_case_7_8_who_asks_is_served_while_strangers_hold_every_connection(tmp_path: Path) -> None:
    async with served(tmp_path, connections_max=CONNECTIONS_MAX) as (server, port):
        key = f"Authorization: Bearer {server.key}\r\n".encode()
        known = await HttpWire.to(port)
        again = b"GET /v1/alerts HTTP/1.1\r\nHost: a\r\n" + key + b"\r\n"
        await known.send(again)
        assert (await known.answer()).status == 200  # type: ignore[union-attr]  # None fails as well
        strangers = [await HttpWire.to(port) for _ in range(3 * CONNECTIONS_MAX)]
        for number, stranger in enumerate(strangers):
            await stranger.send((b"", GET, GET + b"\r\n")[number % 3])
        for request, status in (
            (GET + b"\r\n", 200),
            (b"HEAD /health/ready HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            (b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            (POST + key + b"Content-Length: 2\r\n\r\n{}", 422),
        ):
            answer, _ = await ask(port, request)
            assert answer is not None, request[:40]
            assert answer.status == status
        await known.send(again)  # whose key was good stays while there are others
        assert (await known.answer()).status == 200  # type: ignore[union-attr]  # likewise
        assert (await ended(port))["pushed_out"] >= 2 * CONNECTIONS_MAX
        assert await strangers[0].closed()  # said nothing, so nothing is said
        told = await strangers[1].answer()
        assert told is None or told.problem == "request-timeout"
        for wire in (known, *strangers):
            await wire.close()


UNREAD = 300
"""Who ask for what is large, as often as may be asked at once, and read nothing of it: each copy would have 190 kB."""


async def test_what_anybody_may_ask_for_is_made_once_and_held_once_however_many_read_none_of_it(tmp_path: Path) -> None:
    async with served(tmp_path) as (server, port):
        for path in (b"/openapi.json", b"/docs", b"/docs/tocsin.css"):
            request = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path
            first, _ = await ask(port, request)
            assert first is not None
            assert first.status == 200
            before = memory_kb(server.pid, "VmRSS")
            with contextlib.ExitStack() as stack:
                for _ in range(UNREAD):
                    deaf = stack.enter_context(socket.socket())
                    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                    deaf.setblocking(False)
                    await asyncio.get_running_loop().sock_connect(deaf, (LOOPBACK, port))
                    deaf.send(request * 12)
                again, _ = await ask(port, request)  # it waits in the same line, behind the first of each
                assert again is not None
                assert again.body == first.body
                assert memory_kb(server.pid, "VmRSS") - before < 32 * 1024, path
