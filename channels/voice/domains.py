"""Where the domains of SIP addresses are served, looked up ahead: a redirect has to be followed while the call is being placed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import structlog

from channels.voice.settings import SipSettings
from ivr.locating import hops_of
from ivr.sip.hop import Hop
from ivr.sip.uri import SipUri, parse_uri
from ivr.trunk import Trunk

log = structlog.get_logger(__name__)

REFRESH_S = 300.0
AT_ONCE = 8
"""Names looked up side by side: more would look like an attack to the name server."""


class Domains:
    """The domains that may be called besides the trunk's own numbers, and the hops to each."""

    def __init__(self, settings: SipSettings) -> None:
        self._transport = settings.transport
        self._own = {settings.host.lower(), settings.domain.lower()} - {""}
        self._names = tuple(dict.fromkeys(domain.lower() for domain in settings.allowed_domains))
        self._hops: dict[str, tuple[Hop, ...]] = {}

    async def keep(self) -> None:
        """Looks all of them up, again and again."""
        while True:
            for start in range(0, len(self._names), AT_ONCE):
                await asyncio.gather(*(self._look_up(name) for name in self._names[start : start + AT_ONCE]))
            await asyncio.sleep(REFRESH_S)

    async def _look_up(self, name: str) -> None:
        if name in self._own:
            return
        try:
            self._hops[name] = await hops_of(name, None, self._transport, random.random)
        except (OSError, TimeoutError) as error:
            log.warning("domain_not_found", domain=name, error=str(error))

    def hops(self, target: str, trunk: Trunk) -> tuple[Hop, ...]:
        """Where a SIP URI of an allowed domain is sent; empty for every other one, and for one that nobody could look up."""
        uri = parse_uri(target)
        if not isinstance(uri, SipUri):
            return ()
        domain = uri.host.lower()
        if domain not in self._names:
            return ()
        if domain in self._own:
            own = trunk.hops
            if uri.port is None or any(hop.port == uri.port for hop in own):
                return own
            return tuple(dict.fromkeys(replace(hop, port=uri.port) for hop in own))
        known: Sequence[Hop] = self._hops.get(domain, ())
        if uri.port is None:
            return tuple(known)
        return tuple(dict.fromkeys(replace(hop, port=uri.port) for hop in known))
