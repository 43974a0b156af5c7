"""What the API shows of alerts, deliveries and messages: the shapes, and how rows become them. What is read lives in `reading`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from sqlalchemy import Row

from billing.money import format_amount
from gateway.alert import Alert, Priority
from gateway.clock import from_micros, rfc3339
from gateway.delivery import Delivery
from gateway.store.rows import Attempt, Part

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Amount = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{2,6}$", "examples": ["50.00", "0.045"]})
]
Status = Literal["active", "acknowledged", "completed", "resolved", "cancelled", "failed", "expired"]
State = Literal["queued", "sending", "unsure", "accepted", "delivered", "failed", "expired", "cancelled"]
PriorityName = Literal["emergency", "high", "normal", "bulk"]
RuleName = Literal["none", "any", "all", "quorum"]
DELIVERIES_SHOWN: Final = 100  # in an alert; the rest is paged


class View(BaseModel):
    """What all answers share."""

    model_config = ConfigDict(frozen=True)


class Links(View):
    """Where more of an alert is."""

    self: str
    timeline: str
    deliveries: str = ""


class TakenDelivery(View):
    """A delivery in the answer to its submission."""

    id: str
    state: State
    address: str
    code: str
    units: int


class JoinView(View):
    """How a request joined an open alert of the same trouble, and what became of its fields."""

    how: Literal["raised", "widened", "repeated"]
    fields: dict[str, Literal["told", "taken", "same", "reached", "noted", "kept", "dropped"]] = Field(
        description="every field that was written in the request, and the priority"
    )
    told: list[str] = Field(description="the first 100 addresses that are told because of it")
    told_total: int


class TakenAlert(View):
    """The answer to POST /v1/alerts."""

    id: str
    status: Status
    priority: PriorityName
    reference: str | None
    created_at: Time
    expires_at: Time
    deliveries: list[TakenDelivery] = Field(description="the first 100")
    deliveries_total: int
    links: dict[str, str]
    joined: bool = Field(default=False, description="an alert with the same reference is open: this one joined it")
    join: JoinView | None = Field(default=None, description="with joined: how")


class PlannedTry(View):
    """One delivery as it would be tried."""

    at: Time
    step: int
    person: str
    address: str
    provider: str
    units: int
    price: Amount
    hold: Amount


class DryRun(View):
    """The answer to POST /v1/alerts with dry_run: nothing was written."""

    dry_run: Literal[True]
    deliveries: list[PlannedTry]
    """The first hundred."""
    deliveries_total: int
    total: Amount


class AcknowledgementView(View):
    """A human confirmed. `by` is what they claim, `key_id` the key that told it."""

    id: str
    by: str
    taken: bool = Field(description="they take it in charge; else they have received it")
    counts: bool = Field(
        description="false for strangers where several people have to, and since everybody was asked anew"
    )
    comment: str
    via: str
    key_id: str
    at: Time


class AttemptView(View):
    """One try over one provider. `outcome` is "" while it is under way."""

    provider: str
    outcome: Literal["", "accepted", "delivered", "retry_later", "failed", "unsure"]
    code: str
    detail: str
    started_at: Time
    at: Time | None
    parts: list[PartView]


class PartView(View):
    """One part that the provider took, and the receipt for it."""

    n: int
    provider_message_id: str
    units: int
    state: Literal["accepted", "delivered", "failed"]
    code: str
    receipt: str
    sent_at: Time
    at: Time | None


class DeliverySummary(View):
    """A delivery within its alert. `price` is for one unit; `charged` is what it came to."""

    id: str
    recipient: str
    address: str
    state: State
    code: str
    provider: str
    step: int
    units: int
    price: Amount
    charged: Amount
    created_at: Time
    settled_at: Time | None


class DeliveryView(DeliverySummary):
    """A delivery with everything that was tried. `held` is what is set aside for it until it is settled."""

    alert: str
    held: Amount
    attempts: list[AttemptView]


class AlertSummary(View):
    """An alert in a list."""

    id: str
    account: str
    status: Status
    priority: PriorityName
    reference: str | None
    subject: str
    text: str
    source: str
    rule: RuleName
    exercise: bool
    created_at: Time
    start_at: Time
    expires_at: Time
    ended_at: Time | None


class AlertView(AlertSummary):
    """An alert: its first deliveries and who acknowledged."""

    confirm_within_s: int | None = Field(description="the time in which somebody has to take it in charge")
    confirm_by_at: Time | None = Field(
        description="received: until then nothing more goes out, and somebody takes it in charge"
    )
    acknowledgements: list[AcknowledgementView]
    deliveries: list[DeliverySummary] = Field(description="the first 100")
    deliveries_total: int
    links: Links


class InboundView(View):
    """A message that somebody sent to the gateway."""

    id: str
    provider: str
    channel: str
    source: str
    destination: str
    text: str
    at: Time


class CallbackView(View):
    """One numbered notice to an alert's callback_url."""

    alert: str
    number: int
    account: str
    url: str
    state: Literal["pending", "done", "parked"]
    tries: int
    code: str
    body: str
    due_at: Time
    created_at: Time
    ended_at: Time | None


