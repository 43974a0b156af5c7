"""A session whose peer does not do its work: answers that come late, too late, or never, while enquiries are answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from channels.sms.smpp.events import Answered, CloseCause, Closed
from channels.sms.smpp.lapses import LAPSED_MAX
from channels.sms.smpp.pdu import DataSmResp, DeliverSm, EnquireLink, EnquireLinkResp, GenericNack, SubmitSmResp
from tests.channels.sms.conversation import LIMITS, Conversation, bound_esme, text_message


@pytest.mark.parametrize("status", [0x0B, 0x58])
def test_a_late_refusal_is_told_too(status: int) -> None:
    talk = bound_esme(limits=LIMITS)
    first, second = (talk.session.send(text_message(), talk.now) for _ in range(2))
    talk.said()
    talk.pass_time(LIMITS.response_s)
    talk.events()
    talk.peer_says(SubmitSmResp(sequence=first, status=status), GenericNack(sequence=second, status=0x02))
    told = [(event.sequence, event.status, event.nacked, event.late) for event in talk.events()]  # type: ignore[union-attr]
    assert told == [(first, status, False, True), (second, 0x02, True, True)]


def test_a_late_answer_of_another_kind_is_a_stray() -> None:
    talk = bound_esme(limits=LIMITS)
    first = talk.session.send(text_message(), talk.now)
    talk.said()
    talk.pass_time(LIMITS.response_s)
    talk.events()
    talk.peer_says(DataSmResp(sequence=first, message_id="no"))
    assert (talk.events(), talk.session.strays) == ([], 1)


def test_the_numbers_that_lapsed_last_are_kept_and_no_more() -> None:
    talk = bound_esme(limits=replace(LIMITS, window=LAPSED_MAX + 1))
    sequences = [talk.session.send(text_message(), talk.now) for _ in range(LAPSED_MAX + 1)]
    talk.said()
    talk.pass_time(LIMITS.response_s)
    assert len(talk.events()) == LAPSED_MAX + 1
    talk.peer_says(SubmitSmResp(sequence=sequences[0], message_id="a"))
    assert (talk.events(), talk.session.strays) == ([], 1)
    talk.peer_says(SubmitSmResp(sequence=sequences[1], message_id="b"))
    assert talk.expect_event(Answered).late


def kept_alive(talk: Conversation, seconds: float) -> None:
    """Time passes with a peer that answers every enquire_link."""
    for _ in range(int(seconds)):
        talk.pass_time(1)
        for pdu in talk.said():
            if isinstance(pdu, EnquireLink):
                talk.peer_says(EnquireLinkResp(sequence=pdu.sequence))


@pytest.mark.parametrize("count", [1, 3])
def test_a_peer_that_answers_enquiries_and_no_message_is_left(count: int) -> None:
    talk = bound_esme(limits=LIMITS)
    for _ in range(count):
        talk.session.send(text_message(), talk.now)
    kept_alive(talk, 2 * LIMITS.response_s - 1)
    assert not talk.session.closed
    kept_alive(talk, 2)
    closed = [event for event in talk.events() if isinstance(event, Closed)]
    assert [event.cause for event in closed] == [CloseCause.WORK_UNANSWERED]


def test_a_peer_that_answers_late_is_slow_and_is_kept() -> None:
    talk = bound_esme(limits=LIMITS)
    for _ in range(10):
        sequence = talk.session.send(text_message(), talk.now)
        kept_alive(talk, 1.6 * LIMITS.response_s)
        talk.peer_says(SubmitSmResp(sequence=sequence, message_id="slow"))
    assert not talk.session.closed
    assert sum(isinstance(event, Answered) for event in talk.events()) == 10


def test_one_lapse_among_answers_is_an_accident_of_that_message() -> None:
    talk = bound_esme(limits=LIMITS)
    talk.session.send(text_message(), talk.now)
    for _ in range(20):
        sequence = talk.session.send(text_message(), talk.now)
        kept_alive(talk, LIMITS.response_s / 2)
        talk.peer_says(SubmitSmResp(sequence=sequence, message_id="ok"))
    assert not talk.session.closed


def test_what_we_do_not_read_is_held_against_nobody() -> None:
    talk = bound_esme(limits=LIMITS)
    talk.session.send(text_message(), talk.now)
    talk.said()
    for sequence in range(LIMITS.inbound_max):
        talk.peer_says(DeliverSm(sequence=1 + sequence))
    assert talk.session.reading_paused
    talk.pass_time(3 * LIMITS.response_s)
    assert not talk.session.closed
