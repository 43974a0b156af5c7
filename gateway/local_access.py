"""How the command line gets into the server that runs on the same machine: a key in a file that only its user can read.

The server owns its SQLite database alone, so commands go through its API. The key is an ordinary administrator's; it is
new at every start and worth nothing once the server has ended.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import files
from gateway.client import ApiClient
from gateway.store.locking import served_as

if TYPE_CHECKING:
    from sqlalchemy import Connection

LABEL = "local command line"
"""What the key is called in the list of keys."""
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a server listens there, others connect here
BESIDE = ".admin"
FILE_BYTES_MAX = 4096  # URL, key and pid are some 150


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalAccess:
    """What the file says: where the server answers, with which key, and the process that wrote it."""

    url: str
    token: str
    pid: int

    @property
    def token_digest(self) -> bytes:
        """What the store keeps of the key."""
        return hashlib.sha256(self.token.encode()).digest()

    def write(self, path: Path) -> None:
        """Puts the file in place at once and whole, readable for its owner only. Raises OSError."""
        files.write(path, json.dumps(asdict(self)))

    def remove(self, path: Path) -> None:
        """Removes the file, if it is still ours."""
        if read(path) == self:
            with suppress(FileNotFoundError):
                path.unlink()

    @property
    def stale(self) -> bool:
        """Whether the process that wrote the file is gone: it was killed, and could not remove it."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def connectable(host: str, port: int) -> str:
    """The URL at which somebody on this machine reaches a server that listens at the address."""
    host = ANY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def path_beside(store_url: str) -> Path | None:
    """Where the file of a SQLite database lies, under the name by which its server knows the database; None for PostgreSQL, which the
    command line reaches by itself."""
    database = database_of(store_url)
    return None if database is None else Path(f"{database}{BESIDE}")


def own_path(store_url: str) -> Path | None:
    """As `path_beside`, for the server itself: whatever name somebody else has for the database at the moment."""
    prefix = "sqlite:///"
    database = os.path.realpath(store_url.removeprefix(prefix))
    return Path(f"{database}{BESIDE}") if store_url.startswith(prefix) else None


def database_of(store_url: str) -> Path | None:
    """The SQLite database, called as the server calls it that has it open: another name of the same file has another write-ahead
    log beside it. None for PostgreSQL."""
    prefix = "sqlite:///"
    return served_as(Path(store_url.removeprefix(prefix))) if store_url.startswith(prefix) else None


def read(path: Path) -> LocalAccess | None:
    """What the file says; None where there is none, or not one that we may read and understand."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(FILE_BYTES_MAX))
        return LocalAccess(url=str(content["url"]), token=str(content["token"]), pid=int(content["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def running_server(path: Path | None) -> ApiClient | None:
    """The server that has left word in the file and still runs, ready to be asked; or None."""
    access = read(path) if path is not None else None
    if access is None or access.stale:
        return None
    client = ApiClient(access.url, access.token)
    return client if client.answers() else None


def grant(now: datetime) -> Callable[[Connection], str]:
    """Store work: a fresh key of the local command line, any former one revoked; gives the key's text."""
    from gateway.administration import create_key

    def work(connection: Connection) -> str:
        withdraw(now)(connection)
        _, token = create_key(connection, now, account_id=None, role="administrator", label=LABEL)
        return token

    return work


def withdraw(now: datetime) -> Callable[[Connection], None]:
    """Store work: every key of the local command line is revoked."""
    from sqlalchemy import update

    from gateway.clock import to_micros
    from gateway.store.tables import keys

    def work(connection: Connection) -> None:
        ours = (keys.c.label == LABEL, keys.c.account_id.is_(None), keys.c.revoked_at.is_(None))
        connection.execute(update(keys).where(*ours).values(revoked_at=to_micros(now)))

    return work
