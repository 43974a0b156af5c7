"""`tocsin check --connect` on real servers: who refuses us is told apart from who is not there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.app import examine
from gateway.cli.connecting import Finding, connect_to_everything
from gateway.opening import HINTS, queue_refusal, store_refusal
from tests.gateway.cli_desk import Terminal, terminal_in
from tests.peers import redis as peer
from tests.peers.postgresql import PostgresqlServer
from tests.peers.redis import RedisServer

redis_server = peer.redis_server


async def part(folder: Path, name: str, section: str, url: str) -> Finding:
    """What the part says, with this URL in its section."""
    settings = folder / "tocsin.toml"
    settings.write_text(f'[http]\nlisten = "127.0.0.1:0"\n[{section}]\nurl = "{url}"\n')
    return next(one for one in await connect_to_everything(examine(settings)) if one.part == name)


@pytest.fixture(scope="module")
def closed_postgresql() -> Iterator[tuple[PostgresqlServer, str]]:
    """A server that wants passwords; the URL is that of an empty database, without user and password."""
    with contextlib.closing(PostgresqlServer()) as server:
        url = server.start().create_database()
        for user in ("poor", "cipher"):
            server.execute(f"CREATE USER {user} PASSWORD 'right'")
        server.execute("ALTER USER tocsin PASSWORD 'right'")
        rules = "hostssl all cipher 127.0.0.1/32 scram-sha-256\nhost all tocsin,poor 127.0.0.1/32 scram-sha-256\n"
        path = server.execute("SHOW hba_file")
        Path(path).write_text(rules)
        server.stop()
        server.start()
        yield server, url.partition("@")[2]


async def test_postgresql_that_refuses_says_why(
    closed_postgresql: tuple[PostgresqlServer, str], tmp_path: Path
) -> None:
    _, where = closed_postgresql
    at, _, database = where.partition("/")
    said = {}
    for case, url in {
        "right": f"tocsin:right@{where}",
        "password": f"tocsin:wrong@{where}",
        "database": f"tocsin:right@{at}/absent",
        "TLS": f"cipher:right@{at}/{database}",
        "no TLS": f"tocsin:right@{where}?ssl=require",
        "rights": f"poor:right@{where}",
        "closed": f"tocsin:right@127.0.0.1:1/{database}",
    }.items():
        found = await part(tmp_path, "store", "store", f"postgresql://{url}")
        assert found.up == (case == "right")
        assert "wrong" not in found.detail.replace("wrong version", "")
        said[case] = found.detail
    begin = f"store.url: PostgreSQL at {at} refused: "
    assert (
        said["password"]
        == f'{begin}password authentication failed for user "tocsin" (it answers: are user and password right?)'
    )
    assert said["database"] == f'{begin}database "absent" does not exist'
    assert said["TLS"].startswith(begin)
    assert "(it answers: does it want TLS (?ssl=require)" in said["TLS"]
    assert said["no TLS"].startswith(begin)
    assert said["no TLS"].endswith("(it answers, and speaks no TLS: ssl=disable behind the ?)")
    assert said["rights"].endswith("this user may make no tables there: the user has to own the database")
    assert said["closed"].startswith("store.url: PostgreSQL at 127.0.0.1:1 cannot be reached: nobody listens there")


@pytest.fixture
async def closed_redis(redis_server: RedisServer) -> RedisServer:
    """A server that wants a password."""
    assert await redis_server.command("ACL SETUSER poor on >right ~* +ping") == b"+OK\r\n"
    assert await redis_server.command("CONFIG SET requirepass right") == b"+OK\r\n"
    return redis_server


async def test_redis_that_refuses_says_why(
    closed_redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.queue.redis_streams.START_WAIT_S", 1.0)  # it is there or it is not
    at = f"127.0.0.1:{closed_redis.port}"
    refused = f"queue.url: Redis at {at} refused: "
    for url, up, told in (
        (f":right@{at}/0", True, "Redis answers"),
        (
            f":wrong@{at}/0",
            False,
            f"{refused}invalid username-password pair or user is disabled. (it answers: are user",
        ),
        (f"{at}/0", False, f"{refused}Authentication required. (it answers, and wants a password: "),
        (f"poor:right@{at}/0", False, f"{refused}this user has no permissions to"),
        (
            f":right@{at}/99",
            False,
            f"{refused}DB index is out of range (it answers, and has no database of this number)",
        ),
        ("127.0.0.1:1/0", False, "queue.url: Redis at 127.0.0.1:1 cannot be reached: nobody listens at 127.0.0.1:1."),
    ):
        found = await part(tmp_path, "queue", "queue", f"redis://{url}")
        assert (found.up, found.detail[: len(told)]) == (up, told)


@pytest.mark.parametrize("told", HINTS)
def test_what_a_server_says_gets_its_hint_and_never_the_password(told: str) -> None:
    for text in (
        store_refusal("postgresql://u:hunter2@h/d", OSError(told)),
        queue_refusal("redis://:hunter2@h/0", OSError(f"Redis refused: {told}")),
    ):
        assert text.endswith(f"refused: {told} ({HINTS[told]})")
        assert "hunter2" not in text


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with terminal_in(tmp_path, capsys) as one:
        yield one


def test_no_line_of_the_log_stands_in_the_report(terminal: Terminal) -> None:
    mail = 'name = "mail"\nchannel = "email"\nkind = "smtp"\nhost = "127.0.0.1"\nport = 1\nsender = "a@example.org"\ntls = "none"\n'
    terminal.config.write_text(f"{terminal.config.read_text()}[[providers]]\n{mail}")
    answer = terminal.run("check", "--connect")
    assert "FAILED  provider mail" in answer.out
    assert answer.err == "tocsin: 2 of 4 parts do not work: provider carrier, provider mail\n"
