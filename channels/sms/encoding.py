"""Text to SMS octets and back: alphabets, parts, counts (3GPP TS 23.038, 23.040). No headers, no PDUs, no folding."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from channels.sms.concatenation import HEADER_OCTETS, PARTS_MAX, ReferenceOctets

USER_DATA_OCTETS = 140
"""What one short message carries, header included (TS 23.040 9.2.3.24)."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""Stands for whatever cannot be sent (a lone surrogate) or read."""

DATA_CODING_DEFAULT = 0x00
DATA_CODING_UCS2 = 0x08

Concatenating = Literal["udh", "sar", "payload"]
"""Who cuts a long text: we, by headers (`udh`) or by TLVs that become headers (`sar`); or the SMSC (`payload`)."""


class Alphabet(StrEnum):
    """How characters become octets. GSM7, LATIN1 and ASCII are what an SMSC may mean by data_coding 0."""

    GSM7 = "gsm7"
    UCS2 = "ucs2"
    LATIN1 = "latin1"
    ASCII = "ascii"


class MessageTooLongError(ValueError):
    """The text needs more than the 255 parts that a concatenated message can have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """One part of a message. `n` counts from 1; `octets` is its user data without header; `text` the piece it carries.

    GSM 7-bit octets are unpacked: one septet an octet, extension characters as 0x1B and a second octet.
    """

    n: int
    octets: bytes
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Segmented:
    """A text ready to be submitted. `units` is what it counts as for money: short messages on the air, at least 1."""

    alphabet: Alphabet
    data_coding: int
    segments: tuple[Segment, ...]
    units: int

    @property
    def count(self) -> int:
        """How many submissions it takes: equal to `units`, but 1 where the SMSC does the cutting."""
        return len(self.segments)


# TS 23.038 6.2.1, by code; the escape at 0x1B is no character.
_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
_ESCAPE = 0x1B
# TS 23.038 6.2.1.1: the codes that follow an escape.
_EXTENSION = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}
GSM7_EXTENSION = frozenset(_EXTENSION.values())
"""Characters that take two septets."""
GSM7_CHARACTERS = frozenset(_BASIC.replace("\x1b", "")) | GSM7_EXTENSION
"""Everything that the GSM 7-bit default alphabet and its extension table can write."""

_ASCII_CHARACTERS = frozenset(filter(str.isascii, GSM7_CHARACTERS))
_TO_GSM7 = {ord(character): chr(code) for code, character in enumerate(_BASIC) if code != _ESCAPE} | {
    ord(character): f"\x1b{chr(code)}" for code, character in _EXTENSION.items()
}
_FROM_GSM7 = {code: _BASIC[code] if code < len(_BASIC) else REPLACEMENT for code in range(0x100)}


def segment(
    text: str,
    *,
    reference_octets: ReferenceOctets = 1,
    default_alphabet: Alphabet = Alphabet.GSM7,
    concatenation: Concatenating = "udh",
) -> Segmented:
    """Encodes a text in the default alphabet if that can write it, else in UCS-2, and cuts it into parts.

    A part holds 160 septets, 70 UTF-16 units or 140 octets; with the header of a concatenation 153 (152 with two
    reference octets), 67 (66) and 134 (133). With `sar` the SMSC builds that header, so the same limits hold; it
    chooses the size of the reference: set two octets for one that uses 16 bits. With `payload` there is one segment.
    An empty text is one segment without octets.

    Escape pairs and surrogate pairs are never cut; combining, ZWJ and variation sequences stay whole where that costs
    no part more. Lone surrogates are sent as U+FFFD. Raises MessageTooLongError above 255 parts.

    LATIN1 counts as 8-bit user data. ASCII is written by the SMSC in GSM 7-bit, so it counts septets as GSM7 does, and
    what the GSM alphabet lacks (a backtick) is sent as UCS-2. UCS2 as default alphabet sends everything as UCS-2.
    """
    text = _without_lone_surrogates(text)
    alphabet = default_alphabet if _writes(default_alphabet, text) else Alphabet.UCS2
    pieces = _cut(text, alphabet, HEADER_OCTETS[reference_octets])
    sent = (text,) if concatenation == "payload" else pieces
    return Segmented(
        alphabet=alphabet,
        data_coding=DATA_CODING_UCS2 if alphabet is Alphabet.UCS2 else DATA_CODING_DEFAULT,
        segments=tuple(
            Segment(n=n, octets=_encode(piece, alphabet), text=piece) for n, piece in enumerate(sent, start=1)
        ),
        units=len(pieces),
    )


def billable_parts(
    text: str, *, default_alphabet: Alphabet = Alphabet.GSM7, reference_octets: ReferenceOctets = 1
) -> int:
    """How many short messages the text is on the air, at least 1, whoever cuts it. Raises MessageTooLongError."""
    return segment(text, default_alphabet=default_alphabet, reference_octets=reference_octets).units


def _without_lone_surrogates(text: str) -> str:
    """The text as UTF-16 can carry it: halves of a pair that stand together are joined, others become U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode("utf-16-be")
    except UnicodeEncodeError:
        return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
    return text


