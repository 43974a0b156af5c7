"""What people on the line are told and asked, on both databases: briefings, PINs and their locks, who calls, decisions."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from channels.conversation import Caller, Decision, Line, Proof, Reply, Standing
from gateway import attendant as module
from gateway.alert import Priority, Rule
from gateway.attendant import BRIEFINGS_MAX, People, PhoneAttendant, TrialAttendant
from gateway.lifecycle import resolve
from gateway.lines import Lines
from gateway.pins import CROWD, Guesses, hashed
from gateway.pins import ONE as PATIENCE
from gateway.settings import LineSettings, PersonSettings
from gateway.store.engine import Store
from gateway.store.errors import StoreConflict, StoreUnavailable
from gateway.store.journal import Journal
from tests.gateway import desk as desks
from tests.gateway.desk import Desk, MovedClock

desk = desks.desk
store_url = desks.store_url

ONE, TWO, THREE = (f"+3360000000{n}" for n in (1, 2, 3))
SALT = bytes(16)
ADA_PIN, BOB_PIN, FIRE_PIN = "1369", "2480", "9753"
FIRE = LineSettings.model_validate(
    {"name": "fire", "number": "+33140000018", "kind": "alarm", "pin": hashed(FIRE_PIN, SALT), "text": "Fire"}
)
DUTY = LineSettings(name="duty", number="+33140000019", kind="acknowledgement")
FIRE_LINE, DUTY_LINE = Line(kind="alarm", name="fire"), Line(kind="acknowledgement", name="duty")


def person(name: str, *addresses: str, **more: Any) -> PersonSettings:
    return PersonSettings.model_validate({"name": name, "addresses": [f"sms:{one}" for one in addresses], **more})


ADA = person("ada", ONE, TWO, language="fr", number="4725", pin=hashed(ADA_PIN, SALT))
BOB = person("bob", THREE, pin=hashed(BOB_PIN, SALT))
CYD = person("cyd", "+33600000009", number="4900")


class Alarms:
    """Raises what it is told to."""

    def __init__(self) -> None:
        self.raised: list[str] = []
        self.attached: list[tuple[str, bytes]] = []
        self.reference: str | None = "alt_1"

    async def raise_alarm(self, line: LineSettings) -> str | None:
        self.raised.append(line.name)
        return self.reference

    async def attach(self, alert_id: str, wav: bytes) -> bool:
        self.attached.append((alert_id, wav))
        return True


class Broken:
    """In a journal's or a store's place: everything fails, or nothing ends."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    async def do(self, command: object, *, urgent: bool = False) -> Reply:
        if self.failure is None:
            await asyncio.Event().wait()
        assert self.failure is not None
        raise self.failure

    read = do


def attendant_of(
    store: Store | Broken,
    journal: Journal | Broken,
    clock: MovedClock,
    *people: PersonSettings,
    guesses: Guesses | None = None,
) -> PhoneAttendant:
    return PhoneAttendant(
        store=cast("Store", store),
        journal=cast("Journal", journal),
        clock=clock,
        people=People(people or (ADA, BOB, CYD), lambda address: address),
        lines=Lines([FIRE, DUTY], anybody=True),
        alarms=Alarms(),
        guesses=guesses or Guesses(),
        channel="sms",  # the channel that the desk has
    )


def at(desk: Desk, *people: PersonSettings) -> PhoneAttendant:
    return attendant_of(desk.store, desk.journal, desk.clock, *people)


def alone(*people: PersonSettings, clock: MovedClock | None = None, guesses: Guesses | None = None) -> PhoneAttendant:
    """Without a store, for what needs none."""
    broken = Broken(StoreUnavailable("no store"))
    return attendant_of(broken, broken, clock or MovedClock(), *people, guesses=guesses)


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


async def test_where_the_store_fails_nothing_is_told() -> None:
    assert await alone().briefings(ONE) == []
    assert list(await alone().briefings_of(Caller(id="ada", name="ada"))) == []


# --- decisions -------------------------------------------------------------------------------------------------------


async def test_a_decision_is_committed_before_it_is_told(desk: Desk) -> None:
    reference = await desk.one(f"sms:{ONE}", priority=Priority.EMERGENCY)
    reply = await at(desk).decide(reference, Decision.ACKNOWLEDGED)
    assert reply == Reply(standing=Standing.RECORDED)
    assert await desk.count("acknowledgements", by="ada", via="sms") == 1


@pytest.mark.parametrize(
    "failure", [StoreUnavailable("disk full"), StoreConflict("no"), RuntimeError("a fault"), ValueError("x")]
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
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="a") is Proof.LOCKED
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
    assert await attendant.check_pin(ONE, ADA_PIN) is Proof.LOCKED
    assert isinstance(await attendant.identify(BOB_PIN, source="fresh"), Caller)


async def test_attendants_of_several_providers_count_together() -> None:
    guesses, clock = Guesses(), MovedClock()
    one, other = alone(clock=clock, guesses=guesses), alone(clock=clock, guesses=guesses)
    for n in range(PATIENCE.free):
        await (one, other)[n % 2].check_pin(ONE, "0000")
    assert await one.check_pin(ONE, ADA_PIN) is Proof.LOCKED
    assert await other.check_pin(ONE, ADA_PIN) is Proof.LOCKED


# --- alarm lines -----------------------------------------------------------------------------------------------------


async def test_only_its_own_pin_raises_the_alarm_of_a_line() -> None:
    attendant = alone()
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="a") is Proof.OK
    for n, wrong in enumerate((ADA_PIN, BOB_PIN, "", "975", f"{FIRE_PIN}#", f"4725*{ADA_PIN}")):
        assert await attendant.authorise(FIRE_LINE, wrong, source=f"b{n}") is Proof.WRONG
    for line in (DUTY_LINE, Line(kind="acknowledgement", name=""), Line(kind="alarm", name="flood")):
        assert await attendant.authorise(line, FIRE_PIN, source="c") is Proof.WRONG
        assert await attendant.authorise(line, "", source="d") is Proof.WRONG


async def test_lines_and_alarms() -> None:
    attendant, alarms = alone(), Alarms()
    attendant._alarms = alarms
    assert await attendant.line(["tocsin", "0140000018"]) == FIRE_LINE
    assert await attendant.line(["+33999999999"]) is None
    assert await attendant.raise_alarm(FIRE_LINE, source="a") == "alt_1"
    assert await attendant.raise_alarm(Line(kind="alarm", name="flood"), source="a") is None
    alarms.reference = None
    assert await attendant.raise_alarm(FIRE_LINE, source="a") is None
    assert alarms.raised == ["fire", "fire"]
    assert await attendant.attach_recording("alt_1", b"RIFF")
    assert alarms.attached == [("alt_1", b"RIFF")]


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
