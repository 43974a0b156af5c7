"""Person or machine: when our turn to speak has come."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ivr.audio.machine import (
    AFTER_MACHINE_S,
    BEEP_END_S,
    LONGEST_S,
    NOISE_S,
    PAUSE_S,
    QUIET_START_S,
    GreetingListener,
)
from ivr.audio.numeric import np
from ivr.audio.progress import BUSY_GAP_S, FRAME_S, PROGRESS_HZ, RING_GAP_S, RING_MIN_S
from ivr.audio.sound import FRAME_SAMPLES, RATE_HZ
from tests.ivr.audio.line_sounds import Samples, joined, noise, on_the_line, quiet, sine, spoken

HELLO = {"en": "Hello?", "fr": "Allô ? Oui ?", "de": "Müller, guten Tag."}
GREETING = {
    "en": "You have reached the Smith family. We cannot come to the phone right now, but please do leave your name and "
    "number after the tone.",
    "fr": "Vous êtes bien sur le répondeur de la famille Dupont, nous ne sommes pas là pour le moment, laissez-nous un "
    "message après le bip sonore.",
}
TICK_FRAMES = 5
"""The call asks every 100 ms whether we may speak."""


def answered(parts: Sequence[Samples], *, most_s: float = 40.0, codec: str = "PCMA") -> tuple[float, GreetingListener]:
    """Seconds from the answer until we may speak; after the parts comes silence."""
    frames = on_the_line(joined([quiet(0), *parts]), codec)
    listener = GreetingListener(100.0)
    for n in range(round(most_s / FRAME_S)):
        now = 100.0 + (n + 1) * FRAME_S
        listener.hear(frames[n] if n < len(frames) else np.zeros(FRAME_SAMPLES, dtype=np.int16), now)
        if n % TICK_FRAMES == 0 and listener.may_speak(now):
            return now - 100.0, listener
    raise AssertionError("we never speak")


def whole(samples: Samples) -> Samples:
    """Filled up with silence to whole frames."""
    return joined([samples, np.zeros(-len(samples) % FRAME_SAMPLES)])


def length_of(parts: Sequence[Samples]) -> float:
    return sum(len(part) for part in parts) / RATE_HZ


def last_sound_s(samples: Samples) -> float:
    """When the last of it was loud."""
    return float(np.flatnonzero(np.abs(samples) > 1_000)[-1]) / RATE_HZ


@pytest.mark.parametrize("language", sorted(HELLO))
@pytest.mark.parametrize("before_s", [0.1, 1.0, 2.0])
def test_person_says_hello(language: str, before_s: float) -> None:
    parts = [quiet(before_s), spoken(HELLO[language], language)]
    at, listener = answered(parts)
    ended = last_sound_s(joined(parts))
    assert ended + PAUSE_S - 0.3 <= at <= ended + PAUSE_S + 0.3
    assert listener.machine is False


def test_person_in_a_noisy_place() -> None:
    hello = joined([quiet(0.5), spoken(HELLO["en"], "en"), quiet(3.0)])
    at, listener = answered([hello + noise(len(hello), np.random.default_rng(1), -45.0)])
    assert at < 3.0
    assert listener.machine is False


@pytest.mark.parametrize("hz", [440.0, 1_000.0, 1_400.0, 2_000.0])
@pytest.mark.parametrize("beep_s", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("language", sorted(GREETING))
def test_machine_with_a_beep(language: str, hz: float, beep_s: float) -> None:
    parts = [quiet(0.3), whole(spoken(GREETING[language], language)), quiet(0.6), sine(hz, beep_s)]
    at, listener = answered(parts)
    wait_s = BEEP_END_S
    if hz < PROGRESS_HZ[1]:  # it may be the first one of a line that rings or is busy
        wait_s = RING_GAP_S if beep_s >= RING_MIN_S else BUSY_GAP_S
    assert length_of(parts) + wait_s - 0.05 <= at <= length_of(parts) + wait_s + 0.2
    assert listener.machine is True


def test_machine_without_a_beep() -> None:
    parts = [spoken(GREETING["en"], "en")]
    at, listener = answered(parts)
    ended = last_sound_s(joined(parts))
    assert ended + AFTER_MACHINE_S - 0.3 <= at <= ended + AFTER_MACHINE_S + 0.3
    assert listener.machine is True


def test_beep_at_once() -> None:
    at, listener = answered([quiet(0.2), sine(1_000.0, 0.4)])
    assert at == pytest.approx(0.6 + BEEP_END_S, abs=0.15)
    assert listener.machine is True


def test_click_is_no_beep() -> None:
    at, listener = answered([quiet(0.5), sine(1_000.0, 0.06)])
    assert at == pytest.approx(0.56 + PAUSE_S, abs=0.15)
    assert listener.machine is not True


def test_message_goes_on_after_the_tone() -> None:
    """A tone that somebody speaks after at once is not the end."""
    parts = [sine(1_000.0, 0.4), whole(spoken(GREETING["en"], "en")), quiet(0.5), sine(1_000.0, 0.4)]
    at, _ = answered(parts)
    assert at >= length_of(parts[:2])


def test_silence() -> None:
    at, listener = answered([])
    assert at == pytest.approx(QUIET_START_S, abs=0.15)
    assert listener.machine is None


def test_soft_noise_is_silence() -> None:
    at, listener = answered([noise(10 * RATE_HZ, np.random.default_rng(2), -50.0)])
    assert at == pytest.approx(QUIET_START_S, abs=0.15)
    assert listener.machine is None


def test_no_sound_comes_at_all() -> None:
    listener = GreetingListener(100.0)
    assert not listener.may_speak(100.0 + QUIET_START_S - 0.1)
    assert listener.may_speak(100.0 + QUIET_START_S + 0.1)


@pytest.mark.parametrize("level_dbm0", [-20.0, -5.0])
def test_noise_without_a_pause_is_not_waited_for(level_dbm0: float) -> None:
    at, listener = answered([noise(40 * RATE_HZ, np.random.default_rng(3), level_dbm0)])
    assert at == pytest.approx(NOISE_S, abs=0.2)
    assert listener.machine is None  # nobody can tell


def test_tone_without_end() -> None:
    at, _ = answered([sine(1_000.0, 40.0)])
    assert at == pytest.approx(NOISE_S, abs=0.2)


@pytest.mark.parametrize("language", sorted(GREETING))
def test_a_long_greeting_is_no_noise(language: str) -> None:
    parts = [*[spoken(GREETING[language], language)] * 3, quiet(0.6), sine(1_000.0, 0.4)]
    assert length_of(parts) > 2 * NOISE_S
    at, listener = answered(parts)
    assert at == pytest.approx(min(length_of(parts), LONGEST_S) + BEEP_END_S, abs=0.25)
    assert listener.machine is True


def test_never_longer_than_the_longest() -> None:
    word = [noise(4_000, np.random.default_rng(4), -10.0), quiet(0.1)]
    at, listener = answered(word * 70)
    assert at == pytest.approx(LONGEST_S, abs=0.2)
    assert listener.machine is True


@pytest.mark.parametrize("length", [0, 1, 80, 159, 161, 320])
def test_frames_of_other_lengths(length: int) -> None:
    listener = GreetingListener(0.0)
    for n in range(200):
        listener.hear(np.full(length, 5_000, dtype=np.int16), n * FRAME_S)
        listener.may_speak(n * FRAME_S)
    assert listener.may_speak(LONGEST_S + 1)
