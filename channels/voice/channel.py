"""The voice channel over SIP: one trunk behind the channel port. It knows which phone is being called, and what is told there."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from pathlib import Path

import structlog

from channels.channel import Capabilities, Message, ReportSink
from channels.conversation import Attendant, Briefing, Stop
from channels.outcome import LinkHealth, Outcome, Reason, RetryLater
from channels.voice.address import VoiceAddress, dialled, parse
from channels.voice.outcomes import answered, cancelled, refused
from channels.voice.phone import Agenda, Item, Phone, variables_of
from channels.voice.settings import SipSettings
from ivr.audio.prompts import Prompts
from ivr.audio.speech import Speaker
from ivr.call import CallOptions, CallResult
from ivr.endpoint import Conversation, Endpoint, EndpointConfig, Order
from ivr.flow import Flow, parse_flow
from ivr.sip.agent import Admission, Admitted, Dropped
from ivr.sip.digest import Credentials
from ivr.sip.headers import NameAddr
from ivr.sip.hop import Hop
from ivr.sip.incoming import IncomingCall
from ivr.sip.message import Request
from ivr.sip.uri import SipUri

log = structlog.get_logger(__name__)

FLOWS = Path(__file__).parents[2] / "ivr" / "flows"
RINGING_MARGIN_S = 60.0


class VoiceChannel:
    """One SIP trunk or exchange."""

    name = "voice"

    def __init__(self, settings: SipSettings) -> None:
        self.provider = settings.name
        self.capabilities = Capabilities(
            receipts=False, acknowledges=True, concurrent_sends=settings.max_calls, rate_per_s=settings.calls_per_s
        )
        self._settings = settings
        self._domains = frozenset(domain.lower() for domain in settings.allowed_domains)
        self._prompts = Prompts(settings.prompts)
        self._speaker = Speaker(words_per_minute=settings.words_per_minute)
        self._flow = _flow(settings.flow or FLOWS / "alert.toml", self._prompts)
        self._attendant: Attendant | None = None
        self._endpoint: Endpoint | None = None
        self._hops: tuple[Hop, ...] = ()
        self._phones: dict[str, Phone] = {}

    # --- the port ----------------------------------------------------------------------------------------------------

    def parse_address(self, raw: str) -> str:
        """E.164 with "+", an extension, or a SIP address of an allowed domain. Raises InvalidAddressError."""
        return str(self._parsed(raw))

    def _parsed(self, raw: str) -> VoiceAddress:
        return parse(raw, default_region=self._settings.country, allowed_domains=self._domains)

    def billable_units(self, message: Message) -> int:
        """The minutes that the longest call begins."""
        del message
        return self._settings.minutes_max

    def attend(self, attendant: Attendant) -> None:
        """See `channels.conversation.Conversing`."""
        self._attendant = attendant

    def stop(self, reference: str, stop: Stop) -> None:
        """See `channels.conversation.Conversing`."""
        for phone in self._phones.values():
            item = phone.agenda.item(reference)
            if item is not None:
                phone.stop(item, stop)

    async def send(self, message: Message) -> Outcome:
        """Calls the phone, or waits for the call that it is on already and is told in it."""
        briefing = Briefing(reference=message.reference, text=message.text, language=message.language)
        item = Item(briefing)
        while True:
            phone = self._phones.get(message.address)
            if phone is None:
                return await self._call(message, item)
            phone.agenda.items.append(item)
            phone.agenda.looked = phone.agenda.looked and False
            outcome = await self._joined(phone, item)
            if outcome is not None:
                return outcome

    async def run(self, report: ReportSink) -> None:
        """Keeps the endpoint open until cancelled."""
        del report
        settings = self._settings
        hops = await self._resolved()
        password = settings.password.get_secret_value()
        credentials = None
        if password:
            credentials = Credentials(username=settings.auth_username or settings.username, password=password)
        config = EndpointConfig(
            host=settings.listen_host, port=settings.listen_port, transport=settings.transport,
            public_address=settings.public_address, user=settings.username or "tocsin",
            rtp_ports=settings.rtp_port_range, codecs=settings.codecs, encrypted=settings.srtp == "required",
            incoming_max=settings.incoming_max, calls_per_s=settings.calls_per_s, credentials=credentials,
        )  # fmt: skip
        endpoint = Endpoint(
            config, prompts=self._prompts, speech=self._speaker, admit=self._admit, incoming=self._incoming
        )
        await endpoint.open(hops[0])
        self._hops = hops
        self._endpoint = endpoint
        try:
            await asyncio.Event().wait()
        finally:
            self._endpoint = None
            await endpoint.close()
            await self._speaker.close()

    def health(self) -> LinkHealth:
        """Whether the endpoint is open, and how many calls are up."""
        endpoint = self._endpoint
        if endpoint is None:
            return LinkHealth(up=False, detail="not open")
        return LinkHealth(up=True, links=1, links_up=1, outstanding=endpoint.calls_up)

    async def probe(self) -> LinkHealth:
        """Whether the trunk's address can be found."""
        try:
            hops = await self._resolved()
        except OSError as error:
            return LinkHealth(up=False, detail=str(error), alarm=True)
        return LinkHealth(up=True, detail=f"the trunk is {hops[0]}", links=1, links_up=1)

    # --- calls out ---------------------------------------------------------------------------------------------------

    async def _call(self, message: Message, item: Item) -> Outcome:
        endpoint, attendant = self._endpoint, self._attendant
        if endpoint is None or attendant is None:
            return RetryLater(reason=Reason(code="not_open", detail="the endpoint is not open"), unreachable=True)
        agenda = Agenda(attendant, address=message.address, items=[item])
        agenda.next()
        phone = self._phones[message.address] = Phone(agenda, endpoint.prepare())
        asyncio.get_running_loop().create_task(self._spoken_early(item.briefing))
        try:
            result = await endpoint.place(self._order(message, agenda), phone.handle)
        finally:
            self._phones.pop(message.address, None)
            phone.result = None
            phone.over.set()
        phone.result = result
        return self._outcome(result, item, billed=True)

    async def _joined(self, phone: Phone, item: Item) -> Outcome | None:
        """Waits for the call under way; None where this alert was not told in it and needs a call of its own."""
        await phone.over.wait()
        if item.stopped is not None and not item.told:
            return cancelled(item.stopped.by)
        result = phone.result
        if result is None or (result.refusal is None and not item.told):
            return None
        return self._outcome(result, item, billed=False)

    def _outcome(self, result: CallResult, item: Item, *, billed: bool) -> Outcome:
        if result.refusal is None:
            return answered(result, item, billed=billed, at=datetime.now(UTC))
        if item.stopped is not None:
            return cancelled(item.stopped.by)
        return refused(result)

    def _order(self, message: Message, agenda: Agenda) -> Order:
        settings = self._settings
        address = self._parsed(message.address)
        domain = settings.domain or settings.host
        if address.uri:
            target = address.uri
        else:
            user = dialled(address.number, settings.dial, settings.country) if address.number else address.extension
            params = {} if settings.transport == "udp" else {"transport": settings.transport}
            target = str(SipUri(user=user, host=settings.host, port=settings.port, params=params))
        shown = settings.caller_id or settings.username or "tocsin"
        from_user = shown if settings.identity == "from" else settings.username or shown
        headers: tuple[tuple[str, str], ...] = ()
        if settings.identity != "from" and settings.caller_id:
            name = "P-Asserted-Identity" if settings.identity == "p-asserted" else "P-Preferred-Identity"
            headers = ((name, str(NameAddr(settings.caller_name, f"sip:{shown}@{domain}"))),)
        language = message.language or settings.language
        return Order(
            target=target,
            to=NameAddr("", target.partition(";")[0]),
            from_=NameAddr(settings.caller_name, f"sip:{from_user}@{domain}"),
            hops=self._hops,
            headers=headers,
            ring_s=settings.ring_s,
            first_response_s=settings.first_response_s,
            conversation=Conversation(
                flow=self._flow,
                effects=agenda,
                languages=self._languages(language),
                variables=variables_of(agenda.items[0].briefing),
                options=CallOptions(
                    call_max_s=float(settings.call_max_s),
                    media_timeout_s=settings.media_timeout_s,
                    listen_for_greeting=settings.wait_for_beep,
                    keys_after_answer=address.keys,
                ),
            ),
        )

    def _languages(self, first: str) -> tuple[str, ...]:
        """The callee's language, then the others that the prompts have."""
        nearest = self._prompts.nearest(first)
        return (nearest, *(language for language in self._prompts.languages if language != nearest))

    async def _spoken_early(self, briefing: Briefing) -> None:
        """Has the text made while it rings, so that nobody waits for it."""
        from contextlib import suppress

        from ivr.audio.speech import SpeechUnavailable

        with suppress(SpeechUnavailable):
            await self._speaker.say(briefing.text, briefing.language or self._settings.language)

    # --- calls in ----------------------------------------------------------------------------------------------------

    def _admit(self, request: Request, source: Hop, now: float) -> Admission:
        del request, now
        return Admitted() if source.host in {hop.host for hop in self._hops} else Dropped()

    async def _incoming(self, leg: IncomingCall) -> Conversation | int:
        del leg
        return 404

    # --- the trunk ---------------------------------------------------------------------------------------------------

    async def _resolved(self) -> tuple[Hop, ...]:
        settings = self._settings
        port = settings.port or (5061 if settings.transport == "tls" else 5060)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(settings.host, port, type=socket.SOCK_DGRAM)
        return tuple(Hop(settings.transport, str(one[4][0]), port) for one in found)


def _flow(path: Path, prompts: Prompts) -> Flow:
    return parse_flow(path.read_text(encoding="utf-8"), name=str(path), prompts=prompts.names)
