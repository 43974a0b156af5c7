# ruff: noqa: E501 - the constraints read best as one line each
"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("floor_micros", sa.BigInteger(), nullable=True),
        sa.Column("callback_secret", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("floor_micros is null or floor_micros <= 0", name="a debt floor is not above zero"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "early_receipts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_message_id", sa.Text(), nullable=False),
        sa.Column("exact", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "provider_message_id", "id"),
    )
    op.create_index("early_receipts_at", "early_receipts", ["at"], unique=False)
    op.create_index("early_receipts_id", "early_receipts", ["id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("events_alert", "events", ["alert_id", "id"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "account_id", "route"),
        sqlite_with_rowid=False,
    )
    op.create_index("idempotency_created", "idempotency", ["created_at"], unique=False)
    op.create_table(
        "inbound_messages",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "inbound_parts",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("reference", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "source", "destination", "reference", "total", "n"),
    )
    op.create_index("inbound_parts_at", "inbound_parts", ["at"], unique=False)
    op.create_table(
        "tariffs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("price_micros", sa.BigInteger(), nullable=False),
        sa.Column("charged_on", sa.Text(), nullable=False),
        sa.Column("unknown_end", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("charged_on in ('accepted', 'delivered')", name="a tariff says what is charged"),
        sa.CheckConstraint("unknown_end in ('capture', 'release')", name="a tariff says what an unknown end costs"),
        sa.CheckConstraint("price_micros >= 0", name="a price is not below zero"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("channel", "prefix", "version", name="a tariff version exists once"),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("group_key", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("quorum", sa.Integer(), nullable=False),
        sa.Column("confirm_within_s", sa.Integer(), nullable=True),
        sa.Column("confirm_by_at", sa.BigInteger(), nullable=True),
        sa.Column("resend", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("exercise", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("sensitive", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("callback_url", sa.Text(), nullable=True),
        sa.Column("callback_n", sa.Integer(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("recipients", sa.Text(), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("step_at", sa.BigInteger(), nullable=True),
        sa.Column("expanded", sa.Integer(), nullable=False),
        sa.Column("expanding", sa.Integer(), nullable=False),
        sa.Column("hold_left_micros", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("start_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("look_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("rule in ('none', 'any', 'all', 'quorum')", name="an alert has a known rule"),
        sa.CheckConstraint("status <> 'active' or ended_at is null", name="an active alert has not ended"),
        sa.CheckConstraint(
            "status in ('active', 'acknowledged', 'completed', 'resolved', 'cancelled', 'failed', 'expired')",
            name="an alert has a known status",
        ),
        sa.CheckConstraint("expanded <= expanding", name="no more deliveries than recipients"),
        sa.CheckConstraint("hold_left_micros >= 0", name="no more is split than was held"),
        sa.CheckConstraint("priority between 0 and 3", name="an alert has a known priority"),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("alerts_account", "alerts", ["account_id", "id"], unique=False)
    op.create_index(
        "alerts_group",
        "alerts",
        ["group_key", "account_id"],
        unique=False,
        sqlite_where=sa.text("group_key is not null"),
        postgresql_where=sa.text("group_key is not null"),
    )
    op.create_index(
        "alerts_look",
        "alerts",
        ["look_at"],
        unique=False,
        sqlite_where=sa.text("ended_at is null"),
        postgresql_where=sa.text("ended_at is null"),
    )
    op.create_index(
        "alerts_reference",
        "alerts",
        ["reference", "account_id"],
        unique=False,
        sqlite_where=sa.text("reference is not null"),
        postgresql_where=sa.text("reference is not null"),
    )
    op.create_table(
        "balances",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("through_entry", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("name not like 'held:%' or amount_micros >= 0", name="what is held is never below zero"),
        sa.CheckConstraint("name not like 'revenue:%' or amount_micros >= 0", name="refunds never exceed revenue"),
        sa.CheckConstraint(
            "name not like 'topups:%' or amount_micros <= 0", name="top-ups only ever leave their source"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
        ),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "account_id is not null or role in ('administrator', 'auditor', 'operator')", name="a key is bound"
        ),
        sa.CheckConstraint(
            "role in ('submitter', 'operator', 'account_admin', 'administrator', 'auditor')",
            name="a key has a known role",
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "acknowledgements",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["alerts.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("acknowledgements_alert", "acknowledgements", ["alert_id", "id"], unique=False)
    op.create_table(
        "attachments",
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["alerts.id"],
        ),
        sa.PrimaryKeyConstraint("alert_id", "n"),
    )
    op.create_table(
        "callbacks",
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state in ('pending', 'done', 'parked')", name="a callback has a known state"),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["alerts.id"],
        ),
        sa.PrimaryKeyConstraint("alert_id", "n"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "callbacks_due",
        "callbacks",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "callbacks_parked",
        "callbacks",
        ["alert_id", "n"],
        unique=False,
        sqlite_where=sa.text("state = 'parked'"),
        postgresql_where=sa.text("state = 'parked'"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("recipient", sa.Integer(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("urgency", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("exhausted", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("chain", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("price_micros", sa.BigInteger(), nullable=False),
        sa.Column("hold_micros", sa.BigInteger(), nullable=False),
        sa.Column("captured_micros", sa.BigInteger(), nullable=False),
        sa.Column("tariff_id", sa.BigInteger(), nullable=True),
        sa.Column("resend", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("cancel_requested", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("look_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state in ('queued', 'sending', 'unsure', 'accepted', 'delivered', 'failed', 'expired', 'cancelled')",
            name="a delivery has a known state",
        ),
        sa.CheckConstraint(
            "state not in ('delivered', 'failed', 'expired', 'cancelled') or settled_at is not null",
            name="what has ended is settled",
        ),
        sa.CheckConstraint(
            "state not in ('queued', 'sending', 'unsure') or settled_at is null",
            name="what is under way is not settled",
        ),
        sa.CheckConstraint("state not in ('sending', 'unsure') or epoch > 0", name="what is sent has been claimed"),
        sa.CheckConstraint("captured_micros between 0 and hold_micros", name="no more is captured than was held"),
        sa.CheckConstraint("units > 0", name="a delivery has units"),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["alerts.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_index("deliveries_alert", "deliveries", ["alert_id", "id"], unique=False)
    op.create_index(
        "deliveries_look",
        "deliveries",
        ["look_at"],
        unique=False,
        sqlite_where=sa.text("settled_at is null"),
        postgresql_where=sa.text("settled_at is null"),
    )
    op.create_index(
        "deliveries_open",
        "deliveries",
        ["alert_id"],
        unique=False,
        sqlite_where=sa.text("settled_at is null"),
        postgresql_where=sa.text("settled_at is null"),
    )
    op.create_table(
        "entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cause_type", sa.Text(), nullable=False),
        sa.Column("cause_id", sa.Text(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("reverses", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(kind = 'refund') = (reverses is not null)", name="a refund names the entry that it reverses"
        ),
        sa.CheckConstraint(
            "(kind = 'topup' and debit = 'topups:' || account_id and credit = 'prepaid:' || account_id) or (kind = 'hold' and debit = 'prepaid:' || account_id and credit = 'held:' || account_id) or (kind = 'capture' and debit = 'held:' || account_id and credit = 'revenue:' || account_id) or (kind = 'release' and debit = 'held:' || account_id and credit = 'prepaid:' || account_id) or (kind = 'refund' and debit = 'revenue:' || account_id and credit = 'prepaid:' || account_id)",
            name="an entry flows as its kind says",
        ),
        sa.CheckConstraint("amount_micros > 0", name="an entry moves more than nothing"),
        sa.CheckConstraint("debit <> credit", name="an entry has two sides"),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
        ),
        sa.ForeignKeyConstraint(
            ["credit"],
            ["balances.name"],
        ),
        sa.ForeignKeyConstraint(
            ["debit"],
            ["balances.name"],
        ),
        sa.ForeignKeyConstraint(
            ["reverses"],
            ["entries.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account_id", "cause_type", "cause_id", "kind", name="one entry a cause and kind"),
        sa.UniqueConstraint("reverses"),
    )
    op.create_index("entries_account", "entries", ["account_id", "id"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("chain", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(outcome = '') = (at is null)", name="an attempt that ended says when"),
        sa.CheckConstraint(
            "outcome in ('', 'accepted', 'delivered', 'retry_later', 'failed', 'unsure')",
            name="an attempt has a known outcome",
        ),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["deliveries.id"],
        ),
        sa.PrimaryKeyConstraint("delivery_id", "epoch"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "parts",
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("chain", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_message_id", sa.Text(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state in ('accepted', 'delivered', 'failed')", name="a part has a known state"),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["deliveries.id"],
        ),
        sa.PrimaryKeyConstraint("delivery_id", "chain", "n"),
        sqlite_with_rowid=False,
    )
    op.create_index("parts_provider_message", "parts", ["provider", "provider_message_id"], unique=False)
