"""One call that we make, from its first INVITE to its answer or its end (RFC 3261, 13.2). Up, it is a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ivr.sip import sdp
from ivr.sip.abilities import ALLOW, SUPPORTED
from ivr.sip.bodies import sdp_of
from ivr.sip.dialog import answered, contact_uris, tagged
from ivr.sip.digest import AUTHENTICATE, Asker, Authenticator, Prover
from ivr.sip.early import EarlyDialog
from ivr.sip.events import Alarm, Answered, Lost, Refusal, Refused, Ringing, reasons_of, retry_after
from ivr.sip.headers import Headers, NameAddr
from ivr.sip.hop import Hop
from ivr.sip.message import Request, Response
from ivr.sip.negotiation import Negotiation
from ivr.sip.requester import Requester
from ivr.sip.session import SDP, Session
from ivr.sip.session_timer import SessionTimer, min_se

if TYPE_CHECKING:
    from ivr.sip.agent import UserAgent

REDIRECTS_MAX = 2
"""Targets of 3xx answers followed one after the other: more than that is a loop, or somebody's call for money."""
INVITES_MAX = 8
"""INVITEs of one call in all: with credentials, with a longer session interval, to other proxies, to new targets."""
EARLY_MAX = 16
"""Early dialogs that one INVITE can make: a proxy that forks to more phones than this is not ours to follow."""
SETUP_S = 20.0
"""So long a network may take to find the phone, before its ringing counts: mobile ones take 10 to 20 s. A proxy that has said
nothing but 100 in this time is left for the next one. The last one has `ring_s` more: there are networks that give no sign of
ringing, and that is then all the time in which somebody can answer."""
LINGER_S = 32.0
"""64*T1: so long after our CANCEL, or after the answer, another answer can still come (RFC 3261, 9.1 and 13.2.2.4)."""
ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
"""The Reason of a CANCEL when another has it (RFC 3326, 3.1): phones then show no missed call."""

_TRY_NEXT_HOP = frozenset({503})  # RFC 3263, 4.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Invitation:
    """Whom to call, as whom, over which proxies in order (at least one).

    `first_response_s`: how long a proxy may take for its first word before the next one is tried. `redirect` gives the hops for
    the target of a 3xx answer, none where its domain is not allowed. `headers` go into each INVITE (identity, say).
    """

    target: str
    to: NameAddr
    from_: NameAddr
    hops: tuple[Hop, ...]
    routes: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    ring_s: float = 30.0
    first_response_s: float = 5.0
    session_expires_s: int = 1_800
    authenticator: Authenticator | None = None
    redirect: Callable[[str], tuple[Hop, ...]] = field(default=lambda _: ())


