"""What a text is read as: values whose meaning is known. How they are said is each language's affair."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pause:
    """A breath, at one of `,` `.` `!` `?`."""

    mark: str


@dataclass(frozen=True, slots=True)
class Word:
    """Words of the text, said as they are."""

    text: str


@dataclass(frozen=True, slots=True)
class Spelled:
    """Letters and digits, said one by one; `before` is what leans on the first of them, as in *l'API*."""

    text: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class Symbol:
    """One of `symbols.NAMES`."""

    name: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A sign that stands for itself: an emoji, a mark that no language here has a word for."""

    char: str


@dataclass(frozen=True, slots=True)
class Number:
    """Digits as they were written, without the marks that group them."""

    whole: str
    mark: str = ""
    decimals: str = ""
    sign: str = ""
    """The name of a symbol: minus, plus, plus_or_minus."""

    @property
    def is_one(self) -> bool:
        """Whether it is 1, whatever its sign."""
        return self.whole.lstrip("0") == "1" and not self.decimals.strip("0")

    @property
    def is_below_two(self) -> bool:
        """Whether it is less than 2, whatever its sign."""
        return self.whole.lstrip("0") in ("", "1")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit, the latter by its name in `units`."""

    number: Number
    unit: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit without a number."""

    name: str


@dataclass(frozen=True, slots=True)
class Ordinal:
    """First, second …, with what was written behind the number."""

    number: int
    ending: str


@dataclass(frozen=True, slots=True)
class Date:
    """A day; the year as it was written, or nothing."""

    day: int
    month: int
    year: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day."""

    hour: int
    minute: int
    second: int | None = None
    fraction: str = ""


Piece = Pause | Word | Spelled | Symbol | Picture | Number | Quantity | Unit | Ordinal | Date | Clock
