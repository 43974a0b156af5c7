"""Each press is one key: every way in which gateways send keys, times whatever happens to the packets on their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivr.rtp.packet import written
from ivr.rtp.telephone_event import EventReceiver
from tests.ivr.rtp.line import FAR, Line
from tests.ivr.rtp.presses import (
    GATEWAYS,
    Gateway,
    Press,
    Sent,
    from_another_source,
    reordered,
    repeated,
)

BY_GATEWAY = pytest.mark.parametrize("gateway", GATEWAYS.values(), ids=GATEWAYS)
RFC = [name for name, gateway in GATEWAYS.items() if gateway.timestamps == "kept" and gateway.segment > 10_000]
"""Those by whose timestamps a key can be told, whatever of it was lost."""
EXAMPLES = 40
BEGINNING_MS = 100
"""A shorter key with a moving timestamp that has lost its beginning looks like one more end of the key before."""


def heard(sent: Sequence[Sent]) -> str:
    """The keys that a call hears."""
    receiver = EventReceiver()
    keys = [
        receiver.receive(
            one.packet.ssrc, one.packet.timestamp, one.packet.payload, sequence=one.packet.sequence, now=one.at_s,
            marker=one.packet.marker,
        )
        for one in sent
    ]  # fmt: skip
    return "".join(key for key in keys if key is not None)


def typed(presses: Sequence[Press]) -> str:
    return "".join(press.key for press in presses)


PRESSES = st.lists(
    st.builds(
        Press, key=st.sampled_from("1125#"), held_ms=st.sampled_from([40, 60, 100, 160, 200, 300]),
        pause_ms=st.sampled_from([40, 80, 100, 200, 1_000]),
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip
PLACES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 3)), max_size=6)


@BY_GATEWAY
@pytest.mark.parametrize("keys", ["21", "4711#", "1111", "12121", "0123456789*#ABCD"])
def test_case_3_4_keys_are_told_apart_whatever_their_timestamps(gateway: Gateway, keys: str) -> None:
    assert heard(gateway.sends([Press(key=key) for key in keys])) == keys


@BY_GATEWAY
@pytest.mark.parametrize("held_ms", [60, 100, 200, 480])
def test_case_3_5_an_end_that_is_told_again_is_of_the_same_key(gateway: Gateway, held_ms: int) -> None:
    sent = gateway.sends([Press(key=key, held_ms=held_ms) for key in "4711"])
    assert heard(sent) == "4711"
    for lost in range(len(sent)):
        same_key_may_be_lost = gateway.timestamps == "same" and sent[lost].packet.marker
        if not same_key_may_be_lost and gateway.segment > 10_000 and not gateway.sound_between_ends:
            assert heard([*sent[:lost], *sent[lost + 1 :]]) == "4711"


@BY_GATEWAY
@given(presses=PRESSES, again=PLACES)
@settings(max_examples=EXAMPLES // 2)
def test_each_press_is_one_key_however_often_its_packets_come(
    gateway: Gateway, presses: list[Press], again: list[tuple[int, int]]
) -> None:
    assert heard(repeated(gateway.sends(presses), again)) == typed(presses)


@pytest.mark.parametrize("name", [name for name, gateway in GATEWAYS.items() if gateway.timestamps == "moving"])
@given(presses=PRESSES, moved=PLACES)
@settings(max_examples=EXAMPLES, derandomize=True)
def test_each_press_whose_timestamp_moves_is_one_key_in_any_order(
    name: str, presses: list[Press], moved: list[tuple[int, int]]
) -> None:
    """Without repeats: an old end that comes a second time, late, looks like a key of its own."""
    assert sorted(heard(reordered(GATEWAYS[name].sends(presses), moved))) == sorted(typed(presses))


@pytest.mark.parametrize("name", [name for name, gateway in GATEWAYS.items() if gateway.timestamps in ("kept", "same")])
@given(presses=PRESSES, moved=PLACES, again=PLACES)
@settings(max_examples=EXAMPLES, derandomize=True)
def test_each_press_is_one_key_in_any_order_of_its_packets(
    name: str, presses: list[Press], moved: list[tuple[int, int]], again: list[tuple[int, int]]
) -> None:
    """Always the same orders: one in some thousands cannot be told from another press, such as a repeat that is overtaken."""
    came = reordered(repeated(GATEWAYS[name].sends(presses), again), moved)
    assert sorted(heard(came)) == sorted(typed(presses))


@pytest.mark.parametrize("name", RFC)
@given(presses=PRESSES, data=st.data())
@settings(max_examples=EXAMPLES // 2)
def test_any_packets_of_a_press_are_one_key(name: str, presses: list[Press], data: st.DataObject) -> None:
    sent = GATEWAYS[name].sends(presses)
    came: list[Sent] = []
    for number in range(len(presses)):
        of_it = [one for one in sent if one.press == number]
        kept = data.draw(st.lists(st.integers(0, len(of_it) - 1), min_size=1, unique=True))
        came += [of_it[n] for n in sorted(kept)]
    assert heard(came) == typed(presses)


@given(presses=PRESSES, data=st.data())
@settings(max_examples=EXAMPLES)
def test_a_press_whose_timestamp_moves_is_one_key_whatever_is_lost(presses: list[Press], data: st.DataObject) -> None:
    presses = [replace(press, held_ms=max(press.held_ms, BEGINNING_MS)) for press in presses]
    sent = GATEWAYS["a timestamp for each packet"].sends(presses)
    lost = data.draw(st.sets(st.integers(0, len(sent) - 1), max_size=len(sent) // 2))
    came = [one for n, one in enumerate(sent) if n not in lost]
    whole = {one.press for one in came}
    assert heard(came) == "".join(press.key for number, press in enumerate(presses) if number in whole)


@BY_GATEWAY
def test_a_source_that_changes_in_mid_key_tells_of_one_key(gateway: Gateway) -> None:
    sent = gateway.sends([Press(key=key) for key in "4711"])
    for since in range(1, len(sent)):
        assert heard(from_another_source(sent, since)) == "4711"


@pytest.mark.parametrize("held_ms", [8_191, 8_192, 9_000, 17_000, 30_000])
@BY_GATEWAY
def test_a_key_that_is_held_down_is_one_key(gateway: Gateway, held_ms: int) -> None:
    presses = [Press(key="1", held_ms=held_ms), Press(key="1"), Press(key="2", held_ms=held_ms), Press(key="2")]
    assert heard(gateway.sends(presses)) == "1122"


@pytest.mark.parametrize("lost", range(1, 6))
def test_a_key_that_is_held_down_is_one_key_where_the_segments_meet_in_a_gap(lost: int) -> None:
    sent = Gateway().sends([Press(key="1", held_ms=12_000), Press(key="1")])
    second = next(n for n, one in enumerate(sent) if one.packet.timestamp != sent[0].packet.timestamp)
    for before in range(lost + 1):
        gap = range(second - before, second - before + lost)
        assert heard([one for n, one in enumerate(sent) if n not in gap]) == "11"


@pytest.mark.parametrize("again_s", [0.4, 1.0, 60.0])
def test_the_same_octets_much_later_are_another_press(again_s: float) -> None:
    """A test set that plays a capture: number, timestamp and source are those of the press before."""
    sent = Gateway().sends([Press(key="1")])
    later = [Sent(packet=one.packet, at_s=one.at_s + again_s, press=1) for one in sent]
    assert heard([*sent, *later]) == "11"


@BY_GATEWAY
def test_a_stream_hears_what_its_receiver_hears(gateway: Gateway) -> None:
    line = Line()
    for one in gateway.sends([Press(key=key) for key in "4711#"]):
        line.stream.receive(written(one.packet), FAR, 1.0 + one.at_s)
    assert line.keys == "4711#"


@pytest.mark.parametrize("keys", ["1", "21", "4711#", "1111"])
@pytest.mark.parametrize("numbered_pauses", [True, False])
@pytest.mark.parametrize("held_ms", [60, 100, 200, 480])
def test_case_3_4_a_marker_and_a_timestamp_for_each_packet_make_no_more_keys(
    held_ms: int, numbered_pauses: bool, keys: str
) -> None:
    gateway = Gateway(timestamps="moving", marker="all", numbered_pauses=numbered_pauses)
    assert heard(gateway.sends([Press(key=key, held_ms=held_ms) for key in keys])) == keys
