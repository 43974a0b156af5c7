"""From entries to what caused them, and from deliveries, alerts and tariffs back to entries. Balances are compared elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Row

from billing.ledger import FLOWS, REVERSING, EntryKind
from billing.money import MICROS_MAX, format_amount
from gateway.delivery import ENDED as ENDED_STATES
from gateway.delivery import State
from gateway.findings import PROBLEMS_MAX, Finding, FindingKind

_LIMIT: Final = PROBLEMS_MAX + 1  # one more tells that there are others
_CAUSES: Final = {
    EntryKind.TOPUP: ("topup",),
    EntryKind.HOLD: ("alert",),
    EntryKind.CAPTURE: ("delivery",),
    EntryKind.RELEASE: ("delivery", "alert"),
    EntryKind.REFUND: ("refund",),
    EntryKind.REVERSAL: ("reversal",),
}
"""What each kind of entry is written for. The guards of the schema repeat this."""


def amount(micros: Any) -> str:
    """The amount as text; what a hand wrote in its place is shown as it is."""
    try:
        return format_amount(int(micros))  # PostgreSQL sums to a numeric
    except (TypeError, ValueError):
        return repr(micros)


def rows(connection: Connection, statement: str) -> Iterator[Row[Any]]:
    """The rows of one statement that names what is wrong, and no more than are named."""
    yield from connection.exec_driver_sql(f"{statement} limit {_LIMIT}")


def _quoted(*values: str) -> str:
    return ", ".join(f"'{value}'" for value in values)


def malformed_entries(connection: Connection) -> Iterator[Finding]:
    """Entries that no command can have written, whatever they are for."""
    flow = " or ".join(
        f"(kind = '{kind}' and debit = '{source}:' || account_id and credit = '{target}:' || account_id "
        f"and cause_type in ({_quoted(*_CAUSES[kind])}))"
        for kind, (source, target) in FLOWS.items()
    )
    whole = " or typeof(amount_micros) <> 'integer'" if connection.dialect.name == "sqlite" else ""
    reversing = _quoted(*REVERSING)
    for row in rows(
        connection,
        f"""
        select id, account_id, kind, cause_type, cause_id, debit, credit, amount_micros, reverses from entries
        where amount_micros <= 0 or amount_micros > {MICROS_MAX}{whole} or not ({flow}) or cause_id = ''
            or (kind in ({reversing})) <> (reverses is not null)
        order by id
        """,  # noqa: S608 - constants of ours
    ):
        text = (
            f"a {row.kind} of {amount(row.amount_micros)} from {row.debit} to {row.credit} for {row.cause_type} "
            f"{row.cause_id or 'nothing'}: no entry is like that"
        )
        yield Finding(FindingKind.ENTRY, f"entry {row.id}", text)


def entries_without_deliveries(connection: Connection) -> Iterator[Finding]:
    """Captures and releases whose delivery is not there, is another account's, is not settled, or was charged another amount."""
    for row in rows(
        connection,
        """
        select e.id, e.kind, e.account_id, e.amount_micros, e.cause_id, d.account_id as whose, d.settled_at,
            d.captured_micros, d.hold_micros
        from entries e left join deliveries d on d.id = e.cause_id
        where e.cause_type = 'delivery' and (d.id is null or d.account_id <> e.account_id or d.settled_at is null
            or e.amount_micros <> case e.kind when 'capture' then d.captured_micros else d.hold_micros - d.captured_micros end)
        order by e.id
        """,
    ):
        entry, what = f"entry {row.id}", f"a {row.kind} of {amount(row.amount_micros)} for delivery {row.cause_id}"
        if row.whose is None:
            yield Finding(FindingKind.CAUSE, entry, f"{what}, which is not there")
        elif row.whose != row.account_id:
            yield Finding(FindingKind.CAUSE, entry, f"{what} of account {row.whose}, paid by {row.account_id}")
        elif row.settled_at is None:
            yield Finding(FindingKind.CAUSE, entry, f"{what}, which is not settled")
        else:
            told = f"it was charged {amount(row.captured_micros)} of {amount(row.hold_micros)}"
            yield Finding(FindingKind.CAUSE, entry, f"{what}; {told}")


def entries_without_alerts(connection: Connection) -> Iterator[Finding]:
    """Holds and releases whose alert is not there, or is another account's."""
    for row in rows(
        connection,
        f"""
        select e.id, e.kind, e.account_id, e.amount_micros, e.cause_id, s.account_id as whose
        from entries e left join alerts s on s.id = {_alert_of(connection, "e")}
        where e.cause_type = 'alert' and (s.id is null or s.account_id <> e.account_id)
        order by e.id
        """,  # noqa: S608 - constants of ours
    ):
        what = f"a {row.kind} of {amount(row.amount_micros)} for alert {row.cause_id}"
        wrong = "which is not there" if row.whose is None else f"which is of account {row.whose}, not {row.account_id}"
        yield Finding(FindingKind.CAUSE, f"entry {row.id}", f"{what}, {wrong}")


