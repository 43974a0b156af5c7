"""A trunk's proxies and its registration, as names and connections come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from ivr import trunk as module
from ivr.audio.prompts import Prompts
from ivr.audio.sound import Sound
from ivr.audio.speech import SpeechUnavailable
from ivr.endpoint import Endpoint
from ivr.orders import Conversation, EndpointConfig
from ivr.sip.agent import Dropped
from ivr.sip.digest import Credentials
from ivr.sip.headers import Headers
from ivr.sip.hop import Hop, Transport
from ivr.sip.incoming import IncomingCall
from ivr.sip.message import Request, encode, parse, response_to
from ivr.sip.requester import TRIES_MAX
from ivr.trunk import Trunk, TrunkConfig, granted
from tests.peers.waiting import eventually

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


# --- registration ----------------------------------------------------------------------------------------------------

OURS = "<sip:acme@192.0.2.7:5060>"
Answer = tuple[int, list[tuple[str, str]]]
HOUR: Answer = (200, [("Expires", "3600")])


class Registrar:
    """Answers REGISTERs over TCP, each as `answer` says."""

    def __init__(self, answer: Callable[[Request], Answer] = lambda _: HOUR) -> None:
        self.asked: asyncio.Queue[tuple[Request, asyncio.StreamWriter]] = asyncio.Queue()
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = parse(await reader.readuntil(b"\r\n\r\n"))
                assert isinstance(request, Request)
                status, headers = self._answer(request)
                writer.write(encode(response_to(request, status, to_tag="registrar", headers=headers)))
                await self.asked.put((request, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def next(self) -> Request:
        """The next REGISTER."""
        async with asyncio.timeout(20):
            return (await self.asked.get())[0]


class Dumb:
    async def say(self, text: str, language: str) -> Sound:
        raise SpeechUnavailable("nobody speaks in these tests")


async def nobody(_: IncomingCall) -> Conversation | int:
    return 486


@asynccontextmanager
async def registering(registrar: Registrar, password: str = "") -> AsyncIterator[Trunk]:
    """A trunk that registers at it, until the end."""
    server = await asyncio.start_server(registrar.serve, "127.0.0.1", 0)
    credentials = Credentials(username="acme", password=password) if password else None
    config = TrunkConfig(
        name="x", host="127.0.0.1", port=server.sockets[0].getsockname()[1], transport="tcp", username="acme",
        credentials=credentials, register=True, options_s=0,
    )  # fmt: skip
    trunk = Trunk(config)
    await trunk.resolve()
    endpoint = Endpoint(
        EndpointConfig(host="127.0.0.1", port=0, transport="tcp"), prompts=Prompts(), speech=Dumb(),
        admit=lambda *_: Dropped(), incoming=nobody,
    )  # fmt: skip
    await endpoint.open()
    running = asyncio.create_task(trunk.run(endpoint))
    try:
        yield trunk
    finally:
        running.cancel()
        await asyncio.wait([running])
        await endpoint.close()
        server.close()


async def test_a_lost_connection_is_registered_over_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.1)
    registrar = Registrar()
    async with registering(registrar):
        async with asyncio.timeout(20):
            first, connection = await registrar.asked.get()
            connection.close()
            second, connection = await registrar.asked.get()
        assert (first.method, second.method) == ("REGISTER", "REGISTER")
        assert first.call_id == second.call_id
        assert first.cseq.number < second.cseq.number
        assert registrar.asked.empty()  # nothing is to be done while the connection lasts
    farewell, _ = await registrar.asked.get()
    assert farewell.headers.get("Expires") == "0"


def challenge(status: int, realm: str, nonce: str, *, stale: bool = False) -> Answer:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    tail = ", stale=true" if stale else ""
    return status, [(name, f'Digest realm="{realm}", nonce="{nonce}", algorithm=MD5, qop="auth"{tail}')]


def behind_a_proxy(request: Request) -> Answer:
    """Both want the password: the proxy on the way, and the registrar (RFC 3261, 22.3)."""
    if "Proxy-Authorization" not in request.headers:
        return challenge(407, "proxy", "p")
    return HOUR if "Authorization" in request.headers else challenge(401, "registrar", "r")


def quickly_stale(request: Request) -> Answer:
    """The first nonce is used up before it is answered (RFC 7616, 3.3)."""
    said = request.headers.get("Authorization")
    if said is None:
        return challenge(401, "registrar", "old")
    return HOUR if 'nonce="new"' in said else challenge(401, "registrar", "new", stale=True)


@pytest.mark.parametrize("answer", [behind_a_proxy, quickly_stale])
async def test_everybody_who_asks_for_the_password_gets_it(answer: Callable[[Request], Answer]) -> None:
    registrar = Registrar(answer)
    with capture_logs() as logs:
        async with registering(registrar, "geheim") as trunk:
            asked = [await registrar.next() for _ in range(3)]
            await eventually(lambda: trunk.registered, what="the registration")
            assert not trunk.alarm
    assert [request.cseq.number for request in asked] == [1, 2, 3]
    assert len({(request.call_id, request.from_.tag) for request in asked}) == 1  # RFC 3261, 8.1.3.5
    assert [entry["event"] for entry in logs] == ["registered"]


@pytest.mark.parametrize(("stale", "tries"), [(False, 2), (True, TRIES_MAX)])
async def test_a_wrong_password_is_an_alarm_at_once(stale: bool, tries: int) -> None:
    registrar = Registrar(lambda request: challenge(401, "r", "n", stale=stale and "Authorization" in request.headers))
    async with registering(registrar, "falsch") as trunk:
        for _ in range(tries):
            await registrar.next()
        await eventually(lambda: trunk.alarm, what="the alarm")
        assert (trunk.registered, trunk.details) == (False, ((None, "not registered: 401 Unauthorized"),))
        assert registrar.asked.empty()


async def test_a_time_that_is_too_brief_is_made_longer_at_once() -> None:
    """RFC 3261, 10.2.8: and it is no trouble."""

    def patient(request: Request) -> Answer:
        return HOUR if int(request.headers.get("Expires") or 0) in (0, 1800) else (423, [("Min-Expires", "1800")])

    registrar = Registrar(patient)
    with capture_logs() as logs:
        async with registering(registrar) as trunk:
            asked = [await registrar.next() for _ in range(2)]
            await eventually(lambda: trunk.registered, what="the registration")
    assert [request.headers.get("Expires") for request in asked] == ["300", "1800"]
    assert [entry["event"] for entry in logs] == ["registered"]


@pytest.mark.parametrize("min_expires", ["", "300", "60", "x", "-5"])
async def test_a_time_that_is_too_brief_for_no_reason(min_expires: str) -> None:
    registrar = Registrar(lambda _: (423, [("Min-Expires", min_expires)]))
    async with registering(registrar) as trunk:
        await registrar.next()
        await eventually(lambda: bool(trunk.refused), what="the refusal")
        assert registrar.asked.empty()


async def test_a_registrar_that_wants_to_be_left_alone_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 3261, 21.5.4. Without its wish it would be asked again after some milliseconds."""
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.001)
    answers = iter([(503, [("Retry-After", "1 (overloaded)")]), HOUR, HOUR])
    registrar = Registrar(lambda _: next(answers))
    times = []
    async with registering(registrar):
        for _ in range(2):
            await registrar.next()
            times.append(asyncio.get_running_loop().time())
    assert times[1] - times[0] > 0.9


