"""Calls to us: offered, taken back, answered, repeated until acknowledged, refused; and who may call at all."""

from __future__ import annotations

import pytest

from ivr.sip import sdp
from ivr.sip.agent import Admission, Admitted, Challenged, Dropped
from ivr.sip.events import Answered, Ended, MediaChanged, Offered
from ivr.sip.hop import Hop
from ivr.sip.message import Request, Response
from ivr.sip.uri import user_of
from tests.ivr.sip.stage import (
    CONTACT,
    SDP,
    Stage,
    far_answer,
    far_invite,
    far_request,
    negotiation,
    only,
    requests,
    response,
    sdp_body,
    statuses,
    times,
)

REPEATS = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def cancel(headers: list[tuple[str, str]] | None = None) -> Request:
    """The CANCEL of the call that `far_invite` makes."""
    return far_request("CANCEL", "sip:tocsin@192.0.2.1", branch="z9hG4bKi", headers=headers or [])


def ack_of(answer: Response, *, branch: str = "z9hG4bKack", cseq: int = 1, body: bytes = b"") -> Request:
    """The ACK of our 200."""
    return far_request(
        "ACK", "sip:tocsin@192.0.2.1", branch=branch, to=answer.headers.get("To") or "", cseq=cseq, body=body,
        headers=[SDP] if body else [],
    )  # fmt: skip


# --- ringing and answering -------------------------------------------------------------------------------------------


def test_ring_answer_ack() -> None:
    stage = Stage()
    leg = stage.offered(far_invite())
    leg.ring(stage.now)
    ringing = response(stage.messages(), 180)
    assert ringing.to.tag
    assert ringing.headers.get("Contact") == "<sip:tocsin@192.0.2.1:5060>"
    assert leg.answer(negotiation(), stage.now)
    ok = response(stage.messages(), 200)
    assert ok.to.tag == ringing.to.tag
    answer = sdp.parse(ok.body)
    assert answer is not None
    assert answer.media[0].formats == ("8", "101")
    assert len(stage.told(Answered)) == 1
    assert stage.hear(ack_of(ok)) == []
    assert stage.advance(100.0) == []
    assert not leg.answer(negotiation(), stage.now)
    leg.ring(stage.now)
    leg.refuse(486, stage.now)
    assert stage.messages() == []


def test_a_caller_who_insists_on_reliable_ringing_hears_none_and_is_answered() -> None:
    stage = Stage()
    leg = stage.offered(far_invite(headers=[("Require", "100rel")]))
    leg.ring(stage.now)
    assert stage.messages() == []
    assert statuses([one for _, one in stage.advance(1.0)]) == [100]  # RFC 3262, 3: 100 is never reliable
    assert leg.answer(negotiation(), stage.now)
    assert statuses(stage.messages()) == [200]


def test_an_extension_that_we_do_not_have_is_refused() -> None:
    stage = Stage()
    refused = response(stage.hear(far_invite(headers=[("Require", "timer, resource-priority, x")])), 420)
    assert refused.headers.get("Unsupported") == "resource-priority, x"
    assert stage.told(Offered) == []


def test_a_call_without_an_offer_gets_ours_and_answers_in_its_ack() -> None:
    stage = Stage()
    leg = stage.offered(far_invite(body=b""))
    media = negotiation()
    assert leg.answer(media, stage.now)
    ok = response(stage.messages(), 200)
    offer = sdp.parse(ok.body)
    assert offer is not None
    assert offer.media[0].formats == ("8", "0", "101")
    assert media.agreed is None
    stage.hear(ack_of(ok, body=sdp_body(34_000)))
    assert media.agreed is not None
    assert media.agreed.port == 34_000
    assert len(stage.told(MediaChanged)) == 1


@pytest.mark.parametrize("body", [b"", b"nonsense", sdp_body(formats="9"), sdp_body(port=0)])
def test_a_call_that_agrees_to_no_audio_in_its_ack_is_hung_up(body: bytes) -> None:
    stage = Stage()
    leg = stage.offered(far_invite(body=b""))
    leg.answer(negotiation(), stage.now)
    ok = response(stage.messages(), 200)
    assert requests(stage.hear(ack_of(ok, body=body))) == ["BYE"]
    assert len(stage.told(Ended)) == 1
    assert stage.agent.calls == 0


