"""Calls over connections that break or fall silent: what outlives them, where requests go then, which of them are dead."""

from __future__ import annotations

import pytest

from ivr.sip.events import Answered, Lost, Refused
from ivr.sip.hop import Hop
from ivr.sip.message import Request
from tests.ivr.sip.stage import (
    OFFERING,
    PEER,
    SDP,
    Stage,
    far_answer,
    far_invite,
    far_request,
    invitation,
    negotiation,
    ok,
    refusal,
    requests,
    response,
    sdp_body,
)

TCP = Hop("tcp", PEER.host, PEER.port)


@pytest.mark.parametrize("status", [100, 180, 183])
def test_a_call_outlives_its_connection_once_it_is_under_way(status: int) -> None:
    stage = Stage(transport="tcp")
    _, invite = stage.call()
    stage.hear(far_answer(invite, status))
    stage.agent.transport_failed(TCP, stage.now)
    assert stage.messages() == []
    assert stage.told(Refused) == []
    back = Hop("tcp", PEER.host, 40_000)  # RFC 3261, 18.2.2: they open another for their answer
    assert requests(stage.hear(ok(invite), back)) == ["ACK"]
    assert stage.told(Answered)


def test_a_call_without_its_connection_is_cancelled_when_the_ring_time_is_over() -> None:
    stage = Stage(transport="tcp")
    _, invite = stage.call(invitation(hops=(TCP,), ring_s=10.0))
    stage.hear(far_answer(invite, 180))
    stage.agent.transport_failed(TCP, stage.now)
    stage.now += 10.0
    stage.agent.handle_deadline(stage.now)
    [(hop, cancel)] = stage.sent()
    assert isinstance(cancel, Request)
    assert (hop, cancel.method) == (TCP, "CANCEL")
    assert refusal(stage).lost is Lost.RING_TIME_OVER
    stage.agent.transport_failed(TCP, stage.now)  # nobody there
    stage.advance(64.0)
    assert stage.agent.calls == 0


def test_a_call_that_was_only_tried_is_given_up_soon_after_its_connection() -> None:
    stage = Stage(transport="tcp")
    _, invite = stage.call(invitation(hops=(TCP,), ring_s=60.0))
    stage.hear(far_answer(invite, 100))
    stage.agent.transport_failed(TCP, stage.now)
    stage.advance(10.0)
    stage.agent.transport_failed(TCP, stage.now)  # makes it no longer
    assert stage.advance(9.9) == []
    assert requests(one for _, one in stage.advance(0.2)) == ["CANCEL"]
    assert refusal(stage).lost is Lost.STALLED
    stage.advance(64.0)
    assert stage.agent.calls == 0


def test_an_overdue_first_answer_is_told_of_connections_only() -> None:
    for transport, told in ((TCP, [TCP]), (PEER, [])):
        stage = Stage(transport=transport.transport)
        stage.call(invitation(hops=(transport,)))
        began = stage.now
        stage.advance(4.9)
        assert stage.agent.silent() == []
        stage.advance(0.2)
        assert stage.agent.silent() == [(hop, began) for hop in told]
        assert stage.agent.silent() == []


def test_an_overdue_final_answer_is_told() -> None:
    stage = Stage(transport="tcp")
    far = stage.up()
    far.leg.hang_up(stage.now)
    began = stage.now
    stage.advance(31.9)
    assert stage.agent.silent() == []
    stage.advance(0.2)
    assert stage.agent.silent() == [(TCP, began)]


# --- after a connection is lost --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contact", "expected"),
    [
        ("<sip:a@203.0.113.9:5080;transport=tcp>", Hop("tcp", "203.0.113.9", 5080)),
        ("<sip:a@203.0.113.9;transport=tcp>", Hop("tcp", "203.0.113.9", 5060)),
        ("<sip:a@pbx.example:5070;transport=tcp>", Hop("tcp", "203.0.113.9", 5070)),
        ("<sip:a@pbx.example>", Hop("tcp", "203.0.113.9", 5060)),
        ("<sip:a@203.0.113.77;transport=tcp>", Hop("tcp", "203.0.113.77", 5060)),
    ],
)
def test_after_their_connection_is_lost_our_bye_goes_to_the_contact(contact: str, expected: Hop) -> None:
    stage, source = Stage(transport="tcp"), Hop("tcp", "203.0.113.9", 49_152)
    leg = stage.offered(
        far_request(
            "INVITE", "sip:tocsin@192.0.2.1", branch="z9hG4bKi", headers=[("Contact", contact), SDP], body=sdp_body()
        ),
        source,
    )
    leg.answer(negotiation(), stage.now)
    answer = response(stage.messages(), 200)
    stage.hear(far_request("ACK", "sip:x", branch="z9hG4bKa", to=answer.headers.get("To") or ""), source)
    stage.agent.transport_failed(Hop("tcp", "203.0.113.9", 49_153), stage.now)  # not this one
    stage.agent.transport_failed(source, stage.now)
    leg.hang_up(stage.now)
    [(hop, bye)] = stage.sent()
    assert isinstance(bye, Request)
    assert (hop, bye.method) == (expected, "BYE")


def test_while_their_connection_is_open_our_bye_goes_over_it() -> None:
    stage, source = Stage(transport="tcp"), Hop("tcp", "203.0.113.9", 49_152)
    leg = stage.offered(far_invite(), source)
    leg.answer(negotiation(), stage.now)
    answer = response(stage.messages(), 200)
    stage.hear(far_request("ACK", "sip:x", branch="z9hG4bKa", to=answer.headers.get("To") or ""), source)
    leg.hang_up(stage.now)
    [(hop, _)] = stage.sent()
    assert hop == source


def test_after_our_connection_is_lost_the_bye_goes_to_the_route() -> None:
    stage = Stage(transport="tcp")
    leg, invite = stage.call()
    route = ("Record-Route", "<sip:203.0.113.9:5062;transport=tcp;lr>")
    back = Hop("tcp", "203.0.113.9", 40_000)  # the answer came over a connection of theirs
    stage.hear(far_answer(invite, 200, headers=[*OFFERING, route], body=sdp_body()), back)
    stage.agent.transport_failed(back, stage.now)
    leg.hang_up(stage.now)
    [(hop, _)] = stage.sent()
    assert hop == Hop("tcp", "203.0.113.9", 5062)