async def test_a_wish_to_be_left_alone_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(module, "RETRY_AFTER_MAX_S", 0.1)
    answers = iter([(503, [("Retry-After", "999999999")]), HOUR, HOUR])
    registrar = Registrar(lambda _: next(answers))
    async with registering(registrar) as trunk:
        await registrar.next()
        await registrar.next()
        await eventually(lambda: trunk.registered, what="the registration")


@pytest.mark.parametrize(
    ("contacts", "seconds"),
    [
        ("<sip:acme@192.0.2.7:5060>;expires=60", 60),
        ('<sip:acme@192.0.2.7:5060>;q=1;expires="60"', 60),
        ("<sip:acme@192.0.2.7>;expires=60", 60),  # no port is the standard one
        ("<sip:acme@192.0.2.7:5060;line=abc>;expires=60", 60),
        ("<sip:acme@198.51.100.9:41234>;expires=60", 60),  # a NAT has made it another
        ("<sip:acme@192.0.2.8>;expires=60, <sip:acme@192.0.2.7>;expires=90", 90),  # another phone's is not ours
        ("<sip:acme@198.51.100.9:41234>;expires=90, <sip:acme@192.0.2.8>;expires=60", 60),  # one of them is
        ("<sip:acme@192.0.2.7>", 200),
        ("<sip:acme@192.0.2.7>;expires=soon", 200),
        ("tel:+33140000000;expires=60, nonsense", 60),
    ],
)
def test_the_time_that_is_granted(contacts: str, seconds: int) -> None:
    """RFC 3261, 10.2.4: a time taken for longer than it is is one in which nobody can call us."""
    assert granted(Headers([("Contact", contacts), ("Expires", "200")]), OURS, 300) == seconds


def test_the_time_that_nobody_names() -> None:
    assert granted(Headers([]), OURS, 300) == 300
    assert granted(Headers([("Expires", "x")]), OURS, 300) == 300


def test_no_port_with_tls_is_5061() -> None:
    headers = Headers([("Contact", "<sip:a@h;transport=TLS>;expires=60, <sip:a@h:5060;transport=tls>;expires=30")])
    assert granted(headers, "<sip:a@h:5061;transport=tls>", 300) == 60
