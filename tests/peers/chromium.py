"""Debian's Chromium without a window, driven over its DevTools protocol: what a page shows, asks for and complains of."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.peers.processes import ChildProcess, find_binary

PAGE_WITHIN_S = 60.0  # a page takes a tenth of a second; this only ends a test that would wait for ever
LISTENING = r"DevTools listening on (ws://\S+)"


@dataclass
class Seen:
    """What a page did while it was opened."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


class Chromium:
    """A running browser with one tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._session: str | None = None
        self._loaded = asyncio.Event()
        self.seen = Seen()

    async def _attach(self) -> None:
        target = (await self.ask("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.ask(f"{domain}.enable")

    async def read(self) -> None:
        """Takes what the browser says, until it ends."""
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            told = json.loads(message.data)
            if "id" in told:
                waiting = self._answers.pop(told["id"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(told)
            else:
                self._happened(told["method"], told["params"])

    def _happened(self, method: str, params: dict[str, Any]) -> None:
        match method:
            case "Network.requestWillBeSent":
                self.seen.requests.append(params["request"]["url"])
            case "Network.loadingFailed":
                self.seen.complaints.append(f"failed: {params['errorText']}")
            case "Log.entryAdded":
                self.seen.complaints.append(params["entry"]["text"])
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled":
                self.seen.complaints.append(json.dumps(params)[:500])
            case "Page.loadEventFired":
                self._loaded.set()

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to one command."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        asked = {"id": self._number, "method": method, "params": params}
        await self._socket.send_json(asked if self._session is None else {**asked, "sessionId": self._session})
        async with asyncio.timeout(PAGE_WITHIN_S):
            told = await answer
        assert "error" not in told, (method, told)
        found: dict[str, Any] = told["result"]
        return found

    async def open(self, url: str, *, width: int, dark: bool = False, height: int = 900) -> Seen:
        """Opens the page as a screen of this width shows it, and gives what it did."""
        self.seen = Seen()
        self._loaded.clear()
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.ask("Emulation.setEmulatedMedia", features=[scheme])
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        await self.ask("Page.navigate", url=url)
        async with asyncio.timeout(PAGE_WITHIN_S):
            await self._loaded.wait()
        return self.seen

    async def tell(self, expression: str) -> Any:
        """What the expression comes to in the page."""
        told = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def picture(self) -> bytes:
        """A picture (PNG) of what is on the screen."""
        return base64.b64decode((await self.ask("Page.captureScreenshot"))["data"])


@asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[Chromium]:
    """A browser with a profile of its own in the folder; ended at the exit."""
    arguments = (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
        "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--remote-debugging-port=0", f"--user-data-dir={folder}/profile", "about:blank",
    )  # fmt: skip
    binary = find_binary("chromium", "chromium")
    process = ChildProcess([binary, *arguments], ready_line=LISTENING, ready_within_s=PAGE_WITHIN_S).start()
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(process.matched_line[1], max_msg_size=0) as socket,
        ):
            browser = Chromium(socket)
            reading = asyncio.create_task(browser.read())
            try:
                await browser._attach()
                yield browser
            finally:
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading
    finally:
        process.stop()
