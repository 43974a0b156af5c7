"""Callbacks: signed, durable, numbered notices to an alert's `callback_url`, one in flight per alert, in their order."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter
from sqlalchemy import Connection, select

from gateway.backoff import BackoffPolicy, next_due
from gateway.clock import Clock, to_micros
from gateway.outbound import OutboundClient, OutboundResult
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
SCAN_S = 1.0
PAGE = 200

CALLBACKS = Counter("tocsin_callbacks_total", "Callbacks by what came of the request", ["result"])


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
        callback = self.callback
        ended = unit.now if callback.state != "pending" else None
        unit.put(replace(callback, ended_at=ended))
        if callback.state == "parked":
            unit.event(callback.alert_id, "callback_parked", f"{callback.n} {callback.code}")


class CallbackSender:
    """Sends callbacks as they are committed, and finds in the store those that were left over."""

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
        self._lanes: dict[str, deque[Callback]] = {}
        self._blocked: set[str] = set()
        self._ready: deque[str] = deque()
        self._wake = asyncio.Semaphore(0)
        self._concurrent = concurrent
        self._secrets: dict[str, str] = {}

    def written(self, callback: Callback) -> None:
        """A callback was committed: it is sent after those of its alert that came before."""
        if callback.alert_id in self._blocked or (
            callback.alert_id not in self._lanes and len(self._lanes) >= LANES_MAX
        ):
            return  # an earlier one waits for its next try, or memory is full: the scan finds it
        self._enqueue(callback)

    def _enqueue(self, callback: Callback) -> None:
        lane = self._lanes.get(callback.alert_id)
        if lane is None:
            self._lanes[callback.alert_id] = deque([callback])
            self._ready.append(callback.alert_id)
            self._wake.release()
        elif all(waiting.n != callback.n for waiting in lane):
            lane.append(callback)

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
            while lane:
                if not await self._send(lane[0]):
                    break
                lane.popleft()
            del self._lanes[alert_id]

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
        first = True
        while True:
            try:
                now = self._clock.now() + (FIRST_DUE if first else timedelta())
                for callback in await self._store.read(lambda connection, now=now: due(connection, now)):  # type: ignore[misc]
                    self._blocked.discard(callback.alert_id)
                    self._enqueue(callback)
                first = False
            except StoreError as error:
                log.warning("callbacks_not_read", error=str(error))
            await asyncio.sleep(SCAN_S)


def due(connection: Connection, now: datetime) -> list[Callback]:
    """The lowest pending callback of each alert, where it is due; the others of the alert follow it."""
    t = tables.callbacks.c
    found = connection.execute(
        select(*rows.callbacks.columns)
        .where(t.state == "pending", t.due_at <= to_micros(now))
        .order_by(t.due_at, t.n)
        .limit(PAGE)
    )
    candidates = [rows.callbacks.from_row(row) for row in found]
    alert_ids = {callback.alert_id for callback in candidates}
    everything = connection.execute(
        select(*rows.callbacks.columns)
        .where(t.alert_id.in_(alert_ids), t.state == "pending")
        .order_by(t.alert_id, t.n)
        .limit(PAGE * 10)
    )
    result: list[Callback] = []
    due_now: dict[str, bool] = {}
    for callback in (rows.callbacks.from_row(row) for row in everything):
        if due_now.setdefault(callback.alert_id, callback.due_at <= now):  # the lowest one decides for those behind it
            result.append(callback)
    return result


def _swallow(future: asyncio.Future[None]) -> None:
    if not future.cancelled() and future.exception() is not None:
        log.warning("callback_not_recorded", error=str(future.exception()))