def time_of(at: datetime | None) -> str | None:
    """RFC 3339, or None."""
    return None if at is None else rfc3339(at)


def summary_of_alert(alert: Alert) -> dict[str, Any]:
    """The members of an AlertSummary."""
    return {
        "id": alert.id,
        "account": alert.account_id,
        "status": str(alert.status),
        "priority": Priority(alert.priority).name.lower(),
        "reference": alert.reference,
        "subject": alert.subject,
        "text": alert.text,
        "source": alert.source,
        "rule": str(alert.rule),
        "exercise": alert.exercise,
        "created_at": rfc3339(alert.created_at),
        "start_at": rfc3339(alert.start_at),
        "expires_at": rfc3339(alert.expires_at),
        "ended_at": time_of(alert.ended_at),
    }


def alert_summary(alert: Alert) -> AlertSummary:
    """The alert as lists show it."""
    return AlertSummary(**summary_of_alert(alert))


def alert_view(
    alert: Alert, acknowledgements: list[AcknowledgementView], deliveries: list[Delivery], total: int
) -> AlertView:
    """The alert itself."""
    here = f"/v1/alerts/{alert.id}"
    return AlertView(
        **summary_of_alert(alert),
        confirm_within_s=alert.confirm_within_s,
        confirm_by_at=time_of(alert.confirm_by_at),
        acknowledgements=acknowledgements,
        deliveries=[delivery_summary(delivery) for delivery in deliveries[:DELIVERIES_SHOWN]],
        deliveries_total=total,
        links=Links(self=here, timeline=f"{here}/timeline", deliveries=f"{here}/deliveries"),
    )


def acknowledgement_view(row: Row[Any]) -> AcknowledgementView:
    """From a row of acknowledgements."""
    return AcknowledgementView(
        id=row.id,
        by=row.by,
        taken=bool(row.taken),
        counts=bool(row.person) and not row.handed_back,
        comment=row.comment,
        via=row.via,
        key_id=row.key_id,
        at=rfc3339(from_micros(row.at)),
    )


def summary_of_delivery(delivery: Delivery) -> dict[str, Any]:
    """The members of a DeliverySummary."""
    return {
        "id": delivery.id,
        "recipient": delivery.person,
        "address": delivery.address,
        "state": str(delivery.state),
        "code": delivery.code,
        "provider": delivery.provider,
        "step": delivery.step,
        "units": delivery.units,
        "price": format_amount(delivery.price_micros),
        "charged": format_amount(delivery.captured_micros),
        "created_at": rfc3339(delivery.created_at),
        "settled_at": time_of(delivery.settled_at),
    }


def delivery_summary(delivery: Delivery) -> DeliverySummary:
    """The delivery as lists show it."""
    return DeliverySummary(**summary_of_delivery(delivery))


def delivery_view(delivery: Delivery, attempts: list[Attempt], parts: list[Part]) -> DeliveryView:
    """The delivery with its attempts, each with the parts that it got through."""
    held = delivery.hold_micros if delivery.settled_at is None else 0
    return DeliveryView(
        **summary_of_delivery(delivery),
        alert=delivery.alert_id,
        held=format_amount(held),
        attempts=[_attempt(attempt, [part for part in parts if part.epoch == attempt.epoch]) for attempt in attempts],
    )


def _attempt(attempt: Attempt, parts: list[Part]) -> AttemptView:
    return AttemptView(
        provider=attempt.provider,
        outcome=attempt.outcome,
        code=attempt.code,
        detail=attempt.detail,
        started_at=rfc3339(attempt.started_at),
        at=time_of(attempt.at),
        parts=[_part(part) for part in parts],
    )


def _part(part: Part) -> PartView:
    return PartView(
        n=part.n,
        provider_message_id=part.provider_message_id,
        units=part.units,
        state=part.state,
        code=part.code,
        receipt=part.raw,
        sent_at=rfc3339(part.sent_at),
        at=time_of(part.at),
    )


def inbound_view(row: Row[Any]) -> InboundView:
    """From a row of inbound_messages."""
    return InboundView(**{**row._mapping, "at": rfc3339(from_micros(row.at))})


def callback_view(row: Row[Any]) -> CallbackView:
    """From a row of callbacks."""
    return CallbackView(
        alert=row.alert_id,
        number=row.n,
        account=row.account_id,
        url=row.url,
        state=row.state,
        tries=row.tries,
        code=row.code,
        body=row.body,
        due_at=rfc3339(from_micros(row.due_at)),
        created_at=rfc3339(from_micros(row.created_at)),
        ended_at=None if row.ended_at is None else rfc3339(from_micros(row.ended_at)),
    )


AttemptView.model_rebuild()
