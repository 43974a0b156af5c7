"""When something is tried again. Pure: the clock and the jitter are arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

NOT_BEFORE_S_MAX = 3_600.0
"""A provider that asks for a longer pause is asked again after an hour: an alarm does not wait on a typing error."""

_DOUBLINGS_MAX = 40
"""2^40 seconds are 35,000 years; further doublings would only overflow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackoffPolicy:
    """How often, and how far apart: the wait doubles from `first_s` up to `max_s`."""

    attempts_max: int
    first_s: float
    max_s: float


def next_due(
    now: datetime, attempt_n: int, policy: BackoffPolicy, jitter: float, not_before_s: float | None = None
) -> datetime:
    """When the attempt after number `attempt_n` (from 1) is due.

    The wait is between half of and the whole exponential step ("equal jitter": never at once, never all together).
    `jitter` is a random number in [0, 1). `not_before_s` are the seconds a provider asked for; they are honoured up to
    NOT_BEFORE_S_MAX, and those who were told the same are spread over `first_s` more. Nonsense in it is ignored.
    """
    step_s = min(policy.max_s, policy.first_s * 2.0 ** min(max(attempt_n - 1, 0), _DOUBLINGS_MAX))
    wait_s = step_s / 2 + jitter * step_s / 2
    if not_before_s is not None and math.isfinite(not_before_s) and not_before_s > wait_s:
        wait_s = min(not_before_s, NOT_BEFORE_S_MAX) + jitter * policy.first_s
    return now + timedelta(seconds=wait_s)
