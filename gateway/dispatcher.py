"""The only loop that sends: takes tickets within a provider's window, claims, sends one attempt each, records the outcome."""

from __future__ import annotations

import asyncio
from collections import Counter as Counted
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from prometheus_client import Counter, Gauge

from channels.channel import Channel, Message
from channels.conversation import Conversing, Stop
from channels.outcome import Accepted, Delivered, Outcome, PermanentFailure, Reason, RetryLater
from gateway.attempts import Claim, ClaimDeliveries, RecordOutcome, RenewLeases
from gateway.breaker import Breaker, Circuit
from gateway.clock import Clock
from gateway.delivery import Ignored
from gateway.patience import ANSWER_S
from gateway.policy import RetryPolicy
from gateway.progress import Tariffs
from gateway.queue.port import Queue, QueueUnavailable, Ticket
from gateway.reroute import RerouteDeliveries
from gateway.store.errors import StoreError, StoreStopped, StoreUnavailable
from gateway.store.journal import Journal

log = structlog.get_logger(__name__)

CLAIM_MAX = 200  # deliveries of one claim: one commit for them, and the first is on the wire soon
EMERGENCY_SHARE = 10  # one slot in ten of a provider's window, at least one, is kept for emergencies
RECORD_AGAIN_S = 1.0  # pause before an outcome is recorded once more while the store cannot write
ENDS_ASKED_S = 1.0  # how long a phone may ring on for an alert that has ended, where no word of it comes
ENDS_REMEMBERED = timedelta(seconds=60)  # longer than it takes to make a message that was claimed before the end
IDLE_WHEN_DOWN_S = 0.1  # how long an unavailable provider's queue rests before its tickets are looked at again
WATCH_S = 0.5  # how late it may be seen that an attempt has been without an outcome for too long
OVERDUE = RetryLater(reason=Reason(code="answer_overdue"), maybe_sent=True)

ATTEMPTS = Counter("tocsin_attempts_total", "Attempts by provider and outcome", ["provider", "outcome"])
IN_FLIGHT = Gauge("tocsin_attempts_in_flight", "Attempts under way", ["provider"])
OVERDUE_COUNT = Counter("tocsin_attempts_overdue_total", "Attempts that had no outcome after six seconds", ["provider"])
FENCED = Counter("tocsin_attempts_fenced_total", "Outcomes of workers that woke up too late", ["provider"])
OUTCOMES = ("accepted", "delivered", "failed", "unsure", "retry_later")
"""What `tocsin_attempts_total` counts: the words of `_word`."""


JOINED_MAX = 200
"""Attempts beyond the slots: that many alerts at once for people who are on the phone already. Others wait for a slot."""


