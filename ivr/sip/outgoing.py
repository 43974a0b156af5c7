"""One call that we make, from its first INVITE to its answer or its end (RFC 3261, 13.2). Up, it is a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from ivr.sip.abilities import ALLOW, SUPPORTED
from ivr.sip.dialog import Dialog, answered, contact_uri, in_dialog, next_request, tagged
from ivr.sip.digest import AUTHENTICATE, Authenticator, parse_challenges
from ivr.sip.events import Alarm, Answered, Lost, Refusal, Refused, Ringing, reasons_of, retry_after
from ivr.sip.headers import Headers, NameAddr
from ivr.sip.hop import Hop
from ivr.sip.message import Request, Response, response_to
from ivr.sip.negotiation import Negotiation
from ivr.sip.session import Session
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
"""So long a network may take to find the phone, before its ringing counts."""
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


@dataclass(slots=True)
class _Early:
    """One early dialog (RFC 3261, 12.1): forks have one each."""

    dialog: Dialog
    rseq: int = 0
    answer: bytes = b""


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
        self._invite: Request | None = None
        self._hop = invitation.hops[0]
        self._key = ""
        self._abandoned: dict[str, tuple[Request, Hop]] = {}
        self._cancelled: set[str] = set()
        self._cancel_reason = ""
        self._early: dict[str, _Early] = {}
        self._extra: dict[str, tuple[Request, Hop]] = {}  # ACKs of forked answers
        self._credentials: dict[str, str] = {}
        self._sent = 0
        self._redirects = 0
        self._ring: Alarm | None = None
        self._rings = False
        self._first: Alarm | None = None

    # --- verbs -------------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Sends the first INVITE."""
        self.agent.add(self)
        self._ring = self.agent.at(now + self.invitation.ring_s + SETUP_S, self._ring_time_over)
        self._send_invite(now)

    def hang_up(self, now: float, *, reason: str = "") -> None:
        """Ends the call: BYE when it is up, CANCEL when it is not, with `reason` as its Reason header. Harmless when it is over."""
        if self.session is not None:
            self.session.hang_up(now, reason=reason)
        elif self.state is not State.OVER:
            self._stop(now, Refusal(lost=Lost.STOPPED), reason)

    # --- the first INVITE and the ones after -------------------------------------------------------------------------

    def _send_invite(self, now: float) -> None:
        agent, invitation = self.agent, self.invitation
        self._hop = self._hops[0]
        self._cseq += 1
        self._sent += 1
        self._early.clear()
        headers = [
            ("Allow", ALLOW),
            ("Supported", SUPPORTED),
            *self.session_timer.request_headers(),
            *self._credentials.items(),
            *invitation.headers,
            ("Content-Type", "application/sdp"),
        ]
        self._invite = agent.request(
            "INVITE", self._target, hop=self._hop, from_=str(self._from), to=str(invitation.to), call_id=self.call_id,
            cseq=self._cseq, headers=headers, routes=self._routes, body=self.negotiation.offer(),
        )  # fmt: skip
        self._key = agent.transact(self._invite, self._hop, self, now)
        self.state = State.CALLING
        self._first = agent.at(now + invitation.first_response_s, self._no_first_response)

    def _again(self, now: float) -> bool:
        """One more INVITE, where the bound allows it."""
        if self._sent >= INVITES_MAX:
            return False
        self._send_invite(now)
        return True

    def _heard(self) -> None:
        if self._first is not None:
            self._first.cancel()
            self._first = None

    # --- answers -----------------------------------------------------------------------------------------------------

    def on_response(self, key: str, response: Response, source: Hop, now: float) -> None:
        """An answer to one of our INVITEs."""
        if key != self._key or self.state is State.OVER:
            self._late(key, response, source, now)
            return
        self._heard()
        if response.status < 200:
            self._provisional(response, source, now)
        elif response.status < 300:
            self._answered(response, source, now)
        else:
            self._refused(response, now)

    def on_lost(self, key: str, lost: Lost, now: float) -> None:
        """Nobody answered, or it could not be sent."""
        self._abandoned.pop(key, None)
        if key != self._key:
            return
        if self.state is State.CALLING:
            self._next_hop(now, Refusal(lost=lost))
        elif self.state is State.PROCEEDING:
            self._end(now, Refusal(lost=lost))

    def _provisional(self, response: Response, source: Hop, now: float) -> None:
        self.state = State.PROCEEDING
        self._acknowledge_reliably(response, source, now)
        if response.status > 100:
            if not self._rings and self._ring is not None:
                self._ring.cancel()
                self._ring = self.agent.at(now + self.invitation.ring_s, self._ring_time_over)
            self._rings = True
            self.agent.emit(Ringing(self, response.status))

    def _answered(self, response: Response, source: Hop, now: float) -> None:
        assert self._invite is not None
        if self.session is not None:
            self._late(self._key, response, source, now)
            return
        dialog = answered(self._invite, response)
        hop = self.agent.hop_of(dialog.next_hop(), source)
        ack = self._ack(self._invite, dialog, hop)
        self.agent.send(ack, hop)
        self._clear_alarms()
        session = Session(
            self.agent, self, dialog, hop, self.negotiation,
            timer=self.session_timer, credentials=dict(self._credentials), authenticator=self.invitation.authenticator,
        )  # fmt: skip
        session.remember_ack(self._cseq, ack)
        early = self._early.get(response.to.tag or "")
        if not self.negotiation.accept(response.body or (early.answer if early is not None else b"")):
            session.hang_up(now, reason='Q.850;cause=88;text="Incompatible destination"', quiet=True)
            self._end(now, Refusal(lost=Lost.MEDIA_REFUSED, phrase="the answer agreed to no audio"))
            return
        self.state = State.UP
        self.session = session
        session.start(response, now)
        self.agent.emit(Answered(self))

    def _ack(self, invite: Request, dialog: Dialog, hop: Hop) -> Request:
        """The ACK of a 2xx: of the dialog, with the INVITE's number and credentials (RFC 3261, 13.2.2.4)."""
        return in_dialog(
            dialog, "ACK", invite.cseq.number, via=self.agent.via(hop), contact=self.agent.local.contact(hop.transport),
            headers=self._credentials.items(),
        )  # fmt: skip

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
        challenge_header, answer_header = AUTHENTICATE[response.status]
        authenticator = self.invitation.authenticator
        if authenticator is None:
            return False
        challenges = parse_challenges(response.headers.all(challenge_header), proxy=response.status == 407)
        tried = answer_header in self._credentials
        value = authenticator.answer(
            challenges, method="INVITE", uri=self._target, body=self.negotiation.offer(), tried=tried
        )
        if value is None:
            return False
        self._credentials[answer_header] = value
        return True

    def _redirect(self, response: Response) -> bool:
        """The first target of a 3xx answer that may be followed becomes ours (RFC 3261, 8.1.3.4)."""
        if self._redirects >= REDIRECTS_MAX:
            return False
        for value in response.headers.elements("Contact"):
            target = contact_uri(replace(response, headers=Headers([("Contact", value)])))
            hops = () if target is None else self.invitation.redirect(target)
            if target is not None and hops:
                self._redirects += 1
                self._credentials.clear()
                self._target, self._routes, self._hops = target, (), list(hops)
                return True
        return False

    # --- other proxies -----------------------------------------------------------------------------------------------

    def _no_first_response(self, now: float) -> None:
        self._first = None
        if self.state is State.CALLING:
            assert self._invite is not None
            self._abandoned[self._key] = (self._invite, self._hop)
            self._next_hop(now, Refusal(lost=Lost.NO_RESPONSE))

    def _next_hop(self, now: float, refusal: Refusal) -> None:
        self._heard()
        self._hops = self._hops[1:]
        self._credentials.clear()  # they were for that proxy
        if not self._hops or not self._again(now):
            self._end(now, refusal)

    # --- reliable provisional answers (RFC 3262) ---------------------------------------------------------------------

    def _acknowledge_reliably(self, response: Response, source: Hop, now: float) -> None:
        assert self._invite is not None
        tag = response.to.tag
        if response.status == 100 or tag is None:
            return
        early = self._early.get(tag)
        if early is None:
            if len(self._early) >= EARLY_MAX:
                return
            early = self._early[tag] = _Early(answered(self._invite, response))
        early.answer = response.body or early.answer
        rseq = response.headers.get("RSeq") or ""
        required = {value.lower() for value in response.headers.elements("Require")}
        if "100rel" not in required or not (rseq.isascii() and rseq.isdigit()) or len(rseq) > 10:
            return
        n = int(rseq)
        if early.rseq and n != early.rseq + 1:
            return  # repeated, or one before it is missing: the other side sends it again (RFC 3262, 4)
        early.rseq = n
        hop = self.agent.hop_of(early.dialog.next_hop(), source)
        rack = f"{n} {self._cseq} INVITE"
        early.dialog, prack = next_request(
            early.dialog, "PRACK", via=self.agent.via(hop), contact=self.agent.local.contact(hop.transport),
            headers=[("RAck", rack), *self._credentials.items()],
        )  # fmt: skip
        self.agent.transact(prack, hop, _NOBODY, now)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _ring_time_over(self, now: float) -> None:
        if self.state in (State.CALLING, State.PROCEEDING):
            lost = Lost.RING_TIME_OVER if self.state is State.PROCEEDING else Lost.NO_RESPONSE
            self._stop(now, Refusal(lost=lost), "")

    def _stop(self, now: float, refusal: Refusal, reason: str) -> None:
        """Takes the call back: at once where a provisional answer came, else as soon as one comes (RFC 3261, 9.1)."""
        assert self._invite is not None
        self._cancel_reason = reason
        self._abandoned[self._key] = (self._invite, self._hop)
        if self.state is State.PROCEEDING:
            self._cancel(self._key, now)
        self._end(now, refusal)

    def _cancel(self, key: str, now: float) -> None:
        if key in self._cancelled:
            return
        self._cancelled.add(key)
        invite, hop = self._abandoned[key]
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
        self.agent.transact(Request(method="CANCEL", uri=invite.uri, headers=Headers(pairs)), hop, _NOBODY, now)

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
        for key in (self._key, *self._abandoned):
            self.agent.forget(key)
        self.agent.remove(self)

    def _clear_alarms(self) -> None:
        self._heard()
        if self._ring is not None:
            self._ring.cancel()
            self._ring = None

    # --- what comes too late, or from another fork -------------------------------------------------------------------

    def _late(self, key: str, response: Response, source: Hop, now: float) -> None:
        """Answers to a call that is taken back, and further answers of a fork: ACK, then BYE (RFC 3261, 13.2.2.4 and 15)."""
        if response.status < 200:
            if key in self._abandoned:
                self._cancel(key, now)
            return
        invite = self._abandoned[key][0] if key in self._abandoned else self._invite
        if response.status >= 300 or invite is None:
            self._abandoned.pop(key, None)
            return
        if self.session is not None and self.session.repeat_ack(response):
            return
        tag = response.to.tag or ""
        known = self._extra.get(tag)
        if known is not None:
            self.agent.send(*known)
            return
        if len(self._extra) >= EARLY_MAX:
            return
        dialog = answered(invite, response)
        hop = self.agent.hop_of(dialog.next_hop(), source)
        ack = self._ack(invite, dialog, hop)
        self._extra[tag] = (ack, hop)
        self.agent.send(ack, hop)
        headers = [("Reason", self._cancel_reason)] if self._cancel_reason else []
        _, bye = next_request(
            dialog, "BYE", via=self.agent.via(hop), contact=self.agent.local.contact(hop.transport),
            headers=[*headers, *self._credentials.items()],
        )  # fmt: skip
        self.agent.transact(bye, hop, _NOBODY, now)

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
            self._on_early_request(key, request, now)

    def on_ack(self, request: Request, now: float) -> None:
        """The ACK of a re-INVITE that we answered."""
        if self.session is not None:
            self.session.on_ack(request, now)

    def _on_early_request(self, key: str, request: Request, now: float) -> None:
        if request.method == "BYE":  # the far end gives its early dialog up; the INVITE gets its own answer
            self.agent.reply(key, response_to(request, 200), now)
            self._early.pop(request.from_.tag or "", None)
        elif request.method == "INVITE":
            self.agent.reply(key, response_to(request, 491), now)
        elif request.method == "UPDATE":
            self._early_update(key, request, now)
        else:
            self.agent.reply(key, response_to(request, 200), now)

    def _early_update(self, key: str, request: Request, now: float) -> None:
        if not request.body:
            self.agent.reply(key, response_to(request, 200), now)
        elif self.negotiation.offering:  # RFC 3311, 5.2: our own offer is not answered yet
            self.agent.reply(key, response_to(request, 491), now)
        else:
            answer = self.negotiation.answer(request.body)
            status, body = (488, b"") if answer is None else (200, answer)
            headers = [("Content-Type", "application/sdp")] if body else []
            self.agent.reply(key, response_to(request, status, headers=headers, body=body), now)


class _Nobody:
    """Hears answers that change nothing: of CANCEL, PRACK and the BYE of a fork."""

    def on_response(self, _key: str, _response: Response, _source: Hop, _now: float) -> None:
        """Nothing follows."""

    def on_lost(self, _key: str, _lost: Lost, _now: float) -> None:
        """Nothing follows."""


_NOBODY = _Nobody()
