"""Gathers inbound messages of all links, hands them over in batches, and answers each once it is safe. No parsing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from channels.channel import ReportSink
from channels.outcome import LateOutcome, Report
from channels.sms.smpp.connection import Connection
from channels.sms.smpp.pdu import DataSm, DeliverSm
from channels.sms.smpp.wire import ROK, RX_T_APPN

log = structlog.get_logger(__name__)

BATCH_MAX = 500
"""Most reports in one call: a batch is one transaction, and its answers wait for all of it."""

LATE_MAX = 1_000
"""Late answers that wait to be stored; beyond it, with the store away, further ones are dropped."""
LATE_AGAIN_S = 1.0
"""Pause before they are reported again."""

Request = DeliverSm | DataSm


class Inbox:
    """What came in and is not answered yet. Each live session bounds its share and stops reading beyond it."""

    def __init__(self, provider: str, read: Callable[[Request], Report]) -> None:
        self._provider = provider
        self._read = read
        self._gathered: list[tuple[Connection, Request]] = []
        self._late: list[LateOutcome] = []
        self._arrived = asyncio.Event()

    def put(self, connection: Connection, request: Request) -> None:
        """Takes a message that `connection` brought."""
        self._gathered.append((connection, request))
        self._arrived.set()

    def put_late(self, late: LateOutcome) -> None:
        """Takes what a message came to after it was given up. Nobody sends it again, so it is kept until it is stored."""
        if len(self._late) >= LATE_MAX:
            log.warning("late_answer_dropped", provider=self._provider, reference=late.reference)
            return
        self._late.append(late)
        self._arrived.set()

    def forget(self, connection: Connection) -> None:
        """Drops what a lost connection brought and nobody looked at: never confirmed, it will be delivered again."""
        self._gathered = [entry for entry in self._gathered if entry[0] is not connection]
        if not self._gathered and not self._late:
            self._arrived.clear()

    async def deliver(self, report: ReportSink) -> None:
        """Reports until cancelled. One call at a time; what arrives meanwhile is the next batch."""
        while True:
            await self._arrived.wait()
            late, self._late = self._late, []
            batch, self._gathered = self._gathered[:BATCH_MAX], self._gathered[BATCH_MAX:]
            if not self._gathered:
                self._arrived.clear()
            if not batch and not late:  # forgotten between the wake-up and now
                continue
            # late answers first: receipts of what they name may be in the same batch
            status = await self._report(report, late, [request for _, request in batch])
            for connection, request in batch:
                connection.respond(request.sequence, status)
            if late and status != ROK:
                await asyncio.sleep(LATE_AGAIN_S)
                self._late[:0] = late
                self._arrived.set()

    async def _report(self, report: ReportSink, late: list[LateOutcome], requests: list[Request]) -> int:
        """The command_status that all of them are answered with: taken, or once more later (section 5.1.3)."""
        try:
            await report([*late, *(self._read(request) for request in requests)])
        except Exception as error:  # whatever the reason, unstored reports must come again
            # Only the kind of error: a database's own words may hold the texts that it could not store.
            log.warning(
                "reports_not_stored",
                provider=self._provider,
                count=len(late) + len(requests),
                error=type(error).__name__,
            )
            return RX_T_APPN
        return ROK
