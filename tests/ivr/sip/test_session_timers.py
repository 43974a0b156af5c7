"""Signs of life of calls that are up: who refreshes them, how, and what ends them where none comes."""

from __future__ import annotations

import pytest

from ivr.sip import sdp
from ivr.sip.events import Ended, MediaChanged, Offered
from ivr.sip.message import Request
from tests.ivr.sip.stage import (
    CHALLENGE,
    CONTACT,
    DIRECTIONS,
    OFFERING,
    START,
    Far,
    Stage,
    far_answer,
    far_invite,
    invitation,
    ok,
    only,
    requests,
    response,
    sdp_body,
)


def refreshing(stage: Stage, outgoing: bool, allow: str) -> Far:
    """A call that is up, and that we refresh after 900 s: by UPDATE where they allow it."""
    if outgoing:
        return stage.up(headers=[("Session-Expires", "1800;refresher=uac"), ("Allow", allow)])
    return stage.taken(headers=[("Session-Expires", "1800;refresher=uas"), ("Supported", "timer"), ("Allow", allow)])


def test_without_a_session_timer_a_call_lives_on() -> None:
    stage = Stage()
    stage.up()
    assert stage.advance(20_000.0) == []
    assert stage.told(Ended) == []


def test_we_refresh_by_update_at_half_the_interval() -> None:
    stage = Stage()
    far = stage.up(headers=[("Session-Expires", "180;refresher=uac"), ("Allow", "INVITE, update")])
    for n in (1, 2, 3):
        [(at, update)] = stage.advance(90.0)
        assert isinstance(update, Request)
        assert (round(at), update.method, update.body) == (90 * n, "UPDATE", b"")
        assert update.headers.get("Session-Expires") == "180;refresher=uac"
        assert stage.hear(far_answer(update, 200, headers=[CONTACT, ("Session-Expires", "180;refresher=uac")])) == []
    assert stage.told(Ended) == []
    assert far.say("BYE").status == 200
    assert stage.advance(200.0) == []


def test_we_refresh_by_reinvite_where_there_is_no_update() -> None:
    stage = Stage()
    stage.up(headers=[("Session-Expires", "180;refresher=uac")])
    [(_, invite)] = stage.advance(90.0)
    assert isinstance(invite, Request)
    assert sdp.parse(invite.body) is not None
    only(stage.hear(far_answer(invite, 200, headers=OFFERING, body=sdp_body())), "ACK")
    sent = stage.advance(90.0)
    assert [one.method for _, one in sent if isinstance(one, Request)] == ["INVITE"]
    assert [one.cseq.number for _, one in sent] == [invite.cseq.number + 1]


@pytest.mark.parametrize("status", [408, 481])
def test_a_refresh_that_finds_no_call_ends_it(status: int) -> None:
    stage = Stage()
    stage.up(headers=[("Session-Expires", "180;refresher=uac"), ("Allow", "UPDATE")])
    [(_, update)] = stage.advance(90.0)
    assert isinstance(update, Request)
    assert requests(stage.hear(far_answer(update, status))) == ["BYE"]
    assert len(stage.told(Ended)) == 1


def test_a_refresh_that_nobody_answers_ends_the_call() -> None:
    stage = Stage()
    stage.up(headers=[("Session-Expires", "180;refresher=uac"), ("Allow", "UPDATE")])
    sent = stage.advance(90.0 + 32.0)
    methods = [one.method for _, one in sent if isinstance(one, Request)]
    assert methods[-1] == "BYE"
    assert len(stage.told(Ended)) == 1


@DIRECTIONS
@pytest.mark.parametrize(("allow", "method"), [("UPDATE", "UPDATE"), ("BYE", "INVITE")])
def test_a_refresh_that_crosses_an_offer_of_theirs_is_sent_again_soon(outgoing: bool, allow: str, method: str) -> None:
    stage = Stage()
    refreshing(stage, outgoing, allow)
    [(_, first)] = stage.advance(900.0)
    assert isinstance(first, Request)
    stage.hear(far_answer(first, 491))
    earliest, latest = (2.1, 4.0) if outgoing else (0.0, 2.0)  # RFC 3261, 14.1: who has called waits longer
    sent = [(at, one) for at, one in stage.advance(4.0) if isinstance(one, Request)]
    assert {one.method for _, one in sent} == {method}
    assert 900.0 + earliest <= sent[0][0] <= 900.0 + latest
    assert {one.cseq.number for _, one in sent} == {first.cseq.number + 1}


def test_a_refresh_waits_for_as_long_as_somebody_busy_asks() -> None:
    stage = Stage()
    refreshing(stage, outgoing=True, allow="UPDATE")
    [(_, update)] = stage.advance(900.0)
    assert isinstance(update, Request)
    stage.hear(far_answer(update, 500, headers=[("Retry-After", "7")]))
    assert stage.advance(6.9) == []
    assert requests([one for _, one in stage.advance(0.2)]) == ["UPDATE"]