def _alert_of(connection: Connection, table: str) -> str:
    """The alert in `alert:step@start`, which is what the hold of a step is made for."""
    if connection.dialect.name == "sqlite":
        return f"substr({table}.cause_id, 1, instr({table}.cause_id, ':') - 1)"
    return f"split_part({table}.cause_id, ':', 1)"


def entries_taken_back_wrongly(connection: Connection) -> Iterator[Finding]:
    """Refunds and reversals of what is not there, is something else, another account's, another amount, or later; or twice."""
    for row in rows(
        connection,
        """
        select e.id, e.kind, e.account_id, e.amount_micros, e.reverses, c.id as taken, c.kind as what,
            c.account_id as whose, c.amount_micros as amount
        from entries e left join entries c on c.id = e.reverses
        where e.reverses is not null and (c.id is null or c.id >= e.id or c.account_id <> e.account_id
            or c.amount_micros <> e.amount_micros
            or c.kind <> case e.kind when 'refund' then 'capture' when 'reversal' then 'topup' else '' end)
        order by e.id
        """,
    ):
        what = f"a {row.kind} of {amount(row.amount_micros)} takes entry {row.reverses} back"
        if row.taken is None:
            wrong = "which is not there"
        elif row.whose != row.account_id:
            wrong = f"which is of account {row.whose}, not {row.account_id}"
        elif row.taken >= row.id:
            wrong = "which came later"
        else:
            wrong = f"which is a {row.what} of {amount(row.amount)}"
        yield Finding(FindingKind.TAKEN_BACK, f"entry {row.id}", f"{what}, {wrong}")
    for row in rows(
        connection,
        "select reverses, count(*) as times from entries where reverses is not null group by reverses having count(*) > 1",
    ):
        yield Finding(FindingKind.TAKEN_BACK, f"entry {row.reverses}", f"it was taken back {row.times} times")


def missettled_deliveries(connection: Connection) -> Iterator[Finding]:
    """Deliveries not settled exactly once: the whole hold captured or released, and not before the end."""
    under_way = _quoted(State.QUEUED, State.SENDING, State.UNSURE)
    ended = _quoted(*sorted(ENDED_STATES))
    for row in rows(
        connection,
        f"""
        select d.id, d.state, d.hold_micros, d.captured_micros, d.settled_at, c.amount_micros as captured,
            r.amount_micros as released
        from deliveries d
        left join entries c on c.account_id = d.account_id and c.cause_type = 'delivery' and c.cause_id = d.id
            and c.kind = 'capture'
        left join entries r on r.account_id = d.account_id and r.cause_type = 'delivery' and r.cause_id = d.id
            and r.kind = 'release'
        where d.settled_at is not null and (coalesce(c.amount_micros, 0) <> d.captured_micros
                or coalesce(r.amount_micros, 0) <> d.hold_micros - d.captured_micros or d.state in ({under_way}))
            or d.settled_at is null and (c.id is not null or r.id is not null or d.captured_micros <> 0
                or d.state in ({ended}))
        order by d.id
        """,  # noqa: S608 - constants of ours
    ):
        captured, released = row.captured or 0, row.released or 0
        settled = "settled" if row.settled_at is not None else "not settled"
        text = (
            f"{amount(row.hold_micros)} was held, and it was charged {amount(row.captured_micros)}; "
            f"by its entries {amount(captured)} was captured and {amount(released)} released"
        )
        yield Finding(FindingKind.SETTLEMENT, f"delivery {row.id} ({row.state}, {settled})", text)


def mispriced_deliveries(connection: Connection) -> Iterator[Finding]:
    """Deliveries of another account than their alert, or whose price and hold are not those of their tariff."""
    for row in rows(
        connection,
        """
        select d.id, d.account_id, s.account_id as whose, d.units, d.price_micros, d.hold_micros, d.captured_micros,
            d.tariff_id, t.price_micros as price, d.address, t.channel, t.prefix, t.removed
        from deliveries d left join alerts s on s.id = d.alert_id left join tariffs t on t.id = d.tariff_id
        where s.account_id <> d.account_id or d.tariff_id is not null and t.id is null or t.removed
            or substr(d.address, 1, length(t.channel || ':' || t.prefix)) <> t.channel || ':' || t.prefix
            or d.price_micros <> coalesce(t.price_micros, 0) or d.hold_micros not in (0, d.units * d.price_micros)
            or d.captured_micros < 0 or d.captured_micros > d.hold_micros
        order by d.id
        """,
    ):
        if row.whose is not None and row.whose != row.account_id:
            text = f"it is of account {row.account_id}, and its alert of {row.whose}"
        elif row.tariff_id is not None and row.price is None:
            text = f"its tariff {row.tariff_id} is not there"
        elif row.removed:
            text = f"its tariff {row.tariff_id} says that there is no price any more"
        elif row.channel is not None and not str(row.address).startswith(f"{row.channel}:{row.prefix}"):
            text = (
                f"its tariff {row.tariff_id} is that of {row.channel}:{row.prefix or '*'}, and it goes to {row.address}"
            )
        else:
            text = (
                f"{row.units} units at {amount(row.price_micros)} were held with {amount(row.hold_micros)} and charged "
                f"{amount(row.captured_micros)}; its tariff says {amount(row.price or 0)} a unit"
            )
        yield Finding(FindingKind.DELIVERY, f"delivery {row.id}", text)


