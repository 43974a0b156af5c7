"""Keys heard in sound: what must be taken, what must not, and nothing in speech."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ivr.audio import tones
from ivr.audio.dtmf import KeyBank
from ivr.audio.numeric import np
from ivr.audio.prompts import Prompts
from ivr.audio.sound import RATE_HZ
from tests.ivr.audio.line_sounds import ALL_KEYS, SPOKEN, Samples, joined, key, noise, on_the_line, quiet, spoken

CODECS = ["PCMA", "PCMU"]
ROUNDS = 20
"""Each key so often, at another phase and place each time."""


def heard_each(calls: Sequence[Samples], codec: str = "PCMU") -> list[str]:
    """The keys of each call, all heard at once by one bank."""
    bank = KeyBank()
    slots = [bank.add() for _ in calls]
    length = max(len(call) for call in calls)
    frames = np.stack([on_the_line(np.concatenate([call, np.zeros(length - len(call))]), codec) for call in calls])
    found = dict.fromkeys(slots, "")
    for n in range(frames.shape[1]):
        for slot, name in bank.push(slots, frames[:, n]):
            found[slot] += name
    return [found[slot] for slot in slots]


def pressed(
    rng: np.random.Generator,
    tone_s: float = 0.04,
    pause_s: float = 0.04,
    *,
    keys: str = ALL_KEYS,
    level_dbm0: float = -10.0,
    off: float = 0.0,
    twist_db: float = 0.0,
) -> Samples:
    """All keys one after the other, beginning anywhere in a frame."""
    parts = [quiet(0.05 + rng.uniform(0, 0.02))]
    for name in keys:
        parts += [key(name, tone_s, rng, level_dbm0=level_dbm0, off=off, twist_db=twist_db), quiet(pause_s)]
    return joined([*parts, quiet(0.1)])


def test_the_bank_knows_all_keys() -> None:
    assert sorted(ALL_KEYS) == sorted(tones.KEYS)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("off", "twist_db", "level_dbm0"),
    [
        (-0.015, 0.0, -10.0),
        (0.015, 0.0, -10.0),
        (0.0, 6.0, -16.0),
        (0.0, -6.0, -10.0),
        (0.01, 6.0, -16.0),
        (-0.01, 6.0, -16.0),
        (0.01, -6.0, -10.0),
        (-0.01, -6.0, -10.0),
    ],
)
def test_keys_of_40_ms(codec: str, off: float, twist_db: float, level_dbm0: float) -> None:
    rng = np.random.default_rng(1)
    calls = [pressed(rng, off=off, twist_db=twist_db, level_dbm0=level_dbm0) for _ in range(ROUNDS)]
    assert heard_each(calls, codec) == [ALL_KEYS] * ROUNDS


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("level_dbm0", [-3.5, -25.0])
def test_loud_and_soft_keys(codec: str, level_dbm0: float) -> None:
    rng = np.random.default_rng(2)
    calls = [pressed(rng, level_dbm0=level_dbm0) for _ in range(ROUNDS)]
    assert heard_each(calls, codec) == [ALL_KEYS] * ROUNDS


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("level_dbm0", [-10.0, -22.0])
def test_keys_in_noise(codec: str, level_dbm0: float) -> None:
    rng = np.random.default_rng(3)
    calls = [pressed(rng, level_dbm0=level_dbm0) for _ in range(ROUNDS)]
    power_dbm0 = level_dbm0 + 3  # of both tones together
    noisy = [call + noise(len(call), rng, power_dbm0 - 20) for call in calls]
    assert heard_each(noisy, codec) == [ALL_KEYS] * ROUNDS


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("off", [-0.05, -0.035, 0.035, 0.05])
@pytest.mark.parametrize("tone_s", [0.04, 0.1, 0.5])
def test_tones_beside_the_frequencies(codec: str, off: float, tone_s: float) -> None:
    rng = np.random.default_rng(4)
    calls = [pressed(rng, tone_s, off=off) for _ in range(ROUNDS // 2)]
    assert heard_each(calls, codec) == [""] * (ROUNDS // 2)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("tone_s", [0.005, 0.01, 0.019])
def test_tones_too_short(codec: str, tone_s: float) -> None:
    rng = np.random.default_rng(5)
    calls = [pressed(rng, tone_s) for _ in range(ROUNDS)]
    assert heard_each(calls, codec) == [""] * ROUNDS


def test_tones_of_20_ms() -> None:
    rng = np.random.default_rng(6)
    counted = sum(map(len, heard_each([pressed(rng, 0.02) for _ in range(ROUNDS)])))
    assert counted <= 0.005 * ROUNDS * len(ALL_KEYS)


@pytest.mark.parametrize("hz", [*tones.LOW_HZ, *tones.HIGH_HZ, 350, 425, 440, 1000, 1400, 2100])
def test_one_tone_is_no_key(hz: int) -> None:
    tone = np.frombuffer(tones.tone([hz], 0.5).samples, dtype="<i2").astype(np.float64)
    assert heard_each([tone]) == [""]


@pytest.mark.parametrize("pair", [(350, 440), (480, 620), (697, 770), (1209, 1336), (941, 1209, 1477)])
def test_other_tones_together_are_no_key(pair: tuple[int, ...]) -> None:
    tone = np.frombuffer(tones.tone(pair, 0.5).samples, dtype="<i2").astype(np.float64)
    assert heard_each([tone]) == [""]


def test_too_soft_or_too_twisted() -> None:
    rng = np.random.default_rng(7)
    assert heard_each([pressed(rng, level_dbm0=-40.0)]) == [""]
    assert heard_each([pressed(rng, level_dbm0=-20.0, twist_db=12.0)]) == [""]
    assert heard_each([pressed(rng, level_dbm0=-6.0, twist_db=-12.0)]) == [""]


def test_silence_and_noise() -> None:
    rng = np.random.default_rng(8)
    assert heard_each([quiet(1.0), noise(10 * RATE_HZ, rng, -20.0), noise(10 * RATE_HZ, rng, -50.0)]) == [""] * 3


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", ALL_KEYS)
def test_repeated_key_counts_again(codec: str, name: str) -> None:
    rng = np.random.default_rng(9)
    calls = [pressed(rng, keys=name * 5) for _ in range(ROUNDS)]
    assert heard_each(calls, codec) == [name * 5] * ROUNDS


@pytest.mark.parametrize("tone_s", [0.04, 0.2, 2.0])
def test_held_key_counts_once(tone_s: float) -> None:
    rng = np.random.default_rng(10)
    assert heard_each([pressed(rng, tone_s)]) == [ALL_KEYS]


@pytest.mark.parametrize("gap_s", [0.002, 0.005, 0.007])
def test_short_interruption_is_no_pause(gap_s: float) -> None:
    rng = np.random.default_rng(11)
    calls = []
    for name in ALL_KEYS:
        tone = key(name, 0.12, rng)
        begin = 400 + int(rng.integers(0, 80))
        tone[begin : begin + round(gap_s * RATE_HZ)] = 0
        calls.append(joined([quiet(0.05 + rng.uniform(0, 0.02)), tone, quiet(0.1)]))
    assert heard_each(calls) == list(ALL_KEYS)


def test_keys_without_a_pause() -> None:
    rng = np.random.default_rng(12)
    assert heard_each([pressed(rng, 0.06, 0.0, keys="1590*")]) == ["1590*"]


def test_our_own_keys() -> None:
    made = np.frombuffer(tones.keys(tones.KEYS).samples, dtype="<i2").astype(np.float64)
    assert heard_each([made]) == [tones.KEYS]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("language", sorted(SPOKEN))
@pytest.mark.parametrize("words_per_minute", [130, 200])
def test_no_key_in_speech(codec: str, language: str, words_per_minute: int) -> None:
    assert heard_each([spoken(SPOKEN[language], language, words_per_minute)], codec) == [""]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("language", ["en", "fr"])
def test_no_key_in_our_prompts(codec: str, language: str) -> None:
    prompts = Prompts()
    sounds = {name: prompts.sound(name, language).samples for name in sorted(prompts.names)}
    calls = [np.frombuffer(samples, dtype="<i2").astype(np.float64) for samples in sounds.values()]
    found = dict(zip(sounds, heard_each(calls, codec), strict=True))
    assert {name: keys for name, keys in found.items() if keys} == {}


def test_slots_are_apart() -> None:
    """Calls come and go; what one pressed is nothing to the one that has its slot later."""
    rng = np.random.default_rng(13)
    bank = KeyBank()
    slots = [bank.add() for _ in range(40)]
    assert len(set(slots)) == 40
    frames = on_the_line(joined([key("5", 0.2, rng)]))
    silent = np.zeros_like(frames)
    found = []
    for n in range(len(frames)):
        found += bank.push([slots[3], slots[39]], np.stack([frames[n], silent[n]]))
    assert found == [(slots[3], "5")]
    bank.remove(slots[3])
    again = bank.add()
    assert again == slots[3]
    found = []
    for n in range(len(frames)):
        found += bank.push([again], frames[n : n + 1])
    assert found == [(again, "5")]


def test_calls_in_any_order_and_not_every_time() -> None:
    rng = np.random.default_rng(14)
    bank = KeyBank()
    one, two = bank.add(), bank.add()
    first, second = on_the_line(pressed(rng, keys="12")), on_the_line(pressed(rng, keys="34"))
    found = []
    for n in range(min(len(first), len(second))):
        order = [(one, first[n]), (two, second[n])][:: 1 if n % 2 else -1]
        found += bank.push([slot for slot, _ in order], np.stack([frame for _, frame in order]))
    assert sorted(found) == sorted([(one, "1"), (one, "2"), (two, "3"), (two, "4")])
