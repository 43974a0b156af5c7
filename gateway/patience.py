"""The one written policy of patience: what each outcome costs in tries, in time and for the link, and when the next provider is asked.

A table and its bounds, nothing else: `gateway.policy` decides by it, `gateway.breaker` holds it against providers, and
docs/explanation/patience.md repeats it (a test holds both together).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from channels.outcome import PermanentFailure, RetryLater

URGENT = 1
"""Emergency (0) and high (1): for these a duplicate, or a dearer provider, is better than a minute."""
ANSWER_S = 6.0
"""How long an attempt may be without an outcome before its provider is doubted: most answer within one second. An urgent delivery
then goes elsewhere, so that two mute providers in front of a healthy one still leave some of the 15 s."""
THROTTLED_S = 10.0
"""How long a provider may throttle, taking nothing, before its circuit opens: a link that is too fast has found its pace by then."""
FREE_WAIT_S = 1.0
"""First wait after what costs no try: a provider that is too busy, or that has no link."""
WAIT_S_MAX = MappingProxyType({0: 8.0, 1: 30.0, 2: 300.0, 3: 300.0})
"""Longest wait by urgency, where `delivery.backoff_max_s` is not shorter: a provider that is well again is used this soon. Twice an
emergency's leaves time for the attempts themselves."""
FREE_WAIT_S_MAX = 30.0
"""Longest wait after what costs no try."""
URGENT_TRIAL_S = 5.0
"""How long a circuit is open before an urgent delivery that has nowhere else to go tries the provider."""
ANEW_SHARE = 16
"""Where every provider of a route is in trouble and nobody answers, an urgent delivery is asked anew after this share of the time it
has waited: what is well again is found within 15 s in the first minute and a half, and copies become rarer as the trouble lasts."""
URGENT_DOUBT_S = 15.0
"""First time that a receipt or a late answer has to clear the doubt about an urgent delivery that has no other provider."""
DOUBT_S_MAX = MappingProxyType({0: 900.0, 1: 900.0, 2: 3_600.0, 3: 3_600.0})
"""Longest time by urgency. It doubles with each copy: who swallows all and says nothing gets some twenty of them in four hours."""


class Trouble(StrEnum):
    """What an attempt ran into."""

    THROTTLED = "throttled"
    UNREACHABLE = "unreachable"
    UNABLE = "unable"
    UNANSWERED = "unanswered"
    REFUSING = "refusing"
    DESTINATION = "destination refused"
    NOT_REACHED = "person not reached"
    REFUSED = "refused for good"
    UNDELIVERABLE = "undeliverable"


class Move(StrEnum):
    """When the next provider of the route is asked."""

    AT_ONCE = "at once"
    AVOIDED = "once its circuit is open"
    WORN = "after `attempts_max` tries, or once its circuit is open"
    NEVER = "never"


class Wait(StrEnum):
    """How long the next attempt waits where it goes to the same provider, or all of the route were asked."""

    SHORT = "1 s, doubled up to 30 s"
    GROWING = "`backoff_first_s`, doubled up to the longest wait"
    DOUBT = "for a receipt or a late answer, doubled; then as if it were refusing"
    NONE = "–"


class Link(StrEnum):
    """What is held against the provider."""

    NOTHING = "nothing"
    FIVE_IN_A_ROW = "five in a row open its circuit"
    FOR_SECONDS = "10 s of it, and nothing taken, open its circuit"
    WHERE_SETTINGS = "five in a row that blame our settings open its circuit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """One row. `counts`: it is one of `attempts_max`. `last`: what becomes of the delivery where no provider is left."""

    counts: bool
    urgent: Move
    others: Move
    wait: Wait
    gives_up: bool
    link: Link


COSTS: Mapping[Trouble, Cost] = MappingProxyType(
    {
        Trouble.THROTTLED: Cost(
            counts=False,
            urgent=Move.AT_ONCE,
            others=Move.AVOIDED,
            wait=Wait.SHORT,
            gives_up=False,
            link=Link.FOR_SECONDS,
        ),
        Trouble.UNREACHABLE: Cost(
            counts=False,
            urgent=Move.AT_ONCE,
            others=Move.AVOIDED,
            wait=Wait.SHORT,
            gives_up=False,
            link=Link.FIVE_IN_A_ROW,
        ),
        Trouble.UNABLE: Cost(
            counts=False,
            urgent=Move.AT_ONCE,
            others=Move.AT_ONCE,
            wait=Wait.SHORT,
            gives_up=False,
            link=Link.NOTHING,
        ),
        Trouble.UNANSWERED: Cost(
            counts=True,
            urgent=Move.AT_ONCE,
            others=Move.WORN,
            wait=Wait.DOUBT,
            gives_up=False,
            link=Link.FIVE_IN_A_ROW,
        ),
        Trouble.REFUSING: Cost(
            counts=True,
            urgent=Move.AT_ONCE,
            others=Move.WORN,
            wait=Wait.GROWING,
            gives_up=False,
            link=Link.FIVE_IN_A_ROW,
        ),
        Trouble.DESTINATION: Cost(
            counts=True,
            urgent=Move.AT_ONCE,
            others=Move.WORN,
            wait=Wait.GROWING,
            gives_up=False,
            link=Link.NOTHING,
        ),
        Trouble.NOT_REACHED: Cost(
            counts=True,
            urgent=Move.WORN,
            others=Move.WORN,
            wait=Wait.GROWING,
            gives_up=True,
            link=Link.NOTHING,
        ),
        Trouble.REFUSED: Cost(
            counts=True,
            urgent=Move.AT_ONCE,
            others=Move.AT_ONCE,
            wait=Wait.NONE,
            gives_up=True,
            link=Link.WHERE_SETTINGS,
        ),
        Trouble.UNDELIVERABLE: Cost(
            counts=True,
            urgent=Move.NEVER,
            others=Move.NEVER,
            wait=Wait.NONE,
            gives_up=True,
            link=Link.NOTHING,
        ),
    }
)

HELD_AGAINST = tuple(trouble for trouble, cost in COSTS.items() if cost.link is not Link.NOTHING)
"""What a provider can be in trouble with; health and metrics name it."""


def trouble_of(outcome: RetryLater | PermanentFailure) -> Trouble:
    """What the attempt ran into; of several marks on one outcome the one that costs most patience counts."""
    match outcome:
        case PermanentFailure(everywhere=True):
            return Trouble.UNDELIVERABLE
        case PermanentFailure():
            return Trouble.REFUSED
        case RetryLater(maybe_sent=True):
            return Trouble.UNANSWERED
        case RetryLater(throttled=True):
            return Trouble.THROTTLED
        case RetryLater(everywhere=True):
            return Trouble.NOT_REACHED
        case RetryLater(elsewhere=True):
            return Trouble.UNABLE
        case RetryLater(unreachable=True):
            return Trouble.UNREACHABLE
        case RetryLater(destination=True):
            return Trouble.DESTINATION
        case RetryLater():
            return Trouble.REFUSING
