"""Reads what names a thing: links, mail addresses, hosts, network addresses, telephone numbers, codes, words in capitals."""

from __future__ import annotations

import re
from typing import Final

from ivr.audio.speakable.language import EVERYWHERE, Language
from ivr.audio.speakable.numbers import by_digit
from ivr.audio.speakable.pieces import Number, Pause, Piece, Spelled, Symbol, Word

Read = tuple[list[Piece], int]

ACRONYM_CHARS_MAX: Final = 6
"""A longer word without vowels is not spelled: it is from a language that reads it."""
CODE_CHARS_MAX: Final = 80
"""Twice the longest that people read out, an identifier of 36 characters."""
CODE_ENDS_CHARS: Final = 16
"""So much is said of both ends of a longer one."""

_LINK: Final = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]{1,14}://|www\.(?=\w))[^\s<>\"|]*[^\s<>\"|.,;:!?)\]}']", re.IGNORECASE
)
_AUTHORITY: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?(?:[^/?#@\s]*@)?(\[[0-9A-Fa-f:.]+\]|[^/?#:\s]*)")
_MAIL: Final = re.compile(
    r"(?:mailto:|sips?:)?([\w.%+-]{1,64})@((?:[\w-]{1,63}\.){1,20}[A-Za-z]{2,24}|[A-Za-z][\w-]+)(?!\w)"
)
_HOST: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[\w-]*[A-Za-z0-9])?\.)+(?:[a-z]{2,24}|[A-Z]{2,6})(?![\w@])(?:\.(?=\s|$))?(?::(\d{1,5})(?!\d))?",
    re.ASCII,
)
_DOTTED: Final = re.compile(r"\d+(?:\.\d+){2,}(?!\w|\.\d)(?:(:\d{1,5}(?!\d))|(/\d{1,2}(?!\d)))?")
_COLONS: Final = re.compile(r"([0-9A-Fa-f:]{3,45})(?:/\d{1,3})?(?![\w:])")
_PHONES: Final = re.compile(
    r"0\d(?:[ .\-\xa0]?\d\d){4}(?![\w]|[.,-]?\d)"
    r"|0\d{1,4}(?:[ \xa0-]\d{2,4}){2,4}(?![\w]|[.,:]\d|[ \xa0-]\d)"
    r"|[2-9]\d{2}-\d{3}-\d{4}(?![\w-])"
)
_ABROAD: Final = re.compile(r"\+(?=(?:[\d \xa0().-]*\d){9})\d[\d \xa0().-]{7,22}\d(?![\w]|[.,]\d)")
_AMERICAN: Final = re.compile(r"\([2-9]\d{2}\)[ \xa0]?\d{3}-\d{4}(?!\w)")
_CODE: Final = re.compile(r"[^\W_²³]+(?:(?:[-_]+|\.(?=\w))[^\W_²³]+|_+)*")
_WORD: Final = re.compile(r"[^\W\d_²³]+(?:['-][^\W\d_²³]+)*")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?!\w)")
_RUNS: Final = re.compile(r"[^\W\d_]+|\d+|[-_.]")
_HARDWARE: Final = re.compile(r"[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}(?![\w-])")
_LESS: Final = re.compile(r"([nN])-([1-9])(?![\w-]|[.,]\d)")
"""One less than all of them, as N+1 is one more."""
_JOINTS: Final = {"-": "dash", "_": "underscore", ".": "dot"}
_INITIALS: Final = re.compile(r"[A-Za-z]\.(?:-?[A-Za-z]\.)+(?!\w)")
_CAMEL: Final = re.compile(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Þ])|(?<=[A-ZÀ-Þ])(?=[A-ZÀ-Þ][a-zà-ÿ])")
_DIGIT: Final = re.compile(r"\d")
_LETTER: Final = re.compile(r"[^\W\d_]")


