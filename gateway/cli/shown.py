"""How accounts, entries, keys and tariffs look on the command line, as documents and as lines. Nothing is read here."""

from __future__ import annotations

from typing import Any

from billing.money import format_amount
from billing.tariff import Tariff
from gateway.administration import Account, Booking, Key
from gateway.clock import rfc3339
from gateway.entries import StoredEntry

Json = dict[str, Any]


def account(one: Account) -> Json:
    """The account as the API shows it."""
    return {
        "id": one.id,
        "name": one.name,
        "currency": one.currency,
        "balance": format_amount(one.balance_micros),
        "held": format_amount(one.held_micros),
        "floor": None if one.floor_micros is None else format_amount(one.floor_micros),
        "created_at": rfc3339(one.created_at),
    }


def booking(one: Booking) -> Json:
    """A payment, refund or reversal as the API shows it."""
    return {**account(one.account), "entry": one.entry, "booked": one.booked}


def entry(one: StoredEntry) -> Json:
    """The entry as the API shows it."""
    cause = one.cause
    return {
        "id": one.id,
        "kind": one.kind,
        "amount": format_amount(one.amount_micros),
        "currency": one.currency,
        "change": format_amount(one.change_micros),
        "balance": format_amount(one.balance_micros),
        "held_change": format_amount(one.held_change_micros),
        "held": format_amount(one.held_micros),
        "debit": one.debit,
        "credit": one.credit,
        "cause": {
            "type": cause.type,
            "id": cause.id,
            "alert": cause.alert,
            "address": cause.address,
            "units": cause.units,
        },
        "reverses": one.reverses,
        "at": rfc3339(one.at),
    }


def key(one: Key) -> Json:
    """The key as the API shows it, without its text."""
    return {
        "id": one.id,
        "account": one.account_id,
        "role": one.role.value,
        "label": one.label,
        "created_at": rfc3339(one.created_at),
        "revoked_at": None if one.revoked_at is None else rfc3339(one.revoked_at),
    }


def tariff(one: Tariff) -> Json:
    """The tariff as the API shows it."""
    return {
        "channel": one.channel,
        "prefix": one.prefix,
        "price": format_amount(one.price_micros),
        "charged_on": one.charged_on,
        "unknown_end": one.unknown_end,
        "version": one.version,
    }
