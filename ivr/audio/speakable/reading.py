"""Reads a text as pieces with a meaning, from left to right. Which words a language has for them is not known here."""

from __future__ import annotations

import re
from typing import Final

from ivr.audio.speakable import moments, names, numbers, pictures, units
from ivr.audio.speakable.abbreviations import Abbreviations
from ivr.audio.speakable.language import Language
from ivr.audio.speakable.pieces import (
    Clock,
    Date,
    Number,
    Pause,
    Piece,
    Quantity,
    Spelled,
    Symbol,
    Unit,
    Word,
)
from ivr.audio.speakable.symbols import WRITTEN

Read = tuple[list[Piece], int]

_SIGNS: Final = re.compile("|".join(re.escape(one) for one in sorted(WRITTEN, key=len, reverse=True)))
_RULE: Final = re.compile(r"([-–—=_*#~.+|/\\])[ ]?(?:\1[ ]?){3,}(?!\w)|(?:---|===|\*\*\*|___|###|~~~)(?=\s|$)")
"""A line drawn with characters."""
_BULLET: Final = re.compile(r"[ \t]*(?:[-–—*+•‣▪●○◦·►▶■□◆>]|#{1,6}|\d{1,3}[.)])(?=[ \xa0\t])")
_EMPHASIS: Final = re.compile(r"(\*{1,3}|__?|~~|`+)(?=\S)|(?<=\S)(\*{1,3}|__?|~~|`+)(?=\W|$)")
_LINE_ENDS: Final = re.compile(r"[ \xa0\t]*(?:\n|$)")
_DASHES: Final = "-–—−"
_OPENS: Final = re.compile(r"[:=<>≤≥≈≠(\[~×]\s*$|(?:>=|<=|==|!=)\s*$")
"""Behind these, even a dash with a blank behind it is a sign."""
_SIGNED: Final = re.compile(r"(\+/-|\+-|-/\+|[-–—−+±])[ \xa0]?(?=[€$£¥]?[ \xa0]?[.,]?\d)")
_FRACTIONAL: Final = re.compile(r"[.,](?=\d)")
_OVER: Final = re.compile(r"(?:^|[^\w.,:/-])[-+]?\d+(?:[.,]\d+)?[hj]?$")
_UNDER: Final = re.compile(r"\d+(?:[.,]\d+)?(?![\d:/])")
"""A slash with only a number on each side is a fraction; any other is a slash."""
_SMALL_FOLLOWS: Final = re.compile(r"[ \xa0][^\W\d_A-ZÀ-Þ]")
_UNDERSCORED: Final = re.compile(r"_+[^\W_]")
_HASHED: Final = re.compile(r"#(?=[^\W_])([^\W_]+(?:[-_.][^\W_]+)*)")
_NUMBER_SIGN: Final = re.compile(r"(?:[nN][°º]|№)[ \xa0]?(?=\w)")
_BEFORE: Final = re.compile(r"([^\W\d_]+\.?)\W{0,2}$")
_PAUSES: Final[dict[str, str]] = {
    **dict.fromkeys(',;:()[]{}|"\t`¿¡—–•‣▪●○◦►▶■□◆·،؛、，', ","),
    **dict.fromkeys(".。।", "."),
    **dict.fromkeys("?؟", "?"),
    "!": "!",
    "'": "",
}
_TOKEN: Final = re.compile(r"\S{0,300}")
_LONE_UNIT: Final = re.compile(units.PATTERN + r"(?!\w|[-'/]\w|\.\w)")
_LETTERS: Final = re.compile(r"[^\W\d_]*")
_RAISED: Final = re.compile(r"\^([-−+]?)(\d{1,4}|n)")
_DOTS: Final = re.compile(r"\.{2,}")
_ANGLED: Final = re.compile(r"<([^\s<>@]{1,80}@[^\s<>@]{1,200}|\w{2,12}://[^\s<>]{1,1000})>")
_BLOOD: Final = re.compile(
    r"(?:(?<!\w)(?:AB|O|(?:Rh|RH|rh)D?)|(?:[Gg](?:roupe|ROUPE|roup|ruppe|rupo|ruppo)|[Ss]ang|[Bb]l(?:ood|ut)|[Ss]ang(?:ue|re)) [AB])\Z"
)
"""A group of blood, behind which a dash says that it is negative."""
_NUMBER_FOLLOWS: Final = re.compile(r"[ \xa0]?[#]?\d")


def _is_hour(pieces: list[Piece]) -> bool:
    return len(pieces) == 1 and isinstance(pieces[0], Quantity) and pieces[0].unit == "h"


