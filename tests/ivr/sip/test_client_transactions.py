"""Transactions of ours, with their clock moved by hand: timers A, B, D, E, F, K and M, and answers that find their request."""

from __future__ import annotations

import pytest

from ivr.sip.hop import Hop
from ivr.sip.layer import RequestFailed, RequestTimedOut, ResponseArrived, StrayResponse, TransactionEnded
from ivr.sip.message import Request
from ivr.sip.transaction import State, Timers
from tests.ivr.sip.clocked import BOTH, REPEATS_OF_INVITE, REPEATS_OF_OTHERS, TCP, UDP, Clocked, answer, at, request

# --- our INVITE: timers A, B, D, M -----------------------------------------------------------------------------------


def test_an_invite_is_repeated_on_udp_until_timer_b() -> None:
    clocked, invite = Clocked(), request()
    key = clocked.send(invite)
    sent = clocked.advance(31.999)
    assert at(sent) == REPEATS_OF_INVITE
    assert {message for _, message in sent} == {invite}
    assert clocked.events() == []
    assert clocked.advance(32.0) == []
    assert clocked.events() == [RequestTimedOut(key), TransactionEnded(key)]
    assert len(clocked.layer) == 0
    assert clocked.advance(500.0) == []


def test_an_invite_is_sent_once_on_tcp_and_times_out_all_the_same() -> None:
    clocked = Clocked()
    key = clocked.send(request(), TCP)
    assert clocked.advance(31.999) == []
    assert clocked.events() == []
    assert clocked.advance(32.0) == []
    assert clocked.events() == [RequestTimedOut(key), TransactionEnded(key)]


def test_a_provisional_answer_stops_timers_a_and_b() -> None:
    clocked, invite = Clocked(), request()
    key = clocked.send(invite)
    clocked.advance(1.0)
    for status in (100, 180, 180):
        assert clocked.hear(answer(invite, status)) == []
    assert clocked.advance(300.0) == []  # how long it may ring is not for the transaction to say
    events = clocked.events()
    assert [one.response.status for one in events if isinstance(one, ResponseArrived)] == [100, 180, 180]
    assert all(isinstance(one, ResponseArrived) and one.key == key for one in events)


@pytest.mark.parametrize(("hop", "linger_s"), [(UDP, 32.0), (TCP, 0.0)])
def test_a_refusal_is_acknowledged_each_time_during_timer_d(hop: Hop, linger_s: float) -> None:
    clocked, invite = Clocked(), request()
    key = clocked.send(invite, hop)
    busy = answer(invite, 486)
    [ack] = clocked.hear(busy, hop)
    assert isinstance(ack, Request)
    assert (ack.method, ack.uri, ack.via.branch, ack.to.tag, str(ack.cseq)) == (
        "ACK",
        invite.uri,
        "z9hG4bK1",
        "b",
        "1 ACK",
    )
    assert [type(one) for one in clocked.events()] == [ResponseArrived]
    if linger_s:
        clocked.advance(31.9)
        assert clocked.hear(busy, hop) == [ack]
        assert clocked.events() == []  # the user hears of it once
        assert clocked.hear(answer(invite, 180), hop) == []  # a late 180 means nothing any more
        assert clocked.events() == []
    clocked.advance(linger_s)
    assert clocked.events() == [TransactionEnded(key)]
    assert clocked.hear(busy, hop) == []
    assert [type(one) for one in clocked.events()] == [StrayResponse]


@BOTH
def test_every_2xx_is_passed_on_until_timer_m(hop: Hop) -> None:
    clocked, invite = Clocked(), request()
    key = clocked.send(invite, hop)
    clocked.hear(answer(invite, 180), hop)
    for tag in ("b", "b", "fork"):
        assert clocked.hear(answer(invite, 200, tag), hop) == []  # the ACK of a 2xx is not the transaction's
    assert clocked.hear(answer(invite, 180, "third"), hop) == []
    assert clocked.hear(answer(invite, 486, "third"), hop) == []
    clocked.advance(31.9)
    clocked.hear(answer(invite, 200, "late"), hop)
    arrived = [one.response for one in clocked.events() if isinstance(one, ResponseArrived)]
    assert [(one.status, one.to.tag) for one in arrived] == [
        (180, "b"), (200, "b"), (200, "b"), (200, "fork"), (200, "late"),
    ]  # fmt: skip
    assert clocked.advance(32.0) == []
    assert clocked.events() == [TransactionEnded(key)]
    assert len(clocked.layer) == 0


def test_the_ack_of_a_refusal_has_the_routes_of_its_invite() -> None:
    clocked, plain = Clocked(), request()
    invite = Request(
        method="INVITE", uri=plain.uri,
        headers=plain.headers.added("Route", "<sip:p1;lr>").added("Route", "<sip:p2;lr>").added("Require", "x"),
    )  # fmt: skip
    clocked.send(invite)
    [ack] = clocked.hear(answer(invite, 404))
    assert ack.headers.all("Route") == ("<sip:p1;lr>", "<sip:p2;lr>")
    assert "Require" not in ack.headers  # RFC 3261, 8.1.1.9
    assert len(ack.headers.all("Via")) == 1


# --- our other requests: timers E, F, K ------------------------------------------------------------------------------


