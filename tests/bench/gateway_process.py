"""The gateway that is measured: started as a user starts it, with an account of its own, and its books looked at afterwards."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from sqlalchemy import Connection, func, select

from gateway import administration
from gateway.clock import SystemClock
from gateway.store import tables
from gateway.store.engine import open_store
from tests.bench.tools import InvalidRunError, Sink
from tests.peers.processes import ChildProcess

T = TypeVar("T")

ACCOUNT = "acme"
PRICE_MICROS = 45_000
CREDIT_MICROS = 10**12
WINDOW = 500
REQUEST_WITHIN_S = 30
STOP_WITHIN_S = 60  # a graceful stop waits for what is under way
NUMBER_PREFIX = "+3361"  # with seven digits more a French mobile number

SETTINGS = """\
[store]
url = "{store_url}"
[http]
listen = "127.0.0.1:0"
[callbacks]
allow_private = true
[log]
level = "error"
[[providers]]
name = "carrier-a"
channel = "sms"
kind = "smpp"
host = "127.0.0.1"
port = {smpp_port}
system_id = "bench"
password = "bench"
source = "ALERT"
window = {window}
[[routes]]
channel = "sms"
prefix = "+33"
providers = ["carrier-a"]
"""


class GatewayProcess:
    """One gateway in a folder of its own, its provider the sink. `store_url` is SQLite in that folder unless given; `more`
    are further settings."""

    def __init__(self, folder: Path, sink: Sink, *, store_url: str | None = None, more: str = "") -> None:
        self.folder = folder
        self.database = folder / "tocsin.db"
        self.store_url = store_url or f"sqlite:///{self.database}"
        self.port = 0
        self.key = self.auditor_key = self.callback_secret = ""
        config = folder / "tocsin.toml"
        config.write_text(SETTINGS.format(store_url=self.store_url, smpp_port=sink.smpp_port, window=WINDOW) + more)
        self._process = ChildProcess(
            [Path(sys.executable).with_name("tocsin"), "serve", "--json", "--config", config],
            name="tocsin serve",
            cwd=folder,
            ready_line=r'"url": "(http://[^"]+)"',
        )

    def prepare(self) -> Self:
        """Makes the database, the account with its credit and price, and the keys."""

        def seed(connection: Connection) -> tuple[str, str, str | None]:
            now = SystemClock().now()
            administration.create_account(connection, now, account_id=ACCOUNT, name=ACCOUNT, currency="EUR")
            administration.top_up(connection, now, account_id=ACCOUNT, amount_micros=CREDIT_MICROS, reference="bench")
            for channel in ("sms", "voice"):
                administration.set_tariff(connection, now, channel=channel, prefix="+33", price_micros=PRICE_MICROS)
            _, submitter = administration.create_key(connection, now, account_id=ACCOUNT, role="submitter")
            _, auditor = administration.create_key(connection, now, account_id=None, role="auditor")
            return submitter, auditor, administration.callback_secret(connection, ACCOUNT)

        self.key, self.auditor_key, secret = self._in_store(seed)
        assert secret is not None, "the account was just made"
        self.callback_secret = secret
        return self

    def take_keys_of(self, other: GatewayProcess) -> None:
        """For a gateway whose database is a copy of the other's."""
        self.key, self.auditor_key, self.callback_secret = other.key, other.auditor_key, other.callback_secret

    def start(self) -> float:
        """Starts it; gives the seconds from the command to an answer that it is ready.

        Raises InvalidRunError with what it said when it does not start.
        """
        began = time.monotonic()
        try:
            self._process.start()
        except AssertionError as error:
            raise InvalidRunError(str(error)) from error
        self.port = urlsplit(self._process.matched_line[1]).port or 0
        self.get("/health/ready")
        return time.monotonic() - began

    def stop(self) -> None:
        """Ends it gracefully."""
        self._process.stop(STOP_WITHIN_S)

    def kill(self) -> None:
        """Ends it at once, where nobody looks at its books."""
        self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self._process.kill()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def resident_bytes(self) -> int:
        """The memory it holds now (Linux, /proc)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    @property
    def cpu_s(self) -> float:
        """The processor time it has used so far (Linux, /proc)."""
        after_name = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        user_ticks, system_ticks = after_name[11:13]  # fields 14 and 15 of proc(5)
        return (int(user_ticks) + int(system_ticks)) / os.sysconf("SC_CLK_TCK")

    def get(self, path: str) -> str:
        """The text of an answer 2xx. Raises InvalidRunError for any other."""
        return self._request("GET", path, self.auditor_key)

    def post(self, path: str, document: dict[str, Any]) -> Any:
        """The document of an answer 2xx. Raises InvalidRunError for any other."""
        return json.loads(self._request("POST", path, self.key, json.dumps(document)))

    def counters(self) -> dict[str, float]:
        """The metrics without labels, by name."""
        found = {}
        for line in self.get("/metrics").splitlines():
            name, _, value = line.partition(" ")
            if name and name != "#" and "{" not in name:
                found[name] = float(value)
        return found

    def audit(self, messages: int) -> list[str]:
        """What is wrong with the books after that many delivered messages, in sentences. The gateway has stopped."""

        def look(connection: Connection) -> list[str]:
            problems = administration.verify_ledger(connection)
            account = administration.get_account(connection, ACCOUNT)
            assert account is not None
            expected = CREDIT_MICROS - messages * PRICE_MICROS
            if (account.balance_micros, account.held_micros) != (expected, 0):
                problems.append(
                    f"{account.balance_micros} micros are left and {account.held_micros} held, not {expected} and 0"
                )
            d, a, c = tables.deliveries.c, tables.alerts.c, tables.callbacks.c
            for what, wrong in (
                ("deliveries are not delivered", d.state != "delivered"),
                ("alerts are not completed", a.status != "completed"),
                ("callbacks are not done", c.state != "done"),
            ):
                count = connection.scalar(select(func.count()).where(wrong))
                if count:
                    problems.append(f"{count} {what}")
            return problems

        return self._in_store(look)

    def _in_store(self, work: Callable[[Connection], T]) -> T:
        async def run() -> T:
            store = await open_store(self.store_url)
            try:
                return await store.write(work)
            finally:
                await store.close()

        return asyncio.run(run())

    def _request(self, method: str, path: str, key: str, body: str | None = None) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_WITHIN_S)
        try:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            if not 200 <= answer.status <= 299:
                raise InvalidRunError(f"{method} {path} was answered {answer.status}: {text[:500]}")
            return text
        except OSError as error:
            raise InvalidRunError(f"{method} {path} was not answered: {error}") from error
        finally:
            connection.close()
