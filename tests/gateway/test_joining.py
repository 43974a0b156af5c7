"""What becomes of a request whose trouble has an open alert: over pairs of requests and states of the alert, and field by field."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.ledger import InsufficientCredit
from gateway.alert import Alert, Priority, Rule, Status
from gateway.alert_request import AlertRequest
from gateway.cli.send import _told as send_told
from gateway.escalation import Occurrence, Recipient, deciding, plan_to_json, recipients_to_json
from gateway.frozen import replace
from gateway.intake import Shortfall, Taken
from gateway.joining import TABLE, TRIED_AGAIN, Fate, How, Join, Request, Tried, best, escalation_of, join
from gateway.joining_aside import WorkedOut
from gateway.merging import asked_first, planned_first
from tests.gateway import desk as desks
from tests.gateway.desk import PRICE_MICROS, Desk

desk = desks.desk
store_url = desks.store_url
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "joining.md"
ADDRESSES = tuple(f"sms:+3360000000{n}" for n in range(6))
NOT_FIELDS = {"dry_run"}
"""A dry run joins nothing."""

recipients = st.lists(
    st.builds(
        lambda name, addresses: Recipient(person=name or addresses[0], addresses=tuple(addresses)),
        st.sampled_from(["", "ann", "bob"]),
        st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=2, unique=True),
    ),
    min_size=1,
    max_size=3,
).map(tuple)
plans = st.lists(
    st.builds(
        lambda after, own: Occurrence(after_s=after, recipients=own),
        st.sampled_from([0, 60, 300, 3_600]),
        st.one_of(st.none(), recipients),
    ),
    min_size=1,
    max_size=3,
).map(lambda plan: tuple(sorted(plan, key=lambda each: each.after_s)))


@st.composite
def alerts(draw: st.DrawFn, text: str) -> Alert:
    """An alert as it is accepted at NOW."""
    rule = draw(st.sampled_from(Rule))
    own, plan = draw(recipients), draw(plans)
    people = len(deciding(plan, own, {}))
    return Alert(
        id="alt_" + text,
        account_id="acme",
        key_id="key_1",
        text=text,
        subject=draw(st.sampled_from(["", "s1", "s2"])),
        language=draw(st.sampled_from(["", "fr"])),
        priority=draw(st.sampled_from(Priority)),
        rule=rule,
        quorum=min(2, people) if rule is Rule.QUORUM else 0,
        confirm_within_s=draw(st.sampled_from([None, 60])),
        resend=draw(st.booleans()),
        sensitive=draw(st.booleans()),
        callback_url=draw(st.sampled_from([None, "https://a.example/", "https://b.example/"])),
        files=draw(st.integers(0, 2)),
        people=people,
        recipients=recipients_to_json(own),
        steps=plan_to_json(plan),
        created_at=NOW,
        start_at=NOW + timedelta(seconds=draw(st.sampled_from([0, 0, 0, 86_400]))),
        expires_at=NOW + timedelta(seconds=draw(st.sampled_from([7_200, 90_000]))),
        look_at=NOW,
    )


@st.composite
def opened(draw: st.DrawFn) -> tuple[Alert, dict[str, Tried]]:
    """An alert that was accepted some time ago, in any state, and what became of its addresses."""
    alert = draw(alerts("old"))
    since = timedelta(seconds=draw(st.sampled_from([0, 1, 120, 1_000, 10_000])))
    alert = replace(alert, created_at=NOW - since, start_at=alert.start_at - since, expires_at=alert.expires_at - since)
    escalation = escalation_of(alert)
    begun = sum(escalation.at(n) <= NOW for n in range(len(escalation.plan)))
    step = draw(st.integers(0, begun))
    alert = replace(alert, step=step, step_at=escalation.at(step) if step < len(escalation.plan) else None)
    tried: dict[str, Tried] = {}
    for n in range(step):
        for address in escalation.addresses(n):
            failed_at = NOW - timedelta(seconds=draw(st.sampled_from([1, 301])))
            tried[address] = draw(st.sampled_from([Tried(reached=True), Tried(reached=False, at=failed_at)]))
    if step and alert.status is Status.ACTIVE:  # of a broadcast some may not be written yet
        written = draw(st.integers(0, len(escalation.addresses(step - 1))))
        alert = replace(alert, expanded=written, expanding=len(escalation.addresses(step - 1)))
        for address in replace(escalation, step=step, expanded=written, expanding=alert.expanding).unwritten():
            tried.pop(address, None)
    match draw(st.sampled_from(["active", "received", "acknowledged", "completed", "resolved", "expired"])):
        case "received":
            by = NOW + timedelta(seconds=60)
            alert = replace(alert, status=Status.ACKNOWLEDGED, confirm_by_at=by, confirm_within_s=60)
        case "active":
            pass
        case status:
            alert = replace(alert, status=Status(status), ended_at=NOW)
    return alert, tried


GIVEN = st.sets(st.sampled_from(sorted(set(AlertRequest.model_fields) - NOT_FIELDS))).map(
    lambda more: frozenset({"recipients", "text", *more})
)


@settings(max_examples=600, deadline=None)
@given(opened(), alerts("new"), GIVEN)
def test_nobody_is_passed_over_in_silence(
    state: tuple[Alert, dict[str, Tried]], asked: Alert, fields: frozenset[str]
) -> None:
    before, tried = state
    request = Request(alert=asked, given=fields, names={})
    joined = join(before, request, tried, NOW)
    check_worked_out(before, request, tried, joined)
    if joined is None:
        return  # an alert of its own, which tells everybody
    assert asked.start_at <= NOW
    assert before.start_at <= NOW, "what has not begun is not joined"
    assert before.status in (Status.ACTIVE, Status.ACKNOWLEDGED)
    check_reached(before, asked, tried, joined)
    check_kept(before, asked, joined)
    check_fields(before, asked, fields, joined)


def check_worked_out(before: Alert, request: Request, tried: dict[str, Tried], joined: Join | None) -> None:
    """What was worked out before is what is worked out now, though the alert's broadcast is written meanwhile."""
    worked = WorkedOut(opened=before, join=joined)
    later = NOW + timedelta(milliseconds=1)
    assert not worked.fits(replace(before, text="another"), later)
    assert not worked.fits(replace(before, step=before.step + 1), later)
    moved = replace(before, look_at=later, callback_n=before.callback_n + 1, hold_left_micros=5)
    if joined is None or joined.how is not How.RAISED:
        moved = replace(moved, expanded=before.expanded + 1)
    assert worked.fits(moved, later) is (before.expires_at > later)
    assert worked.on(moved, NOW) == join(moved, request, tried, NOW)


