"""The voice channel over SIP: one trunk behind the channel port. It knows which phone is being called, and what is told there."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from channels.channel import Capabilities, InvalidAddressError, Message, ReportSink
from channels.conversation import Attendant, Briefing, Stop
from channels.outcome import Delivered, LinkHealth, Outcome, PermanentFailure, Reason, RetryLater
from channels.plainly import endpoint, plainly
from channels.voice.address import VoiceAddress, parse
from channels.voice.calls_in import CallsIn
from channels.voice.dialling import InvalidTargetError, endpoint_config, invitation_parts, trunk_config
from channels.voice.domains import Domains
from channels.voice.doorkeeper import Doorkeeper
from channels.voice.files import FLOWS, flow_at
from channels.voice.outcomes import answered, cancelled, refused
from channels.voice.phone import Agenda, Item, Phone
from channels.voice.settings import SipSettings
from ivr.audio.prompts import Prompts
from ivr.audio.speech import SpeechPlan, SpeechUnavailable
from ivr.call import CallOptions, CallResult
from ivr.endpoint import Endpoint
from ivr.orders import Conversation, Order
from ivr.sip.events import Lost
from ivr.sip.hop import Hop
from ivr.sip.incoming import IncomingCall
from ivr.trunk import Trunk

log = structlog.get_logger(__name__)

OPEN_AGAIN_S = 5.0
"""After a name that was not found or an address that was taken, it is tried again."""
CLOSING_S = 1.0
"""Our last words and the BYE: the longest call is over before a minute begins that was not held."""


class VoiceChannel:
    """One SIP trunk or exchange."""

    name = "voice"

    def __init__(self, settings: SipSettings, speech: SpeechPlan | None = None) -> None:
        self.provider = settings.name
        self.capabilities = Capabilities(
            receipts=False,
            acknowledges=True,
            concurrent_sends=settings.max_calls,
            region=settings.country,
            extensions=settings.extensions,
        )
        self._settings = settings
        self._allowed = frozenset(domain.lower() for domain in settings.allowed_domains)
        self._domains = Domains(settings)
        self._prompts = Prompts(settings.prompts)
        self._speaker = (speech or SpeechPlan()).speaker(settings.words_per_minute)
        self._flow = flow_at(settings.flow or FLOWS / "alert.toml", self._prompts, "alert")
        self._calls_in = CallsIn(
            line=flow_at(FLOWS / "line.toml", self._prompts, "line"),
            alarm=flow_at(FLOWS / "alarm.toml", self._prompts, "alarm"),
            options=CallOptions(call_max_s=float(settings.call_max_s), media_timeout_s=settings.media_timeout_s),
        )
        self._attendant: Attendant | None = None
        self._alive: Callable[[], None] = lambda: None
        self._has_joined: Callable[[int], None] = lambda _: None
        self._calls_free = asyncio.Semaphore(settings.max_calls)
        """For the moment in which more alerts stop waiting for a call than calls have ended."""
        self._trunk = Trunk(trunk_config(settings))
        self._endpoint: Endpoint | None = None
        self._trouble = Reason(code="not_open", detail="not open yet")
        self._refusal = ""
        """What the trunk itself said to the last call, where it took none of it: an operator has to hear of it."""
        self._phones: dict[str, Phone] = {}
        self._sending: set[Item] = set()
        """What is being told, or waits for it. After a lost lease one delivery may be here twice."""
        self._preparing: set[asyncio.Task[None]] = set()

    # --- the port ----------------------------------------------------------------------------------------------------

    def parse_address(self, raw: str) -> str:
        """E.164 with "+", an extension, or a SIP address of an allowed domain. Raises InvalidAddressError."""
        return str(self._parsed(raw))

    def _parsed(self, raw: str) -> VoiceAddress:
        return parse(raw, default_region=self._settings.country, allowed_domains=self._allowed)

    def billable_units(self, message: Message) -> int:
        """The minutes that the longest call begins."""
        del message
        return self._settings.minutes_max

    def refusal(self, message: Message) -> str:
        """Nothing: what a call has no time for is told by the next one."""
        del message
        return ""

    def attend(
        self,
        attendant: Attendant,
        *,
        alive: Callable[[], None] = lambda: None,
        joined: Callable[[int], None] = lambda _: None,
    ) -> None:
        """See `channels.conversation.Conversing`."""
        self._attendant = attendant
        self._alive = alive
        self._has_joined = joined

    def stop(self, reference: str, stop: Stop) -> None:
        """See `channels.conversation.Conversing`."""
        for phone in self._phones.values():
            for item in phone.agenda.named(reference):
                phone.stop(item, stop)
        for item in self._sending:  # the call that one of them waited for may have just ended
            if item.briefing.reference == reference and item.decision is None:
                item.stopped = item.stopped or stop

    async def send(self, message: Message) -> Outcome:
        """Calls the phone, or waits for the call that it is on already and is told in it."""
        try:
            address = self._parsed(message.address)
        except InvalidAddressError as error:
            return PermanentFailure(reason=Reason(code="invalid_destination", detail=str(error)))
        briefing = Briefing(reference=message.reference, text=message.text, language=message.language)
        item = Item(briefing, urgent=message.urgent)
        self._sending.add(item)
        try:
            while item.stopped is None:
                phone = self._phones.get(str(address))
                outcome = await (self._call(message, address, item) if phone is None else self._joined(phone, item))
                if outcome is not None:
                    return outcome
                item.chosen = False
            return cancelled(item.stopped.by)
        finally:
            self._sending.discard(item)

    async def run(self, report: ReportSink) -> None:
        """Keeps the endpoint open and the trunk looked after until cancelled."""
        del report
        try:
            while True:
                try:
                    await self._open_and_keep()
                except (OSError, ssl.SSLError, TimeoutError) as error:
                    self._trouble = Reason(code="not_open", detail=plainly(error), alarm=True)
                    log.error("trunk_not_opened", provider=self.provider, error=self._trouble.detail)
                except Exception as error:  # a fault of ours at one trunk must not end the others
                    self._trouble = Reason(code="not_open", detail=repr(error), alarm=True)
                    log.exception("trunk_failed", provider=self.provider)
                await asyncio.sleep(OPEN_AGAIN_S)
        finally:
            for task in self._preparing:
                task.cancel()
            self._trouble = Reason(code="not_open", detail="closed")
            await self._speaker.close()

    async def _open_and_keep(self) -> None:
        trunk = self._trunk
        await trunk.resolve()
        config = endpoint_config(self._settings)
        admit = Doorkeeper(self._settings, trunk)
        endpoint = Endpoint(
            config, prompts=self._prompts, speech=self._speaker, admit=admit, knows=admit.knows, incoming=self._incoming
        )
        await endpoint.open(trunk.hops[0])
        self._endpoint = endpoint
        try:
            async with asyncio.TaskGroup() as keeping:
                keeping.create_task(trunk.run(endpoint))
                keeping.create_task(self._domains.keep())
        finally:
            self._endpoint = None
            await endpoint.close()

    def health(self) -> LinkHealth:
        """Whether calls can be placed: the endpoint is open, a proxy answers, we are registered where we have to be."""
        endpoint, trunk = self._endpoint, self._trunk
        if endpoint is None:
            return LinkHealth(up=False, detail=self._trouble.detail, alarm=self._trouble.alarm)
        links_up, links = trunk.proxies_up()
        detail = "; ".join(filter(None, (_plain(trunk), self._refusal)))
        return LinkHealth(
            up=trunk.up, detail=detail, alarm=trunk.alarm or bool(self._refusal), links=links, links_up=links_up,
            outstanding=endpoint.calls_out, facts={"calls": str(endpoint.calls_up), "listens": str(endpoint.port)},
        )  # fmt: skip

    async def probe(self) -> LinkHealth:
        """Asks every proxy whether it is there, from a port of its own. Places no call and registers nothing."""
        trunk = Trunk(trunk_config(self._settings))
        try:
            await trunk.resolve()
            config = endpoint_config(self._settings, port=0)
            endpoint = Endpoint(
                config, prompts=self._prompts, speech=self._speaker, admit=Doorkeeper(self._settings, trunk),
                incoming=_nobody,
            )  # fmt: skip
            await endpoint.open(trunk.hops[0])
        except (OSError, ssl.SSLError, TimeoutError) as error:
            return LinkHealth(up=False, detail=plainly(error), alarm=True)
        try:
            await trunk.ask(endpoint)
        finally:
            await endpoint.close()
        links_up, links = trunk.proxies_up()
        return LinkHealth(
            up=links_up > 0, detail=_plain(trunk), alarm=trunk.alarm, links=links, links_up=links_up,
            facts={"proxies": ", ".join(str(hop) for hop in trunk.hops)},
        )  # fmt: skip

    # --- calls out ---------------------------------------------------------------------------------------------------

    async def _call(self, message: Message, address: VoiceAddress, item: Item) -> Outcome | None:
        """Makes a call; None where it told others, and this alert needs another one."""
        endpoint, attendant = self._endpoint, self._attendant
        if endpoint is None or attendant is None:
            return RetryLater(reason=self._trouble, unreachable=True, elsewhere=True)
        whom = str(address)
        agenda = Agenda(
            attendant, lambda: attendant.briefings(whom), self._settings.language, address=whom, items=[item]
        )
        try:
            order = self._order(message, address, agenda)
        except InvalidTargetError as error:
            return RetryLater(reason=Reason(code="domain_not_found", detail=str(error)), destination=True)
        phone = self._phones[whom] = Phone(agenda, endpoint.prepare(), self._is_foreign(address, order.hops))
        self._speak_early(item.briefing)
        try:
            async with self._calls_free:
                result = await endpoint.place(order, phone.handle)
            await agenda.settled()
            phone.result = result
        finally:
            self._phones.pop(whom, None)
            phone.over.set()
        if _taken_back(result) and item.stopped is None:  # not by us: the endpoint was closed
            return RetryLater(reason=self._trouble, unreachable=True, elsewhere=True)
        return self._outcome(phone, result, item)

    async def _joined(self, phone: Phone, item: Item) -> Outcome | None:
        """Waits for the call under way; None where this alert was not told in it and needs a call of its own."""
        phone.join(item)
        self._has_joined(1)
        try:
            await phone.over.wait()
        finally:
            self._has_joined(-1)
        if phone.result is None or _taken_back(phone.result):
            return None
        outcome = self._outcome(phone, phone.result, item)
        return replace(outcome, joined=True) if isinstance(outcome, RetryLater) else outcome

    def _outcome(self, phone: Phone, result: CallResult, item: Item) -> Outcome | None:
        outcome: Delivered | RetryLater | PermanentFailure
        agenda = phone.agenda
        if item.stopped is not None and (result.refusal is not None or not (item.begun or item is agenda.first)):
            outcome = cancelled(item.stopped.by)
        elif result.refusal is not None:
            outcome = refused(result, foreign=phone.foreign)
            self._refusal = f"calls are refused: {outcome.reason.detail}" if outcome.reason.alarm else ""
        elif phone.missed(item):
            return None
        else:
            billed = item is agenda.first
            outcome = answered(result, item, unproved=agenda.unproved, billed=billed, at=datetime.now(UTC))
            self._refusal = ""
        log.info(
            "call_attempted", provider=self.provider, reference=item.briefing.reference, call=result.call_id,
            outcome=type(outcome).__name__, code=outcome.code if isinstance(outcome, Delivered) else outcome.reason.code,
            seconds=round(result.duration_s, 1),
        )  # fmt: skip
        return outcome

    def _order(self, message: Message, address: VoiceAddress, agenda: Agenda) -> Order:
        settings, trunk, domains = self._settings, self._trunk, self._domains
        hops = domains.hops(address.uri, trunk) if address.uri else trunk.hops
        if not hops:
            raise InvalidTargetError(f"nobody knows where {address} is served" if address.uri else "no proxy is known")
        target, to, from_, headers = invitation_parts(settings, address)
        return Order(
            target=target,
            to=to,
            from_=from_,
            hops=hops,
            headers=headers,
            urgent=message.urgent,
            ring_s=settings.ring_s,
            first_response_s=settings.first_response_s,
            answering=(lambda: None) if self._is_foreign(address, hops) else self._alive,
            redirect=lambda contact: domains.hops(contact, trunk),
            conversation=Conversation(
                flow=self._flow,
                effects=agenda,
                languages=self._languages(message.language or settings.language),
                opening=agenda.opening,
                options=CallOptions(
                    call_max_s=settings.call_max_s - CLOSING_S,
                    media_timeout_s=settings.media_timeout_s,
                    listen_for_greeting=settings.wait_for_beep,
                    ring_s=settings.ring_s,
                    keys_after_answer=address.keys,
                ),
            ),
        )

    def _is_foreign(self, address: VoiceAddress, hops: Sequence[Hop]) -> bool:
        """Whether another side than our trunk is asked."""
        return bool(address.uri) and not set(hops) & set(self._trunk.hops)

    def _languages(self, first: str) -> tuple[str, ...]:
        """The callee's language, then the others that the prompts have."""
        nearest = self._prompts.nearest(first)
        return (nearest, *(language for language in self._prompts.languages if language != nearest))

    def _speak_early(self, briefing: Briefing) -> None:
        """Has the text made while it rings, so that nobody waits for it."""

        async def speak() -> None:
            with contextlib.suppress(SpeechUnavailable):
                await self._speaker.say(briefing.text, briefing.language or self._settings.language)

        task = asyncio.get_running_loop().create_task(speak())
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)

    # --- calls in ----------------------------------------------------------------------------------------------------

    async def _incoming(self, leg: IncomingCall) -> Conversation | int:
        if self._attendant is None:
            return 503
        return await self._calls_in.answer(leg, self._attendant, self._languages, self._settings.language)


def _plain(trunk: Trunk) -> str:
    """What is wrong with the trunk, in the words of people; "" while all is well."""
    found = (
        f"{hop}: {plainly(detail, endpoint(hop.host, hop.port))}" if hop else plainly(detail)
        for hop, detail in trunk.details
    )
    return "; ".join(found)


def _taken_back(result: CallResult) -> bool:
    return result.refusal is not None and result.refusal.lost is Lost.STOPPED


async def _nobody(_: IncomingCall) -> Conversation | int:
    return 503
