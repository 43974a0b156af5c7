"""How one SMPP session takes its leave, at our wish or the peer's: which stage, and until when. It writes and reads nothing."""

from __future__ import annotations

from enum import Enum


class Stage(Enum):
    """Where the leave-taking stands (section 4.2)."""

    STAYING = "staying"
    """Nobody wants to leave."""
    DRAINING = "draining"
    """We want to leave, once what is outstanding is answered."""
    SAID = "said"
    """Our unbind is out; its answer ends the session."""
    ASKED = "asked"
    """The peer's unbind is here; our answer, once what is outstanding is answered, ends the session."""


class Parting:
    """The stage and its deadline, of a session that drains for `drain_s` of its own will and `peer_drain_s` at the peer's."""

    def __init__(self, *, drain_s: float, peer_drain_s: float, unbind_answer_s: float) -> None:
        self.stage = Stage.STAYING
        self.deadline: float | None = None
        """When the stage has lasted long enough, drained or not; None while staying."""
        self.sequence = 0
        """Of our unbind in SAID, of the peer's in ASKED."""
        self._drain_s = drain_s
        self._peer_drain_s = peer_drain_s
        self._unbind_answer_s = unbind_answer_s

    @property
    def staying(self) -> bool:
        """Whether new messages may still be sent."""
        return self.stage is Stage.STAYING

    @property
    def drains(self) -> bool:
        """Whether the end only waits for answers under way."""
        return self.stage in (Stage.DRAINING, Stage.ASKED)

    def begin(self, now: float) -> None:
        """We want to leave."""
        self.stage, self.deadline = Stage.DRAINING, now + self._drain_s

    def said(self, sequence: int, now: float) -> None:
        """Our unbind is written under this number."""
        self.stage, self.sequence, self.deadline = Stage.SAID, sequence, now + self._unbind_answer_s

    def asked(self, sequence: int, now: float) -> None:
        """The peer said unbind under this number; a drain of ours that ends earlier is kept to."""
        until = now + self._peer_drain_s
        self.deadline = until if self.deadline is None else min(self.deadline, until)
        self.stage, self.sequence = Stage.ASKED, sequence

    def over(self, now: float) -> bool:
        """Whether the stage has lasted long enough."""
        return self.deadline is not None and now >= self.deadline
