"""Envelope ids, xtext and the tagged sender."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.envelope import BASE_LOCAL_PART_MAX, envelope_id, tag_of, tagged_sender, xtext, xtext_decoded


@pytest.mark.parametrize("reference", ["dlv_01J9ZQ", "a", "0-9_Z", "x" * 40])
def test_a_plain_reference_is_its_own_id(reference: str) -> None:
    assert envelope_id(reference) == reference


@pytest.mark.parametrize("reference", ["", "x" * 41, "a b", "a+b", "a=b", "a.b", "é", "a\r\nb", "<a@b>", "\ud800"])
def test_any_other_reference_becomes_a_safe_digest(reference: str) -> None:
    assert re.fullmatch(r"h[0-9a-f]{32}", envelope_id(reference))


@given(st.text(), st.text())
def test_ids_are_stable_safe_and_tell_references_apart(one: str, other: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", envelope_id(one))
    assert (envelope_id(one) == envelope_id(other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("dlv_01", "dlv_01"),
        ("a+b=c", "a+2Bb+3Dc"),
        ("duty+x@example.org", "duty+2Bx@example.org"),
        (" ", "+20"),
        ("é", "+C3+A9"),
    ],
)
def test_xtext(text: str, encoded: str) -> None:
    assert xtext(text) == encoded
    assert xtext_decoded(encoded) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_xtext_is_printable_ascii_and_reversible(text: str) -> None:
    assert all(33 <= ord(c) <= 126 and c != "=" for c in xtext(text))
    assert xtext_decoded(xtext(text)) == text


@given(st.text())
def test_decoding_never_raises(text: str) -> None:
    xtext_decoded(text)


def test_what_is_no_xtext_stays() -> None:
    assert xtext_decoded("a+zz+4") == "a+zz+4"


def test_the_tag_of_our_own_sender_is_found_again() -> None:
    sender = tagged_sender("bounces@example.org", "dlv_01")
    assert sender == "bounces+dlv_01@example.org"
    assert tag_of(sender, "bounces@example.org") == "dlv_01"
    assert tag_of("BOUNCES+dlv_01@Example.ORG", "bounces@example.org") == "dlv_01"


@pytest.mark.parametrize(
    ("recipient", "tag"),
    [
        ("bounces@example.org", ""),
        ("bounces+@example.org", ""),
        ("bounces+a+b@example.org", "a+b"),
        ("bounces@other.example", None),
        ("bounces+x@other.example", None),
        ("bounce@example.org", None),
        ("bouncesx@example.org", None),
        ("nobody", None),
        ("", None),
        ("<>", None),
    ],
)
def test_tags_of_recipients(recipient: str, tag: str | None) -> None:
    assert tag_of(recipient, "bounces@example.org") == tag


def test_the_longest_base_and_id_fit_in_a_local_part() -> None:
    sender = tagged_sender("b" * BASE_LOCAL_PART_MAX + "@example.org", "x" * 40)
    assert len(sender.partition("@")[0]) == 64
