"""What the machine has to give for the settings: folders that can be written, ports that are free. Looked at first.

Nothing here opens the store or speaks to anybody.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from channels.listening import Listening, Listens
from channels.plainly import plainly
from gateway.client import ApiClient, ApiError, UnreachableError
from gateway.local_access import connectable, path_beside, read
from gateway.port_holder import taken_by
from gateway.settings_http import HttpSettings
from gateway.settings_loading import Loaded
from gateway.settings_location import KeyPath
from gateway.settings_problems import Problem, SettingsError

UNPRIVILEGED_PORT = 1_024
_SQLITE = b"SQLite format 3\x00"
_SQLITE_URL = "sqlite:///"
_PASSING = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.EMFILE})
"""Why an address cannot be listened at now, and perhaps can in a moment: somebody has it still, or the network is not up yet."""


class AddressTakenError(OSError):
    """Nobody can listen at the address; the text says which and why."""


def examine_surroundings(loaded: Loaded, *, beside_server: bool) -> list[str]:
    """What will hurt and is borne, in lines. Raises SettingsError for what no later start would mend, and AddressTakenError where
    the address of the API is not free.

    `beside_server`: the ports may be those of a server that runs on these settings, and then they are as they should be.
    """
    problems = list(_store_problems(loaded))
    taken: list[str] = []
    running = beside_server and server_runs(loaded)
    http = loaded.settings.http
    refusal = None if running else _refusal(Listening(key="listen", protocol="tcp", host=http.host, port=http.port))
    if refusal is not None:
        problem = loaded.problem(("http", "listen"), _cannot_listen(http.host, http.port, refusal))
        if refusal.errno in _PASSING:
            taken.append(problem.told(loaded.file))
        else:
            problems.append(problem)
    if problems:
        raise SettingsError(loaded.file, problems)
    if taken:
        raise AddressTakenError("\n".join(taken))
    return [] if running else list(_provider_warnings(loaded))


def server_runs(loaded: Loaded) -> bool:
    """Whether a server of these settings runs: it left word beside a SQLite database; with PostgreSQL it answers at http.listen."""
    path = path_beside(loaded.settings.store.url.get_secret_value())
    if path is None:
        return _lives(loaded.settings.http)
    access = read(path)
    return access is not None and not access.stale


def _lives(http: HttpSettings) -> bool:
    """Whether a Tocsin answers there."""
    if http.port == 0:
        return False
    try:
        answer = ApiClient(connectable(http.host, http.port)).get("health", "live")
    except (ApiError, UnreachableError, ValueError):
        return False
    return isinstance(answer, dict) and answer.get("status") == "live"


def ensure_free(host: str, port: int) -> None:
    """Raises AddressTakenError where nobody can listen at the address: the HTTP server would not say so."""
    refusal = _refusal(Listening(key="listen", protocol="tcp", host=host, port=port))
    if refusal is not None:
        raise AddressTakenError(f"http.listen: {_cannot_listen(host, port, refusal)}") from refusal


def _provider_warnings(loaded: Loaded) -> Iterator[str]:
    """A provider whose port is taken is tried again and again, and the others work meanwhile."""
    for n, provider in enumerate(loaded.settings.providers):
        ours = provider.settings.listening if isinstance(provider.settings, Listens) else None
        refusal = None if ours is None else _refusal(ours)
        if ours is not None and refusal is not None:
            path: KeyPath = ("providers", n, ours.key)
            yield loaded.told(
                path, f"{_cannot_listen(ours.host, ours.port, refusal, _kind(ours))}; it is tried again while we run"
            )


def _kind(wanted: Listening) -> socket.SocketKind:
    return socket.SOCK_STREAM if wanted.protocol == "tcp" else socket.SOCK_DGRAM


def _refusal(wanted: Listening) -> OSError | None:
    """Why the address cannot be listened at; None where it can."""
    kind = _kind(wanted)
    try:
        family = socket.getaddrinfo(wanted.host, wanted.port, type=kind)[0][0]
        with socket.socket(family, kind) as probe:
            if wanted.protocol == "tcp":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((wanted.host, wanted.port))
            if wanted.protocol == "tcp":
                probe.listen(1)  # a port that is bound and not yet listened at is free to be bound once more
    except UnicodeError:  # a name that is none: a part of it is too long, or empty
        return OSError(errno.EINVAL, "no such host")
    except OSError as error:
        return error
    return None


def _cannot_listen(host: str, port: int, refusal: OSError, kind: socket.SocketKind = socket.SOCK_STREAM) -> str:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    told = f"cannot listen at {where}: {plainly(refusal)}"
    match refusal.errno:
        case errno.EADDRINUSE:
            return f"cannot listen at {where}: {taken_by(port, kind)}; end that, or take another port"
        case errno.EADDRNOTAVAIL:
            return f"{told}; expected an address of this machine"
        case errno.EACCES | errno.EPERM if port < UNPRIVILEGED_PORT:
            return (
                f"{told}; ports below {UNPRIVILEGED_PORT} are for root alone: take another, or give the service"
                " CAP_NET_BIND_SERVICE"
            )
    return told


def _store_problems(loaded: Loaded) -> Iterator[Problem]:
    """A database file that can neither be opened nor made."""
    url = loaded.settings.store.url.get_secret_value()
    if not url.startswith(_SQLITE_URL):
        return
    path = Path(url.removeprefix(_SQLITE_URL))
    refusal = _file_refusal(path)
    if refusal:
        yield loaded.problem(("store", "url"), refusal)


def _file_refusal(path: Path) -> str:
    folder = path.parent
    try:
        if not folder.exists():
            return f"the folder {folder} of the database does not exist"
        if not folder.is_dir():
            return f"expected the folder of the database before its name, {folder} is a file"
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"the folder {folder} of the database cannot be written by this user: it needs files beside the database"
        if path.is_dir():
            return f"expected a file for the database, {path} is a folder"
        if not path.exists():
            return ""
        if not path.is_file():
            return f"expected a file for the database, {path} is none"
        if not os.access(path, os.R_OK | os.W_OK):
            return f"the database {path} cannot be read and written by this user"
        with path.open("rb") as file:
            beginning = file.read(len(_SQLITE))
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL in it
        return f"{path} cannot be a database: {plainly(error)}"
    return "" if beginning in (b"", _SQLITE) else f"expected a database of SQLite, {path} is another file"
