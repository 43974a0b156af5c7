"""No octets make the SIP and RTP stack raise or grow, whatever peers send, in whatever order, at whatever time."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivr.rtp.packet import PACKET_BYTES_MAX, RtpPacket, parse_rtp, written
from ivr.rtp.stream import FRAMES_HEARD_MAX, KeyHeard, MediaEvent, MediaStream
from ivr.rtp.telephone_event import EVENTS, EventReceiver
from ivr.sip import sdp
from ivr.sip.agent import Admission, Admitted, Challenged, Dropped, LocalSide, UserAgent
from ivr.sip.bodies import sdp_of, understood
from ivr.sip.digest import (
    CHALLENGES_MAX,
    REALMS_MAX,
    Authenticator,
    Credentials,
    Proved,
    Unproved,
    Verifier,
    parse_challenges,
    parse_parameters,
)
from ivr.sip.events import Answered, Offered
from ivr.sip.framing import FramingError, Ping, StreamFramer
from ivr.sip.headers import Headers, NameAddr, parse_cseq, parse_name_addr, parse_reason, parse_via
from ivr.sip.hop import Hop
from ivr.sip.incoming import IncomingCall
from ivr.sip.info import signalled_key
from ivr.sip.layer import TransactionLayer
from ivr.sip.message import KeepAlive, Malformed, Request, Response, encode, parse, response_to
from ivr.sip.negotiation import Negotiation
from ivr.sip.outgoing import Invitation, OutgoingCall
from ivr.sip.sdp import AudioSession, CryptoAttribute, Rejected, SessionDescription
from ivr.sip.uri import parse_uri
from tests.ivr.sip.torture import MESSAGES

# --- what peers send -------------------------------------------------------------------------------------------------

Edit = tuple[float, int, bytes]


def edited(data: bytes, edits: list[Edit]) -> bytes:
    """The data with pieces of it, somewhere, taken out and others put in."""
    for where, length, instead in edits:
        at = int(where * len(data))
        data = data[:at] + instead + data[at + length :]
    return data


PIECES = st.sampled_from(
    [
        b"", b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b",", b";", b";;", b"<", b">", b'"', b"\\", b":", b"@", b"%",
        b"%00", b"=", b"\r\n ", b"\r\n\r\n", b"\xff", b"\xc3\xa9", b"sip:", b"99999999999", b"-1", b"SIP/2.0",
        b"[::1]", b"*",
    ]
)  # fmt: skip
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([0, 0, 1, 2, 10, 100]), PIECES | st.binary(max_size=6)), max_size=4
)
BODY = (
    b"v=0\r\no=- 1 1 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n"
    b"m=audio 30000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
)
STARTS = st.sampled_from(
    [
        f"{method} sip:tocsin@192.0.2.200 SIP/2.0"
        for method in ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE")
    ]
    + [
        "PRACK <sip:a> SIP/2.0",
        "INVITE tel:+1 SIP/2.0",
        "REGISTER x SIP/3.0",
        "SIP/2.0 200 OK",
        "SIP/2.0 999",
        "",
        "GET / HTTP/1.1",
    ]
)
NAMING = st.sampled_from(
    [
        "Via: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bKa",
        "v: SIP / 2.0 / TLS [2001:db8::1]:5061 ; rport ; branch = z9hG4bKb , SIP/2.0/UDP x",
        "Via: SIP/2.0/UDP h",
        'Via: SIP/2.0/UDP h:99999;branch="',
        "From: <sip:a@203.0.113.9>;tag=theirs",
        "From: sip:a@b",
        "f: <tel:+1>;tag=",
        "To: <sip:tocsin@192.0.2.200>",
        "To: <sip:tocsin@192.0.2.200>;tag=t3",
        't: "\\"" <sip:x>;tag="',
        "Call-ID: one",
        "i: two",
        "Call-ID:",
        "CSeq: 1 INVITE",
        "CSeq: 2147483647 OPTIONS",
        "CSeq: 99999999999 INVITE",
        "Content-Length: 0",
        "l: 10",
        "Content-Length: 99",
        " folded, ;tag=x",
        "\tfolded",
        "no colon",
        ": no name",
    ]
).map(lambda line: line.encode("latin-1"))
TELLING = st.sampled_from(
    [
        "Contact: <sip:a@203.0.113.9:5070>",
        "Contact: <sip:a@example.org;transport=tcp>, *",
        "m: <sips:[::1]>;q=0.3",
        "Contact: <sip:a<b@1.2.3>",
        "Record-Route: <sip:203.0.113.1;lr>, <sip:strict.example>",
        "Record-Route: <",
        "Route: <sip:192.0.2.200;lr>",
        "Require: 100rel",
        "Require: timer, nothing",
        "RSeq: 1",
        "RSeq: 99999999999999",
        "Supported: timer, 100rel",
        "Session-Expires: 90;refresher=uac",
        "x: 1800;refresher=uas",
        "Session-Expires: 0",
        "Min-SE: 3600",
        "Allow: INVITE, UPDATE",
        "Reason: Q.850;cause=17;text=busy, SIP;cause=\xb2",
        "Retry-After: 18 (later);duration=9",
        'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth,auth-int", algorithm=SHA-256',
        'Proxy-Authenticate: Digest realm="r", nonce="n", stale=true, Basic realm="x"',
        "WWW-Authenticate: Digest",
        "Authorization: Digest username=u",
        "Content-Type: application/sdp",
        "c: multipart/mixed;boundary=x",
    ]
).map(lambda line: line.encode("latin-1"))
LINES = NAMING | TELLING
BODIES = st.sampled_from([b"", b"", BODY, b"Signal=5\r\nDuration=160\r\n", b"5", b"\r\n"]) | st.binary(max_size=40)
ASSEMBLED = st.builds(
    lambda start, lines, body: b"\r\n".join([start.encode(), *lines, b"", body]),
    STARTS,
    st.lists(LINES | st.binary(max_size=20), max_size=16),
    BODIES,
)
TORTURE = st.sampled_from(sorted(MESSAGES.values()))
WIRE = st.builds(edited, TORTURE | ASSEMBLED, EDITS) | st.binary(max_size=200)


@given(WIRE)
def test_any_octets_are_parsed(data: bytes) -> None:
    message = parse(data)
    assert isinstance(message, Request | Response | Malformed | KeepAlive)
    if isinstance(message, Malformed):
        assert 400 <= message.status < 600
        message_to_answer = message.request
    else:
        message_to_answer = message if isinstance(message, Request) else None
    if isinstance(message, Request | Response):
        assert all((message.via.host, message.call_id, message.from_.uri, message.to.uri, message.cseq.method))
        again = parse(encode(message))
        assert isinstance(again, type(message))
        assert again.headers.without("Content-Length") == message.headers.without("Content-Length")
        assert again.body == message.body
    if message_to_answer is not None:
        answer = parse(encode(response_to(message_to_answer, 200, to_tag="t", body=b"body")))
        assert isinstance(answer, Response)
        assert answer.body == b"body"
        assert (answer.call_id, answer.cseq) == (message_to_answer.call_id, message_to_answer.cseq)
        assert answer.via == message_to_answer.via


FIELD_TEXT = st.text(alphabet=st.sampled_from('aA1 .:;=,"\\<>@%?&[]/-_\té€\u212a'), max_size=40) | st.text(max_size=40)
FIELD_STARTS = st.sampled_from(
    ["", "", "sip:", "SIPS:", "tel:+1", "SIP/2.0/UDP ", "SIP/2.0/TCP h;", "sip:a@b;", "<sip:a>;", '"']
)
FIELDS = st.builds(lambda start, text: start + text, FIELD_STARTS, FIELD_TEXT)


@given(FIELDS)
def test_any_text_is_a_field_or_none(text: str) -> None:
    via = parse_via(text)
    if via is not None:
        again = parse_via(str(via))
        assert again is not None  # the top Via is read again after it was completed
        assert (again.transport, again.host, again.port) == (via.transport, via.host, via.port)
        assert via.port is None or 0 < via.port < 65_536
    address = parse_name_addr(text)
    if address is not None:
        assert ":" in address.uri
        assert parse_name_addr(str(address)) is not None or ">" in address.uri
    cseq = parse_cseq(text)
    if cseq is not None:
        assert parse_cseq(str(cseq)) == cseq
    reason = parse_reason(text)
    assert reason is None or reason.cause is None or 0 <= reason.cause <= 999
    uri = parse_uri(text)
    if uri is not None:
        assert parse_uri(str(uri)) == uri


@given(
    content_type=st.sampled_from(["application/dtmf-relay", "application/dtmf", "text/plain", ""]),
    body=st.binary(max_size=40) | st.from_regex(rb"(?i)signal *= *[0-9a-e*#]{1,3}\r?\n", fullmatch=True),
)
def test_any_info_is_one_key_or_none(content_type: str, body: bytes) -> None:
    key = signalled_key(content_type, body)
    assert key is None or (len(key) == 1 and key in EVENTS)


# --- bodies ----------------------------------------------------------------------------------------------------------

PART_PIECES = st.sampled_from(
    [
        b"--x", b"--x", b"--x--", b"--y", b"\r\n", b"\r\n", b"\r\n\r\n", b"\n", b" ", b"--", BODY,
        b"Content-Type: application/sdp\r\n\r\n", b"c: application/sdp\r\n", b"Content-Type: application/isup\r\n",
        b"Content-Disposition: signal;handling=required\r\n", b"Content-Disposition: session; handling=optional\r\n",
        b"Content-Type: multipart/alternative;boundary=y\r\n\r\n", b"Content-Type: multipart/mixed;boundary=x\r\n\r\n",
    ]
)  # fmt: skip
MULTIPARTS = st.lists(PART_PIECES, max_size=30).map(b"".join)
CONTENT_TYPES_OF_BODIES = st.sampled_from(
    [
        "Content-Type: application/sdp", "c: multipart/mixed;boundary=x", 'Content-Type: multipart/mixed; boundary="x"',
        "Content-Type: multipart/alternative;boundary=y", "Content-Type: multipart/", "Content-Type: multipart/x;boundary=",
        "Content-Type: multipart/mixed;boundary=.*", "Content-Type: ;", "Content-Disposition: x;handling=optional",
    ]
)  # fmt: skip


@given(
    lines=st.lists(
        CONTENT_TYPES_OF_BODIES | st.text(max_size=30).map(lambda text: f"Content-Type: {text}"), max_size=3
    ),
    body=st.builds(edited, MULTIPARTS, EDITS) | st.binary(max_size=200),
)
def test_any_body_has_a_description_in_it_or_none(lines: list[str], body: bytes) -> None:
    headers = Headers((name, value) for name, _, value in (line.partition(": ") for line in lines))
    message = Request(method="INVITE", uri="sip:a", headers=headers, body=body)
    found = sdp_of(message)
    assert found is None or (found and found in body)
    assert understood(message) in (True, False)


def test_a_body_full_of_boundaries_costs_little() -> None:
    headers = Headers([("Content-Type", "multipart/mixed;boundary=x")])
    began = time.perf_counter()
    for piece in (b"\r\n--x", b"\r\n--x ", b"\r\n--x\r\nc:multipart/x;boundary=x\r\n\r\n", b"\r\n", b"--x" + b" " * 90):
        body = (piece * 65_535)[:65_535]
        sdp_of(Request(method="INVITE", uri="sip:a", headers=headers, body=body))
    assert time.perf_counter() - began < 5.0


# --- framing ---------------------------------------------------------------------------------------------------------

FRAMEABLE = [
    data
    for name, data in MESSAGES.items()
    if name not in ("clerr", "ncl", "inv2543", "dblreq", "mcl01")  # whose length is none, or wrong
]
STREAM_PARTS = st.lists(st.sampled_from([*FRAMEABLE, b"\r\n\r\n", b"\r\n"]), max_size=6)


def chunked(data: bytes, cuts: list[float]) -> list[bytes]:
    """The data in pieces."""
    places = sorted({0, *(int(cut * len(data)) for cut in cuts), len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


CUTS = st.lists(st.floats(0, 1), max_size=12)


@given(parts=STREAM_PARTS, cuts=CUTS)
def test_chunks_of_a_stream_are_the_same_messages(parts: list[bytes], cuts: list[float]) -> None:
    framer = StreamFramer(65_535)
    found = [one for chunk in chunked(b"".join(parts), cuts) for one in framer.receive(chunk)]
    assert [one for one in found if not isinstance(one, Ping)] == [part for part in parts if part.strip()]


@given(data=st.builds(edited, STREAM_PARTS.map(b"".join) | ASSEMBLED, EDITS) | st.binary(max_size=200), cuts=CUTS)
def test_any_stream_is_cut_the_same_in_any_chunks(data: bytes, cuts: list[float]) -> None:
    whole, framer = StreamFramer(5_000), StreamFramer(5_000)
    expected = whole.receive(data)
    found = [one for chunk in chunked(data, cuts) for one in framer.receive(chunk)]
    assert found == expected
    errors = [n for n, one in enumerate(found) if isinstance(one, FramingError)]
    assert errors in ([], [len(found) - 1])  # after it comes nothing more
    for one in found:
        if isinstance(one, bytes):
            assert len(one) <= 5_000
            parse(one)


# --- session descriptions --------------------------------------------------------------------------------------------

KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
SDP_LINES = st.sampled_from(
    [
        "m=audio 4000 RTP/AVP 0 8 101",
        "m=audio 0 RTP/AVP 0",
        "m=audio 65535/2 RTP/SAVP 8",
        "m=audio 70000 RTP/AVP 0",
        "m=video 4002 RTP/AVP 31",
        "m=image 4004 udptl t38",
        "m=AUDIO 4000 rtp/avp 8",
        "m=audio",
        "m=audio 1 RTP/AVP",
        "m=audio 4000 RTP/AVP 8 x 999 -1 \xb2",
        "c=IN IP4 203.0.113.9",
        "c=IN IP6 2001:db8::1",
        "c=IN IP4 0.0.0.0",
        "c=IN IP4 224.2.1.1/127/3",
        "c=",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:8 PCMU/8000/1",
        "a=rtpmap:96 pcma/8000",
        "a=rtpmap:0 PCMU/16000",
        "a=rtpmap:x",
        "a=fmtp:101 0-15",
        "a=fmtp:999999999 0",
        "a=sendonly",
        "a=recvonly",
        "a=inactive",
        "a=sendrecv",
        "a=ptime:20",
        "a=ptime:99999",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31",
        f"a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}",
        "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:",
        "a",
        "=",
        "",
    ]
).map(lambda line: line.encode("latin-1"))
SDP_HEAD = b"v=0\r\no=- 1 1 IN IP4 203.0.113.9\r\ns=-\r\nt=0 0\r\n"
SDP_BODIES = (
    st.builds(
        edited,
        st.just(BODY) | st.lists(SDP_LINES, max_size=20).map(lambda lines: SDP_HEAD + b"\r\n".join(lines)),
        EDITS,
    )
    | st.lists(SDP_LINES, max_size=20).map(lambda lines: SDP_HEAD + b"c=IN IP4 203.0.113.9\r\n" + b"\r\n".join(lines))
    | st.binary(max_size=100)
)
OURS = (
    CryptoAttribute(tag=1, suite="AES_CM_128_HMAC_SHA1_80", key=KEY),
    CryptoAttribute(tag=2, suite="AES_CM_128_HMAC_SHA1_32", key=KEY),
)


def sound(session: AudioSession, encrypted: bool) -> None:
    """What was agreed makes sense."""
    assert session.codec in ("PCMA", "PCMU")
    assert 0 < session.port < 65_536
    assert session.address
    assert 0 <= session.payload_type < 128
    assert all(0 <= number < 128 for number in (*session.accepts, *session.events))
    assert set(session.accepts.values()) <= {"PCMA", "PCMU"}
    assert (session.local_crypto is not None) == (session.remote_crypto is not None) == encrypted


@given(
    body=SDP_BODIES,
    encrypted=st.booleans(),
    events=st.booleans(),
    codecs=st.sampled_from([("PCMA", "PCMU"), ("PCMU",)]),
)
def test_any_description_is_answered_or_rejected(
    body: bytes, encrypted: bool, events: bool, codecs: tuple[str, ...]
) -> None:
    remote = sdp.parse(body)
    if remote is None:
        return
    crypto = OURS if encrypted else ()
    answer = sdp.answer(
        remote, address="192.0.2.1", port=40_000, session_id=1, version=1, codecs=codecs, crypto=crypto, events=events
    )
    if isinstance(answer, SessionDescription):
        assert [line.kind for line in answer.media] == [line.kind for line in remote.media]
        assert sum(line.port != 0 for line in answer.media) == 1
        again = sdp.parse(sdp.encode(answer))
        assert again is not None
        assert [(line.port, line.formats, line.crypto) for line in again.media] == [
            (line.port, line.formats, line.crypto) for line in answer.media
        ]
        agreed = sdp.agreed(answer, remote)
        if isinstance(agreed, AudioSession):
            sound(agreed, encrypted)
            assert agreed.codec in codecs
    offer = sdp.offer(
        address="192.0.2.1", port=40_000, session_id=1, version=1, codecs=codecs, crypto=crypto, events=events
    )
    agreed = sdp.agreed(offer, remote)
    assert isinstance(agreed, AudioSession | Rejected)
    if isinstance(agreed, AudioSession):
        sound(agreed, encrypted)


@given(st.lists(st.tuples(st.sampled_from(["offer", "accept", "answer", "withdraw"]), SDP_BODIES), max_size=8))
def test_a_negotiation_bears_any_bodies_in_any_order(steps: list[tuple[str, bytes]]) -> None:
    negotiation = Negotiation(address="192.0.2.1", port=40_000, session_id=1)
    for verb, body in steps:
        before = negotiation.agreed
        match verb:
            case "offer":
                assert sdp.parse(negotiation.offer()) is not None
            case "accept":
                if not negotiation.accept(body):
                    assert negotiation.agreed is before
            case "answer":
                if negotiation.answer(body) is None:
                    assert negotiation.agreed is before
            case _:
                negotiation.withdraw()
        if negotiation.agreed is not None:
            sound(negotiation.agreed, encrypted=False)


# --- digest ----------------------------------------------------------------------------------------------------------

CHALLENGE_PARTS = st.sampled_from(
    [
        "Digest ", "digest\t", "Basic ", 'realm="r"', "realm=r", 'nonce="n\\"n"', 'nonce="', "qop=auth",
        'qop="auth,auth-int"', "qop=x", "algorithm=MD5", "algorithm=SHA-256-sess", "algorithm=SHA-512", 'opaque=""',
        "stale=TRUE", ",", ", ", " ", "=", '"',
    ]
)  # fmt: skip
CHALLENGE_TEXT = st.lists(CHALLENGE_PARTS, max_size=14).map("".join)
CHALLENGES = (
    CHALLENGE_TEXT
    | st.lists(CHALLENGE_PARTS, max_size=8).map(lambda parts: 'Digest realm="r", nonce="n", ' + ", ".join(parts))
    | st.text(max_size=60)
)
CREDENTIALS = Credentials(username='us"er', password="pass")


@given(st.lists(CHALLENGES, max_size=12), st.booleans())
def test_any_challenge_is_answered_or_left_out(values: list[str], proxy: bool) -> None:
    challenges = parse_challenges(values, proxy=proxy)
    assert len(challenges) <= CHALLENGES_MAX * CHALLENGES_MAX
    authenticator = Authenticator(CREDENTIALS, lambda: "cnonce")
    for n in range(3):
        answer = authenticator.answer(challenges, method="INVITE", uri="sip:a@b", tried=n == 2)
        if not challenges:
            assert answer is None
        if answer is None:
            continue
        given = parse_parameters(answer.removeprefix("Digest "))
        assert given is not None
        assert given["username"] == CREDENTIALS.username
        assert (given["realm"], given["nonce"]) in {(one.realm, one.nonce) for one in challenges}
        assert re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{64}", given["response"])
        assert given.get("nc", f"{n + 1:08x}") == f"{n + 1:08x}"


@given(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=60))
def test_realms_remembered_are_few(realms: list[str]) -> None:
    authenticator = Authenticator(CREDENTIALS, lambda: "c")
    for realm in realms:
        text = realm.replace("\\", "").replace('"', "")
        authenticator.answer(
            parse_challenges([f'Digest realm="{text}", nonce="{text}"'], proxy=False), method="BYE", uri="sip:a"
        )
        assert len(authenticator._counts) <= REALMS_MAX


def verifier() -> Verifier:
    return Verifier(realm="r", credentials=CREDENTIALS, key=b"key")


@given(
    edits=EDITS,
    algorithm=st.integers(0, 1),
    asked_at=st.floats(0, 1e6),
    later_s=st.floats(0, 250),
    proxy=st.booleans(),
)
def test_an_altered_proof_proves_nothing(
    edits: list[Edit], algorithm: int, asked_at: float, later_s: float, proxy: bool
) -> None:
    door, now = verifier(), asked_at + later_s
    challenges = parse_challenges([door.challenges(asked_at, "token")[algorithm]], proxy=proxy)
    answer = Authenticator(CREDENTIALS, lambda: "c").answer(challenges, method="INVITE", uri="sip:a@b")
    assert answer is not None
    altered = edited(answer.encode(), edits).decode("utf-8", "surrogateescape")
    if parse_parameters(altered[7:]) != parse_parameters(answer[7:]):
        proof = door.check(altered, method="INVITE", uri="sip:a@b", now=now)
        assert isinstance(proof, Proved | Unproved)  # some alterations mean nothing: one parameter more
    assert door.check(answer, method="BYE", uri="sip:a@b", now=now) == Unproved()
    assert door.check(answer, method="INVITE", uri="sip:b@b", now=now) == Unproved()
    fresh = verifier()
    assert fresh.check(answer, method="INVITE", uri="sip:a@b", now=now) == Proved(CREDENTIALS.username)
    assert fresh.check(answer, method="INVITE", uri="sip:a@b", now=now) == Unproved(stale=True)
    assert verifier().check(answer, method="INVITE", uri="sip:a@b", now=now + 400) == Unproved(stale=True)


@given(CHALLENGES | st.builds(lambda text: f'Digest username="us\\"er", {text}', CHALLENGE_TEXT), st.floats(0, 1e9))
def test_any_text_proves_nothing(text: str, now: float) -> None:
    assert isinstance(verifier().check(text, method="INVITE", uri="sip:a", now=now), Unproved)
    found = parse_parameters(text)
    assert found is None or all(name == name.lower() for name in found)


# --- the user agent --------------------------------------------------------------------------------------------------

PROXY = Hop("udp", "203.0.113.1", 5060)
SOURCES = st.sampled_from(
    [PROXY, Hop("udp", "203.0.113.9", 5060), Hop("tcp", "2001:db8::1", 40_000), Hop("tls", "203.0.113.1", 5061)]
)
ADMISSIONS: st.SearchStrategy[Admission] = st.sampled_from(
    [Admitted(), Admitted(), Challenged(('Digest realm="r", nonce="n"',)), Dropped()]
)
STATUSES = st.sampled_from([100, 180, 183, 199, 200, 200, 202, 302, 401, 407, 422, 481, 486, 491, 500, 503, 603, 699])
EXTRA = st.lists(TELLING, max_size=4)
RARELY = st.sampled_from(range(8)).flatmap(lambda n: st.just(list[Edit]()) if n else EDITS)
MEDIA = (
    st.sampled_from([BODY, BODY, BODY, b"", BODY.replace(b"c=", b"a=sendonly\r\nc=")])
    | BODIES
    | SDP_BODIES
    | MULTIPARTS
)
METHODS = st.sampled_from(
    ["BYE", "INVITE", "INVITE", "UPDATE", "UPDATE", "INFO", "ACK", "ACK", "PRACK", "OPTIONS", "CANCEL"]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hear"), WIRE, SOURCES),
        st.tuples(st.just("call"), EXTRA, MEDIA, RARELY, SOURCES),
        st.tuples(st.just("call"), EXTRA, MEDIA, RARELY, SOURCES),
        st.tuples(st.just("answer theirs"), STATUSES, EXTRA, MEDIA, RARELY, st.integers(0, 3)),
        st.tuples(st.just("answer theirs"), STATUSES, EXTRA, MEDIA, RARELY, st.integers(0, 3)),
        st.tuples(st.just("in dialog"), METHODS, EXTRA, MEDIA, RARELY),
        st.tuples(st.just("in dialog"), METHODS, EXTRA, MEDIA, RARELY),
        st.tuples(st.just("cancel"), RARELY),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.1, 0.5, 5.0, 40.0, 200.0, 2_000.0])),
        st.tuples(st.just("fail"), SOURCES),
        st.tuples(st.sampled_from(["invite", "again", "refuse", "ring", "hang up"])),
        st.tuples(st.just("invite")),
        st.tuples(st.just("answer")),
        st.tuples(st.just("answer")),
    ),
    min_size=5,
    max_size=30,
)


class Gateway:
    """A user agent with its calls, and the peers around it."""

    def __init__(self, admission: Admission) -> None:
        self.numbers = itertools.count(1)
        self.now = 0.0
        self.heard = self.sent = 0
        self.last = b""
        self.requests: list[Request] = []
        self.calls: list[OutgoingCall | IncomingCall] = []
        self.layer = TransactionLayer()
        local = LocalSide(host="192.0.2.200", ports={"udp": 5060, "tcp": 5060, "tls": 5061})
        self.agent = UserAgent(
            local=local,
            tokens=lambda: f"t{next(self.numbers)}",
            admit=lambda *_: admission,
            layer=self.layer,
            incoming_max=5,
        )

    def hear(self, data: bytes, source: Hop = PROXY) -> None:
        self.heard += 1
        self.last = data
        self.agent.receive(data, source, self.now)
        self.look()

    def look(self) -> None:
        """Takes what is to be sent and what has happened; checks both."""
        for hop, data in self.agent.messages_to_send():
            assert hop.transport in ("udp", "tcp", "tls")
            assert hop.host
            assert 0 < hop.port < 65_536
            message = parse(data)
            self.sent += 1
            if isinstance(message, Request):
                self.requests.append(message)
            else:  # what they said of themselves cannot always be repeated: brackets within an address
                assert isinstance(message, Response) or (isinstance(message, Malformed) and message.status == 400)
        while (event := self.agent.next_event()) is not None:
            if isinstance(event, Offered):
                self.calls.append(event.call)
            elif isinstance(event, Answered):
                assert event.call.session is not None
        assert len(self.layer) <= self.heard + self.sent
        assert self.agent.calls <= len(self.calls)

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(300):
            deadline = self.agent.next_deadline()
            if deadline is None or deadline > until:
                break
            self.now = max(self.now, deadline)
            self.agent.handle_deadline(self.now)
            self.look()
        self.now = max(self.now, until)
        self.agent.handle_deadline(self.now)
        self.look()

    def invite(self) -> None:
        invitation = Invitation(
            target="sip:a@203.0.113.9",
            to=NameAddr("", "sip:a@203.0.113.9"),
            from_=NameAddr("", "sip:tocsin@192.0.2.200"),
            hops=(PROXY, Hop("tcp", "203.0.113.2", 5060)),
            authenticator=Authenticator(CREDENTIALS, lambda: "c"),
            redirect=lambda _: (PROXY,),
        )
        self.calls.append(self.agent.invite(invitation, self.media(), self.now))
        self.look()

    def media(self) -> Negotiation:
        return Negotiation(address="192.0.2.200", port=40_000, session_id=1)

    def call(self, lines: list[bytes], body: bytes, edits: list[Edit], source: Hop) -> None:
        """Somebody calls us."""
        number = next(self.numbers)
        head = [
            "INVITE sip:tocsin@192.0.2.200 SIP/2.0",
            f"Via: SIP/2.0/UDP 203.0.113.9:5070;branch=z9hG4bKc{number};rport",
            f"From: <sip:a@203.0.113.9>;tag=c{number}",
            "To: <sip:tocsin@192.0.2.200>",
            f"Call-ID: call{number}",
            "CSeq: 1 INVITE",
        ]
        self.say(head, lines, body, edits, source)

    def say(self, head: list[str], lines: list[bytes], body: bytes, edits: list[Edit], source: Hop = PROXY) -> None:
        """A message, perhaps damaged on its way."""
        start = b"".join(line.encode("utf-8", "surrogateescape") + b"\r\n" for line in head)
        self.hear(edited(b"".join([start, *(line + b"\r\n" for line in lines), b"\r\n", body]), edits), source)

    def answer_theirs(self, status: int, lines: list[bytes], body: bytes, edits: list[Edit], nth: int) -> None:
        """An answer to one of our last requests, in the words of a careless peer."""
        if not self.requests:
            return
        request = self.requests[-1 - nth % len(self.requests)]
        answer = response_to(request, status, to_tag=f"p{nth % 2}")
        self.say([f"SIP/2.0 {status} x", *(f"{name}: {value}" for name, value in answer.headers)], lines, body, edits)

    def in_dialog(self, method: str, lines: list[bytes], body: bytes, edits: list[Edit]) -> None:
        """A request of a dialog: of the last call that somebody answered, ours or theirs."""
        number = next(self.numbers)
        dialogs = [call.session.dialog for call in self.calls if call.session is not None]
        if dialogs:
            ours, theirs, call_id = str(dialogs[-1].local), str(dialogs[-1].remote), dialogs[-1].call_id
            number = (dialogs[-1].remote_cseq or 0) + (method != "ACK")
        elif self.requests:
            request = self.requests[-1]
            ours, theirs, call_id = str(request.from_), f"{request.to};tag=p0", request.call_id
        else:
            return
        head = [
            f"{method} sip:tocsin@192.0.2.200 SIP/2.0",
            f"Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKx{next(self.numbers)}",
            f"From: {theirs}",
            f"To: {ours}",
            f"Call-ID: {call_id}",
            f"CSeq: {min(number, 2**31 - 1)} {method}",
        ]
        self.say(head, lines, body, edits)

    def cancel(self, edits: list[Edit]) -> None:
        """A CANCEL of whatever came last."""
        self.hear(edited(re.sub(rb"INVITE|OPTIONS", b"CANCEL", self.last), edits))

    def do(self, verb: str) -> None:
        """One of our own side's verbs, upon the last call."""
        call = self.calls[-1] if self.calls else None
        match verb:
            case "invite":
                self.invite()
            case "again" if self.last:
                self.hear(self.last)
            case "answer" if isinstance(call, IncomingCall):
                call.answer(self.media(), self.now)
            case "refuse" if isinstance(call, IncomingCall):
                call.refuse(486, self.now)
            case "ring" if isinstance(call, IncomingCall):
                call.ring(self.now)
            case "hang up" if call is not None:
                call.hang_up(self.now)
        self.look()

    def end(self) -> None:
        """All hang up, all time passes: nothing is left."""
        for call in self.calls:
            call.hang_up(self.now)
        self.look()
        self.wait(200.0)
        assert self.agent.next_deadline() is None
        assert len(self.layer) == 0
        assert (self.layer._merged, self.layer._trying, self.layer._due) == ({}, {}, [])
        assert (self.agent.calls, self.agent._offers, self.agent._incoming) == (0, {}, 0)
        assert not self.agent._alarms
        assert self.agent._clients == {}
        assert self.agent.messages_to_send() == []


