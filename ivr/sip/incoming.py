"""One call to us, from its INVITE to our answer or its end (RFC 3261, 13.3). Up, it is a session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ivr.sip.abilities import ALLOW, SUPPORTED
from ivr.sip.bodies import sdp_of
from ivr.sip.dialog import early_status, requested
from ivr.sip.events import Answered, Ended, reasons_of
from ivr.sip.hop import Hop
from ivr.sip.message import Request, Response, response_to
from ivr.sip.negotiation import Negotiation
from ivr.sip.requester import Requester
from ivr.sip.session import RETRY_MAX_S, SDP, Session
from ivr.sip.session_timer import SessionTimer
from ivr.sip.uri import SipUri, parse_uri

if TYPE_CHECKING:
    from ivr.sip.agent import UserAgent


class IncomingCall:
    """One call to us. It is offered; whoever has the agent rings, answers or refuses."""

    def __init__(self, agent: UserAgent, key: str, request: Request, source: Hop) -> None:
        self.agent = agent
        self.request = request
        self.source = source
        self.call_id = request.call_id
        self.session: Session | None = None
        self._key = key
        self._tag = agent.tags.of(request)
        self._decided = False

    # --- verbs -------------------------------------------------------------------------------------------------------

    def ring(self, now: float) -> None:
        """180, where the caller does not insist on reliable provisional answers, which we do not send (RFC 3262, 3)."""
        required = {tag.lower() for tag in self.request.headers.elements("Require")}
        if not self._decided and "100rel" not in required:
            self._reply(180, now)

    def answer(self, negotiation: Negotiation, now: float) -> bool:
        """200 with our answer to their offer, or with our offer. False where nothing could be agreed (488 was sent)."""
        if self._decided:
            return False
        offer = sdp_of(self.request)
        body = negotiation.answer(offer) if offer else negotiation.offer()
        if body is None:
            self.refuse(488, now)
            return False
        self._decided = True
        self.agent.offered(self._key)
        dialog = requested(self.request, self._tag)
        hop = self.agent.hop_of(dialog.next_hop(), self.source)
        timer = SessionTimer(expires_s=0)
        side = Requester(self.agent, dialog, hop, self.agent.prover(), home=self._home(dialog.next_hop()))
        self.session = Session(self, side, negotiation, timer=timer, caller=False)
        headers = [*timer.requested(self.request.headers), ("Supported", SUPPORTED), SDP]
        response = self._reply(200, now, headers, body)
        self.session.await_ack(self.request, response, self.source, now, offered=not offer)
        self.session.start(self.request, now)
        self.agent.emit(Answered(self))
        return True

    def _home(self, uri: str) -> Hop:
        """Where the caller is to be reached once its connection is closed, if its URI names no address: the host that it came
        from, at the port that the URI names, or that of its transport (RFC 3261, 19.1.2)."""
        named = parse_uri(uri)
        port = named.port if isinstance(named, SipUri) else None
        source = self.source
        return Hop(source.transport, source.host, port or (5061 if source.transport == "tls" else 5060))

    def refuse(self, status: int, now: float, *, headers: Iterable[tuple[str, str]] = ()) -> None:
        """A final answer other than 200. Harmless once the call is decided."""
        if self._decided:
            return
        self._decided = True
        self.agent.offered(self._key)
        self._reply(status, now, headers)
        self.agent.remove(self)

    def hang_up(self, now: float, *, reason: str = "") -> None:
        """Ends the call, whatever its state."""
        if self.session is not None:
            self.session.hang_up(now, reason=reason)
        else:
            self.refuse(480, now)

    def _reply(self, status: int, now: float, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Response:
        contact = self.agent.local.contact(self.source.transport)
        response = response_to(
            self.request,
            status,
            to_tag=self._tag,
            headers=[("Contact", contact), ("Allow", ALLOW), *headers],
            body=body,
        )
        self.agent.reply(self._key, response, now)
        return response

    # --- what arrives ------------------------------------------------------------------------------------------------

    def on_cancel(self, request: Request, now: float) -> None:
        """The caller gave up before our answer: 487 (RFC 3261, 9.2)."""
        if not self._decided:
            self.refuse(487, now)
            self.agent.emit(Ended(self, by_remote=True, reasons=reasons_of(request.headers)))

    def owns(self, request: Request) -> bool:
        """Whether the request belongs to this call."""
        if self.session is not None:
            return self.session.owns(request)
        return request.to.tag == self._tag and request.from_.tag == self.request.from_.tag

    def on_request(self, key: str, request: Request, source: Hop, now: float) -> None:
        """A request of the caller's."""
        if self.session is not None:
            self.session.on_request(key, request, source, now)
        elif request.method == "BYE":
            self.agent.reply(key, response_to(request, 200), now)
            self.on_cancel(request, now)
        else:
            status, headers = self._early_answer(request)
            self.agent.answer(key, request, status, source.transport, now, headers)

    def _early_answer(self, request: Request) -> tuple[int, list[tuple[str, str]]]:
        """Before our answer, another offer has to wait for it (RFC 3261, 14.2; RFC 3311, 5.2)."""
        if request.method == "INVITE" or (request.method == "UPDATE" and sdp_of(request)):
            return 500, [("Retry-After", str(round(RETRY_MAX_S * self.agent.chance())))]
        return early_status(request.method), []

    def on_ack(self, request: Request, now: float) -> None:
        """The ACK of our 200, or of an answered re-INVITE."""
        if self.session is not None:
            self.session.on_ack(request, now)

    def connection_lost(self, hop: Hop, _now: float) -> None:
        """A connection is closed: the caller's, perhaps."""
        if self.session is not None:
            self.session.connection_lost(hop)

    def over(self, _now: float) -> None:
        """The session has ended."""
        self.agent.remove(self)
