"""Every message of RFC 4475: what our parser makes of it, and what our user agent answers."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from ivr.sip import sdp
from ivr.sip.agent import Admission, Admitted, Challenged, Doorkeeper, Dropped, LocalSide, UserAgent
from ivr.sip.digest import Credentials, Unproved, Verifier
from ivr.sip.events import Ended, Offered, retry_after
from ivr.sip.framing import FramingError, StreamFramer
from ivr.sip.headers import Headers, NameAddr, parse_name_addr, parse_via
from ivr.sip.hop import Hop, Transport
from ivr.sip.message import KeepAlive, Malformed, Request, Response, encode, fields, parse, split
from ivr.sip.negotiation import Negotiation
from ivr.sip.uri import SipUri, parse_uri
from tests.ivr.sip import torture

FROM_HOST = "203.0.113.9"
OFFERED = "offered"
"""The message is a call that whoever has the agent may answer."""

# What the agent does at once with each message: the status that it answers, a call offered, or nothing (None).
# Not here, for their answers are left open: intmeth and longreq (below without the NUL and the long name), badvers,
# unkscm, novelsc and invut.
REACTIONS: dict[str, int | str | None] = {
    "wsinv": 481,  # well-formed, with a To tag of a dialog that is not ours
    "esc01": OFFERED,
    "escnull": 405,  # no registrar here
    "esc02": 405,  # the RFC's 501 would do as well: a method that we do not have, with those that we have in Allow
    "lwsdisp": 200,
    "dblreq": 405,
    "semiuri": 200,
    "transports": 200,
    "mpart01": 405,  # no instant messages here
    "unreason": None,
    "noreason": None,
    "badinv01": OFFERED,  # more liberal than the RFC's 400: the top Via can be read, and empty parameters mean nothing
    "clerr": OFFERED,  # liberal, where RFC 3261, 18.3 has a SHOULD: a datagram ends where it ends; over a connection it is 400
    "ncl": OFFERED,  # likewise: a length that is none says nothing of a datagram
    "scalar02": 400,
    "scalarlg": None,
    "quotbal": OFFERED,  # liberal, as the RFC allows: the quote that is missing is inferred, and of To only the tag is needed
    "ltgtruri": OFFERED,  # liberal, as the RFC allows: the brackets are ignored, and not passed on
    "lwsruri": 481,  # liberal, as the RFC allows for SIP: the blank is ignored; the To has a tag of a dialog that is not ours
    "lwsstart": OFFERED,  # liberal, as the RFC allows: more blanks than one change nothing
    "trws": 200,  # likewise
    "escruri": OFFERED,  # liberal, as the RFC allows: headers in the Request-URI are ignored
    "baddate": OFFERED,  # liberal, as the RFC allows: Date says nothing to us
    "regbadct": 405,  # no registrar here: its Contact is never looked at
    "badaspec": 200,  # liberal, as the RFC allows: blanks within the brackets are ignored
    "baddn": 200,  # liberal, as the RFC allows: From and To are no lists, the comma cannot mislead
    "mismatch01": 400,
    "mismatch02": 400,
    "bigcode": None,
    "badbranch": 200,
    "insuf": 400,  # it repeats what is there
    "unksm2": 405,
    "bext01": 420,
    "regaut01": 405,
    "multi01": 400,  # it repeats the first Call-ID and CSeq: whichever is meant, silence would only have it sent again
    "mcl01": 200,  # the RFC: as good as no length at all, which is none in a datagram; over a connection it ends the connection
    "bcast": None,
    "zeromf": 200,
    "cparam01": 405,
    "cparam02": 405,
    "regescrt": 405,
    "sdp01": OFFERED,  # the RFC's 406 is a "could": who sends a description can read one
    "inv2543": OFFERED,
}
MALFORMED = ("scalar02", "scalarlg", "mismatch01", "mismatch02", "bigcode", "insuf", "multi01")
ANSWERED_MALFORMED = ("scalar02", "mismatch01", "mismatch02", "insuf", "multi01")
REPEATED = ("scalar02", "insuf", "multi01")
"""Whose answers repeat what nobody can read, or lack what was not there."""


class Bench:
    """A user agent, and the one who sends to it."""

    def __init__(self, admit: Doorkeeper = lambda *_: Admitted(), transport: Transport = "udp") -> None:
        numbers = itertools.count(1)
        local = LocalSide(host="192.0.2.200", ports={"udp": 5060, "tcp": 5060, "tls": 5061})
        self.agent = UserAgent(local=local, tokens=lambda: f"t{next(numbers)}", admit=admit)
        self.source = Hop(transport, FROM_HOST, 40_000)
        self.hops: list[Hop] = []

    def hear(self, data: bytes, now: float = 0.0) -> list[Response]:
        """Gives it a message; what it answers."""
        self.agent.receive(data, self.source, now)
        return self.said()

    def said(self) -> list[Response]:
        """What it sent since."""
        found = []
        for hop, data in self.agent.messages_to_send():
            self.hops.append(hop)
            found.append(as_sent(data))
        return found

    def offered(self) -> Offered:
        """The call that it told of."""
        event = self.agent.next_event()
        assert isinstance(event, Offered)
        return event


def as_sent(data: bytes) -> Response:
    """A response of ours, which may repeat what cannot be read."""
    head, body = split(data)
    start, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    _, status, reason = start.split(" ", 2)
    return Response(status=int(status), reason=reason, headers=Headers(fields(lines)[0]), body=body)


def request(name: str) -> Request:
    message = parse(torture.MESSAGES[name])
    assert isinstance(message, Request)
    return message


def response(name: str) -> Response:
    message = parse(torture.MESSAGES[name])
    assert isinstance(message, Response)
    return message


def uri(text: str) -> SipUri:
    found = parse_uri(text)
    assert isinstance(found, SipUri)
    return found


def contacts(message: Request | Response) -> list[NameAddr]:
    found = [parse_name_addr(value) for value in message.headers.elements("Contact")]
    assert None not in found
    return [one for one in found if one is not None]


# --- all of them -----------------------------------------------------------------------------------------------------


def test_they_are_all_here() -> None:
    sections = (torture.VALID, torture.INVALID, torture.TRANSACTION, torture.APPLICATION, torture.BACKWARD)
    assert [len(section) for section in sections] == [13, 19, 1, 15, 1]
    assert len(torture.MESSAGES) == 49


@pytest.mark.parametrize(("name", "expected"), REACTIONS.items())
def test_the_agent_reacts(name: str, expected: int | str | None) -> None:
    bench = Bench()
    answers = bench.hear(torture.MESSAGES[name])
    assert [answer.status for answer in answers] == ([expected] if isinstance(expected, int) else [])
    assert isinstance(bench.agent.next_event(), Offered) == (expected == OFFERED)
    assert bench.agent.next_event() is None
    assert bench.agent.counts.malformed == (name in MALFORMED)
    for answer in answers:
        heard = parse(torture.MESSAGES[name])
        asked = heard.request if isinstance(heard, Malformed) else heard
        assert isinstance(asked, Request)
        assert answer.headers.get("From") == asked.headers.get("From")
        assert answer.headers.get("Call-ID") == asked.headers.get("Call-ID")
        assert answer.headers.get("CSeq") == asked.headers.get("CSeq")
        assert len(answer.headers.elements("Via")) == len(asked.headers.elements("Via"))
        assert answer.body == b""
        if name in REPEATED:
            continue
        assert answer.cseq == asked.cseq
        assert answer.to.uri == asked.to.uri
        assert answer.to.tag == (asked.to.tag or bench.agent.tags.of(asked))
        assert answer.via.branch == asked.via.branch


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_ones_come_out_as_such(name: str) -> None:
    message = parse(torture.MESSAGES[name])
    assert isinstance(message, Malformed)
    assert (message.request is not None) == (name in ANSWERED_MALFORMED)


@pytest.mark.parametrize("name", torture.MESSAGES)
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("admission", [Admitted(), Challenged(('Digest realm="r", nonce="n"',)), Dropped()])
def test_whatever_the_door_says_nothing_raises(name: str, transport: Transport, admission: Admission) -> None:
    bench = Bench(lambda *_: admission, transport)
    answers = bench.hear(torture.MESSAGES[name])
    if isinstance(admission, Dropped) and name not in (
        "wsinv",
        "inv2543",
    ):  # the To tag of the one is checked further in
        assert answers == []
    for hop in bench.hops:
        assert (hop.transport, hop.host) == (transport, FROM_HOST)
    for _ in range(200):
        deadline = bench.agent.next_deadline()
        if deadline is None:
            break
        bench.agent.handle_deadline(deadline)
        assert all(answer.status >= 100 for answer in bench.said())
    assert bench.agent.next_deadline() is None


@pytest.mark.parametrize("name", torture.MESSAGES)
def test_no_part_of_one_raises(name: str) -> None:
    data = torture.MESSAGES[name]
    for end in range(0, len(data), 7):
        assert isinstance(parse(data[:end]), Request | Response | Malformed | KeepAlive)
        assert isinstance(parse(data[end:]), Request | Response | Malformed | KeepAlive)


@pytest.mark.parametrize("name", [name for name in REACTIONS if name not in MALFORMED])
def test_written_again_it_says_the_same(name: str) -> None:
    before = parse(torture.MESSAGES[name])
    assert isinstance(before, Request | Response)
    after = parse(encode(before))
    assert isinstance(after, type(before))
    assert after.headers.without("Content-Length") == before.headers.without("Content-Length")
    assert replace(after, headers=before.headers) == before


@pytest.mark.parametrize("name", torture.MESSAGES)
@pytest.mark.parametrize("step", [1, 100, 10_000])
def test_over_a_connection_it_is_cut_as_content_length_says(name: str, step: int) -> None:
    data = torture.MESSAGES[name]
    framer = StreamFramer(65_535)
    found = [one for at in range(0, len(data), step) for one in framer.receive(data[at : at + step])]
    match name:
        case "clerr":
            assert found == []  # there may be more to come
        case "ncl" | "inv2543" | "mcl01":
            assert [type(one) for one in found] == [
                FramingError
            ]  # where it ends cannot be known: the connection closes
        case "dblreq":  # the second one's length is too small by three octets: what they begin is no message
            first, second, rest = found
            assert isinstance(first, bytes)
            assert isinstance(second, bytes)
            assert isinstance(rest, FramingError)
            cut = parse(second)
            assert isinstance(cut, Request)
            assert (cut.method, cut.call_id) == ("INVITE", "dblreq.0ha0isnda977644900765@192.0.2.15")
        case _:
            assert found == [data]


# --- 3.1.1: valid ----------------------------------------------------------------------------------------------------


def test_wsinv() -> None:
    message = request("wsinv")
    assert message.method == "INVITE"
    assert uri(message.uri) == SipUri(user="vivekg", host="chair-dnrc.example.com", params={"unknownparam": None})
    assert message.to == NameAddr("", "sip:vivekg@chair-dnrc.example.com", {"tag": "1918181833n"})
    assert message.from_ == NameAddr('J Rosenberg \\"', "sip:jdrosen@example.com", {"tag": "98asjd8"})
    assert message.headers.get("Max-Forwards") == "0068"
    assert (message.cseq.number, message.cseq.method) == (9, "INVITE")
    vias = [parse_via(value) for value in message.headers.elements("Via")]
    assert [(via.transport, via.host, via.port, via.branch) for via in vias if via is not None] == [
        ("UDP", "192.0.2.2", None, "390skdjuw"),
        ("TCP", "spindle.example.com", None, "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", None, "z9hG4bK30239"),
    ]
    assert message.headers.get("Subject") == ""
    assert message.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert message.headers.get("unknownheaderwithunusualvalue") == ";;,,;;,;"
    route = parse_name_addr(message.headers.elements("Route")[0])
    assert route is not None
    assert uri(route.uri).params == {"lr": None, "unknownwith": "value", "unknown-no-value": None}
    assert contacts(message) == [
        NameAddr(
            'Quoted string ""',
            "sip:jdrosen@example.com",
            {"newparam": "newvalue", "secondparam": None, "q": "0.33"},
        )
    ]
    assert len(message.body) == 150
    described = sdp.parse(message.body)
    assert described is not None
    assert (described.origin, described.address) == ("192.0.2.3", "192.0.2.4")
    assert [(media.kind, media.port, media.payload_types) for media in described.media] == [
        ("audio", 49217, (0, 12)),
        ("video", 3227, (31,)),
    ]


def test_intmeth_but_for_its_nul() -> None:
    data = torture.INTMETH.replace(b" NUL:\\\x00", b"")
    message = parse(data)
    assert isinstance(message, Request)
    assert message.method == message.cseq.method == torture.UNUSUAL_METHOD
    assert message.cseq.number == 139122385
    asked = uri(message.uri)
    assert asked.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert (asked.host, asked.params, asked.headers) == ("example.com", {}, "")
    assert message.via.branch == "z9hG4bK-.!%66*_+`'~"
    assert message.to.display == "BEL:\x07 DEL:\x7f"
    assert uri(message.to.uri).user == asked.user
    assert message.from_.display == "token1~` token2'+_ token3*%!.-"
    assert message.from_.uri == "sip:mundane@example.com"
    assert message.from_.params == {"fromparam''~+*_!.-%": "работающий", "tag": "_token~1'+`*%!-."}
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert message.headers.get("Max-Forwards") == "255"
    assert message.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"
    [answer] = Bench().hear(data)
    assert answer.status == 405  # the RFC's 501 would do as well; what both need is the Allow
    assert "INVITE" in answer.headers.elements("Allow")
    assert answer.via.branch == message.via.branch
    assert answer.from_ == message.from_


def test_esc01() -> None:
    message = request("esc01")
    assert uri(message.uri) == SipUri(user="sips:user@example.com", host="example.net")
    assert uri(message.to.uri) == SipUri(user="user", host="example.com")
    assert uri(message.from_.uri) == SipUri(user="I have spaces", host="example.net")
    assert str(uri(message.from_.uri)) == "sip:I%20have%20spaces@example.net"
    [contact] = contacts(message)
    assert (uri(contact.uri).user, uri(contact.uri).host) == ("caller", "host5.example.net")
    assert contact.params == {}
    assert message.headers.get("Content-Type") == "application/sdp"
    assert message.call_id == "esc01.239409asdfakjkn23onasd0-3234"


def test_escnull() -> None:
    message = request("escnull")
    assert uri(message.to.uri).user == uri(message.from_.uri).user == "null-\0-null"
    assert [uri(contact.uri).user for contact in contacts(message)] == ["\0", "\0\0"]
    assert [str(uri(contact.uri)) for contact in contacts(message)] == [contact.uri for contact in contacts(message)]
    assert message.headers.get("Content-Length") == "0"


def test_esc02() -> None:
    message = request("esc02")
    assert message.method == message.cseq.method == "RE%47IST%45R"
    assert message.to.display == message.from_.display == "%Z%45"
    assert message.via.branch == "z9hG4bK209%fzsnel234"
    assert [contact.uri for contact in contacts(message)] == [
        "sip:alias1@host1.example.com",
        "sip:alias3@host3.example.com",
    ]
    assert message.headers.get("C%6Fntact") == "<sip:alias2@host2.example.com>"


def test_lwsdisp() -> None:
    message = request("lwsdisp")
    assert message.from_ == NameAddr("caller", "sip:caller@example.com", {"tag": "323"})


def test_longreq() -> None:
    data = torture.LONGREQ
    message = parse(data)
    assert isinstance(message, Request)
    vias = message.headers.elements("Via")
    assert vias[:-1] == tuple(f"SIP/2.0/TCP sip{n}.example.com" for n in range(33, 0, -1))
    last = parse_via(vias[-1])
    assert last is not None
    assert (last.host, last.received) == ("host.example.com", "192.0.2.5")
    assert last.branch == f"very{'long' * 50}branchvalue"
    assert message.to.display == f"I have a user name of {'extreme' * 10} proportion"
    asked = uri(message.to.uri)
    assert (asked.user, asked.host, asked.port, len(asked.params)) == ("user", "example.com", 6000, 3)
    assert message.from_.uri == f"sip:{torture.LONG_CALLER}@example.net"
    assert message.from_.tag == torture.LONG_TAG
    assert len(message.from_.params) == 3
    assert message.call_id == torture.LONG_CALL_ID
    assert message.cseq.number == 3882340
    assert len(message.body) == 150
    [contact] = contacts(message)
    assert uri(contact.uri).user == torture.LONG_CALLER
    bench = Bench(transport="tcp")
    assert bench.hear(data) == []
    bench.offered().call.refuse(486, 0.0)
    [answer] = bench.said()
    assert answer.headers.elements("Via")[1:] == vias[1:]
    assert answer.via.received == FROM_HOST


def test_dblreq_as_one_datagram_is_its_first_message() -> None:
    message = request("dblreq")
    assert (message.method, message.call_id, message.body) == (
        "REGISTER",
        "dblreq.0ha0isndaksdj99sdfafnl3lk233412",
        b"",
    )


def test_semiuri() -> None:
    message = request("semiuri")
    assert uri(message.uri) == SipUri(user="user;par=u@example.net", host="example.com")
    assert message.headers.elements("Accept") == (
        *("application/sdp", "application/pkcs7-mime", "multipart/mixed", "multipart/signed"),
        *("message/sip", "message/sipfrag"),
    )


def test_transports() -> None:
    vias = [parse_via(value) for value in request("transports").headers.elements("Via")]
    assert [via.transport for via in vias if via is not None] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]
    [answer] = Bench().hear(torture.TRANSPORTS)
    assert [value.split()[0] for value in answer.headers.elements("Via")] == [
        f"SIP/2.0/{name}" for name in ("UDP", "SCTP", "TLS", "UNKNOWN", "TCP")
    ]


def test_mpart01() -> None:
    message = request("mpart01")
    assert message.method == "MESSAGE"
    assert len(message.body) == 553
    assert message.body.count(b"--7a9cbec02ceef655") == 3
    assert torture.SIGNATURE in message.body
    assert message.via.rport is None
    assert "rport" in message.via.params
    bench = Bench()
    [answer] = bench.hear(torture.MPART01)
    assert (answer.via.received, answer.via.rport) == (FROM_HOST, 40_000)
    assert bench.hops == [Hop("udp", FROM_HOST, 40_000)]  # RFC 3581: to the port that it came from


def test_unreason() -> None:
    message = response("unreason")
    assert (message.status, message.reason) == (200, "= 2**3 * 5**2 но сто девяносто девять - простое")
    assert [contact.uri for contact in contacts(message)] == ["sip:user@host198.example.com"]
    assert len(message.body) == 154


def test_noreason() -> None:
    message = response("noreason")
    assert (message.status, message.reason) == (100, "")
    assert message.to.tag == "902jndnke3"


@pytest.mark.parametrize("name", ["unreason", "noreason", "bcast"])
def test_responses_to_nothing_that_we_asked_are_counted_and_left(name: str) -> None:
    bench = Bench()
    assert bench.hear(torture.MESSAGES[name]) == []
    assert bench.agent.counts.unmatched == 1
    assert bench.agent.next_deadline() is None


# --- 3.1.2: invalid --------------------------------------------------------------------------------------------------


def test_badinv01() -> None:
    message = request("badinv01")
    assert (message.via.host, message.via.params) == ("192.0.2.15", {})
    assert contacts(message) == [NameAddr("Joe", "sip:joe@example.org", {})]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("scalar02", "no CSeq that can be read"),
        ("scalarlg", "no CSeq that can be read"),
        ("mismatch01", "CSeq names another method"),
        ("mismatch02", "CSeq names another method"),
        ("insuf", "no from"),
        ("multi01", "several from that differ"),
    ],
)
def test_what_is_wrong_is_said(name: str, reason: str) -> None:
    message = parse(torture.MESSAGES[name])
    assert isinstance(message, Malformed)
    assert (message.reason, message.status) == (reason, 400)


@pytest.mark.parametrize("name", ["clerr", "ncl", "mcl01"])
def test_over_a_connection_a_length_has_to_be_right(name: str) -> None:
    message = parse(torture.MESSAGES[name], framed=True)
    assert isinstance(message, Malformed)
    assert (message.reason, message.status) == ("Content-Length is wrong", 400)
    assert message.request is not None


def test_what_was_read_with_goodwill_is_said() -> None:
    for name in ("clerr", "ncl", "mcl01"):
        assert request(name).flaws == ("Content-Length is not the length of the body",)
    assert request("ltgtruri").uri == "sip:user@example.com"
    assert request("lwsruri").uri == "sip:user@example.com;lr"


def test_scalar02_and_scalarlg_but_for_their_cseq() -> None:
    register = parse(torture.SCALAR02.replace(b"36893488147419103232", b"2147483647"))
    assert isinstance(register, Request)
    assert register.cseq.number == 2**31 - 1
    assert contacts(register)[0].params == {"expires": "280297596632815"}
    assert isinstance(parse(torture.SCALAR02.replace(b"36893488147419103232", b"2147483648")), Malformed)
    refused = parse(torture.SCALARLG.replace(b"9292394834772304023312", b"1"))
    assert isinstance(refused, Response)
    wait_s = retry_after(refused.headers)
    assert wait_s is not None
    assert wait_s > 10 * 365 * 86_400


def test_lwsstart_and_trws() -> None:
    assert request("lwsstart").uri == "sip:user@example.com"
    assert request("trws").uri == "sip:remote-target@example.com"


def test_escruri() -> None:
    asked = uri(request("escruri").uri)
    assert (asked.user, asked.host, asked.headers) == ("user", "example.com", "Route=%3Csip:example.com%3E")
    assert "Route" not in request("escruri").headers


def test_badaspec_and_baddn() -> None:
    assert request("badaspec").to == NameAddr("Watson, Thomas", "sip:t.watson@example.org", {})
    assert request("baddn").to == NameAddr("Watson, Thomas", "sip:t.watson@example.org", {})
    assert request("baddn").from_ == NameAddr("Bell, Alexander", "sip:a.g.bell@example.com", {"tag": "43"})


def test_badvers() -> None:
    message = parse(torture.BADVERS)
    assert isinstance(message, Malformed)
    assert message.request is not None
    [answer] = Bench().hear(
        torture.BADVERS
    )  # its Via is of that version too: it goes back as it is, to where it came from
    assert (answer.status, answer.headers.all("Via")) == (505, message.request.headers.all("Via"))


def test_another_version_in_the_start_line_is_refused() -> None:
    [answer] = Bench().hear(torture.BADVERS.replace(b"SIP/7.0/UDP", b"SIP/2.0/UDP"))
    assert (answer.status, answer.reason) == (505, "Version Not Supported")


def test_bigcode_is_none_of_ours() -> None:
    bench = Bench()
    assert bench.hear(torture.BIGCODE) == []
    assert (bench.agent.counts.malformed, bench.agent.counts.unmatched) == (1, 0)


# --- 3.2: transactions -----------------------------------------------------------------------------------------------


def test_badbranch_names_no_transaction() -> None:
    bench = Bench()
    other = torture.BADBRANCH.replace(b"Call-ID: badbranch.", b"Call-ID: another.")
    answers = [*bench.hear(torture.BADBRANCH), *bench.hear(other)]
    assert [answer.status for answer in answers] == [200, 200]
    assert [answer.call_id.partition(".")[0] for answer in answers] == ["badbranch", "another"]
    assert bench.hear(torture.BADBRANCH) == answers[:1]  # the same request again has the same answer again
    assert bench.hear(other) == answers[1:]


# --- 3.3: applications -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "asked"),
    [("unkscm", "nobodyKnowsThisScheme:totallyopaquecontent"), ("novelsc", "soap.beep://192.0.2.103:3002")],
)
def test_a_call_to_an_unknown_scheme_is_refused(name: str, asked: str) -> None:
    message = request(name)
    assert message.uri == asked
    assert parse_uri(message.uri) is None
    [answer] = Bench().hear(torture.MESSAGES[name].replace(b"OPTIONS", b"INVITE"))
    assert (answer.status, answer.reason) == (416, "Unsupported URI Scheme")


def test_unksm2_is_well_formed() -> None:
    message = request("unksm2")
    assert (message.to.uri, message.to.params) == ("isbn:2983792873", {})
    assert (message.from_.uri, message.from_.tag) == ("http://www.example.com", "3234233")
    assert [contact.uri for contact in contacts(message)] == ["name:John_Smith"]
    assert parse_uri(message.to.uri) is parse_uri(message.from_.uri) is None


def test_bext01_names_what_is_not_supported() -> None:
    [answer] = Bench(transport="tls").hear(torture.BEXT01)
    assert (answer.status, answer.reason) == (420, "Bad Extension")
    assert answer.headers.elements("Unsupported") == ("nothingSupportsThis", "nothingSupportsThisEither")


def test_invut_brings_no_call() -> None:
    message = request("invut")
    assert message.headers.get("Content-Type") == "application/unknownformat"
    assert len(message.body) == 40
    bench = Bench()
    answers = bench.hear(torture.INVUT)
    event = bench.agent.next_event()
    if isinstance(event, Offered):
        assert not event.call.answer(negotiation(), 0.0)
        answers = bench.said()
    assert [answer.status // 100 for answer in answers] == [4]


def test_regaut01_proves_nothing() -> None:
    verifier = Verifier(realm="r", credentials=Credentials(username="u", password="p"), key=b"k")

    def admit(asked: Request, _source: Hop, now: float) -> Admission:
        given = asked.headers.get("Authorization") or ""
        proved = verifier.check(given, method=asked.method, uri=asked.uri, now=now)
        assert proved == Unproved()
        return Challenged(verifier.challenges(now, "token"))

    [answer] = Bench(admit, "tcp").hear(torture.REGAUT01)
    assert answer.status == 401
    assert all(value.startswith("Digest ") for value in answer.headers.all("WWW-Authenticate"))


def test_bcast_goes_nowhere() -> None:
    message = response("bcast")
    assert [value.split()[1].partition(";")[0] for value in message.headers.elements("Via")] == [
        "192.0.2.198",
        "255.255.255.255",
    ]


def test_zeromf_is_for_us() -> None:
    assert request("zeromf").headers.get("Max-Forwards") == "0"
    [answer] = Bench().hear(torture.ZEROMF)
    assert answer.headers.elements("Allow")  # no proxy here: what is for us is answered however far it may go


def test_cparam_belongs_to_the_header_without_brackets_and_to_the_uri_within() -> None:
    [outside], [within] = contacts(request("cparam01")), contacts(request("cparam02"))
    assert (outside.uri, outside.params) == ("sip:+19725552222@gw1.example.net", {"unknownparam": None})
    assert uri(outside.uri).params == {}
    assert (within.params, uri(within.uri).params) == ({}, {"unknownparam": None})
    assert uri(within.uri).user == uri(outside.uri).user == "+19725552222"


def test_regescrt() -> None:
    [contact] = contacts(request("regescrt"))
    assert uri(contact.uri) == SipUri(user="user", host="example.com", headers="Route=%3Csip:sip.example.com%3E")


# --- calls that are taken --------------------------------------------------------------------------------------------


def negotiation() -> Negotiation:
    return Negotiation(address="192.0.2.200", port=40_000, session_id=7)


@pytest.mark.parametrize("name", [name for name, reaction in REACTIONS.items() if reaction == OFFERED])
def test_the_call_can_be_answered(name: str) -> None:
    bench = Bench()
    assert bench.hear(torture.MESSAGES[name]) == []
    call = bench.offered().call
    assert call.request.body == request(name).body
    media = negotiation()
    assert isinstance(bench.agent.next_deadline(), float)
    assert call.answer(media, 0.0)
    [answer] = bench.said()
    assert answer.status == 200
    assert media.agreed is not None
    assert (media.agreed.codec, media.agreed.port) == ("PCMU", 49217)
    described = sdp.parse(answer.body)
    assert described is not None
    ports = [line.port for line in described.media]
    assert ports == ([40_000] if name == "inv2543" else [40_000, 0])  # no video here


def test_inv2543_is_a_call_like_any_other() -> None:
    message = request("inv2543")
    assert (message.via.branch, message.from_.tag, message.to.tag) == (None, None, None)
    assert (message.to.uri, message.to.params) == ("sip:+16505552222@ss1.example.net", {"user": "phone"})
    assert uri(message.from_.uri).params == {"user": "phone"}
    bench = Bench()
    assert bench.hear(torture.INV2543) == []
    assert bench.hear(torture.INV2543) == []  # the same request again: one call, not two
    call = bench.offered().call
    assert bench.agent.next_event() is None
    assert call.answer(negotiation(), 0.0)
    [answer] = bench.said()
    assert answer.headers.all("Record-Route") == message.headers.all("Record-Route")
    assert bench.hops[-1] == Hop("udp", FROM_HOST, 5060)
    assert bench.agent.next_event() is not None
    bench.agent.handle_deadline(0.6)
    assert bench.said() == [answer]  # repeated until the ACK comes
    head, _, _ = torture.INV2543.partition(b"Content-Type")
    tagged = head.replace(b";user=phone\r\nCall-ID", f";user=phone;tag={answer.to.tag}\r\nCall-ID".encode())
    assert bench.hear(tagged.replace(b"INVITE", b"ACK") + b"\r\n", 0.7) == []
    bench.agent.handle_deadline(2.0)
    assert bench.said() == []
    [done] = bench.hear(tagged.replace(b"56 INVITE", b"57 BYE").replace(b"INVITE", b"BYE") + b"\r\n", 3.0)
    assert done.status == 200
    event = bench.agent.next_event()
    assert isinstance(event, Ended)
    assert event.by_remote
    assert bench.agent.calls == 0
