"""Calls that are up, of both directions: BYE, numbers and routes, other media, hold, glare, credentials."""

from __future__ import annotations

import pytest

from ivr.sip import sdp
from ivr.sip.digest import parse_parameters
from ivr.sip.events import Ended, MediaChanged
from ivr.sip.hop import Hop
from ivr.sip.message import Request
from ivr.sip.sdp import AudioSession
from tests.ivr.sip.stage import (
    CONTACT,
    DIRECTIONS,
    OFFERING,
    PEER,
    SDP,
    Far,
    Stage,
    far_answer,
    far_request,
    only,
    requests,
    response,
    sdp_body,
    statuses,
    times,
    up,
)

SHA_256 = 'Digest realm="example.org", nonce="n1", algorithm=SHA-256, qop="auth"'


def agreed(far: Far) -> AudioSession:
    """The media as they are now."""
    assert far.leg.session is not None
    found = far.leg.session.negotiation.agreed
    assert found is not None
    return found


# --- BYE -------------------------------------------------------------------------------------------------------------


@DIRECTIONS
def test_they_hang_up(outgoing: bool) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    bye = far.request("BYE", headers=[("Reason", "Q.850;cause=16")])
    assert statuses(stage.hear(bye)) == [200]
    [ended] = stage.told(Ended)
    assert (ended.call, ended.by_remote, [one.cause for one in ended.reasons]) == (far.leg, True, [16])
    assert statuses(stage.hear(bye)) == [200]  # repeated: the answer was lost
    far.leg.hang_up(stage.now)
    assert stage.messages() == []
    assert len(stage.told(Ended)) == 1
    stage.advance(64.0)
    assert stage.agent.calls == 0
    assert stage.agent.next_deadline() is None


@DIRECTIONS
def test_we_hang_up(outgoing: bool) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    far.leg.hang_up(stage.now, reason="Q.850;cause=16")
    bye = only(stage.messages(), "BYE")
    assert (bye.uri, bye.headers.get("Reason")) == ("sip:nurse@203.0.113.9:5060", "Q.850;cause=16")
    assert (str(bye.from_), str(bye.to)) == (far.to, far.from_)
    assert [one.by_remote for one in stage.told(Ended)] == [False]
    far.leg.hang_up(stage.now)
    assert stage.messages() == []
    assert times(stage.advance(4.0)) == [0.5, 1.5, 3.5]
    stage.hear(far_answer(bye, 200))
    assert stage.advance(64.0) == []
    assert stage.agent.calls == 0


@DIRECTIONS
def test_nobody_answers_our_bye(outgoing: bool) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    far.leg.hang_up(stage.now)
    stage.advance(64.0)
    assert len(stage.told(Ended)) == 1
    assert stage.agent.calls == 0


def test_two_byes_that_cross() -> None:
    stage = Stage()
    far = stage.up()
    far.leg.hang_up(stage.now)
    bye = only(stage.messages(), "BYE")
    assert far.say("BYE").status == 200
    assert stage.hear(far_answer(bye, 481)) == []
    assert len(stage.told(Ended)) == 1


def test_requests_after_the_end_get_481() -> None:
    stage = Stage()
    far = stage.up()
    far.leg.hang_up(stage.now)
    assert far.say("INFO").status == 481
    assert far.say("INVITE", headers=OFFERING, body=sdp_body()).status == 481
    stage.advance(64.0)
    assert far.say("BYE").status == 481


# --- numbers, tags, routes -------------------------------------------------------------------------------------------


@DIRECTIONS
def test_a_request_with_an_old_number_is_refused_and_changes_nothing(outgoing: bool) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    assert far.say("OPTIONS", cseq=200).status == 200
    for cseq in (199, 200, 1):
        refused = far.say("INFO", cseq=cseq)
        assert (refused.status, refused.headers.get("Retry-After")) == (500, "1")
    assert stage.told(Ended) == []
    assert far.say("OPTIONS", cseq=500).status == 200  # gaps are fine


