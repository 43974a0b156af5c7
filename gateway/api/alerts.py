"""Routes of alerts and deliveries: lists, one of them, the timeline, and the verbs that people and upstream have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import Connection
from starlette.responses import Response

from gateway.alert import Alert
from gateway.api.context import ApiContext
from gateway.api.documentation import ResponseDocs, alert_body, documented
from gateway.api.idempotency import REPLAYED, header_of, idempotency_key
from gateway.api.json_bodies import JsonRoute
from gateway.api.paging import DEFAULT_LIMIT, Cursor, Limit, Page, id_at, page_of, place_at
from gateway.api.parameters import KNOWN, Within
from gateway.api.problems import not_found
from gateway.api.reading import account_of_alert, alert_of_many, alerts_page, deliveries_page, read_alert, read_delivery
from gateway.api.roles import Caller, Permission
from gateway.api.submitting import JSON, Submit
from gateway.api.timeline import timeline
from gateway.api.timeline_lines import Line, shown
from gateway.api.views import (
    AlertSummary,
    AlertView,
    DeliverySummary,
    DeliveryView,
    DryRun,
    Status,
    TakenAlert,
    alert_summary,
    delivery_summary,
)
from gateway.blanks import BLANK, readable
from gateway.identity import folded
from gateway.lifecycle import Acknowledge, ChangeAlert, cancel, release, resolve
from gateway.once import Once
from gateway.store.errors import StoreConflict
from gateway.store.journal import Command
from gateway.store.unit import Unit
from gateway.words import Speaker

ID_PATTERN: Final = r"^[A-Za-z0-9._-]{1,64}$"
Id = Annotated[str, Path(pattern=ID_PATTERN, description="the id of what is meant")]
AccountFilter = Annotated[str | None, Query(pattern=ID_PATTERN, description="only this account's", examples=["acme"])]
LINE_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"


def _somebody(by: str) -> str:
    if not folded(by):
        raise ValueError(BLANK)
    return readable(by)


class AcknowledgeIn(BaseModel):
    """Who acknowledges, and what they say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Annotated[str, AfterValidator(_somebody)] = Field(
        min_length=1,
        max_length=200,
        pattern=LINE_PATTERN,
        description="who it is: a name or an address of theirs; a claim, kept beside the key",
        examples=["Anne"],
    )
    taken: bool = Field(default=False, strict=True, description="they take it in charge; else they have received it")
    comment: Annotated[str, AfterValidator(readable)] = Field(
        default="", max_length=2_000, pattern=r"^[^\x00]*$", description="what they say", examples=["on my way"]
    )


