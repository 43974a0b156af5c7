"""Questions that are asked before a call of ours rings: who we are, and for how long the session shall last."""

from __future__ import annotations

import pytest

from ivr.sip.digest import parse_parameters
from tests.ivr.sip.stage import CHALLENGE, Stage, far_answer, invitation, ok, only, refusal, requests

STALE = 'Digest realm="example.org", nonce="n2", algorithm=MD5, qop="auth", stale=true'
ASKING = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}

# --- credentials -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 407])
def test_a_challenge_is_answered(status: int) -> None:
    asks, answers = ASKING[status]
    stage = Stage()
    _, invite = stage.call()
    said = stage.hear(far_answer(invite, status, headers=[(asks, CHALLENGE)]))
    assert requests(said) == ["ACK", "INVITE"]
    again = only(said, "INVITE")
    assert (again.call_id, again.from_, again.cseq.number) == (invite.call_id, invite.from_, 2)
    assert again.via.branch != invite.via.branch
    given = parse_parameters((again.headers.get(answers) or "").removeprefix("Digest "))
    assert given is not None
    assert (given["username"], given["nonce"], given["nc"], given["uri"]) == ("hospital", "n1", "00000001", again.uri)
    ack = only(stage.hear(ok(again)), "ACK")
    assert ack.cseq.number == 2
    assert ack.headers.get(answers) == again.headers.get(answers)  # RFC 3261, 22.1


def test_both_kinds_of_challenge_in_a_row_are_answered() -> None:
    stage = Stage()
    _, invite = stage.call()
    second = only(stage.hear(far_answer(invite, 407, headers=[("Proxy-Authenticate", CHALLENGE)])), "INVITE")
    other = CHALLENGE.replace("n1", "n9")
    third = only(stage.hear(far_answer(second, 401, headers=[("WWW-Authenticate", other)])), "INVITE")
    assert "Proxy-Authorization" in third.headers
    assert "Authorization" in third.headers


def test_a_wrong_password_is_not_tried_twice() -> None:
    stage = Stage()
    _, invite = stage.call()
    again = only(stage.hear(far_answer(invite, 401, headers=[("WWW-Authenticate", CHALLENGE)])), "INVITE")
    assert requests(stage.hear(far_answer(again, 401, headers=[("WWW-Authenticate", CHALLENGE)]))) == ["ACK"]
    assert refusal(stage).status == 401


def test_a_stale_nonce_is_replaced() -> None:
    stage = Stage()
    _, invite = stage.call()
    again = only(stage.hear(far_answer(invite, 401, headers=[("WWW-Authenticate", CHALLENGE)])), "INVITE")
    third = only(stage.hear(far_answer(again, 401, headers=[("WWW-Authenticate", STALE)])), "INVITE")
    assert 'nonce="n2"' in (third.headers.get("Authorization") or "")
    assert "nc=00000001" in (third.headers.get("Authorization") or "")


def test_a_peer_for_whom_every_nonce_is_stale_is_given_up() -> None:
    stage = Stage()
    _, invite = stage.call()
    for _ in range(7):
        invite = only(stage.hear(far_answer(invite, 401, headers=[("WWW-Authenticate", STALE)])), "INVITE")
    assert requests(stage.hear(far_answer(invite, 401, headers=[("WWW-Authenticate", STALE)]))) == ["ACK"]
    assert refusal(stage).status == 401


def test_without_a_password_a_challenge_is_a_refusal() -> None:
    stage = Stage()
    _, invite = stage.call(invitation(password=None))
    stage.hear(far_answer(invite, 407, headers=[("Proxy-Authenticate", CHALLENGE)]))
    assert refusal(stage).status == 407


@pytest.mark.parametrize("header", [None, "Basic realm=x", 'Digest realm="x", nonce="n", algorithm=SHA-512-256'])
def test_a_challenge_that_we_cannot_answer_is_a_refusal(header: str | None) -> None:
    stage = Stage()
    _, invite = stage.call()
    stage.hear(far_answer(invite, 401, headers=[] if header is None else [("WWW-Authenticate", header)]))
    assert refusal(stage).status == 401


# --- the interval of the session -------------------------------------------------------------------------------------


def test_a_longer_session_interval_is_granted() -> None:
    stage = Stage()
    _, invite = stage.call()
    again = only(stage.hear(far_answer(invite, 422, headers=[("Min-SE", "3600")])), "INVITE")
    assert (again.headers.get("Session-Expires"), again.headers.get("Min-SE")) == ("3600", "3600")
    assert again.cseq.number == 2


@pytest.mark.parametrize("min_se", [None, "", "x", "60", "90", "999999", "-1", "99999999999"])
def test_a_422_without_sense_is_a_refusal(min_se: str | None) -> None:
    stage = Stage()
    _, invite = stage.call()
    stage.hear(far_answer(invite, 422, headers=[] if min_se is None else [("Min-SE", min_se)]))
    assert refusal(stage).status == 422


def test_two_422_with_the_same_interval_are_no_loop() -> None:
    stage = Stage()
    _, invite = stage.call()
    again = only(stage.hear(far_answer(invite, 422, headers=[("Min-SE", "3600")])), "INVITE")
    stage.hear(far_answer(again, 422, headers=[("Min-SE", "3600")]))
    assert refusal(stage).status == 422
