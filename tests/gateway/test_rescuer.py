"""What time does, on both databases: announcements, orphans, deadlines, steps, broadcasts that a crash cut, acknowledgement rules."""

from __future__ import annotations

import asyncio

import pytest

from gateway.alert import AlreadyEnded, Priority, Rule, Status
from gateway.api.timeline import timeline
from gateway.api.timeline_lines import OutcomeLine
from gateway.delivery import ANNOUNCED_AGAIN, State
from gateway.escalation import Occurrence
from gateway.intake import CHUNK, EXPAND_AGAIN, ExpandAlert, Shortfall
from gateway.lifecycle import StopDeliveries, cancel, release, resolve
from tests.gateway import desk as desks
from tests.gateway.answers import accepted, delivered, undelivered
from tests.gateway.desk import CREDIT_MICROS, EXPIRES_S, LEASE_S, PRICE_MICROS, Desk

desk = desks.desk
store_url = desks.store_url

ONE, TWO, THREE = (f"sms:+3360000000{n}" for n in (1, 2, 3))
CROWD = tuple(f"sms:+336{n:08d}" for n in range(1_200))
SHIFT = ("ada", "bob", "cyd")


def twice(every_s: int = 60) -> tuple[Occurrence, ...]:
    return (Occurrence(after_s=0), Occurrence(after_s=every_s))


# --- deliveries ------------------------------------------------------------------------------------------------------


async def test_a_lost_announcement_is_made_again(desk: Desk) -> None:
    one = await desk.one()
    assert desk.announced(one) == 1
    desk.clock.move(ANNOUNCED_AGAIN.total_seconds())
    await desk.tick()
    assert desk.announced(one) == 2
    await desk.tick()
    assert desk.announced(one) == 2


async def test_what_a_dead_process_was_sending_is_in_doubt_from_the_start(desk: Desk) -> None:
    one, two = await desk.one(ONE), await desk.one(TWO)
    await desk.claimed(one)
    await desk.rescuer.adopt_orphans()
    assert [await desk.state(one), await desk.state(two)] == [State.UNSURE, State.QUEUED]


@pytest.mark.parametrize(
    ("resend", "passed_s", "state", "follows"),
    [
        (True, 0, State.UNSURE, "; a receipt is waited for, and then it is tried again"),
        (False, 0, State.UNSURE, "; a receipt is waited for, and it is not sent twice"),
        (True, EXPIRES_S, State.EXPIRED, ""),
    ],
)
async def test_an_attempt_that_was_interrupted_says_so_and_what_follows(
    desk: Desk, resend: bool, passed_s: float, state: State, follows: str
) -> None:
    one = await desk.one(ONE, resend=resend)
    alert_id = (await desk.delivery(one)).alert_id
    claim = await desk.claimed(one)
    desk.clock.move(passed_s)
    await desk.rescuer.adopt_orphans()
    assert await desk.state(one) == state
    lines = await desk.store.read(lambda connection: timeline(connection, alert_id, after=None, limit=99))
    (outcome,) = [found.line for found in lines if isinstance(found.line, OutcomeLine)]
    assert (outcome.outcome, outcome.code) == ("unsure", "interrupted")
    assert outcome.detail == f"Tocsin stopped in the middle of it{follows}"
    if state is State.UNSURE:  # whoever made it may have been slow only, and comes back
        await desk.record(claim, accepted("id-1"))
        assert await desk.state(one) == State.ACCEPTED


async def test_a_lease_that_runs_is_left_alone(desk: Desk) -> None:
    one = await desk.one()
    await desk.claimed(one)
    desk.clock.move(LEASE_S - 1)
    await desk.tick()
    assert await desk.state(one) == State.SENDING


async def test_the_deadline_ends_whatever_waits(desk: Desk) -> None:
    waiting, sending, taken = await desk.one(ONE), await desk.one(TWO), await desk.one(THREE)
    await desk.claimed(sending)
    await desk.sent(taken, "id-1")
    desk.clock.move(EXPIRES_S)
    await desk.tick()
    assert {await desk.state(one) for one in (waiting, sending, taken)} == {State.EXPIRED}
    assert await desk.spent() == (0, 2)  # +33 charges an unknown end, and what was taken
    assert (await desk.alert_row((await desk.delivery(waiting)).alert_id)).status is Status.FAILED


