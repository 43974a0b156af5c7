"""An alert's timeline, put together from the durable rows when it is read: nothing is written to tell it."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, case, literal, select, tuple_

from billing import ledger
from billing.money import format_amount
from gateway.api.timeline_lines import Shape, line_of
from gateway.clock import from_micros, rfc3339
from gateway.escalation import plan_from_json
from gateway.progress import CORRECTED
from gateway.store import tables

STARTS_MAX: Final = 10  # times that an alert escalated anew: there are four priorities, and each time it rose
Place = tuple[int, int, str, int, int]
"""Where a line stands: its time, its source's rank, and what tells it from the others there."""


@dataclass(frozen=True, slots=True)
class Found:
    """A line and its place."""

    place: Place
    line: Shape


@dataclass(frozen=True, slots=True)
class _Source:
    """One kind of row that tells something: a statement, its time, the rest of its order, and how a row is told."""

    kind: str
    statement: Select[Any]
    at: ColumnElement[int]
    text: ColumnElement[str]
    first: ColumnElement[int]
    second: ColumnElement[int]


def timeline(connection: Connection, alert_id: str, *, after: Place | None, limit: int) -> list[Found]:
    """At most `limit` lines of the alert in the order of their times, those after `after`. Lines of the same time come
    in the order in which one leads to another."""
    streams = [
        _lines(connection, rank, source, after, limit) for rank, source in enumerate(_sources(connection, alert_id))
    ]
    merged = heapq.merge(*streams, key=lambda found: found.place[:2])
    return [found for _, found in zip(range(limit), merged, strict=False)]


def _lines(connection: Connection, rank: int, source: _Source, after: Place | None, limit: int) -> Iterator[Found]:
    order = (source.at, source.text, source.first, source.second)
    statement = source.statement.add_columns(
        source.at.label("place_at"),
        source.text.label("place_text"),
        source.first.label("place_first"),
        source.second.label("place_second"),
    )
    statement = statement.where(source.at.is_not(None)).order_by(*order).limit(limit)
    if after is not None:
        at, after_rank, *rest = after
        if rank < after_rank:
            statement = statement.where(source.at > at)
        elif rank > after_rank:
            statement = statement.where(source.at >= at)
        else:
            statement = statement.where(tuple_(*order) > tuple_(at, *rest))
    for row in connection.execute(statement):
        place = (row.place_at, rank, row.place_text, row.place_first, row.place_second)
        yield Found(place, line_of(_kind(source, row), rfc3339(from_micros(row.place_at)), _told(row)))


def _kind(source: _Source, row: Row[Any]) -> str:
    return str(row.kind) if source.kind in ("event", "entry") else source.kind


def _told(row: Row[Any]) -> dict[str, Any]:
    """The members of a line besides its time and kind: the columns that the statement names, amounts as decimals."""
    told = {}
    for name, value in row._mapping.items():
        if name.startswith("place_") or name == "kind" or value is None:
            continue
        if name.endswith("_micros"):
            told[name.removesuffix("_micros")] = format_amount(value)
        else:
            told[name] = value
    if (then := told.pop("then", None)) is not None:  # corrected since: this is how it was settled
        told["state"], told["code"] = then.split(" ")[:2]
    return told


def _sources(connection: Connection, alert_id: str) -> Sequence[_Source]:
    """Every kind of row, in the order in which one leads to another at the same time."""
    s, e, k = tables.alerts.c, tables.events.c, tables.acknowledgements.c
    nothing, zero = literal(""), literal(0)
    accepted = select(s.source, s.reference).where(s.id == alert_id)
    events = select(e.kind, e.detail, e.delivery_id.label("delivery")).where(e.alert_id == alert_id)
    word = case((k.taken == 1, "taken"), else_="received").label("word")
    acknowledgements = select(k.by, word, k.comment, k.via, k.key_id.label("key")).where(k.alert_id == alert_id)
    held, ended, refunded = _of_money(connection, alert_id)
    return [
        _Source("accepted", accepted, s.created_at, nothing, zero, zero),
        held,
        *_of_deliveries(alert_id),
        ended,
        refunded,
        _Source("acknowledgement", acknowledgements, k.at, k.id, zero, zero),
        _Source("event", events, e.at, nothing, e.id, zero),
    ]


