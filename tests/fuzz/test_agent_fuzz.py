"""Nothing that peers send, in whatever order, at whatever time, makes the user agent raise, grow or keep anything."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivr.sip.agent import Admission, Admitted, Challenged, Dropped, LocalSide, UserAgent
from ivr.sip.digest import Authenticator
from ivr.sip.events import Answered, Offered
from ivr.sip.headers import NameAddr
from ivr.sip.hop import Hop
from ivr.sip.incoming import IncomingCall
from ivr.sip.layer import TransactionLayer
from ivr.sip.message import Malformed, Request, Response, parse, response_to
from ivr.sip.negotiation import Negotiation
from ivr.sip.outgoing import Invitation, OutgoingCall
from tests.fuzz.sip_wire import (
    ASSEMBLED,
    BODIES,
    BODY,
    CREDENTIALS,
    EDITS,
    MULTIPARTS,
    SDP_BODIES,
    TELLING,
    TORTURE,
    WIRE,
    Edit,
    edited,
)

PROXY = Hop("udp", "203.0.113.1", 5060)
SOURCES = st.sampled_from(
    [PROXY, Hop("udp", "203.0.113.9", 5060), Hop("tcp", "2001:db8::1", 40_000), Hop("tls", "203.0.113.1", 5061)]
)
ADMISSIONS: st.SearchStrategy[Admission] = st.sampled_from(
    [Admitted(), Admitted(), Challenged(('Digest realm="r", nonce="n"',)), Dropped()]
)
STATUSES = st.sampled_from([100, 180, 183, 199, 200, 200, 202, 302, 401, 407, 422, 481, 486, 491, 500, 503, 603, 699])
EXTRA = st.lists(TELLING, max_size=4)
RARELY = st.sampled_from(range(8)).flatmap(lambda n: st.just(list[Edit]()) if n else EDITS)
MEDIA = (
    st.sampled_from([BODY, BODY, BODY, b"", BODY.replace(b"c=", b"a=sendonly\r\nc=")])
    | BODIES
    | SDP_BODIES
    | MULTIPARTS
)
METHODS = st.sampled_from(
    ["BYE", "INVITE", "INVITE", "UPDATE", "UPDATE", "INFO", "ACK", "ACK", "PRACK", "OPTIONS", "CANCEL"]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hear"), WIRE, SOURCES),
        st.tuples(st.just("call"), EXTRA, MEDIA, RARELY, SOURCES),
        st.tuples(st.just("call"), EXTRA, MEDIA, RARELY, SOURCES),
        st.tuples(st.just("answer theirs"), STATUSES, EXTRA, MEDIA, RARELY, st.integers(0, 3)),
        st.tuples(st.just("answer theirs"), STATUSES, EXTRA, MEDIA, RARELY, st.integers(0, 3)),
        st.tuples(st.just("in dialog"), METHODS, EXTRA, MEDIA, RARELY),
        st.tuples(st.just("in dialog"), METHODS, EXTRA, MEDIA, RARELY),
        st.tuples(st.just("cancel"), RARELY),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.1, 0.5, 5.0, 40.0, 200.0, 2_000.0])),
        st.tuples(st.just("fail"), SOURCES),
        st.tuples(st.sampled_from(["invite", "again", "refuse", "ring", "hang up"])),
        st.tuples(st.just("invite")),
        st.tuples(st.just("answer")),
        st.tuples(st.just("answer")),
    ),
    min_size=5,
    max_size=30,
)


class Gateway:
    """A user agent with its calls, and the peers around it."""

    def __init__(self, admission: Admission) -> None:
        self.numbers = itertools.count(1)
        self.now = 0.0
        self.heard = self.sent = 0
        self.last = b""
        self.requests: list[Request] = []
        self.calls: list[OutgoingCall | IncomingCall] = []
        self.layer = TransactionLayer()
        local = LocalSide(host="192.0.2.200", ports={"udp": 5060, "tcp": 5060, "tls": 5061})
        self.agent = UserAgent(
            local=local,
            tokens=lambda: f"t{next(self.numbers)}",
            admit=lambda *_: admission,
            layer=self.layer,
            incoming_max=5,
        )

    def hear(self, data: bytes, source: Hop = PROXY) -> None:
        self.heard += 1
        self.last = data
        self.agent.receive(data, source, self.now)
        self.look()

    def look(self) -> None:
        """Takes what is to be sent and what has happened; checks both."""
        for hop, data in self.agent.messages_to_send():
            assert hop.transport in ("udp", "tcp", "tls")
            assert hop.host
            assert 0 < hop.port < 65_536
            message = parse(data)
            self.sent += 1
            if isinstance(message, Request):
                self.requests.append(message)
            else:  # what they said of themselves cannot always be repeated: brackets within an address
                assert isinstance(message, Response) or (isinstance(message, Malformed) and message.status == 400)
        while (event := self.agent.next_event()) is not None:
            if isinstance(event, Offered):
                self.calls.append(event.call)
            elif isinstance(event, Answered):
                assert event.call.session is not None
        assert len(self.layer) <= self.heard + self.sent
        assert self.agent.calls <= len(self.calls)

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(300):
            deadline = self.agent.next_deadline()
            if deadline is None or deadline > until:
                break
            self.now = max(self.now, deadline)
            self.agent.handle_deadline(self.now)
            self.look()
        self.now = max(self.now, until)
        self.agent.handle_deadline(self.now)
        self.look()

    def invite(self) -> None:
        invitation = Invitation(
            target="sip:a@203.0.113.9",
            to=NameAddr("", "sip:a@203.0.113.9"),
            from_=NameAddr("", "sip:tocsin@192.0.2.200"),
            hops=(PROXY, Hop("tcp", "203.0.113.2", 5060)),
            authenticator=Authenticator(CREDENTIALS, lambda: "c"),
            redirect=lambda _: (PROXY,),
        )
        self.calls.append(self.agent.invite(invitation, self.media(), self.now))
        self.look()

    def media(self) -> Negotiation:
        return Negotiation(address="192.0.2.200", port=40_000, session_id=1)

    def call(self, lines: list[bytes], body: bytes, edits: list[Edit], source: Hop) -> None:
        """Somebody calls us."""
        number = next(self.numbers)
        head = [
            "INVITE sip:tocsin@192.0.2.200 SIP/2.0",
            f"Via: SIP/2.0/UDP 203.0.113.9:5070;branch=z9hG4bKc{number};rport",
            f"From: <sip:a@203.0.113.9>;tag=c{number}",
            "To: <sip:tocsin@192.0.2.200>",
            f"Call-ID: call{number}",
            "CSeq: 1 INVITE",
        ]
        self.say(head, lines, body, edits, source)

    def say(self, head: list[str], lines: list[bytes], body: bytes, edits: list[Edit], source: Hop = PROXY) -> None:
        """A message, perhaps damaged on its way."""
        start = b"".join(line.encode("utf-8", "surrogateescape") + b"\r\n" for line in head)
        self.hear(edited(b"".join([start, *(line + b"\r\n" for line in lines), b"\r\n", body]), edits), source)

    def answer_theirs(self, status: int, lines: list[bytes], body: bytes, edits: list[Edit], nth: int) -> None:
        """An answer to one of our last requests, in the words of a careless peer."""
        if not self.requests:
            return
        request = self.requests[-1 - nth % len(self.requests)]
        answer = response_to(request, status, to_tag=f"p{nth % 2}")
        self.say([f"SIP/2.0 {status} x", *(f"{name}: {value}" for name, value in answer.headers)], lines, body, edits)

    def in_dialog(self, method: str, lines: list[bytes], body: bytes, edits: list[Edit]) -> None:
        """A request of a dialog: of the last call that somebody answered, ours or theirs."""
        number = next(self.numbers)
        dialogs = [call.session.dialog for call in self.calls if call.session is not None]
        if dialogs:
            ours, theirs, call_id = str(dialogs[-1].local), str(dialogs[-1].remote), dialogs[-1].call_id
            number = (dialogs[-1].remote_cseq or 0) + (method != "ACK")
        elif self.requests:
            request = self.requests[-1]
            ours, theirs, call_id = str(request.from_), f"{request.to};tag=p0", request.call_id
        else:
            return
        head = [
            f"{method} sip:tocsin@192.0.2.200 SIP/2.0",
            f"Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKx{next(self.numbers)}",
            f"From: {theirs}",
            f"To: {ours}",
            f"Call-ID: {call_id}",
            f"CSeq: {min(number, 2**31 - 1)} {method}",
        ]
        self.say(head, lines, body, edits)

    def cancel(self, edits: list[Edit]) -> None:
        """A CANCEL of whatever came last."""
        self.hear(edited(re.sub(rb"INVITE|OPTIONS", b"CANCEL", self.last), edits))

    def do(self, verb: str) -> None:
        """One of our own side's verbs, upon the last call."""
        call = self.calls[-1] if self.calls else None
        match verb:
            case "invite":
                self.invite()
            case "again" if self.last:
                self.hear(self.last)
            case "answer" if isinstance(call, IncomingCall):
                call.answer(self.media(), self.now)
            case "refuse" if isinstance(call, IncomingCall):
                call.refuse(486, self.now)
            case "ring" if isinstance(call, IncomingCall):
                call.ring(self.now)
            case "hang up" if call is not None:
                call.hang_up(self.now)
        self.look()

    def end(self) -> None:
        """All hang up, all time passes: nothing is left."""
        for call in self.calls:
            call.hang_up(self.now)
        self.look()
        self.wait(200.0)
        assert self.agent.next_deadline() is None
        assert len(self.layer) == 0
        assert (self.layer._merged, self.layer._trying, self.layer._due) == ({}, {}, [])
        assert (self.agent.calls, self.agent._offers, self.agent._incoming) == (0, {}, 0)
        assert not self.agent._alarms
        assert self.agent._clients == {}
        assert self.agent.messages_to_send() == []


