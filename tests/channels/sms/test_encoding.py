"""Segments and alphabets over their whole domain: every code point, every length around every border."""

from __future__ import annotations

import math
import sys
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.sms.encoding import (
    GSM7_CHARACTERS,
    GSM7_EXTENSION,
    Alphabet,
    Concatenating,
    MessageTooLongError,
    billable_parts,
    decode,
    segment,
)

References = Literal[1, 2]
REFERENCES: tuple[References, References] = (1, 2)


def joined(text: str, reference_octets: References = 1, default: Alphabet = Alphabet.GSM7) -> str:
    """What a phone shows: every segment decoded, one after the other."""
    cut = segment(text, reference_octets=reference_octets, default_alphabet=default)
    return "".join(decode(part.octets, cut.data_coding, default_alphabet=default) for part in cut.segments)


@pytest.mark.parametrize("default", list(Alphabet))
def test_every_code_point_comes_back_as_it_was_sent(default: Alphabet) -> None:
    last = sys.maxunicode if default is Alphabet.GSM7 else 0xFFFF  # beyond that all of them mean UCS-2
    changed = [code for code in range(last + 1) if joined(chr(code), default=default) != _sendable(chr(code))]
    assert changed == []


def _sendable(character: str) -> str:
    return "\ufffd" if "\ud800" <= character <= "\udfff" else character


def test_the_gsm_alphabet_is_what_23_038_lists() -> None:
    # 128 codes less the escape, and ten in the extension table that stand for a character.
    assert len(GSM7_CHARACTERS) == 127 + 10
    assert set("^{}\\[~]|€\f") == GSM7_EXTENSION
    for outside in "çÁê`\t\x1b\u00a0“–…Ž😀":
        assert segment(outside).alphabet is Alphabet.UCS2
    vectors = {"@": "00", "Ç": "09", "Δ": "10", "_": "11", "É": "1f", "¤": "24", "¡": "40", "§": "5f", "¿": "60"}
    vectors |= {"à": "7f", "ñ": "7d", "Ω": "15", "€": "1b65", "^": "1b14", "|": "1b40", "\f": "1b0a", "\\": "1b2f"}
    assert {text: segment(text).segments[0].octets.hex() for text in vectors} == vectors


@pytest.mark.parametrize(
    ("text", "alphabet", "widths"),
    [
        ("", Alphabet.GSM7, [0]),
        ("a" * 160, Alphabet.GSM7, [160]),
        ("a" * 161, Alphabet.GSM7, [153, 8]),
        ("a" * 306, Alphabet.GSM7, [153, 153]),
        ("a" * 307, Alphabet.GSM7, [153, 153, 1]),
        ("€" * 80, Alphabet.GSM7, [160]),
        ("€" * 81, Alphabet.GSM7, [152, 10]),
        ("a" * 152 + "€" + "a" * 10, Alphabet.GSM7, [152, 12]),
        ("Ž" * 70, Alphabet.UCS2, [140]),
        ("Ž" * 71, Alphabet.UCS2, [134, 8]),
        ("Ž" * 134, Alphabet.UCS2, [134, 134]),
        ("Ž" * 135, Alphabet.UCS2, [134, 134, 2]),
        ("😀" * 35, Alphabet.UCS2, [140]),
        ("😀" * 36, Alphabet.UCS2, [132, 12]),
        ("Ž" * 66 + "😀" + "Ž" * 10, Alphabet.UCS2, [132, 24]),
    ],
)
def test_known_cases(text: str, alphabet: Alphabet, widths: list[int]) -> None:
    cut = segment(text)
    assert cut.alphabet is alphabet
    assert [len(part.octets) for part in cut.segments] == widths
    assert [part.n for part in cut.segments] == list(range(1, len(widths) + 1))
    assert "".join(part.text for part in cut.segments) == text
    assert cut.units == cut.count == len(widths)


def mixed(length: int, single: str, double: str, every: int) -> str:
    """A text of `length` characters in which every so many is one of the double width."""
    return "".join(double if every and at % every == every - 1 else single for at in range(length))


def fewest(widths: list[int], single: int, part: int) -> int:
    """How many parts it takes, told independently of the code: what is unsplittable goes where it first fits."""
    if sum(widths) <= single:
        return 1
    parts, left = 1, part
    for width in widths:
        if width > left:
            parts, left = parts + 1, part
        left -= width
    return parts


@pytest.mark.parametrize("every", [0, 1, 2, 3, 7, 76, 153])
@pytest.mark.parametrize(
    ("default", "single", "double", "limits"),
    [
        (Alphabet.GSM7, "a", "€", (160, 153, 152)),
        (Alphabet.ASCII, "a", "[", (160, 153, 152)),
        (Alphabet.GSM7, "Ž", "😀", (70, 67, 66)),
        (Alphabet.LATIN1, "a", "ç", (140, 134, 133)),
    ],
)
def test_every_length_up_to_a_thousand(
    default: Alphabet, single: str, double: str, limits: tuple[int, int, int], every: int
) -> None:
    wide = 1 if default is Alphabet.LATIN1 else 2
    for length in range(1001):
        text = mixed(length, single, double, every)
        widths = [wide if character == double else 1 for character in text]
        for reference_octets in REFERENCES:
            cut = segment(text, reference_octets=reference_octets, default_alphabet=default)
            part = limits[reference_octets]
            assert cut.count == cut.units == fewest(widths, limits[0], part), (length, reference_octets)
            for piece in cut.segments:
                taken = sum(wide if character == double else 1 for character in piece.text)
                assert taken <= (part if cut.count > 1 else limits[0])
            assert "".join(piece.text for piece in cut.segments) == text
    assert joined(text, 2, default) == text


