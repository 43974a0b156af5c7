"""One part that nobody needs is broken, at random: the call is set up and ended all the same. What is needed is still asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr.sip.events import Answered, Ended, Offered, Refused
from ivr.sip.message import Request, Response, encode
from ivr.sip.sdp import AudioSession
from tests.ivr.sip.stage import (
    OFFERING,
    PEER,
    Message,
    Stage,
    far_answer,
    far_invite,
    far_request,
    negotiation,
    only,
    requests,
    response,
    sdp_body,
    statuses,
)

Break = Callable[[bytes], bytes]
"""Takes a whole message of the other side and damages what nobody needs in it."""

# --- header lines ----------------------------------------------------------------------------------------------------

UNNEEDED = (
    *("Date", "Allow", "Supported", "User-Agent", "Server", "Warning", "P-Charging-Vector", "P-Early-Media", "Session-Expires"),
    *("Content-Language", "Reason", "Subject", "Organization", "Timestamp", "Alert-Info", "Accept", "Max-Forwards", "Expires"),
    *("MIME-Version", "Min-SE", "Error-Info", "Call-Info", "Content-Disposition", "Retry-After", "Allow-Events", "X-\xff", "k"),
    *("P-Asserted-Identity", "Remote-Party-ID", "History-Info", "Diversion", "Privacy", "RSeq", "Authorization", "Via2"),
)  # fmt: skip
JUNK = st.binary(max_size=30).map(lambda data: data.translate(None, b"\r\n")) | st.sampled_from(
    [
        b"",
        b'"',
        b"<",
        b";;,,",
        b"\0",
        b"\xff\xfe",
        b"=?utf-8?q?x?=",
        b"0",
        b"-1",
        b"99999999999999999999",
        b"<sip:",
        b"*",
        b"%00",
    ]
)
VALUED = st.builds(lambda name, value: name.encode("latin-1") + b":" + value, st.sampled_from(UNNEEDED), JUNK)
NAMELESS = st.sampled_from(
    [
        b"no colon",
        b": no name",
        b"N\xc3\xa4me: x",
        b"two words: x",
        b"<sip:a@b>: x",
        b"\0",
        b"\0\0: \0",
        b"\xff\xff: 1",
        b"(comment)",
        b"=",
        b"\x0b",
        b"GET / HTTP/1.1",
        b"Fr\0m: x",
        b"X" * 129 + b": long",
    ]
) | JUNK.map(lambda data: b"@" + data)
BROKEN_LINES = (
    VALUED
    | NAMELESS
    | NAMELESS.map(lambda line: line + b"\r\n folded behind it")
    | VALUED.map(lambda line: line + b"\r\n\t;x")
)


def _inserted(line: bytes, where: float) -> Break:
    """With this line somewhere among the header lines, or before the first or behind the last of them."""

    def broken(data: bytes) -> bytes:
        head, end, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        lines.insert(1 + int(where * len(lines)), line)
        return b"\r\n".join(lines) + end + body

    return broken


INSERTED = st.builds(_inserted, BROKEN_LINES, st.floats(0, 1, exclude_max=True))


def _replaced(old: bytes, new: bytes) -> Break:
    return lambda data: data.replace(old, new, 1)


def _with_ends(end: bytes) -> Break:
    return lambda data: data.replace(b"\r\n", end)


def _without_length(data: bytes) -> bytes:
    return b"\r\n".join(line for line in data.split(b"\r\n") if not line.startswith(b"Content-Length"))


def _with_length(value: bytes) -> Break:
    return lambda data: _without_length(data).replace(b"\r\n\r\n", b"\r\nContent-Length: " + value + b"\r\n\r\n", 1)


def _compact(data: bytes) -> bytes:
    for name, short in ((b"Via", b"v"), (b"From", b"f"), (b"To", b"t"), (b"Call-ID", b"i"), (b"Content-Type", b"c"),
                        (b"Content-Length", b"l"), (b"Contact", b"m")):  # fmt: skip
        data = data.replace(b"\r\n" + name + b": ", b"\r\n" + short + b":")
    return data


SPELLED = st.sampled_from(
    [
        _with_ends(b"\n"),
        _compact,
        lambda data: data.replace(b": ", b":"),
        lambda data: data.replace(b": ", b" \t:  "),
        lambda data: data.replace(b": ", b":\r\n "),
        lambda data: b"\r\n\r\n" + data,
        lambda data: data.replace(b"SIP/2.0\r", b"sip/2.0\r", 1),
        _replaced(b"\r\nFrom", b"\r\nFROM"),
        _replaced(b"\r\nCSeq: ", b"\r\ncseq: 000000000000"),
        _replaced(b"\r\nVia: SIP/2.0/UDP ", b"\r\nVia: SIP / 2.0 / UDP\t"),
        _replaced(b";branch", b';odd;x="a,b";y=;;=z;;BRANCH'),
        _replaced(b"INVITE sip", b"invite sip"),
        _replaced(b" INVITE\r", b" Invite\r"),
        _without_length,
        *map(_with_length, (b"99999", b"-1", b"x", b"0\r\nContent-Length: 7", b"9" * 24, b"", b"10")),
    ]
)
CONTACTS = st.sampled_from(
    [
        b"sip:nurse@203.0.113.9:5060;expires=x", b'"Nurse "1"" <sip:nurse@203.0.113.9:5060>', b"<sip:ward 3@203.0.113.9:5060>",
        b"Ward, 3 <sip:nurse@203.0.113.9:5060>", b"<sip:nurse@203.0.113.9:5060", b"<sip:n\xc3\xa4rse@203.0.113.9:5060>;q=high",
        b"<sip:nurse{3}|x@203.0.113.9:5060;transport=udp;ob>", b"<sip:a@>, <sip:nurse@203.0.113.9:5060>", b"*", b"<tel:+33>",
        b"", b"nobody", b"<sip:nurse@203.0.113.9:99999>", b"<sip:203.0.113.9>", b"<sip:@203.0.113.9>",
    ]
)  # fmt: skip
CONTACTED = CONTACTS.map(lambda value: _replaced(b"Contact: <sip:nurse@203.0.113.9:5060>", b"Contact: " + value))
DISPLAYS = st.sampled_from(
    [
        b'""unknown"" <sip:nurse@example.org>', b'"Joe "the boss" Hill" <sip:nurse@example.org>', b'"open <sip:nurse@example.org>',
        b'"back\\" <sip:nurse@example.org>', b"O'Neil, J\xf6hn <sip:nurse@example.org>", b"<sip:ward 3@example.org>",
        b"sip:ward 3@example.org", b"<tel:+33 1 02>", b"tel:+33102", b"<sip:nurse@example.org", b"Unknown", b"<>", b"",
        b"<sip:nurse@ex ample.org>", b"<urn:service:sos>", b"<sip:\0@example.org>", b'"\0" <sip:nurse@example.org>',
        b"<sip:%zz%00@[::]>", b'"<sip:x@y>;tag=no" <sip:nurse@example.org>', b"anonymous <sip:anonymous@anonymous.invalid> x",
    ]
)  # fmt: skip
BREAKS = INSERTED | SPELLED | CONTACTED
FROMS = DISPLAYS.map(lambda value: _replaced(b"From: <sip:nurse@example.org>", b"From: " + value))


def said(stage: Stage, message: Message, broken: Break) -> list[Message]:
    """The other side says it, damaged; what we say to it."""
    stage.agent.receive(broken(encode(message)), stage.hop, stage.now)
    return stage.messages()


@given(BREAKS, BREAKS, BREAKS)
def test_a_call_of_ours_is_set_up_and_ended_whatever_is_broken(rings: Break, answers: Break, leaves: Break) -> None:
    stage = Stage()
    leg, invite = stage.call()
    assert said(stage, far_answer(invite, 180, headers=[("Contact", "<sip:nurse@203.0.113.9:5060>")]), rings) == []
    answer = far_answer(invite, 200, headers=OFFERING, body=sdp_body())
    assert requests(said(stage, answer, answers)) == ["ACK"]
    assert len(stage.told(Answered)) == 1
    assert requests(said(stage, answer, answers)) == ["ACK"]  # again
    bye = far_request(
        "BYE", "sip:tocsin@192.0.2.1:5060", branch="z9hG4bKbye", from_=answer.headers.get("To") or "",
        to=answer.headers.get("From") or "", call_id=leg.call_id, cseq=7,
    )  # fmt: skip
    assert statuses(said(stage, bye, leaves)) == [200]
    assert [ended.by_remote for ended in stage.told(Ended)] == [True]
    assert not stage.told(Refused)


@given(BREAKS | FROMS, BREAKS, BREAKS)
def test_a_call_to_us_is_taken_and_ended_whatever_is_broken(calls: Break, acknowledges: Break, leaves: Break) -> None:
    stage = Stage()
    from_ = "<sip:nurse@example.org>;tag=far"
    invite = far_invite(headers=[("Allow", "INVITE")])
    assert said(stage, invite, calls) == []
    [offered] = stage.told(Offered)
    assert offered.call.request.from_.tag == "far"
    offered.call.ring(stage.now)
    assert offered.call.answer(negotiation(), stage.now)
    answer = response(stage.messages()[-1:], 200)
    assert answer.headers.get("To") is not None
    to = answer.headers.get("To") or ""
    ack = far_request("ACK", "sip:tocsin@192.0.2.1", branch="z9hG4bKa", from_=from_, to=to)
    assert said(stage, ack, acknowledges) == []
    assert stage.advance(40.0) == []  # it is acknowledged
    bye = far_request("BYE", "sip:tocsin@192.0.2.1", branch="z9hG4bKb", from_=from_, to=to, cseq=2)
    assert statuses(said(stage, bye, leaves)) == [200]
    assert len(stage.told(Ended)) == 1


@given(BREAKS | FROMS)
def test_our_bye_reaches_whoever_called_with_whatever_was_broken(broken: Break) -> None:
    stage = Stage()
    said(stage, far_invite(), broken)
    [offered] = stage.told(Offered)
    assert offered.call.answer(negotiation(), stage.now)
    answer = response(stage.messages(), 200)
    ack = far_request("ACK", "sip:tocsin@192.0.2.1", branch="z9hG4bKa", to=answer.headers.get("To") or "")
    assert said(stage, ack, lambda data: data) == []
    offered.call.hang_up(stage.now)
    [(hop, bye)] = stage.sent()
    assert isinstance(bye, Request)
    assert (hop.host, bye.method, bye.to.tag, bye.from_.tag) == (PEER.host, "BYE", "far", answer.to.tag)
    assert " " not in bye.uri


# --- session descriptions --------------------------------------------------------------------------------------------

GOOD_SDP = (
    b"v=0\r\no=- 7 1 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\nm=audio 30000 RTP/AVP 8 101\r\n"
    b"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
)
NEEDED_OF_SDP = (b"m=", b"a=rtpmap:101", b"c=")
SDP_JUNK = st.binary(max_size=30).map(lambda data: b"z" + data.translate(None, b"\r\n")) | st.sampled_from(
    [
        b"x",
        b"\0",
        b"=",
        b"==",
        b"m",
        b"a=",
        b"a=:",
        b"a=candidate:1 1 UDP 1 192.0.2.9 9 typ host",
        b"a=setup:actpass",
        b"a=fingerprint:sha-256 00",
        b"b=AS:-1",
        b"b=",
        b"a=rtpmap:x",
        b"a=fmtp:8",
        b"k=clear:x",
        b"a=ptime:20.5",
        b"a=ssrc:1",
        b"i=\xff",
        b"u=",
        b"e=x",
        b"a=maxptime:0",
        b"a=rtcp:x",
        b"a=rtcp-mux",
        b"a=crypto:1 x",
        b"z=\0",
        b"\xef\xbb\xbf",
        b"Content",
    ]
)


def _sdp_inserted(line: bytes, where: float) -> bytes:
    lines = GOOD_SDP.split(b"\r\n")
    lines.insert(int(where * len(lines)), line)
    return b"\r\n".join(lines)


def _sdp_broken(number: int, instead: bytes) -> bytes:
    lines = GOOD_SDP.split(b"\r\n")
    if not lines[number].startswith(NEEDED_OF_SDP):
        lines[number] = instead
    return b"\r\n".join(lines)


SDPS = (
    st.builds(_sdp_inserted, SDP_JUNK, st.floats(0, 1))
    | st.builds(_sdp_broken, st.integers(0, 10), SDP_JUNK | st.just(b""))
    | st.sampled_from([b"\n", b"\r", b" \r\n", b"\0\r\n", b"\r\n\r\n"]).map(lambda end: GOOD_SDP.replace(b"\r\n", end))
)


@given(SDPS, st.booleans())
def test_only_media_without_a_codec_in_common_end_a_call(body: bytes, outgoing: bool) -> None:
    stage = Stage()
    if outgoing:
        leg, invite = stage.call()
        said(stage, far_answer(invite, 200, headers=OFFERING, body=body), lambda data: data)
        media = leg.negotiation
    else:
        stage.hear(far_invite(body=body))
        media = negotiation()
        assert stage.told(Offered)[0].call.answer(media, stage.now)
    assert len(stage.told(Answered)) == 1
    assert isinstance(media.agreed, AudioSession)
    assert (media.agreed.address, media.agreed.port, media.agreed.codec) == ("203.0.113.9", 30_000, "PCMA")
    assert media.agreed.event_payload_type == 101


# --- what is needed, and what is told --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"CSeq: 1 INVITE", b"CSeq: x"), (b"CSeq: 1 INVITE", b"CSeq: 1 BYE"), (b"CSeq: 1 INVITE", b"CSeq: 9999999999 INVITE"),
        (b"CSeq: 1 INVITE\r\n", b""), (b"Call-ID: far-call\r\n", b""), (b"Call-ID: far-call", b"Call-ID:"),
        (b"Via: SIP/2.0/UDP", b"Via: SIP/2.0/"), (b"Via: SIP/2.0/UDP 203.0.113.9:5060", b"Via: nonsense"),
        (b"From: <sip:nurse@example.org>;tag=far\r\n", b""), (b"To: <sip:tocsin@192.0.2.1>\r\n", b""),
        (b"To: ", b"To: <sip:x@y>;tag=1\r\nTo: "), (b"Call-ID: ", b"Call-ID: other\r\nCall-ID: "),
        (b"CSeq: ", b"CSeq: 2 INVITE\r\nCSeq: "), (b"From: ", b"From: <sip:a@b>;tag=2\r\nFrom: "),
        (b"Max-Forwards", b"X: y\r\n" * 300 + b"Max-Forwards"),
    ],
)  # fmt: skip
def test_a_request_without_what_is_needed_is_answered_400_and_told_of(old: bytes, new: bytes) -> None:
    stage = Stage()
    data = encode(far_invite())
    assert old in data
    for _ in range(3):  # whoever hears nothing asks again
        stage.agent.receive(data.replace(old, new), stage.hop, stage.now)
    answers = [answer for _, answer in stage.agent.messages_to_send()]
    assert [answer.split(b"\r\n")[0] for answer in answers] == [b"SIP/2.0 400 Bad Request"] * 3
    assert len(set(answers)) == 1
    assert b"z9hG4bKi" in answers[0] or b"Via: nonsense" in answers[0]
    assert [notice.kind for notice in stage.agent.notices()] == ["sip_request_refused"] * 3
    stage.agent.receive(data.replace(old, new).replace(b"INVITE", b"ACK"), stage.hop, stage.now)
    assert stage.agent.messages_to_send() == []
    assert not stage.told(Offered)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\r\nTo: ", b"\r\nTo: <sip:nobody@example.org>\r\nTo: "), (b"UDP 192.0.2.1:5060", b"UDP ::1:5060"),
        (b"UDP 192.0.2.1:5060", b"UDP 192.0.2.1:"), (b"UDP 192.0.2.1:5060", b"UDP 192.0.2.1:99999"),
        (b"UDP 192.0.2.1:5060", b"UDP [fe80::1%eth0]:5060"), (b"UDP 192.0.2.1:5060", b"UDP h\xc3\xb4te:5060"),
    ],
)  # fmt: skip
def test_case_3_1_an_answer_is_known_by_its_branch_whatever_became_of_the_rest(old: bytes, new: bytes) -> None:
    stage = Stage()
    _, invite = stage.call()
    answer = encode(far_answer(invite, 200, headers=OFFERING, body=sdp_body()))
    assert old in answer
    stage.agent.receive(answer.replace(old, new, 1), stage.hop, stage.now)
    assert requests(stage.messages()) == ["ACK"]
    assert stage.told(Answered)


@pytest.mark.parametrize("needed", [b"Via", b"CSeq", b"To"])
def test_an_answer_without_what_is_needed_is_dropped_and_told_of(needed: bytes) -> None:
    stage = Stage()
    _, invite = stage.call()
    answer = encode(far_answer(invite, 200, headers=OFFERING, body=sdp_body()))
    stage.agent.receive(answer.replace(b"\r\n" + needed + b": ", b"\r\nX" + needed + b": "), stage.hop, stage.now)
    assert stage.messages() == []
    assert [(notice.kind, notice.peer) for notice in stage.agent.notices()] == [("sip_message_dropped", PEER.host)]
    assert not stage.told(Answered)


def test_what_is_read_with_goodwill_is_told_of() -> None:
    stage = Stage()
    _, invite = stage.call()
    answer = encode(far_answer(invite, 200, headers=OFFERING, body=sdp_body(30_000, "nonsense")))
    stage.agent.receive(_inserted(b"Secret-Name value", 0)(answer), stage.hop, stage.now)
    assert [(notice.kind, notice.peer, notice.what) for notice in stage.agent.notices()] == [
        ("sip_read_with_goodwill", PEER.host, "line 2 is no header field: 'Secret-Name'"),
        ("sdp_read_with_goodwill", PEER.host, "line 8 is none of SDP's"),
    ]


def test_over_a_connection_a_message_is_as_long_as_its_framing_says() -> None:
    stage = Stage(transport="tcp")
    invite = encode(far_invite())
    for broken in (
        invite.replace(b"Max-Forwards: 70", b"Max-Forwards: 70\rContent-Length: 9"),
        invite.replace(b"Content-Length: ", b"Content-Length: 1"),
        invite.replace(b"Max-Forwards: 70", b"X: y\n\nINVITE sip:b@c SIP/2.0\r\nContent-Length: 0"),
    ):
        stage.agent.receive(broken, stage.hop, stage.now)
        assert not stage.told(Offered)
    stage.agent.receive(invite.replace(b"Max-Forwards: 70", b"X: y\n\nZ: smuggled"), stage.hop, stage.now)
    [offered] = stage.told(Offered)  # what stands behind an empty line within the head is of the head
    assert offered.call.request.headers.get("Z") == "smuggled"


def test_case_3_1_a_broken_line_in_an_answer_does_not_make_the_phone_ring_anew() -> None:
    stage = Stage()
    _, invite = stage.call()
    for status in (180, 200):
        answer = far_answer(invite, status, headers=OFFERING, body=sdp_body() if status == 200 else b"")
        sent = said(stage, answer, _inserted(b"this line has no colon", 0.5))
    assert requests(sent) == ["ACK"]
    assert [message for _, message in stage.advance(30.0) if isinstance(message, Request)] == []
    assert len(stage.agent.notices()) == 2


@pytest.mark.parametrize(
    "uri", [b"sip:01 40@192.0.2.1", b"<sip:0140@192.0.2.1>", b"sip:0140@no+host", b"sip:0140@h:x", b"tel:x"]
)
def test_a_request_uri_that_is_odd_is_a_call_all_the_same(uri: bytes) -> None:
    stage = Stage()
    assert said(stage, far_invite(), _replaced(b"sip:tocsin@192.0.2.1", uri)) == []
    assert stage.told(Offered)[0].call.answer(negotiation(), stage.now)


@pytest.mark.parametrize("content_type", [b"Content-Type: text/sdp", b"Content-Type: ;;", b"Content-Type: x", b"X: y"])
def test_a_body_that_begins_like_a_description_is_one(content_type: bytes) -> None:
    stage = Stage()
    _, invite = stage.call()
    answer = far_answer(invite, 200, headers=OFFERING, body=sdp_body())
    assert requests(said(stage, answer, _replaced(b"Content-Type: application/sdp", content_type))) == ["ACK"]
    assert stage.told(Answered)


def test_where_the_answer_s_description_cannot_be_read_that_of_the_early_one_counts() -> None:
    stage = Stage()
    leg, invite = stage.call()
    stage.hear(far_answer(invite, 183, headers=OFFERING, body=sdp_body()))
    assert requests(stage.hear(far_answer(invite, 200, headers=OFFERING, body=b"v=0\r\nnothing more"))) == ["ACK"]
    assert leg.negotiation.agreed is None  # it is the dialog's own
    [answered] = stage.told(Answered)
    assert answered.call.session is not None
    assert answered.call.session.negotiation.agreed is not None


def test_a_record_route_that_cannot_be_read_leads_back_to_where_the_answer_came_from() -> None:
    stage = Stage()
    leg, invite = stage.call()
    headers = [*OFFERING[:1], ("Contact", "<sip:nurse@10.0.0.9>"), ("Record-Route", "<sip:203.0.113.9;lr>, <nonsense>")]
    sent = said(stage, far_answer(invite, 200, headers=headers, body=sdp_body()), lambda data: data)
    assert only(sent, "ACK").headers.all("Route") == ("<sip:203.0.113.9;lr>",)
    leg.hang_up(stage.now)
    [(hop, bye)] = stage.sent()
    assert isinstance(bye, Request)
    assert (hop.host, bye.uri) == (PEER.host, "sip:nurse@10.0.0.9")


def test_the_top_via_goes_back_as_it_was_written() -> None:
    stage = Stage()
    request = far_request("OPTIONS", "sip:tocsin@192.0.2.1", branch='z9hG4bK{odd}|x;y="a;b";rport;RECEIVED=x (comment)')
    [answer] = stage.hear(request)
    assert isinstance(answer, Response)
    assert answer.headers.all("Via") == (
        'SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bK{odd}|x;y="a;b";received=203.0.113.9;rport=5060',
    )