async def test_many_deadlines_at_once_complete_an_alert_that_reached_somebody(desk: Desk) -> None:
    """More deliveries than one page: the alert asked for nobody's acknowledgement, so it does not expire."""
    alert_id = await desk.accept(*CROWD)
    desk.escalator.expand(alert_id)
    await desk.escalator.drain()
    first = (await desk.deliveries(alert_id))[0]
    await desk.sent(first.id, "id-1")
    await desk.report(delivered("id-1"))
    desk.clock.move(EXPIRES_S)
    await desk.tick()
    assert (await desk.alert_row(alert_id)).status is Status.COMPLETED


# --- steps -----------------------------------------------------------------------------------------------------------


async def test_send_at_waits_and_holds_nothing(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, start_s=600)
    assert await desk.deliveries(alert_id) == []
    assert await desk.spent() == (0, 0)
    desk.clock.move(599)
    await desk.tick()
    assert await desk.deliveries(alert_id) == []
    desk.clock.move(1)
    await desk.tick()
    assert len(await desk.deliveries(alert_id)) == 1
    assert await desk.spent() == (1, 0)


async def test_each_step_tries_again_until_somebody_has_it(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, priority=Priority.HIGH, plan=twice())
    assert len(await desk.deliveries(alert_id)) == 1
    desk.clock.move(60)
    await desk.tick()
    assert [d.step for d in await desk.deliveries(alert_id)] == [0, 1]
    await desk.tick()
    assert len(await desk.deliveries(alert_id)) == 2


async def test_a_step_that_cannot_be_paid_fails_and_the_alert_goes_on(desk: Desk) -> None:
    await desk.open_account("poor", PRICE_MICROS)
    alert_id = await desk.accept(ONE, account_id="poor", priority=Priority.HIGH, plan=twice())
    desk.clock.move(60)
    await desk.tick()
    assert [(d.state, d.code) for d in await desk.deliveries(alert_id)][1] == (State.FAILED, "insufficient_credit")


async def test_a_step_without_anybody_ends_the_alert_loudly(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, plan=(Occurrence(after_s=0, channels=("pager",)),))
    await desk.tick()
    assert (await desk.alert_row(alert_id)).status is Status.FAILED


async def test_all_ways_failed_is_a_failed_alert_once_no_step_is_left(desk: Desk) -> None:
    alert_id = await desk.accept("sms:+44600000001", priority=Priority.HIGH, plan=twice())
    for n in range(2):
        delivery = (await desk.deliveries(alert_id))[n]
        await desk.sent(delivery.id, f"id-{n}")
        await desk.report(undelivered(f"id-{n}"))
        assert (await desk.alert_row(alert_id)).status is (Status.ACTIVE if n == 0 else Status.FAILED)
        desk.clock.move(60)
        await desk.tick()


async def test_one_bad_alert_does_not_hold_up_the_others(desk: Desk) -> None:
    """The first of two due alerts cannot be brought forward; the second is all the same."""
    bad = await desk.accept(ONE, start_s=10)
    good = await desk.accept(TWO, start_s=20)
    await desk.store.write(lambda c: c.exec_driver_sql(f"update alerts set steps = '[]' where id = '{bad}'").close())
    desk.journal._forget()
    desk.clock.move(20)
    await desk.tick()
    assert len(await desk.deliveries(good)) == 1


# --- broadcasts ------------------------------------------------------------------------------------------------------


async def crash_after_the_first_chunk(desk: Desk, alert_id: str) -> None:
    """One chunk more is written and then the escalator is abandoned, as a crash does."""
    alert = await desk.alert_row(alert_id)
    planned = desk.plan(alert)
    chunk = planned[alert.expanded : alert.expanded + CHUNK]
    command = ExpandAlert(alert_id=alert_id, step=0, start=alert.expanded, planned=chunk, tariffs=desk.tariffs)
    assert await desk.do(command)
    desk.escalator = desk.new_escalator()


async def test_a_broadcast_is_written_in_chunks_from_one_hold(desk: Desk) -> None:
    alert_id = await desk.accept(*CROWD)
    alert = await desk.alert_row(alert_id)
    assert (alert.expanded, alert.expanding) == (CHUNK, len(CROWD))
    assert alert.hold_left_micros == (len(CROWD) - CHUNK) * PRICE_MICROS
    assert await desk.spent() == (len(CROWD), 0)
    assert await desk.count("entries", kind="hold") == 1
    await desk.verify()
    desk.escalator.expand(alert_id)
    await desk.escalator.drain()
    alert = await desk.alert_row(alert_id)
    assert (alert.expanded, alert.hold_left_micros) == (len(CROWD), 0)
    found = await desk.deliveries(alert_id)
    assert sorted(d.address for d in found) == sorted(CROWD)
    assert {d.hold_micros for d in found} == {PRICE_MICROS}
    assert await desk.count("entries", kind="hold") == 1


