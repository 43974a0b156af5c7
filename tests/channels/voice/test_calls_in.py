"""Which number was dialled and who calls, as the network tells it; and which line answers then."""

from __future__ import annotations

from typing import Any

import pytest

from channels.voice.calls_in import SOURCE_CHARS_MAX, dialled_numbers, source_of
from gateway.lines import Lines
from gateway.settings import LineSettings
from ivr.sip.headers import Headers
from ivr.sip.message import Request
from tests.gateway.test_lines import DESK, FIRE, line

MAIN = "0033140000000"
"""The account of a trunk is often called as its main number is."""
CALLBACK = line("callback", "+33140000000", "acknowledgement")


def invite(uri: str, *, to: str = "<sip:tocsin@192.0.2.1>", **headers: str) -> Request:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request(method="INVITE", uri=uri, headers=Headers([("To", to), ("From", "<sip:nurse@x>"), *named]))


def answers(request: Request, *, own: str = MAIN, lines: tuple[LineSettings, ...] = (CALLBACK, FIRE, DESK)) -> Any:
    found = Lines(lines, anybody=True).called(dialled_numbers(request, own=own))
    return None if found is None else found.name


@pytest.mark.parametrize("to", ["+33140000018", "0033140000018", "0140000018", "+33-1-40-00-00-18"])
def test_behind_our_own_contact_to_says_which_number_was_dialled(to: str) -> None:
    """A registered trunk calls every number of the account at the one Contact."""
    uri = f"sip:{MAIN}@192.0.2.1:5060"
    assert answers(invite(uri, to=f"<sip:{to}@trunk.example>")) == "fire"
    assert answers(invite(f"sip:{MAIN};line=x@192.0.2.1", to=f'"Fire" <sip:{to}@trunk.example>;tag=1')) == "fire"
    assert answers(invite(uri, to="<tel:+33-1-40-00-00-18>")) == "fire"


@pytest.mark.parametrize("to", ["<sip:+33140000000@trunk.example>", "<sip:+33199999999@elsewhere>", "<sip:x@y>"])
def test_our_own_contact_is_a_number_where_nothing_else_is(to: str) -> None:
    assert answers(invite(f"sip:{MAIN}@192.0.2.1:5060", to=to)) == "callback"


def test_the_number_asked_for_goes_before_the_one_that_was_dialled_first() -> None:
    """A call that was forwarded to us still has the first number in To."""
    assert answers(invite("sip:+33140000018@192.0.2.1", to="<sip:+33140000000@trunk.example>")) == "fire"
    assert answers(invite("sip:4711@192.0.2.1", to="<sip:+33140000018@trunk.example>"), own="tocsin") == "desk"


def test_what_the_request_uri_was_before_a_proxy_replaced_it() -> None:
    """RFC 3455, 4.2."""
    called_party = {"P_Called_Party_ID": "<sip:+33140000018@trunk.example>"}
    for uri in (f"sip:{MAIN}@192.0.2.1", "sip:anna@192.0.2.1"):
        assert answers(invite(uri, to="<sip:+33140000000@trunk.example>", **called_party)) == "fire"
    assert answers(invite("sip:4711@192.0.2.1", **called_party)) == "desk"
    assert answers(invite("sip:4711@192.0.2.1", P_Called_Party_ID="<<")) == "desk"


def test_who_forwarded_a_call_chooses_no_line() -> None:
    uri = f"sip:{MAIN}@192.0.2.1"
    assert answers(invite(uri, Diversion="<sip:+33140000018@trunk.example>;reason=unconditional")) == "callback"


@pytest.mark.parametrize(
    ("uri", "to", "numbers"),
    [
        ("sip:4711@h", "<sip:4711@h>", ("4711",)),
        ("sip:tocsin@h", "<sip:4711@h>", ("4711", "tocsin")),
        ("sip:+33140000018;isub=1@h", "<sip:h>", ("+33140000018",)),
        ("tel:+33-1.40(00)0018", "<tel:4711;phone-context=+33>", ("+33140000018", "4711")),
        (
            "sip:anna-1@h",
            "<sip:4711-1@h>",
            ("anna-1", "4711-1"),
        ),  # only what begins with a plus is a number for certain
        ("http://h", "<urn:service:sos>", ()),
        ("sip:+33%20140%20000018@h", '"Fire "1"" <sip:01 40 00 00 18@h>', ("+33140000018", "0140000018")),
        ("sip:4711@no+host", "<sip:4712@>;tag", ("4711", "4712")),
        ("sip:4711:secret@h:99999", "Unknown", ("4711", "anonymous")),
    ],
)
def test_numbers_of_a_request(uri: str, to: str, numbers: tuple[str, ...]) -> None:
    assert dialled_numbers(invite(uri, to=to), own="tocsin") == numbers


@pytest.mark.parametrize(
    ("headers", "source"),
    [
        ({}, "nurse"),
        ({"P_Asserted_Identity": "<tel:+33-6-12-34-56-78>"}, "+33612345678"),
        ({"P_Asserted_Identity": "<sip:+33612345678@h;user=phone>"}, "+33612345678"),
        ({"P_Asserted_Identity": "<sip:h>"}, "unknown"),
        ({"P_Asserted_Identity": f"<sip:{'1' * 200}@h>"}, "1" * SOURCE_CHARS_MAX),
        ({"P_Asserted_Identity": "<sip:+331@h>, <tel:+331>"}, "+331"),
        ({"P_Asserted_Identity": 'nobody, "Anna "A"" <sip:+33 612@h>'}, "+33612"),
        ({"P_Asserted_Identity": "<"}, "nurse"),
        ({"P_Asserted_Identity": "<sip:4%00\udce9\u202e711@h>"}, "4711"),
    ],
)
def test_where_a_call_says_it_comes_from(headers: dict[str, str], source: str) -> None:
    assert source_of(invite("sip:4711@h", **headers)) == source
