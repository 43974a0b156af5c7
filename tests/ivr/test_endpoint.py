"""An endpoint among faults: one of ours in one call ends that call and no other, and what could not be opened holds nothing."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from ivr import call as calls
from ivr import endpoint as module
from ivr import transports
from ivr.audio.machine import GreetingListener
from ivr.audio.prompts import Prompts
from ivr.audio.sound import Sound, silence
from ivr.call import CallOptions, CallResult
from ivr.endpoint import Endpoint, Handle, IncomingHandler
from ivr.flow import FAILED, parse_flow
from ivr.menu import Dialogue, Event, HungUp, Variable
from ivr.orders import Conversation, EndpointConfig, Order
from ivr.phone import Behaviour, PhoneSimulator
from ivr.rtp.srtp import transform_of
from ivr.sip.agent import Admission, Admitted, Doorkeeper, Dropped
from ivr.sip.events import Lost, Refusal
from ivr.sip.framing import StreamFramer
from ivr.sip.headers import NameAddr
from ivr.sip.hop import Hop
from ivr.sip.incoming import IncomingCall
from ivr.sip.message import Request, encode, parse, response_to
from tests.peers.ports import free_port, free_ports
from tests.peers.waiting import eventually

LOCAL = "127.0.0.1"
FLOW = Path(__file__).parents[2] / "ivr" / "flows" / "alert.toml"
PROMPTS = Prompts()
PHONES = {
    "person": Behaviour(answer_s=0.05, keys="1", keys_s=0.2, again_s=0.2, greeting="nothing"),
    "quiet": Behaviour(answer_s=0.05, keys="", greeting="nothing"),
    "leaves": Behaviour(answer_s=0.05, keys="", greeting="nothing", hang_up_s=0.2),
    "rings": Behaviour(answer_s=None),
}
WITHIN_S = 20.0
"""Everything here takes a second; a loaded machine may need more."""


class Silence:
    """Speaks nothing."""

    async def say(self, text: str, language: str) -> Sound:
        return silence(0.1)


class Nothing:
    """Performs nothing."""

    async def perform(self, effect: str, digits: str, recording: bytes) -> tuple[str, Mapping[str, Variable]]:
        return "done", {}

    def telling(self, *, whole: bool) -> None:
        pass

    def told(self) -> None:
        pass


def conversation(**options: Any) -> Conversation:
    """An alert that is told."""
    flow = parse_flow(FLOW.read_text(encoding="utf-8"), name="alert", prompts=PROMPTS.names)
    return Conversation(
        flow=flow, effects=Nothing(), languages=["en"], opening=lambda: {"text": Variable("TEXT")},
        options=CallOptions(call_max_s=WITHIN_S, **options),
    )  # fmt: skip


async def nobody(_: IncomingCall) -> Conversation | int:
    """Nobody may call."""
    return 486


def rtp_ports() -> tuple[int, int]:
    first = free_ports(100)
    return first, first + 99


Open = Callable[..., Awaitable[Endpoint]]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """``endpoint = await opened()``; it is closed with the test."""
    async with AsyncExitStack() as stack:

        async def start(
            port: int = 0, incoming: IncomingHandler = nobody, admit: Doorkeeper = lambda *_: Admitted(), **more: Any
        ) -> Endpoint:
            config = EndpointConfig(host=LOCAL, port=port, rtp_ports=rtp_ports(), calls_per_s=500, **more)
            endpoint = Endpoint(config, prompts=PROMPTS, speech=Silence(), admit=admit, incoming=incoming)
            await endpoint.open()
            stack.push_async_callback(endpoint.close)
            return endpoint

        yield start


@pytest.fixture
async def phones() -> AsyncIterator[PhoneSimulator]:
    simulator = PhoneSimulator(PHONES.__getitem__, rtp_ports=rtp_ports())
    await simulator.open()
    yield simulator
    await simulator.close()


async def called(endpoint: Endpoint, port: int, number: str, *, ring_s: float = WITHIN_S, **options: Any) -> CallResult:
    """Calls one of the phones, until it is over."""
    uri = f"sip:{number}@{LOCAL}:{port}"
    order = Order(
        target=uri, to=NameAddr("", uri), from_=NameAddr("", f"sip:tocsin@{LOCAL}"), hops=(Hop("udp", LOCAL, port),),
        ring_s=ring_s, first_response_s=1.0, conversation=conversation(**options),
    )  # fmt: skip
    async with asyncio.timeout(WITHIN_S):
        return await endpoint.place(order, endpoint.prepare())


def once(real: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a fault the first time."""
    faults = iter([ValueError("a fault")])

    def faulty(*args: Any) -> Any:
        for fault in faults:
            raise fault
        return real(*args)

    return faulty


