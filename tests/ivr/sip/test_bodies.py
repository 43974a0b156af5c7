"""Bodies with more in them than a session description: which part is taken, and what has to be understood."""

from __future__ import annotations

import pytest

from ivr.sip.bodies import DEPTH_MAX, PARTS_MAX, sdp_of, understood
from ivr.sip.events import Answered, Lost, MediaChanged, Offered
from ivr.sip.message import Request
from ivr.sip.outgoing import OutgoingCall
from tests.ivr.sip.stage import (
    CONTACT,
    DIRECTIONS,
    OFFERING,
    SDP,
    Stage,
    far_answer,
    far_request,
    negotiation,
    only,
    refusal,
    requests,
    response,
    sdp_body,
    statuses,
    up,
)

TYPED = "Content-Type: application/sdp"
ISUP = ("Content-Type: application/isup;version=itu-t92+", b"\x01\x00\x60\r\n--\x00")
OPTIONAL = "Content-Disposition: signal;handling=optional"
REQUIRED = "Content-Disposition: signal ; Handling=required"
MIXED = ("Content-Type", 'multipart/mixed; boundary="unique=1"')


def multipart(*parts: tuple[str, bytes], boundary: str = "unique=1", end: str = "--\r\n", line: str = "\r\n") -> bytes:
    """Parts with their header lines, between boundaries."""
    pieces = [f"--{boundary}{line}{head}{line}{line}".encode() + body + line.encode() for head, body in parts]
    return b"".join(pieces) + f"--{boundary}{end}".encode()


def message(body: bytes, content_type: tuple[str, str] | None = MIXED, *more: tuple[str, str]) -> Request:
    """An INVITE with this body."""
    typed = [] if content_type is None else [content_type]
    return far_request("INVITE", "sip:x@y", branch="z9hG4bKb", headers=[*typed, *more], body=body)


# --- which part ------------------------------------------------------------------------------------------------------

ALTERNATIVES = multipart(("Content-Type: text/plain", b"x"), (TYPED, b"v=0\r\n"), boundary="inner")
NESTED = 'Content-Type: multipart/alternative;boundary="inner"'


@pytest.mark.parametrize(
    ("body", "content_type", "found"),
    [
        (b"v=0\r\n", "application/sdp", b"v=0\r\n"),
        (b"v=0\r\n", "Application/SDP;charset=utf-8", b"v=0\r\n"),
        (b"v=0\r\n", None, b"v=0\r\n"),
        (b"", "application/sdp", None),
        (b"v=0\r\n", "application/isup", None),
        (multipart((TYPED, b"v=0\r\n"), ISUP), MIXED[1], b"v=0\r\n"),
        (multipart(ISUP, (TYPED, b"v=0\r\n")), MIXED[1], b"v=0\r\n"),
        (multipart((f"c: application/sdp\r\n{OPTIONAL}", b"v=0")), MIXED[1], b"v=0"),
        (multipart((TYPED, b"v=0\n"), line="\n", end="--"), MIXED[1], b"v=0\n"),
        (b"a preamble\r\n" + multipart((TYPED, b"v=0\r\n")) + b"\r\nan epilogue", MIXED[1], b"v=0\r\n"),
        (multipart((TYPED, b"v=0\r\n"), end=" \t\r\n"), MIXED[1], b"v=0\r\n"),
        (multipart((TYPED, b"v=0\r\n"), end=""), MIXED[1], b"v=0\r\n"),
        (multipart((TYPED, b"v=0\r\na=x--unique=1\r\n")), MIXED[1], b"v=0\r\na=x--unique=1\r\n"),
        (multipart((TYPED, b"v=0\r\n--unique=10\r\n")), MIXED[1], b"v=0\r\n--unique=10\r\n"),
        (multipart(ISUP, (NESTED, ALTERNATIVES)), MIXED[1], b"v=0\r\n"),
        (ALTERNATIVES, "multipart/alternative;boundary=inner", b"v=0\r\n"),
        (ALTERNATIVES, "multipart/related;boundary=inner", b"v=0\r\n"),
        (multipart((TYPED, b"one"), (TYPED, b"two")), MIXED[1], b"one"),
        (b"--unique=1\r\n" + TYPED.encode() + b"\r\n\r\nv=0", MIXED[1], b"v=0"),
        (multipart((TYPED, b"v=0\r\n")), "multipart/mixed", b"v=0\r\n"),
        (multipart((TYPED, b"v=0\r\n")), "multipart/mixed;boundary=other", b"v=0\r\n"),
        (multipart((TYPED, b"v=0\r\n")), f"multipart/mixed;boundary={'x' * 71}", b"v=0\r\n"),
        (b"v=0\r\no=- 1 1 IN IP4 x\r\n", MIXED[1], b"v=0\r\no=- 1 1 IN IP4 x\r\n"),
        (b"neither", MIXED[1], None),
        (multipart(("", b"v=0\r\n")), MIXED[1], None),
        (multipart(("broken", b"v=0\r\n")), MIXED[1], None),
        (b"--unique=1--\r\n", MIXED[1], None),
        (multipart(*[ISUP] * PARTS_MAX, (TYPED, b"v=0\r\n")), MIXED[1], None),
    ],
)
def test_the_description_among_the_parts(body: bytes, content_type: str | None, found: bytes | None) -> None:
    typed = None if content_type is None else ("Content-Type", content_type)
    assert sdp_of(message(body, typed)) == found