@settings(deadline=None, max_examples=300)
@given(admission=ADMISSIONS, steps=STEPS)
def test_no_peer_upsets_the_user_agent(admission: Admission, steps: list[tuple[object, ...]]) -> None:
    gateway = Gateway(admission)
    verbs: dict[object, Callable[..., None]] = {
        "hear": gateway.hear,
        "answer theirs": gateway.answer_theirs,
        "call": gateway.call,
        "in dialog": gateway.in_dialog,
        "cancel": gateway.cancel,
        "wait": gateway.wait,
        "fail": lambda hop: gateway.agent.transport_failed(hop, gateway.now),
    }
    for step in steps:
        if step[0] in verbs:
            verbs[step[0]](*step[1:])
            gateway.look()
        else:
            gateway.do(str(step[0]))
    gateway.end()


ANSWERS = st.lists(st.tuples(STATUSES, EXTRA, MEDIA, RARELY, st.integers(0, 3)), max_size=4)


@settings(deadline=None, max_examples=300)
@given(
    before=ANSWERS,
    extra=EXTRA,
    timer=st.sampled_from(
        [b"X-Nothing: x", b"Session-Expires: 90;refresher=uac", b"Session-Expires: 90;refresher=uas"]
    ),
    updates=st.booleans(),
    requests=st.lists(st.tuples(METHODS, EXTRA, MEDIA, RARELY, ANSWERS, st.sampled_from([0.0, 1.0, 50.0])), max_size=6),
)
def test_nothing_upsets_a_call_of_ours(
    before: list[tuple[int, list[bytes], bytes, list[Edit], int]],
    extra: list[bytes],
    timer: bytes,
    updates: bool,
    requests: list[
        tuple[str, list[bytes], bytes, list[Edit], list[tuple[int, list[bytes], bytes, list[Edit], int]], float]
    ],
) -> None:
    gateway = Gateway(Admitted())
    gateway.invite()
    for answer in before:
        gateway.answer_theirs(*answer)
        gateway.wait(0.3)
    gateway.answer_theirs(200, [timer, *extra, *([b"Allow: UPDATE"] if updates else [])], BODY, [], 0)
    for method, lines, body, edits, answers, wait_s in requests:
        gateway.in_dialog(method, lines, body, edits)
        for answer in answers:
            gateway.answer_theirs(*answer)
        gateway.wait(wait_s)
    gateway.end()


