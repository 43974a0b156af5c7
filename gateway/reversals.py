"""What is taken back of the ledger: captures by refunds, mistyped top-ups by reversals; each of them once, and whole."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Row, select

from billing import ledger
from billing.ledger import Balance, Entry, EntryKind, InsufficientCredit
from billing.money import format_amount
from gateway.administration import (
    REFERENCE_CHARS_MAX,
    AdministrationError,
    Booking,
    InvalidFieldError,
    is_line,
    locked_balance,
    stands,
    write_entries,
)
from gateway.store import tables


class RefundConflict(AdministrationError):  # noqa: N818 - the name of its problem
    """The entry is no capture, or it was refunded before for another reason."""


class ReversalConflict(AdministrationError):  # noqa: N818 - the name of its problem
    """The entry is no top-up, it was reversed before for another reason, or what it brought is spent."""


def refund(
    connection: Connection, now: datetime, *, entry_id: int, reason_id: str, account_id: str | None = None
) -> Booking:
    """The capture `entry_id`, given back whole, and the account after it. The same for the same reason changes nothing.

    With `account_id` only an entry of that account is found. Raises NotFoundError, InvalidFieldError, AmountError and
    RefundConflict.
    """
    row = _entry(connection, entry_id, reason_id, account_id)
    if row.kind != EntryKind.CAPTURE:
        raise RefundConflict(f"entry {entry_id} is a {row.kind}; only a capture can be refunded")
    balance = locked_balance(connection, row.account_id)
    known = _taken_back(connection, entry_id)
    if known is None:
        _, entries = ledger.refund(
            balance, entry=_as_entry(row), entry_id=str(entry_id), reason_id=_cause(entry_id, reason_id)
        )
        (number,) = write_entries(connection, now, balance, entries)
        return Booking(account=stands(connection, row.account_id), entry=number, booked=True)
    by, cause = known
    if cause != _cause(entry_id, reason_id):
        raise RefundConflict(f"entry {entry_id} was refunded before, by entry {by}")
    return Booking(account=stands(connection, row.account_id), entry=by, booked=False)


def reverse(
    connection: Connection,
    now: datetime,
    *,
    entry_id: int,
    reason_id: str,
    allow_debt: bool = False,
    account_id: str | None = None,
) -> Booking:
    """The top-up `entry_id`, taken back whole, and the account after it. The same for the same reason changes nothing.

    What is spent or held of it cannot be taken back, but with `allow_debt` the account goes below zero, down to its floor. With
    `account_id` only an entry of that account is found. Raises NotFoundError, InvalidFieldError and ReversalConflict.
    """
    row = _entry(connection, entry_id, reason_id, account_id)
    if row.kind != EntryKind.TOPUP:
        other = " (a capture is given back by a refund)" if row.kind == EntryKind.CAPTURE else ""
        raise ReversalConflict(f"entry {entry_id} is a {row.kind}; only a top-up can be reversed{other}")
    balance = locked_balance(connection, row.account_id)
    known = _taken_back(connection, entry_id)
    if known is None:
        try:
            _, entries = ledger.reverse(
                balance,
                entry=_as_entry(row),
                entry_id=str(entry_id),
                reason_id=_cause(entry_id, reason_id),
                may_go_negative=allow_debt,
            )
        except InsufficientCredit as short:
            raise ReversalConflict(_spent(entry_id, balance, short, allow_debt)) from short
        (number,) = write_entries(connection, now, balance, entries)
        return Booking(account=stands(connection, row.account_id), entry=number, booked=True)
    by, cause = known
    if cause != _cause(entry_id, reason_id):
        raise ReversalConflict(f"entry {entry_id} was reversed before, by entry {by}")
    return Booking(account=stands(connection, row.account_id), entry=by, booked=False)


def _spent(entry_id: int, balance: Balance, short: InsufficientCredit, allow_debt: bool) -> str:
    """Why it cannot be taken back, and what can be done."""
    brought = f"entry {entry_id} brought {format_amount(short.required_micros)} {balance.currency}"
    if allow_debt and balance.floor_micros is not None:
        below = f"the account may go no lower than {format_amount(balance.floor_micros)}"
        return f"{brought}; with {format_amount(balance.prepaid_micros)} free to use {below}"
    return (
        f"{brought}, and {format_amount(balance.prepaid_micros)} is free to use: the rest is spent or held. "
        "Top up the right amount first, or allow the account to go into debt"
    )


def _entry(connection: Connection, entry_id: int, reason_id: str, account_id: str | None) -> Row[tuple[object, ...]]:
    """The entry that is to be taken back, its account locked first."""
    if not is_line(reason_id, REFERENCE_CHARS_MAX):
        raise InvalidFieldError("reason", f"expected 1 to {REFERENCE_CHARS_MAX} characters on one line")
    if account_id is not None:
        locked_balance(connection, account_id)
    row = None
    if 0 < entry_id < 2**63:  # what the column can hold
        row = connection.execute(select(tables.entries).where(tables.entries.c.id == entry_id)).first()
    if row is None or account_id not in (None, row.account_id):
        raise InvalidFieldError("entry", f"expected the id of an entry of the account, there is no {entry_id}")
    return row


def _cause(entry_id: int, reason_id: str) -> str:
    return f"{entry_id}:{reason_id}"  # one reason may take back many entries


def _taken_back(connection: Connection, entry_id: int) -> tuple[int, str] | None:
    """The id and the cause of the entry that took this one back; None where none did."""
    t = tables.entries.c
    found = connection.execute(select(t.id, t.cause_id).where(t.reverses == entry_id)).first()
    return None if found is None else (found.id, found.cause_id)


def _as_entry(row: Row[tuple[object, ...]]) -> Entry:
    return Entry(
        kind=EntryKind(row.kind),
        cause_type=row.cause_type,
        cause_id=row.cause_id,
        debit=row.debit,
        credit=row.credit,
        amount_micros=row.amount_micros,
    )
