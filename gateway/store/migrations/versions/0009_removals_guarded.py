"""A price is removed rightly or not at all: by the version after the one in force, which it repeats, so that a bill can tell which."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_REMOVED = "a price that is removed was in force, and is repeated as it was"

_NOT_WHAT_WAS = """
    not exists (select 1 from tariffs where channel = new.channel and prefix = new.prefix and version = new.version - 1
        and not removed and price_micros = new.price_micros and charged_on = new.charged_on
        and unknown_end = new.unknown_end)
"""

_SQLITE = (
    # a column of truths takes any number there
    f"""
    create trigger tariffs_are_removed before insert on tariffs
    when typeof(new.removed) <> 'integer' or new.removed not in (0, 1) or new.removed and {_NOT_WHAT_WAS}
    begin select raise(abort, '{_REMOVED}'); end
    """,
)
_POSTGRESQL = (
    f"""
    create function tariffs_are_removed() returns trigger language plpgsql as $$ begin
        if new.removed and {_NOT_WHAT_WAS} then
            raise exception '{_REMOVED}' using errcode = 'check_violation';
        end if;
        return new;
    end $$
    """,
    "create trigger tariffs_are_removed before insert on tariffs for each row execute function tariffs_are_removed()",
)


def upgrade() -> None:
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.get_bind().exec_driver_sql(statement)