@pytest.mark.parametrize("body", [b"nonsense", sdp_body(formats="9"), sdp_body(port=0)])
def test_an_offer_that_we_cannot_take_is_refused(body: bytes) -> None:
    stage = Stage()
    leg = stage.offered(far_invite(body=body))
    assert not leg.answer(negotiation(), stage.now)
    assert statuses(stage.messages()) == [488]
    assert stage.told(Answered) == []
    assert stage.agent.calls == 0


def test_other_bodies_and_addresses_are_refused() -> None:
    stage = Stage()
    other = far_request(
        "INVITE", "sip:tocsin@192.0.2.1", branch="z9hG4bKo", headers=[("Content-Type", "multipart/mixed")], body=b"x"
    )
    assert response(stage.hear(other), 415).headers.get("Accept") == "application/sdp"
    mail = far_request("INVITE", "mailto:nurse@example.org", branch="z9hG4bKt", call_id="mail")
    assert statuses(stage.hear(mail)) == [416]
    assert stage.told(Offered) == []


@pytest.mark.parametrize(
    ("asked", "to", "called"),
    [
        ("tel:+49-30-123456;ext=7", "<tel:+4930123456>", ("+4930123456", "+4930123456")),
        (
            "tel:(030)123.456;phone-context=+49",
            "<sip:+49-30.123(456)@192.0.2.1;user=phone>",
            ("030123456", "+4930123456"),
        ),
        ("sip:tocsin-2@192.0.2.1", "<tel:112;phone-context=example.org>", ("tocsin-2", "112")),
        ("sip:+4930;ext=1@192.0.2.1", "<sip:192.0.2.1>", ("+4930", "")),
        ("sip:192.0.2.1", "<http://192.0.2.1>", ("", "")),
    ],
)
def test_calls_to_numbers_are_taken_however_they_are_written(asked: str, to: str, called: tuple[str, str]) -> None:
    stage = Stage()
    headers = [SDP]
    leg = stage.offered(
        far_request(
            "INVITE", asked, branch="z9hG4bKt", from_="<tel:+49-170-1>;tag=far", to=to, headers=headers, body=sdp_body()
        )
    )
    request = leg.request
    assert (user_of(request.uri), user_of(request.to.uri)) == called
    assert user_of(request.from_.uri) == "+491701"
    assert leg.answer(negotiation(), stage.now)
    assert statuses(stage.messages()) == [200]


# --- repeated until acknowledged -------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_our_200_is_repeated_until_its_ack_and_then_hung_up(transport: str) -> None:
    stage = Stage(transport="tcp" if transport == "tcp" else "udp")
    leg = stage.offered(far_invite())
    leg.answer(negotiation(), stage.now)
    ok = response(stage.messages(), 200)
    sent = stage.advance(31.9)
    assert times(sent) == REPEATS
    assert {message for _, message in sent} == {ok}
    assert stage.told(Ended) == []
    later = stage.advance(0.2)
    assert (times(later), requests([one for _, one in later])) == ([32.0], ["BYE"])  # 64*T1 (RFC 3261, 13.3.1.4)
    assert [one.by_remote for one in stage.told(Ended)] == [False]
    stage.advance(64.0)
    assert stage.agent.calls == 0


def test_a_late_ack_is_in_time() -> None:
    stage = Stage()
    leg = stage.offered(far_invite())
    leg.answer(negotiation(), stage.now)
    ok = response(stage.messages(), 200)
    stage.advance(31.8)
    assert stage.hear(ack_of(ok)) == []
    assert stage.advance(100.0) == []
    assert stage.told(Ended) == []