def is_spelled(word: str, language: Language) -> bool:
    """Whether a word is said letter by letter: an acronym that is known, or one that nobody can pronounce."""
    if len(word) < 2 or not language.vowels or len(word) > ACRONYM_CHARS_MAX:
        return False
    if word.isupper() and (word in EVERYWHERE or word in language.acronyms):
        return True
    if word.isupper() and len(word) == 2:
        return word.isascii() and word.lower() not in language.short_words
    lowered = word.lower()
    if not word.isupper() and not word.islower():
        return False  # St, Mr
    return word.isascii() and word.isalpha() and not any(one in language.vowels for one in lowered)


def part(word: str, language: Language) -> list[Piece]:
    """Letters of a name: a word, an acronym, or words that only capitals divide."""
    pieces: list[Piece] = []
    pieces_of = _CAMEL.split(word)
    if len(pieces_of) > 1 and max(map(len, pieces_of)) <= 2 and language.vowels:
        return [Spelled(word)]  # NOx
    for one in pieces_of:
        if len(one) == 1 or is_spelled(one, language):
            pieces.append(Spelled(one))
        elif one.isupper() and language.vowels:
            pieces.append(Word(one.lower()))
        else:
            pieces.append(Word(one))
    return pieces


def _reads(run: str, language: Language) -> bool:
    """Whether a run of letters inside a code is a word."""
    return (
        (len(run) >= (4 if run.isupper() else 3) or (run.islower() and run in language.short_words))
        and not is_spelled(run, language)
        and (not language.vowels or any(c in language.vowels for c in run.lower()))
    )


def code(text: str, language: Language) -> list[Piece]:
    """A code by character; words in it as words, the numbers beside them as numbers."""
    if len(text) > CODE_CHARS_MAX:
        return [*code(text[:CODE_ENDS_CHARS], language), Pause("."), *code(text[-CODE_ENDS_CHARS:], language)]
    pieces: list[Piece] = []
    runs = _RUNS.findall(text)
    words = [run not in _JOINTS and not run.isdigit() and _reads(run, language) for run in runs]
    for n, run in enumerate(runs):
        if run in _JOINTS:
            hyphen = n == 1 and run == "-" and runs[0].isdigit() and words[2:] == [True] and runs[2].islower()
            pieces += [] if hyphen else [Symbol(_JOINTS[run])]  # 24-hour
        elif run.isdigit():
            beside = any(words[max(0, n - 2) : n]) or (n == 0 and any(words[1:3]))
            short = len(run) <= (3 if n == 0 else 2) and run[0] != "0"
            pieces += [Number(run)] if beside and short else by_digit(run)
        elif words[n]:
            pieces += part(run, language)
        else:
            pieces.append(Spelled(run))
    return pieces


def host(name: str, language: Language) -> list[Piece]:
    """A host's name, its labels divided by *point*."""
    pieces: list[Piece] = []
    for label in name.rstrip(".").split("."):
        if pieces:
            pieces.append(Symbol("dot"))
        if _DIGIT.search(label):
            pieces += (
                [Number(label)]
                if label.isdecimal() and len(label) <= 3 and (label == "0" or label[0] != "0")
                else code(label, language)
            )
        else:
            for n, one in enumerate(re.split("([-_])", label)):
                pieces += [Symbol(_JOINTS[one])] if n % 2 else part(one, language) if one else []
    return pieces


def link_at(text: str, pos: int, language: Language) -> Read | None:
    """A link: what it leads to is said, not how it is written."""
    match = _LINK.match(text, pos)
    if match is None:
        return None
    authority = _AUTHORITY.match(match[0])
    site = authority[1].removeprefix("www.") if authority else ""
    pieces = colons(site.strip("[]")) if site.startswith("[") else host(site, language)
    return [Symbol("link"), *pieces, Pause(",")], match.end()


def mail_at(text: str, pos: int, language: Language) -> Read | None:
    """A mail address, or the address of a telephone."""
    match = _MAIL.match(text, pos)
    if match is None:
        return None
    return [*_local(match[1], language), Symbol("at"), *host(match[2], language)], match.end()


