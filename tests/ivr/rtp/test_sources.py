"""Where the packets of a call may come from: the agreed address, a phone behind a NAT, nobody who is left over."""

from __future__ import annotations

import ipaddress

import pytest

from ivr.rtp.packet import RtpPacket, written
from ivr.rtp.sources import (
    CANDIDATES_MAX,
    EARLY_MAX,
    LATCH_AFTER_S,
    RETURN_AFTER_S,
    SILENT_S,
    SUSTAINED_PACKETS,
)
from ivr.rtp.stream import MediaStream, Transform
from tests.ivr.rtp.line import BEHIND_NAT, FAR, HOME, OTHER_PORT, STRANGER, Line, event, session


def test_the_source_is_learnt_from_the_first_sound_of_the_agreed_host_and_kept() -> None:
    line = Line()
    assert (line.stream.remote, line.stream.locked) == (FAR, False)
    line.hear(8, source=OTHER_PORT)
    assert (line.stream.remote, line.stream.locked) == (OTHER_PORT, True)
    line.hear(101, event(1, 160), source=STRANGER)
    line.hear(8, source=(FAR[0], 61_001))
    assert line.keys == ""
    assert (line.stream.remote, line.stream.counts.foreign, line.stream.counts.received) == (OTHER_PORT, 2, 1)
    line.hear(101, event(1, 160), source=OTHER_PORT)
    assert line.keys == "1"


def test_the_agreed_address_goes_first_and_another_port_may_follow_only_where_it_is_silent() -> None:
    line = Line()
    line.hear(8, source=OTHER_PORT, now=LATCH_AFTER_S - 0.01)
    assert (line.stream.locked, line.stream.remote, line.stream.counts.foreign) == (False, FAR, 1)
    line.hear(8, source=FAR, now=LATCH_AFTER_S)
    line.hear(101, event(1, 160), source=OTHER_PORT, now=60.0)
    assert (line.keys, line.stream.remote) == ("", FAR)


def test_the_agreed_address_takes_its_place_whenever_it_comes() -> None:
    line = Line()
    line.hear(8, source=OTHER_PORT)
    assert line.stream.remote == OTHER_PORT
    line.hear(101, event(1, 160), source=FAR)
    assert (line.keys, line.stream.remote) == ("1", FAR)
    line.hear(101, event(2, 160), source=OTHER_PORT, timestamp=2_000)
    assert (line.keys, line.stream.remote) == ("1", FAR)


# --- strangers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [STRANGER, OTHER_PORT], ids=["another host", "another port of the phone's"])
@pytest.mark.parametrize("address", [FAR[0], HOME, "0.0.0.0"], ids=["public", "behind a NAT", "nowhere"])
def test_case_7_1_keys_of_a_source_that_never_sent_sound_are_nobody_s(address: str, source: tuple[str, int]) -> None:
    line = Line(agreed=session(address=address))
    for n in range(100):
        line.hear(101, event(1, 160 * (n % 5 + 1)), source=source, now=5.0 + n, timestamp=n * 1_000, sequence=n)
        line.hear(13, b"\x40", source=source, now=5.0 + n, sequence=n)
    assert (line.keys, line.stream.locked, line.stream.remote) == ("", False, (address, FAR[1]))
    assert (line.stream.last_received_at, line.stream.counts.received) == (None, 0)


def test_case_7_1_a_stranger_s_sound_is_not_heard_and_keeps_no_call_up() -> None:
    line = Line()
    line.stream.listening = True
    line.talk(STRANGER, packets=500)
    line.hear(101, event(1, 160), source=STRANGER, now=60.0)
    assert (line.keys, line.stream.locked, line.stream.remote) == ("", False, FAR)
    assert (line.stream.last_received_at, line.stream.frames_heard) == (None, [])


@pytest.mark.parametrize("packets", [1, 5, SUSTAINED_PACKETS - 1])
def test_case_7_1_a_few_packets_of_a_stranger_do_not_lock_out_a_phone_behind_a_nat(packets: int) -> None:
    line = Line(agreed=session(address=HOME))
    line.talk(STRANGER, packets=packets)
    assert not line.stream.locked
    now = line.talk(BEHIND_NAT, now=5.1)
    assert (line.stream.locked, line.stream.remote) == (True, BEHIND_NAT)
    line.hear(101, event(1, 160), source=STRANGER, now=now)
    line.hear(101, event(2, 160), source=BEHIND_NAT, now=now)
    assert line.keys == "2"


