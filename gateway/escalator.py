"""Brings one alert forward in time: plans its due step, goes on writing a broadcast, lets deadlines pass, stops what ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import structlog

from gateway.alert import Alert, Priority, Status
from gateway.answered import answered_since
from gateway.clock import Clock
from gateway.escalation import Occurrence, due_at, everybody, is_repeat, plan_from_json, recipients_from_json, targets
from gateway.identity import Names
from gateway.intake import CHUNK, ActivateStep, ExpandAlert
from gateway.joining_aside import is_large
from gateway.large_work import LargeWork
from gateway.lifecycle import AlertNotFound, ChangeAlert, GoOnTo, StopDeliveries, lapse
from gateway.planning import PlannedDelivery, Planner
from gateway.progress import Tariffs
from gateway.store import rows, tables
from gateway.store.engine import Store
from gateway.store.errors import StoreError
from gateway.store.journal import Journal

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Escalator:
    """The part of the broker that needs an alert's recipients again after it was accepted. `names` gives those of people by
    their addresses."""

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        planner: Planner,
        tariffs: Tariffs,
        clock: Clock,
        names: Callable[[], Mapping[str, str]] = dict,
        large: LargeWork | None = None,
    ) -> None:
        self._large = large or LargeWork()
        self._names = names
        self._store = store
        self._journal = journal
        self._planner = planner
        self._tariffs = tariffs
        self._clock = clock
        self._expanding: dict[str, asyncio.Task[None]] = {}
        self._beginning: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def look_after(self, alert_id: str) -> None:
        """What time makes of the alert."""
        alert = await self._read(alert_id)
        if alert is None:
            return
        try:
            alert = await self._journal.do(ChangeAlert(alert_id=alert_id, account_id=None, verb=lapse))
        except AlertNotFound:
            return
        if alert.status is not Status.ACTIVE:
            return
        if alert.expanded < alert.expanding:
            self.expand(alert_id)
        elif alert.step_at is not None and alert.step_at <= self._clock.now():
            if not is_large([alert]):
                await self._begin_step(alert)
            elif alert_id not in self._beginning:  # others that are due are not to wait for it
                self._beginning.add(alert_id)
                self._background(self._begin_large_step(alert))

    async def _begin_large_step(self, alert: Alert) -> None:
        try:
            await self._begin_step(alert)
        except StoreError as error:
            log.warning("step_not_begun", alert=alert.id, error=str(error))  # the rescuer comes by again
        finally:
            self._beginning.discard(alert.id)

    async def _begin_step(self, alert: Alert) -> None:
        """The step that is due, unless nobody is left to be asked in it."""
        planned = await self._next(alert)
        if planned is None:
            return
        plan = await self._aside(alert, lambda: plan_from_json(alert.steps))
        command = ActivateStep(
            alert_id=alert.id, step=alert.step, planned=planned, tariffs=self._tariffs, steps=alert.steps, plan=plan
        )
        if await self._journal.do(command, urgent=alert.priority == 0) and len(planned) > CHUNK:
            self.expand(alert.id, planned)

    def expand(self, alert_id: str, planned: Sequence[PlannedDelivery] | None = None) -> None:
        """Writes the rest of a broadcast's deliveries in the background, chunk by chunk."""
        if alert_id not in self._expanding:
            self._expanding[alert_id] = self._background(self._expand(alert_id, planned))

    def writing(self, alert_id: str) -> asyncio.Task[None] | None:
        """What writes the rest of a broadcast's deliveries; None where nothing is left to write."""
        return self._expanding.get(alert_id)

    def stop(self, alert_id: str) -> None:
        """Cancels, in the background, what an ended alert still has queued."""
        self._background(self._stop(alert_id))

    def _background(self, work: object) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def drain(self) -> None:
        """Waits for the background work under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _expand(self, alert_id: str, planned: Sequence[PlannedDelivery] | None) -> None:
        try:
            alert = await self._read(alert_id)
            if alert is None:
                return
            step, start = alert.step - 1, alert.expanded
            planned = await self._plan(alert, step) if planned is None else planned
            while start < len(planned):
                chunk = planned[start : start + CHUNK]
                command = ExpandAlert(alert_id=alert_id, step=step, start=start, planned=chunk, tariffs=self._tariffs)
                if not await self._journal.do(command):
                    return
                start += len(chunk)
        except StoreError as error:
            log.warning("broadcast_interrupted", alert=alert_id, error=str(error))  # the rescuer takes it up again
        finally:
            self._expanding.pop(alert_id, None)

    async def _stop(self, alert_id: str) -> None:
        try:
            while await self._journal.do(StopDeliveries(alert_id=alert_id, tariffs=self._tariffs), urgent=True):
                pass
        except StoreError as error:
            # a claim refuses the deliveries of an ended alert, and their deadline settles them: nothing goes out
            log.warning("stop_interrupted", alert=alert_id, error=str(error))

    async def _next(self, alert: Alert) -> list[PlannedDelivery] | None:
        """The deliveries of the step that is due, without whoever has answered; None where it is not to begin now."""
        planned = await self._plan(alert, alert.step)
        answered = frozenset[str]()
        if alert.step > 0 and len(planned) <= CHUNK:  # a broadcast is written piece by piece, always by the same list
            answered = await self._store.read(lambda connection: answered_since(connection, alert.id))
        if not answered:
            return planned
        plan, who, n = await self._aside(alert, lambda: self._who_is_left(alert, answered))
        asked_no_more = {who.of(name) for name in answered}
        at = due_at(plan, n, alert.start_at)
        now = self._clock.now()
        if at is not None and not is_repeat(plan, n):
            at = now
        if n == alert.step and at is not None and at <= now:
            return [one for one in planned if who.of(one.person, one.address) not in asked_no_more]
        # nobody is left to be asked in it; or it was brought forward, and only tries again whoever has not answered
        await self._journal.do(GoOnTo(alert_id=alert.id, step=alert.step, to=n, at=at, steps=alert.steps))
        return None

    def _who_is_left(self, alert: Alert, answered: Collection[str]) -> tuple[Sequence[Occurrence], Names, int]:
        """The alert's steps, who is who in it, and the first step that has somebody to ask who has not answered."""
        plan = plan_from_json(alert.steps)
        who = Names(self._names(), everybody(plan, recipients_from_json(alert.recipients)))
        return plan, who, _left_to(plan, alert, who, {who.of(name) for name in answered})

    def planned(self, alert: Alert, step: int) -> list[PlannedDelivery]:
        """The deliveries of a step of the alert."""
        occurrence = plan_from_json(alert.steps)[step]
        return self._planner.plan(occurrence, recipients_from_json(alert.recipients), alert)

    async def _plan(self, alert: Alert, step: int) -> list[PlannedDelivery]:
        return await self._aside(alert, lambda: self.planned(alert, step))

    async def _aside(self, alert: Alert, work: Callable[[], T]) -> T:
        """The result of `work`, done beside the loop where the alert is large."""
        if not is_large([alert]):
            return work()
        return await self._large.do(work, urgently=alert.priority is Priority.EMERGENCY)

    async def _read(self, alert_id: str) -> Alert | None:
        statement = (
            rows.alerts.table.select().with_only_columns(*rows.alerts.columns).where(tables.alerts.c.id == alert_id)
        )
        row = await self._store.read(lambda connection: connection.execute(statement).first())
        return None if row is None else rows.alerts.from_row(row)


def _left_to(plan: Sequence[Occurrence], alert: Alert, who: Names, answered: Collection[str]) -> int:
    """The first step from the next one on in which somebody is left to be asked."""
    recipients = recipients_from_json(alert.recipients)
    for n in range(alert.step, len(plan)):
        tried = targets(plan[n], recipients)
        if not tried or any(who.of(recipient.person, address) not in answered for _, recipient, address in tried):
            return n
    return len(plan)