async def test_a_broadcast_that_a_crash_cut_is_taken_up_again(desk: Desk) -> None:
    alert_id = await desk.accept(*CROWD)
    await crash_after_the_first_chunk(desk, alert_id)
    await desk.tick()
    assert (await desk.alert_row(alert_id)).expanded == 2 * CHUNK
    desk.clock.move(EXPAND_AGAIN.total_seconds())
    await desk.tick()
    alert = await desk.alert_row(alert_id)
    assert (alert.expanded, alert.hold_left_micros) == (len(CROWD), 0)
    assert sorted(d.address for d in await desk.deliveries(alert_id)) == sorted(CROWD)
    assert await desk.spent() == (len(CROWD), 0)


@pytest.mark.parametrize("verb", ["cancel", "resolve", "acknowledge"])
async def test_a_broadcast_that_is_stopped_midway_gives_the_rest_back(desk: Desk, verb: str) -> None:
    alert_id = await desk.accept(*CROWD, priority=Priority.HIGH)
    await crash_after_the_first_chunk(desk, alert_id)
    if verb == "acknowledge":
        await desk.acknowledge(alert_id)
    else:
        await desk.change(alert_id, cancel if verb == "cancel" else resolve)
    alert = await desk.alert_row(alert_id)
    assert (alert.expanded, alert.hold_left_micros) == (2 * CHUNK, 0)
    desk.escalator.expand(alert_id)  # whoever was still writing
    await desk.escalator.drain()
    found = await desk.deliveries(alert_id)
    assert len(found) == 2 * CHUNK
    assert {d.state for d in found} == {State.CANCELLED}
    assert await desk.money() == (CREDIT_MICROS, 0, 0)


async def test_a_broadcast_whose_step_fails_for_want_of_credit_writes_them_all(desk: Desk) -> None:
    await desk.open_account("poor", 700 * PRICE_MICROS)
    alert_id = await desk.accept(
        *CROWD, account_id="poor", priority=Priority.HIGH, shortfall=Shortfall.REFUSE_IF_NOTHING_GOES
    )
    desk.escalator.expand(alert_id)
    await desk.escalator.drain()
    codes = [d.code for d in await desk.deliveries(alert_id)]
    assert (codes.count(""), codes.count("insufficient_credit")) == (700, 500)
    assert await desk.money("poor") == (0, 700 * PRICE_MICROS, 0)


async def test_two_broadcasts_of_one_alert_cut_and_stopped(desk: Desk) -> None:
    """Handed back after the first was cut: the second step has a hold of its own, and gives its rest back as well."""
    alert_id = await desk.accept(*CROWD, priority=Priority.HIGH, plan=twice(), expires_s=10_000)
    await desk.acknowledge(alert_id)
    await desk.change(alert_id, release)
    desk.clock.move(60)
    await desk.tick()
    await desk.tick()
    await desk.change(alert_id, cancel)
    assert (await desk.alert_row(alert_id)).status is Status.CANCELLED
    assert await desk.money() == (CREDIT_MICROS, 0, 0)


# --- the same trouble ------------------------------------------------------------------------------------------------


async def test_the_same_trouble_joins(desk: Desk) -> None:
    first = await desk.accept(ONE, reference="boiler")
    assert await desk.accept(TWO, reference="boiler") == first
    assert await desk.count("alerts") == 1
    assert await desk.count("events", kind="repeated") == 1
    assert await desk.accept(TWO, reference="pump") != first
    exercise = await desk.accept(TWO, reference="boiler", exercise=True)
    assert exercise != first


async def test_the_same_trouble_rising_escalates_anew(desk: Desk) -> None:
    first = await desk.accept(ONE, reference="boiler")
    desk.clock.move(1)
    await desk.accept(ONE, reference="boiler", priority=Priority.EMERGENCY)
    desk.clock.move(1)
    await desk.tick()
    found = await desk.deliveries(first)
    assert [(d.step, d.urgency) for d in found] == [(0, 2), (0, 0)]
    assert (await desk.alert_row(first)).priority is Priority.EMERGENCY
    assert await desk.spent() == (2, 0)


async def test_the_same_trouble_rising_in_the_middle_of_a_broadcast_reaches_all(desk: Desk) -> None:
    plan = (Occurrence(after_s=0), Occurrence(after_s=600, channels=("pager",)))
    first = await desk.accept(*CROWD, reference="boiler", plan=plan)
    desk.clock.move(1)
    await desk.accept(*CROWD, reference="boiler", priority=Priority.EMERGENCY)
    desk.escalator.expand(first)  # whoever was still writing
    await desk.escalator.drain()
    desk.clock.move(EXPAND_AGAIN.total_seconds())
    await desk.tick()
    urgent = [d for d in await desk.deliveries(first) if d.urgency == 0]
    assert sorted(d.address for d in urgent) == sorted(CROWD)
    await desk.change(first, resolve)
    assert await desk.money() == (CREDIT_MICROS, 0, 0)


