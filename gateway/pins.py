"""PINs: hashed, compared in constant time, guessing slowed. Whose they are is told by the settings."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
from collections import OrderedDict, defaultdict
from dataclasses import dataclass

DIGITS_MIN, DIGITS_MAX = 4, 12
_N, _R, _P = 2**14, 8, 1
"""scrypt's cost (RFC 7914, 2): 16 MiB and some 40 ms a guess."""
SALT_BYTES = 16
_FORM = re.compile(r"scrypt:([A-Za-z0-9+/]{22}==):([A-Za-z0-9+/]{43}=)")
_DIGITS = re.compile(rf"[0-9]{{{DIGITS_MIN},{DIGITS_MAX}}}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long guessing is borne with: `free` wrong ones cost nothing, the next a wait of `first_s`, each further one twice that,
    up to `longest_s`. Each `forgotten_s` takes one wrong guess off."""

    free: int
    first_s: float
    longest_s: float
    forgotten_s: float


ONE = Patience(free=3, first_s=30.0, longest_s=3_600.0, forgotten_s=24 * 3_600.0)
"""One person, or one number that is shown: fingers slip. With an hour between guesses, the 10,000 PINs of four digits take a year."""
CROWD = Patience(free=30, first_s=30.0, longest_s=120.0, forgotten_s=60.0)
"""All callers of a line together, so that who forges the number shown guesses little faster; but a line is never shut for long,
for somebody may have to raise an alarm: one wrong guess a minute is borne for ever."""
PHONE = Patience(free=10, first_s=30.0, longest_s=120.0, forgotten_s=60.0)
"""One number that is shown at an alarm line: it has to wait before the line does, so that who guesses from one phone does not
shut the line for others; and never for long, for many may call with the same number."""
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
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def turn(self, whose: str) -> asyncio.Lock:
        """Held while a guess is looked at and counted, by those who guess at the same: a line or a person of the settings. Guesses
        side by side would all be counted too late."""
        return self._turns[whose]

    def locked(self, who: str, now: float) -> bool:
        """Whether not even the right PIN is taken now."""
        guesser = self._guessers.get(who)
        return guesser is not None and now < guesser.locked_until

    def wrong(self, who: str, now: float, patience: Patience = ONE) -> None:
        """One more wrong guess; beyond the free ones there is a wait."""
        guesser = self._guessers.pop(who, None) or _Guesser(wrong=0, at=now, locked_until=now)
        forgotten = int((now - guesser.at) // patience.forgotten_s)
        if forgotten:
            guesser.wrong = max(0, guesser.wrong - forgotten)
        if forgotten or not guesser.wrong:
            guesser.at = now
        guesser.wrong += 1
        if guesser.wrong >= patience.free:
            doublings = min(guesser.wrong - patience.free, 20)
            guesser.locked_until = now + min(patience.first_s * 2**doublings, patience.longest_s)
        self._guessers[who] = guesser
        while len(self._guessers) > GUESSERS_MAX:
            self._guessers.popitem(last=False)

    def right(self, who: str) -> None:
        """The right PIN wipes the slate."""
        self._guessers.pop(who, None)
