"""One message on its way over one connection: its parts, what became of each, and the answers that come late. Nothing is retried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from channels.channel import Message
from channels.outcome import LateOutcome, Outcome
from channels.sms.smpp.connection import Connection
from channels.sms.smpp.submission import Answer, Submission, SubmitResult, verdict

HELD_SHARE = 2
"""What waits for its turn is given back after this fraction of the patience: the rest is for the answer."""


class Sending:
    """The submissions of a message over a connection. `on_late` is told what the message came to after it was given up."""

    __slots__ = ("_answered_late", "_message", "_on_late", "_results", "_submissions")

    def __init__(
        self, message: Message, submissions: Sequence[Submission], on_late: Callable[[LateOutcome], None]
    ) -> None:
        self._message = message
        self._submissions = submissions
        self._on_late = on_late
        self._results: list[SubmitResult] = []
        self._answered_late: dict[int, Answer] = {}

    async def over(self, connection: Connection) -> Outcome:
        """Submits all parts and waits for their answers. Cancelled, it withdraws the parts that have not left."""
        message = self._message
        held_s = None if message.patience_s is None else message.patience_s / HELD_SHARE
        waiting: list[asyncio.Future[SubmitResult]] = []
        results: list[SubmitResult] = []
        try:
            for n, part in enumerate(self._submissions):
                on_late = partial(self._late, n)
                waiting.append(connection.submit(part.pdu, urgent=message.urgent, held_s=held_s, on_late=on_late))
            for future in waiting:  # a comprehension that awaits would be a coroutine of its own
                results.append(await future)
        except BaseException:  # cancelled, or a fault of ours: nothing leaves after this attempt was told to have ended
            for future in waiting:
                future.cancel()
            raise
        if self._answered_late:
            for n, answer in self._answered_late.items():
                results[n] = answer
        self._results = results
        return verdict(self._submissions, results)

    def _late(self, n: int, answer: Answer) -> None:
        """Part `n` was answered after all: before the others have a result it is in time, else it is told."""
        if not self._results:
            self._answered_late[n] = answer
            return
        self._results[n] = answer
        message = self._message
        self._on_late(LateOutcome(reference=message.reference, attempt=message.attempt, outcome=self._verdict()))

    def _verdict(self) -> Outcome:
        return verdict(self._submissions, self._results)
