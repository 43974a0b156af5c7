"""What a key on the phone does to an alert, on both databases: acknowledged, taken in charge, declined, too late."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from channels.conversation import Decision, Reply, Standing
from channels.outcome import Delivered, PermanentFailure, Reason
from gateway.alert import Priority, Rule, Status
from gateway.decisions import Decide, EverybodyDeclined, follow_declines
from gateway.escalation import Occurrence, Recipient
from gateway.last_resort import SOURCE, LastResort
from gateway.lifecycle import Acknowledge, cancel, release, resolve
from gateway.progress import AlertEnded, finish
from gateway.store import tables
from gateway.store.unit import Unit
from gateway.words import Acknowledged
from tests.gateway import desk as desks
from tests.gateway.desk import Desk

desk = desks.desk
store_url = desks.store_url

ONE, TWO, THREE = (f"sms:+3360000000{n}" for n in (1, 2, 3))
RECORDED = Reply(standing=Standing.RECORDED)
OVER = Reply(standing=Standing.OVER)
STEPS = (Occurrence(after_s=0), Occurrence(after_s=600))
BOB = Recipient(person="bob", addresses=(TWO,))
THEN_BOB = Occurrence(after_s=1_200, recipients=(BOB,))
REFUSED = PermanentFailure(reason=Reason(code="call_rejected"), everywhere=True)


async def decide(desk: Desk, delivery_id: str, decision: Decision) -> Reply:
    command = Decide(delivery_id=delivery_id, decision=decision, via="voice", names=desk.names)
    reply = await desk.do(command, urgent=True)
    await desk.escalator.drain()
    return reply


async def shift(desk: Desk, *addresses: str, **fields: Any) -> tuple[str, list[str]]:
    """An emergency for ada, bob, cyd; gives its id and the deliveries in their order."""
    people = ("ada", "bob", "cyd")[: len(addresses)]
    alert_id = await desk.accept(*addresses, people=people, priority=Priority.EMERGENCY, **fields)
    by_person = {delivery.person: delivery.id for delivery in await desk.deliveries(alert_id)}
    return alert_id, [by_person[person] for person in people]


async def settled(desk: Desk, delivery_id: str, outcome: Delivered | PermanentFailure) -> None:
    await desk.record(await desk.claimed(delivery_id), outcome)


def answered(code: str = "answered_no_key") -> Delivered:
    return Delivered(at=datetime(2026, 1, 1, 12, 0, tzinfo=UTC), code=code)


async def acknowledgements(desk: Desk) -> list[tuple[str, str, str]]:
    t = tables.acknowledgements.c
    statement = select(t.by, t.via, t.comment).order_by(t.id)
    found = await desk.store.read(lambda connection: connection.execute(statement).all())
    return [tuple(row) for row in found]


def declined_by_all(desk: Desk) -> list[str]:
    return [signal.alert_id for signal in desk.signals if isinstance(signal, EverybodyDeclined)]


# --- acknowledged ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", [Decision.ACKNOWLEDGED, Decision.TAKEN])
async def test_one_key_ends_an_alert_for_anybody(desk: Desk, decision: Decision) -> None:
    alert_id, (first, second) = await shift(desk, ONE, TWO, plan=STEPS)
    await desk.claimed(first)
    assert await decide(desk, first, decision) == RECORDED
    alert = await desk.alert_row(alert_id)
    assert (alert.status, alert.ended_at) == (Status.ACKNOWLEDGED, desk.clock.now())
    assert await acknowledgements(desk) == [("ada", "voice", decision.value)]
    assert Acknowledged(alert_id, "ada") in desk.signals
    assert AlertEnded(alert_id, "acknowledged") in desk.signals
    assert await desk.state(second) == "cancelled"


async def test_who_comes_second_is_told_who_has_it(desk: Desk) -> None:
    alert_id, (first, second) = await shift(desk, ONE, TWO)
    assert await decide(desk, first, Decision.ACKNOWLEDGED) == RECORDED
    for decision in Decision:
        assert await decide(desk, second, decision) == Reply(standing=Standing.ELSEWHERE, by="ada")
    assert len(await acknowledgements(desk)) == 1
    assert await desk.count("events", alert_id=alert_id, kind="declined") == 0
    # who has it already may say so again
    assert await decide(desk, first, Decision.TAKEN) == RECORDED


async def test_one_human_counts_once_whichever_of_their_phones_it_was(desk: Desk) -> None:
    desk.names = {ONE: "Ada", TWO: "Ada"}
    alert_id, (first, second, third) = await shift(desk, ONE, TWO, THREE, rule=Rule.QUORUM, quorum=2)
    assert await decide(desk, first, Decision.ACKNOWLEDGED) == RECORDED
    assert await decide(desk, second, Decision.ACKNOWLEDGED) == RECORDED
    assert [by for by, _, _ in await acknowledgements(desk)] == ["Ada", "Ada"]
    assert (await desk.alert_row(alert_id)).status is Status.ACTIVE
    assert await decide(desk, third, Decision.ACKNOWLEDGED) == RECORDED
    assert (await desk.alert_row(alert_id)).status is Status.ACKNOWLEDGED


async def test_who_has_it_cannot_give_it_back_by_a_key(desk: Desk) -> None:
    alert_id, (first,) = await shift(desk, ONE)
    assert await decide(desk, first, Decision.ACKNOWLEDGED) == RECORDED
    assert await decide(desk, first, Decision.DECLINED) == Reply(standing=Standing.ELSEWHERE, by="ada")
    assert (await desk.alert_row(alert_id)).status is Status.ACKNOWLEDGED
    assert await desk.count("events", alert_id=alert_id, kind="declined") == 0


async def test_who_took_it_before_a_quorum_was_there_has_taken_it(desk: Desk) -> None:
    alert_id, (first, second) = await shift(desk, ONE, TWO, rule=Rule.QUORUM, quorum=2, confirm_within_s=120)
    assert await decide(desk, first, Decision.TAKEN) == RECORDED
    assert await decide(desk, second, Decision.ACKNOWLEDGED) == RECORDED
    alert = await desk.alert_row(alert_id)
    assert (alert.status, alert.ended_at, alert.confirm_by_at) == (Status.ACKNOWLEDGED, desk.clock.now(), None)


async def test_one_person_does_not_make_a_quorum(desk: Desk) -> None:
    alert_id, (first, second, _) = await shift(desk, ONE, TWO, THREE, rule=Rule.QUORUM, quorum=2)
    for _ in range(3):
        assert await decide(desk, first, Decision.TAKEN) == RECORDED
    assert (await desk.alert_row(alert_id)).status is Status.ACTIVE
    assert await decide(desk, second, Decision.ACKNOWLEDGED) == RECORDED
    assert (await desk.alert_row(alert_id)).status is Status.ACKNOWLEDGED


@pytest.mark.parametrize("verb", [resolve, cancel])
@pytest.mark.parametrize("decision", Decision)
async def test_an_alert_that_is_over_takes_no_key(desk: Desk, verb: object, decision: Decision) -> None:
    alert_id, (first,) = await shift(desk, ONE)
    await desk.change(alert_id, verb)  # type: ignore[arg-type]
    assert await decide(desk, first, decision) == OVER
    assert await acknowledgements(desk) == []


@pytest.mark.parametrize("decision", Decision)
async def test_a_delivery_that_nobody_knows_is_over(desk: Desk, decision: Decision) -> None:
    assert await decide(desk, "dlv_unknown", decision) == OVER
    assert await decide(desk, "", decision) == OVER


async def test_an_expired_alert_still_takes_a_late_human(desk: Desk) -> None:
    alert_id, (first,) = await shift(desk, ONE, expires_s=60)
    await settled(desk, first, answered())
    desk.clock.move(61)
    await desk.tick()
    assert (await desk.alert_row(alert_id)).status is Status.EXPIRED
    assert await decide(desk, first, Decision.DECLINED) == RECORDED
    assert (await desk.alert_row(alert_id)).status is Status.EXPIRED
    assert await decide(desk, first, Decision.ACKNOWLEDGED) == RECORDED
    assert (await desk.alert_row(alert_id)).status is Status.ACKNOWLEDGED


async def test_an_alert_that_was_handed_back_is_decided_anew(desk: Desk) -> None:
    alert_id, (first, second) = await shift(desk, ONE, TWO)
    await decide(desk, first, Decision.ACKNOWLEDGED)
    await desk.change(alert_id, release)
    assert await decide(desk, second, Decision.ACKNOWLEDGED) == RECORDED
    assert await decide(desk, first, Decision.TAKEN) == Reply(standing=Standing.ELSEWHERE, by="bob")


async def test_who_took_it_and_handed_it_back_has_not_taken_it(desk: Desk) -> None:
    alert_id, (first, second) = await shift(desk, ONE, TWO, confirm_within_s=120)
    await decide(desk, first, Decision.TAKEN)
    await desk.change(alert_id, release)
    assert await decide(desk, second, Decision.ACKNOWLEDGED) == RECORDED
    alert = await desk.alert_row(alert_id)
    assert (alert.status, alert.ended_at) == (Status.ACKNOWLEDGED, None)
    assert alert.confirm_by_at is not None


async def test_a_quorum_that_was_handed_back_is_met_anew(desk: Desk) -> None:
    alert_id, (first, second, _) = await shift(desk, ONE, TWO, THREE, rule=Rule.QUORUM, quorum=2)
    for _ in range(2):
        assert await decide(desk, first, Decision.ACKNOWLEDGED) == RECORDED
        assert (await desk.alert_row(alert_id)).status is Status.ACTIVE
        assert await decide(desk, second, Decision.ACKNOWLEDGED) == RECORDED
        assert (await desk.alert_row(alert_id)).status is Status.ACKNOWLEDGED
        await desk.change(alert_id, release)
    assert len(await acknowledgements(desk)) == 4  # they stay on record
    await desk.acknowledge(alert_id, by="eve")  # by the API as well
    assert (await desk.alert_row(alert_id)).status is Status.ACTIVE


async def test_what_somebody_writes_in_the_api_takes_nothing_in_charge(desk: Desk) -> None:
    alert_id, (first, _) = await shift(desk, ONE, TWO, rule=Rule.QUORUM, quorum=2, confirm_within_s=120)
    said = Acknowledge(
        alert_id=alert_id, account_id="acme", by="bob", comment=Decision.TAKEN, via="api", key_id="key_test"
    )
    await desk.do(said)
    assert await decide(desk, first, Decision.ACKNOWLEDGED) == RECORDED
    alert = await desk.alert_row(alert_id)
    assert (alert.status, alert.ended_at) == (Status.ACKNOWLEDGED, None)
    assert alert.confirm_by_at is not None


# --- received, then taken in charge ----------------------------------------------------------------------------------


async def test_received_waits_for_somebody_to_take_it(desk: Desk) -> None:
    alert_id, (first, second) = await shift(desk, ONE, TWO, confirm_within_s=120)
    for _ in range(2):  # the same key again confirms nothing
        assert await decide(desk, first, Decision.ACKNOWLEDGED) == RECORDED
        alert = await desk.alert_row(alert_id)
        assert (alert.status, alert.ended_at) == (Status.ACKNOWLEDGED, None)
        assert alert.confirm_by_at is not None
    assert await decide(desk, second, Decision.ACKNOWLEDGED) == RECORDED
    assert (await desk.alert_row(alert_id)).ended_at is None
    assert await decide(desk, second, Decision.TAKEN) == RECORDED
    alert = await desk.alert_row(alert_id)
    assert (alert.ended_at, alert.confirm_by_at) == (desk.clock.now(), None)


async def test_received_and_not_taken_in_time_is_active_again(desk: Desk) -> None:
    alert_id, (first, _) = await shift(desk, ONE, TWO, confirm_within_s=120)
    await decide(desk, first, Decision.ACKNOWLEDGED)
    desk.clock.move(121)
    await desk.tick()
    assert (await desk.alert_row(alert_id)).status is Status.ACTIVE
    assert await decide(desk, first, Decision.TAKEN) == RECORDED
    assert (await desk.alert_row(alert_id)).ended_at == desk.clock.now()


async def test_taken_says_both_at_once(desk: Desk) -> None:
    alert_id, (first,) = await shift(desk, ONE, confirm_within_s=120)
    assert await decide(desk, first, Decision.TAKEN) == RECORDED
    assert (await desk.alert_row(alert_id)).ended_at == desk.clock.now()


# --- declined after all ----------------------------------------------------------------------------------------------


async def test_who_received_it_may_decline_once_nobody_took_it(desk: Desk) -> None:
    alert_id, (first, _) = await shift(desk, ONE, TWO, confirm_within_s=120)
    await decide(desk, first, Decision.ACKNOWLEDGED)
    assert await decide(desk, first, Decision.DECLINED) == RECORDED  # received, and nobody has it yet
    desk.clock.move(121)
    await desk.tick()
    assert (await desk.alert_row(alert_id)).status is Status.ACTIVE
    assert await decide(desk, first, Decision.DECLINED) == RECORDED
    assert await desk.count("events", alert_id=alert_id, kind="declined") == 2


async def test_who_is_not_yet_enough_for_a_quorum_may_decline(desk: Desk) -> None:
    alert_id, (first, _) = await shift(desk, ONE, TWO, rule=Rule.QUORUM, quorum=2)
    await decide(desk, first, Decision.ACKNOWLEDGED)
    assert await decide(desk, first, Decision.DECLINED) == RECORDED
    assert await desk.count("events", alert_id=alert_id, kind="declined") == 1


async def test_who_handed_it_back_may_decline_it(desk: Desk) -> None:
    alert_id, (first,) = await shift(desk, ONE)
    await decide(desk, first, Decision.TAKEN)
    await desk.change(alert_id, release)
    assert await decide(desk, first, Decision.DECLINED) == RECORDED
    assert await desk.count("events", alert_id=alert_id, kind="declined") == 1


# --- declined --------------------------------------------------------------------------------------------------------


async def test_declined_brings_the_next_step_forward(desk: Desk) -> None:
    alert_id, (first,) = await shift(desk, ONE, plan=(STEPS[0], THEN_BOB))
    desk.clock.move(5)
    assert await decide(desk, first, Decision.DECLINED) == RECORDED
    alert = await desk.alert_row(alert_id)
    assert (alert.status, alert.step_at, alert.look_at) == (Status.ACTIVE, desk.clock.now(), desk.clock.now())
    await desk.tick()
    assert [delivery.person for delivery in await desk.deliveries(alert_id)] == ["ada", "bob"]
    assert await acknowledgements(desk) == []
    assert await desk.count("events", alert_id=alert_id, kind="declined") == 1
    assert declined_by_all(desk) == []


async def test_while_others_are_tried_the_next_step_keeps_its_time(desk: Desk) -> None:
    alert_id, (first, second) = await shift(desk, ONE, TWO, plan=STEPS)
    due = (await desk.alert_row(alert_id)).step_at
    claim = await desk.claimed(first)
    assert await decide(desk, first, Decision.DECLINED) == RECORDED
    assert (await desk.alert_row(alert_id)).step_at == due
    await desk.record(claim, answered("declined"))
    assert await decide(desk, second, Decision.DECLINED) == RECORDED
    assert (await desk.alert_row(alert_id)).step_at == desk.clock.now()


async def test_other_addresses_of_who_declined_are_not_waited_for(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, TWO, people=("ada", "ada"), plan=STEPS, priority=Priority.EMERGENCY)
    first, _ = await desk.deliveries(alert_id)
    await decide(desk, first.id, Decision.DECLINED)
    assert (await desk.alert_row(alert_id)).step_at == desk.clock.now()


@pytest.mark.parametrize("pressed", [ONE, TWO])
async def test_a_person_whom_the_alert_calls_otherwise_is_one_person(desk: Desk, pressed: str) -> None:
    desk.names = {ONE: "Anna"}
    names = ("Anna Martin", "Anna Martin")
    alert_id = await desk.accept(ONE, TWO, people=names, plan=STEPS, priority=Priority.EMERGENCY)
    by_address = {delivery.address: delivery.id for delivery in await desk.deliveries(alert_id)}
    for address in (ONE, TWO):
        await settled(desk, by_address[address], answered())
    await decide(desk, by_address[pressed], Decision.DECLINED)
    assert (await desk.alert_row(alert_id)).step_at == desk.clock.now()


async def test_a_step_that_is_due_is_not_put_off(desk: Desk) -> None:
    alert_id, (first,) = await shift(desk, ONE, plan=STEPS)
    due = (await desk.alert_row(alert_id)).step_at
    desk.clock.move(700)
    await decide(desk, first, Decision.DECLINED)
    assert (await desk.alert_row(alert_id)).step_at == due


async def test_after_the_last_who_declines_everybody_has(desk: Desk) -> None:
    alert_id, (first, second) = await shift(desk, ONE, TWO)
    claim = await desk.claimed(first)
    assert await decide(desk, first, Decision.DECLINED) == RECORDED
    await desk.record(claim, answered("declined"))
    assert declined_by_all(desk) == []  # bob is being called
    await desk.claimed(second)
    assert await decide(desk, second, Decision.DECLINED) == RECORDED
    assert declined_by_all(desk) == [alert_id]


async def test_who_was_reached_and_did_not_decline_may_still_act(desk: Desk) -> None:
    _, (first, second) = await shift(desk, ONE, TWO)
    await settled(desk, second, answered())
    await decide(desk, first, Decision.DECLINED)
    assert declined_by_all(desk) == []


async def test_the_step_begins_when_the_last_one_who_was_tried_is_out_of_reach(desk: Desk) -> None:
    alert_id, (first, second) = await shift(desk, ONE, TWO, plan=STEPS)
    declining, claim = await desk.claimed(first), await desk.claimed(second)
    await decide(desk, first, Decision.DECLINED)
    await desk.record(declining, answered("declined"))
    assert (await desk.alert_row(alert_id)).step_at > desk.clock.now()  # type: ignore[operator]
    await desk.record(claim, REFUSED)
    assert (await desk.alert_row(alert_id)).step_at == desk.clock.now()


async def test_that_everybody_declined_is_told_once(desk: Desk) -> None:
    alert_id, (first,) = await shift(desk, ONE)
    claim = await desk.claimed(first)
    for _ in range(3):
        assert await decide(desk, first, Decision.DECLINED) == RECORDED
    await desk.record(claim, answered("declined"))
    assert declined_by_all(desk) == [alert_id]
    assert await desk.count("events", alert_id=alert_id, kind="everybody_declined") == 1


async def test_who_was_not_reached_does_not_count(desk: Desk) -> None:
    alert_id, (first, second) = await shift(desk, ONE, TWO)
    await settled(desk, second, REFUSED)
    await decide(desk, first, Decision.DECLINED)
    assert declined_by_all(desk) == [alert_id]


async def test_declined_after_received_brings_nothing_forward(desk: Desk) -> None:
    alert_id, (first, second) = await shift(desk, ONE, TWO, confirm_within_s=120, plan=STEPS)
    due = (await desk.alert_row(alert_id)).step_at
    await decide(desk, first, Decision.ACKNOWLEDGED)
    assert await decide(desk, second, Decision.DECLINED) == RECORDED
    alert = await desk.alert_row(alert_id)
    assert (alert.status, alert.step_at) == (Status.ACKNOWLEDGED, due)


async def test_the_last_resort_is_told_when_everybody_declined(desk: Desk) -> None:
    last = LastResort(recipients=(Recipient(person="chief", addresses=(THREE,)),))

    def both(unit: Unit) -> None:
        follow_declines(unit, finish(unit), desk.names)
        last.follow(unit)

    desk.journal._finish = both  # as the broker has it
    alert_id, (first,) = await shift(desk, ONE, text="Fire in ward 3")
    await desk.claimed(first)
    assert await decide(desk, first, Decision.DECLINED) == RECORDED
    t = tables.alerts.c
    statement = select(t.id, t.text, t.priority).where(t.source == SOURCE)
    (notice,) = await desk.store.read(lambda connection: connection.execute(statement).all())
    assert notice.text == f"Everybody declined, alert {alert_id}: Fire in ward 3"
    assert notice.priority == Priority.EMERGENCY
    assert (await desk.alert_row(alert_id)).status is Status.ACTIVE
    await desk.tick()
    (told,) = await desk.deliveries(notice.id)
    assert (told.person, told.address) == ("chief", THREE)
    assert await decide(desk, told.id, Decision.DECLINED) == RECORDED  # and tells nobody again
    assert await desk.count("alerts", source=SOURCE) == 1


# --- the alert has risen ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", [Decision.ACKNOWLEDGED, Decision.TAKEN])
async def test_a_key_in_a_call_that_tells_the_milder_text_does_not_count(desk: Desk, decision: Decision) -> None:
    alert_id = await desk.accept(ONE, people=["ada"], reference="boiler")
    (mild,) = await desk.deliveries(alert_id)
    await desk.claimed(mild.id)  # ada is on the phone
    desk.clock.move(5)
    assert await desk.accept(ONE, people=["ada"], reference="boiler", priority=Priority.EMERGENCY) == alert_id
    await desk.tick()
    assert await decide(desk, mild.id, decision) == RECORDED
    assert (await desk.alert_row(alert_id)).status is Status.ACTIVE
    assert await desk.count("events", alert_id=alert_id, kind="key_before_the_rise") == 1
    (grave,) = [delivery for delivery in await desk.deliveries(alert_id) if delivery.id != mild.id]
    assert await decide(desk, grave.id, decision) == RECORDED
    assert (await desk.alert_row(alert_id)).ended_at == desk.clock.now()


async def test_a_key_that_was_kept_from_before_the_rise_does_not_count(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, people=["ada"], reference="boiler", priority=Priority.HIGH)
    (mild,) = await desk.deliveries(alert_id)
    await settled(desk, mild.id, answered())
    pressed_at = desk.clock.now()
    desk.clock.move(5)
    await desk.accept(ONE, people=["ada"], reference="boiler", priority=Priority.EMERGENCY)
    kept = Decide(delivery_id=mild.id, decision=Decision.TAKEN, via="voice", pressed_at=pressed_at)
    assert await desk.do(kept) == RECORDED
    assert (await desk.alert_row(alert_id)).status is Status.ACTIVE
    # who calls in later hears what it says now
    later = Decide(delivery_id=mild.id, decision=Decision.TAKEN, via="voice", pressed_at=desk.clock.now())
    assert await desk.do(later) == RECORDED
    assert (await desk.alert_row(alert_id)).status is Status.ACKNOWLEDGED


async def test_who_declined_the_milder_alert_has_not_declined_the_graver_one(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, TWO, people=["ada", "bob"], reference="boiler", priority=Priority.HIGH)
    first, second = await desk.deliveries(alert_id)
    await settled(desk, first.id, answered())
    await settled(desk, second.id, answered())
    await decide(desk, first.id, Decision.DECLINED)
    desk.clock.move(5)
    people: dict[str, Any] = {"people": ["ada", "bob"], "reference": "boiler", "priority": Priority.EMERGENCY}
    await desk.accept(ONE, TWO, **people)
    await desk.tick()
    anew = [delivery for delivery in await desk.deliveries(alert_id) if delivery.id not in (first.id, second.id)]
    assert len(anew) == 2
    for delivery in anew:
        await settled(desk, delivery.id, answered())
    by_person = {delivery.person: delivery.id for delivery in anew}
    await decide(desk, by_person["bob"], Decision.DECLINED)
    assert declined_by_all(desk) == []
    await decide(desk, by_person["ada"], Decision.DECLINED)
    assert declined_by_all(desk) == [alert_id]
