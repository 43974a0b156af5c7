"""How the broker's nouns become rows and back: one mapper a table, positional for speed. No statement lives here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Table

from gateway.alert import Alert, Priority, Rule, Status
from gateway.clock import from_micros, to_micros
from gateway.delivery import Delivery, State
from gateway.frozen import maker
from gateway.store import tables

T = TypeVar("T")
Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One try of a delivery over one provider. `outcome` is empty while it is under way."""

    delivery_id: str
    epoch: int
    chain: int
    provider: str
    started_at: datetime
    outcome: str = ""
    code: str = ""
    detail: str = ""
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part of a message that a provider took. `chain` is the epoch at which this run over the parts began. `receipt_id` is
    the provider's id in the form that receipts are looked up by."""

    delivery_id: str
    chain: int
    n: int
    epoch: int
    provider: str
    provider_message_id: str
    receipt_id: str
    units: int = 1
    state: str = "accepted"
    code: str = ""
    raw: str = ""
    sent_at: datetime
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """One numbered notice to an alert's `callback_url`."""

    alert_id: str
    n: int
    account_id: str
    url: str
    body: str
    state: str = "pending"
    tries: int = 0
    code: str = ""
    due_at: datetime
    created_at: datetime
    ended_at: datetime | None = None


def _csv(value: tuple[str, ...]) -> str:
    return ",".join(value)


def _from_csv(value: str) -> tuple[str, ...]:
    return tuple(value.split(",")) if value else ()


class Mapper(Generic[T]):
    """Rows of `table` as values of `cls`, whose fields are named as the columns. `fixed` columns are not updated with the others: only
    those that may be `rewritten` ever change, and then all together."""

    def __init__(
        self,
        table: Table,
        cls: type[T],
        *,
        fixed: Iterable[str] = (),
        rewritten: Iterable[str] = (),
        converted: dict[str, tuple[Callable[[Any], Any] | None, Callable[[Any], Any]]] | None = None,
    ) -> None:
        self.table = table
        self.cls = cls
        self.names = tuple(field.name for field in fields(cls))  # type: ignore[arg-type]  # every cls is a dataclass
        self.columns = tuple(table.c[name] for name in self.names)
        self.key = tuple(column.name for column in table.primary_key.columns)
        held = {*fixed, *self.key}
        self.changing = tuple(name for name in self.names if name not in held)
        self.rewritten = tuple(rewritten)
        self._make = maker(cls, self.names)
        self._get = attrgetter(*self.names)
        self._get_change = attrgetter(*self.changing, *self.key)
        self._get_rewritten = attrgetter(*self.rewritten, *self.key) if self.rewritten else None
        self.key_of: Callable[[T], Any] = attrgetter(*self.key)
        times = {name for name in self.names if name.endswith("_at") or name == "at"}
        self._out = self._converters(self.names, times, converted or {}, 0)
        self._out_change = self._converters((*self.changing, *self.key), times, converted or {}, 0)
        self._out_rewritten = self._converters((*self.rewritten, *self.key), times, converted or {}, 0)
        self._in = self._converters(self.names, times, converted or {}, 1)

    @staticmethod
    def _converters(
        names: Sequence[str], times: set[str], converted: dict[str, Any], way: int
    ) -> list[tuple[int, Callable[[Any], Any]]]:
        time_way: Callable[[Any], Any] = (to_micros, from_micros)[way]
        found: list[tuple[int, Callable[[Any], Any]]] = []
        for i, name in enumerate(names):
            if name in times:
                found.append((i, time_way))
            elif name in converted and converted[name][way] is not None:
                found.append((i, converted[name][way]))
        return found

    def to_row(self, value: T) -> Row:
        """All columns, in the order of `names`."""
        return self._convert(list(self._get(value)), self._out)

    def to_change(self, value: T) -> Row:
        """The changing columns and then the key, as the update statement takes them."""
        return self._convert(list(self._get_change(value)), self._out_change)

    def to_rewrite(self, value: T) -> Row:
        """The columns that are rewritten and then the key, as that statement takes them."""
        assert self._get_rewritten is not None, "the table has none"
        return self._convert(list(self._get_rewritten(value)), self._out_rewritten)

    def from_row(self, row: Sequence[Any]) -> T:
        """The inverse of `to_row`."""
        return self._make(self._convert(list(row), self._in))

    @staticmethod
    def _convert(values: list[Any], converters: list[tuple[int, Callable[[Any], Any]]]) -> Row:
        for i, convert in converters:
            value = values[i]
            if value is not None:
                values[i] = convert(value)
        return tuple(values)


deliveries = Mapper(
    tables.deliveries,
    Delivery,
    fixed=("alert_id", "account_id", "step", "recipient", "person", "address", "urgency", "units", "price_micros",
           "hold_micros", "tariff_id", "resend", "language", "created_at", "deadline_at"),
    converted={"state": (str, State), "exhausted": (_csv, _from_csv), "resend": (int, bool), "cancel_requested": (int, bool)},
)  # fmt: skip
alerts = Mapper(
    tables.alerts,
    Alert,
    fixed=("account_id", "key_id", "subject", "text", "language", "reference", "source", "group_key",
           "confirm_within_s", "resend", "exercise", "sensitive", "callback_url", "recipients", "steps", "created_at",
           "sender", "ruled_by", "within", "retold_at"),
    rewritten=("subject", "text", "language", "confirm_within_s", "resend", "sensitive", "callback_url", "recipients", "steps",
               "retold_at"),
    converted={"status": (str, Status), "priority": (int, Priority), "rule": (str, Rule), "resend": (int, bool),
               "exercise": (int, bool), "sensitive": (int, bool)},
)  # fmt: skip
attempts = Mapper(tables.attempts, Attempt, fixed=("chain", "provider", "started_at"))
parts = Mapper(tables.parts, Part, fixed=("provider", "provider_message_id", "receipt_id", "units", "epoch", "sent_at"))
callbacks = Mapper(tables.callbacks, Callback, fixed=("account_id", "url", "body", "created_at"))
