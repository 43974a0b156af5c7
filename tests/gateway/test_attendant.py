"""What people on the line are told and asked, on both databases: briefings, PINs and their locks, who calls, decisions."""

from __future__ import annotations

import asyncio

import pytest

from channels.conversation import Caller, Decision, Proof, Reply, Standing
from gateway import attendant as module
from gateway.alert import Priority, Rule
from gateway.attendant import BRIEFINGS_MAX, TrialAttendant
from gateway.escalation import Occurrence
from gateway.lifecycle import resolve
from gateway.pins import CROWD, Guesses
from gateway.pins import ONE as PATIENCE
from gateway.store.errors import StoreConflict, StoreStopped, StoreUnavailable
from tests.gateway import desk as desks
from tests.gateway.attendant_desk import (
    ADA_PIN,
    BOB_PIN,
    FIRE_LINE,
    FIRE_PIN,
    ONE,
    THREE,
    TWO,
    Broken,
    alone,
    at,
    attendant_of,
)
from tests.gateway.desk import Desk, MovedClock

desk = desks.desk
store_url = desks.store_url

OFTEN = tuple(Occurrence(after_s=n) for n in range(4 * BRIEFINGS_MAX + 1))


# --- what is open ----------------------------------------------------------------------------------------------------


async def test_a_person_hears_what_is_open_at_any_of_their_addresses_the_most_urgent_first(desk: Desk) -> None:
    high = await desk.one(f"sms:{TWO}", text="Door open", priority=Priority.HIGH)
    emergency = await desk.one(f"sms:{ONE}", text="Fire", priority=Priority.EMERGENCY, exercise=True)
    await desk.one(f"sms:{THREE}", text="Not for ada", priority=Priority.EMERGENCY)
    found = await at(desk).briefings(TWO)
    assert [one.reference for one in found] == [emergency, high]
    assert [one.exercise for one in found] == [True, False]
    assert "Door open" in found[1].text
    assert await at(desk).briefings_of(Caller(id="ada", name="ada")) == found


async def test_a_phone_that_is_nobody_s_hears_only_what_is_for_it(desk: Desk) -> None:
    reference = await desk.one("sms:+33600000077")
    assert [one.reference for one in await at(desk).briefings("+33600000077")] == [reference]
    assert await at(desk).briefings("+33600000078") == []
    for stranger in ("nobody", "", "ADA"):
        assert list(await at(desk).briefings_of(Caller(id=stranger, name="ada"))) == []


async def test_an_alert_is_told_once_whatever_its_addresses(desk: Desk) -> None:
    alert_id = await desk.accept(f"sms:{ONE}", f"sms:{TWO}", people=("ada", "ada"), priority=Priority.EMERGENCY)
    first, second = await desk.deliveries(alert_id)
    await desk.claimed(second.id)
    (told,) = await at(desk).briefings_of(Caller(id="ada", name="ada"))
    assert told.reference == second.id  # the one under way
    assert first.id != second.id


async def test_what_has_ended_is_not_told(desk: Desk) -> None:
    ended = await desk.accept(f"sms:{ONE}", priority=Priority.EMERGENCY)
    acknowledged = await desk.accept(f"sms:{ONE}", priority=Priority.EMERGENCY)
    await desk.change(ended, resolve)
    await desk.acknowledge(acknowledged, by="bob")
    assert await at(desk).briefings(ONE) == []


async def test_what_a_quorum_still_waits_for_is_told(desk: Desk) -> None:
    reference = await desk.one(f"sms:{ONE}", priority=Priority.EMERGENCY, rule=Rule.QUORUM, quorum=2)
    attendant = at(desk)
    assert await attendant.decide(reference, Decision.ACKNOWLEDGED) == Reply(standing=Standing.RECORDED)
    assert [one.reference for one in await attendant.briefings(ONE)] == [reference]


async def test_no_more_is_told_than_anybody_listens_to(desk: Desk) -> None:
    for _ in range(BRIEFINGS_MAX + 2):
        await desk.one(f"sms:{ONE}", priority=Priority.HIGH)
    assert len(await at(desk).briefings(ONE)) == BRIEFINGS_MAX


async def test_that_nothing_could_be_read_is_not_that_nothing_is_open() -> None:
    with pytest.raises(StoreUnavailable):
        await alone().briefings(ONE)
    with pytest.raises(StoreUnavailable):
        await alone().briefings_of(Caller(id="ada", name="ada"))


