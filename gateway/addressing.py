"""Which providers of a channel take an address, and how it is stored: each reads it by its own country and rules. Nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

from channels.channel import Channel, InvalidAddressError
from gateway.destinations import DestinationPolicy, Refusal, check
from gateway.routing import Routes

ADDRESSES_REMEMBERED = (
    20_000  # parsing a number and judging its destination takes 40 µs; the same people are told again
)


class AddressRefused(ValueError):  # noqa: N818 - a verdict that names its code
    """The address cannot be used. `code` is stable, the text says what was expected."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Addresses:
    """Reads the addresses of all channels.

    The country and the extensions of a provider stand in its capabilities; where it has no country, `destinations` have one.
    """

    def __init__(
        self, *, channels: Mapping[str, Channel], routes: Routes, destinations: Mapping[str, DestinationPolicy]
    ) -> None:
        self._providers: dict[str, list[str]] = {}
        self._policies: dict[str, DestinationPolicy | None] = {}
        self._alike: dict[str, object] = {}
        """To providers that have the same here, a number is the same."""
        for provider, channel in channels.items():
            self._providers.setdefault(channel.name, []).append(provider)
            self._alike[provider] = (type(channel).__name__, channel.capabilities.region)
            self._policies[provider] = _policy_of(channel, destinations.get(channel.name))
        self._channels = channels
        self._every_route = routes
        self._carries: Callable[[str, str], bool] = lru_cache(maxsize=ADDRESSES_REMEMBERED)(self._takes)
        self.routes = routes.carried_by(self._carries)
        """The routes, without providers that do not take the address."""
        self.canonical: Callable[[str], str] = lru_cache(maxsize=ADDRESSES_REMEMBERED)(self._canonical)
        """`_canonical`, remembered for the addresses that were used last."""

    def _canonical(self, raw: str) -> str:
        """The address as stored, ``channel:value``. Raises AddressRefused: not understood, not allowed, or nobody takes it.

        Each provider reads what is written in its own country; the reading of the one counts that would carry it.
        """
        name, colon, written = raw.partition(":")
        providers = self._providers.get(name)
        if not colon or not written:
            raise AddressRefused("invalid_address", "expected channel:value, such as sms:+33612345678")
        if providers is None:
            known = ", ".join(sorted(self._providers)) or "none is configured"
            raise AddressRefused("unknown_channel", f"expected one of the configured channels ({known}), not {name!r}")
        if len(providers) == 1 or written.startswith("+"):  # the same everywhere
            return self._routed(name, self._allowed(providers[0], self._read(providers[0], written)))
        readings = self._readings(providers, written)
        value, readers = next(iter(readings.items()))
        if len(readers) == len(providers) and value.startswith("+"):
            return self._routed(name, self._allowed(providers[0], value))
        carriers = {value: self._carriers(name, value) for value in readings}
        taken = [value for value, readers in readings.items() if carriers[value][:1] and carriers[value][0] in readers]
        taken = taken or [value for value, readers in readings.items() if not set(readers).isdisjoint(carriers[value])]
        if len(taken) > 1:
            told = " and ".join(f"{value} for provider {carriers[value][0]}" for value in taken)
            raise AddressRefused("ambiguous_address", f"expected a number with + and its country code: this is {told}")
        if not taken:
            raise self._refused(name, readings)
        return f"{name}:{taken[0]}"

    def _readings(self, providers: list[str], written: str) -> dict[str, list[str]]:
        """What the address is to the providers, each with those that read it so. Raises AddressRefused where none of them can."""
        readings: dict[str, list[str]] = {}
        refusal: InvalidAddressError | None = None
        numbers: dict[object, str] = {}
        for provider in providers:
            alike = self._alike[provider]
            try:
                value = numbers.get(alike) or self._channels[provider].parse_address(written)
            except InvalidAddressError as error:
                refusal = refusal or error
                continue
            if value.startswith("+"):
                numbers[alike] = value
            readings.setdefault(value, []).append(provider)
        if not readings:
            raise AddressRefused("invalid_address", str(refusal))
        return readings

    def _carriers(self, name: str, value: str) -> tuple[str, ...]:
        """The providers of the address's route that take it."""
        route = self._every_route.providers_for(name, value)
        if value.startswith("+"):
            return route if self._refusal(self._providers[name][0], value) is None else ()
        return tuple(provider for provider in route if self._carries(provider, value))

    def _refused(self, name: str, readings: Mapping[str, list[str]]) -> AddressRefused:
        for value, readers in readings.items():
            for provider in self._providers[name]:
                refusal = self._refusal(provider, value) if provider in readers else None
                if refusal is not None:
                    return AddressRefused(refusal.code, refusal.detail)
        return AddressRefused("no_route", f"no route of channel {name} takes {' or '.join(readings)}")

    def _takes(self, provider: str, value: str) -> bool:
        """Whether the provider takes the canonical address without its channel."""
        channel = self._channels.get(provider)
        if channel is None:
            return True  # in another process: it is judged there
        try:
            return channel.parse_address(value) == value and self._refusal(provider, value) is None
        except InvalidAddressError:
            return False

    def _refusal(self, provider: str, value: str) -> Refusal | None:
        """Why no address like this is reached over the provider. With ``+`` a number is the same for all of a channel."""
        policy = self._policies[provider]
        return None if policy is None else check(self._channels[provider].name, value, policy)

    def of_provider(self, provider: str, written: str) -> str:
        """The canonical address, without its channel, for this provider, whatever routes there are. Raises AddressRefused."""
        return self._allowed(provider, self._read(provider, written))

    def _read(self, provider: str, written: str) -> str:
        try:
            return self._channels[provider].parse_address(written)
        except InvalidAddressError as error:
            raise AddressRefused("invalid_address", str(error)) from error

    def _allowed(self, provider: str, value: str) -> str:
        refusal = self._refusal(provider, value)
        if refusal is not None:
            raise AddressRefused(refusal.code, refusal.detail)
        return value

    def _routed(self, name: str, value: str) -> str:
        if not self._every_route.providers_for(name, value):
            raise AddressRefused("no_route", f"no route of channel {name} takes {value}")
        return f"{name}:{value}"


def _policy_of(channel: Channel, policy: DestinationPolicy | None) -> DestinationPolicy | None:
    if policy is None:
        return None
    able = channel.capabilities
    return replace(policy, default_region=able.region or policy.default_region, extensions=able.extensions)
