"""Receipts: every state, every quirk seen in the field, every id rule."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from channels.outcome import Receipt, ReceiptDelivered, ReceiptFailed, ReceiptIntermediate
from channels.sms.smpp.receipt import IdRule, canonical_id, parse_receipt, parse_unmarked_receipt

RECEIPT = 0x04
ID, STATE, PAYLOAD, NETWORK_ERROR = 0x001E, 0x0427, 0x0424, 0x0423
STANDARD = "id:0123456789 sub:001 dlvrd:001 submit date:2403011200 done date:2403011201 stat:DELIVRD err:000 text:Fire"
DELIVERED, FAILED, INTERMEDIATE = ReceiptDelivered(), ReceiptFailed(), ReceiptIntermediate()


def read(
    text: bytes | str = STANDARD,
    tlvs: Mapping[int, bytes] | None = None,
    esm_class: int = RECEIPT,
    rule: IdRule = IdRule.EXACT,
) -> Receipt:
    receipt = parse_receipt(esm_class=esm_class, text=text, tlvs=tlvs or {}, source="33612345678", id_rule=rule)
    assert receipt is not None
    return receipt


def test_the_form_of_appendix_b() -> None:
    assert read() == Receipt(
        provider_message_ids=("0123456789",),
        result=DELIVERED,
        code="delivered",
        detail="err:000",
        address="33612345678",
        raw=STANDARD,
        at=None,
    )
    assert read(STANDARD.encode()) == read()


STATES = [
    (0, "SCHEDULED", "scheduled", INTERMEDIATE),
    (1, "ENROUTE", "en_route", INTERMEDIATE),
    (2, "DELIVRD", "delivered", DELIVERED),
    (3, "EXPIRED", "expired", FAILED),
    (4, "DELETED", "deleted", FAILED),
    (5, "UNDELIV", "undeliverable", FAILED),
    (6, "ACCEPTD", "accepted", INTERMEDIATE),
    (7, "UNKNOWN", "unknown", INTERMEDIATE),
    (8, "REJECTD", "rejected", FAILED),
    (9, "SKIPPED", "skipped", FAILED),
]


@pytest.mark.parametrize(("value", "stat", "word", "result"), STATES)
def test_every_state_by_tlv_and_by_text(
    value: int, stat: str, word: str, result: ReceiptDelivered | ReceiptFailed | ReceiptIntermediate
) -> None:
    by_tlv = read("", {ID: b"7\x00", STATE: bytes((value,))})
    for text in (stat, stat.lower(), stat.title()):
        by_text = read(f"id:7 stat:{text} err:0")
        assert by_text.result == by_tlv.result == result
        assert by_text.code == by_tlv.code == word
    both = read(f"id:7 stat:{stat}", {ID: b"7", STATE: bytes((value,))})
    assert (both.result, both.code, both.detail) == (result, word, "")


def test_unknown_states_decide_nothing() -> None:
    for value in range(10, 256):
        assert read("id:7", {ID: b"7", STATE: bytes((value,))}).result == INTERMEDIATE
    assert read("id:7 stat:WHATEVR").code == "whatevr"
    assert read("id:7 stat:WHATEVR").result == INTERMEDIATE
    assert read("id:7", {STATE: b""}).code == read("id:7", {STATE: b"\x00\x02"}).code == "unknown"


@pytest.mark.parametrize(
    ("stat", "result"),
    [
        ("FAILED", FAILED),
        ("UNDELIVERED", FAILED),
        ("UNDELIVERABLE", FAILED),
        ("DELIVERED", DELIVERED),
        ("BUFFERED", INTERMEDIATE),
        ("BUFFRED", INTERMEDIATE),
        ("SENT", INTERMEDIATE),
        ("ACCEPTED", INTERMEDIATE),
        ("REJECTED", FAILED),
        ("DELIVERY_FAILED", INTERMEDIATE),  # no proof, whatever it begins with
    ],
)
def test_states_seen_besides(stat: str, result: ReceiptDelivered | ReceiptFailed | ReceiptIntermediate) -> None:
    receipt = read(f"id:7 stat:{stat} err:1")
    assert (receipt.result, receipt.code) == (result, stat.lower())


def test_the_tlv_wins_over_a_text_that_disagrees() -> None:
    receipt = read("id:7 stat:UNDELIV err:001", {ID: b"7", STATE: b"\x02"})
    assert (receipt.result, receipt.code, receipt.detail) == (DELIVERED, "delivered", "err:001 stat:UNDELIV")


@pytest.mark.parametrize(
    ("text", "id_", "code", "detail"),
    [
        ("id:7 submit date:240301120000 done date:240301120130 stat:DELIVRD err:0", "7", "delivered", "err:0"),
        ("id:7 submitdate:0000000000 donedate:0000000000 stat:UNDELIV err:0", "7", "undeliverable", "err:0"),
        ("id:7 stat:DELIVRD err: text:", "7", "delivered", ""),
        ("id:7 stat:DELIVRD err:", "7", "delivered", ""),
        ("id:7 stat:DELIVRD err:E1A text:x", "7", "delivered", "err:E1A"),
        ("id:7 stat:UNDELIV err:0011", "7", "undeliverable", "err:0011"),
        ("id:7 stat:DELIVRD", "7", "delivered", ""),
        ("id:7 stat:DELIVRD text:hello", "7", "delivered", ""),
        (
            "ID:7 SUB:001 DLVRD:001 SUBMIT DATE:2403011200 DONE DATE:2403011201 STAT:EXPIRED ERR:9 TEXT:x",
            "7",
            "expired",
            "err:9",
        ),
        ("id:7 stat:DELIVRD err:000 Text:id:8 stat:UNDELIV err:5", "7", "delivered", "err:000"),
        ("id:7 stat:DELIVRD Text:12:30 err:5", "7", "delivered", ""),
        ("id:7 text:hello stat:REJECTD err:2", "7", "rejected", "err:2"),
        (
            "id:1c0e0e5c-6f0a-4b52-8a1f-9b2f6ad4a001 stat:DELIVRD",
            "1c0e0e5c-6f0a-4b52-8a1f-9b2f6ad4a001",
            "delivered",
            "",
        ),
        ("id:0000000042 stat:DELIVRD", "0000000042", "delivered", ""),
        ("id: 7 sub: 001 stat: DELIVRD err: 000", "7", "delivered", "err:000"),
        ("id:7, stat:DELIVRD, err:000, text:", "7", "delivered", "err:000"),
        ("id:7\r\nstat:DELIVRD\r\nerr:000", "7", "delivered", "err:000"),
        ("stat:DELIVRD err:000 id:7", "7", "delivered", "err:000"),
        ("guid:9 id:7 laststat:UNDELIV stat:DELIVRD", "7", "delivered", ""),
        ("id:7 stat:DELIVRD err:000\x00", "7", "delivered", "err:000"),
    ],
)
def test_texts_seen_in_the_field(text: str, id_: str, code: str, detail: str) -> None:
    for form in (text, text.encode(), text.encode("utf-16-be")):
        receipt = read(form)
        assert (receipt.provider_message_ids, receipt.code, receipt.detail) == ((id_,), code, detail)
        assert "\x00" not in receipt.raw


def test_a_receipt_in_the_payload_tlv() -> None:
    receipt = read(b"", {PAYLOAD: STANDARD.encode()})
    assert receipt == read()


def test_a_receipt_of_tlvs_alone_needs_both() -> None:
    receipt = read(b"", {ID: b"abc\x00", STATE: b"\x05"}, esm_class=0)
    assert (receipt.provider_message_ids, receipt.result, receipt.code) == (("abc",), FAILED, "undeliverable")
    for tlvs in ({}, {ID: b"abc\x00"}, {STATE: b"\x02"}, {ID: b"\x00", STATE: b"\x02"}, {ID: b"abc", STATE: b"\x63"}):
        assert parse_receipt(esm_class=0, text="hi", tlvs=tlvs, source="1", id_rule=IdRule.ANY) is None


def test_a_person_cannot_write_a_receipt() -> None:
    assert parse_receipt(esm_class=0, text=STANDARD, tlvs={}, source="1", id_rule=IdRule.ANY) is None


def test_every_esm_class() -> None:
    for esm_class in range(0x100):
        receipt = parse_receipt(esm_class=esm_class, text=STANDARD, tlvs={}, source="1", id_rule=IdRule.EXACT)
        kind = (esm_class & 0x3C) >> 2  # bits 5 to 2; mode, UDHI and reply path say nothing about it
        if kind == 0b0001:
            assert receipt == read_as(esm_class)
            assert receipt.result == DELIVERED
        elif kind in (0b1000, 0b1001, 0b0010, 0b0100):
            assert receipt is not None
            assert (receipt.result, receipt.code) == (INTERMEDIATE, "delivered")
        else:
            assert receipt is None


def read_as(esm_class: int) -> Receipt:
    receipt = parse_receipt(esm_class=esm_class, text=STANDARD, tlvs={}, source="1", id_rule=IdRule.EXACT)
    assert receipt is not None
    return receipt


def test_acknowledgements_of_the_handset_prove_nothing() -> None:
    assert read("OK", esm_class=0x08).code == "sme_delivery_ack"
    assert read("OK", esm_class=0x10).code == "sme_user_ack"
    assert read("", esm_class=0x20).code == "intermediate"
    assert read("OK", {ID: b"7", STATE: b"\x02"}, esm_class=0x08).result == INTERMEDIATE


def test_a_receipt_that_says_nothing_is_still_one() -> None:
    assert read("") == Receipt(provider_message_ids=(), result=INTERMEDIATE, code="unknown", address="33612345678")
    assert read("garbage \ud800 id:").provider_message_ids == ()


def test_the_networks_error_is_kept() -> None:
    assert read("id:7 stat:UNDELIV err:011", {NETWORK_ERROR: b"\x03\x00\x15"}).detail == "err:011 network:3:21"
    assert read("id:7 stat:UNDELIV", {NETWORK_ERROR: b"\x03\x00"}).detail == ""


@pytest.mark.parametrize(
    ("rule", "named", "candidates"),
    [
        (IdRule.EXACT, "00AbC", ["00AbC"]),
        (IdRule.CASEFOLD, "00AbC", ["00AbC"]),
        (IdRule.STRIP_ZEROS, "00AbC", ["00AbC"]),
        (IdRule.HEX_TO_DEC, "00AbC", ["2748"]),
        (IdRule.HEX_TO_DEC, "x-1", ["x-1"]),
        (IdRule.DEC_TO_HEX, "0000048879", ["beef"]),
        (IdRule.DEC_TO_HEX, "beef", ["beef"]),
        (IdRule.ANY, "12", ["12", "c", "18"]),
        (IdRule.ANY, "00Ab", ["00Ab", "171"]),
        (IdRule.ANY, "0x00Ab", ["0x00Ab", "171"]),
        (IdRule.ANY, "0010", ["0010", "a", "16"]),
        (IdRule.ANY, "1c0e-x", ["1c0e-x"]),
        (IdRule.ANY, "1_0", ["1_0"]),
        (IdRule.ANY, "٣", ["٣"]),
    ],
)
def test_id_rules(rule: IdRule, named: str, candidates: list[str]) -> None:
    assert list(read(f"id:{named} stat:DELIVRD", rule=rule).provider_message_ids) == candidates


@pytest.mark.parametrize(
    "text", ["id:1 stat:DELIVRD", "id:1 sub:001 dlvrd:001 stat:UNDELIV err:1 text:x", "ID:1 Stat:expired"]
)
def test_a_message_in_the_form_of_a_receipt_may_be_one(text: str) -> None:
    receipt = parse_unmarked_receipt(text=text, source="33612345678", id_rule=IdRule.ANY)
    assert receipt is not None
    assert (receipt.provider_message_ids[0], receipt.address) == ("1", "33612345678")


@pytest.mark.parametrize(
    "text", ["", "OK", "stat:DELIVRD", "id:1", "id:1 stat:", "id:1 stat:GREEN", "my id: 1, stat wise"]
)
def test_any_other_message_is_none(text: str) -> None:
    assert parse_unmarked_receipt(text=text, source="33612345678", id_rule=IdRule.ANY) is None


def test_the_tlv_names_the_message_and_the_text_only_helps_out() -> None:
    tlvs = {ID: b"7B\x00"}
    assert read("id:123 stat:DELIVRD", tlvs).provider_message_ids == ("7B",)
    assert read("id:123 stat:DELIVRD", tlvs, rule=IdRule.HEX_TO_DEC).provider_message_ids == ("123",)
    ids = read("id:124 stat:DELIVRD", tlvs, rule=IdRule.ANY).provider_message_ids
    assert ids == ("7B", "123", "124", "7c", "292")
    assert read("id:9 stat:DELIVRD", {ID: b"\x00"}).provider_message_ids == ("9",)


@pytest.mark.parametrize(
    ("raw", "id_"),
    [
        (b"abc\x00", "abc"),
        (b"abc", "abc"),
        (b" abc \x00", "abc"),
        (b"abc\x00rubbish", "abc"),
        (b"\x00abc", "abc"),
        (b"", ""),
        (b"\x00", ""),
        (b"\xe9", "é"),
        (b"x" * 200, "x" * 64),
    ],
)
def test_canonical_ids(raw: bytes, id_: str) -> None:
    assert canonical_id(raw) == id_


def test_everything_is_bounded() -> None:
    long = read("id:" + "9" * 5000 + " stat:DELIVRD", rule=IdRule.ANY)
    assert all(len(id_) <= 80 for id_ in long.provider_message_ids)
    assert len(long.provider_message_ids) <= 9
    assert len(long.raw) == 500
    assert read("x" * 2048 + " id:7 stat:DELIVRD").provider_message_ids == ()
    assert len(read("id:7 stat:" + "Z" * 900 + " err:" + "e" * 900).code) == 32
