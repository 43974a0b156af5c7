"""Triggers of the ledger: entries are immutable, and a balance changes by an entry or not at all."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SQLITE = (
    """
    create trigger entries_stay before update on entries begin
        select raise(abort, 'an entry is immutable: write one that reverses it');
    end
    """,
    """
    create trigger entries_remain before delete on entries begin
        select raise(abort, 'an entry is immutable: write one that reverses it');
    end
    """,
    """
    create trigger entries_move_balances after insert on entries begin
        update balances set amount_micros = amount_micros - new.amount_micros, through_entry = new.id
            where name = new.debit;
        update balances set amount_micros = amount_micros + new.amount_micros, through_entry = new.id
            where name = new.credit;
    end
    """,
    """
    create trigger balances_follow_entries before update on balances
    when not exists (
        select 1 from entries e
        where e.id = new.through_entry and new.through_entry > old.through_entry and new.name = old.name
            and new.amount_micros - old.amount_micros =
                case new.name when e.credit then e.amount_micros when e.debit then -e.amount_micros end
    )
    begin
        select raise(abort, 'a balance changes by an entry or not at all');
    end
    """,
    """
    create trigger balances_start_empty before insert on balances
    when new.amount_micros <> 0 or new.through_entry <> 0
    begin
        select raise(abort, 'a balance changes by an entry or not at all');
    end
    """,
    """
    create trigger balances_remain before delete on balances begin
        select raise(abort, 'a balance changes by an entry or not at all');
    end
    """,
)

_POSTGRESQL = (
    """
    create function entries_stay() returns trigger language plpgsql as $$ begin
        raise exception 'an entry is immutable: write one that reverses it' using errcode = 'check_violation';
    end $$
    """,
    "create trigger entries_stay before update or delete on entries for each row execute function entries_stay()",
    "create trigger entries_remain before truncate on entries for each statement execute function entries_stay()",
    """
    create function entries_move_balances() returns trigger language plpgsql as $$ begin
        update balances set amount_micros = amount_micros - new.amount_micros, through_entry = new.id
            where name = new.debit;
        update balances set amount_micros = amount_micros + new.amount_micros, through_entry = new.id
            where name = new.credit;
        return null;
    end $$
    """,
    """
    create trigger entries_move_balances after insert on entries
    for each row execute function entries_move_balances()
    """,
    """
    create function balances_follow_entries() returns trigger language plpgsql as $$ begin
        if tg_op = 'INSERT' then
            if new.amount_micros = 0 and new.through_entry = 0 then return new; end if;
        elsif tg_op = 'UPDATE' then
            if exists (
                select 1 from entries e
                where e.id = new.through_entry and new.through_entry > old.through_entry and new.name = old.name
                    and new.amount_micros - old.amount_micros =
                        case new.name when e.credit then e.amount_micros when e.debit then -e.amount_micros end
            ) then return new; end if;
        end if;
        raise exception 'a balance changes by an entry or not at all' using errcode = 'check_violation';
    end $$
    """,
    """
    create trigger balances_follow_entries before insert or update or delete on balances
    for each row execute function balances_follow_entries()
    """,
)


def upgrade() -> None:
    statements = _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL
    for statement in statements:
        op.execute(statement)
