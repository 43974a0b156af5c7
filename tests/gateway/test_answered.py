"""Who has answered is asked no more: what waits for them is cancelled, later steps and repeats leave them out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from channels.conversation import Decision
from channels.outcome import Delivered, PermanentFailure, Reason
from gateway.alert import Priority, Rule, Status
from gateway.decisions import Decide, EverybodyDeclined
from gateway.delivery import State
from gateway.escalation import Occurrence, Recipient
from gateway.lifecycle import release
from tests.gateway import desk as desks
from tests.gateway.desk import Desk

desk = desks.desk
store_url = desks.store_url

ONE, TWO, THREE = (f"sms:+3360000000{n}" for n in (1, 2, 3))
CYD = Recipient(person="cyd", addresses=(THREE,))
REPEATS = tuple(Occurrence(after_s=after_s) for after_s in (0, 300, 600, 900))
THEN_CYD = Occurrence(after_s=1_200, recipients=(CYD,))
REFUSED = PermanentFailure(reason=Reason(code="call_rejected"), everywhere=True)
BOTH = {ONE: "ada", TWO: "ada"}
PHONES = {
    "one person": (("ada", "ada"), {}),
    "by their names": ((ONE, TWO), BOTH),
    "known as": (("A.", "A."), {ONE: "ada"}),
}


def heard(code: str) -> Delivered:
    return Delivered(at=datetime(2026, 1, 1, 12, 0, tzinfo=UTC), code=code)


async def accepted(
    desk: Desk, *people: str, plan: tuple[Occurrence, ...] = REPEATS, rule: Rule = Rule.ANY, quorum: int = 0
) -> str:
    """An emergency for these people, at one phone each."""
    addresses = (ONE, TWO)[: len(people)]
    return await desk.accept(
        *addresses, people=people, priority=Priority.EMERGENCY, plan=plan, rule=rule, quorum=quorum
    )


async def answers(desk: Desk, alert_id: str, person: str, decision: Decision = Decision.DECLINED) -> None:
    """The person is called, decides, and hangs up."""
    delivery = next(d for d in await desk.deliveries(alert_id) if d.person == person)
    claim = await desk.claimed(delivery.id)
    await desk.do(Decide(delivery_id=delivery.id, decision=decision, via="voice", names=desk.names))
    await desk.record(claim, heard(str(decision)))


async def tried(desk: Desk, alert_id: str) -> list[tuple[str, int]]:
    return [(delivery.person, delivery.step) for delivery in await desk.deliveries(alert_id)]


def told_that_all_declined(desk: Desk) -> int:
    return sum(isinstance(signal, EverybodyDeclined) for signal in desk.signals)


# --- declined --------------------------------------------------------------------------------------------------------


async def test_repeats_for_whoever_declined_are_left_out_and_the_next_step_begins(desk: Desk) -> None:
    alert_id = await accepted(desk, "ada", plan=(*REPEATS, THEN_CYD))
    desk.clock.move(5)
    await answers(desk, alert_id, "ada")
    for _ in range(3):
        await desk.tick()
    assert await tried(desk, alert_id) == [("ada", 0), ("cyd", 4)]
    assert told_that_all_declined(desk) == 0


async def test_when_nobody_is_left_to_be_asked_everybody_has_declined(desk: Desk) -> None:
    alert_id = await accepted(desk, "ada")
    await answers(desk, alert_id, "ada")
    for _ in range(3):
        await desk.tick()
    alert = await desk.alert_row(alert_id)
    assert (alert.status, alert.step_at) == (Status.ACTIVE, None)
    assert await tried(desk, alert_id) == [("ada", 0)]
    assert told_that_all_declined(desk) == 1


async def test_a_repeat_for_others_keeps_its_time_and_asks_them_alone(desk: Desk) -> None:
    alert_id = await accepted(desk, "ada", "bob")
    bob = next(d for d in await desk.deliveries(alert_id) if d.person == "bob")
    await desk.record(await desk.claimed(bob.id), REFUSED)
    await answers(desk, alert_id, "ada")  # whoever was reached has declined
    for _ in range(3):
        await desk.tick()
    alert = await desk.alert_row(alert_id)
    assert (alert.step, alert.step_at) == (1, alert.start_at + timedelta(seconds=300))
    desk.clock.move(300)
    await desk.tick()
    assert (await tried(desk, alert_id))[2:] == [("bob", 1)]


@pytest.mark.parametrize(("people", "names"), PHONES.values(), ids=PHONES)
async def test_who_declined_is_not_called_at_another_address(
    desk: Desk, people: tuple[str, str], names: dict[str, str]
) -> None:
    desk.names = names
    alert_id = await accepted(desk, *people)
    first, second = await desk.deliveries(alert_id)
    claim = await desk.claimed(first.id)
    await desk.do(Decide(delivery_id=first.id, decision=Decision.DECLINED, via="voice", names=desk.names))
    waiting = await desk.delivery(second.id)
    assert (waiting.state, waiting.code) == (State.CANCELLED, "declined")
    await desk.record(claim, heard("declined"))
    for _ in range(3):
        await desk.tick()
    assert len(await tried(desk, alert_id)) == 2
    assert told_that_all_declined(desk) == 1
    assert await desk.spent() == (0, 0)


async def test_who_declines_by_calling_us_was_reached(desk: Desk) -> None:
    """Nothing had left yet: the alert has not failed to reach anybody."""
    alert_id = await accepted(desk, "ada", plan=(REPEATS[0],))
    (one,) = await desk.deliveries(alert_id)
    await desk.do(Decide(delivery_id=one.id, decision=Decision.DECLINED, via="line", names=desk.names))
    assert await desk.state(one.id) == State.CANCELLED
    assert (await desk.alert_row(alert_id)).status is Status.ACTIVE
    assert told_that_all_declined(desk) == 1


@pytest.mark.parametrize("steps", [1, 2])
async def test_handed_back_everybody_is_asked_again(desk: Desk, steps: int) -> None:
    alert_id = await accepted(desk, "ada", "bob", plan=REPEATS[:steps])
    await answers(desk, alert_id, "ada")
    await answers(desk, alert_id, "bob", Decision.TAKEN)
    desk.clock.move(1)
    await desk.change(alert_id, release)
    await desk.tick()
    assert (await tried(desk, alert_id))[2:] == [("ada", steps - 1), ("bob", steps - 1)]


# --- acknowledged, and others have to ---------------------------------------------------------------------------------


async def test_who_acknowledged_is_not_called_again_while_others_have_to(desk: Desk) -> None:
    alert_id = await accepted(desk, "ada", "ada", rule=Rule.QUORUM, quorum=2, plan=(REPEATS[0], THEN_CYD))
    desk.clock.move(1)
    await answers(desk, alert_id, "ada", Decision.ACKNOWLEDGED)
    _, second = await desk.deliveries(alert_id)
    assert (second.state, second.code) == (State.CANCELLED, "acknowledgement")
    assert (await desk.alert_row(alert_id)).status is Status.ACTIVE
    desk.clock.move(1_200)
    await desk.tick()
    assert (await tried(desk, alert_id))[2:] == [("cyd", 1)]


async def test_repeats_go_to_those_who_have_still_to_acknowledge(desk: Desk) -> None:
    alert_id = await accepted(desk, "ada", "bob", rule=Rule.ALL)
    desk.clock.move(1)
    await desk.acknowledge(alert_id, "ada")  # by the API
    first, second = await desk.deliveries(alert_id)
    assert [first.state, second.state] == [State.CANCELLED, State.QUEUED]
    desk.clock.move(300)
    await desk.tick()
    assert (await tried(desk, alert_id))[2:] == [("bob", 1)]


# --- nobody could be reached -----------------------------------------------------------------------------------------


async def test_when_all_ways_have_failed_the_next_step_begins(desk: Desk) -> None:
    alert_id = await accepted(desk, "ada", plan=(REPEATS[0], THEN_CYD))
    (one,) = await desk.deliveries(alert_id)
    await desk.record(await desk.claimed(one.id), REFUSED)
    await desk.tick()
    assert await tried(desk, alert_id) == [("ada", 0), ("cyd", 1)]


async def test_while_somebody_else_is_tried_the_next_step_keeps_its_time(desk: Desk) -> None:
    alert_id = await accepted(desk, "ada", "bob", plan=(REPEATS[0], THEN_CYD))
    one, two = await desk.deliveries(alert_id)
    await desk.record(await desk.claimed(one.id), REFUSED)
    await desk.tick()
    assert len(await tried(desk, alert_id)) == 2
    await desk.record(await desk.claimed(two.id), heard("answered_no_key"))
    await desk.tick()
    assert len(await tried(desk, alert_id)) == 2  # bob was reached, and may still act


async def test_a_repeat_of_what_failed_keeps_its_time(desk: Desk) -> None:
    """It is there to try again later: burnt at once it would find the same."""
    alert_id = await accepted(desk, "ada", plan=(*REPEATS, THEN_CYD))
    (one,) = await desk.deliveries(alert_id)
    due = (await desk.alert_row(alert_id)).step_at
    await desk.record(await desk.claimed(one.id), REFUSED)
    await desk.tick()
    assert (await desk.alert_row(alert_id)).step_at == due
