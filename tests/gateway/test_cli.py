"""The command line without a server: options, errors, and administration on the store itself."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import click
import pytest

from channels.sms.smpp.behaviour import SmscBehaviour
from gateway.cli import installation as access
from gateway.cli.check import NOT_EXAMINED
from gateway.cli.root import COMMANDS, tocsin
from gateway.cli.simulate import SMSC_OPTIONS, mail_behaviour
from gateway.local_access import LocalAccess, path_beside
from gateway.simulate import by_number
from gateway.store.engine import SqliteStore
from ivr.phone import Behaviour
from tests.gateway.cli_desk import Terminal, terminal_in


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with terminal_in(tmp_path, capsys) as one:
        yield one


# --- usage -----------------------------------------------------------------------------------------------------------


def commands(
    group: click.Group = tocsin, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))


def test_every_command_takes_config_and_json() -> None:
    found = dict(commands())
    for words, command in found.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--config", "--json"} <= options, words
        assert command.help, words
    assert ("accounts", "topup") in found
    assert ("simulate", "smsc") in found
    assert len({words[0] for words in found}) == len(COMMANDS)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("ack",), "'alerts acknowledge'"),
        (("alerts", "ack"), "'acknowledge'"),
        (("Status",), "'providers status'"),
        (("alert",), "'alerts'"),
        (("simulate", "sms"), "'smsc'"),
        (("topup", "acme", "5"), "'accounts topup'"),
        (("acounts", "list"), "'accounts'"),
        (("zzz",), ""),
    ],
)
def test_a_command_that_is_not_there_names_the_one_that_may_be_meant(
    terminal: Terminal, words: tuple[str, ...], meant: str
) -> None:
    answer = terminal.run(*words, config=False)
    assert answer.status == 2
    assert answer.err.partition("\n")[0].endswith(f" Did you mean {meant}?" if meant else f"{words[-1]!r}.")


@pytest.mark.parametrize("named", ["33612345601", "+33612345601"])
@pytest.mark.parametrize("called", ["33612345601", "+33612345601"])
def test_a_simulated_phone_is_named_with_or_without_its_plus(named: str, called: str) -> None:
    busy, otherwise = Behaviour(status=486), Behaviour()
    does = by_number({named: busy}, otherwise)
    assert (does(called), does("33612345602")) == (busy, otherwise)


def test_the_help_of_every_group_says_whole_sentences(terminal: Terminal) -> None:
    groups = [words for words, command in commands() if isinstance(command, click.Group)]
    assert ("alerts",) in groups
    for words in ((), *groups):
        told = " ".join(terminal.run(*words, "--help").out.partition("Commands:")[2].split())
        assert "..." not in told, words
        assert told.count(".") >= len([one for one in commands() if one[0][:-1] == words]), words


def test_without_a_command_the_help_is_shown(terminal: Terminal) -> None:
    answer = terminal.run(config=False)
    assert answer.status == 2
    assert "serve" in answer.err
    assert terminal.run("--help").status == 0


@pytest.mark.parametrize(
    "words",
    [
        ("nope",),
        ("accounts", "nope"),
        ("accounts", "create"),
        ("accounts", "topup", "acme", "50.00"),
        ("keys", "create", "--role", "king"),
        ("serve", "--role", "some"),
        ("simulate", "smsc", "--reject-status", "many"),
        ("simulate", "mail", "--report-to", "here"),
        ("simulate", "mail", "--action", "ann@example.org=lost"),
        ("simulate", "mail", "--refuse", "ann"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(terminal: Terminal, words: tuple[str, ...]) -> None:
    answer = terminal.run(*words)
    assert answer.status == 2
    assert answer.err.startswith("tocsin: ")
    answer = terminal.run(*words, "--json")
    assert answer.status == 2
    assert answer.document["error"]


def test_json_and_config_stand_before_or_after(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    config = str(terminal.config)
    for words in (
        ["--config", config, "--json", "accounts", "list"],
        ["accounts", "--json", "list", "--config", config],
        ["accounts", "--config", "absent.toml", "list", "--config", config, "--json"],
    ):
        answer = terminal.run(*words, config=False)
        assert (answer.status, answer.document) == (0, {"items": []}), words
    monkeypatch.setenv("TOCSIN_CONFIG", config)
    assert terminal.run("accounts", "list", config=False).status == 0
    monkeypatch.setenv("TOCSIN_CONFIG", "absent.toml")
    assert terminal.run("accounts", "list").status == 0


# --- the settings file -----------------------------------------------------------------------------------------------


def test_without_a_settings_file_the_way_to_one_is_told(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(terminal.folder)
    terminal.config.unlink()
    answer = terminal.run("accounts", "list", config=False)
    assert answer.status == 3
    assert answer.err == (
        "tocsin: tocsin.toml: there is no such file here: name one with --config, or begin with `tocsin demo`\n"
    )
    answer = terminal.run("accounts", "list")
    assert answer.status == 3
    assert "cannot be read: No such file" in answer.err


def test_a_wrong_settings_file_is_told_line_by_line(terminal: Terminal) -> None:
    terminal.config.write_text('[http]\nlisten = 5\n[stor]\nurl = "x"\n')
    for command in (["serve"], ["check"], ["accounts", "list"], ["migrate"]):
        answer = terminal.run(*command)
        assert answer.status == 3
        assert [line.removeprefix(f"tocsin: {terminal.config}:")[:2] for line in answer.err.splitlines()] == [
            "2:",
            "3:",
        ]
    problems = terminal.run("check", "--json").document["problems"]
    assert [(one["line"], one["key"]) for one in problems] == [(2, "http.listen"), (3, "stor")]


@pytest.mark.parametrize("command", ["serve", "check"])
def test_an_address_that_two_people_have_is_refused(terminal: Terminal, command: str) -> None:
    person = '[[people]]\nname = "{}"\naddresses = ["{}"]\n'
    people = person.format("Ada Roux", "sms:+33612345678") + person.format("Bob Brun", "sms:+33 6 12 34 56 78")
    terminal.config.write_text(terminal.config.read_text() + people)
    answer = terminal.run(command)
    assert answer.status == 3
    assert (
        "people[1].addresses[0]: Bob Brun has the address sms:+33 6 12 34 56 78, and people[0], Ada Roux, has it already"
        in answer.err
    )


def test_check_says_what_there_is_and_warns(terminal: Terminal) -> None:
    answer = terminal.run("check")
    assert answer.status == 0
    assert answer.out == f"{terminal.config}: 1 provider, 0 routes, 0 rules\n{NOT_EXAMINED}\n"
    assert answer.err == ""
    terminal.config.write_text('[http]\nlisten = "127.0.0.1:0"\n')  # check examines it: the default one may be taken
    answer = terminal.run("check")
    assert answer.status == 0
    assert "WARNING: no [last_resort] recipients" in answer.err
    assert len(terminal.json("check")["warnings"]) == 2


def test_check_connect_finds_the_dead_provider_and_sends_nothing(terminal: Terminal) -> None:
    answer = terminal.run("check", "--connect")
    assert answer.status == 1
    assert answer.err == "tocsin: 1 of 3 parts does not work: provider carrier\n"
    told = "FAILED  provider carrier  bind to 127.0.0.1:1 as user: nobody listens at 127.0.0.1:1\n"
    assert told in answer.out
    assert "ok      store" in answer.out
    assert not terminal.database.exists()
    document = terminal.run("check", "--connect", "--json").document
    assert {one["part"]: one["up"] for one in document["connections"]} == {
        "store": True,
        "queue": True,
        "provider carrier": False,
    }


def test_check_connect_finds_a_missing_folder(terminal: Terminal) -> None:
    text = terminal.config.read_text().replace("/tocsin.db", "/absent/tocsin.db")
    terminal.config.write_text(text)
    for command in (["check"], ["check", "--connect"], ["serve"]):
        answer = terminal.run(*command)
        assert answer.status == 3
        assert ":2: store.url: the folder" in answer.err
        assert "does not exist" in answer.err
    answer = terminal.run("migrate")
    assert answer.status == 1
    assert "does not exist" in answer.err


# --- accounts, keys, tariffs, the ledger -----------------------------------------------------------------------------


def test_an_account_from_its_creation_to_its_entries(terminal: Terminal) -> None:
    created = terminal.json("accounts", "create", "acme", "--currency", "EUR")
    assert created["id"] == "acme"
    assert (created["currency"], created["balance"], created["held"]) == ("EUR", "0.00", "0.00")
    for told in ("booked", "was booked before, nothing moved"):  # the same reference counts once
        answer = terminal.run("accounts", "topup", "acme", "50.00", "--reference", "INV-1")
        assert answer.out == f"account acme: 50.00 by INV-1 {told} (entry 1), balance 50.00 EUR\n"
    assert terminal.json("accounts", "show", "acme")["balance"] == "50.00"
    assert [one["id"] for one in terminal.json("accounts", "list")["items"]] == ["acme"]
    entries = terminal.json("accounts", "entries", "acme")["items"]
    assert [(one["kind"], one["amount"], one["cause"]["id"]) for one in entries] == [("topup", "50.00", "INV-1")]
    heading, _, line = terminal.run("accounts", "entries", "acme").out.splitlines()
    assert heading == "account acme, amounts in EUR"
    assert line.split()[0] == "1"
    assert line.split()[4:] == ["topup", "+50.00", "50.00", "0.00", "topup", "INV-1"]
    assert terminal.json("accounts", "entries", "acme", "--to", "2020-01-01")["items"] == []
    assert "nothing moved on this account then" in terminal.run("accounts", "entries", "acme", "--to", "2020-01-01").out
    assert terminal.run("accounts", "set", "acme", "--name", "Acme Foods", "--floor", "-20.00").out == (
        "account acme: name Acme Foods, floor -20.00 EUR\n"
    )
    assert terminal.json("accounts", "set", "acme", "--no-floor")["floor"] is None
    assert terminal.json("accounts", "show", "acme")["name"] == "Acme Foods"
    terminal.run("accounts", "set", "acme", "--name", "acme")
    assert "50.00 EUR" in terminal.run("accounts", "show", "acme").out
    assert terminal.run("accounts", "list").out.splitlines()[1].split() == ["acme", "50.00", "0.00", "EUR", "acme"]


def test_lists_go_on_beyond_a_page(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.administration.PAGE_MAX", 2)
    for name in "abcde":
        terminal.json("accounts", "create", name)
    assert [one["id"] for one in terminal.json("accounts", "list")["items"]] == list("abcde")
    for n in range(5):
        terminal.json("accounts", "topup", "a", "1.00", "--reference", f"R{n}")
    latest = terminal.json("accounts", "entries", "a", "--limit", "3")["items"]
    assert [one["cause"]["id"] for one in latest] == ["R4", "R3", "R2"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("accounts", "create", "acme"), "there is an account acme already"),
        (("accounts", "create", "a b"), "ID: expected 1 to 64 letters"),
        (("accounts", "create", "b", "--currency", "euro"), "--currency: expected three upper-case letters"),
        (("accounts", "topup", "acme", "60.00", "--reference", "INV-1"), "INV-1 was a top-up of 50.00, not 60.00"),
        (("accounts", "topup", "acme", "5e1", "--reference", "INV-2"), "AMOUNT: expected a decimal number"),
        (
            ("accounts", "topup", "acme", "50.123", "--reference", "INV-2"),
            "AMOUNT: expected decimals as EUR has them (at most 2)",
        ),
        (("accounts", "set", "acme", "--floor", "20"), "--floor: expected 0, or a negative decimal number"),
        (("accounts", "set", "nobody", "--name", "x"), "there is no account nobody"),
        (
            ("tariffs", "set", "--channel", "sms", "--prefix", "33", "--price", "0.045"),
            '--prefix: expected "+" and a country code, say',
        ),
        (("tariffs", "set", "--channel", "fax", "--price", "0.045"), "--channel: expected a channel that is there"),
        (("tariffs", "remove", "--channel", "sms", "--prefix", "+33"), "there is no tariff for sms:+33"),
        (("accounts", "topup", "nobody", "5", "--reference", "INV-2"), "there is no account nobody"),
        (("accounts", "show", "nobody"), "there is no account nobody"),
        (("accounts", "show", "Acne"), "there is no account Acne, did you mean acme?"),
        (("accounts", "entries", "nobody"), "there is no account nobody"),
        (("keys", "create", "--role", "submitter"), "--account: expected the account of a key with the role submitter"),
        (("keys", "create", "--role", "submitter", "--account", "nobody"), "there is no account nobody"),
        (("keys", "revoke", "key_1"), "there is no key key_1"),
        (("tariffs", "set", "--channel", "sms", "--price", "-1"), "--price: expected a decimal number"),
        (("tariffs", "set", "--channel", "", "--price", "1"), "--channel: expected 1 to 64 letters"),
        (("send", "--to", "sms:+33612345678", "--text", "Hi"), "no server runs on"),
        (("send", "--to", "sms:1", "--text", "x", "--url", "ftp://x", "--key", "k"), "--url: expected a URL"),
        (("serve", "--role", "worker"), "--role worker needs PostgreSQL"),
        (
            ("providers", "test", "nobody", "--to", "+33612345678"),
            "there is no provider nobody, expected one of carrier",
        ),
        (("providers", "test", "carrier", "--to", "112"), "--to: "),
        (("providers", "test", "carrier", "--to", "nonsense"), "--to: "),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_1(terminal: Terminal, words: tuple[str, ...], told: str) -> None:
    terminal.json("accounts", "create", "acme")
    terminal.json("accounts", "topup", "acme", "50.00", "--reference", "INV-1")
    answer = terminal.run(*words)
    assert answer.status == 1
    assert answer.err.startswith(f"tocsin: {told}")
    assert answer.err.count("\n") == 1
    answer = terminal.run(*words, "--json")
    assert answer.status == 1
    assert told in answer.document["error"]


def test_keys_are_shown_once_and_can_be_revoked(terminal: Terminal) -> None:
    terminal.json("accounts", "create", "acme")
    key = terminal.json("keys", "create", "--account", "acme", "--role", "submitter", "--label", "monitoring")
    assert key["key"].startswith("tok_")
    listed = terminal.json("keys", "list")["items"]
    assert [(one["id"], one["label"], one["revoked_at"]) for one in listed] == [(key["id"], "monitoring", None)]
    assert key["key"] not in terminal.run("keys", "list").out
    assert terminal.json("keys", "list", "--account", "other")["items"] == []
    assert terminal.run("keys", "revoke", key["id"]).out == f"{key['id']} revoked\n"
    assert terminal.json("keys", "list")["items"] == []
    assert terminal.json("keys", "list", "--all")["items"][0]["revoked_at"]
    assert terminal.run("keys", "create", "--role", "auditor").out.splitlines()[1].startswith("tok_")


def test_a_changed_tariff_is_a_new_version(terminal: Terminal) -> None:
    words = ("tariffs", "set", "--channel", "sms", "--prefix", "+33", "--price")
    assert terminal.run(*words, "0.045").out == "sms:+33 costs 0.045 a unit (version 1)\n"
    assert terminal.json(*words, "0.045")["version"] == 1
    assert terminal.json(*words, "0.05", "--charged-on", "delivered", "--unknown-end", "release")["version"] == 2
    assert terminal.json("tariffs", "list")["items"] == [
        {
            "channel": "sms",
            "prefix": "+33",
            "price": "0.05",
            "charged_on": "delivered",
            "unknown_end": "release",
            "version": 2,
        }
    ]


def test_a_mistyped_top_up_is_taken_back(terminal: Terminal) -> None:
    terminal.json("accounts", "create", "acme")
    terminal.json("accounts", "topup", "acme", "500", "--reference", "INV-1")
    entry = str(terminal.json("accounts", "entries", "acme")["items"][0]["id"])
    words = ["accounts", "reverse", "acme", entry, "--reason", "typed 500 for 50"]
    for done in ("reversed", "was reversed before, nothing moved"):
        assert terminal.run(*words).out == f"account acme: top-up {entry} {done} (entry 2), balance 0.00 EUR\n"
    refused = terminal.run(*words[:-1], "another reason")
    assert (refused.status, refused.err) == (1, f"tocsin: entry {entry} was reversed before, by entry 2\n")
    assert "use another reference" in terminal.run("accounts", "topup", "acme", "500", "--reference", "INV-1").err
    assert [one["kind"] for one in terminal.json("accounts", "entries", "acme")["items"]] == ["reversal", "topup"]
    for words in (["reverse", "acme", "-5", "--reason", "x"], ["topup", "acme", "-50.00", "--reference", "x"]):
        refused = terminal.run("accounts", *words)
        assert (refused.status, f"no number below zero is taken here: {words[2]}" in refused.err) == (2, True)
    refused = terminal.run("accounts", "refund", "acme", entry, "--reason", "x")
    assert (refused.status, "only a capture can be refunded" in refused.err) == (1, True)
    span = ["--from", "2026-11-30", "--to", "2026-11-29"]
    assert "'--to': expected a time after that of --from" in terminal.run("accounts", "entries", "acme", *span).err
    assert terminal.json("ledger", "verify")["ok"]


def test_ledger_verify_names_what_does_not_add_up(terminal: Terminal) -> None:
    terminal.json("accounts", "create", "acme")
    terminal.json("accounts", "topup", "acme", "50.00", "--reference", "INV-1")
    beside = sorted(terminal.folder.iterdir())
    assert terminal.run("ledger", "verify").out == "the ledger adds up\n"
    assert sorted(terminal.folder.iterdir()) == beside
    with sqlite3.connect(terminal.database) as forger:
        guard = forger.execute("select sql from sqlite_master where name = 'balances_follow_entries'").fetchone()[0]
        forger.execute("drop trigger balances_follow_entries")
        forger.execute("update balances set amount_micros = 99000000 where name = 'prepaid:acme'")
        forger.execute(guard)
    forger.close()
    answer = terminal.run("ledger", "verify")
    assert answer.status == 1
    assert "prepaid:acme: stands at 99.00, its entries sum to 50.00" in answer.err
    assert answer.err.count("what to do: entries are the truth") == 1
    answer = terminal.run("ledger", "verify", "--json")
    assert (answer.status, answer.document["ok"]) == (1, False)
    assert [(one["kind"], one["row"]) for one in answer.document["problems"]] == [
        ("balance", "account acme"),
        ("balance", "prepaid:acme"),
    ]


def test_ledger_verify_of_what_is_no_ledger(terminal: Terminal) -> None:
    """A status of its own where nothing can be told, and nothing is made."""
    answer = terminal.run("ledger", "verify")
    assert (answer.status, "could not be verified" in answer.err, terminal.database.exists()) == (6, True, False)
    terminal.database.write_bytes(b"")
    answer = terminal.run("ledger", "verify")
    assert (answer.status, "the file is empty" in answer.err) == (1, True)
    terminal.database.write_bytes(b"SQLite format 3\x00" + b"\xa5" * 9_000)
    answer = terminal.run("ledger", "verify")
    assert (answer.status, "what to do: stop Tocsin" in answer.err) == (1, True)


def test_migrate_makes_the_database(terminal: Terminal) -> None:
    assert terminal.json("migrate") == {"migrated": True}
    assert terminal.database.exists()


@pytest.mark.parametrize(("version", "told"), [("0008", "forward, for good"), ("9999", "start the newer program")])
def test_only_a_start_and_migrate_change_the_tables_of_another_version(
    terminal: Terminal, version: str, told: str
) -> None:
    terminal.json("migrate")
    with closing(sqlite3.connect(terminal.database)) as hand, hand:
        hand.execute("update alembic_version set version_num = ?", (version,))
    commands = [("accounts", "list"), ("accounts", "create", "acme"), ("keys", "list"), ("tariffs", "list")]
    if version == "9999":
        commands += [("migrate",), ("serve",)]
        probed = terminal.run("check", "--connect")
        assert (probed.status, told in probed.out + probed.err) == (1, True)
    for words in commands:
        answer = terminal.run(*words)
        assert (answer.status, told in answer.err) == (3, True), (words, answer)
    with closing(sqlite3.connect(terminal.database)) as hand:
        assert hand.execute("select version_num from alembic_version").fetchall() == [(version,)]


# --- who owns the database -------------------------------------------------------------------------------------------


def test_a_database_in_use_by_somebody_silent_is_told(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LOCK_WAIT_S", 0.2)
    terminal.json("migrate")
    store = SqliteStore(str(terminal.database))
    store.lock()
    try:
        answer = terminal.run("accounts", "list")
    finally:
        asyncio.run(store.close())
    assert answer.status == 1
    assert "is in use by a running tocsin" in answer.err
    assert terminal.run("accounts", "list").status == 0


def test_word_left_by_a_dead_server_is_not_believed(terminal: Terminal) -> None:
    path = path_beside(f"sqlite:///{terminal.database}")
    assert path is not None
    for access_file in (
        json.dumps({"url": "http://127.0.0.1:1", "token": "tok_x", "pid": 2**22 + 1}),
        json.dumps({"url": "http://127.0.0.1:1", "token": "tok_x", "pid": os.getpid()}),
        "{}",
        "\x00",
    ):
        path.write_text(access_file)
        assert terminal.run("accounts", "list").status == 0


def test_the_access_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "tocsin.db.admin"
    ours = LocalAccess(url="http://127.0.0.1:8080", token="tok_1", pid=os.getpid())
    ours.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    newer = LocalAccess(url="http://127.0.0.1:8081", token="tok_2", pid=os.getpid())
    newer.write(path)
    ours.remove(path)  # somebody else's by now
    assert path.exists()
    newer.remove(path)
    assert not path.exists()


# --- simulators ------------------------------------------------------------------------------------------------------


def test_every_setting_of_the_simulated_smsc_is_an_option() -> None:
    assert list(SMSC_OPTIONS) == [each.name for each in fields(SmscBehaviour)]


def test_the_options_of_the_simulated_mail_server_become_its_behaviour() -> None:
    behaviour = mail_behaviour(
        dsn=True,
        report_to="127.0.0.1:2526",
        action=("ann@example.org=delayed,delivered",),
        default_action="failed",
        refuse=("bob@example.org=550 5.1.1 No",),
        drop=None,
        greylist=True,
    )
    assert behaviour.report_to == ("127.0.0.1", 2526)
    assert behaviour.actions == {"ann@example.org": ("delayed", "delivered")}
    assert behaviour.default_actions == ("failed",)
    assert behaviour.refuse == {"bob@example.org": "550 5.1.1 No"}
    assert behaviour.greylist


# --- what the documentation says -------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]


def test_every_command_and_option_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text()
    for words, command in commands():
        assert f"## {words[0]}\n" in page
        assert words[-1] in page
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert any(option in page for option in parameter.opts), (words, parameter.name)