class State(StrEnum):
    """Where an outgoing call stands."""

    CALLING = "calling"
    """No word from the other side yet."""
    PROCEEDING = "proceeding"
    """A provisional answer came: it can be cancelled."""
    UP = "up"
    """Answered."""
    OVER = "over"
    """Told as refused, stopped or ended; late answers are still tidied up for a while."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attempt:
    """One INVITE as it was sent, and what proved to those on its way who we are."""

    key: str
    invite: Request
    hop: Hop
    prover: Prover


class OutgoingCall:
    """One call of ours. The agent feeds it; what becomes of it is told by events, once each."""

    def __init__(self, agent: UserAgent, invitation: Invitation, negotiation: Negotiation) -> None:
        self.agent = agent
        self.invitation = invitation
        self.negotiation = negotiation
        self.call_id = agent.token()
        self.state = State.CALLING
        self.session: Session | None = None
        self.session_timer = SessionTimer(expires_s=invitation.session_expires_s)
        self._from = tagged(invitation.from_, agent.token())
        self._target = invitation.target
        self._routes = invitation.routes
        self._hops = list(invitation.hops)
        self._cseq = 0
        self._attempt: _Attempt | None = None
        self._abandoned: dict[str, _Attempt] = {}
        self._cancelled: set[str] = set()
        self._cancel_reason = ""
        self._early: dict[str, EarlyDialog] = {}
        self._preview = b""
        """The last description before the answer, of whichever fork: the answer of somebody who gives none otherwise, or gives it
        under another tag than the answer's, is this one rather than a hung up call."""
        self._acks: dict[str, tuple[Request, Hop]] = {}  # by the tag of who has answered
        self._prover = Prover(invitation.authenticator)
        self._proved: frozenset[Asker] = frozenset()
        self._sent = 0
        self._redirects = 0
        self._ring: Alarm | None = None
        self._rings = False
        self._first: Alarm | None = None

    # --- verbs -------------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Sends the first INVITE."""
        self.agent.add(self)
        self._await_answer(now + self.invitation.ring_s + SETUP_S)
        self._send_invite(now)

    def hang_up(self, now: float, *, reason: str = "") -> None:
        """Ends the call: BYE when it is up, CANCEL when it is not, with `reason` as its Reason header. Harmless when it is over."""
        if self.session is not None:
            self.session.hang_up(now, reason=reason)
        elif self.state is not State.OVER:
            self._stop(now, Refusal(lost=Lost.STOPPED), reason)

    # --- the first INVITE and the ones after -------------------------------------------------------------------------

    def _send_invite(self, now: float) -> None:
        agent, invitation, body, hop = self.agent, self.invitation, self.negotiation.offer(), self._hops[0]
        self._cseq += 1
        self._sent += 1
        self._rings = False
        self._early.clear()
        self._preview = b""
        headers = [
            ("Allow", ALLOW),
            ("Supported", SUPPORTED),
            *self.session_timer.request_headers(),
            *self._prover.headers("INVITE", self._target, body),
            *invitation.headers,
            SDP,
        ]
        invite = agent.request(
            "INVITE", self._target, hop=hop, from_=str(self._from), to=str(invitation.to), call_id=self.call_id,
            cseq=self._cseq, headers=headers, routes=self._routes, body=body,
        )  # fmt: skip
        key = agent.transact(invite, hop, self, now)
        self._attempt = _Attempt(key=key, invite=invite, hop=hop, prover=self._prover)
        self.state = State.CALLING
        self._first = agent.at(now + invitation.first_response_s, self._no_first_response)

    def _again(self, now: float) -> bool:
        """One more INVITE, where the bound allows it."""
        if self._sent >= INVITES_MAX:
            return False
        self._send_invite(now)
        return True

    def _await_answer(self, until: float) -> None:
        if self._ring is not None:
            self._ring.cancel()
        self._ring = self.agent.at(until, self._ring_time_over)

    def _heard(self) -> None:
        if self._first is not None:
            self._first.cancel()
            self._first = None

    # --- answers -----------------------------------------------------------------------------------------------------

    def on_response(self, key: str, response: Response, source: Hop, now: float) -> None:
        """An answer to one of our INVITEs."""
        attempt = self._attempt
        if attempt is None or key != attempt.key or self.state is State.OVER:
            self._late(key, response, source, now)
            return
        if response.status == 100:
            self._tried(now)
            return
        self._heard()
        if response.status < 200:
            self._provisional(attempt, response, source, now)
        elif response.status < 300:
            self._answered(attempt, response, source, now)
        else:
            self._refused(response, now)

    def on_lost(self, key: str, lost: Lost, now: float) -> None:
        """Nobody answered, or it could not be sent. An INVITE that has had a provisional answer outlives its connection."""
        self._abandoned.pop(key, None)
        if self._attempt is None or key != self._attempt.key:
            return
        if self.state is State.CALLING:
            self._next_hop(now, Refusal(lost=lost))

    def _tried(self, now: float) -> None:
        """100: the proxy is alive, and no more than that (RFC 3261, 8.2.6.1). More of them do not make it longer."""
        if self.state is State.CALLING:
            self._heard()
            self.state = State.PROCEEDING
            if len(self._hops) > 1:
                self._first = self.agent.at(now + SETUP_S, self._stalled)

    def _provisional(self, attempt: _Attempt, response: Response, source: Hop, now: float) -> None:
        self.state = State.PROCEEDING
        early = self._early_of(attempt, response, source)
        self._preview = sdp_of(response) or self._preview
        if early is not None:
            early.on_provisional(attempt.invite, response, now)
        if not self._rings:
            self._await_answer(now + self.invitation.ring_s)
        self._rings = True
        self.agent.emit(Ringing(self, response.status))

    def _answered(self, attempt: _Attempt, response: Response, source: Hop, now: float) -> None:
        if self.session is not None:
            self._late(attempt.key, response, source, now)
            return
        early = self._early.get(response.to.tag or "")
        negotiation = self.negotiation if early is None else early.negotiation
        body = sdp_of(response) or b""
        if sdp.parse(body) is None:
            body = (early is not None and early.preview) or self._preview
        if not negotiation.accept(body):
            self._abandoned[attempt.key] = attempt
            self._decline(attempt, response, source, now, 'Q.850;cause=88;text="Incompatible destination"')
            self._end(
                now,
                Refusal(
                    lost=Lost.MEDIA_REFUSED,
                    phrase=f"the answer agreed to no audio: {negotiation.refusal or 'it is none'}",
                ),
            )
            return
        self._clear_alarms()
        side = self._acknowledge(attempt, response, source)
        self.state = State.UP
        self.session = Session(self, side, negotiation, timer=self.session_timer, caller=True)
        self.session.start(response, now)
        self.agent.emit(Answered(self))

    def _acknowledge(self, attempt: _Attempt, response: Response, source: Hop) -> Requester:
        """Acknowledges a 2xx; gives our side of its dialog, which goes on from the early one."""
        tag = response.to.tag or ""
        dialog = answered(attempt.invite, response)
        hop = self.agent.hop_of(dialog.next_hop(), source)
        early = self._early.get(tag) if attempt is self._attempt else None
        if early is None:
            side = Requester(self.agent, dialog, hop, attempt.prover, home=attempt.hop)
        else:
            side = early.side
            side.confirm(dialog, hop)
        self._acks[tag] = (side.acknowledge(attempt.invite), hop)
        return side

    def _decline(self, attempt: _Attempt, response: Response, source: Hop, now: float, reason: str) -> None:
        """Ends the call of a 2xx that is not wanted: ACK, then BYE (RFC 3261, 13.2.2.4)."""
        side = self._acknowledge(attempt, response, source)
        side.ask("BYE", now, headers=[("Reason", reason)] if reason else [])

    def _refused(self, response: Response, now: float) -> None:
        status = response.status
        asked = (
            (status in AUTHENTICATE and self._authenticate(response))
            or (status == 422 and self.session_timer.lengthen(min_se(response.headers)))
            or (status < 400 and self._redirect(response))
        )
        if asked and self._again(now):
            return
        refusal = Refusal(
            status=status,
            phrase=response.reason,
            reasons=reasons_of(response.headers),
            retry_after_s=retry_after(response.headers),
        )
        if status in _TRY_NEXT_HOP:
            self._next_hop(now, refusal)
        else:
            self._end(now, refusal)

    def _authenticate(self, response: Response) -> bool:
        """Whether somebody asks for credentials who has not refused them."""
        askers = self._prover.take(response.status, response.headers, self._proved)
        self._proved |= askers
        return bool(askers)

    def _forget_credentials(self) -> None:
        """What one proxy was shown is not for the next."""
        self._prover, self._proved = Prover(self.invitation.authenticator), frozenset()

    def _redirect(self, response: Response) -> bool:
        """The best target of a 3xx answer that may be followed becomes ours (RFC 3261, 8.1.3.4)."""
        if self._redirects >= REDIRECTS_MAX:
            return False
        for target in contact_uris(response):
            hops = self.invitation.redirect(target)
            if hops:
                self._redirects += 1
                self._forget_credentials()
                self._target, self._routes, self._hops = target, (), list(hops)
                return True
        return False

    # --- other proxies -----------------------------------------------------------------------------------------------

    def _no_first_response(self, now: float) -> None:
        self._first = None
        if self.state is State.CALLING:
            assert self._attempt is not None
            self.agent.unanswered(self._attempt.key)
            self._abandoned[self._attempt.key] = self._attempt
            self._next_hop(now, Refusal(lost=Lost.NO_RESPONSE))

    def _stalled(self, now: float) -> None:
        """This proxy takes calls and gets nowhere with them. The next one has its own time."""
        self._first = None
        assert self._attempt is not None
        self._abandoned[self._attempt.key] = self._attempt
        self._cancel(self._attempt, now)
        self._await_answer(now + self.invitation.ring_s + SETUP_S)
        self._next_hop(now, Refusal(lost=Lost.STALLED))

    def _next_hop(self, now: float, refusal: Refusal) -> None:
        self._heard()
        self._hops = self._hops[1:]
        self._forget_credentials()
        if not self._hops or not self._again(now):
            self._end(now, refusal)

    # --- early dialogs -----------------------------------------------------------------------------------------------

    def _early_of(self, attempt: _Attempt, response: Response, source: Hop) -> EarlyDialog | None:
        """The early dialog of a provisional answer; None where it makes none, or where there are too many."""
        tag = response.to.tag
        if tag is None:
            return None
        early = self._early.get(tag)
        if early is None and len(self._early) < EARLY_MAX:
            dialog = answered(attempt.invite, response)
            hop = self.agent.hop_of(dialog.next_hop(), source)
            side = Requester(self.agent, dialog, hop, attempt.prover, home=attempt.hop)
            early = self._early[tag] = EarlyDialog(side, self.negotiation.forked())
        return early

    # --- the end -----------------------------------------------------------------------------------------------------

    def _ring_time_over(self, now: float) -> None:
        if self.state in (State.CALLING, State.PROCEEDING):
            lost = Lost.RING_TIME_OVER if self._rings else Lost.STALLED
            if self.state is State.CALLING:
                lost = Lost.NO_RESPONSE
            self._stop(now, Refusal(lost=lost), "")

    def _stop(self, now: float, refusal: Refusal, reason: str) -> None:
        """Takes the call back: at once where a provisional answer came, else as soon as one comes (RFC 3261, 9.1)."""
        assert self._attempt is not None
        self._cancel_reason = reason
        self._abandoned[self._attempt.key] = self._attempt
        if self.state is State.PROCEEDING:
            self._cancel(self._attempt, now)
        self._end(now, refusal)

    def _cancel(self, attempt: _Attempt, now: float) -> None:
        if attempt.key in self._cancelled:
            return
        self._cancelled.add(attempt.key)
        invite = attempt.invite
        pairs = [
            ("Via", str(invite.via)),
            *(("Route", route) for route in invite.headers.all("Route")),
            ("Max-Forwards", "70"),
            ("From", str(invite.from_)),
            ("To", str(invite.to)),
            ("Call-ID", self.call_id),
            ("CSeq", f"{invite.cseq.number} CANCEL"),
        ]
        if self._cancel_reason:
            pairs.append(("Reason", self._cancel_reason))
        cancel = Request(method="CANCEL", uri=invite.uri, headers=Headers(pairs))
        self.agent.transact(cancel, attempt.hop, _NOBODY, now)

    def _end(self, now: float, refusal: Refusal) -> None:
        """Tells that nothing came of it, and stays for what may still arrive."""
        self._clear_alarms()
        if self.state is State.OVER:
            return
        self.state = State.OVER
        self.agent.emit(Refused(self, refusal))
        if self._abandoned:
            self.agent.at(now + LINGER_S, self._gone)
        else:
            self._gone(now)

    def over(self, now: float) -> None:
        """The session has ended; answers of other forks are tidied up for a while."""
        self.state = State.OVER
        self.agent.at(now + LINGER_S, self._gone)

    def _gone(self, _now: float) -> None:
        for attempt in (self._attempt, *self._abandoned.values()):
            if attempt is not None:
                self.agent.forget(attempt.key)
        self.agent.remove(self)

    def _clear_alarms(self) -> None:
        self._heard()
        if self._ring is not None:
            self._ring.cancel()
            self._ring = None

    # --- what comes too late, or from another fork -------------------------------------------------------------------

    def _late(self, key: str, response: Response, source: Hop, now: float) -> None:
        """Answers to a call that is taken back, and further answers of a fork: ACK, then BYE (RFC 3261, 13.2.2.4 and 15)."""
        attempt = self._abandoned.get(key, self._attempt)
        if response.status < 200:
            if key in self._abandoned:
                self._cancel(self._abandoned[key], now)
            return
        if response.status >= 300 or attempt is None:
            self._abandoned.pop(key, None)
            return
        known = self._acks.get(response.to.tag or "")
        if known is not None:
            self.agent.send(*known)  # a repeated 2xx gets the same ACK
        elif len(self._acks) < EARLY_MAX:
            self._decline(attempt, response, source, now, self._cancel_reason)

    # --- requests of the dialog --------------------------------------------------------------------------------------

    def owns(self, request: Request) -> bool:
        """Whether the request belongs to this call: to the session, or to an early dialog."""
        if self.session is not None:
            return self.session.owns(request)
        return request.to.tag == self._from.tag and request.from_.tag in self._early

    def on_request(self, key: str, request: Request, source: Hop, now: float) -> None:
        """A request of the other side. Before the answer only what belongs to early dialogs can come."""
        if self.session is not None:
            self.session.on_request(key, request, source, now)
        else:
            self._on_early_request(key, request, source, now)

    def connection_lost(self, hop: Hop, now: float) -> None:
        """A connection is closed: that of a dialog of this call, perhaps. A proxy that had said nothing but 100 over it may have
        forgotten the call: it is not waited for as long as for an answer, the last one neither."""
        attempt = self._attempt
        if self.state is State.PROCEEDING and not self._rings and attempt is not None and attempt.hop == hop:
            self._first = self._first or self.agent.at(now + SETUP_S, self._stalled)
        for early in self._early.values():
            early.side.connection_lost(hop)
        if self.session is not None:
            self.session.connection_lost(hop)

    def on_ack(self, request: Request, now: float) -> None:
        """The ACK of a re-INVITE that we answered."""
        if self.session is not None:
            self.session.on_ack(request, now)

    def _on_early_request(self, key: str, request: Request, source: Hop, now: float) -> None:
        tag = request.from_.tag or ""
        early = self._early[tag]
        if request.method == "BYE":  # the far end gives it up; the INVITE gets its own answer
            del self._early[tag]
        early.on_request(key, request, source, now)


class _Nobody:
    """Hears answers that change nothing: those to CANCEL."""

    def on_response(self, _key: str, _response: Response, _source: Hop, _now: float) -> None:
        """Nothing follows."""

    def on_lost(self, _key: str, _lost: Lost, _now: float) -> None:
        """Nothing follows."""


_NOBODY = _Nobody()
