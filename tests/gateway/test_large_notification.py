"""Notifications of any size, read piece by piece: the first members, the count of the others, and all that is said of the group."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.alertmanager import Notification, group_values
from gateway.large_notification import (
    BYTES_MAX,
    KEPT_CHARS_MAX,
    MEMBERS_MAX,
    VALUE_CHARS_MAX,
    NotificationReader,
    with_goodwill,
)


def member(n: int, status: str = "firing", **more: Any) -> dict[str, Any]:
    labels = {"alertname": "Down", "site": "north", "instance": f"db{n}"}
    return {"status": status, "labels": labels, "annotations": {}, "fingerprint": f"{n:016x}", **more}


def body(members: list[dict[str, Any]], **more: Any) -> bytes:
    """As Alertmanager writes it: the members before what is said of the group."""
    return json.dumps(
        {
            "receiver": "tocsin", "status": "firing", "alerts": members, "groupLabels": {"alertname": "Down"},
            "commonLabels": {"alertname": "Down", "site": "north"}, "commonAnnotations": {"summary": "All is down"},
            "externalURL": "http://am", "version": "4", "groupKey": "{}:{alertname=Down}", "truncatedAlerts": 0, **more,
        }
    ).encode()  # fmt: skip


def read(*pieces: bytes) -> tuple[NotificationReader, Notification]:
    reader = NotificationReader()
    for piece in pieces:
        reader.feed(piece)
    return reader, Notification.model_validate(json.loads(json.dumps(reader.notification())))


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def test_what_follows_ten_thousand_members_is_read_and_the_others_are_counted() -> None:
    members = [member(n) for n in range(MEMBERS_MAX + 3)] + [member(n, "resolved") for n in range(5)]
    reader, found = read(*cut(body(members, truncatedAlerts=4), 65_536))
    assert (reader.over, reader.complete, found.unread) == (True, True, False)
    assert (found.key, found.labels["site"], len(found.alerts)) == ("{}:{alertname=Down}", "north", MEMBERS_MAX)
    assert (found.truncated_alerts, group_values(found)["firing"]) == (7, MEMBERS_MAX + 7)


def test_members_beyond_what_is_kept_are_known_again() -> None:
    long = {"description": "x" * 10_000}
    members = [member(n, annotations=long) for n in range(600)] + [member(601, "resolved", annotations=long)]
    _, found = read(*cut(body(members), 65_536))
    assert [one.fingerprint for one in found.alerts] == [one["fingerprint"] for one in members]
    assert sum(len(one.annotations.get("description", "")) for one in found.alerts) <= KEPT_CHARS_MAX
    assert len(found.resolved) == 1


def test_without_its_end_the_group_is_what_its_members_share() -> None:
    whole = body([member(n) for n in range(50)])
    reader, found = read(whole[: whole.index(b'"groupLabels"') - 300])
    assert (reader.complete, found.unread) == (False, True)
    assert found.labels == {"alertname": "Down", "site": "north"}
    assert found.key.startswith("unread:tocsin:")
    assert "too large" in str(group_values(found)["description"])


def test_one_value_larger_than_all_bounds_ends_the_reading_and_not_the_alert() -> None:
    huge = member(2, annotations={"description": "x" * (VALUE_CHARS_MAX + 100_000)})
    reader, found = read(*cut(body([member(1), huge, member(3)]), 65_536))
    assert (reader.over, reader.complete) == (True, False)
    assert [one.labels["instance"] for one in found.firing] == ["db1"]


def test_what_never_ends_is_not_read_for_ever() -> None:
    reader = NotificationReader()
    piece = b" " * (16 * 1024 * 1024)
    pieces = 0
    while not reader.over and pieces <= BYTES_MAX // len(piece) + 1:
        reader.feed(piece)
        pieces += 1
    assert reader.over


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=4), st.integers(0, 4), st.integers(1, 40), st.booleans())
def test_however_it_is_cut_it_is_the_same(more: dict[str, Any], members: int, size: int, spaced: bool) -> None:
    content = json.loads(body([member(n) for n in range(members)])) | {
        f"x{name}": value for name, value in more.items()
    }
    data = json.dumps(content, indent=1 if spaced else None, ensure_ascii=not spaced).encode()
    _, whole = read(data)
    _, pieces = read(*cut(data, size))
    assert pieces == whole == Notification.model_validate(content)


OF_GROUP = (
    "receiver", "status", "groupLabels", "commonLabels", "commonAnnotations", "version", "groupKey", "truncatedAlerts", "alerts",
)  # fmt: skip
OF_MEMBER = ("status", "labels", "annotations", "fingerprint")


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(OF_GROUP, VALUES)),
    st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(OF_MEMBER, VALUES))),
)
def test_whatever_its_values_are_there_is_a_notification(
    content: dict[str, Any], members: list[dict[str, Any]]
) -> None:
    posted = json.dumps({"alerts": members} | content).encode()
    read(posted)
    Notification.model_validate(with_goodwill(posted))


@given(st.binary(max_size=300) | st.text('{}[]",:x\\ealrts1.', max_size=60).map(str.encode), st.integers(1, 30))
def test_whatever_comes_there_is_a_notification(data: bytes, size: int) -> None:
    read(*cut(data, size))
    assert Notification.model_validate(with_goodwill(data)).key