def _local(name: str, language: Language) -> list[Piece]:
    pieces: list[Piece] = []
    for one in re.split(r"([.%+_-])", name):
        if not one:
            continue
        if one in ".+_-%":
            pieces.append(Symbol({".": "dot", "+": "plus", "_": "underscore", "-": "dash", "%": "sign"}[one]))
        else:
            pieces += code(one, language) if _DIGIT.search(one) else part(one, language)
    return pieces


def host_at(text: str, pos: int, language: Language) -> Read | None:
    """A host's whole name, perhaps with a port."""
    match = _HOST.match(text, pos)
    if match is None:
        return None
    name = match[0].partition(":")[0]
    end = match.end() - (1 if name.endswith(".") else 0)
    port: list[Piece] = [Symbol("port"), *by_digit(match[1])] if match[1] else []
    return [*host(name, language), *port], end


def dotted_at(text: str, pos: int) -> Read | None:
    """Numbers between points: an address of the network, a version."""
    match = _DOTTED.match(text, pos)
    if match is None:
        return None
    numbers = match[0].partition(":")[0].partition("/")[0].split(".")
    if (
        len(numbers) >= 3
        and all(len(one) == 3 for one in numbers[1:])
        and len(numbers[0]) <= 3
        and len(numbers) < 4
        and numbers[0][0] != "0"
    ):
        return None  # 1.234.567 is one number
    pieces: list[Piece] = []
    for one in numbers:
        pieces += [Symbol("dot")] if pieces else []
        pieces += [Number(one)] if len(one) <= 3 and (one == "0" or one[0] != "0") else by_digit(one)
    if match[1]:
        pieces += [Symbol("port"), *by_digit(match[1][1:])]
    if match[2]:
        pieces += [Symbol("slash"), Number(match[2][1:])]
    return pieces, match.end()


def colons(address: str) -> list[Piece]:
    """Groups between colons, character by character."""
    pieces: list[Piece] = []
    for one in re.findall(r"[0-9A-Za-z]+|:|/|[^0-9A-Za-z:/]", address):
        if one == ":":
            pieces.append(Symbol("colon"))
        elif one == "/":
            pieces.append(Symbol("slash"))
        elif one.isalnum():
            pieces.append(Spelled(one))
    return pieces


def colons_at(text: str, pos: int) -> Read | None:
    """An IPv6 address or a hardware address."""
    match = _COLONS.match(text, pos)
    if match is None or match[1].count(":") < 2 or ":::" in match[1]:
        return None
    groups = match[1].split(":")
    if len(groups) > 9 or max(map(len, groups)) > 4 or (match[1][-1] == ":" and match[1][-2] != ":"):
        return None
    return colons(match[0]), match.end()


def phone_at(text: str, pos: int) -> Read | None:
    """A telephone number, digit by digit, in the groups in which it was written."""
    match = _PHONES.match(text, pos) or _ABROAD.match(text, pos) or _AMERICAN.match(text, pos)
    if match is None or not 7 <= len(_DIGIT.findall(match[0])) <= 15:
        return None
    pieces: list[Piece] = [Symbol("plus")] if match[0][0] == "+" else []
    groups = re.findall(r"\d+", match[0])
    if len(groups) == 1 and len(groups[0]) == 10:
        groups = [groups[0][n : n + 2] for n in range(0, 10, 2)]
    for n, group in enumerate(groups):
        pieces += [Pause(","), *by_digit(group)] if n else by_digit(group)
    return pieces, match.end()


def hardware_at(text: str, pos: int) -> Read | None:
    """The address of a network card with dashes: six pairs, none of which is a number with its unit."""
    match = _HARDWARE.match(text, pos)
    if match is None:
        return None
    pieces: list[Piece] = []
    for pair in match[0].split("-"):
        pieces += [Symbol("dash"), Spelled(pair)] if pieces else [Spelled(pair)]
    return pieces, match.end()


