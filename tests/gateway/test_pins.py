"""PINs as they are stored, compared and guessed, and the command that hashes them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.pins import CROWD, GUESSERS_MAX, ONE, Guesses, PinError, check_form, hashed, matches
from tests.gateway.cli_desk import Terminal, terminal_in

SALT = bytes(range(16))
STORED = hashed("1369", SALT)


@pytest.mark.parametrize("pin", ["1234", "0000", "123456789012"])
def test_a_pin_matches_its_hash_and_no_other(pin: str) -> None:
    stored = hashed(pin, SALT)
    assert check_form(stored) == stored
    assert matches(pin, stored)
    assert not matches("9999", stored)
    assert pin not in stored


def test_the_salt_makes_the_hash() -> None:
    assert hashed("1369", SALT) == STORED
    other = hashed("1369", bytes(16))
    assert other != STORED
    assert matches("1369", other)


@pytest.mark.parametrize(
    "pin", ["", "123", "1234567890123", "12 34", " 1234", "1234\n", "12a4", "١٢٣٤", "²²²²", "1234#", "-1234", "+1234"]
)
def test_what_is_no_pin(pin: str) -> None:
    with pytest.raises(PinError, match="4 to 12 digits"):
        hashed(pin, SALT)
    assert not matches(pin, STORED)


@pytest.mark.parametrize("salt", [b"", bytes(15), bytes(17)])
def test_a_salt_has_its_length(salt: bytes) -> None:
    with pytest.raises(PinError, match="16 bytes"):
        hashed("1234", salt)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "1369",
        "scrypt:",
        STORED[:-1],
        STORED + "\n",
        " " + STORED,
        STORED.replace("scrypt", "SCRYPT"),
        STORED.replace("scrypt", "md5"),
        STORED.replace("=", ""),
        f"{STORED}:",
        "scrypt:" + "é" * 22 + "==:" + "A" * 43 + "=",
    ],
)
def test_what_is_no_hash_matches_nothing(stored: str) -> None:
    with pytest.raises(PinError, match="tocsin pins hash"):
        check_form(stored)
    assert not matches("1369", stored)
    assert not matches("", stored)


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=20))
def test_nothing_else_matches(pin: str) -> None:
    assert matches(pin, STORED) is (pin == "1369")


# --- guessing --------------------------------------------------------------------------------------------------------


def test_waits_double_up_to_an_hour() -> None:
    guesses, now, waits = Guesses(), 1_000.0, []
    for _ in range(40):
        guesses.wrong("ada", now)
        wait = 0.0
        while guesses.locked("ada", now + wait):
            wait += ONE.first_s
        waits.append(wait)
        now += wait
    assert waits[: ONE.free - 1] == [0, 0]
    assert waits[2:9] == [30, 60, 120, 240, 480, 960, 1_920]
    assert set(waits[9:]) == {ONE.longest_s}


def test_ten_thousand_pins_take_a_year() -> None:
    guesses, now = Guesses(), 0.0
    for _ in range(200):
        guesses.wrong("ada", now)
        while guesses.locked("ada", now):
            now += ONE.first_s
    assert now > 190 * ONE.longest_s


def test_guessers_are_apart() -> None:
    guesses = Guesses()
    for _ in range(ONE.free):
        guesses.wrong("ada", 0.0)
    assert guesses.locked("ada", 0.0)
    assert not guesses.locked("bob", 0.0)


def test_the_right_pin_wipes_the_slate() -> None:
    guesses = Guesses()
    for _ in range(ONE.free - 1):
        guesses.wrong("ada", 0.0)
    guesses.right("ada")
    guesses.right("nobody")
    guesses.wrong("ada", 0.0)
    assert not guesses.locked("ada", 0.0)


@pytest.mark.parametrize(("days", "locked"), [(0.99, True), (2, True), (3, False), (30, False)])
def test_a_day_takes_one_wrong_pin_off(days: float, locked: bool) -> None:
    guesses = Guesses()
    for _ in range(ONE.free + 1):
        guesses.wrong("ada", 0.0)
    guesses.wrong("ada", days * ONE.forgotten_s)
    assert guesses.locked("ada", days * ONE.forgotten_s) is locked


def test_a_crowd_has_more_free_guesses_and_is_never_shut_out_for_long() -> None:
    guesses = Guesses()
    for n in range(CROWD.free):
        assert not guesses.locked("callers", 0.0), n
        guesses.wrong("callers", 0.0, CROWD)
    assert guesses.locked("callers", CROWD.first_s - 1)
    assert not guesses.locked("callers", CROWD.first_s)
    for _ in range(100):
        guesses.wrong("callers", CROWD.first_s, CROWD)
    assert not guesses.locked("callers", CROWD.first_s + CROWD.longest_s)


def test_a_crowd_that_fumbles_once_a_minute_is_never_shut_out() -> None:
    guesses = Guesses()
    for n in range(1_000):
        now = n * CROWD.forgotten_s
        guesses.wrong("callers", now, CROWD)
        assert not guesses.locked("callers", now)


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    guesses = Guesses()
    for _ in range(ONE.free):
        guesses.wrong("first", 0.0)
        guesses.wrong("kept", 0.0)
    for n in range(GUESSERS_MAX - 2):
        guesses.wrong(f"forged {n}", 0.0)
    assert guesses.locked("first", 0.0)
    guesses.wrong("kept", 0.0)  # who guesses on is no longer the oldest
    guesses.wrong("one more", 0.0)
    assert not guesses.locked("first", 0.0)
    assert guesses.locked("kept", 0.0)
    assert len(guesses._guessers) == GUESSERS_MAX


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with terminal_in(tmp_path, capsys) as one:
        yield one


@pytest.mark.parametrize("entered", ["1369\n", "1369", " 1369 \r\n", "1369\n9999\n"])
def test_the_command_prints_what_the_settings_take(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, entered: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(entered))
    answer = terminal.run("pins", "hash", config=False)
    assert (answer.status, answer.err) == (0, "")
    assert matches("1369", check_form(answer.out.strip()))
    assert "1369" not in answer.out


def test_two_hashes_of_one_pin_differ(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for _ in range(2):
        monkeypatch.setattr("sys.stdin", io.StringIO("1369\n"))
        found.add(terminal.json("pins", "hash")["pin"])
    assert len(found) == 2


@pytest.mark.parametrize("entered", ["", "\n", "123\n", "abcd\n", "1234567890123\n", "1" * 10_000, "12 34\n"])
def test_the_command_refuses_what_is_no_pin_and_does_not_repeat_it(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, entered: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(entered))
    answer = terminal.run("pins", "hash", config=False)
    assert (answer.status, answer.out) == (2, "")
    assert "expected 4 to 12 digits" in answer.err
    assert "1234567" not in answer.err
    assert "abcd" not in answer.err
