"""The user agent: messages in and out, calls and other requests on top of the transactions. No socket and no clock lives here."""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ivr.sip import layer as transactions
from ivr.sip import sdp
from ivr.sip.abilities import ACCEPT, ALLOW, METHODS, OPTION_TAGS, SUPPORTED
from ivr.sip.bodies import SDP_TYPE, sdp_of, understood
from ivr.sip.digest import Authenticator, Prover
from ivr.sip.events import Alarm, CallEvent, Lost, Notice, Offered
from ivr.sip.headers import Headers
from ivr.sip.hop import Hop, Transport
from ivr.sip.incoming import IncomingCall
from ivr.sip.layer import OverloadedError, TransactionLayer
from ivr.sip.message import KeepAlive, Malformed, Request, Response, encode, parse, response_to
from ivr.sip.negotiation import Negotiation
from ivr.sip.outgoing import Invitation, OutgoingCall
from ivr.sip.session_timer import MIN_SE_S, too_short
from ivr.sip.tags import Tags
from ivr.sip.uri import SipUri, is_known_scheme, parse_uri

INCOMING_MAX = 1_000
"""Calls to us at once, whatever the trunk lets through: as many as one process can carry with audio."""

NOTICES_MAX = 64
"""Waiting for whoever writes the log; it takes them after each message."""

BRANCH_COOKIE = "z9hG4bK"
"""RFC 3261, 8.1.1.7."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalSide:
    """How others reach us: the address and ports as seen from outside, and the user part of our Contact."""

    host: str
    ports: Mapping[Transport, int]
    user: str = "tocsin"
    product: str = "Tocsin"

    def via(self, transport: Transport, branch: str) -> str:
        """The top Via of a request (RFC 3261, 18.1.1); `rport` asks for the answer to come back here (RFC 3581, 3)."""
        return f"SIP/2.0/{transport.upper()} {self._host_port(transport)};branch={branch};rport"

    def contact(self, transport: Transport) -> str:
        """Where requests of a dialog find us."""
        suffix = "" if transport == "udp" else f";transport={transport}"
        return f"<sip:{self.user}@{self._host_port(transport)}{suffix}>"

    def _host_port(self, transport: Transport) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.ports[transport]}"


class Client(Protocol):
    """Whoever has a request under way."""

    def on_response(self, key: str, response: Response, source: Hop, now: float) -> None:
        """A provisional or final answer."""
        ...

    def on_lost(self, key: str, lost: Lost, now: float) -> None:
        """There will be no answer."""
        ...


class Call(Protocol):
    """A call as the agent sees it."""

    @property
    def call_id(self) -> str: ...

    def owns(self, request: Request) -> bool:
        """Whether the request belongs to a dialog of this call."""
        ...

    def on_request(self, key: str, request: Request, source: Hop, now: float) -> None: ...

    def on_ack(self, request: Request, now: float) -> None: ...

    def connection_lost(self, hop: Hop, now: float) -> None:
        """This connection is closed."""
        ...


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request may come in."""


@dataclass(frozen=True, slots=True)
class Challenged:
    """The request may come in once its sender proves who it is: the WWW-Authenticate values to answer with."""

    challenges: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dropped:
    """Nothing is answered: whoever scans for gateways finds none."""


Admission = Admitted | Challenged | Dropped
Doorkeeper = Callable[[Request, Hop, float], Admission]


@dataclass(slots=True)
class Counts:
    """What the network sent that came to nothing, for metrics."""

    malformed: int = 0
    dropped: int = 0
    unmatched: int = 0


