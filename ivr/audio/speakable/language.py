"""What a language says for a number, a sign, a unit, a date. One file of this package for each language fills it in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ivr.audio.speakable.pieces import Number
from ivr.audio.speakable.tables import table, words

CARDINAL_DIGITS_MAX: Final = 15
"""Hundreds of millions of millions. Nobody grasps a larger number by ear: it is said digit by digit."""


EVERYWHERE: Final = words(
    """
    UTC GMT API UPS CPU GPU USB URL SMS MMS SIP DNS DHCP VPN LAN WAN VLAN IP UDP TCP HTTP HTTPS SSH SNMP SQL HVAC AC DC OS
    ID IO NVR DVR IOT ISO IEC UV IR CO OEE AHU UHT SMTP IMAP SSL TLS MPLS RTU HMI OPC EEG ECG ICU CEO ETA
    EU USA UK
    """
)
"""Words in capitals that are spelled in every language although they have a vowel; those without one always are."""


class Noun(NamedTuple):
    """A word that is counted: one, several, and whether it is feminine."""

    one: str
    many: str
    feminine: bool = False


def nouns(text: str) -> dict[str, Noun]:
    """Lines of `unit = one, several` and `, f` for what is feminine; one form alone is for both."""
    made = {}
    for unit, forms in table(text).items():
        one, many, feminine, *_ = [*forms.split(", "), "", ""]
        made[unit] = Noun(one, many or one, feminine == "f")
    return made


def no_ordinal(_number: int, _ending: str) -> str | None:
    """For languages whose ordinals are not told from numbers."""
    return None


@dataclass(frozen=True, kw_only=True, eq=False)
class Language:
    """The words of one language. What has a default is what a language may do without. Each is equal only to itself."""

    tag: str
    cardinal: Callable[[int, bool], str]
    """A number below 10 ** CARDINAL_DIGITS_MAX in words, and whether it counts something feminine."""
    digits: tuple[str, ...]
    """Zero to nine."""
    symbols: Mapping[str, str]
    """One for each of `symbols.NAMES`."""
    pictures: Mapping[str, str]
    """One for each of `symbols.PICTURES`."""
    units: Mapping[str, Noun]
    """One for each of `units.NAMES`."""
    prefixes: Mapping[str, str]
    """Kilo and the like, by symbol: `units.PREFIXES`."""
    dot: str = ""
    """Between the parts of a name, where it is not called as in a number."""
    per: str
    """Between the units of a ratio."""
    date: Callable[[int, int, str], str]
    """Day, month and the year as written, or nothing for it."""
    clock: Callable[[int, int], str]
    """Hour and minute of a time of day."""
    counted: Callable[[str], str] = lambda said: said
    """A number in words, as it stands before a noun that is not feminine: *ein* for *eins*."""
    joins: Callable[[str, str], str] = lambda prefix, noun: prefix + noun
    """A prefix and a unit as one word."""
    decimal_mark: str = "."
    groups_with: str = ""
    """A mark that groups digits although it stands alone in a number: `1,234` in English."""
    decimals_read_whole: int = 0
    """So many decimals at most are said as one number, the others digit by digit."""
    is_many: Callable[[Number], bool] = lambda number: not number.is_one
    ordinal: Callable[[int, str], str | None] = no_ordinal
    """The word for a number with one of these endings, or nothing if it is not an ordinal."""
    ordinal_endings: re.Pattern[str] | None = None
    letters: Mapping[str, str] = field(default_factory=dict)
    """Letters that an engine would take for words, as it should say them."""
    letters_inside: Mapping[str, str] = field(default_factory=dict)
    """The same for letters that are words only where something follows."""
    vowels: str = "aeiouyàáâäãåæèéêëìíîïòóôöõøœùúûüýÿ"
    """A word without any of these is spelled; with none here, no word is."""
    short_words: frozenset[str] = frozenset()
    """Words of two letters; two other letters in capitals are spelled."""
    acronyms: frozenset[str] = frozenset()
    abbreviations: Mapping[str, str] = field(default_factory=dict)
    """Small letters; for those in capitals only, write them so."""
    abbreviations_before_numbers: Mapping[str, str] = field(default_factory=dict)
    """Those that are words as well, unless a number follows."""
    places: frozenset[str] = frozenset()
    """Words whose number may have a letter behind it: in *room 3 A* it is no ampere."""
    lasting: frozenset[str] = frozenset()
    """Words before a time that lasts: in *for 5m* it is minutes."""
    before_dates: frozenset[str] = frozenset()
    """Words after which 30/11 is a day."""
    days_and_months: frozenset[str] = frozenset()
    """Between two of these a dash is a range."""
    month_first: bool | None = False
    """Whether 11/30/2026 is how dates are written; None where both orders are, and only a day above 12 tells."""
    hours_are_clock: bool = False
    """Whether 14h30 is a time of day; else it is hours and minutes."""
    sentence_articles: frozenset[str] = frozenset()
    """Single capitals that are words where a sentence begins with them."""
    names_pictures: bool = False
    """Whether the Unicode name of a sign, which is English, is a name in this language."""
