"""The event loop of every command: the one that the gateway is measured and tested with. What runs on it is not known here."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


def runner() -> asyncio.Runner:
    """For several coroutines one after the other on the same loop."""
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs one coroutine to its end. A command that tries a provider tries it as the server would."""
    with runner() as running:
        return running.run(work)