def _writes(alphabet: Alphabet, text: str) -> bool:
    match alphabet:
        case Alphabet.GSM7:
            return GSM7_CHARACTERS.issuperset(text)
        case Alphabet.ASCII:
            return _ASCII_CHARACTERS.issuperset(text)
        case Alphabet.LATIN1:
            return all(character <= "\xff" for character in text)
        case Alphabet.UCS2:
            return True


def _encode(text: str, alphabet: Alphabet) -> bytes:
    match alphabet:
        case Alphabet.GSM7:
            return text.translate(_TO_GSM7).encode("latin-1")
        case Alphabet.ASCII:
            return text.encode("ascii")
        case Alphabet.LATIN1:
            return text.encode("latin-1")
        case Alphabet.UCS2:
            return text.encode("utf-16-be")


def _widths(text: str, alphabet: Alphabet) -> list[int]:
    """What each character takes, in the alphabet's unit: septets, UTF-16 units or octets."""
    match alphabet:
        case Alphabet.GSM7 | Alphabet.ASCII:
            return [2 if character in GSM7_EXTENSION else 1 for character in text]
        case Alphabet.LATIN1:
            return [1] * len(text)
        case Alphabet.UCS2:
            return [2 if character > "\uffff" else 1 for character in text]


def _room(alphabet: Alphabet, header_octets: int) -> int:
    """Units left in a short message beside a header; septets start at a septet boundary (TS 23.040 9.2.3.24)."""
    octets = USER_DATA_OCTETS - header_octets
    match alphabet:
        case Alphabet.GSM7 | Alphabet.ASCII:
            return octets * 8 // 7
        case Alphabet.LATIN1:
            return octets
        case Alphabet.UCS2:
            return octets // 2


def _cut(text: str, alphabet: Alphabet, header_octets: int) -> tuple[str, ...]:
    """The pieces of the text, one a short message. Raises MessageTooLongError."""
    if len(text) > PARTS_MAX * USER_DATA_OCTETS * 8 // 7:  # hopeless whatever the alphabet: not worth measuring
        raise MessageTooLongError(f"{len(text)} characters do not fit into {PARTS_MAX} parts")
    room = _room(alphabet, 0)
    if 2 * len(text) <= room:  # no character takes more than two units
        return (text,)
    widths = _widths(text, alphabet)
    if sum(widths) <= room:
        return (text,)
    room = _room(alphabet, header_octets)
    ends = _fill(widths, room)
    if len(ends) > PARTS_MAX:
        raise MessageTooLongError(f"the text needs {len(ends)} parts, and a message can have {PARTS_MAX}")
    if alphabet is Alphabet.UCS2:
        whole = _fill_sequences(text, widths, room)
        ends = whole if len(whole) == len(ends) else ends
    starts = (0, *ends[:-1])
    return tuple(text[start:end] for start, end in zip(starts, ends, strict=True))


def _fill(widths: Sequence[int], room: int) -> list[int]:
    """Where each part ends when every part takes as many characters as it can: the fewest parts possible."""
    ends: list[int] = []
    used = 0
    for at, width in enumerate(widths):
        if used + width > room:
            ends.append(at)
            used = 0
        used += width
    return [*ends, len(widths)]


def _fill_sequences(text: str, widths: Sequence[int], room: int) -> list[int]:
    """Where each part ends when what is shown as one sign stays together, unless it alone is more than a part."""
    joined = _joined(text)
    ends: list[int] = []
    start = sequence = 0  # where the part and the latest sequence begin
    used = used_before = 0  # units of the part, and those before the latest sequence
    for at, width in enumerate(widths):
        if not joined[at]:
            sequence, used_before = at, used
        while used + width > room:
            start = sequence if sequence > start else at
            used -= used_before if start == sequence else used
            ends.append(start)
        used += width
    return [*ends, len(widths)]


_ZERO_WIDTH_JOINER = "\u200d"