@settings(deadline=None, max_examples=300)
@given(admission=ADMISSIONS, steps=STEPS)
def test_no_peer_upsets_the_user_agent(admission: Admission, steps: list[tuple[object, ...]]) -> None:
    gateway = Gateway(admission)
    verbs: dict[object, Callable[..., None]] = {
        "hear": gateway.hear,
        "answer theirs": gateway.answer_theirs,
        "call": gateway.call,
        "in dialog": gateway.in_dialog,
        "cancel": gateway.cancel,
        "wait": gateway.wait,
        "fail": lambda hop: gateway.agent.transport_failed(hop, gateway.now),
    }
    for step in steps:
        if step[0] in verbs:
            verbs[step[0]](*step[1:])
            gateway.look()
        else:
            gateway.do(str(step[0]))
    gateway.end()


ANSWERS = st.lists(st.tuples(STATUSES, EXTRA, MEDIA, RARELY, st.integers(0, 3)), max_size=4)


@settings(deadline=None, max_examples=300)
@given(
    before=ANSWERS,
    extra=EXTRA,
    timer=st.sampled_from(
        [b"X-Nothing: x", b"Session-Expires: 90;refresher=uac", b"Session-Expires: 90;refresher=uas"]
    ),
    updates=st.booleans(),
    requests=st.lists(st.tuples(METHODS, EXTRA, MEDIA, RARELY, ANSWERS, st.sampled_from([0.0, 1.0, 50.0])), max_size=6),
)
def test_nothing_upsets_a_call_of_ours(
    before: list[tuple[int, list[bytes], bytes, list[Edit], int]],
    extra: list[bytes],
    timer: bytes,
    updates: bool,
    requests: list[
        tuple[str, list[bytes], bytes, list[Edit], list[tuple[int, list[bytes], bytes, list[Edit], int]], float]
    ],
) -> None:
    gateway = Gateway(Admitted())
    gateway.invite()
    for answer in before:
        gateway.answer_theirs(*answer)
        gateway.wait(0.3)
    gateway.answer_theirs(200, [timer, *extra, *([b"Allow: UPDATE"] if updates else [])], BODY, [], 0)
    for method, lines, body, edits, answers, wait_s in requests:
        gateway.in_dialog(method, lines, body, edits)
        for answer in answers:
            gateway.answer_theirs(*answer)
        gateway.wait(wait_s)
    gateway.end()


