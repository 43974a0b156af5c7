"""POST /v1/intake/alertmanager: the webhook over HTTP. What is made of it is in `gateway.alertmanager_intake`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Literal

import structlog
from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import Counter
from pydantic import Field, ValidationError

from gateway.alertmanager import Notification
from gateway.alertmanager_intake import AlertmanagerIntake, Concerned, Verdict
from gateway.api.context import ApiContext, allowed
from gateway.api.documentation import body_of, documented
from gateway.api.json_bodies import JsonRoute, not_json, parsed
from gateway.api.problems import Problem, invalid, wrong_field
from gateway.api.roles import Caller, Permission
from gateway.api.views import JoinView, View
from gateway.joining import Fate
from gateway.large_notification import with_goodwill
from gateway.large_work import LARGE_BYTES, TooMuchUnderWayError
from gateway.rules import NotTaken

log = structlog.get_logger(__name__)

PATH: Final = "/v1/intake/alertmanager"
ALERTS_SHOWN: Final = 100  # of a group that is taken member by member
GOODWILL = Counter(
    "tocsin_notifications_read_with_goodwill_total",
    "Notifications that are not what Alertmanager writes, and were read all the same",
    ["meaning"],
)
for _meaning in ("clear", "unclear"):
    GOODWILL.labels(_meaning)  # there from the start, at 0


class IntakeAlert(View):
    """One alert that the notification concerns."""

    id: str = Field(description="the alert", examples=["alt_06h2qfjfshgp71rjcun5ijgspg"])
    outcome: Literal["accepted", "joined", "resolved"] = Field(
        description="what became of it: a new one, one that was open, or one that is resolved now"
    )
    join: JoinView | None = Field(
        default=None, description="how it joined the open alert, where anything of it was new"
    )


class IntakeAnswer(View):
    """What became of a notification. Alertmanager reads only the status; this is for whoever tries it by hand."""

    rule: str = Field(description="the rule that was taken; empty where none was needed", examples=["database"])
    alerts: list[IntakeAlert] = Field(description=f"the first {ALERTS_SHOWN} alerts that it concerns")
    alerts_total: int = Field(description="how many alerts it concerns", examples=[1])
    skipped: list[str] = Field(
        description="recipients of the rule that cannot be reached, and why",
        examples=[["sms:0612345678: expected a number with its country"]],
    )
    detail: str = Field(description="what else there is to know; empty where all is as expected", examples=[""])


def router(context: ApiContext) -> APIRouter:
    """The route. A key that is bound to an account sees the rules of that account; one of the installation all rules."""
    routes = APIRouter(tags=["intake"], route_class=JsonRoute)
    intake = AlertmanagerIntake(context.broker, context.submissions)
    large = context.broker.large

    async def take(body: bytes, caller: Caller) -> Verdict:
        found = _read(body) if len(body) < LARGE_BYTES else await large.do(lambda: _read(body), urgently=True)
        notification, wrong = found
        if notification.status == "firing":
            context.storage.require_room()
        try:
            verdict = await intake.take(notification, account_id=caller.account_id, key_id=caller.key_id)
        except NotTaken as refusal:
            raise (wrong if wrong is not None and notification.unread else _problem(refusal)) from refusal
        if wrong is None:
            return verdict
        meaning = "unclear" if notification.unread else "clear"
        GOODWILL.labels(meaning).inc()
        log.warning("notification_read_with_goodwill", meaning=meaning, group=notification.key, error=wrong.detail)
        told = "could not be read in full" if notification.unread else "read with goodwill"
        return replace(verdict, detail="; ".join(filter(None, (f"{told}: {wrong.detail}", verdict.detail))))

    @routes.post(
        PATH,
        status_code=202,
        response_model_exclude_none=True,
        summary="Take a notification of Alertmanager",
        response_description="The alerts are on disk, or what fires joined those that are open",
        dependencies=[Depends(context.requires(Permission.SUBMIT))],
        openapi_extra=body_of("Notification"),
        responses={
            200: {"model": IntakeAnswer, "description": "The group is resolved; so is its alert, if there was one"},
            **documented("storage-full", body=True),
        },
    )
    async def take_notification(request: Request, response: Response) -> IntakeAnswer:
        """One alert for a group (or for each member, as the rule says): still firing joins it, resolved ends it. Always
        202 for a group that fires and has a rule, whatever the credit: what cannot be paid fails, and says so."""
        caller = allowed(request.scope, Permission.SUBMIT)
        body = await request.body()
        if len(body) < LARGE_BYTES:
            verdict = await take(body, caller)
        else:
            try:
                leave = large.admit(caller.key_id, urgently=True)
            except TooMuchUnderWayError as error:  # Alertmanager tries again after a 503, and not after a 429
                raise Problem("unavailable", str(error)) from error
            try:
                verdict = await take(body, caller)
            finally:
                leave()
        response.status_code = 202 if verdict.firing else 200
        return _answer(verdict)

    return routes


def _read(body: bytes) -> tuple[Notification, Problem | None]:
    """The notification, and what is wrong with its form: whoever posts it reads no answers, and what is refused is lost."""
    posted = None
    try:
        posted = _json(body)
        return Notification.model_validate(posted), None
    except Problem as problem:
        wrong = problem
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        wrong = invalid(found, body=posted, model=Notification)
    return Notification.model_validate(with_goodwill(body)), wrong


def _json(body: bytes) -> Any:
    if not body:
        raise not_json("expected a body of JSON")
    return parsed(body)


def _problem(refusal: NotTaken) -> Problem:
    if refusal.code == "no_rule":
        return wrong_field("commonLabels", refusal.code, str(refusal))
    detail = str(refusal)  # nothing is wrong with the request: the settings are
    return Problem("invalid-request", detail, errors=[{"field": "", "code": refusal.code, "detail": detail}])


def _answer(verdict: Verdict) -> IntakeAnswer:
    return IntakeAnswer(
        rule=verdict.rule,
        alerts=[
            IntakeAlert(id=alert.id, outcome=alert.outcome, join=_join(alert))
            for alert in verdict.alerts[:ALERTS_SHOWN]
        ],
        alerts_total=len(verdict.alerts),
        skipped=list(verdict.skipped),
        detail=verdict.detail,
    )


def _join(alert: Concerned) -> JoinView | None:
    """How it joined; of a plain repeat there is nothing to tell, and a group may have many."""
    if alert.join is None or set(alert.join["fields"].values()) <= {Fate.SAME, Fate.REACHED}:
        return None
    return JoinView(**alert.join)
