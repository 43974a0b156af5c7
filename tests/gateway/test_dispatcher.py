"""The loop that sends, with a channel that talks: what it takes back when an alert ends, and what it does while it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, cast

import pytest

from channels.channel import Capabilities, Channel, Message
from channels.conversation import Attendant, Stop
from channels.outcome import Outcome, Reason, RetryLater
from gateway import dispatcher as module
from gateway.alert import Rule
from gateway.attempts import Claim, ClaimDeliveries
from gateway.breaker import Breaker
from gateway.delivery import State
from gateway.dispatcher import Dispatcher
from gateway.lifecycle import Acknowledge, ended_among, release
from gateway.progress import AlertEnded
from gateway.queue.memory import MemoryQueue
from gateway.queue.port import Ticket, Urgency
from gateway.store.journal import Command, Journal
from tests.gateway import desk as desks
from tests.gateway.desk import A, Desk
from tests.peers.waiting import eventually

desk = desks.desk
store_url = desks.store_url

SOON_S = 20.0
"""Only ends a test that would wait for ever."""
ONE = "sms:+33600000001"


class Ringing:
    """A channel whose calls ring until they are taken back."""

    name = "sms"
    provider = A
    capabilities = Capabilities(receipts=False, acknowledges=True, concurrent_sends=4)

    def __init__(self) -> None:
        self.called: list[str] = []
        self.rings, self.taken_back = asyncio.Event(), asyncio.Event()
        self.stops: list[tuple[str, Stop]] = []

    def attend(self, attendant: Attendant, **more: Any) -> None:
        raise AssertionError("nobody answers")

    def stop(self, reference: str, stop: Stop) -> None:
        self.stops.append((reference, stop))
        self.taken_back.set()

    async def send(self, message: Message) -> Outcome:
        self.called.append(message.reference)
        self.rings.set()
        await self.taken_back.wait()
        return RetryLater(reason=Reason(code="cancelled"))


class InOneCommit:
    """In a journal's place: a claim is committed together with an acknowledgement of its alert."""

    def __init__(self, journal: Journal, acknowledge: Acknowledge) -> None:
        self._journal = journal
        self._acknowledge = acknowledge

    async def do(self, command: Command[Any], *, urgent: bool = False) -> Any:
        doing = [asyncio.ensure_future(self._journal.do(command, urgent=urgent))]
        if isinstance(command, ClaimDeliveries):
            doing.append(asyncio.ensure_future(self._journal.do(self._acknowledge, urgent=urgent)))
        return (await asyncio.gather(*doing))[0]


def acknowledging(alert_id: str) -> Acknowledge:
    return Acknowledge(alert_id=alert_id, account_id="acme", by="bob", comment="", via="api", key_id="key_test")


async def render(claim: Claim) -> Message:
    return Message(address=claim.delivery.address, text="Fire", reference=claim.delivery.id)


def dispatcher_of(
    desk: Desk, channel: Ringing, journal: object = None, *, lease_s: float = desks.LEASE_S
) -> Dispatcher:
    async def ended(ids: Sequence[str]) -> dict[str, str]:
        return await desk.store.read(lambda connection: ended_among(connection, ids))

    return Dispatcher(
        channel=cast("Channel", channel),
        queue=MemoryQueue(),
        journal=cast("Journal", journal or desk.journal),
        policy=replace(desk.policy, lease_s=lease_s),
        tariffs=desk.tariffs,
        clock=desk.clock,
        breaker=Breaker(),
        render=render,
        ended_among=ended,
    )


@asynccontextmanager
async def running(dispatcher: Dispatcher) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(dispatcher.run())
    try:
        async with asyncio.timeout(SOON_S):
            yield task
    finally:
        task.cancel()
        cast("Ringing", dispatcher.channel).taken_back.set()
        with suppress(asyncio.CancelledError):
            await task


async def call(dispatcher: Dispatcher, delivery_id: str) -> None:
    await dispatcher._queue.announce(A, [Ticket(delivery_id=delivery_id, urgency=Urgency.NORMAL)])


def stops_with(desk: Desk, dispatcher: Dispatcher) -> None:
    """Has the dispatcher told of ends right after their commit, as the broker does."""
    signalled = desk.journal._signalled

    def both(signals: Sequence[object]) -> None:
        signalled(signals)
        for signal in signals:
            if isinstance(signal, AlertEnded):
                dispatcher.stop(signal.alert_id, Stop(by="bob"))

    desk.journal._signalled = both


async def test_what_is_claimed_in_the_commit_that_ends_its_alert_does_not_ring(desk: Desk) -> None:
    one = await desk.one(ONE, rule=Rule.ANY)
    channel = Ringing()
    journal = InOneCommit(desk.journal, acknowledging((await desk.delivery(one)).alert_id))
    dispatcher = dispatcher_of(desk, channel, journal)
    stops_with(desk, dispatcher)
    async with running(dispatcher):
        await call(dispatcher, one)

        async def cancelled() -> bool:
            return await desk.state(one) == State.CANCELLED

        await eventually(cancelled, SOON_S, what="the end of what was claimed")
    assert channel.called == []
    assert [(attempt.outcome, attempt.code) for attempt in await desk.attempts(one)] == [("retry_later", "cancelled")]


async def test_what_was_handed_back_is_called_again(desk: Desk) -> None:
    """That the alert ended once concerns what was claimed before."""
    alert_id = await desk.accept(ONE, rule=Rule.ANY)
    channel = Ringing()
    dispatcher = dispatcher_of(desk, channel)
    stops_with(desk, dispatcher)
    await desk.acknowledge(alert_id)
    desk.clock.move(1)
    await desk.change(alert_id, release)
    await desk.tick()
    _, anew = await desk.deliveries(alert_id)
    async with running(dispatcher):
        await call(dispatcher, anew.id)
        await channel.rings.wait()
    assert channel.called == [anew.id]


async def test_an_end_of_which_no_word_came_is_found_in_the_store(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alert ended in another process, and the queue that would tell is away."""
    monkeypatch.setattr(module, "ENDS_ASKED_S", 0.01)
    one = await desk.one(ONE, rule=Rule.ANY)
    channel = Ringing()
    dispatcher = dispatcher_of(desk, channel)
    async with running(dispatcher):
        await call(dispatcher, one)
        await channel.rings.wait()
        await desk.do(acknowledging((await desk.delivery(one)).alert_id))
        await channel.taken_back.wait()
    assert channel.stops[0] == (one, Stop(by="bob"))


async def test_a_call_that_is_waited_for_at_the_end_keeps_its_lease(desk: Desk) -> None:
    """Another process would call the same phone while the person still listens."""
    one = await desk.one(ONE)
    channel = Ringing()
    dispatcher = dispatcher_of(desk, channel, lease_s=0.3)
    async with running(dispatcher) as task:
        await call(dispatcher, one)
        await channel.rings.wait()
        task.cancel()
        desk.clock.move(5)
        before = (await desk.delivery(one)).look_at

        async def renewed() -> bool:
            return (await desk.delivery(one)).look_at > before

        await eventually(renewed, SOON_S, what="the renewal of a lease")
        assert not task.done()