@settings(deadline=None, max_examples=30)
@given(
    messages=st.lists(st.tuples(TORTURE | ASSEMBLED, SOURCES, st.booleans()), min_size=20, max_size=60),
    admission=ADMISSIONS,
)
def test_a_flood_fills_no_table(messages: list[tuple[bytes, Hop, bool]], admission: Admission) -> None:
    layer = TransactionLayer(transactions_max=10)
    agent = UserAgent(
        local=LocalSide(host="192.0.2.200", ports={"udp": 5060, "tcp": 5060, "tls": 5061}),
        tokens=lambda: "t",
        admit=lambda *_: admission,
        layer=layer,
        incoming_max=3,
    )
    for n, (data, source, fresh) in enumerate(messages):
        own = data.replace(b"branch=z9hG4bK", b"branch=z9hG4bK%d" % n).replace(b"Call-ID: ", b"Call-ID: %d" % n)
        if b"CANCEL" not in own:
            agent.receive(own if fresh else data, source, n / 100)
        assert len(agent.messages_to_send()) <= 1
        assert len(layer) <= 10
        assert len(layer._merged) <= 10
        assert len(layer._due) <= 2 * (n + 1)
        assert agent.calls <= 3


# --- audio -----------------------------------------------------------------------------------------------------------

RTP_HEADS = st.builds(
    lambda first, second, sequence, timestamp, ssrc, rest: (
        bytes([first, second])
        + sequence.to_bytes(2, "big")
        + timestamp.to_bytes(4, "big")
        + ssrc.to_bytes(4, "big")
        + rest
    ),
    st.sampled_from([0x80, 0x80, 0x80, 0x90, 0xA0, 0x81, 0x8F, 0xBF, 0x40, 0x00]),
    st.sampled_from([0, 8, 0x88, 101, 0xE5, 13, 200, 127]),
    st.integers(0, 3) | st.integers(0, 0xFFFF),
    st.integers(0, 3) | st.integers(0, 0xFFFF_FFFF),
    st.integers(0, 2),
    st.binary(max_size=40) | st.binary(min_size=4, max_size=4).map(lambda tail: bytes([tail[0] % 18]) + tail[1:]),
)
PACKETS = RTP_HEADS | st.binary(max_size=60) | st.integers(2_000, 2_100).map(lambda size: b"\x80\x08" + bytes(size))


