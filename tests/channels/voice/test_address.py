"""Voice addresses as people write them, as they are stored, and as a trunk wants numbers dialled."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.channel import InvalidAddressError
from channels.voice.address import DialForm, VoiceAddress, dialled, parse

DOMAINS = frozenset({"example.org", "192.0.2.1", "2001:db8::1"})


def canonical(raw: str, region: str | None = None) -> str:
    return str(parse(raw, default_region=region, allowed_domains=DOMAINS))


@pytest.mark.parametrize(
    ("raw", "region", "expected"),
    [
        ("+33612345678", None, "+33612345678"),
        (" +33 6 12-34.56/78 ", None, "+33612345678"),
        ("+33 (0)1 40 00 00 00", None, "+33140000000"),
        ("+44 (0)20 7946 0018", "FR", "+442079460018"),
        ("+٣٣٦١٢٣٤٥٦٧٨", None, "+33612345678"),
        ("+33612345678", "US", "+33612345678"),
        ("0033612345678", "FR", "+33612345678"),
        ("0612345678", "FR", "+33612345678"),
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("33612345678", "FR", "+33612345678"),
        ("٠٦١٢٣٤٥٦٧٨", "FR", "+33612345678"),
        ("06 698 12345", "IT", "+390669812345"),  # the zero stays
        ("0033612345678", "IT", "+33612345678"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("030 123456", "DE", "+4930123456"),
        ("011 33 6 12 34 56 78", "US", "+33612345678"),
        ("650 253 0000", "US", "+16502530000"),
        ("8 495 123 45 67", "RU", "+74951234567"),
        ("tel:+33612345678", None, "+33612345678"),
        ("TEL:0612345678", "FR", "+33612345678"),
    ],
)
def test_numbers_are_stored_in_one_form(raw: str, region: str | None, expected: str) -> None:
    assert canonical(raw, region) == expected
    assert canonical(expected, region) == expected
    address = parse(raw, default_region=region, allowed_domains=frozenset())
    assert address == VoiceAddress(number=expected)


@pytest.mark.parametrize(
    ("raw", "region", "extension", "keys"),
    [
        ("4711", None, "4711", ""),
        ("4711", "FR", "4711", ""),
        ("47-11", "FR", "4711", ""),
        ("tel:4711", "FR", "4711", ""),
        ("123456", "FR", "123456", ""),  # the longest beside national numbers
        ("1", None, "1", ""),
        ("*21#", "FR", "*21#", ""),
        ("123456789012", None, "123456789012", ""),  # without a country there are no national numbers
        ("4711;ext=12#", "FR", "4711", "12#"),
    ],
)
def test_extensions_of_the_exchange(raw: str, region: str | None, extension: str, keys: str) -> None:
    address = parse(raw, default_region=region, allowed_domains=frozenset())
    assert address == VoiceAddress(extension=extension, keys=keys)
    assert canonical(str(address), region) == str(address)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("+33140000000;ext=42", "+33140000000;ext=42"),
        ("+33 1 40 00 00 00;EXT=*1#", "+33140000000;ext=*1#"),
        ("tel:+33140000000;ext=" + "1" * 20, "+33140000000;ext=" + "1" * 20),
        ("01 40 00 00 00;ext=0", "+33140000000;ext=0"),
    ],
)
def test_keys_behind_a_number(raw: str, expected: str) -> None:
    assert canonical(raw, "FR") == expected
    assert canonical(expected, "FR") == expected


@pytest.mark.parametrize("keys", ["", "4x", " 4", "1" * 21, "4;ext=5", "٤", "4\n5", "p4"])
def test_keys_that_no_phone_has_are_refused(keys: str) -> None:
    with pytest.raises(InvalidAddressError, match="1 to 20 digits after ;ext="):
        canonical(f"+33140000000;ext={keys}")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("sip:anna@example.org", "sip:anna@example.org"),
        (" sip:anna@example.org ", "sip:anna@example.org"),
        ("SIP:anna@example.org", "sip:anna@example.org"),
        ("sips:anna@example.org", "sips:anna@example.org"),
        ("sip:anna:secret@example.org", "sip:anna@example.org"),  # a password has no place in an address
        ("sip:+33612345678@example.org:5070", "sip:+33612345678@example.org:5070"),
        ("sip:anna@192.0.2.1", "sip:anna@192.0.2.1"),
        ("sip:anna@[2001:db8::1]:5060", "sip:anna@[2001:db8::1]:5060"),
        ("sip:a%0d%0ab@example.org", "sip:a%0D%0Ab@example.org"),  # it stays escaped: nothing gets into a header
    ],
)
def test_sip_addresses_of_allowed_domains(raw: str, expected: str) -> None:
    assert canonical(raw) == expected
    assert canonical(expected) == expected
    assert parse(raw, default_region="FR", allowed_domains=DOMAINS) == VoiceAddress(uri=expected)


@pytest.mark.parametrize(
    "raw",
    [
        "sip:anna@other.org",
        "sip:anna@example.org.evil.test",
        "sip:anna@sub.example.org",
        "sip:anna@example.org@other.org",
        "sip:anna@192.0.2.2",
        "sips:anna@other.org",
        "SIP:anna@OTHER.ORG",
    ],
)
def test_sip_addresses_of_other_domains_are_refused(raw: str) -> None:
    with pytest.raises(InvalidAddressError, match="not among the allowed_domains"):
        canonical(raw)
    with pytest.raises(InvalidAddressError):
        parse("sip:anna@example.org", default_region=None, allowed_domains=frozenset())


@pytest.mark.parametrize("domain", ["example.org", "EXAMPLE.ORG", "Example.Org"])
def test_the_case_of_a_domain_does_not_matter_to_what_is_allowed(domain: str) -> None:
    assert canonical(f"sip:anna@{domain}").lower() == "sip:anna@example.org"


@pytest.mark.parametrize(
    ("raw", "region"),
    [
        ("", None),
        ("   ", "FR"),
        ("+", None),
        ("0", "FR"),
        ("00", "FR"),
        ("0612345678", None),
        ("0033612345678", None),
        ("1234567890123", None),
        ("1234567", "FR"),  # longer than an extension, shorter than a number
        ("06 12 34", "FR"),
        ("+33 6 12 34", None),
        ("+3361234567890123456", None),
        ("+999123456789", None),
        ("+0612345678", None),
        ("+1800FLOWERS", None),
        ("anna", None),
        ("anna@example.org", None),
        ("mailto:anna@example.org", None),
        ("+33612345678;isub=1", None),
        ("+33612345678\r\nX: y", None),
        ("+33612345678 ext 5", None),
        ("*31#0612345678", "FR"),
        ("sip:", None),
        ("sip:example.org", None),
        ("sip:@example.org", None),
        ("sip:anna@example.org?Subject=x", None),
        ("sip:anna@", None),
        ("sip:100&SIP/trunk/0899701234@example.org", None),  # two destinations in the dial plan of an exchange
        ("sip:112%2Fx@example.org", None),
        ("sip:100%7Cx@example.org", None),
        ("sip:tel%3a112@example.org", None),
        ("sip:urn%3aservice%3asos@example.org", None),
        ("sip:%24%7BEXTEN%7D@example.org", None),
        ("sip:an na@example.org", None),
        ("sip:anna@example.org:0", None),
        ("sip:anna@example.org:70000", None),
        ("sip:" + "a" * 300 + "@example.org", None),
        ("+33612345678" + " " * 300 + "1", None),
        ("²²²", None),
    ],
)
def test_refused_with_what_was_expected(raw: str, region: str | None) -> None:
    with pytest.raises(InvalidAddressError, match=r"expected|no number of its country") as refusal:
        canonical(raw, region)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    ("number", "form", "country", "expected"),
    [
        ("+33612345678", "+", "FR", "+33612345678"),
        ("+33612345678", "+", None, "+33612345678"),
        ("+33612345678", "00", "FR", "0033612345678"),
        ("+33612345678", "00", None, "0033612345678"),
        ("+33612345678", "0", "FR", "0612345678"),
        ("+442079460018", "0", "FR", "00442079460018"),
        ("+262692123456", "0", "FR", "00262692123456"),  # Réunion has a code of its own
        ("+442079460018", "0", "GB", "02079460018"),
        ("+441534123456", "0", "GB", "01534123456"),  # Jersey shares Britain's
        ("+4930123456", "0", "DE", "030123456"),
        ("+390669812345", "0", "IT", "0669812345"),  # the zero is the number's own
        ("+393331234567", "0", "IT", "3331234567"),
        ("+34912345678", "0", "ES", "912345678"),
        ("+4532123456", "0", "DK", "32123456"),
        ("+3612345678", "0", "HU", "0612345678"),
        ("+74951234567", "0", "RU", "84951234567"),
        ("+16502530000", "0", "US", "16502530000"),
        ("+2250102030405", "0", "CI", "0102030405"),
        ("+80012345678", "0", "FR", "0080012345678"),
    ],
)
def test_dialled(number: str, form: DialForm, country: str | None, expected: str) -> None:
    assert dialled(number, form, country) == expected


@pytest.mark.parametrize("region", ["FR", "DE", "GB", "IT", "ES", "CH", "BE", "US", "DK", "PL", "NL"])
def test_what_is_dialled_in_a_country_is_the_same_number_there(region: str) -> None:
    for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
        example = phonenumbers.example_number_for_type(region, kind)
        assert example is not None
        number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        assert canonical(dialled(number, "0", region), region) == number
        if region != "US":  # where 00 is no prefix
            assert canonical(dialled(number, "00", region), region) == number


@settings(deadline=None, max_examples=300)
@given(
    st.text(max_size=60) | st.text(alphabet="sip:tel+0123456789;ext=@example.org*# ()-/.,%", max_size=40),
    st.sampled_from([None, "FR", "US", "IT", "XX"]),
)
def test_anything_written_is_canonical_or_refused(raw: str, region: str | None) -> None:
    try:
        address = parse(raw, default_region=region, allowed_domains=DOMAINS)
    except InvalidAddressError:
        return
    assert [bool(address.number), bool(address.extension), bool(address.uri)].count(True) == 1
    assert parse(str(address), default_region=region, allowed_domains=DOMAINS) == address
    assert str(address).isprintable()
    assert not any(character.isspace() for character in str(address))


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(["FR", "GB", "IT"]), st.from_regex(r"\+[1-9][0-9]{6,13}(;ext=[0-9*#]{1,5})?", fullmatch=True))
def test_a_stored_number_is_the_same_wherever_it_is_read(region: str, raw: str) -> None:
    try:
        stored = canonical(raw)
    except InvalidAddressError:
        return
    assert canonical(stored, region) == stored
