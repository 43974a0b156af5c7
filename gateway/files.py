"""The one door for files that Tocsin writes: for their owner only, through no link, whole or not at all.

A folder may be one that others can write: what lies there under a name of ours may have been put there by them.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

OWN: Final = 0o600
"""What we write holds keys, numbers and names: nobody else reads it."""
OTHERS: Final = 0o077


class UnsafeFileError(OSError):
    """What lies under the name is nothing that we write to; the text says why."""


def write(path: Path, content: bytes | str, *, over_links: bool = True) -> None:
    """Puts the file in place at once and whole. A link of that name is replaced, and what it leads to stays as it is; without
    `over_links` it is refused, for somebody meant it. Raises OSError."""
    _require_replaceable(path, over_links)
    data = content.encode() if isinstance(content, str) else content
    try:
        handle, fresh = tempfile.mkstemp(
            prefix=f".{path.name[:100]}.", dir=path.parent
        )  # mode 0600, a new file for sure
    except OSError as error:  # it names the file that nobody has asked for
        raise type(error)(error.errno, error.strerror, str(path)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(fresh).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(fresh).unlink()
        raise


def append(path: Path) -> TextIO:
    """The file, open for writing at its end. Raises OSError."""
    return os.fdopen(open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a")


def open_own(path: Path, flags: int) -> int:
    """A descriptor of the regular file, which has this name alone and is from now on its owner's only. Raises OSError."""
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, OWN)
    except OSError as error:
        if path.is_symlink():
            raise UnsafeFileError(f"{path}: is a symbolic link, and none is followed here: remove it") from error
        raise
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise UnsafeFileError(f"{path}: is no regular file: remove it")
        if found.st_nlink > 1:
            raise UnsafeFileError(f"{path}: has another name as well (a hard link): remove it")
        if found.st_mode & OTHERS:
            _keep_from_others(handle, path)
    except BaseException:
        os.close(handle)
        raise
    return handle


def keep_own(path: Path) -> None:
    """What lies there is its owner's only from now on; links are left alone. Raises OSError."""
    if path.is_file() and not path.is_symlink():
        os.close(open_own(path, os.O_RDONLY))


def make_folder(path: Path) -> None:
    """The folder; one that is made now is its owner's only. Raises OSError."""
    if path.is_symlink() and path.lstat().st_uid not in (0, os.geteuid()):
        raise UnsafeFileError(f"{path}: is a link that another user has made: name another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def readable_by_others(path: Path) -> str:
    """Why somebody else can read or write the file, in words; "" where only its owner can, or where there is none."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    if not mode & OTHERS:
        return ""
    return f"{path} can be opened by other users (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}"


def _keep_from_others(handle: int, path: Path) -> None:
    try:
        os.fchmod(handle, OWN)
    except PermissionError as error:
        raise UnsafeFileError(f"{path}: belongs to another user and is open to others: remove it") from error


def _require_replaceable(path: Path, over_links: bool) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        if not over_links:
            raise UnsafeFileError(f"{path}: is a symbolic link: name the file that it leads to")
    elif not stat.S_ISREG(mode):
        raise UnsafeFileError(f"{path}: is no regular file: name another one")
