"""Which providers an address goes to, in order. Pure; whether a provider is well is the dispatcher's knowledge."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from copy import copy
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """The ordered providers for addresses of one channel that begin with `prefix` ("" is every address)."""

    channel: str
    prefix: str
    providers: tuple[str, ...]


class Routes:
    """All routes of an installation; the longest matching prefix wins.

    `providers_by_channel` names each channel's providers in configured order: what a channel without any route uses.
    """

    def __init__(self, routes: Iterable[Route], providers_by_channel: Mapping[str, tuple[str, ...]]) -> None:
        self._unrouted = dict(providers_by_channel)
        self._by_prefix: dict[str, dict[str, tuple[str, ...]]] = {}
        for route in routes:
            self._by_prefix.setdefault(route.channel, {})[route.prefix] = route.providers
        self._lengths = {
            channel: tuple(sorted({len(prefix) for prefix in by_prefix}, reverse=True))
            for channel, by_prefix in self._by_prefix.items()
        }

        self._carries: Callable[[str, str], bool] | None = None

    def carried_by(self, carries: Callable[[str, str], bool]) -> Routes:
        """These routes without providers that do not take an address, as `carries(provider, value)` says. Where none does it goes
        as it would have gone: what was taken in by other rules still goes out. Numbers with ``+`` go everywhere."""
        other = copy(self)
        other._carries = carries
        return other

    def providers_for(self, channel: str, value: str) -> tuple[str, ...]:
        """The providers for ``channel:value``, best first; () where the channel has routes and none of them matches."""
        route = self._routed(channel, value)
        if self._carries is None or len(route) < 2 or value.startswith("+"):
            return route
        return tuple(provider for provider in route if self._carries(provider, value)) or route

    def _routed(self, channel: str, value: str) -> tuple[str, ...]:
        by_prefix = self._by_prefix.get(channel)
        if by_prefix is None:
            return self._unrouted.get(channel, ())
        for length in self._lengths[channel]:
            providers = by_prefix.get(value[:length])
            if providers is not None:
                return providers
        return ()


def next_provider(
    route: tuple[str, ...], exhausted: Collection[str], available: Callable[[str], bool] = lambda _: True
) -> str | None:
    """The provider for the next attempt: the first that is not exhausted and available, else the first not exhausted.

    None when all are exhausted. A provider that is not available is still better than none: it may be back in time.
    """
    remaining = [provider for provider in route if provider not in exhausted]
    return next(filter(available, remaining), remaining[0] if remaining else None)
