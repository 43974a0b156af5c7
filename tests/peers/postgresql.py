"""A private PostgreSQL cluster of our own in a temporary directory; the cluster that Debian made is never touched."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self
from uuid import uuid4

from tests.peers.ports import LOOPBACK, free_port
from tests.peers.processes import ChildProcess, children_of, find_binary

USER = "tocsin"
_PACKAGE = "postgresql"
_COMMAND_WITHIN_S = 60.0  # initdb takes two seconds on an idle machine
_RESTARTS_MAX = 50  # after a kill -9 the old backends still hold the shared memory for a moment
_RESTART_PAUSE_S = 0.1

# Tests of our own durability need fsync; the others only need PostgreSQL's behaviour and are far faster without it.
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresqlServer:
    """One server with trust authentication on a loopback port; `create_database` gives each test a database of its own.

    Started by root it runs as an unprivileged user, because PostgreSQL refuses root.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self.port = free_port()
        self._account = _unprivileged_account()
        self._directory = Path(tempfile.mkdtemp(prefix="tocsin-postgresql-"))
        self._cluster = self._directory / "cluster"
        settings = [
            f"listen_addresses={LOOPBACK}",
            f"unix_socket_directories={self._directory}",
            "max_connections=200",
            "shared_buffers=32MB",
            "log_min_messages=fatal",
            *(() if durable else _NOT_DURABLE),
        ]
        self._process = ChildProcess(
            [
                *(_binary("postgres"), "-D", self._cluster, "-p", str(self.port)),
                *(word for setting in settings for word in ("-c", setting)),
            ],
            name="postgres",
            cwd=self._directory,
            user=self._account,
            ready=self._answers,
            stop_signal=signal.SIGINT,  # fast shutdown: connections are closed, not waited for
        )

    def start(self) -> Self:
        """Makes the cluster (once) and returns when the server answers statements."""
        if not self._cluster.exists():
            self._make_cluster()
        for _ in range(_RESTARTS_MAX):
            try:
                self._process.start()
            except AssertionError as error:
                if "shared memory block" not in str(error) and "lock file" not in str(error):
                    raise
                time.sleep(_RESTART_PAUSE_S)
            else:
                return self
        raise AssertionError(f"postgres did not come back after a kill\n{self._process.output}")

    def stop(self) -> None:
        """Shuts the server down, disconnecting everybody; `start` brings it back with what it stored."""
        self._process.stop()

    def kill(self) -> None:
        """kill -9 for the server and its backends (they lead process groups of their own)."""
        backends = children_of(self._process.pid) if self._process.running else []
        self._process.kill()
        for pid in backends:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def pause(self) -> None:
        """Stops new connections and background work (SIGSTOP of the main process); open sessions go on."""
        self._process.pause()

    def resume(self) -> None:
        """Undoes `pause`."""
        self._process.resume()

    def close(self) -> None:
        """Stops the server and removes its directory."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def create_database(self) -> str:
        """A new, empty database. Gives its URL: ``postgresql://tocsin@127.0.0.1:PORT/NAME``."""
        name = f"test_{uuid4().hex}"
        self.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://{USER}@{LOOPBACK}:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Removes a database that `create_database` made, whoever is still connected."""
        name = url.rpartition("/")[2]
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str, *, database: str = "postgres") -> str:
        """Runs one statement by psql, as an operator would. Gives its rows, with `|` between columns."""
        return self._run("psql", *self._connection(), "-d", database, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement)

    def _connection(self) -> tuple[str, ...]:
        return ("-h", LOOPBACK, "-p", str(self.port), "-U", USER)

    def _answers(self) -> bool:
        ready = subprocess.run(
            [_binary("pg_isready"), "-q", "-t", "1", *self._connection()], check=False, cwd=self._directory
        )
        return ready.returncode == 0

    def _make_cluster(self) -> None:
        if self._account is not None:
            shutil.chown(self._directory, self._account)
        options = ("--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        self._run("initdb", "-D", str(self._cluster), *options, user=self._account)

    def _run(self, program: str, *arguments: str, user: str | None = None) -> str:
        done = subprocess.run(
            [_binary(program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_WITHIN_S,
            cwd=self._directory,
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
        )
        assert done.returncode == 0, f"{program} failed: {done.stderr.strip() or done.stdout.strip()}"
        return done.stdout.strip()


def _unprivileged_account() -> str | None:
    """The account the server runs under; None is our own."""
    if os.geteuid() != 0:
        return None
    accounts = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in accounts)


def _binary(name: str) -> str:
    """A program of the newest installed version; Debian keeps them out of PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return find_binary(name, _PACKAGE, *versions)
