"""Encrypted audio between two endpoints: keys through offer and answer, packets through libsrtp."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from ivr.rtp.packet import RtpPacket, written
from ivr.rtp.srtp import SrtpTransform, crypto_attributes, transform_of
from ivr.rtp.stream import KeyHeard, MediaEvent, MediaStream
from ivr.sip.negotiation import Negotiation
from ivr.sip.sdp import SRTP_SUITES, AudioSession, CryptoAttribute


def agreed(
    ours: tuple[CryptoAttribute, ...] | None = None, theirs: tuple[CryptoAttribute, ...] | None = None
) -> tuple[AudioSession, AudioSession]:
    """What the caller and the called make of their keys."""
    caller = Negotiation(
        address="127.0.0.1", port=40_000, session_id=1, crypto=ours or crypto_attributes(secrets.token_bytes)
    )
    called = Negotiation(
        address="127.0.0.1", port=40_002, session_id=2, crypto=theirs or crypto_attributes(secrets.token_bytes)
    )
    answer = called.answer(caller.offer())
    assert answer is not None
    assert caller.accept(answer)
    assert caller.agreed is not None
    assert called.agreed is not None
    return caller.agreed, called.agreed


def transforms(sessions: tuple[AudioSession, AudioSession]) -> tuple[SrtpTransform, SrtpTransform]:
    """Both sides'."""
    one, other = map(transform_of, sessions)
    assert one is not None
    assert other is not None
    return one, other


def packet(sequence: int, payload: bytes = b"\xd5" * 160) -> bytes:
    """A packet in the clear."""
    return written(RtpPacket(8, False, sequence & 0xFFFF, sequence * 160, 77, payload))


@pytest.mark.parametrize(("suite", "tag_bytes"), [(SRTP_SUITES[0], 10), (SRTP_SUITES[1], 4)])
def test_both_ways(suite: str, tag_bytes: int) -> None:
    only = tuple(one for one in crypto_attributes(secrets.token_bytes) if one.suite == suite)
    caller, called = transforms(agreed(ours=only))
    for n in range(10):
        for sender, hearer in ((caller, called), (called, caller)):
            sealed = sender.protect(packet(n))
            assert len(sealed) == len(packet(n)) + tag_bytes
            assert packet(n)[12:] not in sealed
            assert hearer.unprotect(sealed) == packet(n)


def test_replayed_forged_and_foreign_packets_are_not_opened() -> None:
    caller, called = transforms(agreed())
    stranger, _ = transforms(agreed())
    sealed = caller.protect(packet(1))
    assert called.unprotect(sealed) == packet(1)
    assert called.unprotect(sealed) is None
    second = caller.protect(packet(2))
    assert called.unprotect(second[:-1] + bytes([second[-1] ^ 1])) is None
    assert called.unprotect(second) == packet(2)
    for data in (stranger.protect(packet(3)), packet(3), b"", b"\x80", b"\xff" * 40, sealed[:20]):
        assert called.unprotect(data) is None


def test_the_same_keys_agreed_again_go_on_counting() -> None:
    sessions = agreed()
    caller, called = transforms(sessions)
    for n in range(65_530, 65_545):
        assert called.unprotect(caller.protect(packet(n))) == packet(n)
    replayed = caller.protect(packet(65_546))
    assert called.unprotect(replayed) == packet(65_546)
    for n in (65_550, 65_551):
        later = transforms(sessions)
        for one, before in zip(later, (caller, called), strict=True):
            one.follow(before)
        caller, called = later
        assert called.unprotect(replayed) is None
        assert called.unprotect(caller.protect(packet(n))) == packet(n)


def test_another_key_begins_anew_and_only_that_one() -> None:
    """As phones do that make a key for each of their offers."""
    ours, theirs, fresh = (crypto_attributes(secrets.token_bytes)[:1] for _ in range(3))
    caller, called = transforms(agreed(ours, theirs))
    for n in range(65_530, 65_545):
        assert called.unprotect(caller.protect(packet(n))) == packet(n)
        assert caller.unprotect(called.protect(packet(n))) == packet(n)
    caller_later, called_later = transforms(agreed(ours, fresh))
    caller_later.follow(caller)
    called_later.follow(called)
    late = called.protect(packet(65_545))
    assert called_later.unprotect(caller_later.protect(packet(65_545))) == packet(65_545)
    assert caller_later.unprotect(called_later.protect(packet(65_545))) == packet(65_545)
    assert caller_later.unprotect(late) is None


def test_packets_out_of_order_and_across_the_wrap() -> None:
    caller, called = transforms(agreed())
    sealed = {n: caller.protect(packet(n)) for n in range(65_530, 65_545)}
    for n in (65_530, 65_535, 65_532, 65_536, 65_534, 65_540, 65_538):
        assert called.unprotect(sealed[n]) == packet(n)


def test_streams_talk_encrypted() -> None:
    one, other = agreed()
    events: list[MediaEvent] = []
    sender = MediaStream(ssrc=1, sequence=65_530, timestamp=1, on_event=lambda event: None)
    hearer = MediaStream(ssrc=2, sequence=1, timestamp=1, on_event=events.append)
    sender.configure(one, 0.0, transform_of(one))
    hearer.configure(other, 0.0, transform_of(other))
    sender.send_keys("19#")
    for _ in range(60):
        packets: list[bytes] = []
        sender.tick(packets)
        for data in packets:
            hearer.receive(data, ("127.0.0.1", 40_000), 1.0)
            hearer.receive(data, ("127.0.0.1", 40_000), 1.0)
    assert events == [KeyHeard("1"), KeyHeard("9"), KeyHeard("#")]
    assert hearer.counts.broken == hearer.counts.received > 60


def test_keys_are_fresh_and_of_the_right_size() -> None:
    first, second = (crypto_attributes(secrets.token_bytes) for _ in range(2))
    assert [one.suite for one in first] == list(SRTP_SUITES)
    assert [one.tag for one in first] == [1, 2]
    assert len({one.key for one in (*first, *second)}) == 4
    assert {len(one.key) for one in first} == {40}


@pytest.mark.parametrize("key", ["", "AAAA", "A" * 64, "!" * 40, "A" * 39])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    session, _ = agreed()
    assert session.remote_crypto is not None
    with pytest.raises(ValueError, match="30 octets"):
        transform_of(replace(session, remote_crypto=replace(session.remote_crypto, key=key)))


def test_without_keys_nothing_is_encrypted() -> None:
    session, _ = agreed()
    assert transform_of(replace(session, local_crypto=None, remote_crypto=None)) is None
