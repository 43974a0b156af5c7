"""Accounts, keys, tariffs and the ledger's books, for the API and the command line alike: functions on one connection.

Who may call them is not decided here, and nothing of an alert or a delivery is changed here.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, fields, replace
from datetime import datetime
from difflib import get_close_matches
from enum import Enum, StrEnum
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from billing import ledger
from billing.ledger import Balance, Entry, EntryKind
from billing.money import DECIMALS_MAX, MICROS_MAX, Micros, decimals_of, format_amount, parse_amount, parse_currency
from billing.tariff import ChargedOn, Tariff, UnknownEnd, usual_unknown_end
from gateway import books
from gateway.clock import from_micros, to_micros
from gateway.ids import new_id
from gateway.store import tables
from gateway.store.reading import read_tariffs, tariffs_of

PAGE: Final = 50
PAGE_MAX: Final = 200
"""Rows of one page: a page is read and answered in a few milliseconds. Whoever asks is bound by it; what is read here is what was
asked for, since the row beyond a page says whether there is another."""
SUGGESTED_AMONG: Final = 1_000
"""Accounts among which the one is looked for that was meant: as many names are compared within some milliseconds."""
NAME_CHARS_MAX: Final = 200
REFERENCE_CHARS_MAX: Final = 200
KEY_BYTES: Final = 32  # 256 random bits: a plain digest is then as good as a slow hash, nothing can be guessed

verify_ledger = books.verify_ledger  # the audit, found where the rest of administration is


class Unset(Enum):
    """The one member stands for what is left as it is, where None means something."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # and halves of surrogate pairs
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Role(StrEnum):
    """What a key may do; `gateway.api.roles` holds the table. Stored, never renamed."""

    SUBMITTER = "submitter"
    OPERATOR = "operator"
    ACCOUNT_ADMIN = "account_admin"
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"


UNBOUND_ROLES: Final = frozenset({Role.OPERATOR, Role.ADMINISTRATOR, Role.AUDITOR})
"""Roles that a key may have without belonging to an account; it then sees all of them. The schema repeats this."""


class AdministrationError(Exception):
    """What was asked for cannot be done; the text says why."""


