"""Where returned mail arrives: a small SMTP server whose 250 means that it is stored. Reading it is dsn's work."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import Any

import structlog

from channels.channel import ReportSink
from channels.email.dsn import READ_BYTES_MAX, read_mail
from channels.email.envelope import tag_of
from channels.email.server import Bounds, SmtpServer
from channels.email.settings import MIB, SmtpSettings
from channels.guests import Guests
from channels.outcome import Receipt

log = structlog.get_logger(__name__)

REPORT_BYTES_EXTRA = MIB
"""What a report may have above our largest message: some servers return that whole, though we ask for RET=HDRS."""
RECIPIENTS_MAX = 10
"""RCPT commands in one transaction: a report has one recipient."""
CONNECTIONS_MAX = 40
"""At once, of peers that are believed; each may hold READ_BYTES_MAX of a mail."""
CONNECTIONS_OF_ONE_MAX = 20
"""Of these, from one address: what a mail server opens to one destination (postfix). Another one still finds room."""
TIMEOUT_S = 60.0
"""Between two commands, and for a whole mail with its storing: a mail server keeps what was not answered."""
STOP_S = 5.0
"""How long a stop waits for reports that are being stored."""


class BounceListener:
    """Listens at `settings.bounce_listen`; answers 250 only when `report` returned, else 451."""

    def __init__(self, settings: SmtpSettings, report: ReportSink) -> None:
        self._settings = settings
        self._report = report
        self._storing = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._server = SmtpServer(
            self,
            guests=Guests(
                "bounces", most=CONNECTIONS_MAX, most_of_one=CONNECTIONS_OF_ONE_MAX, believed=settings.bounce_peers
            ),
            bounds=Bounds(
                mail_bytes_max=settings.max_message_bytes + REPORT_BYTES_EXTRA, kept_bytes_max=READ_BYTES_MAX
            ),
            timeout=TIMEOUT_S,
            hostname="tocsin-bounces",
            ident="ESMTP",
        )
        self.port = 0
        """The port listened at, once started."""

    async def start(self) -> None:
        """Raises OSError if the address cannot be listened at."""
        endpoint = self._settings.bounce_endpoint
        assert endpoint is not None
        self.port = await self._server.start(*endpoint)
        log.info("bounce_listener_started", provider=self._settings.name, host=endpoint[0], port=self.port)

    async def stop(self) -> None:
        """Ends, after the reports under way were stored or STOP_S passed; what was not answered is sent again."""
        self._server.stop_listening()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._quiet.wait()
        await self._server.stop()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        """RCPT TO: only the bounce address, tagged or not."""
        if tag_of(address, self._settings.envelope_sender) is None:
            return "550 5.1.1 Only reports are taken here"
        if len(envelope.rcpt_tos) >= RECIPIENTS_MAX:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """A whole mail: 250 once it is stored."""
        read = functools.partial(
            read_mail,
            envelope.content,
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            bounce_address=self._settings.envelope_sender,
        )
        reports = await asyncio.to_thread(
            read
        )  # bounded, and still some ten milliseconds for a mail that is made to hurt
        self._storing += 1
        self._quiet.clear()
        try:
            await self._report(reports)
        except Exception:
            log.exception("bounce_not_stored", provider=self._settings.name)
            return "451 4.3.0 Not stored, try again later"
        finally:
            self._storing -= 1
            if self._storing == 0:
                self._quiet.set()
        receipts = sum(isinstance(report, Receipt) for report in reports)
        log.info("bounce_received", provider=self._settings.name, receipts=receipts, others=len(reports) - receipts)
        return "250 2.0.0 Stored"

    async def handle_exception(self, _error: Exception) -> str:
        """Whatever else goes wrong is for the sender to try again (aiosmtpd itself would answer 500)."""
        log.exception("bounce_dialogue_failed", provider=self._settings.name)
        return "451 4.3.0 Not now, try again later"
