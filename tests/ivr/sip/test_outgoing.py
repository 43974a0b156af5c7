"""Calls that we make, against a scripted other side: ringing, answers, PRACK, refusals, requests on early dialogs."""

from __future__ import annotations

import pytest

from ivr.sip.events import Answered, Lost, Refused, Ringing
from ivr.sip.hop import Hop
from ivr.sip.message import Request, Response, encode
from ivr.sip.outgoing import OutgoingCall
from tests.ivr.sip.stage import (
    CONTACT,
    OFFERING,
    PEER,
    SDP,
    Stage,
    far_answer,
    far_request,
    negotiation,
    ok,
    only,
    refusal,
    requests,
    sdp_body,
)


def port(leg: OutgoingCall) -> int:
    """Where the audio of the call goes."""
    assert leg.session is not None
    assert leg.session.negotiation.agreed is not None
    return leg.session.negotiation.agreed.port


# --- the good way ----------------------------------------------------------------------------------------------------


def test_ringing_answer_and_ack() -> None:
    stage = Stage()
    leg, invite = stage.call()
    assert (invite.uri, str(invite.cseq), invite.to.tag) == ("sip:nurse@example.org", "1 INVITE", None)
    assert invite.headers.get("Session-Expires") == "1800"
    assert invite.body.startswith(b"v=0")
    assert stage.hear(far_answer(invite, 100)) == []
    assert stage.told(Ringing) == []
    assert stage.hear(far_answer(invite, 180)) == []
    assert [one.status for one in stage.told(Ringing)] == [180]
    stage.now += 3
    ack = only(stage.hear(ok(invite)), "ACK")
    assert (ack.uri, str(ack.cseq), ack.to.tag) == ("sip:nurse@203.0.113.9:5060", "1 ACK", "far")
    assert ack.via.branch != invite.via.branch
    assert [one.call for one in stage.told(Answered)] == [leg]
    assert leg.session is not None
    assert leg.session.negotiation.agreed is not None
    assert stage.told(Refused) == []


def test_the_ack_and_the_bye_go_to_the_contact_and_not_to_the_proxy() -> None:
    stage = Stage()
    leg, invite = stage.call()
    answer = far_answer(invite, 200, headers=[("Contact", "<sip:n@203.0.113.77:5099>"), SDP], body=sdp_body())
    contact = Hop("udp", "203.0.113.77", 5099)
    stage.agent.receive(encode(answer), PEER, stage.now)
    [(hop, ack)] = stage.sent()
    assert isinstance(ack, Request)
    assert (hop, ack.method, ack.uri) == (contact, "ACK", "sip:n@203.0.113.77:5099")
    leg.hang_up(stage.now)
    [(hop, bye)] = stage.sent()
    assert hop == contact
    assert isinstance(bye, Request)
    assert (bye.method, bye.uri, str(bye.cseq)) == ("BYE", "sip:n@203.0.113.77:5099", "2 BYE")


@pytest.mark.parametrize("repeats", [1, 5])
def test_a_repeated_200_gets_the_same_ack(repeats: int) -> None:
    stage = Stage()
    _, invite = stage.call()
    answer = ok(invite)
    ack = only(stage.hear(answer), "ACK")
    for _ in range(repeats):
        stage.advance(2.0)
        assert stage.hear(answer) == [ack]
    assert len(stage.told(Answered)) == 1


def test_a_repeated_200_after_our_bye_is_still_acknowledged() -> None:
    stage = Stage()
    leg, invite = stage.call()
    answer = ok(invite)
    ack = only(stage.hear(answer), "ACK")
    leg.hang_up(stage.now)
    bye = only(stage.messages(), "BYE")
    assert stage.hear(answer) == [ack]
    stage.hear(far_answer(bye, 200))
    assert stage.advance(64.0) == []
    assert stage.agent.calls == 0


