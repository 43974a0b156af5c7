"""The demo as a stranger runs it: a real process, the whole way of one alert, again and again in the same folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from gateway import demo
from gateway.app import load_settings
from gateway.demo_folder import PREFERRED, DemoFolder
from tests.gateway.cli_desk import TOCSIN, Terminal, terminal_in
from tests.peers.network import alone_on_the_network
from tests.peers.ports import free_port

# one after the other: all of them want the customary ports
pytestmark = pytest.mark.xdist_group("demo")

LINES_MAX = 48
PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "demo.svg"
STAYS_UP = "The gateway stays up: http://127.0.0.1:8080, key tok_…"


def told_by_picture() -> list[str]:
    """The lines of the recorded run in the README."""
    texts = ElementTree.parse(PICTURE).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(one.itertext()) for one in texts]


def plain(line: str) -> str:
    """Without times, ports and what the call lasted; blanks count once."""
    return " ".join(re.sub(r"\d+\.\d{3} s |127\.0\.0\.1:\d+|\d+ s$", "", line).split())


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with terminal_in(tmp_path, capsys) as one:
        yield one


def demo_once(folder: Path, *words: str, alone: bool = False) -> subprocess.CompletedProcess[str]:
    """`tocsin demo`; `alone` where what it tells must not depend on what else the machine runs."""
    return subprocess.run(
        [TOCSIN, "demo", "--exit", *words],
        preexec_fn=alone_on_the_network if alone else None,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_one_alert_goes_the_whole_way_and_again(tmp_path: Path) -> None:
    first = demo_once(tmp_path, alone=True)
    assert (first.returncode, first.stderr) == (0, "")
    assert "nothing leaves this machine" in first.stdout
    told = re.findall(r"^ +\d+\.\d{3} s  (\w+)", first.stdout, re.MULTILINE)  # however long it takes
    assert told[:2] == ["accepted", "held"]
    assert sorted(told[2:]) == [
        "answered", "calling", "charged", "charged", "charged", "delivered", "receipt", "receipt", "released", "sent", "sent",
        "status",
    ]  # fmt: skip
    assert "Anna pressed a key on the phone: acknowledged" in first.stdout
    assert "3 of 3 delivered, each charged once. Balance 50.00 - 0.146 = 49.854 EUR." in first.stdout
    recorded = {plain(line) for line in told_by_picture()} - {"$ make run"}
    assert recorded <= {plain(line) for line in first.stdout.splitlines()} | {plain(STAYS_UP)}, (
        "run record_demo.py anew"
    )
    assert {plain(line) for line in first.stdout.splitlines()} - {""} <= recorded, "run deploy/dev/record_demo.py anew"
    key = (tmp_path / "demo" / "key").read_text()
    assert (tmp_path / "demo" / "key").stat().st_mode & 0o777 == 0o600

    second = demo_once(tmp_path, "--json")
    assert (second.returncode, second.stderr) == (0, "")
    events = [json.loads(line) for line in second.stdout.splitlines()]
    assert events[-1] == {
        "event": "completed",
        "alert": events[-1]["alert"],
        "delivered": True,
        "charged_once": True,
        "balance": "49.708",
    }
    assert (tmp_path / "demo" / "key").read_text() == key
    assert not (tmp_path / "demo" / "tocsin.db.admin").exists()


def test_it_stays_up_until_it_is_told_to_stop(terminal: Terminal) -> None:
    running = terminal.child("demo", ready_line=r"Ctrl-C stops it")
    with running:
        output = running.output
        assert len(output.splitlines()) < LINES_MAX
        taken = pasted(output)
        assert (taken["status"], taken["deliveries"][0]["address"]) == ("active", "sms:+33612345678")
        settings = ("--config", str(terminal.folder / "demo" / "tocsin.toml"))
        assert terminal.run(*settings, "check", "--connect", config=False).status == 0
        assert terminal.run(*settings, "ledger", "verify", config=False).status == 0
        refused = demo_once(terminal.folder)
        assert (refused.returncode, "a demo runs in demo already" in refused.stderr) == (1, True)
        running.send_signal(signal.SIGINT)
        assert running.wait(40) == 0
    assert running.output.endswith("Stopped. What there was is kept for the next run.")
    assert "Traceback" not in running.output


def pasted(output: str) -> Any:
    """What the curl line of the demo answers, taken word by word as a shell would."""
    line = next(line.strip() for line in output.splitlines() if line.strip().startswith("curl "))
    words = shlex.split(line)
    headers = dict(words[n + 1].split(": ", 1) for n, word in enumerate(words) if word == "-H")
    request = urllib.request.Request(words[1], words[words.index("-d") + 1].encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_changes_made_by_hand_are_not_lost(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "tocsin.toml").write_text("# mine\n")
    done = demo_once(tmp_path, "--directory", "elsewhere")
    assert (done.returncode, done.stderr) == (0, "")
    assert "your changes to elsewhere/tocsin.toml are kept in elsewhere/tocsin.toml.yours" in done.stdout
    assert (folder / "tocsin.toml.yours").read_text() == "# mine\n"
    assert "your changes" not in demo_once(tmp_path, "--directory", "elsewhere").stdout
    assert (folder / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("sip", [PREFERRED.sip, 39_999, 40_000, 40_500, 40_999, 41_000, 41_999, 42_000, 65_535])
def test_its_settings_are_right_whichever_port_the_system_has_chosen(tmp_path: Path, sip: int) -> None:
    folder = DemoFolder(path=tmp_path)
    folder.write_settings(replace(PREFERRED, sip=sip))
    load_settings(folder.settings)


def test_an_alert_that_does_not_arrive_is_a_failure(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "BEHAVIOUR", replace(demo.BEHAVIOUR, receipts=False))
    monkeypatch.setattr(demo, "COMPLETE_S", 4.0)
    answer = terminal.run("demo", "--exit", "--directory", str(terminal.folder / "demo"))
    assert answer.status == 1
    assert "the alert was not complete within 4 s; see " in answer.err


def test_two_at_once_stay_out_of_each_others_way(tmp_path: Path) -> None:
    words = [str(TOCSIN), "demo", "--exit", "--json", "--directory"]
    both = [
        subprocess.Popen([*words, name], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    with contextlib.ExitStack() as left:
        for process in both:
            left.callback(process.kill)
        outputs = [process.communicate(timeout=90)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    urls = {
        next(event["url"] for event in map(json.loads, output.splitlines()) if "url" in event) for output in outputs
    }
    assert len(urls) == 2


async def test_a_customary_port_that_is_taken_is_told_with_who_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = replace(PREFERRED, **{name: free_port() for name in ("http", "smsc", "mail", "bounces", "sip", "phone")})
    monkeypatch.setattr(demo, "PREFERRED", ports)
    monkeypatch.setattr(demo, "only_demo", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    async with AsyncExitStack() as open_things:
        open_things.enter_context(socket.create_server(("127.0.0.1", ports.http)))
        udp = open_things.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", ports.phone))
        chosen, notes = await demo._start_simulators(open_things)
        assert (chosen.smsc, chosen.mail, chosen.sip) == (ports.smsc, ports.mail, ports.sip)
        for taken, taken_instead in ((ports.phone, chosen.phone), (ports.http, chosen.http)):
            told = f"port {taken} is taken by .* \\(process {os.getpid()}\\): this demo takes {taken_instead} instead"
            assert any(re.fullmatch(told, note) for note in notes), notes
        assert len(notes) == 2
