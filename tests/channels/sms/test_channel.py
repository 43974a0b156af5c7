"""The SMS channel over real sockets against the simulated SMSC: sending, reporting and losing links."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from channels.channel import InvalidAddressError
from channels.outcome import (
    Accepted,
    Inbound,
    InboundPart,
    PermanentFailure,
    Receipt,
    ReceiptDelivered,
    ReceiptFailed,
    RetryLater,
)
from channels.sms.channel import SmsChannel
from channels.sms.smpp.behaviour import SmscBehaviour
from channels.sms.smpp.pdu import BindMode
from tests.channels.sms.running import Reports, health_where, message, running, simulating, smpp

LONG = "Pressure in tank 7 is 12.4 bar {limit 10} – " * 12
EMOJI = "Évacuation 🚒👩‍🚒 bâtiment C! " * 12


# -- sending


async def test_a_message_is_accepted_and_its_receipt_reported() -> None:
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port))
        async with running(channel) as reports:
            outcome = await channel.send(message())
            assert isinstance(outcome, Accepted)
            (receipt,) = await reports.wait_for(1)
        assert isinstance(receipt, Receipt)
        assert outcome.parts[0].provider_message_id in receipt.provider_message_ids
        assert receipt.result == ReceiptDelivered()
        assert receipt.address == "+33612345678"
        (received,) = smsc.received
        assert (received.source, received.destination, received.text) == ("ALERT", "33612345678", "Fire in hall 3")


@pytest.mark.parametrize("concatenation", ["udh", "sar", "payload"])
@pytest.mark.parametrize("reference_octets", [1, 2])
@pytest.mark.parametrize("text", [LONG.replace("–", "-"), LONG, EMOJI], ids=["gsm", "ucs2", "emoji"])
async def test_a_long_text_arrives_as_it_was_written(concatenation: str, reference_octets: int, text: str) -> None:
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port, concatenation=concatenation, reference_octets=reference_octets))
        async with running(channel) as reports:
            outcome = await channel.send(message(text))
            assert isinstance(outcome, Accepted)
            await reports.wait_for(len(outcome.parts))
        assert [received.text for received in smsc.received] == [text]
        assert sum(part.units for part in outcome.parts) == channel.billable_units(message(text)) > 1
        assert [part.n for part in outcome.parts] == list(range(1, len(outcome.parts) + 1))


async def test_parts_that_went_before_are_not_sent_again() -> None:
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port))
        async with running(channel):
            outcome = await channel.send(message("x" * 400, parts_sent=frozenset({1, 2})))
            assert isinstance(outcome, Accepted)
            assert [part.n for part in outcome.parts] == [3]
            await channel.send(message("x" * 400, parts_sent=frozenset({3})))
        assert smsc.counters.submits == 3
        assert [received.text for received in smsc.received] == ["x" * 400]


async def test_a_rejected_message_fails_for_good() -> None:
    async with simulating(SmscBehaviour(reject_per_mille=1000)) as (_, port):
        channel = SmsChannel(smpp(port))
        async with running(channel):
            outcome = await channel.send(message())
    assert isinstance(outcome, PermanentFailure)
    assert outcome.reason.code == "smpp_rinvdstadr"


async def test_where_some_parts_are_refused_the_others_are_named() -> None:
    async with simulating(SmscBehaviour(reject_per_mille=500, seed=3)) as (smsc, port):
        channel = SmsChannel(smpp(port))
        async with running(channel):
            outcome = await channel.send(message("x" * 1500))
    assert isinstance(outcome, PermanentFailure)
    assert 0 < len(outcome.parts) == smsc.counters.accepted < 10


async def test_an_undelivered_message_is_reported_as_failed() -> None:
    async with simulating(SmscBehaviour(undelivered_per_mille=1000)) as (_, port):
        channel = SmsChannel(smpp(port))
        async with running(channel) as reports:
            await channel.send(message())
            (receipt,) = await reports.wait_for(1)
    assert isinstance(receipt, Receipt)
    assert receipt.result == ReceiptFailed()


async def test_a_throttled_message_comes_back_first_in_line_and_the_link_slows_down() -> None:
    async with simulating(SmscBehaviour(throttle_per_mille=1000)) as (smsc, port):
        channel = SmsChannel(smpp(port, response_s=0.2))
        async with running(channel):
            outcome = await channel.send(message())
            assert isinstance(outcome, RetryLater)
            assert outcome.throttled
            assert channel.health().facts["pace"] == "1/s"
            held = await channel.send(message())  # the link is held for longer than a message waits
            assert isinstance(held, RetryLater)
            assert (held.throttled, held.maybe_sent, held.reason.code) == (True, False, "held_back")
            smsc.behave(SmscBehaviour())
            async with asyncio.timeout(20):
                while not isinstance(await channel.send(message()), Accepted):
                    pass
        assert smsc.counters.submits == 2


async def test_the_window_is_respected_and_nothing_waits_longer_than_it_must() -> None:
    async with simulating(SmscBehaviour(response_delay_s=0.02)) as (smsc, port):
        channel = SmsChannel(smpp(port, window=5))
        most = 0
        async with running(channel):
            sends = [asyncio.create_task(channel.send(message(str(n)))) for n in range(40)]
            while not all(send.done() for send in sends):
                most = max(most, channel.health().outstanding)
                await asyncio.sleep(0.001)
            assert all(isinstance(send.result(), Accepted) for send in sends)
        assert most == 5
        assert [received.text for received in smsc.received] == [str(n) for n in range(40)]


async def test_urgent_messages_jump_the_line() -> None:
    async with simulating(SmscBehaviour(response_delay_s=0.02)) as (smsc, port):
        channel = SmsChannel(smpp(port, window=1))
        async with running(channel):
            await channel.send(message("up"))
            bulk = [asyncio.create_task(channel.send(message(f"bulk {n}"))) for n in range(3)]
            await asyncio.sleep(0)
            await asyncio.gather(channel.send(message("fire", urgent=True)), *bulk)
        assert [received.text for received in smsc.received] == ["up", "bulk 0", "fire", "bulk 1", "bulk 2"]


async def test_a_cancelled_send_withdraws_what_has_not_left() -> None:
    async with simulating(SmscBehaviour(response_delay_s=0.05)) as (smsc, port):
        channel = SmsChannel(smpp(port, window=1))
        async with running(channel):
            first = asyncio.create_task(channel.send(message("first")))
            await smsc.wait_for(lambda s: s.counters.submits == 1)
            second = asyncio.create_task(channel.send(message("second")))
            await asyncio.sleep(0)
            second.cancel()
            assert isinstance(await first, Accepted)
            assert isinstance(await channel.send(message("third")), Accepted)
        assert [received.text for received in smsc.received] == ["first", "third"]


async def test_what_cannot_be_sent_fails_without_a_link() -> None:
    channel = SmsChannel(smpp(1))
    for bad, code in ((message("x" * 40_000), "too_long"), (message(address="nobody"), "invalid_destination")):
        outcome = await channel.send(bad)
        assert isinstance(outcome, PermanentFailure)
        assert outcome.reason.code == code


async def test_addresses_and_abilities() -> None:
    channel = SmsChannel(smpp(1, default_region="FR", binds=3, window=7, rate_per_s=50))
    assert channel.parse_address("06 12 34 56 78") == "+33612345678"
    with pytest.raises(InvalidAddressError):
        channel.parse_address("nobody")
    assert (channel.name, channel.provider) == ("sms", "carrier-a")
    capabilities = channel.capabilities
    assert (capabilities.receipts, capabilities.concurrent_sends) == (True, 21)
    assert not SmsChannel(smpp(1, bind_mode="transmitter")).capabilities.receipts
    assert channel.billable_units(message("")) == 1


# -- links


async def test_without_a_link_nothing_leaves_and_the_dispatcher_hears_so_in_time() -> None:
    async with simulating() as (_, port):
        pass  # nobody listens there any more
    channel = SmsChannel(smpp(port, link_wait_s=0.05))
    async with running(channel):
        async with asyncio.timeout(10):
            outcome = await channel.send(message())
        assert isinstance(outcome, RetryLater)
        assert (outcome.unreachable, outcome.maybe_sent) == (True, False)
        health = channel.health()
        assert (health.up, health.alarm, health.links, health.links_up) == (False, False, 1, 0)
        assert health.detail


async def test_a_message_waits_a_moment_for_the_link() -> None:
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port, link_wait_s=5))
        async with running(channel):
            assert isinstance(await channel.send(message()), Accepted)
            smsc.drop_links()
            await health_where(channel, lambda health: not health.up)
            assert isinstance(await channel.send(message()), Accepted)
        assert smsc.counters.binds == 2


async def test_an_answer_that_never_comes_leaves_the_message_unsure() -> None:
    async with simulating(SmscBehaviour(mute=True)) as (_, port):
        channel = SmsChannel(smpp(port, response_s=0.1))
        async with running(channel):
            outcome = await channel.send(message())
    assert isinstance(outcome, RetryLater)
    assert (outcome.maybe_sent, outcome.unreachable, outcome.reason.code) == (True, False, "answer_timed_out")


async def test_a_drop_with_answers_outstanding_leaves_those_unsure_and_the_link_comes_back() -> None:
    async with simulating(SmscBehaviour(drop_every=25)) as (smsc, port):
        channel = SmsChannel(smpp(port, window=10, link_wait_s=5))
        async with running(channel):
            outcomes = await asyncio.gather(*[channel.send(message(str(n))) for n in range(40)])
            unsure = [o for o in outcomes if isinstance(o, RetryLater) and o.maybe_sent]
            down = [o for o in outcomes if isinstance(o, RetryLater) and o.unreachable]
            accepted = [o for o in outcomes if isinstance(o, Accepted)]
            assert len(unsure) + len(down) + len(accepted) == 40
            assert 1 <= len(unsure) <= 10, "no more than the window in flight"
            assert down, "what still waited for a slot certainly did not leave"
            assert isinstance(await channel.send(message("again")), Accepted)
        assert smsc.counters.drops == 1
        assert smsc.counters.binds == 2


async def test_what_waited_for_the_window_of_a_lost_link_did_not_leave() -> None:
    async with simulating(SmscBehaviour(mute=True)) as (smsc, port):
        channel = SmsChannel(smpp(port, window=1))
        async with running(channel):
            sends = [asyncio.create_task(channel.send(message(str(n)))) for n in range(2)]
            await smsc.wait_for(lambda s: s.counters.submits == 1)
            smsc.drop_links()
            first, second = await asyncio.gather(*sends)
    assert isinstance(first, RetryLater)
    assert isinstance(second, RetryLater)
    assert (first.maybe_sent, first.unreachable) == (True, False)
    assert (second.maybe_sent, second.unreachable) == (False, True)


async def test_a_wrong_password_is_an_alarm_and_not_hammered() -> None:
    async with simulating(SmscBehaviour(system_id="user", password="other")) as (smsc, port):
        channel = SmsChannel(smpp(port, link_wait_s=0.05))
        async with running(channel):
            health = await health_where(channel, lambda health: health.alarm)
            assert "ESME_RINVPASWD" in health.detail
            assert not health.up
            outcome = await channel.send(message())
            assert isinstance(outcome, RetryLater)
            assert outcome.unreachable
            probed = await channel.probe()
            assert (probed.up, probed.alarm) == (False, True)
        assert smsc.counters.binds_refused == 2


async def test_an_invalid_bind_status_makes_the_link_bind_anew() -> None:
    behaviour = SmscBehaviour(reject_per_mille=1000, reject_status=0x04)
    async with simulating(behaviour) as (smsc, port):
        channel = SmsChannel(smpp(port, link_wait_s=5))
        async with running(channel):
            outcome = await channel.send(message())
            assert isinstance(outcome, RetryLater)
            assert outcome.unreachable
            smsc.behave(SmscBehaviour())
            assert isinstance(await channel.send(message()), Accepted)
        assert smsc.counters.binds == 2


@pytest.mark.parametrize(
    ("bind_mode", "modes"),
    [
        ("transceiver", [BindMode.TRANSCEIVER] * 2),
        ("transmitter_receiver", [BindMode.RECEIVER] * 2 + [BindMode.TRANSMITTER] * 2),
        ("transmitter", [BindMode.TRANSMITTER] * 2),
    ],
)
async def test_every_bind_mode_with_several_binds(bind_mode: str, modes: list[BindMode]) -> None:
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port, bind_mode=bind_mode, binds=2))
        async with running(channel) as reports:
            health = await health_where(channel, lambda health: health.links_up == len(modes))
            assert (health.up, health.links, health.facts["bind_mode"]) == (True, len(modes), bind_mode)
            assert sorted(mode for mode, _ in smsc.binds) == modes
            assert isinstance(await channel.send(message()), Accepted)
            if channel.capabilities.receipts:
                await reports.wait_for(1)
        await smsc.wait_for(lambda s: s.counters.unbinds == len(modes))


async def test_several_binds_share_the_work() -> None:
    async with simulating(SmscBehaviour(response_delay_s=0.05)) as (_, port):
        channel = SmsChannel(smpp(port, binds=3, window=2))
        async with running(channel):
            await health_where(channel, lambda health: health.links_up == 3)
            sends = [asyncio.create_task(channel.send(message(str(n)))) for n in range(6)]
            assert (await health_where(channel, lambda health: health.outstanding > 0)).outstanding == 6
            await asyncio.gather(*sends)


async def test_a_receiver_only_receives() -> None:
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port, bind_mode="receiver"))
        async with running(channel) as reports:
            assert (await health_where(channel, lambda health: health.up)).links_up == 1
            outcome = await channel.send(message())
            assert isinstance(outcome, PermanentFailure)
            assert outcome.reason.alarm
            smsc.send_mo("33611111111", "12345", "hello")
            await reports.wait_for(1)


async def test_a_probe_binds_and_unbinds_and_disturbs_nobody() -> None:
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port, bind_mode="transmitter_receiver"))
        probed = await channel.probe()
        assert (probed.up, probed.detail) == (True, "bound as transmitter")
        assert smsc.counters.unbinds == 1
        assert smsc.counters.submits == 0
    assert not (await channel.probe()).up


async def test_a_receipt_that_reaches_a_probe_is_delivered_again() -> None:
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port))
        smsc.send_mo("33611111111", "12345", "hello")
        assert (await channel.probe()).up
        assert smsc.counters.confirmed == 0
        async with running(channel) as reports:
            assert len(await reports.wait_for(1)) == 1


# -- reports


async def test_a_receipt_is_confirmed_only_after_it_was_stored() -> None:
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port))
        reports = Reports()
        reports.open.clear()
        async with running(channel, reports):
            await channel.send(message("one"))
            await reports.entered.wait()
            await channel.send(message("two"))  # a whole round trip later it is still not confirmed
            assert smsc.counters.deliveries >= 1
            assert smsc.counters.confirmed == 0
            reports.open.set()
            await smsc.wait_for(lambda s: s.counters.confirmed == 2)


async def test_a_receipt_that_could_not_be_stored_is_refused_for_now_and_comes_again() -> None:
    async with simulating(SmscBehaviour(redeliver_after_s=0.01)) as (smsc, port):
        channel = SmsChannel(smpp(port))
        reports = Reports()
        reports.failing = True
        async with running(channel, reports):
            await channel.send(message())
            await smsc.wait_for(lambda s: s.counters.refused >= 2)
            assert smsc.counters.confirmed == 0
            reports.failing = False
            await smsc.wait_for(lambda s: s.counters.confirmed == 1)
        assert len(reports.all) == 1


async def test_what_a_lost_link_brought_and_nobody_looked_at_comes_again_over_the_next() -> None:
    async with simulating(SmscBehaviour(redeliver_after_s=0.01)) as (smsc, port):
        channel = SmsChannel(smpp(port))
        reports = Reports()
        reports.open.clear()
        async with running(channel, reports):
            smsc.send_mo("33611111111", "12345", "looked at")
            await reports.entered.wait()
            for n in range(10):
                smsc.send_mo("33611111111", "12345", str(n))
            await channel.send(message())  # after this round trip they are all here
            smsc.drop_links()
            await smsc.wait_for(lambda s: s.counters.binds == 2)
            reports.open.set()
            await smsc.wait_for(lambda s: s.counters.confirmed == 12)
        texts = [report.text for report in reports.all if isinstance(report, Inbound)]
        assert sorted(texts) == sorted(["looked at", "looked at", *map(str, range(10))])


async def test_what_arrives_during_a_report_is_the_next_batch() -> None:
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port))
        reports = Reports()
        reports.open.clear()
        async with running(channel, reports):
            smsc.send_mo("33611111111", "12345", "first")
            await reports.entered.wait()
            for n in range(300):
                smsc.send_mo("33611111111", "12345", str(n))
            await channel.send(message())  # after this round trip they are all here
            reports.open.set()
            await reports.wait_for(301)
            assert len(reports.calls) <= 4
            await smsc.wait_for(lambda s: s.counters.confirmed == 302)


async def test_beyond_its_bound_the_channel_stops_reading_and_loses_nothing() -> None:
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port))
        reports = Reports()
        reports.open.clear()
        async with running(channel, reports):
            for n in range(3000):
                smsc.send_mo("33611111111", "12345", f"message {n:04} " + "x" * 140)
            await reports.entered.wait()
            reports.open.set()
            got = await reports.wait_for(3000)
            await smsc.wait_for(lambda s: s.counters.confirmed == 3000)
    texts = [report.text[:12] for report in got if isinstance(report, Inbound)]
    assert texts == [f"message {n:04}" for n in range(3000)]
    assert max(len(call) for call in reports.calls) <= 500


@pytest.mark.parametrize("concatenation", ["udh", "sar", "payload"])
async def test_inbound_messages_are_decoded_in_whole_or_in_parts(
    concatenation: Literal["udh", "sar", "payload"],
) -> None:
    async with simulating() as (smsc, port):
        channel = SmsChannel(smpp(port))
        async with running(channel) as reports:
            smsc.send_mo("+33699999999", "12345", "J'arrive à 5 €")
            smsc.send_mo("+33699999999", "12345", EMOJI, concatenation=concatenation)
            whole, *rest = await reports.wait_for(2 if concatenation == "payload" else 7)
            await smsc.wait_for(lambda s: s.counters.confirmed == s.counters.deliveries)
    assert whole == Inbound(source="+33699999999", destination="12345", text="J'arrive à 5 €")
    if concatenation == "payload":
        assert rest == [Inbound(source="+33699999999", destination="12345", text=EMOJI)]
        return
    parts = [part for part in rest if isinstance(part, InboundPart)]
    assert len({(part.reference, part.total, part.source, part.destination) for part in parts}) == 1
    assert [part.n for part in parts] == list(range(1, parts[0].total + 1))
    assert "".join(part.text for part in parts) == EMOJI


async def test_a_receipt_before_the_answer_that_names_it_is_reported_as_it_comes() -> None:
    async with simulating(SmscBehaviour(receipt_first=True, response_delay_s=0.5)) as (_, port):
        channel = SmsChannel(smpp(port))
        async with running(channel) as reports:
            send = asyncio.create_task(channel.send(message()))
            (receipt,) = await reports.wait_for(1)
            assert not send.done()
            outcome = await send
    assert isinstance(outcome, Accepted)
    assert isinstance(receipt, Receipt)
    assert outcome.parts[0].provider_message_id in receipt.provider_message_ids


@pytest.mark.parametrize("id_format", ["dec", "hex", "hexdec"])
async def test_the_id_of_the_answer_is_among_those_of_the_receipt(id_format: Literal["dec", "hex", "hexdec"]) -> None:
    async with simulating(SmscBehaviour(id_format=id_format)) as (_, port):
        channel = SmsChannel(smpp(port))
        async with running(channel) as reports:
            outcome = await channel.send(message())
            (receipt,) = await reports.wait_for(1)
    assert isinstance(outcome, Accepted)
    assert isinstance(receipt, Receipt)
    assert outcome.parts[0].provider_message_id in receipt.provider_message_ids
