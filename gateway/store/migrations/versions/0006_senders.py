"""Who told of a trouble, and by which rule one member became an alert: part of the trouble's identity. When an alert that others
joined began to say what it says. What is open was told by its key; whichever rule it was is not known, and fits each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("sender", "ruled_by", "within"):
        op.add_column("alerts", sa.Column(name, sa.Text(), server_default="", nullable=False))
    op.add_column("alerts", sa.Column("retold_at", sa.BigInteger(), nullable=True))
    t = sa.table("alerts", *(sa.column(name) for name in ("sender", "key_id", "status")))
    live = t.c.status.in_(("active", "acknowledged"))
    op.execute(sa.update(t).where(live).values(sender=t.c.key_id))
    some = sa.text("within <> ''")
    op.create_index("alerts_within", "alerts", ["within"], sqlite_where=some, postgresql_where=some)
