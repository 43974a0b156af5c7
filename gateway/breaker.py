"""A circuit breaker for one provider: pure, time is an argument. What to do while it is open is the dispatcher's business."""

from __future__ import annotations

from enum import StrEnum

from channels.outcome import Outcome, RetryLater

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


class Breaker:
    """Opens after several attempts in a row that found no link or no answer; then lets one attempt through at a time, or, where
    they take long, one every `TRIAL_S`."""

    def __init__(self) -> None:
        self.circuit = Circuit.CLOSED
        self.failures = 0
        self._open_s = OPEN_S_FIRST
        self._until = 0.0
        self._trial_at: float | None = None

    def available(self, now: float) -> bool:
        """Whether deliveries should be given to the provider; asking changes nothing."""
        if self.circuit is Circuit.HALF_OPEN:
            return not self._on_trial(now)
        return self.circuit is not Circuit.OPEN or now >= self._until

    def allows(self, now: float) -> bool:
        """Whether attempts may start now; the first time after the pause lets the next ones through as a trial."""
        if self.circuit is Circuit.OPEN and now >= self._until:
            self.circuit = Circuit.HALF_OPEN
            self._trial_at = None
        if self.circuit is Circuit.HALF_OPEN:
            if self._on_trial(now):
                return False
            self._trial_at = now
            return True
        return self.circuit is Circuit.CLOSED

    def not_tried(self) -> None:
        """What `allows` let through was not needed after all: the next one may be the trial."""
        self._trial_at = None

    def alive(self) -> None:
        """The provider has answered an attempt that is still under way: others need not wait for its outcome. Until there is
        one, a single failure opens the circuit again."""
        if self.circuit is Circuit.HALF_OPEN:
            self.circuit = Circuit.CLOSED

    def saw(self, outcome: Outcome, now: float) -> None:
        """Counts an attempt. An answer of any kind, even a refusal or a throttle, shows that the provider is there."""
        if isinstance(outcome, RetryLater) and outcome.joined:
            return  # one call is one attempt, however many alerts waited for it
        self._trial_at = None
        if _is_opening(outcome):
            return  # the provider has not been tried
        dead = isinstance(outcome, RetryLater) and (outcome.unreachable or outcome.maybe_sent)
        if not dead:
            self.circuit = Circuit.CLOSED
            self.failures = 0
            self._open_s = OPEN_S_FIRST
            return
        self.failures += 1
        if self.circuit is Circuit.OPEN or self.failures < FAILURES_TO_OPEN:
            return
        if self.failures > FAILURES_TO_OPEN:  # it was open before, and nothing has succeeded since
            self._open_s = min(OPEN_S_MAX, self._open_s * 2)
        self.circuit = Circuit.OPEN
        self._until = now + self._open_s

    def _on_trial(self, now: float) -> bool:
        return self._trial_at is not None and now - self._trial_at < TRIAL_S


def _is_opening(outcome: Outcome) -> bool:
    """Whether the channel had only not opened its own side yet, as right after the start."""
    return isinstance(outcome, RetryLater) and outcome.reason.code == NOT_OPEN and not outcome.reason.alarm
