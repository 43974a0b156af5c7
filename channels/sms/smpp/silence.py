"""How long the peer of one SMPP session has said nothing, and what is due then (enquire_link, section 7.2). It writes nothing."""

from __future__ import annotations

from enum import Enum


class Due(Enum):
    """What the silence asks for."""

    NOTHING = "nothing"
    ENQUIRY = "enquiry"
    """Ask whether it is there."""
    LOSS = "loss"
    """It was asked, and had its time."""


class Silence:
    """The peer is asked after `enquire_link_s` of silence, and lost after `enquire_answer_s` more."""

    def __init__(self, *, enquire_link_s: float, enquire_answer_s: float, now: float) -> None:
        self.deadline = now + enquire_link_s
        """When `due` is to be asked."""
        self._enquire_link_s = enquire_link_s
        self._enquire_answer_s = enquire_answer_s
        self._asked = False
        self._excused = False

    def broken(self, now: float, *, paused: bool) -> None:
        """The peer said something. `paused`: we have stopped reading by now."""
        self.deadline = now + self._enquire_link_s
        self._asked = False
        self._excused = paused

    def due(self, now: float, *, paused: bool) -> Due:
        """What is due now. While we do not read (`paused`), silence proves nothing."""
        if now < self.deadline:
            return Due.NOTHING
        if self._asked and not (paused or self._excused):
            return Due.LOSS
        if self._asked:
            self._excused = paused
        self.deadline = now + self._enquire_answer_s
        asks, self._asked = not self._asked, True
        return Due.ENQUIRY if asks else Due.NOTHING
