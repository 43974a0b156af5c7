"""Routes of callbacks: those that were given up, and another round of tries for one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query
from sqlalchemy import select

from gateway.api.alerts import AccountFilter, Id
from gateway.api.context import ApiContext
from gateway.api.documentation import documented
from gateway.api.json_bodies import JsonRoute
from gateway.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, page_of, place_at
from gateway.api.parameters import KNOWN, Within
from gateway.api.problems import Problem, not_found
from gateway.api.reading import callbacks_page
from gateway.api.roles import Caller, Permission
from gateway.api.views import CallbackView, callback_view
from gateway.frozen import replace
from gateway.store import rows, tables
from gateway.store.rows import Callback
from gateway.store.unit import Unit, Wants

NUMBER_MAX = 2**31 - 1  # what the column holds


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryCallback:
    """Command: a parked callback is tried again from the beginning. Raises Problem (404, 409)."""

    alert_id: str
    n: int
    account_id: str | None
    weight: int = 1

    def prefetch(self, wants: Wants) -> None:
        pass

    def apply(self, unit: Unit) -> Callback:
        t = tables.callbacks.c
        unit.flush()  # what this batch has done to it counts
        row = unit.connection.execute(
            select(*rows.callbacks.columns).where(t.alert_id == self.alert_id, t.n == self.n).with_for_update()
        ).first()
        if row is None or self.account_id not in (None, row.account_id):
            raise not_found("callback", f"{self.n} of {self.alert_id}")
        callback = rows.callbacks.from_row(row)
        if callback.state != "parked":
            raise Problem("callback-not-parked", f"the callback is {callback.state}")
        again = replace(callback, state="pending", tries=0, due_at=unit.now, ended_at=None)
        unit.put(again)
        unit.event(self.alert_id, "callback_retried", str(self.n))
        return again


def router(api: ApiContext) -> APIRouter:
    """The routes under /v1/callbacks."""
    routes = APIRouter(tags=["callbacks"], route_class=JsonRoute, dependencies=[KNOWN])
    may_retry_callbacks = Depends(api.requires(Permission.RETRY_CALLBACKS))
    may_read_callbacks = Depends(api.requires(Permission.READ_CALLBACKS))

    @routes.get("/v1/callbacks", responses=documented())
    async def list_callbacks(
        *,
        caller: Caller = may_read_callbacks,
        state: Annotated[
            Literal["pending", "done", "parked"], Query(description="only callbacks that stand there")
        ] = "parked",
        account: AccountFilter = None,
        alert: Annotated[
            str | None,
            Query(
                pattern=r"^[A-Za-z0-9._-]{1,64}$",
                description="only this alert's",
                examples=["alt_06h2qfjfshgp71rjcun5ijgspg"],
            ),
        ] = None,
        span: Within,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[CallbackView]:
        """Callbacks, by default those that were given up after the last try; those of the latest alerts first."""
        if account is not None and not caller.sees(account):
            raise not_found("account", account)
        before = place_at(cursor, str, int)
        return await page_of(
            api.store,
            lambda connection, most: callbacks_page(
                connection,
                state=state,
                account_id=caller.account_id or account,
                alert_id=alert,
                span=span,
                before=None if before is None else (before[0], before[1]),
                limit=most,
            ),
            limit,
            lambda row: [row.alert_id, row.n],
            callback_view,
        )

    @routes.post(
        "/v1/callbacks/{alert_id}/{number}/retry",
        status_code=202,
        responses=documented("not-found", "callback-not-parked", "conflict"),
    )
    async def retry_callback(
        *,
        caller: Caller = may_retry_callbacks,
        alert_id: Id,
        number: Annotated[
            int, Path(ge=1, le=NUMBER_MAX, description="the number of the callback within the alert", examples=[1])
        ],
    ) -> CallbackView:
        """Tries a parked callback again, with as many tries as the first time."""
        await api.journal.do(RetryCallback(alert_id=alert_id, n=number, account_id=caller.account_id))
        t = tables.callbacks.c
        row = await api.store.read(
            lambda c: c.execute(select(tables.callbacks).where(t.alert_id == alert_id, t.n == number)).one()
        )
        return callback_view(row)

    return routes
