"""Routes of accounts and their money: balances, top-ups, entries, refunds, reversals."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection
from starlette.responses import Response

from billing.money import format_amount, parse_amount
from gateway import administration as admin
from gateway import reversals
from gateway.administration import UNSET, Account, Booking
from gateway.api.alerts import IDEMPOTENCY_KEY, LINE_PATTERN, REPLAYED_HEADER, Id
from gateway.api.context import ApiContext
from gateway.api.documentation import documented
from gateway.api.idempotency import REPLAYED, answered, idempotency_key, keep
from gateway.api.json_bodies import JsonRoute
from gateway.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, id_at, page_of, place_at
from gateway.api.parameters import KNOWN, Within
from gateway.api.problems import not_found
from gateway.api.roles import Caller, Permission
from gateway.api.views import Amount, Time, View, time_of
from gateway.clock import rfc3339
from gateway.entries import Place, StoredEntry, entries_of
from gateway.intake import IdempotencyKey
from gateway.store.errors import StoreConflict

ROUTE: Final = "POST /v1/accounts/{id}/topups"
AmountIn = Annotated[str, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,6})?$", examples=["50.00"])]
DebtIn = Annotated[str, Field(pattern=r"^(-[0-9]{1,12}(\.[0-9]{1,6})?|0)$", examples=["-20.00"])]


class AccountIn(BaseModel):
    """A new account."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="its id, for good: letters, digits, dots, dashes, underscores",
        examples=["acme"],
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        pattern=LINE_PATTERN,
        description="what people call it; left out, its id",
        examples=["Acme Foods"],
    )
    currency: str = Field(
        pattern=r"^([A-Z]{3}|credit)$",
        description="three capital letters, or credit: all its amounts are in it",
        examples=["EUR"],
    )
    floor: DebtIn | None = Field(
        default=None,
        description="how far below zero an emergency may take it; left out or null, any distance",
        examples=["-20.00"],
    )


class TopUpIn(BaseModel):
    """A payment that arrived."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amount: AmountIn = Field(description="what arrived, with at most 6 decimals", examples=["50.00"])
    reference: str = Field(
        min_length=1,
        max_length=200,
        pattern=LINE_PATTERN,
        description="names the payment, once within the account: the same one again counts once",
        examples=["INV-2026-12"],
    )


class AccountChange(BaseModel):
    """What is to be different about an account; what is left out stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        pattern=LINE_PATTERN,
        description="what people call it; null leaves it",
        examples=["Acme Foods"],
    )
    floor: DebtIn | None = Field(
        default=None, description="how far below zero an emergency may take it; null: any distance", examples=["-20.00"]
    )


class RefundIn(BaseModel):
    """A capture to give back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry: int = Field(ge=1, le=2**53, description="the id of the capture", examples=[7])
    reason: str = Field(
        min_length=1,
        max_length=200,
        pattern=LINE_PATTERN,
        description="why; the same refund with the same reason again changes nothing",
        examples=["the text never arrived"],
    )


class ReversalIn(BaseModel):
    """A mistyped top-up to take back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry: int = Field(ge=1, le=2**53, description="the id of the top-up", examples=[3])
    reason: str = Field(
        min_length=1,
        max_length=200,
        pattern=LINE_PATTERN,
        description="why; the same reversal with the same reason again changes nothing",
        examples=["INV-2026-12 was 50.00, not 500.00"],
    )
    allow_debt: bool = Field(
        default=False,
        strict=True,
        description="take back what is spent too: the account goes below zero, down to its floor",
    )


class AccountView(View):
    """An account. `balance` is free to use (below zero: debt), `held` is set aside for what is under way."""

    id: str = Field(description="the account", examples=["acme"])
    name: str = Field(description="what people call it", examples=["Acme Foods"])
    currency: str = Field(description="the currency of its amounts", examples=["EUR"])
    balance: Amount = Field(description="free to use; below zero: debt")
    held: Amount = Field(description="set aside for what is under way")
    floor: Amount | None = Field(
        description="how far below zero an emergency may take it; null: any distance", examples=["-20.00"]
    )
    created_at: Time = Field(description="when it was made")


class BookingView(AccountView):
    """The account after a payment, a refund or a reversal, and where that is in its books."""

    entry: int = Field(description="the entry of it; a reversal names that of a payment", examples=[3])
    booked: bool = Field(description="false where the same was there before, and nothing moved", examples=[True])


class CallbackSecret(View):
    """What the account's callbacks are signed with."""

    account: str = Field(description="the account", examples=["acme"])
    callback_secret: str = Field(
        description="what its callbacks are signed with: keep it like a key",
        examples=["3fSxwq0pDkD2iDw4R5yD7m2cVb1zq8rTt6uJk9LhA0s"],
    )


class CauseView(View):
    """What an entry was made for."""

    type: str = Field(
        description="what it is: a delivery, an alert, a topup, a refund or a reversal", examples=["delivery"]
    )
    id: str = Field(description="its id, reference or reason", examples=["dlv_06h2qfjfto8r9bh8fqhltqm7hk"])
    alert: str | None = Field(
        description="the alert that it belongs to, if any", examples=["alt_06h2qfjfshgp71rjcun5ijgspg"]
    )
    address: str | None = Field(description="of a delivery: where it went", examples=["sms:+33612345678"])
    units: int | None = Field(
        description="of a delivery: how many of its units this charges or gives back: parts of a text, minutes",
        examples=[2],
    )


