"""A call that is up (RFC 3261, 12 to 15): BYE both ways, other media, signs of life, keys by INFO."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ivr.sip.abilities import ALLOW, SUPPORTED
from ivr.sip.dialog import Dialog, in_dialog, next_request, refreshed
from ivr.sip.digest import AUTHENTICATE, Authenticator, parse_challenges
from ivr.sip.events import Alarm, Ended, KeySignalled, Lost, MediaChanged, reasons_of
from ivr.sip.hop import Hop
from ivr.sip.info import CONTENT_TYPES, signalled_key
from ivr.sip.message import Request, Response, response_to
from ivr.sip.negotiation import Negotiation
from ivr.sip.session_timer import MIN_SE_S, SessionTimer, session_expires

if TYPE_CHECKING:
    from ivr.sip.agent import UserAgent
    from ivr.sip.incoming import IncomingCall
    from ivr.sip.outgoing import OutgoingCall

T1_S = 0.5
T2_S = 4.0
ACK_WAIT_S = 32.0
"""64*T1: a 2xx of ours is repeated for so long (RFC 3261, 13.3.1.4)."""
SDP = ("Content-Type", "application/sdp")


@dataclass(slots=True)
class _Unacknowledged:
    """A 2xx of ours to an INVITE, repeated until its ACK comes (RFC 3261, 13.3.1.4). `offered`: its body was an offer."""

    cseq: int
    response: Response
    hop: Hop
    until: float
    wait_s: float
    offered: bool
    alarm: Alarm


class Session:
    """The dialog of a call that was answered, in either direction."""

    def __init__(
        self,
        agent: UserAgent,
        call: OutgoingCall | IncomingCall,
        dialog: Dialog,
        hop: Hop,
        negotiation: Negotiation,
        *,
        timer: SessionTimer,
        credentials: dict[str, str] | None = None,
        authenticator: Authenticator | None = None,
    ) -> None:
        self.agent = agent
        self.call = call
        self.dialog = dialog
        self.negotiation = negotiation
        self.over = False
        self._hop = hop
        self._timer = timer
        self._credentials = {} if credentials is None else credentials
        self._authenticator = authenticator
        self._acks: dict[int, Request] = {}
        self._waiting: _Unacknowledged | None = None
        self._alarm: Alarm | None = None
        self._updates = False

    def start(self, message: Request | Response, now: float) -> None:
        """The call is up; `message` is the other side's part of the handshake, which tells what it can and asks for."""
        self._updates = "UPDATE" in {method.upper() for method in message.headers.elements("Allow")}
        if isinstance(message, Response):
            self._timer.answered(message.headers)
        self._wind(now)

    # --- our side ----------------------------------------------------------------------------------------------------

    def hang_up(self, now: float, *, reason: str = "", quiet: bool = False) -> None:
        """Sends BYE; told as ended at once, unless `quiet`. Harmless when it is over."""
        if self.over:
            return
        headers = [("Reason", reason)] if reason else []
        self._request("BYE", now, headers=headers)
        self._finish(now, quiet=quiet)

    def inform(self, body: bytes, content_type: str, now: float) -> None:
        """Sends INFO: a key, to those who take no other."""
        if not self.over:
            self._request("INFO", now, headers=[("Content-Type", content_type)], body=body)

    def _request(
        self,
        method: str,
        now: float,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        then: Callable[[Response | None, float], None] | None = None,
        tried: bool = False,
    ) -> None:
        self.dialog, request = next_request(
            self.dialog, method, via=self.agent.via(self._hop), contact=self._contact,
            headers=[*self._credentials.items(), *headers], body=body,
        )  # fmt: skip

        def answered(response: Response | None, now: float) -> None:
            if (
                response is not None
                and response.status in AUTHENTICATE
                and self._authenticate(request, response, tried)
            ):
                self._request(method, now, headers=headers, body=body, then=then, tried=True)
            elif then is not None:
                then(response, now)

        self.agent.transact(request, self._hop, _Answer(answered), now)

    def _authenticate(self, request: Request, response: Response, tried: bool) -> bool:
        """Whether there is an answer to the challenge; a request of a dialog is tried once more."""
        challenge_header, answer_header = AUTHENTICATE[response.status]
        if self._authenticator is None:
            return False
        challenges = parse_challenges(response.headers.all(challenge_header), proxy=response.status == 407)
        value = self._authenticator.answer(
            challenges, method=request.method, uri=request.uri, body=request.body, tried=tried
        )
        if value is not None:
            self._credentials[answer_header] = value
        return value is not None

    @property
    def _contact(self) -> str:
        return self.agent.local.contact(self._hop.transport)

    def _finish(
        self, now: float, *, by_remote: bool = False, message: Request | None = None, quiet: bool = False
    ) -> None:
        if self.over:
            return
        self.over = True
        if self._alarm is not None:
            self._alarm.cancel()
        self._acknowledged()
        if not quiet:
            reasons = () if message is None else reasons_of(message.headers)
            self.agent.emit(Ended(self.call, by_remote=by_remote, reasons=reasons))
        self.call.over(now)

    # --- signs of life (RFC 4028) ------------------------------------------------------------------------------------

    def _wind(self, now: float) -> None:
        """Starts the interval anew."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        refresh_s, lapse_s = self._timer.refresh_s(), self._timer.lapse_s()
        if refresh_s is not None:
            self._alarm = self.agent.at(now + refresh_s, self._refresh)
        elif lapse_s is not None:
            self._alarm = self.agent.at(now + lapse_s, self._lapsed)

    def _refresh(self, now: float) -> None:
        if self.over:
            return
        headers = [
            ("Session-Expires", f"{self._timer.expires_s};refresher=uac"),
            ("Min-SE", str(self._timer.min_se_s)),
            ("Supported", SUPPORTED),
        ]
        if self._updates:  # an UPDATE needs no offer (RFC 4028, 7.4)
            self._request("UPDATE", now, headers=headers, then=self._refreshed)
        else:
            offer = self.negotiation.offer()
            self._request("INVITE", now, headers=[*headers, ("Allow", ALLOW), SDP], body=offer, then=self._reinvited)

    def _refreshed(self, response: Response | None, now: float) -> None:
        if response is None or response.status in (408, 481):
            self.hang_up(now, reason='SIP;cause=408;text="Session expired"')  # RFC 4028, 10
            return
        if response.status < 300:
            self.dialog = refreshed(self.dialog, response)
            found = session_expires(response.headers)
            if found is not None:
                self._timer.expires_s, self._timer.ours = found[0], found[1] != "uas"
        self._wind(now)

    def _reinvited(self, response: Response | None, now: float) -> None:
        if response is not None and response.status < 300:
            cseq = response.cseq.number
            ack = in_dialog(
                refreshed(self.dialog, response), "ACK", cseq, via=self.agent.via(self._hop), contact=self._contact,
                headers=self._credentials.items(),
            )  # fmt: skip
            self.remember_ack(cseq, ack)
            self.agent.send(ack, self._hop)
            if self.negotiation.accept(response.body):
                self.agent.emit(MediaChanged(self.call))
        self.negotiation.withdraw()
        self._refreshed(response, now)

    def _lapsed(self, now: float) -> None:
        self.hang_up(now, reason='SIP;cause=408;text="Session expired"')

    # --- ACKs of ours ------------------------------------------------------------------------------------------------

    def remember_ack(self, cseq: int, ack: Request) -> None:
        """The ACK that answers each repetition of a 2xx to our INVITE number `cseq` (RFC 3261, 13.2.2.4)."""
        self._acks = {cseq: ack}

    def repeat_ack(self, response: Response) -> bool:
        """Sends the same ACK again where the 2xx is of this dialog; False where it is another fork's."""
        if response.to.tag != self.dialog.remote.tag:
            return False
        ack = self._acks.get(response.cseq.number)
        if ack is not None:
            self.agent.send(ack, self._hop)
        return True

    # --- their side --------------------------------------------------------------------------------------------------

    def owns(self, request: Request) -> bool:
        """Whether the request is of this dialog."""
        return (request.call_id, request.to.tag or "", request.from_.tag or "") == self.dialog.id

    def on_request(self, key: str, request: Request, source: Hop, now: float) -> None:
        """A request of the other side. Each is answered."""
        if request.cseq.number <= self.dialog.remote_cseq:  # RFC 3261, 12.2.2: retransmissions never come this far
            self._reply(key, request, 500, now, [("Retry-After", "1")])
            return
        if self.over:
            self._reply(key, request, 200 if request.method == "BYE" else 481, now)
            return
        self._take_number(request)
        match request.method:
            case "BYE":
                self._reply(key, request, 200, now)
                self._finish(now, by_remote=True, message=request)
            case "INVITE":
                self._on_reinvite(key, request, source, now)
            case "UPDATE":
                self._on_update(key, request, now)
            case "INFO":
                self._on_info(key, request, now)
            case "OPTIONS":
                self._reply(key, request, 200, now, [("Supported", SUPPORTED)])
            case "PRACK":
                self._reply(key, request, 481, now)  # we send no reliable provisional answers
            case _:
                self._reply(key, request, 405, now)

    def _take_number(self, request: Request) -> None:
        self.dialog = replace(self.dialog, remote_cseq=request.cseq.number)

    def _reply(
        self, key: str, request: Request, status: int, now: float,
        headers: Iterable[tuple[str, str]] = (), body: bytes = b"",
    ) -> Response:  # fmt: skip
        response = response_to(
            request, status, headers=[("Contact", self._contact), ("Allow", ALLOW), *headers], body=body
        )
        self.agent.reply(key, response, now)
        return response

    def _on_info(self, key: str, request: Request, now: float) -> None:
        content_type = (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        if request.body and content_type not in CONTENT_TYPES:
            self._reply(key, request, 415, now, [("Accept", ", ".join(CONTENT_TYPES))])
            return
        self._reply(key, request, 200, now)
        pressed = signalled_key(content_type, request.body)
        if pressed is not None:
            self.agent.emit(KeySignalled(self.call, pressed))

    def _on_update(self, key: str, request: Request, now: float) -> None:
        """RFC 3311, 5.2."""
        body, headers = b"", self._timer_headers(request)
        if request.body:
            if self.negotiation.offering or self._waiting is not None:
                self._reply(key, request, 491, now)
                return
            answer = self.negotiation.answer(request.body)
            if answer is None:
                self._reply(key, request, 488, now)
                return
            body = answer
            headers = [*headers, SDP]
        self.dialog = refreshed(self.dialog, request)
        self._reply(key, request, 200, now, headers, body)
        self._wind(now)
        if body:
            self.agent.emit(MediaChanged(self.call))

    def _timer_headers(self, request: Request) -> list[tuple[str, str]]:
        supported = "timer" in {tag.lower() for tag in request.headers.elements("Supported")}
        return self._timer.requested(request.headers, supported)

    def _on_reinvite(self, key: str, request: Request, source: Hop, now: float) -> None:
        """Other media, or a sign of life (RFC 3261, 14.2)."""
        if self.negotiation.offering or self._waiting is not None:
            self._reply(key, request, 491, now)
            return
        asked = session_expires(request.headers)
        if asked is not None and asked[0] < MIN_SE_S:
            self._reply(key, request, 422, now, [("Min-SE", str(MIN_SE_S))])
            return
        # an INVITE without an offer asks for ours (RFC 3261, 14.2)
        body = self.negotiation.answer(request.body) if request.body else self.negotiation.offer()
        if body is None:
            self._reply(key, request, 488, now)
            return
        self.dialog = refreshed(self.dialog, request)
        headers = [*self._timer_headers(request), ("Supported", SUPPORTED), SDP]
        response = self._reply(key, request, 200, now, headers, body)
        self.await_ack(request, response, source, now, offered=not request.body)
        self._wind(now)
        if request.body:
            self.agent.emit(MediaChanged(self.call))

    # --- 2xx of ours, repeated until acknowledged --------------------------------------------------------------------

    def await_ack(self, request: Request, response: Response, hop: Hop, now: float, *, offered: bool) -> None:
        """The 2xx was sent; it is repeated until its ACK comes, over TCP too (RFC 3261, 13.3.1.4)."""
        alarm = self.agent.at(now + T1_S, self._repeat)
        self._waiting = _Unacknowledged(
            request.cseq.number, response, hop, now + ACK_WAIT_S, T1_S, offered=offered, alarm=alarm
        )

    def _repeat(self, now: float) -> None:
        waiting = self._waiting
        if waiting is None:
            return
        if now >= waiting.until:
            self._waiting = None
            self.negotiation.withdraw()
            self.hang_up(now, reason='SIP;cause=408;text="No ACK"')
            return
        self.agent.send(waiting.response, waiting.hop)
        waiting.wait_s = min(2 * waiting.wait_s, T2_S)
        waiting.alarm = self.agent.at(now + waiting.wait_s, self._repeat)

    def on_ack(self, request: Request, now: float) -> None:
        """An ACK for a 2xx of ours; the answer to an offer of ours comes in it."""
        waiting = self._waiting
        if waiting is None or request.cseq.number != waiting.cseq:
            return
        self._acknowledged()
        if not waiting.offered or self.over:
            return
        if self.negotiation.accept(request.body):
            self.agent.emit(MediaChanged(self.call))
        else:
            self.negotiation.withdraw()
            if self.negotiation.agreed is None:
                self.hang_up(now, reason='SIP;cause=488;text="No audio agreed"')

    def _acknowledged(self) -> None:
        if self._waiting is not None:
            self._waiting.alarm.cancel()
            self._waiting = None


@dataclass(frozen=True, slots=True)
class _Answer:
    """Hears the final answer to one request of the session: None where there is none."""

    then: Callable[[Response | None, float], None]

    def on_response(self, _key: str, response: Response, _source: Hop, now: float) -> None:
        """A provisional answer says nothing here."""
        if response.status >= 200:
            self.then(response, now)

    def on_lost(self, _key: str, _lost: Lost, now: float) -> None:
        """No answer."""
        self.then(None, now)