def check_reached(before: Alert, asked: Alert, tried: dict[str, Tried], joined: Join) -> None:
    """Every address of the request: reached, or tried in time."""
    after = escalation_of(joined.alert)
    coming = planned_first(after)
    for address, at in asked_first(escalation_of(asked)).items():
        if joined.how is How.RAISED:
            pending = [after.at(n) for n in range(after.step, len(after.plan)) if address in after.addresses(n)]
            assert joined.alert.status is Status.ACTIVE
            assert min(pending) <= at, "the people of the raised alert are told anew"
            continue
        known = tried.get(address)
        assert (known is not None and known.reached) or coming[address] <= at, f"{address} is told by nobody"
        if known is not None and not known.reached and before.status is Status.ACTIVE:
            recent = known.at is not None and known.at + TRIED_AGAIN > NOW
            assert recent or address in joined.told


def check_kept(before: Alert, asked: Alert, joined: Join) -> None:
    """Whoever the request does not name keeps what was still to come."""
    old, new = escalation_of(before), escalation_of(joined.alert)
    named = asked_first(escalation_of(asked)) if joined.how is How.RAISED else {}
    for n in range(old.step, len(old.plan)):
        for address in set(old.addresses(n)) - set(named):
            due = max(old.at(n), NOW) if joined.how is How.RAISED else old.at(n)
            assert any(address in new.addresses(m) and new.at(m) == due for m in range(new.step, len(new.plan))), (
                f"{address} lost a step"
            )
    if joined.how is How.RAISED:
        for address in old.unwritten() - set(named):
            assert any(address in new.addresses(m) and new.at(m) == NOW for m in range(new.step, len(new.plan)))
    else:
        assert (joined.alert.expanded, joined.alert.expanding) == (before.expanded, before.expanding)
        assert [old.addresses(n) for n in range(old.step)] == [new.addresses(n) for n in range(old.step)]


