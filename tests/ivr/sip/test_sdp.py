"""Session descriptions: what an offer and its answer come to, table by table."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ivr.sip import offers, sdp
from ivr.sip.negotiation import Negotiation
from ivr.sip.sdp import AudioSession, CryptoAttribute, Rejected, SessionDescription

KEY, THEIRS = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj", "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
S80, S32 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
OURS = (CryptoAttribute(tag=1, suite=S80, key=KEY), CryptoAttribute(tag=2, suite=S32, key=KEY))
MAPPED = "a=rtpmap:101 telephone-event/8000"


def description(*lines: str, address: str = "203.0.113.9") -> SessionDescription:
    """Theirs."""
    head = ["v=0", "o=- 7 1 IN IP4 203.0.113.9", "s=-", *([f"c=IN IP4 {address}"] if address else []), "t=0 0"]
    found = sdp.parse("".join(f"{line}\r\n" for line in (*head, *lines)).encode())
    assert found is not None
    return found


def answered(
    remote: SessionDescription, *, codecs: Sequence[str] = ("PCMA", "PCMU"), crypto: Sequence[CryptoAttribute] = (),
    events: bool = True,
) -> tuple[SessionDescription, AudioSession] | Rejected:  # fmt: skip
    """Our answer to their offer, and what follows."""
    ours = offers.answer(
        remote, address="192.0.2.1", port=40_000, session_id=1, version=2, codecs=codecs, crypto=crypto, events=events
    )
    if isinstance(ours, Rejected):
        return ours
    agreed = offers.agreed(ours, remote)
    assert isinstance(agreed, AudioSession)
    return ours, agreed


def offered(
    remote: SessionDescription, *, codecs: Sequence[str] = ("PCMA", "PCMU"), crypto: Sequence[CryptoAttribute] = (),
    events: bool = True,
) -> AudioSession | Rejected:  # fmt: skip
    """What follows from our offer and their answer."""
    ours = offers.offer(
        address="192.0.2.1", port=40_000, session_id=1, version=2, codecs=codecs, crypto=crypto, events=events
    )
    return offers.agreed(ours, remote)


# --- codecs and payload types ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "codecs", "codec", "formats"),
    [
        (["m=audio 4000 RTP/AVP 8 0 101", MAPPED], ("PCMA", "PCMU"), "PCMA", ("8", "101")),
        (["m=audio 4000 RTP/AVP 0 8 101", MAPPED], ("PCMA", "PCMU"), "PCMU", ("0", "101")),
        (["m=audio 4000 RTP/AVP 0 8 101", MAPPED], ("PCMA",), "PCMA", ("8", "101")),
        (["m=audio 4000 RTP/AVP 9 18 8"], ("PCMA", "PCMU"), "PCMA", ("8",)),
        (["m=audio 4000 RTP/AVP 96", "a=rtpmap:96 pcma/8000/1"], ("PCMA", "PCMU"), "PCMA", ("96",)),
        (["m=audio 4000 RTP/AVP 8", "a=rtpmap:8 PCMU/8000"], ("PCMA", "PCMU"), "PCMU", ("8",)),
        (
            ["m=audio 4000 RTP/AVP 8 100 101", MAPPED, "a=rtpmap:100 telephone-event/16000"],
            ("PCMA", "PCMU"), "PCMA", ("8", "101"),
        ),
        (["m=audio 4000 RTP/AVP 8 97", "a=rtpmap:97 Telephone-Event/8000"], ("PCMA", "PCMU"), "PCMA", ("8", "97")),
        (["m=audio 4000/2 rtp/avp 8"], ("PCMA", "PCMU"), "PCMA", ("8",)),
    ],
)  # fmt: skip
def test_the_offerers_order_and_numbers_count(
    lines: list[str], codecs: tuple[str, ...], codec: str, formats: tuple[str, ...]
) -> None:
    found = answered(description(*lines), codecs=codecs)
    assert not isinstance(found, Rejected)
    answer, agreed = found
    assert answer.media[0].formats == formats
    assert (agreed.codec, agreed.payload_type) == (codec, int(formats[0]))
    assert agreed.event_payload_type == (int(formats[1]) if len(formats) > 1 else None)
    assert agreed.accepts[agreed.payload_type] == codec


@pytest.mark.parametrize(
    ("lines", "codec", "number"),
    [
        (["m=audio 4000 RTP/AVP 8,101", MAPPED], "PCMA", 8),
        (["m=audio 4000 RTP/AVP 0, 8, 101", MAPPED], "PCMU", 0),
        (["m=audio 4000 8,101", MAPPED], "PCMA", 8),
        (["m=audio 4000 RTP/AVP PCMA"], "PCMA", 8),
        (["m=audio 4000 RTP/AVP G711U 101", MAPPED], "PCMU", 0),
        (["m=audio 4000 RTP/AVP *"], "PCMU", 0),
        (["m=audio 4000 RTP/AVP"], "PCMU", 0),
        *((["m=audio 4000 RTP/AVP 8", f"a=rtpmap:8 {name}"], "PCMA", 8)
          for name in ("G711A/8000", "G.711A/8000", "a-law/8000", "PCMA/16000", "PCMA", "unknown/8000", "PCMA/8000.0")),
        *((["m=audio 4000 RTP/AVP 97", f"a=rtpmap:97 {name}/8000"], "PCMU", 97) for name in ("G711U", "G.711-uLaw", "mu-law")),
        *(([f"m=audio 4000 {protocol} 8 101", MAPPED], "PCMA", 8)
          for protocol in ("RTP/AVP/UDP", "RTP", "udp", "rtp/avp", "RTP/AVPF", "RTP-AVP", "RTP/APV")),
        *(([f"m=audio {port} RTP/AVP 8"], "PCMA", 8) for port in ("+4000", "4000.0", "4000/1", "04000")),
    ],
)  # fmt: skip
def test_case_3_2_audio_is_read_however_its_line_is_spelt(lines: list[str], codec: str, number: int) -> None:
    agreed = offered(description(*lines))
    assert isinstance(agreed, AudioSession)
    assert (agreed.codec, agreed.payload_type, agreed.port) == (codec, number, 4000)
    assert not isinstance(answered(description(*lines)), Rejected)


@pytest.mark.parametrize(
    "lines",
    [
        ["m=audio 0 RTP/AVP 8"],
        ["m=audio 4000 RTP/AVP 9"],
        ["m=audio 4000 RTP/AVP 96", "a=rtpmap:96 PCMA/16000"],
        ["m=audio 4000 RTP/AVP opus"],
        ["m=audio 4000 RTP/AVP 8", "a=rtpmap:8 telephone-event/8000"],
        ["m=audio 4000 TCP/MSRP 8"],
        ["m=audio 4000 RTP/SAVP 8", f"a=crypto:1 {S80} inline:{THEIRS}"],
        ["m=audio 4000 RTP/SAVPF 8"],
        ["m=audio 4000 UDP/TLS/RTP/SAVPF 8"],
        ["m=video 4000 RTP/AVP 8"],
        ["m=image 4000 udptl t38"],
        ["m=audio 4000 RTP/AVP 101", MAPPED],
        ["m=audio 4000 RTP/AVP 8", "c=IN IP4 224.2.1.1/127/3"],
        ["m=audio 70000 RTP/AVP 8"],
        ["m=audio"],
        ["m="],
    ],
)
def test_what_we_cannot_do_is_rejected(lines: list[str]) -> None:
    assert isinstance(answered(description(*lines)), Rejected)
    assert isinstance(offered(description(*lines)), Rejected)


@pytest.mark.parametrize(
    ("lines", "address", "expected", "host"),
    [
        (["m=audio 4000 RTP/AVP 8"], "", "203.0.113.9", ""),  # that of o=
        (["m=audio 4000 RTP/AVP 8"], "name.example", "203.0.113.9", "name.example"),  # that of o= until it is looked up
        (["m=audio 4000 RTP/AVP 8", "c=IN IP4 other.example."], "203.0.113.7", "203.0.113.9", "other.example."),
        (["m=audio 4000 RTP/AVP 8", "m=video 0 RTP/AVP 31", "c=IN IP4 203.0.113.8"], "", "203.0.113.8", ""),
        (["m=audio 4000 RTP/AVP 8", "c=IN IP6 2001:db8::9"], "", "2001:db8::9", ""),
        (["m=audio 4000 RTP/AVP 8", "c=IN IP6 [2001:db8::9]"], "", "2001:db8::9", ""),
        (["m=audio 4000 RTP/AVP 8", "c=ip4 203.0.113.8/127"], "", "203.0.113.8", ""),
        (["m=audio 4000 RTP/AVP 8", "c=203.0.113.8 "], "", "203.0.113.8", ""),
        (["m=audio 4000 RTP/AVP 8", "c=IN IP4 999.1.2.3"], "", "203.0.113.9", ""),  # no name either
        (["m=audio 4000 RTP/AVP 8", "c="], "", "203.0.113.9", ""),
    ],
)
def test_where_the_audio_is(lines: list[str], address: str, expected: str, host: str) -> None:
    found = offered(description(*lines, address=address))
    assert isinstance(found, AudioSession)
    assert (found.address, found.host) == (expected, host)
    nowhere = answered(description(*lines, address=address))
    assert not isinstance(nowhere, Rejected)
    assert nowhere[1].host == host


def test_an_address_is_spelt_as_the_system_spells_that_of_a_packet() -> None:
    found = offered(description("m=audio 4000 RTP/AVP 8", "c=IN IP6 2001:0DB8:0:0:0:0:0:9"))
    assert isinstance(found, AudioSession)
    assert found.address == "2001:db8::9"


def test_other_media_are_refused_line_by_line_and_stay_in_their_place() -> None:
    found = answered(
        description(
            "m=video 5000 RTP/AVP 31", "m=audio 5002 RTP/AVP 9", "m=audio 5004 RTP/AVP 0", "c=IN IP4 203.0.113.10",
            "m=audio 5006 RTP/AVP 8", "m=image 5008 udptl t38",
        )
    )  # fmt: skip
    assert not isinstance(found, Rejected)
    answer, agreed = found
    assert [(one.kind, one.port) for one in answer.media] == [
        ("video", 0), ("audio", 0), ("audio", 40_000), ("audio", 0), ("image", 0),
    ]  # fmt: skip
    assert (agreed.address, agreed.port) == ("203.0.113.10", 5004)
    assert answer.media[4].protocol == "udptl"


def test_keys_where_only_one_side_has_them() -> None:
    for remote, events, expected in (
        (description("m=audio 4000 RTP/AVP 8 96", "a=rtpmap:96 telephone-event/8000"), True, 96),
        (description("m=audio 4000 RTP/AVP 8"), True, None),
        (description("m=audio 4000 RTP/AVP 8 96", "a=rtpmap:96 telephone-event/8000"), False, None),
    ):
        found = offered(remote, events=events)
        assert isinstance(found, AudioSession)
        assert found.event_payload_type == expected
        if expected:
            assert found.events == {96, 101}  # some send by our number, some by their own


def test_our_own_number_of_keys_needs_no_name_in_the_answer() -> None:
    for lines, expected in (
        (["m=audio 4000 RTP/AVP 8 101"], 101),
        (["m=audio 4000 RTP/AVP 8 101", "a=fmtp:101 0-16"], 101),
        (["m=audio 4000 RTP/AVP 8 101", "a=rtpmap:101 speex/8000"], None),
        (["m=audio 4000 RTP/AVP 8 96"], None),
    ):
        found = offered(description(*lines))
        assert isinstance(found, AudioSession)
        assert found.event_payload_type == expected
        assert found.events == (frozenset() if expected is None else {101})
    in_an_offer = answered(description("m=audio 4000 RTP/AVP 8 101"))  # there it may mean anything
    assert not isinstance(in_an_offer, Rejected)
    assert in_an_offer[0].media[0].formats == ("8",)
    assert not in_an_offer[1].events


def test_the_answer_may_take_any_of_what_we_offered() -> None:
    found = offered(description("m=audio 4000 RTP/AVP 9 0"))
    assert isinstance(found, AudioSession)
    assert (found.codec, found.payload_type) == ("PCMU", 0)
    assert found.accepts == {0: "PCMU", 8: "PCMA"}
    assert isinstance(offered(description("m=audio 4000 RTP/AVP 0"), codecs=("PCMA",)), Rejected)


# --- direction -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["media", "session"])
@pytest.mark.parametrize(
    ("said", "answer", "may_send", "may_receive"),
    [
        ("sendrecv", "sendrecv", True, True),
        ("sendonly", "recvonly", False, True),
        ("recvonly", "sendonly", True, False),
        ("inactive", "inactive", False, False),
        ("nonsense", "sendrecv", True, True),
    ],
)
def test_direction(where: str, said: str, answer: str, may_send: bool, may_receive: bool) -> None:
    line = f"a={said}"
    lines = [line, "m=audio 4000 RTP/AVP 8"] if where == "session" else ["m=audio 4000 RTP/AVP 8", line]
    found = answered(description(*lines))
    assert not isinstance(found, Rejected)
    assert found[0].media[0].direction == answer
    assert (found[1].may_send, found[1].may_receive) == (may_send, may_receive)
    agreed = offered(description(*lines))
    assert isinstance(agreed, AudioSession)
    assert (agreed.may_send, agreed.may_receive) == (may_send, may_receive)
    assert agreed.held == (answer != "sendrecv")


def test_the_direction_of_the_line_goes_before_that_of_the_session() -> None:
    found = answered(description("a=inactive", "m=audio 4000 RTP/AVP 8", "a=sendrecv"))
    assert not isinstance(found, Rejected)
    assert found[1].may_send


@pytest.mark.parametrize("address", ["IP4 0.0.0.0", "IP6 ::", "IP6 0:0:0:0:0:0:0:0"])
def test_the_old_kind_of_hold_sends_nothing(address: str) -> None:
    found = answered(description("m=audio 4000 RTP/AVP 8", f"c=IN {address}"))
    assert not isinstance(found, Rejected)
    assert not found[1].may_send
    assert found[1].held


# --- crypto ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offers", "tag", "suite"),
    [
        ([f"a=crypto:5 {S80} inline:{THEIRS}"], 5, S80),
        ([f"a=crypto:1 {S32} inline:{THEIRS}", f"a=crypto:2 {S80} inline:{THEIRS}"], 1, S32),
        ([f"a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:{THEIRS}", f"a=crypto:7 {S80} inline:{THEIRS}|2^31"], 7, S80),
        (["a=crypto:1 broken", f"a=crypto:2 {S32} inline:{THEIRS}|2^20"], 2, S32),
    ],
)
def test_the_first_suite_that_we_can_do_is_taken_with_its_tag(offers: list[str], tag: int, suite: str) -> None:
    found = answered(description("m=audio 4000 RTP/SAVP 8", *offers), crypto=OURS)
    assert not isinstance(found, Rejected)
    answer, agreed = found
    assert [(one.tag, one.suite, one.key) for one in answer.media[0].crypto] == [(tag, suite, KEY)]
    assert agreed.local_crypto is not None
    assert agreed.remote_crypto is not None
    assert (agreed.local_crypto.key, agreed.remote_crypto.key) == (KEY, THEIRS)
    assert agreed.local_crypto.suite == agreed.remote_crypto.suite == suite
    assert b"m=audio 40000 RTP/SAVP 8" in sdp.encode(answer)


def test_encrypted_is_never_answered_in_the_clear_nor_the_other_way_round() -> None:
    clear = description("m=audio 4000 RTP/AVP 8")
    no_key = description("m=audio 4000 RTP/SAVP 8")
    foreign = description("m=audio 4000 RTP/SAVP 8", f"a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:{THEIRS}")
    for remote in (clear, no_key, foreign):
        assert isinstance(answered(remote, crypto=OURS), Rejected)
        assert isinstance(offered(remote, crypto=OURS), Rejected)


def test_of_two_lines_the_encrypted_one_is_taken() -> None:
    remote = description("m=audio 4000 RTP/AVP 8", "m=audio 4002 RTP/SAVP 8", f"a=crypto:1 {S80} inline:{THEIRS}")
    found = answered(remote, crypto=OURS)
    assert not isinstance(found, Rejected)
    assert [one.port for one in found[0].media] == [0, 40_000]
    assert found[1].port == 4002


def test_the_answer_to_our_keys() -> None:
    found = offered(description("m=audio 4000 RTP/SAVP 8", f"a=crypto:2 {S32} inline:{THEIRS}"), crypto=OURS)
    assert isinstance(found, AudioSession)
    assert found.local_crypto == OURS[1]
    assert found.remote_crypto is not None
    assert found.remote_crypto.key == THEIRS


@pytest.mark.parametrize(("tag", "suite"), [(9, S80), (2, S80), (1, S32)])
def test_an_answer_to_no_line_of_ours_is_rejected(tag: int, suite: str) -> None:
    remote = description("m=audio 4000 RTP/SAVP 8", f"a=crypto:{tag} {suite} inline:{THEIRS}")
    assert isinstance(offered(remote, crypto=OURS), Rejected)


@pytest.mark.parametrize(
    "rest",
    [
        "|1:4", "|2^20|1:4", f";inline:{KEY}|2^20|2:4", " KDR=1", " UNENCRYPTED_SRTP", " UNENCRYPTED_SRTCP", " UNAUTHENTICATED_SRTP",
        " FEC_ORDER=FEC_SRTP", " WSH=64 KDR=1", " X=1", " -X KDR=1", "AAAA", "==",
    ],
)  # fmt: skip
def test_packets_that_we_could_not_open_are_not_chosen(rest: str) -> None:
    lines = ["m=audio 4000 RTP/SAVP 8", f"a=crypto:1 {S80} inline:{THEIRS}{rest}"]
    assert isinstance(answered(description(*lines), crypto=OURS), Rejected)
    assert isinstance(offered(description(*lines), crypto=OURS), Rejected)
    found = answered(description(*lines, f"a=crypto:2 {S80} inline:{KEY}"), crypto=OURS)
    assert not isinstance(found, Rejected)
    assert [one.tag for one in found[0].media[0].crypto] == [2]


@pytest.mark.parametrize("rest", ["", "|2^31", "|1048576", " WSH=64", " -X", "|2^20 -X=1  WSH=128 -Y"])
def test_what_changes_no_packet_is_left_alone(rest: str) -> None:
    remote = description("m=audio 4000 RTP/SAVP 8", f"a=crypto:1 {S80} inline:{THEIRS}{rest}")
    assert not isinstance(answered(remote, crypto=OURS), Rejected)
    assert not isinstance(offered(remote, crypto=OURS), Rejected)


@pytest.mark.parametrize("key", ["", THEIRS[:-4], THEIRS[:-1], THEIRS[:-1] + "=", THEIRS + "A"])
def test_a_key_of_another_size_is_none(key: str) -> None:
    remote = description("m=audio 4000 RTP/SAVP 8", f"a=crypto:1 {S80} inline:{key}")
    assert isinstance(answered(remote, crypto=OURS), Rejected)
    assert isinstance(offered(remote, crypto=OURS), Rejected)


def test_keys_are_in_no_representation() -> None:
    assert KEY not in repr(OURS)


# --- reading and writing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"x", b"v=0\r\n", b"o=- 1 1 IN IP4 1.2.3.4\r\nv=0\r\n", b"v=0\n" * 600, b"v" * 20_000, b"\0" * 99]
)
def test_what_is_no_description(data: bytes) -> None:
    assert sdp.parse(data) is None


GOOD = [
    "v=0", "o=- 7 1 IN IP4 203.0.113.9", "s=-", "c=IN IP4 203.0.113.9", "t=0 0", "m=audio 4000 RTP/AVP 8 101",
    "a=rtpmap:8 PCMA/8000", MAPPED, "a=fmtp:101 0-15", "a=sendrecv",
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("v=0", ""), ("v=0", "v=1"), ("v=0", "no line of its"), ("o=- 7 1 IN IP4 203.0.113.9", ""),
        ("o=- 7 1", "o=- - 7 1"), ("o=- 7 1 IN", "o=7 1 IN"), ("o=- 7 1 IN IP4 203.0.113.9", "o=My phone 2.0"),
        ("o=- 7 1", "o=- 99999999999999999999999 x"), ("s=-", "s"), ("s=-", "s=\x00"), ("s=-", "sess=x"),
        ("s=-", "s=\udcff"), ("t=0 0", "t=now"), ("t=0 0", "b=AS:x"), ("t=0 0", "t=0 0\0"), ("t=0 0", "=\n\n ="),
        ("c=IN IP4 203.0.113.9", "c=IN IP4 203.0.113.9  "), ("c=IN IP4 203.0.113.9", "c = in ip4\t203.0.113.9"),
        ("m=audio 4000", "M=audio 4000"), ("m=audio 4000", "m=audio  4000/2 "), ("RTP/AVP 8", "rtp/avp 8"),
        ("RTP/AVP 8", "RTP/AVPF 8"), ("RTP/AVP 8 101", "8 101"), ("RTP/AVP 8 101", "RTP/AVP 8 8 101 8 101 x 999 -1"),
        ("a=rtpmap:8 PCMA/8000", ""), ("a=rtpmap:8 PCMA/8000", "a=rtpmap:8 PCMA"), ("PCMA/8000", "pcma/08000/1"),
        ("PCMA/8000", "PCMA / 8000 "), ("a=rtpmap:8", "a=RTPMAP: 8"), ("a=rtpmap:8 PCMA/8000", "a=rtpmap"),
        ("a=fmtp:101 0-15", "a=fmtp"), ("a=fmtp:101 0-15", "a=fmtp:101"), ("a=fmtp:101", "a=fmtp:\u0661"),
        ("a=sendrecv", "a=SendRecv"), ("a=sendrecv", "a=ptime:20.0\na=maxptime:x"), ("a=sendrecv", "a=sendrecv\0"),
        ("a=sendrecv", "a=ice-ufrag:x\na=candidate:1 1 UDP 1 1.2.3.4 5 typ host\na=fingerprint:sha-1 00\na=setup:actpass"),
        ("a=sendrecv", "a=sendrecv\nm=audio 4002 RTP/AVP 0\nm=video 0 RTP/AVP 31\nm=\nm=x"),
        ("a=sendrecv", "z" * 17_000), ("a=sendrecv", "a=x\n" * 600), ("a=sendrecv", "m=audio 9 RTP/AVP 0\n" * 40),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", " \r\n"])
def test_a_line_that_nobody_needs_may_be_anything(old: str, new: str, end: str) -> None:
    text = end.join(GOOD).replace(old, new.replace("\n", end), 1) + end
    remote = sdp.parse(text.encode("utf-8", "surrogateescape"))
    assert remote is not None
    for found in (offered(remote), answered(remote)):
        assert not isinstance(found, Rejected)
        session = found if isinstance(found, AudioSession) else found[1]
        assert (session.address, session.port, session.codec) == ("203.0.113.9", 4000, "PCMA")
        assert (session.event_payload_type, session.may_send, session.may_receive) == (101, True, True)


def test_what_is_read_with_goodwill_is_named() -> None:
    text = "\n".join(GOOD)
    assert sdp.flaws_of(text.encode()) == ()
    for old, new, flaw in (
        ("v=0\n", "", "it does not begin with v="), ("s=-", "s", "line 3 is none of SDP's"), ("s=-", "s=\0", "a NUL"),
        ("o=-", "o=- -", "o= of 7 words"), ("c=", "b=", "no c= with an address"), ("4000", "x", "an m= line without a port"),
        ("a=sendrecv", "a=x\n" * 500, "more than 500 lines: the rest is not read"),
        ("a=sendrecv", "m=x 1\n" * 17, "more than 16 media: the rest is not read"),
        ("a=sendrecv", "a" * 17_000, "more than 16384 bytes: the rest is not read"),
    ):  # fmt: skip
        assert flaw in sdp.flaws_of(text.replace(old, new, 1).encode())
    assert len(sdp.flaws_of(b"x\n" * 400)) == sdp.FLAWS_MAX


def test_lines_out_of_order_are_read() -> None:
    text = "a=rtpmap:97 telephone-event/8000\na=rtpmap:96 PCMA/8000\nm=audio 4000 RTP/AVP 96 97\nc=IN IP4 203.0.113.9\nv=0\n"
    found = offered(sdp.parse(text.encode()) or description())
    assert isinstance(found, AudioSession)
    assert (found.payload_type, found.event_payload_type, found.address) == (96, 97, "203.0.113.9")


def test_an_answer_whose_audio_is_not_in_its_place_counts() -> None:
    found = offered(description("m=audio 0 RTP/AVP 8", "m=audio 4002 RTP/AVP 0"))
    assert isinstance(found, AudioSession)
    assert (found.port, found.codec) == (4002, "PCMU")


def test_a_description_is_written_as_it_is_read() -> None:
    for ours in (
        offers.offer(address="192.0.2.1", port=40_000, session_id=1, version=2, codecs=("PCMA",), crypto=OURS),
        offers.offer(
            address="2001:db8::1", port=40_000, session_id=1, version=2, codecs=("PCMU", "PCMA"), events=False
        ),
    ):
        assert sdp.parse(sdp.encode(ours)) == ours


def test_line_ends_and_blanks_of_the_field_are_taken() -> None:
    body = b"v=0\no=- 1 1 IN IP4 1.2.3.4\ns= \nc = IN IP4 1.2.3.4\nt=0 0\n\nm=audio 4000 RTP/AVP 8 \na=ptime: 20\n"
    found = sdp.parse(body)
    assert found is not None
    assert (found.address, found.media[0].ptime_ms) == ("1.2.3.4", 20)


# --- a description after others --------------------------------------------------------------------------------------


def offered_again(before: SessionDescription) -> SessionDescription:
    """Our next offer in the call."""
    return offers.offer(address="192.0.2.1", port=40_000, session_id=1, version=3, codecs=("PCMA",), before=before)


def test_an_offer_in_a_call_keeps_the_lines_of_the_one_before_in_their_places() -> None:
    first = offers.offer(address="192.0.2.1", port=40_000, session_id=1, version=2, codecs=("PCMA",))
    assert [(line.kind, line.port) for line in offered_again(first).media] == [("audio", 40_000)]
    found = answered(description("m=video 5000 RTP/AVP 31", "m=audio 5004 RTP/AVP 8", "m=image 5008 udptl t38"))
    assert not isinstance(found, Rejected)
    again = offered_again(offered_again(found[0]))
    assert [(line.kind, line.port, line.protocol, line.formats) for line in again.media] == [
        ("video", 0, "RTP/AVP", ("31",)), ("audio", 40_000, "RTP/AVP", ("8", "101")), ("image", 0, "udptl", ("t38",)),
    ]  # fmt: skip
    assert sdp.parse(sdp.encode(again)) == again
    theirs = description("m=video 0 RTP/AVP 31", "m=audio 5006 RTP/AVP 8", "m=image 0 udptl t38")
    agreed = offers.agreed(again, theirs)
    assert isinstance(agreed, AudioSession)
    assert agreed.port == 5006


# --- the state of one call -------------------------------------------------------------------------------------------


def test_an_offer_is_the_same_until_it_is_answered() -> None:
    one = Negotiation(address="192.0.2.1", port=40_000, session_id=1)
    other = Negotiation(address="203.0.113.9", port=30_000, session_id=5)
    first = one.offer()
    assert one.offer() == first
    assert one.offering
    answer = other.answer(first)
    assert answer is not None
    assert one.accept(answer)
    assert not one.offering
    assert one.accept(b"again, whatever it says")
    assert one.agreed is not None
    assert other.agreed is not None
    assert (one.agreed.port, other.agreed.port) == (30_000, 40_000)


def test_an_answer_that_is_none_leaves_the_offer_open() -> None:
    one = Negotiation(address="192.0.2.1", port=40_000, session_id=1)
    assert not one.accept(b"")
    one.offer()
    assert not one.accept(b"nonsense")
    assert one.offering
    one.withdraw()
    assert not one.offering
    assert one.agreed is None


def version(body: bytes | None) -> int:
    """Of a description of ours."""
    found = sdp.parse(body or b"")
    assert found is not None
    return found.version


def test_the_version_grows_by_one_with_what_is_said_and_only_then() -> None:
    one = Negotiation(address="192.0.2.1", port=40_000, session_id=9)
    other = Negotiation(address="203.0.113.9", port=30_000, session_id=50, codecs=("PCMU",), events=False)
    first = one.offer()
    one.withdraw()
    assert one.offer() == first  # refused, and the same again
    assert version(first) == 9
    assert one.accept(other.answer(first) or b"")
    assert one.offer() == first  # the session is refreshed
    assert one.accept(other.answer(first) or b"")
    assert [version(one.answer(other.offer())), version(one.answer(other.offer()))] == [10, 10]
    assert [version(one.offer()), version(one.offer())] == [11, 11]
    one.withdraw()
    assert version(one.answer(other.offer())) == 12  # as it was, but something else was said meanwhile
    assert version(other.offer()) == 50


def test_phones_behind_one_number_are_told_versions_of_their_own() -> None:
    one = Negotiation(address="192.0.2.1", port=40_000, session_id=9)
    first, second = one.forked(), one.forked()
    for fork in (first, second):
        assert version(fork.offer()) == 9


def test_case_3_7_keys_may_come_by_any_dynamic_type_that_is_nothing_else() -> None:
    lines = ["m=audio 4000 RTP/AVP 8 97 98 101", MAPPED, "a=rtpmap:97 opus/48000", "a=rtpmap:98 telephone-event/48000"]
    for remote in (description(*lines), description(lines[0], *lines[2:])):
        agreed = offered(remote)
        assert isinstance(agreed, AudioSession)
        assert {96, 98, 100, 101, 127} <= agreed.unlisted_events
        assert not agreed.unlisted_events & {0, 8, 13, 18, 97}
