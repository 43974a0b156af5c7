"""Signs of life of calls that are up: who refreshes them, how, and what ends them where none comes."""

from __future__ import annotations

import pytest

from ivr.sip import sdp
from ivr.sip.events import Ended
from ivr.sip.message import Request
from tests.ivr.sip.stage import CONTACT, OFFERING, Stage, far_answer, invitation, only, requests, sdp_body


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
