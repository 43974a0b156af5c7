"""Whose word ends an alarm: with `confirm_within_s` no path of events leads to a good end without an explicit *taken in charge*."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import alert as machine
from gateway.alert import Alert, AlreadyEnded, Rule, Standing, Status, Words

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
PEOPLE = ("anne", "bob", "cyd")
CONFIRM_S, LIVES_S = 60, 600


class Story:
    """One alert and all that happens to it, as the commands make of it."""

    def __init__(self, alert: Alert) -> None:
        self.alert = alert
        self.now = NOW
        self.said: dict[str, bool] = {}
        self.suspended = 0
        self.ends: list[Status] = []

    def word(self, person: str, *, taken: bool) -> None:
        after = self.said | {person: taken or self.said.get(person, False)}
        self._become(lambda alert: machine.acknowledged(alert, words(self.said), words(after), self.now))
        self.said = after

    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self._become(lambda alert: machine.lapsed(machine.confirmation_lapsed(alert, self.now), self.now))

    def settle(self, *, reached: bool, steps_left: bool) -> None:
        self.alert = replace(self.alert, step_at=self.now if steps_left else None)
        self._become(lambda alert: machine.settled(alert, Standing(open=False, reached=reached), self.now))

    def hand_back(self) -> None:
        if self._become(lambda alert: machine.released(alert, self.now)):
            self.said = {}
            self.suspended = 0

    def _become(self, change: Callable[[Alert], Alert]) -> bool:
        before = self.alert
        try:
            self.alert = change(before)
        except AlreadyEnded:
            return False
        suspended = self.alert.confirm_by_at is not None and before.confirm_by_at is None
        self.suspended += suspended
        if self.alert.ended_at is not None and before.ended_at is None:
            self.ends.append(self.alert.status)
        return True


def words(said: dict[str, bool]) -> Words:
    return Words(people=len(said), taken=any(said.values()))


UNTAKEN = st.one_of(
    st.tuples(st.just("word"), st.sampled_from(PEOPLE), st.just(False)),
    st.tuples(st.just("wait"), st.sampled_from([1, CONFIRM_S - 1, CONFIRM_S, LIVES_S])),
    st.tuples(st.just("settle"), st.booleans(), st.booleans()),
    st.tuples(st.just("hand_back")),
)
EVENTS = st.one_of(UNTAKEN, st.tuples(st.just("word"), st.sampled_from(PEOPLE), st.just(True)))
ASKED = st.builds(
    lambda rule, source, confirm: Alert(
        id="alt_1", account_id="acme", key_id="key_1", text="Fire", rule=rule, quorum=2, people=3, source=source,
        group_key=None if source == "api" else "g", confirm_within_s=confirm, created_at=NOW, start_at=NOW,
        expires_at=NOW + timedelta(seconds=LIVES_S), look_at=NOW,
    ),
    st.sampled_from(Rule), st.sampled_from(["api", "alertmanager"]), st.sampled_from([CONFIRM_S, LIVES_S, 2 * LIVES_S]),
)  # fmt: skip


def play(alert: Alert, events: list[tuple[object, ...]]) -> Story:
    story = Story(alert)
    for kind, *rest in events:
        match kind, rest:
            case "word", [str(person), bool(taken)]:
                story.word(person, taken=taken)
            case "wait", [int(seconds)]:
                story.wait(seconds)
            case "settle", [bool(reached), bool(steps_left)]:
                story.settle(reached=reached, steps_left=steps_left)
            case _:
                story.hand_back()
        check(story)
    return story


def check(story: Story) -> None:
    alert = story.alert
    well = alert.ended_at is not None and alert.status in (Status.ACKNOWLEDGED, Status.COMPLETED)
    taken = any(story.said.values()) and len(story.said) >= machine.required(alert)
    assert not well or taken, "a good end without the word"
    assert alert.status is not Status.COMPLETED
    assert story.suspended <= 1, "received suspends once until everybody is asked anew"
    assert alert.confirm_by_at is None or alert.ended_at is None
    assert (alert.confirm_by_at is not None) <= (alert.status is Status.ACKNOWLEDGED)


@settings(max_examples=400, deadline=None)
@given(ASKED, st.lists(EVENTS, max_size=12))
def test_no_path_of_events_ends_well_without_the_word(alert: Alert, events: list[tuple[object, ...]]) -> None:
    story = play(alert, events)
    story.wait(LIVES_S)  # in the end it is over, and where nobody took it in charge that is loud
    check(story)
    assert story.alert.ended_at is not None
    if story.alert.status is not Status.ACKNOWLEDGED:
        assert story.ends[0] in (Status.EXPIRED, Status.FAILED) or Status.ACKNOWLEDGED in story.ends


@settings(max_examples=200, deadline=None)
@given(ASKED, st.lists(UNTAKEN, max_size=12))
def test_whatever_is_received_the_end_is_loud(alert: Alert, events: list[tuple[object, ...]]) -> None:
    story = play(alert, events)
    story.wait(LIVES_S)
    assert story.alert.status in (Status.EXPIRED, Status.FAILED)
    assert len(story.ends) == 1
