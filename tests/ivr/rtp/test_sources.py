"""Where the packets of a call may come from: the agreed address, a phone behind a NAT, nobody who is left over."""

from __future__ import annotations

import pytest

from ivr.rtp.packet import RtpPacket, written
from ivr.rtp.sources import EARLY_MAX, LATCH_AFTER_S, RETURN_AFTER_S
from ivr.rtp.stream import MediaStream, Transform
from tests.ivr.rtp.line import FAR, STRANGER, Line, event, session


def test_the_source_is_learnt_from_the_first_packet_and_kept() -> None:
    line = Line()
    assert (line.stream.remote, line.stream.locked) == (FAR, False)
    behind_nat = ("203.0.113.200", 61_000)
    line.hear(8, source=behind_nat)
    assert (line.stream.remote, line.stream.locked) == (behind_nat, True)
    line.hear(101, event(1, 160), source=STRANGER)
    line.hear(8, source=(behind_nat[0], 61_001))
    assert line.keys == ""
    assert (line.stream.remote, line.stream.counts.foreign, line.stream.counts.received) == (behind_nat, 2, 1)
    line.hear(101, event(1, 160), source=behind_nat)
    assert line.keys == "1"


def test_the_agreed_address_goes_first_and_another_one_may_follow_only_where_it_is_silent() -> None:
    line = Line()
    line.hear(101, event(1, 160), source=STRANGER, now=LATCH_AFTER_S - 0.01)
    assert (line.keys, line.stream.remote, line.stream.counts.foreign) == ("", FAR, 1)
    line.hear(8, source=FAR, now=LATCH_AFTER_S)
    line.hear(101, event(1, 160), source=STRANGER, now=60.0)
    assert (line.keys, line.stream.remote) == ("", FAR)


def test_the_agreed_address_takes_its_place_whenever_it_comes() -> None:
    line = Line()
    line.hear(8, source=STRANGER)
    assert line.stream.remote == STRANGER
    line.hear(101, event(1, 160), source=FAR)
    assert (line.keys, line.stream.remote) == ("1", FAR)
    line.hear(101, event(2, 160), source=STRANGER, timestamp=2_000)
    assert (line.keys, line.stream.remote) == ("1", FAR)


def open_port() -> Line:
    """A stream that was not told yet who is at the other side."""
    line = Line.__new__(Line)
    line.events = []
    line.stream = MediaStream(ssrc=7, sequence=1, timestamp=1, on_event=line.events.append, secret=True)
    return line


def test_who_was_in_another_call_on_this_port_is_never_heard() -> None:
    line = open_port()
    for n in range(100):
        if n == 5:
            line.stream.announced()
        line.hear(101, event(1, 160), source=STRANGER, now=n * 0.02, timestamp=n)
    line.stream.configure(session(), 2.0)
    for n in range(100):
        line.hear(101, event(1, 160), source=STRANGER, now=2.0 + n * 0.02, timestamp=n)
    assert (line.keys, line.stream.remote, line.stream.locked) == ("", FAR, False)
    behind_nat = ("203.0.113.200", 61_000)
    line.hear(101, event(2, 160), source=behind_nat, now=4.0)
    assert (line.keys, line.stream.remote) == ("2", behind_nat)


def test_audio_that_overtook_its_answer_is_the_phone_s() -> None:
    line = open_port()
    behind_nat = ("203.0.113.200", 61_000)
    line.stream.announced()
    line.hear(8, source=behind_nat, now=1.9)
    line.stream.configure(session(), 2.0)
    line.hear(8, source=behind_nat, now=2.0 + LATCH_AFTER_S)
    assert (line.stream.remote, line.stream.locked) == (behind_nat, True)


def test_early_media_from_behind_a_nat_are_the_phone_s_however_fast_they_come() -> None:
    line = open_port()
    behind_nat = ("203.0.113.200", 61_000)
    line.hear(8, source=STRANGER, now=0.0)
    line.stream.announced()
    for n in range(500):
        line.hear(8, source=behind_nat, now=n * 0.02)
    line.stream.configure(session(), 10.2)
    line.hear(101, event(1, 160), source=behind_nat, now=10.5)
    assert (line.keys, line.stream.remote) == ("1", behind_nat)


def test_the_agreed_address_may_have_been_heard_before() -> None:
    line = open_port()
    for n in range(100):
        line.hear(8, source=FAR, now=n * 0.02)
    line.stream.announced()
    line.stream.configure(session(), 2.0)
    line.hear(101, event(2, 160), source=FAR, now=2.0)
    assert line.keys == "2"


def test_senders_before_the_answer_are_a_bounded_number() -> None:
    line = open_port()
    for n in range(10_000):
        line.hear(8, source=("198.51.100.1", n), now=0.0)
    assert len(line.stream._sources._left_over) == EARLY_MAX


def test_an_offer_that_only_refreshes_the_session_changes_no_source() -> None:
    line = Line()
    behind_nat = ("203.0.113.200", 61_000)
    line.hear(8, source=behind_nat)
    line.stream.configure(session(codec="PCMU"), 6.0)
    assert (line.stream.remote, line.stream.locked) == (behind_nat, True)
    line.hear(101, event(2, 160), source=behind_nat, now=6.0)
    assert line.keys == "2"


