"""Acknowledgements that were handed back with their alert: they stay on record, and count no more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("acknowledgements", sa.Column("handed_back", sa.SmallInteger(), server_default="0", nullable=False))