class InvalidFieldError(AdministrationError):
    """A value is not one that can be taken. `field` names it."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class NotFoundError(AdministrationError):
    """There is no such account, entry or key."""


class AccountExistsError(AdministrationError):
    """An account with this id exists."""


class TopUpConflict(AdministrationError):  # noqa: N818 - the name of its problem
    """The reference names a top-up of another amount, or one that was reversed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A tenant as it stands: `balance_micros` is free to use (below zero: debt), `held_micros` set aside."""

    id: str
    name: str
    currency: str
    balance_micros: Micros
    held_micros: Micros
    floor_micros: Micros | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Booking:
    """What was entered by hand, and the account after it. `entry` is its id; `booked` is False where it was there before."""

    account: Account
    entry: int
    booked: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """An API key without its secret. `account_id` is None for a key of the installation."""

    id: str
    account_id: str | None
    role: Role
    label: str
    created_at: datetime
    revoked_at: datetime | None = None


# --- accounts --------------------------------------------------------------------------------------------------------


def create_account(
    connection: Connection,
    now: datetime,
    *,
    account_id: str,
    name: str,
    currency: str,
    floor_micros: Micros | None = None,
) -> Account:
    """A new account with nothing in its four ledger accounts, and a random secret that signs its callbacks.

    Raises InvalidFieldError, CurrencyError, AccountExistsError.
    """
    if not _ID.fullmatch(account_id):
        raise InvalidFieldError(
            "id", "expected 1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit"
        )
    row = {
        "id": account_id,
        "name": _name(name),
        "currency": parse_currency(currency),
        "floor_micros": _floor(floor_micros),
        "callback_secret": secrets.token_urlsafe(KEY_BYTES),
        "created_at": to_micros(now),
    }
    try:
        with connection.begin_nested():
            connection.execute(insert(tables.accounts).values(row))
    except IntegrityError as error:
        raise AccountExistsError(f"there is an account {account_id} already") from error
    names = [ledger.prepaid(account_id), ledger.held(account_id), ledger.revenue(account_id), ledger.topups(account_id)]
    connection.execute(insert(tables.balances), [{"name": each, "account_id": account_id} for each in names])
    return stands(connection, account_id)


def change_account(
    connection: Connection, account_id: str, *, name: str | None = None, floor_micros: Micros | Unset | None = UNSET
) -> Account:
    """The account with another name or floor; a floor of None lets an emergency take it any distance below zero.

    Raises NotFoundError, InvalidFieldError.
    """
    changed: dict[str, Any] = {}
    if name is not None:
        changed["name"] = _name(name)
    if not isinstance(floor_micros, Unset):
        changed["floor_micros"] = _floor(floor_micros)
    if not changed:
        raise InvalidFieldError("name", "expected a name or a floor to change")
    stands(connection, account_id)
    connection.execute(update(tables.accounts).where(tables.accounts.c.id == account_id).values(changed))
    return stands(connection, account_id)


def _name(name: str) -> str:
    if not is_line(name, NAME_CHARS_MAX):
        raise InvalidFieldError("name", f"expected 1 to {NAME_CHARS_MAX} characters on one line")
    return name


def _floor(floor_micros: Micros | None) -> Micros | None:
    if floor_micros is not None and not -MICROS_MAX <= floor_micros <= 0:
        raise InvalidFieldError("floor", "expected an amount of 0 or below")
    return floor_micros


def get_account(connection: Connection, account_id: str) -> Account | None:
    """The account as it stands, or None."""
    row = connection.execute(_accounts().where(tables.accounts.c.id == account_id)).first()
    return None if row is None else _account_of(row)


def no_account(connection: Connection, account_id: str) -> NotFoundError:
    """What to raise where there is no such account: it names it, and the one that may be meant. Only for those who see them all."""
    known = connection.scalars(select(tables.accounts.c.id).order_by(tables.accounts.c.id).limit(SUGGESTED_AMONG))
    by_small = {one.lower(): one for one in known}
    close = get_close_matches(account_id.lower(), by_small, n=1)
    return NotFoundError(
        f"there is no account {account_id}" + (f", did you mean {by_small[close[0]]}?" if close else "")
    )


def list_accounts(connection: Connection, *, cursor: str | None = None, limit: int = PAGE) -> list[Account]:
    """At most `limit` accounts in the order of their ids, those after the id `cursor`."""
    statement = _accounts().order_by(tables.accounts.c.id).limit(limit)
    if cursor is not None:
        statement = statement.where(tables.accounts.c.id > cursor)
    return [_account_of(row) for row in connection.execute(statement)]


def callback_secret(connection: Connection, account_id: str) -> str | None:
    """The secret that the account's callbacks are signed with, or None where there is no such account."""
    t = tables.accounts.c
    found: str | None = connection.scalar(select(t.callback_secret).where(t.id == account_id))
    return found


def _accounts() -> Select[Any]:
    a = tables.accounts
    free, held = tables.balances.alias("free"), tables.balances.alias("held")
    return (
        select(a.c.id, a.c.name, a.c.currency, a.c.floor_micros, a.c.created_at,
               free.c.amount_micros.label("balance_micros"), held.c.amount_micros.label("held_micros"))
        .join(free, free.c.name == literal("prepaid:") + a.c.id)
        .join(held, held.c.name == literal("held:") + a.c.id)
    )  # fmt: skip


def _account_of(row: Row[Any]) -> Account:
    return Account(**{**row._mapping, "created_at": from_micros(row.created_at)})


def stands(connection: Connection, account_id: str) -> Account:
    """The account as it stands. Raises NotFoundError."""
    account = get_account(connection, account_id)
    if account is None:
        raise no_account(connection, account_id)
    return account


# --- the ledger ------------------------------------------------------------------------------------------------------


def payment(connection: Connection, account_id: str, amount: str) -> Micros:
    """The amount of a payment to the account, with no more decimals than its currency has. Raises NotFoundError, AmountError,
    InvalidFieldError."""
    micros = parse_amount(amount)
    currency = stands(connection, account_id).currency
    decimals = decimals_of(currency)
    if micros % 10 ** (DECIMALS_MAX - decimals):
        has = "none" if not decimals else f"at most {decimals}"
        raise InvalidFieldError("amount", f"expected decimals as {currency} has them ({has}), not {amount}")
    return micros