async def test_what_was_received_is_told_until_somebody_takes_it_in_charge(desk: Desk) -> None:
    reference = await desk.one(f"sms:{ONE}", priority=Priority.EMERGENCY, confirm_within_s=600)
    attendant, ada = at(desk), Caller(id="ada", name="ada")
    assert await attendant.decide(reference, Decision.ACKNOWLEDGED) == Reply(standing=Standing.RECORDED)
    assert [one.reference for one in await attendant.briefings_of(ada)] == [reference]
    assert await attendant.decide(reference, Decision.TAKEN) == Reply(standing=Standing.RECORDED)
    assert await attendant.briefings_of(ada) == []


async def test_an_alert_stands_for_itself_however_often_it_was_sent(desk: Desk) -> None:
    alert_id = await desk.accept(f"sms:{ONE}", priority=Priority.EMERGENCY, plan=OFTEN)
    for _ in OFTEN:
        desk.clock.move(1)
        await desk.tick()
    deliveries = await desk.deliveries(alert_id)
    assert len(deliveries) == len(OFTEN) > 4 * BRIEFINGS_MAX
    other = await desk.one(f"sms:{ONE}", priority=Priority.EMERGENCY)
    assert [one.reference for one in await at(desk).briefings(ONE)] == [deliveries[0].id, other]
    await desk.claimed(deliveries[-1].id)
    assert [one.reference for one in await at(desk).briefings(ONE)] == [deliveries[-1].id, other]  # the call under way


# --- decisions -------------------------------------------------------------------------------------------------------


async def test_a_decision_is_committed_before_it_is_told(desk: Desk) -> None:
    reference = await desk.one(f"sms:{ONE}", priority=Priority.EMERGENCY)
    reply = await at(desk).decide(reference, Decision.ACKNOWLEDGED)
    assert reply == Reply(standing=Standing.RECORDED)
    assert await desk.count("acknowledgements", by="ada", via="sms") == 1


@pytest.mark.parametrize(
    "failure", [StoreStopped("ended"), StoreConflict("no"), RuntimeError("a fault"), ValueError("x")]
)
async def test_what_could_not_be_stored_counts_for_nothing(failure: Exception) -> None:
    broken = Broken(failure)
    attendant = attendant_of(broken, broken, MovedClock())
    assert await attendant.decide("dlv_1", Decision.TAKEN) == Reply(standing=Standing.FAILED)


async def test_nobody_holds_the_phone_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DECIDE_S", 0.01)
    attendant = attendant_of(Broken(), Broken(), MovedClock())
    assert await attendant.decide("dlv_1", Decision.TAKEN) == Reply(standing=Standing.FAILED)


async def test_a_journal_that_has_ended_fails_the_decision(desk: Desk) -> None:
    reference = await desk.one(f"sms:{ONE}", priority=Priority.EMERGENCY)
    attendant = at(desk)
    assert desk._running is not None
    desk._running.cancel()
    await asyncio.wait([desk._running])
    assert await attendant.decide(reference, Decision.ACKNOWLEDGED) == Reply(standing=Standing.FAILED)
    assert await desk.count("acknowledgements") == 0


@pytest.mark.parametrize("decision", Decision)
async def test_a_test_message_takes_every_key(decision: Decision) -> None:
    assert await alone().decide("tst_1", decision) == Reply(standing=Standing.RECORDED)


async def test_a_key_counts_for_whoever_called_and_for_whoever_s_phone_was_called(desk: Desk) -> None:
    attendant = at(desk)
    # the alert was sent to phones, under other names than people have
    alert_id = await desk.accept(f"sms:{TWO}", f"sms:{THREE}", people=("station", "desk"), rule=Rule.QUORUM, quorum=2)
    caller = await attendant.identify(f"4725*{ADA_PIN}", source="x")
    assert isinstance(caller, Caller)
    (told,) = await attendant.briefings_of(caller)
    assert await attendant.decide(told.reference, Decision.ACKNOWLEDGED) == Reply(standing=Standing.RECORDED)
    assert await desk.count("acknowledgements", alert_id=alert_id, by="ada") == 1
    (told,) = await attendant.briefings(THREE)
    assert await attendant.decide(told.reference, Decision.ACKNOWLEDGED) == Reply(standing=Standing.RECORDED)
    assert await desk.count("acknowledgements", alert_id=alert_id, by="bob") == 1
    assert await desk.count("acknowledgements", alert_id=alert_id) == 2


