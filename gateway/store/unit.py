"""A unit of work: the rows that one batch of commands read and changed, in memory, written in one go at its end.

Every command runs against the unit as if it were alone; one that raises leaves no trace in it. What a change means (money, callbacks,
announcements) is decided in `gateway.progress` and by the commands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, delete

from billing.ledger import Balance, Entry, held, prepaid
from gateway.alert import Alert
from gateway.clock import to_micros
from gateway.delivery import Delivery
from gateway.store import rows, tables
from gateway.store.cache import OpenRows
from gateway.store.rows import Attempt, Callback, Mapper, Part, Row
from gateway.store.statements import Lookup, chunks
from gateway.store.writing import MAPPERS, PLAIN, WriteStatements

T = TypeVar("T")

_LOCK_NAMES = (
    "SELECT pg_advisory_xact_lock(h) FROM"
    " (SELECT DISTINCT hashtextextended(name, 0) AS h FROM unnest($1::text[]) AS name ORDER BY h) AS locks"
)
_sent_at = attrgetter("sent_at")
_LAST = object()  # in the undo log: the last item of a list, or a key that was not there
_EARLY_USED = delete(tables.early_receipts).where(tables.early_receipts.c.id.in_(bindparam("ids", expanding=True)))


@dataclass(slots=True)
class Wants:
    """What the commands of a batch say they will read, so that it is read together. Only a hint: the rest is read when asked for."""

    alerts: set[str] = field(default_factory=set)
    deliveries: set[str] = field(default_factory=set)
    balances: set[str] = field(default_factory=set)
    parts_of: set[str] = field(default_factory=set)
    attempts: set[str] = field(default_factory=set)
    named: dict[str, set[str]] = field(default_factory=dict)
    early: dict[str, set[str]] = field(default_factory=dict)
    idempotency: set[str] = field(default_factory=set)
    references: set[str] = field(default_factory=set)
    group_keys: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class EarlyReceipt:
    """A receipt that came before the answer that names its id; one row for each id it may mean, all with the same `id`.

    `exact` is 1 for the likeliest of them; another counts only together with the address. `receipt_id` is the form that it is
    looked up by, `spelling` how far the answer's id may differ from `provider_message_id`.
    """

    id: str
    provider: str
    provider_message_id: str
    receipt_id: str
    spelling: str
    exact: int
    address: str
    result: str
    code: str
    detail: str
    raw: str
    at: int


_EARLY_FIELDS: Callable[[EarlyReceipt], tuple[Any, ...]] = attrgetter(*(column.name for column in fields(EarlyReceipt)))


class Unit:
    """The rows of one transaction. `now` is the one time of everything that is written in it."""

    def __init__(
        self,
        connection: Connection,
        statements: WriteStatements,
        now: datetime,
        *,
        exclusive: bool,
        cache: OpenRows | None = None,
    ) -> None:
        self.connection = connection
        self.now = now
        self.now_micros = to_micros(now)
        self.signals: list[object] = []
        self.touched: dict[str, None] = {}
        self.notes: dict[str, list[dict[str, Any]]] = {}
        self.exclusive = exclusive
        """Whether this process is the only one that writes the database."""
        self._cache = cache
        self._statements = statements
        self._lookups = statements.lookups
        self._known: dict[str, dict[Any, Any]] = {mapper.table.name: {} for mapper in MAPPERS}
        self._new: dict[str, dict[Any, None]] = {mapper.table.name: {} for mapper in MAPPERS}
        self._changed: dict[str, dict[Any, None]] = {mapper.table.name: {} for mapper in MAPPERS}
        self._children: dict[str, dict[str, list[Any]]] = {"attempts": {}, "parts": {}}
        self._plain: dict[str, list[Row]] = {name: [] for name in PLAIN}
        self._balances: dict[str, Balance] = {}
        self._idempotency: dict[tuple[str, str, str], tuple[bytes, str]] = {}
        self._idempotency_known: set[str] = set()
        self._complete: set[tuple[str, str]] = set()
        self._rewritten: dict[str, None] = {}
        self._same: set[tuple[str, str]] = set()
        self._troubles: dict[tuple[str, str, str | None], list[str]] = {}
        self._named: dict[tuple[str, str], list[tuple[str, int, int]]] = {}
        self._early: dict[tuple[str, str], list[EarlyReceipt]] = {}
        self._early_used: list[str] = []
        self._undo: list[tuple[Any, Any, Any]] = []

    # --- one command at a time ---------------------------------------------------------------------------------------

    def run(self, apply: Callable[[Unit], T]) -> T:
        """Runs one command; if it raises, the unit is as it was before."""
        self._undo.clear()
        try:
            return apply(self)
        except BaseException:
            for holder, key, old in reversed(self._undo):
                if key is _LAST:
                    holder.pop()
                elif old is _LAST:
                    del holder[key]
                else:
                    holder[key] = old
            raise

    def _set(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((table, key, table.get(key, _LAST)))
        table[key] = value

    def _append(self, to: list[Any], value: Any) -> None:
        to.append(value)
        self._undo.append((to, _LAST, None))

    # --- reading -----------------------------------------------------------------------------------------------------

    def prefetch(self, wants: Wants) -> None:
        """Reads what the batch will need, alerts before deliveries before balances: the order in which rows are locked."""
        for provider, names in wants.early.items():
            self._load_early(provider, names)
        for provider, names in wants.named.items():
            self._load_named(provider, names)
            for name in names:
                wants.deliveries.update(part[0] for part in self._named[provider, name])
        self._load_same("reference", wants.references)
        self._load_same("group_key", wants.group_keys)
        self._want_owners(wants)  # every command locks alerts before deliveries before balances
        self._load(rows.alerts, self._lookups.alerts, wants.alerts)
        self._load(rows.deliveries, self._lookups.deliveries, wants.deliveries)
        several = {key for key in self._children["parts"] if not self._has_all_parts(key)}
        self._load_children(rows.parts, self._lookups.parts_of, wants.parts_of | several)
        self._load_children(rows.attempts, self._lookups.attempts_of, wants.attempts)
        self._load_balances(wants.balances)
        self._load_idempotency(wants.idempotency)

    def _want_owners(self, wants: Wants) -> None:
        cached = self._cache.deliveries if self._cache is not None else {}
        elsewhere = []
        for delivery_id in wants.deliveries:
            delivery = cached.get(delivery_id)
            if delivery is None:
                elsewhere.append(delivery_id)
            else:
                wants.alerts.add(delivery.alert_id)
                wants.balances.add(delivery.account_id)
        for alert_id, account_id in self._lookups.owners.rows(self.connection, elsewhere):
            wants.alerts.add(alert_id)
            wants.balances.add(account_id)

    def _has_all_parts(self, delivery_id: str) -> bool:
        """Whether all parts are known: a first attempt of one unit has no other than the one that is."""
        delivery: Delivery | None = self._known["deliveries"].get(delivery_id)
        single = delivery is not None and delivery.units == 1 and delivery.epoch <= 1
        return single and delivery_id in self._children["parts"]

    def _load(self, mapper: Mapper[Any], lookup: Lookup, ids: Iterable[str]) -> None:
        known = self._known[mapper.table.name]
        missing = [key for key in ids if key not in known]
        if self._cache is not None and missing:
            cached: dict[str, Any] = getattr(self._cache, mapper.table.name)
            known.update((key, cached[key]) for key in missing if key in cached)
            missing = [key for key in missing if key not in cached]
        for row in lookup.rows(self.connection, missing):
            value = mapper.from_row(row)
            known[mapper.key_of(value)] = value

    def _load_children(self, mapper: Mapper[Any], lookup: Lookup, delivery_ids: Iterable[str]) -> None:
        name = mapper.table.name
        missing = [key for key in delivery_ids if (name, key) not in self._complete]
        for row in lookup.rows(self.connection, missing):
            self._know_child(name, mapper.from_row(row))
        self._complete.update((name, key) for key in missing)

    def _know_child(self, name: str, value: Attempt | Part) -> None:
        """A row that was read; one that this unit has changed already is newer."""
        key = _mapper_of(value).key_of(value)
        if key not in self._known[name]:
            self._known[name][key] = value
            self._children[name].setdefault(value.delivery_id, []).append(key)

    def _load_named(self, provider: str, names: Collection[str]) -> None:
        missing = {name for name in names if (provider, name) not in self._named}
        for name in missing:
            self._named[provider, name] = []
        if self._cache is not None:
            for name in list(missing):
                cached = self._cache.parts.get((provider, name))
                if cached is not None:
                    missing.remove(name)
                    for part in sorted(cached, key=_sent_at, reverse=True):
                        self._know_child("parts", part)
                        self._named[provider, name].append((part.delivery_id, part.chain, part.n))
        for row in self._lookups.named.rows(self.connection, missing, provider):
            part = rows.parts.from_row(row)
            self._know_child("parts", part)
            self._named[provider, part.receipt_id].append((part.delivery_id, part.chain, part.n))

    def _load_same(self, column: str, names: Collection[str]) -> None:
        missing = [name for name in names if (column, name) not in self._same]
        self._same.update((column, name) for name in missing)
        if missing and not self.exclusive:
            # two processes that are told of the same trouble at once: the second sees what the first wrote
            self.connection.exec_driver_sql(_LOCK_NAMES, (sorted(f"{column}:{name}" for name in missing),))
        for row in self._lookups.same[column].rows(self.connection, missing):
            alert = self._known["alerts"].setdefault(row[0], rows.alerts.from_row(row))
            self._know_trouble(alert)

    def same_trouble(self, account_id: str, reference: str | None, group_key: str | None) -> list[Alert]:
        """The alerts of the account, active or acknowledged when they were read, with this reference or group key."""
        named = [("reference", account_id, reference), ("group_key", account_id, group_key)]
        for column, _, name in named:
            if name is not None:
                self._load_same(column, [name])
        ids = {alert_id: None for key in named for alert_id in self._troubles.get(key, ())}
        return [self._known["alerts"][alert_id] for alert_id in ids]

    def _know_trouble(self, alert: Alert) -> None:
        for column, name in (("reference", alert.reference), ("group_key", alert.group_key)):
            if name is not None:
                self._append(self._troubles.setdefault((column, alert.account_id, name), []), alert.id)

    def _load_early(self, provider: str, names: Collection[str]) -> None:
        missing = {name for name in names if (provider, name) not in self._early}
        for name in missing:
            self._early[provider, name] = []
        for row in self._lookups.early.rows(self.connection, missing, provider):
            receipt = EarlyReceipt(*row)
            self._early[provider, receipt.receipt_id].append(receipt)

    def _load_balances(self, accounts: Iterable[str]) -> None:
        missing = [account for account in accounts if account not in self._balances]
        amounts: dict[str, int] = {}
        found: dict[str, tuple[str, int | None]] = {}
        for account, currency, floor_micros, name, amount in self._lookups.balances.rows(self.connection, missing):
            found[account] = (currency, floor_micros)
            amounts[name] = amount
        for account, (currency, floor_micros) in found.items():
            self._balances[account] = Balance(
                account=account,
                currency=currency,
                prepaid_micros=amounts[prepaid(account)],
                held_micros=amounts[held(account)],
                floor_micros=floor_micros,
            )

    def _load_idempotency(self, keys: Iterable[str]) -> None:
        missing = [key for key in keys if key not in self._idempotency_known]
        self._idempotency_known.update(missing)
        for account, route, key, digest, answer in self._lookups.idempotency.rows(self.connection, missing):
            self._idempotency.setdefault((account, route, key), (digest, answer))

    def alert(self, alert_id: str) -> Alert | None:
        self._load(rows.alerts, self._lookups.alerts, [alert_id])
        found: Alert | None = self._known["alerts"].get(alert_id)
        return found

    def delivery(self, delivery_id: str) -> Delivery | None:
        self._load(rows.deliveries, self._lookups.deliveries, [delivery_id])
        found: Delivery | None = self._known["deliveries"].get(delivery_id)
        return found

    def parts_of(self, delivery_id: str) -> list[Part]:
        """All parts of all attempts of a delivery."""
        if not self._has_all_parts(delivery_id):
            self._load_children(rows.parts, self._lookups.parts_of, [delivery_id])
        known = self._known["parts"]
        return [known[key] for key in self._children["parts"].get(delivery_id, ())]

    def part(self, delivery_id: str, chain: int, n: int) -> Part | None:
        """A part that is known already (by `parts_of` or `parts_named`)."""
        found: Part | None = self._known["parts"].get((delivery_id, chain, n))
        return found

    def parts_named(self, provider: str, receipt_id: str) -> list[Part]:
        """The parts whose id at this provider has this form, the latest first (ids are used again after weeks)."""
        self._load_named(provider, [receipt_id])
        known = self._known["parts"]
        return [known[key] for key in self._named[provider, receipt_id]]

    def parts_hidden(self, provider: str, receipt_id: str) -> list[Part]:
        """As `parts_named`, with those that a remembered part of the same form hides."""
        if self._cache is not None:
            named = self._named[provider, receipt_id]
            for row in self._lookups.named.rows(self.connection, [receipt_id], provider):
                part = rows.parts.from_row(row)
                self._know_child("parts", part)
                key = (part.delivery_id, part.chain, part.n)
                if key not in named:
                    named.append(key)
        return self.parts_named(provider, receipt_id)

    def early(self, provider: str, receipt_id: str) -> list[EarlyReceipt]:
        """The receipts that came before an id of this form was known, oldest first."""
        self._load_early(provider, [receipt_id])
        return self._early[provider, receipt_id]

    def use_up(self, receipt: EarlyReceipt) -> None:
        """An early receipt is matched, or will never be."""
        self._append(self._early_used, receipt.id)

    def attempts_of(self, delivery_id: str) -> list[Attempt]:
        """All attempts of a delivery, in order."""
        self._load_children(rows.attempts, self._lookups.attempts_of, [delivery_id])
        known = self._known["attempts"]
        found = [known[key] for key in self._children["attempts"].get(delivery_id, ())]
        return sorted(found, key=lambda attempt: attempt.epoch)

    def attempt(self, delivery_id: str, epoch: int) -> Attempt | None:
        self._load_children(rows.attempts, self._lookups.attempts_of, [delivery_id])
        found: Attempt | None = self._known["attempts"].get((delivery_id, epoch))
        return found

    def balance(self, account_id: str) -> Balance | None:
        self._load_balances([account_id])
        return self._balances.get(account_id)

    def answered(self, account_id: str, route: str, key: str) -> tuple[bytes, str] | None:
        """The digest and the answer of an earlier request with this idempotency key."""
        self._load_idempotency([key])
        return self._idempotency.get((account_id, route, key))

    # --- changing ----------------------------------------------------------------------------------------------------

    def add(self, value: Alert | Delivery | Attempt | Part | Callback) -> None:
        """A new row."""
        mapper = _mapper_of(value)
        name, key = mapper.table.name, mapper.key_of(value)
        self._set(self._known[name], key, value)
        self._set(self._new[name], key, None)
        if isinstance(value, Attempt | Part):
            self._append(self._children[name].setdefault(value.delivery_id, []), key)
        elif isinstance(value, Alert):
            self._know_trouble(value)
        elif isinstance(value, Delivery):
            self._complete.update({("attempts", value.id), ("parts", value.id)})

    def put(self, value: Alert | Delivery | Attempt | Part | Callback) -> None:
        """A changed row."""
        mapper = _mapper_of(value)
        name, key = mapper.table.name, mapper.key_of(value)
        if isinstance(value, Attempt) and key not in self._known[name]:  # carried by its worker, never read here
            self._append(self._children[name].setdefault(value.delivery_id, []), key)
        self._set(self._known[name], key, value)
        if key not in self._new[name]:
            self._changed[name][key] = None

    def name_part(self, part: Part) -> None:
        """Makes a new part known by its provider's id within this unit."""
        named = self._named.setdefault((part.provider, part.receipt_id), [])
        self._append(named, (part.delivery_id, part.chain, part.n))

    def keep_early(self, receipt: EarlyReceipt) -> None:
        """Keeps a receipt that nothing is known of yet."""
        self._append(self._early.setdefault((receipt.provider, receipt.receipt_id), []), receipt)
        self.insert("early_receipts", *_EARLY_FIELDS(receipt))

    def rewrite(self, alert: Alert) -> None:
        """A row that says something else than it did: what joined the alert changed its text, whom it reaches or how."""
        self.put(alert)
        self._set(self._rewritten, alert.id, None)

    def insert(self, table: str, *values: Any) -> None:
        """A new row of a table that only grows; values in the order of its columns."""
        self._append(self._plain[table], values)

    def move(self, balance: Balance, entries: Iterable[Entry]) -> None:
        """Entries, and the balance they lead to (the database works it out once more by itself)."""
        self._set(self._balances, balance.account, balance)
        for entry in entries:
            reverses = int(entry.reverses) if entry.reverses is not None else None
            self.insert(
                "entries", balance.account, str(entry.kind), entry.cause_type, entry.cause_id, entry.debit,
                entry.credit, entry.amount_micros, reverses, self.now_micros,
            )  # fmt: skip

    def answer(self, account_id: str, route: str, key: str, digest: bytes, answer: str) -> None:
        """Stores the answer under its idempotency key."""
        self._set(self._idempotency, (account_id, route, key), (digest, answer))
        self.insert("idempotency", account_id, route, key, digest, answer, self.now_micros)

    def event(self, alert_id: str, kind: str, detail: str = "", delivery_id: str | None = None) -> None:
        """A line of the alert's timeline that no other row tells."""
        self.insert("events", alert_id, delivery_id, kind, detail, self.now_micros)

    def signal(self, signal: object) -> None:
        """Something to do once the transaction is committed."""
        self._append(self.signals, signal)

    def touch(self, alert_id: str) -> None:
        """The alert's deliveries changed: whether it has ended is looked at when the batch is written."""
        self._set(self.touched, alert_id, None)

    def note(self, alert_id: str, note: dict[str, Any]) -> None:
        """Something that the alert's callback tells."""
        if alert_id not in self.notes:
            self._set(self.notes, alert_id, [])
        self._append(self.notes[alert_id], note)

    # --- writing -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Writes what is new and changed so far, parents before children. A command that calls this gives its verdict before:
        what is written is undone only together with the whole transaction."""
        self._undo.clear()
        for mapper in MAPPERS:
            name = mapper.table.name
            known = self._known[name]
            new, changed = self._new[name], self._changed[name]
            self._statements.insert[name].run(self.connection, [mapper.to_row(known[key]) for key in new])
            self._statements.update[name].run(self.connection, [mapper.to_change(known[key]) for key in changed])
            new.clear()
            changed.clear()
        alerts = self._known["alerts"]
        self._statements.rewrite.run(self.connection, [rows.alerts.to_rewrite(alerts[key]) for key in self._rewritten])
        self._rewritten.clear()
        for name, inserts in self._plain.items():
            self._statements.insert[name].run(self.connection, inserts)
            inserts.clear()
        for chunk in chunks(set(self._early_used)):
            self.connection.execute(_EARLY_USED, {"ids": chunk})
        self._early_used.clear()

    def keep(self) -> None:
        """The transaction is committed: what is open is remembered for the next units."""
        if self._cache is not None:
            known = self._known
            self._cache.keep(known["alerts"].values(), known["deliveries"], known["parts"].values())

    def open_alerts(self, ids: Collection[str]) -> set[str]:
        """Which of the alerts have a delivery that is not settled (what is flushed counts)."""
        return set(self._lookups.open.scalars(self.connection, ids))

    def reached_alerts(self, ids: Collection[str]) -> set[str]:
        """Which of the alerts have a delivery that a provider took or that was delivered."""
        return set(self._lookups.reached.scalars(self.connection, ids))


_BY_CLASS: dict[type, Mapper[Any]] = {mapper.cls: mapper for mapper in MAPPERS}


def _mapper_of(value: object) -> Mapper[Any]:
    return _BY_CLASS[type(value)]