def top_up(connection: Connection, now: datetime, *, account_id: str, amount_micros: Micros, reference: str) -> Booking:
    """The payment `reference` arrived. The same reference and amount once more changes nothing.

    Raises NotFoundError, InvalidFieldError, AmountError, and TopUpConflict where the reference named another amount or was reversed.
    """
    if not is_line(reference, REFERENCE_CHARS_MAX):
        raise InvalidFieldError("reference", f"expected 1 to {REFERENCE_CHARS_MAX} characters on one line")
    balance = locked_balance(connection, account_id)
    t, reversal = tables.entries.c, tables.entries.alias("reversal")
    known = connection.execute(
        select(t.id, t.amount_micros, reversal.c.id.label("reversed_by"))
        .outerjoin(reversal, reversal.c.reverses == t.id)
        .where(
            t.account_id == account_id,
            t.cause_type == ledger.CAUSE_TOPUP,
            t.cause_id == reference,
            t.kind == EntryKind.TOPUP.value,
        )
    ).first()
    if known is None:
        _, entries = ledger.topup(balance, amount_micros=amount_micros, reference=reference)
        (entry,) = write_entries(connection, now, balance, entries)
        return Booking(account=stands(connection, account_id), entry=entry, booked=True)
    if known.amount_micros != amount_micros:
        was = f"{reference} was a top-up of {format_amount(known.amount_micros)}"
        again = " and was reversed: give the right one another reference" if known.reversed_by is not None else ""
        raise TopUpConflict(f"{was}, not {format_amount(amount_micros)}{again}")
    if known.reversed_by is not None:
        raise TopUpConflict(f"{reference} was reversed by entry {known.reversed_by}: use another reference")
    return Booking(account=stands(connection, account_id), entry=known.id, booked=False)


def locked_balance(connection: Connection, account_id: str) -> Balance:
    """The balance of the account, its rows locked in the order in which the journal locks them."""
    a, b = tables.accounts.c, tables.balances.c
    found = connection.execute(
        select(a.currency, a.floor_micros, b.name, b.amount_micros)
        .join(tables.balances, b.account_id == a.id)
        .where(a.id == account_id)
        .order_by(b.name)
        .with_for_update(of=tables.balances)
    ).all()
    if not found:
        raise no_account(connection, account_id)
    amounts = {row.name: row.amount_micros for row in found}
    return Balance(
        account=account_id,
        currency=found[0].currency,
        prepaid_micros=amounts[ledger.prepaid(account_id)],
        held_micros=amounts[ledger.held(account_id)],
        floor_micros=found[0].floor_micros,
    )


def write_entries(connection: Connection, now: datetime, balance: Balance, entries: tuple[Entry, ...]) -> list[int]:
    """Writes them in order, and gives their ids."""
    ids = []
    for entry in entries:
        row = {
            "account_id": balance.account,
            "kind": entry.kind.value,
            "cause_type": entry.cause_type,
            "cause_id": entry.cause_id,
            "debit": entry.debit,
            "credit": entry.credit,
            "amount_micros": entry.amount_micros,
            "reverses": None if entry.reverses is None else int(entry.reverses),
            "at": to_micros(now),
        }
        number = connection.scalar(insert(tables.entries).values(row).returning(tables.entries.c.id))
        assert number is not None, "an insert returns its id"
        ids.append(number)
    return ids


# --- tariffs ---------------------------------------------------------------------------------------------------------


def set_tariff(
    connection: Connection,
    now: datetime,
    *,
    channel: str,
    prefix: str,
    price_micros: Micros,
    charged_on: ChargedOn = "accepted",
    unknown_end: UnknownEnd | None = None,
) -> Tariff:
    """The tariff in force from now on: a new version, or the present one where nothing about it changes.

    Holds taken before keep their version; `unknown_end` is the channel's usual one unless given. Raises TariffError.
    """
    latest = _latest_tariff(connection, channel, prefix)
    tariff = Tariff(
        id=0 if latest is None else latest.id,
        channel=channel,
        prefix=prefix,
        price_micros=price_micros,
        charged_on=charged_on,
        unknown_end=unknown_end or usual_unknown_end(channel),
        version=1 if latest is None else latest.version,
    )
    if tariff == latest:
        return latest
    return _next_version(connection, now, tariff, latest)


def remove_tariff(connection: Connection, now: datetime, *, channel: str, prefix: str) -> Tariff:
    """The tariff that was in force, which is so no longer: a shorter prefix counts from now on, or what begins so is free.

    Holds taken before keep their version. Raises NotFoundError.
    """
    latest = _latest_tariff(connection, channel, prefix)
    if latest is None or latest.removed:
        raise NotFoundError(f"there is no tariff for {channel}:{prefix or '*'}")
    _next_version(connection, now, replace(latest, removed=True), latest)
    return latest


def _latest_tariff(connection: Connection, channel: str, prefix: str) -> Tariff | None:
    t = tables.tariffs.c
    found = tariffs_of(connection, t.channel == channel, t.prefix == prefix)
    return max(found, key=lambda tariff: tariff.version, default=None)