def check_fields(before: Alert, asked: Alert, fields: frozenset[str], joined: Join) -> None:
    after = joined.alert
    assert set(joined.fields) == fields | {"priority"}
    assert joined.fields["text"] is not Fate.KEPT
    told = joined.fields["text"] is Fate.TOLD
    assert (after.text == asked.text) == (told or asked.text == before.text)
    assert told == (after.retold_at == NOW)
    assert after.priority == min(before.priority, asked.priority)
    assert after.sensitive or not before.sensitive
    assert after.expires_at >= before.expires_at
    if joined.how is How.RAISED:
        assert joined.fields["recipients"] is Fate.TOLD
        assert (after.status, after.ended_at, after.confirm_by_at) == (Status.ACTIVE, None, None)
    if joined.how is How.REPEATED:
        assert joined.told == ()
        assert after == replace(before, callback_url=after.callback_url)
    for name, held in (("callback_url", "callback_url"), ("sensitive", "sensitive"), ("on_unknown", "resend")):
        fate = joined.fields.get(name)
        if fate in (Fate.TAKEN, Fate.SAME):
            assert getattr(after, held) == getattr(asked, held)
        elif fate is Fate.KEPT:
            assert getattr(after, held) != getattr(asked, held)


def test_every_field_of_a_request_is_in_the_table() -> None:
    assert set(TABLE) == set(AlertRequest.model_fields) - NOT_FIELDS


def test_the_page_shows_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$", PAGE.read_text(), re.M)
    assert {name: tuple(Fate(fate) for fate in fates) for name, *fates in rows} == dict(TABLE)
    assert all(f"| *{fate}* |" in PAGE.read_text() for fate in Fate)


def test_the_api_knows_every_fate_and_way() -> None:
    from gateway.api.views import JoinView

    assert set(get_args(JoinView.model_fields["how"].annotation)) == set(How)
    assert set(get_args(get_args(JoinView.model_fields["fields"].annotation)[1])) == set(Fate)


# --- by example ------------------------------------------------------------------------------------------------------


def an_alert(*addresses: str, **changes: Any) -> Alert:
    own = tuple(Recipient(person=address, addresses=(address,)) for address in addresses)
    fields: dict[str, Any] = {
        "text": "old",
        "priority": Priority.NORMAL,
        "steps": plan_to_json((Occurrence(after_s=0),)),
        "start_at": NOW,
    }
    return Alert(
        id="alt_1", account_id="acme", key_id="key_1", people=len(own), recipients=recipients_to_json(own), created_at=NOW,
        expires_at=NOW + timedelta(hours=1), look_at=NOW, **{**fields, **changes},
    )  # fmt: skip


def joining(before: Alert, asked: Alert, *fields: str) -> Join | None:
    return join(before, Request(alert=asked, given={"text", "recipients", *fields}, names={}), {}, NOW)


ONE, TWO, THREE = ADDRESSES[:3]


def test_of_several_open_alerts_that_is_joined_which_tells_nobody_twice() -> None:
    asked = an_alert(ONE, text="new")
    mild = joining(an_alert(ONE, priority=Priority.BULK), asked)
    wide = joining(an_alert(TWO), asked)
    same = joining(an_alert(ONE, priority=Priority.HIGH), asked)
    joins = [one for one in (mild, wide, same) if one is not None]
    assert [one.how for one in joins] == [How.RAISED, How.WIDENED, How.REPEATED]
    assert best(joins) is same
    assert best(joins[:2]) is wide
    assert best([]) is None


@pytest.mark.parametrize("asks", [True, False])
def test_an_acknowledgement_that_is_not_asked_for_takes_none_away(asks: bool) -> None:
    before = an_alert(ONE, TWO, rule=Rule.QUORUM, quorum=2)
    asked = an_alert(ONE, TWO, rule=Rule.ANY, priority=Priority.EMERGENCY)
    raised = joining(before, asked, *(["acknowledgement"] if asks else []))
    assert raised is not None
    assert (raised.alert.rule, raised.alert.quorum) == ((Rule.ANY, 0) if asks else (Rule.QUORUM, 2))
    assert raised.fields.get("acknowledgement") is (Fate.TAKEN if asks else None)


def test_people_who_are_added_are_told_by_the_steps_that_are_asked_for() -> None:
    steps = plan_to_json((Occurrence(after_s=0), Occurrence(after_s=300)))
    before = replace(an_alert(ONE, steps=steps, start_at=NOW - timedelta(seconds=100)), step=1)
    wide = joining(before, an_alert(ONE, TWO, text="new", steps=steps))
    assert wide is not None
    assert (wide.how, wide.told, wide.alert.text) == (How.WIDENED, (TWO,), "new")
    after = escalation_of(wide.alert)
    coming = [(after.at(n) - NOW, after.addresses(n)) for n in range(after.step, len(after.plan))]
    assert coming == [
        (timedelta(0), [TWO]),
        (timedelta(seconds=200), [ONE]),
        (timedelta(seconds=300), [TWO]),
    ]
    assert wide.alert.step_at == NOW


