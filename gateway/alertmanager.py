"""Alertmanager's webhook: what it posts, which rule it falls under, and what is said of it. Pure; it is taken in elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from gateway.large_notification import MEMBERS_MAX, with_first_members
from gateway.rendering import on_one_line, shortened
from gateway.settings import RuleSettings

SOURCE = "alertmanager"
"""The `source` of its alerts and of the rules for them."""

LABELS_MAX = 500
"""Labels or annotations of one set that are read; Prometheus is content with some thirty."""
KEY_CHARS_MAX = 500
"""Characters of a group's key as it is stored; PostgreSQL indexes up to 2,700 bytes."""

TEXT_CHARS_MAX = 1_000
"""Characters of the text: seven SMS. What is cut is the end of the list of members."""
TITLE_CHARS_MAX = 150
SUMMARY_CHARS_MAX = 300
DESCRIPTION_CHARS_MAX = 400
LABELS_TOLD_MAX = 10
MEMBERS_TOLD_MAX = 10
TOLD_CHARS_MAX = 80
"""Characters of one label's value, or of one member's line."""

NAME = "alertname"
UNREAD = "This notification of Alertmanager is too large and was not read to its end: look there."
"""Said of a group of which only the first members are known."""
UNCLEAR = "This notification of Alertmanager could not be read in full: look there."
"""Said of what came in a form that Alertmanager does not write."""


def _labels(value: Any) -> Any:
    if isinstance(value, dict) and len(value) > LABELS_MAX:
        return dict(islice(value.items(), LABELS_MAX))  # whoever posts them reads no answer: the first will do
    return {} if value is None else value  # an empty map of Go may be written as null


def _number(value: Any) -> Any:
    if isinstance(value, str | bool):
        raise ValueError("expected an integer")  # what pydantic would make of "3" and true, the schema does not allow
    return value


def _unicode(value: str) -> str:
    value.encode()  # raises ValueError for half of a surrogate pair, which JSON can write and no database takes
    return value


Count = Annotated[int, BeforeValidator(_number)]
Text = Annotated[str, AfterValidator(_unicode)]
Labels = Annotated[
    dict[Text, Text],
    BeforeValidator(_labels, json_schema_input_type=dict[Text, Text] | None),
]


