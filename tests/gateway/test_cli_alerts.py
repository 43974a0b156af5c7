"""Being on call with the command line alone: one server, and every command that says or shows something about an alert."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.provider_status import links_shown
from tests.gateway.cli_desk import TOCSIN, Answer, Terminal, terminal_in
from tests.peers.ports import free_port
from tests.peers.processes import ChildProcess
from tests.peers.waiting import eventually_sync

pytestmark = pytest.mark.xdist_group("cli_alerts")  # one server for all of them

PHONE, OTHER = "sms:+33612345678", "sms:+33612345679"


@dataclass(kw_only=True)
class Installed:
    """A folder with a server that runs, and its first account."""

    folder: Path
    server: ChildProcess
    url: str
    smsc: ChildProcess


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("on-call")
    simulator = ChildProcess(
        [TOCSIN, "simulate", "smsc", "--port", "0", "--json"], name="smsc", cwd=folder, ready_line=r'"port": (\d+)'
    )
    with simulator:
        port = free_port()
        terminal = Terminal(folder=folder, _capsys=None)  # type: ignore[arg-type] # it runs nothing here
        terminal.write_settings(port=port, smsc=int(simulator.matched_line[1]))
        with terminal.config.open("a") as settings:
            settings.write('[messages]\nlanguage = "fr"\ntime_zone = "Asia/Kolkata"\n')
        with terminal.server() as server:
            yield Installed(folder=folder, server=server, url=f"http://127.0.0.1:{port}", smsc=simulator)


@pytest.fixture
def terminal(installed: Installed, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with terminal_in(installed.folder, capsys, fresh=False) as one:
        if not one.json("accounts", "list")["items"]:
            one.json("accounts", "create", "acme")
            one.json("accounts", "topup", "acme", "50.00", "--reference", "INV-1")
            one.json("tariffs", "set", "--channel", "sms", "--price", "0.045")
        yield one


def send(terminal: Terminal, *words: str, to: str = PHONE, text: str = "Pump 3 stopped") -> str:
    """Sends an alert that asks for an acknowledgement; its id."""
    document = terminal.json("send", "--to", to, "--text", text, "--priority", "high", *words)
    return str(document["id"])


def delivered(terminal: Terminal, alert_id: str) -> None:
    def so() -> bool:
        shown = terminal.json("alerts", "show", alert_id)["deliveries"]
        return [one["state"] for one in shown] == ["delivered"] and shown[0]["settled_at"] is not None

    eventually_sync(so, what=f"{alert_id} is delivered")


def watching(installed: Installed, *words: str, ready_line: str) -> ChildProcess:
    """A command that watches, as a process of its own, ready once it has told this."""
    config = ["--config", str(installed.folder / "tocsin.toml")]
    return ChildProcess([TOCSIN, *words, *config], name="tocsin", cwd=installed.folder, ready_line=ready_line)


# --- seeing ----------------------------------------------------------------------------------------------------------


def test_alerts_are_listed_by_status_account_reference_and_time_and_page_by_page(terminal: Terminal) -> None:
    made = [send(terminal, "--reference", f"LIST-{n}", text=f"Listed {n}\nsecond line") for n in range(3)]
    for alert_id in made:
        delivered(terminal, alert_id)
    listed = terminal.json("alerts", "list", "--limit", "3", "--account", "acme", "--from", "1h")
    assert [one["id"] for one in listed["items"]] == made[::-1]
    first = terminal.json("alerts", "list", "--limit", "2")
    rest = terminal.json("alerts", "list", "--limit", "1", "--cursor", first["next_cursor"])
    assert [one["id"] for one in (*first["items"], *rest["items"])] == made[::-1]
    told = terminal.run("alerts", "list", "--limit", "2").out
    assert "Listed 2" in told
    assert "second line" not in told
    assert f"--cursor {first['next_cursor']}" in told.splitlines()[-1]
    assert terminal.run("alerts", "list", "--to", "1h").out == "no alerts\n"
    assert terminal.run("alerts", "list", "--status", "expired").out == "no alerts\n"
    assert [one["id"] for one in terminal.json("alerts", "list", "--reference", "LIST-1")["items"]] == [made[1]]
    since = terminal.json("alerts", "show", made[1])["created_at"]
    after = terminal.json("alerts", "list", "--from", since, "--limit", "2")["items"]
    assert [one["id"] for one in after] == made[:0:-1]
    before = terminal.json("alerts", "list", "--to", since)["items"]
    assert made[0] in {one["id"] for one in before}
    assert made[1] not in {one["id"] for one in before}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--from", "yesterday"), "not yesterday"),
        (("--to", "99999999d"), "expected 2h or 3d"),
        (("--from", "999999w"), "expected 2h or 3d"),
        (("--from", "0001-01-01"), "expected"),
        (("--status", "open"), "active"),
        (("--cursor", "x"), "expected next_cursor of a page of this list"),
        (("--account", "a b"), "account: "),
        (("--from", "1h", "--to", "12h"), "'--to': expected a time after that of --from, not 12h"),
        (
            ("--url", "http://no-such-host.invalid", "--key", "tok_x"),
            "http://no-such-host.invalid: Name or service not known",
        ),
    ],
)
def test_a_wrong_filter_is_told_in_one_line(terminal: Terminal, words: tuple[str, ...], told: str) -> None:
    answer = terminal.run("alerts", "list", *words)
    assert answer.status in (1, 2)
    assert told in answer.err
    assert answer.err.startswith("tocsin: ")


def test_an_alert_is_found_by_its_id_a_part_of_it_its_reference_and_its_delivery(terminal: Terminal) -> None:
    alert_id = send(terminal, "--reference", "FOUND", text="Only this once")
    delivered(terminal, alert_id)
    delivery = terminal.json("alerts", "show", alert_id)["deliveries"][0]["id"]
    for word in (alert_id, alert_id[-6:], alert_id[4:28], "FOUND", delivery, f"{alert_id}:0@1796055396324676"):
        shown = terminal.run("alerts", "show", word).out
        assert alert_id in shown
        assert "Only this once" in shown
    assert terminal.json("alerts", "resolve", "FOUND")["status"] == "resolved"
    second = send(terminal, "--reference", "FOUND")
    assert second != alert_id
    assert terminal.json("alerts", "show", "FOUND")["id"] == second  # the one that is open
    terminal.json("alerts", "cancel", "FOUND")
    refused = terminal.run("alerts", "show", "FOUND")
    assert refused.status == 1
    assert refused.err.startswith("tocsin: the reference FOUND is that of 2 alerts: ")
    assert alert_id in refused.err
    assert second in refused.err


def test_a_reference_in_other_letters_is_another_one_and_the_likely_one_is_named(terminal: Terminal) -> None:
    made = send(terminal, "--reference", "Near-7")
    for word in ("near-7", "NEAR-7", "Near-70"):
        for verb in (("show",), ("timeline",), ("resolve",), ("acknowledge", "--by", "Anna")):
            refused = terminal.run("alerts", verb[0], word, *verb[1:])
            assert (refused.status, refused.out) == (1, "")
            assert refused.err == f"tocsin: there is no alert with the id or reference {word}; there is Near-7\n"
        assert terminal.run("alerts", "list", "--reference", word).out == (
            f"no alerts with the reference {word}; there is Near-7\n"
        )
    assert terminal.json("alerts", "list", "--reference", "near-7")["items"] == []
    assert terminal.run("alerts", "list", "--reference", "Near-7", "--status", "expired").out == (
        "no alerts with the reference Near-7\n"
    )
    assert send(terminal, "--reference", "near-7") != made  # the identity of a trouble is exact


@pytest.mark.parametrize("word", ["nothing", "alt_00000000000000000000000000", "zz", "Ä", "x" * 300, "tok_abc"])
@pytest.mark.parametrize("verb", ["show", "timeline", "resolve"])
def test_what_is_no_alert_is_told_in_one_line(terminal: Terminal, verb: str, word: str) -> None:
    answer = terminal.run("alerts", verb, word)
    assert (answer.status, answer.err.count("\n")) == (1, 1)
    assert re.match(r"tocsin: (there is no alert|that is an API key)", answer.err)


def test_the_timeline_tells_people_what_the_demo_tells(terminal: Terminal) -> None:
    alert_id = send(terminal)
    delivered(terminal, alert_id)
    told = terminal.run("alerts", "timeline", alert_id).out
    words = re.findall(r"^ +\d+\.\d{3} s  (\w+)", told, re.MULTILINE)
    assert words[:2] == ["accepted", "held"]
    assert sorted(words[2:]) == ["charged", "receipt", "sent"]
    assert "0.045 EUR for sms:+33612345678" in told
    document = terminal.json("alerts", "timeline", alert_id)
    assert {"accepted", "hold", "attempt", "sent", "receipt", "capture"} <= {
        one["kind"] for one in document["timeline"]
    }


def test_the_installation_has_a_language_and_a_time_zone_for_people(terminal: Terminal, installed: Installed) -> None:
    exercise = ("--priority", "normal", "--exercise")
    for words, told in (
        ((), "EXERCICE Pompe 3"),
        (("--language", "en"), "EXERCISE Pompe 3"),
        (("--language", "fr-CA", "--name", "Anne"), "EXERCICE Pompe 3"),
    ):
        sent = terminal.json("send", "--to", PHONE, "--text", "Pompe 3", *exercise, *words)
        delivered(terminal, sent["id"])
        assert f'"text": "{told}"' in installed.smsc.output.splitlines()[-1]
    sent = terminal.json("send", "--to", PHONE, "--to", OTHER, "--name", "Anne", "--text", "x")
    shown = terminal.json("alerts", "show", sent["id"])
    assert {one["recipient"] for one in shown["deliveries"]} == {"Anne"}
    wrong = terminal.run("send", "--to", PHONE, "--to", "sms:112", "--name", "Anne", "--text", "x")
    assert wrong.err.startswith("tocsin: --to sms:112: ")
    assert "--name: " in terminal.run("send", "--to", PHONE, "--text", "x", "--name", "x" * 201).err
    assert terminal.run("send", "--to", PHONE, "--text", "x", "--language", "français").err.startswith(
        "tocsin: --language: "
    )
    made = datetime.fromisoformat(shown["created_at"]) + timedelta(hours=5, minutes=30)
    there = f"{made:%Y-%m-%d %H:%M:%S} IST (UTC+05:30)"
    assert there in terminal.run("alerts", "show", sent["id"]).out
    assert there in terminal.run("alerts", "list", "--limit", "1").out
    people = [
        terminal.run(*words).out
        for words in (("keys", "list", "--all"), ("send", "--to", PHONE, "--text", "x", "--dry-run"), ("accounts", "entries", "acme"),
                      ("accounts", "show", "acme"), ("alerts", "timeline", sent["id"]), ("providers", "status"))
    ]  # fmt: skip
    assert all("IST (UTC+05:30)" in told for told in people[:4])
    assert not [told for told in people if re.search(r"\dT\d\d:\d\d", told)]  # every list has times of one form
    assert (
        sent["id"] in terminal.run("alerts", "list", "--from", f"{made - timedelta(minutes=1):%Y-%m-%dT%H:%M:%S}").out
    )


# --- saying ----------------------------------------------------------------------------------------------------------


def test_an_alert_is_acknowledged_handed_back_and_resolved(terminal: Terminal) -> None:
    alert_id = send(terminal)
    told = terminal.run("alerts", "acknowledge", alert_id[-8:], "--by", "Anna", "--taken", "--comment", "On my way").out
    assert told == f"{alert_id} is acknowledged: Anna takes it in charge\n"
    assert '"On my way"' in terminal.run("alerts", "timeline", alert_id).out
    assert "Anna takes it in charge" in terminal.run("alerts", "show", alert_id).out
    refused = terminal.run("alerts", "cancel", alert_id)
    assert (refused.status, "resolve it, or release it and cancel it then" in refused.err) == (1, True)
    handed_back = terminal.run("alerts", "release", alert_id, "--by", "Anna").out
    assert handed_back == f"{alert_id} is active again, handed back by Anna: people are tried again\n"
    assert terminal.run("alerts", "resolve", alert_id, "--by", "Bob").out == f"{alert_id} is resolved by Bob\n"
    for verb in ("cancel", "release"):
        assert terminal.run("alerts", verb, alert_id).status == 1
    told = terminal.run("alerts", "timeline", alert_id, "--follow").out
    assert "status    asked for by Bob\n" in told
    other = send(terminal)
    terminal.json("alerts", "acknowledge", other, "--by", "Anna")
    terminal.json("alerts", "resolve", other, "--by", "Bob")
    last = terminal.run("alerts", "timeline", other, "--follow").out.splitlines()[-1]
    assert last.startswith("resolved, acknowledged before by Anna: 1 of 1")
    assert re.search(r"^from +the API$", terminal.run("alerts", "show", alert_id).out, re.MULTILINE)
    assert terminal.run("alerts", "acknowledge", alert_id, "--by", " ").status == 1
    assert terminal.run("alerts", "acknowledge", alert_id).status == 2


def test_whoever_holds_a_key_of_their_own_needs_no_settings(
    terminal: Terminal, installed: Installed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = {
        role: terminal.json("keys", "create", "--account", "acme", "--role", role)["key"]
        for role in ("operator", "account_admin")
    }
    alert_id = send(terminal)
    monkeypatch.chdir(tmp_path)  # no settings here

    def run(role: str, *words: str) -> Answer:
        return terminal.run(*words, "--url", installed.url, "--key", keys[role], config=False)

    assert run("operator", "alerts", "acknowledge", alert_id, "--by", "Anna").status == 0
    assert alert_id in run("operator", "alerts", "list").out
    assert "carrier" in run("operator", "providers", "status").out
    for words in (("list",), ("show", "acme"), ("entries", "acme")):
        assert run("account_admin", "accounts", *words).status == 0
    assert "0.045" in run("account_admin", "tariffs", "list").out
    given = run("account_admin", "keys", "create", "--role", "submitter", "--account", "acme")
    assert given.status == 0
    assert "submitter" in run("account_admin", "keys", "list").out
    for refused_words in (("alerts", "resolve", alert_id), ("accounts", "topup", "acme", "5", "--reference", "R")):
        refused = run("account_admin", *refused_words)
        assert (refused.status, refused.err.count("\n")) == (1, 1)
    monkeypatch.setenv("TOCSIN_URL", installed.url)
    monkeypatch.setenv("TOCSIN_KEY", keys["operator"])
    assert terminal.run("alerts", "show", alert_id, config=False).status == 0


@pytest.mark.parametrize("words", [("alerts", "list"), ("accounts", "list"), ("send", "--to", PHONE, "--text", "x")])
def test_a_server_elsewhere_is_not_asked_with_the_local_key(terminal: Terminal, words: tuple[str, ...]) -> None:
    answer = terminal.run(*words, "--url", "http://127.0.0.1:1")
    assert answer.status == 1
    assert answer.err == "tocsin: say with --key, or TOCSIN_KEY, with which API key http://127.0.0.1:1 is to be asked\n"


def test_https_to_a_server_that_speaks_http_says_what_is_wrong(terminal: Terminal, installed: Installed) -> None:
    secure = installed.url.replace("http://", "https://")
    answer = terminal.run("alerts", "list", "--url", secure, "--key", "tok_x")
    assert (answer.status, answer.err.count("\n")) == (1, 1)
    assert answer.err.startswith(
        f"tocsin: no TLS with {secure}: what answers there speaks another protocol, maybe http"
    )


@pytest.mark.parametrize(
    ("one", "links"),
    [
        ({"channel": "sms", "up": True, "links": 1, "links_up": 1}, "1 of 1 up"),
        ({"channel": "sms", "up": False, "links": 2, "links_up": 0}, "0 of 2 up"),
        ({"channel": "email", "up": True, "links": 4, "links_up": 0}, "0 of 4 open"),
        ({"channel": "email", "up": False, "links": 4, "links_up": 0}, "0 of 4 up"),
        ({"channel": "voice", "up": False, "links": 0, "links_up": 0}, "down"),
    ],
)
def test_an_idle_mail_server_does_not_look_broken(one: dict[str, Any], links: str) -> None:
    assert links_shown(one) == links


def test_providers_are_shown_as_they_stand_and_as_they_are_set(terminal: Terminal) -> None:
    eventually_sync(lambda: "1 of 1 up" in terminal.run("providers", "status").out, what="the link is up")
    shown = terminal.json("providers", "status")["items"]
    assert [(one["name"], one["up"], one["circuit"], one["queue_depth"]) for one in shown] == [
        ("carrier", True, "closed", 0)
    ]
    assert terminal.json("providers", "list")["items"] == [
        {"name": "carrier", "channel": "sms", "kind": "smpp", "routes": ["sms:*"]}
    ]


# --- watching --------------------------------------------------------------------------------------------------------

SENDING = ("send", "--to", PHONE, "--text", "Fire", "--priority", "emergency")


def alert_of(process: ChildProcess) -> str:
    return str(re.findall(r"alt_[0-9a-v]{26}", process.output)[0])


def test_send_wait_tells_the_story_and_ends_when_somebody_acknowledges(
    terminal: Terminal, installed: Installed
) -> None:
    with watching(installed, *SENDING, "--wait", ready_line="charged") as process:
        terminal.json("alerts", "acknowledge", alert_of(process), "--by", "Anna")
        assert process.wait(60) == 0
        told = process.output
    assert "answered  Anna has received it, over the API" in told
    assert told.splitlines()[-1] == "acknowledged by Anna: 1 of 1 delivery delivered, 0.045 EUR charged"


def test_send_wait_is_a_stream_of_documents_for_machines(terminal: Terminal, installed: Installed) -> None:
    with watching(installed, *SENDING, "--wait", "--json", ready_line='"capture"') as process:
        terminal.json("alerts", "cancel", alert_of(process))
        assert process.wait(60) == 4
        documents = [json.loads(line) for line in process.output.splitlines()]
    assert documents[0]["id"] == documents[-1]["alert"]
    assert {one["event"] for one in documents[1:-1]} == {"timeline"}
    assert (documents[-1]["event"], documents[-1]["status"]) == ("ended", "cancelled")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_watch_leaves_the_alert_alive_and_says_so(
    terminal: Terminal, installed: Installed, number: signal.Signals
) -> None:
    with watching(installed, *SENDING, "--wait", ready_line="charged") as process:
        alert_id = alert_of(process)
        process.send_signal(number)
        assert process.wait(60) == 130
        assert process.output.splitlines()[-1] == f"tocsin: stopped watching; the alert {alert_id} goes on"
    assert terminal.json("alerts", "show", alert_id)["status"] == "active"
    terminal.json("alerts", "resolve", alert_id)
    assert terminal.run("alerts", "timeline", alert_id, "--follow").status == 0


def test_a_watch_that_is_long_enough_ends_with_a_status_of_its_own(terminal: Terminal) -> None:
    alert_id = send(terminal)
    answer = terminal.run("alerts", "timeline", alert_id, "--follow", "--timeout", "0.1")
    assert (answer.status, answer.err) == (5, "tocsin: the alert is still active after 0.1 s, and goes on\n")
    assert terminal.run("alerts", "timeline", alert_id, "--timeout", "1").status == 2
    assert terminal.run(*SENDING, "--timeout", "1").status == 2
    terminal.json("alerts", "resolve", alert_id)


def test_a_watch_goes_on_over_a_restart_of_the_server(terminal: Terminal, installed: Installed) -> None:
    alert_id = send(terminal)
    with watching(installed, "alerts", "timeline", alert_id, "--follow", ready_line="charged") as process:
        installed.server.stop(40.0)
        eventually_sync(lambda: "asking again" in process.output, what="it says that nobody answers")
        installed.server.start()
        terminal.json("alerts", "acknowledge", alert_id, "--by", "Anna")
        assert process.wait(60) == 0
        assert process.output.splitlines()[-1].startswith("acknowledged by Anna")


# --- what is wrong is told in the words that were typed, the same with and without a server ---------------------------

WRONG = (
    (("accounts", "create", "Acme Foods"), "ID: expected 1 to 64 letters, digits, dots, dashes or underscores"),
    (("accounts", "create", "b", "--currency", "euro"), "--currency: expected three upper-case letters such as EUR"),
    (("accounts", "create", "b", "--name", "a\nb"), "--name: expected text on one line"),
    (("accounts", "create", "b", "--name", "x" * 201), "--name: expected at most 200 characters"),
    (("accounts", "create", "acme"), "there is an account acme already"),
    (
        ("accounts", "topup", "acme", "50,00", "--reference", "INV-2"),
        "AMOUNT: expected a decimal number without a sign",
    ),
    (("accounts", "topup", "acme", "1e3", "--reference", "INV-2"), "AMOUNT: expected"),
    (("accounts", "topup", "acme", "0", "--reference", "INV-2"), "AMOUNT: "),
    (("accounts", "topup", "acme", "999999999999", "--reference", "INV-2"), "AMOUNT: "),
    (("accounts", "topup", "acme", "5", "--reference", ""), "--reference: expected at least 1 character"),
    (("accounts", "topup", "acme", "60.00", "--reference", "INV-1"), "INV-1 was a top-up of 50.00"),
    (("accounts", "topup", "nobody", "5", "--reference", "R"), "there is no account nobody"),
    (("accounts", "topup", "no body", "5", "--reference", "R"), "ID: expected 1 to 64"),
    (("accounts", "show", "nobody"), "there is no account nobody"),
    (("accounts", "show", "Acne"), "there is no account Acne, did you mean acme?"),
    (("accounts", "show", "no body"), "ID: expected 1 to 64"),
    (("accounts", "entries", "nobody"), "there is no account nobody"),
    (("accounts", "reverse", "acme", "999", "--reason", "x"), "ENTRY: "),
    (("keys", "create", "--role", "submitter"), "--account: expected the account of a key with the role submitter"),
    (("keys", "create", "--role", "submitter", "--account", "a b"), "--account: expected 1 to 64"),
    (("keys", "create", "--role", "auditor", "--label", "x" * 201), "--label: expected at most 200 characters"),
    (("keys", "revoke", "key_1"), "there is no key key_1"),
    (("keys", "revoke", "key 1"), "ID: expected 1 to 64"),
    (("tariffs", "set", "--channel", "sms", "--price", "x"), "--price: expected a decimal number"),
    (("tariffs", "set", "--channel", "s ms", "--price", "1"), "--channel: expected 1 to 64"),
)
OF_THE_SERVER = (
    (("send", "--to", "+33612345678"), "--to +33612345678: expected channel:value, such as sms:+33612345678"),
    (("send", "--to", PHONE, "--to", "sms:112"), "--to sms:112: "),
    (("send", "--to", PHONE, "--reference", "x" * 201), "--reference: expected at most 200 characters"),
    (("send", "--to", PHONE, "--account", "a b"), "--account: "),
    (("send", "--to", PHONE, "--idempotency-key", "é"), "--idempotency-key: expected"),
    (("alerts", "list", "--account", "a b"), "--account: expected 1 to 64"),
    (("alerts", "list", "--cursor", "!"), "--cursor: expected next_cursor of a page of this list"),
    (("alerts", "list", "--account", "nobody"), ""),
)


def test_what_is_wrong_is_told_in_the_words_typed_with_and_without_a_server(
    terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[list[Answer]] = []
    with terminal_in(tmp_path, capsys) as alone:
        alone.json("accounts", "create", "acme")
        alone.json("accounts", "topup", "acme", "50.00", "--reference", "INV-1")
        for one in (terminal, alone):
            told.append([one.run(*words) for words, _ in WRONG])
    for (words, start), served, stored in zip(WRONG, *told, strict=True):
        assert (served.status, served.err) == (stored.status, stored.err), words
        assert served.status == 1, words
        assert served.err.startswith(f"tocsin: {start}"), served.err
        assert served.err.count("\n") == 1
        assert "^" not in served.err
    for words, start in OF_THE_SERVER:
        text = ("--text", "x") if words[0] == "send" else ()
        answer = terminal.run(*words, *text)
        assert answer.err.startswith(f"tocsin: {start}" if start else ""), answer.err
        assert answer.err.count("\n") <= 1
        assert answer.err.count(start) <= 1 or not start


def test_a_key_in_the_place_of_an_id_is_found_and_never_printed(
    terminal: Terminal, installed: Installed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = terminal.json("keys", "create", "--role", "auditor")
    elsewhere = ("--url", installed.url, "--key", made["key"])
    for words in (
        ("keys", "revoke", "tok_" + "x" * 43),
        ("keys", "revoke", made["key"], *elsewhere),
        ("accounts", "show", made["key"]),
        ("alerts", "show", made["key"]),
        ("alerts", "list", "--account", made["key"]),
        ("send", "--to", made["key"], "--text", "x"),
        (made["key"],),
    ):
        for more in ((), ("--json",)):
            answer = terminal.run(*words, *more)
            assert made["key"][4:] not in answer.out + answer.err
            assert "x" * 43 not in answer.out + answer.err
    assert terminal.run("keys", "revoke", made["key"]).out == f"{made['id']} revoked\n"
    with terminal_in(tmp_path, capsys) as alone:
        made = alone.json("keys", "create", "--role", "auditor")
        assert alone.run("keys", "revoke", made["key"]).out == f"{made['id']} revoked\n"