class EntryView(View):
    """One immutable entry; the amount left `debit` and arrived at `credit`. All changes of an account add up to how it stands."""

    id: int = Field(description="the entry; later ones are greater", examples=[7])
    kind: str = Field(description="topup, hold, capture, release, refund or reversal", examples=["capture"])
    amount: Amount = Field(description="how much, always above zero")
    currency: str = Field(description="the currency of all these amounts", examples=["EUR"])
    change: Amount = Field(
        description="what it did to what is free to use: below zero, it took from it", examples=["-0.045"]
    )
    balance: Amount = Field(description="what was free to use after it", examples=["49.955"])
    held_change: Amount = Field(description="what it did to what is held", examples=["0.045"])
    held: Amount = Field(description="what was held after it", examples=["0.045"])
    debit: str = Field(description="the balance that it left", examples=["held:acme"])
    credit: str = Field(description="the balance where it arrived", examples=["revenue:acme"])
    cause: CauseView = Field(description="what it was made for")
    reverses: int | None = Field(description="the entry that it takes back; null for most", examples=[3])
    at: Time = Field(description="when it was written")


def account_view(account: Account) -> AccountView:
    """The account as shown."""
    return AccountView(**_shown(account))


def booking_view(one: Booking) -> BookingView:
    """What was entered by hand, as shown."""
    return BookingView(**_shown(one.account), entry=one.entry, booked=one.booked)


def _shown(account: Account) -> dict[str, Any]:
    floor = account.floor_micros
    return {
        "id": account.id,
        "name": account.name,
        "currency": account.currency,
        "balance": format_amount(account.balance_micros),
        "held": format_amount(account.held_micros),
        "floor": None if floor is None else format_amount(floor),
        "created_at": rfc3339(account.created_at),
    }


def entry_view(entry: StoredEntry) -> EntryView:
    """The entry as shown."""
    cause = entry.cause
    return EntryView(
        id=entry.id,
        kind=entry.kind,
        amount=format_amount(entry.amount_micros),
        currency=entry.currency,
        change=format_amount(entry.change_micros),
        balance=format_amount(entry.balance_micros),
        held_change=format_amount(entry.held_change_micros),
        held=format_amount(entry.held_micros),
        debit=entry.debit,
        credit=entry.credit,
        cause=CauseView(type=cause.type, id=cause.id, alert=cause.alert, address=cause.address, units=cause.units),
        reverses=entry.reverses,
        at=time_of(entry.at) or "",
    )


def router(api: ApiContext) -> APIRouter:
    """The routes under /v1/accounts."""
    routes = APIRouter(tags=["accounts"], route_class=JsonRoute, dependencies=[KNOWN])
    _add_accounts(routes, api)
    _add_entries(routes, api)
    _add_money(routes, api)
    return routes


def _add_accounts(routes: APIRouter, api: ApiContext) -> None:
    may_read_callback_secret = Depends(api.requires(Permission.READ_CALLBACK_SECRET))
    may_create_accounts = Depends(api.requires(Permission.CREATE_ACCOUNTS))
    reader = Depends(api.requires(Permission.READ_ACCOUNTS))

    @routes.get("/v1/accounts", responses=documented())
    async def list_accounts(
        *, caller: Caller = reader, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
    ) -> Page[AccountView]:
        """The accounts that the key sees."""
        if caller.account_id is not None:
            own = await _account(api, caller, caller.account_id)
            return Page[AccountView](items=[own], next_cursor=None)
        after = id_at(cursor)
        return await page_of(
            api.store,
            lambda c, most: admin.list_accounts(c, cursor=after, limit=most),
            limit,
            lambda account: [account.id],
            account_view,
        )

    @routes.post(
        "/v1/accounts", status_code=201, responses=documented("account-exists", "conflict", "storage-full", body=True)
    )
    async def create_account(*, _caller: Caller = may_create_accounts, body: AccountIn) -> AccountView:
        """A new account, with nothing in it."""
        api.storage.require_room()
        floor = None if body.floor is None else parse_amount(body.floor, allow_negative=True)
        account = await api.store.write(
            lambda connection: admin.create_account(
                connection,
                api.clock.now(),
                account_id=body.id,
                name=body.name or body.id,
                currency=body.currency,
                floor_micros=floor,
            )
        )
        return account_view(account)

    @routes.get("/v1/accounts/{account_id}", responses=documented("not-found"))
    async def get_account(*, caller: Caller = reader, account_id: Id) -> AccountView:
        """One account and what it can spend."""
        return await _account(api, caller, account_id)

    @routes.patch("/v1/accounts/{account_id}", responses=documented("not-found", "conflict", body=True))
    async def change_account(
        *, _caller: Caller = may_create_accounts, account_id: Id, body: AccountChange
    ) -> AccountView:
        """Gives an account another name, or another floor."""
        floor = None if body.floor is None else parse_amount(body.floor, allow_negative=True)
        account = await api.store.write(
            lambda connection: admin.change_account(
                connection,
                account_id,
                name=body.name,
                floor_micros=floor if "floor" in body.model_fields_set else UNSET,
            )
        )
        return account_view(account)

    @routes.get("/v1/accounts/{account_id}/callback-secret", responses=documented("not-found"))
    async def get_callback_secret(*, caller: Caller = may_read_callback_secret, account_id: Id) -> CallbackSecret:
        """What the account's callbacks are signed with."""
        _require_seen(caller, account_id)
        secret = await api.store.read(lambda connection: admin.callback_secret(connection, account_id))
        if secret is None:
            raise await api.store.read(lambda connection: admin.no_account(connection, account_id))
        return CallbackSecret(account=account_id, callback_secret=secret)


