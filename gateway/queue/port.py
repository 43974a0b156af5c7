"""The queue port and its vocabulary. No implementation lives here, and no truth: that is in the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class QueueUnavailable(Exception):  # noqa: N818 - the state of a thing that callers live with, not their error
    """The queue cannot be reached, or it is closed. Nothing is lost by it: due work is found again in the store."""


class Urgency(IntEnum):
    """How urgent a ticket is, by the priority of its alert; the lower number goes first."""

    EMERGENCY = 0
    HIGH = 1
    NORMAL = 2
    BULK = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """One word of "look here": a delivery that is due.

    `receipt_handle` is set by `Queue.take` and handed back to `Queue.done`; opaque, and "" where a queue needs none.
    """

    delivery_id: str
    urgency: Urgency
    receipt_handle: str = ""


class Queue(Protocol):
    """Tells dispatchers which deliveries to look at, provider by provider.

    A ticket may be lost (the rescuer announces the delivery again) and may come twice (the claim in the store decides
    who sends), so no caller ever waits for the queue to be sure of anything.

    Order of `take`: emergency always first; below it high, normal and bulk share by weight (`gateway.queue.shares`),
    and whatever waits gets its share, so that nothing starves.
    """

    @property
    def shared(self) -> bool:
        """True when other processes see the same tickets and topics."""
        ...

    async def start(self) -> None:
        """Connects. Returns within a bounded time and does not raise when the other side is away: it goes on trying."""
        ...

    async def close(self) -> None:
        """Gives back what is held, ends subscriptions and waiting takes (these raise QueueUnavailable). Idempotent."""
        ...

    async def ping(self) -> None:
        """Returns when the queue answers, within a bounded time. Raises QueueUnavailable."""
        ...

    async def announce(self, provider: str, tickets: Sequence[Ticket]) -> None:
        """Says "look here" for deliveries of one provider. Never raises for want of a queue, never blocks long.

        Tickets beyond the queue's bound, or while it cannot be reached, are dropped, counted and logged.
        """
        ...

    async def take(self, provider: str, limit: int, *, urgent_only: bool = False) -> list[Ticket]:
        """1 to `limit` (at least 1) tickets, most urgent first; waits until there is one.

        `urgent_only` gives EMERGENCY alone: for the slots that a provider's window keeps for it. A cancelled take loses
        no ticket. Concurrent takers, in this process or another, get different tickets; a ticket whose taker died comes
        back. Every ticket taken is to be handed to `done`. Raises QueueUnavailable after `close` only.
        """
        ...

    async def done(self, provider: str, tickets: Sequence[Ticket]) -> None:
        """Forgets tickets whose deliveries were looked at, whatever came of it. Harmless twice; never raises."""
        ...

    async def depth(self, provider: str) -> int:
        """How many tickets are announced and not yet done: waiting or in hand; duplicates may count twice.

        Raises QueueUnavailable.
        """
        ...

    async def publish(self, topic: str, payload: bytes) -> None:
        """Tells every present subscriber of the topic, in all processes when `shared`. Best effort; never raises."""
        ...

    def subscribe(self, topic: str) -> AsyncIterator[bytes]:
        """What is published on the topic from this call on; a bounded buffer, the oldest dropped when it is full.

        The subscription lasts as long as the iterator is referenced, and ends at `close`.
        """
        ...
