"""The simulated SMSC, bound to by our own sessions: what it promises to tests, drills and the demo."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Literal

import pytest
from structlog.testing import capture_logs

from channels.channel import Message
from channels.outcome import Accepted, Inbound, RetryLater
from channels.sms.channel import SmsChannel
from channels.sms.smpp import simulator
from channels.sms.smpp.behaviour import Judge, SmscBehaviour
from channels.sms.smpp.limits import Limits
from channels.sms.smpp.wire import RMSGQFUL, ROK
from tests.channels.sms.running import message, running, simulating, smpp


def judge_of(behaviour: SmscBehaviour) -> Judge:
    return Judge(behaviour, Random(behaviour.seed).random)


def test_chance_follows_from_the_seed() -> None:
    def decisions(seed: int) -> list[tuple[int, str]]:
        judge = judge_of(
            SmscBehaviour(throttle_per_mille=200, reject_per_mille=200, undelivered_per_mille=300, seed=seed)
        )
        return [(decision.status, decision.stat) for decision in (judge.decide(0.0) for _ in range(500))]

    assert decisions(1) == decisions(1) != decisions(2)
    statuses = [status for status, _ in decisions(1)]
    assert 60 < statuses.count(0x58) < 140
    assert 50 < statuses.count(0x0B) < 120


def test_submits_beyond_the_rate_are_throttled_until_the_second_is_over() -> None:
    judge = judge_of(SmscBehaviour(submits_per_s=3))
    assert [judge.decide(10.5).status for _ in range(5)] == [0, 0, 0, 0x58, 0x58]
    assert judge.decide(11.5).status == 0


@pytest.mark.parametrize(("form", "answer", "receipt"), [("dec", 10, 10), ("hex", 16, 16), ("hexdec", 16, 10)])
def test_ids_are_written_as_asked_for(form: Literal["dec", "hex", "hexdec"], answer: int, receipt: int) -> None:
    decision = judge_of(SmscBehaviour(id_format=form)).decide(0.0)
    assert int(decision.message_id, answer) == int(decision.receipt_id, receipt) == 1_000_000


async def test_it_counts_and_keeps_what_it_received() -> None:
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port))
        async with running(channel) as reports:
            await asyncio.gather(channel.send(message("short")), channel.send(message("long " * 50)))
            await reports.wait_for(3)
            await smsc.wait_for(lambda s: s.counters.confirmed == 3)
            assert smsc.links == 1
        counters = smsc.counters
        assert (counters.binds, counters.submits, counters.accepted, counters.deliveries) == (1, 3, 3, 3)
        assert sorted((received.text, received.parts) for received in smsc.received) == [
            ("long " * 50, 2),
            ("short", 1),
        ]
        assert len({mid for received in smsc.received for mid in received.message_ids}) == 3


async def test_no_receipts_where_none_are_wanted() -> None:
    async with simulating(SmscBehaviour(receipts=False)) as (smsc, port):
        channel = SmsChannel(smpp(port))
        async with running(channel):
            await channel.send(message())
        assert smsc.counters.deliveries == 0
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port, registered_delivery=False))
        async with running(channel):
            await channel.send(message())
        assert smsc.counters.deliveries == 0


async def test_receipts_can_take_their_time() -> None:
    async with simulating(SmscBehaviour(receipt_delay_s=0.5)) as (smsc, port):
        channel = SmsChannel(smpp(port))
        async with running(channel) as reports:
            await channel.send(message())
            assert smsc.counters.deliveries == 0
            await reports.wait_for(1)


async def test_what_nobody_can_take_waits_for_the_next_bind() -> None:
    async with simulating() as (smsc, port):
        smsc.send_mo("33611111111", "12345", "early")
        channel = SmsChannel(smpp(port))
        async with running(channel) as reports:
            (report,) = await reports.wait_for(1)
    assert isinstance(report, Inbound)
    assert report.text == "early"


async def test_receipts_go_to_whom_they_belong() -> None:
    async with simulating() as (_, port):
        first, second = SmsChannel(smpp(port, system_id="one")), SmsChannel(smpp(port, system_id="two"))
        async with running(first) as reports_of_first, running(second) as reports_of_second:
            for _ in range(5):
                await first.send(message())
            await second.send(message())
            await reports_of_first.wait_for(5)
            await reports_of_second.wait_for(1)
            assert (len(reports_of_first.all), len(reports_of_second.all)) == (5, 1)


async def test_a_receipt_lost_with_its_link_is_delivered_over_the_next() -> None:
    async with simulating(SmscBehaviour(receipt_delay_s=0.5)) as (smsc, port):
        channel = SmsChannel(smpp(port))
        async with running(channel) as reports:
            await channel.send(message())
            smsc.drop_links()
            await reports.wait_for(1)
        assert smsc.counters.binds == 2


async def test_more_than_its_limit_a_second_is_throttled_and_the_channel_adapts() -> None:
    async with simulating(SmscBehaviour(submits_per_s=20, receipts=False)) as (smsc, port):
        channel = SmsChannel(smpp(port, window=50))
        async with running(channel):
            outcomes = await asyncio.gather(*[channel.send(message(str(n))) for n in range(30)])
            assert sum(isinstance(outcome, RetryLater) and outcome.throttled for outcome in outcomes) == 10
            assert channel.health().facts["pace"] == "10/s"
        assert smsc.counters.throttled == 10


async def test_waiting_for_what_never_comes_ends() -> None:
    async with simulating() as (smsc, _):
        with pytest.raises(TimeoutError):
            await smsc.wait_for(lambda s: s.counters.binds == 1, timeout=0.02)


async def test_a_thousand_messages_over_a_link_that_keeps_dropping_all_arrive() -> None:
    """What a dispatcher does: whatever did not end well is sent again. Duplicates stay within the windows in flight."""
    async with simulating(SmscBehaviour(drop_every=400, redeliver_after_s=0.01)) as (smsc, port):
        channel = SmsChannel(smpp(port, window=20, link_wait_s=5))
        again = 0

        async def until_accepted(n: int) -> None:
            nonlocal again
            while True:
                outcome = await channel.send(Message(address=f"+336{n:08}", text=f"message {n}", reference=f"dlv_{n}"))
                if isinstance(outcome, Accepted):
                    return
                assert isinstance(outcome, RetryLater)
                again += outcome.maybe_sent

        async with running(channel):
            slots = asyncio.Semaphore(20)

            async def one(n: int) -> None:
                async with slots:
                    await until_accepted(n)

            await asyncio.gather(*[one(n) for n in range(1000)])
            await smsc.wait_for(lambda s: s.counters.confirmed >= s.counters.accepted)
        assert {received.text for received in smsc.received} == {f"message {n}" for n in range(1000)}
        assert smsc.counters.drops == 2
        assert len(smsc.received) - 1000 <= again <= smsc.counters.drops * 20


async def test_connections_are_bounded_and_who_does_not_bind_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "SESSIONS_MAX", 3)
    monkeypatch.setattr(simulator, "SESSIONS_OF_ONE_MAX", 2)
    monkeypatch.setattr(simulator, "_LIMITS", Limits(bind_s=0.5))
    with capture_logs() as logged:
        await _silent_connections()
    refused = [(line["reason"], line["peer"]) for line in logged if line["event"] == "listener_refused"]
    of_two = {("too_many_of_one", "127.0.0.2"), ("too_many", "127.0.0.4")}
    assert sorted(refused) == sorted(of_two | {("too_slow", "127.0.0.2"), ("too_slow", "127.0.0.3")})


async def _silent_connections() -> None:
    async with simulating() as (_, port):
        silent = [
            await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
            for host in ("127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.4")
        ]
        async with asyncio.timeout(30):
            for at in (2, 4):  # the third of one host, and the fourth of all
                assert await silent[at][0].read() == b""
            assert not any(silent[at][0].at_eof() for at in (0, 1, 3))
            for at in (0, 1, 3):
                assert await silent[at][0].read() == b""
        for _, writer in silent:
            writer.close()
        async with running(SmsChannel(smpp(port))) as reports:  # all places are free again
            await reports.wait_for(0)


async def test_receipts_that_nobody_fetches_are_bounded_over_all_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "UNDELIVERED_MAX", 5)
    async with simulating() as (smsc, _):
        with capture_logs() as logged:
            for n in range(20):
                smsc.send_mo("33612345678", "38000", "x", system_id=f"esme-{n}")
        assert [(line["event"], line["bound"], line["most"]) for line in logged] == [
            ("listener_bound_reached", "receipts_not_fetched", 5)
        ]
        assert sum(map(len, smsc._undelivered.values())) == smsc._waiting == 5
        assert len(smsc._undelivered) == 5


@pytest.mark.parametrize("named", ["33612345601", "+33612345601"])
def test_a_number_is_named_with_or_without_its_plus(named: str) -> None:
    judge = Judge(SmscBehaviour(queue_full_for=named), lambda: 0.5)
    assert judge.decide(0.0, "33612345601").status == RMSGQFUL
    assert judge.decide(0.0, "33612345602").status == ROK
