"""The messages of one SMPP session whose answers did not come in time: kept for late ones, and counted as a sign of its health."""

from __future__ import annotations

from collections.abc import Iterable

from channels.sms.smpp.outbox import Returned
from channels.sms.smpp.pdu import Pdu

LAPSED_MAX = 1_000
"""Numbers kept for late answers, some 100 kB: ten windows. Of older ones the answer is a stray."""
GRACE_S_MIN = 10.0
"""Least time that late answers have, however short `response_s` is: a session that is left brings none."""
IN_A_ROW = 3
"""So many without an answer between them are no accident of one message."""


class Lapses:
    """Remembers what lapsed. A session is to be left when, `grace_s` after the first lapse in a row, nothing has been answered."""

    def __init__(self, grace_s: float) -> None:
        self.in_a_row = 0
        """Since the last answer to a message; an answer to enquire_link says nothing of the work."""
        self.since: float | None = None
        """When the first of them lapsed."""
        self._grace_s = max(grace_s, GRACE_S_MIN)
        self._kept: dict[int, type[Pdu]] = {}

    def deadline(self, outstanding: int) -> float | None:
        """When the session is to be left, if nothing is answered until then; few lapses may be an accident while others are under
        way, which will tell."""
        if self.since is None or (outstanding and self.in_a_row < IN_A_ROW):
            return None
        return self.since + self._grace_s

    def add(self, returned: Iterable[Returned], now: float) -> None:
        """Messages were not answered in time; those of them that had left count."""
        for message in returned:
            if message.maybe_sent:
                self.since = now if self.since is None else self.since
                self.in_a_row += 1
                self._kept[message.sequence] = message.response
        while len(self._kept) > LAPSED_MAX:
            del self._kept[next(iter(self._kept))]

    def answered(self) -> None:
        """A message was answered: the peer does its work."""
        self.in_a_row, self.since = 0, None

    def late(self, sequence: int, response: type[Pdu] | None = None) -> bool:
        """Whether a lapsed message waited for this answer (of this kind, if one is named); then it waits no longer."""
        kept = self._kept.get(sequence)
        if kept is None or response not in (None, kept):
            return False
        del self._kept[sequence]
        return True

    def excuse(self, now: float) -> None:
        """That nothing was heard is our own doing: the grace begins now."""
        if self.since is not None:
            self.since = now
