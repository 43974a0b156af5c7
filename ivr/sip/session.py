"""A call that is up (RFC 3261, 12 to 15): BYE both ways, other media, signs of life, keys by INFO."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ivr.sip.abilities import ALLOW, SUPPORTED
from ivr.sip.bodies import SDP_TYPE, sdp_of
from ivr.sip.dialog import Dialog
from ivr.sip.events import Alarm, Ended, KeySignalled, MediaChanged, reasons_of, retry_after
from ivr.sip.hop import Hop
from ivr.sip.info import CONTENT_TYPES, RELAY, InfoKeys
from ivr.sip.message import Request, Response
from ivr.sip.negotiation import Negotiation
from ivr.sip.requester import Asked, Requester
from ivr.sip.session_timer import SessionTimer, min_se

if TYPE_CHECKING:
    from ivr.sip.incoming import IncomingCall
    from ivr.sip.outgoing import OutgoingCall

T1_S = 0.5
T2_S = 4.0
ACK_WAIT_S = 32.0
"""64*T1: a 2xx of ours is repeated for so long (RFC 3261, 13.3.1.4)."""
RETRY_MAX_S = 10.0
"""Whoever is busy with another offer asks to wait no longer than this (RFC 3261, 14.2; RFC 3311, 5.2)."""
SDP = ("Content-Type", SDP_TYPE)


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
        call: OutgoingCall | IncomingCall,
        side: Requester,
        negotiation: Negotiation,
        *,
        timer: SessionTimer,
        caller: bool,
    ) -> None:
        self.agent = side.agent
        self.call = call
        self.negotiation = negotiation
        self.over = False
        self._side = side
        self._timer = timer
        self._caller = caller
        self._waiting: _Unacknowledged | None = None
        self._farewell: list[tuple[str, str]] = []
        self._alarm: Alarm | None = None
        self._lapse_at = 0.0
        self._updates = False
        self._reinvite: Asked | None = None
        self._info_keys = InfoKeys()
        self.alive_at: float | None = None
        """When the other side last said something in this dialog, a request or an answer."""

    @property
    def dialog(self) -> Dialog:
        """The dialog as it is now."""
        return self._side.dialog

    @property
    def peer(self) -> str:
        """The host where requests of this call go: the likeliest one for audio, where they name none."""
        return self._side.hop.host

    def start(self, message: Request | Response, now: float) -> None:
        """The call is up; `message` is the other side's part of the handshake, which tells what it can and asks for."""
        self._updates = "UPDATE" in {method.upper() for method in message.headers.elements("Allow")}
        if isinstance(message, Response):
            self._timer.answered(message.headers)
        self._wind(now)

    # --- our side ----------------------------------------------------------------------------------------------------

    def hang_up(self, now: float, *, reason: str = "") -> None:
        """Ends the call, told at once. The BYE waits for the ACK of our 2xx, or for its time to be over: before, the other
        side need not know the dialog (RFC 3261, 15). Harmless when it is over."""
        if self.over:
            return
        self._farewell = [("Reason", reason)] if reason else []
        self._end(now, by_remote=False)
        if self._waiting is None:
            self._leave(now)

    def inform(self, body: bytes, content_type: str, now: float) -> None:
        """Sends INFO: a key, to those who take no other."""
        if not self.over:
            self._side.ask("INFO", now, headers=[("Content-Type", content_type)], body=body)

    def ask_for_life(self, now: float, then: Callable[[bool, float], None]) -> None:
        """Asks the other side whether it is still there, with a request that changes nothing (OPTIONS, RFC 3261, 11); `then` hears
        whether anything but "no such call" came back."""

        def answered(response: Response | None, later: float) -> None:
            lives = response is not None and response.status not in (408, 481)
            if lives:
                self.alive_at = later
            then(lives, later)

        self._side.ask("OPTIONS", now, headers=[("Accept", SDP_TYPE)], then=answered)

    def _leave(self, now: float) -> None:
        self._side.ask("BYE", now, headers=self._farewell)
        self.call.over(now)

    def _end(self, now: float, *, by_remote: bool, message: Request | None = None) -> None:
        self.over = True
        self._cancel_alarm()
        if self._reinvite is not None:
            self._reinvite.give_up(now)
        reasons = () if message is None else reasons_of(message.headers)
        self.agent.emit(Ended(self.call, by_remote=by_remote, reasons=reasons))

    # --- signs of life (RFC 4028) ------------------------------------------------------------------------------------

    def _wind(self, now: float) -> None:
        """Starts the interval anew."""
        self._cancel_alarm()
        refresh_s, lapse_s = self._timer.refresh_s(), self._timer.lapse_s()
        if lapse_s is None:
            return
        self._lapse_at = now + lapse_s
        if refresh_s is None:
            self._alarm = self.agent.at(self._lapse_at, self._lapsed)
        else:
            self._alarm = self.agent.at(now + refresh_s, self._refresh)

    def _cancel_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _refresh(self, now: float) -> None:
        self._cancel_alarm()
        self._alarm = self.agent.at(self._lapse_at, self._lapsed)
        headers = [
            ("Session-Expires", f"{self._timer.expires_s};refresher=uac"),
            ("Min-SE", str(self._timer.min_se_s)),
            ("Supported", SUPPORTED),
        ]
        if self._updates:  # an UPDATE needs no offer (RFC 4028, 7.4)
            self._side.ask("UPDATE", now, headers=headers, then=self._refreshed)
        else:
            headers += [("Allow", ALLOW), SDP]
            self._reinvite = self._side.ask(
                "INVITE", now, headers=headers, body=self.negotiation.offer(), then=self._reinvited
            )

    def _refreshed(self, response: Response | None, now: float) -> None:
        if self.over:
            return
        if response is not None:
            self.alive_at = now
        if response is None or response.status in (408, 481):
            self._lapsed(now)  # RFC 4028, 10
        elif response.status < 300:
            self._timer.refreshed(response.headers)
            self._wind(now)
        elif response.status == 422 and self._timer.lengthen(min_se(response.headers)):
            self._refresh(now)  # RFC 4028, 7.4
        elif (wait_s := self._wait_s(response)) is not None:
            self._refresh_again(now + wait_s)
        elif self._updates:
            # 501 or 405 of a phone that has named UPDATE in its Allow, or of a proxy on the way: a re-INVITE says the same (RFC 4028,
            # 7.4), and everybody knows it
            self._updates = False
            self._refresh(now)
        else:
            self._wind(now)  # whoever refuses is alive

    def _wait_s(self, response: Response) -> float | None:
        """How long a refresh waits that crossed an offer of theirs. Who has called waits longer than who was called, so that
        the next two do not cross (RFC 3261, 14.1). None where it was refused for something else."""
        if response.status == 491:
            chance = self.agent.chance()
            return 2.1 + 1.9 * chance if self._caller else 2.0 * chance
        asked_s = retry_after(response.headers) if response.status == 500 else None
        return max(asked_s, 1.0) if asked_s is not None and asked_s <= RETRY_MAX_S else None

    def _refresh_again(self, at: float) -> None:
        """Refreshes at this time, if the call then still lives."""
        if at < self._lapse_at:
            self._cancel_alarm()
            self._alarm = self.agent.at(at, self._refresh)

    def _reinvited(self, response: Response | None, now: float) -> None:
        self._reinvite = None
        if not self.over:
            if response is not None and response.status < 300 and self.negotiation.accept(sdp_of(response) or b""):
                self.agent.emit(MediaChanged(self.call))
            self.negotiation.withdraw()
        self._refreshed(response, now)

    def _lapsed(self, now: float) -> None:
        self.hang_up(now, reason='SIP;cause=408;text="Session expired"')

    # --- their side --------------------------------------------------------------------------------------------------

    @property
    def peers(self) -> tuple[str, ...]:
        """The hosts that its requests go to: the next one, and where the call came from or was sent first."""
        return self._side.hop.host, self._side.home.host

    def owns(self, request: Request) -> bool:
        """Whether the request is of this dialog."""
        return (request.call_id, request.to.tag or "", request.from_.tag or "") == self.dialog.id

    def connection_lost(self, hop: Hop) -> None:
        """A connection is closed: ours, perhaps."""
        self._side.connection_lost(hop)

    def on_request(self, key: str, request: Request, source: Hop, now: float) -> None:
        """A request of the other side. Each is answered, and is a sign of life."""
        self.alive_at = now
        last = self.dialog.remote_cseq
        if last is not None and request.cseq.number <= last and request.method != "BYE":
            # RFC 3261, 12.2.2: retransmissions never come this far; whoever hangs up has hung up, whatever the number
            self._reply(key, request, 500, now, [("Retry-After", "1")])
            return
        if self.over:
            self._on_request_afterwards(key, request, now)
            return
        self._side.dialog = replace(self.dialog, remote_cseq=max(request.cseq.number, last or 0))
        match request.method:
            case "BYE":
                self._reply(key, request, 200, now)
                self._acknowledged()
                self._end(now, by_remote=True, message=request)
                self.call.over(now)
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

    def _on_request_afterwards(self, key: str, request: Request, now: float) -> None:
        """The call is over. A BYE of theirs, while ours waits for the ACK, makes ours needless."""
        if request.method != "BYE":
            self._reply(key, request, 481, now)
            return
        self._reply(key, request, 200, now)
        if self._waiting is not None:
            self._acknowledged()
            self.call.over(now)

    def _reply(
        self, key: str, request: Request, status: int, now: float,
        headers: Iterable[tuple[str, str]] = (), body: bytes = b"",
    ) -> Response:  # fmt: skip
        return self.agent.answer(key, request, status, self._side.hop.transport, now, headers, body)

    def _on_info(self, key: str, request: Request, now: float) -> None:
        content_type = request.headers.content_type or RELAY
        if request.body and content_type not in CONTENT_TYPES:
            self._reply(key, request, 415, now, [("Accept", ", ".join(CONTENT_TYPES))])
            return
        self._reply(key, request, 200, now)
        pressed = self._info_keys.pressed(content_type, request.body)
        if pressed is not None:
            self.agent.emit(KeySignalled(self.call, pressed))

    def _on_update(self, key: str, request: Request, now: float) -> None:
        """RFC 3311, 5.2."""
        answer, offer = None, sdp_of(request)
        if offer:
            if self.negotiation.offering or self._waiting is not None:
                self._reply(key, request, 491, now)
                return
            answer = self.negotiation.answer(offer)
            if answer is None:
                self._reply(key, request, 488, now)
                return
        self._side.refresh(request)
        headers = [*self._timer.requested(request.headers), *([] if answer is None else [SDP])]
        self._reply(key, request, 200, now, headers, answer or b"")
        self._wind(now)
        if answer is not None:
            self.agent.emit(MediaChanged(self.call))

    def _on_reinvite(self, key: str, request: Request, source: Hop, now: float) -> None:
        """Other media, or a sign of life (RFC 3261, 14.2)."""
        if self.negotiation.offering or self._waiting is not None:
            self._reply(key, request, 491, now)
            return
        # an INVITE without an offer asks for ours (RFC 3261, 14.2)
        offer = sdp_of(request)
        body = self.negotiation.answer(offer) if offer else self.negotiation.offer()
        if body is None:
            self._reply(key, request, 488, now)
            return
        self._side.refresh(request)
        headers = [*self._timer.requested(request.headers), ("Supported", SUPPORTED), SDP]
        response = self._reply(key, request, 200, now, headers, body)
        self.await_ack(request, response, source, now, offered=not offer)
        self._wind(now)
        if offer:
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
            if self.over:
                self._leave(now)
            else:
                self.hang_up(now, reason='SIP;cause=408;text="No ACK"')
            return
        self.agent.send(waiting.response, waiting.hop)
        waiting.wait_s = min(2 * waiting.wait_s, T2_S)
        waiting.alarm = self.agent.at(min(now + waiting.wait_s, waiting.until), self._repeat)

    def on_ack(self, request: Request, now: float) -> None:
        """An ACK for a 2xx of ours; the answer to an offer of ours comes in it."""
        waiting = self._waiting
        if waiting is None or request.cseq.number != waiting.cseq:
            return
        self._acknowledged()
        if self.over:
            self._leave(now)
            return
        if not waiting.offered:
            return
        if self.negotiation.accept(sdp_of(request) or b""):
            self.agent.emit(MediaChanged(self.call))
        else:
            self.negotiation.withdraw()
            if self.negotiation.agreed is None:
                self.hang_up(now, reason='SIP;cause=488;text="No audio agreed"')

    def _acknowledged(self) -> None:
        if self._waiting is not None:
            self._waiting.alarm.cancel()
            self._waiting = None
