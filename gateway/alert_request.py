"""The body of POST /v1/alerts: its shape, its bounds, what each field means. What the settings decide is in `submission`."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.alert import Rule
from gateway.durations import Turn
from gateway.large_work import give_way

RECIPIENTS_MAX = 100_000  # what a settings file can allow at the most
ADDRESSES_MAX = 20  # of one recipient
STEPS_MAX = 50
ATTACHMENTS_MAX = 10
DAY_S = 86_400

NoNul = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Address = Annotated[
    NoNul,
    Field(min_length=3, max_length=500, examples=["sms:+33612345678", "voice:+33612345678", "email:anne@example.org"]),
]
Language = Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z0-9-]*$", examples=["fr", "de-CH"])]


class Section(BaseModel):
    """What all parts of a request share: unknown members are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _recipient(value: Any) -> Any:
    give_way()  # of a hundred thousand each is read by itself
    return {"addresses": [value]} if isinstance(value, str) else value


class RecipientIn(Section):
    """A person or a device: an address, or a name with addresses."""

    name: NoNul = Field(
        default="",
        max_length=200,
        description="what people are told apart by; left out, the first address. Two of one name are two people",
        examples=["Anne"],
    )
    language: Language = Field(
        default="", description="the language (BCP 47) in which this recipient is told; left out, that of the alert"
    )
    addresses: tuple[Address, ...] = Field(
        min_length=1,
        max_length=ADDRESSES_MAX,
        description="where to reach them, each written channel:value; a number with its country, a short code, an e-mail address",
        examples=[["sms:+33687654321", "email:anne@example.org"]],
    )


Recipients = Annotated[
    tuple[Annotated[RecipientIn, BeforeValidator(_recipient)], ...], Field(min_length=1, max_length=RECIPIENTS_MAX)
]


class StepIn(Section):
    """Part of the escalation: whom to try on which channels, when, how often."""

    after_s: int = Field(
        default=0,
        ge=0,
        le=7 * DAY_S,
        description="seconds from the beginning of the alert to this step",
        examples=[300],
    )
    channels: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        default=(),
        max_length=20,
        description="only addresses of these channels; left out, of all",
        examples=[["sms", "voice"]],
    )
    recipients: Recipients | None = Field(
        default=None,
        description="whom this step tries alone; left out, the recipients of the alert",
        examples=[["sms:+33612345678"]],
    )
    repeat: int = Field(default=0, ge=0, le=100, description="how many times it is done again", examples=[2])
    every_s: int = Field(default=60, ge=10, le=DAY_S, description="seconds from one repeat to the next", examples=[120])

    @property
    def turn(self) -> Turn:
        """When it begins, and how often."""
        return Turn(after_s=self.after_s, repeat=self.repeat, every_s=self.every_s)


class AcknowledgementIn(Section):
    """Who has to acknowledge, and within what time somebody has to take it in charge."""

    rule: Rule = Field(
        description="none: nobody has to; any: one person; all: everybody; quorum: as many people as `quorum` says"
    )
    quorum: int | None = Field(
        default=None,
        ge=1,
        le=1_000,
        description="how many different people, with the rule quorum and only then",
        examples=[2],
    )
    confirm_within_s: int | None = Field(
        default=None,
        ge=10,
        le=DAY_S,
        description="seconds in which somebody who has received it has to take it in charge; else everybody is asked on",
        examples=[600],
    )

    @model_validator(mode="after")
    def _quorum_is_a_number(self) -> AcknowledgementIn:
        if (self.rule is Rule.QUORUM) != (self.quorum is not None):
            raise ValueError('expected quorum together with rule "quorum", and only then')
        return self


class AttachmentIn(Section):
    """A file, in base 64. Only e-mail carries it; all files of an alert have 5 MiB at the most."""

    name: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f/\\]+$",
        description="the name of the file",
        examples=["plan.pdf"],
    )
    content_type: str = Field(
        default="application/octet-stream",
        max_length=100,
        pattern=r"^[\w.+-]+/[\w.+-]+$",
        description="its media type",
        examples=["application/pdf"],
    )
    content: str = Field(min_length=1, description="its bytes, in base 64", examples=["UGxhbg=="])

    def decoded(self) -> bytes:
        """The file. Raises ValueError."""
        try:
            return base64.b64decode(self.content, validate=True)
        except binascii.Error as error:
            raise ValueError("expected base 64") from error


