"""What the API shows of alerts, deliveries and messages: the shapes, and how rows become them. What is read lives in `reading`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from sqlalchemy import Row

from billing.money import format_amount
from gateway.alert import Alert, Priority, Rule
from gateway.clock import from_micros, rfc3339
from gateway.delivery import Delivery
from gateway.escalation import Occurrence, plan_from_json
from gateway.store.rows import Attempt, Part

Time = Annotated[
    str, WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-01T06:00:00.000Z"]})
]
Amount = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{2,6}$", "examples": ["50.00", "0.045"]})
]
Status = Literal["active", "acknowledged", "completed", "resolved", "cancelled", "failed", "expired"]
State = Literal["queued", "sending", "unsure", "accepted", "delivered", "failed", "expired", "cancelled"]
PriorityName = Literal["emergency", "high", "normal", "bulk"]
RuleName = Literal["none", "any", "all", "quorum"]
TOO_LARGE: Final = ""  # in place of the steps of an alert, where they are not read
DELIVERIES_SHOWN: Final = 100  # in an alert; the rest is paged


class View(BaseModel):
    """What all answers share."""

    model_config = ConfigDict(frozen=True)


class Links(View):
    """Where more of an alert is."""

    self: str = Field(description="this alert", examples=["/v1/alerts/alt_06h2qfjfshgp71rjcun5ijgspg"])
    timeline: str = Field(
        description="all that happened, in order", examples=["/v1/alerts/alt_06h2qfjfshgp71rjcun5ijgspg/timeline"]
    )
    deliveries: str = Field(
        default="", description="all its deliveries", examples=["/v1/alerts/alt_06h2qfjfshgp71rjcun5ijgspg/deliveries"]
    )


class TakenDelivery(View):
    """A delivery in the answer to its submission."""

    id: str = Field(description="the delivery", examples=["dlv_06h2qfjfto8r9bh8fqhltqm7hk"])
    state: State = Field(description="where it stands; see the states of a delivery")
    address: str = Field(description="where it goes, in its canonical form", examples=["sms:+33612345678"])
    code: str = Field(
        description="a short word for why it is in this state; empty where there is nothing to add",
        examples=["insufficient_credit"],
    )
    units: int = Field(
        description="how many units it can take at the most: parts of a text, started minutes of a call", examples=[1]
    )


class JoinView(View):
    """How a request joined an open alert of the same trouble, and what became of its fields."""

    how: Literal["raised", "widened", "repeated"] = Field(
        description="raised: it is more urgent and takes over; widened: it names people who are added; "
        "repeated: nobody is told anything new"
    )
    fields: dict[str, Literal["told", "taken", "same", "reached", "noted", "kept", "dropped"]] = Field(
        description="what became of every field that was written in the request, and of the priority",
        examples=[{"text": "noted", "recipients": "reached", "priority": "kept"}],
    )
    told: list[str] = Field(
        description="the first 100 addresses that are told because of it", examples=[["sms:+33687654321"]]
    )
    told_total: int = Field(description="how many addresses are told because of it", examples=[1])


class TakenAlert(View):
    """The answer to POST /v1/alerts."""

    id: str = Field(
        description="the alert; of one that was open, where the request joined it",
        examples=["alt_06h2qfjfshgp71rjcun5ijgspg"],
    )
    status: Status = Field(description="where the alert stands")
    priority: PriorityName = Field(description="how urgent it is")
    reference: str | None = Field(description="your name for the trouble; null without one", examples=["PUMP-3"])
    created_at: Time = Field(description="when it was accepted")
    expires_at: Time = Field(description="its deadline")
    deliveries: list[TakenDelivery] = Field(description="the first 100 of its first step")
    deliveries_total: int = Field(description="how many deliveries its first step has", examples=[1])
    links: dict[str, str] = Field(
        description="where to look next",
        examples=[
            {
                "self": "/v1/alerts/alt_06h2qfjfshgp71rjcun5ijgspg",
                "timeline": "/v1/alerts/alt_06h2qfjfshgp71rjcun5ijgspg/timeline",
            }
        ],
    )
    joined: bool = Field(
        default=False, description="true where an alert of the same trouble is open: this request made no new one"
    )
    join: JoinView | None = Field(default=None, description="with joined: what became of the request")
    notice: str | None = Field(
        default=None,
        description="with joined: the same in one sentence, for people",
        examples=["no new alert was made: the request joined alt_06h2qfjfshgp71rjcun5ijgspg, which is open"],
    )


class PlannedTry(View):
    """One delivery as it would be tried."""

    at: Time = Field(description="when it would be tried")
    step: int = Field(description="the number of the step, from 0", examples=[0])
    person: str = Field(
        deprecated=True, description="the recipient, by its old name: read `recipient`", examples=["Anne"]
    )
    recipient: str = Field(
        description="whom it would be for: a name, or the first address of somebody without one", examples=["Anne"]
    )
    address: str = Field(description="where it would go", examples=["sms:+33612345678"])
    provider: str = Field(
        description="over which provider it would go first; empty where none takes it", examples=["carrier-a"]
    )
    units: int = Field(description="how many units it can take at the most", examples=[1])
    price: Amount = Field(description="of one unit")
    held: Amount = Field(description="what would be held for it until it is settled")
    hold: Amount = Field(deprecated=True, description="what would be held for it, by its old name: read `held`")


class DryRun(View):
    """The answer to POST /v1/alerts with dry_run: nothing was written."""

    dry_run: Literal[True] = Field(description="true: nothing was written or sent")
    deliveries: list[PlannedTry] = Field(description="the first 100")
    """The first hundred."""
    deliveries_total: int = Field(description="how many there would be, repeats included", examples=[1])
    total: Amount = Field(description="what would be held for all of them")


class AcknowledgementView(View):
    """A human confirmed. `by` is what they claim, `key_id` the key that told it."""

    id: str = Field(description="the acknowledgement", examples=["ack_06h2qfjfto8r9bh8fqhltqm7hk"])
    by: str = Field(description="who it was, as whoever told it claims", examples=["Anne"])
    taken: bool = Field(description="true: they take it in charge; false: they have received it")
    counts: bool = Field(
        description="false for strangers where several people have to, and once everybody was asked anew"
    )
    comment: str = Field(description="what they said", examples=["on my way"])
    via: str = Field(description="how the word came", examples=["api"])
    key: str = Field(description="the key that told it", examples=["key_06h2qfjfto8r9bh8fqhltqm7hk"])
    key_id: str = Field(
        deprecated=True,
        description="the key that told it, by its old name: read `key`",
        examples=["key_06h2qfjfto8r9bh8fqhltqm7hk"],
    )
    at: Time = Field(description="when it came")


class AttemptView(View):
    """One try over one provider. `outcome` is "" while it is under way."""

    provider: str = Field(description="over which provider", examples=["carrier-a"])
    outcome: Literal["", "accepted", "delivered", "retry_later", "failed", "unsure"] = Field(
        description="what it returned; empty while it is under way, unsure where no answer came or (`interrupted`) Tocsin stopped"
    )
    code: str = Field(description="a short word for why", examples=["accepted"])
    detail: str = Field(description="the same for people", examples=["message id 5f3a"])
    started_at: Time = Field(description="when it began")
    at: Time | None = Field(description="when it ended; null while it is under way")
    parts: list[PartView] = Field(description="what the provider took")


class PartView(View):
    """One part that the provider took, and the receipt for it."""

    n: int = Field(description="its number within the message, from 1", examples=[1])
    provider_message_id: str = Field(description="the provider's id of it", examples=["5f3a"])
    units: int = Field(description="how many units it counts", examples=[1])
    state: Literal["accepted", "delivered", "failed"] = Field(description="accepted until a receipt says more")
    code: str = Field(description="a short word of the receipt; empty without one", examples=["delivered"])
    receipt: str = Field(
        description="the receipt as it came; empty without one", examples=["id:5f3a stat:DELIVRD err:000"]
    )
    sent_at: Time = Field(description="when the provider took it")
    at: Time | None = Field(description="when its receipt came; null before")


class DeliverySummary(View):
    """A delivery within its alert. `price` is for one unit; `charged` is what it came to."""

    id: str = Field(description="the delivery", examples=["dlv_06h2qfjfto8r9bh8fqhltqm7hk"])
    recipient: str = Field(
        description="whom it is for: a name, or the first address of somebody without one", examples=["Anne"]
    )
    address: str = Field(description="where it goes, in its canonical form", examples=["sms:+33612345678"])
    state: State = Field(description="where it stands; see the states of a delivery")
    code: str = Field(
        description="a short word for why it is in this state; empty where there is nothing to add",
        examples=["delivered"],
    )
    provider: str = Field(
        description="the provider that has it, or had it last; empty where none takes it", examples=["carrier-a"]
    )
    step: int = Field(description="the number of the step that made it, from 0", examples=[0])
    units: int = Field(description="how many units: parts of a text, started minutes of a call", examples=[1])
    price: Amount = Field(description="of one unit")
    charged: Amount = Field(description="what it came to; 0 until it is settled")
    created_at: Time = Field(description="when it was made")
    settled_at: Time | None = Field(
        description="since when the money is final and nothing more is expected; null before"
    )


class DeliveryView(DeliverySummary):
    """A delivery with everything that was tried. `held` is what is set aside for it until it is settled."""

    alert: str = Field(description="the alert that it belongs to", examples=["alt_06h2qfjfshgp71rjcun5ijgspg"])
    held: Amount = Field(description="what is set aside for it until it is settled")
    attempts: list[AttemptView] = Field(description="every try, the first one first")


class AskedView(View):
    """Who has to acknowledge an alert, as the request may say it."""

    rule: RuleName = Field(
        description="none: nobody has to; any: one person; all: everybody; quorum: as many people as `quorum` says"
    )
    quorum: int | None = Field(description="how many different people; null with any other rule", examples=[2])
    confirm_within_s: int | None = Field(
        description="seconds in which somebody has to take it in charge; null where nobody has to", examples=[600]
    )


class StepView(View):
    """One time at which a step begins: a repeat has a line of its own."""

    after_s: float = Field(description="seconds from the beginning of the alert", examples=[300])
    channels: list[str] = Field(description="only addresses of these channels; empty: of all", examples=[["sms"]])
    recipients: list[str] | None = Field(
        description=f"whom it tries alone, by name: the first {DELIVERIES_SHOWN}; null: the recipients of the alert",
        examples=[["Anne"]],
    )


class AlertSummary(View):
    """An alert in a list."""

    id: str = Field(description="the alert", examples=["alt_06h2qfjfshgp71rjcun5ijgspg"])
    account: str = Field(description="whose it is, and who pays", examples=["acme"])
    status: Status = Field(description="where it stands; see the states of an alert")
    priority: PriorityName = Field(description="how urgent it is")
    reference: str | None = Field(description="your name for the trouble; null without one", examples=["PUMP-3"])
    subject: str = Field(description="its subject; empty without one", examples=["Pump 3"])
    text: str = Field(description="what is told", examples=["Pump 3 has stopped"])
    source: str = Field(description="who made it: api, an intake, a line or the last resort", examples=["api"])
    acknowledgement: AskedView = Field(description="who has to acknowledge")
    rule: RuleName = Field(
        deprecated=True, description="who has to acknowledge, by its old name: read `acknowledgement`"
    )
    exercise: bool = Field(description="every rendering says EXERCISE first")
    created_at: Time = Field(description="when it was accepted")
    send_at: Time = Field(description="when its first step began or begins")
    start_at: Time = Field(
        deprecated=True, description="when its first step began or begins, by its old name: read `send_at`"
    )
    expires_at: Time = Field(description="its deadline")
    ended_at: Time | None = Field(
        description="since when nothing more goes out: it was acknowledged for good, or it ended. What happens later "
        "does not move it; null while it is active"
    )


class AlertView(AlertSummary):
    """An alert: its first deliveries and who acknowledged."""

    language: str = Field(
        description="the language of recipients who have none of their own; empty without", examples=["fr"]
    )
    sensitive: bool = Field(description="the text is not sent: recipients are asked to call in")
    on_unknown: Literal["resend", "wait"] = Field(
        description="what follows where it is not known whether a message left"
    )
    callback_url: str | None = Field(
        description="where what happens is posted; null without", examples=["https://upstream.example/hook"]
    )
    steps: list[StepView] | None = Field(
        description="its escalation, in the order of time, repeats one by one; null where it names a thousand people and more",
        examples=[[{"after_s": 300, "channels": ["sms"], "recipients": ["Anne"]}]],
    )
    confirm_within_s: int | None = Field(
        deprecated=True,
        description="seconds in which somebody has to take it in charge; null where nobody has to. "
        "By its old name: read `acknowledgement`",
        examples=[600],
    )
    confirm_by_at: Time | None = Field(
        description="somebody received it: until then nothing more goes out, and somebody has to take it in charge; null otherwise"
    )
    acknowledgements: list[AcknowledgementView] = Field(description="the first 1,000 words of people, in order")
    deliveries: list[DeliverySummary] = Field(description="the first 100")
    deliveries_total: int = Field(description="how many it has so far", examples=[1])
    links: Links = Field(description="where to look next")


class CallbackView(View):
    """One numbered notice to an alert's callback_url."""

    alert: str = Field(description="the alert that it tells of", examples=["alt_06h2qfjfshgp71rjcun5ijgspg"])
    number: int = Field(description="its number within the alert, from 1", examples=[1])
    account: str = Field(description="whose it is", examples=["acme"])
    url: str = Field(description="where it is posted", examples=["https://upstream.example/hook"])
    state: Literal["pending", "done", "parked"] = Field(
        description="pending: it is still tried; done: it was answered with 2xx; parked: it was given up"
    )
    tries: int = Field(description="how often it was tried", examples=[1])
    code: str = Field(description="what came of the last try; empty before", examples=["500"])
    body: str = Field(
        description="what is posted: JSON", examples=['{"id":"cbk_06h2qfjfto8r9bh8fqhltqm7hk","number":1}']
    )
    due_at: Time = Field(description="when it is tried next")
    created_at: Time = Field(description="when it was made")
    ended_at: Time | None = Field(description="when it was done or parked; null before")


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
        "acknowledgement": {
            "rule": str(alert.rule),
            "quorum": alert.quorum if alert.rule is Rule.QUORUM else None,
            "confirm_within_s": alert.confirm_within_s,
        },
        "rule": str(alert.rule),
        "exercise": alert.exercise,
        "created_at": rfc3339(alert.created_at),
        "send_at": rfc3339(alert.start_at),
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
        language=alert.language,
        sensitive=alert.sensitive,
        on_unknown="resend" if alert.resend else "wait",
        callback_url=alert.callback_url,
        steps=None if alert.steps == TOO_LARGE else [_step(each) for each in plan_from_json(alert.steps)],
        confirm_within_s=alert.confirm_within_s,
        confirm_by_at=time_of(alert.confirm_by_at),
        acknowledgements=acknowledgements,
        deliveries=[delivery_summary(delivery) for delivery in deliveries[:DELIVERIES_SHOWN]],
        deliveries_total=total,
        links=Links(self=here, timeline=f"{here}/timeline", deliveries=f"{here}/deliveries"),
    )


def _step(occurrence: Occurrence) -> StepView:
    own = occurrence.recipients
    named = None if own is None else [recipient.person for recipient in own[:DELIVERIES_SHOWN]]
    return StepView(after_s=occurrence.after_s, channels=list(occurrence.channels), recipients=named)


def acknowledgement_view(row: Row[Any]) -> AcknowledgementView:
    """From a row of acknowledgements."""
    return AcknowledgementView(
        id=row.id,
        by=row.by,
        taken=bool(row.taken),
        counts=bool(row.person) and not row.handed_back,
        comment=row.comment,
        via=row.via,
        key=row.key_id,
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
