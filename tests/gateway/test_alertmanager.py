"""What Alertmanager posts, which rule it falls under and what is said of it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.alertmanager import (
    KEY_CHARS_MAX,
    LABELS_MAX,
    TEXT_CHARS_MAX,
    Notification,
    group_values,
    matching_rule,
    member_values,
    stored_key,
)
from gateway.large_notification import MEMBERS_MAX
from gateway.rendering import render_alertmanager, shortened
from gateway.settings import RuleSettings

KEY = '{}/{severity="critical"}:{alertname="DiskFull"}'


def member(status: str = "firing", *, summary: str = "", **labels: str) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "DiskFull", "severity": "critical", **labels},
        "annotations": {"summary": summary} if summary else {},
        "startsAt": "2031-05-06T07:08:09.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=up",
        "fingerprint": f"{abs(hash(tuple(labels.items()))):016x}",
    }


def posted(*members: dict[str, Any], status: str = "firing", **more: Any) -> dict[str, Any]:
    """A body as Alertmanager 0.25 to 0.28 write it."""
    return {
        "receiver": "tocsin",
        "status": status,
        "alerts": list(members or [member(instance="db1")]),
        "groupLabels": {"alertname": "DiskFull"},
        "commonLabels": {"alertname": "DiskFull", "severity": "critical"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093",
        "version": "4",
        "groupKey": KEY,
        "truncatedAlerts": 0,
        **more,
    }


def read(body: dict[str, Any]) -> Notification:
    return Notification.model_validate_json(json.dumps(body))


# The payload


def test_the_payload_is_read_as_it_comes() -> None:
    read_back = read(posted(member(instance="db1"), member("resolved", instance="db2"), truncatedAlerts=3))
    assert (read_back.key, read_back.status, read_back.truncated_alerts) == (KEY, "firing", 3)
    assert read_back.labels == {"alertname": "DiskFull", "severity": "critical"}
    assert [one.labels["instance"] for one in read_back.firing] == ["db1"]
    assert [one.labels["instance"] for one in read_back.resolved] == ["db2"]


def test_what_it_may_gain_is_passed_over_and_what_go_leaves_out_is_empty() -> None:
    body = posted(member(instance="db1") | {"news": 1}, more={"x": []}, commonAnnotations=None, groupLabels=None)
    del body["truncatedAlerts"], body["receiver"], body["alerts"][0]["fingerprint"], body["alerts"][0]["annotations"]
    notification = read(body)
    assert notification.labels == {"alertname": "DiskFull", "severity": "critical"}
    assert notification.alerts[0].key == "alertname=DiskFull,instance=db1,severity=critical"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version": "5"}, "version"),
        ({"version": 4}, "version"),
        ({"groupKey": ""}, "groupKey"),
        ({"status": "unknown"}, "status"),
        ({"alerts": "none"}, "alerts"),
        ({"alerts": [{}]}, "alerts.0.status"),
        ({"commonLabels": {"a": 1}}, "commonLabels.a"),
        ({"truncatedAlerts": "3"}, "truncatedAlerts"),
        ({"truncatedAlerts": True}, "truncatedAlerts"),
        ({"truncatedAlerts": -1}, "truncatedAlerts"),
    ],
)
def test_what_is_wrong_is_named_as_it_was_sent(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        read(posted(**change))
    assert [".".join(map(str, error["loc"])) for error in refused.value.errors()] == [field]


def test_what_must_be_there_is_named() -> None:
    with pytest.raises(ValidationError) as refused:
        read({})
    assert {error["loc"][0] for error in refused.value.errors()} == {"version", "groupKey", "status", "alerts"}


def test_no_size_refuses_what_nobody_would_hear_of() -> None:
    """Whoever posts it reads no answer: the first of all is read, the rest counted."""
    many = read(posted(*[member()] * (MEMBERS_MAX + 5), *[member("resolved")] * 7, truncatedAlerts=3))
    assert (len(many.alerts), many.truncated_alerts) == (MEMBERS_MAX, 8)
    assert group_values(many)["firing"] == MEMBERS_MAX + 8
    assert len(read(posted(commonLabels={f"l{n}": "x" for n in range(LABELS_MAX + 1)})).common_labels) == LABELS_MAX
    assert len(read(posted(groupKey="x" * 1_000_000)).key) <= KEY_CHARS_MAX
    assert len(read(posted(member() | {"fingerprint": "f" * 10_000})).alerts[0].key) <= KEY_CHARS_MAX
    assert read(posted(truncatedAlerts=10**12)).truncated_alerts == 10**12


def test_half_a_character_is_refused_before_it_reaches_a_database() -> None:
    """JSON can write half of a surrogate pair, which no UTF-8 holds. Go writes none."""
    with pytest.raises(ValidationError):
        Notification.model_validate(posted(groupKey="\ud800"))
    with pytest.raises(ValidationError):
        Notification.model_validate(posted(member(instance="\ud800")))


@given(st.text(min_size=1, max_size=2_000))
def test_a_stored_key_is_short_whole_and_the_same_every_time(key: str) -> None:
    stored = stored_key(key)
    assert len(stored) <= KEY_CHARS_MAX
    assert "\x00" not in stored
    assert stored == stored_key(key)
    assert stored == key or stored != stored_key(key + "x")


# The rules


def rule(account: str, match: dict[str, Any] | None = None, **more: Any) -> RuleSettings:
    return RuleSettings.model_validate(
        {"name": account, "account": account, "recipients": [{"addresses": ["sms:+33612345678"]}], **more}
        | {"match": {label: {"equals": value} for label, value in (match or {}).items()}}
    )


@pytest.mark.parametrize(
    ("labels", "account_id", "name"),
    [
        ({"team": "db"}, None, "globex"),
        ({"team": "db"}, "acme", "acme"),  # another account's rule, though it stands first, is nothing to this key
        ({"team": "web"}, None, "rest"),
        ({"team": "web"}, "rest", "rest"),
        ({"team": "web"}, "acme", None),
        ({}, "nobody", None),
    ],
)
def test_the_first_rule_that_the_key_may_use_is_taken(
    labels: dict[str, str], account_id: str | None, name: str | None
) -> None:
    rules = [rule("globex", {"team": "db"}), rule("acme", {"team": "db"}), rule("rest")]
    found = matching_rule(rules, labels, account_id)
    assert (found and found.name) == name


# What is said


def test_a_huge_annotation_is_taken_and_cut() -> None:
    begin = time.process_time()
    subject, text = said(posted(member(summary="x " * 4_000_000)))
    assert (subject, len(text.splitlines()[1])) == ("DiskFull", 300)
    assert time.process_time() - begin < 5


def said(body: dict[str, Any], language: str = "en") -> tuple[str, str]:
    return render_alertmanager(group_values(read(body)), language)


def test_one_member_says_what_it_is() -> None:
    body = posted(member(instance="db1", summary="Disk of db1\nis full"))
    assert said(body) == ("DiskFull", "DiskFull\nDisk of db1 is full\ninstance=db1 severity=critical")


def test_a_group_says_how_many_and_what_sets_them_apart() -> None:
    body = posted(
        *(member(instance=f"db{n}") for n in range(1, 13)),
        member("resolved", instance="db99"),
        commonAnnotations={"summary": "A disk is full", "description": "Free some space."},
        truncatedAlerts=3,
    )
    subject, text = said(body)
    assert subject == "15 firing: DiskFull"
    assert text.splitlines() == [
        "15 firing: DiskFull",
        "A disk is full",
        "Free some space.",
        "severity=critical",
        *(f"- instance=db{n}" for n in range(1, 11)),
        "and 5 more",
    ]
    assert said(body, "fr")[1].splitlines()[0::14] == ["15 en alarme: DiskFull", "et 5 autres"]


def test_members_with_summaries_of_their_own_say_these() -> None:
    body = posted(member(instance="a", summary="A is full"), member(instance="b", summary="B is full"))
    assert said(body)[1].splitlines()[2:] == ["- A is full", "- B is full"]


def test_without_a_name_there_is_still_something_to_say() -> None:
    bare: dict[str, Any] = {"commonLabels": {}, "groupLabels": {}}
    nameless = {"status": "firing", "labels": {}, "annotations": {}}
    assert said(posted(nameless, **bare)) == ("alertmanager", "alertmanager")
    assert said(posted(nameless, nameless, **bare)) == ("2 firing: tocsin", "2 firing: tocsin")
    assert said(posted(nameless, nameless, commonLabels={"job": "db"}, groupLabels={}))[0] == "2 firing: job=db"
    assert said(posted(**bare, status="firing") | {"alerts": []})[0]


def test_a_member_alone_says_its_own() -> None:
    one = read(posted(member(instance="db1", summary="Full"))).alerts[0]
    assert render_alertmanager(member_values(one), "fr") == (
        "DiskFull",
        "DiskFull\nFull\ninstance=db1 severity=critical",
    )


LABELS = st.dictionaries(st.text(max_size=20), st.text(max_size=300), max_size=15)


@given(
    st.lists(st.builds(lambda a, b: {"status": "firing", "labels": a, "annotations": b}, LABELS, LABELS), max_size=20),
    LABELS,
    LABELS,
)
def test_whatever_the_labels_there_is_a_short_printable_text(
    members: list[dict[str, Any]], labels: dict[str, str], annotations: dict[str, str]
) -> None:
    body = posted(commonLabels=labels, commonAnnotations=annotations, groupLabels={}) | {"alerts": members}
    subject, text = render_alertmanager(group_values(Notification.model_validate(body)), "en")
    assert subject.isprintable()
    assert subject
    assert text.replace("\n", "").isprintable()
    assert len(shortened(text, TEXT_CHARS_MAX)) <= TEXT_CHARS_MAX