def _joined(text: str) -> list[bool]:
    """For each character, whether it belongs to the sign that the one before it began (the main cases of UAX #29)."""
    joined: list[bool] = []
    previous = ""
    flag_half_open = False
    for character in text:
        flag_half = "\U0001f1e6" <= character <= "\U0001f1ff"
        joined.append(
            bool(previous) and (_extends(character) or previous == _ZERO_WIDTH_JOINER or (flag_half and flag_half_open))
        )
        flag_half_open = flag_half and not flag_half_open
        previous = character
    return joined


def _extends(character: str) -> bool:
    """Whether it changes the character before it: a mark, a selector, a skin tone, a joiner, a tag of a flag."""
    return character >= "\u0300" and (
        character == _ZERO_WIDTH_JOINER
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
        or unicodedata.category(character).startswith("M")  # variation selectors are marks too
    )


# SMPP 3.4 section 5.2.19. The East Asian ones are read as the encoding that usually carries the named character set.
_CODECS = {
    0x01: "ascii",
    0x02: "latin-1",
    0x03: "latin-1",
    0x04: "latin-1",
    0x05: "shift_jis",
    0x06: "iso8859-5",
    0x07: "iso8859-8",
    0x08: "utf-16-be",
    0x0A: "iso2022_jp",
    0x0D: "euc_jp",
    0x0E: "euc_kr",
}


def decode(octets: bytes, data_coding: int, *, default_alphabet: Alphabet = Alphabet.GSM7, packed: bool = False) -> str:
    """The text of user data without header. Never raises: what cannot be read becomes U+FFFD.

    `data_coding` is read as SMPP 3.4 section 5.2.19 up to 0x0F (8-bit data as Latin-1, reserved values as the default
    alphabet), and as the coding groups of TS 23.038 section 4 above. `packed` says that septets are packed eight into
    seven octets (TS 23.038 6.1.2.1.1), beginning at the first bit.
    """
    coding = data_coding & 0xFF
    if coding <= 0x0F:
        if coding in _CODECS:
            return octets.decode(_CODECS[coding], "replace")
        alphabet = default_alphabet
    else:
        alphabet = _alphabet_of_group(coding)
    match alphabet:
        case Alphabet.GSM7:
            return _decode_gsm7(_unpack(octets) if packed else octets)
        case Alphabet.UCS2:
            return octets.decode("utf-16-be", "replace")
        case Alphabet.LATIN1:
            return octets.decode("latin-1")
        case Alphabet.ASCII:
            return octets.decode("ascii", "replace")


def _alphabet_of_group(coding: int) -> Alphabet:
    """The alphabet of a TS 23.038 section 4 coding; 8-bit data and compressed text as LATIN1, reserved as GSM7."""
    group = coding >> 4
    if group <= 0x7:  # general data coding, 4 to 7 marked for automatic deletion
        compressed = bool(coding & 0x20)
        by_bits = (Alphabet.GSM7, Alphabet.LATIN1, Alphabet.UCS2, Alphabet.GSM7)
        return Alphabet.LATIN1 if compressed else by_bits[coding >> 2 & 0b11]
    if group == 0xE:  # message waiting, stored, UCS-2
        return Alphabet.UCS2
    if group == 0xF:  # message class
        return Alphabet.LATIN1 if coding & 0b100 else Alphabet.GSM7
    return Alphabet.GSM7  # 0x8 to 0xB reserved, 0xC and 0xD message waiting


def _decode_gsm7(octets: bytes) -> str:
    """Septets, one an octet. An escape before a code without extension shows the basic character (TS 23.038 6.2.1.1);
    an escape before another, and one that nothing follows, is shown as a space."""
    plain = octets.decode("latin-1")
    if _ESCAPE not in octets:
        return plain.translate(_FROM_GSM7)
    shown: list[str] = []
    escaped = False
    for code in octets:
        if escaped:
            shown.append(" " if code == _ESCAPE else _EXTENSION.get(code, _FROM_GSM7[code]))
            escaped = False
        elif code == _ESCAPE:
            escaped = True
        else:
            shown.append(_FROM_GSM7[code])
    return "".join(shown) + " " * escaped


def _unpack(octets: bytes) -> bytes:
    """One septet an octet, from the lowest bit on. A last septet that may be filling, zero or a carriage return that
    ends exactly on an octet, is dropped: without a length nobody can tell it from a character (TS 23.038 6.1.2.3.1)."""
    septets = bytes(
        int.from_bytes(group, "little") >> 7 * at & 0x7F
        for group in (octets[start : start + 7] for start in range(0, len(octets), 7))
        for at in range(len(group) * 8 // 7)
    )
    return septets[:-1] if septets and len(septets) % 8 == 0 and septets[-1] in (0x00, 0x0D) else septets
