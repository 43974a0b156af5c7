"""Questions that are asked before a call of ours rings: who we are, and for how long the session shall last."""

from __future__ import annotations

import pytest

from ivr.sip.digest import asked_parameters, parse_parameters
from ivr.sip.message import Request
from tests.ivr.sip.stage import (
    CHALLENGE,
    CONTACT,
    OFFERING,
    Message,
    Stage,
    authenticator,
    far_answer,
    invitation,
    ok,
    only,
    refusal,
    requests,
    sdp_body,
)

STALE = 'Digest realm="example.org", nonce="n2", algorithm=MD5, qop="auth", stale=true'
ASKING = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}


def proofs(request: Request, header: str) -> list[dict[str, str]]:
    """What the credentials of a request say."""
    found = [parse_parameters(value.removeprefix("Digest ")) for value in request.headers.all(header)]
    return [one for one in found if one is not None]


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


def test_two_proxies_in_a_row_are_answered_each_in_its_realm() -> None:
    stage = Stage()
    _, invite = stage.call()
    second = only(stage.hear(far_answer(invite, 407, headers=[("Proxy-Authenticate", CHALLENGE)])), "INVITE")
    other = CHALLENGE.replace("example.org", "example.net").replace("n1", "n2")
    third = only(stage.hear(far_answer(second, 407, headers=[("Proxy-Authenticate", other)])), "INVITE")
    found = proofs(third, "Proxy-Authorization")
    assert [(one["realm"], one["nonce"], one["nc"]) for one in found] == [
        ("example.org", "n1", "00000002"),
        ("example.net", "n2", "00000001"),
    ]  # RFC 3261, 22.3
    assert requests(stage.hear(far_answer(third, 407, headers=[("Proxy-Authenticate", other)]))) == ["ACK"]
    assert refusal(stage).status == 407


def test_two_realms_of_one_answer_are_answered_at_once() -> None:
    stage = Stage()
    _, invite = stage.call()
    both = [("Proxy-Authenticate", CHALLENGE), ("Proxy-Authenticate", CHALLENGE.replace("example.org", "example.net"))]
    again = only(stage.hear(far_answer(invite, 407, headers=both)), "INVITE")
    assert [one["realm"] for one in proofs(again, "Proxy-Authorization")] == ["example.org", "example.net"]


@pytest.mark.parametrize("method", ["PRACK", "BYE", "UPDATE"])
def test_each_request_has_credentials_of_its_own(method: str) -> None:
    stage = Stage()
    leg, invite = stage.call()
    invite = only(stage.hear(far_answer(invite, 407, headers=[("Proxy-Authenticate", CHALLENGE)])), "INVITE")
    said: list[Message] = []
    match method:
        case "PRACK":
            said = stage.hear(far_answer(invite, 183, headers=[CONTACT, ("Require", "100rel"), ("RSeq", "1")]))
        case "BYE":
            stage.hear(ok(invite))
            leg.hang_up(stage.now)
            said = stage.messages()
        case _:
            headers = [*OFFERING, ("Session-Expires", "180;refresher=uac"), ("Allow", "UPDATE")]
            stage.hear(far_answer(invite, 200, headers=headers, body=sdp_body()))
            said = [one for _, one in stage.advance(90.0)]
    request = only(said, method)
    [given] = proofs(request, "Proxy-Authorization")
    assert (given["uri"], given["nc"]) == (request.uri, "00000002")  # RFC 7616, 3.4
    [first] = proofs(invite, "Proxy-Authorization")
    assert given["response"] != first["response"]


def test_the_ack_of_a_reinvite_has_that_one_s_credentials() -> None:
    stage = Stage()
    stage.up(headers=[("Session-Expires", "180;refresher=uac")])
    [(_, refresh)] = stage.advance(90.0)
    assert isinstance(refresh, Request)
    again = only(stage.hear(far_answer(refresh, 407, headers=[("Proxy-Authenticate", CHALLENGE)])), "INVITE")
    ack = only(stage.hear(ok(again)), "ACK")
    assert ack.headers.all("Proxy-Authorization") == again.headers.all("Proxy-Authorization") != ()


def test_a_prack_that_is_challenged_is_sent_again() -> None:
    stage = Stage()
    _, invite = stage.call()
    prack = only(stage.hear(far_answer(invite, 183, headers=[CONTACT, ("Require", "100rel"), ("RSeq", "1")])), "PRACK")
    again = only(stage.hear(far_answer(prack, 407, headers=[("Proxy-Authenticate", CHALLENGE)])), "PRACK")
    assert (again.headers.get("RAck"), again.cseq.number) == ("1 1 INVITE", 3)
    assert "Proxy-Authorization" in again.headers
    assert stage.hear(far_answer(again, 407, headers=[("Proxy-Authenticate", CHALLENGE)])) == []