def test_multiparts_are_looked_into_so_deep() -> None:
    body = TYPED, b"v=0\r\n"
    for depth in range(DEPTH_MAX + 1):
        whole = message(body[1], ("Content-Type", body[0].removeprefix("Content-Type: ")))
        assert sdp_of(whole) == b"v=0\r\n"
        body = f"Content-Type: multipart/mixed;boundary=b{depth}", multipart(body, boundary=f"b{depth}")
    assert sdp_of(message(body[1], ("Content-Type", body[0].removeprefix("Content-Type: ")))) is None


# --- what has to be understood ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        (message(b"", None), True),
        (message(b"v=0", SDP), True),
        (message(b"x", ("Content-Type", "application/isup")), False),
        (
            message(b"x", ("Content-Type", "application/isup"), ("Content-Disposition", "signal;handling=optional")),
            True,
        ),
        (message(multipart((TYPED, b"v=0"), (f"{ISUP[0]}\r\n{OPTIONAL}", b"x"))), True),
        (message(multipart((TYPED, b"v=0"), ISUP)), True),
        (message(multipart((TYPED, b"v=0"), (f"{ISUP[0]}\r\n{REQUIRED}", b"x"))), False),
        (message(multipart((f"{TYPED}\r\n{REQUIRED}", b"v=0"), ISUP)), True),
        (message(multipart((f"{ISUP[0]}\r\n{OPTIONAL}", b"x"))), True),
        (
            message(
                multipart((f"{ISUP[0]}\r\n{REQUIRED}", b"x"), (TYPED, b"v=0")),
                ("Content-Type", "multipart/alternative;boundary=unique=1"),
            ),
            True,
        ),
        (message(b"x"), False),
    ],
)
def test_what_is_required_has_to_be_understood(whole: Request, expected: bool) -> None:
    assert understood(whole) is expected


# --- in calls --------------------------------------------------------------------------------------------------------


def port(leg: OutgoingCall) -> int:
    """Where the audio of the call goes."""
    assert leg.session is not None
    assert leg.session.negotiation.agreed is not None
    return leg.session.negotiation.agreed.port


def test_an_answer_with_isup_beside_its_description_is_taken() -> None:
    stage = Stage()
    leg, invite = stage.call()
    body = multipart((TYPED, sdp_body(31_000)[:-2]), (f"{ISUP[0]}\r\n{OPTIONAL}", ISUP[1]))
    assert requests(stage.hear(far_answer(invite, 200, headers=[CONTACT, MIXED], body=body))) == ["ACK"]
    assert stage.told(Answered)
    assert port(leg) == 31_000


