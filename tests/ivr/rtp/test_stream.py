"""The media of one call: what is sent in each 20 ms, where it goes, what is taken of what comes."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from ivr.audio.g711 import SILENCE
from ivr.audio.sound import FRAME_SAMPLES, Sound
from ivr.rtp.packet import RtpPacket, parse_rtp, written
from ivr.rtp.sources import EARLY_MAX, LATCH_AFTER_S, OPENING_S, RETURN_AFTER_S
from ivr.rtp.stream import FRAMES_HEARD_MAX, KeyHeard, MediaEvent, MediaStream, PlaybackEnded, Transform
from ivr.sip.sdp import AudioSession

FAR, STRANGER = ("203.0.113.9", 30_000), ("198.51.100.66", 666)
TONE = Sound(struct.pack("<h", 8_000) * FRAME_SAMPLES * 3)


def session(
    *,
    address: str = FAR[0],
    codec: str = "PCMA",
    events: int | None = 101,
    may_send: bool = True,
    port: int = 30_000,
    accepts: dict[int, str] | None = None,
) -> AudioSession:
    """What was agreed."""
    return AudioSession(
        address=address, port=port, codec=codec, payload_type={"PCMA": 8, "PCMU": 0}[codec],
        accepts={8: "PCMA", 0: "PCMU"} if accepts is None else accepts, event_payload_type=events,
        events=frozenset() if events is None else frozenset({events, 101}), may_send=may_send,
    )  # fmt: skip


class Line:
    """A stream, and what it said."""

    def __init__(self, *, sequence: int = 100, timestamp: int = 1_000, agreed: AudioSession | None = None) -> None:
        self.events: list[MediaEvent] = []
        self.stream = MediaStream(
            ssrc=7, sequence=sequence, timestamp=timestamp, on_event=self.events.append, opened_at=0.0
        )
        self.stream.configure(session() if agreed is None else agreed, 0.0)

    def ticks(self, n: int) -> list[list[RtpPacket]]:
        """The packets of so many ticks."""
        out = []
        for _ in range(n):
            packets: list[bytes] = []
            self.stream.tick(packets)
            read = [parse_rtp(packet) for packet in packets]
            assert all(read)
            out.append([one for one in read if one is not None])
        return out

    def hear(
        self, payload_type: int, payload: bytes = b"\xd5" * 160, *, source: tuple[str, int] = FAR, sequence: int = 1,
        timestamp: int = 1, ssrc: int = 9, now: float = 5.0, marker: bool = False,
    ) -> None:  # fmt: skip
        """A packet comes."""
        self.stream.receive(written(RtpPacket(payload_type, marker, sequence, timestamp, ssrc, payload)), source, now)

    @property
    def keys(self) -> str:
        """The keys heard."""
        return "".join(event.key for event in self.events if isinstance(event, KeyHeard))


def flat(ticks: list[list[RtpPacket]]) -> list[RtpPacket]:
    """All of them in a row."""
    return [packet for packets in ticks for packet in packets]


# --- out -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["PCMA", "PCMU"])
def test_silence_is_sent_where_there_is_nothing_to_say(codec: str) -> None:
    line = Line(agreed=session(codec=codec))
    packets = flat(line.ticks(5))
    assert {packet.payload for packet in packets} == {SILENCE[codec] * 160}
    assert {packet.payload_type for packet in packets} == {8 if codec == "PCMA" else 0}
    assert [packet.sequence for packet in packets] == [101, 102, 103, 104, 105]
    assert [packet.timestamp for packet in packets] == [1_160, 1_320, 1_480, 1_640, 1_800]
    assert [packet.marker for packet in packets] == [True, False, False, False, False]
    assert {packet.ssrc for packet in packets} == {7}
    assert line.events == []


def test_sequence_and_timestamp_wrap_around() -> None:
    packets = flat(Line(sequence=0xFFFE, timestamp=0xFFFFFFFF - 200).ticks(4))
    assert [packet.sequence for packet in packets] == [0xFFFF, 0, 1, 2]
    assert [packet.timestamp for packet in packets] == [0xFFFFFFFF - 40, 119, 279, 439]


def test_a_sound_is_played_once_and_its_end_told_once() -> None:
    line = Line()
    line.ticks(1)
    number = line.stream.play([TONE, TONE])
    packets = flat(line.ticks(6))
    assert b"".join(packet.payload for packet in packets) == b"".join(TONE.frames("PCMA")) * 2
    assert [packet.marker for packet in packets] == [True] + [False] * 5
    assert line.events == []
    line.ticks(10)
    assert line.events == [PlaybackEnded(number)]


def test_a_sound_that_is_replaced_or_stopped_is_not_told_as_ended() -> None:
    line = Line()
    line.stream.play([TONE])
    line.ticks(1)
    second = line.stream.play([TONE])
    line.ticks(5)
    assert line.events == [PlaybackEnded(second)]
    line.stream.play([TONE])
    line.ticks(1)
    line.stream.stop()
    assert {packet.payload for packet in flat(line.ticks(5))} == {SILENCE["PCMA"] * 160}
    assert line.events == [PlaybackEnded(second)]


def test_nothing_to_play_ends_at_once() -> None:
    line = Line()
    number = line.stream.play([])
    line.ticks(2)
    assert line.events == [PlaybackEnded(number)]


def test_another_codec_goes_on_where_the_sound_was() -> None:
    line = Line()
    line.stream.play([TONE])
    first = flat(line.ticks(1))
    line.stream.configure(session(codec="PCMU"), 6.0)
    rest = flat(line.ticks(2))
    assert [packet.payload for packet in (*first, *rest)] == [TONE.frames("PCMA")[0], *TONE.frames("PCMU")[1:]]
    assert {packet.payload_type for packet in rest} == {0}


def test_on_hold_nothing_is_sent_and_the_sound_waits() -> None:
    line = Line()
    number = line.stream.play([TONE])
    line.ticks(1)
    line.stream.configure(session(may_send=False), 6.0)
    assert flat(line.ticks(50)) == []
    assert line.events == []
    line.stream.configure(session(), 6.0)
    assert len(flat(line.ticks(3))) == 3
    assert line.events == [PlaybackEnded(number)]


def test_keys_are_sent_as_events() -> None:
    line = Line(agreed=session(events=96), sequence=0xFFFC, timestamp=0xFFFFFFFF - 159)
    line.stream.send_keys("1#", duration_ms=60, pause_ms=40)
    ticks = line.ticks(12)
    events = [packet for packet in flat(ticks) if packet.payload_type == 96]
    assert [len(packets) for packets in ticks] == [1, 1, 3, 1, 1, 1, 1, 3, 1, 1, 1, 1]
    assert [packet.marker for packet in events] == [True, False, False, False, False] * 2
    assert [packet.timestamp for packet in events] == [0] * 5 + [800] * 5
    assert [struct.unpack("!BBH", packet.payload) for packet in events[:5]] == [
        (1, 10, 160), (1, 10, 320), (1, 0x8A, 480), (1, 0x8A, 480), (1, 0x8A, 480),
    ]  # fmt: skip
    assert {packet.payload[0] for packet in events[5:]} == {11}
    every = flat(ticks)
    assert [packet.sequence for packet in every] == [(0xFFFD + n) & 0xFFFF for n in range(len(every))]
    sound = [packet for packet in every if packet.payload_type == 8]
    assert [packet.timestamp for packet in sound] == [480, 640, 1_280, 1_440, 1_600, 1_760]  # the clock ran on
    assert [packet.marker for packet in sound] == [True, False, True, False, False, False]


def test_what_one_stream_sends_the_other_hears() -> None:
    sender, hearer = Line(timestamp=0xFFFFFF00, sequence=0xFFF0), Line()
    sender.stream.send_keys("0123456789*#ABCD")
    for packet in flat(sender.ticks(200)):
        hearer.stream.receive(written(packet), FAR, 1.0)
    assert hearer.keys == "0123456789*#ABCD"


def test_keys_are_sent_as_sound_where_no_events_are_taken() -> None:
    line = Line(agreed=session(events=None))
    line.stream.send_keys("1", duration_ms=100, pause_ms=100)
    packets = flat(line.ticks(10))
    assert {packet.payload_type for packet in packets} == {8}
    assert sum(packet.payload != SILENCE["PCMA"] * 160 for packet in packets) == 5
    assert not line.stream.takes_events


def test_keys_under_way_end_when_events_are_no_longer_taken() -> None:
    line = Line()
    line.stream.send_keys("1")
    line.ticks(2)
    line.stream.configure(session(events=None), 6.0)
    assert {packet.payload_type for packet in flat(line.ticks(20))} == {8}


# --- in: keys --------------------------------------------------------------------------------------------------------


def event(key: int, duration: int, end: bool = False) -> bytes:
    """A payload."""
    return struct.pack("!BBH", key, 0x8A if end else 10, duration)


@pytest.mark.parametrize("marker", [True, False])
@pytest.mark.parametrize("ends", [0, 1, 3])
def test_a_key_is_one_key_with_or_without_its_marker_and_ends(marker: bool, ends: int) -> None:
    line = Line()
    for n in range(5):
        line.hear(101, event(5, 160 * (n + 1)), sequence=n, timestamp=1_000, marker=marker and not n)
    for n in range(ends):
        line.hear(101, event(5, 800, end=True), sequence=5 + n, timestamp=1_000)
    assert line.keys == "5"


def test_two_equal_keys_in_a_row_are_two() -> None:
    line = Line()
    for at in (0xFFFFFFFF, 900):
        for n in range(3):
            line.hear(101, event(5, 160 * (n + 1)), sequence=0xFFFF + n & 0xFFFF, timestamp=at)
    assert line.keys == "55"


def test_repeated_packets_are_no_more_keys() -> None:
    line = Line()
    for _ in range(50):
        line.hear(101, event(5, 800, end=True), sequence=3, timestamp=1_000)
    assert line.keys == "5"


def test_keys_are_taken_by_our_number_and_by_theirs_and_by_no_other() -> None:
    line = Line(agreed=session(events=96))
    for n, payload_type in enumerate((96, 101, 97, 102)):
        line.hear(payload_type, event(n, 160), timestamp=n * 1_000)
    assert line.keys == "01"
    assert line.stream.counts.broken == 2


def test_keys_that_were_not_agreed_are_none() -> None:
    line = Line(agreed=session(events=None))
    line.hear(101, event(5, 160))
    assert line.keys == ""


# --- in: where from --------------------------------------------------------------------------------------------------


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
    line.stream = MediaStream(ssrc=7, sequence=1, timestamp=1, on_event=line.events.append, opened_at=0.0)
    return line


def test_who_was_in_another_call_on_this_port_is_never_heard() -> None:
    line = open_port()
    for n in range(100):
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
    line.hear(8, source=behind_nat, now=1.9)
    line.stream.configure(session(), 2.0)
    line.hear(8, source=behind_nat, now=2.0 + LATCH_AFTER_S)
    assert (line.stream.remote, line.stream.locked) == (behind_nat, True)


def test_early_media_from_behind_a_nat_are_the_phone_s() -> None:
    line = open_port()
    behind_nat = ("203.0.113.200", 61_000)
    for n in range(500):
        line.hear(8, source=behind_nat, now=OPENING_S + n * 0.02)
    line.stream.configure(session(), 10.2)
    line.hear(101, event(1, 160), source=behind_nat, now=10.5)
    assert (line.keys, line.stream.remote) == ("1", behind_nat)


def test_the_agreed_address_may_have_been_heard_before() -> None:
    line = open_port()
    for n in range(100):
        line.hear(8, source=FAR, now=n * 0.02)
    line.stream.configure(session(), 2.0)
    line.hear(101, event(2, 160), source=FAR, now=2.0)
    assert line.keys == "2"


def test_senders_before_the_answer_are_a_bounded_number() -> None:
    line = open_port()
    for n in range(10_000):
        line.hear(8, source=("198.51.100.1", n), now=0.0)
    assert len(line.stream._sources._early) == EARLY_MAX


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


# --- in: sound -------------------------------------------------------------------------------------------------------


def listening(line: Line) -> Callable[[], list[bytes]]:
    """What is heard from now on."""
    line.stream.listening = True

    def heard() -> list[bytes]:
        found = [payload for _, payload in line.stream.frames_heard]
        line.stream.frames_heard = []
        return found

    return heard


def test_sound_is_kept_for_listeners_only() -> None:
    line = Line()
    line.hear(8)
    assert line.stream.frames_heard == []
    listening(line)
    line.hear(0, b"u" * 160, sequence=2)
    assert line.stream.frames_heard == [("PCMU", b"u" * 160)]


def test_repeated_and_late_sound_is_left_out_across_the_wrap() -> None:
    line = Line()
    heard = listening(line)
    for sequence in (65_534, 65_535, 65_535, 0, 65_534, 1, 5, 3, 6):
        line.hear(8, bytes([sequence & 0xFF]) * 160, sequence=sequence)
    assert [payload[0] for payload in heard()] == [254, 255, 0, 1, 5, 6]


@pytest.mark.parametrize("sequence", [50_000 + 100, 50_000 - 101, 50_000 - 0x8000, 0])
def test_a_stream_that_begins_anew_is_heard_from_its_beginning(sequence: int) -> None:
    line = Line()
    heard = listening(line)
    line.hear(8, b"old" * 50, sequence=50_000, ssrc=1)
    for n in range(3):
        line.hear(8, b"new" * 50, sequence=sequence + n, ssrc=2)
    assert heard() == [b"old" * 50, *[b"new" * 50] * 3]


def test_sound_that_nobody_fetches_does_not_pile_up() -> None:
    line = Line()
    listening(line)
    for n in range(1_000):
        line.hear(8, sequence=n)
    assert len(line.stream.frames_heard) == FRAMES_HEARD_MAX


def test_extension_padding_and_sources_are_taken_away() -> None:
    line = Line()
    heard = listening(line)
    head = struct.pack("!BBHII", 0x80 | 0x20 | 0x10 | 2, 8, 1, 1, 9)
    line.stream.receive(head + b"\0" * 8 + b"\xbe\xde\0\1abcd" + b"sound" + b"\0\0\3", FAR, 1.0)
    assert heard() == [b"sound"]
    for broken in (
        struct.pack("!BBHII", 0x8F, 8, 2, 1, 9) + b"\0" * 8, struct.pack("!BBHII", 0x90, 8, 2, 1, 9) + b"\0\0",
        struct.pack("!BBHII", 0x90, 8, 2, 1, 9) + b"\0\0\xff\xff", struct.pack("!BBHII", 0xA0, 8, 2, 1, 9) + b"\0",
        struct.pack("!BBHII", 0xA0, 8, 2, 1, 9) + b"\xff",
    ):  # fmt: skip
        assert parse_rtp(broken) is None