@dataclass(slots=True)
class _Slots:
    """How many attempts of one provider may start, some of them kept for emergencies."""

    limit: int
    taken: int = 0
    lent: int = 0
    """Those of attempts that only wait for another one, and so leave their slot to others."""
    freed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def reserve(self) -> int:
        return 0 if self.limit == 1 else max(1, self.limit // EMERGENCY_SHARE)

    @property
    def free(self) -> int:
        return self.limit + self.lent - self.taken

    def give_back(self) -> None:
        self.taken -= 1
        self.freed.set()


@dataclass(slots=True)
class _UnderWay:
    """An attempt that has no outcome yet. `overdue`: it is held against the provider; `doubted`: the delivery has gone on without it,
    and its slot is another's."""

    claim: Claim
    started: float
    overdue: bool = False
    doubted: bool = False


class Dispatcher:
    """One provider's loop. `render` makes the message of a claim; `ended_among` tells which of some deliveries are not wanted any
    more, with the name of whoever has their alert, or ""; `recovered` is told when the provider is at its work again."""

    def __init__(
        self,
        *,
        channel: Channel,
        queue: Queue,
        journal: Journal,
        policy: RetryPolicy,
        tariffs: Tariffs,
        clock: Clock,
        breaker: Breaker,
        render: Callable[[Claim], Coroutine[Any, Any, Message]],
        ended_among: Callable[[Sequence[str]], Awaitable[Mapping[str, str]]],
        recovered: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.channel = channel
        self.provider = channel.provider
        self.breaker = breaker
        self._queue = queue
        self._journal = journal
        self._policy = policy
        self._tariffs = tariffs
        self._clock = clock
        self._render = render
        self._slots = _Slots(limit=max(1, channel.capabilities.concurrent_sends))
        self._waiting = False
        self._joined = 0
        self._attempts: set[asyncio.Task[None]] = set()
        self._sending: dict[tuple[str, int], _UnderWay] = {}
        self._ended: dict[str, datetime] = {}
        self._ended_among = ended_among
        self._recovered = recovered
        self._in_flight = IN_FLIGHT.labels(self.provider)
        for outcome in OUTCOMES:  # there from the start, at 0: what appears at 1 has not risen for Prometheus
            ATTEMPTS.labels(self.provider, outcome)
        OVERDUE_COUNT.labels(self.provider)
        FENCED.labels(self.provider)

    async def run(self) -> None:
        """Sends until cancelled; then waits for the attempts under way (the channel bounds each in time)."""
        keeping = [asyncio.create_task(self._renew())]
        if isinstance(self.channel, Conversing):
            keeping.append(asyncio.create_task(self._ask_for_ends(self.channel)))
        else:  # what talks with people may take its time
            keeping.append(asyncio.create_task(self._watch()))
        try:
            while True:
                with suppress(QueueUnavailable):
                    await self._round()
        finally:
            try:
                if self._attempts:
                    await asyncio.gather(*self._attempts, return_exceptions=True)
            finally:  # only now: a call that is waited for keeps its lease, or another process would call the same phone
                for task in keeping:
                    task.cancel()

    def joined(self, change: int) -> None:
        """So many attempts more, or below 0 fewer, wait for what another one has under way: others may use their slots."""
        self._joined += change
        self._slots.lent = min(self._joined, JOINED_MAX)
        self._slots.freed.set()

    async def _renew(self) -> None:
        """Keeps the leases of attempts that take longer than a third of one."""
        third_s = self._policy.lease_s / 3
        while True:
            await asyncio.sleep(third_s)
            since = self._clock.monotonic() - third_s
            claims = tuple(one.claim for one in self._sending.values() if one.started <= since and not one.doubted)
            for start in range(0, len(claims), CLAIM_MAX):
                command = RenewLeases(
                    claims=claims[start : start + CLAIM_MAX], policy=self._policy, tariffs=self._tariffs
                )
                try:
                    await self._journal.do(command)
                except StoreError as error:
                    log.warning("leases_not_renewed", provider=self.provider, error=str(error))

    async def _watch(self) -> None:
        """Sees which attempts have no outcome in time: that is held against the provider, and the urgent ones go elsewhere."""
        while True:
            await asyncio.sleep(WATCH_S)
            now = self._clock.monotonic()
            for one in list(self._sending.values()):
                if one.started > now - ANSWER_S:
                    break  # they are in the order in which they began
                nothing_since = max(one.started, self.breaker.answered_at)
                if not one.overdue and nothing_since <= now - ANSWER_S - self.channel.capabilities.interval_s:
                    one.overdue = True
                    OVERDUE_COUNT.labels(self.provider).inc()
                    self.breaker.saw(OVERDUE, now)
                    self._slots.freed.set()  # with an open circuit what waits for a slot goes elsewhere
                if not one.doubted and self._policy.answer_s(one.claim.delivery) is not None:
                    one.doubted = True
                    self._slots.give_back()
                    self._keep(self._record(one.claim, OVERDUE))
            if self._slots.free <= 0 and all(one.overdue for one in self._sending.values()):
                self.breaker.stands_still(now)
                self._slots.freed.set()

    async def _ask_for_ends(self, channel: Conversing) -> None:
        """Takes back what rings or talks for an alert that has ended, where no word of it came: the queue that brings it from
        other processes may be away, or the process that ended it may have died."""
        while True:
            await asyncio.sleep(ENDS_ASKED_S)
            under_way = [one.claim.delivery.id for one in self._sending.values()]
            for start in range(0, len(under_way), CLAIM_MAX):
                try:
                    ended = await self._ended_among(under_way[start : start + CLAIM_MAX])
                except StoreError as error:
                    log.warning("ends_not_known", provider=self.provider, error=str(error))
                    break
                for delivery_id, by in ended.items():
                    channel.stop(delivery_id, Stop(by=by))

    async def _round(self) -> None:
        tickets = await self._take()
        if not tickets:
            return
        try:
            await self._start(tickets)
        except StoreError as error:
            # nothing was claimed: the tickets come back through the rescuer
            log.warning("claim_failed", provider=self.provider, error=str(error))
            await asyncio.sleep(RECORD_AGAIN_S)
        finally:
            await self._queue.done(self.provider, tickets)

    async def _take(self) -> list[Ticket]:
        """Tickets for free slots: of any urgency while more than the reserve is free, else emergencies alone. While the circuit is
        not closed, tickets of all that waits."""
        slots = self._slots
        slots.freed.clear()
        open_slots = slots.free - slots.reserve
        if open_slots <= 0 and self.breaker.circuit is not Circuit.CLOSED:
            return await self._queue.take(self.provider, CLAIM_MAX)  # they need no slot: they go elsewhere
        if slots.free <= 0:
            await slots.freed.wait()
            return []
        if open_slots > 0:
            self._waiting = True  # for tickets: nothing is in front of a delivery that is accepted now
            try:
                return await self._queue.take(self.provider, min(open_slots, CLAIM_MAX))
            finally:
                self._waiting = False
        taking = asyncio.ensure_future(self._queue.take(self.provider, slots.free, urgent_only=True))
        freed = asyncio.ensure_future(slots.freed.wait())
        try:
            await asyncio.wait({taking, freed}, return_when=asyncio.FIRST_COMPLETED)
            return taking.result() if taking.done() else []
        finally:
            freed.cancel()
            if not taking.done():
                taking.cancel()
                with suppress(asyncio.CancelledError, QueueUnavailable):
                    # a take that won the race against its cancellation is lost to nobody: the rescuer finds it
                    await taking

    async def _start(self, tickets: list[Ticket]) -> None:
        ids = tuple(ticket.delivery_id for ticket in tickets)
        if not self.breaker.allows(self._clock.monotonic()):
            trial = self.breaker.tried_by_urgent(self._clock.monotonic())
            stuck = await self._journal.do(RerouteDeliveries(provider=self.provider, delivery_ids=ids, policy=self._policy,
                                                             tariffs=self._tariffs, trial=trial))  # fmt: skip
            if not stuck or not self.breaker.allows_urgent(self._clock.monotonic()):
                await asyncio.sleep(IDLE_WHEN_DOWN_S)
                return
            ids = stuck[:1]
        room = 1 if self.breaker.circuit is Circuit.HALF_OPEN else max(1, self._slots.free)
        if len(ids) > room:  # one attempt tries the provider, the others wait for it; or the circuit closed just now
            await self._queue.announce(self.provider, tickets[room:])
            ids = ids[:room]
        urgent = min(ticket.urgency for ticket in tickets) == 0
        command = ClaimDeliveries(provider=self.provider, delivery_ids=ids, policy=self._policy, tariffs=self._tariffs)
        claiming = asyncio.ensure_future(self._journal.do(command, urgent=urgent))
        try:
            claims = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            for claim in await claiming:  # they are on record, so they are sent: stopping waits for attempts under way
                self.begin(claim)
            raise
        if not claims:
            self.breaker.not_tried()
        for claim in claims:
            self.begin(claim)

    def reserve(self, n: int) -> bool:
        """Takes `n` slots for deliveries that are being accepted, so that they are claimed in the same commit and need no
        ticket. Only while nothing waits in front of them; what is not begun is to be given back."""
        idle = self._waiting and self._slots.free - n >= self._slots.reserve
        if not idle or self.breaker.circuit is not Circuit.CLOSED:
            return False
        self._slots.taken += n
        return True

    def give_back(self, n: int) -> None:
        """Gives reserved slots back."""
        for _ in range(n):
            self._slots.give_back()

    def begin(self, claim: Claim, *, reserved: bool = False) -> None:
        """Starts the attempt of a claim that is committed."""
        if not reserved:
            self._slots.taken += 1
        self._in_flight.inc()
        self._keep(self._attempt(claim))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._attempts.add(task)
        task.add_done_callback(self._attempts.discard)

    def stop(self, alert_id: str, stop: Stop) -> None:
        """Takes back the attempts for an alert that has ended: what has not left stays here, what rings is hung up."""
        self._remember_end(alert_id)
        if isinstance(self.channel, Conversing):
            for one in self._sending.values():
                if one.claim.alert.id == alert_id:
                    self.channel.stop(one.claim.delivery.id, stop)

    def _remember_end(self, alert_id: str) -> None:
        now = self._clock.now()
        self._ended.pop(alert_id, None)  # so that the oldest stay in front
        self._ended[alert_id] = now
        while now - next(iter(self._ended.values())) > ENDS_REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def _is_over(self, claim: Claim) -> bool:
        """Whether the alert ended after it was claimed, or in the same commit; handed back it is claimed anew."""
        ended_at = self._ended.get(claim.alert.id)
        return ended_at is not None and claim.attempt.started_at <= ended_at

    async def _attempt(self, claim: Claim) -> None:
        attempt = (claim.delivery.id, claim.delivery.epoch)
        one = self._sending[attempt] = _UnderWay(claim, self._clock.monotonic())
        try:
            outcome = await self._send(one)
            ATTEMPTS.labels(self.provider, _word(outcome)).inc()
            await self._record(claim, outcome, doubted=one.doubted)
        finally:
            # only now: what a crash can leave undecided, and so what may be sent twice, is never more than the slots
            del self._sending[attempt]
            if not one.doubted:
                self._slots.give_back()
            self._in_flight.dec()

    async def _send(self, one: _UnderWay) -> Outcome:
        """What the channel says, and what it shows of the provider; where it was not asked, nothing is held against it."""
        claim = one.claim
        try:
            message = await self._render(claim)
        except StoreError as error:
            # an attachment could not be read just now: nothing has left, and nothing is wrong with the message
            self.breaker.not_tried()
            return RetryLater(reason=Reason(code="store_unavailable", detail=str(error)), destination=True)
        except Exception as error:
            log.exception("message_not_rendered", delivery=claim.delivery.id)
            self.breaker.not_tried()
            return PermanentFailure(reason=Reason(code="not_rendered", detail=str(error), alarm=True))
        if self._is_over(claim):
            self.breaker.not_tried()
            reason = Reason(code="cancelled", detail="the alert ended before anything had left")
            return RetryLater(reason=reason, everywhere=True)
        try:
            outcome = await self.channel.send(message)
        except Exception as error:
            # a channel must not raise for what a provider does: a bug of ours, after which bytes may have left
            log.exception("channel_raised", provider=self.provider, delivery=claim.delivery.id)
            outcome = RetryLater(reason=Reason(code="channel_fault", detail=repr(error), alarm=True), maybe_sent=True)
        silent = isinstance(outcome, RetryLater) and outcome.maybe_sent
        counted = silent and one.overdue  # when it was overdue
        if not counted and self.breaker.saw(outcome, self._clock.monotonic()):
            self._recovered(self.provider)
        return outcome

    async def _record(self, claim: Claim, outcome: Outcome, *, doubted: bool = False) -> None:
        command = RecordOutcome(
            claim=claim,
            outcome=outcome,
            receipts=self.channel.capabilities.receipts,
            policy=self._policy,
            tariffs=self._tariffs,
        )
        while True:
            try:
                after = await self._journal.do(command, urgent=claim.delivery.urgency == 0)
                if after.epoch != claim.delivery.epoch and not doubted:
                    FENCED.labels(self.provider).inc()
                    log.warning("outcome_fenced", delivery=claim.delivery.id, provider=self.provider)
            except Ignored:
                pass
            except StoreStopped:
                log.error(
                    "outcome_lost", delivery=claim.delivery.id
                )  # its lease is lost, and the next process doubts it
            except StoreUnavailable as error:
                # it happened: it has to be written down, however long the disk is full
                log.warning("outcome_not_recorded", delivery=claim.delivery.id, error=str(error))
                await asyncio.sleep(RECORD_AGAIN_S)
                continue
            except Exception:
                # a fault of ours: the lease is not renewed any more, so the rescuer doubts the attempt and goes on
                log.exception("outcome_refused", delivery=claim.delivery.id, provider=self.provider)
            return


class Reservation:
    """Slots taken for deliveries that are being accepted. Whoever waits for the commit closes it, also when cancelled."""

    def __init__(self, dispatchers: Mapping[str, Dispatcher]) -> None:
        self._dispatchers = dispatchers
        self._left: Counted[str] = Counted()

    def add(self, provider: str, n: int) -> bool:
        """Takes `n` slots of the provider, or none."""
        taken = self._dispatchers[provider].reserve(n)
        if taken:
            self._left[provider] += n
        return taken

    def begin(self, claim: Claim) -> None:
        """Starts an attempt in one of the slots; beyond them where they were given back meanwhile."""
        provider = claim.attempt.provider
        reserved = self._left[provider] > 0
        if reserved:
            self._left[provider] -= 1
        self._dispatchers[provider].begin(claim, reserved=reserved)

    def close(self) -> None:
        """Gives back what is left."""
        for provider, n in self._left.items():
            self._dispatchers[provider].give_back(n)
        self._left.clear()


def _word(outcome: Outcome) -> str:
    match outcome:
        case Accepted():
            return "accepted"
        case Delivered():
            return "delivered"
        case PermanentFailure():
            return "failed"
        case RetryLater():
            return "unsure" if outcome.maybe_sent else "retry_later"
