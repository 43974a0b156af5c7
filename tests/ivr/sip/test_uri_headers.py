"""URIs and header fields: read, written, refused."""

from __future__ import annotations

import pytest

from ivr.sip.events import reasons_of, retry_after
from ivr.sip.headers import (
    CSeq,
    Headers,
    NameAddr,
    Reason,
    parse_cseq,
    parse_name_addr,
    parse_party,
    parse_reason,
    parse_via,
)
from ivr.sip.message import Malformed, Request, Response, encode, parse
from ivr.sip.session_timer import SessionTimer, min_se, session_expires
from ivr.sip.uri import SipUri, TelUri, parse_host_port, parse_params, parse_uri, split_outside_quotes

# --- URIs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:h", SipUri(host="h")),
        ("SIPS:u@h:5061", SipUri(scheme="sips", user="u", host="h", port=5061)),
        ("sip:u:secret@h", SipUri(user="u", host="h")),
        ("sip:u@[2001:db8::1]:5070", SipUri(user="u", host="2001:db8::1", port=5070)),
        ("sip:u%40v@h", SipUri(user="u@v", host="h")),
        (
            "sip:u;x=y?z@h;lr;Transport=TCP?a=b",
            SipUri(user="u;x=y?z", host="h", params={"lr": None, "transport": "TCP"}, headers="a=b"),
        ),
        ("sip:+4930123;phone-context=x@h;user=phone", SipUri(user="+4930123;phone-context=x", host="h", params={"user": "phone"})),
        ("sip:u@h;=x;;a=", SipUri(user="u", host="h", params={"a": ""})),
        ("tel:+49-30(12).3;ext=4", TelUri(number="+49-30(12).3", params={"ext": "4"})),
    ],
)  # fmt: skip
def test_uris(text: str, expected: SipUri | TelUri) -> None:
    assert parse_uri(text) == expected
    assert parse_uri(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "sip:", "sip:@h", "sip:u@", "sip:u@h:0", "sip:u@h:65536", "sip:u@h:", "sip:u@h:x", "sip:u v@h", "sip:u@h h",
        "sip:u@[::1", "http://h", "tel:", "tel:abc\n", "mailto:a@b", "sip:" + "u" * 3_000 + "@h",
        "sip:u@h" + "".join(f";p{n}" for n in range(100)), "sip:u@h:\u0665060", "ſip:h",
    ],
)  # fmt: skip
def test_uris_that_are_none(text: str) -> None:
    assert parse_uri(text) is None


def test_a_user_part_is_escaped_where_it_has_to_be() -> None:
    uri = SipUri(user='a b"<>@\r\nü', host="h")
    assert str(uri) == "sip:a%20b%22%3C%3E%40%0D%0A%C3%BC@h"
    assert parse_uri(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h", ("h", None)), ("h:5060", ("h", 5060)), (" h : 5060 ", ("h", 5060)), ("[::1]:5", ("::1", 5)),
        ("1.2.3.4", ("1.2.3.4", None)),
        ("h:", None), ("h:70000", None), (":5", None), ("", None), ("h x", None), ("::1", None),
    ],
)  # fmt: skip
def test_hosts_and_ports(text: str, expected: tuple[str, int | None] | None) -> None:
    assert parse_host_port(text) == expected


def test_parameters() -> None:
    assert parse_params(' A = b ; lr;q="x;y\\"z"; ') == {"a": "b", "lr": None, "q": 'x;y"z'}
    assert parse_params(";".join(f"p{n}" for n in range(65))) is None
    assert split_outside_quotes('a,"b,\\",c",<d,e>,f', ",") == ["a", '"b,\\",c"', "<d,e>", "f"]


# --- headers ---------------------------------------------------------------------------------------------------------


def test_headers_are_a_list_that_changes_by_making_another() -> None:
    one = Headers([("v", "a"), ("VIA", "b, c"), ("X-y", "1")])
    assert one.all("via") == ("a", "b, c")
    assert one.elements("Via") == ("a", "b", "c")
    assert (one.get("x-Y"), one.get("none"), "VIA" in one, 5 in one) == ("1", None, True, False)
    assert list(one.set("via", "d")) == [("via", "d"), ("X-y", "1")]
    assert list(one.set("New", "d"))[-1] == ("New", "d")
    assert len(one.without("Via")) == 1
    assert next(iter(one.prepended("First", "1"))) == ("First", "1")
    assert one == Headers(list(one))
    assert hash(one) == hash(Headers(list(one)))


