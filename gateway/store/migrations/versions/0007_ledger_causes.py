"""The ledger knows reversals of top-ups, and its guards know causes: an entry is written only for what exists and in the amount
that was held or charged, and what entries were written for keeps what they say of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_FLOWS = {
    "topup": ("topups", "prepaid"),
    "hold": ("prepaid", "held"),
    "capture": ("held", "revenue"),
    "release": ("held", "prepaid"),
    "refund": ("revenue", "prepaid"),
    "reversal": ("prepaid", "topups"),
}
_FLOW_NAME = "an entry flows as its kind says"
_FLOW = " or ".join(
    f"(kind = '{kind}' and debit = '{source}:' || account_id and credit = '{target}:' || account_id)"
    for kind, (source, target) in _FLOWS.items()
)
_OLD_REVERSES_NAME = "a refund names the entry that it reverses"
_REVERSES_NAME = "a refund or reversal names the entry that it reverses"
_REVERSES = "(kind in ('refund', 'reversal')) = (reverses is not null)"

_ONCE = "an entry is written once"
_WHOLE_MICROS = "an amount is a whole number of micros"
_TWO_BALANCES = "an entry moves two balances that are there"
_HOLD = "a hold is made for an alert of its account"
_CAPTURE = "a capture is what a settled delivery of its account was charged"
_RELEASE = "a release is what a settled delivery of its account was not charged, or is made for an alert of the account"
_TOPUP = "a top-up is made for a reference"
_REFUND = "a refund gives back one capture of its account, whole"
_REVERSAL = "a reversal takes back one top-up of its account, whole"
_IDENTITY = "an account keeps its id, and its currency once it has entries"
_ACCOUNT_REMAINS = "an account that has balances is not removed"
_ACCOUNT_ONCE = "an account is made once"
_FOUR = "an account has four balances, and each is made once"
_DELIVERY = "a delivery belongs to an alert of its account, and its tariff exists"
_SETTLED = "a settled delivery stays settled, and is charged once"
_HELD = "what a delivery was held for does not change"
_DELIVERY_REMAINS = "a delivery that credit was held for is not removed"
_ALERT_ACCOUNT = "an alert keeps its id and its account"
_ALERT_REMAINS = "an alert that credit was held for is not removed"
_TARIFF = "a version of a tariff is never changed: set a new one"
_TARIFF_NEXT = "the versions of a tariff follow each other"

_FIXED = ("id", "alert_id", "account_id", "units", "price_micros", "hold_micros", "tariff_id")
"""Of a delivery: what money was held for. Statements that do not name these columns pay nothing for the guard."""
_OLD_SETTLED = (
    "old.settled_at is not null and (new.settled_at is {distinct} old.settled_at "
    "or new.captured_micros <> old.captured_micros)"
)

# `alert:step@start` names the hold of a step
_HOLDS_SOME = """
    not exists (select 1 from alerts where id = {alert} and account_id = new.account_id)
"""
_SETTLED_AS = """
    not exists (select 1 from deliveries where id = new.cause_id and account_id = new.account_id
        and settled_at is not null and {amount} = new.amount_micros)
"""
_WHOLE = """
    not exists (select 1 from entries where id = new.reverses and kind = '{kind}' and account_id = new.account_id
        and amount_micros = new.amount_micros)
"""
_SQLITE_ALERT = _HOLDS_SOME.format(alert="substr(new.cause_id, 1, instr(new.cause_id, ':') - 1)")
_POSTGRESQL_ALERT = _HOLDS_SOME.format(alert="split_part(new.cause_id, ':', 1)")
_CAPTURED = _SETTLED_AS.format(amount="captured_micros")
_RELEASED = _SETTLED_AS.format(amount="hold_micros - captured_micros")
_NO_ALERT_OF_THE_DELIVERY = """
    not exists (select 1 from alerts where id = new.alert_id and account_id = new.account_id)
    or new.tariff_id is not null and not exists (select 1 from tariffs where id = new.tariff_id)
