"""Concatenation headers: both forms, every part, and headers that nobody should have sent."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.sms.concatenation import HEADER_OCTETS, Concatenation, reference_for, split_udh, udh


def test_both_forms_as_on_the_wire() -> None:
    assert udh(0xAB, 3, 2, 1).hex() == "050003ab0302"
    assert udh(0xABCD, 3, 2, 2).hex() == "060804abcd0302"


def test_every_part_of_every_total_comes_back() -> None:
    for total in range(1, 256):
        for n in {1, 2, total // 2, total - 1, total} & set(range(1, total + 1)):
            for octets, reference in ((1, 0), (1, 255), (2, 0), (2, 0x1234), (2, 0xFFFF)):
                header = udh(reference, total, n, octets)  # type: ignore[arg-type]  # 1 or 2 in the table above
                assert len(header) == HEADER_OCTETS[octets]  # type: ignore[index]  # likewise
                assert split_udh(header + b"text") == (
                    Concatenation(reference=reference, total=total, n=n),
                    b"text",
                )


@pytest.mark.parametrize(
    ("reference", "total", "n", "octets"),
    [(256, 2, 1, 1), (-1, 2, 1, 1), (65536, 2, 1, 2), (1, 256, 1, 1), (1, 2, 3, 1), (1, 2, 0, 1), (1, 0, 0, 1)],
)
def test_impossible_parts_are_refused(reference: int, total: int, n: int, octets: int) -> None:
    with pytest.raises(ValueError, match=r"reference|part"):
        udh(reference, total, n, octets)  # type: ignore[arg-type]  # 1 or 2 in the table above


PORTS = "0504" + "158a0000"
PART = "0003ab0302"
TWO_OF_THREE = Concatenation(reference=0xAB, total=3, n=2)


@pytest.mark.parametrize(
    ("octets", "found", "rest"),
    [
        ("", None, ""),
        ("00", None, ""),
        ("0061", None, "61"),
        ("06" + PORTS + "61", None, "61"),  # another element alone
        ("0b" + PORTS + PART + "61", TWO_OF_THREE, "61"),  # behind another
        ("0b" + PART + PORTS + "61", TWO_OF_THREE, "61"),
        ("03" + "240101" + "61", None, "61"),  # a national shift table
        ("0a" + "0003010201" + PART + "61", TWO_OF_THREE, "61"),  # twice: the last
        ("0b" + PART + "080400070201" + "61", Concatenation(reference=7, total=2, n=1), "61"),  # both forms: the last
        ("0a" + PART + "0003ab0000" + "61", TWO_OF_THREE, "61"),  # the last makes no sense
        ("050003ab0300" + "61", None, "61"),  # number 0
        ("050003ab0304" + "61", None, "61"),  # number above the total
        ("050003ab0000" + "61", None, "61"),  # total 0
        ("040002ab03" + "61", None, "61"),  # too short for its kind
        ("050004ab0302" + "61", None, "61"),  # element longer than the header
        ("06" + PART + "24" + "61", None, "61"),  # an element without length
        ("06" + PART, None, "06" + PART),  # a length behind the end: no header at all
        ("ff61", None, "ff61"),
    ],
)
def test_headers_good_and_bad(octets: str, found: Concatenation | None, rest: str) -> None:
    assert split_udh(bytes.fromhex(octets)) == (found, bytes.fromhex(rest))


def test_a_delivery_keeps_its_reference() -> None:
    # Phones keep incomplete messages for hours: it must not change with a restart nor a release. (Values from b2sum.)
    assert (reference_for("dlv_1", 1), reference_for("dlv_1", 2)) == (200, 37548)
    assert len({reference_for(f"dlv_{n}", 1) for n in range(5000)}) == 256
    assert len({reference_for(f"dlv_{n}", 2) for n in range(5000)}) > 4700


@settings(deadline=None)
@given(st.text(max_size=50))
def test_any_delivery_has_a_reference_that_fits(text: str) -> None:
    assert 0 <= reference_for(text, 1) <= 0xFF
    assert 0 <= reference_for(text, 2) <= 0xFFFF
    assert udh(reference_for(text, 2), 2, 1, 2)


def test_a_reference_of_a_lone_surrogate_is_no_crash() -> None:
    assert 0 <= reference_for("\ud800", 1) <= 0xFF
