"""The queue on Redis Streams, for several processes. It survives the loss of Redis; nothing that matters is kept here.

Each provider has one stream per urgency, read by one consumer group. One per urgency, because a stream is first in,
first out: were emergencies to share one with high, a thousand high tickets would stand before an emergency, and the
slots that are reserved for it could not find it.

A taker reads without blocking and is woken by a published word, so that it asks for what it can use just now, and few
tickets sit in a process that has no slot free for them. Needs Redis 6.2 (XAUTOCLAIM).
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import structlog

from gateway.queue.port import QueueUnavailable, Ticket, Urgency
from gateway.queue.redis_link import COMMAND_S, PAUSE_FIRST_S, Command, RedisLink
from gateway.queue.subscription import Topics
from gateway.queue.waiting import Waiting

log = structlog.get_logger(__name__)

GROUP = "workers"
STREAM_MAX = 250_000
"""Entries of one stream, some 50 bytes each, so 12 MB; Redis trims it from the old end, the rescuer finds the rest."""
BATCH_MAX = 1000
"""Commands or ids in one round trip: a few milliseconds of Redis, which serves everybody in turn."""
READ_MAX = 256
"""Tickets read of one urgency at a time, and so what one process can hold of it without a taker."""
HELD_MAX = 4 * READ_MAX
"""Bound of what waits here of one urgency: what was read, and what was claimed from the dead on top of it."""
POLL_S = 1.0
"""A waiting taker looks this often although nobody called: a call can be lost with the link."""
CLAIM_IDLE_S = 60.0
"""A ticket taken so long ago is given to another: its taker is dead. A long phone call is not, but then the store says
that the delivery is being sent, and the second look ends there."""
CONSUMER_FORGOTTEN_S = 86_400.0
"""A consumer that read nothing for a day and holds nothing is removed from its group: every process start adds one."""
START_WAIT_S = 5.0
"""How long the start waits for Redis before it goes on without."""
DROPS_LOGGED_EVERY_S = 10.0
"""Dropped announcements are counted one by one and logged together."""

_ORIGIN_BYTES = 8
_FIELD = b"d"


class _Bell:
    """Wakes takers; none misses a ring that came while it looked elsewhere."""

    def __init__(self) -> None:
        self.rung = 0
        self._ringing = asyncio.Event()

    def ring(self) -> None:
        self.rung += 1
        self._ringing.set()

    async def wait_past(self, rung: int, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.rung == rung:
                    self._ringing.clear()
                    await self._ringing.wait()


class _Intake:
    """What this process knows of one provider's streams."""

    def __init__(self, keys: dict[Urgency, str]) -> None:
        self.keys = keys
        self.waiting = Waiting(lane_max=HELD_MAX)
        self.bell = _Bell()
        self.reading = asyncio.Lock()
        self.prepared = False
        self.claim_at = dict.fromkeys(Urgency, 0.0)
        self.claim_cursor: dict[Urgency, bytes] = dict.fromkeys(Urgency, b"0-0")


