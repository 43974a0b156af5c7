"""The four transaction machines (RFC 3261, 17; RFC 6026) as tables: which event leads where, and what is to be done. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from ivr.sip.hop import Hop
from ivr.sip.message import Request, Response


@dataclass(frozen=True, kw_only=True, slots=True)
class Timers:
    """The timers' base values in seconds (RFC 3261, table 4)."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    d: float = 32.0
    trying: float = 0.2
    """The 100 that a server transaction sends by itself where its user says nothing (17.2.1)."""

    @property
    def patience(self) -> float:
        """64*T1: timers B, F, H, J, L and M."""
        return 64 * self.t1


class State(StrEnum):
    """Where a transaction stands; which of them there are depends on its kind."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


class Event(StrEnum):
    """What can happen to a transaction."""

    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "3xx-6xx"
    REQUEST = "request again"
    ACK = "ACK"
    REPEAT = "time to repeat"
    """Timers A, E and G."""
    SILENCE = "no answer came"
    """Timers B, F and H."""
    END = "nothing more can come"
    """Timers D, I, J, K, L and M."""
    BROKEN = "transport failed"


class Action(Enum):
    """What is to be done on the way from one state to the next, in this order."""

    PASS = auto()
    """The user hears of the message."""
    SEND = auto()
    """What was sent last goes out (again)."""
    ACKNOWLEDGE = auto()
    """An ACK for a final answer other than 2xx goes out (17.1.1.3)."""
    REPEAT_LATER = auto()
    """The repeat timer starts, or doubles."""
    NO_REPEAT = auto()
    """The repeat and silence timers stop."""
    LINGER = auto()
    """The end timer starts."""
    TIMED_OUT = auto()
    """The user hears that nobody answered."""
    FAILED = auto()
    """The user hears that it could not be sent."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where an event leads, and what is done."""

    to: State
    actions: tuple[Action, ...] = ()


Table = Mapping[tuple[State, Event], Step]
_S, _E, _A = State, Event, Action

INVITE_CLIENT: Table = {
    (_S.CALLING, _E.PROVISIONAL): Step(_S.PROCEEDING, (_A.NO_REPEAT, _A.PASS)),
    (_S.CALLING, _E.SUCCESS): Step(_S.ACCEPTED, (_A.NO_REPEAT, _A.PASS, _A.LINGER)),
    (_S.CALLING, _E.FAILURE): Step(_S.COMPLETED, (_A.NO_REPEAT, _A.ACKNOWLEDGE, _A.PASS, _A.LINGER)),
    (_S.CALLING, _E.REPEAT): Step(_S.CALLING, (_A.SEND, _A.REPEAT_LATER)),
    (_S.CALLING, _E.SILENCE): Step(_S.TERMINATED, (_A.TIMED_OUT,)),
    (_S.CALLING, _E.BROKEN): Step(_S.TERMINATED, (_A.FAILED,)),
    (_S.PROCEEDING, _E.PROVISIONAL): Step(_S.PROCEEDING, (_A.PASS,)),
    (_S.PROCEEDING, _E.SUCCESS): Step(_S.ACCEPTED, (_A.PASS, _A.LINGER)),
    (_S.PROCEEDING, _E.FAILURE): Step(_S.COMPLETED, (_A.ACKNOWLEDGE, _A.PASS, _A.LINGER)),
    (_S.COMPLETED, _E.FAILURE): Step(_S.COMPLETED, (_A.ACKNOWLEDGE,)),
    (_S.COMPLETED, _E.END): Step(_S.TERMINATED),
    (_S.ACCEPTED, _E.SUCCESS): Step(_S.ACCEPTED, (_A.PASS,)),
    (_S.ACCEPTED, _E.END): Step(_S.TERMINATED),
}
"""RFC 3261, figure 5, as RFC 6026, 7.2 and 8.4 correct it: every 2xx is the user's. An INVITE with a provisional answer outlives
its connection: the phone may ring, and the answer comes over a connection that the other side opens (18.2.2)."""

