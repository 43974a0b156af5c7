"""Recordings of calls: each direction on its side, at its time, for so long and no longer."""

from __future__ import annotations

import io
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr.audio import recording
from ivr.audio.dtmf import KeyBank
from ivr.audio.numeric import np
from ivr.audio.recording import Recording
from ivr.audio.sound import FRAME_SAMPLES, RATE_HZ, Sound, join, read_wav, silence, stereo_wav
from ivr.audio.tones import keys


def tracks(wav: bytes) -> tuple[Sound, Sound]:
    """What was heard, and what was said, as any other program reads the file."""
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE_HZ)
        both = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    return Sound(both[:, 0].tobytes()), Sound(both[:, 1].tobytes())


def keys_in(sound: Sound) -> str:
    """The keys that our own detector finds."""
    bank, found = KeyBank(), ""
    slot = bank.add()
    for at in range(0, len(sound.samples) - 2 * FRAME_SAMPLES, 2 * FRAME_SAMPLES):
        frame = np.frombuffer(sound.samples[at : at + 2 * FRAME_SAMPLES], dtype="<i2").reshape(1, -1)
        found += "".join(key for _, key in bank.push([slot], frame))
    return found


def heard_every_20_ms(one: Recording, sound: Sound, began: float) -> float:
    """The other side sends it; gives the time after."""
    now = began
    for frame in sound.frames("PCMU"):
        now += 0.02
        one.hear([("PCMU", frame)], now)
    return now


def test_both_sides_stand_where_they_were_heard_and_said() -> None:
    one = Recording(100.0)
    one.say([silence(0.2), keys("7")], 100.0)
    now = heard_every_20_ms(one, keys("42"), 101.0)
    one.say([keys("1")], now)
    heard, said = tracks(one.wav(now + 0.5))
    assert (keys_in(heard), keys_in(said)) == ("42", "71")
    assert heard.duration_s == said.duration_s == pytest.approx(now + 0.5 - 100.0, abs=0.001)
    before = np.frombuffer(heard.samples, dtype="<i2")[: RATE_HZ - FRAME_SAMPLES]
    assert not before.any()


def test_what_is_said_instead_ends_what_was_being_said() -> None:
    one = Recording(0.0)
    one.say([keys("1234567890", tone_s=0.2)], 0.0)
    one.say([keys("#")], 0.6)
    assert keys_in(tracks(one.wav(3.0))[1]) == "12#"


def test_packets_that_tremble_leave_no_gaps() -> None:
    one, sound = Recording(0.0), keys("159D", tone_s=0.06, pause_s=0.06)
    for n, frame in enumerate(sound.frames("PCMA")):
        one.hear([("PCMA", frame)], (n + 1) * 0.02 + (0.05 if n % 5 == 4 else 0.0))
    assert keys_in(tracks(one.wav(1.0))[0]) == "159D"


def test_a_recording_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_BYTES_MAX", 2 * RATE_HZ)
    one = Recording(0.0)
    one.say([silence(30.0)], 0.0)
    heard_every_20_ms(one, silence(3.0), 0.0)
    one.say([silence(30.0)], 2.5)
    one.hear([("PCMA", bytes(FRAME_SAMPLES))], 1e9)
    heard, said = tracks(one.wav(1e9))
    assert heard.duration_s == said.duration_s == 1.0


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 0.5), st.integers(0, 2 * FRAME_SAMPLES)), max_size=20),
)
def test_whatever_comes_when_the_file_is_as_long_as_the_call(steps: list[tuple[bool, float, int]]) -> None:
    now, one = 5.0, Recording(5.0)
    for hears, later, samples in steps:
        now += later
        if hears:
            one.hear([("PCMA", bytes(samples))], now)
        else:
            one.say([Sound(bytes(2 * samples))], now)
    heard, said = tracks(one.wav(now))
    assert heard.duration_s == said.duration_s == pytest.approx(now - 5.0, abs=1 / RATE_HZ)


def test_a_stereo_file_can_be_read_back() -> None:
    left, right = keys("1"), join([keys("2"), silence(0.1)])
    heard, said = tracks(stereo_wav(left, right))
    assert heard.samples.startswith(left.samples)
    assert said == right
    assert read_wav(stereo_wav(left, left)).samples == left.samples