# --- PINs of people who are called -----------------------------------------------------------------------------------


async def test_who_needs_a_pin() -> None:
    attendant = alone()
    assert [await attendant.needs_pin(one) for one in (ONE, TWO, THREE)] == [True] * 3
    assert not await attendant.needs_pin("+33600000009")  # cyd has none
    assert not await attendant.needs_pin("+33600000077")
    assert await attendant.check_pin("+33600000009", "") is Proof.WRONG
    assert await attendant.check_pin("+33600000077", ADA_PIN) is Proof.WRONG


async def test_a_pin_is_its_person_s_at_every_address() -> None:
    attendant = alone()
    assert await attendant.check_pin(ONE, ADA_PIN) is Proof.OK
    assert await attendant.check_pin(TWO, ADA_PIN) is Proof.OK
    assert await attendant.check_pin(THREE, ADA_PIN) is Proof.WRONG
    assert await attendant.check_pin(ONE, BOB_PIN) is Proof.WRONG
    for wrong in ("", "136", "13690", "1369 ", "1369#", "١٣٦٩", "9" * 50):
        assert await alone().check_pin(ONE, wrong) is Proof.WRONG


async def test_each_further_wrong_pin_costs_twice_the_wait() -> None:
    clock = MovedClock()
    attendant = alone(clock=clock)
    answers = [await attendant.check_pin((ONE, TWO)[n % 2], "0000") for n in range(PATIENCE.free)]
    assert answers == [Proof.WRONG, Proof.WRONG, Proof.LOCKED]  # both addresses are ada's
    for wait in (30, 60, 120):
        assert await attendant.check_pin(ONE, ADA_PIN) is Proof.LOCKED
        clock.move(wait - 1)
        assert await attendant.check_pin(TWO, ADA_PIN) is Proof.LOCKED
        assert await attendant.check_pin(THREE, BOB_PIN) is Proof.OK  # bob guessed nothing
        clock.move(1)
        assert await attendant.check_pin(ONE, "0000") is Proof.LOCKED
    clock.move(PATIENCE.longest_s)
    assert await attendant.check_pin(ONE, ADA_PIN) is Proof.OK
    assert await attendant.check_pin(ONE, "0000") is Proof.WRONG  # the slate was wiped


async def test_guesses_while_it_is_locked_do_not_lengthen_it() -> None:
    clock = MovedClock()
    attendant = alone(clock=clock)
    for _ in range(PATIENCE.free + 20):
        await attendant.check_pin(ONE, "0000")
    clock.move(30)
    assert await attendant.check_pin(ONE, ADA_PIN) is Proof.OK


# --- who calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digits", "name"),
    [
        (f"4725*{ADA_PIN}", "ada"),
        (BOB_PIN, "bob"),  # a PIN alone, of somebody without a number
        ("4900", "cyd"),  # a number alone, of somebody without a PIN
    ],
)
async def test_who_is_identified(digits: str, name: str) -> None:
    found = await alone().identify(digits, source="+33100000000")
    assert isinstance(found, Caller)
    assert (found.id, found.name) == (name, name)


async def test_the_caller_s_language_is_known() -> None:
    found = await alone().identify(f"4725*{ADA_PIN}", source="x")
    assert isinstance(found, Caller)
    assert found.language == "fr"


@pytest.mark.parametrize(
    "digits",
    [
        "",
        "*",
        "4725",  # the number alone
        "4725*",
        f"4725*{BOB_PIN}",
        f"4725**{ADA_PIN}",
        f"4725*{ADA_PIN}*",
        f"4725*{ADA_PIN}#",
        f"4725{ADA_PIN}",
        f"4726*{ADA_PIN}",
        f"*{BOB_PIN}",
        f"0*{BOB_PIN}",
        ADA_PIN,  # who has a number is known by both
        FIRE_PIN,
        "0000",
        "4" * 100,
    ],
)
async def test_who_is_not(digits: str) -> None:
    assert await alone().identify(digits, source="x") is Proof.WRONG


async def test_a_caller_who_guesses_waits_and_others_do_not() -> None:
    clock = MovedClock()
    attendant = alone(clock=clock)
    answers = [await attendant.identify("0000", source="a") for _ in range(PATIENCE.free)]
    assert answers == [Proof.WRONG, Proof.WRONG, Proof.LOCKED]
    assert await attendant.identify(BOB_PIN, source="a") is Proof.LOCKED
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="a") is Proof.OK  # each line counts for itself
    assert isinstance(await attendant.identify(BOB_PIN, source="b"), Caller)
    clock.move(30)
    assert isinstance(await attendant.identify(BOB_PIN, source="a"), Caller)