@pytest.mark.parametrize(
    "change",
    [
        {"cseq": 2},
        {"to": "<sip:tocsin@192.0.2.1>;tag=none"},
        {"from_": "<sip:nurse@example.org>;tag=x"},
        {"call_id": "x"},
    ],
    ids=["cseq", "to tag", "from tag", "call id"],
)
def test_an_ack_of_something_else_ends_no_repetition(change: dict[str, object]) -> None:
    stage = Stage()
    leg = stage.offered(far_invite())
    leg.answer(negotiation(), stage.now)
    ok = response(stage.messages(), 200)
    values: dict[str, object] = {"to": ok.headers.get("To") or "", "cseq": 1, **change}
    stage.hear(far_request("ACK", "sip:tocsin@192.0.2.1", branch="z9hG4bKa", **values))  # type: ignore[arg-type]
    assert times(stage.advance(1.6)) == [0.5, 1.5]


def test_a_repeated_invite_after_our_200_starts_no_second_call() -> None:
    stage = Stage()
    leg = stage.offered(far_invite())
    leg.answer(negotiation(), stage.now)
    stage.messages()
    assert stage.hear(far_invite()) == []
    assert len(stage.told(Offered)) == 1


def test_a_bye_before_the_ack_ends_the_call_and_the_repetitions() -> None:
    stage = Stage()
    far = stage.taken(acknowledged=False)
    assert far.say("BYE").status == 200
    assert stage.advance(100.0) == []
    assert len(stage.told(Ended)) == 1
    assert stage.agent.calls == 0


def test_a_call_that_we_hang_up_before_its_ack_gets_its_bye_after_it() -> None:
    stage = Stage()
    far = stage.taken(acknowledged=False)
    far.leg.hang_up(stage.now, reason="Q.850;cause=16")
    assert stage.messages() == []
    assert len(stage.told(Ended)) == 1
    sent = stage.advance(1.6)
    assert (times(sent), {message for _, message in sent}) == ([0.5, 1.5], {far.answer})
    bye = only(stage.hear(far.ack), "BYE")  # RFC 3261, 15
    assert bye.headers.get("Reason") == "Q.850;cause=16"
    assert stage.hear(far.ack) == []
    stage.hear(far_answer(bye, 200))
    assert stage.advance(100.0) == []
    assert len(stage.told(Ended)) == 1
    assert stage.agent.calls == 0


def test_a_call_that_we_hang_up_and_that_is_never_acknowledged_gets_its_bye_in_the_end() -> None:
    stage = Stage()
    stage.taken(acknowledged=False).leg.hang_up(stage.now)
    sent = stage.advance(32.0)
    assert times(sent) == [*REPEATS, 32.0]
    assert requests([one for _, one in sent]) == ["BYE"]
    stage.advance(64.0)
    assert len(stage.told(Ended)) == 1
    assert stage.agent.calls == 0


def test_byes_that_cross_before_the_ack() -> None:
    stage = Stage()
    far = stage.taken(acknowledged=False)
    far.leg.hang_up(stage.now)
    assert far.say("INFO").status == 481
    assert far.say("BYE").status == 200
    assert stage.hear(far.ack) == []
    assert stage.advance(100.0) == []
    assert len(stage.told(Ended)) == 1
    assert stage.agent.calls == 0


# --- taken back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", [True, False])
def test_a_cancelled_call_gets_487_and_cannot_be_answered(rung: bool) -> None:
    stage = Stage()
    leg = stage.offered(far_invite())
    if rung:
        leg.ring(stage.now)
        stage.messages()
    said = stage.hear(cancel([("Reason", 'SIP;cause=200;text="Call completed elsewhere"')]))
    assert statuses(said) == [200, 487]
    assert response(said, 200).to.tag == response(said, 487).to.tag is not None  # RFC 3261, 9.2
    [ended] = stage.told(Ended)
    assert (ended.by_remote, ended.reasons[0].cause) == (True, 200)
    assert not leg.answer(negotiation(), stage.now)
    leg.refuse(486, stage.now)
    assert stage.messages() == []
    assert (
        stage.hear(far_request("ACK", "sip:tocsin@192.0.2.1", branch="z9hG4bKi", to=str(response(said, 487).to))) == []
    )
    assert stage.advance(100.0) == []
    assert stage.agent.calls == 0
    assert not stage.agent._offers


def test_a_487_that_is_not_acknowledged_is_repeated() -> None:
    stage = Stage()
    stage.offered(far_invite())
    stage.hear(cancel())
    sent = stage.advance(100.0)
    assert times(sent) == REPEATS
    assert set(statuses([one for _, one in sent])) == {487}