def test_a_milder_request_adds_its_people_and_they_hear_the_graver_text() -> None:
    before = replace(an_alert(ONE, priority=Priority.EMERGENCY), step=1)
    wide = joining(before, an_alert(TWO, text="mild"))
    assert wide is not None
    assert (wide.how, wide.alert.text, wide.alert.priority) == (How.WIDENED, "old", Priority.EMERGENCY)
    assert (wide.fields["text"], wide.fields["priority"]) == (Fate.NOTED, Fate.KEPT)


def test_who_is_not_reached_by_what_somebody_has_is_told_by_an_alert_of_their_own() -> None:
    for changes in ({"ended_at": NOW}, {"confirm_by_at": NOW, "confirm_within_s": 60}):
        before = replace(an_alert(ONE), step=1, status=Status.ACKNOWLEDGED, **changes)
        assert joining(before, an_alert(ONE, TWO)) is None
        repeated = joining(before, an_alert(ONE))
        assert repeated is not None
        assert repeated.how is How.REPEATED


def test_too_much_for_one_alert_is_another_one() -> None:
    before = an_alert(ONE, files=15)
    assert joining(before, an_alert(TWO, files=6)) is None
    many = tuple(Occurrence(after_s=n) for n in range(300))
    assert joining(an_alert(ONE, steps=plan_to_json(many)), an_alert(TWO, steps=plan_to_json(many))) is None


def test_a_broadcast_that_is_joined_names_its_people_once() -> None:
    many = [f"sms:+336{n:08}" for n in range(2_000)]
    before = replace(an_alert(*many), step=1, expanded=500, expanding=2_000)
    steps = plan_to_json(tuple(Occurrence(after_s=60 * n) for n in range(100)))
    raised = joining(before, an_alert(*many[:1_000], priority=Priority.HIGH, steps=steps))
    assert raised is not None
    after = escalation_of(raised.alert)
    assert sorted(after.addresses(0) + after.addresses(1)) == sorted(
        many
    )  # those that had not been written are told now
    assert len(raised.alert.steps) < 20_000


def test_the_command_line_says_what_became_of_it() -> None:
    join = {
        "how": "raised",
        "fields": {"text": "told", "subject": "told", "priority": "taken"},
        "told": [ONE],
        "told_total": 2,
    }
    told = send_told({"id": "alt_1", "status": "active", "deliveries": [], "join": join})
    assert told == [
        "alt_1  active",
        "joined this open alert: raised",
        f"is told: {ONE}",
        "and 1 more",
        "told: text, subject",
        "taken: priority",
    ]


# --- and is paid -----------------------------------------------------------------------------------------------------

FREE = "sms:+4915112345678"


@pytest.mark.parametrize("priority", [Priority.NORMAL, Priority.HIGH], ids=["widened", "raised"])
@pytest.mark.parametrize(
    ("shortfall", "asked", "refused"),
    [
        (Shortfall.REFUSE, [ONE, TWO], True),
        (Shortfall.REFUSE, [ONE], False),
        (Shortfall.REFUSE, [FREE], False),
        (Shortfall.REFUSE_IF_NOTHING_GOES, [ONE, TWO], False),
        (Shortfall.TAKE, [ONE, TWO], False),
    ],
)
async def test_people_who_cannot_be_paid_are_refused_and_not_passed_over(
    priority: Priority, shortfall: Shortfall, asked: list[str], refused: bool, desk: Desk
) -> None:
    await desk.open_account("poor", PRICE_MICROS)
    opened = await desk.accept("sms:+4915112345679", account_id="poor", reference="PUMP-3", rule=Rule.ANY)
    request = desk.alert(*asked, account_id="poor", reference="PUMP-3", rule=Rule.ANY, priority=priority)
    before = await desk.alert_row(opened)
    if refused:
        with pytest.raises(InsufficientCredit):
            await desk.do(desk.accepting(request, shortfall=shortfall))
        assert await desk.alert_row(opened) == before
        return
    taken = await desk.do(desk.accepting(request, shortfall=shortfall))
    assert isinstance(taken, Taken)
    assert (taken.alert_id, taken.joined) == (opened, True)
    await desk.tick()
    went = [delivery.address for delivery in await desk.deliveries(opened) if delivery.code != "insufficient_credit"]
    assert went[1:] == asked[:1]