@given(PACKETS)
def test_any_octets_are_a_packet_or_none(data: bytes) -> None:
    packet = parse_rtp(data)
    if packet is None:
        return
    assert len(data) <= PACKET_BYTES_MAX
    assert len(packet.payload) <= len(data) - 12
    assert packet.payload in data
    assert 0 <= packet.payload_type < 128
    assert parse_rtp(written(packet)) == packet


@given(
    st.builds(
        RtpPacket, st.integers(0, 63), st.booleans(), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF),
        st.integers(0, 0xFFFF_FFFF), st.binary(max_size=200),
    )
)  # fmt: skip
def test_any_packet_is_read_as_written(packet: RtpPacket) -> None:
    assert parse_rtp(written(packet)) == packet


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.binary(max_size=6)), max_size=60))
def test_any_telephone_events_are_keys_once_each(packets: list[tuple[int, int, bytes]]) -> None:
    receiver, heard = EventReceiver(), list[tuple[int, int]]()
    for ssrc, timestamp, payload in packets:
        key = receiver.receive(ssrc, timestamp, payload)
        if key is not None:
            assert len(key) == 1
            assert key in EVENTS
            heard.append((ssrc, timestamp))
    assert len(heard) == len(set(heard))


MEDIA_SOURCES = st.sampled_from([("203.0.113.9", 30_000), ("203.0.113.9", 30_001), ("2001:db8::1", 4)])
MEDIA_STEPS = st.lists(st.tuples(PACKETS, MEDIA_SOURCES), max_size=60)
SESSION = AudioSession(
    address="203.0.113.9",
    port=30_000,
    codec="PCMU",
    payload_type=0,
    accepts={0: "PCMU", 8: "PCMA"},
    event_payload_type=101,
    events=frozenset({101}),
)


