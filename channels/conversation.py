"""What a channel asks of the broker while a person is on the line, and how the broker takes an attempt back.

Only channels on which people talk back at once (voice) have this second port beside `channels.channel`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable


class Decision(StrEnum):
    """What a person decided about an alert, by a key."""

    ACKNOWLEDGED = "acknowledged"
    """Received and understood; where the alert asks for it, somebody has still to take it in charge."""
    TAKEN = "taken"
    """Received and taken in charge."""
    DECLINED = "declined"
    """This person cannot act: the next ones are to be tried now."""


class Standing(StrEnum):
    """What became of a decision."""

    RECORDED = "recorded"
    """It is committed."""
    ELSEWHERE = "elsewhere"
    """Somebody else has the alert already."""
    OVER = "over"
    """The alert has ended: nobody needs to act any more."""
    FAILED = "failed"
    """It could not be stored now; it counts for nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The broker's answer to a decision. `by` is who has the alert, where somebody else does."""

    standing: Standing
    by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Briefing:
    """One open alert as it is told to one person. `reference` is what decisions about it name (a delivery's id)."""

    reference: str
    text: str
    language: str = ""
    exercise: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Somebody who called in and proved who they are. `id` is opaque."""

    id: str
    name: str
    language: str = ""


class Proof(StrEnum):
    """What digits prove."""

    OK = "ok"
    WRONG = "wrong"
    LOCKED = "locked"
    """Too many wrong ones: not even the right ones are taken for a while."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What answers under a number that rings at our side."""

    kind: Literal["acknowledgement", "alarm"]
    name: str
    language: str = ""
    record_s: int = 0
    """How long the caller of an alarm line may speak; 0: nothing is recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """Why an attempt is taken back: `by` is who has the alert, "" where it was called off."""

    by: str = ""


class Attendant(Protocol):
    """The broker, as seen from a call. Every method returns within a bounded time. What cannot be answered now is FAILED, LOCKED
    or None; `briefings` and `briefings_of` raise then, for nothing read is not nothing open."""

    async def decide(self, reference: str, decision: Decision) -> Reply:
        """Records what the person at the other end decided."""
        ...

    async def briefings(self, address: str) -> Sequence[Briefing]:
        """The open alerts of whoever is reached at the address (without ``channel:``), the most urgent first; bounded."""
        ...

    async def needs_pin(self, address: str) -> bool:
        """Whether the person at the address has a PIN, so that nothing is said before it."""
        ...

    async def check_pin(self, address: str, digits: str) -> Proof:
        """Whether this is the PIN of the person at the address. Wrong ones are slowed down and counted."""
        ...

    async def line(self, numbers: Sequence[str]) -> Line | None:
        """What answers when one of these is called: what the network says was dialled, the likeliest first. None: nothing."""
        ...

    async def identify(self, digits: str, *, source: str) -> Caller | Proof:
        """Who has this number or PIN. `source` (where the call comes from) is only counted against, never trusted."""
        ...

    async def briefings_of(self, caller: Caller) -> Sequence[Briefing]:
        """The open alerts of an identified caller, the most urgent first; bounded."""
        ...

    async def authorise(self, line: Line, digits: str, *, source: str) -> Proof:
        """Whether these digits may raise the line's alarm."""
        ...

    async def raise_alarm(self, line: Line, *, source: str) -> str | None:
        """Raises the line's alarm; gives its reference once it is committed, None where it could not be."""
        ...

    async def attach_recording(self, reference: str, wav: bytes) -> bool:
        """Adds what the caller said to the alarm, for the channels that can carry it."""
        ...


@runtime_checkable
class Conversing(Protocol):
    """A channel that talks with people."""

    def attend(
        self,
        attendant: Attendant,
        *,
        alive: Callable[[], None] = lambda: None,
        joined: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Hands over the broker's side; called once, before `run`. `alive` is to be called when the provider first answers an
        attempt that then goes on, as a call does: who waits for a sign of life need not wait for its end. `joined` is to be called
        with 1 when an attempt begins to wait for another one's call, and with -1 at the end of that: it needs no line meanwhile."""
        ...

    def stop(self, reference: str, stop: Stop) -> None:
        """Takes back the attempt with this message reference, wherever it stands; `send` then returns soon. Unknown: nothing."""
        ...