class Reader:
    """Reads one text in one language."""

    def __init__(self, text: str, language: Language, abbreviations: Abbreviations) -> None:
        self._text = text
        self._language = language
        self._abbreviations = abbreviations
        self._pieces: list[Piece] = []
        self._begins = True
        """Whether a sentence begins here."""

    def read(self) -> list[Piece]:
        """All of it."""
        text, size, pos = self._text, len(self._text), 0
        line_begins = True
        while pos < size:
            char = text[pos]
            if char == "\n":
                self._add([Pause(".")])
                pos, line_begins, self._begins = pos + 1, True, True
                continue
            if line_begins:
                line_begins = False
                pos = self._line_at(pos)
                continue
            if char in " \xa0":
                pos += 1
                continue
            pieces, end = self._next(pos, char)
            assert end > pos
            self._add(pieces)
            pos = end
        return self._pieces

    def _add(self, pieces: list[Piece]) -> None:
        if not pieces:
            return
        if (
            isinstance(pieces[0], Spelled | Number | Quantity)
            and self._pieces
            and isinstance(self._pieces[-1], Spelled)
        ):
            self._pieces.append(Pause(","))  # two acronyms side by side, or a detector of CO with its number
        self._pieces += pieces
        self._begins = isinstance(pieces[-1], Pause) and pieces[-1].mark != ","

    def _line_at(self, pos: int) -> int:
        """Where the text of a line begins, behind what marks it as one of a list."""
        text = self._text
        match = _BULLET.match(text, pos)
        if match is None:
            return pos
        mark, rest = match[0].strip(), text[match.end() :].lstrip(" \xa0\t")
        if mark[0].isdecimal():
            return pos
        if (
            mark == ">"
            or (mark[0] == "#" and rest[:1].isdecimal())
            or (rest[:1].isdecimal() or rest[:1] in ".,€$£" if mark in "-–—+" else False)
        ):
            return pos  # it may be a sign
        self._add([Pause(",")])
        return match.end()

    # --- one piece ---------------------------------------------------------------------------------------------------

    def _next(self, pos: int, char: str) -> Read:
        after_word = pos > 0 and (self._text[pos - 1].isalnum() or self._text[pos - 1] in "_\\")
        if not after_word:
            known = self._abbreviations.at(self._text, pos)
            if known is not None:
                return known
        if char.isdecimal() and char.isascii():
            return self._digit(pos, after_word)
        if char.isalpha() and not pictures.GREEK.match(char):
            return self._letter(pos)
        return self._sign(pos, char)

    def _word_before(self, pos: int) -> str:
        match = _BEFORE.search(self._text, max(0, pos - 24), pos)
        return match[1].lower() if match else ""

    def _digit(self, pos: int, after_word: bool) -> Read:
        text, language = self._text, self._language
        before = self._word_before(pos)
        if not after_word:
            found = (
                numbers.fraction_at(text, pos)
                or numbers.list_at(text, pos)
                or moments.moment_at(text, pos, language, before)
                or names.phone_at(text, pos)
                or names.dotted_at(text, pos)
                or (names.colons_at(text, pos) if ":" in text[pos : pos + 5] else None)
                or (names.mail_at(text, pos, language) if "@" in text else None)
                or numbers.ordinal_at(text, pos, language)
                or names.hardware_at(text, pos)
                or numbers.dashed_at(text, pos)
            )
            if found is not None:
                return self._until(found)
        return self._amount(pos, before, "") or self._code_or_number(pos)

    def _until(self, found: Read) -> Read:
        """A time or a day that another one follows behind a dash is the begin of a range."""
        pieces, end = found
        if isinstance(pieces[0], Clock | Date) and self._text[end : end + 1] in ("-", "–"):
            other = moments.moment_at(self._text, end + 1, self._language, "") or self._amount(end + 1, "", "")
            if other is not None and (isinstance(other[0][0], Clock | Date) or _is_hour(other[0])):
                return [*pieces, Symbol("to"), *other[0]], other[1]
        return found

    def _amount(self, start: int, before: str, sign: str, currency: str = "") -> Read | None:
        """A number with unit or range from `start`, if no code begins there."""
        text = self._text
        found = numbers.amount_at(text, start, self._language, before=before, sign=sign, currency=currency)
        if found is None:
            return None
        pieces, end, number = found
        follows = text[end : end + 1]
        if _is_hour(pieces) and follows in ("-", "–"):
            later = moments.moment_at(text, end + 1, self._language, "")
            if later is not None and isinstance(later[0][0], Clock):
                return [*pieces, Symbol("to"), *later[0]], later[1]
        if number is not None:
            ranged = numbers.range_at(text, end, number, pieces, self._language)
            if ranged is not None and not (text[ranged[1] : ranged[1] + 1].isalnum()):
                return ranged
        if number is not None and number.decimals and follows.isalpha():
            return pieces, end  # 1.5k
        if (follows.isalnum() or _UNDERSCORED.match(text, end)) and follows not in "²³":
            return None
        if follows in "-–" and text[end + 1 : end + 2].isalnum() and not isinstance(pieces[-1], Quantity) and not sign:
            return None
        return pieces, end

    def _code_or_number(self, pos: int) -> Read:
        code = names.code_at(self._text, pos, self._language)
        if code is not None:
            return code
        host = names.host_at(self._text, pos, self._language)
        if host is not None:
            return host
        found = numbers.number_at(self._text, pos, self._language)
        assert found is not None
        return numbers.value(found[0], grouped=found[2]), found[1]

    def _letter(self, pos: int) -> Read:
        text, language = self._text, self._language
        stop = pos + 80
        near = text[pos:stop]
        token = _TOKEN.match(text, pos)
        assert token is not None
        whole = token[0]
        if near[0] in "Øø" and _NUMBER_FOLLOWS.match(text, pos + 1):
            return [Symbol("diameter")], pos + 1
        found: Read | None = None
        if "://" in whole or whole[:4].lower() == "www.":
            found = names.link_at(text, pos, language)
        if found is None and "@" in whole:
            found = names.mail_at(text, pos, language)
        if found is None and ":" in whole:
            found = names.colons_at(text, pos)
        if found is None and near[:3] in ("UTC", "GMT") and (zone := moments.zone_at(text, pos)) is not None:
            return zone
        if found is None and near[0] == "P" and near[1:2] in "0123456789T":
            found = moments.period_at(text, pos)
        if found is None and "." in whole:
            found = names.host_at(text, pos, language)
        found = found or names.initials_at(text, pos) or names.code_at(text, pos, language) or self._unit_at(pos)
        found = found or names.word_at(text, pos, language, begins=self._begins)
        return found or ([Word(text[pos])], pos + 1)

    def _unit_at(self, pos: int) -> Read | None:
        """A unit that stands without a number: `in m³/h`."""
        if pos and (self._text[pos - 1].isalnum() or self._text[pos - 1] in "'_"):
            return None
        match = _LONE_UNIT.match(self._text, pos)
        if (
            match is None
            or (len(match[0]) == 1 and match[0].isalpha())
            or match[0] in units.NEEDS_NUMBER
            or match[0] in units.FRENCH_BYTES
        ):
            return None
        if "/" in match[0] and not match[0].islower() and max(map(len, match[0].split("/"))) == 1:
            return None  # A/B
        name = units.named(match[0])
        return None if name is None else ([Unit(name)], match.end())

    # --- signs -------------------------------------------------------------------------------------------------------

    def _sign(self, pos: int, char: str) -> Read:
        text = self._text
        if char in "_*~`" and (match := _EMPHASIS.match(text, pos)) and not self._between_numbers(pos, match.end()):
            if char == "_" and pos and text[pos - 1].isalnum() and text[match.end() : match.end() + 1].isalnum():
                return [], match.end()
            inside = text[max(0, pos - 1) : pos].isalnum() and text[match.end() : match.end() + 1].isalnum()
            if (char != "~" or match[0] == "~~") and not (inside and match[0] in ("*", "**")):
                return [], match.end()
        if (drawn := _RULE.match(text, pos)) is not None:
            return [Pause(",")], drawn.end()
        found = self._signed_at(pos, char) or self._other_sign_at(pos, char)
        if found is not None:
            return found
        match = _SIGNS.match(text, pos)
        if match is not None:
            return self._written(pos, match)
        if char in _PAUSES:
            return self._pause(pos, char)
        return pictures.picture_at(text, pos, self._language)

    def _between_numbers(self, pos: int, end: int) -> bool:
        text = self._text
        before, after = text[max(0, pos - 8) : pos].rstrip()[-1:], text[end : end + 8].lstrip(" -−+")[:1]
        return before.isdecimal() and after.isdigit()

    def _signed_at(self, pos: int, char: str) -> Read | None:
        """A sign and its number; what is no sign is a dash, which is said, or a pause."""
        text = self._text
        match = _SIGNED.match(text, pos)
        if match is None:
            return self._dash(pos) if char in _DASHES else None
        written, start = match[1], match.end()
        before = text[pos - 1 : pos]
        if (before == "°" and text[pos - 2 : pos - 1].isalpha()) or (
            before == "_" and not text[pos - 2 : pos - 1].isalnum()
        ):
            before = ""  # T°-18, _-18_
        name = numbers.SIGNS.get(written) or WRITTEN[written]
        if before and (
            before.isalnum() or before in "°%)]}_." or (before in "'\"" and text[pos - 2 : pos - 1].isalnum())
        ):
            if name != "minus" or char == "−":
                return [Symbol(name)], pos + len(written)  # a + b, a − b
            return [Symbol("dash")], pos + 1
        if start > pos + len(written) and name in ("minus", "plus") and not self._sign_before_blank(pos, start):
            return [Symbol("dash" if name == "minus" and char != "−" else name)], pos + len(written)
        if name == "plus":
            phone = names.phone_at(text, pos)
            if phone is not None:
                return phone
        return self._signed_value(pos, start, name)

    def _signed_value(self, pos: int, start: int, name: str) -> Read:
        if (moment := moments.moment_at(self._text, start, self._language, "")) is not None:
            return [Symbol(name), *moment[0]], moment[1]
        currency = numbers.currency_at(self._text, start)
        unit, start = currency if currency is not None else ("", start)
        if self._text[start] in ".,":
            return [Symbol(name), *self._fractional(start)[0]], self._fractional(start)[1]
        found = self._amount(start, self._word_before(pos), name, unit)
        return found if found is not None else ([Symbol(name)], start)

    def _fractional(self, pos: int) -> Read:
        """A number that begins with its point."""
        found = numbers.number_at(self._text, pos + 1, self._language)
        assert found is not None
        number = Number("0", self._text[pos], found[0].whole)
        unit = numbers.unit_at(
            self._text, found[1] - (len(found[0].decimals) + 1 if found[0].decimals else 0), self._language, ""
        )
        end = pos + 1 + len(found[0].whole)
        return ([Quantity(number, unit[0])], unit[1]) if unit else ([number], end)

    def _sign_before_blank(self, pos: int, start: int) -> bool:
        """Whether a sign with a blank behind it is one: nothing else can stand here, or it is a temperature that begins a line."""
        if self._text[pos] in "−±":
            return not re.search(r"[\w)\]]\s*$", self._text[max(0, pos - 8) : pos])
        if _OPENS.search(self._text[max(0, pos - 8) : pos]):
            return True
        line = self._text[self._text.rfind("\n", 0, pos) + 1 : pos]
        found = numbers.amount_at(self._text, start, self._language)
        last = found[0][-1] if found else None
        return not line.strip() and isinstance(last, Quantity) and last.unit in ("°C", "°F", "°", "K", "dB", "dBm")

    def _dash(self, pos: int) -> Read:
        text, char = self._text, self._text[pos]
        arrow = _SIGNS.match(text, pos)
        if arrow is not None and len(arrow[0]) > 1:
            return [Symbol(WRITTEN[arrow[0]])], arrow.end()
        if char == "−" or (text[pos + 1 : pos + 2] in tuple("∞√π(") and not text[pos - 1 : pos].isalnum()):
            return [Symbol("minus")], pos + 1
        before, after = text[pos - 1 : pos], text[pos + 1 : pos + 2]
        if char in "-–" and not after.isalnum() and _BLOOD.search(text, max(0, pos - 16), pos):
            return [Symbol("minus")], pos + 1
        if char in "-–" and before.isalnum() and after.isalnum():
            if char == "–" and before.isalpha() and after.isalpha():
                return self._joined(pos)
            return [Symbol("dash")], pos + 1
        if before and before not in f"{_DASHES}\n" and _LINE_ENDS.match(text, pos + 1):
            return [Symbol("dash")], pos + 1  # the pole of a battery: V-
        if char == "-" and (after.isalnum() or before.isalnum()):
            return [Symbol("dash")], pos + 1
        return [Pause(",")], pos + 1

    def _joined(self, pos: int) -> Read:
        """A long dash between two words without blanks."""
        days = self._language.days_and_months
        before, after = self._word_before(pos), _LETTERS.match(self._text, pos + 1)
        rise = before in days and after is not None and after[0].lower() in days
        return ([Symbol("to")] if rise else [Pause(",")]), pos + 1

    def _other_sign_at(self, pos: int, char: str) -> Read | None:
        text, language = self._text, self._language
        if (
            char in ".,"
            and _FRACTIONAL.match(text, pos)
            and not text[pos - 1 : pos].isalnum()
            and char == "."
            and text[pos - 1 : pos] != "."
        ):
            return self._fractional(pos)
        if char in "€$£¥" and (currency := numbers.currency_at(text, pos)) is not None:
            return self._amount(currency[1], "", "", currency[0])
        if char == "#" and (match := _HASHED.match(text, pos)) is not None:
            named = names.code(match[1], language) if re.search(r"\d", match[1]) else names.part(match[1], language)
            return [Symbol("number" if match[1][0].isdecimal() else "hash"), *named], match.end()
        if char == "№" and (match := _NUMBER_SIGN.match(text, pos)) is not None:
            return [Symbol("number")], match.end()
        if char == "(" and (phone := names.phone_at(text, pos)) is not None:
            return phone
        if char == ":":
            return self._colon(pos)
        if (
            char in "°º%‰€$£¥"
            and (name := units.named("°C" if text[pos : pos + 2] in ("°C", "ºC") else char)) is not None
        ):
            return [Unit(name)], pos + (2 if name == "°C" else 1)
        if char in "²³":
            return [Symbol("power"), Number("2" if char == "²" else "3")], pos + 1
        if char == "⁄" or (char == "/" and _OVER.search(text[max(0, pos - 12) : pos]) and _UNDER.match(text, pos + 1)):
            return [Symbol("over")], pos + 1
        if char == "^" and (match := _RAISED.match(text, pos)) is not None:
            exponent: Piece = (
                Spelled("n")
                if match[2] == "n"
                else Number(match[2], sign="minus" if match[1] in ("-", "−") and match[1] else "")
            )
            return [Symbol("power"), exponent], match.end()
        if char == "~" and re.match(r"~ ?[-−+]?\d", text[pos : pos + 4]):
            return [Symbol("about")], pos + 1
        if char in "'\"" and text[pos - 1 : pos].isdecimal() and self._is_prime(pos, char):
            return [Symbol("prime" if char == "'" else "double_prime")], pos + 1
        if char == "." and (match := _DOTS.match(text, pos)) is not None:
            return [Pause(".")], match.end()
        return None

    def _is_prime(self, pos: int, char: str) -> bool:
        line = self._text[self._text.rfind("\n", 0, pos) + 1 : pos]
        return line.count(char) % 2 == 0

    def _colon(self, pos: int) -> Read | None:
        text = self._text
        if text.startswith("::", pos):
            found = names.colons_at(text, pos)
            return found or ([Symbol("colon"), Symbol("colon")], pos + 2)
        before, after = text[pos - 1 : pos], text[pos + 1 : pos + 2]
        if before.isdecimal() and after.isdigit():
            return [Symbol("colon")], pos + 1
        return None

    def _written(self, pos: int, match: re.Match[str]) -> Read:
        text, written, end = self._text, match[0], match.end()
        name = WRITTEN[written]
        if written in ("**", "*") and self._between_numbers(pos, end):
            name = "times" if written == "*" else "power"
        if written == "_" and text[pos - 1 : pos].isalpha() and text[end : end + 1].isalpha():
            return [], end
        if written == "<-" and text[end : end + 1].isdecimal():
            return [Symbol("less")], pos + 1  # and the sign of the number
        if written in ("=>", "<=>") and re.match(r"\s*[-−]?\d", text[end : end + 4]) and written == "=>":
            return [Symbol("equals"), Symbol("more")], end
        if written == "<" and (closing := _ANGLED.match(text, pos)):
            inner = Reader(closing[1], self._language, self._abbreviations).read()
            return [Pause(","), *inner, Pause(",")], closing.end()
        if written == "/" and text[pos - 1 : pos].isspace() and text[end : end + 1].isspace():
            return [Symbol("slash")], end
        return [Symbol(name)], end

    def _pause(self, pos: int, char: str) -> Read:
        mark = _PAUSES[char]
        if mark == "." and _SMALL_FOLLOWS.match(self._text, pos + 1):
            mark = ","  # of an abbreviation that nobody knows
        end = pos + 1
        if mark in "!?" and mark:
            while self._text[end : end + 1] in ("!", "?") and end < len(self._text):
                mark = "?" if self._text[end] == "?" else mark
                end += 1
        if char in '"(' and self._text[end : end + 1].isspace():
            end += 0
        return ([Pause(mark)] if mark else []), end