def test_octets_never_exceed_what_a_short_message_holds() -> None:
    for text, header in (("Ž" * 500, 6), ("ç" * 500, 6)):
        for part in segment(text, default_alphabet=Alphabet.LATIN1).segments:
            assert len(part.octets) <= 140 - header


@pytest.mark.parametrize(
    ("default", "text", "alphabet", "data_coding"),
    [
        (Alphabet.GSM7, "à{", Alphabet.GSM7, 0),
        (Alphabet.LATIN1, "ç°", Alphabet.LATIN1, 0),
        (Alphabet.LATIN1, "€", Alphabet.UCS2, 8),
        (Alphabet.ASCII, "a[", Alphabet.ASCII, 0),
        (Alphabet.ASCII, "é", Alphabet.UCS2, 8),
        (Alphabet.ASCII, "`", Alphabet.UCS2, 8),
        (Alphabet.UCS2, "a", Alphabet.UCS2, 8),
    ],
)
def test_the_default_alphabet_is_used_when_it_can_write_the_text(
    default: Alphabet, text: str, alphabet: Alphabet, data_coding: int
) -> None:
    cut = segment(text, default_alphabet=default)
    assert (cut.alphabet, cut.data_coding) == (alphabet, data_coding)
    assert joined(text, default=default) == text


@pytest.mark.parametrize(
    "sign",
    ["👩\u200d🚒", "👍\U0001f3fd", "🇫🇷", "e\u0301", "1\ufe0f\u20e3", "❤\ufe0f", "🏴\U000e0067\U000e0062\U000e007f"],
)
def test_a_sign_of_several_characters_stays_whole_where_that_is_free(sign: str) -> None:
    for before in range(50, 68):
        text = "Ž" * before + sign + "ž" * 70
        parts = segment(text).segments
        assert sum(sign in part.text for part in parts) == 1, before
        assert not any(part.text.startswith("\u200d") for part in parts)


@pytest.mark.parametrize("sign", ["e\u0301", "👍\U0001f3fd", "👩\u200d🚒", "🇫🇷", "1\ufe0f\u20e3"])
def test_what_is_carried_over_to_the_next_part_is_counted_there(sign: str) -> None:
    for count in range(1, 200):
        for before in range(3):
            text = "Ž" * before + sign * count
            parts = segment(text).segments
            assert "".join(part.text for part in parts) == text
            assert all(len(part.octets) <= (134 if len(parts) > 1 else 140) for part in parts), (count, before)


def test_flags_in_a_row_are_cut_between_two_flags() -> None:
    first, second = segment("Ž" + "🇫🇷" * 20).segments
    assert (first.text, second.text) == ("Ž" + "🇫🇷" * 16, "🇫🇷" * 4)


def test_no_part_more_is_paid_to_keep_a_sign_whole() -> None:
    tight = "Ž" * 66 + "e\u0301" + "ž" * 66  # 134 units: two full parts only if the accent is cut off
    assert segment(tight).count == 2
    assert segment(tight + "ž").count == 3
    assert segment("e" + "\u0301" * 200).count == math.ceil(201 / 67)


@pytest.mark.parametrize(
    ("text", "sent"),
    [("a\ud800b", "a\ufffdb"), ("\udc00", "\ufffd"), ("x\ud83d", "x\ufffd"), ("\ud83d\ude00", "😀")],
)
def test_lone_surrogates_are_replaced(text: str, sent: str) -> None:
    assert joined(text) == sent
    assert segment(text).segments[0].text == sent


@pytest.mark.parametrize("reference_octets", REFERENCES)
@pytest.mark.parametrize(
    ("default", "character", "rooms"),
    [
        (Alphabet.GSM7, "a", (153, 152)),
        (Alphabet.GSM7, "Ž", (67, 66)),
        (Alphabet.LATIN1, "ç", (134, 133)),
    ],
)
def test_255_parts_and_no_more(
    default: Alphabet, character: str, rooms: tuple[int, int], reference_octets: References
) -> None:
    longest = character * (255 * rooms[reference_octets - 1])
    assert billable_parts(longest, default_alphabet=default, reference_octets=reference_octets) == 255
    ways: tuple[Concatenating, ...] = ("udh", "sar", "payload")
    for concatenation in ways:
        with pytest.raises(MessageTooLongError):
            segment(
                longest + character,
                default_alphabet=default,
                reference_octets=reference_octets,
                concatenation=concatenation,
            )
    with pytest.raises(MessageTooLongError):
        billable_parts(character * 10_000_000)


