"""A version of a tariff can say that there is no price any more; what is held under an older one keeps it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tariffs", sa.Column("removed", sa.Boolean(), server_default=sa.false(), nullable=False))