def test_a_refresh_that_is_refused_time_and_again_ends_the_call_in_time() -> None:
    stage = Stage()
    refreshing(stage, outgoing=True, allow="UPDATE")
    [(_, update)] = stage.advance(900.0)
    while isinstance(update, Request) and update.method == "UPDATE":
        stage.hear(far_answer(update, 491))
        update = stage.advance(4.1)[0][1]
    assert isinstance(update, Request)
    assert update.method == "BYE"
    assert 1_790.0 <= stage.now - START <= 1_810.0


def test_a_longer_interval_is_granted_at_once() -> None:
    stage = Stage()
    refreshing(stage, outgoing=True, allow="UPDATE")
    [(_, update)] = stage.advance(900.0)
    assert isinstance(update, Request)
    again = only(stage.hear(far_answer(update, 422, headers=[("Min-SE", "3600")])), "UPDATE")  # RFC 4028, 7.4
    assert (again.headers.get("Session-Expires"), again.headers.get("Min-SE")) == ("3600;refresher=uac", "3600")
    stage.hear(far_answer(again, 200, headers=[CONTACT, ("Session-Expires", "3600;refresher=uac")]))
    assert stage.advance(1_799.0) == []
    assert requests([one for _, one in stage.advance(1.1)]) == ["UPDATE"]


@pytest.mark.parametrize("status", [403, 488, 500, 503])
def test_who_refuses_a_refresh_for_good_is_alive(status: int) -> None:
    stage = Stage()
    refreshing(stage, outgoing=True, allow="UPDATE")
    [(_, update)] = stage.advance(900.0)
    assert isinstance(update, Request)
    invite = only(stage.hear(far_answer(update, status)), "INVITE")  # whatever it has against UPDATE
    stage.hear(far_answer(invite, status))
    assert requests([one for _, one in stage.advance(900.0)]) == ["INVITE"]
    assert stage.told(Ended) == []


@pytest.mark.parametrize("end", ["time", "them", "us"])
def test_a_refresh_that_is_never_decided_leaves_nothing(end: str) -> None:
    stage = Stage()
    far = refreshing(stage, outgoing=True, allow="BYE")
    [(_, invite)] = stage.advance(900.0)
    assert isinstance(invite, Request)
    assert stage.hear(far_answer(invite, 100)) == []
    match end:
        case "them":
            assert far.say("BYE").status == 200
        case "us":
            far.leg.hang_up(stage.now)
        case _:
            assert stage.advance(899.0) == []
            assert requests([one for _, one in stage.advance(1.0)]) == ["BYE"]  # RFC 4028, 10
    stage.advance(100.0)
    assert len(stage.told(Ended)) == 1
    assert (stage.agent.calls, len(stage.agent._layer), stage.agent.next_deadline()) == (0, 0, None)


@pytest.mark.parametrize("status", [487, 407])
def test_a_refresh_that_is_refused_after_the_end_is_acknowledged_only(status: int) -> None:
    stage = Stage()
    far = refreshing(stage, outgoing=True, allow="BYE")
    [(_, invite)] = stage.advance(900.0)
    assert isinstance(invite, Request)
    far.say("BYE")
    said = stage.hear(far_answer(invite, status, headers=[("Proxy-Authenticate", CHALLENGE)]))
    assert requests(said) == ["ACK"]
    assert stage.advance(2_000.0) == []


def test_a_repeated_200_of_a_refresh_gets_the_same_ack() -> None:
    stage = Stage()
    refreshing(stage, outgoing=True, allow="BYE")
    [(_, invite)] = stage.advance(900.0)
    assert isinstance(invite, Request)
    ack = only(stage.hear(ok(invite)), "ACK")
    assert len(stage.told(MediaChanged)) == 1
    assert stage.hear(ok(invite)) == [ack]  # RFC 3261, 13.2.2.4
    assert len(stage.told(MediaChanged)) == 1


def test_a_200_of_a_refresh_after_the_end_is_acknowledged_and_changes_nothing() -> None:
    stage = Stage()
    far = refreshing(stage, outgoing=True, allow="BYE")
    [(_, invite)] = stage.advance(900.0)
    assert isinstance(invite, Request)
    far.leg.hang_up(stage.now)
    stage.messages()
    ack = only(stage.hear(ok(invite)), "ACK")
    assert stage.hear(ok(invite)) == [ack]
    assert stage.told(MediaChanged) == []


def test_their_refresh_keeps_the_call() -> None:
    stage = Stage()
    far = stage.up(headers=[("Session-Expires", "180;refresher=uas"), ("Supported", "timer")])
    refresh = [CONTACT, ("Session-Expires", "180;refresher=uac"), ("Supported", "timer")]
    for _ in range(5):
        assert stage.advance(100.0) == []
        ok = far.say("UPDATE", headers=refresh)
        assert ok.headers.get("Session-Expires") == "180;refresher=uac"
        assert ok.headers.get("Require") == "timer"
    assert stage.told(Ended) == []


