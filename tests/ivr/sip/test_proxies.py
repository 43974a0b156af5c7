"""Calls of ours to where they are sent on: other targets, other proxies after a silence or a refusal, and answers too late."""

from __future__ import annotations

import pytest

from ivr.sip.events import Answered, Lost, Refused
from ivr.sip.hop import Hop
from ivr.sip.message import Request, encode
from tests.ivr.sip.stage import CHALLENGE, OTHER, PEER, Stage, far_answer, invitation, ok, only, refusal, requests

# --- redirects -------------------------------------------------------------------------------------------------------


def redirecting(target: str) -> tuple[Hop, ...]:
    """Only the hospital's own domain is followed."""
    return (OTHER,) if target.endswith("@hospital.example") else ()


def test_a_redirect_within_bounds_is_followed_without_route_and_credentials() -> None:
    stage = Stage()
    _, invite = stage.call(invitation(redirect=redirecting, routes=("<sip:proxy;lr>",)))
    invite = only(stage.hear(far_answer(invite, 407, headers=[("Proxy-Authenticate", CHALLENGE)])), "INVITE")
    contacts = [("Contact", "<tel:+1900>, <sip:x@premium.example>"), ("Contact", '"N" <sip:n@hospital.example>;q=0.1')]
    stage.agent.receive(encode(far_answer(invite, 302, headers=contacts)), PEER, stage.now)
    [(_, ack), (hop, again)] = stage.sent()
    assert isinstance(ack, Request)
    assert isinstance(again, Request)
    assert (ack.method, hop, again.uri) == ("ACK", OTHER, "sip:n@hospital.example")
    assert "Route" not in again.headers
    assert "Proxy-Authorization" not in again.headers
    assert again.cseq.number == 3


@pytest.mark.parametrize(
    "contact", ["<sip:x@premium.example>", "<tel:+1900>", "broken", "*", "<http://hospital.example>"]
)
def test_a_redirect_elsewhere_is_a_refusal(contact: str) -> None:
    stage = Stage()
    _, invite = stage.call(invitation(redirect=redirecting))
    assert requests(stage.hear(far_answer(invite, 302, headers=[("Contact", contact)]))) == ["ACK"]
    assert refusal(stage).status == 302


@pytest.mark.parametrize(
    ("contacts", "chosen"),
    [
        ("<sip:low@hospital.example>;q=0.1, <sip:high@hospital.example>;q=0.9", "high"),
        ("<sip:one@hospital.example>;q=0.5, <sip:two@hospital.example>;q=0.5", "one"),
        ("<sip:half@hospital.example>;q=0.5, <sip:none@hospital.example>", "none"),
        ("<sip:half@hospital.example>;q=0.5, <sip:high@premium.example>;q=1.0", "half"),
        ("<sip:zero@hospital.example>;q=0, <sip:broken@hospital.example>;q=9e9", "broken"),
    ],
)
def test_the_best_target_of_a_redirect_is_followed(contacts: str, chosen: str) -> None:
    stage = Stage()
    _, invite = stage.call(invitation(redirect=redirecting))
    again = only(stage.hear(far_answer(invite, 302, headers=[("Contact", contacts)])), "INVITE")
    assert again.uri == f"sip:{chosen}@hospital.example"  # RFC 3261, 8.1.3.4


def test_redirects_in_a_circle_end() -> None:
    stage = Stage()
    _, invite = stage.call(invitation(redirect=redirecting))
    for _ in range(2):
        invite = only(stage.hear(far_answer(invite, 302, headers=[("Contact", "<sip:n@hospital.example>")])), "INVITE")
    stage.hear(far_answer(invite, 302, headers=[("Contact", "<sip:n@hospital.example>")]))
    assert refusal(stage).status == 302


# --- other proxies ---------------------------------------------------------------------------------------------------


def test_the_next_proxy_is_tried_after_a_silence() -> None:
    stage = Stage()
    _, invite = stage.call(invitation(hops=(PEER, OTHER)))
    stage.advance(4.9)
    stage.now += 0.1
    stage.agent.handle_deadline(stage.now)
    [(hop, again)] = [(hop, one) for hop, one in stage.sent() if one.cseq.number == 2]
    assert hop == OTHER
    assert isinstance(again, Request)
    assert (again.call_id, again.via.branch != invite.via.branch) == (invite.call_id, True)
    assert requests(stage.hear(ok(again), OTHER)) == ["ACK"]
    assert stage.told(Answered)


def test_the_first_proxy_that_wakes_up_late_is_cancelled() -> None:
    stage = Stage()
    _, invite = stage.call(invitation(hops=(PEER, OTHER)))
    [again] = [one for _, one in stage.advance(5.0) if one.cseq.number == 2]
    assert isinstance(again, Request)
    cancel = only(stage.hear(far_answer(invite, 180)), "CANCEL")
    assert (cancel.via.branch, cancel.cseq.number) == (invite.via.branch, 1)
    assert stage.hear(far_answer(invite, 180)) == []  # once
    assert requests(stage.hear(far_answer(invite, 487))) == ["ACK"]
    assert stage.told(Refused) == []
    assert requests(stage.hear(ok(again), OTHER)) == ["ACK"]
    assert len(stage.told(Answered)) == 1


def test_an_answer_through_the_abandoned_proxy_is_hung_up_and_the_call_goes_on() -> None:
    stage = Stage()
    leg, invite = stage.call(invitation(hops=(PEER, OTHER)))
    [again] = [one for _, one in stage.advance(5.0) if one.cseq.number == 2]
    assert isinstance(again, Request)
    assert requests(stage.hear(ok(invite, "first"))) == ["ACK", "BYE"]
    stage.hear(ok(again, "second"), OTHER)
    assert leg.session is not None
    assert leg.session.dialog.remote.tag == "second"