"""
_NOT_NEXT = """
    new.version <> 1 + coalesce((select max(version) from tariffs where channel = new.channel and prefix = new.prefix), 0)
"""
_NOT_ONE_OF_FOUR = """
    new.name not in ('prepaid:' || new.account_id, 'held:' || new.account_id, 'revenue:' || new.account_id,
        'topups:' || new.account_id)
    or not exists (select 1 from accounts where id = new.account_id)
"""


def _changed(*names: str, distinct: str) -> str:
    return " or ".join(f"new.{name} is {distinct} old.{name}" for name in names)


def _refusing(name: str, event: str, when: str, text: str) -> str:
    """A trigger of SQLite that refuses with a sentence."""
    return f"create trigger {name} before {event} when {when} begin select raise(abort, '{text}'); end"


_KEEPS_HOLDS = """
    exists (select 1 from entries where account_id = old.account_id and cause_type = 'alert'
        and substr(cause_id, 1, length(old.id) + 1) = old.id || ':')
"""

_SQLITE = (
    # "insert or replace" would remove the former row without a word: no trigger of a deletion runs for it
    f"""
    create trigger entries_have_causes before insert on entries begin
        select case
            when exists (select 1 from entries where id = new.id) or exists (
                select 1 from entries where account_id = new.account_id and cause_type = new.cause_type
                    and cause_id = new.cause_id and kind = new.kind)
                or new.reverses is not null and exists (select 1 from entries where reverses = new.reverses)
            then raise(abort, '{_ONCE}')
            when not exists (select 1 from balances where name = new.debit)
                or not exists (select 1 from balances where name = new.credit) then raise(abort, '{_TWO_BALANCES}')
            when typeof(new.amount_micros) <> 'integer' then raise(abort, '{_WHOLE_MICROS}')
            when new.kind = 'capture' then case
                when new.cause_type <> 'delivery' or {_CAPTURED} then raise(abort, '{_CAPTURE}') end
            when new.kind = 'release' then case
                when new.cause_type = 'delivery' and {_RELEASED} then raise(abort, '{_RELEASE}')
                when new.cause_type = 'alert' and {_SQLITE_ALERT} then raise(abort, '{_RELEASE}')
                when new.cause_type not in ('delivery', 'alert') then raise(abort, '{_RELEASE}') end
            when new.kind = 'hold' then case
                when new.cause_type <> 'alert' or {_SQLITE_ALERT} then raise(abort, '{_HOLD}') end
            when new.kind = 'topup' then case
                when new.cause_type <> 'topup' or new.cause_id = '' then raise(abort, '{_TOPUP}') end
            when new.kind = 'refund' then case
                when new.cause_type <> 'refund' or {_WHOLE.format(kind="capture")} then raise(abort, '{_REFUND}') end
            when new.kind = 'reversal' then case
                when new.cause_type <> 'reversal' or {_WHOLE.format(kind="topup")} then raise(abort, '{_REVERSAL}') end
        end;
    end
    """,
    _refusing(
        "accounts_keep_their_currency",
        "update of id, currency on accounts",
        "new.id <> old.id or new.currency <> old.currency and exists (select 1 from entries where account_id = old.id)",
        _IDENTITY,
    ),
    _refusing(
        "accounts_are_made_once",
        "insert on accounts",
        "exists (select 1 from accounts where id = new.id)",
        _ACCOUNT_ONCE,
    ),
    _refusing(
        "accounts_remain",
        "delete on accounts",
        "exists (select 1 from balances where account_id = old.id)",
        _ACCOUNT_REMAINS,
    ),
    _refusing(
        "balances_are_four",
        "insert on balances",
        f"{_NOT_ONE_OF_FOUR} or exists (select 1 from balances where name = new.name)",
        _FOUR,
    ),
    _refusing("deliveries_have_alerts", "insert on deliveries", _NO_ALERT_OF_THE_DELIVERY, _DELIVERY),
    _refusing(
        "deliveries_stay_settled",
        "update of settled_at, captured_micros on deliveries",
        _OLD_SETTLED.format(distinct="not"),
        _SETTLED,
    ),
    _refusing(
        "deliveries_keep_their_hold",
        f"update of {', '.join(_FIXED)} on deliveries",
        _changed(*_FIXED, distinct="not"),
        _HELD,
    ),
    _refusing("deliveries_remain", "delete on deliveries", "old.hold_micros > 0", _DELIVERY_REMAINS),
    _refusing(
        "alerts_keep_their_account",
        "update of id, account_id on alerts",
        _changed("id", "account_id", distinct="not"),
        _ALERT_ACCOUNT,
    ),
    _refusing("alerts_remain", "delete on alerts", _KEEPS_HOLDS, _ALERT_REMAINS),
    _refusing("tariffs_stay", "update on tariffs", "true", _TARIFF),
    _refusing("tariffs_remain", "delete on tariffs", "true", _TARIFF),
    _refusing(
        "tariffs_follow",
        "insert on tariffs",
        f"{_NOT_NEXT} or exists (select 1 from tariffs where id = new.id)",
        _TARIFF_NEXT,
    ),
)


def _refusal(text: str) -> str:
    return f"raise exception '{text}' using errcode = 'check_violation';"


def _function(name: str, body: str) -> str:
    return f"create function {name}() returns trigger language plpgsql as $$ begin {body} end $$"


def _refusing_function(name: str, text: str) -> str:
    return _function(name, _refusal(text))


_POSTGRESQL = (
    _function(
        "entries_have_causes",
        f"""
        case new.kind
            when 'capture' then
                if new.cause_type <> 'delivery' or {_CAPTURED} then {_refusal(_CAPTURE)} end if;
            when 'release' then
                if new.cause_type = 'delivery' then
                    if {_RELEASED} then {_refusal(_RELEASE)} end if;
                elsif new.cause_type <> 'alert' or {_POSTGRESQL_ALERT} then {_refusal(_RELEASE)} end if;
            when 'hold' then
                if new.cause_type <> 'alert' or {_POSTGRESQL_ALERT} then {_refusal(_HOLD)} end if;
            when 'topup' then
                if new.cause_type <> 'topup' or new.cause_id = '' then {_refusal(_TOPUP)} end if;
            when 'refund' then
                if new.cause_type <> 'refund' or {_WHOLE.format(kind="capture")} then {_refusal(_REFUND)} end if;
            when 'reversal' then
                if new.cause_type <> 'reversal' or {_WHOLE.format(kind="topup")} then {_refusal(_REVERSAL)} end if;
            else null;
        end case;
        return new;
        """,
    ),
    """
    create trigger entries_have_causes before insert on entries
    for each row execute function entries_have_causes()
    """,
    _function(
        "accounts_keep_their_currency",
        f"""
        if new.id <> old.id or new.currency <> old.currency and exists (select 1 from entries where account_id = old.id)
        then {_refusal(_IDENTITY)} end if;
        return new;
        """,
    ),
    """
    create trigger accounts_keep_their_currency before update of id, currency on accounts
    for each row execute function accounts_keep_their_currency()
    """,
    _function(
        "accounts_remain",
        f"""
        if exists (select 1 from balances where account_id = old.id) then {_refusal(_ACCOUNT_REMAINS)} end if;
        return old;
        """,
    ),
    "create trigger accounts_remain before delete on accounts for each row execute function accounts_remain()",
    _function("balances_are_four", f"if {_NOT_ONE_OF_FOUR} then {_refusal(_FOUR)} end if; return new;"),
    "create trigger balances_are_four before insert on balances for each row execute function balances_are_four()",
    _function(
        "deliveries_have_alerts", f"if {_NO_ALERT_OF_THE_DELIVERY} then {_refusal(_DELIVERY)} end if; return new;"
    ),
    """
    create trigger deliveries_have_alerts before insert on deliveries
    for each row execute function deliveries_have_alerts()
    """,
    _refusing_function("deliveries_stay_settled", _SETTLED),
    f"""
    create trigger deliveries_stay_settled before update of settled_at, captured_micros on deliveries
    for each row when ({_OLD_SETTLED.format(distinct="distinct from")}) execute function deliveries_stay_settled()
    """,
    _refusing_function("deliveries_keep_their_hold", _HELD),
    f"""
    create trigger deliveries_keep_their_hold before update of {", ".join(_FIXED)} on deliveries
    for each row when ({_changed(*_FIXED, distinct="distinct from")}) execute function deliveries_keep_their_hold()
    """,
    _refusing_function("deliveries_remain", _DELIVERY_REMAINS),
    """
    create trigger deliveries_remain before delete on deliveries
    for each row when (old.hold_micros > 0) execute function deliveries_remain()
    """,
    """
    create trigger deliveries_remain_together before truncate on deliveries
    for each statement execute function deliveries_remain()
    """,
    _refusing_function("alerts_keep_their_account", _ALERT_ACCOUNT),
    f"""
    create trigger alerts_keep_their_account before update of id, account_id on alerts
    for each row when ({_changed("id", "account_id", distinct="distinct from")})
    execute function alerts_keep_their_account()
    """,
    _function("alerts_remain", f"if {_KEEPS_HOLDS} then {_refusal(_ALERT_REMAINS)} end if; return old;"),
    "create trigger alerts_remain before delete on alerts for each row execute function alerts_remain()",
    _refusing_function("tariffs_stay", _TARIFF),
    "create trigger tariffs_stay before update or delete on tariffs for each row execute function tariffs_stay()",
    "create trigger tariffs_remain before truncate on tariffs for each statement execute function tariffs_stay()",
    _function("tariffs_follow", f"if {_NOT_NEXT} then {_refusal(_TARIFF_NEXT)} end if; return new;"),
    "create trigger tariffs_follow before insert on tariffs for each row execute function tariffs_follow()",
)


def upgrade() -> None:
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    if on_sqlite:
        _rebuild_entries()
    else:
        op.drop_constraint(_FLOW_NAME, "entries", type_="check")
        op.drop_constraint(_OLD_REVERSES_NAME, "entries", type_="check")
        op.create_check_constraint(_FLOW_NAME, "entries", _FLOW)
        op.create_check_constraint(_REVERSES_NAME, "entries", _REVERSES)
    for statement in _SQLITE if on_sqlite else _POSTGRESQL:
        op.get_bind().exec_driver_sql(statement)


def _rebuild_entries() -> None:
    """SQLite cannot change a CHECK: the table is made anew, row by row the same, with its guards."""
    connection = op.get_bind()
    found = connection.exec_driver_sql(
        "select name, sql from sqlite_master where type = 'trigger' and tbl_name in ('entries', 'balances')"
    )
    guards = [(str(name), str(sql)) for name, sql in found]
    for name, _ in guards:
        connection.exec_driver_sql(f'drop trigger "{name}"')
    op.create_table(
        "entries_anew",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cause_type", sa.Text(), nullable=False),
        sa.Column("cause_id", sa.Text(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("reverses", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(_REVERSES, name=_REVERSES_NAME),
        sa.CheckConstraint(_FLOW, name=_FLOW_NAME),
        sa.CheckConstraint("amount_micros > 0", name="an entry moves more than nothing"),
        sa.CheckConstraint("debit <> credit", name="an entry has two sides"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.ForeignKeyConstraint(["credit"], ["balances.name"]),
        sa.ForeignKeyConstraint(["debit"], ["balances.name"]),
        sa.ForeignKeyConstraint(["reverses"], ["entries_anew.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account_id", "cause_type", "cause_id", "kind", name="one entry a cause and kind"),
        sa.UniqueConstraint("reverses"),
    )
    columns = "id, account_id, kind, cause_type, cause_id, debit, credit, amount_micros, reverses, at"
    connection.exec_driver_sql(f"insert into entries_anew ({columns}) select {columns} from entries order by id")
    connection.exec_driver_sql("drop table entries")
    connection.exec_driver_sql("alter table entries_anew rename to entries")
    op.create_index("entries_account", "entries", ["account_id", "id"], unique=False)
    for _, sql in guards:
        connection.exec_driver_sql(sql)
