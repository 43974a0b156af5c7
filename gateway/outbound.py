"""The one way out: requests to URLs that somebody else chose pass this policy and this client. No retries here."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import SimpleNamespace, TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType
from yarl import URL

from channels.plainly import plainly

URL_CHARACTERS_MAX = 2_048
"""Old browsers and proxies stop about here; RFC 9110 4.1 asks servers for 8,000 octets, which no callback needs."""
RESPONSE_BYTES_MAX = 64 * 1024
"""What is read of an answer: its status is what counts, its text is evidence for people."""
EXCERPT_CHARACTERS_MAX = 500
"""What is kept of an answer's text."""
DNS_KEPT_S = 10
"""How long a resolved and checked address is used again without asking: short enough to follow a fail-over."""
IDLE_KEPT_S = 4.0
"""Common servers close idle connections after five seconds; ours go earlier, so that none dies under a request."""
CONNECTIONS_PER_HOST_SHARE = 2
"""One receiver gets at most this fraction (a half) of all connections: a slow one cannot stop the others."""
RETRY_AFTER_S_MAX = 86_400.0
"""A longer Retry-After is cut to a day."""

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that IANA has handed out for global unicast (RFC 4291 2.4)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 2.1: the last 32 bits are the IPv4 address that is reached
_SHARED_SPACE = IPv4Network("100.64.0.0/10")  # RFC 6598: behind a carrier's NAT
_UNIQUE_LOCAL = IPv6Network("fc00::/7")  # RFC 4193
_PRIVATE_V4 = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))  # RFC 1918
_RELAY_V4 = IPv4Network("192.88.99.0/24")  # RFC 7526: retired 6to4 relays