def code_at(text: str, pos: int, language: Language) -> Read | None:
    """A code: letters and digits in one, perhaps with dashes, underscores and points inside."""
    uuid = _UUID.match(text, pos)
    if uuid is not None:
        groups = uuid[0].split("-")
        pieces: list[Piece] = []
        for group in groups:
            pieces += [Pause(",")] if pieces else []
            for n in range(0, len(group), 4):
                pieces += [Pause(",")] if n else []
                pieces.append(Spelled(group[n : n + 4]))
        return pieces, uuid.end()
    hardware = hardware_at(text, pos)
    if hardware is not None:
        return hardware
    less = _LESS.match(text, pos)
    if less is not None:
        return [Spelled(less[1]), Symbol("minus"), *by_digit(less[2])], less.end()
    match = _CODE.match(text, pos)
    if (
        match is None
        or not _DIGIT.search(match[0])
        or not (_LETTER.search(match[0]) or "_" in match[0] or "-" in match[0])
    ):
        return None
    return code(match[0], language), match.end()


def initials_at(text: str, pos: int) -> Read | None:
    """Letters with a point behind each: *S.O.S.*"""
    match = _INITIALS.match(text, pos)
    return None if match is None else ([Spelled(re.sub("[^A-Za-z]", "", match[0]))], match.end())


def word_at(text: str, pos: int, language: Language, *, begins: bool) -> Read | None:
    """A word, or one in capitals that is spelled; `begins` where a sentence begins with it."""
    match = _WORD.match(text, pos)
    if match is None:
        return None
    word, end = match[0], match.end()
    if len(word) == 1:
        spelled = word.isupper() and word.isascii() and not _is_article(text, end, word, language, begins=begins)
        return [Spelled(word) if spelled else Word(word)], end
    if not word.isalpha():
        return _compound(word, language), end
    return part(word, language), end


def _is_article(text: str, end: int, word: str, language: Language, *, begins: bool) -> bool:
    following = text[end : end + 2]
    return (
        word in language.sentence_articles
        and (begins or word == "I")
        and following[:1] == " "
        and following[1:].islower()
    )


def _compound(word: str, language: Language) -> list[Piece]:
    """Words joined by dashes and apostrophes; joined as they were unless one of them is spelled."""
    parts = re.split("(['-])", word)
    words = parts[::2]
    if not any(
        is_spelled(one, language)
        or (one.isupper() and len(one) > 1)
        or _CAMEL.search(one)
        or (len(one) == 1 and one.isupper() and one.isascii() and parts[1:2] == ["-"])
        for one in words
    ):
        edges = {one.lower() for one in words}
        if len(words) == 2 and edges <= language.days_and_months and parts[1] == "-":
            return [Word(words[0]), Symbol("to"), Word(words[1])]
        return [Word(word)]
    pieces: list[Piece] = []
    held = ""
    for n, one in enumerate(words):
        joint_before = parts[2 * n - 1] if n else ""
        joint = parts[2 * n + 1] if 2 * n + 1 < len(parts) else ""
        if joint == "'" and len(one) <= 2:
            held += one.lower() + "'"
            continue
        if one == "s" and n and parts[2 * n - 1] == "'":
            pieces[-1:] = [_possessive(pieces[-1])]
            continue
        said = part(one, language) if one else []
        if said and pieces and joint_before == "-" and isinstance(pieces[-1], Spelled) and isinstance(said[0], Spelled):
            pieces.append(Symbol("dash"))
        if held and said:
            first = said[0]
            assert isinstance(first, Word | Spelled)
            said[:1] = [Spelled(first.text, held) if isinstance(first, Spelled) else Word(held + first.text)]
            held = ""
        pieces += said
    return [*pieces, *([Word(held)] if held else [])]


def _possessive(piece: Piece) -> Piece:
    return (
        Word(piece.text + "'s")
        if isinstance(piece, Word)
        else Spelled(piece.text + "'s", piece.before)
        if isinstance(piece, Spelled)
        else piece
    )
