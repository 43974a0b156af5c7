"""What `tocsin check` approves starts, and what it refuses does not: settings files with one mistake each, tried with both."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.gateway.cli_desk import TOCSIN
from tests.gateway.forked import Answer, ForkServer
from tests.gateway.settings_mistakes import Mistake, mistakes
from tests.peers.network import alone_on_the_network
from tests.peers.ports import free_port, take

PASSWORD = {"CARRIER_PASSWORD": "pw", "EMPTY": ""}
SERVERS = 2
ROOT = Path(__file__).parents[2]
SHARES = 4
"""In so many tests the files are tried, for each to have time enough on a slow machine."""
_PLACE = re.compile(r"^tocsin: (?P<file>[^:]+)(:(?P<line>\d+))?: ((?P<key>[A-Za-z_][\w.\[\]-]*): )?(?P<text>.+)$")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("right")
    Mistake(old="", new="", key=None).write(made)
    return made


@pytest.fixture(scope="module")
def taken() -> Iterator[int]:
    """A port that is in use."""
    port = free_port()
    with ExitStack() as held:
        for each in take(port):
            held.enter_context(each)
        yield port


@pytest.fixture(scope="module")
def forked(folder: Path, taken: int) -> Iterator[SimpleQueue[ForkServer]]:
    patch = pytest.MonkeyPatch()
    for name, value in PASSWORD.items():
        patch.setenv(name, value)
    free: SimpleQueue[ForkServer] = SimpleQueue()
    with ExitStack() as opened:
        for _ in range(SERVERS):
            free.put(opened.enter_context(ForkServer(folder / "tocsin.toml", taken=taken)))
        yield free
    patch.undo()


def places(answer: Answer) -> list[tuple[str, str, str]]:
    """(line, key, text) of everything that a command refuses."""
    found = []
    for told in answer.err.splitlines():
        place = _PLACE.match(told)
        if place is not None and not told.startswith(("tocsin: WARNING", "tocsin: not examined")):
            found.append((place["line"] or "", place["key"] or "", place["text"]))
    return found


def tried(forked: SimpleQueue[ForkServer], folder: Path, mistake: Mistake) -> list[str]:
    """What is wrong with how the two commands took it."""
    path = mistake.write(folder)
    server = forked.get()
    try:
        check = server.run("check", "--config", str(path), folder=folder)
        serve = server.run("serve", "--config", str(path), "--json", folder=folder)
    finally:
        forked.put(server)
    told = f"{mistake.old!r} -> {mistake.new!r} ({mistake.content!r:.40})"
    wrong = [
        f"{told}: a traceback of {name}: {answer.err[-300:]}"
        for name, answer in (("check", check), ("serve", serve))
        if "Traceback" in answer.err
    ]
    wanted: tuple[int | None, int | None] = (0, None) if mistake.key is None else (mistake.status, mistake.status)
    if (check.status, serve.status) != wanted:
        wrong.append(
            f"{told}: expected {wanted}, check {check.status}, serve {serve.status}: {check.err[-200:]} {serve.err[-300:]}"
        )
    if mistake.key is not None:
        if places(check) != places(serve):
            wrong.append(f"{told}: check says {places(check)}, serve {places(serve)}")
        keys = [key for _, key, _ in places(check)]
        if mistake.key not in keys:
            wrong.append(f"{told}: expected the key {mistake.key!r}, found {places(check)}")
        if mistake.content is None and not all(line for line, _, _ in places(check)):
            wrong.append(f"{told}: a line is missing in {places(check)}")
        doubled = [one for one, times in Counter(places(check)).items() if times > 1]
        if doubled:
            wrong.append(f"{told}: said twice: {doubled}")
    shutil.rmtree(folder)
    return wrong


@pytest.mark.parametrize("share", range(SHARES))
def test_check_and_the_start_refuse_alike_or_both_run(
    forked: SimpleQueue[ForkServer], taken: int, tmp_path: Path, share: int
) -> None:
    assert len(mistakes(taken)) >= 200
    every = mistakes(taken)[share::SHARES]

    def one(n: int, mistake: Mistake) -> list[str]:
        folder = tmp_path / str(n)
        folder.mkdir()
        return tried(forked, folder, mistake)

    with ThreadPoolExecutor(SERVERS) as pool:
        wrong = [text for found in pool.map(one, range(len(every)), every) for text in found]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"email:duty@example.org"', '"sms:112"', "last_resort.recipients[0]: 112 reaches emergency services"),
        ('prefix = "+33"', 'prefix = "0033"', 'routes[0].prefix: expected "+" and a country code, say "+33"'),
        ('{env = "CARRIER_PASSWORD"}', '{env = "NOT_SET"}', "the environment variable NOT_SET is not set"),
    ],
)
def test_the_program_itself_tells_file_line_and_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    mistake = Mistake(old=old, new=new, key="")
    path = mistake.write(tmp_path)
    answers = []
    for command in ("check", "serve"):
        done = subprocess.run(
            [TOCSIN, command],
            cwd=tmp_path,
            env={**os.environ, **PASSWORD},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 3
        answers.append(done.stderr)
    assert answers[0] == answers[1]
    assert answers[0].startswith(f"tocsin: {path.name}:{mistake.line}: ")
    assert told in answers[0]


@pytest.mark.parametrize(
    "words",
    [
        ("accounts", "list"),
        ("keys", "list"),
        ("tariffs", "list"),
        ("ledger", "verify"),
        ("migrate",),
        ("providers", "list"),
        ("say", "--words", "1"),
    ],
)
def test_a_command_reads_no_secret_that_it_has_no_use_for(
    forked: SimpleQueue[ForkServer], tmp_path: Path, words: tuple[str, ...]
) -> None:
    mistake = Mistake(old='{env = "CARRIER_PASSWORD"}', new='{env = "NOT_SET"}', key="")
    path = mistake.write(tmp_path)
    (tmp_path / "secret").unlink()
    server = forked.get()
    server.run("migrate", "--config", str(path), folder=tmp_path)  # a ledger to verify
    answers = [server.run(*words, "--config", str(path), folder=tmp_path)]
    path.write_text(path.read_text() + "[loog]\n")  # may be a misspelt [store] as well: another database than is meant
    answers.append(server.run(*words, "--config", str(path), folder=tmp_path))
    forked.put(server)
    assert (answers[0].status, answers[0].err) == (0, "")
    assert answers[1].status == 3
    assert 'loog: unknown key, did you mean "log"?' in answers[1].err


def test_trying_a_provider_reads_its_own_secret_alone(forked: SimpleQueue[ForkServer], tmp_path: Path) -> None:
    path = Mistake(old="", new="", key=None).write(tmp_path)
    (tmp_path / "secret").unlink()
    server = forked.get()
    trial = ("providers", "test", "--config", str(path), "--wait", "0")
    carrier = server.run(*trial, "carrier", "--to", "+33612345678", folder=tmp_path)
    pbx = server.run(*trial, "pbx", "--to", "+33612345678", folder=tmp_path)
    forked.put(server)
    assert (carrier.status, "Traceback" in carrier.err, "secret" in carrier.err) == (1, False, False)
    assert pbx.status == 3
    assert "providers[2].password: the file" in pbx.err


def test_everything_wrong_is_told_at_once_and_what_cannot_be_judged_is_named(
    forked: SimpleQueue[ForkServer], tmp_path: Path
) -> None:
    wrong = '"sms:0", "sms:112", "email:nobody", "sms:+336", "pager:1"'
    mistake = Mistake(old='"email:duty@example.org"', new=wrong, key="")
    path = mistake.write(tmp_path)
    path.write_text(path.read_text().replace("CARRIER_PASSWORD", "NOT_SET"))
    server = forked.get()
    keys = [key for _, key, _ in places(server.run("check", folder=tmp_path))]
    path.write_text(path.read_text().replace('default_region = "FR"', 'default_region = "XX"'))
    answer = server.run("check", folder=tmp_path)
    forked.put(server)
    assert keys == ["providers[0].password", *(f"last_resort.recipients[{n}]" for n in (4, 0, 1, 2, 3))]
    told = "not examined yet: addresses of the channel sms: first put right their [[providers]], [[routes]] and [destinations]"
    assert answer.err.splitlines()[-1] == f"tocsin: {told}"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ((), "tocsin.toml: there is no such file here"),
        (("--config", "absent.toml"), "absent.toml: cannot be read: No such file"),
        (("--config", "."), ".: expected a settings file; this is a folder"),
    ],
)
@pytest.mark.parametrize("command", [("check",), ("serve",), ("accounts", "list"), ("migrate",), ("providers", "list")])
def test_a_file_that_is_none_is_status_3(
    forked: SimpleQueue[ForkServer], tmp_path: Path, command: tuple[str, ...], config: tuple[str, ...], told: str
) -> None:
    server = forked.get()
    answer = server.run(*command, *config, folder=tmp_path)
    forked.put(server)
    assert answer.status == 3
    assert answer.err.startswith(f"tocsin: {told}")


def test_the_example_settings_are_right(tmp_path: Path) -> None:
    """On a network of its own: the example names the customary ports, and `check` looks whether they are free."""
    done = subprocess.run(
        [TOCSIN, "check", "--config", ROOT / "deploy" / "tocsin.example.toml"],
        preexec_fn=alone_on_the_network,
        env={**os.environ, "CARRIER_A_PASSWORD": "pw", "MAIL_PASSWORD": "pw"},
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
