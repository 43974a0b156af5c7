"""How a command reaches the installation: over the API of the server that runs here, else on the store itself."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from billing.ledger import InsufficientCredit
from billing.money import AmountError, CurrencyError, parse_amount
from billing.tariff import ChargedOn, TariffError, UnknownEnd
from gateway import administration as books
from gateway import local_access, loop, reversals
from gateway.cli import shown
from gateway.cli.access import own_access, without_key
from gateway.cli.failures import Refused
from gateway.cli.invocation import Invocation
from gateway.cli.shown import Json
from gateway.client import ApiClient, ApiError
from gateway.clock import SystemClock, to_micros
from gateway.entries import StoredEntry, entries_of
from gateway.opening import opened
from gateway.prefixes import Allowed, tariff_refusal
from gateway.settings import Settings
from gateway.store.engine import SqliteStore, Store
from gateway.store.errors import StoreLocked

LOCK_WAIT_S = 5.0  # another command has the database for a fraction of a second, a server says at once where it is
LOCK_AGAIN_S = 0.1
TARIFFS_MAX = 100_000  # listed at once: a price for each prefix of each country is a tenth of it

_ORDINARY = re.compile(r"[A-Za-z0-9._-]{1,64}")

T = TypeVar("T")


class Installation(Protocol):
    """Accounts, keys, tariffs and the books, as documents like those of the API."""

    def create_account(self, account_id: str, *, name: str, currency: str, floor: str | None) -> Json: ...

    def change_account(self, account_id: str, changed: Json) -> Json: ...

    def account(self, account_id: str) -> Json: ...

    def accounts(self, limit: int) -> list[Json]: ...

    def top_up(self, account_id: str, *, amount: str, reference: str) -> Json: ...

    def refund(self, account_id: str, *, entry: int, reason: str) -> Json: ...

    def reverse(self, account_id: str, *, entry: int, reason: str, allow_debt: bool) -> Json: ...

    def entries(self, account_id: str, limit: int, since: datetime | None, until: datetime | None) -> list[Json]: ...

    def create_key(self, *, account_id: str | None, role: str, label: str) -> Json: ...

    def keys(self, limit: int) -> list[Json]: ...

    def revoke_key(self, key_id: str) -> Json: ...

    def set_tariff(
        self, *, channel: str, prefix: str, price: str, charged_on: ChargedOn, unknown_end: UnknownEnd | None
    ) -> Json: ...

    def remove_tariff(self, *, channel: str, prefix: str) -> Json: ...

    def tariffs(self) -> list[Json]: ...


@contextmanager
def installation(invocation: Invocation) -> Iterator[Installation]:
    """The installation of the settings, or the one that --url and --key name. Raises StoreError, and Refused when somebody else
    keeps the database."""
    own = own_access(invocation)
    if own is not None:
        yield OverApi(own)
        return
    if invocation.url is not None:
        raise without_key(invocation.url)
    settings = invocation.settings()
    url = settings.store.url.get_secret_value()
    deadline = time.monotonic() + LOCK_WAIT_S
    with ExitStack() as open_things:
        runner = open_things.enter_context(loop.runner())
        while True:
            client = local_access.running_server(local_access.path_beside(url))
            if client is not None:
                yield OverApi(client)
                return
            try:
                store = runner.run(opened(settings.store))
                break
            except StoreLocked as error:
                if time.monotonic() >= deadline:
                    raise Refused(f"{error}, and that one does not answer; try again in a moment") from error
                time.sleep(LOCK_AGAIN_S)
        open_things.callback(lambda: runner.run(store.close()))
        try:
            yield OnStore(store, runner, lambda: invocation.settings("destinations").destinations.allowed)
        except (books.AdministrationError, InsufficientCredit, AmountError, CurrencyError, TariffError) as error:
            raise _as_the_api_says(error) from error


def key_with_text(invocation: Invocation, text: str) -> str:
    """The id of the key in force with this text, which only the store can tell from it. A running server is not disturbed. Raises
    StoreError, and Refused where there is none, or the store is not here."""
    if invocation.url is not None or invocation.key is not None:
        raise Refused("that is the key itself: say its id, which `tocsin keys list` shows")
    key = loop.run(_read_beside(invocation.settings(), lambda c: books.authenticate(c, books.digest_of(text))))
    if key is None:
        raise Refused("no key in force has this text; `tocsin keys list --all` shows the ids of all")
    return key.id


async def _read_beside(settings: Settings, work: Callable[[Connection], T]) -> T:
    """What the work reads, also while a server runs."""
    url = settings.store.url.get_secret_value()
    database = local_access.database_of(url)
    store: Store
    if database is not None and local_access.running_server(local_access.path_beside(url)) is not None:
        store = SqliteStore(str(database))  # readers need no lock
    else:
        store = await opened(settings.store)
    try:
        return await store.read(work)
    finally:
        await store.close()


def _as_the_api_says(error: Exception) -> ApiError:
    """The error as a running server would have answered it, so that it is told in the same words."""
    from gateway.api.problems import problem_of  # the API's own modules are loaded where something is wrong or changed

    problem = problem_of(error)
    assert problem is not None, "it answers to each of these"
    return ApiError(problem.status_code, problem.body)


def _examine(model: str, body: Json) -> None:
    """Looks at what is asked for as the running server would, which has it as a body of this model. Raises ApiError."""
    from pydantic import ValidationError

    from gateway.api.requests import MODELS

    try:
        MODELS[model].model_validate(body)
    except ValidationError as error:
        from gateway.api.problems import invalid

        found = invalid(error.errors(include_url=False, include_input=False), body=body, model=MODELS[model])
        raise ApiError(found.status_code, found.body) from error


def _examine_id(model: str, **id_: str) -> None:
    """The same for an id in the path; one that is in order is not worth loading the API's modules."""
    if not all(_ORDINARY.fullmatch(value) for value in id_.values()):
        _examine(model, id_)


