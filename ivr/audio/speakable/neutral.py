"""What is said in a language that has no file here: digits stay digits, and no sign is left to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final

from ivr.audio.speakable.english import ENGLISH
from ivr.audio.speakable.language import Language, no_ordinal

_NAMES: Final = ("minus", "plus", "equals", "less", "more", "point", "comma", "to")
_WORDS: Final[Mapping[str, str]] = {
    "nl": "min, plus, is gelijk aan, kleiner dan, groter dan, punt, komma, tot",
    "pt": "menos, mais, igual a, menor que, maior que, ponto, vírgula, a",
    "ca": "menys, més, igual a, menor que, major que, punt, coma, fins a",
    "pl": "minus, plus, równa się, mniejsze niż, większe niż, kropka, przecinek, do",
    "cs": "minus, plus, rovná se, menší než, větší než, tečka, čárka, až",
    "sk": "mínus, plus, rovná sa, menšie ako, väčšie ako, bodka, čiarka, až",
    "hr": "minus, plus, jednako, manje od, veće od, točka, zarez, do",
    "sl": "minus, plus, je enako, manj kot, več kot, pika, vejica, do",
    "sv": "minus, plus, lika med, mindre än, större än, punkt, komma, till",
    "da": "minus, plus, lig med, mindre end, større end, punktum, komma, til",
    "nb": "minus, pluss, lik, mindre enn, større enn, punktum, komma, til",
    "no": "minus, pluss, lik, mindre enn, større enn, punktum, komma, til",
    "fi": "miinus, plus, on yhtä kuin, pienempi kuin, suurempi kuin, piste, pilkku, viiva",
    "et": "miinus, pluss, võrdub, väiksem kui, suurem kui, punkt, koma, kuni",
    "hu": "mínusz, plusz, egyenlő, kisebb mint, nagyobb mint, pont, vessző, kötőjel",
    "ro": "minus, plus, egal cu, mai mic decât, mai mare decât, punct, virgulă, până la",
    "tr": "eksi, artı, eşittir, küçüktür, büyüktür, nokta, virgül, ile",
    "ru": "минус, плюс, равно, меньше чем, больше чем, точка, запятая, до",
    "uk": "мінус, плюс, дорівнює, менше ніж, більше ніж, крапка, кома, до",
    "bg": "минус, плюс, равно на, по-малко от, повече от, точка, запетая, до",
    "el": "μείον, συν, ίσον, μικρότερο από, μεγαλύτερο από, τελεία, κόμμα, έως",
}
"""The words of `_NAMES` in some languages; where a language is not here they are English, said by its voice."""
_COMPOSED: Final = {
    "plus_or_minus": "{plus} {minus}",
    "minus_or_plus": "{minus} {plus}",
    "at_least": "{more} {equals}",
    "at_most": "{less} {equals}",
}


def _date(day: int, month: int, year: str) -> str:
    return f"{day}, {month}, {year}" if year else f"{day}, {month}"


def _clock(hour: int, minute: int) -> str:
    return f"{hour} h {minute:02d}"  # a comma would make it two numbers


@lru_cache(maxsize=200)
def neutral(tag: str) -> Language:
    """Words for a language without a file."""
    words = _WORDS.get(tag)
    own = dict(zip(_NAMES, words.split(", "), strict=True)) if words else {}
    symbols = {**ENGLISH.symbols, **own}
    if own:
        symbols |= {name: form.format(**own) for name, form in _COMPOSED.items()}
    return replace(
        ENGLISH,
        tag=tag,
        digits=(),
        symbols=symbols,
        units={"°": ENGLISH.units["°"]},  # which some voices leave out
        per="/",
        date=_date,
        clock=_clock,
        groups_with="",
        ordinal=no_ordinal,
        ordinal_endings=None,
        vowels="",
        acronyms=frozenset(),
        abbreviations={},
        abbreviations_before_numbers={},
        places=frozenset(),
        lasting=frozenset(),
        before_dates=frozenset(),
        days_and_months=frozenset(),
        month_first=False,
        sentence_articles=frozenset(),
        letters={},
        names_pictures=False,
    )