class RedisStreamsQueue:
    """A `gateway.queue.port.Queue` shared by all processes that name the same Redis and prefix."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "tocsin:",
        claim_idle_s: float = CLAIM_IDLE_S,
        command_s: float = COMMAND_S,
    ) -> None:
        """`prefix` begins every key and channel; letters, digits and ``:._-`` only, else ValueError."""
        if not re.fullmatch(r"[\w:.-]*", prefix, re.ASCII):
            raise ValueError(f"a key prefix is of letters, digits and :._- only, not {prefix!r}")
        self.dropped = 0
        """Tickets that could not be announced, since the start."""
        self._link = RedisLink(url, command_s=command_s)
        self._prefix = prefix
        self._claim_idle_s = claim_idle_s
        self._origin = secrets.token_bytes(_ORIGIN_BYTES)
        self._consumer = f"{socket.gethostname()}-{os.getpid()}-{self._origin.hex()}"
        self._intakes: dict[str, _Intake] = {}
        self._topics = Topics()
        self._reads: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self._drops_unlogged = 0
        self._drops_log_at = 0.0
        self._closed = False

    @property
    def shared(self) -> bool:
        """True: every process sees this queue."""
        return True

    async def start(self) -> None:
        """See `Queue.start`. Waits at most `START_WAIT_S` for Redis."""
        patterns = (f"{self._prefix}topic:*", f"{self._prefix}wake:*")
        self._listener = asyncio.create_task(self._link.listen(patterns, self._subscribed, self._heard))
        try:
            async with asyncio.timeout(START_WAIT_S):
                await self._listening.wait()
        except TimeoutError:
            log.warning("queue_started_without_redis", waited_s=START_WAIT_S)

    async def close(self) -> None:
        """See `Queue.close`. What waits here goes back to Redis for others at once."""
        if self._closed:
            return
        self._closed = True
        for intake in self._intakes.values():
            intake.bell.ring()
        self._topics.end()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
        if self._reads:
            await asyncio.wait(self._reads)
        for provider, intake in self._intakes.items():
            held = intake.waiting.pick(len(intake.waiting))
            await self.announce(provider, held)
            await self.done(provider, held)
        await self._link.close()

    async def ping(self) -> None:
        """See `Queue.ping`. Also raises when nobody listens to topics any more, which no reconnect would mend."""
        if self._listener is None or self._listener.done():
            raise QueueUnavailable("nothing listens to Redis: not started, closed, or ended by a fault")
        _raise_refusal(await self._link.run([("PING",)]))

    async def announce(self, provider: str, tickets: Sequence[Ticket]) -> None:
        """See `Queue.announce`. A delivery announced twice may be taken twice."""
        intake = self._intake(provider)
        for first in range(0, len(tickets), BATCH_MAX):
            batch = tickets[first : first + BATCH_MAX]
            commands: list[Command] = [
                ("XADD", intake.keys[t.urgency], "MAXLEN", "~", STREAM_MAX, "*", _FIELD, t.delivery_id) for t in batch
            ]
            commands.append(("PUBLISH", f"{self._prefix}wake:{provider}", self._origin))
            try:
                answers = await self._link.run(commands)
            except QueueUnavailable as error:
                self._drop(len(tickets) - first, str(error))
                return
            refused = [answer for answer in answers[:-1] if isinstance(answer, Exception)]
            if refused:
                self._drop(len(refused), str(refused[0]))
            intake.bell.ring()

    async def take(self, provider: str, limit: int, *, urgent_only: bool = False) -> list[Ticket]:
        """See `Queue.take`. Each round first reads what is new: an emergency goes before what waits here already."""
        intake = self._intake(provider)
        while True:
            self._refuse_if_closed()
            rung = intake.bell.rung
            # A read cut off may have taken tickets from Redis: it goes on to its end, and the next take has them.
            read = asyncio.create_task(self._read(intake, limit, urgent_only=urgent_only))
            self._reads.add(read)
            read.add_done_callback(self._reads.discard)
            await asyncio.shield(read)
            if picked := intake.waiting.pick(limit, urgent_only=urgent_only):
                return picked
            pause_s = self._link.pause_s()
            await intake.bell.wait_past(
                rung, pause_s + PAUSE_FIRST_S if pause_s else min(POLL_S, self._claim_idle_s / 2)
            )

    async def done(self, provider: str, tickets: Sequence[Ticket]) -> None:
        """See `Queue.done`. What Redis does not hear of comes back after `CLAIM_IDLE_S`, and is found to be done."""
        intake = self._intake(provider)
        entries: defaultdict[Urgency, list[str]] = defaultdict(list)
        for ticket in tickets:
            if ticket.receipt_handle:
                entries[ticket.urgency].append(ticket.receipt_handle)
        with suppress(QueueUnavailable):
            for urgency, ids in entries.items():
                for first in range(0, len(ids), BATCH_MAX):
                    await self._link.run(_forget(intake.keys[urgency], ids[first : first + BATCH_MAX]))

    async def depth(self, provider: str) -> int:
        """See `Queue.depth`."""
        answers = await self._link.run([("XLEN", key) for key in self._intake(provider).keys.values()])
        _raise_refusal(answers)
        return sum(answers)

    async def publish(self, topic: str, payload: bytes) -> None:
        """See `Queue.publish`. This process's own subscribers hear it even while Redis is away."""
        self._topics.deliver(topic, payload)
        with suppress(QueueUnavailable):
            await self._link.run([("PUBLISH", f"{self._prefix}topic:{topic}", self._origin + payload)])

    def subscribe(self, topic: str) -> AsyncIterator[bytes]:
        """See `Queue.subscribe`. Redis is not told: every process hears all topics and keeps what it listens to."""
        return self._topics.subscribe(topic)

    def _intake(self, provider: str) -> _Intake:
        intake = self._intakes.get(provider)
        if intake is None:
            keys = {urgency: f"{self._prefix}queue:{provider}:{urgency.name.lower()}" for urgency in Urgency}
            intake = self._intakes[provider] = _Intake(keys)
        return intake

    async def _read(self, intake: _Intake, limit: int, *, urgent_only: bool) -> None:
        """Moves what a taker can use from Redis to `intake.waiting`; nothing while Redis is away."""
        with suppress(QueueUnavailable):
            async with intake.reading:
                if not intake.prepared:
                    await self._prepare(intake)
                urgencies = (Urgency.EMERGENCY,) if urgent_only else tuple(Urgency)
                commands = [*self._reads_for(intake, urgencies, limit)]
                if not commands:
                    return
                answers = await self._link.run([command for _, command in commands])
                superfluous: list[Command] = []
                for (urgency, command), answer in zip(commands, answers, strict=True):
                    superfluous += self._accept(intake, urgency, command[0] == "XAUTOCLAIM", answer)
                if superfluous:
                    await self._link.run(superfluous)

    def _reads_for(
        self, intake: _Intake, urgencies: Iterable[Urgency], limit: int
    ) -> Iterator[tuple[Urgency, Command]]:
        now = asyncio.get_running_loop().time()
        for urgency in urgencies:
            key = intake.keys[urgency]
            room = min(limit, READ_MAX) - intake.waiting.count(urgency)
            if room > 0:
                yield urgency, ("XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", room, "STREAMS", key, ">")
            if now >= intake.claim_at[urgency]:
                intake.claim_at[urgency] = now + self._claim_idle_s / 2
                idle_ms, cursor = int(self._claim_idle_s * 1000), intake.claim_cursor[urgency]
                yield urgency, ("XAUTOCLAIM", key, GROUP, self._consumer, idle_ms, cursor, "COUNT", READ_MAX)

    def _accept(self, intake: _Intake, urgency: Urgency, claimed: bool, answer: Any) -> list[Command]:
        """Puts the tickets of one answer where takers find them; gives commands that remove entries nobody needs."""
        if isinstance(answer, Exception):
            if not str(answer).startswith("NOGROUP"):
                log.warning("queue_read_refused", error=str(answer))
                return []
            intake.prepared = False  # Redis was emptied
            intake.bell.ring()
            return []
        if claimed:
            intake.claim_cursor[urgency] = answer[0]
            if answer[0] != b"0-0":
                intake.claim_at[urgency] = 0.0  # there is more
            entries = answer[1]
        else:
            entries = answer[0][1] if answer else []
        tickets, unreadable = _tickets(urgency, entries)
        if claimed and tickets:
            log.info("queue_tickets_claimed", urgency=urgency.name.lower(), tickets=len(tickets))
        superfluous, _ = intake.waiting.add(tickets)
        if tickets:
            intake.bell.ring()  # for the takers beside this one
        unneeded = unreadable + [ticket.receipt_handle for ticket in superfluous]
        return _forget(intake.keys[urgency], unneeded) if unneeded else []

    async def _prepare(self, intake: _Intake) -> None:
        """Makes the groups, from the first entry on; removes consumers long gone. Raises QueueUnavailable."""
        keys = list(intake.keys.values())
        created = await self._link.run([("XGROUP", "CREATE", key, GROUP, "0", "MKSTREAM") for key in keys])
        for answer in created:
            if isinstance(answer, Exception) and not str(answer).startswith("BUSYGROUP"):
                raise QueueUnavailable(str(answer))
        consumers = await self._link.run([("XINFO", "CONSUMERS", key, GROUP) for key in keys])
        _raise_refusal(consumers)
        gone: list[Command] = [
            ("XGROUP", "DELCONSUMER", key, GROUP, name)
            for key, answer in zip(keys, consumers, strict=True)
            for name in _gone(answer)
        ]
        if gone:
            await self._link.run(gone)
        intake.prepared = True

    def _subscribed(self) -> None:
        self._listening.set()
        for intake in self._intakes.values():
            intake.bell.ring()

    def _heard(self, channel: bytes, payload: bytes) -> None:
        origin, body = payload[:_ORIGIN_BYTES], payload[_ORIGIN_BYTES:]
        if origin == self._origin:
            return
        kind, _, name = channel.decode(errors="replace").removeprefix(self._prefix).partition(":")
        if kind == "topic":
            self._topics.deliver(name, body)
        elif (intake := self._intakes.get(name)) is not None:
            intake.bell.ring()

    def _drop(self, tickets: int, why: str) -> None:
        self.dropped += tickets
        self._drops_unlogged += tickets
        now = asyncio.get_running_loop().time()
        if now >= self._drops_log_at:
            log.warning("queue_announcements_dropped", tickets=self._drops_unlogged, dropped=self.dropped, error=why)
            self._drops_unlogged = 0
            self._drops_log_at = now + DROPS_LOGGED_EVERY_S

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise QueueUnavailable("the queue is closed")