def test_sound_that_comes_at_once_or_out_of_order_is_not_sustained() -> None:
    line = Line(agreed=session(address=HOME))
    for n in range(200):
        line.hear(8, source=STRANGER, now=5.0, sequence=n)
    for n in range(200):
        line.hear(8, source=STRANGER, now=6.0 + n * 0.02, sequence=n * 1_000 & 0xFFFF)
    for n in range(200):
        line.hear(8, source=STRANGER, now=20.0 + n * 0.02, sequence=n, ssrc=n)
    assert not line.stream.locked


@pytest.mark.parametrize(
    ("peers", "trusted", "near"),
    [
        ((), (), False),
        ((STRANGER[0],), (), True),
        ((), ("198.51.100.0/24",), True),
        ((FAR[0],), ("192.0.2.0/24",), False),
    ],
)
def test_who_signals_and_who_is_trusted_may_send_the_sound(
    peers: tuple[str, ...], trusted: tuple[str, ...], near: bool
) -> None:
    line = Line.__new__(Line)
    line.events = []
    line.stream = MediaStream(
        ssrc=7,
        sequence=1,
        timestamp=1,
        on_event=line.events.append,
        trusted=[ipaddress.ip_network(one) for one in trusted],
    )
    line.stream.configure(session(), 0.0, peers=peers)
    line.hear(8, source=STRANGER, now=5.0)
    line.hear(101, event(1, 160), source=STRANGER, now=5.1)
    assert (line.stream.locked, line.keys) == (near, "1" if near else "")


@pytest.mark.parametrize("better", [FAR, (HOME, 30_000), (HOME, 40_000)], ids=["signals", "agreed", "agreed host"])
def test_who_is_likelier_takes_the_place_of_a_stranger_at_once(better: tuple[str, int]) -> None:
    line = Line(agreed=session(address=HOME))
    line.stream.configure(session(address=HOME), 0.0, peers=[FAR[0]])
    now = line.talk(STRANGER)
    assert line.stream.remote == STRANGER
    line.hear(8, source=better, now=now)
    assert line.stream.remote == better


# --- a source that moves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", [OTHER_PORT, BEHIND_NAT, STRANGER])
def test_case_3_8_a_source_that_moves_is_learnt_anew_by_its_ssrc(moved: tuple[str, int]) -> None:
    line = Line()
    now = line.talk(FAR, ssrc=77)
    line.hear(8, source=moved, now=now + SILENT_S - 0.1, ssrc=77)
    assert line.stream.remote == FAR
    line.hear(8, source=moved, now=now + SILENT_S, ssrc=77)
    line.hear(101, event(1, 160), source=moved, now=now + SILENT_S, ssrc=77)
    assert (line.keys, line.stream.remote) == ("1", moved)


def test_case_3_8_a_source_that_moves_to_another_port_and_ssrc_is_learnt_anew_from_sound_that_goes_on() -> None:
    line = Line()
    now = line.talk(FAR, ssrc=77)
    now = line.talk(OTHER_PORT, now=now + SILENT_S, packets=SUSTAINED_PACKETS - 1, ssrc=78)
    assert line.stream.remote == FAR
    line.talk(OTHER_PORT, now=now, sequence=1_000 + SUSTAINED_PACKETS - 1, packets=2, ssrc=78)
    assert line.stream.remote == OTHER_PORT


def test_case_3_8_while_the_phone_is_silent_no_stranger_takes_its_place() -> None:
    for address, source in ((FAR[0], FAR), (HOME, BEHIND_NAT)):
        line = Line(agreed=session(address=address))
        now = line.talk(source, ssrc=77)
        line.talk(STRANGER, now=now + 60, packets=500, ssrc=78)
        line.hear(101, event(1, 160), source=STRANGER, now=now + 80, ssrc=77)
        assert (line.keys, line.stream.remote) == ("", source)
        line.hear(101, event(2, 160), source=source, now=now + 80, ssrc=77)
        assert line.keys == "2"


def test_senders_whose_sound_is_counted_are_a_bounded_number() -> None:
    line = Line(agreed=session(address=HOME))
    for n in range(10_000):
        line.hear(8, source=("198.51.100.1", n), now=5.0)
    assert len(line.stream._sources._candidates) == CANDIDATES_MAX


# --- other calls -----------------------------------------------------------------------------------------------------


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
    line.hear(8, source=OTHER_PORT, now=4.0)
    line.hear(101, event(2, 160), source=OTHER_PORT, now=4.0)
    assert (line.keys, line.stream.remote) == ("2", OTHER_PORT)


