"""The voice channel keeps the promises of every channel, and those of one on which people talk back, towards simulated phones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from channels.channel import Channel, Message
from channels.conversation import Briefing, Decision, Proof, Reply, Standing, Stop
from channels.outcome import Delivered, Outcome, PermanentFailure, RetryLater
from channels.voice.channel import VoiceChannel
from channels.voice.settings import SipSettings
from gateway.attendant import TrialAttendant
from ivr.phone import Behaviour, PhoneSimulator
from tests.conformance.channel_suite import CODE, PureSuite
from tests.conformance.counterpart import running
from tests.peers.ports import LOOPBACK, free_ports
from tests.peers.waiting import eventually

WITHIN_S = 60.0
SOME_WORDS = 75
"""Packets of 20 ms each."""
QUICK = Behaviour(answer_s=0.05, keys_s=0.3, again_s=1.0, greeting="nothing", hang_up_s=3.0)
"""Presses 1 as soon as it hears something, and again."""


class Operator(TrialAttendant):
    """An attendant that knows what the test tells it, and keeps what was decided."""

    def __init__(self) -> None:
        self.decided: list[tuple[str, Decision]] = []
        self.open: list[Briefing] = []
        self.reply = Reply(standing=Standing.RECORDED)
        self.pin = ""

    async def decide(self, reference: str, decision: Decision) -> Reply:
        self.decided.append((reference, decision))
        return self.reply

    async def briefings(self, address: str) -> Sequence[Briefing]:
        del address
        return self.open

    async def needs_pin(self, address: str) -> bool:
        del address
        return bool(self.pin)

    async def check_pin(self, address: str, digits: str) -> Proof:
        del address
        return Proof.OK if digits == self.pin else Proof.WRONG


def sip(port: int, **more: Any) -> SipSettings:
    first, last = rtp_ports()
    keys = {
        "name": "pbx", "listen": f"{LOOPBACK}:0", "host": LOOPBACK, "port": port, "username": "tocsin",
        "caller_id": "+33100000000", "rtp_ports": f"{first}-{last}", "max_calls": 40, "incoming_max": 10,
        "calls_per_s": 1000, "wait_for_beep": False, "options_s": 0,
    }  # fmt: skip
    return SipSettings.model_validate(keys | more)


def rtp_ports() -> tuple[int, int]:
    """For one side."""
    first = free_ports(200)
    return first, first + 199


class Exchange:
    """Simulated phones, each by its number, and channels towards them."""

    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.phones = PhoneSimulator(lambda number: self.behaviours.get(number, QUICK), rtp_ports=rtp_ports())
        self.operator = Operator()

    @property
    def packets_heard(self) -> int:
        """What the phones that are up have heard of us."""
        ports = [line.port for line in self.phones._lines.values()]
        return sum(port.stream.counts.received for port in ports if port is not None)

    def channel(self, **more: Any) -> VoiceChannel:
        channel = VoiceChannel(sip(self.phones.port, **more))
        channel.attend(self.operator)
        return channel


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    made = Exchange()
    await made.phones.open()
    yield made
    await made.phones.close()


def to(number: str, reference: str = "dlv_1", text: str = "Pressure in tank 7 is 12.4 bar") -> Message:
    return Message(address=number, text=text, reference=reference, language="en")


async def sent(channel: Channel, message: Message) -> Outcome:
    async with asyncio.timeout(WITHIN_S):
        return await channel.send(message)


class TestVoiceChannel(PureSuite):
    addresses: ClassVar = {
        "+33612345678": "+33612345678",
        " +33 6 12 34 56 78 ": "+33612345678",
        "tel:+33612345678": "+33612345678",
        "4711": "4711",
        "+33140000000;ext=42": "+33140000000;ext=42",
        "sip:anna@example.org": "sip:anna@example.org",
    }
    address_characters = "sip:tel+0123456789;ext=@example.org*# "

    def offline(self) -> Channel:
        return VoiceChannel(sip(5060, allowed_domains=["example.org"]))

    def bad_settings(self, password: str) -> None:
        sip(70_000, password=password)

    async def test_a_new_channel_does_nothing(self, exchange: Exchange) -> None:
        before = asyncio.all_tasks()
        channel = exchange.channel()
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == before
        assert not channel.health().up

    @pytest.mark.parametrize(
        ("key", "decision", "code"),
        [("1", Decision.ACKNOWLEDGED, "acknowledged"), ("3", Decision.TAKEN, "taken_in_charge"),
         ("9", Decision.DECLINED, "declined")],
    )  # fmt: skip
    async def test_a_key_decides(self, exchange: Exchange, key: str, decision: Decision, code: str) -> None:
        exchange.behaviours["+33612345678"] = replace(QUICK, keys=key)
        async with running(channel := exchange.channel()):
            outcome = await sent(channel, to("+33612345678"))
        assert isinstance(outcome, Delivered), outcome
        assert outcome.code == code
        assert exchange.operator.decided == [("dlv_1", decision)]
        assert sum(part.units for part in outcome.parts) == 1

    @pytest.mark.parametrize("path", ["rfc4733", "info", "inband"])
    async def test_a_key_is_heard_however_it_comes(self, exchange: Exchange, path: Any) -> None:
        exchange.behaviours["4711"] = replace(QUICK, path=path)
        async with running(channel := exchange.channel()):
            outcome = await sent(channel, to("4711"))
        assert isinstance(outcome, Delivered), outcome
        assert outcome.code == "acknowledged"

    @pytest.mark.parametrize(
        ("status", "kind", "code"),
        [(486, RetryLater, "busy"), (480, RetryLater, "unreachable"), (603, PermanentFailure, "call_rejected"),
         (404, PermanentFailure, "unknown_number"), (503, RetryLater, "congested")],
    )  # fmt: skip
    async def test_a_refusal_says_why(self, exchange: Exchange, status: int, kind: type, code: str) -> None:
        exchange.behaviours["4711"] = Behaviour(status=status, answer_s=0.05)
        async with running(channel := exchange.channel()):
            outcome = await sent(channel, to("4711"))
        assert isinstance(outcome, kind), outcome
        assert isinstance(outcome, RetryLater | PermanentFailure)
        assert CODE.fullmatch(outcome.reason.code)
        assert outcome.reason.code == code
        assert str(status) in outcome.reason.detail

    @pytest.mark.parametrize(
        "behaviour",
        [Behaviour(answer_s=0.05, keys="", greeting="machine"),
         Behaviour(answer_s=0.05, keys="", hang_up_s=3.0, greeting="nothing"),
         Behaviour(answer_s=0.05, keys="7", keys_s=0.3, hang_up_s=3.0, greeting="nothing")],
        ids=["machine", "hangs up", "wrong keys"],
    )  # fmt: skip
    async def test_without_a_key_nothing_is_decided(self, exchange: Exchange, behaviour: Behaviour) -> None:
        exchange.behaviours["4711"] = behaviour
        async with running(channel := exchange.channel(call_max_s=30)):
            send = asyncio.create_task(channel.send(to("4711")))
            call = await exchange.phones.called()
            await call.reached("answered")
            if behaviour.hang_up_s is None:
                await eventually(lambda: exchange.packets_heard >= SOME_WORDS, what="a second and a half of our sound")
                channel.stop("dlv_1", Stop(by="Bert"))
            async with asyncio.timeout(WITHIN_S):
                outcome = await send
        assert exchange.operator.decided == []
        assert isinstance(outcome, Delivered), outcome
        assert outcome.code not in ("acknowledged", "taken_in_charge", "declined")

    async def test_who_hangs_up_before_the_text_is_called_again(self, exchange: Exchange) -> None:
        exchange.behaviours["4711"] = Behaviour(answer_s=0.05, keys="", hang_up_s=0.1, greeting="nothing")
        async with running(channel := exchange.channel()), asyncio.timeout(WITHIN_S):
            outcome = await sent(channel, to("4711"))
        assert isinstance(outcome, RetryLater)
        assert outcome.reason.code == "hung_up_early"

    async def test_one_delivery_may_be_sent_twice_at_once(self, exchange: Exchange) -> None:
        exchange.behaviours["4711"] = Behaviour(status=486, answer_s=0.3)
        async with running(channel := exchange.channel()), asyncio.timeout(WITHIN_S):
            outcomes = await asyncio.gather(channel.send(to("4711")), channel.send(to("4711")))  # its lease was lost
        assert [outcome.reason.code for outcome in outcomes if isinstance(outcome, RetryLater)] == ["busy"] * 2
        assert not channel._sending

    async def test_a_ringing_call_is_taken_back_with_its_reason(self, exchange: Exchange) -> None:
        exchange.behaviours["4711"] = Behaviour(answer_s=None)
        async with running(channel := exchange.channel()):
            send = asyncio.create_task(channel.send(to("4711")))
            call = await exchange.phones.called()
            channel.stop("dlv_1", Stop(by="Bert"))
            assert await call.reached("cancelled", "answered") == "cancelled"
            outcome = await send
        assert isinstance(outcome, RetryLater)
        assert outcome.reason.code == "cancelled"
        assert [(reason.protocol, reason.cause, reason.text) for reason in call.reasons] == [
            ("SIP", 200, "Call completed elsewhere")
        ]

    async def test_one_call_tells_one_phone_all_its_alerts(self, exchange: Exchange) -> None:
        exchange.behaviours["4711"] = replace(QUICK, answer_s=0.3, hang_up_s=None)
        exchange.operator.open = [Briefing(reference="dlv_3", text="Door open")]
        async with running(channel := exchange.channel()):
            outcomes = await asyncio.gather(sent(channel, to("4711")), sent(channel, to("4711", "dlv_2", "Fire")))
        assert len(exchange.phones.calls) == 1
        assert [reference for reference, _ in exchange.operator.decided] == ["dlv_1", "dlv_2", "dlv_3"]
        assert [outcome.code for outcome in outcomes if isinstance(outcome, Delivered)] == ["acknowledged"] * 2
        assert sum(part.units for one in outcomes if isinstance(one, Delivered) for part in one.parts) == 1

    async def test_an_emergency_is_told_first_and_what_was_not_told_gets_a_call_of_its_own(
        self, exchange: Exchange
    ) -> None:
        exchange.behaviours["4711"] = Behaviour(answer_s=0.5, keys="", hang_up_s=3.0, greeting="nothing")
        async with running(channel := exchange.channel()), asyncio.timeout(WITHIN_S):
            bulk = asyncio.create_task(channel.send(to("4711")))
            call = await exchange.phones.called()
            fire = asyncio.create_task(channel.send(replace(to("4711", "dlv_2", "Fire"), urgent=True)))
            await call.reached("answered")
            exchange.behaviours["4711"] = QUICK
            told, then = await fire, await bulk
        assert len(exchange.phones.calls) == 2
        assert isinstance(told, Delivered)
        assert (told.code, [part.units for part in told.parts]) == ("answered_no_key", [1])
        assert isinstance(then, Delivered)
        assert (then.code, [part.units for part in then.parts]) == ("acknowledged", [1])
        assert exchange.operator.decided == [("dlv_1", Decision.ACKNOWLEDGED)]

    async def test_an_alert_that_ends_while_its_call_rings_leaves_the_call_to_another(self, exchange: Exchange) -> None:
        exchange.behaviours["4711"] = replace(QUICK, answer_s=0.5)
        async with running(channel := exchange.channel()), asyncio.timeout(WITHIN_S):
            first = asyncio.create_task(channel.send(to("4711")))
            await exchange.phones.called()
            second = asyncio.create_task(channel.send(to("4711", "dlv_2", "Fire")))
            await eventually(lambda: len(channel._sending) == 2, what="an alert that has joined")
            channel.stop("dlv_1", Stop())
            over, told = await first, await second
        assert isinstance(over, RetryLater)
        assert over.reason.code == "cancelled"
        assert isinstance(told, Delivered)
        assert [part.units for part in told.parts] == [1]
        assert exchange.operator.decided == [("dlv_2", Decision.ACKNOWLEDGED)]
        assert len(exchange.phones.calls) == 1

    async def test_a_call_in_which_nobody_proves_who_they_are_is_not_made_once_for_each_alert(
        self, exchange: Exchange
    ) -> None:
        exchange.behaviours["4711"] = Behaviour(answer_s=0.5, keys="", hang_up_s=3.0, greeting="nothing")
        exchange.operator.pin = "1234"
        async with running(channel := exchange.channel()):
            outcomes = await asyncio.gather(sent(channel, to("4711")), sent(channel, to("4711", "dlv_2", "Fire")))
        assert len(exchange.phones.calls) == 1
        assert [one.reason.code for one in outcomes if isinstance(one, RetryLater)] == ["answered_wrong_pin"] * 2

    async def test_the_longest_call_begins_no_minute_that_was_not_held(self, exchange: Exchange) -> None:
        exchange.behaviours["4711"] = Behaviour(answer_s=0.05, keys="", greeting="nothing")
        async with running(channel := exchange.channel(call_max_s=10)):
            outcome = await sent(channel, to("4711"))
        assert isinstance(outcome, Delivered)
        assert outcome.code == "answered_no_key"
        assert int(outcome.detail.split()[0]) < 10

    async def test_what_only_waited_for_a_call_says_so(self, exchange: Exchange) -> None:
        exchange.behaviours["4711"] = Behaviour(status=503, answer_s=0.5)
        async with running(channel := exchange.channel()):
            outcomes = await asyncio.gather(*(sent(channel, to("4711", f"dlv_{n}")) for n in range(3)))
        assert len(exchange.phones.calls) == 1
        assert [one.joined for one in outcomes if isinstance(one, RetryLater)] == [False, True, True]

    async def test_emergencies_do_not_wait_behind_others_for_their_turn(self, exchange: Exchange) -> None:
        async with running(channel := exchange.channel(calls_per_s=4)), asyncio.timeout(WITHIN_S):
            sends = [asyncio.create_task(channel.send(to(f"47{n:02}", f"dlv_{n}"))) for n in range(4)]
            await exchange.phones.called()
            fire = replace(to("4799", "dlv_9", "Fire"), urgent=True)
            joins = replace(to("4703", "dlv_8", "Fire"), urgent=True)  # its call waits already, as no emergency
            sends += [asyncio.create_task(channel.send(one)) for one in (fire, joins)]
            await asyncio.gather(*sends)
        order = [call.number for call in exchange.phones.calls][:5]
        assert sorted(order) == ["4700", "4701", "4702", "4703", "4799"]
        assert order.index("4799") < order.index("4702")
        assert order.index("4703") < order.index("4702")

    async def test_an_extension_is_dialled_after_the_answer(self, exchange: Exchange) -> None:
        async with running(channel := exchange.channel()):
            await sent(channel, to("+33140000000;ext=42#"))
        (call,) = exchange.phones.calls
        assert (call.number, call.heard) == ("+33140000000", "42#")

    async def test_calls_keep_the_rate(self, exchange: Exchange) -> None:
        async with running(channel := exchange.channel(calls_per_s=10)):
            loop = asyncio.get_running_loop()
            began = loop.time()
            sends = [asyncio.create_task(channel.send(to(f"47{n:02}", f"dlv_{n}"))) for n in range(5)]
            await exchange.phones.called(5)
            assert loop.time() - began >= 0.4
            await asyncio.gather(*sends)

    async def test_nobody_listens(self, exchange: Exchange) -> None:
        await exchange.phones.close()
        async with running(channel := exchange.channel(first_response_s=0.5)):
            outcome = await sent(channel, to("4711"))
        assert isinstance(outcome, RetryLater)
        assert (outcome.unreachable, outcome.elsewhere) == (True, True)

    async def test_an_ended_channel_leaves_nothing(self, exchange: Exchange) -> None:
        before = asyncio.all_tasks()
        channel = exchange.channel()
        async with running(channel):
            await sent(channel, to("4711"))
        assert not channel.health().up
        outcome = await channel.send(to("4711"))
        assert isinstance(outcome, RetryLater)
        assert outcome.unreachable
        await eventually(lambda: asyncio.all_tasks() <= before, what="the end of every task")
