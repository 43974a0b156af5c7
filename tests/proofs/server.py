"""The gateway as a user runs it, `tocsin serve`, as a process that proofs may kill, stop, trace and starve."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from tests.peers.ports import LOOPBACK, free_port
from tests.peers.processes import ChildProcess
from tests.scenarios.installation import Table, write_settings

ACCOUNT = "acme"
PRICE_MICROS = 45_000
CREDIT_MICROS = 1_000_000 * 10**6
COMMAND_WITHIN_S = 60.0
READY_WITHIN_S = 60.0
TIMEOUT = aiohttp.ClientTimeout(total=30)

QUICK = {"unsure_s": 2, "backoff_first_s": 0.1, "backoff_max_s": 1}
_TOCSIN = Path(sys.executable).parent / "tocsin"
_ROOT = Path(__file__).parents[2]


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
        **sections: Mapping[str, Any],
    ) -> None:
        self.url = f"http://{LOOPBACK}:{(port := free_port())}"
        self.store_url = store_url or f"sqlite:///{folder}/tocsin.db"
        settings: dict[str, Mapping[str, Any]] = {
            "store": {"url": self.store_url},
            "http": {"listen": f"{LOOPBACK}:{port}"},
            "delivery": {**QUICK, **sections.pop("delivery", {})},
            "callbacks": {"allow_private": True, "backoff_first_s": 0.1, "backoff_max_s": 1},
        }
        self.settings = write_settings(folder / "tocsin.toml", providers, **{**settings, **sections})
        self.key = ""
        self._process = ChildProcess(
            [*wrapper, _TOCSIN, "serve", "--config", self.settings, "--json"],
            name="tocsin serve",
            cwd=folder,
            env=env,
            ready_line=r'"ready": ?true',
            ready_within_s=READY_WITHIN_S,
        )

    def command(self, *words: str) -> Any:
        """Runs `tocsin WORDS --config … --json` and gives its answer. Raises AssertionError where it fails."""
        done = subprocess.run(
            [_TOCSIN, *words, "--config", self.settings, "--json"],
            capture_output=True,
            text=True,
            timeout=COMMAND_WITHIN_S,
            check=False,
            cwd=_ROOT,
        )
        assert done.returncode == 0, f"tocsin {' '.join(words)}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def set_up(self) -> None:
        """Creates the account, its credit, its price and its key, as an administrator does."""
        self.command("accounts", "create", ACCOUNT, "--currency", "EUR")
        self.command("accounts", "topup", ACCOUNT, str(CREDIT_MICROS // 10**6), "--reference", "INV-1")
        self.command("tariffs", "set", "--channel", "sms", "--prefix", "+33", "--price", "0.045")
        self.key = self.command("keys", "create", "--account", ACCOUNT, "--role", "submitter")["key"]

    def ledger_verified(self) -> None:
        """`tocsin ledger verify` finds nothing. Raises AssertionError."""
        self.command("ledger", "verify")

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
