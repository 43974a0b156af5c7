"""From addresses to planned deliveries: which provider, how many units, at what price, or why not. Nothing is written here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.money import format_amount
from billing.pricing import hold_for
from billing.tariff import Tariff, TariffTable
from channels.channel import Attachment, Channel, Message
from gateway.addressing import Addresses
from gateway.alert import Alert
from gateway.clock import rfc3339
from gateway.destinations import DestinationPolicy
from gateway.escalation import Occurrence, Recipient, targets
from gateway.large_work import give_way
from gateway.routing import Routes, next_provider


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedDelivery:
    """One delivery as it will be written. `price_micros` is for one unit; the hold is for the dearest eligible route."""

    recipient: int
    person: str
    language: str
    address: str
    provider: str
    units: int
    tariff_id: int | None
    price_micros: int
    hold_micros: int

    def foreseen(self, step: int, at: datetime) -> dict[str, Any]:
        """It as a dry run shows it, for the step that begins at the time."""
        return {
            "at": rfc3339(at),
            "step": step,
            "recipient": self.person,
            "person": self.person,
            "address": self.address,
            "provider": self.provider,
            "units": self.units,
            "price": format_amount(self.price_micros),
            "held": format_amount(self.hold_micros),
            "hold": format_amount(self.hold_micros),
        }


class Planner:
    """Knows the channels, routes, tariffs and destination rules; asked once for each step that becomes active.

    `text_for` gives (subject, text) of an alert for a channel and a language.
    """

    def __init__(
        self,
        *,
        channels: Mapping[str, Channel],
        routes: Routes,
        destinations: Mapping[str, DestinationPolicy],
        available: Callable[[str], bool],
        text_for: Callable[[Alert, str, str], tuple[str, str]],
    ) -> None:
        self._channels = channels
        self.addresses = Addresses(channels=channels, routes=routes, destinations=destinations)
        self.canonical = self.addresses.canonical
        self._routes = self.addresses.routes
        self._available = available
        self._text_for = text_for
        self.tariffs = TariffTable([])

    def plan(self, occurrence: Occurrence, recipients: Sequence[Recipient], alert: Alert) -> list[PlannedDelivery]:
        """The deliveries of one occurrence of the alert, priced on the text that each will say. Addresses are canonical; one
        that no route takes any more is planned with no provider, and fails when it is written."""
        return list(self.each(occurrence, recipients, alert))

    def each(self, occurrence: Occurrence, recipients: Sequence[Recipient], alert: Alert) -> Iterator[PlannedDelivery]:
        """As `plan`, one after the other; gives way to others where there are many."""
        units: dict[tuple[str, str], int] = {}
        seen: set[str] = set()
        for n, recipient, address in targets(occurrence, recipients):
            if address in seen:
                continue  # one call at one address is enough, whoever lists it twice
            seen.add(address)
            give_way()
            yield self._one(n, recipient, address, alert, units)

    def refusal(
        self,
        plan: Sequence[Occurrence],
        recipients: Sequence[Recipient],
        alert: Alert,
        attachments: Sequence[Attachment] = (),
    ) -> str:
        """Why the alert, with these files, can be told to one of its addresses by no provider of the route, in whatever step; ""
        where each has one. What a message comes to depends on the provider and the language alone."""
        asked: dict[tuple[str, str], str] = {}
        seen: set[tuple[str, str]] = set()
        for occurrence in plan:
            for _, recipient, address in targets(occurrence, recipients):
                language = recipient.language or alert.language
                if (address, language) in seen:
                    continue
                seen.add((address, language))
                name, _, value = address.partition(":")
                told = ""
                for provider in self._routes.providers_for(name, value):
                    if (provider, language) not in asked and provider in self._channels:
                        asked[provider, language] = self._refusal(provider, value, language, alert, attachments)
                    told = asked.get((provider, language), told)
                    if not told:
                        break
                if told:
                    return told
        return ""

    def _refusal(
        self, provider: str, value: str, language: str, alert: Alert, attachments: Sequence[Attachment]
    ) -> str:
        channel = self._channels[provider]
        subject, text = self._text_for(alert, channel.name, language)
        message = Message(
            address=value, text=text, subject=subject, reference="", language=language, attachments=tuple(attachments)
        )
        told = channel.refusal(message)
        return told and f"{channel.name} over {provider}: {told}"

    def _one(
        self, n: int, recipient: Recipient, address: str, alert: Alert, units: dict[tuple[str, str], int]
    ) -> PlannedDelivery:
        name, _, value = address.partition(":")
        route = tuple(p for p in self._routes.providers_for(name, value) if p in self._channels)
        tariff: Tariff | None = self.tariffs.price_for(name, value)
        language = recipient.language or alert.language
        most = 1
        for provider in route:
            key = (provider, language)
            if key not in units:  # what a text takes depends on the provider and the language alone
                message = Message(address=value, text=self._text_for(alert, name, language)[1], reference="")
                units[key] = self._channels[provider].billable_units(message)
            most = max(most, units[key])
        return PlannedDelivery(
            recipient=n,
            person=recipient.person,
            language=recipient.language,
            address=address,
            provider=next_provider(route, (), self._available) or "",
            units=most,
            tariff_id=None if tariff is None else tariff.id,
            price_micros=0 if tariff is None else tariff.price_micros,
            hold_micros=hold_for(most, tariff),
        )