def _of_deliveries(alert_id: str) -> list[_Source]:
    d, a, p = tables.deliveries.c, tables.attempts.c, tables.parts.c
    zero = literal(0)
    mine = d.alert_id == alert_id
    name = d.id.label("delivery")
    deliveries = select(name, d.address, d.person.label("recipient"), d.step).where(mine)
    attempts = select(name, d.address, a.provider, a.epoch.label("attempt")).join(
        tables.deliveries, d.id == a.delivery_id
    )
    outcomes = attempts.add_columns(a.outcome, a.code, a.detail)
    parts = select(name, d.address, p.provider, p.n.label("part"), p.provider_message_id).join(
        tables.deliveries, d.id == p.delivery_id
    )
    receipts = parts.add_columns(p.state, p.code, p.raw.label("receipt"))
    e = tables.events.c
    then = (
        select(e.detail)
        .where(e.alert_id == alert_id, e.delivery_id == d.id, e.kind == CORRECTED)
        .order_by(e.id)
        .limit(1)
        .scalar_subquery()
    )
    ends = select(
        name, d.address, d.state, d.code, d.captured_micros.label("charged_micros"), then.label("then")
    ).where(mine)
    return [
        _Source("queued", deliveries, d.created_at, d.id, zero, zero),
        _Source("attempt", attempts.where(mine), a.started_at, a.delivery_id, a.epoch, zero),
        _Source("sent", parts.where(mine), p.sent_at, p.delivery_id, p.chain, p.n),
        _Source("outcome", outcomes.where(mine), a.at, a.delivery_id, a.epoch, zero),
        _Source("receipt", receipts.where(mine), p.at, p.delivery_id, p.chain, p.n),
        _Source("settled", ends, d.settled_at, d.id, zero, zero),
    ]


def _of_money(connection: Connection, alert_id: str) -> list[_Source]:
    """What was held, captured, released and refunded for the alert and its deliveries; each by an index of its own."""
    d, e = tables.deliveries.c, tables.entries.c
    account_id, holds = _holds(connection, alert_id)
    entries = select(e.kind, e.amount_micros, e.id.label("entry"), e.cause_id.label("cause")).where(
        e.account_id == account_id
    )
    mine = select(d.id).where(d.alert_id == alert_id)
    captured = tables.entries.alias("captured").c
    captures = select(captured.id).where(
        captured.account_id == account_id,
        captured.cause_type == ledger.CAUSE_DELIVERY,
        captured.cause_id.in_(mine),
        captured.kind == ledger.EntryKind.CAPTURE.value,
    )
    found = [
        entries.where(e.cause_type == ledger.CAUSE_ALERT, e.cause_id.in_(holds)),
        entries.where(e.cause_type == ledger.CAUSE_DELIVERY, e.cause_id.in_(mine.union_all(select(literal(alert_id))))),
        entries.where(e.reverses.in_(captures)),
    ]
    return [_Source("entry", statement, e.at, literal(""), e.id, literal(0)) for statement in found]


def _holds(connection: Connection, alert_id: str) -> tuple[str, list[str]]:
    """Whose alert it is, and the causes that its holds may have: one a step, anew each time it escalated anew."""
    s, e = tables.alerts.c, tables.events.c
    row = connection.execute(select(s.account_id, s.steps, s.created_at, s.start_at).where(s.id == alert_id)).one()
    raised = (
        select(e.at)
        .where(e.alert_id == alert_id, e.kind.in_(("priority_raised", "active")))
        .order_by(e.id)
        .limit(STARTS_MAX)
    )
    starts = {row.created_at, row.start_at, *connection.scalars(raised)}
    steps = len(plan_from_json(row.steps))
    return row.account_id, [f"{alert_id}:{n}@{start}" for start in sorted(starts) for n in range(steps)]
