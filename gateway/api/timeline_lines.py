"""The shapes of a timeline's lines, told apart by `kind`. What is read of them, and in which order, lives in `timeline`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from gateway.api.views import Amount, State, Time, View

Left = SkipJsonSchema[None]
"""Members of which nothing is known are left out of the answer."""
Delivery = Annotated[str, Field(description="the delivery", examples=["dlv_06h2qfjfto8r9bh8fqhltqm7hk"])]
Address = Annotated[str, Field(description="where it goes", examples=["sms:+33612345678"])]
Provider = Annotated[str, Field(description="over which provider", examples=["carrier-a"])]
Part = Annotated[int, Field(description="the number of the part within the message, from 1", examples=[1])]
MessageId = Annotated[str, Field(description="the provider's id of the part", examples=["5f3a"])]
Attempt = Annotated[int, Field(description="how often the delivery has been tried by then", examples=[1])]
Code = Annotated[str, Field(description="a short word for why; empty where there is none", examples=["delivered"])]

EVENTS: Final[Mapping[str, str]] = {
    "active": "active again: handed back, or nobody took it in charge in time",
    "acknowledged": "the rule is met, or somebody has received it and has to take it in charge",
    "completed": "everything is settled, and nobody had to acknowledge",
    "resolved": "the trouble is over",
    "cancelled": "it was called off",
    "failed": "nobody was reached, and nothing is left to try",
    "expired": "the deadline passed without the acknowledgement that was asked for",
    "by": "who asked for the change before, as they claim",
    "step": "a step begins; `detail` is its number, from 0",
    "repeated": "the same trouble was told again; `detail` is the text",
    "priority_raised": "a more urgent request took over; `detail` is the priority",
    "widened": "people were added; `detail` names their addresses",
    "declined": "somebody was reached and cannot act; `detail` says who",
    "everybody_declined": "everybody who was reached has declined",
    "key_before_the_rise": "a key that was pressed before everybody was asked anew, and does not count; `detail` says whose",
    "corrected": "what was settled has another end; `detail` is state and code before and after",
    "sent_anew": "a mail that bounced late goes on; `detail` is the delivery that takes its place",
    "absorbed": "it cost more than was held; `detail` is the rest in millionths, which nobody pays",
    "last_resort": "the last resort is told; `detail` is that alert",
    "recorded": "what a caller said was kept as a file; `detail` is its name",
    "callback_parked": "a callback was given up; `detail` is its number and code",
    "callback_retried": "a parked callback is tried again; `detail` is its number",
    "event": "something that this version has no word for; `detail` tells it",
}
"""What the lines without members of their own tell; their order is that of the page."""


class AcceptedLine(View):
    """The alert is on disk."""

    at: Time = Field(description="when it happened")
    kind: Literal["accepted"] = Field(description="what happened")
    source: str = Field(description="who made it: api, an intake, a line or the last resort", examples=["api"])
    reference: str | Left = Field(default=None, description="upstream's name for the trouble", examples=["PUMP-3"])


class MoneyLine(View):
    """An entry of the ledger for the alert or one of its deliveries."""

    at: Time = Field(description="when it happened")
    kind: Literal["hold", "capture", "release", "refund"] = Field(
        description="hold: set aside; capture: charged; release: the rest of a hold went back; refund: a charge went back"
    )
    amount: Amount = Field(description="how much")
    entry: int = Field(description="the entry of the ledger", examples=[7])
    cause: str = Field(
        description="what the entry was made for: a delivery, or a step of the alert",
        examples=["dlv_06h2qfjfto8r9bh8fqhltqm7hk"],
    )


class QueuedLine(View):
    """A delivery was made."""

    at: Time = Field(description="when it happened")
    kind: Literal["queued"] = Field(description="what happened")
    delivery: Delivery
    address: Address
    recipient: str = Field(description="whom it is for", examples=["Anne"])
    step: int = Field(description="the number of the step that made it, from 0", examples=[0])


class AttemptLine(View):
    """An attempt began."""

    at: Time = Field(description="when it happened")
    kind: Literal["attempt"] = Field(description="what happened")
    delivery: Delivery
    address: Address
    provider: Provider
    attempt: Attempt


class SentLine(View):
    """The provider took a part."""

    at: Time = Field(description="when it happened")
    kind: Literal["sent"] = Field(description="what happened")
    delivery: Delivery
    address: Address
    provider: Provider
    part: Part
    provider_message_id: MessageId


class OutcomeLine(View):
    """An attempt ended."""

    at: Time = Field(description="when it happened")
    kind: Literal["outcome"] = Field(description="what happened")
    delivery: Delivery
    address: Address
    provider: Provider
    attempt: Attempt
    outcome: Literal["", "accepted", "delivered", "retry_later", "failed", "unsure"] = Field(
        description="what it returned; unsure where no answer came, with the code `interrupted` where Tocsin stopped meanwhile"
    )
    code: Code
    detail: str = Field(description="the same for people", examples=["taken by the centre"])


class ReceiptLine(View):
    """A receipt: the last word on a part, with all members, or one on the way, with `detail`."""

    at: Time = Field(description="when it happened")
    kind: Literal["receipt"] = Field(description="what happened")
    delivery: str | Left = Field(default=None, description="the delivery", examples=["dlv_06h2qfjfto8r9bh8fqhltqm7hk"])
    address: str | Left = Field(default=None, description="where it went", examples=["sms:+33612345678"])
    provider: str | Left = Field(default=None, description="who sent the receipt", examples=["carrier-a"])
    part: int | Left = Field(default=None, description="the number of the part, from 1", examples=[1])
    provider_message_id: str | Left = Field(
        default=None, description="the provider's id of the part", examples=["5f3a"]
    )
    state: Literal["accepted", "delivered", "failed"] | Left = Field(
        default=None, description="what became of the part"
    )
    code: str | Left = Field(default=None, description="a short word of the receipt", examples=["delivered"])
    receipt: str | Left = Field(
        default=None, description="the receipt as it came", examples=["id:5f3a stat:DELIVRD err:000"]
    )
    detail: str | Left = Field(
        default=None,
        description="code and text of a receipt on the way, or of one that a later word replaced",
        examples=["enroute"],
    )


class SettledLine(View):
    """The money of a delivery is final, and nothing more is expected."""

    at: Time = Field(description="when it happened")
    kind: Literal["settled"] = Field(description="what happened")
    delivery: Delivery
    address: Address
    state: State = Field(description="how it ended")
    code: Code
    charged: Amount = Field(description="what it came to")


class AcknowledgementLine(View):
    """A human said a word."""

    at: Time = Field(description="when it happened")
    kind: Literal["acknowledgement"] = Field(description="what happened")
    by: str = Field(description="who it was, as whoever told it claims", examples=["Anne"])
    word: Literal["received", "taken"] = Field(description="received, or taken in charge")
    comment: str = Field(description="what they said; empty without", examples=["on my way"])
    via: str = Field(description="how the word came", examples=["api"])
    key: str | Left = Field(
        default=None, description="the key that told it; empty without", examples=["key_06h2qfjfto8r9bh8fqhltqm7hk"]
    )


class EventLine(View):
    """Something that happened to the alert, in words."""

    at: Time = Field(description="when it happened")
    kind: EventKind = Field(description="; ".join(f"{kind}: {meaning}" for kind, meaning in EVENTS.items()))
    detail: str = Field(description="what there is to know; empty where the kind says it all", examples=["1"])
    delivery: str | Left = Field(default=None, description="the delivery", examples=["dlv_06h2qfjfto8r9bh8fqhltqm7hk"])


EventKind = Literal[
    "active", "acknowledged", "completed", "resolved", "cancelled", "failed", "expired", "by", "step", "repeated",
    "priority_raised", "widened", "declined", "everybody_declined", "key_before_the_rise", "corrected", "sent_anew",
    "absorbed", "last_resort", "recorded", "callback_parked", "callback_retried", "event",
]  # fmt: skip
EventLine.model_rebuild()

Shape = (
    AcceptedLine | MoneyLine | QueuedLine | AttemptLine | SentLine | OutcomeLine | ReceiptLine | SettledLine
    | AcknowledgementLine | EventLine
)  # fmt: skip
Line = Annotated[Shape, Field(discriminator="kind")]
SHAPES: Final[Mapping[str, type[Shape]]] = {
    kind: shape for shape in get_args(Shape) for kind in get_args(shape.model_fields["kind"].annotation)
}
"""Which shape a kind has."""


def shown(line: Shape) -> dict[str, Any]:
    """The line as it is answered: without the members of which nothing is known."""
    return line.model_dump(exclude_none=True, warnings=False)


def line_of(kind: str, at: str, members: Mapping[str, Any]) -> Shape:
    """The line. A kind that is not known, as a later version may have written, becomes an event that tells it."""
    shape = SHAPES.get(kind)
    if shape is None:
        return EventLine(
            at=at, kind="event", detail=f"{kind} {members.get('detail', '')}".strip(), delivery=members.get("delivery")
        )
    made: Any = shape.model_construct  # from our own rows; the tests compare them with the shapes
    line: Shape = made(at=at, kind=kind, **members)
    return line
