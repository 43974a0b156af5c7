"""How fast a link may submit after its SMSC asked for a slower pace: a pure machine. It never stops a link for good."""

from __future__ import annotations

RATE_MIN_PER_S = 1.0
"""However often the SMSC throttles, one message a second is tried: somebody must find out when it recovers."""
HOLD_FIRST_S = 1.0
HOLD_MAX_S = 30.0
"""A throttled link holds all messages this long, doubled while nothing was taken since the last hold."""
STEP_MIN_PER_S = 5.0
"""Least that the rate grows each second without a throttle."""
STEP_SHARE = 20
"""Else it grows by this fraction of the best rate seen: half of it is regained in ten seconds."""
PROBE_S = 0.5
"""While messages are held, an urgent one may go this long after the last: it does not wait for what bulk has caused, and two a second
do not hurt a centre that is too busy."""
BURST_S = 0.05
"""What this much time would have allowed may be sent at once: timers are not exact, and late ones must not slow us."""
FREE_MIN_PER_S = 100.0
"""A rate that has grown to twice the best one seen, and at least to this, limits nothing: the limit is dropped."""


class Pace:
    """When the next message may be submitted. Halves on a throttle, then recovers additively.

    `rate_max_per_s` is the provider's own limit for this link, None for none. Times are monotonic seconds.
    """

    def __init__(self, rate_max_per_s: float | None = None) -> None:
        self._rate_max = rate_max_per_s
        self._rate: float | None = rate_max_per_s
        self._hold_until = float("-inf")
        self._hold_s = HOLD_FIRST_S
        self._next_at = float("-inf")
        self._probe_at = float("-inf")
        self._taken_since_hold = True
        self._recovered_at = float("-inf")
        self._best = 0.0
        self._second = float("-inf")
        self._taken_in_second = 0

    @property
    def rate_per_s(self) -> float | None:
        """Messages a second now, None where nothing limits them."""
        return self._rate

    def next_at(self, now: float, *, urgent: bool = False) -> float:
        """The earliest time for the next message; not after `now` means now. Urgent ones probe through a hold."""
        if now < self._hold_until:
            return min(self._hold_until, max(now, self._probe_at)) if urgent else self._hold_until
        if self._rate is None:
            return now
        self._recover(now)
        return self._next_at

    def sent(self, now: float) -> bool:
        """A message was submitted. True where it is a probe: messages are held now."""
        self._probe_at = now + PROBE_S
        if self._rate is not None:
            self._next_at = max(self._next_at, now - BURST_S) + 1 / self._rate
        return now < self._hold_until

    def taken(self, now: float, *, probe: bool = False) -> None:
        """The SMSC took a message. A `probe` was sent while messages were held: there is no reason to hold them any longer."""
        if probe and now < self._hold_until:
            self._hold_until = self._recovered_at = self._next_at = now
        if now >= self._hold_until:
            self._taken_since_hold = True
        if now - self._second >= 1:
            self._best = max(self._best, self._taken_in_second)
            self._second = now
            self._taken_in_second = 0
        self._taken_in_second += 1

    def throttled(self, now: float) -> None:
        """The SMSC refused a message as too fast. What was under way with it counts only once."""
        if now < self._hold_until:
            return
        self._hold_s = HOLD_FIRST_S if self._taken_since_hold else min(self._hold_s * 2, HOLD_MAX_S)
        self._taken_since_hold = False
        recent = float(self._taken_in_second) if now - self._second < 1 else 0.0
        self._best = max(self._best, recent)
        before = recent if self._rate is None else self._rate
        self._rate = max(before / 2, RATE_MIN_PER_S)
        self._hold_until = self._recovered_at = self._next_at = now + self._hold_s

    def _recover(self, now: float) -> None:
        """Grows the rate by the time that passed since it last grew, and drops it where it limits nothing any more."""
        assert self._rate is not None
        if now - self._recovered_at < 1:
            return
        grown = max(STEP_MIN_PER_S, self._best / STEP_SHARE)
        rate = self._rate + grown * min(now - self._recovered_at, FREE_MIN_PER_S)
        self._recovered_at = now
        if self._rate_max is not None:
            self._rate = min(rate, self._rate_max)
        elif rate >= max(2 * self._best, FREE_MIN_PER_S):
            self._rate = None
            self._next_at = now
        else:
            self._rate = rate
