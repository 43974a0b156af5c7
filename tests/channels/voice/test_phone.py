"""One phone, several alerts: what is told in which order, what keys do, and what taking an alert back does to the call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from channels.conversation import Briefing, Decision, Proof, Reply, Standing, Stop
from channels.voice.phone import ELSEWHERE, TOLD_MAX, Agenda, Item, Phone
from gateway.attendant import TrialAttendant
from ivr.endpoint import Handle

BERT = Stop(by="Bert")


class Office(TrialAttendant):
    """Answers as the test tells it; a decision waits while `held`."""

    def __init__(self) -> None:
        self.open: list[Briefing] = []
        self.reply = Reply(standing=Standing.RECORDED)
        self.decided: list[tuple[str, Decision]] = []
        self.asked = 0
        self.proof = Proof.OK
        self.pin = False
        self.addresses: list[str] = []
        self.asked_to_decide = asyncio.Event()
        self.held = asyncio.Event()
        self.held.set()

    async def decide(self, reference: str, decision: Decision) -> Reply:
        self.decided.append((reference, decision))
        self.asked_to_decide.set()
        await self.held.wait()
        return self.reply

    async def find(self) -> Sequence[Briefing]:
        self.asked += 1
        return self.open

    async def needs_pin(self, address: str) -> bool:
        self.addresses.append(address)
        return self.pin

    async def check_pin(self, address: str, digits: str) -> Proof:
        self.addresses.append(address)
        return self.proof if digits == "1234" else Proof.WRONG


@dataclass
class Line:
    """In a handle's place: what was done to the call."""

    up: bool = False
    done: list[tuple[str, str]] = field(default_factory=list)

    def hang_up(self, reason: str = "") -> None:
        self.done.append(("hung up", reason))

    def hasten(self) -> None:
        self.done.append(("hastened", ""))

    def interrupt(self, by: str) -> None:
        self.done.append(("interrupted", by))


def item(n: int = 1, *, attempt: bool = True, urgent: bool = False) -> Item:
    return Item(Briefing(reference=f"dlv_{n}", text=f"Alert {n}", language="fr"), attempt=attempt, urgent=urgent)


@pytest.fixture
def office() -> Office:
    return Office()


def agenda_of(office: Office, *items: Item) -> Agenda:
    return Agenda(office, office.find, "en", address="4711", items=list(items))


def phone_of(agenda: Agenda, *, up: bool = False) -> tuple[Phone, Line]:
    line = Line(up=up)
    return Phone(agenda, cast("Handle", line)), line


async def word(agenda: Agenda, effect: str, digits: str = "") -> str:
    return (await agenda.perform(effect, digits, b""))[0]


# --- the order -------------------------------------------------------------------------------------------------------


async def test_alerts_are_told_one_after_the_other_and_what_else_is_open_last(office: Office) -> None:
    agenda = agenda_of(office, item(1), item(2))
    office.open = [item(n).briefing for n in (2, 3, 1)]
    assert agenda.next() is agenda.items[0]
    told = []
    while True:
        said, variables = await agenda.perform("next_alert", "", b"")
        if said == "none":
            break
        told.append((variables["text"].text, variables["text"].language))
    assert told == [("Alert 2", "fr"), ("Alert 3", "fr")]
    assert office.asked == 1
    assert [one.attempt for one in agenda.items] == [True, True, False]
    assert agenda.current is None


async def test_an_alert_that_comes_during_the_call_is_told_in_it(office: Office) -> None:
    agenda = agenda_of(office, item(1))
    agenda.next()
    assert await word(agenda, "next_alert") == "none"
    agenda.add(item(2))
    assert await word(agenda, "next_alert") == "more"
    assert agenda.current is agenda.items[1]


async def test_the_urgent_ones_are_told_first(office: Office) -> None:
    agenda = agenda_of(office, item(1), item(2), item(3, urgent=True))
    assert agenda.opening()["text"].text == "Alert 3"
    assert agenda.first is agenda.items[2]
    agenda.add(item(4, urgent=True))
    told = [(await agenda.perform("next_alert", "", b""))[1]["text"].text for _ in range(3)]
    assert told == ["Alert 4", "Alert 1", "Alert 2"]


