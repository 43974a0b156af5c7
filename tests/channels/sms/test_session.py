"""The session as a client sees it: conversations with an SMSC that behaves, and with those that do not."""

from __future__ import annotations

import pytest

from channels.sms.smpp.codec import encode
from channels.sms.smpp.errors import LocalProtocolError
from channels.sms.smpp.events import (
    Answered,
    BindRefused,
    Bound,
    CloseCause,
    Closed,
    MessageReceived,
    OutbindReceived,
    Unanswered,
)
from channels.sms.smpp.operations import ISSUED_IN, RESPONSE_TO, Role, State, may_issue
from channels.sms.smpp.pdu import (
    BINDS,
    AlertNotification,
    BindMode,
    BindTransceiver,
    BindTransceiverResp,
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
)
from channels.sms.smpp.session import OUT_PDUS_MAX
from tests.channels.sms.conversation import LIMITS, Conversation, bound_esme, text_message

# -- binding


@pytest.mark.parametrize("mode", BindMode)
def test_binds_in_each_mode(mode: BindMode) -> None:
    talk = Conversation()
    talk.session.bind(BINDS[mode](system_id="user", password="pw"), talk.now)
    request = talk.expect_said(BINDS[mode])
    assert (request.sequence, request.system_id, request.password, request.interface_version) == (1, "user", "pw", 0x34)
    assert talk.session.free == 0
    talk.peer_says(RESPONSE_TO[BINDS[mode]](sequence=1))
    assert talk.expect_event(Bound).mode is mode
    assert talk.session.accepts_messages


def test_a_refused_bind_ends_the_session() -> None:
    talk = Conversation()
    talk.session.bind(BindTransceiver(), talk.now)
    talk.peer_sends(bytes.fromhex("00000010 80000009 0000000e 00000001"))
    assert talk.events() == [BindRefused(status=0x0E), Closed(cause=CloseCause.BIND_REFUSED, detail="0x0e")]
    assert talk.session.closed


def test_a_bind_refused_by_generic_nack_is_refused() -> None:
    talk = Conversation()
    talk.session.bind(BindTransceiver(), talk.now)
    talk.peer_says(GenericNack(sequence=1, status=0x03))
    assert talk.events()[0] == BindRefused(status=0x03)


def test_a_bind_without_an_answer_ends_the_session_in_time() -> None:
    talk = Conversation(limits=LIMITS)
    talk.session.bind(BindTransceiver(), talk.now)
    talk.pass_time(4.9)
    assert talk.events() == []
    talk.pass_time(0.1)
    assert talk.expect_event(Closed).cause is CloseCause.BIND_UNANSWERED
    assert talk.session.next_deadline() is None


@pytest.mark.parametrize("answer", [BindTransmitterResp(sequence=1), BindTransceiverResp(sequence=2)])
def test_an_answer_to_another_bind_is_not_taken_for_ours(answer: BindTransceiverResp) -> None:
    talk = Conversation()
    talk.session.bind(BindTransceiver(), talk.now)
    talk.peer_says(answer)
    assert talk.events() == []
    assert talk.session.strays == 1


def test_one_bind_at_a_time() -> None:
    talk = Conversation()
    talk.session.bind(BindTransceiver(), talk.now)
    with pytest.raises(LocalProtocolError):
        talk.session.bind(BindTransceiver(), talk.now)


def test_outbind_is_recognised() -> None:
    talk = Conversation()
    talk.peer_says(Outbind(sequence=1, system_id="SMSC", password="x"))
    assert talk.expect_event(OutbindReceived).system_id == "SMSC"
    talk.expect_silence()


# -- the operation matrix


def test_the_matrix_is_that_of_section_2_3() -> None:
    sending, receiving = {State.BOUND_TX, State.BOUND_TRX}, {State.BOUND_RX, State.BOUND_TRX}
    for state in State:
        for role in Role:
            assert may_issue(SubmitSm, role, state) == (role is Role.ESME and state in sending)
            assert may_issue(DeliverSm, role, state) == (role is Role.SMSC and state in receiving)
            assert may_issue(DataSm, role, state) == (state in (sending if role is Role.ESME else receiving))
            assert may_issue(Unbind, role, state) == (state in sending | receiving)
            assert may_issue(EnquireLink, role, state) == (state is not State.CLOSED)
            assert may_issue(AlertNotification, role, state) == (role is Role.SMSC and state in receiving)
            assert may_issue(Outbind, role, state) == (role is Role.SMSC and state is State.OPEN)
            for bind in BINDS.values():
                assert may_issue(bind, role, state) == (role is Role.ESME and state is State.OPEN)
            assert not may_issue(SubmitSmResp, role, state)
    assert all(State.CLOSED not in states for states in ISSUED_IN.values())


