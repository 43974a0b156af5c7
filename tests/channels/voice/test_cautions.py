"""What an operator is warned of: numbers that networks refuse as caller ids, languages without prompts, lines that nobody reaches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channels.voice.caller_ids import objection
from channels.voice.cautions import cautions, cautions_of_neighbours
from channels.voice.settings import SipSettings
from gateway.cli.cautions import NOBODY_LEFT, warnings_of
from gateway.settings import Provider, Settings
from gateway.settings_loading import Loaded
from ivr.audio.prompts import OWN
from ivr.sip.hop import Transport
from tests.gateway.cli_desk import Terminal, terminal_in

VOICE = """
[[providers]]
name = "pbx"
channel = "voice"
kind = "sip"
host = "127.0.0.1"
listen = "0.0.0.0:0"
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
    assert said in objection(caller_id, None)


@pytest.mark.parametrize(
    ("caller_id", "country", "said"),
    [
        ("0612345678", "FR", "forbids 06 and 07"),
        ("33612345678", "FR", "forbids 06 and 07"),
        ("0033612345678", "FR", "forbids 06 and 07"),
        ("0033612345678", None, "forbids 06 and 07"),  # 00 is the prefix of other countries wherever a trunk has one
        ("0033612345678", "GB", "forbids 06 and 07"),
        ("0899123456", "FR", "premium-rate"),
        ("07012345678", "GB", "070 numbers"),
        ("447012345678", "GB", "070 numbers"),
        ("9002345678", "US", "premium-rate"),
        ("0033000000000", "FR", "no such number is assigned"),
        ("00999123456789", "FR", "no telephone number"),
    ],
)
def test_objections_to_numbers_without_a_plus(caller_id: str, country: str | None, said: str) -> None:
    assert said in objection(caller_id, country)


@pytest.mark.parametrize(
    ("caller_id", "country"),
    [
        ("0140000000", "FR"),
        ("33140000000", "FR"),
        ("0033140000000", "FR"),
        ("0612345678", "DE"),  # a number of an exchange, perhaps: none of Germany
        ("33612345678", "GB"),
        ("061234", "FR"),
        ("4711", "FR"),
        ("112", "FR"),
        ("00", "FR"),
        ("001234", "FR"),
        ("*0612345678", "FR"),
        ("anna", "FR"),
        ("", "FR"),
    ],
)
def test_nothing_is_said_against_extensions_and_good_numbers(caller_id: str, country: str) -> None:
    assert objection(caller_id, country) == ""


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
        "0612345678",  # without a country, what it is depends on the exchange
    ],
)
def test_nothing_is_said_against_others(caller_id: str) -> None:
    assert objection(caller_id, None) == ""


def settings_with(*caller_ids: str) -> Loaded:
    providers = []
    for n, caller_id in enumerate(caller_ids):
        head: dict[str, Any] = {"name": f"pbx-{n}", "channel": "voice", "kind": "sip"}
        sip = SipSettings.model_validate(
            {**head, "host": "127.0.0.1", "caller_id": caller_id, "rtp_ports": f"4{n}000-4{n}999"}
        )
        providers.append(Provider(**head, settings=sip))
    return Loaded(
        settings=Settings(providers=tuple(providers)),
        file="tocsin.toml",
        lines={},
        secret_files={},
        plain_secrets=frozenset(),
    )


def test_warnings_name_provider_and_number() -> None:
    said = warnings_of(settings_with("+33612345678", "+33140000000", "+33899123456"))
    assert said[0] == NOBODY_LEFT
    assert [one.split(": ")[:2] for one in said[1:]] == [
        ["provider pbx-0", "caller_id +33612345678"],
        ["provider pbx-2", "caller_id +33899123456"],
    ]


def test_the_country_of_the_trunk_is_that_of_its_caller_id() -> None:
    (said,) = cautioned(caller_id="0612345678", country="FR")
    assert said.startswith("caller_id 0612345678: the numbering plan forbids")
    assert cautioned(caller_id="0612345678") == []


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


@pytest.mark.parametrize(
    ("first", "second", "warned"),
    [
        ({}, {"listen": "0.0.0.0:5062"}, True),
        ({}, {"listen": "127.0.0.1:5062", "rtp_ports": "40999-42000"}, True),
        ({"transport": "tcp"}, {"transport": "tcp", "listen": "0.0.0.0:5062"}, True),  # audio is UDP all the same
        ({}, {"listen": "0.0.0.0:5062", "rtp_ports": "41000-41999"}, False),
        ({"listen": "127.0.0.1:5060"}, {"listen": "127.0.0.2:5060"}, False),
    ],
)
def test_ports_of_audio_that_two_trunks_share(first: dict[str, Any], second: dict[str, Any], warned: bool) -> None:
    trunks = [SipSettings(name=f"t{n}", host="127.0.0.1", **keys) for n, keys in enumerate((first, second))]
    said = list(cautions_of_neighbours(trunks))
    assert [name for name, _ in said] == (["t1"] if warned else [])
    if warned:
        assert "overlap with those of provider t0: calls of both take from the same ports" in said[0][1]


@pytest.mark.parametrize(
    ("listen", "transport", "warned"),
    [
        ("0.0.0.0:40500", "udp", True),
        ("127.0.0.1:40000", "udp", True),
        ("0.0.0.0:40500", "tcp", False),
        ("0.0.0.0:41000", "udp", False),
        ("0.0.0.0:0", "udp", False),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_an_address_that_a_call_of_another_trunk_may_take(
    listen: str, transport: Transport, warned: bool, order: int
) -> None:
    trunks = [
        SipSettings(name="a", host="127.0.0.1"),
        SipSettings(name="b", host="127.0.0.1", listen=listen, transport=transport, rtp_ports="42000-42999"),
    ]
    said = list(cautions_of_neighbours(trunks[::order]))
    assert [name for name, _ in said] == (["b"] if warned else [])
    if warned:
        assert "is among the rtp_ports of provider a" in said[0][1]


def test_check_says_what_two_trunks_share(terminal: Terminal) -> None:
    with terminal.config.open("a") as file:
        file.write(VOICE.format("+33140000000"))
        file.write(VOICE.replace('"pbx"', '"spare"').format("+33140000000"))
    (said,) = terminal.json("check")["warnings"]
    assert said.startswith("provider spare: rtp_ports 40000-40999 overlap with those of provider pbx")


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