async def test_what_is_told_is_chosen_at_the_answer(office: Office) -> None:
    agenda = agenda_of(office, item(1), item(2))
    agenda.items[0].stopped = BERT
    assert agenda.opening()["text"].text == "Alert 2"
    assert agenda.first is agenda.items[1]


@pytest.mark.parametrize("urgent", [False, True])
async def test_an_urgent_alert_hastens_a_call_that_waits_for_its_turn(office: Office, urgent: bool) -> None:
    phone, line = phone_of(agenda_of(office, item(1)))
    phone.join(item(2, urgent=urgent))
    assert line.done == ([("hastened", "")] if urgent else [])


def test_who_was_told_others_has_missed_this_one(office: Office) -> None:
    phone, _ = phone_of(agenda_of(office, item(1), item(2)))
    first, second = phone.agenda.items
    assert not phone.missed(first)  # nobody was told anything: they share what became of the call
    first.begun = True
    assert [phone.missed(first), phone.missed(second)] == [False, True]
    second.pressed = True
    assert not phone.missed(second)


@pytest.mark.parametrize(
    ("standing", "unrecorded"), [(Standing.FAILED, True), (Standing.RECORDED, False), (Standing.ELSEWHERE, False)]
)
async def test_a_key_that_could_not_be_stored_is_known(office: Office, standing: Standing, unrecorded: bool) -> None:
    office.reply = Reply(standing=standing)
    agenda = agenda_of(office, item(1))
    agenda.opening()
    await agenda.perform("acknowledge", "", b"")
    assert agenda.items[0].unrecorded is unrecorded
    office.reply = Reply(standing=Standing.RECORDED)
    await agenda.perform("acknowledge", "", b"")
    assert not agenda.items[0].unrecorded


@pytest.mark.parametrize("pin", [False, True])
async def test_who_has_a_pin_is_unproved_until_it_is_right(office: Office, pin: bool) -> None:
    office.pin = pin
    agenda = agenda_of(office, item(1))
    await agenda.perform("needs_pin", "", b"")
    assert agenda.unproved is pin
    await agenda.perform("check_pin", "9999", b"")
    assert agenda.unproved
    await agenda.perform("check_pin", "1234", b"")
    assert not agenda.unproved


async def test_what_was_taken_back_is_not_told(office: Office) -> None:
    agenda = agenda_of(office, item(1), item(2), item(3))
    agenda.next()
    agenda.items[1].stopped = BERT
    assert await word(agenda, "next_alert") == "more"
    assert agenda.current is agenda.items[2]
    assert not agenda.items[1].chosen


async def test_a_call_tells_a_bounded_number_of_others(office: Office) -> None:
    office.open = [item(n).briefing for n in range(100)]
    agenda = agenda_of(office)
    count = 0
    while await word(agenda, "next_alert") == "more":
        count += 1
    assert count == TOLD_MAX


def test_items_are_found_by_reference(office: Office) -> None:
    agenda = agenda_of(office, item(1), item(2))
    assert agenda.named("dlv_2") == [agenda.items[1]]
    assert agenda.named("dlv_3") == []


def test_an_attempt_takes_the_place_of_what_was_only_found_to_be_open(office: Office) -> None:
    agenda = agenda_of(office, item(1), item(2, attempt=False))
    attempt = item(2)
    agenda.add(attempt)
    assert agenda.items[1:] == [attempt]


def test_what_was_told_stays_beside_a_new_attempt_at_it(office: Office) -> None:
    agenda = agenda_of(office, item(1, attempt=False))
    agenda.next()
    agenda.add(item(1))
    assert [one.attempt for one in agenda.named("dlv_1")] == [False, True]


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "decision"),
    [("acknowledge", Decision.ACKNOWLEDGED), ("take", Decision.TAKEN), ("decline", Decision.DECLINED)],
)
async def test_a_key_decides_the_alert_that_is_told(office: Office, effect: str, decision: Decision) -> None:
    agenda = agenda_of(office, item(1), item(2))
    agenda.next()
    await agenda.perform("next_alert", "", b"")
    assert await word(agenda, effect) == "recorded"
    assert office.decided == [("dlv_2", decision)]
    assert [(one.decision, one.pressed) for one in agenda.items] == [(None, False), (decision, True)]