def test_a_body_of_another_kind_takes_no_preview_away() -> None:
    stage = Stage()
    leg, invite = stage.call()
    stage.hear(far_answer(invite, 183, headers=OFFERING, body=sdp_body(31_000)))
    stage.hear(far_answer(invite, 180, headers=[CONTACT, ("Content-Type", "application/isup")], body=b"\x06\x01"))
    assert requests(stage.hear(far_answer(invite, 200, headers=[CONTACT]))) == ["ACK"]
    assert port(leg) == 31_000


@pytest.mark.parametrize("tag", ["a", "b", ""])
@pytest.mark.parametrize("early", ["a", ""])
def test_who_picks_up_without_a_description_is_known_by_the_one_before(early: str, tag: str) -> None:
    """Each phone of a fork has to bring an answer of its own (RFC 3261, 13.2.1): one that brings none is behind somebody who changes
    tags on the way, and whoever has picked up is not hung up on."""
    stage = Stage()
    leg, invite = stage.call()
    stage.hear(far_answer(invite, 183, tag=early, headers=OFFERING, body=sdp_body(31_000)))
    assert requests(stage.hear(far_answer(invite, 200, tag=tag, headers=[CONTACT]))) == ["ACK"]
    assert port(leg) == 31_000


def test_who_picks_up_and_never_describes_its_audio_is_hung_up_on() -> None:
    stage = Stage()
    _, invite = stage.call()
    stage.hear(far_answer(invite, 180, tag="a"))
    assert requests(stage.hear(far_answer(invite, 200, tag="a", headers=[CONTACT]))) == ["ACK", "BYE"]
    assert refusal(stage).lost is Lost.MEDIA_REFUSED


def test_a_reliable_answer_among_other_parts_is_final() -> None:
    stage = Stage()
    leg, invite = stage.call()
    headers = [CONTACT, MIXED, ("Require", "100rel"), ("RSeq", "1")]
    only(stage.hear(far_answer(invite, 183, headers=headers, body=multipart(ISUP, (TYPED, sdp_body(31_000))))), "PRACK")
    stage.hear(far_answer(invite, 200, headers=OFFERING, body=sdp_body(32_000)))
    assert port(leg) == 31_000


def calling(*parts: tuple[str, bytes]) -> Request:
    """A call to us with these parts."""
    return far_request(
        "INVITE", "sip:tocsin@192.0.2.1", branch="z9hG4bKm", headers=[CONTACT, MIXED], body=multipart(*parts)
    )


def test_an_offer_among_other_parts_is_taken() -> None:
    stage = Stage()
    leg = stage.offered(calling((TYPED, sdp_body(31_000)), (f"{ISUP[0]}\r\n{OPTIONAL}", ISUP[1])))
    assert leg.answer(negotiation(), stage.now)
    answer = response(stage.messages(), 200)
    assert answer.headers.content_type == "application/sdp"
    assert leg.session is not None
    assert leg.session.negotiation.agreed is not None
    assert leg.session.negotiation.agreed.port == 31_000


def test_a_call_with_other_parts_alone_gets_our_offer() -> None:
    stage = Stage()
    leg = stage.offered(calling((f"{ISUP[0]}\r\n{OPTIONAL}", ISUP[1])))
    assert leg.answer(negotiation(), stage.now)
    assert response(stage.messages(), 200).body.startswith(b"v=0")
    assert leg.session is not None
    assert leg.session.negotiation.offering


def test_a_call_whose_other_part_is_required_is_refused() -> None:
    stage = Stage()
    refused = response(stage.hear(calling((TYPED, sdp_body()), (f"{ISUP[0]}\r\n{REQUIRED}", b"x"))), 415)
    assert refused.headers.get("Accept") == "application/sdp"
    assert stage.told(Offered) == []


@DIRECTIONS
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_other_media_among_other_parts_are_taken(outgoing: bool, method: str) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    body = multipart(ISUP, (TYPED, sdp_body(31_000)))
    request = far.request(method, headers=[CONTACT, MIXED], body=body)
    assert statuses(stage.hear(request)) == [200]
    assert len(stage.told(MediaChanged)) == 1
    assert far.leg.session is not None
    assert far.leg.session.negotiation.agreed is not None
    assert far.leg.session.negotiation.agreed.port == 31_000
