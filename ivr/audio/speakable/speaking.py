"""Says pieces in the words of one language: the last step before the engine."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from ivr.audio.speakable import units
from ivr.audio.speakable.language import CARDINAL_DIGITS_MAX, Language
from ivr.audio.speakable.numbers import by_digit
from ivr.audio.speakable.pieces import (
    Clock,
    Date,
    Number,
    Ordinal,
    Pause,
    Picture,
    Piece,
    Quantity,
    Spelled,
    Symbol,
    Unit,
    Word,
)

CLAUSE_WORDS_MAX: Final = 24
"""Some ten seconds: then there is a breath, whether somebody wrote a comma or not."""
SPOKEN_CHARS_MAX: Final = 3_000
"""Some three minutes at the usual pace."""
_ENDS: Final = ".!?"
_STRENGTH: Final = {",": 0, ".": 1, "!": 2, "?": 3}
_DIGITS: Final = "0123456789"
_UNSAID: Final = re.compile(r"[^\w' -]+")


def spoken(pieces: Sequence[Piece], language: Language, *, whole: bool) -> str:
    """The words, with commas and ends of sentences where there is a breath; cut between two pieces if there are too many."""
    parts: list[str] = []
    size, clause, pause = 0, 0, ""
    for before, piece, after in zip([None, *pieces], pieces, [*pieces[1:], None], strict=False):
        if isinstance(piece, Pause):
            if parts and (not pause or _STRENGTH[piece.mark] > _STRENGTH[pause]):
                pause = piece.mark
            continue
        said = " ".join(_words(piece, language, followed=after is not None and not isinstance(after, Pause)))
        if not said or (isinstance(piece, Picture) and piece == before):
            continue
        if not pause and parts and (_run_together(before, piece) or _is_out_of_breath(clause, before, piece)):
            pause = ","
        if size + len(said) > SPOKEN_CHARS_MAX:
            whole = False
            break
        if pause and pause in _ENDS:
            said = (
                said[0].upper() + said[1:]
            )  # in front of a small letter an engine takes a full stop for an abbreviation's
        clause = 0 if pause else clause
        parts.append((pause + " " if parts else "") + said if pause else (" " + said if parts else said))
        size, clause, pause = size + len(parts[-1]), clause + said.count(" ") + 1, ""
    if not whole:
        return "".join(parts) + (". " if parts else "") + language.symbols["cut"] + "."
    return "".join(parts) + (pause if pause in ("!", "?") else "." if parts else "")


_COUNTED: Final = (Number, Quantity, Ordinal, Date, Clock)


def _run_together(before: Piece | None, piece: Piece) -> bool:
    """Whether two values stand side by side that the ear would take for one: 2 and 350, 40 and 2."""
    begins = isinstance(piece, _COUNTED) or (isinstance(piece, Spelled) and piece.text[:1].isdecimal())
    ends = isinstance(before, _COUNTED) or (isinstance(before, Spelled) and before.text[-1:].isdecimal())
    return begins and ends


def _is_out_of_breath(words: int, before: Piece | None, piece: Piece) -> bool:
    """Whether there have been enough words; a sign and its value are not torn apart unless there is no end of them."""
    torn = isinstance(before, Symbol) or not isinstance(piece, Word)
    return words >= CLAUSE_WORDS_MAX * (2 if torn else 1)


def _words(piece: Piece, language: Language, *, followed: bool) -> Iterator[str]:
    match piece:
        case Word(text):
            yield _clean(text)
        case Spelled(text, leaning):
            yield leaning + " ".join(_spelled(text, language, followed=followed))
        case Symbol("dot"):
            yield language.dot or language.symbols["point"]
        case Symbol(name):
            yield language.symbols[name]
        case Picture(char):
            yield from _picture(char, language)
        case Number():
            yield from _number(piece, language)
        case Quantity(number, name):
            yield from _quantity(number, name, language)
        case Unit(name):
            yield _unit(name, language, many=True)[0]
        case Ordinal(number, ending):
            yield language.ordinal(number, ending) or ""
        case Date(day, month, year):
            yield language.date(day, month, year)
        case Clock(hour, minute, second, fraction):
            yield language.clock(hour, minute)
            if second or fraction:
                yield language.symbols["and"]
                yield from _quantity(
                    Number(str(second), language.decimal_mark if fraction else "", fraction), "s", language
                )


def _clean(text: str) -> str:
    return " ".join(_UNSAID.sub(" ", text.replace("_", " ")).split()).strip("-")


def _spelled(text: str, language: Language, *, followed: bool = False) -> Iterator[str]:
    letters = text.removesuffix("'s")
    for n, one in enumerate(letters):
        if one in _DIGITS:
            yield language.digits[int(one)] if language.digits else one
        else:
            last, letter = n + 1 == len(letters), one.upper()
            inside = language.letters_inside.get(letter) if followed or not last else None
            yield (inside or language.letters.get(letter, letter)) + ("'s" if last and letters != text else "")


def _picture(char: str, language: Language) -> Iterator[str]:
    known = language.pictures.get(char)
    if known is not None:
        yield known
        return
    name = unicodedata.name(char, "") if language.names_pictures else ""
    if name:
        plain = re.sub(r"[^a-z0-9]+", " ", name.lower())
        yield " ".join(re.sub(r"\d", lambda digit: f" {language.digits[int(digit[0])]} ", plain).split())
        return
    yield language.symbols["sign"]
    yield from _spelled(f"{ord(char):X}", language)


def _number(number: Number, language: Language, *, feminine: bool = False) -> Iterator[str]:
    if number.sign:
        yield language.symbols[number.sign]
    if not language.digits:
        yield number.whole
        if number.decimals:
            yield language.symbols["comma" if number.mark == "," else "point"]
            yield number.decimals if number.decimals[0] != "0" else " ".join(number.decimals)
        return
    yield _whole(number.whole, language, feminine=feminine and not number.decimals)
    if number.decimals:
        yield language.symbols["comma" if number.mark == "," else "point"]
        short = len(number.decimals) <= language.decimals_read_whole and number.decimals[0] != "0"
        yield (
            _whole(number.decimals if short else "0" + number.decimals, language)
            if short
            else _digits(number.decimals, language)
        )


def _whole(digits: str, language: Language, *, feminine: bool = False) -> str:
    if (digits[0] == "0" and len(digits) > 1) or len(digits) > CARDINAL_DIGITS_MAX:
        return _digits(digits, language)
    return language.cardinal(int(digits), feminine)


def _digits(digits: str, language: Language) -> str:
    groups = [piece.text for piece in by_digit(digits) if isinstance(piece, Spelled)]
    return ", ".join(" ".join(language.digits[int(one)] for one in group) for group in groups)


def _quantity(number: Number, name: str, language: Language) -> Iterator[str]:
    words, feminine = _unit(name, language, many=language.is_many(number))
    *before, last = _number(number, language, feminine=feminine)
    yield from before
    yield last if feminine or number.decimals else language.counted(last)
    yield words


def _unit(name: str, language: Language, *, many: bool) -> tuple[str, bool]:
    """A unit in words, and whether it is feminine."""
    first, *others = name.split("/")
    words, feminine = _noun(first, language, many=many) if first else ("", False)
    for other in others:
        words = f"{words} {language.per} {_noun(other, language, many=False)[0]}".strip()
    return words, feminine


def _noun(symbol: str, language: Language, *, many: bool) -> tuple[str, bool]:
    own = language.units.get(symbol)
    prefix, base = ("", symbol) if own is not None else units.SPLIT[symbol]
    noun = language.units.get(base)
    if noun is None:
        return symbol, False
    words = noun.many if many else noun.one
    return (language.joins(language.prefixes[prefix], words) if prefix else words), noun.feminine