CLIENT: Table = {
    (_S.TRYING, _E.PROVISIONAL): Step(_S.PROCEEDING, (_A.PASS,)),
    (_S.TRYING, _E.SUCCESS): Step(_S.COMPLETED, (_A.NO_REPEAT, _A.PASS, _A.LINGER)),
    (_S.TRYING, _E.FAILURE): Step(_S.COMPLETED, (_A.NO_REPEAT, _A.PASS, _A.LINGER)),
    (_S.TRYING, _E.REPEAT): Step(_S.TRYING, (_A.SEND, _A.REPEAT_LATER)),
    (_S.TRYING, _E.SILENCE): Step(_S.TERMINATED, (_A.TIMED_OUT,)),
    (_S.TRYING, _E.BROKEN): Step(_S.TERMINATED, (_A.FAILED,)),
    (_S.PROCEEDING, _E.PROVISIONAL): Step(_S.PROCEEDING, (_A.PASS,)),
    (_S.PROCEEDING, _E.SUCCESS): Step(_S.COMPLETED, (_A.NO_REPEAT, _A.PASS, _A.LINGER)),
    (_S.PROCEEDING, _E.FAILURE): Step(_S.COMPLETED, (_A.NO_REPEAT, _A.PASS, _A.LINGER)),
    (_S.PROCEEDING, _E.REPEAT): Step(_S.PROCEEDING, (_A.SEND, _A.REPEAT_LATER)),
    (_S.PROCEEDING, _E.SILENCE): Step(_S.TERMINATED, (_A.TIMED_OUT,)),
    (_S.PROCEEDING, _E.BROKEN): Step(_S.TERMINATED, (_A.FAILED,)),
    (_S.COMPLETED, _E.END): Step(_S.TERMINATED),
}
"""RFC 3261, figure 6."""

INVITE_SERVER: Table = {
    (_S.PROCEEDING, _E.REQUEST): Step(_S.PROCEEDING, (_A.SEND,)),
    (_S.PROCEEDING, _E.PROVISIONAL): Step(_S.PROCEEDING, (_A.SEND,)),
    (_S.PROCEEDING, _E.SUCCESS): Step(_S.ACCEPTED, (_A.NO_REPEAT, _A.SEND, _A.LINGER)),
    (_S.PROCEEDING, _E.FAILURE): Step(_S.COMPLETED, (_A.SEND, _A.REPEAT_LATER)),
    (_S.PROCEEDING, _E.BROKEN): Step(_S.TERMINATED),
    (_S.COMPLETED, _E.REQUEST): Step(_S.COMPLETED, (_A.SEND,)),
    (_S.COMPLETED, _E.REPEAT): Step(_S.COMPLETED, (_A.SEND, _A.REPEAT_LATER)),
    (_S.COMPLETED, _E.ACK): Step(_S.CONFIRMED, (_A.NO_REPEAT, _A.LINGER)),
    (_S.COMPLETED, _E.SILENCE): Step(_S.TERMINATED),
    (_S.COMPLETED, _E.BROKEN): Step(_S.TERMINATED),
    (_S.CONFIRMED, _E.ACK): Step(_S.CONFIRMED),
    (_S.CONFIRMED, _E.REQUEST): Step(_S.CONFIRMED),
    (_S.CONFIRMED, _E.END): Step(_S.TERMINATED),
    (_S.ACCEPTED, _E.REQUEST): Step(_S.ACCEPTED),
    (_S.ACCEPTED, _E.SUCCESS): Step(_S.ACCEPTED, (_A.SEND,)),
    (_S.ACCEPTED, _E.ACK): Step(_S.ACCEPTED, (_A.PASS,)),
    (_S.ACCEPTED, _E.END): Step(_S.TERMINATED),
}
"""RFC 3261, figure 7, as RFC 6026, 7.1 and 8.7 correct it: repeating a 2xx is the user's business."""