@pytest.mark.parametrize("reliably", [(), (("Require", "100rel"), ("RSeq", "1"))], ids=["unreliable", "reliable"])
def test_the_answer_of_a_183_counts_where_the_200_has_none(reliably: tuple[tuple[str, str], ...]) -> None:
    stage = Stage()
    leg, invite = stage.call()
    said = stage.hear(far_answer(invite, 183, headers=[*OFFERING, *reliably], body=sdp_body(31_000)))
    assert requests(said) == (["PRACK"] if reliably else [])
    assert requests(stage.hear(far_answer(invite, 200, headers=[CONTACT]))) == ["ACK"]
    assert port(leg) == 31_000


def test_an_answer_in_a_reliable_183_is_final() -> None:
    stage = Stage()
    leg, invite = stage.call()
    headers = [*OFFERING, ("Require", "100rel"), ("RSeq", "1")]
    stage.hear(far_answer(invite, 183, headers=headers, body=sdp_body(31_000)))
    stage.hear(ok(invite, body=sdp_body(32_000)))
    assert port(leg) == 31_000  # RFC 3261, 13.2.1


def test_an_unreliable_183_is_only_a_preview() -> None:
    stage = Stage()
    leg, invite = stage.call()
    stage.hear(far_answer(invite, 183, headers=OFFERING, body=sdp_body(31_000)))
    stage.hear(ok(invite, body=sdp_body(32_000)))
    assert port(leg) == 32_000


def test_each_phone_of_a_fork_answers_for_itself() -> None:
    stage = Stage()
    leg, invite = stage.call()
    for tag, its_port in (("a", 31_000), ("b", 32_000)):
        headers = [*OFFERING, ("Require", "100rel"), ("RSeq", "1")]
        stage.hear(far_answer(invite, 183, tag=tag, headers=headers, body=sdp_body(its_port)))
    stage.hear(far_answer(invite, 200, tag="b", headers=[CONTACT]))
    assert port(leg) == 32_000


def test_the_answer_of_a_phone_that_has_not_rung_counts() -> None:
    stage = Stage()
    leg, invite = stage.call()
    headers = [*OFFERING, ("Require", "100rel"), ("RSeq", "1")]
    stage.hear(far_answer(invite, 183, tag="a", headers=headers, body=sdp_body(31_000)))
    stage.hear(ok(invite, "c", body=sdp_body(33_000)))
    assert port(leg) == 33_000


# --- PRACK -----------------------------------------------------------------------------------------------------------


def reliable(invite: Request, rseq: int, tag: str = "far", status: int = 183) -> Response:
    """A provisional answer that asks to be acknowledged."""
    return far_answer(invite, status, tag=tag, headers=[CONTACT, ("Require", "100rel"), ("RSeq", str(rseq))])


def test_reliable_provisional_answers_are_acknowledged_in_order() -> None:
    stage = Stage()
    _, invite = stage.call()
    first = only(stage.hear(reliable(invite, 7)), "PRACK")
    assert (first.headers.get("RAck"), first.uri, first.to.tag) == ("7 1 INVITE", "sip:nurse@203.0.113.9:5060", "far")
    assert first.cseq.number == 2
    stage.hear(far_answer(first, 200))
    assert stage.hear(reliable(invite, 7)) == []  # repeated: its PRACK is under way
    assert stage.hear(reliable(invite, 9)) == []  # one is missing
    second = only(stage.hear(reliable(invite, 8, status=180)), "PRACK")
    assert (second.headers.get("RAck"), second.cseq.number) == ("8 1 INVITE", 3)


def test_each_fork_counts_for_itself() -> None:
    stage = Stage()
    _, invite = stage.call()
    for tag in ("a", "b"):
        prack = only(stage.hear(reliable(invite, 1, tag)), "PRACK")
        assert (prack.to.tag, prack.cseq.number) == (tag, 2)


def test_numbers_go_on_after_a_prack() -> None:
    stage = Stage()
    leg, invite = stage.call()
    pracks = [only(stage.hear(reliable(invite, n)), "PRACK") for n in (1, 2)]
    assert [one.cseq.number for one in pracks] == [2, 3]
    assert only(stage.hear(ok(invite)), "ACK").cseq.number == 1
    leg.hang_up(stage.now)
    assert only(stage.messages(), "BYE").cseq.number == 4  # RFC 3261, 12.2.1.1


