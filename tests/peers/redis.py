"""A private, real redis-server for one test: on a free loopback port, to be flushed, killed and frozen."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.peers.ports import free_port

START_WAIT_S = 20.0
PORT_TRIES = 5


class RedisServer:
    """The server process. `url` stays the same through kill and restart."""

    def __init__(self, directory: Path) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.fail("redis-server is missing: install the Debian package redis-server")
        self._binary: str = binary
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Starts on a free port, on another if somebody else was quicker to take it."""
        for _ in range(PORT_TRIES):
            self.port = free_port()
            if await self._launch():
                return
        pytest.fail("redis-server did not start on any free port")

    async def restart(self) -> None:
        """Starts again, empty, on the same port, after `kill`."""
        assert await self._launch(), f"redis-server did not come back on port {self.port}"

    async def kill(self) -> None:
        """kill -9; returns when the process is gone."""
        process, drain = self._process, self._drain
        self._process = self._drain = None
        if process is not None and drain is not None:
            if process.returncode is None:
                process.kill()
            await drain
            await process.wait()

    async def flush(self) -> None:
        """FLUSHALL: every key is gone, connections stay."""
        assert await self.command("FLUSHALL") == b"+OK\r\n"

    async def command(self, line: str) -> bytes:
        """The first line of the answer to an inline command, over a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(line.encode() + b"\r\n")
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return answer

    def freeze(self) -> None:
        """Stops the process where it is: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def _launch(self) -> bool:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._directory),
            "save": "",
            "appendonly": "no",
        }
        process = await asyncio.create_subprocess_exec(
            self._binary,
            *(word for name, value in options.items() for word in (f"--{name}", value)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_WAIT_S):
                async for line in process.stdout:
                    if b"Ready to accept connections" in line:
                        self._process = process
                        self._drain = asyncio.create_task(process.stdout.read())
                        return True
        finally:
            if self._process is not process:
                if process.returncode is None:
                    process.kill()
                await process.wait()
        return False


@pytest.fixture
async def redis_server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A running, empty Redis; killed after the test."""
    server = RedisServer(tmp_path)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()
