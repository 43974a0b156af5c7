"""Transactions of theirs, with their clock moved by hand: timers G to J and L, cached answers, CANCEL, merged requests, 100."""

from __future__ import annotations

import pytest

from ivr.sip.hop import Hop
from ivr.sip.layer import AckArrived, CancelArrived, RequestArrived
from ivr.sip.message import Request, Response
from tests.ivr.sip.clocked import BOTH, REPEATS_OF_OTHERS, TCP, UDP, Clocked, answer, at, request

# --- their INVITE: timers G, H, I, L, and 100 ------------------------------------------------------------------------


def test_100_goes_out_after_200_ms_of_silence_and_once() -> None:
    clocked = Clocked()
    clocked.arrive(request())
    assert clocked.advance(0.199) == []
    [(at_s, trying)] = clocked.advance(60.0)
    assert isinstance(trying, Response)
    assert (at_s, trying.status, trying.to.tag) == (0.2, 100, None)
    assert clocked.hear(request()) == [trying]  # a repeated INVITE gets it again


@pytest.mark.parametrize("status", [180, 200, 486])
def test_no_100_where_the_user_was_quicker(status: int) -> None:
    clocked, invite = Clocked(), request()
    key = clocked.arrive(invite)
    clocked.advance(0.15)
    clocked.respond(key, answer(invite, status))
    assert 100 not in [message.status for _, message in clocked.advance(1.0) if isinstance(message, Response)]


def test_no_100_for_requests_other_than_invite() -> None:
    clocked = Clocked()
    clocked.arrive(request("OPTIONS"))
    assert clocked.advance(10.0) == []


def test_a_repeated_invite_gets_the_last_provisional_answer_again() -> None:
    clocked, invite = Clocked(), request()
    key = clocked.arrive(invite)
    assert clocked.hear(invite) == []  # there is none yet
    ringing = answer(invite, 180)
    assert clocked.respond(key, ringing) == [ringing]
    assert clocked.hear(invite) == [ringing]
    assert clocked.events() == []


def test_a_refusal_is_repeated_on_udp_until_timer_h() -> None:
    clocked, invite = Clocked(), request()
    key = clocked.arrive(invite)
    busy = answer(invite, 486)
    assert clocked.respond(key, busy) == [busy]
    sent = clocked.advance(31.999)
    assert at(sent) == REPEATS_OF_OTHERS
    assert {message for _, message in sent} == {busy}
    assert clocked.hear(invite) == [busy]
    clocked.advance(32.0)
    assert len(clocked.layer) == 0
    assert clocked.advance(200.0) == []


def test_a_refusal_is_sent_once_on_tcp_and_forgotten_with_timer_h() -> None:
    clocked, invite = Clocked(), request()
    key = clocked.arrive(invite, TCP)
    clocked.respond(key, answer(invite, 486))
    assert clocked.advance(31.999) == []
    assert len(clocked.layer) == 1
    clocked.advance(32.0)
    assert len(clocked.layer) == 0


@pytest.mark.parametrize(("hop", "linger_s"), [(UDP, 5.0), (TCP, 0.0)])
def test_an_ack_ends_the_repetitions_and_timer_i_absorbs_more_of_it(hop: Hop, linger_s: float) -> None:
    clocked, invite = Clocked(), request()
    key = clocked.arrive(invite, hop)
    clocked.respond(key, answer(invite, 486))
    clocked.advance(2.0)
    ack = request("ACK", to_tag="b")
    assert clocked.hear(ack, hop) == []
    if linger_s:
        assert clocked.hear(ack, hop) == []
        assert clocked.hear(invite, hop) == []  # nothing is said twice once it was acknowledged
    assert clocked.events() == []  # of no concern to the user
    assert clocked.advance(2.0 + linger_s) == []
    assert len(clocked.layer) == 0


@BOTH
def test_a_2xx_is_not_repeated_by_the_transaction_and_its_ack_is_passed_on(hop: Hop) -> None:
    clocked, invite = Clocked(), request()
    key = clocked.arrive(invite, hop)
    ok = answer(invite, 200)
    assert clocked.respond(key, ok) == [ok]
    assert clocked.hear(invite, hop) == []  # RFC 6026: absorbed, the user repeats it
    ack = request("ACK", branch="z9hG4bKother", to_tag="b")
    assert clocked.hear(ack, hop) == []
    assert [type(one) for one in clocked.events()] == [AckArrived]
    assert clocked.hear(request("ACK", to_tag="b"), hop) == []  # with the INVITE's branch, as some do
    assert [type(one) for one in clocked.events()] == [AckArrived]
    assert clocked.advance(31.9) == []
    assert len(clocked.layer) == 1
    clocked.advance(32.0)  # timer L, on every transport
    assert len(clocked.layer) == 0


