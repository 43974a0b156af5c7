"""One trunk: its proxies and which of them answer, and our registration there. Calls are placed elsewhere."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog
from prometheus_client import Gauge

from ivr.causes import RETRY_AFTER_MAX_S
from ivr.endpoint import Endpoint
from ivr.locating import hops_of
from ivr.sip.digest import AUTHENTICATE, Asker, Authenticator, Credentials, Prover
from ivr.sip.events import retry_after
from ivr.sip.headers import Headers, parse_name_addr
from ivr.sip.hop import Hop, Transport
from ivr.sip.message import Response
from ivr.sip.requester import TRIES_MAX
from ivr.sip.uri import SipUri, parse_uri
from ivr.transports import Trouble

log = structlog.get_logger(__name__)

RESOLVE_S = 300.0
"""How often the trunk's names are looked up again."""
RESOLVE_AGAIN_S = 10.0
RETRY_FIRST_S, RETRY_MAX_S = 5.0, 300.0
"""After a registration that failed: doubled up to five minutes, somewhat at random (RFC 5626, 4.5)."""
UNREGISTER_S = 2.0
"""A stop waits this long for the answer to its farewell."""
REFRESH_SHARE = 0.8
"""A registration is renewed after this much of its time."""
RENEW_MIN_S, RENEW_MAX_S = 1.0, 86_400.0
"""And neither more often nor less: what was granted may be no time at all, and a registrar that was replaced has forgotten us."""
OPTIONS_WAIT_S = 8.0

PROXY_UP = Gauge("tocsin_sip_proxy_up", "Whether a proxy of a trunk answers", ["provider", "proxy"])
REGISTERED = Gauge("tocsin_sip_registered", "Whether we are registered at the trunk", ["provider"])


@dataclass(frozen=True, kw_only=True, slots=True)
class TrunkConfig:
    """Where the trunk is and who we are there. `proxies` are (host, port) beside the first."""

    name: str
    host: str
    port: int | None
    proxies: tuple[tuple[str, int], ...] = ()
    transport: Transport = "udp"
    domain: str = ""
    username: str = ""
    credentials: Credentials | None = None
    register: bool = False
    register_s: int = 300
    options_s: float = 30.0


@dataclass(slots=True)
class _Proxy:
    """One proxy, as far as it is known."""

    up: bool = True
    """Until it was asked it is taken to be there."""
    detail: str = ""
    alarm: bool = False
    wanted_at: float = 0.0
    """When it may be asked to register us again, if it said so."""


@dataclass(slots=True)
class _Registration:
    """What our REGISTERs share (RFC 3261, 10.2): a Call-ID, numbers that go up, and the time that we ask for."""

    expires_s: int
    call_id: str = field(default_factory=lambda: secrets.token_hex(8))
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))


