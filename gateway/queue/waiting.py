"""One provider's tickets that wait in this process for a taker, by urgency. Pure: no one waits in here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from gateway.queue.port import Ticket, Urgency
from gateway.queue.shares import Shares


class Waiting:
    """First in, first out within an urgency; which urgency goes next is decided by its `Shares`.

    A delivery waits once per urgency at most: announced again it is not added, announced more urgently it is, so that a
    raised priority is not held back by the place it had before.
    """

    def __init__(self, *, lane_max: int) -> None:
        """`lane_max` bounds the tickets of one urgency, so that a flood of bulk can never shut out an emergency."""
        self._lane_max = lane_max
        self._lanes: tuple[deque[Ticket], ...] = tuple(deque() for _ in Urgency)
        self._handles: tuple[dict[str, str], ...] = tuple({} for _ in Urgency)
        self._shares = Shares()

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def count(self, urgency: Urgency) -> int:
        """How many tickets of this urgency wait."""
        return len(self._lanes[urgency])

    def add(self, tickets: Iterable[Ticket]) -> tuple[list[Ticket], int]:
        """Adds tickets at the end of their lanes. Gives those not needed, because another ticket for the same delivery
        waits there (the very same ticket is passed over in silence), and how many did not fit."""
        superfluous: list[Ticket] = []
        overflow = 0
        for ticket in tickets:
            handles = self._handles[ticket.urgency]
            known = handles.get(ticket.delivery_id)
            if known is not None:
                if known != ticket.receipt_handle:
                    superfluous.append(ticket)
            elif len(handles) >= self._lane_max:
                overflow += 1
            else:
                handles[ticket.delivery_id] = ticket.receipt_handle
                self._lanes[ticket.urgency].append(ticket)
        return superfluous, overflow

    def pick(self, limit: int, *, urgent_only: bool = False) -> list[Ticket]:
        """Removes and gives up to `limit` tickets, most urgent first; empty when none may go."""
        if urgent_only:
            return self._pop(Urgency.EMERGENCY, min(limit, self.count(Urgency.EMERGENCY)))
        picked: list[Ticket] = []
        for urgency, granted in zip(
            Urgency, self._shares.split([len(lane) for lane in self._lanes], limit), strict=True
        ):
            picked += self._pop(urgency, granted)
        return picked

    def _pop(self, urgency: Urgency, n: int) -> list[Ticket]:
        lane, handles = self._lanes[urgency], self._handles[urgency]
        popped = [lane.popleft() for _ in range(n)]
        for ticket in popped:
            del handles[ticket.delivery_id]
        return popped
