"""Whom an acknowledgement counts for, and whether they took the alert in charge. What was said before counts for whom it was said by;
in charge was taken by a key of the phone alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("acknowledgements", sa.Column("person", sa.Text(), server_default="", nullable=False))
    op.add_column("acknowledgements", sa.Column("taken", sa.SmallInteger(), server_default="0", nullable=False))
    t = sa.table("acknowledgements", *(sa.column(name) for name in ("by", "comment", "key_id", "person", "taken")))
    op.execute(sa.update(t).values(person=t.c.by))
    op.execute(sa.update(t).where(t.c.key_id == "", t.c.comment == "taken").values(taken=1))
