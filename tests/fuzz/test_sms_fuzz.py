"""Any octets at all into the SMS parsers: no exception escapes, no bound is passed, no text is lost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.outcome import Receipt
from channels.sms.concatenation import split_udh
from channels.sms.encoding import Alphabet, decode, segment
from channels.sms.folding import fold_lookalikes
from channels.sms.smpp.receipt import IdRule, canonical_id, parse_receipt

OCTETS = st.binary(max_size=300)
RECEIPT_WORDS = st.sampled_from(
    [
        *("id:", "ID:", "sub:", "dlvrd:", "submit date:", "donedate:", "stat:", "err:", "text:", "DELIVRD", "UNDELIV"),
        *("0123", "beef", " ", "  ", ":", "\x00", ",", "\r\n", "é", "\ud800", "٣", "0" * 70),
    ]
)
RECEIPT_TEXTS = st.one_of(OCTETS, st.text(max_size=200), st.lists(RECEIPT_WORDS, max_size=30).map("".join))
TLVS = st.dictionaries(st.sampled_from([0x001E, 0x0423, 0x0424, 0x0427, 0x0005]), st.binary(max_size=70))


@settings(deadline=None)
@given(OCTETS, st.integers(min_value=0, max_value=0xFF), st.sampled_from(Alphabet), st.booleans())
def test_decode_takes_anything(octets: bytes, data_coding: int, default: Alphabet, packed: bool) -> None:
    text = decode(octets, data_coding, default_alphabet=default, packed=packed)
    text.encode()  # no lone surrogate comes out
    assert len(text) <= len(octets) * 8 // 7 + 1


@settings(deadline=None)
@given(OCTETS)
def test_split_udh_takes_anything(octets: bytes) -> None:
    concatenation, rest = split_udh(octets)
    assert octets.endswith(rest)
    if concatenation is None:
        assert len(rest) == len(octets) or len(octets) - len(rest) == octets[0] + 1
    else:
        assert 1 <= concatenation.n <= concatenation.total <= 255
        assert 0 <= concatenation.reference <= 0xFFFF


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=0xFF), RECEIPT_TEXTS, TLVS, st.text(max_size=20), st.sampled_from(IdRule))
def test_parse_receipt_takes_anything(
    esm_class: int, text: bytes | str, tlvs: dict[int, bytes], source: str, rule: IdRule
) -> None:
    receipt = parse_receipt(esm_class=esm_class, text=text, tlvs=tlvs, source=source, id_rule=rule)
    if receipt is None:
        assert esm_class & 0x3C not in (0x04, 0x08, 0x10, 0x20, 0x24)
        return
    assert isinstance(receipt, Receipt)
    ids = receipt.provider_message_ids
    assert len(ids) == len(set(ids)) <= 18
    assert all(id_ and len(id_) <= 80 and "\x00" not in id_ for id_ in ids)
    assert len(receipt.raw) <= 500
    assert receipt.code == receipt.code.lower()
    assert 1 <= len(receipt.code) <= 32
    assert len(receipt.detail) <= 200


@settings(deadline=None)
@given(OCTETS)
def test_canonical_id_takes_anything(raw: bytes) -> None:
    id_ = canonical_id(raw)
    assert len(id_) <= 64
    assert "\x00" not in id_
    assert canonical_id(id_.encode("latin-1") + b"\x00") == id_


SURROGATES = st.characters(categories=["Cs"])


@settings(deadline=None)
@given(
    st.text(alphabet=st.one_of(st.characters(), SURROGATES, st.sampled_from("€[]é’…\u200d\u0301🇫😀")), max_size=400),
    st.sampled_from(Alphabet),
    st.sampled_from(["udh", "sar", "payload"]),
)
def test_segments_joined_are_the_text(text: str, default: Alphabet, concatenation: str) -> None:
    cut = segment(text, default_alphabet=default, concatenation=concatenation)  # type: ignore[arg-type]  # sampled
    shown = "".join(decode(part.octets, cut.data_coding, default_alphabet=default) for part in cut.segments)
    assert shown == "".join(part.text for part in cut.segments)
    assert shown == text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
    fold_lookalikes(text)


@pytest.mark.parametrize(
    "hostile",
    [
        lambda: parse_receipt(
            esm_class=4, text="id :" * 100_000, tlvs={0x001E: b"9" * 65_000}, source="", id_rule=IdRule.ANY
        ),
        lambda: parse_receipt(esm_class=4, text="submit date" * 100_000, tlvs={}, source="", id_rule=IdRule.ANY),
        lambda: split_udh(b"\xff" + b"\x00\x00" * 30_000),
        lambda: decode(b"\x1b" * 65_535, 0),
        lambda: decode(b"\xaa" * 65_535, 0, packed=True),
        lambda: segment("e\u0301" * 8_000),
    ],
)
def test_the_largest_input_costs_little(hostile: Callable[[], object]) -> None:
    before = time.process_time()
    hostile()
    assert time.process_time() - before < 1  # quadratic work on 64 KiB would take minutes
