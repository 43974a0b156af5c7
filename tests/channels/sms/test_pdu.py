"""The PDUs: octets as the specification draws them, parse and print inverse, and every way a body can be broken."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.sms.smpp import pdu as pdus
from channels.sms.smpp.codec import COMMANDS, decode, encode, read_header
from channels.sms.smpp.errors import (
    LocalProtocolError,
    MalformedBodyError,
    OutOfStepError,
    RemoteProtocolError,
    UnknownCommandError,
)
from channels.sms.smpp.wire import PDU_OCTETS_MAX

STRINGS = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=30)
OCTETS = st.integers(0, 255)
TLVS = st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=40), max_size=4)
SEQUENCES = st.integers(1, 0x7FFF_FFFF)

ADDRESSED: dict[str, st.SearchStrategy[Any]] = {
    "service_type": STRINGS,
    "source_addr_ton": OCTETS,
    "source_addr_npi": OCTETS,
    "source_addr": STRINGS,
    "dest_addr_ton": OCTETS,
    "dest_addr_npi": OCTETS,
    "destination_addr": STRINGS,
    "esm_class": OCTETS,
    "registered_delivery": OCTETS,
    "data_coding": OCTETS,
    "tlvs": TLVS,
}
SHORT: dict[str, st.SearchStrategy[Any]] = ADDRESSED | {
    "protocol_id": OCTETS,
    "priority_flag": OCTETS,
    "schedule_delivery_time": STRINGS,
    "validity_period": STRINGS,
    "replace_if_present_flag": OCTETS,
    "sm_default_msg_id": OCTETS,
    "short_message": st.binary(max_size=254),
}
BIND: dict[str, st.SearchStrategy[Any]] = {
    "system_id": STRINGS,
    "password": STRINGS,
    "system_type": STRINGS,
    "interface_version": OCTETS,
    "addr_ton": OCTETS,
    "addr_npi": OCTETS,
    "address_range": STRINGS,
}
BIND_RESP: dict[str, st.SearchStrategy[Any]] = {"system_id": STRINGS, "tlvs": TLVS}
MESSAGE_RESP: dict[str, st.SearchStrategy[Any]] = {"message_id": STRINGS, "tlvs": TLVS}
ALERT: dict[str, st.SearchStrategy[Any]] = {
    "source_addr_ton": OCTETS,
    "source_addr_npi": OCTETS,
    "source_addr": STRINGS,
    "esme_addr_ton": OCTETS,
    "esme_addr_npi": OCTETS,
    "esme_addr": STRINGS,
    "tlvs": TLVS,
}
FIELDS: dict[type[pdus.Pdu], dict[str, st.SearchStrategy[Any]]] = {
    pdus.BindReceiver: BIND,
    pdus.BindTransmitter: BIND,
    pdus.BindTransceiver: BIND,
    pdus.BindReceiverResp: BIND_RESP,
    pdus.BindTransmitterResp: BIND_RESP,
    pdus.BindTransceiverResp: BIND_RESP,
    pdus.Outbind: {"system_id": STRINGS, "password": STRINGS},
    pdus.Unbind: {},
    pdus.UnbindResp: {},
    pdus.SubmitSm: SHORT,
    pdus.SubmitSmResp: MESSAGE_RESP,
    pdus.DeliverSm: SHORT,
    pdus.DeliverSmResp: MESSAGE_RESP,
    pdus.DataSm: ADDRESSED,
    pdus.DataSmResp: MESSAGE_RESP,
    pdus.EnquireLink: {},
    pdus.EnquireLinkResp: {},
    pdus.GenericNack: {},
    pdus.AlertNotification: ALERT,
}


def some(kind: type[pdus.Pdu]) -> st.SearchStrategy[pdus.Pdu]:
    return st.builds(kind, sequence=SEQUENCES, status=st.integers(0, 0xFFFF_FFFF), **FIELDS[kind])


def test_every_command_has_its_fields_here() -> None:
    assert set(FIELDS) == set(COMMANDS.values())
    assert all(COMMANDS[kind.command_id] is kind for kind in FIELDS)


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_parse_and_print_are_inverse(kind: type[pdus.Pdu], data: st.DataObject) -> None:
    pdu = data.draw(some(kind))
    assert decode(encode(pdu)) == pdu


def test_submit_sm_stands_in_octets_as_section_4_4_1_draws_it() -> None:
    pdu = pdus.SubmitSm(
        sequence=7,
        source_addr_ton=5,
        source_addr="ALERT",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="336",
        esm_class=0x40,
        validity_period="000000010000000R",
        registered_delivery=1,
        data_coding=8,
        short_message=b"\x00A",
        tlvs={0x0204: b"\x00\x01"},
    )
    body = (
        b"\0" + b"\x05\x00ALERT\0" + b"\x01\x01336\0" + b"\x40\x00\x00" + b"\0" + b"000000010000000R\0"
        b"\x01\x00\x08\x00" + b"\x02\x00A" + b"\x02\x04\x00\x02\x00\x01"
    )
    header = (16 + len(body)).to_bytes(4, "big") + b"\0\0\0\x04" + b"\0\0\0\0" + b"\0\0\0\x07"
    assert encode(pdu) == header + body


def test_the_smallest_pdus_are_just_a_header() -> None:
    assert encode(pdus.EnquireLink(sequence=1)) == bytes.fromhex("00000010 00000015 00000000 00000001")
    assert encode(pdus.GenericNack(sequence=2, status=3)) == bytes.fromhex("00000010 80000000 00000003 00000002")


def test_a_bind_hides_its_password() -> None:
    assert "secret" not in repr(pdus.BindTransceiver(system_id="user", password="secret"))
    assert pdus.BindTransmitter().mode is pdus.BindMode.TRANSMITTER


@pytest.mark.parametrize("body", [b"", b"\0"], ids=["absent", "a lone NUL"])
def test_a_failed_submit_may_be_answered_without_a_body_or_with_a_lone_nul(body: bytes) -> None:
    octets = (16 + len(body)).to_bytes(4, "big") + bytes.fromhex("80000004 00000058 00000009") + body
    assert decode(octets) == pdus.SubmitSmResp(sequence=9, status=0x58)


def test_a_message_id_without_its_nul_is_read() -> None:
    assert decode(bytes.fromhex("00000013 80000004 00000000 00000009") + b"abc") == pdus.SubmitSmResp(
        sequence=9, message_id="abc"
    )


@pytest.mark.parametrize("status", [0, 0x64])
def test_deliver_sm_resp_always_has_one_nul(status: int) -> None:
    octets = encode(pdus.DeliverSmResp(sequence=5, status=status))
    assert len(octets) == 17
    assert octets[16:] == b"\0"


@pytest.mark.parametrize("length", [0, 15, PDU_OCTETS_MAX + 1, 0xFFFF_FFFF])
def test_an_impossible_length_is_out_of_step(length: int) -> None:
    with pytest.raises(OutOfStepError):
        read_header(length.to_bytes(4, "big") + bytes(12), 0)


def test_octets_that_are_not_one_pdu_are_out_of_step() -> None:
    whole = encode(pdus.EnquireLink(sequence=1))
    for octets in (whole[:-1], whole + b"\0"):
        with pytest.raises(OutOfStepError):
            decode(octets)


def test_an_unknown_command_says_so() -> None:
    with pytest.raises(UnknownCommandError, match="0x00000003"):
        decode(bytes.fromhex("00000010 00000003 00000000 00000001"))


@pytest.mark.parametrize(
    "kind",
    [
        pdus.SubmitSm,
        pdus.DataSm,
        pdus.DeliverSm,
        pdus.BindTransceiver,
        pdus.Outbind,
        pdus.AlertNotification,
    ],
)
def test_a_body_that_ends_early_is_malformed_wherever_it_ends(kind: type[pdus.Pdu]) -> None:
    whole = encode(kind(sequence=1))
    for end in range(16, len(whole)):
        with pytest.raises(MalformedBodyError) as caught:
            decode(end.to_bytes(4, "big") + whole[4:end])
        assert caught.value.status in (0x01, 0x02)


def test_a_text_beyond_the_pdu_is_malformed() -> None:
    octets = bytearray(encode(pdus.SubmitSm(sequence=1, short_message=b"abc")))
    octets[-4] = 200
    with pytest.raises(MalformedBodyError) as caught:
        decode(bytes(octets))
    assert caught.value.status == 0x01


WITH_TLVS: list[type[pdus.Pdu]] = [kind for kind in COMMANDS.values() if "tlvs" in dir(kind)]
"""Every PDU that may have optional parameters."""


@st.composite
def broken_tails(draw: st.DrawFn) -> bytes:
    """What is no whole optional parameter: fewer than four octets, or a value that ends before its length says."""
    if draw(st.booleans()):
        return draw(st.binary(min_size=1, max_size=3))
    tag = draw(st.integers(0, 0xFFFF).filter(lambda tag: tag != 0x0424))
    value = draw(st.binary(max_size=20))
    length = draw(st.integers(len(value) + 1, 0xFFFF))
    return tag.to_bytes(2, "big") + length.to_bytes(2, "big") + value


def with_tail(pdu: pdus.Pdu, tail: bytes) -> bytes:
    octets = encode(pdu) + tail
    return len(octets).to_bytes(4, "big") + octets[4:]


@given(st.sampled_from(WITH_TLVS), broken_tails())
def test_case_4_7_a_broken_tail_spoils_no_pdu_whose_other_parameters_are_whole(
    kind: type[pdus.Pdu], tail: bytes
) -> None:
    whole = kind(sequence=1, tlvs={0x1E: b"1\0", 0x0427: b"\x02"})  # type: ignore[call-arg]  # all of these have tlvs
    assert decode(with_tail(whole, tail)) == whole


def test_the_beginning_of_a_text_that_is_cut_short_is_kept() -> None:
    read = decode(with_tail(pdus.DataSm(sequence=1), b"\x04\x24\x00\xffid:1 stat:DELIVRD"))
    assert isinstance(read, pdus.DataSm)
    assert read.tlvs == {0x0424: b"id:1 stat:DELIVRD"}


@pytest.mark.parametrize(
    "pdu",
    [
        pdus.SubmitSm(short_message=bytes(255)),
        pdus.SubmitSm(destination_addr="33\0"),
        pdus.SubmitSm(source_addr="Zürich €"),
        pdus.SubmitSm(data_coding=256),
        pdus.SubmitSm(dest_addr_ton=-1),
        pdus.SubmitSm(tlvs={0x0424: bytes(65_536)}),
        pdus.SubmitSm(tlvs={0x0424: bytes(60_000), 0x0425: bytes(6_000)}),
        pdus.SubmitSm(tlvs={0x10000: b""}),
        pdus.GenericNack(status=-1),
    ],
    ids=lambda pdu: "",
)
def test_what_does_not_fit_is_our_own_fault(pdu: pdus.Pdu) -> None:
    with pytest.raises(LocalProtocolError):
        encode(pdu)


@given(st.sampled_from(sorted(COMMANDS)), st.binary(max_size=120))
def test_no_body_raises_anything_else(command_id: int, body: bytes) -> None:
    octets = (16 + len(body)).to_bytes(4, "big") + command_id.to_bytes(4, "big") + bytes(4) + b"\0\0\0\1" + body
    try:
        pdu = decode(octets)
    except RemoteProtocolError:
        return
    assert type(pdu) is COMMANDS[command_id]
