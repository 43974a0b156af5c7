"""The shapes of what is posted to a `callback_url`, for the documentation. What happens writes them; `gateway.callbacks` sends."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from gateway.api.views import State, Status, Time

ALERT: Final = "alt_06h2qfjfshgp71rjcun5ijgspg"
DELIVERY: Final = "dlv_06h2qfjfto8r9bh8fqhltqm7hk"
At = Annotated[Time, Field(description="when it happened")]
By = Annotated[str, Field(description="who it was, as whoever told it claims", examples=["Anne"])]
Via = Annotated[str, Field(description="how the word came", examples=["api"])]


class AlertChanged(BaseModel):
    """The alert stands elsewhere."""

    type: Literal[
        "alert.active", "alert.acknowledged", "alert.completed", "alert.resolved", "alert.cancelled", "alert.failed",
        "alert.expired",
    ] = Field(description="what happened")  # fmt: skip
    alert: str = Field(description="the alert", examples=[ALERT])
    status: Status = Field(description="where it stands now")
    at: At


class DeliveryChanged(BaseModel):
    """A delivery is settled, or what was settled has another end."""

    type: Literal[
        "delivery.accepted", "delivery.delivered", "delivery.failed", "delivery.expired", "delivery.cancelled",
        "delivery.queued", "delivery.sending", "delivery.unsure",
    ] = Field(description="what happened")  # fmt: skip
    delivery: str = Field(description="the delivery", examples=[DELIVERY])
    address: str = Field(description="where it went", examples=["sms:+33612345678"])
    state: State = Field(description="where it stands now")
    code: str = Field(description="a short word for why; empty where there is none", examples=["delivered"])
    provider: str = Field(description="the provider that had it last", examples=["carrier-a"])
    at: At


class WordSaid(BaseModel):
    """A human acknowledged."""

    type: Literal["acknowledgement"] = Field(description="what happened")
    id: str = Field(description="the acknowledgement", examples=["ack_06h2qfjfto8r9bh8fqhltqm7hk"])
    by: By
    person: str = Field(description="whom the alert knows them as; empty for a stranger", examples=["Anne"])
    taken: bool = Field(description="true: they take it in charge; false: they have received it")
    counts: bool = Field(description="false for strangers where several people have to")
    via: Via
    at: At


class WordDeclined(BaseModel):
    """A human was reached, and cannot act."""

    type: Literal["declined"] = Field(description="what happened")
    by: By
    via: Via
    delivery: str = Field(description="the delivery that reached them", examples=[DELIVERY])
    at: At


class CallbackBody(BaseModel):
    """What happened to an alert since the callback before."""

    id: str = Field(description="the callback: one may come twice", examples=["cbk_06h2qfjfto8r9bh8fqhltqm7hk"])
    number: int = Field(description="its number within the alert, from 1", examples=[1])
    alert: str = Field(description="the alert", examples=[ALERT])
    reference: str | None = Field(description="your name for the trouble; null without one", examples=["PUMP-3"])
    status: Status = Field(description="where the alert stood when it was written")
    events: list[Annotated[AlertChanged | DeliveryChanged | WordSaid | WordDeclined, Field(discriminator="type")]] = (
        Field(description="what happened, in order, at most 500")
    )


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": True, "description": description, "schema": schema}


def callbacks() -> dict[str, Any]:
    """The callback of an operation, as OpenAPI writes it; its body is the schema CallbackBody."""
    operation = {
        "summary": "Tell what happened",
        "description": "Posted to the `callback_url` of the alert, one at a time, until it is answered with 2xx.",
        "parameters": [
            _header(
                "Tocsin-Timestamp",
                "seconds since 1970: refuse what is minutes old",
                {"type": "string", "examples": ["1772344800"]},
            ),
            _header(
                "Tocsin-Signature",
                "`sha256=` and the HMAC-SHA256 of timestamp, a dot and the body, under the secret of the account",
                {"type": "string", "examples": ["sha256=" + "0" * 64]},
            ),
            _header("Tocsin-Callback-Number", "its number within the alert", {"type": "string", "examples": ["1"]}),
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CallbackBody"}}},
        },
        "responses": {"2XX": {"description": "Taken; anything else is tried again."}},
    }
    return {"happened": {"{$request.body#/callback_url}": {"post": operation}}}
