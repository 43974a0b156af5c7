"""Who is heard in a call of ours: a phone whose audio comes at once and from elsewhere than it said, nobody left over on our port."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ivr.call import CallResult
from ivr.endpoint import Endpoint
from ivr.menu import Variable
from ivr.orders import EndpointConfig, Order
from ivr.rtp.packet import RtpPacket, written
from ivr.sip import sdp
from ivr.sip.agent import Admitted
from ivr.sip.events import Lost, Refusal
from ivr.sip.headers import NameAddr
from ivr.sip.hop import Hop
from ivr.sip.message import Request, encode, parse, response_to
from tests.ivr.rtp.line import event
from tests.ivr.sip.stage import OFFERING, sdp_body
from tests.ivr.test_endpoint import LOCAL, PROMPTS, WITHIN_S, Nothing, Silence, conversation, nobody
from tests.peers.ports import free_ports
from tests.peers.waiting import eventually

KEY_EVERY_S = 0.05
ANSWER_S = 1.2
"""Early media last longer than audio overtakes its answer."""


class Effects(Nothing):
    """Acknowledges, once it is asked to."""

    def __init__(self) -> None:
        self.acknowledged = asyncio.Event()

    async def perform(self, effect: str, digits: str, recording: bytes) -> tuple[str, Mapping[str, Variable]]:
        if effect == "acknowledge":
            self.acknowledged.set()
            return "recorded", {}
        return "no" if effect == "needs_pin" else "none", {}


class Presser(asyncio.DatagramProtocol):
    """Sends sound, and a 1 again and again, once it is told where to."""

    async def send(self, port: int) -> None:
        """For ever."""
        for n in itertools.count():
            at, number = 8_000 * n & 0xFFFFFFFF, 2 * n & 0xFFFF
            for packet in (
                RtpPacket(8, False, number, at, 7, b"\xd5" * 160),
                RtpPacket(101, True, number + 1, at, 7, event(1, 800, end=True)),
            ):
                self.transport.sendto(written(packet), (LOCAL, port))
            await asyncio.sleep(KEY_EVERY_S)

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.DatagramTransport = transport


class Gateway(asyncio.DatagramProtocol):
    """Answers 183 at once and 200 later, and names a port from which nothing ever comes. `invited` is told our audio's port."""

    def __init__(self, invited: Callable[[int], None]) -> None:
        self._invited = invited
        self._calls: set[str] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.DatagramTransport = transport
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, source: Any) -> None:
        request = parse(data)
        if not isinstance(request, Request) or request.method == "ACK":
            return
        if request.method != "INVITE":
            status = 481 if request.method == "OPTIONS" else 200  # nobody is there
            self.transport.sendto(encode(response_to(request, status, to_tag="far")), source)
        elif request.call_id not in self._calls:
            self._calls.add(request.call_id)
            offer = sdp.parse(request.body)
            assert offer is not None
            contact = ("Contact", f"<sip:far@{LOCAL}:{self.port}>")
            body = sdp_body(9, address=LOCAL)
            headers = [OFFERING[0], contact]
            progress, answer = (
                encode(response_to(request, status, to_tag="far", headers=headers, body=body)) for status in (183, 200)
            )
            self.transport.sendto(progress, source)
            self._invited(offer.media[0].port)
            asyncio.get_running_loop().call_later(ANSWER_S, self.transport.sendto, answer, source)


@pytest.fixture
async def presser() -> AsyncIterator[Presser]:
    """Somebody with a socket of their own."""
    transport, presser = await asyncio.get_running_loop().create_datagram_endpoint(Presser, local_addr=(LOCAL, 0))
    yield presser
    transport.close()


async def talked(effects: Effects, port: int, ports: tuple[int, int], *, taken_back: bool = False) -> CallResult:
    """Calls the gateway at this port, until it is over; `taken_back` as soon as it has begun."""
    config = EndpointConfig(host=LOCAL, port=0, rtp_ports=ports)
    endpoint = Endpoint(config, prompts=PROMPTS, speech=Silence(), admit=lambda *_: Admitted(), incoming=nobody)
    await endpoint.open()
    uri = f"sip:far@{LOCAL}:{port}"
    order = Order(
        target=uri, to=NameAddr("", uri), from_=NameAddr("", f"sip:tocsin@{LOCAL}"), hops=(Hop("udp", LOCAL, port),),
        conversation=replace(conversation(media_timeout_s=2.0), effects=effects),
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN_S):
            handle = endpoint.prepare()
            placing = asyncio.create_task(endpoint.place(order, handle))
            if taken_back:
                await eventually(lambda: not bindable(ports[0]), what="its port is open")
                handle.hang_up()
            return await placing
    finally:
        await endpoint.close()


def bindable(port: int) -> bool:
    """Whether nobody has this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((LOCAL, port))
        except OSError:
            return False
    return True


async def test_a_call_that_is_taken_back_while_its_port_is_listened_to_is_not_placed() -> None:
    first, invited = free_ports(2), list[int]()
    transport, gateway = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Gateway(invited.append), local_addr=(LOCAL, 0)
    )
    result = await talked(Effects(), gateway.port, (first, first + 1), taken_back=True)
    assert result.refusal == Refusal(lost=Lost.STOPPED)
    assert invited == []
    assert bindable(first)
    transport.close()


@pytest.mark.parametrize("left_over", [False, True])
async def test_early_media_are_the_phone_s_unless_they_came_before_the_invite(
    presser: Presser, left_over: bool
) -> None:
    effects, first = Effects(), free_ports(2)
    sending: list[asyncio.Task[None]] = []

    def send(port: int) -> None:
        if not sending:
            sending.append(asyncio.create_task(presser.send(port)))

    transport, gateway = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Gateway(send), local_addr=(LOCAL, 0)
    )
    if left_over:
        send(first)
    result = await talked(effects, gateway.port, (first, first + 1))
    assert (effects.acknowledged.is_set(), result.media_lost) == (not left_over, left_over)
    sending[0].cancel()
    transport.close()
