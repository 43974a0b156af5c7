"""The alert machine, pure: rules of acknowledgement, what ends an alert and what cannot, when it is looked at next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway import alert as machine
from gateway.alert import ENDED, Alert, AlreadyEnded, Priority, Rule, Standing, Status, Words

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ALERT = Alert(
    id="alt_1",
    account_id="acme",
    key_id="key_1",
    text="Fire",
    created_at=NOW,
    start_at=NOW,
    expires_at=LATER,
    look_at=NOW,
)
OPEN, REACHED, NOBODY = (
    Standing(open=True, reached=True),
    Standing(open=False, reached=True),
    Standing(open=False, reached=False),
)


NO_WORDS, ONE_WORD = Words(), Words(people=1)


def an_alert(status: Status = Status.ACTIVE, **changes: object) -> Alert:
    ended_at = NOW if status in ENDED else None
    return replace(ALERT, status=status, ended_at=ended_at, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("priority", Priority)
def test_emergency_and_high_ask_for_anybody(priority: Priority) -> None:
    assert machine.default_rule(priority) is (Rule.ANY if priority <= Priority.HIGH else Rule.NONE)


@pytest.mark.parametrize(
    ("rule", "quorum", "people", "needed"),
    [
        (Rule.NONE, 0, 3, 1),
        (Rule.ANY, 0, 3, 1),
        (Rule.ALL, 0, 3, 3),
        (Rule.ALL, 0, 0, 1),
        (Rule.QUORUM, 2, 3, 2),
        (Rule.QUORUM, 0, 3, 1),
    ],
)
def test_how_many_people_a_rule_needs(rule: Rule, quorum: int, people: int, needed: int) -> None:
    alert = an_alert(rule=rule, quorum=quorum, people=people)
    assert machine.required(alert) == needed
    few = Words(people=needed - 1, taken=True)
    assert machine.acknowledged(alert, NO_WORDS, few, NOW) is alert
    met = machine.acknowledged(alert, few, Words(people=needed), NOW)
    assert (met.status, met.ended_at) == (Status.ACKNOWLEDGED, NOW)


def test_received_and_then_taken_in_charge() -> None:
    asked = an_alert(rule=Rule.ANY, confirm_within_s=60)
    received = machine.acknowledged(asked, NO_WORDS, ONE_WORD, NOW)
    assert (received.status, received.ended_at) == (Status.ACKNOWLEDGED, None)
    assert received.confirm_by_at == NOW + timedelta(seconds=60)
    assert machine.confirmation_lapsed(received, NOW + timedelta(seconds=59)) is received
    lapsed = machine.confirmation_lapsed(received, NOW + timedelta(seconds=60))
    assert (lapsed.status, lapsed.confirm_by_at) == (Status.ACTIVE, None)
    for alert in (received, lapsed):
        taken = machine.acknowledged(alert, ONE_WORD, replace(ONE_WORD, taken=True), NOW)
        assert (taken.status, taken.ended_at, taken.confirm_by_at) == (Status.ACKNOWLEDGED, NOW, None)


def test_received_suspends_once() -> None:
    received = machine.acknowledged(an_alert(rule=Rule.ANY, confirm_within_s=60), NO_WORDS, ONE_WORD, NOW)
    later = NOW + timedelta(seconds=59)
    for after in (ONE_WORD, Words(people=2)):  # the same person again, another one
        assert machine.acknowledged(received, ONE_WORD, after, later) is received
        lapsed = machine.confirmation_lapsed(received, NOW + timedelta(seconds=60))
        assert machine.acknowledged(lapsed, ONE_WORD, after, later) is lapsed


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("confirm_within_s", [None, 60])
@pytest.mark.parametrize("taken", [False, True])
def test_who_may_still_acknowledge(status: Status, confirm_within_s: int | None, taken: bool) -> None:
    alert = an_alert(status, rule=Rule.ANY, confirm_within_s=confirm_within_s)
    word = Words(people=1, taken=taken)
    if status in (Status.RESOLVED, Status.CANCELLED, Status.COMPLETED):
        with pytest.raises(AlreadyEnded):
            machine.acknowledged(alert, NO_WORDS, word, LATER)
        return
    after = machine.acknowledged(alert, NO_WORDS, word, LATER)
    if confirm_within_s is None or taken:
        assert (after.status, after.ended_at) == (Status.ACKNOWLEDGED, alert.ended_at or LATER)
    elif status is Status.ACTIVE:
        assert (after.status, after.ended_at) == (Status.ACKNOWLEDGED, None)
    else:
        assert after is alert  # a late word that takes nothing in charge


VERBS: dict[str, tuple[Callable[[Alert], Alert], Status, frozenset[Status]]] = {
    "cancel": (lambda a: machine.cancelled(a, NOW), Status.CANCELLED, frozenset({Status.ACTIVE})),
    "resolve": (
        lambda a: machine.resolved(a, NOW),
        Status.RESOLVED,
        frozenset({Status.ACTIVE, Status.ACKNOWLEDGED}),
    ),
    "release": (lambda a: machine.released(a, NOW), Status.ACTIVE, frozenset({Status.ACKNOWLEDGED})),
}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_in_every_status(verb: str, status: Status) -> None:
    apply, to, allowed = VERBS[verb]
    if status not in allowed:
        with pytest.raises(AlreadyEnded):
            apply(an_alert(status))
        return
    after = apply(an_alert(status, step_at=LATER, confirm_by_at=LATER))
    assert (after.status, after.confirm_by_at) == (to, None)
    assert (after.ended_at is not None) == (to in ENDED)


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize(
    ("standing", "step_at", "ended"),
    [(OPEN, None, False), (REACHED, LATER, False), (NOBODY, LATER, False), (REACHED, None, True), (NOBODY, None, True)],
)
def test_what_settled_deliveries_make_of_it(
    rule: Rule, standing: Standing, step_at: datetime | None, ended: bool
) -> None:
    alert = an_alert(rule=rule, step_at=step_at)
    after = machine.settled(alert, standing, NOW)
    if not ended or (standing.reached and rule is not Rule.NONE):
        assert after is alert
    else:
        assert after.status is (Status.COMPLETED if standing.reached else Status.FAILED)
        assert after.ended_at == NOW


def test_who_wants_somebody_to_take_it_is_not_content_with_being_delivered() -> None:
    alert = an_alert(rule=Rule.NONE, confirm_within_s=60)
    assert machine.settled(alert, REACHED, NOW) is alert
    assert machine.lapsed(alert, alert.expires_at).status is Status.EXPIRED
    stays = replace(alert, source="alertmanager", group_key="disk full")
    assert machine.lapsed(stays, stays.expires_at).status is Status.EXPIRED


def test_an_alert_of_an_intake_waits_for_the_end_of_its_trouble() -> None:
    alert = an_alert(rule=Rule.NONE, source="alertmanager", group_key="disk full")
    assert machine.settled(alert, REACHED, NOW) is alert
    assert machine.settled(alert, NOBODY, NOW).status is Status.FAILED
    assert machine.lapsed(alert, alert.expires_at).status is Status.COMPLETED


def test_nothing_is_handed_back_after_the_deadline() -> None:
    alert = an_alert(Status.ACKNOWLEDGED)
    with pytest.raises(AlreadyEnded):
        machine.released(alert, alert.expires_at)


def test_what_was_completed_and_reached_nobody_after_all_has_failed() -> None:
    completed = an_alert(Status.COMPLETED)
    assert machine.settled(completed, NOBODY, NOW).status is Status.FAILED
    assert machine.settled(completed, REACHED, NOW) is completed
    again = machine.reopened(completed)
    assert (again.status, again.ended_at) == (Status.ACTIVE, None)


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.ACTIVE, Status.COMPLETED)])
def test_only_an_active_alert_is_ended_by_its_deliveries(status: Status) -> None:
    alert = an_alert(status)
    assert machine.settled(alert, NOBODY, NOW) is alert


def test_the_deadline() -> None:
    assert machine.lapsed(an_alert(), NOW).status is Status.ACTIVE
    assert machine.lapsed(an_alert(), LATER).status is Status.EXPIRED
    received = an_alert(Status.ACKNOWLEDGED, confirm_by_at=LATER)
    over = machine.lapsed(received, LATER)
    assert (over.status, over.ended_at, over.confirm_by_at) == (Status.EXPIRED, LATER, None)
    taken = an_alert(Status.ACKNOWLEDGED, confirm_within_s=60)
    taken = replace(taken, ended_at=NOW)
    assert machine.lapsed(taken, LATER) is taken
    for status in ENDED:
        ended = an_alert(status)
        assert machine.lapsed(ended, LATER) is ended


def test_the_next_look_is_at_whatever_comes_first() -> None:
    soon, sooner = NOW + timedelta(minutes=2), NOW + timedelta(minutes=1)
    assert machine.next_look(an_alert()) == LATER
    assert machine.next_look(an_alert(step_at=soon)) == soon
    assert machine.next_look(an_alert(step_at=soon, confirm_by_at=sooner)) == sooner
    assert machine.next_look(an_alert(expanded=1, expanding=2, look_at=sooner, step_at=soon)) == sooner
    assert machine.next_look(an_alert(Status.ACKNOWLEDGED, step_at=sooner)) == LATER
