"""The rows that are still open, remembered between units of work, for a database that only this process writes (SQLite).

Values are immutable and put in only after their commit, so what is here is what the database says. With several writers
(PostgreSQL) there is no such cache: rows are read, and locked, every time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from gateway.alert import Alert
from gateway.delivery import Delivery
from gateway.store.rows import Part

K = TypeVar("K")
V = TypeVar("V")

ROWS_MAX = 50_000  # of each kind, about 100 MB when full; beyond it the oldest are read from the database again


class OpenRows:
    """Alerts that have not ended, deliveries that are not settled, and the parts that receipts will name."""

    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.parts: dict[tuple[str, str], tuple[Part, ...]] = {}
        """By provider and the form of the id that receipts are looked up by; several have one where ids are used again."""

    def keep(self, alerts: Iterable[Alert], deliveries: dict[str, Delivery], parts: Iterable[Part]) -> None:
        """Takes over what a committed unit knew."""
        for alert in alerts:
            _keep(self.alerts, alert.id, alert, alert.ended_at is None)
        for delivery in deliveries.values():
            _keep(self.deliveries, delivery.id, delivery, delivery.settled_at is None)
        for part in parts:
            owner = deliveries.get(part.delivery_id)
            awaited = owner is not None and owner.settled_at is None
            key = (part.provider, part.receipt_id)
            known = self.parts.get(key)
            if known is None:
                if awaited:
                    self.parts[key] = (part,)
                continue
            others = tuple(other for other in known if not _same(other, part))
            kept = (*others, part) if awaited else others
            _keep(self.parts, key, kept, bool(kept))


def _same(one: Part, other: Part) -> bool:
    return (one.n, one.chain, one.delivery_id) == (other.n, other.chain, other.delivery_id)


def _keep(rows: dict[K, V], key: K, value: V, is_open: bool) -> None:
    if not is_open:
        rows.pop(key, None)
        return
    if key not in rows and len(rows) >= ROWS_MAX:
        del rows[next(iter(rows))]
    rows[key] = value