class ByIn(BaseModel):
    """Who does it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Annotated[str, AfterValidator(readable)] = Field(
        default="",
        max_length=200,
        pattern=LINE_PATTERN,
        description="who does it: a claim, kept on the timeline",
        examples=["Anne"],
    )


REPLAYED_HEADER: Final = {
    "Idempotent-Replayed": {
        "description": "true on a replayed answer",
        "schema": {"type": "string", "examples": ["true"]},
    }
}
SUBMITTED: Final[ResponseDocs] = {
    202: {
        "description": "The alert is on disk. With `Idempotent-Replayed: true` it was before.",
        "model": TakenAlert,
        "headers": REPLAYED_HEADER,
    },
    200: {"description": "The answer to `dry_run: true`; nothing was written.", "model": DryRun},
}
IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "the same key and body within 24 h give the first answer again; another body gives 409",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 200,
        "pattern": "^[!-~]([ -~]*[!-~])?$",
        "examples": ["7c0f6a4e-pump-3"],
    },
}
ACCOUNT: Final = {
    "name": "account",
    "in": "query",
    "required": False,
    "description": "for keys of the installation: the account that is charged",
    "schema": {"type": "string", "pattern": ID_PATTERN, "examples": ["acme"]},
}


def router(api: ApiContext, submit: Submit) -> APIRouter:
    """The routes under /v1/alerts and /v1/deliveries."""
    routes = APIRouter(tags=["alerts"], route_class=JsonRoute, dependencies=[KNOWN])
    _add_submission(routes, submit)
    _add_reading(routes, api)
    _add_deliveries(routes, api)
    _add_verbs(routes, api)
    return routes


def _add_submission(routes: APIRouter, submit: Submit) -> None:
    async def submit_alert(request: Request) -> Response:
        """Takes an alert. Once it is answered with 202 it is on disk and is never lost."""
        return await submit(request.scope, request.receive)

    problems = documented(
        "insufficient-credit",
        "idempotency-conflict",
        "conflict",
        "invalid-header",
        "too-much-under-way",
        "storage-full",
        body=True,
    )
    routes.add_api_route(
        "/v1/alerts",
        submit_alert,
        methods=["POST"],
        status_code=202,
        response_model=None,
        responses={**SUBMITTED, **problems},
        openapi_extra={**alert_body(), "parameters": [IDEMPOTENCY_KEY, ACCOUNT]},
    )


def _add_reading(routes: APIRouter, api: ApiContext) -> None:
    reader = Depends(api.requires(Permission.READ_ALERTS))

    @routes.get("/v1/alerts", responses=documented())
    async def list_alerts(
        *,
        caller: Caller = reader,
        status: Annotated[Status | None, Query(description="only alerts that stand there")] = None,
        account: AccountFilter = None,
        reference: Annotated[
            str | None,
            Query(
                min_length=1,
                max_length=200,
                pattern=r"^[^\x00]*$",
                description="only alerts of this reference",
                examples=["PUMP-3"],
            ),
        ] = None,
        span: Within,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[AlertSummary]:
        """Alerts, the latest first."""
        if account is not None and not caller.sees(account):
            raise not_found("account", account)
        before = id_at(cursor)
        return await page_of(
            api.store,
            lambda connection, most: alerts_page(
                connection,
                account_id=caller.account_id or account,
                status=status,
                reference=reference,
                span=span,
                before=before,
                limit=most,
            ),
            limit,
            lambda alert: [alert.id],
            alert_summary,
        )

    @routes.get("/v1/alerts/{alert_id}", responses=documented("not-found"))
    async def get_alert(*, caller: Caller = reader, alert_id: Id) -> AlertView:
        """One alert, its first deliveries and who acknowledged."""
        return await _alert(api, alert_id, caller)

    @routes.get("/v1/alerts/{alert_id}/timeline", response_model=Page[Line], responses=documented("not-found"))
    async def get_timeline(
        *, caller: Caller = reader, alert_id: Id, cursor: Cursor = None, limit: Limit = 200
    ) -> Response:
        """All that happened, in order: attempts, outcomes, receipts, acknowledgements, charges."""
        await _require_alert(api, alert_id, caller)
        place = place_at(cursor, int, int, str, int, int)
        after = None if place is None else (place[0], place[1], place[2], place[3], place[4])
        page = await page_of(
            api.store,
            lambda c, most: timeline(c, alert_id, after=after, limit=most),
            limit,
            lambda each: each.place,
            lambda each: shown(each.line),
        )
        return Response(page.model_dump_json(), media_type=JSON)


def _add_deliveries(routes: APIRouter, api: ApiContext) -> None:
    reader = Depends(api.requires(Permission.READ_ALERTS))

    @routes.get("/v1/alerts/{alert_id}/deliveries", responses=documented("not-found"))
    async def list_deliveries(
        *, caller: Caller = reader, alert_id: Id, span: Within, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
    ) -> Page[DeliverySummary]:
        """The deliveries of an alert, in the order they were made."""
        await _require_alert(api, alert_id, caller)
        after = id_at(cursor)
        return await page_of(
            api.store,
            lambda c, most: deliveries_page(c, alert_id, after=after, limit=most, span=span),
            limit,
            lambda delivery: [delivery.id],
            delivery_summary,
        )

    @routes.get("/v1/deliveries/{delivery_id}", responses=documented("not-found"), tags=["deliveries"])
    async def get_delivery(*, caller: Caller = reader, delivery_id: Id) -> DeliveryView:
        """One delivery with every attempt, part and receipt."""
        found = await api.store.read(lambda c: read_delivery(c, delivery_id, caller.account_id))
        if found is None:
            raise not_found("delivery", delivery_id)
        return found


def _add_verbs(routes: APIRouter, api: ApiContext) -> None:
    may_end_alerts = Depends(api.requires(Permission.END_ALERTS))
    may_acknowledge = Depends(api.requires(Permission.ACKNOWLEDGE))
    replayed = {"headers": REPLAYED_HEADER}
    verbs: dict[str, Any] = {
        "methods": ["POST"],
        "response_model": AlertView,
        "responses": {
            **documented("not-found", "alert-ended", "idempotency-conflict", "conflict", "invalid-header", body=True),
            200: {"description": "The alert after it.", **replayed},
        },
        "openapi_extra": {"parameters": [IDEMPOTENCY_KEY]},
    }

    async def acknowledge_alert(
        *, caller: Caller = may_acknowledge, alert_id: Id, body: AcknowledgeIn, request: Request
    ) -> Response:
        """A human has received it or, with `taken`, takes it in charge. Once the alert's rule is met, nothing more goes out."""
        command = Acknowledge(
            alert_id=alert_id,
            account_id=caller.account_id,
            by=body.by,
            comment=body.comment,
            taken=body.taken,
            via="api",
            key_id=caller.key_id,
            names=api.broker.names,
            known=await _speaker(api, caller, alert_id, body.by),
        )
        return await _once(api, caller, alert_id, "acknowledge", command, request)

    routes.add_api_route("/v1/alerts/{alert_id}/acknowledge", acknowledge_alert, **verbs)

    def add(name: str, verb: Callable[[Unit, Alert], Alert], summary: str) -> None:
        async def change_alert(
            *, caller: Caller = may_end_alerts, alert_id: Id, body: ByIn | None = None, request: Request
        ) -> Response:
            by = "" if body is None else body.by
            command = ChangeAlert(alert_id=alert_id, account_id=caller.account_id, verb=verb, by=by)
            return await _once(api, caller, alert_id, name, command, request)

        path = f"/v1/alerts/{{alert_id}}/{name}"
        routes.add_api_route(path, change_alert, description=summary, name=f"{name}_alert", **verbs)

    add("release", release, "Hands an acknowledged alert back: its next step begins now, or its last one once more.")
    add("resolve", resolve, "The trouble is over: nothing more goes out.")
    add("cancel", cancel, "Calls an active alert off: what is queued is cancelled, what left goes on to its receipt.")


