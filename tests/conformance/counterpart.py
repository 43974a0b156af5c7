"""The provider at the other end as the channel suite sees it, and what the suite runs beside it. It tests nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from enum import Enum, auto
from typing import Protocol

from channels.channel import Channel
from channels.outcome import Accepted, LinkHealth, Receipt, Report
from tests.peers.ports import LOOPBACK
from tests.peers.waiting import eventually

SLOW_S = 0.2
"""How long a slow provider thinks about each message."""
SLOTS = 4
"""How many messages may be under way at once on the channels that the counterparts make."""
PATIENT_S = 30.0
"""Time-outs that nothing here should run into."""
WRONG_PASSWORD = "Wr0ng-Pa55"


class Mood(Enum):
    """How the provider treats the messages that it gets from now on. Reports go on as they do."""

    TAKES = auto()
    SLOW = auto()
    """Takes each after SLOW_S."""
    REFUSES = auto()
    """For good."""
    BUSY = auto()
    """Refuses for now."""
    THROTTLES = auto()
    """Refuses for now, and says that it is the pace."""
    SILENT = auto()
    """Has it, and never answers."""
    DROPS = auto()
    """Has it, and cuts the link instead of answering."""


class Counterpart(Protocol):
    """A provider on a real port, and channels towards it with SLOTS slots and the right credentials."""

    to: str
    """A recipient whom it serves."""
    secrets: tuple[str, ...]
    """What nobody may read, in every spelling that is on the wire; WRONG_PASSWORD is another one."""
    ends_within_s: float
    """The bound on the end of `run`: what constants and settings add up to."""

    def channel(
        self,
        *,
        port: int | None = None,
        password: str | None = None,
        connect_s: float = PATIENT_S,
        response_s: float = PATIENT_S,
    ) -> Channel:
        """A channel towards it, or towards another port or with another password."""
        ...

    def send_within_s(self, connect_s: float, response_s: float) -> float:
        """The bound on one `send` with these settings."""
        ...

    async def start(self) -> None:
        """Listens again, on the port that it had."""
        ...

    async def stop(self) -> None:
        """Is gone, with every connection."""
        ...

    async def behave(self, mood: Mood) -> None:
        """From now on so."""
        ...

    async def messages(self) -> int:
        """How many messages, or parts of them, it took or refused."""
        ...

    async def logins(self) -> int:
        """How many times somebody opened a session, well or badly."""
        ...

    async def confirmed(self) -> int:
        """How many reports a channel confirmed."""
        ...

    async def refused(self) -> int:
        """How many times a channel did not, and asked to hear it again."""
        ...


class Reports:
    """A report sink that keeps what it is given, and on request holds it or fails."""

    def __init__(self, *, holding: bool = False, failing: bool = False) -> None:
        self.taken: list[Report] = []
        self.failing = failing
        self.entered = asyncio.Event()
        self._open = asyncio.Event()
        if not holding:
            self.release()

    def release(self) -> None:
        """Holds nothing back any more."""
        self._open.set()

    async def __call__(self, reports: Sequence[Report]) -> None:
        """The channel's `report`."""
        self.entered.set()
        await self._open.wait()
        if self.failing:
            raise OSError("disk full")
        self.taken.extend(reports)

    async def receipts_of(self, accepted: Accepted) -> list[Receipt]:
        """The receipts of all parts, as soon as there is one for each."""
        wanted = {part.provider_message_id for part in accepted.parts}

        def all_here() -> list[Receipt]:
            receipts = [report for report in self.taken if isinstance(report, Receipt)]
            ours = [receipt for receipt in receipts if wanted.intersection(receipt.provider_message_ids)]
            named = {name for receipt in ours for name in receipt.provider_message_ids}
            return ours if wanted <= named else []

        return await eventually(all_here, what=f"receipts for {sorted(wanted)}")


@contextlib.asynccontextmanager
async def running(channel: Channel, reports: Reports | None = None, *, up: bool = True) -> AsyncIterator[Reports]:
    """Runs the channel until the block ends, from when it is up; then it must end by the cancellation and nothing else."""
    reports = reports or Reports()
    run = asyncio.create_task(channel.run(reports))
    try:
        if up:
            await health_where(channel, up=True)
        yield reports
    finally:
        reports.release()
        run.cancel()
        (ended,) = await asyncio.gather(run, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


async def health_where(channel: Channel, *, up: bool) -> LinkHealth:
    """The channel's health as soon as it says so."""
    await eventually(lambda: channel.health().up is up, what=f"health with up={up}")
    return channel.health()


@contextlib.asynccontextmanager
async def saying(octets: bytes) -> AsyncIterator[int]:
    """The port of something that says only this to whoever connects, and hangs up."""

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        writer.close()

    async with await asyncio.start_server(hang_up, LOOPBACK, 0) as server:
        yield int(server.sockets[0].getsockname()[1])


@contextlib.contextmanager
def saying_nothing() -> Iterator[int]:
    """The port of something that the kernel connects to, and that nobody ever looks at."""
    with socket.create_server((LOOPBACK, 0)) as silent:
        yield int(silent.getsockname()[1])