@DIRECTIONS
@pytest.mark.parametrize("cseq", [0, 1, 199, 200, 500])
@pytest.mark.parametrize("headers", [[], [("Require", "x-hangup")]], ids=["plain", "required"])
def test_whoever_hangs_up_has_hung_up_whatever_its_number(
    outgoing: bool, cseq: int, headers: list[tuple[str, str]]
) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    assert far.say("OPTIONS", cseq=200).status == 200
    assert far.say("BYE", cseq=cseq, headers=headers).status == 200
    assert [event.by_remote for event in stage.told(Ended)] == [True]


@DIRECTIONS
def test_a_contact_of_another_family_is_answered_where_it_came_from(outgoing: bool) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    moved = [SDP, ("Contact", "<sip:nurse@[2001:db8::9]:5060>")]
    assert far.say("INVITE", headers=moved, body=sdp_body()).status == 200
    stage.hear(far.request("ACK", cseq=far.cseq))
    far.leg.hang_up(stage.now)
    assert [hop for hop, message in stage.sent() if isinstance(message, Request)] == [stage.hop]


def test_their_first_request_may_have_the_number_0() -> None:
    stage = Stage()
    far = stage.up()
    assert far.say("OPTIONS", cseq=0).status == 200  # RFC 3261, 12.2.2: nothing came before it
    assert far.say("INFO", cseq=0).status == 500
    assert far.say("BYE", cseq=1).status == 200


@DIRECTIONS
@pytest.mark.parametrize("wrong", ["from tag", "to tag", "call id"])
def test_a_request_of_another_dialog_gets_481(outgoing: bool, wrong: str) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    request = far_request(
        "BYE", "sip:tocsin@192.0.2.1", branch="z9hG4bKw",
        from_=far.from_ + "x" if wrong == "from tag" else far.from_,
        to=far.to + "x" if wrong == "to tag" else far.to,
        call_id=far.leg.call_id + ("x" if wrong == "call id" else ""), cseq=300,
    )  # fmt: skip
    assert statuses(stage.hear(request)) == [481]
    assert stage.told(Ended) == []


@pytest.mark.parametrize(
    ("route", "uri", "routes"),
    [
        (
            "<sip:203.0.113.2;lr>, <sip:203.0.113.3;lr>",
            "sip:nurse@203.0.113.9:5060",
            ("<sip:203.0.113.3;lr>", "<sip:203.0.113.2;lr>"),
        ),
        ("<sip:203.0.113.2>", "sip:203.0.113.2", ("<sip:nurse@203.0.113.9:5060>",)),
    ],
    ids=["loose", "strict"],
)
def test_the_route_set_of_our_call_is_the_record_route_backwards(route: str, uri: str, routes: tuple[str, ...]) -> None:
    stage = Stage()
    far = stage.up(headers=[("Record-Route", route)])
    far.leg.hang_up(stage.now)
    [(hop, bye)] = stage.sent()
    assert isinstance(bye, Request)
    assert (bye.uri, bye.headers.all("Route")) == (uri, routes)
    assert hop.host == ("203.0.113.3" if len(routes) == 2 else "203.0.113.2")
    assert far.ack.headers.all("Route") == routes


def test_the_route_set_of_their_call_is_the_record_route_forwards() -> None:
    stage = Stage()
    far = stage.taken(headers=[("Record-Route", "<sip:203.0.113.2;lr>"), ("Record-Route", "<sip:203.0.113.3;lr>")])
    assert far.answer.headers.all("Record-Route") == ("<sip:203.0.113.2;lr>", "<sip:203.0.113.3;lr>")
    far.leg.hang_up(stage.now)
    [(hop, bye)] = stage.sent()
    assert bye.headers.all("Route") == ("<sip:203.0.113.2;lr>", "<sip:203.0.113.3;lr>")
    assert hop.host == "203.0.113.2"


