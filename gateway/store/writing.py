"""All statements and look-ups of units of work, from the tables, once for each kind of database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, literal_column, select

from gateway.store import rows, tables
from gateway.store.rows import Mapper
from gateway.store.statements import Lookup, Statement, insert_of, update_of

MAPPERS: tuple[Mapper[Any], ...] = (rows.alerts, rows.deliveries, rows.attempts, rows.parts, rows.callbacks)
PLAIN = {
    "entries": ("account_id", "kind", "cause_type", "cause_id", "debit", "credit", "amount_micros", "reverses", "at"),
    "events": ("alert_id", "delivery_id", "kind", "detail", "at"),
    "idempotency": ("account_id", "route", "key", "digest", "answer", "created_at"),
    "early_receipts": (
        "id",
        "provider",
        "provider_message_id",
        "receipt_id",
        "spelling",
        "exact",
        "address",
        "result",
        "code",
        "detail",
        "raw",
        "at",
    ),
    "acknowledgements": ("id", "alert_id", "by", "comment", "via", "key_id", "at", "person", "taken"),
    "attachments": ("alert_id", "n", "name", "content_type", "content"),
    "inbound_messages": ("id", "provider", "channel", "source", "destination", "text", "at"),
    "inbound_parts": ("provider", "source", "destination", "reference", "total", "n", "text", "at"),
}


class WriteStatements:
    """All statements of the write path for one database, compiled once."""

    def __init__(self, dialect: Any) -> None:
        self.insert: dict[str, Statement] = {}
        self.update: dict[str, Statement] = {}
        for mapper in MAPPERS:
            self.insert[mapper.table.name] = insert_of(dialect, mapper.table, mapper.names)
            self.update[mapper.table.name] = update_of(dialect, mapper, mapper.changing)
        self.rewrite = update_of(dialect, rows.alerts, rows.alerts.rewritten)
        for name, columns in PLAIN.items():
            self.insert[name] = insert_of(dialect, tables.metadata.tables[name], columns)
        self.lookups = Lookups(dialect)


class Lookups:
    """All look-ups of units of work for one database, compiled once. Rows that will change are locked in the order of their keys."""

    def __init__(self, dialect: Any) -> None:
        alert, delivery, part, early = tables.alerts.c, tables.deliveries.c, tables.parts.c, tables.early_receipts.c
        live = alert.status.in_((literal_column("'active'"), literal_column("'acknowledged'")))
        self.alerts = Lookup(dialect, lambda v: _locked(rows.alerts, alert.id.in_(v)))
        self.deliveries = Lookup(dialect, lambda v: _locked(rows.deliveries, delivery.id.in_(v)))
        self.parts_of = Lookup(dialect, lambda v: _locked(rows.parts, part.delivery_id.in_(v)))
        self.attempts_of = Lookup(dialect, lambda v: _locked(rows.attempts, tables.attempts.c.delivery_id.in_(v)))
        self.same = {
            "reference": Lookup(dialect, lambda v: _locked(rows.alerts, alert.reference.in_(v), live)),
            "group_key": Lookup(dialect, lambda v: _locked(rows.alerts, alert.group_key.in_(v), live)),
        }
        self.owners = Lookup(
            dialect, lambda v: select(delivery.alert_id, delivery.account_id).where(delivery.id.in_(v))
        )
        self.named = Lookup(
            dialect,
            lambda v: (
                select(*rows.parts.columns)
                .where(part.provider == bindparam("provider"), part.receipt_id.in_(v))
                .order_by(part.sent_at.desc())
            ),
            extra=("provider",),
        )
        self.early = Lookup(
            dialect,
            lambda v: (
                select(tables.early_receipts)
                .where(early.provider == bindparam("provider"), early.receipt_id.in_(v))
                .order_by(early.at, early.id)
            ),
            extra=("provider",),
        )
        idempotency = tables.idempotency.c
        self.idempotency = Lookup(
            dialect,
            lambda v: select(
                idempotency.account_id, idempotency.route, idempotency.key, idempotency.digest, idempotency.answer
            ).where(idempotency.key.in_(v)),
        )
        account, balance = tables.accounts.c, tables.balances.c
        self.balances = Lookup(
            dialect,
            lambda v: (
                select(account.id, account.currency, account.floor_micros, balance.name, balance.amount_micros)
                .join(tables.balances, balance.account_id == account.id)
                .where(account.id.in_(v))
                .order_by(balance.name)
                .with_for_update(of=tables.balances)
            ),
        )
        self.open = Lookup(
            dialect,
            lambda v: (
                select(delivery.alert_id).distinct().where(delivery.alert_id.in_(v), delivery.settled_at.is_(None))
            ),
        )
        self.reached = Lookup(
            dialect,
            lambda v: (
                select(delivery.alert_id)
                .distinct()
                .where(
                    delivery.alert_id.in_(v),
                    delivery.state.in_((literal_column("'accepted'"), literal_column("'delivered'"))),
                )
            ),
        )


def _locked(mapper: Mapper[Any], *conditions: ColumnElement[bool]) -> Select[Any]:
    statement = select(*mapper.columns).where(*conditions)
    return statement.order_by(*(mapper.table.c[name] for name in mapper.key)).with_for_update()
