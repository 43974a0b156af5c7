"""How long to wait before a link connects again: a pure machine. Why it was lost is told to it, and chance too."""

from __future__ import annotations

from channels.sms.smpp.status import Action, classify

LOST_FIRST_S = 0.5
LOST_MAX_S = 30.0
"""After a lost or refused connection: doubled from the first to the longest while nothing works in between."""
HELD_FIRST_S = 5.0
"""Another session holds the bind (RALYBND): it must time out over there first."""
REFUSED_FIRST_S = 30.0
REFUSED_MAX_S = 300.0
"""Name, password or certificate refused: providers lock accounts that hammer, and only an operator can help."""
SETTLED_S = 10.0
"""A link that stayed bound this long, or took a message, works: the next wait begins at the shortest again."""
JITTER_SHARE = 0.2
"""A wait is lengthened by up to this share, so that many links do not come back in step."""


class Reconnect:
    """The waits between the connections of one link."""

    def __init__(self) -> None:
        self._wait_s = 0.0

    def worked(self) -> None:
        """The link was of use: whatever comes next is a new trouble."""
        self._wait_s = 0.0

    def after_loss(self, jitter: float) -> float:
        """Seconds to wait after a connection that failed or was lost; `jitter` is a random number of 0 to 1."""
        return self._grow(LOST_FIRST_S, LOST_MAX_S, jitter)

    def after_refusal(self, jitter: float) -> float:
        """Seconds to wait after a refusal that only a change of settings ends."""
        return self._grow(REFUSED_FIRST_S, REFUSED_MAX_S, jitter)

    def after_bind_status(self, status: int, jitter: float) -> float:
        """Seconds to wait after a bind was answered with this command_status."""
        match classify(status).action:
            case Action.BIND_REFUSED | Action.CONFIGURATION | Action.PERMANENT:
                return self.after_refusal(jitter)
            case Action.ALREADY_BOUND:
                return self._grow(HELD_FIRST_S, LOST_MAX_S, jitter)
            case _:
                return self.after_loss(jitter)

    def _grow(self, first_s: float, longest_s: float, jitter: float) -> float:
        self._wait_s = min(max(first_s, self._wait_s * 2), longest_s)
        return self._wait_s * (1 + JITTER_SHARE * jitter)


def is_alarm(status: int) -> bool:
    """Whether a bind answered with this status needs an operator, because trying again changes nothing."""
    return classify(status).action in (Action.BIND_REFUSED, Action.CONFIGURATION, Action.PERMANENT)
