"""National numbers over all regions of the numbering data: none takes another country's number for its own."""

from __future__ import annotations

from itertools import product

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from channels.e164 import AmbiguousNumberError, cleaned, instead, is_assigned, read, stored
from channels.national import NEIGHBOURS

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
SHARED = [regions for regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.values() if len(regions) > 1]
FRENCH = ("FR", "GP", "BL", "MF", "GF", "MQ", "RE", "YT", "PM")
KINDS = (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE)


def dialled(region: str, kind: int) -> tuple[str, str] | None:
    """An example number of the region: as its people dial it, and as it is stored."""
    number = phonenumbers.example_number_for_type(region, kind)
    if number is None:
        return None
    return (
        phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL),
        phonenumbers.format_number(number, PhoneNumberFormat.E164),
    )


def understood(written: str, region: str) -> str | None:
    try:
        return stored(read(written, region))
    except (phonenumbers.NumberParseException, AmbiguousNumberError):
        return None


@pytest.mark.parametrize("region", REGIONS)
def test_every_region_s_own_numbers_are_its_own(region: str) -> None:
    for kind in KINDS:
        example = dialled(region, kind)
        if example is not None:
            assert understood(example[0], region) in (example[1], None)


@pytest.mark.parametrize(
    ("here", "there"), [pair for regions in SHARED for pair in product(regions, regions) if pair[0] != pair[1]]
)
def test_regions_of_one_country_code_dial_each_other(here: str, there: str) -> None:
    for kind in KINDS:
        example = dialled(there, kind)
        if example is None:
            continue
        found = understood(example[0], here)
        assert found in (example[1], None) or is_assigned(found or "")


@pytest.mark.parametrize(("here", "there"), list(product(FRENCH, FRENCH)))
def test_all_of_france_dials_all_of_france(here: str, there: str) -> None:
    for kind in KINDS:
        number = phonenumbers.example_number_for_type(there, kind)
        assert number is not None
        e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        national = phonenumbers.national_significant_number(number)
        assert understood(f"0{national}" if len(national) == 9 else f"0508{national}", here) == e164


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("048 9032 1234", "IE", "+442890321234"),
        ("02 6123 4567", "MY", "+6561234567"),
        ("03-2141 2345", "MY", "+60321412345"),
        ("020 3 2141 2345", "SG", "+60321412345"),
        ("005 712 345678", "UG", "+254712345678"),
        ("007 22 2123456", "UG", "+255222123456"),
        ("006 712 345678", "TZ", "+256712345678"),
        ("006 712 345678", "KE", "+256712345678"),
        ("0142685300", "RE", "+33142685300"),
        ("0800 12 34 56", "FR", "+33800123456"),
        ("0976 21 12 34", "FR", "+594976211234"),
        ("0975 12 34 56", "FR", "+33975123456"),
        ("00262692123456", "FR", "+262692123456"),
        ("411234", "PM", "+508411234"),
        ("020 7946 0018", "JE", "+442079460018"),
        ("06 698 12345", "IT", "+390669812345"),
        ("06 698 12345", "VA", "+390669812345"),
        ("04 1234567", "AX", "+35841234567"),
    ],
)
def test_numbers_of_neighbours(written: str, region: str, number: str) -> None:
    assert understood(written, region) == number


def test_a_number_of_several_countries_is_refused_and_says_so() -> None:
    with pytest.raises(AmbiguousNumberError, match=r"\+590976.* \+594976|\+594976.* \+590976"):
        read("0976 12 00 00", "FR")


@given(st.sampled_from(sorted(NEIGHBOURS)), st.from_regex(r"0[0-9]{6,11}", fullmatch=True))
def test_no_block_of_a_neighbour_is_stored_as_a_number_at_home(region: str, written: str) -> None:
    found = understood(written, region)
    if found is None or is_assigned(found):
        return
    assert instead(found) == "" or not found.startswith(f"+{phonenumbers.country_code_for_region(region)}")


@given(st.text(max_size=30))
def test_cleaning_twice_changes_nothing_more_and_keeps_ascii(written: str) -> None:
    once = cleaned(written)
    assert cleaned(once) == once
    assert [character for character in written if character.isascii()] == [
        character for character, given_ in zip(once, _origins(written), strict=True) if given_.isascii()
    ]


def _origins(written: str) -> list[str]:
    """The character that each one of the cleaned text comes from."""
    return [character for character in written for _ in cleaned(character)]
