"""The statements behind the pages of the API: alerts, deliveries, inbound messages, callbacks. Shapes live in `views`."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, case, func, literal, select, tuple_

from gateway.alert import Alert, Rule
from gateway.api.parameters import ALWAYS, Period
from gateway.api.views import (
    DELIVERIES_SHOWN,
    TOO_LARGE,
    AlertView,
    DeliveryView,
    acknowledgement_view,
    alert_view,
    delivery_view,
)
from gateway.delivery import Delivery
from gateway.ids import first_id
from gateway.large_work import LARGE
from gateway.store import rows, tables

ACKNOWLEDGEMENTS_MAX = 1_000  # shown of one alert: more people than a quorum can count
ATTEMPTS_MAX = 1_000  # shown of one delivery: a hundred attempts over each of the sixteen providers of a route is more

DAY_MICROS: Final = 86_400_000_000
APART_MICROS: Final = DAY_MICROS
"""How far the time in an id and the time of its row may be apart: ids follow the system's clock at once, rows in small steps."""
ALERT_LASTS_MICROS: Final = 400 * DAY_MICROS
"""An alert begins within a year and lasts a month at the most; its callbacks are given up soon after."""


def _within(span: Period, at: ColumnElement[int], ident: ColumnElement[str], prefix: str) -> list[ColumnElement[bool]]:
    """The rows of this time. Ids are in the order of time, so that their own index finds them."""
    wanted: list[ColumnElement[bool]] = []
    if span.first is not None:
        wanted += [at >= span.first, ident >= first_id(prefix, span.first - APART_MICROS)]
    if span.before is not None:
        wanted += [at < span.before, ident < first_id(prefix, span.before + APART_MICROS)]
    return wanted


UNSHOWN: Final = frozenset({"recipients", "steps"})
"""Of an alert: megabytes each, where it has a hundred thousand recipients."""
STEPS_CHARS_MAX: Final = 128 * 1024
"""Of the steps of one alert that are read to be shown: the most that there can be, unless they name many people of their own."""