def test_a_cancel_that_crosses_our_200_changes_nothing() -> None:
    stage = Stage()
    leg = stage.offered(far_invite())
    leg.answer(negotiation(), stage.now)
    ok = response(stage.messages(), 200)
    assert statuses(stage.hear(cancel())) == [200]
    assert stage.told(Ended) == []
    stage.hear(ack_of(ok))
    assert leg.session is not None
    assert not leg.session.over


def test_a_caller_may_end_its_early_dialog_by_bye() -> None:
    stage = Stage()
    leg = stage.offered(far_invite())
    leg.ring(stage.now)
    to = response(stage.messages(), 180).headers.get("To") or ""
    bye = far_request("BYE", "sip:tocsin@192.0.2.1", branch="z9hG4bKbye", to=to, cseq=2)
    assert sorted(statuses(stage.hear(bye))) == [200, 487]
    assert len(stage.told(Ended)) == 1


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("INVITE", sdp_body(), 500), ("UPDATE", sdp_body(), 500), ("UPDATE", b"", 200), ("PRACK", b"", 481),
        ("OPTIONS", b"", 200), ("REFER", b"", 405),
    ],
)  # fmt: skip
def test_requests_before_our_answer(method: str, body: bytes, status: int) -> None:
    stage = Stage()
    leg = stage.offered(far_invite())
    leg.ring(stage.now)
    to = response(stage.messages(), 180).headers.get("To") or ""
    headers = [CONTACT, SDP] if body else [CONTACT]
    early = far_request(method, "sip:tocsin@192.0.2.1", branch="z9hG4bKe", to=to, cseq=2, headers=headers, body=body)
    [answer] = stage.hear(early)
    assert isinstance(answer, Response)
    assert answer.status == status
    assert answer.headers.get("Contact") == "<sip:tocsin@192.0.2.1:5060>"
    assert ("Retry-After" in answer.headers) == (status == 500)  # RFC 3261, 14.2
    if status == 500:
        assert 0 <= int(answer.headers.get("Retry-After") or "") <= 10
    assert leg.answer(negotiation(), stage.now)


def test_the_same_call_on_two_ways_is_offered_once() -> None:
    stage = Stage()
    stage.offered(far_invite())
    assert response(stage.hear(far_invite(branch="z9hG4bKsecond")), 482).to.tag
    assert len(stage.told(Offered)) == 1


# --- refusing and limits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 480, 486, 503, 603])
def test_a_refused_call_is_refused_until_it_is_acknowledged(status: int) -> None:
    stage = Stage()
    leg = stage.offered(far_invite())
    leg.refuse(status, stage.now, headers=[("Retry-After", "30")])
    refused = response(stage.messages(), status)
    assert refused.headers.get("Retry-After") == "30"
    assert stage.hear(far_invite()) == [refused]
    ack = far_request("ACK", "sip:tocsin@192.0.2.1", branch="z9hG4bKi", to=str(refused.to))
    assert stage.hear(ack) == []
    assert stage.advance(100.0) == []
    assert stage.agent.calls == 0
    assert stage.told(Ended) == []


def test_hanging_up_a_call_that_is_offered_refuses_it() -> None:
    stage = Stage()
    leg = stage.offered(far_invite())
    leg.hang_up(stage.now)
    assert statuses(stage.messages()) == [480]


def test_beyond_the_limit_calls_are_busy_and_room_comes_back() -> None:
    stage = Stage(incoming_max=2)
    legs = [stage.offered(far_invite(call_id=f"c{n}", branch=f"z9hG4bK{n}")) for n in range(2)]
    assert statuses(stage.hear(far_invite(call_id="c2", branch="z9hG4bK2"))) == [486]
    assert len(stage.told(Offered)) == 2
    legs[0].refuse(480, stage.now)
    stage.messages()
    third = stage.offered(far_invite(call_id="c3", branch="z9hG4bK3"))
    assert third.answer(negotiation(), stage.now)
    ok = response(stage.messages(), 200)
    stage.hear(far_request("ACK", "sip:h", branch="z9hG4bKa3", call_id="c3", to=ok.headers.get("To") or ""))
    third.hang_up(stage.now)
    only(stage.messages(), "BYE")
    stage.offered(far_invite(call_id="c4", branch="z9hG4bK4"))
    assert statuses(stage.hear(far_invite(call_id="c5", branch="z9hG4bK5"))) == [486]