def test_only_the_first_final_answer_counts() -> None:
    clocked, invite = Clocked(), request()
    key = clocked.arrive(invite)
    busy = answer(invite, 486)
    clocked.respond(key, busy)
    assert clocked.respond(key, answer(invite, 200)) == []
    assert clocked.respond(key, answer(invite, 180)) == []
    assert clocked.hear(invite) == [busy]


# --- their other requests: timer J -----------------------------------------------------------------------------------


def test_repeated_requests_get_the_cached_answer_during_timer_j() -> None:
    clocked, bye = Clocked(), request("BYE", to_tag="b")
    key = clocked.arrive(bye)
    assert clocked.hear(bye) == []  # not answered yet
    ok = answer(bye, 200)
    assert clocked.respond(key, ok) == [ok]
    for second in (1.0, 20.0, 31.9):
        assert clocked.advance(second) == []
        assert clocked.hear(bye) == [ok]
    assert clocked.events() == []
    clocked.advance(32.0)
    assert len(clocked.layer) == 0
    clocked.arrive(bye)  # now it would be a new one


def test_on_tcp_nothing_is_kept_after_the_answer() -> None:
    clocked, bye = Clocked(), request("BYE", to_tag="b")
    key = clocked.arrive(bye, TCP)
    clocked.respond(key, answer(bye, 200))
    clocked.advance(0.0)
    assert len(clocked.layer) == 0


def test_an_answer_to_nothing_goes_nowhere() -> None:
    clocked, bye = Clocked(), request("BYE", to_tag="b")
    key = clocked.arrive(bye)
    clocked.respond(key, answer(bye, 200))
    clocked.advance(40.0)
    assert clocked.respond(key, answer(bye, 200)) == []
    own = clocked.send(request("INFO", branch="z9hG4bKown"))
    assert clocked.respond(own, answer(bye, 200)) == []


# --- CANCEL ----------------------------------------------------------------------------------------------------------


def test_a_cancel_is_answered_and_told_once() -> None:
    clocked, invite = Clocked(), request()
    key = clocked.arrive(invite)
    [ok] = clocked.hear(request("CANCEL"))
    assert isinstance(ok, Response)
    assert (ok.status, str(ok.cseq)) == (200, "1 CANCEL")
    [event] = clocked.events()
    assert isinstance(event, CancelArrived)
    assert event.key == key
    assert clocked.hear(request("CANCEL")) == [ok]
    assert clocked.events() == []


@pytest.mark.parametrize("status", [200, 486])
def test_a_cancel_that_comes_too_late_is_answered_and_changes_nothing(status: int) -> None:
    clocked, invite = Clocked(), request()
    key = clocked.arrive(invite)
    clocked.respond(key, answer(invite, status))
    [ok] = clocked.hear(request("CANCEL"))
    assert isinstance(ok, Response)
    assert ok.status == 200
    assert clocked.events() == []


@pytest.mark.parametrize(
    "cancel",
    [
        request("CANCEL", branch="z9hG4bKother"),
        request("CANCEL", via="SIP/2.0/UDP 203.0.113.9:5070"),
        request("CANCEL", via="SIP/2.0/UDP 203.0.113.77:5060"),
    ],
    ids=["branch", "port", "host"],
)
def test_a_cancel_of_nothing_gets_481_and_keeps_no_transaction(cancel: Request) -> None:
    clocked = Clocked()
    clocked.arrive(request())
    before = len(clocked.layer)
    [refused] = clocked.hear(cancel)
    assert isinstance(refused, Response)
    assert refused.status == 481
    assert clocked.events() == []
    assert len(clocked.layer) == before


def test_an_old_peer_without_branches_can_cancel_too() -> None:
    via = "SIP/2.0/UDP 203.0.113.9:5060"
    clocked = Clocked()
    key = clocked.arrive(request(branch="", via=via))
    assert clocked.hear(request(branch="", via=via)) == []
    [ok] = clocked.hear(request("CANCEL", branch="", via=via))
    assert isinstance(ok, Response)
    assert ok.status == 200
    [event] = clocked.events()
    assert isinstance(event, CancelArrived)
    assert event.key == key
    clocked.respond(key, answer(request(branch="", via=via), 487))
    assert clocked.hear(request("ACK", branch="", via=via, to_tag="b")) == []
    assert clocked.events() == []


