"""SIP's sockets: strangers take no connection of ours, and what cannot be sent is told."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from ivr import transports as module
from ivr.sip.hop import Hop, Transport
from ivr.transports import TlsContexts, Transports
from tests.peers.kamailio import self_signed
from tests.peers.ports import free_port

LOCAL = "127.0.0.1"
OPTIONS = b"OPTIONS sip:x@y SIP/2.0\r\nContent-Length: 0\r\n\r\n"
WITHIN_S = 20.0


class Side:
    """One side with its sockets, and what it was told."""

    def __init__(
        self, tls: TlsContexts | None = None, transport: Transport | None = None, knows: module.Knows = module.nobody
    ) -> None:
        self.received: asyncio.Queue[tuple[bytes, Hop]] = asyncio.Queue()
        self.failed: asyncio.Queue[Hop] = asyncio.Queue()
        self.transports = Transports(
            host=LOCAL, port=0, transport=transport or ("tls" if tls else "tcp"), tls=tls, failed=self.failed.put_nowait,
            received=lambda data, hop: self.received.put_nowait((data, hop)), knows=knows,
        )  # fmt: skip

    @property
    def port(self) -> int:
        return self.transports.port


Opened = Callable[..., Awaitable[Side]]


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """``side = await opened()``; it is closed with the test."""
    async with AsyncExitStack() as stack, asyncio.timeout(WITHIN_S):

        async def start(
            tls: TlsContexts | None = None, transport: Transport | None = None, knows: module.Knows = module.nobody
        ) -> Side:
            side = Side(tls, transport, knows)
            await side.transports.open()
            stack.push_async_callback(side.transports.close)
            return side

        yield start


class Stranger:
    """A connection to us by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, data: bytes) -> None:
        """Sends something."""
        self._writer.write(data)

    def close(self) -> None:
        """Ends it."""
        self._writer.close()

    async def closed(self) -> None:
        """Waits until the other side has closed it, whatever that says before."""
        with suppress(ConnectionError):
            while await self._reader.read(100):
                pass