@given(
    steps=MEDIA_STEPS, configured=st.booleans(), listening=st.booleans(), keys=st.text("0123456789*#ABCD", max_size=3)
)
def test_no_packets_upset_a_stream(
    steps: list[tuple[bytes, tuple[str, int]]], configured: bool, listening: bool, keys: str
) -> None:
    events: list[MediaEvent] = []
    stream = MediaStream(ssrc=0xFFFF_FFFF, sequence=0xFFFF, timestamp=0xFFFF_FFFF, on_event=events.append)
    stream.listening = listening
    if configured:
        stream.configure(SESSION, 0.0)
        stream.send_keys(keys)
    sent: list[bytes] = []
    for n, (data, source) in enumerate(steps, 1):
        stream.receive(data, source, n / 50)
        counts = stream.counts
        assert counts.received + counts.foreign + counts.broken == n
        assert len(stream.frames_heard) <= (FRAMES_HEARD_MAX if listening else 0)
        assert stream.locked == (counts.received > 0)
        stream.tick(sent)
    assert sum(not isinstance(event, KeyHeard) for event in events) <= configured  # the end of what is sent
    if stream.locked:
        assert configured
        assert stream.remote in {source for _, source in steps}
    assert bool(sent) == (configured and bool(steps))
    packets = [parse_rtp(data) for data in sent]
    assert all(packet is not None and packet.ssrc == 0xFFFF_FFFF for packet in packets)


