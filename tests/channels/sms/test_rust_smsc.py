"""The channel against the second SMSC that no one here wrote: forms of texts, receipts, throttles and the end of a session."""

from __future__ import annotations

import asyncio

import pytest

from channels.outcome import Accepted, PermanentFailure, Receipt, ReceiptDelivered, RetryLater
from channels.sms.channel import SmsChannel
from channels.sms.smpp.wire import RTHROTTLED
from tests.channels.sms.running import message, running, smpp
from tests.peers.rust_smsc import RustSmsc
from tests.peers.waiting import eventually

TEXTS = {
    "gsm": "Fire in hall 3 [€]",
    "ucs2": "Пожар в зале 3",
    "long gsm": "x" * 400,
    "long ucs2": "é火" * 90,
}


@pytest.mark.parametrize("concatenation", ["udh", "sar", "payload"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_a_text_is_taken_and_its_receipts_fit(text: str, concatenation: str) -> None:
    async with RustSmsc() as smsc:
        channel = SmsChannel(smpp(smsc.port, concatenation=concatenation))
        async with running(channel) as reports:
            outcome = await channel.send(message(text))
            assert isinstance(outcome, Accepted)
            receipts = await reports.wait_for(len(outcome.parts))
        ids = {one.provider_message_ids[0]: one.result for one in receipts if isinstance(one, Receipt)}
        assert ids == {part.provider_message_id: ReceiptDelivered() for part in outcome.parts}
        assert len(smsc.taken) == len(outcome.parts)
        await eventually(lambda: smsc.receipts == {True: len(outcome.parts)}, what="confirmed receipts")


async def test_each_of_many_texts_leaves_once_at_a_pace() -> None:
    async with RustSmsc() as smsc:
        channel = SmsChannel(smpp(smsc.port, rate_per_s=200))
        async with running(channel):
            outcomes = await asyncio.gather(*(channel.send(message(f"text {n}")) for n in range(150)))
        assert [one for one in outcomes if not isinstance(one, Accepted)] == []
        assert sorted(one.short_message.decode() for one in smsc.taken) == sorted(f"text {n}" for n in range(150))
        assert smsc.binds == 1


async def test_a_throttle_is_waited_out_and_a_refusal_is_final() -> None:
    answers = {1: RTHROTTLED, 3: 0x0B}
    async with RustSmsc(lambda n: answers.get(n, 0)) as smsc:
        channel = SmsChannel(smpp(smsc.port))
        async with running(channel):
            first = await channel.send(message("too early"))
            assert isinstance(first, RetryLater)
            assert first.throttled
            assert isinstance(await channel.send(message("again")), Accepted)
            refused = await channel.send(message("to nobody"))
            assert isinstance(refused, PermanentFailure)
            assert refused.reason.code == "smpp_rinvdstadr"
        assert [one.short_message for one in smsc.taken] == [b"again"]
        await eventually(lambda: (smsc.binds, smsc.unbinds) == (1, 1), what="an unbind")


async def test_a_probe_binds_and_unbinds() -> None:
    async with RustSmsc() as smsc:
        assert (await SmsChannel(smpp(smsc.port)).probe()).up
        await eventually(lambda: (smsc.binds, smsc.unbinds) == (1, 1), what="an unbind")
