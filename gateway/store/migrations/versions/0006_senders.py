"""Who told of a trouble, and by which rule one member became an alert: part of the trouble's identity. When an alert that others
joined began to say what it says. What is open was told by its key, where that is not the command line's, which is a new one at each
start; whichever rule it was is not known, and fits each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COMMAND_LINE = "local command line"  # what `gateway.local_access` calls the keys of `tocsin send`, and now their sender


def upgrade() -> None:
    for name in ("sender", "ruled_by", "within"):
        op.add_column("alerts", sa.Column(name, sa.Text(), server_default="", nullable=False))
    op.add_column("alerts", sa.Column("retold_at", sa.BigInteger(), nullable=True))
    t = sa.table("alerts", *(sa.column(name) for name in ("sender", "key_id", "status")))
    live = t.c.status.in_(("active", "acknowledged"))
    op.execute(sa.update(t).where(live).values(sender=t.c.key_id))
    keys = sa.table("keys", *(sa.column(name) for name in ("id", "label", "account_id")))
    local = sa.select(keys.c.id).where(keys.c.label == COMMAND_LINE, keys.c.account_id.is_(None))
    op.execute(sa.update(t).where(live, t.c.key_id.in_(local)).values(sender=COMMAND_LINE))
    some = sa.text("within <> ''")
    op.create_index("alerts_within", "alerts", ["within"], sqlite_where=some, postgresql_where=some)
