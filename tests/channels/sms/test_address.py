"""Addresses as people write them, senders as settings name them, and both as SMPP carries them."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.channel import InvalidAddressError
from channels.sms.address import SmppAddress, from_smpp, parse, source_address, to_smpp


@pytest.mark.parametrize(
    ("raw", "region", "canonical"),
    [
        ("+33612345678", None, "+33612345678"),
        (" +33 6 12-34.56 78 ", None, "+33612345678"),
        ("+44 (0)20 7946 0018", None, "+442079460018"),
        ("0911234567", "HR", "+385911234567"),
        ("00385911234567", "HR", "+385911234567"),
        ("385911234567", "HR", "+385911234567"),
        ("+385911234567", "FR", "+385911234567"),
        ("+٣٣٦١٢٣٤٥٦٧٨", None, "+33612345678"),
        ("112", None, "112"),
        ("112", "HR", "112"),
        ("12345", "FR", "12345"),
        ("123456", None, "123456"),
        ("٣٦٦٣٠", None, "36630"),
    ],
)
def test_understood(raw: str, region: str | None, canonical: str) -> None:
    assert parse(raw, region) == canonical
    assert parse(canonical, region) == canonical


@pytest.mark.parametrize(
    ("raw", "region"),
    [
        ("", None),
        ("   ", "FR"),
        ("0911234567", None),
        ("385911234567", None),
        ("+385112", None),  # a short code has no country code
        ("+33 6 12 34", None),
        ("06 12 34", "FR"),  # the beginning of a number, not a short code
        ("+336123456789012345", None),
        ("+0612345678", None),
        ("+999123456789", None),
        ("2530000", "US"),  # possible only within an area that nobody named
        ("+33612345678;ext=5", None),
        ("+33612345678 x5", None),
        ("+1800FLOWERS", None),
        ("desk@pbx", None),
        ("+33612345678" + " " * 5 + "0" * 100, None),
        ("²²²", None),
        ("+33\x00612345678", None),
    ],
)
def test_refused_with_what_was_expected(raw: str, region: str | None) -> None:
    with pytest.raises(InvalidAddressError, match=r"expected|length"):
        parse(raw, region)


def test_the_example_number_of_every_country_is_understood() -> None:
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if number is None:
            continue
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        assert parse(e164, None) == e164, region
        international = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        assert parse(international, None) == e164, region
        address = to_smpp(e164)
        assert (address.ton, address.npi, from_smpp(address.ton, address.npi, address.digits)) == (1, 1, e164)


def test_smpp_forms() -> None:
    assert to_smpp("+33612345678") == SmppAddress(ton=1, npi=1, digits="33612345678")
    assert to_smpp("36630") == SmppAddress(ton=3, npi=0, digits="36630")
    for other in ("", "33612345678", "ALERT", "+12", "+33 612345678"):
        with pytest.raises(InvalidAddressError):
            to_smpp(other)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", SmppAddress(ton=0, npi=0, digits="")),
        ("+33612345678", SmppAddress(ton=1, npi=1, digits="33612345678")),
        ("+33 6 12 34 56 78", SmppAddress(ton=1, npi=1, digits="33612345678")),
        ("36630", SmppAddress(ton=3, npi=0, digits="36630")),
        ("ALERT", SmppAddress(ton=5, npi=0, digits="ALERT")),
        ("Usine 3-Nord", None),  # twelve
        ("Usine3-Nord", SmppAddress(ton=5, npi=0, digits="Usine3-Nord")),
        ("A@b_$ &!?/#", SmppAddress(ton=5, npi=0, digits="A@b_$ &!?/#")),
        ("Tower[123]", None),  # twelve septets
        ("Tower[12]", SmppAddress(ton=5, npi=0, digits="Tower[12]")),
        ("SÉCURITÉ", None),  # the field is ASCII
        ("a`b", None),
        ("a\tb", None),
        ("0612345678", SmppAddress(ton=0, npi=1, digits="0612345678")),
        ("33612345678", SmppAddress(ton=0, npi=1, digits="33612345678")),
        ("1" * 20, SmppAddress(ton=0, npi=1, digits="1" * 20)),
        ("1" * 21, None),
        ("12-34", None),
        ("+ALERT", None),
        ("+123", None),
        ("A" * 1000, None),
    ],
)
def test_senders(raw: str, expected: SmppAddress | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="expected"):
            source_address(raw)
    else:
        assert source_address(raw) == expected


@pytest.mark.parametrize(
    ("ton", "npi", "digits", "address"),
    [
        (1, 1, "33612345678", "+33612345678"),
        (1, 1, "+33612345678", "+33612345678"),
        (1, 0, "0033612345678", "+33612345678"),
        (1, 1, "36630", "36630"),
        (1, 1, "ALERT", "ALERT"),
        (0, 0, "33612345678", "33612345678"),
        (2, 1, "0612345678", "0612345678"),
        (3, 0, "36630", "36630"),
        (5, 0, "MyBank", "MyBank"),
        (1, 1, "", ""),
        (255, 255, "x\x00", "x"),
    ],
)
def test_from_smpp(ton: int, npi: int, digits: str, address: str) -> None:
    assert from_smpp(ton, npi, digits) == address


@settings(deadline=None)
@given(st.text(max_size=60), st.sampled_from([None, "FR", "US", "XX", ""]))
def test_anything_written_is_canonical_or_refused(raw: str, region: str | None) -> None:
    try:
        canonical = parse(raw, region)
    except InvalidAddressError:
        return
    address = to_smpp(canonical)
    assert from_smpp(address.ton, address.npi, address.digits) == canonical
    assert len(address.digits) <= 15


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_sender_fits_the_field_or_is_refused(raw: str) -> None:
    try:
        address = source_address(raw)
    except ValueError:
        return
    assert address.digits.isascii()
    assert len(address.digits) <= 20