class AddressRefusedError(OSError):
    """The policy forbids the address; the text names it. An OSError, being raised where a connection would fail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboundPolicy:
    """Where requests may go. By default: https, to public addresses.

    `allow_private`     private (RFC 1918, 4193, 6598) and loopback addresses too, and these also by plain http.
    `allow_http`        plain http to every address that may be reached.
    `allowed_networks`  networks that are reached as if they were public, whatever they are.
    """

    allow_private: bool = False
    allow_http: bool = False
    allowed_networks: tuple[IPNetwork, ...] = ()

    def check_url(self, url: str) -> str | None:
        """None where the URL may be requested, as far as can be told without DNS; else what is wrong with it."""
        target = _target(url, self)
        return target if isinstance(target, str) else None

    def check_address(self, address: IPAddress, *, secure: bool = True) -> str | None:
        """None where a connection to the address may be opened (`secure`: for https), else why not."""
        reached = _reached(address)
        if not secure and not self._may_be_plain(reached):
            return f"plain http to {address} is not allowed"
        if self._may_be_reached(reached):
            return None
        return f"the address {address} is not public"

    def _may_be_reached(self, reached: IPAddress) -> bool:
        if any(reached in network for network in self.allowed_networks):
            return True
        return _is_public(reached) or (self.allow_private and _is_private(reached))

    def _may_be_plain(self, reached: IPAddress) -> bool:
        return self.allow_http or (self.allow_private and _is_private(reached))


ERRORS = (
    "address_refused",
    "connect_failed",
    "connection_lost",
    "dns_failed",
    "redirect_refused",
    "response_malformed",
    "timed_out",
    "tls_failed",
    "url_refused",
)
"""Every `error` of an `OutboundResult`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboundResult:
    """What came of one request.

    `status`         the HTTP status, None when no answer came.
    `error`          None for an answer that is no redirect, else one of `ERRORS`.
    `detail`         for people: the reason in words; never contains the URL's query.
    `maybe_sent`     bytes of the request may have left although no answer came.
    `retry_after_s`  the pause the answer asked for, in seconds (RFC 9110 10.2.3; dates are not read).
    """

    status: int | None = None
    body_excerpt: str = ""
    error: str | None = None
    detail: str = ""
    maybe_sent: bool = False
    retry_after_s: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the receiver took it: a status from 200 to 299."""
        return self.error is None and self.status is not None and 200 <= self.status <= 299


class OutboundClient:
    """Sends requests within a policy, over connections that are kept for reuse. Use as an async context manager.

    `ssl_context` replaces the system's certificate authorities, `resolver` the system's name resolution.
    """

    def __init__(
        self,
        policy: OutboundPolicy,
        *,
        connections_max: int = 100,
        ssl_context: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._policy = policy
        self._connections_max = connections_max
        self._ssl: ssl.SSLContext | bool = ssl_context or True
        self._resolver = resolver
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        self._resolver = self._resolver or aiohttp.ThreadedResolver()
        # One pool for https and one for http: at its socket a connection does not know which of the two it is for.
        self._sessions = {secure: self._session(self._resolver, secure=secure) for secure in (True, False)}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            await session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], response_s: float) -> OutboundResult:
        """One POST; the answer is awaited for at most `response_s` seconds, connecting included.

        Never raises for what the network does. Redirects are not followed, cookies not kept, proxies not asked.
        """
        target = _target(url, self._policy)
        if isinstance(target, str):
            return OutboundResult(error="url_refused", detail=target)
        sent = SimpleNamespace(any=False)
        deadline_at = asyncio.get_running_loop().time() + response_s
        try:
            async with asyncio.timeout_at(deadline_at):
                response = await self._sessions[target.scheme == "https"].post(
                    target, data=body, headers=headers, allow_redirects=False, trace_request_ctx=sent
                )
        except (
            aiohttp.ClientError,
            OSError,
            ValueError,
            RuntimeError,
        ) as failure:  # uvloop: RuntimeError for some sockets
            return _failure(failure, maybe_sent=sent.any)
        try:
            excerpt = await _excerpt(response, deadline_at)
        finally:
            response.release()
        return _answer(response, excerpt)

    def _session(self, resolver: AbstractResolver, *, secure: bool) -> aiohttp.ClientSession:
        guard = _Guard(self._policy, resolver, secure=secure)
        connector = aiohttp.TCPConnector(
            resolver=guard,
            socket_factory=guard.open_socket,
            ssl=self._ssl,
            limit=self._connections_max,
            limit_per_host=max(1, self._connections_max // CONNECTIONS_PER_HOST_SHARE),
            keepalive_timeout=IDLE_KEPT_S,
            ttl_dns_cache=DNS_KEPT_S,
        )
        watch = aiohttp.TraceConfig()
        watch.on_request_headers_sent.append(_note_sent)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a compressed answer could unpack to any size
            skip_auto_headers=("Accept-Encoding",),
            headers={"User-Agent": "tocsin"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # bounded as a whole by post
            trace_configs=[watch],
            trust_env=False,
        )


class _Guard(AbstractResolver):
    """Holds a pool to the policy, twice: names resolve to permitted addresses only, and sockets open to no others."""

    def __init__(self, policy: OutboundPolicy, resolver: AbstractResolver, *, secure: bool) -> None:
        self._policy = policy
        self._resolver = resolver
        self._secure = secure

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        answers = await self._resolver.resolve(host, port, family)
        refusals = [self._refusal(answer["host"]) for answer in answers]
        permitted = [answer for answer, refusal in zip(answers, refusals, strict=True) if refusal is None]
        if not answers:
            raise OSError(f"{host} has no address")
        if not permitted:
            raise AddressRefusedError(refusals[0])
        return permitted

    async def close(self) -> None:
        """The resolver behind belongs to the client."""

    def open_socket(self, place: AddrInfoType) -> socket.socket:
        """A socket for this place, or AddressRefusedError: the last check, on the very address that is connected to."""
        family, kind, protocol, _, address = place
        refusal = self._refusal(str(address[0]))
        if refusal is not None:
            raise AddressRefusedError(refusal)
        return socket.socket(family=family, type=kind, proto=protocol)

    def _refusal(self, text: str) -> str | None:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return f"{text} is no IP address"
        return self._policy.check_address(address, secure=self._secure)


@lru_cache(maxsize=1_024)
def _target(url: str, policy: OutboundPolicy) -> URL | str:
    """The URL as it will be requested, or why it will not be."""
    if len(url) > URL_CHARACTERS_MAX or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return f"expected a URL of at most {URL_CHARACTERS_MAX} printable ASCII characters, no blanks and backslashes"
    try:
        target = URL(url)
        port = target.port
    except ValueError:
        return "expected a URL"
    return _shape_refusal(url, target, port) or _host_refusal(target, policy) or target.with_fragment(None)


def _shape_refusal(url: str, target: URL, port: int | None) -> str | None:
    if target.scheme not in ("http", "https") or not target.raw_host:
        return "expected a URL that begins with https:// or http:// and names a host"
    if "@" in url and "@" in urlsplit(url).netloc:  # even an empty one, which yarl leaves out
        return "expected a URL without user name and password"
    if port is None or not 1 <= port <= 65_535:
        return "expected a port from 1 to 65535"
    return None


def _host_refusal(target: URL, policy: OutboundPolicy) -> str | None:
    host, secure = target.raw_host or "", target.scheme == "https"
    try:
        return policy.check_address(ipaddress.ip_address(host), secure=secure)
    except ValueError:
        pass
    name = host.rstrip(".").lower()
    label = name.rpartition(".")[2]
    if not label or label.isdigit() or label.startswith("0x"):
        return "expected a host name or an IP address in its usual form"  # 127.1, 0x7f000001 and the like
    if label == "localhost" and not (policy.allow_private or policy.allowed_networks):
        return "the host is this machine"
    if not secure and not (policy.allow_http or policy.allow_private):
        return "expected https://, plain http is not allowed"
    return None


def _reached(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 address stands for (mapped, 6to4, Teredo, NAT64), or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def _is_public(address: IPAddress) -> bool:
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    if isinstance(address, IPv4Address):
        return address not in _RELAY_V4
    return address in _GLOBAL_UNICAST and address.scope_id is None


def _is_private(address: IPAddress) -> bool:
    if address.is_loopback:
        return True
    if isinstance(address, IPv4Address):
        return address in _SHARED_SPACE or any(address in network for network in _PRIVATE_V4)
    return address in _UNIQUE_LOCAL


async def _note_sent(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
    context.trace_request_ctx.any = True


async def _excerpt(response: aiohttp.ClientResponse, deadline_at: float) -> str:
    """The beginning of the answer's text. The rest of what is too long or too slow is dropped; the status stands."""
    content = bytearray()
    try:
        if response.content.is_eof():  # as of nearly all: the answer came as one piece
            content += response.content.read_nowait(RESPONSE_BYTES_MAX)
        else:
            await _read_into(content, response, deadline_at)
    except (aiohttp.ClientError, OSError):  # a TimeoutError is an OSError
        response.close()
    if not response.content.at_eof():
        response.close()
    return content[: EXCERPT_CHARACTERS_MAX * 4].decode(errors="replace")[:EXCERPT_CHARACTERS_MAX]