def test_we_do_not_submit_before_the_bind_nor_over_a_receiver() -> None:
    with pytest.raises(LocalProtocolError):
        Conversation().session.send(text_message(), 0)
    with pytest.raises(LocalProtocolError):
        bound_esme(BindMode.RECEIVER).session.send(text_message(), 0)
    with pytest.raises(LocalProtocolError):
        bound_esme().session.send(DeliverSm(), 0)


def test_a_receipt_over_a_transmitter_is_answered_with_invalid_bind_status() -> None:
    talk = bound_esme(BindMode.TRANSMITTER)
    talk.peer_says(DeliverSm(sequence=5))
    assert talk.expect_said(DeliverSmResp) == DeliverSmResp(sequence=5, status=0x04)
    assert talk.events() == []


def test_an_smsc_that_binds_to_us_is_told_that_it_cannot() -> None:
    talk = bound_esme()
    talk.peer_says(BindTransceiver(sequence=9))
    assert talk.expect_said(BindTransceiverResp).status == 0x04


# -- submitting


def test_a_submit_is_answered() -> None:
    talk = bound_esme()
    sequence = talk.session.send(text_message(), talk.now)
    assert talk.expect_said(SubmitSm).short_message == b"fire in hall 3"
    talk.peer_says(SubmitSmResp(sequence=sequence, message_id="abc-1"))
    assert talk.events() == [Answered(sequence=sequence, status=0, message_id="abc-1")]
    assert talk.session.outstanding == 0


def test_answers_come_in_any_order_and_in_any_pieces() -> None:
    talk = bound_esme()
    sequences = [talk.session.send(text_message(), talk.now) for _ in range(3)]
    octets = b"".join(encode(SubmitSmResp(sequence=n, message_id=str(n))) for n in reversed(sequences))
    for at in range(len(octets)):
        talk.peer_sends(octets[at : at + 1])
    assert [event.sequence for event in talk.events() if isinstance(event, Answered)] == sequences[::-1]


def test_data_sm_is_answered_too_and_only_by_its_own_response() -> None:
    talk = bound_esme()
    sequence = talk.session.send(DataSm(destination_addr="336", tlvs={0x0424: b"hi"}), talk.now)
    talk.peer_says(SubmitSmResp(sequence=sequence))
    assert talk.session.strays == 1
    talk.peer_says(DataSmResp(sequence=sequence, message_id="d1"))
    assert talk.expect_event(Answered).message_id == "d1"


def test_the_window_is_never_exceeded() -> None:
    talk = bound_esme(limits=LIMITS)
    sequences = [talk.session.send(text_message(), talk.now) for _ in range(LIMITS.window)]
    assert talk.session.free == 0
    with pytest.raises(LocalProtocolError, match="window"):
        talk.session.send(text_message(), talk.now)
    talk.peer_says(SubmitSmResp(sequence=sequences[1], status=0x58))
    assert talk.session.free == 1
    talk.session.send(text_message(), talk.now)


@pytest.mark.parametrize("status", [0x08, 0x45, 0x400, 0xFFFF_FFFF])
def test_every_status_is_survived(status: int) -> None:
    talk = bound_esme()
    sequence = talk.session.send(text_message(), talk.now)
    talk.peer_sends(bytes.fromhex("00000010 80000004") + status.to_bytes(4, "big") + sequence.to_bytes(4, "big"))
    assert talk.expect_event(Answered).status == status
    assert talk.session.accepts_messages


def test_a_submit_without_an_answer_comes_back_in_time_and_a_late_answer_is_told() -> None:
    talk = bound_esme(limits=LIMITS)
    first = talk.session.send(text_message(), talk.now)
    talk.said()
    talk.pass_time(5)
    second = talk.session.send(text_message(), talk.now)
    talk.said()
    talk.pass_time(15)
    assert talk.events() == [Unanswered(sequence=first, timed_out=True, maybe_sent=True)]
    talk.peer_says(SubmitSmResp(sequence=first, message_id="late"))
    assert talk.events() == [Answered(sequence=first, status=0, message_id="late", late=True)]
    talk.peer_says(SubmitSmResp(sequence=first, message_id="later"))
    assert (talk.events(), talk.session.strays) == ([], 1)  # once
    talk.pass_time(5)
    assert talk.expect_event(Unanswered).sequence == second


