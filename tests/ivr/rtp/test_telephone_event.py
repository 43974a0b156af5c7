"""Keys in RTP (RFC 4733): what is lost, repeated or late on the way makes no key more and none less."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

import pytest

from ivr.rtp.telephone_event import END, EVENTS, REMEMBERED, SAME_KEY_S, EventReceiver, KeyPaths, Path, event_payloads


def payload(key: str, duration: int = 160, *, end: bool = False) -> bytes:
    """One packet's payload."""
    return struct.pack("!BBH", EVENTS.index(key), (END if end else 0) | 10, duration)


class Receiver(EventReceiver):
    """Numbers what comes."""

    def __init__(self) -> None:
        super().__init__()
        self.came = 0


def heard(
    receiver: Receiver, packets: Sequence[tuple[int, bytes]], ssrc: int = 1, sent: Sequence[int] | None = None
) -> str:
    """The keys that these (timestamp, payload) make. `sent`: their places in the order of sending, where it is another one."""
    keys = ""
    for n, (at, data) in enumerate(packets):
        sequence = receiver.came + (n if sent is None else sent[n])
        keys += receiver.receive(ssrc, at, data, sequence=sequence & 0xFFFF, now=0.02 * (receiver.came + n)) or ""
    receiver.came += len(packets)
    return keys


def pressed(key: str, at: int, duration_ms: int = 100) -> list[tuple[int, bytes]]:
    """All packets of a key, with the end three times."""
    made = list(event_payloads(key, duration_ms=duration_ms))
    return [(at, data) for data, last in made for _ in range(3 if last else 1)]


@pytest.mark.parametrize("key", EVENTS)
def test_every_key_is_sent_and_heard(key: str) -> None:
    assert heard(Receiver(), pressed(key, 1_000)) == key