async def _read_into(content: bytearray, response: aiohttp.ClientResponse, deadline_at: float) -> None:
    async with asyncio.timeout_at(deadline_at):
        while len(content) < RESPONSE_BYTES_MAX:
            chunk = await response.content.read(RESPONSE_BYTES_MAX - len(content))
            if not chunk:
                break
            content += chunk


def _answer(response: aiohttp.ClientResponse, excerpt: str) -> OutboundResult:
    redirect = 300 <= response.status <= 399
    return OutboundResult(
        status=response.status,
        body_excerpt=excerpt,
        error="redirect_refused" if redirect else None,
        detail="redirects are not followed" if redirect else "",
        retry_after_s=_retry_after_s(response.headers.get("Retry-After", "")),
    )


def _retry_after_s(value: str) -> float | None:
    if not value.isascii() or not value.isdigit():
        return None
    return min(float(value), RETRY_AFTER_S_MAX)


def _failure(failure: Exception, *, maybe_sent: bool) -> OutboundResult:
    """What an exception of the client means; each kind of failure has one code."""
    cause = failure.os_error if isinstance(failure, aiohttp.ClientConnectorError) else failure
    match cause:
        case AddressRefusedError():
            code, detail = "address_refused", str(cause)
        case _ if isinstance(failure, aiohttp.ClientConnectorDNSError):
            code, detail = "dns_failed", plainly(cause)
        case _ if isinstance(failure, aiohttp.ClientConnectorCertificateError):
            code, detail = "tls_failed", plainly(failure.certificate_error)
        case _ if isinstance(failure, aiohttp.ClientSSLError):
            code, detail = "tls_failed", plainly(cause)
        case _ if isinstance(failure, aiohttp.ClientConnectorError):
            code, detail = "connect_failed", plainly(cause)
        case TimeoutError():
            code, detail = "timed_out", "no answer in time"
        case aiohttp.ClientResponseError():
            code, detail = "response_malformed", cause.message
        case aiohttp.InvalidURL() | ValueError() if not maybe_sent:
            code, detail = "url_refused", "the request cannot be written"
        case _:
            code, detail = "connection_lost", plainly(cause)
    return OutboundResult(error=code, detail=detail[:EXCERPT_CHARACTERS_MAX], maybe_sent=maybe_sent)
