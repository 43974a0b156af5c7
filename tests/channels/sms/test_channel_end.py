"""How the SMS channel ends: gracefully, within bounds, whatever it was doing."""

from __future__ import annotations

import asyncio
import socket

from channels.outcome import (
    Accepted,
    RetryLater,
)
from channels.sms.channel import SmsChannel
from channels.sms.smpp.behaviour import SmscBehaviour
from tests.channels.sms.running import message, running, simulating, smpp

# -- the end


async def test_a_graceful_end_waits_for_outstanding_answers_and_unbinds() -> None:
    async with simulating(SmscBehaviour(response_delay_s=0.1)) as (smsc, port):
        channel = SmsChannel(smpp(port, link_wait_s=0.05))
        async with running(channel):
            send = asyncio.create_task(channel.send(message()))
            await smsc.wait_for(lambda s: s.counters.submits == 1)
        assert isinstance(await send, Accepted)
        await smsc.wait_for(lambda s: s.counters.unbinds == 1)
        assert smsc.links == 0
        after = await channel.send(message())
        assert isinstance(after, RetryLater)
        assert after.unreachable


async def test_a_graceful_end_waits_only_so_long() -> None:
    async with simulating(SmscBehaviour(mute=True)) as (smsc, port):
        channel = SmsChannel(smpp(port, unbind_wait_s=0.1))
        async with running(channel):
            send = asyncio.create_task(channel.send(message()))
            await smsc.wait_for(lambda s: s.counters.submits == 1)
        outcome = await send
        assert isinstance(outcome, RetryLater)
        assert outcome.maybe_sent
        assert smsc.counters.unbinds == 1


async def test_an_end_while_connecting_is_an_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel connects, and nobody ever answers
        channel = SmsChannel(smpp(silent.getsockname()[1]))
        async with asyncio.timeout(10), running(channel):
            await asyncio.sleep(0.05)
