"""PINs: hashed, compared in constant time, guessing slowed. Whose they are is told by the settings."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections import OrderedDict
from dataclasses import dataclass

DIGITS_MIN, DIGITS_MAX = 4, 12
_N, _R, _P = 2**14, 8, 1
"""scrypt's cost (RFC 7914, 2): 16 MiB and some 40 ms a guess."""
SALT_BYTES = 16
_FORM = re.compile(r"scrypt:([A-Za-z0-9+/]{22}==):([A-Za-z0-9+/]{43}=)")
_DIGITS = re.compile(rf"[0-9]{{{DIGITS_MIN},{DIGITS_MAX}}}")

FREE_GUESSES = 3
"""Wrong PINs before anybody has to wait: fingers slip."""
FIRST_LOCK_S = 30.0
LONGEST_LOCK_S = 3_600.0
"""With an hour between guesses, the 10,000 PINs of four digits take a year."""
FORGOTTEN_S = 24 * 3_600.0
"""A day without a wrong guess wipes the slate."""
GUESSERS_MAX = 10_000
"""Whose guesses are counted at once; beyond it the oldest are forgotten. Some 2 MB."""


class PinError(ValueError):
    """Not a PIN, or not the hash of one. The text says what was expected."""


def hashed(pin: str, salt: bytes) -> str:
    """The PIN as settings hold it, ``scrypt:SALT:HASH``; `salt` is 16 random bytes. Raises PinError."""
    if not _DIGITS.fullmatch(pin):
        raise PinError(f"expected {DIGITS_MIN} to {DIGITS_MAX} digits")
    if len(salt) != SALT_BYTES:
        raise PinError(f"expected a salt of {SALT_BYTES} bytes")
    return f"scrypt:{_base64(salt)}:{_base64(_scrypt(pin, salt))}"


def check_form(stored: str) -> str:
    """The hash itself. Raises PinError where it is none."""
    if not _FORM.fullmatch(stored):
        raise PinError("expected a hashed PIN; `tocsin pins hash` makes one")
    return stored


def matches(pin: str, stored: str) -> bool:
    """Whether it is this PIN. Takes some 40 ms of processor: not for the loop."""
    form = _FORM.fullmatch(stored)
    if form is None or not _DIGITS.fullmatch(pin):
        return False
    salt, digest = base64.b64decode(form[1]), base64.b64decode(form[2])
    return hmac.compare_digest(_scrypt(pin, salt), digest)


def _scrypt(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, n=_N, r=_R, p=_P, dklen=32)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


@dataclass(slots=True)
class _Guesser:
    wrong: int
    at: float
    locked_until: float


class Guesses:
    """Who guessed wrong how often. After a few wrong PINs each further one costs twice the wait of the one before."""

    def __init__(self) -> None:
        self._guessers: OrderedDict[str, _Guesser] = OrderedDict()

    def locked(self, who: str, now: float) -> bool:
        """Whether not even the right PIN is taken now."""
        guesser = self._guessers.get(who)
        return guesser is not None and now < guesser.locked_until

    def wrong(self, who: str, now: float, *, free: int = FREE_GUESSES) -> None:
        """One more wrong guess; from the `free`-th on there is a wait."""
        guesser = self._guessers.pop(who, None)
        if guesser is None or now - guesser.at > FORGOTTEN_S:
            guesser = _Guesser(wrong=0, at=now, locked_until=now)
        guesser.wrong += 1
        guesser.at = now
        if guesser.wrong >= free:
            doublings = min(guesser.wrong - free, 20)
            guesser.locked_until = now + min(FIRST_LOCK_S * 2**doublings, LONGEST_LOCK_S)
        self._guessers[who] = guesser
        while len(self._guessers) > GUESSERS_MAX:
            self._guessers.popitem(last=False)

    def right(self, who: str) -> None:
        """The right PIN wipes the slate."""
        self._guessers.pop(who, None)
