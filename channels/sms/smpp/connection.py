"""One bound connection to an SMSC: socket, TLS, the queue of submissions, a future for each. It never reconnects."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import deque
from collections.abc import Callable
from typing import Self

import structlog

from channels.deadline import DeadlineTimer
from channels.sms.settings import SmppSettings
from channels.sms.smpp.events import (
    Answered,
    BindRefused,
    Bound,
    Closed,
    Event,
    MessageReceived,
    OutbindReceived,
    PeerLeaving,
    Unanswered,
)
from channels.sms.smpp.lapses import IN_A_ROW, LAPSED_MAX
from channels.sms.smpp.limits import Limits
from channels.sms.smpp.operations import Role
from channels.sms.smpp.pace import Pace
from channels.sms.smpp.pdu import BINDS, BindMode, DataSm, DeliverSm, SubmitSm
from channels.sms.smpp.session import Session
from channels.sms.smpp.status import Action, classify
from channels.sms.smpp.submission import Answer, NoAnswer, NotSent, SubmitResult
from channels.sms.smpp.wire import ROK
from channels.stream import StreamDriver

log = structlog.get_logger(__name__)

OnInbound = Callable[["Connection", DeliverSm | DataSm], None]
"""Called for each inbound message; somebody answers it later with `Connection.respond`."""

OnLate = Callable[[Answer], None]
"""Called with an answer that came when the submission had been given up as unanswered."""

Queued = tuple[float, SubmitSm, "asyncio.Future[SubmitResult]", OnLate | None]
"""A submission that waits for its turn, and until when."""

SILENT_S = 3.0
"""After this long without the oldest answer a session is not given a message that another one could take."""


class BindRefusedError(Exception):
    """The SMSC answered the bind with this command_status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"bind refused: {classify(status).name}")
        self.status = status


class BindLostError(ConnectionError):
    """The connection ended before the bind was answered."""