@settings(deadline=None, max_examples=30)
@given(
    messages=st.lists(st.tuples(TORTURE | ASSEMBLED, SOURCES, st.booleans()), min_size=20, max_size=60),
    admission=ADMISSIONS,
)
def test_a_flood_fills_no_table(messages: list[tuple[bytes, Hop, bool]], admission: Admission) -> None:
    layer = TransactionLayer(transactions_max=10)
    agent = UserAgent(
        local=LocalSide(host="192.0.2.200", ports={"udp": 5060, "tcp": 5060, "tls": 5061}),
        tokens=lambda: "t",
        admit=lambda *_: admission,
        layer=layer,
        incoming_max=3,
    )
    for n, (data, source, fresh) in enumerate(messages):
        own = data.replace(b"branch=z9hG4bK", b"branch=z9hG4bK%d" % n).replace(b"Call-ID: ", b"Call-ID: %d" % n)
        if b"CANCEL" not in own:
            agent.receive(own if fresh else data, source, n / 100)
        assert len(agent.messages_to_send()) <= 1
        assert len(layer) <= 10
        assert len(layer._merged) <= 10
        assert len(layer._due) <= 2 * (n + 1)
        assert agent.calls <= 3


FOUND_BY_FUZZING = {
    "a Via full of parameters": "OPTIONS sip:a@h SIP/2.0|Via: SIP/2.0/UDP h;branch=z9hG4bKx;"
    + ";".join(f"p{n}" for n in range(63)),
    "a CANCEL of nothing": "CANCEL sip:a@h SIP/2.0|Via: SIP/2.0/UDP h;branch=z9hG4bKy",
}


@pytest.mark.parametrize("name", FOUND_BY_FUZZING)
def test_what_was_found_once(name: str) -> None:
    first, _, via = FOUND_BY_FUZZING[name].partition("|")
    method = first.partition(" ")[0]
    lines = [
        first,
        via,
        "From: <sip:b@h>;tag=1",
        "To: <sip:a@h>",
        "Call-ID: c",
        f"CSeq: 1 {method}",
        "Content-Length: 0",
        "",
        "",
    ]
    gateway = Gateway(Admitted())
    gateway.hear("\r\n".join(lines).encode())
    gateway.end()