@pytest.mark.parametrize("end", ["cancel", "bye", "refuse", "no ack", "488"])
def test_every_end_gives_the_room_back(end: str) -> None:
    stage = Stage(incoming_max=1)
    for n in range(5):
        invite = far_invite(call_id=f"c{n}", branch=f"z9hG4bK{n}", body=sdp_body(port=0) if end == "488" else None)
        leg = stage.offered(invite)
        match end:
            case "cancel":
                stage.hear(far_request("CANCEL", invite.uri, branch=f"z9hG4bK{n}", call_id=f"c{n}"))
            case "refuse":
                leg.refuse(486, stage.now)
            case _:
                leg.answer(negotiation(), stage.now)
        said = stage.messages()
        if end == "bye":
            to = response(said, 200).headers.get("To") or ""
            bye = far_request("BYE", invite.uri, branch=f"z9hG4bKb{n}", call_id=f"c{n}", to=to, cseq=2)
            assert statuses(stage.hear(bye)) == [200]
        stage.advance(70.0)
        assert stage.agent.calls == 0
    assert len(stage.agent._layer) == 0
    assert stage.agent.next_deadline() is None


# --- the door --------------------------------------------------------------------------------------------------------


def test_strangers_hear_nothing() -> None:
    stage = Stage(admit=lambda *_: Dropped())
    assert stage.hear(far_invite()) == []
    assert stage.hear(far_request("OPTIONS", "sip:192.0.2.1", branch="z9hG4bKo", call_id="o")) == []
    assert stage.hear(far_request("BYE", "sip:192.0.2.1", branch="z9hG4bKb", call_id="b", to="<sip:u@h>;tag=x")) == []
    assert stage.hear(cancel()) == []
    assert stage.agent.counts.dropped == 4
    assert len(stage.agent._layer) == 0


def test_a_caller_is_challenged_without_a_transaction() -> None:
    asked: list[str] = []

    def admit(request: Request, _source: Hop, _now: float) -> Admission:
        asked.append(request.method)
        return (
            Admitted() if "Authorization" in request.headers else Challenged(('Digest realm="r"', 'Digest realm="s"'))
        )

    stage = Stage(admit=admit)
    challenged = response(stage.hear(far_invite()), 401)
    assert challenged.headers.all("WWW-Authenticate") == ('Digest realm="r"', 'Digest realm="s"')
    assert challenged.to.tag
    assert stage.hear(far_invite()) == [challenged]  # its tag is the same each time (RFC 3261, 8.2.7)
    assert len(stage.agent._layer) == 0
    assert stage.hear(far_request("ACK", "sip:tocsin@192.0.2.1", branch="z9hG4bKi", to=str(challenged.to))) == []
    proved = far_invite(headers=[("Authorization", "Digest x")], branch="z9hG4bKj")
    stage.offered(proved)
    assert stage.hear(proved) == []  # repeated: not asked again
    assert asked == ["INVITE", "INVITE", "INVITE"]


def test_requests_outside_of_dialogs() -> None:
    stage = Stage()
    options = response(stage.hear(far_request("OPTIONS", "sip:192.0.2.1", branch="z9hG4bK1", call_id="1")), 200)
    assert "application/sdp" in (options.headers.get("Accept") or "")
    assert options.headers.get("Supported") == "100rel, timer"
    for n, (method, status) in enumerate([("BYE", 481), ("INFO", 481), ("REGISTER", 405), ("SUBSCRIBE", 405)]):
        request = far_request(method, "sip:192.0.2.1", branch=f"z9hG4bK2{n}", call_id=f"2{n}")
        assert statuses(stage.hear(request)) == [status]
    unknown = far_request("OPTIONS", "sip:192.0.2.1", branch="z9hG4bK3", to="<sip:u@h>;tag=none", headers=[CONTACT])
    assert statuses(stage.hear(unknown)) == [481]