class _Posted(BaseModel):
    """Members that are not known are passed over: the payload is another project's, and grows."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)


class Member(_Posted):
    """One alert of Prometheus within a group."""

    status: Literal["firing", "resolved"] = Field(description="whether it fires")
    labels: Labels = Field(
        default={}, description="its labels", examples=[{"alertname": "DiskFull", "instance": "db-1"}]
    )
    annotations: Labels = Field(default={}, description="its annotations", examples=[{"summary": "3 % are free"}])
    fingerprint: Text = Field(default="", description="what tells it from others", examples=["c4f1a2e8"])

    @property
    def key(self) -> str:
        """What tells this member from others: its fingerprint, or its labels where there is none."""
        return stored_key(self.fingerprint or ",".join(f"{name}={self.labels[name]}" for name in sorted(self.labels)))


class Notification(_Posted):
    """The body that Alertmanager posts, version 4 (Alertmanager's documentation, `webhook_config`)."""

    version: Literal["4"] = Field(description="of the payload, as Alertmanager posts it", examples=["4"])
    group_key: Text = Field(
        min_length=1, description="the same for every notification of a group", examples=['{}:{alertname="DiskFull"}']
    )
    truncated_alerts: Count = Field(default=0, ge=0, description="members left out because of max_alerts", examples=[0])
    status: Literal["firing", "resolved"] = Field(description="firing while at least one member is")
    receiver: Text = Field(default="", description="the name of the receiver in alertmanager.yml", examples=["tocsin"])
    group_labels: Labels = Field(
        default={}, description="the labels that group_by names", examples=[{"alertname": "DiskFull"}]
    )
    common_labels: Labels = Field(
        default={},
        description="the labels that all members share",
        examples=[{"alertname": "DiskFull", "severity": "critical"}],
    )
    common_annotations: Labels = Field(
        default={}, description="the annotations that all members share", examples=[{"summary": "3 % are free"}]
    )
    alerts: tuple[Member, ...] = Field(
        description=f"the members; beyond {MEMBERS_MAX} they are counted",
        examples=[[{"status": "firing", "labels": {"alertname": "DiskFull"}}]],
    )
    unread: bool = Field(default=False, exclude=True, description="set here where it could not be read in full")
    unclear: bool = Field(
        default=False, exclude=True, description="set here where that was for its form, and not for its size"
    )

    @model_validator(mode="before")
    @classmethod
    def _first_members(cls, posted: Any) -> Any:
        return with_first_members(posted) if isinstance(posted, dict) else posted

    @property
    def key(self) -> str:
        """The group's key as it is stored."""
        return stored_key(self.group_key)

    @property
    def labels(self) -> Mapping[str, str]:
        """What rules are matched against: the labels of the group and those that all members share."""
        return {**self.common_labels, **self.group_labels}

    @property
    def firing(self) -> tuple[Member, ...]:
        """The members that fire."""
        return tuple(member for member in self.alerts if member.status == "firing")

    @property
    def resolved(self) -> tuple[Member, ...]:
        """The members that do not any more."""
        return tuple(member for member in self.alerts if member.status == "resolved")


def stored_key(key: str) -> str:
    """The key itself, or its beginning and a digest of all of it where it is long or holds what a database does not take."""
    if len(key) <= KEY_CHARS_MAX and "\x00" not in key:
        return key
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return f"{key[: KEY_CHARS_MAX - 100].replace(chr(0), '')}#{digest}"


def matching_rule(
    rules: Iterable[RuleSettings], labels: Mapping[str, str], account_id: str | None
) -> RuleSettings | None:
    """The first rule for these labels. A key that is bound to an account sees only the rules of that account."""
    for rule in rules:
        if account_id in (None, rule.account) and rule.matches(SOURCE, labels):
            return rule
    return None


# --- what is said ----------------------------------------------------------------------------------------------------


def group_values(notification: Notification) -> dict[str, object]:
    """The values of the template `alertmanager` for a group that fires."""
    firing = notification.firing
    count = len(firing) + notification.truncated_alerts
    if count == 1 and firing and not notification.unread:
        return member_values(firing[0])
    labels = notification.labels
    annotations = notification.common_annotations
    told = _members_told(firing, labels, annotations)
    return {
        "firing": count,
        "title": _title(labels, annotations, notification.receiver),
        "summary": _line(annotations, "summary", SUMMARY_CHARS_MAX),
        "description": _unread(notification) or _line(annotations, "description", DESCRIPTION_CHARS_MAX),
        "labels": _labels_told(labels),
        "members": told,
        "more": count - len(told) if told else 0,
    }


def _unread(notification: Notification) -> str:
    if not notification.unread:
        return ""
    return UNCLEAR if notification.unclear else UNREAD


def member_values(member: Member) -> dict[str, object]:
    """The values of the template `alertmanager` for one member alone."""
    return {
        "firing": 1,
        "title": _title(member.labels, member.annotations, SOURCE),
        "summary": _line(member.annotations, "summary", SUMMARY_CHARS_MAX),
        "description": _line(member.annotations, "description", DESCRIPTION_CHARS_MAX),
        "labels": _labels_told(member.labels),
        "members": [],
        "more": 0,
    }


def _brief(text: str, chars_max: int) -> str:
    """The beginning of the text on one line. What is far beyond is not even looked at: a value may be megabytes."""
    return shortened(on_one_line(text[: 4 * chars_max]), chars_max)


def _line(annotations: Mapping[str, str], name: str, chars_max: int) -> str:
    return _brief(annotations.get(name, ""), chars_max)


def _title(labels: Mapping[str, str], annotations: Mapping[str, str], otherwise: str) -> str:
    """The alert's name; without one, what else there is to call it by."""
    named = labels.get(NAME) or _in_words(labels) or annotations.get("summary") or otherwise or SOURCE
    return _brief(named, TITLE_CHARS_MAX)


def _in_words(labels: Mapping[str, str]) -> str:
    return " ".join(f"{label['name']}={label['value']}" for label in _labels_told(labels))


def _labels_told(labels: Mapping[str, str]) -> list[dict[str, str]]:
    """The first labels in the order of their names; the alert's name is the title already."""
    names = sorted(name for name in labels if name != NAME and labels[name])
    return [{"name": _brief(name, TOLD_CHARS_MAX), "value": _value(labels[name])} for name in names[:LABELS_TOLD_MAX]]


def _value(value: str) -> str:
    return _brief(value, TOLD_CHARS_MAX)


def _members_told(firing: Sequence[Member], labels: Mapping[str, str], annotations: Mapping[str, str]) -> list[str]:
    """One line for each of the first members: what sets it apart from the others. Equal lines are told once."""
    told: dict[str, None] = {}
    for member in firing:
        own = {name: value for name, value in member.labels.items() if name not in labels}
        text = "" if "summary" in annotations else member.annotations.get("summary", "")
        line = _value(text or _in_words(own))
        if line:
            told[line] = None
        if len(told) == MEMBERS_TOLD_MAX:
            break
    return list(told)