def _tickets(urgency: Urgency, entries: Sequence[Any]) -> tuple[list[Ticket], list[str]]:
    """The tickets in stream entries, and the ids of entries that are none (somebody else wrote them)."""
    tickets: list[Ticket] = []
    unreadable: list[str] = []
    for entry_id, fields in entries:
        if entry_id is None:
            continue  # Redis before 7: claimed, but deleted meanwhile
        handle = entry_id.decode()
        delivery_id = (fields or {}).get(_FIELD)
        if delivery_id is None:
            unreadable.append(handle)
        else:
            delivery = delivery_id.decode(errors="replace")
            tickets.append(Ticket(delivery_id=delivery, urgency=urgency, receipt_handle=handle))
    return tickets, unreadable


def _forget(key: str, ids: Sequence[str]) -> list[Command]:
    return [("XACK", key, GROUP, *ids), ("XDEL", key, *ids)]


def _gone(consumers: Sequence[Any]) -> Iterator[bytes]:
    """The names of consumers that hold nothing and have not read for long."""
    for pairs in consumers:
        facts = dict(zip(pairs[::2], pairs[1::2], strict=True))
        if facts[b"pending"] == 0 and facts[b"idle"] > CONSUMER_FORGOTTEN_S * 1000:
            yield facts[b"name"]


def _raise_refusal(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, Exception):
            raise QueueUnavailable(str(answer)) from answer
