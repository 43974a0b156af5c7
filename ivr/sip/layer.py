"""The transaction layer (RFC 3261, 17): finds the transaction of each message, repeats, absorbs, gives up. It knows no calls."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ivr.sip.headers import Headers
from ivr.sip.hop import Hop
from ivr.sip.message import Request, Response, response_to
from ivr.sip.tags import Tags
from ivr.sip.transaction import (
    CLIENT,
    INVITE_CLIENT,
    INVITE_SERVER,
    SERVER,
    Action,
    Event,
    State,
    Timers,
    Transaction,
)
from ivr.sip.uri import PARAMS_MAX, split_outside_quotes

TRANSACTIONS_MAX = 20_000
"""Live transactions: a thousand calls beginning and ending within half a minute have some six thousand. At 3 kB each 60 MB."""
OVERLOADED_RETRY_S = 5
COOKIE = "z9hG4bK"
"""RFC 3261, 8.1.1.7: whose branches are unique."""


@dataclass(frozen=True, slots=True)
class TransactionEnded:
    """Nothing comes any more for a request of ours."""

    key: str


class OverloadedError(RuntimeError):
    """There is no room for another transaction."""


@dataclass(frozen=True, slots=True)
class RequestArrived:
    """A new request, to be answered by `respond`."""

    key: str
    request: Request
    source: Hop


@dataclass(frozen=True, slots=True)
class AckArrived:
    """An ACK of a 2xx: of a dialog, with no transaction."""

    request: Request
    source: Hop


@dataclass(frozen=True, slots=True)
class CancelArrived:
    """The INVITE `key` is taken back; the CANCEL is answered already."""

    key: str
    request: Request
    source: Hop


@dataclass(frozen=True, slots=True)
class ResponseArrived:
    """An answer to a request of ours. Every 2xx of an INVITE comes here, repeated ones and those of forks too."""

    key: str
    response: Response
    source: Hop


@dataclass(frozen=True, slots=True)
class StrayResponse:
    """An answer to nothing that we asked, or that we still remember."""

    response: Response
    source: Hop


@dataclass(frozen=True, slots=True)
class RequestTimedOut:
    """Nobody answered (timers B and F)."""

    key: str


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """It could not be sent."""

    key: str


LayerEvent = (
    TransactionEnded
    | RequestArrived
    | AckArrived
    | CancelArrived
    | ResponseArrived
    | StrayResponse
    | RequestTimedOut
    | RequestFailed
)


class TransactionLayer:
    """All transactions of one user agent: messages and `now` in, messages and events out."""

    def __init__(
        self, *, tags: Tags | None = None, timers: Timers | None = None, transactions_max: int = TRANSACTIONS_MAX
    ) -> None:
        self.refused = 0
        """Requests for which there was no room."""
        self.tags = Tags("") if tags is None else tags
        self._timers = Timers() if timers is None else timers
        self._max = transactions_max
        self._live: dict[str, Transaction] = {}
        self._merged: dict[tuple[str, str, str], str] = {}
        self._trying: dict[str, float] = {}
        self._out: deque[tuple[Hop, Request | Response]] = deque()
        self._events: deque[LayerEvent] = deque()
        self._due: list[tuple[float, str]] = []
        self._silent: dict[Hop, float] = {}

    def __len__(self) -> int:
        return len(self._live)

    # --- driving -----------------------------------------------------------------------------------------------------

    def receive(self, message: Request | Response, source: Hop, now: float) -> None:
        """One message from the network."""
        if isinstance(message, Response):
            self._response(message, source, now)
        elif message.method == "ACK":
            self._ack(message, source, now)
        elif message.method == "CANCEL":
            self._cancel(message, source, now)
        else:
            self._request(message, source, now)

    def messages_to_send(self) -> list[tuple[Hop, Request | Response]]:
        """What is to be sent now."""
        out = list(self._out)
        self._out.clear()
        return out

    def next_event(self) -> LayerEvent | None:
        """The next thing that the user has to hear of."""
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """When `handle_deadline` is to be called; sometimes earlier than needed."""
        return self._due[0][0] if self._due else None

    def handle_deadline(self, now: float) -> None:
        """Carries out the timers that have fired."""
        while self._due and self._due[0][0] <= now:
            at, key = heapq.heappop(self._due)
            transaction = self._live.get(key)
            if transaction is None:
                continue
            if transaction.scheduled_at == at:
                transaction.scheduled_at = None
            self._try(key, transaction, now)
            while (event := transaction.due(now)) is not None and key in self._live:
                self._carry_out(transaction, event, now)
            self._schedule(transaction)

    # --- the user's verbs --------------------------------------------------------------------------------------------

    def send_request(self, request: Request, hop: Hop, now: float) -> str:
        """Sends a request and waits for its answers; gives the transaction's key. Whether there is room for something new is
        asked before (`full`): what belongs to a call that is under way always leaves."""
        key = _client_key(request)
        table = INVITE_CLIENT if request.method == "INVITE" else CLIENT
        transaction = self._live[key] = Transaction(key, table, request, hop, self._timers, now)
        self._out.append((hop, request))
        self._schedule(transaction)
        return key

    @property
    def full(self) -> bool:
        """Whether there is no room for another beginning."""
        return len(self._live) >= self._max

    def forget(self, key: str) -> None:
        """Ends a transaction of ours that nobody waits for any more: an INVITE that was cancelled and never got its final
        answer (RFC 3261, 9.1). One that has it ends by itself: a repeated refusal gets its ACK until then (17.1.1.2)."""
        transaction = self._live.get(key)
        if transaction is not None and transaction.client and transaction.end_at is None:
            self._forget(transaction)

    def knows(self, request: Request) -> bool:
        """Whether this is a repetition, or the CANCEL, of a request that is being worked on."""
        method = "INVITE" if request.method == "CANCEL" else request.method
        return _server_key(request, method) in self._live

    def answer(self, request: Request, source: Hop, respond: Callable[[Request], Response]) -> None:
        """Answers a request without a transaction: the same request again gets an answer again."""
        self._out.append((_answered_at(request, source), respond(_received(request, source))))

    def respond(self, key: str, response: Response, now: float) -> None:
        """Answers a request that arrived; nothing where its transaction is over."""
        transaction = self._live.get(key)
        if transaction is None or transaction.client:
            return
        self._trying.pop(key, None)
        if transaction.state is State.COMPLETED or transaction.state is State.CONFIRMED:
            return  # it has its final answer
        transaction.response = response
        self._carry_out(transaction, _kind(response), now)
        self._schedule(transaction)

    def unanswered(self, key: str) -> None:
        """An answer to this request of ours is overdue: the connection that it went over may be dead."""
        transaction = self._live.get(key)
        if transaction is not None:
            self._note_silence(transaction)

    def silent(self) -> list[tuple[Hop, float]]:
        """Hops where an answer is overdue, each with when the youngest such request went there. Told once."""
        found = list(self._silent.items())
        self._silent.clear()
        return found

    def send(self, message: Request | Response, hop: Hop) -> None:
        """Sends a message that belongs to no transaction."""
        self._out.append((hop, message))

    def transport_failed(self, hop: Hop, now: float) -> None:
        """The hop cannot be reached: what went there and was not answered has failed."""
        for transaction in [one for one in self._live.values() if one.hop == hop]:
            self._carry_out(transaction, Event.BROKEN, now)

    # --- arriving ----------------------------------------------------------------------------------------------------

    def _response(self, response: Response, source: Hop, now: float) -> None:
        via = response.via
        transaction = self._live.get(f"c {via.branch} {response.cseq.method}")
        if transaction is None:
            self._events.append(StrayResponse(response, source))
            return
        event = _kind(response)
        for action in self._carry_out(transaction, event, now):
            if action is Action.PASS:
                self._events.append(ResponseArrived(transaction.key, response, source))
            elif action is Action.ACKNOWLEDGE:
                self._out.append((transaction.hop, _ack_of(transaction.request, response)))
        self._schedule(transaction)

    def _request(self, request: Request, source: Hop, now: float) -> None:
        request = _received(request, source)
        source = _answered_at(request, source)
        key = _server_key(request, request.method)
        transaction = self._live.get(key)
        if transaction is not None:
            self._carry_out(transaction, Event.REQUEST, now)
            return
        merged = (request.from_.tag or "", request.call_id, str(request.cseq))
        if request.to.tag is None and merged in self._merged:  # RFC 3261, 8.2.2.2
            self._out.append((source, self._answer(request, 482)))
            return
        if len(self._live) >= self._max:
            self.refused += 1
            self._out.append((source, self._answer(request, 503, [("Retry-After", str(OVERLOADED_RETRY_S))])))
            return
        table = INVITE_SERVER if request.method == "INVITE" else SERVER
        self._live[key] = Transaction(key, table, request, source, self._timers, now)
        self._merged[merged] = key
        if table is INVITE_SERVER:
            self._trying[key] = now + self._timers.trying
            heapq.heappush(self._due, (now + self._timers.trying, key))
        self._events.append(RequestArrived(key, request, source))

    def _ack(self, request: Request, source: Hop, now: float) -> None:
        request = _received(request, source)
        transaction = self._live.get(_server_key(request, "INVITE"))
        if transaction is None or transaction.state is State.ACCEPTED:
            self._events.append(AckArrived(request, source))
            return
        self._carry_out(transaction, Event.ACK, now)
        self._schedule(transaction)

    def _cancel(self, request: Request, source: Hop, now: float) -> None:
        """RFC 3261, 9.2."""
        request = _received(request, source)
        source = _answered_at(request, source)
        key = _server_key(request, "CANCEL")
        known = self._live.get(key)
        if known is not None:
            self._carry_out(known, Event.REQUEST, now)
            return
        invite = self._live.get(_server_key(request, "INVITE"))
        if invite is None:  # without a transaction: whoever invents CANCELs keeps nothing of ours
            self._out.append((source, self._answer(request, 481)))
            return
        transaction = self._live[key] = Transaction(key, SERVER, request, source, self._timers, now)
        self.respond(key, self._answer(request, 200), now)
        self._schedule(transaction)
        if invite.state is State.PROCEEDING:
            self._events.append(CancelArrived(invite.key, request, source))

    def _answer(self, request: Request, status: int, headers: Iterable[tuple[str, str]] = ()) -> Response:
        return response_to(request, status, to_tag=self.tags.of(request), headers=headers)

    # --- carrying out ------------------------------------------------------------------------------------------------

    def _carry_out(self, transaction: Transaction, event: Event, now: float) -> tuple[Action, ...]:
        """What the machine says, but for messages passed on and ACKs, which are the caller's."""
        actions = transaction.step(event, now)
        for action in actions:
            match action:
                case Action.SEND if transaction.client:
                    self._out.append((transaction.hop, transaction.request))
                case Action.SEND if transaction.response is not None:
                    self._out.append((transaction.hop, transaction.response))
                case Action.TIMED_OUT:
                    self._note_silence(transaction)
                    self._events.append(RequestTimedOut(transaction.key))
                case Action.FAILED:
                    self._events.append(RequestFailed(transaction.key))
        if transaction.state is State.TERMINATED:
            self._forget(transaction)
        return actions

    def _note_silence(self, transaction: Transaction) -> None:
        hop = transaction.hop
        if hop.reliable:
            self._silent[hop] = max(transaction.started_at, self._silent.get(hop, transaction.started_at))

    def _forget(self, transaction: Transaction) -> None:
        if self._live.pop(transaction.key, None) is None:
            return
        if transaction.client:
            self._events.append(TransactionEnded(transaction.key))
        else:
            request = transaction.request
            self._merged.pop((request.from_.tag or "", request.call_id, str(request.cseq)), None)
            self._trying.pop(transaction.key, None)

    def _schedule(self, transaction: Transaction) -> None:
        deadline, scheduled = transaction.deadline, transaction.scheduled_at
        if deadline is None or transaction.key not in self._live or (scheduled is not None and scheduled <= deadline):
            return  # an earlier look at it is on the list already, which puts the next one there
        transaction.scheduled_at = deadline
        heapq.heappush(self._due, (deadline, transaction.key))

    def _try(self, key: str, transaction: Transaction, now: float) -> None:
        """100 Trying, where the user has said nothing for too long (RFC 3261, 17.2.1)."""
        at = self._trying.get(key)
        if at is not None and now >= at and transaction.response is None:
            del self._trying[key]
            transaction.response = response_to(transaction.request, 100)
            self._carry_out(transaction, Event.PROVISIONAL, now)


