"""Everything that Tocsin writes goes through one door: through no link, for its owner only, whole or not at all."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gateway
from gateway import files
from gateway.cli import say
from gateway.cli.failures import Refused
from gateway.demo_folder import KEY, LOG, PREFERRED, SETTINGS, DemoFolder
from gateway.local_access import LocalAccess
from gateway.store.errors import StoreError
from gateway.store.locking import DatabaseLock
from ivr.audio.sound import Sound

VICTIM = b"what somebody else wrote\n"
SPARED = (OSError, StoreError, Refused)
"""How a writer says that it does not write there."""

Writer = Callable[[Path], None]


def _demo(path: Path) -> None:
    folder = DemoFolder(path=path.parent)
    folder.make()
    folder.write_settings(PREFERRED)
    folder.keep_key("tok_1")
    with files.append(folder.log) as log:
        log.write("begun\n")


def _database(path: Path) -> None:
    lock = DatabaseLock(str(path))
    try:
        lock.take()
    finally:
        lock.give_back()


def _admin(path: Path) -> None:
    LocalAccess(url="http://127.0.0.1:1", token="tok_1", pid=os.getpid()).write(path)


def _sound(path: Path) -> None:
    say._write(Sound(samples=b"\x00\x00" * 80), path)


WRITERS: dict[str, tuple[Writer, str]] = {
    "the demo's settings": (_demo, SETTINGS),
    "what the demo wrote there last": (_demo, f".{SETTINGS}"),
    "the demo's key": (_demo, KEY),
    "the demo's log": (_demo, LOG),
    "the demo's word to version control": (_demo, ".gitignore"),
    "the way in for commands": (_admin, "t.db.admin"),
    "the lock": (lambda path: _database(path.with_name("t.db")), "t.db.lock"),
    "the database": (_database, "t.db"),
    "SQLite's log": (lambda path: _database(path.with_name("t.db")), "t.db-wal"),
    "SQLite's index": (lambda path: _database(path.with_name("t.db")), "t.db-shm"),
    "sound that was asked for": (_sound, "out.wav"),
}
"""What is written, by what, and how it is called in its folder."""


@pytest.fixture
def places(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A folder that everybody can write, and a file of somebody's outside of it."""
    shared, victim = tmp_path / "shared", tmp_path / "victim"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    victim.write_bytes(VICTIM)
    victim.chmod(0o644)
    yield shared, victim
    assert victim.read_bytes() == VICTIM
    assert victim.stat().st_mode & 0o777 == 0o644
    assert not list(shared.glob(".*.????????")), "nothing half-written is left"


def _told(what: str, folder: Path) -> str:
    """What the writer says that does not write there; "" where it has written."""
    writer, name = WRITERS[what]
    try:
        writer(folder / name)
    except SPARED as told:
        return str(told)
    return ""


@pytest.mark.parametrize("what", WRITERS)
def test_case_7_9_no_link_is_followed(what: str, places: tuple[Path, Path]) -> None:
    shared, victim = places
    path = shared / WRITERS[what][1]
    path.symlink_to(victim)
    told = _told(what, shared)
    if what == "the database":  # an operator may have linked it; but this is none
        assert "file is not a database" in told
    else:
        assert path.name in told if path.is_symlink() else told == ""


@pytest.mark.parametrize("what", [what for what in WRITERS if what != "the database"])
def test_case_7_9_a_link_to_nothing_makes_nothing(what: str, places: tuple[Path, Path]) -> None:
    shared, victim = places
    path, nothing = shared / WRITERS[what][1], victim.with_name("nothing")
    path.symlink_to(nothing)
    told = _told(what, shared)
    assert path.name in told if path.is_symlink() else told == ""
    assert not nothing.exists()


@pytest.mark.parametrize("what", WRITERS)
def test_case_7_9_a_file_with_another_name_is_spared(what: str, places: tuple[Path, Path]) -> None:
    shared, victim = places
    path = shared / WRITERS[what][1]
    os.link(victim, path)
    told = _told(what, shared)
    if path.exists() and path.samefile(victim):
        assert told


@pytest.mark.parametrize("what", WRITERS)
def test_case_7_9_what_was_open_to_others_is_its_owners_afterwards(what: str, places: tuple[Path, Path]) -> None:
    writer, name = WRITERS[what]
    shared, _ = places
    (shared / name).write_bytes(b"")
    (shared / name).chmod(0o666)
    writer(shared / name)
    left = [each for each in shared.iterdir() if each.stat().st_mode & files.OTHERS]
    assert left == []


@pytest.mark.parametrize("what", WRITERS)
def test_case_7_9_what_is_no_file_is_refused_and_nobody_waits(what: str, places: tuple[Path, Path]) -> None:
    shared, _ = places
    os.mkfifo(shared / WRITERS[what][1])
    assert WRITERS[what][1].split("-")[0] in _told(what, shared)


def test_the_demos_database_is_no_link(places: tuple[Path, Path]) -> None:
    shared, victim = places
    victim.write_bytes(VICTIM)
    (shared / "tocsin.db").symlink_to(victim)
    with pytest.raises(files.UnsafeFileError, match="symbolic link"):
        DemoFolder(path=shared).make()


def test_a_folder_that_is_made_is_its_owners(tmp_path: Path) -> None:
    DemoFolder(path=tmp_path / "demo").make()
    assert (tmp_path / "demo").stat().st_mode & 0o777 == 0o700


def test_a_text_that_cannot_be_written_leaves_the_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    files.write(path, "first")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        files.write(path, "second")
    assert path.read_text() == "first"
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


DEVELOPERS = frozenset({"gateway/diagram.py", "ivr/audio/prompts.py"})
"""They write into the tree that they are run from, by hand, while Tocsin is being written."""
DOOR = "gateway/files.py"
WRITES = frozenset({"write_text", "write_bytes", "mkdir", "mkstemp", "O_CREAT", "O_WRONLY"})


def test_nothing_is_written_past_the_door() -> None:
    tree = Path(gateway.__file__).parent.parent
    found = set()
    for package in ("gateway", "channels", "ivr", "billing", "templates"):
        for path in sorted((tree / package).rglob("*.py")):
            name = str(path.relative_to(tree))
            if name not in DEVELOPERS and name != DOOR:
                found |= {(name, use) for use in _writes(ast.parse(path.read_text()))}
    assert found == {
        ("gateway/cli/root.py", "O_WRONLY"),  # /dev/null, where standard output is gone
        ("gateway/store/locking.py", "O_CREAT"),  # the database itself: made with mode 0600, and locked
    }


def _writes(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in WRITES:
            yield node.attr
        if isinstance(node, ast.Call):
            opened = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            modes = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            if opened == "open" and any(mode[:1] in ("w", "a", "x") or "+" in mode for mode in modes if len(mode) < 4):
                yield "open"
