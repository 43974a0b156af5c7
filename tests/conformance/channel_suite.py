"""What every channel must do, whichever it is: one suite over real sockets, run by a test file for each channel."""

from __future__ import annotations

import asyncio
import io
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from channels.channel import Channel, InvalidAddressError, Message
from channels.outcome import Accepted, Delivered, Outcome, PermanentFailure, ReceiptDelivered, RetryLater
from gateway import logs
from tests.conformance.counterpart import (
    PATIENT_S,
    SLOTS,
    SLOW_S,
    WRONG_PASSWORD,
    Counterpart,
    Mood,
    Reports,
    health_where,
    running,
    saying,
    saying_nothing,
)
from tests.peers.waiting import eventually

T = TypeVar("T")

HASTY_S = 0.5
"""The time-outs of channels that are to run into them."""
MARGIN_S = 10.0
"""What a busy machine may add to a bound."""
DUTY_TEXT = "Pressure in tank 7 is 12.4 bar"
LONG_TEXT = "Évacuation 🚒👩‍🚒 bâtiment C! " * 12
ODD_TEXTS = ("", " ", "\0", "\ud800", "\r\n.\r\nQUIT\r\n", "é" * 70_000, "\u202e\u200d\ufeff🏴󠁧󠁢󠁥󠁮󠁧󠁿")
GARBAGE = (b"", b"\0" * 64, bytes(range(256)) * 16, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 " + b"x" * 100_000)
CODE = re.compile(r"[a-z0-9][a-z0-9_.]*")
"""What a stable code looks like (`channels.outcome.Reason.code`)."""


class PureSuite(ABC):
    """The promises of `channels.channel.Channel` that need no provider: addresses, units, secrets in settings."""

    addresses: ClassVar[Mapping[str, str]]
    """As people write them -> canonical."""
    address_characters: ClassVar[str]
    """What addresses are made of: random words of it come close to one."""

    @abstractmethod
    def offline(self) -> Channel:
        """A channel that is never run."""

    @abstractmethod
    def bad_settings(self, password: str) -> None:
        """Makes settings with this password and a fault in another key. Raises ValidationError."""

    # -- pure ---------------------------------------------------------------------------------------------------------

    def test_an_address_has_one_canonical_form(self) -> None:
        channel = self.offline()
        assert {raw: channel.parse_address(raw) for raw in self.addresses} == self.addresses

    def test_any_text_is_an_address_or_refused_in_words(self) -> None:
        channel = self.offline()

        @given(st.text() | st.text(st.characters()) | st.text(self.address_characters, max_size=80))
        def holds(raw: str) -> None:
            try:
                canonical = channel.parse_address(raw)
            except InvalidAddressError as error:
                words = str(error)
            else:
                words = canonical
                assert channel.parse_address(canonical) == canonical
            assert words.isprintable()

        holds()

    def test_units_are_at_least_one_and_always_the_same(self) -> None:
        channel, other = self.offline(), self.offline()

        @given(st.text(st.characters(), max_size=2000), st.text(max_size=20), st.booleans())
        def holds(text: str, reference: str, urgent: bool) -> None:
            message = Message(address="anybody", text=text, reference=reference, urgent=urgent)
            assert (
                channel.billable_units(message) == channel.billable_units(message) == other.billable_units(message) >= 1
            )

        holds()

    @pytest.mark.parametrize("password", ["Gehe1m-Wort", "Gehe1m-Wört", "Gehe1m-Wort" * 50])
    def test_settings_that_are_refused_show_no_secret(self, password: str) -> None:
        with pytest.raises(ValidationError) as refused:
            self.bad_settings(password)
        assert "Gehe1m" not in f"{refused.value} {refused.value!r}"


class ChannelSuite(PureSuite):
    """What is promised by every channel that hands messages to a provider. A `counterpart` fixture gives the provider."""

    async def test_a_new_channel_does_nothing(self, counterpart: Counterpart) -> None:
        before = asyncio.all_tasks()
        channel = counterpart.channel()
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == before
        assert await counterpart.logins() == 0
        assert not channel.health().up

    # -- outcomes -----------------------------------------------------------------------------------------------------

    async def test_a_message_is_accepted_with_an_id_for_each_part_and_priced_as_it_is_sent(
        self, counterpart: Counterpart
    ) -> None:
        async with running(channel := counterpart.channel()):
            for text in (DUTY_TEXT, LONG_TEXT):
                outcome = accepted(await channel.send(message := message_to(counterpart, text)))
                assert [part.n for part in outcome.parts] == list(range(1, len(outcome.parts) + 1))
                assert len({part.provider_message_id for part in outcome.parts} - {""}) == len(outcome.parts)
                assert sum(part.units for part in outcome.parts) == channel.billable_units(message)

    async def test_no_text_makes_send_raise(self, counterpart: Counterpart) -> None:
        async with running(channel := counterpart.channel()):
            for text in ODD_TEXTS:
                outcome = await channel.send(message_to(counterpart, text, subject=text[:500]))
                assert isinstance(outcome, Accepted | PermanentFailure), (text[:20], outcome)

    async def test_what_is_no_address_fails_for_good(self, counterpart: Counterpart) -> None:
        async with running(channel := counterpart.channel()):
            for address in ("", "nobody at all", "\ud800", "x" * 10_000):
                failure = await channel.send(Message(address=address, text=DUTY_TEXT, reference="dlv_1"))
                assert isinstance(failure, PermanentFailure)
                assert failure.reason.code == "invalid_destination"
        assert await counterpart.messages() == 0

    async def test_refused_for_good(self, counterpart: Counterpart) -> None:
        await counterpart.behave(Mood.REFUSES)
        async with running(channel := counterpart.channel()):
            failure = await channel.send(message_to(counterpart))
            assert isinstance(failure, PermanentFailure), failure
            assert channel.health().up
        assert_told(failure)
        assert not failure.parts

    async def test_refused_for_now(self, counterpart: Counterpart) -> None:
        await counterpart.behave(Mood.BUSY)
        async with running(channel := counterpart.channel()):
            failure = retry(await channel.send(message_to(counterpart)))
            assert (failure.maybe_sent, failure.throttled, failure.unreachable) == (False, False, False)
            assert not failure.reason.alarm
            await counterpart.behave(Mood.TAKES)
            accepted(await channel.send(message_to(counterpart)))

    async def test_throttled(self, counterpart: Counterpart) -> None:
        await counterpart.behave(Mood.THROTTLES)
        async with running(channel := counterpart.channel()):
            failure = retry(await channel.send(message_to(counterpart)))
        assert (failure.maybe_sent, failure.throttled, failure.unreachable) == (False, True, False)

    async def test_nobody_listens(self, counterpart: Counterpart) -> None:
        await counterpart.stop()
        async with running(channel := counterpart.channel(), up=False):
            failure = await unreached(counterpart, channel, PATIENT_S, PATIENT_S)
            assert not failure.reason.alarm
            assert not (health := channel.health()).up
            assert health.detail

    async def test_somebody_listens_and_says_nothing(self, counterpart: Counterpart) -> None:
        with saying_nothing() as port:
            channel = counterpart.channel(port=port, connect_s=HASTY_S, response_s=HASTY_S)
            async with running(channel, up=False):
                await unreached(counterpart, channel, HASTY_S, HASTY_S)

    @pytest.mark.parametrize("octets", GARBAGE, ids=lambda octets: octets[:8].hex() or "nothing")
    async def test_something_else_than_a_provider_answers(self, counterpart: Counterpart, octets: bytes) -> None:
        async with saying(octets) as port:
            channel = counterpart.channel(port=port, connect_s=HASTY_S, response_s=HASTY_S)
            async with running(channel, up=False):
                await unreached(counterpart, channel, HASTY_S, HASTY_S)
                assert not (await within(2 * HASTY_S, channel.probe())).up

    async def test_silent_after_the_message_left(self, counterpart: Counterpart) -> None:
        async with running(channel := counterpart.channel(response_s=HASTY_S)):
            accepted(await channel.send(message_to(counterpart)))
            await counterpart.behave(Mood.SILENT)
            bound_s = counterpart.send_within_s(PATIENT_S, HASTY_S)
            unsure(await within(bound_s, channel.send(message_to(counterpart))))
            await counterpart.behave(Mood.TAKES)
            await eventually_accepted(channel, counterpart)

    async def test_the_link_is_dropped_after_the_message_left(self, counterpart: Counterpart) -> None:
        async with running(channel := counterpart.channel()):
            await counterpart.behave(Mood.DROPS)
            unsure(await within(0, channel.send(message_to(counterpart))))  # no time-out is waited for
            await counterpart.behave(Mood.TAKES)
            await eventually_accepted(channel, counterpart)

    async def test_whatever_the_provider_does_every_send_has_an_outcome(self, counterpart: Counterpart) -> None:
        async with running(channel := counterpart.channel(response_s=HASTY_S)):
            sends = []
            for mood in (Mood.SLOW, *Mood, Mood.SLOW):
                await counterpart.behave(mood)
                sends += [asyncio.create_task(channel.send(message_to(counterpart))) for _ in range(2 * SLOTS)]
                await asyncio.wait(sends, return_when=asyncio.FIRST_COMPLETED)
            await counterpart.stop()
            bound_s = counterpart.send_within_s(PATIENT_S, HASTY_S)
            for outcome in await within(bound_s, asyncio.gather(*sends)):
                assert isinstance(outcome, Accepted | Delivered | RetryLater | PermanentFailure)
            await eventually(lambda: channel.health().outstanding == 0, what="nothing outstanding")

    # -- many at once -------------------------------------------------------------------------------------------------

    async def test_many_sends_share_the_slots_there_are(self, counterpart: Counterpart) -> None:
        await counterpart.behave(Mood.SLOW)
        rounds = 8  # one after the other, they would take longer than a stall and all of them together
        async with running(channel := counterpart.channel()):
            assert channel.capabilities.concurrent_sends == SLOTS
            began = time.monotonic()
            sends = [asyncio.create_task(channel.send(message_to(counterpart))) for _ in range(rounds * SLOTS)]
            await eventually(lambda: channel.health().outstanding == SLOTS, what="all slots in use")
            for send in sends:
                accepted(await send)
            took_s = time.monotonic() - began
        assert rounds * SLOW_S * 0.95 <= took_s, "more than were promised were under way at once"
        assert took_s < rounds * SLOTS * SLOW_S, "one after the other"

    async def test_cancelled_sends_give_their_slots_back(self, counterpart: Counterpart) -> None:
        await counterpart.behave(Mood.SILENT)
        async with running(channel := counterpart.channel(response_s=HASTY_S)):
            sends = [asyncio.create_task(channel.send(message_to(counterpart))) for _ in range(2 * SLOTS)]
            await eventually(lambda: channel.health().outstanding == SLOTS, what="all slots in use")
            for send in sends:
                send.cancel()
            ended = await asyncio.gather(*sends, return_exceptions=True)
            assert {type(each) for each in ended} == {asyncio.CancelledError}
            await counterpart.behave(Mood.TAKES)
            await eventually_accepted(channel, counterpart)

    # -- reports ------------------------------------------------------------------------------------------------------

    async def test_a_receipt_names_the_part_and_proves_it(self, counterpart: Counterpart) -> None:
        async with running(channel := counterpart.channel()) as reports:
            assert channel.capabilities.receipts
            for text in (DUTY_TEXT, LONG_TEXT):
                outcome = accepted(await channel.send(message_to(counterpart, text, reference=f"dlv_{len(text)}")))
                for receipt in await reports.receipts_of(outcome):
                    assert receipt.result == ReceiptDelivered()
                    assert CODE.fullmatch(receipt.code)
                    assert len(receipt.raw) <= 500

    async def test_a_receipt_is_confirmed_only_when_it_is_stored(self, counterpart: Counterpart) -> None:
        reports = Reports(holding=True)
        async with running(channel := counterpart.channel(), reports):
            accepted(await channel.send(message_to(counterpart)))
            await within(PATIENT_S, reports.entered.wait())
            accepted(await channel.send(message_to(counterpart, reference="dlv_2")))  # a whole round trip passes
            assert await counterpart.confirmed() == 0
            reports.release()
            await eventually(lambda: at_least(2, counterpart.confirmed()), what="two confirmed receipts")
            assert len(reports.taken) == 2
            assert await counterpart.refused() == 0

    async def test_a_receipt_that_was_not_stored_comes_again(self, counterpart: Counterpart) -> None:
        reports = Reports(failing=True)
        async with running(channel := counterpart.channel(), reports):
            outcome = accepted(await channel.send(message_to(counterpart)))
            await eventually(lambda: at_least(2, counterpart.refused()), what="two refusals")
            assert await counterpart.confirmed() == 0
            reports.failing = False
            await reports.receipts_of(outcome)
            await eventually(lambda: at_least(1, counterpart.confirmed()), what="a confirmed receipt")

    # -- the end ------------------------------------------------------------------------------------------------------

    async def test_an_idle_channel_ends(self, counterpart: Counterpart) -> None:
        before = asyncio.all_tasks()
        async with running(channel := counterpart.channel()):
            accepted(await channel.send(message_to(counterpart)))
        await assert_ended(channel, counterpart, before)

    @pytest.mark.parametrize("turns", [1, 2, 5, 20])
    async def test_a_channel_that_just_began_ends(self, counterpart: Counterpart, turns: int) -> None:
        before = asyncio.all_tasks()
        run = asyncio.create_task((channel := counterpart.channel()).run(Reports()))
        for _ in range(turns):
            await asyncio.sleep(0)
        await assert_cancelled(run, counterpart)
        await assert_ended(channel, counterpart, before)

    async def test_a_channel_that_cannot_connect_ends(self, counterpart: Counterpart) -> None:
        before = asyncio.all_tasks()
        await counterpart.stop()
        run = asyncio.create_task((channel := counterpart.channel()).run(Reports()))
        await health_where(channel, up=False)
        await assert_cancelled(run, counterpart)
        await assert_ended(channel, counterpart, before)

    async def test_a_channel_that_waits_for_a_greeting_ends(self, counterpart: Counterpart) -> None:
        before = asyncio.all_tasks()
        with saying_nothing() as port:
            run = asyncio.create_task((channel := counterpart.channel(port=port)).run(Reports()))
            await asyncio.sleep(0.05)
            await assert_cancelled(run, counterpart)
            await assert_ended(channel, counterpart, before)

    async def test_answers_under_way_are_awaited_at_the_end(self, counterpart: Counterpart) -> None:
        before = asyncio.all_tasks()
        await counterpart.behave(Mood.SLOW)
        run = asyncio.create_task((channel := counterpart.channel()).run(Reports()))
        await health_where(channel, up=True)
        sends = [asyncio.create_task(channel.send(message_to(counterpart))) for _ in range(SLOTS)]
        await eventually(lambda: channel.health().outstanding == SLOTS, what="all slots in use")
        await assert_cancelled(run, counterpart)
        for send in sends:
            accepted(await within(0, send))
        await assert_ended(channel, counterpart, before)

    async def test_answers_that_never_come_do_not_hold_the_end_up(self, counterpart: Counterpart) -> None:
        await counterpart.behave(Mood.SILENT)
        run = asyncio.create_task((channel := counterpart.channel(response_s=HASTY_S)).run(Reports()))
        await health_where(channel, up=True)
        send = asyncio.create_task(channel.send(message_to(counterpart)))
        await eventually(lambda: channel.health().outstanding == 1, what="a message under way")
        await assert_cancelled(run, counterpart)
        assert isinstance(await within(counterpart.send_within_s(PATIENT_S, HASTY_S), send), RetryLater)

    async def test_a_report_that_is_never_stored_neither_holds_the_end_up_nor_is_lost(
        self, counterpart: Counterpart
    ) -> None:
        before = asyncio.all_tasks()
        reports = Reports(holding=True)
        run = asyncio.create_task((channel := counterpart.channel()).run(reports))
        await health_where(channel, up=True)
        outcome = accepted(await channel.send(message_to(counterpart)))
        await within(PATIENT_S, reports.entered.wait())
        await assert_cancelled(run, counterpart)
        await assert_ended(channel, counterpart, before)
        assert await counterpart.confirmed() == 0
        async with running(counterpart.channel()) as later:
            await later.receipts_of(outcome)
            await eventually(lambda: at_least(1, counterpart.confirmed()), what="a confirmed receipt")

    # -- links --------------------------------------------------------------------------------------------------------

    async def test_health_follows_the_provider_and_the_link_comes_back(self, counterpart: Counterpart) -> None:
        async with running(channel := counterpart.channel()):
            accepted(await channel.send(message_to(counterpart)))
            health = channel.health()
            assert (health.up, health.detail, health.alarm, health.outstanding) == (True, "", False, 0)
            assert health.links >= health.links_up >= 1
            await counterpart.stop()
            assert isinstance(await channel.send(message_to(counterpart)), RetryLater)
            await eventually(lambda: not channel.health().up and channel.health().detail, what="health that says why")
            await counterpart.start()
            await eventually_accepted(channel, counterpart)
            assert channel.health().detail == ""

    async def test_a_wrong_password_is_an_alarm_and_is_not_hammered(self, counterpart: Counterpart) -> None:
        channel = counterpart.channel(password=WRONG_PASSWORD)
        async with running(channel, up=False):
            await eventually(lambda: channel.health().alarm, what="an alarm")
            for _ in range(3):
                await unreached(counterpart, channel, PATIENT_S, PATIENT_S)
            assert not channel.health().up
            probed = await channel.probe()
            assert (probed.up, probed.alarm) == (False, True)
            assert probed.detail
        assert await counterpart.logins() <= 1 + 3 + 1, "one for the channel, each message and the probe"

    async def test_a_probe_logs_in_and_sends_nothing(self, counterpart: Counterpart) -> None:
        before = asyncio.all_tasks()
        probed = await within(PATIENT_S, counterpart.channel().probe())
        assert (probed.up, probed.alarm) == (True, False)
        assert await counterpart.logins() == 1
        assert await counterpart.messages() == 0
        await assert_no_task_left(before)

    async def test_a_probe_of_what_says_nothing_ends(self, counterpart: Counterpart) -> None:
        with saying_nothing() as port:
            channel = counterpart.channel(port=port, connect_s=HASTY_S, response_s=HASTY_S)
            probed = await within(3 * HASTY_S, channel.probe())
        assert not probed.up
        assert probed.detail

    # -- secrets ------------------------------------------------------------------------------------------------------

    async def test_nothing_shows_a_secret_or_logs_a_text(self, counterpart: Counterpart) -> None:
        stream = io.StringIO()
        logs.configure("debug", to=stream)
        shown: list[Any] = []
        for channel in (counterpart.channel(), counterpart.channel(password=WRONG_PASSWORD)):
            async with running(channel, up=False) as reports:
                await eventually(lambda: channel.health().up or channel.health().alarm)  # noqa: B023 - awaited here
                for mood in (Mood.TAKES, Mood.REFUSES, Mood.DROPS):
                    await counterpart.behave(mood)
                    shown.append(await channel.send(message_to(counterpart)))
                shown += [channel, str(channel), vars(channel), channel.health(), await channel.probe()]
                shown.append(reports.taken)
        logged = stream.getvalue()
        assert logged
        assert DUTY_TEXT not in logged
        written = f"{shown!r}\n{logged}"
        assert not [secret for secret in (*counterpart.secrets, WRONG_PASSWORD) if secret in written]


# -- words of the suite -----------------------------------------------------------------------------------------------


def message_to(
    counterpart: Counterpart, text: str = DUTY_TEXT, *, reference: str = "dlv_1", subject: str = ""
) -> Message:
    """A message to somebody whom the provider serves."""
    return Message(address=counterpart.to, text=text, reference=reference, subject=subject)


def accepted(outcome: Outcome) -> Accepted:
    """It is, with a part at least."""
    assert isinstance(outcome, Accepted), outcome
    assert outcome.parts
    assert CODE.fullmatch(outcome.code)
    return outcome


def assert_told(outcome: RetryLater | PermanentFailure) -> None:
    """The reason has a stable code and words that fit."""
    assert CODE.fullmatch(outcome.reason.code), outcome
    assert len(outcome.reason.detail) <= 500


def retry(outcome: Outcome) -> RetryLater:
    """It is, and says why."""
    assert isinstance(outcome, RetryLater), outcome
    assert_told(outcome)
    return outcome


def unsure(outcome: Outcome) -> None:
    """Only the provider knows whether it has the message."""
    failure = retry(outcome)
    assert (failure.maybe_sent, failure.throttled, failure.unreachable) == (True, False, False)


async def unreached(counterpart: Counterpart, channel: Channel, connect_s: float, response_s: float) -> RetryLater:
    """A message does not leave, certainly, and that is known in time."""
    bound_s = counterpart.send_within_s(connect_s, response_s)
    failure = retry(await within(bound_s, channel.send(message_to(counterpart))))
    assert (failure.maybe_sent, failure.throttled, failure.unreachable) == (False, False, True)
    return failure


async def eventually_accepted(channel: Channel, counterpart: Counterpart) -> None:
    """A message is accepted once the link is back, however many tries it takes; and the channel is up."""

    async def sent() -> bool:
        return isinstance(await channel.send(message_to(counterpart)), Accepted)

    await eventually(sent, what="an accepted message")
    assert channel.health().up


async def within(seconds: float, work: Awaitable[T]) -> T:
    """What the work gives; it takes no longer than this and the margin."""
    async with asyncio.timeout(seconds + MARGIN_S):
        return await work


async def at_least(count: int, counted: Awaitable[int]) -> bool:
    """Whether so many were counted."""
    return await counted >= count


async def assert_cancelled(run: asyncio.Task[None], counterpart: Counterpart) -> None:
    """Cancelled, `run` ends in time, by the cancellation."""
    run.cancel()
    await within(counterpart.ends_within_s, asyncio.wait([run]))
    assert run.cancelled()


async def assert_ended(channel: Channel, counterpart: Counterpart, before: set[asyncio.Task[Any]]) -> None:
    """Nothing of the channel is left, and it says so to whoever sends."""
    assert (health := channel.health()).outstanding == 0
    assert health.links_up == 0
    await unreached(counterpart, channel, PATIENT_S, PATIENT_S)
    await assert_no_task_left(before)


async def assert_no_task_left(before: set[asyncio.Task[Any]]) -> None:
    """All tasks that began since have ended; those of the counterpart end when they see that the channel has."""
    await eventually(lambda: asyncio.all_tasks() <= before, MARGIN_S, what="the end of every task")
