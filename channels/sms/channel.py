"""The SMS channel over SMPP: the links of one provider behind the channel port. The protocol itself is in `smpp`."""

from __future__ import annotations

import asyncio
import ssl

from channels.channel import Capabilities, InvalidAddressError, Message, ReportSink
from channels.outcome import LinkHealth, Outcome, PermanentFailure, Reason, Report, RetryLater
from channels.plainly import endpoint, plainly
from channels.sms.address import parse
from channels.sms.encoding import MessageTooLongError
from channels.sms.settings import SmppSettings
from channels.sms.smpp.connection import BindRefusedError, Connection
from channels.sms.smpp.inbound import report_of
from channels.sms.smpp.inbox import Inbox, Request
from channels.sms.smpp.link import Link
from channels.sms.smpp.links import Links
from channels.sms.smpp.pace import Pace
from channels.sms.smpp.pdu import BindMode
from channels.sms.smpp.reconnect import is_alarm
from channels.sms.smpp.sending import Sending
from channels.sms.smpp.submission import Composer
from channels.sms.smpp.wire import RX_T_APPN
from channels.stream import CLOSE_S

_MODES = {
    "transceiver": (BindMode.TRANSCEIVER,),
    "transmitter_receiver": (BindMode.TRANSMITTER, BindMode.RECEIVER),
    "transmitter": (BindMode.TRANSMITTER,),
    "receiver": (BindMode.RECEIVER,),
}

STOP_MARGIN_S = 5.0
"""What a graceful end may take beyond the wait for answers: the unbind, its answer, and the close of the socket."""