@pytest.mark.parametrize("nowhere", ["0.0.0.0", "::"])
def test_an_old_hold_changes_no_source(nowhere: str) -> None:
    line = Line()
    behind_nat = ("203.0.113.200", 61_000)
    line.hear(8, source=behind_nat)
    line.stream.configure(session(address=nowhere, may_send=False), 6.0)
    line.hear(101, event(1, 160), source=STRANGER, now=60.0)
    assert (line.keys, line.stream.remote, line.stream.locked) == ("", behind_nat, True)
    line.stream.configure(session(), 66.0)
    line.hear(101, event(2, 160), source=behind_nat, now=66.0)
    assert line.keys == "2"


def test_a_hold_that_ended_is_no_silence() -> None:
    line = Line()
    assert line.stream.last_received_at is None
    line.hear(8, now=5.0)
    line.stream.configure(session(may_send=False), 6.0)
    line.stream.configure(session(), 66.0)
    assert line.stream.last_received_at == 66.0


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0" * 12, b"\x80\xc8" + b"\0" * 26, b"\x80\x0d" + b"\0" * 11, b"\x80\x7f" + b"\0" * 170, b"\x40\x08" + b"\0" * 170,
        b"\x80\x08" + b"\0" * 5_000,
    ],
    ids=["empty", "version", "rtcp", "comfort noise", "unknown type", "stun", "huge"],
)  # fmt: skip
def test_what_is_no_packet_of_the_call_fixes_no_source(data: bytes) -> None:
    line = Line()
    line.stream.receive(data, STRANGER, 5.0)
    assert not line.stream.locked
    assert line.stream.remote == FAR
    assert line.stream.last_received_at is None
    assert line.stream.counts.broken == 1


def test_comfort_noise_is_a_sign_of_life_from_the_phone_only() -> None:
    line = Line()
    line.hear(13, b"\x40", source=FAR, now=7.0)
    assert (line.stream.last_received_at, line.stream.counts.received, line.stream.locked) == (7.0, 1, True)
    behind_nat = Line()
    behind_nat.hear(13, b"\x40", source=STRANGER, now=8.0)
    assert not behind_nat.stream.locked
    behind_nat.hear(8, source=STRANGER, now=9.0)
    behind_nat.hear(13, b"\x40", source=STRANGER, now=10.0)
    assert (behind_nat.stream.last_received_at, behind_nat.stream.remote) == (10.0, STRANGER)


def test_after_other_media_were_agreed_the_source_is_learnt_anew() -> None:
    line = Line()
    line.hear(8, source=FAR)
    line.stream.configure(session(port=31_000), 6.0)
    assert (line.stream.remote, line.stream.locked) == ((FAR[0], 31_000), False)
    line.hear(8, source=(FAR[0], 31_000), now=9.0)
    assert line.stream.locked
    assert line.stream.last_received_at == 9.0


def test_who_was_in_the_call_before_is_not_the_phone_that_comes_after_him() -> None:
    line = Line()
    before, behind_nat = ("203.0.113.200", 61_000), ("203.0.113.201", 62_000)
    line.hear(8, source=before)
    line.stream.configure(session(port=31_000), 6.0)  # transferred
    for n in range(30):
        line.hear(101, event(1, 160), source=before, now=6.0 + n * 0.02)
    line.hear(101, event(2, 160), source=behind_nat, now=6.6)
    assert (line.keys, line.stream.remote) == ("2", behind_nat)


def test_the_phone_may_stay_where_it_was_whatever_it_says() -> None:
    line = Line()
    behind_nat = ("203.0.113.200", 61_000)
    line.hear(8, source=behind_nat)
    line.stream.configure(session(port=31_000), 6.0)
    line.hear(101, event(1, 160), source=behind_nat, now=6.0 + RETURN_AFTER_S)
    assert (line.keys, line.stream.remote) == ("1", behind_nat)


class Sealed:
    """Packets that say so themselves."""

    def protect(self, packet: bytes) -> bytes:
        return b"sealed" + packet

    def unprotect(self, packet: bytes) -> bytes | None:
        return packet.removeprefix(b"sealed") if packet.startswith(b"sealed") else None

    def follow(self, before: Transform) -> None:
        self.before = before


def test_forged_packets_fix_no_source_and_make_no_key() -> None:
    line = Line()
    line.stream.configure(session(), 0.0, Sealed())
    line.hear(101, event(1, 160), source=STRANGER)
    assert not line.stream.locked
    assert (line.keys, line.stream.counts.broken) == ("", 1)
    whole = written(RtpPacket(101, False, 1, 1, 1, event(1, 160)))
    behind_nat = ("203.0.113.200", 61_000)
    line.stream.receive(b"sealed" + whole, behind_nat, 0.01)  # who has the key needs no other proof
    assert (line.keys, line.stream.remote) == ("1", behind_nat)
    packets: list[bytes] = []
    line.stream.tick(packets)
    assert packets[0].startswith(b"sealed\x80")
    moved = (behind_nat[0], 61_001)  # its NAT was restarted
    line.hear(101, event(3, 160), source=moved, timestamp=3_000)
    assert (line.keys, line.stream.remote) == ("1", behind_nat)
    whole = written(RtpPacket(101, False, 2, 2_000, 1, event(2, 160)))
    line.stream.receive(b"sealed" + whole, moved, 9.0)
    assert (line.keys, line.stream.remote) == ("12", moved)


def test_what_encrypts_follows_what_did_before() -> None:
    line = Line()
    first, second = Sealed(), Sealed()
    for transform in (first, second):
        line.stream.configure(session(), 0.0, transform)
    assert second.before is first