class Connection:
    """A session that was bound. Made by `open`; over when `closed` is done."""

    def __init__(self, settings: SmppSettings, pace: Pace, on_inbound: OnInbound) -> None:
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[Closed] = self._loop.create_future()
        self.took_messages = False
        """The SMSC accepted at least one message: the link is of use."""
        self._bound: asyncio.Future[Bound] = self._loop.create_future()
        self._answer_s = settings.response_s
        self._session = Session(Role.ESME, _limits(settings), self._loop.time())
        self._driver: StreamDriver[Event] = StreamDriver(self._session, self._on_event)
        self._pace = pace
        self._on_inbound = on_inbound
        self._futures: dict[int, tuple[asyncio.Future[SubmitResult], OnLate | None]] = {}
        self._late: dict[int, OnLate] = {}
        self._probes: set[int] = set()
        self.answered_at = float("-inf")
        """When a message was answered last, by the time of the loop."""
        self.on_lapse: Callable[[Connection], None] | None = None
        """Called when messages were not answered in time."""
        self._urgent: deque[Queued] = deque()
        self._ordinary: deque[Queued] = deque()
        self._timer = DeadlineTimer(self._loop, self._on_timer)

    @classmethod
    async def open(cls, settings: SmppSettings, mode: BindMode, pace: Pace, on_inbound: OnInbound) -> Self:
        """Connects and binds. Raises BindRefusedError, and OSError (TimeoutError, ssl.SSLError, BindLostError too)."""
        connection = cls(settings, pace, on_inbound)
        try:
            async with asyncio.timeout(settings.connect_s):
                await connection._loop.create_connection(
                    lambda: connection._driver, settings.host, settings.port, ssl=_tls(settings)
                )
            connection._ask_to_bind(settings, mode)
            await connection._bound
        except UnicodeError as error:  # what the resolver makes of a name that cannot be one
            connection.give_up("not bound")
            raise OSError(f"host {settings.host!r}: {error}") from error
        except BaseException:
            connection.give_up("not bound")
            raise
        return connection

    @property
    def load(self) -> int:
        """Submissions under way or waiting here."""
        return self._session.outstanding + len(self._urgent) + len(self._ordinary)

    @property
    def outstanding(self) -> int:
        """Submissions without their answer."""
        return self._session.outstanding

    @property
    def usable(self) -> bool:
        """Whether submissions are still taken."""
        return self._session.accepts_messages

    def is_silent(self) -> bool:
        """Whether it has answered no message for so long that another session would be better."""
        if self._session.lapses.in_a_row:
            return True
        lapse = self._session.next_lapse
        return lapse is not None and lapse - self._answer_s + SILENT_S <= self._loop.time()

    def unanswered_since(self) -> float | None:
        """When the first message of those was sent that lapsed in a row, where they are several; None where it does its work."""
        lapses = self._session.lapses
        return None if lapses.since is None or lapses.in_a_row < IN_A_ROW else lapses.since - self._answer_s

    def submit(
        self, message: SubmitSm, *, urgent: bool = False, held_s: float | None = None, on_late: OnLate | None = None
    ) -> asyncio.Future[SubmitResult]:
        """Sends when window and pace allow it within `held_s`, urgent ones first. Cancelling the future withdraws what still
        waits. An answer that comes after `NoAnswer` goes to `on_late`.

        Where it raises, the message has not left and never will: what has left is told by the future, whatever happens.
        """
        future: asyncio.Future[SubmitResult] = self._loop.create_future()
        if not self.usable:
            future.set_result(NotSent(held=False))
            return future
        now = self._loop.time()
        queue = self._urgent if urgent else self._ordinary
        wait_s = self._answer_s if held_s is None else min(held_s, self._answer_s)
        queue.append((now + wait_s, message, future, on_late))
        try:
            self._pump(now)
        except Exception:
            if all(future is not sent for sent, _ in self._futures.values()):
                future.cancel()
                raise
            log.exception("smpp_pump_failed")
        return future

    def respond(self, sequence: int, status: int) -> bool:
        """Answers an inbound message; False when the connection is gone."""
        answered = self._session.respond(sequence, status)
        self._driver.wake()
        return answered

    def unbind(self) -> None:
        """Ends gracefully: what waits is given back, outstanding answers are awaited (bounded), then unbind."""
        self._session.unbind(self._loop.time())
        self._give_back_waiting()
        self._driver.wake()

    def give_up(self, detail: str) -> None:
        """Ends at once."""
        self._session.give_up(detail)
        self._driver.wake()

    # -- inner workings -------------------------------------------------------------------------------------------

    def _ask_to_bind(self, settings: SmppSettings, mode: BindMode) -> None:
        request = BINDS[mode](
            system_id=settings.system_id,
            password=settings.password.get_secret_value(),
            system_type=settings.system_type,
            addr_ton=settings.bind_ton,
            addr_npi=settings.bind_npi,
            address_range=settings.address_range,
        )
        if not self._session.closed:  # the peer may have hung up already; then `_bound` says so
            self._session.bind(request, self._loop.time())
            self._driver.wake()

    def _on_event(self, event: Event) -> None:
        match event:
            case Answered():
                self._on_answer(event)
            case MessageReceived(request=request):
                assert isinstance(request, DeliverSm | DataSm)
                self._on_inbound(self, request)
            case Unanswered():
                self._on_unanswered(event)
            case Bound():
                if not self._bound.done():
                    self._bound.set_result(event)
            case BindRefused():
                if not self._bound.done():
                    self._bound.set_exception(BindRefusedError(event.status))
            case PeerLeaving():
                self._give_back_waiting()
            case Closed():
                self._on_closed(event)
            case OutbindReceived():
                log.info("outbind_ignored", system_id=event.system_id)

    def _on_unanswered(self, event: Unanswered) -> None:
        result = NoAnswer(event.timed_out) if event.maybe_sent else NotSent(held=event.timed_out)
        on_late = self._settle(event.sequence, result)
        self._probes.discard(event.sequence)
        if event.timed_out and event.maybe_sent:
            if on_late is not None:
                self._late[event.sequence] = on_late
                if len(self._late) > LAPSED_MAX:
                    del self._late[next(iter(self._late))]
            if self.on_lapse is not None:
                self._loop.call_soon(self.on_lapse, self)  # not from within the session's own work
        self._pump(self._loop.time())

    def _on_answer(self, event: Answered) -> None:
        answer = Answer(event.status, event.message_id, event.nacked)
        if event.late:
            on_late = self._late.pop(event.sequence, None)
            if on_late is not None:
                on_late(answer)
        else:
            self._settle(event.sequence, answer)  # whatever fails after it
        now = self.answered_at = self._loop.time()
        probe = bool(self._probes) and event.sequence in self._probes
        if probe:
            self._probes.discard(event.sequence)
        if event.status == ROK:
            self.took_messages = True
            self._pace.taken(now, probe=probe)
        else:
            action = classify(event.status).action
            if action is Action.THROTTLED:
                self._pace.throttled(now)
            elif action is Action.BIND_STATE:
                self.unbind()
        if self._urgent or self._ordinary:
            self._pump(now)

    def _on_closed(self, event: Closed) -> None:
        if not self._bound.done():
            self._bound.set_exception(BindLostError(f"bind: {event.cause.value} {event.detail}".rstrip()))
            self._bound.exception()  # `open` may have been cancelled, and then nobody looks at it
        self._give_back_waiting()
        if not self.closed.done():
            self.closed.set_result(event)

    def _settle(self, sequence: int, result: SubmitResult) -> OnLate | None:
        future, on_late = self._futures.pop(sequence)
        if not future.done():
            future.set_result(result)
        return on_late

    def _pump(self, now: float) -> None:
        """Sends what may be sent now, and sets the timer for the rest."""
        while queue := self._urgent or self._ordinary:
            _, message, future, on_late = queue[0]
            if future.done():
                queue.popleft()
                continue
            if self._session.free <= 0:
                break
            if self._pace.next_at(now, urgent=queue is self._urgent) > now:
                break
            queue.popleft()
            try:
                sequence = self._session.send(message, now)
            except (
                Exception
            ) as error:  # LocalProtocolError or worse: a fault of ours in this one message, not written yet
                future.set_exception(error)
                continue
            self._futures[sequence] = (future, on_late)
            if self._pace.sent(now):
                self._probes.add(sequence)
            self._driver.wake()
        else:
            return
        self._arm_timer(now)

    def _arm_timer(self, now: float) -> None:
        """Wakes the pump when the pace allows more, or the oldest waiting submission has waited long enough."""
        at = min((queued[0] for queued in self._urgent), default=math.inf)  # each has its own patience
        if self._ordinary:
            at = min(at, self._ordinary[0][0])
        if self._session.free > 0:
            at = min(at, self._pace.next_at(now, urgent=bool(self._urgent)))
        self._timer.by(at)

    def _on_timer(self) -> None:
        now = self._loop.time()
        due = [queued for queued in self._urgent if queued[0] <= now]
        if due:
            self._urgent = deque(queued for queued in self._urgent if queued[0] > now)
        while self._ordinary and self._ordinary[0][0] <= now:
            due.append(self._ordinary.popleft())
        for queued in due:
            _give_back(queued, held=True)
        self._pump(now)

    def _give_back_waiting(self) -> None:
        self._timer.cancel()
        for queue in (self._urgent, self._ordinary):
            while queue:
                _give_back(queue.popleft(), held=False)


def _give_back(queued: Queued, *, held: bool) -> None:
    future = queued[2]
    if not future.done():
        future.set_result(NotSent(held=held))


def _limits(settings: SmppSettings) -> Limits:
    return Limits(
        window=settings.window,
        response_s=settings.response_s,
        bind_s=settings.connect_s,
        enquire_link_s=settings.enquire_link_s,
        enquire_answer_s=settings.enquire_answer_s,
        drain_s=settings.unbind_wait_s,
    )


def _tls(settings: SmppSettings) -> ssl.SSLContext | None:
    """What to verify the SMSC with. Raises OSError for an authority file that cannot be read."""
    if not settings.tls:
        return None
    context = ssl.create_default_context(cafile=settings.tls_ca)
    if not settings.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