def _add_entries(routes: APIRouter, api: ApiContext) -> None:
    may_read_entries = Depends(api.requires(Permission.READ_ENTRIES))

    @routes.get("/v1/accounts/{account_id}/entries", responses=documented("not-found"))
    async def list_entries(
        *,
        caller: Caller = may_read_entries,
        account_id: Id,
        span: Within,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[EntryView]:
        """The entries of an account, the latest first, each with what was left after it."""
        await _account(api, caller, account_id)
        place = place_at(cursor, int, int, int)
        after = None if place is None else Place(*place)
        return await page_of(
            api.store,
            lambda c, most: entries_of(c, account_id, cursor=after, limit=most, first=span.first, before=span.before),
            limit,
            lambda entry: list(entry.before),
            entry_view,
        )


def _add_money(routes: APIRouter, api: ApiContext) -> None:
    money = Depends(api.requires(Permission.MOVE_MONEY))
    problems = documented(
        "not-found", "top-up-conflict", "idempotency-conflict", "conflict", "invalid-header", body=True
    )
    replayed = {"headers": REPLAYED_HEADER}

    @routes.post(
        "/v1/accounts/{account_id}/topups",
        status_code=201,
        response_model=BookingView,
        responses={**problems, 201: {"description": "The account after it.", **replayed}},
        openapi_extra={"parameters": [IDEMPOTENCY_KEY]},
    )
    async def top_up(*, caller: Caller = money, account_id: Id, body: TopUpIn, request: Request) -> Response:
        """A payment arrives. The same reference and amount once more, or the same Idempotency-Key, changes nothing."""
        _require_seen(caller, account_id)
        headers = request.scope["headers"]
        key = idempotency_key(headers, account_id=account_id, route=ROUTE, body=await request.body())
        try:
            answer, known = await api.store.write(lambda c: _top_up(api, c, account_id, body, key))
        except StoreConflict:  # the same payment was written meanwhile by another process: now it is found
            answer, known = await api.store.write(lambda c: _top_up(api, c, account_id, body, key))
        return Response(answer, 201, REPLAYED if known else None, "application/json")

    @routes.post(
        "/v1/accounts/{account_id}/refunds",
        status_code=201,
        responses=documented("not-found", "refund-conflict", "conflict", body=True),
    )
    async def refund(*, caller: Caller = money, account_id: Id, body: RefundIn) -> BookingView:
        """Gives one capture back, whole. The same for the same reason changes nothing."""
        _require_seen(caller, account_id)
        booking = await api.store.write(
            lambda connection: reversals.refund(
                connection, api.clock.now(), entry_id=body.entry, reason_id=body.reason, account_id=account_id
            )
        )
        return booking_view(booking)

    @routes.post(
        "/v1/accounts/{account_id}/reversals",
        status_code=201,
        responses=documented("not-found", "reversal-conflict", "conflict", body=True),
    )
    async def reverse(*, caller: Caller = money, account_id: Id, body: ReversalIn) -> BookingView:
        """Takes one mistyped top-up back, whole. The same for the same reason changes nothing."""
        _require_seen(caller, account_id)
        booking = await api.store.write(
            lambda connection: reversals.reverse(
                connection,
                api.clock.now(),
                entry_id=body.entry,
                reason_id=body.reason,
                allow_debt=body.allow_debt,
                account_id=account_id,
            )
        )
        return booking_view(booking)


def _top_up(
    api: ApiContext, connection: Connection, account_id: str, body: TopUpIn, key: IdempotencyKey | None
) -> tuple[str, bool]:
    """The answer, and whether it was given before."""
    known = None if key is None else answered(connection, key)
    if known is not None:
        return known, True
    now = api.clock.now()
    micros = admin.payment(connection, account_id, body.amount)
    topup = admin.top_up(connection, now, account_id=account_id, amount_micros=micros, reference=body.reference)
    answer = booking_view(topup).model_dump_json()
    if key is not None:
        keep(connection, now, key, answer)
    return answer, False


def _require_seen(caller: Caller, account_id: str) -> None:
    if not caller.sees(account_id):
        raise not_found("account", account_id)


async def _account(api: ApiContext, caller: Caller, account_id: str) -> AccountView:
    _require_seen(caller, account_id)
    return account_view(await api.store.read(lambda connection: admin.stands(connection, account_id)))
