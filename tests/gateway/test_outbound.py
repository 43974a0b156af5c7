"""The outbound policy by table, and the client against real servers on the loopback interface."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from gateway.outbound import EXCERPT_CHARACTERS_MAX, OutboundClient, OutboundPolicy, OutboundResult

STRICT = OutboundPolicy()
PRIVATE = OutboundPolicy(allow_private=True)
HTTP = OutboundPolicy(allow_http=True)
LAB = OutboundPolicy(allowed_networks=(ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fe80::/10")))

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.mark.parametrize(
    ("address", "strict", "private", "lab"),
    [
        ("93.184.216.34", True, True, True),
        ("2606:2800:220:1:248:1893:25c8:1946", True, True, True),
        ("127.0.0.1", False, True, False),
        ("127.9.9.9", False, True, False),
        ("::1", False, True, False),
        ("10.1.2.3", False, True, True),
        ("10.2.2.3", False, True, False),
        ("172.16.0.1", False, True, False),
        ("172.31.255.255", False, True, False),
        ("192.168.1.1", False, True, False),
        ("100.64.0.1", False, True, False),  # shared address space, RFC 6598
        ("fd00::1", False, True, False),
        ("169.254.169.254", False, False, False),  # where clouds keep their credentials
        ("fe80::1", False, False, True),
        ("fec0::1", False, False, False),
        ("0.0.0.0", False, False, False),
        ("::", False, False, False),
        ("224.0.0.1", False, False, False),
        ("239.255.255.250", False, False, False),
        ("ff02::1", False, False, False),
        ("240.0.0.1", False, False, False),
        ("255.255.255.255", False, False, False),
        ("192.0.2.1", False, False, False),
        ("198.18.0.1", False, False, False),
        ("192.88.99.1", False, False, False),
        ("2001:db8::1", False, False, False),
        ("4000::1", False, False, False),  # not handed out
        ("::ffff:127.0.0.1", False, True, False),  # IPv4-mapped
        ("::ffff:10.1.2.3", False, True, True),
        ("::ffff:169.254.169.254", False, False, False),
        ("::ffff:93.184.216.34", True, True, True),
        ("::127.0.0.1", False, False, False),  # IPv4-compatible, retired
        ("2002:7f00:1::", False, True, False),  # 6to4 of 127.0.0.1
        ("64:ff9b::a01:203", False, True, True),  # NAT64 of 10.1.2.3
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", False, True, False),  # Teredo of 127.0.0.1
    ],
)
def test_which_addresses_may_be_reached(address: str, strict: bool, private: bool, lab: bool) -> None:
    parsed = ipaddress.ip_address(address)
    assert [policy.check_address(parsed) is None for policy in (STRICT, PRIVATE, LAB)] == [strict, private, lab]


@pytest.mark.parametrize(
    ("url", "strict", "private", "http"),
    [
        ("https://example.org/hook?a=b", True, True, True),
        ("https://example.org:8443/", True, True, True),
        ("https://bücher.example/", False, False, False),
        ("https://xn--bcher-kva.example/", True, True, True),
        ("http://example.org/", False, True, True),  # whether it is private is known when it is resolved
        ("http://93.184.216.34/", False, False, True),
        ("http://127.0.0.1:8080/", False, True, False),
        ("https://127.0.0.1/", False, True, False),
        ("https://[::1]/", False, True, False),
        ("https://[::ffff:127.0.0.1]/", False, True, False),
        ("https://[fe80::1%25eth0]/", False, False, False),
        ("https://localhost/", False, True, False),
        ("https://a.localhost./", False, True, False),
        ("https://169.254.169.254/latest/", False, False, False),
        ("https://127.1/", False, False, False),
        ("https://2130706433/", False, False, False),
        ("https://0x7f000001/", False, False, False),
        ("https://0x7f.0.0.1/", False, False, False),
        ("https://0177.0.0.1/", False, False, False),
        ("https://user@example.org/", False, False, False),
        ("https://user:pw@example.org/", False, False, False),
        ("https://@example.org/", False, False, False),
        ("https://example.org:0/", False, False, False),
        ("https://example.org:65536/", False, False, False),
        ("https://example.org:x/", False, False, False),
        ("https:///path", False, False, False),
        ("https://", False, False, False),
        ("//example.org/", False, False, False),
        ("/path", False, False, False),
        ("", False, False, False),
        ("ftp://example.org/", False, False, False),
        ("file:///etc/passwd", False, False, False),
        ("https://example.org\\@127.0.0.1/", False, False, False),
        ("https://example.org/a b", False, False, False),
        ("https://example.org/\r\nX: y", False, False, False),
        ("https://example.org/" + "a" * 2_048, False, False, False),
        ("https://./", False, False, False),
    ],
)
def test_which_urls_are_taken_at_submission(url: str, strict: bool, private: bool, http: bool) -> None:
    assert [policy.check_url(url) is None for policy in (STRICT, PRIVATE, HTTP)] == [strict, private, http]


@given(st.text(max_size=60) | st.text(max_size=40).map("https://{}".format))
def test_any_text_is_judged(url: str) -> None:
    refusal = STRICT.check_url(url)
    assert refusal is None or refusal


class Answers(AbstractResolver):
    """A name server of ours: each look-up of any name gives the next list of addresses, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.lookups = 0
        self._answers = answers

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = self._answers[min(self.lookups, len(self._answers) - 1)]
        self.lookups += 1
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