@dataclass(slots=True)
class Trunk:
    """Keeps the list of proxies and the registration up to date while `run` runs."""

    config: TrunkConfig
    registered: bool = False
    refused: str = ""
    """What the registrar said, while it does not keep us."""
    unwelcome: bool = False
    """Whether the registrar will not have us, whatever we wait for."""
    _proxies: dict[Hop, _Proxy] = field(default_factory=dict)
    _found: dict[tuple[str, int | None], tuple[Hop, ...]] = field(default_factory=dict)
    """Where each host of the trunk was found the last time."""
    _authenticator: Authenticator | None = None
    _known: asyncio.Event = field(default_factory=asyncio.Event)

    # --- what calls ask ----------------------------------------------------------------------------------------------

    @property
    def hops(self) -> tuple[Hop, ...]:
        """The proxies in the order to be tried: those that answer first."""
        return tuple(sorted(self._proxies, key=lambda hop: not self._proxies[hop].up))

    @property
    def up(self) -> bool:
        """Whether calls can be placed: some proxy answers, and we are registered where we have to be."""
        return any(proxy.up for proxy in self._proxies.values()) and (self.registered or not self.config.register)

    @property
    def details(self) -> tuple[tuple[Hop | None, str], ...]:
        """What is wrong, in words as they came, and at which proxy where it is one's; nothing while all is well."""
        found: list[tuple[Hop | None, str]] = [(None, f"not registered: {self.refused}")] if self.refused else []
        found += [(hop, proxy.detail) for hop, proxy in self._proxies.items() if proxy.detail]
        return tuple(found)

    @property
    def alarm(self) -> bool:
        """Whether somebody has to change something: a name, a password, a certificate."""
        return self.unwelcome or any(proxy.alarm for proxy in self._proxies.values())

    def proxies_up(self) -> tuple[int, int]:
        """(how many answer, how many there are)."""
        return sum(proxy.up for proxy in self._proxies.values()), len(self._proxies)

    def is_from(self, hop: Hop) -> bool:
        """Whether a message comes from one of the proxies; their port may be any."""
        host = plain_host(hop.host)
        return any(proxy.host == host for proxy in self._proxies)

    async def resolve(self) -> None:
        """Looks the names up. A host that is not found now is taken to be where it was. Raises OSError where nothing was found."""
        config, found = self.config, list[Hop]()
        failure: OSError | None = None
        for host, port in ((config.host, config.port), *config.proxies):
            try:
                self._found[host, port] = await hops_of(host, port, config.transport, random.random)
            except OSError as error:
                failure = OSError(f"{host}: {error}")
                log.warning("trunk_not_found", provider=config.name, host=host, error=str(error))
            found += self._found.get((host, port), ())
        if not found:
            raise failure or OSError("no proxy")
        if config.transport == "tls":  # it is the trunk that was asked for, whichever proxy answers
            found = [replace(hop, name=config.host.strip("[]")) for hop in found]
        self._proxies = {hop: self._proxies.get(hop, _Proxy()) for hop in found}
        self._known.set()

    async def ask(self, endpoint: Endpoint) -> None:
        """Asks every proxy once whether it is there."""
        self._know_password()
        await asyncio.gather(*(self._ask_whether_up(endpoint, hop) for hop in list(self._proxies)))

    # --- upkeep ------------------------------------------------------------------------------------------------------

    async def run(self, endpoint: Endpoint) -> None:
        """Looks names up again, asks proxies whether they are there, keeps registered. On cancellation it unregisters."""
        config = self.config
        self._know_password()
        async with asyncio.TaskGroup() as work:  # which waits for all, the farewell of a registration among them
            work.create_task(self._keep_resolved())
            if config.options_s:
                work.create_task(self._keep_asking(endpoint))
            if config.register:
                work.create_task(self._keep_registered(endpoint))

    def _know_password(self) -> None:
        if self.config.credentials is not None:
            self._authenticator = Authenticator(self.config.credentials, lambda: secrets.token_hex(8))

    async def _keep_resolved(self) -> None:
        while True:
            await asyncio.sleep(RESOLVE_S if self._proxies else RESOLVE_AGAIN_S)
            with suppress(OSError):  # it is in the log
                await self.resolve()

    async def _keep_asking(self, endpoint: Endpoint) -> None:
        while True:
            await asyncio.gather(*(self._ask_whether_up(endpoint, hop) for hop in list(self._proxies)))
            await asyncio.sleep(self.config.options_s * (0.9 + 0.2 * random.random()))  # noqa: S311 - spreads load, guards nothing

    async def _ask_whether_up(self, endpoint: Endpoint, hop: Hop) -> None:
        """Any answer will do, even a refusal: who answers is there. But 503 is the proxy's own word that it is not, and a
        password that it does not take is of no use."""
        response = await self._ask(
            endpoint, "OPTIONS", hop, secrets.token_hex(8), itertools.count(1), (), within_s=OPTIONS_WAIT_S
        )
        wrong = response is not None and response.status in AUTHENTICATE and self._authenticator is not None
        up = response is not None and response.status != 503 and not wrong
        trouble = endpoint.trouble(hop)
        detail = "" if up else _said(response, trouble)
        proxy = self._proxies.get(hop)
        if proxy is None:
            return
        if proxy.up != up:
            log.warning("proxy_up" if up else "proxy_down", provider=self.config.name, proxy=str(hop), detail=detail)
        proxy.up, proxy.detail = up, detail
        proxy.alarm = wrong or (not up and trouble is not None and trouble.untrusted)
        PROXY_UP.labels(self.config.name, str(hop)).set(up)

    async def _keep_registered(self, endpoint: Endpoint) -> None:
        """REGISTER (RFC 3261, 10.2): one Call-ID, counted up, renewed before its time is over."""
        ours, failures = _Registration(self.config.register_s), 0
        try:
            while True:
                kept = await self._register_somewhere(endpoint, ours)
                if kept is not None:
                    failures = 0
                    if not await self._lost_within(endpoint, *kept):
                        continue
                failures += 1
                wait_s = min(RETRY_FIRST_S * 2 ** min(failures - 1, 10), RETRY_MAX_S)
                wait_s *= 0.5 + random.random() / 2  # noqa: S311 - as above
                wanted_at = min((proxy.wanted_at for proxy in self._proxies.values()), default=0.0)
                await asyncio.sleep(max(wait_s, wanted_at - endpoint.now()))
        finally:
            if self.registered:
                self.registered = False
                REGISTERED.labels(self.config.name).set(0)
                await self._farewell(endpoint, ours)

    async def _register_somewhere(self, endpoint: Endpoint, ours: _Registration) -> tuple[Hop, float] | None:
        """Which of the proxies keeps us now, and after how long it is asked again; None where none does. One that has asked to
        be left alone for a while is (RFC 3261, 20.33 and 21.5.4)."""
        for hop in self.hops:
            proxy = self._proxies.get(hop)
            if proxy is None or endpoint.now() < proxy.wanted_at:
                continue
            response = await self._register(endpoint, hop, ours)
            if self._taken(response, endpoint) and response is not None:
                contact = endpoint.agent.local.contact(self.config.transport)
                renew_s = granted(response.headers, contact, ours.expires_s) * REFRESH_SHARE
                return hop, min(max(RENEW_MIN_S, renew_s), RENEW_MAX_S)
            asked_s = retry_after(response.headers) if response is not None else None
            proxy.wanted_at = endpoint.now() + min(asked_s or 0.0, RETRY_AFTER_MAX_S)
        return None

    @staticmethod
    async def _lost_within(endpoint: Endpoint, hop: Hop, seconds: float) -> bool:
        """Whether the connection over which we are registered was lost in this time: the registrar reaches us over no other
        (RFC 5626, 4.5)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await endpoint.until_lost(hop)
                return True
        return False

    async def _farewell(self, endpoint: Endpoint, ours: _Registration) -> None:
        try:
            async with asyncio.timeout(UNREGISTER_S):
                await self._ask_registrar(endpoint, self.hops[0], ours, 0)
        except TimeoutError:
            log.info("not_unregistered", provider=self.config.name)

    async def _register(self, endpoint: Endpoint, hop: Hop, ours: _Registration) -> Response | None:
        """Where the time is too brief for the registrar, the least that it takes is asked for at once (RFC 3261, 10.2.8)."""
        response = await self._ask_registrar(endpoint, hop, ours, ours.expires_s)
        if response is None or response.status != 423:
            return response
        least_s = _seconds(response.headers.get("Min-Expires")) or 0
        if least_s <= ours.expires_s:
            return response
        ours.expires_s = least_s
        return await self._ask_registrar(endpoint, hop, ours, ours.expires_s)

    async def _ask_registrar(
        self, endpoint: Endpoint, hop: Hop, ours: _Registration, expires_s: int
    ) -> Response | None:
        headers = (("Expires", str(expires_s)),)
        return await self._ask(endpoint, "REGISTER", hop, ours.call_id, ours.numbers, headers)

    def _taken(self, response: Response | None, endpoint: Endpoint) -> bool:
        """Whether we are registered."""
        ok = response is not None and response.status < 300
        detail = _said(response, next(filter(None, map(endpoint.trouble, self.hops)), None))
        self.unwelcome = response is not None and response.status in (401, 403, 404, 407)
        if ok != self.registered or (not ok and detail != self.refused):
            log.warning("registered" if ok else "not_registered", provider=self.config.name, detail=detail)
        self.registered, self.refused = ok, "" if ok else detail
        REGISTERED.labels(self.config.name).set(ok)
        return ok

    # --- requests ----------------------------------------------------------------------------------------------------

    async def _ask(
        self, endpoint: Endpoint, method: str, hop: Hop, call_id: str, numbers: Iterator[int],
        headers: tuple[tuple[str, str], ...], *, within_s: float = 32.0,
    ) -> Response | None:  # fmt: skip
        """One request outside a dialog, sent again with credentials for each who asks for them (RFC 3261, 22.2 and 22.3)."""
        config = self.config
        domain = config.domain or config.host
        uri = str(SipUri(host=domain if method == "REGISTER" else config.host))
        address = f"<sip:{config.username or 'tocsin'}@{domain}>"
        to = address if method == "REGISTER" else f"<{uri}>"
        from_ = f"{address};tag={secrets.token_hex(4)}"
        prover = Prover(self._authenticator)
        tried: frozenset[Asker] = frozenset()
        response = None
        for _ in range(TRIES_MAX):
            request = endpoint.agent.request(
                method, uri, hop=hop, from_=from_, to=to, call_id=call_id, cseq=next(numbers),
                headers=(*headers, *prover.headers(method, uri)),
            )  # fmt: skip
            response = await endpoint.ask(request, hop, within_s=within_s)
            if response is None or response.status not in AUTHENTICATE:
                return response
            askers = prover.take(response.status, response.headers, tried)
            if not askers:
                return response
            tried |= askers
        return response


def plain_host(host: str) -> str:
    """An address as it was configured: without a zone, and of IPv4 where an IPv6 socket shows one (RFC 4291, 2.5.5.2)."""
    host = host.partition("%")[0]
    return host[7:] if host.lower().startswith("::ffff:") and "." in host else host


def _said(response: Response | None, trouble: Trouble | None) -> str:
    """What came of asking, in words."""
    if response is not None:
        return f"{response.status} {response.reason}"
    return "no answer" if trouble is None else trouble.text


def granted(headers: Headers, contact: str, asked_s: int) -> float:
    """For how long a registrar keeps us: what its answer says of our Contact; of all that it lists the least, where a NAT has
    made ours another; else what it says of the whole, or what we asked for (RFC 3261, 10.2.4)."""
    ours = parse_name_addr(contact)
    listed: list[tuple[bool, int]] = []
    for value in headers.elements("Contact"):
        address = parse_name_addr(value)
        seconds = None if address is None else _seconds(address.params.get("expires"))
        if address is not None and ours is not None and seconds is not None:
            listed.append((_same(address.uri, ours.uri), seconds))
    found = [seconds for same, seconds in listed if same] or [seconds for _, seconds in listed]
    return float(min(found) if found else _seconds(headers.get("Expires")) or asked_s)


def _same(one: str, other: str) -> bool:
    """Whether two Contacts lead to the same place: of RFC 3261, 19.1.4, what registrars keep. No port is the standard one."""
    first, second = parse_uri(one), parse_uri(other)
    if not isinstance(first, SipUri) or not isinstance(second, SipUri):
        return False
    return _place(first) == _place(second)


def _place(uri: SipUri) -> tuple[str, str, int]:
    secure = uri.scheme == "sips" or (uri.params.get("transport") or "").lower() == "tls"
    return uri.user, uri.host.lower(), uri.port or (5061 if secure else 5060)


def _seconds(value: str | None) -> int | None:
    value = (value or "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 7 else None