def test_a_route_by_name_goes_back_where_the_answer_came_from() -> None:
    stage = Stage()
    far = stage.up(headers=[("Record-Route", "<sip:proxy.example.org;lr>")])
    far.leg.hang_up(stage.now)
    assert [hop for hop, _ in stage.sent()] == [PEER]


@DIRECTIONS
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_new_contact_becomes_the_target(outgoing: bool, method: str) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    far.say(method, headers=[SDP, ("Contact", "<sip:moved@203.0.113.9:5060>")], body=sdp_body())
    stage.hear(far.request("ACK", cseq=far.cseq))
    far.leg.hang_up(stage.now)
    assert only(stage.messages(), "BYE").uri == "sip:moved@203.0.113.9:5060"


@DIRECTIONS
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_new_contact_elsewhere_is_where_requests_go(outgoing: bool, method: str) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    far.say(method, headers=[SDP, ("Contact", "<sip:moved@203.0.113.77:5099>")], body=sdp_body())
    stage.hear(far.request("ACK", cseq=far.cseq))
    far.leg.hang_up(stage.now)
    assert [hop for hop, _ in stage.sent()] == [Hop("udp", "203.0.113.77", 5099)]  # RFC 3261, 12.2.1.1


@pytest.mark.parametrize("contact", ["<sip:n@203.0.113.77:5061>", "<sip:n@203.0.113.9:5061>"])
def test_with_tls_the_domain_that_was_called_is_asked_for_to_the_end(contact: str) -> None:
    stage = Stage(transport="tls")
    stage.hop = Hop("tls", PEER.host, 5061, "example.org")
    leg, invite = stage.call()
    stage.hear(far_answer(invite, 200, headers=[SDP, ("Contact", contact)], body=sdp_body()))
    leg.hang_up(stage.now)
    [(hop, _)] = stage.sent()
    assert (hop.transport, hop.port, hop.name) == ("tls", 5061, "example.org")


@pytest.mark.parametrize("contact", ["<sip:n@203.0.113.77;transport=tcp>", "<sips:n@203.0.113.77>"])
def test_a_contact_that_we_cannot_reach_goes_back_where_the_answer_came_from(contact: str) -> None:
    stage = Stage()
    leg, invite = stage.call()
    answer = far_answer(invite, 200, headers=[SDP, ("Contact", contact)], body=sdp_body())
    assert only(stage.hear(answer), "ACK").uri == contact.strip("<>")
    leg.hang_up(stage.now)
    assert [hop for hop, _ in stage.sent()] == [PEER]


@DIRECTIONS
@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 200), ("PRACK", 481), ("REFER", 405), ("MESSAGE", 405)])
def test_other_requests_of_the_dialog_are_answered(outgoing: bool, method: str, status: int) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    answer = far.say(method)
    assert answer.status == status
    assert "INVITE" in (answer.headers.get("Allow") or "")
    assert stage.told(Ended) == []


@DIRECTIONS
@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "OPTIONS", "INFO"])
def test_an_extension_that_we_do_not_have_is_refused_within_a_call_too(outgoing: bool, method: str) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    refused = far.say(method, headers=[CONTACT, ("Require", "timer, x")])
    assert (refused.status, refused.headers.get("Unsupported")) == (420, "x")  # RFC 3261, 8.2.2.3


# --- other media -----------------------------------------------------------------------------------------------------


@DIRECTIONS
def test_a_reinvite_with_an_offer_moves_the_media(outgoing: bool) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    invite = far.request("INVITE", headers=OFFERING, body=sdp_body(31_000, formats="0 101"))
    ok = response(stage.hear(invite), 200)
    answer = sdp.parse(ok.body)
    assert answer is not None
    assert answer.media[0].formats == ("0", "101")
    assert (agreed(far).port, agreed(far).codec) == (31_000, "PCMU")
    assert len(stage.told(MediaChanged)) == 1
    assert stage.hear(invite) == []  # the 2xx is repeated by its own clock
    sent = stage.advance(1.6)
    assert times(sent) == [0.5, 1.5]
    assert {message for _, message in sent} == {ok}
    stage.hear(far.request("ACK", cseq=far.cseq))
    assert stage.advance(60.0) == []


