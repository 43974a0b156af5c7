"""The media of one call: what is sent in each 20 ms, where it goes, what is taken of what comes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from ivr.audio.g711 import SILENCE
from ivr.rtp.packet import parse_rtp, written
from ivr.rtp.stream import FRAMES_HEARD_MAX, PAUSE_FRAMES, PAUSE_SAMPLES, PlaybackEnded
from tests.ivr.rtp.line import FAR, TONE, Line, event, flat, session

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


@pytest.mark.parametrize("events", [101, None])
def test_the_end_of_keys_is_told_once_with_the_pause_behind_them(events: int | None) -> None:
    line = Line(agreed=session(events=events))
    number = line.stream.send_keys("12", duration_ms=100, pause_ms=100)
    line.ticks(19)
    assert line.events == []
    line.ticks(50)
    assert line.events == [PlaybackEnded(number)]


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


def test_keys_under_way_end_when_events_are_no_longer_taken() -> None:
    line = Line()
    line.stream.send_keys("1")
    line.ticks(2)
    line.stream.configure(session(events=None), 6.0)
    assert {packet.payload_type for packet in flat(line.ticks(20))} == {8}


# --- in: keys --------------------------------------------------------------------------------------------------------


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
    line.hear(8, b"old!" * 40, sequence=50_000, ssrc=1)
    for n in range(3):
        line.hear(8, b"new!" * 40, sequence=sequence + n, ssrc=2)
    assert heard() == [b"old!" * 40, *[b"new!" * 40] * 3]


@pytest.mark.parametrize(
    "sizes", [[80], [240], [320], [480], [1], [160, 80, 80, 160], [240, 160, 240], [159, 161], [720]]
)
def test_sound_is_heard_in_20_ms_however_long_the_packets_are(sizes: list[int]) -> None:
    line = Line()
    heard = listening(line)
    sent = b""
    for sequence in range(20):
        payload = bytes((len(sent) + n) & 0xFF for n in range(sizes[sequence % len(sizes)]))
        line.hear(8, payload, sequence=sequence)
        sent += payload
    found = heard()
    assert {len(frame) for frame in found} <= {160}
    assert b"".join(found) == sent[: min(len(sent) // 160, FRAMES_HEARD_MAX) * 160]


def test_what_is_left_of_another_codec_is_not_mixed_in() -> None:
    line = Line()
    heard = listening(line)
    line.hear(8, b"a" * 240, sequence=1)
    line.hear(0, b"u" * 240, sequence=2)
    line.hear(0, b"u" * 80, sequence=3)
    assert heard() == [b"a" * 160, b"u" * 160, b"u" * 160]


PAUSE = [SILENCE["PCMA"] * 160] * PAUSE_FRAMES


@pytest.mark.parametrize(
    ("packets", "samples", "pause"),
    [
        (1, 160, 0), (1, 160 + PAUSE_SAMPLES, 0), (1, 161 + PAUSE_SAMPLES, PAUSE_FRAMES), (1, 8_000, PAUSE_FRAMES),
        (1, 0x7FFFFFFF, PAUSE_FRAMES), (1, 0x80000000, 0), (1, 0xFFFFFFFF, 0), (2, 320, 0), (10, 1_600, 0), (10, 9_600, PAUSE_FRAMES),
    ],
    ids=[
        "in a row", "late clock", "shortest pause", "a second", "days", "back", "just back", "one lost", "nine lost",
        "lost ones and a pause",
    ],
)  # fmt: skip
def test_silence_that_was_not_sent_is_heard_and_what_was_lost_is_not(packets: int, samples: int, pause: int) -> None:
    line = Line()
    heard = listening(line)
    line.hear(8, b"a" * 160, sequence=65_530, timestamp=0xFFFFFF00)
    line.hear(8, b"b" * 160, sequence=(65_530 + packets) & 0xFFFF, timestamp=(0xFFFFFF00 + samples) & 0xFFFFFFFF)
    assert heard() == [b"a" * 160, *PAUSE[:pause], b"b" * 160]


def test_after_comfort_noise_there_was_silence() -> None:
    line = Line()
    heard = listening(line)
    line.hear(8, b"a" * 160, sequence=1, timestamp=160)
    for n in range(2, 50):  # of a phone that says so every 20 ms
        line.hear(13, b"\x40", sequence=n, timestamp=160 * n)
    line.hear(8, b"b" * 160, sequence=50, timestamp=8_000)
    assert heard() == [b"a" * 160, *PAUSE, b"b" * 160]


def test_another_source_of_the_stream_begins_anew_without_a_pause() -> None:
    line = Line()
    heard = listening(line)
    line.hear(8, b"a" * 160, sequence=50, timestamp=160, ssrc=1)
    line.hear(8, b"b" * 160, sequence=40, timestamp=80_000, ssrc=2)
    assert heard() == [b"a" * 160, b"b" * 160]


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
    line.stream.receive(head + b"\0" * 8 + b"\xbe\xde\0\1abcd" + b"sound" * 32 + b"\0\0\3", FAR, 1.0)
    assert heard() == [b"sound" * 32]
    for broken in (
        struct.pack("!BBHII", 0x8F, 8, 2, 1, 9) + b"\0" * 8, struct.pack("!BBHII", 0x90, 8, 2, 1, 9) + b"\0\0",
        struct.pack("!BBHII", 0x90, 8, 2, 1, 9) + b"\0\0\xff\xff", struct.pack("!BBHII", 0xA0, 8, 2, 1, 9) + b"\0",
        struct.pack("!BBHII", 0xA0, 8, 2, 1, 9) + b"\xff",
    ):  # fmt: skip
        assert parse_rtp(broken) is None


# --- what one packet may carry ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("maxptime_ms", "size"), [(None, 160), (150, 160), (20, 160), (19, 80), (10, 80), (9, 40), (5, 40), (1, 40)]
)
def test_case_3_11_no_packet_carries_more_than_they_take(maxptime_ms: int | None, size: int) -> None:
    line = Line(agreed=replace(session(), maxptime_ms=maxptime_ms))
    line.stream.play([TONE])
    packets = flat(line.ticks(3))
    assert {len(packet.payload) for packet in packets} == {size}
    assert b"".join(packet.payload for packet in packets).startswith(b"".join(TONE.frames("PCMA"))[:320])
    assert [packet.timestamp for packet in packets] == [1_160 + n * size for n in range(len(packets))]
    assert [packet.sequence for packet in packets] == [101 + n for n in range(len(packets))]
    assert [packet.marker for packet in packets] == [True] + [False] * (len(packets) - 1)
