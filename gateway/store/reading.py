"""What the broker itself reads outside units of work: tariffs, keys, attachments. What the API shows is read in `gateway.api`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import cast

from sqlalchemy import ColumnElement, Connection, inspect, select

from billing.tariff import ChargedOn, Tariff, UnknownEnd
from channels.channel import Attachment
from gateway.store import tables


def read_tariffs(connection: Connection) -> list[Tariff]:
    """Every version of every tariff."""
    return tariffs_of(connection)


def tariffs_of(connection: Connection, *which: ColumnElement[bool]) -> list[Tariff]:
    """The versions of tariffs that fit, in the order they were made."""
    t = tables.tariffs.c
    columns = (t.id, t.channel, t.prefix, t.version, t.price_micros, t.charged_on, t.unknown_end, t.removed)
    found = connection.execute(select(*columns).where(*which).order_by(t.id))
    return [
        Tariff(
            id=row.id,
            channel=row.channel,
            prefix=row.prefix,
            version=row.version,
            price_micros=row.price_micros,
            charged_on=cast(ChargedOn, row.charged_on),
            unknown_end=cast(UnknownEnd, row.unknown_end),
            removed=row.removed,
        )
        for row in found
    ]


def attachments_of(alert_id: str) -> Callable[[Connection], tuple[Attachment, ...]]:
    """The files that came with an alert, in order."""

    def read(connection: Connection) -> tuple[Attachment, ...]:
        t = tables.attachments.c
        found = connection.execute(
            select(t.name, t.content_type, t.content).where(t.alert_id == alert_id).order_by(t.n)
        )
        return tuple(Attachment(name=row.name, content_type=row.content_type, content=row.content) for row in found)

    return read


def accounts_among(names: Collection[str]) -> Callable[[Connection], frozenset[str]]:
    """Store work: which of the accounts there are; none in a database that is still empty."""

    def work(connection: Connection) -> frozenset[str]:
        if not names or not inspect(connection).has_table(tables.accounts.name):
            return frozenset()
        ids = tables.accounts.c.id
        return frozenset(connection.scalars(select(ids).where(ids.in_(sorted(names)))))

    return work