def test_compact_names_stand_for_their_long_ones() -> None:
    headers = Headers([("l", "0"), ("A", "*"), ("Z", "1"), ("vi", "2")])
    assert [name for name, _ in headers] == ["Content-Length", "Accept-Contact", "Z", "vi"]
    assert (headers.get("l"), headers.get("content-length"), headers.get("z")) == (None, "0", "1")


@pytest.mark.parametrize(
    ("text", "display", "uri", "tag"),
    [
        ('"Ward 3, \\"B\\"" <sip:a@b;x=y>;tag=1;z', 'Ward 3, "B"', "sip:a@b;x=y", "1"),
        ("<sip:a@b>;TAG=1", "", "sip:a@b", "1"),
        ("sip:a@b;tag=1", "", "sip:a@b", "1"),
        ("Anna B <tel:+1>", "Anna B", "tel:+1", None),
        ('"a<b>" <sip:a@b>', "a<b>", "sip:a@b", None),
        ('"" <urn:service:sos>', "", "urn:service:sos", None),
    ],
)
def test_addresses(text: str, display: str, uri: str, tag: str | None) -> None:
    found = parse_name_addr(text)
    assert found is not None
    assert (found.display, found.uri, found.tag) == (display, uri, tag)
    assert parse_name_addr(str(found)) == found


@pytest.mark.parametrize("text", ["", "*", "nothing", "<>", "<nothing>;tag=1", '"open <a@b>', "a@b;tag=1", ";tag=1"])
def test_addresses_that_are_none(text: str) -> None:
    assert parse_name_addr(text) is None


@pytest.mark.parametrize(
    ("text", "display", "uri", "tag"),
    [
        ('"open <sip:a@b>;tag=1', "open", "sip:a@b", "1"),
        ('""unknown"" <sip:a@b>;tag=1', "unknown", "sip:a@b", "1"),
        ('"Joe "the boss" Hill" <sip:a@b>;tag=1', 'Joe "the boss" Hill', "sip:a@b", "1"),
        ('"ends in \\" <sip:a@b>;tag=1', "ends in \\", "sip:a@b", "1"),
        ("O'Neil, \"x <sip:a@b>;tag=1", "O'Neil, \"x", "sip:a@b", "1"),
        ('"a" sip:a@b;tag=1', "a", "sip:a@b", "1"),
        ("<sip:a@b;tag=1", "", "sip:a@b", "1"),
        ("<sip:a@b> x;tag=1", "", "sip:a@b", "1"),
        ("<sip:a b@c d>;tag=1", "", "sip:a%20b@cd", "1"),
        ("sip:anna b@c;tag=1", "", "sip:anna%20b@c", "1"),
        ("<tel:+1 202 555>;tag=1", "", "tel:+1202555", "1"),
        ('"<sip:x@y>;tag=2" <sip:a@b>;tag=1', "<sip:x@y>;tag=2", "sip:a@b", "1"),
        ("\udce9t\udce9 <sip:a@b>;tag=1", "\udce9t\udce9", "sip:a@b", "1"),
        ("Unknown;tag=1", "", "sip:anonymous@anonymous.invalid", "1"),
        ("<>;tag=1", "", "sip:anonymous@anonymous.invalid", "1"),
        ("<sip:a@b>;" + "x;" * 10 + ";".join(f"p{n}" for n in range(80)) + ";tag=1", "", "sip:anonymous@anonymous.invalid", "1"),
        ("<sip:a@b>;tag=1 Date: today", "", "sip:a@b", "1"),
        ("<sip:a@b>;tag=", "", "sip:a@b", None),
        ("", "", "sip:anonymous@anonymous.invalid", None),
    ],
)  # fmt: skip
def test_of_a_from_only_the_tag_is_needed(text: str, display: str, uri: str, tag: str | None) -> None:
    found = parse_party(text)
    assert (found.display, found.uri, found.tag) == (display, uri, tag)
    assert parse_party(str(found)).tag == tag


@pytest.mark.parametrize(
    ("text", "host", "port", "branch", "rport"),
    [
        ("SIP/2.0/UDP h;branch=z9hG4bK1;rport", "h", None, "z9hG4bK1", None),
        ("sip / 2.0 / tls [::1]:5061;rport=77;branch=x", "::1", 5061, "x", 77),
        ("SIP/2.0/WS h:80;rport=999999", "h", 80, None, None),
    ],
)
def test_vias(text: str, host: str, port: int | None, branch: str | None, rport: int | None) -> None:
    found = parse_via(text)
    assert found is not None
    assert (found.host, found.port, found.branch, found.rport) == (host, port, branch, rport)
    assert parse_via(str(found)) == found


