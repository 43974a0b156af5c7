"""A user agent on a stage: its clock is moved by hand, the other side is a script, or a second user agent."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import pytest

from ivr.sip.agent import Admission, Admitted, Doorkeeper, LocalSide, UserAgent
from ivr.sip.digest import Authenticator, Credentials
from ivr.sip.events import Answered, CallEvent, Offered, Refusal, Refused
from ivr.sip.headers import Headers, NameAddr
from ivr.sip.hop import Hop, Transport
from ivr.sip.incoming import IncomingCall
from ivr.sip.message import Request, Response, encode, parse, response_to
from ivr.sip.negotiation import Negotiation
from ivr.sip.outgoing import Invitation, OutgoingCall
from ivr.sip.sdp import CryptoAttribute

Message = Request | Response
Sent = tuple[Hop, Message]
T = TypeVar("T")

OURS = "192.0.2.1"
PEER = Hop("udp", "203.0.113.9", 5060)
OTHER = Hop("udp", "203.0.113.10", 5060)
CONTACT = ("Contact", "<sip:nurse@203.0.113.9:5060>")
SDP = ("Content-Type", "application/sdp")
OFFERING = [SDP, CONTACT]
CHALLENGE = 'Digest realm="example.org", nonce="n1", algorithm=MD5, qop="auth"'
START = 1_000.0
DIRECTIONS = pytest.mark.parametrize("outgoing", [True, False], ids=["outgoing", "incoming"])
"""Whether the call that is up was ours or theirs."""


def sdp_body(port: int = 30_000, *lines: str, formats: str = "8 101", address: str = "203.0.113.9") -> bytes:
    """A session description of the other side; `lines` go behind its m= line."""
    head = f"v=0\r\no=- 7 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
    media = f"m=audio {port} RTP/AVP {formats}\r\na=rtpmap:101 telephone-event/8000\r\n"
    return (head + media + "".join(f"{line}\r\n" for line in lines)).encode()


def admitting(_request: Request, _source: Hop, _now: float) -> Admission:
    """A door that is open."""
    return Admitted()


def counted(prefix: str) -> Callable[[], str]:
    """Tokens that tests can tell apart."""
    numbers = itertools.count(1)
    return lambda: f"{prefix}{next(numbers)}"


def negotiation(crypto: Sequence[CryptoAttribute] = (), port: int = 40_000) -> Negotiation:
    """Our media."""
    return Negotiation(address=OURS, port=port, session_id=1, crypto=crypto)


def authenticator(password: str = "secret") -> Authenticator:
    """Our credentials."""
    return Authenticator(Credentials(username="hospital", password=password), counted("cnonce"))


def invitation(
    *,
    hops: tuple[Hop, ...] = (PEER,),
    routes: tuple[str, ...] = (),
    headers: tuple[tuple[str, str], ...] = (),
    password: str | None = "secret",
    ring_s: float = 30.0,
    session_expires_s: int = 1_800,
    redirect: Callable[[str], tuple[Hop, ...]] = lambda _: (),
) -> Invitation:
    """A call to the nurse."""
    return Invitation(
        target="sip:nurse@example.org", to=NameAddr("", "sip:nurse@example.org"), from_=NameAddr("", "sip:us@example.org"),
        hops=hops, routes=routes, headers=headers, ring_s=ring_s, session_expires_s=session_expires_s,
        authenticator=None if password is None else authenticator(password), redirect=redirect,
    )  # fmt: skip


class Stage:
    """One user agent, what it sent and told, and the time."""

    def __init__(
        self,
        *,
        transport: Transport = "udp",
        incoming_max: int = 10,
        admit: Doorkeeper = admitting,
        prefix: str = "t",
        host: str = OURS,
        authenticator: Callable[[], Authenticator] | None = None,
    ) -> None:
        self.now = START
        self.agent = UserAgent(
            local=LocalSide(host=host, ports={transport: 5060}),
            tokens=counted(prefix),
            admit=admit,
            incoming_max=incoming_max,
            authenticator=authenticator,
        )
        self.events: list[CallEvent] = []
        self.hop = Hop(transport, PEER.host, PEER.port)

    # --- time and messages -------------------------------------------------------------------------------------------

    def sent(self) -> list[Sent]:
        """What was sent since the last look, as it reads on the wire; events are gathered too."""
        out: list[Sent] = []
        for hop, data in self.agent.messages_to_send():
            message = parse(data)
            assert isinstance(message, Request | Response), data
            out.append((hop, message))
        while (event := self.agent.next_event()) is not None:
            self.events.append(event)
        return out

    def messages(self) -> list[Message]:
        """As `sent`, without where to."""
        return [message for _, message in self.sent()]

    def hear(self, message: Message, source: Hop | None = None) -> list[Message]:
        """The other side says something; what we say to it at once."""
        self.agent.receive(encode(message), self.hop if source is None else source, self.now)
        return self.messages()

    def advance(self, seconds: float) -> list[tuple[float, Message]]:
        """Time goes by, deadline by deadline; what was sent, and when (since the beginning)."""
        end, out = self.now + seconds, [(self.now - START, message) for message in self.messages()]
        while (at := self.agent.next_deadline()) is not None and at <= end:
            self.now = max(self.now, at)
            self.agent.handle_deadline(self.now)
            out += [(round(self.now - START, 6), message) for message in self.messages()]
        self.now = end
        return out

    def told(self, kind: type[T]) -> list[T]:
        """The events of this kind so far."""
        self.sent()
        return [event for event in self.events if isinstance(event, kind)]

    # --- calls -------------------------------------------------------------------------------------------------------

    def call(self, what: Invitation | None = None, media: Negotiation | None = None) -> tuple[OutgoingCall, Request]:
        """A call of ours, and its first INVITE."""
        leg = self.agent.invite(what or invitation(hops=(self.hop,)), media or negotiation(), self.now)
        return leg, only(self.messages(), "INVITE")

    def up(self, *, headers: Iterable[tuple[str, str]] = (), what: Invitation | None = None) -> Far:
        """A call of ours that the far side has answered."""
        leg, invite = self.call(what)
        answer = far_answer(invite, 200, headers=[*OFFERING, *headers], body=sdp_body())
        ack = only(self.hear(answer), "ACK")
        assert self.told(Answered)
        return Far(self, leg, invite, answer, ack)

    def offered(self, invite: Request, source: Hop | None = None) -> IncomingCall:
        """A call to us that waits for a decision."""
        assert self.hear(invite, source) == []
        return self.told(Offered)[-1].call

    def taken(
        self, *, headers: Iterable[tuple[str, str]] = (), body: bytes | None = None, acknowledged: bool = True
    ) -> Far:
        """A call to us that is answered."""
        invite = far_invite(headers=headers, body=body)
        leg = self.offered(invite)
        assert leg.answer(negotiation(), self.now)
        answer = response(self.messages(), 200)
        ack = far_request("ACK", "sip:tocsin@192.0.2.1", branch="z9hG4bKack", to=answer.headers.get("To") or "", cseq=1)
        if acknowledged:
            assert self.hear(ack) == []
        return Far(self, leg, invite, answer, ack)


class Far:
    """The far side of a call that is up: it speaks in the dialog."""

    def __init__(
        self, stage: Stage, leg: OutgoingCall | IncomingCall, invite: Request, answer: Response, ack: Request
    ) -> None:
        self.stage = stage
        self.leg = leg
        self.invite = invite
        self.answer = answer
        self.ack = ack
        self.cseq = 100
        outgoing = isinstance(leg, OutgoingCall)
        from_, to = (answer.headers.get(name) or "" for name in ("From", "To"))
        self.from_, self.to = (to, from_) if outgoing else (from_, to)

    def request(
        self,
        method: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        cseq: int | None = None,
        branch: str = "",
    ) -> Request:
        """The next request of the far side."""
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        return far_request(
            method, "sip:tocsin@192.0.2.1:5060", branch=branch or f"z9hG4bKfar{cseq}{method}", from_=self.from_,
            to=self.to, call_id=self.leg.call_id, cseq=cseq, headers=headers, body=body,
        )  # fmt: skip

    def say(
        self, method: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", cseq: int | None = None
    ) -> Response:
        """Sends it; our answer."""
        request = self.request(method, headers=headers, body=body, cseq=cseq)
        [answer] = [one for one in self.stage.hear(request) if isinstance(one, Response)]
        return answer


def far_request(
    method: str,
    uri: str,
    *,
    branch: str,
    from_: str = "<sip:nurse@example.org>;tag=far",
    to: str = "<sip:tocsin@192.0.2.1>",
    call_id: str = "far-call",
    cseq: int = 1,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    via: str = "SIP/2.0/UDP 203.0.113.9:5060",
) -> Request:
    """A request of the far side."""
    pairs = [
        ("Via", f"{via};branch={branch}"), ("Max-Forwards", "70"), ("From", from_), ("To", to), ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"), *headers,
    ]  # fmt: skip
    return Request(method=method, uri=uri, headers=Headers(pairs), body=body)


def far_invite(
    *,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    call_id: str = "far-call",
    branch: str = "z9hG4bKi",
) -> Request:
    """A call of the far side."""
    said = sdp_body() if body is None else body
    typed = [SDP] if said else []
    return far_request(
        "INVITE", "sip:tocsin@192.0.2.1", branch=branch, call_id=call_id, headers=[CONTACT, *typed, *headers], body=said
    )


def far_answer(
    request: Request,
    status: int,
    *,
    tag: str = "far",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Response:
    """What the far side answers to a request of ours."""
    return response_to(request, status, to_tag="" if status == 100 else tag, headers=headers, body=body)


def ok(invite: Request, tag: str = "far", body: bytes | None = None) -> Response:
    """200 with the far side's media."""
    return far_answer(invite, 200, tag=tag, headers=OFFERING, body=sdp_body() if body is None else body)


def up(stage: Stage, outgoing: bool) -> Far:
    """A call that is up."""
    return stage.up() if outgoing else stage.taken()


def refusal(stage: Stage) -> Refusal:
    """The one refusal that was told."""
    [refused] = stage.told(Refused)
    return refused.refusal


def only(messages: Iterable[Message], method: str) -> Request:
    """The one request of this method among them."""
    [found] = [one for one in messages if isinstance(one, Request) and one.method == method]
    return found


def response(messages: Iterable[Message], status: int) -> Response:
    """The one response of this status among them."""
    [found] = [one for one in messages if isinstance(one, Response) and one.status == status]
    return found


def requests(messages: Iterable[Message]) -> list[str]:
    """The methods of the requests, in order."""
    return [one.method for one in messages if isinstance(one, Request)]


def statuses(messages: Iterable[Message]) -> list[int]:
    """The statuses of the responses, in order."""
    return [one.status for one in messages if isinstance(one, Response)]


def times(sent: Iterable[tuple[float, Message]]) -> list[float]:
    """When each of them was sent."""
    return [round(at, 3) for at, _ in sent]