def test_a_request_of_a_call_for_which_every_nonce_is_stale_is_given_up() -> None:
    stage = Stage()
    far = stage.up()
    far.leg.hang_up(stage.now)
    bye = only(stage.messages(), "BYE")
    for _ in range(3):
        bye = only(stage.hear(far_answer(bye, 401, headers=[("WWW-Authenticate", STALE)])), "BYE")
    assert stage.hear(far_answer(bye, 401, headers=[("WWW-Authenticate", STALE)])) == []


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


# --- challenges that keep to no grammar ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("challenge", "qop", "realm"),
    [
        ('Digest realm="example.org", nonce="n1", qop=auth,auth-int', "auth", "example.org"),
        ('Digest qop=auth,auth-int,realm="example.org",nonce="n1"', "auth", "example.org"),
        ('Digest realm="example.org", nonce="n1", qop=auth, auth-int, algorithm=MD5', "auth", "example.org"),
        ('Digest realm="example.org" nonce="n1" qop="auth"', "auth", "example.org"),
        ("Digest realm=example.org, nonce=n1, qop=auth-int", "auth-int", "example.org"),
        ('Digest realm="example.org"nonce="n1"', None, "example.org"),
        ('Digest realm="example.org, nonce=n1', None, "example.org"),
        ("Digest realm=Ward 3, nonce=n1, qop=auth", "auth", "Ward 3"),
        ('Digest realm="example.org", nonce="n1", , nonsense, x="y, stale', None, "example.org"),
        ('Digest realm="example.org", nonce="n1", qop="nothing, auth"', "auth", "example.org"),
        ('digest\trealm="example.org";nonce="n1";QOP="auth";Algorithm="md5"', "auth", "example.org"),
        ('Digest realm="ex\\"ample", nonce="n1", domain="sip:a=b, sip:c"', None, 'ex"ample'),
    ],
)
def test_case_3_11_a_challenge_is_answered_as_it_is_meant(challenge: str, qop: str | None, realm: str) -> None:
    stage = Stage()
    _, invite = stage.call()
    again = only(stage.hear(far_answer(invite, 407, headers=[("Proxy-Authenticate", challenge)])), "INVITE")
    [given] = proofs(again, "Proxy-Authorization")
    assert (given["realm"], given["nonce"], given.get("qop")) == (realm, "n1", qop)


def test_a_nonce_that_ends_like_a_name_is_read_whole() -> None:
    assert asked_parameters("nonce=YWJj==, realm=r") == {"nonce": "YWJj==", "realm": "r"}
    assert asked_parameters('realm="r", nonce="a=b, c=d", opaque=""') == {
        "realm": "r",
        "nonce": "a=b, c=d",
        "opaque": "",
    }


# --- in calls to us --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "INVITE"])
def test_case_3_9_what_we_say_in_a_call_to_us_is_said_again_with_the_trunk_s_password(status: int, method: str) -> None:
    asks, answers = ASKING[status]
    stage = Stage(authenticator=authenticator)
    more = {"UPDATE": [("Allow", "UPDATE")]}.get(method, [])
    far = stage.taken(headers=[("Session-Expires", "180;refresher=uas"), ("Supported", "timer"), *more])
    session = far.leg.session
    assert session is not None
    match method:
        case "BYE":
            far.leg.hang_up(stage.now)
        case "INFO":
            session.inform(b"Signal=1", "application/dtmf-relay", stage.now)
    said = [one for _, one in stage.advance(90.0 if method in ("UPDATE", "INVITE") else 0.1)]
    first = only(said, method)
    assert first.headers.get(answers) is None
    again = only(stage.hear(far_answer(first, status, tag="", headers=[(asks, CHALLENGE)])), method)
    assert again.cseq.number == first.cseq.number + 1
    [given] = proofs(again, answers)
    assert (given["username"], given["uri"]) == ("hospital", again.uri)
    refused = stage.hear(far_answer(again, status, tag="", headers=[(asks, CHALLENGE.replace("n1", "n2"))]))
    said_then = [
        one for one in requests(refused) if one != "ACK"
    ]  # the password is wrong; a refresh is tried by INVITE too
    assert said_then == (["INVITE"] if method == "UPDATE" else [])


def test_without_a_password_a_challenged_bye_is_not_said_again() -> None:
    stage = Stage()
    far = stage.taken()
    far.leg.hang_up(stage.now)
    bye = only(stage.messages(), "BYE")
    assert stage.hear(far_answer(bye, 407, tag="", headers=[("Proxy-Authenticate", CHALLENGE)])) == []
