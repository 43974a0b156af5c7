"""Callbacks: signed, durable, numbered notices to an alert's `callback_url`, one in flight per alert, in their order."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import Counter as Counted
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import structlog
from prometheus_client import Counter
from sqlalchemy import Connection, Select, select, update

from gateway.backoff import BackoffPolicy, next_due
from gateway.clock import Clock, to_micros
from gateway.outbound import ERRORS, OutboundClient, OutboundResult
from gateway.policy import RetryPolicy
from gateway.progress import FIRST_DUE
from gateway.store import rows, tables
from gateway.store.engine import Store
from gateway.store.errors import StoreError
from gateway.store.journal import Journal
from gateway.store.rows import Callback
from gateway.store.unit import Unit, Wants

log = structlog.get_logger(__name__)

LANES_MAX = 10_000  # alerts with a callback in memory; further ones are found in the store
HOST_SHARE = 4  # one receiver gets at most a quarter of the workers
LEASE_MARGIN = timedelta(seconds=30)  # beyond the response time-out, before another process may send a taken callback
SCAN_S = 1.0
PAGE = 200

CALLBACKS = Counter("tocsin_callbacks_total", "Callbacks by what came of the request", ["result"])
OFTEN_ANSWERED = (400, 401, 403, 404, 405, 429, 500, 502, 503, 504)
"""What receivers that are wrong, away or too busy answer; any other status is counted from its first on."""
for _result in ("done", *ERRORS, *(f"http_{status}" for status in OFTEN_ANSWERED)):
    CALLBACKS.labels(_result)  # there from the start, at 0


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over ``timestamp.body``, in hexadecimal: what ``Tocsin-Signature`` carries after ``sha256=``."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordCallback:
    """Command: what came of one request of a callback."""

    callback: Callback
    weight: int = 1

    def prefetch(self, wants: Wants) -> None:
        pass

    def apply(self, unit: Unit) -> None:
        ended = unit.now if self.callback.state != "pending" else None
        callback = replace(self.callback, ended_at=ended)
        if unit.exclusive:
            unit.put(callback)
        elif not _still_pending(unit.connection, callback):
            return  # its lease was lost, and another process has sent it meanwhile
        else:
            unit.put(callback)
        if callback.state == "parked":
            unit.event(callback.alert_id, "callback_parked", f"{callback.n} {callback.code}")


class CallbackSender:
    """Sends callbacks as they are committed, and finds in the store those that were left over.

    Where only this process writes the database, what it commits it sends at once. Where several do, each takes the lowest due
    callback of an alert for itself (a lease on the row) before it sends it, so that they stay in order and one at a time.
    """

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        client: OutboundClient,
        clock: Clock,
        backoff: BackoffPolicy,
        policy: RetryPolicy,
        response_s: float,
        concurrent: int,
    ) -> None:
        self._store = store
        self._journal = journal
        self._client = client
        self._clock = clock
        self._backoff = backoff
        self._policy = policy
        self._response_s = response_s
        self._concurrent = concurrent
        self._per_host = max(1, concurrent // HOST_SHARE)
        self._lanes: dict[str, deque[Callback]] = {}
        self._blocked: set[str] = set()
        self._ready: deque[str] = deque()
        self._wake = asyncio.Semaphore(0)
        self._look = asyncio.Event()
        self._busy: Counted[str] = Counted()
        self._held: dict[str, deque[str]] = {}
        self._secrets: dict[str, str] = {}

    def written(self, callback: Callback) -> None:
        """A callback was committed: it is sent after those of its alert that came before."""
        if not self._store.exclusive:
            self._look.set()
            return
        if callback.alert_id in self._blocked or (
            callback.alert_id not in self._lanes and len(self._lanes) >= LANES_MAX
        ):
            return  # an earlier one waits for its next try, or memory is full: the scan finds it
        self._enqueue(callback)

    def _enqueue(self, callback: Callback) -> None:
        lane = self._lanes.get(callback.alert_id)
        if lane is None:
            self._lanes[callback.alert_id] = deque([callback])
            self._offer(callback.alert_id, _host(callback.url))
        elif all(waiting.n != callback.n for waiting in lane):
            lane.append(callback)

    def _offer(self, alert_id: str, host: str) -> None:
        """To the workers, or behind others of its host: one dead receiver occupies a share of them and never all."""
        if self._busy[host] < self._per_host:
            self._busy[host] += 1
            self._ready.append(alert_id)
            self._wake.release()
        else:
            self._held.setdefault(host, deque()).append(alert_id)

    def _left(self, host: str) -> None:
        """A worker is done with an alert of this host."""
        held = self._held.get(host)
        if held:
            self._ready.append(held.popleft())
            self._wake.release()
            return
        self._held.pop(host, None)
        self._busy[host] -= 1
        if self._busy[host] == 0:
            del self._busy[host]

    async def run(self) -> None:
        """Sends until cancelled. What was not answered by then is sent again at the next start: at least once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrent):
                group.create_task(self._work())
            group.create_task(self._scan())

    async def _work(self) -> None:
        while True:
            await self._wake.acquire()
            alert_id = self._ready.popleft()
            lane = self._lanes[alert_id]
            host = _host(lane[0].url)
            while lane:
                if not await self._send(lane[0]):
                    break
                lane.popleft()
            del self._lanes[alert_id]
            self._left(host)
            if not self._store.exclusive:
                self._look.set()  # the alert's next number may be taken now

    async def _send(self, callback: Callback) -> bool:
        """One request; True where the next of the alert may follow."""
        try:
            secret = await self._secret(callback.account_id)
            result = await self._post(callback, secret)
            after = self._judged(callback, result)
            CALLBACKS.labels("done" if result.ok else (result.error or f"http_{result.status}")).inc()
            recorded = self._journal.do(RecordCallback(callback=after))
            if after.state == "done":
                asyncio.ensure_future(recorded).add_done_callback(_swallow)  # sent again if it is lost: at least once
                self._blocked.discard(callback.alert_id)
                return True
            await recorded
        except StoreError as error:
            log.warning("callback_not_recorded", alert=callback.alert_id, number=callback.n, error=str(error))
            return False
        log.warning("callback_failed", alert=callback.alert_id, number=callback.n, state=after.state, code=after.code)
        if after.state == "pending":
            self._blocked.add(callback.alert_id)
            return False
        self._blocked.discard(callback.alert_id)
        return True

    async def _post(self, callback: Callback, secret: str) -> OutboundResult:
        body = callback.body.encode()
        timestamp = str(int(self._clock.now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "Tocsin-Timestamp": timestamp,
            "Tocsin-Signature": f"sha256={signature(secret, timestamp, body)}",
            "Tocsin-Callback-Number": str(callback.n),
        }
        return await self._client.post(callback.url, body, headers, self._response_s)

    def _judged(self, callback: Callback, result: OutboundResult) -> Callback:
        tries = callback.tries + 1
        if result.ok:
            return replace(callback, state="done", tries=tries, code=f"http_{result.status}")
        code = result.error or f"http_{result.status}"
        if tries >= self._backoff.attempts_max:
            return replace(callback, state="parked", tries=tries, code=code)
        due = next_due(self._clock.now(), tries, self._backoff, self._policy.jitter())
        return replace(callback, tries=tries, code=code, due_at=due)

    async def _secret(self, account_id: str) -> str:
        if account_id not in self._secrets:
            t = tables.accounts.c
            found = await self._store.read(
                lambda connection: connection.scalar(select(t.callback_secret).where(t.id == account_id))
            )
            self._secrets[account_id] = str(found)
        return self._secrets[account_id]

    async def _scan(self) -> None:
        early = FIRST_DUE  # at the start of the only process nobody else is about to send what is pending
        while True:
            try:
                now = self._clock.now()
                if self._store.exclusive:
                    found = await self._store.read(partial(due, now=now + early))
                    self._blocked.difference_update(callback.alert_id for callback in found)
                    early = timedelta()
                else:
                    lease = timedelta(seconds=self._response_s) + LEASE_MARGIN
                    found = await self._store.write(partial(taken, now=now, until=now + lease))
                for callback in found:
                    self._enqueue(callback)
            except StoreError as error:
                log.warning("callbacks_not_read", error=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(SCAN_S):
                    await self._look.wait()
            self._look.clear()


def _lowest_due(now: datetime) -> Select[Any]:
    """The lowest pending callback of each alert, where it is due: the others of the alert have to wait for it."""
    t, earlier = tables.callbacks.c, tables.callbacks.alias("earlier")
    in_front = (
        select(earlier.c.n)
        .where(earlier.c.alert_id == t.alert_id, earlier.c.state == "pending", earlier.c.n < t.n)
        .exists()
    )
    return (
        select(*rows.callbacks.columns)
        .where(t.state == "pending", t.due_at <= to_micros(now), ~in_front)
        .order_by(t.due_at)
        .limit(PAGE)
    )


def due(connection: Connection, now: datetime) -> list[Callback]:
    """What is to be sent now by the only process: the lowest callback of each alert where it is due, and those behind it."""
    t = tables.callbacks.c
    alert_ids = [row.alert_id for row in connection.execute(_lowest_due(now))]
    pending = connection.execute(
        select(*rows.callbacks.columns)
        .where(t.alert_id.in_(alert_ids), t.state == "pending")
        .order_by(t.alert_id, t.n)
        .limit(PAGE * 10)
    )
    return [rows.callbacks.from_row(row) for row in pending]


def taken(connection: Connection, now: datetime, until: datetime) -> list[Callback]:
    """What this process takes for itself: the lowest due callback of each alert, no longer due for others before `until`."""
    t = tables.callbacks
    found = []
    for row in connection.execute(_lowest_due(now).with_for_update(of=t, skip_locked=True)).all():
        callback = replace(rows.callbacks.from_row(row), due_at=until)
        connection.execute(
            update(t)
            .where(t.c.alert_id == callback.alert_id, t.c.n == callback.n)
            .values(due_at=to_micros(callback.due_at))
        )
        found.append(callback)
    return found


def _still_pending(connection: Connection, callback: Callback) -> bool:
    t = tables.callbacks.c
    state = connection.scalar(
        select(t.state).where(t.alert_id == callback.alert_id, t.n == callback.n).with_for_update()
    )
    return state == "pending"


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _swallow(future: asyncio.Future[None]) -> None:
    if not future.cancelled() and future.exception() is not None:
        log.warning("callback_not_recorded", error=str(future.exception()))