Connect = Callable[..., Awaitable[Stranger]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """``stranger = await connect(port)``; it is closed with the test."""
    connected: list[Stranger] = []

    async def to(port: int, host: str = LOCAL) -> Stranger:
        stranger = Stranger(*await asyncio.open_connection(LOCAL, port, local_addr=(host, 0)))
        connected.append(stranger)
        return stranger

    yield to
    for stranger in connected:
        stranger.close()
    await asyncio.sleep(0)


async def test_strangers_take_no_connection_of_ours(
    opened: Opened, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INCOMING_MAX", 2)
    side, proxy = await opened(), await opened()
    for _ in range(2):
        await connect(side.port)
    one_more = await connect(side.port)
    await one_more.closed()
    side.transports.send(Hop("tcp", LOCAL, proxy.port), OPTIONS)
    data, back = await proxy.received.get()
    assert data == OPTIONS
    proxy.transports.send(back, OPTIONS)
    assert await side.received.get() == (OPTIONS, Hop("tcp", LOCAL, proxy.port))


async def test_one_address_has_few_connections_to_us(
    opened: Opened, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INCOMING_OF_ONE_MAX", 1)
    side = await opened()
    first = await connect(side.port)
    await (await connect(side.port)).closed()
    first.say(OPTIONS)
    assert (await side.received.get())[0] == OPTIONS
    first.close()
    await side.failed.get()
    (await connect(side.port)).say(OPTIONS)  # there is room once more
    data, hop = await side.received.get()
    assert data == OPTIONS
    side.transports.admit(hop)
    (await connect(side.port)).say(OPTIONS)  # and whoever came in may have more of them
    assert (await side.received.get())[0] == OPTIONS


@pytest.mark.parametrize("said", [b"", OPTIONS, b"\r\n\r\n"], ids=["nothing", "a request", "a keep-alive"])
async def test_a_connection_over_which_nobody_came_in_is_closed(
    opened: Opened, connect: Connect, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(module, "ADMISSION_S", 1.0)
    side = await opened()
    stranger, friend = await connect(side.port), await connect(side.port)
    friend.say(OPTIONS)
    _, hop = await side.received.get()
    side.transports.admit(hop)
    stranger.say(said)
    await stranger.closed()
    friend.say(OPTIONS)  # who came in stays
    while (await side.received.get())[1] != hop:
        pass


async def test_what_cannot_be_connected_is_told(opened: Opened) -> None:
    side, nowhere = await opened(), Hop("tcp", LOCAL, free_port())
    side.transports.send(nowhere, OPTIONS)
    assert await side.failed.get() == nowhere
    assert side.transports.trouble(nowhere) is not None


async def test_more_than_may_wait_for_a_connection_is_told_and_later_messages_are_sent(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PENDING_BYTES_MAX", len(OPTIONS))
    side, proxy = await opened(), await opened()
    hop = Hop("tcp", LOCAL, proxy.port)
    side.transports.send(hop, OPTIONS)
    side.transports.send(hop, OPTIONS)
    assert await side.failed.get() == hop
    side.transports.send(hop, OPTIONS)
    assert (await proxy.received.get())[0] == OPTIONS


async def test_a_connection_over_which_nothing_came_is_given_up_and_another_is_opened(opened: Opened) -> None:
    side, proxy = await opened(), await opened()
    hop, clock = Hop("tcp", LOCAL, proxy.port), asyncio.get_running_loop().time
    assert not side.transports.give_up(hop, clock())  # there is none
    side.transports.send(hop, OPTIONS)
    _, back = await proxy.received.get()
    asked_at = clock() - 0.001  # what is heard in the tick of the question itself proves nothing
    proxy.transports.send(back, OPTIONS)
    await side.received.get()
    assert not side.transports.give_up(hop, asked_at)  # it is alive
    lost = asyncio.create_task(side.transports.until_lost(hop))
    await asyncio.sleep(0)
    assert side.transports.give_up(hop, clock() + 1.0)
    side.transports.send(hop, OPTIONS)  # at once
    await lost
    data, other = await proxy.received.get()
    assert (data, other.port != back.port) == (OPTIONS, True)
    assert await proxy.failed.get() == back
    assert side.failed.empty()


async def test_whether_the_other_side_is_there_is_watched(opened: Opened) -> None:
    side, proxy = await opened(), await opened()
    hop = Hop("tcp", LOCAL, proxy.port)
    side.transports.send(hop, OPTIONS)
    _, back = await proxy.received.get()
    for transports, end in ((side.transports, hop), (proxy.transports, back)):
        transport = transports._links[end]._transport
        assert transport is not None
        connection = transport.get_extra_info("socket")
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        for name, value in module.WATCHED.items():
            if hasattr(socket, name):
                assert connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_whose_connections_are_counted_together(one: str, other: str, same: bool) -> None:
    network: Any = module._network
    assert (network(one) == network(other)) is same


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "trunk", "trusted"),
    [
        ("localhost", "other.example", True),
        ("other.example", "localhost", False),
        ("", "localhost", True),
        ("", "other.example", False),
        ("", "", True),
    ],
)
async def test_the_certificate_is_for_the_domain_that_was_asked_for(
    opened: Opened, tmp_path: Path, name: str, trunk: str, trusted: bool
) -> None:
    files = self_signed(tmp_path / "tls")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=files.certificate)
    proxy = await opened(TlsContexts(client=client, server=server))
    side = await opened(TlsContexts(client=client, server_name=trunk))
    hop = Hop("tls", LOCAL, proxy.port, name)
    side.transports.send(hop, OPTIONS)
    if trusted:
        data, back = await proxy.received.get()
        assert data == OPTIONS
        proxy.transports.send(back, OPTIONS)
        assert await side.received.get() == (OPTIONS, hop)  # what comes back, comes from whom we asked for
    else:
        assert await side.failed.get() == hop
        trouble = side.transports.trouble(hop)
        assert trouble is not None
        assert trouble.untrusted


async def test_a_connection_for_one_domain_is_not_used_for_another(opened: Opened, tmp_path: Path) -> None:
    files = self_signed(tmp_path / "tls")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=files.certificate)
    proxy, side = await opened(TlsContexts(client=client, server=server)), await opened(TlsContexts(client=client))
    side.transports.send(Hop("tls", LOCAL, proxy.port, "localhost"), OPTIONS)
    assert (await proxy.received.get())[0] == OPTIONS
    other = Hop("tls", LOCAL, proxy.port, "other.example")
    side.transports.send(other, OPTIONS)
    assert await side.failed.get() == other
    assert proxy.received.empty()


async def test_a_datagram_that_no_socket_of_ours_can_send_has_failed_and_harms_none(opened: Opened) -> None:
    side = await opened(transport="udp")
    hop = Hop("udp", "::1", 5060)
    side.transports.send(hop, OPTIONS)
    assert await side.failed.get() == hop
    side.transports.send(Hop("udp", LOCAL, side.port), OPTIONS)
    assert (await side.received.get())[0] == OPTIONS


async def test_a_connection_that_cannot_be_read_is_told_of_once_a_minute(opened: Opened, connect: Connect) -> None:
    side = await opened()
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            stranger = await connect(side.port)
            stranger.say(b"OPTIONS sip:x@y SIP/2.0\r\n\r\n")
            await stranger.closed()
    (line,) = [one for one in logs if one["event"] == "connection_broken"]
    assert LOCAL in line["hop"]
    assert "Content-Length" in line["reason"]


async def test_strangers_take_no_place_from_who_is_known_by_the_address(
    opened: Opened, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INCOMING_MAX", 3)
    side = await opened(knows=lambda hop: hop.host == "127.0.0.7")
    with structlog.testing.capture_logs() as logs:
        for host in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
            await connect(side.port, host)
        for _ in range(5):
            await (await connect(side.port, "127.0.0.5")).closed()
        for _ in range(3):
            (await connect(side.port, "127.0.0.7")).say(OPTIONS)
            assert (await side.received.get())[0] == OPTIONS
        await (await connect(side.port, "127.0.0.7")).closed()
    assert [one["reason"] for one in logs if one["event"] == "connection_refused"] == ["too many connections"] * 2


async def test_a_message_that_does_not_end_ends_its_connection(
    opened: Opened, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MESSAGE_S", 0.2)
    side = await opened()
    slow, steady = await connect(side.port), await connect(side.port)
    for one in (slow, steady):
        one.say(OPTIONS)
        side.transports.admit((await side.received.get())[1])
    steady.say(b"\r\n")  # the answer to a keep-alive is no message
    slow.say(OPTIONS[:-2])
    await slow.closed()
    steady.say(OPTIONS)
    assert (await side.received.get())[0] == OPTIONS


async def test_who_does_not_end_a_handshake_has_a_place_and_then_none(
    opened: Opened, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INCOMING_OF_ONE_MAX", 2)
    monkeypatch.setattr(module, "ADMISSION_S", 1.0)
    files = self_signed(tmp_path / "tls")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=files.certificate)
    side = await opened(TlsContexts(client=client, server=server))
    slow = [await connect(side.port) for _ in range(2)]
    slow[1].say(b"\x16\x03\x01\x02\x00\x01")
    with structlog.testing.capture_logs() as logs:
        await (await connect(side.port)).closed()
        assert [one["event"] for one in logs] == ["connection_refused"]
        for one in slow:
            await one.closed()
    other = await opened(TlsContexts(client=client))
    for _ in range(3):  # each place is free again
        other.transports.send(Hop("tls", LOCAL, side.port, "localhost"), OPTIONS)
        data, hop = await side.received.get()
        assert data == OPTIONS
        other.transports.give_up(Hop("tls", LOCAL, side.port, "localhost"), asyncio.get_running_loop().time() + 60)
        assert await side.failed.get() == hop


async def test_thousands_of_keep_alives_at_once_get_few_answers(opened: Opened) -> None:
    side = await opened()
    reader, writer = await asyncio.open_connection(LOCAL, side.port)
    writer.write(b"\r\n\r\n" * 100_000 + OPTIONS)
    assert (await side.received.get())[0] == OPTIONS
    writer.write_eof()
    assert 0 < len(await reader.read()) < 20_000
    writer.close()


@pytest.mark.parametrize("host", ["224.0.0.1", "255.255.255.255", "0.0.0.1"])
async def test_no_message_is_sent_to_many(opened: Opened, host: str) -> None:
    side = await opened(transport="udp")
    hop = Hop("udp", host, 5060)
    side.transports.send(hop, OPTIONS)
    assert await side.failed.get() == hop
