"""The tables, the same on SQLite and PostgreSQL. Statements are built from them; migrations and triggers are beside this file.

Times are microseconds since 1970 UTC, money is in micros, flags are 0 or 1: the two databases then agree to the bit.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from billing.ledger import FLOWS

metadata = MetaData()
_SERIAL = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only in an INTEGER PRIMARY KEY


def _flag(name: str) -> Column[int]:
    return Column(name, SmallInteger, nullable=False, server_default="0")


accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("floor_micros", BigInteger),
    Column("callback_secret", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("floor_micros is null or floor_micros <= 0", name="a debt floor is not above zero"),
)

balances = Table(
    "balances",
    metadata,
    Column("name", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("amount_micros", BigInteger, nullable=False, server_default="0"),
    Column("through_entry", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("name not like 'held:%' or amount_micros >= 0", name="what is held is never below zero"),
    CheckConstraint("name not like 'revenue:%' or amount_micros >= 0", name="refunds never exceed revenue"),
    CheckConstraint("name not like 'topups:%' or amount_micros <= 0", name="top-ups only ever leave their source"),
)

entries = Table(
    "entries",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("cause_type", Text, nullable=False),
    Column("cause_id", Text, nullable=False),
    Column("debit", Text, ForeignKey("balances.name"), nullable=False),
    Column("credit", Text, ForeignKey("balances.name"), nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("reverses", BigInteger, ForeignKey("entries.id"), unique=True),
    Column("at", BigInteger, nullable=False),
    UniqueConstraint("account_id", "cause_type", "cause_id", "kind", name="one entry a cause and kind"),
    CheckConstraint("amount_micros > 0", name="an entry moves more than nothing"),
    CheckConstraint("debit <> credit", name="an entry has two sides"),
    CheckConstraint(
        " or ".join(
            f"(kind = '{kind}' and debit = '{source}:' || account_id and credit = '{target}:' || account_id)"
            for kind, (source, target) in FLOWS.items()
        ),
        name="an entry flows as its kind says",
    ),
    CheckConstraint(
        "(kind in ('refund', 'reversal')) = (reverses is not null)",
        name="a refund or reversal names the entry that it reverses",
    ),
    Index("entries_account", "account_id", "id"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("account_id", Text, ForeignKey("accounts.id")),
    Column("role", Text, nullable=False),
    Column("label", Text, nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    CheckConstraint(
        "role in ('submitter', 'operator', 'account_admin', 'administrator', 'auditor')", name="a key has a known role"
    ),
    CheckConstraint(
        "account_id is not null or role in ('administrator', 'auditor', 'operator')", name="a key is bound"
    ),
)

tariffs = Table(
    "tariffs",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("channel", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("price_micros", BigInteger, nullable=False),
    Column("charged_on", Text, nullable=False),
    Column("unknown_end", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("removed", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("channel", "prefix", "version", name="a tariff version exists once"),
    CheckConstraint("price_micros >= 0", name="a price is not below zero"),
    CheckConstraint("charged_on in ('accepted', 'delivered')", name="a tariff says what is charged"),
    CheckConstraint("unknown_end in ('capture', 'release')", name="a tariff says what an unknown end costs"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("key_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("reference", Text),
    Column("source", Text, nullable=False),
    Column("group_key", Text),
    Column("rule", Text, nullable=False),
    Column("quorum", Integer, nullable=False),
    Column("confirm_within_s", Integer),
    Column("confirm_by_at", BigInteger),
    _flag("resend"),
    _flag("exercise"),
    _flag("sensitive"),
    Column("callback_url", Text),
    Column("callback_n", Integer, nullable=False),
    Column("people", Integer, nullable=False),
    Column("files", Integer, nullable=False),
    Column("recipients", Text, nullable=False),
    Column("steps", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("step_at", BigInteger),
    Column("expanded", Integer, nullable=False),
    Column("expanding", Integer, nullable=False),
    Column("hold_left_micros", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("start_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("look_at", BigInteger, nullable=False),
    Column("sender", Text, nullable=False, server_default=""),
    Column("ruled_by", Text, nullable=False, server_default=""),
    Column("within", Text, nullable=False, server_default=""),
    Column("retold_at", BigInteger),
    CheckConstraint(
        "status in ('active', 'acknowledged', 'completed', 'resolved', 'cancelled', 'failed', 'expired')",
        name="an alert has a known status",
    ),
    CheckConstraint("priority between 0 and 3", name="an alert has a known priority"),
    CheckConstraint("rule in ('none', 'any', 'all', 'quorum')", name="an alert has a known rule"),
    CheckConstraint("status <> 'active' or ended_at is null", name="an active alert has not ended"),
    CheckConstraint("expanded <= expanding", name="no more deliveries than recipients"),
    CheckConstraint("hold_left_micros >= 0", name="no more is split than was held"),
    Index("alerts_account", "account_id", "id"),
    Index("alerts_reference",
        "reference",
        "account_id", sqlite_where=text("reference is not null"),
          postgresql_where=text("reference is not null")),
    Index("alerts_group",
        "group_key",
        "account_id", sqlite_where=text("group_key is not null"),
          postgresql_where=text("group_key is not null")),
    Index("alerts_within", "within", sqlite_where=text("within <> ''"), postgresql_where=text("within <> ''")),
    Index("alerts_look", "look_at", sqlite_where=text("ended_at is null"), postgresql_where=text("ended_at is null")),
)  # fmt: skip

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("alert_id", Text, ForeignKey("alerts.id"), nullable=False),
    Column("account_id", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("recipient", Integer, nullable=False),
    Column("person", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("urgency", SmallInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("exhausted", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("chain", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("units", Integer, nullable=False),
    Column("price_micros", BigInteger, nullable=False),
    Column("hold_micros", BigInteger, nullable=False),
    Column("captured_micros", BigInteger, nullable=False),
    Column("tariff_id", BigInteger),
    _flag("resend"),
    _flag("cancel_requested"),
    Column("language", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("look_at", BigInteger, nullable=False),
    Column("deadline_at", BigInteger, nullable=False),
    Column("settled_at", BigInteger),
    CheckConstraint(
        "state in ('queued', 'sending', 'unsure', 'accepted', 'delivered', 'failed', 'expired', 'cancelled')",
        name="a delivery has a known state",
    ),
    CheckConstraint(
        "state not in ('queued', 'sending', 'unsure') or settled_at is null", name="what is under way is not settled"
    ),
    CheckConstraint(
        "state not in ('delivered', 'failed', 'expired', 'cancelled') or settled_at is not null",
        name="what has ended is settled",
    ),
    CheckConstraint("state not in ('sending', 'unsure') or epoch > 0", name="what is sent has been claimed"),
    CheckConstraint("captured_micros between 0 and hold_micros", name="no more is captured than was held"),
    CheckConstraint("units > 0", name="a delivery has units"),
    Index("deliveries_alert", "alert_id", "id"),
    Index("deliveries_look", "look_at", sqlite_where=text("settled_at is null"),
          postgresql_where=text("settled_at is null")),
    Index("deliveries_open", "alert_id", sqlite_where=text("settled_at is null"),
          postgresql_where=text("settled_at is null")),
    sqlite_with_rowid=False,
)  # fmt: skip

attempts = Table(
    "attempts",
    metadata,
    Column("delivery_id", Text, ForeignKey("deliveries.id"), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("chain", Integer, nullable=False),
    Column("provider", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", BigInteger),
    PrimaryKeyConstraint("delivery_id", "epoch"),
    CheckConstraint(
        "outcome in ('', 'accepted', 'delivered', 'retry_later', 'failed', 'unsure')",
        name="an attempt has a known outcome",
    ),
    CheckConstraint("(outcome = '') = (at is null)", name="an attempt that ended says when"),
    sqlite_with_rowid=False,
)

parts = Table(
    "parts",
    metadata,
    Column("delivery_id", Text, ForeignKey("deliveries.id"), nullable=False),
    Column("chain", Integer, nullable=False),
    Column("n", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("provider", Text, nullable=False),
    Column("provider_message_id", Text, nullable=False),
    Column("receipt_id", Text, nullable=False, server_default=""),
    Column("units", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("raw", Text, nullable=False),
    Column("sent_at", BigInteger, nullable=False),
    Column("at", BigInteger),
    PrimaryKeyConstraint("delivery_id", "chain", "n"),
    CheckConstraint("state in ('accepted', 'delivered', 'failed')", name="a part has a known state"),
    Index("parts_receipt", "provider", "receipt_id"),
    sqlite_with_rowid=False,
)

early_receipts = Table(
    "early_receipts",
    metadata,
    Column("id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("provider_message_id", Text, nullable=False),
    Column("receipt_id", Text, nullable=False, server_default=""),
    Column("spelling", Text, nullable=False, server_default="exact"),
    _flag("exact"),
    Column("address", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("raw", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("provider", "provider_message_id", "id"),
    Index("early_receipts_at", "at"),
    Index("early_receipts_receipt", "provider", "receipt_id"),
    Index("early_receipts_id", "id"),
)

events = Table(
    "events",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("alert_id", Text, nullable=False),
    Column("delivery_id", Text),
    Column("kind", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("events_alert", "alert_id", "id"),
)

acknowledgements = Table(
    "acknowledgements",
    metadata,
    Column("id", Text, primary_key=True),
    Column("alert_id", Text, ForeignKey("alerts.id"), nullable=False),
    Column("by", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    _flag("handed_back"),
    Column("person", Text, nullable=False, server_default=""),
    _flag("taken"),
    Index("acknowledgements_alert", "alert_id", "id"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("answer", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("key", "account_id", "route"),
    Index("idempotency_created", "created_at"),
    sqlite_with_rowid=False,
)

callbacks = Table(
    "callbacks",
    metadata,
    Column("alert_id", Text, ForeignKey("alerts.id"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    PrimaryKeyConstraint("alert_id", "n"),
    CheckConstraint("state in ('pending', 'done', 'parked')", name="a callback has a known state"),
    Index(
        "callbacks_parked",
        "alert_id",
        "n",
        sqlite_where=text("state = 'parked'"),
        postgresql_where=text("state = 'parked'"),
    ),
    Index(
        "callbacks_due", "due_at", sqlite_where=text("state = 'pending'"), postgresql_where=text("state = 'pending'")
    ),
    sqlite_with_rowid=False,
)

attachments = Table(
    "attachments",
    metadata,
    Column("alert_id", Text, ForeignKey("alerts.id"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("alert_id", "n"),
)

inbound_messages = Table(
    "inbound_messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

inbound_parts = Table(
    "inbound_parts",
    metadata,
    Column("provider", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("reference", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("n", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("provider", "source", "destination", "reference", "total", "n"),
    Index("inbound_parts_at", "at"),
)
