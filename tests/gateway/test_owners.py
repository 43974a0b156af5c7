"""Root is told of a database that the service cannot open: root itself can open everything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.store import locking
from gateway.store.locking import cautions

SERVICE, OTHER = 4_000_000_001, 4_000_000_002  # nobody has these numbers


@pytest.mark.parametrize(
    ("user", "folder", "file", "named"),
    [
        (
            0,
            SERVICE,
            0,
            "t.db belongs to root, its folder to user 4000000001: a service that runs as user 4000000001 cannot",
        ),
        (0, SERVICE, OTHER, "t.db belongs to user 4000000002, its folder to user 4000000001"),
        (0, SERVICE, SERVICE, ""),
        (0, 0, SERVICE, ""),  # a folder such as /tmp
        (SERVICE, SERVICE, 0, ""),  # the system tells whoever is not root
    ],
)
def test_a_database_of_another_user_than_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, folder: int, file: int, named: str
) -> None:
    database = tmp_path / "t.db"
    for name in ("t.db", "t.db-wal"):
        (tmp_path / name).touch(mode=0o600)
    monkeypatch.setattr(os, "geteuid", lambda: user)

    def owner(path: Path) -> int:
        path.stat()  # as of a file that is there
        return folder if path.is_dir() else file

    monkeypatch.setattr(locking, "_owner", owner)
    told = cautions(f"sqlite:///{database}")
    assert len(told) == (2 if named else 0)
    if named:
        assert named in told[0]
        assert f"chown --reference={tmp_path} {database}" in told[0]
        assert f"{database}-wal" in told[1]