async def test_a_fault_in_taking_an_answer_ends_that_call_only(
    opened: Open, phones: PhoneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await opened()
    monkeypatch.setattr(module, "transform_of", once(transform_of))
    first = await called(endpoint, phones.port, "person")
    assert (first.refusal, first.result) == (None, FAILED)
    assert await phones.calls[0].reached("ended") == "ended"
    second = await called(endpoint, phones.port, "leaves")
    assert (second.refusal, second.by_remote) == (None, True)
    assert second.result != FAILED
    assert endpoint.calls_up == endpoint.calls_out == 0


async def test_a_fault_before_there_is_a_conversation_tells_that_the_call_came_to_nothing(
    opened: Open, phones: PhoneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await opened()
    monkeypatch.setattr(module, "Dialogue", once(Dialogue))
    result = await called(endpoint, phones.port, "person")
    assert result.refusal is not None
    assert result.refusal.lost is Lost.TRANSPORT_FAILED
    assert await phones.calls[0].reached("ended") == "ended"
    assert endpoint.calls_out == 0


async def test_a_fault_in_an_alarm_ends_its_call_and_the_alarms_of_others_go_on(
    opened: Open, phones: PhoneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await opened()
    monkeypatch.setattr(calls, "GREETING_TICK_S", 0.01)
    monkeypatch.setattr(GreetingListener, "may_speak", once(GreetingListener.may_speak))
    faulty, rings = await asyncio.gather(
        called(endpoint, phones.port, "quiet", listen_for_greeting=True),
        called(endpoint, phones.port, "rings", ring_s=1.0),
    )
    assert faulty.result == FAILED
    assert rings.refusal is not None
    assert rings.refusal.lost is Lost.RING_TIME_OVER


async def test_a_fault_in_a_key_ends_the_call(
    opened: Open, phones: PhoneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await opened()
    monkeypatch.setattr(calls.Call, "key", once(calls.Call.key))
    assert (await called(endpoint, phones.port, "person")).result == FAILED
    assert endpoint.calls_up == 0


async def test_a_fault_in_what_is_said_ends_the_call(
    opened: Open, phones: PhoneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await opened()
    monkeypatch.setattr(Prompts, "sound", once(Prompts.sound))
    assert (await called(endpoint, phones.port, "quiet")).result == FAILED


async def test_a_fault_in_interrupting_ends_the_call(
    opened: Open, phones: PhoneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, handles = await opened(), list[Handle]()
    prepare = Endpoint.prepare

    def prepared(one: Endpoint) -> Handle:
        handles.append(prepare(one))
        return handles[-1]

    monkeypatch.setattr(Endpoint, "prepare", prepared)
    monkeypatch.setattr(calls.Call, "interrupt", once(calls.Call.interrupt))
    calling = asyncio.create_task(called(endpoint, phones.port, "quiet"))
    await (await phones.called()).reached("answered")
    await eventually(lambda: handles[0].up, what="the answer")
    handles[0].interrupt("Anna")
    assert (await calling).result == FAILED


async def test_a_fault_in_the_end_itself_does_not_keep_the_result(
    opened: Open, phones: PhoneSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Dialogue.receive

    def receive(dialogue: Dialogue, event: Event, now: float) -> None:
        if isinstance(event, HungUp):
            raise ValueError("a fault")
        real(dialogue, event, now)

    endpoint = await opened()
    monkeypatch.setattr(Dialogue, "receive", receive)
    assert (await called(endpoint, phones.port, "leaves")).result == FAILED
    assert endpoint.calls_up == 0


async def test_a_fault_in_taking_a_call_to_us_refuses_it(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async def anybody(_: IncomingCall) -> Conversation | int:
        return conversation()

    monkeypatch.setattr(module, "Dialogue", once(Dialogue))
    us, caller = await opened(incoming=anybody), await opened()
    result = await called(caller, us.port, "desk")
    assert result.refusal is not None
    assert result.refusal.status == 480
    assert us.agent.calls == 0


async def test_a_fault_over_one_message_leaves_the_timers_of_others(opened: Open, phones: PhoneSimulator) -> None:
    """Somebody knocks while a phone rings; asking who it is goes wrong."""
    asked = asyncio.Event()

    def admit(request: Request, hop: Hop, now: float) -> Admission:
        asked.set()
        raise ValueError("a fault")

    endpoint = await opened(admit=admit)
    ringing = asyncio.create_task(called(endpoint, phones.port, "rings", ring_s=1.0))
    await phones.called()
    stranger = await opened()
    knocking = asyncio.create_task(called(stranger, endpoint.port, "x", ring_s=0.1))
    async with asyncio.timeout(WITHIN_S):
        await asked.wait()
    refusal = (await ringing).refusal
    assert refusal is not None
    assert refusal.lost is Lost.RING_TIME_OVER
    await knocking


async def test_the_connection_of_whom_the_door_lets_in_is_kept(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "ADMISSION_S", 1.0)
    us = await opened(
        transport="tcp", admit=lambda request, *_: Admitted() if request.call_id == "friend" else Dropped()
    )
    friend, stranger = [await asyncio.open_connection(LOCAL, us.port) for _ in range(2)]
    friend[1].write(options("friend", 1))
    stranger[1].write(options("stranger", 1))
    async with asyncio.timeout(WITHIN_S):
        assert (await friend[0].readuntil(b"\r\n\r\n")).startswith(b"SIP/2.0 200 OK")
        with suppress(ConnectionResetError):
            assert await stranger[0].read() == b""
        friend[1].write(options("friend", 2))
        assert (await friend[0].readuntil(b"\r\n\r\n")).startswith(b"SIP/2.0 200 OK")
    for _, writer in (friend, stranger):
        writer.close()


class Trunk:
    """A trunk over TCP that answers with this: `silent` connections read and say nothing."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: asyncio.Queue[tuple[int, Request]] = asyncio.Queue()
        self.silent: set[int] = set()
        self.statuses = {"INVITE": 486, "OPTIONS": 200}
        self.writers: list[asyncio.StreamWriter] = []
        self.server: asyncio.Server | None = None

    @property
    def hop(self) -> Hop:
        assert self.server is not None
        return Hop("tcp", LOCAL, self.server.sockets[0].getsockname()[1])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, by its number."""
        number = self.connections
        self.connections += 1
        self.writers.append(writer)
        framer = StreamFramer(65_535)
        while data := await reader.read(65_536):
            for frame in framer.receive(data):
                assert isinstance(frame, bytes)
                request = parse(frame)
                assert isinstance(request, Request)
                self.requests.put_nowait((number, request))
                if number not in self.silent and request.method in self.statuses:
                    writer.write(encode(response_to(request, self.statuses[request.method], to_tag="trunk")))

    async def asked(self, method: str) -> tuple[int, Request]:
        """The next request of this method, with the number of its connection."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                number, request = await self.requests.get()
                if request.method == method:
                    return number, request

    def order(self, **more: Any) -> Order:
        """A call over this trunk."""
        uri = f"sip:nurse@{LOCAL}:{self.hop.port};transport=tcp"
        return Order(
            target=uri, to=NameAddr("", uri), from_=NameAddr("", f"sip:tocsin@{LOCAL}"), hops=(self.hop,),
            first_response_s=0.2, conversation=conversation(), **more,
        )  # fmt: skip


@pytest.fixture
async def trunk() -> AsyncIterator[Trunk]:
    found = Trunk()
    found.server = await asyncio.start_server(found.serve, LOCAL, 0)
    yield found
    found.server.close()
    for writer in found.writers:
        writer.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("asking", ["a call", "a question"])
async def test_a_connection_that_fell_silent_is_not_used_again(opened: Open, trunk: Trunk, asking: str) -> None:
    endpoint = await opened(transport="tcp")

    async def called() -> Refusal:
        async with asyncio.timeout(WITHIN_S):
            refusal = (await endpoint.place(trunk.order(), endpoint.prepare())).refusal
        assert refusal is not None
        return refusal

    assert (await called()).status == 486
    trunk.silent.add(0)
    if asking == "a call":
        assert (await called()).lost is Lost.NO_RESPONSE
    else:
        request = endpoint.agent.request(
            "OPTIONS", "sip:x", hop=trunk.hop, from_=f"<sip:a@{LOCAL}>;tag=1", to="<sip:x>", call_id="o", cseq=1
        )
        assert await endpoint.ask(request, trunk.hop, within_s=0.2) is None
        async with asyncio.timeout(WITHIN_S):
            await endpoint.until_lost(trunk.hop)
    assert (await called()).status == 486
    assert trunk.connections == 2


async def test_a_call_that_rings_outlives_its_connection(opened: Open, trunk: Trunk) -> None:
    endpoint = await opened(transport="tcp")
    trunk.statuses["INVITE"] = 180
    rings = asyncio.Event()
    calling = asyncio.create_task(endpoint.place(trunk.order(answering=rings.set), endpoint.prepare()))
    number, invite = await trunk.asked("INVITE")
    async with asyncio.timeout(WITHIN_S):
        await rings.wait()
        trunk.writers[number].close()
        await endpoint.until_lost(trunk.hop)
    reader, writer = await asyncio.open_connection(LOCAL, endpoint.port)  # RFC 3261, 18.2.2
    writer.write(encode(response_to(invite, 487, to_tag="trunk")))
    async with asyncio.timeout(WITHIN_S):
        refusal = (await calling).refusal
    assert refusal is not None
    assert refusal.status == 487
    assert (await trunk.asked("ACK"))[0] == 1  # over a connection of its own
    writer.close()
    assert not await reader.read()


def options(call_id: str, cseq: int) -> bytes:
    """A question whether we are there."""
    return "\r\n".join(
        [
            "OPTIONS sip:tocsin@127.0.0.1 SIP/2.0", f"Via: SIP/2.0/TCP {LOCAL}:5060;branch=z9hG4bK{call_id}{cseq}",
            "Max-Forwards: 70", f"From: <sip:a@{LOCAL}>;tag=1", f"To: <sip:tocsin@{LOCAL}>", f"Call-ID: {call_id}",
            f"CSeq: {cseq} OPTIONS", "Content-Length: 0", "", "",
        ]
    ).encode()  # fmt: skip


@pytest.mark.parametrize("broken", ["the clock", "the agent"])
async def test_what_could_not_be_opened_keeps_no_port(
    opened: Open, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    port = free_port()

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        if broken == "the clock":
            patched.setattr(select, "epoll", fails)
        else:
            patched.setattr(module, "GuardedAgent", fails)
        with pytest.raises(OSError, match="Too many open files"):
            await opened(port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((LOCAL, port))
    assert (await opened(port)).port == port
