"""The command line beside a running server, and the programs it starts: real processes, real sockets, real signals."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.local_access import LABEL, LocalAccess, read
from tests.gateway.cli_desk import Terminal, terminal_in
from tests.peers.ports import free_port
from tests.peers.processes import ChildProcess, find_binary
from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually_sync

PHONE = "sms:+33612345678"


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with terminal_in(tmp_path, capsys) as one:
        yield one


@pytest.fixture
def smsc(terminal: Terminal) -> Iterator[int]:
    """A simulated SMSC; its port, which is in the settings from now on."""
    with terminal.smsc() as one:
        port = int(one.matched_line[1])
        terminal.write_settings(smsc=port)
        yield port


@pytest.fixture
def server(terminal: Terminal, smsc: int) -> Iterator[ChildProcess]:
    assert smsc
    with terminal.server() as one:
        yield one


def access_file(terminal: Terminal) -> Path:
    return terminal.folder / "tocsin.db.admin"


def test_commands_go_through_the_running_server(terminal: Terminal, server: ChildProcess) -> None:
    assert terminal.json("accounts", "create", "acme", "--currency", "EUR")["balance"] == "0.00"
    assert terminal.run("accounts", "create", "acme").status == 1
    assert terminal.json("accounts", "topup", "acme", "50.00", "--reference", "INV-1")["balance"] == "50.00"
    assert terminal.json("tariffs", "set", "--channel", "sms", "--prefix", "+33", "--price", "0.045")["version"] == 1
    assert [one["price"] for one in terminal.json("tariffs", "list")["items"]] == ["0.045"]
    key = terminal.json("keys", "create", "--account", "acme", "--role", "submitter")
    assert terminal.json("keys", "create", "--role", "auditor", "--label", "books")["account"] is None
    assert {one["label"] for one in terminal.json("keys", "list")["items"]} == {"", "books", LABEL}
    assert terminal.json("accounts", "list")["items"][0]["id"] == "acme"

    sent = terminal.json("send", "--to", PHONE, "--text", "Hello", "--priority", "normal", "--idempotency-key", "1")
    again = terminal.json("send", "--to", PHONE, "--text", "Hello", "--account", "acme", "--idempotency-key", "1")
    assert (sent["id"], sent["deliveries"][0]["address"]) == (again["id"], PHONE)
    whose = ["--url", read_access(terminal).url, "--key", key["key"]]
    assert terminal.run("send", "--to", PHONE, "--text", "Hi", *whose).out.startswith("alt_")
    assert "nothing was sent" in terminal.run("send", "--to", PHONE, "--text", "Hi", "--dry-run").out
    eventually_sync(lambda: terminal.json("accounts", "show", "acme")["held"] == "0.00", what="everything settled")
    assert terminal.json("accounts", "show", "acme")["balance"] == "49.91"
    kinds = [one["kind"] for one in terminal.json("accounts", "entries", "acme")["items"]]
    assert sorted(kinds) == ["capture", "capture", "hold", "hold", "topup"]
    assert terminal.json("ledger", "verify") == {"ok": True, "problems": []}

    assert terminal.json("keys", "revoke", key["id"])["revoked_at"]
    refused = terminal.run("send", "--to", PHONE, "--text", "Hi", *whose)
    assert (refused.status, "revoked" in refused.err) == (1, True)
    assert server.running


def read_access(terminal: Terminal) -> LocalAccess:
    found = read(access_file(terminal))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("accounts", "show", "nobody"), "there is no account nobody"),
        (("accounts", "topup", "nobody", "5.00", "--reference", "R"), "there is no"),
        (("accounts", "create", "a b"), "ID: expected"),
        (("tariffs", "set", "--channel", "sms", "--price", "x"), "--price: expected"),
        (("send", "--to", PHONE, "--text", "Hi"), "there is no account yet"),
        (("send", "--to", PHONE, "--text", "Hi", "--account", "nobody"), "--account: there is no account nobody"),
        (("providers", "test", "carrier", "--to", "+33899123456"), "--to: "),
    ],
)
def test_what_the_server_refuses_is_one_line(
    terminal: Terminal, server: ChildProcess, words: tuple[str, ...], told: str
) -> None:
    answer = terminal.run(*words)
    assert answer.status == 1
    assert told in answer.err
    assert answer.err.count("\n") == 1
    assert terminal.run(*words, "--json").document["error"]
    assert server.running


def test_a_second_server_is_refused(terminal: Terminal, server: ChildProcess) -> None:
    answer = terminal.run("serve")
    assert answer.status == 1
    assert answer.err.splitlines()[-1] == f"tocsin: {terminal.database} is in use by a running tocsin"
    assert terminal.run("migrate").err == answer.err.splitlines()[-1] + "\n"
    assert server.running


def test_a_port_in_use_is_told(terminal: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        terminal.write_settings(port=port)
        answer = terminal.run("serve")
        assert terminal.run("check") == answer
    assert answer.status == 1
    where = f"tocsin: {terminal.config}:4: http.listen: cannot listen at 127.0.0.1:{port}: taken by "
    assert answer.err.startswith(where)
    assert answer.err.endswith(f"(process {os.getpid()}); end that, or take another port\n")


@pytest.mark.parametrize(("what", "kind"), [("smsc", "STREAM"), ("mail", "STREAM"), ("phone", "DGRAM")])
def test_a_simulator_whose_port_is_taken_says_by_whom_and_what_to_do(terminal: Terminal, what: str, kind: str) -> None:
    with socket.socket(socket.AF_INET, getattr(socket, f"SOCK_{kind}")) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == "STREAM":
            taken.listen()
        port = taken.getsockname()[1]
        answer = terminal.run("simulate", what, "--port", str(port), config=False)
    assert answer.status == 1
    assert answer.err.startswith(f"tocsin: cannot listen at 127.0.0.1:{port}: taken by ")
    assert f"(process {os.getpid()}). End that, or take another port with --port" in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("where", "told"),
    [("nowhere/call.wav", "there is no folder nowhere"), ("call.wav", "call.wav is there, and is no file")],
)
def test_a_recording_that_could_not_be_written_is_refused_at_once(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, where: str, told: str
) -> None:
    monkeypatch.chdir(terminal.folder)
    (terminal.folder / "call-2.wav").mkdir()
    answer = terminal.run("simulate", "phone", "--port", "0", "--record", where, config=False)
    assert (answer.status, answer.err) == (1, f"tocsin: --record: {told.replace('call.wav', 'call-2.wav')}\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_ends_in_order(terminal: Terminal, smsc: int, number: signal.Signals) -> None:
    terminal.write_settings(smsc=smsc, port=free_port())
    with terminal.server() as server:
        granted = read_access(terminal)
        assert (granted.pid, access_file(terminal).stat().st_mode & 0o777) == (server.pid, 0o600)
        server.send_signal(number)
        assert server.wait(20) == 0
        assert "Traceback" not in server.output
    assert not access_file(terminal).exists()
    ours = [one for one in terminal.json("keys", "list", "--all")["items"] if one["label"] == LABEL]
    assert [bool(one["revoked_at"]) for one in ours] == [True]
    with terminal.server():  # and it starts again, with a new key
        assert read_access(terminal).token_digest != granted.token_digest
        refused = terminal.run(
            "send", "--to", PHONE, "--text", "Hi", "--url", read_access(terminal).url, "--key", granted.token
        )
        assert refused.status == 1


def test_after_a_kill_commands_work_on_the_store_again(terminal: Terminal, server: ChildProcess) -> None:
    terminal.json("accounts", "create", "acme")
    server.kill()
    assert access_file(terminal).exists()
    assert terminal.json("accounts", "show", "acme")["id"] == "acme"


# --- providers -------------------------------------------------------------------------------------------------------


def test_a_provider_is_tried_with_one_real_message(terminal: Terminal, smsc: int) -> None:
    assert smsc
    assert "ok      provider carrier" in terminal.run("check", "--connect").out
    document = terminal.json("providers", "test", "carrier", "--to", PHONE, "--text", "Grüße €")
    assert (document["ok"], document["outcome"], document["address"]) == (True, "accepted", PHONE)
    assert [one["result"] for one in document["receipts"]] == ["delivered"]
    assert "receipt: delivered (delivered)" in terminal.run("providers", "test", "carrier", "--to", "+33612345678").out
    long = terminal.json("providers", "test", "carrier", "--to", PHONE, "--text", "x" * 400)
    assert (len(long["provider_message_ids"]), len(long["receipts"])) == (3, 3)


def test_a_trial_knows_its_receipt_in_whatever_form_the_provider_spells_the_id(
    terminal: Terminal, start_smsc: Callable[..., NodeSmsc]
) -> None:
    for answer, receipt in (("dec0", "dec"), ("HEX0", "dec"), ("hex", "HEX")):
        terminal.write_settings(smsc=start_smsc(answer_form=answer, receipt_form=receipt).port)
        document = terminal.json("providers", "test", "carrier", "--to", PHONE)
        assert [one["result"] for one in document["receipts"]] == ["delivered"]


def test_a_provider_is_tried_over_the_running_server(terminal: Terminal, server: ChildProcess) -> None:
    document = terminal.json("providers", "test", "carrier", "--to", PHONE)
    assert (document["ok"], len(document["provider_message_ids"]), document["receipts"]) == (True, 1, [])
    assert server.running


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--reject-per-mille", "1000", "--reject-status", "0x0b"), "carrier did not deliver: failed"),
        (("--undelivered-per-mille", "1000"), "carrier did not deliver: accepted (undeliverable)"),
        (("--password", "other"), "carrier did not deliver: retry_later (link_down)"),
    ],
)
def test_a_provider_that_does_not_work_is_status_1(terminal: Terminal, options: tuple[str, ...], told: str) -> None:
    with terminal.smsc(*options) as smsc:
        terminal.write_settings(smsc=int(smsc.matched_line[1]))
        answer = terminal.run("providers", "test", "carrier", "--to", PHONE)
    assert answer.status == 1
    assert told in answer.err
    assert answer.err.splitlines()[-1].startswith("tocsin: ")


def test_the_simulators_tell_what_they_got_and_end_on_a_signal(terminal: Terminal) -> None:
    mail = terminal.child(
        "simulate", "mail", "--port", "0", ready_line=r"at 127\.0\.0\.1:(\d+): nothing leaves this machine"
    )
    smsc = terminal.smsc()
    with mail, smsc:
        terminal.write_settings(smsc=int(smsc.matched_line[1]))
        with terminal.config.open("a") as settings:
            settings.write(
                '[[providers]]\nname = "mail"\nchannel = "email"\nkind = "smtp"\nhost = "127.0.0.1"\n'
                f'port = {mail.matched_line[1]}\nsender = "tocsin@example.org"\n'
            )
        assert terminal.run("providers", "test", "mail", "--to", "ann@example.org").status == 0
        assert terminal.run("providers", "test", "carrier", "--to", PHONE, "--text", "Hello").status == 0
        eventually_sync(lambda: "mail tocsin@example.org -> ann@example.org: Test of mail" in mail.output)
        eventually_sync(lambda: '"text": "Hello"' in smsc.output)
        for simulator in (mail, smsc):
            simulator.send_signal(signal.SIGTERM)
            assert simulator.wait(10) == 0
    assert "Traceback" not in mail.output + smsc.output


# --- the ledger beside the server ------------------------------------------------------------------------------------

REFUND = """
insert into entries (account_id, kind, cause_type, cause_id, debit, credit, amount_micros, reverses, at)
values ('acme', 'refund', 'refund', 'by hand', 'revenue:acme', 'prepaid:acme', 2 * {amount}, {capture}, 1)
"""


def test_case_7_3_ledger_verify_names_damages_beside_the_server(terminal: Terminal, smsc: int) -> None:
    """While the server runs, a hand writes into its database: what the guards refuse is not there, and what got by them is named."""
    terminal.write_settings(smsc=smsc, port=free_port())
    with terminal.server():
        terminal.json("accounts", "create", "acme")
        terminal.json("accounts", "topup", "acme", "1.00", "--reference", "INV-1")
        terminal.json("tariffs", "set", "--channel", "sms", "--price", "0.045")
        for _ in range(3):
            terminal.json("send", "--to", PHONE, "--text", "Hi", "--account", "acme")
        eventually_sync(lambda: terminal.json("accounts", "show", "acme")["held"] == "0.00", what="everything settled")
        listed = terminal.json("accounts", "entries", "acme")["items"]
        capture, other, _ = [one["id"] for one in listed if one["kind"] == "capture"]
        give_back = ["accounts", "refund", "acme", str(other), "--reason", "never arrived"]
        told = terminal.run(*give_back).out
        assert told.startswith(f"account acme: capture {other} refunded (entry ")
        statement = REFUND.format(capture=capture, amount=45_000)
        hand = sqlite3.connect(terminal.database, timeout=30)
        with pytest.raises(sqlite3.IntegrityError, match="a refund gives back one capture of its account, whole"):
            hand.execute(statement)
        hand.rollback()
        assert terminal.json("ledger", "verify")["ok"]
        guard = hand.execute("select sql from sqlite_master where name = 'entries_have_causes'").fetchone()[0]
        with hand:
            hand.execute("drop trigger entries_have_causes")
            hand.execute(statement)
            hand.execute(guard)
        hand.close()
        answer = terminal.run("ledger", "verify")
        assert answer.status == 1
        assert f"a refund of 0.09 takes entry {capture} back, which is a capture of 0.045" in answer.err
        assert "what to do: the account has more or less than it paid for" in answer.err
    assert f"capture {other} was refunded before, nothing moved (entry " in terminal.run(*give_back).out


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def test_on_postgresql_commands_work_on_the_store_beside_the_server(
    terminal: Terminal, smsc: int, postgresql_url: str
) -> None:
    port = free_port()
    terminal.write_settings(smsc=smsc, port=port)
    text = terminal.config.read_text().replace(f"sqlite:///{terminal.database}", postgresql_url)
    terminal.config.write_text(text)
    assert "ok      store             PostgreSQL answers" in terminal.run("check", "--connect").out
    assert "--role api needs Redis" in terminal.run("serve", "--role", "api").err
    terminal.json("migrate")
    with terminal.server():
        terminal.json("accounts", "create", "acme")
        terminal.json("accounts", "topup", "acme", "1.00", "--reference", "INV-1")
        assert terminal.json("send", "--to", PHONE, "--text", "Hi")["id"].startswith("alt_")
        assert terminal.json("ledger", "verify")["ok"]
    assert [one["label"] for one in terminal.json("keys", "list", "--all")["items"]] == [LABEL]
    assert terminal.json("keys", "list")["items"] == []


def test_the_two_roles_work_as_two_processes(terminal: Terminal, smsc: int, postgresql_url: str) -> None:
    redis_port = free_port()
    redis = ChildProcess(
        [find_binary("redis-server", "redis-server"), "--port", str(redis_port), "--bind", "127.0.0.1", "--save", ""],
        cwd=terminal.folder,
        ready_port=redis_port,
    )

    def settings_with(port: int, name: str) -> Path:
        terminal.write_settings(smsc=smsc, port=port)
        text = terminal.config.read_text().replace(f"sqlite:///{terminal.database}", postgresql_url)
        path = terminal.folder / name
        path.write_text(text + f'[queue]\nurl = "redis://127.0.0.1:{redis_port}/0"\n')
        terminal.config.write_text(path.read_text())
        return path

    def serving(role: str, path: Path) -> ChildProcess:
        return terminal.child("serve", "--role", role, "--config", str(path), "--json", ready_line='"ready": true')

    worker = settings_with(free_port(), "worker.toml")
    api = settings_with(free_port(), "api.toml")  # commands use this one from now on
    terminal.json("migrate")
    with redis, serving("api", api) as taking, serving("worker", worker) as sending:
        assert "ok      queue             Redis answers" in terminal.run("check", "--connect").out
        terminal.json("accounts", "create", "acme")
        terminal.json("accounts", "topup", "acme", "1.00", "--reference", "INV-1")
        terminal.json("tariffs", "set", "--channel", "sms", "--price", "0.045")
        sent = terminal.json("send", "--to", PHONE, "--text", "Hi")
        assert sent["deliveries"][0]["state"] in ("queued", "sending")
        eventually_sync(lambda: "smpp_link_bound" in sending.output)
        eventually_sync(lambda: terminal.json("accounts", "show", "acme")["held"] == "0.00", what="it is settled")
        assert "smpp_link_bound" not in taking.output
        for process in (taking, sending):
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0