def test_audio_that_overtook_its_answer_is_the_phone_s() -> None:
    line = open_port()
    line.stream.announced()
    line.hear(8, source=OTHER_PORT, now=1.9)
    line.stream.configure(session(), 2.0)
    line.hear(8, source=OTHER_PORT, now=2.0 + LATCH_AFTER_S)
    assert (line.stream.remote, line.stream.locked) == (OTHER_PORT, True)


def test_early_media_from_behind_a_nat_are_the_phone_s_however_fast_they_come() -> None:
    line = open_port()
    line.hear(8, source=STRANGER, now=0.0)
    line.stream.announced()
    for n in range(500):
        line.hear(8, source=OTHER_PORT, now=n * 0.02)
    line.stream.configure(session(), 10.2)
    line.talk(OTHER_PORT, now=10.5)
    line.hear(101, event(1, 160), source=OTHER_PORT, now=11.5)
    assert (line.keys, line.stream.remote) == ("1", OTHER_PORT)


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
    line.hear(8, source=OTHER_PORT)
    line.stream.configure(session(codec="PCMU"), 6.0)
    assert (line.stream.remote, line.stream.locked) == (OTHER_PORT, True)
    line.hear(101, event(2, 160), source=OTHER_PORT, now=6.0)
    assert line.keys == "2"


@pytest.mark.parametrize("nowhere", ["0.0.0.0", "::"])
def test_an_old_hold_changes_no_source(nowhere: str) -> None:
    line = Line()
    line.hear(8, source=OTHER_PORT)
    line.stream.configure(session(address=nowhere, may_send=False), 6.0)
    line.hear(101, event(1, 160), source=STRANGER, now=60.0)
    assert (line.keys, line.stream.remote, line.stream.locked) == ("", OTHER_PORT, True)
    line.stream.configure(session(), 66.0)
    line.hear(101, event(2, 160), source=OTHER_PORT, now=66.0)
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
    assert line.stream.counts.broken + line.stream.counts.foreign == 1


def test_comfort_noise_is_a_sign_of_life_from_the_phone_only() -> None:
    line = Line()
    line.hear(13, b"\x40", source=FAR, now=7.0)
    assert (line.stream.last_received_at, line.stream.counts.received, line.stream.locked) == (7.0, 1, True)
    elsewhere = Line()
    elsewhere.hear(13, b"\x40", source=OTHER_PORT, now=8.0)
    assert not elsewhere.stream.locked
    elsewhere.hear(8, source=OTHER_PORT, now=9.0)
    elsewhere.hear(13, b"\x40", source=OTHER_PORT, now=10.0)
    assert (elsewhere.stream.last_received_at, elsewhere.stream.remote) == (10.0, OTHER_PORT)


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
    before, other_port = (FAR[0], 61_000), (FAR[0], 62_000)
    line.hear(8, source=before)
    line.stream.configure(session(port=31_000), 6.0)  # transferred
    for n in range(30):
        line.hear(101, event(1, 160), source=before, now=6.0 + n * 0.02)
    line.hear(8, source=other_port, now=6.6)
    line.hear(101, event(2, 160), source=other_port, now=6.6)
    assert (line.keys, line.stream.remote) == ("2", other_port)


def test_the_phone_may_stay_where_it_was_whatever_it_says() -> None:
    line = Line()
    line.hear(8, source=OTHER_PORT)
    line.stream.configure(session(port=31_000), 6.0)
    line.hear(8, source=OTHER_PORT, now=6.0 + RETURN_AFTER_S)
    line.hear(101, event(1, 160), source=OTHER_PORT, now=6.0 + RETURN_AFTER_S)
    assert (line.keys, line.stream.remote) == ("1", OTHER_PORT)


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
    line.stream.receive(b"sealed" + whole, OTHER_PORT, 0.01)  # who has the key needs no other proof
    assert (line.keys, line.stream.remote) == ("1", OTHER_PORT)
    packets: list[bytes] = []
    line.stream.tick(packets)
    assert packets[0].startswith(b"sealed\x80")
    moved = (OTHER_PORT[0], 61_001)  # its NAT was restarted
    line.hear(101, event(3, 160), source=moved, timestamp=3_000)
    assert (line.keys, line.stream.remote) == ("1", OTHER_PORT)
    whole = written(RtpPacket(101, False, 2, 2_000, 1, event(2, 160)))
    line.stream.receive(b"sealed" + whole, moved, 9.0)
    assert (line.keys, line.stream.remote) == ("12", moved)


def test_what_encrypts_follows_what_did_before() -> None:
    line = Line()
    first, second = Sealed(), Sealed()
    for transform in (first, second):
        line.stream.configure(session(), 0.0, transform)
    assert second.before is first
