"""The gateway as a user runs it, `tocsin serve`, as a process that proofs may kill, stop, trace and starve."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import Connection

from gateway import administration
from gateway.clock import SystemClock
from gateway.store.engine import open_store
from tests.peers.ports import LOOPBACK, free_port
from tests.peers.processes import ChildProcess
from tests.scenarios.installation import Table, write_settings

ACCOUNT = "acme"
PRICE_MICROS = 45_000
MINUTE_MICROS = 100_000
CREDIT_MICROS = 1_000_000 * 10**6
READY_WITHIN_S = 60.0
TIMEOUT = aiohttp.ClientTimeout(total=30)

QUICK = {"unsure_s": 2, "backoff_first_s": 0.1, "backoff_max_s": 1}
_TOCSIN = Path(sys.executable).parent / "tocsin"


class Server:
    """One `tocsin serve` with its settings file and an account that has credit. `wrapper` are words put before it."""

    def __init__(
        self,
        folder: Path,
        providers: Sequence[Table],
        *,
        store_url: str = "",
        wrapper: Sequence[str | Path] = (),
        env: Mapping[str, str] | None = None,
        routes: Sequence[Table] = (),
        **sections: Any,
    ) -> None:
        self.url = f"http://{LOOPBACK}:{(port := free_port())}"
        self.store_url = store_url or f"sqlite:///{folder}/tocsin.db"
        settings: dict[str, Any] = {
            "store": {"url": self.store_url},
            "http": {"listen": f"{LOOPBACK}:{port}", **sections.pop("http", {})},
            "delivery": {**QUICK, **sections.pop("delivery", {})},
            "callbacks": {"allow_private": True, "backoff_first_s": 0.1, "backoff_max_s": 1},
        }
        self.settings = write_settings(folder / "tocsin.toml", providers, routes, **{**settings, **sections})
        self.key = ""
        self._process = ChildProcess(
            [*wrapper, _TOCSIN, "serve", "--config", self.settings, "--json"],
            name="tocsin serve",
            cwd=folder,
            env=env,
            ready_line=r'"ready": ?true',
            ready_within_s=READY_WITHIN_S,
        )

    async def set_up(self) -> None:
        """Brings the schema up, and creates the account with its credit, its price and a submitter's key."""
        store = await open_store(self.store_url)
        try:
            self.key = await store.write(_open_account)
        finally:
            await store.close()

    async def start(self) -> None:
        """Starts it and returns once it says that it is ready."""
        await asyncio.to_thread(self._process.start)

    async def start_and_kill(self, after_s: float) -> None:
        """Starts it and kills it after so long, wherever it is by then."""
        starting = asyncio.create_task(self.start())
        await asyncio.sleep(after_s)
        with contextlib.suppress(AssertionError, ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(AssertionError):  # it ended before it was ready, as it was made to
            await starting
        await self.kill()

    async def kill(self) -> None:
        """kill -9."""
        await asyncio.to_thread(self._process.kill)

    async def stop(self) -> None:
        """SIGTERM, and the end of it."""
        await asyncio.to_thread(self._process.stop, 40.0)

    def pause(self) -> None:
        """SIGSTOP."""
        self._process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        self._process.resume()

    @property
    def pid(self) -> int:
        """The process id (of the wrapper, where there is one)."""
        return self._process.pid

    @property
    def output(self) -> str:
        """The end of what it said."""
        return self._process.output

    def client(self) -> aiohttp.ClientSession:
        """A session with the account's key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return aiohttp.ClientSession(self.url, headers=headers, timeout=TIMEOUT)


def _open_account(connection: Connection) -> str:
    now = SystemClock().now()
    administration.create_account(connection, now, account_id=ACCOUNT, name="Acme", currency="EUR")
    administration.top_up(connection, now, account_id=ACCOUNT, amount_micros=CREDIT_MICROS, reference="INV-1")
    administration.set_tariff(connection, now, channel="sms", prefix="+33", price_micros=PRICE_MICROS)
    administration.set_tariff(connection, now, channel="voice", prefix="", price_micros=MINUTE_MICROS)
    _, token = administration.create_key(connection, now, account_id=ACCOUNT, role="submitter")
    return token
