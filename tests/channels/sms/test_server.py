"""The session as a server: binds asked for, messages taken, receipts delivered, and clients that break the rules."""

from __future__ import annotations

import pytest

from channels.sms.smpp.errors import LocalProtocolError
from channels.sms.smpp.events import Answered, BindRequested, CloseCause, Closed, MessageReceived
from channels.sms.smpp.limits import Limits
from channels.sms.smpp.operations import RESPONSE_TO, Role, State
from channels.sms.smpp.pdu import (
    BINDS,
    BindMode,
    BindResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from tests.channels.sms.conversation import Conversation, bound_smsc, text_message


@pytest.mark.parametrize("mode", BindMode)
def test_takes_a_bind_in_each_mode(mode: BindMode) -> None:
    talk = Conversation(Role.SMSC)
    talk.peer_says(BINDS[mode](sequence=3, system_id="user", password="pw"))
    request = talk.expect_event(BindRequested).request
    assert (request.mode, request.system_id, request.password) == (mode, "user", "pw")
    talk.expect_silence()
    talk.session.respond(3, name="SMSC")
    (answer,) = talk.said()
    assert type(answer) is RESPONSE_TO[BINDS[mode]]
    assert isinstance(answer, BindResp)
    assert (answer.sequence, answer.status, answer.system_id, dict(answer.tlvs)) == (3, 0, "SMSC", {0x0210: b"\x34"})


def test_refuses_a_bind_and_closes() -> None:
    talk = Conversation(Role.SMSC)
    talk.peer_says(BindTransceiver(sequence=1))
    talk.events()
    talk.session.respond(1, 0x0E)
    assert talk.expect_said(BindTransceiverResp) == BindTransceiverResp(sequence=1, status=0x0E)
    assert talk.expect_event(Closed).cause is CloseCause.BIND_REFUSED


def test_a_second_bind_is_told_that_it_is_bound_already() -> None:
    talk = bound_smsc()
    talk.peer_says(BindTransmitter(sequence=2))
    assert talk.expect_said(BindTransmitterResp) == BindTransmitterResp(sequence=2, status=0x05)
    assert talk.session.state is State.BOUND_TRX


def test_a_second_bind_before_the_first_is_answered_too() -> None:
    talk = Conversation(Role.SMSC)
    talk.peer_says(BindTransceiver(sequence=1), BindTransceiver(sequence=2))
    assert talk.expect_said(BindTransceiverResp).sequence == 2
    talk.expect_event(BindRequested)


def test_a_client_that_never_binds_is_shown_the_door() -> None:
    talk = Conversation(Role.SMSC, Limits(bind_s=5))
    talk.peer_says(EnquireLink(sequence=1))
    talk.expect_said(EnquireLinkResp)
    talk.pass_time(5)
    assert talk.expect_event(Closed).cause is CloseCause.BIND_UNANSWERED


def test_takes_a_message_and_names_it() -> None:
    talk = bound_smsc()
    talk.peer_says(SubmitSm(sequence=8, short_message=b"hi"), DataSm(sequence=9))
    assert [type(event) for event in talk.events()] == [MessageReceived] * 2
    talk.session.respond(8, name="id-8")
    talk.session.respond(9, 0x58)
    assert talk.said() == [SubmitSmResp(sequence=8, message_id="id-8"), DataSmResp(sequence=9, status=0x58)]


@pytest.mark.parametrize("bind", [None, BindMode.RECEIVER], ids=["unbound", "receiver"])
def test_a_message_in_the_wrong_state_is_refused(bind: BindMode | None) -> None:
    talk = Conversation(Role.SMSC) if bind is None else bound_smsc(bind)
    talk.peer_says(SubmitSm(sequence=8))
    assert talk.expect_said(SubmitSmResp) == SubmitSmResp(sequence=8, status=0x04)
    assert talk.events() == []


def test_delivers_a_receipt_and_hears_the_answer() -> None:
    talk = bound_smsc(BindMode.RECEIVER)
    sequence = talk.session.send(DeliverSm(short_message=b"id:1"), talk.now)
    talk.expect_said(DeliverSm)
    talk.peer_says(DeliverSmResp(sequence=sequence, status=0x64))
    assert talk.expect_event(Answered).status == 0x64


def test_delivers_nothing_to_a_transmitter_and_submits_to_nobody() -> None:
    with pytest.raises(LocalProtocolError):
        bound_smsc(BindMode.TRANSMITTER).session.send(DeliverSm(), 0)
    with pytest.raises(LocalProtocolError):
        bound_smsc().session.send(text_message(), 0)


def test_a_client_has_no_business_with_the_servers_requests() -> None:
    talk = bound_smsc()
    talk.peer_says(DeliverSm(sequence=4), Outbind(sequence=5), BindTransceiverResp(sequence=6))
    assert talk.expect_said(DeliverSmResp).status == 0x04
    assert talk.events() == []


def test_an_unknown_or_unreadable_request_is_answered() -> None:
    talk = bound_smsc()
    talk.peer_sends(bytes.fromhex("00000010 00000003 00000000 00000007"))  # query_sm
    talk.peer_sends(bytes.fromhex("00000011 00000004 00000000 00000008 61"))
    assert talk.said() == [GenericNack(sequence=7, status=0x03), SubmitSmResp(sequence=8, status=0x02)]


def test_unbinds_either_way() -> None:
    talk = bound_smsc()
    talk.peer_says(Unbind(sequence=2))
    assert talk.expect_said(UnbindResp).sequence == 2
    assert talk.expect_event(Closed).cause is CloseCause.UNBOUND_BY_PEER
    talk = bound_smsc()
    talk.session.unbind(talk.now)
    talk.peer_says(UnbindResp(sequence=talk.expect_said(Unbind).sequence))
    assert talk.expect_event(Closed).cause is CloseCause.UNBOUND


def test_an_unbind_response_nobody_asked_for_is_a_stray() -> None:
    talk = bound_smsc()
    talk.peer_says(UnbindResp(sequence=77))
    assert talk.session.strays == 1
    assert not talk.session.closed
