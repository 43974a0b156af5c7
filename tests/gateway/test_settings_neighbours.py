"""Two providers on one machine: what the second can still listen on."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Literal

import pytest

from channels.listening import Listening
from channels.voice.settings import SipSettings
from gateway.settings_loading import load
from gateway.settings_problems import SettingsError
from tests.peers.kamailio import self_signed

PROTOCOLS: tuple[Literal["udp", "tcp"], ...] = ("udp", "tcp")
KINDS = {("voice", "sip"): SipSettings}
TRUNK = """\
[[providers]]
name = "{name}"
channel = "voice"
kind = "sip"
host = "sip.example"
"""


def problems(folder: Path, *keys: str) -> list[str]:
    """What is said of a file with a trunk for each of these."""
    path = folder / "tocsin.toml"
    path.write_text("".join(f"{TRUNK.format(name=n)}{text}\n" for n, text in enumerate(keys)))
    try:
        load(path, KINDS, {})
    except SettingsError as refusal:
        return str(refusal).replace(f"{folder}/", "").splitlines()
    return []


def test_two_trunks_with_the_default_address_are_refused(tmp_path: Path) -> None:
    said = "providers[0] listens on UDP port 5060 of this address already"
    assert problems(tmp_path, "", "") == [f"tocsin.toml:7: providers[1].listen: {said}"]
    assert problems(tmp_path, "", "", 'listen = "0.0.0.0:5060"') == [
        f"tocsin.toml:7: providers[1].listen: {said}",
        f"tocsin.toml:18: providers[2].listen: {said}",
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("0.0.0.0:5060", "127.0.0.1:5060"),
        ("127.0.0.1:5060", "0.0.0.0:5060"),
        ("127.0.0.1:5060", "127.0.0.1:5060"),
        ("[::]:5060", "[::1]:5060"),
        ("[::1]:5060", "[0:0:0:0:0:0:0:1]:5060"),
        ("[::]:5060", "0.0.0.0:5060"),  # over UDP a socket of IPv6 takes IPv4 too
    ],
)
def test_addresses_that_leave_no_room(tmp_path: Path, first: str, second: str) -> None:
    assert len(problems(tmp_path, f'listen = "{first}"', f'listen = "{second}"')) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("0.0.0.0:5060", "0.0.0.0:5062"),
        ("127.0.0.1:5060", "127.0.0.2:5060"),
        ("0.0.0.0:5060", "[::1]:5060"),
    ],
)
def test_addresses_that_leave_each_other_room(tmp_path: Path, first: str, second: str) -> None:
    assert problems(tmp_path, f'listen = "{first}"', f'listen = "{second}"') == []


def test_tcp_and_udp_are_two_ports(tmp_path: Path) -> None:
    assert problems(tmp_path, "", 'transport = "tcp"') == []
    assert problems(tmp_path, 'transport = "tcp"\nlisten = "[::]:5060"', 'transport = "tcp"') == []
    (said,) = problems(tmp_path, 'transport = "tcp"', 'transport = "tcp"')
    assert said.endswith("providers[0] listens on TCP port 5060 of this address already")


def test_tls_listens_where_it_has_a_certificate(tmp_path: Path) -> None:
    tls = self_signed(tmp_path)
    listening = f'transport = "tls"\ntls_certificate = "{tls.certificate}"\ntls_key = "{tls.key}"'
    assert problems(tmp_path, 'transport = "tls"', 'transport = "tls"', 'transport = "tcp"') == []
    assert len(problems(tmp_path, 'transport = "tcp"', listening)) == 1


def test_what_is_wrong_with_one_trunk_hides_nothing_of_the_others(tmp_path: Path) -> None:
    said = problems(tmp_path, "", "port = 0", "")
    assert [one.split(": ")[1] for one in said] == ["providers[1].port", "providers[2].listen"]


def test_either_way_round_is_the_same() -> None:
    places = [
        Listening(key="listen", protocol=protocol, host=host, port=port)
        for protocol in PROTOCOLS
        for host in ("0.0.0.0", "127.0.0.1", "127.0.0.2", "::", "::1")
        for port in (0, 5060, 5061)
    ]
    for one, other in itertools.product(places, repeat=2):
        assert one.clashes_with(other) == other.clashes_with(one)
        assert one.clashes_with(one) == (one.port != 0)