class UserAgent:
    """One SIP user agent: bytes and `now` in, bytes and events out.

    `tokens` hands out unguessable strings of letters and digits (tags, branches, Call-IDs); `admit` is asked about every
    request from outside a dialog.
    """

    def __init__(
        self,
        *,
        local: LocalSide,
        tokens: Callable[[], str],
        admit: Doorkeeper,
        layer: TransactionLayer | None = None,
        incoming_max: int = INCOMING_MAX,
        authenticator: Callable[[], Authenticator] | None = None,
    ) -> None:
        """`authenticator` gives what answers those who challenge our requests in calls to us: a BYE, say."""
        self.local = local
        self._authenticator = authenticator
        self.token = tokens
        self.counts = Counts()
        self._admit = admit
        self._layer = TransactionLayer(tags=Tags(tokens())) if layer is None else layer
        self._incoming_max = incoming_max
        self._incoming = 0
        self._clients: dict[str, Client] = {}
        self._offers: dict[str, IncomingCall] = {}
        self._calls: dict[str, list[Call]] = {}
        self._events: deque[CallEvent] = deque()
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._alarm_n = 0
        self._out: deque[tuple[Hop, bytes]] = deque()
        self._notices: deque[Notice] = deque(maxlen=NOTICES_MAX)
        self._refused_told = 0

    # --- driving -----------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Hop, now: float) -> None:
        """One datagram, or one message of a stream, from the network: never raises for what is in it."""
        message = parse(data, framed=source.reliable)
        match message:
            case KeepAlive():
                return
            case Malformed():
                self._malformed(message, source, now)
                return
            case Request():
                if not self._may_come_in(message, source, now):
                    return
        self._note_flaws(message, source)
        self._layer.receive(message, source, now)
        self._work(now)

    def notices(self) -> list[Notice]:
        """What was read with goodwill, refused or dropped since the last time: for the log."""
        found = list(self._notices)
        self._notices.clear()
        if self._layer.refused > self._refused_told:
            self._refused_told = self._layer.refused
            found.append(Notice("sip_overloaded", "all", "no room for another request: 503"))
        return found

    def transport_failed(self, hop: Hop, now: float) -> None:
        """The hop cannot be reached, or its connection broke."""
        if hop.reliable:
            for call in [call for calls in self._calls.values() for call in calls]:
                call.connection_lost(hop, now)
        self._layer.transport_failed(hop, now)
        self._work(now)

    def silent(self) -> list[tuple[Hop, float]]:
        """Hops where an answer is overdue, each with since when: a connection over which nothing came since then is dead."""
        return self._layer.silent()

    def messages_to_send(self) -> list[tuple[Hop, bytes]]:
        """What is to be sent now, in order."""
        out = list(self._out)
        self._out.clear()
        out += [(hop, encode(message)) for hop, message in self._layer.messages_to_send()]
        return out

    def next_event(self) -> CallEvent | None:
        """The next thing that happened to a call."""
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """When `handle_deadline` is to be called."""
        while self._alarms and self._alarms[0][2].action is None:
            heapq.heappop(self._alarms)
        mine = self._alarms[0][0] if self._alarms else None
        theirs = self._layer.next_deadline()
        return min((time for time in (mine, theirs) if time is not None), default=None)

    def handle_deadline(self, now: float) -> None:
        """Does what is due."""
        self._layer.handle_deadline(now)
        self._work(now)
        while self._alarms and self._alarms[0][0] <= now:
            alarm = heapq.heappop(self._alarms)[2]
            action, alarm.action = alarm.action, None
            if action is not None:
                action(now)
        self._work(now)

    # --- calls -------------------------------------------------------------------------------------------------------

    def invite(self, invitation: Invitation, negotiation: Negotiation, now: float) -> OutgoingCall:
        """Calls somebody. What becomes of it is told by events. Raises OverloadedError."""
        if self._layer.full:
            raise OverloadedError("too many requests are under way")
        call = OutgoingCall(self, invitation, negotiation)
        call.start(now)
        self._work(now)
        return call

    @property
    def calls(self) -> int:
        """Calls that are not over yet, in their background work included."""
        return sum(len(calls) for calls in self._calls.values())

    # --- what calls, registrations and keep-alives use ----------------------------------------------------------------

    def request(
        self, method: str, uri: str, *, hop: Hop, from_: str, to: str, call_id: str, cseq: int,
        headers: Iterable[tuple[str, str]] = (), routes: Iterable[str] = (), body: bytes = b"",
    ) -> Request:  # fmt: skip
        """A request outside a dialog (RFC 3261, 8.1.1)."""
        pairs = [
            ("Via", self.via(hop)),
            *(("Route", route) for route in routes),
            ("Max-Forwards", "70"),
            ("From", from_),
            ("To", to),
            ("Call-ID", call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", self.local.contact(hop.transport)),
            ("User-Agent", self.local.product),
            *headers,
        ]
        return Request(method=method, uri=uri, headers=Headers(pairs), body=body)

    def via(self, hop: Hop) -> str:
        """A Via for a new request to `hop`, with a branch of its own."""
        return self.local.via(hop.transport, BRANCH_COOKIE + self.token())

    def transact(self, request: Request, hop: Hop, client: Client, now: float) -> str:
        """Sends a request; `client` hears of its answers. Gives the transaction's key."""
        key = self._layer.send_request(request, hop, now)
        self._clients[key] = client
        return key

    def chance(self) -> float:
        """A number from 0 up to 1, by the chance that is in a token: there is no other here."""
        return int.from_bytes(hashlib.sha256(self.token().encode()).digest()[:4], "big") / 2**32

    def prover(self) -> Prover:
        """Answers whoever asks for credentials in a call to us (RFC 3261, 22): who is called is challenged too, when it hangs up."""
        return Prover(None if self._authenticator is None else self._authenticator())

    @property
    def tags(self) -> Tags:
        """To tags of our answers."""
        return self._layer.tags

    def forget(self, key: str) -> None:
        """Nobody listens to this transaction any more: it ends."""
        self._clients.pop(key, None)
        self._layer.forget(key)

    def unanswered(self, key: str) -> None:
        """An answer to this request is overdue."""
        self._layer.unanswered(key)

    def reply(self, key: str, response: Response, now: float) -> None:
        """Answers a request."""
        self._layer.respond(key, response, now)

    def answer(
        self, key: str, request: Request, status: int, transport: Transport, now: float,
        headers: Iterable[tuple[str, str]] = (), body: bytes = b"",
    ) -> Response:  # fmt: skip
        """Answers a request of a dialog: with our Contact, which a target refresh needs, and with what we can."""
        known = [("Contact", self.local.contact(transport)), ("Allow", ALLOW), *headers]
        response = response_to(request, status, headers=known, body=body)
        self.reply(key, response, now)
        return response

    def send(self, message: Request | Response, hop: Hop) -> None:
        """Sends a message that has no transaction: the ACK of a 2xx, a repeated 2xx."""
        self._layer.send(message, hop)

    def at(self, when: float, action: Callable[[float], None]) -> Alarm:
        """Has `action(now)` called at `when`."""
        alarm = Alarm(when, action)
        self._alarm_n += 1
        heapq.heappush(self._alarms, (when, self._alarm_n, alarm))
        return alarm

    def emit(self, event: CallEvent) -> None:
        """Tells what happened."""
        self._events.append(event)

    def add(self, call: Call) -> None:
        """The call's dialogs are to be found from now on."""
        self._calls.setdefault(call.call_id, []).append(call)

    def remove(self, call: Call) -> None:
        """The call is over and needs no message any more."""
        calls = self._calls.get(call.call_id, [])
        if call in calls:
            calls.remove(call)
            if isinstance(call, IncomingCall):
                self._incoming -= 1
        if not calls:
            self._calls.pop(call.call_id, None)

    def offered(self, key: str) -> None:
        """The INVITE of a call to us has its final answer: a CANCEL comes too late."""
        self._offers.pop(key, None)

    def hop_of(self, uri: str, fallback: Hop, *, connected: bool = True) -> Hop:
        """Where a request of a dialog goes (RFC 3261, 12.2.1.1): to the URI where it names a numeric address that we can reach,
        else back where the dialog came from, which is where its proxy stands. `connected`: whether the connection of `fallback`
        is open; only then is it used in place of another to the same host (RFC 3261, 18.1.1; RFC 5923)."""
        parsed = parse_uri(uri)
        if not isinstance(parsed, SipUri) or not _numeric(parsed.host):
            return fallback
        if (":" in parsed.host) != (":" in fallback.host):
            return fallback  # of the other family: nothing of ours reaches it
        named = parsed.params.get("transport") or ""
        transport: Transport = fallback.transport
        if named.lower() in ("udp", "tcp", "tls"):
            transport = named.lower()  # type: ignore[assignment]  # one of the three, as just seen
        if parsed.scheme == "sips":
            transport = "tls"
        if transport not in self.local.ports:
            return fallback
        port = parsed.port or (5061 if transport == "tls" else 5060)
        if connected and transport != "udp" and parsed.host == fallback.host and transport == fallback.transport:
            return fallback  # the connection that is open already, whatever port the other side listens on
        return Hop(transport, parsed.host, port, fallback.name if transport == "tls" else "")

    # --- arriving ----------------------------------------------------------------------------------------------------

    def _malformed(self, message: Malformed, source: Hop, now: float) -> None:
        """A request of whoever may come in, or may prove that, gets an answer; others and broken answers leave a line of the log."""
        self.counts.malformed += 1
        request = message.request
        if request is not None and request.method != "ACK":
            if isinstance(self._admit(request, source, now), Dropped):
                return  # the door has told of it
            # without a transaction: who repeats a broken request gets the same answer again
            self._layer.answer(request, source, lambda received: self._answer(received, message.status))
            self._notices.append(Notice("sip_request_refused", source.host, message.reason))
        else:
            self._notices.append(Notice("sip_message_dropped", source.host, message.reason))

    def _note_flaws(self, message: Request | Response, source: Hop) -> None:
        """What was read with goodwill in a message and in its session description."""
        for flaw in message.flaws:
            self._notices.append(Notice("sip_read_with_goodwill", source.host, flaw))
        body = sdp_of(message) if message.body else None
        for flaw in sdp.flaws_of(body) if body else ():
            self._notices.append(Notice("sdp_read_with_goodwill", source.host, flaw))

    def _may_come_in(self, request: Request, source: Hop, now: float) -> bool:
        """Requests of a dialog are known by its tags, repeated ones and CANCEL by their transaction; all others pass the door,
        once. A challenge needs no transaction (RFC 3261, 8.2.7): whoever asks for many keeps us from nothing."""
        if request.method == "ACK" or self._layer.knows(request):
            return True
        if request.to.tag is not None and self._call_of(request) is not None:
            return True
        match self._admit(request, source, now):
            case Admitted():
                return True
            case Challenged(challenges) if request.to.tag is None and request.method != "CANCEL":
                values = [("WWW-Authenticate", value) for value in challenges]
                self._layer.answer(request, source, lambda received: self._answer(received, 401, values))
            case _:
                self.counts.dropped += 1
        return False

    def _work(self, now: float) -> None:
        while (event := self._layer.next_event()) is not None:
            match event:
                case transactions.ResponseArrived():
                    client = self._clients.get(event.key)
                    if client is not None:
                        client.on_response(event.key, event.response, event.source, now)
                case transactions.TransactionEnded():
                    self._clients.pop(event.key, None)
                case transactions.RequestTimedOut():
                    self._lost(event.key, Lost.NO_RESPONSE, now)
                case transactions.RequestFailed():
                    self._lost(event.key, Lost.TRANSPORT_FAILED, now)
                case transactions.RequestArrived():
                    self._request(event.key, event.request, event.source, now)
                case transactions.AckArrived():
                    call = self._call_of(event.request)
                    if call is not None:
                        call.on_ack(event.request, now)
                case transactions.CancelArrived():
                    offer = self._offers.get(event.key)
                    if offer is not None:
                        offer.on_cancel(event.request, now)
                case transactions.StrayResponse():
                    self.counts.unmatched += 1

    def _lost(self, key: str, lost: Lost, now: float) -> None:
        client = self._clients.pop(key, None)
        if client is not None:
            client.on_lost(key, lost, now)

    def _call_of(self, request: Request) -> Call | None:
        return next((call for call in self._calls.get(request.call_id, ()) if call.owns(request)), None)

    def _request(self, key: str, request: Request, source: Hop, now: float) -> None:
        call = None if request.to.tag is None else self._call_of(request)
        if request.to.tag is not None and call is None:
            self.reply(key, self._answer(request, 481), now)
            return
        refusal = _refusal(request)
        if refusal is not None:
            status, header = refusal
            self.reply(key, self._answer(request, status, [header]), now)
        elif call is not None:
            call.on_request(key, request, source, now)
        elif request.method == "OPTIONS":
            known = [("Allow", ALLOW), ("Supported", SUPPORTED), ("Accept", ACCEPT)]
            self.reply(key, self._answer(request, 200, known), now)
        elif request.method == "INVITE":
            self._offer(key, request, source, now)
        else:
            status = 481 if request.method in METHODS else 405
            self.reply(key, self._answer(request, status, [("Allow", ALLOW)]), now)

    def _offer(self, key: str, request: Request, source: Hop, now: float) -> None:
        if not is_known_scheme(request.uri):
            self.reply(key, self._answer(request, 416), now)
            return
        if self._incoming >= self._incoming_max:
            self.reply(key, self._answer(request, 486), now)
            return
        call = IncomingCall(self, key, request, source)
        self._incoming += 1
        self._offers[key] = call
        self.add(call)
        self.emit(Offered(call))

    def _answer(self, request: Request, status: int, headers: Iterable[tuple[str, str]] = ()) -> Response:
        return response_to(request, status, to_tag=self.tags.of(request), headers=headers)


def _numeric(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _refusal(request: Request) -> tuple[int, tuple[str, str]] | None:
    """What is wrong with a request, within a dialog or not: an extension or a body that we do not know (RFC 3261, 8.2.2.3 and
    8.2.3), or a session interval that is too short (RFC 4028, 9)."""
    if request.method == "BYE":
        return None  # whoever hangs up has hung up, whatever else stands there
    unknown = [tag for tag in request.headers.elements("Require") if tag.lower() not in OPTION_TAGS]
    if unknown:
        return 420, ("Unsupported", ", ".join(unknown))
    if request.method not in ("INVITE", "UPDATE"):
        return None
    if not understood(request):
        return 415, ("Accept", SDP_TYPE)
    return (422, ("Min-SE", str(MIN_SE_S))) if too_short(request.headers) else None
