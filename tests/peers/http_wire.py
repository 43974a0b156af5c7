"""An HTTP client that sends what no client library would, byte by byte if need be, and reads what comes back as it stands."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from tests.peers.ports import LOOPBACK

ANSWER_S = 30.0
"""Only ends a test that would wait for ever."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer. `body` is "" where none was announced, or none may come."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def problem(self) -> str:
        """The kind of problem that it tells, which has to be told as the contract says."""
        assert self.headers["content-type"] == "application/problem+json", self
        assert self.headers["x-request-id"], self
        told: dict[str, Any] = json.loads(self.body)
        assert told["status"] == self.status, self
        assert told["title"], self
        assert told["detail"], self
        return str(told["type"]).removeprefix("/problems/")


class HttpWire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, port: int) -> Self:
        """Connects."""
        return cls(*await asyncio.open_connection(LOOPBACK, port, limit=2**20))

    async def send(self, *data: bytes) -> None:
        """Sends, as far as the other side takes it."""
        with contextlib.suppress(ConnectionError):
            for piece in data:
                self.writer.write(piece)
                await self.writer.drain()

    async def flood(self, pieces: Iterable[bytes]) -> None:
        """Sends all of it, or until the other side has had enough."""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()

    async def answer(self, *, head: bool = False) -> Answer | None:
        """The next answer; None where the connection ends before one. `head`: it has no body, whatever it announces."""
        try:
            async with asyncio.timeout(ANSWER_S):
                lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines[1:] if line)
                }
                size = 0 if head else int(headers.get("content-length", "0"))
                body = (await self.reader.readexactly(size)).decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return Answer(status=int(lines[0].split(" ")[1]), headers=headers, body=body)

    async def closed(self) -> bool:
        """Waits until the other side says no more; False where it says something."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        """Goes."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def ask(port: int, request: bytes, *, half_close: bool = False) -> tuple[Answer | None, bool]:
    """The answer to what was sent on a connection of its own, and whether that was closed after it."""
    wire = await HttpWire.to(port)
    try:
        await wire.send(request)
        if half_close:
            wire.writer.write_eof()
        answer = await wire.answer(head=request.startswith(b"HEAD "))
        gone = asyncio.ensure_future(wire.closed())
        done, _ = await asyncio.wait({gone}, timeout=0.3)
        if not done:
            gone.cancel()
            return answer, False
        return answer, gone.result()
    finally:
        await wire.close()
