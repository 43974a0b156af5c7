"""Joining what is large: worked out beside the writer, and compared in it. The writer then has nothing to read or to merge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select

from gateway.alert import Alert
from gateway.clock import from_micros
from gateway.delivery import State
from gateway.escalation import LARGE_CHARS
from gateway.frozen import replace
from gateway.joining import How, Join, Request, Tried, join
from gateway.large_work import give_way
from gateway.store import tables

TRIES: Final = 3
"""How often it is worked out anew because the open alert has changed meanwhile; then the writer does it."""
FAILED_STATES: Final = frozenset({State.FAILED.value, State.EXPIRED.value})

_MOVING: Final = ("expanded", "hold_left_micros", "look_at", "callback_n")
"""Change while a broadcast is written and told of. Only whoever raises an alert asks how far it was written."""
_NAMES: Final = tuple(field.name for field in fields(Alert))

Row = Sequence[object]
"""Address, state and time of the end of a delivery."""


class LargeJoinError(Exception):
    """What is to be joined is large, and nobody has worked it out. Nothing was written."""

    def __init__(self, found: Sequence[Alert]) -> None:
        super().__init__("a large join is worked out before it is written")
        self.found = tuple(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkedOut:
    """How a request joins an alert, as that was when it was worked out."""

    opened: Alert
    join: Join | None

    def fits(self, alert: Alert, now: datetime) -> bool:
        """Whether it is what would be worked out now."""
        moving = _MOVING if self.join is None or self.join.how is not How.RAISED else _MOVING[1:]
        known = replace(self.opened, **{name: getattr(alert, name) for name in moving})
        return known == alert and alert.expires_at > now

    def on(self, alert: Alert, now: datetime) -> Join | None:
        """The same of the alert as it is now."""
        if self.join is None:
            return None
        before, after = self.opened, self.join.alert
        changed = {name: getattr(after, name) for name in _NAMES if getattr(after, name) != getattr(before, name)}
        if "retold_at" in changed:
            changed["retold_at"] = now  # what is written until now has the text of before
        return replace(self.join, alert=replace(alert, **changed))


def is_large(alerts: Iterable[Alert]) -> bool:
    """Whether one of them is too large to be merged with others in the writer."""
    return any(len(alert.recipients) + len(alert.steps) >= LARGE_CHARS for alert in alerts)


def known_joins(worked: Mapping[str, WorkedOut], found: Sequence[Alert], now: datetime) -> list[Join | None] | None:
    """How the request joins each of the alerts, as it was worked out; None where one of them is another by now."""
    if not worked or not all(alert.id in worked and worked[alert.id].fits(alert, now) for alert in found):
        return None
    return [worked[alert.id].on(alert, now) for alert in found]


def work_out(
    found: Sequence[Alert], request: Request, rows: Mapping[str, Iterable[Row]], now: datetime
) -> dict[str, WorkedOut]:
    """How the request joins each of the alerts. Large work."""
    return {alert.id: WorkedOut(opened=alert, join=join(alert, request, tried(rows[alert.id]), now)) for alert in found}


def delivery_rows(connection: Connection, alert_id: str) -> Sequence[Row]:
    """What `tried` is made of."""
    t = tables.deliveries.c
    statement = select(t.address, t.state, t.settled_at).where(t.alert_id == alert_id).order_by(t.id)
    return connection.execute(statement).all()


def tried(rows: Iterable[Row]) -> dict[str, Tried]:
    """What became of each address within the alert."""
    found: dict[str, Tried] = {}
    for address, state, settled_at in rows:
        give_way()
        assert isinstance(address, str)
        known = found.get(address)
        if state not in FAILED_STATES:
            found[address] = Tried(reached=True)
        elif known is None or not known.reached:
            assert isinstance(settled_at, int)
            found[address] = Tried(reached=False, at=from_micros(settled_at))
    return found