@pytest.mark.parametrize("text", ["", "SIP/3.0/UDP h", "SIP/2.0/UDP", "SIP/2.0/UDP h:x", "UDP h", "SIP/2.0/UDP :5"])
def test_vias_that_are_none(text: str) -> None:
    assert parse_via(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 INVITE", CSeq(1, "INVITE")), (" 0  BYE ", CSeq(0, "BYE")), ("2147483647 X", CSeq(2**31 - 1, "X")),
        ("2147483648 X", None), ("-1 X", None), ("1", None), ("INVITE", None), ("1 A Date: x", CSeq(1, "A")), ("\u0661 X", None),
        ("0000000000001 invite", CSeq(1, "INVITE")), ("1 Xy", CSeq(1, "Xy")),
    ],
)  # fmt: skip
def test_cseqs(text: str, expected: CSeq | None) -> None:
    assert parse_cseq(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Q.850;cause=16;text="Terminated"', Reason("Q.850", 16, "Terminated")),
        ("SIP ; cause=200", Reason("SIP", 200)),
        ("SIP;cause=x", Reason("SIP", None)),
        ("SIP;cause=99999", Reason("SIP", None)),
        ("", None),
        ("a b;cause=1", None),
    ],
)
def test_reasons(text: str, expected: Reason | None) -> None:
    assert parse_reason(text) == expected
    if expected is not None:
        assert parse_reason(str(expected)) == expected


def test_reasons_of_a_message_are_bounded() -> None:
    assert len(reasons_of(Headers([("Reason", ", ".join(["SIP;cause=200"] * 50))]))) == 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5.0),
        (" 18000;duration=3600", 18_000.0),
        ("120 (in a meeting)", 120.0),
        ("", None),
        ("soon", None),
        ("-5", None),
    ],
)
def test_retry_after(text: str, expected: float | None) -> None:
    assert retry_after(Headers([("Retry-After", text)])) == expected
    assert retry_after(Headers()) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1800", (1_800, None)), ("90;refresher=UAC", (90, "uac")), (" 200 ; refresher = uas ;x", (200, "uas")),
        ("999999999", (86_400, None)), ("x", None), ("", None), ("-90", None), ("99999999999", None),
    ],
)  # fmt: skip
def test_session_expires(text: str, expected: tuple[int, str | None] | None) -> None:
    assert session_expires(Headers([("x", text)])) == expected


def test_min_se_and_its_timer() -> None:
    assert [min_se(Headers([("Min-SE", text)])) for text in ("120;x", "", "x", "-1")] == [120, None, None, None]
    timer = SessionTimer(expires_s=100)
    assert not timer.lengthen(90)
    assert timer.lengthen(95)
    assert (timer.expires_s, timer.min_se_s) == (100, 95)
    assert timer.lengthen(200)
    assert timer.expires_s == 200
    assert SessionTimer(expires_s=0).request_headers() == []


# --- whole messages --------------------------------------------------------------------------------------------------


def test_nobody_can_put_a_header_into_ours() -> None:
    address = str(NameAddr('x\r\nRoute: <sip:evil>\r\n"', "sip:a@b"))
    headers = Headers(
        [("Via", "SIP/2.0/UDP h"), ("From", address), ("To", "<sip:a@b>"), ("Call-ID", "1"), ("CSeq", "1 BYE")]
    )
    with pytest.raises(ValueError, match="line end"):
        encode(Request(method="BYE", uri="sip:a@b", headers=headers))
    with pytest.raises(ValueError, match="line end"):
        encode(Response(status=200, reason="O\nK", headers=Headers()))


@pytest.mark.parametrize(
    ("field", "value"), [("Call-ID", "2"), ("CSeq", "2 BYE"), ("From", "<sip:x@y>"), ("To", "<sip:a@b>;tag=1")]
)
def test_fields_that_may_come_once_and_come_twice_are_refused(field: str, value: str) -> None:
    text = (
        "BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@b>\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 BYE\r\n"
    )
    assert isinstance(parse(f"{text}Content-Length: 0\r\n\r\n".encode()), Request)
    assert isinstance(parse(f"{text}Content-Length: 0\r\n{field}: {value}\r\n\r\n".encode()), Malformed)