# --- merged requests, limits, where answers go -----------------------------------------------------------------------


def test_the_same_request_on_another_way_gets_482() -> None:
    clocked = Clocked()
    clocked.arrive(request())
    [loop] = clocked.hear(request(branch="z9hG4bK2"))
    assert isinstance(loop, Response)
    assert (loop.status, loop.to.tag is None) == (482, False)
    assert clocked.events() == []
    assert len(clocked.layer) == 1


@pytest.mark.parametrize(
    "other",
    [
        request(branch="z9hG4bK2", cseq=2),
        request(branch="z9hG4bK2", from_tag="z"),
        request(branch="z9hG4bK2", call_id="c2"),
        request("OPTIONS", branch="z9hG4bK2"),
        request(branch="z9hG4bK2", to_tag="dialog"),
    ],
    ids=["cseq", "from tag", "call id", "method", "in a dialog"],
)
def test_other_requests_are_not_merged(other: Request) -> None:
    clocked = Clocked()
    clocked.arrive(request())
    clocked.arrive(other)


def test_what_was_merged_is_forgotten_with_its_transaction() -> None:
    clocked, invite = Clocked(), request()
    key = clocked.arrive(invite)
    clocked.respond(key, answer(invite, 486))
    clocked.advance(32.0)
    clocked.arrive(request(branch="z9hG4bK2"))


def test_beyond_the_limit_new_requests_get_503_and_known_ones_go_on() -> None:
    clocked, invite = Clocked(transactions_max=1), request()
    key = clocked.arrive(invite)
    ringing = answer(invite, 180)
    clocked.respond(key, ringing)
    [busy] = clocked.hear(request(branch="z9hG4bK2", call_id="c2"))
    assert isinstance(busy, Response)
    assert (busy.status, busy.headers.get("Retry-After"), busy.to.tag is None) == (503, "5", False)
    assert clocked.layer.refused == 1
    assert clocked.layer.full
    assert clocked.hear(invite) == [ringing]
    clocked.send(request("BYE", branch="z9hG4bK3"))  # what belongs to a call always leaves


@pytest.mark.parametrize(
    ("via", "source", "expected", "written"),
    [
        ("SIP/2.0/UDP 203.0.113.9:5070", Hop("udp", "203.0.113.9", 49_152), Hop("udp", "203.0.113.9", 5070), None),
        ("SIP/2.0/UDP 203.0.113.9", Hop("udp", "203.0.113.9", 49_152), Hop("udp", "203.0.113.9", 5060), None),
        ("SIP/2.0/UDP 10.0.0.1:5070", Hop("udp", "203.0.113.9", 49_152), Hop("udp", "203.0.113.9", 5070), "received"),
        (
            "SIP/2.0/UDP 10.0.0.1:5070;rport",
            Hop("udp", "203.0.113.9", 49_152),
            Hop("udp", "203.0.113.9", 49_152),
            "rport",
        ),
        ("SIP/2.0/TCP 10.0.0.1:5070", Hop("tcp", "203.0.113.9", 49_152), Hop("tcp", "203.0.113.9", 49_152), "received"),
    ],
)
def test_answers_go_where_the_top_via_and_the_source_say(
    via: str, source: Hop, expected: Hop, written: str | None
) -> None:
    clocked = Clocked()
    invite = request("OPTIONS", via=via)
    clocked.layer.receive(invite, source, 0.0)
    [event] = clocked.events()
    assert isinstance(event, RequestArrived)
    clocked.layer.respond(event.key, answer(event.request, 200), 0.0)
    [(hop, response)] = clocked.layer.messages_to_send()
    assert hop == expected
    assert response.via.branch == "z9hG4bK1"
    assert response.via.received == (source.host if written else None)
    assert response.via.rport == (source.port if written == "rport" else None)
    clocked.layer.receive(invite, source, 0.0)
    assert [hop for hop, _ in clocked.layer.messages_to_send()] == [expected]


def test_nothing_is_left_of_thousands_of_transactions() -> None:
    clocked = Clocked()
    for n in range(2_000):
        invite = request(branch=f"z9hG4bK{n}", call_id=f"c{n}")
        key = clocked.arrive(invite)
        clocked.respond(key, answer(invite, 486 if n % 2 else 200))
        clocked.send(request("INFO", branch=f"z9hG4bKo{n}", call_id=f"c{n}"))
    clocked.advance(40.0)
    assert len(clocked.layer) == 0
    assert clocked.layer.next_deadline() is None
    assert not clocked.layer._merged
    assert not clocked.layer._trying