async def _speaker(api: ApiContext, caller: Caller, alert_id: str, by: str) -> Speaker | None:
    """Who says it, found out beside the loop and the writer where the alert has many people; None where it has few."""
    alert = await api.store.read(lambda c: alert_of_many(c, alert_id, caller.account_id))
    if alert is None:
        return None
    names = api.broker.names
    return await api.broker.large.do(lambda: Speaker.of(alert, by, names), urgently=True)


async def _once(
    api: ApiContext, caller: Caller, alert_id: str, verb: str, command: Command[Alert], request: Request
) -> Response:
    """Carries the command out, once for an Idempotency-Key where there is one, and answers with the alert as it is then."""
    headers = request.scope["headers"]
    account_id = caller.account_id
    if account_id is None and header_of(headers) is not None:
        account_id = await api.store.read(lambda connection: account_of_alert(connection, alert_id))
        if account_id is None:
            raise not_found("alert", alert_id)
    key = idempotency_key(
        headers, account_id=account_id or "", route=f"POST /v1/alerts/{alert_id}/{verb}", body=await request.body()
    )
    if key is None:
        await api.journal.do(command, urgent=True)
        return Response((await _alert(api, alert_id, caller)).model_dump_json(), media_type=JSON)

    def answer(connection: Connection) -> str:
        found = read_alert(connection, alert_id, caller.account_id)
        assert found is not None, "the command found it"
        return found.model_dump_json()

    once = Once(command=command, key=key, answer=answer)
    try:
        done = await api.journal.do(once, urgent=True)
    except StoreConflict:  # another process stored an answer under the same key meanwhile: now it is found
        done = await api.journal.do(once, urgent=True)
    return Response(done.answer, 200, REPLAYED if done.replayed else None, JSON)


async def _alert(api: ApiContext, alert_id: str, caller: Caller) -> AlertView:
    found = await api.store.read(lambda connection: read_alert(connection, alert_id, caller.account_id))
    if found is None:
        raise not_found("alert", alert_id)
    return found


async def _require_alert(api: ApiContext, alert_id: str, caller: Caller) -> None:
    account_id = await api.store.read(lambda connection: account_of_alert(connection, alert_id))
    if account_id is None or not caller.sees(account_id):
        raise not_found("alert", alert_id)