class OverApi:
    """Works through the API of the running server. Raises ApiError, UnreachableError."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    def create_account(self, account_id: str, *, name: str, currency: str, floor: str | None) -> Json:
        body = {"id": account_id, "name": name, "currency": currency, "floor": floor}
        return self._api.post("v1", "accounts", body=body)

    def change_account(self, account_id: str, changed: Json) -> Json:
        return self._api.patch("v1", "accounts", account_id, body=changed)

    def account(self, account_id: str) -> Json:
        return self._api.get("v1", "accounts", account_id)

    def accounts(self, limit: int) -> list[Json]:
        return list(self._api.pages("v1", "accounts", limit=limit))

    def top_up(self, account_id: str, *, amount: str, reference: str) -> Json:
        body = {"amount": amount, "reference": reference}
        return self._api.post("v1", "accounts", account_id, "topups", body=body)

    def refund(self, account_id: str, *, entry: int, reason: str) -> Json:
        body = {"entry": entry, "reason": reason}
        return self._api.post("v1", "accounts", account_id, "refunds", body=body)

    def reverse(self, account_id: str, *, entry: int, reason: str, allow_debt: bool) -> Json:
        body = {"entry": entry, "reason": reason, "allow_debt": allow_debt}
        return self._api.post("v1", "accounts", account_id, "reversals", body=body)

    def entries(self, account_id: str, limit: int, since: datetime | None, until: datetime | None) -> list[Json]:
        wanted = {
            "from": None if since is None else since.isoformat(),
            "to": None if until is None else until.isoformat(),
        }
        found, _ = self._api.listed("v1", "accounts", account_id, "entries", limit=limit, cursor=None, **wanted)
        return found

    def create_key(self, *, account_id: str | None, role: str, label: str) -> Json:
        wanted = {"role": role, "label": label, "account": account_id}
        return self._api.post("v1", "keys", body={name: value for name, value in wanted.items() if value})

    def keys(self, limit: int) -> list[Json]:
        return list(self._api.pages("v1", "keys", limit=limit))

    def revoke_key(self, key_id: str) -> Json:
        return self._api.delete("v1", "keys", key_id)

    def set_tariff(
        self, *, channel: str, prefix: str, price: str, charged_on: ChargedOn, unknown_end: UnknownEnd | None
    ) -> Json:
        terms = {"price": price, "charged_on": charged_on, "unknown_end": unknown_end}
        return self._api.put("v1", "tariffs", body={"channel": channel, "prefix": prefix, **terms})

    def remove_tariff(self, *, channel: str, prefix: str) -> Json:
        return self._api.delete("v1", "tariffs", channel=channel, prefix=prefix)

    def tariffs(self) -> list[Json]:
        return list(self._api.pages("v1", "tariffs", limit=TARIFFS_MAX))


class OnStore:
    """Works on the open store itself. Raises StoreError and AdministrationError."""

    def __init__(self, store: Store, runner: asyncio.Runner, allowed: Callable[[], Allowed]) -> None:
        """`allowed` tells what the settings let out, where it is asked for."""
        self._store = store
        self._allowed = allowed
        self._runner = runner
        self._now = SystemClock().now()

    def create_account(self, account_id: str, *, name: str, currency: str, floor: str | None) -> Json:
        _examine("account", {"id": account_id, "name": name, "currency": currency, "floor": floor})
        floor_micros = None if floor is None else parse_amount(floor, allow_negative=True)
        return shown.account(
            self._write(
                lambda connection: books.create_account(
                    connection,
                    self._now,
                    account_id=account_id,
                    name=name,
                    currency=currency,
                    floor_micros=floor_micros,
                )
            )
        )

    def change_account(self, account_id: str, changed: Json) -> Json:
        _examine_id("of_account", account_id=account_id)
        _examine("account_change", changed)
        floor = changed.get("floor")
        micros = None if floor is None else parse_amount(floor, allow_negative=True)
        return shown.account(
            self._write(
                lambda connection: books.change_account(
                    connection,
                    account_id,
                    name=changed.get("name"),
                    floor_micros=micros if "floor" in changed else books.UNSET,
                )
            )
        )

    def account(self, account_id: str) -> Json:
        _examine_id("of_account", account_id=account_id)
        return shown.account(self._read(lambda connection: books.stands(connection, account_id)))

    def accounts(self, limit: int) -> list[Json]:
        def page(after: books.Account | None, size: int) -> list[books.Account]:
            cursor = after.id if after is not None else None
            return self._read(lambda connection: books.list_accounts(connection, cursor=cursor, limit=size))

        return [shown.account(one) for one in _paged(page, limit)]

    def top_up(self, account_id: str, *, amount: str, reference: str) -> Json:
        _examine_id("of_account", account_id=account_id)
        _examine("topup", {"amount": amount, "reference": reference})

        def book(connection: Connection) -> books.Booking:
            micros = books.payment(connection, account_id, amount)
            return books.top_up(connection, self._now, account_id=account_id, amount_micros=micros, reference=reference)

        return shown.booking(self._write(book))

    def refund(self, account_id: str, *, entry: int, reason: str) -> Json:
        _examine_id("of_account", account_id=account_id)
        _examine("refund", {"entry": entry, "reason": reason})
        return shown.booking(
            self._write(
                lambda connection: reversals.refund(
                    connection, self._now, entry_id=entry, reason_id=reason, account_id=account_id
                )
            )
        )

    def reverse(self, account_id: str, *, entry: int, reason: str, allow_debt: bool) -> Json:
        _examine_id("of_account", account_id=account_id)
        _examine("reversal", {"entry": entry, "reason": reason, "allow_debt": allow_debt})
        return shown.booking(
            self._write(
                lambda connection: reversals.reverse(
                    connection,
                    self._now,
                    entry_id=entry,
                    reason_id=reason,
                    allow_debt=allow_debt,
                    account_id=account_id,
                )
            )
        )

    def entries(self, account_id: str, limit: int, since: datetime | None, until: datetime | None) -> list[Json]:
        first, before = None if since is None else to_micros(since), None if until is None else to_micros(until)

        def page(after: StoredEntry | None, size: int) -> list[StoredEntry]:
            cursor = after.before if after is not None else None
            return self._read(
                lambda connection: entries_of(
                    connection, account_id, cursor=cursor, limit=size, first=first, before=before
                )
            )

        self.account(account_id)
        return [shown.entry(one) for one in _paged(page, limit)]

    def create_key(self, *, account_id: str | None, role: str, label: str) -> Json:
        _examine("key", {"account": account_id, "role": role, "label": label})
        key, text = self._write(
            lambda connection: books.create_key(connection, self._now, account_id=account_id, role=role, label=label)
        )
        return {**shown.key(key), "key": text}

    def keys(self, limit: int) -> list[Json]:
        def page(after: books.Key | None, size: int) -> list[books.Key]:
            cursor = after.id if after is not None else None
            return self._read(lambda connection: books.list_keys(connection, cursor=cursor, limit=size))

        return [shown.key(one) for one in _paged(page, limit)]

    def revoke_key(self, key_id: str) -> Json:
        _examine_id("of_key", key_id=key_id)
        return shown.key(self._write(lambda connection: books.revoke_key(connection, self._now, key_id)))

    def set_tariff(
        self, *, channel: str, prefix: str, price: str, charged_on: ChargedOn, unknown_end: UnknownEnd | None
    ) -> Json:
        terms = {"price": price, "charged_on": charged_on, "unknown_end": unknown_end}
        _examine("tariff", {"channel": channel, "prefix": prefix, **terms})
        wrong = tariff_refusal(channel, prefix, self._allowed())
        if wrong is not None:
            raise books.InvalidFieldError(*wrong)
        micros = parse_amount(price)
        return shown.tariff(
            self._write(
                lambda connection: books.set_tariff(
                    connection,
                    self._now,
                    channel=channel,
                    prefix=prefix,
                    price_micros=micros,
                    charged_on=charged_on,
                    unknown_end=unknown_end,
                )
            )
        )

    def remove_tariff(self, *, channel: str, prefix: str) -> Json:
        return shown.tariff(
            self._write(lambda connection: books.remove_tariff(connection, self._now, channel=channel, prefix=prefix))
        )

    def tariffs(self) -> list[Json]:
        return [shown.tariff(one) for one in self._read(books.list_tariffs)]

    def _read(self, work: Callable[[Connection], T]) -> T:
        return self._runner.run(self._store.read(work))

    def _write(self, work: Callable[[Connection], T]) -> T:
        return self._runner.run(self._store.write(work))


def _paged(page: Callable[[T | None, int], list[T]], limit: int) -> list[T]:
    """The first `limit` elements, each page asked for with the last element of the one before."""
    found: list[T] = []
    while len(found) < limit:
        more = page(found[-1] if found else None, min(books.PAGE_MAX, limit - len(found)))
        if not more:
            break
        found += more
    return found