def _next_version(connection: Connection, now: datetime, tariff: Tariff, latest: Tariff | None) -> Tariff:
    t = tables.tariffs.c
    tariff = replace(tariff, version=1 if latest is None else latest.version + 1)
    row = {field.name: getattr(tariff, field.name) for field in fields(tariff) if field.name != "id"}
    number = connection.scalar(insert(tables.tariffs).values(row | {"created_at": to_micros(now)}).returning(t.id))
    assert number is not None, "an insert returns its id"
    return replace(tariff, id=number)


def list_tariffs(
    connection: Connection, *, cursor: tuple[str, str] | None = None, limit: int | None = None
) -> list[Tariff]:
    """The tariffs in force, by channel and prefix: at most `limit` of those after the channel and prefix `cursor`."""
    latest: dict[tuple[str, str], Tariff] = {}
    for tariff in read_tariffs(connection):
        known = latest.get((tariff.channel, tariff.prefix))
        if known is None or known.version < tariff.version:
            latest[tariff.channel, tariff.prefix] = tariff
    in_force = (latest[key] for key in sorted(latest) if not latest[key].removed and (cursor is None or key > cursor))
    return list(islice(in_force, limit))


# --- keys ------------------------------------------------------------------------------------------------------------


def digest_of(key: str) -> bytes:
    """What is stored of a key: its SHA-256, 32 bytes."""
    return hashlib.sha256(key.encode()).digest()


def create_key(
    connection: Connection, now: datetime, *, account_id: str | None, role: str, label: str = ""
) -> tuple[Key, str]:
    """A new key and, this once, its text: ``tok_`` and 43 characters.

    Raises NotFoundError for an unknown account, InvalidFieldError for an unknown role or one that needs an account.
    """
    if role not in set(Role):
        raise InvalidFieldError("role", f"expected one of {', '.join(Role)}")
    if account_id is None and Role(role) not in UNBOUND_ROLES:
        raise InvalidFieldError("account", f"expected the account of a key with the role {role}")
    if label and not is_line(label, NAME_CHARS_MAX):
        raise InvalidFieldError("label", f"expected at most {NAME_CHARS_MAX} characters on one line")
    if account_id is not None:
        stands(connection, account_id)
    text = f"tok_{secrets.token_urlsafe(KEY_BYTES)}"
    key = Key(id=new_id("key"), account_id=account_id, role=Role(role), label=label, created_at=now)
    connection.execute(
        insert(tables.keys).values(
            id=key.id,
            digest=digest_of(text),
            account_id=account_id,
            role=key.role.value,
            label=label,
            created_at=to_micros(now),
        )
    )
    return key, text


def authenticate(connection: Connection, digest: bytes) -> Key | None:
    """The key with this digest, or None where there is none or it was revoked."""
    t = tables.keys.c
    row = connection.execute(_keys().where(t.digest == digest, t.revoked_at.is_(None))).first()
    return None if row is None else _key_of(row)


def revoke_key(connection: Connection, now: datetime, key_id: str, *, account_id: str | None = None) -> Key:
    """The key, revoked: from now, or from when it was revoked before. With `account_id` only one of that account is
    found. Raises NotFoundError."""
    t = tables.keys.c
    mine = [t.id == key_id] if account_id is None else [t.id == key_id, t.account_id == account_id]
    connection.execute(update(tables.keys).where(*mine, t.revoked_at.is_(None)).values(revoked_at=to_micros(now)))
    row = connection.execute(_keys().where(*mine)).first()
    if row is None:
        raise NotFoundError(f"there is no key {key_id}")
    return _key_of(row)


def list_keys(
    connection: Connection, *, account_id: str | None = None, cursor: str | None = None, limit: int = PAGE
) -> list[Key]:
    """At most `limit` keys in the order they were made, revoked ones too; with `account_id` only that account's."""
    t = tables.keys.c
    statement = _keys().order_by(t.id).limit(limit)
    if account_id is not None:
        statement = statement.where(t.account_id == account_id)
    if cursor is not None:
        statement = statement.where(t.id > cursor)
    return [_key_of(row) for row in connection.execute(statement)]


def _keys() -> Select[Any]:
    t = tables.keys.c
    return select(t.id, t.account_id, t.role, t.label, t.created_at, t.revoked_at)


def _key_of(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        account_id=row.account_id,
        role=Role(row.role),
        label=row.label,
        created_at=from_micros(row.created_at),
        revoked_at=None if row.revoked_at is None else from_micros(row.revoked_at),
    )


def is_line(text: str, chars_max: int) -> bool:
    return 0 < len(text) <= chars_max and _CONTROLS.search(text) is None
