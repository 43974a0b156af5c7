"""Topics inside one process: who listens, and what they have not read. How a payload gets here is the queue's part."""

from __future__ import annotations

import asyncio
from collections import deque
from weakref import WeakSet

UNREAD_MAX = 1024
"""Payloads a subscriber may leave unread; then the oldest goes. They are hints of a few bytes, worth nothing late."""


class Subscription:
    """The payloads of one topic for one reader, as an async iterator. Forgotten when nobody references it any more."""

    def __init__(self) -> None:
        self._unread: deque[bytes] = deque(maxlen=UNREAD_MAX)
        self._changed = asyncio.Event()
        self._ended = False

    def deliver(self, payload: bytes) -> None:
        """Hands over a payload; the oldest unread one goes when the buffer is full."""
        self._unread.append(payload)
        self._changed.set()

    def end(self) -> None:
        """Ends the iteration after what is unread."""
        self._ended = True
        self._changed.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> bytes:
        while not self._unread:
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._unread.popleft()


class Topics:
    """The subscriptions of one process."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, WeakSet[Subscription]] = {}
        self._ended = False

    def subscribe(self, topic: str) -> Subscription:
        """A new subscription, from now on; after `end` one that is over."""
        subscription = Subscription()
        if self._ended:
            subscription.end()
        self._subscriptions.setdefault(topic, WeakSet()).add(subscription)
        return subscription

    def deliver(self, topic: str, payload: bytes) -> None:
        """Hands a payload to whoever listens to the topic; topics that nobody listens to any more are forgotten."""
        listening = self._subscriptions.get(topic)
        if listening is None:
            return
        if not listening:
            del self._subscriptions[topic]
        for subscription in listening:
            subscription.deliver(payload)

    def end(self) -> None:
        """Ends every subscription."""
        self._ended = True
        for listening in self._subscriptions.values():
            for subscription in listening:
                subscription.end()