@asynccontextmanager
async def serving(handler: Handler, ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A web server on a free loopback port; gives the port."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await web.SockSite(runner, listener, ssl_context=ssl_context).start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            await runner.cleanup()


@asynccontextmanager
async def speaking(answer: bytes) -> AsyncIterator[int]:
    """A server that reads a little, writes these very bytes and closes; gives the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def post(client: OutboundClient, url: str, response_s: float = 5) -> OutboundResult:
    return await client.post(url, b'{"a": 1}', {"Content-Type": "application/json"}, response_s)


async def taken(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.headers['Content-Type']} {await request.text()}")


async def test_a_post_arrives_as_sent() -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        assert await request.read() == b'{"a": 1}'
        return web.Response(status=201, text="taken")

    async with serving(handler) as port, OutboundClient(PRIVATE) as client:
        result = await post(client, f"http://127.0.0.1:{port}/hook%2F?x=%26#part")
    assert result == OutboundResult(status=201, body_excerpt="taken", maybe_sent=False)
    assert result.ok
    assert seen[0].raw_path == "/hook%2F?x=%26"
    assert "Accept-Encoding" not in seen[0].headers
    assert seen[0].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (204, True), (299, True), (400, False), (429, False), (503, False)]
)
async def test_every_status_is_an_answer(status: int, ok: bool) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "30"})

    async with serving(handler) as port, OutboundClient(PRIVATE) as client:
        result = await post(client, f"http://127.0.0.1:{port}/")
    assert (result.status, result.error, result.ok, result.retry_after_s) == (status, None, ok, 30.0)


@pytest.mark.parametrize(
    ("value", "retry_after_s"),
    [
        ("0", 0.0),
        ("9" * 400, 86_400.0),
        ("-1", None),
        ("1.5", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("", None),
    ],
)
async def test_retry_after_is_bounded(value: str, retry_after_s: float | None) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": value})

    async with serving(handler) as port, OutboundClient(PRIVATE) as client:
        assert (await post(client, f"http://127.0.0.1:{port}/")).retry_after_s == retry_after_s


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    paths: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with serving(handler) as port, OutboundClient(PRIVATE) as client:
        result = await post(client, f"http://127.0.0.1:{port}/here")
    assert (result.status, result.error, result.ok) == (status, "redirect_refused", False)
    assert paths == ["/here"]


async def test_connections_are_kept_and_used_again() -> None:
    peers: set[object] = set()

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response()

    resolver = Answers(["127.0.0.1"])
    async with serving(handler) as port, OutboundClient(PRIVATE, resolver=resolver) as client:
        for _ in range(20):
            assert (await post(client, f"http://hooks.example:{port}/")).ok
    assert len(peers) == 1
    assert resolver.lookups == 1


async def test_cookies_are_not_kept() -> None:
    cookies: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(headers={"Set-Cookie": "a=b"})

    async with serving(handler) as port, OutboundClient(PRIVATE, resolver=Answers(["127.0.0.1"])) as client:
        await post(client, f"http://hooks.example:{port}/")
        await post(client, f"http://hooks.example:{port}/")
    assert cookies == [None, None]


async def test_a_silent_server_costs_no_more_than_the_time_allowed() -> None:
    released = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with serving(handler) as port, OutboundClient(PRIVATE) as client:
        result = await post(client, f"http://127.0.0.1:{port}/", response_s=0.1)
        released.set()
    assert (result.status, result.error, result.maybe_sent) == (None, "timed_out", True)


async def test_one_slow_receiver_leaves_connections_for_the_others() -> None:
    released = asyncio.Event()

    async def silent(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with serving(silent) as slow, serving(taken) as quick, OutboundClient(PRIVATE, connections_max=4) as client:
        # those that get a connection keep it until the others, which wait for one, have given up
        patience = [1.5, 1.5, *[0.3] * 6]
        waiting = [asyncio.create_task(post(client, f"http://127.0.0.1:{slow}/", s)) for s in patience]
        assert (await post(client, f"http://127.0.0.1:{quick}/")).ok
        results = await asyncio.gather(*waiting)
        released.set()
    assert {result.error for result in results} == {"timed_out"}
    assert sum(result.maybe_sent for result in results) == 2  # the others never got a connection


async def test_an_endless_answer_is_cut() -> None:
    ended = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        except (ConnectionError, asyncio.CancelledError):
            ended.set()
            raise

    async with serving(handler) as port, OutboundClient(PRIVATE) as client:
        result = await post(client, f"http://127.0.0.1:{port}/")
        await asyncio.wait_for(ended.wait(), 5)
    assert result == OutboundResult(status=200, body_excerpt="x" * EXCERPT_CHARACTERS_MAX)


async def test_an_answer_that_never_ends_keeps_its_status() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write("é".encode() + b"\xff half")
        await asyncio.Event().wait()
        return response

    async with serving(handler) as port, OutboundClient(PRIVATE) as client:
        result = await post(client, f"http://127.0.0.1:{port}/", response_s=0.3)
    assert (result.status, result.body_excerpt, result.ok) == (200, "é\ufffd half", True)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "connection_lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "connection_lost"),
        (b"not http at all\r\n\r\n", "response_malformed"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "response_malformed"),
    ],
)
async def test_a_broken_answer_is_a_result(answer: bytes, error: str) -> None:
    async with speaking(answer) as port, OutboundClient(PRIVATE) as client:
        result = await post(client, f"http://127.0.0.1:{port}/")
    assert (result.status, result.error, result.maybe_sent) == (None, error, True)


async def test_a_closed_port_is_a_result() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with OutboundClient(PRIVATE) as client:
        result = await post(client, f"http://127.0.0.1:{port}/")
    assert (result.status, result.error, result.maybe_sent) == (None, "connect_failed", False)


async def test_a_name_without_address_is_a_result() -> None:
    async with OutboundClient(PRIVATE, resolver=Answers([])) as client:
        result = await post(client, "https://hooks.example/")
    assert (result.status, result.error, result.maybe_sent) == (None, "dns_failed", False)


async def test_headers_that_cannot_be_written_are_refused() -> None:
    async with serving(taken) as port, OutboundClient(PRIVATE) as client:
        result = await client.post(f"http://127.0.0.1:{port}/", b"", {"X": "a\r\nY: b"}, 5)
    assert result.status is None
    assert result.error is not None


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "ftp://example.org/", "https://u:p@example.org/", "https://2130706433/"]
)
async def test_a_refused_url_opens_no_connection(url: str) -> None:
    resolver = Answers(["127.0.0.1"])
    async with OutboundClient(STRICT, resolver=resolver) as client:
        result = await post(client, url)
    assert (result.error, result.maybe_sent, resolver.lookups) == ("url_refused", False, 0)


async def refused_connections(policy: OutboundPolicy, url: str, *answers: list[str]) -> OutboundResult:
    """A POST towards a listening loopback server; fails the test if a connection reaches it."""

    async def handler(request: web.Request) -> web.Response:
        pytest.fail("the request arrived")

    async with serving(handler) as port, OutboundClient(policy, resolver=Answers(*answers)) as client:
        return await post(client, url.format(port=port))


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["0.0.0.0"]]
)
async def test_a_public_name_with_a_private_address_is_refused(addresses: list[str]) -> None:
    result = await refused_connections(STRICT, "https://hooks.example:{port}/", addresses)
    assert (result.error, result.maybe_sent) == ("address_refused", False)


async def test_plain_http_allowed_for_private_addresses_is_refused_for_public_ones() -> None:
    result = await refused_connections(PRIVATE, "http://hooks.example:{port}/", ["93.184.216.34"])
    assert result.error == "address_refused"


async def test_only_the_permitted_addresses_of_a_name_are_used() -> None:
    policy = OutboundPolicy(allow_http=True, allowed_networks=(ipaddress.ip_network("127.0.0.1/32"),))
    resolver = Answers(["127.0.0.2", "127.0.0.1"])
    async with serving(taken) as port, OutboundClient(policy, resolver=resolver) as client:
        assert (await post(client, f"http://hooks.example:{port}/")).ok


async def test_a_name_that_changes_its_address_after_the_check_is_refused() -> None:
    """DNS rebinding: the name was harmless when asked first; the second answer points inside."""
    policy = OutboundPolicy(allow_http=True, allowed_networks=(ipaddress.ip_network("127.0.0.1/32"),))
    resolver = Answers(["127.0.0.1"], ["127.0.0.2"])
    async with serving(taken) as port, OutboundClient(policy, resolver=resolver) as client:
        assert (await post(client, f"http://hooks.example:{port}/")).ok
        # Another port is another connection and another look-up.
        with socket.create_server(("127.0.0.2", 0)) as inside:
            result = await post(client, f"http://hooks.example:{inside.getsockname()[1]}/")
    assert (result.error, resolver.lookups) == ("address_refused", 2)


async def test_the_socket_checks_again_what_the_resolver_let_through() -> None:
    """aiohttp does not ask the resolver about hosts that look like addresses; the socket is checked all the same."""
    policy = OutboundPolicy(allow_http=True)
    async with OutboundClient(policy) as client:
        guard = client._sessions[True].connector._resolver  # type: ignore[union-attr]  # the second line of defence, alone
        place = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))
        with pytest.raises(OSError, match=r"127\.0\.0\.1 is not public"):
            guard.open_socket(place)
        with pytest.raises(OSError, match="no IP address"):
            guard.open_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("2130706433", 80)))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh self-signed certificate for hooks.example, with its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=hooks.example"
    arguments = [*command.split(), "-addext", "subjectAltName=DNS:hooks.example", "-keyout", str(path), "-out", "-"]
    try:
        made = subprocess.run(arguments, check=True, capture_output=True, timeout=30)
    except FileNotFoundError:
        pytest.fail("the command openssl is missing: install the package openssl")
    with path.open("ab") as file:
        file.write(made.stdout)
    return path


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize(
    ("trusted", "host", "error"),
    [(True, "hooks.example", None), (False, "hooks.example", "tls_failed"), (True, "other.example", "tls_failed")],
)
async def test_certificates_are_verified(certificate: Path, trusted: bool, host: str, error: str | None) -> None:
    authorities = ssl.create_default_context(cafile=str(certificate)) if trusted else None
    resolver = Answers(["127.0.0.1"])
    async with (
        serving(taken, server_tls(certificate)) as port,
        OutboundClient(PRIVATE, ssl_context=authorities, resolver=resolver) as client,
    ):
        result = await post(client, f"https://{host}:{port}/")
    assert (result.error, result.maybe_sent) == (error, False)


async def test_tls_to_a_server_without_tls_is_a_result() -> None:
    async with serving(taken) as port, OutboundClient(PRIVATE) as client:
        result = await post(client, f"https://127.0.0.1:{port}/")
    assert (result.error, result.maybe_sent) == ("tls_failed", False)
