"""Channels and simulators that run for the length of a test, and what the channels reported meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from channels.channel import Message
from channels.outcome import LinkHealth, Report
from channels.sms.channel import SmsChannel
from channels.sms.settings import SmppSettings
from channels.sms.smpp.behaviour import SmscBehaviour
from channels.sms.smpp.simulator import SmscSimulator

TO = "+33612345678"
WITHIN_S = 30.0
"""Nothing here takes long; this only ends a test that would wait for ever."""


class Reports:
    """A report sink that keeps everything, can be told to wait or to fail, and can be waited for."""

    def __init__(self) -> None:
        self.calls: list[list[Report]] = []
        self.failing = False
        self.open = asyncio.Event()
        self.open.set()
        self.entered = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def all(self) -> list[Report]:
        return [report for call in self.calls for report in call]

    async def __call__(self, reports: Sequence[Report]) -> None:
        self.entered.set()
        await self.open.wait()
        if self.failing:
            raise OSError("disk full")
        self.calls.append(list(reports))
        self._changed.set()

    async def wait_for(self, count: int) -> list[Report]:
        async with asyncio.timeout(WITHIN_S):
            while len(self.all) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.all


@asynccontextmanager
async def simulating(behaviour: SmscBehaviour | None = None) -> AsyncIterator[tuple[SmscSimulator, int]]:
    simulator = SmscSimulator(behaviour)
    port = await simulator.start()
    try:
        yield simulator, port
    finally:
        await simulator.stop()


@asynccontextmanager
async def running(channel: SmsChannel, reports: Reports | None = None) -> AsyncIterator[Reports]:
    """Runs the channel until the block ends, then checks that it ended by the cancellation and by nothing else."""
    reports = reports or Reports()
    task = asyncio.create_task(channel.run(reports))
    try:
        yield reports
    finally:
        reports.open.set()
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


def smpp(port: int, /, **changes: object) -> SmppSettings:
    """Settings towards a simulator on this port."""
    base: dict[str, object] = {
        "name": "carrier-a",
        "channel": "sms",
        "kind": "smpp",
        "host": "127.0.0.1",
        "port": port,
        "system_id": "user",
        "password": "pw",
        "source": "ALERT",
    }
    return SmppSettings.model_validate(base | changes)


def message(text: str = "Fire in hall 3", **changes: Any) -> Message:
    fields: dict[str, Any] = {"address": TO, "text": text, "reference": "dlv_1"}
    return Message(**(fields | changes))


async def health_where(channel: SmsChannel, true: Callable[[LinkHealth], bool]) -> LinkHealth:
    """The channel's health as soon as it is so."""
    async with asyncio.timeout(WITHIN_S):
        while not true(health := channel.health()):  # noqa: ASYNC110 - health is for polling, and tells nobody of itself
            await asyncio.sleep(0.005)
    return health
