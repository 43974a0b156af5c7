"""From addresses to planned deliveries: which provider, how many units, at what price, or why not. Nothing is written here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from billing.pricing import hold_for
from billing.tariff import Tariff, TariffTable
from channels.channel import Channel, InvalidAddressError, Message
from gateway.alert import Alert
from gateway.destinations import DestinationPolicy, check
from gateway.escalation import Occurrence, Recipient, targets
from gateway.routing import Routes, next_provider

ADDRESSES_REMEMBERED = (
    20_000  # parsing a number and judging its destination takes 40 µs; the same people are told again
)


class AddressRefused(ValueError):  # noqa: N818 - a verdict that names its code
    """The address cannot be used. `code` is stable, the text says what was expected."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


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
        self._by_name: dict[str, Channel] = {}
        for channel in channels.values():
            self._by_name.setdefault(channel.name, channel)
        self._routes = routes
        self._destinations = destinations
        self._available = available
        self._text_for = text_for
        self.canonical: Callable[[str], str] = lru_cache(maxsize=ADDRESSES_REMEMBERED)(self._canonical)
        """`_canonical`, remembered for the addresses that were used last."""
        self.tariffs = TariffTable([])

    def _canonical(self, raw: str) -> str:
        """The address as stored, ``channel:value``. Raises AddressRefused: not understood, not allowed, or nobody takes it."""
        name, colon, value = raw.partition(":")
        channel = self._by_name.get(name)
        if not colon or not value:
            raise AddressRefused("invalid_address", "expected channel:value, such as sms:+33612345678")
        if channel is None:
            known = ", ".join(sorted(self._by_name)) or "none is configured"
            raise AddressRefused("unknown_channel", f"expected one of the configured channels ({known}), not {name!r}")
        try:
            parsed = channel.parse_address(value)
        except InvalidAddressError as error:
            raise AddressRefused("invalid_address", str(error)) from error
        policy = self._destinations.get(name)
        if policy is not None:
            refusal = check(name, parsed, policy)
            if refusal is not None:
                raise AddressRefused(refusal.code, refusal.detail)
        if not self._routes.providers_for(name, parsed):
            raise AddressRefused("no_route", f"no route of channel {name} takes {parsed}")
        return f"{name}:{parsed}"

    def plan(self, occurrence: Occurrence, recipients: Sequence[Recipient], alert: Alert) -> list[PlannedDelivery]:
        """The deliveries of one occurrence of the alert, priced on the text that each will say. Addresses are canonical; one
        that no route takes any more is planned with no provider, and fails when it is written."""
        units: dict[tuple[str, str], int] = {}
        planned = []
        seen: set[str] = set()
        for n, recipient, address in targets(occurrence, recipients):
            if address in seen:
                continue  # one call at one address is enough, whoever lists it twice
            seen.add(address)
            planned.append(self._one(n, recipient, address, alert, units))
        return planned

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