def test_a_submit_that_could_not_be_written_certainly_did_not_leave_and_never_does() -> None:
    talk = bound_esme(limits=LIMITS)
    sequence = talk.session.send(text_message(), talk.now)
    talk.peer_says(EnquireLink(sequence=4))
    talk.pass_time(20)  # the network took nothing all the while
    assert talk.expect_event(Unanswered) == Unanswered(sequence=sequence, timed_out=True, maybe_sent=False)
    assert [type(pdu) for pdu in talk.said()] == [EnquireLinkResp]


def test_closing_hands_back_every_submit_and_says_which_may_have_left() -> None:
    talk = bound_esme()
    left = talk.session.send(text_message(), talk.now)
    talk.said()
    kept = talk.session.send(text_message(), talk.now)
    talk.session.receive_eof()
    assert talk.events() == [
        Unanswered(sequence=left, timed_out=False, maybe_sent=True),
        Unanswered(sequence=kept, timed_out=False, maybe_sent=False),
        Closed(cause=CloseCause.EOF),
    ]
    talk.expect_silence()
    with pytest.raises(LocalProtocolError):
        talk.session.send(text_message(), talk.now)


def test_sequence_numbers_go_round_and_skip_what_still_waits() -> None:
    talk = bound_esme()
    waiting = talk.session.send(text_message(), talk.now)
    talk.session._outbox._next_sequence = 0x7FFF_FFFF
    assert talk.session.send(text_message(), talk.now) == 0x7FFF_FFFF
    assert talk.session.send(text_message(), talk.now) == 1
    assert waiting == 2
    assert talk.session.send(text_message(), talk.now) == 3


def test_a_message_that_does_not_fit_costs_nothing() -> None:
    talk = bound_esme()
    with pytest.raises(LocalProtocolError):
        talk.session.send(text_message(bytes(300)), talk.now)
    assert talk.session.outstanding == 0
    talk.expect_silence()
    assert talk.session.send(text_message(), talk.now) == 2


# -- receiving


def test_a_receipt_is_answered_only_when_the_owner_says_so() -> None:
    talk = bound_esme()
    talk.peer_says(DeliverSm(sequence=77, short_message=b"id:1"), DataSm(sequence=78))
    assert [event.request.sequence for event in talk.events() if isinstance(event, MessageReceived)] == [77, 78]
    talk.expect_silence()
    assert talk.session.respond(77)
    assert talk.session.respond(78, 0x64)
    assert talk.said() == [DeliverSmResp(sequence=77), DataSmResp(sequence=78, status=0x64)]
    with pytest.raises(LocalProtocolError):
        talk.session.respond(77)


def test_an_answer_after_the_end_is_no_error() -> None:
    talk = bound_esme()
    talk.peer_says(DeliverSm(sequence=77))
    talk.session.receive_eof()
    assert talk.session.respond(77) is False


def test_a_sequence_number_used_twice_at_once_is_refused_for_now() -> None:
    talk = bound_esme()
    talk.peer_says(DeliverSm(sequence=1), DeliverSm(sequence=1))
    assert talk.expect_said(DeliverSmResp).status == 0x08
    talk.expect_event(MessageReceived)
    talk.session.respond(1)
    talk.peer_says(DeliverSm(sequence=1))
    talk.expect_event(MessageReceived)


def test_reading_stops_when_the_owner_lags_behind() -> None:
    talk = bound_esme(limits=LIMITS)
    talk.peer_says(DeliverSm(sequence=1))
    assert not talk.session.reading_paused
    talk.peer_says(DeliverSm(sequence=2))
    assert talk.session.reading_paused
    assert talk.session.unanswered == 2
    talk.session.respond(1)
    assert not talk.session.reading_paused


def test_reading_stops_when_the_peer_asks_and_does_not_read() -> None:
    talk = bound_esme()
    talk.peer_sends(encode(EnquireLink(sequence=1)) * OUT_PDUS_MAX)
    assert talk.session.reading_paused
    talk.said()
    assert not talk.session.reading_paused


def test_an_unreadable_receipt_is_refused_with_its_own_response() -> None:
    talk = bound_esme()
    talk.peer_sends(bytes.fromhex("00000012 00000005 00000000 00000009") + b"ab")
    assert talk.expect_said(DeliverSmResp) == DeliverSmResp(sequence=9, status=0x02)
    assert talk.session.accepts_messages