async def test_the_last_key_counts(office: Office) -> None:
    agenda = agenda_of(office, item(1))
    agenda.next()
    for effect in ("acknowledge", "decline", "take"):
        assert await word(agenda, effect) == "recorded"
    assert agenda.items[0].decision is Decision.TAKEN
    assert len(office.decided) == 3


@pytest.mark.parametrize("standing", [Standing.ELSEWHERE, Standing.OVER, Standing.FAILED])
async def test_what_is_not_recorded_is_no_decision(office: Office, standing: Standing) -> None:
    office.reply = Reply(standing=standing, by="Bert")
    agenda = agenda_of(office, item(1))
    agenda.next()
    said, variables = await agenda.perform("acknowledge", "", b"")
    assert (said, variables["by"].text) == (standing.value, "Bert")
    assert (agenda.items[0].decision, agenda.items[0].pressed) == (None, True)


async def test_what_was_decided_before_stays_where_the_store_fails(office: Office) -> None:
    agenda = agenda_of(office, item(1))
    agenda.next()
    await agenda.perform("acknowledge", "", b"")
    office.reply = Reply(standing=Standing.FAILED)
    assert await word(agenda, "take") == "failed"
    assert agenda.items[0].decision is Decision.ACKNOWLEDGED


@pytest.mark.parametrize(("stop", "said"), [(BERT, "elsewhere"), (Stop(), "over")])
async def test_a_key_for_what_was_taken_back_is_told_who_has_it(office: Office, stop: Stop, said: str) -> None:
    agenda = agenda_of(office, item(1))
    agenda.next()
    agenda.items[0].stopped = stop
    told, variables = await agenda.perform("acknowledge", "", b"")
    assert (told, variables["by"].text) == (said, stop.by)
    assert office.decided == []
    assert agenda.items[0].pressed
    assert agenda.items[0].decision is None


@pytest.mark.parametrize("effect", ["acknowledge", "take", "decline"])
async def test_a_key_before_any_alert_decides_nothing(office: Office, effect: str) -> None:
    agenda = agenda_of(office)
    assert await word(agenda, effect) == "failed"
    assert await word(agenda, "next_alert") == "none"
    assert await word(agenda, effect) == "failed"
    assert office.decided == []


async def test_pins_are_asked_of_the_address_that_was_called(office: Office) -> None:
    agenda = agenda_of(office, item(1))
    assert await word(agenda, "needs_pin") == "no"
    office.pin = True
    assert await word(agenda, "needs_pin") == "yes"
    assert await word(agenda, "check_pin", "1234") == "ok"
    assert await word(agenda, "check_pin", "4321") == "wrong"
    office.proof = Proof.LOCKED
    assert await word(agenda, "check_pin", "1234") == "locked"
    assert set(office.addresses) == {"4711"}


async def test_what_was_heard_is_noted_of_the_alert_that_is_told(office: Office) -> None:
    agenda = agenda_of(office, item(1), item(2))
    agenda.next()
    agenda.telling(whole=True)
    agenda.told()
    await agenda.perform("next_alert", "", b"")
    assert [(one.chosen, one.begun, one.heard) for one in agenda.items] == [(True, True, True), (True, False, False)]
    agenda.telling(whole=False)
    assert [(one.begun, one.spoken) for one in agenda.items] == [(True, True), (True, False)]


async def test_texts_without_a_language_are_in_the_provider_s(office: Office) -> None:
    office.open = [Briefing(reference="dlv_9", text="Feuer")]
    agenda = Agenda(office, office.find, "de")
    _, variables = await agenda.perform("next_alert", "", b"")
    assert (variables["text"].text, variables["text"].language) == ("Feuer", "de")


@pytest.mark.parametrize(
    ("standing", "decision"),
    [(Standing.RECORDED, Decision.ACKNOWLEDGED), (Standing.FAILED, None), (Standing.OVER, None)],
)
async def test_a_key_before_hanging_up_is_what_the_store_made_of_it(
    office: Office, standing: Standing, decision: Decision | None
) -> None:
    office.held.clear()
    office.reply = Reply(standing=standing)
    agenda = agenda_of(office, item(1))
    agenda.next()
    pressed = asyncio.create_task(agenda.perform("acknowledge", "", b""))
    await office.asked_to_decide.wait()
    pressed.cancel()
    settled = asyncio.create_task(agenda.settled())
    with contextlib.suppress(asyncio.CancelledError):
        await pressed
    assert not settled.done()
    office.held.set()
    await settled
    assert agenda.items[0].decision is decision


