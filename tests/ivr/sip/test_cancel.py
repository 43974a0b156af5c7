"""Calls that we take back: CANCEL, what crosses it, ring times, and the other phones of a fork."""

from __future__ import annotations

from ivr.sip.events import Answered, Ended, Lost, Refused
from ivr.sip.message import Request
from tests.ivr.sip.stage import CONTACT, Stage, far_answer, invitation, ok, only, refusal, requests, times

# --- CANCEL ----------------------------------------------------------------------------------------------------------


def test_before_any_answer_nothing_is_cancelled_until_one_comes() -> None:
    stage = Stage()
    leg, invite = stage.call()
    leg.hang_up(stage.now, reason="SIP;cause=200")
    assert stage.messages() == []
    assert refusal(stage).lost is Lost.STOPPED
    cancel = only(stage.hear(far_answer(invite, 100)), "CANCEL")
    assert (cancel.uri, cancel.via, cancel.cseq.number) == (invite.uri, invite.via, 1)
    assert (cancel.from_, cancel.to, cancel.call_id) == (invite.from_, invite.to, invite.call_id)
    assert cancel.headers.get("Reason") == "SIP;cause=200"
    assert stage.hear(far_answer(cancel, 200)) == []
    assert requests(stage.hear(far_answer(invite, 487))) == ["ACK"]
    assert stage.advance(64.0) == []
    assert stage.agent.calls == 0


def test_after_a_provisional_answer_it_is_cancelled_at_once() -> None:
    stage = Stage()
    leg, invite = stage.call(invitation(routes=("<sip:p1;lr>",)))
    stage.hear(far_answer(invite, 180))
    leg.hang_up(stage.now)
    cancel = only(stage.messages(), "CANCEL")
    assert cancel.headers.all("Route") == ("<sip:p1;lr>",)
    assert "Reason" not in cancel.headers
    leg.hang_up(stage.now)
    assert stage.messages() == []
    assert len(stage.told(Refused)) == 1


def test_a_200_that_crosses_our_cancel_is_acknowledged_and_hung_up() -> None:
    stage = Stage()
    leg, invite = stage.call()
    stage.hear(far_answer(invite, 180))
    leg.hang_up(stage.now, reason='SIP;cause=200;text="Call completed elsewhere"')
    only(stage.messages(), "CANCEL")
    said = stage.hear(ok(invite))
    assert requests(said) == ["ACK", "BYE"]
    bye = only(said, "BYE")
    assert (bye.to.tag, bye.cseq.number) == ("far", 2)
    assert bye.headers.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    assert stage.hear(ok(invite)) == [only(said, "ACK")]  # repeated: the same ACK, no second BYE
    assert stage.told(Answered) == []
    stage.hear(far_answer(bye, 200))
    stage.advance(70.0)
    assert stage.agent.calls == 0
    assert len(stage.told(Refused)) == 1


def test_a_200_without_any_provisional_after_we_gave_up_is_hung_up_too() -> None:
    stage = Stage()
    leg, invite = stage.call()
    leg.hang_up(stage.now)
    assert requests(stage.hear(ok(invite))) == ["ACK", "BYE"]


def test_a_cancel_is_repeated_until_it_is_answered() -> None:
    stage = Stage()
    leg, invite = stage.call()
    stage.hear(far_answer(invite, 180))
    leg.hang_up(stage.now)
    assert times(stage.advance(4.0)) == [0.0, 0.5, 1.5, 3.5]


def test_the_ring_time_counts_from_the_first_ringing() -> None:
    stage = Stage()
    _, invite = stage.call(invitation(ring_s=10.0))
    stage.advance(4.0)
    stage.hear(far_answer(invite, 100))
    stage.advance(10.0)
    stage.hear(far_answer(invite, 183))
    stage.advance(5.0)
    stage.hear(far_answer(invite, 180))  # more ringing does not make it longer
    assert stage.advance(4.9) == []
    sent = stage.advance(0.2)
    assert [one.method for _, one in sent if isinstance(one, Request)] == ["CANCEL"]
    assert refusal(stage).lost is Lost.RING_TIME_OVER


def test_a_phone_that_is_never_found_is_given_up() -> None:
    stage = Stage()
    _, invite = stage.call(invitation(ring_s=10.0))
    stage.hear(far_answer(invite, 100))
    stage.advance(29.9)
    assert stage.told(Refused) == []
    sent = stage.advance(0.2)
    assert [one.method for _, one in sent if isinstance(one, Request)] == ["CANCEL"]


# --- forks -----------------------------------------------------------------------------------------------------------


def test_the_second_answer_of_a_fork_is_acknowledged_and_hung_up() -> None:
    stage = Stage()
    leg, invite = stage.call()
    first = only(stage.hear(ok(invite, "one")), "ACK")
    said = stage.hear(ok(invite, "two"))
    assert requests(said) == ["ACK", "BYE"]
    assert {one.to.tag for one in said} == {"two"}
    assert stage.hear(ok(invite, "two")) == [only(said, "ACK")]
    assert stage.hear(ok(invite, "one")) == [first]
    assert leg.session is not None
    assert not leg.session.over
    assert len(stage.told(Answered)) == 1
    assert stage.told(Ended) == []


def test_the_bye_to_a_fork_goes_on_from_its_prack() -> None:
    stage = Stage()
    _, invite = stage.call()
    headers = [CONTACT, ("Require", "100rel"), ("RSeq", "1")]
    only(stage.hear(far_answer(invite, 183, tag="two", headers=headers)), "PRACK")
    stage.hear(ok(invite, "one"))
    assert only(stage.hear(ok(invite, "two")), "BYE").cseq.number == 3


def test_the_bye_to_a_200_that_crosses_our_cancel_goes_on_from_its_prack() -> None:
    stage = Stage()
    leg, invite = stage.call()
    only(stage.hear(far_answer(invite, 183, headers=[CONTACT, ("Require", "100rel"), ("RSeq", "1")])), "PRACK")
    leg.hang_up(stage.now)
    stage.messages()
    assert only(stage.hear(ok(invite)), "BYE").cseq.number == 3


def test_forks_are_tidied_up_after_the_call_too() -> None:
    stage = Stage()
    leg, invite = stage.call()
    stage.hear(ok(invite, "one"))
    leg.hang_up(stage.now)
    stage.messages()
    assert requests(stage.hear(ok(invite, "two"))) == ["ACK", "BYE"]
