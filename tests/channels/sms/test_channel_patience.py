"""The SMS channel and centres that do not do their work: late answers, mute sessions, full queues and held links."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from channels.outcome import Accepted, LateOutcome, PermanentFailure, Receipt, RetryLater
from channels.sms.channel import SmsChannel
from channels.sms.smpp.behaviour import SmscBehaviour
from tests.channels.sms.running import WITHIN_S, Reports, health_where, message, running, simulating, smpp

OTHER = "+33600000002"


def late_of(reports: Reports) -> list[LateOutcome]:
    return [report for report in reports.all if isinstance(report, LateOutcome)]


async def until_late(reports: Reports, count: int) -> list[LateOutcome]:
    async with asyncio.timeout(WITHIN_S):
        while len(late_of(reports)) < count:  # noqa: ASYNC110 - the sink tells of calls, not of kinds
            await asyncio.sleep(0.005)
    return late_of(reports)


async def test_an_answer_after_its_time_is_reported_before_the_receipt() -> None:
    async with simulating(SmscBehaviour(response_delay_s=0.4)) as (_, port):
        channel = SmsChannel(smpp(port, response_s=0.2))
        async with running(channel) as reports:
            outcome = await channel.send(message(attempt=7))
            assert isinstance(outcome, RetryLater)
            assert outcome.maybe_sent
            (late, receipt) = await reports.wait_for(2)
    assert isinstance(late, LateOutcome)
    assert (late.reference, late.attempt) == ("dlv_1", 7)
    assert isinstance(late.outcome, Accepted)
    assert isinstance(receipt, Receipt)
    assert late.outcome.parts[0].provider_message_id in receipt.provider_message_ids


async def test_a_refusal_after_its_time_is_reported() -> None:
    async with simulating(SmscBehaviour(response_delay_s=0.4, reject_per_mille=1000)) as (_, port):
        channel = SmsChannel(smpp(port, response_s=0.2))
        async with running(channel) as reports:
            await channel.send(message())
            (late,) = await reports.wait_for(1)
    assert isinstance(late, LateOutcome)
    assert isinstance(late.outcome, PermanentFailure)


async def test_a_long_message_is_accepted_when_its_last_part_is_answered() -> None:
    async with simulating(SmscBehaviour(response_delay_s=0.4)) as (_, port):
        channel = SmsChannel(smpp(port, response_s=0.2))
        async with running(channel) as reports:
            await channel.send(message("x" * 400))
            late = await until_late(reports, 3)
    assert [len(one.outcome.parts) for one in late] == [1, 2, 3]
    assert [isinstance(one.outcome, Accepted) for one in late] == [False, False, True]


async def test_a_late_answer_is_kept_while_it_cannot_be_stored() -> None:
    async with simulating(SmscBehaviour(response_delay_s=0.4, receipts=False)) as (_, port):
        channel = SmsChannel(smpp(port, response_s=0.2))
        sink = Reports()
        sink.failing = True
        async with running(channel, sink) as reports:
            await channel.send(message())
            await sink.entered.wait()
            sink.failing = False
            (late,) = await reports.wait_for(1)
    assert isinstance(late, LateOutcome)


async def test_the_session_that_answers_is_preferred_and_the_other_one_is_bound_anew() -> None:
    async with simulating(SmscBehaviour(mute_binds=1)) as (smsc, port):
        channel = SmsChannel(smpp(port, binds=2, response_s=0.5, enquire_link_s=0.3))
        async with running(channel):
            await health_where(channel, lambda health: health.links_up == 2)
            outcomes = await asyncio.gather(*(channel.send(message(reference=f"dlv_{n}")) for n in range(8)))
            mute = [one for one in outcomes if isinstance(one, RetryLater)]
            assert len(mute) == 4  # those that the mute session had been given
            for n in range(4):
                assert isinstance(await channel.send(message(reference=f"more_{n}")), Accepted)
            await smsc.wait_for(lambda one: one.counters.binds >= 3, WITHIN_S)
            await health_where(channel, lambda health: health.links_up == 2)


async def test_case_4_2_a_full_queue_of_one_number_holds_no_other() -> None:
    full = SmscBehaviour(queue_full_for=OTHER.lstrip("+"))
    async with simulating(full) as (smsc, port):
        channel = SmsChannel(smpp(port))
        async with running(channel):
            outcomes = [await channel.send(message(address=OTHER)) for _ in range(3)]
            assert [isinstance(one, RetryLater) and one.destination and not one.throttled for one in outcomes] == [
                True
            ] * 3
            before = asyncio.get_running_loop().time()
            await asyncio.gather(*(channel.send(message(reference=f"dlv_{n}", urgent=True)) for n in range(100)))
            assert asyncio.get_running_loop().time() - before < 5
        assert smsc.counters.accepted == 100


async def test_case_4_2_an_urgent_message_probes_through_a_hold_and_ends_it() -> None:
    throttling = SmscBehaviour(throttle_per_mille=1000)
    async with simulating(throttling) as (smsc, port):
        channel = SmsChannel(smpp(port))
        async with running(channel):
            for _ in range(2):  # the hold is two seconds long by now
                await channel.send(message())
            smsc.behave(replace(throttling, throttle_per_mille=0))
            held = asyncio.ensure_future(channel.send(message(reference="bulk")))
            before = asyncio.get_running_loop().time()
            assert isinstance(await channel.send(message(urgent=True)), Accepted)
            assert isinstance(await held, Accepted)
            assert asyncio.get_running_loop().time() - before < 2


async def test_what_cannot_leave_is_given_back_where_another_provider_stands_ready() -> None:
    async with simulating(SmscBehaviour(mute=True)) as (_, port):
        channel = SmsChannel(smpp(port, window=1, response_s=20))
        async with running(channel):
            await health_where(channel, lambda health: health.up)
            first = asyncio.ensure_future(channel.send(message()))
            await health_where(channel, lambda health: health.outstanding == 1)
            outcome = await channel.send(message(reference="dlv_2", urgent=True, patience_s=0.4))
            assert isinstance(outcome, RetryLater)
            assert (outcome.reason.code, outcome.throttled, outcome.maybe_sent) == ("held_back", True, False)
            first.cancel()
