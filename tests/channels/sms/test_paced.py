"""Links with a pace, on both event loops: each text leaves once, and a fault of ours never hides what became of one."""

from __future__ import annotations

import asyncio

import pytest

from channels.outcome import Accepted, RetryLater
from channels.sms.channel import SmsChannel
from channels.sms.smpp.behaviour import SmscBehaviour
from channels.sms.smpp.pace import Pace
from tests.channels.sms.running import health_where, message, running, simulating, smpp


@pytest.mark.parametrize("rate_per_s", [10, 50, 100, 200, 500, 999, 1_000])
async def test_each_of_many_texts_leaves_once_at_any_pace(rate_per_s: int) -> None:
    count = min(rate_per_s, 250) + 20
    async with simulating(SmscBehaviour(receipts=False, response_delay_s=0.003)) as (simulator, port):
        channel = SmsChannel(smpp(port, rate_per_s=rate_per_s))
        async with running(channel):
            await health_where(channel, lambda health: health.up)
            outcomes = await asyncio.gather(*(channel.send(message(f"text {n}")) for n in range(count)))
            assert [one for one in outcomes if not isinstance(one, Accepted)] == []
        assert sorted(one.text for one in simulator.received) == sorted(f"text {n}" for n in range(count))
        assert (simulator.counters.binds, simulator.counters.submits) == (1, count)


async def test_a_fault_after_a_text_has_left_does_not_make_it_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `sent` is the last thing that happens to a text before it is written."""
    failures = 3
    honest = Pace.next_at

    async with simulating(SmscBehaviour(receipts=False)) as (simulator, port):
        channel = SmsChannel(smpp(port))
        async with running(channel):
            await health_where(channel, lambda health: health.up)
            calls = 0

            def fails_at_the_second_look(pace: Pace, now: float, *, urgent: bool = False) -> float:
                nonlocal calls
                calls += 1
                if calls > 1 and calls <= 1 + failures:
                    raise RuntimeError("a fault of ours")
                return honest(pace, now, urgent=urgent)

            monkeypatch.setattr(Pace, "next_at", fails_at_the_second_look)
            outcomes = await asyncio.gather(
                *(channel.send(message(f"text {n}")) for n in range(10)), return_exceptions=True
            )
            sent = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Accepted)]
            raised = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, RuntimeError)]
            monkeypatch.setattr(Pace, "next_at", honest)
            assert isinstance(await channel.send(message("one more")), Accepted)
        assert len(raised) == failures
        # what was told to have failed has not left, now or later, and the link has been the same all the time
        assert sorted(one.text for one in simulator.received) == sorted(["one more", *(f"text {n}" for n in sent)])
        assert (simulator.counters.binds, simulator.counters.unbinds) == (1, 1)


async def test_a_fault_in_hearing_an_answer_neither_loses_it_nor_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    async with simulating(SmscBehaviour(receipts=False)) as (simulator, port):
        channel = SmsChannel(smpp(port))
        async with running(channel):
            await health_where(channel, lambda health: health.up)
            with monkeypatch.context() as patched:
                patched.setattr(Pace, "taken", _raises)
                assert isinstance(await channel.send(message("first")), Accepted)
            assert isinstance(await channel.send(message("second")), Accepted)
        assert [one.text for one in simulator.received] == ["first", "second"]
        assert simulator.counters.binds == 1


async def test_a_long_message_whose_later_part_fails_is_withdrawn_as_far_as_it_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with simulating(SmscBehaviour(receipts=False)) as (simulator, port):
        channel = SmsChannel(smpp(port, rate_per_s=1))
        async with running(channel):
            await health_where(channel, lambda health: health.up)
            assert isinstance(await channel.send(message("takes the turn")), Accepted)
            honest, calls = Pace.next_at, 0

            def fails_at_the_second_part(pace: Pace, now: float, *, urgent: bool = False) -> float:
                nonlocal calls
                calls += 1
                if calls == 3:  # the first part looked twice: whether it may leave, and when it may
                    raise RuntimeError("a fault of ours")
                return honest(pace, now, urgent=urgent)

            with monkeypatch.context() as patched:
                patched.setattr(Pace, "next_at", fails_at_the_second_part)
                with pytest.raises(RuntimeError):
                    await channel.send(message("x" * 300))
            assert channel.health().outstanding == 0
            outcome = await channel.send(message("after it"))
            assert isinstance(outcome, Accepted | RetryLater)
        assert {one.text for one in simulator.received} == {"takes the turn", "after it"}
        assert simulator.counters.submits == 2


def _raises(*_: object) -> None:
    raise RuntimeError("a fault of ours")
