"""Fixtures of the scenarios: a gateway at hand, opened with the providers that a scenario needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.peers.smsc import NodeSmsc
from tests.scenarios.desk import Desk, InsideDesk, open_desk, open_inside_desk
from tests.scenarios.installation import Table

OpenDesk = Callable[..., Awaitable[Desk]]
OpenInsideDesk = Callable[..., Awaitable[InsideDesk]]
StartSmsc = Callable[..., NodeSmsc]


@pytest.fixture
async def desk_with(tmp_path: Path) -> AsyncIterator[OpenDesk]:
    """``desk = await desk_with(smpp("a", smsc.port), …)``; what it opened ends with the test. See `open_desk`."""
    async with AsyncExitStack() as opened:

        async def start(*providers: Table, **settings: Any) -> Desk:
            return await opened.enter_async_context(open_desk(tmp_path, *providers, **settings))

        yield start


@pytest.fixture
async def inside_desk_with(tmp_path: Path) -> AsyncIterator[OpenInsideDesk]:
    """As `desk_with`, in this process: for scenarios that move the clock or look at what no API shows."""
    async with AsyncExitStack() as opened:

        async def start(*providers: Table, **settings: Any) -> InsideDesk:
            return await opened.enter_async_context(open_inside_desk(tmp_path, *providers, **settings))

        yield start
