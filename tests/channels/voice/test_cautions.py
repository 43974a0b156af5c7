"""What an operator is warned of: numbers that networks refuse as caller ids, languages without prompts, lines that nobody reaches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channels.voice.caller_ids import objection
from channels.voice.cautions import cautions
from channels.voice.settings import SipSettings
from gateway.cli.cautions import NOBODY_LEFT, warnings_of
from gateway.settings import Provider, Settings
from ivr.audio.prompts import OWN
from tests.gateway.cli_desk import Terminal, terminal_in

VOICE = """
[[providers]]
name = "pbx"
channel = "voice"
kind = "sip"
host = "127.0.0.1"
caller_id = "{}"
"""


@pytest.mark.parametrize(
    ("caller_id", "said"),
    [
        ("+33612345678", "forbids 06 and 07"),
        ("+33744123456", "forbids 06 and 07"),
        ("+33899123456", "premium-rate"),
        ("+19002345678", "premium-rate"),
        ("+33820123456", "shared-cost"),
        ("+447012345678", "070 numbers"),
        ("+33000000000", "no such number is assigned"),
        ("+331234", "no such number is assigned"),
        ("+33", "no telephone number"),
        ("+999123456789", "no telephone number"),
        ("+", "no telephone number"),
    ],
)
def test_objections(caller_id: str, said: str) -> None:
    assert said in objection(caller_id)


@pytest.mark.parametrize(
    "caller_id",
    [
        "",
        "+33100000000",
        "+33140000000",
        "+33974123456",  # 09 is allowed
        "+442079460018",
        "+447911123456",  # other countries have no rule against mobile numbers
        "+4915112345678",
        "+12015550123",
        "4711",
        "anna",
        "0612345678",  # not E.164: what it is depends on the exchange
    ],
)
def test_nothing_is_said_against_others(caller_id: str) -> None:
    assert objection(caller_id) == ""


def settings_with(*caller_ids: str) -> Settings:
    providers = []
    for n, caller_id in enumerate(caller_ids):
        head: dict[str, Any] = {"name": f"pbx-{n}", "channel": "voice", "kind": "sip"}
        sip = SipSettings.model_validate({**head, "host": "127.0.0.1", "caller_id": caller_id})
        providers.append(Provider(**head, settings=sip))
    return Settings(providers=tuple(providers))


def test_warnings_name_provider_and_number() -> None:
    said = warnings_of(settings_with("+33612345678", "+33140000000", "+33899123456"))
    assert said[0] == NOBODY_LEFT
    assert [one.split(": ")[:2] for one in said[1:]] == [
        ["provider pbx-0", "caller_id +33612345678"],
        ["provider pbx-2", "caller_id +33899123456"],
    ]


def cautioned(*, languages: tuple[str, ...] = (), answered: bool = True, **keys: Any) -> list[str]:
    return list(
        cautions(
            SipSettings.model_validate({"name": "pbx", "host": "127.0.0.1", **keys}),
            languages=languages,
            answered=answered,
        )
    )


def test_languages_without_prompts_are_named_once() -> None:
    assert cautioned(languages=("", "fr", "fr-CA", "EN")) == []
    said = cautioned(language="de-AT", languages=("de-AT", "nl", "fr"))
    assert [one.partition(":")[0] for one in said] == ["language de-AT", "language nl"]
    assert said[0].endswith("(only in en, fr): menus are spoken in en; `prompts` may name a folder that has them")


def test_prompts_of_ones_own_are_enough(tmp_path: Path) -> None:
    prompt = tmp_path / "de" / "goodbye.wav"
    prompt.parent.mkdir()
    prompt.write_bytes((OWN / "en" / "goodbye.wav").read_bytes())
    assert cautioned(language="de-AT", prompts=tmp_path) == []


@pytest.mark.parametrize(
    ("keys", "answered", "warned"),
    [
        ({"transport": "tls"}, True, True),
        ({"transport": "tls"}, False, False),  # nothing would answer anyway
        ({"transport": "tls", "incoming_max": 0}, True, False),
        ({"transport": "tcp"}, True, False),
        ({}, True, False),
    ],
)
def test_lines_that_nobody_can_connect_to(keys: dict[str, Any], answered: bool, warned: bool) -> None:
    said = cautioned(answered=answered, **keys)
    assert said == (
        ["no tls_certificate: calls to us are only taken over connections that we opened"] if warned else []
    )


def test_languages_of_people_and_lines_are_looked_at(terminal: Terminal) -> None:
    with terminal.config.open("a") as file:
        file.write(VOICE.format("+33140000000"))
        file.write('[[people]]\nname = "Ann"\nlanguage = "sv"\naddresses = ["voice:+33140000001"]\n')
        file.write('[[lines]]\nname = "ack"\nnumber = "100"\nkind = "acknowledgement"\nlanguage = "nl"\n')
    said = [one for one in terminal.json("check")["warnings"] if "language" in one]
    assert [one.partition(": there")[0] for one in said] == ["provider pbx: language nl", "provider pbx: language sv"]


def test_a_provider_without_a_caller_id_is_no_warning(terminal: Terminal) -> None:
    assert terminal.json("check")["warnings"] == []


@pytest.mark.parametrize(("caller_id", "warned"), [("+33612345678", True), ("+33140000000", False)])
def test_check_prints_the_warning(terminal: Terminal, caller_id: str, warned: bool) -> None:
    with terminal.config.open("a") as file:
        file.write(VOICE.format(caller_id))
    answer = terminal.run("check")
    assert answer.status == 0, answer.err
    assert (f"tocsin: WARNING: provider pbx: caller_id {caller_id}: " in answer.err) is warned
    assert len(terminal.json("check")["warnings"]) == warned


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with terminal_in(tmp_path, capsys) as one:
        yield one
