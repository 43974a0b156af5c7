"""A circuit breaker for one provider: pure, time is an argument. What to do while it is open is the dispatcher's business."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from channels.outcome import Outcome, PermanentFailure, RetryLater
from gateway.patience import COSTS, THROTTLED_S, URGENT_TRIAL_S, Link, Trouble, trouble_of

FAILURES_TO_OPEN = 5  # in a row: a single slow answer must not turn traffic away
OPEN_S_FIRST = 5.0  # pause before one attempt tries the provider again
OPEN_S_MAX = 60.0  # and at most this: a provider that is back is used again within a minute
TRIAL_S = 5.0  # a call goes on for minutes; that a provider is gone shows sooner (`first_response_s` of a trunk is 4 s)
NOT_OPEN = "not_open"  # what a channel says whose own side is not open; with an alarm where it cannot be opened


class Circuit(StrEnum):
    """Where the breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What a provider has done for `for_s` seconds instead of its work."""

    trouble: Trouble
    for_s: float


class Breaker:
    """Opens after several attempts in a row that did not find the provider at its work: no link, no answer, refusals for now,
    throttles for seconds. Then lets one attempt through at a time, or, where they take long, one every `TRIAL_S`."""

    def __init__(self) -> None:
        self.circuit = Circuit.CLOSED
        self.failures = 0
        self.answered_at = float("-inf")
        """When an attempt last showed that the provider is at its work."""
        self._trouble: Trouble | None = None
        self._since = 0.0
        self._throttled_since: float | None = None
        self._open_s = OPEN_S_FIRST
        self._was_open = False
        self._opened_at = 0.0
        self._until = 0.0
        self._trial_at: float | None = None

    def available(self, now: float) -> bool:
        """Whether deliveries should be given to the provider; asking changes nothing."""
        if self.circuit is Circuit.HALF_OPEN:
            return not self._on_trial(now)
        return self.circuit is not Circuit.OPEN or now >= self._until

    def standing(self, now: float) -> Standing | None:
        """Since when the provider has been in trouble, and in which; None while it does its work, or is not known not to."""
        return None if self._trouble is None else Standing(trouble=self._trouble, for_s=max(0.0, now - self._since))

    def allows(self, now: float) -> bool:
        """Whether attempts may start now; the first time after the pause lets the next ones through as a trial."""
        if self.circuit is Circuit.OPEN and now >= self._until:
            self._half_open()
        if self.circuit is Circuit.HALF_OPEN:
            if self._on_trial(now):
                return False
            self._trial_at = now
            return True
        return self.circuit is Circuit.CLOSED

    def tried_by_urgent(self, now: float) -> bool:
        """As `available`, for an urgent delivery that has nowhere else to go: however long the pause has grown, it is a trial after
        the shortest one."""
        return self.available(now) or (self.circuit is Circuit.OPEN and now >= self._opened_at + URGENT_TRIAL_S)

    def allows_urgent(self, now: float) -> bool:
        """As `allows`, where `tried_by_urgent`."""
        if self.circuit is Circuit.OPEN and self.tried_by_urgent(now):
            self._half_open()
        return self.allows(now)

    def not_tried(self) -> None:
        """What `allows` let through was not needed after all: the next one may be the trial."""
        self._trial_at = None

    def alive(self) -> None:
        """The provider has answered an attempt that is still under way: others need not wait for its outcome. Until there is
        one, a single failure opens the circuit again."""
        if self.circuit is Circuit.HALF_OPEN:
            self.circuit = Circuit.CLOSED

    def saw(self, outcome: Outcome, now: float) -> bool:
        """Counts an attempt. An answer about this message or its recipient shows that the provider is at its work; True where it is
        so again, after its circuit had opened."""
        if isinstance(outcome, RetryLater) and outcome.joined:
            return False  # one call is one attempt, however many alerts waited for it
        self._trial_at = None
        if _is_opening(outcome):
            return False  # the provider has not been tried
        trouble = _held_against(outcome)
        if trouble is None:
            self.circuit = Circuit.CLOSED
            self.answered_at = now
            self.failures = 0
            self._trouble = self._throttled_since = None
            again, self._open_s, self._was_open = self._was_open, OPEN_S_FIRST, False
            return again
        self.failures += 1
        if trouble is not self._trouble:
            self._trouble, self._since = trouble, now
        if trouble is Trouble.THROTTLED and self._throttled_since is None:
            self._throttled_since = now
        if self.circuit is Circuit.OPEN or self.failures < FAILURES_TO_OPEN:
            return False
        if trouble is Trouble.THROTTLED and now - (self._throttled_since or now) < THROTTLED_S:
            return False  # it may still find its pace
        self._open(now)
        return False

    def stands_still(self, now: float) -> None:
        """All that may be under way at once has been without an outcome for too long: with few slots that need not be five."""
        if self.circuit is Circuit.CLOSED and self._trouble is not None:
            self._open(now)

    def _open(self, now: float) -> None:
        if self._was_open:  # and nothing has succeeded since
            self._open_s = min(OPEN_S_MAX, self._open_s * 2)
        self.circuit, self._was_open = Circuit.OPEN, True
        self._opened_at = now
        self._until = now + self._open_s

    def _half_open(self) -> None:
        self.circuit = Circuit.HALF_OPEN
        self._trial_at = None

    def _on_trial(self, now: float) -> bool:
        return self._trial_at is not None and now - self._trial_at < TRIAL_S


def _held_against(outcome: Outcome) -> Trouble | None:
    """What the outcome shows of the provider itself; None where it did its work, or refused but this one message."""
    if not isinstance(outcome, RetryLater | PermanentFailure):
        return None
    if isinstance(outcome, RetryLater) and outcome.unreachable:
        return Trouble.UNREACHABLE  # a trunk without a link may ask for another one at once, too
    trouble = trouble_of(outcome)
    match COSTS[trouble].link:
        case Link.NOTHING:
            return None
        case Link.WHERE_SETTINGS:
            return trouble if outcome.reason.alarm else None
        case Link.FIVE_IN_A_ROW | Link.FOR_SECONDS:
            return trouble


def _is_opening(outcome: Outcome) -> bool:
    """Whether the channel had only not opened its own side yet, as right after the start."""
    return isinstance(outcome, RetryLater) and outcome.reason.code == NOT_OPEN and not outcome.reason.alarm
