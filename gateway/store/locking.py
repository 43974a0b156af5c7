"""One process for one SQLite database, whatever it is called: a link, a relative path, a file that was renamed. No SQL lives here."""

from __future__ import annotations

import fcntl
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from gateway.files import OWN, UnsafeFileError, open_own, readable_by_others
from gateway.store.errors import StoreLocked, StoreUnavailable

log = structlog.get_logger(__name__)

LOCK: Final = ".lock"
HEADER: Final = b"SQLite format 3\x00"
"""The first bytes of a database that is not empty (SQLite, file format, 1.3.1)."""
COMPANIONS: Final = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database; it would follow links there."""


class DatabaseLock:
    """Held on the file itself, so that no other name leads around it, and on its name, so that nobody puts another file there
    and starts on that. `database` is the path with every link resolved."""

    def __init__(self, asked: str) -> None:
        self.database = Path(os.path.realpath(asked))
        self._asked = asked
        self._name: int | None = None
        self._file: int | None = None

    def take(self) -> None:
        """Makes the file where there is none, for its owner only. Raises StoreLocked, StoreUnavailable."""
        try:
            self._name = self._lock_name()
            self._file = self._lock_file()
        except UnsafeFileError as error:
            raise StoreUnavailable(str(error)) from error

    def give_back(self) -> None:
        """To be called once nothing of the database is open any more: SQLite's own locks end with any descriptor of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._name is not None:
            with suppress(OSError):
                self._name_path.unlink()
            os.close(self._name)
            self._name = None

    @property
    def _name_path(self) -> Path:
        return self.database.with_name(self.database.name + LOCK)

    def _lock_name(self) -> int:
        while True:
            handle = open_own(self._name_path, os.O_RDWR | os.O_CREAT)
            try:
                self._lock(handle)
                if _same(handle, self._name_path):
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)  # its holder gave it back, and the file with it: there is another one by now

    def _lock_file(self) -> int:
        handle = os.open(self.database, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, OWN)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise UnsafeFileError(f"{self.database}: is no regular file")
            if os.pread(handle, len(HEADER), 0) not in (b"", HEADER):
                raise UnsafeFileError(f"{self.database}: file is not a database")
            self._lock(handle)
            for companion in COMPANIONS:
                self._require_own(companion)
            self._keep_from_others()
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _lock(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreLocked(f"{self._asked} is in use by a running tocsin{self._where()}") from error

    def _where(self) -> str:
        other = served_as(self.database)
        return f", as {other}" if str(other) != self._asked else ""

    def _keep_from_others(self) -> None:
        """A file that was copied here has whatever mode its copying gave it: names, numbers and texts are in it."""
        for companion in ("", *COMPANIONS):
            path = self.database.with_name(self.database.name + companion)
            told = readable_by_others(path)
            if told and not path.is_symlink():
                with suppress(OSError):
                    path.chmod(OWN)
                log.warning(
                    "database_open_to_others", file=str(path), now=readable_by_others(path) or "its owner's only"
                )

    def _require_own(self, companion: str) -> None:
        path = self.database.with_name(self.database.name + companion)
        with suppress(FileNotFoundError):
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                raise UnsafeFileError(
                    f"{path}: is a link or no regular file, and SQLite would write through it: remove it"
                )


def served_as(database: Path) -> Path:
    """The path under which the process that has the database locked knows it; the database's own where there is none, or where we
    may not ask."""
    here = Path(os.path.realpath(database))
    with suppress(OSError):
        file = here.stat()
        for line in Path("/proc/locks").read_text().splitlines():
            _, kind, _, _, pid, place, *_ = line.split()
            if kind == "FLOCK" and place.rpartition(":")[2] == str(file.st_ino):
                found = _known_to(pid, file)
                if found is not None:
                    return found
    return here


def _known_to(pid: str, file: os.stat_result) -> Path | None:
    """What the process calls the database: by the name that it has locked, if the file is open in it."""
    name = None
    has_it = False
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                has_it = has_it or os.path.samestat(entry.stat(), file)
                target = str(Path(entry.path).readlink())
                if target.endswith(LOCK):
                    name = Path(target.removesuffix(LOCK))
    return name if has_it else None


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def cautions(store_url: str) -> list[str]:
    """What is dangerous about the files of a SQLite database, in sentences; none for PostgreSQL."""
    prefix = "sqlite:///"
    if not store_url.startswith(prefix):
        return []
    database = Path(os.path.realpath(store_url.removeprefix(prefix)))
    found = [
        f"store.url: {told}"
        for companion in ("", *COMPANIONS)
        if (told := readable_by_others(database.with_name(database.name + companion)))
    ]
    with suppress(OSError):
        if (names := database.stat().st_nlink) > 1:
            found.append(
                f"store.url: {database} has {names} names (hard links): SQLite keeps a log beside each name, and the other"
                " shows an old state; remove it"
            )
    return [*found, *_of_other_owners(database)]


def _of_other_owners(database: Path) -> Iterator[str]:
    """Files that root can open, and the user of their folder cannot: such as a backup that root put back. Who is not root is told
    by the system. A folder of root says nothing of who the service is."""
    if os.geteuid() != 0:
        return
    folder = database.parent
    for companion in ("", *COMPANIONS):
        path = database.with_name(database.name + companion)
        with suppress(OSError):
            theirs, folders = _owner(path), _owner(folder)
            if folders not in (0, theirs):
                service = _name(folders)
                yield (
                    f"store.url: {path} belongs to {_name(theirs)}, its folder to {service}: a service that runs as {service} cannot"
                    f" open it: chown --reference={shlex.quote(str(folder))} {shlex.quote(str(path))}"
                )


def _owner(path: Path) -> int:
    return path.stat().st_uid


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
