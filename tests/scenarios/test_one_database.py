"""One server for one SQLite file, whatever the file is called; and commands find that server by every name."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gateway.local_access import path_beside, running_server
from tests.peers.ports import LOOPBACK, free_port
from tests.proofs.server import Server
from tests.scenarios.installation import smpp, write_settings

TOCSIN = Path(sys.executable).parent / "tocsin"
ENDS_WITHIN_S = 60.0


def symbolic(database: Path, folder: Path) -> str:
    """A link in another folder, over a link."""
    (folder / "middle").symlink_to(database)
    (folder / "link.db").symlink_to("middle")
    return str(folder / "link.db")


def linked_folder(database: Path, folder: Path) -> str:
    """The same name through a link of its folder."""
    (folder / "there").symlink_to(database.parent)
    return str(folder / "there" / database.name)


def hard(database: Path, folder: Path) -> str:
    """A second name in another folder."""
    os.link(database, folder / "hard.db")
    return str(folder / "hard.db")


def relative(database: Path, folder: Path) -> str:
    """As somebody writes it who works in the other folder."""
    return os.path.relpath(database, folder)


def renamed(database: Path, folder: Path) -> str:
    """The file got another name while the server has it open."""
    new = database.with_name("renamed.db")
    database.rename(new)
    return str(new)


def replaced(database: Path, folder: Path) -> str:
    """Another file lies under the name: a backup was put back before the server had stopped."""
    shutil.copy(database.with_name("renamed.db"), database)
    return str(database)


NAMES: tuple[Callable[[Path, Path], str], ...] = (symbolic, linked_folder, hard, relative, renamed, replaced)


async def test_case_7_6_one_database_has_one_server_by_whatever_name(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    server = Server(mine, [smpp("carrier", 9)])
    await server.set_up()
    await server.start()
    database = mine / "tocsin.db"
    before = json.loads((mine / "tocsin.db.admin").read_text())
    try:
        for name in NAMES:
            called = name(database, other)
            url = f"sqlite:///{called}"
            settings = write_settings(
                other / f"{name.__name__}.toml",
                [smpp("carrier", 9)],
                store={"url": url},
                http={"listen": f"{LOOPBACK}:{free_port()}"},
            )
            told = await asyncio.to_thread(_ends, settings, other, "serve")
            assert told.returncode == 1, (name, told)
            assert "is in use by a running tocsin" in told.stderr, (name, told)
            found = await asyncio.to_thread(_found, url, other)
            assert found == server.url, name
        assert json.loads((mine / "tocsin.db.admin").read_text()) == before
        settings = other / "hard.toml"
        for words in (("accounts", "list"), ("ledger", "verify")):  # the key of the first server still works
            told = await asyncio.to_thread(_ends, settings, other, *words)
            assert told.returncode == 0, told
        assert not list(other.glob("*-wal")), "no log beside the other name"
        caution = await asyncio.to_thread(_ends, settings, other, "check")
        assert "2 names (hard links)" in caution.stderr
    finally:
        await server.stop()


def _ends(settings: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(TOCSIN), *words, "--config", str(settings)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=ENDS_WITHIN_S, check=False)


def _found(url: str, folder: Path) -> str:
    """Where a command that is given here finds the server."""
    if not url.startswith("sqlite:////"):
        url = f"sqlite:///{folder / url.removeprefix('sqlite:///')}"
    client = running_server(path_beside(url))
    return "" if client is None else client.url


async def test_a_verified_backup_is_left_as_it_was_and_warned_of(tmp_path: Path) -> None:
    server = Server(tmp_path, [smpp("carrier", 9)])
    await server.set_up()
    backup = tmp_path / "backup" / "backup.db"
    backup.parent.mkdir()
    shutil.copy(tmp_path / "tocsin.db", backup)
    backup.chmod(0o644)
    settings = write_settings(
        tmp_path / "check.toml",
        [smpp("carrier", 9)],
        store={"url": f"sqlite:///{backup}"},
        http={"listen": f"{LOOPBACK}:0"},
    )
    told = await asyncio.to_thread(_ends, settings, tmp_path, "check")
    assert f"{backup} can be opened by other users (mode 0644): chmod 600 {backup}" in told.stderr
    told = await asyncio.to_thread(_ends, settings, tmp_path, "ledger", "verify")
    assert told.returncode == 0, told
    assert "database_open_to_others" in told.stderr
    assert [each.name for each in backup.parent.iterdir()] == ["backup.db"]
    assert backup.stat().st_mode & 0o777 == 0o644