FOUND_BY_FUZZING = {
    "a Via full of parameters": "OPTIONS sip:a@h SIP/2.0|Via: SIP/2.0/UDP h;branch=z9hG4bKx;"
    + ";".join(f"p{n}" for n in range(63)),
    "a CANCEL of nothing": "CANCEL sip:a@h SIP/2.0|Via: SIP/2.0/UDP h;branch=z9hG4bKy",
}


@pytest.mark.parametrize("name", FOUND_BY_FUZZING)
def test_what_was_found_once(name: str) -> None:
    first, _, via = FOUND_BY_FUZZING[name].partition("|")
    method = first.partition(" ")[0]
    lines = [
        first,
        via,
        "From: <sip:b@h>;tag=1",
        "To: <sip:a@h>",
        "Call-ID: c",
        f"CSeq: 1 {method}",
        "Content-Length: 0",
        "",
        "",
    ]
    gateway = Gateway(Admitted())
    gateway.hear("\r\n".join(lines).encode())
    gateway.end()


def test_a_long_key_costs_little() -> None:
    body = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/SAVP 8\n"
    began = time.process_time()
    sdp.parse((body + "a=crypto:1 X inline:" + "A" * 16_000 + "\tB\n").encode())
    assert time.process_time() - began < 0.5


def test_a_broken_line_end_ends_a_connection() -> None:
    for start in (b"\rX", b"\r\n\rX"):
        found = StreamFramer(65_535).receive(start)
        assert [type(one) for one in found] == [FramingError]