def test_sar_is_cut_like_udh_and_payload_is_not_cut() -> None:
    text = "a" * 1000
    assert segment(text, concatenation="sar") == segment(text, concatenation="udh")
    whole = segment(text, concatenation="payload")
    assert [part.octets for part in whole.segments] == [b"a" * 1000]
    assert (whole.count, whole.units, billable_parts(text)) == (1, 7, 7)
    assert segment("", concatenation="payload").segments[0].octets == b""
    assert billable_parts("") == 1


def _expected_group(coding: int) -> str:
    """TS 23.038 section 4, written down a second time: what the octets 0x00 0x41 read as."""
    gsm, binary, ucs2 = "@A", "\x00A", "A"
    if coding <= 0x0F:
        return {1: binary, 2: binary, 3: binary, 4: binary, 6: binary, 7: binary, 8: ucs2}.get(coding, gsm)
    if coding < 0x80:
        return binary if coding & 0x20 else (gsm, binary, ucs2, gsm)[(coding & 0x0C) // 4]
    if 0xE0 <= coding < 0xF0:
        return ucs2
    return binary if coding >= 0xF0 and coding & 0x04 else gsm


def test_every_data_coding_is_read_as_its_group() -> None:
    east_asian = {0x05, 0x0A, 0x0D, 0x0E}
    for coding in set(range(0x100)) - east_asian:
        assert decode(b"\x00\x41", coding) == _expected_group(coding), hex(coding)
    for coding, codec in ((0x05, "shift_jis"), (0x0A, "iso2022_jp"), (0x0D, "euc_jp"), (0x0E, "euc_kr")):
        text = "화재" if codec == "euc_kr" else "火災"
        assert decode(text.encode(codec), coding) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"\x1b\x65", "€"),
        (b"\x1b\x41", "A"),  # no extension there: the basic character
        (b"\x1b\x0d", "\r"),
        (b"a\x1b", "a "),
        (b"\x1b\x1b\x65", " e"),
        (b"\x1b\xff", "\ufffd"),
        (b"a\x80\xff", "a\ufffd\ufffd"),
        (b"", ""),
    ],
)
def test_gsm_escapes_and_octets_that_are_no_septets(octets: bytes, text: str) -> None:
    assert decode(octets, 0) == text


def test_what_cannot_be_read_is_marked() -> None:
    assert decode(b"\xd8\x3d\x00a", 8) == "\ufffda"
    assert decode(b"\x00a\x00", 8) == "a\ufffd"
    assert decode(b"a\xff", 1) == "a\ufffd"
    assert decode(b"a\xff", 0, default_alphabet=Alphabet.ASCII) == "a\ufffd"
    assert decode(b"\xe7", 0, default_alphabet=Alphabet.LATIN1) == decode(b"\xe7", 3) == "ç"
    assert decode(b"\x00a", 0, default_alphabet=Alphabet.UCS2) == "a"


def pack(septets: bytes) -> bytes:
    """TS 23.038 6.1.2.1.1, bit by bit."""
    bits = "".join(f"{septet:07b}"[::-1] for septet in septets)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def test_packed_septets() -> None:
    assert decode(bytes.fromhex("e8329bfd4697d9ec37"), 0, packed=True) == "hellohello"
    assert decode(bytes.fromhex("9b32"), 0, packed=True) == "\u20ac"
    for length in range(161):
        text = mixed(length, "a", "é", 5)
        assert decode(pack(segment(text).segments[0].octets), 0, packed=True) == text
    assert decode(pack(b"1234567\r"), 0, packed=True) == "1234567"  # the filling of seven characters


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from(sorted(GSM7_CHARACTERS)), max_size=700), st.sampled_from(REFERENCES))
def test_any_gsm_text_arrives_whole_and_no_escape_is_cut(text: str, reference_octets: References) -> None:
    cut = segment(text, reference_octets=reference_octets)
    assert cut.alphabet is Alphabet.GSM7
    assert joined(text, reference_octets) == text
    for part in cut.segments:
        assert not part.octets.endswith(b"\x1b")
        assert decode(part.octets, 0) == part.text


JOINING = st.sampled_from("eŽ👩🚒👍\u0301\u200d\ufe0f\u20e3\U0001f3fd\U0001f1eb\U0001f1f7")


@settings(deadline=None)
@given(st.one_of(st.text(max_size=400), st.text(alphabet=JOINING, max_size=400)), st.sampled_from(REFERENCES))
def test_any_text_arrives_whole(text: str, reference_octets: References) -> None:
    cut = segment(text + "Ž", reference_octets=reference_octets)
    assert cut.alphabet is Alphabet.UCS2
    room = 140 if cut.count == 1 else {1: 134, 2: 132}[reference_octets]
    widths = [2 if character > "\uffff" else 1 for character in text + "Ž"]
    assert cut.count == fewest(widths, 70, {1: 67, 2: 66}[reference_octets])
    for part in cut.segments:
        assert len(part.octets) <= room
        assert part.octets.decode("utf-16-be") == part.text  # strict: no pair is cut
    assert "".join(part.text for part in cut.segments) == text + "Ž"
