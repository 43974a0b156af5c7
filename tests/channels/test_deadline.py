"""The timer of many deadlines, on both event loops: how near a deadline is makes no difference."""

from __future__ import annotations

import asyncio

import pytest

from channels.deadline import DeadlineTimer

NEAR_S = [-1.0, 0.0, 0.0001, 0.0004, 0.00049, 0.0005, 0.0006, 0.001, 0.002, 0.02]
"""uvloop's clock ticks in milliseconds: what is less than half of one away is done at once, by a handle without a time."""
LATE_S = 60.0
WITHIN_S = 20.0


@pytest.mark.parametrize("first_s", NEAR_S)
@pytest.mark.parametrize("then_s", NEAR_S)
async def test_it_acts_once_for_two_deadlines(first_s: float, then_s: float) -> None:
    loop = asyncio.get_running_loop()
    acted: asyncio.Queue[float] = asyncio.Queue()
    timer = DeadlineTimer(loop, lambda: acted.put_nowait(loop.time()))
    now = loop.time()
    timer.by(now + first_s)
    timer.by(now + then_s)
    async with asyncio.timeout(WITHIN_S):
        at = await acted.get()
    assert at >= now + min(first_s, then_s) - 0.001  # a millisecond is as fine as uvloop's clock is
    await asyncio.sleep(0.01)
    assert acted.empty()


@pytest.mark.parametrize("near_s", NEAR_S)
async def test_an_earlier_deadline_takes_the_place_of_a_later_one(near_s: float) -> None:
    loop = asyncio.get_running_loop()
    acted = asyncio.Event()
    timer = DeadlineTimer(loop, acted.set)
    timer.by(loop.time() + LATE_S)
    timer.by(loop.time() + near_s)
    timer.by(loop.time() + LATE_S)
    async with asyncio.timeout(WITHIN_S):
        await acted.wait()


@pytest.mark.parametrize("near_s", NEAR_S)
async def test_cancelled_it_acts_no_more_and_can_be_used_again(near_s: float) -> None:
    loop = asyncio.get_running_loop()
    acted: list[str] = []
    timer = DeadlineTimer(loop, lambda: acted.append("acted"))
    timer.by(loop.time() + near_s)
    timer.cancel()
    timer.cancel()
    await asyncio.sleep(max(near_s, 0) + 0.005)
    assert acted == []
    timer.by(loop.time())
    await asyncio.sleep(0.005)
    assert acted == ["acted"]