def _shown(**instead: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """The columns of an alert, in the order of its mapper, without what no page shows; `instead` is read in place of a column."""
    alerts = rows.alerts
    return [
        instead.get(name, literal("[]")).label(name) if name in UNSHOWN else column
        for name, column in zip(alerts.names, alerts.columns, strict=True)
    ]


def _bounded_steps() -> ColumnElement[Any]:
    """The steps of an alert, or "" where they are too large to be read for a page."""
    steps = tables.alerts.c.steps
    return case((func.length(steps) <= STEPS_CHARS_MAX, steps), else_=literal(TOO_LARGE))


def account_of_alert(connection: Connection, alert_id: str) -> str | None:
    """Whose alert it is, or None where there is none."""
    found: str | None = connection.scalar(select(tables.alerts.c.account_id).where(tables.alerts.c.id == alert_id))
    return found


def alert_of_many(connection: Connection, alert_id: str, account_id: str | None) -> Alert | None:
    """The whole alert, if it is the account's and asks several of so many people that to look for one of them is large work."""
    t = tables.alerts.c
    several = t.rule.in_((Rule.ALL.value, Rule.QUORUM.value))
    mine = [] if account_id is None else [t.account_id == account_id]
    statement = select(*rows.alerts.columns).where(t.id == alert_id, several, t.people >= LARGE, *mine)
    row = connection.execute(statement).first()
    return None if row is None else rows.alerts.from_row(row)


def alerts_page(
    connection: Connection,
    *,
    account_id: str | None,
    status: str | None,
    reference: str | None,
    span: Period,
    before: str | None,
    limit: int,
) -> list[Alert]:
    """At most `limit` alerts made in `span`, the latest first, those made before the alert `before`."""
    t = tables.alerts.c
    wanted = [
        t[name] == value
        for name, value in (("account_id", account_id), ("status", status), ("reference", reference))
        if value is not None
    ] + _within(span, t.created_at, t.id, "alt")
    if before is not None:
        wanted.append(t.id < before)
    statement = select(*_shown()).where(*wanted).order_by(t.id.desc()).limit(limit)
    return [rows.alerts.from_row(row) for row in connection.execute(statement)]


def read_alert(connection: Connection, alert_id: str, account_id: str | None) -> AlertView | None:
    """The alert as shown, if it is the account's (None: any account's)."""
    t = tables.alerts.c
    row = connection.execute(select(*_shown(steps=_bounded_steps())).where(t.id == alert_id)).first()
    if row is None or account_id not in (None, row.account_id):
        return None
    a, d = tables.acknowledgements.c, tables.deliveries.c
    acknowledgements = connection.execute(
        select(tables.acknowledgements).where(a.alert_id == alert_id).order_by(a.id).limit(ACKNOWLEDGEMENTS_MAX)
    )
    total = connection.scalar(select(func.count()).select_from(tables.deliveries).where(d.alert_id == alert_id))
    deliveries = deliveries_page(connection, alert_id, after=None, limit=DELIVERIES_SHOWN)
    return alert_view(
        rows.alerts.from_row(row), [acknowledgement_view(each) for each in acknowledgements], deliveries, total or 0
    )


def deliveries_page(
    connection: Connection, alert_id: str, *, after: str | None, limit: int, span: Period = ALWAYS
) -> list[Delivery]:
    """At most `limit` deliveries of the alert made in `span`, in the order they were made, those after `after`."""
    t = tables.deliveries.c
    made = _within(span, t.created_at, t.id, "dlv")
    statement = select(*rows.deliveries.columns).where(t.alert_id == alert_id, *made).order_by(t.id).limit(limit)
    if after is not None:
        statement = statement.where(t.id > after)
    return [rows.deliveries.from_row(row) for row in connection.execute(statement)]


def read_delivery(connection: Connection, delivery_id: str, account_id: str | None) -> DeliveryView | None:
    """The delivery as shown, if it is the account's (None: any account's)."""
    t, a, p = tables.deliveries.c, tables.attempts.c, tables.parts.c
    row = connection.execute(select(*rows.deliveries.columns).where(t.id == delivery_id)).first()
    if row is None or account_id not in (None, row.account_id):
        return None
    attempts = connection.execute(
        select(*rows.attempts.columns).where(a.delivery_id == delivery_id).order_by(a.epoch).limit(ATTEMPTS_MAX)
    )
    parts = connection.execute(
        select(*rows.parts.columns).where(p.delivery_id == delivery_id).order_by(p.chain, p.n).limit(ATTEMPTS_MAX)
    )
    return delivery_view(
        rows.deliveries.from_row(row),
        [rows.attempts.from_row(each) for each in attempts],
        [rows.parts.from_row(each) for each in parts],
    )


def inbound_page(connection: Connection, *, span: Period, before: str | None, limit: int) -> list[Row[Any]]:
    """At most `limit` messages that came in in `span`, the latest first, those before `before`."""
    t = tables.inbound_messages.c
    came = _within(span, t.at, t.id, "inb")
    statement = select(tables.inbound_messages).where(*came).order_by(t.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(t.id < before)
    return list(connection.execute(statement))


def callbacks_page(
    connection: Connection,
    *,
    state: str,
    account_id: str | None,
    alert_id: str | None,
    span: Period,
    before: tuple[str, int] | None,
    limit: int,
) -> list[Row[Any]]:
    """At most `limit` callbacks in this state made in `span`, those of the latest alerts first."""
    t = tables.callbacks.c
    wanted: list[ColumnElement[bool]] = [t.state == state]
    if account_id is not None:
        wanted.append(t.account_id == account_id)
    if alert_id is not None:
        wanted.append(t.alert_id == alert_id)
    if span.first is not None:
        wanted += [t.created_at >= span.first, t.alert_id >= first_id("alt", span.first - ALERT_LASTS_MICROS)]
    if span.before is not None:
        wanted += [t.created_at < span.before, t.alert_id < first_id("alt", span.before + APART_MICROS)]
    if before is not None:
        wanted.append(tuple_(t.alert_id, t.n) < tuple_(*before))
    statement = select(tables.callbacks).where(*wanted).order_by(t.alert_id.desc(), t.n.desc()).limit(limit)
    return list(connection.execute(statement))