class SmsChannel:
    """One SMSC, reached over the sessions that the settings ask for."""

    name = "sms"

    def __init__(self, settings: SmppSettings) -> None:
        self.provider = settings.name
        self.capabilities = Capabilities(
            receipts=settings.registered_delivery and settings.receives,
            acknowledges=False,
            concurrent_sends=settings.binds * settings.window if settings.sends else 1,
            region=settings.default_region,
            interval_s=1 / settings.rate_per_s if settings.rate_per_s else 0.0,
        )
        self._settings = settings
        self._composer = Composer(settings)
        self._links = Links()
        self._inbox = Inbox(settings.name, self._read)
        self._up = asyncio.Event()

    def parse_address(self, raw: str) -> str:
        """E.164 with "+", or a short code's digits. Raises InvalidAddressError."""
        return parse(raw, self._settings.default_region)

    def billable_units(self, message: Message) -> int:
        """How many short messages the text is on the air; 255, the most there can be, for one too long to be sent."""
        return self._composer.units(message.text)

    def refusal(self, message: Message) -> str:
        """A text that does not fit into the most parts a message can have."""
        return self._composer.refusal(message.text)

    async def send(self, message: Message) -> Outcome:
        """Submits the parts not sent yet, all over one link, and waits for their answers.

        Bounded by `link_wait_s`, then `response_s` (less where another provider stands ready) for a slot in the window and
        again for the answer. Cancelled, it withdraws the parts that have not left. A message whose parts were all sent before
        has nothing to accept. An answer that comes later is reported.
        """
        if not self._settings.sends:
            return PermanentFailure(reason=Reason(code="receive_only", detail="bind_mode = receiver", alarm=True))
        try:
            submissions = self._composer.compose(message)
        except MessageTooLongError as error:
            return PermanentFailure(reason=Reason(code="too_long", detail=str(error)))
        except InvalidAddressError as error:
            return PermanentFailure(reason=Reason(code="invalid_destination", detail=str(error)))
        connection = self._links.freest() or await self._wait_for_link()
        if connection is None:
            return RetryLater(reason=Reason(code="link_down", detail=self._detail()), unreachable=True)
        return await Sending(message, submissions, self._inbox.put_late).over(connection)

    async def run(self, report: ReportSink) -> None:
        """Keeps the links up and reports until cancelled; then unbinds, waiting (bounded) for outstanding answers."""
        inbox = self._inbox
        modes = _MODES[self._settings.bind_mode] * self._settings.binds
        self._links = links = Links()
        for mode in modes:
            links.append(
                Link(
                    self._settings,
                    mode,
                    on_inbound=inbox.put,
                    on_up=self._up.set,
                    on_lost=inbox.forget,
                    on_lapse=links.on_lapse,
                )
            )
        keepers = {asyncio.create_task(link.keep()): link for link in self._links}
        reporter = asyncio.create_task(inbox.deliver(report))
        try:
            done, _ = await asyncio.wait([*keepers, reporter], return_when=asyncio.FIRST_COMPLETED)
            for task in done:  # neither ends by itself: this is a fault of ours, and it must be seen
                task.result()
        except asyncio.CancelledError:
            await self._stop(keepers)
            raise
        finally:
            for task in (*keepers, reporter):
                task.cancel()
            await asyncio.gather(*keepers, reporter, return_exceptions=True)

    def health(self) -> LinkHealth:
        """How the links stand. Up when a message could go out or, with receivers only, when one is bound."""
        bound = [link for link in self._links if link.bound]
        serving = [link for link in bound if link.sends or not self._settings.sends]
        return LinkHealth(
            up=bool(serving),
            detail=self._detail(),
            alarm=any(link.alarm for link in self._links),
            links=len(self._links),
            links_up=len(bound),
            outstanding=sum(link.connection.outstanding for link in self._links if link.connection is not None),
            facts={"bind_mode": self._settings.bind_mode, "pace": self._pace()},
        )

    async def probe(self) -> LinkHealth:
        """Binds in the configured mode on its own connection and unbinds. Bounded by twice `connect_s` and the unbind.

        A receipt that is delivered to it meanwhile is refused for now, so that it comes again.
        """
        mode = _MODES[self._settings.bind_mode][0]
        try:
            connection = await Connection.open(self._settings, mode, Pace(), _refuse)
        except BindRefusedError as error:
            return LinkHealth(up=False, detail=str(error), alarm=is_alarm(error.status), links=1)
        except ssl.SSLCertVerificationError as error:
            return LinkHealth(up=False, detail=f"certificate refused: {error.verify_message}", alarm=True, links=1)
        except OSError as error:
            return LinkHealth(
                up=False, detail=plainly(error, endpoint(self._settings.host, self._settings.port)), links=1
            )
        connection.unbind()
        await connection.closed
        return LinkHealth(up=True, detail=f"bound as {mode.name.lower()}", links=1, links_up=1)

    def _read(self, request: Request) -> Report:
        return report_of(
            request,
            id_rule=self._settings.id_rule,
            default_alphabet=self._settings.default_alphabet,
            unmarked_receipts=self._settings.unmarked_receipts,
        )

    async def _wait_for_link(self) -> Connection | None:
        """A connection that comes up within `link_wait_s`, or None."""
        try:
            async with asyncio.timeout(self._settings.link_wait_s):
                while (connection := self._links.freest()) is None:
                    self._up.clear()
                    await self._up.wait()
        except TimeoutError:
            return None
        return connection

    async def _stop(self, keepers: dict[asyncio.Task[None], Link]) -> None:
        ending = [task for task, link in keepers.items() if link.stop()]
        if ending:
            await asyncio.wait(ending, timeout=self._settings.unbind_wait_s + CLOSE_S + STOP_MARGIN_S)

    def _detail(self) -> str:
        """Why links are down, each reason once."""
        return (
            "; ".join(dict.fromkeys(link.detail for link in self._links if link.detail))
            if self._links
            else "not started"
        )

    def _pace(self) -> str:
        rates = [link.pace.rate_per_s for link in self._links if link.sends]
        limited = [rate for rate in rates if rate is not None]
        return f"{sum(limited):.0f}/s" if limited else "unlimited"


def _refuse(connection: Connection, request: Request) -> None:
    """A probe stores nothing: whatever is delivered to it must be delivered again."""
    connection.respond(request.sequence, RX_T_APPN)
