"""What every channel must do, whichever it is: one suite over real sockets, run by a test file for each kind of provider."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from dataclasses import asdict
from enum import Enum, auto
from typing import Any, Protocol, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError
from structlog.testing import capture_logs

from channels.channel import Channel, InvalidAddressError, Message
from channels.outcome import (
    Accepted,
    Delivered,
    LinkHealth,
    Outcome,
    PermanentFailure,
    Receipt,
    ReceiptDelivered,
    Report,
    RetryLater,
)
from tests.peers.ports import LOOPBACK
from tests.peers.waiting import eventually

T = TypeVar("T")

SLOW_S = 0.2
"""How long a slow provider thinks about each message."""
HASTY_S = 0.5
"""The time-outs of channels that are to run into them."""
DUTY_TEXT = "Pressure in tank 7 is 12.4 bar"
LONG_TEXT = "Évacuation 🚒👩‍🚒 bâtiment C! " * 12
ODD_TEXTS = ("", " ", "\0", "\ud800", "\r\n.\r\nQUIT\r\n", "é" * 70_000, "‮🏴󠁧󠁢󠁥󠁮󠁧󠁿\u200d")
GARBAGE = (b"", b"\0" * 64, bytes(range(256)) * 16, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 " + b"x" * 100_000)
"""What something else than a provider says to whoever connects, before it hangs up."""


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
    """A provider on a real port, and channels towards it with the right credentials.

    The channels have few slots, and end gracefully within a second where nothing hangs.
    """

    to: str
    """A recipient whom it serves."""
    port: int
    secrets: Sequence[str]
    """What nobody may read, in every spelling that is on the wire."""
    ends_within_s: float
    """The bound on a graceful end: what the channel's constants and settings add up to."""

    def channel(
        self, *, port: int | None = None, password: str | None = None, connect_s: float = 5.0, response_s: float = 5.0
    ) -> Channel:
        """A channel towards it, or towards another port or with another password."""
        ...

    def send_within_s(self, connect_s: float, response_s: float) -> float:
        """The bound on one `send`: what the channel promises with these settings."""
        ...

    async def start(self) -> None:
        """Listens on `port`, the same one each time."""
        ...

    async def stop(self) -> None:
        """Is gone, with every connection."""
        ...

    async def behave(self, mood: Mood) -> None:
        """From now on so."""
        ...

    async def messages(self) -> int:
        """How many messages, or parts, were taken."""
        ...

    async def logins(self) -> int:
        """How many times somebody opened a session, well or badly."""
        ...

    async def confirmed(self) -> int:
        """How many reports the channel confirmed."""
        ...

    async def refused(self) -> int:
        """How many times it did not, and asked for them again."""
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
        self.entered.set()
        await self._open.wait()
        if self.failing:
            raise OSError("disk full")
        self.taken.extend(reports)

    async def receipts_of(self, accepted: Accepted) -> list[Receipt]:
        """A receipt for each part, as soon as all are here."""
        wanted = [part.provider_message_id for part in accepted.parts]

        def all_here() -> list[Receipt]:
            found = [(n, r) for r in self.taken if isinstance(r, Receipt) for n in wanted if n in r.provider_message_ids]
            return [r for _, r in found] if {n for n, _ in found} == set(wanted) else []

        return await eventually(all_here, what=f"a receipt for each of {wanted}")


@contextlib.asynccontextmanager
async def running(channel: Channel, reports: Reports | None = None, *, up: bool = True) -> AsyncIterator[Reports]:
    """Runs the channel, from when it is up until the block ends; then it must end by the cancellation alone."""
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


@contextlib.asynccontextmanager
async def saying(octets: bytes) -> AsyncIterator[int]:
    """The port of something that says only this to whoever connects, and hangs up."""

    def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        writer.close()

    async with await asyncio.start_server(hang_up, LOOPBACK, 0) as server:
        yield int(server.sockets[0].getsockname()[1])


@contextlib.contextmanager
def black_hole() -> Iterable[int]:  # type: ignore[misc] # placeholder
    ...


async def within(seconds: float, work: Awaitable[T]) -> T:
    """What the work gives; it must not take longer."""
    async with asyncio.timeout(seconds):
        return await work


async def health_where(channel: Channel, *, up: bool) -> LinkHealth:
    """The channel's health as soon as it says so."""
    await eventually(lambda: channel.health().up is up, what=f"health with up = {up}")
    return channel.health()