def test_the_route_of_the_200_replaces_that_of_the_early_dialog() -> None:
    stage = Stage()
    leg, invite = stage.call()
    assert "Route" not in only(stage.hear(reliable(invite, 1)), "PRACK").headers
    route = ("Record-Route", "<sip:203.0.113.2;lr>")
    stage.hear(far_answer(invite, 200, headers=[*OFFERING, route], body=sdp_body()))
    leg.hang_up(stage.now)
    bye = only(stage.messages(), "BYE")
    assert (bye.headers.get("Route"), bye.cseq.number) == ("<sip:203.0.113.2;lr>", 3)  # RFC 3261, 13.2.2.4


def test_the_number_0_is_acknowledged_once() -> None:
    stage = Stage()
    _, invite = stage.call()
    only(stage.hear(reliable(invite, 0)), "PRACK")
    assert stage.hear(reliable(invite, 0)) == []


@pytest.mark.parametrize("rseq", ["", "x", "-1", "99999999999", "\u0663"])
def test_an_rseq_that_is_none_is_left_alone(rseq: str) -> None:
    stage = Stage()
    _, invite = stage.call()
    assert stage.hear(far_answer(invite, 183, headers=[CONTACT, ("Require", "100rel"), ("RSeq", rseq)])) == []


def test_forks_without_end_are_not_followed() -> None:
    stage = Stage()
    leg, invite = stage.call()
    for n in range(100):
        stage.hear(reliable(invite, 1, f"fork{n}"))
    assert len(leg._early) == 16
    for n in range(100):
        stage.hear(ok(invite, f"answer{n}"))
    assert len(leg._acks) <= 16
    assert len(stage.told(Answered)) == 1


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 480, 486, 500, 600, 603, 607])
def test_a_refusal_is_told_with_its_reasons(status: int) -> None:
    stage = Stage()
    _, invite = stage.call()
    headers = [("Reason", 'Q.850;cause=17;text="User busy", SIP;cause=486'), ("Retry-After", "30")]
    ack = only(stage.hear(far_answer(invite, status, headers=headers)), "ACK")
    assert ack.via.branch == invite.via.branch
    told = refusal(stage)
    assert (told.status, told.lost, told.retry_after_s) == (status, None, 30.0)
    assert [(one.protocol, one.cause) for one in told.reasons] == [("Q.850", 17), ("SIP", 486)]
    assert stage.agent.calls == 0


def test_a_repeated_refusal_is_acknowledged_again() -> None:
    stage = Stage()
    _, invite = stage.call()
    busy = far_answer(invite, 486)
    ack = only(stage.hear(busy), "ACK")
    stage.advance(31.9)
    assert stage.hear(busy) == [ack]  # timer D (RFC 3261, 17.1.1.2)
    stage.advance(0.2)
    assert stage.hear(busy) == []
    assert len(stage.told(Refused)) == 1


def test_after_a_refusal_a_200_of_another_fork_changes_nothing() -> None:
    stage = Stage()
    _, invite = stage.call()
    stage.hear(far_answer(invite, 486, tag="one"))
    assert stage.hear(ok(invite, "two")) == []
    assert len(stage.told(Refused)) == 1
    assert stage.told(Answered) == []


def test_an_answer_with_media_that_we_cannot_send_is_acknowledged_and_hung_up() -> None:
    stage = Stage()
    _, invite = stage.call()
    said = stage.hear(ok(invite, body=sdp_body(formats="9")))
    assert requests(said) == ["ACK", "BYE"]
    assert 'Q.850;cause=88;text="Incompatible destination"' in only(said, "BYE").headers.all("Reason")
    assert stage.told(Answered) == []
    assert refusal(stage).lost is Lost.MEDIA_REFUSED
    assert stage.hear(ok(invite, body=sdp_body(formats="9"))) == [only(said, "ACK")]


# --- requests on early dialogs ---------------------------------------------------------------------------------------


