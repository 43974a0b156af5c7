"""The form of a message's id that receipts are looked up by, beside the id as the provider spelled it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


# what `gateway.spelling.normal_form` makes of an id
FORM = "coalesce(nullif(ltrim(lower(provider_message_id), '0'), ''), substr(provider_message_id, 1, 1))"


def upgrade() -> None:
    for name in ("parts", "early_receipts"):
        op.add_column(name, sa.Column("receipt_id", sa.Text(), server_default="", nullable=False))
        table = sa.table(name, sa.column("receipt_id", sa.Text()))
        op.execute(sa.update(table).values(receipt_id=sa.literal_column(FORM)))
    op.add_column("early_receipts", sa.Column("spelling", sa.Text(), server_default="exact", nullable=False))
    op.drop_index("parts_provider_message", table_name="parts")
    op.create_index("parts_receipt", "parts", ["provider", "receipt_id"], unique=False)
    op.create_index("early_receipts_receipt", "early_receipts", ["provider", "receipt_id"], unique=False)