async def test_an_effect_that_is_none_is_a_fault(office: Office) -> None:
    with pytest.raises(ValueError, match="no effect"):
        await agenda_of(office, item(1)).perform("identify", "", b"")


# --- taking back -----------------------------------------------------------------------------------------------------


def test_a_ringing_call_is_hung_up_so_that_no_missed_call_is_shown(office: Office) -> None:
    agenda = agenda_of(office, item(1))
    phone, line = phone_of(agenda)
    phone.stop(agenda.items[0], BERT)
    assert line.done == [("hung up", ELSEWHERE)]
    assert agenda.items[0].stopped == BERT


@pytest.mark.parametrize("stop", [BERT, Stop()])
def test_a_call_that_is_up_is_told_who_has_it(office: Office, stop: Stop) -> None:
    agenda = agenda_of(office, item(1))
    agenda.opening()
    phone, line = phone_of(agenda, up=True)
    phone.stop(agenda.items[0], stop)
    assert line.done == [("interrupted", stop.by)]


@pytest.mark.parametrize("up", [False, True])
def test_the_call_goes_on_while_another_alert_needs_it(office: Office, up: bool) -> None:
    agenda = agenda_of(office, item(1), item(2))
    if up:
        agenda.opening()
    phone, line = phone_of(agenda, up=up)
    phone.stop(agenda.items[0], BERT)
    assert line.done == []
    phone.stop(agenda.items[1], Stop(by="Cyd"))
    assert line.done == [("interrupted", "Cyd") if up else ("hung up", ELSEWHERE)]


def test_others_that_are_told_too_do_not_keep_a_call(office: Office) -> None:
    agenda = agenda_of(office, item(1), item(2, attempt=False))
    agenda.opening()
    phone, line = phone_of(agenda, up=True)
    phone.stop(agenda.items[0], BERT)
    assert line.done == [("interrupted", "Bert")]


def test_what_was_decided_keeps_no_call_in_which_another_is_taken_back(office: Office) -> None:
    agenda = agenda_of(office, item(1), item(2))
    agenda.opening()
    agenda.items[0].decision = Decision.ACKNOWLEDGED
    phone, line = phone_of(agenda, up=True)
    phone.stop(agenda.items[1], BERT)
    assert line.done == []  # "acknowledged" is being said, and then goodbye
    agenda.items[1].stopped = None
    agenda.next()
    phone.stop(agenda.items[1], BERT)
    assert line.done == [("interrupted", "Bert")]


def test_another_alert_that_is_over_does_not_end_the_call(office: Office) -> None:
    agenda = agenda_of(office, item(1), item(2, attempt=False))
    phone, line = phone_of(agenda, up=True)
    phone.stop(agenda.items[1], BERT)
    assert line.done == []
    assert agenda.items[1].stopped == BERT


def test_taken_back_twice_is_taken_back_once(office: Office) -> None:
    agenda = agenda_of(office, item(1))
    phone, line = phone_of(agenda)
    phone.stop(agenda.items[0], BERT)
    phone.stop(agenda.items[0], Stop(by="Cyd"))
    assert len(line.done) == 1
    assert agenda.items[0].stopped == BERT


@pytest.mark.parametrize("decision", Decision)
async def test_who_decided_is_not_interrupted_by_the_end_that_they_caused(office: Office, decision: Decision) -> None:
    agenda = agenda_of(office, item(1))
    agenda.items[0].decision = decision
    phone, line = phone_of(agenda, up=True)
    phone.stop(agenda.items[0], Stop(by="Anna"))
    assert line.done == []
    assert agenda.items[0].stopped is None


async def test_an_end_that_comes_before_the_answer_to_the_key_is_the_key_s_own(office: Office) -> None:
    office.held.clear()
    agenda = agenda_of(office, item(1))
    agenda.next()
    phone, line = phone_of(agenda, up=True)
    deciding = asyncio.create_task(word(agenda, "acknowledge"))
    await office.asked_to_decide.wait()
    phone.stop(agenda.items[0], Stop(by="Anna"))
    office.held.set()
    assert await deciding == "recorded"
    assert line.done == []
    assert agenda.items[0].decision is Decision.ACKNOWLEDGED
