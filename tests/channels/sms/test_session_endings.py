"""The session when things go wrong or come to an end: unknown commands, silence, unbind, a stream out of step."""

from __future__ import annotations

import pytest

from channels.sms.smpp.errors import LocalProtocolError
from channels.sms.smpp.events import (
    Answered,
    CloseCause,
    Closed,
    PeerLeaving,
    Unanswered,
)
from channels.sms.smpp.pdu import (
    AlertNotification,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from tests.channels.sms.conversation import LIMITS, Conversation, bound_esme, text_message


def test_unknown_commands_are_answered_by_generic_nack_and_unknown_responses_by_nothing() -> None:
    talk = bound_esme()
    talk.peer_sends(bytes.fromhex("00000010 00000112 00000000 00000009"))
    assert talk.expect_said(GenericNack) == GenericNack(sequence=9, status=0x03)
    talk.peer_sends(bytes.fromhex("00000010 80000112 00000000 00000009"))
    talk.expect_silence()
    assert talk.session.strays == 1


def test_alert_notification_is_passed_over() -> None:
    talk = bound_esme()
    talk.peer_says(AlertNotification(sequence=3, source_addr="336", esme_addr="1"))
    talk.expect_silence()
    assert talk.events() == []


# -- generic_nack


def test_generic_nack_with_our_number_fails_that_submit_only() -> None:
    talk = bound_esme()
    first, second = (talk.session.send(text_message(), talk.now) for _ in range(2))
    talk.peer_says(GenericNack(sequence=first, status=0x02))
    assert talk.events() == [Answered(sequence=first, status=0x02, message_id="", nacked=True)]
    talk.peer_says(SubmitSmResp(sequence=second))
    assert talk.expect_event(Answered).sequence == second


def test_generic_nack_never_counts_as_success() -> None:
    talk = bound_esme()
    sequence = talk.session.send(text_message(), talk.now)
    talk.peer_says(GenericNack(sequence=sequence, status=0))
    assert talk.expect_event(Answered).status == 0x03


def test_generic_nack_without_a_number_means_that_the_stream_is_out_of_step() -> None:
    talk = bound_esme()
    sequence = talk.session.send(text_message(), talk.now)
    talk.said()
    talk.peer_says(GenericNack(sequence=0, status=0x02))
    unanswered, closed = talk.events()
    assert unanswered == Unanswered(sequence=sequence, timed_out=False, maybe_sent=True)
    assert isinstance(closed, Closed)
    assert closed.cause is CloseCause.OUT_OF_STEP


def test_generic_nack_with_a_number_of_nobody_is_a_stray() -> None:
    talk = bound_esme()
    talk.peer_says(GenericNack(sequence=4711, status=0x02))
    assert talk.events() == []
    assert talk.session.strays == 1


@pytest.mark.parametrize("length", ["00000000", "0000000f", "00010011", "7fffffff"])
def test_an_impossible_length_closes_the_session(length: str) -> None:
    talk = bound_esme()
    talk.peer_sends(bytes.fromhex(length) + bytes(12))
    assert talk.expect_event(Closed).cause is CloseCause.OUT_OF_STEP
    talk.peer_says(DeliverSm(sequence=1))
    assert talk.events() == []


# -- silence


def test_a_silent_peer_is_asked_and_then_given_up() -> None:
    talk = bound_esme(limits=LIMITS)
    talk.pass_time(29.9)
    talk.expect_silence()
    talk.pass_time(0.1)
    talk.expect_said(EnquireLink)
    talk.pass_time(9.9)
    assert talk.events() == []
    talk.pass_time(0.1)
    assert talk.expect_event(Closed).cause is CloseCause.ENQUIRY_UNANSWERED


def test_an_answer_to_the_enquiry_or_anything_else_keeps_the_link() -> None:
    for sign in (EnquireLinkResp(sequence=2), DeliverSm(sequence=5)):
        talk = bound_esme(limits=LIMITS)
        talk.pass_time(30)
        assert talk.expect_said(EnquireLink).sequence == 2
        talk.pass_time(5)
        talk.peer_says(sign)
        talk.pass_time(29.9)
        assert [event for event in talk.events() if isinstance(event, Closed)] == []
        talk.pass_time(0.1)
        talk.expect_said(EnquireLink)


def test_enquiries_of_the_peer_are_answered() -> None:
    talk = bound_esme()
    talk.peer_says(EnquireLink(sequence=12))
    assert talk.expect_said(EnquireLinkResp).sequence == 12


def test_silence_proves_nothing_while_we_do_not_read() -> None:
    talk = bound_esme(limits=LIMITS)
    talk.peer_says(DeliverSm(sequence=1), DeliverSm(sequence=2))
    assert talk.session.reading_paused
    talk.pass_time(120)
    assert not talk.session.closed
    talk.session.respond(1)
    talk.session.respond(2)
    talk.pass_time(9)  # what the peer said meanwhile could only be read from now on
    assert not talk.session.closed
    talk.pass_time(40)
    assert talk.session.closed


# -- the end


def test_unbind_waits_for_answers_and_reports_and_takes_no_more() -> None:
    talk = bound_esme(limits=LIMITS)
    sequence = talk.session.send(text_message(), talk.now)
    talk.peer_says(DeliverSm(sequence=5))
    talk.events()
    talk.said()
    talk.session.unbind(talk.now)
    talk.expect_silence()
    with pytest.raises(LocalProtocolError):
        talk.session.send(text_message(), talk.now)
    talk.peer_says(SubmitSmResp(sequence=sequence, message_id="1"))
    talk.expect_event(Answered)
    talk.expect_silence()
    talk.session.respond(5)
    deliver_resp, unbind = talk.said()
    assert isinstance(deliver_resp, DeliverSmResp)
    assert isinstance(unbind, Unbind)
    talk.peer_says(UnbindResp(sequence=unbind.sequence))
    assert talk.expect_event(Closed).cause is CloseCause.UNBOUND


def test_unbind_waits_only_so_long() -> None:
    talk = bound_esme(limits=LIMITS)
    sequence = talk.session.send(text_message(), talk.now)
    talk.said()
    talk.session.unbind(talk.now)
    talk.pass_time(7.9)
    talk.expect_silence()
    talk.pass_time(0.1)
    talk.expect_said(Unbind)
    talk.pass_time(2)
    unanswered, closed = talk.events()
    assert unanswered == Unanswered(sequence=sequence, timed_out=False, maybe_sent=True)
    assert isinstance(closed, Closed)
    assert closed.cause is CloseCause.UNBOUND


def test_unbind_with_nothing_outstanding_goes_at_once_and_only_once() -> None:
    talk = bound_esme(limits=LIMITS)
    talk.session.unbind(talk.now)
    talk.session.unbind(talk.now)
    talk.expect_said(Unbind)
    talk.pass_time(2)
    assert talk.expect_event(Closed).detail == "unbind was not answered"


def test_an_unbind_answered_by_generic_nack_is_an_end_too() -> None:
    talk = bound_esme()
    talk.session.unbind(talk.now)
    talk.peer_says(GenericNack(sequence=talk.expect_said(Unbind).sequence, status=0x03))
    assert talk.expect_event(Closed).cause is CloseCause.UNBOUND


def test_unbind_before_a_bind_just_closes() -> None:
    talk = Conversation()
    talk.session.unbind(talk.now)
    assert talk.expect_event(Closed).cause is CloseCause.UNBOUND
    talk.expect_silence()


def test_the_peers_unbind_withdraws_what_has_not_left_and_waits_for_the_answer_to_what_has() -> None:
    talk = bound_esme(limits=LIMITS)
    left = talk.session.send(text_message(), talk.now)
    talk.said()
    kept = talk.session.send(text_message(), talk.now)
    talk.peer_says(Unbind(sequence=9))
    talk.expect_silence()
    assert talk.events() == [Unanswered(sequence=kept, timed_out=False, maybe_sent=False), PeerLeaving()]
    assert not talk.session.accepts_messages
    talk.peer_says(SubmitSmResp(sequence=left, message_id="7"))
    assert talk.said() == [UnbindResp(sequence=9)]
    assert talk.events() == [
        Answered(sequence=left, status=0, message_id="7"),
        Closed(cause=CloseCause.UNBOUND_BY_PEER),
    ]


def test_the_peers_unbind_waits_until_its_messages_are_answered() -> None:
    talk = bound_esme(limits=LIMITS)
    talk.peer_says(DeliverSm(sequence=5), Unbind(sequence=9))
    talk.expect_silence()
    talk.session.respond(5)
    assert talk.said() == [DeliverSmResp(sequence=5), UnbindResp(sequence=9)]


def test_the_peers_unbind_waits_only_so_long_for_an_answer_that_does_not_come() -> None:
    talk = bound_esme(limits=LIMITS)
    left = talk.session.send(text_message(), talk.now)
    talk.said()
    talk.peer_says(Unbind(sequence=9))
    talk.pass_time(LIMITS.peer_drain_s - 0.1)
    talk.expect_silence()
    talk.pass_time(0.1)
    assert talk.said() == [UnbindResp(sequence=9)]
    assert talk.events() == [
        PeerLeaving(),
        Unanswered(sequence=left, timed_out=False, maybe_sent=True),
        Closed(cause=CloseCause.UNBOUND_BY_PEER),
    ]


def test_unbinds_that_cross_end_it_at_once() -> None:
    talk = bound_esme(limits=LIMITS)
    talk.session.unbind(talk.now)
    talk.expect_said(Unbind)
    talk.peer_says(Unbind(sequence=9))
    assert talk.said() == [UnbindResp(sequence=9)]
    assert talk.expect_event(Closed).cause is CloseCause.UNBOUND_BY_PEER


def test_the_peers_unbind_cuts_a_drain_of_ours_short_and_never_makes_it_longer() -> None:
    talk = bound_esme(limits=LIMITS)
    talk.session.send(text_message(), talk.now)
    talk.said()
    talk.session.unbind(talk.now)
    talk.peer_says(Unbind(sequence=9))
    talk.pass_time(LIMITS.peer_drain_s)
    assert talk.said() == [UnbindResp(sequence=9)]
    assert talk.session.closed


def test_giving_up_closes_at_once() -> None:
    talk = bound_esme()
    talk.session.give_up("enough")
    assert talk.expect_event(Closed) == Closed(cause=CloseCause.GIVEN_UP, detail="enough")
    talk.session.handle_deadline(talk.now + 1000)
    talk.session.receive_eof()
    assert talk.events() == []
