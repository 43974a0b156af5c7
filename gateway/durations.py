"""Whether the durations of one alert can all be kept: its steps and repeats, the time to take it in charge, its life. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Field = tuple[str | int, ...]
"""Where a duration stands in a request or a rule: ``("steps", 2, "after_s")``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """When a step begins, seconds after the alert, and how often it is repeated."""

    after_s: int = 0
    repeat: int = 0
    every_s: int = 60

    @property
    def last_s(self) -> int:
        """When its last repeat begins."""
        return self.after_s + self.repeat * self.every_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Contradiction:
    """What a request or a rule promises and cannot keep: the field, and what was expected. `code` is for programs."""

    field: Field
    detail: str
    code: str = "too_late"


def contradictions(
    turns: Sequence[Turn], *, lasts_s: int, confirm_within_s: int | None, life: str
) -> Iterator[Contradiction]:
    """What of an alert that lasts `lasts_s` would come after its end. `life` says where that number is from.

    Whatever is not named here begins before the end: a step, each of its repeats, and the whole time to take the alert in charge
    after somebody has received it at the first moment.
    """
    for n, turn in enumerate(turns):
        if turn.after_s >= lasts_s:
            detail = (
                f"expected less than {lasts_s}, the seconds that the alert lasts ({life}): this step would never begin"
            )
            yield Contradiction(field=("steps", n, "after_s"), detail=detail)
        elif turn.last_s >= lasts_s:
            most = (lasts_s - 1 - turn.after_s) // turn.every_s
            detail = (
                f"expected at most {most}: the last of the repeats, {turn.last_s} s after the alert, would come after its end;"
                f" it lasts {lasts_s} s ({life})"
            )
            yield Contradiction(field=("steps", n, "repeat"), detail=detail)
    first_s = min((turn.after_s for turn in turns), default=0)
    if confirm_within_s is not None and first_s < lasts_s <= first_s + confirm_within_s:
        detail = (
            f"expected less than {lasts_s - first_s}, the seconds from the first step to the end of the alert, which lasts {lasts_s} s"
            f" ({life}): nobody would have the whole time"
        )
        yield Contradiction(field=("acknowledgement", "confirm_within_s"), detail=detail)


def life_of(priority: str, expires_after_s: int | None) -> str:
    """Where the life of an alert is from, in words."""
    return "expires_after_s" if expires_after_s is not None else f"[delivery.expires_after_s] {priority}, the default"