@DIRECTIONS
def test_a_reinvite_that_asks_for_our_offer(outgoing: bool) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    ok = far.say("INVITE", headers=[CONTACT])
    assert sdp.parse(ok.body) is not None
    assert stage.told(MediaChanged) == []
    ack = far.request("ACK", cseq=far.cseq, headers=[SDP], body=sdp_body(32_000))
    assert stage.hear(ack) == []
    assert agreed(far).port == 32_000
    assert len(stage.told(MediaChanged)) == 1
    stage.hear(ack)
    assert len(stage.told(MediaChanged)) == 1
    assert far.say("UPDATE", headers=OFFERING, body=sdp_body(33_000)).status == 200


@DIRECTIONS
def test_a_bad_answer_in_the_ack_leaves_the_media_as_they_were(outgoing: bool) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    before = agreed(far)
    far.say("INVITE", headers=[CONTACT])
    stage.hear(far.request("ACK", cseq=far.cseq, headers=[SDP], body=b"nonsense"))
    assert agreed(far) is before
    assert stage.told(Ended) == []
    assert far.say("INVITE", headers=OFFERING, body=sdp_body(33_000)).status == 200


@DIRECTIONS
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_offer_that_we_cannot_take_changes_nothing(outgoing: bool, method: str) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    before = agreed(far)
    assert far.say(method, headers=OFFERING, body=sdp_body(formats="9")).status == 488
    assert agreed(far) is before
    assert far.say(method, headers=OFFERING, body=sdp_body(33_000)).status == 200


@DIRECTIONS
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_body_of_another_kind_is_refused(outgoing: bool, method: str) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    refused = far.say(method, headers=[CONTACT, ("Content-Type", "text/plain")], body=b"hello")
    assert (refused.status, refused.headers.get("Accept")) == (415, "application/sdp")  # RFC 3261, 8.2.3
    assert agreed(far).port == 30_000


@DIRECTIONS
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize(
    ("direction", "may_send", "may_receive", "said"),
    [
        ("sendonly", False, True, "recvonly"),
        ("recvonly", True, False, "sendonly"),
        ("inactive", False, False, "inactive"),
        ("sendrecv", True, True, "sendrecv"),
    ],
)
def test_hold(outgoing: bool, method: str, direction: str, may_send: bool, may_receive: bool, said: str) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    ok = far.say(method, headers=OFFERING, body=sdp_body(30_000, f"a={direction}"))
    answer = sdp.parse(ok.body)
    assert answer is not None
    assert answer.media[0].direction == said
    assert (agreed(far).may_send, agreed(far).may_receive) == (may_send, may_receive)
    if method == "INVITE":
        stage.hear(far.request("ACK", cseq=far.cseq))
    far.say(method, headers=OFFERING, body=sdp_body())
    assert agreed(far).may_send
    assert agreed(far).may_receive


def test_the_old_kind_of_hold() -> None:
    stage = Stage()
    far = stage.up()
    far.say("UPDATE", headers=OFFERING, body=sdp_body(address="0.0.0.0"))
    assert not agreed(far).may_send


def test_an_update_without_an_offer_is_a_sign_of_life_only() -> None:
    stage = Stage()
    far = stage.up()
    ok = far.say("UPDATE", headers=[CONTACT])
    assert (ok.status, ok.body) == (200, b"")
    assert stage.told(MediaChanged) == []


# --- glare -----------------------------------------------------------------------------------------------------------