@pytest.mark.parametrize(("expires_s", "lapse_s"), [(90, 60.0), (180, 148.0), (1_800, 1_768.0)])
def test_without_their_refresh_the_call_ends_shortly_before_its_time(expires_s: int, lapse_s: float) -> None:
    stage = Stage()
    stage.up(headers=[("Session-Expires", f"{expires_s};refresher=uas")])
    assert stage.advance(lapse_s - 0.1) == []
    sent = stage.advance(0.2)
    [bye] = [one for _, one in sent]
    assert isinstance(bye, Request)
    assert (bye.method, bye.headers.get("Reason")) == ("BYE", 'SIP;cause=408;text="Session expired"')
    assert [one.by_remote for one in stage.told(Ended)] == [False]


@pytest.mark.parametrize(
    ("asked", "supported", "said", "ours"),
    [
        ("180", "timer", "180;refresher=uac", False),
        ("180;refresher=uas", "timer", "180;refresher=uas", True),
        ("180;refresher=uac", "timer", "180;refresher=uac", False),
        ("180", "", "180;refresher=uas", True),
        ("99999999", "timer", "86400;refresher=uac", False),
    ],
)
def test_who_refreshes_a_call_to_us(asked: str, supported: str, said: str, ours: bool) -> None:
    stage = Stage()
    headers = [("Session-Expires", asked), *([("Supported", supported)] if supported else [])]
    far = stage.taken(headers=headers)
    assert far.answer.headers.get("Session-Expires") == said
    sent = stage.advance(90.0)
    assert [one.method for _, one in sent if isinstance(one, Request)] == (["INVITE"] if ours else [])


SHORT = [("Session-Expires", "30"), ("Supported", "timer")]


def test_a_call_to_us_with_an_interval_that_is_too_short_is_told_so() -> None:
    stage = Stage()
    refused = response(stage.hear(far_invite(headers=SHORT)), 422)
    assert refused.headers.get("Min-SE") == "90"  # RFC 4028, 9
    assert stage.told(Offered) == []


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_refresh_with_an_interval_that_is_too_short_is_told_so(method: str) -> None:
    stage = Stage()
    far = stage.up()
    refused = far.say(method, headers=[*OFFERING, *SHORT], body=sdp_body())
    assert (refused.status, refused.headers.get("Min-SE")) == (422, "90")
    assert far.say(method, headers=[*OFFERING, ("Session-Expires", "90")], body=sdp_body()).status == 200


def test_who_knows_no_session_timers_is_not_told_of_a_short_one() -> None:
    stage = Stage()
    far = stage.taken(headers=[("Session-Expires", "30")])
    assert far.answer.headers.get("Session-Expires") == "90;refresher=uas"


def test_a_refused_update_leaves_the_interval_as_it_was() -> None:
    stage = Stage()
    far = stage.up(headers=[("Session-Expires", "180;refresher=uac"), ("Allow", "UPDATE")])
    assert far.say("UPDATE", headers=OFFERING, body=sdp_body(formats="9")).status == 488
    assert requests([one for _, one in stage.advance(90.0)]) == ["UPDATE"]


def test_a_call_to_us_that_is_not_refreshed_ends() -> None:
    stage = Stage()
    stage.taken(headers=[("Session-Expires", "180;refresher=uac"), ("Supported", "timer")])
    sent = stage.advance(148.2)
    assert [one.method for _, one in sent if isinstance(one, Request)] == ["BYE"]
    assert stage.advance(100.0)  # it is repeated: nobody is there


def test_no_timer_that_was_not_agreed_ends_a_call() -> None:
    stage = Stage()
    stage.up(what=invitation(session_expires_s=90))
    assert stage.advance(1_000.0) == []


def test_our_offer_keeps_the_media_that_were_refused_in_their_places() -> None:
    stage = Stage()
    video_first = sdp_body().replace(b"m=audio", b"m=video 5000 RTP/AVP 31\r\nm=audio")
    far = stage.taken(headers=[("Session-Expires", "180;refresher=uas"), ("Supported", "timer")], body=video_first)
    [(_, refresh)] = stage.advance(90.0)
    for message in (far.answer, refresh):  # RFC 3264, 6 and 8
        described = sdp.parse(message.body)
        assert described is not None
        assert [(media.kind, media.port == 0) for media in described.media] == [("video", True), ("audio", False)]


@pytest.mark.parametrize("status", [405, 501, 403, 415, 420, 500, 603])
@pytest.mark.parametrize("outgoing", [True, False])
def test_case_3_11_whoever_does_not_take_update_is_asked_by_a_reinvite(status: int, outgoing: bool) -> None:
    stage = Stage()
    refreshing(stage, outgoing=outgoing, allow="UPDATE")
    [(_, update)] = stage.advance(900.0)
    assert isinstance(update, Request)
    again = only(stage.hear(far_answer(update, status, tag="")), "INVITE")
    assert again.headers.get("Session-Expires") is not None
    assert sdp.parse(again.body) is not None
    stage.hear(
        far_answer(again, 200, tag="", headers=[*OFFERING, ("Session-Expires", "1800;refresher=uac")], body=sdp_body())
    )
    assert requests([one for _, one in stage.advance(900.0)]) == ["INVITE"]  # it is not asked by UPDATE any more
