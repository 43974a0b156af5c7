"""The e-mail channel: one SMTP provider behind the channel port. Each part it is built of has a file of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from channels.channel import Capabilities, InvalidAddressError, Message, ReportSink
from channels.email.address import parse_address
from channels.email.compose import TooManyAttachmentsError, compose
from channels.email.connection import Connection, Letter, LostError, RefusedError, SessionError, open_connection
from channels.email.envelope import envelope_id, tagged_sender, xtext
from channels.email.listener import BounceListener
from channels.email.pool import Lease, NotLentError, Pool
from channels.email.settings import SmtpSettings
from channels.email.standing import Standing
from channels.email.status import Reply, blames_session, classify, lost
from channels.outcome import Accepted, LinkHealth, Outcome, PermanentFailure, Reason, RetryLater, SentPart
from channels.plainly import plainly
from channels.printable import printable

log = structlog.get_logger(__name__)

ACCEPTED_WITHOUT_RECEIPT = "accepted_no_receipt"
"""Code of an Accepted of which no receipt will come: the broker takes it as settled."""
PROBE_AGAIN_S = 30.0
"""Between two looks at a server that is down; sends look too, this is for quiet times."""
LISTEN_AGAIN_S = 5.0
"""Between two tries to listen for reports, when the port is taken."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class EmailChannel:
    """Sends over one mail server, reads delivery reports back. Implements `channels.channel.Channel`.

    A receipt names the envelope id, which is made from `Message.reference` and therefore the same for every attempt
    of a delivery: whichever attempt a report is of, the delivery is proven. An `Accepted` with the code ``accepted``
    will be followed by a receipt; with ``accepted_no_receipt`` (server without DSN, or no listener) none will come. A
    receipt with the code ``relayed`` (the next server gives no notifications) or ``expanded`` (a mailing list) is the
    last word too.
    """

    name = "email"

    def __init__(self, settings: SmtpSettings, *, now: Callable[[], datetime] = _utc_now) -> None:
        self.provider = settings.name
        self.capabilities = Capabilities(
            receipts=settings.receipts, acknowledges=False, concurrent_sends=settings.connections
        )
        self._settings = settings
        self._now = now
        self._pool = Pool(settings)
        self._standing = Standing(settings.name)
        self._listener: BounceListener | None = None
        self._listener_problem = ""

    @property
    def bounce_port(self) -> int:
        """The port where reports are taken; 0 while there is none."""
        return self._listener.port if self._listener is not None else 0

    def parse_address(self, raw: str) -> str:
        """See `channels.email.address.parse_address`."""
        return parse_address(raw)

    def billable_units(self, _message: Message) -> int:
        """One mail is one unit, whatever its length."""
        return 1

    def refusal(self, message: Message) -> str:
        """A mail that is larger than the settings allow, attachments included."""
        try:
            octets = len(self._letter(message).content)
        except (InvalidAddressError, TooManyAttachmentsError) as error:
            return str(error)
        most = self._settings.max_message_bytes
        return f"expected a mail of at most {most} bytes, as sent: this has {octets}" if octets > most else ""

    async def send(self, message: Message) -> Outcome:
        """One mail to one recipient; bounded by a handful of `response_s` and the upload time.

        A pooled connection that turns out dead, or that refuses in a way that may be the session's and not the mail's, is
        replaced once by a fresh one.
        """
        try:
            letter = self._letter(message)
        except InvalidAddressError as error:
            return PermanentFailure(reason=Reason(code="invalid_destination", detail=str(error)))
        except TooManyAttachmentsError as error:
            return PermanentFailure(reason=Reason(code="too_many_attachments", detail=str(error)))
        if len(letter.content) > self._settings.max_message_bytes:
            return _too_big(len(letter.content), self._settings.max_message_bytes)
        outcome = await self._attempt(letter, envelope_id(message.reference), fresh=False)
        if outcome is None:
            outcome = await self._attempt(letter, envelope_id(message.reference), fresh=True)
        assert outcome is not None  # a fresh connection was not used before
        log.info("email_attempted", provider=self.provider, reference=message.reference, outcome=type(outcome).__name__)
        return outcome

    async def run(self, report: ReportSink) -> None:
        """Listens for reports, expires idle connections, and keeps an eye on a server that is down; until cancelled."""
        self._pool.reopen()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._expire_idle())
                tasks.create_task(self._watch())
                if self._settings.bounce_endpoint is not None:
                    tasks.create_task(self._listen(BounceListener(self._settings, report)))
        finally:
            await self._pool.close()
            if self._listener is not None:
                await self._listener.stop()
                self._listener = None

    def health(self) -> LinkHealth:
        """How the last connection fared, and whether reports can come in."""
        last = self._standing.health()
        facts = dict(last.facts)
        if self._settings.bounce_listen is not None:
            facts["bounce_listener"] = self._listener_problem or ("listening" if self._listener else "not started")
        return LinkHealth(
            up=last.up,
            detail=self._listener_problem or last.detail,
            alarm=last.alarm or bool(self._listener_problem),
            links=self._settings.connections,
            links_up=self._pool.open_count,
            outstanding=self._pool.borrowed_count,
            facts=facts,
        )

    async def probe(self) -> LinkHealth:
        """EHLO, TLS and AUTH on a connection of its own, then QUIT. Sends nothing."""
        try:
            connection = await open_connection(self._settings)
        except SessionError as error:
            self._standing.failed(_outcome_of(error), refused=isinstance(error, RefusedError))
            return self._standing.health()
        self._succeeded(connection)
        await connection.quit()
        return self._standing.health()

    async def _attempt(self, letter: Letter, message_id: str, *, fresh: bool) -> Outcome | None:
        """The outcome; None if a used connection failed in a way that a fresh one may not."""
        lease: Lease | None = None
        try:
            async with self._pool.borrow(fresh=fresh) as lease:
                connection = lease.connection
                self._succeeded(connection)
                if connection.size_max is not None and len(letter.content) > connection.size_max:
                    return _too_big(len(letter.content), connection.size_max)
                reply = await connection.deliver(letter)
                return self._accepted(reply, message_id, dsn_offered=connection.dsn_offered)
        except SessionError as error:
            refusal = error.reply if isinstance(error, RefusedError) else None
            if lease is not None and lease.reused and blames_session(error.stage, refusal):
                log.info("smtp_session_used_up", provider=self.provider, detail=str(error))
                return None
            outcome = _outcome_of(error)
            if not isinstance(error, NotLentError):
                self._standing.failed(outcome, refused=refusal is not None)
            return outcome

    def _accepted(self, reply: Reply, message_id: str, *, dsn_offered: bool) -> Accepted:
        receipt_comes = self._settings.receipts and dsn_offered
        return Accepted(
            parts=(SentPart(n=1, provider_message_id=message_id),),
            code="accepted" if receipt_comes else ACCEPTED_WITHOUT_RECEIPT,
            detail=str(reply),
        )

    def _letter(self, message: Message) -> Letter:
        settings = self._settings
        recipient = parse_address(message.address)
        message_id = envelope_id(message.reference)
        sender = settings.envelope_sender
        # A report of success is asked for only where it comes to us: it would be a nuisance in somebody's mailbox.
        notify = "SUCCESS,FAILURE,DELAY" if settings.receipts else "FAILURE,DELAY"
        return Letter(
            sender=tagged_sender(sender, message_id) if settings.verp else sender,
            recipient=recipient,
            content=compose(message, sender=settings.sender, recipient=recipient, now=self._now()),
            mail_options=("RET=HDRS", f"ENVID={xtext(message_id)}") if settings.dsn else (),
            rcpt_options=(f"NOTIFY={notify}", f"ORCPT=rfc822;{xtext(recipient)}") if settings.dsn else (),
        )

    async def _expire_idle(self) -> None:
        while True:
            await asyncio.sleep(self._settings.idle_s / 2)
            await self._pool.expire_idle()

    async def _watch(self) -> None:
        while True:
            if not self._standing.up:
                await self.probe()
            await asyncio.sleep(PROBE_AGAIN_S)

    async def _listen(self, listener: BounceListener) -> None:
        while True:
            try:
                await listener.start()
            except OSError as error:
                self._listener_problem = printable(f"bounce_listen: {plainly(error)}")
                log.warning("bounce_listener_failed", provider=self.provider, error=str(error))
                await asyncio.sleep(LISTEN_AGAIN_S)
            else:
                self._listener, self._listener_problem = listener, ""
                return

    def _succeeded(self, connection: Connection) -> None:
        self._standing.succeeded(connection.protection, dsn_offered=connection.dsn_offered)


def _outcome_of(error: SessionError) -> RetryLater | PermanentFailure:
    if isinstance(error, RefusedError):
        return classify(error.reply, error.stage)
    code, alarm = (error.code, error.alarm) if isinstance(error, LostError) else ("connection_lost", False)
    return lost(error.stage, code, str(error), alarm=alarm)


def _too_big(octets: int, octets_max: int) -> PermanentFailure:
    detail = f"the message has {octets} octets, the most is {octets_max}"
    return PermanentFailure(reason=Reason(code="message_too_big", detail=detail))