async def test_case_5_4_a_broadcast_raised_in_the_middle_holds_what_will_be_written(desk: Desk) -> None:
    first = await desk.accept(*CROWD, reference="boiler")
    written = len(await desk.deliveries(first))
    assert written < len(CROWD)
    assert await desk.spent() == (len(CROWD), 0)
    desk.clock.move(1)
    await desk.accept(*CROWD, reference="boiler", priority=Priority.EMERGENCY)
    assert await desk.spent() == (written, 0)  # the rest of the old hold went back, before the new one is taken
    await desk.tick()
    await desk.verify()
    deliveries = await desk.deliveries(first)
    assert {d.address for d in deliveries if d.urgency == 0} == set(CROWD)
    assert await desk.spent() == (sum(d.settled_at is None for d in deliveries), 0)
    await desk.change(first, resolve)
    assert await desk.money() == (CREDIT_MICROS, 0, 0)


# --- acknowledgement -------------------------------------------------------------------------------------------------


async def test_any_one_is_enough(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, TWO, rule=Rule.ANY)
    acknowledged = await desk.acknowledge(alert_id)
    assert (acknowledged.status, acknowledged.ended_at) == (Status.ACKNOWLEDGED, desk.clock.now())
    assert {d.state for d in await desk.deliveries(alert_id)} == {State.CANCELLED}
    assert await desk.spent() == (0, 0)


@pytest.mark.parametrize(("rule", "quorum", "needed"), [(Rule.ALL, 0, 3), (Rule.QUORUM, 2, 2)])
async def test_distinct_people_are_counted(desk: Desk, rule: Rule, quorum: int, needed: int) -> None:
    alert_id = await desk.accept(ONE, TWO, THREE, people=SHIFT, rule=rule, quorum=quorum)
    for by in SHIFT[: needed - 1]:
        for _ in range(2):
            assert (await desk.acknowledge(alert_id, by)).status is Status.ACTIVE
    assert (await desk.acknowledge(alert_id, SHIFT[needed - 1])).status is Status.ACKNOWLEDGED


async def test_several_who_acknowledge_at_once_count_together(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, TWO, THREE, people=SHIFT, rule=Rule.ALL)
    await asyncio.gather(*(desk.acknowledge(alert_id, by) for by in SHIFT))
    assert (await desk.alert_row(alert_id)).status is Status.ACKNOWLEDGED


async def test_received_suspends_and_taken_in_charge_ends(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, rule=Rule.ANY, confirm_within_s=120)
    (one,) = await desk.deliveries(alert_id)
    received = await desk.acknowledge(alert_id)
    assert (received.status, received.ended_at) == (Status.ACKNOWLEDGED, None)
    assert await desk.claim(one.id) is None
    assert await desk.state(one.id) == State.QUEUED
    again = await desk.acknowledge(alert_id)
    assert (again.status, again.ended_at, again.confirm_by_at) == (Status.ACKNOWLEDGED, None, received.confirm_by_at)
    taken = await desk.acknowledge(alert_id, taken=True)
    assert taken.ended_at == desk.clock.now()
    assert await desk.state(one.id) == State.CANCELLED


async def test_received_and_not_taken_in_charge_goes_on(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, rule=Rule.ANY, confirm_within_s=120, plan=twice(60))
    await desk.acknowledge(alert_id)
    desk.clock.move(119)
    await desk.tick()
    assert (await desk.alert_row(alert_id)).status is Status.ACKNOWLEDGED
    assert len(await desk.deliveries(alert_id)) == 1
    desk.clock.move(1)
    await desk.tick()
    await desk.tick()
    assert (await desk.alert_row(alert_id)).status is Status.ACTIVE
    assert len(await desk.deliveries(alert_id)) == 2
    (first, _) = await desk.deliveries(alert_id)
    assert await desk.claim(first.id) is not None


async def test_handed_back_goes_on_from_where_it_was(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, rule=Rule.ANY, plan=twice(600))
    await desk.acknowledge(alert_id)
    desk.clock.move(700)
    await desk.tick()
    assert len(await desk.deliveries(alert_id)) == 1
    released = await desk.change(alert_id, release)
    assert (released.status, released.ended_at) == (Status.ACTIVE, None)
    await desk.tick()
    assert [d.step for d in await desk.deliveries(alert_id)] == [0, 1]