def test_503_means_the_next_proxy_and_other_refusals_do_not() -> None:
    stage = Stage()
    _, invite = stage.call(invitation(hops=(PEER, OTHER)))
    said = stage.hear(far_answer(invite, 503, headers=[("Retry-After", "120")]))
    assert requests(said) == ["ACK", "INVITE"]
    assert requests(stage.hear(far_answer(only(said, "INVITE"), 486), OTHER)) == ["ACK"]
    assert refusal(stage).status == 486


def test_503_of_all_proxies_is_told_with_its_retry_after() -> None:
    stage = Stage()
    _, invite = stage.call()
    stage.hear(far_answer(invite, 503, headers=[("Retry-After", "120 (maintenance);duration=60")]))
    assert (refusal(stage).status, refusal(stage).retry_after_s) == (503, 120.0)
    assert stage.agent.calls == 0


def test_credentials_of_one_proxy_are_not_shown_to_the_next() -> None:
    stage = Stage()
    _, invite = stage.call(invitation(hops=(PEER, OTHER)))
    invite = only(stage.hear(far_answer(invite, 407, headers=[("Proxy-Authenticate", CHALLENGE)])), "INVITE")
    third = only(stage.hear(far_answer(invite, 503)), "INVITE")
    assert "Proxy-Authorization" not in third.headers


def test_the_ack_of_an_abandoned_proxy_s_200_has_that_invite_s_credentials() -> None:
    stage = Stage()
    _, invite = stage.call(invitation(hops=(PEER, OTHER)))
    invite = only(stage.hear(far_answer(invite, 407, headers=[("Proxy-Authenticate", CHALLENGE)])), "INVITE")
    stage.advance(5.0)
    ack = only(stage.hear(ok(invite)), "ACK")
    assert ack.headers.get("Proxy-Authorization") == invite.headers.get("Proxy-Authorization") is not None


def test_silence_of_all_proxies_is_told_once_and_nothing_is_left() -> None:
    stage = Stage()
    stage.call(invitation(hops=(PEER, OTHER)))
    stage.advance(9.9)
    assert stage.told(Refused) == []
    stage.advance(0.2)
    assert refusal(stage).lost is Lost.NO_RESPONSE
    stage.advance(100.0)
    assert len(stage.told(Refused)) == 1
    assert stage.agent.calls == 0
    assert stage.agent.next_deadline() is None
    assert not stage.agent._clients


def test_a_broken_connection_means_the_next_proxy() -> None:
    first, second = Hop("tcp", "203.0.113.9", 5060), Hop("tcp", "203.0.113.10", 5060)
    stage = Stage(transport="tcp")
    stage.call(invitation(hops=(first, second)))
    stage.agent.transport_failed(first, stage.now)
    [(hop, again)] = stage.sent()
    assert (hop, again.cseq.number) == (second, 2)
    stage.agent.transport_failed(second, stage.now)
    assert refusal(stage).lost is Lost.TRANSPORT_FAILED


def test_an_invite_over_tcp_is_not_repeated() -> None:
    stage = Stage(transport="tcp")
    _, invite = stage.call()
    assert str(invite.via).startswith("SIP/2.0/TCP ")
    assert stage.advance(4.9) == []


# --- a proxy that only says 100 --------------------------------------------------------------------------------------


def test_a_proxy_that_only_says_100_is_left_for_the_next() -> None:
    stage = Stage()
    _, invite = stage.call(invitation(hops=(PEER, OTHER), ring_s=10.0))
    stage.advance(1.0)
    stage.hear(far_answer(invite, 100))
    stage.advance(15.0)
    assert stage.hear(far_answer(invite, 100)) == []  # makes it no longer
    assert stage.advance(4.9) == []
    sent = [one for _, one in stage.advance(0.2)]
    assert requests(sent) == ["CANCEL", "INVITE"]
    assert requests(stage.hear(far_answer(invite, 487))) == ["ACK"]
    again = only(sent, "INVITE")
    stage.hear(far_answer(again, 100), OTHER)
    stage.advance(29.8)  # the last one has the ring time too: some networks give no sign of ringing
    assert stage.told(Refused) == []
    assert requests(one for _, one in stage.advance(0.3)) == ["CANCEL"]
    assert refusal(stage).lost is Lost.STALLED
    stage.advance(100.0)
    assert stage.agent.calls == 0
    assert stage.agent.next_deadline() is None


def test_a_proxy_that_goes_on_after_100_is_not_left() -> None:
    stage = Stage()
    _, invite = stage.call(invitation(hops=(PEER, OTHER), ring_s=30.0))
    stage.hear(far_answer(invite, 100))
    stage.advance(19.0)
    stage.hear(far_answer(invite, 183))
    assert stage.advance(29.9) == []
    stage.advance(0.2)
    assert refusal(stage).lost is Lost.RING_TIME_OVER


def test_an_answer_of_the_proxy_that_only_said_100_is_hung_up() -> None:
    stage = Stage()
    _, invite = stage.call(invitation(hops=(PEER, OTHER)))
    stage.hear(far_answer(invite, 100))
    again = only((one for _, one in stage.advance(20.0)), "INVITE")
    assert requests(stage.hear(ok(invite))) == ["ACK", "BYE"]
    assert requests(stage.hear(ok(again, "second"), OTHER)) == ["ACK"]
    assert stage.told(Answered)
