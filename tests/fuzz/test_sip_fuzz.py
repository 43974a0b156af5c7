"""No octets make the readers of SIP messages, streams, bodies and digests raise, grow or cost much."""

from __future__ import annotations

import itertools
import re
import time

from hypothesis import given
from hypothesis import strategies as st

from ivr.rtp.telephone_event import EVENTS
from ivr.sip.bodies import sdp_of, understood
from ivr.sip.digest import (
    CHALLENGES_MAX,
    REALMS_MAX,
    Authenticator,
    Proved,
    Unproved,
    Verifier,
    parse_challenges,
    parse_parameters,
)
from ivr.sip.framing import FramingError, Ping, StreamFramer
from ivr.sip.headers import Headers, parse_cseq, parse_name_addr, parse_reason, parse_via
from ivr.sip.info import CONTENT_TYPES, InfoKeys
from ivr.sip.message import KeepAlive, Malformed, Request, Response, encode, parse, response_to
from ivr.sip.uri import parse_uri
from tests.fuzz.sip_wire import ASSEMBLED, CREDENTIALS, EDITS, MULTIPARTS, WIRE, Edit, edited
from tests.ivr.sip.torture import MESSAGES

# --- messages --------------------------------------------------------------------------------------------------------


@given(WIRE)
def test_any_octets_are_parsed(data: bytes) -> None:
    message = parse(data)
    assert isinstance(message, Request | Response | Malformed | KeepAlive)
    if isinstance(message, Malformed):
        assert 400 <= message.status < 600
        message_to_answer = None
        if message.request is not None:  # what cannot be read goes back as it is
            assert encode(response_to(message.request, message.status, to_tag="t"))
    else:
        message_to_answer = message if isinstance(message, Request) else None
    if isinstance(message, Request | Response):
        assert all((message.via.host, message.from_.uri, message.to.uri, message.cseq.method))
        assert message.call_id or isinstance(message, Response)
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
    content_type=st.sampled_from([*CONTENT_TYPES, "text/plain", ""]),
    body=st.binary(max_size=40)
    | st.binary(min_size=4, max_size=4)
    | st.from_regex(rb"(?i)(signal|d) *= *[0-9a-e*#]{1,3}\r?\n", fullmatch=True),
)
def test_any_info_is_one_key_or_none(content_type: str, body: bytes) -> None:
    key = InfoKeys().pressed(content_type, body)
    assert key is None or (len(key) == 1 and key in EVENTS)


# --- bodies ----------------------------------------------------------------------------------------------------------

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


def test_a_broken_line_end_ends_a_connection() -> None:
    for start in (b"\rX", b"\r\n\rX"):
        found = StreamFramer(65_535).receive(start)
        assert [type(one) for one in found] == [FramingError]


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