def test_a_key_grows_by_20_ms_and_ends_with_its_whole_time() -> None:
    made = [(*struct.unpack("!BBH", data), last) for data, last in event_payloads("#", duration_ms=100)]
    assert [(event, flags, duration, last) for event, flags, duration, last in made] == [
        (11, 10, 160, False), (11, 10, 320, False), (11, 10, 480, False), (11, 10, 640, False), (11, END | 10, 800, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("duration_ms", "packets", "total"), [(0, 1, 160), (20, 1, 160), (30, 2, 240), (8_191, 410, 65_528)]
)
def test_short_and_long_keys(duration_ms: int, packets: int, total: int) -> None:
    made = list(event_payloads("1", duration_ms=duration_ms))
    assert len(made) == packets
    assert struct.unpack("!BBH", made[-1][0])[2] == total
    assert [last for _, last in made] == [False] * (packets - 1) + [True]


@pytest.mark.parametrize("key", ["x", "a", "E", " ", "\u0661", "", "12", EVENTS])
def test_what_is_no_key_is_not_sent(key: str) -> None:
    with pytest.raises(ValueError, match="expected one of 0123456789"):
        list(event_payloads(key))


@pytest.mark.parametrize("duration_ms", [8_192, 9_000, 10**9])
def test_what_is_longer_than_a_segment_is_not_sent(duration_ms: int) -> None:
    with pytest.raises(ValueError, match="at most 8191 ms"):
        list(event_payloads("1", duration_ms=duration_ms))


def test_any_part_of_a_key_that_comes_is_one_key() -> None:
    packets = pressed("5", 1_000)
    for size in range(1, len(packets) + 1):
        for chosen in itertools.combinations(packets, size):
            assert heard(Receiver(), list(chosen)) == "5"


def test_any_order_of_a_key_is_one_key() -> None:
    packets = pressed("5", 1_000, 60)
    for order in itertools.permutations(range(len(packets))):
        assert heard(Receiver(), [packets[n] for n in order], sent=order) == "5"


@pytest.mark.parametrize("keys", ["11", "12", "1111", "1#*D"])
def test_keys_in_a_row_with_their_ends_lost(keys: str) -> None:
    for keep in (slice(None), slice(0, 1), slice(1, 3), slice(-1, None)):
        packets = [one for n, key in enumerate(keys) for one in pressed(key, 1_000 + 960 * n)[keep]]
        assert heard(Receiver(), packets) == keys


def test_a_late_packet_of_the_key_before_is_not_a_third_key() -> None:
    first, second = pressed("1", 1_000), pressed("2", 2_000)
    packets, order = [*first, *second], [0, 1, *range(len(first), len(first) + 2), *range(2, len(first))]
    order += range(len(first) + 2, len(packets))
    assert heard(Receiver(), [packets[n] for n in order], sent=order) == "12"


def test_timestamps_wrap_around() -> None:
    receiver = Receiver()
    keys = [pressed("1", 0xFFFFFF00), pressed("1", 0xFFFFFFFF), pressed("1", 0), pressed("1", 1_000)]
    assert heard(receiver, [one for packets in keys for one in packets]) == "1111"


def test_a_key_held_down_for_long_is_one_key_across_its_segments() -> None:
    receiver, at = Receiver(), 0xFFFF0000
    packets = [(at, payload("1", n * 160)) for n in range(1, 409)] + [(at, payload("1", 0xFFFF))]
    later = (at + 0xFFFF) & 0xFFFFFFFF
    packets += [(later, payload("1", 160)), (later, payload("1", 0xFFFF))]
    last = (later + 0xFFFF) & 0xFFFFFFFF
    packets += [(last, payload("1", 160)), (last, payload("1", 320, end=True))]
    assert heard(receiver, packets) == "1"
    assert heard(receiver, [(last, payload("1", 320, end=True)), (later, payload("1", 0xFFFF))], sent=[0, -3]) == ""
    assert heard(receiver, pressed("1", last + 5_000)) == "1"


def test_another_key_where_the_next_segment_would_be_is_another_key() -> None:
    receiver = Receiver()
    assert heard(receiver, [(0, payload("1", 0xFFFF)), (0xFFFF, payload("2", 160))]) == "12"


def moving(key: str, at: int, *, ends: int = 3, duration_ms: int = 100) -> list[tuple[int, bytes]]:
    """A key of which each packet has a timestamp of its own, against RFC 4733, 2.5.1.2."""
    packets = pressed(key, 0, duration_ms)
    return [(at + 160 * n, data) for n, (_, data) in enumerate(packets[: len(packets) - 3 + ends])]


@pytest.mark.parametrize("keys", ["1", "11", "112", "1#*D"])
@pytest.mark.parametrize("ends", [1, 3])
def test_a_key_whose_timestamp_moves_with_each_packet_is_one_key(keys: str, ends: int) -> None:
    packets = [one for n, key in enumerate(keys) for one in moving(key, 1_000 + 3_200 * n, ends=ends)]
    assert heard(Receiver(), packets) == keys


def test_a_moving_key_with_packets_lost_is_one_key() -> None:
    packets = moving("5", 1_000)
    for lost in range(len(packets)):
        assert heard(Receiver(), packets[:lost] + packets[lost + 1 :]) == "5"


def test_a_moving_key_that_never_changes_its_duration_is_one_key() -> None:
    assert heard(Receiver(), [(160 * n, payload("5")) for n in range(50)]) == "5"


@pytest.mark.parametrize("split", range(1, 6))
def test_a_key_that_goes_on_in_another_source_is_one_key(split: int) -> None:
    receiver, packets = Receiver(), pressed("5", 1_000)
    rest = [(77_000, data) for _, data in packets[split:]]
    assert heard(receiver, packets[:split], ssrc=1) + heard(receiver, rest, ssrc=2) == "5"


def test_a_packet_that_says_it_is_the_first_of_a_key_begins_one() -> None:
    receiver = Receiver()
    for n in range(3):
        assert receiver.receive(1, 480 * n, payload("5"), sequence=n, now=0.06 * n, marker=True) == "5"


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("durations", [(160, 320, 480, 640), (0, 0, 0, 0), (800, 800, 800, 800)])
def test_no_key_begins_while_the_one_before_has_just_begun(durations: tuple[int, ...], marked: bool) -> None:
    receiver = Receiver()
    keys = [
        receiver.receive(1, 160 * n, payload("5", duration), sequence=n, now=0.02 * n, marker=marked)
        for n, duration in enumerate(durations)
    ]
    assert keys == ["5", None, None, None]


@pytest.mark.parametrize("duration_ms", [40, 100, 200])
@pytest.mark.parametrize("pause_ms", [10, 40, 100])
def test_quick_equal_keys_are_several_whatever_of_them_is_lost(duration_ms: int, pause_ms: int) -> None:
    """Of each key so many of its first packets and so many of its last ones are lost."""
    first = pressed("5", 1_000, duration_ms)
    second = pressed("5", 1_000 + 8 * (duration_ms + pause_ms), duration_ms)
    for a, b in itertools.product(itertools.combinations(range(len(first) + 1), 2), repeat=2):
        assert heard(Receiver(), first[a[0] : a[1]] + second[b[0] : b[1]]) == "55"


def test_another_source_begins_anew() -> None:
    receiver = Receiver()
    assert heard(receiver, pressed("1", 1_000), ssrc=1) + heard(receiver, pressed("1", 1_000), ssrc=2) == "11"


@pytest.mark.parametrize("data", [b"", b"\x01\x0a\x00", b"\x10\x0a\x00\xa0", b"\xff\xff\xff\xff", b"\x40\x00\x00\x00"])
def test_what_is_no_key_is_not_heard(data: bytes) -> None:
    assert heard(Receiver(), [(1, data)]) == ""


def test_more_after_the_payload_is_left_alone() -> None:
    assert heard(Receiver(), [(1, payload("9") + b"more")]) == "9"


def test_what_is_remembered_is_bounded() -> None:
    receiver = Receiver()
    for n in range(10_000):
        assert heard(receiver, [(n * 1_000, payload("1"))]) == "1"
    assert len(receiver._recent) == REMEMBERED


SIGNALLED = [Path.RTP, Path.INFO]


def counted(paths: KeyPaths, *keys: tuple[Path, str, float]) -> str:
    """The keys that count of these (path, key, time)."""
    return "".join(key for path, key, now in keys if paths.counts(path, key, now))


@pytest.mark.parametrize("first", SIGNALLED)
def test_the_first_path_owns_the_call(first: Path) -> None:
    for other in set(Path) - {first}:
        paths = KeyPaths()
        assert paths.counts(first, "1", 1.0)
        assert not paths.counts(other, "1", 1.1)
        assert not paths.counts(other, "2", 9.0)
        assert paths.counts(first, "2", 9.1)


@pytest.mark.parametrize("path", SIGNALLED)
def test_a_voice_that_sounds_like_a_key_takes_no_other_path(path: Path) -> None:
    paths = KeyPaths()
    assert counted(paths, (Path.INBAND, "7", 1.0), (path, "1", 1.5), (path, "1", 3.0), (Path.INBAND, "1", 3.1)) == "711"
    other = next(one for one in SIGNALLED if one is not path)
    assert not paths.counts(other, "5", 9.0)


@pytest.mark.parametrize("path", SIGNALLED)
def test_a_key_that_was_heard_is_not_counted_again_on_the_path_that_takes_over(path: Path) -> None:
    heard = [(Path.INBAND, "4", 1.0), (Path.INBAND, "7", 1.3)]
    told = [(path, "4", 1.6), (Path.INBAND, "1", 1.65), (path, "7", 1.9), (path, "1", 2.2), (path, "1", 2.5)]
    assert counted(KeyPaths(), *heard, *told) == "4711"


def test_the_same_key_much_later_is_another_one() -> None:
    assert counted(KeyPaths(), (Path.INBAND, "1", 1.0), (Path.INFO, "1", 1.0 + SAME_KEY_S + 0.1)) == "11"


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(Path, 2)))
def test_when_other_media_are_agreed_keys_may_come_another_way(before: Path, after: Path) -> None:
    paths = KeyPaths()
    assert paths.counts(before, "1", 1.0)
    paths.media_changed()
    assert paths.counts(after, "2", 5.0)
