"""A trunk's proxies and its registration, as names and connections come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from ivr import trunk as module
from ivr.audio.prompts import Prompts
from ivr.audio.sound import Sound
from ivr.audio.speech import SpeechUnavailable
from ivr.endpoint import Conversation, Endpoint, EndpointConfig
from ivr.sip.agent import Dropped
from ivr.sip.hop import Hop, Transport
from ivr.sip.incoming import IncomingCall
from ivr.sip.message import Request, encode, parse, response_to
from ivr.trunk import Trunk, TrunkConfig

HOSTS = {"sip1.example": Hop("udp", "192.0.2.1", 5060), "sip2.example": Hop("udp", "192.0.2.2", 5060)}
TWO = TrunkConfig(name="x", host="sip1.example", port=5060, proxies=(("sip2.example", 5060),))


class NameServer:
    """In place of DNS."""

    def __init__(self) -> None:
        self.known = dict(HOSTS)

    async def hops_of(
        self, host: str, port: int | None, transport: Transport, dice: Callable[[], float]
    ) -> tuple[Hop, ...]:
        if host not in self.known:
            raise OSError("name server timed out")
        return (self.known[host],)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> NameServer:
    server = NameServer()
    monkeypatch.setattr(module, "hops_of", server.hops_of)
    return server


@pytest.mark.parametrize("missing", [["sip1.example"], ["sip2.example"], list(HOSTS)])
async def test_a_host_that_is_not_found_now_is_where_it_was(names: NameServer, missing: list[str]) -> None:
    trunk = Trunk(TWO)
    await trunk.resolve()
    for host in missing:
        del names.known[host]
    await trunk.resolve()
    assert trunk.hops == tuple(HOSTS.values())
    assert all(trunk.is_from(hop) for hop in HOSTS.values())


async def test_a_host_that_moved_is_not_where_it_was(names: NameServer) -> None:
    trunk = Trunk(TWO)
    await trunk.resolve()
    names.known["sip2.example"] = moved = Hop("udp", "192.0.2.9", 5060)
    await trunk.resolve()
    assert trunk.hops == (HOSTS["sip1.example"], moved)
    assert not trunk.is_from(HOSTS["sip2.example"])


async def test_hosts_of_which_none_was_ever_found(names: NameServer) -> None:
    names.known.clear()
    with pytest.raises(OSError, match=r"sip2\.example: name server timed out"):
        await Trunk(TWO).resolve()


async def test_every_proxy_has_to_be_the_trunk(names: NameServer) -> None:
    """RFC 5922: the certificate is for the domain that was asked for, whatever the proxies are called."""
    names.known = {host: Hop("tls", hop.host, 5061, host) for host, hop in HOSTS.items()}
    trunk = Trunk(replace(TWO, transport="tls"))
    await trunk.resolve()
    assert [(hop.host, hop.name) for hop in trunk.hops] == [
        ("192.0.2.1", "sip1.example"),
        ("192.0.2.2", "sip1.example"),
    ]


# --- registration over a connection ----------------------------------------------------------------------------------

HOUR = ("Expires", "3600")


class Registrar:
    """Takes every registration over TCP, for an hour."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[Request, asyncio.StreamWriter]] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = parse(await reader.readuntil(b"\r\n\r\n"))
                assert isinstance(request, Request)
                writer.write(encode(response_to(request, 200, to_tag="registrar", headers=[HOUR])))
                await self.asked.put((request, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Dumb:
    async def say(self, text: str, language: str) -> Sound:
        raise SpeechUnavailable("nobody speaks in these tests")


async def nobody(_: IncomingCall) -> Conversation | int:
    return 486


async def test_a_lost_connection_is_registered_over_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.1)
    registrar = Registrar()
    server = await asyncio.start_server(registrar.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = TrunkConfig(name="x", host="127.0.0.1", port=port, transport="tcp", register=True, options_s=0)
    trunk = Trunk(config)
    await trunk.resolve()
    endpoint = Endpoint(
        EndpointConfig(host="127.0.0.1", port=0, transport="tcp"), prompts=Prompts(), speech=Dumb(),
        admit=lambda *_: Dropped(), incoming=nobody,
    )  # fmt: skip
    await endpoint.open()
    running = asyncio.create_task(trunk.run(endpoint))
    try:
        async with asyncio.timeout(20):
            first, connection = await registrar.asked.get()
            connection.close()
            second, connection = await registrar.asked.get()
        assert (first.method, second.method) == ("REGISTER", "REGISTER")
        assert first.call_id == second.call_id
        assert first.cseq.number < second.cseq.number
        assert registrar.asked.empty()  # nothing is to be done while the connection lasts
    finally:
        running.cancel()
        await asyncio.wait([running])
        await endpoint.close()
        server.close()
    farewell, _ = await registrar.asked.get()
    assert farewell.headers.get("Expires") == "0"