SERVER: Table = {
    (_S.TRYING, _E.REQUEST): Step(_S.TRYING),
    (_S.TRYING, _E.PROVISIONAL): Step(_S.PROCEEDING, (_A.SEND,)),
    (_S.TRYING, _E.SUCCESS): Step(_S.COMPLETED, (_A.SEND, _A.LINGER)),
    (_S.TRYING, _E.FAILURE): Step(_S.COMPLETED, (_A.SEND, _A.LINGER)),
    (_S.TRYING, _E.BROKEN): Step(_S.TERMINATED),
    (_S.PROCEEDING, _E.REQUEST): Step(_S.PROCEEDING, (_A.SEND,)),
    (_S.PROCEEDING, _E.PROVISIONAL): Step(_S.PROCEEDING, (_A.SEND,)),
    (_S.PROCEEDING, _E.SUCCESS): Step(_S.COMPLETED, (_A.SEND, _A.LINGER)),
    (_S.PROCEEDING, _E.FAILURE): Step(_S.COMPLETED, (_A.SEND, _A.LINGER)),
    (_S.PROCEEDING, _E.BROKEN): Step(_S.TERMINATED),
    (_S.COMPLETED, _E.REQUEST): Step(_S.COMPLETED, (_A.SEND,)),
    (_S.COMPLETED, _E.END): Step(_S.TERMINATED),
}
"""RFC 3261, figure 8."""

FIRST = {id(INVITE_CLIENT): _S.CALLING, id(CLIENT): _S.TRYING, id(INVITE_SERVER): _S.PROCEEDING, id(SERVER): _S.TRYING}


class Transaction:
    """One transaction: its state, what it sent last, and when something is due. The layer feeds it and carries out what it says."""

    __slots__ = (
        "_repeat_s",
        "_timers",
        "end_at",
        "hop",
        "key",
        "repeat_at",
        "request",
        "response",
        "scheduled_at",
        "silence_at",
        "started_at",
        "state",
        "table",
    )

    def __init__(self, key: str, table: Table, request: Request, hop: Hop, timers: Timers, now: float) -> None:
        self.key = key
        self.table = table
        self.request = request
        self.response: Response | None = None
        self.hop = hop
        self.state = FIRST[id(table)]
        self._timers = timers
        self._repeat_s = 0.0
        self.repeat_at: float | None = None
        self.silence_at: float | None = None
        self.end_at: float | None = None
        self.started_at = now
        self.scheduled_at: float | None = None
        """When the layer looks at it next."""
        if self.client:
            self.silence_at = now + timers.patience
            if not hop.reliable:
                self._repeat_s = timers.t1
                self.repeat_at = now + timers.t1

    @property
    def client(self) -> bool:
        """Whether the request is ours."""
        return self.table is INVITE_CLIENT or self.table is CLIENT

    def step(self, event: Event, now: float) -> tuple[Action, ...]:
        """Takes the event; what is to be done. An event that the table does not know changes nothing."""
        found = self.table.get((self.state, event))
        if found is None:
            return ()
        self.state = found.to
        for action in found.actions:
            match action:
                case Action.REPEAT_LATER:
                    self._repeat_later(now)
                case Action.NO_REPEAT:
                    self.repeat_at = self.silence_at = None
                case Action.LINGER:
                    self.end_at = now + self._linger_s()
        return found.actions

    def due(self, now: float) -> Event | None:
        """The timer that has fired, once."""
        if self.end_at is not None and now >= self.end_at:
            self.end_at = None
            return Event.END
        if self.silence_at is not None and now >= self.silence_at:
            self.silence_at = None
            return Event.SILENCE
        if self.repeat_at is not None and now >= self.repeat_at:
            self.repeat_at = None
            return Event.REPEAT
        return None

    @property
    def deadline(self) -> float | None:
        """The next timer."""
        return min((at for at in (self.repeat_at, self.silence_at, self.end_at) if at is not None), default=None)

    def _repeat_later(self, now: float) -> None:
        if self.silence_at is None:  # timer H: an INVITE's final answer is repeated until its ACK comes
            self.silence_at = now + self._timers.patience
        if self.hop.reliable:
            return
        if self.table is CLIENT and self.state is State.PROCEEDING:
            self._repeat_s = self._timers.t2
        elif self.table is INVITE_CLIENT:  # timer A alone grows without a cap
            self._repeat_s *= 2
        else:
            self._repeat_s = min(2 * self._repeat_s, self._timers.t2) if self._repeat_s else self._timers.t1
        self.repeat_at = now + self._repeat_s

    def _linger_s(self) -> float:
        """Timers D, K, I, J (none on a reliable transport), L and M (always)."""
        if self.state is State.ACCEPTED:
            return self._timers.patience
        if self.hop.reliable:
            return 0.0
        if self.table is INVITE_CLIENT:
            return self._timers.d
        if self.table is SERVER:
            return self._timers.patience
        return self._timers.t4