def _kind(response: Response) -> Event:
    if response.status < 200:
        return Event.PROVISIONAL
    return Event.SUCCESS if response.status < 300 else Event.FAILURE


def _client_key(request: Request) -> str:
    """RFC 3261, 17.1.3: the branch, and the method, for a CANCEL has the branch of its INVITE."""
    return f"c {request.via.branch} {request.method}"


def _server_key(request: Request, method: str) -> str:
    """RFC 3261, 17.2.3: branch, sent-by and method; of those who know no such branch what names the request otherwise."""
    via = request.via
    branch = via.branch or ""
    if branch.startswith(COOKIE) and len(branch) > len(COOKIE):
        return f"s {branch} {via.host.lower()}:{via.port} {method}"
    to_tag = "" if method == "INVITE" else request.to.tag or ""
    return f"s {request.uri} {to_tag} {request.from_.tag} {request.call_id} {request.cseq.number} {via} {method}"


def _received(request: Request, source: Hop) -> Request:
    """The request with what its top Via lacks: where it really came from (RFC 3261, 18.2.1; RFC 3581, 4). The rest of that Via goes
    back as it was written, odd as it may be; one that cannot be read goes back as it is."""
    via = request.top_via
    if via is None or len(via.params) > PARAMS_MAX - 2:
        return request  # no room: where it came from is known anyhow, and nobody sane sends so many
    asked = "rport" in via.params
    if not asked and via.host == source.host:
        return request
    first, *rest = request.headers.elements("Via")
    said = {"received": source.host, **({"rport": str(source.port)} if asked else {})}
    if {**via.params, **said} == via.params:
        return request
    kept = [part for part in split_outside_quotes(first, ";") if part.partition("=")[0].strip().lower() not in said]
    top = ";".join([*kept, *(f"{name}={value}" for name, value in said.items())])
    pairs: list[tuple[str, str]] = [("Via", value) for value in (top, *rest)]
    others = [pair for pair in request.headers if pair[0].lower() != "via"]
    return replace(request, headers=Headers([*pairs, *others]))


def _answered_at(request: Request, source: Hop) -> Hop:
    """Where answers go (RFC 3261, 18.2.2; RFC 3581, 4): back over the connection, or to the port that `rport` asks for."""
    via = request.top_via
    if via is None or source.reliable or "rport" in via.params:
        return source
    return Hop(source.transport, source.host, via.port or 5060)


def _ack_of(request: Request, response: Response) -> Request:
    """The ACK of a final answer other than 2xx: of the INVITE's own transaction (RFC 3261, 17.1.1.3)."""
    pairs = [
        ("Via", str(request.via)),
        *(("Route", route) for route in request.headers.all("Route")),
        ("Max-Forwards", "70"),
        ("From", str(request.from_)),
        ("To", response.headers.get("To") or ""),
        ("Call-ID", request.call_id),
        ("CSeq", f"{request.cseq.number} ACK"),
    ]
    return Request(method="ACK", uri=request.uri, headers=Headers(pairs))
