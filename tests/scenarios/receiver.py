"""The receiver of callbacks: upstream's own web server, which can be told how to answer."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.peers.waiting import eventually


@dataclass(frozen=True, kw_only=True, slots=True)
class Called:
    """One request as it came, and what it was answered."""

    number: int
    timestamp: str
    signature: str
    raw: bytes
    answered: int

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the request."""
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed

    @property
    def types(self) -> list[str]:
        """What happened, as the events of the callback name it."""
        return [event["type"] for event in self.body["events"]]

    def signed_with(self, secret: str) -> bool:
        """Whether the signature is right: computed here from the documentation, not by the sender's code."""
        mac = hmac.new(secret.encode(), self.timestamp.encode() + b"." + self.raw, hashlib.sha256)
        return hmac.compare_digest(f"sha256={mac.hexdigest()}", self.signature)


class Receiver:
    """Made by `receiving`. `answers` are given in turn, then 204."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Called] = []
        self.answers: list[int] = []
        self.always = 204

    async def called(self, count: int, within_s: float = 30.0) -> Sequence[Called]:
        """Waits for so many requests, and gives all that came."""

        def enough() -> bool:
            return len(self.calls) >= count

        await eventually(enough, within_s, what=f"{count} callbacks")
        return self.calls

    async def _take(self, request: web.Request) -> web.Response:
        status = self.answers.pop(0) if self.answers else self.always
        self.calls.append(
            Called(
                number=int(request.headers["Tocsin-Callback-Number"]),
                timestamp=request.headers["Tocsin-Timestamp"],
                signature=request.headers["Tocsin-Signature"],
                raw=await request.read(),
                answered=status,
            )
        )
        return web.Response(status=status)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that listens on a free loopback port."""
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/hook", receiver._take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
