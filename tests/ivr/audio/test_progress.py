"""A network that answers before the phone does: its tones, country by country, are neither a person nor a mailbox's beep."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ivr.audio.machine import BEEP_END_S, PAUSE_S, QUIET_START_S, GreetingListener
from ivr.audio.numeric import np
from ivr.audio.progress import BUSY_BURSTS, FRAME_S, RING_GAP_S
from ivr.audio.sound import RATE_HZ
from tests.ivr.audio.line_sounds import Samples, joined, noise, on_the_line, quiet, sine, spoken
from tests.ivr.audio.test_machine import GREETING, HELLO, answered, last_sound_s, length_of, whole

Cadence = tuple[float, ...]
"""Seconds on, off, on, off…"""
RINGING: dict[str, tuple[tuple[float, ...], Cadence]] = {
    "North America": ((440, 480), (2, 4)),
    "United Kingdom": ((400, 450), (0.4, 0.2, 0.4, 2)),
    "France": ((440,), (1.5, 3.5)),
    "Germany": ((425,), (1, 4)),
    "Austria": ((420,), (1, 5)),
    "Switzerland, Italy, Netherlands, Poland, Brazil": ((425,), (1, 4)),
    "Spain": ((425,), (1.5, 3)),
    "Belgium": ((425,), (1, 3)),
    "Sweden, Portugal": ((425,), (1, 5)),
    "Hungary": ((425,), (1.25, 3.75)),
    "Russia": ((425,), (0.8, 3.2)),
    "China": ((450,), (1, 4)),
    "Japan": ((384, 416), (1, 2)),
    "India": ((375, 425), (0.4, 0.2, 0.4, 2)),
    "Australia": ((413, 438), (0.4, 0.2, 0.4, 2)),
    "Hong Kong": ((440, 480), (0.4, 0.2, 0.4, 3)),
    "New Zealand": ((400, 450), (0.4, 0.2, 0.4, 2)),
    "Taiwan": ((440, 480), (1, 2)),
}
ENGAGED: dict[str, tuple[tuple[float, ...], Cadence]] = {
    "North America, busy": ((480, 620), (0.5, 0.5)),
    "North America, congested": ((480, 620), (0.25, 0.25)),
    "United Kingdom, busy": ((400,), (0.375, 0.375)),
    "United Kingdom, congested": ((400,), (0.4, 0.35, 0.225, 0.525)),
    "France, busy": ((440,), (0.5, 0.5)),
    "Germany, busy": ((425,), (0.48, 0.48)),
    "Germany, congested": ((425,), (0.24, 0.24)),
    "Austria, busy": ((420,), (0.4, 0.4)),
    "Spain, busy": ((425,), (0.2, 0.2)),
    "Spain, congested": ((425,), (0.2, 0.2, 0.2, 0.6)),
    "Italy, congested": ((425,), (0.2, 0.2)),
    "Sweden, busy": ((425,), (0.25, 0.25)),
    "China, busy": ((450,), (0.35, 0.35)),
    "China, congested": ((450,), (0.7, 0.7)),
    "Japan, busy": ((400,), (0.5, 0.5)),
    "Australia, busy": ((425,), (0.375, 0.375)),
}
STEADY: dict[str, tuple[float, ...]] = {
    "North America, dial tone": (350, 440), "Europe, dial tone": (425,), "France, dial tone": (440,),
    "United Kingdom, unobtainable": (400,),
}  # fmt: skip
GREETING_OF_A_MAILBOX = ("This is the mailbox of Anna, please leave a message after the tone.", "en")
LEVELS = [-10.0, -25.0]
NOISE_DB = -25.0
"""Under the tone: a bad line."""


def tone(hz: Sequence[float], seconds: float, level_dbm0: float, at_s: float = 0.0) -> Samples:
    """These frequencies together, with one phase over all bursts."""
    parts = [sine(one, seconds, level_dbm0=level_dbm0, phase=2 * np.pi * one * at_s) for one in hz]
    together: Samples = np.sum(parts, axis=0)
    return together


def cadenced(hz: Sequence[float], cadence: Cadence, seconds: float, level_dbm0: float = -10.0) -> Samples:
    """Bursts and pauses until the time is over, at the end of a pause."""
    parts: list[Samples] = []
    passed, n = 0.0, 0
    while passed < seconds or n % len(cadence):
        length = cadence[n % len(cadence)]
        parts.append(quiet(length) if n % 2 else tone(hz, length, level_dbm0, passed))
        passed, n = passed + length, n + 1
    return joined(parts)


def noisy(samples: Samples, level_dbm0: float, seed: int = 1) -> Samples:
    together: Samples = samples + noise(len(samples), np.random.default_rng(seed), level_dbm0)
    return together


def follow(samples: Samples, codec: str = "PCMA", *, ring_s: float = 35.0) -> tuple[float | None, float | None]:
    """When we speak, and when it is given up; None where we do neither before the sound is over."""
    listener = GreetingListener(100.0, ring_s=ring_s)
    for n, frame in enumerate(on_the_line(samples, codec)):
        now = 100.0 + (n + 1) * FRAME_S
        listener.hear(frame, now)
        if listener.unanswered(now):
            return None, now - 100.0
        if listener.may_speak(now):
            return now - 100.0, None
    return None, None


@pytest.mark.parametrize("codec", ["PCMA", "PCMU"])
@pytest.mark.parametrize("level_dbm0", LEVELS)
@pytest.mark.parametrize("country", RINGING)
def test_case_3_10_a_line_that_rings_is_not_spoken_to_and_given_up_in_the_end(
    country: str, level_dbm0: float, codec: str
) -> None:
    hz, cadence = RINGING[country]
    ringing = noisy(joined([quiet(0.3), cadenced(hz, cadence, 40.0, level_dbm0)]), level_dbm0 + NOISE_DB)
    spoke_at, gave_up_at = follow(ringing, codec)
    assert spoke_at is None
    assert gave_up_at == pytest.approx(35.0, abs=0.1)


@pytest.mark.parametrize("level_dbm0", LEVELS)
@pytest.mark.parametrize("kind", ENGAGED)
def test_case_3_10_a_line_that_is_engaged_is_given_up_soon(kind: str, level_dbm0: float) -> None:
    hz, cadence = ENGAGED[kind]
    engaged = noisy(joined([quiet(0.2), cadenced(hz, cadence, 30.0, level_dbm0)]), level_dbm0 + NOISE_DB)
    spoke_at, gave_up_at = follow(engaged)
    assert spoke_at is None
    assert gave_up_at is not None
    assert gave_up_at <= 0.5 + (BUSY_BURSTS + 1) * max(sum(cadence[:2]), sum(cadence[-2:]))


@pytest.mark.parametrize("kind", STEADY)
def test_case_3_10_a_tone_that_goes_on_is_given_up_in_the_end(kind: str) -> None:
    steady = noisy(tone(STEADY[kind], 40.0, -12.0), -45.0)
    spoke_at, gave_up_at = follow(steady)
    assert spoke_at is None
    assert gave_up_at == pytest.approx(35.0, abs=0.1)


@pytest.mark.parametrize("rings", [1, 3])
@pytest.mark.parametrize("country", RINGING)
def test_case_3_10_who_picks_up_is_spoken_to(country: str, rings: int) -> None:
    hz, cadence = RINGING[country]
    ringing = cadenced(hz, cadence, sum(cadence) * rings - 0.1)
    for cut_s in (0.0, 1.2):  # in the pause, or in the middle of a tone
        rang = whole(ringing[: len(ringing) - round(cut_s * RATE_HZ)])
        parts = [rang, quiet(0.3), spoken(HELLO["fr"], "fr")]
        at, listener = answered(parts)
        ended = last_sound_s(joined(parts))
        assert ended + PAUSE_S - 0.3 <= at <= ended + PAUSE_S + 0.3
        assert listener.machine is False


@pytest.mark.parametrize("country", RINGING)
def test_case_3_10_a_mailbox_that_picks_up_is_spoken_to_after_its_beep(country: str) -> None:
    hz, cadence = RINGING[country]
    parts = [
        whole(cadenced(hz, cadence, 2 * sum(cadence) - 0.1)), quiet(0.2), whole(spoken(GREETING["en"], "en")), quiet(0.6),
        sine(1_000.0, 0.4),
    ]  # fmt: skip
    at, listener = answered(parts)
    assert length_of(parts) + BEEP_END_S - 0.05 <= at <= length_of(parts) + BEEP_END_S + 0.2
    assert listener.machine is True


@pytest.mark.parametrize("country", RINGING)
def test_who_picks_up_and_says_nothing_is_spoken_to(country: str) -> None:
    hz, cadence = RINGING[country]
    rang = cadenced(hz, cadence, 3 * sum(cadence) - 0.1)
    at, _ = answered([rang])
    ended = last_sound_s(rang)
    assert ended + RING_GAP_S <= at <= ended + RING_GAP_S + QUIET_START_S + 0.5


@pytest.mark.parametrize("kind", ENGAGED)
def test_an_announcement_before_an_engaged_tone_is_no_mailbox(kind: str) -> None:
    hz, cadence = ENGAGED[kind]
    said = spoken("The number you have dialled is not available. Please try again later.", "en")
    spoke_at, gave_up_at = follow(joined([said, quiet(0.4), cadenced(hz, cadence, 20.0)]))
    assert spoke_at is None
    assert gave_up_at is not None


@pytest.mark.parametrize("hz", [(950, 1_400, 1_800), (913.8, 1_370.6, 1_776.7), (985.2, 1_370.6, 1_776.7)])
@pytest.mark.parametrize("tone_s", [0.276, 0.33, 0.38])
def test_case_3_10_after_the_special_information_tone_nobody_is_spoken_to(hz: tuple[float, ...], tone_s: float) -> None:
    special = joined([quiet(0.4), *(sine(one, tone_s, level_dbm0=-14.0) for one in hz)])
    said = spoken("The number you have dialled is not in service.", "en")
    spoke_at, gave_up_at = follow(joined([special, quiet(0.2), said, quiet(2.0)]))
    assert spoke_at is None
    assert gave_up_at is not None


@pytest.mark.parametrize("language", sorted(HELLO))
@pytest.mark.parametrize("codec", ["PCMA", "PCMU"])
def test_no_tone_in_speech(language: str, codec: str) -> None:
    for rate in (130, 165, 200):
        parts = [quiet(0.2), spoken(HELLO[language], language, rate)]
        at, listener = answered(parts, codec=codec)
        assert at <= last_sound_s(joined(parts)) + PAUSE_S + 0.3
        assert listener.machine is False


@pytest.mark.parametrize("length", [0, 1, 159, 161])
def test_frames_of_other_lengths_are_no_tones(length: int) -> None:
    listener = GreetingListener(0.0)
    for n in range(100):
        listener.hear(np.full(length, 5_000, dtype=np.int16), n * FRAME_S)
        assert not listener.unanswered(n * FRAME_S)


@pytest.mark.parametrize("hz", [900.0, 1_000.0, 1_400.0])
@pytest.mark.parametrize("beeps", [1, 2, 3])
def test_case_3_10_a_mailbox_may_beep_more_than_once(hz: float, beeps: int) -> None:
    greeting = whole(spoken(*GREETING_OF_A_MAILBOX))
    beeping = [part for _ in range(beeps) for part in (sine(hz, 0.2), quiet(0.2))]
    ended_s = length_of([greeting, quiet(0.4), *beeping]) - 0.2
    spoke_at, gave_up_at = follow(joined([greeting, quiet(0.4), *beeping, quiet(8.0)]))
    assert gave_up_at is None
    assert spoke_at is not None
    assert ended_s <= spoke_at <= ended_s + 1.5


@pytest.mark.parametrize("seconds", [2.6, 3.3, 4.0])
@pytest.mark.parametrize("level_dbm0", LEVELS)
def test_case_3_10_a_fax_that_answers_is_told_nothing(level_dbm0: float, seconds: float) -> None:
    spoke_at, gave_up_at = follow(
        noisy(joined([quiet(0.5), sine(2_100.0, seconds, level_dbm0=level_dbm0), quiet(4.0)]), -50.0)
    )
    assert spoke_at is None
    assert gave_up_at is not None
    assert gave_up_at <= 3.5
