"""A simulated SMSC on a real socket, for tests, drills and the demo: nothing leaves the machine. Decides nothing."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Generic, Literal, TypeVar

from channels.door import Door
from channels.guests import Guests, Refusal
from channels.sms.address import SHORT_CODE_DIGITS_MAX
from channels.sms.concatenation import udh
from channels.sms.encoding import Segmented, segment
from channels.sms.smpp.behaviour import Decision, Handset, Judge, Received, SmscBehaviour, receipt
from channels.sms.smpp.events import Answered, BindRequested, CloseCause, Closed, Event, MessageReceived, Unanswered
from channels.sms.smpp.limits import Limits
from channels.sms.smpp.operations import Role, State
from channels.sms.smpp.pdu import BindMode, DataSm, DeliverSm, SubmitSm
from channels.sms.smpp.session import Session
from channels.sms.smpp.wire import (
    ESM_UDH,
    ROK,
    RTHROTTLED,
    TLV_MESSAGE_PAYLOAD,
    TLV_SAR_REFERENCE,
    TLV_SAR_SEQUENCE,
    TLV_SAR_TOTAL,
)
from channels.stream import StreamDriver

SESSIONS_MAX = 200
"""Connections at once: more are closed, for SMPP has no word before a bind. One that does not bind is closed after `bind_s`."""
SESSIONS_OF_ONE_MAX = 100
"""Of these, from one network."""
DELAYED_MAX = 100_000
"""Answers or receipts that wait for their time: of more the oldest leaves early."""
RECEIVED_MAX = 10_000
"""Messages kept for the tests to look at."""
UNDELIVERED_MAX = 100_000
"""Receipts and messages that wait for a receiver; beyond it the oldest is given up."""
DELIVER_WINDOW = 1000
"""Unanswered deliver_sm per session."""
STOP_S = 5.0
"""How long `stop` waits for the connections to be gone."""

_LIMITS = Limits(window=DELIVER_WINDOW, inbound_max=20_000)
_ANYBODY = ""

T = TypeVar("T")


@dataclass(kw_only=True, slots=True)
class Counters:
    """What happened so far."""

    binds: int = 0
    binds_refused: int = 0
    unbinds: int = 0
    """Sessions that ended with an unbind of the other side."""
    submits: int = 0
    accepted: int = 0
    throttled: int = 0
    rejected: int = 0
    drops: int = 0
    deliveries: int = 0
    """deliver_sm sent: receipts and messages, first and again."""
    confirmed: int = 0
    refused: int = 0
    """Answers to them, by status."""


class SmscSimulator:
    """An SMSC that takes every bind and message unless `SmscBehaviour` says otherwise."""

    def __init__(self, behaviour: SmscBehaviour | None = None) -> None:
        self.counters = Counters()
        self.binds: deque[tuple[BindMode, str]] = deque(maxlen=1000)
        """The binds taken: mode and system_id."""
        behaviour = behaviour or SmscBehaviour()
        chance = Random(behaviour.seed)  # noqa: S311 - a simulator must be repeatable, and guards nothing
        self._judge = Judge(behaviour, chance.random)
        self._handset = Handset(received_max=RECEIVED_MAX)
        self._server: asyncio.Server | None = None
        self._peers: set[_Peer] = set()
        self._guests = Guests("smsc", most=SESSIONS_MAX, most_of_one=SESSIONS_OF_ONE_MAX)
        self._undelivered: dict[str, deque[DeliverSm]] = {}
        self._waiting = 0
        self._answers = _DelayLine(_answer, lambda: self._reached("answers_waiting", DELAYED_MAX))
        self._receipts = _DelayLine(self._deliver, lambda: self._reached("receipts_delayed", DELAYED_MAX))
        self._again = _DelayLine(self._deliver, lambda: self._reached("redeliveries_waiting", DELAYED_MAX))
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._mo_reference = 0

    @property
    def received(self) -> deque[Received]:
        """The latest messages, each put together from its parts."""
        return self._handset.received

    @property
    def links(self) -> int:
        """Sessions that are bound now."""
        return sum(peer.session.state not in (State.OPEN, State.CLOSED) for peer in self._peers)

    def behave(self, behaviour: SmscBehaviour) -> None:
        """Behaves differently from now on; ids and chance go on where they were."""
        self._judge.behaviour = behaviour

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None) -> int:
        """Listens; the port, chosen by the system where `port` is 0. Raises OSError."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Door(self._guests, lambda: _Peer(self).driver), host, port, ssl=tls
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Closes the port and every connection."""
        if self._server is not None:
            self._server.close()
        for line in (self._answers, self._receipts, self._again):
            line.stop()
        peers = list(self._peers)
        self.drop_links()
        for peer in peers:
            async with asyncio.timeout(STOP_S):
                await peer.driver.finished.wait()

    def drop_links(self) -> None:
        """Cuts every connection, as a failing network would."""
        for peer in list(self._peers):
            peer.give_up()

    def send_mo(
        self,
        source: str,
        destination: str,
        text: str,
        *,
        concatenation: Literal["udh", "sar", "payload"] = "udh",
        system_id: str = _ANYBODY,
    ) -> None:
        """Delivers a message from a phone, to the ESME named or to any; it waits until one is bound. Digits only."""
        segmented = segment(text, concatenation=concatenation)
        self._mo_reference = (self._mo_reference + 1) % 256
        for pdu in _mobile_originated(source, destination, segmented, concatenation, self._mo_reference):
            self._deliver((system_id, pdu))

    async def wait_for(self, predicate: Callable[[SmscSimulator], bool], timeout: float = 10.0) -> None:
        """Returns as soon as the predicate is true of this simulator. Raises TimeoutError."""
        if predicate(self):
            return
        waiter = (lambda: predicate(self), asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter[1]
        finally:
            self._waiters.remove(waiter)

    # -- what the peers tell --------------------------------------------------------------------------------------

    def on_connected(self, peer: _Peer) -> None:
        """A connection was taken."""
        self._peers.add(peer)

    def on_bind(self, peer: _Peer, event: BindRequested) -> None:
        """Takes or refuses a bind, then delivers what waited for it."""
        request = event.request
        status = self._judge.bind_status(request.system_id, request.password)
        peer.system_id = request.system_id
        peer.respond(request.sequence, status, "TOCSIN")
        if status:
            self.counters.binds_refused += 1
        else:
            self.counters.binds += 1
            peer.number = self.counters.binds
            self.binds.append((request.mode, request.system_id))
            self._deliver_waiting(peer)
        self._notify()

    def on_submit(self, peer: _Peer, message: SubmitSm | DataSm) -> None:
        """Takes or refuses a message."""
        behaviour, counters = self._judge.behaviour, self.counters
        counters.submits += 1
        drop = behaviour.drop_every > 0 and counters.submits % behaviour.drop_every == 0
        if not behaviour.mute and peer.number > behaviour.mute_binds:
            decision = self._judge.decide(peer.now, message.destination_addr)
            taken = self._take(peer, message, decision) if decision.status == ROK else None
            if taken is not None and behaviour.receipt_first:
                self._receipts.put(behaviour.receipt_delay_s, taken)
            if not drop:
                self._answers.put(behaviour.response_delay_s, (peer, message.sequence, decision))
            if taken is not None and not behaviour.receipt_first:
                self._receipts.put(behaviour.response_delay_s + behaviour.receipt_delay_s, taken)
            counters.throttled += decision.status == RTHROTTLED
            counters.rejected += decision.status not in (ROK, RTHROTTLED)
        if drop:
            counters.drops += 1
            peer.give_up()
        self._notify()

    def on_answered(self, peer: _Peer, pdu: DeliverSm, status: int) -> None:
        """A receipt or message was confirmed, or refused and is delivered again later."""
        if status == ROK:
            self.counters.confirmed += 1
        else:
            self.counters.refused += 1
            self._again.put(self._judge.behaviour.redeliver_after_s, (peer.system_id, pdu))
        self._deliver_waiting(peer)
        self._notify()

    def on_unanswered(self, peer: _Peer, pdu: DeliverSm) -> None:
        """A receipt or message was lost with its connection, or not answered in time."""
        self._again.put(self._judge.behaviour.redeliver_after_s, (peer.system_id, pdu))

    def on_closed(self, peer: _Peer, event: Closed) -> None:
        """A connection ended."""
        self._peers.discard(peer)
        refusal = _REFUSALS.get(event.cause)
        if refusal is not None:
            self._guests.refused(self._guests.network(peer.driver), refusal, peer.now)
        self._guests.leave(peer.driver)
        self.counters.unbinds += event.cause.value == "unbound_by_peer"
        self._notify()

    # -- inner workings -------------------------------------------------------------------------------------------

    def _take(self, peer: _Peer, message: SubmitSm | DataSm, decision: Decision) -> tuple[str, DeliverSm] | None:
        """Gives the message to the handset; its receipt and for whom that is, if one was asked for."""
        self.counters.accepted += 1
        text = self._handset.receive(message, decision.message_id)
        if not (self._judge.behaviour.receipts and message.registered_delivery & 1):
            return None
        return peer.system_id, receipt(message, decision, text, datetime.now(UTC))

    def _deliver(self, delivery: tuple[str, DeliverSm]) -> None:
        """Sends a receipt or message to its ESME by the session with least to do, or keeps it for the next bind."""
        system_id, pdu = delivery
        peers = [peer for peer in self._peers if system_id in (_ANYBODY, peer.system_id) and peer.receives]
        if peers:
            self.counters.deliveries += 1
            min(peers, key=lambda peer: peer.session.outstanding).deliver(pdu)
            return
        self._undelivered.setdefault(system_id, deque()).append(pdu)
        self._waiting += 1
        if self._waiting > UNDELIVERED_MAX:
            self._reached("receipts_not_fetched", UNDELIVERED_MAX)
            self._give_up_oldest(max(self._undelivered, key=lambda one: len(self._undelivered[one])))

    def _reached(self, bound: str, most: int) -> None:
        self._guests.reached(bound, most, asyncio.get_running_loop().time())

    def _give_up_oldest(self, system_id: str) -> None:
        waiting = self._undelivered[system_id]
        waiting.popleft()
        self._waiting -= 1
        if not waiting:
            del self._undelivered[system_id]

    def _deliver_waiting(self, peer: _Peer) -> None:
        for system_id in (peer.system_id, _ANYBODY):
            waiting = self._undelivered.get(system_id)
            while waiting and peer.receives:
                self.counters.deliveries += 1
                self._waiting -= 1
                peer.deliver(waiting.popleft())
            if waiting is not None and not waiting:
                del self._undelivered[system_id]

    def _notify(self) -> None:
        for predicate, future in self._waiters:
            if not future.done() and predicate():
                future.set_result(None)


_REFUSALS = {CloseCause.BIND_UNANSWERED: Refusal.TOO_SLOW, CloseCause.OUT_OF_STEP: Refusal.TOO_LARGE}
"""What ends of a session are bounds of ours: the log tells of them."""


class _Peer:
    """One connection to the simulator."""

    def __init__(self, simulator: SmscSimulator) -> None:
        self._loop = asyncio.get_running_loop()
        self._simulator = simulator
        self._delivering: dict[int, DeliverSm] = {}
        self.system_id = ""
        self.number = 0
        """Which of the sessions it was that bound."""
        self.session = Session(Role.SMSC, _LIMITS, self._loop.time())
        self.driver: StreamDriver[Event] = StreamDriver(
            self.session, self._on_event, lambda: simulator.on_connected(self)
        )

    @property
    def now(self) -> float:
        return self._loop.time()

    @property
    def receives(self) -> bool:
        """Whether it takes a deliver_sm now."""
        return self.session.state in (State.BOUND_RX, State.BOUND_TRX) and self.session.free > 0

    def respond(self, sequence: int, status: int, name: str) -> None:
        self.session.respond(sequence, status, name)
        self.driver.wake()

    def deliver(self, pdu: DeliverSm) -> None:
        self._delivering[self.session.send(pdu, self.now)] = pdu
        self.driver.wake()

    def give_up(self) -> None:
        self.session.give_up("dropped by the simulator")
        self.driver.wake()

    def _on_event(self, event: Event) -> None:
        match event:
            case MessageReceived(request=request):
                # What was read in one go with the submit that made the simulator drop the link counts as never read.
                if not self.session.closed and not isinstance(request, DeliverSm):
                    self._simulator.on_submit(self, request)
            case Answered():
                self._simulator.on_answered(self, self._delivering.pop(event.sequence), event.status)
            case Unanswered():
                self._simulator.on_unanswered(self, self._delivering.pop(event.sequence))
            case BindRequested():
                self._simulator.on_bind(self, event)
            case Closed():
                self._simulator.on_closed(self, event)
            case _:  # an SMSC is told nothing else
                pass


def _answer(answer: tuple[_Peer, int, Decision]) -> None:
    peer, sequence, decision = answer
    peer.respond(sequence, decision.status, decision.message_id)


class _DelayLine(Generic[T]):
    """Does something with each item after a delay, in order, with one timer for all of them."""

    def __init__(self, act: Callable[[T], None], full: Callable[[], None]) -> None:
        """`full` is called when something leaves early, since too much waits."""
        self._act = act
        self._full = full
        self._items: deque[tuple[float, T]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, delay_s: float, item: T) -> None:
        """Acts after `delay_s`, or at once if that is 0 and nothing is before it."""
        if delay_s <= 0 and not self._items:
            self._act(item)
            return
        loop = asyncio.get_running_loop()
        self._items.append((loop.time() + delay_s, item))
        if len(self._items) > DELAYED_MAX:
            self._full()
            self._act(self._items.popleft()[1])
        if self._timer is None:
            self._timer = loop.call_later(delay_s, self._on_timer)

    def stop(self) -> None:
        """Forgets what is still to come."""
        self._items.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time()
        while self._items and self._items[0][0] <= now:
            self._act(self._items.popleft()[1])
        if self._items and self._timer is None:
            self._timer = loop.call_at(self._items[0][0], self._on_timer)


def _mobile_originated(
    source: str, destination: str, segmented: Segmented, concatenation: str, reference: int
) -> Iterator[DeliverSm]:
    """The deliver_sm of one message from a phone, one a part."""
    for part in segmented.segments:
        esm_class, octets, tlvs = 0, part.octets, dict[int, bytes]()
        if concatenation == "payload":
            octets, tlvs = b"", {TLV_MESSAGE_PAYLOAD: part.octets}
        elif segmented.count > 1 and concatenation == "sar":
            tlvs = {
                TLV_SAR_REFERENCE: reference.to_bytes(2, "big"),
                TLV_SAR_TOTAL: bytes((segmented.count,)),
                TLV_SAR_SEQUENCE: bytes((part.n,)),
            }
        elif segmented.count > 1:
            esm_class, octets = ESM_UDH, udh(reference, segmented.count, part.n, 1) + part.octets
        yield DeliverSm(
            source_addr_ton=1,
            source_addr_npi=1,
            source_addr=source.removeprefix("+"),
            dest_addr_ton=1 if len(destination) > SHORT_CODE_DIGITS_MAX else 3,
            dest_addr_npi=1,
            destination_addr=destination.removeprefix("+"),
            esm_class=esm_class,
            data_coding=segmented.data_coding,
            short_message=octets,
            tlvs=tlvs,
        )