def test_other_requests_are_repeated_on_udp_until_timer_f() -> None:
    clocked, bye = Clocked(), request("BYE")
    key = clocked.send(bye)
    assert at(clocked.advance(31.999)) == REPEATS_OF_OTHERS
    clocked.advance(32.0)
    assert clocked.events() == [RequestTimedOut(key), TransactionEnded(key)]


def test_other_requests_are_sent_once_on_tcp() -> None:
    clocked = Clocked()
    key = clocked.send(request("BYE"), TCP)
    assert clocked.advance(32.0) == []
    assert clocked.events() == [RequestTimedOut(key), TransactionEnded(key)]


def test_a_provisional_answer_slows_timer_e_down_and_leaves_timer_f() -> None:
    clocked, bye = Clocked(), request("BYE")
    key = clocked.send(bye)
    clocked.advance(0.6)
    clocked.hear(answer(bye, 100))
    assert at(clocked.advance(31.999)) == [1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]
    clocked.advance(32.0)
    assert clocked.events()[1:] == [RequestTimedOut(key), TransactionEnded(key)]


@pytest.mark.parametrize(("hop", "linger_s"), [(UDP, 5.0), (TCP, 0.0)])
@pytest.mark.parametrize("status", [200, 404])
def test_a_final_answer_is_told_once_and_repeated_ones_are_absorbed_during_timer_k(
    hop: Hop, linger_s: float, status: int
) -> None:
    clocked, bye = Clocked(), request("BYE")
    key = clocked.send(bye, hop)
    assert clocked.hear(answer(bye, status), hop) == []
    assert [type(one) for one in clocked.events()] == [ResponseArrived]
    assert clocked.hear(answer(bye, status), hop) == []
    assert clocked.events() == []
    assert clocked.advance(linger_s) == []
    assert clocked.events() == [TransactionEnded(key)]


def test_answers_find_their_request_by_branch_and_method() -> None:
    clocked, invite = Clocked(), request()
    cancel = request("CANCEL")  # the branch of its INVITE
    keys = [clocked.send(invite), clocked.send(cancel)]
    clocked.hear(answer(cancel, 200))
    clocked.hear(answer(invite, 487))
    clocked.hear(answer(request("BYE"), 200))
    clocked.hear(answer(request(branch="z9hG4bKelse"), 200))
    events = clocked.events()
    assert [one.key for one in events if isinstance(one, ResponseArrived)] == [keys[1], keys[0]]
    assert [type(one) for one in events[2:]] == [StrayResponse, StrayResponse]


@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_a_broken_transport_fails_what_was_not_answered_there_and_nothing_else(method: str) -> None:
    clocked = Clocked()
    waiting = clocked.send(request(method, branch="z9hG4bKw"), TCP)
    elsewhere = clocked.send(request(method, branch="z9hG4bKe"), Hop("tcp", "203.0.113.10", 5060))
    done = request(method, branch="z9hG4bKd")
    clocked.send(done, TCP)
    clocked.hear(answer(done, 200), TCP)
    clocked.events()
    clocked.layer.transport_failed(TCP, clocked.now)
    assert clocked.events() == [RequestFailed(waiting), TransactionEnded(waiting)]
    clocked.advance(32.0)
    assert RequestTimedOut(elsewhere) in clocked.events()


def test_a_broken_transport_leaves_an_invite_that_is_under_way() -> None:
    clocked, invite = Clocked(), request()
    key = clocked.send(invite, TCP)
    clocked.hear(answer(invite, 100), TCP)
    clocked.layer.transport_failed(TCP, clocked.now)
    clocked.hear(answer(invite, 200), Hop("tcp", "203.0.113.9", 40_000))
    assert [one.key for one in clocked.events() if isinstance(one, ResponseArrived)] == [key, key]


def test_of_overdue_answers_the_youngest_request_is_told() -> None:
    clocked = Clocked()
    keys = [clocked.send(request(branch="z9hG4bKa"), TCP)]
    clocked.advance(1.0)
    keys += [clocked.send(request("OPTIONS", branch="z9hG4bKb"), TCP), clocked.send(request(branch="z9hG4bKc"))]
    for key in (*reversed(keys), "c no such"):
        clocked.layer.unanswered(key)
    assert clocked.layer.silent() == [(TCP, 1.0)]
    assert clocked.layer.silent() == []


def test_a_forgotten_request_is_not_repeated_and_not_told_as_timed_out() -> None:
    clocked = Clocked()
    key = clocked.send(request())
    clocked.layer.forget(key)
    clocked.layer.forget(key)
    assert clocked.events() == [TransactionEnded(key)]
    assert clocked.advance(100.0) == []
    assert clocked.events() == []


def test_a_layer_that_was_asleep_sends_one_repetition_and_not_all_that_it_missed() -> None:
    clocked, invite = Clocked(), request()
    clocked.send(invite)
    clocked.now = 10.0
    clocked.layer.handle_deadline(10.0)
    assert [message for _, message in clocked.layer.messages_to_send()] == [invite]


def test_states_are_those_of_the_figures() -> None:
    clocked, invite = Clocked(timers=Timers(t1=0.1)), request()
    key = clocked.send(invite)
    transaction = clocked.layer._live[key]
    states: list[State] = [transaction.state]
    clocked.hear(answer(invite, 180))
    states.append(transaction.state)
    clocked.hear(answer(invite, 200))
    states.append(transaction.state)
    clocked.advance(6.4)
    states.append(transaction.state)
    assert states == [State.CALLING, State.PROCEEDING, State.ACCEPTED, State.TERMINATED]