async def test_whoever_forges_caller_ids_guesses_no_faster() -> None:
    clock = MovedClock()
    attendant = alone(clock=clock)
    for n in range(CROWD.free):
        assert await attendant.identify("", source=f"forged {n}") is Proof.WRONG
    assert await attendant.identify(BOB_PIN, source="fresh") is Proof.LOCKED
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="fresh") is Proof.OK  # each line counts for itself
    clock.move(CROWD.first_s - 1)
    assert await attendant.identify(BOB_PIN, source="fresh") is Proof.LOCKED
    clock.move(1)
    assert isinstance(await attendant.identify(BOB_PIN, source="fresh"), Caller)
    for n in range(100):
        await attendant.identify("", source=f"and again {n}")
    assert await attendant.identify(BOB_PIN, source="fresh") is Proof.LOCKED
    clock.move(CROWD.longest_s)
    assert isinstance(await attendant.identify(BOB_PIN, source="fresh"), Caller)


async def test_guesses_side_by_side_are_counted_one_after_the_other() -> None:
    attendant = alone()
    answers = await asyncio.gather(*(attendant.check_pin(ONE, "0000") for _ in range(10)))
    assert answers.count(Proof.WRONG) == PATIENCE.free - 1
    assert answers.count(Proof.LOCKED) == 10 - (PATIENCE.free - 1)


async def test_wrong_pins_for_one_number_lock_that_person_wherever_the_calls_come_from() -> None:
    attendant = alone()
    for n in range(PATIENCE.free):
        assert await attendant.identify("4725*0000", source=f"s{n}") is Proof.WRONG
    assert await attendant.identify(f"4725*{ADA_PIN}", source="fresh") is Proof.WRONG
    assert isinstance(await attendant.identify(BOB_PIN, source="fresh"), Caller)


async def test_whoever_guesses_in_calls_to_us_does_not_shut_out_who_is_called() -> None:
    attendant = alone()
    for n in range(PATIENCE.free):
        await attendant.identify("4725*0000", source=f"s{n}")
    assert await attendant.check_pin(ONE, ADA_PIN) is Proof.OK
    for _ in range(PATIENCE.free):
        await attendant.check_pin(ONE, "0000")
    assert await attendant.check_pin(ONE, ADA_PIN) is Proof.LOCKED


@pytest.mark.parametrize("source", ["", "unknown", "anonymous", "Anonymous"])
async def test_who_shows_no_number_is_counted_with_all_callers_alone(source: str) -> None:
    attendant = alone()
    for _ in range(CROWD.free - 1):
        assert await attendant.identify("0000", source=source) is Proof.WRONG
    assert isinstance(await attendant.identify(BOB_PIN, source=source), Caller)
    assert await attendant.identify("0000", source=source) is Proof.WRONG
    assert await attendant.identify(BOB_PIN, source="fresh") is Proof.LOCKED


async def test_attendants_of_several_providers_count_together() -> None:
    guesses, clock = Guesses(), MovedClock()
    one, other = alone(clock=clock, guesses=guesses), alone(clock=clock, guesses=guesses)
    for n in range(PATIENCE.free):
        await (one, other)[n % 2].check_pin(ONE, "0000")
    assert await one.check_pin(ONE, ADA_PIN) is Proof.LOCKED
    assert await other.check_pin(ONE, ADA_PIN) is Proof.LOCKED


async def test_a_trial_knows_nobody() -> None:
    trial = TrialAttendant()
    assert await trial.decide("dlv_1", Decision.TAKEN) == Reply(standing=Standing.RECORDED)
    assert (list(await trial.briefings(ONE)), await trial.needs_pin(ONE)) == ([], False)
    assert await trial.check_pin(ONE, ADA_PIN) is Proof.WRONG
    assert await trial.line(["+33140000018"]) is None
    assert await trial.identify(BOB_PIN, source="a") is Proof.WRONG
    assert await trial.authorise(FIRE_LINE, FIRE_PIN, source="a") is Proof.WRONG
    assert await trial.raise_alarm(FIRE_LINE, source="a") is None
    assert not await trial.attach_recording("alt_1", b"RIFF")
    assert list(await trial.briefings_of(Caller(id="ada", name="ada"))) == []
