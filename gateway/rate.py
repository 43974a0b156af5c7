"""A provider's rate of attempts as a bucket of tokens: pure, time is an argument."""

from __future__ import annotations


class Rate:
    """At most `per_s` attempts a second, a second's worth at once; None is unlimited."""

    def __init__(self, per_s: float | None, now: float) -> None:
        self._per_s = per_s
        self._tokens = per_s or 0.0
        self._at = now

    def take(self, n: int, now: float) -> float:
        """Takes `n` tokens, in advance if need be; returns the seconds to wait before they may be used."""
        if self._per_s is None:
            return 0.0
        self._tokens = min(max(self._per_s, 1.0), self._tokens + (now - self._at) * self._per_s)
        self._at = now
        self._tokens -= n
        return 0.0 if self._tokens >= 0 else -self._tokens / self._per_s