_OF_ITS_ENTRIES: Final = """(
    select coalesce(sum(e.amount_micros), 0) from entries e where e.account_id = s.account_id and e.cause_type = 'alert'
        and e.cause_id > s.id || ':' and e.cause_id < s.id || ';' and e.kind = '{kind}'
)"""
_MISHELD: Final = """
    select * from ({sums}) s where held <> given + released + hold_left or ended_at is not null and hold_left <> 0
        or ended_at is null and status not in ('active', 'acknowledged') or ended_at is not null and status = 'active'
    order by id
"""
# one alert after the other, each by its indexes: SQLite would compare every alert with every group
_MISHELD_ON_SQLITE: Final = _MISHELD.format(
    sums=f"""
    select s.id, s.status, s.ended_at, s.hold_left_micros as hold_left, {_OF_ITS_ENTRIES.format(kind="hold")} as held,
        {_OF_ITS_ENTRIES.format(kind="release")} as released,
        (select coalesce(sum(d.hold_micros), 0) from deliveries d where d.alert_id = s.id) as given
    from alerts s
    """  # noqa: S608 - constants of ours
)
# ids are not in the order of bytes in every collation there, and groups are hashed
_MISHELD_ON_POSTGRESQL: Final = _MISHELD.format(
    sums="""
    select a.id, a.status, a.ended_at, a.hold_left_micros as hold_left, coalesce(h.held, 0) as held,
        coalesce(h.released, 0) as released, coalesce(g.given, 0) as given
    from alerts a left join (
        select split_part(cause_id, ':', 1) as alert_id, account_id,
            sum(case kind when 'hold' then amount_micros else 0 end) as held,
            sum(case kind when 'release' then amount_micros else 0 end) as released
        from entries where cause_type = 'alert' group by 1, 2
    ) h on h.alert_id = a.id and h.account_id = a.account_id
    left join (select alert_id, sum(hold_micros) as given from deliveries group by alert_id) g on g.alert_id = a.id
    """
)


def misheld_alerts(connection: Connection) -> Iterator[Finding]:
    """Alerts whose holds are not what their deliveries were given, what was released, and what is left to give."""
    for row in rows(connection, _MISHELD_ON_SQLITE if connection.dialect.name == "sqlite" else _MISHELD_ON_POSTGRESQL):
        text = (
            f"{amount(row.held)} was held; {amount(row.given)} was given to its deliveries, {amount(row.released)} released, "
            f"{amount(row.hold_left)} is left"
        )
        ended = "has not ended" if row.ended_at is None else "has ended"
        yield Finding(FindingKind.ALERT, f"alert {row.id} ({row.status}, {ended})", text)


def broken_tariffs(connection: Connection) -> Iterator[Finding]:
    """Tariffs whose versions do not follow each other from the first on, or that remove what is not there."""
    for row in rows(
        connection,
        """
        select channel, prefix, count(*) as versions, min(version) as first, max(version) as last, min(price_micros) as price
        from tariffs group by channel, prefix
        having min(version) <> 1 or max(version) <> count(*) or min(price_micros) < 0 order by channel, prefix
        """,
    ):
        text = f"{row.versions} versions, from {row.first} to {row.last}, the lowest price {amount(row.price)}"
        yield Finding(FindingKind.TARIFF, f"tariff {row.channel}:{row.prefix or '*'}", text)
    # what removes a price repeats it, so that a bill can tell which; nothing but 0 and 1 is a truth in SQLite's column
    sqlite = connection.dialect.name == "sqlite"
    odd = (
        "or typeof(t.removed) <> 'integer' or t.removed not in (0, 1) or typeof(t.price_micros) <> 'integer'"
        if sqlite
        else ""
    )
    for row in rows(
        connection,
        f"""
        select t.channel, t.prefix, t.version, t.price_micros, t.removed, p.version as before, p.price_micros as price
        from tariffs t left join tariffs p on p.channel = t.channel and p.prefix = t.prefix and p.version = t.version - 1
        where t.removed and (p.id is null or p.removed or p.price_micros <> t.price_micros) {odd}
        order by t.channel, t.prefix, t.version
        """,  # noqa: S608 - constants of ours
    ):
        removes = f"it is removed ({row.removed!r}) at {amount(row.price_micros)}"
        was = "there was no price before" if row.before is None else f"version {row.before} says {amount(row.price)}"
        place = f"tariff {row.channel}:{row.prefix or '*'} version {row.version}"
        yield Finding(FindingKind.TARIFF, place, f"{removes}, and {was}")