@DIRECTIONS
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_offer_while_our_2xx_waits_for_its_ack_gets_491(outgoing: bool, method: str) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    assert far.say("INVITE", headers=OFFERING, body=sdp_body(31_000)).status == 200
    unacknowledged = far.cseq
    assert far.say(method, headers=OFFERING, body=sdp_body(32_000)).status == 491
    assert agreed(far).port == 31_000
    stage.hear(far.request("ACK", cseq=unacknowledged))
    assert far.say(method, headers=OFFERING, body=sdp_body(32_000)).status == 200


@DIRECTIONS
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_offer_while_the_one_in_our_2xx_waits_for_its_answer_gets_491(outgoing: bool, method: str) -> None:
    stage = Stage()
    far = up(stage, outgoing)
    assert far.say("INVITE", headers=[CONTACT]).body
    asked = far.cseq
    assert far.say(method, headers=OFFERING, body=sdp_body(32_000)).status == 491
    stage.hear(far.request("ACK", cseq=asked, headers=[SDP], body=sdp_body(31_000)))
    assert agreed(far).port == 31_000


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_offer_while_ours_is_open_gets_491(method: str) -> None:
    stage = Stage()
    far = stage.up(headers=[("Session-Expires", "180;refresher=uac")])
    [(_, invite)] = stage.advance(90.0)
    assert isinstance(invite, Request)
    assert invite.method == "INVITE"
    assert far.say(method, headers=OFFERING, body=sdp_body(32_000)).status == 491
    ack = only(stage.hear(far_answer(invite, 200, headers=OFFERING, body=sdp_body(34_000))), "ACK")
    assert ack.cseq == type(ack.cseq)(invite.cseq.number, "ACK")
    assert agreed(far).port == 34_000
    assert far.say(method, headers=OFFERING, body=sdp_body(32_000)).status == 200


# --- credentials within the dialog -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "asks", "answers"),
    [(401, "WWW-Authenticate", "Authorization"), (407, "Proxy-Authenticate", "Proxy-Authorization")],
)
def test_a_bye_that_is_challenged_is_sent_again(status: int, asks: str, answers: str) -> None:
    stage = Stage()
    far = stage.up()
    far.leg.hang_up(stage.now)
    bye = only(stage.messages(), "BYE")
    again = only(stage.hear(far_answer(bye, status, headers=[(asks, SHA_256)])), "BYE")
    assert again.cseq.number == bye.cseq.number + 1
    given = parse_parameters((again.headers.get(answers) or "").removeprefix("Digest "))
    assert given is not None
    assert (given["uri"], given["nc"], given["algorithm"]) == (again.uri, "00000001", "SHA-256")
    assert stage.hear(far_answer(again, status, headers=[(asks, SHA_256)])) == []  # a wrong password is not tried again


def test_a_refresh_that_is_challenged_is_sent_again_and_counts() -> None:
    stage = Stage()
    stage.up(headers=[("Session-Expires", "180;refresher=uac"), ("Allow", "UPDATE")])
    [(_, update)] = stage.advance(90.0)
    assert isinstance(update, Request)
    again = only(stage.hear(far_answer(update, 407, headers=[("Proxy-Authenticate", SHA_256)])), "UPDATE")
    assert again.headers.get("Session-Expires") == "180;refresher=uac"
    stage.hear(far_answer(again, 200, headers=[CONTACT, ("Session-Expires", "180;refresher=uac")]))
    assert stage.told(Ended) == []
    sent = stage.advance(90.0)
    assert [one.method for _, one in sent if isinstance(one, Request)] == ["UPDATE"]


def test_a_provisional_answer_to_a_bye_says_nothing() -> None:
    stage = Stage()
    far = stage.up()
    far.leg.hang_up(stage.now)
    bye = only(stage.messages(), "BYE")
    assert stage.hear(far_answer(bye, 100)) == []
    assert requests([one for _, one in stage.advance(8.0)]) == ["BYE", "BYE"]  # repeated until a final one comes
    stage.hear(far_answer(bye, 200))
    assert stage.advance(64.0) == []
    assert stage.agent.calls == 0
