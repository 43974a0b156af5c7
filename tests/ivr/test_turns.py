"""Whose turn it is to begin a call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ivr.turns import Turn, Turns

PER_S = 50.0


def now() -> float:
    return asyncio.get_running_loop().time()


async def order_of(turns: Sequence[Turn]) -> list[int]:
    """In which order they came."""
    came: list[int] = []
    for n, turn in enumerate(turns):
        turn.add_done_callback(lambda turn, n=n: None if turn.cancelled() else came.append(n))  # type: ignore[misc]
    await asyncio.wait(turns)
    return came


async def test_so_many_a_second_in_the_order_asked() -> None:
    turns, began = Turns(PER_S, now), now()
    assert await order_of([turns.take(urgent=False) for _ in range(6)]) == [0, 1, 2, 3, 4, 5]
    assert now() - began >= 5 / PER_S


async def test_the_first_one_does_not_wait() -> None:
    assert Turns(0.1, now).take(urgent=False).done()


async def test_urgent_ones_go_first() -> None:
    turns = Turns(PER_S, now)
    waiting = [turns.take(urgent=False) for _ in range(3)]
    waiting += [turns.take(urgent=True) for _ in range(2)]
    assert await order_of(waiting) == [3, 4, 1, 2] or waiting[0].done()


async def test_one_that_becomes_urgent_goes_first() -> None:
    turns = Turns(PER_S, now)
    turns.take(urgent=False)
    waiting = [turns.take(urgent=False) for _ in range(4)]
    turns.hasten(waiting[3])
    assert await order_of(waiting) == [3, 0, 1, 2]
    turns.hasten(waiting[3])  # it has had its turn


async def test_who_gives_up_delays_nobody() -> None:
    turns = Turns(PER_S, now)
    turns.take(urgent=False)
    gone = [turns.take(urgent=False) for _ in range(1_000)]
    last = turns.take(urgent=False)
    for turn in gone:
        turn.cancel()
    await asyncio.wait_for(last, timeout=10)  # and not after 20 s


async def test_time_that_nobody_used_is_not_saved_up() -> None:
    turns = Turns(PER_S, now)
    await turns.take(urgent=False)
    until = now() + 5 / PER_S
    while now() < until:
        await turns.take(urgent=False)
    began = now()
    await asyncio.wait([turns.take(urgent=False) for _ in range(3)])
    assert now() - began >= 2 / PER_S