async def test_handed_back_before_its_next_step_was_due_goes_on_at_once(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, rule=Rule.ANY, plan=twice(600))
    await desk.acknowledge(alert_id)
    desk.clock.move(10)
    await desk.change(alert_id, release)
    await desk.tick()
    assert [(d.step, d.state) for d in await desk.deliveries(alert_id)] == [(0, State.CANCELLED), (1, State.QUEUED)]


async def test_handed_back_with_no_step_left_is_told_anew(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, TWO, people=SHIFT[:2], rule=Rule.ANY)
    for n in range(1, 3):
        ringing = (await desk.deliveries(alert_id))[-1]
        await desk.claimed(ringing.id)
        await desk.acknowledge(alert_id)
        await desk.change(alert_id, release)  # be it in the same microsecond
        await desk.tick()
        found = await desk.deliveries(alert_id)
        assert [(d.step, d.person) for d in found[2 * n :]] == [(0, "ada"), (0, "bob")]
        assert {d.state for d in found[2 * n :]} == {State.QUEUED}
        await desk.tick()
        assert len(await desk.deliveries(alert_id)) == 2 * n + 2  # once, not for ever
    await desk.change(alert_id, cancel)


@pytest.mark.parametrize("handed_back", [True, False])
async def test_received_by_the_only_one_and_not_taken_is_told_anew(desk: Desk, handed_back: bool) -> None:
    alert_id = await desk.accept(ONE, rule=Rule.ANY, confirm_within_s=120)
    (one,) = await desk.deliveries(alert_id)
    await desk.sent(one.id, "id-1")
    await desk.report(delivered("id-1"))
    await desk.acknowledge(alert_id)
    desk.clock.move(60 if handed_back else 120)
    if handed_back:
        await desk.change(alert_id, release)
    await desk.tick()
    assert [d.state for d in await desk.deliveries(alert_id)] == [State.DELIVERED, State.QUEUED]


async def test_what_waits_while_somebody_has_it_is_not_planned_twice(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, rule=Rule.ANY, confirm_within_s=120)
    await desk.acknowledge(alert_id)
    desk.clock.move(1)
    await desk.change(alert_id, release)
    await desk.tick()
    (one,) = await desk.deliveries(alert_id)
    assert await desk.claim(one.id) is not None


async def test_an_alert_that_was_handed_back_is_stopped_no_further(desk: Desk) -> None:
    """The release came before all that was under way had been stopped."""
    alert_id = await desk.accept(ONE, rule=Rule.ANY)
    desk.escalator.stop = lambda alert_id: None  # type: ignore[method-assign]  # it comes late
    await desk.acknowledge(alert_id)
    await desk.change(alert_id, release)
    assert await desk.do(StopDeliveries(alert_id=alert_id, tariffs=desk.tariffs)) is False
    assert [d.state for d in await desk.deliveries(alert_id)] == [State.QUEUED]


async def test_without_acknowledgement_it_expires_and_a_late_human_still_counts(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, rule=Rule.ANY)
    (one,) = await desk.deliveries(alert_id)
    await desk.sent(one.id, "id-1")
    await desk.report(delivered("id-1"))
    assert (await desk.alert_row(alert_id)).status is Status.ACTIVE
    desk.clock.move(EXPIRES_S)
    await desk.tick()
    assert (await desk.alert_row(alert_id)).status is Status.EXPIRED
    late = await desk.acknowledge(alert_id)
    assert (late.status, late.ended_at) == (Status.ACKNOWLEDGED, desk.clock.now())


async def test_what_is_over_is_over(desk: Desk) -> None:
    alert_id = await desk.accept(ONE)
    await desk.change(alert_id, resolve)
    for verb in (cancel, resolve, release):
        with pytest.raises(AlreadyEnded):
            await desk.change(alert_id, verb)
    with pytest.raises(AlreadyEnded):
        await desk.acknowledge(alert_id)


async def test_what_was_taken_goes_on_to_its_receipt_after_the_end(desk: Desk) -> None:
    alert_id = await desk.accept(ONE, TWO, rule=Rule.ANY)
    one, two = await desk.deliveries(alert_id)
    await desk.sent(one.id, "id-1")
    await desk.acknowledge(alert_id)
    assert [await desk.state(one.id), await desk.state(two.id)] == [State.ACCEPTED, State.CANCELLED]
    await desk.report(delivered("id-1"))
    assert await desk.state(one.id) == State.DELIVERED
    assert await desk.spent() == (0, 1)
