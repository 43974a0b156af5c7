"""The running broker, put together from its parts: store, journal, queue, dispatchers, reports, rescuer, callbacks.

Which channels there are is told from outside (`gateway.app`); HTTP is served elsewhere.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import structlog
from prometheus_client import Counter

from billing.tariff import Tariff, TariffTable
from channels.channel import Channel, Message
from channels.conversation import Stop
from channels.outcome import Report
from gateway.answered import spare
from gateway.attempts import Claim
from gateway.breaker import Breaker
from gateway.callbacks import CallbackSender
from gateway.clock import Clock
from gateway.decisions import follow_declines
from gateway.dispatcher import Dispatcher, Reservation
from gateway.escalation import Recipient
from gateway.escalator import Escalator
from gateway.intake import ClaimedAtOnce
from gateway.large_work import LargeWork
from gateway.last_resort import LastResort
from gateway.lifecycle import ended_among
from gateway.outbound import OutboundClient, OutboundPolicy
from gateway.planning import Planner
from gateway.policy import RetryPolicy
from gateway.progress import AlertEnded, Announced, CallbackWritten, Tariffs, finish
from gateway.queue.port import Queue, Ticket, Urgency
from gateway.rendering import rendered, text_for
from gateway.reports import ApplyReports
from gateway.rescuer import Rescuer, queued
from gateway.settings import RecipientSettings, Settings
from gateway.store.engine import Store
from gateway.store.errors import StoreUnavailable
from gateway.store.journal import Journal
from gateway.store.reading import attachments_of, read_tariffs
from gateway.store.unit import Unit
from gateway.words import Acknowledged

log = structlog.get_logger(__name__)

ENDED_TOPIC = "alerts.ended"
"""What every process hears of, so that a phone that rings anywhere is hung up within a second."""
DRAIN_S = 35.0  # a graceful stop waits this long for attempts under way: an SMPP answer may take 30 s
REPORTS_REFUSED = Counter(
    "tocsin_reports_refused_total", "Reports that could not be applied: a fault of ours", ["provider"]
)
TARIFFS_AGAIN_S = 5.0  # how late a tariff that another process set takes effect here


Role = Literal["all", "api", "worker"]
"""What a process does: everything, only take requests in, or only send. The latter two share PostgreSQL and Redis."""


class Broker:
    """Everything between the API and the wire, in one process. `run` ends only by cancellation or by a dead writer."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        queue: Queue,
        channels: Mapping[str, Channel],
        clock: Clock,
        role: Role = "all",
    ) -> None:
        self.settings = settings
        self.store = store
        self.queue = queue
        self.channels = channels
        self.clock = clock
        self.tariffs = Tariffs()
        self.role: Role = role
        self.ready = False
        self.names: Mapping[str, str] = {}
        """Of people, by their addresses: so that one human is one, whichever of their phones it is."""
        self.breakers = {provider: Breaker() for provider in channels}
        for provider in channels:
            REPORTS_REFUSED.labels(provider)  # there from the start, at 0
        self.planner = Planner(
            channels=channels,
            routes=settings.routing,
            destinations=settings.destination_policies,
            available=self._available,
            text_for=partial(text_for, zone=settings.messages.zone),
        )
        self.policy = RetryPolicy(
            routes=self.planner.addresses.routes,
            providers=frozenset(channels),
            backoff=settings.delivery.backoff,
            lease_s=settings.delivery.lease_s,
            unsure_s=settings.delivery.unsure_s,
            deaf=frozenset(name for name, channel in channels.items() if not channel.capabilities.receipts),
            available=self._available,
            tried_by_urgent=self._tried_by_urgent,
        )
        self.large = LargeWork()
        self.journal = Journal(store, clock, finish=self._finish, signalled=self._signalled)
        self.last_resort = LastResort(
            recipients=[self._last_recipient(recipient) for recipient in settings.last_resort.recipients]
        )
        self.escalator = Escalator(
            store=store,
            journal=self.journal,
            planner=self.planner,
            tariffs=self.tariffs,
            clock=clock,
            names=lambda: self.names,
            large=self.large,
        )
        self.rescuer = Rescuer(
            store=store,
            journal=self.journal,
            policy=self.policy,
            tariffs=self.tariffs,
            clock=clock,
            look_after_alert=self.escalator.look_after,
        )
        rules = settings.callbacks
        self.outbound_policy = OutboundPolicy(
            allow_private=rules.allow_private,
            allow_http=rules.allow_http,
            allowed_networks=rules.allowed_networks,
        )
        self.outbound = OutboundClient(self.outbound_policy, connections_max=rules.connections_max)
        self.callbacks = CallbackSender(
            store=store,
            journal=self.journal,
            client=self.outbound,
            clock=clock,
            backoff=rules.backoff,
            policy=self.policy,
            response_s=rules.response_s,
            concurrent=rules.connections_max,
        )
        self.dispatchers = {
            provider: Dispatcher(
                channel=channel,
                queue=queue,
                journal=self.journal,
                policy=self.policy,
                tariffs=self.tariffs,
                clock=clock,
                breaker=self.breakers[provider],
                render=self._render,
                ended_among=self._ended_among,
                recovered=self.rescuer.recovered,
            )
            for provider, channel in channels.items()
        }
        self._announcements: dict[str, list[Ticket]] = {}
        self._announcing: set[asyncio.Task[None]] = set()

    def _last_recipient(self, recipient: RecipientSettings) -> Recipient:
        """A recipient of the settings; raises AddressRefused at the start rather than when it is needed."""
        addresses = tuple(self.planner.canonical(address) for address in recipient.addresses)
        return Recipient(person=recipient.name or addresses[0], language=recipient.language, addresses=addresses)

    def _finish(self, unit: Unit) -> None:
        spare(unit, self.names, self.tariffs)
        follow_declines(unit, finish(unit), self.names)
        self.last_resort.follow(unit)

    def _available(self, provider: str) -> bool:
        breaker = self.breakers.get(provider)
        return breaker is not None and breaker.available(self.clock.monotonic())

    def _tried_by_urgent(self, provider: str) -> bool:
        breaker = self.breakers.get(provider)
        return breaker is not None and breaker.tried_by_urgent(self.clock.monotonic())

    # --- running -----------------------------------------------------------------------------------------------------

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Runs until cancelled, then ends gracefully: no new attempts, those under way are waited for, links unbound."""
        journal = asyncio.create_task(self.journal.run(), name="journal")
        links: list[asyncio.Task[None]] = []
        loops: list[asyncio.Task[None]] = []
        drain_s = DRAIN_S
        try:
            await self.outbound.__aenter__()
            await self.queue.start()
            await self.reload_tariffs()
            if self.store.exclusive:
                await self.rescuer.adopt_orphans()
            work = [self.callbacks.run(), self._watch_tariffs()]
            if self.role != "api":
                if not self.queue.shared:
                    await self._rebuild_queue()
                links += [asyncio.create_task(self._link(channel), name=p) for p, channel in self.channels.items()]
                work += [self.rescuer.run(), *(dispatcher.run() for dispatcher in self.dispatchers.values())]
                if self.queue.shared:
                    work.append(self._hear_of_ends())
            loops += [asyncio.create_task(coroutine) for coroutine in work]
            self.ready = True
            started()
            done, _ = await asyncio.wait([journal, *links, *loops], return_when=asyncio.FIRST_COMPLETED)
            drain_s = 0.0  # nothing can be written any more, or not all of it: the sooner a new process takes over
            for task in done:
                if task.exception() is not None:
                    log.error("part_died", part=task.get_name(), error=repr(task.exception()))
                task.result()  # a loop that ends has failed: the process is to end with its error
        finally:
            self.ready = False
            await self._stop(loops, drain_s)
            await self._stop(links, drain_s)
            if drain_s:
                await self.escalator.drain()
            self.large.close()
            await self.outbound.__aexit__(None, None, None)
            await self.queue.close()
            await self._stop([journal], DRAIN_S)

    @staticmethod
    async def _stop(tasks: Sequence[asyncio.Task[None]], within_s: float) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)

    async def _link(self, channel: Channel) -> None:
        async def report(reports: Sequence[Report]) -> None:
            for _ in range(TURNS_FOR_ANSWERS):
                await asyncio.sleep(0)
            try:
                await self._apply(channel, reports)
            except StoreUnavailable:
                raise  # nothing was written: the provider keeps them and sends them again
            except Exception:
                # one of them is more than we can take: it must not keep the others coming back for ever
                for single in reports:
                    await self._apply_alone(channel, single)

        await channel.run(report)

    async def _apply(self, channel: Channel, reports: Sequence[Report]) -> None:
        await self.journal.do(
            ApplyReports(
                provider=channel.provider,
                channel=channel.name,
                reports=reports,
                policy=self.policy,
                tariffs=self.tariffs,
            )
        )

    async def _apply_alone(self, channel: Channel, report: Report) -> None:
        try:
            await self._apply(channel, [report])
        except StoreUnavailable:
            raise
        except Exception:
            REPORTS_REFUSED.labels(channel.provider).inc()
            log.exception("report_refused", provider=channel.provider, kind=type(report).__name__)

    async def _rebuild_queue(self) -> None:
        after = ""
        while True:
            now = self.clock.now()
            page = await self.store.read(lambda connection, after=after, now=now: queued(connection, now, after))  # type: ignore[misc]
            if not page:
                return
            for delivery in page:
                ticket = Ticket(delivery_id=delivery.id, urgency=Urgency(delivery.urgency))
                await self.queue.announce(delivery.provider, [ticket])
            after = page[-1].id

    # --- tariffs -----------------------------------------------------------------------------------------------------

    async def reload_tariffs(self) -> None:
        """Reads the tariff versions in force."""
        self._take_tariffs(await self.store.read(read_tariffs))

    def _take_tariffs(self, every: Sequence[Tariff]) -> None:
        self.tariffs.learn(list(every))
        latest: dict[tuple[str, str], Tariff] = {}
        for tariff in sorted(every, key=lambda one: one.version):
            latest[tariff.channel, tariff.prefix] = tariff
        self.planner.tariffs = TariffTable(latest.values())

    async def _watch_tariffs(self) -> None:
        while True:
            await asyncio.sleep(TARIFFS_AGAIN_S)
            with suppress(Exception):  # the next round tries again; prices in force stay as they are
                await self.reload_tariffs()

    # --- what commits cause ------------------------------------------------------------------------------------------

    def _signalled(self, signals: Sequence[object]) -> None:
        now = self.clock.now()
        taken = {signal.alert_id: signal.by for signal in signals if isinstance(signal, Acknowledged)}
        for signal in signals:
            match signal:
                case Announced():
                    if signal.due_at <= now:  # else the rescuer announces it when its time has come
                        tickets = self._announcements.setdefault(signal.provider, [])
                        tickets.append(Ticket(delivery_id=signal.delivery_id, urgency=signal.urgency))
                case ClaimedAtOnce():
                    assert isinstance(signal.reservation, Reservation)
                    signal.reservation.begin(signal.claim)
                case CallbackWritten():
                    self.callbacks.written(signal.callback)
                case AlertEnded():
                    if signal.status != "completed":
                        self.escalator.stop(signal.alert_id)
                        self._stop_attempts(signal.alert_id, taken.get(signal.alert_id, ""))
        if self._announcements:
            self._background(self._announce())

    def _stop_attempts(self, alert_id: str, by: str) -> None:
        """Takes back what is under way for an ended alert, in this process at once and in the others by a word to them."""
        for dispatcher in self.dispatchers.values():
            dispatcher.stop(alert_id, Stop(by=by))
        if self.queue.shared:
            self._background(self.queue.publish(ENDED_TOPIC, json.dumps([alert_id, by]).encode()))

    async def _hear_of_ends(self) -> None:
        """Takes back attempts for alerts that ended in another process."""
        async for payload in self.queue.subscribe(ENDED_TOPIC):
            try:
                alert_id, by = json.loads(payload)
            except ValueError:
                log.warning("end_not_understood", bytes=len(payload))
                continue
            for dispatcher in self.dispatchers.values():
                dispatcher.stop(str(alert_id), Stop(by=str(by)))

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._announcing.add(task)
        task.add_done_callback(self._announcing.discard)

    async def _announce(self) -> None:
        announcements, self._announcements = self._announcements, {}
        for provider, tickets in announcements.items():
            await self.queue.announce(provider, tickets)

    async def _ended_among(self, delivery_ids: Sequence[str]) -> Mapping[str, str]:
        return await self.store.read(lambda connection: ended_among(connection, delivery_ids))

    # --- messages ----------------------------------------------------------------------------------------------------

    async def _render(self, claim: Claim) -> Message:
        delivery, alert = claim.delivery, claim.alert
        channel, _, value = delivery.address.partition(":")
        subject, text = rendered(claim, channel, self.settings.messages.zone)
        # files would tell what a sensitive alert does not say
        files = alert.files and channel in CARRIES_FILES and not alert.sensitive
        attachments = await self.store.read(attachments_of(alert.id)) if files else ()
        return Message(
            address=value,
            text=text,
            reference=delivery.id,
            subject=subject,
            language=delivery.language or alert.language,
            urgent=alert.priority <= 1,
            attachments=attachments,
            parts_sent=claim.parts_sent,
            attempt=delivery.epoch,
            patience_s=self.policy.answer_s(delivery),
        )


TURNS_FOR_ANSWERS = 4
"""Turns of the loop that reports wait, so that answers which came in the same read are written before them: a receipt that
overtakes its answer is not lost, but it costs twice as much."""

CARRIES_FILES = frozenset({"email"})
