"""Any session description is answered or rejected, and any negotiation stays sound, whatever bodies peers send."""

from __future__ import annotations

import ipaddress
import time

from hypothesis import given
from hypothesis import strategies as st

from ivr.sip import offers, sdp
from ivr.sip.negotiation import Negotiation
from ivr.sip.sdp import AudioSession, CryptoAttribute, Rejected, SessionDescription
from tests.fuzz.sip_wire import KEY, SDP_BODIES

OURS = (
    CryptoAttribute(tag=1, suite="AES_CM_128_HMAC_SHA1_80", key=KEY),
    CryptoAttribute(tag=2, suite="AES_CM_128_HMAC_SHA1_32", key=KEY),
)


def sound(session: AudioSession, encrypted: bool) -> None:
    """What was agreed makes sense."""
    assert session.codec in ("PCMA", "PCMU")
    assert 0 < session.port < 65_536
    assert not session.address or not ipaddress.ip_address(session.address).is_multicast
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
    answer = offers.answer(
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
        agreed = offers.agreed(answer, remote)
        if isinstance(agreed, AudioSession):
            sound(agreed, encrypted)
            assert agreed.codec in codecs
    offer = offers.offer(
        address="192.0.2.1", port=40_000, session_id=1, version=1, codecs=codecs, crypto=crypto, events=events
    )
    agreed = offers.agreed(offer, remote)
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


def test_a_long_key_costs_little() -> None:
    body = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/SAVP 8\n"
    began = time.process_time()
    sdp.parse((body + "a=crypto:1 X inline:" + "A" * 16_000 + "\tB\n").encode())
    assert time.process_time() - began < 0.5
