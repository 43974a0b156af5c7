"""Sound goes to one host, and to no port of a service, whatever a session description says."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr.sip.negotiation import Negotiation
from ivr.sip.unicast import DISCARD, NOWHERE, seen_from, why_no_port, why_not

REFUSED = {
    "224.0.0.1": "RFC 1112", "239.255.255.250": "RFC 1112", "::ffff:224.0.0.1": "RFC 1112", "ff02::1": "RFC 4291",
    "ff0e::101": "RFC 4291", "255.255.255.255": "RFC 919", "240.0.0.1": "RFC 919", "::ffff:255.255.255.255": "RFC 919",
    "0.0.0.1": "RFC 1122", "0.255.255.255": "RFC 1122", "::ffff:0.0.0.0": "RFC 1122", "::ffff:0:0": "RFC 1122",
}  # fmt: skip
TAKEN = ("192.0.2.7", "10.0.0.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "2001:db8::1", "fe80::1", "::1", "fd00::1")


def described(address: str, port: int = 40_000, *, media: bool = False) -> bytes:
    """A description with this place for sound, in the c= of the session or of the m= line."""
    family = "IP6" if ":" in address else "IP4"
    line, audio = f"c=IN {family} {address}\r\n", f"m=audio {port} RTP/AVP 0 8 101\r\n"
    body = audio + line if media else line + "t=0 0\r\n" + audio
    return f"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n{body}".encode()


def ours() -> Negotiation:
    return Negotiation(address="192.0.2.1", port=40_000, session_id=1)


@pytest.mark.parametrize("media", [False, True], ids=["of the session", "of the line"])
@pytest.mark.parametrize("address", REFUSED)
def test_case_7_12_no_sound_is_agreed_for_an_address_of_many_or_of_nobody(address: str, media: bool) -> None:
    for negotiation in (ours(), ours()):
        assert negotiation.answer(described(address, media=media)) is None
        assert REFUSED[address] in negotiation.refusal
        negotiation.offer()
        assert not negotiation.accept(described(address, media=media))
        assert REFUSED[address] in negotiation.refusal
        assert negotiation.agreed is None


@pytest.mark.parametrize("port", [1, 22, 53, 123, 161, 1023])
def test_no_sound_is_agreed_for_a_port_of_a_service(port: int) -> None:
    negotiation = ours()
    assert negotiation.answer(described("192.0.2.7", port)) is None
    assert "RFC 6335" in negotiation.refusal
    assert not why_no_port(1024)
    assert not why_no_port(DISCARD)


@pytest.mark.parametrize("address", TAKEN)
def test_ordinary_addresses_are_taken(address: str) -> None:
    negotiation = ours()
    assert negotiation.answer(described(address)) is not None
    assert negotiation.agreed is not None
    assert negotiation.agreed.address == address


@pytest.mark.parametrize("address", NOWHERE)
def test_nothing_is_sent_to_an_old_hold(address: str) -> None:
    negotiation = ours()
    assert negotiation.answer(described(address)) is not None
    assert negotiation.agreed is not None
    assert not negotiation.agreed.may_send


@pytest.mark.parametrize("change", ["224.0.0.1", "255.255.255.255", "0.0.0.7"])
def test_a_call_that_is_up_goes_on_where_it_was(change: str) -> None:
    negotiation = ours()
    negotiation.answer(described("192.0.2.7"))
    before = negotiation.agreed
    assert negotiation.answer(described(change)) is None
    assert negotiation.agreed is before


@pytest.mark.parametrize(
    ("address", "peer", "meant"),
    [
        ("127.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("127.0.1.1", "2001:db8::1", "2001:db8::1"),
        ("::1", "192.0.2.7", "192.0.2.7"),
        ("::ffff:127.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "127.0.0.9", "127.0.0.1"),
        ("127.0.0.1", "::1", "127.0.0.1"),
        ("192.0.2.8", "192.0.2.7", "192.0.2.8"),
        ("", "192.0.2.7", "192.0.2.7"),
    ],
)
def test_a_loopback_address_of_another_machine_is_not_ours(address: str, peer: str, meant: str) -> None:
    assert seen_from(address, peer) == meant


@given(st.ip_addresses())
def test_every_address_of_many_is_refused(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if address.is_multicast or str(address) == "255.255.255.255":
        assert why_not(str(address))


@given(st.text(max_size=50))
def test_what_is_no_address_raises_nothing(text: str) -> None:
    why_not(text)
    seen_from(text, text)