class AlertRequest(Section):
    """What is to be told, to whom, how urgently, and who has to acknowledge. Only `recipients`, and either `text` or `template`, are
    needed."""

    text: NoNul | None = Field(
        default=None,
        min_length=1,
        max_length=100_000,
        description="what is told; blanks and invisible marks alone are refused. The settings may allow fewer characters",
        examples=["Pump 3 has stopped"],
    )
    template: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        pattern=r"^[a-z][a-z0-9_]*$",
        description="the name of a template that makes the text, in place of `text`",
        examples=["alertmanager"],
    )
    variables: dict[str, str | int | float | bool] = Field(
        default={},
        max_length=100,
        description="what the template fills in, by name",
        examples=[{"title": "Pump 3", "firing": 1}],
    )
    subject: str = Field(
        default="",
        max_length=500,
        pattern=r"^[^\x00\r\n]*$",
        description="the subject, where a channel has one; left out, it is made of the text",
        examples=["Pump 3"],
    )
    priority: Literal["emergency", "high", "normal", "bulk"] = Field(
        default="normal",
        description="what goes first. An emergency is never refused for want of credit; emergency and high ask for an "
        "acknowledgement of anybody unless `acknowledgement` says otherwise",
    )
    language: Language = Field(
        default="", description="the language (BCP 47) of those recipients who have none of their own"
    )
    recipients: Recipients = Field(
        description="whom to tell: each an address, or a name with addresses. The settings may allow fewer",
        examples=[["sms:+33612345678", {"name": "Anne", "addresses": ["sms:+33687654321", "email:anne@example.org"]}]],
    )
    steps: tuple[StepIn, ...] = Field(
        default=(),
        max_length=STEPS_MAX,
        description="the escalation; left out, everybody is tried once, at once. With repeats at most 500",
        examples=[[{"after_s": 0, "channels": ["sms"]}, {"after_s": 300, "repeat": 2, "every_s": 120}]],
    )
    acknowledgement: AcknowledgementIn | None = Field(
        default=None, description="who has to acknowledge; left out, the priority says it", examples=[{"rule": "any"}]
    )
    on_unknown: Literal["resend", "wait"] | None = Field(
        default=None,
        description="what follows where it is not known whether a message left: it is sent again, perhaps twice, or a receipt is "
        "awaited. Left out: resend, for bulk wait",
    )
    exercise: bool = Field(
        default=False, description="every rendering says EXERCISE first, and nothing joins a real alert"
    )
    sensitive: bool = Field(default=False, description="the text is not sent: recipients are asked to call in")
    send_at: AwareDatetime | None = Field(
        default=None,
        description="when its first step begins, within 365 days; left out or past, at once",
        examples=["2026-03-01T06:00:00Z"],
    )
    expires_after_s: int | None = Field(
        default=None,
        ge=10,
        le=30 * DAY_S,
        description="seconds from its beginning to its deadline; left out, what the settings say for its priority",
        examples=[3600],
    )
    callback_url: str | None = Field(
        default=None,
        max_length=2_000,
        description="an address of yours where what happens is posted, signed",
        examples=["https://upstream.example/hook"],
    )
    reference: NoNul | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="your name for the trouble. While an alert of this reference, told with the same key, is open, "
        "the request joins it",
        examples=["PUMP-3"],
    )
    attachments: tuple[AttachmentIn, ...] = Field(
        default=(),
        max_length=ATTACHMENTS_MAX,
        description="files for e-mails, 5 MiB in all",
        examples=[[{"name": "plan.pdf", "content_type": "application/pdf", "content": "UGxhbg=="}]],
    )
    dry_run: bool = Field(
        default=False,
        description="only say who would be tried when, over what, at what price: nothing is written or sent",
    )

    @property
    def tries(self) -> int:
        """How many deliveries it comes to, over all steps and repeats, at the most."""
        own = sum(len(recipient.addresses) for recipient in self.recipients)
        if not self.steps:
            return own
        return sum(
            (1 + step.repeat)
            * (own if step.recipients is None else sum(len(recipient.addresses) for recipient in step.recipients))
            for step in self.steps
        )

    @model_validator(mode="after")
    def _text_or_template(self) -> AlertRequest:
        if (self.text is None) == (self.template is None):
            raise ValueError("expected either text or template")
        if self.variables and self.template is None:
            raise ValueError("expected variables only together with template")
        return self