def early(stage: Stage, invite: Request, method: str, body: bytes = b"", branch: str = "") -> Response:
    """What we say to a request on the early dialog."""
    request = far_request(
        method, "sip:tocsin@192.0.2.1", branch=branch or f"z9hG4bKe{method}", from_="<sip:nurse@example.org>;tag=far",
        to=f"<sip:us@example.org>;tag={invite.from_.tag}", call_id=invite.call_id, body=body,
        headers=[SDP] if body else [],
    )  # fmt: skip
    [answer] = stage.hear(request)
    assert isinstance(answer, Response)
    return answer


def test_before_a_provisional_answer_there_is_no_early_dialog() -> None:
    stage = Stage()
    _, invite = stage.call()
    assert early(stage, invite, "OPTIONS").status == 481


def test_requests_on_early_dialogs_are_answered() -> None:
    stage = Stage()
    _, invite = stage.call()
    stage.hear(far_answer(invite, 183, headers=[CONTACT]))
    updated = early(stage, invite, "UPDATE")
    assert (updated.status, updated.headers.get("Contact")) == (200, "<sip:tocsin@192.0.2.1:5060>")  # RFC 3311, 5.2
    assert early(stage, invite, "INVITE").status == 491
    assert early(stage, invite, "OPTIONS").status == 200
    assert early(stage, invite, "PRACK").status == 481
    refused = early(stage, invite, "REFER")
    assert (refused.status, "UPDATE" in (refused.headers.get("Allow") or "")) == (405, True)
    assert early(stage, invite, "BYE").status == 200
    assert early(stage, invite, "INFO").status == 481  # it was given up


def test_an_early_update_with_an_offer_crosses_ours() -> None:
    stage = Stage()
    _, invite = stage.call()
    stage.hear(far_answer(invite, 183, headers=[CONTACT]))
    assert early(stage, invite, "UPDATE", sdp_body()).status == 491


def test_an_early_update_moves_the_media_that_a_reliable_183_agreed() -> None:
    stage = Stage()
    leg, invite = stage.call()
    headers = [*OFFERING, ("Require", "100rel"), ("RSeq", "1")]
    stage.hear(far_answer(invite, 183, headers=headers, body=sdp_body(31_000)))
    assert early(stage, invite, "UPDATE", sdp_body(formats="9")).status == 488
    updated = early(stage, invite, "UPDATE", sdp_body(32_000), branch="z9hG4bKagain")
    assert (updated.status, updated.body.startswith(b"v=0")) == (200, True)  # RFC 3311, 5.2
    stage.hear(far_answer(invite, 200, headers=[CONTACT]))
    assert port(leg) == 32_000


def test_an_update_on_an_early_dialog_of_another_tag_is_not_ours() -> None:
    stage = Stage()
    _, invite = stage.call()
    stage.hear(far_answer(invite, 183, tag="other", headers=[CONTACT]))
    assert early(stage, invite, "UPDATE").status == 481


# --- what is left ----------------------------------------------------------------------------------------------------


def test_nothing_is_left_of_many_calls() -> None:
    stage = Stage()
    for n in range(200):
        leg, invite = stage.call(media=negotiation())
        match n % 4:
            case 0:
                stage.hear(far_answer(invite, 486))
            case 1:
                stage.hear(ok(invite))
                leg.hang_up(stage.now)
            case 2:
                stage.hear(far_answer(invite, 180))
                leg.hang_up(stage.now)
            case _:
                leg.hang_up(stage.now)
        stage.advance(0.05)
    stage.advance(200.0)
    assert stage.agent.calls == 0
    assert len(stage.agent._layer) == 0
    assert not stage.agent._clients
    assert stage.agent.next_deadline() is None


def test_responses_to_nothing_are_counted() -> None:
    stage = Stage()
    _, invite = stage.call()
    stray = far_answer(invite, 200)
    via = str(invite.via).replace(invite.via.branch or "", "z9hG4bKnone")
    assert stage.hear(Response(status=200, reason="OK", headers=stray.headers.set("Via", via))) == []
    assert stage.agent.counts.unmatched == 1
    assert stage.told(Answered) == []
