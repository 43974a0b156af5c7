"""What a call is asked for with: Request-URI, To, From and identity headers, and how our side is opened."""

from __future__ import annotations

from typing import Any

import pytest

from channels.voice.address import parse
from channels.voice.dialling import credentials_of, endpoint_config, invitation_parts, trunk_config
from channels.voice.settings import SipSettings
from ivr.sip.headers import NameAddr, parse_name_addr
from ivr.sip.uri import SipUri, parse_uri

Parts = tuple[str, NameAddr, NameAddr, tuple[tuple[str, str], ...]]


def settings(**more: Any) -> SipSettings:
    keys = {"name": "pbx", "host": "pbx.example", "port": 5080, "username": "tocsin", "caller_id": "+33100000000"}
    return SipSettings.model_validate(keys | more)


def parts(address: str = "+33612345678", **more: Any) -> Parts:
    ours = settings(**more)
    parsed = parse(address, default_region=ours.country, allowed_domains=frozenset({"example.org"}))
    return invitation_parts(ours, parsed)


@pytest.mark.parametrize(
    ("address", "more", "target"),
    [
        ("+33612345678", {}, "sip:+33612345678@pbx.example:5080"),
        ("+33612345678", {"port": None}, "sip:+33612345678@pbx.example"),
        ("+33612345678", {"transport": "tcp"}, "sip:+33612345678@pbx.example:5080;transport=tcp"),
        ("+33612345678", {"transport": "tls"}, "sip:+33612345678@pbx.example:5080;transport=tls"),
        ("+33612345678", {"dial": "00"}, "sip:0033612345678@pbx.example:5080"),
        ("+33612345678", {"dial": "0", "country": "FR"}, "sip:0612345678@pbx.example:5080"),
        ("+442079460018", {"dial": "0", "country": "FR"}, "sip:00442079460018@pbx.example:5080"),
        ("0612345678", {"country": "FR"}, "sip:+33612345678@pbx.example:5080"),
        ("4711", {"dial": "0", "country": "FR"}, "sip:4711@pbx.example:5080"),
        ("+33140000000;ext=42", {}, "sip:+33140000000@pbx.example:5080"),  # keys come after the answer
        ("+33612345678", {"domain": "example.net"}, "sip:+33612345678@pbx.example:5080"),
        ("sip:anna@example.org", {}, "sip:anna@example.org"),
        ("sip:anna@example.org:5070;transport=tcp", {}, "sip:anna@example.org:5070;transport=tcp"),
    ],
)
def test_whom_is_asked_for(address: str, more: dict[str, Any], target: str) -> None:
    found, to, _, _ = parts(address, **more)
    assert found == target
    assert to == NameAddr("", target.partition(";")[0])


@pytest.mark.parametrize(
    ("more", "from_", "headers"),
    [
        ({}, "<sip:+33100000000@pbx.example>", ()),
        ({"caller_name": "Tocsin"}, '"Tocsin" <sip:+33100000000@pbx.example>', ()),
        ({"domain": "example.net"}, "<sip:+33100000000@example.net>", ()),
        ({"caller_id": ""}, "<sip:tocsin@pbx.example>", ()),
        ({"caller_id": "", "username": ""}, "<sip:tocsin@pbx.example>", ()),
        ({"username": "", "identity": "p-asserted"}, "<sip:+33100000000@pbx.example>", "P-Asserted-Identity"),
        ({"identity": "p-asserted"}, "<sip:tocsin@pbx.example>", "P-Asserted-Identity"),
        ({"identity": "p-preferred"}, "<sip:tocsin@pbx.example>", "P-Preferred-Identity"),
    ],
)
def test_who_calls(more: dict[str, Any], from_: str, headers: str | tuple[()]) -> None:
    _, _, found, further = parts(**more)
    assert str(found) == from_
    assert further == (((headers, "<sip:+33100000000@pbx.example>"),) if headers else ())


def test_the_identity_carries_name_and_domain() -> None:
    more = {"identity": "p-asserted", "caller_name": 'The "night" desk', "domain": "example.net"}
    _, _, from_, ((name, value),) = parts(**more)
    assert name == "P-Asserted-Identity"
    read = parse_name_addr(value)
    assert read is not None
    assert (read.display, read.uri) == ('The "night" desk', "sip:+33100000000@example.net")
    assert from_.display == 'The "night" desk'


@pytest.mark.parametrize("address", ["+33612345678", "4711", "*21#", "sip:anna@example.org"])
@pytest.mark.parametrize("identity", ["from", "p-asserted", "p-preferred"])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_everything_that_is_sent_can_be_read(address: str, identity: str, transport: str) -> None:
    target, to, from_, headers = parts(address, identity=identity, transport=transport)
    for uri in (target, to.uri, from_.uri):
        assert isinstance(parse_uri(uri), SipUri), uri
    for value in (str(to), str(from_), *(value for _, value in headers)):
        assert parse_name_addr(value) is not None, value


def test_credentials() -> None:
    assert credentials_of(settings()) is None
    ours = credentials_of(settings(password="hunter2"))
    assert ours is not None
    assert (ours.username, ours.password) == ("tocsin", "hunter2")
    other = credentials_of(settings(password="hunter2", auth_username="a1"))
    assert other is not None
    assert other.username == "a1"
    assert "hunter2" not in repr(ours)


def test_the_trunk_as_it_is_kept() -> None:
    config = trunk_config(
        settings(
            proxies=["b.example:5061", "[2001:db8::1]:5062"], register=True, register_s=600, options_s=5,
            password="hunter2", transport="tcp", domain="example.net",
        )
    )  # fmt: skip
    assert (config.host, config.port, config.transport) == ("pbx.example", 5080, "tcp")
    assert config.proxies == (("b.example", 5061), ("2001:db8::1", 5062))
    assert (config.register, config.register_s, config.options_s) == (True, 600, 5.0)
    assert (config.domain, config.username) == ("example.net", "tocsin")
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    ("listen", "host", "port", "public"),
    [
        ("127.0.0.1:5060", "127.0.0.1", 5060, "198.51.100.1"),
        ("[::]:0", "::", 0, "2001:db8::1"),
        ("0.0.0.0:5062", "0.0.0.0", 5062, "198.51.100.1"),
    ],
)
def test_our_side(listen: str, host: str, port: int, public: str) -> None:
    config = endpoint_config(settings(listen=listen, public_address=public, codecs=["PCMU"]))
    assert (config.host, config.port, config.tls, config.encrypted) == (host, port, None, False)
    assert (config.public_address, config.codecs, config.user) == (public, ("PCMU",), "tocsin")
    assert config.rtp_ports == (40_000, 40_999)
    assert endpoint_config(settings(listen=listen), port=0).port == 0
    assert endpoint_config(settings(listen=listen, username="")).user == "tocsin"


def test_tls_verifies_the_name_that_was_configured() -> None:
    config = endpoint_config(settings(transport="tls"))
    assert config.tls is not None
    assert config.tls.server_name == "pbx.example"
    assert config.tls.client.check_hostname
    assert config.tls.server is None
    blind = endpoint_config(settings(transport="tls", tls_verify=False))
    assert blind.tls is not None
    assert not blind.tls.client.check_hostname
