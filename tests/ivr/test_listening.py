"""Who hears the sound of several calls: each call its own, whatever another one makes of what it hears."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ivr.audio import tones
from ivr.listening import Ears
from ivr.rtp.stream import MediaStream
from tests.ivr.rtp.line import Line, session


def stream() -> MediaStream:
    return MediaStream(ssrc=1, sequence=1, timestamp=1, on_event=lambda event: None)


def fails(what: object) -> None:
    raise RuntimeError(f"a fault, given {type(what).__name__}")


def test_a_fault_in_one_call_takes_no_key_of_another() -> None:
    ears, faulty, well = Ears(), stream(), stream()
    frames: list[Sequence[tuple[str, bytes]]] = []
    keys: list[str] = []
    failed: list[str] = []
    ears.add(faulty, heard=fails, pressed=fails, failed=lambda: failed.append("faulty"))
    ears.add(well, heard=frames.append, pressed=keys.append, failed=lambda: failed.append("well"))
    for one in (faulty, well):
        ears.look_for_keys(one, True)
    sound = tones.keys("5", tone_s=0.1, pause_s=0.1)
    sent = [("PCMA", frame) for frame in sound.frames("PCMA")]
    for frame in sent:
        ears.hear([(faulty, [frame]), (well, [frame])])
    assert keys == ["5"]
    assert failed == ["faulty"] * (len(sent) + 1)
    assert len(frames) == len(sent)


@pytest.mark.parametrize("sends_noise", [False, True])
def test_equal_keys_of_a_phone_that_sends_no_silence_are_several(sends_noise: bool) -> None:
    ears, line, keys = Ears(), Line(agreed=session(events=None)), list[str]()
    ears.add(line.stream, heard=lambda _: None, pressed=keys.append, failed=lambda: None)
    ears.look_for_keys(line.stream, True)
    line.stream.listening = True
    sequence = timestamp = 0
    for key in "1123":
        for n, frame in enumerate(tones.keys(key, tone_s=0.1, pause_s=0.0).frames("PCMA")):
            sequence, timestamp = sequence + 1, timestamp + 160
            if n != 2:  # lost on the way: a key with a hole in it is one key
                line.hear(8, frame, sequence=sequence, timestamp=timestamp)
            ears.hear([(line.stream, line.stream.take_heard())])
        if sends_noise:
            sequence += 1
            line.hear(13, b"\x40", sequence=sequence, timestamp=timestamp + 160)
        timestamp += 8_000
    assert keys == list("1123")


def test_who_is_gone_hears_nothing() -> None:
    ears, one = Ears(), stream()
    frames: list[Sequence[tuple[str, bytes]]] = []
    ears.add(one, heard=frames.append, pressed=fails, failed=lambda: None)
    ears.look_for_keys(one, True)
    ears.remove(one)
    ears.remove(one)
    ears.hear([(one, [("PCMA", b"x" * 160)])])
    assert frames == []
