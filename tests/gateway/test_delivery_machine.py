"""Any sequence of events on one delivery: what holds in every state it can come to, whoever told the events and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway import delivery as machine
from gateway.backoff import BackoffPolicy
from gateway.delivery import ENDED, Delivery, Event, Fenced, Ignored, Settle, State, advance
from gateway.patience import COSTS, Trouble
from gateway.policy import RetryPolicy
from gateway.routing import Route, Routes

START = datetime(2026, 1, 1, tzinfo=UTC)
ATTEMPTS_MAX = 3
PROVIDERS = ("a", "b", "c")


@dataclass
class Weather:
    """Which providers are up."""

    down: frozenset[str] = frozenset()

    def up(self, provider: str) -> bool:
        return provider not in self.down


class DeliveryMachine(RuleBasedStateMachine):
    """The real machine and the real policy; what the test keeps of its own is the history."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.weather = Weather()
        self.policy = RetryPolicy(
            routes=Routes([Route(channel="sms", prefix="", providers=PROVIDERS)], {}),
            providers=frozenset(PROVIDERS),
            backoff=BackoffPolicy(attempts_max=ATTEMPTS_MAX, first_s=1.0, max_s=8.0),
            lease_s=30.0,
            unsure_s=60.0,
            available=self.weather.up,
            jitter=lambda: 0.5,
        )
        self.settlements = 0
        self.counted = dict.fromkeys(PROVIDERS, 0)
        self.delivery: Delivery
        self.before: Delivery

    @initialize(resend=st.booleans(), lasts_s=st.integers(10, 600), urgency=st.integers(0, 3))
    def begin(self, resend: bool, lasts_s: int, urgency: int) -> None:
        self.delivery = self.before = Delivery(
            id="dlv_1",
            alert_id="alt_1",
            account_id="acme",
            step=0,
            recipient=0,
            person="p",
            address="sms:+1",
            urgency=urgency,
            provider="a",
            resend=resend,
            created_at=START,
            due_at=START,
            look_at=START,
            deadline_at=START + timedelta(seconds=lasts_s),
        )

    def tell(self, event: Event) -> None:
        self.before = self.delivery
        try:
            self.delivery, effects = advance(self.delivery, event, self.now)
        except (Ignored, Fenced):
            return
        self.settlements += effects.count(Settle())

    # --- what happens ------------------------------------------------------------------------------------------------

    @rule(seconds=st.integers(1, 120))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(down=st.frozensets(st.sampled_from(PROVIDERS)))
    def weather_changes(self, down: frozenset[str]) -> None:
        self.weather.down = down

    @rule(provider=st.sampled_from(PROVIDERS), continues=st.booleans())
    def claimed(self, provider: str, continues: bool) -> None:
        lease_until = self.policy.lease_until(self.now)
        self.tell(machine.Claimed(provider=provider, lease_until=lease_until, continues=continues))

    @precondition(lambda self: self.delivery.state is State.QUEUED)
    @rule()
    def claimed_by_its_own(self) -> None:
        self.now = max(self.now, self.delivery.due_at)
        self.claimed(self.delivery.provider, False)

    @rule(late=st.integers(0, 2), receipt=st.booleans())
    def attempt_accepted(self, late: int, receipt: bool) -> None:
        self.tell(machine.AttemptAccepted(epoch=self.delivery.epoch - late, code="ok", receipt=receipt))

    @rule(late=st.integers(0, 2))
    def attempt_delivered(self, late: int) -> None:
        self.tell(machine.AttemptDelivered(epoch=self.delivery.epoch - late, code="ok"))

    @rule(late=st.integers(0, 2), trouble=st.sampled_from(Trouble))
    def attempt_postponed(self, late: int, trouble: Trouble) -> None:
        decision = self.policy.after(self.delivery, trouble, self.now)
        epoch = self.delivery.epoch - late
        counts = COSTS[trouble].counts
        self.tell(machine.AttemptPostponed(epoch=epoch, code=trouble, decision=decision, counts=counts))

    @rule(late=st.integers(0, 2))
    def attempt_refused(self, late: int) -> None:
        decision = self.policy.refused(self.delivery, self.now)
        self.tell(machine.AttemptRefused(epoch=self.delivery.epoch - late, code="no", decision=decision))

    @rule(late=st.integers(0, 2))
    def attempt_unknown(self, late: int) -> None:
        until = self.policy.doubt_until(self.delivery, self.now)
        self.tell(machine.AttemptUnknown(epoch=self.delivery.epoch - late, code="no_answer", until=until))

    @rule(late=st.integers(0, 2))
    def lease_renewed(self, late: int) -> None:
        until = self.policy.lease_until(self.now)
        self.tell(machine.LeaseRenewed(epoch=self.delivery.epoch - late, until=until))

    @rule()
    def looked_after(self) -> None:
        """What the rescuer does with it."""
        delivery, now = self.delivery, self.now
        if delivery.settled_at is not None or delivery.look_at > now:
            return
        if now >= delivery.deadline_at:
            self.tell(machine.Lapsed())
        elif delivery.state is State.QUEUED:
            self.tell(machine.LookedAfter(look_at=now + machine.ANNOUNCED_AGAIN))
        elif delivery.state is State.SENDING:
            self.tell(machine.LeaseLost(until=self.policy.doubt_until(delivery, now)))
        if self.delivery.state is State.UNSURE and self.delivery.look_at <= now < delivery.deadline_at:
            self.tell(machine.DoubtLapsed(decision=self.policy.doubtful(self.delivery, now)))
        after = self.delivery
        assert after.settled_at is not None or after.look_at > now, "the rescuer would find it again at once"

    @rule()
    def proved(self) -> None:
        self.tell(machine.Proved(code="delivered"))

    @rule()
    def disproved(self) -> None:
        decision = self.policy.refused(self.delivery, self.now)
        self.tell(machine.Disproved(epoch=self.delivery.epoch, code="undeliverable", decision=decision))

    @rule(last=st.booleans())
    def noted(self, last: bool) -> None:
        self.tell(machine.LastWordGiven(code="relayed") if last else machine.ReceiptNoted(code="enroute"))

    @rule()
    def cancel_requested(self) -> None:
        self.tell(machine.CancelRequested())

    @rule()
    def refused_before_sending(self) -> None:
        self.tell(machine.RefusedBeforeSending(code="insufficient_credit"))

    @rule(provider=st.sampled_from(PROVIDERS))
    def rerouted(self, provider: str) -> None:
        if provider not in self.delivery.exhausted:
            self.tell(machine.Rerouted(provider=provider))

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def an_end_is_settled_and_only_an_end_or_an_acceptance_is(self) -> None:
        delivery: Any = getattr(self, "delivery", None)
        if delivery is None:
            return
        if delivery.state in ENDED:
            assert delivery.settled_at is not None
        if delivery.settled_at is not None:
            assert delivery.state in ENDED or delivery.state is State.ACCEPTED

    @invariant()
    def money_is_settled_once_and_the_time_of_it_stands(self) -> None:
        delivery: Any = getattr(self, "delivery", None)
        if delivery is None:
            return
        assert self.settlements == (delivery.settled_at is not None)
        if self.before.settled_at is not None:
            assert delivery.settled_at == self.before.settled_at

    @invariant()
    def nothing_runs_backwards(self) -> None:
        delivery: Any = getattr(self, "delivery", None)
        if delivery is None:
            return
        before = self.before
        assert before.epoch <= delivery.epoch <= before.epoch + 1
        assert before.chain <= delivery.chain <= delivery.epoch
        assert delivery.exhausted[: len(before.exhausted)] == before.exhausted
        assert len(set(delivery.exhausted)) == len(delivery.exhausted)
        assert delivery.cancel_requested >= before.cancel_requested
        if before.state is State.DELIVERED:
            assert delivery.state is State.DELIVERED

    @invariant()
    def none_goes_to_a_provider_that_refused_it_for_good(self) -> None:
        delivery: Any = getattr(self, "delivery", None)
        if delivery is None:
            return
        assert 0 <= delivery.tries <= delivery.epoch
        if delivery.state is State.QUEUED:
            assert delivery.provider not in delivery.exhausted

    @invariant()
    def the_rescuer_looks_before_the_deadline_or_when_the_lease_is_lost(self) -> None:
        delivery: Any = getattr(self, "delivery", None)
        if delivery is None or delivery.settled_at is not None:
            return
        if delivery.state is State.SENDING:
            assert delivery.look_at <= self.policy.lease_until(self.now)
        else:
            assert delivery.look_at <= delivery.deadline_at


TestDeliveryMachine = DeliveryMachine.TestCase
TestDeliveryMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
