"""The queue inside one process, for an installation that runs alone. The rescuer fills it again after a start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import structlog

from gateway.queue.port import QueueUnavailable, Ticket
from gateway.queue.subscription import Topics
from gateway.queue.waiting import Waiting

log = structlog.get_logger(__name__)

WAITING_MAX = 250_000
"""Tickets of one urgency that may wait for one provider. A ticket takes some 180 bytes, so that a lane stays below
50 MB, fit for a small machine; what is beyond it is dropped, and the rescuer finds it in the store later."""


class _Lane:
    """One provider's tickets."""

    def __init__(self, waiting_max: int) -> None:
        self.waiting = Waiting(lane_max=waiting_max)
        self.in_hand: set[str] = set()
        self.arrived = asyncio.Event()
        self.overflowing = False


class MemoryQueue:
    """A `gateway.queue.port.Queue` for one process. All work is done in the caller's turn."""

    def __init__(self, *, waiting_max: int = WAITING_MAX) -> None:
        self.dropped = 0
        """Tickets that found no room, since the start."""
        self._waiting_max = waiting_max
        self._lanes: dict[str, _Lane] = {}
        self._topics = Topics()
        self._closed = False

    @property
    def shared(self) -> bool:
        """False: no other process sees this queue."""
        return False

    async def start(self) -> None:
        """Nothing to connect."""

    async def close(self) -> None:
        """Ends subscriptions and waiting takes."""
        self._closed = True
        self._topics.end()
        for lane in self._lanes.values():
            lane.arrived.set()

    async def ping(self) -> None:
        """Always answers until closed. Raises QueueUnavailable."""
        self._refuse_if_closed()

    async def announce(self, provider: str, tickets: Sequence[Ticket]) -> None:
        """See `Queue.announce`. A delivery that waits already with the same urgency is not added again."""
        lane = self._lane(provider)
        _, overflow = lane.waiting.add(tickets)
        self.dropped += overflow
        if bool(overflow) != lane.overflowing:
            lane.overflowing = bool(overflow)
            log.warning(
                "queue_overflowed" if overflow else "queue_had_room_again", provider=provider, dropped=self.dropped
            )
        lane.arrived.set()

    async def take(self, provider: str, limit: int, *, urgent_only: bool = False) -> list[Ticket]:
        """See `Queue.take`. Tickets are picked and returned in one turn of the loop: no cancellation comes between."""
        lane = self._lane(provider)
        while not (picked := lane.waiting.pick(limit, urgent_only=urgent_only)):
            self._refuse_if_closed()
            lane.arrived.clear()
            await lane.arrived.wait()
        lane.in_hand.update(ticket.delivery_id for ticket in picked)
        return picked

    async def done(self, provider: str, tickets: Sequence[Ticket]) -> None:
        """See `Queue.done`."""
        self._lane(provider).in_hand.difference_update(ticket.delivery_id for ticket in tickets)

    async def depth(self, provider: str) -> int:
        """See `Queue.depth`."""
        lane = self._lane(provider)
        return len(lane.waiting) + len(lane.in_hand)

    async def publish(self, topic: str, payload: bytes) -> None:
        """See `Queue.publish`."""
        self._topics.deliver(topic, payload)

    def subscribe(self, topic: str) -> AsyncIterator[bytes]:
        """See `Queue.subscribe`."""
        return self._topics.subscribe(topic)

    def _lane(self, provider: str) -> _Lane:
        lane = self._lanes.get(provider)
        if lane is None:
            lane = self._lanes[provider] = _Lane(self._waiting_max)
        return lane

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise QueueUnavailable("the queue is closed")
